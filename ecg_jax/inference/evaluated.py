"""Predictions with their truth and what is known about them: where every evaluation starts, of a run or of files."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecg_jax.data import joins
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError
from ecg_jax.evaluation import analysis, calibration
from ecg_jax.evaluation.left_out import LeftOut
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import GIVEN, Thresholds
from ecg_jax.printable import list_some


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Predictions to evaluate, and what is known about them."""

    title: str  # short name of the model or file
    subtitle: str  # which recordings these are
    predictions: Predictions  # of the recordings to score
    validation: Predictions | None = None  # of others, on which thresholds may be chosen
    thresholds: Thresholds | None = None  # that the model brings, or that were chosen
    facts: tuple[str, ...] = ()  # sentences on where everything comes from
    warnings: tuple[str, ...] = ()  # lines that a reader must know
    source: str = ""  # the file or folder, for messages
    recordings: joins.Names = dataclasses.field(default_factory=dict)  # empty where no file names them
    dataset: Dataset | None = None  # that was predicted; None for files
    cache: str | None = None  # the file of a run that keeps measurements of its own recordings
    left_out: tuple[LeftOut, ...] = ()  # recordings that are not scored, and why; warnings say how many
    on_request: tuple[str, ...] = ()  # attributes that make subgroups only where these are named
    learning_curve: Callable[[], Figure] | None = None  # draws that of the training

    @property
    def side(self) -> joins.Side:
        """One side of a join."""
        return joins.Side(self.source or self.title, len(self.predictions.ids), self.recordings)

    def take(self, rows: np.ndarray) -> "Evaluated":
        """The same of some of the recordings to score, by number or mask."""
        return dataclasses.replace(
            self, predictions=self.predictions.take(rows), recordings=joins.take(self.recordings, rows)
        )

    def select(self, names: Sequence[str]) -> "Evaluated":
        """The same of some of the labels, in that order."""
        dataset = self.dataset
        if dataset is not None:
            dataset = dataclasses.replace(dataset, columns={name: dataset.columns[name] for name in names})
        return dataclasses.replace(
            self,
            dataset=dataset,
            predictions=self.predictions.select(names),
            validation=self.validation and self.validation.select(names),
            thresholds=self.thresholds and self.thresholds.select(names, self.predictions.names),
        )

    def recalibrate(self, method: str | None) -> "Evaluated":
        """With a calibration of the raw probabilities fitted on validation, and no thresholds; unchanged if None.

        Raises:
            InputError: when there is no validation to fit it on.
        """
        if method is None:
            return self
        if self.validation is None:
            raise InputError(
                f"--calibration={method} is fitted on other recordings: those of the validation split beside the one "
                "that is scored, or --validation=FILE"
            )
        raw = self.undo_calibration()
        assert raw.validation is not None
        names = self.predictions.names
        fitted = calibration.fit(method, raw.validation.labels, raw.validation.probabilities, names)
        scored, validation = (
            dataclasses.replace(each, probabilities=fitted.apply(each.probabilities, names), raw=each.probabilities)
            for each in (raw.predictions, raw.validation)
        )
        return dataclasses.replace(self, predictions=scored, validation=validation, thresholds=None)

    def undo_calibration(self) -> "Evaluated":
        """With the raw probabilities in place of recalibrated ones."""

        def undo(each: Predictions) -> Predictions:
            return each if each.raw is None else dataclasses.replace(each, probabilities=each.raw, raw=None)

        validation = self.validation and undo(self.validation)
        return dataclasses.replace(self, predictions=undo(self.predictions), validation=validation)

    def choose_thresholds(
        self, settings: Settings, *, given: Sequence[str] = (), rule: str | None = None, on_test: bool = False
    ) -> "Evaluated":
        """With thresholds: those given as `LABEL=0.3`, or those that the model brings, or chosen ones.

        These are chosen by a rule, `max_f1` if None, on validation, on the scored recordings themselves (`on_test`), or
        by cross-fitting; a rule or `on_test` replaces those that the model brings.
        """
        if given:
            return dataclasses.replace(self, thresholds=parse_thresholds(given, self.predictions.names))
        if self.thresholds is not None and not rule and not on_test:
            return self
        chosen = analysis.choose_thresholds(
            self.predictions, self.validation, rule or "max_f1", settings, on_test=on_test
        )
        return dataclasses.replace(self, thresholds=chosen)


