"""Simulated ECGs have what defines their diagnoses, measured by simple means of this test's own."""

import numpy as np
import pytest
import scipy.signal
from beats import (
    check_limb_laws,
    measure_area,
    measure_irregularity,
    measure_late_forces,
    measure_p_wave,
    measure_pr,
    measure_qrs,
    share_above,
)

from ecg_jax.data import datasets
from ecg_jax.evaluation.heart_rate import measure_heart_rate
from ecg_jax.labels import SIX
from ecg_jax.recording import LEADS
from ecg_jax.simulation import textbook

PATIENTS = 40


def simulate(seed, *names, **conditions):
    flags = np.array([name in names for name in SIX])
    return textbook.simulate(np.random.default_rng(seed), flags, textbook.Conditions(**conditions))


def create(seed=0, train=6, validation=3, test=6):
    options = {"simulated": {"train": train, "validation": validation, "test": test}}
    return datasets.create("simulated", source="", labels="six", seed=seed, options=options)


def over_patients(measure, *names):
    return np.array([measure(simulate(seed, *names)) for seed in range(PATIENTS)])


def test_a_recording_is_ten_or_seven_seconds_of_twelve_leads():
    signals = [simulate(seed) for seed in range(20)]
    assert {signal.shape for signal in signals} == {(2800, 12), (4000, 12)}
    assert all(signal.dtype == np.float32 and np.isfinite(signal).all() for signal in signals)


def test_amplitudes_are_those_of_millivolts():
    ranges = over_patients(lambda signal: np.ptp(np.quantile(signal[:, 1], [0.005, 0.995])))
    assert 0.5 < np.median(ranges) < 2


def test_the_same_random_stream_gives_the_same_ecg():
    np.testing.assert_array_equal(simulate(3, "AF"), simulate(3, "AF"))
    assert not np.array_equal(simulate(3, "AF")[:2800], simulate(4, "AF")[:2800])


def test_a_recording_depends_on_its_place_alone():
    first, again = create(), create()
    backwards = [again.read(i) for i in range(14, -1, -1)][::-1]
    for i, recording in enumerate(backwards):
        np.testing.assert_array_equal(first.read(i).signal, recording.signal)
        assert recording.id == first.ids[i]


def test_more_recordings_leave_those_before_as_they_were():
    small, large = create(), create(train=9, test=20)
    np.testing.assert_array_equal(small.labels[:6], large.labels[:6])
    np.testing.assert_array_equal(small.read(4).signal, large.read(4).signal)
    np.testing.assert_array_equal(small.read(6 + 3 + 5).signal, large.read(9 + 3 + 5).signal)


def test_another_seed_is_another_data_set():
    assert not np.array_equal(create(seed=0).read(0).signal[:2800], create(seed=1).read(0).signal[:2800])


def test_no_two_recordings_are_the_same():
    dataset = create()
    assert len({dataset.read(i).signal[:2800].tobytes() for i in range(15)}) == 15


def test_labels_are_those_the_recording_was_drawn_with():
    dataset = create(train=120, validation=0, test=0)
    rates = np.array([measure_heart_rate(dataset.read(i).signal, 400.0) for i in range(120)])
    slow, atrial, fast = (dataset.labels[:, SIX.index(name)] == 1 for name in ("SB", "AF", "ST"))
    assert min(slow.sum(), fast.sum()) >= 5
    np.testing.assert_array_equal((rates < 60)[~atrial], slow[~atrial])
    np.testing.assert_array_equal((rates > 100)[~atrial], fast[~atrial])


@pytest.mark.parametrize("names", [(), ("SB",), ("ST",), ("AF",), ("RBBB",), ("LBBB", "1dAVb")], ids=str)
def test_einthovens_and_goldbergers_laws_hold(names):
    check_limb_laws(simulate(5, *names), atol=1e-5)


def rate(signal):
    return measure_heart_rate(signal, 400.0)


def test_sinus_bradycardia_is_below_60_and_tachycardia_above_100():
    assert over_patients(rate, "SB").max() < 60
    assert over_patients(rate, "ST").min() > 100
    normal = over_patients(rate)
    assert normal.min() > 60
    assert normal.max() < 100


