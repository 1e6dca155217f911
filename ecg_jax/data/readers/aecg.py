"""HL7 annotated ECG (aECG, FDA XML): the rhythm series, not the representative beat derived from it.

Structure: HL7 v3 `AnnotatedECG`; `component/series/component/sequenceSet/component/sequence`.
A lead's value is SLIST_PQ: origin + scale * digits, each of origin and scale with its own unit.
The time is a sequence of its own with an increment. The file states the period apart from it
(`effectiveTime`), to whole seconds in many files, so that it is only a check.
"""

import datetime
import os
import re
from xml.etree.ElementTree import Element

import numpy as np

from ecg_jax.data.readers import groups, xml_document
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_TIME = re.compile(r"(\d{14})(\.\d{1,9})?([+-]\d{4})?")
_LIST = "{http://www.w3.org/2001/XMLSchema-instance}type"


def matches(path: str, head: bytes) -> bool:
    """Says whether a file is an HL7 aECG, by its first element."""
    return xml_document.root_name(head) == "AnnotatedECG"


def read(path: str, id: str | None = None) -> Recording:
    """Reads the rhythm series.

    Args:
        path: The XML file.
        id: Name for messages and results; the file's name if None.

    Raises:
        InputError: when the file is damaged, has no rhythm, or its leads are not simultaneous.
    """
    path = os.fspath(path)
    tree = xml_document.parse(path, "AnnotatedECG")
    found = tree.findall("component/series")
    codes = [_code(series) for series in found]
    rhythms = [series for series, code in zip(found, codes, strict=True) if code == "RHYTHM"]
    if not rhythms:
        raise InputError(f"{path}: series {', '.join(codes)[:80] or 'none'}; expected one with the code RHYTHM")
    if len(rhythms) > 1:
        raise InputError(f"{path}: {len(rhythms)} rhythm series; export one file per ECG")
    sets = rhythms[0].findall("component/sequenceSet")
    if not sets:
        raise InputError(f"{path}: the rhythm series has no sequenceSet, so no samples")
    group = groups.choose(path, [_read_set(path, element) for element in sets])
    duration = _duration(rhythms[0]) if len(sets) == 1 else None
    return groups.to_recording(path, id or os.path.basename(path), group, duration=duration)


def _code(element: Element) -> str:
    code = element.find("code")
    return "" if code is None else " ".join(code.get("code", "").split())


def _read_set(path: str, element: Element) -> groups.Group:
    sequences = element.findall("component/sequence")
    leads = {}
    times = []
    for sequence in sequences:
        code = _code(sequence)
        if code.startswith("TIME_"):
            times.append(sequence)
            continue
        name = groups.lead(path, code.removeprefix("MDC_ECG_LEAD_"))
        if name in leads:
            raise InputError(f"{path}: lead {name} twice in a sequenceSet; each lead may stand once")
        leads[name] = _read_lead(path, name, sequence.find("value"))
    if len(times) != 1 or not leads:
        raise InputError(
            f"{path}: sequenceSet with {len(times)} time sequences and {len(leads)} leads; expected one time"
        )
    rate, start = _read_time(path, times[0].find("value"))
    return groups.Group(
        samples=groups.stack(path, [samples for samples, _ in leads.values()]),
        leads=tuple(leads),
        millivolts_per_unit=np.array([factor for _, factor in leads.values()]),
        sampling_rate=rate,
        start=start,
    )


def _read_lead(path: str, name: str, value: Element | None) -> tuple[np.ndarray, float]:
    """Returns `[samples]` in steps, shifted so that 0 is 0 mV, and what a step is in mV."""
    kind = "missing" if value is None else value.get(_LIST, "SLIST_PQ").rpartition(":")[2]
    if value is None or kind != "SLIST_PQ":
        raise InputError(f"{path}: values of lead {name} are {kind[:40]}; expected SLIST_PQ")
    origin = _read_voltage(path, f"origin of lead {name}", value.find("origin"))
    step = _read_voltage(path, f"scale of lead {name}", value.find("scale"))
    if step == 0:
        raise InputError(f"{path}: scale of lead {name} is 0; expected the voltage of one step")
    try:
        digits = np.array((value.findtext("digits") or "").split(), np.float64)
    except ValueError as error:
        raise InputError(f"{path}: digits of lead {name} are not all numbers; the file is damaged") from error
    return digits + origin / step, step


def _read_voltage(path: str, field: str, element: Element | None) -> float:
    if element is None:
        raise InputError(f"{path}: no {field}; without it samples have no unit")
    factor = groups.millivolts(path, field, element.get("unit", ""))
    return xml_document.number(path, field, element.get("value")) * factor


def _read_time(path: str, value: Element | None) -> tuple[float, str | None]:
    """Returns the sampling rate in Hz, and the first sample's time as written."""
    increment = None if value is None else value.find("increment")
    if value is None or increment is None:
        raise InputError(f"{path}: time sequence without an increment; only evenly sampled ECGs can be read")
    unit = increment.get("unit", "")
    if unit not in _SECONDS:
        raise InputError(f"{path}: unit of the time increment is {unit[:40]!r}; known: s, ms, us")
    step = xml_document.number(path, "time increment", increment.get("value")) * _SECONDS[unit]
    if step <= 0:
        raise InputError(f"{path}: time increment {step} s; expected a positive one")
    head = value.find("head")
    return float(f"{1 / step:.9g}"), None if head is None else head.get("value")


def _duration(series: Element) -> float | None:
    """Seconds from low to high, where both are given to a fraction of a second: whole ones may be off by one."""
    times = [series.find(f"effectiveTime/{end}") for end in ("low", "high")]
    found = [_TIME.fullmatch((time.get("value") or "").strip()) for time in times if time is not None]
    if len(found) != 2 or not all(match and match[2] for match in found):
        return None
    low, high = (_parse_time(match) for match in found if match)
    return high - low if low is not None and high is not None and high > low else None


def _parse_time(match: re.Match[str]) -> float | None:
    try:
        moment = datetime.datetime.strptime(match[1] + (match[3] or "+0000"), "%Y%m%d%H%M%S%z")
    except ValueError:
        return None
    return moment.timestamp() + float(match[2] or 0)
