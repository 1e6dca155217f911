"""Measurements of a store's recordings, such as intervals: a column of its index.

They are of what the store holds, whatever it was made from, and are kept by shard in the folder `measured`, so that a
shard is measured once.
"""

import dataclasses
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ecg_jax import files
from ecg_jax.data.store.store import MEASURED, MEASUREMENTS, Store, hold, write_manifest
from ecg_jax.recording import Recording


@dataclasses.dataclass(frozen=True)
class Measurer:
    """How recordings are measured.

    Attributes:
        units: Of the D numbers, by name, in their order.
        version: Of code and weights, on which they depend.
        measure: Yields `[D]` float32 of each recording, NaN for unknown.
    """

    units: Mapping[str, str]
    version: str
    measure: Callable[[Iterable[Recording]], Iterator[np.ndarray]]


def was_begun(folder: str) -> bool:
    """Whether a store has measurements, or was about to have some."""
    return os.path.isdir(os.path.join(folder, MEASURED))


def add(folder: str, measurer: Measurer, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Measures the recordings of a whole store, and adds the column; killed, the same call goes on from the last shard.

    Args:
        folder: The store.
        measurer: See `Measurer`; shards that one of another version has measured are measured again.
        progress: Called with the numbers of recordings that have measurements, and of all.

    Returns:
        How many were measured now.

    Raises:
        InputError: where the store is damaged or another preparation is at work.
    """
    with hold(folder):
        store, measured = Store(folder), 0
        os.makedirs(os.path.join(folder, MEASURED), exist_ok=True)
        table = np.full((len(store), len(measurer.units)), np.nan, np.float32)
        shard, start, done = store.column("shard"), store.column("start"), 0
        for number, described in enumerate(store.manifest["shards"]):
            rows = np.flatnonzero(shard == number)
            facts = {"version": measurer.version, "sha256": described["sha256"], "start": start[rows]}
            path = os.path.join(folder, MEASURED, f"{described['name']}.npz")
            values = _read(path, facts)
            if values is None:
                values = np.stack([*measurer.measure(store.read(row, "") for row in rows.tolist())])
                with files.replacing(path, "wb") as file:
                    np.savez_compressed(file, values=values, **facts)
                measured += len(rows)
            table[rows], done = values, done + len(rows)
            progress(done, len(store))
        columns = {name: store.column(name) for name in store.manifest["columns"]} | {MEASUREMENTS: table}
        described = {"version": measurer.version, "units": dict(measurer.units)}
        write_manifest(folder, store.manifest | {"columns": sorted(columns), MEASURED: described}, columns)
        return measured


def _read(path: str, facts: Mapping[str, Any]) -> np.ndarray | None:
    """A shard's measurements, `[n, D]`; None where there are none, or of something else."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            is_same = all(np.array_equal(stored[name], value) for name, value in facts.items())
            return stored["values"] if is_same else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
