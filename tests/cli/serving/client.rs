//! A server of the program, and as much of HTTP as its tests need: requests as they are written, also wrong ones.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::support::{PATIENCE, Place, text};

/// A running server with a folder for its temporary files.
pub(super) struct Server {
    pub(super) place: Place,
    child: Child,
    pub(super) address: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a refusal, which has a sentence and nothing else.
    pub(super) fn code(&self) -> String {
        let document = self.json();
        let keys = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(&document), Some(vec!["error".to_owned()]), "{self:?}");
        assert_eq!(keys(&document["error"]), Some(vec!["code".to_owned(), "message".to_owned()]), "{self:?}");
        let words = document["error"]["message"].as_str().expect("a sentence");
        assert!((20..500).contains(&words.len()) && !words.contains('\n'), "{words}");
        document["error"]["code"].as_str().expect("a code").to_owned()
    }
}

impl Server {
    pub(super) fn start(more: &[&str]) -> Self {
        let place = Place::new();
        let detector = place.detector();
        let temporary = place.path("temporary");
        std::fs::create_dir(&temporary).expect("made");
        let mut command = place.unmask();
        command.args(["serve", "--port", "0", "--model", text(&detector)]).args(more);
        if !more.contains(&"--frames") {
            command.args(["--frames", "1"]);
        }
        command.env("TMPDIR", &temporary).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("serving on http://").expect("an address").trim_end_matches('/');
        Self { address: address.replace("0.0.0.0", "127.0.0.1"), place, child }
    }

    /// Sends what is written, of which a refused client may not get rid, and reads the answer.
    pub(super) fn send(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.write_all(request).ok();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A whole request with these header lines beside the usual ones.
    pub(super) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|line| line.starts_with("Host:")) {
            request += &format!("Host: {}\r\n", self.address);
        }
        headers.iter().for_each(|line| request += &format!("{line}\r\n"));
        self.send(&[request.as_bytes(), b"\r\n", body].concat())
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    /// Hands bytes in; gives the job's address.
    pub(super) fn upload(&self, name: &str, bytes: &[u8]) -> String {
        let answer = self.ask("POST", &format!("/jobs?name={name}"), &[], bytes);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("location").expect("an address").to_owned()
    }

    /// Waits until a job has a state that `is_wanted`, and gives its document.
    pub(super) fn wait(&self, job: &str, is_wanted: impl Fn(&str) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let document = self.get(&format!("{job}?wait=1")).json();
            if is_wanted(document["state"].as_str().expect("a state")) {
                return document;
            }
            assert!(since.elapsed() < PATIENCE, "{document}");
        }
    }

    /// Names of temporary files other than the lock.
    pub(super) fn temporary(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.place.path("temporary")).expect("listed");
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.expect("listed").path()).into_iter().flatten());
        files.map(|file| file.expect("listed").path()).filter(|file| !file.ends_with("lock")).collect()
    }

    /// Waits until nothing but the lock is left.
    pub(super) fn wait_until_empty(&self) {
        let since = Instant::now();
        while !self.temporary().is_empty() {
            assert!(since.elapsed() < PATIENCE, "{:?}", self.temporary());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Ends it as a service manager does; gives its exit status.
    pub(super) fn end(&mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        self.child.wait().expect("its end").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where the test did not end it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
