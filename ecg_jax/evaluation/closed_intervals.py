"""Intervals that hold with few recordings and few patients, without resampling.

AUROC: see `auroc_intervals`. Decisions: Wilson's, as of proportions. Average precision: Wilson's too, as of a
proportion of the positives, whose variance it has approximately (Boyd, Eng and Page 2013, ECML PKDD, doi
10.1007/978-3-642-40994-3_29). Difference of two proportions of the same recordings: Newcombe's (1998, Stat Med
17:2635-2650, method 10), Wilson's intervals of both combined with their correlation, corrected for continuity.

Where patients have several recordings, these count as their effective number (`clusters.count_effective`; in Wilson's
interval: Franco et al. 2019, J Surv Stat Methodol 7:334-364, doi 10.1093/jssam/smy019), and the correlation is that of
sums per patient, as in the hybrid intervals of Yang, Sun and Hardin (2012, Pharm Stat 11:386-393).
"""

from collections.abc import Mapping

import numpy as np
from scipy.stats import norm

from ecg_jax.evaluation import auroc_intervals, averages, clusters, metrics

# hits, false alarms, misses, correct rejections -> the two sides of a proportion
_PROPORTIONS = {"precision": (0, 1), "recall": (0, 2), "specificity": (3, 1), "npv": (3, 2), "f1": (0, 1, 2)}

Ends = tuple[float, float]


def compute_wilson(hits: np.ndarray, count: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion (1927, J Am Stat Assoc 22:209-212); NaN where `count` is 0."""
    z = norm.ppf((1 + level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.asarray(hits) / count
        middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
        reach = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * np.square(count)))
    return np.maximum(middle - reach, 0), np.minimum(middle + reach, 1)


def find(
    label: np.ndarray,
    ranking: np.ndarray,
    called: np.ndarray,
    average_precision: float,
    unit: np.ndarray | None = None,
    level: float = 0.95,
) -> dict[str, Ends]:
    """Intervals of one label's scores, by name, where such intervals exist; none without both classes."""
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, ranking[known]
    positives, members = int(truth.sum()), None if unit is None else unit[known]
    if not positives or positives == len(truth):
        return {}
    sizes, effective = None, float(positives)
    if members is not None:
        sizes = _count_proportions(truth, called[known], members)
        effective = clusters.count_effective(measure_influence(truth, score), members, truth)
    low, high = compute_wilson(np.array(average_precision * effective), np.array(effective), level)
    return compute_proportion_intervals(metrics.count_outcomes(label, called), level, sizes) | {
        "auroc": auroc_intervals.find_interval(truth, score, members, level=level),
        "average_precision": (float(low), float(high)),
    }


def compute_proportion_intervals(
    counts: np.ndarray, level: float = 0.95, sizes: Mapping[str, float] | None = None
) -> dict[str, Ends]:
    """Wilson's intervals of precision, recall, specificity, NPV and F1, where these are defined.

    F1 is a function of the proportion of hits among hits, false alarms and misses, and so is its interval. `counts` are
    those of `metrics.count_outcomes`; `sizes` effective numbers of recordings by score, if not all recordings.
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
    """The effective number of recordings of each proportion."""
    outcome = np.select([truth & called, called, truth], [0, 1, 2], 3)
    sizes = {}
    for name, sides in _PROPORTIONS.items():
        chosen = np.isin(outcome, sides)
        right = (outcome[chosen] == sides[0]).astype(np.float64)
        sizes[name] = clusters.count_effective(right - right.mean(), unit[chosen]) if right.size else 0.0
    return sizes


def measure_influence(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Derivatives `[N]` of the average precision by recordings' weights (infinitesimal jackknife); they sum to 0."""
    levels = np.unique(score[truth])
    above = len(levels) - np.searchsorted(levels, score, side="right")  # levels higher than the score
    found, total = (np.bincount(above, weights, len(levels) + 1) for weights in (truth, None))
    hits, calls, positives = np.cumsum(found), np.cumsum(total), int(truth.sum())
    precision = hits / np.maximum(calls, 1)
    average = float(found @ precision) / positives
    weight = found / np.maximum(calls, 1).astype(np.float64) ** 2
    gain, loss = (np.cumsum((weight * part)[::-1])[::-1] for part in (calls - hits, hits))
    return np.where(truth, (precision - average + gain)[above], -loss[above]) / positives


def find_difference(first: np.ndarray, second: np.ndarray, unit: np.ndarray | None = None, level: float = 0.95) -> Ends:
    """Interval of the share of `first` less that of `second`, `[N]` bool of the same recordings; NaN without any."""
    if not first.size:
        return np.nan, np.nan
    shares = np.array([first.mean(), second.mean()])
    members = np.arange(len(first)) if unit is None else unit
    residuals = np.stack([first, second], axis=1) - shares
    sizes = np.array([clusters.count_effective(residual, members) for residual in residuals.T])
    low, high = compute_wilson(shares * sizes, sizes, level)
    found = _correlate(residuals, members, float(sizes.min()))
    return averages.combine(shares, low, high, np.array([1.0, -1.0]), np.array([[1.0, found], [found, 1.0]]))


def _correlate(residuals: np.ndarray, unit: np.ndarray, size: float) -> float:
    """Correlation of two shares, from distances `[N, 2]` to them; nearer to 0 by half a recording in `size`."""
    sums = clusters.sum_units(residuals, unit)
    product = sums.T @ sums
    scale, spread = np.sqrt(product[0, 0] * product[1, 1]), np.sqrt(np.prod(np.mean(residuals**2, axis=0)))
    if not scale > 0 or not spread > 0:
        return 0.0
    found = float(product[0, 1] / scale)
    return max(found - 1 / (2 * size * spread), 0.0) if found > 0 else found
