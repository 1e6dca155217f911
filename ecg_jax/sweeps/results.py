"""The results of a sweep: every run, every configuration over its seeds, the winner and its test scores.

Configurations are ranked by validation. Test scores are read for the winner alone: ranking by
them would bias them. The optimism of having chosen the best of many is estimated by
a bootstrap of the validation recordings, see `estimate_optimism`.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from ecg_jax import spreadsheet
from ecg_jax.errors import InputError
from ecg_jax.evaluation import metrics, tally
from ecg_jax.evaluation.settings import Settings as EvaluationSettings
from ecg_jax.kinds import EVERY_SCORE, FINDING, SCORES
from ecg_jax.runtime import run_folder
from ecg_jax.runtime.metric_writer import read_metrics
from ecg_jax.sweeps.space import SEED, encode
from ecg_jax.sweeps.study import COSTS, Point, Study
from ecg_jax.sweeps.worker import describe, read_seconds

RESAMPLES = 500


def name_column(score: str) -> str:
    """Column of a score in the tables."""
    return f"validation {score}" if score in EVERY_SCORE else score


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A configuration and its runs.

    Attributes:
        overrides: Dotted keys that differ from the base, without the seed.
        runs: Seed -> run folder, of the finished ones.
        row: Of the ranked table; `missing` counts its runs that failed, were pruned or are not finished.
    """

    overrides: Mapping[str, Any]
    runs: Mapping[int, str]
    row: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its keys and values, as in flags."""
        return describe(self.overrides) or "base"


@dataclasses.dataclass(frozen=True)
class Results:
    """The results of a sweep.

    Attributes:
        runs: A row per run: trial, state, run folder, what differs, validation scores, reason of a failure.
        ranked: Configurations with a finished run, best first.
        objective: The one that ranks; its column is `name_column(objective)`.
        optimism: See `estimate_optimism`; NaN where it is unknown.
        test: Test scores of the winner: score -> values by seed.
    """

    runs: pd.DataFrame
    ranked: Sequence[Configuration]
    objective: str
    optimism: float
    test: Mapping[str, Sequence[float]]

    @property
    def failed(self) -> pd.DataFrame:
        """The rows of `runs` that failed."""
        return self.runs[self.runs["state"] == "failed"] if len(self.runs) else self.runs

    @property
    def table(self) -> pd.DataFrame:
        """The ranked table."""
        table = pd.DataFrame([dict(each.row) for each in self.ranked])
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        return table


def collect(study: Study, *, judges: bool = True) -> Results:
    """Reads the finished runs of a sweep.

    Args:
        study: The sweep.
        judges: Whether the winner's test scores and optimism are computed.
    """
    points = study.points()
    runs: list[dict[str, Any]] = []
    found: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for point in points:
        rows = _list_runs(study, point)
        runs += rows
        overrides = {key: value for key, value in point.overrides.items() if key != SEED}
        found.setdefault(json.dumps(overrides, sort_keys=True), (overrides, []))[1].extend(rows)
    objective = study.settings.objectives[0]
    column = name_column(objective)
    aggregated = [_aggregate(overrides, rows, study) for overrides, rows in found.values()]
    configurations = [each for each in aggregated if each is not None]
    # A mean without some seeds may be too good: such configurations come last.
    ranked = sorted(configurations, key=lambda each: (each.row["missing"] > 0, study.sign * each.row[column]))
    table = pd.DataFrame(runs)
    if not ranked or not judges:
        return Results(table, ranked, objective, np.nan, {})
    winner = [run_folder.read_json(os.path.join(folder, run_folder.RESULT)) for folder in ranked[0].runs.values()]
    test = {name: [result["test"][name] for result in winner] for name in study.scores}
    optimism = estimate_optimism(ranked, objective, kind=study.kind, seed=study.space.base.seed)
    return Results(table, ranked, objective, optimism, test)


def _list_runs(study: Study, point: Point) -> list[dict[str, Any]]:
    """The runs of a point: one in a grid, one per seed in a search."""
    rows = []
    for seed, folder in zip(study.space.list_seeds(point.overrides), study.folders(point.overrides), strict=True):
        row: dict[str, Any] = {"trial": point.trial.number, "state": point.state, "run": folder, SEED: seed}
        row |= {key: encode(point.overrides[key]) for key in study.space.keys if key in point.overrides}
        path = os.path.join(folder, run_folder.RESULT)
        is_there = point.state == "complete" and os.path.exists(path)
        scores = run_folder.read_json(path)["validation"] if is_there else {}
        row |= {name_column(name): scores.get(name, np.nan) for name in study.scores}
        seconds = read_seconds(folder) if is_there else np.nan
        row |= {"parameters": point.trial.user_attrs.get("parameters"), "seconds": seconds, "reason": point.reason}
        rows.append(row)
    return rows


def _aggregate(overrides: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], study: Study) -> Configuration | None:
    """Means over seeds, and Student's interval of the mean of the objective, within 0 and 1 if it is a share."""
    column = name_column(study.settings.objectives[0])
    known = [each for each in rows if each["state"] == "complete" and np.isfinite(each[column])]
    if not known:
        return None
    values = np.array([each[column] for each in known], np.float64)
    mean, count = float(values.mean()), len(values)
    deviation = float(values.std(ddof=1)) if count > 1 else np.nan
    half = scipy.stats.t.ppf(0.975, count - 1) * deviation / np.sqrt(count) if count > 1 else np.nan
    row: dict[str, Any] = {key: encode(overrides[key]) if key in overrides else None for key in study.space.keys}
    bounds = (0.0, 1.0) if study.settings.objectives[0] in ("auroc", "average_precision") else (-np.inf, np.inf)
    low, high = (float(np.clip(end, *bounds)) for end in (mean - half, mean + half))
    row |= {column: mean, f"{column}_low": low, f"{column}_high": high, f"{column}_sd": deviation}
    row |= {"runs": count, "missing": len(rows) - count}
    for name in map(name_column, (*study.scores, *COSTS)):
        if name != column:
            row[name] = float(np.mean([each[name] for each in known if each[name] is not None] or [np.nan]))
    row["run"] = known[0]["run"]
    return Configuration(dict(overrides), {int(each[SEED]): str(each["run"]) for each in known}, row)


