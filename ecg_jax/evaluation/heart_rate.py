"""The heart rate of a recording, and what it alone predicts: the baseline that a network must beat."""

import numpy as np
import scipy.signal

LOWEST, HIGHEST = 15.0, 240.0  # per minute, the limits of what is measured
_KNOTS = np.linspace(25.0, HIGHEST, 10)[:, None]  # of the spline that predicts from it


def measure_heart_rate(signal: np.ndarray, sampling_rate: float) -> float:
    """Estimates the mean heart rate from the steepness of all leads.

    QRS complexes are peaks of the band-passed (5-20 Hz) signal's squared slope, summed over
    leads and smoothed over 120 ms, at least 250 ms apart and above a third of the usual peak.

    Args:
        signal: `[samples, leads]`, any unit; zeros where there is nothing.
        sampling_rate: Hz.

    Returns:
        Beats per minute, 60 over the median interval; NaN with fewer than two beats, less
        than a second of signal, or a sampling rate of 50 Hz or less.
    """
    if len(signal) < sampling_rate or sampling_rate <= 50:
        return np.nan
    sos = scipy.signal.butter(2, (5.0, 20.0), "bandpass", fs=sampling_rate, output="sos")
    slope = np.diff(scipy.signal.sosfiltfilt(sos, signal, axis=0), axis=0)
    return count_beats((slope**2).sum(axis=1), sampling_rate)


def count_beats(steepness: np.ndarray, sampling_rate: float) -> float:
    """The second half of `measure_heart_rate`, from the squared slope `[samples]` summed over leads."""
    energy = np.convolve(steepness, np.ones(round(0.12 * sampling_rate)), mode="same")
    if not energy.any():
        return np.nan
    seconds = int(sampling_rate)
    tops = np.maximum.reduceat(energy, range(0, len(energy), seconds))
    usual = np.median(tops[tops > 0.05 * tops.max()])
    peaks, _ = scipy.signal.find_peaks(energy, height=usual / 3, distance=round(0.25 * sampling_rate))
    if len(peaks) < 2:
        return np.nan
    return float(np.clip(60 * sampling_rate / np.median(np.diff(peaks)), LOWEST, HIGHEST))


def predict_from_rate(rate: np.ndarray, labels: np.ndarray, other_rate: np.ndarray) -> np.ndarray:
    """Predicts each label's probability, `[M, C]`, by a smooth function of the heart rate.

    Args:
        rate: `[N]` beats per minute of the recordings for fitting; NaN where unknown.
        labels: `[N, C]` in {1, 0, NaN}; one that is never or always present gets its prevalence.
        other_rate: `[M]` of the recordings to predict.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import, and not needed to count beats
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    fallback = np.nanmedian(rate) if np.isfinite(rate).any() else 75.0
    rate = np.where(np.isnan(rate), fallback, rate)[:, None]
    other_rate = np.where(np.isnan(other_rate), fallback, other_rate)[:, None]
    columns = []
    for label in labels.T:
        known = ~np.isnan(label)
        truth = label[known] > 0.5
        if not 0 < truth.sum() < truth.size:
            columns.append(np.full(len(other_rate), truth.mean() if truth.size else 0.0))
            continue
        model = make_pipeline(SplineTransformer(degree=2, knots=_KNOTS), LogisticRegression(C=10, max_iter=1000))
        columns.append(model.fit(rate[known], truth).predict_proba(other_rate)[:, 1])
    return np.stack(columns, axis=1)
