//! Metrics, intervals, temperature and thresholds against scikit-learn and scipy.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is how a test fails")]

use std::path::Path;

use serde_json::Value;
use unmask_core::metrics::{
    Bootstrap, CALIBRATION_BINS, MAX_TEMPERATURE, Misses, Ranking, ScoreBin, Scored, TemperatureNote, Undefined,
    VerdictBasis, balanced_threshold, fit_temperature, fit_verdict_thresholds,
};

/// Rounding in f64 in another order.
const TOLERANCE: f64 = 1e-12;

fn goldens() -> Value {
    golden("metrics.json")
}

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("the golden file")).expect("JSON")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().expect(name)
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn number_at(list: &Value, index: usize) -> f64 {
    number(&list[index])
}

fn samples(case: &Value) -> Vec<Scored> {
    let pairs = list(case, "scores").iter().zip(list(case, "fakes"));
    pairs.map(|(score, fake)| Scored { score: number(score), fake: fake == 1 }).collect()
}

/// Calls `test` with each case, its ranking and a name for messages.
fn for_each_ranking(test: impl Fn(&Value, &Ranking, &str)) {
    let goldens = goldens();
    for (index, case) in list(&goldens, "rankings").iter().enumerate() {
        let ranking = Ranking::new(samples(case)).expect("finite");
        test(case, &ranking, &format!("case {index}"));
    }
}

fn assert_close(actual: Result<f64, Undefined>, expected: &Value, what: &str) {
    let actual = actual.unwrap_or_else(|reason| panic!("{what} is undefined: {reason}"));
    assert!((actual - number(expected)).abs() < TOLERANCE, "{what}: {actual} is not {expected}");
}

#[test]
fn auc_and_average_precision_with_ties_are_those_of_scikit_learn() {
    for_each_ranking(|case, ranking, name| {
        assert_close(ranking.auc(), &case["auc"], &format!("{name}, AUC"));
        assert_close(ranking.average_precision(), &case["average_precision"], &format!("{name}, AP"));
    });
}

#[test]
fn the_roc_curve_is_that_of_scikit_learn_point_by_point() {
    for_each_ranking(|case, ranking, name| {
        let (actual, expected) = (ranking.roc().expect("both classes"), list(case, "roc"));
        assert_eq!(actual.len(), expected.len(), "{name}");
        for (a, e) in actual.iter().zip(expected) {
            assert_close(Ok(a.false_positive_rate), &e[0], name);
            assert_close(Ok(a.true_positive_rate), &e[1], name);
        }
        assert_eq!(actual[0].threshold, None);
        assert!(actual[1..].windows(2).all(|pair| pair[0].threshold > pair[1].threshold), "{name}");
    });
}

#[test]
fn the_precision_recall_curve_is_that_of_scikit_learn_point_by_point() {
    for_each_ranking(|case, ranking, name| {
        let (actual, expected) = (ranking.precision_recall().expect("both classes"), list(case, "precision_recall"));
        assert_eq!(actual.len(), expected.len(), "{name}");
        for (a, e) in actual.iter().zip(expected) {
            assert_close(Ok(a.precision), &e[0], name);
            assert_close(Ok(a.recall), &e[1], name);
        }
    });
}

#[test]
fn the_true_positive_rate_at_low_false_positive_rates_is_the_highest_that_scikit_learn_lists() {
    for_each_ranking(|case, ranking, name| {
        for (rate, expected) in [0.01, 0.05].into_iter().zip(list(case, "true_positive_rate_at")) {
            assert_close(ranking.true_positive_rate_at(rate), expected, &format!("{name} at {rate}"));
        }
    });
}

