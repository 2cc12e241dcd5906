//! `unmask compare` trains, loads and measures several detectors alike, and does nothing twice.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::shared_data::shared_data;
use crate::support::{Place, text};
use crate::training::{arguments, easy_set, recipe_from};

/// The clips of each split, real and generated: short ones.
const CLIPS: [(&str, [&str; 3], [&str; 3]); 3] = [
    ("train", ["real_28", "real_29", "real_30"], ["sadtalker_01", "sadtalker_07", "vasa1_02"]),
    ("val", ["real_31", "real_32", "real_33"], ["sadtalker_04", "omnihuman_05", "vasa1_03"]),
    ("test", ["real_41", "real_43", "real_45"], ["sadtalker_08", "omnihuman_06", "styletalk_01"]),
];

/// Faces of real clips as the tiny detector cuts them; `None`, said aloud, where the clips are absent.
fn faces(place: &Place) -> Option<PathBuf> {
    let (videos, crops, detector) = (place.path("videos"), place.path("faces"), place.detector_of_small_crops());
    for (split, reals, fakes) in CLIPS {
        for (label, folder, names) in [("real", "clips-real", reals), ("fake", "clips-generated", fakes)] {
            let target = videos.join(split).join(label);
            fs::create_dir_all(&target).expect("a folder");
            for name in names {
                let clip = shared_data(&format!("{folder}/{name}.mp4"))?;
                fs::copy(clip, target.join(format!("{name}.mp4"))).expect("copied");
            }
        }
    }
    let preprocess = ["preprocess", "--input", text(&videos), "--output", text(&crops), "--for", text(&detector)];
    place.succeed(preprocess.iter().chain(&["--frames", "4"]));
    Some(crops)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// Each file below `folder` with its contents' time of change.
fn times(folder: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut found: Vec<_> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.expect("listed"))
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let time = entry.metadata().expect("metadata").modified().expect("a time");
            (entry.into_path(), time)
        })
        .collect();
    found.sort();
    found
}

const CONFIG: &str = "
    [data]
    train = ['faces']
    [[method]]
    name = 'Tiny, trained'
    recipe = 'ln.toml'
    set = ['run.epochs=2', 'run.batch=4']
    [[method]]
    name = 'Tiny'
    model = 'loaded.safetensors'
    [[method]]
    name = 'Gone'
    model = 'gone.safetensors'
    [[evaluate]]
    name = 'Clips'
    path = 'faces'
    [[evaluate]]
    name = 'Absent'
    path = 'absent'
";

