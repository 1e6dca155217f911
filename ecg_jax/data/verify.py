"""A recording against physics: the order of its leads, its unit, its sampling rate.

Leads by the identities of Einthoven and Goldberger (`lead_order`), the unit by the size of
the beats (`amplitude`), the rate by the stated duration and the shape of the beats
(`timing`). What these cannot see, and so do not claim: swapped limb electrodes, the order
of V1 to V6, leads that were themselves derived, a factor below ten in the unit (over a data
set, `amplitude.estimate_scale` sees a factor of two), a wrong rate by less than a factor of
four where the file does not state its duration. A repair that rests on one recording may
differ from its neighbour's: a wrong unit or order of a whole data set is better declared.
"""

import dataclasses

import numpy as np

from ecg_jax.data.measures import amplitude, lead_order, timing
from ecg_jax.errors import InputError
from ecg_jax.recording import CHECKS, Recording

LEAD_ORDER, UNIT, SAMPLING_RATE = "lead_order", "unit", "sampling_rate"
_RATE_TOLERANCE = 1e-3  # of the duration


@dataclasses.dataclass(frozen=True)
class Finding:
    """What physics contradicts.

    Attributes:
        check: `lead_order`, `unit` or `sampling_rate`.
        message: One line: what was found, the rule, what fits.
        leads: Names that fit the columns; `-aVR` for a column that holds it upside down.
        millivolts_per_unit: The factor that fits; None where none or several do, or it is no real unit's.
        sampling_rate: Hz that fit; None where none or several do.
    """

    check: str
    message: str
    leads: tuple[str, ...] | None = None
    millivolts_per_unit: float | None = None
    sampling_rate: float | None = None

    @property
    def is_repairable(self) -> bool:
        """True when exactly one repair fits."""
        return any(value is not None for value in (self.leads, self.millivolts_per_unit, self.sampling_rate))


def skipped_checks(recording: Recording) -> tuple[str, ...]:
    """Names the checks that cannot apply: normalized leads have no unit and obey no identity."""
    return (LEAD_ORDER, UNIT) if recording.normalized else ()


def verify(recording: Recording) -> tuple[Finding, ...]:
    """Looks for contradictions between what a file says and what its signal is.

    A recording without a signal has none. Checks that cannot apply are in `skipped_checks`.
    """
    if recording.is_degenerate:
        return ()
    skipped = skipped_checks(recording)
    rate = _check_rate(recording)
    scores = None if UNIT in skipped else _check_normalization(recording)
    leads = None if scores or LEAD_ORDER in skipped else _check_leads(recording)
    unit = None if scores or UNIT in skipped else _check_unit(recording, rate)
    return tuple(finding for finding in (scores, leads, unit, rate) if finding)


def enforce(recording: Recording, policy: str) -> tuple[Recording, tuple[Finding, ...]]:
    """Applies a policy to what `verify` finds.

    Args:
        recording: As it was read.
        policy: `refuse` raises, `repair` mends what has exactly one remedy and raises
            otherwise, or where something contradicts physics even then; `warn` leaves the
            recording as it is.

    Returns:
        The recording, with a line in its `notes` for each repair, and the findings.

    Raises:
        InputError: see above; and for an unknown policy.
    """
    if policy not in CHECKS:
        raise InputError(f"policy is {policy!r}; known: {', '.join(CHECKS)}")
    findings = verify(recording)
    if policy == "warn":
        return recording, findings
    for finding in findings:
        if policy == "refuse" or not finding.is_repairable:
            remedy = "no single repair fits; correct the file" if policy == "repair" else _remedy(finding)
            raise InputError(f"{recording.id}: {finding.message}; {remedy}")
    for finding in findings:
        recording = _repair(recording, finding)
    if findings and (remaining := verify(recording)):
        raise InputError(
            f"{recording.id}: {findings[0].message}; repaired, {remaining[0].message}; no repair fits; correct the file"
        )
    return recording, findings


def _remedy(finding: Finding) -> str:
    mended = "--checks=repair mends it" if finding.is_repairable else "no single repair fits"
    return f"correct the file; {mended}, --checks=warn reads it as it is (in training, --config.data.checks)"


