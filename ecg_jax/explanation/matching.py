"""Waves that were found against waves that were marked, in one lead: LUDB's protocol.

A boundary is found if one of the same kind lies within the tolerance, 150 ms by default (ANSI/AAMI EC57; Kalyakulina et
al. 2020, IEEE Access 8:186181); each found boundary counts once, the nearest pairs first. Annotators mark from the
first to the last whole beat: what is found outside of these is not counted.
"""

import collections
import csv
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ecg_jax.lead_names import canonical_lead

TOLERANCE = 0.15  # seconds
WAVES, SIDES = ("P", "QRS", "T"), ("onset", "offset")
BOUNDARIES = [(wave, side) for wave in WAVES for side in SIDES]


class Matches(NamedTuple):
    """Of one kind of boundary; counts and errors add up over leads and recordings."""

    errors: np.ndarray  # `[matched]` seconds, found minus marked
    missed: int  # marked, not found
    extra: int  # found where none is marked

    @property
    def sensitivity(self) -> float:
        """Share of the marked boundaries that were found; NaN without any."""
        count = len(self.errors) + self.missed
        return len(self.errors) / count if count else np.nan

    @property
    def predictive_value(self) -> float:
        """Share of the found boundaries that are marked; NaN without any."""
        count = len(self.errors) + self.extra
        return len(self.errors) / count if count else np.nan


def match(
    found: np.ndarray,
    marked: np.ndarray,
    span: tuple[float, float],
    *,
    incomplete: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> Matches:
    """Pairs boundaries.

    Args:
        found: `[N]` seconds.
        marked: `[M]` seconds.
        span: From the first to the last mark of any wave; what is found outside, without a mark of its own, is no
            error.
        incomplete: Seconds, the tops of marked waves without a mark of this boundary; what is found within the
            tolerance of one, without a mark of its own, is no error either.
        tolerance: Seconds.
    """
    spared = np.zeros(0) if incomplete is None else incomplete
    found, marked = found[np.isfinite(found)], marked[np.isfinite(marked)]
    distance = np.abs(found[:, None] - marked)
    pairs = np.argwhere(distance <= tolerance)
    used_found: set[int] = set()
    used_marked: set[int] = set()
    errors = []
    for i, j in pairs[np.argsort(distance[tuple(pairs.T)], kind="stable")].tolist():
        if i not in used_found and j not in used_marked:
            used_found.add(i)
            used_marked.add(j)
            errors.append(found[i] - marked[j])
    others = np.delete(found, list(used_found))
    is_extra = (others >= span[0]) & (others <= span[1])
    is_extra &= ~(np.abs(others[:, None] - spared) <= tolerance).any(axis=1)
    return Matches(np.array(errors), len(marked) - len(used_marked), int(is_extra.sum()))


def compare(found: Mapping[str, np.ndarray], marked: Mapping[str, np.ndarray]) -> dict[tuple[str, str], Matches]:
    """Matches of one lead by boundary, `("P", "onset")` and so on.

    Args:
        found: By wave, `[N, 2]` seconds: onset and offset.
        marked: By wave, `[M, 3]` seconds: onset, offset and top, NaN where there is no mark.
    """
    every = np.concatenate([times[:, :2].ravel() for times in marked.values()])
    span = (float(np.nanmin(every)), float(np.nanmax(every)))
    matches = {}
    for wave, side in BOUNDARIES:
        column = SIDES.index(side)
        times = marked[wave][:, column]
        incomplete = marked[wave][np.isnan(times), 2]
        matches[wave, side] = match(found[wave][:, column], times, span, incomplete=incomplete)
    return matches


def collect(waves: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """What `compare` takes, by wave, of a lead's waves as in `delineation.Delineation`."""
    times: dict[str, list[tuple[float, float]]] = {wave: [] for wave in WAVES}
    for each in waves:
        times[each["wave"]].append((each["onset"], each["offset"]))
    return {wave: np.array(rows).reshape(-1, 2) for wave, rows in times.items()}


def read_marks(path: str | os.PathLike[str], sampling_rate: float) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Marks by record, lead and wave, as `compare` takes them.

    Args:
        path: A CSV file with columns record, lead, wave, onset, peak and offset, in samples, empty where there is none.
        sampling_rate: Hz, of the marks.
    """
    rows: dict[tuple[str, str, str], list[list[float]]] = collections.defaultdict(list)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            times = [float(row[name]) / sampling_rate if row[name] else np.nan for name in ("onset", "offset", "peak")]
            rows[row["record"], canonical_lead(row["lead"]), row["wave"]].append(times)
    marks: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for record, lead, _ in list(rows):
        marks.setdefault(record, {})[lead] = {
            wave: np.array(rows.get((record, lead, wave), [])).reshape(-1, 3) for wave in WAVES
        }
    return marks


def add(matches: list[Matches]) -> Matches:
    """All of them as one."""
    return Matches(
        np.concatenate([np.zeros(0), *(each.errors for each in matches)]),
        sum(each.missed for each in matches),
        sum(each.extra for each in matches),
    )
