"""How files spell voltages; one place for all formats.

A unit is a prefix and the volt, both as a symbol or a word, in any case, brackets or plural: `uV`, `µV`, `[mV]`,
`microvolt`, `uVolts`. What is stated per step of a converter (`uV/LSB`, `uVperLsb`) is the same voltage.
"""

import functools
import re

_MILLIVOLTS = {"n": 1e-6, "nano": 1e-6, "u": 1e-3, "µ": 1e-3, "μ": 1e-3, "micro": 1e-3, "m": 1.0, "milli": 1.0, "": 1e3}
_VOLTAGE = re.compile(
    rf"(?P<prefix>{'|'.join(sorted(filter(None, _MILLIVOLTS), key=len, reverse=True))}|)[ -]?v(?:olts?)?"
    r"(?: ?(?:/|per) ?(?:lsb|bit|count|digit|step|unit)s?)?"
)


@functools.lru_cache(maxsize=1024)
def find_millivolts(text: str) -> float | None:
    """Returns what one unit is in mV; None where it is no voltage.

    UTF-8 that was taken for Latin-1 (`ÂµV`) is understood: headers of EDF files are read so.
    """
    key = _decode_again(text.strip(" \t\r\n\0'\"[]().")).lower()
    found = _VOLTAGE.fullmatch(key)
    return _MILLIVOLTS[found["prefix"]] if found else None


def _decode_again(text: str) -> str:
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
