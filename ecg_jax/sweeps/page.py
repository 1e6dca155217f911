"""The page of a sweep: its ranking and figures."""

import datetime
import os
import shlex
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure

from ecg_jax import config as config_lib
from ecg_jax.kinds import EVERY_SCORE
from ecg_jax.reporting import figures, html, sweep_figures, tables
from ecg_jax.sweeps.results import Results, name_column, read_curves
from ecg_jax.sweeps.space import encode
from ecg_jax.sweeps.study import Study
from ecg_jax.sweeps.summary import choose_formats, describe_winner, shorten, shorten_keys, spread
from ecg_jax.sweeps.worker import describe


def create(found: Results, study: Study, arguments: Sequence[str]) -> html.Page:
    """The page of a sweep that has a finished configuration.

    Args:
        found: Its results.
        study: The sweep.
        arguments: Of its command.
    """
    objective = found.objective
    winner = found.ranked[0]
    shown = shorten(found, study)
    name = os.path.basename(os.path.abspath(study.workdir))
    states = found.runs["state"].value_counts()
    key = [(f"{winner.row[name_column(objective)]:.4f}", f"best validation {sweep_figures.name_objective(objective)}")]
    if (shown_score := study.scores[1]) in found.test:
        title = sweep_figures.name_objective(shown_score).removesuffix(", macro")
        key.append((spread(found.test[shown_score]), f"test {title} of the winner"))
    if np.isfinite(found.optimism):
        key.append((f"{found.optimism:.4f}", "optimism of the choice"))
    key += [(str(len(found.ranked)), "configurations"), (str(int(states.get("complete", 0))), "finished runs")]
    failed = found.failed
    ranking = tables.Table(
        "results",
        f"Configurations, best first; {objective}: mean over seeds, with the 95 % interval of that mean (Student's t).",
        shown,
        note="Test scores are not shown: ranking by them would bias them.",
        formats=choose_formats(shown),
    )
    page_tables = [ranking]
    if len(failed):
        page_tables.append(
            tables.Table("failed", "Runs that failed, and why.", failed[["trial", "run", "reason"]].astype(str))
        )
    return html.Page(
        title=f"Sweep {name}",
        subtitle=f"{len(found.ranked)} configurations, ranked by validation {objective}",
        command=shlex.join(["python", "-m", "ecg_jax.sweep", *arguments]),
        date=datetime.date.today().isoformat(),
        key=key,
        warnings=[f"{len(failed)} run(s) failed; see the table"] if len(failed) else [],
        sections=[
            html.Section("Ranking", [*(f"{line}." for line in describe_winner(found))], page_tables),
            html.Section("Pictures", [], [], _draw(found, study)),
        ],
    )


def _draw(found: Results, study: Study) -> list[html.Figure]:
    objective, column = found.objective, name_column(found.objective)
    label = f"Validation {sweep_figures.name_objective(objective)}" if objective in EVERY_SCORE else objective
    table = found.table
    keys = [key for key in study.space.keys if table[key].map(str).nunique() > 1]
    drawn = []

    def add(name: str, caption: str, figure: Figure) -> None:
        drawn.append(html.Figure(f"figure_{name}", caption, figures.encode(figure)))
        figures.close(figure)

    curves = _read_curves(found, study) if objective in EVERY_SCORE else {}
    if any(run for runs in curves.values() for run in runs):
        add(
            "curves",
            f"Validation {objective} while training, of the best configurations: mean over seeds, and range.",
            sweep_figures.draw_learning_curves(curves, objective),
        )
    if keys:
        add(
            "slices",
            "Each key against the objective: a point per configuration, with its interval; the winner is circled.",
            sweep_figures.draw_slices(table, keys, column, label),
        )
        add(
            "parallel",
            "A line per configuration, from its values to its score; dark is better.",
            sweep_figures.draw_parallel(table, keys, column, label, higher_is_better=study.sign < 0),
        )
    base = dict(config_lib.flatten(study.space.base))
    whole = table.assign(**{key: table[key].where(table[key].notna(), encode(base[key])) for key in keys})
    if importance := measure_importance(whole, keys, column) if len(keys) > 1 else {}:
        add(
            "importance",
            "How much of the objective's variance each key explains (functional ANOVA on random forests: Hutter et al. "
            "2014, ICML). With few configurations this is uncertain.",
            sweep_figures.draw_importance(importance),
        )
    return drawn


def _read_curves(found: Results, study: Study) -> dict[str, list[list[dict[str, Any]]]]:
    """Validation lines of the runs of the best configurations, by the name of each in a legend."""
    short = shorten_keys(study)
    return {
        _name(rank, {short.get(key, key): value for key, value in each.overrides.items()}): read_curves(each)
        for rank, each in enumerate(found.ranked[:7], 1)
    }


def _name(rank: int, overrides: Mapping[str, Any]) -> str:
    """A configuration in a legend: its rank, and its values if they fit."""
    rounded = {key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in overrides.items()}
    text = describe(rounded) or "base"
    return f"{rank}: {text}" if len(text) < 90 else f"rank {rank}"


def measure_importance(table: pd.DataFrame, keys: Sequence[str], column: str) -> dict[str, float]:
    """Shares of variance by functional ANOVA, of the means over seeds; empty where there are too few configurations."""
    known = table[table[[*keys, column]].notna().all(axis=1)]
    if len(known) < 4 or known[column].nunique() < 2:
        return {}
    choices: dict[str, Any] = {}
    for key in keys:
        values = known[key]
        if values.map(lambda value: isinstance(value, int | float) and not isinstance(value, bool)).all():
            is_log = bool((values > 0).all() and values.max() / values.min() >= 10)
            choices[key] = optuna.distributions.FloatDistribution(float(values.min()), float(values.max()), log=is_log)
        else:
            choices[key] = optuna.distributions.CategoricalDistribution(list(dict.fromkeys(values)))
    study = optuna.create_study()
    for _, row in known.iterrows():
        params = {
            key: float(row[key]) if isinstance(drawn, optuna.distributions.FloatDistribution) else row[key]
            for key, drawn in choices.items()
        }
        study.add_trial(optuna.trial.create_trial(params=params, distributions=choices, value=float(row[column])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
