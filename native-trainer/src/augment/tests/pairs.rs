//! Self-blended images: what a pair differs in, and where.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use unmask_core::face::Landmarks;
use unmask_core::face::alignment::{CropGeometry, CropSpec, Similarity, template};
use unmask_core::face::crop::crop;
use unmask_core::image::RgbImage;

use crate::augment::colour::hsv_shift;
use crate::augment::filter::{gaussian_blur, sharpen};
use crate::augment::jpeg::recompress;
use crate::augment::sbi::{Blend, SelfBlended, SelfBlending};
use crate::augment::warp::{Border, Placement, warp};
use crate::augment::{Augmentation, Mask, mean_face};
use crate::shared_data::shared_data;

const SPEC: CropSpec = CropSpec { geometry: CropGeometry::Dfb, size: 256, margin: 1.3 };

/// A photograph's landmarks and the 81 points that MediaPipe sees in it (`tests/reference/mean_face.py`).
#[derive(Deserialize)]
struct Shape {
    landmarks: Landmarks,
    points: Vec<[f64; 2]>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shapes() -> Vec<Shape> {
    let text = std::fs::read_to_string(repository().join("tests/goldens/face_shapes.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Aligned crops of LFW photographs with the landmarks of their faces, by the face finder; none where there is no data.
fn faces(count: usize) -> Vec<(RgbImage, Landmarks)> {
    let Some(folder) = shared_data("faces/lfw") else { return Vec::new() };
    let mut files: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(|entry| entry.ok().map(walkdir::DirEntry::into_path))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .collect();
    files.sort();
    let finder = crate::scoring::face_finder().unwrap();
    let step = files.len() / count;
    let crops = files.iter().step_by(step.max(1)).filter_map(|path| {
        let photograph = image::open(path).unwrap().into_rgb8();
        let size = (photograph.width() as usize, photograph.height() as usize);
        let photograph = RgbImage::new(size.0, size.1, photograph.into_raw()).unwrap();
        let face = *finder.find(&photograph, &Default::default()).first()?;
        Some((crop(&photograph, &face.landmarks, &SPEC)?, in_crop(&face.landmarks)?(face.landmarks)))
    });
    crops.collect()
}

/// What takes points of a photograph to the crop of the face with these landmarks.
fn in_crop(landmarks: &Landmarks) -> Option<impl Fn(Landmarks) -> Landmarks> {
    let transform = Similarity::estimate(landmarks, &template(SPEC.geometry, SPEC.size, SPEC.margin))?;
    Some(move |points: Landmarks| points.map(|point| transform.apply(point.map(f64::from)).map(|value| value as f32)))
}

fn noise(size: usize) -> RgbImage {
    let pixels = (0..size * size * 3).map(|i| ((i * 7919 + (i * i) % 9173) % 256) as u8).collect();
    RgbImage::new(size, size, pixels).unwrap()
}

fn blend(seed: u64) -> Blend {
    SelfBlending::default().draw(&mut ChaCha8Rng::seed_from_u64(seed))
}

fn changed_pixels(pair: &SelfBlended) -> Vec<bool> {
    let (real, fake) = (pair.real.pixels().as_chunks::<3>().0, pair.fake.pixels().as_chunks::<3>().0);
    real.iter().zip(fake).map(|(real, fake)| real != fake).collect()
}

fn overlap(one: &Mask, other: &Mask) -> f64 {
    let pairs = || one.values().iter().zip(other.values()).map(|(a, b)| (*a > 0.0, *b > 0.0));
    pairs().filter(|(a, b)| *a && *b).count() as f64 / pairs().filter(|(a, b)| *a || *b).count() as f64
}

#[test]
fn the_mean_face_covers_real_faces_though_they_turn() {
    let shapes = shapes();
    let overlaps: Vec<f64> = shapes
        .iter()
        .map(|shape| {
            let found = Mask::hull([250; 2], &mean_face::points(&shape.landmarks));
            overlap(&found, &Mask::hull([250; 2], &shape.points))
        })
        .collect();
    let mean = overlaps.iter().sum::<f64>() / overlaps.len() as f64;
    let least = overlaps.iter().copied().fold(1.0, f64::min);
    assert!(overlaps.len() == 48 && mean > 0.89 && least > 0.75, "{mean} on average, {least} at the least");
}

#[test]
fn masks_stay_on_real_faces() {
    let (mut outside, mut all, mut worst) = (0.0, 0.0, 0.0f64);
    for (seed, shape) in shapes().iter().cycle().take(480).enumerate() {
        let to_crop = in_crop(&shape.landmarks).unwrap();
        let transform = Similarity::estimate(&shape.landmarks, &template(SPEC.geometry, 256, SPEC.margin)).unwrap();
        let outline: Vec<[f64; 2]> = shape.points.iter().map(|point| transform.apply(*point)).collect();
        let face = Mask::hull([256; 2], &outline);
        let mask = blend(seed as u64).mask([256; 2], &to_crop(shape.landmarks));
        assert!(!mask.is_empty(), "blend {seed}");
        let weight = |is_counted: fn(f32) -> bool| -> f64 {
            let pairs = mask.values().iter().zip(face.values());
            pairs.filter(|(_, face)| is_counted(**face)).map(|(mask, _)| f64::from(*mask)).sum()
        };
        let (beside, sum) = (weight(|face| face == 0.0), weight(|_| true));
        outside += beside;
        all += sum;
        worst = worst.max(beside / sum);
    }
    let share = outside / all;
    assert!(share < 0.03 && worst < 0.25, "{share} of the masks is beside the faces, {worst} of the worst");
}

#[test]
fn real_and_fake_differ_within_the_mask_and_nowhere_else() {
    let image = noise(224);
    let landmarks = template(SPEC.geometry, 224, SPEC.margin);
    for seed in 0..60 {
        let pair = blend(seed).apply(&image, &landmarks).unwrap();
        let changed = changed_pixels(&pair);
        let beside = changed.iter().zip(pair.mask.values()).filter(|(changed, mask)| **changed && **mask == 0.0);
        assert_eq!(beside.count(), 0, "blend {seed}");
        assert!(changed.iter().filter(|changed| **changed).count() > 1000, "blend {seed}");
        assert!(pair.mask.values().iter().all(|value| (0.0..=1.0).contains(value)));
    }
}

#[test]
fn the_real_image_of_a_pair_is_as_often_changed_as_not() {
    let image = noise(64);
    let landmarks = template(SPEC.geometry, 64, SPEC.margin);
    let kept = (0..200).filter(|seed| blend(*seed).apply(&image, &landmarks).unwrap().real == image).count();
    assert!((70..=130).contains(&kept), "{kept}");
}

#[test]
fn a_pair_is_augmented_alike_so_that_what_is_equal_stays_equal() {
    let image = noise(224);
    let landmarks = template(SPEC.geometry, 224, SPEC.margin);
    for seed in 0..30 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let pair = SelfBlending::default().draw(&mut rng).apply(&image, &landmarks).unwrap();
        let drawn = Augmentation::for_pairs().draw(&mut rng);
        let (real, fake) = pair.augmented(&drawn);
        let same = SelfBlended { fake: pair.real.clone(), ..pair.clone() }.augmented(&drawn);
        assert_eq!(same.0, same.1);
        assert_eq!((real, fake), (drawn.apply(&pair.real, &landmarks), drawn.apply(&pair.fake, &landmarks)));
    }
}

#[test]
fn a_pair_is_shifted_by_the_colours_of_its_real_image_so_that_what_is_equal_stays_equal() {
    let image = noise(224);
    let landmarks = template(SPEC.geometry, 224, SPEC.margin);
    let one_of = "one_of = { probability = 1, weights = { fancy_pca = 1 } }\nfancy_pca.deviation = 3";
    let chosen: Augmentation = toml::from_str(one_of).unwrap();
    let recipe = Augmentation { one_of: chosen.one_of, fancy_pca: chosen.fancy_pca, ..Augmentation::none() };
    let mut shifted = 0;
    for seed in 0..10 {
        let pair = blend(seed).apply(&image, &landmarks).unwrap();
        let (real, fake) = pair.augmented(&recipe.draw(&mut ChaCha8Rng::seed_from_u64(seed)));
        let changed = changed_pixels(&SelfBlended { real: real.clone(), fake, ..pair.clone() });
        assert!(changed.iter().zip(changed_pixels(&pair)).all(|(after, before)| !after || before), "blend {seed}");
        shifted += usize::from(real != pair.real);
    }
    assert!(shifted > 5, "{shifted}");
}

#[test]
fn the_same_seed_makes_the_same_pair_and_another_makes_another() {
    let image = noise(96);
    let landmarks = template(SPEC.geometry, 96, SPEC.margin);
    let pair = |seed| blend(seed).apply(&image, &landmarks).unwrap();
    assert_eq!(pair(4), pair(4));
    assert_ne!(pair(4).fake, pair(5).fake);
}

#[test]
fn landmarks_that_are_no_face_make_no_pair() {
    let image = noise(64);
    for landmarks in [[[f32::NAN; 2]; 5], [[20.0; 2]; 5], [[-900.0, 40.0]; 5]] {
        assert_eq!(blend(1).apply(&image, &landmarks), None, "{landmarks:?}");
    }
    let away = template(SPEC.geometry, 64, SPEC.margin).map(|[x, y]| [x + 500.0, y]);
    assert_eq!(blend(1).apply(&image, &away), None);
    let empty = RgbImage::new(0, 0, Vec::new()).unwrap();
    assert_eq!(blend(1).apply(&empty, &template(SPEC.geometry, 64, SPEC.margin)), None);
}

#[test]
fn an_empty_table_is_the_papers_and_unknown_keys_are_refused() {
    assert_eq!(toml::from_str::<SelfBlending>("").unwrap(), SelfBlending::default());
    let error = toml::from_str::<SelfBlending>("ratio = 3").unwrap_err().to_string();
    assert!(error.contains("ratio"), "{error}");
    let changed: SelfBlending = toml::from_str("regions = { lower = 0 }\nshift_across = 0.1").unwrap();
    assert_ne!(changed, SelfBlending::default());
}

#[test]
fn fakes_of_real_photographs_are_subtle_and_keep_everything_beside_the_face() {
    for (seed, (image, landmarks)) in faces(24).into_iter().enumerate() {
        let pair = blend(seed as u64).apply(&image, &landmarks).unwrap();
        let changed = changed_pixels(&pair);
        let corners = [0, 255, 255 * 256, 256 * 256 - 1];
        assert!(corners.iter().all(|corner| !changed[*corner]), "face {seed}");
        let differences = pair.real.pixels().iter().zip(pair.fake.pixels()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        let inside: f64 = pair.mask.values().iter().map(|value| f64::from(*value)).sum::<f64>() * 3.0;
        let strength = differences.sum::<f64>() / inside;
        assert!(strength > 0.3 && strength < 80.0, "face {seed}: {strength} levels on average within the mask");
    }
}

/// Prints how long a pair takes and its parts; a bound would fail on a machine that others use.
#[test]
#[ignore = "a measurement: cargo test --workspace --bin unmask pairs_take -- --ignored --nocapture"]
fn pairs_take_this_long() {
    for size in [224, 256] {
        let (image, landmarks) = (noise(size), template(SPEC.geometry, size, SPEC.margin));
        let drawn = |seed| Augmentation::for_pairs().draw(&mut ChaCha8Rng::seed_from_u64(seed));
        let pair = blend(1).apply(&image, &landmarks).unwrap();
        let turn = Placement { degrees: 3.0, ..Placement::default() };
        let parts: [(&str, &dyn Fn(u64)); 8] = [
            ("a blend", &|seed| drop(blend(seed).apply(&image, &landmarks))),
            ("of it the mask", &|seed| drop(blend(seed).mask([size; 2], &landmarks))),
            ("the pair augmented", &|seed| drop(pair.augmented(&drawn(seed)))),
            ("one warp", &|_| drop(warp(&image, &turn, Border::Mirrored))),
            ("one shift of hue", &|_| drop(hsv_shift(&image, [0.5, 0.2, 0.1]))),
            ("one sharpening", &|_| drop(sharpen(&image, 0.3, 0.7))),
            ("one blur of 5", &|_| drop(gaussian_blur(&image, 5))),
            ("one compression", &|seed| drop(recompress(&image, 40 + (seed % 60) as u8))),
        ];
        for (name, part) in parts {
            // The least of several times for each draw: others use the machine as well.
            let time = |seed| {
                let start = Instant::now();
                part(seed);
                start.elapsed().as_secs_f64() * 1e3
            };
            let least = |seed| (0..7).map(|_| time(seed)).fold(f64::INFINITY, f64::min);
            println!("{size} px, {name}: {:.2} ms", (0..24).map(least).sum::<f64>() / 24.0);
        }
    }
}
