//! The learning rate of each optimizer step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate changes over the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleRecipe {
    /// Which course it takes.
    pub kind: ScheduleKind,
    /// Where the cosine ends.
    pub minimum: f64,
    /// Steps over which the rate first rises from zero.
    pub warm_up_steps: usize,
    /// Epochs from one restart to the next, for `restarts`.
    pub period_epochs: usize,
}

/// The schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// The same rate throughout.
    Constant,
    /// Half a cosine from the learning rate to the minimum.
    Cosine,
    /// That again and again (Loshchilov and Hutter, "SGDR", 2017).
    Restarts,
}

impl Default for ScheduleRecipe {
    fn default() -> Self {
        Self { kind: ScheduleKind::Cosine, minimum: 5e-5, warm_up_steps: 0, period_epochs: 10 }
    }
}

/// The learning rate over a run.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    recipe: ScheduleRecipe,
    peak: f64,
    steps_per_epoch: usize,
    total_steps: usize,
}

impl Schedule {
    /// The schedule of a run of `epochs` whose highest rate is `peak`.
    pub(super) fn new(recipe: &ScheduleRecipe, peak: f64, steps_per_epoch: usize, epochs: usize) -> Self {
        Self { recipe: recipe.clone(), peak, steps_per_epoch, total_steps: steps_per_epoch * epochs }
    }

    /// The rate of step `step`, counted from 0.
    ///
    /// Warm-up: `peak * (step + 1) / warm_up_steps`. After it a cosine over the steps `0..span`, as PyTorch's
    /// `CosineAnnealingLR` stepped after each batch: `minimum + (peak - minimum) * (1 + cos(π * step / span)) / 2`.
    pub(super) fn rate(&self, step: usize) -> f64 {
        let warm_up = self.recipe.warm_up_steps;
        if step < warm_up {
            return self.peak * (step + 1) as f64 / warm_up as f64;
        }
        let step = step - warm_up;
        let cosine = |step: usize, span: usize| {
            let part = step as f64 / span.max(1) as f64;
            self.recipe.minimum + (self.peak - self.recipe.minimum) * (1.0 + (PI * part).cos()) / 2.0
        };
        match self.recipe.kind {
            ScheduleKind::Constant => self.peak,
            ScheduleKind::Cosine => cosine(step, self.total_steps.saturating_sub(warm_up)),
            ScheduleKind::Restarts => {
                let span = (self.recipe.period_epochs * self.steps_per_epoch).max(1);
                cosine(step % span, span)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind, warm_up_steps: usize) -> Schedule {
        let recipe = ScheduleRecipe { kind, minimum: 0.1, warm_up_steps, period_epochs: 2 };
        Schedule::new(&recipe, 1.0, 5, 4)
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn the_cosine_falls_from_the_peak_to_the_minimum() {
        let schedule = schedule(ScheduleKind::Cosine, 0);
        assert_near(schedule.rate(0), 1.0);
        assert_near(schedule.rate(10), 0.55);
        assert_near(schedule.rate(20), 0.1);
    }

    #[test]
    fn restarts_begin_again_after_each_period() {
        let schedule = schedule(ScheduleKind::Restarts, 0);
        assert_near(schedule.rate(5), 0.55);
        assert_near(schedule.rate(10), 1.0);
        assert_near(schedule.rate(15), 0.55);
    }

    #[test]
    fn warm_up_rises_in_equal_steps_and_the_rest_follows() {
        let schedule = schedule(ScheduleKind::Constant, 4);
        let rates: Vec<f64> = (0..6).map(|step| schedule.rate(step)).collect();
        assert_eq!(rates, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
    }
}
