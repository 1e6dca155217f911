"""What is noticed about one recording: its flags, its measurements, a hash of its content.

Flags are for exclusion by choice: real recordings have them, and a network will meet them.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ecg_jax.data.measures import amplitude, defects, lead_order, ranks
from ecg_jax.recording import LEADS, Recording

FLAGS = {
    "nan_span": "samples were NaN, infinite or missing inside the recording",
    "flat_lead": "a lead does not move, at a level that is not zero",
    "zeroed_lead": "a lead is zero throughout",
    "saturation": "a lead stays at its highest or lowest value as if cut off",
    "lead_off": "a lead is flat for a tenth of the seconds or more while others are not",
    "swapped_limb_leads": "limb electrodes seem to be swapped (or the heart lies to the right)",
    "lead_reversal": "one lead is upside down, or does not belong to the others",
    "high_noise": "a lead's noise is 0.03 mV or more (standard deviation)",
    "baseline_wander": "a lead's baseline moves by 1 mV or more",
    "implausible_amplitude": "beats are smaller or larger than those of most ECGs in mV",
    "too_short": "less than 5 seconds are valid",
    "duplicate": "the same content stands more than once in the data set",
    "limb_leads_disagree": (
        "limb leads contradict Einthoven's and Goldberger's identities in every order and scale: not recorded at the "
        "same time"
    ),
    "inverted": "all leads seem to be upside down",
}  # a store keeps them as bits in this order
# For exclusion, so conservative: against the marks of PTB-XL's annotators (250 recordings) the
# noise limit has a sensitivity of 0.12 and a specificity of 0.98 (AUROC of the measure 0.82), the
# wander limit 0.41 and 0.92 (0.84). Other limits can be set on the measurements.
NOISE_LIMIT, WANDER_LIMIT, SHORTEST = 0.03, 1.0, 5.0  # mV, mV, seconds

_BITS = {name: 1 << bit for bit, name in enumerate(FLAGS)}
_INVALID, _LARGEST = -32768, 32767
# Ties of half a microvolt are common (2.5 microvolts per step); this sends them all up, although
# formats differ in the last bits.
_ROUNDING = 0.5 + 0.01


@dataclasses.dataclass(frozen=True)
class Examination:
    """What `examine` found.

    Attributes:
        flags: Names of `FLAGS`, in their order.
        measurements: `duration` (seconds that are valid), `sampling_rate` (Hz), `amplitude` and `lead_II_range` (see
            `amplitude`; mV), `heart_rate` (per minute, over the first minute), `noise` and `wander` (mV, of the worst
            lead); NaN where undetermined.
    """

    flags: tuple[str, ...]
    measurements: Mapping[str, float]


def pack_flags(flags: Iterable[str]) -> int:
    """Flags as bits of an int32, in the order of `FLAGS`."""
    return sum(_BITS[name] for name in set(flags))


def unpack_flags(bits: int) -> tuple[str, ...]:
    """The reverse of `pack_flags`."""
    return tuple(name for name, bit in _BITS.items() if bits & bit)


def examine(recording: Recording) -> Examination:
    """Looks for the defects of `FLAGS`, all but `duplicate`, and measures.

    Beside standard leads, other columns (an index, a silent V3R) do not count. Units of a normalized recording are
    unknown, so limits in mV do not apply to it, nor do identities.
    """
    recording = _keep_leads(recording)
    flags, measured, slow = _look(recording)
    rates = [rate for rate in (defects.measure_heart_rate(*averaged) for averaged in slow) if not math.isnan(rate)]
    others = {
        "sampling_rate": float(recording.sampling_rate),
        "lead_II_range": amplitude.measure_lead_two(recording),
        "heart_rate": float(np.median(rates)) if rates else np.nan,
    }
    return Examination(flags, measured | others)


def find_flags(recording: Recording) -> tuple[str, ...]:
    """The flags that `examine` finds, without measurements that they do not need."""
    return _look(_keep_leads(recording))[0]


def _look(recording: Recording) -> tuple[tuple[str, ...], dict[str, float], list[tuple[np.ndarray, float]]]:
    """Flags of a recording of standard leads, and what was measured to find them: see `Examination`, and averages."""
    ranges = np.full(len(recording.leads), np.nan)
    noise, wander = np.zeros((2, len(recording.leads)))
    skewness: dict[str, float] = {}
    averaged = []
    duration, rate = 0.0, recording.sampling_rate
    found = {"nan_span"} if _has_gap(recording) else set()
    for columns, leads in _group_leads(recording):
        duration = max(duration, leads.shape[1] / rate)
        is_all = recording.is_complete
        seconds = amplitude.measure_seconds(recording) if is_all else amplitude.range_seconds(leads, rate)
        second_ranges = seconds.astype(np.float64)
        ranges[columns] = ranks.median(second_ranges)
        noise[columns] = defects.measure_noise(leads, rate)
        slow, slow_rate = defects.average(leads, rate)
        averaged.append((slow, slow_rate))
        wander[columns] = defects.measure_wander(slow, round(slow_rate))
        skewness |= defects.measure_skewness(slow, [recording.leads[column] for column in columns])
        found |= _find_silence(leads, second_ranges)
        found |= {"saturation"} if defects.find_saturation(leads, rate) else set()
    size = amplitude.remeasure_size(recording, amplitude.summarize_ranges(ranges, recording.leads))
    products, names = lead_order.compute_products(recording)
    if not recording.normalized:
        found |= {"swapped_limb_leads"} if defects.suspects_swap(products, names) else set()
        residual = lead_order.measure_residual(products, names)
        found |= {"lead_reversal"} if defects.finds_reversal(products, names, residual) else set()
        found |= {"inverted"} if defects.suspects_inversion(skewness) else set()
        if residual > lead_order.CONTRADICTED and not lead_order.are_simultaneous(products, names):
            found.add("limb_leads_disagree")
        is_doubtful = not amplitude.SUSPICIOUSLY_LOW <= size <= amplitude.SUSPICIOUSLY_HIGH
        if is_doubtful and set(recording.leads) & set(LEADS):
            found.add("implausible_amplitude")
        if amplitude.LOWEST <= size <= amplitude.HIGHEST:  # else these are not mV
            found |= {"high_noise"} if noise.max() >= NOISE_LIMIT else set()
            found |= {"baseline_wander"} if wander.max() >= WANDER_LIMIT else set()
    found |= {"too_short"} if duration < SHORTEST else set()
    measured = {"duration": duration, "amplitude": size, "noise": float(noise.max()), "wander": float(wander.max())}
    return tuple(name for name in FLAGS if name in found), measured, averaged


def content_hash(recording: Recording) -> str:
    """Names the ECG in a recording by 32 hexadecimal digits: equal leads, rate and samples in whole microvolts.

    Only standard leads count, in standard order; so a copy in another format, order or unit is found, whether padded or
    not; one that was resampled, cropped or filtered is not.
    """
    names = [name for name in LEADS if name in recording.leads]
    columns = [recording.leads.index(name) for name in names]
    seen = np.flatnonzero(recording.valid[:, columns].any(axis=1))
    rows = slice(seen[0], seen[-1] + 1) if seen.size else slice(0)
    signal, valid = recording.signal[rows][:, columns], recording.valid[rows][:, columns]
    steps = np.floor(signal * np.float32(1000) + np.float32(_ROUNDING))
    steps = np.where(valid, np.clip(steps, _INVALID + 1, _LARGEST), _INVALID).astype("<i2")
    digest = hashlib.blake2b(steps.tobytes(), digest_size=16)
    digest.update(f"{','.join(names)} {recording.sampling_rate:g}".encode())
    return digest.hexdigest()


def find_duplicates(hashes: Sequence[str] | np.ndarray) -> list[list[int]]:
    """Groups the numbers of recordings with equal hashes; only groups of two or more, each in order."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(hashes):
        places.setdefault(str(name), []).append(place)
    return [group for group in places.values() if len(group) > 1]


