//! The linear layer with its gradients.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, Shape};

use super::{apart, are_f32, computes_anew, register};
use crate::ops::cpu::buffers::put_back_tensors;
use crate::ops::cpu::flex::{contiguous, tensor};
use crate::ops::cpu::gradients::linear::{multiply, of_input, of_weights};
use crate::ops::cpu::linear::{Input, Weights, linear_with_slopes};
use crate::ops::extension::Optional;
use crate::ops::linear::{FusedLinear, composed};
use crate::ops::{Activation, KeptLayout};

/// What a layer remembers for its gradients.
#[derive(Clone, Debug)]
struct Saved {
    /// The node of the input, where the weight is trained: burn keeps its numbers, or finds them again.
    input: Option<NodeId>,
    /// The weight, where the input has gradients.
    weight: Option<FlexTensor>,
    /// The slopes of the activation.
    slopes: Option<FlexTensor>,
    /// The input's.
    shape: Shape,
    outputs: usize,
}

#[derive(Debug)]
struct LinearStep;

impl Backward<Flex, 4> for LinearStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [input_node, weight_node, bias_node, residual_node] =
            ops.parents.map(|parent| parent.map(|parent| parent.id));
        let Saved { input, weight, slopes, shape, outputs } = ops.state;
        let input: Option<FlexTensor> = input.map(|node| contiguous(checkpointer.retrieve_node_output(node)));
        let mut gradient = contiguous(gradients.consume::<Flex>(&ops.node));
        if let Some(residual) = residual_node {
            gradients.register::<Flex>(residual, gradient.clone());
        }
        if let Some(slopes) = slopes {
            multiply(gradient.storage_mut(), slopes.storage());
            put_back_tensors([slopes]);
        }
        let inputs = shape[shape.num_dims() - 1];
        if weight_node.is_some() || bias_node.is_some() {
            let input = input.as_ref().map(|input| input.storage());
            let found = of_weights(gradient.storage(), outputs, input, inputs);
            register(gradients, bias_node, found.bias, [outputs]);
            if let Some(weight) = found.weight {
                register(gradients, weight_node, weight, [outputs, inputs]);
            }
        }
        if let Some(weight) = weight {
            register(gradients, input_node, of_input(gradient.storage(), &weight), shape);
        }
        put_back_tensors([gradient].into_iter().chain(input));
    }
}

impl<C: CheckpointStrategy> FusedLinear for Autodiff<Flex, C> {
    fn fused_linear(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        activation: Option<Activation>,
        residual: Optional<Self>,
        kept: KeptLayout,
    ) -> FloatTensor<Self> {
        let (bias, residual) = (bias.given(), residual.given());
        if !are_f32::<C>([&input, &weight].into_iter().chain(&bias).chain(&residual)) {
            return composed::<Self>(input, weight, Optional::of(bias), activation, Optional::of(residual));
        }
        if let Some(activation) = activation.filter(|_| computes_anew::<C>()) {
            let output = Self::fused_linear(input, weight, Optional::of(bias), None, Optional::Absent, kept);
            let output = activation.apply_on::<Self>(output);
            return match residual {
                Some(residual) => Self::float_add(output, residual),
                None => output,
            };
        }
        let (has_gradient, kept_input) = (input.is_tracked(), weight.is_tracked().then(|| input.clone()));
        let ((input, input_node), (weight, weight_node)) = (input.into_parts(), weight.into_parts());
        let ((bias_node, bias), (residual_node, residual)) = (apart::<C>(bias), apart::<C>(residual));
        let (input, residual) = (contiguous(input), residual.map(contiguous));
        let shape = input.layout().shape().clone();
        let last = shape.num_dims() - 1;
        let (outputs, mut output_shape) = (weight.layout().shape()[0], shape.clone());
        output_shape[last] = outputs;
        let (output, slopes) = linear_with_slopes(
            &Input::rows(input.storage(), shape[last]),
            &Weights { weight: &weight, bias: bias.as_ref() },
            activation,
            residual.as_ref().map(|residual| residual.storage()),
            kept_input.is_none().then_some(&kept),
        );
        let slopes = slopes.map(|slopes| tensor(slopes, output_shape.clone()));
        let output = tensor(output, output_shape);
        put_back_tensors([input].into_iter().chain(residual));
        let nodes = [input_node, weight_node, bias_node, residual_node];
        match LinearStep.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut step) => {
                let input = kept_input.map(|input| step.checkpoint(&input));
                let weight = has_gradient.then_some(weight);
                step.finish(Saved { input, weight, slopes, shape, outputs }, output)
            }
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }
}
