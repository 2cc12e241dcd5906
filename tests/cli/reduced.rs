//! The thesis's methods at reduced size beside each other, by `unmask compare`: takes long, so it runs by hand.
//!
//! ```sh
//! UNMASK_COMPARISON=comparison UNMASK_DFDC=/data/DeepFake-Detection \
//!     cargo test -p unmask --test cli -- --ignored reduced --nocapture
//! ```
//!
//! `UNMASK_COMPARISON` is where everything is kept, so that an interrupted comparison goes on; `UNMASK_DFDC` is a folder with faces of
//! the DFDC as they are published (`faces_224`, `metadata.csv`), without which the methods learn from photographs alone.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kinds::fresh_of_crops;
use crate::shared_data::shared_data;
use crate::support::{Place, people, text};

/// Side of the crops and of every detector's input.
const SIDE: usize = 64;
/// How much wider than the bare face crops are: as tight as the DFDC's faces are published.
const MARGIN: f32 = 0.8;
/// People of photographs whose faces are blended.
const PEOPLE: usize = 800;
/// Frames of each clip that are measured.
const FRAMES: &str = "8";
/// How often each method sees everything.
const EPOCHS: usize = 8;

fn clip() -> Value {
    json!({ "image_size": SIDE, "patch_size": 8, "width": 96, "depth": 6, "heads": 3, "mlp": 192, "head": "1mlp" })
}

fn efficientnet() -> Value {
    let stage = |[repeats, kernel, stride, expansion, channels]: [usize; 5]| json!({ "repeats": repeats, "kernel": kernel, "stride": stride, "expansion": expansion, "channels": channels });
    let stages = [[1, 3, 1, 1, 16], [2, 3, 2, 6, 24], [2, 5, 2, 6, 40], [2, 3, 2, 6, 64]].map(stage);
    json!({
        "image_size": SIDE, "variant": "squeeze-excite", "stem": 16, "width": 128, "head": "1mlp", "stages": stages
    })
}

fn tall(graph_nodes: Option<usize>) -> Value {
    let swin = json!({
        "image_size": SIDE, "patch_size": 4, "width": 32, "depths": [2, 2, 2], "heads": [2, 4, 8],
        "windows": [8, 8, 4], "mlp_ratio": 2
    });
    let mut tall = json!({ "kind": "tall", "head": "1mlp", "drop_path": 0.0, "hidden": 9, "swin": swin });
    if let Some(nodes) = graph_nodes {
        tall["graph_nodes"] = json!(nodes);
    }
    tall
}

/// Name, architecture, and what its recipe has beside the others'.
fn methods() -> Vec<(&'static str, Value, &'static str)> {
    let batch = "model.statistics = 'batch'\nmodel.statistics_momentum = 0.1";
    let with_kind = |kind: &str, mut sizes: Value| {
        sizes["kind"] = json!(kind);
        sizes
    };
    let stan = json!({
        "kind": "stan", "clip": clip(), "branch_depth": 2, "clip_length": 4, "time_module": "attention", "drop_path": 0.1
    });
    let timesformer = json!({
        "kind": "timesformer", "backbone": efficientnet(), "clip_length": 4, "layers": 1, "heads": 4, "mlp": 256,
        "dropout": 0.1
    });
    let xception = json!({
        "kind": "xception", "image_size": SIDE, "stem": [16, 24], "entry": [48, 96], "middle": 2, "exit": 128,
        "last": [160, 192], "head": "1mlp"
    });
    let udd = json!({ "kind": "udd", "clip": clip(), "projection": 64, "temperature": 0.1, "mixed": 0.3 });
    vec![
        ("CLIP", with_kind("clip", clip()), ""),
        ("CLIP-STAN", stan, ""),
        ("EfficientNet", with_kind("efficientnet", efficientnet()), batch),
        ("EfficientNet + TimeSformer", timesformer, batch),
        ("Xception", xception, batch),
        ("TALL", tall(None), ""),
        ("TALL++", tall(Some(16)), "model.statistics = 'batch'\nloss.penalties = { consistency = 0.1 }"),
        ("UDD", udd, "loss.penalties = { contrast = 0.1, divergence = 0.1 }"),
    ]
}

