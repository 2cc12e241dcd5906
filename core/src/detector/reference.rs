//! What a detector answers to a picture that everybody can make: stored in its file, it shows whether a device computes that very
//! detector rightly, all of its layers at their true sizes, and its input with them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::Detector;
use super::spec::DetectorSpec;
use crate::image::RgbImage;
use crate::weights::{Init, TensorSource, WeightsError};

/// How far a device's logits may lie from the CPU's, in parts of the larger one, or of one where both are smaller: an order of
/// sums changes some ten-thousandths, rounding to ten bits of mantissa (TF32, f16) some thousandths, and a wrong kernel all.
const TOLERANCE: f32 = 0.02;
/// Patches of the picture across and down: about the size of what a face consists of.
const PATCHES: usize = 8;

/// A detector's answer to [`crops`], from the weights as its file has them, in f32 on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The logits of the one clip, real and fake.
    pub logits: [f32; 2],
}

impl Reference {
    /// The reference of the detector that `spec` describes, and whose tensors `source` has. It computes on the CPU.
    ///
    /// # Errors
    /// Those of [`Detector::load`] and of [`Reference::by`].
    pub fn of(spec: DetectorSpec, source: &mut dyn TensorSource) -> Result<Self, WeightsError> {
        Self::by(&Detector::load(spec, &mut Numbers(source), &Device::flex())?)
    }

    /// What this detector answers, which is on the CPU and multiplies no integers.
    ///
    /// # Errors
    /// [`WeightsError::Read`] where the logits are no finite numbers.
    pub fn by(detector: &Detector) -> Result<Self, WeightsError> {
        let logits = answer(detector)?;
        match logits.as_slice() {
            [real, fake] if real.is_finite() && fake.is_finite() => Ok(Self { logits: [*real, *fake] }),
            _ => Err(WeightsError::Read(format!("its logits are {logits:?}"))),
        }
    }

    /// Compares it with what a device answers to [`crops`].
    ///
    /// # Errors
    /// The difference, in words that go on after "the device".
    pub fn compare(&self, found: &[f32]) -> Result<(), String> {
        let largest = self.logits.iter().fold(1.0f32, |largest, logit| largest.max(logit.abs()));
        // What is no number is near nothing.
        let is_near = |(found, expected): (&f32, &f32)| (found - expected).abs() <= TOLERANCE * largest;
        if found.len() == 2 && found.iter().zip(&self.logits).all(is_near) {
            return Ok(());
        }
        Err(format!("answers {found:?} to a test picture, where a CPU answers {:?}", self.logits))
    }
}

/// The clip that the detector which `spec` describes is asked about: coloured patches that run into each other and change from
/// frame to frame, of the size of its crops. They are the same on every machine, since they are made of integers alone.
pub fn crops(spec: &DetectorSpec) -> Vec<RgbImage> {
    let side = spec.crop.size;
    (0..spec.clip_length().max(1)).filter_map(|frame| RgbImage::new(side, side, levels(side, frame))).collect()
}

/// The logits of [`crops`], from whatever device the detector is on.
///
/// # Errors
/// [`WeightsError::Read`] where they cannot be read back.
pub fn answer(detector: &Detector) -> Result<Vec<f32>, WeightsError> {
    let logits = detector.logits(&crops(detector.spec())).into_data().try_into_vec();
    logits.map_err(|error| WeightsError::Read(format!("the answer cannot be read back: {error:?}")))
}

