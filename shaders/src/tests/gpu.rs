//! An adapter, and data on its way there and back.

use std::sync::OnceLock;

use wgpu::util::DeviceExt;

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
        let descriptor = wgpu::TextureDescriptor {
            label: None,
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        };
        let order = wgpu::util::TextureDataOrder::LayerMajor;
        let texture = self.device.create_texture_with_data(&self.queue, &descriptor, order, pixels);
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
