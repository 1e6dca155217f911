"""What an array must be to count as an ECG."""

import numpy as np
import pytest

from ecg_jax import units
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, LIMB_LEADS, canonical_lead, canonical_leads, create_recording

SPELLINGS = {
    "I": (
        "i",
        "DI",
        "D1",
        "Lead I",
        "lead_i",
        "I lead",
        "I (ECG)",
        "I (uV)",
        "I-REF",
        "ECG I",
        "EKG-I",
        "I\0\0",
        "'I'",
    ),
    "II": (
        "ECG lead II",
        "Lead-II",
        "II [mV] # noisy",
        "D II",
        "Ⅱ",
        "MDC_ECG_LEAD_II",
        "2:2",
        "131330",
        "II (filtered)",
    ),
    "III": ("DIII", "MDC_ECG_ELEC_POTL_III", "5.6.3-9-61", "2:317"),
    "aVR": ("avr", "AVR", "aV_R", "aVR (mV)", "aVR_mV"),
    "V1": ("v1", " V1 ", "V1 # comment", "Chest lead V1", "V 1", "V01", "ECG C1"),
    "V6": ("ecg_v6", "V6 lead", "2:8"),
}
OTHERS = (
    "MLII",
    "V7",
    "V3R",
    "-aVR",
    "Lead -aVR",
    "aVR (-)",
    "aVR (inverted)",
    "I-II",
    "V1-V2",
    "C3-A2",
    "EEG (C4-A1)",
    "Lead 1",
    "X",
    "",
)


@pytest.mark.parametrize("spelling, lead", [(each, lead) for lead, spelled in SPELLINGS.items() for each in spelled])
def test_a_lead_is_known_in_its_usual_spellings(spelling, lead):
    assert canonical_lead(spelling) == lead


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_none_of_the_twelve_leads_is_left_alone(name):
    assert canonical_lead(f" {name} ") == name


@pytest.mark.parametrize(
    "names, leads",
    [
        (("I", "II", "C1", "C2"), ("I", "II", "V1", "V2")),
        (("ECG II", "C3", "C4"), ("II", "C3", "C4")),  # electrodes of a sleep recording
        (("I", "II", "V1", "C2"), ("I", "II", "V1", "C2")),
    ],
)
def test_chest_leads_are_called_after_electrodes_only_where_nothing_else_is_meant(names, leads):
    assert canonical_leads(names) == leads


@pytest.mark.parametrize(
    "unit, millivolts",
    [
        *[
            (unit, 1e-3)
            for unit in ("uV", "µV", "μV", "UV", "uVolt", "microvolt", "MICROVOLTS", "ÂµV", "Î¼V", "uV/LSB")
        ],
        *[(unit, 1.0) for unit in ("mV", "MV", "mVolts", "millivolt", "[mV]", "'mV'", "mV\0\0")],
        *[("nV", 1e-6), ("V", 1e3), ("volts", 1e3), ("uVperLsb", 1e-3)],
        *[(unit, None) for unit in ("", "m", "adu", "mmHg", "NU", "%", "kV")],
    ],
)
def test_a_voltage_is_known_in_its_usual_spellings(unit, millivolts):
    assert units.find_millivolts(unit) == millivolts


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


def test_a_lead_without_a_name_is_refused_by_its_place():
    with pytest.raises(InputError, match="rec7: lead 2 of 3 has no name"):
        create_recording(np.zeros((5, 3)), leads=("I", "  ", "V1"), sampling_rate=100, id="rec7")


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


def test_beside_standard_leads_other_columns_are_neither_signal_nor_gap():
    index = [0.0, np.nan, 2.0]
    recording = create_recording(np.column_stack([index, np.zeros(3)]), leads=("row", "II"), sampling_rate=1, id="x")
    assert recording.lead_columns == [1]
    assert recording.is_degenerate
    assert recording.gaps == 0
    alone = create_recording(np.array(index)[:, None], leads=("ECG",), sampling_rate=1, id="x")
    assert not alone.is_degenerate
    assert alone.gaps == 1
