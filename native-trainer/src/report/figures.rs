//! Numbers as a page writes them.

/// A score with two decimals, never rounded up to certainty.
pub(super) fn figure(score: f32) -> String {
    match score {
        score if score > 0.0 && score <= 0.005 => "<\u{202f}0.01".to_owned(),
        score if (0.995..1.0).contains(&score) => ">\u{202f}0.99".to_owned(),
        score => format!("{score:.2}"),
    }
}

/// A threshold with as many decimals as it needs, up to four, since rounding it would move verdicts.
pub(super) fn threshold(value: f32) -> String {
    format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Seconds as `0:01.5`, from an hour on as `1:00:01`.
pub(super) fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let (hours, minutes, rest) = (tenths / 36_000, tenths / 600 % 60, tenths % 600);
    match hours {
        0 => format!("{minutes}:{:02}.{}", rest / 10, rest % 10),
        _ => format!("{hours}:{minutes:02}:{:02}", rest / 10),
    }
}

/// `1 frame`, `2 frames`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The least, the ends of the middle half, and the most.
pub(super) fn spread(values: &[f32]) -> [f32; 4] {
    let mut values = values.to_vec();
    values.sort_by(f32::total_cmp);
    let at = |part: f32| values.get(((values.len().max(1) - 1) as f32 * part).round() as usize).copied().unwrap_or(0.0);
    [at(0.0), at(0.25), at(0.75), at(1.0)]
}

/// A part of one in percent, as SVG takes it.
pub(super) fn percent(part: f64) -> String {
    format!("{:.2}%", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_not_rounded() {
        let shown = [0.0, 0.05, 0.5, 0.999, 0.12345, 1.0].map(threshold);
        assert_eq!(shown, ["0", "0.05", "0.5", "0.999", "0.1235", "1"]);
    }

    #[test]
    fn scores_are_never_rounded_to_certainty() {
        let shown = [0.0, 0.001, 0.005, 0.5, 0.994, 0.9999, 1.0].map(figure);
        assert_eq!(shown, ["0.00", "<\u{202f}0.01", "<\u{202f}0.01", "0.50", "0.99", ">\u{202f}0.99", "1.00"]);
    }

    #[test]
    fn times_carry_into_minutes_and_hours() {
        assert_eq!([0.0, 59.96, 61.5, 3600.0].map(clock), ["0:00.0", "1:00.0", "1:01.5", "1:00:00"]);
    }

    #[test]
    fn the_spread_is_of_the_values_in_order() {
        assert_eq!(spread(&[0.4, 0.0, 0.2, 0.1, 0.3]), [0.0, 0.1, 0.3, 0.4]);
        assert_eq!(spread(&[]), [0.0; 4]);
    }
}
