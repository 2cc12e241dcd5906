//! Reading a safetensors file tensor by tensor, so that the file is never in memory as a whole.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use alloc::{collections::BTreeMap, format};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::{Init, TensorSource, WeightsError};

/// The longest header that is read; the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Bytes at an offset: a file, or memory.
pub trait ReadAt {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// [`WeightsError::Read`] if not all of it could be read.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), WeightsError>;
}

impl ReadAt for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), WeightsError> {
        let end = "unexpected end";
        let start = usize::try_from(offset).map_err(|_| WeightsError::Read(end.into()))?;
        let stop = start.checked_add(buffer.len()).ok_or_else(|| WeightsError::Read(end.into()))?;
        buffer.copy_from_slice(self.get(start..stop).ok_or_else(|| WeightsError::Read(end.into()))?);
        Ok(())
    }
}

/// An opened safetensors file: its header, and where its tensors are.
pub struct SafetensorsFile<R> {
    bytes: R,
    data_start: u64,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
}

impl<R: ReadAt> SafetensorsFile<R> {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// [`WeightsError::NotSafetensors`] with what is wrong, or [`WeightsError::Read`].
    pub fn open(mut bytes: R) -> Result<Self, WeightsError> {
        let size = bytes.size();
        let bad = |problem: &str| WeightsError::NotSafetensors(problem.to_string());
        if size < 8 {
            return Err(bad(if size == 0 { "it is empty" } else { "it is shorter than a header" }));
        }
        let mut length = [0; 8];
        bytes.read_at(0, &mut length)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length > size - 8 {
            return Err(bad("its header is longer than the file"));
        }
        let mut header = vec![0; length as usize];
        bytes.read_at(8, &mut header)?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|e| bad(&format!("its header is broken: {e}")))?;
        let data_start = 8 + length;
        let data_size = size - data_start;
        if header.data_len() as u64 != data_size {
            return Err(bad(&format!(
                "its header promises {} bytes of tensors, {data_size} are there",
                header.data_len()
            )));
        }
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let tensors = header.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        Ok(Self { bytes, data_start, tensors, metadata })
    }

    /// The text stored under `key` in the header's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The stored type of the tensor `name`.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|info| info.dtype)
    }

    /// The values of the tensor `name` as f32, row by row, whatever type they are stored in.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Dtype`] or [`WeightsError::Read`].
    pub fn values(&mut self, name: &str) -> Result<Vec<f32>, WeightsError> {
        let info = self.tensors.get(name).ok_or_else(|| WeightsError::Missing(name.to_string()))?;
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.bytes.read_at(self.data_start + start as u64, &mut bytes)?;
        decode_f32(name, info.dtype, &bytes)
    }
}

impl<R: ReadAt> TensorSource for SafetensorsFile<R> {
    fn read(&mut self, name: &str, shape: &[usize], _init: Init) -> Result<Vec<f32>, WeightsError> {
        match self.shape(name) {
            None => Err(WeightsError::Missing(name.to_string())),
            Some(found) if found != shape => {
                Err(WeightsError::Shape { name: name.to_string(), found, expected: shape.to_vec() })
            }
            Some(_) => self.values(name),
        }
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|info| info.shape.clone())
    }
}

/// Little-endian `bytes` of type `dtype` as f32; `name` is for the error.
///
/// # Errors
/// [`WeightsError::Dtype`] for anything but F64, F32, F16 and BF16.
pub fn decode_f32(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, WeightsError> {
    fn each<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| decode(*chunk)).collect()
    }
    match dtype {
        Dtype::F32 => Ok(each(bytes, f32::from_le_bytes)),
        Dtype::F16 => Ok(each(bytes, |chunk| f16::from_le_bytes(chunk).to_f32())),
        Dtype::BF16 => Ok(each(bytes, |chunk| bf16::from_le_bytes(chunk).to_f32())),
        Dtype::F64 => Ok(each(bytes, |chunk| f64::from_le_bytes(chunk) as f32)),
        other => Err(WeightsError::Dtype { name: name.to_string(), dtype: format!("{other:?}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small_file() -> Vec<u8> {
        let data: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![2, 3], &data).expect("a view");
        safetensors::serialize([("w", view)], None).expect("serialised")
    }

    #[test]
    fn values_and_shape_come_back() {
        let bytes = small_file();
        let mut file = SafetensorsFile::open(bytes.as_slice()).expect("opens");
        assert_eq!(file.shape("w"), Some(vec![2, 3]));
        assert_eq!(file.values("w").expect("values"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(matches!(file.read("w", &[3, 2], Init::Zeros), Err(WeightsError::Shape { .. })));
        assert!(matches!(file.read("v", &[3, 2], Init::Zeros), Err(WeightsError::Missing(_))));
    }

    #[test]
    fn every_truncation_and_every_longer_file_is_refused() {
        let bytes = small_file();
        for length in 0..bytes.len() {
            assert!(SafetensorsFile::open(&bytes[..length]).is_err(), "a file cut to {length} bytes was accepted");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(SafetensorsFile::open(longer.as_slice()).is_err());
    }

    #[test]
    fn any_single_changed_header_byte_is_refused_or_read_without_a_panic() {
        let bytes = small_file();
        for index in 0..bytes.len() {
            for value in [0, b'"', b'9', 255] {
                let mut changed = bytes.clone();
                changed[index] = value;
                if let Ok(mut file) = SafetensorsFile::open(changed.as_slice()) {
                    for name in file.names() {
                        let _ = file.values(&name);
                    }
                }
            }
        }
    }
}
