//! The table of tests: every operation at the shapes that matter, on every device present.
//!
//! A [`Case`] is what an operation is given, and two ways to compute it: the operation itself, and its formula in burn's own
//! operations (`formulas`), which is computed on the CPU. Both have to give the same, and where there are gradients, the same
//! gradients. A faster body of an operation needs no test of its own, but perhaps a shape in the table.

mod batch;
mod convolutions;
mod formulas;
mod places;
mod transformers;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use burn::prelude::*;

use super::testing::values;
use batch::{batch_norm, convolution_of_batch, depthwise_convolution_of_batch, inverted_residual_of_batch};
use convolutions::{
    convolution, depthwise_convolution, expanded_depthwise, inverted_residual, patches, pointwise_convolution,
    separable_convolution,
};
use places::{channel_means, max_pool, scale_channels};
use transformers::{attention, attention_with_weights, layer_norm, linear, patch_embedding};

/// An operation of this name, in each of the table's columns.
macro_rules! table {
    ($($operation:ident),+ $(,)?) => {
        table!(on_the_cpu, Column::CPU, $($operation),+);
        table!(on_the_cpu_with_gradients, Column::CPU_WITH_GRADIENTS, $($operation),+);
        table!(on_a_graphics_device, Column::GRAPHICS, $($operation),+);
        table!(on_a_graphics_device_with_gradients, Column::GRAPHICS_WITH_GRADIENTS, $($operation),+);
    };
    ($column:ident, $device:expr, $($operation:ident),+) => {
        mod $column {
            use super::Column;
            $(
                #[test]
                fn $operation() {
                    $device.check(super::$operation());
                }
            )+
        }
    };
}

table!(
    attention,
    attention_with_weights,
    batch_norm,
    channel_means,
    convolution,
    convolution_of_batch,
    depthwise_convolution,
    depthwise_convolution_of_batch,
    expanded_depthwise,
    inverted_residual,
    inverted_residual_of_batch,
    layer_norm,
    linear,
    max_pool,
    patch_embedding,
    patches,
    pointwise_convolution,
    scale_channels,
    separable_convolution,
);

/// How the numbers of an input lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Row by row.
    Plain,
    /// Axes in reverse order.
    Transposed,
    /// Behind as many others.
    Cut,
    /// The last of the first axis first.
    Backwards,
    /// The first of the first axis stands for all.
    Repeated,
}

const LAYOUTS: [Layout; 5] = [Layout::Plain, Layout::Transposed, Layout::Cut, Layout::Backwards, Layout::Repeated];

impl Layout {
    /// How many numbers of memory a tensor of this shape stands for.
    fn length(self, shape: &[usize]) -> usize {
        let length = shape.iter().product::<usize>();
        match self {
            Self::Plain | Self::Transposed | Self::Backwards => length,
            Self::Cut => 2 * length,
            Self::Repeated => length / shape[0],
        }
    }

    /// The tensor of this shape that `memory` holds.
    fn view<const D: usize>(self, memory: Tensor<1>, shape: [usize; D]) -> Tensor<D> {
        let with_first = |first: usize| core::array::from_fn(|axis| if axis == 0 { first } else { shape[axis] });
        match self {
            Self::Plain => memory.reshape(shape),
            Self::Transposed => {
                let reversed: [usize; D] = core::array::from_fn(|axis| shape[D - 1 - axis]);
                memory.reshape(reversed).permute(core::array::from_fn::<_, D, _>(|axis| (D - 1 - axis) as isize))
            }
            Self::Cut => memory.reshape::<D, [usize; D]>(with_first(2 * shape[0])).narrow(0, shape[0], shape[0]),
            Self::Backwards => memory.reshape(shape).flip([0]),
            Self::Repeated => memory.reshape::<D, [usize; D]>(with_first(1)).expand(shape),
        }
    }
}

/// An input of an operation: seeded numbers of a shape.
#[derive(Clone, Debug)]
struct Input {
    shape: Vec<usize>,
    layout: Layout,
    factor: f32,
    offset: f32,
    /// What stands in the first places instead.
    first: &'static [f32],
}

/// An input of numbers in -1..1.
fn input<const D: usize>(shape: [usize; D]) -> Input {
    Input { shape: shape.to_vec(), layout: Layout::Plain, factor: 1.0, offset: 0.0, first: &[] }
}

impl Input {
    fn laid(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }

    fn times(self, factor: f32) -> Self {
        Self { factor, ..self }
    }

    fn plus(self, offset: f32) -> Self {
        Self { offset, ..self }
    }

    /// With these numbers in the first places.
    fn starting(self, first: &'static [f32]) -> Self {
        Self { first, ..self }
    }