/// The bytes of one frame.
fn levels(side: usize, frame: usize) -> Vec<u8> {
    let patch = side.div_ceil(PATCHES).max(1);
    let corner = |column: usize, row: usize, channel: usize| {
        let place = ((frame * (PATCHES + 1) + row) * (PATCHES + 1) + column) * 3 + channel;
        // Knuth's multiplicative hash, whose upper bits are the good ones.
        (place as u32 + 1).wrapping_mul(2_654_435_761) >> 24
    };
    let mut levels = Vec::with_capacity(3 * side * side);
    for y in 0..side {
        let (row, below) = (y / patch, (y % patch) as u32);
        for x in 0..side {
            let (column, beyond) = (x / patch, (x % patch) as u32);
            let whole = patch as u32;
            for channel in 0..3 {
                let across =
                    |row| (whole - beyond) * corner(column, row, channel) + beyond * corner(column + 1, row, channel);
                let level = ((whole - below) * across(row) + below * across(row + 1)) / (whole * whole);
                levels.push(level as u8);
            }
        }
    }
    levels
}

/// A source's tensors as numbers, also where it has integers to multiply.
struct Numbers<'a>(&'a mut dyn TensorSource);

impl TensorSource for Numbers<'_> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        self.0.read(name, shape, init)
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.shape(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::spec::SPEC_KEY;
    use crate::weights::SafetensorsFile;

    const LITE: &[u8] = include_bytes!("../../../models/unmask-lite.safetensors");

    fn lite() -> (DetectorSpec, SafetensorsFile<&'static [u8]>) {
        let file = SafetensorsFile::open(LITE).unwrap();
        (DetectorSpec::from_json(file.metadata(SPEC_KEY).unwrap()).unwrap(), file)
    }

    #[test]
    fn the_picture_has_many_levels_and_no_two_frames_are_alike() {
        let (one, other) = (levels(160, 0), levels(160, 1));
        assert_eq!(one.len(), 160 * 160 * 3);
        assert!(one.iter().zip(&other).filter(|(one, other)| one != other).count() > 70_000);
        let found: alloc::collections::BTreeSet<u8> = one.iter().copied().collect();
        assert!(found.len() > 150, "{}", found.len());
        // No patch is flat, and neighbours are near each other.
        let largest = one.chunks(480).flat_map(|row| row.windows(4).map(|w| w[0].abs_diff(w[3]))).max();
        assert!(largest.is_some_and(|step| step > 8 && step < 30), "{largest:?}");
        for side in [1, 8, 9, 4096] {
            assert_eq!(levels(side, 0).len(), 3 * side * side);
        }
    }

    #[test]
    fn a_detector_answers_as_its_reference_says_and_one_with_another_weight_does_not() {
        let (spec, mut file) = lite();
        let reference = Reference::of(spec.clone(), &mut file).unwrap();
        let detector = Detector::load(spec.clone(), &mut file, &Device::flex()).unwrap();
        reference.compare(&answer(&detector).unwrap()).unwrap();
        let changed = Detector::load(spec, &mut Changed(file), &Device::flex()).unwrap();
        let problem = reference.compare(&answer(&changed).unwrap()).unwrap_err();
        assert!(problem.contains("where a CPU answers"), "{problem}");
    }

    /// The bundled detector with one convolution of all noughts.
    struct Changed(SafetensorsFile<&'static [u8]>);

    impl TensorSource for Changed {
        fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
            let mut values = self.0.read(name, shape, init)?;
            if shape.len() == 4 && name.contains("blocks.5") {
                values.fill(0.0);
            }
            Ok(values)
        }

        fn names(&self) -> Vec<String> {
            self.0.names()
        }

        fn shape(&self, name: &str) -> Option<Vec<usize>> {
            self.0.shape(name)
        }
    }

    #[test]
    fn small_differences_are_those_of_rounding_and_what_is_no_number_is_none() {
        let reference = Reference { logits: [-4.0, 0.5] };
        reference.compare(&[-4.05, 0.45]).unwrap();
        for wrong in [&[-4.0, 0.7][..], &[-4.2, 0.5], &[f32::NAN, 0.5], &[f32::INFINITY, 0.5], &[-4.0], &[]] {
            reference.compare(wrong).unwrap_err();
        }
        // Logits near nought are near each other.
        Reference { logits: [0.0, 0.001] }.compare(&[0.01, -0.01]).unwrap();
    }
}
