"""Where a probability becomes a diagnosis. Chosen on validation, never on the test split."""

import numpy as np
from sklearn import metrics as sk

DEFAULT = 0.5


def choose_max_f1(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """The threshold of maximal F1 per label.

    Args:
        labels: `[N, C]` in {1, 0, NaN}.
        probabilities: `[N, C]`.

    Returns:
        One threshold per label: midway between the lowest probability that is called
        positive and the highest that is not; 0.5 where no known label is present.
    """
    return [_choose(labels[:, i], probabilities[:, i]) for i in range(labels.shape[1])]


def _choose(label: np.ndarray, probability: np.ndarray) -> float:
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known]
    if not truth.any():
        return DEFAULT
    precision, recall, cuts = sk.precision_recall_curve(truth, score)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = cuts[int(np.argmax(f1[:-1]))]
    below = score[score < best]
    midway = (best + below.max()) / 2 if below.size else best
    return float(midway) if below.size and midway > below.max() else float(best)  # neighbours have no midway
