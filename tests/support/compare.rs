//! How far our numbers are from a reference's.

/// Largest difference over the largest expected value.
pub(crate) fn relative_error(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    actual.iter().zip(expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max) / largest
}
