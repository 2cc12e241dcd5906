//! Every kind of detector learns: tiny ones with random weights, on faces of which fakes have a chequered patch.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::prelude::*;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};
use unmask_core::detector::spec::{DetectorSpec, SPEC_KEY};
use unmask_core::detector::{Architecture, Model, for_each_parameter};
use unmask_core::weights::Seeded;

use crate::support::{Place, text};
use crate::training::{arguments, easy_set, easy_set_of, killed_after, metrics, recipe_from, resumed, timeless};

/// Side of the crops.
const SIDE: usize = 32;

/// A detector of this architecture with random weights, whose crops are as large as its input.
pub(crate) fn fresh(place: &Place, name: &str, architecture: &Value) -> PathBuf {
    fresh_of_crops(place, name, architecture, 1.3)
}

/// As [`fresh`], for crops that are so many times wider than the bare face.
pub(crate) fn fresh_of_crops(place: &Place, name: &str, architecture: &Value, margin: f32) -> PathBuf {
    fresh_changed(place, name, architecture, margin, |_, _| ())
}

/// As [`fresh_of_crops`], with weights that `change`, which is told their names, has changed.
pub(crate) fn fresh_changed(
    place: &Place,
    name: &str,
    architecture: &Value,
    margin: f32,
    change: impl Fn(&str, &mut [f32]),
) -> PathBuf {
    let known: Architecture = serde_json::from_value(architecture.clone()).expect(name);
    let (side, length) = (known.image_size(), known.clip_length());
    let spec = json!({
        "version": 1, "name": name, "architecture": architecture,
        "input": { "size": side, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic" },
        "crop": { "geometry": "dfb", "size": side, "margin": margin },
        "sampling": { "frames": 32, "clip_length": (length > 1).then_some(length) },
        "labels": ["real", "fake"],
        "calibration": { "temperature": 1.0, "real_below": 0.35, "fake_above": 0.65 },
        "training": { "status": "untrained", "summary": "random weights" },
        "licence": null, "base_model": null
    });
    let spec = DetectorSpec::from_json(&spec.to_string()).expect(name);
    let model = Model::load(&spec.architecture, &mut Seeded::new(1), &Device::flex()).expect(name);
    let mut tensors = Vec::new();
    for_each_parameter(&model, &mut |name, shape, values| {
        let mut values: Vec<f32> = values().iter::<f32>().collect();
        change(&name, &mut values);
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        tensors.push((name, shape, bytes));
    });
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor"))
    });
    let path = place.path(&format!("{name}.safetensors"));
    let metadata = HashMap::from([(SPEC_KEY.to_string(), spec.to_json().expect("a document"))]);
    serialize_to_file(views, Some(metadata), &path).expect("written");
    path
}

/// A recipe that trains everything from a detector with random weights.
fn recipe(place: &Place, name: &str, start: &Path) -> PathBuf {
    let path = place.path(&format!("{name}.toml"));
    let recipe = format!(
        "name = '{name}-trained'
        model.start = '{}'
        model.strategy = 'full'
        optimizer.learning_rate = 2e-3
        schedule.minimum = 1e-4
        data.frames_per_video = 4
        # What tells a fake here is as fine as a pixel.
        augmentation.blur.probability = 0.0
        augmentation.jpeg.probability = 0.0
        augmentation.rotate.probability = 0.0
        run.epochs = 16
        run.batch = 16",
        text(start),
    );
    std::fs::write(&path, recipe).expect("the recipe");
    path
}

