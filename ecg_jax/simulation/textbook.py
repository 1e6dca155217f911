"""A compact 12-lead ECG simulator in NumPy, which needs no compilation: a moving dipole and its projections.

The heart is a current dipole whose P, QRS and T loops are sums of Gaussians in time, as
in McSharry et al. 2003 (IEEE Trans Biomed Eng 50:289), carried to three dimensions; the
leads are its projections by the matrix of Dower et al. 1980 (Clin Cardiol 3:87).
The six diagnoses differ in what defines them (Surawicz et al. 2009, J Am Coll Cardiol
53:976; Kusumoto et al. 2019, Circulation 140:e382): 1dAVb by a PR interval over 200 ms,
RBBB and LBBB by a QRS of at least 120 ms with late forces to the right and front, or
slurred forces to the left and back and a discordant T wave, SB and ST by the rate, AF by
irregular intervals and fibrillatory waves in place of P waves.

Axes of the dipole: x to the left, y to the feet, z to the back. Times in seconds,
amplitudes in millivolts.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.ndimage

from ecg_jax.labels import SIX
from ecg_jax.recording import LEADS, LIMB_LEADS
from ecg_jax.simulation import DOWER, SAMPLING_RATE

DURATIONS = (7.0, 10.0)

_INDEPENDENT_LEADS = tuple(DOWER)
_DOWER = np.array(list(DOWER.values()))
# Twelve leads from the eight: limb leads by Einthoven and Goldberger.
_TO_TWELVE = np.zeros((len(LEADS), len(_INDEPENDENT_LEADS)))
for _row, _lead in enumerate(LEADS):
    if _lead in LIMB_LEADS:
        _TO_TWELVE[_row, :2] = LIMB_LEADS[_lead]
    else:
        _TO_TWELVE[_row, _INDEPENDENT_LEADS.index(_lead)] = 1

# Loops as (time, width, dipole). P times count from the end of the P wave's middle, QRS
# times are fractions of the QRS duration from its centre, widths of QRS likewise.
_P_LOOP = ((-0.02, 0.016, (0.03, 0.07, -0.05)), (0.02, 0.018, (0.07, 0.07, 0.03)))
_QRS_LOOPS = {
    "normal": (
        (-0.32, 0.10, (-0.15, -0.06, -0.16)),
        (-0.02, 0.14, (0.90, 0.75, 0.10)),
        (0.22, 0.13, (0.05, -0.05, 0.60)),
        (0.38, 0.10, (-0.10, -0.14, 0.12)),
    ),
    "RBBB": (
        (-0.38, 0.07, (-0.15, -0.06, -0.16)),
        (-0.18, 0.09, (0.85, 0.70, 0.15)),
        (-0.02, 0.08, (0.10, 0.00, 0.40)),
        (0.25, 0.14, (-0.60, 0.05, -0.50)),
    ),
    "LBBB": (
        (-0.28, 0.12, (0.35, 0.35, 0.25)),
        (-0.02, 0.15, (0.70, 0.30, 0.75)),
        (0.24, 0.13, (0.75, 0.05, 0.55)),
    ),
}
_T_DIPOLES = {"normal": (0.33, 0.22, -0.12), "RBBB": (0.34, 0.16, 0.10), "LBBB": (-0.38, -0.06, -0.32)}


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Who is recorded, and how well."""

    morphology_spread: float = 1.0  # scales the variation between patients (1: as in training)
    noise: float = 1.0  # scales muscle noise, baseline wander and mains hum (1: as in training)


def draw_diagnoses(rng: np.random.Generator) -> np.ndarray:
    """Draws which of the six diagnoses a patient has, `[6]` bool in the order of `labels.SIX`.

    Rhythms (SB, AF, ST) exclude each other, as do the bundle branch blocks; AF has no
    PR interval and so no 1dAVb. Close to half of the patients have none.
    """
    rhythm = rng.choice(["sinus", "SB", "AF", "ST"], p=[0.67, 0.11, 0.11, 0.11])
    block = rng.choice(["none", "RBBB", "LBBB"], p=[0.80, 0.10, 0.10])
    first_degree = rng.random() < 0.13 and rhythm != "AF"
    present = {rhythm, block} | ({"1dAVb"} if first_degree else set())
    return np.array([name in present for name in SIX])


def simulate(rng: np.random.Generator, diagnoses: np.ndarray, conditions: Conditions) -> np.ndarray:
    """Draws one ECG of a patient with the given diagnoses, `[6]` bool in the order of `labels.SIX`.

    Returns:
        `[samples, 12]` float32 millivolts at 400 Hz, in the order of `recording.LEADS`.
    """
    present = {name for name, flag in zip(SIX, diagnoses, strict=True) if flag}
    samples = int(rng.choice(DURATIONS) * SAMPLING_RATE)
    beats, rr = _draw_beats(rng, present, samples / SAMPLING_RATE)
    dipole = np.zeros((samples, 3), np.float32)
    for centre, width, vector in _draw_waves(rng, present, beats, rr, conditions.morphology_spread):
        _add_wave(dipole, centre, width, vector)
    if "AF" in present:
        dipole += _draw_fibrillation(rng, samples)
    signal = dipole @ _DOWER.T.astype(np.float32)
    signal *= rng.lognormal(0, 0.12 * conditions.morphology_spread, (signal.shape[1],)).astype(np.float32)
    signal += _draw_noise(rng, samples, conditions.noise)
    return signal @ _TO_TWELVE.T.astype(np.float32)


