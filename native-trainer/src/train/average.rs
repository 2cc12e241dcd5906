//! The running average of the weights, which answers better and more evenly than the weights of any one step (Polyak and
//! Juditsky, 1992).

use super::parameters::Named;

/// Steps after which the average is as slow as it was asked to be, as timm and TensorFlow warm theirs up.
const WARM_UP: f64 = 10.0;

/// A running average of values by name.
pub(super) struct Average {
    /// What of it a step keeps, in the end.
    decay: f64,
    values: Named,
}

impl Average {
    /// An average that begins at `values`.
    pub(super) fn new(decay: f64, values: Named) -> Self {
        Self { decay, values }
    }

    /// Takes in the values after step `step`, counted from 0. It keeps `min(decay, (1 + step) / (10 + step))` of itself, so that
    /// what the run began with is forgotten soon.
    pub(super) fn follow(&mut self, values: Named, step: usize) {
        let step = step as f64;
        let kept = self.decay.min((1.0 + step) / (WARM_UP + step));
        for (name, value) in values {
            let next = match self.values.remove(&name) {
                Some(average) => average * kept + value * (1.0 - kept),
                None => value,
            };
            self.values.insert(name, next);
        }
    }

    /// The average.
    pub(super) fn values(&self) -> Named {
        self.values.clone()
    }

    /// Goes on from a stored average.
    pub(super) fn restore(&mut self, values: Named) {
        self.values = values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::prelude::*;

    fn named(value: f32) -> Named {
        Named::from([("w".to_owned(), Tensor::from_data(TensorData::new(vec![value], [1]), &Device::flex()))])
    }

    fn value(average: &Average) -> f32 {
        average.values()["w"].clone().into_scalar::<f32>()
    }

    #[test]
    fn an_average_keeps_a_tenth_at_first_and_its_decay_in_the_end() {
        let mut average = Average::new(0.75, named(8.0));
        average.follow(named(0.0), 0);
        assert!((value(&average) - 0.8).abs() < 1e-6);
        average.restore(named(8.0));
        average.follow(named(0.0), 1000);
        assert!((value(&average) - 6.0).abs() < 1e-6);
    }
}
