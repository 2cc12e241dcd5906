//! Where files come in, and what the page says before there are any.

use leptos::prelude::*;

use crate::desk::Desk;
use crate::files;

/// What is accepted: browsers do not count Matroska among videos everywhere.
const ACCEPTED: &str = "video/*,image/*,.mkv";

/// The field for files and the way to the camera. Large while there is nothing else to see, and a bar afterwards; the same
/// elements both times, so that the keyboard's focus stays where it was.
#[component]
pub(crate) fn Intake(desk: Desk) -> impl IntoView {
    let compact = move || desk.camera_open.get() || desk.items.with(|items| !items.is_empty());
    view! {
        <div class="intake" class:compact=compact>
            <label class="drop">
                <input
                    id="files"
                    type="file"
                    accept=ACCEPTED
                    multiple
                    aria-describedby="formats"
                    on:change=move |event| desk.add(files::chosen(&event))
                />
                <span class="drop-title">"Drop videos or pictures here"</span>
                <span class="button primary">"Choose files"</span>
            </label>
            <p id="formats" class="formats">"MP4, MOV, WebM, MKV; JPEG, PNG, WebP"</p>
            <p class="aside">
                <span class="or">"or "</span>
                <button
                    id="use-camera"
                    aria-expanded=move || desk.camera_open.get().to_string()
                    on:click=move |_| desk.camera_open.update(|open| *open = !*open)
                >
                    "Use the camera"
                </button>
            </p>
        </div>
    }
}

/// What the reader can expect.
#[component]
pub(crate) fn Promises() -> impl IntoView {
    view! {
        <div class="promises">
            <section>
                <h2>"It stays with you"</h2>
                <p>
                    "Nothing is uploaded. The page\u{2019}s own rules forbid it, it works without a network, and it lists every
                    request it has made."
                </p>
            </section>
            <section>
                <h2>"A figure, not a stamp"</h2>
                <p>
                    "You get a score, what it rests on, and how much that is worth. Where the detector cannot tell, it says so
                    and why."
                </p>
            </section>
            <section>
                <h2>"Look for yourself"</h2>
                <p>
                    "Each person\u{2019}s score over time, and every frame behind it with the face that was judged. The report is
                    yours to keep."
                </p>
            </section>
        </div>
    }
}
