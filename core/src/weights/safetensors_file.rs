//! Reading a safetensors file tensor by tensor, so that the file is never in memory as a whole.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use alloc::{collections::BTreeMap, format};

use burn::tensor::Bytes;
use half::slice::HalfFloatSliceExt;
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

    /// So many bytes from `offset`, not copied, where they are in memory that stays as it is.
    fn shared(&self, _offset: u64, _length: usize) -> Option<Bytes> {
        None
    }
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

    /// The type and the bytes of the tensor `name`, which are shared where they are in memory.
    fn stored(&mut self, name: &str) -> Result<(Dtype, Bytes), WeightsError> {
        let info = self.tensors.get(name).ok_or_else(|| WeightsError::Missing(name.to_string()))?;
        let (start, end) = info.data_offsets;
        let offset = self.data_start + start as u64;
        if let Some(bytes) = self.bytes.shared(offset, end - start) {
            return Ok((info.dtype, bytes));
        }
        let mut bytes = vec![0; end - start];
        self.bytes.read_at(offset, &mut bytes)?;
        Ok((info.dtype, Bytes::from_bytes_vec(bytes)))
    }

    /// The bytes of the tensor `name` where they are in memory, and there as a tensor of f32 has them.
    fn shared(&self, name: &str) -> Option<Bytes> {
        let info = self.tensors.get(name).filter(|info| info.dtype == Dtype::F32 && cfg!(target_endian = "little"))?;
        let (start, end) = info.data_offsets;
        let bytes = self.bytes.shared(self.data_start + start as u64, end - start)?;
        bytes.as_ptr().cast::<f32>().is_aligned().then_some(bytes)
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
        Ok(Some(QuantizedMatrix { values: bytes.iter().copied().map(u8::cast_signed).collect(), scales }))
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

    fn bytes(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Bytes, WeightsError> {
        match self.shared(name).filter(|_| self.shape(name).is_some_and(|found| found == shape)) {
            Some(bytes) => Ok(bytes),
            None => self.read(name, shape, init).map(Bytes::from_elems),
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

/// Values of f16 that one core converts at a time: a large detector has some hundred million.
const HALVES: usize = 1 << 18;

/// Little-endian f16 as f32, on all cores where there are several.
fn halves(bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / 2];
    #[cfg(feature = "threads")]
    {
        use rayon::prelude::*;
        bytes.par_chunks(2 * HALVES).zip(values.par_chunks_mut(HALVES)).for_each(|(some, values)| widen(some, values));
    }
    #[cfg(not(feature = "threads"))]
    bytes.chunks(2 * HALVES).zip(values.chunks_mut(HALVES)).for_each(|(some, values)| widen(some, values));
    values
}

/// The same for some of them, by the processor's own instructions where it has any.
fn widen(bytes: &[u8], values: &mut [f32]) {
    let mut some = [f16::ZERO; 1024];
    for (bytes, values) in bytes.as_chunks::<2>().0.chunks(some.len()).zip(values.chunks_mut(some.len())) {
        let some = &mut some[..bytes.len()];
        some.iter_mut().zip(bytes).for_each(|(half, bytes)| *half = f16::from_le_bytes(*bytes));
        some.convert_to_f32_slice(values);
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
        Dtype::F16 => Ok(halves(bytes)),
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

    /// A file in memory, with so many bytes before it.
    struct Resident(bytes::Bytes);

    impl Resident {
        fn new(file: &[u8], before: usize) -> Self {
            let mut all = vec![0; before];
            all.extend_from_slice(file);
            Self(bytes::Bytes::from(all).slice(before..))
        }
    }

    impl ReadAt for Resident {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), WeightsError> {
            self.0.as_ref().read_at(offset, buffer)
        }

        fn shared(&self, offset: u64, length: usize) -> Option<Bytes> {
            let start = offset as usize;
            Some(Bytes::from_shared(self.0.slice(start..start + length), burn::tensor::AllocationProperty::Other))
        }
    }

    #[test]
    fn what_is_in_memory_is_not_copied_unless_it_lies_between_numbers() {
        let file = small_file();
        let copied = (0..8).filter(|before| {
            let resident = Resident::new(&file, *before);
            let within = resident.0.as_ptr_range();
            let mut opened = SafetensorsFile::open(resident).expect("opens");
            let bytes = opened.bytes("w", &[2, 3], Init::Zeros).expect("bytes");
            assert_eq!(opened.read("w", &[2, 3], Init::Zeros).expect("values"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            let values = burn::tensor::TensorData::from_bytes(bytes.clone(), [6], burn::tensor::DType::F32);
            assert_eq!(values.as_slice::<f32>().expect("f32"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            assert!(matches!(opened.bytes("w", &[3, 2], Init::Zeros), Err(WeightsError::Shape { .. })));
            !within.contains(&bytes.as_ptr())
        });
        assert_eq!(copied.count(), 6, "two of eight places are whole numbers of f32");
    }

    #[test]
    fn halves_are_read_in_any_number_as_one_by_one() {
        let halves: Vec<u16> = (0..3001).map(|index| index * 21).collect();
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        for count in [0, 1, 7, 1024, 1025, 3001] {
            let found = decode_f32("w", Dtype::F16, &bytes[..2 * count]).expect("decoded");
            let expected = halves[..count].iter().map(|half| f16::from_bits(*half).to_f32().to_bits());
            assert!(found.iter().map(|value| value.to_bits()).eq(expected), "{count}");
        }
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
