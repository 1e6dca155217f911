"""The whole evaluation of predicted numbers."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ecg_jax.evaluation import model_differences, moments, regression, subgroups, tenths
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.regression import Scores
from ecg_jax.evaluation.settings import Settings
from ecg_jax.printable import list_some

GROUP_METRICS = ("mae", "bias", "r2")


@dataclasses.dataclass(frozen=True)
class RegressionAnalysis:
    """The results for one model's predicted numbers.

    Attributes:
        predictions, settings: What was evaluated, and how.
        scores: See `regression.compute`.
        tenths: See `tenths.compute`.
        subgroups: See `subgroups.compare_groups`, of `GROUP_METRICS`; empty without attributes.
        comparison: See `model_differences.compare_numbers`; None without another model.
        warnings: Lines that a reader must know.
    """

    predictions: Predictions
    settings: Settings
    scores: Scores
    tenths: pd.DataFrame
    subgroups: pd.DataFrame
    comparison: pd.DataFrame | None
    warnings: tuple[str, ...]

    def get_known(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """True and predicted numbers of the i-th label, `[n]` each, where the truth is known."""
        known = ~np.isnan(self.predictions.labels[:, i])
        return self.predictions.labels[known, i], self.predictions.probabilities[known, i]


def analyse(
    predictions: Predictions,
    settings: Settings,
    *,
    attributes: Sequence[str] | None = None,
    other: Predictions | None = None,
) -> RegressionAnalysis:
    """Computes a `RegressionAnalysis`.

    Args:
        predictions: Predicted numbers and truth.
        settings: See `Settings`.
        attributes: Columns of the predictions that define subgroups; all of them if None.
        other: Another model's predictions of the same recordings.
    """
    found = regression.compute(predictions, settings)
    return RegressionAnalysis(
        predictions=predictions,
        settings=settings,
        scores=found,
        tenths=tenths.compute(predictions, settings),
        subgroups=_compare_groups(predictions, attributes, settings),
        comparison=model_differences.compare_numbers(predictions, other, settings) if other else None,
        warnings=tuple(_warn(found.table, settings)),
    )


def _compare_groups(predictions: Predictions, attributes: Sequence[str] | None, settings: Settings) -> pd.DataFrame:
    def create(inside: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return functools.partial(_stack, regression.create_moments(predictions, inside))

    def score(inside: np.ndarray) -> pd.DataFrame:
        return regression.compute(predictions.take(inside), settings).table

    scorer, known = subgroups.Scorer(GROUP_METRICS, ("n",), create, score), predictions.attributes
    chosen = {name: known[name] for name in (known if attributes is None else attributes)}
    design = regression.create_design(predictions, settings)
    return subgroups.compare_groups(predictions, scorer, chosen, design, settings)


def _stack(labels: Sequence[moments.Moments], weights: np.ndarray) -> np.ndarray:
    return np.stack([moments.measure(each, weights, GROUP_METRICS) for each in labels])


_SOME = "correlation and scores that are relative to the spread are undefined"
_UNDEFINED = {"no known number": "nothing is scored"}


def _warn(table: pd.DataFrame, settings: Settings) -> list[str]:
    is_few = table["note"].str.startswith("only ")
    lines = [
        f"{note}: {list_some(part['label'], 10)}; {_UNDEFINED.get(note, _SOME)}"
        for note, part in table[~is_few & (table["note"] != "")].groupby("note", sort=False)
    ]
    if is_few.any():
        rows = table[is_few].itertuples()
        lines.append(
            f"fewer than {settings.few} recordings, or patients who have some, so that intervals may miss the truth: "
            + list_some([f"{row.label} ({row.note.removeprefix('only ')})" for row in rows], 10)
        )
    useless = table[table["mae"] >= table["mae_constant"]]
    lines += [
        f"{row.label}: the mean absolute error, {row.mae:.4g}, is not below that of always predicting the median of "
        f"these recordings, {row.mae_constant:.4g}"
        for row in useless.itertuples()
        if row.n > 1
    ]
    return lines
