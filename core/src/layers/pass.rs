//! What a forward pass is for: training or not, and what is to be kept of it.

use alloc::vec::Vec;

use burn::prelude::*;

use crate::ops::Moments;

/// What goes through all layers of a forward pass beside the activations.
#[derive(Default)]
pub struct Pass<'a> {
    chance: Option<Chance<'a>>,
    moments: Option<&'a mut Vec<Moments>>,
    taps: Option<&'a mut Taps>,
}

/// What a training step is random by, and what is known of its clips.
///
/// Every choice is a function of uniform numbers, drawn in the order of the forward pass: the same numbers make the same step.
pub struct Chance<'a> {
    uniform: &'a mut dyn FnMut() -> f32,
    labels: &'a [usize],
}

/// What explanations are made of: what a forward pass went through, and what its answer's gradients are asked by.
#[derive(Debug)]
pub struct Taps {
    kind: TapKind,
    /// The device of probes, which is differentiated; none where nobody asks for gradients.
    #[cfg(feature = "autodiff")]
    probed: Option<Device>,
    /// Of [`TapKind::Attention`]: the attention of each layer in the order of the forward pass, `[n, heads, K, L]`: rows attend to
    /// columns and sum to 1.
    pub attention: Vec<Tapped>,
    /// Of [`TapKind::Maps`]: the last feature maps before pooling, channels last: `[n, rows, columns, d]`.
    pub maps: Option<Tensor<4>>,
}

/// What is to be kept of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapKind {
    /// Who attends to whom.
    Attention,
    /// The last feature maps.
    Maps,
}

/// The attention of a layer.
#[derive(Debug)]
pub struct Tapped {
    /// What it was.
    pub values: Tensor<4>,
    /// Zeros that were added to it, whose gradient is its own: burn keeps gradients of leaves alone.
    #[cfg(feature = "autodiff")]
    pub probe: Option<Tensor<4>>,
}

impl Taps {
    /// To keep values of this kind.
    pub fn new(kind: TapKind) -> Self {
        Self {
            kind,
            #[cfg(feature = "autodiff")]
            probed: None,
            attention: Vec::new(),
            maps: None,
        }
    }

    /// To keep attention with what its gradients are read by. Everything that follows the first of it is differentiated.
    #[cfg(feature = "autodiff")]
    pub fn probing_attention(device: &Device) -> Self {
        Self { probed: Some(device.clone().autodiff()), ..Self::new(TapKind::Attention) }
    }

    /// The attention of a layer, to go on with.
    pub fn keep_attention(&mut self, weights: Tensor<4>) -> Tensor<4> {
        let (tapped, weights) = self.tapped(weights);
        self.attention.push(tapped);
        weights
    }

    #[cfg(feature = "autodiff")]
    fn tapped(&self, values: Tensor<4>) -> (Tapped, Tensor<4>) {
        let Some(device) = &self.probed else { return (Tapped { values: values.clone(), probe: None }, values) };
        let probe = Tensor::<4>::zeros(values.dims(), (device, values.dtype())).require_grad();
        let plain = values.clone().without_autodiff();
        (Tapped { values: plain, probe: Some(probe.clone()) }, values + probe)
    }

    #[cfg(not(feature = "autodiff"))]
    fn tapped(&self, values: Tensor<4>) -> (Tapped, Tensor<4>) {
        (Tapped { values: values.clone() }, values)
    }
}

impl<'a> Pass<'a> {
    /// To score: nothing is random, batch norms use the statistics of the file, and nothing is kept.
    pub fn scoring() -> Self {
        Self::default()
    }

    /// To learn from.
    pub fn training(chance: Chance<'a>) -> Self {
        Self { chance: Some(chance), ..Self::default() }
    }

    /// With batch norms that use the statistics of the batch and add them to `moments`, in the order of the model.
    #[must_use]
    pub fn by_batch(self, moments: &'a mut Vec<Moments>) -> Self {
        Self { moments: Some(moments), ..self }
    }

    /// Keeping in `taps` what explanations need.
    #[must_use]
    pub fn tapped(self, taps: &'a mut Taps) -> Self {
        Self { taps: Some(taps), ..self }
    }

    /// What is random, in training.
    pub fn chance(&mut self) -> Option<&mut Chance<'a>> {
        self.chance.as_mut()
    }

    /// Where batch norms leave the statistics of the batch, if they are to use those.
    pub fn moments(&mut self) -> Option<&mut Vec<Moments>> {
        self.moments.as_deref_mut()
    }

    /// Where to keep what explanations of this kind need, if they are asked for.
    pub fn taps(&mut self, kind: TapKind) -> Option<&mut Taps> {
        self.taps.as_deref_mut().filter(|taps| taps.kind == kind)
    }

    /// The last feature maps, kept where they are asked for, to go on with.
    pub fn through_maps(&mut self, maps: Tensor<4>) -> Tensor<4> {
        if let Some(taps) = self.taps(TapKind::Maps) {
            taps.maps = Some(maps.clone());
        }
        maps
    }
}

impl<'a> Chance<'a> {
    /// Chance that takes numbers uniform in 0..1 from `uniform`, for clips of these labels (0 real, 1 fake).
    pub fn new(uniform: &'a mut dyn FnMut() -> f32, labels: &'a [usize]) -> Self {
        Self { uniform, labels }
    }

    /// The next number, uniform in 0..1.
    pub fn uniform(&mut self) -> f32 {
        (self.uniform)()
    }

    /// The next number, uniform in 0..`count`.
    ///
    /// # Panics
    /// Where `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        assert!(count > 0, "nothing to choose from");
        ((self.uniform() * count as f32) as usize).min(count - 1)
    }

    /// The numbers 0..`count` in random order (Fisher and Yates, from the end).
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            let chosen = self.below(last + 1);
            order.swap(last, chosen);
        }
        order
    }

    /// The labels of the clips, 0 real and 1 fake; empty where they are not known.
    pub fn labels(&self) -> &'a [usize] {
        self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn permutations_hold_every_number_once_and_all_orders_occur_about_equally_often() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut uniform = || rng.random::<f32>();
        let mut chance = Chance::new(&mut uniform, &[]);
        let mut counts = alloc::collections::BTreeMap::new();
        for _ in 0..6000 {
            *counts.entry(chance.permutation(3)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_number_of_one_does_not_leave_the_range() {
        let mut uniform = || 1.0;
        assert_eq!(Chance::new(&mut uniform, &[]).below(4), 3);
    }
}
