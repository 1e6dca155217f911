"""From a recording to the array of a contract."""

import itertools

import numpy as np
import pytest

from ecg_jax.contract import InputContract
from ecg_jax.data.preprocess import create_input
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, LIMB_LEADS, create_recording


def record(signal, *, leads=LEADS, rate=400.0, **options):
    return create_recording(np.asarray(signal), leads=leads, sampling_rate=rate, id="rec7", **options)


def noise(samples=400, leads=12, seed=0):
    return np.random.default_rng(seed).normal(size=(samples, leads))


def one_lead(samples, rate=400.0, **options):
    return InputContract(leads=("I",), samples=samples, sampling_rate=rate, **options)


def limb_leads(samples=50):
    one, two = noise(samples, 2).T
    return {lead: a * one + b * two for lead, (a, b) in LIMB_LEADS.items()}


def test_leads_are_taken_by_name_whatever_their_order():
    signal = noise(100)
    shuffled = np.random.default_rng(1).permutation(12)
    contract = InputContract(samples=100, units_per_millivolt=1.0)
    straight, _ = create_input(record(signal), contract)
    mixed, _ = create_input(record(signal[:, shuffled], leads=[LEADS[i].lower() for i in shuffled]), contract)
    np.testing.assert_allclose(straight, signal, rtol=1e-6)
    np.testing.assert_array_equal(mixed, straight)


def test_leads_that_are_not_wanted_are_left_out():
    signal = noise(10, 4)
    contract = InputContract(leads=("V1", "II"), samples=10, units_per_millivolt=1.0)
    found, _ = create_input(record(signal, leads=("vx", "II", "V1", "resp")), contract)
    np.testing.assert_allclose(found, signal[:, [2, 1]], rtol=1e-6)


@pytest.mark.parametrize("pair", list(itertools.combinations(LIMB_LEADS, 2)), ids="-".join)
def test_a_missing_limb_lead_is_derived_from_any_two_others(pair):
    truth = limb_leads()
    recording = record(np.stack([truth[lead] for lead in pair], axis=1), leads=pair)
    contract = InputContract(leads=tuple(LIMB_LEADS), samples=50, units_per_millivolt=1.0)
    found, valid = create_input(recording, contract)
    np.testing.assert_allclose(found, np.stack(list(truth.values()), axis=1), atol=1e-5)
    assert valid.all()


def test_a_derived_lead_is_invalid_where_either_of_its_sources_is():
    signal = noise(6, 2)
    signal[1, 0] = signal[4, 1] = np.nan
    contract = InputContract(leads=("I", "II", "III"), samples=6)
    found, valid = create_input(record(signal, leads=("I", "II")), contract)
    np.testing.assert_array_equal(valid[:, 2], [True, False, True, True, False, True])
    np.testing.assert_array_equal(found[[1, 4], 2], 0)


def test_a_lead_that_is_there_is_not_overwritten_by_a_derivation():
    signal = noise(20, 3)  # does not obey Einthoven's law, as real files may not
    contract = InputContract(leads=("I", "II", "III"), samples=20, units_per_millivolt=1.0)
    found, _ = create_input(record(signal, leads=("III", "II", "I")), contract)
    np.testing.assert_allclose(found, signal[:, ::-1], rtol=1e-6)


def test_a_missing_chest_lead_is_refused_by_name():
    leads = [lead for lead in LEADS if lead not in ("V3", "aVR")]
    with pytest.raises(InputError, match=r"rec7: lead\(s\) V3 missing and not derivable; it has I, II"):
        create_input(record(noise(10, 10), leads=leads), InputContract())


def test_one_limb_lead_is_too_few_to_derive_another():
    with pytest.raises(InputError, match=r"lead\(s\) II missing"):
        create_input(record(noise(10, 2), leads=("I", "V1")), InputContract(leads=("I", "II", "V1")))


def test_a_limb_lead_is_not_derived_from_normalized_ones():
    contract = InputContract(leads=("I", "II", "III"), normalization="zscore")
    with pytest.raises(InputError, match=r"lead\(s\) III missing"):
        create_input(record(noise(10, 2), leads=("I", "II"), normalized=True), contract)


