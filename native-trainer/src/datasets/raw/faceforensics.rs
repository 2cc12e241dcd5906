//! FaceForensics++ (Rössler et al. 2019) with FaceShifter (Li et al. 2020), and DeepFakeDetection (Google and Jigsaw
//! 2019), which is handed out with it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};

use super::{FAKE_AMONG_ORIGINALS, ORIGINAL_AMONG_FAKES, Videos, read_json};
use crate::datasets::source::{Finds, Found, LeftOut};
use crate::datasets::split::Plan;
use crate::datasets::{Compression, Label, ORIGINAL, Split};

/// The manipulations of the YouTube videos.
const MANIPULATIONS: [&str; 5] = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"];
/// The data set of the videos with paid actors, and its manipulation.
const DFD: &str = "DeepFakeDetection";
/// The files with the official splits: pairs of names.
const SPLITS: [(Split, &str); 3] =
    [(Split::Train, "train.json"), (Split::Validation, "val.json"), (Split::Test, "test.json")];

/// Why a video is left out.
const UNKNOWN: &str = "in none of train.json, val.json and test.json";
const UNKNOWN_SCENE: &str = "not named as DeepFakeDetection names its videos";

/// Videos of one compression. What the official splits do not know is left out.
pub(super) fn list(root: &Path, compression: Compression, finds: &mut Finds) -> Result<()> {
    let Finds { found, left_out } = finds;
    let mut videos = |folder: &str| Videos::of(&root.join(folder).join(compression.as_str()), left_out);
    let mut youtube: Vec<(&str, Label, Vec<Videos>)> =
        vec![(ORIGINAL, Label::Real, videos("original_sequences/youtube")?)];
    for manipulation in MANIPULATIONS {
        youtube.push((manipulation, Label::Fake, videos(&format!("manipulated_sequences/{manipulation}"))?));
    }
    let actors = [
        (ORIGINAL, Label::Real, videos("original_sequences/actors")?),
        (DFD, Label::Fake, videos(&format!("manipulated_sequences/{DFD}"))?),
    ];
    if youtube.iter().any(|(_, _, videos)| !videos.is_empty()) {
        let splits = Splits::read(root)?;
        for (manipulation, label, videos) in youtube {
            for video in videos {
                match splits.of(&video.name, label) {
                    Ok(split) => found.push(video.found("FaceForensics++", manipulation, label, Plan::Official(split))),
                    Err(reason) => left_out.push(LeftOut::new(video.input.path(), reason)),
                }
            }
        }
    }
    for (manipulation, label, videos) in actors {
        for video in videos {
            match actor(&video.name, label).map(str::to_owned) {
                Ok(person) => found.push(Found {
                    group: person.clone(),
                    person: Some(person),
                    ..video.found(DFD, manipulation, label, Plan::Official(Split::Test))
                }),
                Err(reason) => left_out.push(LeftOut::new(video.input.path(), reason)),
            }
        }
    }
    Ok(())
}

/// Why a file in none of those folders is left out.
pub(super) fn stray(root: &Path, path: &Path, compression: Compression) -> String {
    let parts: Vec<_> = path.strip_prefix(root).unwrap_or(path).components().map(|part| part.as_os_str()).collect();
    let is_known =
        |folder: &OsStr| ["youtube", "actors", DFD].iter().chain(&MANIPULATIONS).any(|known| folder == *known);
    let is_compression = |folder: &OsStr| Compression::ALL.iter().any(|other| folder == other.as_str());
    match parts[..] {
        [_, of, folder, ..] if is_known(of) && is_compression(folder) && folder != compression.as_str() => {
            format!("of another compression than {}", compression.as_str())
        }
        _ => "in no folder of FaceForensics++'s videos".to_owned(),
    }
}

/// The actor in a video of DeepFakeDetection, `01__scene`; of a fake the one whose video it is, the first of
/// `01_02__scene__ID`, whose face comes from the second.
fn actor(name: &str, label: Label) -> Result<&str, &'static str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (actors, _) = name.split_once("__").ok_or(UNKNOWN_SCENE)?;
    match (actors.split_once('_'), label) {
        (None, Label::Real) if is_number(actors) => Ok(actors),
        (None, Label::Fake) if is_number(actors) => Err(ORIGINAL_AMONG_FAKES),
        (Some((one, other)), label) if is_number(one) && is_number(other) => match label {
            Label::Real => Err(FAKE_AMONG_ORIGINALS),
            Label::Fake => Ok(one),
        },
        _ => Err(UNKNOWN_SCENE),
    }
}

/// The official splits of the YouTube videos.
struct Splits {
    /// Of each original.
    originals: HashMap<String, Split>,
    /// Pairs of originals that fakes were made of, in both orders.
    pairs: HashSet<[String; 2]>,
}

impl Splits {
    /// The split of an original, `000`, or of a fake, `000_003`: the video 000 with the face of 003. Pairs never cross
    /// splits.
    fn of(&self, name: &str, label: Label) -> Result<Split, &'static str> {
        let pair = name.split_once('_').map(|(target, source)| [target.to_owned(), source.to_owned()]);
        let is_pair = pair.as_ref().is_some_and(|pair| self.pairs.contains(pair));
        match (label, self.originals.get(name), pair) {
            (Label::Real, Some(split), _) => Ok(*split),
            (Label::Real, None, Some(_)) if is_pair => Err(FAKE_AMONG_ORIGINALS),
            (Label::Fake, Some(_), _) => Err(ORIGINAL_AMONG_FAKES),
            (Label::Fake, None, Some([target, _])) if is_pair => self.originals.get(&target).copied().ok_or(UNKNOWN),
            _ => Err(UNKNOWN),
        }
    }

    fn read(root: &Path) -> Result<Self> {
        let (mut originals, mut both) = (HashMap::new(), HashSet::new());
        for (split, file) in SPLITS {
            let path = root.join(file);
            let pairs: Vec<[String; 2]> = read_json(&path).with_context(|| {
            format!("FaceForensics++ needs its official splits in {}: train.json, val.json and test.json of github.com/ondyari/FaceForensics", root.display())
        })?;
            for [one, other] in pairs {
                both.extend([[one.clone(), other.clone()], [other.clone(), one.clone()]]);
                originals.extend([one, other].map(|name| (name, split)));
            }
        }
        Ok(Self { originals, pairs: both })
    }
}
