"""Predictions of recordings as a CSV, as JSON, on the screen and on pages, and counted."""

import csv
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecg_jax import labels as label_lib
from ecg_jax import spreadsheet, statements
from ecg_jax.data import prediction_tables
from ecg_jax.errors import describe
from ecg_jax.inference import explained, parquet, rows
from ecg_jax.inference.measured import measure_part
from ecg_jax.inference.model import Model
from ecg_jax.inference.noticed import Noticed
from ecg_jax.inference.predict import Measured, Prediction, find_highest
from ecg_jax.kinds import FINDING
from ecg_jax.reporting import ecg_page, ecg_shade, page_names
from ecg_jax.reporting.ecg_shade import Explanation

MANY = explained.MANY  # labels, above which only some are shown on the screen
_PAGE = 7  # labels that have room on a page


class CsvTable:
    """A row per recording.

    `measurements` are names of columns for `Prediction.measured`; see `rows.name_columns`.
    """

    def __init__(self, file: IO[str], model: Model, measurements: Sequence[str] = ()) -> None:
        """Begins it."""
        self._writer, self._model, self._measurements = csv.writer(file), model, measurements
        self._writer.writerow(map(spreadsheet.guard, rows.name_columns(model, measurements)))

    def add(self, made: Prediction) -> None:
        """Writes a recording."""
        numbers = rows.list_numbers(self._model, made, self._measurements)
        values = ["" if np.isnan(value) else f"{value:.6g}" for value in numbers]
        self._writer.writerow([spreadsheet.guard(made.recording), *values, spreadsheet.guard(made.quality)])

    def close(self) -> None:
        """Nothing remains to be written."""


class JsonTable:
    """An object: the model's `notice` and `thresholds`, those of them not chosen, and `recordings`, one per line.

    Each has `probabilities` and, before calibration, `raw`; or `numbers`; what is measured is added, where it is, and
    with `has_explanations` what is explained.
    """

    def __init__(self, file: IO[str], model: Model, has_explanations: bool = False) -> None:
        """Begins it."""
        self._has_explanations = has_explanations
        self._file, self._names, self._separator = file, model.label_names, "\n"
        self._kind = model.kind
        file.write(f'{{"notice": {json.dumps(model.notice)}, "thresholds": {json.dumps(model.thresholds)}, ')
        file.write(f'"thresholds_not_chosen": {json.dumps(model.unchosen)}, "recordings": [')

    def add(self, made: Prediction) -> None:
        """Writes a recording."""
        row: dict[str, Any] = {"recording": made.recording, "quality": made.quality}
        row |= {"flags": made.flags, "notes": made.notes}
        if self._kind == FINDING:
            row |= {"probabilities": self._name(made.probabilities), "raw": self._name(made.raw)}
        else:
            row |= {"numbers": self._name(made.probabilities)}
        if len(made.windows) > 1 or made.starts.any():
            starts = made.starts.tolist()
            start = prediction_tables.find_free("start", self._names)
            row["windows"] = [{start: s, **self._name(w)} for s, w in zip(starts, made.windows, strict=True)]
        if made.measured:
            row |= _list_measured(made.measured)
        if self._has_explanations:
            duration = len(made.ecg.signal) / made.ecg.sampling_rate if made.ecg else 0.0
            row["explanations"] = [_list_explained(each, duration) for each in made.explanations]
        self._file.write(f"{self._separator}{json.dumps(row)}")
        self._separator = ",\n"

    def _name(self, values: np.ndarray) -> dict[str, float | None]:
        return dict(zip(self._names, map(_round, values.tolist()), strict=True))

    def close(self) -> None:
        """Ends the object."""
        self._file.write("\n]}\n")


def _round(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.6g}")


def _list_measured(measured: Measured) -> dict[str, Any]:
    """As JSON: measurements, null where unknown, and waves, in seconds to a tenth of a millisecond."""

    def convert(waves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{**wave, "onset": round(wave["onset"], 4), "offset": round(wave["offset"], 4)} for wave in waves]

    return {
        "measurements": {name: _round(value) for name, value in measured.measurements.items()},
        "waves": convert(measured.waves),
        "waves_by_lead": {lead: convert(waves) for lead, waves in measured.waves_by_lead.items()},
    }


