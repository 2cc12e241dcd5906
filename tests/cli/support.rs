//! Running the program, and the small files the tests give it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

use crate::shared_data::shared_data;

/// How long a test waits for what a program that it started has to do: long enough for a machine that does other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// The program that makes videos for the tests. Those that name an encoder, or its settings, ask first whether it is
/// there.
pub(crate) const FFMPEG: &str = "ffmpeg";

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent").to_path_buf()
}

/// A golden file or folder.
pub(crate) fn golden(name: &str) -> PathBuf {
    root().join("tests/goldens").join(name)
}

/// A sample clip of the repository.
pub(crate) fn sample(name: &str) -> PathBuf {
    root().join("demo").join(name)
}

/// A real clip that tests may use but the repository does not hold; `None`, said aloud, where it is absent.
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    shared_data(&format!("clips/{name}"))
}

/// A folder of its own for a test, with a cache of its own.
pub(crate) struct Place {
    folder: PathBuf,
    /// Where it goes away with the test.
    _temporary: Option<TempDir>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        Self { folder: temporary.path().to_path_buf(), _temporary: Some(temporary) }
    }

    /// One that stays.
    pub(crate) fn lasting(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder");
        Self { folder, _temporary: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The program, with its cache in this folder.
    pub(crate) fn unmask(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unmask"));
        command.env("UNMASK_CACHE", self.path("cache")).env_remove("UNMASK_FFMPEG").env_remove("UNMASK_FFPROBE");
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.unmask().args(arguments).output().expect("the program starts")
    }

    /// Runs the program, which must succeed, and gives its standard output.
    pub(crate) fn succeed<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "failed with {:?}: {errors}", output.status.code());
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs the program, which must fail with status 1 and one sentence, and gives the sentence.
    pub(crate) fn fail<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        let lines: Vec<&str> = errors.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(lines.len(), 1, "one line, not: {errors}");
        let sentence = lines[0].strip_prefix("error: ").expect("`error: ` in front").to_string();
        assert!(sentence.len() > 20 && sentence.len() < 500, "{sentence}");
        sentence
    }

    /// A tiny detector whose head has weights, so that verdicts are given.
    pub(crate) fn detector(&self) -> PathBuf {
        let output = self.path("detector.safetensors");
        if !output.exists() {
            let (input, head) = (golden("clip_tiny/model.safetensors"), golden("clip_tiny/head1.safetensors"));
            self.succeed([
                "import",
                "--from",
                "hf-clip",
                "--input",
                text(&input),
                "--head",
                text(&head),
                "--output",
                text(&output),
            ]);
        }
        output
    }

    /// The same detector for crops of its input's size, which [`crate::training`] makes.
    pub(crate) fn detector_of_small_crops(&self) -> PathBuf {
        let output = self.path("small.safetensors");
        if !output.exists() {
            let (input, head) = (golden("clip_tiny/model.safetensors"), golden("clip_tiny/head1.safetensors"));
            let import = ["import", "--from", "hf-clip", "--input", text(&input), "--head", text(&head)];
            self.succeed(import.iter().chain(&["--crop-size", "32", "--output", text(&output)]));
        }
        output
    }

    /// Runs ffmpeg, which must succeed.
    pub(crate) fn ffmpeg(&self, arguments: &[&str]) {
        assert!(self.try_ffmpeg(arguments), "ffmpeg {arguments:?}");
    }

    /// Runs ffmpeg and says whether it succeeded.
    pub(crate) fn try_ffmpeg(&self, arguments: &[&str]) -> bool {
        let output = Command::new(FFMPEG).args(["-nostdin", "-v", "error", "-y"]).args(arguments).output();
        output.expect("ffmpeg is needed for the tests; `cargo xtask test` installs it").status.success()
    }

    /// A copy of a detector file whose description `change` has changed.
    pub(crate) fn redescribed(&self, detector: &Path, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let bytes = std::fs::read(detector).expect("read");
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
        let text = header["__metadata__"]["unmask"].as_str().expect("a description");
        let mut description: Value = serde_json::from_str(text).expect("JSON");
        change(&mut description);
        header["__metadata__"]["unmask"] = description.to_string().into();
        let header = header.to_string();
        let parts = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]];
        let output = self.path(name);
        std::fs::write(&output, parts.concat()).expect("written");
        output
    }

    /// Scores inputs as JSON lines; the program must succeed.
    pub(crate) fn score(&self, arguments: &[&str]) -> Vec<Value> {
        let detector = self.detector();
        let mut all = vec!["score", "--jsonl", "--model", text(&detector)];
        all.extend(arguments);
        json_lines(&self.succeed(all))
    }
}

/// A folder with the photographs of those people of LFW whom `keep` accepts by their position and name; `None`, said
/// aloud, where they are absent.
pub(crate) fn people_where(place: &Place, keep: impl Fn(usize, &str) -> bool) -> Option<PathBuf> {
    let folders = std::fs::read_dir(shared_data("faces/lfw")?).expect("listed");
    let mut folders: Vec<PathBuf> = folders.map(|folder| folder.expect("listed").path()).collect();
    folders.sort();
    let copy = place.path("people");
    for (index, folder) in folders.iter().enumerate() {
        let name = folder.file_name().expect("a name").to_string_lossy();
        if !keep(index, &name) {
            continue;
        }
        let target = copy.join(&*name);
        std::fs::create_dir_all(&target).expect("made");
        for file in std::fs::read_dir(folder).expect("listed") {
            let file = file.expect("listed").path();
            std::fs::copy(&file, target.join(file.file_name().expect("a name"))).expect("copied");
        }
    }
    Some(copy)
}

/// As [`people_where`], the first `count` people.
pub(crate) fn people(place: &Place, count: usize) -> Option<PathBuf> {
    people_where(place, |index, _| index < count)
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// One JSON document a line.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The entries in the manifest of a folder of crops, without its headers.
pub(crate) fn manifest_entries(folder: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|item| item.expect("listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let lines = |path: &PathBuf| json_lines(&std::fs::read_to_string(path).expect("read"));
    files.iter().flat_map(lines).filter(|line| line["dataset"].is_string()).collect()
}

/// The f32 tensors of a file by name, with their shapes.
pub(crate) fn tensors(path: &Path) -> HashMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let values = |view: &TensorView| {
        view.data().as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect::<Vec<f32>>()
    };
    file.tensors().iter().map(|(name, view)| (name.clone(), (view.shape().to_vec(), values(view)))).collect()
}
