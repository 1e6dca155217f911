"""Waves: where the simulator draws them, how marks are matched, what the delineator finds and measures."""

import functools
import itertools
import os

import ecgs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecg_jax.data.readers import wfdb
from ecg_jax.errors import InputError
from ecg_jax.explanation import delineation_network, delineator_weights, matching, waves
from ecg_jax.explanation.delineation import (
    Delineation,
    delineate,
    delineate_many,
    join_windows,
    place_windows,
    prepare,
)
from ecg_jax.explanation.intervals import measure
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.simulation import boundaries, leads, rhythm
from ecg_jax.simulation.simulator import simulate_many, trace_waves
from ecg_jax.simulation.vectorcardiogram import Bells

# Least sensitivity and largest standard deviation in milliseconds, just beyond what was measured.
LEVELS = [
    (("P", "onset"), 0.989, 10.4),
    (("P", "offset"), 0.989, 11.6),
    (("QRS", "onset"), 0.999, 7.5),
    (("QRS", "offset"), 0.999, 10.8),
    (("T", "offset"), 0.998, 19.3),
]
THRESHOLDS = {wave: np.array([(0.05, 0.0)], np.float32) for wave in boundaries.WAVES}


def bell(width, dipole):
    """One bell at 100 ms."""
    zeros = jnp.zeros((1, 3))
    at, wide = jnp.array([0.1]), jnp.array([width])
    return Bells(at, wide, wide, jnp.array([dipole]), zeros, jnp.zeros((1, 6)))


def see(bells, threshold):
    places, limbs = jnp.asarray(leads.PLACES, jnp.float32), jnp.array([leads.DOWER["I"], leads.DOWER["II"]])
    return boundaries.find_edges(bells, "P", places, limbs, jnp.eye(9), np.array([threshold], np.float32))


def test_a_bell_ends_where_it_falls_below_a_fraction_of_its_height():
    """exp(-t^2 / 2 s^2) = f at t = s sqrt(2 ln 1/f): 2.448 s for 5 %."""
    edges = see(bell(0.02, (0.0, 0.2, 0.0)), (0.05, 0.0))
    np.testing.assert_allclose(edges.onset[0], 0.1 - 2.448 * 0.02, atol=1e-3)
    np.testing.assert_allclose(edges.offset[0], 0.1 + 2.448 * 0.02, atol=1e-3)
    assert float(edges.height[LEADS.index("II")]) == pytest.approx(0.2 * leads.DOWER["II"][1], rel=1e-2)


def test_a_small_wave_is_shorter_where_the_threshold_is_in_millivolts():
    large, small = (see(bell(0.02, (0.0, size, 0.0)), (0.0, 0.01)) for size in (0.4, 0.04))
    two = LEADS.index("II")
    for edges, size in ((large, 0.4), (small, 0.04)):
        height = size * leads.DOWER["II"][1]
        top = height * np.sqrt(1 + 0.15**2 * np.mean((np.asarray(edges.height) / height) ** 2))  # with other leads
        expected = 0.02 * np.sqrt(2 * np.log(top / 0.01))
        assert float(edges.offset[0, two]) == pytest.approx(0.1 + expected, abs=1e-3)


@functools.cache
def trace(names=(), learned=()):
    """Tracks of `ecgs.find` with these thresholds of each wave, and what was drawn."""
    keys = ecgs.find(tuple(names))
    given = {wave: np.array([threshold], np.float32) for wave, *threshold in learned} or THRESHOLDS
    tracks = _trace(keys, ecgs.PLAIN, given)
    return jax.device_get(tracks), jax.device_get(simulate_many(keys, ecgs.PLAIN))


_trace = jax.jit(jax.vmap(trace_waves, (0, None, None)))


def test_traced_waves_lie_where_the_recording_has_them():
    tracks, drawn = trace()
    start = drawn.valid.argmax(axis=1) / 400.0
    for wave, name, middle in (("QRS", "qrs_onsets", 0.045), ("P", "p_onsets", 0.05)):
        track = tracks[wave]
        here = drawn.truth[name] < rhythm.NEVER / 2
        middles = (np.median(track.onset, axis=(2, 3)) + np.median(track.offset, axis=(2, 3))) / 2
        apart = (middles + start[:, None] - drawn.truth[name])[here]
        assert np.median(apart) == pytest.approx(middle, abs=0.015)
        assert (np.abs(apart - middle) < 0.05).all()


