//! `unmask preprocess`: data sets in, aligned faces and a manifest out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use unmask_core::face::alignment::{CropGeometry, CropSpec};

use super::shard::Shard;
use unmask::datasets::manifest::Identity;
use unmask::datasets::source::{LeftOut, Listing, Source};
use unmask::datasets::{self, Compression, Label, Layout, ListOptions, LoadOptions, summary};
use unmask::media::Damage;
use unmask::preprocess::person::Whose;
use unmask::preprocess::picture::PictureFormat;
use unmask::preprocess::{self, Excluded, Holds, Settings, Tally};
use unmask::{detector_file, files, output};

/// JPEG's quality where none is given.
const QUALITY: u8 = 95;

/// Make aligned faces of a data set, to train on and to evaluate with
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  unmask preprocess --input /data/FaceForensics++ --output faces/ff
  unmask preprocess --input /data --output faces/all --shard 2/8        one of eight machines
  unmask preprocess --input lfw --output faces/lfw --layout faces --faces centre --format jpeg
  unmask preprocess --input clips --output faces/clips --label real --for unmask-lite

The layout `dfb` knows FaceForensics++ with FaceShifter and DeepFakeDetection, Celeb-DF, DFDC, DFDCP, LAV-DF, UADFV and the
DFDC's faces as 224-pixel pictures, one of them or a folder of several, with their official splits. Where nobody says what trains and what tests, persons (or videos
with the fakes made of them) are dealt out 80/10/10 by a hash of their names.

A run that was stopped goes on where it was when it is started again; a video that cannot be read is recorded in the
manifest with the reason and stops nothing. A file that was replaced since is done again, and where the
input says another label, split or person now, the manifest follows. Files that belong to no video of
the data set, and crops that this command made, are left out and listed at the end.
Exit status: 0 done (also where no face was found), 1 a video or a folder could not be read, now or in an earlier run, or
a step failed, 2 wrong usage.")]
pub(crate) struct PreprocessArgs {
    /// The folder with the videos and photographs, or a table of them (.tsv, .csv; see `unmask eval --help`)
    #[arg(long, value_name = "ROOT|TABLE")]
    input: PathBuf,
    /// The folder for crops and manifest; several runs may share one
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// How the input is ordered [default: told by its contents]
    #[arg(long, value_enum)]
    layout: Option<Layout>,
    /// The label of everything in the input, for layouts whose folders do not say
    #[arg(long, value_enum)]
    label: Option<Label>,
    /// The name of the data set, for layouts that do not give one [default: the input folder's]
    #[arg(long, value_name = "NAME", value_parser = dataset_name)]
    dataset: Option<String>,
    /// Which compression of FaceForensics++ to take
    #[arg(long, value_enum, default_value = "c23")]
    compression: Compression,
    /// Frames looked at, evenly spaced over each video
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frames: u32,
    /// Whose faces are kept, one person a video
    #[arg(long, value_enum, default_value = "largest")]
    faces: Whose,
    /// Cut faces as this detector wants them, which is to be trained or evaluated with them
    #[arg(long = "for", value_name = "NAME|FILE", conflicts_with_all = ["crop_size", "geometry", "margin"])]
    detector: Option<String>,
    /// Side of the crops in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(8..=4096))]
    crop_size: u32,
    /// Where the face lies in the crop
    #[arg(long, value_enum, default_value = "dfb")]
    geometry: GeometryArg,
    /// How many times wider than the geometry's own view the crop is, 0.5 to 4; at 0.8 and below it ends at brow and chin
    #[arg(long, default_value_t = 1.3, value_parser = margin)]
    margin: f32,
    /// The crops' format
    #[arg(long, value_enum, default_value = "png")]
    format: PictureFormat,
    /// The quality of JPEG, 1 to 100 [default: 95]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: Option<u8>,
    /// A list of file names, one a line, that are left out, in whatever folder they lie and whatever their ending
    #[arg(long, value_name = "FILE")]
    exclude: Option<PathBuf>,
    /// See only to every Nth video, starting with the Ith; the shards may run at once and share the output
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// What to do with a damaged video
    #[arg(long, value_enum, default_value = "refuse")]
    damaged: Damage,
    /// Try again what an earlier run dropped
    #[arg(long)]
    retry: bool,
}

/// Where the face lies.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum GeometryArg {
    /// As in DeepfakeBench
    Dfb,
    /// As in GenD
    Gend,
}

/// A margin as it is written on the command line.
pub(super) fn margin(text: &str) -> Result<f32, String> {
    let margin: f32 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.5..=4.0).contains(&margin) { Ok(margin) } else { Err("it has to lie between 0.5 and 4".to_owned()) }
}

/// Data sets' names are folders in the output.
fn dataset_name(text: &str) -> Result<String, String> {
    let is_sound = !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\', '\0']);
    if is_sound { Ok(text.to_owned()) } else { Err("it names a folder, so no slashes and no dot in front".to_owned()) }
}

