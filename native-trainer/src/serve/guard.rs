//! Who may ask: other machines by a token, programs of this machine, and no page of another site in a browser of this machine.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, HeaderName, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::Problem;

/// Turns away who may not ask, and marks every answer as one that nobody keeps or shows elsewhere.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    response
}

fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| headers.get(HOST).map(HeaderValue::as_bytes)).unwrap_or_default();
    // A name that anybody's site gave to this machine's address makes its pages of one origin with this server.
    if app.is_local && !is_this_machine(host) {
        let words = "the Host header is none of this machine's; ask by localhost or 127.0.0.1";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", words));
    }
    if is_of_another_site(headers, host) {
        let words = "pages of other sites may not ask; send the request from a program";
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross_origin", words));
    }
    let is_open = request.uri().path() == "/health";
    let shown = || headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    match &app.token {
        Some(token) if !is_open && !token.is_shown_by(shown()) => {
            let words = "the token is missing or wrong; send `Authorization: Bearer` and the token";
            Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", words))
        }
        _ => Ok(()),
    }
}

/// Whether a host, with or without a port, is a name or an address of this machine alone. The port may be another, as through a
/// tunnel.
fn is_this_machine(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a browser says that a page of another site asks. Programs say nothing.
fn is_of_another_site(headers: &HeaderMap, host: &[u8]) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_own = |origin: &HeaderValue| origin.as_bytes().strip_prefix(b"http://") == Some(host);
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
        || headers.get(ORIGIN).is_some_and(|origin| !is_own(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_told_from_names_that_lead_to_it() {
        for own in ["localhost", "LocalHost:8765", "127.0.0.1:80", "127.3.2.1", "[::1]:8765", "[::1]"] {
            assert!(is_this_machine(own.as_bytes()), "{own}");
        }
        for other in
            ["", "evil.example", "localhost.evil.example:8765", "192.168.0.1", "[::2]", "127.0.0.1.nip.io", ":80", "["]
        {
            assert!(!is_this_machine(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_known_by_what_browsers_say() {
        let is_foreign = |pairs: &[(&'static str, &'static str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_of_another_site(&headers.collect(), b"localhost:1")
        };
        assert!(
            !is_foreign(&[]) && !is_foreign(&[("origin", "http://localhost:1"), ("sec-fetch-site", "same-origin")])
        );
        for foreign in ["http://localhost:2", "https://localhost:1", "http://evil.example", "null"] {
            assert!(is_foreign(&[("origin", foreign)]), "{foreign}");
        }
        assert!(is_foreign(&[("sec-fetch-site", "cross-site")]) && is_foreign(&[("sec-fetch-site", "same-site")]));
    }
}
