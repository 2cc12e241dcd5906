//! Each operation of `unmask_core::ops` beside its formula in burn's own operations, at the sizes that models have.
//!
//!     cargo bench --manifest-path benches/operations/Cargo.toml
//!     cargo bench --manifest-path benches/operations/Cargo.toml -- attention
//!
//! `RAYON_NUM_THREADS=1` measures one core. Criterion compares each run with the one before.

extern crate alloc;

use std::hint::black_box;
use std::time::Duration;

use burn::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};
use unmask_core::ops;
use unmask_core::ops::{
    Activation, ChannelAffine, InvertedResidual, KeptLayout, QuantizedWeight, SeparableConvolution, Steps,
};

/// The formulas that tests hold the operations to.
#[allow(dead_code, reason = "those of training are not measured here")]
#[path = "../../core/src/ops/table/formulas.rs"]
mod formulas;

/// Numbers in -0.5..0.5 without a pattern, the same for the same seed.
fn numbers<const D: usize>(shape: [usize; D], seed: u32) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as u32;
    // Knuth's multiplicative hash.
    let number = |index: u32| (index + seed * 7919).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5;
    Tensor::from_data(TensorData::new::<f32, _>((0..count).map(number).collect(), shape), &Device::flex())
}

fn affine(channels: usize, seed: u32) -> ChannelAffine {
    ChannelAffine { scale: numbers([channels], seed), shift: numbers([channels], seed + 1) }
}

/// Measures both; what they give is read, since nothing is computed before.
fn compare<const D: usize>(
    criterion: &mut Criterion,
    name: &str,
    operation: impl Fn() -> Tensor<D>,
    formula: impl Fn() -> Tensor<D>,
) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.bench_function("unmask", |bencher| bencher.iter(|| black_box(operation().into_data())));
    group.bench_function("formula", |bencher| bencher.iter(|| black_box(formula().into_data())));
    group.finish();
}

/// Those of ViT-B/16 on one image.
fn transformers(criterion: &mut Criterion) {
    let (tokens, wide) = (numbers([1, 197, 768], 1), numbers([1, 197, 3072], 2));
    for (name, input, inner, outputs, activation) in [
        ("linear 768 to 3072, QuickGELU", &tokens, 768, 3072, Some(Activation::QuickGelu)),
        ("linear 3072 to 768", &wide, 3072, 768, None),
    ] {
        let (weight, bias, kept) = (numbers([outputs, inner], 3), numbers([outputs], 4), KeptLayout::default());
        let operation = || ops::linear_kept(input.clone(), weight.clone(), Some(bias.clone()), activation, None, &kept);
        let formula =
            || formulas::activation(formulas::linear(input.clone(), weight.clone(), Some(bias.clone())), activation);
        compare(criterion, name, operation, formula);
        let integers: Vec<i8> = (0..inner * outputs).map(|index| (index * 37 % 129) as i8 - 64).collect();
        let Some(integers) = QuantizedWeight::new(&integers, &vec![0.01; outputs], [outputs, inner]) else { continue };
        let operation = || ops::quantized_linear(input.clone(), &integers, Some(bias.clone()), activation, None);
        compare(criterion, &format!("{name}, 8-bit integers"), operation, formula);
    }
    let parts = || [5, 6, 7].map(|seed| numbers([1, 197, 768], seed));
    let attention = || {
        let [query, key, value] = parts();
        ops::attention(query, key, value, 12, None)
    };
    let formula = || {
        let [query, key, value] = parts();
        formulas::attention(query, key, value, 12, None).0
    };
    compare(criterion, "attention of 12 heads, 197 tokens", attention, formula);
    let (weight, bias) = (numbers([768], 8), numbers([768], 9));
    compare(
        criterion,
        "layer norm of 197 × 768",
        || ops::layer_norm(tokens.clone(), weight.clone(), bias.clone(), 1e-5),
        || formulas::layer_norm(tokens.clone(), weight.clone(), bias.clone(), 1e-5),
    );
    let (pixels, weight, kept) = (numbers([1, 3, 224, 224], 10), numbers([768, 3, 16, 16], 11), KeptLayout::default());
    compare(
        criterion,
        "patch embedding of 224 × 224 by 16",
        || ops::patch_embedding_kept(pixels.clone(), weight.clone(), None, &kept),
        || formulas::patch_embedding(pixels.clone(), weight.clone(), None),
    );
}

