"""Intervals of one label's scores that hold with few recordings and few patients, without resampling.

AUROC: see `delong.find_interval`. Decisions: Wilson's, as of proportions. Average precision: Wilson's too, as of a
proportion of the positives, whose variance it has about (Boyd, Eng and Page 2013, ECML PKDD, doi
10.1007/978-3-642-40994-3_29). Where patients have several recordings, these count for as many as they are worth
(`clusters.count_effective`; effective numbers in Wilson's interval: Franco et al. 2019, J Surv Stat Methodol
7:334-364, doi 10.1093/jssam/smy019).
"""

from collections.abc import Mapping

import numpy as np

from ecg_jax.evaluation import clusters, delong, metrics
from ecg_jax.evaluation.calibration import compute_wilson

# hits, false alarms, misses, right rejections -> the two sides of a proportion
_PROPORTIONS = {"precision": (0, 1), "recall": (0, 2), "specificity": (3, 1), "npv": (3, 2), "f1": (0, 1, 2)}

Ends = tuple[float, float]


def find(
    label: np.ndarray,
    ranking: np.ndarray,
    called: np.ndarray,
    average_precision: float,
    unit: np.ndarray | None = None,
    level: float = 0.95,
) -> dict[str, Ends]:
    """Intervals by score, as far as there are such; none without both classes.

    Args:
        label: `[N]` in {1, 0, NaN}.
        ranking: `[N]`, higher where more likely present.
        called: `[N]` bool.
        average_precision: Of these.
        unit: `[N]` int, the patient of each recording; each its own if None.
        level: Of the intervals.
    """
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, ranking[known]
    positives, members = int(truth.sum()), None if unit is None else unit[known]
    if not positives or positives == len(truth):
        return {}
    sizes, worth = None, float(positives)
    if members is not None:
        sizes = _count_proportions(truth, called[known], members)
        worth = clusters.count_effective(measure_influence(truth, score), members, truth)
    low, high = compute_wilson(np.array(average_precision * worth), np.array(worth), level)
    return compute_proportion_intervals(metrics.count_outcomes(label, called), level, sizes) | {
        "auroc": delong.find_interval(truth, score, members, level=level),
        "average_precision": (float(low), float(high)),
    }


def compute_proportion_intervals(
    counts: np.ndarray, level: float = 0.95, sizes: Mapping[str, float] | None = None
) -> dict[str, Ends]:
    """Wilson's intervals of precision, recall, specificity and NPV, and of F1, as far as they are defined.

    F1 is a function of the proportion of hits among hits, false alarms and misses, and so is its interval.

    Args:
        counts: See `metrics.count_outcomes`.
        level: Of the intervals.
        sizes: The number of independent recordings by score; that of the recordings if None.
    """
    ends = {}
    for name, sides in _PROPORTIONS.items():
        total = counts[list(sides)].sum()
        if not total:
            continue
        size = total if sizes is None else sizes[name]
        low, high = (float(end) for end in compute_wilson(counts[sides[0]] / total * size, np.array(size), level))
        ends[name] = (2 * low / (1 + low), 2 * high / (1 + high)) if name == "f1" else (low, high)
    return ends


def _count_proportions(truth: np.ndarray, called: np.ndarray, unit: np.ndarray) -> dict[str, float]:
    """The number of independent recordings that each proportion is of."""
    outcome = np.select([truth & called, called, truth], [0, 1, 2], 3)
    sizes = {}
    for name, sides in _PROPORTIONS.items():
        chosen = np.isin(np.arange(4), sides)[outcome]
        right = (outcome[chosen] == sides[0]).astype(np.float64)
        sizes[name] = clusters.count_effective(right - right.mean(), unit[chosen]) if right.size else 0.0
    return sizes


def measure_influence(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Derivatives of the average precision by the weights of the recordings (infinitesimal jackknife).

    Args:
        truth: `[N]` bool, with at least one positive.
        score: `[N]`.

    Returns:
        `[N]`; they sum to 0.
    """
    levels = np.unique(score[truth])
    above = len(levels) - np.searchsorted(levels, score, side="right")  # levels higher than the score
    found, total = (np.bincount(above, weights, len(levels) + 1) for weights in (truth, None))
    hits, calls, positives = np.cumsum(found), np.cumsum(total), int(truth.sum())
    precision = hits / np.maximum(calls, 1)
    average = float(found @ precision) / positives
    weight = found / np.maximum(calls, 1).astype(np.float64) ** 2
    gain, loss = (np.cumsum((weight * part)[::-1])[::-1] for part in (calls - hits, hits))
    return np.where(truth, (precision - average + gain)[above], -loss[above]) / positives
