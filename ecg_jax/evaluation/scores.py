"""The table of scores: every label and their averages, each with its interval."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError
from ecg_jax.evaluation import averages, bootstrap_intervals, closed_intervals, clusters, metrics, resampling, tally
from ecg_jax.evaluation.agreement import describe_few
from ecg_jax.evaluation.metrics import MACRO, MICRO, WEIGHTED
from ecg_jax.evaluation.predictions import Predictions, order
from ecg_jax.evaluation.resampling import Design
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of some recordings."""

    # One row per label, then `macro` and, of several labels, `micro` and `weighted`: `label`, `n`, `positives`,
    # `threshold`, each metric (see `metrics.list_metrics`) with `_low` and `_high`, and `note`: why something is
    # undefined or uncertain.
    table: pd.DataFrame
    samples: np.ndarray  # `[rows, metrics, R]` float64, the same of every resample; R may be 0


@dataclasses.dataclass(frozen=True)
class Column:
    """The entries `[E]` that a row of the table is computed from: one label, or all labels together.

    Attributes:
        label, probability, called, ranking: See `tally.create`.
        owner: int, the recording of each entry; None where entry i is recording i's.
    """

    label: np.ndarray
    probability: np.ndarray
    called: np.ndarray
    ranking: np.ndarray
    owner: np.ndarray | None = None

    def create_tally(self, size: int, side: np.ndarray | None = None) -> tally.Tally:
        """Prepares it for scoring, of `size` recordings; of a single label, those in `side` `[N]` bool alone."""
        label = self.label if side is None else np.where(side, self.label, np.nan)
        return tally.create(label, self.probability, self.called, self.owner, size, ranking=self.ranking)


def decide(predictions: Predictions, thresholds: Thresholds) -> np.ndarray:
    """What is called positive, `[N, C]` bool."""
    return predictions.probabilities >= thresholds.values


def create_design(predictions: Predictions, settings: Settings) -> Design:
    """What the bootstrap draws; see `Settings.resampled`."""
    size = len(predictions.ids)
    if settings.legacy:
        return resampling.create_design(size, legacy=True)
    if settings.resampled == "stratified":
        return resampling.create_design(size, strata=np.nan_to_num(predictions.labels, nan=-1.0))
    patients = None if settings.resampled == "recordings" else predictions.patients
    if patients is None and settings.resampled == "patients":
        raise InputError(
            "resampled is 'patients', but there is no patient_id to say which recordings are whose; draw recordings"
        )
    return resampling.create_design(size, patients=patients)


def find_units(predictions: Predictions, settings: Settings) -> np.ndarray | None:
    """The patient of each recording, `[N]` int, where patients are drawn and some have several; else None."""
    return _find_units(create_design(predictions, settings))


def _find_units(design: Design) -> np.ndarray | None:
    return design.unit if design.units < len(design.unit) else None


def list_labels(predictions: Predictions, thresholds: Thresholds) -> list[Column]:
    """The labels, one by one."""
    arrays = (predictions.labels.astype(np.float64), predictions.probabilities, decide(predictions, thresholds))
    return [Column(*each) for each in zip(*(array.T for array in (*arrays, predictions.ranking)), strict=True)]


def list_columns(predictions: Predictions, thresholds: Thresholds) -> list[Column]:
    """The labels, and all together where there are several."""
    columns, (size, count) = list_labels(predictions, thresholds), predictions.labels.shape
    if count > 1:
        pooled, raw = predictions.probabilities.reshape(-1), predictions.raw
        ranks = order(pooled, raw.reshape(-1)) if raw is not None and predictions.is_recalibrated else pooled
        labels, called = predictions.labels.astype(np.float64).reshape(-1), decide(predictions, thresholds).reshape(-1)
        columns.append(Column(labels, pooled, called, ranks, np.repeat(np.arange(size), count)))
    return columns


def compute(predictions: Predictions, thresholds: Thresholds, settings: Settings) -> Scores:
    """Scores recordings, label by label and on average."""
    names, columns = metrics.list_metrics(settings), list_columns(predictions, thresholds)
    size, present = len(predictions.ids), [np.flatnonzero(column == 1) for column in predictions.labels.T]
    tallies = [each.create_tally(size) for each in columns]

    def statistic(weights: np.ndarray) -> np.ndarray:
        values = tally.stack_scores(tallies, names, weights, settings)
        support = np.stack([tally.sum_weights(weights, rows) for rows in present])[:, None]
        return complete(values, support).reshape(-1, weights.shape[1])

    design = create_design(predictions, settings)
    table = _describe(predictions, thresholds, _find_units(design), settings)
    estimates = statistic(np.ones((size, 1))).reshape(len(table), len(names))
    samples, low, high = np.empty((*estimates.shape, 0)), None, None
    if settings.resamples:
        drawn = resampling.resample(statistic, design, settings.resamples, settings.seed)
        samples = drawn.reshape(*estimates.shape, -1)
        sizes = np.repeat(_count_rarer(predictions.labels, design, len(table)), len(names))
        ends = bootstrap_intervals.find(estimates.reshape(-1), drawn, sizes, statistic, design, settings)
        low, high = (end.reshape(estimates.shape) for end in ends)
        if settings.interval == "auto" and not settings.legacy:
            replace_ends(low, high, estimates, samples, columns, predictions.labels, design, settings)
        undefined = np.isnan(estimates)
        low[undefined] = high[undefined] = np.nan
    for i, name in enumerate(names):
        table[name] = estimates[:, i]
        if low is not None and high is not None:
            table[f"{name}_low"], table[f"{name}_high"] = low[:, i], high[:, i]
    table["note"] = table.pop("note")  # last
    return Scores(table, samples)


