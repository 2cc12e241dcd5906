//! Training: a tiny detector learns an easy task, and a run that is killed ends as one that is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Place, golden, tensors, text};

/// Side of a crop, the tiny detector's input.
const SIDE: u32 = 32;

/// A folder of crops, as `unmask preprocess` leaves it, in which fakes have a chequered patch, as fine as a pixel.
pub(crate) fn easy_set(place: &Place) -> PathBuf {
    easy_set_of(place, 1)
}

/// [`easy_set`] with chequers of so many pixels.
pub(crate) fn easy_set_of(place: &Place, chequer: u32) -> PathBuf {
    let folder = place.path("crops");
    fs::create_dir_all(&folder).expect("a folder");
    let mut rng = StdRng::seed_from_u64(5);
    let crop = json!({ "geometry": "dfb", "size": SIDE, "margin": 1.3 });
    let header = json!({
        "unmask_manifest": 1, "program": "test", "crop": crop, "frames": 2, "faces": "largest", "format": "png"
    });
    let mut lines = vec![header];
    for (split, count) in [("train", 24), ("val", 20)] {
        for (label, manipulation) in [("real", "original"), ("fake", "patch")] {
            lines.extend((0..count).map(|index| {
                let name = format!("{split}_{label}_{index}");
                let crops: Vec<Value> = (0..2).map(|frame| crop_of(&folder, &name, frame, chequer, &mut rng)).collect();
                json!({
                    "dataset": "easy", "manipulation": manipulation, "name": name, "label": label, "split": split,
                    "source": format!("{name}.mp4"), "frames": 2, "frames_without_face": 0, "crops": crops
                })
            }));
        }
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.join("manifest.jsonl"), lines.concat()).expect("the manifest");
    folder
}

/// Writes one crop and gives its place in the manifest.
fn crop_of(folder: &Path, name: &str, frame: usize, chequer: u32, rng: &mut StdRng) -> Value {
    let (base, slope): (f32, f32) = (rng.random_range(60.0..180.0), rng.random_range(-2.0..2.0));
    let fake = name.contains("fake");
    let image = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let smooth = base + slope * (x as f32 - y as f32) + rng.random_range(-6.0..6.0);
        let patch =
            fake && (8..24).contains(&x) && (8..24).contains(&y) && (x / chequer + y / chequer).is_multiple_of(2);
        Rgb([(smooth + if patch { 40.0 } else { 0.0 }) as u8; 3])
    });
    let path = format!("{name}_{frame}.png");
    image.save(folder.join(&path)).expect("a crop");
    let points = [[10.0, 12.0], [22.0, 12.0], [16.0, 18.0], [11.0, 24.0], [21.0, 24.0]];
    json!({
        "path": path, "time_s": frame, "box": [0, 0, SIDE, SIDE], "confidence": 1.0,
        "source_landmarks": points, "landmarks": points
    })
}

/// A recipe for the tiny detector.
fn recipe(place: &Place, strategy: &str, epochs: usize) -> PathBuf {
    recipe_from(place, &place.detector_of_small_crops(), strategy, epochs)
}

pub(crate) fn recipe_from(place: &Place, start: &Path, strategy: &str, epochs: usize) -> PathBuf {
    let path = place.path(&format!("{strategy}.toml"));
    let recipe = format!(
        "name = 'tiny'
        [model]
        start = '{}'
        strategy = '{strategy}'
        [optimizer]
        learning_rate = 3e-3
        [schedule]
        minimum = 1e-4
        [data]
        frames_per_video = 2
        # What tells a fake here is as fine as a pixel.
        [augmentation]
        blur.probability = 0.0
        jpeg.probability = 0.0
        rotate.probability = 0.0
        [run]
        epochs = {epochs}
        batch = 16
        checkpoint_every = 2",
        text(start),
    );
    fs::write(&path, recipe).expect("the recipe");
    path
}

/// The same run, gone on with.
pub(crate) fn resumed(mut arguments: Vec<&str>) -> Vec<&str> {
    arguments.push("--resume");
    arguments
}

