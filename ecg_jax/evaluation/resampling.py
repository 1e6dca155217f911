"""The bootstrap: which recordings are drawn how often, and any statistic of all resamples at once.

Resamples come in blocks, each from a random stream of its own: the numbers depend on the seed alone, not on the number
of threads.
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
LARGEST = 2**22  # weights drawn, and given to a statistic, at once
_LEGACY_SEED = 123
_LEFT_OUT = 1000  # most groups of a jackknife

_WATCHER: ContextVar[Callable[[int, int], None] | None] = ContextVar("watcher", default=None)

Statistic = Callable[[np.ndarray], np.ndarray]  # weights [N, R] float64 -> [S, R]


@dataclasses.dataclass(frozen=True)
class Design:
    """What is drawn, with replacement."""

    unit: np.ndarray  # `[N]` int, the unit that each recording belongs to: its patient, or itself
    strata: tuple[np.ndarray, ...]  # units, `[U_s]` int each, that are drawn among themselves, as many as there are
    legacy: bool = False  # draw with NumPy's old generator, all resamples of recordings at once

    @property
    def units(self) -> int:
        """Number of units."""
        return sum(map(len, self.strata))


def create_design(
    size: int, *, patients: np.ndarray | None = None, strata: np.ndarray | None = None, legacy: bool = False
) -> Design:
    """Describes a bootstrap of `size` recordings.

    Args:
        size: N.
        patients: `[N]` str, whose recordings are drawn together; an empty name is a patient of its own.
        strata: `[N]`, equal values are drawn among themselves; not together with patients.
        legacy: As `numpy.random.seed(123); numpy.random.randint(N, size=N * R)` in the script of Ribeiro et al. 2020.
    """
    if strata is not None:
        _, stratum = np.unique(strata, axis=0, return_inverse=True)
        stratum = stratum.reshape(-1)
        members = (np.flatnonzero(stratum == s) for s in range(stratum.max(initial=-1) + 1))
        return Design(np.arange(size), tuple(members))
    unit = np.arange(size)
    if patients is not None:
        is_named = np.asarray(patients, str) != ""
        names, numbers = np.unique(np.asarray(patients, str)[is_named], return_inverse=True)
        unit[is_named] = numbers.reshape(-1)
        unit[~is_named] = len(names) + np.arange(np.sum(~is_named))
    return Design(unit, (np.arange(unit.max(initial=-1) + 1),), legacy)


def group(unit: np.ndarray) -> Design:
    """Draws all recordings `[N]` of the same unit, int, together."""
    units, number = np.unique(unit, return_inverse=True)
    return Design(number.reshape(-1), (np.arange(len(units)),))


def draw(design: Design, resamples: int, seed: int, *, width: int = BLOCK) -> list[Callable[[], Iterator[np.ndarray]]]:
    """Per block of `BLOCK` resamples, a function that draws its weights, `[N, <= width]` float64 at a time.

    The weights of a resample are contiguous: columns in Fortran's order.
    """
    starts = range(0, resamples, BLOCK)
    if design.legacy:
        size = len(design.unit)
        rows = np.random.RandomState(_LEGACY_SEED).randint(size, size=(resamples, size))
        return [functools.partial(_count_rows, rows[start : start + BLOCK], size, width) for start in starts]
    counts = [min(BLOCK, resamples - start) for start in starts]
    return [functools.partial(_draw_block, design, count, [seed, i], width) for i, count in enumerate(counts)]


def _draw_block(design: Design, count: int, seed: list[int], width: int) -> Iterator[np.ndarray]:
    """The weights of a block: the same numbers for any width."""
    rng = np.random.default_rng(seed)
    if len(design.strata) == 1:
        for start in range(0, count, width):
            drawn = np.empty((min(width, count - start), design.units))
            for row in drawn:
                row[:] = _count_drawn(rng, design.units, np.int32)
            yield _weigh(drawn, design)
        return
    drawn = np.empty((count, design.units))
    for members in design.strata:
        for row in drawn:
            row[members] = _count_drawn(rng, len(members), np.int64)
    for start in range(0, count, width):
        yield _weigh(drawn[start : start + width], design)


def _count_drawn(rng: np.random.Generator, size: int, dtype: type[np.integer]) -> np.ndarray:
    """How often each of `size` units is in one resample; the generator's numbers depend on the dtype."""
    return np.bincount(rng.integers(size, size=size, dtype=dtype), minlength=size)


def _weigh(counts: np.ndarray, design: Design) -> np.ndarray:
    """The weights of recordings, `[N, R]`, from how often units are drawn, `[R, U]`."""
    return (counts if design.units == len(design.unit) else np.take(counts, design.unit, axis=1)).T


def _count_rows(rows: np.ndarray, size: int, width: int) -> Iterator[np.ndarray]:
    """How often each of `size` recordings is in each row of `[R, N]`; `[size, <= width]` float64 at a time."""
    for start in range(0, len(rows), width):
        counts = [np.bincount(row, minlength=size) for row in rows[start : start + width]]
        yield np.array(counts, np.float64).T


def resample(statistic: Statistic, design: Design, resamples: int, seed: int) -> np.ndarray:
    """Computes a statistic of every resample, on all processor cores; `[S, resamples]`."""
    draws, blocks = draw(design, resamples, seed, width=_choose_width(design)), []
    watcher = _WATCHER.get()

    def compute(draw_weights: Callable[[], Iterator[np.ndarray]]) -> np.ndarray:
        return np.concatenate([*map(statistic, draw_weights())], axis=1)  # `map` keeps no weights while more are drawn

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for block in pool.map(compute, draws):
            blocks.append(block)
            if watcher:
                watcher(len(blocks), len(draws))
    return np.concatenate(blocks, axis=1)


def _choose_width(design: Design) -> int:
    """How many resamples are drawn at once."""
    return min(max(1, LARGEST // max(len(design.unit), 1)), BLOCK)


@contextmanager
def watched(watcher: Callable[[int, int], None]) -> Iterator[None]:
    """Reports to `watcher`, within the context, how many blocks of resamples are done, and of how many."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def jackknife(statistic: Statistic, design: Design) -> np.ndarray:
    """Computes a statistic without each unit in turn, `[S, G]`; without each of 1,000 groups where units are more.

    A group is every 1,000th unit: the skewness of groups' influences, which an acceleration needs, is that of single
    units, with some noise.
    """
    groups = min(design.units, _LEFT_OUT)
    member = design.unit % groups
    width = _choose_width(design)
    blocks = [np.arange(start, min(start + width, groups))[:, None] for start in range(0, groups, width)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        parts = pool.map(lambda left_out: statistic((member != left_out).astype(np.float64).T), blocks)
        return np.concatenate([*parts], axis=1)
