//! Requests to the hub: what a file is now, and its bytes from a given offset on.
//!
//! A file lives at `ENDPOINT/OWNER/REPO/resolve/REVISION/FILE`. Large files answer with a redirect to a store on another
//! host, and that redirect, not the store, carries the file's identity: `X-Linked-Etag` (its SHA-256), `X-Linked-Size`
//! and `X-Repo-Commit`. So redirects are followed here, one by one, and the token goes to the endpoint alone.

use std::time::Duration;

use ureq::http::header::{self, HeaderMap};
use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body, Proxy};

use super::error::HubError;
use super::table::Entry;

/// The hub's answers need two at most; mirrors add one.
const MAX_REDIRECTS: usize = 8;
/// The longest `Retry-After` that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
const USER_AGENT: &str = concat!("unmask/", env!("CARGO_PKG_VERSION"));

/// How long to wait for the network, and how often to try again.
#[derive(Clone, Debug)]
pub struct Network {
    /// For the name look-up, and again for connection and TLS.
    pub connect: Duration,
    /// Without a single byte, while waiting for an answer or in the middle of one.
    pub stall: Duration,
    /// Attempts after the first; a download starts counting anew whenever it got further.
    pub retries: u32,
    /// Before the first retry; doubled for each further one.
    pub backoff: Duration,
    /// Through which all connections go.
    pub proxy: Option<Proxy>,
}

impl Network {
    /// Patient enough for a bad line, with the proxy of the environment (`HTTPS_PROXY` and its kin).
    pub fn from_env() -> Self {
        Self {
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(40),
            retries: 4,
            backoff: Duration::from_secs(1),
            proxy: Proxy::try_from_env(),
        }
    }
}

/// One file of a repository.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    /// Path inside the repository.
    pub(super) file: &'a str,
}

impl<'a> Target<'a> {
    pub(super) fn of(entry: &'a Entry, file: &'a str) -> Self {
        Self { repo: &entry.repo, revision: &entry.revision, file }
    }
}

/// What the hub says a file is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    /// Changes when the content does.
    pub(super) etag: String,
    pub(super) bytes: Option<u64>,
    /// In hexadecimal; known for large files only.
    pub(super) sha256: Option<String>,
    /// The commit that a branch or tag stands for.
    pub(super) commit: Option<String>,
}

/// The bytes of a file, from `start` on.
pub(super) struct Stream {
    pub(super) start: u64,
    /// Length of the whole file.
    pub(super) total: Option<u64>,
    /// The store's own strong entity tag, for `If-Range`.
    pub(super) etag: Option<String>,
    pub(super) body: Body,
}

/// A connection to one endpoint.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: Uri,
    token: Option<String>,
    pub(super) network: Network,
}

