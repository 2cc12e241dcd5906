//! A server for one folder on this machine: whole files and parts of them, each only where it has changed.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tower_http::services::ServeDir;

use super::headers::Access;

/// A folder on a port of this machine, until it is dropped.
pub(crate) struct Server {
    runtime: Runtime,
    port: u16,
}

impl Server {
    /// Serves `folder` on `port`, or on any free one for 0, to whom `access` says.
    ///
    /// # Errors
    /// The port is taken.
    pub(crate) fn start(folder: &Path, port: u16, access: &Access) -> Result<Self> {
        // Where connections cannot be accepted for a while, axum waits: that takes a timer.
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let taken = || format!("port {port} cannot be used; choose another with `--port`");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port))).with_context(taken)?;
        let port = listener.local_addr()?.port();
        let answers = answers(folder, access)?;
        runtime.spawn(async { axum::serve(listener, answers).await });
        Ok(Self { runtime, port })
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Serves until the process ends.
    pub(crate) fn wait(self) {
        self.runtime.block_on(std::future::pending())
    }
}

/// What answers requests for files of `folder`.
fn answers(folder: &Path, access: &Access) -> Result<Router> {
    let header = |(name, value): (&str, String)| Ok((name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?));
    let ours = access.headers().into_iter().map(header).collect::<Result<HeaderMap>>()?;
    // Several parts would be another format; whoever asks for them has to take all of the file as well.
    let files = ServeDir::new(folder).ignore_multi_range_requests(true);
    let dressed = move |answer| std::future::ready(dressed(answer, &ours));
    Ok(Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn(part_of_the_same))
        .layer(middleware::map_response(dressed)))
}

/// The answer with the headers of every answer; text is UTF-8 here.
fn dressed(mut answer: Response, ours: &HeaderMap) -> Response {
    let headers = answer.headers_mut();
    if let Some(text) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).filter(|kind| is_bare_text(kind))
        && let Ok(utf8) = HeaderValue::from_str(&format!("{text}; charset=utf-8"))
    {
        headers.insert(CONTENT_TYPE, utf8);
    }
    headers.extend(ours.clone());
    answer
}

fn is_bare_text(kind: &str) -> bool {
    kind.starts_with("text/") && !kind.contains(';')
}

