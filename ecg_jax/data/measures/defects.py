"""Defects of the leads of an ECG, each found by a cheap statistic of the samples.

Thresholds were set on 1,050 recordings of eight sources and by inspecting the strips; the absolute ones are in
millivolts. Arrays are `[leads, samples]`, all samples valid.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ecg_jax.data.measures import amplitude, lead_order, ranks
from ecg_jax.evaluation import heart_rate

CORNER_RATE = 125.0  # Hz at least, to which signals are averaged where detail does not matter
SLOPE = 0.032  # seconds over which a difference passes 5 to 20 Hz best
_THINNING = 5  # one sample in so many shows the noise
RATE_SECONDS = 60  # of which the heart rate is measured
FLAT = 0.01  # of the recording's amplitude: 10 microvolts, two steps of the coarsest converters in use
SMALLEST_OFF = 0.1  # of a recording's seconds
PLATEAU, LONG_PLATEAU = 0.02, 0.5  # seconds at the extreme value: with steep flanks, or of any kind
STEEP = 0.02  # of the lead's range, in one sample
SILENT_LIMB = 0.12  # of the largest of I, II and III; intact recordings have 0.18 or more
_POINTING_UP, INVERTED = ("I", "II", "V5", "V6"), -1.0  # skewness
OPPOSED = -0.88  # correlation with V6; a swap brings half of all recordings below, intact ones are not


def average(leads: np.ndarray, sampling_rate: float) -> tuple[np.ndarray, float]:
    """Averages neighbours down to no less than `CORNER_RATE`; returns the leads and their new rate."""
    factor = max(min(int(sampling_rate / CORNER_RATE), leads.shape[1]), 1)
    kept = leads.shape[1] // factor * factor
    parts = [leads[:, start:kept:factor] for start in range(factor)]
    return sum(parts[1:], parts[0]) / np.float32(factor), sampling_rate / factor


def measure_heart_rate(slow: np.ndarray, sampling_rate: float) -> float:
    """Beats per minute over the first minute, as `heart_rate.measure_heart_rate` with a difference for a filter."""
    step = round(SLOPE * sampling_rate)
    slow = slow[:, : round(RATE_SECONDS * sampling_rate)]
    if slow.shape[1] < sampling_rate or step < 1:
        return np.nan
    slope = slow[:, step:] - slow[:, :-step]
    slope -= slope.mean(axis=1, keepdims=True)
    return heart_rate.count_beats(np.einsum("kn,kn->n", slope, slope), sampling_rate)


def measure_noise(leads: np.ndarray, sampling_rate: float) -> np.ndarray:
    """Standard deviation of noise by lead, from second differences over 10 ms: a median, which QRS complexes escape."""
    step = max(round(0.01 * sampling_rate), 1)
    if leads.shape[1] <= 2 * step:
        return np.zeros(len(leads))
    if step % _THINNING:
        late, early, middle = leads[:, 2 * step :], leads[:, : -2 * step], leads[:, step:-step]
        bent = late[:, ::_THINNING] + early[:, ::_THINNING] - 2 * middle[:, ::_THINNING]
    else:  # the same in one pass over the signal
        thin, step = np.ascontiguousarray(leads[:, ::_THINNING]), step // _THINNING
        bent = thin[:, 2 * step :] + thin[:, : -2 * step] - 2 * thin[:, step:-step]
    return ranks.median(np.abs(bent)) / (0.6745 * np.sqrt(6))  # of white noise


def measure_wander(slow: np.ndarray, window: int) -> np.ndarray:
    """Range of the medians of successive windows by lead: the baseline's, as beats are short."""
    if slow.shape[1] < 2 * window:
        return np.zeros(len(slow))
    levels = ranks.median(amplitude.split(slow, window)[..., ::3])
    return levels.max(axis=1) - levels.min(axis=1)


def find_saturation(leads: np.ndarray, sampling_rate: float) -> bool:
    """Whether a lead is cut off: it has plateaus at its extreme value, with steep flanks or long.

    A rounded peak of a coarsely quantized signal is a plateau too, but is reached step by step.
    """
    shortest = max(round(PLATEAU * sampling_rate), 3)
    for extremes in (leads.min(axis=1), leads.max(axis=1)):
        extreme = leads == extremes[:, None]
        for k in [k for k, row in enumerate(extreme) if np.count_nonzero(row) >= shortest]:
            edges = np.flatnonzero(np.diff(extreme[k], prepend=False, append=False)).reshape(-1, 2)
            lead, size = leads[k], np.ptp(leads[k])
            for start, end in edges[edges[:, 1] - edges[:, 0] >= shortest]:
                flanks = np.abs(lead[[at for at in (start - 1, end) if 0 <= at < len(lead)]] - extremes[k])
                steep = flanks.min(initial=np.inf) > STEEP * size
                if size and (steep or end - start >= LONG_PLATEAU * sampling_rate):
                    return True
    return False


