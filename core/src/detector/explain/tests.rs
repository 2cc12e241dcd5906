//! The gradients that are written down, and how maps grow.

use burn::prelude::*;

use super::EvidenceMap;
use crate::layers::{Head, HeadKind};
use crate::ops::testing::tensor;
use crate::weights::{Loader, Seeded};

#[test]
fn a_heads_margin_has_the_gradient_that_burn_finds() {
    for kind in [HeadKind::OneLayer, HeadKind::TwoLayers] {
        let device = Device::flex();
        let head = Head::load(&mut Loader::new(&mut Seeded::new(3), &device), 24, kind).expect("a head");
        let (features, _) = tensor::<2>([5, 24], 4);
        let found: Vec<f32> = head.margin_gradient(features.clone()).into_data().try_into_vec().expect("f32");
        let asked = features.autodiff().require_grad();
        let logits = head.forward(asked.clone());
        let gradients = (logits.clone().narrow(1, 1, 1) - logits.narrow(1, 0, 1)).sum().backward();
        let expected: Vec<f32> = asked.grad(&gradients).expect("a gradient").into_data().try_into_vec().expect("f32");
        assert!(expected.iter().any(|value| value.abs() > 1e-3));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{kind}: {found} is not {expected}");
        }
    }
}

#[test]
fn maps_grow_between_the_middles_of_their_squares() {
    let values = [0.0, 1.0, 2.0, 3.0];
    assert_eq!(EvidenceMap::enlarged(&values, 2, 2), values);
    let grown = EvidenceMap::enlarged(&values, 2, 4);
    assert_eq!(grown[..4], [0.0, 0.25, 0.75, 1.0]);
    assert_eq!(grown[12..], [2.0, 2.25, 2.75, 3.0]);
    assert_eq!(EvidenceMap::enlarged(&[5.0], 1, 3), [5.0; 9]);
    assert!(EvidenceMap::enlarged(&[], 0, 2).iter().all(|value| *value == 0.0));
}
