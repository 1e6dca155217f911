"""A sweep's results in short: the winner, its command, the main columns."""

import shlex
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError
from ecg_jax.sweeps.results import RESAMPLES, Results, name_column
from ecg_jax.sweeps.study import Study

SHOWN = 20  # rows of the short table


def describe_command(found: Results, arguments: Sequence[str]) -> str:
    """The command line that trains the best configuration.

    Raises:
        InputError: when nothing has finished yet.
    """
    if not found.ranked:
        raise InputError("no run has finished yet, so none is the best")
    winner = found.ranked[0]
    kept, follows = [], False
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0]
        if follows or name == "config" or name.startswith("config."):
            kept.append(argument)
            follows = not follows and "=" not in argument
    flags = [f"--config.{key}={_as_flag(value)}" for key, value in winner.overrides.items()]
    return shlex.join(["python", "-m", "ecg_jax.main", *kept, *flags])


def describe_winner(found: Results) -> list[str]:
    """The winner's test scores, and the optimism of its validation score."""
    winner, objective = found.ranked[0], found.objective
    lines = [f"Winner: {winner.name}"]
    tried = len(found.ranked)
    scores = ", ".join(f"{name} {spread(found.test[name])}" for name in found.test)
    seeds = f"{len(winner.runs)} seeds: mean, lowest-highest" if len(winner.runs) > 1 else "1 seed"
    if scores:
        lines.append(f"Its test split, read for it alone: {scores} ({seeds})")
    if np.isfinite(found.optimism):
        value = winner.row[name_column(objective)]
        lines.append(
            f"It is the best of {tried}: its validation {objective}, {value:.4f}, is too good by about "
            f"{found.optimism:.4f} (bootstrap of the choice, {RESAMPLES} draws of the validation recordings)"
        )
    return lines


def spread(values: Sequence[float]) -> str:
    """Mean, and range if there are several values."""
    known = np.asarray(values, np.float64)
    return f"{known.mean():.4f}" + (f" ({known.min():.4f}-{known.max():.4f})" if len(known) > 1 else "")


def _as_flag(value: object) -> str:
    return str(tuple(value)) if isinstance(value, list | tuple) else str(value)


def shorten(found: Results, study: Study) -> pd.DataFrame:
    """The main columns."""
    column = name_column(found.objective)
    names = ["rank", *study.space.keys, "runs", "missing", column, f"{column}_low", f"{column}_high"]
    others = map(name_column, (*study.settings.objectives[1:], *study.scores[1:3], "seconds"))
    shown = found.table[[*dict.fromkeys([*names, *others])]].head(SHOWN)
    if not shown["missing"].any():
        shown = shown.drop(columns="missing")
    if shown[f"{column}_low"].isna().all():
        shown = shown.drop(columns=[f"{column}_low", f"{column}_high"])
    return shown.astype({key: object for key in study.space.keys}).rename(columns=shorten_keys(study))


def shorten_keys(study: Study) -> dict[str, str]:
    """Keys without their sections, unless two would be equal."""
    last = [key.rpartition(".")[2] for key in study.space.keys]
    return {key: short for key, short in zip(study.space.keys, last, strict=True) if last.count(short) == 1}


def choose_formats(shown: pd.DataFrame) -> dict[str, str]:
    """Formats of the columns of `shorten`; see `tables.Table`."""
    floats = [
        name for name in shown if all(isinstance(value, float) for value in shown[name]) and shown[name].dtype == object
    ]
    return dict.fromkeys(floats, ".4g") | {
        name: form
        for name, form in (("parameters", ",.0f"), ("seconds", ".0f"), ("validation loss", ".4f"))
        if name in shown
    }
