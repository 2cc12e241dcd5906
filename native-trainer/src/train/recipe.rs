//! A training recipe: every choice of a run, as TOML. `configs/` has one file per recipe, with every key explained.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use unmask_core::detector::spec::LowRankSpec;
use unmask_core::detector::{Architecture, Group, Strategy, is_statistic};

use super::best::BestBy;
use super::effort::EffortRecipe;
use super::precision::Precision;
use super::schedule::{ScheduleKind, ScheduleRecipe};
use super::shares::Shares;
use crate::augment::Augmentation;
use crate::augment::sbi::SelfBlending;

/// All choices of one run. A key that is left out has the value of [`Recipe::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Name of the detector that comes out.
    pub name: String,
    /// Seed of every random choice: the same recipe on the same data gives the same weights.
    pub seed: u64,
    /// What is trained.
    pub model: ModelRecipe,
    /// On what.
    pub data: DataRecipe,
    /// What is done to every training face.
    pub augmentation: Augmentation,
    /// How fakes are made from real faces, where `data.self_blended` asks for them.
    pub self_blending: SelfBlending,
    /// What is minimised.
    pub loss: LossRecipe,
    /// How steps are taken.
    pub optimizer: OptimizerRecipe,
    /// How the learning rate changes.
    pub schedule: ScheduleRecipe,
    /// How long, and how.
    pub run: RunRecipe,
}

/// What is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelRecipe {
    /// The detector file to start from, or the name of a pulled one or of `unmask-lite`.
    pub start: PathBuf,
    /// Which parameters are trained.
    pub strategy: StrategyName,
    /// With [`StrategyName::Lora`]: which layers get a low-rank update, and of what rank.
    pub low_rank: LowRankSpec,
    /// With [`StrategyName::Effort`]: which layers are taken apart, and where.
    pub effort: EffortRecipe,
    /// Which statistics batch norms use in training.
    pub statistics: StatisticsName,
    /// With [`StatisticsName::Batch`]: how much of the running averages each step, or part of one, replaces.
    pub statistics_momentum: f64,
}

impl ModelRecipe {
    /// Whether the tensor `name` of a model of this architecture is none of what training starts from: what it changes, and
    /// what a trained part takes the place of.
    pub fn changes(&self, architecture: &Architecture, name: &str) -> bool {
        architecture.trains(self.strategy.into(), name)
            || Group::by_name(name) == Group::Replaced
            || self.statistics == StatisticsName::Batch && is_statistic(name)
    }

    /// The low-rank updates that are trained, if that is the strategy.
    pub fn low_rank(&self) -> Option<LowRankSpec> {
        match self.strategy {
            StrategyName::Lora => Some(self.low_rank.clone()),
            StrategyName::Effort => Some(self.effort.low_rank()),
            StrategyName::Ln | StrategyName::Full | StrategyName::Head | StrategyName::Stan => None,
        }
    }

    /// What is wrong with the low-rank updates, as part of a sentence that begins with their section.
    fn check_low_rank(&self) -> Result<(), String> {
        let Some(low_rank) = self.low_rank() else { return Ok(()) };
        match low_rank.check() {
            Err(_) if low_rank.residual && low_rank.rank == 0 => {
                Err("model.effort.residual is 0, so nothing of the weights would be trained".to_owned())
            }
            Err(problem) if low_rank.residual => Err(format!("model.effort has {problem}")),
            checked => checked.map_err(|problem| format!("model.low_rank has {problem}")),
        }
    }
}

/// The statistics of batch norms by their names in recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatisticsName {
    /// Those that stand in the detector's file, which stay as they are.
    Stored,
    /// Those of each batch; their running averages go into the file.
    Batch,
}

