//! What a recipe can ask of fakes beside the paper's: small parts, seamless cloning, and other people's faces.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unmask_core::face::Landmarks;
use unmask_core::face::alignment::{CropGeometry, template};
use unmask_core::image::RgbImage;

use crate::augment::sbi::{Blend, OtherFace, SelfBlended, SelfBlending};

const SIDE: usize = 192;

fn face() -> Landmarks {
    template(CropGeometry::Dfb, SIDE, 1.1)
}

/// A smooth picture of its own colours for each seed.
fn picture(seed: usize) -> RgbImage {
    let wave = |i: usize, step: f64| (110.0 + 40.0 * (i as f64 * step + 1.3 * seed as f64).sin()) as u8;
    let pixel = |i: usize| [wave(i % SIDE, 0.05), wave(i / SIDE, 0.07), wave(i % SIDE + i / SIDE, 0.04)];
    RgbImage::new(SIDE, SIDE, (0..SIDE * SIDE).flat_map(pixel).collect()).unwrap()
}

fn blend(recipe: &str, seed: u64) -> Blend {
    toml::from_str::<SelfBlending>(recipe).unwrap().draw(&mut ChaCha8Rng::seed_from_u64(seed))
}

/// The mean colour of the pixels that have at least half of what a mask gives at most.
fn mean_within(image: &RgbImage, pair: &SelfBlended) -> [f64; 3] {
    let most = pair.mask.values().iter().fold(0.0f32, |most, share| most.max(*share));
    let chosen = image.pixels().as_chunks::<3>().0.iter().zip(pair.mask.values());
    let chosen: Vec<&[u8; 3]> = chosen.filter(|(_, share)| **share > 0.5 * most).map(|(colour, _)| colour).collect();
    [0, 1, 2].map(|channel| chosen.iter().map(|colour| f64::from(colour[channel])).sum::<f64>() / chosen.len() as f64)
}

#[test]
fn what_is_drawn_after_a_blend_does_not_depend_on_what_blends_can_be() {
    for seed in 0..20 {
        let next = |recipe: &str| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let blend = toml::from_str::<SelfBlending>(recipe).unwrap().draw(&mut rng);
            (blend.mask([96; 2], &template(CropGeometry::Dfb, 96, 1.3)), rng.random::<u64>())
        };
        assert_eq!(next(""), next("seamless = 0.7\ndonor = { probability = 0.6, colour = 0.1 }"));
    }
}

#[test]
fn by_default_nothing_is_seamless_and_nobody_lends_a_face() {
    let donor = OtherFace { image: picture(9), landmarks: face() };
    for seed in 0..20 {
        let blend = blend("", seed);
        assert!(!blend.wants_donor());
        assert_eq!(blend.apply_with(&picture(1), &face(), Some(&donor)), blend.apply(&picture(1), &face()));
    }
}

#[test]
fn small_parts_are_where_they_are_called_and_never_vanish() {
    // The centre of a mask between eyes (0) and mouth (1), and how much of the crop it has at most.
    for (region, [low, high], most) in [
        ("mouth", [0.75, 1.25], 0.12),
        ("eyes", [-0.45, 0.3], 0.25),
        ("nose", [0.15, 0.75], 0.12),
        ("upper", [-0.8, 0.2], 0.4),
    ] {
        let only = format!("regions = {{ whole = 0, face = 0, features = 0, lower = 0, {region} = 1 }}");
        for (seed, side) in (0..60).map(|seed| (seed, if seed % 2 == 0 { SIDE } else { 64 })) {
            let landmarks = template(CropGeometry::Dfb, side, 1.1);
            let mask = blend(&only, seed).mask([side; 2], &landmarks);
            let sum: f32 = mask.values().iter().sum();
            assert!(sum > 0.0, "{region} of blend {seed} is empty");
            let rows = mask.values().iter().enumerate().map(|(index, share)| (index / side) as f32 * share);
            let (eyes, mouth) = ((landmarks[0][1] + landmarks[1][1]) / 2.0, (landmarks[3][1] + landmarks[4][1]) / 2.0);
            let place = (rows.sum::<f32>() / sum - eyes) / (mouth - eyes);
            let part = mask.values().iter().filter(|share| **share > 0.0).count() as f32 / (side * side) as f32;
            assert!((low..high).contains(&place) && part < most, "{region} of blend {seed}: at {place}, {part}");
        }
    }
}

