//! How far an examination is, stage by stage.

use leptos::prelude::*;

use crate::api::{Progress, Stage};
use crate::words;

const STAGES: [(Stage, &str); 3] =
    [(Stage::Download, "Fetch the detector"), (Stage::Prepare, "Make it ready"), (Stage::Score, "Examine the frames")];

/// The stages, of which one is under way.
#[component]
pub(crate) fn Working(progress: RwSignal<Progress>) -> impl IntoView {
    let rows = STAGES.map(|(stage, name)| row(stage, name, progress)).collect_view();
    view! {
        <p class="headline">"Being examined"</p>
        <p>"Nothing leaves this machine while that happens."</p>
        <ol class="stages">{rows}</ol>
    }
}

/// The stage of the list that one belongs to.
fn shown(stage: Stage) -> Stage {
    if stage == Stage::Convert { Stage::Prepare } else { stage }
}

fn row(stage: Stage, name: &'static str, progress: RwSignal<Progress>) -> impl IntoView {
    // A stage is over when a later one is under way, even one that never told of its progress.
    let is_current = move || progress.with(|progress| shown(progress.stage) == stage);
    let is_over = move || progress.with(|progress| shown(progress.stage) > stage);
    let detail = move || {
        if is_over() {
            "done".to_owned()
        } else if is_current() {
            progress.with(words::progress)
        } else {
            String::new()
        }
    };
    let share = move || {
        if is_over() {
            return Some(1.0);
        }
        progress.with(|progress| if shown(progress.stage) == stage { progress.share() } else { Some(0.0) })
    };
    view! {
        <li class:current=is_current class:over=is_over aria-current=move || is_current().then_some("step")>
            <span class="stage-name">{name}</span>
            <span class="stage-detail">{detail}</span>
            <progress max="1" value=share aria-label=name />
        </li>
    }
}
