"""Predictions and labels in files, anybody's: read, checked, and joined, recording by recording."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.special

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.errors import InputError
from ecg_jax.evaluation.predictions import Predictions

IDS = ("recording", "id", "exam_id", "ecg_id", "study_id", "record")  # the first of these that a table has
TRUE, RAW = "_true", "_raw"
_LEAST_LOGITS = 0.2  # share of negative values from which numbers outside 0-1 look like logits


@dataclasses.dataclass(frozen=True)
class PredictionFile:
    """Probabilities of some recordings.

    Attributes:
        path: Where they were read.
        names: The C labels; empty where a bare array does not name its columns.
        values: `[N, C]` float64 in [0, 1].
        raw: The same before recalibration, where the file has both.
        ids: `[N]` str; None where the file has none.
        id_column: Where they stand.
        split: `[N]` str, `train`, `validation` or `test`; None where the file does not say.
        labels: `[N, C]` where the file holds the truth too, in columns `LABEL_true`; else None.
        elsewhere: Recordings of the file's other splits.
        left_out: Recordings (ids or lines) that have no probability, with a reason in `quality`.
    """

    path: str
    names: tuple[str, ...]
    values: np.ndarray
    raw: np.ndarray | None = None
    ids: np.ndarray | None = None
    id_column: str | None = None
    split: np.ndarray | None = None
    labels: np.ndarray | None = None
    elsewhere: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def read_predictions(path: str, *, names: Sequence[str] = (), logits: bool = False) -> PredictionFile:
    """Reads probabilities from a CSV or a NumPy array.

    Args:
        path: A CSV with a column per label, as `predict` and a run write; or `.npy`, `[N, C]` or `[N]`.
        names: The labels: which columns of a CSV, or the columns of an array in their order.
        logits: The numbers are logits, to be turned into probabilities.

    Raises:
        InputError: naming file, line and value.
    """
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder; a run folder goes with --model, a file of predictions is .csv or .npy")
    if path.endswith(".npy"):
        return _read_array(path, tuple(names), logits)
    table = table_lib.read_table(path)
    column = find_ids(table)
    names = tuple(names) or _find_names(table, path)
    if len(set(names)) < len(names):
        raise InputError(f"{path}: --names={','.join(names)} names a label twice")
    if missing := [name for name in names if name not in table]:
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    known = np.ones(len(table), bool)
    if "quality" in table:  # a recording that could not be predicted says why
        known = ~(table[[*names]].isna().all(axis=1) & table["quality"].notna()).to_numpy()
    ids = table_lib.parse_ids(table[column], path) if column else (table.index.to_numpy() + 2).astype(str)
    if not known.any():
        raise InputError(f"{path}: no recording has a probability; the first: {table['quality'].iloc[0]}")
    left_out, table = tuple(ids[~known].tolist()), table[known]
    values = np.stack([_parse(table[name], path, logits) for name in names], axis=1)
    raws, truths = ([f"{name}{end}" for name in names] for end in (RAW, TRUE))
    has_raw, has_truth = (all(name in table for name in wanted) for wanted in (raws, truths))
    return PredictionFile(
        path=path,
        names=names,
        values=_to_probabilities(values, path, logits, table, names),
        raw=_read_raw(table, path, raws) if has_raw else None,
        ids=ids[known] if column else None,
        id_column=column,
        split=table_lib.parse_split(table["split"], path) if "split" in table else None,
        labels=np.stack([label_lib.parse_column(table[name], path) for name in truths], axis=1) if has_truth else None,
        left_out=left_out,
    )


def find_ids(table: pd.DataFrame, first: str | None = None) -> str | None:
    """The column that names the recordings, `first` if it is there; None without one."""
    spelled = {str(name).lower(): str(name) for name in reversed(table.columns)}
    wanted = IDS if first is None else (first.lower(), *IDS)
    return next((spelled[name] for name in wanted if name in spelled), None)


def _read_raw(table: pd.DataFrame, path: str, names: list[str]) -> np.ndarray:
    values = np.stack([_parse(table[name], path, False) for name in names], axis=1)
    return _to_probabilities(values, path, False, table, names)


def _find_names(table: pd.DataFrame, path: str) -> tuple[str, ...]:
    """Columns of a prediction file that hold probabilities: those that are not something else."""
    others = {*label_lib.NO_LABELS, *IDS, "quality", "recording", ""}

    def is_label(name: str) -> bool:
        is_other = name.lower() in others or name.lower().startswith("unnamed:")
        return not is_other and not any(name.endswith(end) and name[: -len(end)] in table for end in (RAW, TRUE))

    names = tuple(name for name in table.columns if is_label(name))
    if not names:
        raise InputError(f"{path}: no column of probabilities; it has {', '.join(table.columns)}")
    return names


def _parse(column: pd.Series, path: str, logits: bool) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        value = column.iloc[bad[0]]
        found = "is empty" if pd.isna(value) else f"holds {value}"
        raise InputError(
            f"{path}: line {column.index[bad[0]] + 2}, column {column.name!r} {found}; "
            f"expected {'a logit' if logits else 'a probability'} ({bad.size} such value(s)); leave such recordings "
            "out, or name the labels if this is none: --names=A,B"
        )
    return values


def _to_probabilities(
    values: np.ndarray, path: str, logits: bool, table: pd.DataFrame | None = None, names: Sequence[str] = ()
) -> np.ndarray:
    if logits:
        return scipy.special.expit(values)
    outside = (values < 0) | (values > 1)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        place = f"row {row}, column {column}"
        if table is not None:
            place = f"line {table.index[row] + 2}, column {names[column]!r}"
        hint = "correct the file"
        if values.min() < 0 and (values.max() > 1 or (values < 0).mean() >= _LEAST_LOGITS):
            hint = "these look like logits: --logits turns them into probabilities"
        elif values.min() >= 0 and 2 < values.max() <= 100:
            hint = "if these are per cent, divide them by 100"
        raise InputError(
            f"{path}: {place} holds {values[row, column]:.9g}; a probability lies between 0 and 1 "
            f"({outside.sum()} of {outside.size} values do not); {hint}"
        )
    return values


def _read_array(path: str, names: tuple[str, ...], logits: bool) -> PredictionFile:
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a NumPy array of numbers, or damaged") from error
    if not isinstance(values, np.ndarray):
        raise InputError(f"{path}: holds several arrays; save one, [recordings, labels], with numpy.save")
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2) or not values.size:
        raise InputError(f"{path}: {values.dtype} {values.shape}; expected numbers [recordings, labels]")
    values = values.reshape(len(values), -1).astype(np.float64)
    if (bad := np.argwhere(~np.isfinite(values))).size:
        raise InputError(
            f"{path}: row {bad[0][0]}, column {bad[0][1]} holds {values[tuple(bad[0])]}; expected a number"
        )
    if names and len(names) != values.shape[1]:
        raise InputError(f"{path}: {values.shape[1]} columns, but {len(names)} label names: {', '.join(names)}")
    return PredictionFile(path, names, _to_probabilities(values, path, logits))


def join(
    file: PredictionFile, labels: str, *, partial: bool = False, others: Sequence[str] = (), by_line: bool = True
) -> Predictions:
    """Joins predictions with the truth in a CSV: by id where both have ids, else line by line.

    Args:
        file: The predictions.
        labels: A CSV with a column per label, in {1, 0, empty}; `patient_id`, `age`, `sex` and any
            other columns make subgroups.
        partial: Score the recordings that both have; otherwise all must stand in both.
        others: Ids that the CSV may hold besides, of recordings that are not scored.
        by_line: Whether joining line by line will do.

    Raises:
        InputError: when a label is missing, or recordings do not match.
    """
    table = table_lib.read_table(labels)
    file = _name_columns(file, table, labels)
    if missing := [name for name in file.names if name not in table]:
        raise InputError(
            f"{labels}: no label {', '.join(missing)}, which {file.path} predicts; it has {', '.join(table)}"
        )
    column = find_ids(table, file.id_column)
    ids = table_lib.parse_ids(table[column], labels) if column else None
    rows = np.arange(len(file.values))
    if file.ids is not None and ids is not None:
        rows, table = _match(file, ids, table, labels, partial, {*others, *file.left_out, *file.elsewhere})
        ids = file.ids[rows]
    elif not by_line:
        raise InputError(
            f"{file.path} and {labels} do not both name their recordings; pass --validation_labels=FILE.csv"
        )
    elif len(table) != len(file.values):
        raise InputError(
            f"{file.path} has {len(file.values)} recordings{_describe_left_out(file)}, {labels} {len(table)}; "
            "without ids in both they are joined line by line, and must be as many"
        )
    elif file.left_out:
        raise InputError(
            f"{file.path}: {len(file.left_out)} recordings have no probability; give both files ids to join by"
        )
    truth = np.stack([label_lib.parse_column(table[name], labels) for name in file.names], axis=1)
    if ids is None:
        ids = file.ids if file.ids is not None else (table.index.to_numpy() + 2).astype(str)
    return Predictions(
        ids=ids,
        names=file.names,
        labels=truth.astype(np.float64),
        probabilities=file.values[rows],
        raw=None if file.raw is None else file.raw[rows],
        patients=table_lib.parse_patients(table),
        attributes=read_attributes(table, labels, file.names),
    )


def has_labels(path: str, names: Sequence[str]) -> bool:
    """Whether a file of predictions holds the truth too, by its first line."""
    return path.endswith(".csv") and all(table_lib.has_column(path, f"{name}{TRUE}") for name in names)


def knows(labels: str, file: PredictionFile) -> bool:
    """Whether a CSV of labels names any of a file's recordings."""
    table = table_lib.read_table(labels)
    column = find_ids(table, file.id_column)
    return column is not None and file.ids is not None and bool(table[column].str.strip().isin(file.ids.tolist()).any())


