//! Where a report comes from: hashes of everything that it rests on, what the file says of itself, how the program was called,
//! and which frames were used. It is the part of a report that only this program fills in, and what `unmask verify` goes by.
//!
//! `input` is about the file that was scored and is gathered beside scoring, `program` about what scored it.

mod input;
mod program;

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use unmask_core::pipeline::report::{Report, Unused};

use crate::credentials::{Credentials, Looking};

pub use input::{Gathering, InputFacts, Prints, prints};
pub use program::{DetectorFacts, ProgramFacts, Run, Settings};

/// A report with where it comes from, as `--report` writes it: the fields of both beside each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// What was found.
    #[serde(flatten)]
    pub report: Report,
    /// What the file says under a signature, which changes nothing of the report; absent where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_credentials: Option<Credentials>,
    /// Where it comes from; absent where nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

impl Document {
    /// A report with what its file says under a signature, which is waited for whether or not there is a report: it reads the
    /// file, which may go then.
    ///
    /// # Errors
    /// There is no report.
    pub fn of(report: Result<Report>, looking: Looking) -> Result<Self> {
        let credentials = looking.finish();
        Ok(Self { report: report?, content_credentials: Some(credentials), provenance: None })
    }
}

/// Where a report comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// When scoring began, as in RFC 3339.
    pub made: String,
    /// What was scored.
    pub input: InputFacts,
    /// The frames that were used, and those that were not.
    pub frames: FrameUse,
    /// What scored, the first that was named first.
    pub detectors: Vec<DetectorFacts>,
    /// How.
    pub settings: Settings,
    /// With which program.
    pub program: ProgramFacts,
}

/// How many frames were used, and how many were not, by the reason. `frames` of the report has the reason of each frame that was
/// looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameUse {
    /// Frames of the whole input, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_input: Option<u64>,
    /// Frames between those that are sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_sampled: Option<u64>,
    /// Frames that were to be looked at and did not come: they could not be decoded, or were the same as another.
    pub not_decoded: u64,
    /// Frames that were looked at.
    pub looked_at: u64,
    /// Frames with somebody in them who has a part in the verdict.
    pub used: u64,
    /// Frames without, by the reason.
    pub left_out: BTreeMap<Unused, u64>,
}

impl FrameUse {
    /// That of a report, for which `asked` frames were to be looked at.
    pub fn of(report: &Report, asked: usize) -> Self {
        let looked_at = report.frames.len() as u64;
        let in_input = report.video.frame_count;
        let sampled = in_input.map(|count| count.min(asked as u64).max(looked_at));
        let mut left_out = BTreeMap::new();
        for reason in report.frames.iter().filter_map(|frame| frame.left_out) {
            *left_out.entry(reason).or_insert(0) += 1;
        }
        Self {
            in_input,
            not_sampled: in_input.zip(sampled).map(|(count, sampled)| count.saturating_sub(sampled)),
            not_decoded: sampled.map_or(0, |sampled| sampled - looked_at),
            looked_at,
            used: looked_at - left_out.values().sum::<u64>(),
            left_out,
        }
    }
}
