//! What the table of tests has no column for.

#[cfg(feature = "autodiff")]
#[test]
fn gradients_are_given_for_what_is_trained_and_for_nothing_else() {
    use super::*;
    use crate::ops::testing::tensor;

    let device = Device::flex().autodiff();
    let on_device = |values: TensorData| Tensor::<4>::from_data(values, &device);
    let trained = |seed| Tensor::<1>::from_data(tensor([8], seed).0.into_data(), &device).require_grad();
    let input = on_device(tensor([1, 4, 4, 8], 1).0.into_data());
    let weight = on_device(tensor([8, 1, 3, 3], 2).0.into_data());
    let (scale, shift) = (trained(3), trained(4));
    let affine = ChannelAffine { scale: scale.clone(), shift: shift.clone() };
    let output = depthwise_convolution(input.clone(), weight.clone(), Steps::same(1), affine, None);
    let found = output.sum().backward();
    assert!(input.grad(&found).is_none() && weight.grad(&found).is_none());
    assert!(scale.grad(&found).is_some() && shift.grad(&found).is_some());
}