pub(crate) fn arguments<'a>(recipe: &'a Path, data: &'a Path, out: &'a Path) -> Vec<&'a str> {
    vec!["train", "--config", text(recipe), "--data", text(data), "--out", text(out), "--device", "cpu"]
}

pub(crate) fn metrics(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The measures without what depends on the clock.
pub(crate) fn timeless(out: &Path) -> Vec<Value> {
    let mut measures = metrics(out);
    for measure in measures.iter_mut().filter_map(Value::as_object_mut) {
        measure.remove("images_per_second");
        measure.remove("waiting");
        measure.remove("time_s");
    }
    measures
}

#[test]
fn a_tiny_detector_learns_an_easy_set_and_scores_with_what_it_learnt() {
    let place = Place::new();
    let (data, out) = (easy_set(&place), place.path("run"));
    place.succeed(arguments(&recipe(&place, "full", 14), &data, &out));
    let epochs: Vec<Value> = metrics(&out).into_iter().filter(|measure| measure["kind"] == "epoch").collect();
    assert_eq!(epochs.len(), 14);
    let best = epochs.iter().filter_map(|epoch| epoch["validation_auc"].as_f64()).fold(0.0, f64::max);
    assert!(best > 0.99, "validation AUC {best}");
    let summary = fs::read_to_string(out.join("summary.md")).expect("a summary");
    assert!(summary.contains("95 % interval") && summary.contains("AUC over the training clips"), "{summary}");

    let model = out.join("detector.safetensors");
    for (name, verdict) in [("val_fake_3_0.png", "likely_fake"), ("val_real_3_0.png", "likely_real")] {
        let logits = forward(&place, &model, &data.join(name));
        let fake = logits[1] > logits[0];
        assert_eq!(fake, verdict == "likely_fake", "{name}: {logits:?}");
    }
    let info = place.succeed(["info", text(&model)]);
    assert!(info.contains("fully fine-tuned") && !info.contains("untrained"), "{info}");
}

/// The logits of one crop as `unmask forward` gives them.
fn forward(place: &Place, model: &Path, crop: &Path) -> Vec<f32> {
    let image = image::open(crop).expect("a crop").into_rgb8();
    let (mean, std) = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.261_302_6, 0.275_777_1]);
    let values: Vec<u8> = (0..3)
        .flat_map(|channel| {
            image.pixels().map(move |pixel| (f32::from(pixel[channel]) / 255.0 - mean[channel]) / std[channel])
        })
        .flat_map(f32::to_le_bytes)
        .collect();
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1, 3, 32, 32], &values).expect("a view");
    let (input, output) = (place.path("pixels.safetensors"), place.path("out.safetensors"));
    let bytes = safetensors::serialize([("pixel_values", view)], None).expect("serialised");
    fs::write(&input, bytes).expect("the pixels");
    place.succeed(["forward", "--model", text(model), "--input", text(&input), "--output", text(&output)]);
    tensors(&output)["logits"].1.clone()
}

#[test]
fn a_trained_detector_is_evaluated_and_calibrated_on_the_validation_split() {
    let place = Place::new();
    let (data, run, out) = (easy_set(&place), place.path("run"), place.path("results"));
    place.succeed(arguments(&recipe(&place, "full", 14), &data, &run));
    let (model, calibrated) = (run.join("detector.safetensors"), place.path("calibrated.safetensors"));
    let eval = ["eval", "--model", text(&model), "--data", text(&data), "--out", text(&out)];
    // Nothing in this set is for testing.
    assert!(place.fail(eval).contains("--split"));
    let with = ["--split", "train", "--calibrate", text(&calibrated)];
    let printed = place.succeed(eval.iter().chain(&with));
    assert!(printed.contains("Temperature"), "{printed}");

    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).expect("a summary")).expect("JSON");
    let videos = &summary["datasets"][0]["videos"];
    assert!(videos["auc"]["value"].as_f64().is_some_and(|auc| auc > 0.99), "{summary}");
    let table = fs::read_to_string(out.join("summary.md")).expect("a table");
    assert!(table.contains("easy") && table.contains("AUC"), "{table}");
    let frames = fs::read_to_string(out.join("frames.csv")).expect("scores");
    assert_eq!(frames.lines().count(), 1 + 48 * 2, "a line a frame and the names");
    assert_eq!(fs::read_to_string(out.join("videos.csv")).expect("scores").lines().count(), 1 + 48);
    // The temperature reaches the file that was asked for, and no other.
    let info = |path: &Path| place.succeed(["info", text(path)]);
    assert_ne!(info(&calibrated), info(&model));
    assert!(
        info(&calibrated).contains("fitted on 20 real and 20 fake validation videos of easy"),
        "{}",
        info(&calibrated)
    );
}

