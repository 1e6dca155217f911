"""Scores predictions, writes the tables and the report, and shows them: the end of `main` and of `evaluate`."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console

from ecg_jax.errors import InputError, suggest
from ecg_jax.evaluation import analysis, floor_comparison, left_out, metrics, regression_analysis, resampling
from ecg_jax.evaluation.settings import Settings
from ecg_jax.inference import challenge as challenge_lib
from ecg_jax.inference.evaluated import Evaluated
from ecg_jax.kinds import FINDING, NUMBER
from ecg_jax.printable import list_some
from ecg_jax.reporting import evaluation_report, floor_table, regression_report, report, tables
from ecg_jax.runtime.progress import show_progress

if TYPE_CHECKING:  # it imports JAX, which files of predictions do not need
    from ecg_jax.inference.floor import Floor

RATE_ONLY, FLOOR = "auroc_rate_only", "auroc_floor"
BASELINES = {
    RATE_ONLY: "'rate only': AUROC of a baseline that knows the heart rate alone",
    FLOOR: "'floor': AUROC of a baseline that knows intervals and voltages alone",
}
_MANY = 20  # names that a line has
_SHOWN = (
    *("label", "n", "positives", "auroc", *BASELINES, "average_precision", "f1", "threshold"),
    *("auroc_low", "auroc_high", "f1_low", "f1_high"),
)
_SHOWN_NUMBERS = (
    *("label", "n", "mae", "rmse", "r2", "pearson", "bias", "limit_low", "limit_high", "mae_constant"),
    *("mae_low", "mae_high"),
)


@dataclasses.dataclass(frozen=True)
class Extras:
    """What an evaluation may take besides predictions."""

    subgroups: Sequence[str] | None = None  # attributes that make them; all there are if None
    annotators: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # see `read_annotators`
    seeds: Sequence[np.ndarray] = ()  # `[N, C]` probabilities of networks trained from other seeds
    decision_range: tuple[float, float] = analysis.DECISION_RANGE  # of thresholds
    challenge: tuple[str, str] | None = None  # for the Challenge score: path of weights, class of sinus rhythm
    # Of findings, AUROC of `RATE_ONLY` or `FLOOR`, per label and macro.
    baselines: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    floor: "Floor | None" = None  # which brings the second of these
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
    """Evaluates predictions, writes everything to a folder, and shows the scores.

    Args:
        first: What is evaluated; findings have thresholds.
        settings: See `Settings`.
        folder: Where everything is written.
        console: Where progress and scores are shown.
        command: The module that was run, as `main`.
        extras: See `Extras`.
        second: Another model's predictions of the same recordings and labels in the same order.

    Returns:
        The files written; the page last, if it is among them.
    """
    models = [first] if second is None else [first, second]
    chosen = _check_subgroups(extras.subgroups, first)
    warnings = tuple(dict.fromkeys(line for each in models for line in each.warnings))
    score = {FINDING: _score_findings, NUMBER: _score_numbers}[first.predictions.kind]
    thresholds = f"thresholds: {first.thresholds.describe()}; " if first.thresholds else ""
    names = list_some(first.predictions.names, _MANY)
    console.print(report.describe_patients(first.predictions, settings))
    console.print(f"Scoring {first.subtitle}: {names}; {thresholds}{settings.resamples} resamples")
    lost = [each for model in models for each in model.left_out]
    with show_progress(console, "resampling") as update, resampling.watched(update):
        found = score(models, settings, chosen, extras)
    if extras.has_report:
        about = report.About(
            title=f"Evaluation of {' against '.join(each.title for each in models)}",
            subtitle=first.subtitle,
            command=shlex.join(["python", "-m", f"ecg_jax.{command}", *sys.argv[1:]]),
            facts=(
                *(fact for each in models for fact in each.facts),
                *([f"Recordings that are not scored, each with the reason: {left_out.LIST}."] if lost else []),
            ),
            warnings=warnings,
            learning_curve=first.learning_curve,
        )
        with show_progress(console, "drawing") as update:
            written = report.write(folder, found.content, about, figure_files=extras.has_figure_files, progress=update)
    else:
        written = report.write_tables(folder, found.content)
    listed = left_out.write(folder, lost)
    tables.print_scores(found.shown, f"{first.title}: {first.subtitle}", console)
    for line in found.notes:
        console.print(line)
    for line in (*found.content.stamps, *warnings, *found.content.warnings):
        console.print(f"warning: {line}", style="yellow")
    if listed:
        console.print(f"Recordings that are not scored, each with the reason: {listed[0]}")
    for title, table in found.others.items():
        tables.print_scores(table, title, console)
    return [*written[:-1], *listed, *written[-1:]]


def list_files(folder: str) -> list[str]:
    """The files that `evaluate` may replace or remove in a folder, without those of pages and figures."""
    return [os.path.join(folder, left_out.LIST), *report.list_tables(folder)]


@dataclasses.dataclass(frozen=True)
class _Found:
    """What an evaluation found, whatever its kind."""

    content: report.Content  # to be written
    shown: pd.DataFrame  # the scores to print
    notes: tuple[str, ...] = ()  # lines below them
    others: Mapping[str, pd.DataFrame] = dataclasses.field(default_factory=dict)  # further tables to print, by title


def _score_findings(models: list[Evaluated], settings: Settings, chosen: list[str], extras: Extras) -> _Found:
    """Scores probabilities; of two models, both have thresholds."""
    first, *others = models
    assert first.thresholds is not None
    found = analysis.analyse(
        first.predictions,
        first.thresholds,
        settings,
        attributes=chosen,
        annotators=extras.annotators,
        other=next(((each.predictions, each.thresholds) for each in others if each.thresholds), None),
        decision_range=extras.decision_range,
    )
    challenge, baselines = None, dict(extras.baselines)
    if extras.challenge:
        challenge = challenge_lib.score(first.predictions, first.thresholds, settings, *extras.challenge)
    floor = _describe_floor(first, settings, extras)
    order = [*first.predictions.names, metrics.MACRO]
    if floor is not None:
        baselines[FLOOR] = arrange_floor(found.scores.table, floor.frame, order)
    others_missing = [np.nan] * (len(found.scores.table) - len(order))  # of averages macro alone has one
    scored = {name: np.append(baselines[name], others_missing) for name in BASELINES if name in baselines}
    added = evaluation_report.Additions(extras.annotators, extras.seeds, challenge, scored, floor)
    table = found.scores.table.assign(**scored, threshold=found.shown_thresholds)
    rate = tuple(text for name, text in BASELINES.items() if name in scored)
    return _Found(
        evaluation_report.describe(found, added, _list_titles(models)),
        table[[name for name in _SHOWN if name in table]],
        (*rate, *(f"note: {line}" for line in found.notes)),
        {} if challenge is None else {"With partial credit": challenge},
    )


def arrange_floor(table: pd.DataFrame, floor: pd.DataFrame, order: list[str]) -> np.ndarray:
    """The floor's AUROC in the order of the labels and `macro`, which is NaN unless it is of the network's labels.

    Args:
        table: The network's scores; see `scores.compute`.
        floor: See `floor_comparison.compare`; labels may be missing.
        order: The labels and `macro`.
    """
    network = table.set_index("label")["auroc"].reindex(order)
    values = floor.set_index("label")[floor_comparison.FLOOR].reindex(order)
    if (network.notna() & values.isna()).any():
        values[metrics.MACRO] = np.nan
    return values.to_numpy()


def _score_numbers(models: list[Evaluated], settings: Settings, chosen: list[str], extras: Extras) -> _Found:
    """Scores predicted numbers; of the extras, subgroups and the floor are for these."""
    first, *others = models
    other = others[0].predictions if others else None
    found = regression_analysis.analyse(first.predictions, settings, attributes=chosen, other=other)
    table = found.scores.table
    floor = _describe_floor(first, settings, extras)
    return _Found(
        regression_report.describe(found, _list_titles(models), floor),
        table[[name for name in _SHOWN_NUMBERS if name in table]],
        ("'MAE of the median': of always predicting the median of these recordings",),
        {} if floor is None else {floor.caption: floor.frame},
    )


def _describe_floor(first: Evaluated, settings: Settings, extras: Extras) -> tables.Table | None:
    """The network beside the measurement floor, where there is one."""
    if extras.floor is None:
        return None
    frame = floor_comparison.compare(first.predictions, extras.floor.predictions, settings)
    return floor_table.create(frame, extras.floor.learned_from, first.predictions.kind, settings)


def _list_titles(models: list[Evaluated]) -> tuple[str, ...]:
    """Names of the two models that are compared, if they are."""
    return tuple(each.title for each in models) if len(models) > 1 else ()


def _check_subgroups(wanted: Sequence[str] | None, first: Evaluated) -> list[str]:
    known = list(first.predictions.attributes)
    if missing := [name for name in wanted or () if name not in known]:
        raise InputError(
            f"--subgroups: no column {list_some(missing)}; there are: {list_some(known, _MANY) or 'none'}"
            + suggest(missing[0], known)
        )
    return [name for name in known if name not in first.on_request] if wanted is None else list(wanted)
