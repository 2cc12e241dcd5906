//! Detectors of clips: made, run on given pixels, and scoring videos.

use serde_json::Value;

use crate::compare::relative_error;
use crate::support::{Place, golden, tensors, text};

/// The relative error that f32 arithmetic in another order may make.
const TOLERANCE: f32 = 1e-5;

#[test]
fn forward_gives_one_row_a_clip_and_the_reference_outputs() {
    let place = Place::new();
    let (input, expected) = (golden("stan_reference.safetensors"), tensors(&golden("stan_reference.safetensors")));
    for module in ["attention", "conv"] {
        let (model, output) = (golden(&format!("stan_{module}.safetensors")), place.path("out.safetensors"));
        for batch in ["1", "8", "64"] {
            let paths = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
            place.succeed(["forward"].iter().chain(&paths).chain(&["--batch", batch]));
            let actual = tensors(&output);
            assert_eq!((&actual["logits"].0, &actual["score"].0), (&vec![2, 2], &vec![2]));
            for name in ["features", "logits"] {
                let error = relative_error(&actual[name].1, &expected[&format!("{module}.t8.{name}")].1);
                assert!(error < TOLERANCE, "{module}: {name} are off by {error}");
            }
        }
    }
}

#[test]
fn forward_refuses_single_frames_and_says_how_long_the_clips_are() {
    let place = Place::new();
    let (model, output) = (golden("stan_conv.safetensors"), place.path("out.safetensors"));
    let input = golden("clip_tiny/reference.safetensors");
    let paths = ["--model", text(&model), "--input", text(&input), "--output", text(&output)];
    let sentence = place.fail(["forward"].iter().chain(&paths));
    assert!(sentence.contains("[B, 8, 3, 16, 16]"), "{sentence}");
}

/// A video in which a photograph's face can be found; `None`, said aloud, where the clip is absent.
fn score(place: &Place, frames: &str) -> Option<Value> {
    let clip = crate::support::clip("real_liveportrait_d5.mp4")?;
    let model = golden("stan_attention.safetensors");
    let report = place.succeed(["score", text(&clip), "--model", text(&model), "--frames", frames, "--json"]);
    Some(serde_json::from_str(&report).expect("JSON"))
}

#[test]
fn a_video_scores_by_clips_whose_frames_share_a_score() {
    let place = Place::new();
    let Some(report) = score(&place, "12") else { return };
    let scores: Vec<f64> =
        (0..12).map(|i| report["frames"][i]["faces"][0]["score"].as_f64().expect("a score")).collect();
    assert!(scores[..8].iter().all(|score| *score == scores[0]), "{scores:?}");
    assert!(scores[8..].iter().all(|score| *score == scores[8] && *score != scores[0]), "{scores:?}");
    let mean = (scores[0] + scores[8]) / 2.0;
    assert!((report["score"].as_f64().expect("a score") - mean).abs() < 1e-6, "the mean over clips");
}

#[test]
fn a_video_shorter_than_a_clip_still_scores() {
    let place = Place::new();
    let Some(report) = score(&place, "5") else { return };
    assert_eq!(report["video"]["frames_sampled"], 5);
    assert!(report["score"].is_number(), "{report}");
}

#[test]
fn an_imported_tower_with_a_fresh_branch_is_an_untrained_detector_of_clips() {
    let place = Place::new();
    let (input, head) = (golden("clip_tiny/model.safetensors"), golden("clip_tiny/head1.safetensors"));
    let output = place.path("stan.safetensors");
    let import = ["import", "--from", "hf-clip", "--input", text(&input), "--head", text(&head)];
    let branch = ["--clip-length", "4", "--branch-depth", "2", "--time-module", "conv", "--output", text(&output)];
    assert!(place.succeed(import.iter().chain(&branch)).contains("untrained"));
    let table = place.succeed(["info", text(&output)]);
    for expected in ["STAN branch of 2 layers", "clips of 4 frames mixed by conv", "32 in clips of 4", "untrained"] {
        assert!(table.contains(expected), "no {expected} in {table}");
    }
    let made = tensors(&output);
    assert_eq!(made["branch.layers.1.spatial.mlp.fc1.weight"], made["tower.layers.1.mlp.fc1.weight"]);
    assert!(made["branch.layers.0.temporal.fc.weight"].1.iter().all(|value| *value == 0.0));
    assert_eq!(made["head.layers.0.weight"].1, tensors(&head)["model.linear.weight"].1);
}

#[test]
fn bench_measures_a_detector_of_clips_frame_by_frame() {
    let model = golden("stan_attention.safetensors");
    let table = Place::new().succeed(["bench", "--model", text(&model), "--repeat", "1", "--batch", "2"]);
    assert!(table.contains("stan-tiny-attention with preprocessing, batch 8"), "{table}");
}
