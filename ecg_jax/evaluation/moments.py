"""Scores of predicted numbers against true ones, of thousands of resamples at once, from weighted sums.

Correlation, R2, least squares and limits of agreement follow from sums of truth, prediction, their difference, squares
and products. These are taken of distances from the means of all recordings, so that little is lost where numbers are
large and vary little. Nothing here calls BLAS, whose threads would disturb those of `resampling`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

METRICS = (
    *("mae", "rmse", "r2", "pearson", "calibration_slope", "calibration_intercept"),
    *("bias", "limit_low", "limit_high", "mae_constant"),
)
REACH = 1.96  # standard deviations from the bias to a limit of agreement
_VARIES = 1e-12  # share of the variance of all recordings from which those of a resample vary, but for rounding


@dataclasses.dataclass(frozen=True)
class Moments:
    """What the scores of one label need.

    Attributes:
        rows: `[n]` int, the recordings with known truth, of rising truth.
        terms: `[8, n]` float64: distances of truth, prediction and difference (predicted minus true) from their means,
            their squares, the product of the first two, the absolute difference.
        means: Of truth, prediction and difference.
        variances: Of truth and prediction.
    """

    rows: np.ndarray
    terms: np.ndarray
    means: tuple[float, float, float]
    variances: tuple[float, float]


def create(truth: np.ndarray, predicted: np.ndarray, side: np.ndarray | None = None) -> Moments:
    """Prepares a label, `[N]` each, NaN = unknown truth; of the recordings in `side` `[N]` bool alone, if given."""
    known = ~np.isnan(truth) if side is None else ~np.isnan(truth) & side
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(truth[rows], kind="stable")]
    columns = np.stack([truth[rows], predicted[rows]]).astype(np.float64)
    columns = np.concatenate([columns, columns[1:] - columns[:1]])
    means = columns.mean(axis=1) if rows.size else np.zeros(3)
    distances = columns - means[:, None]
    terms = [*distances, *distances**2, distances[0] * distances[1], np.abs(columns[2])]
    variances = np.mean(distances[:2] ** 2, axis=1) if rows.size else np.zeros(2)
    return Moments(rows, np.stack(terms), (*means.tolist(),), (*variances.tolist(),))


def measure(moments: Moments, weights: np.ndarray, names: Sequence[str] = METRICS) -> np.ndarray:
    """The named scores of every resample, `[names, R]`, some of `METRICS`; NaN where undefined.

    MAE, RMSE and bias need a recording, limits of agreement two; R2 needs truth that varies, correlation and
    calibration also predictions that do. `weights` `[N, R]` float64 are how often each recording is in each resample.
    """
    drawn = np.take(weights.T, moments.rows, axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scores = _combine(moments, drawn)
        if "mae_constant" in names:
            scores["mae_constant"] = _measure_constant(moments.terms[0], drawn)
    return np.stack([scores[name] for name in names])


def _combine(moments: Moments, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """All scores but that of a constant, by name, `[R]`, from weights `[R, n]`."""
    total = drawn.sum(axis=1)
    sums = np.einsum("rn,kn->kr", drawn, moments.terms) / np.where(total > 0, total, np.nan)
    truth, predicted, difference = sums[:3]
    variances = sums[3:6] - sums[:3] ** 2
    covariance = sums[6] - truth * predicted
    varies = [found > _VARIES * whole for found, whole in zip(variances[:2], moments.variances, strict=True)]
    spread = np.where(varies[0], variances[0], np.nan)
    both = np.where(varies[0] & varies[1], variances[1], np.nan)
    bias, scatter = moments.means[2] + difference, np.maximum(variances[2], 0)
    square, slope = bias**2 + scatter, covariance / both
    reach = REACH * np.sqrt(np.where(total > 1, scatter * total / (total - 1), np.nan))
    return {
        "mae": sums[7],
        "rmse": np.sqrt(square),
        "r2": 1 - square / spread,
        "pearson": np.clip(covariance / np.sqrt(spread * both), -1, 1),
        "calibration_slope": slope,
        "calibration_intercept": moments.means[0] + truth - slope * (moments.means[1] + predicted),
        "bias": bias,
        "limit_low": bias - reach,
        "limit_high": bias + reach,
    }


def _measure_constant(truth: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Mean distance from the median `[R]`, of truth `[n]` in rising order with weights `[R, n]`."""
    if not truth.size:
        return np.full(len(drawn), np.nan)
    below = np.cumsum(drawn, axis=1)
    total, every = below[:, -1], np.arange(len(drawn))
    place = np.argmax(below >= total[:, None] / 2, axis=1)
    sums = np.cumsum(drawn * truth, axis=1)
    low, high = sums[every, place], sums[:, -1] - sums[every, place]  # of those up to the median, and above
    distance = truth[place] * (2 * below[every, place] - total) + high - low
    return distance / np.where(total > 0, total, np.nan)
