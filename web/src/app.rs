//! The page as a whole.

use leptos::prelude::*;

use crate::components::{card::Card, drop_zone::DropZone, help::Help, proof::Proof, settings::Settings};
use crate::items::Desk;

/// The detector that comes with the page.
const BUNDLED: &str = "./unmask-lite.safetensors";

/// The page.
#[component]
pub(crate) fn App() -> impl IntoView {
    let desk = Desk::new(BUNDLED);
    view! {
        <a class="skip" href="#results">"Skip to the results"</a>
        <header class="masthead">
            <p class="brand">"Unmask"</p>
            <h1>"Was the face in this video manipulated?"</h1>
            <p class="lead">
                "Drop a video here. It is examined on this machine and never leaves it: there is no server to send it to."
            </p>
        </header>
        <main>
            <DropZone desk=desk />
            <Settings desk=desk />
            <section id="results" aria-label="Results" aria-live="polite">
                <For each=move || desk.items.get() key=|item| item.id children=move |item| view! { <Card desk=desk item=item /> } />
            </section>
            <Help />
            <Proof desk=desk />
        </main>
        <footer>
            <p>"Unmask is open source. A score is a detector's belief, not proof: do not accuse anybody on it alone."</p>
        </footer>
    }
}
