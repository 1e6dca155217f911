"""A recording from a key: the signal, and everything that was drawn.

`simulate` is pure, to be mapped over keys and compiled as in `simulate_many`:

    ecgs = simulate_many(jax.random.split(jax.random.key(0), 64), Population())
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.simulation import (
    SAMPLING_RATE,
    acquisition,
    boundaries,
    conduction,
    criteria,
    leads,
    measures,
    pathology,
    rhythm,
    vectorcardiogram,
)
from ecg_jax.simulation.draws import Draws
from ecg_jax.simulation.interventions import NOTHING, Interventions, set_amplitudes
from ecg_jax.simulation.patients import Patient, Population, draw_patient
from ecg_jax.simulation.vectorcardiogram import Bells, ring
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
_SIX = np.array([criteria.NAMES.index(code) for code in SIX.values()])  # columns of what is stated
_LAST = 9.9  # seconds, the latest premature P wave that counts
_LEAD_IN = 0.07  # seconds before its onset from which samples belong to a QRS complex


class Simulated(NamedTuple):
    """One recording."""

    signal: jax.Array  # `[T, 12]` float32 mV in the order of `recording.LEADS`; zero where it is not valid
    valid: jax.Array  # `[T]` bool
    label: jax.Array  # `[6]` float32, 0 or 1, of the six diagnoses, in the order of `labels.SIX`
    # What was drawn, by name: scalars `age`, `is_male`, `rhythm`, `conduction`, `rate` (of the ventricles, per minute,
    # within the recording), `pr`, `p`, `qrs`, `qt` (seconds), `axis` (degrees in the frontal plane), `is_swapped`;
    # `pathology` `[18]`, `variants` `[3]` bool; `stated` `[len(criteria.NAMES)]` bool, what a reader states;
    # `measures`, of the usual beat (see `measures.Measures`); times in seconds from the first sample of the array,
    # `NEVER` where there is none: `p_onsets`, `p_offsets`, `qrs_onsets`, `qrs_offsets`, `t_ends`, each `[44]`;
    # `is_ectopic` `[44]`.
    truth: dict[str, Any]


@jax.default_matmul_precision("highest")  # an accelerator's default is some microvolts off
def simulate(
    key: jax.Array,
    population: Population,
    interventions: Interventions = NOTHING,
    *,
    samples: int = SAMPLES,
    sampling_rate: float = SAMPLING_RATE,
    durations: tuple[float, ...] = DURATIONS,
) -> Simulated:
    """Draws one recording.

    Args:
        key: Of the recording.
        population: The patient's.
        interventions: What is set instead of drawn, in the recording and in its truth.
        samples: Of the array; at most 10.24 s.
        sampling_rate: Hz.
        durations: Seconds, one of which is drawn; the recording is in the middle of the array, and cut off where the
            array is shorter.
    """
    parts = _draw_parts(key)
    draws, wave_draws, device, reading = (parts[name] for name in ("patient", "atrial waves", "acquisition", "reader"))
    drawn = _draw_heart(parts, population, interventions)
    patient, disease, intervals, beats, beat, adapted, places, limbs, spike, is_swapped, hangs = drawn

    count = jnp.minimum(jnp.round(jnp.array(durations) * sampling_rate)[draws.choose([1.0] * len(durations))], samples)
    first = (samples - count) // 2
    number = jnp.arange(samples)
    valid = (number >= first) & (number < first + count)
    time = (number - first) / sampling_rate

    waveforms = _draw_waveforms(parts["rhythm"], beat, beats, adapted, time, patient.is_paced)
    seen = waveforms @ _see_sources(spike, beat, places, limbs)
    waves = rhythm.draw_atrial_waves(wave_draws, patient.rhythm, time, beats.flutter_cycle)
    atria = jnp.tile(jnp.array([-0.5, -3.0, 0.5]), (3, 1))
    seen = seen + waves @ leads.project(jnp.eye(3), atria, places, limbs)

    seen = seen @ hangs.T
    seen = seen + acquisition.draw_noise(device, samples, sampling_rate, population.noise, population.faults)
    seen = acquisition.filter_as_device(device, seen, sampling_rate)
    signal = acquisition.digitize(device, seen @ leads.TO_TWELVE, population.faults)

    here = (beats.ventricular > 0) & (beats.ventricular < count / sampling_rate)
    rate = _measure_rate(beats.ventricular, here, patient.rate)
    beat_measures = measures.measure(beat, intervals, places, limbs)
    shown = _look(patient, intervals, beats, here, rate, disease.present)
    stated = criteria.read(reading, shown, beat_measures, population.grey)
    offset = first / sampling_rate
    width = jnp.where(beats.is_ectopic, intervals.qrs_ectopic, intervals.qrs)
    t_end = jnp.where(
        beats.is_ectopic, beat.t_peak_ectopic + 2.6 * beat.t.fall[0], intervals.qt + (adapted - 1) * beat.t_peak
    )

    def place(times: jax.Array) -> jax.Array:
        return jnp.where(times < 0.5 * rhythm.NEVER, times + offset, rhythm.NEVER)

    truth: dict[str, Any] = {
        **{name: getattr(patient, name) for name in ("age", "is_male", "rhythm", "conduction")},
        **{name: getattr(intervals, name) for name in ("pr", "p", "qrs", "qt")},
        "rate": rate,
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


@jax.default_matmul_precision("highest")
def trace_waves(
    key: jax.Array,
    population: Population,
    thresholds: dict[str, np.ndarray],
    interventions: Interventions = NOTHING,
) -> dict[str, boundaries.Track]:
    """The waves of `simulate` of the same key, by name, per lead; see `boundaries.find_edges` for thresholds."""
    heart = _draw_heart(_draw_parts(key), population, interventions)
    beats, beat = heart.beats, heart.beat
    edges = boundaries.find_all_edges(beat, heart.places, heart.limbs, heart.hangs, thresholds)
    is_paced = jnp.full(rhythm.BEATS, heart.patient.is_paced) & ~beats.is_ectopic
    top = jnp.where(beats.is_ectopic, beat.t_peak_ectopic, beat.t_peak * heart.adapted)
    references = {"P": beats.atrial, "QRS": beats.ventricular, "T": beats.ventricular + top}
    others = {"P": beats.is_premature, "QRS": beats.is_ectopic, "T": beats.is_ectopic}
    return boundaries.lay_out(edges, references, others, is_paced)


class _Heart(NamedTuple):
    """A patient's heart and how electrodes see it."""

    patient: Patient
    disease: pathology.Pathology
    intervals: conduction.Intervals
    beats: rhythm.Rhythm
    beat: vectorcardiogram.Beat
    adapted: jax.Array  # factor of the time of T, by the interval before, of each beat
    places: jax.Array
    limbs: jax.Array
    spike: jax.Array  # `[3]` mV, a pacemaker's
    is_swapped: jax.Array
    hangs: jax.Array  # `[9, 9]`, where the electrodes are


