//! What a comparison found.

use serde::{Deserialize, Serialize};

use super::config::DataSet;
use crate::datasets::Part;
use crate::evaluation::DroppedCount;
use crate::evaluation::figures::Figures;

/// The version of the layout.
pub(super) const VERSION: u32 = 1;

/// Everything that the tables show.
#[derive(Serialize)]
pub(super) struct Comparison {
    /// [`VERSION`].
    pub(super) version: u32,
    /// What `--device` said.
    pub(super) device: String,
    /// The columns.
    pub(super) datasets: Vec<DatasetEntry>,
    /// The rows.
    pub(super) methods: Vec<MethodEntry>,
}

#[derive(Serialize)]
pub(super) struct DatasetEntry {
    pub(super) name: String,
    #[serde(rename = "split")]
    pub(super) part: Part,
    pub(super) self_blended: bool,
}

impl DatasetEntry {
    /// That of a data set of the configuration.
    pub(super) fn of(set: &DataSet) -> Self {
        Self { name: set.name.clone(), part: set.part, self_blended: set.self_blended }
    }
}

#[derive(Serialize)]
pub(super) struct MethodEntry {
    pub(super) name: String,
    pub(super) detector: Outcome<DetectorEntry>,
    /// On each data set, in their order; none where there is no detector.
    pub(super) measured: Vec<Outcome<Measured>>,
    /// None where there is no detector.
    pub(super) efficiency: Option<Efficiency>,
}

#[derive(Serialize)]
pub(super) struct DetectorEntry {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) sha256: String,
}

/// What a step gave, or why it gave nothing.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome<T> {
    Found(T),
    Missing(Missing),
}

impl<T> Outcome<T> {
    pub(super) fn found(&self) -> Result<&T, &Missing> {
        match self {
            Self::Found(found) => Ok(found),
            Self::Missing(missing) => Err(missing),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Missing {
    pub(super) kind: MissingKind,
    /// In a sentence.
    pub(super) reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MissingKind {
    /// The videos are not there.
    NoData,
    /// The detector is not there.
    NotThere,
    Failed,
}

impl MissingKind {
    /// What stands in its cells.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::NoData => "no data",
            Self::NotThere => "not there",
            Self::Failed => "failed",
        }
    }
}

/// A detector on a data set.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Of the videos.
    pub(super) figures: Figures,
    /// Videos that the figures are without.
    pub(super) dropped: Vec<DroppedCount>,
    /// In what the data differs from what scoring sees.
    pub(super) remarks: Vec<String>,
}

/// What a detector costs.
#[derive(Serialize)]
pub(super) struct Efficiency {
    pub(super) parameters: usize,
    /// None where nobody says what was trained.
    pub(super) trained: Option<usize>,
    /// Of the detector's file.
    pub(super) bytes: u64,
    /// For one frame; a multiply-add counts as two.
    pub(super) flops: u64,
    pub(super) speed: Outcome<Speed>,
}

impl Efficiency {
    /// The part of the parameters that was trained, from 0 to 1.
    pub(super) fn share(&self) -> Option<f64> {
        self.trained.map(|trained| trained as f64 / self.parameters.max(1) as f64)
    }
}

/// How fast the model is, from pixels to logits.
#[derive(Serialize, Deserialize)]
pub(super) struct Speed {
    /// By the median of the repetitions.
    pub(super) images_per_second: f64,
    /// Images that went through it together.
    pub(super) batch: usize,
    pub(super) repeats: u32,
    /// Of the process that measured, in bytes of main memory, where the system tells.
    pub(super) peak_memory: Option<u64>,
}

impl Comparison {
    /// Whether nothing is missing.
    pub(super) fn is_complete(&self) -> bool {
        self.methods.iter().all(|method| {
            method.detector.found().is_ok()
                && method.measured.iter().all(|measured| measured.found().is_ok())
                && method.efficiency.as_ref().is_some_and(|efficiency| efficiency.speed.found().is_ok())
        })
    }
}

impl MethodEntry {
    /// What was found on the data set of this index.
    pub(super) fn on(&self, dataset: usize) -> Result<&Measured, &Missing> {
        self.detector.found()?;
        match self.measured.get(dataset) {
            Some(measured) => measured.found(),
            None => Err(&NOT_MEASURED),
        }
    }
}

/// What stands where a method has no entry for a data set.
static NOT_MEASURED: Missing = Missing { kind: MissingKind::Failed, reason: String::new() };
