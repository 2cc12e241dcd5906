//! Content credentials beside the score: of files that are signed here, changed and scored.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use c2pa::{Builder, Context, EphemeralSigner};
use serde_json::Value;

use crate::support::{Place, sample, text};

const DEFINITION: &str = r#"{
    "title": "the original", "claim_generator_info": [{ "name": "the tests", "version": "1" }],
    "assertions": [{ "label": "c2pa.actions.v2", "data": { "actions": [{
        "action": "c2pa.created", "softwareAgent": { "name": "a generator" },
        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    }] } }]
}"#;

/// A signed copy of a file.
fn signed(place: &Place, file: &Path, format: &str) -> PathBuf {
    let signer = EphemeralSigner::new("tests.local").expect("a signer");
    let mut builder = Builder::from_context(Context::new()).with_definition(DEFINITION).expect("a definition");
    let (mut source, mut output) = (Cursor::new(std::fs::read(file).expect("read")), Cursor::new(Vec::new()));
    builder.sign(&signer, format, &mut source, &mut output).expect("signed");
    let name = file.file_name().expect("a name").to_string_lossy();
    let path = place.path(&format!("signed-{name}"));
    std::fs::write(&path, output.into_inner()).expect("written");
    path
}

/// The file with the byte after `mark` changed.
fn changed(place: &Place, file: &Path, mark: &[u8]) -> PathBuf {
    let mut bytes = std::fs::read(file).expect("read");
    let at = bytes.windows(mark.len()).position(|window| window == mark).expect("the mark") + mark.len();
    bytes[at] ^= 1;
    let path = place.path("changed").with_extension(file.extension().expect("an extension"));
    std::fs::write(&path, bytes).expect("written");
    path
}

/// The report of a file and what its page says.
fn scored(place: &Place, file: &Path) -> (Value, String) {
    let folder = place.path("report");
    let report = place.score(&[text(file), "--frames", "2", "--report", text(&folder)]).remove(0);
    let name = file.file_name().expect("a name").to_string_lossy();
    let page = std::fs::read_to_string(folder.join(format!("{name}.html"))).expect("a page");
    let written = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("a report");
    let written: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(written["content_credentials"], report["content_credentials"]);
    (report, page)
}

#[test]
fn credentials_stand_beside_the_score_and_change_nothing_of_it() {
    let place = Place::new();
    let picture = place.path("picture.jpg");
    place.ffmpeg(&["-i", text(&sample("fake.mp4")), "-frames:v", "1", "-q:v", "2", text(&picture)]);
    // What can be changed without harm to the pictures: the name of a track, a comment.
    for (file, format, mark) in [(sample("fake.mp4"), "video/mp4", &b"VideoHand"[..]), (picture, "image/jpeg", b"Lavc")]
    {
        let (plain, page) = scored(&place, &file);
        assert_eq!(plain["content_credentials"]["state"], "none", "{plain}");
        assert!(page.contains("There are none. Most files have none"), "{page}");
        let path = signed(&place, &file, format);
        let (valid, page) = scored(&place, &path);
        let found = &valid["content_credentials"];
        assert_eq!((&found["state"], &found["trusted"]), (&"valid".into(), &false.into()), "{found}");
        assert!(found["signer"].as_str().expect("a signer").contains("tests.local"), "{found}");
        assert_eq!(found["actions"][0]["action"], "c2pa.created");
        assert_eq!(found["source_types"][0], "trainedAlgorithmicMedia");
        assert!(
            page.contains("whose name nobody vouches for") && page.contains("made by a trained model (AI)"),
            "{page}"
        );
        let (broken, page) = scored(&place, &changed(&place, &path, mark));
        assert_eq!(broken["content_credentials"]["state"], "broken", "{}", broken["content_credentials"]);
        assert!(page.contains("not as they were signed"), "{page}");
        for report in [&valid, &broken] {
            for same in ["verdict", "score", "reason", "caveats", "strength"] {
                assert_eq!(report[same], plain[same], "{same}");
            }
        }
        let detector = place.detector();
        let words = place.succeed(["score", text(&path), "--frames", "2", "--model", text(&detector)]);
        assert!(words.contains("content credentials: the file is as it was signed by"), "{words}");
        assert!(
            words.contains("content credentials: they say that it, or a part of it, was made by a trained model"),
            "{words}"
        );
    }
}

#[test]
fn malformed_credentials_never_stop_the_scoring() {
    let place = Place::new();
    let path = signed(&place, &sample("fake.mp4"), "video/mp4");
    let whole = std::fs::read(&path).expect("read");
    let start = whole.windows(4).position(|window| window == b"jumb").expect("a box of credentials");
    for (skip, length) in [(4, 4), (30, 60), (200, 2000), (2, 5000)] {
        let mut bytes = whole.clone();
        let end =
            (start + skip + length).min(whole.windows(4).position(|window| window == b"mdat").unwrap_or(whole.len()));
        bytes[start + skip..end].fill(0xee);
        let broken = place.path("malformed.mp4");
        std::fs::write(&broken, bytes).expect("written");
        let report = place.score(&[text(&broken), "--frames", "1"]).remove(0);
        let state = report["content_credentials"]["state"].as_str().expect("a state");
        assert!(["broken", "unreadable"].contains(&state), "{state}");
        assert_eq!(report["video"]["frames_sampled"], 1);
    }
    // Nobody looks where there is nothing to look at.
    let frames = place.path("frames");
    std::fs::create_dir(&frames).expect("made");
    place.ffmpeg(&["-i", text(&sample("fake.mp4")), "-frames:v", "4", text(&frames.join("%03d.png"))]);
    let report = place.score(&[text(&frames)]).remove(0);
    assert_eq!(report["content_credentials"]["state"], "not_looked_for");
}
