"""Recordings that are not scored, and why."""

from collections.abc import Sequence
from typing import NamedTuple

_SHOWN = 3
_LONGEST = 160  # characters of a problem
NO_SIGNAL = "no signal"
PROBLEMS = "problems.csv"  # the list of all of them, in the folder of an evaluation


class LeftOut(NamedTuple):
    """A recording that is not scored."""

    recording: str
    problem: str
    is_broken: bool = False  # it could not be read, or was refused
    split: str = ""  # that it is in, where that is known and there are several


def describe(left_out: Sequence[LeftOut], among: str) -> list[str]:
    """A line for the broken ones and one for the others, with the first few; `among` is as `40 recordings`."""
    kinds = {
        "could not be read or were refused": [each for each in left_out if each.is_broken],
        "have no signal or no prediction": [each for each in left_out if not each.is_broken],
    }
    return [
        f"{len(some)} of the {among} {kind} and are left out: {_list(some)}" for kind, some in kinds.items() if some
    ]


def _list(left_out: Sequence[LeftOut]) -> str:
    shown = [_name(each) for each in left_out[:_SHOWN]]
    more = f"; and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
    return "; ".join(shown) + more


def _name(each: LeftOut) -> str:
    """A recording and its problem, without the recording's path, with which that may begin."""
    path, _, rest = each.problem.partition(": ")
    problem = rest if rest and path.endswith(each.recording) else each.problem
    return f"{each.recording} ({problem[:_LONGEST]}{'…' if len(problem) > _LONGEST else ''})"
