//! What a run computes in.
//!
//! With bf16, activations and their gradients are bf16, and so is what is stored of parameters that are not trained,
//! norms apart. What is trained, its gradients, the optimizer's moments, the statistics of norms, softmaxes, features,
//! logits and losses are f32 in any case (Micikevicius et al., "Mixed Precision Training", 2018). bf16 has f32's range,
//! so that losses need no scaling.

use anyhow::{Result, bail};
use burn::prelude::*;
use burn::tensor::DType;
use serde::{Deserialize, Serialize};
use unmask_core::detector::Model;

use super::parameters;

/// The precisions by their names in recipes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// bf16 on a GPU that has it, else f32.
    #[default]
    Auto,
    /// f32 everywhere.
    F32,
    /// bf16 where that is enough.
    Bf16,
}

impl Precision {
    /// The type of activations on `device`.
    pub(super) fn on(self, device: &Device) -> Result<DType> {
        let cpu = *device == Device::flex();
        match self {
            Self::F32 => Ok(DType::F32),
            Self::Auto if cpu => Ok(DType::F32),
            Self::Auto | Self::Bf16 if device.supports_dtype(DType::BF16) => Ok(DType::BF16),
            Self::Auto => Ok(DType::F32),
            Self::Bf16 => bail!("this device cannot compute in bf16; set run.precision to \"f32\" or \"auto\""),
        }
    }
}

