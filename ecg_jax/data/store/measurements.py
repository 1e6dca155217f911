"""Measurements of a store's recordings, such as intervals: a column of its index.

They are of what the store holds, whatever it was made from, and are kept by shard in the folder `measured`, so that a
shard is measured once.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

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
        measure: Yields `[D]` float32 of each recording, NaN for unknown; or why it cannot be measured.
    """

    units: Mapping[str, str]
    version: str
    measure: Callable[[Iterable[Recording]], Iterator[np.ndarray | str]]


class Added(NamedTuple):
    """How many recordings were measured now, and why others cannot be."""

    measured: int
    failures: list[str]


def was_begun(folder: str) -> bool:
    """Whether a store has measurements, or was about to have some."""
    return os.path.isdir(os.path.join(folder, MEASURED))


def add(folder: str, measurer: Measurer, progress: Callable[[int, int], None] = lambda done, total: None) -> Added:
    """Measures the recordings of a whole store, and adds the column; killed, the same call goes on from the last shard.

    Args:
        folder: The store.
        measurer: See `Measurer`; shards that one of another version has measured are measured again.
        progress: Called with the numbers of recordings that have measurements, and of all.

    What cannot be measured is unknown, and tried again by the next call.

    Raises:
        InputError: where the store is damaged or another preparation is at work.
    """
    with hold(folder):
        store, added = Store(folder), Added(0, [])
        os.makedirs(os.path.join(folder, MEASURED), exist_ok=True)
        table = np.full((len(store), len(measurer.units)), np.nan, np.float32)
        shard, start, done = store.column("shard"), store.column("start"), 0
        for number, described in enumerate(store.manifest["shards"]):
            rows = np.flatnonzero(shard == number)  # none where repeats were left out
            facts = {"version": measurer.version, "sha256": described["sha256"], "start": start[rows]}
            path = os.path.join(folder, MEASURED, f"{described['name']}.npz")
            values, is_known = _read(path, facts) or (table[rows], np.zeros(len(rows), bool))
            if not is_known.all():
                missing = np.flatnonzero(~is_known)
                found = measurer.measure(store.read(row, "") for row in rows[missing].tolist())
                for i, row in zip(missing.tolist(), found, strict=True):
                    if isinstance(row, str):
                        added.failures.append(f"{store.column('ids')[rows[i]]}: {row}")
                    else:
                        values[i], is_known[i] = row, True
                with files.replacing(path, "wb") as file:
                    np.savez_compressed(file, values=values, is_known=is_known, **facts)
                added = added._replace(measured=added.measured + int(is_known[missing].sum()))
            table[rows], done = values, done + len(rows)
            progress(done, len(store))
        columns = {name: store.column(name) for name in store.manifest["columns"]} | {MEASUREMENTS: table}
        described = {"version": measurer.version, "units": dict(measurer.units)}
        write_manifest(folder, store.manifest | {"columns": sorted(columns), MEASURED: described}, columns)
        return added


def _read(path: str, facts: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """A shard's measurements, `[n, D]`, and of which recordings, `[n]`; None without any, or of something else."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            is_same = all(np.array_equal(stored[name], value) for name, value in facts.items())
            return (stored["values"], stored["is_known"]) if is_same else None
    except Exception:  # noqa: BLE001 - on a damaged archive, libraries raise anything
        return None
