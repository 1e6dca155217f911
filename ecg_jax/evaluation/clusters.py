"""Recordings of the same patients: how many independent recordings some recordings are worth.

The variance of a mean is that of sums per patient (the linearized variance of a ratio; Rao and Scott 1992,
Biometrics 48:577-585). Few patients estimate it badly: as in Korn and Graubard (1998, Surv Methodol 24:193-201)
it grows by the ratio of the squared quantiles of Student's t at the numbers of patients and of recordings, but no
further than it would be if all recordings of a patient said the same (Kish 1965, Survey Sampling, ch. 5). So
recordings that are repeated count once, to the last digit, and patients with one recording each count as before.
"""

import numpy as np
from scipy import special

LEVEL = 0.95  # of the quantiles of Student's t


def count_units(unit: np.ndarray, chosen: np.ndarray | None = None) -> int:
    """Number of different units `[N]` int, of those `chosen`, `[N]` bool."""
    return int(np.count_nonzero(np.bincount(unit if chosen is None else unit[chosen])))


def sum_units(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Sums of `[N, ...]` per unit, `[max(unit) + 1, ...]` float64."""
    columns = values.reshape(len(values), -1)
    size = int(unit.max(initial=-1)) + 1
    sums = [np.bincount(unit, column, minlength=size) for column in columns.T]
    return np.stack(sums, axis=1).reshape(size, *values.shape[1:]) if sums else np.zeros((size, *values.shape[1:]))


def count_effective(residual: np.ndarray, unit: np.ndarray, counted: np.ndarray | None = None) -> float:
    """Independent recordings that have a mean's uncertainty; between Kish's number and that of the recordings.

    Args:
        residual: `[N]`, the distance of each recording's value from the mean, or its influence on a statistic.
        unit: `[N]` int, its patient.
        counted: `[N]` bool, the recordings that the statistic is an average of (others influence it too); all if None.

    Returns:
        The number of recordings where each is a patient's only one; Kish's number where there is no variance, for
        nothing is known then of how alike a patient's recordings are; 0 without any recording.
    """
    members = unit if counted is None else unit[counted]
    recordings, units = len(members), count_units(members)
    if not recordings:
        return 0.0
    least, square = _count_least(members), float(np.sum(residual**2))
    if units == 1 or not square > 0:
        return least
    if units == recordings and counted is None:
        return float(recordings)
    effect = float(np.sum(sum_units(residual, unit) ** 2)) / square
    if not effect > 0:
        return float(recordings)
    plain = recordings * (units - 1) / units / effect
    number = min(1 + plain, max(1 + plain / _inflate(units, recordings), least))
    return min(max(number, 1.0), float(recordings))


def compute_excess(residual: np.ndarray, unit: np.ndarray) -> float:
    """What few patients add to the variance of a mean of `[N]` values with such distances from it; at least 0.

    Args:
        residual: `[N]`.
        unit: `[N]` int, of at least two units; without effect where each is its own.
    """
    units, recordings = count_units(unit), len(residual)
    plain = units / (units - 1) * float(np.sum(sum_units(residual, unit) ** 2)) / recordings**2
    most = float(np.sum(residual**2)) / recordings / (_count_least(unit) - 1)
    return max(0.0, min(plain * _inflate(units, recordings), most) - plain)


def _count_least(unit: np.ndarray) -> float:
    """Independent recordings that `[N]` are worth if those of a unit say the same (Kish's number)."""
    return len(unit) ** 2 / float(np.sum(np.bincount(unit).astype(np.float64) ** 2))


def _inflate(units: int, recordings: int) -> float:
    """Ratio of the squared quantiles of Student's t."""
    quantiles = special.stdtrit(np.array([units, recordings]) - 1, (1 + LEVEL) / 2)
    return float((quantiles[0] / quantiles[1]) ** 2)
