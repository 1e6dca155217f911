"""The figures of an evaluation: the caption and the drawing of each."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ecg_jax.evaluation import metrics
from ecg_jax.evaluation.agreement import count_pairs
from ecg_jax.evaluation.analysis import AS_PREDICTED, Analysis
from ecg_jax.evaluation.calibration import Reliability
from ecg_jax.reporting import curves, forest, predictor_figures, reliability
from ecg_jax.reporting.cells import create_heading

_PANELS, _FOREST = 12, 6  # labels that are drawn: those of most positives


def plan(
    analysis: Analysis, annotators: Mapping[str, np.ndarray], seeds: Sequence[np.ndarray] = ()
) -> dict[str, tuple[str, Callable[[], Figure]]]:
    """Caption of each figure, and what draws it, by name; see `evaluation_report.Additions` for the arguments."""
    chosen = _choose_labels(analysis)
    some = "" if len(chosen) == len(analysis.predictions.names) else f" The {_PANELS} labels of most positives."
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
            lambda: curves.draw_precision_recall(
                [_plot_precision_recall(analysis, i, points[i][0], seeds) for i in chosen]
            ),
        ),
        "roc": (
            f"Receiver operating characteristic.{some}",
            lambda: curves.draw_roc([_plot_roc(analysis, i, points[i][1], table) for i in chosen]),
        ),
        "confusion": (
            f"Decisions; the shade is the per cent of the row.{some}",
            lambda: predictor_figures.draw_confusion(_list_matrices(analysis, annotators, chosen)),
        ),
        "reliability": (
            "Share of positives against mean probability, in ten bins of equal width, with Wilson "
            f"intervals; below, how often each probability occurs.{some}",
            lambda: reliability.draw_reliability([_plot_reliability(analysis, i) for i in chosen]),
        ),
        "decision_curves": (
            f"Decision curves: net benefit per recording by the probability from which one acts.{some}",
            lambda: curves.draw_decision_curves([_plot_decisions(analysis, i) for i in chosen]),
        ),
    }
    if analysis.scores.samples.shape[-1] and len(chosen) > 1:  # a single box says no more than its interval
        for name in ("auroc", "f1"):
            plans[f"bootstrap_{name}"] = (
                f"{create_heading(name)} of {analysis.settings.resamples:,} resamples.{some}",
                functools.partial(_draw_boxes, analysis, chosen, name),
            )
    if len(analysis.subgroups):
        plans["subgroups"] = (
            f"AUROC in groups of recordings (at most {_FOREST} labels: those of most positives).",
            lambda: forest.draw_forest(
                _list_subgroups(analysis, _choose_labels(analysis, _FOREST)),
                axis_label="AUROC",
                count_label="Positives",
                value_label="AUROC",
            ),
        )
    return plans


def _draw_boxes(analysis: Analysis, chosen: list[int], metric: str) -> Figure:
    place = metrics.list_metrics(analysis.settings).index(metric)
    labels = [analysis.predictions.names[i] for i in chosen]
    samples = {"network": analysis.scores.samples[chosen][:, place]}
    return predictor_figures.draw_bootstrap_boxes(samples, labels, create_heading(metric))


def _choose_labels(analysis: Analysis, most: int = _PANELS) -> list[int]:
    """Numbers of the labels with most positives, in their order."""
    positives = np.nansum(analysis.predictions.labels, axis=0)
    return sorted(np.argsort(-positives, kind="stable")[:most].tolist())


def _column(analysis: Analysis, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, ranking numbers and calls of a label, where it is known."""
    predictions = analysis.predictions
    known = ~np.isnan(predictions.labels[:, i])
    called = predictions.probabilities >= analysis.thresholds.values
    return predictions.labels[known, i] > 0.5, predictions.ranking[known, i], called[known, i]


def _place(truth: np.ndarray, called: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Recall and precision, and false and true positive rate, of decisions."""
    hits, alarms, misses, rejections = metrics.count_outcomes(truth.astype(np.float64), called)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = np.divide(hits, hits + misses), np.divide(hits, hits + alarms)
        return (float(recall), float(precision)), (float(np.divide(alarms, alarms + rejections)), float(recall))


def _place_readers(
    analysis: Analysis, annotators: Mapping[str, np.ndarray], i: int
) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    """The readers' recall and precision, and false and true positive rates, of a label."""
    label = analysis.predictions.labels[:, i]
    recall, rates = {}, {}
    for name, readings in annotators.items():
        known = ~np.isnan(label) & ~np.isnan(readings[:, i])
        recall[name], rates[name] = _place(label[known] > 0.5, readings[known, i] > 0.5)
    return recall, rates


def _plot_precision_recall(
    analysis: Analysis, i: int, points: Mapping[str, tuple[float, float]], seeds: Sequence[np.ndarray]
) -> curves.PrecisionRecall:
    truth, score, called = _column(analysis, i)
    name, empty = analysis.predictions.names[i], np.empty(0)
    if not truth.any():
        return curves.PrecisionRecall(name, empty, empty, np.nan, np.nan)
    precision, recall, _ = precision_recall_curve(truth, score)
    band = None
    if seeds:
        known = ~np.isnan(analysis.predictions.labels[:, i])
        grid, every = np.linspace(0, 1, 201), np.stack([score, *(values[known, i] for values in seeds)])
        band = (grid, *metrics.compute_precision_range(truth, every, grid))
    average = analysis.scores.table.set_index("label").loc[name, "average_precision"]
    return curves.PrecisionRecall(
        name, recall, precision, average, float(truth.mean()), band, _place(truth, called)[0], points
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


def _plot_reliability(analysis: Analysis, i: int) -> reliability.ReliabilityPanel:
    name = analysis.predictions.names[i]
    label = analysis.predictions.labels[:, i]
    known = ~np.isnan(label)
    series = analysis.reliability[name]
    if not (label == 1).any():
        series = {AS_PREDICTED: Reliability(*[np.empty(0)] * 5)}
    return reliability.ReliabilityPanel(name, series, analysis.predictions.probabilities[known, i])


def _plot_decisions(analysis: Analysis, i: int) -> curves.DecisionCurve:
    name = analysis.predictions.names[i]
    table = analysis.decision_curves[analysis.decision_curves["label"] == name]
    columns = (table[key].to_numpy() for key in ("threshold", "model", "treat_all"))
    return curves.DecisionCurve(name, *columns)


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
