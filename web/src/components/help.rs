//! What the detector cannot know.

use leptos::prelude::*;

/// The help, which needs no state.
#[component]
pub(crate) fn Help() -> impl IntoView {
    view! {
        <section class="help" aria-labelledby="help">
            <h2 id="help">"How to read the answer"</h2>
            <ul>
                <li>
                    "The detector looks at faces only, frame by frame. It does not hear the sound, read lips, recognise
                    people or know what was said where."
                </li>
                <li>
                    "It knows the manipulations it was trained on and those that leave similar traces. New methods,
                    strong compression, filters, masks, drawings and small or blurred faces mislead it, in both directions."
                </li>
                <li>"\u{201c}Cannot tell\u{201d} is an answer. So is no face: neither means that a video is real."</li>
                <li>
                    "Before you publish or accuse: find the first upload, compare other footage of the same scene, ask the
                    people shown, and let somebody else look."
                </li>
            </ul>
        </section>
    }
}