/// The training strategies by their names in recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StrategyName {
    /// Layer norms and the head.
    Ln,
    /// Everything.
    Full,
    /// The head alone.
    Head,
    /// Norms, what the model adds to pretrained weights (such as the temporal layers of a detector of clips), and the head.
    Stan,
    /// Low-rank updates of weights, what the model adds to pretrained weights, and the head.
    Lora,
    /// The smallest singular values of weights and their vectors, what the model adds to pretrained weights, and the head.
    Effort,
}

impl From<StrategyName> for Strategy {
    fn from(name: StrategyName) -> Self {
        match name {
            StrategyName::Ln => Self::LayerNorm,
            StrategyName::Full => Self::Full,
            StrategyName::Head => Self::Head,
            StrategyName::Stan => Self::Stan,
            StrategyName::Lora | StrategyName::Effort => Self::LowRank,
        }
    }
}

/// What it is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// Folders that `unmask preprocess` wrote, DeepfakeBench's JSON files, or folders of crops; `--data` adds to them.
    pub roots: Vec<PathBuf>,
    /// Faces drawn from each training video in an epoch.
    pub frames_per_video: usize,
    /// Faces of each validation video that are scored, evenly spaced.
    pub validation_frames: usize,
    /// What occurs equally often in an epoch.
    pub balance: Balance,
    /// Whether a batch holds pairs of a real face and a fake of it, both changed alike. The fake is one of the data's that was
    /// made of the same source; real faces without one are left out, unless some pairs are self-blended.
    pub pairs: bool,
    /// In how many of the pairs the fake is made of the real face (self-blended images); with all of them, the data's own
    /// fakes are left out. Above 0, a batch holds pairs.
    pub self_blended: Share,
    /// How large a part of an epoch each of these data sets is, by name; the others stand as they are.
    pub shares: Shares,
}

impl DataRecipe {
    /// Whether a batch holds pairs of a real face and a fake of it.
    pub fn in_pairs(&self) -> bool {
        self.pairs || self.self_blended.0 > 0.0
    }

    /// What is wrong with the shares, as part of a sentence.
    fn check_shares(&self) -> Result<(), String> {
        if let Some((name, share)) = self.shares.iter().find(|(_, share)| !(**share > 0.0 && **share <= 1.0)) {
            return Err(format!("data.shares.{name} is {share}, but must be above 0 and 1 at most"));
        }
        let sum: f64 = self.shares.values().sum();
        if sum > 1.0 + 1e-9 {
            return Err(format!("data.shares come to {sum:.3}, but must be parts of a whole"));
        }
        if !self.shares.is_empty() && self.balance != Balance::None {
            return Err("data.shares and data.balance contradict each other; set data.balance to none".into());
        }
        Ok(())
    }
}

/// A part of a whole, 0 to 1, in recipes also `false` and `true`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BoolOrNumber", into = "BoolOrNumber")]
pub struct Share(pub f64);

impl Share {
    /// Whether it is the whole.
    pub fn is_all(self) -> bool {
        self.0 == 1.0
    }
}

/// How a [`Share`] is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "true, false or a number from 0 to 1 is needed")]
enum BoolOrNumber {
    Bool(bool),
    Number(f64),
}

impl TryFrom<BoolOrNumber> for Share {
    type Error = String;

    fn try_from(written: BoolOrNumber) -> Result<Self, String> {
        match written {
            BoolOrNumber::Bool(all) => Ok(Self(f64::from(u8::from(all)))),
            BoolOrNumber::Number(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            BoolOrNumber::Number(share) => Err(format!("true, false or a number from 0 to 1 is needed, not {share}")),
        }
    }
}

impl From<Share> for BoolOrNumber {
    fn from(Share(share): Share) -> Self {
        match share {
            0.0 => Self::Bool(false),
            1.0 => Self::Bool(true),
            _ => Self::Number(share),
        }
    }
}

/// What is made to occur equally often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Balance {
    /// Every face counts once.
    None,
    /// As many real faces as fake ones.
    Label,
    /// As many real faces as fake ones, and among those as many of each manipulation.
    Manipulation,
}

