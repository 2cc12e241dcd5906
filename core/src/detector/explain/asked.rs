//! The maps of clips, computed on the detector's device and read back at once.

use alloc::format;
use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::relu;

use super::rollout::Weighted;
use super::{EvidenceMap, Explanation};
use crate::detector::{Architecture, Detector, Model, Output};
use crate::image::RgbImage;
#[cfg(feature = "autodiff")]
use crate::layers::Tapped;
use crate::layers::{Pass, TapKind, Taps};
use crate::weights::WeightsError;

/// Explains clips of as many crops as the detector sees together.
///
/// # Errors
/// [`WeightsError::Read`] where the device's answer cannot be read back or is not a number, and those of [`Asked::of`].
pub fn explain(detector: &Detector, crops: &[RgbImage]) -> Result<Vec<Explanation>, WeightsError> {
    let asked = Asked::of(detector.model(), &detector.spec().architecture, detector.preprocess(crops))?;
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
    ///
    /// # Errors
    /// [`WeightsError::Read`] for models that this build cannot explain ([`can_explain`](super::can_explain)).
    pub fn of(model: &Model, architecture: &Architecture, pixels: Tensor<5>) -> Result<Self, WeightsError> {
        let (output, evidence) = match architecture.sizes().tapped() {
            TapKind::Maps => by_maps(model, pixels)?,
            TapKind::Attention => by_attention(model, pixels)?,
        };
        let [clips, _] = output.logits.dims();
        let mut parts = [flat(output.answers())].to_vec();
        let mut shapes = Vec::new();
        for evidence in evidence {
            // Heads are averaged after what speaks against was left out; a map has one.
            let side = |evidence: Tensor<4>| relu(evidence).mean_dim(1);
            let (fake, real) = (side(evidence.clone()), side(evidence.neg()));
            let [batch, _, rows, columns] = fake.dims();
            shapes.push([batch, rows, columns]);
            parts.extend([flat(fake), flat(real)]);
        }
        Ok(Self { architecture: architecture.clone(), clips, shapes, values: Tensor::cat(parts, 0) })
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

/// Grad-CAM before what is negative is left out, `[n, 1, h, w]`: the maps `[n, h, w, d]` weighted by each channel's mean gradient and
/// added up. Features are the mean over places, so a place's gradient is that of the features, divided by their number.
fn by_maps(model: &Model, pixels: Tensor<5>) -> Result<(Output, Vec<Tensor<4>>), WeightsError> {
    let mut taps = Taps::new(TapKind::Maps);
    let output = model.forward_in(pixels, &mut Pass::scoring().tapped(&mut taps));
    let gradient = model.margin_gradient(output.features.clone());
    let (Some(maps), Some(gradient)) = (taps.maps, gradient) else {
        return Err(WeightsError::Read("such a model has no maps to explain it by".into()));
    };
    let ([_, rows, columns, _], [count, width]) = (maps.dims(), gradient.dims());
    let weights = gradient.reshape([count, 1, 1, width]) / (rows * columns) as f64;
    let cam = (maps.cast(DType::F32) * weights).sum_dim(3).permute([0, 3, 1, 2]);
    Ok((output, [cam].to_vec()))
}

/// Of each layer its attention times the gradient, `[batch, heads, rows, columns]`.
#[cfg(feature = "autodiff")]
fn by_attention(model: &Model, pixels: Tensor<5>) -> Result<(Output, Vec<Tensor<4>>), WeightsError> {
    let mut taps = Taps::probing_attention(&pixels.device());
    let mut output = model.forward_in(pixels, &mut Pass::scoring().tapped(&mut taps));
    let margins = output.logits.clone().narrow(1, 1, 1) - output.logits.clone().narrow(1, 0, 1);
    let mut gradients = margins.sum().backward();
    let mut evidence = Vec::with_capacity(taps.attention.len());
    for Tapped { values, probe } in taps.attention {
        let gradient = probe.and_then(|probe| probe.grad_remove(&mut gradients));
        // What nothing of the answer came through has no gradient.
        evidence.push(gradient.map_or_else(|| values.zeros_like(), |gradient| values.clone() * gradient));
    }
    output.logits = output.logits.without_autodiff();
    output.uncertainty = output.uncertainty.map(|uncertainty| uncertainty.without_autodiff());
    Ok((output, evidence))
}

/// Attention is weighted by gradients, which this build has not.
#[cfg(not(feature = "autodiff"))]
fn by_attention(_: &Model, _: Tensor<5>) -> Result<(Output, Vec<Tensor<4>>), WeightsError> {
    Err(WeightsError::Read("a transformer is explained by gradients, which this build has not".into()))
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let length = tensor.shape().num_elements();
    tensor.reshape([length])
}
