"""A recording becomes the array of an input contract: the contract's steps in NumPy."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecg_jax import budget
from ecg_jax.contract import (
    Filter,
    InputContract,
    MinMax,
    Resample,
    Scale,
    Shift,
    Step,
    SubtractMedian,
    ZScore,
)
from ecg_jax.data import filters
from ecg_jax.errors import InputError
from ecg_jax.recording import LIMB_LEADS, Recording

_FLAT = 1e-6  # what deviates or extends less is not scaled up


def create_input(
    recording: Recording, contract: InputContract, crop: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Applies a contract: `standardize`, then length, then unit or normalization.

    Args:
        recording: Any recording.
        contract: The input a network expects.
        crop: See `place`.

    Returns:
        `signal` `[samples, leads]` float32 in the contract's unit, 0 where invalid, and
        `valid` `[samples, leads]` bool.

    Raises:
        InputError: see `standardize`.
    """
    signal, valid = standardize(recording, contract)
    before, after = _list_amplitude_steps(recording, contract)
    signal, valid = _fit_length(*_run(before, signal, valid), contract.samples, crop)
    return _run(after, signal, valid)


def _list_amplitude_steps(recording: Recording, contract: InputContract) -> tuple[Sequence[Step], Sequence[Step]]:
    """The steps that come before the recording has the contract's length, and after."""
    steps = contract.amplitude_steps(recording.normalized)
    return (steps, ()) if contract.statistics == "recording" else ((), steps)


def create_windows(recording: Recording, contract: InputContract) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a recording that is longer than a contract into inputs.

    Where the contract does not say which, the last window ends where the recording ends, and the others are spread
    evenly before it, with a small overlap. A recording that is not longer is one window, that of `create_input`.

    Args:
        recording: Any recording.
        contract: The input a network expects.

    Returns:
        `signals` `[windows, samples, leads]` float32, and `starts` `[windows]`, seconds.

    Raises:
        InputError: see `standardize`.
    """
    signals, _, starts = create_known_windows(recording, contract)
    return signals, starts


def create_known_windows(recording: Recording, contract: InputContract) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same, and between signals and starts what is valid in them, `[windows, samples, leads]` bool."""
    signal, valid = standardize(recording, contract)
    before, after = _list_amplitude_steps(recording, contract)
    signal, valid = _run(before, signal, valid)
    begins = place_windows(len(signal), contract)
    budget.check_windows(recording.id, len(begins), contract.shape)
    windows = [
        _run(after, *_fit_length(signal[begin:], valid[begin:], contract.samples, 0.0)) for begin in begins.tolist()
    ]
    signals, known = (np.stack(each) if len(each) > 1 else each[0][None] for each in zip(*windows, strict=True))
    return signals, known, begins / contract.sampling_rate


