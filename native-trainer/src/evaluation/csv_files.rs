//! Predictions as CSV, a line for each frame or each video.

use anyhow::{Context, Result, anyhow};

use super::{Prediction, ScoredVideo};
use crate::datasets::Label;

/// `dataset,manipulation,video,label,time_s,score,uncertainty`, in the order of the predictions; no time is an empty field, and
/// so is the uncertainty of detectors that do not say it.
pub fn frames(predictions: &[Prediction]) -> Result<Vec<u8>> {
    let header = ["dataset", "manipulation", "video", "label", "time_s", "score", "uncertainty"];
    table(header, predictions, |prediction| {
        let Prediction { dataset, manipulation, video, .. } = prediction;
        let time = or_empty(prediction.time_s);
        [
            dataset.clone(),
            manipulation.clone(),
            video.clone(),
            label(prediction.label),
            time,
            prediction.score.to_string(),
            or_empty(prediction.uncertainty),
        ]
    })
}

/// `dataset,manipulation,video,label,frames,score,group,uncertainty`; videos of one group are not independent of each other.
pub fn videos(videos: &[ScoredVideo]) -> Result<Vec<u8>> {
    let header = ["dataset", "manipulation", "video", "label", "frames", "score", "group", "uncertainty"];
    table(header, videos, |video| {
        let [dataset, manipulation, name] = [video.dataset, video.manipulation, video.name].map(str::to_string);
        let (frames, score) = (video.frames.len().to_string(), video.score().to_string());
        let (group, uncertainty) = (video.group.to_string(), or_empty(video.uncertainty()));
        [dataset, manipulation, name, label(video.label), frames, score, group, uncertainty]
    })
}

fn or_empty(figure: Option<f64>) -> String {
    figure.map(|figure| figure.to_string()).unwrap_or_default()
}

fn label(label: Label) -> String {
    match label {
        Label::Real => "real".to_string(),
        Label::Fake => "fake".to_string(),
    }
}

/// A header, and a line for each row.
pub fn table<T, const N: usize>(header: [&str; N], rows: &[T], fields: impl Fn(&T) -> [String; N]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let context = "the table cannot be written as CSV";
    writer.write_record(header).context(context)?;
    for row in rows {
        writer.write_record(fields(row)).context(context)?;
    }
    writer.into_inner().map_err(|error| anyhow!("{context} ({error})"))
}