/// `model` as it computes in bf16 what is no norm, for pixels in bf16: nothing of it is trained.
///
/// # Errors
/// `device`, which it is on, has no bf16.
pub fn in_bf16(model: Model, device: &Device) -> Result<Model> {
    match device.supports_dtype(DType::BF16) {
        true => Ok(parameters::for_training(model, |_| false, DType::BF16, false)),
        false => bail!("this device cannot compute in bf16; leave out --bf16"),
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, ModuleVisitor, Param};
    use unmask_core::detector::clip::HeadKind;
    use unmask_core::detector::efficientnet::{EfficientNetConfig, Stage};
    use unmask_core::detector::spec::Architecture;
    use unmask_core::detector::{Strategy, is_norm};
    use unmask_core::weights::Seeded;

    use super::super::losses::loss;
    use super::super::parameters::{Named, norm};
    use super::super::parity::{
        LABELS, LOSS, clip_model, clip_pixels, forward_with_masks, stored_model, tensor, values,
    };
    use super::*;

    /// bf16 has 8 bits: each rounding adds an error of up to 2⁻⁹, or 0.2 %, and the tiny models have 30 to 100 roundings
    /// from a weight to the loss and back. Independent ones add up to √100 · 0.2 %, or 2 %, of the gradient.
    const TOLERANCE: f64 = 0.04;
    /// A ReLU whose input is rounded to the other side of its corner passes a gradient on that it should stop, or stops
    /// one; the tiny network has few pixels to average that over. CLIP has no corners.
    const TOLERANCE_WITH_CORNERS: f64 = 0.2;
    const LOSS_TOLERANCE: f32 = 0.005;

    struct Case {
        name: &'static str,
        architecture: Architecture,
        model: Model,
        pixels: Tensor<5>,
        masks: Option<Vec<f32>>,
        /// How far the gradient may be off, in parts of its length.
        tolerance: f64,
    }

    fn cases() -> Vec<Case> {
        let [pixels, _] = clip_pixels();
        let stan = "stan_reference.safetensors";
        let stan = |name, file, masks| {
            let (architecture, model) = stored_model(file);
            let (pixels, masks) = (tensor(stan, "pixel_values"), Some(values(stan, masks)));
            Case { name, architecture, model, pixels, masks, tolerance: TOLERANCE }
        };
        let ((clip, clip_model), (lite, lite_model)) = (clip_model(), efficientnet());
        vec![
            Case { name: "clip", architecture: clip, model: clip_model, pixels, masks: None, tolerance: TOLERANCE },
            stan("attention", "stan_attention.safetensors", "attention.t8.masks"),
            stan("conv", "stan_conv.safetensors", "conv.t8.masks"),
            Case {
                name: "efficientnet",
                architecture: lite,
                model: lite_model,
                pixels: clip_pixels()[0].clone(),
                masks: None,
                tolerance: TOLERANCE_WITH_CORNERS,
            },
        ]
    }

    fn efficientnet() -> (Architecture, Model) {
        let stage =
            |repeats, kernel, stride, expansion, channels| Stage { repeats, kernel, stride, expansion, channels };
        let stages = vec![stage(1, 3, 1, 1, 4), stage(2, 5, 2, 2, 6)];
        let config = EfficientNetConfig {
            image_size: 32,
            stem: 8,
            stages,
            width: 16,
            ..EfficientNetConfig::lite0(HeadKind::OneLayer)
        };
        let architecture = Architecture::EfficientNet(config);
        let model = Model::load(&architecture, &mut Seeded::new(3), &Device::flex()).unwrap();
        (architecture, model)
    }

    /// The loss and the gradients of one step.
    fn step(case: &Case, strategy: Strategy, dtype: DType) -> (f32, Named) {
        let trains = |name: &str| case.architecture.trains(strategy, name);
        let model = parameters::for_training(case.model.clone(), trains, dtype, false);
        let output = forward_with_masks(&model, case.pixels.clone().cast(dtype), case.masks.as_deref());
        assert_eq!((output.features.dtype(), output.logits.dtype()), (DType::F32, DType::F32), "{}", case.name);
        let clips = case.pixels.dims()[0];
        let loss = loss(&LOSS, &output, &LABELS[..clips]);
        (loss.clone().into_scalar(), parameters::gradients(&model, &loss.backward()))
    }

    #[test]
    fn a_step_in_bf16_has_nearly_the_loss_and_the_gradients_of_one_in_f32() {
        for (case, strategy) in cases().iter().flat_map(|case| {
            [Strategy::Head, Strategy::LayerNorm, Strategy::Stan, Strategy::Full].map(|strategy| (case, strategy))
        }) {
            let (expected_loss, expected) = step(case, strategy, DType::F32);
            let (found_loss, found) = step(case, strategy, DType::BF16);
            let place = format!("{} {strategy:?}", case.name);
            assert!((found_loss - expected_loss).abs() < LOSS_TOLERANCE * expected_loss.abs(), "{place}: {found_loss}");
            assert!(found.keys().eq(expected.keys()), "{place}");
            let whole = norm(&expected);
            let mut errors = Named::new();
            for (name, expected) in expected {
                assert_eq!(found[&name].dtype(), DType::F32, "{place} {name}");
                let difference = found[&name].clone() - expected.clone();
                let (error, size) = (length(&difference), length(&expected));
                // The small difference of large summands is off by a part of those.
                let limit = case.tolerance * (2.0 * size + whole / 4.0);
                assert!(error < limit, "{place} {name}: {error} of {size}, all have {whole}");
                errors.insert(name, difference);
            }
            let error = norm(&errors) / whole;
            assert!(error < case.tolerance, "{place}: {error}");
        }
    }

    fn length(values: &Tensor<1>) -> f64 {
        norm(&Named::from([(String::new(), values.clone())]))
    }

    /// The names of parameters by what they are stored in.
    #[derive(Default)]
    struct Stored {
        path: Vec<String>,
        found: Vec<(String, DType)>,
    }

    impl ModuleVisitor for Stored {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.into());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.found.push((self.path[1..].join("."), param.val().dtype()));
        }
    }

    #[test]
    fn what_is_trained_and_norms_are_stored_in_f32_and_all_else_in_bf16() {
        for case in cases() {
            let trains = |name: &str| case.architecture.trains(Strategy::Stan, name);
            let model = parameters::for_training(case.model, trains, DType::BF16, false);
            let mut stored = Stored::default();
            model.visit(&mut stored);
            for (name, dtype) in stored.found {
                let precise = trains(&name) || is_norm(&name);
                assert_eq!(dtype, if precise { DType::F32 } else { DType::BF16 }, "{} {name}", case.name);
            }
        }
    }

    #[test]
    fn a_cpu_computes_in_f32_unless_it_is_told_otherwise() {
        let device = Device::flex();
        assert_eq!(Precision::default().on(&device).unwrap(), DType::F32);
        assert_eq!(Precision::F32.on(&device).unwrap(), DType::F32);
        assert_eq!(Precision::Bf16.on(&device).unwrap(), DType::BF16);
    }
}
