"""Scores predictions, writes the tables and the report, and shows them: the end of `main` and of `evaluate`."""

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich.console import Console

from ecg_jax.data.datasets import table as table_lib
from ecg_jax.errors import InputError
from ecg_jax.evaluation import analysis, challenge, resampling, scores
from ecg_jax.evaluation.analysis import Analysis
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds
from ecg_jax.inference.evaluated import Evaluated
from ecg_jax.reporting import evaluation_report, tables
from ecg_jax.runtime.progress import show_progress

RATE_ONLY = "auroc_rate_only"
_SHOWN = (
    *("label", "n", "positives", "auroc", RATE_ONLY, "average_precision", "f1", "threshold"),
    *("auroc_low", "auroc_high", "f1_low", "f1_high"),
)


@dataclasses.dataclass(frozen=True)
class Extras:
    """What an evaluation may take besides predictions."""

    subgroups: Sequence[str] | None = None  # attributes that make them; all there are if None
    annotators: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # see `read_annotators`
    seeds: Sequence[np.ndarray] = ()  # `[N, C]` probabilities of networks trained from other seeds
    decision_range: tuple[float, float] = analysis.DECISION_RANGE  # of thresholds
    challenge: tuple[str, str] | None = None  # for the Challenge score: path of weights, class of sinus rhythm
    rate_only: np.ndarray | None = None  # AUROC of a baseline that knows the heart rate alone, per label and macro
    has_report: bool = True  # else the tables alone are written
    has_figure_files: bool = True


def evaluate(
    first: Evaluated,
    settings: Settings,
    folder: str,
    console: Console,
    *,
    command: str,
    extras: Extras,
    second: Evaluated | None = None,
) -> list[str]:
    """Evaluates predictions that have thresholds, writes everything to a folder, and shows the scores.

    Args:
        first: What is evaluated.
        settings: See `Settings`.
        folder: Where everything is written.
        console: Where progress and scores are shown.
        command: The module that was run, as `main`.
        extras: See `Extras`.
        second: Another model's predictions of the same recordings in the same order.

    Returns:
        The files written; the page last, if it is among them.
    """
    models = [first] if second is None else [first, second]
    predictions, thresholds = first.predictions, first.thresholds
    assert thresholds is not None
    subgroups = _check_subgroups(extras.subgroups, predictions)
    warnings = tuple(dict.fromkeys(line for each in models for line in each.warnings))
    console.print(
        f"Scoring {first.subtitle}: {', '.join(predictions.names)}; thresholds: {thresholds.describe()}; "
        f"{settings.resamples} resamples"
    )
    challenge = None
    with show_progress(console, "resampling") as update, resampling.watched(update):
        found = analysis.analyse(
            predictions,
            thresholds,
            settings,
            attributes=subgroups,
            annotators=extras.annotators,
            other=(second.predictions, second.thresholds) if second and second.thresholds else None,
            decision_range=extras.decision_range,
        )
        if extras.challenge:
            challenge = compute_challenge_score(predictions, thresholds, settings, *extras.challenge)
    added = {}
    if extras.rate_only is not None:
        added[RATE_ONLY] = np.full(len(found.scores.table), np.nan)  # of averages macro alone has one
        added[RATE_ONLY][: len(extras.rate_only)] = extras.rate_only
    if extras.has_report:
        about = evaluation_report.About(
            title=f"Evaluation of {' against '.join(each.title for each in models)}",
            subtitle=first.subtitle,
            command=shlex.join(["python", "-m", f"ecg_jax.{command}", *sys.argv[1:]]),
            models=tuple(each.title for each in models) if second else (),
            facts=tuple(fact for each in models for fact in each.facts),
            warnings=warnings,
            annotators=extras.annotators,
            seeds=extras.seeds,
            challenge=challenge,
            extra_scores=added,
            learning_curve=first.learning_curve,
        )
        with show_progress(console, "drawing") as update:
            written = evaluation_report.write(
                folder, found, about, figure_files=extras.has_figure_files, progress=update
            )
    else:
        written = evaluation_report.write_tables(folder, found, added)
    _show(first, found, found.scores.table.assign(**added), warnings, challenge, console)
    return written


def compute_challenge_score(
    predictions: Predictions, thresholds: Thresholds, settings: Settings, weights: str, normal: str
) -> pd.DataFrame:
    """The score of the PhysioNet/CinC Challenge 2021, one row: `score`, `value`, `value_low`, `value_high`, `n`.

    `n` recordings have no unknown label.

    Args:
        predictions: Of the classes of the table; one of several names (`733534002|164909002`) is present where any of
            them is.
        thresholds: Where probabilities become decisions.
        settings: Of the interval.
        weights: Path of a table of credits between classes, as the Challenge's `weights.csv`.
        normal: The class of sinus rhythm.
    """
    classes, values = _read_credits(weights)
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


def _read_credits(path: str) -> tuple[list[str], np.ndarray]:
    """The C classes, and credits `[C, C]` float64."""
    table = table_lib.read_table(path)
    classes = [str(name) for name in table.columns[1:]]
    if list(table.iloc[:, 0]) != classes:
        raise InputError(f"{path}: rows and columns must name the same classes in the same order")
    try:
        values = table[classes].astype(np.float64).to_numpy()
    except ValueError as error:
        raise InputError(f"{path}: {error}; a credit is a number") from error
    if np.isnan(values).any():
        raise InputError(f"{path}: a credit is empty; expected a number")
    return classes, values


def _check_subgroups(wanted: Sequence[str] | None, predictions: Predictions) -> list[str]:
    known = list(predictions.attributes)
    if missing := [name for name in wanted or () if name not in known]:
        raise InputError(f"--subgroups: no column {', '.join(missing)}; there are: {', '.join(known) or 'none'}")
    return known if wanted is None else list(wanted)


def _show(
    first: Evaluated,
    found: Analysis,
    table: pd.DataFrame,
    warnings: Sequence[str],
    challenge: pd.DataFrame | None,
    console: Console,
) -> None:
    shown = table.assign(threshold=found.shown_thresholds)[[name for name in _SHOWN if name in table]]
    tables.print_scores(shown, f"{first.title}: {first.subtitle}", console)
    if RATE_ONLY in table:
        console.print("'rate only': AUROC of a baseline that knows the heart rate alone")
    for line in found.notes:
        console.print(f"note: {line}")
    for line in (*found.stamps, *warnings, *found.warnings):
        console.print(f"warning: {line}", style="yellow")
    if challenge is not None:
        tables.print_scores(challenge, "With partial credit", console)
