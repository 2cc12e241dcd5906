//! What training minimises. Formulas as in PyTorch and in GenD (github.com/yermandy/GenD, `src/losses/unifalign.py`;
//! Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
//! Hypersphere", 2020).

use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use unmask_core::detector::Output;

use super::recipe::LossRecipe;
use crate::datasets::Label;

/// The mean that the logarithm of the uniformity loss is at least taken of.
const LEAST_MEAN: f64 = 1e-6;

/// The weighted sum of the parts that the recipe asks for, `[1]`.
pub(super) fn loss(recipe: &LossRecipe, output: &Output, labels: &[Label]) -> Tensor<1> {
    let smoothing = recipe.label_smoothing as f32;
    let mut total = cross_entropy(output.logits.clone(), labels, smoothing) * recipe.cross_entropy;
    if recipe.uniformity > 0.0 && labels.len() > 1 {
        total = total + uniformity(output.features.clone()) * recipe.uniformity;
    }
    if recipe.alignment > 0.0
        && let Some(alignment) = alignment(output.features.clone(), labels)
    {
        total = total + alignment * recipe.alignment;
    }
    for view in &output.views {
        total = total + cross_entropy(view.clone(), labels, smoothing) * recipe.views;
    }
    for (name, penalty) in &output.penalties {
        if let Some(weight) = recipe.penalties.get(*name) {
            total = total + penalty.clone() * *weight;
        }
    }
    total
}

/// Mean of `-Σ target · log softmax(logits)`, `[1]`, of logits `[n, 2]`. The target has `1 - smoothing / 2` for the label and
/// `smoothing / 2` for the other (Szegedy et al., "Rethinking the Inception Architecture", 2016).
fn cross_entropy(logits: Tensor<2>, labels: &[Label], smoothing: f32) -> Tensor<1> {
    let device = logits.device().without_autodiff();
    let targets: Vec<f32> =
        labels.iter().flat_map(|label| one_hot(*label)).map(|hot| hot * (1.0 - smoothing) + smoothing / 2.0).collect();
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [labels.len(), 2]), &device);
    (log_softmax(logits, 1) * targets).sum().neg() / labels.len() as f64
}

fn one_hot(label: Label) -> [f32; 2] {
    match label {
        Label::Real => [1.0, 0.0],
        Label::Fake => [0.0, 1.0],
    }
}

/// `log(max(mean over pairs i < j of exp(-2 ‖xi - xj‖²), 1e-6))`, `[1]`, of features `[n, d]`, n at least 2.
fn uniformity(features: Tensor<2>) -> Tensor<1> {
    let count = features.dims()[0];
    let device = features.device().without_autodiff();
    let weights = pair_weights(count, |_, _| true, &device);
    let pairs = (count * (count - 1) / 2) as f64;
    let mean = ((squared_distances(features) * -2.0).exp() * weights).sum() / pairs;
    mean.clamp_min(LEAST_MEAN).log()
}

/// Mean of `‖xi - xj‖²` over pairs i < j of the same label, `[1]`; none where there is no such pair.
fn alignment(features: Tensor<2>, labels: &[Label]) -> Option<Tensor<1>> {
    let count = labels.len();
    let same = |i: usize, j: usize| labels[i] == labels[j];
    let pairs = (0..count).map(|i| (i + 1..count).filter(|j| same(i, *j)).count()).sum::<usize>();
    if pairs == 0 {
        return None;
    }
    let device = features.device().without_autodiff();
    let weights = pair_weights(count, same, &device);
    Some((squared_distances(features) * weights).sum() / pairs as f64)
}

/// `‖xi - xj‖²`, `[n, n]`.
fn squared_distances(features: Tensor<2>) -> Tensor<2> {
    let [count, width] = features.dims();
    let differences: Tensor<3> = features.clone().reshape([count, 1, width]) - features.reshape([1, count, width]);
    (differences.clone() * differences).sum_dim(2).reshape([count, count])
}

/// 1 for each pair i < j that `counts`, else 0; `[n, n]`.
fn pair_weights(count: usize, counts: impl Fn(usize, usize) -> bool, device: &Device) -> Tensor<2> {
    let weight = |index: usize| {
        let (i, j) = (index / count, index % count);
        if i < j && counts(i, j) { 1.0f32 } else { 0.0 }
    };
    let weights: Vec<f32> = (0..count * count).map(weight).collect();
    Tensor::from_data(TensorData::new(weights, [count, count]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(rows: &[[f32; 2]]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), 2]), &Device::flex())
    }

    fn assert_near(found: Tensor<1>, expected: f64) {
        let found = f64::from(found.into_scalar::<f32>());
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }

    const ROWS: [[f32; 2]; 5] = [
        [1.0, 0.0],
        [1.0, 0.0],
        [std::f32::consts::FRAC_1_SQRT_2, std::f32::consts::FRAC_1_SQRT_2],
        [0.0, 1.0],
        [0.0, 1.0],
    ];
    const LABELS: [Label; 5] = [Label::Real, Label::Real, Label::Real, Label::Fake, Label::Fake];

    #[test]
    fn cross_entropy_is_the_mean_negative_log_likelihood() {
        let loss = cross_entropy(features(&[[2.0, 0.0], [0.0, 1.0]]), &[Label::Real, Label::Fake], 0.0);
        assert_near(loss, ((1.0f64 + (-2.0f64).exp()).ln() + (1.0 + (-1.0f64).exp()).ln()) / 2.0);
    }

    #[test]
    fn smoothing_asks_for_a_part_of_the_other_class() {
        // PyTorch: F.cross_entropy(tensor([[2., 0.], [0., 1.]]), tensor([0, 1]), label_smoothing=0.1).
        let loss = cross_entropy(features(&[[2.0, 0.0], [0.0, 1.0]]), &[Label::Real, Label::Fake], 0.1);
        assert_near(loss, 0.295_094_849_3);
    }

    #[test]
    fn uniformity_equals_the_formula_written_out() {
        let near = 2.0 - 2.0f64.sqrt();
        // Two pairs coincide, four are an eighth of a turn apart, four a quarter.
        let mean = (2.0 + 4.0 * (-2.0 * near).exp() + 4.0 * (-4.0f64).exp()) / 10.0;
        assert_near(uniformity(features(&ROWS)), mean.ln());
        // Opposite points are so far apart that the mean is clamped from below only beyond what unit vectors reach.
        assert_near(uniformity(features(&[[3.0, 0.0], [-3.0, 0.0]])), LEAST_MEAN.ln());
    }

    #[test]
    fn alignment_is_the_mean_squared_distance_of_equal_labels() {
        let near = 2.0 - 2.0f64.sqrt();
        let found = alignment(features(&ROWS), &LABELS).unwrap();
        // Real: 0, near, near; fake: 0.
        assert_near(found, 2.0 * near / 4.0);
        assert!(alignment(features(&ROWS[..2]), &[Label::Real, Label::Fake]).is_none());
    }
}
