"""Net benefit: what acting on a probability is worth (Vickers & Elkin 2006, Med Decis Making 26:565-574)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def compute_net_benefit(label: np.ndarray, probability: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """True positives, less false positives at the threshold's odds, per recording.

    Args:
        label: `[N]` in {1, 0, NaN}.
        probability: `[N]`; acted on at or above the threshold.
        thresholds: `[T]`, 0 to below 1.

    Returns:
        `[T]`; NaN without a known label.
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
    """Decision curves: `label`, `threshold`, `model`, `treat_all`; treating none is worth 0.

    Args:
        labels: `[N, C]` in {1, 0, NaN}.
        probabilities: `[N, C]`.
        names: The C labels.
        thresholds: `[T]`, 0 to below 1.
    """
    parts = []
    for i, name in enumerate(names):
        everyone = np.ones(len(labels))
        parts.append(
            pd.DataFrame(
                {
                    "label": name,
                    "threshold": thresholds,
                    "model": compute_net_benefit(labels[:, i], probabilities[:, i], thresholds),
                    "treat_all": compute_net_benefit(labels[:, i], everyone, thresholds),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
