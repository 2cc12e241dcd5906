//! The device that models run on, and how crops become their input there: the CPU in the small module, WebGPU in the one
//! that is built with the feature `webgpu`.

#[cfg(not(feature = "webgpu"))]
mod cpu;
#[cfg(feature = "webgpu")]
mod self_test;
#[cfg(feature = "webgpu")]
mod webgpu;
#[cfg(feature = "webgpu")]
mod webgpu_input;

#[cfg(not(feature = "webgpu"))]
pub(crate) use cpu::Input;
#[cfg(feature = "webgpu")]
pub use webgpu::probe;
#[cfg(feature = "webgpu")]
pub(crate) use webgpu_input::Input;
