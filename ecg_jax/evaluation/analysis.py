"""The whole evaluation of some predictions."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError
from ecg_jax.evaluation import agreement, calibration, metrics, model_differences, scores, subgroups
from ecg_jax.evaluation import thresholds as thresholds_lib
from ecg_jax.evaluation.calibration import Reliability
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.scores import Scores
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds
from ecg_jax.printable import list_some

RANKED_RAW = (
    "Ranking scores (AUROC, average precision, their curves and differences) are of the raw probabilities, which "
    "recalibration may tie; decisions, calibration and the Brier score are of the recalibrated ones. All labels "
    "together (micro) rank by the recalibrated ones and, where these tie, by the raw ones."
)
DECISION_RANGE = (0.01, 0.99)
_MANY = 10  # labels that a warning names
AS_PREDICTED, RECALIBRATED = "as predicted", "recalibrated"


@dataclasses.dataclass(frozen=True)
class Analysis:
    """The results for one model's predictions.

    Attributes:
        predictions, thresholds, settings: What was evaluated, and how.
        scores: See `scores.compute`.
        confusion: By label, `[2, 2]` int: rows truth, columns calls, absent first.
        calibration: Per label and kind of probability: `label`, `probabilities` (`AS_PREDICTED`,
            `RECALIBRATED`), `ece_equal_mass`, `ece_equal_width`, and the parts of the Brier score.
        reliability: By label and kind, in bins of equal width: of a rare label, those of equal mass tell little.
        decision_curves: See `metrics.compute_decision_curves`.
        subgroups: See `subgroups.compare`; empty without attributes.
        kappa, panel, mcnemar: See `agreement`; None without annotators.
        comparison: See `model_differences.compare`; None without another model.
        other_thresholds: Of that model.
        warnings: Lines that a reader must know.
    """

    predictions: Predictions
    thresholds: Thresholds
    settings: Settings
    scores: Scores
    confusion: Mapping[str, np.ndarray]
    calibration: pd.DataFrame
    reliability: Mapping[str, Mapping[str, Reliability]]
    decision_curves: pd.DataFrame
    subgroups: pd.DataFrame
    kappa: pd.DataFrame | None
    panel: pd.DataFrame | None
    mcnemar: pd.DataFrame | None
    comparison: pd.DataFrame | None
    other_thresholds: Thresholds | None
    warnings: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """How the numbers were made, where that is not as usual."""
        return (RANKED_RAW,) if self.predictions.is_recalibrated else ()

    @property
    def stamps(self) -> tuple[str, ...]:
        """Lines that every output must show."""
        return self.thresholds.stamps

    @property
    def shown_thresholds(self) -> list[float | str]:
        """The scores' column of thresholds for readers, which says where one was not chosen."""
        table, unchosen = self.scores.table, self.thresholds.unchosen
        pairs = zip(table["label"], table["threshold"], strict=True)
        return [thresholds_lib.NOT_CHOSEN if name in unchosen and value == 0.5 else value for name, value in pairs]


def analyse(
    predictions: Predictions,
    thresholds: Thresholds,
    settings: Settings,
    *,
    attributes: Sequence[str] | None = None,
    annotators: Mapping[str, np.ndarray] | None = None,
    other: tuple[Predictions, Thresholds] | None = None,
    decision_range: tuple[float, float] = DECISION_RANGE,
    name: str = "model",
) -> Analysis:
    """Computes an `Analysis`.

    Args:
        predictions: Probabilities and truth.
        thresholds: Of the predictions.
        settings: See `Settings`.
        attributes: Columns of the predictions that define subgroups; all of them if None.
        annotators: `[N, C]` readings in {1, 0, NaN} of the same recordings, by reader.
        other: Another model's predictions of the same recordings, with its thresholds.
        decision_range: Lowest and highest threshold of the decision curves.
        name: Of the model among annotators.
    """
    labels, names = predictions.labels, predictions.names
    called = scores.decide(predictions, thresholds)
    found = scores.compute(predictions, thresholds, settings)
    table, curves = _describe_calibration(predictions, settings)
    chosen = {
        key: predictions.attributes[key] for key in (predictions.attributes if attributes is None else attributes)
    }
    kappa = panel = mcnemar = None
    if annotators:
        if name in annotators:
            raise InputError(f"a reader is called {name}, as the model is; rename one")
        unit = scores.find_units(predictions, settings)
        readings = {name: called.astype(np.float64)} | dict(annotators)
        kappa = agreement.compare_readers(readings, names, level=settings.level, unit=unit)
        panel = agreement.summarize_panel(
            readings, names, resamples=settings.resamples, level=settings.level, seed=settings.seed, unit=unit
        )
        mcnemar = agreement.compare_errors(readings, labels, names, unit=unit)
    return Analysis(
        predictions=predictions,
        thresholds=thresholds,
        settings=settings,
        scores=_note_unchosen(found, thresholds),
        confusion={
            label: agreement.count_pairs(labels[:, i], called[:, i].astype(np.float64)) for i, label in enumerate(names)
        },
        calibration=table,
        reliability=curves,
        decision_curves=metrics.compute_decision_curves(
            labels, predictions.probabilities, names, np.linspace(*decision_range, 99)
        ),
        subgroups=subgroups.compare(predictions, thresholds, chosen, settings),
        kappa=kappa,
        panel=panel,
        mcnemar=mcnemar,
        comparison=model_differences.compare(predictions, other[0], (thresholds, other[1]), settings)
        if other
        else None,
        other_thresholds=other[1] if other else None,
        warnings=(*_warn(found.table, settings), *thresholds.warnings, *_warn_kappa(kappa)),
    )


