"""Augmentations on the device, one key per example, inside the train step.

Everything is off by default. The order is:

1. Time: `crop`, `resample`, `shift`. They move the mask of valid samples, too, and come first because interpolation
   would smooth noise and detune the powerline.
2. Amplitude: `scale`, so that noise keeps its unit.
3. Additions: `wander`, `powerline`, `coloured_noise`, `noise`. Leads draw theirs independently, so the limb leads no
   longer obey Einthoven's law exactly.
4. Erasures: `time_mask`, `lead_dropout`, `lead_sets`. They come late, because a missing lead or stretch is exactly zero
   in a recording. `amplitude_loss` keeps these zeros.
5. Mixup, which concerns several examples: see `create_mixup`.

Between the steps only valid samples have a meaning; in the result the others are exactly zero, and so is a lead that
was zero throughout, because it was not recorded. Each augmentation has its own key: turning one on changes no other's
draws.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from ecg_jax.config import check_values
from ecg_jax.contract import ZScore
from ecg_jax.data.preprocess import normalize
from ecg_jax.errors import InputError
from ecg_jax.recording import LIMB_LEADS

AugmentFn = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
MixupFn = Callable[
    [jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]
]
Example = tuple[jax.Array, jax.Array]  # signal, valid
Step = Callable[[jax.Array, jax.Array, jax.Array, float], Example]

# The reduced lead sets of the PhysioNet/CinC Challenge 2021 (Reyna et al., doi:10.23919/CinC53138.2021.9662687).
LEAD_SETS = (tuple(LIMB_LEADS), ("I", "II", "III", "V2"), ("I", "II", "V2"), ("I", "II"))
WANDER_BAND = (0.05, 0.5)  # Hz: below the heart's own lowest frequencies
POWERLINE = (50.0, 60.0)  # Hz


def create(
    *,
    leads: tuple[str, ...],
    sampling_rate: float,
    noise: float = 0.0,
    coloured_noise: float = 0.0,
    wander: float = 0.0,
    powerline: float = 0.0,
    scale: float = 0.0,
    shift: float = 0.0,
    crop: float = 0.0,
    time_mask: float = 0.0,
    resample: float = 0.0,
    lead_dropout: float = 0.0,
    lead_sets: float = 0.0,
    amplitude_loss: float = 0.0,
    usual_deviations: tuple[float, ...] = (),
) -> AugmentFn:
    """Builds the augmentation of one example.

    Amplitudes are in the unit of the input contract (with its default of 2 units per mV, 0.1 is 0.05 mV). Each example
    draws its own strength, uniformly up to the setting; `config.KEYS` states the ranges. Baseline wander and powerline
    interference are among the kinds of noise of Friesen et al. 1990 (IEEE Trans. Biomed. Eng. 37(1), 85-98).

    Args:
        leads: The contract's leads, in the order of the signal's columns.
        sampling_rate: The contract's, Hz.
        noise: Amplitude: largest standard deviation of white Gaussian noise.
        coloured_noise: Amplitude: largest standard deviation, over the window and in every lead, of noise whose power
            falls with frequency as 1 / f^beta. Each example draws beta in [1, 2], pink to brown. White Gaussian noise
            is shaped in the frequency domain (Timmer and König 1995, Astron. Astrophys. 300, 707), without its mean.
        wander: Largest amplitude of baseline wander: in every lead two sinusoids of `WANDER_BAND`, each of at most half
            this, of frequencies that all leads share.
        powerline: Largest amplitude of powerline interference: one sinusoid of 50 or 60 Hz, as the example draws, with
            another phase and amplitude in every lead.
        scale: Fraction: amplitudes are multiplied by a factor within 1 +- this, the same for all leads.
        shift: Fraction of the window: largest shift in time; zeros replace what leaves the window.
        crop: Largest fraction of the recording (from its first valid sample to its last) that is lost. A stretch that
            starts anywhere in it remains, centred in the window with zeros on both sides, where the input contract
            puts a shorter recording.
        time_mask: Fraction of the recording, as in `crop`: the longest stretch, anywhere in it, that is set to zero in
            all leads (Park et al. 2019, arXiv:1904.08779).
        resample: Fraction: time runs faster or slower by a factor within 1 +- this around the window's middle, by
            Catmull-Rom interpolation (Keys 1981, IEEE Trans. Acoust. Speech Signal Process. 29(6), 1153-1160). **The
            heart rate is multiplied by that factor**, and intervals and the QRS duration are divided by it: labels
            defined by a rate or a duration (SB, ST, 1dAVb, RBBB, LBBB) may become wrong for examples near their limits.
            Keep it small (0.05) or 0 where such labels are learned.
        lead_dropout: Probability that a lead is set to zero.
        lead_sets: Probability that an example keeps only the leads of one of `LEAD_SETS`, each equally
            likely; the rest is set to zero.
        amplitude_loss: Probability that every lead is given its usual deviation, as the input contract does
            where a recording's amplitude is lost.
        usual_deviations: The contract's, in its unit; needed for `amplitude_loss`.

    Returns:
        `(rng, signal [T, L], valid [T] bool) -> signal [T, L]`, of the signal's dtype, float32 or float64. Invalid
        samples are zero wherever they are moved, and leads that were not recorded stay zero.

    Raises:
        InputError: on a value outside its range, a sampling rate too low for powerline interference, or leads of which
            one of `LEAD_SETS` has none.
    """
    kept = jnp.array([[lead in lead_set for lead in leads] for lead_set in LEAD_SETS])
    steps: dict[str, tuple[float, Step]] = {
        "crop": (crop, _crop),
        "resample": (resample, _resample),
        "shift": (shift, _shift),
        "scale": (scale, _scale),
        "wander": (wander, functools.partial(_add_wander, sampling_rate=sampling_rate)),
        "powerline": (powerline, functools.partial(_add_powerline, sampling_rate=sampling_rate)),
        "coloured_noise": (coloured_noise, _add_coloured_noise),
        "noise": (noise, _add_noise),
        "time_mask": (time_mask, _mask_time),
        "lead_dropout": (lead_dropout, _drop_leads),
        "lead_sets": (lead_sets, functools.partial(_keep_lead_set, kept=kept)),
        "amplitude_loss": (amplitude_loss, functools.partial(_lose_amplitude, usual=usual_deviations)),
    }
    _check({name: setting for name, (setting, _) in steps.items()}, leads, sampling_rate)
    if amplitude_loss and len(usual_deviations) != len(leads):
        raise InputError(f"augment.amplitude_loss is {amplitude_loss}; it needs contract.usual_deviations")

    def augment(rng: jax.Array, signal: jax.Array, valid: jax.Array) -> jax.Array:
        is_recorded = jnp.any((signal != 0) & valid[:, None], axis=0)
        for place, (setting, step) in enumerate(steps.values()):
            if setting:
                signal, valid = step(jax.random.fold_in(rng, place), signal, valid, setting)
        return jnp.where(valid[:, None] & is_recorded, signal, 0)

    return augment


def create_mixup(alpha: float) -> MixupFn | None:
    """Builds mixup, the convex combination of two examples (Zhang et al. 2018, arXiv:1710.09412).

    Each place of the global batch is mixed with another place, which it draws from its own key, so that a batch whose
    order follows the classes is mixed as well as any other. The share is drawn from Beta(alpha, alpha) and folded to
    max(share, 1 - share): an example stays the larger part of its place. All this depends on the global batch alone,
    not on which device or process holds which rows. Where the two recordings differ in their valid samples, the result
    is that of either.

    Args:
        alpha: 0 for no mixup. The paper uses 0.1 to 0.4; 1 draws shares uniformly.

    Returns:
        None if `alpha` is 0, else `(keys [B], signal [B, T, L], label [B, C], index [B], pool_signal [N, T, L],
        pool_label [N, C], pool_index [N]) -> (signal, label)`. `index` is the place of each example in the global
        batch; the pool is the whole global batch, in any order, with the place of each row in `pool_index` (0 to N - 1,
        each once). Labels become soft; where either one is unknown (NaN), so is the result, unless the share is 1.

    Raises:
        InputError: on a negative or infinite alpha.
    """
    check_values("augment", mixup=alpha)
    if not alpha:
        return None

    def mixup(
        keys: jax.Array,
        signal: jax.Array,
        label: jax.Array,
        index: jax.Array,
        pool_signal: jax.Array,
        pool_label: jax.Array,
        pool_index: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        places = len(pool_index)

        def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            distance_key, share_key = jax.random.split(key)
            distance = jax.random.randint(distance_key, (), 1, max(places, 2))
            share = jax.random.beta(share_key, alpha, alpha, dtype=signal.dtype)
            return distance, jnp.maximum(share, 1 - share)

        distance, share = jax.vmap(draw)(keys)
        row = jnp.argsort(pool_index)[(index + distance) % places]
        mixed = _combine(share[:, None, None], signal, pool_signal[row])
        share = share[:, None].astype(label.dtype)
        return mixed, jnp.where(share < 1, _combine(share, label, pool_label[row]), label)

    return mixup


def _combine(share: jax.Array, one: jax.Array, other: jax.Array) -> jax.Array:
    return share * one + (1 - share) * other


def _check(settings: Mapping[str, float], leads: tuple[str, ...], sampling_rate: float) -> None:
    check_values("augment", **settings)
    if settings["powerline"] and sampling_rate <= 2 * max(POWERLINE):
        raise InputError(
            f"augment.powerline is {settings['powerline']}; it must be 0 at {sampling_rate:g} Hz, "
            f"a sampling rate that cannot hold {max(POWERLINE):g} Hz"
        )
    for lead_set in LEAD_SETS:
        if settings["lead_sets"] and not set(lead_set) & set(leads):
            raise InputError(
                f"augment.lead_sets is {settings['lead_sets']}; it must be 0 with the leads "
                f"{', '.join(leads)}, which hold none of {', '.join(lead_set)}"
            )


def _read(signal: jax.Array, valid: jax.Array, places: jax.Array) -> Example:
    """The samples at some places in time; outside the window none is valid."""
    inside = (places >= 0) & (places < len(valid))
    places = jnp.clip(places, 0, len(valid) - 1)
    return signal[places], valid[places] & inside


def _draw_stretch(rng: jax.Array, valid: jax.Array, share: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draws where a stretch of this share of the recording begins; returns that and its length."""
    first = jnp.argmax(valid)
    span = len(valid) - jnp.argmax(valid[::-1]) - first
    length = jnp.round(share * span).astype(span.dtype)
    return first + jax.random.randint(rng, (), 0, span - length + 1), length


