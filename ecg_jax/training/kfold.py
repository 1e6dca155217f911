"""One network per fold: each is tested on recordings that it has not seen, together they are tested on all.

`WORKDIR/fold1`, `fold2`, ... are run folders: fold k tests, the next one validates, the others train. Beside them:

- `predictions.csv`: every recording once, predicted by the network that has not seen it.
- `evaluation/scores.csv`: as of one run. AUROC and average precision rank the pooled probabilities of all networks;
  decisions take each network's own thresholds (`threshold` is their mean); AUROCs of baselines (`auroc_rate_only`, ...)
  are means over folds.
- `evaluation/folds.csv`: each fold's own scores, their mean and standard deviation (n - 1).
"""

import os
from typing import Any

import jax
import numpy as np
import pandas as pd
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax import files, spreadsheet
from ecg_jax.data import sources, splits
from ecg_jax.data.datasets.dataset import Dataset, create_predictions
from ecg_jax.data.splits import leaks, manifest
from ecg_jax.errors import InputError
from ecg_jax.evaluation import left_out, metrics, regression
from ecg_jax.evaluation.thresholds import FOLDS, Thresholds
from ecg_jax.inference import scoring
from ecg_jax.inference.evaluated import Evaluated
from ecg_jax.inference.evaluated_model import describe_leaks
from ecg_jax.kinds import FINDING, NUMBER
from ecg_jax.reporting import tables
from ecg_jax.reporting.cells import create_heading
from ecg_jax.runtime import run_folder
from ecg_jax.training import final_evaluation, loop, run_data

_SHOWN = {FINDING: ("auroc", "average_precision", "f1"), NUMBER: ("mae", "rmse", "r2")}


def folders(config: ConfigDict, workdir: str) -> list[str]:
    """The run folders of what a configuration trains."""
    settings = config.split
    if not settings.folds:
        return [workdir]
    numbers = [settings.fold] if settings.fold else range(1, settings.folds + 1)
    return [os.path.join(workdir, f"fold{number}") for number in numbers]


def run(
    config: ConfigDict, workdir: str, console: Console, *, profile: bool = False, report: loop.Report | None = None
) -> dict[str, Any]:
    """Trains, or continues, what a configuration describes: one network, or one per fold, or one fold's.

    Folds that are finished stay so when a later one is interrupted. `report` is not called for folds.

    Args and errors: see `loop.train_and_evaluate`. Returns what `result.json` holds.
    """
    config_lib.check(config)
    names = folders(config, workdir)
    if len(names) == 1:
        return loop.train_and_evaluate(config, names[0], console, profile=profile, report=report)
    with run_folder.hold(workdir, console):
        return _run_folds(config, workdir, names, console, profile)


def _run_folds(config: ConfigDict, workdir: str, names: list[str], console: Console, profile: bool) -> dict[str, Any]:
    sources.check_settings(config.data)
    dataset = run_data.open_dataset(config, workdir, console)
    groups = leaks.find_groups(dataset)
    place, method, _ = splits.assign_folds(dataset, config.data.seed, config.split.folds, groups=groups)
    facts = {"method": method, "seed": config.data.seed} | splits.count_patients(dataset, groups)
    has_begun = any(map(run_folder.has_state, names)) and os.path.exists(os.path.join(workdir, run_folder.CONFIG))
    run_folder.claim(workdir, config, manifest.create(dataset, place, facts), has_begun=has_begun)
    for number, folder in enumerate(names, start=1):
        console.rule(f"Fold {number} of {len(names)}")
        fold = config_lib.override(config, {"split.fold": number})
        if run_folder.is_finished(folder, fold):
            console.print(f"Finished before: {folder}")
            continue
        loop.train_and_evaluate(fold, folder, console, dataset, profile=profile)
        if jax.process_count() > 1:  # the first process has written what all of them read next
            multihost_utils.sync_global_devices(f"fold {number} written")
    console.rule(f"All {len(names)} folds")
    return _pool(config, workdir, names, dataset, place, console)


