//! The face finder against YuNet (`tests/goldens/yunet.json`) on 300 photographs and on the clips of `../shared/data`.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is how a test fails")]

#[path = "faces/material.rs"]
mod material;
#[path = "../support/data.rs"]
mod shared_data;

use std::error::Error;

use rayon::prelude::*;
use unmask_core::face::finder::FindOptions;
use unmask_core::face::quality::roll_degrees;
use unmask_core::face::{Face, Landmarks};
use unmask_core::image::{Interpolation, RgbImage};

use material::{
    Agreement, Expected, Picture, Seen, clips, data, distance, finder, frames, has_ffmpeg, painted_over, photographs,
    pictures, quarter_turn, relit,
};

/// Mean distance allowed between YuNet's landmarks and ours over photographs and clips, in parts of the eye distance. YuNet's
/// own landmarks move by 0.06 when an LFW photograph moves by a few pixels and by 0.075 when it is mirrored.
const LANDMARK_DISTANCE: f32 = 0.06;

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn faces_and_landmarks_are_where_yunet_sees_them() -> TestResult {
    let Some(data) = data().filter(|_| has_ffmpeg()) else { return Ok(()) };
    let (finder, pictures, options) = (finder()?, pictures()?, FindOptions::default());
    let kinds = [
        ("photographs", photographs(&data, &pictures, 1)?, 250),
        ("clips", clips(&data, "clips", &pictures, 1)?, 50),
        ("clips-real", clips(&data, "clips-real", &pictures, 1)?, 50),
    ];
    let mut all = Agreement::default();
    for (name, seen, least) in kinds {
        let agreement = Agreement::over(&seen, |frame| finder.find(frame, &options));
        println!("{name}: recall {:.4}, mean distance {:.4}", agreement.recall(), agreement.mean_distance());
        assert!(agreement.expected >= least, "too few faces: {name} {agreement:?}");
        assert!(agreement.recall() >= 0.98, "{name} {agreement:?}");
        all = all.with(agreement);
    }
    println!("all: recall {:.4}, mean distance {:.4}", all.recall(), all.mean_distance());
    assert!(all.mean_distance() < LANDMARK_DISTANCE, "{all:?}");
    Ok(())
}

/// Photographs and frames of the clips of real people, a few of each.
fn sample() -> Result<Option<Vec<Seen>>, Box<dyn Error>> {
    let Some(data) = data().filter(|_| has_ffmpeg()) else { return Ok(None) };
    let pictures = pictures()?;
    let mut seen = photographs(&data, &pictures, 10)?;
    seen.extend(clips(&data, "clips-real", &pictures, 4)?);
    Ok(Some(seen))
}

#[test]
fn faces_are_found_in_the_dark() -> TestResult {
    let Some(seen) = sample()? else { return Ok(()) };
    let (finder, options) = (finder()?, FindOptions::default());
    type Darker = fn(f32) -> f32;
    let darkened: [(&str, Darker); 2] =
        [("8 % of the light", |level| level * 0.08), ("gamma 0.35", |level| 255.0 * (level / 255.0).powf(1.0 / 0.35))];
    for (name, darker) in darkened {
        let find =
            |frame: &RgbImage| finder.find(&relit(frame, |level| darker(f32::from(level)).round() as u8), &options);
        let agreement = Agreement::over(&seen, find);
        println!("{name}: recall {:.4}, mean distance {:.4}", agreement.recall(), agreement.mean_distance());
        assert!(agreement.expected >= 50, "too few faces: {agreement:?}");
        assert!(agreement.recall() >= 0.98, "{name} {agreement:?}");
    }
    Ok(())
}

/// Points of a picture turned clockwise by so many quarters, which has this size upright, where they are upright.
fn turned_back(points: &Landmarks, quarters: usize, width: usize, height: usize) -> Landmarks {
    let (right, bottom) = (width as f32 - 1.0, height as f32 - 1.0);
    points.map(|[x, y]| match quarters {
        1 => [y, bottom - x],
        2 => [right - x, bottom - y],
        3 => [right - y, x],
        _ => [x, y],
    })
}

