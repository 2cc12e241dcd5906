//! The running averages of the statistics that batch norms find in training, which scoring uses afterwards.

use unmask_core::detector::{Model, parameters as shapes};
use unmask_core::ops::Moments;

use super::parameters::{self, Named};

/// The statistics of a model's batch norms, which follow what its batches find.
pub(super) struct Statistics {
    /// The norms in the model's order.
    norms: Vec<String>,
    values: Named,
    momentum: f64,
}

impl Statistics {
    /// Those of `model`, which move by the part `momentum` of the way towards those of each batch.
    pub(super) fn of(model: &Model, momentum: f64) -> Self {
        let norm = |(name, _): (String, _)| name.strip_suffix(MEAN).map(str::to_owned);
        let norms = shapes(model).into_iter().filter_map(norm).collect();
        Self { norms, values: parameters::statistics(model), momentum }
    }

    /// Moves them towards what a batch found, in the order of the model's norms. Of the variance the unbiased estimate
    /// counts, as in PyTorch.
    pub(super) fn follow(&mut self, found: Vec<Moments>) {
        for (norm, Moments { mean, variance, pixels }) in self.norms.iter().zip(found) {
            let unbiased = variance * (pixels as f64 / pixels.saturating_sub(1).max(1) as f64);
            for (kind, value) in [(MEAN, mean), (VARIANCE, unbiased)] {
                let name = format!("{norm}{kind}");
                if let Some(known) = self.values.remove(&name) {
                    self.values.insert(name, known * (1.0 - self.momentum) + value * self.momentum);
                }
            }
        }
    }

    /// The values by the names of the parameters.
    pub(super) fn into_values(self) -> Named {
        self.values
    }
}

const MEAN: &str = ".running_mean";
const VARIANCE: &str = ".running_var";

#[cfg(test)]
mod tests {
    use burn::prelude::*;
    use unmask_core::detector::Output;
    use unmask_core::detector::clip::HeadKind;
    use unmask_core::detector::efficientnet::{EfficientNetConfig, Stage};
    use unmask_core::detector::spec::Architecture;
    use unmask_core::layers::Pass;
    use unmask_core::weights::Seeded;

    use super::*;

    fn model() -> Model {
        let stage = Stage { repeats: 2, kernel: 3, stride: 2, expansion: 2, channels: 4 };
        let head = HeadKind::OneLayer;
        let config = EfficientNetConfig {
            image_size: 32,
            stem: 4,
            stages: vec![stage],
            width: 8,
            ..EfficientNetConfig::lite0(head)
        };
        Model::load(&Architecture::EfficientNet(config), &mut Seeded::new(3), &Device::flex()).unwrap()
    }

    fn pixels(scale: f64) -> Tensor<5> {
        Tensor::<1, Int>::arange(0..2 * 3 * 1024, &Device::flex()).float().sin().reshape([2, 1, 3, 32, 32]) * scale
    }

    fn largest_difference(one: &Named, other: &Named) -> f32 {
        assert!(one.keys().eq(other.keys()) && !one.is_empty());
        let differences = one.iter().map(|(name, value)| (value.clone() - other[name].clone()).abs().max());
        differences.map(|difference| difference.into_scalar::<f32>()).fold(0.0, f32::max)
    }

    /// The output by the statistics of the batch, and these.
    fn by_batch(model: &Model, pixels: Tensor<5>) -> (Output, Vec<Moments>) {
        let mut moments = Vec::new();
        let output = model.forward_in(pixels, &mut Pass::scoring().by_batch(&mut moments));
        (output, moments)
    }

    /// The statistics of `model` after batches of these scales.
    fn moved(model: &Model, scales: &[f64], momentum: f64) -> Named {
        let mut statistics = Statistics::of(model, momentum);
        scales.iter().for_each(|scale| statistics.follow(by_batch(model, pixels(*scale)).1));
        statistics.into_values()
    }

    #[test]
    fn statistics_that_follow_every_batch_wholly_make_scoring_see_what_training_saw() {
        let model = model();
        let (trained, _) = by_batch(&model, pixels(1.0));
        let model = parameters::updated(model.clone(), moved(&model, &[1.0], 1.0));
        let logits = |output: Tensor<2>| -> Vec<f32> { output.into_data().try_into_vec().unwrap() };
        let (scored, trained) = (logits(model.forward(pixels(1.0)).logits), logits(trained.logits));
        // The batch's own variance is a little smaller than the estimate of all batches'.
        let largest = scored.iter().zip(&trained).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        let size = trained.iter().fold(0.0f32, |size, logit| size.max(logit.abs()));
        assert!(largest < 0.05 * size, "{scored:?} are not {trained:?}");
        assert!(largest_difference(&parameters::statistics(&model), &parameters::statistics(&self::model())) > 1e-3);
    }

    #[test]
    fn a_step_moves_them_by_its_part_of_the_way() {
        let model = model();
        let before = parameters::statistics(&model);
        let all_the_way = moved(&model, &[1.0], 1.0);
        let a_quarter = moved(&model, &[1.0], 0.25);
        let expected: Named = before
            .iter()
            .map(|(name, old)| (name.clone(), old.clone() * 0.75 + all_the_way[name].clone() * 0.25))
            .collect();
        assert!(largest_difference(&a_quarter, &expected) < 1e-6);
    }

    #[test]
    fn each_part_of_a_step_moves_them_on_from_where_the_one_before_left_them() {
        let model = model();
        let at_once = moved(&model, &[1.0, 2.0], 0.25);
        let between = parameters::updated(model.clone(), moved(&model, &[1.0], 0.25));
        assert!(largest_difference(&at_once, &moved(&between, &[2.0], 0.25)) < 1e-6);
        assert!(largest_difference(&at_once, &moved(&model, &[1.0], 0.25)) > 1e-6);
    }
}
