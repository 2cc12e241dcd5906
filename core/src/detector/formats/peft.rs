//! Adapters as Hugging Face PEFT saves them (`adapter_model.safetensors` and `adapter_config.json`): low-rank updates, and
//! modules that were trained whole, to be merged into the checkpoint that they were trained on.
//!
//! A layer of the adapter is known by what its [`Format`] makes of its name, and so is the checkpoint's, whatever is around
//! either; so a checkpoint keeps its own names and a format needs to know nothing of adapters.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::clip::head_name;
use super::peft_config::PeftConfig;
use super::{Fate, Format, is_in, is_mark};
use crate::weights::wrapping::{self, Unwrapped};
use crate::weights::{Init, TensorSource, WeightsError, add_product};

/// What PEFT puts before the names of the model that it adapts.
const AROUND: &str = "base_model.model.";
/// What a lone linear head is called in detectors of one's own.
const HEADS: [&str; 3] = ["classifier", "head", "fc"];

/// A checkpoint's tensors by their own names, with an adapter merged into them.
pub struct PeftMerged<B, A> {
    base: B,
    adapter: A,
    /// By the checkpoint's names.
    changes: BTreeMap<String, Change>,
}

/// What an adapter does to a tensor.
#[derive(Debug)]
enum Change {
    /// It adds a product of two thin matrices, by their names in the adapter.
    Added { down: String, up: String, rank: usize, scale: f32 },
    /// It has the tensor whole, under this name.
    Whole(String),
}

