//! What a detector's file says that the detector answers to a test picture.

use std::path::Path;

use burn::prelude::*;
use unmask::detector_file::{self, Source};
use unmask_core::detector::reference;
use unmask_core::detector::spec::Reference;

use crate::kinds::fresh;
use crate::support::{Place, text};
use crate::training::{arguments, easy_set, recipe_from};

/// The reference in a file, and what the detector in it answers to the picture.
fn said_and_answered(model: &Path) -> (Option<Reference>, Vec<f32>) {
    let loaded = detector_file::load_whole(&Source::File(model.to_owned()), &Device::flex()).expect("loads");
    let detector = loaded.detector;
    (detector.spec().reference, reference::answer(&detector).expect("an answer"))
}

fn assert_answers_so(model: &Path) {
    let (said, answered) = said_and_answered(model);
    let said = said.unwrap_or_else(|| panic!("{} has no reference", model.display()));
    let furthest = said.logits.iter().zip(&answered).map(|(said, found)| (said - found).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-4, "{}: {said:?}, and it answers {answered:?}", model.display());
}

#[test]
fn trained_calibrated_and_published_detectors_say_what_they_answer_and_others_do_not() {
    let place = Place::new();
    let architecture = serde_json::json!({
        "kind": "clip", "image_size": 32, "patch_size": 8, "width": 48, "depth": 1, "heads": 2, "mlp": 96, "head": "1mlp"
    });
    let (start, data, run) = (fresh(&place, "start", &architecture), easy_set(&place), place.path("run"));
    assert_eq!(said_and_answered(&start).0, None);
    place.succeed(arguments(&recipe_from(&place, &start, "ln", 2), &data, &run));
    let trained = run.join("detector.safetensors");
    assert_answers_so(&trained);

    // Another description, the same weights.
    let calibrated = place.path("calibrated.safetensors");
    let split = ["--split", "train", "--calibrate", text(&calibrated)];
    let out = place.path("out");
    place.succeed(["eval", "--model", text(&trained), "--data", text(&data), "--out", text(&out)].iter().chain(&split));
    assert_answers_so(&calibrated);

    // Other weights: those of before do not answer for them.
    let (halved, named) = (place.path("halved.safetensors"), place.path("named.safetensors"));
    let quantize = |from: &Path, to: &Path, more: &[&str]| {
        place.succeed(["quantize", "--model", text(from), "--dtype", "f16", "--output", text(to)].iter().chain(more));
    };
    quantize(&trained, &halved, &[]);
    assert_answers_so(&halved);
    assert_ne!(said_and_answered(&halved).0, said_and_answered(&trained).0);
    // What is published is given one.
    quantize(&start, &named, &["--name", "published"]);
    assert_answers_so(&named);
    // An adapter answers nothing by itself.
    let spec = Source::File(run.join("adapter.safetensors"));
    let spec = spec.read_spec(&spec.open().expect("opens")).expect("a description");
    assert!(spec.adapter.is_some() && spec.reference.is_none());
}

#[test]
fn the_bundled_detector_answers_as_its_file_says() {
    let loaded = detector_file::load_whole(&Source::Bundled, &Device::flex()).expect("loads");
    let detector = loaded.detector;
    let said = detector.spec().reference.expect("a reference");
    let answered = reference::answer(&detector).expect("an answer");
    assert!(
        said.logits.iter().zip(&answered).all(|(said, found)| (said - found).abs() < 1e-3),
        "{said:?} {answered:?}"
    );
}