/// The weights of the parts of the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossRecipe {
    /// Weight of the cross-entropy.
    pub cross_entropy: f64,
    /// How much of each target is spread over both classes in the cross-entropy.
    pub label_smoothing: f64,
    /// Weight of the uniformity of features.
    pub uniformity: f64,
    /// Weight of the alignment of features of one label.
    pub alignment: f64,
    /// The cross-entropy of each further view of the clips, for models that are trained on several.
    pub views: f64,
    /// What a model asks to be made small, by its names.
    pub penalties: BTreeMap<String, f64>,
}

/// How gradients change parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerRecipe {
    /// Which optimizer.
    pub kind: OptimizerKind,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Decay of the running means of the gradient and of its square.
    pub betas: [f32; 2],
    /// Keeps divisions finite.
    pub epsilon: f32,
    /// How much weights shrink.
    pub weight_decay: f32,
    /// The longest gradient, over all parameters together; 0 for no limit.
    pub clip_norm: f64,
    /// How much of the running average of the weights a step keeps; the average is what is validated and written. 0 for none.
    pub average: f64,
}

/// The optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam whose weight decay is a penalty in the gradient (Kingma and Ba, 2015).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    AdamW,
}

/// How long, and in what portions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunRecipe {
    /// How often the data is seen.
    pub epochs: usize,
    /// Faces in one optimizer step.
    pub batch: usize,
    /// Parts a batch is cut into, one after the other through the model, where it does not fit into memory at once.
    pub accumulate: usize,
    /// Optimizer steps between two checkpoints; there is one after each epoch besides.
    pub checkpoint_every: usize,
    /// Whether activations are computed again instead of kept: less memory, more time.
    pub gradient_checkpointing: bool,
    /// What activations are computed in.
    pub precision: Precision,
    /// By what the epoch is chosen whose weights are kept.
    pub best: BestBy,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            name: "detector".into(),
            seed: 1,
            model: ModelRecipe::default(),
            data: DataRecipe::default(),
            augmentation: Augmentation::default(),
            self_blending: SelfBlending::default(),
            loss: LossRecipe::default(),
            optimizer: OptimizerRecipe::default(),
            schedule: ScheduleRecipe::default(),
            run: RunRecipe::default(),
        }
    }
}

impl Default for ModelRecipe {
    fn default() -> Self {
        Self {
            start: PathBuf::new(),
            strategy: StrategyName::Ln,
            // UDD's: rank 4, and twice that as α.
            low_rank: LowRankSpec {
                rank: 4,
                alpha: 8.0,
                targets: vec!["query".into(), "value".into()],
                residual: false,
            },
            effort: EffortRecipe::default(),
            statistics: StatisticsName::Stored,
            statistics_momentum: 0.01,
        }
    }
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            frames_per_video: 8,
            validation_frames: 8,
            balance: Balance::Label,
            pairs: false,
            self_blended: Share(0.0),
            shares: Shares::new(),
        }
    }
}

impl Default for LossRecipe {
    fn default() -> Self {
        Self {
            cross_entropy: 1.0,
            label_smoothing: 0.0,
            uniformity: 0.0,
            alignment: 0.0,
            views: 1.0,
            penalties: BTreeMap::new(),
        }
    }
}

impl Default for OptimizerRecipe {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::AdamW,
            learning_rate: 8e-5,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.0,
            clip_norm: 0.0,
            average: 0.0,
        }
    }
}

impl Default for RunRecipe {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 32,
            accumulate: 1,
            checkpoint_every: 200,
            gradient_checkpointing: false,
            precision: Precision::Auto,
            best: BestBy::Auc,
        }
    }
}

/// The number that is worse as a weight: one that is none, else the smaller.
fn worst(one: f64, other: f64) -> f64 {
    if one.is_nan() || other.is_nan() { f64::NAN } else { one.min(other) }
}