#[test]
fn a_detector_of_clips_is_trained_resumed_and_evaluated_on_clips() {
    let place = Place::new();
    let (data, run, start) = (easy_set(&place), place.path("run"), place.path("stan.safetensors"));
    let (input, head) = (golden("clip_tiny/model.safetensors"), golden("clip_tiny/head1.safetensors"));
    let import = ["import", "--from", "hf-clip", "--input", text(&input), "--head", text(&head)];
    let branch = ["--clip-length", "2", "--branch-depth", "1", "--crop-size", "32", "--output", text(&start)];
    place.succeed(import.iter().chain(&branch));
    let recipe = recipe_from(&place, &start, "full", 30);
    let undisturbed = place.path("undisturbed");
    place.succeed(arguments(&recipe, &data, &undisturbed));
    killed_after(&place, &arguments(&recipe, &data, &run), &run, 7);
    place.succeed(resumed(arguments(&recipe, &data, &run)));
    // Drop path is drawn anew at each step, and the same again after a kill.
    assert_eq!(timeless(&undisturbed), timeless(&run));

    let (model, out) = (run.join("detector.safetensors"), place.path("results"));
    let eval = ["eval", "--model", text(&model), "--data", text(&data), "--split", "val", "--out", text(&out)];
    place.succeed(eval);
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).expect("a summary")).expect("JSON");
    let auc = summary["datasets"][0]["videos"]["auc"]["value"].as_f64();
    assert!(auc.is_some_and(|auc| auc > 0.9), "{auc:?}");
    // Two frames of a video are one clip.
    assert_eq!(fs::read_to_string(out.join("frames.csv")).expect("scores").lines().count(), 1 + 40);
}

#[test]
fn layer_norm_tuning_changes_the_norms_and_the_head_and_nothing_else() {
    let place = Place::new();
    let (data, out) = (easy_set(&place), place.path("run"));
    place.succeed(arguments(&recipe(&place, "ln", 1), &data, &out));
    let (before, after) = (tensors(&place.detector_of_small_crops()), tensors(&out.join("detector.safetensors")));
    for (name, (_, values)) in &before {
        let trained = name.contains("norm") || name.starts_with("head.");
        assert_eq!(trained, *values != after[name].1, "{name}");
    }
    let adapter = tensors(&out.join("adapter.safetensors"));
    assert!(adapter.keys().all(|name| name.contains("norm") || name.starts_with("head.")));
    // The adapter over what the run started from is the detector.
    let (data, output) = (golden("clip_tiny/reference.safetensors"), place.path("adapted.safetensors"));
    let (adapter, base) = (out.join("adapter.safetensors"), place.detector_of_small_crops());
    let model = ["--model", text(&adapter), "--base", text(&base)];
    place.succeed(["forward", "--input", text(&data), "--output", text(&output)].iter().chain(&model));
    let adapted = tensors(&output)["score"].1.clone();
    place.succeed([
        "forward",
        "--input",
        text(&data),
        "--output",
        text(&output),
        "--model",
        text(&out.join("detector.safetensors")),
    ]);
    assert_eq!(adapted, tensors(&output)["score"].1);
}

