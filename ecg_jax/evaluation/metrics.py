"""Scores of one label, and of several together; unknown labels are left out.

`tally` computes the same of thousands of resamples at once; a test holds both equal.
"""

import numpy as np
from sklearn import metrics as sk

from ecg_jax.evaluation import tally
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
    """Why scores of a label `[N]` in {1, 0, NaN} are undefined; empty where they are not."""
    positives, negatives = np.sum(label == 1), np.sum(label == 0)
    if not positives and not negatives:
        return "no known label"
    return "no positives" if not positives else "no negatives" if not negatives else ""


def compute(
    label: np.ndarray,
    probability: np.ndarray,
    called: np.ndarray,
    settings: Settings,
    ranking: np.ndarray | None = None,
) -> dict[str, float]:
    """Every score of one label; ranking scores with scikit-learn.

    Args:
        label: `[N]` in {1, 0, NaN = unknown}.
        probability: `[N]`.
        called: `[N]` bool, whether it was called positive.
        settings: See `Settings`.
        ranking: `[N]`, what ranking scores are of (see `Predictions.ranking`); the probabilities if None.

    Returns:
        By name, in the order of `list_metrics`. Recall needs a positive, specificity a negative, Brier either,
        everything else both: NaN without. Precision without a call, and Matthews'
        correlation without a difference between calls, are 0.
    """
    known = ~np.isnan(label)
    truth, probability = label[known] > 0.5, probability[known].astype(np.float64)
    scores = dict.fromkeys(list_metrics(settings), np.nan)
    if not truth.size:
        return scores
    scores["brier"] = float(sk.brier_score_loss(truth, probability))
    scores |= compute_decisions(count_outcomes(label, called), settings)
    if not explain(label):
        score = probability if ranking is None else ranking[known].astype(np.float64)
        scores["auroc"] = float(sk.roc_auc_score(truth, score))
        scores["average_precision"] = float(sk.average_precision_score(truth, score))
        scores["partial_auroc"] = float(sk.roc_auc_score(truth, score, max_fpr=settings.max_false_positive_rate))
    return scores


def count_outcomes(label: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Hits, false alarms, misses and right rejections, `[4]` int, of a label `[N]` in {1, 0, NaN}."""
    known = ~np.isnan(label)
    truth, called = label[known] > 0.5, np.asarray(called, bool)[known]
    return np.array(
        [np.sum(truth & called), np.sum(~truth & called), np.sum(truth & ~called), np.sum(~truth & ~called)]
    )


def compute_decisions(counts: np.ndarray, settings: Settings) -> dict[str, float]:
    """Scores of decisions (see `tally.compute_decisions`) from what `count_outcomes` counts."""
    hits, alarms, misses, rejections = counts
    return {
        name: float(value)
        for name, value in tally.compute_decisions(hits, alarms, misses, rejections, settings).items()
    }


def compute_ranking(label: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """AUROC and average precision of one label; NaN where the known labels are not of both classes.

    Args:
        label: `[N]` in {1, 0, NaN}.
        probability: `[N]`.
    """
    if explain(label):
        return np.nan, np.nan
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known]
    return float(sk.roc_auc_score(truth, score)), float(sk.average_precision_score(truth, score))


def compute_precision_range(truth: np.ndarray, scores: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest precision of several networks at each recall.

    Args:
        truth: `[N]` bool, with at least one positive.
        scores: `[K, N]`, of K networks.
        grid: `[G]` recalls, from 0 to 1; a network's precision there is that of its next higher recall.

    Returns:
        `[G]` each.
    """
    heights = []
    for score in scores:
        precision, recall, _ = sk.precision_recall_curve(truth, score)
        rising = recall[-2::-1]  # without the last point, which no threshold has
        heights.append(precision[-2::-1][np.searchsorted(rising, grid)])
    return np.min(heights, axis=0), np.max(heights, axis=0)


def compute_summary(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Macro AUROC, macro average precision and mean cross entropy over known labels.

    Args:
        labels: `[N, C]` in {1, 0, NaN}.
        probabilities: `[N, C]` in [0, 1].
    """
    ranking = np.array([compute_ranking(labels[:, i], probabilities[:, i]) for i in range(labels.shape[1])])
    macro = average(ranking)
    known = ~np.isnan(labels)
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    entropy = -np.where(labels > 0.5, np.log(clipped), np.log1p(-clipped))
    return {
        "auroc": float(macro[0]),
        "average_precision": float(macro[1]),
        "loss": float(entropy[known].mean()) if known.any() else np.nan,
    }


def average(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Means over the first axis of what is defined there.

    Args:
        values: `[C, ...]`.
        weights: At least 0, of a shape that spreads to that of the values; equal if None.

    Returns:
        `[...]`; NaN where nothing is defined, or has a weight.
    """
    values = np.asarray(values, np.float64)
    weight = np.where(np.isnan(values), 0.0, 1.0 if weights is None else weights)
    total = weight.sum(axis=0)
    mean = np.sum(weight * np.nan_to_num(values), axis=0) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, np.nan)
