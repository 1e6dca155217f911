"""What an evaluation leaves: tables, figures, and one page that shows both."""

import dataclasses
import datetime
import functools
import os
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ecg_jax.evaluation import metrics, subgroups
from ecg_jax.evaluation.agreement import count_pairs
from ecg_jax.evaluation.analysis import AS_PREDICTED, Analysis
from ecg_jax.reporting import comparisons, curves, decision, figures, forest, html, reliability, tables
from ecg_jax.reporting.cells import create_heading
from ecg_jax.reporting.tables import Table

REPORT = "report.html"
PANELS = 12  # labels that are drawn: those of most positives
_SMALL = {"p": ".2g", "p_holm": ".2g", "p_exact": ".2g", "p_asymptotic": ".2g", "p_corrected": ".2g"}
_INTERVALS = {
    "auto": "AUROC: score intervals; proportions and F1: Wilson's; the others: expanded percentiles of the bootstrap",
    "percentile": "percentiles of the bootstrap",
    "expanded": "expanded percentiles of the bootstrap",
    "bca": "bias-corrected and accelerated percentiles of the bootstrap",
}


def write(
    folder: str,
    analysis: Analysis,
    *,
    title: str,
    subtitle: str,
    command: str,
    facts: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
    annotators: Mapping[str, np.ndarray] | None = None,
    extra_scores: Mapping[str, object] | None = None,
    learning_curve: Callable[[], Figure] | None = None,
    figure_files: bool = True,
) -> list[str]:
    """Writes the tables (.csv, .json, .tex), the figures (.pdf, .png) and `report.html`, each whole or not at all.

    Args:
        folder: Where to; it is made.
        analysis: What was found.
        title: Of the page.
        subtitle: One line on what was evaluated.
        command: That made it.
        facts: Paragraphs that say what was evaluated.
        warnings: Besides those of the analysis.
        annotators: `[N, C]` readings by reader, which the curves show as points.
        extra_scores: Columns to add to the table of scores, one value per row.
        learning_curve: Draws one, where there was a training.
        figure_files: Write figures as files too; the page has them in any case.

    Returns:
        The files, the page last.
    """
    os.makedirs(folder, exist_ok=True)
    shown = create_tables(analysis, extra_scores or {})
    written = [path for table in shown.values() for path in tables.write_table(folder, table, analysis.stamps)]
    pictures = {}
    plans = plan_figures(analysis, annotators or {})
    if learning_curve:
        plans["learning_curve"] = ("Loss and scores on validation while training.", learning_curve)
    for name, (caption, draw) in plans.items():
        figure = draw()
        stamp = "".join(f" {line}." for line in analysis.stamps)
        pictures[name] = html.Figure(f"figure_{name}", caption + stamp, figures.encode(figure))
        if figure_files:
            written += figures.write(figure, os.path.join(folder, name))
        else:
            figures.close(figure)
    page = html.Page(
        title=title,
        subtitle=subtitle,
        command=command,
        date=datetime.date.today().isoformat(),
        key=_find_key_numbers(analysis),
        stamps=analysis.stamps,
        warnings=(*warnings, *analysis.warnings),
        sections=_arrange(analysis, facts, shown, pictures),
    )
    path = os.path.join(folder, REPORT)
    html.write_page(path, page)
    return [*written, path]


