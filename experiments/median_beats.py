"""The median beat of a recording, and what is measured on it; for the scripts that compare simulated with real ECGs."""

import dataclasses

import numpy as np
import pandas as pd
import scipy.signal

from ecg_jax.contract import InputContract
from ecg_jax.data import datasets, preprocess
from ecg_jax.recording import LEADS
from ecg_jax.statements import SIX, STATEMENTS

RATE = 400  # Hz
LOW_PASS = scipy.signal.butter(2, 40, "low", fs=RATE, output="sos")  # forward and backward, as `CONTRACT` does
CONTRACT = InputContract(highpass=0.5, lowpass=40.0, units_per_millivolt=1.0)
_BEFORE, _AFTER = 160, 240  # samples around the middle of QRS
_CLEAR = 0.03  # mV above which a deflection is one
CHEST = LEADS[6:]


@dataclasses.dataclass(frozen=True)
class Beat:
    """`signal` `[400, 12]` mV; samples of the onset and end of QRS; seconds between beats."""

    signal: np.ndarray
    onset: int
    end: int
    interval: float


def find(signal: np.ndarray) -> Beat | None:
    """The median beat of `[n, 12]` mV at 400 Hz, filtered as by `CONTRACT`; None with fewer than three beats."""
    band = scipy.signal.butter(2, (5, 30), "bandpass", fs=RATE, output="sos")
    envelope = np.sqrt((scipy.signal.sosfiltfilt(band, signal, axis=0) ** 2).sum(axis=1))
    envelope = np.convolve(envelope, np.ones(20) / 20, "same")
    peaks = scipy.signal.find_peaks(envelope, height=0.4 * np.quantile(envelope, 0.995), distance=120)[0]
    inside = [peak for peak in peaks if _BEFORE <= peak < len(signal) - _AFTER]
    if len(inside) < 3:
        return None
    beat = np.median([signal[peak - _BEFORE : peak + _AFTER] for peak in inside], axis=0)
    steepness = np.abs(np.gradient(beat, axis=0))[:, [0, 1, *range(6, 12)]].max(axis=1)
    steepness = scipy.signal.savgol_filter(steepness, 5, 1)[_BEFORE - 60 : _BEFORE + 70]
    steep = _BEFORE - 60 + np.flatnonzero(steepness > 0.12 * steepness[:120].max())
    return Beat(beat, int(steep[0]) - 3, int(steep[-1]) + 3, float(np.median(np.diff(peaks))) / RATE)


def measure(beat: Beat) -> dict[str, float]:
    """Amplitudes in mV and times in seconds, by `R V1` and so on.

    Per lead: R, and Q and S before and after it, downwards; the lowest point of QRS; ST 40 and 80 ms after its end;
    the largest of T and of P, signed. R / (R + lowest) in the chest leads, the frontal axis in degrees.
    """
    onset, end = beat.onset, beat.end
    level = np.median(beat.signal[max(onset - 10, 0) : max(onset - 1, 1)], axis=0)
    signal = beat.signal - level
    found = {"interval": beat.interval, "QRS": (end - onset) / RATE}
    for number, lead in enumerate(LEADS):
        qrs = signal[onset + 1 : end, number]
        top = int(np.argmax(qrs))
        has_r = qrs[top] > _CLEAR
        before, after = (qrs[:top], qrs[top:]) if has_r else (qrs, qrs[:0])
        wave = signal[end + 28 : end + 147, number]
        p = signal[max(onset - 88, 0) : max(onset - 4, 1), number]
        found |= {
            f"R {lead}": max(qrs[top], 0.0),
            f"Q {lead}": max(-before.min(), 0.0) if len(before) else 0.0,
            f"S {lead}": max(-after.min(), 0.0) if len(after) else 0.0,
            f"lowest {lead}": max(-qrs.min(), 0.0),
            f"ST {lead}": signal[min(end + 13, len(signal) - 1), number],
            f"ST80 {lead}": signal[min(end + 29, len(signal) - 1), number],
            f"T {lead}": wave[np.argmax(np.abs(wave))] if len(wave) else np.nan,
            f"T time {lead}": (end + 28 + np.argmax(np.abs(wave)) - onset) / RATE if len(wave) else np.nan,
            f"P {lead}": p[np.argmax(np.abs(p))],
        }
    for lead in CHEST:
        found[f"R/(R+S) {lead}"] = found[f"R {lead}"] / (found[f"R {lead}"] + found[f"lowest {lead}"] + 1e-6)
    net = {lead: found[f"R {lead}"] - found[f"lowest {lead}"] for lead in ("I", "aVF")}
    found["axis"] = np.degrees(np.arctan2(2 / np.sqrt(3) * net["aVF"], net["I"]))
    return found


def read(folders: list[str], contract: InputContract = CONTRACT) -> pd.DataFrame:
    """The records of folders in PTB-XL's layout that have a median beat, in millivolts: a row each.

    Its columns are `id`, `fold`, `age`, `sex`, `statements` (a set of codes), `signal` (`[4000, 12]`) and `beat`.
    """
    rows = []
    for folder in folders:
        options = {"ptbxl": {"sampling_rate": 100}}
        data = datasets.open_source("ptbxl", source=folder, labels="all", seed=0, options=options)
        stated = {SIX.get(name, name): column == 1 for name, column in data.columns.items()}
        assert data.folds is not None
        for i, id in enumerate(data.ids):
            signal, _ = preprocess.standardize(data.read(i), contract)
            beat = find(signal)
            if beat is not None:
                codes = {code for code, column in stated.items() if column[i] and code in STATEMENTS}
                rows.append(
                    [id, data.folds[i], data.attributes["age"][i], data.attributes["sex"][i], codes, signal, beat]
                )
    return pd.DataFrame(rows, columns=["id", "fold", "age", "sex", "statements", "signal", "beat"])
