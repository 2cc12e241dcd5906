//! Attention rollout: how much what a transformer's answer is read from comes from each patch of the image.
//!
//! A layer's attention, of which only what speaks for a class is left ([`Weighted`]), says how much each token takes from each
//! other; with what every token keeps of itself (the residual), layers one after the other make `R ← R + Ā·R` (Chefer, Gur
//! and Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers", 2021, equations
//! 5 and 6). Only a few rows of R are asked for, so they are led back through the layers instead, from the last to the
//! first: a product of a vector and a matrix each.

use alloc::vec;
use alloc::vec::Vec;

/// The attention of a layer times its gradient, negative parts left out, mean over heads: `[batch, rows, columns]`, where
/// tokens in rows take from tokens in columns (equation 5 there).
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Weighted {
    /// Of values `[batch, rows, columns]`.
    pub fn new(values: Vec<f32>, [rows, columns]: [usize; 2]) -> Self {
        Self { rows, columns, values }
    }

    /// How much each token of `sample` is taken from by tokens that count as much as `relevance` says, `[rows]`: `[columns]`.
    pub fn led(&self, sample: usize, relevance: &[f32]) -> Vec<f32> {
        let mut led = vec![0.0; self.columns];
        let length = self.rows * self.columns;
        let matrix = self.values.get(sample * length..).unwrap_or_default();
        for (row, weight) in matrix.chunks_exact(self.columns.max(1)).zip(relevance) {
            led.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
        led
    }

    /// The values of one sample, row by row.
    pub fn sample(&self, sample: usize) -> Vec<f32> {
        let length = self.rows * self.columns;
        self.values.chunks_exact(length.max(1)).nth(sample).unwrap_or_default().to_vec()
    }

    /// `relevance` and what is [`led`](Self::led) of it.
    fn through(&self, sample: usize, relevance: Vec<f32>) -> Vec<f32> {
        let led = self.led(sample, &relevance);
        relevance.iter().zip(led).map(|(kept, led)| kept + led).collect()
    }
}

/// How much each token counts that goes into the first of `layers`, where those of the last one count as `relevance` says.
pub fn through(layers: &[Weighted], sample: usize, relevance: Vec<f32>) -> Vec<f32> {
    layers.iter().rev().fold(relevance, |relevance, layer| layer.through(sample, relevance))
}

/// How much each patch counts by the class token after `layers`, whose tokens are the class token, `others` that stand for no
/// patch, and the patches.
pub fn of_class_token(layers: &[Weighted], sample: usize, others: usize) -> Vec<f32> {
    let mut relevance = vec![0.0; layers.last().map_or(1, |layer| layer.rows).max(1)];
    relevance[0] = 1.0;
    through(layers, sample, relevance).split_off((1 + others).min(layers.first().map_or(1, |layer| layer.columns)))
}

/// How much the tokens of a clip count where attention is divided: within each frame, whose class token is the clip's, and over
/// time.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceTime {
    /// The class token, one for the clip.
    pub class: f32,
    /// The patches of each frame, `[T][L]`.
    pub patches: Vec<Vec<f32>>,
}

impl SpaceTime {
    /// What is read from the class token alone.
    pub fn of_class_token(frames: usize, patches: usize) -> Self {
        Self { class: 1.0, patches: vec![vec![0.0; patches]; frames] }
    }

    /// Back through attention within frames, `[clips · T, 1 + L, 1 + L]`, after which the frames' class tokens were averaged.
    #[must_use]
    pub fn within_frames(mut self, layer: &Weighted, clip: usize) -> Self {
        let frames = self.patches.len();
        let copy = self.class / frames as f32;
        for (frame, patches) in self.patches.iter_mut().enumerate() {
            let relevance: Vec<f32> = core::iter::once(copy).chain(patches.iter().copied()).collect();
            let led = layer.led(clip * frames + frame, &relevance);
            self.class += led.first().copied().unwrap_or(0.0);
            patches.iter_mut().zip(led.iter().skip(1)).for_each(|(patch, led)| *patch += led);
        }
        self
    }

