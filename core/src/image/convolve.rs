//! The clear body of resizing, for platforms without std and for holding the fast one against.

use alloc::vec::Vec;

use super::{Kernel, Region, RgbImage};

/// The source pixels that one target pixel is made of, and their weights, which add up to 1.
struct Taps {
    start: usize,
    weights: Vec<f64>,
}

/// The taps of each of `count` target pixels over `start..start + length` of a line of `available` source pixels.
fn taps(start: f64, length: f64, available: usize, count: usize, kernel: Kernel) -> Vec<Taps> {
    let scale = length / count as f64;
    let stretch = scale.max(1.0);
    let reach = kernel.support() * stretch;
    (0..count)
        .map(|index| {
            let centre = start + (index as f64 + 0.5) * scale;
            let first = libm::floor(centre - reach + 0.5).max(0.0) as usize;
            let last = (libm::floor(centre + reach + 0.5).max(0.0) as usize).min(available);
            let mut weights: Vec<f64> =
                (first..last).map(|pixel| kernel.at((pixel as f64 + 0.5 - centre) / stretch)).collect();
            let total: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= total);
            Taps { start: first, weights }
        })
        .collect()
}

/// As [`resample`](super::resample::resample), pixel by pixel: across first, then down, rounding after each.
pub(super) fn convolve(image: &RgbImage, region: Region, width: usize, height: usize, kernel: Kernel) -> RgbImage {
    let inside = region.left >= 0.0
        && region.top >= 0.0
        && region.left + region.width <= image.width as f64
        && region.top + region.height <= image.height as f64;
    if !inside || region.width <= 0.0 || region.height <= 0.0 {
        return RgbImage::black(width, height);
    }
    let sum = |taps: &Taps, at: &dyn Fn(usize) -> u8| {
        let sum: f64 = taps.weights.iter().enumerate().map(|(i, weight)| weight * f64::from(at(taps.start + i))).sum();
        libm::round(sum.clamp(0.0, 255.0)) as u8
    };
    let mut across = RgbImage::black(width, image.height);
    for (x, taps) in taps(region.left, region.width, image.width, width, kernel).iter().enumerate() {
        for (y, channel) in (0..image.height).flat_map(|y| (0..3).map(move |channel| (y, channel))) {
            across.pixels[(y * width + x) * 3 + channel] =
                sum(taps, &|source| image.pixels[(y * image.width + source) * 3 + channel]);
        }
    }
    let mut resized = RgbImage::black(width, height);
    for (y, taps) in taps(region.top, region.height, image.height, height, kernel).iter().enumerate() {
        for index in 0..width * 3 {
            resized.pixels[y * width * 3 + index] = sum(taps, &|source| across.pixels[source * width * 3 + index]);
        }
    }
    resized
}
