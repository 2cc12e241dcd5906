//! Weights taken apart by singular value decomposition, for updates that take the place of their smallest singular values
//! (Yan et al., "Effort", 2025). That takes minutes for a large model, so the parts are kept beside the run (`kept`).

mod kept;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Result, bail};
use nalgebra::DMatrix;
use unmask_core::detector::spec::LowRankSpec;
use unmask_core::weights::{Init, TensorSource, WeightsError, scale_columns};

pub(crate) use kept::Kept;

use crate::progress::Progress;

/// How many steps the decomposition may take for each singular value; two or three are usual.
const STEPS: usize = 100;
/// How soon a request to stop is heard.
const HEARD_WITHIN: Duration = Duration::from_millis(50);

/// The parts of weights, by the names of their layers.
pub(crate) type Parts = BTreeMap<String, Smallest>;

/// A detector's tensors, with updates beside its weights that begin as the parts that they take the place of.
pub(crate) struct Decomposed<S> {
    source: S,
    updates: BTreeMap<String, Vec<f32>>,
}

impl<S: TensorSource> Decomposed<S> {
    /// `source` with the updates that begin as `parts` of its weights.
    pub(crate) fn new(source: S, parts: Parts) -> Self {
        Self { source, updates: parts.into_iter().flat_map(|(layer, part)| part.tensors(&layer)).collect() }
    }

    /// `source`, taken apart here and now.
    #[cfg(test)]
    pub(crate) fn at_once(mut source: S, spec: &LowRankSpec) -> Result<Self> {
        let layers = layers(&source, spec)?;
        let parts = take_apart(&mut source, &layers, spec.rank, &AtomicBool::new(false))?;
        Ok(Self::new(source, parts.unwrap_or_default()))
    }
}

/// The layers of `source` whose weights `spec` takes apart, with the shapes of those.
///
/// # Errors
/// A weight has not as many singular values.
pub(crate) fn layers(source: &dyn TensorSource, spec: &LowRankSpec) -> Result<Vec<(String, [usize; 2])>> {
    let mut layers = Vec::new();
    for name in source.names() {
        let Some(layer) = name.strip_suffix(".weight").filter(|layer| spec.changes(layer)) else { continue };
        let Some(&[outputs, inputs]) = source.shape(&name).as_deref() else { continue };
        if spec.rank > outputs.min(inputs) {
            bail!(
                "has the weight {name} of {outputs} x {inputs}, of which {} singular values cannot be trained; lower \
                 model.effort.residual, or leave the layer out of model.effort.targets",
                spec.rank
            );
        }
        layers.push((layer.to_owned(), [outputs, inputs]));
    }
    Ok(layers)
}

/// Takes the weights of `layers` apart, as many at a time as there are threads, each in one thread, so that the same weights
/// give the same parts again. `None` where `stop` was set: what is begun then is left to end by itself.
///
/// # Errors
/// A weight cannot be read, or its singular values cannot be found.
pub(crate) fn take_apart(
    source: &mut dyn TensorSource,
    layers: &[(String, [usize; 2])],
    rank: usize,
    stop: &AtomicBool,
) -> Result<Option<Parts>> {
    let mut parts = Parts::new();
    let progress = Progress::new(layers.len(), "weights taken apart");
    for layers in layers.chunks(rayon::current_num_threads()) {
        let (sender, receiver) = mpsc::channel();
        for (layer, shape) in layers {
            let weight = source.read(&format!("{layer}.weight"), shape, Init::Zeros)?;
            let (sender, layer, shape) = (sender.clone(), layer.clone(), *shape);
            rayon::spawn(move || {
                let part = Smallest::of(&layer, &weight, shape, rank);
                // Whoever was asked to stop does not wait for it.
                let _ = sender.send((layer, part));
            });
        }
        drop(sender);
        loop {
            let found = receiver.recv_timeout(HEARD_WITHIN);
            if stop.load(Ordering::Relaxed) {
                progress.finish();
                return Ok(None);
            }
            match found {
                Ok((layer, part)) => drop(parts.insert(layer, part?)),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            }
            progress.step();
        }
    }
    progress.finish();
    Ok(Some(parts))
}

impl<S: TensorSource> TensorSource for Decomposed<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        match self.updates.get(name) {
            Some(values) => Ok(values.clone()),
            None => self.source.read(name, shape, init),
        }
    }

    fn names(&self) -> Vec<String> {
        self.source.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(name)
    }
}

/// The smallest singular values of a weight, largest first, with their vectors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Smallest {
    /// `[outputs, rank]`
    up: Vec<f32>,
    /// `[rank]`
    values: Vec<f32>,
    /// `[rank, inputs]`
    down: Vec<f32>,
}

impl Smallest {
    /// Those of `weight`, of which there are `rank` at least.
    fn of(layer: &str, weight: &[f32], [outputs, inputs]: [usize; 2], rank: usize) -> Result<Self> {
        let weight = DMatrix::from_row_iterator(outputs, inputs, weight.iter().copied().map(f64::from));
        let found = weight
            .try_svd(true, true, f64::EPSILON, STEPS * outputs.min(inputs))
            .map(|svd| (svd.u, svd.singular_values, svd.v_t));
        let Some((Some(left), values, Some(right))) = found else {
            bail!("has the weight {layer}.weight, whose singular values cannot be found; choose another strategy")
        };
        // Columns lie one after the other here, so a transposed matrix has the rows of the other in order.
        let first = outputs.min(inputs) - rank;
        let in_rows = |transposed: DMatrix<f64>| transposed.iter().map(|value| *value as f32).collect();
        Ok(Self {
            up: in_rows(left.columns(first, rank).transpose()),
            values: values.rows(first, rank).iter().map(|value| *value as f32).collect(),
            down: in_rows(right.rows(first, rank).transpose()),
        })
    }

