"""HL7 annotated ECG (aECG, FDA XML): the rhythm series, not the representative beat derived from it.

Structure: HL7 v3 `AnnotatedECG`; `component/series/component/sequenceSet/component/sequence`. A lead's value is
SLIST_PQ: origin + scale * digits, each of origin and scale with its own unit. The time is a sequence of its own with an
increment. The file states the period separately (`effectiveTime`), to whole seconds in many files, so that it is only a
check.
"""

import contextlib
import datetime
import re
from xml.etree.ElementTree import Element

import numpy as np

from ecg_jax.data.readers import groups, xml_document
from ecg_jax.data.readers.reading import reader
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

_ROOT = "AnnotatedECG"
_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_TIME = re.compile(r"(\d{14})(\.\d{1,9})([+-]\d{4})?")
_LIST = "{http://www.w3.org/2001/XMLSchema-instance}type"
matches = xml_document.match_root(_ROOT)


@reader("HL7 aECG", xml_document.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads the rhythm series; raises `InputError` unless there is one, whose leads are simultaneous."""
    series = xml_document.parse(path, _ROOT).findall("component/series")
    rhythms = xml_document.choose_rhythms(path, "series", series, [*map(_code, series)])
    if len(rhythms) > 1:
        raise InputError(f"{path}: {len(rhythms)} rhythm series; export one file per ECG")
    sets = rhythms[0].findall("component/sequenceSet")
    if not sets:
        raise InputError(f"{path}: the rhythm series has no sequenceSet, so no samples")
    duration = _read_duration(rhythms[0]) if len(sets) == 1 else None
    return groups.to_recording(path, id, *(_read_set(path, element) for element in sets), duration=duration)


def _code(element: Element) -> str:
    code = element.find("code")
    return "" if code is None else " ".join(code.get("code", "").split())


def _read_set(path: str, element: Element) -> groups.Group:
    leads, columns, times = [], [], []
    for sequence in element.findall("component/sequence"):
        code, value = _code(sequence), sequence.find("value")
        if code.startswith("TIME_"):
            times.append(value)
        else:
            leads.append(groups.lead(path, code.removeprefix("MDC_ECG_LEAD_")))
            columns.append(_read_lead(path, leads[-1], value))
    if len(times) != 1 or not leads:
        raise InputError(
            f"{path}: sequenceSet with {len(times)} time sequences and {len(leads)} leads; expected one time"
        )
    rate, start = _read_time(path, times[0])
    return groups.Group(
        samples=groups.stack(path, [samples for samples, _ in columns]),
        leads=tuple(leads),
        millivolts_per_unit=np.array([step for _, step in columns]),
        sampling_rate=rate,
        start=start,
    )


def _read_lead(path: str, name: str, value: Element | None) -> tuple[np.ndarray, float]:
    """`[samples]` in steps, shifted so that 0 is 0 mV, and the voltage of one step in mV."""
    kind = "missing" if value is None else value.get(_LIST, "SLIST_PQ").rpartition(":")[2]
    if value is None or kind != "SLIST_PQ":
        raise InputError(f"{path}: values of lead {name} are {kind[:40]}; expected SLIST_PQ")
    origin = _read_voltage(path, f"origin of lead {name}", value.find("origin"))
    step = _read_voltage(path, f"scale of lead {name}", value.find("scale"))
    if step == 0:
        raise InputError(f"{path}: scale of lead {name} is 0; expected the voltage of one step")
    return xml_document.numbers(path, f"digits of lead {name}", value.findtext("digits")) + origin / step, step


def _read_voltage(path: str, field: str, element: Element | None) -> float:
    if element is None:
        raise InputError(f"{path}: no {field}; without it samples have no unit")
    factor = groups.millivolts(path, field, element.get("unit", ""))
    return xml_document.number(path, field, element.get("value")) * factor


def _read_time(path: str, value: Element | None) -> tuple[float, str | None]:
    """The sampling rate in Hz, and the first sample's time as written."""
    increment = None if value is None else value.find("increment")
    if value is None or increment is None:
        raise InputError(f"{path}: time sequence without an increment; only evenly sampled ECGs can be read")
    unit = increment.get("unit", "")
    if unit not in _SECONDS:
        raise InputError(f"{path}: unit of the time increment is {unit[:40]!r}; known: s, ms, us")
    step = xml_document.number(path, "time increment", increment.get("value"), positive=True) * _SECONDS[unit]
    head = value.find("head")
    return float(f"{1 / step:.9g}"), None if head is None else head.get("value")


def _read_duration(series: Element) -> float | None:
    """Seconds from low to high, where both are given to a fraction of a second: whole ones may be off by one."""
    times = []
    for end in ("low", "high"):
        time = series.find(f"effectiveTime/{end}")
        match = None if time is None else _TIME.fullmatch((time.get("value") or "").strip())
        with contextlib.suppress(ValueError):  # of a month 99
            if match:
                moment = datetime.datetime.strptime(match[1] + (match[3] or "+0000"), "%Y%m%d%H%M%S%z")
                times.append(moment.timestamp() + float(match[2]))
    return times[1] - times[0] if len(times) == 2 and times[1] > times[0] else None