/// Starts a run and kills it, as `kill -9` does, once so many steps are in its metrics. Says whether it was still alive.
pub(crate) fn killed_after(place: &Place, arguments: &[&str], out: &Path, steps: usize) -> bool {
    let mut command = place.unmask();
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = command.spawn().expect("the program starts");
    let since = Instant::now();
    let done = || metrics(out).iter().filter(|measure| measure["kind"] == "step").count() >= steps;
    while run.try_wait().expect("its state").is_none() && !done() {
        assert!(since.elapsed() < PATIENCE, "the run hangs");
        std::thread::sleep(Duration::from_millis(1));
    }
    let alive = run.try_wait().expect("its state").is_none();
    run.kill().expect("killed");
    run.wait().expect("its end");
    alive
}

#[test]
fn a_run_killed_ten_times_ends_with_the_weights_of_one_that_was_not() {
    let place = Place::new();
    let (data, recipe) = (easy_set(&place), recipe(&place, "full", 4));
    let undisturbed = place.path("undisturbed");
    place.succeed(arguments(&recipe, &data, &undisturbed));
    let total = metrics(&undisturbed).iter().filter(|measure| measure["kind"] == "step").count();
    assert_eq!(total, 4 * 96 / 16);

    let out = place.path("killed");
    let mut rng = StdRng::seed_from_u64(std::process::id().into());
    let mut steps: Vec<usize> = (0..10).map(|_| rng.random_range(1..total)).collect();
    steps.sort_unstable();
    let mut alive = 0;
    for step in &steps {
        let first = arguments(&recipe, &data, &out);
        let all = if out.exists() { resumed(first) } else { first };
        alive += usize::from(killed_after(&place, &all, &out, *step));
    }
    assert!(alive >= 5, "only {alive} of the runs were killed before their end, at steps {steps:?}");
    place.succeed(resumed(arguments(&recipe, &data, &out)));
    for file in ["detector.safetensors", "best.safetensors"] {
        let same = fs::read(undisturbed.join(file)).expect("a file") == fs::read(out.join(file)).expect("a file");
        assert!(same, "{file} differs after kills at steps {steps:?}");
    }
    assert_eq!(timeless(&undisturbed), timeless(&out), "after kills at steps {steps:?}");
}

/// `arguments` for a run in bf16.
fn in_bf16<'a>(recipe: &'a Path, data: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let mut all = arguments(recipe, data, out);
    all.extend(["--set", "run.precision=bf16"]);
    all
}

/// Fails unless every tensor of a file is f32.
fn assert_in_f32(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
    assert!(!file.is_empty());
    for (name, tensor) in file.iter() {
        assert_eq!(tensor.dtype(), safetensors::Dtype::F32, "{name} of {}", path.display());
    }
}

#[test]
fn a_run_in_bf16_learns_and_resumes_to_the_same_weights_in_f32() {
    let place = Place::new();
    let (data, recipe) = (easy_set(&place), recipe(&place, "full", 14));
    let (undisturbed, out) = (place.path("undisturbed"), place.path("killed"));
    place.succeed(in_bf16(&recipe, &data, &undisturbed));
    let epochs: Vec<Value> = metrics(&undisturbed).into_iter().filter(|measure| measure["kind"] == "epoch").collect();
    let best = epochs.iter().filter_map(|epoch| epoch["validation_auc"].as_f64()).fold(0.0, f64::max);
    assert!(best > 0.99, "validation AUC {best}");

    assert!(killed_after(&place, &in_bf16(&recipe, &data, &out), &out, 5), "the run ended before it was killed");
    for checkpoint in fs::read_dir(out.join("checkpoints")).expect("checkpoints").flatten() {
        assert_in_f32(&checkpoint.path());
    }
    place.succeed(resumed(in_bf16(&recipe, &data, &out)));
    assert_eq!(timeless(&undisturbed), timeless(&out));
    for file in ["detector.safetensors", "best.safetensors"] {
        assert_in_f32(&out.join(file));
        let same = fs::read(undisturbed.join(file)).expect("a file") == fs::read(out.join(file)).expect("a file");
        assert!(same, "{file} differs");
    }
}

