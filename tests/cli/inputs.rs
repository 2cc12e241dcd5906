//! What can be named as an input: folders with other things in them, pipes, links.

use std::path::Path;
use std::process::Stdio;

use crate::support::{Place, json_lines, text};

/// A folder with a clip, a text and a hidden file.
fn mixed(place: &Place) -> std::path::PathBuf {
    let folder = place.path("videos");
    std::fs::create_dir(&folder).expect("made");
    let clip = folder.join("clip.dat");
    place.ffmpeg(&["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=5:duration=1", "-f", "matroska", text(&clip)]);
    std::fs::write(folder.join("notes.txt"), "to do").expect("written");
    std::fs::write(folder.join(".index"), "x").expect("written");
    folder
}

#[test]
fn files_of_a_folder_that_are_no_inputs_are_counted_and_named_in_every_output() {
    let place = Place::new();
    let (detector, folder, report) = (place.detector(), mixed(&place), place.path("report"));
    let arguments = ["score", text(&folder), "--model", text(&detector), "--jsonl", "--report", text(&report)];
    let output = place.run(arguments);
    let note = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{note}");
    assert!(note.contains("2 files were left out") && note.contains("notes.txt (text)"), "{note}");
    let documents = json_lines(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(documents.len(), 2, "{documents:?}");
    assert_eq!(documents[0]["left_out"].as_array().expect("a list").len(), 2);
    assert_eq!(documents[0]["left_out"][1]["reason"], "text");
    assert!(documents[1]["input"].as_str().expect("a name").ends_with("clip.dat"));
    let index = std::fs::read_to_string(report.join("index.html")).expect("an index");
    assert!(index.contains("Left out: 2") && index.contains("notes.txt: text"));
}

#[test]
fn a_link_to_a_page_is_said_not_to_be_read() {
    let place = Place::new();
    let detector = place.detector();
    let sentence = place.fail(["score", "https://example.org/clip.mp4", "--model", text(&detector)]);
    assert!(sentence.contains("https://example.org/clip.mp4: links are not read"), "{sentence}");
}

/// Scores what comes through standard input from the file at `clip`, called `name`; through a pipe, or redirected.
#[cfg(unix)]
fn score_standard_input(place: &Place, clip: &Path, name: &str, piped: bool) -> serde_json::Value {
    let detector = place.detector();
    let mut command = place.unmask();
    command.args(["score", name, "--jsonl", "--model", text(&detector)]);
    let output = if piped {
        let mut source = std::process::Command::new("cat").arg(clip).stdout(Stdio::piped()).spawn().expect("starts");
        let output = command.stdin(source.stdout.take().expect("a pipe")).output().expect("runs");
        source.wait().expect("ends");
        output
    } else {
        command.stdin(std::fs::File::open(clip).expect("opened")).output().expect("runs")
    };
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    json_lines(&String::from_utf8_lossy(&output.stdout)).remove(0)
}

#[cfg(unix)]
#[test]
fn what_comes_through_a_pipe_is_scored_as_the_file_would_be() {
    let place = Place::new();
    let clip = place.path("clip.mp4");
    place.ffmpeg(&["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=5:duration=1", text(&clip)]);
    let expected = &place.score(&[text(&clip)])[0];
    for (name, piped) in [("/dev/stdin", true), ("/dev/stdin", false), ("-", true)] {
        let report = score_standard_input(&place, &clip, name, piped);
        assert_eq!((&report["input"], &report["video"]), (&serde_json::json!(name), &expected["video"]), "{name}");
    }
    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("runs").success());
    let (from, to) = (clip.clone(), pipe.clone());
    let writer = std::thread::spawn(move || std::fs::copy(from, to));
    assert_eq!(place.score(&[text(&pipe)])[0]["video"], expected["video"]);
    writer.join().expect("ends").expect("copied");
}

#[cfg(unix)]
#[test]
fn a_device_that_never_ends_is_refused() {
    let place = Place::new();
    let detector = place.detector();
    let sentence = place.fail(["score", "/dev/zero", "--model", text(&detector)]);
    assert!(sentence.contains("/dev/zero: this is a device"), "{sentence}");
}

#[cfg(unix)]
#[test]
fn what_is_wrong_with_standard_input_is_said_of_what_was_given() {
    let place = Place::new();
    let (detector, noise) = (place.detector(), place.path("noise"));
    let bytes: Vec<u8> = (0..4000_u32).map(|index| (index * index % 251) as u8).collect();
    std::fs::write(&noise, bytes).expect("written");
    let mut command = place.unmask();
    command.args(["score", "-", "--model", text(&detector)]);
    let mut source = std::process::Command::new("cat").arg(&noise).stdout(Stdio::piped()).spawn().expect("starts");
    let output = command.stdin(source.stdout.take().expect("a pipe")).output().expect("runs");
    source.wait().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("-: this is neither a video nor an image") && !said.contains("unmask-"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn why_a_file_cannot_be_read_is_said_once() {
    let place = Place::new();
    let detector = place.detector();
    // No process may read its own memory from the start.
    let said = place.fail(["score", "/proc/self/mem", "--model", text(&detector)]);
    assert_eq!(said.matches("os error").count(), 1, "{said}");
}
