//! From high dynamic range or wide colours to what 8-bit BT.709 pixels show, so that detectors see what they know.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::RgbImage;

/// How a stream codes light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// SMPTE ST 2084, perceptual quantizer; `smpte2084` in ffmpeg, `pq` in WebCodecs, 16 in ITU-T H.273.
    Pq,
    /// Hybrid log-gamma of ITU-R BT.2100; `arib-std-b67` in ffmpeg, `hlg` in WebCodecs, 18 in ITU-T H.273.
    Hlg,
    /// The gamma of standard range: BT.709, BT.601, BT.2020, and whatever is not named.
    Standard,
}

/// Which colours red, green and blue are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primaries {
    /// ITU-R BT.2020 and BT.2100; `bt2020` in ffmpeg and WebCodecs, 9 in ITU-T H.273.
    Bt2020,
    /// ITU-R BT.709, and whatever is not named: a small step beside that of BT.2020.
    Bt709,
}

/// Brightness in cd/m² that high dynamic range is mastered for: the nominal peak of BT.2100's HLG and of most PQ.
const PEAK: f64 = 1000.0;

/// Brightness in cd/m² of white in standard range (BT.2446-1, 4).
const STANDARD_PEAK: f64 = 100.0;

/// Exponent of a display of standard range (BT.1886), in which BT.2446-1's method A computes, too.
const GAMMA: f64 = 2.4;

/// Intervals of the tables that are interpolated.
const STEPS: usize = 4096;

/// Entries of the table of levels.
const LEVELS: usize = 1 << 14;

/// BT.2020 to BT.709 in linear light (ITU-R BT.2087-0, 2).
const TO_BT709: [[f32; 3]; 3] = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]];

/// Maps 16-bit R'G'B' as a stream codes it to 8-bit R'G'B' of BT.709 for a display of standard range.
///
/// High dynamic range goes through method A of Report ITU-R BT.2446-1 (4.2), from 1000 to 100 cd/m², which was made
/// so that programmes look as their versions in standard range do; PQ beyond 1000 cd/m² counts as that. HLG is shown
/// first as BT.2100 has it, with a system gamma of 1.2. Standard range in BT.2020 changes its primaries alone. What
/// BT.709 cannot show is cut off. The result depends on nothing but the pixel itself, so it is the same on every
/// platform.
///
/// ```
/// use unmask_core::image::{Primaries, ToneMap, Transfer};
/// let map = ToneMap::new(Transfer::Hlg, Primaries::Bt2020).unwrap();
/// // Reference white of HLG, 75 % of the signal, is bright but not the brightest.
/// let grey = (0.75 * 65535.0) as u16;
/// assert_eq!(map.apply(&[0, 0, 0, grey, grey, grey, 65535, 65535, 65535]), [0, 0, 0, 175, 175, 175, 255, 255, 255]);
/// assert!(ToneMap::new(Transfer::Standard, Primaries::Bt709).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct ToneMap {
    transfer: Transfer,
    primaries: Primaries,
    /// For each code the light, as a part of [`PEAK`] (scene light for HLG), to the power of 1/2.4.
    powers: Box<[f32]>,
    /// For each code the scene's light; of HLG alone.
    scene: Box<[f32]>,
    /// Luma of standard range for luma of high range.
    luma: Box<[f32]>,
    /// Light for a gamma-coded value.
    light: Box<[f32]>,
    /// The 8-bit level for the square root of light.
    levels: Box<[u8]>,
}

impl ToneMap {
    /// The map for a stream; none where there is nothing to map, since it is BT.709 of standard range already.
    pub fn new(transfer: Transfer, primaries: Primaries) -> Option<Self> {
        if (transfer, primaries) == (Transfer::Standard, Primaries::Bt709) {
            return None;
        }
        let codes = || (0..=u16::MAX).map(|code| f64::from(code) / f64::from(u16::MAX));
        let steps = || (0..=STEPS).map(|step| step as f64 / STEPS as f64);
        let level = |entry: usize| {
            let root = entry as f64 / (LEVELS - 1) as f64;
            libm::round(255.0 * libm::pow(root * root, 1.0 / GAMMA)) as u8
        };
        Some(Self {
            transfer,
            primaries,
            powers: codes().map(|code| gamma_coded(transfer, code) as f32).collect(),
            scene: match transfer {
                Transfer::Hlg => codes().map(|code| hlg_scene_light(code) as f32).collect(),
                Transfer::Pq | Transfer::Standard => Box::default(),
            },
            luma: steps().map(|luma| standard_luma(luma) as f32).collect(),
            light: steps().map(|value| libm::pow(value, GAMMA) as f32).collect(),
            levels: (0..LEVELS).map(level).collect(),
        })
    }

