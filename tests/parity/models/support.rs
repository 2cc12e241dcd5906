//! A golden checkpoint read by its format, and what the reference made of it.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::Gradients;
use burn::tensor::activation::log_softmax;
use unmask_core::detector::formats::{self, Checkpoint, Grown};
use unmask_core::detector::{Architecture, Model, Output};
use unmask_core::weights::{SafetensorsFile, TensorSource};

use super::compare::relative_error;

/// The relative error that f32 arithmetic in another order may make.
pub(crate) const TOLERANCE: f32 = 2e-5;
pub(crate) const GRADIENT_TOLERANCE: f32 = 1e-4;

/// A file of tests/goldens.
pub(crate) struct Golden(Vec<u8>);

impl Golden {
    pub(crate) fn open(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens");
        Self(std::fs::read(folder.join(format!("{name}.safetensors"))).expect(name))
    }

    pub(crate) fn file(&self) -> SafetensorsFile<&[u8]> {
        SafetensorsFile::open(self.0.as_slice()).expect("safetensors")
    }

    pub(crate) fn values(&self, name: &str) -> Vec<f32> {
        self.file().values(name).expect(name)
    }

    pub(crate) fn shape(&self, name: &str) -> Vec<usize> {
        self.file().shape(name).expect(name)
    }

    /// The tensor of this name; pictures `[n, 3, h, w]` as clips of one.
    pub(crate) fn clips(&self, name: &str, device: &Device) -> Tensor<5> {
        let shape = self.shape(name);
        let shape = match shape[..] {
            [n, c, h, w] => [n, 1, c, h, w],
            [n, t, c, h, w] => [n, t, c, h, w],
            _ => panic!("{name} has {shape:?}"),
        };
        Tensor::from_data(TensorData::new(self.values(name), shape), device)
    }
}

/// The model of a golden checkpoint, which has all that `architecture` needs.
pub(crate) fn load(format: &str, checkpoint: &str, architecture: &Architecture, device: &Device) -> Model {
    let golden = Golden::open(checkpoint);
    let format = formats::by_name(format).expect(format);
    let mut source = Checkpoint::new(golden.file(), format).expect("its names are known");
    Model::load(architecture, &mut source, device).expect("loads")
}

/// [`load`] of a checkpoint without a head, which is `[width] -> [2]` of the same file under other names.
pub(crate) fn load_with_head(
    format: &str,
    checkpoint: &str,
    architecture: &Architecture,
    head: &str,
    device: &Device,
) -> Model {
    let golden = Golden::open(checkpoint);
    let known = formats::by_name(format).expect(format);
    let source = Checkpoint::new(golden.file(), known).expect("its names are known");
    let mut source = Grown::new(WithHead { source, golden: &golden, head }, architecture.clone(), 0);
    Model::load(architecture, &mut source, device).expect("loads")
}

struct WithHead<'a, S> {
    source: S,
    golden: &'a Golden,
    head: &'a str,
}

impl<S: TensorSource> TensorSource for WithHead<'_, S> {
    fn read(
        &mut self,
        name: &str,
        shape: &[usize],
        init: unmask_core::weights::Init,
    ) -> Result<Vec<f32>, unmask_core::weights::WeightsError> {
        match name.strip_prefix("head.layers.0.") {
            Some(kind) => self.golden.file().read(&format!("{}.{kind}", self.head), shape, init),
            None => self.source.read(name, shape, init),
        }
    }

    fn names(&self) -> Vec<String> {
        self.source.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(name)
    }
}

/// What a tensor on the device is.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

/// Fails unless features and logits are those of the reference, which begin with `prefix` there.
pub(crate) fn assert_output(output: Output, reference: &Golden, prefix: &str) {
    for (name, found) in [("features", output.features), ("logits", output.logits)] {
        let error = relative_error(&values(found), &reference.values(&format!("{prefix}{name}")));
        println!("{prefix}{name}: {error:.1e}");
        assert!(error < TOLERANCE, "{prefix}{name} are off by {error}");
    }
}

/// Mean cross-entropy of logits for the labels of the reference.
pub(crate) fn mean_loss(logits: Tensor<2>, labels: &[usize]) -> Tensor<1> {
    let hot: Vec<f32> = labels.iter().flat_map(|label| if *label == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
    let device = logits.device().without_autodiff();
    let hot = Tensor::<2>::from_data(TensorData::new(hot, [labels.len(), 2]), &device);
    (log_softmax(logits, 1) * hot).sum().neg() / labels.len() as f64
}

/// The gradients of `loss` by our names of the parameters, flattened.
pub(crate) fn gradients(model: &Model, loss: &Tensor<1>) -> BTreeMap<String, Vec<f32>> {
    let gradients = loss.backward();
    let mut collect = Collect { gradients: &gradients, path: Vec::new(), found: BTreeMap::new() };
    model.visit(&mut collect);
    collect.found
}

struct Collect<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.found.insert(self.path[1..].join("."), values(gradient));
        }
    }
}

/// Fails unless the gradients of the reference that `pairs` names (ours, theirs) are found.
pub(crate) fn assert_gradients(
    found: &BTreeMap<String, Vec<f32>>,
    reference: &Golden,
    pairs: impl IntoIterator<Item = (String, String)>,
) {
    let mut compared = 0;
    for (ours, theirs) in pairs {
        let name = format!("gradient.{theirs}");
        if !reference.file().names().contains(&name) {
            continue;
        }
        let gradient = found.get(&ours).unwrap_or_else(|| panic!("{ours} has no gradient"));
        let error = relative_error(gradient, &reference.values(&name));
        println!("{name}: {error:.1e}");
        assert!(error < GRADIENT_TOLERANCE, "the gradient of {ours} is off by {error}");
        compared += 1;
    }
    assert!(compared >= 4, "only {compared} gradients were compared");
}

/// Our names with theirs, without what is around the network, for tensors that are read as a whole.
pub(crate) fn pairs(format: &str, checkpoint: &str) -> Vec<(String, String)> {
    let golden = Golden::open(checkpoint);
    let source = Checkpoint::new(golden.file(), formats::by_name(format).expect(format)).expect("its names are known");
    source.renamed().map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned())).collect()
}