def _draw_parts(key: jax.Array) -> dict[str, Draws]:
    """The draws of each module by the name of its part."""
    draws = Draws.create(key, sum(_PARTS.values()))
    return {name: draws.part(size) for name, size in _PARTS.items()}


def _draw_heart(parts: dict[str, Draws], population: Population, interventions: Interventions) -> _Heart:
    """Draws what a recording without noise depends on; takes from parts `patient` to `leads`."""
    patient = draw_patient(parts["patient"], population)
    disease = pathology.draw_pathology(parts["pathology"], patient, population.pathology)
    disease = disease._replace(present=interventions.diagnose(disease.present))
    patient = patient._replace(rate=interventions.choose("rate", patient.rate))  # shapes stay as at the drawn rate
    intervals = conduction.draw_intervals(parts["conduction"], patient, disease.qt_shift, interventions)
    ectopy = rhythm.draw_ectopy(parts["rhythm"], population.ventricular_ectopy, population.atrial_ectopy)
    beats = rhythm.draw_rhythm(parts["rhythm"], patient, intervals.pr, ectopy)
    beat = vectorcardiogram.draw_beat(parts["beat"], patient, intervals, disease.changes, population.spread)
    adapted = (beats.interval / beats.mean_interval) ** 0.12  # of T to the interval before
    chest = parts["leads"]
    places, limbs = leads.draw_places(chest, population.misplacement)
    beat = set_amplitudes(beat, interventions, intervals, places, limbs)
    spike = chest.lognormal(0.5, 1.0) * chest.normal(count=3)
    is_swapped, hangs = leads.draw_swap(chest, population.swaps)
    return _Heart(patient, disease, intervals, beats, beat, adapted, places, limbs, spike, is_swapped, hangs)


