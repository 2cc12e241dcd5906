//! One compute shader on a device.

use wgpu::util::{BufferInitDescriptor, DeviceExt};

use crate::workgroups;

/// A compiled shader whose resources are bindings 0, 1, … of its only group.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    pipeline: wgpu::ComputePipeline,
}

impl Step {
    /// Compiles `source`, whose entry point is `name`.
    pub(crate) fn new(device: &wgpu::Device, name: &'static str, source: &str) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &module,
            entry_point: Some(name),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self { name, pipeline }
    }

    /// Encodes a run with an invocation for each of `columns` × `rows`.
    pub(crate) fn encode(
        &self,
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
        resources: &[wgpu::BindingResource<'_>],
        [columns, rows]: [u32; 2],
    ) {
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (0..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource: resource.clone() })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.name),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let descriptor = wgpu::ComputePassDescriptor { label: Some(self.name), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        let [x, y, z] = workgroups(columns, rows);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A uniform buffer with this content.
pub(crate) fn uniform(device: &wgpu::Device, content: &[u8]) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::UNIFORM;
    device.create_buffer_init(&BufferInitDescriptor { label: Some("parameters"), contents: content, usage })
}

/// A storage buffer with this content.
pub(crate) fn storage(device: &wgpu::Device, content: &[u8]) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    device.create_buffer_init(&BufferInitDescriptor { label: Some("table"), contents: content, usage })
}

/// A storage buffer for an image of `columns` × `rows` words.
pub(crate) fn image(device: &wgpu::Device, [columns, rows]: [u32; 2]) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("image"),
        size: u64::from(columns) * u64::from(rows) * 4,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    })
}
