//! FaceForensics++ (Rössler et al. 2019) with FaceShifter (Li et al. 2020), and DeepFakeDetection (Google and Jigsaw
//! 2019), which is handed out with it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Videos, read_json};
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
        let splits = splits(root)?;
        for (manipulation, label, videos) in youtube {
            for video in videos {
                match splits.get(target(&video.name)) {
                    Some(split) => {
                        found.push(video.found("FaceForensics++", manipulation, label, Plan::Official(*split)))
                    }
                    None => left_out.push(LeftOut::new(video.input.path(), UNKNOWN)),
                }
            }
        }
    }
    for (manipulation, label, videos) in actors {
        found.extend(videos.into_iter().map(|video| {
            // `01_02__scene__ID`: actor 01's video with the face of actor 02.
            let person = target(&video.name).to_owned();
            Found {
                group: person.clone(),
                person: Some(person),
                ..video.found(DFD, manipulation, label, Plan::Official(Split::Test))
            }
        }));
    }
    Ok(())
}

/// The number of the video that a fake was made in: the first of `000_003`, where the face comes from the second.
fn target(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

/// The split of each YouTube video. Pairs never cross splits, so that a fake is where its target is.
fn splits(root: &Path) -> Result<HashMap<String, Split>> {
    let mut splits = HashMap::new();
    for (split, file) in SPLITS {
        let path = root.join(file);
        let pairs: Vec<[String; 2]> = read_json(&path).with_context(|| {
            format!("FaceForensics++ needs its official splits in {}: train.json, val.json and test.json of github.com/ondyari/FaceForensics", root.display())
        })?;
        splits.extend(pairs.into_iter().flatten().map(|name| (name, split)));
    }
    Ok(splits)
}
