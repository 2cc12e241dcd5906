//! A folder that is watched: what arrives is scored once, whatever happens meanwhile.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{PATIENCE, Place, json_lines, sample, text};

/// A place with a folder to watch and a detector.
struct Desk {
    place: Place,
    folder: PathBuf,
    out: PathBuf,
    detector: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let place = Place::new();
        let (folder, out, detector) = (place.path("incoming"), place.path("incoming.jsonl"), place.detector());
        fs::create_dir(&folder).expect("made");
        Self { place, folder, out, detector }
    }

    /// Puts a sample clip into the folder, all at once.
    fn put(&self, clip: &str, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::copy(sample(clip), &path).expect("copied");
        path
    }

    fn watch(&self, more: &[&str]) -> Command {
        let mut command = self.place.unmask();
        command.args(["watch", text(&self.folder), "--model", text(&self.detector), "--frames", "2", "--every", "0.1"]);
        command.args(more);
        command
    }

    /// A run that ends by itself: its exit status and what it said.
    fn once(&self, more: &[&str]) -> (Option<i32>, String) {
        let output = self.watch(&["--once", "--settle", "0.2"]).args(more).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        (output.status.code(), said)
    }

    fn lines(&self) -> Vec<Value> {
        json_lines(&fs::read_to_string(&self.out).unwrap_or_default())
    }

    /// Names of the lines' inputs, without the folder.
    fn names(&self) -> Vec<String> {
        let name = |line: &Value| line["watched"]["path"].as_str().expect("a path").to_owned();
        self.lines().iter().map(name).collect()
    }
}

