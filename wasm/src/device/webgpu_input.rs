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
use unmask_core::image::Interpolation;
use unmask_core::weights::spec::DetectorSpec;
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
        Ok((Self::new(spec, setup), device))
    }

    fn new(spec: &DetectorSpec, setup: WgpuSetup) -> Self {
        let input = &spec.input;
        let kernel = match input.interpolation {
            Interpolation::Bilinear => Kernel::Bilinear,
            Interpolation::Bicubic => Kernel::Bicubic,
        };
        let (crop_size, input_size) = (spec.crop.size, input.size);
        let sizes = CropSpec {
            crop_size: crop_size as u32,
            input_size: input_size as u32,
            kernel,
            mean: input.mean,
            std: input.std,
        };
        let pipeline = CropPipeline::new(&setup.device, sizes);
        Self { pipeline, setup, crop_size, input_size, clip_length: spec.clip_length().max(1) }
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
        self.fill(&batch, crops, count)?;
        Ok(batch.reshape([count / self.clip_length, self.clip_length, 3, size, size]))
    }

    /// Has the shaders write every crop's place of `batch`.
    fn fill(&self, batch: &Tensor<4>, crops: &[u8], count: usize) -> Result<(), JsError> {
        let failed = |error: &dyn std::fmt::Debug| JsError::new(&format!("the graphics device failed: {error:?}"));
        let tensor = batch.clone().try_into_primitive::<Wgpu>().map_err(|error| failed(&error))?;
        if !tensor.is_contiguous() {
            return Err(JsError::new("the graphics device failed: a tensor of it has gaps"));
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
            self.pipeline.encode(&mut encoder, &frame, to_frame, output.clone(), offset)?;
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
