"""Two models on the same recordings: differences with intervals, and tests, label by label."""

import itertools

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError
from ecg_jax.evaluation import (
    agreement,
    auroc_intervals,
    bootstrap_intervals,
    closed_intervals,
    metrics,
    moments,
    regression,
    resampling,
    scores,
    tally,
)
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.scores import Column
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds

_ENDS = ("difference_low", "difference_high")
COLUMNS = ["label", "metric", "first", "second", "difference", *_ENDS, "p", "test", "p_holm"]

NUMBER_METRICS = ("mae", "rmse", "r2")


def compare(
    first: Predictions, second: Predictions, thresholds: tuple[Thresholds, Thresholds], settings: Settings
) -> pd.DataFrame:
    """Compares two models on the same recordings and labels in the same order; `InputError` if these differ.

    Intervals are of the paired bootstrap: both models are scored on the same resamples. AUROCs of a label are compared
    by DeLong's test and interval (`auroc_intervals.compare`). How often decisions are right, of the positives
    (`recall`), of the negatives (`specificity`) and of all (the last metric, `accuracy`), is compared by McNemar's
    exact test (`agreement.compare_right`) and Newcombe's interval (`closed_intervals.find_difference`). Where patients
    are drawn, all of these count patients.

    Returns:
        `COLUMNS`, one row per label, or `macro`, and metric; `difference` is first minus second, and
        `p_holm` is adjusted over the labels of a metric.
    """
    _require_same(first, second)
    names, size = metrics.list_metrics(settings), len(first.ids)
    models = [scores.list_labels(each, chosen) for each, chosen in zip((first, second), thresholds, strict=True)]
    tallies = [[each.create_tally(size) for each in columns] for columns in models]
    found = np.stack([tally.stack_scores(each, names, np.ones((size, 1)), settings)[..., 0] for each in tallies])
    both = np.where(np.isnan(found).any(axis=0), np.nan, found)  # macro is over labels where both have a score
    found = np.concatenate([found, np.stack([metrics.average(each) for each in both])[:, None]], axis=1)
    drawn = _resample_differences(tallies, names, scores.create_design(first, settings), settings)
    bootstrap = np.stack(
        [*bootstrap_intervals.compute_percentile(drawn, settings.level), bootstrap_intervals.compute_p(drawn)], axis=1
    )
    unit, rows = scores.find_units(first, settings), []
    for i, label in enumerate((*first.names, metrics.MACRO)):
        pair = None if label == metrics.MACRO else (models[0][i], models[1][i])
        tests = _test_label(*pair, unit, settings.level) if pair else {}
        for j, name in enumerate(names):
            one, two = found[:, i, j]
            rest = tests.get(name, [*bootstrap[i * len(names) + j], "bootstrap"])
            rows.append([label, name, one, two, one - two, *rest])
        if pair:
            right = [_measure_accuracy(column) for column in pair]
            rows.append([label, "accuracy", *right, right[0] - right[1], *tests["accuracy"]])
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    return _adjust(table, table["p"].where(table["label"] != metrics.MACRO))


def compare_numbers(first: Predictions, second: Predictions, settings: Settings) -> pd.DataFrame:
    """Two models that predict numbers, on the same recordings and labels in the same order; else as `compare`.

    All intervals and p values are of the paired bootstrap; the metrics are `NUMBER_METRICS`.
    """
    _require_same(first, second)
    models, size = [regression.create_moments(each) for each in (first, second)], len(first.ids)

    def statistic(weights: np.ndarray) -> np.ndarray:
        one, two = (
            np.concatenate([moments.measure(each, weights, NUMBER_METRICS) for each in labels]) for labels in models
        )
        return np.stack([one, two, one - two])

    found = statistic(np.ones((size, 1)))[..., 0].T
    drawn = np.full((len(found), 1), np.nan)
    if settings.resamples:
        design = regression.create_design(first, settings)
        drawn = resampling.resample(lambda weights: statistic(weights)[2], design, settings.resamples, settings.seed)
    ends, p = bootstrap_intervals.compute_percentile(drawn, settings.level), bootstrap_intervals.compute_p(drawn)
    places = itertools.product(first.names, NUMBER_METRICS)
    rows = [[*place, *values, *rest, "bootstrap"] for place, values, *rest in zip(places, found, *ends, p, strict=True)]
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    return _adjust(table, table["p"])


def _require_same(first: Predictions, second: Predictions) -> None:
    if first.names != second.names or not np.array_equal(first.ids, second.ids):
        raise InputError("two models are compared on the same recordings and labels; these differ")
    if not np.array_equal(first.labels, second.labels, equal_nan=True):
        raise InputError("two models are compared with the same truth; these labels differ")


def _adjust(table: pd.DataFrame, p: pd.Series) -> pd.DataFrame:
    """Adds `p_holm`, over the labels of a metric."""
    return table.assign(p_holm=p.groupby(table["metric"]).transform(agreement.adjust_holm))


def _measure_accuracy(column: Column) -> float:
    known = ~np.isnan(column.label)
    return float(np.mean(column.called[known] == (column.label[known] > 0.5))) if known.any() else np.nan


def _resample_differences(
    tallies: list[list[tally.Tally]], names: tuple[str, ...], design: resampling.Design, settings: Settings
) -> np.ndarray:
    """First minus second of every resample, `[(C + 1) * metrics, R]`."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        one, two = (tally.stack_scores(each, names, weights, settings) for each in tallies)
        return np.concatenate([one - two, metrics.average(one - two)[None]]).reshape(-1, weights.shape[1])

    if not settings.resamples:
        return np.full(((len(tallies[0]) + 1) * len(names), 1), np.nan)
    return resampling.resample(statistic, design, settings.resamples, settings.seed)


def _test_label(first: Column, second: Column, unit: np.ndarray | None, level: float) -> dict[str, list[object]]:
    """What needs no resampling: the ends of the interval, p and the name of the test, by metric."""
    label, known = first.label, ~np.isnan(first.label)
    members = None if unit is None else unit[known]
    test = auroc_intervals.compare(
        label[known] > 0.5, first.ranking[known], second.ranking[known], members, level=level
    )
    found: dict[str, list[object]] = {"auroc": [test.low, test.high, test.p, "DeLong"]}
    is_same = np.array_equal(first.ranking, second.ranking) and np.array_equal(first.called, second.called)
    for name, chosen in {"recall": label == 1, "specificity": label == 0, "accuracy": known}.items():
        if not chosen.any():
            found[name] = [np.nan, np.nan, np.nan, "McNemar"]
        elif is_same:  # there is nothing to estimate
            found[name] = [0.0, 0.0, 1.0, "McNemar"]
        else:
            one, two = (each.called[chosen] == (label[chosen] > 0.5) for each in (first, second))
            members = None if unit is None else unit[chosen]
            ends = closed_intervals.find_difference(one, two, members, level)
            found[name] = [*ends, agreement.compare_right(one, two, members), "McNemar"]
    return found
