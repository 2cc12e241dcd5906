//! The three steps in a row on a device of wgpu.

mod step;

use std::fmt;

pub(crate) use step::{Step, image, storage, uniform};

use crate::normalise::{NORMALISE, NormaliseParameters};
use crate::resize::{Kernel, RESIZE, Taps};
use crate::warp::{Similarity, WARP_BUFFER, WARP_TEXTURE, WarpParameters};

/// What all crops of a detector have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropSpec {
    /// Side of the crop in pixels, 1 to 4096.
    pub crop_size: u32,
    /// Side of the model's input in pixels, 1 to 4096.
    pub input_size: u32,
    /// How a crop of another size is resized to the input.
    pub kernel: Kernel,
    /// Subtracted from each channel (RGB in 0..1).
    pub mean: [f32; 3],
    /// Divides each channel after that.
    pub std: [f32; 3],
}

/// Where a frame's pixels are.
#[derive(Clone, Debug)]
pub enum Frame<'a> {
    /// `[height, width]` pixels of 4 bytes (red, green, blue, anything) in a storage buffer.
    Buffer {
        /// At least `4 · width · height` bytes with the usage `STORAGE`, within the device's limit on a storage binding.
        pixels: wgpu::BufferBinding<'a>,
        /// Width and height in pixels.
        size: [u32; 2],
    },
    /// The upper left corner of a texture.
    Texture {
        /// Of a texture as [`frame_texture`] makes it.
        view: &'a wgpu::TextureView,
        /// Width and height of the frame in pixels, up to the texture's.
        size: [u32; 2],
    },
}

impl Frame<'_> {
    fn size(&self) -> [u32; 2] {
        match self {
            Self::Buffer { size, .. } | Self::Texture { size, .. } => *size,
        }
    }

    /// Whether the frame is as large as it says.
    fn is_whole(&self) -> bool {
        match self {
            Self::Buffer { pixels, size: [width, height] } => {
                u64::from(*width) * u64::from(*height) * 4 <= length(pixels)
            }
            Self::Texture { view, size: [width, height] } => {
                let texture = view.texture();
                *width <= texture.width() && *height <= texture.height()
            }
        }
    }

    fn resource(&self) -> wgpu::BindingResource<'_> {
        match self {
            Self::Buffer { pixels, .. } => wgpu::BindingResource::Buffer(pixels.clone()),
            Self::Texture { view, .. } => wgpu::BindingResource::TextureView(view),
        }
    }
}

/// A texture of this width and height that frames can be copied into, by `write_texture` or, in a browser, by
/// `copy_external_image_to_texture`.
pub fn frame_texture(device: &wgpu::Device, [width, height]: [u32; 2]) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: Some("frame"),
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        // Browsers may draw what they copy from outside, hence the last.
        usage: wgpu::TextureUsages::TEXTURE_BINDING
            | wgpu::TextureUsages::COPY_DST
            | wgpu::TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    })
}

/// Why no crop was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CropError {
    /// The frame's buffer or texture holds fewer pixels than its size says.
    FrameTooSmall,
    /// The crop does not fit the output behind its offset.
    OutputTooSmall,
}

impl fmt::Display for CropError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::FrameTooSmall => "the frame holds fewer pixels than its width and height say",
            Self::OutputTooSmall => "the crop does not fit the output behind its offset",
        })
    }
}

impl std::error::Error for CropError {}

/// Encodes the way from a frame to the model's input, with the buffers in between.
#[derive(Debug)]
pub struct CropPipeline {
    device: wgpu::Device,
    spec: CropSpec,
    warp_buffer: Step,
    warp_texture: Step,
    resize: Option<Resize>,
    normalise: Step,
    crop: wgpu::Buffer,
}

/// Resizing, where crop and input differ.
#[derive(Debug)]
struct Resize {
    step: Step,
    taps: wgpu::Buffer,
    parameters: [wgpu::Buffer; 2],
    /// The crop with its rows resized, transposed.
    across: wgpu::Buffer,
    /// The crop in the input's size.
    resized: wgpu::Buffer,
}

