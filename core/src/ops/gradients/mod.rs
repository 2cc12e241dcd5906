//! What transformers are made of where gradients are asked for, on CPUs: burn's autodiff around bodies of our own.
//!
//! Each operation remembers what its gradients are computed of, and of that only what somebody asks for: a weight that is not
//! trained costs neither memory nor a product. What has another type than f32 goes by the bodies in burn's operations.

mod attention;
mod layer_norm;
mod linear;
#[cfg(test)]
mod tests;

use alloc::vec;
use alloc::vec::Vec;
use core::any::TypeId;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::NodeGuard;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, DType, Flex, Shape, TensorMetadata};

use super::cpu::flex::tensor;

/// A tensor of `Autodiff<Flex>`.
type Tracked<C> = FloatTensor<Autodiff<Flex, C>>;

/// Whether gradients come with checkpointing: burn then computes anew what takes little, to keep less. It does so of its own
/// operations, so activations and norms are those.
fn computes_anew<C: CheckpointStrategy>() -> bool {
    TypeId::of::<C>() == TypeId::of::<BalancedCheckpointing>()
}

/// Whether all of these are f32.
fn are_f32<'a, C: CheckpointStrategy>(tensors: impl IntoIterator<Item = &'a Tracked<C>>) -> bool {
    tensors.into_iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// The node and the numbers of an input that may be absent; one that asks for nothing then stands in its place.
fn apart<C: CheckpointStrategy>(tensor: Option<Tracked<C>>) -> (NodeGuard, Option<FlexTensor>) {
    match tensor {
        Some(tensor) => {
            let (primitive, node) = tensor.into_parts();
            (node, Some(primitive))
        }
        None => (Autodiff::<Flex, C>::from_inner(self::tensor(vec![0.0], [1])).node(), None),
    }
}

/// Gives an input its gradient, where it asks for one.
fn register(gradients: &mut Gradients, node: Option<NodeId>, values: Vec<f32>, shape: impl Into<Shape>) {
    if let Some(node) = node {
        gradients.register::<Flex>(node, tensor(values, shape));
    }
}
