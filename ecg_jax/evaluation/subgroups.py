"""Whether a model is as good in one group of patients as in the others."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from ecg_jax.evaluation import agreement, bootstrap_intervals, resampling, scores, tally
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds

# Where readers draw lines, with what lies on the border between them; of the axis: extreme, left, usual, right.
EDGES = {
    "age": (18, 40, 60, 80),
    "heart_rate": (50, 60, 100),
    "pr": (120, 180, 220),
    "qrs": (110, 130),
    "qt": (350, 440),
    "qtc": (430, 480),
    "p_duration": (120,),
    "axis": (-90, -30, 90),
}
_LISTED = "; ".join(f"{name} at {', '.join(map(str, edges))}".replace("-", "−") for name, edges in EDGES.items())
CUTS = (
    f"Where numbers are cut: {_LISTED} (years, per minute, ms, degrees); others at their quartiles. `unknown` may say "
    "something: PR is unknown where there are no P waves."
)
COLUMNS = (
    *("column", "group", "label", "metric", "n", "positives", "value", "value_low", "value_high"),
    *("others", "difference", "difference_low", "difference_high", "p", "p_holm", "note"),
)
_COUNTS = ("n", "positives")
METRICS = ("auroc", "average_precision", "f1", "recall", "specificity")
_MOST = 12  # groups of one column; the rarest beyond are put together
_FEW_VALUES = 6  # so many different numbers are groups of their own
OTHER, UNKNOWN = "other", "unknown"


def assign(name: str, values: np.ndarray) -> np.ndarray:
    """The group of every recording by one column, `[N]` str.

    Numbers (NaN for unknown) are cut at the `EDGES` of NAME or `measured_NAME`, unless all are below or above
    these; else, if more than six differ, at their quartiles. Text (empty for unknown) has at most 12 groups.
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
    edges = np.array(EDGES.get(name.lower().removeprefix("measured_"), ()), np.float64)
    places = np.searchsorted(edges, numbers[known], side="right")
    if (places == 0).all() or (places == len(edges)).all():  # no edges, or another unit, as seconds for milliseconds
        if len(np.unique(numbers[known])) <= _FEW_VALUES:
            return np.where(known, np.array([f"{value:.15g}" for value in numbers]), UNKNOWN)
        edges = np.unique(np.quantile(numbers[known], (0.25, 0.5, 0.75)))
    middle = [f"{low:.15g} to below {high:.15g}" for low, high in itertools.pairwise(edges)]
    titles = np.array([f"below {edges[0]:.15g}", *middle, f"{edges[-1]:.15g} and above"])
    return np.where(known, titles[np.searchsorted(edges, np.nan_to_num(numbers), side="right")], UNKNOWN)


@dataclasses.dataclass(frozen=True)
class Scorer:
    """How recordings of one kind are scored.

    Attributes:
        metrics: The scores of groups.
        counts: Columns of `score` that say how many recordings there are.
        create: From recordings `[N]` bool, what scores these: from weights `[N, R]` the metrics of every resample,
            `[labels, metrics, R]`.
        score: From recordings `[N]` bool, a table of a row per `label`, with counts, metrics, their `_low` and
            `_high` (without resamples none), and `note`.
    """

    metrics: tuple[str, ...]
    counts: tuple[str, ...]
    create: Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]]
    score: Callable[[np.ndarray], pd.DataFrame]


