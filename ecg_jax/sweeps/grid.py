"""Runs a grid, one ordinary run folder per point, and ranks the points by validation."""

import os
from typing import Any

import pandas as pd
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.errors import InputError
from ecg_jax.runtime import run_folder
from ecg_jax.training import kfold
from ecg_jax.training.setup import MONITORS

RESULTS = "results.csv"


def run(
    points: list[tuple[dict[str, Any], ConfigDict]], workdir: str, console: Console
) -> tuple[pd.DataFrame, list[str]]:
    """Runs every point that has not finished, and writes `results.csv` after each.

    Args:
        points: See `space.create_grid`.
        workdir: Where run folders, named by their configuration's fingerprint, lie.
        console: Where progress is shown.

    Returns:
        The ranked table, best first, and one line for every point that failed.
    """
    os.makedirs(workdir, exist_ok=True)
    failures = []
    table = pd.DataFrame()
    for number, (overrides, config) in enumerate(points, start=1):
        folder = os.path.join(workdir, config_lib.fingerprint(config))
        title = ", ".join(f"{key}={value}" for key, value in overrides.items())
        console.rule(f"{number}/{len(points)}  {title}")
        if os.path.exists(os.path.join(folder, run_folder.RESULT)):
            console.print(f"Finished before: {folder}")
        else:
            try:
                kfold.run(config, folder, console)
            except InputError as error:
                failures.append(f"{folder} ({title}): {error}")
                console.print(f"failed: {error}")
        table = collect(points, workdir)
        table.to_csv(os.path.join(workdir, RESULTS), index=False)
    return table, failures


def collect(points: list[tuple[dict[str, Any], ConfigDict]], workdir: str) -> pd.DataFrame:
    """Ranks the finished points by the metric they monitored on validation, best first.

    Returns:
        One row per finished point: rank, run folder, overrides, validation scores. The test
        split is left out: whoever ranks by it has used it up.
    """
    rows = []
    for overrides, config in points:
        folder = os.path.join(workdir, config_lib.fingerprint(config))
        path = os.path.join(folder, run_folder.RESULT)
        if not os.path.exists(path):
            continue
        result = run_folder.read_json(path)
        validation = {f"validation {name}": value for name, value in result["validation"].items()}
        key = MONITORS[result["monitor"]] * result["validation"][result["monitor"]]
        rows.append({"run": folder, **{k: str(v) for k, v in overrides.items()}, **validation, "_key": key})
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows).sort_values("_key", kind="stable").drop(columns="_key").reset_index(drop=True)
    table.insert(0, "rank", table.index + 1)
    return table