def _draw_waveforms(
    draws: Draws,
    beat: vectorcardiogram.Beat,
    beats: rhythm.Rhythm,
    adapted: jax.Array,
    time: jax.Array,
    is_paced: jax.Array,
) -> jax.Array:
    """Height of each bell of `_see_sources` in all beats, `[T, bells]`.

    Each sample belongs to the ventricular beat that began last, or is just beginning. Only that one's QRS and T, the T
    of the beat before, and the P wave that began last are not over.
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
    since, ectopic = time - now[:, 0], now[:, 1:2]
    gain_qrs = jnp.repeat(now[:, 2:4], vectorcardiogram.QRS_BELLS // 2, axis=1)
    columns = [ring(beat.qrs, since) * gain_qrs * (1 - ectopic), ring(beat.qrs_ectopic, since) * ectopic]
    for bells, is_other in ((beat.t, False), (beat.t_ectopic, True)):
        total = jnp.zeros(())
        for row, is_before in ((now, False), (before, True)):
            share = row[:, 1:2] if is_other else 1 - row[:, 1:2]
            share = share * (previous != current)[:, None] if is_before else share
            total = total + ring(bells, time - row[:, 0] - row[:, 5]) * row[:, 4:5] * share
        columns.append(total)
    last = jnp.maximum(jnp.sum(beats.atrial <= time[:, None] + 0.03, axis=1) - 1, 0)
    since_p = time - beats.atrial[last]
    premature = beats.is_premature[last][:, None]
    columns += [ring(beat.p, since_p) * ~premature, ring(beat.p_premature, since_p) * premature]
    columns.append((jnp.abs(since + 0.008) < 0.0013)[:, None] * now[:, 6:7])  # a pacemaker's spike
    return jnp.concatenate(columns, axis=1)


def _see_sources(direction: jax.Array, beat: vectorcardiogram.Beat, places: jax.Array, limbs: jax.Array) -> jax.Array:
    """Potentials of the electrodes from all bells of a beat and a pacemaker's spike `[3]`, `[bells, 9]` mV."""
    one, zero = jnp.ones(1), jnp.zeros(1)
    spike = Bells(zero, one, one, direction[None], jnp.zeros((1, 3)), jnp.zeros((1, 6)))
    sources = (beat.qrs, beat.qrs_ectopic, beat.t, beat.t_ectopic, beat.p, beat.p_premature, spike)
    return jnp.concatenate([vectorcardiogram.see(source, places, limbs) for source in sources])


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
    rate: jax.Array,
    present: jax.Array,
) -> criteria.Seen:
    """What is read of the recording besides a beat; `here` are the beats in it, `present` the pathologies."""
    early = jnp.stack([beats.is_ectopic & here, beats.is_premature & (beats.atrial > 0) & (beats.atrial < _LAST)])
    is_usual = here & ~beats.is_ectopic & ~jnp.roll(beats.is_ectopic, 1) & ~jnp.any(early[1])
    longest = jnp.max(jnp.where(is_usual, beats.interval, -jnp.inf))
    shortest = jnp.min(jnp.where(is_usual, beats.interval, jnp.inf))
    return criteria.Seen(
        rhythm=patient.rhythm,
        conduction=patient.conduction,
        rate=rate,
        irregularity=jnp.where(jnp.sum(is_usual) > 1, longest - shortest, 0.0),
        premature=jnp.sum(early, axis=1) / jnp.maximum(jnp.sum(here), 1),
        intervals=intervals,
        mean_interval=patient.mean_interval,
        is_male=patient.is_male,
        pathology=present,
    )


@functools.partial(jax.jit, static_argnames="durations")
def simulate_many(
    keys: jax.Array,
    population: Population,
    interventions: Interventions = NOTHING,
    durations: tuple[float, ...] = DURATIONS,
) -> Simulated:
    """`simulate` of a batch of keys `[N]`, compiled; what is set has a value for each, `[N]`."""
    simulate_one = functools.partial(simulate, durations=durations)
    return jax.vmap(simulate_one, in_axes=(0, None, 0))(keys, population, interventions)


@jax.jit
def describe_many(keys: jax.Array, population: Population) -> tuple[jax.Array, dict[str, Any]]:
    """Labels and truth of `simulate_many`; the compiler removes the signals, nearly all of the work."""
    drawn = simulate_many(keys, population)
    return drawn.label, drawn.truth