def _list_explained(explanation: Explanation, duration: float) -> dict[str, Any]:
    """As JSON: `label`, `method`, `start` and `end` of what is explained, in seconds, and `shares` by lead and part.

    Where the method knows how exact it is, also `missing` or `half_widths`; see `Explanation`.
    """

    def name(cells: np.ndarray) -> dict[str, dict[str, float]]:
        return {
            lead: {part: round(share, 4) for part, share in zip(ecg_shade.PARTS, row, strict=True)}
            for lead, row in zip(explanation.leads, cells.tolist(), strict=True)
        }

    exact = {} if explanation.missing is None else {"missing": round(explanation.missing, 4)}
    widths = {} if explanation.half_widths is None else {"half_widths": name(explanation.half_widths)}
    start, end = explanation.start, explanation.start + len(explanation.values) / explanation.sampling_rate
    where = {"start": round(max(start, 0.0), 4), "end": round(min(end, duration), 4)}
    return {
        "label": explanation.label,
        "method": explanation.method,
        **where,
        "shares": name(explanation.shares),
        **exact,
        **widths,
    }


def choose_mode(path: str) -> dict[str, Any]:
    """How the file of such a table is opened: arguments of `files.Replacement`."""
    return {"mode": "wb"} if _find_suffix(path) == parquet.SUFFIX else {"newline": "", "errors": "backslashreplace"}


def create_table(
    path: str, file: IO[Any], model: Model, measurements: Sequence[str] = (), has_explanations: bool = False
) -> CsvTable | JsonTable | parquet.ParquetTable:
    """The table that the suffix of a path asks for: .json, .parquet, else CSV; explanations are in JSON alone."""
    if _find_suffix(path) == ".json":
        return JsonTable(file, model, has_explanations)
    return (parquet.ParquetTable if _find_suffix(path) == parquet.SUFFIX else CsvTable)(file, model, measurements)


def _find_suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


class Tally:
    """The summary of all recordings that were predicted."""

    def __init__(self, model: Model) -> None:
        """Begins it."""
        self._model = model
        self._positives: Counter[str] = Counter()
        self._noticed = Noticed()

    @property
    def count(self) -> int:
        """Recordings."""
        return self._noticed.count

    def add(self, made: Prediction) -> None:
        """Counts a recording."""
        self._noticed.add(vars(made))
        self._positives.update(_find_called(self._model, made))

    def to_dict(self) -> dict[str, Any]:
        """What was counted, JSON-ready."""
        return {"positives": self._positives, **self._noticed.to_dict()}

    def update(self, other: Mapping[str, Any]) -> None:
        """Adds what another one, of the same model, has counted."""
        self._positives.update(other["positives"])
        self._noticed.update(other)

    def describe(self) -> list[str]:
        """Lines on positives, on what was noticed, and on recordings that trained the model."""
        model, names = self._model, list(self._model.thresholds)
        if len(names) > MANY:
            names = [name for name in names if self._positives[name]]
        lines = [
            f"{name}: {self._positives[name]} of {self.count} at or above the model's threshold "
            f"{model.describe_threshold(name)}"
            for name in names
        ]
        return lines + self._noticed.describe()


def _find_called(model: Model, made: Prediction) -> list[str]:
    """Labels at or above their thresholds."""
    values = zip(model.label_names, made.probabilities, strict=True)
    return [name for name, value in values if value >= model.thresholds.get(name, float("inf"))]


def _choose_labels(model: Model, made: Prediction) -> list[str]:
    """Labels to show of a recording: all, or where there are many the usual ones and those at their thresholds.

    Where there are none of these, or no thresholds, those nearest to their thresholds, or the most probable, are shown.
    """
    names = list(model.label_names)
    if len(names) <= MANY:
        return names
    usual = (*label_lib.SIX, label_lib.ABNORMAL, *statements.SUPERCLASSES[1:])
    shown = {*usual, *_find_called(model, made)}.intersection(names)
    if not model.thresholds or not shown:
        shown = {*_rank(model, made, names)[:MANY]}
    return [name for name in names if name in shown]


def _choose_for_page(model: Model, made: Prediction) -> list[str]:
    """As many of these as have room: `abnormal` and the most probable of those at their thresholds, or of the six.

    Of a model that has none of the six, the nearest to their thresholds.
    """
    if len(shown := _choose_labels(model, made)) <= _PAGE:
        return shown
    values = dict(zip(model.label_names, made.probabilities.tolist(), strict=True))
    six = [name for name in label_lib.SIX if name in values and model.thresholds]
    first = [name for name in shown if name == label_lib.ABNORMAL]
    ranked = sorted(_find_called(model, made) or six, key=lambda name: -values[name]) or _rank(model, made, shown)
    return first + [name for name in ranked if name not in first][: _PAGE - len(first)]


def _rank(model: Model, made: Prediction, names: Sequence[str]) -> list[str]:
    """Labels by their probabilities relative to their thresholds, the highest first."""
    return sorted(names, key=lambda name: -explained.relate_to_threshold(model, made, name))