def _pool(
    config: ConfigDict, workdir: str, folders: list[str], dataset: Dataset, place: np.ndarray, console: Console
) -> dict[str, Any]:
    """Pools the predictions of finished folds on their test parts, and scores them; returns what `result.json` holds.

    Its validation scores are means over folds, and so is the test loss of numbers, of which each fold has its own
    standard deviations. `place` `[N]` int64 is each recording's fold from 1.
    """
    names = dataset.label_names
    parts = [_read_part(folder, number, dataset.ids[place == number]) for number, folder in enumerate(folders, start=1)]
    predictions = pd.concat(parts, ignore_index=True)
    rows = pd.Index(dataset.ids).get_indexer(predictions["recording"])
    predictions = predictions.assign(**final_evaluation.describe(dataset, rows))
    predicted = predictions[[*names]].to_numpy(np.float64)
    has_signal = np.isfinite(predicted).all(axis=1)
    raw = None
    if dataset.kind == FINDING:
        raw = predictions[[f"{name}_raw" for name in names]].to_numpy(np.float64)[has_signal]
    pooled = create_predictions(dataset, rows[has_signal], predicted[has_signal], raw)
    found = [run_folder.read_json(os.path.join(folder, run_folder.RESULT)) for folder in folders]
    summarize = metrics.compute_summary if dataset.kind == FINDING else regression.compute_summary
    monitors = {result["monitor"] for result in found}
    result = {
        "folds": len(folders),
        "monitor": monitors.pop() if len(monitors) == 1 else "loss",
        "validation": _average(found, "validation"),
        "test": _average(found, "test") | summarize(pooled.labels, pooled.probabilities),
    }
    if jax.process_index() != 0:
        return result
    folds = _read_scores(folders)
    paths = [os.path.join(workdir, run_folder.PREDICTIONS), os.path.join(workdir, run_folder.EVALUATION, "folds.csv")]
    os.makedirs(os.path.dirname(paths[1]), exist_ok=True)
    for path, table in zip(paths, (predictions, folds), strict=True):
        files.write_text(path, spreadsheet.to_csv(table))
    means, deviations = (folds[folds["fold"] == name].set_index("label") for name in ("mean", "sd"))
    thresholds, baselines = None, {}
    if dataset.kind == FINDING:
        chosen = [run_folder.read_json(os.path.join(folder, run_folder.THRESHOLDS)) for folder in folders]
        values = np.array([[values[name] for name in names] for values in chosen])[predictions["fold"] - 1]
        unchosen = {name for each in found for name in each.get(run_folder.UNCHOSEN, ())}
        default = tuple(name for name in names if name in unchosen)
        thresholds = Thresholds(values[has_signal], config.evaluation.threshold_rule, FOLDS, default)
        order = [*names, metrics.MACRO]
        baselines = {name: means[name][order].to_numpy() for name in scoring.BASELINES if name in means}
    lost = _list_lost(predictions[~has_signal], folders)
    evaluated = Evaluated(
        title=os.path.basename(os.path.abspath(workdir)),
        subtitle=f"All {len(predictions)} recordings, each by the network that has not seen it",
        predictions=pooled,
        thresholds=thresholds,
        facts=(f"{len(folders)} networks, each tested on the fold that neither trained nor validated it.",),
        warnings=(
            *left_out.describe(lost, f"{len(predictions)} recordings"),
            *describe_leaks(run_folder.read_inherited(folders[0]).trained_on, dataset, rows[has_signal]),
        ),
        left_out=tuple(lost),
    )
    paths += final_evaluation.evaluate(workdir, evaluated, config, baselines, console)
    run_folder.write_json(os.path.join(workdir, run_folder.RESULT), result)
    shown = _SHOWN[dataset.kind]
    cells = [
        [label, *(f"{means.loc[label, key]:.3f} +- {deviations.loc[label, key]:.3f}" for key in shown)]
        for label in means.index
    ]
    tables.print_rows(f"Over {len(folders)} folds: mean +- sd", ["label", *map(create_heading, shown)], cells, console)
    console.print(f"Written: {', '.join(paths)}")
    return result


def _list_lost(predictions: pd.DataFrame, folders: list[str]) -> list[left_out.LeftOut]:
    """Recordings without a prediction, with the reasons that the folds listed."""
    listed = [left_out.read_problems(os.path.join(folder, run_folder.EVALUATION)) for folder in folders]
    rows = predictions[["recording", "fold", "quality"]].itertuples(index=False)
    return [left_out.create(name, quality, reason=listed[fold - 1].get(name, "")) for name, fold, quality in rows]


def _average(results: list[dict[str, Any]], split: str) -> dict[str, float]:
    """Means of a split's scores over folds."""
    return pd.DataFrame([result[split] for result in results]).mean().to_dict()


def _read_part(folder: str, number: int, expected: np.ndarray) -> pd.DataFrame:
    path = os.path.join(folder, run_folder.PREDICTIONS)
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
    table["quality"] = table["quality"].astype(object).fillna("")  # a column without any is read as numbers
    return table


def _read_scores(folders: list[str]) -> pd.DataFrame:
    """Each fold's scores, and per label their mean and standard deviation where they are defined."""
    paths = [os.path.join(folder, run_folder.EVALUATION, "scores.csv") for folder in folders]
    read = [spreadsheet.restore_table(pd.read_csv(path)).drop(columns="note") for path in paths]
    parts = [table.assign(fold=str(number)) for number, table in enumerate(read, start=1)]
    grouped = pd.concat(read).groupby("label", sort=False)
    parts += [grouped.mean().reset_index().assign(fold="mean"), grouped.std().reset_index().assign(fold="sd")]
    return pd.concat(parts, ignore_index=True)[["fold", *read[0].columns]]
