//! Which frames count, and why others do not.

use unmask_core::pipeline::report::Unused;

use crate::provenance::FrameUse;

/// A row of the table.
pub(super) struct FrameRow {
    pub(super) what: &'static str,
    pub(super) frames: u64,
}

/// The table: the frames that count first, then the others by the reason; reasons of no frame are left out.
pub(super) fn rows(frames: &FrameUse) -> Vec<FrameRow> {
    let mut rows = vec![
        FrameRow { what: "In the whole input", frames: frames.in_input.unwrap_or_default() },
        FrameRow { what: "Not looked at: between those that were", frames: frames.not_sampled.unwrap_or_default() },
        FrameRow { what: "Not looked at: not decoded", frames: frames.not_decoded },
    ];
    rows.extend(frames.left_out.iter().map(|(reason, frames)| FrameRow { what: words(*reason), frames: *frames }));
    rows.retain(|row| row.frames > 0);
    rows.push(FrameRow { what: "Used for the verdict", frames: frames.used });
    rows
}

/// A reason in words.
fn words(reason: Unused) -> &'static str {
    match reason {
        Unused::NoFace => "Left out: no face found",
        Unused::OtherPerson => "Left out: only people who were not asked for",
        Unused::TooSmall => "Left out: a face too small to judge",
        Unused::TooBlurred => "Left out: a face too blurred to judge",
        Unused::Drawn => "Left out: a face that looks drawn",
        Unused::TooBrief => "Left out: a face seen in too few frames",
    }
}
