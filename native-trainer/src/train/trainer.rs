//! The run itself: steps, epochs, validations, checkpoints.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::softmax;
use rand::RngExt;
use unmask_core::detector::spec::{AdapterSpec, DetectorSpec};
use unmask_core::detector::{Detector, FrontEnd, Model};
use unmask_core::face::alignment::CropSpec;
use unmask_core::layers::{Chance, Pass};
use unmask_core::metrics::{Ranking, Scored};

use super::average::Average;
use super::best::{Best, auc, average_precision};
use super::checkpoint::{Checkpoint, EpochSoFar, Identity};
use super::checks::{check_classes, check_name, check_penalties, check_strategy};
use super::examples::{Batch, Examples};
use super::losses::loss;
use super::optimizer::Optimizer;
use super::outcome::{Outcome, trained, write_outcome};
use super::parameters;
use super::recipe::{Recipe, StatisticsName, StrategyName};
use super::resume;
use super::schedule::Schedule;
use super::shares;
use super::statistics::Statistics;
use super::watch::{Measure, Watch};
use crate::datasets::{self, Label, LoadOptions, Split, Video};
use crate::detector_file::{self, Source, ToTrain};
use crate::evaluation::calibration::video_scores;
use crate::media::Programs;
use crate::predict::{ClipLogits, predict, stored_crops};
use crate::random::generator;
use crate::twins::{Twins, with_twins};

/// What the command line says beside the recipe.
pub struct Options {
    /// What is trained, and how.
    pub recipe: Recipe,
    /// More data than the recipe names.
    pub data: Vec<PathBuf>,
    /// How data is read.
    pub load: LoadOptions,
    /// Where everything goes.
    pub out: PathBuf,
    /// Whether to go on with what is in there.
    pub resume: bool,
    /// Where it is trained.
    pub device: Device,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs are done and the detector is written.
    Finished,
    /// It was asked to stop; a checkpoint is written.
    Stopped,
}

/// Trains as the options say. `stop` may be set at any time; the run then ends after the current step, or at once where weights
/// are still being taken apart.
pub fn run(options: &Options, stop: &AtomicBool) -> Result<Ended> {
    let Some(mut trainer) = Trainer::new(options, stop)? else { return Ok(Ended::Stopped) };
    match trainer.all_steps(stop)? {
        Ended::Stopped => Ok(Ended::Stopped),
        Ended::Finished => {
            trainer.watch.finish();
            trainer.outcome()?;
            Ok(Ended::Finished)
        }
    }
}

struct Trainer<'a> {
    options: &'a Options,
    recipe: &'a Recipe,
    /// What the detector the run started from says about itself.
    spec: DetectorSpec,
    front_end: FrontEnd,
    start_source: Source,
    start_sha256: String,
    identity: Identity,
    examples: Arc<Examples>,
    validation: Vec<Video>,
    model: Model,
    optimizer: Optimizer,
    /// The running average of everything that training changes, where the recipe asks for one.
    average: Option<Average>,
    schedule: Schedule,
    watch: Watch,
    total_steps: usize,
    steps_per_epoch: usize,
    step: usize,
    best: Option<Best>,
    epoch: EpochSoFar,
}

