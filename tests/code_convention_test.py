"""HDF5 `tracings`: what is declared wins; CODE's convention is assumed only where the file agrees, and it is said."""

import h5py
import numpy as np
import pytest
from ecg_files import write_sidecar

from ecg_jax.data import readers, verify
from ecg_jax.data.readers import Declared, code_convention, code_hdf5
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS
from ecg_jax.simulation import textbook

ASSUMED = "sampling rate and unit not stated, CODE's 400 Hz and 2 units per mV assumed"
REMEDY = (
    'write x.json beside it, as {"sampling_rate": 500, "unit": "UNIT"} (UNIT is one of mV, uV, V, code, zscore), or '
    "folder.json, for all files beside it; or pass --file_rate, --file_unit"
)


def simulate(seed=0):
    """`[2800 or 4000, 12]` mV at 400 Hz."""
    return textbook.simulate(np.random.default_rng(seed), np.zeros(6, bool), textbook.Conditions())


def pad(signal, samples=4096):
    """In the middle of zeros, or its own middle."""
    signal = signal[max(len(signal) - samples, 0) // 2 :][:samples]
    before = (samples - len(signal)) // 2
    return np.pad(signal, ((before, samples - len(signal) - before), (0, 0)))


def write(folder, *exams, **attributes):
    with h5py.File(folder / "x.h5", "w") as file:
        file["tracings"] = np.stack(exams).astype(np.float32)
        file["tracings"].attrs.update(attributes)
    return str(folder / "x.h5")


def read(path, declared=None):
    return readers.read(path, declared=declared)


def test_an_exam_that_agrees_with_codes_is_read_as_such_and_that_is_said(tmp_path):
    signal = simulate()
    recording = read(write(tmp_path, pad(2 * signal)))
    assert recording.sampling_rate == 400
    assert recording.notes == (ASSUMED,)
    assert recording.contradictions == ()
    np.testing.assert_allclose(recording.signal[recording.valid.all(axis=1)], signal, rtol=1e-6)


@pytest.mark.parametrize("way", ["flags", "sidecar", "attributes", "attributes of the file"])
def test_a_declared_rate_and_unit_win(tmp_path, way):
    signal = simulate()
    stated = {"sampling_rate": 500, "unit": "mV"}
    path = write(tmp_path, signal, **(stated if way == "attributes" else {}))
    if way == "sidecar":
        write_sidecar(tmp_path, "x", leads=None)
    if way == "attributes of the file":
        with h5py.File(path, "a") as file:
            file.attrs.update(fs=["500 Hz"] * 12, Units=[b"mV"] * 12)
    recording = read(path, Declared((), 500.0, "mV") if way == "flags" else None)
    assert (recording.sampling_rate, recording.notes) == (500, ())
    np.testing.assert_allclose(recording.signal, signal, rtol=1e-6)
    found = readers.find(path, Declared((), 500.0, "mV") if way == "flags" else None)
    np.testing.assert_allclose(found[0].read().signal, signal, rtol=1e-6)


def test_keys_of_a_sidecar_that_are_not_known_are_noted(tmp_path):
    path = write(tmp_path, simulate())
    write_sidecar(tmp_path, "x", leads=None, patient="p")
    assert read(path).notes == ("x.json: key(s) patient not known, so not read",)


def test_flags_win_over_attributes_that_differ_with_a_note(tmp_path):
    path = write(tmp_path, simulate(), sampling_rate=250, unit="uV")
    recording = read(path, Declared((), 400.0, "mV"))
    assert recording.sampling_rate == 400
    assert recording.notes == (
        "sampling_rate 250 of the file's attributes is not used: --file_rate states 400",
        "unit uV of the file's attributes is not used: --file_unit states mV",
    )


def test_an_attribute_that_is_no_rate_is_not_needed_beside_flags(tmp_path):
    path = write(tmp_path, simulate(), sampling_rate="often")
    assert read(path, Declared((), 400.0, "mV")).sampling_rate == 400


def test_a_declared_order_of_leads_is_kept(tmp_path):
    order = (*LEADS[6:], *LEADS[:6])
    path = write(tmp_path, simulate(), sampling_rate=400, unit="uV", leads=",".join(order))
    recording = read(path)
    assert recording.leads == order
    assert np.ptp(recording.signal) == pytest.approx(np.ptp(simulate()) / 1000, rel=1e-4)


@pytest.mark.parametrize("samples", [5000, 1000, 4000])
def test_exams_of_another_length_are_refused_with_the_flags_that_mend_it(tmp_path, samples):
    with pytest.raises(InputError) as error:
        read(write(tmp_path, pad(simulate(), samples)))
    assert f"not CODE's: exams of {samples} samples, CODE's have 4096; {REMEDY}" in str(error.value)


@pytest.mark.parametrize(
    "attributes, reason",
    [
        ({"sampling_rate": 500}, "unit not stated, and not CODE's: its 500 Hz are not CODE's"),
        ({"unit": "mV"}, "sampling rate not stated, and not CODE's: its unit mV is not CODE's"),
        ({"sampling_rate": "often", "unit": "mV"}, "attribute for the sampling rate is 'often', no Hz"),
        ({"sampling_rate": 500, "unit": "furlong"}, "unit 'furlong'; known: mV, uV, V, code, zscore"),
    ],
)
def test_half_of_a_declaration_is_completed_only_with_codes(tmp_path, attributes, reason):
    with pytest.raises(InputError) as error:
        read(write(tmp_path, pad(2 * simulate()), **attributes))
    assert reason in str(error.value)


def test_half_of_codes_own_is_completed(tmp_path):
    assert read(write(tmp_path, pad(2 * simulate()), fs=400)).notes == (ASSUMED.replace("sampling rate and ", ""),)


@pytest.mark.parametrize("factor", [10, 1000, 0.1])
def test_an_exam_of_another_size_is_refused_unless_warnings_are_asked_for(tmp_path, factor):
    recording = read(write(tmp_path, pad(factor * simulate())))
    with pytest.raises(InputError, match=r"and not CODE's: a beat's range is .* units, in CODE's files 0.5 to 6; w"):
        verify.enforce(recording, "refuse")
    assert "content" in {finding.check for finding in verify.enforce(recording, "warn")[1]}


# A file of many exams says more than each of them


def exams(count=40, factor=2.0, rate=400):
    """As another rate's samples: a beat that lasts `rate` samples at 60 per minute."""
    made = []
    for seed in range(count):
        signal = simulate(seed)
        place = np.linspace(0, len(signal) - 1, round(len(signal) * rate / 400))
        made.append(pad(factor * np.stack([np.interp(place, np.arange(len(signal)), lead) for lead in signal.T], 1)))
    return made


def test_many_exams_of_codes_kind_are_read(tmp_path):
    path = write(tmp_path, *exams())
    assert [*{source.read().notes for source in readers.find(path)[:3]}] == [(ASSUMED,)]


@pytest.mark.parametrize(
    "kind, reason",
    [
        ({"factor": 1.0, "rate": 500}, r"1 mV seems to be 1\.\d+ units"),
        ({"factor": 2.0, "rate": 1000}, r"the median heart rate would be \d\d per minute at CODE's 400 Hz"),
        ({"factor": 2.0, "rate": 250}, r"exams have \d+ samples|the median heart rate would be 1\d\d per minute"),
    ],
)
def test_many_exams_of_another_kind_are_refused(tmp_path, kind, reason):
    path = write(tmp_path, *exams(**kind))
    with pytest.raises(InputError, match=reason) as error:
        code_hdf5.read(path, 0)
    assert REMEDY in str(error.value)
    declared = Declared((), float(kind["rate"]), "mV" if kind["factor"] == 1 else "code")
    assert code_hdf5.read(path, 0, declared=declared).sampling_rate == kind["rate"]


def test_a_common_length_that_is_not_codes_is_doubted():
    assert code_convention._doubt_lengths([2500] * 9 + [4096]) == (
        "9 of 10 exams have 2500 samples, CODE's 2800, 2934, 4000, 4096"
    )
    assert code_convention._doubt_lengths([2500] * 7 + [4096] * 3) == ""
    assert code_convention._doubt_lengths([2934] * 10) == ""


@pytest.mark.slow
def test_real_exams_are_taken_for_codes(shared, tmp_path):
    found = readers.find(str(shared / "data" / "tnmg_unlabelled"))
    recordings = [source.read() for source in found[:200] if "low_sample_rate" not in source.name]
    chosen = [r for r in recordings if r.leads == LEADS and r.sampling_rate == 400 and not r.is_degenerate]
    path = write(tmp_path, *(pad(r.signal) for r in chosen))
    assert code_hdf5.read(path, 0).notes == (ASSUMED,)
