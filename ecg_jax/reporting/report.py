"""The files of an evaluation of any kind: tables, figures, and one page with both."""

import dataclasses
import datetime
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.reporting import figures, html, tables
from ecg_jax.reporting.cells import create_heading
from ecg_jax.reporting.tables import Table

REPORT = "report.html"
FIRST = "What was evaluated"
# Those that only some evaluations have.
_TABLES = (
    *("confusion", "calibration", "decision_curves", "subgroups", "kappa", "panel", "mcnemar", "comparison"),
    *("challenge", "tenths", "floor"),
)
_TABLE_SUFFIXES = (".csv", ".json", ".tex")
_FIGURES = (
    *("forest", "precision_recall", "roc", "confusion", "reliability", "decision_curves"),
    *("bootstrap_auroc", "bootstrap_f1", "subgroups", "predicted", "agreement", "tenths"),
)
_SMALL = {"p": ".2g", "p_holm": ".2g", "p_exact": ".2g", "p_asymptotic": ".2g", "p_corrected": ".2g"}

Plans = dict[str, tuple[str, Callable[[], Figure]]]  # caption of each figure, and what draws it, by name


@dataclasses.dataclass(frozen=True)
class About:
    """What a page states besides the results."""

    title: str  # of the page
    subtitle: str  # one line on what was evaluated
    command: str  # that made it
    facts: tuple[str, ...] = ()  # paragraphs on what was evaluated
    warnings: tuple[str, ...] = ()  # in addition to those of the analysis
    learning_curve: Callable[[], Figure] | None = None  # draws it, after a training


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the page; it is left out where it would have neither table nor figure."""

    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()  # names of those that it shows, where there are any
    figures: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Content:
    """What an evaluation shows, whatever its kind."""

    tables: Mapping[str, Table]  # by name
    figures: Plans
    key: Sequence[tuple[str, str]]  # large numbers: (value as shown, what it is)
    sections: Sequence[Section]  # after the first and before that of the training
    facts: tuple[str, ...] = ()  # paragraphs of the first section
    stamps: tuple[str, ...] = ()  # lines that every output must show
    warnings: tuple[str, ...] = ()


def write(
    folder: str,
    content: Content,
    about: About,
    *,
    figure_files: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Writes the tables (.csv, .json, .tex), the figures (.pdf, .png) and `report.html`, each whole or not at all.

    Args:
        folder: Where to; it is created.
        content: The results.
        about: What else the page states.
        figure_files: Write figures as files too; the page has them in any case.
        progress: Called with the number of figures drawn, and of all.

    Returns:
        The files, the page last.
    """
    written, pictures, plans = write_tables(folder, content), {}, dict(content.figures)
    if about.learning_curve:
        plans["learning_curve"] = ("Loss and scores on validation while training.", about.learning_curve)
    for number, (name, (caption, draw)) in enumerate(plans.items()):
        progress(number, len(plans))
        figure = draw()
        figures.stamp(figure, content.stamps)
        stamp = "".join(f" {line}." for line in content.stamps)
        pictures[name] = html.Figure(f"figure_{name}", caption + stamp, figures.encode(figure))
        if figure_files:
            written += figures.write(figure, os.path.join(folder, name))
        else:
            figures.close(figure)
    page = html.Page(
        title=about.title,
        subtitle=about.subtitle,
        command=about.command,
        date=datetime.date.today().isoformat(),
        key=content.key,
        stamps=content.stamps,
        warnings=(*about.warnings, *content.warnings),
        sections=_arrange(content, about, pictures),
    )
    path = os.path.join(folder, REPORT)
    html.write_page(path, page)
    _remove_others(folder, written, figure_files)
    return [*written, path]


def write_tables(folder: str, content: Content) -> list[str]:
    """Writes the tables alone (.csv, .json, .tex); see `write`."""
    return [path for table in content.tables.values() for path in tables.write_table(folder, table, content.stamps)]


def list_tables(folder: str) -> list[str]:
    """The files of tables that an evaluation may write to a folder, or remove from it."""
    return [os.path.join(folder, f"{name}{suffix}") for name in ("scores", *_TABLES) for suffix in _TABLE_SUFFIXES]


def _remove_others(folder: str, written: Sequence[str], figure_files: bool) -> None:
    """Removes files of an earlier evaluation that this one lacks: they would seem to belong to this one."""
    stale = list_tables(folder)
    if figure_files:
        stale += [os.path.join(folder, f"{name}{suffix}") for name in _FIGURES for suffix in (".pdf", ".png")]
    for path in set(stale) - set(written):
        if os.path.isfile(path):
            os.remove(path)


def _arrange(content: Content, about: About, pictures: Mapping[str, html.Figure]) -> list[html.Section]:
    """Sections of the page, without empty ones."""
    first = Section(FIRST, (*about.facts, *content.facts))
    sections = []
    for each in (first, *content.sections, Section("Training", figures=("learning_curve",))):
        kept_tables = [_shorten(content.tables[name]) for name in each.tables if name in content.tables]
        kept_figures = [pictures[name] for name in each.figures if name in pictures]
        if kept_tables or kept_figures or each is first:
            sections.append(html.Section(each.title, each.paragraphs, kept_tables, kept_figures))
    return sections


def _shorten(table: Table) -> Table:
    """Without notes, which the page lists as warnings; metrics by their usual names."""
    frame = table.frame.drop(columns="note", errors="ignore")
    if "metric" in frame:
        frame = frame.assign(metric=frame["metric"].map(create_heading))
    return dataclasses.replace(table, frame=frame)


def format_p(frame: pd.DataFrame) -> dict[str, str]:
    """Formats of the p values in a table."""
    return {name: form for name, form in _SMALL.items() if name in frame}


def count_recordings(predictions: Predictions) -> tuple[str, str]:
    """The key number of recordings."""
    count = len(predictions.ids)
    return f"{count:,}", "recording" if count == 1 else "recordings"


def describe_recordings(predictions: Predictions, settings: Settings) -> str:
    """Sentences on how many recordings, and patients where these are known, were evaluated."""
    count, unit = count_recordings(predictions)
    named = _list_patients(predictions)
    of = f" of {len(named):,} patients" if named else ""
    return f"{count} {unit}{of}. {describe_patients(predictions, settings)} Unknown labels are left out."


def describe_patients(predictions: Predictions, settings: Settings) -> str:
    """A sentence on what intervals and tests count."""
    named = _list_patients(predictions)
    if not settings.resamples:
        known = f"{len(named):,} patients are known" if named else "Patients are unknown"
        return f"{known}; without resamples there are no intervals."
    if not named:
        return "Patients are unknown: intervals and tests treat all recordings as independent."
    if settings.legacy or settings.resampled not in ("auto", "patients"):
        return f"{len(named):,} patients are known; intervals and tests count recordings all the same, as asked."
    unknown = int((np.asarray(predictions.patients) == "").sum())
    rest = f"; {unknown} recordings of unknown patients count as one each" if unknown else ""
    return f"Intervals and tests count {len(named):,} patients{rest}."


def _list_patients(predictions: Predictions) -> set[str]:
    return set() if predictions.patients is None else {*predictions.patients.tolist()} - {""}


def describe_level(settings: Settings) -> str:
    """What intervals are called."""
    return f"{100 * settings.level:g} % intervals" if settings.resamples else "no intervals"
