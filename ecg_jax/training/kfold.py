"""One network per fold: each is tested on recordings that it has not seen, together they are tested on all.

`WORKDIR/fold1`, `fold2`, ... are run folders: fold k tests, the next one validates, the others train. For what
`WORKDIR` itself holds, see `pooled`.
"""

import os
from typing import Any

import jax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.data import splits
from ecg_jax.data.splits import leaks, manifest
from ecg_jax.runtime import run_folder
from ecg_jax.training import choices, loop, pooled, source, stream


def folders(config: ConfigDict, workdir: str) -> list[str]:
    """The run folders of what a configuration trains."""
    settings = config.split
    if not settings.folds:
        return [workdir]
    return [
        os.path.join(workdir, f"fold{k}") for k in ([settings.fold] if settings.fold else range(1, settings.folds + 1))
    ]


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
    choices.check(config)
    stream.check_settings(config.data)
    dataset = source.open_dataset(config, workdir, console)
    groups = leaks.find_groups(dataset)
    place, method, _ = splits.assign_folds(dataset, config.data.seed, config.split.folds, groups=groups)
    facts = {"method": method, "seed": config.data.seed} | splits.count_patients(dataset, groups)
    _claim(config, workdir, names, manifest.create(dataset, place, facts))
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
    return pooled.write(config, workdir, names, dataset, place, console)


def _claim(config: ConfigDict, workdir: str, names: list[str], described: dict[str, Any]) -> None:
    """Claims the folder above the folds, which is free while it has nothing but single folds."""
    has_begun = any(map(run_folder.has_state, names)) and os.path.exists(os.path.join(workdir, run_folder.CONFIG))
    run_folder.claim(workdir, config, described, has_begun=has_begun)
