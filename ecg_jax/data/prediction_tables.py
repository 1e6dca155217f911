"""Tables of predictions as `predict` and a run write them: CSV, JSON, Parquet, or a folder of Parquet's parts."""

import dataclasses
import json
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ecg_jax import files
from ecg_jax.data.datasets import attributes as attribute_lib
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.errors import InputError, describe

RAW, TRUE = "_raw", "_true"  # what follows a label in the column before calibration, and in that of its truth
JSON, PARQUET = ".json", ".parquet"
SUFFIXES = (".csv", JSON, PARQUET)
OWN = ("recording", "split", "fold", "patient_id", "quality")  # columns of a run's predictions.csv beside its labels
THRESHOLDS, UNCHOSEN = "thresholds", "thresholds_not_chosen"  # facts of a file that is no CSV


@dataclasses.dataclass(frozen=True)
class PredictionTable:
    """A table, and the thresholds of the model that predicted, where the file has them."""

    # Of text as from `read_table`; of JSON and Parquet, numbers may be float64, NaN where empty, and the index says in
    # words where a row is.
    table: pd.DataFrame
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)  # by label
    unchosen: tuple[str, ...] = ()  # labels whose threshold is the default


def name_columns(labels: Sequence[str], has_raw: bool, measurements: Sequence[str]) -> list[str]:
    """`recording`; labels; with `has_raw` the same as LABEL_raw; `measurements`; `quality`.

    Labels keep their names: a measurement that is called as a label is `measured_NAME`, and otherwise what is called as
    another column is NAME_2.
    """
    raw = [f"{name}{RAW}" for name in labels if has_raw]
    measured = [f"measured_{name}" if name in labels else name for name in measurements]
    names = [*labels]
    for name in (*raw, *measured, "quality", "recording"):
        names.append(find_free(name, names))
    return [names.pop(), *names]


def find_free(name: str, taken: Collection[str]) -> str:
    """A name, or where it is taken NAME_2 (and so on)."""
    return find_free(f"{name}_2", taken) if name in taken else name


def check_labels(names: Sequence[str]) -> None:
    """Raises `InputError` for labels that are called as another column of a run's predictions.csv."""
    taken = dict.fromkeys(OWN, "another column")
    taken |= {f"{name}{RAW}": f"the column of {name} before calibration" for name in names}
    taken |= {f"{name}{TRUE}": f"the column of {name}'s truth" for name in names}
    for name in names:
        if name in taken:
            raise InputError(f"a label is called {name}, as {taken[name]} in predictions.csv; rename it in the data")


def read(path: str) -> PredictionTable:
    """Reads a table of predictions; `InputError` for what is no such file."""
    if os.path.isdir(path):
        return _read_parquet(path, list_parts(path))
    suffix = os.path.splitext(path)[1].lower()
    if suffix == JSON:
        return _read_json(path)
    return _read_parquet(path, [path]) if suffix == PARQUET else PredictionTable(_respell(table_lib.read_table(path)))


def list_parts(folder: str) -> list[str]:
    """The Parquet files in a folder, as `predict --beam` leaves them, in order; not those that are being written."""
    names = [name for name in os.listdir(folder) if name.lower().endswith(PARQUET) and name[0] not in "._"]
    return sorted(os.path.join(folder, name) for name in names)


def has_column(path: str, name: str) -> bool:
    """Whether a table of predictions has a column; of JSON only `predict`'s is read, which has no truth."""
    parts = list_parts(path) if os.path.isdir(path) else [path] if path.lower().endswith(PARQUET) else []
    if parts:
        return name.lower() in map(str.lower, _open_parquet(parts[0]).schema_arrow.names)
    return path.lower().endswith(".csv") and table_lib.has_column(path, name)


def _read_json(path: str) -> PredictionTable:
    """What `writers.JsonTable` writes; windows, waves and explanations are not for tables."""
    try:
        files.measure(path)
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        made = content["recordings"]
        key = next((key for key in ("probabilities", "numbers") if made and key in made[0]), "probabilities")
        labels, raw, measured = (
            [*dict.fromkeys(name for row in made for name in row.get(part, ()))]
            for part in (key, "raw", "measurements")
        )
        if not labels:
            raise LookupError("no recording with probabilities or numbers")
        parts = {key: labels, "raw": raw, "measurements": measured}
        values = [
            [
                row["recording"],
                *(_get(row, part, name) for part, names in parts.items() for name in names),
                row["quality"],
            ]
            for row in made
        ]
        table = pd.DataFrame(values, columns=name_columns(labels, bool(raw), measured))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not what `predict --output=FILE.json` writes ({describe(error, path)})") from error
    return _conclude(table, content, path)


