"""Resampling by a ratio, as one matrix product: every stretch of samples becomes the same number of new ones.

The filter and its place are those of `scipy.signal.resample_poly`.
"""

import functools

import numpy as np
import scipy.signal

from ecg_jax.data.products import multiply

_NEW, _OLD = 40, 100  # samples of a stretch after and before, about; of more, most of the matrix is zeros
_AT_ONCE = 1024  # stretches, whose copy takes more memory than they do
_WIDEST = 400  # samples of a stretch and beside it; beyond, the filter alone is faster


@functools.lru_cache(maxsize=64)
def design_lowpass(up: int, down: int) -> np.ndarray:
    """The default filter of `scipy.signal.resample_poly`, which designs it again at every call."""
    widest = max(up, down)
    return scipy.signal.firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0)).astype(np.float32)


def resample(leads: np.ndarray, up: int, down: int) -> np.ndarray:
    """Resamples `[leads, n]` float32 by `up / down`, continued by the line from the first sample to the last.

    Equal, up to rounding, to `scipy.signal.resample_poly(leads, up, down, axis=1, padtype="line")`.
    """
    matrix, stretch, beside = _design(up, down)
    count = -(-leads.shape[1] * up // down)
    if not matrix.size or leads.shape[1] == 1:
        ends = "line" if leads.shape[1] > 1 else "edge"
        return scipy.signal.resample_poly(leads, up, down, axis=1, window=design_lowpass(up, down), padtype=ends)
    made = matrix.shape[1]
    stretches = -(-count // made)
    extended = _extend(leads, beside, stretches * stretch + beside - leads.shape[1])
    parts = np.lib.stride_tricks.sliding_window_view(extended, len(matrix), axis=1)[:, ::stretch]
    resampled = np.empty((len(leads), stretches, made), np.float32)
    for begin in range(0, stretches, _AT_ONCE):
        part = parts[:, begin : begin + _AT_ONCE]
        product = multiply(part.reshape(-1, len(matrix)), matrix)  # of a copy
        resampled[:, begin : begin + _AT_ONCE] = product.reshape(*part.shape[:2], made)
    return resampled.reshape(len(leads), -1)[:, :count]


def _extend(leads: np.ndarray, before: int, after: int) -> np.ndarray:
    """Continues leads by the line from the first sample to the last."""
    length = leads.shape[1]
    slope = (leads[:, -1:] - leads[:, :1]) / np.float32(length - 1)
    extended = np.empty((len(leads), before + length + after), np.float32)
    extended[:, :before] = leads[:, :1] + slope * np.arange(-before, 0, dtype=np.float32)
    extended[:, before : before + length] = leads
    extended[:, before + length :] = leads[:, -1:] + slope * np.arange(1, after + 1, dtype=np.float32)
    return extended


@functools.lru_cache(maxsize=64)
def _design(up: int, down: int) -> tuple[np.ndarray, int, int]:
    """The matrix `[samples of a stretch and beside it, new samples]`, the stretch's length, and how many lie beside it.

    Empty where such a matrix would be too wide.
    """
    lowpass = design_lowpass(up, down)
    reach = len(lowpass) // 2  # at the rate that both rates divide
    beside, times = reach // up, max(min(round(_NEW / up), _OLD // down), 1)
    stretch = down * times
    if stretch + 2 * beside > _WIDEST:
        return np.empty((0, 0), np.float32), 0, 0
    taps = np.arange(up * times) * down - (np.arange(stretch + 2 * beside)[:, None] - beside) * up + reach
    matrix = np.where((taps >= 0) & (taps < len(lowpass)), lowpass[np.clip(taps, 0, len(lowpass) - 1)], 0)
    return (matrix * np.float32(up)).astype(np.float32), stretch, beside
