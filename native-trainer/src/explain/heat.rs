//! Maps over whole frames, where faces were cut out of them.

use anyhow::Result;
use image::{Rgb, RgbImage as Canvas};
use unmask_core::detector::explain::EvidenceMap;
use unmask_core::detector::explain::heat::{heated, part};
use unmask_core::face::alignment::{CropSpec, Similarity, template};
use unmask_core::image::RgbImage;

use super::walk::{ExplainedFace, ExplainedFrame};
use crate::figures::render::write_on;
use crate::figures::{Lettering, PAPER};

/// What evidence is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What makes the score larger.
    Fake,
    /// What makes it smaller.
    Real,
}

impl Side {
    /// The one that a score leans to.
    pub fn of(score: f32) -> Self {
        if score >= 0.5 { Self::Fake } else { Self::Real }
    }

    /// Its values of a map.
    pub fn values(self, map: &EvidenceMap) -> &[f32] {
        match self {
            Self::Fake => &map.fake,
            Self::Real => &map.real,
        }
    }

    /// What is shown, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Fake => "speaks for fake",
            Self::Real => "speaks for real",
        }
    }
}

/// Longer side of a frame with maps, in pixels.
const LONGEST: usize = 1280;

/// `image` as a canvas.
pub(super) fn canvas(image: &RgbImage) -> Canvas {
    Canvas::from_raw(image.width() as u32, image.height() as u32, image.pixels().to_vec()).unwrap_or_default()
}

/// A frame, made smaller where it is large, with boxes, scores and what speaks for `side` in its faces.
pub(super) fn frame(frame: &ExplainedFrame, spec: &CropSpec, side: Side) -> Result<Canvas> {
    let longest = frame.image.width().max(frame.image.height());
    let scale = (LONGEST as f32 / longest as f32).min(1.0);
    let size = [frame.image.width(), frame.image.height()].map(|length| ((length as f32 * scale) as usize).max(1));
    let small = match scale < 1.0 {
        true => frame.image.resize(size[0], size[1], unmask_core::image::Interpolation::Bilinear),
        false => frame.image.clone(),
    };
    let mut picture = canvas(&small);
    frame.faces.iter().for_each(|face| lay(&mut picture, face, spec, side, scale));
    frame.faces.iter().try_for_each(|face| name(&mut picture, face, scale))?;
    Ok(picture)
}

/// Lays a face's map where its crop was cut out of the frame.
fn lay(picture: &mut Canvas, face: &ExplainedFace, spec: &CropSpec, side: Side, scale: f32) {
    let points = face.landmarks.map(|point| point.map(|coordinate| coordinate * scale));
    let Some(to_crop) = Similarity::estimate(&points, &template(spec.geometry, spec.size, spec.margin)) else { return };
    let size = spec.size as f64;
    let heat = EvidenceMap::enlarged(side.values(&face.map), face.map.side, spec.size);
    let corners = [[0.0, 0.0], [size, 0.0], [0.0, size], [size, size]].map(|corner| to_crop.inverse().apply(corner));
    let range = |axis: usize, length: u32| {
        let values = corners.iter().map(|corner| corner[axis]);
        let (low, high) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
        low.max(0.0) as u32..(high.max(0.0).ceil() as u32).min(length)
    };
    let (columns, rows) = (range(0, picture.width()), range(1, picture.height()));
    for y in rows {
        for x in columns.clone() {
            let [u, v] = to_crop.apply([f64::from(x), f64::from(y)]);
            if u < 0.0 || v < 0.0 || u >= size || v >= size {
                continue;
            }
            let heat = heat.get(v as usize * spec.size + u as usize).copied().unwrap_or(0.0);
            let pixel = picture.get_pixel_mut(x, y);
            pixel.0 = heated(pixel.0, part(heat, face.largest));
        }
    }
}

/// Draws a face's box and its score.
fn name(picture: &mut Canvas, face: &ExplainedFace, scale: f32) -> Result<()> {
    let [left, top, width, height] = face.bounds.map(|length| (length * scale).round() as i64);
    for (grow, level) in [(-1, 0), (1, 0), (0, 255)] {
        outline(picture, [left - grow, top - grow, width + 2 * grow, height + 2 * grow], level);
    }
    let size = (f64::from(picture.height()) / 33.0).clamp(10.0, 26.0);
    let y = if (top as f64) < size * 1.5 { (top + height) as f64 + size } else { top as f64 - size * 0.75 };
    outlined(picture, &format!("P(fake) {:.2}", face.score), (left as f64, y), Lettering::new(size).bold())
}

/// White letters with a dark edge, for any ground.
fn outlined(picture: &mut Canvas, words: &str, (x, y): (f64, f64), lettering: Lettering) -> Result<()> {
    let edge = (lettering.size / 12.0).max(1.0);
    for [right, down] in
        [[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]]
    {
        write_on(picture, words, (x + right * edge, y + down * edge), lettering)?;
    }
    write_on(picture, words, (x, y), lettering.coloured(PAPER))
}

/// A rectangle one pixel wide, as far as it lies within the picture.
fn outline(picture: &mut Canvas, [left, top, width, height]: [i64; 4], level: u8) {
    let mut dot = |x: i64, y: i64| {
        if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
            && let Some(pixel) = picture.get_pixel_mut_checked(x, y)
        {
            *pixel = Rgb([level; 3]);
        }
    };
    for x in left..=left + width {
        dot(x, top);
        dot(x, top + height);
    }
    for y in top..=top + height {
        dot(left, y);
        dot(left + width, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_lies_on_the_frame_where_the_face_was_cut_out() {
        let spec = CropSpec { size: 64, ..CropSpec::DEEPFAKEBENCH };
        let landmarks = template(spec.geometry, spec.size, spec.margin).map(|[x, y]| [x / 2.0 + 20.0, y / 2.0 + 10.0]);
        let image = RgbImage::new(80, 60, vec![100; 80 * 60 * 3]).unwrap();
        // Only the lower right quarter of the crop is hot.
        let map = EvidenceMap { side: 2, fake: vec![0.0, 0.0, 0.0, 1.0], real: vec![0.0; 4] };
        let face = ExplainedFace {
            track: 0,
            score: 0.9,
            bounds: [22.0, 12.0, 28.0, 28.0],
            landmarks,
            crop: image.clone(),
            map,
            largest: 1.0,
            share: 1.0,
        };
        let mut picture = canvas(&image);
        lay(&mut picture, &face, &spec, Side::Fake, 1.0);
        let level = |x, y| i32::from(picture.get_pixel(x, y).0[0]);
        assert_eq!(level(10, 5), 100, "outside of the crop nothing changes");
        assert_eq!(level(22, 12), 75, "a cold corner is grey");
        assert!(level(50, 40) > 180, "the hot corner: {}", level(50, 40));
        lay(&mut picture, &face, &spec, Side::Real, 1.0);
        assert!(picture.get_pixel(50, 40).0[0] < 200);
    }
}