    fn values(&self, seed: u64) -> Vec<f32> {
        let mut values = values(self.layout.length(&self.shape), seed);
        values.iter_mut().for_each(|value| *value = *value * self.factor + self.offset);
        values.iter_mut().zip(self.first).for_each(|(value, first)| *value = *first);
        values
    }
}

/// The inputs of a case on a device, which are taken one after the other.
struct Inputs<'a> {
    declared: &'a [Input],
    memory: &'a [Tensor<1>],
}

impl Inputs<'_> {
    fn next<const D: usize>(&mut self) -> Tensor<D> {
        let (declared, memory) = (&self.declared[0], self.memory[0].clone());
        (self.declared, self.memory) = (&self.declared[1..], &self.memory[1..]);
        let shape: [usize; D] = declared.shape.as_slice().try_into().expect("the rank that was declared");
        declared.layout.view(memory, shape)
    }
}

/// One of an operation's outputs.
struct Output {
    shape: Vec<usize>,
    values: Tensor<1>,
}

impl<const D: usize> From<Tensor<D>> for Output {
    fn from(tensor: Tensor<D>) -> Self {
        let shape = tensor.dims();
        Self { shape: shape.to_vec(), values: tensor.reshape([shape.iter().product::<usize>()]) }
    }
}

type Compute = Box<dyn Fn(&mut Inputs) -> Vec<Output>>;

/// An operation at one shape.
struct Case {
    name: String,
    inputs: Vec<Input>,
    operation: Compute,
    formula: Compute,
    gradient_tolerance: f32,
}

impl Case {
    fn new(
        name: String,
        inputs: Vec<Input>,
        operation: impl Fn(&mut Inputs) -> Vec<Output> + 'static,
        formula: impl Fn(&mut Inputs) -> Vec<Output> + 'static,
    ) -> Self {
        let (operation, formula) = (Box::new(operation), Box::new(formula));
        Self { name, inputs, operation, formula, gradient_tolerance: GRADIENT_TOLERANCE }
    }

    /// With gradients that need be near the formula's only so far.
    fn with_gradients_near(self, gradient_tolerance: f32) -> Self {
        Self { gradient_tolerance, ..self }
    }

    /// Where numbers are none, gradients are compared no more.
    fn is_strange(&self) -> bool {
        self.inputs.iter().any(|input| !input.first.is_empty())
    }
}

/// Numbers and their shape.
type Array = (Vec<usize>, Vec<f32>);

fn read(output: &Output) -> Array {
    (output.shape.clone(), output.values.clone().into_data().try_into_vec().expect("f32"))
}

/// What a case gives.
struct Found {
    outputs: Vec<Array>,
    /// Of each input, where it is asked for.
    gradients: Vec<Option<Array>>,
}

/// What `compute` makes of the case's inputs on the device, with the gradients of the inputs from `first_trained` on.
fn found(case: &Case, compute: &Compute, device: &Device, first_trained: Option<usize>) -> Found {
    let memory: Vec<Tensor<1>> = case
        .inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let memory = Tensor::from_data(input.values(index as u64 + 1).as_slice(), device);
            if first_trained.is_some_and(|first| first <= index) { memory.require_grad() } else { memory }
        })
        .collect();
    let outputs = compute(&mut Inputs { declared: &case.inputs, memory: &memory });
    let gradients = match first_trained {
        Some(_) => gradients(&outputs, &memory),
        None => Vec::new(),
    };
    Found { outputs: outputs.iter().map(read).collect(), gradients }
}

/// The gradients of the sum of all outputs times seeded numbers.
#[cfg(feature = "autodiff")]
fn gradients(outputs: &[Output], memory: &[Tensor<1>]) -> Vec<Option<Array>> {
    // A batch's statistics have no gradients.
    let outputs = outputs.iter().map(|output| &output.values).filter(|values| values.device().is_autodiff());
    let weighted = outputs.map(|output| {
        let [length] = output.dims();
        (output.clone() * Tensor::<1>::from_data(values(length, 99).as_slice(), &output.device())).sum()
    });
    let found = weighted.reduce(|sum, next| sum + next).expect("an output").backward();
    memory.iter().map(|memory| Some(read(&Output::from(memory.grad(&found)?)))).collect()
}

#[cfg(not(feature = "autodiff"))]
fn gradients(_: &[Output], _: &[Tensor<1>]) -> Vec<Option<Array>> {
    unreachable!("a build without gradients has no device with them")
}

/// A device, and how it is checked.
struct Column {
    device: fn() -> Result<Device, &'static str>,
    /// How near to the formula it comes, in parts of the largest number: sums are taken in another order.
    tolerance: f32,
    /// The inputs from which on gradients are asked for, with a run for each.
    first_trained: &'static [usize],
}