/// The best validation AUC of a run that starts with random weights; `set` changes keys of the recipe.
fn learnt(name: &str, architecture: &Value, set: &[&str]) -> f64 {
    let place = Place::new();
    // A thumbnail has each frame at half its size.
    let data = easy_set_of(&place, if architecture["kind"] == "tall" { 4 } else { 1 });
    let start = fresh(&place, name, architecture);
    let (recipe, out) = (recipe(&place, name, &start), place.path("run"));
    let began = Instant::now();
    let set = set.iter().flat_map(|change| ["--set", change]);
    place.succeed(arguments(&recipe, &data, &out).into_iter().chain(set));
    let aucs = metrics(&out).into_iter().filter_map(|measure| measure["validation_auc"].as_f64());
    let best = aucs.fold(0.0, f64::max);
    let info = place.succeed(["info", text(&out.join("detector.safetensors")), "--json"]);
    let info: Value = serde_json::from_str(&info).expect("JSON");
    println!("{name}: {} parameters, AUC {best:.3} after {:.1} s", info["parameters"], began.elapsed().as_secs_f64());
    assert_eq!(info["detector"]["architecture"]["kind"], architecture["kind"]);
    // What comes out can score, and says so of a crop as the program reads it.
    let said = place.succeed(["score", text(&data), "--model", text(&out.join("detector.safetensors")), "--jsonl"]);
    assert!(said.lines().count() > 0, "{name}");
    best
}

fn clip() -> Value {
    json!({ "image_size": SIDE, "patch_size": 8, "width": 32, "depth": 2, "heads": 2, "mlp": 64, "head": "1mlp" })
}

fn with(mut object: Value, more: &Value) -> Value {
    let entries = more.as_object().expect("an object").clone();
    object.as_object_mut().expect("an object").extend(entries);
    object
}

fn efficientnet() -> Value {
    let stage = |repeats: usize, stride: usize, expansion: usize, channels: usize| json!({ "repeats": repeats, "kernel": 3, "stride": stride, "expansion": expansion, "channels": channels });
    json!({
        "image_size": SIDE, "variant": "squeeze-excite", "stem": 8, "width": 32, "head": "1mlp",
        "stages": [stage(1, 1, 1, 8), stage(2, 2, 4, 16), stage(1, 2, 4, 24)]
    })
}

fn assert_learns(name: &str, architecture: Value, set: &[&str]) {
    let auc = learnt(name, &architecture, set);
    assert!(auc > 0.95, "{name}: validation AUC {auc}");
}

/// Batch norms learn by the statistics of the batch.
const BY_BATCH: [&str; 2] = ["model.statistics=batch", "model.statistics_momentum=0.1"];

#[test]
fn xception_learns() {
    let sizes = json!({
        "kind": "xception", "image_size": SIDE, "stem": [8, 12], "entry": [16, 24], "middle": 1, "exit": 32,
        "last": [40, 48], "head": "1mlp"
    });
    assert_learns("xception", sizes, &BY_BATCH);
}

#[test]
fn efficientnet_with_squeeze_and_excitation_learns() {
    let sizes = with(json!({ "kind": "efficientnet", "drop_path": 0.1 }), &efficientnet());
    assert_learns("efficientnet", sizes, &BY_BATCH);
}

#[test]
fn timesformer_learns() {
    let sizes = json!({
        "kind": "timesformer", "backbone": efficientnet(), "clip_length": 2, "layers": 1, "heads": 4, "mlp": 64,
        "dropout": 0.1
    });
    assert_learns("timesformer", sizes, &BY_BATCH);
}

/// What begins with small windows takes longer to see the whole.
const SLOWLY: [&str; 1] = ["run.epochs=80"];

fn tall() -> Value {
    json!({
        "kind": "tall", "head": "1mlp", "drop_path": 0.0, "hidden": 0,
        "swin": {
            "image_size": SIDE, "patch_size": 4, "width": 16, "depths": [2, 2, 2], "heads": [2, 4, 4],
            "windows": [4, 4, 2], "mlp_ratio": 2
        }
    })
}

#[test]
fn tall_learns() {
    assert_learns("tall", tall(), &SLOWLY);
}

#[test]
fn tallpp_learns_with_its_penalty() {
    let sizes = with(tall(), &json!({ "graph_nodes": 4 }));
    let penalty = ["loss.penalties={ consistency = 0.1 }"];
    assert_learns("tallpp", sizes, &[&BY_BATCH[..], &SLOWLY, &penalty].concat());
}

#[test]
fn udd_learns_with_its_views_and_penalties() {
    let sizes = json!({ "kind": "udd", "clip": clip(), "projection": 16, "temperature": 0.1, "mixed": 0.3 });
    assert_learns("udd", sizes, &["loss.penalties={ contrast = 0.1, divergence = 0.1 }"]);
}

