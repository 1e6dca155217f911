"""How predictions of recordings are written, printed and drawn."""

import csv
import dataclasses
import json
import os
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecg_jax import labels as label_lib
from ecg_jax import spreadsheet, statements
from ecg_jax.data import verify
from ecg_jax.data.readers import Source
from ecg_jax.evaluation.heart_rate import measure_heart_rate
from ecg_jax.inference.model import Model
from ecg_jax.inference.predictor import Prediction
from ecg_jax.recording import Recording
from ecg_jax.reporting import ecg_page


class CsvTable:
    """A row per recording."""

    def __init__(self, file: IO[str], model: Model) -> None:
        """Begins it."""
        self._writer = csv.writer(file)
        raw = [f"{name}_raw" for name in model.label_names]
        self._writer.writerow(map(spreadsheet.guard, ["recording", *model.label_names, *raw, "quality"]))

    def add(self, made: Prediction) -> None:
        """Writes a recording."""
        values = ["" if value != value else f"{value:.6g}" for value in (*made.probabilities, *made.raw)]
        self._writer.writerow([spreadsheet.guard(made.recording), *values, spreadsheet.guard(made.quality)])

    def close(self) -> None:
        """Nothing remains to be written."""


class JsonTable:
    """An object: the model's `notice` and `thresholds`, those of them not chosen, and `recordings`, one per line."""

    def __init__(self, file: IO[str], model: Model) -> None:
        """Begins it."""
        self._file, self._names, self._separator = file, model.label_names, "\n"
        file.write(f'{{"notice": {json.dumps(model.notice)}, "thresholds": {json.dumps(model.thresholds)}, ')
        file.write(f'"thresholds_not_chosen": {json.dumps(model.unchosen)}, "recordings": [')

    def add(self, made: Prediction) -> None:
        """Writes a recording."""
        values = {"probabilities": made.probabilities, "raw": made.raw}
        row: dict[str, Any] = {"recording": made.recording, "quality": made.quality}
        row |= {"flags": made.flags, "notes": made.notes}
        row |= {key: self._name(each) for key, each in values.items()}
        if len(made.windows) > 1 or made.starts.any():
            starts = made.starts.tolist()
            row["windows"] = [{"start": s, **self._name(w)} for s, w in zip(starts, made.windows, strict=True)]
        self._file.write(f"{self._separator}{json.dumps(row)}")
        self._separator = ",\n"

    def _name(self, values: np.ndarray) -> dict[str, float | None]:
        plain = [None if value != value else float(f"{value:.6g}") for value in values.tolist()]
        return dict(zip(self._names, plain, strict=True))

    def close(self) -> None:
        """Ends the object."""
        self._file.write("\n]}\n")


MANY = 12  # labels, above which only some are shown on the screen
_PAGE = 7  # labels that have room on a page


def choose_labels(model: Model, made: Prediction) -> list[str]:
    """Labels worth showing of a recording: all, or where there are many the usual ones and those that are called."""
    if len(model.label_names) <= MANY:
        return list(model.label_names)
    usual = (*label_lib.SIX, label_lib.ABNORMAL, *statements.SUPERCLASSES[1:])
    values = zip(model.label_names, made.probabilities, strict=True)
    called = {name for name, value in values if value >= model.thresholds.get(name, float("inf"))}
    return [name for name in model.label_names if name in usual or name in called]


def _choose_for_page(model: Model, made: Prediction) -> list[str]:
    """`abnormal` and the most probable of what is called, or what `choose_labels` says where that is little."""
    if len(shown := choose_labels(model, made)) <= _PAGE:
        return shown
    values = dict(zip(model.label_names, made.probabilities.tolist(), strict=True))
    called = [name for name in shown if values[name] >= model.thresholds.get(name, float("inf"))]
    ranked = sorted(called or label_lib.SIX, key=lambda name: -values[name])
    first = [label_lib.ABNORMAL] if label_lib.ABNORMAL in values else []
    return first + [name for name in ranked if name not in first][: _PAGE - len(first)]


def print_table(console: Console, model: Model, made: Prediction) -> None:
    """Prints a row per label that is worth it, and what was noticed."""
    shown_labels = choose_labels(model, made)
    table = Table("", "probability", "before calibration", "threshold", "", title=Text(made.recording), box=None)
    for name, probability, raw in zip(model.label_names, made.probabilities, made.raw, strict=True):
        if name not in shown_labels:
            continue
        threshold = model.thresholds.get(name, float("nan"))
        is_positive = probability >= threshold
        shown = model.describe_threshold(name)
        row = [name, f"{probability:.3f}", f"{raw:.3f}", shown, "at or above" if is_positive else ""]
        table.add_row(*(("" if cell == "nan" else cell) for cell in row), style="bold" if is_positive else "")
    if not np.isnan(made.probabilities).all():
        console.print(table)
        if left := len(model.label_names) - len(shown_labels):
            console.print(f"  {left} more labels, below their thresholds, are in the file")
    else:
        console.print(made.recording)
    console.print(f"  quality: {made.quality or 'nothing noticed'}")


def draw_source(source: Source, model: Model, made: Prediction, path: str, checks: str) -> str:
    """Reads a recording again and draws its page; returns what prevented that, or nothing.

    Args:
        source: The recording.
        model: What predicted it.
        made: Its prediction.
        path: Of the page; its folder is made.
        checks: See `verify.enforce`.
    """
    try:
        recording, _ = verify.enforce(source.read(), checks)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        draw_page(recording, model, made, path)
    except OSError:  # of a full disk, on which nothing else will be written either
        raise
    except Exception as error:  # noqa: BLE001 - one page that cannot be drawn ends nothing
        return " ".join(f"{path}: {type(error).__name__}: {error}".split())[:1000]
    return ""


def draw_page(recording: Recording, model: Model, made: Prediction, path: str) -> None:
    """Draws the window in which a label is most probable; see `ecg_page.draw`."""
    rate, contract, start = recording.sampling_rate, model.contract, 0.0
    if len(made.windows):
        start = float(made.starts[made.windows.max(axis=1).argmax()])
    begin, end = round(start * rate), round((start + contract.samples / contract.sampling_rate) * rate)
    values = dict(zip(model.label_names, made.probabilities.tolist(), strict=True))
    findings = [
        ecg_page.Finding(label, values[label], model.thresholds.get(label, float("nan")))
        for label in _choose_for_page(model, made)
    ]
    ecg_page.draw(
        dataclasses.replace(recording, id=made.recording),
        findings,
        path,
        heart_rate=measure_heart_rate(recording.signal[begin:end], rate),
        remarks=made.quality,
        notice=model.notice,
        start=start,
    )
