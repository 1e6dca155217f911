"""Files of predictions, from any source: read and checked."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data import column_roles, joins, prediction_arrays, prediction_tables, prediction_values
from ecg_jax.data.datasets import attributes as attribute_lib
from ecg_jax.data.datasets import patients as patient_lib
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.prediction_tables import RAW, TRUE
from ecg_jax.data.prediction_values import KINDS, LOGITS, NUMBERS, PROBABILITIES
from ecg_jax.errors import InputError, suggest
from ecg_jax.evaluation import left_out as left_out_lib
from ecg_jax.evaluation.left_out import LeftOut
from ecg_jax.evaluation.thresholds import STATED, Thresholds
from ecg_jax.interval_names import INTERVALS
from ecg_jax.kinds import FINDING, NUMBER
from ecg_jax.printable import list_some

ARRAYS = (".npy", ".npz")
_SHOWN = 20  # columns that a message names


@dataclasses.dataclass(frozen=True)
class PredictionFile:
    """Probabilities, or predicted numbers, of N recordings for C labels."""

    path: str
    names: tuple[str, ...]  # of the labels; empty where a bare array does not name its columns
    values: np.ndarray  # `[N, C]` float64, of findings in [0, 1]
    rows: np.ndarray  # `[N]` int, places of these recordings among all of the file
    raw: np.ndarray | None = None  # `values` before recalibration, where the file has both
    recordings: joins.Names = dataclasses.field(default_factory=dict)  # of all recordings of the file
    split: np.ndarray | None = None  # `[N]` str, `train`, `validation` or `test`; None where the file does not say
    labels: np.ndarray | None = None  # `[N, C]` in {1, 0, NaN} or numbers, where the file holds the truth too
    patients: np.ndarray | None = None  # `[N]` str, empty where unknown; None where none is named
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # `[N]` by name
    on_request: tuple[str, ...] = ()  # attributes that make subgroups only where these are named
    left_out: tuple[LeftOut, ...] = ()  # recordings (names or lines) for which `quality` says why they have none
    columns: tuple[str, ...] = ()  # all of a table
    patient_column: str = ""  # that names them, where there is one
    unused: tuple[str, ...] = ()  # columns of numbers that were taken for no label
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of the model, where the file has them
    unchosen: tuple[str, ...] = ()  # labels whose threshold is the default
    facts: tuple[str, ...] = ()  # sentences on how the file was read
    kind: str = FINDING  # of the labels, one of `kinds.KINDS`

    @property
    def ids(self) -> np.ndarray | None:
        """`[N]` str, the names in the preferred column; None where the file names nothing."""
        return next((names[self.rows] for names in self.recordings.values()), None)

    @property
    def default_split(self) -> str:
        """The split to score: `test` where the file says which recordings are in it, else `all`."""
        return "test" if self.split is not None and (self.split == "test").any() else "all"

    def find_thresholds(self) -> Thresholds | None:
        """The model's, where the file has one for each label."""
        if not self.names or not {*self.names} <= {*self.thresholds}:
            return None
        values = np.array([self.thresholds[name] for name in self.names], np.float64)
        return Thresholds(values, "", STATED, tuple(name for name in self.names if name in self.unchosen))

    def take_split(self, split: str) -> "PredictionFile":
        """The recordings of one split, where the file says which are in it; `InputError` when there are none."""
        if self.split is None or split == "all":
            return self
        rows = np.flatnonzero(self.split == split)
        if not rows.size:
            known = ", ".join(sorted(set(self.split)))
            raise InputError(f"{self.path}: no recording in the split {split!r}; it has {known}")
        left_out = tuple(each for each in self.left_out if each.split == split)
        return dataclasses.replace(self.take(rows), left_out=left_out)

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
    scale: str = PROBABILITIES,
    among: pd.DataFrame | None = None,
    rules: joins.Rules = joins.USUAL,
) -> PredictionFile:
    """Reads probabilities, or predicted numbers, from a table, or from NumPy's files.

    Args:
        path: A table with a column per label, as `predict` and a run write, see `prediction_tables`; `.npy`, `[N, C]`
            or `[N]`; or `.npz`, see `prediction_arrays`.
        names: The labels: columns of a table, or the columns of an array in their order. If empty, those of a table
            with a column of truth (`LABEL_true`), or else all that may hold such values; `age` is a label where it
            has truth, or no other number is in `among` too.
        scale: What the values are, one of `prediction_values.SCALES`; logits are turned into probabilities.
        among: A table of labels: only those that it has too are read.
        rules: Which columns name recordings and patients.

    Raises:
        InputError: naming file, line and value.
    """
    if os.path.isdir(path) and not prediction_tables.list_parts(path):
        known = ", ".join((*prediction_tables.SUFFIXES, *ARRAYS))
        raise InputError(
            f"{path}: is a folder without .parquet files; a run folder goes with --model, a file of predictions is "
            f"{known}"
        )
    if path.endswith(ARRAYS):
        return _read_arrays(path, tuple(names), scale, rules)
    return _read_table(path, tuple(names), scale, among, rules)


