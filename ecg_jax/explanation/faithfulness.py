"""How good an attribution is, where the cause is known, and whether it depends on what the network has learned.

- Share inside: of an attribution, in the cause; by chance it is the share of samples that the cause takes up.
- Pointing game (Zhang et al. 2018, Int J Comput Vis 126:1084): whether the largest value lies in the cause.
- Deletion and insertion (Petsiuk, Das and Saenko 2018, BMVC, "RISE"): the probability while cells (some samples of a
  lead) are set to 0, the most important first, or are put back into nothing. The area under it is small, or large.
- Similarity of two attributions, by ranks of their cells: of networks that were trained from different seeds, and of a
  network and itself with random weights (Adebayo et al. 2018, NeurIPS, "Sanity Checks for Saliency Maps").

All functions are of one recording, `[T, L]`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.stats

from ecg_jax.models import weights as weights_lib

FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Of cells, that are deleted or inserted; with 0 and 1 the points of the curves."""


def compute_share(values: np.ndarray, cause: np.ndarray) -> float:
    """The share of magnitude within the cause, both `[T, L]`; 0 where all values are 0."""
    magnitude = np.abs(values).astype(np.float64)
    total = magnitude.sum()
    return float(magnitude[cause].sum() / total) if total else 0.0


def widen(cause: np.ndarray, tolerance: int) -> np.ndarray:
    """The cause `[T, L]`, longer by so many samples on either side."""
    return scipy.ndimage.maximum_filter1d(cause, 2 * tolerance + 1, axis=0)


def points_at(values: np.ndarray, cause: np.ndarray, *, width: int, tolerance: int) -> bool:
    """Whether the largest value, averaged over `width` samples, is in the cause or `tolerance` samples from it."""
    smooth = scipy.ndimage.uniform_filter1d(values.astype(np.float64), width, axis=0, mode="constant")
    return bool(widen(cause, tolerance).ravel()[smooth.argmax()])


def sum_cells(values: np.ndarray, width: int) -> np.ndarray:
    """Sums over cells of `width` samples, `[T // width, L]`; a rest is left out."""
    count = len(values) // width
    return values[: count * width].reshape(count, width, -1).sum(axis=1, dtype=np.float64)


def remove_cells(
    signal: np.ndarray, values: np.ndarray, width: int, fractions: Sequence[float] = FRACTIONS, *, keep: bool = False
) -> np.ndarray:
    """The signal without its most important cells, or with nothing else: `[fractions, T, L]`.

    Args:
        signal: `[T, L]`.
        values: `[T, L]`; cells with the largest sums go first, equal ones in a random order that is always the same.
        width: Samples of a cell.
        fractions: Of cells, that are set to 0; with `keep` those that are not.
        keep: Keep these cells, and set the others to 0.
    """
    cells = sum_cells(values, width)
    rank = np.empty(cells.size, int)
    rank[np.lexsort((np.random.default_rng(0).random(cells.size), -cells.ravel()))] = np.arange(cells.size)
    limits = np.round(np.array(fractions) * cells.size)
    chosen = (rank < limits[:, None]).reshape(-1, *cells.shape).repeat(width, axis=1)
    chosen = np.pad(chosen, ((0, 0), (0, len(signal) - chosen.shape[1]), (0, 0)))
    return np.where(chosen == keep, signal, 0).astype(np.float32)


def compute_area(first: float, between: Sequence[float] | np.ndarray, last: float) -> float:
    """The area under a curve over fractions of cells, by straight lines: its values at 0, at `FRACTIONS`, and at 1."""
    return float(np.trapezoid([first, *between, last], [0.0, *FRACTIONS, 1.0]))


def compare(values: np.ndarray, others: np.ndarray, width: int) -> float:
    """Spearman's correlation of two attributions' cells; NaN where one is constant."""
    one, other = (sum_cells(each, width).ravel() for each in (values, others))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    return float(scipy.stats.spearmanr(one, other).statistic)


def randomize(variables: Mapping[str, Any], fresh: Mapping[str, Any], parts: Sequence[str]) -> dict[str, Any]:
    """Variables of a network, those whose path is in `parts` or below (`head`, `trunk/unit4`) from `fresh` ones."""
    new = weights_lib.flatten(fresh)

    def is_chosen(path: str) -> bool:
        _, _, place = path.partition("/")
        return any(place == part or place.startswith(f"{part}/") for part in parts)

    old = weights_lib.flatten(variables)
    return weights_lib.unflatten({path: new[path] if is_chosen(path) else leaf for path, leaf in old.items()})
