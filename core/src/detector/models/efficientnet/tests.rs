//! Facts about the network that need no trained weights.

use alloc::string::String;
use alloc::vec::Vec;

use burn::prelude::*;

use super::*;
use crate::detector::{Architecture, Group, Model, Sizes, Strategy, is_statistic, parameters};
use crate::layers::HeadKind;
use crate::ops::testing::tensor;
use crate::weights::Seeded;

fn tiny() -> EfficientNetConfig {
    let stage = |repeats, kernel, stride, expansion, channels| Stage { repeats, kernel, stride, expansion, channels };
    let stages = [stage(1, 3, 1, 1, 4), stage(2, 5, 2, 2, 6)];
    EfficientNetConfig {
        image_size: 20,
        stem: 8,
        stages: stages.to_vec(),
        width: 16,
        ..EfficientNetConfig::lite0(HeadKind::OneLayer)
    }
}

fn model(config: EfficientNetConfig) -> Model {
    Model::load(&Architecture::EfficientNet(config), &mut Seeded::new(3), &Device::flex()).expect("loads")
}

#[test]
fn lite0_has_the_parameters_and_the_operations_of_the_paper() {
    let config = EfficientNetConfig::lite0(HeadKind::OneLayer);
    let sizes = parameters(&model(config.clone()));
    let count = |keep: &dyn Fn(&str) -> bool| -> usize {
        sizes.iter().filter(|(name, _)| keep(name)).map(|(_, shape)| shape.iter().product::<usize>()).sum()
    };
    // 4,652,008 with the 1000 classes of ImageNet, whose layer has 1,281,000.
    let head = 1280 * 2 + 2;
    assert_eq!(count(&|name| !is_statistic(name)), 4_652_008 - 1_281_000 + head);
    assert_eq!(count(&|name| Strategy::Full.trains(Group::by_name(name))), count(&|name| !is_statistic(name)));
    assert_eq!(count(&|name| Strategy::Head.trains(Group::by_name(name))), head);
    assert_eq!(count(&|name| Strategy::LayerNorm.trains(Group::by_name(name))), count(&is_statistic) + head);
    // The published 407 million multiply-adds count the batch norms and the classifier too.
    let millions = config.flops() / 2_000_000;
    assert!((380..=407).contains(&millions), "{millions}");
}

#[test]
fn features_and_logits_have_their_shapes_and_each_image_scores_as_it_does_alone() {
    let model = model(tiny());
    let (pixels, _) = tensor([3, 1, 3, 20, 20], 5);
    let together = model.forward(pixels.clone());
    assert_eq!((together.features.dims(), together.logits.dims()), ([3, 16], [3, 2]));
    let together: Vec<f32> = together.logits.into_data().try_into_vec().expect("f32");
    for index in 0..3 {
        let alone: Vec<f32> =
            model.forward(pixels.clone().narrow(0, index, 1)).logits.into_data().try_into_vec().expect("f32");
        assert!(alone.iter().zip(&together[2 * index..]).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn impossible_sizes_are_refused_before_anything_is_loaded() {
    let changes: [fn(&mut EfficientNetConfig); 6] = [
        |c| c.image_size = 0,
        |c| c.stages.clear(),
        |c| c.stages[0].kernel = 4,
        |c| c.stages[1].repeats = usize::MAX,
        |c| c.stages[1].expansion = 0,
        |c| c.width = usize::MAX,
    ];
    for change in changes {
        let mut config = tiny();
        change(&mut config);
        let problem: Result<(), String> = config.check();
        assert!(problem.is_err(), "{config:?}");
    }
}