    /// Maps `rgb`, three codes a pixel from 0 (black) to 65535 (the signal's nominal peak), to as many levels. A
    /// pixel cut off at the end is left out.
    pub fn apply(&self, rgb: &[u16]) -> Vec<u8> {
        rgb.as_chunks::<3>().0.iter().flat_map(|pixel| self.pixel(*pixel)).collect()
    }

    /// Maps `rgb`, `[height, width, 3]` codes, to an image; `None` if their number does not fit the size.
    pub fn image(&self, width: usize, height: usize, rgb: &[u16]) -> Option<RgbImage> {
        RgbImage::new(width, height, self.apply(rgb))
    }

    fn pixel(&self, codes: [u16; 3]) -> [u8; 3] {
        let coded = codes.map(|code| self.powers[usize::from(code)]);
        let coded = match self.transfer {
            Transfer::Standard => coded,
            Transfer::Pq => self.compressed(coded),
            Transfer::Hlg => {
                let scene = weighted(self.primaries.luma_weights(), codes.map(|code| self.scene[usize::from(code)]));
                let system = libm::powf(scene, (0.2 / GAMMA) as f32);
                self.compressed(coded.map(|value| value * system))
            }
        };
        let light = coded.map(|value| interpolated(&self.light, value));
        let light = match self.primaries {
            Primaries::Bt2020 => TO_BT709.map(|weights| weighted(weights, light)),
            Primaries::Bt709 => light,
        };
        light.map(|light| self.levels[(libm::sqrtf(light.clamp(0.0, 1.0)) * (LEVELS - 1) as f32 + 0.5) as usize])
    }

    /// Method A: gamma-coded values of high range to those of standard range.
    fn compressed(&self, [red, green, blue]: [f32; 3]) -> [f32; 3] {
        let weights = self.primaries.luma_weights();
        let luma = weighted(weights, [red, green, blue]);
        if luma <= 0.0 {
            return [0.0; 3];
        }
        let standard = interpolated(&self.luma, luma);
        let fewer = standard / (1.1 * luma);
        // Differences to luma keep their proportion to it, and reddish pixels get darker.
        let (red, blue) = (fewer * (red - luma), fewer * (blue - luma));
        let [of_red, of_green, of_blue] = weights;
        let luma = standard - (0.1 * red / (2.0 * (1.0 - of_red))).max(0.0);
        [luma + red, luma - (of_red * red + of_blue * blue) / of_green, luma + blue]
    }
}

impl Primaries {
    /// Parts of red, green and blue in luma and luminance.
    fn luma_weights(self) -> [f32; 3] {
        match self {
            Self::Bt2020 => [0.2627, 0.6780, 0.0593],
            Self::Bt709 => [0.2126, 0.7152, 0.0722],
        }
    }
}

fn weighted(weights: [f32; 3], values: [f32; 3]) -> f32 {
    weights[0] * values[0] + weights[1] * values[1] + weights[2] * values[2]
}

/// The value of a table over 0..=1 at `place`, cut to that range.
fn interpolated(table: &[f32], place: f32) -> f32 {
    let place = place.clamp(0.0, 1.0) * STEPS as f32;
    let before = (place as usize).min(STEPS - 1);
    table[before] + (table[before + 1] - table[before]) * (place - before as f32)
}

/// The light of a code, as a part of the peak, to the power of 1/2.4; for HLG the scene's.
fn gamma_coded(transfer: Transfer, code: f64) -> f64 {
    match transfer {
        Transfer::Pq => libm::pow((pq_light(code) / PEAK).min(1.0), 1.0 / GAMMA),
        Transfer::Hlg => libm::pow(hlg_scene_light(code), 1.0 / GAMMA),
        Transfer::Standard => code,
    }
}

/// Light in cd/m² of a PQ code (SMPTE ST 2084, 5.1).
fn pq_light(code: f64) -> f64 {
    const M1: f64 = 2610.0 / 16384.0;
    const M2: f64 = 2523.0 / 4096.0 * 128.0;
    const C1: f64 = 3424.0 / 4096.0;
    const C2: f64 = 2413.0 / 4096.0 * 32.0;
    const C3: f64 = 2392.0 / 4096.0 * 32.0;
    let power = libm::pow(code, 1.0 / M2);
    10_000.0 * libm::pow((power - C1).max(0.0) / (C2 - C3 * power), 1.0 / M1)
}

