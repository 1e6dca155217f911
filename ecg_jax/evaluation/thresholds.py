"""Thresholds at which a probability becomes a diagnosis, chosen by a rule on validation or on parts of the test set."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.printable import list_some

DEFAULT = 0.5
NOT_CHOSEN = f"{DEFAULT}, not chosen"
VALIDATION, FOLDS, CROSS_FITTED, TEST = "validation", "folds", "cross-fitted", "test"
GIVEN, STATED = "given", "stated"
STAMP = "Thresholds were chosen on the test set itself: these scores are optimistic"
UNCHECKED = "thresholds are those that the file states; no one has checked that other recordings chose them"
FEWEST = 5  # positives and negatives: with fewer a run chooses no threshold and fits no calibration
PARTS = 10  # of a cross-fit

# Hits and false alarms [K + 1] of calling nothing, or everything from each of K scores on; number of positives and of
# negatives -> [K + 1], highest for the best threshold.
Objective = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """One threshold per label, or one per recording and label; at or above it a recording is called positive.

    Attributes:
        values: `[C]` or `[N, C]`.
        rule: The rule that chose them; empty where they were given.
        source: Where they were chosen: `VALIDATION`, `FOLDS` (each network's validation), `CROSS_FITTED`,
            `TEST`, `GIVEN`, or `STATED` (the model's own, in its file of predictions).
        unchosen: Labels left at `DEFAULT` for lack of positives or negatives; where they are cross-fitted or of
            several networks, in at least one part.
    """

    values: np.ndarray
    rule: str
    source: str
    unchosen: tuple[str, ...] = ()

    def leave(self, unchosen: Collection[str], names: Sequence[str]) -> "Thresholds":
        """With `DEFAULT` for some of the labels `names`."""
        values = np.where(np.isin(names, list(unchosen)), DEFAULT, self.values)
        chosen = tuple(name for name in names if name in {*self.unchosen, *unchosen})
        return dataclasses.replace(self, values=values, unchosen=chosen)

    def select(self, names: Sequence[str], among: Sequence[str]) -> "Thresholds":
        """Those of some labels, in that order, `among` those that there are now."""
        places = [list(among).index(name) for name in names]
        unchosen = tuple(name for name in names if name in self.unchosen)
        return dataclasses.replace(self, values=self.values[..., places], unchosen=unchosen)

    @property
    def stamps(self) -> tuple[str, ...]:
        """Lines that every output must show."""
        return (STAMP,) if self.source == TEST else ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines that a reader must know."""
        lines = (UNCHECKED,) if self.source == STATED else ()
        if not self.unchosen:
            return lines
        where = " in a part" if self.source in (FOLDS, CROSS_FITTED) else ""
        return (
            *lines,
            f"threshold {NOT_CHOSEN}{where}, as there were too few positives or negatives to choose by: "
            f"{list_some(self.unchosen, 10)}",
        )

    def describe(self) -> str:
        """In words, for captions."""
        source = {
            VALIDATION: f"chosen on the validation set ({self.rule})",
            FOLDS: f"each network's own, chosen on its validation part ({self.rule}); the table shows their mean",
            CROSS_FITTED: f"chosen for each recording on other parts of the test set ({self.rule}, cross-fitted); "
            "the table shows their mean",
            TEST: f"chosen on the test set itself ({self.rule})",
            GIVEN: "given",
            STATED: "the model's own, as the file of predictions has them",
        }[self.source]
        return source + (f"; {NOT_CHOSEN}: {list_some(self.unchosen, 10)}" if self.unchosen else "")


def _f1(hits: np.ndarray, alarms: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    return 2 * hits / (hits + alarms + positives)


def _youden(hits: np.ndarray, alarms: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    return hits * negatives - alarms * positives  # whole numbers: equals are equal


def _sensitivity(value: float, hits: np.ndarray, alarms: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    return np.where(hits / positives >= value - 1e-12, -alarms / negatives, -np.inf)


def _specificity(value: float, hits: np.ndarray, alarms: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    return np.where(1 - alarms / negatives >= value - 1e-12, hits / positives, -np.inf)


def _cost(value: float, hits: np.ndarray, alarms: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    return -(value * (positives - hits) + alarms)


_SETTLED: dict[str, Objective] = {"max_f1": _f1, "youden": _youden}
# With a number: what it maximizes, above what and up to what the number may be.
_WITH_VALUE: dict[str, tuple[Callable[..., np.ndarray], float, float]] = {
    "sensitivity": (_sensitivity, 0.0, 1.0),
    "specificity": (_specificity, 0.0, 1.0),
    "cost": (_cost, 0.0, float("inf")),
}
RULES = (
    "max_f1 (largest F1), youden (largest sensitivity + specificity), sensitivity=X (the best specificity at "
    "sensitivity X), specificity=X (the best sensitivity), cost=X (a miss costs X false alarms)"
)


def parse_rule(rule: str) -> Objective:
    """What a rule maximizes; raises `InputError` for an unknown rule, listing those in `RULES`."""
    name, _, text = rule.partition("=")
    if rule in _SETTLED:
        return _SETTLED[rule]
    if name in _WITH_VALUE and text:
        objective, low, high = _WITH_VALUE[name]
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if low < value <= high and np.isfinite(value):
            return functools.partial(objective, value)
        raise InputError(f"threshold rule {rule!r}: {text!r} must be a number above {low:g}, at most {high:g}")
    raise InputError(f"threshold rule {rule!r} is unknown; known: {RULES}")


def choose(labels: np.ndarray, probabilities: np.ndarray, rule: str = "max_f1") -> np.ndarray:
    """One threshold per label, `[C]` float64, by a rule of `RULES`.

    Midway between the lowest probability that is called positive and the highest that is not; the probability itself
    where no number lies between; above all probabilities where it is best to call nothing. Of equally good thresholds
    the highest, but for `max_f1` the lowest, as in scikit-learn's curve. 0.5 for a label without both classes.
    """
    objective = parse_rule(rule)
    columns = [_sort(*column) for column in zip(labels.T, probabilities.T, strict=True)]
    return np.array([_choose(truth, score, objective) for _, truth, score in columns], np.float64)


def _sort(label: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recordings `[M]` with a known label by falling probability; their truth, bool; their probability."""
    rows = np.flatnonzero(~np.isnan(label))
    rows = rows[np.argsort(-probability[rows].astype(np.float64), kind="stable")]
    return rows, label[rows] > 0.5, probability[rows].astype(np.float64)


def _choose(truth: np.ndarray, score: np.ndarray, objective: Objective) -> float:
    """The best threshold; see `_sort`."""
    positives, negatives = int(np.count_nonzero(truth)), int(np.count_nonzero(~truth))
    if not positives or not negatives:
        return DEFAULT
    cuts = np.flatnonzero(np.diff(score, append=-np.inf))  # the last place of each distinct score
    levels = np.concatenate([[np.nextafter(score[0], np.inf)], score[cuts]])  # first, call nothing
    hits = np.concatenate([[0], np.cumsum(truth)[cuts]])
    alarms = np.concatenate([[0], cuts + 1]) - hits
    gain = objective(hits, alarms, positives, negatives)
    best = len(gain) - 1 - int(np.argmax(gain[::-1])) if objective is _f1 else int(np.argmax(gain))
    called = levels[best]
    if best in (0, len(levels) - 1):
        return float(called)
    missed = levels[best + 1]
    midway = (called + missed) / 2
    return float(midway) if midway > missed else float(called)  # no number lies between neighbours


def find_unchosen(labels: np.ndarray, names: Sequence[str], fewest: int = 1) -> tuple[str, ...]:
    """Names of the labels `[N, C]` with fewer positives or negatives; with none, `choose` gives `DEFAULT`."""
    count = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    return tuple(name for name, smaller in zip(names, count, strict=True) if smaller < fewest)


def cross_fit(labels: np.ndarray, probabilities: np.ndarray, fold: np.ndarray, rule: str = "max_f1") -> np.ndarray:
    """Thresholds `[N, C]`, those of each part (`fold` `[N]` int, see `assign_folds`) chosen on all other parts."""
    objective, parts = parse_rule(rule), [(part, fold == part) for part in np.unique(fold)]
    values = np.empty(labels.shape)
    for i in range(labels.shape[1]):
        rows, truth, score = _sort(labels[:, i], probabilities[:, i])
        sorted_fold = fold[rows]
        for part, inside in parts:
            others = sorted_fold != part
            values[inside, i] = _choose(truth[others], score[others], objective)
    return values


def assign_folds(labels: np.ndarray, groups: np.ndarray, seed: int, folds: int = PARTS) -> np.ndarray:
    """Assigns patients to parts in which labels are about equally frequent, `[N]` int.

    Recordings of the same `groups` `[N]` int stay together; there is at most one part per group.
    """
    _, group = np.unique(groups, return_inverse=True)
    count = group.max() + 1
    present = np.zeros((count, labels.shape[1]), bool)
    np.logical_or.at(present, group, labels == 1)
    rank = np.random.default_rng(seed).permutation(count)
    rarest = np.where(present, present.sum(axis=0), count + 1).min(axis=1)
    order = np.lexsort((rank, *present.T, rarest))
    place = np.empty(count, np.int64)
    place[order] = np.arange(count) % min(folds, count)
    return place[group.reshape(-1)]
