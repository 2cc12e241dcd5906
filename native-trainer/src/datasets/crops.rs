//! How the crops of a data set were cut, and whether that is how a detector cuts them.
//!
//! A detector's score depends on where the face lies in a crop, on how much is seen around it, and on how often its pixels
//! were interpolated; so crops of another geometry, margin or size are refused rather than measured.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use unmask_core::face::alignment::{CropGeometry, CropSpec};

use super::manifest::Header;

/// The crops in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Crops {
    /// The folder or file that holds or lists them.
    pub place: PathBuf,
    /// How they were cut.
    pub cut: Cut,
}

/// How crops were cut.
#[derive(Clone, Debug, PartialEq)]
pub enum Cut {
    /// By this program, which wrote it down.
    Stated(Header),
    /// By DeepfakeBench, which does not write it down: [`DEEPFAKEBENCH`] is taken for granted.
    DeepfakeBench,
    /// By somebody who vouches with `--aligned` that they are as the detector wants them.
    Vouched,
}

/// What DeepfakeBench's own crops are, by its published `preprocessing/preprocess.py` and `config.yaml`: its alignment to
/// ArcFace's points, scaled by 1.3, 256 pixels. Its five points are corners of eyes and mouth found by dlib, where ours are
/// centres of eyes, so that faces lie a little differently in them.
pub const DEEPFAKEBENCH: CropSpec = CropSpec::DEEPFAKEBENCH;

/// Margins this near to each other are one: they differ as the same number does that was written down.
const SAME_MARGIN: f32 = 1e-4;

impl Crops {
    /// The geometry, as far as it is known or taken for granted.
    fn spec(&self) -> Option<CropSpec> {
        match &self.cut {
            Cut::Stated(header) => Some(header.crop),
            Cut::DeepfakeBench => Some(DEEPFAKEBENCH),
            Cut::Vouched => None,
        }
    }

    /// Checks that a detector that crops as `wanted` says would have been shown these crops.
    ///
    /// # Errors
    /// One sentence with the place, both geometries and the way out.
    pub fn check(&self, wanted: &CropSpec) -> Result<()> {
        let Some(found) = self.spec() else { return Ok(()) };
        let is_same_margin = (found.margin - wanted.margin).abs() < SAME_MARGIN;
        if found.geometry == wanted.geometry && found.size == wanted.size && is_same_margin {
            return Ok(());
        }
        let CropSpec { geometry, size, margin } = wanted;
        bail!(
            "{} holds crops with {}, but the detector wants {}; make them with `unmask preprocess --geometry {} --crop-size \
             {size} --margin {margin}`",
            self.place.display(),
            Words(&found),
            Words(wanted),
            name(*geometry)
        )
    }

    /// How these crops differ from those that scoring makes of the same videos, in ways that are not refused.
    pub fn remarks(&self, frames: usize) -> Vec<String> {
        let place = self.place.display();
        let header = match &self.cut {
            Cut::Stated(header) => header,
            Cut::DeepfakeBench => {
                return vec![format!(
                    "{place}: the crops are DeepfakeBench's, taken to have {}; its landmarks are not ours",
                    Words(&DEEPFAKEBENCH)
                )];
            }
            Cut::Vouched => {
                return vec![format!("{place}: how the crops were cut is not known; they are taken as the detector's")];
            }
        };
        let mut remarks = Vec::new();
        if let Some(quality) = header.quality {
            remarks.push(format!("{place}: the crops were compressed once more (JPEG of quality {quality})"));
        }
        if header.frames != frames {
            remarks.push(format!("{place}: the crops are of {} frames a video, not of {frames}", header.frames));
        }
        if header.faces != "largest" {
            remarks.push(format!("{place}: the faces are those nearest the middle, where scoring takes the largest"));
        }
        remarks
    }

    /// For programs.
    pub(super) fn document(&self) -> Value {
        let cut = match self.cut {
            Cut::Stated(_) => "stated",
            Cut::DeepfakeBench => "assumed",
            Cut::Vouched => "unknown",
        };
        json!({ "place": self.place, "known": cut, "crop": self.spec() })
    }
}

