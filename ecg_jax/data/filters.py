"""The steps of an input contract that filter, in NumPy: resampling, recursive filters, the median baseline.

All take `signal` `[n, leads]` float32 and `valid` of the same shape, and bridge gaps first, so that no filter spreads
them.
"""

import functools
from fractions import Fraction

import numpy as np
import scipy.ndimage
import scipy.signal

from ecg_jax.contract import Filter, Resample, SubtractMedian
from ecg_jax.data import polyphase
from ecg_jax.data.zero_phase import filter_both_ways

# Of the arithmetic. Version 1, before products of matrices, differs by 0.01 microvolts at most, or 4e-7 of the signal's
# largest excursion.
VERSION = 2


def resample(step: Resample, signal: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Changes the sampling rate: signal and valid `[m, leads]`."""
    ratio = Fraction(step.after / step.before).limit_denominator(2000)
    if ratio == 1:
        return signal, valid
    bridged = _bridge(signal, valid)
    match step.method:
        case "linear":
            resampled = _interpolate(bridged, int(len(bridged) * step.after / step.before))
        case "polyphase_zeros":
            resampled = scipy.signal.resample_poly(bridged, ratio.numerator, ratio.denominator, axis=0)
        case _:
            resampled = _resample_polyphase(bridged, ratio)
    return resampled.astype(np.float32, copy=False), _resample_validity(valid, len(resampled), ratio)


def _interpolate(signal: np.ndarray, count: int) -> np.ndarray:
    """Stretches a recording to `count` samples, so that the first and the last stay where they are."""
    place = np.linspace(0, count - 1, len(signal))
    return np.stack([np.interp(np.arange(count), place, lead) for lead in signal.T], axis=1)


def _resample_polyphase(signal: np.ndarray, ratio: Fraction) -> np.ndarray:
    level = signal[:1]  # filtering without it keeps a flat lead flat
    return level + polyphase.resample((signal - level).T, ratio.numerator, ratio.denominator).T


def _resample_validity(valid: np.ndarray, count: int, ratio: Fraction) -> np.ndarray:
    """A sample is invalid if one that it depends on was, see `place_sources`."""
    if valid.all():
        return np.ones((count, valid.shape[1]), bool)
    begin, end = place_sources(ratio, len(valid), count)
    if ratio > 1:
        return valid[begin]
    invalid = np.zeros((len(valid) + 1, valid.shape[1]), np.int32)
    np.cumsum(~valid, axis=0, out=invalid[1:])
    return invalid[end] == invalid[begin]


def place_sources(ratio: Fraction, length: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples of `length`, from `begin` to before `end`, `[count]` both, that a resampled one's validity depends on.

    These are the samples within half a new step; at a higher rate the nearest one.
    """
    number = np.arange(count)
    if ratio > 1:
        nearest = np.minimum(np.round(number / float(ratio)).astype(int), length - 1)
        return nearest, nearest + 1
    begin = np.maximum(-((1 - 2 * number) * ratio.denominator // (2 * ratio.numerator)), 0)
    end = np.minimum((2 * number + 1) * ratio.denominator // (2 * ratio.numerator) + 1, length)
    end[-1] = length
    return begin, end


def apply_filter(step: Filter, signal: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Filters forward and backward: `[n, leads]` float32."""
    leads = _bridge(signal, valid).T
    if step.order:
        return _filter_band(step, leads).T
    return filter_both_ways(design_filter(step), leads, min(len(signal) - 1, int(step.sampling_rate))).T


def _filter_band(step: Filter, leads: np.ndarray) -> np.ndarray:
    """The notch, then one band-pass filter, each as `scipy.signal.filtfilt` extends the ends of a signal by default."""
    for sections, length in design_band(step):
        leads = filter_both_ways(sections, leads, min(leads.shape[1] - 1, 3 * length))
    return leads


@functools.lru_cache(maxsize=16)
def design_band(step: Filter) -> list[tuple[np.ndarray, int]]:
    """Second-order sections of each filter, and its number of coefficients as one polynomial."""
    notch = [(design_filter(Filter(step.sampling_rate, 0, 0, step.notch)), 3)] if step.notch else []
    band = scipy.signal.butter(
        step.order, (step.highpass, step.lowpass), "bandpass", fs=step.sampling_rate, output="sos"
    )
    return [*notch, (band, 2 * step.order + 1)]


def subtract_median(step: SubtractMedian, signal: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Subtracts the running median of each lead, with zeros beyond its ends: `[n, leads]` float32."""
    bridged = _bridge(signal, valid)
    leads = [scipy.ndimage.median_filter(lead, step.samples, mode="constant") for lead in bridged.T]  # 1-D is faster
    return bridged - np.stack(leads, axis=1).astype(np.float32)


@functools.lru_cache(maxsize=16)
def design_filter(step: Filter) -> np.ndarray:
    """Second-order sections `[n, 6]`. Designing takes as long as filtering."""
    if step.order:
        return np.concatenate([sections for sections, _ in design_band(step)])
    nyquist = step.sampling_rate / 2
    sections = []
    if step.highpass:
        sections.append(scipy.signal.butter(2, step.highpass / nyquist, "highpass", output="sos"))
    if step.lowpass:
        sections.append(scipy.signal.butter(2, step.lowpass / nyquist, "lowpass", output="sos"))
    if step.notch:
        sections.append(scipy.signal.tf2sos(*scipy.signal.iirnotch(step.notch / nyquist, Q=30)))
    return np.concatenate(sections)


def _bridge(signal: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Replaces invalid samples by straight lines between valid neighbours."""
    if valid.all():
        return signal
    bridged = signal.copy()
    time = np.arange(len(signal))
    for lead in np.flatnonzero(~valid.all(axis=0)):
        known = valid[:, lead]
        if known.any():
            bridged[~known, lead] = np.interp(time[~known], time[known], signal[known, lead])
    return bridged
