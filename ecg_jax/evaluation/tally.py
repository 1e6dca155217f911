"""Scores of many resamples at once: everything a score needs is a sum over recordings, so resamples are weights.

A resample gives each recording a weight, how often it was drawn. One sparse matrix product
per label turns the weights of all resamples into their confusion counts and into the
counts of positives and negatives between and at the scores at which positives lie, of which
ranking scores are made.
"""

import dataclasses

import numpy as np
import scipy.sparse

from ecg_jax.evaluation.settings import Settings


@dataclasses.dataclass(frozen=True)
class Tally:
    """What the scores of one label (or of several pooled) need, as sums over recordings.

    Attributes:
        matrix: `[3 K + 6, N]` sparse; its rows sum, for each of the K distinct scores of a positive
            from the highest, its positives; then its negatives; then the K + 1 counts of negatives
            between these scores; then hits, false alarms, misses, right rejections; then squared errors.
        levels: K.
    """

    matrix: scipy.sparse.csr_array
    levels: int


def create(
    label: np.ndarray,
    probability: np.ndarray,
    called: np.ndarray,
    owner: np.ndarray | None = None,
    size: int = 0,
    *,
    ranking: np.ndarray | None = None,
) -> Tally:
    """Prepares one label, or several pooled ones.

    Args:
        label: `[E]` in {1, 0, NaN}; unknown ones do not count.
        probability: `[E]`.
        called: `[E]` bool, whether it was called positive.
        owner: `[E]` int, the recording that each entry belongs to; entry i is recording i's if None.
        size: N, the number of recordings; E if `owner` is None.
        ranking: `[E]`, what ranking scores are of; the probabilities if None.
    """
    owner = np.arange(len(label)) if owner is None else owner
    size = size or len(label)
    known = ~np.isnan(label)
    truth, called, owner = label[known] > 0.5, called[known], owner[known]
    probability = probability[known].astype(np.float64)
    score = probability if ranking is None else ranking[known].astype(np.float64)
    levels = np.unique(score[truth])[::-1]
    above = len(levels) - np.searchsorted(levels[::-1], score, side="right")  # levels higher than the score
    at_level = np.zeros(len(score), bool)
    if levels.size:
        at_level = levels[np.minimum(above, len(levels) - 1)] == score
    k = len(levels)
    ranking = np.where(truth, above, np.where(at_level, k + above, 2 * k + above))
    outcome = 3 * k + 1 + np.select([truth & called, called, truth], [0, 1, 2], 3)
    rows = np.concatenate([ranking, outcome, np.full(len(score), 3 * k + 5)], dtype=np.int32, casting="same_kind")
    values = np.concatenate([np.ones(2 * len(score)), (probability - truth) ** 2])
    columns = np.tile(owner.astype(np.int32), 3)
    matrix = scipy.sparse.csr_array((values, (rows, columns)), shape=(3 * k + 6, size))
    return Tally(matrix, k)


def compute_scores(tally: Tally, weights: np.ndarray, settings: Settings) -> dict[str, np.ndarray]:
    """Scores of every resample.

    Args:
        tally: See `create`.
        weights: `[N, R]` float64, at least 0: how often each recording is in each resample.
        settings: See `Settings`.

    Returns:
        `[R]` by name, those of `metrics.names`; NaN where undefined, as in `metrics.compute`.
    """
    sums = tally.matrix @ weights
    k = tally.levels
    hits, alarms, misses, rejections, squares = sums[3 * k + 1 :]
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = _compute_ranking(sums[:k], sums[k : 2 * k], sums[2 * k : 3 * k + 1], settings.max_false_positive_rate)
        scores |= compute_decisions(hits, alarms, misses, rejections, settings)
        return scores | {"brier": squares / (hits + alarms + misses + rejections)}