/// The scene's light, from 0 to 1, of an HLG code (BT.2100-2, table 5).
fn hlg_scene_light(code: f64) -> f64 {
    const A: f64 = 0.178_832_77;
    const B: f64 = 0.284_668_92;
    const C: f64 = 0.559_910_73;
    if code <= 0.5 { code * code / 3.0 } else { (libm::exp((code - C) / A) + B) / 12.0 }
}

/// The tone curve of method A (BT.2446-1, 4.2), for luma from 0 to 1.
fn standard_luma(luma: f64) -> f64 {
    let range = |peak: f64| 1.0 + 32.0 * libm::pow(peak / 10_000.0, 1.0 / GAMMA);
    let (high, standard) = (range(PEAK), range(STANDARD_PEAK));
    let perceived = libm::log(1.0 + (high - 1.0) * luma) / libm::log(high);
    let compressed = if perceived <= 0.7399 {
        1.0770 * perceived
    } else if perceived < 0.9909 {
        -1.1510 * perceived * perceived + 2.7811 * perceived - 0.6302
    } else {
        0.5 * perceived + 0.5
    };
    (libm::pow(standard, compressed) - 1.0) / (standard - 1.0)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use serde::Deserialize;

    use super::*;

    const KINDS: [(Transfer, Primaries); 5] = [
        (Transfer::Pq, Primaries::Bt2020),
        (Transfer::Hlg, Primaries::Bt2020),
        (Transfer::Standard, Primaries::Bt2020),
        (Transfer::Pq, Primaries::Bt709),
        (Transfer::Hlg, Primaries::Bt709),
    ];

    #[derive(Deserialize)]
    struct Golden {
        transfer: String,
        primaries: String,
        codes: [u16; 3],
        levels: [f64; 3],
    }

    #[test]
    fn pixels_are_those_of_the_reference() {
        let text = include_str!("../../../tests/goldens/tone.json");
        let goldens: Vec<Golden> = serde_json::from_str(text).unwrap();
        let mut seen = 0;
        for (transfer, primaries) in KINDS {
            let map = ToneMap::new(transfer, primaries).unwrap();
            let names = (format!("{transfer:?}").to_lowercase(), format!("{primaries:?}").to_lowercase());
            let ours = |golden: &&Golden| (&golden.transfer, &golden.primaries) == (&names.0, &names.1);
            for Golden { codes, levels, .. } in goldens.iter().filter(ours) {
                let mapped = map.apply(codes);
                let near = mapped.iter().zip(levels).all(|(ours, theirs)| (f64::from(*ours) - theirs).abs() < 0.8);
                assert!(near, "{names:?} {codes:?}: {mapped:?} instead of {levels:?}");
                seen += 1;
            }
        }
        assert_eq!((seen, goldens.len()), (310, 310));
    }

    #[test]
    fn grey_stays_grey_and_brighter_stays_brighter() {
        for (transfer, primaries) in KINDS {
            let map = ToneMap::new(transfer, primaries).unwrap();
            let greys: Vec<u16> = (0..=u16::MAX).step_by(257).flat_map(|code| [code; 3]).collect();
            let levels = map.apply(&greys);
            let (pixels, _) = levels.as_chunks::<3>();
            assert!(pixels.iter().all(|[r, g, b]| r.abs_diff(*g) <= 1 && b.abs_diff(*g) <= 1), "{transfer:?}");
            assert!(pixels.windows(2).all(|pair| pair[0][1] <= pair[1][1]), "{transfer:?}");
            assert_eq!((pixels[0], pixels[255]), ([0; 3], [255; 3]), "{transfer:?}");
        }
    }

    #[test]
    fn colours_of_bt709_in_bt2020_come_back() {
        let map = ToneMap::new(Transfer::Standard, Primaries::Bt2020).unwrap();
        // BT.709's red in BT.2020: the first column of BT.2087's other matrix, through the gamma.
        let code = |light: f64| (65_535.0 * libm::pow(light, 1.0 / GAMMA)) as u16;
        let [red, green, blue] = [code(0.6274), code(0.0691), code(0.0164)];
        let levels = map.apply(&[red, green, blue]);
        assert!(levels[0] >= 254 && levels[1] <= 8 && levels[2] <= 8, "{levels:?}");
    }

    #[test]
    fn what_does_not_fit_the_size_is_refused() {
        let map = ToneMap::new(Transfer::Pq, Primaries::Bt2020).unwrap();
        assert!(map.image(2, 1, &[0; 5]).is_none());
        assert_eq!(map.image(1, 1, &[0; 3]).unwrap().pixels(), [0, 0, 0]);
    }
}
