"""Simulated ECGs have what defines their diagnoses, measured by simple means of this test's own."""

import functools

import beats
import ecgs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from beats import check_limb_laws, measure_area, measure_irregularity, share_above

from ecg_jax.data import datasets
from ecg_jax.data.datasets import simulated
from ecg_jax.evaluation.heart_rate import measure_heart_rate
from ecg_jax.labels import SIX
from ecg_jax.recording import LEADS
from ecg_jax.simulation import conduction, criteria, leads, rhythm, simulator
from ecg_jax.simulation.draws import Draws
from ecg_jax.simulation.simulator import Population, Simulated, describe_many, simulate, simulate_many

PATIENTS = 30
RHYTHMS = {name: i for i, name in enumerate(rhythm.RHYTHMS)}


PAUSE = 10  # samples: complexes of real shape are not steep throughout
measure_qrs, measure_pr, measure_p_wave, measure_late_forces = (
    functools.partial(measure, pause=PAUSE)
    for measure in (beats.measure_qrs, beats.measure_pr, beats.measure_p_wave, beats.measure_late_forces)
)


def clean(seed, *names):
    """A signal with little noise."""
    return ecgs.simulate(seed, names, noise=0.2)


def create(seed=0, train=6, validation=3, test=6):
    options = {"simulated": {"train": train, "validation": validation, "test": test, "population": "hospital"}}
    return datasets.create("simulated", source="", labels="six", seed=seed, options=options)


def over_patients(measure, *names):
    return np.array([measure(clean(seed, *names)) for seed in range(PATIENTS)])


# Draws: numbers from a key.


def test_draws_have_their_distributions():
    draws = Draws.create(jax.random.key(0), 60_000)
    uniform = np.asarray(draws.uniform(2.0, 4.0, 20_000))
    normal = np.asarray(draws.normal(1.0, 3.0, 20_000))
    lognormal = np.asarray(draws.lognormal(5.0, 0.5, 20_000))
    assert (uniform.min(), uniform.max()) == pytest.approx((2, 4), abs=1e-3)
    assert (normal.mean(), normal.std()) == pytest.approx((1, 3), abs=0.08)
    assert (np.median(lognormal), np.log(lognormal).std()) == pytest.approx((5, 0.5), rel=0.03)


def test_choices_follow_their_weights():
    def choose(key):
        return Draws.create(key, 1).choose([1.0, 0.0, 3.0])

    chosen = np.asarray(jax.vmap(choose)(jax.random.split(jax.random.key(0), 4000)))
    assert np.bincount(chosen, minlength=3) / 4000 == pytest.approx([0.25, 0, 0.75], abs=0.03)


def test_a_rotation_keeps_lengths_and_handedness():
    turn = np.asarray(Draws.create(jax.random.key(0), 8).rotation(0.7))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_a_part_changes_nothing_for_what_comes_after_it():
    one, other = (Draws.create(jax.random.key(0), 10) for _ in range(2))
    one.part(4).uniform(count=3)
    other.part(4)
    assert one.uniform() == other.uniform()


def test_no_more_is_handed_out_than_was_drawn():
    draws = Draws.create(jax.random.key(0), 3)
    with pytest.raises(IndexError, match="4 numbers were requested, 3 drawn"):
        draws.uniform(count=4)


# Leads: from dipoles to electrodes to twelve leads.


def see(dipole, origin=(0.0, 0.0, 0.0)):
    """Twelve leads of one dipole, with electrodes where Dower's matrix puts them."""
    limbs = np.array([leads.DOWER["I"], leads.DOWER["II"]])
    seen = leads.project(np.array([dipole]), np.array([origin]), leads.PLACES, limbs)
    return dict(zip(LEADS, np.asarray(seen @ leads.TO_TWELVE)[0], strict=True))


@pytest.mark.parametrize("axis", range(3))
def test_a_dipole_in_the_heart_s_centre_is_seen_by_dower_s_matrix(axis):
    found = see(np.eye(3)[axis])
    for lead, vector in leads.DOWER.items():
        assert found[lead] == pytest.approx(vector[axis], abs=1e-5)
    assert found["III"] == pytest.approx(found["II"] - found["I"], abs=1e-6)
    assert found["aVR"] == pytest.approx(-(found["I"] + found["II"]) / 2, abs=1e-6)