impl Recipe {
    /// The first thing that makes no sense, as part of a sentence.
    pub fn check(&self) -> Result<(), String> {
        let OptimizerRecipe { learning_rate, betas, epsilon, weight_decay, clip_norm, .. } = self.optimizer;
        let least_one = [
            ("run.epochs", self.run.epochs),
            ("run.batch", self.run.batch),
            ("run.accumulate", self.run.accumulate),
            ("run.checkpoint_every", self.run.checkpoint_every),
            ("data.frames_per_video", self.data.frames_per_video),
            ("data.validation_frames", self.data.validation_frames),
            ("schedule.period_epochs", self.schedule.period_epochs),
        ];
        if let Some((key, _)) = least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(format!("{key} is 0, but must be 1 at least"));
        }
        let not_negative = [
            ("optimizer.learning_rate", learning_rate),
            ("optimizer.epsilon", f64::from(epsilon)),
            ("optimizer.weight_decay", f64::from(weight_decay)),
            ("optimizer.clip_norm", clip_norm),
            ("schedule.minimum", self.schedule.minimum),
            ("loss.cross_entropy", self.loss.cross_entropy),
            ("loss.uniformity", self.loss.uniformity),
            ("loss.alignment", self.loss.alignment),
            ("loss.views", self.loss.views),
            ("loss.penalties", self.loss.penalties.values().copied().fold(0.0, worst)),
        ];
        if let Some((key, value)) = not_negative.into_iter().find(|(_, value)| !value.is_finite() || *value < 0.0) {
            return Err(format!("{key} is {value}, but must be a number that is not negative"));
        }
        if learning_rate == 0.0 {
            return Err("optimizer.learning_rate is 0, so nothing would be learnt".into());
        }
        if self.schedule.kind != ScheduleKind::Constant && self.schedule.minimum > learning_rate {
            return Err(format!(
                "schedule.minimum {} is above optimizer.learning_rate {learning_rate}, where the schedule begins",
                self.schedule.minimum
            ));
        }
        let LossRecipe { cross_entropy, uniformity, alignment, .. } = self.loss;
        if cross_entropy + uniformity + alignment == 0.0 {
            return Err("every weight of the loss is 0, so nothing would be learnt".into());
        }
        self.model.check_low_rank()?;
        if self.name.trim().is_empty() || self.name.contains(['/', '\\']) {
            return Err(format!("name is `{}`, but must be a name without slashes", self.name));
        }
        if let Some(beta) = betas.into_iter().find(|beta| !(0.0..1.0).contains(beta)) {
            return Err(format!("optimizer.betas has {beta}, but both must be from 0 to below 1"));
        }
        for (key, value) in
            [("optimizer.average", self.optimizer.average), ("loss.label_smoothing", self.loss.label_smoothing)]
        {
            if !(0.0..1.0).contains(&value) {
                return Err(format!("{key} is {value}, but must be from 0 to below 1"));
            }
        }
        let momentum = self.model.statistics_momentum;
        if !(momentum > 0.0 && momentum <= 1.0) {
            return Err(format!("model.statistics_momentum is {momentum}, but must be above 0 and 1 at most"));
        }
        if !self.run.batch.is_multiple_of(self.run.accumulate) {
            return Err(format!("run.batch {} is no multiple of run.accumulate", self.run.batch));
        }
        if self.data.in_pairs() && !self.run.batch.is_multiple_of(2) {
            return Err("run.batch is odd, but faces come in pairs of a real one and a fake one".into());
        }
        self.data.check_shares()?;
        if self.augmentation.video.has_no_codec() {
            return Err("augmentation.video.codecs are all 0, but pictures are to be filmed".into());
        }
        if self.augmentation.one_of.has_no_choice() {
            return Err("augmentation.one_of.weights are all 0, but one of the changes is to be made".into());
        }
        if self.name.contains(char::is_control) {
            return Err("name has line breaks or other control characters, which no detector file takes".into());
        }
        if self.model.start.as_os_str().is_empty() {
            return Err("model.start names no detector file to start from".into());
        }
        Ok(())
    }
}
