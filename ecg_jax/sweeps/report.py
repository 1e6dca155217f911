"""Reports of a sweep: tables, a page with figures, and the winner's command line."""

import contextlib
import datetime
import os
import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax import files, spreadsheet
from ecg_jax.errors import InputError
from ecg_jax.reporting import figures, html, sweep_figures, tables
from ecg_jax.sweeps import launcher, results
from ecg_jax.sweeps.results import RESAMPLES, Results, name_column, read_curves
from ecg_jax.sweeps.space import encode
from ecg_jax.sweeps.study import FINAL, Study
from ecg_jax.sweeps.worker import SCORES, describe

CSV, RUNS, MARKDOWN, PAGE = "results.csv", "runs.csv", "results.md", "report.html"
_SHOWN = 20  # rows on the terminal and in Markdown


def update(study: Study, console: Console) -> None:
    """Writes the tables while a sweep runs, and prints its progress."""
    with contextlib.suppress(OSError):  # tables can be written later
        write_tables(results.collect(study, judges=False), study)
    console.print(launcher.look(study)[2])


def finish(study: Study, arguments: Sequence[str], stopped: str | None, console: Console) -> int:
    """Reports what a sweep has found.

    Args:
        study: The sweep.
        arguments: Of its command.
        stopped: The signal that has stopped it, if any.
        console: For the summary.

    Returns:
        The exit status.

    Raises:
        InputError: when runs are left although the sweep was not stopped.
    """
    points = study.points()
    due = len(points) if study.space.is_search else study.size  # a search may end early, without new points
    left = due - sum(point.state in FINAL for point in points)
    found = results.collect(study, judges=not stopped and not left)
    if found.ranked:
        show(found, study, arguments, console)
    else:
        write_tables(found, study)
    failed = found.failed
    for run, reason in zip(failed["run"], failed["reason"], strict=True) if len(failed) else ():
        console.print(f"failed: {run}: {reason}")
    if stopped:
        console.print(f"Stopped by {stopped}. The same command continues the sweep.")
        return 130
    if left:
        raise InputError(f"{left} runs are left, whose processes have ended; the same command continues the sweep")
    return 2 if len(failed) else 0


def write_tables(found: Results, study: Study) -> list[str]:
    """Writes `runs.csv`, `results.csv` and `results.md`, each whole or not at all."""
    folder = study.workdir
    texts = {RUNS: spreadsheet.to_csv(found.runs), CSV: spreadsheet.to_csv(found.table)}
    texts[MARKDOWN] = _write_markdown(found, study)
    return [files.write_text(os.path.join(folder, name), text) for name, text in texts.items()]


def show(found: Results, study: Study, arguments: Sequence[str], console: Console) -> None:
    """Prints the ranked table and the winner's scores, and writes all files."""
    written = write_tables(found, study)
    page = os.path.join(study.workdir, PAGE)
    html.write_page(page, _create_page(found, study, arguments))
    shown = _shorten(found, study)
    tables.print_scores(shown, f"Ranked by validation {found.objective}", console, _formats(shown))
    for line in describe_winner(found):
        console.print(line)
    console.print(f"Written: {', '.join([*written, page])}")
    console.print(f"The best: {describe_command(found, arguments)}")
    first = next(iter(found.ranked[0].runs.values()))
    if not found.test:
        console.print("Test scores are shown when the sweep has ended, for the winner alone")
    console.print(f"Its run: python -m ecg_jax.evaluate --model={first} --output=evaluation")


def describe_command(found: Results, arguments: Sequence[str]) -> str:
    """The command line that trains the best configuration.

    Raises:
        InputError: when nothing has finished yet.
    """
    if not found.ranked:
        raise InputError("no run has finished yet, so none is the best")
    winner = found.ranked[0]
    kept, follows = [], False
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0]
        if follows or name == "config" or name.startswith("config."):
            kept.append(argument)
            follows = not follows and "=" not in argument
    flags = [f"--config.{key}={_as_flag(value)}" for key, value in winner.overrides.items()]
    return shlex.join(["python", "-m", "ecg_jax.main", *kept, *flags])


def describe_winner(found: Results) -> list[str]:
    """The winner's test scores, and the optimism of its validation score."""
    winner, objective = found.ranked[0], found.objective
    lines = [f"Winner: {winner.name}"]
    tried = len(found.ranked)
    told = ", ".join(f"{name} {_spread(found.test[name])}" for name in SCORES if name in found.test)
    seeds = f"{len(winner.runs)} seeds: mean, lowest-highest" if len(winner.runs) > 1 else "1 seed"
    if told:
        lines.append(f"Its test split, looked at for it alone: {told} ({seeds})")
    if np.isfinite(found.optimism):
        value = winner.row[name_column(objective)]
        lines.append(
            f"It is the best of {tried}: its validation {objective}, {value:.4f}, is too good by about "
            f"{found.optimism:.4f} (bootstrap of the choice, {RESAMPLES} draws of the validation recordings)"
        )
    return lines


def _spread(values: Sequence[float]) -> str:
    known = np.asarray(values, np.float64)
    return f"{known.mean():.4f}" + (f" ({known.min():.4f}-{known.max():.4f})" if len(known) > 1 else "")


def _as_flag(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, list | tuple) else str(value)


