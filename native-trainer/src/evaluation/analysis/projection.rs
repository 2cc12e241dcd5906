//! Features in the plane by t-SNE (van der Maaten & Hinton 2008), where what the model finds alike lies together.

use anyhow::Result;
use bhtsne::{SparseAffinities, tSNE};
use rand_distr::{Distribution, StandardNormal};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::seen::Seen;
use super::{Drawn, NAME};
use crate::datasets::Label;
use crate::evaluation::Prediction;
use crate::evaluation::csv_files::table;
use crate::figures::axes::{Axes, SMALL, Scale};
use crate::figures::marks::Marker;
use crate::figures::{BLUE, Figure, GREY, Lettering, VERMILLION, shortened};
use crate::random::generator;

/// The most points that are drawn: more hide each other, and take long.
const MOST: usize = 2000;
/// Fewer points have no neighbourhoods.
const LEAST: usize = 12;
/// How many neighbours a point has in effect: the usual one; a third of the points where there are few.
const PERPLEXITY: f32 = 30.0;
const EPOCHS: usize = 1000;
/// scikit-learn's learning rate is at least 50, and of many points a 48th of their number; its gradient is four times this crate's.
const LEARNING_RATE: f32 = 4.0 * 50.0;
const POINTS_A_RATE: f32 = 48.0 / 4.0;
/// How coarsely far points are taken together (Barnes & Hut): scikit-learn's default.
const THETA: f32 = 0.5;
/// What the first places are drawn from, with scikit-learn's deviation.
const SEED: u64 = 0;
const FIRST_DEVIATION: f32 = 1e-4;

/// A clip in the plane.
struct Point<'a> {
    prediction: &'a Prediction,
    at: [f32; 2],
}

/// Lays the features of evenly chosen clips out; `seen` are those of `predictions`, one by one.
pub(super) fn draw(seen: &[Seen], predictions: &[Prediction]) -> Result<Drawn> {
    let title = "Features of frames by t-SNE".to_owned();
    let name = "features".to_owned();
    let step = seen.len().div_ceil(MOST).max(1);
    let chosen: Vec<(&Seen, &Prediction)> = seen.iter().zip(predictions).step_by(step).collect();
    let vectors: Vec<&[f32]> = chosen.iter().map(|(seen, _)| seen.features.as_slice()).collect();
    let laid_out = match lay_out(&vectors) {
        Ok(laid_out) => laid_out,
        Err(reason) => return Ok(Drawn { name, title, figure: None, csv: Vec::new(), left_out: vec![reason] }),
    };
    let places = laid_out.places.iter();
    let points: Vec<Point> =
        chosen.iter().zip(places).map(|((_, prediction), at)| Point { prediction, at: *at }).collect();
    let csv = table(["dataset", "manipulation", "video", "label", "time_s", "score", "x", "y"], &points, |point| {
        let Prediction { dataset, manipulation, video, label, time_s, score, .. } = point.prediction;
        let label = if *label == Label::Fake { "fake" } else { "real" }.to_owned();
        let time = time_s.map(|time| time.to_string()).unwrap_or_default();
        let [x, y] = point.at.map(|place| place.to_string());
        [dataset.clone(), manipulation.clone(), video.clone(), label, time, score.to_string(), x, y]
    })?;
    let words = format!(
        "{} of {} frames, perplexity {:.0}, KL divergence {:.3}; distances between groups mean nothing",
        points.len(),
        seen.len(),
        laid_out.perplexity,
        laid_out.divergence
    );
    let figure = Some(figure(&points, &title, &words));
    Ok(Drawn { name, title, figure, csv, left_out: Vec::new() })
}

/// Vectors in the plane.
struct LaidOut {
    places: Vec<[f32; 2]>,
    perplexity: f32,
    /// How much of the neighbourhoods was lost (Kullback-Leibler divergence).
    divergence: f64,
}