/// A folder of links to the clips of a folder of shared data, by their labels; `None` where they are absent.
fn labelled(place: &Place, name: &str, clips: &[(&str, &str, &str)]) -> Option<PathBuf> {
    let root = place.path(name);
    for (label, folder, part) in clips {
        let target = root.join("test").join(label);
        fs::create_dir_all(&target).expect("a folder");
        for entry in fs::read_dir(shared_data(folder)?).expect("listed") {
            let path = entry.expect("an entry").path();
            let file = path.file_name().expect("a name").to_string_lossy().into_owned();
            if file.contains(part) && file.ends_with(".mp4") {
                fs::copy(&path, target.join(&file)).expect("copied");
            }
        }
    }
    Some(root)
}

fn cut(place: &Place, input: &Path, output: &str, detector: &Path, more: &[&str]) -> PathBuf {
    let output = place.path(output);
    let arguments = ["preprocess", "--input", text(input), "--output", text(&output), "--for", text(detector)];
    place.succeed(arguments.iter().chain(more));
    output
}

/// One `[[evaluate]]` of the configuration.
fn evaluate(name: &str, path: &Path, more: &str) -> String {
    format!("[[evaluate]]\nname = '{name}'\npath = '{}'\n{more}\n", text(path))
}

#[test]
#[ignore = "takes long; run by hand as the file says"]
fn the_methods_of_the_thesis_at_reduced_size_are_compared_to_the_end() {
    let place = std::env::var_os("UNMASK_COMPARISON").map_or_else(Place::new, |folder| Place::lasting(folder.into()));
    let out = place.path("comparison");
    let first = fresh_of_crops(&place, "first", &methods()[0].1, MARGIN);
    let Some(photographs) = people(&place, PEOPLE) else { return };
    let photographs = cut(&place, &photographs, "lfw", &first, &["--layout", "faces", "--faces", "centre"]);
    let dfdc = std::env::var_os("UNMASK_DFDC").map(|folder| cut(&place, Path::new(&folder), "dfdc", &first, &[]));
    let pairs = [("real", "pairs", "_real"), ("fake", "pairs", "_fake")];
    let generated = [("real", "clips-real", ""), ("fake", "clips-generated", "")];
    let Some(pairs) = labelled(&place, "pairs", &pairs) else { return };
    let Some(generated) = labelled(&place, "generated", &generated) else { return };
    let frames = ["--frames", FRAMES];
    let pairs = cut(&place, &pairs, "pairs-faces", &first, &frames);
    let generated = cut(&place, &generated, "generated-faces", &first, &frames);
    let roots: Vec<String> = dfdc.iter().chain([&photographs]).map(|root| format!("'{}'", text(root))).collect();
    let mut config = format!("[data]\ntrain = [{}]\n", roots.join(", "));
    for (index, (name, architecture, more)) in methods().into_iter().enumerate() {
        let start = fresh_of_crops(&place, &format!("start-{index}"), &architecture, MARGIN);
        let recipe = place.path(&format!("recipe-{index}.toml"));
        let written = format!(
            "name = 'method-{index}'\nmodel.start = '{}'\nmodel.strategy = 'full'\n{more}\n\
             data.pairs = true\ndata.self_blended = 0.3\ndata.frames_per_video = 1\ndata.validation_frames = 1\n\
             data.balance = 'none'\noptimizer.kind = 'adamw'\noptimizer.learning_rate = 1e-3\noptimizer.clip_norm = 5.0\n\
             schedule.kind = 'cosine'\nschedule.minimum = 1e-5\nschedule.warm_up_steps = 50\nrun.epochs = {EPOCHS}\nrun.batch = 32\n",
            text(&start)
        );
        fs::write(&recipe, written).expect("a recipe");
        config += &format!("[[method]]\nname = '{name}'\nrecipe = '{}'\n", text(&recipe));
    }
    config += &dfdc.map_or(String::new(), |dfdc| evaluate("DFDC faces", &dfdc, ""));
    config += &evaluate("LFW, self-blended", &photographs, "self_blended = true");
    config += &evaluate("Swap pairs", &pairs, "split = 'all'");
    config += &evaluate("Generated talkers", &generated, "split = 'all'");
    let file = place.path("compare.toml");
    fs::write(&file, config).expect("the configuration");
    place.succeed(["compare", text(&file), "--out", text(&out), "--device", "cpu"]);
    let tables = fs::read_to_string(out.join("comparison.md")).expect("tables");
    println!("{tables}");
    for (name, ..) in methods() {
        assert!(tables.contains(&format!("| {name} |")), "{name}");
    }
    assert!(!tables.contains("no data") && !tables.contains("not there"), "{tables}");
}
