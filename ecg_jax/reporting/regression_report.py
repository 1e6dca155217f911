"""What an evaluation of predicted numbers shows: tables, figures and words."""

from ecg_jax.evaluation import scores as scores_lib
from ecg_jax.evaluation import subgroups
from ecg_jax.evaluation.regression_analysis import RegressionAnalysis
from ecg_jax.reporting import cells, floor_table, regression_figures, report
from ecg_jax.reporting.report import Content, Section, format_p
from ecg_jax.reporting.tables import Table

_INTERVALS = {
    "auto": "expanded percentiles of the bootstrap",
    "percentile": "percentiles of the bootstrap",
    "expanded": "expanded percentiles of the bootstrap",
    "bca": "bias-corrected and accelerated percentiles of the bootstrap",
}
_MEANING = (
    "Each label in its own unit. Mean and SD: of the truth. R²: 1 less the mean squared error over the variance "
    "of the truth, so 0 for always predicting the mean of these recordings. Calibration: slope and intercept of the "
    "least squares of truth on prediction, 1 and 0 at best. Bias: mean of predicted minus true. Limits: bias ± 1.96 "
    "standard deviations of the differences (Bland and Altman 1986). MAE of the median: that of always predicting the "
    "median of these recordings, which a useful model is well below."
)
_DIFFERENCE = "Error: predicted minus true."
_SECTIONS = (
    Section("Scores", (), ("scores",), ("predicted",)),
    floor_table.SECTION,
    Section("Comparison with another model", (), ("comparison",)),
    Section("Agreement", (), (), ("agreement",)),
    Section("Errors along the range", (_DIFFERENCE,), ("tenths",), ("tenths",)),
    Section("Subgroups", (subgroups.CUTS,), ("subgroups",), ("subgroups",)),
)


def describe(analysis: RegressionAnalysis, models: tuple[str, ...] = (), floor: Table | None = None) -> Content:
    """What is written and shown of an evaluation; `models` are the names of two that are compared."""
    settings = analysis.settings
    how = report.describe_recordings(analysis.predictions, settings)
    if settings.resamples:
        how += (
            f" Intervals of {100 * settings.level:g} %: {_INTERVALS[settings.interval]}; {settings.resamples:,} "
            f"resamples, seed {settings.seed}."
        )
    return Content(
        tables=create_tables(analysis, models) | ({floor.name: floor} if floor else {}),
        figures=regression_figures.plan(analysis),
        key=_find_key_numbers(analysis),
        sections=_SECTIONS,
        facts=(how,),
        warnings=analysis.warnings,
    )


def create_tables(analysis: RegressionAnalysis, models: tuple[str, ...] = ()) -> dict[str, Table]:
    """The tables, by name, without empty ones."""
    level, by_patient = report.describe_level(analysis.settings), _describe_unit(analysis)
    how = f" ({_INTERVALS[analysis.settings.interval]}{by_patient})" if analysis.settings.resamples else ""
    found = [
        Table(
            "scores",
            f"Errors, agreement and calibration of predicted numbers, with {level}{how}.",
            analysis.scores.table,
            _MEANING,
        ),
        Table(
            "tenths",
            f"Mean error in tenths of the recordings, in order of truth, with {level}{by_patient}.",
            analysis.tenths,
        ),
        Table(
            "subgroups",
            f"Scores in groups of recordings, and their distance from those of all others, with {level}; p of the "
            f"bootstrap, adjusted by Holm over groups and labels{by_patient}.",
            analysis.subgroups,
            "R² is against the mean of the group's own recordings: it is lower where the truth varies less.",
            format_p(analysis.subgroups),
        ),
    ]
    if analysis.comparison is not None:
        first, second = models or ("the first model", "the second")
        caption = (
            f"{first} (first) minus {second} (second), with {level} and p of the paired bootstrap, adjusted over "
            f"labels by Holm{by_patient}."
        )
        found.append(Table("comparison", caption, analysis.comparison, formats=format_p(analysis.comparison)))
    return {table.name: table for table in found if len(table.frame)}


def _describe_unit(analysis: RegressionAnalysis) -> str:
    unit = scores_lib.find_units(analysis.predictions, analysis.settings)
    return "" if unit is None else "; recordings of a patient count together"


def _find_key_numbers(analysis: RegressionAnalysis) -> list[tuple[str, str]]:
    """Those of the first label, where there are several of their own units."""
    row = analysis.scores.table.iloc[0]
    of = "" if len(analysis.scores.table) == 1 else f" of {row['label']}"
    names = {"mae": ".3g", "rmse": ".3g", "r2": ".3f"}
    shown = [(cells.show(row[name], form), f"{cells.create_heading(name)}{of}") for name, form in names.items()]
    return [report.count_recordings(analysis.predictions), *shown]
