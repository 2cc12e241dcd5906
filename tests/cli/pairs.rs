//! Training on pairs of a real face and its own fake.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Place, text};
use crate::training::{arguments, easy_set, killed_after, metrics, recipe_from, timeless};

/// Says in the manifest of the easy set which fake was made of which real video: that of the same number.
fn name_sources(data: &Path) {
    let path = data.join("manifest.jsonl");
    let lines = fs::read_to_string(&path).expect("the manifest");
    let with_group = |line: &str| {
        let mut entry: Value = serde_json::from_str(line).expect("an entry");
        if let Some(name) = entry["name"].as_str() {
            entry["group"] = name.replace("_real_", "_").replace("_fake_", "_").into();
        }
        format!("{entry}\n")
    };
    fs::write(&path, lines.lines().map(with_group).collect::<String>()).expect("the manifest");
}

#[test]
fn a_detector_learns_from_pairs_and_a_killed_run_ends_the_same_with_its_average() {
    let place = Place::new();
    let data = easy_set(&place);
    let recipe = recipe_from(&place, &place.detector_of_small_crops(), "full", 14);
    let train = |out: &Path| -> Vec<String> {
        let mut all: Vec<String> = arguments(&recipe, &data, out).into_iter().map(str::to_owned).collect();
        for setting in ["data.pairs=true", "optimizer.average=0.5", "loss.label_smoothing=0.05"] {
            all.extend(["--set".to_owned(), setting.to_owned()]);
        }
        all
    };
    let (undisturbed, killed) = (place.path("undisturbed"), place.path("killed"));

    let refused = place.fail(train(&undisturbed));
    assert!(refused.contains("has a fake of its own"), "{refused}");
    name_sources(&data);
    place.succeed(train(&undisturbed));
    let measures = metrics(&undisturbed);
    // 24 real videos with two faces each; a batch of 16 has eight of them and their fakes.
    assert_eq!(measures.iter().filter(|measure| measure["kind"] == "step").count(), 14 * 24 * 2 / 8);
    let auc = measures.iter().filter_map(|measure| measure["validation_auc"].as_f64()).fold(0.0, f64::max);
    assert!(auc > 0.9, "{auc}");

    let mut arguments = train(&killed);
    killed_after(&place, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &killed, 7);
    arguments.push("--resume".to_owned());
    place.succeed(&arguments);
    assert_eq!(timeless(&undisturbed), timeless(&killed));
    let read = |folder: &Path| fs::read(folder.join("detector.safetensors")).expect("a detector");
    assert!(read(&undisturbed) == read(&killed), "the weights differ");

    // Another run goes on from what came out, and says so.
    let (first, further) = (undisturbed.join("detector.safetensors"), place.path("further"));
    let mut arguments = train(&further);
    arguments
        .extend(["--start-from", text(&first), "--set", "run.epochs=1", "--set", "name=further"].map(str::to_owned));
    place.succeed(&arguments);
    let summary = fs::read_to_string(further.join("summary.md")).expect("a summary");
    assert!(summary.contains("which had been trained before (fully fine-tuned from"), "{summary}");
    let start_auc = metrics(&further).iter().find_map(|measure| measure["validation_auc"].as_f64());
    assert!(start_auc.is_some_and(|auc| auc > 0.9), "{start_auc:?}");
}