def test_the_signal_is_steepest_inside_the_traced_complexes():
    tracks, drawn = trace()
    for signal, valid, onsets, offsets in zip(
        drawn.signal, drawn.valid, tracks["QRS"].onset[:, :, 0], tracks["QRS"].offset[:, :, 0], strict=True
    ):
        lead = signal[valid][:, 1]
        slope = np.abs(np.diff(lead))
        first, last = (400 * onsets[:, 1]).round().astype(int), (400 * offsets[:, 1]).round().astype(int)
        inside = np.zeros(len(slope), bool)
        for begin, end in zip(first, last, strict=True):
            if begin > 0 and end < len(slope):
                inside[begin - 2 : end + 2] = True
        beats = [(b, e) for b, e in zip(first, last, strict=True) if b > 0 and e < len(slope)]
        for begin, end in beats[1:-1]:
            assert slope[begin:end].max() > 0.9 * slope[max(begin - 100, 0) : end + 100].max()


def test_tracing_waves_does_not_change_what_is_drawn():
    """Numbers of the first recording as simulated before waves were traced."""
    _, drawn = trace()
    size = np.abs(drawn.signal[0].astype(float)).sum(axis=0)
    assert drawn.valid[0].sum() == 4000
    assert [drawn.truth[name][0] for name in ("rate", "axis")] == pytest.approx([81.2323, 29.8648], rel=1e-4)
    assert [size[LEADS.index(lead)] for lead in ("I", "II", "V1", "V6")] == pytest.approx(
        [241.114, 310.992, 214.724, 434.261], rel=1e-3
    )


def test_fibrillation_has_no_traced_p_wave():
    tracks, _ = trace(("AF",))
    assert (tracks["P"].onset > rhythm.NEVER / 2).all()


def test_matching_by_hand():
    """0.50 finds 0.52; 1.21 is 160 ms from 1.05; 2.00 and 2.05 share one mark; 3.9 lies outside the marks."""
    found, marked = np.array([0.5, 1.21, 2.0, 2.05, 3.9]), np.array([0.52, 1.05, 2.04])
    matches = matching.match(found, marked, (0.5, 2.5))
    np.testing.assert_allclose(sorted(matches.errors), [-0.02, 0.01])
    assert (matches.missed, matches.extra) == (1, 2)
    assert matches.sensitivity == pytest.approx(2 / 3)
    assert matches.predictive_value == pytest.approx(2 / 4)


def test_matching_takes_the_nearest_pairs_first():
    """1.10 belongs to 1.09, so that 1.00 has nothing within 150 ms."""
    matches = matching.match(np.array([1.0, 1.1]), np.array([1.09, 1.2]), (0.0, 2.0))
    np.testing.assert_allclose(matches.errors, [0.01])
    assert (matches.missed, matches.extra) == (1, 1)


def test_matching_spares_waves_with_a_missing_mark():
    matches = matching.match(np.array([1.0, 1.9]), np.array([np.nan]), (0.0, 2.0), incomplete=np.array([1.05]))
    assert (len(matches.errors), matches.missed, matches.extra) == (0, 0, 1)


def test_nothing_marked_is_not_a_number():
    matches = matching.match(np.zeros(0), np.zeros(0), (0.0, 1.0))
    assert np.isnan(matches.sensitivity)
    assert np.isnan(matches.predictive_value)


def test_boundaries_lie_between_samples():
    """A probability that rises from 0.4 to 0.6 crosses half its maximum of 1 between these samples."""
    probability = np.array([[0.0, 0.1, 0.4, 0.6, 1.0, 1.0, 0.75, 0.25, 0.0, 0.0]])
    [[[onset, offset]]] = waves.find_boundaries(probability, [waves.Segment(3, 7, 3.35)], 3)
    assert onset == pytest.approx(2.5)
    assert offset == pytest.approx(6.5)


def test_a_lead_that_does_not_show_the_wave_has_no_boundary():
    probability = np.array([[0.0, 1.0, 1.0, 0.0], [0.0, 0.1, 0.1, 0.0]])
    found = waves.find_boundaries(probability, [waves.Segment(1, 3, 1.1)], 1)
    assert np.isfinite(found[0, 0]).all()
    assert np.isnan(found[0, 1]).all()


