//! What can be wrong with the weights of the face finder.

use alloc::string::String;
use alloc::vec::Vec;

/// Why the face finder's weights were refused. Nothing is loaded in part.
#[derive(Debug, thiserror::Error)]
pub enum FaceError {
    /// The bytes are no safetensors file.
    #[error("the face finder's weights are no safetensors file ({reason}): use an undamaged {file}")]
    Unreadable {
        /// Name of the file that belongs here.
        file: &'static str,
        /// What the safetensors reader said.
        reason: String,
    },
    /// A tensor is not there.
    #[error("the face finder's weights lack the tensor {name}: use the complete {file}")]
    Missing {
        /// Name of the file that belongs here.
        file: &'static str,
        /// Name of the tensor.
        name: String,
    },
    /// There is a tensor that belongs to no network of this file.
    #[error("the face finder's weights hold the unknown tensor {name}: use the original {file}")]
    Unknown {
        /// Name of the file that belongs here.
        file: &'static str,
        /// Name of the tensor.
        name: String,
    },
    /// A tensor has another shape or element type than its layer.
    #[error(
        "the face finder's tensor {name} is {found} {found_shape:?}, not F32 {expected_shape:?}: use the original {file}"
    )]
    Misshapen {
        /// Name of the file that belongs here.
        file: &'static str,
        /// Name of the tensor.
        name: String,
        /// Its element type.
        found: String,
        /// Its shape.
        found_shape: Vec<usize>,
        /// The shape of the layer's parameter.
        expected_shape: Vec<usize>,
    },
    /// A tensor holds an infinity or NaN.
    #[error("the face finder's tensor {name} holds a number that is not finite: use an undamaged copy of {file}")]
    NotFinite {
        /// Name of the file that belongs here.
        file: &'static str,
        /// Name of the tensor.
        name: String,
    },
}