def read_curves(configuration: Configuration) -> list[list[dict[str, Any]]]:
    """The validation lines of each run of a configuration."""
    found = [read_metrics(os.path.join(folder, "metrics.jsonl")) for folder in configuration.runs.values()]
    return [[line for line in lines if line["kind"] == "validation"] for lines in found]


def estimate_optimism(ranked: Sequence[Configuration], objective: str, *, kind: str, seed: int) -> float:
    """Bias of the winner's validation score, as it was chosen by this score.

    Over bootstrap samples of the validation recordings, the mean difference between the score of
    the best configuration of a sample on the sample, and its score on all recordings (Efron's
    bootstrap of optimism: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 17).

    Args:
        ranked: Configurations; scores are means over their runs.
        objective: `auroc`, `average_precision` or `loss`; NaN for others.
        kind: Of the labels; NaN of numbers.
        seed: Of the samples.

    Returns:
        Positive where the score is too good; NaN where configurations were not validated on
        the same recordings, or there is only one.
    """
    if kind != FINDING or objective not in SCORES[FINDING] or len(ranked) < 2:
        return np.nan
    try:
        frames = [[_read_validation(folder) for folder in each.runs.values()] for each in ranked]
    except InputError:
        return np.nan
    first = frames[0][0]
    if any(not frame["recording"].equals(first["recording"]) for runs in frames for frame in runs):
        return np.nan
    count = len(first)
    samples = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    weights = np.column_stack([np.ones(count), samples.T])
    scores = np.array([np.mean([_score(frame, weights, objective) for frame in runs], axis=0) for runs in frames])
    scores *= -1.0 if objective == "loss" else 1.0
    on_all, on_samples = scores[:, 0], scores[:, 1:]
    on_samples = on_samples[:, np.isfinite(on_samples).all(axis=0)]
    gained = on_samples.max(axis=0) - on_all[on_samples.argmax(axis=0)]
    return float(gained.mean()) if on_samples.size else np.nan


def _read_validation(folder: str) -> pd.DataFrame:
    path = os.path.join(folder, run_folder.PREDICTIONS)
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file")
    read = pd.read_csv(path, keep_default_na=True, dtype={"recording": str, "quality": str})
    table = spreadsheet.restore_table(read)
    if "split" not in table:
        raise InputError(f"{path}: of folds")
    return table[table["split"] == "validation"].reset_index(drop=True)


def _score(frame: pd.DataFrame, weights: np.ndarray, objective: str) -> np.ndarray:
    """`[draws]`: the macro score, or the mean loss, of one run on every draw."""
    labels = [str(name).removesuffix("_true") for name in frame.columns if str(name).endswith("_true")]
    truth, raw = (frame[[f"{name}_{kind}" for name in labels]].to_numpy(np.float64) for kind in ("true", "raw"))
    known = np.isfinite(truth) & np.isfinite(raw)
    raw = np.where(known, raw, 0.5)
    if objective == "loss":
        chance = np.clip(raw, 1e-7, 1 - 1e-7)
        each = np.where(known, -truth * np.log(chance) - (1 - truth) * np.log1p(-chance), 0.0)
        return each.sum(axis=1) @ weights / np.maximum(known.sum(axis=1) @ weights, 1)
    tallies = map(tally.create, np.where(known, truth, np.nan).T, raw.T, raw.T >= 0.5)
    return metrics.average(
        np.stack([tally.compute_scores(each, weights, EvaluationSettings())[objective] for each in tallies])
    )
