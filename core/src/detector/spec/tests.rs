use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::*;
use crate::detector::clip::{ClipConfig, HeadKind};
use crate::detector::stan::StanConfig;
use crate::face::alignment::CropGeometry;

fn spec() -> DetectorSpec {
    DetectorSpec {
        version: SPEC_VERSION,
        name: "made-up".to_string(),
        architecture: Architecture::Stan(StanConfig::new(ClipConfig::vit_b_16(HeadKind::OneLayer))),
        low_rank: None,
        quantization: None,
        reference: None,
        input: InputSpec { size: 224, mean: [0.5; 3], std: [0.5; 3], interpolation: Interpolation::Bicubic },
        crop: CropSpec { geometry: CropGeometry::Dfb, size: 256, margin: 1.3 },
        sampling: SamplingSpec { frames: 32, clip_length: Some(8) },
        labels: LABELS.map(str::to_string),
        calibration: Calibration::default(),
        training: Training {
            status: TrainingStatus::Trained,
            summary: "made up".to_string(),
            reliability: Some(Reliability { grade: Grade::Calibrated, words: "made up".to_string() }),
        },
        licence: None,
        base_model: None,
        adapter: Some(AdapterSpec { base_sha256: "0a".repeat(32) }),
    }
}

/// The document with `value` at `path`, whose parts are divided by dots.
fn with(path: &str, value: Value) -> String {
    let mut document = serde_json::to_value(spec()).unwrap();
    let pointer = format!("/{}", path.replace('.', "/"));
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[key] = value;
    document.to_string()
}

#[test]
fn what_is_written_is_read_again() {
    assert_eq!(DetectorSpec::from_json(&spec().to_json().unwrap()).unwrap(), spec());
}

#[test]
fn every_field_out_of_its_bounds_is_refused_by_its_name() {
    let wrong: &[(&str, &[Value])] = &[
        ("version", &[json!(0), json!(2)]),
        ("name", &[json!(""), json!("  "), json!("a\nb"), json!("\u{1b}[2J"), json!(5)]),
        ("input.size", &[json!(0), json!(225), json!(100_000), json!(-1), json!("224")]),
        ("input.mean", &[json!([0.5, 0.5, 1e39]), json!([127.5, 127.5, 127.5]), json!([-0.1, 0, 0]), json!([0, 0])]),
        ("input.std", &[json!([1, 0, 1]), json!([1, 1, -1]), json!([127.5, 1, 1]), json!([1e-30, 1, 1]), json!(null)]),
        ("input.interpolation", &[json!("magic")]),
        ("crop.geometry", &[json!("square")]),
        ("crop.size", &[json!(0), json!(7), json!(100_000)]),
        ("crop.margin", &[json!(0), json!(-1), json!(4.1), json!(1e39), json!(null)]),
        ("sampling.frames", &[json!(0), json!(10_001)]),
        ("sampling.clip_length", &[json!(0), json!(1), json!(7), json!(null)]),
        ("labels", &[json!(["fake", "real"]), json!(["real"]), json!(["real", "synthetic"]), json!(["real", "real"])]),
        ("calibration.temperature", &[json!(0), json!(-1), json!(1e-30), json!(1e30), json!(1e39), json!(null)]),
        ("calibration.real_below", &[json!(-0.1), json!(0.9), json!(1.1), json!(null)]),
        ("calibration.fake_above", &[json!(1.1), json!(1e39), json!("high")]),
        ("calibration.uncertain_above", &[json!(0.5), json!(-0.1), json!(1.1), json!("low")]),
        ("training.status", &[json!("excellent")]),
        ("training.summary", &[json!("a\u{7}"), json!(null)]),
        ("training.reliability.grade", &[json!("untrained"), json!("certain")]),
        ("training.reliability.words", &[json!(" "), json!("a\r\nb")]),
        ("licence", &[json!("MIT\n")]),
        ("base_model", &[json!("a\tb.pth")]),
        ("adapter.base_sha256", &[json!(""), json!("0A".repeat(32)), json!("0g".repeat(32)), json!("0a".repeat(33))]),
        ("architecture.clip_length", &[json!(0), json!(65)]),
        ("architecture.drop_path", &[json!(1), json!(-0.1)]),
        ("architecture.branch_depth", &[json!(0), json!(13)]),
        ("architecture.clip.image_size", &[json!(0), json!(1_000_000)]),
        ("architecture.clip.heads", &[json!(0), json!(7)]),
    ];
    for (path, values) in wrong {
        let parts: Vec<&str> = path.split('.').collect();
        for value in *values {
            let error = DetectorSpec::from_json(&with(path, value.clone())).expect_err(path);
            let said = error.to_string();
            let names = parts.iter().skip(usize::from(parts.len() > 1)).any(|part| said.contains(part));
            assert!(names || parts[0] == "architecture" && said.contains("`architecture`"), "{path} = {value}: {said}");
        }
    }
}

