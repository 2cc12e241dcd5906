//! What the user can choose: which detector, what computes, and what is looked at.

use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::File;

use crate::api::Problem;

/// What the bundled detector is called where it is chosen.
const BUNDLED_NAME: &str = "unmask-lite";

/// Where the detector comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Bundled,
    OwnFile,
    Address,
}

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

/// A detector as it is loaded. Two choices are the same where the same detector would come out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    /// A URL or a file; undefined for the detector that comes with the page.
    pub(crate) source: JsValue,
    /// For an adapter: the file of the detector that it belongs to.
    pub(crate) base: Option<File>,
    pub(crate) device: Device,
}

/// The settings as they stand.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) origin: RwSignal<Origin>,
    pub(crate) own_file: RwSignal<Option<File>, LocalStorage>,
    pub(crate) address: RwSignal<String>,
    pub(crate) base: RwSignal<Option<File>, LocalStorage>,
    pub(crate) device: RwSignal<Device>,
    pub(crate) faces: RwSignal<Faces>,
    /// Frames of a video to look at; `None` for the detector's own number.
    pub(crate) frames: RwSignal<Option<u32>>,
}

impl Settings {
    pub(crate) fn new() -> Self {
        Self {
            origin: RwSignal::new(Origin::Bundled),
            own_file: RwSignal::new_local(None),
            address: RwSignal::new(String::new()),
            base: RwSignal::new_local(None),
            device: RwSignal::new(Device::Auto),
            faces: RwSignal::new(Faces::All),
            frames: RwSignal::new(None),
        }
    }

    /// The detector that the settings name.
    ///
    /// # Errors
    /// What they lack.
    pub(crate) fn choice(self) -> Result<Choice, Problem> {
        let missing = |what| Problem {
            code: "wrong_use".to_owned(),
            message: format!("{what} in the settings, or go back to the detector that comes with this page"),
        };
        let source = match self.origin.get_untracked() {
            Origin::Bundled => JsValue::UNDEFINED,
            Origin::OwnFile => {
                self.own_file.get_untracked().ok_or_else(|| missing("No detector file is chosen: choose one"))?.into()
            }
            Origin::Address => match self.address.get_untracked().trim() {
                "" => return Err(missing("No address of a detector is given: enter one")),
                address => JsValue::from_str(address),
            },
        };
        let base = match self.origin.get_untracked() {
            Origin::Bundled => None,
            _ => self.base.get_untracked(),
        };
        Ok(Choice { source, base, device: self.device.get_untracked() })
    }

    /// The settings in a few words.
    pub(crate) fn summary(self) -> String {
        let detector = match self.origin.get() {
            Origin::Bundled => BUNDLED_NAME.to_owned(),
            Origin::OwnFile => self.own_file.get().map_or_else(|| "no file chosen yet".to_owned(), |file| file.name()),
            Origin::Address => match self.address.get().trim().rsplit('/').next() {
                None | Some("") => "no address given yet".to_owned(),
                Some(name) => name.to_owned(),
            },
        };
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
        format!("{detector}, {device}, {faces}{frames}")
    }
}