def complete(values: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Adds the averages to `[labels (and micro), ...]`, in the table's order; the weighted one by `[labels, ...]`."""
    single = values[: len(support)]
    averages_found = [metrics.average(single)]
    if len(values) > len(single):
        averages_found += [values[-1], metrics.average(single, support)]
    return np.concatenate([single, np.stack(averages_found)])


def _describe(
    predictions: Predictions, thresholds: Thresholds, unit: np.ndarray | None, settings: Settings
) -> pd.DataFrame:
    """The table's columns other than scores."""
    labels = predictions.labels
    shown = np.mean(thresholds.values, axis=0) if thresholds.values.ndim == 2 else thresholds.values
    rows: list[list[object]] = []
    for name, label, threshold in zip(predictions.names, labels.T, shown, strict=True):
        sides = {"positive": label == 1, "negative": label == 0}
        positives, negatives = (int(np.sum(side)) for side in sides.values())
        note = metrics.explain(label) or describe_few(sides, unit, settings.few)
        rows.append([name, positives + negatives, positives, float(threshold), note])
    total, several = int(np.nansum(labels)), len(rows) > 1
    missing, few = (
        ", ".join(str(row[0]) for row in rows if str(row[-1]).startswith(start)) for start in ("no ", "only ")
    )
    few = f"few of a class: {few}" if few else ""
    note = "; ".join(filter(None, (f"where defined: not {missing}" if missing else "", few)))
    rows.append([MACRO, len(labels), total, np.nan, note])
    if several:
        rows.append([MICRO, int(np.sum(~np.isnan(labels))), total, np.nan, few])
        rows.append([WEIGHTED, len(labels), total, np.nan, note])
    return pd.DataFrame(rows, columns=["label", "n", "positives", "threshold", "note"])


def _count_rarer(labels: np.ndarray, design: Design, rows: int) -> np.ndarray:
    """Per row of the table, the units of the rarer class, of all labels in an average; at least 2."""
    counts = [[clusters.count_units(design.unit, label == side) for label in labels.T] for side in (0, 1)]
    single = np.min(counts, axis=0)
    return np.maximum(np.concatenate([single, np.full(rows - len(single), single.sum())]), 2)


def replace_ends(
    low: np.ndarray,
    high: np.ndarray,
    estimates: np.ndarray,
    samples: np.ndarray,
    columns: list[Column],
    labels: np.ndarray,
    design: Design,
    settings: Settings,
) -> None:
    """Replaces intervals by closed ones, which hold with few recordings, where these exist; then those of averages.

    Args:
        low: `[rows, metrics]`, those of the bootstrap; changed in place.
        high: Likewise.
        estimates: `[rows, metrics]`, the scores.
        samples: `[rows, metrics, R]`, those of the resamples.
        columns: See `list_columns`.
        labels: `[N, C]` in {1, 0, NaN}.
        design: Of the bootstrap.
        settings: See `Settings`.
    """
    names, count = metrics.list_metrics(settings), labels.shape[1]
    rows = [*range(count), count + 1]  # micro comes after macro

    def find(place: int) -> dict[str, closed_intervals.Ends]:
        each, average_precision = columns[place], estimates[rows[place], names.index("average_precision")]
        unit = _find_units(design) if each.owner is None else design.unit[each.owner]
        return closed_intervals.find(each.label, each.ranking, each.called, average_precision, unit, settings.level)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for row, closed in zip(rows, pool.map(find, range(len(columns))), strict=False):
            for name, ends in closed.items():
                low[row, names.index(name)], high[row, names.index(name)] = ends
    present, alike = (labels == 1).astype(np.float64), averages.correlate_labels(labels)
    weights = [np.ones(count), *([present.sum(axis=0)] if count > 1 else [])]
    for j in range(len(names)):
        part, drawn = (estimates[:count, j], low[:count, j], high[:count, j]), samples[:count, j]
        correlation = averages.correlate(drawn, alike)
        for row, weight in zip((count, count + 2), weights, strict=False):
            share = np.where(np.isfinite(part[0]), weight, 0.0)
            if share.sum() > 0:
                share /= share.sum()
                extra = 0.0 if row == count else averages.measure_weights(part[0], present, design.unit, settings.level)
                bias = averages.measure_bias(part[0], drawn, share)
                low[row, j], high[row, j] = averages.combine(*part, share, correlation, extra, bias)
