//! The models, one file (or folder) each: the sizes that a detector's description holds, and the network.

pub mod clip;
pub mod efficientnet;
pub mod stan;
pub mod xception;