def compare(
    predictions: Predictions, thresholds: Thresholds, attributes: Mapping[str, np.ndarray], settings: Settings
) -> pd.DataFrame:
    """Scores of findings in each group, those of `scores.compute`; see `compare_groups`.

    Args:
        predictions: Of all recordings.
        thresholds: As for all recordings.
        attributes: See `compare_groups`.
        settings: See `Settings`.

    Returns:
        `COLUMNS`.
    """
    columns, size = scores.list_labels(predictions, thresholds), len(predictions.ids)

    def create(inside: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        tallies = [column.create_tally(size, inside) for column in columns]
        return functools.partial(tally.stack_scores, tallies, METRICS, settings=settings)

    def score(inside: np.ndarray) -> pd.DataFrame:
        values = thresholds.values[inside] if thresholds.values.ndim == 2 else thresholds.values
        chosen, own = dataclasses.replace(thresholds, values=values), dataclasses.replace(settings, legacy=False)
        return scores.compute(predictions.take(inside), chosen, own).table

    scorer = Scorer(METRICS, ("n", "positives"), create, score)
    return compare_groups(predictions, scorer, attributes, scores.create_design(predictions, settings), settings)


def compare_groups(
    predictions: Predictions,
    scorer: Scorer,
    attributes: Mapping[str, np.ndarray],
    design: resampling.Design,
    settings: Settings,
) -> pd.DataFrame:
    """Scores of each group, and how far they are from those of all others.

    The interval of a difference is of the paired bootstrap: group and others are scored on the same resamples of all
    recordings.

    Args:
        predictions: Of all recordings.
        scorer: See `Scorer`.
        attributes: Columns, name to `[N]`; a column with a single group is left out.
        design: What the bootstrap draws.
        settings: See `Settings`.

    Returns:
        A row per group, label and metric, with the columns `COLUMNS`, but of the counts those of the scorer;
        `difference` is group minus others, and `p_holm` is adjusted over groups and labels of a column and metric.
    """
    shown = [name for name in COLUMNS if name not in _COUNTS or name in scorer.counts]
    masks = []
    for column, values in attributes.items():
        groups = assign(column, np.asarray(values))
        names = _order(groups)
        masks += [(column, name, groups == name) for name in names if len(names) > 1]
    if not masks:
        return pd.DataFrame(columns=shown)
    others, differences = _compare_sides(scorer, [mask for _, _, mask in masks], design, settings)
    parts = [
        _describe_group(predictions.names, scorer, mask, others[i], differences[i], settings).assign(
            column=column, group=group
        )
        for i, (column, group, mask) in enumerate(masks)
    ]
    table = pd.concat(parts, ignore_index=True)
    table["p_holm"] = table.groupby(["column", "metric"], sort=False)["p"].transform(agreement.adjust_holm)
    return table[shown]


def _describe_group(
    labels: tuple[str, ...],
    scorer: Scorer,
    inside: np.ndarray,
    others: np.ndarray,
    differences: np.ndarray,
    settings: Settings,
) -> pd.DataFrame:
    """The rows of one group, labels by metrics."""
    own = scorer.score(inside).set_index("label")
    low, high = bootstrap_intervals.compute_percentile(differences, settings.level)
    p = bootstrap_intervals.compute_p(differences)
    rows = []
    for k, (label, metric) in enumerate(itertools.product(labels, scorer.metrics)):
        row = own.loc[label]
        gap = row[metric] - others[k]
        found = [low[k], high[k], p[k]] if np.isfinite(gap) else [np.nan] * 3
        ends = [row.get(f"{metric}_low", np.nan), row.get(f"{metric}_high", np.nan)]
        known = [*row[list(scorer.counts)], row[metric], *ends, others[k]]
        rows.append([label, metric, *known, gap, *found, row["note"]])
    shown = ["label", "metric", *scorer.counts, *COLUMNS[6:-2], COLUMNS[-1]]
    return pd.DataFrame(rows, columns=shown)


def _compare_sides(
    scorer: Scorer, masks: list[np.ndarray], design: resampling.Design, settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the others, `[groups, labels x metrics]`; group minus others of every resample, `[..., R]`."""
    inside, outside = ([scorer.create(side) for side in sides] for sides in (masks, [~mask for mask in masks]))

    def statistic(weights: np.ndarray) -> np.ndarray:
        pairs = zip(inside, outside, strict=True)
        return np.concatenate([(one(weights) - other(weights)).reshape(-1, weights.shape[1]) for one, other in pairs])

    whole = np.ones((len(masks[0]), 1))
    values = np.stack([other(whole).reshape(-1) for other in outside])
    if not settings.resamples:
        return values, np.full((*values.shape, 1), np.nan)
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