/// Lays vectors out, the same every time; or why that cannot be done.
fn lay_out(vectors: &[&[f32]]) -> Result<LaidOut, String> {
    if vectors.len() < LEAST {
        return Err(format!("features: {} frames are too few to lay out", vectors.len()));
    }
    if !vectors.iter().flat_map(|vector| vector.iter()).all(|value| value.is_finite()) {
        return Err("features: some are no finite numbers".to_owned());
    }
    // The crate panics where a point has fewer than three times as many neighbours.
    let perplexity = PERPLEXITY.min(((vectors.len() - 1) / 3) as f32);
    let mut rng = generator(SEED, "first places", &[]);
    let first: Vec<f32> = (0..2 * vectors.len())
        .map(|_| {
            let drawn: f32 = StandardNormal.sample(&mut rng);
            drawn * FIRST_DEVIATION
        })
        .collect();
    let learning_rate = LEARNING_RATE.max(vectors.len() as f32 / POINTS_A_RATE);
    let fit = || {
        let mut tsne = tSNE::<f32, &[f32], 2>::new(vectors);
        tsne.perplexity(perplexity).learning_rate(learning_rate).epochs(EPOCHS).initial_embedding(first);
        tsne.barnes_hut(THETA, |one, other| distance(one, other));
        (tsne.embedding(), tsne.affinities())
    };
    // Threads that share the work sum in an order that depends on what else they do, which a thousand steps make visible.
    let alone = ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| format!("features: {error}"))?;
    let (places, affinities) = alone.install(fit);
    let places = places.as_chunks::<2>().0.to_vec();
    let divergence = affinities.map_or(f64::NAN, |affinities| divergence(&affinities, &places));
    if !divergence.is_finite() {
        return Err("features: too many are equal to be laid out".to_owned());
    }
    Ok(LaidOut { places, perplexity, divergence })
}

/// The Kullback-Leibler divergence of places from affinities, `Σ p ln (p / q)` over the pairs that have one, with `q` the
/// Student t affinities of the places, `1 / (1 + d²)` in parts of their sum over all pairs (van der Maaten & Hinton 2008). The
/// crate's own figure after Barnes-Hut is several times as large.
fn divergence(affinities: &SparseAffinities<f32>, places: &[[f32; 2]]) -> f64 {
    let affinity = |one: &[f32; 2], other: &[f32; 2]| {
        let [x, y] = [0, 1].map(|of| f64::from(one[of]) - f64::from(other[of]));
        1.0 / (1.0 + x * x + y * y)
    };
    let row_sum = |one: &[f32; 2]| places.iter().map(|other| affinity(one, other)).sum::<f64>() - 1.0;
    let row_sums: Vec<f64> = places.par_iter().map(row_sum).collect();
    let total: f64 = row_sums.iter().sum();
    let rows = affinities.rows().windows(2).zip(places);
    let of_row = |(ends, one): (&[usize], &[f32; 2])| {
        let columns = &affinities.columns()[ends[0]..ends[1]];
        let values = &affinities.values()[ends[0]..ends[1]];
        let pairs = columns.iter().zip(values).filter(|(_, p)| **p > 0.0);
        pairs
            .map(|(column, p)| f64::from(*p) * (f64::from(*p) * total / affinity(one, &places[*column as usize])).ln())
            .sum::<f64>()
    };
    rows.map(of_row).sum()
}

fn distance(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| (one - other) * (one - other)).sum::<f32>().sqrt()
}

