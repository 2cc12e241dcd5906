//! Low-rank updates of weights (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022), and those that take
//! the place of a part of the weight (Yan et al., "Effort", 2025).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Init, Seeded, TensorSource, WeightsError};

/// Which weights have an update, and of what kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowRankSpec {
    /// Rows of the first thin matrix, columns of the second.
    pub rank: usize,
    /// The product is multiplied by `alpha / rank`.
    pub alpha: f32,
    /// The last parts of the names of the layers that have one, such as `query` and `value`.
    pub targets: Vec<String>,
    /// Whether the update takes the place of the weight's `rank` smallest singular values, rather than being added to the
    /// whole weight.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub residual: bool,
}

/// The largest rank: beyond it the update is no smaller than the weight of any model there is.
const LARGEST_RANK: usize = 1024;

impl LowRankSpec {
    /// What multiplies the product of the thin matrices.
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }

    /// Whether the linear layer of this name has an update; the head is trained itself.
    pub fn changes(&self, layer: &str) -> bool {
        let last = layer.rsplit('.').next().unwrap_or_default();
        !layer.starts_with("head.") && self.targets.iter().any(|target| target == last)
    }

    /// The name of a tensor of the update of `layer`: `down`, `up`, and those in `residual.`.
    pub fn part(layer: &str, part: &str) -> String {
        format!("{layer}{UPDATE}{part}")
    }

    /// Checks that there can be such updates.
    ///
    /// # Errors
    /// The first problem, as part of a sentence.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=LARGEST_RANK).contains(&self.rank) {
            return Err(format!("a rank of {}, which is not within 1..={LARGEST_RANK}", self.rank));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(format!("an alpha of {}, which is no number above 0", self.alpha));
        }
        if self.targets.is_empty() || self.targets.iter().any(|target| target.is_empty() || target.contains('.')) {
            return Err(format!("{:?} as targets, which are no last parts of layers' names", self.targets));
        }
        Ok(())
    }
}

/// What stands in the names of the update's tensors, between the layer's name and that of the part.
const UPDATE: &str = ".low_rank.";

/// A detector's tensors, with fresh low-rank updates beside those of its weights that are to have one.
pub struct Started<S> {
    source: S,
    fresh: Seeded,
}

impl<S: TensorSource> Started<S> {
    /// Updates by `seed` beside `source`.
    pub fn new(source: S, seed: u64) -> Self {
        Self { source, fresh: Seeded::new(seed) }
    }
}

impl<S: TensorSource> TensorSource for Started<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        match self.source.read(name, shape, init) {
            Err(WeightsError::Missing(_)) if name.contains(UPDATE) => self.fresh.read(name, shape, init),
            result => result,
        }
    }

    fn names(&self) -> Vec<String> {
        self.source.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(name)
    }
}

/// A detector's tensors with its low-rank updates added to the weights, so that it needs no more arithmetic than before.
pub struct Merged<S> {
    source: S,
    low_rank: LowRankSpec,
}

impl<S: TensorSource> Merged<S> {
    /// `source`, whose updates are those of `low_rank`.
    pub fn new(source: S, low_rank: LowRankSpec) -> Self {
        Self { source, low_rank }
    }
}

impl<S: TensorSource> TensorSource for Merged<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        let mut values = self.source.read(name, shape, init)?;
        let Some(layer) = name.strip_suffix(".weight").filter(|layer| self.low_rank.changes(layer)) else {
            return Ok(values);
        };
        let [outputs, inputs] = *shape else { return Ok(values) };
        let rank = self.low_rank.rank;
        let mut read =
            |part: &str, shape: &[usize]| self.source.read(&LowRankSpec::part(layer, part), shape, Init::Zeros);
        let (down, mut up) = (read("down", &[rank, inputs])?, read("up", &[outputs, rank])?);
        if self.low_rank.residual {
            scale_columns(&mut up, &read("residual.values", &[rank])?);
            let replaced =
                (read("residual.replaced_down", &[rank, inputs])?, read("residual.replaced_up", &[outputs, rank])?);
            add_product(&mut values, &replaced.1, &replaced.0, [rank, inputs], -1.0);
        }
        add_product(&mut values, &up, &down, [rank, inputs], self.low_rank.scale());
        Ok(values)
    }

    fn names(&self) -> Vec<String> {
        self.source.names().into_iter().filter(|name| !name.contains(UPDATE)).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(name)
    }
}

/// Adds `scale · up · down` to `weight` `[outputs, inputs]`; `up` is `[outputs, rank]` and `down` `[rank, inputs]`, none of
/// them empty.
pub(crate) fn add_product(weight: &mut [f32], up: &[f32], down: &[f32], [rank, inputs]: [usize; 2], scale: f32) {
    for (row, up) in weight.chunks_exact_mut(inputs).zip(up.chunks_exact(rank)) {
        for (factor, down) in up.iter().zip(down.chunks_exact(inputs)) {
            row.iter_mut().zip(down).for_each(|(value, down)| *value += scale * factor * down);
        }
    }
}

