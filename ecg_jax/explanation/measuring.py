"""Measurements of recordings as numbers in columns: for tables, groups of recordings and regressions."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ecg_jax.data.readers.reading import describe
from ecg_jax.data.store.measurements import Measurer
from ecg_jax.explanation import delineator_weights
from ecg_jax.explanation.delineation import Measurements, measure
from ecg_jax.explanation.parts import delineate_parts
from ecg_jax.interval_names import INTERVALS
from ecg_jax.lead_names import LEADS
from ecg_jax.recording import Recording

_BY_LEAD = ("r", "s", "st")  # see `intervals.Measurements`
UNITS = INTERVALS | {f"{name}_{lead}": "mV" for name in _BY_LEAD for lead in LEADS}  # `r_I`, ..., `st_V6`
_DEFINITIONS = 1  # raised where the same waves give other measurements
_AT_ONCE = 64  # recordings


def create_measurer() -> Measurer:
    """How recordings of a store are measured.

    Raises:
        InputError: when the delineator's weights cannot be read.
    """
    delineator_weights.load()
    return Measurer(UNITS, describe_version(), measure_many)


def describe_version() -> str:
    """Names the definitions and the delineator, on which measurements depend."""
    with open(f"{delineator_weights.STEM}.json", "rb") as file:  # with the checksum of the weights
        return f"{_DEFINITIONS}-{hashlib.sha256(file.read()).hexdigest()[:12]}"


def measure_many(recordings: Iterable[Recording | str]) -> Iterator[np.ndarray | str]:
    """What is measured of each recording, `[D]` float32 in the order and units of `UNITS`; NaN for what it lacks.

    Of one that cannot be delineated the reason; a string in place of a recording, as why it cannot be read, is kept.
    """
    waiting = iter(recordings)
    while group := list(itertools.islice(waiting, _AT_ONCE)):
        found = iter(_measure([each for each in group if not isinstance(each, str)]))
        for each in group:
            yield each if isinstance(each, str) else next(found)


def _measure(recordings: Sequence[Recording]) -> list[np.ndarray | str]:
    """Rows of all; one recording ends nothing, whatever it makes a library raise."""
    try:
        pairs = zip(recordings, delineate_parts(recordings), strict=True)
        return [_arrange(measure(recording, delineation)) for recording, delineation in pairs]
    except Exception as error:  # noqa: BLE001 - see above
        if len(recordings) > 1:
            return [row for recording in recordings for row in _measure([recording])]
        return [describe(error)]


def _arrange(found: Measurements) -> np.ndarray:
    values = [getattr(found, name) for name in INTERVALS]
    values += [getattr(found, name).get(lead, np.nan) for name in _BY_LEAD for lead in LEADS]
    return np.array(values, np.float32)