def _compute_ranking(
    positives: np.ndarray, tied: np.ndarray, between: np.ndarray, max_rate: float
) -> dict[str, np.ndarray]:
    """AUROC, its part below a false positive rate, and average precision.

    Args:
        positives: `[K, R]` at each score from the highest.
        tied: `[K, R]` negatives at these.
        between: `[K + 1, R]` negatives above, between and below these.
        max_rate: Where the partial area ends.
    """
    hits_after = np.cumsum(positives, axis=0)
    alarms_before = np.cumsum(between[:-1], axis=0)
    alarms_before[1:] += np.cumsum(tied, axis=0)[:-1]
    alarms_after = alarms_before + tied
    all_positives = positives.sum(axis=0)
    all_negatives = tied.sum(axis=0) + between.sum(axis=0)
    both = np.where((all_positives > 0) & (all_negatives > 0), 1.0, np.nan)
    pairs = all_positives * all_negatives
    lost = np.sum(positives * (alarms_before + tied / 2), axis=0)
    precision = np.divide(hits_after, hits_after + alarms_after, out=np.zeros_like(hits_after), where=positives > 0)
    partial = _compute_partial_area(positives, hits_after, alarms_before, alarms_after, all_negatives, max_rate)
    least = max_rate**2 / 2
    return {
        "auroc": both * (1 - lost / pairs),
        "average_precision": both * np.sum(positives * precision, axis=0) / all_positives,
        "partial_auroc": both * (1 + (partial / pairs - least) / (max_rate - least)) / 2,
    }


def _compute_partial_area(
    positives: np.ndarray,
    hits_after: np.ndarray,
    alarms_before: np.ndarray,
    alarms_after: np.ndarray,
    all_negatives: np.ndarray,
    max_rate: float,
) -> np.ndarray:
    """Area below the curve of hits over false alarms, as far as `max_rate` of the negatives; `[R]`."""
    end = max_rate * all_negatives
    start, stop = np.minimum(alarms_before, end), np.minimum(alarms_after, end)
    hits_before = hits_after - positives
    width = stop - start
    rising = np.divide(
        width, alarms_after - alarms_before, out=np.zeros_like(width), where=alarms_after > alarms_before
    )
    flat = np.diff(np.concatenate([stop, end[None]]), axis=0)
    flat[:-1] -= width[1:]  # from the end of a level to the start of the next
    ahead = start[0] * 0 if len(start) else end * 0  # before the first positive nothing is hit
    return ahead + np.sum(width * (hits_before + positives * rising / 2), axis=0) + np.sum(hits_after * flat, axis=0)


def compute_decisions(
    hits: np.ndarray, alarms: np.ndarray, misses: np.ndarray, rejections: np.ndarray, settings: Settings
) -> dict[str, np.ndarray]:
    """Scores of decisions, from counts `[...]` of each outcome.

    Recall needs positives, specificity negatives, the others both: else NaN. Without a call,
    precision is 0, and without any difference between calls Matthews' correlation too, as in scikit-learn.
    """
    positives, negatives, calls, passes = hits + misses, alarms + rejections, hits + alarms, misses + rejections
    both = np.where((positives > 0) & (negatives > 0), 1.0, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(positives > 0, hits / positives, np.nan)
        specificity = np.where(negatives > 0, rejections / negatives, np.nan)
        spread = np.sqrt(calls) * np.sqrt(passes) * np.sqrt(positives) * np.sqrt(negatives)
        scores = {
            "precision": both * np.where(calls > 0, hits / calls, 0.0),
            "recall": recall,
            "specificity": specificity,
            "npv": both * np.where(passes > 0, rejections / passes, 0.0),
            "f1": both * 2 * hits / (2 * hits + alarms + misses),
            "balanced_accuracy": both * (recall + specificity) / 2,
            "mcc": both * np.where(spread > 0, (hits * rejections - alarms * misses) / spread, 0.0),
        }
        if settings.beta != 1:
            square = settings.beta**2
            scores["f_beta"] = both * (1 + square) * hits / ((1 + square) * hits + alarms + square * misses)
        if settings.prevalence is not None:
            there, absent = settings.prevalence, 1 - settings.prevalence
            called_right, called_wrong = recall * there, (1 - specificity) * absent
            passed_right, passed_wrong = specificity * absent, (1 - recall) * there
            called, passed = called_right + called_wrong, passed_right + passed_wrong
            scores["ppv_at_prevalence"] = both * np.where(called > 0, called_right / called, 0.0)
            scores["npv_at_prevalence"] = both * np.where(passed > 0, passed_right / passed, 0.0)
    return scores