def _draw_beats(rng: np.random.Generator, present: set[str], duration: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the times of the QRS complexes and the interval before each, both in seconds."""
    bounds = {"SB": (38, 59), "ST": (101, 150), "AF": (55, 150)}
    low, high = next((bounds[name] for name in bounds if name in present), (61, 99))
    mean = 60 / rng.uniform(low, high)
    count = int(duration / mean * 1.8) + 6
    if "AF" in present:
        intervals = mean * np.clip(rng.lognormal(0, rng.uniform(0.16, 0.28), count), 0.55, 1.9)
    else:
        breath = rng.uniform(0.2, 0.35)
        swing = rng.uniform(0.0, 0.04) * np.sin(2 * np.pi * breath * mean * np.arange(count) + rng.uniform(0, 6.28))
        intervals = mean * (1 + swing + rng.normal(0, 0.008, count))
    times = np.cumsum(intervals) - intervals[0] - rng.uniform(0, mean)
    seen = times < duration + 0.6
    return times[seen], intervals[seen]


def _draw_waves(
    rng: np.random.Generator, present: set[str], beats: np.ndarray, rr: np.ndarray, spread: float
) -> Iterator[tuple[float, float, np.ndarray]]:
    """Yields (centre, width, dipole) of every Gaussian of every beat."""
    conduction = next((name for name in ("RBBB", "LBBB") if name in present), "normal")
    mean_rr = float(np.mean(rr))
    qrs = rng.uniform(0.075, 0.112) if conduction == "normal" else rng.uniform(0.122, 0.165)
    pr = rng.uniform(0.205, 0.310) if "1dAVb" in present else rng.uniform(0.120, 0.196)
    pr = min(pr, max(0.58 * mean_rr, 0.205 if "1dAVb" in present else 0.110))
    qt = rng.normal(0.400, 0.018 * spread) * np.sqrt(mean_rr) + 0.6 * (qrs - 0.09)
    t_width = rng.uniform(0.035, 0.055) * min(1.0, 0.4 + 0.6 * mean_rr)
    body = _draw_rotation(rng, 0.28 * spread) * rng.lognormal(0, 0.22 * spread)
    t_turn = _draw_rotation(rng, 0.25 * spread) * rng.lognormal(-0.1, 0.3 * spread)
    p_turn = _draw_rotation(rng, 0.2 * spread) * rng.lognormal(0, 0.2 * spread)
    waves = [] if "AF" in present else [(0.055 - pr - qrs / 2 + t, w, p_turn @ np.array(v)) for t, w, v in _P_LOOP]
    for t, w, v in _QRS_LOOPS[conduction]:
        shape = np.array(v) + rng.normal(0, 0.05 * spread, 3)
        waves.append((t * qrs, w * qrs * rng.lognormal(0, 0.06 * spread), body @ shape))
    t_peak = qt - qrs / 2 - 2 * t_width
    t_dipole = body @ t_turn @ np.array(_T_DIPOLES[conduction])
    for beat in beats:
        breath = rng.normal(1, 0.03)
        for centre, width, vector in waves:
            yield beat + centre, width, vector * breath
        yield beat + t_peak, t_width, t_dipole * breath
        yield beat + t_peak - 1.6 * t_width, 1.5 * t_width, 0.35 * t_dipole * breath


def _draw_rotation(rng: np.random.Generator, spread: float) -> np.ndarray:
    """A rotation by a random angle about a random axis (Rodrigues' formula)."""
    axis = rng.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = rng.normal(0, spread)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _add_wave(dipole: np.ndarray, centre: float, width: float, vector: np.ndarray) -> None:
    """Adds one Gaussian in place, within four widths of its centre."""
    first = max(int((centre - 4 * width) * SAMPLING_RATE), 0)
    last = min(int((centre + 4 * width) * SAMPLING_RATE) + 2, len(dipole))
    if first < last:
        time = np.arange(first, last) / SAMPLING_RATE
        dipole[first:last] += np.exp(-0.5 * ((time - centre) / width) ** 2)[:, None] * vector


def _draw_fibrillation(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Fibrillatory waves: 4 to 8 Hz, wandering in frequency and size, strongest towards V1."""
    time = np.arange(samples) / SAMPLING_RATE
    frequency = rng.uniform(4.5, 7.5) + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * time + rng.uniform(0, 6.28))
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLING_RATE
    size = rng.uniform(0.02, 0.07) * (1 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.2, 0.8) * time))
    wave = size * (np.sin(phase) + 0.35 * np.sin(2 * phase + rng.uniform(0, 6.28)))
    direction = _draw_rotation(rng, 0.4) @ np.array([-0.2, 0.6, -0.9])
    return (wave[:, None] * direction).astype(np.float32)


def _draw_noise(rng: np.random.Generator, samples: int, scale: float) -> np.ndarray:
    """Muscle noise, baseline wander and mains hum of the eight independent leads."""
    time = np.arange(samples, dtype=np.float32)[:, None] / np.float32(SAMPLING_RATE)
    shape = (samples, len(_INDEPENDENT_LEADS))
    muscle = scipy.ndimage.uniform_filter1d(rng.standard_normal(shape, np.float32), 3, axis=0)
    noise = muscle * np.float32(scale * rng.lognormal(np.log(0.015), 0.5))
    for frequency in (rng.uniform(0.05, 0.2), rng.uniform(0.2, 0.5)):
        size = scale * rng.lognormal(np.log(0.05), 0.6) * rng.uniform(-1, 1, shape[1]).astype(np.float32)
        noise += size * np.sin(2 * np.pi * np.float32(frequency) * time + np.float32(rng.uniform(0, 6.28)))
    hum = scale * rng.lognormal(np.log(0.004), 0.8) * rng.uniform(0, 1, shape[1]).astype(np.float32)
    return noise + hum * np.sin(2 * np.pi * np.float32(rng.choice([50.0, 60.0])) * time)