def print_table(console: Console, model: Model, made: Prediction) -> None:
    """Prints a row per label to show, and what was noticed."""
    if np.isnan(made.probabilities).all():
        console.print(made.recording)
    else:
        chosen, called = _choose_labels(model, made), _find_called(model, made)
        has_decisions = model.kind == FINDING
        titles = ("probability", "before calibration", "threshold", "") if has_decisions else ("value",)
        table = Table("", *titles, title=Text(made.recording), box=None)
        for name, value, raw in zip(model.label_names, made.probabilities, made.raw, strict=True):
            if name in chosen:
                is_called = name in called
                row = [f"{raw:.3f}", model.describe_threshold(name), "at or above" if is_called else ""]
                table.add_row(name, f"{value:.3f}", *(row if has_decisions else ()), style="bold" if is_called else "")
        console.print(table)
        if left := len(model.label_names) - len(chosen):
            which = "below their thresholds" if model.thresholds else "less probable"
            console.print(f"  {left} more labels, {which}, are in the file")
    if made.measured:
        console.print(f"  measured: {'; '.join(ecg_page.describe(made.measured.measurements))}")
    for each in made.explanations:
        console.print(f"  {each.label} explained: {ecg_shade.describe(each)}")
    console.print(f"  quality: {made.quality or 'nothing noticed'}")


def print_explanations(console: Console, model: Model, made: Prediction) -> None:
    """Prints a line per label that is explained, and what was noticed."""
    console.print(made.recording)
    for each in made.explanations:
        finding = _create_finding(model, made, each.label)
        side = finding.describe(3, "its threshold ")
        bound = f" ({side})" if side else ""
        console.print(f"  {each.label} {finding.probability:.3f}{bound}: {ecg_shade.describe(each)}")
    console.print(f"  quality: {made.quality or 'nothing noticed'}")


def _create_finding(model: Model, made: Prediction, label: str) -> ecg_page.Finding:
    """What a model says of a label."""
    return ecg_page.Finding(
        label,
        float(made.probabilities[model.label_names.index(label)]),
        model.thresholds.get(label, float("nan")),
        is_chosen=label not in model.unchosen,
        is_normal=label in statements.REASSURING,
    )


class Pages:
    """Recordings on ECG paper: a page each, or of one that is explained a page for each label.

    Pages are named after recordings, those that explain a label also after this; see `PageNames`.

    Attributes:
        folder: Where they are drawn; it is made with the first.
        count: Pages drawn.
        undrawn: What prevented some.
    """

    def __init__(self, folder: str, suffix: str, model: Model) -> None:
        """Draws nothing yet.

        Args:
            folder: Where to.
            suffix: Format of the files, as `png`.
            model: What predicts the recordings.
        """
        self.folder = folder
        self.count = 0
        self.undrawn: list[str] = []
        self._model = model
        self._names = page_names.PageNames(folder, suffix)

    def add(self, made: Prediction) -> None:
        """Draws the pages of a recording that was kept."""
        for explanation in made.explanations or (None,):
            label = explanation.label if explanation is not None else ""
            path = os.path.join(self.folder, self._names.choose(made.recording, label))
            try:
                draw_page(self._model, made, path, explanation)
                self.count += 1
            except OSError:  # as of a full disk, on which nothing else will be written either
                raise
            except Exception as error:  # noqa: BLE001 - one page that cannot be drawn ends nothing
                self.undrawn.append(" ".join(f"{path}: {describe(error)}".split()))


def draw_page(model: Model, made: Prediction, path: str, explanation: Explanation | None = None) -> None:
    """Draws the window in which a label is most probable (what is explained, or any), of numbers the first.

    See `ecg_page.draw`.
    """
    assert made.ecg is not None, "predicted without keep"
    contract, start = model.contract, 0.0
    duration = len(made.ecg.signal) / made.ecg.sampling_rate
    if explanation is not None or model.kind == FINDING:
        start = find_highest(model, made, explanation.label if explanation is not None else "")
    start = ecg_page.place(start, duration)
    end = start + max(contract.samples / contract.sampling_rate, ecg_page.SECONDS)
    shown = _choose_for_page(model, made)
    if explanation is not None and explanation.label not in shown:
        shown = [*shown[: _PAGE - 1], explanation.label]
    findings = [_create_finding(model, made, label) for label in shown]
    ecg_page.draw(
        dataclasses.replace(made.ecg, id=made.recording),
        findings,
        path,
        measurements=measure_part(made.measured, made.ecg, start, end) if made.measured else None,
        waves=made.measured.waves if made.measured else (),
        remarks=made.quality,
        notice=model.notice,
        start=start,
        explanation=explanation,
    )
