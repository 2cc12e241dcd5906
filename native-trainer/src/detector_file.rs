//! Detector files and adapters: where they come from, opening, and writing.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow, bail};
use burn::prelude::*;
use burn::tensor::DType;
use sha2::{Digest, Sha256};
use unmask_core::detector::spec::{AdapterSpec, DetectorSpec, LowRankSpec, Reference, SPEC_KEY};
use unmask_core::detector::{Detector, FrontEnd, Model, Values, for_each_parameter, reference};
use unmask_core::weights::{Adapted, Init, Merged, SafetensorsFile, Started, TensorSource, WeightsError};

use crate::decomposed::{self, Decomposed, Kept};
use crate::files::{self, Bytes};
use crate::hub::{Hub, converted};
use crate::tensors::{StoredTensor, write_tensors};

/// The name of the detector that is part of the program.
pub const BUNDLED: &str = "unmask-lite";
/// Its file; `models/unmask-lite.md` says how it was made and what it is good for.
const BUNDLED_BYTES: &[u8] = include_bytes!("../../models/unmask-lite.safetensors");

/// Where a detector comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file on disk.
    File(PathBuf),
    /// The one that is part of the program.
    Bundled,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Bundled => write!(f, "{BUNDLED} (part of this program)"),
        }
    }
}

impl Source {
    /// Opens it and checks its header.
    pub fn open(&self) -> Result<SafetensorsFile<Bytes>> {
        match self {
            Self::File(path) => files::open_safetensors(path),
            Self::Bundled => SafetensorsFile::open(Bytes::in_program(BUNDLED_BYTES)).map_err(|e| self.naming(e)),
        }
    }

