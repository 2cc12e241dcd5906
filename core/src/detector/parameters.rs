//! A model's parameters by name.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use burn::module::{ModuleVisitor, Param};
use burn::prelude::*;

use super::Model;

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
