//! What a page makes of somebody else's checkpoint is what the program makes of it, byte for byte.

use unmask_core::detector::formats::{self, Conversion, Hints, Particulars};
use unmask_core::weights::{SafetensorsFile, TensorSource, WeightsError};

use crate::support::{Place, golden, text};

/// Format, checkpoint, its attention heads, and of one that takes any the side of its input.
const CHECKPOINTS: [(&str, &str, &str, Option<&str>); 8] = [
    ("gend", "gend_tiny", "2", None),
    ("gend-pe", "pe_tiny", "2", None),
    ("gend-dinov3", "dinov3_tiny", "2", Some("24")),
    ("gend-dinov3", "dinov3_gated_tiny", "2", Some("24")),
    ("commfor", "vit_tiny", "3", None),
    ("fs-vfm", "vit_average_tiny", "2", None),
    ("effort", "effort_tiny", "2", None),
    ("dicome", "dicome_tiny", "2", None),
];

#[test]
fn a_checkpoint_is_converted_tensor_by_tensor_as_the_program_converts_it() {
    let place = Place::new();
    for (format, name, heads, side) in CHECKPOINTS {
        let (input, whole, half) =
            (golden(&format!("{name}.safetensors")), place.path("whole.safetensors"), place.path("half.safetensors"));
        let mut import =
            vec!["import", "--from", format, "--input", text(&input), "--heads", heads, "--name", "a name"];
        import.extend(["--licence", "MIT", "--output", text(&whole)]);
        import.extend(side.iter().flat_map(|side| ["--input-size", side]));
        place.succeed(import);
        place.succeed(["quantize", "--model", text(&whole), "--dtype", "f16", "--output", text(&half)]);

        let bytes = std::fs::read(&input).expect("read");
        let file = SafetensorsFile::open(bytes.as_slice()).expect("safetensors");
        let known = formats::by_name(format).expect(format);
        let hints = Hints {
            heads: heads.parse().ok(),
            image_size: side.and_then(|side| side.parse().ok()),
            ..Hints::default()
        };
        let particulars = Particulars {
            name: "a name".to_owned(),
            licence: Some("MIT".to_owned()),
            file: Some(format!("{name}.safetensors")),
            crop: formats::usual_crop(known),
            uncertain_above: None,
        };
        let mut conversion = Conversion::new(file, known, &hints, particulars).expect(name);
        let mut converted = conversion.layout().header().to_vec();
        for index in 0.. {
            let Some(tensor) = conversion.tensor(index).expect(name) else { break };
            converted.extend(tensor);
        }
        assert_eq!(converted.len() as u64, conversion.layout().size(), "{name}");
        assert!(converted == std::fs::read(&half).expect("read"), "{name} becomes another file");
    }
}

/// The format of the checkpoint of this name among the goldens, by the names of its tensors.
fn detected(name: &str) -> Result<&'static str, WeightsError> {
    let bytes = std::fs::read(golden(&format!("{name}.safetensors"))).expect("read");
    let names = SafetensorsFile::open(bytes.as_slice()).expect("safetensors").names();
    formats::detect(&names).map(|format| format.name())
}

#[test]
fn a_whole_detector_s_format_is_known_by_the_names_of_its_tensors() {
    for (format, name, ..) in CHECKPOINTS {
        assert_eq!(detected(name).expect(name), format);
    }
    for (format, name) in [
        ("deepfakebench-xception", "xception_tiny"),
        ("deepfakebench-effnb4", "efficientnet_b4_tiny"),
        ("tall", "tall_tiny"),
    ] {
        assert_eq!(detected(name).expect(name), format);
    }
    for name in ["swin_tiny", "efficientnet_tiny", "clip_tiny/model"] {
        assert!(matches!(detected(name), Err(WeightsError::NoHead)), "{name}");
    }
    assert!(matches!(detected("geometry"), Err(WeightsError::UnknownFormat(_))));
}
