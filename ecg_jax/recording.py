"""What an ECG is inside this package: millivolts with named leads."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from ecg_jax import budget
from ecg_jax.errors import InputError
from ecg_jax.lead_names import LEADS, canonical_lead, canonical_leads

__all__ = ["LEADS", "LIMB_LEADS", "Recording", "canonical_lead", "canonical_leads", "create_recording"]

LOWEST_RATE, HIGHEST_RATE = 1, 100_000  # Hz
UNITS = ("mV", "uV", "V", "code", "zscore")  # that can be declared for a file without one
CHECKS = ("refuse", "repair", "warn")  # what to do with a recording that contradicts physics; see data.verify

# Every limb lead as a combination of leads I and II: Einthoven's law (III = II - I)
# and Goldberger's augmented leads (aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2).
LIMB_LEADS = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}


@dataclasses.dataclass(frozen=True)
class Recording:
    """One ECG.

    Attributes:
        signal: `[samples, leads]` float32, millivolts; invalid samples are 0. Where
            `normalized` is set, the unit is gone and values are standard deviations.
        valid: `[samples, leads]` bool; False where there was nothing (NaN, padding).
        leads: Names in the standard spelling, one per column.
        sampling_rate: Hz.
        id: What the recording is called in its data set.
        normalized: True when each lead in the file is already z-scored.
        gaps: Number of samples in `lead_columns` that were NaN or infinite; they are invalid.
        duration: Seconds, where the file states its duration apart from its sampling rate.
        notes: What the reader assumed, derived or repaired, one line each.
        contradictions: What the file states twice and differently, or checksums that most of its samples fail, one
            line each; `verify` refuses them by default.
        known_factor: Amplitudes must be multiplied by it, because of an error that the publisher of the file has
            corrected since; the reader does not apply it, `verify.enforce` does when it repairs.
        unit: What one unit is in mV of the values that the file holds, as it states or as was declared for it; None
            where that is not known, or differs between leads.
    """

    signal: np.ndarray
    valid: np.ndarray
    leads: tuple[str, ...]
    sampling_rate: float
    id: str
    normalized: bool = False
    gaps: int = 0
    duration: float | None = None
    notes: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    known_factor: float | None = None
    unit: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: not what is remembered below."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def is_complete(self) -> bool:
        """True when every sample is valid."""
        return bool(self.valid.all())

    @functools.cached_property
    def by_lead(self) -> np.ndarray:
        """The signal as `[leads, samples]`, contiguous, as most measures need it; not to be written to."""
        return np.ascontiguousarray(self.signal.T)

    @property
    def lead_columns(self) -> slice | list[int]:
        """Columns of the twelve standard leads, without others such as an index or V3R; all columns where none is."""
        return _find_columns(self.leads)

    @functools.cached_property
    def is_degenerate(self) -> bool:
        """True when no valid sample in `lead_columns` differs from zero."""
        return not np.any(self.signal[:, self.lead_columns])


Measure = TypeVar("Measure")


def remembered(measure: Callable[[Recording], Measure]) -> Callable[[Recording], Measure]:
    """Makes a measure of a recording that is computed once, as checks and flags need the same ones."""
    key = f"{measure.__module__}.{measure.__qualname__}"

    @functools.wraps(measure)
    def find(recording: Recording) -> Measure:
        known = vars(recording)  # where functools.cached_property puts it, too
        if key not in known:
            known[key] = measure(recording)
        return known[key]

    return find


def _find_columns(leads: tuple[str, ...]) -> slice | list[int]:
    columns = [i for i, name in enumerate(leads) if name in LEADS]
    return columns if 0 < len(columns) < len(leads) else slice(None)


def describe_negative(leads: Iterable[str], steps: Iterable[float]) -> tuple[str, ...]:
    """A note on leads whose step (one unit in any unit of voltage, or its inverse) is negative, perhaps by mistake."""
    turned = ", ".join(name for name, step in zip(leads, steps, strict=True) if step < 0)
    return (f"negative step in {turned}: the file turns the signal upside down",) if turned else ()


def create_recording(
    signal: np.ndarray,
    *,
    leads: Iterable[str],
    sampling_rate: float,
    id: str,
    millivolts_per_unit: np.ndarray | float = 1.0,
    valid: np.ndarray | None = None,
    notes: Iterable[str] = (),
    contradictions: Iterable[str] = (),
    **facts: Any,
) -> Recording:
    """Checks and wraps an array as a `Recording`.

    Args:
        signal: `[samples, leads]` of any real dtype; NaN and infinity become invalid.
        leads: One name per column, in any usual spelling.
        sampling_rate: Hz, from `LOWEST_RATE` to `HIGHEST_RATE`.
        id: Name used in messages and in results.
        millivolts_per_unit: What one unit of `signal` is in mV; one number or one per lead.
        valid: `[samples, leads]` bool, False for samples already known to be invalid.
        notes: See `Recording`.
        contradictions: See `Recording`.
        **facts: `normalized`, `duration`, `known_factor`, `unit`: see `Recording`.

    Raises:
        InputError: on a wrong shape, an empty signal, a lead twice or without a name, an impossible rate, or more than
            `budget` allows.
    """
    names = tuple(leads)
    if len(names) > budget.MOST_LEADS:
        raise InputError(f"{id}: {len(names)} leads; at most {budget.MOST_LEADS} are read")
    names = canonical_leads(names)
    if signal.ndim != 2 or signal.shape[1] != len(names):
        raise InputError(f"{id}: signal has shape {signal.shape}; expected [samples, {len(names)}]")
    if signal.shape[0] == 0:
        raise InputError(f"{id}: the recording has no samples")
    if not all(names):
        raise InputError(f"{id}: lead {names.index('') + 1} of {len(names)} has no name; each lead needs one")
    duplicated = sorted({lead for lead in names if names.count(lead) > 1})
    if duplicated:
        raise InputError(
            f"{id}: duplicate lead(s) {', '.join(duplicated)} among {', '.join(names)}; each lead may stand once"
        )
    if not LOWEST_RATE <= sampling_rate <= HIGHEST_RATE:
        raise InputError(f"{id}: sampling rate {sampling_rate} Hz; an ECG has {LOWEST_RATE} to {HIGHEST_RATE} Hz")
    budget.check_stored(id, len(signal), len(names), sampling_rate)
    steps = np.asarray(millivolts_per_unit, np.float32)
    signal = np.asarray(signal, np.float32) * steps
    turned = describe_negative(names, np.broadcast_to(steps, len(names))) if (steps < 0).any() else ()
    finite = np.isfinite(signal)
    valid = finite if valid is None else finite & valid
    gaps = int(np.count_nonzero(~finite[:, _find_columns(names)]))
    return Recording(
        signal=signal if valid.all() else np.where(valid, signal, np.float32(0)),
        valid=valid,
        leads=names,
        sampling_rate=float(sampling_rate),
        id=id,
        gaps=gaps,
        notes=(*notes, *turned),
        contradictions=tuple(contradictions),
        **facts,
    )
