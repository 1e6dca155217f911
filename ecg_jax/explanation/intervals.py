"""Intervals and amplitudes of a recording's usual beats, from its waves.

Each measure is the median over beats, the axis their mean direction; beside it the standard deviation over beats; NaN
where it cannot be measured. Ectopic beats are left out; paced beats are measured where they outnumber the usual ones
two to one. Where all beats are ectopic only the heart rate is known.

A boundary at the first or the last sample is that of a wave that the recording cuts off: it is not measured.
"""

import bisect
import dataclasses
import math
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_jax.explanation.delineation_network import SAMPLING_RATE
from ecg_jax.recording import LIMB_LEADS, Recording

if TYPE_CHECKING:
    from ecg_jax.explanation.delineation import Delineation

_SHORTEST_PR, _LONGEST_PR = 0.06, 0.50  # seconds
_NEAR = 2.0  # seconds, longer than any PR interval or T wave
_J_POINT = 0.06  # seconds after QRS at which ST is measured
_BASELINE = 0.02  # seconds before QRS whose median is the baseline
_GAP = 0.02  # seconds without any lead, which may hide a complex
FLAT = 1e-3  # mV: a lead that varies less is not connected
_R = 0.02  # mV; a smaller positive deflection does not begin an R wave
_RESOLUTION = 1 / SAMPLING_RATE  # seconds, of boundaries
_NONE = np.nan


@dataclasses.dataclass(frozen=True)
class Measurements:
    """Of one recording; `spread` holds the standard deviation over beats of each, under the same name."""

    heart_rate: float  # per minute, of the mean interval between complexes without a gap between them
    pr: float  # ms, from the onset of P to that of QRS
    qrs: float  # ms
    qt: float  # ms
    qtc: float  # ms, QT / RR^(1/3) with RR in seconds (Fridericia 1920), each beat's from the beat before
    qtc_bazett: float  # ms, QT / RR^(1/2) (Bazett 1920)
    axis: float  # degrees in the frontal plane, of the net area of QRS in the limb leads (least squares)
    p_duration: float  # ms
    r: dict[str, float]  # mV by lead, the highest point of QRS; 0 where it is never positive
    s: dict[
        str, float
    ]  # mV by lead, the deepest point of QRS after it first becomes positive, else of all, as a positive number
    st: dict[str, float]  # mV by lead, 60 ms after QRS
    spread: dict[str, Any]
    beats: dict[str, int]  # complexes by kind
    measured: str  # the kind of beats that was measured, `usual` or `paced`; there may be none


def measure(recording: Recording, delineation: "Delineation") -> Measurements:
    """Measures a recording with its waves; see `delineation.delineate`."""
    complexes = [wave for wave in delineation.waves if wave["wave"] == "QRS"]
    kinds = np.array([wave.get("kind", "usual") for wave in complexes], str)
    beats = {kind: int(np.sum(kinds == kind)) for kind in ("usual", "ectopic", "paced")}
    measured = "paced" if beats["paced"] > 2 * beats["usual"] else "usual"
    onsets = np.array([wave["onset"] for wave in complexes])
    whole = [wave for wave in delineation.waves if _is_whole(wave, recording)]
    others = {name: [wave for wave in whole if wave["wave"] == name] for name in ("P", "T")}
    gaps = _find_gaps(recording)
    intervals = _find_intervals(recording, onsets, gaps)
    varies = find_varying(recording)
    tables: dict[str, list[Any]] = {name: [] for name in _PER_BEAT}
    for i, wave in enumerate(complexes):
        if kinds[i] != measured or not _is_whole(wave, recording):
            continue
        follows_usual = i > 0 and kinds[i - 1] == measured
        nearby = {name: _find_near(waves, complexes, i) for name, waves in others.items()}
        if len(gaps):
            nearby = {name: [each for each in near if not _crosses(gaps, wave, each)] for name, near in nearby.items()}
        values = _measure_beat(nearby, complexes, i, intervals[i - 1] if follows_usual else _NONE)
        values |= _measure_amplitudes(recording, wave, varies)
        for name, value in values.items():
            tables[name].append(value)
    centre: dict[str, Any] = {}
    spread: dict[str, Any] = {}
    for name, rows in tables.items():
        if name in _BY_LEAD:
            columns = np.array(rows).T.tolist() if rows else [[] for _ in recording.leads]
            centre[name] = dict(zip(recording.leads, map(_median, columns), strict=True))
            spread[name] = dict(zip(recording.leads, map(_deviate, columns), strict=True))
        else:
            centre[name], spread[name] = _median(rows), _deviate(rows)
    if np.isfinite(centre["axis"]):
        centre["axis"], spread["axis"] = _average_angles(tables["axis"])
    spread["heart_rate"] = _deviate((60 / intervals).tolist())
    known = intervals[np.isfinite(intervals)]
    rate = 60 / float(known.mean()) if len(known) else _NONE
    return Measurements(heart_rate=rate, spread=spread, beats=beats, measured=measured, **centre)