/// Multiplies each column of a matrix `[rows, scales]` by its own of `scales`.
pub fn scale_columns(matrix: &mut [f32], scales: &[f32]) {
    for row in matrix.chunks_exact_mut(scales.len().max(1)) {
        row.iter_mut().zip(scales).for_each(|(value, scale)| *value *= scale);
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use burn::prelude::*;

    use super::*;
    use crate::layers::Linear;
    use crate::ops::testing::tensor;
    use crate::weights::Loader;

    fn low_rank() -> LowRankSpec {
        LowRankSpec { rank: 3, alpha: 6.0, targets: ["query".to_owned()].to_vec(), residual: false }
    }

    fn updates() -> [LowRankSpec; 2] {
        [low_rank(), LowRankSpec { residual: true, ..low_rank() }]
    }

    /// Seeded tensors of which even those that start at zero have values.
    struct Filled;

    impl TensorSource for Filled {
        fn read(&mut self, name: &str, shape: &[usize], _: Init) -> Result<Vec<f32>, WeightsError> {
            Seeded::new(4).read(name, shape, Init::Normal(0.3))
        }

        fn names(&self) -> Vec<String> {
            Vec::new()
        }

        fn shape(&self, _: &str) -> Option<Vec<usize>> {
            None
        }
    }

    fn layer(source: &mut dyn TensorSource, low_rank: Option<LowRankSpec>) -> Linear {
        let mut loader = Loader::new(source, &Device::flex());
        if let Some(low_rank) = low_rank {
            loader = loader.with_low_rank(low_rank);
        }
        loader.within("query", |l| Linear::load(l, 5, 4)).expect("loads")
    }

    #[test]
    fn an_update_beside_a_weight_is_the_same_as_one_within_it() {
        let (x, _) = tensor([7, 5], 2);
        let values = |layer: &Linear| -> Vec<f32> { layer.forward(x.clone()).into_data().try_into_vec().expect("f32") };
        let plain = values(&layer(&mut Filled, None));
        for update in updates() {
            let beside = layer(&mut Filled, Some(update.clone()));
            assert!(beside.low_rank.as_ref().is_some_and(|low_rank| low_rank.residual.is_some() == update.residual));
            let within = values(&layer(&mut Merged::new(Filled, update), None));
            let beside = values(&beside);
            assert!(beside.iter().zip(&within).all(|(a, b)| (a - b).abs() < 1e-5));
            assert!(beside.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 0.1));
        }
    }

    #[test]
    fn only_an_update_that_replaces_a_part_says_so_in_a_description() {
        let [added, replacing] = updates();
        let written = |spec: &LowRankSpec| serde_json::to_string(spec).expect("JSON");
        assert_eq!(written(&added), r#"{"rank":3,"alpha":6.0,"targets":["query"]}"#);
        assert!(written(&replacing).contains(r#""residual":true"#));
        for spec in updates() {
            assert_eq!(serde_json::from_str::<LowRankSpec>(&written(&spec)).expect("read"), spec);
        }
    }

    #[test]
    fn a_fresh_update_changes_nothing_and_only_layers_that_are_named_have_one() {
        struct Nothing;
        impl TensorSource for Nothing {
            fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
                match name.contains(UPDATE) {
                    true => Err(WeightsError::Missing(name.to_owned())),
                    false => Seeded::new(4).read(name, shape, init),
                }
            }
            fn names(&self) -> Vec<String> {
                Vec::new()
            }
            fn shape(&self, _: &str) -> Option<Vec<usize>> {
                None
            }
        }
        let (x, _) = tensor([7, 5], 2);
        let started = layer(&mut Started::new(Nothing, 1), Some(low_rank()));
        let plain = layer(&mut Nothing, None);
        let values = |layer: &Linear| -> Vec<f32> { layer.forward(x.clone()).into_data().try_into_vec().expect("f32") };
        assert_eq!(values(&started), values(&plain));
        let other = LowRankSpec { targets: ["value".to_owned()].to_vec(), ..low_rank() };
        assert!(layer(&mut Nothing, Some(other)).low_rank.is_none());
        assert!(!low_rank().changes("head.query") && low_rank().changes("tower.layers.0.attention.query"));
    }

    #[test]
    fn impossible_updates_are_refused() {
        assert!(low_rank().check().is_ok());
        let changes: [fn(&mut LowRankSpec); 5] = [
            |l| l.rank = 0,
            |l| l.rank = usize::MAX,
            |l| l.alpha = f32::NAN,
            |l| l.targets.clear(),
            |l| l.targets[0] = "a.b".to_owned(),
        ];
        for change in changes {
            let mut changed = low_rank();
            change(&mut changed);
            assert!(changed.check().is_err(), "{changed:?}");
        }
    }
}
