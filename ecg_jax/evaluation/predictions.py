"""Probabilities, or predicted numbers, and truth of some recordings: the input of every evaluation."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.kinds import FINDING, NUMBER


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions and labels of some recordings, each with the same C labels, all of one kind."""

    ids: np.ndarray  # `[N]` str, unique
    names: tuple[str, ...]  # the C labels
    labels: np.ndarray  # `[N, C]` float, NaN = unknown: 1 or 0 of findings, in their unit of numbers
    probabilities: np.ndarray  # `[N, C]` in [0, 1]; of numbers the predicted ones, in their unit
    raw: np.ndarray | None = None  # `[N, C]` before recalibration, where there was one
    patients: np.ndarray | None = None  # `[N]` str, empty for unknown; None where no patient is known
    # Columns that define subgroups: name to `[N]`, numbers or str.
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    kind: str = FINDING  # one of `kinds.KINDS`

    def __post_init__(self) -> None:
        shape = (len(self.ids), len(self.names))
        for name, values in (("labels", self.labels), ("probabilities", self.probabilities)):
            if values.shape != shape:
                raise InputError(f"{name} are {values.shape}; expected {shape}, recordings x labels")
        check_names(self.names)
        if not len(self.ids):
            raise InputError("no recording to evaluate: the split is empty")
        is_finite = bool(np.all(np.isfinite(self.probabilities)))
        if self.kind == NUMBER and not is_finite:
            raise InputError("predicted numbers must be finite")
        if self.kind == FINDING and not (is_finite and 0 <= self.probabilities.min() <= self.probabilities.max() <= 1):
            raise InputError("probabilities must be numbers from 0 to 1")

    @property
    def is_recalibrated(self) -> bool:
        """Whether probabilities differ from what they were before recalibration."""
        return self.raw is not None and not np.array_equal(self.raw, self.probabilities)

    @property
    def ranking(self) -> np.ndarray:
        """Numbers that rank the recordings label by label, `[N, C]` float; see `order`."""
        if self.raw is None or not self.is_recalibrated:
            return self.probabilities
        return np.stack([order(*columns) for columns in zip(self.probabilities.T, self.raw.T, strict=True)], axis=1)

    def take(self, rows: np.ndarray) -> "Predictions":
        """The predictions of some recordings, by number or mask, in that order."""
        return dataclasses.replace(
            self,
            ids=self.ids[rows],
            labels=self.labels[rows],
            probabilities=self.probabilities[rows],
            raw=None if self.raw is None else self.raw[rows],
            patients=None if self.patients is None else self.patients[rows],
            attributes={name: values[rows] for name, values in self.attributes.items()},
        )

    def select(self, names: Sequence[str]) -> "Predictions":
        """The predictions of some labels, in that order."""
        places = [self.names.index(name) for name in names]
        return dataclasses.replace(
            self,
            names=tuple(names),
            labels=self.labels[:, places],
            probabilities=self.probabilities[:, places],
            raw=None if self.raw is None else self.raw[:, places],
        )


def order(probability: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Numbers `[E]` that rank like recalibrated probabilities `[E]` and, where these tie, like the raw ones `[E]`.

    For a single label this is the raw ranking, as no recalibration reverses two recordings.
    """
    place = np.lexsort((raw, probability))
    is_higher = (np.diff(probability[place]) > 0) | (np.diff(raw[place]) > 0)
    found = np.empty(len(place))
    found[place] = np.concatenate([[0], np.cumsum(is_higher)])
    return found


def check_names(names: Sequence[str]) -> None:
    """Raises `InputError` for labels whose rows in a table would be ambiguous."""
    if reserved := sorted({*names} & {"macro", "micro", "weighted"}):
        raise InputError(f"a label is called {reserved[0]}, as an average is; rename it")
    if len({*names}) < len(names):
        raise InputError(f"labels are named twice: {', '.join(names)}")
