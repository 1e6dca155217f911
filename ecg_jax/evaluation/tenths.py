"""Mean errors along the range of true numbers: predictions that regress to the mean are too high below, too low above.

The parts are tenths of the recordings in order of truth, or fewer parts, so that each has ten recordings; recordings of
the same truth are in the same part.
"""

import numpy as np
import pandas as pd

from ecg_jax.evaluation import bootstrap_intervals, clusters, regression, resampling
from ecg_jax.evaluation.moments import Moments
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings

COLUMNS = ["label", "from", "to", "n", "mean_true", "mean_predicted", "error"]
_MOST, _FEWEST = 10, 10  # parts; recordings in each


def compute(predictions: Predictions, settings: Settings) -> pd.DataFrame:
    """Mean error (predicted minus true) in each part of the truth.

    Returns:
        A row per label and part: `COLUMNS`, where `from` and `to` are the least and largest true number, and, with
        resamples, `error_low` and `error_high`.
    """
    labels, design = regression.create_moments(predictions), regression.create_design(predictions, settings)
    starts = [_divide(predictions.labels[each.rows, i]) for i, each in enumerate(labels)]

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.concatenate([_average(*each, weights) for each in zip(labels, starts, strict=True)])

    errors, rows, sizes = statistic(np.ones((len(predictions.ids), 1)))[:, 0], [], []
    for i, (name, label, start) in enumerate(zip(predictions.names, labels, starts, strict=True)):
        for part in np.split(label.rows, start[1:]) if start.size else ():
            truth, predicted = predictions.labels[part, i], predictions.probabilities[part, i]
            rows.append([name, truth[0], truth[-1], len(part), truth.mean(), predicted.mean(), errors[len(rows)]])
            sizes.append(clusters.count_units(design.unit[part]))
    table = pd.DataFrame(rows, columns=COLUMNS)
    if not settings.resamples or not rows:
        return table
    drawn = resampling.resample(statistic, design, settings.resamples, settings.seed)
    low, high = bootstrap_intervals.find(errors, drawn, np.array(sizes), statistic, design, settings)
    return table.assign(error_low=low, error_high=high)


def _divide(truth: np.ndarray) -> np.ndarray:
    """Where each part of `[n]` numbers in rising order begins, `[parts]` int."""
    parts = min(_MOST, max(len(truth) // _FEWEST, 1))
    places = (np.arange(parts) * len(truth)) // parts
    return np.unique(np.searchsorted(truth, truth[places])) if truth.size else places[:0]


def _average(label: Moments, starts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean error of each part in every resample, `[parts, R]`; NaN where none of its recordings is drawn."""
    if not starts.size:
        return np.empty((0, weights.shape[1]))
    drawn = np.take(weights.T, label.rows, axis=1)
    total, added = (np.add.reduceat(each, starts, axis=1).T for each in (drawn, drawn * label.terms[2]))
    return label.means[2] + added / np.where(total > 0, total, np.nan)