#[test]
fn calibration_in_bins_is_that_of_scikit_learn_and_so_is_the_error_by_it() {
    for_each_ranking(|case, ranking, name| {
        let (bins, expected) = (ranking.bins(CALIBRATION_BINS).expect("probabilities"), &case["calibration"]);
        let counts: Vec<u64> = list(expected, "counts").iter().map(|count| count.as_u64().expect("a count")).collect();
        assert_eq!(bins.iter().map(ScoreBin::count).collect::<Vec<u64>>(), counts, "{name}");
        let full: Vec<&ScoreBin> = bins.iter().filter(|bin| bin.count() > 0).collect();
        let listed = list(expected, "bins");
        assert_eq!(full.len(), listed.len(), "{name}");
        for (bin, e) in full.into_iter().zip(listed) {
            assert_close(Ok(bin.fake_part().expect("full")), &e[0], name);
            assert_close(Ok(bin.mean_score.expect("full")), &e[1], name);
        }
        assert_close(ranking.expected_calibration_error(), &expected["error"], name);
    });
}

#[test]
fn the_equal_error_rate_is_where_scipy_finds_the_crossing() {
    for_each_ranking(|case, ranking, name| {
        assert_close(ranking.equal_error_rate(), &case["equal_error_rate"], name);
    });
}

#[test]
fn confusion_and_its_figures_are_those_of_scikit_learn_and_undefined_where_it_warns() {
    for_each_ranking(|case, ranking, name| {
        for at in list(case, "at") {
            let confusion = ranking.confusion_at(number(&at["threshold"]));
            let counts = [
                confusion.true_negatives,
                confusion.false_positives,
                confusion.false_negatives,
                confusion.true_positives,
            ];
            let expected: Vec<u64> = list(at, "confusion").iter().map(|count| count.as_u64().expect("count")).collect();
            assert_eq!(counts[..], expected[..], "{name}");
            for (figure, actual) in [
                ("accuracy", confusion.accuracy()),
                ("precision", confusion.precision()),
                ("recall", confusion.recall()),
                ("f1", confusion.f1()),
                ("balanced_accuracy", confusion.balanced_accuracy()),
            ] {
                let what = format!("{name}, {figure} at {}", at["threshold"]);
                if at[figure].is_null() {
                    assert!(actual.is_err(), "{what}: {actual:?}");
                } else {
                    assert_close(actual, &at[figure], &what);
                }
            }
        }
    });
}

#[test]
fn no_threshold_of_scikit_learns_curve_has_a_better_balanced_accuracy_than_ours() {
    for_each_ranking(|case, ranking, name| {
        let best = number(&case["best_balanced_accuracy"]);
        match balanced_threshold(ranking) {
            Ok(threshold) => {
                assert_close(
                    ranking.confusion_at(threshold).balanced_accuracy(),
                    &case["best_balanced_accuracy"],
                    name,
                );
            }
            Err(reason) => assert_eq!((reason, best), (Undefined::NoBetterThanGuessing, 0.5), "{name}"),
        }
    });
}

#[test]
fn bootstrap_intervals_are_those_of_scipy_up_to_the_chance_of_drawing() {
    let goldens = goldens();
    let bootstrap = Bootstrap { resamples: 20_000, ..Bootstrap::default() };
    for case in list(&goldens, "bootstrap") {
        let index = case["index"].as_u64().expect("an index") as usize;
        let videos: Vec<Vec<Scored>> =
            samples(&goldens["rankings"][index]).into_iter().map(|sample| vec![sample]).collect();
        let found = bootstrap.intervals(&videos, |ranking| [ranking.auc(), ranking.average_precision()]);
        for (name, interval) in ["auc", "average_precision"].into_iter().zip(found.expect("finite")) {
            let interval = interval.expect("defined");
            let expected = [0, 1].map(|end| number(&case[name][end]));
            // A quantile of 20,000 draws is itself off by about 0.01 of the interval's width.
            let allowed = 0.05 * (expected[1] - expected[0]);
            let off = [interval.low - expected[0], interval.high - expected[1]];
            assert!(off.iter().all(|off| off.abs() < allowed), "{name}: {interval:?} is not {expected:?}");
            assert_eq!((interval.resamples, interval.skipped), (20_000, 0));
        }
    }
}

