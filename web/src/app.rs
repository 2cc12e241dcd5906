//! The page as a whole.

use leptos::ev;
use leptos::prelude::*;

use crate::components::camera_panel::CameraPanel;
use crate::components::detail::Detail;
use crate::components::file_list::FileList;
use crate::components::help::Help;
use crate::components::intake::{Intake, Promises};
use crate::components::proof::Proof;
use crate::components::settings::SettingsPanel;
use crate::desk::Desk;
use crate::files;

/// The page.
#[component]
pub(crate) fn App() -> impl IntoView {
    let desk = Desk::new();
    let dragging = take_drops(desk);
    // Its place on the page is the same in every state, so that nothing below it moves.
    let bench = move || {
        if desk.camera_open.get() {
            return view! { <CameraPanel desk=desk /> }.into_any();
        }
        match desk.shown() {
            Some(item) => view! { <Detail desk=desk item=item /> }.into_any(),
            None => view! { <Promises /> }.into_any(),
        }
    };
    view! {
        <a class="skip" href="#bench">"Skip to the result"</a>
        <header class="masthead">
            <p class="nameplate">
                <img src="./icon.svg" alt="" width="28" height="28" />
                "Unmask"
            </p>
            <p class="motto">"Examined on your machine, sent nowhere"</p>
        </header>
        <main>
            <div class="opening">
                <h1>"Was the face in this video manipulated?"</h1>
                <p class="lead">
                    "Give this page a video or a picture. A detector examines it here, in your browser: it never leaves this
                    machine, and there is no server to send it to."
                </p>
            </div>
            <section id="bench" class="bench" class:dragging=dragging tabindex="-1" aria-label="Examination">
                <Intake desk=desk />
                <FileList desk=desk />
                {bench}
            </section>
            <p class="visually-hidden" role="status">{move || desk.said.get()}</p>
            <div class="drawers">
                <SettingsPanel desk=desk />
                <Help />
                <Proof desk=desk />
            </div>
        </main>
        <footer class="colophon">
            <p>"A score is a detector\u{2019}s belief, not proof. Do not accuse anybody on it alone."</p>
            <p>
                "Unmask is free and open source, under MIT or Apache 2.0. "
                <a href="./third-party-licences.txt">"Licences of what it is built of"</a>
            </p>
        </footer>
    }
}

/// Takes files that are dropped anywhere on the page; tells whether something is being dragged over it.
fn take_drops(desk: Desk) -> ReadSignal<bool> {
    let (dragging, set_dragging) = signal(false);
    // Without this a browser would leave the page and play the file.
    let over = window_event_listener(ev::dragover, move |event| {
        event.prevent_default();
        set_dragging.set(true);
    });
    let leave = window_event_listener(ev::dragleave, move |event| {
        // Moving between elements of the page leaves one for another; leaving the page leaves for nothing.
        if event.related_target().is_none() {
            set_dragging.set(false);
        }
    });
    let drop = window_event_listener(ev::drop, move |event| {
        event.prevent_default();
        set_dragging.set(false);
        desk.add(files::listed(event.data_transfer().and_then(|data| data.files())));
    });
    on_cleanup(move || [over, leave, drop].into_iter().for_each(|listener| listener.remove()));
    dragging
}