def is_joined_by_id(file: PredictionFile, labels: str) -> bool:
    """Whether both name their recordings."""
    wanted = (*IDS, file.id_column or IDS[0])
    return file.ids is not None and any(table_lib.has_column(labels, name) for name in wanted)


def _describe_left_out(file: PredictionFile) -> str:
    return f" ({len(file.left_out)} more without a probability)" if file.left_out else ""


def _name_columns(file: PredictionFile, table: pd.DataFrame, labels: str) -> PredictionFile:
    """Names the columns of a bare array: the six diagnoses, or the only label there is."""
    if file.names:
        return file
    count = file.values.shape[1]
    if count == len(label_lib.SIX) and set(label_lib.SIX) <= {*table.columns}:
        return dataclasses.replace(file, names=label_lib.SIX)
    held = tuple(label_lib.select(label_lib.ALL, {}, table, labels))
    if count == len(held) == 1:
        return dataclasses.replace(file, names=held)
    raise InputError(
        f"{file.path}: an array does not name its {count} columns; name them in their order: --names="
        f"{','.join(held[:count]) or 'A,B'}"
    )


def _match(
    file: PredictionFile, ids: np.ndarray, table: pd.DataFrame, labels: str, partial: bool, others: set[str]
) -> tuple[np.ndarray, pd.DataFrame]:
    """Rows of the predictions, and of the table in the same order, that are of the same recordings."""
    assert file.ids is not None
    place = {id: row for row, id in enumerate(ids.tolist())}
    found = np.array([place.get(id, -1) for id in file.ids.tolist()], int)
    rows = np.flatnonzero(found >= 0)
    if not rows.size:
        raise InputError(
            f"{file.path} and {labels} share no recording: the first are {str(file.ids[0])!r} and {str(ids[0])!r}; "
            "ids must be spelled alike, and validation has labels of its own in --validation_labels"
        )
    known = {*file.ids.tolist(), *others}
    unpredicted = [id for id in ids.tolist() if id not in known]
    if not partial and (len(rows) < len(found) or unpredicted):
        names = file.ids[found < 0].tolist() or unpredicted
        where, absent = (file.path, labels) if len(rows) < len(found) else (labels, file.path)
        raise InputError(
            f"{absent}: {len(names)} of the {len(found) if where == file.path else len(ids)} recordings of {where} "
            f"are not in it, the first {names[0]}; "
            "--partial scores those that both have"
        )
    return rows, table.iloc[found[rows]]


