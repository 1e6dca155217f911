"""Medians and percentiles: NumPy's to the bit, at a third of what those cost for the few numbers of one recording."""

import numpy as np

_FEW = 1024  # numbers, which are sorted in less time than three ranks of them are found


def median(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The median along an axis that is not empty, as `numpy.median`; NaN where there is one."""
    count = values.shape[axis]
    places = [(count - 1) // 2, count // 2, count - 1]
    ordered = np.sort(values, axis) if count <= _FEW else np.partition(values, places, axis)
    ordered = ordered if axis == -1 else np.moveaxis(ordered, axis, -1)
    low, high, last = (ordered[..., place] for place in places)
    middle = low if count % 2 else (low + high) / 2
    return np.where(np.isnan(last), last, middle)[()]


def percentiles(values: np.ndarray, *percents: float) -> list[float]:
    """Percentiles of `[n]`, none of them NaN, as `numpy.percentile(values, percents)`."""
    places = [(len(values) - 1) * (percent / 100) for percent in percents]
    below = [int(place) for place in places]
    above = [min(place + 1, len(values) - 1) for place in below]
    ordered = np.partition(values, [*below, *above])
    found = []
    for place, first, second in zip(places, below, above, strict=True):
        low, difference = float(ordered[first]), float(ordered[second] - ordered[first])
        weight = place - first
        found.append(low + difference * weight if weight < 0.5 else float(ordered[second]) - difference * (1 - weight))
    return found
