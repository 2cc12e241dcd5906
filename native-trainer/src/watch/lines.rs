//! The file of lines: a JSON document a line, as `score --jsonl` prints it, with what tells its input from the file that may take
//! its place. A line counts only with its line break, so what was cut off by a crash is simply done again.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::listing::Stamp;

/// Which file a line is about, under `watched` in the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    /// Its path within the watched folder, with `/` between folders.
    path: String,
    /// Its size.
    bytes: u64,
    /// When it was last written to, in milliseconds since 1970.
    modified_ms: u64,
    /// The hash of parts of it; absent where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<String>,
}

impl Watched {
    pub(super) fn new(within: &Path, stamp: Stamp, sample: Option<String>) -> Self {
        Self { path: key(within), bytes: stamp.bytes, modified_ms: stamp.modified_ms, sample }
    }
}

/// What is remembered of a line.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    sample: Option<String>,
}

/// As much of a line as is read.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(rename = "input")]
    _input: IgnoredAny,
    error: Option<IgnoredAny>,
    watched: Option<Watched>,
}

/// The open file.
pub(super) struct Lines {
    path: PathBuf,
    file: File,
    length: u64,
    known: HashMap<String, Known>,
    /// Keeps others off; the lock ends with the program.
    _lock: File,
}

impl Lines {
    /// Opens or makes the file, mends its end, and reads what its lines are about; failures count for nothing with `retry`.
    /// Also gives what there is to say about it.
    ///
    /// # Errors
    /// Another program has it open, it cannot be read or written, or it holds something else.
    pub(super) fn open(path: &Path, retry: bool) -> Result<(Self, Vec<String>)> {
        let shown = path.display();
        let unwritable = || format!("{shown} cannot be written; check the folder's permissions, or name another --out");
        let lock = lock(path).with_context(unwritable)?;
        let Some(lock) = lock else {
            bail!("another program is writing to {shown}; end that, or name another --out");
        };
        let file = File::options().read(true).append(true).create(true).open(path).with_context(unwritable)?;
        let mut lines = Self { path: path.to_owned(), file, length: 0, known: HashMap::new(), _lock: lock };
        let notes = lines.read(retry)?;
        Ok((lines, notes))
    }

    /// Whether there is no line.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many files there are lines about.
    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    /// Whether the last line about the file is about what it holds, as far as its stamp tells.
    pub(super) fn has(&self, within: &Path, stamp: Stamp) -> bool {
        // What could not be read may be readable now, and nothing but reading it shows that.
        self.known.get(&key(within)).is_some_and(|known| known.stamp == stamp && known.sample.is_some())
    }

    /// Whether the last line about the file is about what it holds, by the hash of parts of it; none if it cannot be read.
    pub(super) fn has_sample(&self, within: &Path, stamp: Stamp, sample: Option<&str>) -> bool {
        let known = self.known.get(&key(within));
        known.is_some_and(|known| known.stamp.bytes == stamp.bytes && known.sample.as_deref() == sample)
    }

    /// Adds a line in one write, and waits until it is on the disk.
    ///
    /// # Errors
    /// It cannot be written; what there is of it is taken back.
    pub(super) fn append(&mut self, mut document: Value, watched: Watched) -> Result<()> {
        let unwritable = || format!("{} cannot be written; check the free space", self.path.display());
        if let Value::Object(fields) = &mut document {
            fields.insert("watched".to_owned(), serde_json::to_value(&watched).with_context(unwritable)?);
        }
        let line = format!("{document}\n");
        if let Err(error) = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()) {
            // Where this fails, too, the next run cuts the line off.
            self.file.set_len(self.length).ok();
            return Err(error).with_context(unwritable);
        }
        self.length += line.len() as u64;
        self.learn(watched);
        Ok(())
    }

    fn learn(&mut self, watched: Watched) {
        let Watched { path, bytes, modified_ms, sample } = watched;
        self.known.insert(path, Known { stamp: Stamp { bytes, modified_ms }, sample });
    }

    /// Reads every line and mends the last one.
    fn read(&mut self, retry: bool) -> Result<Vec<String>> {
        let shown = self.path.display().to_string();
        let unreadable = || format!("{shown} cannot be read; check its permissions, or name another --out");
        let mut reader = BufReader::new(self.file.try_clone().with_context(unreadable)?);
        let (mut line, mut notes) = (Vec::new(), Vec::new());
        for number in 1.. {
            line.clear();
            reader.read_until(b'\n', &mut line).with_context(unreadable)?;
            if line.is_empty() {
                break;
            }
            let parsed = serde_json::from_slice::<Line>(&line);
            // What begins as a document and ends too early; another document is no part of one.
            let is_torn = !line.ends_with(b"\n") && parsed.as_ref().is_err_and(|error| error.is_eof());
            if number == 1 && parsed.is_err() && !(is_torn && line.starts_with(b"{\"")) {
                bail!("{shown} holds something else than reports a line each; name another --out");
            }
            if is_torn {
                self.file.set_len(self.length).with_context(unreadable)?;
                notes.push(format!(
                    "note: the last line of {shown} was cut off; it is removed, and its input scored again"
                ));
                break;
            }
            self.length += line.len() as u64;
            if !line.ends_with(b"\n") {
                // Some editors take the last line break away.
                self.file.write_all(b"\n").with_context(unreadable)?;
                self.length += 1;
            }
            match parsed {
                Ok(Line { error: Some(_), watched: Some(watched), .. }) if retry => {
                    drop(self.known.remove(&watched.path))
                }
                Ok(Line { watched: Some(watched), .. }) => self.learn(watched),
                // As of `score --jsonl`, whose inputs may be anywhere.
                Ok(_) => {}
                Err(_) => notes.push(format!("note: line {number} of {shown} is damaged and counts for nothing")),
            }
        }
        self.file.seek(SeekFrom::End(0)).with_context(unreadable)?;
        Ok(notes)
    }
}