def test_a_source_that_comes_closer_is_seen_larger_by_that_electrode_alone():
    towards_v1 = leads.PLACES[0] / np.linalg.norm(leads.PLACES[0])
    far, near = see(towards_v1), see(towards_v1, 3 * towards_v1)
    distance = np.linalg.norm(leads.PLACES[0])
    assert near["V1"] / far["V1"] == pytest.approx((distance / (distance - 3)) ** 2, rel=1e-4)
    assert near["I"] == far["I"]
    assert abs(near["V6"]) < abs(far["V6"])


def test_swapped_arms_turn_lead_one_upside_down():
    usual = ecgs.draw(0, noise=0.0)
    swapped = np.eye(9)[[1, 0, *range(2, 9)]]
    electrodes = np.linalg.lstsq(leads.TO_TWELVE.T, usual.signal.T, rcond=None)[0]
    turned = (swapped @ electrodes).T @ leads.TO_TWELVE
    np.testing.assert_allclose(turned[:, 0], -usual.signal[:, 0], atol=0.01)
    np.testing.assert_allclose(turned[:, 1], usual.signal[:, 2], atol=0.01)


# Rhythm, from what was drawn.


@pytest.fixture(scope="module")
def described():
    """Labels and truth of 6,000 patients."""
    blocks = jax.random.split(jax.random.key(0), 6000).reshape(6, 1000)  # compiled already: as `ecgs.find_keys`
    return jax.tree.map(
        lambda *leaves: np.concatenate(leaves), *(jax.device_get(describe_many(keys, Population())) for keys in blocks)
    )


def intervals(truth, i):
    onsets = truth["qrs_onsets"][i]
    return np.diff(onsets[onsets < rhythm.NEVER / 2])


def of(truth, name):
    return np.flatnonzero(truth["rhythm"] == RHYTHMS[name])


def test_beats_follow_each_other(described):
    truth = described[1]
    for i in range(500):
        found = intervals(truth, i)
        assert len(found) > 3
        assert found.min() > 0.2
    ends = np.where(truth["qrs_onsets"] < rhythm.NEVER / 2, truth["qrs_onsets"], -np.inf).max(axis=1)
    assert ends.min() > 10.3  # beats reach the recording's end, however fast they are


def test_flutter_conducts_whole_waves_and_fibrillation_has_no_p_wave(described):
    truth = described[1]
    for name in ("flutter", "fibrillation"):
        assert (truth["p_onsets"][of(truth, name)] > rhythm.NEVER / 2).all()
    fixed = [intervals(truth, i) for i in of(truth, "flutter") if not truth["is_ectopic"][i].any()]
    ratios = [each / each.min() for each in fixed]
    waves = np.concatenate([each * n for each in ratios for n in (2, 3) if np.allclose(each * n % 1, 0, atol=0.01)])
    assert len(fixed) > 50
    assert len(waves)


def test_variation_is_smallest_in_paced_rhythm_and_largest_in_fibrillation(described):
    truth = described[1]

    def vary(name):
        chosen = [i for i in of(truth, name) if not truth["is_ectopic"][i].any()]
        return np.median([intervals(truth, i).std() / intervals(truth, i).mean() for i in chosen])

    paced, sinus, fibrillation = map(vary, ("paced", "sinus", "fibrillation"))
    assert paced < 0.01 < sinus < 0.06 < 0.1 < fibrillation < 0.35


def test_a_ventricular_premature_beat_is_followed_by_a_compensatory_pause(described):
    truth = described[1]
    sums = []
    for i in of(truth, "sinus"):
        early = np.flatnonzero(truth["is_ectopic"][i][1:-2]) + 1
        found = np.diff(truth["qrs_onsets"][i])
        for k in early:
            if not truth["is_ectopic"][i][[k - 1, k + 1]].any() and truth["qrs_onsets"][i][k + 2] < 100:
                usual = np.median(found[found < 5])
                sums.append((found[k - 1] + found[k]) / usual)
                assert found[k - 1] < 0.95 * found[k]
    assert len(sums) > 100
    assert np.median(sums) == pytest.approx(2, abs=0.1)


def test_in_second_degree_block_some_p_waves_lead_to_nothing(described):
    truth = described[1]
    for i in of(truth, "second_degree")[:50]:
        atrial = np.sum((truth["p_onsets"][i] > 0) & (truth["p_onsets"][i] < 10))
        ventricular = np.sum((truth["qrs_onsets"][i] > 0) & (truth["qrs_onsets"][i] < 10))
        assert ventricular < atrial


