//! All inputs with what became of each, where there is more than one.

use leptos::prelude::*;

use crate::desk::{Desk, Item, State};
use crate::files;
use crate::words;

/// The list, from which one input is chosen to be shown.
#[component]
pub(crate) fn FileList(desk: Desk) -> impl IntoView {
    let several = move || desk.items.with(|items| items.len() > 1);
    view! {
        <nav class="file-list" aria-label="Files" hidden=move || !several()>
            <ol>
                <For each=move || desk.items.get() key=|item| item.id children=move |item| row(desk, item) />
            </ol>
            <button class="quiet" disabled=move || reports(desk).is_empty() on:click=move |_| save_all(desk)>
                "Download all reports"
            </button>
        </nav>
    }
}

fn row(desk: Desk, item: Item) -> impl IntoView {
    let (id, state, progress) = (item.id, item.state, item.progress);
    let current = move || (desk.selected.get() == Some(id)).then_some("true");
    let status = move || {
        let state = state.get();
        let status = words::status(&state);
        match words::progress(&progress.get()) {
            detail if state == State::Working && !detail.is_empty() => format!("{status}, {detail}"),
            _ => status,
        }
    };
    let class = move || state.with(class);
    view! {
        <li>
            <button class="row" aria-current=current on:click=move |_| { desk.camera_open.set(false); desk.selected.set(Some(id)); }>
                <span class="file-name">{item.file.name()}</span>
                <span class=class>{status}</span>
            </button>
        </li>
    }
}

fn class(state: &State) -> String {
    let of_state = match state {
        State::Done(outcome) => words::class(outcome.report.verdict),
        State::Failed(_) => "failed",
        _ => "",
    };
    format!("file-status {of_state}")
}

fn reports(desk: Desk) -> Vec<String> {
    desk.items.with(|items| {
        let json = |item: &Item| match item.state.get() {
            State::Done(outcome) => Some(outcome.json.clone()),
            _ => None,
        };
        items.iter().filter_map(json).collect()
    })
}

/// Gives the user all reports as one JSON list.
fn save_all(desk: Desk) {
    let reports = untrack(|| reports(desk));
    files::save_json("unmask-reports.json", &format!("[\n{}\n]\n", reports.join(",\n")));
}