impl Resize {
    fn new(device: &wgpu::Device, &CropSpec { crop_size, input_size, kernel, .. }: &CropSpec) -> Self {
        let taps = Taps::new(crop_size, input_size, kernel);
        Self {
            step: Step::new(device, "resize", RESIZE),
            taps: storage(device, &taps.to_bytes()),
            parameters: [crop_size, input_size].map(|rows| uniform(device, &taps.parameters(rows).to_bytes())),
            across: image(device, [crop_size, input_size]),
            resized: image(device, [input_size, input_size]),
        }
    }

    /// Encodes the resizing of `crop` to [`Resize::resized`].
    fn encode(&self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder, crop: &wgpu::Buffer, spec: &CropSpec) {
        let runs = [(crop, &self.across, spec.crop_size), (&self.across, &self.resized, spec.input_size)];
        for (parameters, (source, resized, rows)) in self.parameters.iter().zip(runs) {
            let buffers = [parameters, &self.taps, source, resized].map(wgpu::Buffer::as_entire_binding);
            self.step.encode(device, encoder, &buffers, [rows, spec.input_size]);
        }
    }
}

impl CropPipeline {
    /// Compiles the shaders and makes what is the same for every crop. Problems are the device's errors, as always in
    /// wgpu; a WebGPU device with default limits and no features has none.
    pub fn new(device: &wgpu::Device, spec: CropSpec) -> Self {
        Self {
            device: device.clone(),
            spec,
            warp_buffer: Step::new(device, "warp", WARP_BUFFER),
            warp_texture: Step::new(device, "warp", WARP_TEXTURE),
            resize: (spec.crop_size != spec.input_size).then(|| Resize::new(device, &spec)),
            normalise: Step::new(device, "normalise", NORMALISE),
            crop: image(device, [spec.crop_size, spec.crop_size]),
        }
    }

    /// How many numbers of the output a crop takes: `3 · input_size · input_size`.
    pub fn crop_length(&self) -> u32 {
        3 * self.spec.input_size * self.spec.input_size
    }

    /// Encodes one crop: pixels of the crop are taken `to_frame` (whole numbers are centres of pixels), and the input,
    /// f32 `[3, input_size, input_size]`, is written to `output` from its number `offset` on.
    ///
    /// `output` is a binding of a buffer with the usage `STORAGE`. Crops encoded one after another share the buffers in
    /// between; wgpu keeps them in their order.
    ///
    /// # Errors
    /// Any [`CropError`]; nothing is encoded then.
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        frame: &Frame<'_>,
        to_frame: Similarity,
        output: wgpu::BufferBinding<'_>,
        offset: u32,
    ) -> Result<(), CropError> {
        if !frame.is_whole() {
            return Err(CropError::FrameTooSmall);
        }
        if (u64::from(offset) + u64::from(self.crop_length())) * 4 > length(&output) {
            return Err(CropError::OutputTooSmall);
        }
        self.encode_warp(encoder, frame, to_frame);
        let image = match &self.resize {
            Some(resize) => {
                resize.encode(&self.device, encoder, &self.crop, &self.spec);
                &resize.resized
            }
            None => &self.crop,
        };
        let CropSpec { input_size: size, mean, std, .. } = self.spec;
        let parameters = uniform(&self.device, &NormaliseParameters { size, mean, std, offset }.to_bytes());
        let resources =
            [parameters.as_entire_binding(), image.as_entire_binding(), wgpu::BindingResource::Buffer(output)];
        self.normalise.encode(&self.device, encoder, &resources, [size; 2]);
        Ok(())
    }

    fn encode_warp(&self, encoder: &mut wgpu::CommandEncoder, frame: &Frame<'_>, to_frame: Similarity) {
        let step = match frame {
            Frame::Buffer { .. } => &self.warp_buffer,
            Frame::Texture { .. } => &self.warp_texture,
        };
        let crop_size = self.spec.crop_size;
        let parameters = WarpParameters { to_frame, frame_size: frame.size(), crop_size };
        let parameters = uniform(&self.device, &parameters.to_bytes());
        let resources = [parameters.as_entire_binding(), self.crop.as_entire_binding(), frame.resource()];
        step.encode(&self.device, encoder, &resources, [crop_size; 2]);
    }
}

/// Bytes in a binding.
fn length(binding: &wgpu::BufferBinding<'_>) -> u64 {
    binding.size.map_or_else(|| binding.buffer.size().saturating_sub(binding.offset), wgpu::BufferSize::get)
}
