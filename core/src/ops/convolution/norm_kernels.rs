//! Batch norms on slices of pixels, `[pixels, channels]`.

use alloc::vec;
use alloc::vec::Vec;

#[cfg(all(feature = "simd", feature = "autodiff"))]
use super::kernels::clamped;
#[cfg(any(test, feature = "autodiff"))]
use super::kernels::masked;
use super::kernels::{Bounds, PIXELS_AT_ONCE, finish};
use crate::ops::cpu::parallel::for_each_chunk;
#[cfg(any(test, feature = "autodiff"))]
use crate::ops::cpu::parallel::for_each_chunk_pair;

/// Mean and variance of each channel, `[2, channels]`; zeros where there is no pixel.
///
/// Each piece of the pixels is summed around its own mean, and the pieces are put together by the formula of Chan, Golub and
/// LeVeque (1979), so that a large mean takes no digits from a small variance.
pub(super) fn moments(values: &[f32], channels: usize) -> Vec<f32> {
    let length = channels * PIXELS_AT_ONCE;
    let mut parts = vec![0.0; values.len().div_ceil(length) * 2 * channels];
    for_each_chunk(
        &mut parts,
        2 * channels,
        #[inline(always)]
        |index, part| {
            let pixels = &values[index * length..][..length.min(values.len() - index * length)];
            piece_moments(pixels, channels, part);
        },
    );
    let mut running = Running::new(channels);
    for (index, part) in parts.chunks_exact(2 * channels).enumerate() {
        let added = length.min(values.len() - index * length) / channels;
        let (means, squares) = part.split_at(channels);
        let piece = means.iter().zip(squares).map(|(mean, square)| (f64::from(*mean), f64::from(*square)));
        running.merge(added as f64, piece);
    }
    running.moments()
}

/// The moments of the pixels so far.
#[derive(Clone, Debug)]
pub(super) struct Running {
    count: f64,
    mean: Vec<f64>,
    /// The squared distances from the mean, summed.
    squares: Vec<f64>,
}

impl Running {
    pub(super) fn new(channels: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    /// Adds `added` pixels with a mean and a sum of squared distances for each channel.
    fn merge(&mut self, added: f64, piece: impl Iterator<Item = (f64, f64)>) {
        let total = self.count + added;
        if total == 0.0 {
            return;
        }
        let (share, weight) = (added / total, self.count * added / total);
        for ((mean, squares), (piece_mean, piece_squares)) in self.mean.iter_mut().zip(&mut self.squares).zip(piece) {
            let apart = piece_mean - *mean;
            *mean += apart * share;
            *squares += piece_squares + apart * apart * weight;
        }
        self.count = total;
    }

    /// Adds a piece of the pixels.
    #[cfg(all(feature = "simd", feature = "autodiff"))]
    #[inline(always)]
    pub(super) fn add(&mut self, pixels: &[f32]) {
        let channels = self.mean.len();
        let mut part = vec![0.0; 2 * channels];
        piece_moments(pixels, channels, &mut part);
        let (means, squares) = part.split_at(channels);
        let piece = means.iter().zip(squares).map(|(mean, square)| (f64::from(*mean), f64::from(*square)));
        self.merge((pixels.len() / channels) as f64, piece);
    }

    /// All parts together, in their order.
    #[cfg(all(feature = "simd", feature = "autodiff"))]
    pub(super) fn of_parts(parts: Vec<Self>, channels: usize) -> Self {
        let mut all = Self::new(channels);
        for part in parts {
            all.merge(part.count, part.mean.into_iter().zip(part.squares));
        }
        all
    }

    /// Mean and variance of each channel, `[2, channels]`.
    pub(super) fn moments(&self) -> Vec<f32> {
        let variance = self.squares.iter().map(|sum| (sum / f64::max(self.count, 1.0)) as f32);
        self.mean.iter().map(|mean| *mean as f32).chain(variance).collect()
    }
}

/// The mean of each channel, and the sum of the squared distances from it, of a piece of the pixels.
#[inline(always)]
fn piece_moments(pixels: &[f32], channels: usize, part: &mut [f32]) {
    let (mean, squares) = part.split_at_mut(channels);
    for pixel in pixels.chunks_exact(channels) {
        for (sum, value) in mean.iter_mut().zip(pixel) {
            *sum += value;
        }
    }
    let count = (pixels.len() / channels) as f32;
    mean.iter_mut().for_each(|sum| *sum /= count);
    for pixel in pixels.chunks_exact(channels) {
        for ((square, mean), value) in squares.iter_mut().zip(mean.iter()).zip(pixel) {
            let apart = value - mean;
            *square += apart * apart;
        }
    }
}

/// The numbers of a batch norm, one a channel each.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    mean: Vec<f32>,
    /// One over the square root of variance and epsilon.
    #[cfg(any(test, feature = "autodiff"))]
    inverse_deviation: Vec<f32>,
    /// What a value is multiplied with …
    scale: Vec<f32>,
    /// … and what is added then.
    shift: Vec<f32>,
}

