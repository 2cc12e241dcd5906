//! Whole convolutions and blocks, as far as the table of tests has no column for it.

use super::*;
use crate::ops::testing::{assert_close, tensor};

fn affine(channels: usize, seed: u64) -> ChannelAffine {
    ChannelAffine { scale: tensor([channels], seed).0, shift: tensor([channels], seed + 1).0 }
}

#[test]
fn a_block_that_keeps_its_layout_computes_inputs_of_any_size() {
    let block = InvertedResidual {
        expand: Some((tensor([33, 5], 2).0, affine(33, 3))),
        filter: tensor([33, 1, 5, 5], 5).0,
        filter_affine: affine(33, 6),
        project: tensor([20, 33], 8).0,
        project_affine: affine(20, 9),
        steps: Steps::same(2),
        activation: Activation::Relu,
        residual: false,
    };
    let read = |output: Tensor<4>| output.into_data().try_into_vec::<f32>().expect("f32");
    let kept = KeptLayout::default();
    let forward = |input: &Tensor<4>| read(inverted_residual_kept(input.clone(), block.clone(), &kept.clone()));
    let input = tensor([2, 9, 8, 5], 1).0;
    let part = input.clone().narrow(1, 0, 5).narrow(2, 0, 3);
    for (input, case) in [(&input, "first"), (&part, "smaller"), (&input, "again")] {
        assert_eq!(forward(input), read(inverted_residual(input.clone(), block.clone())), "{case}");
    }
    let other = InvertedResidual { project: block.project.clone() * 2.0, ..block.clone() };
    let found = read(inverted_residual_kept(input.clone(), other.clone(), &kept));
    assert_eq!(found, read(inverted_residual(input.clone(), other)), "with other weights");
}

#[test]
fn a_block_of_ones_counts_what_it_sums() {
    let ones = || Tensor::<2>::ones([1, 1], &Device::flex());
    let neutral =
        || ChannelAffine { scale: Tensor::ones([1], &Device::flex()), shift: Tensor::zeros([1], &Device::flex()) };
    let block = InvertedResidual {
        expand: Some((ones(), neutral())),
        filter: Tensor::ones([1, 1, 3, 3], &Device::flex()),
        filter_affine: neutral(),
        project: ones(),
        project_affine: neutral(),
        steps: Steps::centred(1),
        activation: Activation::Relu6,
        residual: true,
    };
    let output = inverted_residual(Tensor::ones([1, 3, 3, 1], &Device::flex()), block);
    // A corner meets 4 pixels, an edge 6, and the middle 9, of which 6 are left; the input comes on top.
    assert_close(output, &[5.0, 7.0, 5.0, 7.0, 7.0, 7.0, 5.0, 7.0, 5.0]);
}

#[test]
fn no_images_make_no_output() {
    let block = InvertedResidual {
        expand: Some((tensor([24, 4], 2).0, affine(24, 3))),
        filter: tensor([24, 1, 3, 3], 5).0,
        filter_affine: affine(24, 6),
        project: tensor([4, 24], 8).0,
        project_affine: affine(4, 9),
        steps: Steps::same(1),
        activation: Activation::Relu,
        residual: true,
    };
    let none = || Tensor::<4>::zeros([0, 5, 7, 4], &Device::flex());
    assert_eq!(inverted_residual(none(), block).dims(), [0, 5, 7, 4]);
    let weight = tensor([6, 4, 3, 3], 2).0;
    assert_eq!(convolution(none(), weight, Steps::same(2), affine(6, 3), None).dims(), [0, 3, 4, 6]);
}

#[cfg(feature = "autodiff")]
#[test]
fn what_is_trained_has_gradients_behind_an_input_that_needs_none() {
    let tracked = |values: TensorData| Tensor::<1>::from_data(values, &Device::flex().autodiff()).require_grad();
    let shift = || tracked(tensor([6], 3).0.into_data());
    let behind = |shift: &Tensor<1>| ChannelAffine { scale: tensor([6], 2).0, shift: shift.clone() };
    let input = || tensor([1, 5, 5, 4], 1).0;
    let weight = || tensor([6, 4, 3, 3], 4).0;
    let has_gradient = |output: Tensor<4>, shift: &Tensor<1>| shift.grad(&output.sum().backward()).is_some();
    let trained = shift();
    let output = convolution(input(), weight(), Steps::same(2), behind(&trained), Some(Activation::Relu6));
    assert!(has_gradient(output, &trained), "a convolution's");
    let trained = shift();
    let matrix = weight().narrow(2, 0, 1).narrow(3, 0, 1).flatten(1, 3);
    assert!(has_gradient(pointwise_convolution(input(), matrix, behind(&trained), None), &trained), "one of 1 × 1's");
    for place in 0..3 {
        let trained = shift();
        let layer = |at: usize| if at == place { behind(&trained) } else { affine(6, 3) };
        let block = InvertedResidual {
            expand: Some((tensor([6, 4], 2).0, layer(0))),
            filter: tensor([6, 1, 3, 3], 5).0,
            filter_affine: layer(1),
            project: tensor([6, 6], 8).0,
            project_affine: layer(2),
            steps: Steps::same(1),
            activation: Activation::Relu6,
            residual: false,
        };
        assert!(has_gradient(inverted_residual(input(), block), &trained), "layer {place} of a block's");
    }
}
