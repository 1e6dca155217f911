"""Files of predictions as something to evaluate."""

import dataclasses
import functools
import os
from collections.abc import Sequence

import numpy as np

from ecg_jax.data import joins, prediction_files
from ecg_jax.data.prediction_files import PredictionFile
from ecg_jax.data.prediction_values import PROBABILITIES
from ecg_jax.errors import InputError, suggest
from ecg_jax.evaluation import left_out
from ecg_jax.inference import label_files
from ecg_jax.inference.evaluated import Evaluated, require_shared
from ecg_jax.inference.label_files import LabelFile
from ecg_jax.kinds import FINDING
from ecg_jax.printable import list_some


@dataclasses.dataclass(frozen=True)
class Files:
    """Predictions in files, and how they are read: the flags of `evaluate`."""

    predictions: str
    labels: str | None = None  # a CSV; None where `predictions` holds the truth too
    names: Sequence[str] = ()
    split: str | None = None  # `test` if None, where the file says which recordings are in it
    scale: str = PROBABILITIES  # what the values are, one of `prediction_values.SCALES`
    rules: joins.Rules = joins.USUAL
    validation: str | None = None  # predictions to choose thresholds on; if None, of the file's own validation split
    validation_labels: str | None = None  # `labels` if None


def open_file(files: Files, calibration: str | None = None) -> Evaluated:
    """Reads a file of predictions, and the truth.

    Args:
        files: What to read.
        calibration: Fit one on validation; see `evaluation.settings.CALIBRATIONS`.

    Raises:
        InputError: on whatever is wrong with the files.
    """
    path, rules = files.predictions, files.rules
    truth = label_files.read_labels(files.labels, rules) if files.labels else None
    read = functools.partial(prediction_files.read_predictions, scale=files.scale, rules=rules)
    file = read(path, names=files.names, among=truth and truth.table)
    split = files.split or file.default_split
    if file.split is None and files.split not in (None, "all"):
        raise InputError(f"{path}: no column `split`, so --split={split} selects no recording; leave it out")
    part = file.take_split(split)
    other = read(files.validation, names=files.names or file.names) if files.validation else None
    if truth:
        scored = label_files.join(part, truth, rules, others=[other.recordings] if other else [])
    else:
        scored = label_files.use_own_labels(part)
    if rules.patient_column and scored.predictions.patients is None:
        source, column = " or ".join(filter(None, (files.labels, path))), rules.patient_column
        hint = suggest(column, {*(truth.table if truth else ()), *file.columns} - {column})
        raise InputError(f"--patient_column={column}: no such column in {source}, or it is empty{hint}")
    validation = None
    if other:
        validation = _join_validation(other, truth, files, scored, part.recordings)
    elif split == "test" and file.kind == FINDING:  # of numbers, nothing is chosen there
        validation = _find_validation(file, truth, rules)
    facts = [f"Predictions: {path}. Labels: {files.labels or 'in the same file'}.", *file.facts, *scored.facts]
    if scored.predictions.patients is None:
        facts.append("No column names patients; --patient_column=NAME says which one does.")
    elif truth and truth.patients is None:
        facts.append(f"Patients are named by {file.patient_column} of {path}.")
    among = f"{len(part.values) + len(part.left_out)} recordings of {path}"
    warnings = [*scored.warnings, *left_out.describe(part.left_out, among)]
    lost = validation.left_out if validation else ()
    if validation:
        among = f"{len(validation.predictions.ids) + len(lost)} recordings that choose thresholds"
        warnings += [*validation.warnings, *left_out.describe(lost, among)]
    if file.unused:
        unused = f"{len(file.unused)} columns of {path} that are no labels of {files.labels}, and are not scored: "
        facts.append(f"{unused}{list_some(file.unused)}.")
    count = len(scored.predictions.ids)
    scored = dataclasses.replace(
        scored,
        # Those that were stated are of the probabilities as they are; on other recordings, others are chosen.
        thresholds=None if other or calibration else scored.thresholds,
        subtitle=f"{count} recording{'' if count == 1 else 's'}" + ("" if split == "all" else f", split {split}"),
        validation=validation.predictions if validation else None,
        left_out=(*scored.left_out, *(each._replace(split="validation") for each in lost)),
        facts=tuple(facts),
        warnings=tuple(warnings),
    )
    return scored.undo_calibration() if calibration == "none" else scored.recalibrate(calibration)


def _find_validation(file: PredictionFile, truth: LabelFile | None, rules: joins.Rules) -> Evaluated | None:
    """The file's own validation split, where it has one whose labels are known."""
    if file.split is None or not (file.split == "validation").any():
        return None
    part = file.take_split("validation")
    if not truth:
        return label_files.use_own_labels(part)
    if not (truth.recordings and part.recordings):
        return None
    found = joins.match(part.recordings, truth.recordings, (part.path, truth.path))
    return label_files.join(part, truth, rules) if (found.rows[part.rows] >= 0).any() else None


def _join_validation(
    file: PredictionFile, truth: LabelFile | None, files: Files, scored: Evaluated, names: joins.Names
) -> Evaluated:
    """Predictions of recordings that are not scored; their truth is in its own file, in the same, or in that of all."""
    path, rules = file.path, files.rules
    if os.path.samefile(path, scored.source):
        raise InputError(
            f"{path}: its {len(scored.predictions.ids)} recordings are scored too; thresholds need other ones, with "
            "labels in --validation_labels"
        )
    if files.validation_labels:
        others = label_files.join(file, label_files.read_labels(files.validation_labels, rules), rules, [names])
    elif file.labels is not None or truth is None:
        others = label_files.use_own_labels(file)
    elif not (file.recordings and truth.recordings):
        raise InputError(
            f"{path} and {truth.path} do not both name their recordings; pass --validation_labels=FILE.csv"
        )
    else:
        others = label_files.join(file, truth, rules, [names])
    if others.recordings and scored.recordings:
        found = joins.match(others.recordings, scored.recordings, (path, scored.source))
        if found.count and found.way in joins.STRICT:  # `val/1` need not be `1`
            raise InputError(f"{path}: {found.count} of its recordings are scored too; thresholds need other ones")
    return others


def open_other_file(files: Files, first: Evaluated) -> Evaluated:
    """Reads another file of predictions of the first's recordings; its truth is the first's, unless it has its own."""
    path, names = files.predictions, first.predictions.names
    if files.labels or prediction_files.has_labels(path, names, first.predictions.kind):
        return open_file(dataclasses.replace(files, names=names))
    file = prediction_files.read_predictions(path, names=names, scale=files.scale, rules=files.rules)
    predicted = np.full(len(file.values) + len(file.left_out), -1)
    predicted[file.rows] = np.arange(len(file.rows))
    places = joins.join(first.side, joins.Side(path, len(predicted), file.recordings), files.rules).rows
    rows = np.where(places >= 0, predicted[places], -1)
    kept = rows >= 0
    lost = [each for place, each in zip(np.flatnonzero(predicted < 0), file.left_out, strict=True) if place in places]
    require_shared(first, path, kept)
    taken = first.take(kept)
    predictions = dataclasses.replace(taken.predictions, probabilities=file.values[rows[kept]], raw=None)
    return Evaluated(
        prediction_files.describe(path),
        "",
        predictions,
        thresholds=file.find_thresholds(),
        facts=(f"Compared with: {path}.",),
        warnings=tuple(left_out.describe(lost, f"{len(kept)} recordings of {path}")),
        left_out=tuple(lost),
        source=path,
        recordings=taken.recordings,
    )