def test_p_waves_lead_qrs_complexes_by_the_pr_interval(described):
    truth = described[1]
    for i in of(truth, "sinus")[:100]:
        if not truth["is_ectopic"][i].any():
            onsets = truth["qrs_onsets"][i]
            np.testing.assert_allclose(onsets - truth["p_onsets"][i], truth["pr"][i], atol=1e-3)


# Labels.


def test_labels_are_what_the_criteria_say_but_for_a_grey_zone(described):
    label, truth = described
    sinus = truth["rhythm"] == RHYTHMS["sinus"]
    present = dict(zip(SIX, label.T == 1, strict=True))
    rate, pr, qrs = truth["rate"], truth["pr"], truth["qrs"]
    assert (present["SB"] == (sinus & (rate < 60)))[np.abs(rate - 55) > 11].all()  # readers draw it at 50, 55 or 60
    assert (present["ST"] == (sinus & (rate > 100)))[np.abs(rate - 100) > 6].all()
    assert (present["1dAVb"] == (sinus & (pr > 0.2)))[np.abs(pr - 0.2) > 0.035].all()
    assert (present["AF"] == (truth["rhythm"] == RHYTHMS["fibrillation"])).all()
    assert qrs[present["RBBB"] | present["LBBB"]].min() > 0.1
    near = sinus & (np.abs(pr - 0.2) < 0.004)
    assert 0.2 < present["1dAVb"][near].mean() < 0.8  # where readers disagree


def test_prevalences_are_those_of_the_description(described):
    label, truth = described
    population = Population()
    shares = np.bincount(truth["rhythm"], minlength=8) / len(label)
    healthy = np.eye(8)[RHYTHMS["sinus"]]
    expected = population.ill * np.array(population.rhythms) + (1 - population.ill) * healthy
    assert shares == pytest.approx(expected, abs=0.02)
    usual = dict(zip(SIX, label.mean(axis=0), strict=True))
    assert usual["AF"] == pytest.approx(expected[RHYTHMS["fibrillation"]], abs=0.015)
    assert all(0.03 < share < 0.25 for share in usual.values())
    assert truth["stated"][:, criteria.NAMES.index("NORM")].mean() == pytest.approx(0.47, abs=0.03)


def test_without_disagreement_labels_are_exact():
    label, truth = jax.device_get(describe_many(jax.random.split(jax.random.key(1), 1000), Population(grey=0.0)))
    sinus = truth["rhythm"] == RHYTHMS["sinus"]
    np.testing.assert_array_equal(label[:, SIX.index("SB")] == 1, sinus & (truth["rate"] < 60))
    np.testing.assert_array_equal(label[:, SIX.index("1dAVb")] == 1, sinus & (truth["pr"] > 0.2))


def test_a_population_without_a_prevalence_has_none_of_it():
    population = Population(ill=1.0, rhythms=ecgs.weigh(rhythm.RHYTHMS, fibrillation=1.0), pathology=0.0)
    label, truth = jax.device_get(describe_many(jax.random.split(jax.random.key(2), 1000), population))
    assert label[:, SIX.index("AF")].all()
    assert not label[:, [SIX.index(name) for name in ("1dAVb", "SB", "ST")]].any()
    assert not truth["pathology"].any()


def test_where_nobody_is_ill_hearts_are_healthy():
    truth = jax.device_get(describe_many(jax.random.split(jax.random.key(2), 1000), Population(ill=0.0)))[1]
    assert (truth["rhythm"] == RHYTHMS["sinus"]).all()
    assert not truth["pathology"].any()
    usual, variant = (list(conduction.CONDUCTIONS).index(name) for name in ("normal", "incomplete_RBBB"))
    assert np.isin(truth["conduction"], (usual, variant)).all()
    assert truth["stated"][:, criteria.NAMES.index("NORM")].mean() > 0.75


# Signals.