impl Client {
    /// # Errors
    /// [`HubError::Endpoint`] or [`HubError::Token`] if one of them cannot be used.
    pub(super) fn new(endpoint: &str, token: Option<String>, network: Network) -> Result<Self, HubError> {
        let bad_endpoint = || HubError::Endpoint(endpoint.to_owned());
        let uri: Uri = endpoint.trim_end_matches('/').parse().map_err(|_| bad_endpoint())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() || uri.query().is_some() {
            return Err(bad_endpoint());
        }
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(HubError::Token);
        }
        let agent = Agent::config_builder()
            .user_agent(USER_AGENT)
            .http_status_as_error(false)
            .max_redirects(0)
            // Lengths, ranges and hashes are those of the file, not of a compressed form of it.
            .accept_encoding("identity")
            .timeout_resolve(Some(network.connect))
            .timeout_connect(Some(network.connect))
            .timeout_recv_response(Some(network.stall))
            .timeout_per_read(Some(network.stall))
            .proxy(network.proxy.clone())
            .build()
            .new_agent();
        Ok(Self { agent, endpoint: uri, token, network })
    }

    /// Asks what `target` is now, without its bytes.
    pub(super) fn remote(&self, target: Target<'_>) -> Result<Remote, HubError> {
        let mut uri = self.resolve_uri(target)?;
        let mut commit = None;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(target, &uri, true, &[])?;
            let headers = response.headers();
            commit = commit.or_else(|| text(headers, "x-repo-commit"));
            let linked = text(headers, "x-linked-etag");
            if response.status().is_redirection() && linked.is_none() {
                uri = next_hop(target, &uri, headers)?;
                continue;
            }
            if !response.status().is_redirection() {
                self.check_status(target, &uri, &response)?;
            }
            let linked = linked.map(|etag| bare(&etag).to_owned());
            // The body of a redirect is not the file.
            let body = number(headers, "content-length").filter(|_| !response.status().is_redirection());
            let bytes = number(headers, "x-linked-size").or(body);
            let etag = linked.clone().or_else(|| text(headers, "etag")).unwrap_or_default();
            let sha256 = linked.filter(|etag| is_sha256(etag)).map(|etag| etag.to_ascii_lowercase());
            return Ok(Remote { etag, bytes, sha256, commit });
        }
        Err(redirect_error(target, &uri, "in a circle"))
    }

    /// Opens `target` at byte `from`; with `if_range`, only if the store still has that version of it.
    ///
    /// The stream starts at 0 if the server does not do ranges or has another version.
    pub(super) fn open(&self, target: Target<'_>, from: u64, if_range: Option<&str>) -> Result<Stream, HubError> {
        let mut headers = Vec::new();
        if from > 0 {
            headers.push((header::RANGE.as_str(), format!("bytes={from}-")));
            headers.extend(if_range.map(|etag| (header::IF_RANGE.as_str(), etag.to_owned())));
        }
        let mut uri = self.resolve_uri(target)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(target, &uri, false, &headers)?;
            if response.status().is_redirection() {
                uri = next_hop(target, &uri, response.headers())?;
                continue;
            }
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && from > 0 {
                return self.open(target, 0, None);
            }
            self.check_status(target, &uri, &response)?;
            return stream(target, &uri, response, from);
        }
        Err(redirect_error(target, &uri, "in a circle"))
    }

    fn request(
        &self,
        target: Target<'_>,
        uri: &Uri,
        head: bool,
        headers: &[(&str, String)],
    ) -> Result<Response<Body>, HubError> {
        let mut request = if head { self.agent.head(uri) } else { self.agent.get(uri) };
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(token) = self.token.as_ref().filter(|_| same_server(uri, &self.endpoint)) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.call().map_err(|error| HubError::Unreachable {
            host: host(uri),
            file: target.file.to_owned(),
            reason: error.to_string(),
        })
    }

    fn resolve_uri(&self, Target { repo, revision, file }: Target<'_>) -> Result<Uri, HubError> {
        let endpoint = self.endpoint.to_string();
        let address = format!("{}/{repo}/resolve/{}/{file}", endpoint.trim_end_matches('/'), escape_slashes(revision));
        address.parse().map_err(|_| HubError::Endpoint(endpoint))
    }

    fn check_status(&self, target: Target<'_>, uri: &Uri, response: &Response<Body>) -> Result<(), HubError> {
        let page = format!("{}/{}", self.endpoint.to_string().trim_end_matches('/'), target.repo);
        match response.status().as_u16() {
            200..=299 => Ok(()),
            status @ (401 | 403) => {
                Err(HubError::Refused { repo: target.repo.to_owned(), status, page, token_sent: self.token.is_some() })
            }
            404 => Err(HubError::NotFound {
                repo: target.repo.to_owned(),
                revision: target.revision.to_owned(),
                file: target.file.to_owned(),
                page,
            }),
            status => Err(HubError::Status {
                host: host(uri),
                status,
                file: target.file.to_owned(),
                retry_after: number(response.headers(), "retry-after").map(Duration::from_secs),
            }),
        }
    }
}

/// How long to wait before retry number `retry` (from 0): doubled each time, or what the server asks for.
pub(super) fn pause(network: &Network, retry: u32, error: &HubError) -> Duration {
    match error {
        HubError::Status { retry_after: Some(asked), .. } => (*asked).min(MAX_RETRY_AFTER),
        _ => network.backoff.saturating_mul(1 << retry.min(5)),
    }
}

/// A revision as one part of a path: `refs/pr/1` becomes `refs%2Fpr%2F1`.
pub(super) fn escape_slashes(revision: &str) -> String {
    revision.replace('/', "%2F")
}

fn stream(target: Target<'_>, uri: &Uri, response: Response<Body>, from: u64) -> Result<Stream, HubError> {
    let headers = response.headers();
    let etag = text(headers, "etag").filter(|etag| !etag.starts_with("W/"));
    let (start, total) = if response.status() == StatusCode::PARTIAL_CONTENT {
        match text(headers, "content-range").as_deref().and_then(content_range) {
            Some((start, total)) if start == from => (start, total),
            _ => {
                return Err(HubError::Unreachable {
                    host: host(uri),
                    file: target.file.to_owned(),
                    reason: "it sends another range than was asked for".to_owned(),
                });
            }
        }
    } else {
        (0, number(headers, "content-length"))
    };
    Ok(Stream { start, total, etag, body: response.into_body() })
}

/// First byte and length of the whole file from `bytes FIRST-LAST/LENGTH` (RFC 9110, 14.4); LENGTH may be `*`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, total.parse().ok()))
}

