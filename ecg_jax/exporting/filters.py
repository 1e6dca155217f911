"""The filters of `data.filters` as products with constant matrices, for signals of one length without gaps.

Resampling and recursive filters are linear. Resampling is a strided convolution with one kernel for each phase. A
recursive filter is computed in blocks (Burrus 1972, "Block realization of digital filters"): within a block it is a
product with a triangular matrix; what a block inherits from earlier ones passes through the filter's state, and the
states at the beginnings of all blocks are one more product. All take and give `[B, leads, n]` float32.
"""

import dataclasses
import functools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.signal
from jax import lax

from ecg_jax.contract import Filter, Resample, SubtractMedian
from ecg_jax.data import filters, polyphase

matmul = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)


def find_ratio(step: Resample) -> Fraction:
    """The new sampling rate over the old one."""
    return Fraction(step.after / step.before).limit_denominator(2000)


def count_resampled(step: Resample, samples: int) -> int:
    """How many samples remain of `samples`."""
    if step.method == "linear":
        return int(samples * step.after / step.before)
    return math.ceil(samples * find_ratio(step))


def resample(step: Resample, signal: jax.Array) -> jax.Array:
    """Changes the sampling rate."""
    samples = signal.shape[-1]
    count = count_resampled(step, samples)
    if step.method == "linear":
        place = np.linspace(0, count - 1, samples)
        position = np.interp(np.arange(count), place, np.arange(samples))
        first = np.minimum(position.astype(int), samples - 2)
        weight = jnp.asarray(position - first, jnp.float32)
        return jnp.take(signal, first, axis=-1) * (1 - weight) + jnp.take(signal, first + 1, axis=-1) * weight
    ratio = find_ratio(step)
    if step.method == "polyphase_zeros":
        widest = max(ratio.numerator, ratio.denominator)
        taps = scipy.signal.firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0))
        return _convolve_phases(taps, ratio, jnp.pad(signal, ((0, 0), (0, 0), _measure_ends(ratio, samples))), count)
    level = signal[..., :1]
    below, above = _measure_ends(ratio, samples)
    rest = signal - level
    slope = rest[..., -1:] / max(samples - 1, 1)
    before, after = np.arange(-below, 0, dtype=np.float32), np.arange(1, above + 1, dtype=np.float32)
    extended = jnp.concatenate([slope * before, rest, rest[..., -1:] + slope * after], axis=-1)
    return level + _convolve_phases(
        polyphase.design_lowpass(ratio.numerator, ratio.denominator), ratio, extended, count
    )