def test_the_whole_recording_spans_leads_without_outliers():
    bounds = np.array([[0.100, 0.190], [0.104, 0.200], [0.102, 0.195], [0.020, 0.400], [np.nan, np.nan]])
    np.testing.assert_array_equal(waves.span_leads(bounds[None]), [(0.100, 0.200)])
    assert np.isnan(waves.span_leads(bounds[None, 4:])).all()


def test_waves_do_not_overlap():
    """In the first lead P, T and the second P reach 10 ms into QRS, the last two P waves share 20 ms, and one P lies in
    QRS; the second lead shows no QRS, so that nothing is moved.
    """
    qrs = np.array([[[0.50, 0.60], [np.nan] * 2], [[1.50, 1.60], [np.nan] * 2]])
    p = np.array([[[0.40, 0.51]] * 2, [[0.56, 0.59]] * 2, [[1.30, 1.42]] * 2, [[1.40, 1.49]] * 2])
    t = np.array([[[0.59, 0.90]] * 2, [[1.70, 1.90]] * 2])
    found = waves.separate({"P": p, "QRS": qrs, "T": t})
    np.testing.assert_allclose(found["P"][:, 0], [(0.40, 0.50), (np.nan, np.nan), (1.30, 1.41), (1.41, 1.49)])
    np.testing.assert_allclose(found["T"][:, 0], [(0.60, 0.90), (1.70, 1.90)])
    np.testing.assert_allclose(found["P"][:2, 1], p[:2, 1])
    np.testing.assert_array_equal(found["QRS"], qrs)
    none = np.zeros((0, 2, 2))
    assert waves.separate({"P": p, "QRS": none, "T": none})["P"].shape == p.shape


def count_overlaps(found):
    """Pairs of neighbours, other than P and T, of which one begins before the other ends."""
    total = 0
    for each in (found.waves, *found.waves_by_lead.values()):
        for kept in (("P", "QRS"), ("QRS", "T")):
            some = [wave for wave in each if wave["wave"] in kept]
            total += sum(after["onset"] < before["offset"] - 1e-9 for before, after in itertools.pairwise(some))
    return total


def test_a_beat_is_of_the_kind_that_the_network_states():
    """0.6 of a kind is enough; beside two paced beats 0.2 is, too."""
    kinds = np.zeros((1, 500, 2))
    bounds = np.array([[0.1, 0.2], [0.5, 0.6], [0.9, 1.0], [1.3, 1.4]])
    for (onset, _), probability in zip(bounds, ((0.6, 0.0), (0.0, 0.6), (0.0, 0.2), (0.0, 0.05)), strict=True):
        kinds[:, int(250 * onset) - 5 : int(250 * onset) + 40] = probability
    recorded = np.ones(1, bool)
    assert waves.classify(kinds, bounds, recorded, 250.0) == ["ectopic", "paced", "usual", "usual"]
    kinds[:, 300:350] = 0.0, 0.6
    more = np.concatenate([bounds, [[1.25, 1.35]]])
    assert waves.classify(kinds, more, recorded, 250.0) == ["ectopic", "paced", "paced", "paced", "paced"]
    assert waves.classify(kinds, bounds[:0], recorded, 250.0) == []


def test_between_two_complexes_is_one_t_wave():
    mean = np.zeros((500, 3))
    mean[100:120, 1] = mean[400:420, 1] = 1.0
    mean[150:180, 2] = 0.9
    mean[200:260, 2] = 0.9
    _, complexes, t = waves.find_all_segments(mean, 250.0, dict.fromkeys(("P", "QRS", "T"), 0.5))
    assert len(complexes) == 2
    assert [(each.begin, each.end) for each in t] == [(200, 260)]


@pytest.mark.parametrize("samples", [100, 2560, 2561, 5000, 30_000])
def test_windows_cover_a_recording_once(samples):
    starts = place_windows(samples)
    probability = np.stack([np.arange(start, start + 2560)[None, :, None] for start in starts])
    np.testing.assert_array_equal(join_windows(probability, starts, samples)[0, :, 0], np.arange(samples))


def test_leads_are_exchangeable_and_a_lead_without_contacts_changes_nothing():
    params, apply = delineator_weights.load().params, jax.jit(delineation_network.apply)
    signal = 0.3 * jax.random.normal(jax.random.key(0), (1, 3, 128))
    recorded = jnp.array([[True, True, False]])
    one = apply(params, signal, recorded)
    assert jnp.ptp(one) > 1
    np.testing.assert_allclose(apply(params, signal[:, ::-1], recorded[:, ::-1])[:, ::-1], one, atol=1e-4)
    other = apply(params, signal.at[:, 2].set(9.0), recorded)
    np.testing.assert_allclose(other[:, :2], one[:, :2], atol=1e-4)