def create_tables(analysis: Analysis, extra_scores: Mapping[str, object]) -> dict[str, Table]:
    """The tables, by name; those that say nothing are left out."""
    scores = analysis.scores.table.copy()
    for name, values in extra_scores.items():
        scores.insert(scores.columns.get_loc("auroc") + 1, name, values)
    level = f"{100 * analysis.settings.level:g} % intervals"
    thresholds = f"Thresholds: {analysis.thresholds.describe()}."
    confusion = pd.DataFrame(
        [[name, *counts[::-1, ::-1].reshape(-1).tolist()] for name, counts in analysis.confusion.items()],
        columns=["label", "hits", "misses", "false_alarms", "right_rejections"],
    )
    found = {
        "scores": Table(
            "scores",
            f"Scores with {level} ({_INTERVALS[analysis.settings.interval]}). {thresholds}",
            scores,
            "Macro: mean over labels. Micro: all labels together. Weighted: mean weighted by positives.",
        ),
        "confusion": Table("confusion", f"Decisions. {thresholds}", confusion),
        "calibration": Table(
            "calibration",
            "Expected calibration error (ten bins of equally many recordings, or of equal width), and the parts of the "
            "Brier score: miscalibration - resolution + uncertainty + within bins.",
            analysis.calibration,
            formats=dict.fromkeys(analysis.calibration.columns[2:], ".4f"),
        ),
        "decision_curves": Table(
            "decision_curves",
            "Net benefit per recording of acting on the probability, and on everyone; acting on no one is worth 0.",
            analysis.decision_curves,
            formats={"model": ".4f", "treat_all": ".4f"},
        ),
        "subgroups": Table(
            "subgroups",
            f"Scores in groups of recordings, and their distance from those of all others, with {level}; p of the "
            "bootstrap, adjusted by Holm over groups and labels.",
            analysis.subgroups,
            thresholds,
            _format_p(analysis.subgroups),
        ),
    }
    if analysis.kappa is not None and analysis.panel is not None and analysis.mcnemar is not None:
        found["kappa"] = Table("kappa", f"Cohen's kappa of every two readers, with {level}.", analysis.kappa)
        found["panel"] = Table("panel", f"Fleiss' kappa of all readers, with {level}.", analysis.panel)
        found["mcnemar"] = Table(
            "mcnemar",
            "McNemar's test that two readers err equally often: exact, asymptotic, with continuity correction; the "
            "exact one adjusted over labels by Holm.",
            analysis.mcnemar,
            formats=_format_p(analysis.mcnemar),
        )
    if analysis.comparison is not None:
        found["comparison"] = Table(
            "comparison",
            f"First minus second model, with {level} of the paired bootstrap, or DeLong's; p adjusted over labels by "
            "Holm.",
            analysis.comparison,
            thresholds,
            _format_p(analysis.comparison),
        )
    return {name: table for name, table in found.items() if len(table.frame)}


def _format_p(frame: pd.DataFrame) -> dict[str, str]:
    return {name: form for name, form in _SMALL.items() if name in frame}


def plan_figures(
    analysis: Analysis, annotators: Mapping[str, np.ndarray]
) -> dict[str, tuple[str, Callable[[], Figure]]]:
    """Caption of each figure, and what draws it, by name."""
    chosen = _choose_labels(analysis)
    some = "" if len(chosen) == len(analysis.predictions.names) else f" The {PANELS} labels of most positives."
    table = analysis.scores.table.set_index("label")
    points = {i: _place_readers(analysis, annotators, i) for i in chosen}
    plans: dict[str, tuple[str, Callable[[], Figure]]] = {
        "forest": (
            f"Scores with {100 * analysis.settings.level:g} % intervals.{some}",
            lambda: forest.draw_forest(
                _list_scores(analysis, chosen), axis_label="Score", count_label="Positives", value_label="Score"
            ),
        ),
        "precision_recall": (
            "Precision (positive predictive value, PPV) and recall; AP: average precision; grey lines: equal F1."
            + some,
            lambda: curves.draw_precision_recall([_plot_precision_recall(analysis, i, points[i][0]) for i in chosen]),
        ),
        "roc": (
            f"Receiver operating characteristic.{some}",
            lambda: curves.draw_roc([_plot_roc(analysis, i, points[i][1], table) for i in chosen]),
        ),
        "confusion": (
            f"Decisions; the shade is the per cent of the row.{some}",
            lambda: comparisons.draw_confusion(_list_matrices(analysis, annotators, chosen)),
        ),
        "reliability": (
            "Share of positives against mean probability, in ten bins of equally many recordings, with Wilson "
            f"intervals; below, how often each probability occurs.{some}",
            lambda: reliability.draw_reliability([_plot_reliability(analysis, i) for i in chosen]),
        ),
        "decision_curves": (
            f"Decision curves: net benefit per recording by the probability from which one acts.{some}",
            lambda: decision.draw_decision_curves([_plot_decisions(analysis, i) for i in chosen]),
        ),
    }
    if analysis.scores.samples.shape[-1]:
        for name in ("auroc", "f1"):
            plans[f"bootstrap_{name}"] = (
                f"{create_heading(name)} of {analysis.settings.resamples:,} resamples.{some}",
                functools.partial(_draw_boxes, analysis, chosen, name),
            )
    if len(analysis.subgroups):
        plans["subgroups"] = (
            "AUROC in groups of recordings, macro mean over labels that are defined there, and of each label.",
            lambda: forest.draw_forest(
                _list_subgroups(analysis, chosen), axis_label="AUROC", count_label="Positives", value_label="AUROC"
            ),
        )
    return plans


