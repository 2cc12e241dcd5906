//! A server for one folder on this machine: whole files and parts of them, each only where it has changed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::UNIX_EPOCH;

use anyhow::{Result, anyhow};
use tiny_http::{Header, Method, Request, Response, StatusCode};

use super::headers::Access;

/// A folder on a port of this machine.
pub(crate) struct Server {
    http: Arc<tiny_http::Server>,
    folder: PathBuf,
    headers: Vec<Header>,
    port: u16,
}

impl Server {
    /// Serves `folder` on `port`, or on any free one for 0, to its own pages alone.
    ///
    /// # Errors
    /// The port is taken.
    pub(crate) fn bind(folder: &Path, port: u16) -> Result<Self> {
        let taken = |error| anyhow!("port {port} cannot be used ({error}); choose another with `--port`");
        let http = tiny_http::Server::http((Ipv4Addr::LOCALHOST, port)).map_err(taken)?;
        let port = http.server_addr().to_ip().map_or(port, |address| address.port());
        let server = Self { http: Arc::new(http), folder: folder.to_owned(), headers: Vec::new(), port };
        Ok(server.with_access(&Access::default()))
    }

    /// The same, with another idea of what may be fetched by whom.
    pub(crate) fn with_access(mut self, access: &Access) -> Self {
        self.headers = access.headers().iter().filter_map(|(name, value)| header(name, value)).collect();
        self
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

    /// Answers requests until it is stopped, each in a thread of its own: a large file does not hold up a small one.
    pub(crate) fn serve(&self) {
        thread::scope(|scope| {
            for request in self.http.incoming_requests() {
                // A browser that went away has no use for the rest.
                scope.spawn(move || self.answer(request).ok());
            }
        });
    }

    fn answer(&self, request: Request) -> io::Result<()> {
        if !matches!(request.method(), Method::Get | Method::Head) {
            return request.respond(self.dressed(Response::empty(405)));
        }
        match file_path(request.url()).and_then(|path| Stored::open(&self.folder.join(path)).ok()) {
            Some(stored) => self.answer_with(request, stored),
            None => request.respond(self.dressed(Response::from_string("not found").with_status_code(404))),
        }
    }

    fn answer_with(&self, request: Request, mut stored: Stored) -> io::Result<()> {
        let asked = |name| asked(&request, name);
        let headers = stored.headers();
        let answer = choose(&stored.tag, stored.length, asked("If-None-Match"), asked("Range"), asked("If-Range"));
        let (status, range) = match answer {
            Answer::Unchanged => return request.respond(self.dressed(described(Response::empty(304), headers))),
            Answer::Beyond => {
                let length = header("Content-Range", &format!("bytes */{}", stored.length));
                return request.respond(self.dressed(described(Response::empty(416), length)));
            }
            Answer::All => (200, 0..=stored.length.saturating_sub(1)),
            Answer::Part(range) => (206, range),
        };
        let part = (status == 206).then(|| format!("bytes {}-{}/{}", range.start(), range.end(), stored.length));
        let headers: Vec<Header> =
            headers.into_iter().chain(part.and_then(|part| header("Content-Range", &part))).collect();
        stored.file.seek(SeekFrom::Start(*range.start()))?;
        let length = if stored.length == 0 { 0 } else { range.end() - range.start() + 1 };
        let body = stored.file.take(length);
        let response = Response::new(StatusCode(status), headers, body, usize::try_from(length).ok(), None);
        // Without its length, a page cannot say how far a download is.
        request.respond(self.dressed(response.with_chunked_threshold(usize::MAX)))
    }

    /// The response with the headers of every answer.
    fn dressed<R: Read>(&self, response: Response<R>) -> Response<R> {
        described(response, self.headers.iter().cloned())
    }
}

/// A file that is there.
struct Stored {
    file: File,
    length: u64,
    tag: String,
    content_type: String,
}

impl Stored {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let changed = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let length = metadata.len();
        let tag = format!("\"{changed:x}-{length:x}\"");
        let mime = mime_guess::from_path(path).first_or_octet_stream();
        let charset = if mime.type_() == "text" { "; charset=utf-8" } else { "" };
        Ok(Self { file, length, tag, content_type: format!("{mime}{charset}") })
    }

    fn headers(&self) -> Vec<Header> {
        let headers = [("Content-Type", self.content_type.as_str()), ("ETag", &self.tag), ("Accept-Ranges", "bytes")];
        headers.iter().filter_map(|(name, value)| header(name, value)).collect()
    }
}

/// How to answer a request for a file.
#[derive(Debug, PartialEq)]
enum Answer {
    /// The browser has it.
    Unchanged,
    /// All of it.
    All,
    /// Some of its bytes.
    Part(RangeInclusive<u64>),
    /// It has no such bytes.
    Beyond,
}

