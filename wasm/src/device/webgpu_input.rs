//! Crops as the model's input, made on the graphics device.
//!
//! Faces are found on the CPU, so frames have to be in its memory, and a crop is cut there while they are: it is a
//! twentieth of a frame to send to the device. What is left, resizing and normalising, the shaders of `unmask-shaders`
//! do there, on burn's own device and queue, into the tensor that the model reads.

use burn::backend::wgpu::Wgpu;
use burn::prelude::*;
use burn::tensor::wgpu::WgpuSetup;
use burn_cubecl::cubecl::wgpu::{AutoCompiler, WgpuServer};
use unmask_core::detector::Detector;
use unmask_core::detector::spec::{DetectorSpec, InputSpec};
use unmask_core::image::{Interpolation, RgbImage};
use unmask_shaders::resize::Kernel;
use unmask_shaders::runner::{CropPipeline, CropSpec, Frame};
use unmask_shaders::warp::Similarity;
use wasm_bindgen::JsError;

use super::webgpu;

/// Makes one detector's input.
pub(crate) struct Input {
    pipeline: CropPipeline,
    setup: WgpuSetup,
    crop_size: usize,
    input_size: usize,
    clip_length: usize,
}

impl Input {
    /// The graphics device, and what makes the input of the detector that `spec` describes there.
    ///
    /// # Errors
    /// The browser gives no device.
    pub(crate) async fn open(spec: &DetectorSpec) -> Result<(Self, Device), JsError> {
        let (device, setup) = webgpu::open().await?;
        Ok((Self::new(&spec.input, spec.crop.size, spec.clip_length().max(1), setup), device))
    }

    fn new(input: &InputSpec, crop_size: usize, clip_length: usize, setup: WgpuSetup) -> Self {
        let kernel = match input.interpolation {
            Interpolation::Bilinear => Kernel::Bilinear,
            Interpolation::Bicubic => Kernel::Bicubic,
        };
        let input_size = input.size;
        let sizes = CropSpec {
            crop_size: crop_size as u32,
            input_size: input_size as u32,
            kernel,
            mean: input.mean,
            std: input.std,
        };
        let pipeline = CropPipeline::new(&setup.device, sizes);
        Self { pipeline, setup, crop_size, input_size, clip_length }
    }

    /// `[clips, T, 3, size, size]` of crops of three bytes a pixel, one after the other, whose number is a multiple of `T`.
    ///
    /// # Errors
    /// Bytes that are no whole number of clips, or a device that failed.
    pub(crate) fn pixels(&self, crops: &[u8], detector: &Detector) -> Result<Tensor<5>, JsError> {
        let (side, size) = (self.crop_size, self.input_size);
        let count = crops.len() / (side * side * 3);
        if count * side * side * 3 != crops.len() || !count.is_multiple_of(self.clip_length) {
            return Err(JsError::new("the crops have another size than the detector's"));
        }
        let batch = Tensor::<4>::empty([count, 3, size, size], detector.device());
        self.fill(&batch, crops, count)
            .map_err(|error| JsError::new(&format!("the graphics device failed: {error}")))?;
        Ok(batch.reshape([count / self.clip_length, self.clip_length, 3, size, size]))
    }

    /// Has the shaders write every crop's place of `batch`.
    ///
    /// # Errors
    /// The device's reason, in words.
    fn fill(&self, batch: &Tensor<4>, crops: &[u8], count: usize) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Debug| format!("{error:?}");
        let tensor = batch.clone().try_into_primitive::<Wgpu>().map_err(|error| failed(&error))?;
        if !tensor.is_contiguous() {
            return Err("a tensor of it has gaps".to_owned());
        }
        let resource = tensor.client.get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone());
        let resource = resource.map_err(|error| failed(&error))?;
        // What burn was told before comes before.
        tensor.client.flush().map_err(|error| failed(&error))?;
        let output = resource.resource();
        let output = wgpu::BufferBinding {
            buffer: &output.buffer,
            offset: output.offset,
            size: wgpu::BufferSize::new(output.size),
        };
        let side = self.crop_size as u32;
        let pixels = self.upload(crops);
        let mut encoder = self.setup.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for index in 0..count as u32 {
            // The crops are one frame, each below the one before; nothing is turned or scaled.
            let frame = Frame::Buffer { pixels: pixels.as_entire_buffer_binding(), size: [side, side * count as u32] };
            let to_frame = Similarity { a: 1.0, b: 0.0, dx: 0.0, dy: f64::from(index * side) };
            let offset = index * self.pipeline.crop_length();
            let encoded = self.pipeline.encode(&mut encoder, &frame, to_frame, output.clone(), offset);
            encoded.map_err(|error| error.to_string())?;
        }
        self.setup.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// A buffer of the crops with four bytes a pixel.
    fn upload(&self, crops: &[u8]) -> wgpu::Buffer {
        let bytes: Vec<u8> =
            crops.as_chunks::<3>().0.iter().flat_map(|[red, green, blue]| [*red, *green, *blue, 255]).collect();
        let buffer = self.setup.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("crops"),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.setup.queue.write_buffer(&buffer, 0, &bytes);
        buffer
    }
}

/// Sides of the crops and of the input that [`check`] makes, which fill no workgroup exactly.
const CHECKED: (usize, usize) = (22, 13);

/// Has the device make small inputs, by each interpolation, and compares them with the CPU's.
///
/// # Errors
/// It fails, or makes something else; in words.
pub(super) async fn check(device: &Device, setup: &WgpuSetup) -> Result<(), String> {
    const CROPS: usize = 2;
    let (side, size) = CHECKED;
    // Knuth's multiplicative hash: bytes without a pattern.
    let bytes: Vec<u8> =
        (0..CROPS * side * side * 3).map(|index| ((index as u32).wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
        let input = InputSpec { size, mean: [0.48, 0.45, 0.4], std: [0.27, 0.26, 0.28], interpolation };
        let batch = Tensor::<4>::empty([CROPS, 3, size, size], device);
        Input::new(&input, side, 1, setup.clone()).fill(&batch, &bytes, CROPS)?;
        let data =
            batch.into_data_async().await.map_err(|error| format!("its input cannot be read back: {error:?}"))?;
        let found = data.try_into_vec::<f32>().map_err(|error| format!("its input cannot be read back: {error:?}"))?;
        let expected: Vec<f32> = bytes.chunks(side * side * 3).flat_map(|crop| on_cpu(crop, side, &input)).collect();
        // A level that lies between two may be rounded to either.
        let level = 1.01 / 255.0 / input.std.iter().copied().fold(f32::INFINITY, f32::min);
        let is_near = |(found, expected): (&f32, &f32)| (found - expected).abs() <= level;
        if found.len() != expected.len() || !found.iter().zip(&expected).all(is_near) {
            return Err("it makes the model's input wrongly".to_owned());
        }
    }
    Ok(())
}

/// The input that a crop of `side` pixels gives, `[3, size, size]`.
fn on_cpu(crop: &[u8], side: usize, input: &InputSpec) -> Vec<f32> {
    let crop = RgbImage::new(side, side, crop.to_vec());
    let Some(resized) = crop.map(|crop| crop.resize(input.size, input.size, input.interpolation)) else {
        return Vec::new();
    };
    let normalised = |channel: usize| {
        let levels = resized.pixels().iter().skip(channel).step_by(3);
        levels.map(move |level| (f32::from(*level) / 255.0 - input.mean[channel]) / input.std[channel])
    };
    (0..3).flat_map(normalised).collect()
}
