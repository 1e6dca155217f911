"""From a recording to the array of a contract."""

import itertools

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_jax.contract import InputContract
from ecg_jax.data import preprocess_on_device
from ecg_jax.data.filters import design_band, design_filter
from ecg_jax.data.preprocess import create_input, create_windows, place_windows, standardize
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


@pytest.mark.parametrize("samples", [200, 203])
@pytest.mark.parametrize("rate", [1000, 500, 450, 257])
def test_no_single_nan_is_lost_and_none_spreads_beyond_a_step_of_the_coarser_rate(rate, samples):
    for start in range(0, samples, 12):
        signal = np.ones((samples, 12))
        signal[range(start, min(start + 12, samples)), range(min(12, samples - start))] = np.nan  # one per lead
        _, valid = standardize(record(signal, rate=float(rate)), InputContract())
        for lead in range(min(12, samples - start)):
            invalid = np.flatnonzero(~valid[:, lead])
            assert invalid.size >= 1
            assert np.all(np.abs(invalid / 400 - (start + lead) / rate) <= max(1 / 400, 1 / rate) + 1e-12)
        assert valid[:, samples - start :].all()


def test_where_fewer_samples_are_made_a_nan_within_half_a_new_one_makes_it_invalid():
    signal = np.ones((20, 3))  # at 1000 Hz; new samples lie at 0, 2.5, 5, 7.5, ...
    signal[6, 0] = signal[9, 1] = signal[[3, 4], 2] = np.nan
    contract = InputContract(leads=("I", "II", "V1"))
    _, valid = standardize(record(signal, leads=contract.leads, rate=1000.0), contract)
    assert [np.flatnonzero(~lead).tolist() for lead in valid.T] == [[2], [4], [1, 2]]


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


@pytest.mark.parametrize("length", [100, 60, 140], ids=["whole", "cropped", "padded"])
def test_data_declared_z_scored_gets_the_usual_deviations_of_its_leads(length):
    signal = 3 + 2 * noise(100, 2)  # whatever deviation it has
    signal[60:70, 1] = np.nan
    contract = InputContract(leads=("V5", "II"), samples=length, units_per_millivolt=4.0, usual_deviations=(0.25, 0.1))
    found, valid = create_input(record(signal, leads=("II", "V5"), normalized=True), contract)
    assert not found[~valid].any()
    for lead, deviation in enumerate((4 * 0.25, 4 * 0.1)):
        inside = found[valid[:, lead], lead].astype(np.float64)
        assert (inside.mean(), inside.std()) == pytest.approx((0, deviation), abs=1e-5)
    shown = slice(20, 80) if length == 60 else slice(None)
    known = ~np.isnan(signal[shown, 0])
    assert np.corrcoef(found[valid[:, 1], 1], signal[shown, 0][known])[0, 1] > 0.9999


def test_usual_deviations_leave_recordings_with_amplitudes_as_they_are():
    usual = InputContract(samples=100, usual_deviations=(0.1,) * 12)
    found, _ = create_input(record(noise(100)), usual)
    np.testing.assert_array_equal(found, create_input(record(noise(100)), InputContract(samples=100))[0])


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


def passed(frequency, seconds=20, rate=400.0, **filters):
    """What filters leave of a sine: its gain, and its phase in radians, away from the ends."""
    time = np.arange(int(seconds * rate)) / rate
    sine = np.sin(2 * np.pi * frequency * time)
    contract = one_lead(len(time), rate, units_per_millivolt=1.0, **filters)
    found, valid = create_input(record(sine[:, None], leads=["I"], rate=rate), contract)
    assert valid.all()
    inside = slice(int(5 * rate), -int(5 * rate))
    turning = np.exp(2j * np.pi * frequency * time[inside])
    response = 2j * np.mean(found[inside, 0] * turning.conj())
    return abs(response), np.angle(response)


