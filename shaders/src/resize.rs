//! Resizing the rows of an image, and transposing it: run twice, it resizes rows, then columns.
//!
//! | binding | what |
//! |---|---|
//! | 0 | uniform: [`ResizeParameters`] |
//! | 1 | storage, read: [`Taps::words`], i32 |
//! | 2 | storage, read: the image `[rows, length]`, a word a pixel: red in the lowest byte, then green and blue |
//! | 3 | storage, written: the resized, transposed image `[resized length, rows]`, words likewise |
//!
//! One invocation a pixel of the result, `workgroups(rows, resized length)`.

/// The shader. Entry point: `resize`.
pub const RESIZE: &str = include_str!("resize.wgsl");

/// Sums of weights times levels have to fit 32 bits: 8 for the level, 2 because some weights are negative.
const MOST_WEIGHT_BITS: u32 = 21;

/// The largest weight stays below 2¹⁵, as in the core's vector instructions, so that both round alike.
const LARGEST_BITS: i32 = 15;

/// How pixels between pixels are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// A triangle of one pixel to each side.
    Bilinear,
    /// Keys' cubic with a = -0.5 (Catmull-Rom), two pixels to each side.
    Bicubic,
}

impl Kernel {
    /// How far it reaches to each side.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// Its value at `x`.
    fn at(self, x: f64) -> f64 {
        let distance = x.abs();
        match self {
            Self::Bilinear if distance < 1.0 => 1.0 - distance,
            Self::Bicubic if distance < 1.0 => (1.5 * distance - 2.5) * distance * distance + 1.0,
            Self::Bicubic if distance < 2.0 => ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0,
            _ => 0.0,
        }
    }
}

/// For each pixel of a resized row the pixels it is made of and their weights. The kernel widens when rows shrink, so that
/// every pixel counts (antialiasing, as Pillow's `Image.resize` does).
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    words: Vec<i32>,
    length: u32,
    resized_length: u32,
    stride: u32,
    weight_bits: u32,
}

impl Taps {
    /// The taps that turn rows of `length` pixels into rows of `resized_length` pixels.
    pub fn new(length: u32, resized_length: u32, kernel: Kernel) -> Self {
        let rows: Vec<(u32, Vec<f64>)> =
            (0..resized_length).map(|position| weights(position, length, resized_length, kernel)).collect();
        let largest = rows.iter().flat_map(|(_, weights)| weights).copied().fold(0.0, f64::max);
        let weight_bits = weight_bits(largest);
        let stride = 2 + rows.iter().map(|(_, weights)| weights.len()).max().unwrap_or(0);
        let mut words = Vec::with_capacity(rows.len() * stride);
        for (index, (start, weights)) in rows.iter().enumerate() {
            words.extend([*start as i32, weights.len() as i32]);
            words.extend(weights.iter().map(|weight| (weight * f64::from(1 << weight_bits)).round() as i32));
            words.resize((index + 1) * stride, 0);
        }
        Self { words, length, resized_length, stride: stride as u32, weight_bits }
    }

    /// For each resized pixel as many words: the first pixel it is made of, how many pixels, the weight of each in whole units,
    /// and zeros up to the longest of them.
    pub fn words(&self) -> &[i32] {
        &self.words
    }

    /// The content of the buffer of [`Taps::words`].
    pub fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// What the shader is told to resize an image of `rows` rows.
    pub fn parameters(&self, rows: u32) -> ResizeParameters {
        let &Self { length, resized_length, stride, weight_bits, .. } = self;
        ResizeParameters { rows, length, resized_length, stride, weight_bits }
    }
}

/// The first pixel that a resized pixel is made of, and the weight of it and those behind it; they add up to 1, and neither
/// the first nor the last is 0.
fn weights(position: u32, length: u32, resized_length: u32, kernel: Kernel) -> (u32, Vec<f64>) {
    let scale = f64::from(length) / f64::from(resized_length);
    let stretch = scale.max(1.0);
    let centre = (f64::from(position) + 0.5) * scale - 0.5;
    let weight = |pixel: u32| kernel.at((f64::from(pixel) - centre) / stretch);
    let counts = |pixel: &u32| weight(*pixel) != 0.0;
    let reach = kernel.support() * stretch;
    let mut near = (centre - reach).max(0.0) as u32..((centre + reach).ceil() as u32 + 1).min(length);
    let Some(first) = near.find(counts) else { return (0, Vec::new()) };
    let last = near.rfind(counts).unwrap_or(first);
    let weights: Vec<f64> = (first..=last).map(weight).collect();
    let total: f64 = weights.iter().sum();
    (first, weights.iter().map(|weight| weight / total).collect())
}

