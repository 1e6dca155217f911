"""Files of predictions, from any source: read and checked."""

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
    """Probabilities of N recordings for C labels."""

    path: str
    names: tuple[str, ...]  # of the labels; empty where a bare array does not name its columns
    values: np.ndarray  # `[N, C]` float64 in [0, 1]
    rows: np.ndarray  # `[N]` int, places of these recordings among all of the file
    raw: np.ndarray | None = None  # `values` before recalibration, where the file has both
    recordings: joins.Names = dataclasses.field(default_factory=dict)  # of all recordings of the file
    split: np.ndarray | None = None  # `[N]` str, `train`, `validation` or `test`; None where the file does not say
    labels: np.ndarray | None = None  # `[N, C]` in {1, 0, NaN}, where the file holds the truth too
    patients: np.ndarray | None = None  # `[N]` str, empty where unknown; None where none is named
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # `[N]` by name
    left_out: tuple[str, ...] = ()  # recordings (names or lines) for which `quality` says why they have no probability
    unused: tuple[str, ...] = ()  # columns of numbers that were taken for no label
    facts: tuple[str, ...] = ()  # sentences on how the file was read

    @property
    def ids(self) -> np.ndarray | None:
        """`[N]` str, the names in the preferred column; None where the file names nothing."""
        return next((names[self.rows] for names in self.recordings.values()), None)

    @property
    def default_split(self) -> str:
        """The split to score: `test` where the file says which recordings are in it, else `all`."""
        return "test" if self.split is not None and (self.split == "test").any() else "all"

    def take_split(self, split: str) -> "PredictionFile":
        """The recordings of one split, where the file says which are in it; `InputError` when there are none."""
        if self.split is None or split == "all":
            return self
        rows = np.flatnonzero(self.split == split)
        if not rows.size:
            known = ", ".join(sorted(set(self.split)))
            raise InputError(f"{self.path}: no recording in the split {split!r}; it has {known}")
        return self.take(rows)

    def take(self, rows: np.ndarray) -> "PredictionFile":
        """Some of the N recordings, by number."""

        def pick(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return dataclasses.replace(
            self,
            values=self.values[rows],
            rows=self.rows[rows],
            raw=pick(self.raw),
            split=pick(self.split),
            labels=pick(self.labels),
            patients=pick(self.patients),
            attributes=joins.take(self.attributes, rows),
        )


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
        names: The labels: columns of a CSV, or the columns of an array in their order. If empty, those of a CSV
            with a column of truth (`LABEL_true`), or else all that may hold probabilities.
        logits: The numbers are logits, to be turned into probabilities.
        among: A table of labels: only those that it has too are read.
        rules: Which columns name recordings and patients.

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
    if "quality" in table:  # which gives the reason why a recording could not be predicted
        known = ~(table[[*names]].isna().all(axis=1) & table["quality"].notna()).to_numpy()
    if not known.any():
        raise InputError(f"{path}: no recording has a probability; the first: {table['quality'].iloc[0]}")
    ids = next(iter(recordings.values())) if recordings else (table.index.to_numpy() + 2).astype(str)
    patients = read_patients(table, path, rules)
    table = table[known]
    raws, truths = ([f"{name}{end}" for name in names] for end in (RAW, TRUE))
    has_raw, has_truth = (set(wanted) <= set(table) for wanted in (raws, truths))
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
    """Patients, see `patients.parse`; None also where another file has the column that was asked for."""
    if rules.patient_column and rules.patient_column not in table:
        return None
    return patient_lib.parse(table, path, rules.patient_column)


def _find_names(table: pd.DataFrame, path: str) -> tuple[str, ...]:
    """Columns of a prediction file that may hold probabilities, as they are not something else."""
    others = {name for name in _find_parts(table) if f"{name}{TRUE}" not in table}
    names = tuple(name for name in table.columns if name not in others and not attribute_lib.is_fact(name))
    if not names:
        raise InputError(f"{path}: no column of probabilities; it has {', '.join(table.columns)}")
    return names


def _find_parts(table: pd.DataFrame) -> set[str]:
    """Columns of truth and raw probabilities, and the labels that have a column of truth."""
    beside = {f"{name}{end}" for name in table for end in (RAW, TRUE)} & {*table}
    return beside | {name for name in table if f"{name}{TRUE}" in table}


def _choose_names(
    table: pd.DataFrame, offered: tuple[str, ...], among: pd.DataFrame | None, logits: bool
) -> tuple[str, ...]:
    """The labels to score: those with truth; where a table of labels is given, what is a label in both."""
    if among is None:
        return tuple(name for name in offered if f"{name}{TRUE}" in table) or offered

    def is_label(name: str) -> bool:
        return (not logits and probabilities.could_be(table[name])) or label_lib.is_label(among[name])

    shared = tuple(name for name in offered if name in among and is_label(name))
    return shared or tuple(name for name in offered if probabilities.could_be(table[name])) or offered


def _read_arrays(path: str, names: tuple[str, ...], logits: bool, rules: joins.Rules) -> PredictionFile:
    found = prediction_arrays.read(path)
    table, names = found.table, names or found.names
    if names and len(names) != found.values.shape[1]:
        raise InputError(f"{path}: {found.values.shape[1]} columns, but {len(names)} label names: {', '.join(names)}")
    return PredictionFile(
        path=path,
        names=names,
        values=probabilities.convert(found.values, path, "row {}, column {}".format, logits=logits),
        rows=np.arange(len(found.values)),
        recordings=joins.find_names(table, path),
        labels=found.labels,
        split=table_lib.parse_split(table["split"], path) if "split" in table else None,
        patients=read_patients(table, path, rules),
        attributes=attribute_lib.read_all(table, path),
        facts=found.facts,
    )


def has_labels(path: str, names: Sequence[str]) -> bool:
    """Whether a file of predictions holds the truth too; of a CSV its first line says so."""
    if path.endswith(".npz"):
        return prediction_arrays.read(path).labels is not None
    return path.endswith(".csv") and all(table_lib.has_column(path, f"{name}{TRUE}") for name in names)


def describe(path: str) -> str:
    """A file's name for titles."""
    return os.path.splitext(os.path.basename(path))[0]
