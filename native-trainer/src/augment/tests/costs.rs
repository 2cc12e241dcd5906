//! How long each change takes.

use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use unmask_core::face::alignment::{CropGeometry, template};
use unmask_core::image::RgbImage;

use crate::augment::sbi::{OtherFace, SelfBlending};
use crate::augment::video::Video;
use crate::augment::{Augmentation, Shot};
use crate::media::Programs;

/// Side of the images, that of the crops of small detectors.
const SIDE: usize = 192;

/// Prints how long each change takes with its default limits; a bound would fail on a machine that others use.
#[test]
#[ignore = "a measurement: cargo test --workspace --bin unmask each_change_takes -- --ignored --nocapture"]
fn each_change_takes_this_long() {
    let pixels = (0..SIDE * SIDE * 3).map(|i| ((i * 7919 + (i * i) % 9173) % 256) as u8).collect();
    let image = RgbImage::new(SIDE, SIDE, pixels).unwrap();
    let landmarks = template(CropGeometry::Dfb, SIDE, 1.3);
    let table = toml::Table::try_from(Augmentation::none()).unwrap();
    for (name, change) in &table {
        let toml::Value::Table(change) = change else { continue };
        if name == "video" {
            continue;
        }
        let mut alone = table.clone();
        let mut change = change.clone();
        change.insert("probability".into(), 1.into());
        alone.insert(name.clone(), change.into());
        let recipe: Augmentation = alone.try_into().unwrap();
        let time = |seed| {
            let drawn = recipe.draw(&mut ChaCha8Rng::seed_from_u64(seed));
            let start = Instant::now();
            drop(drawn.apply(&image, &landmarks));
            start.elapsed().as_secs_f64() * 1e3
        };
        // The least of several times for each draw: others use the machine as well.
        let least = |seed| (0..5).map(|_| time(seed)).fold(f64::INFINITY, f64::min);
        println!("{name}: {:.2} ms", (0..16).map(least).sum::<f64>() / 16.0);
    }
}

/// Prints how long a self-blended pair takes by the kind of its blend.
#[test]
#[ignore = "a measurement: cargo test --workspace --bin unmask each_blend_takes -- --ignored --nocapture"]
fn each_blend_takes_this_long() {
    let pixels = |seed: usize| (0..SIDE * SIDE * 3).map(|i| ((i * 7919 + seed * (i * i) % 9173) % 256) as u8).collect();
    let image = |seed| RgbImage::new(SIDE, SIDE, pixels(seed)).unwrap();
    let landmarks = template(CropGeometry::Dfb, SIDE, 1.3);
    let (face, donor) = (image(1), OtherFace { image: image(2), landmarks });
    for recipe in
        ["", "seamless = 1", "donor = { probability = 1, colour = 0 }", "donor = { probability = 1, colour = 1 }"]
    {
        let recipe_of: SelfBlending = toml::from_str(recipe).unwrap();
        let time = |seed| {
            let blend = recipe_of.draw(&mut ChaCha8Rng::seed_from_u64(seed));
            let start = Instant::now();
            drop(blend.apply_with(&face, &landmarks, Some(&donor)));
            start.elapsed().as_secs_f64() * 1e3
        };
        let least = |seed| (0..5).map(|_| time(seed)).fold(f64::INFINITY, f64::min);
        println!("a blend with {recipe:?}: {:.2} ms", (0..16).map(least).sum::<f64>() / 16.0);
    }
}

/// Prints how long a batch of 16 pairs takes through ffmpeg, by codec and size, the programs in the background included.
#[test]
#[ignore = "a measurement: cargo test --workspace --bin unmask a_batch_is_filmed -- --ignored --nocapture"]
fn a_batch_is_filmed_in_this_time() {
    let pixels = |seed: usize| {
        let wave = |i: usize, step: f64| (128.0 + 60.0 * (i as f64 * step + seed as f64).sin()) as u8;
        let pixel = move |i: usize| [wave(i % SIDE, 0.1), wave(i / SIDE, 0.13), (i * 7919 % 97) as u8];
        (0..SIDE * SIDE).flat_map(pixel).collect()
    };
    for codec in ["h264", "h265", "vp9", "av1"] {
        for factor in [1, 2] {
            let others = ["h264", "h265", "vp9", "av1"].map(|name| format!("{name} = {}", u8::from(name == codec)));
            let settings = format!(
                "probability = 1\nfactor = [{factor}, {factor}]\ntwice = 0\ncodecs = {{ {} }}",
                others.join(", ")
            );
            let video: Video = toml::from_str(&settings).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let shot = |seed| {
                let clips =
                    [seed, seed + 1].map(|seed| vec![RgbImage::new(SIDE, SIDE, pixels(seed)).unwrap()]).to_vec();
                Shot { clips, filming: video.draw(&mut ChaCha8Rng::seed_from_u64(seed as u64)).unwrap() }
            };
            let shots: Vec<Shot> = (0..16).map(shot).collect();
            let time = |_| {
                let start = Instant::now();
                video.film(&Programs::from_environment(), &shots, 32, &mut rng).unwrap();
                start.elapsed().as_secs_f64() * 1e3
            };
            let least = (0..5).map(time).fold(f64::INFINITY, f64::min);
            println!("{codec}, {factor} times smaller: {least:.0} ms");
        }
    }
}