#[test]
fn dicome_learns() {
    let sizes = json!({ "kind": "dicome", "clip": clip(), "features": 16, "latent": 4, "inside": 16, "head": 16 });
    assert_learns("dicome", sizes, &[]);
}

#[test]
fn vision_transformers_of_every_family_learn() {
    let perception = json!({ "perception": { "reference": 4, "pool_heads": 2, "pool_mlp": 64 } });
    let dino = json!({ "dino": { "registers": 2, "gated": true } });
    for (name, family) in
        [("plain", json!("plain")), ("mean", json!("plain-mean")), ("perception", perception), ("dino", dino)]
    {
        let sizes = json!({
            "kind": "vit", "epsilon": 1e-6, "family": family, "normalisation": [[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]]
        });
        assert_learns(name, with(sizes, &clip()), &["run.epochs=40"]);
    }
}

/// Trains by the strategy `name` with these changes of the recipe to an AUC above 0.95, and fails unless the detector and the
/// adapter that the run leaves score the same. Gives the AUC, and the names of the adapter's tensors.
fn learnt_and_merged(name: &str, architecture: &Value, set: &[&str]) -> (f64, Vec<String>) {
    let place = Place::new();
    let (data, out) = (easy_set(&place), place.path("run"));
    let start = fresh(&place, name, architecture);
    let recipe = recipe(&place, name, &start);
    let strategy = format!("model.strategy={name}");
    let set = set.iter().copied().chain([strategy.as_str()]).flat_map(|change| ["--set", change]);
    place.succeed(arguments(&recipe, &data, &out).into_iter().chain(set));
    let best = metrics(&out).into_iter().filter_map(|measure| measure["validation_auc"].as_f64()).fold(0.0, f64::max);
    println!("{name}: AUC {best:.3}");
    assert!(best > 0.95, "{name}: validation AUC {best}");

    let (detector, adapter) = (out.join("detector.safetensors"), out.join("adapter.safetensors"));
    let crop = data.join("val_fake_3_0.png");
    let score = |arguments: &[&str]| -> f64 {
        let said = place.succeed(["score", text(&crop), "--json"].iter().chain(arguments));
        let report: Value = serde_json::from_str(&said).expect("JSON");
        assert!(report["verdict"].is_string());
        report["score"].as_f64().unwrap_or(-1.0)
    };
    let merged = score(&["--model", text(&detector)]);
    let beside = score(&["--model", text(&adapter), "--base", text(&start)]);
    assert!((merged - beside).abs() < 1e-5, "{merged} is not {beside}");
    let names = crate::support::tensors(&adapter);
    assert!(names.keys().all(|name| name.contains(".low_rank.") || name.starts_with("head.")), "{:?}", names.keys());
    let tensors = |path: &Path| crate::support::tensors(path).into_keys().collect::<BTreeSet<String>>();
    assert_eq!(tensors(&detector), tensors(&start), "a merged detector is a plain one");
    assert!(place.succeed(["info", text(&adapter)]).contains("adapter for"));
    (best, names.keys().cloned().collect())
}

#[test]
fn low_rank_updates_learn_and_come_out_merged_and_as_an_adapter() {
    let layers =
        "model.low_rank={ rank = 8, alpha = 16.0, targets = ['query', 'key', 'value', 'output', 'fc1', 'fc2'] }";
    let set = [layers, "optimizer.learning_rate=1e-2", "run.epochs=24"];
    learnt_and_merged("lora", &with(json!({ "kind": "clip" }), &clip()), &set);
}

#[test]
fn the_smallest_singular_values_learn_and_come_out_merged_and_as_an_adapter() {
    // Random weights know nothing that could be kept, so more is trained of them than of pretrained ones.
    let set = [
        "model.effort={ residual = 16, targets = ['query', 'key', 'value', 'output', 'fc1', 'fc2'] }",
        "optimizer.kind=adam",
        "optimizer.learning_rate=1e-2",
        "run.epochs=24",
    ];
    let sizes = with(json!({ "kind": "clip", "normalised": false }), &clip());
    let (auc, names) = learnt_and_merged("effort", &sizes, &set);
    assert!(auc >= 0.99, "validation AUC {auc}");
    assert_eq!(names.iter().filter(|name| name.ends_with(".residual.values")).count(), 2 * 6, "{names:?}");
}

