"""Scores per label and their macro average; unknown labels are left out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics as sk

MACRO = "macro"
MACRO_COLUMNS = ("auroc", "average_precision", "f1", "precision", "recall", "specificity")


def compute_ranking(label: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """AUROC and average precision of one label.

    Args:
        label: `[N]` in {1, 0, NaN}.
        probability: `[N]`.

    Returns:
        Both; NaN where the known labels are all present or all absent (average precision:
        where none is present).
    """
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known]
    auroc = float(sk.roc_auc_score(truth, score)) if 0 < truth.sum() < truth.size else np.nan
    precision = float(sk.average_precision_score(truth, score)) if truth.any() else np.nan
    return auroc, precision


def compute_decisions(label: np.ndarray, probability: np.ndarray, threshold: float | np.ndarray) -> dict[str, float]:
    """Precision, recall, specificity and F1 of one label; NaN where undefined.

    Args:
        label: `[N]` in {1, 0, NaN}.
        probability: `[N]`; positive at or above the threshold.
        threshold: One, or `[N]`, one per recording.
    """
    known = ~np.isnan(label)
    truth, called = label[known] > 0.5, (probability >= threshold)[known]
    hits, calls, positives = np.sum(truth & called), np.sum(called), np.sum(truth)
    negatives = truth.size - positives

    def ratio(part: float, whole: float) -> float:
        return float(part / whole) if whole else np.nan

    return {
        "precision": ratio(hits, calls),
        "recall": ratio(hits, positives),
        "specificity": ratio(negatives - (calls - hits), negatives),
        "f1": ratio(2 * hits, calls + positives) if positives else np.nan,
    }


def compute_scores(
    labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str], thresholds: Sequence[float] | np.ndarray
) -> pd.DataFrame:
    """The table of scores: one row per label, one `macro` row (means over labels where defined).

    Args:
        labels: `[N, C]` in {1, 0, NaN}.
        probabilities: `[N, C]`.
        names: The C labels.
        thresholds: One per label, chosen on other recordings than these; or `[N, C]`, where several
            networks predicted, each with its own. The table then shows their mean.
    """
    rows: list[dict[str, Any]] = []
    for i, (name, threshold) in enumerate(zip(names, np.asarray(thresholds).T, strict=True)):
        auroc, precision = compute_ranking(labels[:, i], probabilities[:, i])
        rows.append(
            {
                "label": name,
                "n": int(np.sum(~np.isnan(labels[:, i]))),
                "positives": int(np.nansum(labels[:, i])),
                "auroc": auroc,
                "average_precision": precision,
                "threshold": float(np.mean(threshold)),
            }
            | compute_decisions(labels[:, i], probabilities[:, i], threshold)
        )
    table = pd.DataFrame(rows)
    macro: dict[str, Any] = {"label": MACRO, "n": len(labels), "positives": int(table["positives"].sum())}
    macro |= {column: table[column].mean() for column in MACRO_COLUMNS}
    table = pd.concat([table, pd.DataFrame([macro])], ignore_index=True)
    return table[
        [
            "label",
            "n",
            "positives",
            "auroc",
            "average_precision",
            "f1",
            "threshold",
            "precision",
            "recall",
            "specificity",
        ]
    ]


def compute_summary(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Macro AUROC, macro average precision and mean cross entropy over known labels.

    Args:
        labels: `[N, C]` in {1, 0, NaN}.
        probabilities: `[N, C]` in [0, 1].
    """
    ranking = np.array([compute_ranking(labels[:, i], probabilities[:, i]) for i in range(labels.shape[1])])
    defined = ~np.isnan(ranking)
    macro = np.where(defined.any(axis=0), np.nansum(ranking, axis=0) / np.maximum(defined.sum(axis=0), 1), np.nan)
    known = ~np.isnan(labels)
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    entropy = -np.where(labels > 0.5, np.log(clipped), np.log1p(-clipped))
    return {
        "auroc": float(macro[0]),
        "average_precision": float(macro[1]),
        "loss": float(entropy[known].mean()) if known.any() else np.nan,
    }
