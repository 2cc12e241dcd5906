//! [Faithfulness](super::faithfulness) over the faces of data sets.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use unmask_core::detector::Detector;
use unmask_core::detector::explain::{EvidenceMap, explain};
use unmask_core::image::RgbImage;

use super::faithfulness::{self, Faithfulness};
use super::heat::Side;
use crate::augment::Mask;
use crate::augment::sbi::SelfBlending;
use crate::datasets::{Label, Video};
use crate::predict::{clips_of, stored_crops};
use crate::random::generator;
use crate::twins::self_blended;

/// What was measured, as it is written.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The detector.
    pub model: String,
    /// How maps were made.
    pub method: &'static str,
    /// Of fakes, what speaks for a fake; `None` without fakes.
    pub fakes: Option<Compared>,
    /// Of real faces, what speaks for a real one.
    pub reals: Option<Compared>,
    /// On fakes blended from the real faces.
    pub self_blended: Option<Blended>,
}

/// Maps beside random ones, means over faces.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// How many faces.
    pub faces: usize,
    /// Of the maps.
    pub maps: Faithfulness,
    /// Of the same values in other places.
    pub random: Faithfulness,
}

/// Where heat lies on fakes of which is known what was changed.
#[derive(Clone, Debug, Serialize)]
pub struct Blended {
    /// How many faces.
    pub faces: usize,
    /// Mean heat of a pixel that was blended, where the mean over the crop is 1.
    pub on: f64,
    /// Mean heat of a pixel that was not.
    pub off: f64,
}

/// Measures maps of up to `count` faces of either class, spread over the videos, two a video at most; `progress` is told how many are done.
///
/// # Errors
/// A detector of clips, crops that cannot be read, and the detector's.
pub fn measure(
    detector: &Detector,
    videos: &[Video],
    count: usize,
    mut progress: impl FnMut(usize),
) -> Result<Measured> {
    if detector.spec().clip_length() > 1 {
        bail!(
            "{} sees several frames together; faithfulness is measured of detectors of single frames",
            detector.spec().name
        );
    }
    let mut done = 0;
    let mut step = || {
        done += 1;
        progress(done);
    };
    let (fakes, reals) = (chosen(videos, Label::Fake, count), chosen(videos, Label::Real, count));
    let model = detector.spec().name.clone();
    Ok(Measured {
        model,
        method: super::Method::of(detector).name(),
        fakes: compared(detector, &fakes, Side::Fake, &mut step)?,
        reals: compared(detector, &reals, Side::Real, &mut step)?,
        self_blended: on_blends(detector, &reals, &mut step)?,
    })
}

/// How many faces [`measure`] goes through.
pub fn expected(videos: &[Video], count: usize) -> usize {
    chosen(videos, Label::Fake, count).len() + 2 * chosen(videos, Label::Real, count).len()
}

/// Faces of videos with this label: the video and which of its crops.
fn chosen(videos: &[Video], label: Label, count: usize) -> Vec<(&Video, usize)> {
    let videos: Vec<&Video> = videos.iter().filter(|video| video.label == label && !video.crops.is_empty()).collect();
    let each = count.div_ceil(videos.len().max(1));
    let of = |video: &&Video| clips_of(video.crops.len(), each, 1).map(|clip| clip[0]).collect::<Vec<usize>>();
    let all: Vec<(&Video, usize)> =
        videos.iter().flat_map(|video| of(video).into_iter().map(move |crop| (*video, crop))).collect();
    let taken = all.len().min(count);
    (0..taken).map(|place| all[place * all.len() / taken]).collect()
}

fn compared(
    detector: &Detector,
    faces: &[(&Video, usize)],
    side: Side,
    step: &mut impl FnMut(),
) -> Result<Option<Compared>> {
    let mut sums = [Faithfulness::default(); 2];
    for (place, (video, index)) in faces.iter().enumerate() {
        let crop = one(video, *index)?;
        let map = map_of(detector, &crop)?;
        let random = faithfulness::shuffled(&map, place as u64);
        for (sum, map) in sums.iter_mut().zip([&map, &random]) {
            sum.add(&faithfulness::measure(detector, &crop, side.values(map), side == Side::Fake)?);
        }
        step();
    }
    let [maps, random] = sums.map(|sum| sum.over(faces.len()));
    Ok((!faces.is_empty()).then_some(Compared { faces: faces.len(), maps, random }))
}

