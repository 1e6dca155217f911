"""The description of a network's input."""

import json

import pytest

from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS


def test_the_default_is_the_published_networks_input():
    contract = InputContract()
    assert contract.shape == (4096, 12)
    assert contract.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert (contract.sampling_rate, contract.units_per_millivolt, contract.normalization) == (400.0, 2.0, "none")


def test_leads_are_kept_in_order_and_standard_spelling():
    contract = InputContract(leads=("v2", "DII", "avr"))
    assert contract.leads == ("V2", "II", "aVR")
    assert contract.shape == (4096, 3)


@pytest.mark.parametrize("leads", [(), ("I", "DI"), ("I", "V7"), "I,II"])
def test_leads_that_are_missing_repeated_or_unknown_are_refused(leads):
    with pytest.raises(InputError, match=r"contract\.leads"):
        InputContract(leads=leads)


@pytest.mark.parametrize("field", ["sampling_rate", "samples", "units_per_millivolt"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_number_that_is_not_positive_is_refused_by_name(field, value):
    with pytest.raises(InputError, match=rf"contract\.{field}"):
        InputContract(**{field: value})


def test_an_unknown_normalization_is_refused_naming_the_known():
    with pytest.raises(InputError, match=r"'robust'; known: none, zscore, zscore_joint, minmax"):
        InputContract(normalization="robust")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resampling": "cubic"}, r"contract\.resampling is 'cubic'; known: polyphase, polyphase_zeros, linear"),
        ({"statistics": "batch"}, r"contract\.statistics is 'batch'; known: input, recording"),
        ({"bandpass_order": 4, "highpass": 0.5}, r"bandpass_order is 4; a band-pass filter has both"),
        ({"bandpass_order": 11, "highpass": 0.5, "lowpass": 40.0}, r"bandpass_order is 11; .* order of at most 10"),
        ({"window_stride": -1}, r"contract\.window_stride is -1; it must be 0 \(off\) or more"),
        ({"median_baseline": float("nan")}, r"contract\.median_baseline is nan"),
        ({"window_stride": 100, "window_count": 3}, r"window_stride and contract\.window_count exclude each other"),
        ({"offset": 0.1, "normalization": "zscore"}, r"contract\.offset is 0\.1 mV"),
        ({"offset": float("inf")}, r"contract\.offset is inf mV"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        InputContract(**values)


def test_relations_between_leads_are_lost_where_each_was_z_scored():
    assert not InputContract(normalization="zscore_joint").takes_normalized
    assert InputContract(normalization="minmax").takes_normalized


def test_a_contract_survives_json():
    contract = InputContract(leads=("II", "V5"), sampling_rate=250.0, samples=2500, normalization="zscore")
    assert InputContract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract


@pytest.mark.parametrize("usual", [(0.1,), (0.1, 0.0), (0.1, -0.2), (0.1, float("nan")), (0.1, float("inf"))], ids=str)
def test_usual_deviations_are_one_positive_number_for_each_lead(usual):
    with pytest.raises(InputError, match=r"contract\.usual_deviations is \(0\.1.*one number above 0 for each of the 2"):
        InputContract(leads=("II", "V5"), usual_deviations=usual)


def test_z_scores_have_no_use_for_usual_deviations():
    with pytest.raises(InputError, match=r"usual_deviations .* none where contract\.normalization is zscore"):
        InputContract(leads=("II",), usual_deviations=(0.1,), normalization="zscore")


def test_usual_deviations_survive_json():
    contract = InputContract(leads=("II", "V5"), usual_deviations=(1, 0.25))
    values = json.loads(json.dumps(contract.to_dict()))
    assert values["usual_deviations"] == [1.0, 0.25]
    assert InputContract.from_dict(values) == contract


def test_normalized_recordings_are_taken_as_z_scores_or_with_usual_deviations():
    assert not InputContract().takes_normalized
    assert InputContract(normalization="zscore").takes_normalized
    assert InputContract(leads=("II",), usual_deviations=(0.1,)).takes_normalized


def test_what_a_dict_leaves_out_is_the_default():
    assert InputContract.from_dict({"samples": 1000}) == InputContract(samples=1000)
    assert InputContract.from_dict({}).leads == LEADS


def test_an_unknown_key_is_refused_by_name():
    with pytest.raises(InputError, match=r"unknown key\(s\) lead_order, rate"):
        InputContract.from_dict({"rate": 400, "lead_order": LEADS})


def test_differences_name_each_field_own_value_first():
    mine, other = InputContract(), InputContract(sampling_rate=500.0, normalization="zscore")
    assert mine.differences(other) == ["sampling_rate: 400.0 against 500.0", "normalization: none against zscore"]
    assert mine.differences(InputContract()) == []