def _draw_boxes(analysis: Analysis, chosen: list[int], metric: str) -> Figure:
    place = metrics.list_metrics(analysis.settings).index(metric)
    labels = [analysis.predictions.names[i] for i in chosen]
    samples = {"network": analysis.scores.samples[chosen][:, place]}
    return comparisons.draw_bootstrap_boxes(samples, labels, create_heading(metric))


def _choose_labels(analysis: Analysis) -> list[int]:
    """Numbers of the labels that are drawn, in their order."""
    positives = np.nansum(analysis.predictions.labels, axis=0)
    return sorted(np.argsort(-positives, kind="stable")[:PANELS].tolist())


def _column(analysis: Analysis, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, probabilities and calls of a label, where it is known."""
    predictions = analysis.predictions
    known = ~np.isnan(predictions.labels[:, i])
    called = predictions.probabilities >= analysis.thresholds.values
    return predictions.labels[known, i] > 0.5, predictions.probabilities[known, i], called[known, i]


def _place(truth: np.ndarray, called: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Recall and precision, and false and true positive rate, of decisions."""
    hits, alarms, misses, rejections = metrics.count_outcomes(truth.astype(np.float64), called)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = np.divide(hits, hits + misses), np.divide(hits, hits + alarms)
        return (float(recall), float(precision)), (float(np.divide(alarms, alarms + rejections)), float(recall))


def _place_readers(
    analysis: Analysis, annotators: Mapping[str, np.ndarray], i: int
) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    """The readers' points in both planes, of a label."""
    label = analysis.predictions.labels[:, i]
    recall, rates = {}, {}
    for name, readings in annotators.items():
        known = ~np.isnan(label) & ~np.isnan(readings[:, i])
        recall[name], rates[name] = _place(label[known] > 0.5, readings[known, i] > 0.5)
    return recall, rates


def _plot_precision_recall(
    analysis: Analysis, i: int, points: Mapping[str, tuple[float, float]]
) -> curves.PrecisionRecall:
    truth, score, called = _column(analysis, i)
    name, empty = analysis.predictions.names[i], np.empty(0)
    if not truth.any():
        return curves.PrecisionRecall(name, empty, empty, np.nan, np.nan)
    precision, recall, _ = precision_recall_curve(truth, score)
    average = analysis.scores.table.set_index("label").loc[name, "average_precision"]
    return curves.PrecisionRecall(
        name, recall, precision, average, float(truth.mean()), chosen=_place(truth, called)[0], annotators=points
    )


def _plot_roc(analysis: Analysis, i: int, points: Mapping[str, tuple[float, float]], table: pd.DataFrame) -> curves.Roc:
    truth, score, called = _column(analysis, i)
    name, empty = analysis.predictions.names[i], np.empty(0)
    if not truth.any() or truth.all():
        return curves.Roc(name, empty, empty, np.nan)
    alarms, hits, _ = roc_curve(truth, score)
    row = table.loc[name]
    interval = (row["auroc_low"], row["auroc_high"]) if "auroc_low" in table else None
    return curves.Roc(name, alarms, hits, row["auroc"], interval, chosen=_place(truth, called)[1], annotators=points)


def _plot_reliability(analysis: Analysis, i: int) -> reliability.Reliability:
    name = analysis.predictions.names[i]
    truth, score, _ = _column(analysis, i)
    series = {
        kind: reliability.ReliabilityCurve(curve.predicted, curve.observed, curve.low, curve.high, curve.count)
        for kind, curve in analysis.reliability[name].items()
    }
    if not truth.any():
        empty = np.empty(0)
        series = {AS_PREDICTED: reliability.ReliabilityCurve(empty, empty, empty, empty, empty)}
    return reliability.Reliability(name, series, score)


def _plot_decisions(analysis: Analysis, i: int) -> decision.DecisionCurve:
    name = analysis.predictions.names[i]
    table = analysis.decision_curves[analysis.decision_curves["label"] == name]
    columns = (table[key].to_numpy() for key in ("threshold", "model", "treat_all"))
    return decision.DecisionCurve(name, *columns)


def _list_matrices(
    analysis: Analysis, annotators: Mapping[str, np.ndarray], chosen: list[int]
) -> dict[str, dict[str, np.ndarray]]:
    names, labels = analysis.predictions.names, analysis.predictions.labels
    return {
        names[i]: {"network": analysis.confusion[names[i]]}
        | {reader: count_pairs(labels[:, i], readings[:, i]) for reader, readings in annotators.items()}
        for i in chosen
    }


def _list_scores(analysis: Analysis, chosen: list[int]) -> list[forest.ForestRow]:
    """A heading per metric, then labels and averages."""
    table = analysis.scores.table.set_index("label")
    shown = [analysis.predictions.names[i] for i in chosen]
    shown += [name for name in table.index if name not in analysis.predictions.names]
    rows = []
    for metric in ("auroc", "average_precision", "f1"):
        rows.append(forest.ForestRow(create_heading(metric), is_heading=True))
        for name in shown:
            row = table.loc[name]
            ends = (row.get(f"{metric}_low", np.nan), row.get(f"{metric}_high", np.nan))
            rows.append(forest.ForestRow(name, row[metric], *ends, count=f"{row['positives']:,}"))
    return rows


def _list_subgroups(analysis: Analysis, chosen: list[int]) -> list[forest.ForestRow]:
    """A heading per label and column, then its groups."""
    table = analysis.subgroups[analysis.subgroups["metric"] == "auroc"]
    rows = []
    for i in chosen:
        name = analysis.predictions.names[i]
        for column, part in table[table["label"] == name].groupby("column", sort=False):
            if part["value"].notna().any():
                rows.append(forest.ForestRow(f"{name}, by {column}", is_heading=True))
                for row in part[part["value"].notna()].itertuples():
                    rows.append(
                        forest.ForestRow(row.group, row.value, row.value_low, row.value_high, f"{row.positives:,}")
                    )
    return rows or [forest.ForestRow("no group has both classes", is_heading=True)]


def _find_key_numbers(analysis: Analysis) -> list[tuple[str, str]]:
    macro = analysis.scores.table.set_index("label").loc[metrics.MACRO]
    one = len(analysis.predictions.names) == 1

    def show(name: str) -> str:
        return "–" if np.isnan(macro[name]) else f"{macro[name]:.3f}"

    kind = "" if one else "macro "
    return [
        (f"{len(analysis.predictions.ids):,}", "recordings"),
        (show("auroc"), f"{kind}AUROC"),
        (show("average_precision"), f"{kind}average precision"),
        (show("f1"), f"{kind}F1"),
    ]


def _shorten(table: Table) -> Table:
    """Without notes, which the page lists as warnings."""
    return dataclasses.replace(table, frame=table.frame.drop(columns="note", errors="ignore"))


def _arrange(
    analysis: Analysis, facts: tuple[str, ...], shown: Mapping[str, Table], pictures: Mapping[str, html.Figure]
) -> list[html.Section]:
    """Sections of the page; what is not there is left out."""
    settings, predictions = analysis.settings, analysis.predictions
    patients = "" if predictions.patients is None else f" of {len(np.unique(predictions.patients)):,} patients"
    how = (
        f"{len(predictions.ids):,} recordings{patients}. Unknown labels are left out. Thresholds: "
        f"{analysis.thresholds.describe()}. Intervals of {100 * settings.level:g} %: {_INTERVALS[settings.interval]}; "
        f"{settings.resamples:,} resamples, seed {settings.seed}."
    )
    plan: list[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
        ("What was evaluated", (*facts, how), (), ()),
        ("Scores", (), ("scores",), ("forest", "bootstrap_auroc", "bootstrap_f1")),
        ("Comparison with another model", (), ("comparison",), ()),
        ("Curves", (), (), ("precision_recall", "roc")),
        ("Decisions", (), ("confusion",), ("confusion",)),
        ("Calibration", (), ("calibration",), ("reliability",)),
        (
            "Net benefit",
            ("A model is useful where its curve lies above both acting on everyone and acting on no one.",),
            (),
            ("decision_curves",),
        ),
        ("Agreement between readers", (), ("kappa", "panel", "mcnemar"), ()),
        (
            "Subgroups",
            (f"Ages are cut at {', '.join(map(str, subgroups.AGE_EDGES))} years, other numbers at their quartiles.",),
            ("subgroups",),
            ("subgroups",),
        ),
        ("Training", (), (), ("learning_curve",)),
    ]
    sections = []
    for title, paragraphs, table_names, figure_names in plan:
        kept_tables = [_shorten(shown[name]) for name in table_names if name in shown]
        kept_figures = [pictures[name] for name in figure_names if name in pictures]
        if kept_tables or kept_figures or title == "What was evaluated":
            sections.append(html.Section(title, paragraphs, kept_tables, kept_figures))
    return sections
