//! Which device a model runs on.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
mod cuda {
    //! What a build without CUDA says.

    use anyhow::{Result, bail};
    use burn::prelude::*;

    pub(super) fn open(index: usize) -> Result<Device> {
        bail!(
            "this build of unmask has no CUDA for GPU {index}; make one with `cargo xtask cuda`, or use `--device cpu`"
        )
    }

    pub(super) fn open_any() -> Option<Device> {
        None
    }
}

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use burn::prelude::*;

/// What `--device` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU if this build can use one and one answers, else the CPU.
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

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
            Self::Wgpu => formatter.write_str("wgpu"),
        }
    }
}

impl DeviceChoice {
    /// The device, if this build can use it and it answers.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Auto => Ok(cuda::open_any().unwrap_or_else(Device::flex)),
            Self::Cpu => Ok(Device::flex()),
            Self::Cuda(index) => cuda::open(index),
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
        for device in ["auto", "cpu", "cuda:3", "wgpu"] {
            assert_eq!(device.parse::<DeviceChoice>().unwrap().to_string(), device);
        }
        for wrong in ["", "gpu", "cuda:x", "cpu:1"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }
}
