"""A recording against physics and against itself: the order of its leads, its unit, its sampling rate, its samples.

What a file states twice and differently is found by its reader (`Recording.contradictions`). Leads by the identities of
Einthoven and Goldberger (`lead_order`), the unit by the size of the beats (`amplitude`), the rate by the stated
duration and the shape of the beats (`timing`). What these cannot detect: swapped limb electrodes, the order of V1 to
V6, leads that were themselves derived, a factor in the unit that leaves beats of 0.2 to 9 mV (over a data set,
`amplitude.estimate_scale` detects a factor of two), a wrong rate by less than a factor of four where the file does not
state its duration. A repair that rests on one recording may differ from its neighbour's: a wrong unit or order of a
whole data set is better declared.
"""

import dataclasses

import numpy as np

from ecg_jax.data.measures import amplitude, lead_order, timing
from ecg_jax.errors import InputError
from ecg_jax.recording import CHECKS, Recording

LEAD_ORDER, UNIT, SAMPLING_RATE, SAMPLES, CONTENT = "lead_order", "unit", "sampling_rate", "samples", "content"
LARGEST, LARGEST_NORMALIZED = 1000.0, 1e6  # mV, where electrode offsets reach 300; standard deviations of any scale
_BEYOND_UNITS = 1e9  # a volt in nanovolts; the squares of far larger numbers overflow
_MOST_BEYOND = 0.01  # of the samples: that many can be left out
_RATE_TOLERANCE = 1e-3  # of the duration


@dataclasses.dataclass(frozen=True)
class Finding:
    """What physics contradicts.

    Attributes:
        check: `lead_order`, `unit`, `sampling_rate`, `samples` or `content`.
        message: One line: what was found, the rule, what fits.
        leads: Names that fit the columns; `-aVR` for a column that holds it upside down.
        factor: What amplitudes are to be multiplied by; None where none or several do, or it is not a real unit's.
        sampling_rate: Hz that fit; None where none or several do.
        largest: mV, beyond which samples are few enough to be left out; None without any, or with too many.
    """

    check: str
    message: str
    leads: tuple[str, ...] | None = None
    factor: float | None = None
    sampling_rate: float | None = None
    largest: float | None = None

    @property
    def is_repairable(self) -> bool:
        """True when exactly one repair fits."""
        repairs = (self.leads, self.factor, self.sampling_rate, self.largest)
        return any(value is not None for value in repairs)


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
    content = tuple(Finding(CONTENT, line) for line in recording.contradictions)
    samples = _check_samples(recording)
    if samples:  # the others see what is left: all, where so many may be a matter of the unit
        recording = _mask_beyond(recording, samples.largest or _BEYOND_UNITS)
    rate = _check_rate(recording)
    scores = None if UNIT in skipped else _check_normalization(recording)
    leads = None if scores or LEAD_ORDER in skipped else _check_leads(recording)
    unit = None if scores or UNIT in skipped else _check_unit(recording, rate)
    samples = None if scores or unit else samples  # in another unit they may be what they should
    return (*content, *(finding for finding in (samples, scores, leads, unit, rate) if finding))


def enforce(recording: Recording, policy: str) -> tuple[Recording, tuple[Finding, ...]]:
    """Applies a policy to what `verify` finds.

    Args:
        recording: As it was read.
        policy: `refuse` raises; `repair` applies `Recording.known_factor`, corrects what has exactly one remedy and
            raises otherwise, or where something contradicts physics even then; `warn` leaves the recording as it is.

    Returns:
        The recording, with a line in its `notes` for each repair, and the findings.

    Raises:
        InputError: see above; and for an unknown policy.
    """
    if policy not in CHECKS:
        raise InputError(f"policy is {policy!r}; known: {', '.join(CHECKS)}")
    if policy == "repair":
        recording = _apply_known_factor(recording)
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


def list_notes(recording: Recording, findings: tuple[Finding, ...], policy: str) -> tuple[str, ...]:
    """The notes of a recording and the findings, each once, as `enforce` returned them with this `policy`."""
    found = () if policy == "repair" else (finding.message for finding in findings)
    return tuple(dict.fromkeys((*recording.notes, *found)))


def _apply_known_factor(recording: Recording) -> Recording:
    """Mends a known error of the file's publisher, unless that leads out of the usual amplitudes."""
    factor = recording.known_factor
    size = amplitude.measure_size(recording) if factor else np.nan
    if factor is None or not amplitude.USUAL[0] <= size * factor <= amplitude.USUAL[1]:
        return recording
    note = f"repaired: amplitudes multiplied by {factor:g}, a known mistake of the file's publisher"
    signal = recording.signal * np.float32(factor)
    return dataclasses.replace(recording, signal=signal, known_factor=None, notes=(*recording.notes, note))


def _remedy(finding: Finding) -> str:
    return (
        f"correct the file; {'--checks=repair mends it' if finding.is_repairable else 'no single repair fits'}, "
        "--checks=warn reads it as it is (in training, --config.data.checks)"
    )


def _check_samples(recording: Recording) -> Finding | None:
    largest = LARGEST_NORMALIZED if recording.normalized else LARGEST
    peak = max(float(recording.signal.max()), -float(recording.signal.min()))
    if not peak > largest:
        return None
    beyond = np.abs(recording.signal) > largest
    leads = ", ".join(name for name, found in zip(recording.leads, beyond.any(axis=0), strict=True) if found)
    message = (
        f"{np.count_nonzero(beyond)} sample(s) of {leads} reach {peak:.3g} "
        f"{'standard deviations' if recording.normalized else 'mV'}, beyond {largest:g} there is no ECG"
    )
    are_few = np.count_nonzero(beyond) <= _MOST_BEYOND * beyond.size
    return Finding(SAMPLES, message, largest=largest if are_few else None)


def _mask_beyond(recording: Recording, largest: float) -> Recording:
    """Makes samples beyond a limit invalid."""
    beyond = np.abs(recording.signal) > largest
    return dataclasses.replace(
        recording,
        signal=np.where(beyond, np.float32(0), recording.signal),
        valid=recording.valid & ~beyond,
        gaps=recording.gaps + int(np.count_nonzero(beyond)),
    )


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
    size = amplitude.measure_size(recording)
    if amplitude.LOWEST <= size <= amplitude.HIGHEST or np.isnan(size):
        return None
    stated = recording.unit or 1.0
    units = amplitude.find_units(size / stated)
    listed = " or ".join(
        f"{unit:g} mV per unit ({amplitude.UNITS[unit]})" if recording.unit else f"{unit:g} times that"
        for unit in units
    )
    message = (
        f"a beat's range is {size:.3g} mV, an ECG has {amplitude.LOWEST:g} to {amplitude.HIGHEST:g} mV: "
        f"{listed or 'no known unit'} fits{f', not {stated:g} as stated' if listed and recording.unit else ''}"
    )
    is_clear = len(units) == 1 and units[0] in amplitude.REAL_UNITS
    return Finding(UNIT, message, factor=units[0] / stated if is_clear else None)


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
    if finding.factor:
        signal = recording.signal * np.float32(finding.factor)
        recording = dataclasses.replace(recording, signal=signal)
    if finding.sampling_rate:
        recording = dataclasses.replace(recording, sampling_rate=finding.sampling_rate)
    if finding.largest:
        recording = _mask_beyond(recording, finding.largest)
    return dataclasses.replace(recording, notes=(*recording.notes, note))
