//! What a safetensors file is made of, known before its tensors are read, so that it can be written as they come.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::WeightsError;

/// Header and data of a file are aligned to this many bytes.
const ALIGNMENT: usize = 8;

/// The type that a tensor of this shape has in a file of half the size: f16 for matrices and convolutions, which are nearly all
/// of it, and f32 for norms, biases and statistics.
pub fn halved(shape: &[usize]) -> Dtype {
    if shape.len() < 2 { Dtype::F32 } else { Dtype::F16 }
}

/// `values` rounded to f16, all of which must be finite there; `name` is for the error.
///
/// # Errors
/// [`WeightsError::NotF16`].
pub fn to_f16(name: &str, values: &[f32]) -> Result<Vec<f16>, WeightsError> {
    let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
    match halves.iter().all(|half| half.is_finite()) {
        true => Ok(halves),
        false => Err(WeightsError::NotF16(name.to_string())),
    }
}

/// One tensor's place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How it is stored.
    pub dtype: Dtype,
}

impl Placed {
    /// The bytes of `values`, row by row, as they are stored.
    ///
    /// # Errors
    /// [`WeightsError::NotF16`].
    pub fn bytes(&self, values: &[f32]) -> Result<Vec<u8>, WeightsError> {
        Ok(match self.dtype {
            Dtype::F16 => to_f16(&self.name, values)?.into_iter().flat_map(f16::to_le_bytes).collect(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        })
    }

    fn length(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// A file of tensors, matrices in f16 ([`halved`]), in the order in which the `safetensors` crate writes them.
#[derive(Clone, Debug)]
pub struct Layout {
    header: Vec<u8>,
    tensors: Vec<Placed>,
}

impl Layout {
    /// The file of these tensors, names with shapes, and of `text` under `key` in the header's metadata.
    ///
    /// # Errors
    /// [`WeightsError::NotSafetensors`] for sizes that no file has.
    pub fn new(tensors: Vec<(String, Vec<usize>)>, key: &str, text: &str) -> Result<Self, WeightsError> {
        let place = |(name, shape): (String, Vec<usize>)| Placed { dtype: halved(&shape), name, shape };
        let mut tensors: Vec<Placed> = tensors.into_iter().map(place).collect();
        tensors.sort_by(|one, other| other.dtype.cmp(&one.dtype).then_with(|| one.name.cmp(&other.name)));
        let mut start = 0;
        let info = |tensor: &Placed| {
            let end = start + tensor.length();
            let data_offsets = (core::mem::replace(&mut start, end), end);
            (tensor.name.clone(), TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets })
        };
        let infos = tensors.iter().map(info).collect();
        let metadata = core::iter::once((key.to_string(), text.to_string())).collect();
        let metadata = Metadata::new(Some(metadata), infos).map_err(refused)?;
        let mut json = serde_json::to_vec(&metadata).map_err(refused)?;
        json.resize(json.len().next_multiple_of(ALIGNMENT), b' ');
        let header = (json.len() as u64).to_le_bytes().into_iter().chain(json).collect();
        Ok(Self { header, tensors })
    }

    /// What stands before the tensors' bytes.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The tensors in the order in which their bytes follow.
    pub fn tensors(&self) -> &[Placed] {
        &self.tensors
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.header.len() as u64 + self.tensors.iter().map(|tensor| tensor.length() as u64).sum::<u64>()
    }
}

fn refused(error: impl ToString) -> WeightsError {
    WeightsError::NotSafetensors(error.to_string())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::weights::SafetensorsFile;

    #[test]
    fn a_file_written_by_its_layout_is_read_back() {
        let tensors = vec![("b.weight".to_string(), vec![2, 2]), ("a.bias".to_string(), vec![3])];
        let layout = Layout::new(tensors, "unmask", "{\"a\":1}").unwrap();
        let values: [&[f32]; 2] = [&[1.0, 2.0, 3.0], &[0.5, -1.5, 2.0, 65504.0]];
        let mut bytes = layout.header().to_vec();
        for (tensor, values) in layout.tensors().iter().zip(values) {
            bytes.extend(tensor.bytes(values).unwrap());
        }
        assert_eq!(bytes.len() as u64, layout.size());
        let mut file = SafetensorsFile::open(bytes.as_slice()).unwrap();
        assert_eq!(file.metadata("unmask"), Some("{\"a\":1}"));
        assert_eq!((file.dtype("a.bias"), file.dtype("b.weight")), (Some(Dtype::F32), Some(Dtype::F16)));
        assert_eq!(file.values("a.bias").unwrap(), values[0]);
        assert_eq!(file.values("b.weight").unwrap(), values[1]);
    }

    #[test]
    fn what_f16_cannot_hold_is_refused() {
        let layout = Layout::new(vec![("w".to_string(), vec![1, 1])], "k", "t").unwrap();
        assert!(matches!(layout.tensors()[0].bytes(&[1e6]), Err(WeightsError::NotF16(name)) if name == "w"));
    }
}
