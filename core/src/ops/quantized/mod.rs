//! The linear layer with a weight of 8-bit integers, on CPUs without gradients.
//!
//! Each row of the input becomes bytes by a factor and a zero point of its own, `x ≈ (byte - zero) · factor`; bytes are
//! multiplied with the weight's integers and added up in 32 bits, exactly; and the sums become numbers by the factors of
//! input and weight. Every processor gives the same sums.

#[cfg(any(all(target_arch = "wasm32", feature = "simd"), all(test, feature = "simd")))]
mod dots;
#[cfg(feature = "int8")]
mod rows;
#[cfg(feature = "int8")]
mod rten;
#[cfg(test)]
mod tests;
#[cfg(any(all(target_arch = "wasm32", feature = "simd"), all(test, feature = "simd")))]
mod wasm;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;

use super::Activation;
#[cfg(feature = "simd")]
use super::cpu::buffers::{put_back_tensors, unwritten};
use super::cpu::flex::{contiguous, tensor};
use super::extension::Optional;
use crate::weights::MULTIPLIED;

/// A weight `[out, in]` of integers with a factor for each output, laid out for products. The clones share it.
#[derive(Clone, Debug)]
pub struct QuantizedWeight(Arc<dyn IntegerProduct>);

/// Products of rows with a weight of integers.
trait IntegerProduct: Debug + Send + Sync {
    /// `activation(rows · weightᵀ + bias)` for `rows` `[n, in]` into `output` `[n, out]`, or added to what is there.
    fn forward(&self, rows: &[f32], after: &After, output: &mut [f32]);

    /// The weight's numbers, row by row.
    fn dequantized(&self) -> Vec<f32>;

    /// Outputs and inputs.
    fn shape(&self) -> [usize; 2];
}

/// Inputs at most, of which sums of `255 · 64` are within 32 bits, less the bytes for zero.
const MOST_INPUTS: usize = (i32::MAX / (2 * 255 * 64)) as usize;

/// Whether a weight of these integers is multiplied, which every processor does exactly within ±[`MULTIPLIED`].
#[cfg_attr(
    not(any(feature = "int8", target_arch = "wasm32")),
    allow(dead_code, reason = "nothing multiplies integers then")
)]
fn is_multiplied(integers: &[i8], factors: &[f32], [outputs, inputs]: [usize; 2]) -> bool {
    let is_exact = integers.iter().all(|value| value.unsigned_abs() <= MULTIPLIED.unsigned_abs());
    let is_whole = integers.len() == outputs * inputs && factors.len() == outputs && outputs * inputs > 0;
    inputs <= MOST_INPUTS && is_exact && is_whole
}

/// What follows a product.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(feature = "int8", target_arch = "wasm32")),
    allow(dead_code, reason = "nothing multiplies integers then")
)]
struct After<'a> {
    /// `[out]`
    bias: Option<&'a [f32]>,
    activation: Option<Activation>,
    /// Whether the result is added to what is in its place.
    is_added: bool,
}

impl QuantizedWeight {
    /// A weight `[out, in]` of `integers`, row by row, with a factor for each row; `None` where nothing here multiplies them:
    /// in builds without the feature `int8`, or for WebAssembly without `simd`, and for integers beyond ±[`MULTIPLIED`].
    #[cfg_attr(not(any(feature = "int8", all(target_arch = "wasm32", feature = "simd"))), allow(unused_variables))]
    pub fn new(integers: &[i8], factors: &[f32], shape: [usize; 2]) -> Option<Self> {
        #[cfg(all(target_arch = "wasm32", feature = "simd"))]
        if let Some(packed) = wasm::Packed::new(dots::fastest(), integers, factors, shape) {
            return Some(Self(Arc::new(packed)));
        }
        #[cfg(feature = "int8")]
        if let Some(packed) = rten::Packed::new(integers, factors, shape) {
            return Some(Self(Arc::new(packed)));
        }
        None
    }