/// A head that an adapter has where its checkpoint has none, under the names of a file that is a head alone.
pub struct PeftHead(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl<B: TensorSource, A: TensorSource> PeftMerged<B, A> {
    /// `adapter`, of which `config` is the description, merged into `base`, a checkpoint of `format`; and the head beside the
    /// updates, if there is one.
    ///
    /// # Errors
    /// [`WeightsError::Peft`] with the first thing that is not understood or belongs to another checkpoint;
    /// [`WeightsError::SeveralNetworks`]; or a failed read of the head.
    pub fn new(
        base: B,
        mut adapter: A,
        config: &PeftConfig,
        format: &dyn Format,
    ) -> Result<(Self, Option<PeftHead>), WeightsError> {
        let names = base.names();
        if !is_in(format, &names) {
            // Whoever reads it as a checkpoint says what is wrong with it.
            return Ok((Self { base, adapter, changes: BTreeMap::new() }, None));
        }
        let bases = by_first_of_ours(&names, format)?;
        let Parts { updates, wholes } = Parts::of(&adapter.names(), config).map_err(WeightsError::Peft)?;
        let (mut changes, mut prefixes) = (BTreeMap::new(), BTreeSet::new());
        let mut add = |name: &str, change: Change| -> Result<(), String> {
            let Some(place) = place(format, name, &bases)? else { return Ok(()) };
            prefixes.insert(place.prefix);
            changes.insert(place.tensor, change);
            Ok(())
        };
        for (layer, [down, up]) in updates {
            let rank = adapter.shape(&down).and_then(|shape| shape.first().copied()).unwrap_or(0);
            let scale = config.scale(&layer, rank).map_err(WeightsError::Peft)?;
            add(&format!("{layer}.weight"), Change::Added { down, up, rank, scale }).map_err(WeightsError::Peft)?;
        }
        let mut head = BTreeMap::new();
        for (name, theirs) in wholes {
            match head_part(format, &name) {
                Some(part) => {
                    config.check_head().map_err(WeightsError::Peft)?;
                    let shape = adapter.shape(&theirs).unwrap_or_default();
                    let values = adapter.read(&theirs, &shape, Init::Zeros)?;
                    head.insert(part, (shape, values));
                }
                None => add(&name, Change::Whole(theirs)).map_err(WeightsError::Peft)?,
            }
        }
        let networks: Vec<&str> = prefixes.iter().map(|prefix| prefix.trim_end_matches('.')).collect();
        let problem = match networks.len() {
            0 => "it changes nothing that a detector has".to_owned(),
            1 => return Self { base, adapter, changes }.checked().map(|merged| (merged, PeftHead::of(head))),
            _ => format!("it changes several networks ({})", networks.join(", ")),
        };
        Err(WeightsError::Peft(problem))
    }

    /// Refuses what has other shapes than the checkpoint.
    fn checked(self) -> Result<Self, WeightsError> {
        for (name, change) in &self.changes {
            let of_base = self.base.shape(name).unwrap_or_default();
            let expected = match (change, of_base.as_slice()) {
                (Change::Whole(theirs), _) => [Some((theirs, of_base.clone())), None],
                (Change::Added { down, up, rank, .. }, [outputs, inputs @ ..]) if !inputs.is_empty() => {
                    let mut down_shape = of_base.clone();
                    down_shape[0] = *rank;
                    let mut up_shape = alloc::vec![1; of_base.len()];
                    (up_shape[0], up_shape[1]) = (*outputs, *rank);
                    [Some((down, down_shape)), Some((up, up_shape))]
                }
                (Change::Added { down, .. }, _) => {
                    return Err(WeightsError::Peft(format!("`{down}` changes `{name}`, which is no matrix")));
                }
            };
            for (theirs, expected) in expected.into_iter().flatten() {
                let found = self.adapter.shape(theirs).unwrap_or_default();
                if found != expected {
                    return Err(WeightsError::Peft(format!(
                        "its tensor `{theirs}` has shape {found:?} where `{name}` of the checkpoint needs {expected:?}"
                    )));
                }
            }
        }
        Ok(self)
    }
}

impl<B: TensorSource, A: TensorSource> TensorSource for PeftMerged<B, A> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        match self.changes.get(name) {
            None => self.base.read(name, shape, init),
            Some(Change::Whole(theirs)) => self.adapter.read(theirs, shape, init),
            Some(Change::Added { down, up, rank, scale }) => {
                let mut values = self.base.read(name, shape, init)?;
                let mut of_adapter = |theirs: &String| {
                    let shape = self.adapter.shape(theirs).unwrap_or_default();
                    self.adapter.read(theirs, &shape, Init::Zeros)
                };
                // A convolution is the product of its weights laid out as matrices.
                let (down, up) = (of_adapter(down)?, of_adapter(up)?);
                let inputs = down.len() / (*rank).max(1);
                if inputs > 0 {
                    add_product(&mut values, &up, &down, [*rank, inputs], *scale);
                }
                Ok(values)
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.base.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.base.shape(name)
    }
}

impl PeftHead {
    fn of(tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Option<Self> {
        (!tensors.is_empty()).then_some(Self(tensors))
    }
}

impl TensorSource for PeftHead {
    fn read(&mut self, name: &str, shape: &[usize], _: Init) -> Result<Vec<f32>, WeightsError> {
        let (found, values) = self.0.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        if found != shape {
            let (name, found, expected) = (name.to_owned(), found.clone(), shape.to_vec());
            return Err(WeightsError::Shape { name, found, expected });
        }
        Ok(values.clone())
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).map(|(shape, _)| shape.clone())
    }
}

/// The tensors of an adapter, by the names in the model that was adapted.
struct Parts {
    /// Both thin matrices of each layer, `[down, up]`.
    updates: BTreeMap<String, [String; 2]>,
    /// What was trained whole.
    wholes: BTreeMap<String, String>,
}

impl Parts {
    fn of(names: &[String], config: &PeftConfig) -> Result<Self, String> {
        let mut halves: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
        let mut wholes = BTreeMap::new();
        for theirs in names {
            let name = theirs.rsplit_once(AROUND).map_or(theirs.as_str(), |(_, name)| name);
            // What a module was before it was trained.
            if name.contains(".original_module.") {
                continue;
            }
            if let Some((layer, index)) = half(name) {
                config.check_target(layer)?;
                let half = &mut halves.entry(layer.to_owned()).or_default()[index];
                if half.replace(theirs.clone()).is_some() {
                    return Err(format!("it holds several adapters of `{layer}`"));
                }
                continue;
            }
            let plain = without_adapter_name(name);
            if !config.saves(&plain) {
                return Err(format!(
                    "its tensor `{theirs}` is neither a low-rank update nor of a module in `modules_to_save`"
                ));
            }
            if wholes.insert(plain, theirs.clone()).is_some() {
                return Err(format!("it holds several adapters of `{theirs}`"));
            }
        }
        let both = |(layer, pair): (String, [Option<String>; 2])| match pair {
            [Some(down), Some(up)] => Ok((layer, [down, up])),
            _ => Err(format!("of `{layer}` it has one of two matrices")),
        };
        Ok(Self { updates: halves.into_iter().map(both).collect::<Result<_, _>>()?, wholes })
    }
}

/// The layer that a thin matrix belongs to, and whether it is the first or the second; an adapter's name may stand after
/// `lora_A`.
fn half(name: &str) -> Option<(&str, usize)> {
    let (index, (layer, rest)) =
        [".lora_A.", ".lora_B."].iter().enumerate().find_map(|(index, mark)| Some((index, name.split_once(mark)?)))?;
    let is_weight = rest == "weight" || rest.strip_suffix(".weight").is_some_and(|adapter| !adapter.contains('.'));
    is_weight.then_some((layer, index))
}

/// `classifier.weight` of `classifier.modules_to_save.default.weight`.
fn without_adapter_name(name: &str) -> String {
    match name.split_once(".modules_to_save.") {
        None => name.to_owned(),
        // Within the module names go on after the adapter's.
        Some((module, rest)) => format!("{module}.{}", rest.split_once('.').map_or(rest, |(_, inner)| inner)),
    }
}

/// The checkpoint's names by the first of ours that each becomes.
fn by_first_of_ours(names: &[String], format: &dyn Format) -> Result<BTreeMap<String, String>, WeightsError> {
    let mut found = BTreeMap::new();
    for Unwrapped { inner, whole } in wrapping::unwrap(names, |name| is_mark(format, name))? {
        if let Some(ours) = first_of_ours(&format.fate(&inner)) {
            found.insert(ours.to_owned(), whole.to_owned());
        }
    }
    Ok(found)
}

fn first_of_ours(fate: &Fate) -> Option<&str> {
    match fate {
        Fate::Named(ours) => Some(ours),
        Fate::Parts(ours) => ours.first().map(String::as_str),
        Fate::Ingredient | Fate::Unused | Fate::Unknown => None,
    }
}

/// Where a tensor of the adapted model is in the checkpoint.
struct Place {
    /// What stands before the name that the format knows.
    prefix: String,
    /// The checkpoint's name.
    tensor: String,
}

/// The place of the tensor `name` of the adapted model; none for what no detector needs, such as a tower for text.
fn place(format: &dyn Format, name: &str, bases: &BTreeMap<String, String>) -> Result<Option<Place>, String> {
    let starts = core::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
    for start in starts {
        let fate = format.fate(&name[start..]);
        match (first_of_ours(&fate), &fate) {
            (_, Fate::Unused) => return Ok(None),
            (None, Fate::Ingredient) => {
                return Err(format!("`{name}`, which it changes, is itself a part of a weight"));
            }
            (None, _) => {}
            (Some(ours), _) => {
                let missing = || format!("the checkpoint has no `{name}`, which it changes");
                let tensor = bases.get(ours).ok_or_else(missing)?.clone();
                return Ok(Some(Place { prefix: name[..start].to_owned(), tensor }));
            }
        }
    }
    Err(format!("`{name}`, which it changes, is nothing of {}", format.description()))
}

/// The name, in a file that is a head alone, of a tensor of a head that the format itself does not have.
fn head_part(format: &dyn Format, name: &str) -> Option<String> {
    if format.has_head() {
        return None;
    }
    let starts = core::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
    if let Some(known) = starts.map(|start| &name[start..]).find(|inner| head_name(inner).is_some()) {
        return Some(known.to_string());
    }
    let (module, kind) = name.rsplit_once('.')?;
    let last = module.rsplit('.').next().unwrap_or(module);
    (HEADS.contains(&last) && matches!(kind, "weight" | "bias")).then(|| format!("model.linear.{kind}"))
}
