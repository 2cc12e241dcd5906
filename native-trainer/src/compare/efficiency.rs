//! What a detector costs: parameters, bytes, operations, time and memory.

use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::config::Method;
use super::detectors::Ready;
use super::results::{Efficiency, Outcome, Speed};
use super::{Halt, Options, results_folder, store, stored};
use crate::counts::{self, Counts};
use crate::files;
use crate::speed::{Row, TOWER};

/// Measured repetitions, of which the median counts.
const REPEATS: u32 = 5;

/// What a speed is of; only where all of it is the same, one that was measured before counts.
#[derive(PartialEq, Serialize, Deserialize)]
struct Key {
    detector: String,
    device: String,
    batch: u32,
}

/// The figures of a detector, `speed` among them.
pub(super) fn of(ready: &Ready, speed: Outcome<Speed>) -> Result<Efficiency> {
    let architecture = &ready.spec.architecture;
    let file = ready.source.open()?;
    let trained = match (ready.strategy, &ready.adapter) {
        (None, _) => None,
        (Some(strategy), None) => Some(counts::trained(&file, architecture, strategy)),
        (Some(strategy), Some(adapter)) => {
            Some(counts::trained(&files::open_safetensors(adapter)?, architecture, strategy))
        }
    };
    Ok(Efficiency {
        parameters: Counts::of(&file, architecture).parameters,
        trained,
        bytes: ready.source.size()?,
        flops: architecture.flops(),
        speed,
    })
}

/// How fast the detector's model is, measured in a process of its own, whose memory is the detector's alone.
pub(super) fn speed(method: &Method, ready: &Ready, options: &Options) -> Result<Speed, Halt> {
    let (device, batch) = (options.device.to_string(), options.batch);
    let key = Key { detector: ready.sha256.clone(), device: device.clone(), batch };
    let path = results_folder(method, options).join("speed.json");
    if let Some(speed) = stored(&path, &key).filter(|_| !options.fresh) {
        return Ok(speed);
    }
    eprintln!("{}: measuring its speed", method.name);
    let program = std::env::current_exe().context("the program's own file is not known")?;
    let output = Command::new(program)
        .args(["bench", "--only-model", "--json", "--model", &ready.source.argument(), "--device", &device])
        .args(["--batch", &batch.to_string(), "--repeat", &REPEATS.to_string()])
        .output()
        .context("the measurement cannot be started")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it ended without a word");
        return Err(anyhow!("its speed cannot be measured: {}", reason.trim_start_matches("error: ")).into());
    }
    let speed = tower(&output.stdout)?;
    store(&path, &key, &speed)?;
    Ok(speed)
}

/// The row of the model in what `unmask bench --json` prints.
fn tower(printed: &[u8]) -> Result<Speed> {
    let rows: Vec<Row> = serde_json::from_slice(printed).context("the measurement cannot be read")?;
    let Some(row) = rows.into_iter().find(|row| row.stage == TOWER) else { bail!("the model was not measured") };
    Ok(Speed {
        images_per_second: 1000.0 / row.milliseconds,
        batch: row.batch,
        repeats: REPEATS,
        peak_memory: row.peak,
    })
}
