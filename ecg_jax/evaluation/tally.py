"""Scores of many resamples at once: every score is a function of sums over recordings, and a resample weighs these.

A resample gives each recording a weight, how often it was drawn. Sums of weights are the confusion counts, and the
counts of positives and negatives at and between the scores of positives, which give the ranking scores. Which sum a
recording belongs to is the same in all resamples, so scores are sorted once. Nothing here calls BLAS, whose threads
would disturb those of `resampling`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse

from ecg_jax.evaluation.settings import Settings

_TILE = 2**17  # weights, or sums of them, processed at once: they fit a processor's cache


@dataclasses.dataclass(frozen=True)
class Tally:
    """What the scores of one label (or of several pooled) need, as sums over recordings.

    Attributes:
        levels: K, the number of distinct scores of a positive.
        sums: Number of sums: the positives with each score, the highest first; the K + 1 of the negatives between
            these scores; those of the negatives tied with each, if any; the last is that of unknown labels.
        place: `[sums, N]` sparse, how many entries of each recording belong to each sum; for a single label and many
            recordings `[N]` int, the sum of each recording, which is faster there.
        hits, alarms: int, the recordings called positive rightly and wrongly; once per label.
        squares: `[N]`, the sum of each recording's squared errors.
    """

    levels: int
    sums: int
    place: np.ndarray | scipy.sparse.csr_array
    hits: np.ndarray
    alarms: np.ndarray
    squares: np.ndarray

    def add(self, weights: np.ndarray) -> np.ndarray:
        """The sums `[R, sums]` of the weights `[R, N]` of some resamples."""
        if isinstance(self.place, np.ndarray):
            return np.stack([np.bincount(self.place, weight, minlength=self.sums) for weight in weights])
        return np.ascontiguousarray((self.place @ weights.T).T)


def create(
    label: np.ndarray,
    probability: np.ndarray,
    called: np.ndarray,
    owner: np.ndarray | None = None,
    size: int = 0,
    *,
    ranking: np.ndarray | None = None,
) -> Tally:
    """Prepares one label, or several pooled ones, of E entries.

    `owner` `[E]` int is the recording of each entry, of `size`; entry i is recording i's if None. Ranking scores are
    computed from `ranking`, or from the probabilities if None.
    """
    known, size = ~np.isnan(label), size or len(label)
    truth, called = label[known] > 0.5, called[known]
    probability = probability[known].astype(np.float64)
    score = probability if ranking is None else ranking[known].astype(np.float64)
    levels = np.unique(score[truth])[::-1]
    k = len(levels)
    above = k - np.searchsorted(levels[::-1], score, side="right")  # levels higher than the score
    tied = ~truth & (levels[np.minimum(above, k - 1)] == score) if k else np.zeros(len(score), bool)
    sums = (3 * k if tied.any() else 2 * k) + 2
    place = np.full(len(label), sums - 1, np.intp)
    place[known] = np.where(truth, above, np.where(tied, 2 * k + 1, k) + above)
    recording = np.flatnonzero(known) if owner is None else owner[known]
    squares = np.bincount(recording, (probability - truth) ** 2, minlength=size)
    places: np.ndarray | scipy.sparse.csr_array = place
    if owner is not None or size <= _TILE:
        cells = place.astype(np.int32), (np.arange(size) if owner is None else owner).astype(np.int32)
        places = scipy.sparse.csr_array((np.ones(len(label)), cells), shape=(sums, size))
    return Tally(k, sums, places, recording[truth & called], recording[~truth & called], squares)


def sum_weights(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The total weight `[R]` of some recordings, by number; weights are `[N, R]`."""
    return np.take(weights.T, rows, axis=1).sum(axis=1)


