//! Points on a grid, so that what comes of them does not hang on how sums are rounded.
//!
//! Processors and browsers add in orders of their own, and what the networks say of a point differs by some 0.00002 pixels from one
//! to the next. A crop is made of whole levels: a dozen of its 200,000 then differ by one, and detectors answer to that with a
//! thousandth or two. On a grid nearly every point is the same everywhere, and with it the crop.

use super::Landmarks;
use super::quality::eye_distance;

/// Steps of the grid in the distance between the eyes: at least so many, less than twice as many. The networks err by 15.
const STEPS: f32 = 512.0;

/// The points, each moved to the nearest place of the grid, whose step is a power of two; points without a distance between
/// the eyes stay.
pub(super) fn on_grid(landmarks: &Landmarks) -> Landmarks {
    let finest = eye_distance(landmarks) / STEPS;
    if !finest.is_normal() {
        return *landmarks;
    }
    let step = libm::scalbnf(1.0, libm::ilogbf(finest));
    landmarks.map(|point| point.map(|place| libm::roundf(place / step) * step))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACE: Landmarks = [
        [93.974_014, 69.097_18],
        [159.670_97, 71.559_71],
        [124.358_75, 108.558_29],
        [95.312_87, 133.177_43],
        [153.483_57, 135.341_1],
    ];

    #[test]
    fn points_that_differ_by_rounding_are_the_same_on_the_grid() {
        let other = FACE.map(|point| point.map(|place| place + 2e-5));
        assert_ne!(other, FACE);
        assert_eq!(on_grid(&other), on_grid(&FACE));
    }

    #[test]
    fn no_point_moves_by_a_thousandth_of_the_distance_between_the_eyes() {
        for size in [0.01, 0.3, 1.0, 7.0, 900.0] {
            let face = FACE.map(|point| point.map(|place| place * size));
            let limit = eye_distance(&face) / 1000.0;
            let moved = on_grid(&face);
            assert!(moved.iter().flatten().zip(face.iter().flatten()).all(|(a, b)| (a - b).abs() <= limit), "{size}");
            assert_eq!(on_grid(&moved), moved, "{size}: what is on the grid stays");
        }
    }

    #[test]
    fn points_without_a_distance_between_the_eyes_stay() {
        for face in [[[3.3; 2]; 5], [[f32::INFINITY; 2]; 5]] {
            assert_eq!(on_grid(&face), face);
        }
        assert!(on_grid(&[[f32::NAN; 2]; 5]).iter().flatten().all(|place| place.is_nan()));
    }
}
