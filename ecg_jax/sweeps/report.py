"""Reports of a sweep, while it runs and at its end."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from ecg_jax import files, spreadsheet
from ecg_jax.errors import InputError
from ecg_jax.reporting import html, tables
from ecg_jax.sweeps import launcher, results
from ecg_jax.sweeps import page as page_lib
from ecg_jax.sweeps.results import Results, name_column
from ecg_jax.sweeps.study import FINAL, Study
from ecg_jax.sweeps.summary import SHOWN, choose_formats, describe_command, describe_winner, shorten

CSV, RUNS, MARKDOWN, PAGE = "results.csv", "runs.csv", "results.md", "report.html"


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
    html.write_page(page, page_lib.create(found, study, arguments))
    shown = shorten(found, study)
    tables.print_scores(shown, f"Ranked by validation {found.objective}", console, choose_formats(shown))
    for line in describe_winner(found):
        console.print(line)
    console.print(f"Written: {', '.join([*written, page])}")
    console.print(f"The best: {describe_command(found, arguments)}")
    first = next(iter(found.ranked[0].runs.values()))
    if not found.test:
        console.print("Test scores are shown when the sweep has ended, for the winner alone")
    console.print(f"Its run: ecg-jax evaluate --model={first} --output=evaluation")


def _write_markdown(found: Results, study: Study) -> str:
    counts = f"{len(found.runs)} runs, {len(found.ranked)} finished configurations"
    lines = [f"# Sweep {os.path.basename(os.path.abspath(study.workdir))}", ""]
    lines += [f"{counts}, ranked by validation {found.objective}.", ""]
    if found.ranked:
        column = name_column(found.objective)
        shown = shorten(found, study).drop(columns=[f"{column}_low", f"{column}_high"], errors="ignore")
        intervals = [_interval(each.row, column) for each in found.ranked[:SHOWN]]
        shown.insert(shown.columns.get_loc(column) + 1, "95 % interval", intervals)
        rows = [shown.columns, ["---"] * len(shown.columns), *shown.map(_cell).to_numpy()]
        lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
        lines += [*(f"{line}." for line in describe_winner(found)), ""]
    lines += [f"- failed: {run['run']}: {run['reason']}" for _, run in found.failed.iterrows()]
    return "\n".join(lines) + "\n"


def _interval(row: Mapping[str, Any], column: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return f"{low:.4f} to {high:.4f}" if np.isfinite(low) else "one seed"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "\\|")
