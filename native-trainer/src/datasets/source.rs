//! What a data set's folder holds, before anything is decoded: one [`Source`] a video or photograph, and what was left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::manifest::{self, Identity};
use super::split::{self, Plan};
use super::{Label, Split};
use crate::media::{self, Input, MediaError};

/// One video, photograph or folder of frames, with what its place says about it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file or folder.
    pub input: Input,
    /// Its path relative to the folder that was listed, with `/` between folders.
    pub path: String,
    /// The data set.
    pub dataset: String,
    /// The manipulation; `original` for real ones.
    pub manipulation: String,
    /// The name within data set and manipulation.
    pub name: String,
    /// Real or fake.
    pub label: Label,
    /// Its use.
    pub split: Split,
    /// Who is in it.
    pub person: Option<String>,
    /// As [`super::Video::group`].
    pub group: String,
    /// Whether its pictures end at the face, so that they have to be continued before the face can be found and cropped.
    pub ends_at_face: bool,
}

impl Source {
    /// What tells it from others.
    pub fn identity(&self) -> Identity {
        (self.dataset.clone(), self.manipulation.clone(), self.name.clone())
    }

    /// The size of its file in bytes; none for folders.
    pub fn size(&self) -> Option<u64> {
        self.input.path().metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len())
    }
}

/// A file that was passed over, which stops no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The file or folder.
    pub path: PathBuf,
    /// Why, as part of a sentence after its name; files with the same reason are told together.
    pub reason: String,
    /// Whether it may be wanted, and could not be read.
    pub is_unreadable: bool,
    /// How many files it stands for: more than one for a folder that is left out as a whole.
    pub files: usize,
}

impl LeftOut {
    /// A file that was looked at, and why it is left out.
    pub fn new(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), is_unreadable: false, files: 1 }
    }
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// In order of their identities.
    pub sources: Vec<Source>,
    /// In no order.
    pub left_out: Vec<LeftOut>,
}

/// What a data set's files are before it is decided what each is used for.
#[derive(Default)]
pub(super) struct Finds {
    pub(super) found: Vec<Found>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A source whose use may still have to be decided.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) input: Input,
    pub(super) dataset: String,
    pub(super) manipulation: String,
    pub(super) name: String,
    pub(super) label: Label,
    /// How its use is decided.
    pub(super) plan: Plan,
    /// Sources of one group are used alike.
    pub(super) group: String,
    pub(super) person: Option<String>,
    /// As [`Source::ends_at_face`].
    pub(super) ends_at_face: bool,
}

/// Leaves out crops that this program made, decides splits, makes names unique and sorts by identity.
///
/// # Errors
/// Two sources share an identity even with their extensions.
pub(super) fn settle(root: &Path, finds: Finds) -> Result<Listing> {
    let Finds { mut found, mut left_out } = finds;
    let mut outputs = Outputs::default();
    found.retain(|found| {
        let is_output = outputs.hold(root, found.input.path());
        if is_output {
            left_out.push(LeftOut::new(found.input.path(), MADE_HERE));
        }
        !is_output
    });
    leave_doubles_out(root, &mut found, &mut left_out);
    let decided = split::decide(&found);
    let mut sources: Vec<Source> = found
        .into_iter()
        .zip(decided)
        .map(|(found, (split, group))| {
            let Found { input, dataset, manipulation, name, label, person, ends_at_face, .. } = found;
            let path = relative(root, input.path());
            Source { input, path, dataset, manipulation, name, label, split, person, group, ends_at_face }
        })
        .collect();
    tell_apart(&mut sources)?;
    sources.sort_by_cached_key(Source::identity);
    Ok(Listing { sources, left_out })
}

/// Refuses a listing of nothing where the reason is that something could not be read.
///
/// # Errors
/// The first that could not, with the system's reason.
pub(super) fn refuse_unread(finds: &Finds) -> Result<()> {
    match finds.left_out.iter().find(|one| one.is_unreadable).filter(|_| finds.found.is_empty()) {
        Some(LeftOut { path, reason, .. }) => {
            bail!("{} is {reason}, and there is nothing else to use", path.display())
        }
        None => Ok(()),
    }
}

