"""What an evaluation starts from: a model's predictions of a data set, or somebody's predictions in files."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecg_jax import config as config_lib
from ecg_jax.data import evaluation_tables, prediction_files
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.splits import manifest
from ecg_jax.errors import InputError
from ecg_jax.evaluation import calibration as calibration_lib
from ecg_jax.evaluation import challenge, scores
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import GIVEN, VALIDATION, Thresholds
from ecg_jax.inference import predictor
from ecg_jax.inference.model import Model
from ecg_jax.reporting import figures
from ecg_jax.runtime import run_folder
from ecg_jax.runtime.metric_writer import read_metrics


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Predictions to evaluate, and what is known about them.

    Attributes:
        title: Short name of the model or file.
        subtitle: Which recordings these are.
        predictions: Of the recordings to score.
        validation: Of others, on which thresholds may be chosen; None without any.
        thresholds: That the model brings; None where it brings none.
        facts: Sentences on where everything comes from.
        warnings: Lines that a reader must know.
        has_ids: The recordings are named, not numbered by their lines.
        dataset: That was predicted; None for files.
        learning_curve: Draws the training's, where there was one.
    """

    title: str
    subtitle: str
    predictions: Predictions
    validation: Predictions | None = None
    thresholds: Thresholds | None = None
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    has_ids: bool = True
    dataset: Dataset | None = None
    learning_curve: Callable[[], Figure] | None = None


def predict_model(
    path: str,
    model: Model,
    dataset: Dataset,
    *,
    split: str | None,
    is_own: bool,
    needs_validation: bool,
    calibration: str | None,
    checks: str,
    progress: Callable[[Any, int], Any],
) -> Evaluated:
    """Predicts a split of a data set with a model.

    Args:
        path: Where the model lies.
        model: See `load_model`.
        dataset: With the model's labels.
        split: `train`, `validation`, `test` or `all`; if None, `test` where the data set has one, else `all`.
        is_own: The data set is that of the model's run.
        needs_validation: Predict the validation split too, where there is one besides the scored one.
        calibration: Fit another calibration there; see `evaluation.settings.CALIBRATIONS`.
        checks: See `verify.enforce`.
        progress: See `predictor.predict_dataset`.

    Raises:
        InputError: when the split is empty, or nothing can be predicted.
    """
    if dataset.label_names != model.label_names:
        raise InputError(f"{path} predicts {', '.join(model.label_names)}, not {', '.join(dataset.label_names)}")
    has_split = dataset.split is not None and bool((dataset.split == "test").any())
    split = split or ("test" if has_split else "all")
    run = functools.partial(predictor.predict_dataset, model, dataset, checks=checks, progress=progress)
    predictions, lines = run(_find_rows(dataset, split))
    validation = None
    if needs_validation and split == "test" and len(dataset.indices("validation")):
        validation, _ = run(dataset.indices("validation"))
    if calibration is not None:
        if validation is None:
            raise InputError(f"--calibration={calibration}: there is no validation split beside {split} to fit it on")
        predictions, validation = _recalibrate(predictions, validation, calibration)
    thresholds = None
    chose = is_own and split != "test"  # then these recordings, or some, chose the run's thresholds
    if set(model.thresholds) == set(model.label_names) and calibration is None and not chose:
        values = np.array([model.thresholds[name] for name in model.label_names])
        thresholds = Thresholds(values, _read_rule(path), VALIDATION, model.unchosen)
    warnings = [line for line in lines if not line.startswith("left out")]
    if is_own and split in ("validation", "all"):
        warnings.append(f"leak: the split {split} has recordings that chose the run's checkpoint and calibration")
    if is_own and model.split is not None and manifest.differs(model.split, dataset):
        warnings.append("leak: the data or its split is not what the run was trained on: its fingerprint differs")
    metrics_path = os.path.join(path, "metrics.jsonl")
    curve = None
    if os.path.isfile(metrics_path) and os.path.isfile(os.path.join(path, run_folder.RESULT)):
        best = run_folder.read_json(os.path.join(path, run_folder.RESULT))["best_step"]
        curve = functools.partial(figures.draw_learning_curve, read_metrics(metrics_path), best)
    return Evaluated(
        title=os.path.basename(os.path.abspath(path)),
        subtitle=f"data set {dataset.name}, split {split}",
        predictions=predictions,
        validation=validation,
        thresholds=thresholds,
        facts=(f"{'; '.join(model.notes)}.", *(f"{line}." for line in lines if line.startswith("left out"))),
        warnings=tuple(warnings),
        dataset=dataset,
        learning_curve=curve,
    )


def _find_rows(dataset: Dataset, split: str) -> np.ndarray:
    if split == "all":
        return np.arange(len(dataset.ids))
    if dataset.split is None:
        raise InputError(f"data set {dataset.name}: has no split of its own; pass --split=all")
    rows = dataset.indices(split)
    if not len(rows):
        raise InputError(f"data set {dataset.name}: no recording in the split {split}; pass --split=all, or another")
    return rows


