//! Alignment and crops against scikit-image and OpenCV, resizing against Pillow.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is how a test fails")]

use std::path::Path;

use safetensors::SafeTensors;
use unmask_core::face::Landmarks;
use unmask_core::face::alignment::{CropGeometry, Similarity, template};
use unmask_core::image::{Interpolation, RgbImage};

/// The golden file, open for the length of a test.
fn with_golden(test: impl FnOnce(&SafeTensors)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/geometry.safetensors");
    let bytes = std::fs::read(path).expect("the golden file");
    test(&SafeTensors::deserialize(&bytes).expect("safetensors"));
}

/// A tensor of f64 or f32 values.
fn numbers(file: &SafeTensors, name: &str) -> Vec<f64> {
    let view = file.tensor(name).expect(name);
    match view.dtype() {
        safetensors::Dtype::F64 => view.data().as_chunks::<8>().0.iter().map(|c| f64::from_le_bytes(*c)).collect(),
        _ => view.data().as_chunks::<4>().0.iter().map(|c| f64::from(f32::from_le_bytes(*c))).collect(),
    }
}

fn points(values: &[f64]) -> Landmarks {
    let mut points = Landmarks::default();
    for (point, pair) in points.iter_mut().zip(values.as_chunks::<2>().0) {
        *point = pair.map(|value| value as f32);
    }
    points
}

const TEMPLATES: [(&str, CropGeometry, usize); 3] =
    [("dfb_256", CropGeometry::Dfb, 256), ("gend_256", CropGeometry::Gend, 256), ("gend_224", CropGeometry::Gend, 224)];

#[test]
fn templates_equal_those_of_the_reference_code() {
    with_golden(|file| {
        for (name, geometry, size) in TEMPLATES {
            let expected = numbers(file, &format!("template.{name}"));
            let actual = template(geometry, size, 1.3);
            for (a, e) in actual.iter().flatten().zip(&expected) {
                assert!((f64::from(*a) - e).abs() < 1e-3, "{name}: {actual:?} is not {expected:?}");
            }
        }
    });
}

#[test]
fn similarities_move_the_corners_of_a_face_where_scikit_image_moves_them() {
    with_golden(|file| {
        let landmarks = numbers(file, "landmarks");
        for (name, geometry, size) in TEMPLATES {
            let matrices = numbers(file, &format!("matrices.{name}"));
            for (set, matrix) in landmarks.chunks(10).zip(matrices.chunks(6)) {
                let set = points(set);
                let similarity = Similarity::estimate(&set, &template(geometry, size, 1.3)).expect("not degenerate");
                for [x, y] in set.map(|point| point.map(f64::from)) {
                    let [u, v] = similarity.apply([x, y]);
                    let expected = [0, 3].map(|row| matrix[row] * x + matrix[row + 1] * y + matrix[row + 2]);
                    let distance = (u - expected[0]).hypot(v - expected[1]);
                    assert!(distance < 1e-3, "{name}: {distance} pixels off");
                }
            }
        }
    });
}

fn picture(file: &SafeTensors) -> RgbImage {
    let view = file.tensor("picture").expect("picture");
    RgbImage::new(view.shape()[1], view.shape()[0], view.data().to_vec()).expect("fits")
}

#[test]
fn resizing_is_within_one_level_of_pillow_by_the_kernel_that_is_asked_for() {
    with_golden(|file| {
        let picture = picture(file);
        let kernels = [("bicubic", Interpolation::Bicubic), ("bilinear", Interpolation::Bilinear)];
        for ((name, interpolation), (width, height)) in
            kernels.into_iter().flat_map(|kernel| [(48, 48), (224, 224), (60, 45)].map(|size| (kernel, size)))
        {
            let worst = |name: &str| {
                let expected = file.tensor(&format!("resize.{name}.{width}x{height}")).expect("resized");
                assert_eq!(expected.shape(), [height, width, 3]);
                let actual = picture.resize(width, height, interpolation);
                actual.pixels().iter().zip(expected.data()).map(|(a, e)| a.abs_diff(*e)).max().expect("pixels")
            };
            assert!(worst(name) <= 1, "{name} {width}x{height}: {} levels off", worst(name));
            // The picture tells the kernels apart.
            let other = if name == "bicubic" { "bilinear" } else { "bicubic" };
            assert!(worst(other) > 3, "{name} {width}x{height} could be {other}: {} levels off", worst(other));
        }
    });
}

#[test]
fn crops_are_within_one_level_of_exact_bilinear_sampling_and_of_opencv() {
    use unmask_core::face::alignment::CropSpec;
    use unmask_core::face::crop::crop;
    with_golden(|file| {
        let picture = picture(file);
        let landmarks = numbers(file, "crop.landmarks");
        let (exact, opencv) = (numbers(file, "crop.exact"), file.tensor("crop.cv2").expect("crops"));
        let length = 64 * 64 * 3;
        for (index, set) in landmarks.chunks(10).enumerate() {
            let spec = CropSpec { geometry: CropGeometry::Dfb, size: 64, margin: 1.3 };
            let actual = crop(&picture, &points(set), &spec).expect("not degenerate");
            let range = index * length..(index + 1) * length;
            for ((a, e), o) in actual.pixels().iter().zip(&exact[range.clone()]).zip(&opencv.data()[range]) {
                assert!((f64::from(*a) - e).abs() <= 1.0, "crop {index}: {a} is not {e}");
                assert!(a.abs_diff(*o) <= 1, "crop {index}: {a} is not OpenCV's {o}");
            }
        }
    });
}