def _crop(rng: jax.Array, signal: jax.Array, valid: jax.Array, most: float) -> Example:
    share_key, start_key = jax.random.split(rng)
    lost = jax.random.uniform(share_key, (), signal.dtype, 0, most)
    start, length = _draw_stretch(start_key, valid, 1 - lost)
    time = jnp.arange(len(valid))
    valid = valid & (time >= start) & (time < start + length)
    return _read(signal, valid, time + start - (len(valid) - length) // 2)


def _resample(rng: jax.Array, signal: jax.Array, valid: jax.Array, most: float) -> Example:
    faster = jax.random.uniform(rng, (), signal.dtype, -most, most)
    time = jnp.arange(len(valid))
    ahead = (time - (len(valid) - 1) / 2).astype(signal.dtype) * faster
    whole = jnp.floor(ahead)
    x = (ahead - whole)[:, None]
    place = time + whole.astype(time.dtype)
    (before, has_before), (left, has_left), (right, has_right), (after, has_after) = (
        _read(signal, valid, place + tap) for tap in (-1, 0, 1, 2)
    )
    # Next to a gap or the recording's end, the curve goes on as a straight line.
    right = jnp.where(has_right[:, None], right, left)
    before = jnp.where(has_before[:, None], before, 2 * left - right)
    after = jnp.where(has_after[:, None], after, 2 * right - left)
    square = 2 * before - 5 * left + 4 * right - after
    cube = 3 * (left - right) + after - before
    signal = left + x / 2 * (right - before + x * (square + x * cube))
    return signal, has_left & (has_right | (x[:, 0] == 0))


def _shift(rng: jax.Array, signal: jax.Array, valid: jax.Array, most: float) -> Example:
    farthest = round(most * len(valid))
    offset = jax.random.randint(rng, (), -farthest, farthest + 1)
    return _read(signal, valid, jnp.arange(len(valid)) - offset)


def _scale(rng: jax.Array, signal: jax.Array, valid: jax.Array, most: float) -> Example:
    return signal * jax.random.uniform(rng, (), signal.dtype, 1 - most, 1 + most), valid


def _lose_amplitude(
    rng: jax.Array, signal: jax.Array, valid: jax.Array, probability: float, *, usual: tuple[float, ...]
) -> Example:
    recorded = valid[:, None] & (signal != 0)  # what was erased stays so, and is not measured
    lost = normalize(ZScore(), signal, recorded, jnp) * jnp.array(usual, signal.dtype)
    return jnp.where(jax.random.uniform(rng, (), signal.dtype) < probability, lost, signal), valid


def _draw_sinusoids(rng: jax.Array, signal: jax.Array, cycles_per_sample: jax.Array, most: float) -> jax.Array:
    """One sinusoid per lead, of one frequency, with random phases and amplitudes in [0, most]."""
    size_key, phase_key = jax.random.split(rng)
    samples, leads = signal.shape
    size = jax.random.uniform(size_key, (leads,), signal.dtype, 0, most)
    phase = jax.random.uniform(phase_key, (leads,), signal.dtype)
    cycles = jnp.arange(samples, dtype=signal.dtype)[:, None] * cycles_per_sample + phase
    return size * jnp.sin(2 * jnp.pi * cycles)


def _add_wander(rng: jax.Array, signal: jax.Array, valid: jax.Array, most: float, *, sampling_rate: float) -> Example:
    for key in jax.random.split(rng):
        frequency_key, sinusoid_key = jax.random.split(key)
        frequency = jax.random.uniform(frequency_key, (), signal.dtype, *WANDER_BAND)
        signal = signal + _draw_sinusoids(sinusoid_key, signal, frequency / sampling_rate, most / 2)
    return signal, valid


def _add_powerline(
    rng: jax.Array, signal: jax.Array, valid: jax.Array, most: float, *, sampling_rate: float
) -> Example:
    frequency_key, sinusoid_key = jax.random.split(rng)
    frequency = jax.random.choice(frequency_key, jnp.array(POWERLINE, signal.dtype))
    return signal + _draw_sinusoids(sinusoid_key, signal, frequency / sampling_rate, most), valid


def _add_coloured_noise(rng: jax.Array, signal: jax.Array, valid: jax.Array, most: float) -> Example:
    size_key, beta_key, white_key = jax.random.split(rng, 3)
    size = jax.random.uniform(size_key, (), signal.dtype, 0, most)
    beta = jax.random.uniform(beta_key, (), signal.dtype, 1, 2)
    spectrum = jnp.fft.rfft(jax.random.normal(white_key, signal.shape, signal.dtype), axis=0)
    frequency = jnp.arange(len(spectrum), dtype=signal.dtype)[:, None]
    gain = jnp.where(frequency > 0, jnp.maximum(frequency, 1) ** (-beta / 2), 0)  # power is amplitude squared
    noise = jnp.fft.irfft(spectrum * gain, len(signal), axis=0)
    return signal + size * noise / jnp.std(noise, axis=0), valid


def _add_noise(rng: jax.Array, signal: jax.Array, valid: jax.Array, most: float) -> Example:
    size_key, noise_key = jax.random.split(rng)
    size = jax.random.uniform(size_key, (), signal.dtype, 0, most)
    return signal + size * jax.random.normal(noise_key, signal.shape, signal.dtype), valid


def _mask_time(rng: jax.Array, signal: jax.Array, valid: jax.Array, most: float) -> Example:
    share_key, start_key = jax.random.split(rng)
    start, length = _draw_stretch(start_key, valid, jax.random.uniform(share_key, (), signal.dtype, 0, most))
    time = jnp.arange(len(valid))[:, None]
    return jnp.where((time >= start) & (time < start + length), 0, signal), valid


def _drop_leads(rng: jax.Array, signal: jax.Array, valid: jax.Array, probability: float) -> Example:
    is_dropped = jax.random.bernoulli(rng, probability, signal.shape[1:])
    return jnp.where(is_dropped, 0, signal), valid


def _keep_lead_set(
    rng: jax.Array, signal: jax.Array, valid: jax.Array, probability: float, *, kept: jax.Array
) -> Example:
    reduce_key, choice_key = jax.random.split(rng)
    is_reduced = jax.random.bernoulli(reduce_key, probability)
    return jnp.where(is_reduced & ~jax.random.choice(choice_key, kept), 0, signal), valid
