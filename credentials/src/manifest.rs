//! What a manifest says, within bounds.

use c2pa::{Reader, ValidationState};
use serde_json::Value;

use crate::{Action, Credentials, Ingredient, State};

/// Actions, ingredients, problems and kinds of sources that are kept, and characters of each text.
const MAX_ENTRIES: usize = 100;
const MAX_TEXT: usize = 200;

/// The failure that the signer is on no list of trusted ones.
const UNTRUSTED: &str = "signingCredential.untrusted";

/// What was read, as this crate says it.
pub(crate) fn credentials(reader: &Reader) -> Credentials {
    let described: Value = serde_json::from_str(&reader.json()).unwrap_or_default();
    let manifests = described["manifests"].as_object();
    let active = described["active_manifest"].as_str().and_then(|label| manifests?.get(label));
    let Some(active) = active else {
        return Credentials::unreadable("none of them is the one that counts");
    };
    let validation = reader.validation_state();
    let state = if validation == ValidationState::Invalid { State::Broken } else { State::Valid };
    let signature = &active["signature_info"];
    let of_chain = manifests.into_iter().flat_map(|manifests| manifests.values());
    let mut source_types: Vec<String> =
        of_chain.flat_map(actions).filter_map(|action| action.source_type).take(MAX_ENTRIES).collect();
    source_types.sort();
    source_types.dedup();
    Credentials {
        state,
        reason: None,
        problems: problems(&described["validation_results"]),
        trusted: validation == ValidationState::Trusted,
        signer: text(&signature["common_name"]),
        issuer: text(&signature["issuer"]),
        signed_at: text(&signature["time"]),
        generator: generator(active),
        title: text(&active["title"]),
        actions: actions(active).take(MAX_ENTRIES).collect(),
        ingredients: list(&active["ingredients"]).iter().take(MAX_ENTRIES).map(ingredient).collect(),
        source_types,
    }
}

/// The codes of what failed, of the file and of what it was made from, each once.
fn problems(results: &Value) -> Vec<String> {
    let deltas = list(&results["ingredientDeltas"]).iter().map(|delta| &delta["validationDeltas"]);
    let failures = std::iter::once(&results["activeManifest"]).chain(deltas).flat_map(|part| list(&part["failure"]));
    let mut problems: Vec<String> = Vec::new();
    for code in failures.filter_map(|failure| text(&failure["code"])).filter(|code| code != UNTRUSTED) {
        if problems.len() < MAX_ENTRIES && !problems.contains(&code) {
            problems.push(code);
        }
    }
    problems
}

/// What wrote them, with its version.
fn generator(manifest: &Value) -> Option<String> {
    let info = &manifest["claim_generator_info"];
    let info = list(info).first().unwrap_or(info);
    match (text(&info["name"]), text(&info["version"])) {
        (Some(name), Some(version)) => Some(format!("{name} {version}")),
        (Some(name), None) => Some(name),
        _ => text(&manifest["claim_generator"]),
    }
}

/// What a manifest says was done.
fn actions(manifest: &Value) -> impl Iterator<Item = Action> {
    let is_actions =
        |assertion: &&Value| assertion["label"].as_str().is_some_and(|label| label.starts_with("c2pa.actions"));
    let lists = list(&manifest["assertions"]).iter().filter(is_actions);
    lists.flat_map(|assertion| list(&assertion["data"]["actions"])).map(action)
}

fn action(described: &Value) -> Action {
    let software = &described["softwareAgent"];
    let source = text(&described["digitalSourceType"]);
    Action {
        action: text(&described["action"]).unwrap_or_else(|| "unknown".to_owned()),
        when: text(&described["when"]),
        software: text(software).or_else(|| text(&software["name"])),
        // IPTC's names are the ends of addresses.
        source_type: source.map(|source| source.rsplit('/').next().unwrap_or_default().to_owned()),
    }
}

fn ingredient(described: &Value) -> Ingredient {
    Ingredient {
        title: text(&described["title"]),
        relationship: text(&described["relationship"]),
        has_credentials: described["active_manifest"].is_string(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(clipped)
}

/// A text of a stranger's within bounds and on one line.
pub(crate) fn clipped(text: &str) -> String {
    let visible = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut clipped: String = text.chars().take(MAX_TEXT).map(visible).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        clipped.push('…');
    }
    clipped
}
