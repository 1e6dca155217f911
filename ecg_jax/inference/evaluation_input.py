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
from ecg_jax.data import evaluation_tables, joins, label_files, prediction_files, spelling
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
        source: The file or folder, for messages.
        recordings: Their names, by column; empty where nothing names them but their lines.
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
    source: str = ""
    recordings: joins.Names = dataclasses.field(default_factory=dict)
    dataset: Dataset | None = None
    learning_curve: Callable[[], Figure] | None = None

    @property
    def side(self) -> joins.Side:
        """As one that is joined."""
        return joins.Side(self.source or self.title, len(self.predictions.ids), self.recordings)


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
        with run_folder.reading(path):
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
        source=path,
        recordings={"recording": predictions.ids},
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
    validation: str | None = None,
    validation_labels: str | None = None,
    calibration: str | None = None,
    rules: joins.Rules = joins.USUAL,
) -> Evaluated:
    """Reads a file of predictions, and the truth.

    Args:
        path: See `prediction_files.read_predictions`.
        labels: A CSV; None where the file holds the truth too.
        names: See `read_predictions`.
        split: Where the file says who is in which; its test split if None.
        logits: The numbers are logits.
        validation: Another such file, to choose thresholds on; if None, the file's own validation split,
            where it has one.
        validation_labels: Its labels; `labels` if None.
        calibration: Fit one there; see `evaluation.settings.CALIBRATIONS`.
        rules: How files are joined.

    Raises:
        InputError: on whatever is wrong with the files.
    """
    truth = label_files.read_labels(labels, rules) if labels else None
    read = functools.partial(prediction_files.read_predictions, logits=logits, rules=rules)
    file = read(path, names=names, among=truth and truth.table)
    chosen = split or prediction_files.default_split(file)
    if file.split is None and split not in (None, "all"):
        raise InputError(f"{path}: no column `split`, so --split={split} names nobody; leave it out")
    part = prediction_files.take_split(file, chosen)
    other = read(validation, names=names or file.names) if validation else None
    join = functools.partial(label_files.join, rules=rules)
    if truth:
        joined = join(part, truth, others=[other.recordings] if other else [])
    else:
        joined = label_files.use_own_labels(part)
    predictions = joined.predictions
    if rules.patient_column and predictions.patients is None:
        raise InputError(f"--patient_column={rules.patient_column}: no such column in {labels or path}, or it is empty")
    others = None
    if other and validation:
        if os.path.samefile(path, validation):
            raise InputError(
                f"{validation}: its {len(predictions.ids)} recordings are scored too; thresholds need other ones, with "
                "labels in --validation_labels"
            )
        others = _join_validation(other, truth, validation_labels, part, joined, rules)
    elif chosen == "test" and file.split is not None and (file.split == "validation").any():
        own_part = prediction_files.take_split(file, "validation")
        if not truth:
            others = label_files.use_own_labels(own_part).predictions
        elif label_files.knows(truth, own_part):
            others = join(own_part, truth).predictions
    if calibration == "none":
        predictions, others = _undo_calibration(predictions), others and _undo_calibration(others)
    elif calibration is not None:
        if others is None:
            raise InputError(f"--calibration={calibration} is fitted on other recordings; pass --validation=FILE")
        predictions, others = _recalibrate(predictions, others, calibration)
    facts = [f"Predictions: {path}. Labels: {labels or 'in the same file'}.", *file.facts, *joined.facts]
    if file.left_out:
        facts.append(f"Recordings without a probability, which are left out: {len(file.left_out)}.")
    warnings = [*joined.warnings]
    if file.unused:
        warnings.append(
            f"columns of {path} that are no labels of {labels}, and are not scored: {', '.join(file.unused)}"
        )
    count = len(predictions.ids)
    subtitle = f"{count} recording{'' if count == 1 else 's'}" + ("" if chosen == "all" else f", split {chosen}")
    return Evaluated(
        title=prediction_files.describe(path),
        subtitle=subtitle,
        predictions=predictions,
        validation=others,
        facts=tuple(facts),
        warnings=tuple(warnings),
        source=path,
        recordings=joined.recordings,
    )


