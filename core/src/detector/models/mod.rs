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