def _note_unchosen(found: Scores, thresholds: Thresholds) -> Scores:
    """Adds to the notes of labels that their threshold was not chosen."""
    table = found.table.copy()
    rows = table["label"].isin(thresholds.unchosen)
    table.loc[rows, "note"] = [
        "; ".join(filter(None, (note, f"threshold {thresholds_lib.NOT_CHOSEN}"))) for note in table.loc[rows, "note"]
    ]
    return Scores(table, found.samples)


def choose_thresholds(
    test: Predictions, validation: Predictions | None, rule: str, settings: Settings, *, on_test: bool = False
) -> Thresholds:
    """Chooses thresholds by a rule: on validation if there is any, else cross-fitted on the test set.

    With `on_test` they are chosen on the test set itself, which every output then states.
    """
    if on_test or validation is not None:
        chosen_on, source = (test, thresholds_lib.TEST) if on_test else (validation, thresholds_lib.VALIDATION)
        assert chosen_on is not None
        values = thresholds_lib.choose(chosen_on.labels, chosen_on.probabilities, rule)
        return Thresholds(values, rule, source, thresholds_lib.find_unchosen(chosen_on.labels, test.names))
    groups = scores.create_design(test, Settings()).unit
    fold = thresholds_lib.assign_folds(test.labels, groups, settings.seed)
    values = thresholds_lib.cross_fit(test.labels, test.probabilities, fold, rule)
    parts = [thresholds_lib.find_unchosen(test.labels[fold != part], test.names) for part in np.unique(fold)]
    unchosen = tuple(name for name in test.names if any(name in part for part in parts))
    return Thresholds(values, rule, thresholds_lib.CROSS_FITTED, unchosen)


def _describe_calibration(
    predictions: Predictions, settings: Settings
) -> tuple[pd.DataFrame, dict[str, dict[str, Reliability]]]:
    kinds = {AS_PREDICTED: predictions.probabilities}
    if predictions.raw is not None and predictions.is_recalibrated:
        kinds = {AS_PREDICTED: predictions.raw, RECALIBRATED: predictions.probabilities}
    rows = []
    curves: dict[str, dict[str, Reliability]] = {name: {} for name in predictions.names}
    for i, name in enumerate(predictions.names):
        label = predictions.labels[:, i]
        for kind, values in kinds.items():
            mass = calibration.compute_reliability(label, values[:, i])
            width = calibration.compute_reliability(label, values[:, i], equal_mass=False, level=settings.level)
            errors = {
                "ece_equal_mass": calibration.compute_ece(mass),
                "ece_equal_width": calibration.compute_ece(width),
            }
            parts = calibration.decompose_brier(label, values[:, i], mass)
            rows.append({"label": name, "probabilities": kind, **errors, **parts})
            curves[name][kind] = width
    return pd.DataFrame(rows), curves


def _warn(table: pd.DataFrame, settings: Settings) -> list[str]:
    rows = table[~table["label"].isin((metrics.MACRO, metrics.MICRO, metrics.WEIGHTED))]
    lines = [
        f"{note}: {list_some(part['label'], _MANY)}; scores that need both classes are undefined"
        for note, part in rows[rows["note"].str.startswith("no ")].groupby("note", sort=False)
    ]
    few = rows[rows["note"].str.startswith("only ")]
    if len(few):
        counts = list_some([f"{row.label} ({row.note.removeprefix('only ')})" for row in few.itertuples()], _MANY)
        lines.append(
            f"fewer than {settings.few} positives or negatives, or patients who have some, so that intervals may miss "
            f"the truth, those of averages too: {counts}"
        )
    if settings.legacy:
        lines.append("resamples are drawn as the script of Ribeiro et al. 2020 did: recordings, not patients")
    return lines


def _warn_kappa(kappa: pd.DataFrame | None) -> list[str]:
    """One line on the kappas of few positives, if there are any."""
    if kappa is None or not (kappa["note"] != "").any():
        return []
    few = kappa[kappa["note"] != ""]
    rows = [f"{row.readers} on {row.label} ({row.note.removeprefix('only ')})" for row in few.itertuples()]
    return [f"kappas of fewer than {agreement.FEW_POSITIVES} positives, which say little: {list_some(rows, _MANY)}"]
