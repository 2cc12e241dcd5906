"""Makes metrics.json: scores with ties and what scikit-learn and scipy say about them.

Each case of `rankings` has `scores`, `fakes` (0 or 1), and
    auc, average_precision       roc_auc_score, average_precision_score
    roc                          [false positive rate, true positive rate] of roc_curve(drop_intermediate=False)
    precision_recall             [precision, recall] of precision_recall_curve, from recall 0 on
    true_positive_rate_at        the highest TPR of roc_curve where FPR is at most 1 % and 5 %
    calibration                  [fraction of fakes, mean score] of calibration_curve(n_bins=15), bins without scores left out,
                                 and the expected calibration error by them and by how many scores numpy counts in each bin
    equal_error_rate             FPR where FPR = FNR on the polyline through those points, found by scipy's brentq
    at                           for some thresholds: confusion_matrix (tn, fp, fn, tp), accuracy, precision, recall, f1,
                                 balanced accuracy of `score >= threshold`; null where scikit-learn warns of 0/0
    best_balanced_accuracy       the highest over all thresholds
    verdict                      for allowed shares of mistakes: how many videos the widest region decides, by trying all
                                 pairs of thresholds; null where the classes do not overlap, so that all are decided
`bootstrap` has the 95 % percentile intervals that scipy.stats.bootstrap finds with 20,000 resamples of the case `index`.
`temperatures` has `logits`, `fakes`, and the minimum of the negative log-likelihood by scipy's minimize_scalar.
"""

import json
import warnings

import numpy as np
from scipy import optimize, special, stats
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.exceptions import UndefinedMetricWarning

from common import output_argument

SEED = 20263
THRESHOLDS = (0.0, 0.25, 0.5, 0.81, 1.0)
ALLOWED = (0.05, 0.1)
FALSE_POSITIVE_RATES = (0.01, 0.05)
BINS = 15
# Reals, fakes, how far the classes are apart, and the levels scores are rounded to.
RANKINGS = ((1, 1, 1.0, 10), (7, 12, 0.8, 10), (60, 45, 1.2, 100), (30, 200, 0.0, 20), (40, 40, -0.7, 50))
RANKINGS += ((25, 33, 6.0, 1000), (150, 100, 2.5, 1000), (50, 50, 2.0, 4))


def ranking_case(reals, fakes, distance, levels, rng):
    labels = np.repeat([0, 1], [reals, fakes])
    rng.shuffle(labels)
    scores = special.expit(rng.normal(size=reals + fakes) + distance * (labels - 0.5))
    scores = np.round(scores * levels) / levels
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    return {
        "scores": scores.tolist(),
        "fakes": labels.tolist(),
        "auc": metrics.roc_auc_score(labels, scores),
        "average_precision": metrics.average_precision_score(labels, scores),
        "roc": np.stack([fpr, tpr], axis=1).tolist(),
        "precision_recall": np.stack([precision, recall], axis=1)[::-1].tolist(),
        "true_positive_rate_at": [tpr[fpr <= rate].max() for rate in FALSE_POSITIVE_RATES],
        "calibration": calibration(labels, scores),
        "equal_error_rate": equal_error_rate(fpr, tpr),
        "at": [at_threshold(labels, scores, threshold) for threshold in THRESHOLDS],
        "best_balanced_accuracy": ((tpr + 1 - fpr) / 2).max(),
        "verdict": [{"allowed": allowed, "decided": widest_region(labels, scores, allowed)} for allowed in ALLOWED],
    }


def calibration(labels, scores):
    fakes, mean_scores = calibration_curve(labels, scores, n_bins=BINS)
    # Bins are open below and closed above, as scikit-learn's are.
    places = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], scores)
    counts = np.bincount(places, minlength=BINS)
    error = (counts[counts > 0] * np.abs(fakes - mean_scores)).sum() / len(scores)
    return {"bins": np.stack([fakes, mean_scores], axis=1).tolist(), "counts": counts.tolist(), "error": error}


def equal_error_rate(fpr, tpr):
    index = np.arange(len(fpr))
    crossing = optimize.brentq(lambda i: 1 - np.interp(i, index, tpr) - np.interp(i, index, fpr), 0, index[-1])
    return np.interp(crossing, index, fpr)


def at_threshold(labels, scores, threshold):
    called = (scores >= threshold).astype(int)

    def or_null(metric):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                return metric(labels, called)
            except UndefinedMetricWarning:
                return None

    return {
        "threshold": threshold,
        "confusion": metrics.confusion_matrix(labels, called, labels=[0, 1]).ravel().tolist(),
        "accuracy": metrics.accuracy_score(labels, called),
        "precision": or_null(metrics.precision_score),
        "recall": or_null(metrics.recall_score),
        "f1": or_null(metrics.f1_score),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
    }


def widest_region(labels, scores, allowed):
    """The most videos that two thresholds, the lower below the upper, decide within the allowed mistakes."""
    values = np.unique(scores)
    cuts = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    reals, fakes = scores[labels == 0], scores[labels == 1]
    tolerance = 1e-9
    low = [cut for cut in cuts if (fakes <= cut).sum() <= allowed * len(fakes) + tolerance]
    high = [cut for cut in cuts if (reals >= cut).sum() <= allowed * len(reals) + tolerance]
    if max(low) >= min(high):
        return None
    return int((scores <= max(low)).sum() + (scores >= min(high)).sum())


def bootstrap_case(index, case, rng):
    labels, scores = np.array(case["fakes"]), np.array(case["scores"])
    intervals = {}
    for name, metric in (("auc", metrics.roc_auc_score), ("average_precision", metrics.average_precision_score)):
        result = stats.bootstrap(
            (labels, scores), metric, paired=True, vectorized=False, n_resamples=20_000, method="percentile", rng=rng
        )
        intervals[name] = [result.confidence_interval.low, result.confidence_interval.high]
    return {"index": index} | intervals


def temperature_case(count, scale, noise, rng):
    labels = rng.integers(0, 2, size=count)
    labels[:2] = 0, 1
    margins = scale * (labels - 0.5 + noise * rng.normal(size=count))
    offset = rng.normal(size=count)
    logits = np.stack([offset - margins / 2, offset + margins / 2], axis=1).astype(np.float32).round(4)

    def likelihood(log_temperature):
        scaled = logits.astype(np.float64) / np.exp(log_temperature)
        return -special.log_softmax(scaled, axis=1)[np.arange(count), labels].mean()

    best = optimize.minimize_scalar(likelihood, bounds=np.log([0.05, 20]), method="bounded", options={"xatol": 1e-12})
    return {
        "logits": [[float(f"{value:.4f}") for value in row] for row in logits],
        "fakes": labels.tolist(),
        "temperature": float(np.exp(best.x)),
        "nll_before": likelihood(0.0),
        "nll_after": best.fun,
    }


def main():
    output = output_argument(__doc__).parse_args().output
    rng = np.random.default_rng(SEED)
    rankings = [ranking_case(*sizes, rng) for sizes in RANKINGS]
    temperatures = [(50, 1.0, 0.8), (80, 12.0, 0.6), (40, 0.4, 0.5), (120, 30.0, 1.5)]
    goldens = {
        "rankings": rankings,
        "bootstrap": [bootstrap_case(index, rankings[index], rng) for index in (2, 6)],
        "temperatures": [temperature_case(*sizes, rng) for sizes in temperatures],
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "metrics.json").write_text(json.dumps(goldens, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
