//! What the user can choose: which detectors, what computes, and what is looked at.

use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::File;

use crate::api::Problem;
use crate::offered::Offered;

/// What the bundled detector is called where it is chosen.
pub(crate) const BUNDLED_NAME: &str = "unmask-lite";

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    Auto,
    Cpu,
    WebGpu,
}

/// Whose faces are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faces {
    Largest,
    All,
}

/// Detectors as they are loaded. Two choices are the same where the same detectors would come out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    /// At least one.
    pub(crate) models: Vec<Chosen>,
    pub(crate) device: Device,
}

/// One detector as it is loaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chosen {
    /// A URL or a file; undefined for the detector that comes with the page.
    pub(crate) source: JsValue,
    /// For an adapter: the file of the detector that it belongs to.
    pub(crate) base: Option<File>,
    /// The only file to accept.
    pub(crate) sha256: Option<String>,
    /// What the file does not say of itself, should it be somebody else's checkpoint.
    pub(crate) checkpoint: Option<Checkpoint>,
}

/// What is known of a checkpoint beside its tensors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Checkpoint {
    pub(crate) name: String,
    pub(crate) licence: Option<String>,
    pub(crate) format: Option<String>,
    /// The address of its `config.json`.
    pub(crate) config: Option<String>,
}

/// The settings as they stand.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// Whether the detector that comes with the page is chosen.
    pub(crate) bundled: RwSignal<bool>,
    /// The detectors that whoever serves the page offers.
    pub(crate) offered: RwSignal<Vec<Offered>, LocalStorage>,
    /// From where else than its own origin the page may fetch detectors.
    /// `None` where nobody says.
    pub(crate) origins: RwSignal<Option<Vec<String>>>,
    /// The addresses of those that are chosen.
    pub(crate) chosen: RwSignal<Vec<String>>,
    /// Whether the user's own file is chosen.
    pub(crate) own: RwSignal<bool>,
    pub(crate) own_file: RwSignal<Option<File>, LocalStorage>,
    /// Whether the address is chosen.
    pub(crate) elsewhere: RwSignal<bool>,
    pub(crate) address: RwSignal<String>,
    pub(crate) base: RwSignal<Option<File>, LocalStorage>,
    pub(crate) device: RwSignal<Device>,
    pub(crate) faces: RwSignal<Faces>,
    /// Frames of a video to look at; `None` for the detectors' own number.
    pub(crate) frames: RwSignal<Option<u32>>,
}

impl Settings {
    pub(crate) fn new() -> Self {
        Self {
            bundled: RwSignal::new(true),
            offered: RwSignal::new_local(Vec::new()),
            origins: RwSignal::new(None),
            chosen: RwSignal::new(Vec::new()),
            own: RwSignal::new(false),
            own_file: RwSignal::new_local(None),
            elsewhere: RwSignal::new(false),
            address: RwSignal::new(String::new()),
            base: RwSignal::new_local(None),
            device: RwSignal::new(Device::Auto),
            faces: RwSignal::new(Faces::All),
            frames: RwSignal::new(None),
        }
    }

    /// Those that are offered and chosen, in the order of the list.
    fn chosen(self) -> Vec<Offered> {
        let chosen = self.chosen.get();
        self.offered.with(|offered| offered.iter().filter(|one| chosen.contains(&one.url)).cloned().collect())
    }

    /// Whether no detector is chosen at all.
    pub(crate) fn lacks_detector(self) -> bool {
        !self.bundled.get() && !self.own.get() && !self.elsewhere.get() && self.chosen().is_empty()
    }

    /// The detectors that the settings name.
    ///
    /// # Errors
    /// What they lack.
    pub(crate) fn choice(self) -> Result<Choice, Problem> {
        let mut models = Vec::new();
        if self.bundled.get_untracked() {
            models.push(Chosen::default());
        }
        models.extend(untrack(|| self.chosen()).into_iter().map(Chosen::from));
        // There is one field for a base: the file has it where there is one.
        let mut base = self.base.get_untracked();
        if self.own.get_untracked() {
            let file = self.own_file.get_untracked();
            let file = file.ok_or_else(|| missing("No detector file is chosen: choose one, or leave it out"))?;
            models.push(Chosen { source: file.into(), base: base.take(), ..Chosen::default() });
        }
        if self.elsewhere.get_untracked() {
            let address = self.address.get_untracked();
            let source = match address.trim() {
                "" => return Err(missing("No address of a detector is given: enter one, or leave it out")),
                address => JsValue::from_str(address),
            };
            models.push(Chosen { source, base: base.take(), ..Chosen::default() });
        }
        if models.is_empty() {
            return Err(missing("No detector is chosen: choose at least one"));
        }
        Ok(Choice { models, device: self.device.get_untracked() })
    }

    /// The settings in a few words.
    pub(crate) fn summary(self) -> String {
        let bundled = self.bundled.get().then(|| BUNDLED_NAME.to_owned());
        let chosen = self.chosen().into_iter().map(|offered| offered.name);
        let own = self
            .own
            .get()
            .then(|| self.own_file.get().map_or_else(|| "no file chosen yet".to_owned(), |file| file.name()));
        let elsewhere = self.elsewhere.get().then(|| match self.address.get().trim().rsplit('/').next() {
            None | Some("") => "no address given yet".to_owned(),
            Some(name) => name.to_owned(),
        });
        let detectors: Vec<String> = bundled.into_iter().chain(chosen).chain(own).chain(elsewhere).collect();
        let detectors = if detectors.is_empty() { "no detector".to_owned() } else { detectors.join(" and ") };
        let device = match self.device.get() {
            Device::Auto => "device chosen automatically",
            Device::Cpu => "on the CPU",
            Device::WebGpu => "on the graphics device",
        };
        let faces = match self.faces.get() {
            Faces::All => "everybody in the picture",
            Faces::Largest => "the largest face",
        };
        let frames = match self.frames.get() {
            None => String::new(),
            Some(frames) => format!(", {frames} frames"),
        };
        format!("{detectors}, {device}, {faces}{frames}")
    }
}

impl From<Offered> for Chosen {
    fn from(offered: Offered) -> Self {
        let Offered { name, url, sha256, licence, format, config, .. } = offered;
        let checkpoint = Some(Checkpoint { name, licence, format, config });
        Self { source: JsValue::from_str(&url), base: None, sha256, checkpoint }
    }
}

/// What the settings lack.
fn missing(what: &str) -> Problem {
    let message = format!("{what} in the settings, or go back to the detector that comes with this page");
    Problem { code: "wrong_use".to_owned(), message }
}
