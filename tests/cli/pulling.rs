//! `unmask pull` through the built program, against a hub on the loopback interface.

use std::net::SocketAddr;
use std::thread;

use tiny_http::{Header, Response, Server};

use crate::support::{Place, golden, text};

/// A hub that answers every file with the tiny tower, and `config.json` with its configuration.
fn hub() -> String {
    let server = Server::http(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let endpoint = format!("http://{}", server.server_addr().to_ip().expect("an address"));
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let name = if request.url().ends_with("config.json") { "config.json" } else { "model.safetensors" };
            let bytes = std::fs::read(golden("clip_tiny").join(name)).expect("the golden file");
            let tag = Header::from_bytes("ETag", format!("\"{name}\"")).expect("a header");
            // The program may hang up as soon as it knows enough.
            let _ = request.respond(Response::from_data(bytes).with_header(tag));
        }
    });
    endpoint
}

#[test]
fn known_names_are_listed_with_licence_and_size() {
    let list = Place::new().succeed(["pull"]);
    for expected in ["clip-vit-b-16", "clip-vit-l-14", "gend-clip-l-14", "MIT", "GB"] {
        assert!(list.contains(expected), "no {expected} in {list}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_near_ones() {
    let sentence = Place::new().fail(["pull", "clip-vit-b16"]);
    assert!(sentence.contains("clip-vit-b-16"), "{sentence}");
}

#[test]
fn a_repository_of_the_hub_is_fetched_once_and_can_be_imported() {
    let place = Place::new();
    let endpoint = hub();
    let pull = || {
        let output = place.unmask().args(["pull", "some-lab/tower"]).env("HF_ENDPOINT", &endpoint).output();
        let output = output.expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(pull().contains("unmask import"));
    assert!(pull().contains("nothing had to be downloaded"));
    let fetched = place.path("cache/hub/some-lab--tower/main/model.safetensors");
    let detector = place.path("detector.safetensors");
    place.succeed(["import", "--from", "hf-clip", "--input", text(&fetched), "--output", text(&detector)]);
    assert!(place.succeed(["info", text(&detector)]).contains("2 heads"), "its config.json came with it");
}

#[test]
fn a_known_backbone_becomes_a_detector_that_is_found_by_its_name() {
    let place = Place::new();
    let endpoint = hub();
    // Another revision than the table's has no length and SHA-256 to be compared with.
    for expected in ["to train on", "is ready"] {
        let output = place.unmask().args(["pull", "clip-vit-b-32@main"]).env("HF_ENDPOINT", &endpoint).output();
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains(expected),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let table = place.succeed(["info", "clip-vit-b-32"]);
    assert!(table.contains("untrained") && table.contains("MIT"), "{table}");
}

#[test]
fn a_detector_that_an_earlier_version_converted_is_made_anew_and_then_stays() {
    let place = Place::new();
    let endpoint = hub();
    let pull = || {
        let output = place.unmask().args(["pull", "clip-vit-b-32@main"]).env("HF_ENDPOINT", &endpoint).output();
        let output = output.expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    pull();
    let detector = place.path("cache/detectors/clip-vit-b-32.safetensors");
    let record = place.path("cache/detectors/.clip-vit-b-32.safetensors.toml");
    let today = std::fs::read(&detector).expect("a detector");
    // As an earlier version left it: with the other kernel, and without a record.
    let earlier = || {
        place.redescribed(&detector, "cache/detectors/clip-vit-b-32.safetensors", |description| {
            description["input"]["interpolation"] = "bilinear".into();
        });
    };
    for left in [None, Some("conversion = 1\nweights = \"\"\n")] {
        earlier();
        assert!(std::fs::read(&detector).expect("a detector") != today);
        match left {
            None => std::fs::remove_file(&record).expect("removed"),
            Some(text) => std::fs::write(&record, text).expect("written"),
        }
        let said = pull();
        assert!(said.contains("nothing had to be downloaded") && said.contains("made anew"), "{said}");
        assert!(std::fs::read(&detector).expect("a detector") == today, "{left:?}");
    }
    // With its record it is left alone.
    earlier();
    let said = pull();
    assert!(said.contains("is ready: use `--model clip-vit-b-32`") && !said.contains("made anew"), "{said}");
    assert!(std::fs::read(&detector).expect("a detector") != today);
}

#[test]
fn a_known_name_whose_bytes_are_others_is_refused() {
    let place = Place::new();
    let output = place.unmask().args(["pull", "clip-vit-l-14"]).env("HF_ENDPOINT", hub()).output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(!place.path("cache/detectors/clip-vit-l-14.safetensors").exists());
}

#[test]
fn a_model_that_was_not_pulled_is_answered_with_how_to_pull_it() {
    let place = Place::new();
    let sentence = place.fail(["score", "clip.mp4", "--model", "gend-clip-l-14"]);
    assert!(sentence.contains("unmask pull gend-clip-l-14"), "{sentence}");
}

#[test]
fn a_detector_given_by_its_path_needs_none_of_the_hubs_settings() {
    let place = Place::new();
    let detector = place.detector();
    let output = place.unmask().args(["info", text(&detector)]).env("HF_ENDPOINT", "no address").output();
    assert!(output.expect("the program starts").status.success());
}
