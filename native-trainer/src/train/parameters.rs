//! The model's parameters while it is trained: which of them are in the autodiff graph, their gradients, their updates.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::{DType, GradientCheckpointingStrategy, Gradients};
use unmask_core::detector::{Group, Model, is_norm, is_statistic};

/// Values of parameters or of their gradients, flattened to `[n]` and outside of autodiff, by the parameter's name in a
/// detector file.
pub(super) type Named = BTreeMap<String, Tensor<1>>;

/// `model` with the parameters that `trains` names in the autodiff graph and all others outside of it: a product with
/// those costs no gradient, neither time nor memory. Those others are stored in `dtype`, which the model computes in;
/// norms are not, since they compute in f32, and neither are parts of weights that trained ones take the place of, since those
/// are as exact. `recompute` turns on gradient checkpointing.
pub(super) fn for_training(model: Model, trains: impl Fn(&str) -> bool, dtype: DType, recompute: bool) -> Model {
    let checkpointing = match recompute {
        true => GradientCheckpointingStrategy::Balanced,
        false => GradientCheckpointingStrategy::Disabled,
    };
    model.map(&mut Prepare { path: ModulePath::default(), trains, dtype, checkpointing })
}

/// `model` without autodiff.
pub(super) fn for_inference(model: Model) -> Model {
    model.map(&mut WithoutAutodiff)
}

/// The values of the parameters that are trained.
pub(super) fn trained(model: &Model) -> Named {
    collect(model, Wanted::Trained)
}

/// The statistics of the batch norms.
pub(super) fn statistics(model: &Model) -> Named {
    collect(model, Wanted::Statistics)
}

/// The gradients of the parameters that are trained.
pub(super) fn gradients(model: &Model, gradients: &Gradients) -> Named {
    collect(model, Wanted::Gradients(gradients))
}

/// `model` with the parameters of `update` replaced.
pub(super) fn updated(model: Model, update: Named) -> Model {
    model.map(&mut Replace { path: ModulePath::default(), update })
}

/// Adds `other` to `sum`, name by name.
pub(super) fn add(sum: &mut Named, other: Named) {
    for (name, value) in other {
        let value = match sum.remove(&name) {
            Some(before) => before + value,
            None => value,
        };
        sum.insert(name, value);
    }
}

/// The Euclidean length of all values together.
pub(super) fn norm(values: &Named) -> f64 {
    let squares = values.values().map(|value| (value.clone() * value.clone()).sum());
    let total = squares.reduce(|one, other| one + other);
    total.map_or(0.0, |total| f64::from(total.into_scalar::<f32>()).sqrt())
}

/// The names of modules from the model to the current one.
#[derive(Default)]
struct ModulePath(Vec<String>);

impl ModulePath {
    /// The outermost name is the model's kind, which a detector file says in its description instead.
    fn name(&self) -> String {
        self.0.iter().skip(1).map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

struct Prepare<F> {
    path: ModulePath,
    /// Whether the parameter of a name is trained.
    trains: F,
    /// The type of what is not trained, apart from norms and what trained parts take the place of.
    dtype: DType,
    checkpointing: GradientCheckpointingStrategy,
}

impl<F: Fn(&str) -> bool> ModuleMapper for Prepare<F> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let (id, tensor, mapper) = param.consume();
        let plain = tensor.without_autodiff();
        let tensor = if (self.trains)(&name) {
            plain.autodiff().with_gradient_checkpointing_strategy(self.checkpointing).require_grad()
        } else if is_norm(&name) || Group::by_name(&name) == Group::Replaced {
            plain
        } else {
            plain.cast(self.dtype)
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

struct WithoutAutodiff;

impl ModuleMapper for WithoutAutodiff {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, tensor.without_autodiff(), mapper)
    }
}

/// What is collected of a model.
enum Wanted<'a> {
    /// The values of what is trained.
    Trained,
    /// The gradients of what is trained.
    Gradients(&'a Gradients),
    /// The values of the batch norms' statistics.
    Statistics,
}

fn collect(model: &Model, wanted: Wanted) -> Named {
    let mut collect = Collect { path: ModulePath::default(), wanted, found: Named::new() };
    model.visit(&mut collect);
    collect.found
}

struct Collect<'a> {
    path: ModulePath,
    wanted: Wanted<'a>,
    found: Named,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (name, tensor) = (self.path.name(), param.val());
        let value = match self.wanted {
            Wanted::Trained => tensor.is_require_grad().then(|| tensor.without_autodiff()),
            Wanted::Gradients(gradients) if tensor.is_require_grad() => tensor.grad(gradients),
            Wanted::Gradients(_) => None,
            Wanted::Statistics => is_statistic(&name).then_some(tensor),
        };
        if let Some(value) = value {
            let count = value.shape().num_elements();
            self.found.insert(name, value.reshape([count]));
        }
    }
}

struct Replace {
    path: ModulePath,
    update: Named,
}

impl ModuleMapper for Replace {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.update.remove(&self.path.name()) else { return param };
        let (id, tensor, mapper) = param.consume();
        let mut value: Tensor<D> = value.reshape(tensor.dims());
        if let Some(checkpointing) = tensor.gradient_checkpointing_strategy() {
            value = value.autodiff().with_gradient_checkpointing_strategy(checkpointing).require_grad();
        }
        Param::from_mapped_value(id, value, mapper)
    }
}
