"""Net benefit: what acting on a probability is worth (Vickers & Elkin 2006, Med Decis Making 26:565-574)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def compute_net_benefit(label: np.ndarray, probability: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """True positives less false positives weighted by the threshold's odds, per recording, `[T]`; NaN without a label.

    One acts at or above a threshold; `thresholds` are `[T]`, 0 to below 1.
    """
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known]
    if not truth.size:
        return np.full(len(thresholds), np.nan)
    hits = np.sum(truth) - np.searchsorted(np.sort(score[truth]), thresholds, side="left")
    alarms = np.sum(~truth) - np.searchsorted(np.sort(score[~truth]), thresholds, side="left")
    return (hits - alarms * thresholds / (1 - thresholds)) / truth.size


def compute_curves(
    labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str], thresholds: np.ndarray
) -> pd.DataFrame:
    """Decision curves: `label`, `threshold`, `model`, `treat_all`; the net benefit of treating none is 0."""
    parts = []
    for name, label, probability in zip(names, labels.T, probabilities.T, strict=True):
        strategies = {"model": probability, "treat_all": np.ones(len(label))}
        values = {key: compute_net_benefit(label, each, thresholds) for key, each in strategies.items()}
        parts.append(pd.DataFrame({"label": name, "threshold": thresholds, **values}))
    return pd.concat(parts, ignore_index=True)