#[test]
fn thresholds_that_leave_one_verdict_only_or_are_in_the_wrong_order_are_refused() {
    for (real_below, fake_above, is_refused) in
        [(0.9, 0.1, true), (1.0, 1.0, true), (0.0, 0.0, true), (0.5, 0.5, false), (0.0, 1.0, false)]
    {
        let calibration = Calibration { real_below, fake_above, ..Calibration::default() };
        let checked = DetectorSpec { calibration, ..spec() }.check();
        assert_eq!(checked.is_err(), is_refused, "{real_below} {fake_above}: {checked:?}");
    }
}

#[test]
fn a_limit_of_uncertainty_is_for_models_that_say_it_and_one_half_where_it_is_absent() {
    use crate::detector::dicome::DicomeConfig;
    let clip = ClipConfig::vit_b_16(HeadKind::OneLayer);
    let architecture = Architecture::Dicome(DicomeConfig { clip, features: 64, latent: 32, inside: 32, head: 32 });
    let sampling = SamplingSpec { frames: 32, clip_length: None };
    let of = |uncertain_above| {
        let calibration = Calibration { uncertain_above, ..Calibration::default() };
        let document = DetectorSpec {
            architecture: architecture.clone(),
            sampling: sampling.clone(),
            adapter: None,
            calibration,
            ..spec()
        };
        DetectorSpec::from_json(&document.to_json()?).map(|read| read.calibration.uncertainty_limit())
    };
    assert_eq!((of(None).unwrap(), of(Some(0.25)).unwrap(), of(Some(1.0)).unwrap()), (0.5, 0.25, 1.0));
    for wrong in [-0.1, 1.5, f32::NAN] {
        let error = of(Some(wrong)).expect_err("refused").to_string();
        assert!(error.contains("`calibration.uncertain_above`"), "{error}");
    }
    assert!(!spec().to_json().unwrap().contains("uncertain_above"), "files of other models read as before");
}

#[test]
fn an_unknown_field_is_refused_wherever_it_stands() {
    for path in
        ["flip", "input.flip", "crop.flip", "sampling.flip", "calibration.flip", "training.flip", "architecture.flip"]
    {
        let error = DetectorSpec::from_json(&with(path, json!(true))).expect_err(path).to_string();
        assert!(error.contains("`flip`"), "{error}");
    }
}

#[test]
fn what_is_no_number_in_json_is_refused_by_the_field_it_stands_in() {
    let text = spec().to_json().unwrap();
    for (field, from, to) in [
        ("real_below", "\"real_below\":0.35", "\"real_below\":NaN"),
        ("temperature", "\"temperature\":1.0", "\"temperature\":Infinity"),
        ("std", "\"std\":[0.5,", "\"std\":[NaN,"),
        ("margin", "\"margin\":1.3", "\"margin\":-NaN"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        let error = DetectorSpec::from_json(&changed).expect_err(field).to_string();
        assert!(error.contains(&format!("`{field}`")), "{error}");
    }
}

#[test]
fn a_later_version_is_called_so_whatever_else_it_holds() {
    let text = with("version", json!(2)).replacen('{', "{\"news\":[],", 1);
    let error = DetectorSpec::from_json(&text).expect_err("another version").to_string();
    assert!(error.contains("`version` is 2"), "{error}");
}

#[test]
fn nothing_is_written_that_cannot_be_read() {
    assert!(DetectorSpec { name: "a\nb".to_string(), ..spec() }.to_json().is_err());
}

#[test]
fn a_trained_detector_whose_file_does_not_say_what_it_is_worth_is_uncalibrated() {
    let worth = |status| Training { status, summary: String::new(), reliability: None }.reliability().grade;
    assert_eq!(worth(TrainingStatus::Trained), Grade::Uncalibrated);
    assert_eq!(worth(TrainingStatus::Imported), Grade::Uncalibrated);
    assert_eq!(worth(TrainingStatus::Untrained), Grade::Untrained);
    let mut older = serde_json::to_value(spec()).unwrap();
    older["training"].as_object_mut().unwrap().remove("reliability");
    let older = DetectorSpec::from_json(&older.to_string()).expect("files without the field are read");
    assert_eq!(older.training.reliability().grade, Grade::Uncalibrated);
}

#[test]
fn random_weights_are_worth_nothing_whatever_their_file_says() {
    let stated = Reliability { grade: Grade::Calibrated, words: "believe me".to_string() };
    let training = Training { status: TrainingStatus::Untrained, summary: String::new(), reliability: Some(stated) };
    assert_eq!(training.reliability().grade, Grade::Untrained);
}
