//! Whether a map shows what an answer came from: parts of a face are hidden or shown in its order, and the score is watched.
//!
//! Hidden parts have the face's own colours without detail, which speak for nothing by an edge or a grey that no face has. Every
//! measure is taken of random maps (the same values in other places) as well, with which it is compared.

use anyhow::Result;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use unmask_core::detector::Detector;
use unmask_core::detector::explain::EvidenceMap;
use unmask_core::image::{Interpolation, RgbImage};

use crate::predict::values;

/// The part of a face that is hidden to see how much the score moves.
pub const HIDDEN: f32 = 0.2;
/// The steps of deletion and insertion.
const STEPS: usize = 10;
/// Parts of a face in the salience-guided coefficient.
const GROUPS: usize = 10;
/// Squares of a face without detail, across and down.
const COARSE: usize = 4;

/// How a score moves with a map's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Faithfulness {
    /// By how much P(fake) moves towards the other class with the hottest fifth hidden.
    pub moved: f64,
    /// The mean of P of the class that is explained, the hottest parts hidden one after the other: the lower, the better.
    pub deletion: f64,
    /// The same, the hottest parts shown one after the other: the higher, the better.
    pub insertion: f64,
    /// The salience-guided faithfulness coefficient, from -1 to 1 (Wu et al., "On the Faithfulness of Vision Transformer
    /// Explanations", CVPR 2024, arXiv 2404.01415, algorithm 1): whether parts with more heat move the score more.
    pub saco: f64,
}

impl Faithfulness {
    /// Adds what another map measures.
    pub(super) fn add(&mut self, other: &Self) {
        self.moved += other.moved;
        self.deletion += other.deletion;
        self.insertion += other.insertion;
        self.saco += other.saco;
    }

    /// The mean, where it is the sum of so many.
    pub(super) fn over(self, count: usize) -> Self {
        let count = count.max(1) as f64;
        Self {
            moved: self.moved / count,
            deletion: self.deletion / count,
            insertion: self.insertion / count,
            saco: self.saco / count,
        }
    }
}

/// Measures a map of a crop by a detector of single frames; `fake` says whether what speaks for a fake is explained.
pub fn measure(detector: &Detector, crop: &RgbImage, values: &[f32], fake: bool) -> Result<Faithfulness> {
    let face = Face::new(detector, crop, values);
    let order = face.order();
    let count = order.len();
    let part = |step: usize| count * step / STEPS;
    let mut pictures = vec![crop.clone(), face.hiding(&order[..(count as f32 * HIDDEN) as usize])];
    pictures.extend((0..=STEPS).map(|step| face.hiding(&order[..part(step)])));
    pictures.extend((0..=STEPS).map(|step| face.hiding(&order[part(step)..])));
    pictures.extend(face.groups(&order).map(|group| face.hiding(group)));
    let scores = face.scores(&pictures, fake)?;
    let (whole, hidden) = (scores[0], scores[1]);
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    let (deleted, rest) = scores[2..].split_at(STEPS + 1);
    let (inserted, groups) = rest.split_at(STEPS + 1);
    let heat: Vec<f64> =
        face.groups(&order).map(|group| group.iter().map(|place| f64::from(face.heat[*place])).sum()).collect();
    let drops: Vec<f64> = groups.iter().map(|score| whole - score).collect();
    Ok(Faithfulness {
        moved: whole - hidden,
        deletion: mean(deleted),
        insertion: mean(inserted),
        saco: saco(&heat, &drops),
    })
}

/// The same values in other places.
pub fn shuffled(map: &EvidenceMap, seed: u64) -> EvidenceMap {
    let mut places: Vec<usize> = (0..map.fake.len()).collect();
    places.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let moved = |values: &[f32]| places.iter().filter_map(|place| values.get(*place).copied()).collect();
    EvidenceMap { side: map.side, fake: moved(&map.fake), real: moved(&map.real) }
}

/// Of the pairs of groups, those whose order by heat is that by effect, weighted by the difference in heat, less the others.
fn saco(heat: &[f64], drops: &[f64]) -> f64 {
    let (mut agreeing, mut all) = (0.0, 0.0);
    for first in 0..heat.len() {
        for second in first + 1..heat.len() {
            let weight = heat[first] - heat[second];
            all += weight.abs();
            agreeing += if drops[first] >= drops[second] { weight } else { -weight };
        }
    }
    if all > 0.0 { agreeing / all } else { 0.0 }
}

struct Face<'a> {
    detector: &'a Detector,
    crop: &'a RgbImage,
    /// The crop without detail.
    coarse: RgbImage,
    /// Heat of each pixel.
    heat: Vec<f32>,
}

impl<'a> Face<'a> {
    fn new(detector: &'a Detector, crop: &'a RgbImage, values: &[f32]) -> Self {
        let (width, height) = (crop.width(), crop.height());
        let coarse = crop.resize(COARSE, COARSE, Interpolation::Bilinear);
        let coarse = coarse.resize(width, height, Interpolation::Bilinear);
        let side = values.len().isqrt();
        Self { detector, crop, coarse, heat: EvidenceMap::enlarged(values, side, width.max(height)) }
    }

    /// The pixels, hottest first.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.crop.width() * self.crop.height()).collect();
        order.sort_by(|a, b| self.heat[*b].total_cmp(&self.heat[*a]));
        order
    }

    fn groups<'b>(&self, order: &'b [usize]) -> impl Iterator<Item = &'b [usize]> + use<'b> {
        order.chunks(order.len().div_ceil(GROUPS).max(1))
    }

    /// The crop with these pixels hidden.
    fn hiding(&self, hidden: &[usize]) -> RgbImage {
        let mut pixels = self.crop.pixels().to_vec();
        for place in hidden {
            let range = 3 * place..3 * place + 3;
            pixels[range.clone()].copy_from_slice(&self.coarse.pixels()[range]);
        }
        RgbImage::new(self.crop.width(), self.crop.height(), pixels).unwrap_or_else(|| self.crop.clone())
    }

    /// P of the class that is explained.
    fn scores(&self, pictures: &[RgbImage], fake: bool) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(pictures.len());
        for batch in pictures.chunks(16) {
            let answers = values(self.detector.answers(batch))?;
            let of_class = |score: f32| f64::from(if fake { score } else { 1.0 - score });
            scores.extend(self.detector.scores(&answers).fake.into_iter().map(of_class));
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coefficient_is_one_where_heat_orders_parts_as_their_effect_does_and_minus_one_the_other_way() {
        let heat = [4.0, 3.0, 2.0, 1.0];
        assert_eq!(saco(&heat, &[0.4, 0.3, 0.2, 0.1]), 1.0);
        assert_eq!(saco(&heat, &[0.1, 0.2, 0.3, 0.4]), -1.0);
        // The pair of the last two alone is in the wrong order: 10 - 2 of 10.
        assert!((saco(&heat, &[0.4, 0.3, 0.1, 0.2]) - 0.8).abs() < 1e-9);
        assert_eq!(saco(&[1.0; 4], &heat), 0.0);
    }
}
