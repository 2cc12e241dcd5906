//! The frame that was chosen, with the box of the face.

use leptos::html::Video;
use leptos::prelude::*;
use web_sys::{File, Url};

use crate::report::Report;
use crate::words;

/// Shows the chosen frame of the user's own file, where the browser can play it.
#[component]
pub(crate) fn Viewer(
    file: File,
    report: StoredValue<Report>,
    shown: RwSignal<Option<(usize, usize)>>,
) -> impl IntoView {
    let video = NodeRef::<Video>::new();
    let unplayable = RwSignal::new(false);
    let is_picture = report.with_value(|report| report.video.duration_s.is_none());
    let url = Url::create_object_url_with_blob(&file).unwrap_or_default();
    on_cleanup({
        let url = url.clone();
        // A URL that was never made has nothing to give back.
        move || drop(Url::revoke_object_url(&url))
    });
    let seek = move || {
        let time =
            shown.get().and_then(|(frame, _)| report.with_value(|report| Some(report.frames.get(frame)?.time_s)));
        if let (Some(video), Some(time)) = (video.get(), time) {
            // The middle of a short moment, because a time on the border may show the frame before.
            video.set_current_time(time + 0.001);
        }
    };
    Effect::new(move |_| seek());
    let frame = move || {
        let (frame, track) = shown.get()?;
        report.with_value(|report| {
            let face = report.scored_face(frame, track)?;
            let [x, y, width, height] = face.bounds;
            let time = report.frames.get(frame)?.time_s;
            let caption = format!("{}: {}", words::clock(time), words::figure(face.score?));
            let line = (report.video.width / 150.0).max(2.0);
            Some((view! {
                <rect x=x y=y width=width height=height fill="none" stroke="currentColor" stroke-width=line rx=line />
            }, caption))
        })
    };
    let (width, height) = report.with_value(|report| (report.video.width, report.video.height));
    let picture = url.clone();
    view! {
        <figure class="viewer" hidden=move || shown.get().is_none()>
            <div class="stage" style:aspect-ratio=format!("{width}/{height}")>
                {if is_picture {
                    view! { <img src=picture alt="The picture that was examined" /> }.into_any()
                } else {
                    view! {
                        <video node_ref=video src=url muted playsinline preload="auto"
                            on:loadedmetadata=move |_| seek()
                            on:error=move |_| unplayable.set(true) />
                    }.into_any()
                }}
                <svg viewBox=format!("0 0 {width} {height}") aria-hidden="true">{move || frame().map(|(rect, _)| rect)}</svg>
            </div>
            <figcaption>
                {move || frame().map(|(_, caption)| caption)}
                {move || unplayable.get().then_some(" (this browser cannot show the frame itself)")}
            </figcaption>
        </figure>
    }
}
