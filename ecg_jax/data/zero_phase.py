"""Recursive filters, forward and backward, as one multiplication in the frequency domain.

`scipy.signal.sosfiltfilt` is linear in the signal. With a circular signal it multiplies the Fourier transform by the
squared response; what differs is the filter's state at the ends, a few numbers that are linear in the signal, too:
circular for the one, and as if the first (and, backward, the last) value had lasted forever for the other. So the
result is a product of transforms plus a product with two thin matrices, exact up to rounding. The matrices depend on
the filter and the length alone.
"""

import functools

import numpy as np
import scipy.fft
import scipy.signal

from ecg_jax.data.products import multiply

_LONGEST = 1 << 15  # samples; matrices of more are large, and such recordings few
_SETTLED = 2.0  # time constants of the slowest pole; in a shorter circle states of both kinds are hardly distinct


def filter_both_ways(sections: np.ndarray, leads: np.ndarray, padding: int) -> np.ndarray:
    """Filters forward and backward, as `scipy.signal.sosfiltfilt` does.

    Args:
        sections: Second-order sections `[k, 6]` float64.
        leads: `[leads, n]` float32.
        padding: Samples by which an odd extension continues either end, less than n.

    Returns:
        `[leads, n]` float32.
    """
    packed, length = sections.tobytes(), leads.shape[1] + 2 * padding
    circle = _find_circle(max(length, _settling_time(packed)))
    start = 2 * leads[:, :1] - leads[:, padding:0:-1]
    end = 2 * leads[:, -1:] - leads[:, -2 : -padding - 2 : -1]
    if circle > _LONGEST:
        return _filter_recursively(sections, np.concatenate([start, leads, end], axis=1, dtype=np.float64), padding)
    level = (start if padding else leads)[:, :1]
    first = circle - length  # before it, the first value lasts
    signal = np.zeros((len(leads), circle), np.float32)
    np.concatenate([start, leads, end], axis=1, out=signal[:, first:])
    signal[:, first:] -= level
    power, states, responses = _design(packed, circle)
    filtered = scipy.fft.irfft(scipy.fft.rfft(signal) * power, circle)
    filtered += multiply(multiply(signal, states), responses)
    filtered += power[0] * level
    return filtered[:, first + padding : circle - padding]


def _filter_recursively(sections: np.ndarray, extended: np.ndarray, padding: int) -> np.ndarray:
    """Equal to `scipy.signal.sosfiltfilt` of `[leads, n]` float64 to the bit, in half the time."""
    state = _settle(sections.tobytes())[:, None]
    for _ in range(2):  # forward and backward
        extended, _ = scipy.signal.sosfilt(sections, extended, axis=1, zi=state * extended[:, :1])
        extended = extended[:, ::-1]
    return extended[:, padding : extended.shape[1] - padding].astype(np.float32)


def _find_circle(length: int) -> int:
    """At least so many samples, one of few numbers: what recordings of any length need is soon designed."""
    step = 1 << max(length.bit_length() - 5, 0)
    return scipy.fft.next_fast_len(-(-length // step) * step, real=True)


def _unpack(sections: bytes) -> np.ndarray:
    return np.frombuffer(sections).reshape(-1, 6).copy()  # SciPy asks for what it could write to


@functools.lru_cache(maxsize=16)
def _settle(sections: bytes) -> np.ndarray:
    """States `[k, 2]` of a filter's steady-state step response."""
    return scipy.signal.sosfilt_zi(_unpack(sections))


@functools.lru_cache(maxsize=16)
def _settling_time(sections: bytes) -> int:
    """Samples in which the slowest transient decays by e to the power of `_SETTLED`."""
    slowest = np.abs(np.concatenate([np.roots(section[3:]) for section in _unpack(sections)])).max()
    return int(_SETTLED / max(1 - slowest, 1 / _LONGEST))


@functools.lru_cache(maxsize=16)
def _step(sections: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One sample as `state = A state + b input`, `output = c state + ...`: A `[d, d]`, b `[d]`, c `[d]`."""
    order = 2 * len(_unpack(sections))
    states = np.eye(order + 1, order).reshape(order + 1, -1, 2).swapaxes(0, 1)  # each alone, and none
    inputs = np.eye(order + 1)[:, -1:]  # 1 with the last
    outputs, after = scipy.signal.sosfilt(_unpack(sections), inputs, axis=1, zi=states)
    after = after.swapaxes(0, 1).reshape(order + 1, order)
    return after[:-1].T, after[-1], outputs[:-1, 0]


def _power(matrix: np.ndarray, start: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Products of the powers 0, 1, ... of A `[d, d]` with a vector, `[count, d]`, and the power `count`."""
    products = start[None]
    power = matrix
    while len(products) < count:
        products = np.concatenate([products, products @ power.T])
        power = power @ power
    return products[:count], np.linalg.matrix_power(matrix, count)


@functools.lru_cache(maxsize=32)
def _design(sections: bytes, circle: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What filters a circle of n samples, float32.

    Returns:
        The squared response `[n // 2 + 1]`; a matrix `[n, 2 d]` from a signal that begins with 0 to the errors of d
        states at either end; and what these errors add to the output `[2 d, n]`.
    """
    step, entry, output = _step(sections)
    entering, turned = _power(step, entry, circle)  # states after one input, by its age
    leaving, _ = _power(step.T, output, circle)  # outputs by age of a state
    close = np.linalg.inv(np.eye(len(step)) - turned)  # a state that adds up over all turns of the circle
    response = scipy.signal.sosfreqz(_unpack(sections), 2 * np.pi * np.arange(circle // 2 + 1) / circle)[1]

    def filter_backward(columns: np.ndarray) -> np.ndarray:
        spectrum = scipy.fft.rfft(columns, axis=0) * response.conj()[:, None]
        return scipy.fft.irfft(spectrum, circle, axis=0)

    at_start = entering[::-1] @ close.T  # `[n, d]`: a signal's circular state where the forward filter begins
    last = scipy.fft.irfft(response, circle)[::-1] - at_start @ leaving[-1]  # to the forward output's last value
    at_end = (filter_backward(entering) - at_start @ (leaving.T @ entering)) @ close.T  # where the backward one begins
    states = np.concatenate([at_start, np.outer(last, _settle(sections).ravel()) - at_end], axis=1)
    responses = np.concatenate([-filter_backward(leaving), leaving[::-1]], axis=1)
    orthogonal, scale = np.linalg.qr(responses)  # states may be large and cancel
    power = np.abs(response) ** 2
    return power.astype(np.float32), (states @ scale.T).astype(np.float32), orthogonal.T.astype(np.float32)