# A Butterworth filter of order 2, run forward and backward, has the gain 1 / (1 + (f / corner)^4) (the
# bilinear transform bends frequencies near half the sampling rate, so that these stay far below).
@pytest.mark.parametrize(
    "frequency, filters, gain",
    [
        (10.0, {"highpass": 0.5}, 1.0),
        (0.5, {"highpass": 0.5}, 0.5),
        (0.1, {"highpass": 0.5}, 1 / (1 + 5**4)),
        (5.0, {"lowpass": 40.0}, 1.0),
        (40.0, {"lowpass": 40.0}, 0.5),
        (80.0, {"lowpass": 20.0}, 1 / (1 + 4**4)),
        (50.0, {"notch": 50.0}, 0.0),
        (60.0, {"notch": 60.0}, 0.0),
        (60.0, {"notch": 50.0}, 1.0),
        (10.0, {"notch": 50.0}, 1.0),
        (10.0, {"highpass": 0.5, "lowpass": 100.0, "notch": 50.0}, 1.0),
    ],
)
def test_a_filter_lets_a_sine_pass_as_its_formula_says(frequency, filters, gain):
    found, phase = passed(frequency, **filters)
    assert found == pytest.approx(gain, abs=0.02)
    if gain > 0.1:
        assert phase == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("rate", [100.0, 250.0, 500.0, 1000.0])
def test_a_notch_is_as_narrow_as_its_quality_at_every_rate(rate):
    corner = 25.0 + 25.0 / 60  # half a bandwidth above; forward and backward: half the gain
    assert passed(25.0, rate=rate, notch=25.0)[0] < 0.01
    assert passed(corner, rate=rate, notch=25.0)[0] == pytest.approx(0.5, abs=0.02)


def draw_leads(samples: int) -> np.ndarray:
    """Two leads of noise on a baseline that wanders, far from zero, float32 mV."""
    rng = np.random.default_rng(samples)
    wander = 0.02 * rng.normal(size=(samples, 2)).cumsum(axis=0) + rng.normal(size=2)
    return (wander + rng.normal(size=(samples, 2))).astype(np.float32)


HUNDREDTH = 1e-5  # mV, of a microvolt


@given(
    samples=st.integers(1, 6000) | st.integers(30_000, 40_000),
    filters=st.sampled_from(
        [
            {"highpass": 0.5, "lowpass": 40.0},
            {"highpass": 0.05, "notch": 50.0},
            {"lowpass": 150.0},
            {"highpass": 0.5, "lowpass": 40.0, "notch": 60.0, "bandpass_order": 3},
        ]
    ),
)
@settings(deadline=None, max_examples=25)
def test_a_filter_is_scipys_in_the_middle_and_at_the_ends_within_a_hundredth_of_a_microvolt(samples, filters):
    signal = draw_leads(samples)
    contract = InputContract(leads=("I", "II"), sampling_rate=400.0, units_per_millivolt=1.0, **filters)
    found, _ = standardize(create_recording(signal, leads=["I", "II"], sampling_rate=400.0, id="x"), contract)
    wanted = signal.astype(float)
    [step] = contract.signal_steps(400.0)
    parts = design_band(step) if step.order else [(design_filter(step), 400 / 3)]
    for sections, length in parts:
        wanted = scipy.signal.sosfiltfilt(sections, wanted, axis=0, padlen=min(samples - 1, round(3 * length)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=HUNDREDTH)


@given(
    samples=st.integers(1, 6000) | st.just(100_000),
    rate=st.sampled_from([50, 100, 128, 240, 250, 256, 257, 300, 360, 500, 512, 977, 1000, 2000, 8000]),
)
@settings(deadline=None, max_examples=25)
def test_resampling_is_scipys_within_a_hundredth_of_a_microvolt(samples, rate):
    signal = draw_leads(samples)
    ends = {"padtype": "line" if samples > 1 else "edge"}
    wanted = signal[:1] + scipy.signal.resample_poly(signal - signal[:1], 400, rate, axis=0, **ends)
    recording = create_recording(signal, leads=["I", "II"], sampling_rate=rate, id="x")
    found, valid = standardize(recording, InputContract(leads=("I", "II")))
    assert valid.all()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=HUNDREDTH)


def test_filters_do_not_move_a_peak():
    time = np.arange(4000) / 400
    peak = np.exp(-0.5 * ((time - 5) / 0.02) ** 2)[:, None]
    contract = one_lead(4000, highpass=0.5, lowpass=40.0, notch=50.0, units_per_millivolt=1.0)
    found, _ = create_input(record(peak, leads=["I"]), contract)
    assert found[:, 0].argmax() == 2000
    np.testing.assert_allclose(found[1900:2000, 0], found[2100:2000:-1, 0], atol=1e-3)


FILTERS = {"highpass": 0.5, "lowpass": 40.0, "notch": 50.0}


