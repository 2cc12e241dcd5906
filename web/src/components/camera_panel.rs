//! The camera: a picture of what it sees, and a few seconds of it recorded and examined like a file.

use leptos::html::Video;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::focus;
use crate::camera::Camera;
use crate::desk::Desk;

/// How long a recording is.
const SECONDS: u32 = 4;

/// What the camera does.
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Asking,
    Live,
    /// With the seconds that are left.
    Recording(u32),
    Failed(String),
}

/// The panel; the camera is on while it is there.
#[component]
pub(crate) fn CameraPanel(desk: Desk) -> impl IntoView {
    let phase = RwSignal::new(Phase::Asking);
    let camera = StoredValue::new_local(None::<Camera>);
    let video = NodeRef::<Video>::new();
    let open = move || {
        phase.set(Phase::Asking);
        spawn_local(async move {
            match Camera::open().await {
                // Whoever closed the panel before the answer came wants no camera.
                Ok(opened) if camera.is_disposed() => opened.close(),
                Ok(opened) => {
                    if let Some(video) = video.get_untracked() {
                        opened.show(&video);
                    }
                    camera.set_value(Some(opened));
                    phase.set(Phase::Live);
                }
                Err(problem) => drop(phase.try_set(Phase::Failed(problem))),
            }
        });
    };
    open();
    on_cleanup(move || camera.with_value(|camera| camera.iter().for_each(Camera::close)));
    let record = move |_| {
        let Some(opened) = camera.get_value().filter(|_| phase.get_untracked() == Phase::Live) else { return };
        spawn_local(async move {
            let tell = move |left| drop(phase.try_set(Phase::Recording(left)));
            match opened.record(SECONDS, tell).await {
                // A recording that was broken off by closing the panel is not wanted.
                Ok(_) if camera.is_disposed() => {}
                Ok(file) => {
                    desk.add(vec![file]);
                    focus("bench");
                }
                Err(problem) => drop(phase.try_set(Phase::Failed(problem))),
            }
        });
    };
    let close = move |_| {
        desk.camera_open.set(false);
        focus("use-camera");
    };
    let told = move || match phase.get() {
        Phase::Asking => "The browser asks whether this page may use the camera.".to_owned(),
        Phase::Live => "The camera is on. The picture is shown here and sent nowhere.".to_owned(),
        Phase::Recording(left) => format!("Recording: {left} s left. Look into the camera."),
        Phase::Failed(problem) => problem,
    };
    let failed = move || matches!(phase.get(), Phase::Failed(_));
    view! {
        <article class="detail camera" aria-labelledby="subject">
            <header>
                <h2 id="subject">"Camera"</h2>
                <div class="actions">
                    <button class="quiet" on:click=close>"Close the camera"</button>
                </div>
            </header>
            <div class="columns">
                <div class="finding">
                    <p class="headline">"Record what it sees"</p>
                    <p>
                        {format!("{SECONDS} seconds are recorded into this page\u{2019}s memory and examined like a file. They are not \
                            sent or saved, and the camera is turned off afterwards. No sound is recorded.")}
                    </p>
                    <p class="camera-status" class:problem=failed role="status">{told}</p>
                    <button
                        class="primary"
                        hidden=failed
                        aria-disabled=move || (phase.get() != Phase::Live).to_string()
                        on:click=record
                    >
                        {format!("Record {SECONDS} seconds")}
                    </button>
                    <button class="primary" hidden=move || !failed() on:click=move |_| open()>"Try again"</button>
                </div>
                <div class="evidence">
                    <figure class="viewer">
                        <div class="stage">
                            <video node_ref=video muted autoplay playsinline aria-label="What the camera sees" />
                        </div>
                        <figcaption>"\u{a0}"</figcaption>
                    </figure>
                </div>
            </div>
        </article>
    }
}
