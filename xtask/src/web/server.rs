//! A server for one folder on this machine, with the headers that keep a page from sending anything anywhere.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use tiny_http::{Header, Method, Request, Response, StatusCode};

/// Only the page's own files are run, shown or fetched.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'; \
                      style-src 'self'; img-src 'self' blob: data:; media-src blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The headers of every answer. The first two and the fourth let the page have threads one day.
const HEADERS: [(&str, &str); 6] = [
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-cache"),
];

/// A folder on a port of this machine.
pub(crate) struct Server {
    http: Arc<tiny_http::Server>,
    folder: PathBuf,
    port: u16,
}

impl Server {
    /// Serves `folder` on `port`, or on any free one for 0.
    ///
    /// # Errors
    /// The port is taken.
    pub(crate) fn bind(folder: &Path, port: u16) -> Result<Self> {
        let taken = |error| anyhow!("port {port} cannot be used ({error}); choose another with `--port`");
        let http = tiny_http::Server::http((Ipv4Addr::LOCALHOST, port)).map_err(taken)?;
        let port = http.server_addr().to_ip().map_or(port, |address| address.port());
        Ok(Self { http: Arc::new(http), folder: folder.to_owned(), port })
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What ends [`Server::serve`] from another thread.
    pub(crate) fn stopper(&self) -> impl FnOnce() + Send + use<> {
        let http = Arc::clone(&self.http);
        move || http.unblock()
    }

    /// Answers requests until it is stopped.
    pub(crate) fn serve(&self) {
        for request in self.http.incoming_requests() {
            // A browser that went away has no use for the rest.
            self.answer(request).ok();
        }
    }

    fn answer(&self, request: Request) -> std::io::Result<()> {
        if !matches!(request.method(), Method::Get | Method::Head) {
            return request.respond(with_headers(Response::empty(405)));
        }
        match file_name(request.url()).and_then(|name| Some((name, File::open(self.folder.join(name)).ok()?))) {
            Some((name, file)) => {
                let response = header("Content-Type", content_type(name)).into_iter();
                let response = response.fold(Response::from_file(file), Response::with_header);
                request.respond(with_headers(response))
            }
            None => request.respond(with_headers(Response::from_string("not found").with_status_code(StatusCode(404)))),
        }
    }
}

/// The file of the folder that an address names: never one outside of it.
fn file_name(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next()?.strip_prefix('/')?;
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    match path {
        "" => Some("index.html"),
        _ if plain && !path.starts_with('.') => Some(path),
        _ => None,
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

fn with_headers<R: std::io::Read>(response: Response<R>) -> Response<R> {
    HEADERS.iter().filter_map(|(name, value)| header(name, value)).fold(response, Response::with_header)
}

/// A header; `None` if it is not ASCII.
fn header(name: &'static str, value: &'static str) -> Option<Header> {
    Header::from_bytes(name, value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_files_of_the_folder_and_nowhere_else() {
        assert_eq!(file_name("/"), Some("index.html"));
        assert_eq!(file_name("/unmask.js?x=/../y"), Some("unmask.js"));
        for outside in ["/../Cargo.toml", "/.git", "/a/b.js", "/%2e%2e", "//x", "x", "/a\\b"] {
            assert_eq!(file_name(outside), None, "{outside}");
        }
    }

    #[test]
    fn every_header_is_sent() {
        let sent = with_headers(Response::from_string("x"));
        for (name, value) in HEADERS {
            let found = sent.headers().iter().find(|header| header.field.equiv(name));
            assert_eq!(found.map(|header| header.value.as_str()), Some(value), "{name}");
        }
    }

    #[test]
    fn modules_have_the_types_that_browsers_insist_on() {
        assert_eq!(content_type("worker.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("unmask_wasm_bg.wasm"), "application/wasm");
        assert_eq!(content_type("unmask-lite.safetensors"), "application/octet-stream");
    }
}
