//! The maps of clips, computed on the detector's device and read back at once.

use alloc::format;
use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::activation::relu;

use super::rollout::Weighted;
use super::{EvidenceMap, Explanation};
use crate::detector::{Architecture, Detector, Model};
use crate::image::RgbImage;
use crate::layers::{Pass, TapKind, Tapped, Taps};
use crate::weights::WeightsError;

/// Explains clips of as many crops as the detector sees together.
///
/// # Errors
/// [`WeightsError::Read`] where the device's answer cannot be read back or is not a number.
pub fn explain(detector: &Detector, crops: &[RgbImage]) -> Result<Vec<Explanation>, WeightsError> {
    let asked = Asked::of(detector.model(), &detector.spec().architecture, detector.preprocess(crops));
    let values = asked.values.clone().into_data();
    asked.explanations(detector, values)
}

/// Explanations whose numbers are still on the device.
pub struct Asked {
    architecture: Architecture,
    clips: usize,
    /// The sizes of what is in `values` behind the answers: of each layer, or of the one map, `[batch, rows, columns]`.
    shapes: Vec<[usize; 3]>,
    /// What is to be read back, `[k]`: the answers of all clips, then of every layer what speaks for a fake and what for a real face.
    pub values: Tensor<1>,
}

impl Asked {
    /// Asks a model of `architecture` about normalised pixels `[clips, T, 3, h, w]`.
    pub fn of(model: &Model, architecture: &Architecture, pixels: Tensor<5>) -> Self {
        let kind = architecture.sizes().tapped();
        let mut taps = Taps::probing(kind, &pixels.device());
        let output = model.forward_in(pixels, &mut Pass::scoring().tapped(&mut taps));
        let [clips, _] = output.logits.dims();
        let margins = output.logits.clone().narrow(1, 1, 1) - output.logits.clone().narrow(1, 0, 1);
        let mut gradients = margins.sum().backward();
        let mut parts = [flat(output.answers().without_autodiff())].to_vec();
        let mut shapes = Vec::new();
        for Tapped { values, probe } in taps.attention.into_iter().chain(taps.maps) {
            let gradient = probe.and_then(|probe| probe.grad_remove(&mut gradients));
            // What nothing of the answer came through has no gradient.
            let gradient = gradient.unwrap_or_else(|| values.zeros_like());
            let evidence = match kind {
                TapKind::Attention => values * gradient,
                TapKind::Maps => cam(values, gradient),
            };
            // Heads are averaged after what speaks against was left out; a map has one.
            let side = |evidence: Tensor<4>| relu(evidence).mean_dim(1);
            let (fake, real) = (side(evidence.clone()), side(evidence.neg()));
            let [batch, _, rows, columns] = fake.dims();
            shapes.push([batch, rows, columns]);
            parts.extend([flat(fake), flat(real)]);
        }
        Self { architecture: architecture.clone(), clips, shapes, values: Tensor::cat(parts, 0) }
    }

    /// The explanations by the detector that was asked, from the numbers that were read back.
    ///
    /// # Errors
    /// [`WeightsError::Read`].
    pub fn explanations(&self, detector: &Detector, values: TensorData) -> Result<Vec<Explanation>, WeightsError> {
        let (answers, maps) = self.maps(values)?;
        let scores = detector.scores(&answers).fake;
        Ok(scores.into_iter().zip(maps).map(|(score, maps)| Explanation { score, maps }).collect())
    }

    /// The model's answers, and the maps of each clip's frames, from the numbers that were read back.
    ///
    /// # Errors
    /// [`WeightsError::Read`].
    pub fn maps(&self, values: TensorData) -> Result<(Vec<f32>, Vec<Vec<EvidenceMap>>), WeightsError> {
        let unread = |what: &str| WeightsError::Read(format!("the explanation {what}"));
        let values: Vec<f32> =
            values.try_into_vec().map_err(|error| unread(&format!("cannot be read back: {error:?}")))?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(unread("holds what is no number"));
        }
        let behind: usize = self.shapes.iter().map(|[batch, rows, columns]| 2 * batch * rows * columns).sum();
        let Some((answers, mut rest)) = values.split_at_checked(values.len().saturating_sub(behind)) else {
            return Err(unread("is cut off"));
        };
        let mut layers = [Vec::new(), Vec::new()];
        for [batch, rows, columns] in &self.shapes {
            for side in &mut layers {
                let (these, others) = rest.split_at(batch * rows * columns);
                side.push(Weighted::new(these.to_vec(), [*rows, *columns]));
                rest = others;
            }
        }
        Ok((answers.to_vec(), (0..self.clips).map(|clip| self.maps_of(clip, &layers)).collect()))
    }

    fn maps_of(&self, clip: usize, layers: &[Vec<Weighted>; 2]) -> Vec<EvidenceMap> {
        let sizes = self.architecture.sizes();
        let [fake, real] = layers.each_ref().map(|layers| match sizes.tapped() {
            TapKind::Attention => sizes.rolled_out(layers, clip),
            TapKind::Maps => layers.first().map_or_else(Vec::new, |map| sizes.by_frame(map.sample(clip))),
        });
        let map = |(fake, real): (Vec<f32>, Vec<f32>)| EvidenceMap { side: fake.len().isqrt(), fake, real };
        fake.into_iter().zip(real).map(map).collect()
    }
}

/// Grad-CAM before what is negative is left out: maps `[n, h, w, d]` weighted by the mean of each channel's gradient and added up,
/// `[n, 1, h, w]`.
fn cam(maps: Tensor<4>, gradient: Tensor<4>) -> Tensor<4> {
    let weights = gradient.mean_dim(1).mean_dim(2);
    (maps * weights).sum_dim(3).permute([0, 3, 1, 2])
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let length = tensor.shape().num_elements();
    tensor.reshape([length])
}
