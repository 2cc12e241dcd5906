//! Models whose weights are 8-bit integers.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use burn::prelude::*;

use crate::detector::clip::{ClipConfig, HeadKind};
use crate::detector::efficientnet::EfficientNetConfig;
use crate::detector::{Architecture, Model, for_each_parameter};
use crate::ops::testing::values;
use crate::weights::{Init, MULTIPLIED, Quantizing, STORED, Seeded, TensorSource, Usage};

fn clip() -> Architecture {
    let vit = ClipConfig::vit_b_16(HeadKind::OneLayer);
    Architecture::Clip(ClipConfig { image_size: 32, width: 64, depth: 3, heads: 4, mlp: 256, ..vit })
}

fn integers_of(architecture: &Architecture) -> BTreeMap<String, i8> {
    let listed = architecture.listed().expect("listed").into_iter();
    let largest = |usage| match usage {
        Usage::Product => Some(MULTIPLIED),
        Usage::Kernels => Some(STORED),
        Usage::Other => None,
    };
    listed.filter_map(|tensor| Some((tensor.name, largest(tensor.usage)?))).collect()
}

fn features(architecture: &Architecture, source: &mut dyn TensorSource, device: &Device) -> Vec<f32> {
    let side = architecture.image_size();
    let model = Model::load(architecture, source, device).expect("loads");
    let pixels = TensorData::new(values(6 * 3 * side * side, 8), [6, 1, 3, side, side]);
    model.forward(Tensor::from_data(pixels, device)).features.into_data().try_into_vec().expect("f32")
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn features_of_integers_are_near_those_of_numbers_and_not_the_same() {
    let efficientnet = Architecture::EfficientNet(EfficientNetConfig::lite0(HeadKind::OneLayer));
    for architecture in [clip(), efficientnet] {
        let device = Device::flex();
        let whole = features(&architecture, &mut Seeded::new(1), &device);
        let mut source = Quantizing::new(Seeded::new(1), integers_of(&architecture));
        let near = features(&architecture, &mut source, &device);
        let cosine = cosine(&whole, &near);
        assert!(cosine > 0.999 && cosine < 0.999_999_9, "{cosine}");
    }
}

#[test]
#[cfg(feature = "int8")]
fn only_where_nothing_is_trained_are_integers_multiplied() {
    let architecture = clip();
    let chosen = integers_of(&architecture);
    let mut numbers = Quantizing::new(Seeded::new(1), chosen.clone());
    // The same values, of which no source says that they are integers.
    struct Plain<'a>(&'a mut Quantizing<Seeded>);
    impl TensorSource for Plain<'_> {
        fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, crate::weights::WeightsError> {
            self.0.read(name, shape, init)
        }
        fn names(&self) -> Vec<String> {
            self.0.names()
        }
        fn shape(&self, name: &str) -> Option<Vec<usize>> {
            self.0.shape(name)
        }
    }
    let device = Device::flex();
    let plain = features(&architecture, &mut Plain(&mut numbers), &device);
    let multiplied = features(&architecture, &mut Quantizing::new(Seeded::new(1), chosen.clone()), &device);
    assert!(plain.iter().zip(&multiplied).any(|(a, b)| a != b), "rows of bytes round");
    #[cfg(feature = "autodiff")]
    {
        let trained = features(&architecture, &mut Quantizing::new(Seeded::new(1), chosen), &device.autodiff());
        assert!(plain.iter().zip(&trained).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}

#[test]
fn every_parameter_is_read_as_the_numbers_that_the_integers_stand_for() {
    let architecture = clip();
    let mut source = Quantizing::new(Seeded::new(1), integers_of(&architecture));
    let model = Model::load(&architecture, &mut source, &Device::flex()).expect("loads");
    let mut count = 0;
    for_each_parameter(&model, &mut |name, shape, values| {
        let found: Vec<f32> = values().try_into_vec().expect("f32");
        if name.contains(".mlp.") && name.ends_with(".weight") {
            let expected = source.read(&name, &shape, Init::Normal(1.0 / libm::sqrtf(shape[1] as f32)));
            assert_eq!(found, expected.expect("read"), "{name}");
            count += 1;
        }
    });
    assert_eq!(count, 6);
}
