"""The figures of an evaluation of predicted numbers: the caption and the drawing of each."""

import pandas as pd

from ecg_jax.evaluation.regression_analysis import RegressionAnalysis
from ecg_jax.reporting import cells, forest, report, scatter

_PANELS = 12  # labels that are drawn: the first


def plan(analysis: RegressionAnalysis) -> report.Plans:
    """Caption of each figure, and what draws it, by name."""
    chosen = range(min(len(analysis.predictions.names), _PANELS))
    some = "" if len(analysis.predictions.names) <= _PANELS else f" The first {_PANELS} labels."
    level = f"{100 * analysis.settings.level:g} % intervals" if analysis.settings.resamples else ""
    plans: report.Plans = {
        "predicted": (
            "Predicted against true numbers. Calibrated predictions p are right on average: the mean truth of all "
            f"recordings of prediction p is p.{some}",
            lambda: scatter.draw_predicted([_plot_predicted(analysis, i) for i in chosen]),
        ),
        "agreement": (
            "Agreement (Bland and Altman 1986): the difference of predicted and true over their mean, its mean (bias, "
            f"above each panel with the limits of agreement), and the limits between which 95 % of differences lie if "
            f"they are normally distributed.{some}",
            lambda: scatter.draw_agreement([_plot_agreement(analysis, i) for i in chosen]),
        ),
        "tenths": (
            "Mean error in tenths of the recordings, in order of truth"
            + (f", with {level}" if level else "")
            + f". A falling line: predictions regress to the mean.{some}",
            lambda: scatter.draw_errors([_plot_errors(analysis, i) for i in chosen]),
        ),
    }
    if len(analysis.subgroups) and len(analysis.predictions.names) == 1:  # of several labels, units differ
        plans["subgroups"] = (
            "Mean absolute error in groups of recordings.",
            lambda: forest.draw_forest(
                _list_subgroups(analysis.subgroups),
                axis_label="Mean absolute error",
                reference=float(analysis.scores.table["mae"].iloc[0]),
                count_label="n",
                value_label="MAE",
            ),
        )
    return plans


def _plot_predicted(analysis: RegressionAnalysis, i: int) -> scatter.Scatter:
    row, (truth, predicted) = analysis.scores.table.iloc[i], analysis.get_known(i)
    detail = f"MAE {cells.show(row['mae'], '.3g')}, R² {cells.show(row['r2'], '.2f')}"
    line = (row["calibration_slope"], row["calibration_intercept"])
    return scatter.Scatter(row["label"], truth, predicted, detail, line)


def _plot_agreement(analysis: RegressionAnalysis, i: int) -> scatter.Agreement:
    row, (truth, predicted) = analysis.scores.table.iloc[i], analysis.get_known(i)
    intervals = None
    if "bias_low" in row:
        low, bias, high = ((row[f"{name}_low"], row[f"{name}_high"]) for name in ("limit_low", "bias", "limit_high"))
        intervals = (low, bias, high)
    return scatter.Agreement(
        row["label"], truth, predicted, row["bias"], (row["limit_low"], row["limit_high"]), intervals
    )


def _plot_errors(analysis: RegressionAnalysis, i: int) -> scatter.Errors:
    name = analysis.predictions.names[i]
    part = analysis.tenths[analysis.tenths["label"] == name]
    ends = [part[end].to_numpy() if end in part else None for end in ("error_low", "error_high")]
    return scatter.Errors(name, part["mean_true"].to_numpy(float), part["error"].to_numpy(float), *ends)


def _list_subgroups(table: pd.DataFrame) -> list[forest.ForestRow]:
    """A heading per column, then its groups."""
    rows = []
    for column, part in table[table["metric"] == "mae"].groupby("column", sort=False):
        rows.append(forest.ForestRow(f"by {column}", is_heading=True))
        for row in part[part["value"].notna()].itertuples():
            rows.append(forest.ForestRow(row.group, row.value, row.value_low, row.value_high, f"{row.n:,}"))
    return rows
