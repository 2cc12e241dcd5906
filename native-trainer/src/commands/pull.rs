//! `unmask pull`: published weights by name, made into detector files.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use comfy_table::{Table, presets::NOTHING};

use super::import::{self, BranchArgs, From, HeadArg, ImportArgs};
use unmask::hub::{Freshness, Hub, Pulled, Reporter, converted, known, resolve};
use unmask::output::say;
use unmask::{detector_file, files};

/// Fetch a published detector or backbone and make a detector file of it
#[derive(Args, Debug)]
#[command(
    after_help = "Without NAME the known names are listed. Files come from the Hugging Face hub (HF_ENDPOINT and HF_TOKEN are
honoured), are continued where an earlier download stopped, checked by SHA-256 and kept in the cache (UNMASK_CACHE).

Examples:
  unmask pull
  unmask pull gend-clip-l-14
  unmask pull some-lab/their-detector@main"
)]
pub(crate) struct PullArgs {
    /// A known name, or OWNER/REPOSITORY on the hub, with /FILE and @REVISION where they are not the usual ones
    name: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &PullArgs) -> Result<()> {
    let Some(name) = &args.name else { return list() };
    let hub = Hub::from_env()?;
    // Whoever may not use a model need not wait for it.
    let entry = resolve(name)?;
    eprintln!("{}: {}; licence: {}", entry.name, entry.about, entry.licence);
    let mut reporter = Reporter::stderr();
    let pulled = hub.pull(name, &mut |progress| reporter.show(&progress));
    reporter.finish();
    let pulled = pulled?;
    describe(&pulled)?;
    match &pulled.entry.kind {
        Some(kind) => convert(&hub, &pulled, kind),
        None => {
            say!("convert it with `unmask import --from KIND --input {} --output FILE`", pulled.path.display());
            Ok(())
        }
    }
}

fn list() -> Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["name", "what it is", "licence", "size"]);
    for entry in known()? {
        let size = entry.bytes.map_or(String::new(), |bytes| format!("{:.1} GB", bytes as f64 / 1e9));
        table.add_row([&entry.name, &entry.about, &entry.licence, &size]);
    }
    say!("{table}");
    Ok(())
}

fn describe(pulled: &Pulled) -> Result<()> {
    for file in &pulled.files {
        say!("{}", file.display());
    }
    let checked = if pulled.checked { "checked" } else { "the hub gives none to compare with" };
    say!("SHA-256 {} ({checked}), licence {}", pulled.sha256, pulled.entry.licence);
    if let Some(commit) = &pulled.commit {
        say!("{} at commit {commit}", pulled.entry.repo);
    }
    match &pulled.freshness {
        Freshness::Downloaded => {}
        Freshness::Cached => say!("nothing had to be downloaded"),
        Freshness::Offline { reason } => say!("used from the cache, because the hub could not be asked: {reason}"),
    }
    Ok(())
}

/// Makes the detector file that `--model NAME` finds, unless it is there as it would be made today.
fn convert(hub: &Hub, pulled: &Pulled, kind: &str) -> Result<()> {
    let entry = &pulled.entry;
    let output = detector_file::pulled_path(&entry.name, hub.cache());
    if converted::is_current(&output, &pulled.sha256) {
        say!("{} is ready: use `--model {}`", output.display(), entry.name);
        return Ok(());
    }
    make_folder(&output)?;
    let before = output.exists().then(|| files::sha256(&output)).transpose()?;
    let Some(from) = From::by_name(kind) else {
        bail!("{} is of the kind {kind}, which `unmask import` does not know", entry.name)
    };
    let fresh = import::convert(&ImportArgs {
        from,
        input: pulled.path.clone(),
        head: None,
        peft: None,
        output: output.clone(),
        key: None,
        heads: None,
        head_kind: HeadArg::OneLayer,
        seed: 0,
        crop: None,
        crop_size: None,
        margin: None,
        input_size: None,
        uncertain_above: None,
        name: Some(entry.name.clone()),
        licence: Some(entry.licence.clone()),
        branch: BranchArgs::default(),
        adapter_for: None,
    })?;
    converted::note(&output, &pulled.sha256)?;
    if let Some(before) = before
        && before != files::sha256(&output)?
    {
        say!(
            "{} was made anew, since its weights or their conversion have changed; adapters and runs that began with the one \
             before name that by its SHA-256, {before}",
            output.display()
        );
    }
    if fresh.head {
        say!("{} is a backbone with a random head, to train on; its scores mean nothing until then", output.display());
    } else {
        say!("{} is ready: use `--model {}`", output.display(), entry.name);
    }
    Ok(())
}

fn make_folder(output: &Path) -> Result<()> {
    let Some(folder) = output.parent() else { return Ok(()) };
    let context = || format!("{} cannot be made; set UNMASK_CACHE to a folder that can be written", folder.display());
    std::fs::create_dir_all(folder).with_context(context)
}