#[test]
fn seamless_and_borrowed_faces_differ_from_the_real_one_within_the_mask_and_nowhere_else() {
    let donor = OtherFace { image: picture(9), landmarks: face().map(|[x, y]| [x + 3.0, y - 2.0]) };
    for recipe in ["seamless = 1", "donor.probability = 1", "seamless = 1\ndonor = { probability = 1, colour = 0 }"] {
        for seed in 0..12 {
            let pair = blend(recipe, seed).apply_with(&picture(1), &face(), Some(&donor)).unwrap();
            let colours = pair.real.pixels().as_chunks::<3>().0.iter().zip(pair.fake.pixels().as_chunks::<3>().0);
            let changed: Vec<bool> = colours.map(|(real, fake)| real != fake).collect();
            let beside = changed.iter().zip(pair.mask.values()).filter(|(changed, share)| **changed && **share == 0.0);
            assert_eq!(beside.count(), 0, "{recipe}, blend {seed}");
            assert!(changed.iter().filter(|changed| **changed).count() > 300, "{recipe}, blend {seed}");
        }
    }
}

#[test]
fn seamless_cloning_leaves_no_step_at_the_border_of_a_brighter_copy() {
    let loud = "rgb_shift.probability = 1\nrgb_shift.levels = 60\nelastic_alpha = 0\ndonor.probability = 0\n";
    let (mut steps, count) = ([0.0; 2], 24);
    for seed in 0..count {
        for (kind, seamless) in ["seamless = 0", "seamless = 1"].into_iter().enumerate() {
            let pair = blend(&format!("{loud}{seamless}"), seed).apply(&picture(1), &face()).unwrap();
            // How far the fake is from the real one, on average over the part: of a shifted copy, seamless takes the shift away.
            let (real, fake) = (mean_within(&pair.real, &pair), mean_within(&pair.fake, &pair));
            steps[kind] += (0..3).map(|channel| (real[channel] - fake[channel]).abs()).sum::<f64>() / 3.0;
        }
    }
    assert!(steps[1] < 0.35 * steps[0], "{} of {}", steps[1] / count as f64, steps[0] / count as f64);
}

#[test]
fn a_borrowed_face_shows_its_own_colours_or_those_of_the_face_as_the_recipe_says() {
    let bright = RgbImage::new(SIDE, SIDE, picture(4).pixels().iter().map(|value| value + 90).collect()).unwrap();
    let donor = OtherFace { image: bright, landmarks: face() };
    let quiet = "hsv_shift.probability = 0\nbrightness_contrast.probability = 0\nrgb_shift.probability = 0\n";
    let (mut own, mut matched) = (0, 0);
    for seed in 0..20 {
        let pair = |colour: u8| {
            let recipe = format!("{quiet}donor = {{ probability = 1, colour = {colour} }}");
            blend(&recipe, seed).apply_with(&picture(1), &face(), Some(&donor)).unwrap()
        };
        let brighter = |pair: &SelfBlended| mean_within(&pair.fake, pair)[1] - mean_within(&pair.real, pair)[1];
        own += usize::from(brighter(&pair(0)) > 15.0);
        matched += usize::from(brighter(&pair(1)).abs() < 15.0);
    }
    assert!(own >= 18 && matched >= 18, "{own} and {matched} of 20");
}

#[test]
fn a_donor_without_a_face_or_pixels_leaves_the_paper_s_blend() {
    let nowhere = OtherFace { image: picture(2), landmarks: [[f32::NAN; 2]; 5] };
    let empty = OtherFace { image: RgbImage::new(0, 0, Vec::new()).unwrap(), landmarks: face() };
    let blend = blend("donor.probability = 1", 3);
    for donor in [nowhere, empty] {
        assert_eq!(blend.apply_with(&picture(1), &face(), Some(&donor)), blend.apply(&picture(1), &face()));
    }
}
