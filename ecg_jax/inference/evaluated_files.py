"""Files of predictions as something to evaluate."""

import dataclasses
import functools
import os
from collections.abc import Sequence

from ecg_jax.data import joins, label_files, prediction_files
from ecg_jax.data.label_files import Joined, LabelFile
from ecg_jax.data.prediction_files import PredictionFile
from ecg_jax.errors import InputError
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.inference.evaluated import Evaluated, require_shared


@dataclasses.dataclass(frozen=True)
class Files:
    """Predictions in files, and how they are read.

    Attributes:
        predictions: Path, see `prediction_files.read_predictions`.
        labels: A CSV; None where `predictions` holds the truth too.
        names: The labels to score, see `read_predictions`.
        split: The split to score, where the file says which recordings are in it; `test` if None.
        logits: The numbers are logits.
        rules: How files are joined.
        validation: Predictions of other recordings, to choose thresholds on; if None, the file's own validation
            split, where it has one.
        validation_labels: Their labels; `labels` if None.
    """

    predictions: str
    labels: str | None = None
    names: Sequence[str] = ()
    split: str | None = None
    logits: bool = False
    rules: joins.Rules = joins.USUAL
    validation: str | None = None
    validation_labels: str | None = None


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
    read = functools.partial(prediction_files.read_predictions, logits=files.logits, rules=rules)
    file = read(path, names=files.names, among=truth and truth.table)
    split = files.split or file.default_split
    if file.split is None and files.split not in (None, "all"):
        raise InputError(f"{path}: no column `split`, so --split={split} selects no recording; leave it out")
    scored = file.take_split(split)
    other = read(files.validation, names=files.names or file.names) if files.validation else None
    if truth:
        joined = label_files.join(scored, truth, rules, others=[other.recordings] if other else [])
    else:
        joined = label_files.use_own_labels(scored)
    predictions = joined.predictions
    if rules.patient_column and predictions.patients is None:
        source = files.labels or path
        raise InputError(f"--patient_column={rules.patient_column}: no such column in {source}, or it is empty")
    validation = None
    if other:
        validation = _join_validation(other, truth, files, scored, joined)
    elif split == "test":
        validation = _find_validation(file, truth)
    facts = [f"Predictions: {path}. Labels: {files.labels or 'in the same file'}.", *file.facts, *joined.facts]
    if file.left_out:
        facts.append(f"Recordings without a probability, which are left out: {len(file.left_out)}.")
    warnings = [*joined.warnings]
    if file.unused:
        unused = ", ".join(file.unused)
        warnings.append(f"columns of {path} that are no labels of {files.labels}, and are not scored: {unused}")
    count = len(predictions.ids)
    opened = Evaluated(
        title=prediction_files.describe(path),
        subtitle=f"{count} recording{'' if count == 1 else 's'}" + ("" if split == "all" else f", split {split}"),
        predictions=predictions,
        validation=validation,
        facts=tuple(facts),
        warnings=tuple(warnings),
        source=path,
        recordings=joined.recordings,
    )
    if calibration != "none":
        return opened.recalibrate(calibration)
    undone = validation and _undo_calibration(validation)
    return dataclasses.replace(opened, predictions=_undo_calibration(predictions), validation=undone)


def _undo_calibration(each: Predictions) -> Predictions:
    return each if each.raw is None else dataclasses.replace(each, probabilities=each.raw, raw=None)


def _find_validation(file: PredictionFile, truth: LabelFile | None) -> Predictions | None:
    """The file's own validation split, where it has one whose labels are known."""
    if file.split is None or not (file.split == "validation").any():
        return None
    part = file.take_split("validation")
    if not truth:
        return label_files.use_own_labels(part).predictions
    if not (truth.recordings and part.recordings):
        return None
    found = joins.match(part.recordings, truth.recordings, (part.path, truth.path))
    return label_files.join(part, truth).predictions if (found.rows[part.rows] >= 0).any() else None


def _join_validation(
    file: PredictionFile, truth: LabelFile | None, files: Files, scored: PredictionFile, joined: Joined
) -> Predictions:
    """Predictions of other recordings with their truth: of a file of its own, in the same file, or that of the scored.

    Raises:
        InputError: when recordings are scored too, or the truth is unknown.
    """
    if os.path.samefile(file.path, scored.path):
        raise InputError(
            f"{file.path}: its {len(joined.predictions.ids)} recordings are scored too; thresholds need other ones, "
            "with labels in --validation_labels"
        )
    if files.validation_labels:
        others = label_files.join(
            file, label_files.read_labels(files.validation_labels, files.rules), files.rules, [scored.recordings]
        )
    elif file.labels is not None or truth is None:
        others = label_files.use_own_labels(file)
    elif not (file.recordings and truth.recordings):
        raise InputError(
            f"{file.path} and {truth.path} do not both name their recordings; pass --validation_labels=FILE.csv"
        )
    else:
        others = label_files.join(file, truth, files.rules, [scored.recordings])
    if others.recordings and joined.recordings:
        found = joins.match(others.recordings, joined.recordings, (file.path, scored.path))
        if found.count and found.way in joins.STRICT:  # `val/1` need not be `1`
            raise InputError(f"{file.path}: {found.count} of its recordings are scored too; thresholds need other ones")
    return others.predictions


def open_other_file(files: Files, first: Evaluated) -> Evaluated:
    """Reads another file of predictions of the recordings of the first, with the same truth.

    Raises:
        InputError: when recordings or labels do not match.
    """
    path, names = files.predictions, first.predictions.names
    if files.labels or prediction_files.has_labels(path, names):
        return open_file(dataclasses.replace(files, names=names))
    file = prediction_files.read_predictions(path, names=names, logits=files.logits, rules=files.rules)
    side = joins.Side(path, len(file.values), joins.take(file.recordings, file.rows))
    rows = joins.join(first.side, side, files.rules).rows
    kept = rows >= 0
    require_shared(first, path, kept)
    taken = first.take(kept)
    return Evaluated(
        title=prediction_files.describe(path),
        subtitle="",
        predictions=dataclasses.replace(taken.predictions, probabilities=file.values[rows[kept]], raw=None),
        facts=(f"Compared with: {path}.",),
        source=path,
        recordings=taken.recordings,
    )