/// Those of EfficientNets and Xception on one image, sizes as in their middles.
fn convolutions(criterion: &mut Criterion) {
    let relu6 = Some(Activation::Relu6);
    let (maps, kept) = (numbers([1, 40, 40, 24], 20), KeptLayout::default());
    let (weight, steps) = (numbers([64, 24, 3, 3], 21), Steps::same(2));
    compare(
        criterion,
        "convolution 3 × 3, 24 to 64",
        || ops::convolution_kept(maps.clone(), weight.clone(), steps, affine(64, 22), relu6, &kept),
        || formulas::finished(formulas::convolution(maps.clone(), weight.clone(), steps), affine(64, 22), relu6),
    );
    let (maps, weight) = (numbers([1, 40, 40, 144], 23), numbers([24, 144], 24));
    compare(
        criterion,
        "pointwise convolution, 144 to 24",
        || ops::pointwise_convolution(maps.clone(), weight.clone(), affine(24, 25), None),
        || formulas::finished(formulas::pointwise(maps.clone(), weight.clone()), affine(24, 25), None),
    );
    let (filter, kept) = (numbers([144, 1, 5, 5], 26), KeptLayout::default());
    compare(
        criterion,
        "depthwise convolution 5 × 5 of 144",
        || ops::depthwise_convolution_kept(maps.clone(), filter.clone(), Steps::same(1), affine(144, 27), relu6, &kept),
        || {
            let filtered = formulas::depthwise(maps.clone(), filter.clone(), Steps::same(1));
            formulas::finished(filtered, affine(144, 27), relu6)
        },
    );
    let (maps, kept) = (numbers([1, 20, 20, 40], 28), KeptLayout::default());
    let block = || InvertedResidual {
        expand: Some((numbers([240, 40], 29), affine(240, 30))),
        filter: numbers([240, 1, 3, 3], 31),
        filter_affine: affine(240, 32),
        project: numbers([40, 240], 33),
        project_affine: affine(40, 34),
        steps: Steps::same(1),
        activation: Activation::Relu6,
        residual: true,
    };
    let one = block();
    compare(
        criterion,
        "inverted residual, 40 by 240",
        || ops::inverted_residual_kept(maps.clone(), one.clone(), &kept),
        || formulas::inverted_residual(maps.clone(), one.clone()),
    );
    let (maps, kept) = (numbers([1, 16, 16, 728], 35), KeptLayout::default());
    let (filter, project) = (numbers([728, 1, 3, 3], 36), numbers([728, 728], 37));
    let layers = SeparableConvolution {
        filter: filter.clone(),
        neutral: ChannelAffine::neutral(728, &Device::flex()),
        project: project.clone(),
        project_affine: affine(728, 38),
        steps: Steps::same(1),
        activation: None,
    };
    compare(
        criterion,
        "separable convolution of 728",
        || ops::separable_convolution_kept(maps.clone(), layers.clone(), &kept),
        || {
            let filtered = formulas::depthwise(maps.clone(), filter.clone(), Steps::same(1));
            formulas::finished(formulas::pointwise(filtered, project.clone()), affine(728, 38), None)
        },
    );
}

/// What else there is between convolutions.
fn places(criterion: &mut Criterion) {
    let (maps, factors) = (numbers([1, 32, 32, 240], 40), numbers([1, 240], 41));
    compare(
        criterion,
        "means of 240 channels",
        || ops::channel_means(maps.clone()),
        || formulas::channel_means(maps.clone()),
    );
    compare(
        criterion,
        "scaling of 240 channels",
        || ops::scale_channels(maps.clone(), factors.clone()),
        || formulas::scale_channels(maps.clone(), factors.clone()),
    );
    compare(
        criterion,
        "max-pooling 3 × 3 of 240 channels",
        || ops::max_pool(maps.clone(), 3, 2),
        || formulas::max_pool(maps.clone(), 3, 2),
    );
}

criterion_group!(operations, transformers, convolutions, places);
criterion_main!(operations);