/// Sums over all pixels, one a channel each.
#[cfg(any(test, feature = "autodiff"))]
#[derive(Clone, Debug)]
pub(super) struct Sums {
    /// Of the gradient.
    pub(super) gradient: Vec<f32>,
    /// Of the gradient times the value's distance from the mean.
    moment: Vec<f32>,
    pixels: usize,
}

#[cfg(any(test, feature = "autodiff"))]
impl Sums {
    /// Of parts `[2, channels]`, the sums of the gradient and those of its product with the distance, over `pixels` in all.
    pub(super) fn of_parts<'a>(parts: impl Iterator<Item = &'a [f32]>, channels: usize, pixels: usize) -> Self {
        let mut total = vec![0.0f64; 2 * channels];
        for part in parts {
            total.iter_mut().zip(part).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let total: Vec<f32> = total.into_iter().map(|sum| sum as f32).collect();
        let (sum, moment) = total.split_at(channels);
        Self { gradient: sum.to_vec(), moment: moment.to_vec(), pixels }
    }
}

impl Norm {
    /// That of a batch with these `moments`, `[2, channels]`.
    pub(super) fn new(weight: &[f32], bias: &[f32], moments: &[f32], epsilon: f32) -> Self {
        let (mean, variance) = moments.split_at(weight.len());
        let inverse_deviation: Vec<f32> = variance.iter().map(|v| 1.0 / libm::sqrtf(v + epsilon)).collect();
        let scale: Vec<f32> = weight.iter().zip(&inverse_deviation).map(|(weight, inverse)| weight * inverse).collect();
        let shift = bias.iter().zip(mean).zip(&scale).map(|((bias, mean), scale)| bias - mean * scale).collect();
        Self {
            mean: mean.to_vec(),
            #[cfg(any(test, feature = "autodiff"))]
            inverse_deviation,
            scale,
            shift,
        }
    }

    /// `clamp((values - mean) / deviation * weight + bias)`.
    pub(super) fn forward(&self, values: &[f32], bounds: Option<Bounds>) -> Vec<f32> {
        let length = self.mean.len() * PIXELS_AT_ONCE;
        let mut output = vec![0.0; values.len()];
        for_each_chunk(
            &mut output,
            length,
            #[inline(always)]
            |index, piece| {
                piece.copy_from_slice(&values[index * length..][..piece.len()]);
                finish(piece, &self.scale, &self.shift, bounds);
            },
        );
        output
    }

    /// `clamp((values - mean) / deviation * weight + bias)` of pixels side by side, to pixels that begin `pixel` floats apart.
    #[cfg(all(feature = "simd", feature = "autodiff"))]
    #[inline(always)]
    pub(super) fn spread(&self, values: &[f32], (low, high): Bounds, target: &mut [f32], pixel: usize) {
        let channels = self.scale.len();
        for (values, target) in values.chunks_exact(channels).zip(target.chunks_exact_mut(pixel)) {
            let parameters = self.scale.iter().zip(&self.shift);
            for ((target, value), (scale, shift)) in target.iter_mut().zip(values).zip(parameters) {
                *target = clamped(value * scale + shift, low, high);
            }
        }
    }

    /// Sets `gradient`, that of a few pixels of the output, to zero where the output was clamped, and adds its sums to `sums`,
    /// `[2, channels]`.
    #[cfg(all(feature = "simd", feature = "autodiff"))]
    #[inline(always)]
    pub(super) fn mask_and_sum(&self, gradient: &mut [f32], values: &[f32], bounds: Bounds, sums: &mut [f32]) {
        let channels = self.scale.len();
        let (sum, moment) = sums.split_at_mut(channels);
        let [scale, shift, mean] = [&self.scale[..channels], &self.shift[..channels], &self.mean[..channels]];
        let (sum, moment) = (&mut sum[..channels], &mut moment[..channels]);
        for (gradient, values) in gradient.chunks_exact_mut(channels).zip(values.chunks_exact(channels)) {
            let (gradient, values) = (&mut gradient[..channels], &values[..channels]);
            for channel in 0..channels {
                let value = values[channel];
                let g = masked(gradient[channel], value * scale[channel] + shift[channel], bounds);
                gradient[channel] = g;
                sum[channel] += g;
                moment[channel] += g * (value - mean[channel]);
            }
        }
    }

    /// Sets `gradient`, that of the output, to zero where `output` was clamped, and sums it up.
    #[cfg(any(test, feature = "autodiff"))]
    pub(super) fn gradient_sums(&self, gradient: &mut [f32], values: &[f32], output: Option<(&[f32], Bounds)>) -> Sums {
        let channels = self.mean.len();
        let length = channels * PIXELS_AT_ONCE;
        let mut parts = vec![0.0; gradient.len().div_ceil(length) * 2 * channels];
        for_each_chunk_pair(
            gradient,
            length,
            &mut parts,
            2 * channels,
            #[inline(always)]
            |index, gradient, sums| {
                if let Some((output, bounds)) = output {
                    let output = &output[index * length..][..gradient.len()];
                    gradient.iter_mut().zip(output).for_each(|(g, y)| *g = masked(*g, *y, bounds));
                }
                let values = &values[index * length..][..gradient.len()];
                self.add_sums(gradient, values, sums);
            },
        );
        Sums::of_parts(parts.chunks_exact(2 * channels), channels, gradient.len() / channels)
    }

