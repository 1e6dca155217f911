"""The truth for predictions in files: in the same file, or in a CSV that is joined with it recording by recording."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data import column_roles, joins, prediction_files, prediction_values
from ecg_jax.data.datasets import attributes as attribute_lib
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.prediction_files import PredictionFile
from ecg_jax.errors import InputError, suggest
from ecg_jax.evaluation.left_out import LeftOut
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.inference.evaluated import Evaluated
from ecg_jax.kinds import FINDING
from ecg_jax.printable import list_some

_SHOWN = 20  # columns that a message names


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """A CSV with a column per label."""

    path: str
    table: pd.DataFrame  # of text
    recordings: joins.Names  # empty where it names none
    patients: np.ndarray | None  # `[N]` str, empty where unknown; None where none is named
    patient_column: str = ""  # that names them, where there is one

    @property
    def side(self) -> joins.Side:
        """One side of a join."""
        return joins.Side(self.path, len(self.table), self.recordings)

    def require(self, names: Sequence[str], whose: str = "") -> None:
        """Raises `InputError` where a label is missing."""
        if missing := [name for name in names if name not in self.table]:
            raise InputError(
                f"{self.path}: no label {list_some(missing)}{whose}; it has {list_some(self.table, _SHOWN)}"
                + suggest(missing[0], self.table)
            )

    def parse(self, names: Sequence[str], rows: np.ndarray | slice = slice(None), kind: str = FINDING) -> np.ndarray:
        """Labels of some recordings, `[n, C]` float64 in {1, 0, NaN}, or numbers."""
        return prediction_files.parse_truth(self.table.iloc[rows], names, self.path, kind)


def read_labels(path: str, rules: joins.Rules = joins.USUAL) -> LabelFile:
    """Reads a CSV with a column per label, in {1, 0, empty} or of numbers; any other columns make subgroups."""
    table = table_lib.read_table(path)
    recordings = joins.find_names(table, path, rules.columns)
    patients = prediction_files.read_patients(table, path, rules)
    column = "" if patients is None else prediction_files.find_patients(table, path, rules)
    return LabelFile(path, table, recordings, patients, column)


def use_own_labels(file: PredictionFile, ids: np.ndarray | None = None) -> Evaluated:
    """Predictions whose file holds the truth too, as a run's predictions.csv does; `InputError` when it does not.

    Recordings are called as in the file, or numbered, unless `ids` `[N]` str are given.
    """
    if file.labels is None:
        raise InputError(f"{file.path}: holds no labels (columns LABEL{prediction_files.TRUE}); pass --labels=FILE.csv")
    if not file.names:
        raise InputError(
            f"{file.path}: does not name its {file.values.shape[1]} columns; name them in their order with --names=A,B"
        )
    if ids is None:
        ids = np.arange(len(file.values)).astype(str) if file.ids is None else file.ids
    predictions = Predictions(
        ids=ids,
        names=file.names,
        labels=file.labels.astype(np.float64),
        probabilities=file.values,
        raw=file.raw,
        patients=file.patients,
        attributes=file.attributes,
        kind=file.kind,
    )
    title = prediction_files.describe(file.path)
    return Evaluated(
        title,
        "",
        predictions,
        thresholds=file.find_thresholds(),
        source=file.path,
        recordings=joins.take(file.recordings, file.rows),
        left_out=file.left_out,
        on_request=file.on_request,
    )


def join(
    file: PredictionFile, truth: LabelFile, rules: joins.Rules = joins.USUAL, others: Sequence[joins.Names] = ()
) -> Evaluated:
    """Joins predictions with the truth.

    Unless the rules say otherwise, all recordings must be in both; `others` names recordings that only the labels have.

    Raises:
        InputError: when a label is missing, or recordings do not match.
    """
    file = _name_columns(file, truth)
    truth.require(file.names, f", which {file.path} predicts")
    if file.left_out and not file.recordings:
        raise InputError(
            f"{file.path}: {len(file.left_out)} recordings have no prediction; give both files ids to join by"
        )
    lost: list[LeftOut] = []
    size = next((len(names) for names in file.recordings.values()), len(file.values))
    found = joins.join(joins.Side(file.path, size, file.recordings), truth.side, rules)
    if found.way == joins.POSITION:
        place, how = found.rows, found.way
        warnings = [f"{file.path} and {truth.path} are joined {how}, as asked: they must be in the same order"]
    else:
        place, how = found.rows[file.rows], f"by name, {' and '.join(found.columns)} {found.way}"
        warnings, lost = _check_shared(file, truth, found, rules, others)
    rows = np.flatnonzero(place >= 0)
    place = place[rows]
    table, taken = truth.table.iloc[place], file.take(rows)
    recordings = joins.take(truth.recordings, place) | joins.take(file.recordings, taken.rows)
    named = file.recordings or truth.recordings
    attributes = attribute_lib.read_all(table, truth.path, file.names)
    roles = column_roles.assign(
        table, file.names, attributes, recordings=found.columns[1], patients=truth.patient_column
    )
    joined = dataclasses.replace(
        taken,
        labels=truth.parse(file.names, place, file.kind),
        patients=taken.patients if truth.patients is None else truth.patients[place],
        attributes={**taken.attributes, **attributes},
        on_request=roles.unpredicted,
        left_out=(*file.left_out, *lost),
    )
    ids = recordings[next(iter(named))] if named else prediction_files.list_lines(table)
    return dataclasses.replace(
        use_own_labels(joined, ids),
        facts=(f"{file.path} and {truth.path} are joined {how}.", roles.describe(truth.path)),
        warnings=tuple(warnings),
        recordings=recordings,
    )


def _name_columns(file: PredictionFile, truth: LabelFile) -> PredictionFile:
    """Names the columns of a bare array: the six diagnoses, or the only label there is."""
    if file.names:
        return file
    count = file.values.shape[1]
    if file.kind == FINDING and count == len(label_lib.SIX) and set(label_lib.SIX) <= {*truth.table}:
        return dataclasses.replace(file, names=label_lib.SIX)
    held = _list_labels(truth, file.kind)
    if count == len(held) == 1:
        return dataclasses.replace(file, names=held)
    raise InputError(
        f"{file.path}: an array does not name its {count} columns; name them in their order: --names="
        f"{','.join(held[:count]) or 'A,B'}"
    )


def _list_labels(truth: LabelFile, kind: str) -> tuple[str, ...]:
    """Columns that may be labels; `age` is one of these numbers only where there is no other."""
    table = truth.table
    if kind == FINDING:
        return tuple(label_lib.select(label_lib.ALL, {}, table, truth.path))
    numbers = [name for name in table if prediction_values.is_number(table[name])]
    named = [name for name in numbers if not attribute_lib.is_fact(name)]
    return tuple(named or [name for name in numbers if name.lower() == attribute_lib.AGE])


def _check_shared(
    file: PredictionFile, truth: LabelFile, found: joins.Match, rules: joins.Rules, others: Sequence[joins.Names]
) -> tuple[list[str], list[LeftOut]]:
    """Refuses recordings that only one file has, or lists which are left out, and says so, where that was asked for."""
    ids, held = file.recordings[found.columns[0]][file.rows], truth.recordings[found.columns[1]]
    missing = ids[found.rows[file.rows] < 0]
    if len(missing) == len(ids):
        hint = "ids must be spelled alike, but for folder, suffix and leading zeros"
        if found.clash:
            hint += f", without which {' and '.join(map(repr, found.clash))} would be one"
        raise InputError(
            f"{file.path} and {truth.path} share no recording: the first are {str(ids[0])!r} and {str(held[0])!r}; "
            f"{hint}; validation has labels of its own in --validation_labels"
        )
    known = np.isin(np.arange(len(held)), found.rows)
    for names in others:
        if names and not known.all():
            other = joins.match(names, truth.recordings, ("validation", truth.path))
            known[other.rows[(other.rows >= 0) & (not other.doubt)]] = True
    lines: list[str] = []
    left_out: list[LeftOut] = []
    for lost, total, where, absent in (
        (missing, len(ids), file.path, truth.path),
        (held[~known], len(held), truth.path, file.path),
    ):
        count = f"{len(lost)} of the {total} recordings of {where}"
        if len(lost) and not rules.partial:
            raise InputError(
                f"{absent}: {count} are not in it, the first {lost[0]}; --partial scores those that both have"
            )
        if len(lost):
            lines.append(f"{count} are left out, as {absent} does not have them (--partial): {list_some(lost, 3)}")
            left_out += [LeftOut(name, f"not in {absent}") for name in lost.tolist()]
    return [*lines, *found.doubt], left_out


def read_annotators(paths: Sequence[str], scored: Evaluated, rules: joins.Rules) -> dict[str, np.ndarray]:
    """Other readers' labels of the recordings that are scored, `[N, C]` in {1, 0, NaN} by file name.

    Raises:
        InputError: when a label or a recording is missing.
    """
    readings: dict[str, np.ndarray] = {}
    predictions = scored.predictions
    for path in paths:
        name = prediction_files.describe(path)
        if name in readings:
            raise InputError(f"{path}: another reader's file has the same name; rename one")
        reader = read_labels(path, rules)
        reader.require(predictions.names)
        rows = joins.join(scored.side, reader.side, rules).rows
        if (rows < 0).any():
            absent = predictions.ids[rows < 0]
            raise InputError(
                f"{path}: {len(absent)} of the {len(rows)} scored recordings are not in it, the first {absent[0]}"
            )
        readings[name] = reader.parse(predictions.names)[rows]
    return readings
