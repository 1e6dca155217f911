"""What an array must be to count as an ECG."""

import numpy as np
import pytest

from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, LIMB_LEADS, canonical_lead, create_recording


@pytest.mark.parametrize(
    "spelling, lead",
    [
        ("avr", "aVR"),
        ("AVL", "aVL"),
        ("aVf", "aVF"),
        ("v1", "V1"),
        (" V6 ", "V6"),
        ("i", "I"),
        ("DI", "I"),
        ("dii", "II"),
        ("DIII", "III"),
        ("Lead II", "II"),
        ("LEAD_V3", "V3"),
        ("lead aVR", "aVR"),
        ("MDC_ECG_LEAD_AVF", "aVF"),
        ("MDC_ECG_LEAD_I", "I"),
    ],
)
def test_a_lead_is_known_in_its_usual_spellings(spelling, lead):
    assert canonical_lead(spelling) == lead


@pytest.mark.parametrize("lead", LEADS)
def test_the_standard_spelling_is_left_alone(lead):
    assert canonical_lead(lead) == lead


@pytest.mark.parametrize("name", ["vx", "V7", "V1R", "resp", "IV"])
def test_an_unknown_name_is_kept_as_it_is(name):
    assert canonical_lead(f" {name} ") == name


def test_the_limb_leads_are_einthovens_and_goldbergers():
    one, two = 0.7, 1.1
    values = {lead: a * one + b * two for lead, (a, b) in LIMB_LEADS.items()}
    expected = {"I": 0.7, "II": 1.1, "III": 0.4, "aVR": -0.9, "aVL": 0.15, "aVF": 0.75}
    assert values == pytest.approx(expected)


def test_a_unit_per_lead_scales_each_lead_to_millivolts():
    recording = create_recording(
        np.array([[1000, 2], [-500, 4]], np.int16),
        leads=("I", "II"),
        sampling_rate=500,
        id="x",
        millivolts_per_unit=np.array([1e-3, 0.5]),
    )
    np.testing.assert_allclose(recording.signal, [[1.0, 1.0], [-0.5, 2.0]], rtol=1e-6)
    assert recording.signal.dtype == np.float32
    assert recording.leads == ("I", "II")
    assert recording.sampling_rate == 500.0


def test_nan_and_infinity_become_invalid_zeros_and_are_counted():
    signal = np.array([[1.0, np.nan], [np.inf, 2.0], [3.0, -np.inf]])
    recording = create_recording(signal, leads=("I", "II"), sampling_rate=100, id="x")
    np.testing.assert_array_equal(recording.valid, [[True, False], [False, True], [True, False]])
    np.testing.assert_array_equal(recording.signal, [[1, 0], [0, 2], [3, 0]])
    assert recording.gaps == 3


def test_samples_known_to_be_invalid_are_zeroed_but_are_no_gaps():
    valid = np.array([[False], [True], [True]])
    recording = create_recording(np.array([[9.0], [np.nan], [3.0]]), leads=["I"], sampling_rate=1, id="x", valid=valid)
    np.testing.assert_array_equal(recording.valid[:, 0], [False, False, True])
    np.testing.assert_array_equal(recording.signal[:, 0], [0, 0, 3])
    assert recording.gaps == 1


def test_zeros_alone_are_no_ecg():
    def degenerate(signal):
        return create_recording(np.array(signal)[:, None], leads=["I"], sampling_rate=100, id="x").is_degenerate

    assert degenerate([0.0, 0.0])
    assert degenerate([np.nan, np.nan])
    assert degenerate([0.0, np.nan])
    assert not degenerate([0.0, 0.1])


def test_the_same_lead_in_two_spellings_is_refused_by_name():
    with pytest.raises(InputError, match=r"rec7: duplicate lead\(s\) I, aVR"):
        create_recording(np.zeros((5, 5)), leads=("I", "DI", "avr", "aVR", "V1"), sampling_rate=100, id="rec7")


@pytest.mark.parametrize("shape", [(5, 3), (5,), (5, 2, 1), (2, 5)])
def test_a_shape_that_does_not_fit_the_leads_is_refused(shape):
    with pytest.raises(InputError, match="rec7: signal has shape"):
        create_recording(np.zeros(shape), leads=("I", "II"), sampling_rate=100, id="rec7")


def test_an_empty_signal_is_refused():
    with pytest.raises(InputError, match="rec7: the recording has no samples"):
        create_recording(np.zeros((0, 2)), leads=("I", "II"), sampling_rate=100, id="rec7")


@pytest.mark.parametrize("rate", [0, -500.0, np.nan, np.inf])
def test_an_impossible_sampling_rate_is_refused(rate):
    with pytest.raises(InputError, match="rec7: sampling rate"):
        create_recording(np.ones((5, 1)), leads=["I"], sampling_rate=rate, id="rec7")