def test_a_recording_is_ten_or_seven_seconds_of_twelve_leads_in_the_middle_of_the_array():
    drawn = jax.device_get(simulate_many(jax.random.split(jax.random.key(0), ecgs.ENOUGH), Population()))
    assert drawn.signal.shape == (ecgs.ENOUGH, 4096, 12)
    assert drawn.signal.dtype == np.float32
    assert np.isfinite(drawn.signal).all()
    lengths = drawn.valid.sum(axis=1)
    assert set(lengths) == {2800, 4000}
    np.testing.assert_array_equal(np.argmax(drawn.valid, axis=1), (4096 - lengths) // 2)
    assert not drawn.signal[~drawn.valid].any()
    ranges = [
        np.ptp(np.quantile(each[valid][:, 1], [0.005, 0.995]))
        for each, valid in zip(drawn.signal, drawn.valid, strict=True)
    ]
    assert 0.5 < np.median(ranges) < 2


def test_a_recording_depends_on_its_key_alone():
    keys = jax.random.split(jax.random.key(3), 2 * ecgs.ENOUGH)
    drawn, other = (
        jax.device_get(simulate_many(part, Population())) for part in (keys[: ecgs.ENOUGH], keys[2 : 2 + ecgs.ENOUGH])
    )
    np.testing.assert_allclose(other.signal[0], drawn.signal[2], atol=1e-4)
    jax.tree.map(lambda one, all_: np.testing.assert_allclose(one[0], all_[2], rtol=1e-5), other.truth, drawn.truth)
    assert len({each.tobytes() for each in drawn.signal}) == ecgs.ENOUGH


@pytest.mark.slow
def test_another_rate_and_length_is_the_same_ecg():
    key = jax.random.split(jax.random.key(3), 1)[0]
    draw = jax.jit(simulate, static_argnames=("samples", "sampling_rate", "durations"))
    usual, coarse = (
        jax.device_get(draw(key, Population(noise=0.0), samples=samples, sampling_rate=rate, durations=(10.0,)))
        for samples, rate in ((4096, 400.0), (1024, 100.0))
    )
    band = scipy.signal.butter(4, 15, fs=400, output="sos")
    smooth = scipy.signal.sosfiltfilt(band, usual.signal[48:4048], axis=0)[::4]
    band = scipy.signal.butter(4, 15, fs=100, output="sos")
    found = scipy.signal.sosfiltfilt(band, coarse.signal[12:1012], axis=0)
    assert np.corrcoef(smooth.ravel(), found.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("names", [(), ("SB",), ("ST",), ("AF",), ("RBBB",), ("LBBB", "1dAVb")], ids=str)
def test_einthovens_and_goldbergers_laws_hold(names):
    check_limb_laws(ecgs.simulate(5, names), atol=0.0075)  # each lead is rounded to counts on its own


def test_sinus_bradycardia_is_below_60_and_tachycardia_above_100():
    def rate(signal):
        return measure_heart_rate(signal, 400.0)

    assert np.quantile(over_patients(rate, "SB"), 0.95) < 61
    assert np.quantile(over_patients(rate, "ST"), 0.05) > 99
    assert np.mean(np.abs(over_patients(rate) - 80) < 21) > 0.9


def test_intervals_are_irregular_in_atrial_fibrillation_alone():
    assert np.quantile(over_patients(measure_irregularity, "AF"), 0.1) > 0.06
    assert np.quantile(over_patients(measure_irregularity), 0.75) < 0.06
    assert share_above(over_patients(measure_irregularity, "AF"), over_patients(measure_irregularity)) > 0.9


def test_atrial_fibrillation_has_no_p_wave():
    assert share_above(over_patients(measure_p_wave), over_patients(measure_p_wave, "AF")) > 0.8


@pytest.mark.parametrize("block", ["RBBB", "LBBB"])
def test_the_qrs_complex_is_wider_in_bundle_branch_block(block):
    normal, blocked = over_patients(measure_qrs), over_patients(measure_qrs, block)
    assert np.median(normal) < 0.110
    assert np.median(blocked) > np.median(normal) + 0.025
    assert share_above(blocked, normal) > 0.9


def test_late_forces_point_to_the_right_and_front_in_rbbb():
    late = over_patients(measure_late_forces, "RBBB")
    assert np.mean(late[:, LEADS.index("V1")] > 0) > 0.85
    assert np.mean(late[:, LEADS.index("I")] < 0) > 0.85


@pytest.mark.parametrize("lead, sign", [("I", 1), ("V6", 1), ("V1", -1)])
def test_forces_point_to_the_left_and_back_in_lbbb(lead, sign):
    def area(signal):
        return sign * measure_area(signal)[LEADS.index(lead)]

    blocked = over_patients(area, "LBBB")
    assert np.mean(blocked > 0) > 0.9
    assert share_above(blocked, over_patients(area)) > 0.8


def test_the_pr_interval_is_longer_in_first_degree_block():
    normal, blocked = over_patients(measure_pr), over_patients(measure_pr, "1dAVb")
    assert np.median(blocked) > np.median(normal) + 0.04
    assert share_above(blocked, normal) > 0.85


def test_complexes_are_where_the_truth_says():
    """The steepest sample of each beat lies between onset and offset."""
    hits = []
    for seed in range(10):
        drawn = ecgs.draw(seed, noise=0.1)
        steepness = np.abs(np.gradient(drawn.signal, axis=0)).sum(axis=1)
        for first, last in zip(drawn.truth["qrs_onsets"], drawn.truth["qrs_offsets"], strict=True):
            begin, end = round(400 * first), round(400 * last)
            if begin >= 100 and end < 3900 and drawn.valid[[begin - 100, end + 100]].all():
                peak = begin - 60 + np.argmax(steepness[begin - 60 : end + 60])
                hits.append(begin - 4 <= peak <= end + 4)
    assert len(hits) > 60
    assert np.mean(hits) > 0.98


def test_without_noise_an_ecg_is_smooth():
    def roughness(noise):
        """Of the usual recording; in some, what rounding to counts adds is as large as their noise."""
        signals = (ecgs.simulate(i, noise=noise) for i in range(PATIENTS))
        return np.median([np.abs(np.diff(signal, 3, axis=0)).std() for signal in signals])

    assert roughness(0.0) < 0.5 * roughness(1.0)
    assert roughness(1.0) < 0.5 * roughness(3.0)


def test_a_wider_population_varies_more_in_amplitude():
    def variation(spread):
        amplitudes = [np.ptp(ecgs.simulate(i, noise=0.0, spread=spread)[:, 1]) for i in range(PATIENTS)]
        return np.std(np.log(amplitudes))

    assert variation(0.2) < variation(1.0) < variation(2.0)


# The data set.


@pytest.mark.slow
def test_a_recording_depends_on_its_place_alone():
    first, again = create(), create()
    backwards = [again.read(i) for i in range(14, -1, -1)][::-1]
    for i, recording in enumerate(backwards):
        np.testing.assert_array_equal(first.read(i).signal, recording.signal)
        assert recording.id == first.ids[i]
    assert len({recording.signal[:2800].tobytes() for recording in backwards}) == 15


def test_more_recordings_leave_those_before_as_they_were():
    small, large = create(), create(train=9, test=20)
    np.testing.assert_array_equal(small.labels[:6], large.labels[:6])
    np.testing.assert_array_equal(small.read(4).signal, large.read(4).signal)
    np.testing.assert_array_equal(small.read(6 + 3 + 5).signal, large.read(9 + 3 + 5).signal)


def test_another_seed_is_another_data_set():
    assert not np.array_equal(create(seed=0).read(0).signal[:2800], create(seed=1).read(0).signal[:2800])


def test_a_label_is_drawn_under_either_of_its_names(monkeypatch):
    stated = np.array([name in ("CRBBB", "PVC") for name in criteria.NAMES])
    drawn = Simulated(
        np.zeros((8, 12)), np.ones(8, bool), np.zeros(6), {"stated": jnp.asarray(stated), "age": jnp.float32(60)}
    )
    monkeypatch.setattr(simulator, "simulate", lambda *_, **__: drawn)
    for names in (("CRBBB", "STACH", "abnormal", "PVC"), ("RBBB", "ST", "abnormal", "PVC")):
        dataset = simulated.create(
            source="", labels=names, seed=0, population="hospital", train=0, validation=0, test=0
        )
        assert dataset.label_names == names
        assert dataset.draw(jax.random.key(0), 8, 400.0)[2].tolist() == [1, 0, 1, 1]


def test_labels_are_those_the_recording_was_drawn_with():
    dataset = create(train=80, validation=0, test=0)
    rates = np.array([measure_heart_rate(dataset.read(i).signal, 400.0) for i in range(80)])
    slow, fast = (dataset.labels[:, SIX.index(name)] == 1 for name in ("SB", "ST"))
    assert min(slow.sum(), fast.sum()) >= 4
    assert np.median(rates[slow]) < 60
    assert np.median(rates[fast]) > 100


def test_the_test_split_is_noisier_than_the_training_split():
    dataset = create(train=40, validation=40, test=40)
    high = scipy.signal.butter(4, 70, "highpass", fs=400, output="sos")  # above the ECG and above the mains

    def noise(split):
        signals = (dataset.read(i).signal for i in dataset.indices(split))
        return np.median([np.median(np.abs(scipy.signal.sosfiltfilt(high, signal, axis=0))) for signal in signals])

    train, validation, test = (noise(split) for split in ("train", "validation", "test"))
    assert test > 1.2 * train
    assert validation == pytest.approx(train, rel=0.4)
