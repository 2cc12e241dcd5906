//! The list of models. Whoever adds one writes its file under `models/` and one line here.

use alloc::string::String;
use alloc::vec::Vec;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::explain::rollout::Weighted;
use super::groups::{Group, Strategy};
use super::models::{clip, dicome, efficientnet, stan, tall, timesformer, udd, vit, xception};
use crate::layers::{Pass, TapKind};
use crate::weights::{Listed, Loader, Seeded, TensorSource, WeightsError};

/// What a detector's description says of a model: which it is, its sizes, and what follows from them.
pub trait Sizes {
    /// Side of the square input in pixels.
    fn image_size(&self) -> usize;

    /// Frames that the model sees together, `T`; 1 for models of single frames.
    fn clip_length(&self) -> usize {
        1
    }

    /// Floating-point operations (a multiply-add counts as two) for one frame, of the parts that most of them are in.
    fn flops(&self) -> u64;

    /// Checks that such a model can exist, so that loading cannot ask for absurd amounts of memory.
    ///
    /// # Errors
    /// The first problem, as part of a sentence.
    fn check(&self) -> Result<(), String>;

    /// The model and its sizes in a line, for people.
    fn words(&self) -> String;

    /// Mean and deviation of the channels (RGB in 0..1) that its published weights were trained with.
    fn normalisation(&self) -> [[f32; 3]; 2];

    /// Whether its norms are batch norms, which have statistics.
    fn has_batch_norms(&self) -> bool {
        false
    }

    /// What the tensor of this name is.
    fn group(&self, tensor: &str) -> Group {
        match Group::by_name(tensor) {
            Group::Backbone if self.is_new(tensor) => Group::New,
            group => group,
        }
    }

    /// The tensor of the model's pretrained part that the tensor of this name starts as a copy of, if it does.
    fn starts_as(&self, _tensor: &str) -> Option<String> {
        None
    }

    /// Whether the tensor of this name belongs to what the model adds to its pretrained part, norms included.
    fn is_new(&self, _tensor: &str) -> bool {
        false
    }

    /// The names of what it asks to be made small in training ([`Output::penalties`]).
    fn penalties(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it says how little it knows of what it scores ([`Output::uncertainty`]).
    fn says_uncertainty(&self) -> bool {
        false
    }

    /// What of a forward pass shows where it looked: attention for transformers, else the last maps.
    fn tapped(&self) -> TapKind {
        TapKind::Maps
    }

    /// How much each patch of each frame counts, by the attention of all layers in the order of the forward pass; of models whose
    /// attention is tapped.
    fn rolled_out(&self, _layers: &[Weighted], _clip: usize) -> Vec<Vec<f32>> {
        Vec::new()
    }

    /// The square map of a clip by its frames; of models whose maps are tapped.
    fn by_frame(&self, map: Vec<f32>) -> Vec<Vec<f32>> {
        [map].to_vec()
    }

    /// How such a model is usually tuned where its pretrained weights are to stay.
    fn usual_strategy(&self) -> Strategy {
        Strategy::LayerNorm
    }
}

/// A model's layers with their weights.
pub trait Network: Module {
    /// What describes it.
    type Sizes: Sizes;

    /// Loads every tensor that `sizes`, which were checked, ask for.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    fn load(loader: &mut Loader, sizes: &Self::Sizes) -> Result<Self, WeightsError>;

    /// Normalised pixels `[clips, T, 3, h, w]` to a row for each clip.
    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output;

    /// The gradient of the margin, the logit of fake less that of real, at features `[n, d]`, where these are the mean over the
    /// last maps: `[n, d]`.
    fn margin_gradient(&self, _features: Tensor<2>) -> Option<Tensor<2>> {
        None
    }
}

/// What a model says about its inputs, a row for each clip.
#[derive(Clone, Debug)]
pub struct Output {
    /// `[clips, d]`
    pub features: Tensor<2>,
    /// `[clips, 2]`: real, fake
    pub logits: Tensor<2>,
    /// How little the model knows of each clip, 0..1, `[clips]`, for models that say so.
    pub uncertainty: Option<Tensor<1>>,
    /// In training: the logits `[clips, 2]` of further views of the same clips, for models that are trained on several.
    pub views: Vec<Tensor<2>>,
    /// In training: what a model asks to be made small beside the classes' loss, `[1]` each, by its name in a recipe.
    pub penalties: Vec<(&'static str, Tensor<1>)>,
}

impl Output {
    /// An output of features and logits alone.
    pub fn new(features: Tensor<2>, logits: Tensor<2>) -> Self {
        Self { features, logits, uncertainty: None, views: Vec::new(), penalties: Vec::new() }
    }