def _read_rule(path: str) -> str:
    """The rule that chose a run's thresholds."""
    config = config_lib.from_dict(run_folder.read_json(os.path.join(path, run_folder.CONFIG)))
    return config.evaluation.threshold_rule


def _recalibrate(test: Predictions, validation: Predictions, method: str) -> tuple[Predictions, Predictions]:
    """Both with another calibration, fitted on validation, of what they were before any."""
    raw = [each.probabilities if each.raw is None else each.raw for each in (test, validation)]
    fitted = calibration_lib.fit(method, validation.labels, raw[1], test.names)
    first, second = (
        dataclasses.replace(each, probabilities=fitted.apply(values, test.names), raw=values)
        for each, values in zip((test, validation), raw, strict=True)
    )
    return first, second


def open_file(
    path: str,
    *,
    labels: str | None,
    names: Sequence[str],
    split: str | None,
    logits: bool,
    partial: bool,
    validation: str | None,
    validation_labels: str | None,
    calibration: str | None,
) -> Evaluated:
    """Reads a file of predictions, and the truth.

    Args:
        path: See `prediction_files.read_predictions`.
        labels: A CSV; None where the file holds the truth too.
        names: See `read_predictions`.
        split: Where the file says who is in which; its test split if None.
        logits: The numbers are logits.
        partial: See `prediction_files.join`.
        validation: Another such file, to choose thresholds on; if None, the file's own validation split,
            where it has one.
        validation_labels: Its labels; `labels` if None.
        calibration: Fit one there; see `evaluation.settings.CALIBRATIONS`.

    Raises:
        InputError: on whatever is wrong with the files.
    """
    file = prediction_files.read_predictions(path, names=names, logits=logits)
    chosen = split or prediction_files.default_split(file)
    if file.split is None and split not in (None, "all"):
        raise InputError(f"{path}: no column `split`, so --split={split} names nobody; leave it out")
    part = prediction_files.take_split(file, chosen)
    other = (
        prediction_files.read_predictions(validation, names=names or file.names, logits=logits) if validation else None
    )
    ids = [each.ids for each in (file, other) if each and each.ids is not None]
    join = functools.partial(prediction_files.join, partial=partial, others=np.concatenate([*ids, ()]).tolist())
    predictions = join(part, labels) if labels else prediction_files.use_own_labels(part)
    others = None
    if other:
        if os.path.samefile(path, validation or path):
            raise InputError(
                f"{validation}: its {len(predictions.ids)} recordings are scored too; thresholds need other ones, with "
                "labels in --validation_labels"
            )
        own = validation_labels or (labels if other.labels is None else None)
        others = join(other, own, by_line=own != labels) if own else prediction_files.use_own_labels(other)
        if file.ids is not None and other.ids is not None and (shared := np.isin(others.ids, predictions.ids).sum()):
            raise InputError(f"{validation}: {shared} of its recordings are scored too; thresholds need other ones")
    elif chosen == "test" and file.split is not None and (file.split == "validation").any():
        own_part = prediction_files.take_split(file, "validation")
        if not labels:
            others = prediction_files.use_own_labels(own_part)
        elif prediction_files.knows(labels, own_part):
            others = join(own_part, labels)
    if calibration == "none":
        predictions, others = _undo_calibration(predictions), others and _undo_calibration(others)
    elif calibration is not None:
        if others is None:
            raise InputError(f"--calibration={calibration} is fitted on other recordings; pass --validation=FILE")
        predictions, others = _recalibrate(predictions, others, calibration)
    facts = [f"Predictions: {path}. Labels: {labels or 'in the same file'}."]
    if file.left_out:
        facts.append(f"Recordings without a probability, which are left out: {len(file.left_out)}.")
    warnings = []
    if labels and not prediction_files.is_joined_by_id(file, labels):
        warnings.append(f"{path} and {labels} are joined line by line, as they do not both name their recordings")
    count = len(predictions.ids)
    subtitle = f"{count} recording{'' if count == 1 else 's'}" + ("" if chosen == "all" else f", split {chosen}")
    return Evaluated(
        title=prediction_files.describe(path),
        subtitle=subtitle,
        predictions=predictions,
        validation=others,
        facts=tuple(facts),
        warnings=tuple(warnings),
        has_ids=file.ids is not None or bool(labels and not warnings),
    )


def _undo_calibration(each: Predictions) -> Predictions:
    return each if each.raw is None else dataclasses.replace(each, probabilities=each.raw, raw=None)