def test_a_highpass_takes_a_level_out_from_the_first_sample_on():
    found, _ = create_input(record(np.full((4000, 12), 3.0)), InputContract(samples=4000, **FILTERS))
    np.testing.assert_allclose(found, 0, atol=1e-5)


def test_a_gap_stays_a_gap_through_filters_and_does_not_spread():
    time = np.arange(4000) / 400
    signal = np.sin(2 * np.pi * 5 * time)[:, None] * [1.0, 1.0]
    whole, _ = create_input(record(signal, leads=("I", "II")), InputContract(("I", "II"), samples=4000, **FILTERS))
    signal[2000:2020, 0] = np.nan
    contract = InputContract(("I", "II"), samples=4000, **FILTERS)
    found, valid = create_input(record(signal, leads=("I", "II")), contract)
    np.testing.assert_array_equal(np.flatnonzero(~valid[:, 0]), np.arange(2000, 2020))
    np.testing.assert_array_equal(found[2000:2020, 0], 0)
    np.testing.assert_array_equal(found[:, 1], whole[:, 1])
    np.testing.assert_allclose(found[:1600, 0], whole[:1600, 0], atol=0.02)
    assert np.abs(found).max() < 2.5


@pytest.mark.parametrize("samples", [1, 2, 3, 10, 399, 401])
@pytest.mark.parametrize("rate", [400.0, 500.0])
def test_short_recordings_are_filtered_too(samples, rate):
    found, valid = create_input(record(noise(samples), rate=rate), InputContract(**FILTERS))
    assert np.isfinite(found).all()
    assert valid[:, 0].sum() == -(-samples * 400 // rate)


def test_a_lead_of_nothing_stays_nothing_through_filters():
    signal = noise(1000)
    signal[:, 7] = np.nan
    found, valid = create_input(record(signal), InputContract(samples=1000, **FILTERS))
    np.testing.assert_array_equal(found[:, 7], 0)
    assert not valid[:, 7].any()
    everything, valid = create_input(record(np.full((1000, 12), np.nan)), InputContract(samples=1000, **FILTERS))
    assert not everything.any()
    assert not valid.any()


def test_normalized_recordings_are_filtered_as_others_are():
    signal = noise(4000)
    contract = InputContract(samples=4000, normalization="zscore", **FILTERS)
    plain = InputContract(samples=4000, units_per_millivolt=1.0, **FILTERS)
    found, _ = create_input(record(signal, normalized=True), contract)
    np.testing.assert_array_equal(found, create_input(record(signal), plain)[0])


# The same ECG in many guises. It has nothing above 15 Hz, and it and its slope vanish at both
# ends (resampling continues a recording by lines), so that any rate of 100 Hz or more holds all of it.
def draw_wave(seconds, leads, seed=0):
    """A function of time: `[samples]` to `[samples, leads]` millivolts."""
    rng = np.random.default_rng(seed)
    frequency, phase, size = rng.uniform(0.5, 15, (4, leads)), rng.uniform(0, 6.28, (4, leads)), rng.normal(size=leads)

    def wave(time):
        fade = np.sin(np.pi * np.clip(time / seconds, 0, 1))[:, None] ** 2
        return fade * size * np.sin(2 * np.pi * frequency[:, None] * time[:, None] + phase[:, None]).mean(axis=0)

    return wave


SPELLINGS = (str, str.upper, str.lower, "Lead {}".format, "MDC_ECG_LEAD_{}".format, " {} ".format)
UNITS = {"mV": 1.0, "uV": 1e-3, "V": 1e3, "counts": 1 / 200}


@settings(deadline=None, max_examples=60)
@given(
    rate=st.one_of(st.sampled_from([100.0, 128.0, 250.0, 257.0, 360.0, 500.0, 512.0, 1000.0]), st.floats(100, 1000)),
    seconds=st.one_of(st.floats(1, 30), st.sampled_from([120, 600, 1800])),
    count=st.integers(1, 12),
    order=st.randoms(use_true_random=False),
    spelling=st.sampled_from(SPELLINGS),
    unit=st.sampled_from(sorted(UNITS)),
)
def test_the_same_ecg_is_the_same_input_whatever_its_rate_length_leads_order_spelling_and_unit(
    rate, seconds, count, order, spelling, unit
):
    leads = list(LEADS)
    order.shuffle(leads)
    if seconds > 60:
        leads, rate = leads[:1], round(rate)
    leads = leads[:count]
    wave = draw_wave(seconds, len(leads))
    signal = wave(np.arange(int(seconds * rate)) / rate) / UNITS[unit]
    names = [spelling(lead) for lead in leads]
    found, valid = standardize(
        record(signal, leads=names, rate=float(rate), millivolts_per_unit=UNITS[unit]),
        InputContract(leads=tuple(sorted(leads, key=LEADS.index))),
    )
    assert abs(len(found) - seconds * 400) <= 400 / rate + 2
    assert valid.all()
    columns = sorted(range(len(leads)), key=lambda i: LEADS.index(leads[i]))
    expected = wave(np.arange(len(found)) / 400)[:, columns]
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(signal).max() * UNITS[unit] + 1e-6)


