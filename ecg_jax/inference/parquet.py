"""Predictions as Parquet: the columns of the CSV, numbers in float32, null where unknown."""

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecg_jax.data import prediction_tables
from ecg_jax.inference import rows
from ecg_jax.inference.model import Model
from ecg_jax.inference.predict import Prediction

SUFFIX = prediction_tables.PARQUET
_GROUP = 4096  # rows that are held back, and written as one row group


class _Writer(pq.ParquetWriter):
    """One that was not closed, because of an error, stays so: its own ending would write to a file that is gone."""

    def __del__(self) -> None:
        pass


class ParquetTable:
    """A row per recording; the file's metadata have the model's `notice`, `thresholds`, and those not chosen (JSON)."""

    def __init__(self, file: IO[bytes], model: Model, measurements: Sequence[str] = ()) -> None:
        """Begins it; see `writers.CsvTable`."""
        self._model, self._measurements = model, measurements
        first, *numbers, last = rows.name_columns(model, measurements)
        columns = [(first, pa.string()), *((name, pa.float32()) for name in numbers), (last, pa.string())]
        self._schema = pa.schema(columns)
        self._writer = _Writer(file, self._schema)
        self._rows: list[list[Any]] = []

    def add(self, made: Prediction) -> None:
        """Writes a recording."""
        numbers = rows.list_numbers(self._model, made, self._measurements)
        self._rows.append([_clean(made.recording), *numbers, _clean(made.quality)])
        if len(self._rows) == _GROUP:
            self._write()

    def add_table(self, table: pa.Table) -> None:
        """Writes a table of the same columns."""
        self._writer.write_table(table.cast(self._schema))

    def close(self, facts: Mapping[str, Any] | None = None) -> None:
        """Ends the file, with more metadata: JSON-ready, by name."""
        if self._rows:
            self._write()
        model = self._model
        thresholds = {prediction_tables.THRESHOLDS: model.thresholds, prediction_tables.UNCHOSEN: model.unchosen}
        known = {"notice": model.notice, **thresholds, **(facts or {})}
        self._writer.add_key_value_metadata({name: json.dumps(value) for name, value in known.items()})
        self._writer.close()

    def _write(self) -> None:
        columns = zip(zip(*self._rows, strict=True), self._schema, strict=True)
        arrays = [pa.array(values, field.type, from_pandas=True) for values, field in columns]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []


def _clean(text: str) -> str:
    """Parquet holds UTF-8 alone; names of files may be other bytes."""
    return text.encode("utf-8", "backslashreplace").decode()
