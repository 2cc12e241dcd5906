//! Scoring by HTTP: what goes in comes out as a report, and whatever is wrong is refused with a code and one sentence.

mod client;

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use client::Server;

use crate::support::{Place, sample, text};

fn clip(name: &str) -> Vec<u8> {
    std::fs::read(sample(name)).expect("read")
}

/// A wrong request (method, address, header lines, body), and the status and the code that it is refused with.
type Wrong<'a> = (&'a str, &'a str, &'a [&'a str], &'a [u8], u16, &'a str);

/// A document without what differs from run to run.
fn timeless(mut report: Value) -> Value {
    report.as_object_mut().expect("an object").remove("timing_s").expect("times");
    report
}

#[test]
fn an_upload_comes_out_as_the_report_that_score_prints_and_its_file_goes() {
    let mut server = Server::start(&[]);
    let job = server.upload("..%2Fvideos%2Freal.mp4", &clip("real.mp4"));
    let done = server.wait(&job, |state| state == "done");
    assert_eq!((&done["input"], &done["report"]), (&"real.mp4".into(), &format!("{job}/report").into()));
    let report = server.get(&format!("{job}/report?wait=10")).json();
    let (path, detector) = (sample("real.mp4"), server.place.detector());
    let printed = server.place.succeed(["score", text(&path), "--json", "--frames", "1", "--model", text(&detector)]);
    let mut printed: Value = serde_json::from_str(&printed).expect("JSON");
    printed["input"] = "real.mp4".into();
    assert_eq!(timeless(report), timeless(printed));
    let events = server.get(&format!("{job}/events"));
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    assert!(events.body.contains("event: job") && events.body.contains("\"state\":\"done\""), "{events:?}");
    assert!(server.temporary().is_empty());

    let broken = server.upload("broken.mp4", b"this is no video");
    let failed = server.wait(&broken, |state| state == "failed");
    let words = failed["error"]["message"].as_str().expect("a reason");
    assert!(words.starts_with("broken.mp4: this is neither") && !words.contains("unmask-serve"), "{words}");
    assert_eq!(server.get(&format!("{broken}/report")).code(), "not_scored");
    assert!(server.temporary().is_empty());
    assert_eq!(server.end(), Some(0));
    assert_eq!(std::fs::read_dir(server.place.path("temporary")).expect("listed").count(), 0);
}

#[test]
fn files_are_named_by_their_path_only_in_folders_that_are_allowed() {
    let folder = sample("");
    let server = Server::start(&["--allow", text(&folder)]);
    let folder = folder.canonicalize().expect("a folder");
    let name = |path: &str| {
        server.ask("POST", "/jobs", &["Content-Type: application/json"], json!({ "path": path }).to_string().as_bytes())
    };
    let inside = folder.join("no_face.mp4");
    let answer = name(text(&inside));
    assert_eq!(answer.status, 202, "{answer:?}");
    let job = answer.header("location").expect("an address").to_owned();
    let report = server.get(&format!("{job}/report?wait=300")).json();
    assert_eq!((&report["verdict"], &report["input"]), (&"no_face".into(), &text(&inside).into()));
    for (path, status, code) in [
        (text(&server.place.detector()), 403, "path_not_allowed"),
        (text(&folder.join("gone.mp4")), 404, "no_such_file"),
        (text(&folder.join("../README.md")), 400, "bad_path"),
        (text(&folder), 400, "not_a_file"),
        ("demo/real.mp4", 400, "bad_path"),
    ] {
        let answer = name(path);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
    }
}

#[test]
fn whatever_is_wrong_with_a_request_is_answered_with_a_code_and_one_sentence() {
    let server = Server::start(&["--max-upload", "1"]);
    let unknown = format!("/jobs/{:032x}", 7);
    let large = vec![0; (1 << 20) + 1];
    let document = ["Content-Type: application/json"];
    let cases: [Wrong; 19] = [
        ("GET", "/nothing", &[], b"", 404, "not_found"),
        ("GET", "/jobs", &[], b"", 405, "method_not_allowed"),
        ("PUT", "/health", &[], b"", 405, "method_not_allowed"),
        ("GET", &unknown, &[], b"", 404, "unknown_job"),
        ("GET", "/jobs/%FF", &[], b"", 404, "unknown_job"),
        ("DELETE", &unknown, &[], b"", 404, "unknown_job"),
        ("GET", &format!("{unknown}/report"), &[], b"", 404, "unknown_job"),
        ("GET", &format!("{unknown}/events"), &[], b"", 404, "unknown_job"),
        ("GET", &format!("{unknown}?wait=soon"), &[], b"", 400, "bad_query"),
        ("GET", &format!("{unknown}?wait=301"), &[], b"", 400, "bad_query"),
        ("DELETE", &format!("{unknown}?now=1"), &[], b"", 400, "bad_query"),
        ("POST", "/jobs?path=/etc/passwd", &[], b"video", 400, "bad_query"),
        ("POST", "/jobs", &["Content-Type: multipart/form-data; boundary=x"], b"--x--", 415, "unsupported_media_type"),
        ("POST", "/jobs", &[], b"", 400, "empty"),
        ("POST", "/jobs", &[], &large, 413, "too_large"),
        ("POST", "/jobs", &document, b"{\"path\": ", 400, "bad_document"),
        ("POST", "/jobs", &document, b"{\"path\": \"/a\", \"frames\": 3}", 400, "bad_document"),
        ("POST", "/jobs", &document, b"[\"\xff\"]", 400, "bad_document"),
        ("POST", "/jobs", &document, b"{\"path\": \"/etc/passwd\"}", 403, "path_not_allowed"),
    ];
    for (method, path, headers, body, status, code) in cases {
        let answer = server.ask(method, path, headers, body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let chunked = format!(
        "POST /jobs HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.address
    );
    let chunk = format!("{:x}\r\n", large.len());
    let answer = server.send(&[chunked.as_bytes(), chunk.as_bytes(), &large, b"\r\n0\r\n\r\n"].concat());
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    let long = vec![b' '; 100 << 10];
    assert_eq!(server.ask("POST", "/jobs", &document, &long).code(), "too_large");
    server.wait_until_empty();
    assert_eq!(server.get("/health").json(), json!({ "status": "ok", "queued": 0, "running": 0 }));
}

#[test]
fn browsers_of_other_sites_and_strangers_are_turned_away() {
    let server = Server::start(&[]);
    let code = |headers: &[&str]| server.ask("GET", "/version", headers, b"").code();
    assert_eq!(code(&["Host: evil.example"]), "wrong_host");
    assert_eq!(code(&["Host: "]), "wrong_host");
    assert_eq!(code(&["Origin: http://evil.example"]), "cross_origin");
    assert_eq!(code(&["Origin: null"]), "cross_origin");
    assert_eq!(code(&["Sec-Fetch-Site: cross-site"]), "cross_origin");
    assert_eq!(server.ask("GET", "/version", &["Host: localhost:9"], b"").status, 200);
    let absolute =
        format!("GET http://evil.example/version HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
    assert_eq!(server.send(absolute.as_bytes()).code(), "wrong_host");
    let page = server.get("/");
    assert!(page.header("content-security-policy").expect("a policy").starts_with("default-src 'none'"));
    assert!(page.body.contains("/jobs?name=clip.mp4") && !page.body.contains("<script"), "{page:?}");

    let place = Place::new();
    let refused = place.run(["serve", "--listen", "0.0.0.0", "--port", "0"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--token-file"));
    let token = place.path("token");
    std::fs::write(&token, "short\n").expect("written");
    let serve = ["serve", "--listen", "0.0.0.0", "--port", "0", "--token-file", text(&token)];
    assert!(place.fail(serve).contains("no token"));
    std::fs::write(&token, "a-token-of-some-length\n").expect("written");
    let server = Server::start(&["--listen", "0.0.0.0", "--token-file", text(&token)]);
    let ask = |headers: &[&str]| server.ask("GET", "/version", headers, b"");
    assert_eq!(ask(&["Authorization: Bearer a-token-of-some-length"]).status, 200);
    assert_eq!(ask(&["Host: desk.example", "Authorization: Bearer a-token-of-some-length"]).status, 200);
    for headers in [&[][..], &["Authorization: Bearer a-token-of-some-lengtH"], &["Authorization: Basic YTpi"]] {
        let answer = ask(headers);
        assert_eq!((answer.code().as_str(), answer.header("www-authenticate")), ("unauthorized", Some("Bearer")));
    }
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn the_queue_is_bounded_and_an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start(&["--queue", "1"]);
    // An upload that is under way has the only place.
    let mut slow = TcpStream::connect(&server.address).expect("connected");
    let head = format!("POST /jobs HTTP/1.1\r\nHost: {}\r\nContent-Length: 9999\r\n\r\nhalf", server.address);
    slow.write_all(head.as_bytes()).expect("sent");
    while server.temporary().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let refused = server.ask("POST", "/jobs", &[], &clip("real.mp4"));
    assert_eq!((refused.status, refused.code().as_str()), (503, "queue_full"));
    assert!(refused.header("retry-after").expect("seconds").parse::<u32>().is_ok());
    drop(slow);
    server.wait_until_empty();
    let job = server.upload("real.mp4", &clip("real.mp4"));
    server.wait(&job, |state| state == "done");
}

#[test]
fn jobs_are_cancelled_while_they_wait_and_while_they_are_scored() {
    let mut server = Server::start(&["--frames", "10000"]);
    let long = server.place.path("long.mp4");
    server.place.ffmpeg(&["-stream_loop", "40", "-i", text(&sample("real.mp4")), "-c", "copy", text(&long)]);
    let long = std::fs::read(long).expect("read");
    let [first, second, third] = [1, 2, 3].map(|_| server.upload("long.mp4", &long));
    assert_eq!(server.get(&first).json()["input"], "long.mp4");
    assert_eq!(server.get(&format!("{first}/report")).code(), "not_finished");
    for job in [&second, &first] {
        assert_eq!(server.ask("DELETE", job, &[], b"").json()["state"], "cancelled");
        assert_eq!(server.get(&format!("{job}/report?wait=9")).code(), "cancelled");
    }
    let running = server.wait(&third, |state| state == "running");
    assert!(running["frames"]["done"].is_u64(), "{running}");
    assert_eq!(server.temporary().len(), 1, "those of the others are gone");
    assert_eq!(server.ask("DELETE", &first, &[], b"").status, 200);
    assert_eq!(server.get(&first).code(), "unknown_job");
    // Nobody waits for what is scored now.
    assert_eq!(server.end(), Some(0));
    assert_eq!(std::fs::read_dir(server.place.path("temporary")).expect("listed").count(), 0);
}

#[test]
fn the_description_has_the_methods_there_are_and_answers_are_as_it_says() {
    let server = Server::start(&[]);
    let description = server.get("/openapi.json").json();
    for (path, described) in description["paths"].as_object().expect("paths") {
        let allowed = server.ask("PATCH", &path.replace("{id}", "x"), &[], b"");
        let allowed = allowed.header("allow").expect("methods").to_ascii_lowercase();
        // Whoever may get something may ask for its headers alone.
        let mut allowed: Vec<&str> = allowed.split(',').filter(|method| *method != "head").collect();
        let mut described: Vec<&str> = described.as_object().expect("methods").keys().map(String::as_str).collect();
        allowed.sort_unstable();
        described.sort_unstable();
        assert_eq!(allowed, described, "{path}");
    }
    let follows = |schema: &str, document: &Value| {
        let schema = &description["components"]["schemas"][schema];
        let (known, fields) =
            (schema["properties"].as_object().expect("fields"), document.as_object().expect("fields"));
        for needed in schema["required"].as_array().expect("names") {
            assert!(fields.contains_key(needed.as_str().expect("a name")), "no {needed} in {document}");
        }
        let is_open = schema["additionalProperties"] != false;
        assert!(is_open || fields.keys().all(|field| known.contains_key(field)), "{document}");
    };
    let job = server.upload("real.mp4", &clip("real.mp4"));
    follows("Job", &server.get(&job).json());
    follows("Report", &server.get(&format!("{job}/report?wait=300")).json());
    follows("Job", &server.get(&job).json());
    follows("Health", &server.get("/health").json());
    follows("Version", &server.get("/version").json());
    follows("Refusal", &server.get("/nothing").json());
}

#[test]
fn eight_clients_at_once_lose_nothing() {
    const CLIENTS: usize = 8;
    const EACH: usize = 3;
    let server = Server::start(&["--queue", "4"]);
    let bytes = clip("no_face.mp4");
    let hand_in = |name: &str| {
        let since = std::time::Instant::now();
        loop {
            let answer = server.ask("POST", &format!("/jobs?name={name}"), &[], &bytes);
            match answer.status {
                202 => return answer.header("location").expect("an address").to_owned(),
                _ => assert_eq!((answer.status, answer.code().as_str()), (503, "queue_full")),
            }
            assert!(since.elapsed() < crate::support::PATIENCE, "the queue stays full");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let client = |number: usize| {
        for turn in 0..EACH {
            let name = format!("{number}-{turn}.mp4");
            let report = server.get(&format!("{}/report?wait=300", hand_in(&name))).json();
            assert_eq!((&report["input"], &report["verdict"]), (&name.into(), &"no_face".into()));
        }
    };
    let client = &client;
    std::thread::scope(|threads| (0..CLIENTS).for_each(|number| drop(threads.spawn(move || client(number)))));
    assert!(server.temporary().is_empty());
    assert_eq!(server.get("/health").json(), json!({ "status": "ok", "queued": 0, "running": 0 }));
}
