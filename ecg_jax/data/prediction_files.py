"""Predictions in files, anybody's: read and checked."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data import joins, prediction_arrays, probabilities
from ecg_jax.data.datasets import attributes as attribute_lib
from ecg_jax.data.datasets import patients as patient_lib
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.errors import InputError

TRUE, RAW = "_true", "_raw"
ARRAYS = (".npy", ".npz")


@dataclasses.dataclass(frozen=True)
class PredictionFile:
    """Probabilities of some recordings.

    Attributes:
        path: Where they were read.
        names: The C labels; empty where a bare array does not name its columns.
        values: `[N, C]` float64 in [0, 1].
        raw: The same before recalibration, where the file has both.
        recordings: Names of all recordings of the file, also those without a probability or of another split.
        rows: `[N]` int, which of all these are.
        split: `[N]` str, `train`, `validation` or `test`; None where the file does not say.
        labels: `[N, C]` where the file holds the truth too, in columns `LABEL_true`; else None.
        patients: `[N]` str, empty where unknown; None where none is named.
        attributes: What else is known of recordings, name to `[N]`.
        left_out: Recordings (names or lines) that have no probability, with a reason in `quality`.
        unused: Columns of numbers that were taken for no label.
        facts: Sentences on how the file was read.
    """

    path: str
    names: tuple[str, ...]
    values: np.ndarray
    rows: np.ndarray
    raw: np.ndarray | None = None
    recordings: joins.Names = dataclasses.field(default_factory=dict)
    split: np.ndarray | None = None
    labels: np.ndarray | None = None
    patients: np.ndarray | None = None
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def ids(self) -> np.ndarray | None:
        """`[N]` str, the names in the preferred column; None where the file names nothing."""
        return next((names[self.rows] for names in self.recordings.values()), None)


def read_predictions(
    path: str,
    *,
    names: Sequence[str] = (),
    logits: bool = False,
    among: pd.DataFrame | None = None,
    rules: joins.Rules = joins.USUAL,
) -> PredictionFile:
    """Reads probabilities from a CSV, or from NumPy's files.

    Args:
        path: A CSV with a column per label, as `predict` and a run write; `.npy`, `[N, C]` or `[N]`; or `.npz`, see
            `prediction_arrays`.
        names: The labels: which columns of a CSV, or the columns of an array in their order. If none, those of a CSV
            that have a column of truth (`LABEL_true`) beside them, or else all that may hold probabilities.
        logits: The numbers are logits, to be turned into probabilities.
        among: A table of labels: only those are read that it has, too.
        rules: What names recordings and patients.

    Raises:
        InputError: naming file, line and value.
    """
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder; a run folder goes with --model, a file of predictions is .csv or .npy")
    if path.endswith(ARRAYS):
        return _read_arrays(path, tuple(names), logits, rules)
    return _read_table(path, tuple(names), logits, among, rules)


def _read_table(
    path: str, names: tuple[str, ...], logits: bool, among: pd.DataFrame | None, rules: joins.Rules
) -> PredictionFile:
    table = table_lib.read_table(path)
    recordings = joins.find_names(table, path, rules.columns)
    offered = _find_names(table, path)
    names = names or _choose_names(table, offered, among, logits)
    if len(set(names)) < len(names):
        raise InputError(f"{path}: --names={','.join(names)} names a label twice")
    if missing := [name for name in names if name not in table]:
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    known = np.ones(len(table), bool)
    if "quality" in table:  # a recording that could not be predicted says why
        known = ~(table[[*names]].isna().all(axis=1) & table["quality"].notna()).to_numpy()
    if not known.any():
        raise InputError(f"{path}: no recording has a probability; the first: {table['quality'].iloc[0]}")
    ids = next(iter(recordings.values())) if recordings else (table.index.to_numpy() + 2).astype(str)
    patients = read_patients(table, path, rules)
    table = table[known]
    raws, truths = ([f"{name}{end}" for name in names] for end in (RAW, TRUE))
    has_raw, has_truth = (all(name in table for name in wanted) for wanted in (raws, truths))
    if has_truth:
        attributes = attribute_lib.read_all(table, path, {*names, *_find_parts(table)})
    else:
        attributes = attribute_lib.read_known(table, path)
    return PredictionFile(
        path=path,
        names=names,
        values=probabilities.parse_columns(table, names, path, logits=logits),
        rows=np.flatnonzero(known),
        raw=probabilities.parse_columns(table, raws, path) if has_raw else None,
        recordings=recordings,
        split=table_lib.parse_split(table["split"], path) if "split" in table else None,
        labels=np.stack([label_lib.parse_column(table[name], path) for name in truths], axis=1) if has_truth else None,
        patients=None if patients is None else patients[known],
        attributes=attributes,
        left_out=tuple(ids[~known].tolist()),
        unused=() if among is None else tuple(name for name in offered if name not in names),
    )


def read_patients(table: pd.DataFrame, path: str, rules: joins.Rules) -> np.ndarray | None:
    """Who the patients are; None where a table has no such column, also where another file has the one asked for."""
    if rules.patient_column and rules.patient_column not in table:
        return None
    return patient_lib.parse(table, path, rules.patient_column)


def _find_names(table: pd.DataFrame, path: str) -> tuple[str, ...]:
    """Columns of a prediction file that may hold probabilities: those that are not something else."""
    others = {name for name in _find_parts(table) if f"{name}{TRUE}" not in table}
    names = tuple(name for name in table.columns if name not in others and not attribute_lib.is_fact(name))
    if not names:
        raise InputError(f"{path}: no column of probabilities; it has {', '.join(table.columns)}")
    return names


def _find_parts(table: pd.DataFrame) -> set[str]:
    """Labels with their truth beside them, and what stands beside labels."""
    beside = {f"{name}{end}" for name in table for end in (RAW, TRUE)} & {*table}
    return beside | {name for name in table if f"{name}{TRUE}" in table}


def _choose_names(
    table: pd.DataFrame, offered: tuple[str, ...], among: pd.DataFrame | None, logits: bool
) -> tuple[str, ...]:
    """The labels that are scored: where a table of labels is given, what both have, and is a label in either."""
    if among is None:
        return tuple(name for name in offered if f"{name}{TRUE}" in table) or offered

    def is_label(name: str) -> bool:
        return (not logits and probabilities.could_be(table[name])) or label_lib.is_label(among[name])

    shared = tuple(name for name in offered if name in among and is_label(name))
    return shared or tuple(name for name in offered if probabilities.could_be(table[name])) or offered


def _read_arrays(path: str, names: tuple[str, ...], logits: bool, rules: joins.Rules) -> PredictionFile:
    found = prediction_arrays.read(path)
    names = names or found.names
    if names and len(names) != found.values.shape[1]:
        raise InputError(f"{path}: {found.values.shape[1]} columns, but {len(names)} label names: {', '.join(names)}")
    table = found.table
    return PredictionFile(
        path=path,
        names=names,
        values=probabilities.convert(found.values, path, logits=logits),
        rows=np.arange(len(found.values)),
        recordings=joins.find_names(table, path) if len(table.columns) else {},
        labels=found.labels,
        split=table_lib.parse_split(table["split"], path) if "split" in table else None,
        patients=read_patients(table, path, rules),
        attributes=attribute_lib.read_all(table, path),
        facts=found.facts,
    )


def take_split(file: PredictionFile, split: str) -> PredictionFile:
    """The recordings of one split, where the file says who is in which.

    Raises:
        InputError: when it has none in that split.
    """
    if file.split is None or split == "all":
        return file
    rows = np.flatnonzero(file.split == split)
    if not rows.size:
        raise InputError(
            f"{file.path}: no recording in the split {split!r}; it has {', '.join(sorted(set(file.split)))}"
        )

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[rows]

    return dataclasses.replace(
        file,
        values=file.values[rows],
        rows=file.rows[rows],
        raw=pick(file.raw),
        split=pick(file.split),
        labels=pick(file.labels),
        patients=pick(file.patients),
        attributes={name: values[rows] for name, values in file.attributes.items()},
    )


def has_labels(path: str, names: Sequence[str]) -> bool:
    """Whether a file of predictions holds the truth too; of a CSV its first line says so."""
    if path.endswith(".npz"):
        return prediction_arrays.read(path).labels is not None
    return path.endswith(".csv") and all(table_lib.has_column(path, f"{name}{TRUE}") for name in names)


def default_split(file: PredictionFile) -> str:
    """The split to score: the test split where the file says who is in it, else everything."""
    return "test" if file.split is not None and (file.split == "test").any() else "all"


def describe(path: str) -> str:
    """A file's name for titles."""
    return os.path.splitext(os.path.basename(path))[0]
