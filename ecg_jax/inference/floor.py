"""The measurement floor of a data set: what its training recordings' intervals and voltages say about the scored ones.

Measurements come from the prepared store where it has them; else recordings are measured, which takes a second for
about a hundred on two CPU cores, and kept in a file.
"""

import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console

from ecg_jax import files
from ecg_jax.data import verify
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.readers.reading import describe
from ecg_jax.evaluation import measurement_floor
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.explanation import measuring
from ecg_jax.interval_names import INTERVALS
from ecg_jax.recording import Recording
from ecg_jax.runtime.progress import show_progress

CACHE = "measurements.npz"  # in a run folder
_MOST, _MOST_STORED = 2000, 20000  # training recordings
_AT_ONCE, _THREADS = 64, 4
_FEWEST_MEASURED = 0.5  # of the training recordings, below which there is no floor
_PER_MINUTE = 6000  # recordings that are measured, on two CPU cores
_SAVE_EVERY = 30.0  # seconds


class Floor(NamedTuple):
    """Predictions from measurements alone, of the labels that could be learned."""

    predictions: Predictions
    learned_from: str  # in words


class Source(NamedTuple):
    """How recordings of a data set are measured."""

    dataset: Dataset
    checks: str  # see `verify.enforce`
    cache: str | None  # the file that keeps measurements; None for none
    console: Console

    @property
    def is_stored(self) -> bool:
        """Whether all recordings have been measured."""
        return self.dataset.store is not None and bool(self.dataset.store.measurements)

    @property
    def version(self) -> str:
        """Of what is measured: the delineator's and, since these may change files, the checks."""
        return f"{measuring.describe_version()} {self.checks if self.dataset.reads_files else ''}"


def create(source: Source, scored: Predictions, *, seed: int) -> Floor | None:
    """The floor for recordings that are no training recordings, from up to 2,000 of these, drawn by a seed.

    From measurements of a store, up to 20,000. Labels that are measurements themselves, as `pr`, have no floor.

    Returns:
        None, and a line on the console, where there is nothing to learn from, or training recordings are scored.
    """
    dataset, rows = source.dataset, find_rows(source.dataset, scored)
    if dataset.split is None or not len(dataset.indices("train")) or (dataset.split[rows] == "train").any():
        source.console.print("No measurement floor: it needs a training split, none of whose recordings is scored")
        return None
    train = np.random.default_rng(seed).permutation(dataset.indices("train"))
    train = np.sort(train[: _MOST_STORED if source.is_stored else _MOST])
    values = measure(source, np.concatenate([train, rows]))
    if np.isnan(values[: len(train)]).all(axis=1).mean() > 1 - _FEWEST_MEASURED:
        source.console.print("No measurement floor: most training recordings cannot be measured")
        return None
    names = [*measuring.UNITS]
    labels = {
        name: column[train] for name, column in dataset.columns.items() if name.removeprefix("measured_") not in names
    }
    found = measurement_floor.predict(
        values[: len(train)], names, [*INTERVALS], labels, values[len(train) :], dataset.kind
    )
    if not found:
        source.console.print(
            f"No measurement floor: no label has {measurement_floor.FEWEST} training recordings of each class"
        )
        return None
    predicted = np.stack([*found.values()], axis=1)
    return Floor(
        dataclasses.replace(scored.select([*found]), probabilities=predicted, raw=None),
        f"{len(train):,} training recordings",
    )


def add_intervals(source: Source, scored: Predictions) -> Predictions:
    """With the intervals of the scored recordings as columns, where these are not known yet."""
    values = measure(source, find_rows(source.dataset, scored))
    taken = {*scored.names, *scored.attributes}
    added = {
        f"measured_{name}" if name in taken else name: column
        for name, column in zip(measuring.UNITS, values.T, strict=True)
        if name in INTERVALS
    }
    return dataclasses.replace(scored, attributes={**scored.attributes, **added})


def find_rows(dataset: Dataset, scored: Predictions) -> np.ndarray:
    """Numbers of the scored recordings, `[n]`."""
    return pd.Index(dataset.ids).get_indexer(scored.ids)


def measure(source: Source, rows: np.ndarray) -> np.ndarray:
    """Measurements `[n, D]` of recordings by number, in the order of `measuring.UNITS`; NaN for unknown."""
    if source.is_stored:
        assert source.dataset.store is not None
        stored = source.dataset.store.measurements
        unknown = np.full(len(source.dataset.ids), np.nan, np.float32)
        return np.stack([stored.get(name, unknown)[rows] for name in measuring.UNITS], axis=1)
    ids = source.dataset.ids
    known, failures = _read_cache(source), dict[str, str]()
    missing = [row for row in rows.tolist() if ids[row] not in known]
    saved = time.monotonic()
    with show_progress(source.console, "measuring") as progress:
        if missing and not source.console.is_terminal:
            minutes = len(missing) / _PER_MINUTE
            source.console.print(f"Measuring {len(missing)} recordings, {minutes:.1f} minutes on two free CPU cores")
        measured = measuring.measure_many(_read_all(source, missing))
        try:
            for number, (row, values) in enumerate(zip(missing, measured, strict=True), start=1):
                if isinstance(values, str):
                    failures[str(ids[row])] = values
                else:
                    known[str(ids[row])] = values
                progress(number, len(missing))
                if time.monotonic() - saved > _SAVE_EVERY:
                    _write_cache(source, known)
                    saved = time.monotonic()
        finally:  # interrupted, the same command goes on from here
            if missing:
                _write_cache(source, known)
    if failures:
        name, reason = next(iter(failures.items()))
        source.console.print(f"{len(failures)} of {len(rows)} recordings could not be measured; {name}: {reason}")
    unknown = np.full(len(measuring.UNITS), np.nan, np.float32)
    return np.stack([known.get(str(ids[row]), unknown) for row in rows.tolist()])


def _read_all(source: Source, rows: list[int]) -> Iterator[Recording | str]:
    """Recordings by number, or why one cannot be read or is refused."""

    def read(row: int) -> Recording | str:
        try:
            recording = source.dataset.read(row)
            return verify.enforce(recording, source.checks)[0] if source.dataset.reads_files else recording
        except Exception as error:  # noqa: BLE001 - one bad file ends nothing, whatever it makes a library raise
            return describe(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        for begin in range(0, len(rows), _AT_ONCE):
            yield from pool.map(read, rows[begin : begin + _AT_ONCE])


def _read_cache(source: Source) -> dict[str, np.ndarray]:
    """Measurements by recording; none where there is no such file, or its version is another."""
    try:
        with np.load(source.cache or "", allow_pickle=False) as stored:
            if str(stored["version"]) != source.version:
                return {}
            return dict(zip(stored["ids"].tolist(), stored["values"], strict=True))
    except Exception:  # noqa: BLE001 - on a damaged archive, libraries raise anything
        return {}


def _write_cache(source: Source, known: dict[str, np.ndarray]) -> None:
    """Keeps measurements, where the folder can be written."""
    if not source.cache or not known:
        return
    try:
        with files.replacing(source.cache, "wb") as file:
            np.savez_compressed(
                file, version=source.version, ids=np.array([*known]), values=np.stack([*known.values()])
            )
    except OSError:
        pass
