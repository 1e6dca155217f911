"""The runs of a sweep, and an estimate of their duration from a few steps of each kind of run."""

import os
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.reporting import tables
from ecg_jax.runtime.metric_writer import read_metrics
from ecg_jax.sweeps.space import SEED, Space
from ecg_jax.sweeps.study import Settings
from ecg_jax.sweeps.worker import describe as describe_point
from ecg_jax.training import loop, setup

_MEASURED = 4  # kinds of runs; the others are assumed to last as long on average
_STEPS = 8
_LISTED = 200
_SECTIONS = ("model", "freeze", "contract", "train", "data", "augment")  # decide how long a run takes


def describe(space: Space, settings: Settings, console: Console) -> None:
    """Lists the points, and estimates the time of one process that runs them all.

    Raises:
        InputError: when a run could not even start.
    """
    if space.is_search:
        rows = [[key, str(value)] for key, value in space.distributions.items()]
        tables.print_rows("Drawn", ["key", "from"], rows, console)
        runs = settings.trials * len(space.seeds)
        console.print(f"{settings.trials} points x {len(space.seeds)} seed(s) = {runs} runs")
        kinds: list[Mapping[str, Any]] = [{}]
    else:
        points = list(space.points.items())
        names = [SEED, *space.keys]
        rows = [[key, *(str(point.get(name, "")) for name in names)] for key, point in points[:_LISTED]]
        tables.print_rows("Runs", ["folder", *names], rows, console)
        runs = len(points)
        more = f", of which {_LISTED} are listed" if runs > _LISTED else ""
        console.print(f"{runs} runs{more}")
        kinds = _list_kinds(space)
    console.print(f"Measuring {min(len(kinds), _MEASURED)} of {len(kinds)} kind(s) of runs, {_STEPS} steps each")
    seconds = []
    for kind in kinds[:_MEASURED]:
        seconds.append(measure(space.create_config(kind)))
        console.print(f"  {describe_point(kind) or 'as in the base'}: about {format_time(seconds[-1])} a run")
    mean = sum(seconds) / len(seconds)
    console.print(f"All {runs} runs, one after the other: about {format_time(runs * mean)}; less, if runs stop early")


def _list_kinds(space: Space) -> list[Mapping[str, Any]]:
    """The distinct changes of keys that decide how long a run takes."""
    base = dict(config_lib.flatten(space.base))
    kinds = (
        {key: value for key, value in point.items() if key.partition(".")[0] in _SECTIONS and value != base[key]}
        for point in space.points.values()
    )
    return list({repr(sorted(kind.items())): kind for kind in kinds}.values())


def measure(config: ConfigDict) -> float:
    """Seconds that a run lasts, from a short one: its start and end, its steps, its evaluations."""
    per_call = config.train.steps_per_call
    steps = -(-_STEPS // per_call) * per_call
    short = {"train.steps": steps, "train.eval_every": steps, "train.log_every": steps, "checkpoint.every": steps}
    with tempfile.TemporaryDirectory() as folder:
        quiet = Console(quiet=True)
        built, _ = setup.create(config, os.path.join(folder, "whole"), console=quiet)
        total, every = built.total_steps, built.eval_every
        prepared = time.monotonic()
        changed = config_lib.override(config, short | {"early_stopping.patience": 0, "split.folds": 0, "split.fold": 0})
        loop.train_and_evaluate(changed, os.path.join(folder, "short"), quiet)
        lines = read_metrics(os.path.join(folder, "short", "metrics.jsonl"))
    whole = time.monotonic() - prepared
    timed = next((line for line in reversed(lines) if line["kind"] == "train" and line.get("step_s")), None)
    step = timed["step_s"] if timed else whole / steps
    evaluation = timed.get("evaluation_s", 0.0) if timed else 0.0
    return (whole + max(total - steps, 0) * step + max(total / every - 1, 0) * evaluation) * max(config.split.folds, 1)


def format_time(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"
