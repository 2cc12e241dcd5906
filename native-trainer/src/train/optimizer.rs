//! Adam and AdamW over named parameters, with a state that can be stored.

use std::collections::BTreeMap;

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{Adam, AdamConfig, AdamState, AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer as _};
use burn::prelude::*;

use super::parameters::{Named, norm};
use super::recipe::{OptimizerKind, OptimizerRecipe};

/// An optimizer and what it remembers of each parameter.
pub(super) struct Optimizer {
    rule: Rule,
    clip_norm: f64,
    moments: BTreeMap<String, AdaptiveMomentumState<1>>,
}

enum Rule {
    Adam(Adam),
    AdamW(AdamW),
}

/// One parameter's running means, as they are stored.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    /// Steps so far.
    pub(super) time: usize,
    /// Running mean of the gradient.
    pub(super) first: Tensor<1>,
    /// Running mean of its square.
    pub(super) second: Tensor<1>,
}

impl Optimizer {
    /// An optimizer that has seen no step.
    pub(super) fn new(recipe: &OptimizerRecipe) -> Self {
        let [beta_1, beta_2] = recipe.betas;
        let rule = match recipe.kind {
            OptimizerKind::AdamW => Rule::AdamW(
                AdamWConfig::new()
                    .with_beta_1(beta_1)
                    .with_beta_2(beta_2)
                    .with_epsilon(recipe.epsilon)
                    .with_weight_decay(recipe.weight_decay)
                    .build(),
            ),
            OptimizerKind::Adam => {
                let decay = (recipe.weight_decay > 0.0).then(|| WeightDecayConfig::new(recipe.weight_decay));
                let config = AdamConfig::new().with_beta_1(beta_1).with_beta_2(beta_2).with_epsilon(recipe.epsilon);
                Rule::Adam(config.with_weight_decay(decay).build())
            }
        };
        Self { rule, clip_norm: recipe.clip_norm, moments: BTreeMap::new() }
    }

    /// The values after one step of `rate` along `gradients`. A parameter without a gradient stays as it is.
    pub(super) fn step(&mut self, rate: f64, values: Named, mut gradients: Named) -> Named {
        let scale = self.clip_scale(&gradients);
        let mut stepped = Named::new();
        for (name, value) in values {
            let Some(gradient) = gradients.remove(&name) else { continue };
            let gradient = scale.map_or(gradient.clone(), |scale| gradient * scale);
            let moments = self.moments.remove(&name);
            let (value, moments) = self.rule.step(rate, value, gradient, moments);
            self.moments.extend(moments.map(|moments| (name.clone(), moments)));
            stepped.insert(name, value);
        }
        stepped
    }

    /// What gradients longer than the limit are multiplied by, as PyTorch's `clip_grad_norm_`.
    fn clip_scale(&self, gradients: &Named) -> Option<f64> {
        if self.clip_norm == 0.0 {
            return None;
        }
        let scale = self.clip_norm / (norm(gradients) + 1e-6);
        (scale < 1.0).then_some(scale)
    }

    /// The state of every parameter that has had a step, by name.
    pub(super) fn state(&self) -> BTreeMap<String, Moments> {
        let stored = |state: &AdaptiveMomentumState<1>| Moments {
            time: state.time,
            first: state.moment_1.clone(),
            second: state.moment_2.clone(),
        };
        self.moments.iter().map(|(name, state)| (name.clone(), stored(state))).collect()
    }

    /// Goes on from a stored state.
    pub(super) fn restore(&mut self, state: BTreeMap<String, Moments>) {
        let restored = state
            .into_iter()
            .map(|(name, Moments { time, first, second })| (name, AdaptiveMomentumState::new(time, first, second)));
        self.moments = restored.collect();
    }
}

impl Rule {
    fn step(
        &self,
        rate: f64,
        value: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<AdaptiveMomentumState<1>>,
    ) -> (Tensor<1>, Option<AdaptiveMomentumState<1>>) {
        match self {
            Self::Adam(adam) => {
                let (value, state) = adam.step(rate, value, gradient, moments.map(AdamState::new));
                (value, state.map(|state| state.momentum))
            }
            Self::AdamW(adam) => {
                let (value, state) = adam.step(rate, value, gradient, moments.map(AdamWState::new));
                (value, state.map(|state| state.momentum))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(values: [f32; 2]) -> Named {
        Named::from([("p".to_string(), Tensor::from_data(TensorData::new(values.to_vec(), [2]), &Device::flex()))])
    }

    fn read(values: &Named) -> Vec<f32> {
        values["p"].clone().into_data().iter::<f32>().collect()
    }

    fn recipe(kind: OptimizerKind) -> OptimizerRecipe {
        OptimizerRecipe { kind, learning_rate: 0.1, weight_decay: 0.01, ..OptimizerRecipe::default() }
    }

    /// Adam in f64, as in the papers.
    fn expected(kind: OptimizerKind, gradients: &[[f32; 2]]) -> Vec<f64> {
        let (mut p, mut m, mut v) = ([1.0f64, -2.0], [0.0f64; 2], [0.0f64; 2]);
        for (t, gradient) in (1..).zip(gradients) {
            for i in 0..2 {
                let mut g = f64::from(gradient[i]);
                match kind {
                    OptimizerKind::Adam => g += 0.01 * p[i],
                    OptimizerKind::AdamW => p[i] *= 1.0 - 0.1 * 0.01,
                }
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (m, v) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
                p[i] -= 0.1 * m / (v.sqrt() + 1e-8);
            }
        }
        p.to_vec()
    }

    const GRADIENTS: [[f32; 2]; 3] = [[0.5, -1.0], [0.25, 2.0], [-0.125, 0.5]];

    #[test]
    fn steps_equal_the_formulas_written_out() {
        for kind in [OptimizerKind::Adam, OptimizerKind::AdamW] {
            let mut optimizer = Optimizer::new(&recipe(kind));
            let mut values = named([1.0, -2.0]);
            for gradient in GRADIENTS {
                values = optimizer.step(0.1, values, named(gradient));
            }
            for (found, expected) in read(&values).iter().zip(expected(kind, &GRADIENTS)) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{kind:?}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn a_restored_optimizer_steps_as_the_stored_one_does() {
        let mut first = Optimizer::new(&recipe(OptimizerKind::AdamW));
        let values = first.step(0.1, named([1.0, -2.0]), named(GRADIENTS[0]));
        let mut second = Optimizer::new(&recipe(OptimizerKind::AdamW));
        second.restore(first.state());
        let one = first.step(0.1, values.clone(), named(GRADIENTS[1]));
        let other = second.step(0.1, values, named(GRADIENTS[1]));
        assert_eq!(read(&one), read(&other));
    }

    #[test]
    fn gradients_longer_than_the_limit_are_shortened_to_it() {
        let optimizer = Optimizer::new(&OptimizerRecipe { clip_norm: 1.0, ..recipe(OptimizerKind::Adam) });
        let scale = optimizer.clip_scale(&named([3.0, 4.0])).unwrap();
        assert!((scale - 0.2).abs() < 1e-6);
        assert!(optimizer.clip_scale(&named([0.3, 0.4])).is_none());
    }
}
