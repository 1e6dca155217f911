"""Scores of predicted numbers, as age in years: errors, agreement, calibration, each with its interval.

Limits of agreement are Bland and Altman's (1986, Lancet 327:307-310, doi 10.1016/S0140-6736(86)90837-8): the mean
difference -+ 1.96 standard deviations of the differences. R2 is 1 less the mean squared error over the variance of the
truth: against always predicting the mean of the scored recordings.
"""

import dataclasses

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError
from ecg_jax.evaluation import bootstrap_intervals, clusters, metrics, moments, resampling, scores
from ecg_jax.evaluation.moments import METRICS
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.resampling import Design
from ecg_jax.evaluation.settings import Settings

SUMMARY = ("mae", "rmse", "r2", "pearson")


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of the predicted numbers of some recordings."""

    # One row per label: `label`, `n`, `mean` and `deviation` of the truth, `METRICS` (`calibration_slope` and
    # `calibration_intercept` of the least squares of truth on prediction, 1 and 0 at best; `mae_constant`, that of
    # always predicting the median of these recordings), each with `_low` and `_high`, and `note`: why something is
    # undefined or uncertain.
    table: pd.DataFrame
    samples: np.ndarray  # `[labels, METRICS, R]` float64, the same of every resample; R may be 0


def compute_summary(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """`SUMMARY`, means over labels of what is defined, each in its own unit; NaN where nothing is.

    `truth` (NaN = unknown) and `predicted` are `[N, C]`.
    """
    one = np.ones((len(truth), 1))
    pairs = zip(truth.T, predicted.T, strict=True)
    found = np.stack([moments.measure(moments.create(*pair), one, SUMMARY)[:, 0] for pair in pairs])
    return dict(zip(SUMMARY, metrics.average(found).tolist(), strict=True))


def create_moments(predictions: Predictions, side: np.ndarray | None = None) -> list[moments.Moments]:
    """Those of every label; of the recordings in `side` `[N]` bool alone, if given."""
    return [moments.create(*pair, side) for pair in zip(predictions.labels.T, predictions.probabilities.T, strict=True)]


def create_design(predictions: Predictions, settings: Settings) -> Design:
    """What the bootstrap draws; `InputError` where that needs findings."""
    if settings.legacy or settings.resampled == "stratified":
        what = "legacy" if settings.legacy else "resampled is 'stratified', which"
        raise InputError(f"{what} is of findings; these labels are numbers: draw recordings or patients")
    return scores.create_design(predictions, settings)


def compute(predictions: Predictions, settings: Settings) -> Scores:
    """Scores recordings, label by label; intervals are of the bootstrap, `expanded` if `auto`."""
    labels, size, design = create_moments(predictions), len(predictions.ids), create_design(predictions, settings)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.concatenate([moments.measure(each, weights) for each in labels])

    estimates = statistic(np.ones((size, 1)))[:, 0]
    samples, shape = np.empty((len(estimates), 0)), (len(labels), len(METRICS))
    table = pd.DataFrame([_describe(predictions, i, design, settings) for i in range(len(labels))])
    columns = dict(zip(METRICS, estimates.reshape(shape).T, strict=True))
    if settings.resamples:
        samples = resampling.resample(statistic, design, settings.resamples, settings.seed)
        known = ~np.isnan(predictions.labels.T)
        units = np.array([clusters.count_units(design.unit, each) for each in known])
        sizes = np.repeat(np.maximum(units, 2), len(METRICS))
        ends = bootstrap_intervals.find(estimates, samples, sizes, statistic, design, settings)
        low, high = (np.where(np.isnan(estimates), np.nan, end).reshape(shape).T for end in ends)
        for i, name in enumerate(METRICS):
            columns |= {f"{name}_low": low[i], f"{name}_high": high[i]}
        columns = {key: columns[key] for name in METRICS for key in (name, f"{name}_low", f"{name}_high")}
    note = table.pop("note")  # last
    return Scores(table.assign(**columns, note=note), samples.reshape(*shape, -1))


def _describe(predictions: Predictions, i: int, design: Design, settings: Settings) -> dict[str, object]:
    """The columns of a label's row other than scores."""
    known = ~np.isnan(predictions.labels[:, i])
    truth = predictions.labels[known, i].astype(np.float64)
    return {
        "label": predictions.names[i],
        "n": len(truth),
        "mean": float(truth.mean()) if truth.size else np.nan,
        "deviation": float(truth.std(ddof=1)) if truth.size > 1 else np.nan,
        "note": explain(truth, predictions.probabilities[known, i])
        or describe_few(len(truth), clusters.count_units(design.unit, known), settings.few),
    }


def explain(truth: np.ndarray, predicted: np.ndarray) -> str:
    """Why scores of known numbers `[n]` are undefined; empty where they are defined."""
    if len(truth) < 2:
        return "one known number" if len(truth) else "no known number"
    equal = [name for name, values in (("truth", truth), ("predictions", predicted)) if np.ptp(values) == 0]
    return f"constant {' and '.join(equal)}" if equal else ""


def describe_few(recordings: int, units: int, few: int) -> str:
    """Says how many recordings, or patients who have them, there are where these are fewer than `few`."""
    if recordings < few:
        return f"only {recordings} recordings"
    return f"only {units} patients" if units < few else ""