/// A part of a file only where the file is still the one that `If-Range` names, otherwise all of it: `ServeDir` does not
/// look at that header.
async fn part_of_the_same(mut request: Request, next: Next) -> Response {
    let Some(known) = request.headers_mut().remove(IF_RANGE) else { return next.run(request).await };
    let mut whole = Request::new(Body::empty());
    *whole.method_mut() = request.method().clone();
    *whole.uri_mut() = request.uri().clone();
    *whole.headers_mut() = request.headers().clone();
    whole.headers_mut().remove(RANGE);
    let answer = next.clone().run(request).await;
    let same = [ETAG, LAST_MODIFIED].iter().any(|name| answer.headers().get(name) == Some(&known));
    if same { answer } else { next.run(whole).await }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    /// This crate's folder, served.
    fn server() -> Server {
        Server::start(Path::new(env!("CARGO_MANIFEST_DIR")), 0, &Access::default()).unwrap()
    }

    /// A connection on which this was asked for.
    fn asked(server: &Server, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        // So that an answer that never comes is a failure.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(format!("{request}\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        stream
    }

    /// What the server answers.
    fn answer(server: &Server, request: &str) -> String {
        let stream = asked(server, &format!("{request}\r\nConnection: close"));
        std::io::read_to_string(stream).unwrap()
    }

    /// The value of an answer's header.
    fn value(answer: &str, name: &str) -> Option<String> {
        answer.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned)
    }

    #[test]
    fn every_connection_gets_its_answer_while_others_stay_open() {
        for round in 0..20 {
            let server = server();
            let mut open = Vec::new();
            for more in [3, 12] {
                let begun = open.len();
                open.extend((0..more).map(|_| asked(&server, "HEAD /Cargo.toml HTTP/1.1")));
                for (index, stream) in open[begun..].iter().enumerate() {
                    let status = BufReader::new(stream).lines().next().unwrap();
                    let status = status.unwrap_or_else(|error| panic!("connection {index} of round {round}: {error}"));
                    assert_eq!(status, "HTTP/1.1 200 OK");
                }
            }
        }
    }

    #[test]
    fn files_are_served_with_their_length_their_type_and_every_header() {
        let server = server();
        let length = fs::metadata(concat!(env!("CARGO_MANIFEST_DIR"), "/src/main.rs")).unwrap().len();
        let head = answer(&server, "HEAD /src/main.rs HTTP/1.1");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(value(&head, "content-length"), Some(length.to_string()));
        assert_eq!(value(&head, "content-type").as_deref(), Some("text/x-rust; charset=utf-8"));
        for request in ["HEAD /src/main.rs HTTP/1.1", "GET /absent HTTP/1.1", "POST / HTTP/1.1"] {
            let answer = answer(&server, request);
            for (name, expected) in Access::default().headers() {
                assert_eq!(value(&answer, &name.to_lowercase()), Some(expected), "{name} of {request}");
            }
        }
    }

    #[test]
    fn requests_get_what_they_lack() {
        let server = server();
        let whole = answer(&server, "GET /Cargo.toml HTTP/1.1");
        let (tag, modified) = (value(&whole, "etag").unwrap(), value(&whole, "last-modified").unwrap());
        let start = whole.find("\r\n\r\n").unwrap() + 4;
        for (headers, status, body) in [
            (format!("If-None-Match: \"0\", {tag}"), 304, Some("")),
            ("If-None-Match: \"0\"".to_owned(), 200, None),
            (format!("If-Modified-Since: {modified}"), 304, Some("")),
            ("Range: bytes=0-8".to_owned(), 206, Some(&whole[start..start + 9])),
            ("Range: bytes=1-".to_owned(), 206, None),
            (format!("Range: bytes=0-8\r\nIf-Range: {tag}"), 206, Some(&whole[start..start + 9])),
            (format!("Range: bytes=0-8\r\nIf-Range: {modified}"), 206, Some(&whole[start..start + 9])),
            ("Range: bytes=0-8\r\nIf-Range: \"0\"".to_owned(), 200, None),
            ("Range: bytes=1000000-\r\nIf-Range: \"0\"".to_owned(), 200, None),
            ("Range: bytes=1000000-".to_owned(), 416, Some("")),
            ("Range: bytes=0-1,3-4".to_owned(), 200, None),
        ] {
            let answer = answer(&server, &format!("GET /Cargo.toml HTTP/1.1\r\n{headers}"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
            let (_, found) = answer.split_once("\r\n\r\n").unwrap();
            assert_eq!(found, body.unwrap_or(found), "{headers}");
            assert!(status != 200 || found == &whole[start..], "{headers}: all of it");
        }
    }

    #[test]
    fn nothing_outside_of_the_folder_is_served_and_nothing_is_written() {
        let server = server();
        for outside in
            ["/../Cargo.toml", "/src/../../Cargo.toml", "/%2e%2e/Cargo.toml", "/..%2fCargo.toml", "//etc/passwd"]
        {
            let answer = answer(&server, &format!("GET {outside} HTTP/1.1"));
            assert!(answer.starts_with("HTTP/1.1 40"), "{outside}: {answer}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = answer(&server, &format!("{method} /Cargo.toml HTTP/1.1"));
            assert!(answer.starts_with("HTTP/1.1 405"), "{method}: {answer}");
        }
    }

    #[test]
    fn files_have_the_types_that_browsers_insist_on() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path(), 0, &Access::default()).unwrap();
        for (name, expected) in [
            ("worker.js", "text/javascript; charset=utf-8"),
            ("index.html", "text/html; charset=utf-8"),
            ("unmask_wasm_bg.wasm", "application/wasm"),
            ("manifest.webmanifest", "application/manifest+json"),
            ("icon.svg", "image/svg+xml"),
            ("unmask-lite.safetensors", "application/octet-stream"),
        ] {
            fs::write(folder.path().join(name), name).unwrap();
            let head = answer(&server, &format!("HEAD /{name} HTTP/1.1"));
            assert_eq!(value(&head, "content-type").as_deref(), Some(expected), "{name}");
        }
        assert!(answer(&server, "GET / HTTP/1.1").ends_with("index.html"), "a folder is its index");
    }
}
