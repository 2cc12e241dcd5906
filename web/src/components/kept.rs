//! The detector files that are kept on this device, each with its size and a way to delete it.

use leptos::prelude::*;
use leptos::task::spawn_local;

use super::focus;
use crate::api::{self, Kept};
use crate::desk::Desk;
use crate::words;

/// What the list's heading is found by: the keyboard goes on there when a button went away with its file.
const TITLE: &str = "kept-title";

/// The list, `kept`, made anew whenever `looked` changes and when an examination ends.
#[component]
pub(crate) fn KeptFiles(desk: Desk, kept: RwSignal<Vec<Kept>, LocalStorage>, looked: RwSignal<usize>) -> impl IntoView {
    let problem = RwSignal::new(None::<String>);
    Effect::new(move |_| {
        desk.finished.track();
        looked.track();
        spawn_local(async move { drop(kept.try_set(api::kept().await)) });
    });
    let delete = move |file: Kept| {
        spawn_local(async move {
            match file.forget().await {
                Ok(()) => {
                    desk.said.set(format!("{} was deleted.", file.name));
                    problem.set(None);
                }
                Err(failure) => problem.set(Some(words::sentence(&failure.message))),
            }
            looked.update(|count| *count += 1);
            focus(TITLE);
        });
    };
    let list = move || {
        let rows = kept.get().into_iter().map(|file| row(file, delete)).collect_view();
        if kept.with(Vec::is_empty) {
            return view! { <p class="hint">"None yet."</p> }.into_any();
        }
        view! { <ul class="kept-files">{rows}</ul> }.into_any()
    };
    view! {
        <section class="kept" aria-labelledby=TITLE>
            <h3 id=TITLE tabindex="-1">"Detectors kept on this device"</h3>
            {list}
            {move || problem.get().map(|problem| view! { <p class="problem" role="alert">{problem}</p> })}
            <p class="hint">
                "A detector is kept when it is first fetched, so that it need not be fetched again. One that you delete here is
                fetched anew when it is next needed."
            </p>
        </section>
    }
}

fn row(file: Kept, delete: impl Fn(Kept) + Clone + 'static) -> impl IntoView {
    let size = words::megabytes(file.bytes);
    let size = if file.complete { size } else { format!("{size}, not all of it") };
    let from = file.url.clone().unwrap_or_else(|| "chosen from this device".to_owned());
    let label = format!("Delete {}", file.name);
    view! {
        <li>
            <span class="file-name" title=from>{file.name.clone()}</span>
            <span class="kept-size">{size}</span>
            <button class="quiet" aria-label=label on:click=move |_| delete(file.clone())>"Delete"</button>
        </li>
    }
}
