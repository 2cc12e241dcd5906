//! How far a counted part may be from the part of all.

/// The standard normal's 97.5 % quantile.
const Z: f64 = 1.959_963_984_540_054;

/// The limits between which the part of all lies, with 95 % confidence, where `count` of `total` were counted: Wilson's score
/// interval (1927), which stays within 0..1 and is right for few and for none. Each of the counted is taken to be independent
/// of the others. `None` where nothing was counted.
pub fn wilson_interval(count: u64, total: u64) -> Option<[f64; 2]> {
    if total == 0 {
        return None;
    }
    let (count, total) = (count.min(total) as f64, total as f64);
    let part = count / total;
    let weight = 1.0 + Z * Z / total;
    let centre = part + Z * Z / (2.0 * total);
    let reach = Z * libm::sqrt(part * (1.0 - part) / total + Z * Z / (4.0 * total * total));
    let low = if count == 0.0 { 0.0 } else { (centre - reach) / weight };
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
            let found = wilson_interval(count, total).unwrap();
            let is_close = found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-12);
            assert!(is_close, "{count} of {total}: {found:?}");
        }
        assert_eq!(wilson_interval(0, 0), None);
        assert_eq!(wilson_interval(9, 3), wilson_interval(3, 3));
    }
}
