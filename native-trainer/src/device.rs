//! Which device a model runs on.

use std::str::FromStr;

use anyhow::{Result, bail};
use burn::prelude::*;

/// What `--device` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// The fastest there is.
    Auto,
    /// The CPU, all cores.
    Cpu,
    /// An NVIDIA GPU by number.
    Cuda(usize),
    /// A GPU by WebGPU, Vulkan or Metal.
    Wgpu,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':').map_or((text, None), |(kind, index)| (kind, Some(index))) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("wgpu", None) => Ok(Self::Wgpu),
            ("cuda", None) => Ok(Self::Cuda(0)),
            ("cuda", Some(index)) => index.parse().map(Self::Cuda).map_err(|_| format!("`{index}` is no GPU number")),
            _ => Err("choose auto, cpu, cuda, cuda:N or wgpu".to_string()),
        }
    }
}

impl DeviceChoice {
    /// The device, if this build can use it.
    pub(crate) fn open(self) -> Result<Device> {
        match self {
            Self::Auto | Self::Cpu => Ok(Device::flex()),
            Self::Cuda(index) => bail!("this build of unmask has no CUDA for GPU {index}; use `--device cpu`"),
            Self::Wgpu => bail!("this build of unmask has no WebGPU; use `--device cpu`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_written_and_others_refused() {
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        for wrong in ["", "gpu", "cuda:x", "cpu:1"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }
}