    /// What names it on the command line.
    pub fn argument(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bundled => BUNDLED.to_owned(),
        }
    }

    /// SHA-256 of its bytes in lower-case hexadecimal.
    pub fn sha256(&self) -> Result<String> {
        match self {
            Self::File(path) => files::sha256(path),
            Self::Bundled => Ok(files::hex(Sha256::new_with_prefix(BUNDLED_BYTES))),
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> Result<u64> {
        Ok(match self {
            Self::File(path) => files::open(path)?.metadata()?.len(),
            Self::Bundled => BUNDLED_BYTES.len() as u64,
        })
    }

    /// An error about its weights with its name in front.
    pub fn naming(&self, error: WeightsError) -> anyhow::Error {
        anyhow::anyhow!("{self} {error}")
    }

    /// Reads the description in its header.
    pub fn read_spec(&self, file: &SafetensorsFile<Bytes>) -> Result<DetectorSpec> {
        let text = file.metadata(SPEC_KEY).ok_or(WeightsError::NotADetector).map_err(|e| self.naming(e))?;
        DetectorSpec::from_json(text).map_err(|e| self.naming(e))
    }
}

/// A detector that was loaded, and which file it was.
pub struct Loaded {
    /// The detector, on its device.
    pub detector: Detector,
    hash: FileHash,
}

/// The SHA-256 of a file, computed beside other work: of a large one it takes as long as loading it.
struct FileHash(Arc<OnceLock<Result<String, String>>>);

impl FileHash {
    fn of(source: &Source) -> Self {
        let (found, source) = (Arc::new(OnceLock::new()), source.clone());
        let slot = Arc::clone(&found);
        std::thread::spawn(move || slot.set(source.sha256().map_err(|error| format!("{error:#}"))));
        Self(found)
    }
}

impl Loaded {
    /// The detector of this file, which a device other than the CPU has to compute as the file says that a CPU does.
    fn checked(detector: Detector, source: &Source, hash: FileHash) -> Result<Self> {
        if let Some(reference) = detector.spec().reference
            && *detector.device() != Device::flex()
        {
            let answer = reference::answer(&detector).map_err(|error| source.naming(error))?;
            reference.compare(&answer).map_err(|problem| {
                anyhow!("{source} cannot be trusted to this device, which {problem}; use `--device cpu`")
            })?;
        }
        Ok(Self { detector, hash })
    }

    /// The file's SHA-256, in hexadecimal.
    ///
    /// # Errors
    /// The file could not be read to its end.
    pub fn sha256(&self) -> Result<String> {
        self.hash.0.wait().clone().map_err(|problem| anyhow!(problem))
    }
}

/// Loads a detector, or an adapter over `base`, for commands that take `--base`.
pub fn load(source: &Source, base: Option<&Source>, device: &Device) -> Result<Loaded> {
    let hash = FileHash::of(source);
    let detector = match (Content::of(source, device)?, base) {
        (Content::Whole(detector), None) => *detector,
        (Content::Whole(_), Some(base)) => {
            bail!("{source} is a whole detector, so `--base {base}` has no use; leave it out")
        }
        (Content::Adapter { base_sha256 }, None) => return Err(source.naming(WeightsError::BaseNeeded(base_sha256))),
        (Content::Adapter { base_sha256 }, Some(base)) => adapted(source, base, &base_sha256, device)?,
    };
    Loaded::checked(detector, source, hash)
}

/// Loads a detector for commands that take no base of an adapter.
pub fn load_whole(source: &Source, device: &Device) -> Result<Loaded> {
    let hash = FileHash::of(source);
    match Content::of(source, device)? {
        Content::Whole(detector) => Loaded::checked(*detector, source, hash),
        Content::Adapter { base_sha256 } => bail!(
            "{source} is an adapter for the detector with SHA-256 {base_sha256}, and a whole detector is needed here; \
             name one, such as the detector.safetensors that a finished run leaves beside its adapter"
        ),
    }
}

/// What a detector to train is made of before its low-rank updates are: cheap to find, and refused before anything long begins.
pub struct ToTrain {
    source: Source,
    sha256: String,
    spec: DetectorSpec,
    /// The weights that updates take a part of, where they do.
    layers: Vec<(String, [usize; 2])>,
}

impl ToTrain {
    /// That of `loaded`, which is `source`, by `low_rank`.
    ///
    /// # Errors
    /// It has updates already, or weights that cannot be taken apart so far.
    pub fn new(source: &Source, loaded: &Loaded, low_rank: &LowRankSpec) -> Result<Self> {
        let mut spec = loaded.detector.spec().clone();
        if spec.low_rank.is_some() {
            bail!(
                "{source} has low-rank updates already; start from the detector.safetensors that their run left, in which \
                 they are merged"
            );
        }
        spec.low_rank = Some(low_rank.clone());
        let layers = match low_rank.residual {
            true => decomposed::layers(&source.open()?, low_rank).map_err(|problem| anyhow!("{source} {problem}"))?,
            false => Vec::new(),
        };
        Ok(Self { source: source.clone(), sha256: loaded.sha256()?, spec, layers })
    }

    /// The detector with its updates: fresh ones by `seed`, or the parts of weights that they take the place of, which are kept
    /// in `out` and taken from there where an earlier run left them. `None` where `stop` was set meanwhile.
    ///
    /// # Errors
    /// It cannot be read any more, its weights cannot be taken apart, or the parts cannot be written.
    pub fn load(self, seed: u64, out: &Path, device: &Device, stop: &AtomicBool) -> Result<Option<Detector>> {
        let Self { source, sha256, spec, layers } = self;
        let mut file = source.open()?;
        let loaded = match spec.low_rank.clone().filter(|low_rank| low_rank.residual) {
            Some(low_rank) => {
                let kept = Kept::new(out, &sha256, &low_rank);
                let parts = match kept.read(&layers) {
                    Some(parts) => parts,
                    None => {
                        let found = decomposed::take_apart(&mut file, &layers, low_rank.rank, stop);
                        let Some(parts) = found.map_err(|problem| anyhow!("{source} {problem}"))? else {
                            return Ok(None);
                        };
                        kept.write(&layers, &parts)?;
                        parts
                    }
                };
                Detector::load(spec, &mut Decomposed::new(file, parts), device)
            }
            None => Detector::load(spec, &mut Started::new(file, seed), device),
        };
        loaded.map(Some).map_err(|error| source.naming(error))
    }
}

/// Loads what a run stored on its way: a whole detector, or an adapter over what it started from.
pub fn load_over(source: &Source, start: &Source, device: &Device) -> Result<Detector> {
    match Content::of(source, device)? {
        Content::Whole(detector) => Ok(*detector),
        Content::Adapter { base_sha256 } => adapted(source, start, &base_sha256, device),
    }
}

/// The description of a detector, with the mark of an adapter only where that is what the file holds.
pub fn describe(source: &Source, file: &SafetensorsFile<Bytes>) -> Result<DetectorSpec> {
    let spec = source.read_spec(file)?;
    let is_whole = spec.adapter.is_some() && matches!(Content::of(source, &Device::flex())?, Content::Whole(_));
    Ok(if is_whole { DetectorSpec { adapter: None, ..spec } } else { spec })
}

/// What a detector file holds.
enum Content {
    /// Every tensor that its architecture needs, whatever it says of a base.
    Whole(Box<Detector>),
    /// Only what was trained.
    Adapter {
        /// SHA-256 of the detector that it changes.
        base_sha256: String,
    },
}

impl Content {
    /// An adapter is known by its first tensor that is missing, so nothing large is read of it.
    fn of(source: &Source, device: &Device) -> Result<Self> {
        let mut file = source.open()?;
        let mut spec = source.read_spec(&file)?;
        let adapter = spec.adapter.take();
        match (Detector::load(spec, &mut file, device), adapter) {
            (Ok(detector), _) => Ok(Self::Whole(Box::new(detector))),
            (Err(WeightsError::Missing(_)), Some(AdapterSpec { base_sha256 })) => Ok(Self::Adapter { base_sha256 }),
            (Err(error), _) => Err(source.naming(error)),
        }
    }
}

/// The adapter `source` over `base`, which has to be the detector with this SHA-256.
fn adapted(source: &Source, base: &Source, base_sha256: &str, device: &Device) -> Result<Detector> {
    let found = base.sha256()?;
    if found != base_sha256 {
        return Err(source.naming(WeightsError::WrongBase { expected: base_sha256.to_owned(), found }));
    }
    let file = source.open()?;
    let spec = source.read_spec(&file)?;
    Detector::load(spec, &mut Adapted::new(file, base.open()?), device).map_err(|error| source.naming(error))
}

/// Writes `model`'s parameters whose names `keep` accepts in f32, with `spec` in the header, and no reference.
pub fn write(path: &Path, spec: &DetectorSpec, model: &Model, keep: impl Fn(&str) -> bool) -> Result<()> {
    write_with(path, spec, model, None, keep)
}

/// Writes all of `model`'s parameters in f32, with `spec` and what the detector answers to the test picture in the header.
pub fn write_whole(path: &Path, spec: &DetectorSpec, model: &Model) -> Result<()> {
    let reference = match spec.quantization.is_none() && model.devices().iter().all(|device| *device == Device::flex())
    {
        // As it is, so that its weights are not in memory once more.
        true => {
            let front_end = FrontEnd::new(spec, &Device::flex(), DType::F32);
            Reference::by(&Detector::from_parts(spec.clone(), model.clone(), front_end))
        }
        false => Reference::of(spec.clone(), &mut InMemory::of(model)),
    };
    let reference = reference.map_err(|error| files::naming(path, error))?;
    write_with(path, spec, model, Some(reference), |_| true)
}

fn write_with(
    path: &Path,
    spec: &DetectorSpec,
    model: &Model,
    reference: Option<Reference>,
    keep: impl Fn(&str) -> bool,
) -> Result<()> {
    let mut tensors = Vec::new();
    for_each_parameter(model, &mut |name, shape, values| {
        if keep(&name) {
            tensors.push((name, StoredTensor::read_when_written(shape, values)));
        }
    });
    // What integers changed, numbers of f32 do not.
    let spec = DetectorSpec { quantization: None, reference, ..spec.clone() };
    let metadata = HashMap::from([(SPEC_KEY.to_string(), spec.to_json().map_err(|e| files::naming(path, e))?)]);
    write_tensors(path, tensors, Some(metadata))
}

/// [`write_whole()`] with the low-rank updates merged into their weights.
pub fn write_merged(path: &Path, spec: &DetectorSpec, model: &Model, low_rank: Option<&LowRankSpec>) -> Result<()> {
    let Some(low_rank) = low_rank else { return write_whole(path, spec, model) };
    let spec = DetectorSpec { low_rank: None, ..spec.clone() };
    let mut source = Merged::new(InMemory::of(model), low_rank.clone());
    let merged = Model::load(&spec.architecture, &mut source, &Device::flex());
    write_whole(path, &spec, &merged.map_err(|error| files::naming(path, error))?)
}

/// The tensors of a model.
pub struct InMemory(BTreeMap<String, (Vec<usize>, Values)>);

impl InMemory {
    /// Those of `model`, which are copied when they are read.
    pub fn of(model: &Model) -> Self {
        let mut tensors = BTreeMap::new();
        for_each_parameter(model, &mut |name, shape, values| {
            tensors.insert(name, (shape, values));
        });
        Self(tensors)
    }
}

impl TensorSource for InMemory {
    fn read(&mut self, name: &str, _: &[usize], _: Init) -> Result<Vec<f32>, WeightsError> {
        let (_, values) = self.0.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        values().try_into_vec().map_err(|error| WeightsError::Read(format!("{error:?}")))
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).map(|(shape, _)| shape.clone())
    }
}