#[test]
fn faces_of_turned_pictures_have_the_same_points_turned() -> TestResult {
    let Some(seen) = sample()? else { return Ok(()) };
    let (finder, options) = (finder()?, FindOptions::default());
    // For each upright face, how far the points of the nearest one are from its own in the turned pictures that have any.
    let compared: Vec<[Option<f32>; 3]> = seen
        .par_iter()
        .filter_map(|picture| {
            let upright = *finder.find(&picture.frame, &options).first()?;
            let (width, height) = (picture.frame.width(), picture.frame.height());
            let mut frame = picture.frame.clone();
            Some([1, 2, 3].map(|quarters| {
                frame = quarter_turn(&frame);
                let found = finder.find(&frame, &options);
                let points = found.iter().map(|face| turned_back(&face.landmarks, quarters, width, height));
                points.map(|points| distance(&points, &upright.landmarks)).min_by(f32::total_cmp)
            }))
        })
        .collect();
    assert!(compared.len() >= 50, "too few faces: {}", compared.len());
    for (index, degrees) in [90, 180, 270].into_iter().enumerate() {
        let distances: Vec<f32> = compared.iter().filter_map(|turns| turns[index]).collect();
        let wrong = distances.iter().filter(|distance| **distance > 0.25).count();
        let mean = distances.iter().sum::<f32>() / distances.len() as f32;
        println!(
            "{degrees}°: {} of {} found, {wrong} with wrong points, mean distance {mean:.4}",
            distances.len(),
            compared.len()
        );
        assert!(distances.len() as f32 >= 0.97 * compared.len() as f32, "{degrees}°: only {} found", distances.len());
        assert!(wrong <= 1, "{degrees}°: {wrong} faces have wrong points");
        assert!(mean < 0.04, "{degrees}°: {mean}");
    }
    Ok(())
}

#[test]
fn the_roll_of_turned_faces_tells_their_turn() -> TestResult {
    let Some(data) = data() else { return Ok(()) };
    let (finder, options) = (finder()?, FindOptions::default());
    let mut counted = 0;
    for picture in photographs(&data, &pictures()?, 30)? {
        let mut frame = picture.frame.clone();
        for expected in [0.0, 90.0, 180.0, -90.0] {
            let Some(face) = finder.find(&frame, &options).first().copied() else { continue };
            let off = (roll_degrees(&face.landmarks) - expected).rem_euclid(360.0);
            assert!(off.min(360.0 - off) < 40.0, "{expected}°: {}", roll_degrees(&face.landmarks));
            counted += 1;
            frame = quarter_turn(&frame);
        }
    }
    assert!(counted >= 36, "only {counted} faces");
    Ok(())
}

#[test]
fn nothing_is_found_where_there_is_no_face() -> TestResult {
    let Some(data) = data().filter(|_| has_ffmpeg()) else { return Ok(()) };
    let (finder, options) = (finder()?, FindOptions::default());
    let wanted: Vec<usize> = (0..20).map(|index| index * 50).collect();
    let frames = frames(&data.join("clips/noface_intel_bottle_640x360.mp4"), &wanted)?;
    assert!(frames.len() >= 15, "only {} frames could be read", frames.len());
    let found: Vec<Face> = frames.par_iter().flat_map_iter(|frame| finder.find(frame, &options)).collect();
    assert!(found.is_empty(), "{found:?}");
    Ok(())
}

#[test]
fn hands_shirts_and_rooms_are_no_faces() -> TestResult {
    let Some(data) = data().filter(|_| has_ffmpeg()) else { return Ok(()) };
    let (finder, pictures, options) = (finder()?, pictures()?, FindOptions::default());
    let mut seen = photographs(&data, &pictures, 6)?;
    // Behind the speakers of one clip sit people in the dark whom YuNet does not see.
    let clear: Vec<Picture> = pictures.into_iter().filter(|picture| !picture.path.ends_with(BUSY_CLIP)).collect();
    seen.extend(clips(&data, "clips", &clear, 2)?);
    seen.extend(clips(&data, "clips-real", &clear, 4)?);
    let found: Vec<Face> =
        seen.par_iter().flat_map_iter(|picture| finder.find(&painted_over(picture), &options)).collect();
    println!("{} found in {} pictures whose faces are painted over: {found:?}", found.len(), seen.len());
    assert!(seen.len() >= 100, "too few pictures: {}", seen.len());
    assert!(found.len() <= MOST_UNKNOWN, "{found:?}");
    Ok(())
}

