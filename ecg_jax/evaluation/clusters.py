"""Several recordings of the same patients: their effective number.

The variance of a mean is that of sums per patient (the linearized variance of a ratio; Rao and Scott 1992, Biometrics
48:577-585). Few patients estimate it badly: as in Korn and Graubard (1998, Surv Methodol 24:193-201) it grows by the
ratio of the squared quantiles of Student's t at the numbers of patients and of recordings, but no further than if all
recordings of a patient were equal (Kish 1965, Survey Sampling, ch. 5). So repeated recordings count once, exactly, and
patients with one recording each count as that one.
"""

import numpy as np
from scipy import special

_LEVEL = 0.95  # of the quantiles of Student's t


def count_units(unit: np.ndarray, chosen: np.ndarray | None = None) -> int:
    """Number of different units `[N]` int, among those `chosen`, `[N]` bool."""
    return int(np.count_nonzero(np.bincount(unit if chosen is None else unit[chosen])))


def sum_units(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Sums of `[N, ...]` per unit, `[max(unit) + 1, ...]` float64."""
    columns = values.reshape(len(values), -1)
    size = int(unit.max(initial=-1)) + 1
    sums = [np.bincount(unit, column, minlength=size) for column in columns.T]
    return np.stack(sums, axis=1).reshape(size, *values.shape[1:])


def count_effective(residual: np.ndarray, unit: np.ndarray, counted: np.ndarray | None = None) -> float:
    """Number of independent recordings with the same uncertainty of a mean.

    Between Kish's number and that of the recordings: the latter where no patient has two, the former without any
    variance, as nothing then shows how alike a patient's recordings are; 0 without any recording.

    Args:
        residual: `[N]`, the distance of each recording's value from the mean, or its influence on a statistic.
        unit: `[N]` int, its patient.
        counted: `[N]` bool, the recordings that the statistic is an average of (others influence it too); all if None.
    """
    members = unit if counted is None else unit[counted]
    recordings, units = len(members), count_units(members)
    if not recordings:
        return 0.0
    least, square = _count_kish(members), float(np.sum(residual**2))
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
    """What few patients add to the variance of the mean of `[N]` values with these residuals; at least 0.

    `unit` is `[N]` int, of at least two units; 0 where each recording is its own.
    """
    units, recordings = count_units(unit), len(residual)
    plain = units / (units - 1) * float(np.sum(sum_units(residual, unit) ** 2)) / recordings**2
    most = float(np.sum(residual**2)) / recordings / (_count_kish(unit) - 1)
    return max(0.0, min(plain * _inflate(units, recordings), most) - plain)


def _count_kish(unit: np.ndarray) -> float:
    """Effective number of `[N]` recordings if those of a unit are equal (Kish's number)."""
    return len(unit) ** 2 / float(np.sum(np.bincount(unit).astype(np.float64) ** 2))


def _inflate(units: int, recordings: int) -> float:
    """Ratio of the squared quantiles of Student's t."""
    quantiles = special.stdtrit(np.array([units, recordings]) - 1, (1 + _LEVEL) / 2)
    return float((quantiles[0] / quantiles[1]) ** 2)
