//! What a file says of itself under a signature: its content credentials.

use super::words;
use crate::credentials::{self, Action, Credentials, Ingredient, State};

/// Actions and ingredients that are shown.
const SHOWN: usize = 12;

/// What the page shows of them.
pub(super) struct Signed {
    pub(super) lead: String,
    pub(super) points: Vec<String>,
    pub(super) actions: Vec<[String; 4]>,
}

impl Signed {
    pub(super) fn new(found: &Credentials) -> Self {
        Self { lead: lead(found), points: points(found), actions: found.actions.iter().take(SHOWN).map(row).collect() }
    }
}

fn lead(found: &Credentials) -> String {
    match (found.state, credentials::sentence(found)) {
        (State::None, _) => {
            "There are none. Most files have none, and many programs and sites take them away.".to_owned()
        }
        (State::NotLookedFor, _) => {
            let reason = found.reason.as_deref().unwrap_or("nobody asked for them");
            format!("Nobody looked for them: {reason}.")
        }
        (_, Some(sentence)) => words::sentence(&sentence),
        (_, None) => String::new(),
    }
}

fn points(found: &Credentials) -> Vec<String> {
    let mut points: Vec<String> = credentials::claim(found).iter().map(|claim| words::sentence(claim)).collect();
    if found.state == State::Valid {
        points.push(
            "A signature shows that nothing was changed since, not that what is shown is true. Without a list of trusted signers \
             anybody can sign under any name."
                .to_owned(),
        );
        points.push(found.signed_at.as_ref().map_or_else(
            || "When it was signed no time stamp shows.".to_owned(),
            |time| format!("Signed at {time}, by its time stamp."),
        ));
    }
    if found.state == State::Broken {
        points.push("That can be a manipulation, or a program that saved the file without knowing of them.".to_owned());
    }
    points.extend(found.generator.as_ref().map(|generator| format!("Written by {generator}.")));
    points.extend(found.title.as_ref().map(|title| format!("They call the file “{title}”.")));
    points.extend(found.ingredients.iter().take(SHOWN).map(ingredient));
    points
}

fn ingredient(Ingredient { title, relationship, has_credentials }: &Ingredient) -> String {
    let title = title.as_deref().unwrap_or("something without a name");
    let what = if relationship.as_deref() == Some("parentOf") { "Made from" } else { "Uses" };
    let own = if *has_credentials { "which has" } else { "which does not have" };
    format!("{what} “{title}”, {own} credentials of its own.")
}

fn row(Action { action, when, software, source_type }: &Action) -> [String; 4] {
    let source = source_type.as_deref().map(credentials::source_words);
    [
        action.strip_prefix("c2pa.").unwrap_or(action).to_owned(),
        when.clone().unwrap_or_default(),
        software.clone().unwrap_or_default(),
        source.unwrap_or_default().to_owned(),
    ]
}