def record(signal, rate=400.0, names=LEADS):
    return create_recording(np.asarray(signal), leads=names, sampling_rate=rate, id="simulated")


def test_intervals_of_simulated_ecgs_are_measured():
    """Against the traced waves, with the definitions that the weights were trained with and moved as they are."""
    delineator = delineator_weights.load()
    learned = delineator.provenance["thresholds"]
    tracks, drawn = trace((), tuple((wave, *learned[wave]) for wave in boundaries.WAVES))
    errors = {name: [] for name in ("pr", "qrs", "qt", "p_duration", "heart_rate", "axis")}
    for i in range(12):
        recording = record(drawn.signal[i][drawn.valid[i]])
        delineation = delineate(recording)
        assert not count_overlaps(delineation)
        found = measure(recording, delineation)
        beat = int(np.searchsorted(tracks["QRS"].onset[i, :, 0, 0], 2.0))  # a beat in the recording
        (p_on, p_off), (on, off), (_, t_off) = (
            waves.span_leads(
                np.stack([tracks[wave].onset[i, number, 0], tracks[wave].offset[i, number, 0]], axis=-1)[None]
                + delineator.shifts[wave]
            )[0]
            for wave, number in (
                (
                    "P",
                    int(np.searchsorted(tracks["P"].onset[i].min(axis=(1, 2)), tracks["QRS"].onset[i, beat].min())) - 1,
                ),
                ("QRS", beat),
                ("T", beat),
            )
        )
        truth = {"pr": on - p_on, "qrs": off - on, "qt": t_off - on, "p_duration": p_off - p_on}
        for name, seconds in truth.items():
            errors[name].append(getattr(found, name) - 1e3 * seconds)
        errors["heart_rate"].append(found.heart_rate - drawn.truth["rate"][i])
        errors["axis"].append(found.axis - drawn.truth["axis"][i])
    medians = {name: float(np.nanmedian(values)) for name, values in errors.items()}
    apart = {name: float(np.nanmedian(np.abs(values))) for name, values in errors.items()}
    limits = {"pr": 5, "qrs": 5, "qt": 7, "p_duration": 6, "heart_rate": 0.3, "axis": 4}
    assert all(apart[name] < limit for name, limit in limits.items()), apart
    nearer = {"pr": 2.5, "qrs": 2.5, "qt": 4, "p_duration": 4, "heart_rate": 0.2, "axis": 2}
    assert all(abs(medians[name]) < limit for name, limit in nearer.items()), (medians, apart)


def test_fibrillation_has_no_p_wave_and_no_pr():
    counts = []
    for seed in range(8):
        recording = record(ecgs.simulate(seed, ("AF",)))
        delineation = delineate(recording)
        names = [wave["wave"] for wave in delineation.waves]
        counts.append(names.count("P") / names.count("QRS"))
    assert np.median(counts) == 0
    assert np.mean(counts) < 0.1


def test_what_cannot_be_measured_is_nan():
    flat = record(np.zeros((2000, 12)))
    delineation = delineate(flat)
    assert delineation.waves == []
    found = measure(flat, delineation)
    for name in ("heart_rate", "pr", "qrs", "qt", "qtc", "axis", "p_duration"):
        assert np.isnan(getattr(found, name)), name
    assert all(np.isnan(value) for value in found.r.values())


def test_one_beat_has_intervals_but_no_rate_and_no_spread():
    complexes = [{"wave": "QRS", "onset": 0.5, "offset": 0.6, "kind": "usual"}]
    delineation = Delineation([*complexes, {"wave": "T", "onset": 0.7, "offset": 0.9}], {"II": []})
    signal = np.zeros((400, 1))
    signal[210:230] = 1.0
    found = measure(record(signal, names=("II",)), delineation)
    assert found.qrs == pytest.approx(100)
    assert found.qt == pytest.approx(400)
    assert found.r == {"II": 1.0}
    assert np.isnan([found.heart_rate, found.qtc, found.pr, found.axis, found.spread["qrs"]]).all()


