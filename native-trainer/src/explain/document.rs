//! The numbers of all maps.

use anyhow::{Context, Result};
use serde::Serialize;
use unmask_core::pipeline::report::{ModelInfo, Report, Verdict};

use super::Method;
use super::walk::{ExplainedFace, ExplainedFrame};

/// What `explanation.json` holds.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    version: u32,
    input: String,
    verdict: Verdict,
    score: Option<f32>,
    model: ModelInfo,
    method: &'static str,
    faces: Vec<Face>,
}

/// A face and its maps.
#[derive(Debug, Serialize)]
struct Face {
    frame: usize,
    time_s: f64,
    track: usize,
    score: f32,
    /// The part of all that speaks for either class in its clip which is in this frame.
    share: f32,
    /// Squares of the aligned crop in a row, and in a column.
    side: usize,
    /// What speaks for a fake, row by row; comparable within a clip.
    fake: Vec<f32>,
    /// What speaks for a real face.
    real: Vec<f32>,
}

impl Document {
    pub(super) fn new(report: &Report, method: Method) -> Self {
        Self {
            version: 1,
            input: report.input.clone(),
            verdict: report.verdict,
            score: report.score,
            model: report.model.clone(),
            method: method.name(),
            faces: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, frame: &ExplainedFrame) {
        let ExplainedFrame { index, time_s, .. } = *frame;
        let face = |ExplainedFace { track, score, map, share, .. }: &ExplainedFace| Face {
            frame: index,
            time_s,
            track: *track,
            score: *score,
            share: *share,
            side: map.side,
            fake: map.fake.clone(),
            real: map.real.clone(),
        };
        self.faces.extend(frame.faces.iter().map(face));
    }

    pub(super) fn count(&self) -> usize {
        self.faces.len()
    }

    pub(super) fn json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec(self).context("the maps cannot be written as JSON")?;
        json.push(b'\n');
        Ok(json)
    }
}
