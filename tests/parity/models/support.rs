//! A golden checkpoint read by its format, and what the reference made of it.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::Gradients;
use burn::tensor::activation::log_softmax;
use unmask_core::detector::formats::{self, Checkpoint, Grown};
use unmask_core::detector::{Architecture, Model, Output, parameters};
use unmask_core::weights::{Init, SafetensorsFile, TensorSource, WeightsError};

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
    let model = Model::load(architecture, &mut source, device).expect("loads");
    assert_listed(architecture, &model);
    model
}

/// Fails unless the tensors that are said to be in such a detector's file are those of the model.
fn assert_listed(architecture: &Architecture, model: &Model) {
    let (mut listed, mut there) = (architecture.tensors().expect("its sizes"), parameters(model));
    listed.sort();
    there.sort();
    assert_eq!(listed, there);
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
    let model = Model::load(architecture, &mut source, device).expect("loads");
    assert_listed(architecture, &model);
    model
}

struct WithHead<'a, S> {
    source: S,
    golden: &'a Golden,
    head: &'a str,
}

impl<S: TensorSource> TensorSource for WithHead<'_, S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
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

/// Our names of parameters with those in a golden checkpoint.
pub(crate) struct Names(BTreeMap<String, Origin>);

/// Where a parameter is in a checkpoint.
struct Origin {
    name: String,
    /// Which of how many equal parts of its rows.
    part: (usize, usize),
}

impl Names {
    pub(crate) fn of<S: TensorSource>(source: &Checkpoint<S>) -> Self {
        let origin = |name: &str, part| Origin { name: name.to_owned(), part };
        Self(source.renamed().map(|(ours, theirs, part)| (ours.to_owned(), origin(theirs, part))).collect())
    }

    pub(crate) fn add(&mut self, ours: &str, theirs: &str) {
        self.0.insert(ours.to_owned(), Origin { name: theirs.to_owned(), part: (0, 1) });
    }

    pub(crate) fn remove(&mut self, ours: &str) {
        self.0.remove(ours);
    }

    /// Their name of a parameter that is a whole one there.
    pub(crate) fn theirs(&self, ours: &str) -> &str {
        &self.0[ours].name
    }
}

/// Those of a golden checkpoint that `format` reads.
pub(crate) fn pairs(format: &str, checkpoint: &str) -> Names {
    let golden = Golden::open(checkpoint);
    let source = Checkpoint::new(golden.file(), formats::by_name(format).expect(format)).expect("its names are known");
    Names::of(&source)
}

/// Fails unless all gradients of the reference are found under our names.
pub(crate) fn assert_gradients(found: &BTreeMap<String, Vec<f32>>, reference: &Golden, names: Names) {
    let mut compared = 0;
    let known = reference.file().names();
    for (ours, Origin { name, part: (index, count) }) in names.0 {
        let name = format!("gradient.{name}");
        if !known.contains(&name) {
            continue;
        }
        let gradient = found.get(&ours).unwrap_or_else(|| panic!("{ours} has no gradient"));
        let whole = reference.values(&name);
        let expected = whole.chunks_exact(whole.len() / count).nth(index).expect("a part");
        // The gradient of a key's bias is nothing but rounding: a softmax does not change when all its inputs shift.
        if ours.ends_with("key.bias") {
            continue;
        }
        let error = relative_error(gradient, expected);
        println!("{name} ({ours}): {error:.1e}");
        assert!(error < GRADIENT_TOLERANCE, "the gradient of {ours} is off by {error}");
        compared += 1;
    }
    assert!(compared >= 4, "only {compared} gradients were compared");
}

/// Zeros of every shape.
pub(crate) struct Zeros;

impl TensorSource for Zeros {
    fn read(&mut self, _: &str, shape: &[usize], _: Init) -> Result<Vec<f32>, WeightsError> {
        Ok(vec![0.0; shape.iter().product()])
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, _: &str) -> Option<Vec<usize>> {
        None
    }
}
