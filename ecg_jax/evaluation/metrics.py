"""Names of the scores, and scores of one label or of a whole data set; unknown labels are left out.

`tally` computes all scores, of thousands of resamples at once.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from ecg_jax.evaluation.settings import Settings

MACRO, MICRO, WEIGHTED = "macro", "micro", "weighted"
RANKING = ("auroc", "average_precision", "partial_auroc")
DECISIONS = ("f1", "precision", "recall", "specificity", "npv", "balanced_accuracy", "mcc")


def list_metrics(settings: Settings) -> tuple[str, ...]:
    """Names of the scores, in the order of tables."""
    extra = [] if settings.beta == 1 else ["f_beta"]
    extra += [] if settings.prevalence is None else ["ppv_at_prevalence", "npv_at_prevalence"]
    return (*RANKING, *DECISIONS, *extra, "brier")


def explain(label: np.ndarray) -> str:
    """Why scores of a label `[N]` in {1, 0, NaN} are undefined; empty where they are defined."""
    positives, negatives = np.sum(label == 1), np.sum(label == 0)
    if not positives and not negatives:
        return "no known label"
    return "no positives" if not positives else "no negatives" if not negatives else ""


def count_outcomes(label: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Hits, false alarms, misses and correct rejections, `[4]` int, of a label `[N]` in {1, 0, NaN}."""
    known = ~np.isnan(label)
    truth, called = label[known] > 0.5, np.asarray(called, bool)[known]
    return np.array([np.sum(each) for each in (truth & called, ~truth & called, truth & ~called, ~truth & ~called)])


def compute_ranking(label: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """AUROC and average precision of a label `[N]` in {1, 0, NaN}; NaN without both classes."""
    if explain(label):
        return np.nan, np.nan
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known]
    return float(sk.roc_auc_score(truth, score)), float(sk.average_precision_score(truth, score))


def compute_precision_range(truth: np.ndarray, scores: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest precision of networks with scores `[K, N]` at each recall of `grid` `[G]`, `[G]` each.

    A network's precision at a recall is that of its next higher recall; there must be a positive.
    """
    heights = []
    for score in scores:
        precision, recall, _ = sk.precision_recall_curve(truth, score)
        rising = recall[-2::-1]  # without the last point, which no threshold has
        heights.append(precision[-2::-1][np.searchsorted(rising, grid)])
    return np.min(heights, axis=0), np.max(heights, axis=0)


def compute_net_benefit(label: np.ndarray, probability: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Net benefit `[T]` (Vickers & Elkin 2006, Med Decis Making 26:565-574): what acting on a probability is worth.

    True positives less false positives weighted by the threshold's odds, per recording; NaN without a label. One acts
    at or above a threshold; `thresholds` are `[T]`, 0 to below 1.
    """
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known]
    if not truth.size:
        return np.full(len(thresholds), np.nan)
    hits = np.sum(truth) - np.searchsorted(np.sort(score[truth]), thresholds, side="left")
    alarms = np.sum(~truth) - np.searchsorted(np.sort(score[~truth]), thresholds, side="left")
    return (hits - alarms * thresholds / (1 - thresholds)) / truth.size


def compute_decision_curves(
    labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str], thresholds: np.ndarray
) -> pd.DataFrame:
    """Decision curves: `label`, `threshold`, `model`, `treat_all`; the net benefit of treating none is 0."""
    parts = []
    for name, label, probability in zip(names, labels.T, probabilities.T, strict=True):
        strategies = {"model": probability, "treat_all": np.ones(len(label))}
        values = {key: compute_net_benefit(label, each, thresholds) for key, each in strategies.items()}
        parts.append(pd.DataFrame({"label": name, "threshold": thresholds, **values}))
    return pd.concat(parts, ignore_index=True)


def compute_summary(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Macro AUROC, macro average precision and mean cross entropy over known labels."""
    macro = average(np.array([compute_ranking(*column) for column in zip(labels.T, probabilities.T, strict=True)]))
    known = ~np.isnan(labels)
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    entropy = -np.where(labels > 0.5, np.log(clipped), np.log1p(-clipped))
    return {
        "auroc": float(macro[0]),
        "average_precision": float(macro[1]),
        "loss": float(entropy[known].mean()) if known.any() else np.nan,
    }


def average(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Means `[...]` over the first axis of what is defined in `[C, ...]`; NaN where nothing is, or has weight."""
    values = np.asarray(values, np.float64)
    weight = np.where(np.isnan(values), 0.0, 1.0 if weights is None else weights)
    total = weight.sum(axis=0)
    mean = np.sum(weight * np.nan_to_num(values), axis=0) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, np.nan)