/// What a request with these headers gets of a file of `length` bytes.
fn choose(tag: &str, length: u64, if_none_match: Option<&str>, range: Option<&str>, if_range: Option<&str>) -> Answer {
    if if_none_match.is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        return Answer::Unchanged;
    }
    let current = if_range.is_none_or(|known| known == tag);
    let Some(parsed) = range.filter(|_| current).and_then(|range| http_range_header::parse_range_header(range).ok())
    else {
        return Answer::All;
    };
    match parsed.validate(length).as_deref() {
        Ok([range]) => Answer::Part(range.clone()),
        // Several parts would be another format; whoever asks has to take all of it as well.
        Ok(_) => Answer::All,
        Err(_) => Answer::Beyond,
    }
}

/// The file of the folder that an address names: never one outside of it.
fn file_path(url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.strip_prefix('/')?;
    let (folder, index) = if path.is_empty() || path.ends_with('/') { (path, "index.html") } else { (path, "") };
    let names = folder.split_terminator('/').chain((!index.is_empty()).then_some(index));
    names.map(|name| is_plain(name).then_some(name)).collect()
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

/// A header of the request.
fn asked<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    request.headers().iter().find(|header| header.field.equiv(name)).map(|header| header.value.as_str())
}

fn described<R: Read>(response: Response<R>, headers: impl IntoIterator<Item = Header>) -> Response<R> {
    headers.into_iter().fold(response, Response::with_header)
}

/// A header; `None` if it is not ASCII.
fn header(name: &str, value: &str) -> Option<Header> {
    Header::from_bytes(name, value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_files_of_the_folder_and_nowhere_else() {
        for (url, path) in
            [("/", "index.html"), ("/unmask.js?x=/../y", "unmask.js"), ("/a/b.js", "a/b.js"), ("/a/", "a/index.html")]
        {
            assert_eq!(file_path(url).as_deref(), Some(Path::new(path)), "{url}");
        }
        for outside in ["/../Cargo.toml", "/a/../../b", "/.git", "/a/.b", "/%2e%2e", "//x", "x", "/a\\b", "/c:x"] {
            assert_eq!(file_path(outside), None, "{outside}");
        }
    }

    #[test]
    fn requests_get_what_they_lack() {
        let tag = "\"1-a\"";
        for (if_none_match, range, if_range, answer) in [
            (None, None, None, Answer::All),
            (Some("\"0\", \"1-a\""), None, None, Answer::Unchanged),
            (Some("\"0\""), None, None, Answer::All),
            (None, Some("bytes=4-"), None, Answer::Part(4..=9)),
            (None, Some("bytes=0-0"), None, Answer::Part(0..=0)),
            (None, Some("bytes=-3"), None, Answer::Part(7..=9)),
            (None, Some("bytes=4-"), Some(tag), Answer::Part(4..=9)),
            (None, Some("bytes=4-"), Some("\"0\""), Answer::All),
            (None, Some("bytes=10-"), None, Answer::Beyond),
            (None, Some("bytes=0-1,3-4"), None, Answer::All),
            (None, Some("lines=1-2"), None, Answer::All),
        ] {
            let found = choose(tag, 10, if_none_match, range, if_range);
            assert_eq!(found, answer, "{if_none_match:?} {range:?} {if_range:?}");
        }
    }

    /// What the server answers to a request for `path`.
    fn answer(server: &Server, request: &str) -> String {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        stream.write_all(format!("{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn files_are_served_with_their_length_their_type_and_every_header() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let server = Server::bind(folder, 0).unwrap();
        let stop = server.stopper();
        thread::scope(|scope| {
            scope.spawn(|| server.serve());
            let length = std::fs::metadata(folder.join("src/main.rs")).unwrap().len();
            let head = answer(&server, "HEAD /src/main.rs HTTP/1.1");
            assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
            assert!(head.contains(&format!("Content-Length: {length}\r\n")), "{head}");
            for (name, value) in Access::default().headers() {
                assert!(head.contains(&format!("{name}: {value}\r\n")), "{name} is not in {head}");
            }
            let part = answer(&server, "GET /Cargo.toml HTTP/1.1\r\nRange: bytes=0-8");
            assert!(part.starts_with("HTTP/1.1 206") && part.ends_with("\r\n\r\n[package]"), "{part}");
            assert!(part.contains("Content-Range: bytes 0-8/"), "{part}");
            assert!(answer(&server, "GET /src HTTP/1.1").starts_with("HTTP/1.1 404"));
            assert!(answer(&server, "POST /Cargo.toml HTTP/1.1").starts_with("HTTP/1.1 405"));
            stop();
        });
    }

    #[test]
    fn modules_have_the_types_that_browsers_insist_on() {
        for (name, expected) in [
            ("worker.js", "text/javascript"),
            ("unmask_wasm_bg.wasm", "application/wasm"),
            ("manifest.webmanifest", "application/manifest+json"),
            ("icon.svg", "image/svg+xml"),
            ("unmask-lite.safetensors", "application/octet-stream"),
        ] {
            assert_eq!(mime_guess::from_path(name).first_or_octet_stream(), expected, "{name}");
        }
    }
}