#[test]
fn what_a_run_in_bf16_does_not_train_is_written_as_it_was_read() {
    let place = Place::new();
    let (data, out) = (easy_set(&place), place.path("run"));
    place.succeed(in_bf16(&recipe(&place, "ln", 1), &data, &out));
    let (before, after) = (tensors(&place.detector_of_small_crops()), tensors(&out.join("detector.safetensors")));
    for (name, (_, values)) in &before {
        let trained = name.contains("norm") || name.starts_with("head.");
        assert_eq!(trained, *values != after[name].1, "{name}");
    }
}

#[test]
#[cfg(unix)]
fn a_run_stopped_by_a_full_disk_says_so_and_goes_on_when_there_is_space() {
    let place = Place::new();
    let (data, recipe) = (easy_set(&place), recipe(&place, "full", 1));
    let (undisturbed, out) = (place.path("undisturbed"), place.path("full"));
    place.succeed(arguments(&recipe, &data, &undisturbed));
    // The limit on the size of a file stands for a full disk: a write fails in the middle.
    let arguments = arguments(&recipe, &data, &out);
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_unmask")])
        .args(&arguments)
        .output()
        .expect("the shell starts");
    let errors = String::from_utf8_lossy(&limited.stderr).into_owned();
    assert_eq!(limited.status.code(), Some(1), "{errors}");
    assert!(errors.contains("free space") && !errors.contains("panicked"), "{errors}");
    let left: Vec<_> = fs::read_dir(out.join("checkpoints")).expect("the folder").flatten().collect();
    assert!(left.is_empty(), "something half-written is left: {left:?}");
    place.succeed(resumed(arguments));
    let read = |folder: &Path| fs::read(folder.join("detector.safetensors")).expect("a detector");
    assert!(read(&undisturbed) == read(&out), "the weights differ");
}

#[test]
fn what_cannot_be_trained_is_refused_in_one_sentence() {
    let place = Place::new();
    let (data, recipe, out) = (easy_set(&place), recipe(&place, "head", 1), place.path("run"));
    let with = |more: &[&str]| {
        let mut all = arguments(&recipe, &data, &out);
        all.extend(more);
        place.fail(all)
    };
    assert!(with(&["--set", "optimizer.learning_rat=1"]).contains("optimizer.learning_rate"));
    assert!(with(&["--set", "run.batch=4096"]).contains("run.batch"));
    assert!(with(&["--data", text(&place.path("nothing"))]).contains("nothing"));
    let alone = ["train", "--config", text(&recipe), "--out", text(&out)];
    assert!(place.fail(alone).contains("--data"));

    let refusal = with(&["--set", "model.strategy=stan"]);
    assert!(refusal.contains("model.strategy") && refusal.contains("temporal branch"), "{refusal}");

    assert!(with(&["--resume"]).contains("no run to go on with"));
    place.succeed(arguments(&recipe, &data, &out));
    assert!(with(&[]).contains("--resume"));
    let changed = with(&["--resume", "--set", "seed=2", "--set", "run.batch=8"]);
    assert!(changed.contains("recipe has changed (run.batch was 16 and is 8, seed was 1 and is 2)"), "{changed}");
    place.succeed(resumed(arguments(&recipe, &data, &out)));
}

/// The lines of `easy_set`'s manifest that `keep` accepts, in its place.
fn keep_lines(data: &Path, keep: impl Fn(&Value) -> bool) {
    let path = data.join("manifest.jsonl");
    let lines = fs::read_to_string(&path).expect("the manifest");
    let kept = lines.lines().filter(|line| keep(&serde_json::from_str(line).expect("JSON")));
    fs::write(&path, kept.map(|line| format!("{line}\n")).collect::<String>()).expect("the manifest");
}

