//! Colours of one image brought to those of another: the way of Reinhard, Ashikhmin, Gooch & Shirley, *Color Transfer between
//! Images* (2001), in CIE L*a*b*.

use unmask_core::image::RgbImage;

use super::{Mask, level, mapped};

/// The white point D65 of sRGB (IEC 61966-2-1), whose XYZ the matrix gives for white.
const WHITE: [f32; 3] = [0.950_47, 1.0, 1.088_83];
/// Linear sRGB to XYZ.
const TO_XYZ: [[f32; 3]; 3] =
    [[0.412_453, 0.357_58, 0.180_423], [0.212_671, 0.715_16, 0.072_169], [0.019_334, 0.119_193, 0.950_227]];
/// XYZ to linear sRGB.
const FROM_XYZ: [[f32; 3]; 3] = [
    [3.240_481_3, -1.537_151_6, -0.498_536_33],
    [-0.969_255, 1.875_99, 0.041_555_926],
    [0.055_646_64, -0.204_041_34, 1.057_311],
];
/// How far from each other deviations may be for one to be brought to the other: noise is not to be made coarse.
const RATIOS: std::ops::RangeInclusive<f32> = 0.5..=2.0;

/// `source` with each of L*, a* and b* stretched and shifted so that over the pixels within the mask it has the mean and the
/// deviation that `target` has there; without any, nothing changes. Deviations are at most doubled or halved. Both and the mask
/// have one size.
pub(super) fn transferred(source: &RgbImage, target: &RgbImage, mask: &Mask) -> RgbImage {
    if mask.is_empty() {
        return source.clone();
    }
    let linear = linear_levels();
    let within = |image: &RgbImage| -> Vec<[f32; 3]> {
        let chosen = image.pixels().as_chunks::<3>().0.iter().zip(mask.values()).filter(|(_, share)| **share > 0.0);
        chosen.map(|(colour, _)| lab(*colour, &linear)).collect()
    };
    let ([means, deviations], [to, wanted]) = (moments(&within(source)), moments(&within(target)));
    let ratio = [0, 1, 2].map(|axis| {
        let ratio = wanted[axis] / deviations[axis].max(f32::MIN_POSITIVE);
        ratio.clamp(*RATIOS.start(), *RATIOS.end())
    });
    mapped(source, |pixel| {
        let colour = lab(pixel, &linear);
        rgb([0, 1, 2].map(|axis| to[axis] + ratio[axis] * (colour[axis] - means[axis])))
    })
}

/// Mean and standard deviation of each axis.
fn moments(colours: &[[f32; 3]]) -> [[f32; 3]; 2] {
    let count = colours.len().max(1) as f64;
    let mean = |of: &dyn Fn(&[f32; 3]) -> f64| colours.iter().map(of).sum::<f64>() / count;
    let means = [0, 1, 2].map(|axis| mean(&|colour| f64::from(colour[axis])));
    let variance = [0, 1, 2].map(|axis| mean(&|colour| (f64::from(colour[axis]) - means[axis]).powi(2)));
    [means.map(|mean| mean as f32), variance.map(|variance| variance.sqrt() as f32)]
}

/// The light that each level of sRGB stands for, 0..1.
fn linear_levels() -> [f32; 256] {
    std::array::from_fn(|value| {
        let value = value as f32 / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
}

fn product(matrix: &[[f32; 3]; 3], vector: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2])
}

/// CIE 1976 L*a*b* of a colour of sRGB.
fn lab(colour: [u8; 3], linear: &[f32; 256]) -> [f32; 3] {
    let xyz = product(&TO_XYZ, colour.map(|value| linear[usize::from(value)]));
    let [x, y, z] = [0, 1, 2].map(|axis| {
        let part: f32 = xyz[axis] / WHITE[axis];
        if part > 0.008_856 { part.cbrt() } else { 7.787 * part + 16.0 / 116.0 }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The inverse of [`lab`], cut to what sRGB can show.
fn rgb([lightness, a, b]: [f32; 3]) -> [u8; 3] {
    let y = (lightness + 16.0) / 116.0;
    let roots = [y + a / 500.0, y, y - b / 200.0];
    let xyz = [0, 1, 2].map(|axis| {
        let root: f32 = roots[axis];
        let part = if root > 0.206_893 { root.powi(3) } else { (root - 16.0 / 116.0) / 7.787 };
        part * WHITE[axis]
    });
    product(&FROM_XYZ, xyz).map(|light| {
        let value = if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
        level(255.0 * value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_cie_and_come_back() {
        let linear = linear_levels();
        // By scikit-image's rgb2lab.
        for (colour, expected) in LAB_OF {
            let found = lab(colour, &linear);
            assert!((0..3).all(|axis| (found[axis] - expected[axis]).abs() < 0.05), "{colour:?}: {found:?}");
        }
        for index in 0..16 * 16 * 16u32 {
            let colour = [index / 256, index / 16 % 16, index % 16].map(|step| (step * 17) as u8);
            assert_eq!(rgb(lab(colour, &linear)), colour);
        }
    }

    /// Colours of sRGB and their L*, a*, b* by scikit-image 0.26 (`skimage.color.rgb2lab`).
    const LAB_OF: [([u8; 3], [f32; 3]); 5] = [
        ([200, 30, 60], [43.563, 64.057, 28.472]),
        ([12, 9, 4], [2.550, 0.119, 2.179]),
        ([236, 196, 172], [81.998, 10.711, 17.381]),
        ([70, 42, 30], [20.251, 11.478, 13.230]),
        ([90, 160, 220], [63.737, -4.402, -37.082]),
    ];

    #[test]
    fn means_and_deviations_become_those_of_the_target_within_the_mask() {
        let side = 32;
        let image = |base: [f32; 3], spread: f32| {
            let value =
                |i: usize, channel: usize| (base[channel] + spread * ((i * 7919 % 97) as f32 / 97.0 - 0.5)) as u8;
            let pixels = (0..side * side).flat_map(|i| [value(i, 0), value(i + 3, 1), value(i + 8, 2)]).collect();
            RgbImage::new(side, side, pixels).unwrap()
        };
        let (source, target) = (image([180.0, 140.0, 120.0], 30.0), image([110.0, 120.0, 90.0], 40.0));
        let mask = Mask::hull([side; 2], &[[4.0, 4.0], [27.0, 4.0], [27.0, 20.0], [4.0, 27.0]]);
        let moved = transferred(&source, &target, &mask);
        let linear = linear_levels();
        let of = |image: &RgbImage| {
            let pixels = image.pixels().as_chunks::<3>().0.iter().zip(mask.values());
            moments(&pixels.filter(|(_, share)| **share > 0.0).map(|(c, _)| lab(*c, &linear)).collect::<Vec<_>>())
        };
        let (found, wanted) = (of(&moved), of(&target));
        for axis in 0..3 {
            assert!((found[0][axis] - wanted[0][axis]).abs() < 0.3, "{found:?} {wanted:?}");
            assert!((found[1][axis] / wanted[1][axis] - 1.0).abs() < 0.1, "{found:?} {wanted:?}");
        }
        assert_eq!(transferred(&source, &target, &Mask::hull([side; 2], &[])), source);
    }
}
