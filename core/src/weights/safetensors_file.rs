//! Reading a safetensors file tensor by tensor, so that the file is never in memory as a whole.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use alloc::{collections::BTreeMap, format};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::quantized::{SCALE_SUFFIX, scale_name};
use super::{Init, QuantizedMatrix, TensorSource, WeightsError};

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
    /// [`WeightsError::Missing`], [`WeightsError::Dtype`] or [`WeightsError::Read`]; and [`WeightsError::Shape`] where the
    /// factors of integers are not as many as their rows.
    pub fn values(&mut self, name: &str) -> Result<Vec<f32>, WeightsError> {
        match self.integers(name)? {
            Some(matrix) => Ok(matrix.dequantized()),
            None => {
                let (dtype, bytes) = self.stored(name)?;
                decode_f32(name, dtype, &bytes)
            }
        }
    }

    /// The type and the bytes of the tensor `name`.
    fn stored(&mut self, name: &str) -> Result<(Dtype, Vec<u8>), WeightsError> {
        let info = self.tensors.get(name).ok_or_else(|| WeightsError::Missing(name.to_string()))?;
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.bytes.read_at(self.data_start + start as u64, &mut bytes)?;
        Ok((info.dtype, bytes))
    }

    /// The tensor `name` as integers with their factors, where it is stored so.
    fn integers(&mut self, name: &str) -> Result<Option<QuantizedMatrix>, WeightsError> {
        if !self.is_integers(name) {
            return Ok(None);
        }
        let rows = self.shape(name).and_then(|shape| shape.first().copied()).unwrap_or(1);
        let factors = scale_name(name);
        match self.shape(&factors) {
            None => return Err(WeightsError::Missing(factors)),
            Some(found) if found != [rows] => {
                return Err(WeightsError::Shape { name: factors, found, expected: [rows].to_vec() });
            }
            Some(_) => {}
        }
        let (dtype, bytes) = self.stored(&factors)?;
        let scales = decode_f32(&factors, dtype, &bytes)?;
        let (_, bytes) = self.stored(name)?;
        Ok(Some(QuantizedMatrix { values: bytes.into_iter().map(u8::cast_signed).collect(), scales }))
    }

    fn is_integers(&self, name: &str) -> bool {
        self.dtype(name) == Some(Dtype::I8)
    }

    /// Whether the tensor `name` is no tensor of the model, but the factors of one that is stored as integers.
    fn is_scale(&self, name: &str) -> bool {
        name.strip_suffix(SCALE_SUFFIX).is_some_and(|weight| self.is_integers(weight))
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

    fn quantized(&mut self, name: &str, shape: &[usize], _init: Init) -> Result<Option<QuantizedMatrix>, WeightsError> {
        match self.shape(name) {
            Some(found) if found == shape => self.integers(name),
            // What is missing or of another shape, reading it says.
            _ => Ok(None),
        }
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().filter(|name| !self.is_scale(name)).cloned().collect()
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

    /// A file with a weight of integers and factors of this type and number beside it.
    fn quantized_file(factors: Dtype, count: usize) -> Vec<u8> {
        let integers: Vec<u8> = [1i8, -2, 3, -64, 64, 0].map(i8::cast_unsigned).to_vec();
        let scales = vec![0x3f; factors.bitsize() / 8 * count];
        let view = |dtype, shape, data| safetensors::tensor::TensorView::new(dtype, shape, data).expect("a view");
        let tensors = [("w", view(Dtype::I8, vec![2, 3], &integers)), ("w_scale", view(factors, vec![count], &scales))];
        safetensors::serialize(tensors, None).expect("serialised")
    }

    #[test]
    fn a_weight_of_integers_is_read_as_the_numbers_they_stand_for() {
        let bytes = quantized_file(Dtype::F32, 2);
        let mut file = SafetensorsFile::open(bytes.as_slice()).expect("opens");
        let scale = f32::from_le_bytes([0x3f; 4]);
        assert_eq!(file.names(), ["w"], "factors are no tensor of a model");
        assert_eq!(file.values("w").expect("values"), [1.0, -2.0, 3.0, -64.0, 64.0, 0.0].map(|v: f32| v * scale));
        let matrix = file.quantized("w", &[2, 3], Init::Zeros).expect("read").expect("integers");
        assert_eq!((matrix.values, matrix.scales), (vec![1, -2, 3, -64, 64, 0], vec![scale; 2]));
        assert!(matches!(file.read("w", &[3, 2], Init::Zeros), Err(WeightsError::Shape { .. })));
        assert_eq!(file.quantized("w", &[3, 2], Init::Zeros).expect("left to reading"), None);
    }

    #[test]
    fn integers_without_a_factor_for_each_row_are_refused() {
        let bytes = quantized_file(Dtype::F32, 3);
        let error = SafetensorsFile::open(bytes.as_slice()).expect("opens").values("w").expect_err("three factors");
        assert!(matches!(&error, WeightsError::Shape { name, .. } if name == "w_scale"), "{error}");
        let bytes = quantized_file(Dtype::I16, 2);
        let error = SafetensorsFile::open(bytes.as_slice()).expect("opens").values("w").expect_err("integer factors");
        assert!(matches!(&error, WeightsError::Dtype { name, .. } if name == "w_scale"), "{error}");
        let view = safetensors::tensor::TensorView::new(Dtype::I8, vec![1, 1], &[1]).expect("a view");
        let bytes = safetensors::serialize([("w", view)], None).expect("serialised");
        let error = SafetensorsFile::open(bytes.as_slice()).expect("opens").values("w").expect_err("no factors");
        assert!(matches!(&error, WeightsError::Missing(name) if name == "w_scale"), "{error}");
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