def test_intervals_are_irregular_in_atrial_fibrillation_alone():
    assert over_patients(measure_irregularity, "AF").min() > 0.06
    for names in ((), ("SB",), ("ST",), ("1dAVb",), ("RBBB",)):
        assert over_patients(measure_irregularity, *names).max() < 0.05, names


def test_atrial_fibrillation_has_no_p_wave():
    assert share_above(over_patients(measure_p_wave), over_patients(measure_p_wave, "AF")) > 0.9


@pytest.mark.parametrize("block", ["RBBB", "LBBB"])
def test_the_qrs_complex_is_wider_in_bundle_branch_block(block):
    normal, blocked = over_patients(measure_qrs), over_patients(measure_qrs, block)
    assert np.median(normal) < 0.110
    assert np.median(blocked) > 0.120
    assert share_above(blocked, normal) > 0.95


def test_late_forces_point_to_the_right_and_front_in_rbbb():
    late = over_patients(measure_late_forces, "RBBB")
    assert np.mean(late[:, LEADS.index("V1")] > 0) > 0.9
    assert np.mean(late[:, LEADS.index("I")] < 0) > 0.9


@pytest.mark.parametrize("lead, sign", [("I", 1), ("V6", 1), ("V1", -1)])
def test_forces_point_to_the_left_and_back_in_lbbb(lead, sign):
    def area(signal):
        return sign * measure_area(signal)[LEADS.index(lead)]

    blocked = over_patients(area, "LBBB")
    assert np.mean(blocked > 0) > 0.95
    assert share_above(blocked, over_patients(area)) > 0.9


def test_the_pr_interval_is_longer_in_first_degree_block():
    normal, blocked = over_patients(measure_pr), over_patients(measure_pr, "1dAVb")
    assert np.median(blocked) > np.median(normal) + 0.05
    assert share_above(blocked, normal) > 0.9


def test_prevalences_are_those_of_the_description():
    drawn = np.array([textbook.draw_diagnoses(np.random.default_rng([0, i])) for i in range(6000)])
    expected = {"1dAVb": 0.13 * 0.89, "RBBB": 0.10, "LBBB": 0.10, "SB": 0.11, "AF": 0.11, "ST": 0.11}
    spread = 4 * np.sqrt(0.12 * 0.88 / 6000)
    assert dict(zip(SIX, drawn.mean(axis=0), strict=True)) == pytest.approx(expected, abs=spread)
    assert 0.40 < np.mean(~drawn.any(axis=1)) < 0.52


def test_diagnoses_that_exclude_each_other_never_meet():
    drawn = np.array([textbook.draw_diagnoses(np.random.default_rng([1, i])) for i in range(3000)])
    first, right, left, slow, atrial, fast = drawn.T
    assert (slow.astype(int) + atrial + fast).max() == 1
    assert not (right & left).any()
    assert not (first & atrial).any()
    assert (first & right).any()
    assert (slow & left).any()


def test_the_test_split_is_noisier_than_the_training_split():
    dataset = create(train=60, validation=60, test=60)
    high = scipy.signal.butter(4, 70, "highpass", fs=400, output="sos")  # above the ECG and above the mains

    def noise(split):
        signals = (dataset.read(i).signal for i in dataset.indices(split))
        return np.median([np.median(np.abs(scipy.signal.sosfiltfilt(high, signal, axis=0))) for signal in signals])

    train, validation, test = (noise(split) for split in ("train", "validation", "test"))
    assert test > 1.25 * train
    assert validation == pytest.approx(train, rel=0.25)


def test_without_noise_an_ecg_is_smooth():
    def roughness(noise):
        return np.abs(np.diff(simulate(0, noise=noise), 3, axis=0)).max()

    assert roughness(0.0) < 0.5 * roughness(1.0)
    assert roughness(1.0) < roughness(2.0)


def test_a_wider_population_varies_more_in_amplitude():
    def variation(spread):
        amplitudes = [np.ptp(simulate(i, noise=0.0, morphology_spread=spread)[:, 1]) for i in range(PATIENTS)]
        return np.std(np.log(amplitudes))

    assert variation(0.2) < variation(1.0) < variation(2.0)
