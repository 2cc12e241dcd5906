//! A model that nobody needs: a linear layer on the mean colour of a clip's frames. It is here to show what adding a model takes:
//! this file, and its line in the list of kinds.

use alloc::format;
use alloc::string::{String, ToString};

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::detector::{Network, Output, Sizes};
use crate::layers::{Head, HeadKind, Linear, Pass, pass_by};
use crate::weights::{Loader, WeightsError};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeUpSizes {
    pub image_size: usize,
    pub clip_length: usize,
    pub width: usize,
}

impl Sizes for MadeUpSizes {
    fn image_size(&self) -> usize {
        self.image_size
    }

    fn clip_length(&self) -> usize {
        self.clip_length
    }

    fn flops(&self) -> u64 {
        6 * self.width as u64
    }

    fn check(&self) -> Result<(), String> {
        if self.width == 0 { Err("width = 0".to_string()) } else { Ok(()) }
    }

    fn words(&self) -> String {
        format!("mean colour of {} frames", self.clip_length)
    }

    fn normalisation(&self) -> [[f32; 3]; 2] {
        [[0.5; 3], [0.5; 3]]
    }

    fn is_new(&self, tensor: &str) -> bool {
        tensor.starts_with("mix.")
    }
}

#[derive(Module, Debug)]
pub struct MadeUp {
    mix: Linear,
    head: Head,
}

impl Network for MadeUp {
    type Sizes = MadeUpSizes;

    fn load(loader: &mut Loader, sizes: &MadeUpSizes) -> Result<Self, WeightsError> {
        Ok(Self {
            mix: loader.within("mix", |l| Linear::load(l, 3, sizes.width))?,
            head: loader.within("head", |l| Head::load(l, sizes.width, HeadKind::OneLayer))?,
        })
    }

    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        let [count, frames, channels, height, width] = clips.dims();
        let colours = clips.permute([0, 2, 1, 3, 4]).reshape([count, channels, frames * height * width]);
        let mixed = self.mix.forward(colours.mean_dim(2).reshape([count, channels]));
        let features = pass_by(mixed, 0.5, pass);
        Output::new(features.clone(), self.head.forward(features))
    }
}