def _join_validation(
    file: prediction_files.PredictionFile,
    truth: label_files.LabelFile | None,
    labels: str | None,
    scored: prediction_files.PredictionFile,
    joined: label_files.Joined,
    rules: joins.Rules,
) -> Predictions:
    """Predictions of other recordings with their truth: of a file of its own, of their file, or that of the scored."""
    own = label_files.read_labels(labels, rules) if labels else truth if file.labels is None else None
    if own is None:
        others = label_files.use_own_labels(file)
    elif own is truth and not (file.recordings and truth.recordings):
        raise InputError(
            f"{file.path} and {truth.path} do not both name their recordings; pass --validation_labels=FILE.csv"
        )
    else:
        others = label_files.join(file, own, rules, [scored.recordings])
    shared = _count_shared(others.recordings, joined.recordings, (file.path, scored.path))
    if shared:
        raise InputError(f"{file.path}: {shared} of its recordings are scored too; thresholds need other ones")
    return others.predictions


def _count_shared(first: joins.Names, second: joins.Names, sources: tuple[str, str]) -> int:
    """How many recordings of one file are in another beyond doubt: `val/1` is not `1`."""
    if not (first and second):
        return 0
    found = joins.match(first, second, sources)
    return found.count if found.way in spelling.STRICT else 0


def _undo_calibration(each: Predictions) -> Predictions:
    return each if each.raw is None else dataclasses.replace(each, probabilities=each.raw, raw=None)


def open_other_file(
    path: str, first: Evaluated, *, labels: str | None, logits: bool, split: str | None, rules: joins.Rules
) -> Evaluated:
    """Reads another file of predictions of the recordings of the first, with the same truth.

    Raises:
        InputError: when recordings or labels do not match.
    """
    names = first.predictions.names
    if labels or prediction_files.has_labels(path, names):
        return open_file(path, labels=labels, names=names, split=split, logits=logits, rules=rules)
    file = prediction_files.read_predictions(path, names=names, logits=logits, rules=rules)
    side = joins.Side(path, len(file.values), joins.take(file.recordings, file.rows))
    rows = joins.join(first.side, side, rules).rows
    kept = rows >= 0
    if not kept.any():
        raise InputError(f"{first.title} and {path} share no recording; ids must be spelled alike")
    predictions = dataclasses.replace(first.predictions.take(kept), probabilities=file.values[rows[kept]], raw=None)
    return Evaluated(
        title=prediction_files.describe(path),
        subtitle="",
        predictions=predictions,
        facts=(f"Compared with: {path}.",),
        source=path,
        recordings=joins.take(first.recordings, kept),
    )


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


def align(first: Evaluated, second: Evaluated, rules: joins.Rules) -> tuple[Evaluated, Evaluated]:
    """Both restricted to the recordings that both have, in the first's order.

    Raises:
        InputError: when labels differ, no recording is shared, or a file lacks some and that was not asked for.
    """
    if first.predictions.names != second.predictions.names:
        raise InputError(
            f"{first.title} predicts {', '.join(first.predictions.names)}; "
            f"{second.title} {', '.join(second.predictions.names)}"
        )
    found = joins.join(first.side, second.side, rules)
    kept = found.rows >= 0
    if not kept.any():
        raise InputError(f"{first.title} and {second.title} share no recording; ids must be spelled alike")
    lost, surplus = int((~kept).sum()), len(second.predictions.ids) - found.count
    if lost and second.dataset is None and not rules.partial:
        raise InputError(
            f"{second.source}: {lost} of the {len(kept)} recordings of {first.source or first.title} are not in it, "
            f"the first {first.predictions.ids[~kept][0]}; --partial compares on those that both have"
        )
    lines = joins.describe_doubt(found, first.recordings, second.recordings)
    if lost:
        lines.append(f"{lost} of the {len(kept)} recordings are left out, which {second.title} does not have")
    if surplus:
        lines.append(f"{surplus} recordings of {second.title} are left out, which {first.title} does not have")
    other = second.predictions.take(found.rows[kept])
    first = dataclasses.replace(
        first,
        predictions=first.predictions.take(kept),
        recordings=joins.take(first.recordings, kept),
        warnings=(*first.warnings, *lines),
    )
    ids = first.predictions.ids
    return first, dataclasses.replace(
        second, predictions=dataclasses.replace(other, ids=ids), recordings=first.recordings
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
