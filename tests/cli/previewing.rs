//! What `unmask preview` shows.

use std::path::PathBuf;

use crate::support::{Place, sample, text};

/// A picture without a face.
fn pattern(place: &Place) -> PathBuf {
    let path = place.path("pattern.png");
    place.ffmpeg(&["-f", "lavfi", "-i", "testsrc2=size=160x120", "-frames:v", "1", text(&path)]);
    path
}

/// The sheet of a preview with these further arguments.
fn sheet(place: &Place, name: &str, arguments: &[&str]) -> image::RgbImage {
    let (picture, output) = (pattern(place), place.path(name));
    let mut all = vec!["preview", "--data", text(&picture), "--aligned", "--output", text(&output)];
    all.extend(arguments);
    place.succeed(all);
    image::open(output).expect("a picture").into_rgb8()
}

/// One of the images in a sheet of images of 64 pixels.
fn tile(sheet: &image::RgbImage, row: u32, column: u32) -> Vec<u8> {
    image::imageops::crop_imm(sheet, 4 + column * 68, 4 + row * 68, 64, 64).to_image().into_raw()
}

#[test]
fn a_sheet_has_four_images_a_row_and_follows_the_seed() {
    let place = Place::new();
    let of = |name: &str, seed: &str| sheet(&place, name, &["--rows", "3", "--size", "64", "--seed", seed]);
    let one = of("one.png", "1");
    assert_eq!(one.dimensions(), (4 * 68 + 4, 3 * 68 + 4));
    assert!((0..3).all(|row| tile(&one, row, 0) == tile(&one, 0, 0)), "the face comes first in each row");
    assert_ne!(tile(&one, 0, 1), tile(&one, 1, 1));
    assert_eq!(one, of("again.png", "1"));
    assert_eq!(one, of("again.webp", "1"));
    assert_ne!(one, of("other.png", "2"));
}

#[test]
fn a_recipe_that_chooses_among_colour_changes_shows_the_one_that_has_all_the_weight() {
    let place = Place::new();
    let config = place.path("recipe.toml");
    let off = ["rotate", "blur", "jpeg"].map(|name| format!("{name}.probability = 0\n")).concat();
    let recipe = format!(
        "[augmentation]\nflip = 0\nfancy_pca.deviation = 0.5\n{off}\
         one_of = {{ probability = 1, weights = {{ fancy_pca = 1, brightness_contrast = 0 }} }}\n\
         brightness_contrast.probability = 0\n"
    );
    std::fs::write(&config, recipe).expect("written");
    let sheet = sheet(&place, "shifted.png", &["--rows", "2", "--size", "64", "--config", text(&config)]);
    let mut shifts = std::collections::HashSet::new();
    for (row, column) in (0..2).flat_map(|row| (1..4).map(move |column| (row, column))) {
        let pairs: Vec<(u8, u8)> = tile(&sheet, row, 0).into_iter().zip(tile(&sheet, row, column)).collect();
        // The same is added to a channel of every pixel, as far as its levels reach.
        let shift = [0, 1, 2].map(|channel| {
            let inside = pairs.iter().skip(channel).step_by(3).filter(|(_, new)| !matches!(new, 0 | 255));
            let mut added: Vec<i32> = inside.map(|(old, new)| i32::from(*new) - i32::from(*old)).collect();
            added.dedup();
            assert_eq!(added.len(), 1, "row {row}, column {column}, channel {channel}: {added:?}");
            added[0]
        });
        shifts.insert(shift);
    }
    assert!(shifts.len() > 3, "{shifts:?}");
}

#[test]
fn a_pair_without_augmentation_differs_only_where_its_mask_is() {
    let place = Place::new();
    let config = place.path("recipe.toml");
    let off =
        ["rotate", "blur", "brightness_contrast", "jpeg"].map(|name| format!("{name}.probability = 0\n")).concat();
    let recipe = format!("[augmentation]\nflip = 0\n{off}[optimizer]\nlearning_rate = 1e-3\n");
    std::fs::write(&config, recipe).expect("written");
    let sheet = sheet(&place, "pairs.png", &["--sbi", "--rows", "4", "--size", "64", "--config", text(&config)]);
    for row in 0..4 {
        let [real, mask, fake] = [1, 2, 3].map(|column| tile(&sheet, row, column));
        let places = real.iter().zip(&fake).zip(&mask);
        // A share of less than half a level of 255 is black in the mask and moves no colour by more than one level.
        assert!(places.clone().all(|((real, fake), mask)| *mask > 0 || real.abs_diff(*fake) <= 1), "row {row}");
        assert!(places.filter(|((real, fake), _)| real != fake).count() > 200, "row {row}");
    }
}

#[test]
fn a_whole_picture_is_changed_in_its_face_alone() {
    let place = Place::new();
    let (picture, output) = (place.path("portrait.png"), place.path("fake.png"));
    place.ffmpeg(&["-i", text(&sample("real.mp4")), "-frames:v", "1", text(&picture)]);
    let fake = |seed: &str| {
        place.succeed([
            "preview",
            "--data",
            text(&picture),
            "--sbi",
            "--whole",
            "--seed",
            seed,
            "--output",
            text(&output),
        ]);
        image::open(&output).expect("a picture").into_rgb8()
    };
    let (real, fake, again, other) =
        (image::open(&picture).expect("a picture").into_rgb8(), fake("3"), fake("3"), fake("4"));
    assert_eq!(fake.dimensions(), real.dimensions());
    assert!(fake == again && fake != other, "the seed decides");
    let changed: Vec<(u32, u32)> = real
        .enumerate_pixels()
        .filter(|(x, y, pixel)| fake.get_pixel(*x, *y) != *pixel)
        .map(|(x, y, _)| (x, y))
        .collect();
    assert!(changed.len() > 1000, "{} pixels", changed.len());
    // The face is in the upper half of the clip's first frame.
    assert!(changed.iter().all(|(x, y)| (100..350).contains(x) && (50..280).contains(y)), "outside of the face");
}

#[test]
fn a_blend_follows_the_margin_that_crops_were_cut_with() {
    let place = Place::new();
    let mask_of = |margin: &str| {
        let all = ["--sbi", "--rows", "1", "--size", "64", "--margin", margin];
        let tile = tile(&sheet(&place, "margin.png", &all), 0, 2);
        tile.iter().filter(|level| **level > 0).count()
    };
    assert!(2 * mask_of("2.0") < mask_of("1.0"), "{} {}", mask_of("2.0"), mask_of("1.0"));
}

#[test]
fn what_cannot_be_shown_is_refused_in_a_sentence() {
    let place = Place::new();
    let (picture, output, config) = (pattern(&place), place.path("sheet.png"), place.path("recipe.toml"));
    let error = place.fail(["preview", "--data", text(&picture), "--output", text(&output)]);
    assert!(error.contains("no face was found"), "{error}");
    let unnamed = place.path("sheet.txt");
    let error = place.fail(["preview", "--data", text(&picture), "--aligned", "--output", text(&unnamed)]);
    assert!(error.contains("sheet.txt") && error.contains(".png"), "{error}");
    for (wrong, named) in [("[self_blending]\nratio = 1", "ratio"), ("[run]\nbtach = 1", "run.batch")] {
        std::fs::write(&config, wrong).expect("written");
        let arguments = ["--config", text(&config), "--output", text(&output), "--aligned"];
        let error = place.fail(["preview", "--data", text(&picture)].into_iter().chain(arguments));
        assert!(error.contains("recipe.toml") && error.contains(named), "{error}");
    }
}
