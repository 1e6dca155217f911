"""Whether a model is as good in one group of patients as in the others."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecg_jax.evaluation import agreement, intervals, resampling, scores, tally
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds

AGE_EDGES = (18, 40, 60, 80)
COLUMNS = (
    *("column", "group", "label", "metric", "n", "positives", "value", "value_low", "value_high"),
    *("others", "difference", "difference_low", "difference_high", "p", "p_holm", "note"),
)
METRICS = ("auroc", "average_precision", "f1", "recall", "specificity")
_MOST = 12  # groups of one column; the rarest beyond are put together
_FEW_VALUES = 6  # numbers that stand for themselves
OTHER, UNKNOWN = "other", "unknown"


def assign(name: str, values: np.ndarray) -> np.ndarray:
    """The group of every recording by one column.

    Args:
        name: Of the column; `age` is cut at `AGE_EDGES`.
        values: `[N]` numbers (NaN for unknown; more than six different ones are cut at their quartiles),
            or str (empty for unknown).

    Returns:
        `[N]` str.
    """
    if values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
        known = np.isfinite(numbers)
        if name.lower() == "age":
            edges = np.array(AGE_EDGES, np.float64)
        elif len(different := np.unique(numbers[known])) <= _FEW_VALUES:
            groups = np.array([f"{value:.15g}" for value in numbers])
            return np.where(known, groups, UNKNOWN) if different.size else np.full(len(values), UNKNOWN)
        else:
            edges = np.unique(np.quantile(numbers[known], (0.25, 0.5, 0.75)))
        middle = [f"{low:.15g} to below {high:.15g}" for low, high in itertools.pairwise(edges)]
        titles = np.array([f"below {edges[0]:.15g}", *middle, f"{edges[-1]:.15g} and above"])
        return np.where(known, titles[np.searchsorted(edges, np.nan_to_num(numbers), side="right")], UNKNOWN)
    groups = np.where(values.astype(str) == "", UNKNOWN, values.astype(str))
    different, counts = np.unique(groups, return_counts=True)
    if len(different) > _MOST:
        kept = different[np.argsort(-counts, kind="stable")[: _MOST - 1]]
        groups = np.where(np.isin(groups, kept), groups, OTHER)
    return groups


def compare(
    predictions: Predictions, thresholds: Thresholds, attributes: Mapping[str, np.ndarray], settings: Settings
) -> pd.DataFrame:
    """Scores of each group, and how far they are from those of all others.

    A group's scores and intervals are those of `scores.compute`. A difference has an interval of
    its own: group and others are scored on the same resamples of all recordings.

    Args:
        predictions: Of all recordings.
        thresholds: As for all recordings.
        attributes: Columns, name to `[N]`; a column with a single group says nothing, and is left out.
        settings: See `Settings`.

    Returns:
        `column`, `group`, `label`, `metric`, `n`, `positives`, `value`, `value_low`, `value_high`,
        `others`, `difference` (group minus others), `difference_low`, `difference_high`, `p`, `p_holm`
        (over groups and labels of a column and metric) and `note`.
    """
    masks = []
    for column, values in attributes.items():
        groups = assign(column, np.asarray(values))
        names = _order(groups)
        masks += [(column, name, groups == name) for name in names if len(names) > 1]
    if not masks:
        return pd.DataFrame(columns=COLUMNS)
    others, differences = _compare_sides(predictions, thresholds, [mask for _, _, mask in masks], settings)
    table = pd.concat(
        [
            _describe_group(predictions, thresholds, *group, others[i], differences[i], settings)
            for i, group in enumerate(masks)
        ],
        ignore_index=True,
    )
    for _, part in table.groupby(["column", "metric"], sort=False):
        table.loc[part.index, "p_holm"] = agreement.adjust_holm(part["p"].to_numpy(np.float64))
    return table


def _describe_group(
    predictions: Predictions,
    thresholds: Thresholds,
    column: str,
    group: str,
    inside: np.ndarray,
    others: np.ndarray,
    differences: np.ndarray,
    settings: Settings,
) -> pd.DataFrame:
    """The rows of one group, labels by `METRICS`."""
    values = thresholds.values[inside] if thresholds.values.ndim == 2 else thresholds.values
    chosen, settings = dataclasses.replace(thresholds, values=values), dataclasses.replace(settings, legacy=False)
    own = scores.compute(predictions.take(inside), chosen, settings).table.set_index("label")
    low, high = intervals.compute_percentile(differences, settings.level)
    p = intervals.compute_p(differences)
    rows = []
    for i, label in enumerate(predictions.names):
        for j, metric in enumerate(METRICS):
            k = i * len(METRICS) + j
            row = own.loc[label]
            gap = row[metric] - others[k]
            found = [low[k], high[k], p[k]] if np.isfinite(gap) else [np.nan] * 3
            ends = [row.get(f"{metric}_low", np.nan), row.get(f"{metric}_high", np.nan)]
            known = [row["n"], row["positives"], row[metric], *ends, others[k]]
            rows.append([column, group, label, metric, *known, gap, *found, np.nan, row["note"]])
    return pd.DataFrame(rows, columns=COLUMNS)


def _compare_sides(
    predictions: Predictions, thresholds: Thresholds, masks: list[np.ndarray], settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the others, `[groups, labels x METRICS]`; group minus others of every resample, `[..., R]`."""
    called, ranking = scores.decide(predictions, thresholds), predictions.ranking
    labels, probabilities = predictions.labels.astype(np.float64), predictions.probabilities
    tallies = [
        [
            tally.create(np.where(side, labels[:, i], np.nan), probabilities[:, i], called[:, i], ranking=ranking[:, i])
            for side in (inside, ~inside)
        ]
        for inside in masks
        for i in range(labels.shape[1])
    ]

    def statistic(weights: np.ndarray) -> np.ndarray:
        rows = []
        for pair in tallies:
            one, other = (tally.compute_scores(side, weights, settings) for side in pair)
            rows += [one[name] - other[name] for name in METRICS]
        return np.stack(rows)

    whole = np.ones((len(labels), 1))
    outside = [tally.compute_scores(other, whole, settings) for _, other in tallies]
    values = np.array([[found[name][0] for name in METRICS] for found in outside]).reshape(len(masks), -1)
    if not settings.resamples:
        return values, np.full((*values.shape, 1), np.nan)
    design = scores.create_design(predictions, settings)
    drawn = resampling.resample(statistic, design, settings.resamples, settings.seed)
    return values, drawn.reshape(*values.shape, -1)


def _order(groups: np.ndarray) -> list[str]:
    """Names of the groups in a column: ages as they rise, others by name, unknown last."""
    names = sorted(set(groups.tolist()) - {UNKNOWN, OTHER}, key=lambda name: (_first_number(name), name))
    return names + [name for name in (OTHER, UNKNOWN) if name in groups]


def _first_number(name: str) -> float:
    if name.startswith("below "):
        return -np.inf
    try:
        return float(name.split()[0])
    except ValueError:
        return np.inf
