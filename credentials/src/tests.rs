//! Files that are signed here, changed, and read.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use c2pa::{Builder, Context, EphemeralSigner};

use super::*;

/// A file of the repository.
fn sample(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

/// A real picture: the first frame of a sample clip as a JPEG.
fn jpeg() -> Vec<u8> {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/real.mp4");
    let ffmpeg = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(clip)
        .args(["-frames:v", "1", "-f", "image2pipe", "-c:v", "mjpeg", "pipe:1"])
        .output()
        .unwrap();
    assert!(ffmpeg.status.success() && ffmpeg.stdout.starts_with(b"\xff\xd8"));
    ffmpeg.stdout
}

const DEFINITION: &str = r#"{
    "title": "a test", "claim_generator_info": [{ "name": "the tests", "version": "1" }],
    "assertions": [{ "label": "c2pa.actions.v2", "data": { "actions": [
        { "action": "c2pa.created", "when": "2026-01-02T03:04:05Z", "softwareAgent": { "name": "a generator" },
          "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia" },
        { "action": "c2pa.edited", "softwareAgent": { "name": "an editor" } }
    ] } }]
}"#;

fn builder(definition: &str) -> Builder {
    Builder::from_context(Context::new()).with_definition(definition).unwrap()
}

fn signed_by(mut builder: Builder, format: &str, source: &[u8]) -> Vec<u8> {
    let signer = EphemeralSigner::new("tests.local").unwrap();
    let mut output = Cursor::new(Vec::new());
    builder.sign(&signer, format, &mut Cursor::new(source.to_vec()), &mut output).unwrap();
    output.into_inner()
}

fn signed(format: &str, source: &[u8]) -> Vec<u8> {
    signed_by(builder(DEFINITION), format, source)
}

fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn credentials_of(bytes: &[u8]) -> Credentials {
    let (_folder, path) = written(bytes);
    read(&path)
}

#[test]
fn a_signed_picture_and_a_signed_video_hold_and_say_what_was_signed() {
    for (format, source) in [("image/jpeg", jpeg()), ("video/mp4", sample("demo/fake.mp4"))] {
        assert_eq!(credentials_of(&source), Credentials::default(), "{format}: without credentials there are none");
        let found = credentials_of(&signed(format, &source));
        assert_eq!((found.state, found.trusted, &found.problems[..]), (State::Valid, false, &[][..]), "{found:?}");
        assert!(found.signer.as_deref().is_some_and(|signer| signer.contains("tests.local")), "{found:?}");
        assert_eq!(found.title.as_deref(), Some("a test"));
        assert!(found.generator.as_deref().is_some_and(|generator| generator.starts_with("the tests 1")), "{found:?}");
        let actions: Vec<&str> = found.actions.iter().map(|action| action.action.as_str()).collect();
        assert_eq!(actions, ["c2pa.created", "c2pa.edited"]);
        assert_eq!(found.actions[0].software.as_deref(), Some("a generator"));
        assert!(found.say_generated() && found.source_types == ["trainedAlgorithmicMedia"], "{found:?}");
        let again: Credentials = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
        assert_eq!(again, found);
    }
}

#[test]
fn a_flipped_byte_breaks_them() {
    for (format, source) in [("image/jpeg", jpeg()), ("video/mp4", sample("demo/fake.mp4"))] {
        let mut bytes = signed(format, &source);
        // In the picture's own data, which comes after what was signed in both.
        let place = bytes.len() - 2000;
        bytes[place] ^= 1;
        let found = credentials_of(&bytes);
        assert_eq!(found.state, State::Broken, "{format}: {found:?}");
        assert!(found.problems.iter().any(|code| code.contains("mismatch")), "{found:?}");
    }
}

#[test]
fn what_it_was_made_from_is_listed() {
    let mut builder = builder(DEFINITION);
    let parent = signed("image/jpeg", &jpeg());
    let described = r#"{ "title": "the original", "relationship": "parentOf" }"#;
    builder.add_ingredient_from_stream(described, "image/jpeg", &mut Cursor::new(parent)).unwrap();
    let found = credentials_of(&signed_by(builder, "image/jpeg", &jpeg()));
    let [ingredient] = &found.ingredients[..] else { panic!("{found:?}") };
    assert_eq!((ingredient.title.as_deref(), ingredient.has_credentials), (Some("the original"), true));
}

#[test]
fn nothing_is_fetched() {
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let address = format!("http://{}/manifest.c2pa", server.server_addr());
    let mut remote = builder(DEFINITION);
    remote.set_no_embed(true).set_remote_url(&address);
    let found = credentials_of(&signed_by(remote, "image/jpeg", &jpeg()));
    assert_eq!(found.state, State::Elsewhere, "{found:?}");
    assert!(found.reason.is_some_and(|reason| reason.contains(&address)));
    let asked = server.recv_timeout(std::time::Duration::from_millis(500)).unwrap();
    assert!(asked.is_none(), "a request for {}", asked.map(|request| request.url().to_owned()).unwrap_or_default());
    // The crate has no client either.
    let context = Context::new().with_settings(SETTINGS).unwrap();
    let settings = context.settings();
    assert!(!settings.verify.remote_manifest_fetch && !settings.verify.ocsp_fetch);
    assert_eq!(settings.core.allowed_network_hosts.as_ref().map(Vec::len), Some(0));
    assert!(settings.verify.verify_after_reading);
}

#[test]
fn whatever_is_cut_off_or_scribbled_over_is_never_valid_with_other_words() {
    let whole = signed("image/jpeg", &jpeg());
    let original = credentials_of(&whole);
    // The credentials stand near the beginning of a JPEG. Some bytes of them only fill up and are not signed.
    let is_sound = |found: Credentials| found.state != State::Valid || found == original;
    for place in (0..whole.len().min(20_000)).step_by(997) {
        let mut bytes = whole.clone();
        let end = (place + 8).min(bytes.len());
        bytes[place..end].fill(0xff);
        let found = std::panic::catch_unwind(|| credentials_of(&bytes));
        assert!(found.is_ok_and(is_sound), "scribbled at {place}");
        let found = std::panic::catch_unwind(|| credentials_of(&whole[..place]));
        assert!(found.is_ok_and(|found| found.state != State::Valid), "cut at {place}");
    }
}

#[test]
fn other_files_are_not_looked_at() {
    for bytes in [&b"to do"[..], b"", b"\x1aE\xdf\xa3 matroska"] {
        assert_eq!(credentials_of(bytes).state, State::NotLookedFor);
    }
    assert_eq!(read(Path::new("/nowhere/at all")).state, State::Unreadable);
}

#[test]
fn what_a_stranger_wrote_is_kept_within_bounds() {
    let actions: Vec<String> = (0..300)
        .map(|index| {
            format!(r#"{{ "action": "org.test.{index}", "softwareAgent": {{ "name": "{}" }} }}"#, "x".repeat(999))
        })
        .collect();
    let first = r#"{ "action": "c2pa.created", "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture" }"#;
    let definition = format!(
        r#"{{ "assertions": [{{ "label": "c2pa.actions.v2", "data": {{ "actions": [{first}, {}] }} }}] }}"#,
        actions.join(",")
    );
    let found = credentials_of(&signed_by(builder(&definition), "image/jpeg", &jpeg()));
    assert_eq!((found.state, found.actions.len()), (State::Valid, 100), "{:?}", found.problems);
    assert!(found.actions.iter().filter_map(|action| action.software.as_ref()).all(|name| name.chars().count() <= 201));
    assert!(!found.say_generated());
}
