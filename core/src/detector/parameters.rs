//! A model's parameters by name, and which of them a training strategy changes.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use burn::module::{ModuleVisitor, Param};
use burn::prelude::*;

use super::Model;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Every norm's weight and bias, and the head (Basu et al., "Strong Baselines for Parameter-Efficient
    /// Few-Shot Fine-Tuning", 2024, as used for deepfakes by the thesis and GenD): LayerNorms in a transformer, batch
    /// norms in a convolutional network.
    LayerNorm,
    /// Those of [`Strategy::LayerNorm`], the branch's too, with the temporal layers and time embeddings that a STAN
    /// branch adds: all that pretrained weights do not cover. For a model without a branch the same as that.
    Stan,
    /// The head alone.
    Head,
    /// Everything but the statistics of batch norms, which no strategy changes.
    Full,
}

/// The names (as in a detector file) and shapes of all parameters, in the order of the model.
pub fn parameters(model: &Model) -> Vec<(String, Vec<usize>)> {
    let mut found = Vec::new();
    for_each_parameter(model, &mut |name, shape, _| found.push((name, shape)));
    found
}

/// A way to read a parameter's values in f32, which copies them only when it is called.
pub type Values = Box<dyn Fn() -> TensorData>;

/// Is given a parameter's name (as in a detector file), its shape, and its values.
pub type Visit<'a> = dyn FnMut(String, Vec<usize>, Values) + 'a;

/// Calls `visit` with each parameter, in the order of the model.
pub fn for_each_parameter(model: &Model, visit: &mut Visit) {
    model.visit(&mut Walk { path: Vec::new(), visit });
}

/// Whether `name` is a statistic of a batch norm: part of the model, but no parameter.
pub fn is_statistic(name: &str) -> bool {
    matches!(name.rsplit('.').next(), Some("running_mean" | "running_var"))
}

/// Whether `name` belongs to a layer norm or a batch norm.
pub fn is_norm(name: &str) -> bool {
    name.rsplit('.').nth(1).is_some_and(|module| module.contains("norm"))
}

/// Whether `strategy` trains the parameter `name`.
pub fn trainable(strategy: Strategy, name: &str) -> bool {
    if is_statistic(name) {
        return false;
    }
    let head = name.starts_with("head.");
    let norm = is_norm(name);
    match strategy {
        Strategy::Full => true,
        Strategy::Head => head,
        Strategy::LayerNorm => head || norm,
        Strategy::Stan => head || norm || name.contains(".temporal.") || name == "branch.time_embedding",
    }
}

struct Walk<'a, 'b> {
    path: Vec<String>,
    visit: &'a mut Visit<'b>,
}

impl ModuleVisitor for Walk<'_, '_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // The outermost name is the model's kind, which a detector file says in its description instead.
        let name = self.path.iter().skip(1).cloned().collect::<Vec<_>>().join(".");
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        (self.visit)(name, shape, Box::new(move || tensor.clone().into_data().convert::<f32>()));
    }
}