def is_file(path: str) -> bool:
    """Whether a path is called as a file of predictions, or is a folder of Parquet's parts."""
    is_folder = os.path.isdir(path) and bool(prediction_tables.list_parts(path))
    return is_folder or path.lower().endswith((*prediction_tables.SUFFIXES, *ARRAYS))


def _read_table(
    path: str, names: tuple[str, ...], scale: str, among: pd.DataFrame | None, rules: joins.Rules
) -> PredictionFile:
    found = prediction_tables.read(path)
    table = found.table
    recordings = joins.find_names(table, path, rules.columns)
    kind, measured = KINDS[scale], _find_measured(table, among)
    offered = _find_names(table) if kind == FINDING else _find_numbers(table, among)
    offered = tuple(name for name in offered if name not in measured)
    if not offered and not names:
        hint = "; --numbers scores quantities, as age in years" if _find_numbers(table, among) else ""
        raise InputError(f"{path}: no column of {scale}; it has {list_some(table, _SHOWN)}{hint}")
    names = names or _choose_names(table, offered, among, scale)
    if len(set(names)) < len(names):
        raise InputError(f"{path}: --names={','.join(names)} names a label twice")
    if missing := [name for name in names if name not in table]:
        hint = suggest(missing[0], map(str, table.columns))
        raise InputError(f"{path}: no column {list_some(missing)}{hint}; it has {list_some(table, _SHOWN)}")
    known = np.ones(len(table), bool)
    if "quality" in table:  # which gives the reason why a recording could not be predicted
        known = ~(table[[*names]].isna().all(axis=1) & table["quality"].notna()).to_numpy()
    if not known.any():
        raise InputError(f"{path}: no recording has a prediction; the first: {table['quality'].iloc[0]}")
    ids = next(iter(recordings.values())) if recordings else list_lines(table)
    patients = read_patients(table, path, rules)
    patient_column = "" if patients is None else find_patients(table, path, rules)
    split = table_lib.parse_split(table["split"], path) if "split" in table else None
    left_out = [
        left_out_lib.create(str(ids[row]), table["quality"].iloc[row], "" if split is None else str(split[row]))
        for row in np.flatnonzero(~known)
    ]
    whole, table = table, table[known]
    raws, truths = ([f"{name}{end}" for name in names] for end in (RAW, TRUE))
    has_raw, has_truth = (set(wanted) <= set(table) for wanted in (raws, truths))
    own = {*names, *_find_parts(table)}
    read = attribute_lib.read_all if has_truth else attribute_lib.read_known
    attributes = attribute_lib.read_numbers(table, [name for name in measured if name not in own])
    attributes |= read(table, path, {*own, *attributes})
    roles = column_roles.assign(
        whole,
        names,
        attributes,
        recordings=next(iter(recordings), ""),
        patients=patient_column,
        parts={*own, "split", "quality"},
    )
    return PredictionFile(
        path=path,
        names=names,
        values=prediction_values.parse_columns(table, names, path, scale),
        rows=np.flatnonzero(known),
        raw=prediction_values.parse_columns(table, raws, path) if has_raw and kind == FINDING else None,
        recordings=recordings,
        split=None if split is None else split[known],
        labels=parse_truth(table, truths, path, kind) if has_truth else None,
        patients=None if patients is None else patients[known],
        attributes=attributes,
        on_request=roles.unpredicted,
        left_out=tuple(left_out),
        columns=tuple(whole),
        patient_column=patient_column,
        unused=() if among is None else tuple(name for name in offered if name not in names),
        thresholds=found.thresholds,
        unchosen=found.unchosen,
        facts=(roles.describe(path),) if has_truth else (),
        kind=kind,
    )


def parse_truth(table: pd.DataFrame, names: Sequence[str], path: str, kind: str) -> np.ndarray:
    """Columns of truth, `[N, C]` float64: in {1, 0, NaN}, or numbers."""
    if kind == NUMBER:
        return np.stack([prediction_values.parse_truth(table, name, path) for name in names], axis=1)
    return np.stack([label_lib.parse_column(table[name], path) for name in names], axis=1).astype(np.float64)


