//! Reading the face networks out of their safetensors files.

use burn::tensor::Device;

use super::FaceError;
use crate::weights::{Loader, SafetensorsFile, WeightsError};

/// What `build` makes of the safetensors file in `bytes`, called `file` in errors; its layers live on `device`.
///
/// # Errors
/// The first tensor that is missing, misshapen, not finite or not asked for by `build`.
pub(super) fn load<T>(
    bytes: &[u8],
    file: &'static str,
    device: &Device,
    build: impl FnOnce(&mut Loader) -> Result<T, WeightsError>,
) -> Result<T, FaceError> {
    let all = || {
        let mut tensors = SafetensorsFile::open(bytes)?;
        let mut loader = Loader::new(&mut tensors, device);
        let built = build(&mut loader)?;
        loader.finish()?;
        Ok(built)
    };
    all().map_err(|problem| FaceError { file, problem })
}
