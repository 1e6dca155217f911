"""Two models on the same recordings: differences with intervals, and tests, label by label."""

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError
from ecg_jax.evaluation import agreement, delong, intervals, metrics, resampling, scores, tally
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds

COLUMNS = [
    "label",
    "metric",
    "first",
    "second",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "test",
    "p_holm",
]


def compare(
    first: Predictions,
    second: Predictions,
    thresholds: tuple[Thresholds, Thresholds],
    settings: Settings,
) -> pd.DataFrame:
    """Compares two models.

    Intervals are of the paired bootstrap: both models are scored on the same resamples. Where
    recordings are drawn one by one, AUROCs are compared by DeLong's test and interval. The last
    metric, `accuracy`, counts right decisions, compared by McNemar's exact test.

    Args:
        first: Predictions of one model.
        second: Of another, of the same recordings and labels in the same order.
        thresholds: Of the first and of the second.
        settings: See `Settings`.

    Returns:
        `COLUMNS`, one row per label, or `macro`, and metric; `difference` is first minus second, and
        `p_holm` is adjusted over the labels of a metric.

    Raises:
        InputError: when the recordings, labels or truths differ.
    """
    if first.names != second.names or not np.array_equal(first.ids, second.ids):
        raise InputError("two models are compared on the same recordings and labels; these differ")
    if not np.array_equal(first.labels, second.labels, equal_nan=True):
        raise InputError("two models are compared with the same truth; these labels differ")
    names, labels = metrics.list_metrics(settings), first.labels.astype(np.float64)
    called = [scores.decide(each, chosen) for each, chosen in zip((first, second), thresholds, strict=True)]
    design = scores.create_design(first, settings)
    pairs = [
        [(labels[:, i], each.probabilities[:, i], calls[:, i]) for i in range(labels.shape[1])]
        for each, calls in zip((first, second), called, strict=True)
    ]
    found = np.array([[[*metrics.compute(*column, settings).values()] for column in columns] for columns in pairs])
    found = _add_macro(found)
    drawn = _resample_differences(pairs, names, design, settings)
    low, high = intervals.compute_percentile(drawn.reshape(-1, drawn.shape[-1]), settings.level)
    low, high = low.reshape(found.shape[1:]), high.reshape(found.shape[1:])
    p = intervals.compute_p(drawn.reshape(-1, drawn.shape[-1])).reshape(found.shape[1:])
    rows = []
    for i, label in enumerate((*first.names, metrics.MACRO)):
        for j, name in enumerate(names):
            one, two = found[:, i, j]
            row = [label, name, one, two, one - two, low[i, j], high[i, j], p[i, j], "bootstrap"]
            if name == "auroc" and label != metrics.MACRO and design.units == len(first.ids):
                known = ~np.isnan(labels[:, i])
                test = delong.compare(
                    labels[known, i] > 0.5,
                    first.probabilities[known, i],
                    second.probabilities[known, i],
                    level=settings.level,
                )
                row[5:] = [test.low, test.high, test.p, "DeLong"]
            rows.append(row)
        if label != metrics.MACRO:
            rows.append(_compare_accuracy(label, labels[:, i], called[0][:, i], called[1][:, i]))
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    table["p_holm"] = np.nan
    for _, part in table[table["label"] != metrics.MACRO].groupby("metric", sort=False):
        table.loc[part.index, "p_holm"] = agreement.adjust_holm(part["p"].to_numpy())
    return table


def _add_macro(values: np.ndarray) -> np.ndarray:
    """`[2, C, metrics]` and their mean over labels where both models have a score."""
    both = np.where(np.isnan(values).any(axis=0), np.nan, values)
    return np.concatenate([values, np.stack([metrics.average(each) for each in both])[:, None]], axis=1)


def _resample_differences(
    pairs: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]],
    names: tuple[str, ...],
    design: resampling.Design,
    settings: Settings,
) -> np.ndarray:
    """First minus second of every resample, `[C + 1, metrics, R]`."""
    tallies = [[tally.create(*column) for column in columns] for columns in pairs]

    def statistic(weights: np.ndarray) -> np.ndarray:
        parts = [[tally.compute_scores(each, weights, settings) for each in model] for model in tallies]
        values = np.array([[[part[name] for name in names] for part in model] for model in parts])
        difference = values[0] - values[1]
        return np.concatenate([difference, metrics.average(difference)[None]]).reshape(-1, weights.shape[1])

    if not settings.resamples:
        return np.full((len(pairs[0]) + 1, len(names), 1), np.nan)
    drawn = resampling.resample(statistic, design, settings.resamples, settings.seed)
    return drawn.reshape(len(pairs[0]) + 1, len(names), -1)


def _compare_accuracy(name: str, label: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[object]:
    known = ~np.isnan(label)
    right_first, right_second = first[known] == (label[known] > 0.5), second[known] == (label[known] > 0.5)
    if not known.any():
        return [name, "accuracy", *[np.nan] * 6, "McNemar"]
    only_first, only_second = int(np.sum(right_first & ~right_second)), int(np.sum(right_second & ~right_first))
    p = agreement.compute_mcnemar(only_first, only_second)
    one, two = float(np.mean(right_first)), float(np.mean(right_second))
    return [name, "accuracy", one, two, one - two, np.nan, np.nan, p, "McNemar"]
