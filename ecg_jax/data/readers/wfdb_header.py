"""The text of a WFDB header, checked, and read more leniently than the library reads it.

Layout: https://physionet.org/physiotools/wag/header-5.htm. Traps: early Challenge headers name the `.mat` where the
record's name should be, which the library refuses; units come in any case; the library drops non-ASCII characters, so
that `µV` would become `V`.
"""

import dataclasses
import math
import os
import re

from ecg_jax import budget
from ecg_jax.data.readers import reading
from ecg_jax.errors import InputError
from ecg_jax.recording import describe_negative

DEFAULT_RATE = 250.0  # by the format's definition, where the header states none
DEFAULT_GAIN = 200.0
# Georgia's early headers have this gain; the Challenge later published the same signals with 1000.
MISTAKEN_GAIN, PUBLISHED_GAIN = 4880, 1000  # per mV
_LARGEST_HEADER = 1 << 20
_LONGEST_LINE = 1000

# However many digits a program writes: Python's own have up to 17, `204.91803278688525`.
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?"
_RECORD_LINE = re.compile(
    rf"(?P<name>\S+?)(?: ?/ ?(?P<segments>\d{{1,6}}))? (?P<signals>\d{{1,4}})"
    rf"(?: (?P<rate>{_NUMBER})(?:/[^ ]*)?(?:\([^ ]*\))?(?: (?P<samples>\d{{1,15}})(?: .*)?)?)?"
)
_SIGNAL_LINE = re.compile(
    r"(?P<file>\S+) (?P<format>\d{1,4})(?:x(?P<frame>\d{1,6}))?(?::(?P<skew>\d{1,9}))?(?:\+(?P<offset>\d{1,12}))?"
    rf"(?: (?P<gain>{_NUMBER}) ?(?:\( ?(?P<baseline>-?\d{{1,12}}) ?\))? ?(?:/ ?(?P<unit>[^ \d]\S*))?"
    r"(?: (?P<resolution>\d{1,4}))?(?: (?P<zero>-?\d{1,12}))?(?: (?P<initial>-?\d{1,12}))?"
    r"(?: (?P<checksum>-?\d{1,12}))?(?: (?P<block>-?\d{1,12}))?(?: (?P<lead>.+))?)?"
)
_SEGMENT_LINE = re.compile(r"(?P<name>\S+) (?P<samples>\d{1,15})")
_REMARK = re.compile(r" #.*")  # `canonical_lead` removes it behind a lead's name
_LIBRARY_NAME = re.compile(r"[-\w]+")
_PLAIN_FILE = re.compile(r"[-\w]+(?:\.[-\w]+)*")  # in the folder of the header, whatever else is there


@dataclasses.dataclass(frozen=True)
class Signal:
    """One signal line: where its samples are, and `(sample - baseline) / gain` in its unit."""

    file: str
    format: str
    gain: float
    baseline: int
    unit: str
    lead: str
    frame: int = 1  # samples of it at once
    skew: int = 0
    offset: int = 0
    initial: int | None = None
    checksum: int | None = None

    @property
    def known_factor(self) -> float | None:
        """See `Recording`."""
        return self.gain / PUBLISHED_GAIN if self.gain == MISTAKEN_GAIN else None


@dataclasses.dataclass(frozen=True)
class Header:
    """A header; `samples` is None where it is not stated, `segments` holds (name, samples)."""

    sampling_rate: float
    samples: int | None
    signals: tuple[Signal, ...]
    segments: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]