/// Leaves out what is a link to, or lies behind a link to, something that the data set holds already: it would count twice, and
/// perhaps with both labels.
fn leave_doubles_out(root: &Path, found: &mut Vec<Found>, left_out: &mut Vec<LeftOut>) {
    let file = |found: &Found| match &found.input {
        Input::Frames { files, .. } => files.first().cloned().unwrap_or_default(),
        input => input.path().to_owned(),
    };
    let is_linked = |path: &Path| path.ancestors().take_while(|part| *part != root).any(Path::is_symlink);
    let mut places: HashMap<PathBuf, BTreeSet<(bool, PathBuf, Label)>> = HashMap::new();
    for found in found.iter() {
        let path = file(found);
        let target = path.canonicalize().unwrap_or_else(|_| path.clone());
        places.entry(target).or_default().insert((is_linked(&path), path, found.label));
    }
    let (mut kept, mut contradicted) = (HashSet::new(), HashSet::new());
    for alike in places.into_values() {
        let labels: BTreeSet<Label> = alike.iter().map(|(.., label)| *label).collect();
        match alike.first() {
            Some((is_link, path, _)) if !is_link || labels.len() == 1 => _ = kept.insert(path.clone()),
            _ => contradicted.extend(alike.into_iter().map(|(_, path, _)| path)),
        }
    }
    found.retain(|found| {
        let path = file(found);
        let reason = match (kept.contains(&path), contradicted.contains(&path)) {
            (true, _) => return true,
            (_, true) => CONTRADICTED,
            _ => DOUBLE,
        };
        left_out.push(LeftOut::new(found.input.path(), reason));
        false
    });
}

/// Why what is in a data set once already is left out, and what is there by links alone that call it both real and fake.
const DOUBLE: &str = "a link to what the data set holds elsewhere";
const CONTRADICTED: &str = "a link to a file that other links call by the other label";

/// Why what `unmask preprocess` wrote is left out.
pub(super) const MADE_HERE: &str = "in a folder of crops that this program made";

/// Which folders hold what `unmask preprocess` wrote.
#[derive(Default)]
pub(super) struct Outputs {
    known: BTreeMap<PathBuf, bool>,
}

impl Outputs {
    /// Whether `path` lies in a folder `crops` beside a manifest, below `root`.
    pub(super) fn hold(&mut self, root: &Path, path: &Path) -> bool {
        let above = path.ancestors().skip(1).take_while(|folder| *folder != root);
        above.filter(|folder| folder.ends_with("crops")).any(|crops| {
            let Some(folder) = crops.parent() else { return false };
            let has_manifest = || manifest::list(folder).is_ok_and(|manifests| !manifests.is_empty());
            *self.known.entry(folder.to_owned()).or_insert_with(has_manifest)
        })
    }
}

/// Adds the extension to names that files of one folder share.
fn tell_apart(sources: &mut [Source]) -> Result<()> {
    let mut counts: BTreeMap<Identity, usize> = BTreeMap::new();
    for source in sources.iter() {
        *counts.entry(source.identity()).or_default() += 1;
    }
    let mut seen: BTreeMap<Identity, String> = BTreeMap::new();
    for source in sources.iter_mut() {
        let is_shared = counts.get(&source.identity()).is_some_and(|count| *count > 1);
        if let Some(extension) = source.input.path().extension().filter(|_| is_shared) {
            source.name = format!("{}.{}", source.name, extension.to_string_lossy());
        }
        if let Some(other) = seen.insert(source.identity(), source.path.clone()) {
            let Source { path, name, dataset, .. } = source;
            bail!("{other} and {path} would both be `{name}` of {dataset}; rename one of them");
        }
    }
    Ok(())
}

