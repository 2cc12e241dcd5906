//! Faces beside what speaks for a fake and what for a real one in them, as one picture.

use anyhow::Result;
use image::imageops::{FilterType, resize};
use image::{GenericImage, Rgb, RgbImage as Canvas};
use unmask_core::detector::explain::heat::over;
use unmask_core::pipeline::report::Report;

use super::Method;
use super::faithfulness;
use super::heat::{self, Side};
use super::walk::{ExplainedFace, ExplainedFrame};
use crate::figures::render::write_on;
use crate::figures::{GREY, Lettering, shortened};

/// Side of a face in pixels.
const FACE: u32 = 224;
const GAP: u32 = 12;
/// Left of the faces, where each row says which it is.
const NAMES: u32 = 132;
/// Above the faces.
const HEADING: u32 = 96;
/// Below them.
const FOOT: u32 = 64;
const PAPER: Rgb<u8> = Rgb([255, 253, 248]);
/// Letters of the title.
const TITLE: usize = 80;

/// The sheet so far.
pub(super) struct Sheet {
    title: String,
    method: Method,
    control: bool,
    rows: Vec<Row>,
}

struct Row {
    names: Vec<String>,
    pictures: Vec<Canvas>,
}

impl Sheet {
    pub(super) fn new(report: &Report, method: Method, control: bool) -> Self {
        let score = report.score.map_or(String::new(), |score| format!(", P(fake) {score:.2}"));
        let name = std::path::Path::new(&report.input).file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| report.input.clone());
        let title = format!("{name}: {}{score} by {}", report.verdict.words(), report.model.name);
        Self { title, method, control, rows: Vec::new() }
    }

    /// Adds the faces of a frame.
    pub(super) fn add(&mut self, frame: &ExplainedFrame) {
        let rows = frame.faces.iter().map(|face| self.row(frame, face));
        self.rows.extend(rows.collect::<Vec<_>>());
    }

    fn row(&self, frame: &ExplainedFrame, face: &ExplainedFace) -> Row {
        let heated = |values: &[f32], side: usize| heat::canvas(&over(&face.crop, values, side, face.largest));
        let side = face.map.side;
        let mut pictures = vec![heat::canvas(&face.crop)];
        pictures.extend([Side::Fake, Side::Real].map(|which| heated(which.values(&face.map), side)));
        if self.control {
            pictures.push(heated(
                Side::of(face.score).values(&faithfulness::shuffled(&face.map, frame.index as u64)),
                side,
            ));
        }
        let mut names = vec![format!("{:.2} s", frame.time_s), format!("P(fake) {:.2}", face.score)];
        names.push(format!("person {}", face.track + 1));
        if face.share < 1.0 {
            names.push(format!("{:.0} % of its clip", face.share * 100.0));
        }
        let pictures = pictures.iter().map(|picture| resize(picture, FACE, FACE, FilterType::Triangle)).collect();
        Row { names, pictures }
    }

    /// All of it.
    pub(super) fn picture(&self) -> Result<Canvas> {
        let columns = if self.control { 4 } else { 3 };
        let width = NAMES + columns * (FACE + GAP) + GAP;
        let mut sheet = Canvas::from_pixel(width, HEADING + self.rows.len() as u32 * (FACE + GAP) + FOOT, PAPER);
        let (left, heading) = (f64::from(GAP), Lettering::new(14.0).bold());
        write_on(&mut sheet, &shortened(&self.title, TITLE), (left, 24.0), Lettering::new(16.0).bold())?;
        let heads = ["the face", Side::Fake.words(), Side::Real.words(), "control: at random"];
        for (column, words) in (0..columns).zip(heads) {
            write_on(&mut sheet, words, (f64::from(NAMES + column * (FACE + GAP)), 76.0), heading)?;
        }
        for (index, row) in (0u32..).zip(&self.rows) {
            let top = HEADING + index * (FACE + GAP);
            for (line, name) in (0u8..).zip(&row.names) {
                let plain = Lettering::new(13.0);
                let lettering = if line == 1 { plain.bold() } else { plain.coloured(GREY) };
                write_on(&mut sheet, name, (left, f64::from(top) + 12.0 + 22.0 * f64::from(line)), lettering)?;
            }
            for (column, picture) in (0u32..).zip(&row.pictures) {
                // Each lies within the sheet, which is as large as all of them need.
                sheet.copy_from(picture, NAMES + column * (FACE + GAP), top).ok();
            }
        }
        let first = format!("By {}: light parts are what the detector's answer came from.", self.method.words());
        let second = "A map is about the detector. It does not show that something is wrong with a face, or where.";
        for (line, words) in (0u8..).zip([first.as_str(), second]) {
            let y = f64::from(sheet.height() - FOOT) + 16.0 + 22.0 * f64::from(line);
            write_on(&mut sheet, words, (left, y), Lettering::new(12.0).coloured(GREY))?;
        }
        Ok(sheet)
    }
}