def open_other_file(
    path: str, first: Evaluated, *, labels: str | None, logits: bool, partial: bool, split: str | None
) -> Evaluated:
    """Reads another file of predictions of the recordings of the first, with the same truth.

    Raises:
        InputError: when recordings or labels do not match.
    """
    names = first.predictions.names
    if labels or prediction_files.has_labels(path, names):
        return open_file(
            path,
            labels=labels,
            names=names,
            split=split,
            logits=logits,
            partial=partial,
            validation=None,
            validation_labels=None,
            calibration=None,
        )
    file = prediction_files.read_predictions(path, names=names, logits=logits)
    if file.ids is None:
        raise InputError(f"{path}: names no recordings; add a column `recording`")
    place = {id: row for row, id in enumerate(file.ids.tolist())}
    if missing := [id for id in first.predictions.ids.tolist() if id not in place]:
        raise InputError(f"{path}: {len(missing)} recordings are not in it, the first {missing[0]}")
    rows = np.array([place[id] for id in first.predictions.ids.tolist()])
    predictions = dataclasses.replace(first.predictions, probabilities=file.values[rows], raw=None)
    return Evaluated(prediction_files.describe(path), "", predictions, facts=(f"Compared with: {path}.",))


def treat_alike(first: Evaluated, second: Evaluated) -> tuple[Evaluated, Evaluated]:
    """Both without validation, where only one has some: else a model would differ from itself by its thresholds."""
    have = [each.thresholds is not None or each.validation is not None for each in (first, second)]
    if have[0] == have[1]:
        return first, second
    line = f"Only {(first if have[0] else second).title} brings thresholds or validation: both are cross-fitted."
    return (
        dataclasses.replace(first, thresholds=None, validation=None, facts=(*first.facts, line)),
        dataclasses.replace(second, thresholds=None, validation=None),
    )


def align(first: Evaluated, second: Evaluated) -> tuple[Evaluated, Evaluated]:
    """Both restricted to the recordings that both have, in the first's order.

    Raises:
        InputError: when labels differ or no recording is shared.
    """
    if first.predictions.names != second.predictions.names:
        raise InputError(
            f"{first.title} predicts {', '.join(first.predictions.names)}; "
            f"{second.title} {', '.join(second.predictions.names)}"
        )
    place = {id: row for row, id in enumerate(second.predictions.ids.tolist())}
    found = np.array([place.get(id, -1) for id in first.predictions.ids.tolist()])
    kept = found >= 0
    if not kept.any():
        raise InputError(f"{first.title} and {second.title} share no recording; ids must be spelled alike")
    lines = () if kept.all() else (f"{np.sum(~kept)} recordings are left out, which {second.title} does not have.",)
    return (
        dataclasses.replace(first, predictions=first.predictions.take(kept), facts=(*first.facts, *lines)),
        dataclasses.replace(second, predictions=second.predictions.take(found[kept])),
    )


def parse_thresholds(texts: Sequence[str], names: Sequence[str]) -> Thresholds:
    """Thresholds that are given as `LABEL=0.3`, one for each label.

    Raises:
        InputError: on one that is missing, unknown or no number from 0 to 1.
    """
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        value = pd.to_numeric(number, errors="coerce")
        if name in found:
            raise InputError(f"--thresholds: {name} is given twice")
        if name not in names or not 0 <= value <= 1:
            raise InputError(f"--thresholds: {text!r}; expected LABEL=NUMBER, from 0 to 1, of {', '.join(names)}")
        found[name] = float(value)
    if missing := [name for name in names if name not in found]:
        raise InputError(f"--thresholds: none for {', '.join(missing)}")
    return Thresholds(np.array([found[name] for name in names]), "", GIVEN)


def score_challenge(
    predictions: Predictions, thresholds: Thresholds, settings: Settings, weights: str, normal: str
) -> pd.DataFrame:
    """The Challenge 2021 score: `score`, `value`, `value_low`, `value_high`; `n` recordings have no unknown label.

    Args:
        predictions: Whose labels are the classes of the table; a class of several names
            (`733534002|164909002`) is there where any of them is.
        thresholds: Where probabilities become decisions.
        settings: Of the interval.
        weights: See `evaluation_tables.read_challenge_weights`.
        normal: The class of sinus rhythm.

    Raises:
        InputError: when a class is not predicted.
    """
    classes, values = evaluation_tables.read_challenge_weights(weights)
    called, labels, calls = scores.decide(predictions, thresholds), [], []
    for name in classes:
        known = [i for i, label in enumerate(predictions.names) if label in (name, *name.split("|"))]
        if not known:
            raise InputError(f"{weights}: class {name} is not among the labels: {', '.join(predictions.names)}")
        labels.append(predictions.labels[:, known].max(axis=1))  # NaN where any is unknown
        calls.append(called[:, known].any(axis=1))
    if normal not in classes:
        raise InputError(f"{weights}: no class {normal}; --challenge_normal names sinus rhythm")
    truth, decided = np.stack(labels, axis=1), np.stack(calls, axis=1)
    unit = scores.find_units(predictions, settings)
    ends = challenge.compute_score(truth, decided, values, classes.index(normal), settings, unit)
    row = ["PhysioNet Challenge 2021", *ends, int((~np.isnan(truth).any(axis=1)).sum())]
    return pd.DataFrame([row], columns=["score", "value", "value_low", "value_high", "n"])