    /// The rows of several outputs of scoring, one after the other.
    #[cfg(feature = "threads")]
    fn of_parts(outputs: Vec<Self>) -> Self {
        let uncertainty: Option<Vec<_>> = outputs.iter().map(|output| output.uncertainty.clone()).collect();
        let (features, logits) = outputs.into_iter().map(|output| (output.features, output.logits)).unzip();
        let uncertainty = uncertainty.map(|parts| Tensor::cat(parts, 0));
        Self { uncertainty, ..Self::new(Tensor::cat(features, 0), Tensor::cat(logits, 0)) }
    }

    /// What a score is made of, in one tensor that is read back at once: the logits `[clips, 2]`, and for models that say
    /// so the uncertainty as a third column.
    pub fn answers(self) -> Tensor<2> {
        match self.uncertainty {
            Some(uncertainty) => Tensor::cat([self.logits, uncertainty.unsqueeze_dim(1)].to_vec(), 1),
            None => self.logits,
        }
    }
}

/// The clips in a part for each core at most, where that is more than one and they are on the CPU.
#[cfg(feature = "threads")]
fn parts(clips: &Tensor<5>) -> Option<Vec<Tensor<5>>> {
    let (count, cores) = (clips.dims()[0], rayon::current_num_threads());
    let is_shared = cores.min(count) > 1 && clips.device() == Device::flex();
    is_shared.then(|| clips.clone().split(count.div_ceil(cores), 0))
}

/// Declares [`Architecture`] and [`Model`] with a case for each model: its name here, its name in detector files, its sizes and
/// its network.
macro_rules! kinds {
    ($($(#[cfg($condition:meta)])? $kind:ident, $name:literal, $sizes:ty, $network:ty;)+) => {
        /// A model and its sizes.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Architecture {
            $(
                $(#[cfg($condition)])?
                #[doc = concat!("`", $name, "`")]
                #[serde(rename = $name)]
                $kind($sizes),
            )+
        }

        /// A model of any kind. All of them see clips; to a model of single frames a clip is one frame.
        #[allow(clippy::large_enum_variant, reason = "there are only ever a few models, and their weights are elsewhere")]
        #[derive(Module, Debug)]
        pub enum Model {
            $(
                $(#[cfg($condition)])?
                #[doc = concat!("`", $name, "`")]
                $kind($network),
            )+
        }

        impl Architecture {
            /// The names of all kinds, as detector files have them.
            pub const KINDS: &[&str] = &[$($(#[cfg($condition)])? $name),+];

            /// What the model is by its sizes.
            pub fn sizes(&self) -> &dyn Sizes {
                match self {
                    $($(#[cfg($condition)])? Self::$kind(sizes) => sizes,)+
                }
            }

            fn load(&self, loader: &mut Loader) -> Result<Model, WeightsError> {
                Ok(match self {
                    $($(#[cfg($condition)])? Self::$kind(sizes) => Model::$kind(<$network>::load(loader, sizes)?),)+
                })
            }
        }

        impl Model {
            fn margin_gradient_of(&self, features: Tensor<2>) -> Option<Tensor<2>> {
                match self {
                    $($(#[cfg($condition)])? Self::$kind(network) => network.margin_gradient(features),)+
                }
            }

            fn network_forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
                match self {
                    $($(#[cfg($condition)])? Self::$kind(network) => network.forward(clips, pass),)+
                }
            }
        }
    };
}

kinds! {
    Clip, "clip", clip::ClipConfig, clip::Clip;
    Stan, "stan", stan::StanConfig, stan::Stan;
    EfficientNet, "efficientnet", efficientnet::EfficientNetConfig, efficientnet::EfficientNet;
    Xception, "xception", xception::XceptionConfig, xception::Xception;
    TimeSformer, "timesformer", timesformer::TimeSformerConfig, timesformer::TimeSformer;
    Tall, "tall", tall::TallConfig, tall::Tall;
    Vit, "vit", vit::VitConfig, vit::Vit;
    Dicome, "dicome", dicome::DicomeConfig, dicome::Dicome;
    Udd, "udd", udd::UddConfig, udd::Udd;
    #[cfg(test)] MadeUp, "made-up", super::tests::made_up::MadeUpSizes, super::tests::made_up::MadeUp;
}

impl Architecture {
    /// Side of the square input in pixels.
    pub fn image_size(&self) -> usize {
        self.sizes().image_size()
    }

    /// Frames that the model sees together, `T`; 1 for models of single frames.
    pub fn clip_length(&self) -> usize {
        self.sizes().clip_length()
    }

    /// Floating-point operations (a multiply-add counts as two) for one frame, of the parts that most of them are in.
    pub fn flops(&self) -> u64 {
        self.sizes().flops()
    }

    /// Checks that such a model can exist.
    ///
    /// # Errors
    /// The first problem, as part of a sentence.
    pub fn check(&self) -> Result<(), String> {
        self.sizes().check()
    }

    /// The tensors that such a model has in a detector's file, names and shapes, in the order in which it asks for them.
    ///
    /// # Errors
    /// [`WeightsError::ImpossibleSpec`].
    pub fn tensors(&self) -> Result<Vec<(String, Vec<usize>)>, WeightsError> {
        Ok(self.listed()?.into_iter().map(|tensor| (tensor.name, tensor.shape)).collect())
    }

    /// [`Architecture::tensors`] with what each is for.
    ///
    /// # Errors
    /// [`WeightsError::ImpossibleSpec`].
    pub fn listed(&self) -> Result<Vec<Listed>, WeightsError> {
        self.check().map_err(WeightsError::ImpossibleSpec)?;
        let mut nothing = Seeded::new(0);
        let mut loader = Loader::listing(&mut nothing);
        self.load(&mut loader)?;
        Ok(loader.into_listed())
    }

    /// Whether `strategy` trains the tensor of this name.
    pub fn trains(&self, strategy: Strategy, tensor: &str) -> bool {
        strategy.trains(self.sizes().group(tensor))
    }
}

impl Model {
    /// Loads all tensors of `architecture` from `source`, and refuses tensors left over.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(
        architecture: &Architecture,
        source: &mut dyn TensorSource,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        Self::load_by(architecture, Loader::new(source, device))
    }

    /// [`Model::load`] by a loader, which may know of low-rank updates.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_by(architecture: &Architecture, mut loader: Loader) -> Result<Self, WeightsError> {
        architecture.check().map_err(WeightsError::ImpossibleSpec)?;
        let model = architecture.load(&mut loader)?;
        loader.finish()?;
        Ok(model)
    }

    /// [`Model::forward_in`] to score. On a CPU the clips are shared out to the cores, each of which takes its own through all
    /// layers: between layers nobody waits for others.
    pub fn forward(&self, clips: Tensor<5>) -> Output {
        #[cfg(feature = "threads")]
        if let Some(parts) = parts(&clips) {
            use rayon::prelude::*;
            let forward = |part| self.forward_in(part, &mut Pass::scoring());
            return Output::of_parts(parts.into_par_iter().map(forward).collect());
        }
        self.forward_in(clips, &mut Pass::scoring())
    }

    /// Normalised pixels `[clips, T, 3, h, w]` to features and logits, one row a clip; `T` is
    /// [`Architecture::clip_length`]. Activations have the pixels' type, features and logits are f32.
    pub fn forward_in(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        self.network_forward(clips, pass)
    }

    /// The gradient of the margin, the logit of fake less that of real, at features `[n, d]`: `[n, d]`; of models whose features are the
    /// mean over their last maps.
    pub fn margin_gradient(&self, features: Tensor<2>) -> Option<Tensor<2>> {
        self.margin_gradient_of(features)
    }
}
