"""Makes bootstrap_groups.json: bootstrap intervals over groups of samples, by numpy alone.

Each case has `groups`, lists of [score, fake] of samples that are not independent of each other, and
    auc, accuracy     the 2.5 % and 97.5 % quantiles of the metric over 100,000 resamples
    skipped           the part of the resamples in which the AUC is not defined, since one class was not drawn

A resample draws as many groups as there are, with replacement, and takes all samples of each as often as it was drawn.
The AUC is counted pair by pair, accuracy is that of `score >= 0.5`.
"""

import json

import numpy as np

from common import output_argument

SEED = 20264
RESAMPLES = 100_000


def auc(scores, fakes):
    real, fake = scores[fakes == 0], scores[fakes == 1]
    if len(real) == 0 or len(fake) == 0:
        return None
    above = (fake[:, None] > real[None, :]).sum() + 0.5 * (fake[:, None] == real[None, :]).sum()
    return above / (len(real) * len(fake))


def case(sizes, has_both, spread, rng):
    """Groups of those sizes; `spread` is how much more alike the scores of a group are than those of others."""
    groups = []
    for index, size in enumerate(sizes):
        fakes = rng.integers(0, 2, size=size) if has_both else np.full(size, index % 2)
        margin = 1.5 * (fakes - 0.5) + spread * rng.normal() + rng.normal(size=size)
        scores = (1 / (1 + np.exp(-margin))).round(3)
        groups.append([[float(score), int(fake)] for score, fake in zip(scores, fakes)])
    return groups


def intervals(groups, rng):
    arrays = [np.array(group) for group in groups]
    aucs, accuracies, skipped = [], [], 0
    for _ in range(RESAMPLES):
        drawn = np.concatenate([arrays[index] for index in rng.integers(0, len(arrays), size=len(arrays))])
        scores, fakes = drawn[:, 0], drawn[:, 1].astype(int)
        area = auc(scores, fakes)
        if area is None:
            skipped += 1
        else:
            aucs.append(area)
        accuracies.append(((scores >= 0.5) == fakes).mean())
    quantiles = lambda values: np.quantile(values, [0.025, 0.975]).tolist()
    return {
        "groups": groups,
        "auc": quantiles(aucs),
        "accuracy": quantiles(accuracies),
        "skipped": skipped / RESAMPLES,
    }


def main():
    output = output_argument(__doc__).parse_args().output
    rng = np.random.default_rng(SEED)
    cases = [
        case([4] * 15, True, 1.0, rng),
        case([1, 9, 2, 5, 3, 7, 1, 1, 12, 4, 6, 2], False, 0.5, rng),
        case([3, 3, 2], False, 0.0, rng),
    ]
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps([intervals(groups, rng) for groups in cases], separators=(",", ":"))
    (output / "bootstrap_groups.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
