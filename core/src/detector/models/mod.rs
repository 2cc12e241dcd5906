//! The models, one file (or folder) each: the sizes that a detector's description holds, and the network.

pub mod clip;
pub mod dicome;
pub mod efficientnet;
mod rope;
pub mod stan;
pub mod swin;
pub mod tall;
pub mod timesformer;
pub mod udd;
pub mod vit;
pub mod xception;

/// Mean and deviation of the channels (RGB in 0..1) of ImageNet's images.
pub(super) const IMAGENET_NORMALISATION: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