    /// The tensors of the update of `layer`, by their names.
    fn tensors(self, layer: &str) -> [(String, Vec<f32>); 5] {
        let mut replaced_up = self.up.clone();
        scale_columns(&mut replaced_up, &self.values);
        [
            ("residual.replaced_up", replaced_up),
            ("residual.replaced_down", self.down.clone()),
            ("residual.values", self.values),
            ("down", self.down),
            ("up", self.up),
        ]
        .map(|(part, values)| (LowRankSpec::part(layer, part), values))
    }
}

#[cfg(test)]
mod tests {
    use unmask_core::weights::Seeded;

    use super::*;

    /// One layer, whose weight is of this shape and random.
    struct Layer([usize; 2]);

    impl TensorSource for Layer {
        fn read(&mut self, name: &str, shape: &[usize], _: Init) -> Result<Vec<f32>, WeightsError> {
            Seeded::new(3).read(name, shape, Init::Normal(0.5))
        }

        fn names(&self) -> Vec<String> {
            ["query.weight", "query.bias", "value.weight"].map(String::from).into()
        }

        fn shape(&self, _: &str) -> Option<Vec<usize>> {
            Some(self.0.into())
        }
    }

    fn parts(shape: [usize; 2], rank: usize) -> Result<Parts> {
        let mut source = Layer(shape);
        let layers = layers(&source, &spec(rank))?;
        Ok(take_apart(&mut source, &layers, rank, &AtomicBool::new(false))?.expect("nobody stopped it"))
    }

    fn spec(rank: usize) -> LowRankSpec {
        LowRankSpec { rank, alpha: rank as f32, targets: vec!["query".into()], residual: true }
    }

    /// `a · b` of matrices `[rows, inner]` and `[inner, columns]`.
    fn product(a: &[f32], b: &[f32], inner: usize, columns: usize) -> Vec<f64> {
        let entry = |row: &[f32], column: usize| {
            (0..inner).map(|k| f64::from(row[k]) * f64::from(b[k * columns + column])).sum::<f64>()
        };
        a.chunks_exact(inner).flat_map(|row| (0..columns).map(move |column| entry(row, column))).collect()
    }

    #[test]
    fn the_parts_are_singular_vectors_and_the_values_are_the_smallest() {
        for [outputs, inputs] in [[9, 6], [6, 9], [7, 7]] {
            let rank = 2;
            let mut parts = Decomposed::new(Layer([outputs, inputs]), parts([outputs, inputs], rank).unwrap());
            assert_eq!(parts.updates.len(), 5, "only the layer that is named");
            let mut read = |name: &str, shape: &[usize]| parts.read(name, shape, Init::Zeros).unwrap();
            let weight = read("query.weight", &[outputs, inputs]);
            let up = read("query.low_rank.up", &[outputs, rank]);
            let down = read("query.low_rank.down", &[rank, inputs]);
            let values = read("query.low_rank.residual.values", &[rank]);
            assert!(values[0] >= values[1] && values[1] >= 0.0, "{values:?}");
            // W v = s u for each pair of vectors, which have the length 1.
            let transposed: Vec<f32> = (0..inputs * rank).map(|i| down[i % rank * inputs + i / rank]).collect();
            for (index, found) in product(&weight, &transposed, inputs, rank).into_iter().enumerate() {
                assert!((found - f64::from(up[index] * values[index % rank])).abs() < 1e-5);
            }
            for row in down.chunks_exact(inputs) {
                assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
            }
            // No direction is shortened more than the last.
            let replaced_up = read("query.low_rank.residual.replaced_up", &[outputs, rank]);
            let left = product(&replaced_up, &down, rank, inputs);
            let squares = |values: Vec<f64>| values.iter().map(|v| v * v).sum::<f64>();
            assert!((squares(left) - f64::from(values[0].powi(2) + values[1].powi(2))).abs() < 1e-4);
        }
    }

    #[test]
    fn the_same_weight_gives_the_same_parts_to_the_bit() {
        assert_eq!(parts([40, 50], 3).unwrap(), parts([40, 50], 3).unwrap());
    }

    #[test]
    fn who_is_asked_to_stop_does_not_wait_for_the_weights() {
        let mut source = Layer([600, 600]);
        let layers = layers(&source, &spec(1)).unwrap();
        let begun = std::time::Instant::now();
        assert!(take_apart(&mut source, &layers, 1, &AtomicBool::new(true)).unwrap().is_none());
        let (stopped, begun) = (begun.elapsed(), std::time::Instant::now());
        parts([600, 600], 1).unwrap();
        assert!(stopped < begun.elapsed(), "{stopped:?} is as long as it takes");
    }

    #[test]
    fn more_values_than_a_weight_has_are_refused_by_its_name() {
        let refusal = layers(&Layer([9, 6]), &spec(7)).unwrap_err().to_string();
        assert!(refusal.contains("query.weight of 9 x 6") && refusal.contains("model.effort.residual"), "{refusal}");
        assert!(layers(&Layer([9, 6]), &spec(6)).is_ok());
    }
}
