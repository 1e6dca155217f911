"""Intervals and p values from the values of a bootstrap.

percentile: quantiles of the resamples (Efron 1979). expanded: the same at levels that widen it for few recordings, as
Student's t does (Hesterberg 2015, Am Stat 69:371-386, doi 10.1080/00031305.2015.1089789). bca: bias-corrected and
accelerated (Efron 1987, J Am Stat Assoc 82:171-185, doi 10.1080/01621459.1987.10478410).
"""

import numpy as np
import scipy.stats

from ecg_jax.evaluation import resampling
from ecg_jax.evaluation.settings import Settings

Ends = tuple[np.ndarray, np.ndarray]  # lower and upper, [S] each


def find(
    estimate: np.ndarray,
    values: np.ndarray,
    sizes: np.ndarray,
    statistic: resampling.Statistic,
    design: resampling.Design,
    settings: Settings,
) -> Ends:
    """Intervals of estimates `[S]` from bootstrap values `[S, R]`, of the kind that is set; `expanded` if `auto`.

    `sizes` `[S]`: see `compute_expanded`; `statistic` and `design` made the values.
    """
    if settings.legacy:
        return compute_legacy(values)
    if settings.interval == "percentile":
        return compute_percentile(values, settings.level)
    if settings.interval == "bca":
        return compute_bca(estimate, values, resampling.jackknife(statistic, design), settings.level)
    return compute_expanded(values, sizes, settings.level)


def compute_percentile(values: np.ndarray, level: float = 0.95) -> Ends:
    """Percentile intervals of bootstrap values `[S, R]`; NaN values (undefined resamples) are left out."""
    return _take_quantiles(values, np.broadcast_to([(1 - level) / 2, (1 + level) / 2], (len(values), 2)))


def compute_legacy(values: np.ndarray) -> Ends:
    """95 % intervals as the script of Ribeiro et al. 2020 took them: of 1,000 sorted values, the 26th and the 976th."""
    ordered, count = np.sort(values, axis=1), values.shape[1]
    return ordered[:, int(0.025 * count)], ordered[:, int(0.975 * count)]


def compute_expanded(values: np.ndarray, sizes: np.ndarray, level: float = 0.95) -> Ends:
    """Percentile intervals of `[S, R]`, widened for small samples: `sizes` `[S]`, or those of the rarer class."""
    freedom = np.maximum(np.asarray(sizes, np.float64) - 1, 1)
    reach = np.sqrt((freedom + 1) / freedom) * scipy.stats.t.ppf((1 + level) / 2, freedom)
    return _take_quantiles(values, scipy.stats.norm.cdf(np.stack([-reach, reach], axis=1)))


def compute_bca(estimate: np.ndarray, values: np.ndarray, left_out: np.ndarray, level: float = 0.95) -> Ends:
    """BCa intervals of estimates `[S]` from bootstrap values `[S, R]` and jackknife values `[S, G]`.

    Where all resamples lie on one side of the estimate, the bias is unknown and the end is the extreme resample.
    """
    finite = np.isfinite(values)
    count = np.maximum(finite.sum(axis=1), 1)
    below = np.sum(((values < estimate[:, None]) + (values == estimate[:, None]) / 2) * finite, axis=1)
    bias = scipy.stats.norm.ppf(np.clip(below / count, 0.5 / count, 1 - 0.5 / count))
    known = np.isfinite(left_out)
    mean = np.where(known, left_out, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    influence = np.nan_to_num(mean[:, None] - left_out)
    square, cube = (influence**2).sum(axis=1), (influence**3).sum(axis=1)
    acceleration = np.divide(cube, 6 * square**1.5, out=np.zeros_like(cube), where=square > 0)
    moved = bias[:, None] + scipy.stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    slack = 1 - acceleration[:, None] * moved
    levels = scipy.stats.norm.cdf(bias[:, None] + moved / np.where(slack > 0, slack, 1.0))
    return _take_quantiles(values, np.where(slack > 0, levels, moved > 0))


def estimate_with_bca(
    statistic: resampling.Statistic, size: int, unit: np.ndarray | None, resamples: int, level: float, seed: int
) -> tuple[float, float, float]:
    """A statistic `[1, R]` of `size` recordings (at least 1), and the ends of its BCa interval, NaN without any."""
    estimate = statistic(np.ones((size, 1)))[:, 0]
    if not resamples:
        return float(estimate[0]), np.nan, np.nan
    design = resampling.create_design(size) if unit is None else resampling.group(unit)
    values = resampling.resample(statistic, design, resamples, seed)
    low, high = compute_bca(estimate, values, resampling.jackknife(statistic, design), level)
    return float(estimate[0]), float(low[0]), float(high[0])


def compute_p(differences: np.ndarray) -> np.ndarray:
    """Two-sided p values `[S]` that bootstrap differences `[S, R]` are centred on 0; NaN without any.

    Twice the share on the smaller side (a difference of 0 is on both), with one resample added to either: never 0.
    """
    count = np.isfinite(differences).sum(axis=1)
    sides = np.minimum((differences <= 0).sum(axis=1), (differences >= 0).sum(axis=1))
    return np.where(count > 0, np.minimum(2 * (sides + 1) / (count + 1), 1.0), np.nan)


def _take_quantiles(values: np.ndarray, levels: np.ndarray) -> Ends:
    """Quantiles of each row of `[S, R]` at its own `[S, 2]` levels."""
    ends = np.full((len(values), 2), np.nan)
    for row, (found, level) in enumerate(zip(values, levels, strict=True)):
        known = found[np.isfinite(found)]
        if known.size:
            ends[row] = np.quantile(known, level)
    return ends[:, 0], ends[:, 1]
