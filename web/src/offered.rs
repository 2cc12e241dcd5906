//! The detectors that whoever serves this page offers beside its own, as `static/detectors.js` gives them.

use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::api::{Kept, message};

#[wasm_bindgen(raw_module = "./detectors.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = offered)]
    async fn js_offered() -> Result<JsValue, JsValue>;
}

/// The list beside this page.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct List {
    /// From where else than its own origin the page may fetch detectors.
    /// `None` where nobody says.
    pub(crate) origins: Option<Vec<String>>,
    pub(crate) detectors: Vec<Offered>,
}

/// A detector on the web.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Offered {
    pub(crate) name: String,
    pub(crate) url: String,
    /// Where what describes the file is, if its format needs that.
    pub(crate) config: Option<String>,
    /// The format of the file, if it is another than this project's own.
    pub(crate) format: Option<String>,
    /// What it is good at, in one line.
    pub(crate) about: String,
    pub(crate) licence: Option<String>,
    pub(crate) bytes: Option<f64>,
    pub(crate) sha256: Option<String>,
    /// Where it is fetched from.
    origin: String,
    /// Whether this page may fetch from there.
    allowed: bool,
}

impl Offered {
    /// Whether all of it is on this device.
    pub(crate) fn is_kept(&self, kept: &[Kept]) -> bool {
        let is_it = |kept: &Kept| {
            let is_same = self.sha256.is_some() && kept.sha256 == self.sha256;
            kept.complete && (is_same || kept.url.as_ref() == Some(&self.url))
        };
        kept.iter().any(is_it)
    }

    /// The origin that this page would have to be allowed to fetch it from, if it is not.
    pub(crate) fn forbidden_origin(&self) -> Option<&str> {
        (!self.allowed).then_some(self.origin.as_str())
    }
}

/// All that are offered; nothing where there is no list.
///
/// # Errors
/// A sentence that says why the list cannot be read.
pub(crate) async fn offered() -> Result<List, String> {
    let way = "tell whoever serves it";
    let problem = |reason: String| format!("the list of detectors beside this page cannot be read ({reason}); {way}");
    let listed = js_offered().await.map_err(|error| problem(message(&error)))?;
    serde_wasm_bindgen::from_value(listed).map_err(|error| problem(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(url: Option<&str>, sha256: Option<&str>, complete: bool) -> Kept {
        Kept {
            id: "1".to_owned(),
            url: url.map(str::to_owned),
            name: "a".to_owned(),
            bytes: 1.0,
            sha256: sha256.map(str::to_owned),
            complete,
        }
    }

    #[test]
    fn what_is_kept_is_known_by_its_address_or_its_hash_once_it_is_whole() {
        let mut offered = Offered {
            name: "a".to_owned(),
            url: "https://a.example/a".to_owned(),
            config: None,
            format: None,
            about: String::new(),
            licence: None,
            bytes: None,
            sha256: Some("ab".to_owned()),
            origin: "https://a.example".to_owned(),
            allowed: false,
        };
        assert!(offered.is_kept(&[kept(Some("https://a.example/a"), None, true)]));
        assert!(offered.is_kept(&[kept(None, Some("ab"), true)]));
        assert!(
            !offered.is_kept(&[kept(None, Some("ab"), false), kept(Some("https://b.example/a"), Some("cd"), true)])
        );
        offered.sha256 = None;
        assert!(!offered.is_kept(&[kept(None, None, true)]), "two that are not known are not the same");
        assert_eq!(offered.forbidden_origin(), Some("https://a.example"));
    }
}