/// Runs the command: 0 if all videos were read, 1 if any was not.
pub(crate) fn run(args: &PreprocessArgs) -> Result<ExitCode> {
    if args.quality.is_some() && args.format != PictureFormat::Jpeg {
        eprintln!("error: --quality belongs to --format jpeg; the other formats lose nothing");
        return Ok(ExitCode::from(2));
    }
    let options = ListOptions {
        layout: args.layout,
        label: args.label,
        compression: args.compression,
        dataset: args.dataset.clone(),
    };
    let Listing { mut sources, mut left_out } = datasets::sources(&args.input, &options)?;
    let (excluded, note) = match &args.exclude {
        Some(list) => exclude(list, &mut sources, &mut left_out).map(|(excluded, note)| (Some(excluded), note))?,
        None => (None, None),
    };
    let suffix = args.shard.map_or(String::new(), |shard| {
        shard.keep(&mut sources);
        format!("-{}", shard.to_string().replace('/', "-of-"))
    });
    let (settings, output) = (settings(args)?, &args.output);
    let tally = preprocess::run(&args.input, sources, excluded.as_ref(), output, &suffix, &settings, Holds::Others)?;
    if let Some(note) = note {
        eprintln!("{note}");
    }
    report(args, &tally)?;
    let unread = left_out.iter().filter(|left_out| left_out.is_unreadable).count();
    complain(&tally, left_out);
    let unreadable = tally.unreadable + tally.still_unreadable.len() + unread;
    Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Leaves out the sources whose file is named in `list`, wherever it lies and whatever its ending: a video stands for the
/// pictures of it. Gives what is excluded, and a note where names are of no file.
///
/// # Errors
/// The list cannot be read.
fn exclude(list: &Path, sources: &mut Vec<Source>, left_out: &mut Vec<LeftOut>) -> Result<(Excluded, Option<String>)> {
    let text = files::read_text(list)?;
    let mut unmet: BTreeSet<&str> = text.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    let mut by_stem: HashMap<String, Vec<&str>> = HashMap::new();
    for name in &unmet {
        for stem in [Some((*name).to_owned()), stem(Path::new(name))].into_iter().flatten() {
            by_stem.entry(stem).or_default().push(name);
        }
    }
    let mut excluded: HashSet<Identity> = HashSet::new();
    sources.retain(|source| {
        let path = source.input.path();
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let names = [file, stem(path)].into_iter().flatten().find_map(|name| by_stem.get(&name));
        for name in names.into_iter().flatten() {
            unmet.remove(name);
        }
        if names.is_some() {
            excluded.insert(source.identity());
            left_out.push(LeftOut::new(path, format!("named in {}", list.display())));
        }
        names.is_none()
    });
    let names: Vec<String> = unmet.into_iter().map(str::to_owned).collect();
    let note = || format!("note: {} names in {} are of no file here: {}", names.len(), list.display(), named(&names));
    Ok((Excluded { list: list.to_owned(), videos: excluded }, (!names.is_empty()).then(note)))
}

/// The name of a file without its ending.
fn stem(path: &Path) -> Option<String> {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
}

/// How faces are cut: as the named detector says, else as the other options do.
fn crop(args: &PreprocessArgs) -> Result<CropSpec> {
    if let Some(name) = &args.detector {
        let source = detector_file::resolve(name)?;
        return Ok(source.read_spec(&source.open()?)?.crop);
    }
    let geometry = match args.geometry {
        GeometryArg::Dfb => CropGeometry::Dfb,
        GeometryArg::Gend => CropGeometry::Gend,
    };
    Ok(CropSpec { geometry, size: args.crop_size as usize, margin: args.margin })
}

fn settings(args: &PreprocessArgs) -> Result<Settings> {
    Ok(Settings {
        crop: crop(args)?,
        frames: args.frames as usize,
        whose: args.faces,
        format: args.format,
        quality: args.quality.unwrap_or(QUALITY),
        damage: args.damaged,
        retry: args.retry,
    })
}

/// Files with the same reason that are named.
const NAMED: usize = 10;

/// Says what was not done, or not as before: what is still unreadable, what was replaced, what was left out.
fn complain(tally: &Tally, left_out: Vec<LeftOut>) {
    for reason in &tally.still_unreadable {
        eprintln!("error: {reason} (as an earlier run found; --retry tries again)");
    }
    if !tally.replaced.is_empty() {
        eprintln!("replaced since an earlier run, and done again: {}", named(&tally.replaced));
    }
    if !tally.retold.is_empty() {
        eprintln!(
            "under another label, split or person than in an earlier run, which count now: {}",
            named(&tally.retold)
        );
    }
    if !tally.withdrawn.is_empty() {
        eprintln!(
            "taken off the manifest, since the input has it under another name or label: {}",
            named(&tally.withdrawn)
        );
    }
    if !tally.gone.is_empty() {
        let gone = named(&tally.gone);
        eprintln!("no longer there, and their crops still count: {gone}; another --output is without them");
    }
    let mut reasons: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    for LeftOut { path, reason, files, .. } in left_out {
        let (count, paths) = reasons.entry(reason).or_default();
        *count += files;
        paths.push(match files {
            1 => path.display().to_string(),
            files => format!("{} ({files} files)", path.display()),
        });
    }
    for (reason, (count, mut paths)) in reasons {
        paths.sort_by(|one, other| natord::compare(one, other));
        eprintln!("left out, {count} {reason}: {}", named(&paths));
    }
}

/// The first names of a list, and how many more there are.
fn named(names: &[String]) -> String {
    let first = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Says what was done, and what the output holds now.
fn report(args: &PreprocessArgs, tally: &Tally) -> Result<()> {
    let Tally { done, before, without_face, unreadable, .. } = tally;
    let dataset = datasets::load(&args.output, None, &LoadOptions::default())?;
    output::print(&format!(
        "{done} done, {before} were done before, {without_face} without a face, {unreadable} unreadable\n{} now holds\n{}",
        args.output.display(),
        summary::text(&dataset)
    ))
}