/// How many bits behind the point weights have if `largest` is the largest of them.
fn weight_bits(largest: f64) -> u32 {
    let is_full = |bits: &u32| (largest * 2f64.powi(*bits as i32 + 1)).round() >= 2f64.powi(LARGEST_BITS);
    (1..MOST_WEIGHT_BITS).find(is_full).unwrap_or(MOST_WEIGHT_BITS)
}

/// What the shader is told, a uniform buffer of 32 bytes: the fields in their order, u32 each, then nothing up to 32.
/// [`Taps::parameters`] makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeParameters {
    /// Rows of the image.
    pub rows: u32,
    /// Pixels in a row.
    pub length: u32,
    /// Pixels in a resized row.
    pub resized_length: u32,
    /// Words of the taps for each resized pixel.
    pub stride: u32,
    /// Weights are in units of 2 to the minus this.
    pub weight_bits: u32,
}

impl ResizeParameters {
    /// The uniform buffer's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let &Self { rows, length, resized_length, stride, weight_bits } = self;
        super::bytes(&[rows, length, resized_length, stride, weight_bits, 0, 0, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights of one resized pixel in parts of 1.
    fn tap(taps: &Taps, position: usize) -> (usize, Vec<f64>) {
        let words = &taps.words()[position * taps.stride as usize..];
        let weights = &words[2..2 + words[1] as usize];
        (
            words[0] as usize,
            weights.iter().map(|weight| f64::from(*weight) / f64::from(1 << taps.weight_bits)).collect(),
        )
    }

    #[test]
    fn halving_bilinearly_weighs_four_pixels_one_three_three_one() {
        let (start, weights) = tap(&Taps::new(8, 4, Kernel::Bilinear), 1);
        assert_eq!((start, weights), (1, vec![0.125, 0.375, 0.375, 0.125]));
    }

    #[test]
    fn the_same_length_takes_each_pixel_as_it_is() {
        for kernel in [Kernel::Bilinear, Kernel::Bicubic] {
            for position in 0..5 {
                assert_eq!(tap(&Taps::new(5, 5, kernel), position), (position, vec![1.0]));
            }
        }
    }

    #[test]
    fn weights_add_up_to_one_and_stay_inside_the_row() {
        for kernel in [Kernel::Bilinear, Kernel::Bicubic] {
            for (length, resized) in [(256, 224), (256, 112), (112, 224), (1, 5), (5, 1), (4096, 8), (300, 299)] {
                let taps = Taps::new(length, resized, kernel);
                for position in 0..resized as usize {
                    let (start, weights) = tap(&taps, position);
                    let total: f64 = weights.iter().sum();
                    assert!((total - 1.0).abs() < 1e-3, "{kernel:?} {length} to {resized} at {position}: {total}");
                    assert!(start + weights.len() <= length as usize);
                }
            }
        }
    }

    #[test]
    fn sums_of_the_largest_levels_fit_32_bits() {
        for (length, resized) in [(4096, 8), (256, 224), (8, 4096), (4096, 1)] {
            let taps = Taps::new(length, resized, Kernel::Bicubic);
            for tap in taps.words().chunks(taps.stride as usize) {
                let most: i64 = tap[2..].iter().map(|weight| 255 * i64::from(weight.abs())).sum();
                assert!(most + (1 << taps.weight_bits) < i64::from(i32::MAX), "{length} to {resized}: {most}");
            }
        }
    }

    #[test]
    fn rows_without_pixels_have_no_taps() {
        assert_eq!(Taps::new(0, 2, Kernel::Bicubic).words(), [0, 0, 0, 0]);
        assert!(Taps::new(2, 0, Kernel::Bicubic).words().is_empty());
    }
}