@pytest.mark.parametrize("rate", [500.0, 257.0, 1000.0, 128.0, 250.0])
@pytest.mark.parametrize("frequency", [1.0, 7.0, 25.0])
def test_a_sine_is_the_same_sine_after_resampling(rate, frequency):
    seconds = 8
    phase = 2 * np.pi * frequency
    signal = np.sin(phase * np.arange(int(rate * seconds)) / rate)[:, None]
    samples = -(-int(rate * seconds) * 400 // int(rate))  # no padding, no cropping: sample n is at n / 400 s
    found, valid = create_input(record(signal, leads=["I"], rate=rate), one_lead(samples, units_per_millivolt=1.0))
    expected = np.sin(phase * np.arange(samples) / 400)
    np.testing.assert_allclose(found[400:-400, 0], expected[400:-400], atol=5e-3)
    assert valid.all()


def test_what_is_above_the_new_nyquist_frequency_does_not_fold_back():
    signal = np.sin(2 * np.pi * 320 * np.arange(8000) / 1000)[:, None]  # would fold to 80 Hz at 400 Hz
    found, _ = create_input(record(signal, leads=["I"], rate=1000.0), one_lead(3200, units_per_millivolt=1.0))
    assert np.abs(found[400:-400]).max() < 0.02


@pytest.mark.parametrize("rate, samples", [(500.0, 5000), (257.0, 2570), (1000.0, 10000), (100.0, 1000)])
def test_ten_seconds_stay_ten_seconds(rate, samples):
    _, valid = create_input(record(noise(samples), rate=rate), InputContract(samples=5000))
    assert valid[:, 0].sum() == 4000


def test_an_unchanged_rate_leaves_every_sample_untouched():
    signal = noise(64).astype(np.float32)
    found, _ = create_input(record(signal), InputContract(samples=64))
    np.testing.assert_array_equal(found, 2 * signal)


@pytest.mark.parametrize("rate", [400.0, 500.0, 257.0, 1000.0])
def test_nan_stays_where_it_was_and_does_not_spread(rate):
    samples = int(4 * rate)
    time = np.arange(samples) / rate
    signal = np.sin(2 * np.pi * 2 * time)[:, None] * [1.0, 0.5]
    gap = (time >= 1.0) & (time < 1.5)
    signal[gap, 0] = np.nan
    contract = InputContract(leads=("I", "II"), samples=1600, units_per_millivolt=1.0)
    found, valid = create_input(record(signal, leads=("I", "II"), rate=rate), contract)
    assert np.isfinite(found).all()
    place = np.arange(1600) / 400
    inside, clear = (place > 1.005) & (place < 1.495), (place < 0.995) | (place > 1.505)
    assert not valid[inside, 0].any()
    assert valid[clear, 0].all()
    assert valid[:, 1].all()
    np.testing.assert_array_equal(found[inside, 0], 0)
    far = ((place > 0.1) & (place < 0.9)) | ((place > 1.6) & (place < 3.9))
    expected = np.sin(2 * np.pi * 2 * place)[:, None] * [1.0, 0.5]
    np.testing.assert_allclose(found[far], expected[far], atol=5e-3)


def test_one_nan_costs_one_lead_a_few_samples():
    signal = np.ones((500, 12))
    signal[250, 3] = np.nan
    found, valid = create_input(record(signal, rate=500.0), InputContract(samples=400, units_per_millivolt=1.0))
    assert (~valid).sum() <= 2
    assert valid[:, [0, 11]].all()
    np.testing.assert_allclose(found[valid], 1, atol=1e-3)


@pytest.mark.parametrize("rate", [400.0, 500.0])
def test_a_lead_of_nothing_but_nan_is_zero_and_invalid(rate):
    signal = noise(500)
    signal[:, 7] = np.nan
    found, valid = create_input(record(signal, rate=rate), InputContract(samples=400))
    np.testing.assert_array_equal(found[:, 7], 0)
    assert not valid[:, 7].any()
    assert valid[:, [6, 8]].all()


@pytest.mark.parametrize("length, before, after", [(6, 2, 2), (7, 1, 2), (10, 0, 0), (9, 0, 1)])
def test_a_short_recording_is_padded_on_both_sides_with_invalid_zeros(length, before, after):
    signal = np.arange(1, length + 1, dtype=float)[:, None]
    found, valid = create_input(record(signal, leads=["I"]), one_lead(10, units_per_millivolt=1.0))
    np.testing.assert_array_equal(found[:, 0], [0] * before + list(range(1, length + 1)) + [0] * after)
    np.testing.assert_array_equal(valid[:, 0], [False] * before + [True] * length + [False] * after)


def test_seven_seconds_of_code_leave_648_zeros_on_either_side():
    found, valid = create_input(record(np.ones((2800, 12))), InputContract())
    np.testing.assert_array_equal(np.flatnonzero(valid.all(axis=1))[[0, -1]], [648, 3447])
    np.testing.assert_array_equal(found[:648], 0)
    np.testing.assert_array_equal(found[3448:], 0)


@pytest.mark.parametrize("length, first", [(6, 1), (7, 1), (8, 2), (5, 0)])
def test_a_long_recording_is_cropped_to_its_centre(length, first):
    signal = np.arange(length, dtype=float)[:, None]
    found, valid = create_input(record(signal, leads=["I"]), one_lead(4, units_per_millivolt=1.0))
    np.testing.assert_array_equal(found[:, 0], np.arange(first, first + 4))
    assert valid.all()


@pytest.mark.parametrize("units", [1.0, 2.0, 1000.0])
def test_a_millivolt_becomes_the_contracts_units(units):
    signal = np.full((4, 1), 0.25)
    found, _ = create_input(record(signal, leads=["I"]), one_lead(4, units_per_millivolt=units))
    np.testing.assert_array_equal(found[:, 0], 0.25 * units)


def test_z_scores_are_computed_over_valid_samples_alone():
    signal = np.array([[np.nan], [1.0], [3.0], [5.0], [7.0], [np.nan]])  # mean 4, variance 5
    found, valid = create_input(record(signal, leads=["I"]), one_lead(8, normalization="zscore"))
    expected = np.array([0, 0, -3, -1, 1, 3, 0, 0]) / np.sqrt(5)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(valid[:, 0], [False, False, True, True, True, True, False, False])


def test_z_scores_do_not_depend_on_the_unit():
    signal = noise(4000)
    contract = InputContract(normalization="zscore")
    millivolts, _ = create_input(record(signal), contract)
    volts, _ = create_input(record(1e-3 * signal), contract)
    np.testing.assert_allclose(millivolts, volts, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.7, -12.3])
