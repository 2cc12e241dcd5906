//! Every request that this page has made, as the browser and the page's service worker counted them.

use leptos::prelude::*;

use crate::desk::Desk;
use crate::keeper::{self, Copy, Request};
use crate::words;

/// The proof that nothing was sent.
#[component]
pub(crate) fn Proof(desk: Desk) -> impl IntoView {
    let copy = keeper::keep();
    let opened = RwSignal::new(0);
    let requests = move || {
        // Whenever an examination ends or somebody looks, the list is made anew.
        desk.finished.track();
        opened.track();
        copy.track();
        let mut requests = keeper::requests();
        requests.sort_by(|one, other| one.address.cmp(&other.address));
        let total = totals(&requests);
        let rows = requests.into_iter().map(row).collect_view();
        view! {
            <p>{total}</p>
            <div class="scroll" tabindex="0" role="region" aria-label="List of requests">
                <table>
                    <thead><tr><th scope="col">"Request"</th><th scope="col">"Address"</th><th scope="col">"Received"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
    };
    let offline = move || match copy.get() {
        Copy::Making => "a copy for use without a network is being made".to_owned(),
        Copy::Kept(bytes) => format!("works without a network ({} kept on this device)", words::megabytes(bytes)),
        Copy::Impossible(reason) => format!("works with a network only: {reason}"),
    };
    view! {
        <details class="drawer proof" on:toggle=move |_| opened.update(|count| *count += 1)>
            <summary>
                <span class="drawer-title">"Proof that nothing was sent"</span>
                <span class="drawer-note">{offline}</span>
            </summary>
            <div class="prose">
                {requests}
                <p>
                    "The browser enforces this: the page was delivered with a rule (Content-Security-Policy) under which every request
                    to another place is refused" {move || exceptions(desk.settings.origins.get().as_deref())} ". To check it yourself, open the developer tools, choose the network tab and examine a
                    video; or disconnect from the network first, since the page works without."
                </p>
            </div>
        </details>
    }
}

/// From where else detectors may come.
fn exceptions(origins: Option<&[String]>) -> String {
    let Some(origins) = origins else {
        return ", but for what whoever serves this page may have allowed for detectors".to_owned();
    };
    if origins.is_empty() {
        return String::new();
    }
    format!(", but for detectors from {}, as whoever serves this page allowed", origins.join(" and "))
}

fn totals(requests: &[Request]) -> String {
    let reading = requests.iter().all(|request| request.method == "GET");
    let count = match requests.len() {
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    };
    let purpose =
        if reading { "all of them to fetch something, none to send anything" } else { "listed here with what they do" };
    format!(
        "Since it was opened, this page has made {count}, {purpose}. Files that you chose are read from your disk and are not among them."
    )
}

fn row(request: Request) -> impl IntoView {
    let received = match request.bytes {
        _ if request.from_copy => "from the copy on this device".to_owned(),
        Some(bytes) => format!("{:.1} kB", bytes / 1e3),
        None => "size not told".to_owned(),
    };
    view! { <tr><td>{request.method}</td><td>{request.address}</td><td>{received}</td></tr> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_of_fetches_is_said_to_send_nothing() {
        let request = |method: &str| Request {
            address: "/".to_owned(),
            method: method.to_owned(),
            bytes: None,
            from_copy: false,
        };
        assert!(totals(&[request("GET"), request("GET")]).contains("none to send anything"));
        assert!(!totals(&[request("GET"), request("POST")]).contains("none to send anything"));
    }

    #[test]
    fn other_places_that_detectors_may_come_from_are_named() {
        assert_eq!(exceptions(Some(&[])), "");
        assert!(exceptions(None).contains("may have allowed"), "without a list nothing more is known");
        let origins = ["https://a.example", "https://b.example"].map(str::to_owned);
        assert!(exceptions(Some(&origins)).contains("detectors from https://a.example and https://b.example, as"));
    }
}
