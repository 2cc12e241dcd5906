//! From aligned crops to what a model sees.

use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::DType;

use super::clips;
use super::spec::{DetectorSpec, InputSpec};
use crate::image::RgbImage;

/// Makes a model's input of crops. It holds no weights, so that whoever prepares batches needs none.
#[derive(Clone, Debug)]
pub struct FrontEnd {
    input: InputSpec,
    clip_length: usize,
    device: Device,
    /// The type of the pixels, in which the model then computes.
    dtype: DType,
}

impl FrontEnd {
    /// The front end of the detector that `spec` describes, with pixels in `dtype` on `device`.
    pub fn new(spec: &DetectorSpec, device: &Device, dtype: DType) -> Self {
        Self { input: spec.input.clone(), clip_length: spec.clip_length().max(1), device: device.clone(), dtype }
    }

    /// The device that pixels go to.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Crops to the model's input `[clips, T, 3, size, size]`: resized, scaled to 0..1, minus mean, over std. Each `T`
    /// crops that follow each other are a clip; a last short clip repeats its last crop.
    pub fn pixels(&self, crops: &[RgbImage]) -> Tensor<5> {
        let (size, length) = (self.input.size, self.clip_length);
        let mut members: Vec<&RgbImage> = crops.iter().collect();
        clips::complete(&mut members, length);
        let mut values = Vec::with_capacity(members.len() * 3 * size * size);
        for crop in &members {
            push_normalised(&mut values, crop, &self.input);
        }
        let shape = [members.len() / length, length, 3, size, size];
        Tensor::<5>::from_data(TensorData::new(values, shape), &self.device).cast(self.dtype)
    }
}

/// Appends one crop's channels, each row by row.
fn push_normalised(values: &mut Vec<f32>, crop: &RgbImage, input: &InputSpec) {
    let resized = crop.resize(input.size, input.size, input.interpolation);
    for channel in 0..3 {
        let (mean, std) = (input.mean[channel], input.std[channel]);
        values.extend(resized.pixels().iter().skip(channel).step_by(3).map(|v| (f32::from(*v) / 255.0 - mean) / std));
    }
}
