//! Where the detector looked in some faces, for whoever asks.

use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::{Blob, Url};

use crate::api::{Explained, Failure};
use crate::desk::{Desk, Item, Outcome};
use crate::words;

/// What became of the question.
#[derive(Clone)]
enum Answer {
    NotAsked,
    Working,
    Given(Vec<Explained>),
    None(String),
}

/// A button, and then faces beside what in them speaks for either class.
#[component]
pub(crate) fn Looked(desk: Desk, item: Item, outcome: Arc<Outcome>) -> impl IntoView {
    let answer = RwSignal::new_local(Answer::NotAsked);
    let is_decided = words::is_decided(outcome.report.verdict);
    let json = outcome.json.clone();
    let ask = move |_| {
        let (item, json) = (item.clone(), json.clone());
        answer.set(Answer::Working);
        spawn_local(async move {
            answer.set(match desk.explain(&item, &json).await {
                Ok(faces) => Answer::Given(faces),
                Err(Failure::Cancelled) => Answer::NotAsked,
                Err(Failure::Problem(problem)) => Answer::None(problem.message),
            });
        });
    };
    let shown = move || {
        match answer.get() {
        Answer::NotAsked => view! {
            <button class="quiet" on:click=ask.clone()>"Show where the detector looked"</button>
            {(!is_decided).then(|| view! { <p class="small">"It decided nothing, so this would suggest more than is known."</p> })}
        }
        .into_any(),
        Answer::Working => view! { <p role="status">"Looking at some faces again."</p> }.into_any(),
        Answer::None(why) => view! { <p role="alert">{words::sentence(&why)}</p> }.into_any(),
        Answer::Given(faces) => view! {
            <h3>"Where the detector looked"</h3>
            <p>
                "Light parts are what its answer came from: in the second picture what speaks for a fake, in the third what speaks for a real \
                 face. This is about the detector. It does not show that something is wrong with a face, or where, and an answer that is \
                 wrong has such pictures, too."
            </p>
            <ul class="looked">{faces.iter().map(face).collect_view()}</ul>
        }
        .into_any(),
    }
    };
    view! { <section aria-label="Where the detector looked" aria-live="polite">{shown}</section> }
}

fn face(face: &Explained) -> impl IntoView + use<> {
    let [plain, fake, real] = face.pictures.each_ref().map(url);
    let (time, score) = (words::clock(face.time_s), words::figure(face.score));
    view! {
        <li>
            <img src=plain alt=format!("The face at {time}, score {score}") />
            <img src=fake alt="What in it speaks for a fake: the lighter, the more" />
            <img src=real alt="What in it speaks for a real face: the lighter, the more" />
            <span>{time} " " <b>{score}</b></span>
        </li>
    }
}

/// An address of a picture, as long as it is shown.
fn url(picture: &Blob) -> String {
    let url = Url::create_object_url_with_blob(picture).unwrap_or_default();
    on_cleanup({
        let url = url.clone();
        // A URL that was never made has nothing to give back.
        move || drop(Url::revoke_object_url(&url))
    });
    url
}