    /// Adds the sums over a few pixels to `sums`, `[2, channels]`.
    #[cfg(any(test, feature = "autodiff"))]
    #[inline(always)]
    pub(super) fn add_sums(&self, gradient: &[f32], values: &[f32], sums: &mut [f32]) {
        let channels = self.mean.len();
        let (sum, moment) = sums.split_at_mut(channels);
        for (gradient, values) in gradient.chunks_exact(channels).zip(values.chunks_exact(channels)) {
            for channel in 0..channels {
                sum[channel] += gradient[channel];
                moment[channel] += gradient[channel] * (values[channel] - self.mean[channel]);
            }
        }
    }

    /// The gradient of the weight.
    #[cfg(any(test, feature = "autodiff"))]
    pub(super) fn weight_gradient(&self, sums: &Sums) -> Vec<f32> {
        sums.moment.iter().zip(&self.inverse_deviation).map(|(moment, inverse)| moment * inverse).collect()
    }

    /// Turns the gradient of the output, as [`Norm::gradient_sums`] left it, into that of the input.
    #[cfg(any(test, feature = "autodiff"))]
    pub(super) fn input_gradient(&self, gradient: &mut [f32], values: &[f32], sums: &Sums) {
        let length = self.mean.len() * PIXELS_AT_ONCE;
        let back = self.back(sums);
        for_each_chunk(
            gradient,
            length,
            #[inline(always)]
            |index, gradient| back.in_place(gradient, &values[index * length..][..gradient.len()]),
        );
    }

    /// The way back through the norm, given the `sums` over all pixels.
    #[cfg(any(test, feature = "autodiff"))]
    pub(super) fn back<'a>(&'a self, sums: &Sums) -> NormBack<'a> {
        let count = sums.pixels.max(1) as f32;
        let mean_gradient = sums.gradient.iter().map(|sum| sum / count).collect();
        let slope = sums.moment.iter().zip(&self.inverse_deviation);
        let slope = slope.map(|(moment, inverse)| moment / count * inverse * inverse).collect();
        NormBack { norm: self, mean_gradient, slope }
    }
}

/// What the gradient of a norm's output is turned into that of its input with:
/// `weight / deviation * (g - mean(g) - (x - mean) / deviation² * mean(g * (x - mean)))`.
#[cfg(any(test, feature = "autodiff"))]
#[derive(Debug)]
pub(super) struct NormBack<'a> {
    norm: &'a Norm,
    mean_gradient: Vec<f32>,
    slope: Vec<f32>,
}

#[cfg(any(test, feature = "autodiff"))]
impl NormBack<'_> {
    /// Of a few pixels `[…, channels]`.
    #[inline(always)]
    fn in_place(&self, gradient: &mut [f32], values: &[f32]) {
        let channels = self.slope.len();
        for (gradient, values) in gradient.chunks_exact_mut(channels).zip(values.chunks_exact(channels)) {
            for ((gradient, value), channel) in gradient.iter_mut().zip(values).zip(self.channels()) {
                *gradient = channel.of(*gradient, *value);
            }
        }
    }

    /// Of pixels side by side, to pixels that begin `pixel` floats apart.
    #[cfg(all(feature = "simd", feature = "autodiff"))]
    #[inline(always)]
    pub(super) fn spread(&self, gradient: &[f32], values: &[f32], target: &mut [f32], pixel: usize) {
        let channels = self.slope.len();
        let pixels = gradient.chunks_exact(channels).zip(values.chunks_exact(channels));
        for ((gradient, values), target) in pixels.zip(target.chunks_exact_mut(pixel)) {
            let pixel = target.iter_mut().zip(gradient).zip(values);
            for (((target, gradient), value), channel) in pixel.zip(self.channels()) {
                *target = channel.of(*gradient, *value);
            }
        }
    }

    #[inline(always)]
    fn channels(&self) -> impl Iterator<Item = ChannelBack> {
        let of_norm = self.norm.scale.iter().zip(&self.norm.mean);
        let of_batch = self.mean_gradient.iter().zip(&self.slope);
        of_norm.zip(of_batch).map(
            #[inline(always)]
            |((scale, mean), (mean_gradient, slope))| ChannelBack {
                scale: *scale,
                mean: *mean,
                mean_gradient: *mean_gradient,
                slope: *slope,
            },
        )
    }
}

/// The numbers of one channel.
#[cfg(any(test, feature = "autodiff"))]
struct ChannelBack {
    scale: f32,
    mean: f32,
    mean_gradient: f32,
    slope: f32,
}

#[cfg(any(test, feature = "autodiff"))]
impl ChannelBack {
    #[inline(always)]
    fn of(&self, gradient: f32, value: f32) -> f32 {
        self.scale * (gradient - self.mean_gradient - (value - self.mean) * self.slope)
    }
}
