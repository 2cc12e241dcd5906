//! Layer normalisation with its gradients.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

use super::{are_f32, computes_anew, register};
use crate::ops::cpu::buffers::put_back_tensors;
use crate::ops::cpu::flex::{contiguous, tensor};
use crate::ops::cpu::gradients::layer_norm::Norm;
use crate::ops::cpu::layer_norm::layer_norm;
use crate::ops::layer_norm::{FusedLayerNorm, composed};

/// What a norm remembers for its gradients: its mean and its deviation are found again in less time than they would be read.
#[derive(Clone, Debug)]
struct Saved {
    input: FlexTensor,
    weight: FlexTensor,
}

#[derive(Debug)]
struct LayerNormStep {
    epsilon: f32,
}

impl Backward<Flex, 3> for LayerNormStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [of_input, of_weight, of_bias] = ops.parents.map(|parent| parent.map(|parent| parent.id));
        let Saved { input, weight } = ops.state;
        let gradient = contiguous(gradients.consume::<Flex>(&ops.node));
        let norm = Norm { input: input.storage(), weight: weight.storage(), epsilon: self.epsilon };
        let found = norm.gradients(gradient.storage());
        let channels = found.weight.len();
        register(gradients, of_input, found.input, input.layout().shape().clone());
        register(gradients, of_weight, found.weight, [channels]);
        register(gradients, of_bias, found.bias, [channels]);
        put_back_tensors([gradient, input]);
    }
}

impl<C: CheckpointStrategy> FusedLayerNorm for Autodiff<Flex, C> {
    fn fused_layer_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        if computes_anew::<C>() || !are_f32::<C>([&input, &weight, &bias]) {
            return composed::<Self>(input, weight, bias, epsilon);
        }
        let nodes = [input.node(), weight.node(), bias.node()];
        let [input, weight, bias] = [input, weight, bias].map(|tensor| contiguous(tensor.into_primitive()));
        let epsilon = epsilon as f32;
        let output = layer_norm(input.storage(), weight.storage(), bias.storage(), epsilon);
        let output = tensor(output, input.layout().shape().clone());
        match (LayerNormStep { epsilon }).prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(Saved { input, weight }, output),
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }
}
