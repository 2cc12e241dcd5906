//! For what the answer holds: what the detector was measured on, and what is judged at all.

use unmask_core::detector::spec::{Measured, VerdictCounts};
use unmask_core::pipeline::report::{ModelInfo, Report};
use unmask_core::pipeline::verdict::{MIN_EYE_DISTANCE, MIN_FRAMES};

use super::page::models;

/// The points of the section, a sentence or two each.
pub(super) fn words(report: &Report) -> Vec<String> {
    let several = report.opinions.len() > 1;
    let mut points: Vec<String> = models(report).map(|model| measured_on(model, several)).collect();
    points.push(
        "Of other people, cameras, compression and newer ways to make fakes its error rates are not known, and they are most \
         likely higher."
            .to_owned(),
    );
    points.push(format!(
        "Judged are filmed faces whose eyes are {MIN_EYE_DISTANCE:.0} pixels apart or more, sharp enough, and in videos seen in {MIN_FRAMES} \
         frames or more. Drawn faces are not."
    ));
    points
}

fn measured_on(ModelInfo { name, measured, .. }: &ModelInfo, several: bool) -> String {
    let who = if several { format!("The verdicts of {name} were") } else { "Its verdicts were".to_owned() };
    match measured {
        Some(Measured { videos, real, fake }) => {
            let counts = format!("{} and {}", counted(real, "real videos"), counted(fake, "fakes"));
            format!("{who} counted on {counts}: {videos}. The figures above hold for videos like those.")
        }
        None => format!("{who} counted on no videos, so nobody knows how often they are wrong."),
    }
}

fn counted(counts: &VerdictCounts, what: &str) -> String {
    let of = counts.groups.map_or(String::new(), |groups| format!(" of {groups} people or sources"));
    format!("{} {what}{of}", counts.total())
}