/// The parts that weights were taken apart into, in the folder of a run.
const DECOMPOSITION: &str = "decomposition.safetensors";

#[test]
fn what_is_refused_is_refused_before_weights_are_taken_apart() {
    let place = Place::new();
    let (data, recipe) = (easy_set(&place), recipe_from(&place, &place.detector_of_small_crops(), "effort", 2));
    let (out, nowhere) = (place.path("run"), place.path("nowhere"));
    let kept = out.join(DECOMPOSITION);
    let refused = |data: &Path, more: &[&str], word: &str| {
        let said = place.fail(arguments(&recipe, data, &out).iter().chain(more));
        assert!(said.contains(word), "{said}");
    };
    refused(&nowhere, &[], "nowhere");
    refused(&data, &["--set", "model.effort.residual=1000"], "model.effort.residual");
    refused(&data, &["--set", "model.effort.targets=['nothing']"], "model.effort.targets");
    refused(&data, &["--set", "run.batch=1000"], "run.batch");
    refused(&data, &["--resume"], "no run to go on with");
    assert!(!kept.exists());
    place.succeed(arguments(&recipe, &data, &out));
    let before = std::fs::read(&kept).expect("a decomposition");
    refused(&data, &["--set", "model.effort.residual=2"], "holds a run already");
    refused(&data, &["--set", "model.effort.residual=2", "--resume"], "its recipe has changed");
    assert!(std::fs::read(&kept).expect("a decomposition") == before);
}

#[test]
fn ctrl_c_while_weights_are_taken_apart_ends_the_run_at_once() {
    let place = Place::new();
    let sizes = json!({ "kind": "clip", "image_size": SIDE, "patch_size": 16, "width": 1024, "depth": 2, "heads": 2, "mlp": 64, "head": "1mlp" });
    let (data, start) = (easy_set(&place), fresh(&place, "wide", &sizes));
    let (recipe, out) = (recipe_from(&place, &start, "effort", 1), place.path("run"));
    let mut command = place.unmask();
    let set = ["--set", "name=other"];
    command.args(arguments(&recipe, &data, &out).iter().chain(&set)).stderr(std::process::Stdio::piped());
    let run = command.spawn().expect("the program starts");
    let begun = Instant::now();
    while !out.join("run.json").exists() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "it does not begin");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let asked = Instant::now();
    interrupt(run.id());
    let ended = run.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("go on with the same command and --resume"), "{said}");
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "it took {:?}", asked.elapsed());
    assert!(!out.join(DECOMPOSITION).exists() && !out.join("detector.safetensors").exists());
}

/// Ctrl-C.
fn interrupt(process: u32) {
    let sent = std::process::Command::new("kill").args(["-INT", &process.to_string()]).status();
    assert!(sent.expect("kill").success());
}

#[test]
fn a_run_of_effort_that_was_killed_ends_with_the_files_of_one_that_was_not() {
    let place = Place::new();
    let (data, recipe) = (easy_set(&place), recipe_from(&place, &place.detector_of_small_crops(), "effort", 2));
    let (undisturbed, out) = (place.path("undisturbed"), place.path("killed"));
    place.succeed(arguments(&recipe, &data, &undisturbed));
    assert!(killed_after(&place, &arguments(&recipe, &data, &out), &out, 5), "the run ended before it was killed");
    let kept = out.join(DECOMPOSITION);
    let written = || std::fs::metadata(&kept).and_then(|data| data.modified()).expect("a decomposition");
    let first = written();
    place.succeed(resumed(arguments(&recipe, &data, &out)));
    assert_eq!(written(), first, "weights were taken apart again");
    assert_eq!(timeless(&undisturbed), timeless(&out));
    for file in ["detector.safetensors", "adapter.safetensors", "best.safetensors", DECOMPOSITION] {
        let read = |run: &Path| std::fs::read(run.join(file)).expect("a file");
        assert!(read(&undisturbed) == read(&out), "{file} differs");
    }
    let summary = std::fs::read_to_string(out.join("summary.md")).expect("a summary");
    assert!(summary.contains("smallest singular value of weights and head trained"), "{summary}");
}
