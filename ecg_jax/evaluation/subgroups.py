"""Whether a model is as good in one group of patients as in the others."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecg_jax.evaluation import agreement, bootstrap_intervals, resampling, scores, tally
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
_FEW_VALUES = 6  # so many different numbers are groups of their own
OTHER, UNKNOWN = "other", "unknown"


def assign(name: str, values: np.ndarray) -> np.ndarray:
    """The group of every recording by one column, `[N]` str.

    Numbers (NaN for unknown) are cut at `AGE_EDGES` in the column `age`, else, if more than six differ, at their
    quartiles; text (empty for unknown) has at most 12 groups.
    """
    if values.dtype.kind in "fiub":
        return _assign_numbers(name, values.astype(np.float64))
    groups = np.where(values.astype(str) == "", UNKNOWN, values.astype(str))
    different, counts = np.unique(groups, return_counts=True)
    if len(different) > _MOST:
        kept = different[np.argsort(-counts, kind="stable")[: _MOST - 1]]
        groups = np.where(np.isin(groups, kept), groups, OTHER)
    return groups


def _assign_numbers(name: str, numbers: np.ndarray) -> np.ndarray:
    known = np.isfinite(numbers)
    if name.lower() == "age":
        edges = np.array(AGE_EDGES, np.float64)
    elif len(np.unique(numbers[known])) <= _FEW_VALUES:
        return np.where(known, np.array([f"{value:.15g}" for value in numbers]), UNKNOWN)
    else:
        edges = np.unique(np.quantile(numbers[known], (0.25, 0.5, 0.75)))
    middle = [f"{low:.15g} to below {high:.15g}" for low, high in itertools.pairwise(edges)]
    titles = np.array([f"below {edges[0]:.15g}", *middle, f"{edges[-1]:.15g} and above"])
    return np.where(known, titles[np.searchsorted(edges, np.nan_to_num(numbers), side="right")], UNKNOWN)


def compare(
    predictions: Predictions, thresholds: Thresholds, attributes: Mapping[str, np.ndarray], settings: Settings
) -> pd.DataFrame:
    """Scores of each group, and how far they are from those of all others.

    A group's scores and intervals are those of `scores.compute`. The interval of a difference is of the paired
    bootstrap: group and others are scored on the same resamples of all recordings.

    Args:
        predictions: Of all recordings.
        thresholds: As for all recordings.
        attributes: Columns, name to `[N]`; a column with a single group is left out.
        settings: See `Settings`.

    Returns:
        `COLUMNS`, where `difference` is group minus others, and `p_holm` is adjusted over groups and labels of a
        column and metric.
    """
    masks = []
    for column, values in attributes.items():
        groups = assign(column, np.asarray(values))
        names = _order(groups)
        masks += [(column, name, groups == name) for name in names if len(names) > 1]
    if not masks:
        return pd.DataFrame(columns=COLUMNS)
    others, differences = _compare_sides(predictions, thresholds, [mask for _, _, mask in masks], settings)
    parts = [
        _describe_group(predictions, thresholds, mask, others[i], differences[i], settings).assign(
            column=column, group=group
        )
        for i, (column, group, mask) in enumerate(masks)
    ]
    table = pd.concat(parts, ignore_index=True)
    table["p_holm"] = table.groupby(["column", "metric"], sort=False)["p"].transform(agreement.adjust_holm)
    return table[list(COLUMNS)]


def _describe_group(
    predictions: Predictions,
    thresholds: Thresholds,
    inside: np.ndarray,
    others: np.ndarray,
    differences: np.ndarray,
    settings: Settings,
) -> pd.DataFrame:
    """The rows of one group, labels by `METRICS`."""
    values = thresholds.values[inside] if thresholds.values.ndim == 2 else thresholds.values
    chosen, settings = dataclasses.replace(thresholds, values=values), dataclasses.replace(settings, legacy=False)
    own = scores.compute(predictions.take(inside), chosen, settings).table.set_index("label")
    low, high = bootstrap_intervals.compute_percentile(differences, settings.level)
    p = bootstrap_intervals.compute_p(differences)
    rows = []
    for k, (label, metric) in enumerate(itertools.product(predictions.names, METRICS)):
        row = own.loc[label]
        gap = row[metric] - others[k]
        found = [low[k], high[k], p[k]] if np.isfinite(gap) else [np.nan] * 3
        ends = [row.get(f"{metric}_low", np.nan), row.get(f"{metric}_high", np.nan)]
        known = [row["n"], row["positives"], row[metric], *ends, others[k]]
        rows.append([label, metric, *known, gap, *found, row["note"]])
    return pd.DataFrame(rows, columns=[name for name in COLUMNS[2:] if name != "p_holm"])


def _compare_sides(
    predictions: Predictions, thresholds: Thresholds, masks: list[np.ndarray], settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the others, `[groups, labels x METRICS]`; group minus others of every resample, `[..., R]`."""
    size, columns = len(predictions.ids), scores.list_labels(predictions, thresholds)
    inside, outside = (
        [column.create_tally(size, side) for side in sides for column in columns]
        for sides in (masks, [~mask for mask in masks])
    )

    def statistic(weights: np.ndarray) -> np.ndarray:
        one, other = (tally.stack_scores(each, METRICS, weights, settings) for each in (inside, outside))
        return (one - other).reshape(-1, weights.shape[1])

    values = tally.stack_scores(outside, METRICS, np.ones((size, 1)), settings).reshape(len(masks), -1)
    if not settings.resamples:
        return values, np.full((*values.shape, 1), np.nan)
    design = scores.create_design(predictions, settings)
    drawn = resampling.resample(statistic, design, settings.resamples, settings.seed)
    return values, drawn.reshape(*values.shape, -1)


def _order(groups: np.ndarray) -> list[str]:
    """Names of the groups in a column: numbers in rising order, others by name, unknown last."""
    names = sorted(set(groups.tolist()) - {UNKNOWN, OTHER}, key=lambda name: (_first_number(name), name))
    return names + [name for name in (OTHER, UNKNOWN) if name in groups]


def _first_number(name: str) -> float:
    if name.startswith("below "):
        return -np.inf
    try:
        return float(name.split()[0])
    except ValueError:
        return np.inf