/// A run that goes on until it is interrupted.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.stderr(Stdio::null()).spawn().expect("the program starts"))
    }

    /// Waits until there are so many lines.
    fn wait_for(&mut self, desk: &Desk, lines: usize) {
        let since = Instant::now();
        // A line that is just being written has no break yet.
        while fs::read_to_string(&desk.out).unwrap_or_default().matches('\n').count() < lines {
            assert!(self.0.try_wait().expect("its state").is_none(), "it ended");
            assert!(since.elapsed() < PATIENCE, "{:?}", desk.names());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As by Ctrl-C.
    fn end(mut self) {
        let sent = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        assert_eq!(self.0.wait().expect("its end").code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where the test failed; else it has ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn set_modified(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).expect("opened");
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).expect("set");
}

#[cfg(unix)]
#[test]
fn what_arrives_gets_the_line_that_score_prints_and_a_restart_adds_none() {
    let desk = Desk::new();
    let first = desk.put("real.mp4", "real.mp4");
    let mut running = Running::start(desk.watch(&["--settle", "0.3"]));
    running.wait_for(&desk, 1);
    desk.put("no_face.mp4", "sub/folder/no_face.mp4");
    fs::write(desk.folder.join("notes.txt"), "to do").expect("written");
    desk.put("fake.mp4", ".hidden.mp4");
    let part = desk.put("fake.mp4", "fake.mp4.part");
    running.wait_for(&desk, 2);
    fs::rename(part, desk.folder.join("fake.mp4")).expect("renamed");
    running.wait_for(&desk, 3);
    running.end();
    assert_eq!(desk.names(), ["real.mp4", "sub/folder/no_face.mp4", "fake.mp4"]);

    let timeless = |mut line: Value| {
        let fields = line.as_object_mut().expect("an object");
        (fields.remove("timing_s").is_some(), fields.remove("watched"), line)
    };
    let printed = desk.place.score(&[text(&first), "--frames", "2"]).remove(0);
    let (line, printed) = (timeless(desk.lines().remove(0)), timeless(printed));
    assert_eq!((line.0, line.2), (printed.0, printed.2));
    assert_eq!(line.1.expect("what was watched")["bytes"], fs::metadata(&first).expect("a file").len());

    assert_eq!(desk.once(&[]).0, Some(0));
    set_modified(&first, 1_000_000_000);
    assert_eq!(desk.once(&[]).0, Some(0), "another time and the same bytes are the same file");
    assert_eq!(desk.lines().len(), 3);
    desk.put("fake.mp4", "real.mp4");
    assert_eq!(desk.once(&[]).0, Some(0));
    assert_eq!(desk.names().split_off(3), ["real.mp4"], "it was replaced");
}

#[cfg(unix)]
#[test]
fn a_file_that_is_still_copied_waits_and_one_that_goes_away_is_no_failure() {
    let desk = Desk::new();
    let mut running = Running::start(desk.watch(&["--settle", "3"]));
    let bytes = fs::read(sample("real.mp4")).expect("read");
    let mut copy = fs::File::create(desk.folder.join("slow.mp4")).expect("made");
    let gone = desk.put("fake.mp4", "gone.mp4");
    for chunk in bytes.chunks(bytes.len() / 40 + 1) {
        copy.write_all(chunk).expect("written");
        copy.sync_all().expect("written");
        std::thread::sleep(Duration::from_millis(100));
        // It goes before it is whole.
        fs::remove_file(&gone).ok();
    }
    running.wait_for(&desk, 1);
    running.end();
    assert_eq!(desk.names(), ["slow.mp4"]);
    assert!(desk.lines()[0]["error"].is_null(), "{:?}", desk.lines());
}

#[test]
fn a_line_that_a_crash_tore_is_mended_and_its_file_scored_again() {
    let desk = Desk::new();
    desk.put("real.mp4", "a.mp4");
    desk.put("no_face.mp4", "b.mp4");
    assert_eq!(desk.once(&[]).0, Some(0));
    assert_eq!(desk.lines().len(), 2);
    let whole = fs::read(&desk.out).expect("read");
    fs::write(&desk.out, &whole[..whole.len() - 30]).expect("written");
    let (status, said) = desk.once(&[]);
    assert!(status == Some(0) && said.contains("cut off"), "{said}");
    let mut names = desk.names();
    names.sort();
    assert_eq!(names, ["a.mp4", "b.mp4"]);
}

#[cfg(unix)]
#[test]
fn two_runs_do_not_write_into_one_file_and_no_other_file_is_written_into() {
    let desk = Desk::new();
    desk.put("no_face.mp4", "a.mp4");
    let mut running = Running::start(desk.watch(&["--settle", "0.1"]));
    running.wait_for(&desk, 1);
    let refused = desk.place.fail(["watch", text(&desk.folder), "--model", text(&desk.detector)]);
    assert!(refused.contains("another program") && refused.contains("--out"), "{refused}");
    running.end();
    let notes = desk.place.path("notes.txt");
    fs::write(&notes, "to do").expect("written");
    let refused = desk.place.fail(["watch", text(&desk.folder), "--out", text(&notes)]);
    assert!(refused.contains("notes.txt") && fs::read_to_string(&notes).expect("read") == "to do", "{refused}");
    let refused = desk.place.fail(["watch", text(&notes)]);
    assert!(refused.contains("name a folder"), "{refused}");
}

#[test]
fn a_file_that_fails_has_a_line_with_the_reason_and_is_tried_again_when_asked() {
    let desk = Desk::new();
    fs::write(desk.folder.join("broken.mp4"), "this is no video\n").expect("written");
    fs::write(desk.folder.join("empty.mp4"), "").expect("written");
    let (status, said) = desk.once(&[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("broken.mp4: this is neither a video nor an image"), "{said}");
    assert_eq!(desk.names(), ["broken.mp4"]);
    assert!(desk.lines()[0]["error"].as_str().expect("a reason").contains("neither a video"), "{:?}", desk.lines());
    assert_eq!(desk.once(&[]).0, Some(0));
    assert_eq!(desk.lines().len(), 1);
    assert_eq!(desk.once(&["--retry"]).0, Some(1));
    assert_eq!(desk.lines().len(), 2);
}

#[test]
fn what_lay_there_before_is_left_out_only_of_a_folder_without_lines() {
    let desk = Desk::new();
    desk.put("real.mp4", "old.mp4");
    assert_eq!(desk.once(&["--new-only"]).0, Some(0));
    assert!(desk.lines()[0]["left_out"][0]["reason"].as_str().expect("a reason").contains("before"));
    desk.put("no_face.mp4", "new.mp4");
    assert_eq!(desk.once(&["--new-only"]).0, Some(0));
    assert_eq!(desk.names(), ["old.mp4", "new.mp4"]);
    assert_eq!(desk.lines()[1]["verdict"], "no_face");
}

#[test]
fn pages_lie_in_folders_as_the_files_do_and_are_not_watched() {
    let desk = Desk::new();
    desk.put("no_face.mp4", "a.mp4");
    desk.put("no_face.mp4", "sub/a.mp4");
    let (pages, out) = (desk.folder.join("pages"), desk.folder.join("lines.jsonl"));
    let arguments = ["--report", text(&pages), "--out", text(&out)];
    for _ in 0..2 {
        let (status, said) = desk.once(&arguments);
        assert!(status == Some(0) && !said.contains("left out"), "{said}");
    }
    assert_eq!(json_lines(&fs::read_to_string(&out).expect("lines")).len(), 2);
    for name in ["a.mp4.html", "a.mp4.json", "sub/a.mp4.html", "sub/a.mp4.json"] {
        assert!(pages.join(name).is_file(), "{name}");
    }
}

#[test]
fn without_ffmpeg_it_ends_and_no_file_is_blamed() {
    let desk = Desk::new();
    desk.put("real.mp4", "a.mp4");
    let output = desk.watch(&["--once", "--settle", "0"]).env("UNMASK_FFPROBE", "/nowhere/ffprobe").output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/ffprobe"), "{output:?}");
    assert!(desk.lines().is_empty());
}
