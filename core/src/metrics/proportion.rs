//! How far a counted part may be from the part of all.

/// The standard normal's 97.5 % quantile.
const Z: f64 = 1.959_963_984_540_054;

/// The limits between which the part of all lies, with 95 % confidence, where `count` of `total` were counted: Wilson's score
/// interval (1927), which stays within 0..1 and is right for few and for none. No more than `independent` of the counted are
/// taken to be independent of each other: as many as there are people, where several videos show one. That is wide enough where
/// people have about as many videos each, even if all of a person are judged alike. `None` where nothing was counted.
pub fn wilson_interval(count: u64, total: u64, independent: u64) -> Option<[f64; 2]> {
    if total == 0 || independent == 0 {
        return None;
    }
    let count = count.min(total);
    let (part, counted) = (count as f64 / total as f64, independent.min(total) as f64);
    let weight = 1.0 + Z * Z / counted;
    let centre = part + Z * Z / (2.0 * counted);
    let reach = Z * libm::sqrt(part * (1.0 - part) / counted + Z * Z / (4.0 * counted * counted));
    let low = if count == 0 { 0.0 } else { (centre - reach) / weight };
    let high = if count == total { 1.0 } else { (centre + reach) / weight };
    Some([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17.1, `binomtest(count, total).proportion_ci(method="wilson")`.
    const EXPECTED: [(u64, u64, [f64; 2]); 4] = [
        (3, 301, [0.003_395_281_773_817_740_8, 0.028_888_577_707_653_94]),
        (0, 301, [0.0, 0.012_601_497_301_433_819]),
        (250, 250, [0.984_866_700_504_555_5, 1.0]),
        (7, 20, [0.181_191_824_101_082_1, 0.567_145_723_314_763_7]),
    ];

    #[test]
    fn the_limits_are_scipys() {
        for (count, total, expected) in EXPECTED {
            let found = wilson_interval(count, total, total).unwrap();
            let is_close = found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-12);
            assert!(is_close, "{count} of {total}: {found:?}");
        }
        assert_eq!((wilson_interval(0, 0, 0), wilson_interval(1, 2, 0)), (None, None));
        assert_eq!(wilson_interval(9, 3, 3), wilson_interval(3, 3, 3));
    }

    #[test]
    fn videos_of_the_same_people_narrow_nothing() {
        assert_eq!(wilson_interval(14, 40, 20), wilson_interval(7, 20, 20));
        assert_eq!(wilson_interval(0, 900, 301), wilson_interval(0, 301, 301));
        assert_eq!(wilson_interval(7, 20, 50), wilson_interval(7, 20, 20));
    }
}
