//! How many parameters a detector file holds, all of them and by what trains them.

use unmask_core::detector::spec::Architecture;
use unmask_core::detector::{Group, Strategy};
use unmask_core::weights::TensorSource;

/// Parameters, all and by what is trained.
pub struct Counts {
    /// All tensors.
    pub tensors: usize,
    /// Numbers in them.
    pub parameters: usize,
    /// Numbers of the norms.
    pub layer_norm: usize,
    /// Numbers of what the model adds to pretrained weights.
    pub stan: usize,
    /// Numbers of the head.
    pub head: usize,
}

impl Counts {
    /// Those of a file with a model of this architecture.
    pub fn of(file: &dyn TensorSource, architecture: &Architecture) -> Self {
        let trained = |strategy| trained(file, architecture, strategy);
        Self {
            tensors: file.names().len(),
            parameters: sum(file, |name| architecture.sizes().group(name) != Group::Statistic),
            layer_norm: trained(Strategy::LayerNorm),
            stan: trained(Strategy::Stan),
            head: trained(Strategy::Head),
        }
    }
}

/// The parameters in `file` that `strategy` trains.
pub fn trained(file: &dyn TensorSource, architecture: &Architecture, strategy: Strategy) -> usize {
    sum(file, |name| architecture.trains(strategy, name))
}

/// The sizes of the tensors whose names `counts` accepts.
fn sum(file: &dyn TensorSource, counts: impl Fn(&str) -> bool) -> usize {
    let size = |name: &String| file.shape(name).map_or(0, |shape| shape.iter().product());
    file.names().iter().filter(|name| counts(name)).map(size).sum()
}
