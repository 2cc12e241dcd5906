//! Weights as 8-bit integers with a factor for each row, `weight ≈ integer · factor`: symmetric, one factor an output.
//!
//! In a file such a weight is the tensor `NAME` of type I8 with the tensor [`scale_name`] of type F32, `[rows]`, beside it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use safetensors::Dtype;

use super::{Init, TensorSource, WeightsError, halved, to_f16};

/// The largest integer of a weight that activations are multiplied with as it is. Processors without instructions for dot
/// products of bytes add two products of an unsigned and a signed byte in 16 bits, which hold `2 · 255 · 64` and not
/// `2 · 255 · 127`: within this limit every processor gives the same sums.
pub const MULTIPLIED: i8 = 64;

/// The largest integer of a weight that is stored so, and read as a number.
pub const STORED: i8 = 127;

/// A weight as integers.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedMatrix {
    /// Row by row.
    pub values: Vec<i8>,
    /// A factor for each row.
    pub scales: Vec<f32>,
}

impl QuantizedMatrix {
    /// The nearest integers within `±largest` for `values`, so many rows of one length; a row's largest number becomes
    /// `largest`.
    pub fn of(values: &[f32], rows: usize, largest: i8) -> Self {
        let length = values.len().checked_div(rows).unwrap_or(0).max(1);
        let (mut integers, mut scales) = (Vec::with_capacity(values.len()), Vec::with_capacity(rows));
        for row in values.chunks(length) {
            let reach = row.iter().fold(0.0f32, |reach, value| reach.max(value.abs()));
            let bound = f32::from(largest);
            // Numbers so small that their factor would be no normal number count as zeros.
            let scale = if reach > f32::MIN_POSITIVE * bound { reach / bound } else { 1.0 };
            scales.push(scale);
            integers.extend(row.iter().map(|value| libm::rintf(value / scale).clamp(-bound, bound) as i8));
        }
        Self { values: integers, scales }
    }

    /// The numbers that the integers stand for.
    pub fn dequantized(&self) -> Vec<f32> {
        let length = self.values.len().checked_div(self.scales.len()).unwrap_or(0).max(1);
        let rows = self.values.chunks(length).zip(&self.scales);
        rows.flat_map(|(row, scale)| row.iter().map(move |value| f32::from(*value) * scale)).collect()
    }
}

/// What the name of a weight's factors has behind that of the weight.
pub(super) const SCALE_SUFFIX: &str = "_scale";

/// The name of the tensor with the factors of the weight `name`.
pub fn scale_name(name: &str) -> String {
    format!("{name}{SCALE_SUFFIX}")
}

/// A tensor as a file of few bits stores it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reduced {
    /// As integers with factors.
    Int8(QuantizedMatrix),
    /// Rounded to f16.
    F16(Vec<half::f16>),
    /// As it is.
    F32(Vec<f32>),
}

/// A detector's tensors as they are once they are stored in few bits: the chosen weights as integers, other matrices in f16.
pub struct Quantizing<S> {
    source: S,
    /// The largest integer of each weight that becomes integers.
    chosen: BTreeMap<String, i8>,
}

impl<S: TensorSource> Quantizing<S> {
    /// `source`'s tensors, of which those in `chosen` become integers up to the one beside them.
    pub fn new(source: S, chosen: BTreeMap<String, i8>) -> Self {
        Self { source, chosen }
    }

    /// The tensor `name` of `shape`, as a file has it.
    ///
    /// # Errors
    /// Those of the source, and [`WeightsError::NotF16`].
    pub fn reduced(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Reduced, WeightsError> {
        let values = self.source.read(name, shape, init)?;
        Ok(match (self.chosen.get(name), halved(shape)) {
            (Some(largest), _) => {
                let rows = shape.first().copied().unwrap_or(1);
                Reduced::Int8(QuantizedMatrix::of(&values, rows, *largest))
            }
            (None, Dtype::F16) => Reduced::F16(to_f16(name, &values)?),
            (None, _) => Reduced::F32(values),
        })
    }
}

impl<S: TensorSource> TensorSource for Quantizing<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        Ok(match self.reduced(name, shape, init)? {
            Reduced::Int8(matrix) => matrix.dequantized(),
            Reduced::F16(values) => values.into_iter().map(half::f16::to_f32).collect(),
            Reduced::F32(values) => values,
        })
    }

    fn quantized(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Option<QuantizedMatrix>, WeightsError> {
        if !self.chosen.contains_key(name) {
            return Ok(None);
        }
        match self.reduced(name, shape, init)? {
            Reduced::Int8(matrix) => Ok(Some(matrix)),
            Reduced::F16(_) | Reduced::F32(_) => Ok(None),
        }
    }

    fn names(&self) -> Vec<String> {
        self.source.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(name)
    }
}

/// Checks that factors, those of the weight `name`, are numbers.
///
/// # Errors
/// [`WeightsError::NotFinite`].
pub(super) fn check_scales(name: &str, scales: &[f32]) -> Result<(), WeightsError> {
    // The largest integer times it is finite, too.
    match scales.iter().all(|scale| (scale * f32::from(i8::MAX)).is_finite()) {
        true => Ok(()),
        false => Err(WeightsError::NotFinite(name.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Seeded;

    #[test]
    fn integers_are_the_nearest_and_reach_the_limit_in_each_row() {
        let matrix = QuantizedMatrix::of(&[1.0, -0.49, 0.5, 0.0, -8.0, 4.0], 2, 64);
        assert_eq!(
            matrix,
            QuantizedMatrix { values: [64, -31, 32, 0, -64, 32].to_vec(), scales: [1.0 / 64.0, 0.125].to_vec() }
        );
        assert_eq!(matrix.dequantized(), [1.0, -0.484375, 0.5, 0.0, -8.0, 4.0]);
        let nothing = QuantizedMatrix::of(&[0.0; 4], 2, 64);
        assert_eq!((nothing.values.as_slice(), nothing.dequantized().as_slice()), (&[0; 4][..], &[0.0; 4][..]));
    }

    #[test]
    fn a_model_is_given_exactly_what_a_file_would_have() {
        let chosen = BTreeMap::from([("a.weight".to_string(), MULTIPLIED)]);
        let mut source = Quantizing::new(Seeded::new(3), chosen);
        let init = Init::Normal(0.1);
        let whole = Seeded::new(3).read("a.weight", &[4, 50], init).expect("seeded");
        let read = source.read("a.weight", &[4, 50], init).expect("read");
        let matrix = source.quantized("a.weight", &[4, 50], init).expect("read").expect("chosen");
        assert_eq!(matrix.dequantized(), read);
        let furthest = whole.iter().zip(&read).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let step = matrix.scales.iter().copied().fold(0.0, f32::max);
        assert!(furthest > 0.2 * step && furthest <= 0.5001 * step, "{furthest} of {step}");
        assert_eq!(source.quantized("b.weight", &[4, 50], init).expect("read"), None);
        let rounded = source.read("b.weight", &[2, 3], init).expect("read");
        assert!(rounded.iter().all(|value| half::f16::from_f32(*value).to_f32() == *value));
        let bias = Seeded::new(3).read("b.bias", &[3], init).expect("seeded");
        assert_eq!(source.read("b.bias", &[3], init).expect("read"), bias);
    }
}
