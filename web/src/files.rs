//! Files that come from the user and files that go to them.

use leptos::ev::Event;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, File, FileList, HtmlAnchorElement, HtmlInputElement, Url};

/// The files that were chosen in an input, which is emptied so that the same file can be chosen again.
pub(crate) fn chosen(event: &Event) -> Vec<File> {
    let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else {
        return Vec::new();
    };
    let files = listed(input.files());
    input.set_value("");
    files
}

/// The files of a list.
pub(crate) fn listed(list: Option<FileList>) -> Vec<File> {
    let Some(list) = list else { return Vec::new() };
    (0..list.length()).filter_map(|index| list.get(index)).collect()
}

/// Whether a file is a picture and not a video, by its type or, where the system knows none, by its name.
pub(crate) fn is_picture(file: &File) -> bool {
    let kind = file.type_();
    let name = file.name().to_lowercase();
    kind.starts_with("image/")
        || kind.is_empty() && [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"].iter().any(|end| name.ends_with(end))
}

/// Gives the user a JSON file.
pub(crate) fn save_json(name: &str, json: &str) {
    let save = || -> Result<(), JsValue> {
        let kind = BlobPropertyBag::new();
        kind.set_type("application/json");
        let parts = js_sys::Array::of1(&JsValue::from_str(json));
        let url = Url::create_object_url_with_blob(&Blob::new_with_str_sequence_and_options(&parts, &kind)?)?;
        let link: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
        link.set_href(&url);
        link.set_download(name);
        link.click();
        Url::revoke_object_url(&url)
    };
    if let Err(error) = save() {
        leptos::logging::error!("the report could not be saved: {error:?}");
    }
}