/// A few operations after another add up.
const GRADIENT_TOLERANCE: f32 = 2e-4;

impl Column {
    const CPU: Self = Self { device: || Ok(Device::flex()), tolerance: 2e-5, first_trained: &[] };
    const CPU_WITH_GRADIENTS: Self =
        Self { device: || trained(Device::flex()), tolerance: 2e-5, first_trained: &[0, 1] };
    const GRAPHICS: Self = Self { device: graphics_device, tolerance: 1e-4, first_trained: &[] };
    const GRAPHICS_WITH_GRADIENTS: Self =
        Self { device: || graphics_device().and_then(trained), tolerance: 1e-4, first_trained: &[0] };

    /// Fails unless each operation gives what its formula gives; says so where the device is absent.
    fn check(&self, cases: Vec<Case>) {
        let device = match (self.device)() {
            Ok(device) => device,
            Err(absent) => return std::eprintln!("absent: {absent}"),
        };
        let cpu = if device.is_autodiff() { trained(Device::flex()).expect("gradients") } else { Device::flex() };
        for case in cases {
            let trained = self.first_trained.iter().copied().filter(|first| *first < case.inputs.len());
            let runs: Vec<Option<usize>> = match case.is_strange() || self.first_trained.is_empty() {
                true => [None].to_vec(),
                false => trained.map(Some).collect(),
            };
            for first_trained in runs {
                let expected = found(&case, &case.formula, &cpu, first_trained);
                let found = found(&case, &case.operation, &device, first_trained);
                self.compare(&case, &found, &expected);
            }
        }
    }

    fn compare(&self, case: &Case, found: &Found, expected: &Found) {
        let (tolerance, case) = (case.gradient_tolerance, &case.name);
        assert_eq!(found.outputs.len(), expected.outputs.len(), "{case}");
        for (index, (found, expected)) in found.outputs.iter().zip(&expected.outputs).enumerate() {
            assert_same(found, expected, (self.tolerance, 1.0), &std::format!("{case}, output {index}"));
        }
        for (index, (found, expected)) in found.gradients.iter().zip(&expected.gradients).enumerate() {
            let name = std::format!("{case}, gradient of input {index}");
            match (found, expected) {
                (Some(found), Some(expected)) => assert_same(found, expected, (tolerance, 0.1), &name),
                (found, expected) => assert_eq!(found.is_some(), expected.is_some(), "{name}"),
            }
        }
    }
}

/// Fails unless the numbers differ by less than `tolerance` times the largest of them, which counts as `least` where it is
/// smaller; what is not finite has to be the very same.
fn assert_same(found: &Array, expected: &Array, (tolerance, least): (f32, f32), case: &str) {
    assert_eq!(found.0, expected.0, "{case}: shape");
    let finite = expected.1.iter().filter(|value| value.is_finite());
    let largest = finite.fold(least, |largest, value| largest.max(value.abs()));
    for (place, (a, b)) in found.1.iter().zip(&expected.1).enumerate() {
        let is_same = match b {
            b if b.is_nan() => a.is_nan(),
            b if b.is_infinite() => a == b,
            b => (a - b).abs() <= tolerance * largest,
        };
        assert!(is_same, "{case}, place {place}: {a} is not {b}");
    }
}

#[test]
fn what_is_not_finite_is_the_same_as_nothing_else() {
    let same = |found: f32, expected: f32| {
        let of = |value: f32| ([2].to_vec(), [1.0, value].to_vec());
        let compare = || assert_same(&of(found), &of(expected), (1e-3, 1.0), "a pair");
        std::panic::catch_unwind(compare).is_ok()
    };
    let values = [0.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for (row, found) in values.into_iter().enumerate() {
        for (column, expected) in values.into_iter().enumerate() {
            assert_eq!(same(found, expected), row == column, "{found} and {expected}");
        }
    }
    assert!(same(0.5004, 0.5) && !same(0.502, 0.5));
}

#[cfg(feature = "autodiff")]
fn trained(device: Device) -> Result<Device, &'static str> {
    Ok(device.autodiff())
}

#[cfg(not(feature = "autodiff"))]
fn trained(_: Device) -> Result<Device, &'static str> {
    Err("gradients, which the feature `autodiff` brings")
}

/// The first graphics device, be it a software renderer.
#[cfg(feature = "webgpu")]
fn graphics_device() -> Result<Device, &'static str> {
    let found = Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec().into_iter().next();
    found.ok_or("a graphics device, even Mesa's llvmpipe")
}

#[cfg(not(feature = "webgpu"))]
fn graphics_device() -> Result<Device, &'static str> {
    Err("a graphics device, which the feature `webgpu` brings")
}
