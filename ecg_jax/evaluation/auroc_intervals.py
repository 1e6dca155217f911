"""Intervals of the AUROC, and a test between two AUROCs, without resampling.

Sources: the covariance is that of DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44:837-845, whose components
come from sorted scores, not from all pairs. The score interval is method 5 of Newcombe (2006), Stat Med 25:559-573.
Where patients have several recordings, the components are summed per patient: Obuchowski (1997), Biometrics 53:567-578.

DeLong's own interval covers the truth too rarely for an AUROC near 1 with few positives, where its variance is
estimated from a handful of values; the score interval takes the variance from a model instead, as far as the
recordings do not determine it (`experiments/interval_coverage.py`).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ecg_jax.evaluation import clusters

_HALVINGS = 60  # of an interval no longer than 1: down to the spacing of float64
_PRIOR = 15  # recordings of the rarer class that weigh as much as the assumed variance


@dataclass(frozen=True)
class Difference:
    """The first AUROC minus the second, of the same recordings, with its interval."""

    difference: float
    low: float
    high: float
    z: float  # the difference over its standard error
    p: float  # two-sided, of no difference


def compute_covariance(
    truth: np.ndarray, scores: np.ndarray, unit: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs `[M]` of scores `[N, M]` of the same recordings, and DeLong's covariance, Obuchowski's of patients.

    A tie counts one half. AUROCs are NaN without both classes; the covariance with fewer than two recordings, or
    patients, of either. `ValueError` if the shapes do not fit or a score is NaN.
    """
    over_negatives, over_positives = _place(truth, scores)
    return _average(over_negatives), _covary(over_negatives, over_positives, _split(unit, truth))


def find_interval(
    truth: np.ndarray, score: np.ndarray, unit: np.ndarray | None = None, *, level: float = 0.95
) -> tuple[float, float]:
    """The score interval of the AUROC of scores `[N]` with truth `[N]` bool, corrected by the measured variance.

    Where patients (`unit`, `[N]` int) have several recordings, these count as their effective number
    (`clusters.count_effective` of their components), and the measured variance is Obuchowski's, weighted by the
    number of patients of the rarer class.
    """
    truth = np.asarray(truth, bool)
    over_negatives, over_positives = _place(truth, score[:, None])
    auroc, sides = float(_average(over_negatives)[0]), _split(unit, truth)
    variance = float(_covary(over_negatives, over_positives, sides)[0, 0])
    if sides is None:
        return compute_score_interval(auroc, float(truth.sum()), float((~truth).sum()), variance=variance, level=level)
    residuals = (over_negatives[:, 0] - auroc, over_positives[:, 0] - auroc)
    counts = map(clusters.count_effective, residuals, sides)
    patients = min(map(clusters.count_units, sides))
    return compute_score_interval(auroc, *counts, variance=variance, level=level, measured=patients)


def compute_score_interval(
    auroc: float,
    positives: float,
    negatives: float,
    *,
    variance: float = np.nan,
    level: float = 0.95,
    measured: int | None = None,
) -> tuple[float, float]:
    """The AUROCs from which the observed one is not too many standard errors away; never degenerate, within [0, 1].

    The standard error at each AUROC is Newcombe's (method 5: that of Hanley and McNeil 1982, Radiology 143:29-36, with
    both counts replaced by their mean), which assumes exponential scores. A measured variance corrects it, the more
    recordings of the rarer class the more: all variances are multiplied by (n ratio + 15) / (n + 15), where ratio is of
    the measured variance to the assumed one at the observed AUROC.

    Args:
        auroc: In [0, 1]; NaN gives NaN.
        positives: (Effective) number of recordings with the label.
        negatives: That of the others; without either class the interval is NaN.
        variance: As measured, DeLong's or Obuchowski's; 0 or NaN for unknown.
        level: Coverage, in (0, 1).
        measured: n, the recordings or patients of the rarer class that the variance was measured on; that
            class's recordings if None.

    Raises:
        ValueError: A level outside (0, 1).
    """
    quantile = _quantile(level)
    pairs, others = positives * negatives, (positives + negatives) / 2 - 1
    if np.isnan(auroc) or not pairs:
        return np.nan, np.nan

    def assume(value: float) -> float:
        return value * (1 - value) * (1 + others * ((1 - value) / (2 - value) + value / (1 + value))) / pairs

    factor, assumed = 1.0, assume(auroc)
    if variance > 0 and assumed > 0:
        rarer = min(positives, negatives) if measured is None else measured
        factor = (rarer * variance / assumed + _PRIOR) / (rarer + _PRIOR)

    def find_limit(outer: float) -> float:
        inner = float(auroc)
        for _ in range(_HALVINGS):
            middle = (inner + outer) / 2
            is_within = (middle - auroc) ** 2 <= quantile**2 * factor * assume(middle)
            inner, outer = (middle, outer) if is_within else (inner, middle)
        return inner

    return find_limit(0.0), find_limit(1.0)


