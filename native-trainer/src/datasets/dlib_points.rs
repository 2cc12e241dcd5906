//! The landmark files of DeepfakeBench: 81 points found by dlib's predictor in an aligned crop, as NumPy arrays `[81, 2]`.
//!
//! The first 68 are those of iBUG 300-W (Sagonas et al. 2013).

use std::path::Path;

use anyhow::{Context, Result};
use npyz::{Deserialize, NpyFile, Order};
use unmask_core::face::Landmarks;

use crate::files;

/// No array of points is larger: 81 points of two 8-byte numbers are 1.3 kB.
const MOST_BYTES: u64 = 1 << 20;

/// The five points of the file at `path`, in pixels of the crop.
pub(super) fn read(path: &Path) -> Result<Landmarks> {
    let file = files::open(path)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let bytes = if size > MOST_BYTES { Vec::new() } else { std::fs::read(path).unwrap_or_default() };
    five_points(&bytes).with_context(|| {
        format!("{} is no NumPy array of 68 or 81 points; make it again with DeepfakeBench", path.display())
    })
}

/// Centres of the eyes, tip of the nose, corners of the mouth; `None` if the bytes are no such array.
fn five_points(bytes: &[u8]) -> Option<Landmarks> {
    let points = points(bytes)?;
    if points.len() < 68 {
        return None;
    }
    let centre = |points: &[[f32; 2]]| {
        [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f32>() / points.len() as f32)
    };
    Some([centre(&points[36..42]), centre(&points[42..48]), points[30], points[48], points[54]])
}

/// The rows of an array `[n, 2]`.
fn points(bytes: &[u8]) -> Option<Vec<[f32; 2]>> {
    let file = NpyFile::new(bytes).ok()?;
    let [rows, 2] = *file.shape() else { return None };
    // A header may promise anything; memory is asked for only where the bytes can be there.
    let rows = usize::try_from(rows).ok().filter(|rows| *rows <= bytes.len())?;
    let by_column = file.order() == Order::Fortran;
    let values = values::<f64>(bytes, |value| value as f32)
        .or_else(|| values::<f32>(bytes, |value| value))
        .or_else(|| values::<i64>(bytes, |value| value as f32))
        .or_else(|| values::<i32>(bytes, |value| value as f32))?;
    let is_sound = values.len() == 2 * rows && values.iter().all(|value| value.is_finite());
    let row =
        |row: usize| if by_column { [values[row], values[rows + row]] } else { [values[2 * row], values[2 * row + 1]] };
    is_sound.then(|| (0..rows).map(row).collect())
}

/// The numbers of an array of type `T`; `None` for one of another type, or one that is cut.
fn values<T: Deserialize>(bytes: &[u8], number: impl Fn(T) -> f32) -> Option<Vec<f32>> {
    let data = NpyFile::new(bytes).ok()?.data::<T>().ok()?;
    data.map(|value| value.map(&number)).collect::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[3i, 100 + i]` for 81 points, as `tests/reference/landmark_files.py` saves them.
    const NUMPY: [(&str, &[u8]); 5] = [
        ("int64", include_bytes!("../../../tests/goldens/landmark_files/int64.npy")),
        ("int32", include_bytes!("../../../tests/goldens/landmark_files/int32.npy")),
        ("float32", include_bytes!("../../../tests/goldens/landmark_files/float32.npy")),
        ("float64 by column", include_bytes!("../../../tests/goldens/landmark_files/float64_by_column.npy")),
        ("version 2", include_bytes!("../../../tests/goldens/landmark_files/version2.npy")),
    ];

    #[test]
    fn what_numpy_saves_gives_eye_centres_nose_and_mouth_corners() {
        let expected = [[115.5, 138.5], [133.5, 144.5], [90.0, 130.0], [144.0, 148.0], [162.0, 154.0]];
        for (name, bytes) in NUMPY {
            assert_eq!(five_points(bytes), Some(expected), "{name}");
        }
    }

    #[test]
    fn cut_or_changed_files_are_refused_and_never_panic() {
        let (_, whole) = NUMPY[0];
        for length in 0..whole.len() {
            assert_eq!(five_points(&whole[..length]), None, "{length}");
        }
        for position in 0..128 {
            let mut changed = whole.to_vec();
            changed[position] ^= 0x11;
            five_points(&changed);
        }
    }

    #[test]
    fn fewer_points_than_68_and_other_types_are_refused() {
        for bytes in [
            &include_bytes!("../../../tests/goldens/landmark_files/five_points.npy")[..],
            &include_bytes!("../../../tests/goldens/landmark_files/uint8.npy")[..],
            &include_bytes!("../../../tests/goldens/landmark_files/not_a_number.npy")[..],
        ] {
            assert_eq!(five_points(bytes), None);
        }
    }
}
