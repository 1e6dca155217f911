"""What the studies share: the finished runs of a sweep, figures of them, and tables with intervals over seeds."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

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
    """Mean over seeds by group, with the 95 % interval of the mean (Student's t), and how many runs there are."""
    rows = []
    for values, group in runs.groupby(list(keys), dropna=False, sort=False):
        known = group[column].to_numpy(np.float64)
        count = len(known)
        half = scipy.stats.t.ppf(0.975, count - 1) * known.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
        row = dict(zip(keys, values, strict=True)) | {"runs": count, column: known.mean()}
        rows.append(row | {f"{column}_low": known.mean() - half, f"{column}_high": known.mean() + half})
    return pd.DataFrame(rows)


@style.styled
def draw_lines(table: pd.DataFrame, x: str, by: str, stem: str, *, xlabel: str, is_log: bool = False) -> None:
    """A line per value of `by` over `x`, with bars for the intervals, as PDF and PNG.

    Args:
        table: Of `summarize`.
        x: Column of the horizontal axis; texts stand side by side.
        by: Column that tells lines apart.
        stem: Of the files.
        xlabel: Of the axis.
        is_log: Whether it is logarithmic.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(style.DOUBLE * 0.7, 2.8))
    is_number = pd.api.types.is_numeric_dtype(table[x])
    names = list(dict.fromkeys(table[x]))
    groups = list(table.groupby(by, sort=False, dropna=False))
    for k, (value, group) in enumerate(groups):
        place = group[x].to_numpy(float) if is_number else np.array([names.index(name) for name in group[x]], float)
        if not is_number:
            place = place + (k - (len(groups) - 1) / 2) * 0.12
        color, line, marker = style.choose_look(k)
        error = np.nan_to_num(np.stack([group[SCORE] - group[f"{SCORE}_low"], group[f"{SCORE}_high"] - group[SCORE]]))
        axes.errorbar(
            place,
            group[SCORE],
            error,
            color=color,
            linestyle=line if is_number else "none",
            marker=marker,
            ms=3.5,
            elinewidth=0.7,
            capsize=2,
            label=f"{value:g}" if isinstance(value, float) else str(value),
        )
    if not is_number:
        axes.set_xticks(range(len(names)), [style.literal(str(name), 16) for name in names])
    if is_log:
        axes.set_xscale("log")
    axes.set(xlabel=xlabel, ylabel="Validation AUROC, macro")
    axes.legend(title=by.rpartition(".")[2].replace("_", " "))
    figure.tight_layout()
    figures.write(figure, stem)