impl<'a> Trainer<'a> {
    /// `None` where `stop` was set before the first step.
    fn new(options: &'a Options, stop: &AtomicBool) -> Result<Option<Self>> {
        let recipe = &options.recipe;
        recipe.augmentation.video.check(&Programs::from_environment())?;
        let start_source = detector_file::resolve(&recipe.model.start.display().to_string())?;
        let dtype = recipe.run.precision.on(&options.device)?;
        let low_rank = recipe.model.low_rank();
        let start = detector_file::load_whole(&start_source, &options.device)?;
        if !options.resume {
            check_name(&recipe.name, start.detector.spec())?;
        }
        check_strategy(&recipe.model, &start.detector)?;
        check_penalties(&recipe.loss, &start.detector)?;
        let to_train = low_rank.map(|low_rank| ToTrain::new(&start_source, &start, &low_rank)).transpose()?;
        let (training, validation) = load_data(options, &start.detector.spec().crop)?;
        let data = datasets::fingerprint(training.iter().chain(&validation));
        let start_sha256 = start.sha256()?;
        let identity = Identity::new(recipe, start_sha256.clone(), data)?;
        let (spec, model, _) = start.detector.into_parts();
        let front_end = FrontEnd::new(&spec, &options.device, dtype);
        let examples = Arc::new(Examples::new(training, recipe, &spec, &front_end));
        if examples.is_empty() {
            bail!(
                "no real video to train on has a fake of its own beside it; name data that has both, or leave out \
                 data.pairs"
            );
        }
        shares::check(&recipe.data.shares, examples.videos())?;
        let steps_per_epoch = examples.steps_per_epoch();
        if steps_per_epoch == 0 {
            bail!(
                "the training data gives an epoch fewer faces than one batch of {}; name more data with --data, take more \
                 faces of each video with data.frames_per_video, or lower run.batch",
                recipe.run.batch
            );
        }
        let total_steps = steps_per_epoch * recipe.run.epochs;
        std::fs::create_dir_all(&options.out)
            .with_context(|| format!("the folder {} cannot be made", options.out.display()))?;
        let stored = resume::begin(&options.out, options.resume, &identity, &options.device)?;
        // The weights are held here alone: what is trained lies in memory once, and what is not, in `dtype`.
        let (spec, model) = match to_train {
            None => (spec, model),
            Some(to_train) => {
                drop(model);
                let Some(updated) = to_train.load(recipe.seed, &options.out, &options.device, stop)? else {
                    return Ok(None);
                };
                let (spec, model, _) = updated.into_parts();
                (spec, model)
            }
        };
        let trains = |name: &str| spec.architecture.trains(recipe.model.strategy.into(), name);
        let model = parameters::for_training(model, trains, dtype, recipe.run.gradient_checkpointing);
        let step = stored.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let watch = Watch::new(&options.out, step, total_steps, recipe.run.batch)?;
        let schedule =
            Schedule::new(&recipe.schedule, recipe.optimizer.learning_rate, steps_per_epoch, recipe.run.epochs);
        let mut trainer = Self {
            options,
            recipe,
            spec,
            front_end,
            start_source,
            start_sha256,
            identity,
            examples,
            validation: if recipe.data.self_blended.is_all() { with_twins(validation) } else { validation },
            model,
            optimizer: Optimizer::new(&recipe.optimizer),
            average: None,
            schedule,
            watch,
            total_steps,
            steps_per_epoch,
            step,
            best: None,
            epoch: EpochSoFar::default(),
        };
        if dtype == DType::BF16 {
            trainer.watch.say("computing in bf16; what is trained stays in f32");
        }
        if recipe.optimizer.average > 0.0 {
            trainer.average = Some(Average::new(recipe.optimizer.average, trainer.changed()));
        }
        if let Some(stored) = stored {
            trainer.restore(stored);
        }
        Ok(Some(trainer))
    }

    fn restore(&mut self, stored: Checkpoint) {
        self.model = parameters::updated(self.model.clone(), stored.parameters);
        self.optimizer.restore(stored.moments);
        if let (Some(average), Some(values)) = (&mut self.average, stored.average) {
            average.restore(values);
        }
        self.best = stored.best;
        self.epoch = stored.epoch;
        self.watch.say(&format!("going on after step {} of {}", self.step, self.total_steps));
    }

