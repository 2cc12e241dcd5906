//! How fast a stage is: what `unmask bench` prints and [`compare`](crate::compare) reads.

use serde::{Deserialize, Serialize};

/// The stage that is the model alone.
pub const TOWER: &str = "tower";

/// One line of the table.
#[derive(Serialize, Deserialize)]
pub struct Row {
    /// What was measured: `decode`, `faces`, `detector` or [`TOWER`].
    pub stage: String,
    /// Of what, in words.
    pub what: String,
    /// Frames in one measured repetition.
    pub batch: usize,
    /// Milliseconds a frame, the median.
    pub milliseconds: f64,
    /// Floating-point operations a frame, where the stage is counted in them.
    pub flops: Option<u64>,
    /// Peak memory of the process after this stage, in bytes.
    pub peak: Option<u64>,
}
