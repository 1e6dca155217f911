"""What an evaluation of findings shows: tables, figures and words."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_jax.evaluation import metrics, subgroups
from ecg_jax.evaluation import scores as scores_lib
from ecg_jax.evaluation.analysis import Analysis
from ecg_jax.evaluation.settings import Settings
from ecg_jax.reporting import cells, evaluation_figures, floor_table, report
from ecg_jax.reporting.report import Content, Section, format_p
from ecg_jax.reporting.tables import Table

_AVERAGES = "Macro: mean over labels. Micro: all labels together. Weighted: mean weighted by positives."
_INTERVALS = {
    "auto": "AUROC: score intervals; proportions, F1 and average precision: Wilson's; the others: expanded percentiles "
    "of the bootstrap; averages: from those of the labels (MOVER)",
    "percentile": "percentiles of the bootstrap",
    "expanded": "expanded percentiles of the bootstrap",
    "bca": "bias-corrected and accelerated percentiles of the bootstrap",
}
_USEFUL = "A model is useful where its curve lies above both acting on everyone and acting on no one."
_SECTIONS = (
    Section("Scores", (), ("scores", "challenge"), ("forest", "bootstrap_auroc", "bootstrap_f1")),
    floor_table.SECTION,
    Section("Comparison with another model", (), ("comparison",)),
    Section("Curves", (), (), ("precision_recall", "roc")),
    Section("Decisions", (), ("confusion",), ("confusion",)),
    Section("Calibration", (), ("calibration",), ("reliability",)),
    Section("Net benefit", (_USEFUL,), (), ("decision_curves",)),
    Section("Agreement between readers", (), ("kappa", "panel", "mcnemar")),
    Section("Subgroups", (subgroups.CUTS,), ("subgroups",), ("subgroups",)),
)


@dataclasses.dataclass(frozen=True)
class Additions:
    """What is shown besides the results."""

    annotators: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # `[N, C]`, points in the curves
    seeds: Sequence[np.ndarray] = ()  # `[N, C]` probabilities from other seeds, whose range the curves show
    challenge: pd.DataFrame | None = None  # the Challenge score, of one row
    scores: Mapping[str, object] = dataclasses.field(default_factory=dict)  # columns of scores, a value per row
    floor: Table | None = None  # see `floor_table`


def describe(analysis: Analysis, added: Additions, models: tuple[str, ...] = ()) -> Content:
    """What is written and shown of an evaluation; `models` are the names of two that are compared."""
    shown = create_tables(analysis, added.scores, models)
    if added.challenge is not None:
        caption = "Score with partial credit for related diagnoses (Reyna et al. 2021), with BCa interval."
        shown["challenge"] = Table("challenge", caption, added.challenge)
    if added.floor is not None:
        shown[added.floor.name] = added.floor
    settings = analysis.settings
    drawn = f"seed {'123' if settings.legacy else settings.seed}"
    how = (
        f"{report.describe_recordings(analysis.predictions, settings)} Thresholds: {analysis.thresholds.describe()}. "
        f"Intervals of {100 * settings.level:g} %: {_describe_intervals(settings)}; {settings.resamples:,} resamples, "
        f"{drawn}."
    )
    return Content(
        tables=shown,
        figures=evaluation_figures.plan(analysis, added.annotators, added.seeds),
        key=_find_key_numbers(analysis),
        sections=_SECTIONS,
        facts=(*analysis.notes, how),
        stamps=analysis.stamps,
        warnings=analysis.warnings,
    )


def create_tables(
    analysis: Analysis, extra_scores: Mapping[str, object], models: tuple[str, ...] = ()
) -> dict[str, Table]:
    """The tables, by name, without empty ones."""
    scores = analysis.scores.table.copy()
    for place, (name, values) in enumerate(extra_scores.items(), start=scores.columns.get_loc("auroc") + 1):
        scores.insert(place, name, values)
    unit = scores_lib.find_units(analysis.predictions, analysis.settings)
    by_patient = "" if unit is None else "; recordings of a patient count together"
    level = report.describe_level(analysis.settings)
    thresholds = f"Thresholds: {analysis.thresholds.describe()}."
    confusion = pd.DataFrame(
        [[name, *counts[::-1, ::-1].reshape(-1).tolist()] for name, counts in analysis.confusion.items()],
        columns=["label", "hits", "misses", "false_alarms", "right_rejections"],
    )
    tables_found = [
        Table(
            "scores",
            f"Scores with {level} ({_describe_intervals(analysis.settings)}{by_patient}). {thresholds}",
            scores,
            " ".join((_AVERAGES, *analysis.notes)),
        ),
        Table("confusion", f"Decisions. {thresholds}", confusion),
        Table(
            "calibration",
            "Expected calibration error (ten bins of equally many recordings, or of equal width), and the parts of the "
            "Brier score: miscalibration - resolution + uncertainty + within bins.",
            analysis.calibration,
            formats=dict.fromkeys(analysis.calibration.columns[2:], ".4f"),
        ),
        Table(
            "decision_curves",
            "Net benefit per recording of acting on the probability, and on everyone; acting on no one is worth 0.",
            analysis.decision_curves,
            formats={"model": ".4f", "treat_all": ".4f"},
        ),
        Table(
            "subgroups",
            f"Scores in groups of recordings, and their distance from those of all others, with {level}; p of the "
            "bootstrap, adjusted by Holm over groups and labels.",
            analysis.subgroups,
            thresholds,
            format_p(analysis.subgroups),
        ),
    ]
    if analysis.kappa is not None and analysis.panel is not None and analysis.mcnemar is not None:
        tables_found += [
            Table(
                "kappa",
                f"Cohen's kappa of every two readers, with {level}{by_patient}.",
                analysis.kappa,
                "Positives: recordings that either calls positive. Prevalence: mean share of both. PABAK: kappa "
                "adjusted for prevalence and bias.",
            ),
            Table("panel", f"Fleiss' kappa of all readers, with {level}{by_patient}.", analysis.panel),
            Table(
                "mcnemar",
                "McNemar's test that two readers err equally often: exact, asymptotic, with continuity correction; the "
                f"exact one adjusted over labels by Holm{by_patient}.",
                analysis.mcnemar,
                formats=format_p(analysis.mcnemar),
            ),
        ]
    if analysis.comparison is not None and analysis.other_thresholds is not None:
        first, second = models or ("the first model", "the second")
        caption = (
            f"{first} (first) minus {second} (second), with {level}: DeLong's of AUROCs, Newcombe's of recall, "
            f"specificity and accuracy, else of the paired bootstrap; p adjusted over labels by Holm{by_patient}."
        )
        note = (
            f"Thresholds of the first: {analysis.thresholds.describe()}; of the second: "
            f"{analysis.other_thresholds.describe()}."
        )
        tables_found.append(Table("comparison", caption, analysis.comparison, note, format_p(analysis.comparison)))
    return {table.name: table for table in tables_found if len(table.frame)}


def _find_key_numbers(analysis: Analysis) -> list[tuple[str, str]]:
    macro = analysis.scores.table.set_index("label").loc[metrics.MACRO]
    kind = "" if len(analysis.predictions.names) == 1 else "macro "
    names = {"auroc": "AUROC", "average_precision": "average precision", "f1": "F1"}
    scores = [(cells.show(float(macro[name])), f"{kind}{title}") for name, title in names.items()]
    return [report.count_recordings(analysis.predictions), *scores]


def _describe_intervals(settings: Settings) -> str:
    return "as Ribeiro et al. 2020 took them from the bootstrap" if settings.legacy else _INTERVALS[settings.interval]