def read_patients(table: pd.DataFrame, path: str, rules: joins.Rules) -> np.ndarray | None:
    """Patients, see `patients.parse`; None also where another file has the column that was asked for."""
    return patient_lib.parse(table, path, rules.patient_column) if find_patients(table, path, rules) else None


def find_patients(table: pd.DataFrame, path: str, rules: joins.Rules) -> str:
    """The column that names them; empty without one, also where another file has the one that was asked for."""
    if rules.patient_column and rules.patient_column not in table:
        return ""
    return patient_lib.find_column(table, path, rules.patient_column)


def list_lines(table: pd.DataFrame) -> np.ndarray:
    """`[N]` str, lines of a CSV by which its recordings are called where nothing names them; see `labels.locate`."""
    return np.array([label_lib.locate(index).removeprefix("line ") for index in table.index], str)


def _find_names(table: pd.DataFrame) -> tuple[str, ...]:
    """Columns of a prediction file that may hold probabilities, as they are not something else."""
    others = {name for name in _find_parts(table) if f"{name}{TRUE}" not in table}
    return tuple(name for name in table.columns if name not in others and not attribute_lib.is_fact(name))


def _find_numbers(table: pd.DataFrame, among: pd.DataFrame | None) -> tuple[str, ...]:
    """As `_find_names`, of predicted numbers; `age` is one only as `read_predictions` says."""
    names = [name for name in _find_names(table) if prediction_values.is_number(table[name])]
    ages = [name for name in table.columns if name.lower() == attribute_lib.AGE]
    is_alone = among is None or not {*names} & {*among}
    return (*names, *(name for name in ages if is_alone or f"{name}{TRUE}" in table))


def _find_measured(table: pd.DataFrame, among: pd.DataFrame | None) -> list[str]:
    """Columns of intervals, as `predict --measure` writes them: no probabilities, and of no truth."""
    labels = {*(() if among is None else among), *_find_parts(table)}
    names = [name for name in table if name.removeprefix("measured_") in INTERVALS and name not in labels]
    return [name for name in names if not _is_probability(table[name])]


def _is_probability(column: pd.Series) -> bool:
    """Whether a column of text has numbers from 0 to 1 and nothing else, in all its rows; one without any has not."""
    known = pd.to_numeric(column.dropna(), errors="coerce")
    return bool(len(known)) and bool(known.between(0, 1).all())


def _find_parts(table: pd.DataFrame) -> set[str]:
    """Columns of truth and raw probabilities, and the labels that have a column of truth."""
    beside = {f"{name}{end}" for name in table for end in (RAW, TRUE)} & {*table}
    return beside | {name for name in table if f"{name}{TRUE}" in table}


def _choose_names(
    table: pd.DataFrame, offered: tuple[str, ...], among: pd.DataFrame | None, scale: str
) -> tuple[str, ...]:
    """The labels to score: those with truth; where a table of labels is given, what is a label in both."""
    if among is None:
        return tuple(name for name in offered if f"{name}{TRUE}" in table) or offered

    def is_label(name: str) -> bool:
        if scale == NUMBERS:
            return prediction_values.is_number(among[name])
        return (scale != LOGITS and prediction_values.could_be(table[name])) or label_lib.is_label(among[name])

    shared = tuple(name for name in offered if name in among and is_label(name))
    if scale == NUMBERS:
        return shared or offered
    return shared or tuple(name for name in offered if prediction_values.could_be(table[name])) or offered


def _read_arrays(path: str, names: tuple[str, ...], scale: str, rules: joins.Rules) -> PredictionFile:
    found = prediction_arrays.read(path, KINDS[scale])
    table, names = found.table, names or found.names
    if names and len(names) != found.values.shape[1]:
        raise InputError(f"{path}: {found.values.shape[1]} columns, but {len(names)} label names: {', '.join(names)}")
    return PredictionFile(
        path=path,
        names=names,
        values=prediction_values.convert(found.values, path, "row {}, column {}".format, scale),
        rows=np.arange(len(found.values)),
        recordings=joins.find_names(table, path),
        labels=found.labels,
        split=table_lib.parse_split(table["split"], path) if "split" in table else None,
        patients=read_patients(table, path, rules),
        attributes=attribute_lib.read_all(table, path),
        facts=found.facts,
        kind=KINDS[scale],
    )


def has_labels(path: str, names: Sequence[str], kind: str = FINDING) -> bool:
    """Whether a file of predictions holds the truth too; of a table its columns say so."""
    if path.endswith(".npz"):
        return prediction_arrays.read(path, kind).labels is not None
    return all(prediction_tables.has_column(path, f"{name}{TRUE}") for name in names)


def describe(path: str) -> str:
    """A file's name for titles."""
    return os.path.splitext(os.path.basename(os.path.abspath(path)))[0]
