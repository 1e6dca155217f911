"""One worker of a sweep: claims a trial, runs it in its run folders, finishes it, until none is left."""

import contextlib
import gc
import math
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import models, spreadsheet
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.kinds import FINDING
from ecg_jax.runtime import locks, run_folder
from ecg_jax.runtime.metric_writer import read_metrics
from ecg_jax.sweeps.database import Unreachable
from ecg_jax.sweeps.space import SEED
from ecg_jax.sweeps.study import Claim, Lost, Study
from ecg_jax.training import kfold, loop, setup

ERROR, SECONDS = "error.txt", "seconds.json"  # of a run folder
_NAP = 3.0  # seconds between looks at what others do


class _Pruned(Exception):
    """The pruner ends a trial."""


def work(
    study: Study, console: Console, log: Console, *, launcher: int = 0, ended: Callable[[], None] = lambda: None
) -> None:
    """Runs trials until none is left, and waits for those of other processes, which may die.

    Args:
        study: The sweep.
        console: For the outcome of each trial.
        log: For the lines of its runs, which include test scores.
        launcher: Process number of the parent. When it ends, this process saves its run and stops.
        ended: Called after every trial.

    Raises:
        Interrupted: after a signal; the trial will be run again.
        Unreachable: when the database does not answer.
    """
    has_stopped = is_waiting = False

    def check_parent() -> None:
        """Stops once: a second signal would not wait until the run is saved."""
        nonlocal has_stopped
        if launcher and os.getppid() != launcher and not has_stopped:
            has_stopped = True
            os.kill(os.getpid(), signal.SIGTERM)

    while True:
        claim = study.claim()
        if claim is None:
            if study.is_over:
                return
            if not is_waiting:
                console.print("Nothing left to start; waiting for the trials of other processes")
            is_waiting = True
            check_parent()
            time.sleep(_NAP)
            continue
        is_waiting = False
        console.rule(f"Trial {claim.trial.number}  {describe(claim.overrides)}")
        with study.give_signs_of_life(claim, check_parent) as is_lost:
            _run(study, claim, is_lost, console, log)
        jax.clear_caches()  # of this trial's functions: the next one has its own
        gc.collect()
        ended()


def describe(overrides: Mapping[str, Any]) -> str:
    """Keys and values, as in flags."""
    return ", ".join(f"{key}={value}" for key, value in overrides.items())


def read_seconds(folder: str) -> float:
    """Duration of a run over all its parts; NaN where it is unknown."""
    path = os.path.join(folder, SECONDS)
    return float(run_folder.read_json(path, (int, float))) if os.path.exists(path) else math.nan


def _run(study: Study, claim: Claim, is_lost: Callable[[], bool], console: Console, log: Console) -> None:
    """Runs a trial, and records its outcome in the study."""
    try:
        results = [_run_seed(study, claim, i, is_lost, console, log) for i in range(len(claim.seeds))]
        folders = study.folders(claim.overrides)
        values = {name: float(np.mean([result["validation"][name] for result in results])) for name in study.scores}
        values["parameters"] = count_parameters(study.space.create_config(claim.overrides), folders[0])
        values["seconds"] = sum(map(read_seconds, folders))
        unknown = [name for name in study.settings.objectives if not math.isfinite(values[name])]
        if unknown:
            lacks = "is both present and absent" if study.kind == FINDING else "has two different values"
            raise InputError(f"validation has no {unknown[0]}: no label of it {lacks}, or it is not finite")
        study.complete(claim, values, **values)
        console.print(f"validation at its best: {_list(study, values)}; {values['seconds']:.0f} s")
    except _Pruned:
        console.print("Pruned: other trials were better at this point")
        study.prune(claim)
    except Lost:
        console.print("Another process has taken over this trial; continuing with the next one")
    except (loop.Interrupted, KeyboardInterrupt):
        study.give_back(claim)
        raise
    except Unreachable:  # which is no failure of the trial
        raise
    except InputError as error:
        _fail(study, claim, str(error), console)
    except Exception as error:  # noqa: BLE001 - one bad trial does not end the sweep; it is recorded, with its traceback
        folder = study.folders(claim.overrides)[0]
        with contextlib.suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, ERROR), "w") as file:
                traceback.print_exc(file=file)
        _fail(study, claim, f"{type(error).__name__}: {' '.join(str(error).split())}", console)


def _fail(study: Study, claim: Claim, reason: str, console: Console) -> None:
    console.print(f"failed: {reason}")
    study.fail(claim, reason)


def _list(study: Study, values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.4f}" for name in study.scores)


def _run_seed(
    study: Study, claim: Claim, number: int, is_lost: Callable[[], bool], console: Console, log: Console
) -> dict[str, Any]:
    """Runs, or continues, one of a trial's configurations, unless it is finished."""
    overrides = {**claim.overrides, SEED: claim.seeds[number]}
    config, folder = study.space.create_config(overrides), study.folders(overrides)[0]
    if run_folder.is_finished(folder, config):
        console.print(f"Finished before: {folder}")
        return run_folder.read_json(os.path.join(folder, run_folder.RESULT))
    begin, before = time.monotonic(), np.nan_to_num(read_seconds(folder))
    objective = study.settings.objectives[0]
    is_judged = number == 0 and study.settings.pruner != "none"
    judged: set[int] = set()

    def keep_time() -> None:
        if os.path.isdir(folder):
            run_folder.write_json(os.path.join(folder, SECONDS), before + time.monotonic() - begin)

    def judge(evaluation: int, values: Mapping[str, float | None]) -> None:
        value = values[objective]
        if is_judged and evaluation not in judged and value is not None and math.isfinite(value):
            judged.add(evaluation)
            if study.report(claim, value, evaluation):
                raise _Pruned

    def report(evaluation: int, values: Mapping[str, float]) -> None:
        console.print(f"evaluation {evaluation}: {_list(study, values)}")
        keep_time()
        if is_lost():
            raise Lost
        judge(evaluation, values)

    console.print(f"Run folder: {folder}")
    lines = [line for line in read_metrics(os.path.join(folder, "metrics.jsonl")) if line["kind"] == "validation"]
    for k, line in enumerate(lines, start=1):  # of an earlier part of the run
        judge(k, line)
    try:
        while True:
            try:
                return kfold.run(config, os.path.join(study.workdir, study.space.name(overrides)), log, report=report)
            except locks.InUse as error:  # its earlier owner has not noticed yet
                console.print(f"Waiting: {error}")
                time.sleep(_NAP)
                if is_lost():
                    raise Lost from error
    finally:
        keep_time()


def count_parameters(config: ConfigDict, folder: str) -> int:
    """Number of parameters of the network of a finished run."""
    columns = spreadsheet.restore_table(pd.read_csv(os.path.join(folder, run_folder.PREDICTIONS), nrows=0)).columns
    labels = sum(str(name).endswith("_true") for name in columns)
    network = setup.create_network(config, labels)
    shapes = models.shapes(network, InputContract.from_dict(config.contract).shape)
    return models.count_weights(shapes["params"])