/// `path` without `root`, with `/` between folders.
pub(super) fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The relative path of an input without its extension: what names it.
pub(super) fn name_of(root: &Path, input: &Input) -> String {
    match input {
        Input::Frames { folder, .. } => relative(root, folder),
        Input::Video(path) | Input::Image(path) => relative(root, &path.with_extension("")),
    }
}

/// The last part of a name.
pub(super) fn stem(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The last part of a name that says something: a number alone says which picture of its folder it is, and `talk/0` and
/// `walk/0` have nothing in common.
pub(super) fn telling_part(name: &str) -> &str {
    let last = stem(name);
    let folder = name.strip_suffix(last).and_then(|rest| rest.strip_suffix('/')).map(stem);
    folder.filter(|_| is_number(last)).unwrap_or(last)
}

/// Whether a part of a name is nothing but a number.
pub(super) fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a path that a data set's list names stays in the data set's folder.
pub(super) fn stays_inside(path: &str) -> bool {
    !path.contains('\\') && Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// Why a file whose listed path does not is left out.
pub(super) const OUTSIDE: &str = "listed with a path that leads out of the data set";

/// Files that come with known data sets and describe them, most of which are read: to say that they are no videos would help
/// nobody.
const DESCRIPTIONS: [&str; 9] = [
    "metadata.json",
    "metadata.min.json",
    "metadata.csv",
    "dataset.json",
    "labels.csv",
    "train.json",
    "val.json",
    "test.json",
    "List_of_testing_videos.txt",
];

/// All that can be scored below a folder; none where it holds nothing. What cannot be looked into, and what is neither a
/// video nor an image, is left out.
pub(super) fn inputs_below(folder: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<Input>, MediaError> {
    match media::expand(folder) {
        Err(MediaError::EmptyFolder { .. }) => Ok(Vec::new()),
        Ok(found) => {
            let unreadable = |error: MediaError| LeftOut {
                is_unreadable: true,
                ..LeftOut::new(folder, format!("not readable everywhere ({error})"))
            };
            left_out.extend(found.failures.into_iter().map(unreadable));
            let strays = found.left_out.into_iter().filter(|stray| !is_description(&stray.path));
            left_out.extend(strays.map(|stray| LeftOut::new(stray.path, stray.reason)));
            Ok(found.inputs)
        }
        Err(error) => Err(error),
    }
}

/// Whether a file describes a data set, or whoever may use it.
pub(super) fn is_description(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let is_for_people = ["readme", "licence", "license"].iter().any(|word| name.to_ascii_lowercase().starts_with(word));
    is_for_people || DESCRIPTIONS.contains(&&*name)
}

/// The inputs in a folder, photographs by person told from frames of a video: the files of
/// `Ada_Lovelace/Ada_Lovelace_0001.jpg`, … are numbered, and are not a video all the same.
pub(super) fn inputs(folder: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<Input>, MediaError> {
    Ok(inputs_below(folder, left_out)?.into_iter().flat_map(photographs_apart).collect())
}

/// Every image under a folder by itself; videos are left out.
pub(super) fn images(folder: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<PathBuf>, MediaError> {
    let mut images = Vec::new();
    for input in inputs_below(folder, left_out)? {
        match input {
            Input::Video(path) => left_out.push(LeftOut::new(path, "a video among photographs")),
            Input::Image(path) => images.push(path),
            Input::Frames { files, .. } => images.extend(files),
        }
    }
    Ok(images)
}

fn photographs_apart(input: Input) -> Vec<Input> {
    match input {
        Input::Frames { files, .. } if files.iter().all(|file| person_of(file).is_some()) => {
            files.into_iter().map(Input::Image).collect()
        }
        other => vec![other],
    }
}

/// The person in a photograph that is named after its folder, as in `Ada_Lovelace/Ada_Lovelace_0001.jpg`.
pub(super) fn person_of(file: &Path) -> Option<String> {
    let folder = file.parent()?.file_name()?.to_string_lossy();
    let name = file.file_stem()?.to_string_lossy();
    let number = name.strip_prefix(folder.as_ref())?.trim_start_matches(['_', '-', ' ']);
    (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then(|| folder.into_owned())
}

/// Folders directly in `folder`, by name; hidden ones left out.
pub(super) fn folders(folder: &Path) -> BTreeSet<PathBuf> {
    let Ok(items) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    items.flatten().map(|item| item.path()).filter(|path| path.is_dir() && !is_hidden(path)).collect()
}

/// The folder directly in `folder` with this name, whatever its capitals.
pub(super) fn folder_named(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    folders(folder).into_iter().find(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        names.contains(&name.as_str())
    })
}

/// The name of a folder, for people and as a data set's.
pub(super) fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| "data".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_is_no_input_is_left_out_by_its_name_unless_it_describes_the_data() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        image::RgbImage::new(8, 8).save(path("a.png")).unwrap();
        std::fs::write(path("letter.odt"), "no picture at all").unwrap();
        std::fs::write(path("labels.csv"), "a.png,0").unwrap();
        std::fs::write(path("notes.txt"), "filmed on Monday").unwrap();
        std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
        std::os::unix::fs::symlink(folder.path(), path("loop")).unwrap();
        let mut left_out = Vec::new();
        assert_eq!(inputs_below(folder.path(), &mut left_out).unwrap(), [Input::Image(path("a.png"))]);
        let mut names: Vec<PathBuf> = left_out.into_iter().map(|left_out| left_out.path).collect();
        names.sort();
        assert_eq!(names, ["dangling", "letter.odt", "loop", "notes.txt"].map(path));
    }

    #[test]
    #[cfg(unix)]
    fn what_a_link_shows_once_more_is_left_out_and_keeps_the_label_of_its_own_place() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        for name in ["real/sub/a.png", "fake/b.png"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::new(8, 8).save(path).unwrap();
        }
        symlink("../..", folder.path().join("real/sub/up")).unwrap();
        symlink("../fake", folder.path().join("real/aside")).unwrap();
        let listing = super::super::folders::labelled(folder.path(), "set").unwrap();
        let found: Vec<(&str, Label)> = listing.sources.iter().map(|one| (one.path.as_str(), one.label)).collect();
        assert_eq!(found, [("fake/b.png", Label::Fake), ("real/sub/a.png", Label::Real)]);
        let left_out: Vec<_> = listing.left_out.iter().map(|one| relative(folder.path(), &one.path)).collect();
        let outside = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        image::RgbImage::new(8, 8).save(outside.path()).unwrap();
        for label in ["real", "fake"] {
            symlink(outside.path(), folder.path().join(label).join("x.png")).unwrap();
        }
        let listing = super::super::folders::labelled(folder.path(), "set").unwrap();
        assert_eq!(listing.sources.len(), 2, "a file that has both labels has neither");
        assert_eq!(listing.left_out.iter().filter(|one| one.reason == CONTRADICTED).count(), 3, "once behind a link");
        assert!(
            left_out.contains(&"real/sub/up".to_owned()) && left_out.contains(&"real/aside/b.png".to_owned()),
            "{left_out:?}"
        );
    }

    #[test]
    fn a_photograph_named_after_its_folder_tells_its_person() {
        assert_eq!(person_of(Path::new("lfw/Ada_Lovelace/Ada_Lovelace_0012.jpg")).as_deref(), Some("Ada_Lovelace"));
        for other in ["frames/0001.png", "clip/clip.png", "clip/clip_a.png", "0001.png", "Ada/Adam_1.jpg"] {
            assert_eq!(person_of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn names_are_relative_paths_without_extension() {
        let root = Path::new("/data/real");
        assert_eq!(name_of(root, &Input::Video("/data/real/a/clip.v2.mp4".into())), "a/clip.v2");
        assert_eq!(name_of(root, &Input::Frames { folder: "/data/real/b.c".into(), files: Vec::new() }), "b.c");
        assert_eq!(stem("a/b/c"), "c");
        let told = ["a/b/c", "a/b_1/0003", "000", "a/000_003"].map(telling_part);
        assert_eq!(told, ["c", "b_1", "000", "000_003"]);
    }
}