    /// Back through attention of each patch to itself over time, `[clips · L, T, T]`.
    #[must_use]
    pub fn over_time(mut self, layer: &Weighted, clip: usize) -> Self {
        let count = self.patches.first().map_or(0, Vec::len);
        for patch in 0..count {
            let relevance: Vec<f32> = self.patches.iter().map(|frame| frame[patch]).collect();
            let led = layer.led(clip * count + patch, &relevance);
            self.patches.iter_mut().zip(led).for_each(|(frame, led)| frame[patch] += led);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::values;

    fn positive(count: usize, seed: u64) -> Vec<f32> {
        values(count, seed).into_iter().map(f32::abs).collect()
    }

    /// `R ← R + Ā·R` from the identity, as the paper writes it.
    fn whole(layers: &[Weighted], tokens: usize) -> Vec<f32> {
        let mut relevance: Vec<f32> =
            (0..tokens * tokens).map(|i| f32::from(u8::from(i / tokens == i % tokens))).collect();
        for layer in layers {
            let product = |place: usize| -> f32 {
                let (row, column) = (place / tokens, place % tokens);
                (0..tokens).map(|k| layer.values[row * tokens + k] * relevance[k * tokens + column]).sum()
            };
            let changes: Vec<f32> = (0..tokens * tokens).map(product).collect();
            relevance.iter_mut().zip(changes).for_each(|(value, change)| *value += change);
        }
        relevance
    }

    #[test]
    fn rows_led_back_are_the_rows_of_the_whole_product() {
        let tokens = 6;
        let layers: Vec<Weighted> =
            (0..3).map(|seed| Weighted::new(positive(tokens * tokens, seed), [tokens, tokens])).collect();
        let expected = whole(&layers, tokens);
        for others in [0, 2] {
            let found = of_class_token(&layers, 0, others);
            assert_eq!(found.len(), tokens - 1 - others);
            for (found, expected) in found.iter().zip(&expected[1 + others..tokens]) {
                assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn divided_attention_is_attention_of_all_tokens_that_spares_most_pairs() {
        let (frames, patches) = (2, 3);
        let tokens = 1 + frames * patches;
        let within = Weighted::new(positive(frames * 16, 1), [4, 4]);
        let time = Weighted::new(positive(patches * frames * frames, 2), [frames, frames]);
        // The same two steps as matrices of all tokens: the class token, then frame by frame.
        let mut first = vec![0.0; tokens * tokens];
        for patch in 0..patches {
            for (from, to) in (0..frames * frames).map(|pair| (pair / frames, pair % frames)) {
                let value = time.values[(patch * frames + from) * frames + to];
                first[(1 + from * patches + patch) * tokens + 1 + to * patches + patch] = value;
            }
        }
        let mut second = vec![0.0; tokens * tokens];
        for frame in 0..frames {
            let place = |token: usize| if token == 0 { 0 } else { frame * patches + token };
            for (row, column) in (0..16).map(|pair| (pair / 4, pair % 4)) {
                let share = if row == 0 { 1.0 / frames as f32 } else { 1.0 };
                second[place(row) * tokens + place(column)] += share * within.values[frame * 16 + row * 4 + column];
            }
        }
        let layers = [first, second].map(|values| Weighted::new(values, [tokens, tokens]));
        let expected = whole(&layers, tokens);
        let found = SpaceTime::of_class_token(frames, patches).within_frames(&within, 0).over_time(&time, 0);
        assert!((found.class - expected[0]).abs() < 1e-5);
        for (found, expected) in found.patches.concat().iter().zip(&expected[1..tokens]) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn each_sample_has_its_own_layers() {
        let layer = Weighted::new([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].to_vec(), [2, 2]);
        assert_eq!(layer.led(1, &[1.0, 0.0]), [5.0, 6.0]);
        assert_eq!(layer.led(9, &[1.0, 0.0]), [0.0, 0.0], "one that is not there takes nothing");
    }
}