#[test]
fn one_class_alone_is_not_trained_on_unless_fakes_are_made_of_it() {
    let place = Place::new();
    let (data, recipe, out) = (easy_set(&place), recipe(&place, "head", 1), place.path("run"));
    keep_lines(&data, |line| line["split"] != "train" || line["label"] == "real");
    let refusal = place.fail(arguments(&recipe, &data, &out));
    assert!(refusal.contains("are real") && refusal.contains("data.self_blended=true"), "{refusal}");
    assert!(!out.exists(), "nothing is begun");
    let mut blended = arguments(&recipe, &data, &out);
    blended.extend(["--set", "data.self_blended=true"]);
    place.succeed(blended);
    keep_lines(&data, |line| line["split"] != "train");
    let refusal = place.fail(arguments(&recipe, &data, &place.path("other")));
    assert!(refusal.contains("0 videos to train on"), "{refusal}");
}

/// A CLIP tower of 12.7 million parameters under transformers' names, and the size of its file in bytes.
#[cfg(target_os = "linux")]
fn larger_tower(path: &Path) -> u64 {
    const WIDTH: usize = 512;
    let mut shapes = vec![
        ("embeddings.class_embedding".to_owned(), vec![WIDTH]),
        ("embeddings.patch_embedding.weight".to_owned(), vec![WIDTH, 3, 8, 8]),
        ("embeddings.position_embedding.weight".to_owned(), vec![17, WIDTH]),
    ];
    let mut module = |name: String, shape: Vec<usize>| {
        shapes.push((format!("{name}.bias"), shape[..1].to_vec()));
        shapes.push((format!("{name}.weight"), shape));
    };
    module("pre_layrnorm".to_owned(), vec![WIDTH]);
    module("post_layernorm".to_owned(), vec![WIDTH]);
    for layer in 0..4 {
        for name in ["layer_norm1", "layer_norm2"] {
            module(format!("encoder.layers.{layer}.{name}"), vec![WIDTH]);
        }
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            module(format!("encoder.layers.{layer}.self_attn.{name}"), vec![WIDTH, WIDTH]);
        }
        module(format!("encoder.layers.{layer}.mlp.fc1"), vec![4 * WIDTH, WIDTH]);
        module(format!("encoder.layers.{layer}.mlp.fc2"), vec![WIDTH, 4 * WIDTH]);
    }
    let bytes = |name: &str, count: usize| -> Vec<u8> {
        let is_norm = name.contains("norm") && name.ends_with("weight");
        let value = |index: usize| if is_norm { 1.0 } else { (index as f32 * 0.37).sin() * 0.02 };
        (0..count).flat_map(|index| value(index).to_le_bytes()).collect()
    };
    let stored: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let values = bytes(&name, shape.iter().product());
            (name, shape, values)
        })
        .collect();
    let views = stored.iter().map(|(name, shape, values)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), values);
        (name, view.expect("a view"))
    });
    fs::write(path, safetensors::serialize(views, None).expect("serialised")).expect("written");
    fs::metadata(path).expect("a file").len()
}

#[test]
#[cfg(target_os = "linux")]
fn full_training_holds_the_weights_once_beside_their_gradient_and_moments() {
    let place = Place::new();
    let (data, tower, start) = (easy_set(&place), place.path("tower.safetensors"), place.path("start.safetensors"));
    let weights = larger_tower(&tower);
    let import = ["import", "--from", "hf-clip", "--input", text(&tower), "--output", text(&start)];
    place.succeed(import.iter().chain(&["--heads", "8", "--crop-size", "32"]));
    keep_lines(&data, |line| line["name"].as_str().is_none_or(|name| name.ends_with("_0") || name.ends_with("_1")));
    let (recipe, out) = (recipe_from(&place, &start, "full", 1), place.path("run"));
    let mut arguments = arguments(&recipe, &data, &out);
    arguments.extend(["--set", "run.batch=8", "--set", "run.checkpoint_every=1"]);
    let mut run = place.unmask().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let status = PathBuf::from(format!("/proc/{}/status", run.id()));
    let mut peak = 0;
    while run.try_wait().expect("its state").is_none() {
        let told = fs::read_to_string(&status).unwrap_or_default();
        let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or_default() * 1024);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(run.wait().expect("its end").success());
    // The weights, their gradient and Adam's two moments are four times the weights; the rest is the program.
    assert!(peak > 4 * weights && peak < 8 * weights, "{} MB for {} MB of weights", peak >> 20, weights >> 20);
}