def by_hand(beats):
    """Waves of a recording: P, QRS and T of each beat, all at fixed distances."""
    found = []
    for onset, kind in beats:
        if kind == "usual":
            found.append({"wave": "P", "onset": onset - 0.16, "offset": onset - 0.06})
        width = 0.1 if kind == "usual" else 0.16
        found.append({"wave": "QRS", "onset": onset, "offset": onset + width, "kind": kind})
        found.append({"wave": "T", "onset": onset + 0.2, "offset": onset + 0.4})
    return Delineation(found, {})


def test_measures_by_hand():
    """RR 1 s: QTc is QT in both formulas; RR 0.64 s: 400 / 0.64^(1/3) = 464.2 and 400 / 0.8 = 500 ms."""
    silent = record(np.zeros((2400, 12)))
    found = measure(silent, by_hand([(0.5 + i, "usual") for i in range(4)]))
    assert (found.heart_rate, found.pr, found.qrs, found.qt, found.p_duration) == pytest.approx(
        (60, 160, 100, 400, 100)
    )
    assert (found.qtc, found.qtc_bazett, found.spread["qt"]) == pytest.approx((400, 400, 0), abs=1e-6)
    found = measure(silent, by_hand([(0.5 + 0.64 * i, "usual") for i in range(4)]))
    assert (found.qtc, found.qtc_bazett) == pytest.approx((464.16, 500), abs=0.01)


def test_ectopic_beats_are_kept_apart():
    silent = record(np.zeros((2400, 12)))
    found = measure(silent, by_hand([(0.5, "usual"), (1.5, "usual"), (2.1, "ectopic"), (3.5, "usual")]))
    assert found.qrs == pytest.approx(100)
    assert found.beats == {"usual": 3, "ectopic": 1, "paced": 0}
    assert found.qtc == pytest.approx(400), "only the beat after a usual one has an interval"
    paced = measure(silent, by_hand([(0.5, "paced"), (1.5, "paced"), (2.5, "paced")]))
    assert (paced.measured, paced.qrs) == ("paced", pytest.approx(160))
    assert np.isnan(paced.pr)


@pytest.mark.parametrize(
    "one, two, expected", [(1.0, 0.5, 0.0), (0.0, 1.0, 90.0), (1.0, -1.0, -60.0), (-1.0, 1.0, 120.0)]
)
def test_axis_by_hand(one, two, expected):
    """I alone with aVF 0; aVF alone; away from III; along III. Of aVF, 2 / sqrt 3 is as long as I."""
    complexes = Delineation([{"wave": "QRS", "onset": 0.5, "offset": 0.6, "kind": "usual"}], {})
    signal = np.zeros((400, 2))
    signal[210:230] = one, two
    signal[300:340] = 0.1  # T: both leads are connected
    assert measure(record(signal, names=("I", "II")), complexes).axis == pytest.approx(expected)