@settings(deadline=None, max_examples=60)
@given(
    rate=st.integers(100, 1000),
    seconds=st.floats(1, 20),
    begin=st.floats(0, 1),
    length=st.floats(0, 0.5),
    filtered=st.booleans(),
)
def test_a_nan_stays_where_it_was_at_any_rate_and_length(rate, seconds, begin, length, filtered):
    time = np.arange(int(seconds * rate)) / rate
    signal = draw_wave(seconds, 2)(time)
    first = min(int(begin * len(time)), len(time) - 1)
    last = min(first + 1 + int(length * len(time)), len(time))
    signal[first:last, 0] = np.nan
    contract = InputContract(leads=("I", "II"), **(FILTERS if filtered else {}))
    found, valid = standardize(record(signal, leads=("I", "II"), rate=float(rate)), contract)
    assert np.isfinite(found).all()
    assert valid[:, 1].all()
    place = np.arange(len(found)) / 400
    margin = 0.5 / rate + 0.5 / 400
    inside = (place > time[first] + margin) & (place < time[last - 1] - margin)
    outside = (place < time[first] - margin) | ((place > time[last - 1] + margin) & (place <= time[-1]))
    assert not valid[inside, 0].any()
    assert valid[outside, 0].all()
    np.testing.assert_array_equal(found[~valid], 0)


@settings(deadline=None, max_examples=30)
@given(st.permutations(LEADS), st.sampled_from([400.0, 500.0]))
def test_the_order_of_the_columns_changes_no_bit(order, rate):
    signal = noise(800)
    straight = create_input(record(signal, rate=rate), InputContract(samples=900, **FILTERS))
    shuffled = record(signal[:, [LEADS.index(lead) for lead in order]], leads=order, rate=rate)
    for one, other in zip(straight, create_input(shuffled, InputContract(samples=900, **FILTERS)), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def two_leads(samples, **options):
    return InputContract(leads=("I", "II"), samples=samples, units_per_millivolt=1.0, **options)


def test_a_joint_z_score_keeps_leads_in_proportion():
    recording = record([[0.0, 4.0], [0.0, 4.0]], leads=("I", "II"))
    found, _ = create_input(recording, two_leads(2, normalization="zscore_joint"))
    np.testing.assert_allclose(found, [[-1, 1], [-1, 1]])  # mean 2, deviation 2


def test_an_unbiased_z_score_divides_by_one_sample_less():
    recording = record([[0.0, 5.0], [2.0, 5.0]], leads=("I", "II"))
    found, _ = create_input(recording, two_leads(2, normalization="zscore", unbiased=True))
    np.testing.assert_allclose(found, [[-(0.5**0.5), 0], [0.5**0.5, 0]], rtol=1e-6)  # variance 2; a flat lead is 0


def test_min_and_max_become_0_and_1_and_what_is_invalid_0():
    recording = record([[-1.0, 3.0], [3.0, 3.0], [0.0, 3.0], [np.nan, 3.0]], leads=("I", "II"))
    found, _ = create_input(recording, two_leads(4, normalization="minmax"))
    np.testing.assert_allclose(found, [[0, 0], [1, 0], [0.25, 0], [0, 0]])


def test_a_fixed_scaler_subtracts_and_divides():
    recording = record([[1.0, -1.0]], leads=("I", "II"))
    contract = InputContract(leads=("I", "II"), samples=3, offset=0.5, units_per_millivolt=4.0)
    np.testing.assert_allclose(create_input(recording, contract)[0], [[0, 0], [2, -6], [0, 0]])


@pytest.mark.parametrize("normalization", ["zscore", "zscore_joint", "minmax"])
@pytest.mark.parametrize("unbiased", [False, True])
def test_normalizations_are_the_same_on_the_device(normalization, unbiased):
    contract = two_leads(30, normalization=normalization, unbiased=unbiased)
    signal = noise(30, 2).astype(np.float32)
    valid = np.arange(30)[:, None] > 4
    found = preprocess_on_device.run(contract.amplitude_steps(), signal, valid)
    expected, _ = create_input(record(np.where(valid, signal, np.nan), leads=("I", "II")), contract)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_step_that_the_device_cannot_carry_out_is_named():
    steps = InputContract(median_baseline=0.4).signal_steps(400.0)
    with pytest.raises(TypeError, match="SubtractMedian"):
        preprocess_on_device.run(steps, np.zeros((9, 12), np.float32), np.ones((9, 1), bool))


def test_statistics_of_the_whole_recording_are_not_those_of_a_window():
    recording = record([[0.0], [2.0], [4.0], [6.0]], leads=("I",))
    within = one_lead(2, normalization="zscore", window_stride=2)
    whole = one_lead(2, normalization="zscore", window_stride=2, statistics="recording")
    np.testing.assert_allclose(create_windows(recording, within)[0][..., 0], [[-1, 1], [-1, 1]])
    np.testing.assert_allclose(create_windows(recording, whole)[0][..., 0] * 5**0.5, [[-3, -1], [1, 3]], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "length", "begins"),
    [
        ({}, 25, [0, 8, 15]),  # spread evenly; the last ends where the recording does
        ({"window_stride": 5}, 24, [0, 5, 10]),  # the rest, from 20 on, is dropped
        ({"window_stride": 5}, 7, [0]),
        ({"window_count": 3}, 26, [3, 6, 9]),  # of five in steps of 16 // 5, without the first and the last
        ({"window_count": 3}, 12, [0, 0, 0]),
    ],
    ids=str,
)
def test_windows_begin_where_the_contract_says(options, length, begins):
    assert place_windows(length, one_lead(10, **options)).tolist() == begins


