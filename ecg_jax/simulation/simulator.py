"""A recording from a key: patient, rhythm, conduction, beat, leads, noise; the signal and all that was drawn.

`simulate` is pure and made to be mapped over keys and compiled, as `simulate_many` does:

    ecgs = simulate_many(jax.random.split(jax.random.key(0), 64), Population())
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.simulation import (
    SAMPLING_RATE,
    acquisition,
    conduction,
    leads,
    measures,
    pathology,
    reader,
    rhythm,
    vectorcardiogram,
)
from ecg_jax.simulation.draws import Draws
from ecg_jax.simulation.vectorcardiogram import Bells
from ecg_jax.statements import SIX

SAMPLES = 4096
DURATIONS = (10.0, 10.0, 7.0)  # seconds, each as likely as the others
# How many numbers each module may draw.
_PARTS = {
    "patient": 32,
    "pathology": 96,
    "conduction": 16,
    "rhythm": 16 * rhythm.BEATS,
    "beat": 300,
    "leads": 64,
    "atrial waves": 64,
    "acquisition": 9 * 128 + 96,
    "reader": 160,
}
# In a healthy heart a narrow pattern of the right bundle branch is a variant of the normal.
_HEALTHY_CONDUCTIONS = [{"normal": 0.95, "incomplete_RBBB": 0.05}.get(name, 0.0) for name in conduction.CONDUCTIONS]
_SIX = np.array([reader.NAMES.index(code) for code in SIX.values()])  # columns of what is stated
_LAST = 9.9  # seconds: a premature P wave after it is not looked for
_LEAD_IN = 0.07  # seconds before its onset that a QRS complex is looked for


class Population(NamedTuple):
    """Who is recorded, how, and who reads it. Prevalences are weights: they need not sum to 1."""

    # Share of patients in whom anything may be wrong; all others have a healthy heart in sinus rhythm. Rhythms,
    # conductions, long PR intervals and pathologies are those of the former.
    ill: float = 0.47
    rhythms: tuple[float, ...] = (0.66, 0.16, 0.04, 0.03, 0.02, 0.04, 0.03, 0.02)  # in the order of `rhythm.RHYTHMS`
    rates: tuple[float, ...] = (0.60, 0.20, 0.20)  # of sinus rhythm: usual, slow, fast
    # In the order of `conduction.CONDUCTIONS`.
    conductions: tuple[float, ...] = (0.50, 0.08, 0.08, 0.10, 0.015, 0.085, 0.02, 0.07, 0.02, 0.03, 0.01)
    first_degree: float = 0.18  # share of patients with a long PR interval
    ventricular_ectopy: float = 0.12  # share of patients with ventricular premature beats
    atrial_ectopy: float = 0.10  # share of patients with atrial premature beats
    pathology: float = 1.0  # factor of the prevalences in `pathology.PATHOLOGIES`
    spread: float = 1.0  # how far patients differ in the shape of their beats
    noise: float = 1.0  # factor of all noise
    misplacement: float = 0.3  # centimetres, the standard deviation of a chest electrode's place
    swaps: float = 0.01  # share of recordings with two cables confused
    faults: float = 1.0  # factor of how often an electrode is off or loose, or an amplifier at its limit
    grey: float = 1.0  # factor of readers' disagreement; see `reader.read`


class Patient(NamedTuple):
    """Who is recorded."""

    age: jax.Array  # years
    is_male: jax.Array  # sex
    rhythm: jax.Array  # index into `RHYTHMS`
    conduction: jax.Array  # index into `CONDUCTIONS`
    rate: jax.Array  # beats per minute
    is_first_degree: jax.Array  # whether PR is long
    is_ill: jax.Array  # whether anything may be wrong


class Simulated(NamedTuple):
    """One recording."""

    signal: jax.Array  # `[T, 12]` float32 mV in the order of `recording.LEADS`; zero where it is not valid
    valid: jax.Array  # `[T]` bool
    label: jax.Array  # `[6]` float32, 0 or 1, of the six diagnoses, in the order of `labels.SIX`
    # What was drawn, by name: scalars `age`, `is_male`, `rhythm`, `conduction`, `rate` (of the ventricles, per minute,
    # within the recording), `pr`, `p`, `qrs`, `qt` (seconds), `axis` (degrees in the frontal plane), `is_swapped`;
    # `pathology` `[18]`, `variants` `[3]` bool; `stated` `[len(reader.NAMES)]` bool, what a reader states; `measures`,
    # of the usual beat (see `measures.Measures`); times in seconds from the first sample of the array, `NEVER` where
    # there is none: `p_onsets`, `p_offsets`, `qrs_onsets`, `qrs_offsets`, `t_ends`, each `[44]`; `is_ectopic` `[44]`.
    truth: dict[str, Any]


def draw_patient(draws: Draws, population: Population) -> Patient:
    """Draws who is recorded."""
    is_ill = draws.flip(population.ill)
    age = jnp.clip(jnp.where(is_ill, 65.0, 52.0) + draws.normal(0.0, 16.0), 16.0, 95.0)
    is_male = draws.flip(0.5)
    kind = jnp.where(is_ill, draws.choose(population.rhythms), rhythm.SINUS)
    sinus = jnp.stack([draws.normal(71.0, 11.0), draws.normal(52.0, 6.0), 98.0 + draws.lognormal(15.0, 0.6)])[
        draws.choose(population.rates)
    ]
    rates = jnp.stack(
        [
            jnp.clip(sinus, 34.0, 175.0),
            draws.lognormal(88.0, 0.28),  # fibrillation
            draws.lognormal(98.0, 0.28),  # flutter
            draws.uniform(135.0, 210.0),
            draws.lognormal(54.0, 0.25),  # junctional
            draws.normal(70.0, 9.0),  # paced
            draws.normal(82.0, 12.0),  # of the atria, in second-degree block
            draws.uniform(26.0, 55.0),
        ]
    )
    return Patient(
        age=age,
        is_male=is_male,
        rhythm=kind,
        conduction=jnp.where(is_ill, draws.choose(population.conductions), draws.choose(_HEALTHY_CONDUCTIONS)),
        rate=jnp.clip(rates[kind], 26.0, 215.0),
        is_first_degree=draws.flip(population.first_degree) & is_ill,
        is_ill=is_ill,
    )


@jax.default_matmul_precision("highest")  # an accelerator's default is some microvolts off
def simulate(
    key: jax.Array,
    population: Population,
    *,
    samples: int = SAMPLES,
    sampling_rate: float = SAMPLING_RATE,
    durations: tuple[float, ...] = DURATIONS,
) -> Simulated:
    """Draws one recording.

    Args:
        key: Of the recording.
        population: Whom it is drawn from.
        samples: Of the array; at most 10.24 s.
        sampling_rate: Hz.
        durations: Seconds, one of which it lasts, in the middle of the array; cut off where the array is shorter.

    Returns:
        See `Simulated`.
    """
    parts = Draws.create(key, sum(_PARTS.values()))
    draws, disease_draws, interval_draws, rhythm_draws, beat_draws, chest, wave_draws, device, reading = (
        parts.part(size) for size in _PARTS.values()
    )
    patient = draw_patient(draws, population)
    mean_interval = 60 / patient.rate
    is_strained = patient.is_ill & ((patient.rhythm != rhythm.SINUS) | (patient.conduction != conduction.NORMAL))
    disease = pathology.draw_pathology(
        disease_draws,
        population.pathology * patient.is_ill,
        patient.is_ill & (population.pathology > 0),
        is_strained,
        patient.age,
        patient.is_male,
        mean_interval,
    )
    is_paced = patient.rhythm == rhythm.PACED
    intervals = conduction.draw_intervals(
        interval_draws,
        patient.conduction,
        patient.is_first_degree,
        is_paced,
        mean_interval,
        patient.age,
        patient.is_male,
        disease.qt_shift,
    )
    ectopy = rhythm.Ectopy(
        ventricular=rhythm_draws.flip(population.ventricular_ectopy)
        * jnp.minimum(rhythm_draws.lognormal(0.15, 0.9), 0.9),
        atrial=rhythm_draws.flip(population.atrial_ectopy) * jnp.minimum(rhythm_draws.lognormal(0.15, 0.9), 0.9),
        run=rhythm_draws.uniform(0.0, 0.15),
        pause=rhythm_draws.flip(0.02) * 0.1,
    )
    beats = rhythm.draw_rhythm(rhythm_draws, patient.rhythm, patient.rate, intervals.pr, ectopy, patient.age)
    beat = vectorcardiogram.draw_beat(
        beat_draws,
        patient.conduction,
        is_paced,
        patient.rhythm == rhythm.JUNCTIONAL,
        intervals,
        disease.changes,
        mean_interval,
        patient.age,
        patient.is_male,
        population.spread,
    )

    count = jnp.minimum(jnp.round(jnp.array(durations) * sampling_rate)[draws.choose([1.0] * len(durations))], samples)
    first = (samples - count) // 2
    number = jnp.arange(samples)
    valid = (number >= first) & (number < first + count)
    time = (number - first) / sampling_rate

    places, limbs = leads.draw_places(chest, population.misplacement)
    adapted = (beats.interval / beats.mean_interval) ** 0.12  # of T to the interval before
    seen = _see_beats(rhythm_draws, beat, beats, adapted, time, places, limbs, is_paced, chest)
    waves = rhythm.draw_atrial_waves(wave_draws, patient.rhythm, time, beats.flutter_cycle)
    atria = jnp.tile(jnp.array([-0.5, -3.0, 0.5]), (3, 1))
    seen = seen + waves @ leads.project(jnp.eye(3), atria, places, limbs)

    is_swapped, hangs = leads.draw_swap(chest, population.swaps)
    seen = seen @ hangs.T
    seen = seen + acquisition.draw_noise(device, samples, sampling_rate, population.noise, population.faults)
    seen = acquisition.filter_as_device(device, seen, sampling_rate)
    signal = acquisition.digitize(device, seen @ leads.TO_TWELVE, population.faults)

    here = (beats.ventricular > 0) & (beats.ventricular < count / sampling_rate)
    rate = _measure_rate(beats.ventricular, here, patient.rate)
    beat_measures = measures.measure(beat.qrs, beat.t, beat.p, intervals.qrs, beat.t_peak, intervals.p, places, limbs)
    stated = reader.read(
        reading, _look(patient, intervals, beats, here, mean_interval, rate, disease), beat_measures, population.grey
    )
    offset = first / sampling_rate
    width = jnp.where(beats.is_ectopic, intervals.qrs_ectopic, intervals.qrs)
    t_end = jnp.where(
        beats.is_ectopic, beat.t_peak_ectopic + 2.6 * beat.t.fall[0], intervals.qt + (adapted - 1) * beat.t_peak
    )

    def place(times: jax.Array) -> jax.Array:
        return jnp.where(times < 0.5 * rhythm.NEVER, times + offset, rhythm.NEVER)

    truth: dict[str, Any] = {
        "age": patient.age,
        "is_male": patient.is_male,
        "rhythm": patient.rhythm,
        "conduction": patient.conduction,
        "rate": rate,
        "pr": intervals.pr,
        "p": intervals.p,
        "qrs": intervals.qrs,
        "qt": intervals.qt,
        "axis": beat_measures.axis,
        "pathology": disease.present,
        "variants": disease.variants,
        "is_swapped": is_swapped,
        "p_onsets": place(beats.atrial),
        "p_offsets": place(beats.atrial + intervals.p),
        "qrs_onsets": place(beats.ventricular),
        "qrs_offsets": place(beats.ventricular + width),
        "t_ends": place(beats.ventricular + t_end),
        "is_ectopic": beats.is_ectopic,
        "stated": stated,
        "measures": beat_measures,
    }
    return Simulated(jnp.where(valid[:, None], signal, 0.0), valid, stated[_SIX].astype(jnp.float32), truth)


def _see_beats(
    draws: Draws,
    beat: vectorcardiogram.Beat,
    beats: rhythm.Rhythm,
    adapted: jax.Array,
    time: jax.Array,
    places: jax.Array,
    limbs: jax.Array,
    is_paced: jax.Array,
    chest: Draws,
) -> jax.Array:
    """What electrodes see of all beats, `[T, 9]` mV.

    Each sample belongs to the ventricular beat that began last, or is just beginning; that one's QRS and T, the T of
    the one before, and the P wave that began last are all that is not over.
    """
    breathing, phase = beats.breath
    turns = 2 * jnp.pi * breathing * beats.ventricular[:, None] + phase + draws.uniform(0.0, 2 * jnp.pi, 3)
    swing = draws.uniform(0.0, 0.10) * jnp.sin(turns)
    gain = 1 + swing + draws.normal(0.0, 0.012, 3 * rhythm.BEATS).reshape(rhythm.BEATS, 3)  # early QRS, late QRS, T
    current = jnp.maximum(jnp.sum(beats.ventricular <= time[:, None] + _LEAD_IN, axis=1) - 1, 0)
    previous = jnp.maximum(current - 1, 0)
    table = jnp.concatenate(
        [
            beats.ventricular[:, None],
            beats.is_ectopic[:, None].astype(jnp.float32),
            gain,
            jnp.where(beats.is_ectopic, beat.t_peak_ectopic, beat.t_peak * adapted)[:, None],
            (~beats.is_ectopic & is_paced)[:, None].astype(jnp.float32),
        ],
        axis=1,
    )
    now, before = table[current], table[previous]
    half = vectorcardiogram.QRS_BELLS // 2
    since = time - now[:, 0]
    ectopic = now[:, 1:2]
    gain_qrs = jnp.repeat(now[:, 2:4], half, axis=1)
    columns = [
        vectorcardiogram.ring(beat.qrs, since) * gain_qrs * (1 - ectopic),
        vectorcardiogram.ring(beat.qrs_ectopic, since) * ectopic,
    ]
    for bells, is_other in ((beat.t, False), (beat.t_ectopic, True)):
        total = jnp.zeros(())
        for row, is_same in ((now, False), (before, True)):
            share = row[:, 1:2] if is_other else 1 - row[:, 1:2]
            share = share * (previous != current)[:, None] if is_same else share
            total = total + vectorcardiogram.ring(bells, time - row[:, 0] - row[:, 5]) * row[:, 4:5] * share
        columns.append(total)
    last = jnp.maximum(jnp.sum(beats.atrial <= time[:, None] + 0.03, axis=1) - 1, 0)
    since_p = time - beats.atrial[last]
    premature = beats.is_premature[last][:, None]
    columns.append(vectorcardiogram.ring(beat.p, since_p) * ~premature)
    columns.append(vectorcardiogram.ring(beat.p_premature, since_p) * premature)
    columns.append((jnp.abs(since + 0.008) < 0.0013)[:, None] * now[:, 6:7])  # a pacemaker's spike
    spike = Bells(
        jnp.zeros(1),
        jnp.ones(1),
        jnp.ones(1),
        (chest.lognormal(0.5, 1.0) * chest.normal(count=3))[None],
        jnp.zeros((1, 3)),
        jnp.zeros((1, 6)),
    )
    sources = (beat.qrs, beat.qrs_ectopic, beat.t, beat.t_ectopic, beat.p, beat.p_premature, spike)
    seen = jnp.concatenate([vectorcardiogram.see(source, places, limbs) for source in sources])
    return jnp.concatenate(columns, axis=1) @ seen


def _measure_rate(onsets: jax.Array, here: jax.Array, drawn: jax.Array) -> jax.Array:
    """Beats per minute between the first and the last complex in the recording."""
    first = jnp.min(jnp.where(here, onsets, jnp.inf))
    last = jnp.max(jnp.where(here, onsets, -jnp.inf))
    intervals = jnp.sum(here) - 1
    return jnp.where(intervals > 0, 60 * intervals / jnp.maximum(last - first, 1e-3), drawn)


def _look(
    patient: Patient,
    intervals: conduction.Intervals,
    beats: rhythm.Rhythm,
    here: jax.Array,
    mean_interval: jax.Array,
    rate: jax.Array,
    disease: pathology.Pathology,
) -> reader.Seen:
    """What of the recording is read, besides a beat; `here` are the beats that are in it."""
    early = jnp.stack([beats.is_ectopic & here, beats.is_premature & (beats.atrial > 0) & (beats.atrial < _LAST)])
    is_usual = here & ~beats.is_ectopic & ~jnp.roll(beats.is_ectopic, 1) & ~jnp.any(early[1])
    longest = jnp.max(jnp.where(is_usual, beats.interval, -jnp.inf))
    shortest = jnp.min(jnp.where(is_usual, beats.interval, jnp.inf))
    return reader.Seen(
        rhythm=patient.rhythm,
        conduction=patient.conduction,
        rate=rate,
        irregularity=jnp.where(jnp.sum(is_usual) > 1, longest - shortest, 0.0),
        premature=jnp.sum(early, axis=1) / jnp.maximum(jnp.sum(here), 1),
        intervals=intervals,
        mean_interval=mean_interval,
        is_male=patient.is_male,
        pathology=disease.present,
    )


@functools.partial(jax.jit, static_argnames="durations")
def simulate_many(keys: jax.Array, population: Population, durations: tuple[float, ...] = DURATIONS) -> Simulated:
    """`simulate` of a batch of keys, compiled."""
    return jax.vmap(functools.partial(simulate, durations=durations), in_axes=(0, None))(keys, population)


@jax.jit
def describe_many(keys: jax.Array, population: Population) -> tuple[jax.Array, dict[str, Any]]:
    """Labels and truth of what `simulate_many` draws; the compiler leaves out the signals, nearly all of the work."""
    drawn = simulate_many(keys, population)
    return drawn.label, drawn.truth


def find_keys(
    key: jax.Array,
    wanted: Callable[[np.ndarray, dict[str, np.ndarray]], np.ndarray],
    count: int,
    population: Population,
) -> jax.Array:
    """Searches recordings with what is wanted of them, as common among these as they are in the population.

    Args:
        key: Where the search begins.
        wanted: Of labels `[n, 6]` and truth, each `[n, ...]`: `[n]` bool.
        count: Recordings to find.
        population: Where they are drawn from.

    Returns:
        `[count]` keys.

    Raises:
        InputError: when of 20,000 recordings too few are as wanted.
    """
    found: list[np.ndarray] = []
    for block in range(20):
        keys = jax.random.split(jax.random.fold_in(key, block), 1000)
        label, truth = jax.device_get(describe_many(keys, population))
        found.extend(np.asarray(jax.random.key_data(keys))[wanted(label, truth)])
        if len(found) >= count:
            return jax.random.wrap_key_data(jnp.stack(found[:count]))
    raise InputError(f"of 20,000 simulated recordings {len(found)} are as wanted, not {count}")