fn figure(points: &[Point], title: &str, below: &str) -> Figure {
    let ends = |of: usize| {
        let values = points.iter().map(|point| f64::from(point.at[of]));
        let [low, high] = [f64::min, f64::max].map(|better| values.clone().reduce(better).unwrap_or(0.0));
        let margin = 0.04 * (high - low).max(1e-6);
        Scale::bare(low - margin, high + margin)
    };
    let axes = Axes { corner: [24.0, 44.0], size: [500.0, 500.0], across: ends(0), up: ends(1) };
    let mut names: Vec<&str> = points.iter().map(|point| point.prediction.dataset.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut figure = Figure::new(760.0, 590f64.max(140.0 + 20.0 * names.len() as f64));
    axes.draw(&mut figure, title, "", "");
    for Point { prediction, at } in points {
        let index = names.iter().position(|name| *name == prediction.dataset).unwrap_or(0);
        let place = axes.place((f64::from(at[0]), f64::from(at[1])));
        let (colour, is_filled) = if prediction.label == Label::Fake { (VERMILLION, true) } else { (BLUE, false) };
        figure.marker(Marker::of(index), place, 3.4, colour, is_filled);
    }
    let (x, mut y) = (548.0, 56.0);
    let mut line = |marker, colour, is_filled, words: String| {
        figure.marker(marker, (x, y), 5.0, colour, is_filled);
        figure.text(words, (x + 14.0, y), Lettering::new(SMALL));
        y += 20.0;
    };
    line(Marker::Circle, BLUE, false, "open: real".to_owned());
    line(Marker::Circle, VERMILLION, true, "filled: fake".to_owned());
    for (index, name) in names.iter().enumerate().filter(|_| names.len() > 1) {
        line(Marker::of(index), GREY, true, shortened(name, NAME));
    }
    figure.text(below, (24.0, 566.0), Lettering::new(SMALL).coloured(GREY));
    figure
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn golden() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/tsne.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn rows(value: &Value) -> Vec<Vec<f64>> {
        let row = |row: &Value| row.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
        value.as_array().unwrap().iter().map(row).collect()
    }

    fn vectors(golden: &Value) -> Vec<Vec<f32>> {
        rows(&golden["vectors"]).iter().map(|row| row.iter().map(|value| *value as f32).collect()).collect()
    }

    #[test]
    fn the_divergence_of_given_places_is_that_of_scikit_learn() {
        let golden = golden();
        let vectors = vectors(&golden);
        let places: Vec<[f32; 2]> = rows(&golden["places"]).iter().map(|row| [row[0] as f32, row[1] as f32]).collect();
        let mut tsne = tSNE::<f32, Vec<f32>, 2>::new(&vectors);
        tsne.perplexity(golden["perplexity"].as_f64().unwrap() as f32).epochs(1).initial_embedding(places.concat());
        tsne.barnes_hut(THETA, |one, other| distance(one, other));
        let found = divergence(&tsne.affinities().unwrap(), &places);
        let expected = golden["divergence"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-3 * expected, "{found} where scikit-learn has {expected}");
    }

    #[test]
    fn what_is_laid_out_loses_no_more_than_scikit_learns_and_is_the_same_every_time() {
        let golden = golden();
        let vectors = vectors(&golden);
        let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let (one, again) = (lay_out(&vectors).unwrap(), lay_out(&vectors).unwrap());
        assert_eq!(one.places, again.places);
        let best = golden["best_divergence"].as_f64().unwrap();
        assert!(one.divergence < 1.25 * best, "{} where scikit-learn comes to {best}", one.divergence);
        // Each of the three clusters stays together: the nearest neighbour of nearly every point is of its own.
        let clusters: Vec<u64> =
            golden["clusters"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect();
        let nearest = |index: usize| {
            let others = (0..clusters.len()).filter(|other| *other != index);
            let at = |other: usize| distance(&one.places[index], &one.places[other]);
            others.min_by(|one, other| at(*one).total_cmp(&at(*other))).unwrap()
        };
        let kept = (0..clusters.len()).filter(|index| clusters[nearest(*index)] == clusters[*index]).count();
        assert!(kept * 20 > clusters.len() * 19, "{kept} of {}", clusters.len());
    }

    #[test]
    fn too_few_vectors_and_vectors_that_are_all_equal_are_told_and_do_not_panic() {
        assert!(lay_out(&[&[1.0, 2.0][..]; 3]).is_err_and(|reason| reason.contains("too few")));
        assert!(lay_out(&[&[f32::NAN][..]; 20]).is_err_and(|reason| reason.contains("finite")));
        if let Ok(laid_out) = lay_out(&[&[1.0, 2.0][..]; 20]) {
            assert!(laid_out.places.iter().flatten().all(|place| place.is_finite()));
        }
    }
}