def test_ends_where_all_leads_are_equal_are_cut_off_but_no_gap_inside():
    signal = [[0, 0], [0, 0], [1, 2], [0, 0], [3, 1], [7, 7]]
    found, _ = standardize(record(np.array(signal, float), leads=("I", "II")), two_leads(6, trim=True))
    np.testing.assert_allclose(found, [[1, 2], [0, 0], [3, 1]])


def test_linear_resampling_keeps_the_first_and_the_last_sample():
    recording = record([[0.0], [3.0], [0.0]], leads=("I",), rate=1.0)
    found, _ = standardize(recording, one_lead(6, rate=2.0, resampling="linear"))
    np.testing.assert_allclose(found[:, 0], [0, 1.2, 2.4, 2.4, 1.2, 0], rtol=1e-6)  # 3 samples stretched over 6


def test_polyphase_resampling_over_zeros_is_scipys():
    signal = noise(300, 1) + 5
    found, _ = standardize(record(signal, leads=("I",), rate=300.0), one_lead(400, resampling="polyphase_zeros"))
    np.testing.assert_allclose(found, scipy.signal.resample_poly(signal, 4, 3, axis=0), rtol=1e-5)


def test_a_band_pass_filter_is_scipys_forward_and_backward():
    signal = noise(2000, 1)
    contract = one_lead(2000, rate=500.0, highpass=0.67, lowpass=40.0, notch=50.0, bandpass_order=4)
    found, _ = standardize(record(signal, leads=("I",), rate=500.0), contract)
    expected = scipy.signal.filtfilt(*scipy.signal.iirnotch(50, 30, 500), signal[:, 0])
    expected = scipy.signal.filtfilt(*scipy.signal.butter(4, (0.67, 40), "bandpass", fs=500), expected)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


def test_a_running_median_is_subtracted_with_zeros_beyond_the_ends():
    recording = record([[5.0], [1.0], [2.0], [9.0]], leads=("I",), rate=10.0)
    found, _ = standardize(recording, one_lead(4, rate=10.0, median_baseline=0.3))
    np.testing.assert_allclose(found[:, 0], [5 - 1, 1 - 2, 2 - 2, 9 - 2])