    /// Whether [`quantized_linear`] takes this input: one of f32 on a CPU, of which no gradients are asked for.
    pub fn serves<const D: usize>(&self, input: &Tensor<D>) -> bool {
        matches!(input.device().as_dispatch(), DispatchDevice::Flex(_)) && input.dtype() == DType::F32
    }

    /// The weight's numbers, row by row.
    pub fn dequantized(&self) -> Vec<f32> {
        self.0.dequantized()
    }
}

/// `activation(x · weightᵀ + bias) + residual`, as [`linear`](super::linear), with an input that the weight
/// [serves](QuantizedWeight::serves).
///
/// # Shapes
/// - input: `[…, in]`, bias: `[out]`, residual: `[…, out]`
/// - output: `[…, out]`
///
/// # Panics
/// Where the shapes are others.
///
/// ```
/// use burn::prelude::*;
/// use unmask_core::ops::{QuantizedWeight, quantized_linear};
/// let Some(weight) = QuantizedWeight::new(&[1, 2, -3, 0], &[0.5, 2.0], [2, 2]) else { return };
/// assert_eq!(weight.dequantized(), [0.5, 1.0, -6.0, 0.0]);
/// // Of 0..255, all bytes are whole numbers.
/// let x = Tensor::<2>::from_data([[255.0, 4.0], [0.0, 255.0]], &Device::flex());
/// let y: Vec<f32> = quantized_linear(x, &weight, None, None, None).into_data().try_into_vec().unwrap();
/// assert_eq!(y, [131.5, -1530.0, 255.0, 0.0]);
/// ```
pub fn quantized_linear<const D: usize>(
    input: Tensor<D>,
    weight: &QuantizedWeight,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
    residual: Option<Tensor<D>>,
) -> Tensor<D> {
    let (mut shape, [out, inner]) = (input.dims(), weight.0.shape());
    assert_eq!(shape[D - 1], inner, "the input's last axis is what the weight reads");
    assert!(bias.as_ref().is_none_or(|bias| bias.dims() == [out]), "a bias for each of {out} outputs");
    shape[D - 1] = out;
    assert!(residual.as_ref().is_none_or(|residual| residual.dims() == shape), "a residual for each output");
    let (bias, residual) = (Optional::new(bias), Optional::new(residual));
    let output = Dispatch::quantized_linear(input.into_dispatch(), weight.clone(), bias, activation, residual);
    Tensor::from_dispatch(output)
}

/// The operation of the one backend that has it.
#[backend_extension(Flex)]
trait QuantizedProduct: Backend {
    /// [`quantized_linear`], whose shapes are as they should be.
    fn quantized_linear(
        input: FloatTensor<Self>,
        weight: QuantizedWeight,
        #[extension_type] bias: Optional<Self>,
        activation: Option<Activation>,
        #[extension_type] residual: Optional<Self>,
    ) -> FloatTensor<Self>;
}

/// So many numbers that are yet to be written.
#[cfg(not(feature = "simd"))]
fn unwritten(length: usize) -> Vec<f32> {
    alloc::vec![0.0; length]
}

impl QuantizedProduct for Flex {
    fn quantized_linear(
        input: FlexTensor,
        weight: QuantizedWeight,
        bias: Optional<Self>,
        activation: Option<Activation>,
        residual: Optional<Self>,
    ) -> FlexTensor {
        let (mut shape, [out, inner]) = (input.shape(), weight.0.shape());
        let rows = shape.num_elements() / inner;
        let last = shape.num_dims() - 1;
        shape[last] = out;
        let input = contiguous(input);
        let bias = bias.given().map(contiguous);
        let after = |is_added| After { bias: bias.as_ref().map(FlexTensor::storage), activation, is_added };
        let output = match residual.given() {
            Some(residual) => {
                let mut output = contiguous(residual);
                weight.0.forward(input.storage(), &after(true), output.storage_mut());
                output
            }
            None => {
                let mut output = unwritten(rows * out);
                weight.0.forward(input.storage(), &after(false), &mut output);
                tensor(output, shape)
            }
        };
        #[cfg(feature = "simd")]
        put_back_tensors([input]);
        output
    }
}
