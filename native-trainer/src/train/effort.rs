//! What of weights is trained by the strategy `effort`.

use serde::{Deserialize, Serialize};
use unmask_core::detector::spec::LowRankSpec;

/// Weights of which only a part is trained (Yan et al., "Effort", 2025).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EffortRecipe {
    /// How many of a weight's singular values are trained with their vectors, from the smallest on.
    pub residual: usize,
    /// The last parts of the names of the layers that are taken apart.
    pub targets: Vec<String>,
}

impl EffortRecipe {
    /// The same as updates that take the place of a part of their weights; the product has no factor of its own.
    pub(super) fn low_rank(&self) -> LowRankSpec {
        LowRankSpec { rank: self.residual, alpha: self.residual as f32, targets: self.targets.clone(), residual: true }
    }
}

impl Default for EffortRecipe {
    /// Its authors': one value of each weight of an attention.
    fn default() -> Self {
        Self { residual: 1, targets: ["query", "key", "value", "output"].map(String::from).into() }
    }
}
