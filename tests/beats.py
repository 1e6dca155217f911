"""Simple means of measuring an ECG, `[samples, 12]` at 400 Hz, apart from those of the package."""

import numpy as np
import scipy.signal

BEFORE, AFTER = 140, 100  # samples of an averaged beat before and after its R peak


def find_r_peaks(signal):
    """Peaks of the steep band's envelope."""
    band = scipy.signal.butter(2, (5, 30), "bandpass", fs=400, output="sos")
    envelope = np.sqrt((scipy.signal.sosfiltfilt(band, signal, axis=0) ** 2).sum(axis=1))
    return scipy.signal.find_peaks(envelope, height=0.4 * np.quantile(envelope, 0.995), distance=120)[0]


def average_beat(signal):
    inside = [peak for peak in find_r_peaks(signal) if BEFORE <= peak < len(signal) - AFTER]
    return np.median([signal[peak - BEFORE : peak + AFTER] for peak in inside], axis=0)


def find_qrs(beat, pause=6):
    """First and last sample around the steepest where steepness pauses for no more samples below 15 % of it."""
    steepness = np.abs(np.gradient(beat, axis=0)).sum(axis=1)
    steep = np.flatnonzero(steepness > 0.15 * steepness[BEFORE - 50 : BEFORE + 50].max())
    runs = np.split(steep, np.flatnonzero(np.diff(steep) > pause) + 1)
    run = next(
        run for run in runs if run[0] <= BEFORE - 50 + np.argmax(steepness[BEFORE - 50 : BEFORE + 50]) <= run[-1]
    )
    return run[0], run[-1]


def measure_qrs(signal, pause=6):
    first, last = find_qrs(average_beat(signal), pause)
    return (last - first) / 400


def measure_pr(signal, pause=6):
    """From the top of the P wave in lead II to the start of the QRS complex."""
    beat = average_beat(signal)
    first, _ = find_qrs(beat, pause)
    before = scipy.signal.detrend(beat[max(first - 125, 0) : first - 8, 1])
    return (len(before) + 8 - np.argmax(before)) / 400


def measure_p_wave(signal, pause=6):
    """What all beats share before the QRS complex in lead II: its range."""
    beat = average_beat(signal)
    first, _ = find_qrs(beat, pause)
    return np.ptp(scipy.signal.detrend(beat[first - 80 : first - 8, 1]))


def measure_late_forces(signal, pause=6):
    """Means of the last third of the QRS complex against its beginning, `[12]`."""
    beat = average_beat(signal)
    first, last = find_qrs(beat, pause)
    return beat[(first + 2 * last) // 3 : last].mean(axis=0) - beat[first - 4]


def measure_area(signal):
    """Means within 60 ms of the R peak against those before the complex, `[12]`."""
    beat = average_beat(signal)
    return beat[BEFORE - 24 : BEFORE + 25].mean(axis=0) - beat[BEFORE - 48 : BEFORE - 40].mean(axis=0)


def measure_irregularity(signal):
    intervals = np.diff(find_r_peaks(signal))
    return np.std(intervals) / np.mean(intervals)


def share_above(high, low):
    """How often one of `high` exceeds one of `low`."""
    return np.mean(high[:, None] > low[None, :])


def check_limb_laws(signal, atol):
    """Einthoven's law and Goldberger's, in mV."""
    one, two, three, avr, avl, avf = signal[:, :6].T
    np.testing.assert_allclose(three, two - one, atol=atol)
    np.testing.assert_allclose(avr, -(one + two) / 2, atol=atol)
    np.testing.assert_allclose(avl, one - two / 2, atol=atol)
    np.testing.assert_allclose(avf, two - one / 2, atol=atol)