def _check_leads(recording: Recording) -> Finding | None:
    found = lead_order.find_order(recording)
    if found is None:
        return None
    fits = f"{', '.join(found.leads)} fits" if found.leads else "several orders fit, or none that is whole,"
    message = (
        f"leads {', '.join(recording.leads)} contradict Einthoven's and Goldberger's identities by "
        f"{found.residual:.0%} of their size: {fits} to {found.best:.1%} (the order of V1 to V6 is not seen)"
    )
    return Finding(LEAD_ORDER, message, leads=found.leads)


def _check_unit(recording: Recording, wrong_rate: Finding | None) -> Finding | None:
    if wrong_rate:  # what a second is, is in question; a beat may last longer
        if wrong_rate.sampling_rate is None:
            return None
        recording = dataclasses.replace(recording, sampling_rate=wrong_rate.sampling_rate)
    size = amplitude.summarize_ranges(amplitude.measure_ranges(recording), recording.leads)
    if amplitude.LOWEST <= size <= amplitude.HIGHEST or np.isnan(size):
        return None
    units = amplitude.find_units(size)
    listed = " or ".join(f"{unit:g} mV per unit ({amplitude.UNITS[unit]})" for unit in units)
    message = (
        f"a beat's range is {size:.3g} mV, an ECG has {amplitude.LOWEST} to {amplitude.HIGHEST} mV: "
        f"{listed or 'no known unit'} fits"
    )
    is_clear = len(units) == 1 and units[0] in amplitude.REAL_UNITS
    return Finding(UNIT, message, millivolts_per_unit=units[0] if is_clear else None)


def _check_normalization(recording: Recording) -> Finding | None:
    deviation = amplitude.find_common_deviation(recording)
    if np.isnan(deviation):
        return None
    message = (
        f"every lead has mean 0 and the standard deviation {deviation:.3g}, as no voltages have: these are z-scores, "
        "not mV, to be declared as normalized"
    )
    return Finding(UNIT, message)


def _check_rate(recording: Recording) -> Finding | None:
    samples, rate = len(recording.signal), recording.sampling_rate
    if recording.duration is not None and recording.duration > 0:  # 0 states nothing
        expected = recording.duration * rate
        if abs(samples - expected) <= max(1.0, _RATE_TOLERANCE * expected):
            return None  # the file agrees with itself
        return _contradict_duration(recording, recording.duration)
    strange = timing.find_strangeness(recording)
    if strange is None:
        return None
    message = (
        f"at {rate:g} Hz its QRS complexes rise in {strange.rise_time:.0f} ms (usual: 8 to 30) and the heart beats "
        f"{strange.heart_rate:.0f} times a minute: {', '.join(map(str, strange.rates)) or 'no common rate'} Hz fits"
    )
    return Finding(SAMPLING_RATE, message, sampling_rate=float(strange.rates[0]) if len(strange.rates) == 1 else None)


def _contradict_duration(recording: Recording, duration: float) -> Finding:
    samples = len(recording.signal)
    implied = samples / duration
    near = [rate for rate in timing.COMMON_RATES if abs(implied - rate) <= max(_RATE_TOLERANCE * rate, 1 / duration)]
    message = (
        f"{samples} samples at {recording.sampling_rate:g} Hz are {samples / recording.sampling_rate:.6g} s, the file "
        f"states {duration:.6g} s: {f'{near[0]} Hz fits' if near else 'no common rate fits'}"
    )
    return Finding(SAMPLING_RATE, message, sampling_rate=float(near[0]) if len(near) == 1 else None)


def _repair(recording: Recording, finding: Finding) -> Recording:
    note = f"repaired: {finding.message}"
    if finding.leads:
        sign = np.array([-1 if name.startswith(lead_order.INVERTED) else 1 for name in finding.leads], np.float32)
        names = tuple(name.removeprefix(lead_order.INVERTED) for name in finding.leads)
        recording = dataclasses.replace(recording, signal=recording.signal * sign, leads=names)
    if finding.millivolts_per_unit:
        signal = recording.signal * np.float32(finding.millivolts_per_unit)
        recording = dataclasses.replace(recording, signal=signal)
    if finding.sampling_rate:
        recording = dataclasses.replace(recording, sampling_rate=finding.sampling_rate)
    return dataclasses.replace(recording, notes=(*recording.notes, note))
