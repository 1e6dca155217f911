"""Intervals of averages over labels, from those of the labels.

MOVER, the method of variance estimates recovery, for correlated estimates (Zou and Donner 2008, Stat Med
27:1693-1702; Donner and Zou 2012, Stat Methods Med Res 21:347-359): the distance from an estimate to either end of its
interval serves as its standard error on that side. So an average is no more certain than its labels allow, also where
all resamples are equal.
"""

import numpy as np
from scipy import stats

from ecg_jax.evaluation import clusters


def combine(
    estimate: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    weight: np.ndarray,
    correlation: np.ndarray,
    extra: float = 0.0,
    bias: float = 0.0,
) -> tuple[float, float]:
    """Interval of a weighted sum.

    Args:
        estimate: `[C]`, of the labels; those with a NaN here or in an end do not count.
        low: `[C]`, the lower ends of their intervals.
        high: `[C]`, the upper ends.
        weight: `[C]`; of differences, some are negative.
        correlation: `[C, C]` of the estimates.
        extra: Squared reach that the weights add where they are estimates too.
        bias: How much too high the sum is, by which the end on that side moves outwards: biases, unlike errors,
            do not average out over labels.

    Returns:
        The ends, no further out than if all labels were at the ends of their intervals; NaN where no label counts.
    """
    known = np.isfinite(estimate) & np.isfinite(low) & np.isfinite(high) & (weight != 0)
    if not known.any():
        return np.nan, np.nan
    weight, correlation = weight[known], correlation[np.ix_(known, known)]
    middle, down, up = (weight * each[known] for each in (estimate, low, high))
    down, up = middle - np.minimum(down, up), np.maximum(down, up) - middle
    signed = np.sign(weight)[:, None] * correlation * np.sign(weight)
    center = float(middle.sum())
    lower, upper = (np.sqrt(max(float(side @ signed @ side), 0.0) + extra) for side in (down, up))
    lower, upper = float(lower + max(bias, 0.0)), float(upper + max(-bias, 0.0))
    if (weight < 0).any() or not np.isclose(weight.sum(), 1):
        return center - lower, center + upper
    return max(center - lower, float(low[known].min())), min(center + upper, float(high[known].max()))


def correlate(samples: np.ndarray, labels_alike: np.ndarray) -> np.ndarray:
    """Correlation of labels' scores over resamples `[C, R]`, at least 0, `[C, C]`.

    `labels_alike` `[C, C]` replaces it where resamples do not vary; see `correlate_labels`.
    """
    found = _correlate_rows(samples)
    return np.clip(np.where(np.isfinite(found), found, np.nan_to_num(labels_alike)), 0, 1)


def correlate_labels(labels: np.ndarray) -> np.ndarray:
    """Correlation of labels `[N, C]` in {1, 0, NaN}, `[C, C]`; NaN with one that has one class."""
    return _correlate_rows(labels.T)


def _correlate_rows(values: np.ndarray) -> np.ndarray:
    """Pearson's correlation of `[C, R]`, NaN left out, `[C, C]`; NaN where a row does not vary, but 1 with itself."""
    known = np.isfinite(values)
    centred = np.where(known, values - _mean(values)[:, None], 0.0)
    product = centred @ centred.T
    scale = np.sqrt(np.diag(product))
    varies = scale > 1e-9 * np.sqrt(known.sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(varies[:, None] & varies, product / (scale[:, None] * scale), np.nan)
    np.fill_diagonal(found, 1.0)
    return found


def _mean(values: np.ndarray) -> np.ndarray:
    """Means of the rows of `[C, R]` over what is finite; 0 where nothing is."""
    known = np.isfinite(values)
    return np.sum(values, axis=1, where=known) / np.maximum(known.sum(axis=1), 1)


def measure_bias(estimate: np.ndarray, samples: np.ndarray, weight: np.ndarray) -> float:
    """How much too high a weighted mean of `[C]` is: twice what resamples `[C, R]` show; 0 without any.

    The average precision of few positives is too high, and resamples show about half of that; scores without a
    bias have almost none in resamples either.
    """
    shift = np.where(np.isfinite(samples).any(axis=1), _mean(samples) - estimate, 0.0)
    return 2 * float(np.sum(weight * shift, where=np.isfinite(estimate)))


def measure_weights(estimate: np.ndarray, present: np.ndarray, unit: np.ndarray, level: float) -> float:
    """Squared reach that random weights add to an average weighted by positives (linearized, per patient).

    `estimate` is `[C]`, of the labels, of which NaN ones do not count; `present` `[N, C]` is in {1, 0}.
    """
    known = np.isfinite(estimate)
    weight = present[:, known].sum(axis=0)
    if not weight.sum() > 0:
        return 0.0
    distance = estimate[known] - float(weight @ estimate[known]) / weight.sum()
    sums = clusters.sum_units(present[:, known] @ distance, unit) / weight.sum()
    return float(stats.norm.ppf((1 + level) / 2) ** 2 * np.sum(sums**2))
