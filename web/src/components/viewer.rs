//! The user's own file: what is being examined, and then the frame that was chosen with the faces in it.

use leptos::html::Video;
use leptos::prelude::*;
use web_sys::{File, Url};

use super::lanes::caption;
use crate::desk::State;
use crate::files;
use crate::report::{Face, Report};
use crate::timeline::Moment;

/// Shows the file where the browser can play it. Its place is as large before the file is known as after.
#[component]
pub(crate) fn Viewer(file: File, state: RwSignal<State>, shown: RwSignal<Option<Moment>>) -> impl IntoView {
    let video = NodeRef::<Video>::new();
    let unplayable = RwSignal::new(false);
    let url = Url::create_object_url_with_blob(&file).unwrap_or_default();
    on_cleanup({
        let url = url.clone();
        // A URL that was never made has nothing to give back.
        move || drop(Url::revoke_object_url(&url))
    });
    let seek = move || {
        let time = shown.get().and_then(|moment| time_of(state, moment)).unwrap_or(0.0);
        if let Some(video) = video.get() {
            // A little later, because a time on the border may show the frame before.
            video.set_current_time(time + 0.001);
        }
    };
    Effect::new(move |_| seek());
    let picture = if files::is_picture(&file) {
        view! { <img src=url alt="" on:error=move |_| unplayable.set(true) /> }.into_any()
    } else {
        view! {
            <video
                node_ref=video
                src=url
                muted
                playsinline
                preload="auto"
                tabindex="-1"
                aria-hidden="true"
                on:loadedmetadata=move |_| untrack(seek)
                on:error=move |_| unplayable.set(true)
            />
        }
        .into_any()
    };
    let boxes = move || {
        let moment = shown.get()?;
        state.with(|state| match state {
            State::Done(outcome) => Some(boxes(&outcome.report, moment)),
            _ => None,
        })
    };
    let line = move || {
        let caption = shown.get().and_then(|moment| {
            state.with(|state| match state {
                State::Done(outcome) => caption(&outcome.report, moment),
                _ => None,
            })
        });
        caption.unwrap_or_else(|| "\u{a0}".to_owned())
    };
    view! {
        <figure class="viewer">
            <div class="stage">
                {picture}
                {boxes}
                <p class="blank" hidden=move || !unplayable.get()>"This browser cannot show this file."</p>
            </div>
            <figcaption>{line}</figcaption>
        </figure>
    }
}

fn time_of(state: RwSignal<State>, moment: Moment) -> Option<f64> {
    state.with(|state| match state {
        State::Done(outcome) => Some(outcome.report.frames.get(moment.frame)?.time_s),
        _ => None,
    })
}

/// The faces of a frame, over the picture: that of the chosen person stands out.
fn boxes(report: &Report, moment: Moment) -> impl IntoView + use<> {
    let (width, height) = (report.video.width, report.video.height);
    let faces = report.frames.get(moment.frame).map(|frame| frame.faces.clone()).unwrap_or_default();
    let (chosen, others): (Vec<Face>, Vec<Face>) = faces.into_iter().partition(|face| face.track == moment.track);
    let drawn = |face: Face, class: &'static str| {
        let [x, y, width, height] = face.bounds;
        view! {
            <g class=class>
                <rect class="shade" x=x y=y width=width height=height />
                <rect x=x y=y width=width height=height />
            </g>
        }
    };
    let others = others.into_iter().map(|face| drawn(face, "other")).collect_view();
    let chosen = chosen.into_iter().map(|face| drawn(face, "chosen")).collect_view();
    view! { <svg viewBox=format!("0 0 {width} {height}") aria-hidden="true">{others} {chosen}</svg> }
}
