"""Recordings that are not scored, and why."""

import contextlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ecg_jax import files, spreadsheet

_SHOWN = 3
_LONGEST = 160  # characters of a problem
NO_SIGNAL = "no signal"
LIST = "not_scored.csv"  # of all of them, in the folder of an evaluation


class LeftOut(NamedTuple):
    """A recording that is not scored."""

    recording: str
    problem: str
    is_broken: bool = False  # it could not be read, or was refused
    split: str = ""  # that it is in, where that is known and there are several


def create(recording: str, quality: str, split: str = "", *, reason: str = "") -> LeftOut:
    """A recording without a prediction, by its `quality` in a file of predictions, and the reason where it is known."""
    return LeftOut(recording, reason or quality or "no finite number", not quality.startswith(NO_SIGNAL), split)


def describe(left_out: Sequence[LeftOut], among: str) -> list[str]:
    """A line for the broken ones and one for the others, with the first few; `among` is as `40 recordings`."""
    kinds = {
        "could not be read or were refused": [each for each in left_out if each.is_broken],
        "have no signal or no prediction": [each for each in left_out if not each.is_broken],
    }
    return [
        f"{len(some)} of the {among} {kind} and are left out: {_list(some)}" for kind, some in kinds.items() if some
    ]


def write(folder: str, left_out: Sequence[LeftOut]) -> list[str]:
    """Lists each of them once, or removes the list of an earlier evaluation; returns the path, if it is written."""
    path = os.path.join(folder, LIST)
    if not left_out:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
        return []
    table = pd.DataFrame([*dict.fromkeys(left_out)]).drop(columns="is_broken")
    table = table.drop(columns=[] if table["split"].any() else "split")
    return [files.write_text(path, spreadsheet.to_csv(table, lineterminator="\n"))]


def read_problems(folder: str) -> dict[str, str]:
    """By recording, the problems that `write` listed; none where there is no list."""
    try:
        table = pd.read_csv(os.path.join(folder, LIST), dtype=str, keep_default_na=False)
    except FileNotFoundError:
        return {}
    table = spreadsheet.restore_table(table)
    return dict(zip(table["recording"], table["problem"], strict=True))


def _list(left_out: Sequence[LeftOut]) -> str:
    shown = [_name(each) for each in left_out[:_SHOWN]]
    more = f"; and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
    return "; ".join(shown) + more


def _name(each: LeftOut) -> str:
    """A recording and its problem, without the recording's path, with which that may begin."""
    path, _, rest = each.problem.partition(": ")
    problem = rest if rest and path.endswith(each.recording) else each.problem
    return f"{each.recording} ({problem[:_LONGEST]}{'…' if len(problem) > _LONGEST else ''})"
