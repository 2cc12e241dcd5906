//! An adapter, and data on its way there and back.

use std::sync::OnceLock;

use crate::runner::frame_texture;

/// A device with WebGPU's default limits and no features, and its queue.
pub(super) struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
}

/// The device of any adapter; `None`, said on standard error, where there is none.
pub(super) fn gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| pollster::block_on(find()));
    if gpu.is_none() {
        eprintln!("skipped: there is no adapter to run shaders on (on Debian, mesa-vulkan-drivers has one for CPUs)");
    }
    gpu.as_ref()
}

async fn find() -> Option<Gpu> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await.ok()?;
    eprintln!("adapter: {}", adapter.get_info().name);
    let (device, queue) = adapter.request_device(&wgpu::DeviceDescriptor::default()).await.unwrap();
    Some(Gpu { device, queue })
}

impl Gpu {
    /// Encodes and submits.
    pub(super) fn run(&self, encode: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encode(&mut encoder);
        self.queue.submit([encoder.finish()]);
    }

    /// A texture with these pixels, 4 bytes each.
    pub(super) fn texture(&self, [width, height]: [u32; 2], pixels: &[u8]) -> wgpu::TextureView {
        let texture = frame_texture(&self.device, [width, height]);
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(width * 4), rows_per_image: None };
        self.queue.write_texture(texture.as_image_copy(), pixels, layout, texture.size());
        texture.create_view(&wgpu::TextureViewDescriptor::default())
    }

    /// What a buffer holds once all that was submitted is done.
    pub(super) fn read(&self, buffer: &wgpu::Buffer) -> Vec<u8> {
        let readable = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.run(|encoder| encoder.copy_buffer_to_buffer(buffer, 0, &readable, 0, buffer.size()));
        readable.map_async(wgpu::MapMode::Read, .., |outcome| outcome.unwrap());
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        readable.get_mapped_range(..).unwrap().to_vec()
    }

    /// The same as f32.
    pub(super) fn read_numbers(&self, buffer: &wgpu::Buffer) -> Vec<f32> {
        let bytes = self.read(buffer);
        bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
    }
}
