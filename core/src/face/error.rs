//! What can be wrong with the weights of the face finder.

use crate::weights::WeightsError;

/// Why the face finder's weights were refused. Nothing is loaded in part.
#[derive(Debug, thiserror::Error)]
#[error("the face finder's {file} {problem}")]
pub struct FaceError {
    /// Name of the file that belongs here.
    pub file: &'static str,
    /// What is wrong with it.
    pub problem: WeightsError,
}