/// A path within the folder, as lines have it.
fn key(within: &Path) -> String {
    let parts: Vec<String> = within.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.join("/")
}

/// Locks a hidden file beside `path`; none where another program holds it. The file of lines itself is not locked, since some
/// systems let nobody read what is.
fn lock(path: &Path) -> std::io::Result<Option<File>> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".lock");
    let file = File::options().write(true).create(true).truncate(false).open(path.with_file_name(name))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        // Some network file systems have no locks; then it is the user who sees to it.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { bytes: 3, modified_ms: 5 };

    fn watched(name: &str) -> Watched {
        Watched::new(Path::new(name), STAMP, Some("0123".to_owned()))
    }

    fn append(lines: &mut Lines, name: &str) {
        lines.append(serde_json::json!({ "version": 1, "input": name, "verdict": "no_face" }), watched(name)).unwrap();
    }

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    /// A whole line about `name`, with its line break.
    fn line(name: &str, error: bool) -> String {
        let mut document = serde_json::json!({ "version": 1, "input": name, "watched": watched(name) });
        if error {
            document["error"] = "damaged".into();
        }
        format!("{document}\n")
    }

    #[test]
    fn lines_are_known_again_and_one_program_at_a_time_writes_them() {
        let (_folder, path) = written("");
        let (mut lines, notes) = Lines::open(&path, false).unwrap();
        assert!(lines.is_empty() && notes.is_empty());
        append(&mut lines, "sub/a.mp4");
        assert!(Lines::open(&path, false).err().unwrap().to_string().contains("another program"));
        drop(lines);
        let (lines, _) = Lines::open(&path, false).unwrap();
        let name = Path::new("sub/a.mp4");
        assert!(lines.has(name, STAMP) && lines.has_sample(name, Stamp { modified_ms: 6, ..STAMP }, Some("0123")));
        assert!(!lines.has(name, Stamp { modified_ms: 6, ..STAMP }) && !lines.has_sample(name, STAMP, Some("4567")));
        assert!(!lines.has_sample(name, STAMP, None) && !lines.has(Path::new("a.mp4"), STAMP));
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_one_that_lacks_only_its_break_is_kept() {
        let whole = line("a.mp4", false);
        for (end, kept, said) in [
            ("{\"version\":1,\"inp", whole.clone(), 1),
            (line("b.mp4", false).trim_end(), whole.clone() + &line("b.mp4", false), 0),
        ] {
            let (_folder, path) = written(&(whole.clone() + end));
            let (mut lines, notes) = Lines::open(&path, false).unwrap();
            assert_eq!(notes.len(), said, "{notes:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
            append(&mut lines, "c.mp4");
            assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), kept.lines().count() + 1);
        }
    }

    #[test]
    fn a_torn_line_that_is_the_only_one_is_cut_off_and_foreign_files_are_left_as_they_are() {
        let (_folder, path) = written("{\"caveats\":[");
        assert!(Lines::open(&path, false).unwrap().0.is_empty());
        for foreign in ["my notes", "my notes\n", "{\n  \"a\": 1\n}\n", "{\"name\":1}", "{\"name\":1}\n"] {
            let (_folder, path) = written(foreign);
            assert!(Lines::open(&path, false).err().unwrap().to_string().contains("something else"), "{foreign}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
        }
    }

    #[test]
    fn damaged_lines_and_those_of_others_count_for_nothing_and_failures_only_until_retried() {
        let text = line("a.mp4", true) + "\0\0\0\n{\"version\":1,\"input\":\"b.mp4\"}\n" + &line("c.mp4", false);
        let (_folder, path) = written(&text);
        let (lines, notes) = Lines::open(&path, false).unwrap();
        assert_eq!((lines.known(), notes.len()), (2, 1), "{notes:?}");
        assert!(notes[0].contains("line 2"), "{notes:?}");
        drop(lines);
        let (lines, _) = Lines::open(&path, true).unwrap();
        assert!(!lines.has(Path::new("a.mp4"), STAMP) && lines.has(Path::new("c.mp4"), STAMP));
    }
}
