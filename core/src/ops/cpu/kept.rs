//! What is computed of weights once and then kept.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::backend::flex::FlexTensor;

/// Keeps the weights of one layer as the processor's vector instructions read them. Laying them out takes as long as computing
/// a few rows.
///
/// It belongs beside the layer's weights and finds out by itself when they are others: it holds on to the tensors that it
/// was made of, so what they hold cannot change while it does, and compares them with those that it is asked about. Clones keep the same.
#[derive(Clone, Default)]
pub struct KeptLayout(Arc<Mutex<Option<Kept>>>);

struct Kept {
    source: Vec<FlexTensor>,
    layout: Arc<dyn Any + Send + Sync>,
}

impl KeptLayout {
    /// What `make` makes of `source`, made again only where one of these tensors is another one.
    pub(in crate::ops) fn of<T: Any + Send + Sync>(&self, source: &[&FlexTensor], make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(layout) =
            self.kept().as_ref().filter(|kept| kept.is_of(source)).map(|kept| Arc::clone(&kept.layout))
            && let Ok(layout) = layout.downcast()
        {
            return layout;
        }
        // Nothing is locked meanwhile: where the work is shared out, whoever waits for a part of it takes up other work, which
        // may ask for the same layout. Two that ask at once both make it, and one of these stays.
        let layout = Arc::new(make());
        let source = source.iter().map(|tensor| (*tensor).clone()).collect();
        *self.kept() = Some(Kept { source, layout: Arc::<T>::clone(&layout) });
        layout
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        // It is replaced as one, so nothing is left half done where a thread could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_of(&self, source: &[&FlexTensor]) -> bool {
        let is_same = |(kept, asked): (&FlexTensor, &&FlexTensor)| {
            Arc::ptr_eq(&kept.data_arc(), &asked.data_arc()) && is_laid_alike(kept, asked)
        };
        self.source.len() == source.len() && self.source.iter().zip(source).all(is_same)
    }
}

fn is_laid_alike(a: &FlexTensor, b: &FlexTensor) -> bool {
    let (a, b) = (a.layout(), b.layout());
    a.start_offset() == b.start_offset() && a.strides() == b.strides() && a.shape() == b.shape()
}

impl fmt::Debug for KeptLayout {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("KeptLayout")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cpu::flex::tensor;
    use alloc::vec;

    #[test]
    fn the_same_tensors_are_laid_out_once_and_others_again() {
        let kept = KeptLayout::default();
        let made = core::cell::Cell::new(0);
        let ask = |tensors: &[&FlexTensor]| {
            kept.of(tensors, || {
                made.set(made.get() + 1);
                made.get()
            })
        };
        let (weight, bias) = (tensor(vec![1.0, 2.0], [1, 2]), tensor(vec![3.0], [1]));
        assert_eq!((*ask(&[&weight, &bias]), *ask(&[&weight.clone(), &bias.clone()])), (1, 1));
        assert_eq!(*ask(&[&weight]), 2, "without the bias");
        assert_eq!(*ask(&[&weight.reshape([2, 1].into())]), 3, "in another shape");
        assert_eq!(*ask(&[&tensor(vec![1.0, 2.0], [1, 2])]), 4, "with the same numbers elsewhere");
    }

    #[test]
    #[cfg(feature = "threads")]
    fn whoever_makes_a_layout_may_take_up_work_that_asks_for_it() {
        use rayon::prelude::*;
        let (kept, weight) = (KeptLayout::default(), tensor(vec![1.0; 64], [8, 8]));
        // Waiting for the others, a thread takes up another of the tasks below.
        let ask = |_| *kept.of(&[&weight], || (0..64).into_par_iter().sum::<usize>());
        let found: Vec<usize> = (0..256).into_par_iter().map(ask).collect();
        assert!(found.into_iter().all(|sum| sum == 2016));
    }

    #[test]
    fn weights_that_are_written_to_are_others() {
        let kept = KeptLayout::default();
        let mut weight = tensor(vec![1.0, 2.0], [1, 2]);
        let read = |weight: &FlexTensor| *kept.of(&[weight], || weight.storage::<f32>()[0]);
        assert_eq!(read(&weight), 1.0);
        weight.storage_mut::<f32>()[0] = 5.0;
        assert_eq!(read(&weight), 5.0);
    }
}
