"""How files spell voltages, and what a unit is in mV; one place for all formats.

A unit is a prefix and the volt, both as a symbol or a word, in any case, brackets or plural: `uV`, `µV`, `[mV]`,
`microvolt`, `uVolts`. What is stated per step of a converter (`uV/LSB`, `uVperLsb`) is the same voltage.
"""

import contextlib
import functools
import re

CODE_UNITS_PER_MILLIVOLT = 2.0  # of the CODE group's files, see `data.readers.code_hdf5`
# In which files that state no unit can be declared, in mV; z-scores have no unit.
DECLARED = {"mV": 1.0, "uV": 1e-3, "V": 1e3, "code": 1 / CODE_UNITS_PER_MILLIVOLT, "zscore": 1.0}

_MILLIVOLTS = {"n": 1e-6, "nano": 1e-6, "u": 1e-3, "µ": 1e-3, "μ": 1e-3, "micro": 1e-3, "m": 1.0, "milli": 1.0, "": 1e3}
_VOLTAGE = re.compile(
    rf"(?P<prefix>{'|'.join(sorted(filter(None, _MILLIVOLTS), key=len, reverse=True))}|)[ -]?v(?:olts?)?"
    r"(?: ?(?:/|per) ?(?:lsb|bit|count|digit|step|unit)s?)?"
)


def name(millivolts: float) -> str:
    """What a unit of so many mV is called; a number of mV where it has no name."""
    names = {1e-6: "nV", 1e-3: "uV", 1.0: "mV", 1e3: "V"}
    return names.get(millivolts, f"{millivolts:g} mV")


@functools.lru_cache(maxsize=1024)
def find_millivolts(text: str) -> float | None:
    """Returns what one unit is in mV; None where it is not a voltage.

    UTF-8 that was decoded as Latin-1 (`ÂµV`) is understood: headers of EDF files are read so.
    """
    key = text.strip(" \t\r\n\0'\"[]().")
    with contextlib.suppress(UnicodeError):
        key = key.encode("latin-1").decode("utf-8")
    found = _VOLTAGE.fullmatch(key.lower())
    return _MILLIVOLTS[found["prefix"]] if found else None