def compute_scores(tally: Tally, weights: np.ndarray, settings: Settings) -> dict[str, np.ndarray]:
    """Scores of every resample, `[R]` by name, those of `metrics.list_metrics`.

    `weights` `[N, R]` float64 are how often each recording is in each resample; fastest in Fortran's order. Recall
    needs a positive, specificity a negative, Brier either, all others both: NaN without.
    """
    rows = np.ascontiguousarray(weights.T)
    step = max(1, _TILE // max(tally.sums, rows.shape[1]))
    tiles = [_compute_ranking(tally, rows[start : start + step], settings) for start in range(0, len(rows), step)]
    positives, negatives, *ranking = np.concatenate(tiles, axis=1)
    hits, alarms = sum_weights(rows.T, tally.hits), sum_weights(rows.T, tally.alarms)
    misses, rejections = np.maximum(positives - hits, 0), np.maximum(negatives - alarms, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = dict(zip(("auroc", "average_precision", "partial_auroc"), ranking, strict=True))
        scores |= compute_decisions(hits, alarms, misses, rejections, settings)
        return scores | {"brier": np.einsum("rn,n->r", rows, tally.squares) / (positives + negatives)}


def stack_scores(tallies: Sequence[Tally], names: Sequence[str], weights: np.ndarray, settings: Settings) -> np.ndarray:
    """The named scores of every resample, `[tallies, names, R]`; see `compute_scores`."""
    parts = [compute_scores(each, weights, settings) for each in tallies]
    return np.stack([np.stack([part[name] for name in names]) for part in parts])


def _compute_ranking(tally: Tally, weights: np.ndarray, settings: Settings) -> np.ndarray:
    """`[5, R]`: positives, negatives, AUROC, average precision and partial AUROC of weights `[R, N]`."""
    k, sums = tally.levels, tally.add(weights)
    found, between, tied = sums[:, :k], sums[:, k : 2 * k + 1], sums[:, 2 * k + 1 : -1]
    positives, negatives = found.sum(axis=1), between.sum(axis=1) + tied.sum(axis=1)
    alarms_before = alarms_after = np.cumsum(between[:, :-1], axis=1)
    if tied.size:
        alarms_after = alarms_before + np.cumsum(tied, axis=1)
        alarms_before = alarms_after - tied
    hits = np.cumsum(found, axis=1)
    precision = hits / np.maximum(hits + alarms_after, np.finfo(np.float64).tiny)
    lost = np.sum(found * (alarms_before + alarms_after), axis=1) / 2
    rate = settings.max_false_positive_rate
    partial = np.sum(found * _measure_width(alarms_before, alarms_after, rate * negatives[:, None]), axis=1)
    both = np.where((positives > 0) & (negatives > 0), 1.0, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs, least = positives * negatives, rate**2 / 2
        average_precision = both * np.sum(found * precision, axis=1) / positives
        partial_auroc = both * (1 + (partial / pairs - least) / (rate - least)) / 2  # McClish's standardization
        return np.stack([positives, negatives, both * (1 - lost / pairs), average_precision, partial_auroc])


def _measure_width(before: np.ndarray, after: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Width of the ROC area to the right of each positive, up to `end` false alarms `[R, 1]`.

    `before` and `after` are the false alarms `[R, K]` before each score and with it; hits rise linearly between.
    """
    width = np.maximum(end - after, 0)
    if after is before:
        return width
    rising = np.clip(end - before, 0, after - before)
    return width + np.divide(rising**2, 2 * (after - before), out=np.zeros_like(rising), where=rising > 0)


def compute_decisions(
    hits: np.ndarray, alarms: np.ndarray, misses: np.ndarray, rejections: np.ndarray, settings: Settings
) -> dict[str, np.ndarray]:
    """Scores of decisions, from counts `[...]` of each outcome.

    Recall needs positives, specificity negatives, the others both: else NaN. As in scikit-learn, precision is 0
    without a call, and Matthews' correlation 0 where all calls are the same.
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
            ill, well = settings.prevalence, 1 - settings.prevalence
            called, passed = recall * ill + (1 - specificity) * well, specificity * well + (1 - recall) * ill
            scores["ppv_at_prevalence"] = both * np.where(called > 0, recall * ill / called, 0.0)
            scores["npv_at_prevalence"] = both * np.where(passed > 0, specificity * well / passed, 0.0)
    return scores