#[test]
fn intervals_over_groups_are_those_of_numpy_up_to_the_chance_of_drawing() {
    let bootstrap = Bootstrap { resamples: 20_000, ..Bootstrap::default() };
    for (index, case) in golden("bootstrap_groups.json").as_array().expect("cases").iter().enumerate() {
        let sample = |pair: &Value| Scored { score: number_at(pair, 0), fake: number_at(pair, 1) == 1.0 };
        let of_group = |group: &Value| group.as_array().expect("a group").iter().map(sample).collect();
        let groups: Vec<Vec<Scored>> = list(case, "groups").iter().map(of_group).collect();
        let found = bootstrap.intervals(&groups, |ranking| [ranking.auc(), ranking.confusion_at(0.5).accuracy()]);
        let [auc, accuracy] = found.expect("finite");
        for (name, interval) in [("auc", &auc), ("accuracy", &accuracy)] {
            let interval = interval.expect("defined");
            let expected = [0, 1].map(|end| number_at(&case[name], end));
            // A quantile of 20,000 draws is itself off by about 0.01 of the interval's width.
            let allowed = 0.05 * (expected[1] - expected[0]);
            let off = [interval.low - expected[0], interval.high - expected[1]];
            assert!(
                off.iter().all(|off| off.abs() < allowed),
                "case {index}, {name}: {interval:?} is not {expected:?}"
            );
        }
        let skipped = f64::from(auc.expect("defined").skipped) / 20_000.0;
        assert!((skipped - number(&case["skipped"])).abs() < 0.02, "case {index}: {skipped}");
    }
}

#[test]
fn temperatures_are_the_minima_that_scipy_finds() {
    let goldens = goldens();
    for case in list(&goldens, "temperatures") {
        let logits = list(case, "logits").iter().map(|row| [0, 1].map(|class| number(&row[class]) as f32));
        let fit = fit_temperature(logits.zip(list(case, "fakes").iter().map(|fake| fake == 1))).expect("both classes");
        let expected = number(&case["temperature"]);
        // Around its minimum the likelihood is flat, so scipy sees the temperature to half the digits of the likelihood.
        assert!((fit.temperature / expected - 1.0).abs() < 1e-6, "{fit:?} is not {expected}");
        assert!((fit.nll_before - number(&case["nll_before"])).abs() < 1e-9, "{fit:?}");
        assert!(fit.nll_after < number(&case["nll_after"]) + TOLERANCE, "{fit:?} is a worse minimum");
        let at_limit = fit.temperature == MAX_TEMPERATURE;
        assert_eq!(fit.note == TemperatureNote::AtLimit, at_limit, "{fit:?}");
    }
}

#[test]
fn verdict_thresholds_decide_as_many_videos_as_the_best_of_all_pairs() {
    for_each_ranking(|case, ranking, name| {
        for verdict in list(case, "verdict") {
            let allowed = number(&verdict["allowed"]);
            let misses = Misses { reals: allowed, fakes: allowed };
            let fit = fit_verdict_thresholds(&samples(case), &misses).expect("scores in 0..1");
            let enough = ranking.fakes().min(ranking.reals()) as f64 * allowed >= 1.0;
            match fit.basis {
                VerdictBasis::TooFewVideos { .. } => assert!(!enough, "{name}: {fit:?}"),
                VerdictBasis::Saturated => panic!("{name}: {fit:?}"),
                VerdictBasis::Fitted => {
                    assert!(enough, "{name}: {fit:?}");
                    // Classes that do not overlap could be decided whole; there a band is kept.
                    if let Some(decided) = verdict["decided"].as_u64() {
                        assert_eq!(fit.decided, decided, "{name}: {fit:?}");
                    }
                    assert!(fit.reals_called_fake as f64 <= allowed * ranking.reals() as f64, "{name}: {fit:?}");
                    assert!(fit.fakes_called_real as f64 <= allowed * ranking.fakes() as f64, "{name}: {fit:?}");
                }
            }
        }
    });
}