#[test]
fn detectors_are_trained_or_loaded_and_measured_alike_and_what_is_not_there_is_said() {
    let place = Place::new();
    if faces(&place).is_none() {
        return;
    }
    let (config, out, loaded) = (place.path("compare.toml"), place.path("out"), place.path("loaded.safetensors"));
    fs::copy(place.detector_of_small_crops(), &loaded).expect("copied");
    recipe_from(&place, &place.detector_of_small_crops(), "ln", 1);
    fs::write(&config, CONFIG).expect("the configuration");
    let compare = ["compare", text(&config), "--out", text(&out), "--device", "cpu", "--batch", "2"];
    let run = |more: &[&str]| {
        let output = place.run(compare.iter().chain(more));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "something is missing: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        errors
    };
    let errors = run(&[]);
    assert!(errors.contains("warning: Gone: ") && errors.contains("warning: Tiny on Absent: "), "{errors}");

    let document = fs::read_to_string(out.join("comparison.md")).expect("tables");
    let row = |name: &str| document.lines().find(|line| line.starts_with(&format!("| {name} |"))).expect("a row");
    assert!(row("Tiny, trained").contains("| no data |") && row("Tiny").contains("| no data |"), "{document}");
    assert_eq!(row("Gone"), "| Gone | not there | not there | not there |", "{document}");
    assert!(document.contains("- Clips, split test: 3 real and 3 fake videos of "), "{document}");
    assert!(document.contains("- Gone: not there: ") && document.contains("- Absent: no data: "), "{document}");
    let svg = fs::read_to_string(out.join("auc.svg")).expect("a figure");
    assert!(svg.contains("Tiny, trained") && svg.contains("no data"), "{svg}");

    // What is measured is what `unmask eval` measures.
    let compared = json(&out.join("comparison.json"));
    let (trained, evaluation) = (out.join("tiny-trained/detector.safetensors"), place.path("evaluation"));
    for (index, model) in [&trained, &loaded].into_iter().enumerate() {
        let data = place.path("faces");
        place.succeed(["eval", "--model", text(model), "--data", text(&data), "--out", text(&evaluation)]);
        let measured = &compared["methods"][index]["measured"][0]["found"]["figures"];
        let expected = &json(&evaluation.join("summary.json"))["datasets"][0]["videos"];
        for figure in ["auc", "average_precision", "equal_error_rate"] {
            assert_eq!(measured[figure]["value"], expected[figure]["value"], "{figure} of {}", model.display());
        }
    }
    let [one, other] = [0, 1].map(|index: usize| &compared["methods"][index]["efficiency"]);
    let info: Value = serde_json::from_str(&place.succeed(["info", text(&loaded), "--json"])).expect("JSON");
    assert_eq!((&one["parameters"], &one["trained"]), (&info["parameters"], &info["trainable"]["ln"]), "{one}");
    assert!(other["trained"].is_null() && document.contains("- Tiny, trained parameters: "), "{document}");
    assert!(one["speed"]["found"]["images_per_second"].as_f64().is_some_and(|speed| speed > 0.0), "{one}");
    assert_eq!(one["speed"]["found"]["batch"], 2);
    #[cfg(unix)]
    assert!(one["speed"]["found"]["peak_memory"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{one}");

    // Nothing is done twice, and another detector in the place of one is measured anew.
    let (runs, results) = (times(&out.join("tiny-trained")), times(&out.join("results")));
    let errors = run(&[]);
    assert_eq!(errors.matches("measured before").count(), 2, "{errors}");
    assert_eq!((times(&out.join("tiny-trained")), times(&out.join("results"))), (runs, results.clone()));
    assert_eq!(fs::read_to_string(out.join("comparison.md")).expect("tables"), document);
    let other = place.redescribed(&loaded, "other.safetensors", |description| description["name"] = "other".into());
    fs::rename(other, &loaded).expect("renamed");
    let errors = run(&[]);
    assert_eq!(errors.matches("measured before").count(), 1, "{errors}");
    let changed = times(&out.join("results"));
    let changed: Vec<&PathBuf> = changed.iter().filter(|file| !results.contains(file)).map(|(path, _)| path).collect();
    assert!(
        !changed.is_empty() && changed.iter().all(|path| path.starts_with(out.join("results/tiny"))),
        "{changed:?}"
    );

    let before = fs::read(&trained).expect("a detector");
    let errors = run(&["--fresh"]);
    assert!(!errors.contains("measured before"), "{errors}");
    assert!(before == fs::read(&trained).expect("a detector"), "the same recipe gives the same weights");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_a_comparison_that_the_same_command_goes_on_with_to_the_same_weights() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use crate::support::PATIENCE;
    use crate::training::metrics;

    let place = Place::new();
    let (data, undisturbed, out) = (easy_set(&place), place.path("undisturbed"), place.path("out"));
    let recipe = recipe_from(&place, &place.detector_of_small_crops(), "full", 30);
    place.succeed(arguments(&recipe, &data, &undisturbed));
    let config = place.path("compare.toml");
    let of = |set: &str| {
        format!(
            "data.train = ['crops']\n[[method]]\nname = 'Tiny'\nrecipe = 'full.toml'\nset = [{set}]\n\
             [[evaluate]]\nname = 'Easy'\npath = 'crops'\nsplit = 'val'\n"
        )
    };
    fs::write(&config, of("")).expect("the configuration");
    let compare = ["compare", text(&config), "--out", text(&out), "--device", "cpu"];
    let mut run = place.unmask().args(compare).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let (since, folder) = (Instant::now(), out.join("tiny"));
    while metrics(&folder).iter().filter(|measure| measure["kind"] == "step").count() < 3 {
        assert!(since.elapsed() < PATIENCE && run.try_wait().expect("its state").is_none(), "no step was taken");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("kill runs").success());
    assert_eq!(run.wait().expect("its end").code(), Some(130));
    assert!(!out.join("comparison.md").exists() && !folder.join("detector.safetensors").exists());

    let printed = place.succeed(compare);
    assert!(printed.contains("| Tiny | ") && printed.contains("written to"), "{printed}");
    let read = |folder: &Path| fs::read(folder.join("detector.safetensors")).expect("a detector");
    assert!(read(&undisturbed) == read(&folder), "the weights differ");

    // Another recipe is another detector, which this folder does not hold.
    fs::write(&config, of("'seed=7'")).expect("the configuration");
    assert_eq!(place.run(compare).status.code(), Some(1));
    let document = fs::read_to_string(out.join("comparison.md")).expect("tables");
    assert!(document.contains("- Tiny: failed: ") && document.contains("seed was 1 and is 7"), "{document}");
}

#[test]
fn a_configuration_that_compares_nothing_is_refused_in_one_sentence() {
    let place = Place::new();
    let (config, out) = (place.path("compare.toml"), place.path("out"));
    let with = |text_of: &str| {
        fs::write(&config, text_of).expect("the configuration");
        place.fail(["compare", text(&config), "--out", text(&out)])
    };
    assert!(with("").contains("[[method]]"));
    let unknown = with(&CONFIG.replace("recipe =", "recipes ="));
    assert!(unknown.contains("compare.toml") && unknown.contains("line 6") && unknown.contains("recipes"), "{unknown}");
    assert!(with(&CONFIG.replace("'Gone'", "'TINY'")).contains("told apart"));
    assert!(!out.exists(), "nothing is begun");
}