@pytest.mark.parametrize("rate", [400.0, 500.0])
def test_a_flat_lead_has_z_scores_of_zero(value, rate):
    signal = noise(4000)
    signal[:, 3] = value
    found, _ = create_input(record(signal, rate=rate), InputContract(normalization="zscore"))
    np.testing.assert_array_equal(found[:, 3], 0)
    assert found[:, 2].std() > 0.8


def test_data_declared_z_scored_keeps_its_values():
    signal = noise(100)  # neither mean nor variance is exactly that of z-scores
    contract = InputContract(samples=100, normalization="zscore")
    found, _ = create_input(record(signal, normalized=True), contract)
    np.testing.assert_allclose(found, signal, rtol=1e-6)


def test_data_declared_z_scored_is_refused_where_amplitudes_are_wanted():
    with pytest.raises(InputError, match=r"rec7: .*normalization=zscore"):
        create_input(record(noise(10), normalized=True), InputContract())


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("rate", [100.0, 257.0, 400.0, 1000.0])
def test_a_recording_of_a_few_samples_is_an_example_too(samples, rate):
    found, valid = create_input(record(np.ones((samples, 12)), rate=rate), InputContract(units_per_millivolt=1.0))
    assert found.shape == (4096, 12)
    assert valid[:, 0].sum() == -(-samples * 400 // rate)
    np.testing.assert_allclose(found[valid], 1, atol=1e-3)


def test_the_recording_itself_is_not_changed():
    signal = noise(500)
    signal[100:120] = np.nan
    recording = record(signal, rate=500.0)
    before = recording.signal.copy(), recording.valid.copy()
    for normalization in ("none", "zscore"):
        create_input(recording, InputContract(normalization=normalization))
    np.testing.assert_array_equal(recording.signal, before[0])
    np.testing.assert_array_equal(recording.valid, before[1])
