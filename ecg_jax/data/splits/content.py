"""Reads every recording of a data set once: which are the same, broken, or against physics."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ecg_jax.data import quality, verify
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError

_CHUNK = 32
_SHOWN = 3


def check(
    dataset: Dataset,
    *,
    threads: int,
    checks: str = "warn",
    progress: Callable[[Iterable[str], int], Iterable[str]] = lambda items, total: items,
) -> Dataset:
    """Reads all recordings of a data set without `hashes`, in so many threads; see `verify.enforce` for `checks`.

    `progress` shows the progress of `(items, total)`.

    Returns:
        The data set with `hashes`; that of a recording without a signal is empty. Recordings that physics contradicts
        are still in it, and named in a note: `Examples` leaves them out.

    Raises:
        InputError: naming the first recordings that cannot be read, and how many there are; or when physics contradicts
            more than half: then something is wrong with all of them.
    """
    problems: list[str] = []
    refused: list[str] = []

    def compute(row: int) -> str:
        try:
            recording = dataset.read(row)
        except InputError as error:
            problems.append(" ".join(str(error).split()))
            return ""
        try:
            recording, _ = verify.enforce(recording, checks)
        except InputError as error:
            refused.append(" ".join(str(error).split()))
        return "" if recording.is_degenerate else quality.content_hash(recording)

    hashes = np.array([*progress(_map(compute, len(dataset.ids), threads), len(dataset.ids))], str)
    total = len(dataset.ids)
    if problems:
        raise InputError(
            f"data set {dataset.name}: {len(problems)} of {total} recordings cannot be used: {_some(problems)}. "
            "Correct them or take them out of the data set, or prepare a store, which leaves them out"
        )
    if not refused:
        return dataclasses.replace(dataset, hashes=hashes)
    note = f"{len(refused)} of {total} recordings contradict physics: {_some(refused)}"
    if 2 * len(refused) > total:
        raise InputError(f"data set {dataset.name}: {note}")
    return dataclasses.replace(dataset, hashes=hashes, notes=(*dataset.notes, f"left out: {note}"))


def _some(lines: list[str]) -> str:
    more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "; ".join(sorted(lines)[:_SHOWN]) + more


def _map(function: Callable[[int], str], count: int, threads: int) -> Iterator[str]:
    """The function's values from 0 to `count`, in order."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
            for values in pool.map(lambda rows: [function(row) for row in rows], chunks):
                yield from values
        finally:
            pool.shutdown(cancel_futures=True)
