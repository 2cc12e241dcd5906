//! NVIDIA GPUs through burn's CUDA backend, which loads the driver when it is first used: a build with it runs anywhere.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use burn::cubecl::config::cache::CacheConfig;
use burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use burn::prelude::*;
use burn::tensor::DeviceType;

use crate::files;

/// GPU `index`, if it answers.
pub(super) fn open(index: usize) -> Result<Device> {
    answering(index).map_err(|problem| anyhow!("{problem}; use `--device cpu`"))
}

/// GPU 0, if it answers. Says on the terminal what was chosen, since nobody named it.
pub(super) fn open_any() -> Option<Device> {
    match answering(0) {
        Ok(device) => {
            let name = device.identity().map_or_else(|| "GPU 0".to_string(), |identity| identity.name);
            eprintln!("running on {name}; `--device cpu` runs on the CPU");
            Some(device)
        }
        Err(problem) => {
            eprintln!("running on the CPU: {problem}");
            None
        }
    }
}

/// GPU `index` after it has computed something, or why it has not.
fn answering(index: usize) -> Result<Device, String> {
    keep_kernels();
    let count = Device::enumerate(DeviceType::Cuda).into_vec().len();
    match count {
        0 => return Err("no NVIDIA GPU answers here, or its driver (libcuda) is not installed".to_string()),
        1 if index > 0 => return Err(format!("there is no GPU {index}, only GPU 0")),
        _ if index >= count => return Err(format!("there is no GPU {index}, only GPUs 0 to {}", count - 1)),
        _ => {}
    }
    let device = Device::cuda(index);
    without_panic(|| first_result(&device)).map_err(|problem| format!("GPU {index} cannot be used ({problem})"))?;
    Ok(device)
}

/// Has compiled kernels, and which of several was fastest, kept in the folder that downloads are kept in: a model has some
/// hundred, and each program that begins would spend a minute on them. Where no folder is known, they are not kept.
fn keep_kernels() {
    let Some(folder) = files::cache_folder(std::env::var("UNMASK_CACHE").ok()) else { return };
    let mut config = CubeClRuntimeConfig::default().override_from_env();
    config.compilation.cache = true;
    config.environment.path = CacheConfig::Directory(folder.join("kernels"));
    // Refused where it has been done before.
    CubeClRuntimeConfig::try_set(config);
}

/// Computes and reads `exp(0)`: the driver is set up, a kernel compiled, loaded and run, and with the exponential also the
/// mathematical library of the CUDA toolkit (`libdevice`) found.
fn first_result(device: &Device) -> Result<(), String> {
    let result = Tensor::<1>::from_data([0.0f32], device).exp().try_into_data().map_err(|error| error.to_string())?;
    match result.iter::<f32>().next() {
        Some(1.0) => Ok(()),
        other => Err(format!("it says that exp(0) is {other:?}")),
    }
}

/// Runs `work`, with the first line of a panic as an error. burn has no other way to say that a GPU cannot be set up: a
/// driver that is too old, a GPU that somebody else has to himself, a toolkit that is missing. Everything after this
/// first work runs without such a net.
fn without_panic(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let said = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&said);
    let hook = panic::take_hook();
    // The first panic is the cause, on whichever thread of burn's it happens; those that it leads to say less.
    panic::set_hook(Box::new(move |panicked| {
        let message = panicked.payload_as_str().unwrap_or("it gives no reason").to_string();
        heard.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    let cause = said.lock().unwrap_or_else(PoisonError::into_inner).take();
    let problem = match (outcome, cause) {
        (Ok(Ok(())), _) => return Ok(()),
        (_, Some(cause)) => cause,
        (Ok(Err(problem)), None) => problem,
        (Err(_), None) => "it gives no reason".to_string(),
    };
    Err(problem.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it gives no reason").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_a_gpu_is_set_up_becomes_a_sentence() {
        assert_eq!(without_panic(|| Ok(())), Ok(()));
        assert_eq!(without_panic(|| Err("refused\nat length".into())), Err("refused".into()));
        assert_eq!(without_panic(|| panic!("\n  no libdevice\nstack")), Err("no libdevice".into()));
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused() {
        let problem = answering(1000).unwrap_err();
        assert!(problem.contains("GPU") && !problem.contains("panic"), "{problem}");
    }
}