_BY_LEAD = ("r", "s", "st")
_PER_BEAT = ("pr", "qrs", "qt", "qtc", "qtc_bazett", "p_duration", "axis", *_BY_LEAD)


def find_varying(recording: Recording) -> np.ndarray:
    """`[L]`, which columns are leads that vary; those outside `Recording.lead_columns` are not."""
    varies = np.zeros(len(recording.leads), bool)
    for i in np.arange(len(varies))[recording.lead_columns]:
        known: np.ndarray = recording.valid[:, i]
        varies[i] = known.any() and recording.signal[:, i].std(where=known) > FLAT
    return varies


def _is_whole(wave: Mapping[str, Any], recording: Recording) -> bool:
    """False where the recording's ends cut a wave off."""
    step = max(_RESOLUTION, 1 / recording.sampling_rate)
    last = len(recording.signal) / recording.sampling_rate - step
    return bool(wave["onset"] > step and wave["offset"] < last)


def _find_gaps(recording: Recording) -> np.ndarray:
    """Middles of gaps, in seconds: more than `_GAP` without any lead."""
    missing = ~np.asarray(recording.valid[:, recording.lead_columns].any(axis=1))
    if not missing.any():
        return np.zeros(0)
    edges = np.diff(np.concatenate([[0], missing.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    return ((begins + ends) / 2 / recording.sampling_rate)[ends - begins > _GAP * recording.sampling_rate]


def _crosses(gaps: np.ndarray, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a gap lies between the beginning of the earlier wave and the end of the later one."""
    begin, end = min(one["onset"], other["onset"]), max(one["offset"], other["offset"])
    return bool(np.searchsorted(gaps, begin) < np.searchsorted(gaps, end))


def _find_intervals(recording: Recording, onsets: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Seconds between neighbouring complexes `[N]`, `[N - 1]`; NaN across a gap, and after an onset that is cut off."""
    intervals = np.diff(onsets)
    if len(gaps):
        intervals[np.diff(np.searchsorted(gaps, onsets)) > 0] = np.nan
    if len(intervals) and onsets[0] <= max(_RESOLUTION, 1 / recording.sampling_rate):
        intervals[0] = np.nan
    return intervals


def _find_near(waves: list[dict[str, Any]], complexes: list[dict[str, Any]], i: int) -> list[dict[str, Any]]:
    """Waves, in order of onset, that begin from `_NEAR` before a complex to the next one."""
    low = bisect.bisect_left(waves, complexes[i]["onset"] - _NEAR, key=_get_onset)
    after = complexes[i + 1]["onset"] if i + 1 < len(complexes) else np.inf
    return waves[low : bisect.bisect_left(waves, after, low, key=_get_onset)]


def _get_onset(wave: Mapping[str, Any]) -> float:
    return float(wave["onset"])


def _measure_beat(
    others: Mapping[str, list[dict[str, Any]]], complexes: list[dict[str, Any]], i: int, interval: float
) -> dict[str, float]:
    """Milliseconds of one beat, from P and T waves `others`; `interval` is that from the beat before, in seconds."""
    onset, offset = complexes[i]["onset"], complexes[i]["offset"]
    before = complexes[i - 1]["offset"] if i else -np.inf
    after = complexes[i + 1]["onset"] if i + 1 < len(complexes) else np.inf
    earliest, latest = max(before, onset - _LONGEST_PR), onset - _SHORTEST_PR
    p = [wave for wave in others["P"] if earliest < wave["onset"] <= latest]
    t = [wave for wave in others["T"] if offset <= wave["offset"] < after]
    qt = 1e3 * (t[-1]["offset"] - onset) if t else _NONE
    return {
        "pr": 1e3 * (onset - p[-1]["onset"]) if p else _NONE,
        "qrs": 1e3 * (offset - onset),
        "qt": qt,
        "qtc": qt / np.cbrt(interval),
        "qtc_bazett": qt / np.sqrt(interval),
        "p_duration": 1e3 * (p[-1]["offset"] - p[-1]["onset"]) if p else _NONE,
    }


def _measure_amplitudes(recording: Recording, wave: Mapping[str, Any], varies: np.ndarray) -> dict[str, Any]:
    """R, S and ST by lead, and the axis, of one QRS complex; NaN of leads that do not vary."""
    rate = recording.sampling_rate
    first, last = round(wave["onset"] * rate), min(round(wave["offset"] * rate) + 1, len(recording.signal))
    j_point = round((wave["offset"] + _J_POINT) * rate)
    start = max(first - max(round(_BASELINE * rate), 1), 0)
    none = np.full(len(recording.leads), np.nan)
    if recording.normalized or not start < first < last:
        return {"r": none, "s": none, "st": none, "axis": _NONE}
    known = recording.valid[start:last].all(axis=0) & varies
    level = np.where(known, np.median(recording.signal[start:first], axis=0), np.nan)
    values = recording.signal[first:last] - level
    begin = (values > _R).argmax(axis=0)  # of R; 0 in a QS complex
    after = np.where(np.arange(len(values))[:, None] >= begin, values, 0)
    has_st = j_point < len(recording.signal)
    areas = dict(zip(recording.leads, values.sum(axis=0).tolist(), strict=True))
    return {
        "r": np.maximum(values.max(axis=0), 0),
        "s": np.maximum(-after.min(axis=0), 0),
        "st": np.where(recording.valid[j_point], recording.signal[j_point] - level, np.nan) if has_st else none,
        "axis": _find_axis({lead: area for lead, area in areas.items() if np.isfinite(area)}),
    }


def _find_axis(areas: Mapping[str, float]) -> float:
    """Degrees, from the net area of QRS in any two limb leads."""
    limbs = [lead for lead in LIMB_LEADS if lead in areas]
    if len(limbs) < 2:
        return _NONE
    one, two = np.linalg.lstsq(np.array([LIMB_LEADS[lead] for lead in limbs]), [areas[lead] for lead in limbs])[0]
    if not one and not two:
        return _NONE
    return float(np.degrees(np.arctan2((two - one / 2) * 2 / np.sqrt(3), one)))


def _average_angles(angles: list[float]) -> tuple[float, float]:
    """Mean direction and deviation from it, in degrees from -180 to 180."""
    known = np.radians([angle for angle in angles if np.isfinite(angle)])
    mean = np.arctan2(np.sin(known).sum(), np.cos(known).sum())
    apart = np.degrees((known - mean + np.pi) % (2 * np.pi) - np.pi)
    return float(np.degrees(mean)), float(np.std(apart, ddof=1)) if len(known) > 1 else _NONE


def _median(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(statistics.median(known)) if known else _NONE


def _deviate(values: list[float]) -> float:
    """The standard deviation of a sample."""
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return _NONE
    mean = sum(known) / len(known)
    return math.sqrt(sum((value - mean) ** 2 for value in known) / (len(known) - 1))
