"""The files of an evaluation: tables, figures, and one page with both."""

import dataclasses
import datetime
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecg_jax.evaluation import metrics, subgroups
from ecg_jax.evaluation import scores as scores_lib
from ecg_jax.evaluation.analysis import Analysis
from ecg_jax.evaluation.settings import Settings
from ecg_jax.reporting import cells, evaluation_figures, figures, html, tables
from ecg_jax.reporting.cells import create_heading
from ecg_jax.reporting.tables import Table

REPORT = "report.html"
_TABLES = ("subgroups", "kappa", "panel", "mcnemar", "comparison", "challenge")  # not in every evaluation
_FIGURES = ("bootstrap_auroc", "bootstrap_f1", "subgroups")
_SMALL = {"p": ".2g", "p_holm": ".2g", "p_exact": ".2g", "p_asymptotic": ".2g", "p_corrected": ".2g"}
_AVERAGES = "Macro: mean over labels. Micro: all labels together. Weighted: mean weighted by positives."
_INTERVALS = {
    "auto": "AUROC: score intervals; proportions, F1 and average precision: Wilson's; the others: expanded percentiles "
    "of the bootstrap; averages: from those of the labels (MOVER)",
    "percentile": "percentiles of the bootstrap",
    "expanded": "expanded percentiles of the bootstrap",
    "bca": "bias-corrected and accelerated percentiles of the bootstrap",
}


@dataclasses.dataclass(frozen=True)
class About:
    """What a page states besides the results."""

    title: str  # of the page
    subtitle: str  # one line on what was evaluated
    command: str  # that made it
    models: tuple[str, ...] = ()  # names of the two models that are compared, if any
    facts: tuple[str, ...] = ()  # paragraphs on what was evaluated
    warnings: tuple[str, ...] = ()  # in addition to those of the analysis
    annotators: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # `[N, C]`, points in the curves
    seeds: Sequence[np.ndarray] = ()  # `[N, C]` probabilities from other seeds, whose range the curves show
    challenge: pd.DataFrame | None = None  # the Challenge score, of one row
    extra_scores: Mapping[str, object] = dataclasses.field(default_factory=dict)  # columns to add, a value per row
    learning_curve: Callable[[], Figure] | None = None  # draws it, after a training


