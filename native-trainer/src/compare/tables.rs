//! The three tables as rows, and as CSV.

use anyhow::Result;

use super::results::{Comparison, MethodEntry};
use crate::evaluation::figures::Metric;
use crate::evaluation::{MeanFigure, csv_files, markdown};

/// What stands in the place of a data set for the mean over them.
pub(super) const MEAN: &str = "mean";
/// The state of a figure that is there.
const DONE: &str = "measured";
/// The state of a figure that the videos do not define.
const UNDEFINED: &str = "undefined";

/// The metrics of the second table, in the order of its rows.
pub(super) const METRICS: [Metric; 4] =
    [Metric::Auc, Metric::AveragePrecision, Metric::EqualErrorRate, Metric::Accuracy];

/// The AUC of a method on a data set, or its mean.
pub(super) struct AucRow<'a> {
    pub(super) method: &'a str,
    /// [`MEAN`] for the mean.
    pub(super) dataset: &'a str,
    /// Real videos, fake ones, and groups that are independent; of the mean there are none.
    pub(super) videos: Option<[u64; 3]>,
    pub(super) auc: Option<f64>,
    /// The ends of its interval.
    pub(super) interval: Option<[f64; 2]>,
    /// How many data sets the mean is over.
    pub(super) datasets: usize,
    /// Whether it is the best of those that can be compared with it.
    pub(super) is_best: bool,
    /// Why there is no figure, in a word or two.
    pub(super) state: &'static str,
}

/// The first table: for each data set and then for the mean, all methods in their order.
pub(super) fn auc_rows(comparison: &Comparison) -> Vec<AucRow<'_>> {
    let methods = &comparison.methods;
    let mut rows = Vec::new();
    for (index, set) in comparison.datasets.iter().enumerate() {
        let aucs: Vec<Option<f64>> = methods.iter().map(|method| value(method, index, Metric::Auc)).collect();
        for (method, is_best) in methods.iter().zip(best(&aucs)) {
            let measured = method.on(index);
            let figures = measured.map(|measured| &measured.figures).ok();
            let auc = figures.and_then(|figures| figures.auc.value);
            rows.push(AucRow {
                method: &method.name,
                dataset: &set.name,
                videos: figures.map(|figures| [figures.reals, figures.fakes, figures.groups]),
                auc,
                interval: figures
                    .and_then(|figures| figures.auc.interval)
                    .map(|interval| [interval.low, interval.high]),
                datasets: usize::from(auc.is_some()),
                is_best,
                state: state(method, index, Metric::Auc),
            });
        }
    }
    let count = comparison.datasets.len();
    let means: Vec<MeanFigure> = methods.iter().map(|method| mean(method, count, Metric::Auc)).collect();
    // Means over other data sets than those of the others are no better or worse than theirs.
    let comparable: Vec<Option<f64>> =
        means.iter().zip(on_all_measured(comparison)).map(|(mean, all)| mean.value.filter(|_| all)).collect();
    for ((method, mean), is_best) in methods.iter().zip(&means).zip(best(&comparable)) {
        rows.push(AucRow {
            method: &method.name,
            dataset: MEAN,
            videos: None,
            auc: mean.value,
            interval: None,
            datasets: mean.datasets,
            is_best,
            state: mean_state(method, mean),
        });
    }
    rows
}

/// A figure of a method on the data set of this index.
pub(super) fn value(method: &MethodEntry, dataset: usize, metric: Metric) -> Option<f64> {
    method.on(dataset).ok()?.figures.get(metric)?.value
}

/// What there is of a figure, in a word or two.
pub(super) fn state(method: &MethodEntry, dataset: usize, metric: Metric) -> &'static str {
    match method.on(dataset) {
        Err(missing) => missing.kind.words(),
        Ok(_) if value(method, dataset, metric).is_none() => UNDEFINED,
        Ok(_) => DONE,
    }
}

/// What there is of a mean, in a word or two.
pub(super) fn mean_state(method: &MethodEntry, mean: &MeanFigure) -> &'static str {
    if mean.value.is_some() {
        return DONE;
    }
    let is_measured = method.measured.iter().any(|measured| measured.found().is_ok());
    let missing = method.detector.found().err();
    let missing = missing.or_else(|| method.measured.iter().find_map(|measured| measured.found().err()));
    missing.filter(|_| !is_measured).map_or(UNDEFINED, |missing| missing.kind.words())
}

