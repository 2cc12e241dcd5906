//! Training and evaluation on fakes that are made from real photographs.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{Place, manifest_entries, people, text};
use crate::training::{killed_after, metrics, timeless};

/// Aligned faces of real photographs, some in each split; `None` where the photographs are absent.
fn faces(place: &Place) -> Option<PathBuf> {
    let (input, output) = (people(place, 90)?, place.path("crops"));
    let arguments = ["preprocess", "--input", text(&input), "--output", text(&output)];
    place.succeed(arguments.iter().chain(&["--layout", "faces", "--faces", "centre"]));
    Some(output)
}

fn recipe(place: &Place) -> PathBuf {
    let path = place.path("self_blended.toml");
    let recipe = format!(
        "name = 'tiny'
        [model]
        start = '{}'
        strategy = 'full'
        [data]
        self_blended = true
        frames_per_video = 1
        validation_frames = 1
        balance = 'none'
        [run]
        epochs = 2
        batch = 8
        checkpoint_every = 2",
        text(&place.detector()),
    );
    fs::write(&path, recipe).expect("the recipe");
    path
}

#[test]
fn a_detector_is_trained_on_self_blended_images_and_a_killed_run_ends_the_same() {
    let place = Place::new();
    let Some(data) = faces(&place) else { return };
    let recipe = recipe(&place);
    let train = |out: &Path| -> Vec<String> {
        let named = ["train", "--config", text(&recipe), "--data", text(&data), "--out", text(out)];
        named.map(str::to_owned).to_vec()
    };
    let (undisturbed, killed) = (place.path("undisturbed"), place.path("killed"));
    place.succeed(train(&undisturbed));

    let photographs = |split: &str| manifest_entries(&data).iter().filter(|entry| entry["split"] == split).count();
    let measures = metrics(&undisturbed);
    let steps = measures.iter().filter(|measure| measure["kind"] == "step").count();
    // A batch of eight is four photographs and the fakes of them.
    assert_eq!(steps, 2 * (photographs("train") / 4));
    let epochs: Vec<&Value> = measures.iter().filter(|measure| measure["kind"] == "epoch").collect();
    // Only pairs give an AUC, for all photographs are real.
    assert!(epochs.iter().all(|epoch| epoch["validation_auc"].is_number()), "{epochs:?}");
    let info = place.succeed(["info", text(&undisturbed.join("detector.safetensors"))]);
    assert!(info.contains("on self-blended images"), "{info}");

    let mut arguments = train(&killed);
    killed_after(&place, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &killed, 3);
    arguments.push("--resume".to_owned());
    place.succeed(&arguments);
    assert_eq!(timeless(&undisturbed), timeless(&killed));
    let read = |folder: &Path| fs::read(folder.join("detector.safetensors")).expect("a detector");
    assert!(read(&undisturbed) == read(&killed), "the weights differ");
}

#[test]
fn a_detector_is_measured_on_pairs_that_are_the_same_each_time() {
    let place = Place::new();
    let Some(data) = faces(&place) else { return };
    let detector = place.detector();
    let evaluate = |out: &str| {
        let out = place.path(out);
        let eval = ["eval", "--model", text(&detector), "--data", text(&data), "--self-blended", "--out", text(&out)];
        place.succeed(eval);
        out
    };
    let (first, second) = (evaluate("first"), evaluate("second"));
    let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).expect("a file");
    for name in ["videos.csv", "frames.csv", "summary.json"] {
        assert_eq!(read(&first, name), read(&second, name), "{name}");
    }
    let tested = manifest_entries(&data).iter().filter(|entry| entry["split"] == "test").count();
    assert!(tested > 3, "too few photographs in the test split: {tested}");
    let scores = read(&first, "videos.csv");
    assert_eq!(scores.lines().filter(|line| line.contains("self-blended")).count(), tested, "{scores}");
    assert_eq!(scores.lines().count(), 1 + 2 * tested, "{scores}");
    // A photograph and its fake are two images.
    let frames = read(&first, "frames.csv");
    let place_of_score = frames.lines().next().and_then(|header| header.split(',').position(|name| name == "score"));
    let place_of_score = place_of_score.expect("a column of scores");
    let score = |line: &str| line.split(',').nth(place_of_score).unwrap_or_default().to_owned();
    let distinct: std::collections::HashSet<String> = frames.lines().skip(1).map(score).collect();
    assert!(distinct.len() > tested, "{frames}");
}

#[test]
fn by_the_statistics_of_batches_a_killed_run_ends_the_same_and_the_detector_has_new_ones() {
    let place = Place::new();
    let Some(input) = people(&place, 12) else { return };
    let data = place.path("crops");
    let preprocess = ["preprocess", "--input", text(&input), "--output", text(&data)];
    place.succeed(preprocess.iter().chain(&["--layout", "faces", "--faces", "centre", "--for", "unmask-lite"]));
    let recipe = recipe(&place);
    let train = |out: &Path| -> Vec<String> {
        let mut all: Vec<String> =
            ["train", "--config", text(&recipe), "--data", text(&data), "--out", text(out)].map(str::to_owned).to_vec();
        for setting in
            ["model.start='unmask-lite'", "model.statistics='batch'", "run.batch=4", "run.checkpoint_every=1"]
        {
            all.extend(["--set".to_owned(), setting.to_owned()]);
        }
        all
    };
    let (undisturbed, killed) = (place.path("undisturbed"), place.path("killed"));
    place.succeed(train(&undisturbed));
    let mut arguments = train(&killed);
    killed_after(&place, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &killed, 2);
    arguments.push("--resume".to_owned());
    place.succeed(&arguments);
    let read = |path: &Path| fs::read(path).expect("a detector");
    let detector = read(&undisturbed.join("detector.safetensors"));
    assert!(detector == read(&killed.join("detector.safetensors")), "the weights differ");
    let bundled = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/unmask-lite.safetensors"));
    let [trained, start] = [&detector, &bundled].map(|bytes| SafeTensors::deserialize(bytes).expect("safetensors"));
    for statistic in ["running_mean", "running_var"] {
        let values =
            |file: &SafeTensors| file.tensor(&format!("trunk.stem.norm.{statistic}")).expect("it").data().to_vec();
        assert_ne!(values(&trained), values(&start), "{statistic}");
    }
    // Where the stored ones are kept, the best so far has them all the same, and so needs no base.
    let stored = place.path("stored");
    let as_stored = ["--set", "model.statistics='stored'", "--set", "run.epochs=1"];
    place.succeed(train(&stored).iter().map(String::as_str).chain(as_stored));
    let [best, whole] = ["best", "detector"].map(|name| read(&stored.join(format!("{name}.safetensors"))));
    let [best, whole] = [&best, &whole].map(|bytes| SafeTensors::deserialize(bytes).expect("safetensors").len());
    assert_eq!(best, whole);
    assert!(!place.succeed(["info", text(&stored.join("best.safetensors"))]).contains("adapter for"));
    let refused =
        place.fail(train(&place.path("no")).iter().map(String::as_str).chain(["--set", "model.statistics_momentum=0"]));
    assert!(refused.contains("model.statistics_momentum"), "{refused}");
}