def parse_thresholds(texts: Sequence[str], names: Sequence[str]) -> Thresholds:
    """Thresholds that are given as `LABEL=0.3`, from 0 to 1, one for each label."""
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        value = pd.to_numeric(number, errors="coerce")
        if name in found:
            raise InputError(f"--thresholds: {name} is given twice")
        if name not in names or not 0 <= value <= 1:
            raise InputError(f"--thresholds: {text!r}; expected LABEL=NUMBER, from 0 to 1, of {', '.join(names)}")
        found[name] = float(value)
    if missing := [name for name in names if name not in found]:
        raise InputError(f"--thresholds: none for {', '.join(missing)}")
    return Thresholds(np.array([found[name] for name in names]), "", GIVEN)


def drop_unpaired_thresholds(first: Evaluated, second: Evaluated) -> tuple[Evaluated, Evaluated]:
    """Neither keeps thresholds or validation if one has none: else a model would differ from itself by thresholds."""
    have = [each.thresholds is not None or each.validation is not None for each in (first, second)]
    if have[0] == have[1]:
        return first, second
    line = f"Only {(first if have[0] else second).title} brings thresholds or validation: both are cross-fitted."
    return (
        dataclasses.replace(first, thresholds=None, validation=None, facts=(*first.facts, line)),
        dataclasses.replace(second, thresholds=None, validation=None),
    )


def share_labels(first: Evaluated, second: Evaluated) -> tuple[Evaluated, Evaluated]:
    """Both restricted to the labels that both predict, where the second is a model; a warning names the others.

    A file whose labels differ, and a model that shares none, stay as they are.
    """
    names = [name for name in first.predictions.names if name in second.predictions.names]
    left_out = [name for name in first.predictions.names if name not in names]
    if second.dataset is None or not names or not left_out:
        return first, second
    line = f"{len(left_out)} labels left out, which {second.title} does not predict: {list_some(left_out)}"
    first = dataclasses.replace(first.select(names), warnings=(*first.warnings, line))
    return first, second.select(names)


def align(first: Evaluated, second: Evaluated, rules: joins.Rules) -> tuple[Evaluated, Evaluated]:
    """Both restricted to the recordings that both have, in the first's order.

    Raises:
        InputError: when labels differ, no recording is shared, or a file lacks some and that was not asked for.
    """
    if first.predictions.names != second.predictions.names:
        raise InputError(
            f"{first.title} predicts {list_some(first.predictions.names)}; "
            f"{second.title} {list_some(second.predictions.names)}"
        )
    if first.predictions.kind != second.predictions.kind:
        raise InputError(f"{first.title} predicts {first.predictions.kind}s, {second.title} {second.predictions.kind}s")
    found = joins.join(first.side, second.side, rules)
    kept = found.rows >= 0
    require_shared(first, second.title, kept)
    total, lost, surplus = len(kept), int((~kept).sum()), len(second.predictions.ids) - found.count
    if lost and second.dataset is None and not rules.partial:
        raise InputError(
            f"{second.source}: has no prediction of {lost} of the {total} recordings of {first.source or first.title}, "
            f"the first {first.predictions.ids[~kept][0]}; --partial compares on those that both have"
        )
    lines = [*found.doubt]
    if lost:
        lines.append(f"{lost} of the {total} recordings are left out, of which {second.title} has no prediction")
    if surplus:
        lines.append(f"{surplus} recordings of {second.title} are left out, which {first.title} does not have")
    first = dataclasses.replace(first.take(kept), warnings=(*first.warnings, *lines))
    other = dataclasses.replace(second.predictions.take(found.rows[kept]), ids=first.predictions.ids)
    return first, dataclasses.replace(second, predictions=other, recordings=first.recordings)


def require_shared(first: Evaluated, second: str, shared: np.ndarray) -> None:
    """Raises `InputError` when the second has none of the first's recordings."""
    if not shared.any():
        raise InputError(f"{first.title} and {second} share no recording; ids must be spelled alike")
