"""The bootstrap: which recordings are drawn how often, and any statistic of all resamples at once.

Resamples come in blocks, each from a random stream of its own: the numbers depend on the
seed alone, not on the number of threads.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

BLOCK = 64  # resamples that are drawn together
LARGEST = 2**24  # weights that a statistic is computed of at once: it may need several times their memory
LEGACY_SEED = 123
_LEFT_OUT = 1000  # groups of a jackknife at most

_WATCHER: ContextVar[Callable[[int, int], None] | None] = ContextVar("watcher", default=None)

Statistic = Callable[[np.ndarray], np.ndarray]  # weights [N, R] float64 -> [S, R]


@dataclasses.dataclass(frozen=True)
class Design:
    """What is drawn, with replacement.

    Attributes:
        unit: `[N]` int, the unit that each recording belongs to: its patient, or itself.
        strata: Units, `[U_s]` int each, that are drawn among themselves, as many as there are.
        legacy: Draw with NumPy's old generator, all resamples of recordings at once.
    """

    unit: np.ndarray
    strata: tuple[np.ndarray, ...]
    legacy: bool = False

    @property
    def units(self) -> int:
        """Number of units."""
        return sum(map(len, self.strata))


def create_design(
    size: int, *, patients: np.ndarray | None = None, strata: np.ndarray | None = None, legacy: bool = False
) -> Design:
    """Describes a bootstrap.

    Args:
        size: Number of recordings.
        patients: `[N]` str, whose recordings are drawn together; an empty name is a patient of its own.
        strata: `[N]`, equal values are drawn among themselves; not together with patients.
        legacy: As `numpy.random.seed(123); numpy.random.randint(N, size=N * R)`, which the
            script of Ribeiro et al. 2020 called.
    """
    unit = np.arange(size)
    if patients is not None:
        assert strata is None
        is_named = np.asarray(patients, str) != ""
        names, numbers = np.unique(np.asarray(patients, str)[is_named], return_inverse=True)
        unit = np.empty(size, np.int64)
        unit[is_named] = numbers.reshape(-1)
        unit[~is_named] = len(names) + np.arange(np.sum(~is_named))
    if strata is None:
        return Design(unit, (np.arange(unit.max(initial=-1) + 1),), legacy)
    _, stratum = np.unique(strata, axis=0, return_inverse=True)
    stratum = stratum.reshape(-1)
    return Design(unit, tuple(np.flatnonzero(stratum == s) for s in range(stratum.max(initial=-1) + 1)))


def group(unit: np.ndarray) -> Design:
    """Draws all recordings `[N]` of the same unit, int, together."""
    units, number = np.unique(unit, return_inverse=True)
    return Design(number.reshape(-1), (np.arange(len(units)),))


def draw(design: Design, resamples: int, seed: int) -> list[Callable[[], np.ndarray]]:
    """Per block of resamples, a function that draws its weights `[N, <= BLOCK]` float64."""
    starts = range(0, resamples, BLOCK)
    if design.legacy:
        size = len(design.unit)
        rows = np.random.RandomState(LEGACY_SEED).randint(size, size=(resamples, size))
        return [functools.partial(_count, rows[start : start + BLOCK], size) for start in starts]
    counts = [min(BLOCK, resamples - start) for start in starts]
    return [functools.partial(_draw_block, design, count, [seed, i]) for i, count in enumerate(counts)]


def _draw_block(design: Design, count: int, seed: list[int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if len(design.strata) == 1:
        drawn = _count(rng.integers(design.units, size=(count, design.units), dtype=np.int32), design.units)
    else:
        drawn = np.empty((design.units, count))
        for members in design.strata:
            drawn[members] = _count(rng.integers(len(members), size=(count, len(members))), len(members))
    return drawn if design.units == len(design.unit) else drawn[design.unit]


def _count(rows: np.ndarray, size: int) -> np.ndarray:
    """How often each of `size` units stands in each row of `[R, U]`; `[size, R]` float64."""
    counts = np.empty((len(rows), size), np.int64)
    for row, drawn in enumerate(rows):
        counts[row] = np.bincount(drawn, minlength=size)
    return np.ascontiguousarray(counts.T, dtype=np.float64)


def resample(statistic: Statistic, design: Design, resamples: int, seed: int) -> np.ndarray:
    """Computes a statistic of every resample, on all processor cores; `[S, resamples]`."""
    draws, blocks = draw(design, resamples, seed), []
    watcher = _WATCHER.get()
    width = max(1, LARGEST // max(len(design.unit), 1))

    def compute(draw_weights: Callable[[], np.ndarray]) -> np.ndarray:
        weights = draw_weights()
        starts = range(0, weights.shape[1], width)
        return np.concatenate([statistic(weights[:, start : start + width]) for start in starts], axis=1)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for block in pool.map(compute, draws):
            blocks.append(block)
            if watcher:
                watcher(len(blocks), len(draws))
    return np.concatenate(blocks, axis=1)


@contextmanager
def watched(watcher: Callable[[int, int], None]) -> Iterator[None]:
    """Tells `watcher`, within the context, how many blocks of resamples are done, and of how many."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def jackknife(statistic: Statistic, design: Design) -> np.ndarray:
    """Computes a statistic without each unit in turn, `[S, G]`; without each of 1,000 groups where units are more.

    The groups are made of every 1,000th unit: the skewness of their influences, which an
    acceleration needs, is that of single units, with some noise.
    """
    groups = min(design.units, _LEFT_OUT)
    group = np.arange(design.units) % groups
    group = group[design.unit]
    blocks = [np.arange(start, min(start + BLOCK, groups)) for start in range(0, groups, BLOCK)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        parts = pool.map(lambda left_out: statistic((group[:, None] != left_out).astype(np.float64)), blocks)
        return np.concatenate([*parts], axis=1)
