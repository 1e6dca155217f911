"""Two models on the same recordings: differences with intervals, and tests, label by label."""

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError
from ecg_jax.evaluation import agreement, delong, intervals, metrics, paired_shares, resampling, scores, tally
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

    Intervals are of the paired bootstrap: both models are scored on the same resamples. AUROCs of a label are
    compared by DeLong's test and interval, which count patients where these are drawn (`delong.compare`). How often
    decisions are right, of the positives (`recall`), of the negatives (`specificity`) and of all (the last metric,
    `accuracy`), is compared by McNemar's exact test (`agreement.compare_right`) and Newcombe's interval
    (`paired_shares`), which count patients too.

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
    design, unit = scores.create_design(first, settings), scores.find_units(first, settings)
    ranking = [first.ranking, second.ranking]
    tallies = [
        [
            tally.create(labels[:, i], each.probabilities[:, i], calls[:, i], ranking=ranks[:, i])
            for i in range(labels.shape[1])
        ]
        for each, calls, ranks in zip((first, second), called, ranking, strict=True)
    ]
    found = _score(tallies, np.ones((len(labels), 1)), names, settings)[..., 0]
    found = _add_macro(found)
    drawn = _resample_differences(tallies, names, design, settings)
    low, high = intervals.compute_percentile(drawn.reshape(-1, drawn.shape[-1]), settings.level)
    low, high = low.reshape(found.shape[1:]), high.reshape(found.shape[1:])
    p = intervals.compute_p(drawn.reshape(-1, drawn.shape[-1])).reshape(found.shape[1:])
    rows = []
    for i, label in enumerate((*first.names, metrics.MACRO)):
        tests = {}
        if label != metrics.MACRO:
            ranks, calls = ([values[:, i] for values in pair] for pair in (ranking, called))
            tests = _test_label(labels[:, i], ranks, calls, unit, settings.level)
        for j, name in enumerate(names):
            one, two = found[:, i, j]
            rest = tests.get(name, [low[i, j], high[i, j], p[i, j], "bootstrap"])
            rows.append([label, name, one, two, one - two, *rest])
        if tests:
            known = ~np.isnan(labels[:, i])
            right = [np.mean(each[known] == (labels[known, i] > 0.5)) if known.any() else np.nan for each in calls]
            rows.append([label, "accuracy", *right, right[0] - right[1], *tests["accuracy"]])
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    table["p_holm"] = np.nan
    for _, part in table[table["label"] != metrics.MACRO].groupby("metric", sort=False):
        table.loc[part.index, "p_holm"] = agreement.adjust_holm(part["p"].to_numpy())
    return table


def _add_macro(values: np.ndarray) -> np.ndarray:
    """`[2, C, metrics]` and their mean over labels where both models have a score."""
    both = np.where(np.isnan(values).any(axis=0), np.nan, values)
    return np.concatenate([values, np.stack([metrics.average(each) for each in both])[:, None]], axis=1)


def _score(
    tallies: list[list[tally.Tally]], weights: np.ndarray, names: tuple[str, ...], settings: Settings
) -> np.ndarray:
    """Scores of both models on resamples, `[2, C, metrics, R]`."""
    parts = [[tally.compute_scores(each, weights, settings) for each in model] for model in tallies]
    return np.array([[[part[name] for name in names] for part in model] for model in parts])


def _resample_differences(
    tallies: list[list[tally.Tally]], names: tuple[str, ...], design: resampling.Design, settings: Settings
) -> np.ndarray:
    """First minus second of every resample, `[C + 1, metrics, R]`."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        values = _score(tallies, weights, names, settings)
        difference = values[0] - values[1]
        return np.concatenate([difference, metrics.average(difference)[None]]).reshape(-1, weights.shape[1])

    if not settings.resamples:
        return np.full((len(tallies[0]) + 1, len(names), 1), np.nan)
    drawn = resampling.resample(statistic, design, settings.resamples, settings.seed)
    return drawn.reshape(len(tallies[0]) + 1, len(names), -1)


def _test_label(
    label: np.ndarray,
    ranking: list[np.ndarray],
    called: list[np.ndarray],
    unit: np.ndarray | None,
    level: float,
) -> dict[str, list[object]]:
    """What needs no resampling: the ends of the interval, p and the name of the test, by metric.

    Args:
        label: `[N]` in {1, 0, NaN}.
        ranking: `[N]` of either model.
        called: `[N]` bool of either model.
        unit: `[N]` int, the patient of each recording; each its own if None.
        level: Of the intervals.
    """
    known = ~np.isnan(label)
    members = None if unit is None else unit[known]
    first, second = (each[known] for each in ranking)
    test = delong.compare(label[known] > 0.5, first, second, members, level=level)
    is_same = all(np.array_equal(pair[0], pair[1]) for pair in (ranking, called))  # then there is nothing to estimate
    found: dict[str, list[object]] = {"auroc": [test.low, test.high, test.p, "DeLong"]}
    for name, chosen in {"recall": label == 1, "specificity": label == 0, "accuracy": known}.items():
        low, high, p = (0.0, 0.0, 1.0) if is_same and chosen.any() else (np.nan, np.nan, np.nan)
        if chosen.any() and not is_same:
            right = [each[chosen] == (label[chosen] > 0.5) for each in called]
            members = None if unit is None else unit[chosen]
            low, high = paired_shares.find_interval(right[0], right[1], members, level)
            p = agreement.compare_right(right[0], right[1], members)
        found[name] = [low, high, p, "McNemar"]
    return found