impl fmt::Display for Crops {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match &self.cut {
            Cut::Stated(header) => formatter.write_str(&header.settings()),
            Cut::DeepfakeBench => write!(formatter, "DeepfakeBench's, taken to have {}", Words(&DEEPFAKEBENCH)),
            Cut::Vouched => formatter.write_str("not known, taken as the detector's own"),
        }
    }
}

/// A crop's settings in words.
pub(super) struct Words<'a>(pub(super) &'a CropSpec);

impl fmt::Display for Words<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let CropSpec { geometry, size, margin } = self.0;
        write!(formatter, "geometry {}, crop size {size}, margin {margin}", name(*geometry))
    }
}

/// The geometry's name on the command line.
fn name(geometry: CropGeometry) -> &'static str {
    match geometry {
        CropGeometry::Dfb => "dfb",
        CropGeometry::Gend => "gend",
    }
}

/// The crops that the headers of a manifest's files tell of, each way of cutting once.
pub(super) fn stated(headers: Vec<(PathBuf, Header)>, folder: &Path) -> Vec<Crops> {
    let mut found: Vec<Crops> = Vec::new();
    for (_, header) in headers {
        let is_known = |known: &Crops| matches!(&known.cut, Cut::Stated(other) if other.is_alike(&header));
        if !found.iter().any(is_known) {
            found.push(Crops { place: folder.to_owned(), cut: Cut::Stated(header) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crops(cut: Cut) -> Crops {
        Crops { place: "/data/crops".into(), cut }
    }

    fn stated_as(crop: CropSpec) -> Crops {
        let (program, faces, format) = ("0".to_owned(), "largest".to_owned(), "png".to_owned());
        crops(Cut::Stated(Header { unmask_manifest: 1, program, crop, frames: 32, faces, format, quality: None }))
    }

    #[test]
    fn crops_of_another_geometry_size_or_margin_are_refused_with_both_and_the_command() {
        let wanted = CropSpec { geometry: CropGeometry::Gend, size: 256, margin: 1.3 };
        assert!(stated_as(wanted).check(&wanted).is_ok());
        for found in [
            CropSpec { geometry: CropGeometry::Dfb, ..wanted },
            CropSpec { size: 224, ..wanted },
            CropSpec { margin: 1.5, ..wanted },
        ] {
            let refusal = stated_as(found).check(&wanted).expect_err("refused").to_string();
            for part in ["/data/crops", &Words(&found).to_string(), &Words(&wanted).to_string()] {
                assert!(refusal.contains(part), "{part}: {refusal}");
            }
            assert!(refusal.contains("--geometry gend --crop-size 256 --margin 1.3"), "{refusal}");
        }
    }

    #[test]
    fn deepfakebenchs_crops_fit_detectors_of_its_geometry_only() {
        assert!(crops(Cut::DeepfakeBench).check(&DEEPFAKEBENCH).is_ok());
        let gend = CropSpec { geometry: CropGeometry::Gend, ..DEEPFAKEBENCH };
        assert!(crops(Cut::DeepfakeBench).check(&gend).is_err());
        assert!(crops(Cut::Vouched).check(&gend).is_ok());
    }

    #[test]
    fn what_differs_from_scoring_is_remarked() {
        let plain = stated_as(DEEPFAKEBENCH);
        assert!(plain.remarks(32).is_empty());
        assert_eq!(plain.remarks(8).len(), 1);
        let Cut::Stated(header) = plain.cut else { unreachable!("made above") };
        let other = crops(Cut::Stated(Header { faces: "centre".into(), quality: Some(80), ..header }));
        assert_eq!(other.remarks(32).len(), 2);
        assert_eq!(crops(Cut::DeepfakeBench).remarks(32).len(), 1);
        assert_eq!(crops(Cut::Vouched).remarks(32).len(), 1);
    }
}
