"""The table of scores: every label and their averages, each with its interval."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError
from ecg_jax.evaluation import delong, intervals, metrics, resampling, tally
from ecg_jax.evaluation.calibration import compute_wilson
from ecg_jax.evaluation.metrics import MACRO, MICRO, WEIGHTED
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.resampling import Design
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds

# hits, false alarms, misses, right rejections -> the two sides of a proportion
_PROPORTIONS = {"precision": (0, 1), "recall": (0, 2), "specificity": (3, 1), "npv": (3, 2)}


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of some recordings.

    Attributes:
        table: One row per label, then `macro` and, of several labels, `micro` and `weighted`:
            `label`, `n`, `positives`, `threshold`, each metric (see `metrics.list_metrics`) with
            `_low` and `_high`, and `note`: why something is undefined or uncertain.
        samples: `[rows, metrics, R]` float64, the same of every resample; R may be 0.
    """

    table: pd.DataFrame
    samples: np.ndarray


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


def compute(predictions: Predictions, thresholds: Thresholds, settings: Settings) -> Scores:
    """Scores recordings, label by label and on average."""
    labels, probabilities = predictions.labels.astype(np.float64), predictions.probabilities
    called = decide(predictions, thresholds)
    names = metrics.list_metrics(settings)
    size, several = len(labels), len(predictions.names) > 1
    columns = [(labels[:, i], probabilities[:, i], called[:, i], np.arange(size)) for i in range(labels.shape[1])]
    if several:
        owner = np.repeat(np.arange(size), labels.shape[1])
        columns.append((labels.reshape(-1), probabilities.reshape(-1), called.reshape(-1), owner))
    found = np.array([list(metrics.compute(*column[:3], settings).values()) for column in columns])
    present = (labels == 1).astype(np.float64)

    def complete(values: np.ndarray, support: np.ndarray) -> np.ndarray:
        """Adds the averages to `[labels (and micro), ...]`; the weighted one by support `[labels, ...]`."""
        single = values[: labels.shape[1]]
        averages = [metrics.average(single)]
        if several:
            averages += [values[-1], metrics.average(single, support)]
        return np.concatenate([single, np.stack(averages)])

    table, design = _describe(predictions, thresholds, several, settings), create_design(predictions, settings)
    estimates = complete(found, present.sum(axis=0)[:, None])
    samples = np.empty((*estimates.shape, 0))
    low, high = np.full_like(estimates, np.nan), np.full_like(estimates, np.nan)
    if settings.resamples:
        tallies = [tally.create(*column, size) for column in columns]

        def statistic(weights: np.ndarray) -> np.ndarray:
            parts = [tally.compute_scores(each, weights, settings) for each in tallies]
            values = np.stack([np.stack([part[name] for name in names]) for part in parts])
            values = complete(values, (present.T @ weights)[:, None])
            return values.reshape(-1, weights.shape[1])

        drawn = resampling.resample(statistic, design, settings.resamples, settings.seed)
        samples = drawn.reshape(*estimates.shape, -1)
        sizes = np.repeat(_count_rarer(labels, len(table)), len(names))
        found_ends = _find_ends(estimates.reshape(-1), drawn, sizes, statistic, design, settings)
        low, high = (end.reshape(estimates.shape) for end in found_ends)
        if settings.interval == "auto" and not settings.legacy:
            for row, column in enumerate(columns[: labels.shape[1]]):
                clustered = dict(zip(names, samples[row], strict=True)) if design.units < size else None
                average_precision = found[row, names.index("average_precision")]
                closed = find_closed_intervals(*column[:3], average_precision, clustered, settings.level)
                for name, ends in closed.items():
                    low[row, names.index(name)], high[row, names.index(name)] = ends
        undefined = np.isnan(estimates)
        low[undefined] = high[undefined] = np.nan
    for i, name in enumerate(names):
        table[name] = estimates[:, i]
        if settings.resamples:
            table[f"{name}_low"], table[f"{name}_high"] = low[:, i], high[:, i]
    table["note"] = table.pop("note")  # last
    return Scores(table, samples)


def _describe(predictions: Predictions, thresholds: Thresholds, several: bool, settings: Settings) -> pd.DataFrame:
    """What the table says besides scores."""
    labels = predictions.labels
    shown = np.mean(thresholds.values, axis=0) if thresholds.values.ndim == 2 else thresholds.values
    rows = []
    for i, name in enumerate(predictions.names):
        positives, negatives = int(np.sum(labels[:, i] == 1)), int(np.sum(labels[:, i] == 0))
        note = metrics.explain(labels[:, i])
        if not note and min(positives, negatives) < settings.few:
            count, what = min((positives, "positive"), (negatives, "negative"))
            note = f"only {count} {what}{'' if count == 1 else 's'}"
        rows.append([name, positives + negatives, positives, float(shown[i]), note])
    total = int(np.nansum(labels))
    rows.append([MACRO, len(labels), total, np.nan, _describe_average(rows)])
    if several:
        rows.append([MICRO, int(np.sum(~np.isnan(labels))), total, np.nan, ""])
        rows.append([WEIGHTED, len(labels), total, np.nan, _describe_average(rows[: labels.shape[1]])])
    return pd.DataFrame(rows, columns=["label", "n", "positives", "threshold", "note"])