def find_off(ranges: np.ndarray, flat: float) -> bool:
    """Whether a lead is flat for a tenth of the seconds or more in which most others are not.

    `ranges` `[leads, seconds]` are those of leads that move at some time; flat is a range of at most `flat`.
    """
    if not len(ranges):
        return False
    others = ranks.median(ranges, 0)
    off = (ranges <= flat) & (others > 0.2 * ranks.median(others))  # not in a pause between beats
    return bool((off.mean(axis=1) >= SMALLEST_OFF).any())


def suspects_swap(products: np.ndarray, names: list[str]) -> bool:
    """Suspects swapped limb electrodes, by signs that hearts seldom give (dextrocardia does).

    Right and left arm: lead I is V6 upside down, and aVR is not. Right arm and left leg: so is lead II. Right leg and
    an arm, or both arms and legs: one of leads I, II and III is silent (Batchvarov et al. 2007, Europace 9:1081; Kors
    and van Herpen 2001, Am J Cardiol 88:396). Left arm and left leg do not show. See `lead_order.compute_products` for
    the arguments.
    """
    if not len(products):
        return False
    power = ranks.median(np.diagonal(products, axis1=1, axis2=2), 0)
    einthoven = [float(np.sqrt(power[names.index(name)])) for name in ("I", "II", "III") if name in names]
    if len(einthoven) == 3 and min(einthoven) < SILENT_LIMB * max(einthoven):
        return True

    def correlate(one: str, other: str) -> float:
        if one not in names or other not in names:
            return 0.0
        i, j = names.index(one), names.index(other)
        scale = np.sqrt(products[:, i, i] * products[:, j, j])
        return float(ranks.median(products[:, i, j] / np.maximum(scale, 1e-12)))

    if correlate("aVR", "V6") <= 0:
        return False
    return any(correlate(lead, "V6") < OPPOSED and correlate(lead, "V5") < OPPOSED / 2 for lead in ("I", "II"))


def measure_skewness(slow: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Third moment around the mean, relative to the size: its sign is that of the larger waves. See `average`.

    Returns:
        By lead, of those that `suspects_inversion` needs; empty for a recording too short to be averaged.
    """
    found = {}
    for name, lead in zip(names, slow, strict=True):
        if name in _POINTING_UP and lead.size:
            centred = lead - lead.mean()
            square = centred * centred
            found[name] = float(square @ centred) / len(lead) / max(float(square.mean()) ** 1.5, 1e-12)
    return found


def suspects_inversion(skewness: Mapping[str, float]) -> bool:
    """Whether leads I, II, V5 and V6 all clearly point down, so that the recording seems to be upside down.

    Hearts do that to one or two of them. Of 1,486 recordings of seven sources none is suspected (the next has -0.56),
    of the same upside down half. See `measure_skewness` for the argument.
    """
    return set(_POINTING_UP) <= set(skewness) and max(skewness[name] for name in _POINTING_UP) < INVERTED


def finds_reversal(products: np.ndarray, names: list[str], residual: float) -> bool:
    """Whether one lead is upside down or foreign. See `lead_order.compute_products` for the arguments.

    A limb lead: the other limb leads obey the identities without it, and not with it. A chest lead: it opposes both its
    neighbours, which resemble each other.
    """
    limb = [name for name in names if name in lead_order.LIMB_LEADS]
    if residual > lead_order.CONTRADICTED and len(limb) >= 5:
        without = min(lead_order.measure_residual(products, names, left_out=name) for name in limb)
        if without < lead_order.FITTING and without < residual / lead_order.MARGIN:
            return True
    chest = [f"V{k}" for k in range(1, 7)]
    if not len(products) or any(name not in names for name in chest):
        return False
    columns = [names.index(name) for name in chest]
    square = ranks.median(products[:, columns][:, :, columns], 0)
    scale = np.sqrt(np.diag(square))
    likeness = square / np.maximum(np.outer(scale, scale), 1e-12)
    return any(max(likeness[k, k - 1], likeness[k, k + 1]) < -0.7 and likeness[k - 1, k + 1] > 0.5 for k in range(1, 5))
