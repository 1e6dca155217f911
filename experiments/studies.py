"""What the studies share: the finished runs of a sweep, figures of them, and tables with intervals over seeds."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE)]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import scipy.stats  # noqa: E402

from ecg_jax.errors import InputError  # noqa: E402
from ecg_jax.reporting import figures, style  # noqa: E402

SCORE = "validation auroc"


def run(doc: str | None, draw: Callable[[pd.DataFrame, str], pd.DataFrame], name: str) -> None:
    """Command line of a study's script: `python experiments/STUDY.py SWEEP`, figure and table into the sweep's folder.

    Args:
        doc: Of the script.
        draw: Given the finished runs and the stem of the figure's files, draws it and returns the table.
        name: Of both.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", help="the folder of the sweep")
    folder = parser.parse_args().sweep
    try:
        table = draw(read(folder), os.path.join(folder, name))
    except InputError as error:
        sys.exit(f"error: {error}")
    table.to_csv(os.path.join(folder, f"{name}.csv"), index=False)
    print(table.to_string(index=False))
    print(f"Written: {os.path.join(folder, name)}.csv, .pdf, .png")


def read(folder: str) -> pd.DataFrame:
    """The finished runs of a sweep, a row each, with the columns of its `runs.csv`."""
    path = os.path.join(folder, "runs.csv")
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file; is {folder} the folder of a sweep?")
    table = pd.read_csv(path)
    table = table[table["state"] == "complete"]
    if table.empty:
        raise InputError(f"{path}: no run has finished yet")
    return table.reset_index(drop=True)


def summarize(runs: pd.DataFrame, keys: Sequence[str], column: str = SCORE) -> pd.DataFrame:
    """Mean over seeds by group, with its 95 % interval, and how many runs there are.

    A group has too few seeds to tell its own spread: it is taken to be the same in all groups, as in an analysis of
    variance (Student's t with the degrees of freedom of all), and the interval to lie within 0 and 1.
    """
    groups = runs.groupby(list(keys), dropna=False, sort=False)[column]
    freedom = len(runs) - groups.ngroups
    squares = float(((runs[column] - groups.transform("mean")) ** 2).sum())
    deviation = np.sqrt(squares / freedom) if freedom else np.nan
    rows = []
    for values, group in groups:
        half = scipy.stats.t.ppf(0.975, freedom) * deviation / np.sqrt(len(group)) if freedom else np.nan
        ends = np.clip([group.mean() - half, group.mean() + half], 0, 1)
        row = dict(zip(keys, values, strict=True)) | {"runs": len(group), column: group.mean()}
        rows.append(row | {f"{column}_low": ends[0], f"{column}_high": ends[1]})
    return pd.DataFrame(rows)


@style.styled
def draw_points(runs: pd.DataFrame, table: pd.DataFrame, name: str, by: str, stem: str) -> None:
    """A row per name, a point per value of `by` in it, with bars for the intervals and a dot per run, as PDF and PNG.

    Args:
        runs: That were summarized, with the same columns.
        table: Of `summarize`.
        name: Column whose texts are the rows, from the top down.
        by: Column that tells the points of a row apart; empty for one each.
        stem: Of the files.
    """
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(table[name]))
    groups: list[tuple[object, pd.DataFrame]] = list(table.groupby(by, sort=False)) if by else [("", table)]
    figure, axes = plt.subplots(figsize=(style.DOUBLE * 0.7, 0.8 + 0.26 * len(names)))
    for k, (value, group) in enumerate(groups):
        row = np.array([names.index(text) for text in group[name]]) + (k - (len(groups) - 1) / 2) * 0.2
        color, _, marker = style.choose_look(k)
        error = np.nan_to_num(np.stack([group[SCORE] - group[f"{SCORE}_low"], group[f"{SCORE}_high"] - group[SCORE]]))
        look: dict[str, Any] = {"color": color, "marker": marker, "ms": 3.5, "linestyle": "none"}
        look |= {"elinewidth": 0.7, "capsize": 2}
        axes.errorbar(group[SCORE], row, xerr=error, label=f"{value:g}" if isinstance(value, float) else value, **look)
        own = runs[runs[by] == value] if by else runs
        axes.scatter(
            own[SCORE],
            own[name].map(dict(zip(group[name], row, strict=True))),
            s=5,
            color=color,
            alpha=0.4,
            linewidths=0,
            zorder=0,
        )
    axes.set_yticks(range(len(names)), [style.literal(str(text)) for text in names])
    axes.set(xlabel="Validation AUROC, macro", ylim=(len(names) - 0.5, -0.5))
    if by:
        axes.legend(title=by.rpartition(".")[2].replace("_", " "))
    figure.tight_layout()
    figures.write(figure, stem)