def test_a_flat_lead_is_unknown_and_does_not_turn_the_axis():
    """II 1 and aVL -1 mV are I -0.5 mV (aVL = I - II/2) and aVF 1.25 mV (II - I/2), as if I had not been recorded."""
    complexes = Delineation([{"wave": "QRS", "onset": 0.5, "offset": 0.6, "kind": "usual"}], {})
    signal = np.zeros((400, 3))
    signal[210:230] = 0.0, 1.0, -1.0
    found = measure(record(signal, names=("I", "II", "aVL")), complexes)
    assert found.axis == pytest.approx(np.degrees(np.arctan2((1.0 + 0.25) * 2 / np.sqrt(3), -0.5)))
    assert np.isnan([found.r["I"], found.s["I"], found.st["I"]]).all()
    assert (found.r["II"], found.s["aVL"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    "deflections, r, s",
    [
        ((0.05, -1.5, 0.1), 0.1, 1.5),  # rSr'
        ((-1.2,), 0.0, 1.2),  # QS
        ((-0.4, 1.0), 1.0, 0.0),  # QR
        ((-0.1, 1.0, -0.3), 1.0, 0.3),  # qRs
        ((-0.5, 0.8, -0.2), 0.8, 0.2),  # Q is deeper than S
        ((1.0,), 1.0, 0.0),  # R
    ],
)
def test_r_and_s_by_hand(deflections, r, s):
    """Ten samples each, in millivolts, from 2 samples after the onset of QRS."""
    complexes = Delineation([{"wave": "QRS", "onset": 0.5, "offset": 0.6, "kind": "usual"}], {})
    signal = np.zeros((400, 1))
    signal[202 : 202 + 10 * len(deflections), 0] = np.repeat(deflections, 10)
    found = measure(record(signal, names=("V1",)), complexes)
    assert (found.r["V1"], found.s["V1"]) == (pytest.approx(r), pytest.approx(s))


def test_an_interval_across_a_gap_is_unknown():
    """Beats 0.7 s apart, of which a gap from 2.5 to 4.5 s hides three: 85.7 per minute, not 64."""
    signal, onsets = np.zeros((2800, 2)), 0.5 + 0.7 * np.arange(9)
    signal[1000:1800] = np.nan
    seen = [(onset, "usual") for onset in onsets if not 2.4 < onset < 4.5]
    found = measure(record(signal, names=("I", "II")), by_hand(seen))
    assert found.heart_rate == pytest.approx(60 / 0.7)
    assert found.spread["heart_rate"] == pytest.approx(0, abs=1e-6)
    assert (found.qtc_bazett, found.spread["qtc"]) == (pytest.approx(400 / 0.7**0.5), pytest.approx(0, abs=1e-6))
    late = Delineation([*by_hand(seen).waves, {"wave": "T", "onset": 4.51, "offset": 4.6}], {})
    late.waves.sort(key=lambda wave: wave["onset"])
    found = measure(record(signal, names=("I", "II")), late)
    assert (found.qt, found.spread["qt"]) == (pytest.approx(400), pytest.approx(0, abs=1e-6)), "T of a hidden complex"
    signal[1000:1800, 0] = 0.0  # one lead is enough
    assert measure(record(signal, names=("I", "II")), by_hand(seen)).heart_rate < 70


def test_waves_that_the_ends_cut_off_are_not_measured():
    """P of the first and T of the last of two beats touch the first and the last sample; then QRS does."""
    silent = record(np.zeros((800, 12)))  # 2 s
    first = by_hand([(0.5, "usual"), (1.7, "usual")])
    cut = [
        {**wave, "onset": 0.0 if wave["onset"] < 0.4 else wave["onset"], "offset": min(wave["offset"], 2.0)}
        for wave in first.waves
    ]
    found = measure(silent, Delineation(cut, {}))
    assert (found.pr, found.p_duration, found.qt) == pytest.approx((160, 100, 400))
    assert (found.qrs, found.spread["qrs"]) == pytest.approx((100, 0), abs=1e-6)
    assert np.isnan([found.spread["pr"], found.spread["p_duration"], found.spread["qt"], found.qtc]).all()
    alone = [{"wave": "QRS", "onset": 1.9, "offset": 2.0, "kind": "usual"}]
    assert np.isnan(measure(silent, Delineation(alone, {})).qrs)


def test_a_column_that_is_no_lead_is_neither_delineated_nor_measured():
    signal = np.sin(np.arange(2000) / 60.0)[:, None] * [1.0, 1.0, 50.0]
    recording = record(signal, names=("I", "II", "PLETH"))
    assert prepare(recording)[1].tolist() == [True, True, False]
    found = measure(recording, by_hand([(0.5 + i, "usual") for i in range(4)]))
    assert np.isnan([found.r["PLETH"], found.s["PLETH"], found.st["PLETH"]]).all()
    assert np.isfinite([found.r["I"], found.r["II"], found.axis]).all()
    assert prepare(record(signal[:, 2:], names=("MLII",)))[1].tolist() == [True], "without standard leads all count"


def test_ectopic_beats_alone_have_a_rate_only():
    found = measure(record(np.zeros((2400, 12))), by_hand([(0.5 + i, "ectopic") for i in range(4)]))
    assert found.heart_rate == pytest.approx(60)
    assert np.isnan([found.pr, found.qrs, found.qt, found.qtc, found.axis, found.p_duration]).all()
    assert (found.measured, found.beats["usual"], found.beats["ectopic"]) == ("usual", 0, 4)


def test_paced_beats_are_measured_where_they_outnumber_the_usual_ones_two_to_one():
    silent = record(np.zeros((4000, 12)))
    kinds = ["paced"] * 3 + ["usual"] + ["ectopic"] * 5
    assert measure(silent, by_hand([(0.5 + i, kind) for i, kind in enumerate(kinds)])).measured == "paced"
    assert measure(silent, by_hand([(0.5 + i, kind) for i, kind in enumerate(kinds[1:])])).measured == "usual"


def test_a_delayed_recording_has_delayed_waves():
    signal = ecgs.simulate(3)
    delay = 160  # samples, 0.4 s
    early = delineate(record(signal[delay:]))
    late = delineate(record(signal))
    for wave in ("P", "QRS", "T"):
        times = [np.array([each["onset"] for each in found.waves if each["wave"] == wave]) for found in (early, late)]
        inner = times[0][(times[0] > 1.0) & (times[0] < 5.5)] + delay / 400.0
        nearest = np.abs(times[1][:, None] - inner).min(axis=0)
        assert len(inner) > 3
        assert np.median(nearest) < 0.006, wave


def test_recordings_at_once_are_delineated_as_one_by_one():
    recordings = [record(ecgs.simulate(seed)) for seed in range(3)]
    for one, other in zip(delineate_many(recordings), map(delineate, recordings), strict=True):
        assert [wave["wave"] for wave in one.waves] == [wave["wave"] for wave in other.waves]
        np.testing.assert_allclose(
            [wave["onset"] for wave in one.waves], [wave["onset"] for wave in other.waves], atol=1e-4
        )


def test_one_lead_and_another_rate_are_enough():
    signal = ecgs.simulate(2)
    whole = delineate(record(signal))
    lead = delineate(record(signal[::4, 1:2], rate=100.0, names=("MLII",)))
    times = [np.array([each["onset"] for each in found.waves if each["wave"] == "QRS"]) for found in (whole, lead)]
    assert abs(len(times[0]) - len(times[1])) <= 1
    assert np.median(np.abs(times[0][:, None] - times[1]).min(axis=1)) < 0.03
    assert set(lead.waves_by_lead) == {"MLII"}


def test_the_weights_are_small_and_whole(tmp_path):
    assert os.path.getsize(f"{delineator_weights.STEM}.npz") < 2_000_000
    delineator = delineator_weights.load()
    stem = str(tmp_path / "delineator")
    delineator_weights.save(delineator.params, delineator.thresholds, delineator.shifts, {}, stem)
    again = delineator_weights.load(stem)
    jax.tree.map(np.testing.assert_array_equal, again.params, delineator.params)
    with open(f"{stem}.npz", "r+b") as file:
        file.seek(100)
        file.write(b"\0\0\0\0")
    delineator_weights.load.cache_clear()
    with pytest.raises(InputError, match="checksum"):
        delineator_weights.load(stem)


def test_marks_are_read_by_hand(tmp_path):
    """Record 1 has a QRS in lead ii from 250 to 300 with its top at 270, at 500 Hz, and a P without an onset."""
    rows = "record,lead,wave,onset,peak,offset\n1,ii,QRS,250,270,300\n1,ii,P,,200,220\n2,v1,T,500,550,600\n"
    (tmp_path / "waves.csv").write_text(rows)
    marks = matching.read_marks(tmp_path / "waves.csv", 500.0)
    assert {record: [*leads] for record, leads in marks.items()} == {"1": ["II"], "2": ["V1"]}
    np.testing.assert_allclose(marks["1"]["II"]["QRS"], [(0.5, 0.6, 0.54)])
    np.testing.assert_allclose(marks["1"]["II"]["P"], [(np.nan, 0.44, 0.4)])
    assert marks["1"]["II"]["T"].shape == (0, 3)


def test_boundaries_agree_with_cardiologists_as_measured(shared):
    """Lead II of the 99 recordings of LUDB on which definitions were chosen; docs/results.md has all leads."""
    marks = matching.read_marks(shared / "data" / "ludb" / "waves.csv", 500.0)
    records = [record for record in marks if "II" in marks[record]]
    recordings = [wfdb.read(str(shared / "data" / "ludb" / "data" / f"{record}.hea")) for record in records]
    delineations = list(delineate_many(recordings))
    assert not any(map(count_overlaps, delineations))
    compared = [
        matching.compare(matching.collect(found.waves_by_lead["II"]), marks[record]["II"])
        for record, found in zip(records, delineations, strict=True)
    ]
    for (wave, side), rate, deviation in LEVELS:
        total = matching.add([each[wave, side] for each in compared])
        assert total.sensitivity > rate, (wave, side)
        assert total.predictive_value > rate - 0.006, (wave, side)
        assert 1e3 * total.errors.std() < deviation, (wave, side)
        assert abs(1e3 * total.errors.mean()) < 8, (wave, side)