def write(
    folder: str,
    analysis: Analysis,
    about: About,
    *,
    figure_files: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Writes the tables (.csv, .json, .tex), the figures (.pdf, .png) and `report.html`, each whole or not at all.

    Args:
        folder: Where to; it is created.
        analysis: The results.
        about: What else the page states.
        figure_files: Write figures as files too; the page has them in any case.
        progress: Called with the number of figures drawn, and of all.

    Returns:
        The files, the page last.
    """
    shown = create_tables(analysis, about.extra_scores, about.models)
    if about.challenge is not None:
        caption = "Score with partial credit for related diagnoses (Reyna et al. 2021), with BCa interval."
        shown["challenge"] = Table("challenge", caption, about.challenge)
    written = _write_tables(folder, shown, analysis)
    pictures = {}
    plans = evaluation_figures.plan(analysis, about.annotators, about.seeds)
    if about.learning_curve:
        plans["learning_curve"] = ("Loss and scores on validation while training.", about.learning_curve)
    for number, (name, (caption, draw)) in enumerate(plans.items()):
        progress(number, len(plans))
        figure = draw()
        figures.stamp(figure, analysis.stamps)
        stamp = "".join(f" {line}." for line in analysis.stamps)
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
        key=_find_key_numbers(analysis),
        stamps=analysis.stamps,
        warnings=(*about.warnings, *analysis.warnings),
        sections=_arrange(analysis, about.facts, shown, pictures),
    )
    path = os.path.join(folder, REPORT)
    html.write_page(path, page)
    _remove_others(folder, written, figure_files)
    return [*written, path]


def _remove_others(folder: str, written: Sequence[str], figure_files: bool) -> None:
    """Removes files of an earlier evaluation that this one lacks: they would seem to belong to this one."""
    stale = [f"{name}{suffix}" for name in _TABLES for suffix in (".csv", ".json", ".tex")]
    if figure_files:
        stale += [f"{name}{suffix}" for name in _FIGURES for suffix in (".pdf", ".png")]
    for path in {os.path.join(folder, name) for name in stale} - set(written):
        if os.path.isfile(path):
            os.remove(path)


def write_tables(folder: str, analysis: Analysis, extra_scores: Mapping[str, object] | None = None) -> list[str]:
    """Writes the tables alone (.csv, .json, .tex); see `write`."""
    return _write_tables(folder, create_tables(analysis, extra_scores or {}), analysis)


def _write_tables(folder: str, shown: Mapping[str, Table], analysis: Analysis) -> list[str]:
    return [path for table in shown.values() for path in tables.write_table(folder, table, analysis.stamps)]


def create_tables(
    analysis: Analysis, extra_scores: Mapping[str, object], models: tuple[str, ...] = ()
) -> dict[str, Table]:
    """The tables, by name, without empty ones."""
    scores = analysis.scores.table.copy()
    for name, values in extra_scores.items():
        scores.insert(scores.columns.get_loc("auroc") + 1, name, values)
    unit = scores_lib.find_units(analysis.predictions, analysis.settings)
    by_patient = "" if unit is None else "; recordings of a patient count together"
    level = f"{100 * analysis.settings.level:g} % intervals"
    thresholds = f"Thresholds: {analysis.thresholds.describe()}."
    confusion = pd.DataFrame(
        [[name, *counts[::-1, ::-1].reshape(-1).tolist()] for name, counts in analysis.confusion.items()],
        columns=["label", "hits", "misses", "false_alarms", "right_rejections"],
    )
    tables_found = [
        Table(
            "scores",
            f"Scores with {level} ({_describe_intervals(analysis.settings)}{by_patient}). {thresholds}",
            scores,
            " ".join((_AVERAGES, *analysis.notes)),
        ),
        Table("confusion", f"Decisions. {thresholds}", confusion),
        Table(
            "calibration",
            "Expected calibration error (ten bins of equally many recordings, or of equal width), and the parts of the "
            "Brier score: miscalibration - resolution + uncertainty + within bins.",
            analysis.calibration,
            formats=dict.fromkeys(analysis.calibration.columns[2:], ".4f"),
        ),
        Table(
            "decision_curves",
            "Net benefit per recording of acting on the probability, and on everyone; acting on no one is worth 0.",
            analysis.decision_curves,
            formats={"model": ".4f", "treat_all": ".4f"},
        ),
        Table(
            "subgroups",
            f"Scores in groups of recordings, and their distance from those of all others, with {level}; p of the "
            "bootstrap, adjusted by Holm over groups and labels.",
            analysis.subgroups,
            thresholds,
            _format_p(analysis.subgroups),
        ),
    ]
    if analysis.kappa is not None and analysis.panel is not None and analysis.mcnemar is not None:
        tables_found += [
            Table(
                "kappa",
                f"Cohen's kappa of every two readers, with {level}{by_patient}.",
                analysis.kappa,
                "Positives: recordings that either calls positive. Prevalence: mean share of both. PABAK: kappa "
                "adjusted for prevalence and bias.",
            ),
            Table("panel", f"Fleiss' kappa of all readers, with {level}{by_patient}.", analysis.panel),
            Table(
                "mcnemar",
                "McNemar's test that two readers err equally often: exact, asymptotic, with continuity correction; the "
                f"exact one adjusted over labels by Holm{by_patient}.",
                analysis.mcnemar,
                formats=_format_p(analysis.mcnemar),
            ),
        ]
    if analysis.comparison is not None and analysis.other_thresholds is not None:
        first, second = models or ("the first model", "the second")
        caption = (
            f"{first} (first) minus {second} (second), with {level}: DeLong's of AUROCs, Newcombe's of recall, "
            f"specificity and accuracy, else of the paired bootstrap; p adjusted over labels by Holm{by_patient}."
        )
        note = (
            f"Thresholds of the first: {analysis.thresholds.describe()}; of the second: "
            f"{analysis.other_thresholds.describe()}."
        )
        tables_found.append(Table("comparison", caption, analysis.comparison, note, _format_p(analysis.comparison)))
    return {table.name: table for table in tables_found if len(table.frame)}


def _format_p(frame: pd.DataFrame) -> dict[str, str]:
    return {name: form for name, form in _SMALL.items() if name in frame}


def _find_key_numbers(analysis: Analysis) -> list[tuple[str, str]]:
    macro = analysis.scores.table.set_index("label").loc[metrics.MACRO]
    kind = "" if len(analysis.predictions.names) == 1 else "macro "
    count = len(analysis.predictions.ids)
    names = {"auroc": "AUROC", "average_precision": "average precision", "f1": "F1"}
    scores = [(cells.show(float(macro[name])), f"{kind}{title}") for name, title in names.items()]
    return [(f"{count:,}", "recording" if count == 1 else "recordings"), *scores]


def _shorten(table: Table) -> Table:
    """Without notes, which the page lists as warnings; metrics by their usual names."""
    frame = table.frame.drop(columns="note", errors="ignore")
    if "metric" in frame:
        frame = frame.assign(metric=frame["metric"].map(create_heading))
    return dataclasses.replace(table, frame=frame)


def _describe_intervals(settings: Settings) -> str:
    return "as Ribeiro et al. 2020 took them from the bootstrap" if settings.legacy else _INTERVALS[settings.interval]


def _arrange(
    analysis: Analysis, facts: tuple[str, ...], shown: Mapping[str, Table], pictures: Mapping[str, html.Figure]
) -> list[html.Section]:
    """Sections of the page, without empty ones."""
    settings, predictions = analysis.settings, analysis.predictions
    named = 0 if predictions.patients is None else len(np.unique(predictions.patients[predictions.patients != ""]))
    patients = f" of {named:,} patients" if named else ""
    count, drawn = len(predictions.ids), f"seed {'123' if settings.legacy else settings.seed}"
    how = (
        f"{count:,} recording{'' if count == 1 else 's'}{patients}. Unknown labels are left out. Thresholds: "
        f"{analysis.thresholds.describe()}. Intervals of {100 * settings.level:g} %: {_describe_intervals(settings)}; "
        f"{settings.resamples:,} resamples, {drawn}."
    )
    ages = f"Ages are cut at {', '.join(map(str, subgroups.AGE_EDGES))} years, other numbers at their quartiles."
    useful = "A model is useful where its curve lies above both acting on everyone and acting on no one."
    # title, paragraphs, tables, figures
    plan: list[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
        ("What was evaluated", (*facts, *analysis.notes, how), (), ()),
        ("Scores", (), ("scores", "challenge"), ("forest", "bootstrap_auroc", "bootstrap_f1")),
        ("Comparison with another model", (), ("comparison",), ()),
        ("Curves", (), (), ("precision_recall", "roc")),
        ("Decisions", (), ("confusion",), ("confusion",)),
        ("Calibration", (), ("calibration",), ("reliability",)),
        ("Net benefit", (useful,), (), ("decision_curves",)),
        ("Agreement between readers", (), ("kappa", "panel", "mcnemar"), ()),
        ("Subgroups", (ages,), ("subgroups",), ("subgroups",)),
        ("Training", (), (), ("learning_curve",)),
    ]
    sections = []
    for title, paragraphs, table_names, figure_names in plan:
        kept_tables = [_shorten(shown[name]) for name in table_names if name in shown]
        kept_figures = [pictures[name] for name in figure_names if name in pictures]
        if kept_tables or kept_figures or title == "What was evaluated":
            sections.append(html.Section(title, paragraphs, kept_tables, kept_figures))
    return sections