def read_header(path: str) -> Header:
    """Reads a `.hea` file.

    Raises:
        InputError: when it is missing, is not a header, or names a file outside its folder's tree.
    """
    lines = _read_lines(path)
    match = _RECORD_LINE.fullmatch(_REMARK.sub("", lines[0])) if lines else None
    if match is None:
        raise damaged(path, f"record line {lines[0][:80] if lines else ''!r}; expected NAME LEADS RATE SAMPLES")
    notes = []
    if not _LIBRARY_NAME.fullmatch(match["name"]):
        notes.append(f"the header names {match['name']} where the record's name should stand")
    if match["rate"] is None:
        notes.append(f"no sampling rate stated; {DEFAULT_RATE:g} Hz, as WFDB defines")
    is_segmented = match["segments"] is not None
    what, announced = ("segment", match["segments"]) if is_segmented else ("signal", match["signals"])
    if len(lines) - 1 != int(announced):
        raise damaged(path, f"{len(lines) - 1} {what} lines where the record line announces {int(announced)}")
    signals: tuple[Signal, ...] = ()
    if not is_segmented:
        if len(lines) - 1 > budget.MOST_LEADS:
            raise InputError(f"{path}: {len(lines) - 1} signals; at most {budget.MOST_LEADS} are read")
        signals = tuple(_parse_signal(path, line, notes) for line in lines[1:])
        notes += describe_negative([signal.lead for signal in signals], [signal.gain for signal in signals])
    return Header(
        sampling_rate=float(match["rate"] or DEFAULT_RATE),
        samples=int(match["samples"] or 0) or None,  # 0 also means unknown
        signals=signals,
        segments=tuple(_parse_segment(path, line) for line in lines[1:]) if is_segmented else (),
        notes=tuple(dict.fromkeys(notes)),
    )


def _read_lines(path: str) -> list[str]:
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file; a WFDB record needs its header")
    content = reading.read_bytes(path, _LARGEST_HEADER + 1)
    lines = [" ".join(line.split()) for line in reading.decode(content).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(content) > _LARGEST_HEADER or any(len(line) > _LONGEST_LINE for line in lines):
        raise damaged(path, f"longer than any header, {_LARGEST_HEADER} bytes or {_LONGEST_LINE} in a line")
    return lines


def _parse_segment(path: str, line: str) -> tuple[str, int]:
    match = _SEGMENT_LINE.fullmatch(line)
    if match is None:
        raise damaged(path, f"segment line {line[:80]!r}; expected NAME SAMPLES")
    _require_inside(path, match["name"])
    return match["name"], int(match["samples"])


def _parse_signal(path: str, line: str, notes: list[str]) -> Signal:
    match = _SIGNAL_LINE.fullmatch(line)
    if match is None:
        raise damaged(path, f"signal line {line[:80]!r}; expected FILE FORMAT GAIN/UNIT ... LEAD")
    _require_inside(path, match["file"])
    gain = float(match["gain"] or 0)
    if not math.isfinite(gain):
        raise damaged(path, f"gain {match['gain'][:40]}; expected a finite number")
    if gain == 0:
        notes.append(f"no gain stated; {DEFAULT_GAIN:g} per unit, as WFDB defines")
    if gain == MISTAKEN_GAIN:
        notes.append(
            f"gain {MISTAKEN_GAIN}: a known mistake of early Georgia headers, where {PUBLISHED_GAIN} is right; "
            "--checks=repair mends it (in training, --config.data.checks=repair)"
        )
    return Signal(
        file=_find_moved(path, match["file"], notes),
        format=match["format"],
        gain=gain or DEFAULT_GAIN,
        baseline=int(match["baseline"] or match["zero"] or 0),
        unit=match["unit"] or "mV",
        lead=match["lead"] or "",
        **{name: int(match[name]) for name in ("frame", "skew", "offset", "initial", "checksum") if match[name]},
    )


def _require_inside(path: str, name: str) -> None:
    """A header may name folders below its own, but nothing above or beside it, not even through a link."""
    if _PLAIN_FILE.fullmatch(name):
        return
    is_inside = not set("\\:\0") & set(name) and name not in ("", ".", "..")
    if is_inside and "/" in name:
        folder = os.path.realpath(os.path.dirname(path))
        target = os.path.realpath(os.path.dirname(os.path.join(folder, name)))
        is_inside = os.path.commonpath([folder, target]) == folder and not {"", ".", ".."} & {*name.split("/")}
    if not is_inside:
        raise InputError(f"{path}: names {name!r}; a WFDB header may only name files of its own folder and below it")


def _find_moved(path: str, name: str, notes: list[str]) -> str:
    """Where the folder that a header names is gone, as after a copy, its signal file may be beside the header."""
    if "/" not in name:
        return name
    folder, base = os.path.dirname(path), os.path.basename(name)
    if os.path.isfile(os.path.join(folder, name)) or not os.path.isfile(os.path.join(folder, base)):
        return name
    notes.append(f"the header names {name}; {base}, which lies beside it, was read")
    return base


def damaged(path: str, reason: str) -> InputError:
    """The error of a damaged header or signal file."""
    return InputError(f"{path}: not a readable WFDB record ({reason})")