def place_windows(length: int, contract: InputContract) -> np.ndarray:
    """The first samples `[windows]` of the windows of a recording of `length` samples at the contract's rate."""
    extra = max(length - contract.samples, 0)
    if contract.window_count:
        return extra // (contract.window_count + 2) * np.arange(1, contract.window_count + 1)
    if contract.window_stride:
        return np.arange(0, extra + 1, contract.window_stride)
    return np.linspace(0, extra, -(-length // contract.samples)).round().astype(int)


def standardize(recording: Recording, contract: InputContract) -> tuple[np.ndarray, np.ndarray]:
    """Applies the part of a contract that keeps unit and length: leads, sampling rate, filters.

    Args:
        recording: Any recording.
        contract: The input a network expects.

    Returns:
        `signal` `[n, leads]` float32 in millivolts (standard deviations, if the recording is
        normalized), 0 where invalid, and `valid` `[n, leads]` bool; n is the recording's own length. Without a step
        to take, these are the recording's own arrays.

    Raises:
        InputError: when a lead is missing and cannot be derived, or the recording is
            normalized while the contract wants amplitudes, or resampling exceeds `budget`.
    """
    if recording.normalized and not contract.takes_normalized:
        raise InputError(
            f"{recording.id}: the data is declared z-scored, so its amplitude is unknown, but the input "
            "contract keeps amplitudes, or those of leads against each other; train with "
            "--config.contract.normalization=zscore, or with usual_deviations, for such data"
        )
    if contract.trim:
        recording, _ = trim(recording)
    samples = math.ceil(len(recording.signal) * contract.sampling_rate / recording.sampling_rate)
    budget.check_resampled(recording.id, int(np.count_nonzero(recording.valid)), samples, len(contract.leads))
    signal, valid = _select_leads(recording, contract.leads)
    steps = contract.signal_steps(recording.sampling_rate)
    held = valid[0] if valid[0].all() else np.asarray(valid.any(axis=0))
    if held.all() or not held.any():
        return _run(steps, signal, valid)
    some, some_valid = _run(steps, signal[:, held], valid[:, held])  # filtering leads without samples takes as long
    signal = np.zeros((len(some), valid.shape[1]), np.float32)
    valid = np.zeros(signal.shape, bool)
    signal[:, held], valid[:, held] = some, some_valid
    return signal, valid


def _run(steps: Sequence[Step], signal: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Carries out steps on `[n, leads]`; what is invalid ends as 0."""
    for step in steps:
        match step:
            case Resample():
                signal, valid = filters.resample(step, signal, valid)
            case Filter():
                signal = filters.apply_filter(step, signal, valid)
            case SubtractMedian():
                signal = filters.subtract_median(step, signal, valid)
            case ZScore() | MinMax():
                signal = normalize(step, signal, valid)
            case Shift():
                signal = signal - np.float32(step.millivolts)
            case Scale():
                signal = signal * np.array(step.factors, np.float32)
    return signal if valid.all() else np.where(valid, signal, np.float32(0)), valid


def trim(recording: Recording) -> tuple[Recording, int]:
    """Cuts off both ends for as long as all leads are equal there; one whose leads never differ stays as it is.

    Returns:
        The recording, and the number of its first sample in the longer one.
    """
    known = np.where(recording.valid, recording.signal, 0)
    differs = np.flatnonzero((known != known[:, :1]).any(axis=1))
    if not differs.size or differs[-1] - differs[0] + 1 == len(known):
        return recording, 0
    kept = slice(differs[0], differs[-1] + 1)
    return dataclasses.replace(recording, signal=recording.signal[kept], valid=recording.valid[kept]), int(differs[0])


def mask_missing(recording: Recording, leads: tuple[str, ...]) -> tuple[Recording, tuple[str, ...]]:
    """Adds leads of a contract that a recording lacks and that cannot be derived, as invalid zeros.

    Returns:
        The recording, and the names that were added.

    Raises:
        InputError: when it has none of the leads at all.
    """
    missing = _find_lost(recording, leads)
    if not missing:
        return recording, ()
    if not set(leads) & set(recording.leads):
        raise InputError(
            f"{recording.id}: has none of the leads {', '.join(leads)}; it has {', '.join(recording.leads)}"
        )
    empty = np.zeros((len(recording.signal), len(missing)), np.float32)
    extended = dataclasses.replace(
        recording,
        signal=np.concatenate([recording.signal, empty], axis=1),
        valid=np.concatenate([recording.valid, empty.astype(bool)], axis=1),
        leads=recording.leads + missing,
    )
    return extended, missing


def _find_lost(recording: Recording, leads: tuple[str, ...]) -> tuple[str, ...]:
    """Leads that are neither there nor derivable."""
    present_limb = [lead for lead in LIMB_LEADS if lead in recording.leads]
    derivable = len(present_limb) >= 2 and not recording.normalized
    return tuple(lead for lead in leads if lead not in recording.leads and not (derivable and lead in LIMB_LEADS))


def _select_leads(recording: Recording, leads: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Orders columns by name; a missing limb lead is derived from two others."""
    if recording.leads == leads:
        return recording.signal, recording.valid
    column = {lead: i for i, lead in enumerate(recording.leads)}
    present_limb = [lead for lead in LIMB_LEADS if lead in column]
    if lost := _find_lost(recording, leads):
        raise InputError(
            f"{recording.id}: lead(s) {', '.join(lost)} missing and not derivable; "
            f"it has {', '.join(recording.leads)} (limb leads are derived from any two of them); "
            "only `predict`, and `embed` and `explain` of files, put zeros in place of missing leads"
        )
    signal = np.empty((len(recording.signal), len(leads)), np.float32)
    valid = np.empty(signal.shape, bool)
    for i, lead in enumerate(leads):
        if lead in column:
            signal[:, i], valid[:, i] = recording.signal[:, column[lead]], recording.valid[:, column[lead]]
        else:
            pair = [column[name] for name in present_limb[:2]]
            basis = np.array([LIMB_LEADS[name] for name in present_limb[:2]])
            weights = np.linalg.solve(basis.T, np.array(LIMB_LEADS[lead])).astype(np.float32)
            signal[:, i] = recording.signal[:, pair] @ weights
            valid[:, i] = recording.valid[:, pair].all(axis=1)
    return signal, valid


def normalize(step: ZScore | MinMax, signal: Any, valid: Any, xp: Any = np) -> Any:
    """Carries out a normalization with NumPy, or with another library of its interface.

    Args:
        step: The normalization.
        signal: `[..., n, leads]` float32.
        valid: Bool of the same shape, or one that broadcasts to it.
        xp: `numpy`, which computes in float64, or `jax.numpy`.

    Returns:
        An array like `signal`, 0 where invalid.
    """
    if isinstance(step, MinMax):
        low = xp.where(valid, signal, np.inf).min(axis=-2, keepdims=True)
        extent = xp.where(valid, signal, -np.inf).max(axis=-2, keepdims=True) - low
        return xp.where(valid & (extent > _FLAT), (signal - low) / xp.where(extent > _FLAT, extent, 1), 0)
    axes = (-2, -1) if step.is_joint else (-2,)
    count = xp.maximum(
        (valid & xp.ones_like(signal, bool) if step.is_joint else valid).sum(axis=axes, keepdims=True), 1
    )
    known = xp.where(valid, signal, 0).astype(np.float64 if xp is np else signal.dtype)
    known = xp.where(valid, known - known.sum(axis=axes, keepdims=True) / count, 0)
    if xp is np and not step.is_joint:
        squares = np.einsum("tl,tl->l", known, known)
    else:
        squares = (known**2).sum(axis=axes, keepdims=True)
    deviation = xp.sqrt(squares / (xp.maximum(count - 1, 1) if step.is_unbiased else count))
    return (known / xp.where(deviation > _FLAT, deviation, np.inf)).astype(signal.dtype)


def place(length: int, samples: int, crop: float | None = None) -> tuple[int, int, int]:
    """Where a recording lies in an array of another length.

    Args:
        length: Of the recording, in samples.
        samples: Of the array.
        crop: Of a longer recording, which part is kept: 0 for its beginning, up to but not
            1 for its end; None for its centre.

    Returns:
        The first sample that is kept, its place in the array, and how many are kept. A
        shorter recording lies in the middle.
    """
    extra = length - samples
    if extra <= 0:
        return 0, -extra // 2, length
    return (extra // 2 if crop is None else int(crop * (extra + 1))), 0, samples


def _fit_length(
    signal: np.ndarray, valid: np.ndarray, samples: int, crop: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Pads with zeros on both sides, or crops."""
    begin, first, count = place(len(signal), samples, crop)
    fitted = np.zeros((samples, signal.shape[1]), signal.dtype)
    fitted[first : first + count] = signal[begin : begin + count]
    fitted_valid = np.zeros(fitted.shape, bool)
    fitted_valid[first : first + count] = valid[begin : begin + count]
    return fitted, fitted_valid