/// A clip with more faces than YuNet sees.
const BUSY_CLIP: &str = "real_multiface_hamilton_640x360.mp4";
/// Faces found in pictures whose faces are painted over. One shirt shows a skull.
const MOST_UNKNOWN: usize = 2;

/// A grey frame, `photographs` in rows on it, shrunk until their faces are `face` pixels wide, and where the faces are.
fn crowd(photographs: &[&Seen], face: f32, [width, height]: [usize; 2]) -> (RgbImage, Vec<Expected>) {
    let mut pixels = vec![110; width * height * 3];
    let columns = (photographs.len() as f32 * 1.6).sqrt().ceil() as usize;
    let rows = photographs.len().div_ceil(columns);
    let paste = |(index, photograph): (usize, &&Seen)| {
        let seen = &photograph.expected[0];
        let scale = face / seen.bounds[2];
        let side = |length: usize| (length as f32 * scale).round() as usize;
        let (across, down) = (side(photograph.frame.width()), side(photograph.frame.height()));
        let shrunk = photograph.frame.resize(across, down, Interpolation::Bicubic);
        let place = |index: usize, count: usize, length: usize, taken: usize| {
            (2 * index + 1) * length / (2 * count) - taken / 2
        };
        let left = place(index % columns, columns, width, across);
        let top = place(index / columns, rows, height, down);
        for (row, line) in shrunk.pixels().chunks_exact(across * 3).enumerate() {
            let start = ((top + row) * width + left) * 3;
            pixels[start..start + line.len()].copy_from_slice(line);
        }
        let moved = |[x, y]: [f32; 2]| [x * scale + left as f32, y * scale + top as f32];
        let [x, y] = moved([seen.bounds[0], seen.bounds[1]]);
        let bounds = [x, y, seen.bounds[2] * scale, seen.bounds[3] * scale];
        Expected { bounds, landmarks: seen.landmarks.map(moved), score: seen.score }
    };
    let expected = photographs.iter().enumerate().map(paste).collect();
    (RgbImage::new(width, height, pixels).expect("fits"), expected)
}

#[test]
fn small_faces_are_found_in_large_frames() -> TestResult {
    let Some(data) = data() else { return Ok(()) };
    let (finder, options) = (finder()?, FindOptions::default());
    let seen = photographs(&data, &pictures()?, 4)?;
    let alone = |picture: &&Seen| {
        !picture.expected.is_empty() && picture.all.iter().filter(|face| face.is_certain()).count() == 1
    };
    let chosen: Vec<&Seen> = seen.iter().filter(alone).take(60).collect();
    assert!(chosen.len() >= 50, "too few photographs: {}", chosen.len());
    // The width of a face, how many are in a frame, its size, and the recall that is promised.
    let kinds = [
        (34.0, 1, [1920, 1080], 0.95),
        (34.0, 12, [1920, 1080], 0.9),
        (34.0, 48, [1920, 1080], 0.9),
        (56.0, 1, [3840, 2160], 0.95),
        (56.0, 48, [3840, 2160], 0.9),
    ];
    for (face, count, size, least) in kinds {
        let agreements = chosen.par_chunks_exact(count).map(|photographs| {
            let (frame, expected) = crowd(photographs, face, size);
            let found = finder.find(&frame, &options);
            expected.iter().map(|face| Agreement::of(face, &found)).fold(Agreement::default(), Agreement::with)
        });
        let agreement = agreements.reduce(Agreement::default, Agreement::with);
        println!("{count} of {face} pixels in {size:?}: {agreement:?}: recall {:.4}", agreement.recall());
        assert!(agreement.recall() >= least, "{count} of {face} pixels in {size:?}: {agreement:?}");
    }
    Ok(())
}
