//! One input: its progress or its verdict on one side, what it rests on on the other.

use leptos::prelude::*;

use super::facts::Facts;
use super::focus;
use super::lanes::Lanes;
use super::looked::Looked;
use super::verdict::Finding;
use super::viewer::Viewer;
use super::working::Working;
use crate::api::Problem;
use crate::desk::{Desk, Item, State};
use crate::timeline::{Lane, Moment};
use crate::troubles::{self, Trouble};

/// The input that is shown.
#[component]
pub(crate) fn Detail(desk: Desk, item: Item) -> impl IntoView {
    let (id, name, state, progress) = (item.id, item.file.name(), item.state, item.progress);
    let shown = RwSignal::new(None::<Moment>);
    // The first thing to look at is where the person who decides the verdict looks most suspicious.
    Effect::new(move |_| {
        let peak = state.with(|state| match state {
            State::Done(outcome) => {
                let lane = Lane::all(&outcome.report).into_iter().next()?;
                lane.moment(lane.peak()?)
            }
            _ => None,
        });
        shown.set(peak);
    });
    let finding = move || match state.get() {
        State::Waiting => note("Waiting", "It is examined when those before it are done."),
        State::Working => view! { <Working progress=progress /> }.into_any(),
        State::Cancelled => {
            note("Stopped", "It was stopped before it was done. There is no verdict, and nothing was kept.")
        }
        State::Failed(problem) => failure(&problem),
        State::Done(outcome) => view! { <Finding outcome=outcome /> }.into_any(),
    };
    let lanes = move || view! { <Lanes state=state.get() shown=shown /> };
    let facts = move || match state.get() {
        State::Done(outcome) => view! { <Facts outcome=outcome /> }.into_any(),
        _ => ().into_any(),
    };
    let looked = {
        let item = item.clone();
        move || match state.get() {
            State::Done(outcome) if outcome.report.score.is_some() => {
                view! { <Looked desk=desk item=item.clone() outcome=outcome /> }.into_any()
            }
            _ => ().into_any(),
        }
    };
    let file = item.file.clone();
    let item = StoredValue::new_local(item);
    let unfinished = move || item.with_value(Item::is_unfinished);
    let act = move |_| {
        let item = item.get_value();
        if untrack(|| item.is_unfinished()) { item.cancel() } else { desk.again(&item) }
    };
    let remove = move |_| {
        desk.remove(id);
        // The button is gone: the keyboard goes on where files come in.
        focus("files");
    };
    view! {
        <article class="detail" aria-labelledby="subject">
            <header>
                <h2 id="subject">{name}</h2>
                <div class="actions">
                    <button class="quiet" on:click=act>
                        {move || if unfinished() { "Stop" } else { "Examine again" }}
                    </button>
                    <button class="quiet" on:click=remove>"Remove"</button>
                </div>
            </header>
            <div class="columns">
                <div class="finding">{finding}</div>
                <div class="evidence">
                    <Viewer file=file state=state shown=shown />
                    {lanes}
                </div>
            </div>
            {looked}
            <div class="facts">{facts}</div>
        </article>
    }
}

fn note(headline: &'static str, text: &'static str) -> AnyView {
    view! {
        <p class="headline">{headline}</p>
        <p>{text}</p>
    }
    .into_any()
}

fn failure(problem: &Problem) -> AnyView {
    let Trouble { headline, advice } = troubles::of(problem);
    view! {
        <div role="alert">
            <p class="headline">{headline}</p>
            <p class="problem">{format!("{}.", problem.message.trim_end_matches('.'))}</p>
            <p>{advice}</p>
        </div>
        <p>"There is no verdict on it. Other files are not affected."</p>
    }
    .into_any()
}