/// Where a redirect leads: an absolute address, or one on the same host.
fn next_hop(target: Target<'_>, uri: &Uri, headers: &HeaderMap) -> Result<Uri, HubError> {
    let location = text(headers, "location").ok_or_else(|| redirect_error(target, uri, "without saying where to"))?;
    let scheme = uri.scheme_str().unwrap_or("https");
    let address = if location.contains("://") {
        location
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{}{location}", uri.authority().map_or("", |authority| authority.as_str()))
    } else {
        return Err(redirect_error(target, uri, "to an address that is not one"));
    };
    let next: Uri = address.parse().map_err(|_| redirect_error(target, uri, "to an address that is not one"))?;
    match (scheme, next.scheme_str()) {
        (_, Some("https")) | ("http", Some("http")) => Ok(next),
        ("https", Some("http")) => Err(redirect_error(target, uri, "from https to plain http, which is not followed")),
        _ => Err(redirect_error(target, uri, "to something that is neither http nor https")),
    }
}

fn redirect_error(target: Target<'_>, uri: &Uri, problem: &'static str) -> HubError {
    HubError::Redirect { host: host(uri), file: target.file.to_owned(), problem }
}

/// Scheme, host and port agree.
fn same_server(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let name = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme_str() == b.scheme_str() && name(a) == name(b) && port(a) == port(b)
}

fn host(uri: &Uri) -> String {
    uri.authority().map_or_else(|| "the hub".to_owned(), |authority| authority.to_string())
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name).and_then(|value| value.trim().parse().ok())
}

/// An entity tag without weakness mark and quotes.
fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// 32 bytes in hexadecimal.
fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'static> = Target { repo: "a/b", revision: "main", file: "c" };

    fn hop(from: &str, location: &str) -> Result<String, HubError> {
        let mut headers = HeaderMap::new();
        headers.insert("location", location.parse().unwrap());
        next_hop(TARGET, &from.parse().unwrap(), &headers).map(|uri| uri.to_string())
    }

    #[test]
    fn redirects_lead_to_other_hosts_and_within_one_but_never_from_https_to_http() {
        assert_eq!(hop("https://a:1/x", "https://b/y?z").unwrap(), "https://b/y?z");
        assert_eq!(hop("https://a:1/x", "/y").unwrap(), "https://a:1/y");
        assert_eq!(hop("https://a:1/x", "//b/y").unwrap(), "https://b/y");
        assert_eq!(hop("http://a/x", "https://a/y").unwrap(), "https://a/y");
        for location in ["http://a/x", "ftp://a/x", "y", "://"] {
            assert!(matches!(hop("https://a/x", location), Err(HubError::Redirect { .. })), "{location}");
        }
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        let same = |a: &str, b: &str| same_server(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(same("https://a/x", "https://A:443/y"));
        assert!(
            !same("https://a/x", "http://a/x") && !same("https://a", "https://a:8443") && !same("http://a", "http://b")
        );
    }

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(content_range("items 5-9/10"), None);
    }

    #[test]
    fn endpoints_and_tokens_that_cannot_be_used_are_refused() {
        let network = Network { proxy: None, ..Network::from_env() };
        for endpoint in ["", "hub", "ftp://hub", "https://", "https://hub/?a=b"] {
            let client = Client::new(endpoint, None, network.clone());
            assert!(matches!(client, Err(HubError::Endpoint(_))), "{endpoint}");
        }
        let client = Client::new("https://hub", Some("two lines\n".to_owned()), network.clone());
        assert!(matches!(client, Err(HubError::Token)));
        let client = Client::new("https://hub/mirror/", None, network).unwrap();
        let target = Target { revision: "refs/pr/1", ..TARGET };
        assert_eq!(client.resolve_uri(target).unwrap(), "https://hub/mirror/a/b/resolve/refs%2Fpr%2F1/c");
    }

    #[test]
    fn pauses_double_unless_the_server_asks_for_another() {
        let network = Network { backoff: Duration::from_secs(1), proxy: None, ..Network::from_env() };
        let status = |retry_after| HubError::Status { host: "h".into(), status: 429, file: "f".into(), retry_after };
        assert_eq!(pause(&network, 0, &status(None)), Duration::from_secs(1));
        assert_eq!(pause(&network, 2, &status(None)), Duration::from_secs(4));
        assert_eq!(pause(&network, 2, &status(Some(Duration::from_secs(7)))), Duration::from_secs(7));
        assert_eq!(pause(&network, 0, &status(Some(Duration::from_secs(9999)))), MAX_RETRY_AFTER);
    }
}