    fn all_steps(&mut self, stop: &AtomicBool) -> Result<Ended> {
        let mut batches = Arc::clone(&self.examples).from_step(self.step, self.total_steps);
        while let Some(batch) = self.watch.waiting(|| batches.next()) {
            self.take_step(&batch?)?;
            if self.step.is_multiple_of(self.steps_per_epoch) {
                self.end_epoch()?;
            } else if self.step.is_multiple_of(self.recipe.run.checkpoint_every) {
                self.checkpoint()?;
            }
            if stop.load(Ordering::Relaxed) && self.step < self.total_steps {
                self.checkpoint()?;
                self.watch.finish();
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Finished)
    }

    /// One optimizer step on one batch, in as many parts as the recipe says.
    fn take_step(&mut self, batch: &Batch) -> Result<()> {
        let parts = self.recipe.run.accumulate;
        let count = batch.labels.len() / parts;
        let mut rng = generator(self.recipe.seed, "drop path", &[self.step as u64]);
        let mut uniform = || rng.random::<f32>();
        let mut gradients = parameters::Named::new();
        let mut total = 0.0;
        let mut statistics = match self.recipe.model.statistics {
            StatisticsName::Stored => None,
            StatisticsName::Batch => Some(Statistics::of(&self.model, self.recipe.model.statistics_momentum)),
        };
        for (part, labels) in batch.labels.chunks(count).enumerate() {
            let pixels = batch.pixels.clone().narrow(0, part * count, count);
            let classes: Vec<usize> = labels.iter().map(|label| usize::from(*label == Label::Fake)).collect();
            let pass = Pass::training(Chance::new(&mut uniform, &classes));
            let output = match &mut statistics {
                None => self.model.forward_in(pixels, &mut { pass }),
                Some(statistics) => {
                    let mut found = Vec::new();
                    let output = self.model.forward_in(pixels, &mut pass.by_batch(&mut found));
                    statistics.follow(found);
                    output
                }
            };
            let loss = loss(&self.recipe.loss, &output, labels) / parts as f64;
            let scores = softmax(output.logits.without_autodiff(), 1).narrow(1, 1, 1);
            self.epoch.scores.extend(scores.into_data().iter::<f32>());
            self.epoch.fake.extend(labels.iter().map(|label| *label == Label::Fake));
            total += f64::from(loss.clone().into_scalar::<f32>());
            parameters::add(&mut gradients, parameters::gradients(&self.model, &loss.backward()));
        }
        if !total.is_finite() {
            bail!(
                "the loss is not a finite number at step {}; lower optimizer.learning_rate or set optimizer.clip_norm, \
                 and start again",
                self.step + 1
            );
        }
        let rate = self.schedule.rate(self.step);
        let mut stepped = self.optimizer.step(rate, parameters::trained(&self.model), gradients);
        stepped.extend(statistics.into_iter().flat_map(Statistics::into_values));
        self.model = parameters::updated(self.model.clone(), stepped);
        let changed = self.average.is_some().then(|| self.changed());
        if let (Some(average), Some(changed)) = (&mut self.average, changed) {
            average.follow(changed, self.step);
        }
        self.step += 1;
        self.epoch.loss_sum += total;
        self.epoch.steps += 1;
        self.watch.step(self.step, (self.step - 1) / self.steps_per_epoch + 1, total, rate)
    }

    fn end_epoch(&mut self) -> Result<()> {
        let predictions = self.validate(&self.detector())?;
        let of_videos = video_scores(&self.validation, &predictions, 1.0);
        let validation_auc = auc(&of_videos);
        let validation_loss = mean_loss(&self.validation, &predictions);
        let so_far = std::mem::take(&mut self.epoch);
        let scored = so_far.scores.iter().zip(&so_far.fake).map(|(score, fake)| scored(f64::from(*score), *fake));
        let measure = Measure::Epoch {
            step: self.step,
            epoch: self.step / self.steps_per_epoch,
            train_loss: so_far.loss_sum / so_far.steps.max(1) as f64,
            train_auc: Ranking::new(scored).and_then(|ranking| ranking.auc()).ok(),
            validation_loss,
            validation_auc,
        };
        self.watch.epoch(&measure)?;
        let this = Best {
            step: self.step,
            auc: validation_auc,
            average_precision: average_precision(&of_videos),
            loss: validation_loss,
        };
        if self.best.as_ref().is_none_or(|best| this.is_better_than(best, self.recipe.run.best)) {
            self.write_best(&this)?;
            self.best = Some(this);
        }
        self.checkpoint()
    }

    fn checkpoint(&self) -> Result<()> {
        let checkpoint = Checkpoint {
            identity: self.identity.clone(),
            step: self.step,
            best: self.best.clone(),
            epoch: self.epoch.clone(),
            parameters: self.changed(),
            moments: self.optimizer.state(),
            average: self.average.as_ref().map(Average::values),
        };
        checkpoint.write(&resume::checkpoints(&self.options.out))
    }

    /// The values of everything that training changes.
    fn changed(&self) -> parameters::Named {
        let mut changed = parameters::trained(&self.model);
        if self.recipe.model.statistics == StatisticsName::Batch {
            changed.extend(parameters::statistics(&self.model));
        }
        changed
    }

    /// The model that is validated and written: with the averaged weights, where there are some.
    fn plain_model(&self) -> Model {
        let model = match &self.average {
            Some(average) => parameters::updated(self.model.clone(), average.values()),
            None => self.model.clone(),
        };
        parameters::for_inference(model)
    }

    fn detector(&self) -> Detector {
        Detector::from_parts(self.spec.clone(), self.plain_model(), self.front_end.clone())
    }

    fn validate(&self, detector: &Detector) -> Result<Vec<ClipLogits>> {
        let frames = self.recipe.data.validation_frames;
        if !self.recipe.data.self_blended.is_all() {
            return predict(detector, &self.validation, frames, stored_crops, |_| ());
        }
        let Recipe { seed, self_blending, augmentation, .. } = self.recipe;
        let twins = Twins::new(*seed, *self_blending, augmentation, detector.spec().crop);
        predict(detector, &self.validation, frames, |video, crops| twins.images(video, crops), |_| ())
    }

    /// Stores the detector as it is now; where not everything is trained, only what is, as an adapter of what the run
    /// started from.
    fn write_best(&self, best: &Best) -> Result<()> {
        let is_whole = self.recipe.model.strategy == StrategyName::Full;
        let adapter = (!is_whole).then(|| AdapterSpec { base_sha256: self.start_sha256.clone() });
        let spec = trained(self.recipe, &self.spec, Some(best), self.steps_per_epoch);
        let spec = DetectorSpec { adapter, low_rank: self.spec.low_rank.clone(), ..spec };
        let is_kept = |name: &str| is_whole || self.recipe.model.changes(&spec.architecture, name);
        detector_file::write(&self.best_path(), &spec, &self.plain_model(), is_kept)
    }

    fn best_path(&self) -> PathBuf {
        self.options.out.join("best.safetensors")
    }

    /// Calibrates the best detector on the validation data and writes what the run leaves.
    fn outcome(&self) -> Result<()> {
        let best = Source::File(self.best_path());
        let best = detector_file::load_over(&best, &self.start_source, &self.options.device)?;
        let predictions = self.validate(&best)?;
        write_outcome(&Outcome {
            recipe: self.recipe,
            start: &self.spec,
            start_sha256: &self.start_sha256,
            detector: &best,
            best: self.best.as_ref(),
            steps_per_epoch: self.steps_per_epoch,
            validation: &self.validation,
            predictions: &predictions,
            out: &self.options.out,
        })
    }
}

/// The videos to train on and to validate on, for a detector that crops as `wanted` says.
fn load_data(options: &Options, wanted: &CropSpec) -> Result<(Vec<Video>, Vec<Video>)> {
    let roots: Vec<&PathBuf> = options.recipe.data.roots.iter().chain(&options.data).collect();
    if roots.is_empty() {
        bail!("there is no data to train on; name it with --data or as data.roots in the recipe");
    }
    let mut videos = Vec::new();
    for dataset in datasets::load_all(roots, &options.load, wanted)? {
        dataset.unusable.iter().for_each(|problem| eprintln!("warning: {problem}"));
        videos.extend(dataset.videos);
    }
    let of = |split: Split| videos.iter().filter(move |video| video.split == split).cloned().collect::<Vec<_>>();
    let (training, validation) = (of(Split::Train), of(Split::Validation));
    if training.is_empty() || validation.is_empty() {
        bail!(
            "the data has {} videos to train on and {} to validate on, but both are needed; sort them into folders `train` and \
             `val`, or list them in a table with a column `split`, and preprocess them again",
            training.len(),
            validation.len()
        );
    }
    let data = &options.recipe.data;
    check_classes(&training, data)?;
    if !data.self_blended.is_all() && validation.iter().all(|video| video.label == validation[0].label) {
        eprintln!(
            "warning: all videos to validate on are {}, so the best epoch is chosen by their loss alone and no thresholds \
             can be fitted",
            if validation[0].label == Label::Real { "real" } else { "fake" }
        );
    }
    Ok((training, validation))
}

fn scored(score: f64, fake: bool) -> Scored {
    Scored { score, fake }
}

/// The mean negative log-likelihood over clips.
fn mean_loss(videos: &[Video], predictions: &[ClipLogits]) -> f64 {
    let loss = |prediction: &ClipLogits| {
        let [real, fake] = prediction.logits.map(f64::from);
        let margin = match videos[prediction.video].label {
            Label::Real => fake - real,
            Label::Fake => real - fake,
        };
        // log(1 + exp(margin)), without overflow.
        margin.max(0.0) + (-margin.abs()).exp().ln_1p()
    };
    predictions.iter().map(loss).sum::<f64>() / predictions.len().max(1) as f64
}
