//! What can be wrong with a file of weights.

use alloc::string::String;
use alloc::vec::Vec;

/// A problem with weights. The text names no file: whoever opened the file puts its name in front.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The bytes could not be read.
    #[error("could not be read ({0}); check that the file is complete and readable")]
    Read(String),
    /// Not a safetensors file, or one that was cut short.
    #[error("is not a complete safetensors file ({0}); download or export it again")]
    NotSafetensors(String),
    /// A safetensors file without this project's metadata.
    #[error("is not a detector file (its header has no `unmask` document); convert a checkpoint with `unmask import`")]
    NotADetector,
    /// The metadata document does not parse.
    #[error("has a detector description that cannot be read ({0}); make the file again with `unmask import`")]
    BadSpec(String),
    /// The metadata document parses but says something impossible.
    #[error("describes an impossible detector: {0}; make the file again with `unmask import`")]
    ImpossibleSpec(String),
    /// A tensor that the architecture needs is not there.
    #[error("lacks the tensor `{0}` that its architecture needs; export the checkpoint again")]
    Missing(String),
    /// A tensor that the architecture does not know.
    #[error("has a tensor `{0}` that its architecture does not know; check that the architecture is the right one")]
    Extra(String),
    /// A tensor of another shape than the architecture's.
    #[error("has tensor `{name}` of shape {found:?} where its architecture needs {expected:?}; check the architecture")]
    Shape {
        /// The tensor's name.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape the architecture needs.
        expected: Vec<usize>,
    },
    /// A backbone where a detector is wanted.
    #[error("has no head, so it is a backbone and no detector; train one on it with `unmask train`, and take that")]
    NoHead,
    /// Values outside of what f16 holds.
    #[error("has values in `{0}` that f16 cannot hold; keep the file as it is")]
    NotF16(String),
    /// A file that is of none of the known formats.
    #[error(
        "is neither a detector file nor a checkpoint of a known format (its first tensor is `{0}`); name another file"
    )]
    UnknownFormat(String),
    /// A format that there is not.
    #[error("is said to be a checkpoint of the format `{0}`, which is not known; name another, or none")]
    NoSuchFormat(String),
    /// A file that several formats fit.
    #[error("could be a checkpoint of several formats ({0}); say which it is")]
    SeveralFormats(String),
    /// A tensor with NaN or infinite values.
    #[error("has values that are not finite numbers in tensor `{0}`; the training that made it diverged")]
    NotFinite(String),
    /// A tensor stored in a type that is not supported.
    #[error("stores tensor `{name}` as {dtype}, which is not supported; export it as F32, F16 or BF16")]
    Dtype {
        /// The tensor's name.
        name: String,
        /// The type's name in the file.
        dtype: String,
    },
    /// A checkpoint of another kind than was said.
    #[error("does not look like {expected}: {found}; choose another `--from`")]
    WrongKind {
        /// What was expected.
        expected: &'static str,
        /// What was found instead.
        found: String,
    },
    /// More than one network, between which names do not choose.
    #[error("holds several networks ({0}); choose one with `--key`")]
    SeveralNetworks(String),
    /// An adapter of PEFT's that is not understood, or belongs to another checkpoint.
    #[error(
        "is an adapter that cannot be merged: {0}; merge it in Python with `merge_and_unload()` and import what \
         `save_pretrained` then writes"
    )]
    Peft(String),
    /// Shapes that leave the number of attention heads open.
    #[error(
        "has the shapes of no published CLIP (width {width}, {depth} layers, patches of {patch} pixels), and shapes do not \
         tell how many attention heads there are; put the checkpoint's config.json beside it, or give `--heads`"
    )]
    HeadsUnknown {
        /// Width of the tower.
        width: usize,
        /// Its layers.
        depth: usize,
        /// Side of a patch in pixels.
        patch: usize,
    },
    /// A `config.json` that describes another network than the one beside it.
    #[error("has {key} {found} where config.json beside it says {said}; put the right config.json there, or none")]
    OtherConfig {
        /// The key in `config.json`.
        key: &'static str,
        /// What the shapes say.
        found: usize,
        /// What it says.
        said: usize,
    },
    /// An adapter without its base.
    #[error("is an adapter for the detector with SHA-256 {0}; give that file with `--base FILE`")]
    BaseNeeded(String),
    /// An adapter with a base that is not its own.
    #[error(
        "is an adapter for the detector with SHA-256 {expected}, but the given base has {found}; give the right base"
    )]
    WrongBase {
        /// SHA-256 of the base the adapter was trained on.
        expected: String,
        /// SHA-256 of the base that was given.
        found: String,
    },
}

impl WeightsError {
    /// What went wrong, for programs; it stays the same where sentences change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(_) => "unreadable",
            Self::BaseNeeded(_) => "base_needed",
            Self::WrongBase { .. } => "wrong_base",
            // Everything else is in the file itself.
            _ => "bad_detector",
        }
    }
}