def read_attributes(table: pd.DataFrame, source: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns that subgroups can be made of: age, sex, and others that are neither ids nor labels."""
    found = {
        name: values
        for name, values in table_lib.parse_attributes(table, source).items()
        if name != table_lib.WEIGHT and len(values)
    }
    others = {*(label_lib.NO_LABELS - {"source"}), *IDS, "quality"}
    for name in table.columns:
        if name in names or name.lower() in others or name.lower().startswith("unnamed:") or name in label_lib.SIX:
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        is_number = numbers.notna().sum() == table[name].notna().sum()
        values = numbers.to_numpy(np.float64) if is_number else table[name].fillna("").to_numpy(str)
        if is_number or len(set(values.tolist())) < max(len(table) // 2, 2):  # else a name or a remark of each
            found[name] = values
    return found


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

    others = () if file.ids is None else tuple(np.delete(file.ids, rows).tolist())
    return dataclasses.replace(
        file,
        elsewhere=others,
        values=file.values[rows],
        raw=pick(file.raw),
        ids=pick(file.ids),
        split=pick(file.split),
        labels=pick(file.labels),
    )


def use_own_labels(file: PredictionFile) -> Predictions:
    """Predictions whose file holds the truth too, as a run's predictions.csv does.

    Raises:
        InputError: when it does not.
    """
    if file.labels is None:
        raise InputError(f"{file.path}: holds no labels (columns LABEL{TRUE}); pass --labels=FILE.csv")
    ids = file.ids if file.ids is not None else np.arange(len(file.values)).astype(str)
    return Predictions(ids, file.names, file.labels.astype(np.float64), file.values, file.raw)


def default_split(file: PredictionFile) -> str:
    """The split to score: the test split where the file says who is in it, else everything."""
    return "test" if file.split is not None and (file.split == "test").any() else "all"


def describe(path: str) -> str:
    """A file's name for titles."""
    return os.path.splitext(os.path.basename(path))[0]
