"""Reads every recording of a data set once: which are the same, and which are broken or against physics."""

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
    """Reads all recordings.

    Args:
        dataset: A data set without `hashes`.
        threads: That read at once.
        checks: See `verify.enforce`.
        progress: `(items, total) -> items`, which shows how far it is.

    Returns:
        The data set with `hashes`; that of a recording without a signal is empty.

    Raises:
        InputError: naming the first recordings that cannot be used, and how many there are.
    """
    problems: list[str] = []

    def compute(row: int) -> str:
        try:
            recording, _ = verify.enforce(dataset.read(row), checks)
        except InputError as error:
            problems.append(" ".join(str(error).split()))
            return ""
        return "" if recording.is_degenerate else quality.content_hash(recording)

    hashes = np.array([*progress(_map(compute, len(dataset.ids), threads), len(dataset.ids))], str)
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(
            f"data set {dataset.name}: {len(problems)} of {len(dataset.ids)} recordings cannot be used: "
            f"{'; '.join(sorted(problems)[:_SHOWN])}{more}. Mend them or take them out of the data set"
        )
    return dataclasses.replace(dataset, hashes=hashes)


def _map(function: Callable[[int], str], count: int, threads: int) -> Iterator[str]:
    """The function's values from 0 to `count`, in order."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
            for values in pool.map(lambda rows: [function(row) for row in rows], chunks):
                yield from values
        finally:
            pool.shutdown(cancel_futures=True)