def compare(
    truth: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    unit: np.ndarray | None = None,
    *,
    level: float = 0.95,
) -> Difference:
    """DeLong's test between two scores of the same recordings; Obuchowski's where patients have several.

    Few patients raise the variance of either class by `clusters.compute_excess`. z is 0 and p 1 where both rank every
    pair alike. NaN where undefined: the difference without both classes; the rest with fewer than two of either, or
    where two unequal AUROCs have no variance (as 1 and 0.5 by ties alone). `ValueError` if the shapes do not fit, a
    score is NaN, or the level is outside (0, 1).
    """
    quantile = _quantile(level)
    over_negatives, over_positives = _place(truth, np.stack([scores_a, scores_b], axis=1))
    aurocs = _average(over_negatives)
    difference = float(aurocs[0] - aurocs[1])
    # of the differences, not from the covariance: exactly zero where both rank alike
    parts = np.diff(over_negatives, axis=1), np.diff(over_positives, axis=1)
    sides = _split(unit, truth)
    variance = float(_covary(*parts, sides)[0, 0])
    if sides is not None and variance > 0:
        pairs = zip(parts, sides, strict=True)
        variance += sum(clusters.compute_excess(part[:, 0] + difference, side) for part, side in pairs)
    error = float(np.sqrt(variance))
    if error == 0:
        rest = (0.0, 0.0, 0.0, 1.0) if difference == 0 else (np.nan,) * 4
        return Difference(difference, *rest)
    z = difference / error
    p = float(2 * stats.norm.sf(abs(z)))
    return Difference(difference, difference - quantile * error, difference + quantile * error, z, p)


def _place(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The structural components, empty without both classes.

    `[P, M]`, the fraction of negatives below each positive; `[Q, M]`, the fraction of positives above each negative.
    """
    truth = np.asarray(truth, bool)
    if scores.ndim != 2 or truth.shape != scores.shape[:1]:
        raise ValueError(f"truth is {truth.shape}, scores {scores.shape}; they must be [N] and [N, M]")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN; leave the recording out")
    scores, positives = np.asarray(scores, np.float64), int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return np.empty((0, scores.shape[1])), np.empty((0, scores.shape[1]))
    ranks = stats.rankdata(scores, axis=0)
    below = ranks[truth] - stats.rankdata(scores[truth], axis=0)  # a tie is one half
    above = positives - (ranks[~truth] - stats.rankdata(scores[~truth], axis=0))
    return below / negatives, above / positives


def _average(over_negatives: np.ndarray) -> np.ndarray:
    """AUROCs `[M]` from the components `[P, M]`; NaN without any."""
    return over_negatives.mean(axis=0) if len(over_negatives) else np.full(over_negatives.shape[1], np.nan)


def _split(unit: np.ndarray | None, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The units of positives and of negatives."""
    return None if unit is None else (unit[np.asarray(truth, bool)], unit[~np.asarray(truth, bool)])


def _covary(
    over_negatives: np.ndarray, over_positives: np.ndarray, sides: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """Covariance `[M, M]` of the means of the components; NaN with fewer than two recordings, or units, of a class."""
    components = over_negatives, over_positives
    counts = [len(each) for each in components] if sides is None else [clusters.count_units(side) for side in sides]
    if min(counts) < 2:
        return np.full((over_negatives.shape[1],) * 2, np.nan)
    if sides is None:
        one, other = (np.cov(each, rowvar=False) / len(each) for each in components)
        return np.atleast_2d(one + other)
    size, mean = max(int(side.max()) for side in sides) + 1, _average(over_negatives)
    sums = [np.zeros((size, len(mean))) for _ in sides]
    for total, values, side in zip(sums, components, sides, strict=True):
        found = clusters.sum_units((values - mean) / len(values), side)
        total[: len(found)] = found
    within = [total.T @ total * count / (count - 1) for total, count in zip(sums, counts, strict=True)]
    both = clusters.count_units(np.concatenate(sides))
    across = sums[0].T @ sums[1] * both / (both - 1)
    return within[0] + within[1] + across + across.T


def _quantile(level: float) -> float:
    """How many standard errors an interval reaches to either side."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must be in (0, 1)")
    return float(stats.norm.ppf((1 + level) / 2))
