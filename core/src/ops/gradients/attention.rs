//! Attention with its gradients.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

use super::{are_f32, register};
use crate::ops::attention::{FusedAttention, composed};
use crate::ops::cpu::attention::Attention;
use crate::ops::cpu::buffers::put_back_tensors;
use crate::ops::cpu::flex::{contiguous, dims, tensor};
use crate::ops::extension::Optional;

/// What attention remembers for its gradients, and computes with.
#[derive(Clone, Debug)]
struct Saved {
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    bias: Option<FlexTensor>,
    heads: usize,
}

impl Saved {
    fn attention(&self) -> Attention<'_> {
        let ([batch, queries, width], [_, keys, _]) = (dims(&self.query), dims(&self.key));
        Attention {
            query: self.query.storage(),
            key: self.key.storage(),
            value: self.value.storage(),
            bias: self.bias.as_ref().map(|bias| bias.storage()),
            batch,
            queries,
            keys,
            width,
            heads: self.heads,
        }
    }
}

#[derive(Debug)]
struct AttentionStep;

impl Backward<Flex, 3> for AttentionStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let saved = ops.state;
        let gradient = contiguous(gradients.consume::<Flex>(&ops.node));
        let found = saved.attention().gradients(gradient.storage());
        let Saved { query, key, value, .. } = saved;
        for ((parent, values), of) in ops.parents.into_iter().zip(found).zip([&query, &key, &value]) {
            register(gradients, parent.map(|parent| parent.id), values, of.layout().shape().clone());
        }
        put_back_tensors([gradient, query, key, value]);
    }
}

impl<C: CheckpointStrategy> FusedAttention for Autodiff<Flex, C> {
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        heads: usize,
        bias: Optional<Self>,
    ) -> FloatTensor<Self> {
        let bias = bias.given();
        // A bias that is trained is seldom worth a body of its own.
        let is_served = are_f32::<C>([&query, &key, &value].into_iter().chain(&bias))
            && bias.as_ref().is_none_or(|bias| !bias.is_tracked())
            && dims::<3>(key.primitive())[1] > 0;
        if !is_served {
            return composed::<Self>(query, key, value, heads, Optional::of(bias));
        }
        let nodes = [query.node(), key.node(), value.node()];
        let [query, key, value] = [query, key, value].map(|tensor| contiguous(tensor.into_primitive()));
        let bias = bias.map(|bias| contiguous(bias.into_primitive()));
        let saved = Saved { query, key, value, bias, heads };
        let output = tensor(saved.attention().forward(), saved.query.layout().shape().clone());
        match AttentionStep.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(saved, output),
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }
}