fn on_blends(detector: &Detector, faces: &[(&Video, usize)], step: &mut impl FnMut()) -> Result<Option<Blended>> {
    let blending = SelfBlending::default();
    let (mut on, mut off, mut counted) = (0.0, 0.0, 0);
    for (place, (video, index)) in faces.iter().enumerate() {
        let crop = one(video, *index)?;
        let blend = blending.draw(&mut generator(0, "explained blends", &[place as u64]));
        let pair = self_blended(&crop, &video.crops[*index], &blend, None, &detector.spec().crop)?;
        let map = map_of(detector, &pair.fake)?;
        if let Some([hot, cold]) = heat_by_mask(&map, &pair.mask, pair.fake.width()) {
            on += hot;
            off += cold;
            counted += 1;
        }
        step();
    }
    let mean = |sum: f64| sum / counted.max(1) as f64;
    Ok((counted > 0).then(|| Blended { faces: counted, on: mean(on), off: mean(off) }))
}

/// Mean heat on a mask and off it, in parts of the mean over all; `None` where there is no heat or nothing on either side.
fn heat_by_mask(map: &EvidenceMap, mask: &Mask, size: usize) -> Option<[f64; 2]> {
    let heat = EvidenceMap::enlarged(&map.fake, map.side, size);
    let mean = heat.iter().map(|heat| f64::from(*heat)).sum::<f64>() / heat.len().max(1) as f64;
    let weighted = |weight: &dyn Fn(f32) -> f64| {
        let (mut sum, mut all) = (0.0, 0.0);
        for (heat, share) in heat.iter().zip(mask.values()) {
            sum += weight(*share) * f64::from(*heat);
            all += weight(*share);
        }
        (all > 0.0).then(|| sum / all / mean)
    };
    let (on, off) = (weighted(&|share| f64::from(share)), weighted(&|share| 1.0 - f64::from(share)));
    (mean > 0.0).then_some(())?;
    Some([on?, off?])
}

fn one(video: &Video, index: usize) -> Result<RgbImage> {
    let crop = stored_crops(video, &[index])?.into_iter().next();
    crop.with_context(|| format!("{} has no crops to explain; preprocess it again", video.identity()))
}

fn map_of(detector: &Detector, crop: &RgbImage) -> Result<EvidenceMap> {
    let explanation = explain(detector, std::slice::from_ref(crop))?.into_iter().next();
    let map = explanation.and_then(|explanation| explanation.maps.into_iter().next());
    map.with_context(|| format!("{} gives no map of a face", detector.spec().name))
}

impl Measured {
    /// The figures as a table in Markdown, and what they mean.
    pub fn words(&self) -> String {
        let mut words = format!(
            "| {} by {} | faces | hottest fifth hidden moves P by | deletion | insertion | SaCo |\n|---|---|---|---|---|---|\n",
            self.model, self.method
        );
        for (name, compared) in [("fakes", &self.fakes), ("real faces", &self.reals)] {
            let Some(Compared { faces, maps, random }) = compared else { continue };
            for (what, Faithfulness { moved, deletion, insertion, saco }) in [("maps", maps), ("at random", random)] {
                words += &format!(
                    "| {name}, {what} | {faces} | {moved:.3} | {deletion:.3} | {insertion:.3} | {saco:.3} |\n"
                );
            }
        }
        if let Some(Blended { faces, on, off }) = &self.self_blended {
            words += &format!(
                "\nOn {faces} faces blended with a changed copy of themselves, a pixel that was blended has {on:.2} times the mean heat, \
                 any other {off:.2} times.\n"
            );
        }
        words
    }
}
