"""What the folds of a run make together, in the folder above theirs.

`predictions.csv` holds every recording once, predicted by the network that has not seen it, with its patient and
what else is known of it.
`evaluation/scores.csv` has the columns of a single run. AUROC and average precision rank the
pooled probabilities of all networks; decisions take each network's own thresholds, chosen on
its validation part (`threshold` is their mean); `auroc_rate_only` is the mean over folds.
`evaluation/folds.csv` holds each fold's own scores, their mean and standard deviation (n - 1).
"""

import os
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import files, spreadsheet
from ecg_jax.data.datasets.dataset import Dataset, create_predictions
from ecg_jax.errors import InputError
from ecg_jax.evaluation import metrics
from ecg_jax.evaluation.analysis import Analysis
from ecg_jax.evaluation.thresholds import FOLDS, Thresholds
from ecg_jax.reporting import tables
from ecg_jax.reporting.cells import create_heading
from ecg_jax.runtime import run_folder
from ecg_jax.training import results

_SHOWN = ("auroc", "average_precision", "f1")


def write(
    config: ConfigDict, workdir: str, folders: list[str], dataset: Dataset, place: np.ndarray, console: Console
) -> dict[str, Any]:
    """Pools the folds' predictions on their test parts, and scores them.

    Args:
        config: Of the run.
        workdir: Where the results go.
        folders: The folds' run folders, all finished.
        dataset: Its data.
        place: `[N]` int64, each recording's fold from 1.
        console: Where the tables are shown.

    Returns:
        What `result.json` holds: validation scores (means over folds), scores of the pooled
        predictions.

    Raises:
        InputError: when a fold's test recordings are not those of the fold.
    """
    names = dataset.label_names
    parts = [_read_part(folder, number, dataset.ids[place == number]) for number, folder in enumerate(folders, start=1)]
    predictions = pd.concat(parts, ignore_index=True)
    number = pd.Series(np.arange(len(dataset.ids)), index=dataset.ids)
    predictions = predictions.assign(**results.describe(dataset, number[predictions["recording"]].to_numpy()))
    chosen = [run_folder.read_json(os.path.join(folder, run_folder.THRESHOLDS)) for folder in folders]
    thresholds = np.array([[values[name] for name in names] for values in chosen])[predictions["fold"] - 1]
    has_signal = np.isfinite(predictions[[*names]].to_numpy(np.float64)).all(axis=1)
    kept = predictions[has_signal]
    rows = number[kept["recording"]].to_numpy()
    raw = kept[[f"{name}_raw" for name in names]].to_numpy(np.float64)
    pooled = create_predictions(dataset, rows, kept[[*names]].to_numpy(np.float64), raw)
    found = [run_folder.read_json(os.path.join(folder, run_folder.RESULT)) for folder in folders]
    monitors = {result["monitor"] for result in found}
    result = {
        "folds": len(folders),
        "monitor": monitors.pop() if len(monitors) == 1 else "loss",
        "validation": pd.DataFrame([result["validation"] for result in found]).mean().to_dict(),
        "test": metrics.compute_summary(pooled.labels, pooled.probabilities),
    }
    if jax.process_index() == 0:
        unchosen = tuple(name for name in names if any(name in result.get(run_folder.UNCHOSEN, ()) for result in found))
        used = Thresholds(thresholds[has_signal], config.evaluation.threshold_rule, FOLDS, unchosen)
        analysed = results.analyse(pooled, used, config)
        folds = _read_scores(folders)
        means = folds[folds["fold"] == "mean"].set_index("label")
        rate_only = means["auroc_rate_only"][[*names, metrics.MACRO]].to_numpy()
        _write_files(workdir, predictions, analysed, rate_only, folds, result, config.evaluation.report, console)
    return result


def _read_part(folder: str, number: int, expected: np.ndarray) -> pd.DataFrame:
    path = os.path.join(folder, "predictions.csv")
    try:
        table = spreadsheet.restore_table(pd.read_csv(path, converters={"recording": str}))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable ({' '.join(str(error).split())}); remove {folder}") from error
    table = table[table["split"] == "test"].drop(columns="split")
    if sorted(table["recording"]) != sorted(expected.tolist()):
        raise InputError(
            f"{path}: its {len(table)} test recordings are not the {len(expected)} of fold {number}: it was trained on "
            f"other data; remove {folder} or pass another --workdir"
        )
    table.insert(1, "fold", number)
    return table


def _read_scores(folders: list[str]) -> pd.DataFrame:
    """Each fold's scores, and per label their mean and standard deviation where they are defined."""
    read = [
        spreadsheet.restore_table(pd.read_csv(os.path.join(folder, run_folder.EVALUATION, "scores.csv"))).drop(
            columns="note"
        )
        for folder in folders
    ]
    parts = [table.assign(fold=str(number)) for number, table in enumerate(read, start=1)]
    grouped = pd.concat(read).groupby("label", sort=False)
    parts += [grouped.mean().reset_index().assign(fold="mean"), grouped.std().reset_index().assign(fold="sd")]
    return pd.concat(parts, ignore_index=True)[["fold", *read[0].columns]]


def _write_files(
    workdir: str,
    predictions: pd.DataFrame,
    analysed: Analysis,
    rate_only: np.ndarray,
    folds: pd.DataFrame,
    result: dict[str, Any],
    has_report: bool,
    console: Console,
) -> None:
    evaluation = os.path.join(workdir, run_folder.EVALUATION)
    os.makedirs(evaluation, exist_ok=True)
    paths = [os.path.join(workdir, run_folder.PREDICTIONS), os.path.join(evaluation, "folds.csv")]
    for path, table in zip(paths, (predictions, folds), strict=True):
        files.write_text(path, spreadsheet.to_csv(table))
    paths += results.write_evaluation(
        workdir,
        analysed,
        rate_only,
        title=f"All {len(predictions)} recordings, each by the network that has not seen it",
        facts=(f"{result['folds']} networks, each tested on the fold that neither trained nor validated it.",),
        has_report=has_report,
        console=console,
    )
    run_folder.write_json(os.path.join(workdir, run_folder.RESULT), result)
    mean, sd = (folds[folds["fold"] == name].set_index("label") for name in ("mean", "sd"))
    rows = [
        [label, *(f"{mean.loc[label, key]:.3f} +- {sd.loc[label, key]:.3f}" for key in _SHOWN)] for label in mean.index
    ]
    tables.print_rows(
        f"Over {result['folds']} folds: mean +- sd", ["label", *map(create_heading, _SHOWN)], rows, console
    )
    console.print(f"Written: {', '.join(paths)}")
