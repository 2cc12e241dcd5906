//! Small servers for the tests: a hub or store that answers by a function, and one that breaks off in the middle.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha256};
use tiny_http::{Header, Response};

/// One request as the server saw it; header names in lower case.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: HashMap<String, String>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// Status, headers, body.
pub(super) type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

pub(super) fn status(code: u16) -> Answer {
    (code, Vec::new(), b"for people only".to_vec())
}

pub(super) fn redirect(to: &str) -> Answer {
    (302, vec![("Location", to.to_owned())], Vec::new())
}

/// A redirect as the hub sends it for a large file.
pub(super) fn linked(to: &str, content: &[u8]) -> Answer {
    let etag = ("X-Linked-Etag", format!("\"{}\"", sha256(content)));
    let size = ("X-Linked-Size", content.len().to_string());
    (302, vec![("Location", to.to_owned()), etag, size, ("X-Repo-Commit", "c0ffee".to_owned())], Vec::new())
}

/// The content as a store sends it, in ranges if asked to and if its version is the one asked for.
pub(super) fn content(seen: &Seen, content: &[u8]) -> Answer {
    let etag = format!("\"{}\"", &sha256(content)[..8]);
    let from = seen.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match from {
        Some(from) if seen.header("if-range").is_none_or(|asked| asked == etag) => {
            let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
            (206, vec![("ETag", etag), ("Content-Range", range)], content[from..].to_vec())
        }
        _ => (200, vec![("ETag", etag)], content.to_vec()),
    }
}

pub(super) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Pseudo-random bytes, so that no part of a file looks like another.
pub(super) fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = 2 * seed + 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(step).collect()
}

/// A server on the loopback interface that ends when it is dropped.
pub(super) struct Server {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: Arc<tiny_http::Server>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers request number n (from 0) with `answer(request, n)`.
    pub(super) fn new(answer: impl Fn(&Seen, usize) -> Answer + Send + 'static) -> Self {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let url = format!("http://{}", server.server_addr());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let thread = thread::spawn({
            let (server, seen) = (server.clone(), seen.clone());
            move || {
                for request in server.incoming_requests() {
                    let headers = request.headers().iter();
                    let headers =
                        headers.map(|h| (h.field.as_str().as_str().to_ascii_lowercase(), h.value.to_string()));
                    let this = Seen {
                        method: request.method().to_string(),
                        url: request.url().to_owned(),
                        headers: headers.collect(),
                    };
                    let number = seen.lock().unwrap().len();
                    seen.lock().unwrap().push(this.clone());
                    let (status, headers, body) = answer(&this, number);
                    let mut response =
                        Response::from_data(body).with_status_code(status).with_chunked_threshold(usize::MAX);
                    for (name, value) in headers {
                        response.add_header(Header::from_bytes(name, value).unwrap());
                    }
                    let _ = request.respond(response);
                }
            }
        });
        Self { url, seen, server, thread: Some(thread) }
    }

    /// All requests so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The GET requests so far.
    pub(super) fn gets(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| !seen.is_head()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.server.unblock();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A store that promises `content` but sends only its first `sent` bytes; then it closes the connection, or, with
/// `stall`, keeps it open and silent until the client has gone.
pub(super) fn breaking_store(content: Vec<u8>, sent: usize, stall: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/store", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = read_head(&stream);
            let etag = &sha256(&content)[..8];
            let lines = format!("HTTP/1.1 200 OK\r\nETag: \"{etag}\"\r\nContent-Length: {}\r\n\r\n", content.len());
            stream.write_all(lines.as_bytes()).unwrap();
            stream.write_all(&content[..sent]).unwrap();
            stream.flush().unwrap();
            if stall {
                let _ = head.read_until(0, &mut Vec::new());
            }
        }
    });
    url
}

fn read_head(stream: &TcpStream) -> BufReader<TcpStream> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    reader
}