/// The detector that `model` names: a path, the bundled one's name, or else a name that `unmask pull` stored in the cache.
/// A path needs no cache and none of the hub's settings.
pub fn resolve(model: &str) -> Result<Source> {
    let path = PathBuf::from(model);
    if path.exists() || model.contains(std::path::is_separator) || path.extension().is_some() {
        return Ok(Source::File(path));
    }
    if model == BUNDLED {
        return Ok(Source::Bundled);
    }
    let pulled = pulled_path(model, Hub::from_env()?.cache());
    if pulled.exists() {
        if !converted::is_by_today(&pulled) {
            eprintln!(
                "warning: {model} was converted by an earlier version of this program, which did it in another way; run `unmask \
                 pull {model}` to convert it anew"
            );
        }
        return Ok(Source::File(pulled));
    }
    bail!(
        "{model} is neither a file nor a pulled detector; run `unmask pull {model}`, give the path of a detector file, \
         or use {BUNDLED}, which is part of the program"
    )
}

/// The detectors that `--model` and `--base` name.
pub fn resolve_with_base(model: &str, base: Option<&Path>) -> Result<(Source, Option<Source>)> {
    Ok((resolve(model)?, base.map(|base| resolve(&base.to_string_lossy())).transpose()?))
}

/// Where `unmask pull` stores the detector `name`.
pub fn pulled_path(name: &str, cache: &Path) -> PathBuf {
    cache.join("detectors").join(format!("{name}.safetensors"))
}
