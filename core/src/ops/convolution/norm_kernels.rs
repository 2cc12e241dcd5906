//! Batch norms on slices of pixels, `[pixels, channels]`.

use alloc::vec;
use alloc::vec::Vec;

#[cfg(any(test, feature = "autodiff"))]
use super::kernels::masked;
use super::kernels::{Bounds, PIXELS_AT_ONCE, finish};
use super::parallel::for_each_chunk;
#[cfg(any(test, feature = "autodiff"))]
use super::parallel::for_each_chunk_pair;

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
    let (mut mean, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
    let mut count = 0.0;
    for (index, part) in parts.chunks_exact(2 * channels).enumerate() {
        let added = (length.min(values.len() - index * length) / channels) as f64;
        let total = count + added;
        let (means, sums) = part.split_at(channels);
        for channel in 0..channels {
            let apart = f64::from(means[channel]) - mean[channel];
            mean[channel] += apart * added / total;
            squares[channel] += f64::from(sums[channel]) + apart * apart * count * added / total;
        }
        count = total;
    }
    let variance = squares.iter().map(|sum| (sum / f64::max(count, 1.0)) as f32);
    mean.iter().map(|mean| *mean as f32).chain(variance).collect()
}

/// The mean of each channel, and the sum of the squared distances from it, of a piece of the pixels.
#[inline(always)]
fn piece_moments(pixels: &[f32], channels: usize, part: &mut [f32]) {
    let (mean, squares) = part.split_at_mut(channels);
    for pixel in pixels.chunks_exact(channels) {
        mean.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
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

impl Norm {
    /// That of a batch with these `moments`, `[2, channels]`.
    pub(super) fn new(weight: &[f32], bias: &[f32], moments: &[f32], epsilon: f32) -> Self {
        let (mean, variance) = moments.split_at(weight.len());
        let inverse_deviation: Vec<f32> = variance.iter().map(|v| 1.0 / libm::sqrtf(v + epsilon)).collect();
        let scale: Vec<f32> = weight.iter().zip(&inverse_deviation).map(|(weight, inverse)| weight * inverse).collect();
        let shift = bias.iter().zip(mean).zip(&scale).map(|((bias, mean), scale)| bias - mean * scale).collect();
        Self { mean: mean.to_vec(), inverse_deviation, scale, shift }
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
        let mut total = vec![0.0f64; 2 * channels];
        for part in parts.chunks_exact(2 * channels) {
            total.iter_mut().zip(part).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let total: Vec<f32> = total.into_iter().map(|sum| sum as f32).collect();
        let (sum, moment) = total.split_at(channels);
        Sums { gradient: sum.to_vec(), moment: moment.to_vec(), pixels: gradient.len() / channels }
    }

    #[cfg(any(test, feature = "autodiff"))]
    #[inline(always)]
    fn add_sums(&self, gradient: &[f32], values: &[f32], sums: &mut [f32]) {
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

    /// Turns the gradient of the output, as [`Norm::gradient_sums`] left it, into that of the input:
    /// `weight / deviation * (g - mean(g) - (x - mean) / deviation² * mean(g * (x - mean)))`.
    #[cfg(any(test, feature = "autodiff"))]
    pub(super) fn input_gradient(&self, gradient: &mut [f32], values: &[f32], sums: &Sums) {
        let channels = self.mean.len();
        let length = channels * PIXELS_AT_ONCE;
        let count = sums.pixels.max(1) as f32;
        let mean_gradient: Vec<f32> = sums.gradient.iter().map(|sum| sum / count).collect();
        let slope: Vec<f32> = sums
            .moment
            .iter()
            .zip(&self.inverse_deviation)
            .map(|(moment, inverse)| moment / count * inverse * inverse)
            .collect();
        for_each_chunk(
            gradient,
            length,
            #[inline(always)]
            |index, gradient| {
                let values = &values[index * length..][..gradient.len()];
                for (gradient, values) in gradient.chunks_exact_mut(channels).zip(values.chunks_exact(channels)) {
                    for channel in 0..channels {
                        let apart = values[channel] - self.mean[channel];
                        let centred = gradient[channel] - mean_gradient[channel] - apart * slope[channel];
                        gradient[channel] = self.scale[channel] * centred;
                    }
                }
            },
        );
    }
}
