"""From millivolts to a network's windows, in JAX: `data.preprocess` for arrays of one length and sampling rate."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ecg_jax import budget
from ecg_jax.contract import Filter, InputContract, MinMax, Resample, Scale, Shift, Step, SubtractMedian, ZScore
from ecg_jax.data import filters as exact
from ecg_jax.data import preprocess
from ecg_jax.exporting import filters
from ecg_jax.recording import LEADS, LIMB_LEADS


@dataclasses.dataclass(frozen=True)
class Plan:
    """What arrays `[B, samples, 12]` of one length and rate become."""

    contract: InputContract
    sampling_rate: float  # Hz
    samples: int

    @functools.cached_property
    def begins(self) -> np.ndarray:
        """First samples `[windows]` of the windows, at the contract's rate; see `preprocess.place_windows`."""
        length = self.samples
        for step in self.contract.signal_steps(self.sampling_rate):
            if isinstance(step, Resample) and filters.find_ratio(step) != 1:
                length = filters.count_resampled(step, length)
        begins = preprocess.place_windows(length, self.contract)
        budget.check_windows("this export", len(begins), self.contract.shape)
        return begins

    def create_windows(self, signal: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Brings arrays to the contract.

        Args:
            signal: `[B, samples, 12]` float32, millivolts, leads in the order of `LEADS`, NaN or infinity where
                nothing is known. A lead without any sample is missing: a limb lead is derived from the first two of
                the others, as in a recording without it; a chest lead becomes zeros.

        Returns:
            `[B, windows, contract samples, contract leads]` float32, and `[B, windows]` bool, whether a window is
            predicted: the array changes inside it, and one of the contract's leads has a sample somewhere, or is
            derived.
        """
        valid = jnp.isfinite(signal)
        known = jnp.where(valid, signal, 0)
        moves = self._find_moves(known)
        leads, held = _derive(known.transpose(0, 2, 1), valid.transpose(0, 2, 1))
        columns = np.array([LEADS.index(lead) for lead in self.contract.leads])
        if self.contract.leads != LEADS:
            leads, held = leads[:, columns], held[:, columns]
        predicted = moves & held.any(axis=(1, 2))[:, None]
        for step in self.contract.signal_steps(self.sampling_rate):
            leads, held = _run(step, leads, held)
        prepared, is_known = jnp.where(held, leads, 0).transpose(0, 2, 1), held.transpose(0, 2, 1)
        steps = self.contract.amplitude_steps()
        if self.contract.statistics == "recording":
            prepared, steps = _scale(steps, prepared, is_known), ()
        windows = [
            _scale(steps, self._cut(prepared, begin), self._cut(is_known, begin)) for begin in self.begins.tolist()
        ]
        return jnp.stack(windows, axis=1), predicted

    def _find_moves(self, known: jax.Array) -> jax.Array:
        found = []
        for start in (self.begins / self.contract.sampling_rate).tolist():
            length = self.contract.samples / self.contract.sampling_rate
            begin, end = (round(s * self.sampling_rate) for s in (start, start + length))
            part = known[:, begin:end]
            found.append((part != part[:, :1]).any(axis=(1, 2)))
        return jnp.stack(found, axis=1)

    def _cut(self, array: jax.Array, begin: int) -> jax.Array:
        first, place, count = preprocess.place(array.shape[1] - begin, self.contract.samples, 0.0)
        pad = ((0, 0), (place, self.contract.samples - place - count), (0, 0))
        return jnp.pad(array[:, begin + first : begin + first + count], pad)


def _run(step: Step, signal: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A step that filters, on `[B, leads, n]`."""
    match step:
        case Resample():
            if filters.find_ratio(step) == 1:
                return signal, valid
            resampled = filters.resample(step, _bridge(signal, valid))
            return resampled, _resample_validity(step, valid, resampled.shape[-1])
        case Filter():
            return filters.apply_filter(step, _bridge(signal, valid)), valid
        case SubtractMedian():
            return filters.subtract_median(step, _bridge(signal, valid)), valid
    raise TypeError(f"{type(step).__name__} does not filter")


def _scale(steps: Any, signal: jax.Array, valid: jax.Array) -> jax.Array:
    """Steps that change amplitudes, on `[B, n, leads]`."""
    for step in steps:
        match step:
            case ZScore() | MinMax():
                signal = preprocess.normalize(step, signal, valid, jnp)
            case Shift():
                signal = signal - np.float32(step.millivolts)
            case Scale():
                signal = signal * np.array(step.factors, np.float32)
            case _:
                raise TypeError(f"{type(step).__name__} does not change amplitudes")
    return jnp.where(valid, signal, 0)


@functools.cache
def _create_derivations() -> np.ndarray:
    """`[64, 6, 6]`: limb leads from those present; bit i of the first index says whether lead i is."""
    basis = np.array(list(LIMB_LEADS.values()))
    found = np.zeros((64, 6, 6), np.float32)
    for pattern in range(64):
        present = [i for i in range(6) if pattern >> i & 1]
        for lead in range(6):
            if lead in present:
                found[pattern, lead, lead] = 1
            elif len(present) >= 2:
                found[pattern, lead, present[:2]] = np.linalg.solve(basis[present[:2]].T, basis[lead])
    return found


def _derive(signal: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Derives missing limb leads of `[B, 12, n]`."""
    present = valid[:, :6].any(axis=-1).astype(jnp.int32)
    pattern = (present * (2 ** np.arange(6, dtype=np.int32))).sum(axis=-1)
    weights = jnp.take(jnp.asarray(_create_derivations()), pattern, axis=0, mode="clip")
    limb = filters.matmul(weights, signal[:, :6])
    unknown = filters.matmul((weights != 0).astype(jnp.float32), (~valid[:, :6]).astype(jnp.float32))
    known = (unknown == 0) & (weights != 0).any(axis=-1, keepdims=True)
    return (
        jnp.concatenate([jnp.where(known, limb, 0), signal[:, 6:]], axis=1),
        jnp.concatenate([known, valid[:, 6:]], axis=1),
    )


def _bridge(signal: jax.Array, valid: jax.Array) -> jax.Array:
    """Replaces invalid samples by straight lines between valid neighbours, beyond the last one by its value."""
    return lax.cond(valid.all(), lambda signal, valid: signal, _bridge_gaps, signal, valid)


def _bridge_gaps(signal: jax.Array, valid: jax.Array) -> jax.Array:
    before, steps_before, has_before = _fill(signal, valid)
    after, steps_after, has_after = (array[..., ::-1] for array in _fill(signal[..., ::-1], valid[..., ::-1]))
    share = steps_before / jnp.maximum(steps_before + steps_after, 1)
    between = before + (after - before) * share
    nearest = jnp.where(has_before, before, after)
    return jnp.where(valid, signal, jnp.where(has_before & has_after, between, nearest))


def _fill(signal: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The last valid sample, how many samples ago that was, and whether there was one; twice as far at every step."""
    steps = jnp.zeros_like(signal)
    reach = 1
    while reach < signal.shape[-1]:
        pad = ((0, 0), (0, 0), (reach, 0))
        signal = jnp.where(valid, signal, jnp.pad(signal[..., :-reach], pad))
        steps = jnp.where(valid, steps, jnp.pad(steps[..., :-reach], pad) + reach)
        valid = valid | jnp.pad(valid[..., :-reach], pad)
        reach *= 2
    return signal, steps, valid


def _resample_validity(step: Resample, valid: jax.Array, count: int) -> jax.Array:
    """As `data.filters` does: samples that a new one depends on, those within half a new step."""
    begin, end = exact.place_sources(filters.find_ratio(step), valid.shape[-1], count)
    places = np.minimum(begin[:, None] + np.arange((end - begin).max()), end[:, None] - 1)
    return jnp.stack([jnp.take(valid, column, axis=-1) for column in places.T], axis=-1).all(axis=-1)