def _describe_average(rows: list[list[object]]) -> str:
    missing = [str(row[0]) for row in rows if str(row[-1]).startswith("no ")]
    return f"where defined: not {', '.join(missing)}" if missing else ""


def _count_rarer(labels: np.ndarray, rows: int) -> np.ndarray:
    """Per row of the table, the number of recordings of the rarer class, of all labels in an average; at least 2."""
    single = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    return np.maximum(np.concatenate([single, np.full(rows - len(single), single.sum())]), 2)


def _find_ends(
    estimate: np.ndarray,
    values: np.ndarray,
    sizes: np.ndarray,
    statistic: resampling.Statistic,
    design: Design,
    settings: Settings,
) -> tuple[np.ndarray, np.ndarray]:
    if settings.legacy:
        return intervals.compute_legacy(values)
    if settings.interval == "percentile":
        return intervals.compute_percentile(values, settings.level)
    if settings.interval == "bca":
        return intervals.compute_bca(estimate, values, resampling.jackknife(statistic, design), settings.level)
    return intervals.compute_expanded(values, sizes, settings.level)


def compute_proportion_intervals(
    counts: np.ndarray, level: float = 0.95, effects: Mapping[str, float] | None = None
) -> dict[str, tuple[float, float]]:
    """Wilson's intervals of precision, recall, specificity and NPV, and of F1, as far as they are defined.

    F1 is a function of the proportion of hits among hits, false alarms and misses, and so is its interval.

    Args:
        counts: See `metrics.count_outcomes`.
        level: Of the intervals.
        effects: Design effects by score: how many times the variance is the binomial one, which divides
            the number of recordings (Franco et al. 2019, J Surv Stat Methodol 7:334-364, doi
            10.1093/jssam/smy019); 1 if None.
    """
    shares = {name: (counts[right], counts[right] + counts[wrong]) for name, (right, wrong) in _PROPORTIONS.items()}
    shares["f1"] = (counts[0], counts[:3].sum())
    ends = {}
    for name, (hits, total) in shares.items():
        if not total:
            continue
        size = total / (effects or {}).get(name, 1.0)
        low, high = (float(end) for end in compute_wilson(hits / total * size, size, level))
        ends[name] = (2 * low / (1 + low), 2 * high / (1 + high)) if name == "f1" else (low, high)
    return ends


def find_closed_intervals(
    label: np.ndarray,
    probability: np.ndarray,
    called: np.ndarray,
    average_precision: float,
    samples: Mapping[str, np.ndarray] | None = None,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Intervals of one label that hold with few recordings, where there are such, by score.

    AUROC: see `delong.compute_score_interval`. Decisions: see `compute_proportion_intervals`.
    Average precision: Wilson's, as of a proportion of the positives, whose variance it has about
    (Boyd, Eng & Page 2013, ECML PKDD, doi 10.1007/978-3-642-40994-3_29). Where patients have
    several recordings, the variance of the bootstrap over patients takes the place of those of
    single recordings.

    Args:
        label: `[N]` in {1, 0, NaN}.
        probability: `[N]`.
        called: `[N]` bool.
        average_precision: Of these.
        samples: `[R]` by score, of such a bootstrap; None where each recording is a patient's only one.
        level: Of the intervals.
    """
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known]
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return {}
    auroc, covariance = delong.compute_covariance(truth, score[:, None])
    variance = _measure_variance(samples["auroc"]) if samples else float(covariance[0, 0])
    counts = metrics.count_outcomes(label, called)
    effects = _measure_design_effects(counts, samples) if samples else None
    effect = _measure_design_effect(average_precision, positives, samples["average_precision"]) if samples else 1.0
    size = positives / effect
    low, high = compute_wilson(np.array(average_precision * size), np.array(size), level)
    return compute_proportion_intervals(counts, level, effects) | {
        "auroc": delong.compute_score_interval(float(auroc[0]), positives, negatives, variance=variance, level=level),
        "average_precision": (float(low), float(high)),
    }


def _measure_design_effects(counts: np.ndarray, samples: Mapping[str, np.ndarray]) -> dict[str, float]:
    effects = {}
    for name, (right, wrong) in (*_PROPORTIONS.items(), ("f1", (0, (1, 2)))):
        total = counts[right] + counts[np.array(wrong)].sum()
        drawn = samples[name] / (2 - samples[name]) if name == "f1" else samples[name]
        effects[name] = _measure_design_effect(counts[right] / max(total, 1), total, drawn)
    return effects


def _measure_design_effect(share: float, total: int, samples: np.ndarray) -> float:
    """How many times the bootstrap's variance is the binomial one; at least 1."""
    binomial = share * (1 - share) / max(total, 1)
    return max(_measure_variance(samples) / binomial, 1.0) if binomial > 0 else 1.0


def _measure_variance(samples: np.ndarray) -> float:
    known = samples[np.isfinite(samples)]
    return float(np.var(known)) if known.size else np.nan
