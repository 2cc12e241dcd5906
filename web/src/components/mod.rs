//! What people see, a component a file.

pub(crate) mod camera_panel;
pub(crate) mod detail;
pub(crate) mod detectors;
pub(crate) mod facts;
pub(crate) mod file_list;
pub(crate) mod help;
pub(crate) mod intake;
pub(crate) mod kept;
pub(crate) mod lanes;
pub(crate) mod looked;
pub(crate) mod opinions;
pub(crate) mod proof;
pub(crate) mod settings;
pub(crate) mod verdict;
pub(crate) mod viewer;
pub(crate) mod working;

use leptos::prelude::document;
use wasm_bindgen::JsCast;

/// Moves the keyboard's focus to an element, from one that goes away.
fn focus(id: &str) {
    let element = document().get_element_by_id(id).and_then(|found| found.dyn_into::<web_sys::HtmlElement>().ok());
    if let Some(element) = element {
        // An element that cannot be focused leaves the focus where it is.
        let _ = element.focus();
    }
}