def _shorten(found: Results, study: Study) -> pd.DataFrame:
    """The main columns."""
    column = name_column(found.objective)
    names = ["rank", *study.space.keys, "runs", "missing", column, f"{column}_low", f"{column}_high"]
    others = map(name_column, (*study.settings.objectives[1:], "auroc", "average_precision", "seconds"))
    shown = found.table[[*dict.fromkeys([*names, *others])]].head(_SHOWN)
    if not shown["missing"].any():
        shown = shown.drop(columns="missing")
    if shown[f"{column}_low"].isna().all():
        shown = shown.drop(columns=[f"{column}_low", f"{column}_high"])
    return shown.astype({key: object for key in study.space.keys}).rename(columns=_shorten_keys(study))


def _shorten_keys(study: Study) -> dict[str, str]:
    """Keys without their sections, unless two would be equal."""
    last = [key.rpartition(".")[2] for key in study.space.keys]
    return {key: short for key, short in zip(study.space.keys, last, strict=True) if last.count(short) == 1}


def _formats(shown: pd.DataFrame) -> dict[str, str]:
    floats = [
        name for name in shown if all(isinstance(value, float) for value in shown[name]) and shown[name].dtype == object
    ]
    return dict.fromkeys(floats, ".4g") | {
        name: form
        for name, form in (("parameters", ",.0f"), ("seconds", ".0f"), ("validation loss", ".4f"))
        if name in shown
    }


def _write_markdown(found: Results, study: Study) -> str:
    lines = [f"# Sweep {os.path.basename(os.path.abspath(study.workdir))}", ""]
    lines += [
        f"{len(found.runs)} runs, {len(found.ranked)} finished configurations, ranked by validation {found.objective}.",
        "",
    ]
    if found.ranked:
        shown = _shorten(found, study)
        column = name_column(found.objective)
        shown = shown.drop(columns=[f"{column}_low", f"{column}_high"], errors="ignore")
        intervals = [_interval(each.row, column) for each in found.ranked[:_SHOWN]]
        shown.insert(list(shown.columns).index(column) + 1, "95 % interval", intervals)
        rows = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
        lines += [_row(shown.columns), _row(["---"] * len(shown.columns)), *map(_row, rows), ""]
        lines += [*(f"{line}." for line in describe_winner(found)), ""]
    failed = found.failed
    lines += [f"- failed: {run['run']}: {run['reason']}" for _, run in failed.iterrows()]
    return "\n".join(lines) + "\n"


def _interval(row: Mapping[str, Any], column: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return f"{low:.4f} to {high:.4f}" if np.isfinite(low) else "one seed"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "\\|")


def _row(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _create_page(found: Results, study: Study, arguments: Sequence[str]) -> html.Page:
    objective = found.objective
    winner = found.ranked[0]
    shown = _shorten(found, study)
    name = os.path.basename(os.path.abspath(study.workdir))
    states = found.runs["state"].value_counts()
    key = [(f"{winner.row[name_column(objective)]:.4f}", f"best validation {sweep_figures.name_objective(objective)}")]
    if "auroc" in found.test:
        key.append((_spread(found.test["auroc"]), "test AUROC of the winner"))
    if np.isfinite(found.optimism):
        key.append((f"{found.optimism:.4f}", "optimism of the choice"))
    key += [(str(len(found.ranked)), "configurations"), (str(int(states.get("complete", 0))), "finished runs")]
    failed = found.failed
    ranking = tables.Table(
        "results",
        f"Configurations, best first; {objective}: mean over seeds, with the 95 % interval of that mean (Student's t).",
        shown,
        note="Test scores are not shown: whoever ranks by them has used them up.",
        formats=_formats(shown),
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
    label = f"Validation {sweep_figures.name_objective(objective)}" if objective in SCORES else objective
    table = found.table
    keys = [key for key in study.space.keys if table[key].map(str).nunique() > 1]
    plans: dict[str, tuple[str, Callable[[], Figure]]] = {}
    if objective in SCORES:
        short = _shorten_keys(study)
        curves = {
            _name(rank, {short.get(key, key): value for key, value in each.overrides.items()}): read_curves(each)
            for rank, each in enumerate(found.ranked[:7], 1)
        }
        if any(run for runs in curves.values() for run in runs):
            plans["curves"] = (
                f"Validation {objective} while training, of the best configurations: mean over seeds, and range.",
                lambda: sweep_figures.draw_learning_curves(curves, objective),
            )
    if keys:
        plans["slices"] = (
            "Each key against the objective: a point per configuration, with its interval; the winner is circled.",
            lambda: sweep_figures.draw_slices(table, keys, column, label),
        )
        plans["parallel"] = (
            "A line per configuration, from what it was given to what it reached; dark is better.",
            lambda: sweep_figures.draw_parallel(table, keys, column, label, higher_is_better=study.sign < 0),
        )
    base = dict(config_lib.flatten(study.space.base))
    whole = table.assign(**{key: table[key].where(table[key].notna(), encode(base[key])) for key in keys})
    importance = measure_importance(whole, keys, column) if len(keys) > 1 else {}
    if importance:
        plans["importance"] = (
            "How much of the objective's variance each key explains (functional ANOVA on random forests: Hutter et al. "
            "2014, ICML). With few configurations this says little.",
            lambda: sweep_figures.draw_importance(importance),
        )
    drawn = []
    for name, (caption, draw) in plans.items():
        figure = draw()
        drawn.append(html.Figure(f"figure_{name}", caption, figures.encode(figure)))
        figures.close(figure)
    return drawn


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