def _measure_ends(ratio: Fraction, samples: int) -> tuple[int, int]:
    """How many samples before and after a signal its resampling reaches."""
    up, down = ratio.numerator, ratio.denominator
    half = 10 * max(up, down)
    count = math.ceil(samples * ratio)
    blocks = -(-count // up)
    last = (blocks - 1) * down + ((up - 1) * down + half) // up
    return half // up, max(last + 1 - samples, 0)


def _convolve_phases(taps: np.ndarray, ratio: Fraction, extended: jax.Array, count: int) -> jax.Array:
    """Output `q * up + r` is a product of inputs from `q * down - half // up` on with kernel number r."""
    up, down = ratio.numerator, ratio.denominator
    half = len(taps) // 2
    width = half // up + ((up - 1) * down + half) // up + 1
    place = np.arange(up)[:, None] * down + half - (np.arange(width) - half // up) * up
    is_tap = (place >= 0) & (place < len(taps))
    kernel = np.where(is_tap, up * taps[np.clip(place, 0, len(taps) - 1)], 0)
    leads, length = extended.shape[1:]
    phases = lax.conv_general_dilated(
        extended.reshape(-1, 1, length),
        jnp.asarray(kernel[:, None], jnp.float32),
        (down,),
        "VALID",
        precision=lax.Precision.HIGHEST,
    )
    blocks = -(-count // up)
    return phases[:, :, :blocks].transpose(0, 2, 1).reshape(-1, leads, blocks * up)[..., :count]


def apply_filter(step: Filter, signal: jax.Array) -> jax.Array:
    """Filters forward and backward."""
    if not step.order:
        return _filter_both_ways(filters.design_filter(step), int(step.sampling_rate), signal)
    for sections, length in filters.design_band(step):
        signal = _filter_both_ways(sections, 3 * length, signal)
    return signal


def _filter_both_ways(sections: np.ndarray, padding: int, signal: jax.Array) -> jax.Array:
    padding = min(signal.shape[-1] - 1, padding)
    start = 2 * signal[..., :1] - signal[..., 1 : padding + 1][..., ::-1]
    end = 2 * signal[..., -1:] - signal[..., -padding - 1 : -1][..., ::-1]
    extended = jnp.concatenate([start, signal, end], axis=-1)
    blocks = create_blocks(sections.tobytes(), extended.shape[-1])
    gain = float(np.prod(sections[:, :3].sum(axis=1) / sections[:, 3:].sum(axis=1)))  # of what does not change
    for _ in range(2):
        level = extended[..., :1]
        extended = (gain * level + _filter_blocks(blocks, extended - level))[..., ::-1]
    return extended[..., padding : padding + signal.shape[-1]]


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A recursive filter of blocks of n samples, with a state of s numbers that begins at 0."""

    within: np.ndarray  # `[n, n]`, from inputs to outputs of a block
    leave: np.ndarray  # `[n, s]`, from a block's inputs to what it adds to the state
    carry: np.ndarray  # `[blocks * s, blocks * s]`, from what all blocks add to the states at their beginnings
    inherit: np.ndarray  # `[s, n]`, from the state at a block's beginning to its outputs


@functools.lru_cache(maxsize=16)
def create_blocks(sections: bytes, samples: int) -> Blocks:
    """Blocks of about the square root of the length, which needs the fewest products."""
    transition, enter, read, direct = _balance(*_create_states(np.frombuffer(sections).reshape(-1, 6)))
    size = 2 ** max(round(math.log2(math.sqrt(samples))), 1)
    count = -(-samples // size)
    powers = [np.eye(len(transition))]
    for _ in range(size):
        powers.append(powers[-1] @ transition)
    response = np.array([direct, *(read @ power @ enter for power in powers[: size - 1])])
    leave = np.stack([power @ enter for power in powers[size - 1 :: -1]])
    inherit = np.stack([read @ power for power in powers[:size]], axis=1)
    carried = [np.eye(len(transition))]
    for _ in range(count):
        carried.append(carried[-1] @ powers[size])
    zero = np.zeros_like(transition)
    carry = np.block([[carried[i - j - 1] if j < i else zero for j in range(count)] for i in range(count)])
    within = scipy.linalg.toeplitz(response, np.zeros(size))
    return Blocks(*(matrix.astype(np.float32) for matrix in (within.T, leave, carry.T, inherit)))


def _create_states(sections: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """State-space form of second-order sections in series: transition, input, output and direct term."""
    transition, enter, read, direct = np.zeros((0, 0)), np.zeros(0), np.zeros(0), 1.0
    for b0, b1, b2, _, a1, a2 in sections:
        own = np.array([[-a1, 1.0], [-a2, 0.0]])
        own_enter = np.array([b1 - a1 * b0, b2 - a2 * b0])
        transition = np.block([[transition, np.zeros((len(read), 2))], [np.outer(own_enter, read), own]])
        enter = np.concatenate([enter, own_enter * direct])
        read = np.concatenate([b0 * read, [1.0, 0.0]])
        direct *= b0
    return transition, enter, read, direct


def _balance(
    transition: np.ndarray, enter: np.ndarray, read: np.ndarray, direct: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The same filter with states whose variance is 1 when noise is filtered: float32 is enough for them."""
    variance = scipy.linalg.solve_discrete_lyapunov(transition, np.outer(enter, enter))
    values, vectors = np.linalg.eigh(variance)
    basis = vectors * np.sqrt(np.maximum(values, values[-1] * 1e-15))
    inverse = np.linalg.inv(basis)
    return inverse @ transition @ basis, inverse @ enter, read @ basis, direct


def _filter_blocks(blocks: Blocks, signal: jax.Array) -> jax.Array:
    leads, samples = signal.shape[1:]
    size, states = blocks.leave.shape
    count = len(blocks.carry) // states
    padded = jnp.pad(signal, ((0, 0), (0, 0), (0, count * size - samples))).reshape(-1, leads, count, size)
    added = matmul(padded, blocks.leave).reshape(-1, leads, count * states)
    begun = matmul(added, blocks.carry).reshape(-1, leads, count, states)
    filtered = matmul(padded, blocks.within) + matmul(begun, blocks.inherit)
    return filtered.reshape(-1, leads, count * size)[..., :samples]


def subtract_median(step: SubtractMedian, signal: jax.Array) -> jax.Array:
    """Subtracts the running median of each lead, with zeros beyond its ends; one recording after the other."""
    reach, samples = step.samples // 2, signal.shape[-1]
    place = np.arange(samples)[:, None] + np.arange(step.samples)

    def find_medians(leads: jax.Array) -> jax.Array:
        padded = jnp.pad(leads, ((0, 0), (reach, reach)))
        return lax.map(lambda lead: jnp.sort(lead[place], axis=-1)[:, reach], padded)

    return signal - lax.map(find_medians, signal)