/// The mean over the data sets, `count` in all, that define the figure.
pub(super) fn mean(method: &MethodEntry, count: usize, metric: Metric) -> MeanFigure {
    let values: Vec<f64> = (0..count).filter_map(|index| value(method, index, metric)).collect();
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    MeanFigure { value: (!values.is_empty()).then_some(mean), datasets: values.len() }
}

/// For each method, whether it has an AUC wherever any method has one.
fn on_all_measured(comparison: &Comparison) -> Vec<bool> {
    let defined = |method: &MethodEntry| -> Vec<bool> {
        (0..comparison.datasets.len()).map(|index| value(method, index, Metric::Auc).is_some()).collect()
    };
    let all: Vec<Vec<bool>> = comparison.methods.iter().map(defined).collect();
    let lacks = |of_method: &Vec<bool>| {
        (0..comparison.datasets.len()).any(|index| !of_method[index] && all.iter().any(|other| other[index]))
    };
    all.iter().map(|of_method| !lacks(of_method)).collect()
}

/// Which of these are the highest as they are shown; none where there is nothing to compare.
fn best(values: &[Option<f64>]) -> Vec<bool> {
    let highest = values.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let is_contest = values.iter().flatten().count() > 1;
    values
        .iter()
        .map(|value| is_contest && value.is_some() && markdown::cell(*value) == markdown::cell(Some(highest)))
        .collect()
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// The first table as CSV, which the figure shows; AUCs are from 0 to 1.
pub(super) fn auc_csv(rows: &[AucRow]) -> Result<Vec<u8>> {
    let header =
        ["method", "dataset", "reals", "fakes", "groups", "auc", "auc_low", "auc_high", "datasets", "best", "state"];
    csv_files::table(header, rows, |row| {
        let count = |index: usize| text(row.videos.map(|videos| videos[index]));
        let [low, high] = [0, 1].map(|end: usize| text(row.interval.map(|interval| interval[end])));
        [
            row.method.to_owned(),
            row.dataset.to_owned(),
            count(0),
            count(1),
            count(2),
            text(row.auc),
            low,
            high,
            row.datasets.to_string(),
            row.is_best.to_string(),
            row.state.to_owned(),
        ]
    })
}

/// The second table as CSV, a line for each method and data set.
pub(super) fn ablation_csv(comparison: &Comparison) -> Result<Vec<u8>> {
    let count = comparison.datasets.len();
    let mut rows = Vec::new();
    for method in &comparison.methods {
        for (index, set) in comparison.datasets.iter().enumerate() {
            let figures = METRICS.map(|metric| text(value(method, index, metric)));
            rows.push((&method.name, set.name.as_str(), figures, state(method, index, Metric::Auc)));
        }
        let means = METRICS.map(|metric| text(mean(method, count, metric).value));
        rows.push((&method.name, MEAN, means, mean_state(method, &mean(method, count, Metric::Auc))));
    }
    let header = ["method", "dataset", "auc", "average_precision", "equal_error_rate", "accuracy_at_half", "state"];
    csv_files::table(header, &rows, |(method, dataset, [auc, precision, error_rate, accuracy], state)| {
        let figures = [auc, precision, error_rate, accuracy].map(String::clone);
        let [auc, precision, error_rate, accuracy] = figures;
        [(*method).clone(), (*dataset).to_owned(), auc, precision, error_rate, accuracy, (*state).to_owned()]
    })
}

/// The third table as CSV.
pub(super) fn efficiency_csv(comparison: &Comparison) -> Result<Vec<u8>> {
    let header = [
        "method",
        "parameters",
        "trained",
        "share",
        "bytes",
        "flops_a_frame",
        "images_per_second",
        "batch",
        "peak_memory_bytes",
        "state",
    ];
    csv_files::table(header, &comparison.methods, |method| {
        let efficiency = method.efficiency.as_ref();
        let speed = efficiency.and_then(|efficiency| efficiency.speed.found().ok());
        let missing = match (method.detector.found(), efficiency.map(|efficiency| efficiency.speed.found())) {
            (Err(missing), _) | (_, Some(Err(missing))) => missing.kind.words(),
            _ => DONE,
        };
        [
            method.name.clone(),
            text(efficiency.map(|efficiency| efficiency.parameters)),
            text(efficiency.and_then(|efficiency| efficiency.trained)),
            text(efficiency.and_then(|efficiency| efficiency.share())),
            text(efficiency.map(|efficiency| efficiency.bytes)),
            text(efficiency.map(|efficiency| efficiency.flops)),
            text(speed.map(|speed| speed.images_per_second)),
            text(speed.map(|speed| speed.batch)),
            text(speed.and_then(|speed| speed.peak_memory)),
            missing.to_owned(),
        ]
    })
}