def _get(row: Mapping[str, Any], part: str, name: str) -> Any:
    return row.get(part, {}).get(name)


def _read_parquet(path: str, parts: Sequence[str]) -> PredictionTable:
    tables, facts = [], []
    for part in parts:
        with _open_parquet(part) as file:
            names = file.schema_arrow.names
            if duplicated := {name for name in names if names.count(name) > 1}:
                raise InputError(f"{part}: names column {', '.join(sorted(duplicated))} more than once")
            try:
                columns = file.read()
            except (OSError, pa.ArrowException) as error:
                raise InputError(f"{part}: damaged ({describe(error, part)})") from error
        tables.append({name: _convert(columns[name], name, part) for name in names})
        facts.append({name: read_fact(part, name) for name in (THRESHOLDS, UNCHOSEN)})
        if [*tables[-1]] != [*tables[0]] or facts[-1] != facts[0]:
            raise InputError(f"{part}: other columns or thresholds than in {parts[0]}: not parts of one prediction")
    return _conclude(pd.concat(map(pd.DataFrame, tables), ignore_index=True), facts[0], path)


def _open_parquet(path: str) -> pq.ParquetFile:
    try:
        files.measure(path)
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable Parquet file ({describe(error, path)})") from error


def _convert(column: pa.ChunkedArray, name: str, path: str) -> pd.Series:
    """Numbers with a fraction as float64; everything else, and what says who, where or when, as text."""
    if pa.types.is_floating(column.type) and not attribute_lib.is_fact(name):
        return column.cast(pa.float64()).to_pandas()
    try:
        return column.cast(pa.string()).to_pandas()
    except pa.ArrowException as error:
        raise InputError(f"{path}: column {name} holds {column.type}; expected numbers or text") from error


def _conclude(table: pd.DataFrame, facts: Mapping[str, Any], path: str) -> PredictionTable:
    """With empty texts as NaN and the usual spelling of labels; the index says where a row is."""
    thresholds, unchosen = facts.get(THRESHOLDS) or {}, facts.get(UNCHOSEN) or []
    if not (isinstance(thresholds, dict) and all(map(_is_threshold, thresholds.values()))):
        raise InputError(f"{path}: its thresholds are {thresholds!r:.80}; expected a number from 0 to 1 by label")
    if not (isinstance(unchosen, list) and all(isinstance(name, str) for name in unchosen)):
        raise InputError(f"{path}: its {UNCHOSEN} are {unchosen!r:.80}; expected a list of labels")
    table = _respell(table_lib.standardize(table, path))
    names = table.get("recording", pd.Series(np.nan, table.index))
    table.index = pd.Index(
        [f"recording {name}" if isinstance(name, str) else f"row {i + 1}" for i, name in names.items()]
    )
    spelled = {name: _spell(name, table) for name in (*thresholds, *unchosen)}
    return PredictionTable(
        table, {spelled[name]: value for name, value in thresholds.items()}, tuple(spelled[name] for name in unchosen)
    )


def _is_threshold(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _respell(table: pd.DataFrame) -> pd.DataFrame:
    """With LABEL_raw and LABEL_true spelled as LABEL, which may have been `standardize`d."""
    names = {}
    for name in table:
        end = next((end for end in (RAW, TRUE) if name.lower().endswith(end)), "")
        label = _spell(name[: -len(end)], table) if end else ""
        if label in table and f"{label}{end}" not in table:
            names[name] = f"{label}{end}"
    return table.rename(columns=names)


def _spell(name: str, table: pd.DataFrame) -> str:
    """A name as that of the column from which it differs in case alone, where there is one."""
    return name if name in table else next((each for each in table if each.lower() == name.lower()), name)


def read_fact(path: str, name: str) -> Any:
    """A fact of a Parquet file's metadata (JSON); None where there is none, no such file, or it is not whole."""
    try:
        return json.loads((pq.read_metadata(path).metadata or {}).get(name.encode(), b"null"))
    except (OSError, pa.ArrowInvalid, ValueError):
        return None