def _group_leads(recording: Recording) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yields columns that are valid at the same samples (usually all), and these samples, `[leads, samples]`."""
    if recording.is_complete:
        yield np.arange(len(recording.leads)), recording.by_lead
        return
    groups: dict[bytes, list[int]] = {}
    for column, known in enumerate(np.ascontiguousarray(recording.valid.T)):
        groups.setdefault(known.tobytes(), []).append(column)
    for columns in groups.values():
        rows = recording.valid[:, columns[0]]
        if rows.any():
            yield np.array(columns), np.ascontiguousarray(recording.signal[rows][:, columns].T)


def _keep_leads(recording: Recording) -> Recording:
    columns = recording.lead_columns
    if isinstance(columns, slice):
        return recording
    return dataclasses.replace(
        recording,
        signal=recording.signal[:, columns],
        valid=recording.valid[:, columns],
        leads=tuple(recording.leads[i] for i in columns),
    )


def _has_gap(recording: Recording) -> bool:
    """True for NaN, and for samples that are missing between a lead's first and last; padding is not a gap."""
    if recording.gaps or recording.is_complete:
        return bool(recording.gaps)
    edges = np.diff(recording.valid, axis=0, prepend=False)
    return bool(((edges & recording.valid).sum(axis=0) > 1).any())  # a lead begins more than once


def _find_silence(leads: np.ndarray, ranges: np.ndarray) -> set[str]:
    """Flags of leads that do not move, given each lead's range in each second."""
    typical = ranks.median(ranges)
    flat = defects.FLAT * float(ranks.median(typical[typical > 0])) if (typical > 0).any() else 0.0
    still = np.asarray((ranges <= flat).all(axis=1))
    still[still] = np.ptp(leads[still], axis=1) <= 2 * flat
    zeroed = [not lead.any() for lead in leads[still]]
    flags = {"zeroed_lead"} if any(zeroed) else set()
    flags |= {"flat_lead"} if not all(zeroed) else set()
    return flags | ({"lead_off"} if defects.find_off(ranges[~still], flat) else set())
