"""Differences of two proportions of the same recordings: how often one model is right, and the other.

Newcombe's interval (1998, Stat Med 17:2635-2650, method 10): Wilson's intervals of both proportions, put together
with their correlation, which is corrected for continuity. Where patients have several recordings, these count for as
many as they are worth (`clusters.count_effective`), and the correlation is that of sums per patient, as in the
hybrid intervals of Yang, Sun and Hardin (2012, Pharm Stat 11:386-393).
"""

import numpy as np

from ecg_jax.evaluation import averages, clusters
from ecg_jax.evaluation.calibration import compute_wilson


def find_interval(
    first: np.ndarray, second: np.ndarray, unit: np.ndarray | None = None, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the share of `first` less that of `second`.

    Args:
        first: `[N]` bool, whether the first model is right.
        second: `[N]` bool, whether the second is.
        unit: `[N]` int, the patient of each recording; each its own if None.
        level: Of the interval.

    Returns:
        The ends; NaN without any recording.
    """
    if not first.size:
        return np.nan, np.nan
    shares = np.array([first.mean(), second.mean()])
    members = np.arange(len(first)) if unit is None else unit
    residuals = np.stack([first, second], axis=1) - shares
    sizes = np.array([clusters.count_effective(residual, members) for residual in residuals.T])
    low, high = compute_wilson(shares * sizes, sizes, level)
    correlation = np.array([[1.0, _correlate(residuals, members, float(sizes.min()))]] * 2)
    correlation[1] = correlation[1, ::-1]
    return averages.combine(shares, low, high, np.array([1.0, -1.0]), correlation)


def _correlate(residuals: np.ndarray, unit: np.ndarray, size: float) -> float:
    """Correlation of two shares, of `[N, 2]` distances from them; nearer to 0 by half a recording in `size`."""
    product = clusters.sum_units(residuals, unit)
    product = product.T @ product
    scale, spread = np.sqrt(product[0, 0] * product[1, 1]), np.sqrt(np.prod(np.mean(residuals**2, axis=0)))
    if not scale > 0 or not spread > 0:
        return 0.0
    found = float(product[0, 1] / scale)
    return max(found - 1 / (2 * size * spread), 0.0) if found > 0 else found
