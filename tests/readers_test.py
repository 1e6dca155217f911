"""Files as they are found, whole and broken: WFDB, CODE HDF5, and the finding itself."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import ecg_files
import h5py
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings

from ecg_jax.data import readers
from ecg_jax.data.readers import code_hdf5, hdf5_file
from ecg_jax.data.readers import wfdb as wfdb_reader
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, canonical_lead


def adc(samples=50, leads=12):
    return np.random.default_rng(0).integers(-3000, 3000, (samples, leads))


def write_wfdb(folder, digital, *, name="rec", leads=LEADS, units=None, gain=None, baseline=None, rate=500):
    """Writes a record of raw converter values, format 16."""
    count = digital.shape[1]
    wfdb.wrsamp(
        name,
        fs=rate,
        units=list(units or ["mV"] * count),
        sig_name=list(leads),
        d_signal=digital.astype(np.int64),
        fmt=["16"] * count,
        adc_gain=list(gain if gain is not None else [1000.0] * count),
        baseline=list(baseline if baseline is not None else [0] * count),
        write_dir=str(folder),
    )
    return str(folder / name)


def write_hdf5(path, tracings, **others):
    with h5py.File(path, "w") as file:
        for key, value in {"tracings": tracings, **others}.items():
            file[key] = value
    return str(path)


def code_tracings():
    """Three exams: of 2800 samples, of 2934 samples, and the degenerate one."""
    tracings = np.zeros((3, 4096, 12), np.float32)
    rng = np.random.default_rng(0)
    tracings[0, 648:3448] = rng.uniform(0.1, 1, (2800, 12))
    tracings[1, 581:3515] = rng.uniform(0.1, 1, (2934, 12))
    return tracings


# WFDB


def test_gain_and_baseline_are_applied_lead_by_lead(tmp_path):
    digital = np.array([[1000, 300], [0, 100], [-500, -100]])
    path = write_wfdb(tmp_path, digital, leads=("I", "V1"), gain=[1000.0, 200.0], baseline=[0, 100], rate=257)
    recording = wfdb_reader.read(path)
    np.testing.assert_allclose(recording.signal, [[1, 1], [0, 0], [-0.5, -1]], atol=1e-6)
    assert recording.sampling_rate == 257.0
    assert recording.leads == ("I", "V1")
    assert recording.id == "rec"


def test_every_unit_of_voltage_becomes_millivolts(tmp_path):
    digital = np.full((5, 5), 300)
    units, gains = ("nV", "uV", "V", "mVolts", "microvolt"), (1e-4, 0.1, 1e5, 100.0, 0.1)  # 3 mV in five ways
    path = write_wfdb(tmp_path, digital, leads=("I", "II", "V1", "V2", "V3"), units=units, gain=gains)
    np.testing.assert_allclose(wfdb_reader.read(path).signal, 3.0, rtol=1e-6)


def test_lower_case_leads_are_known(tmp_path):
    path = write_wfdb(tmp_path, adc(), leads=[lead.lower() for lead in LEADS])
    assert wfdb_reader.read(path).leads == LEADS


def test_remarks_behind_leads_and_electrodes_in_place_of_leads_are_known(tmp_path):
    path = write_wfdb(tmp_path, adc(leads=4), leads=("ECG lead I", "ECG lead II # noisy", "C1", "C4"))
    assert wfdb_reader.read(path).leads == ("I", "II", "V1", "V4")


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_record_may_be_named_with_or_without_suffix(tmp_path, suffix):
    path = write_wfdb(tmp_path, adc())
    recording = wfdb_reader.read(path + suffix, id="exam 3")
    np.testing.assert_allclose(recording.signal, adc() / 1000, atol=1e-6)
    assert recording.id == "exam 3"


def test_wfdbs_invalid_samples_are_gaps(tmp_path):
    digital = adc()
    digital[10:13, 4] = -32768
    recording = wfdb_reader.read(write_wfdb(tmp_path, digital))
    assert recording.gaps == 3
    np.testing.assert_array_equal(np.argwhere(~recording.valid), [[10, 4], [11, 4], [12, 4]])


def edit_header(path, edit):
    with open(path + ".hea") as file:
        text = file.read()
    with open(path + ".hea", "w") as file:
        file.write(edit(text))


BROKEN_HEADERS = {
    "empty": lambda text: "",
    "prose": lambda text: "this is no header\nat all\n",
    "binary": lambda text: "\x00\x01\x02\x7f" * 64,
    "fewer lines than leads": lambda text: "\n".join(text.splitlines()[:5]),
    "no leads": lambda text: "rec 0 500 50\n",
    "no lead names": lambda text: "\n".join(" ".join(line.split()[:8]) for line in text.splitlines()) + "\n",
    "rate of zero": lambda text: text.replace("rec 12 500 50", "rec 12 0 50"),
    "more samples than there are": lambda text: text.replace("rec 12 500 50", "rec 12 500 5000"),
    "another file": lambda text: text.replace("rec.dat", "elsewhere.dat"),
    "no voltage": lambda text: text.replace("/mV", "/mmHg"),
    "lead twice": lambda text: text.replace(" aVR", " V1"),
}


@pytest.mark.parametrize("edit", BROKEN_HEADERS.values(), ids=list(BROKEN_HEADERS))
def test_a_broken_header_is_refused_naming_the_record(tmp_path, edit):
    path = write_wfdb(tmp_path, adc())
    edit_header(path, edit)
    with pytest.raises(InputError, match="rec"):
        wfdb_reader.read(path)


def test_a_missing_header_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"rec\.hea: no such file"):
        wfdb_reader.read(tmp_path / "rec")


def test_a_missing_signal_file_is_refused_by_name(tmp_path):
    path = write_wfdb(tmp_path, adc())
    os.remove(path + ".dat")
    with pytest.raises(InputError, match=r"rec\.hea: .*rec\.dat"):
        wfdb_reader.read(path)


@pytest.mark.parametrize("size", [0, 1, 599, 600, 1199])
def test_a_truncated_signal_file_is_refused_naming_the_record(tmp_path, size):
    path = write_wfdb(tmp_path, adc())  # 50 samples x 12 leads x 2 bytes = 1200
    os.truncate(path + ".dat", size)
    with pytest.raises(InputError, match=r"rec\.hea: not a readable WFDB record"):
        wfdb_reader.read(path)


def test_the_message_is_one_line(tmp_path):
    path = write_wfdb(tmp_path, adc())
    os.truncate(path + ".dat", 100)
    with pytest.raises(InputError) as caught:
        wfdb_reader.read(path)
    assert "\n" not in str(caught.value)


def test_early_headers_that_name_the_signal_file_are_mended(tmp_path):
    path = ecg_files.write_challenge(tmp_path, first="rec.mat")
    with pytest.raises(ValueError, match="record line"):
        wfdb.rdrecord(str(tmp_path / "rec"))
    recording = wfdb_reader.read(path)
    np.testing.assert_allclose(recording.signal, ecg_files.digital() / 1000, rtol=1e-6)
    assert recording.notes == ("the header names rec.mat where the record's name should stand",)


@pytest.mark.parametrize(
    "before, after",
    [
        ("1000(0)/mV", "1000 (0) / mV"),
        ("rec 12 500 500", "  rec   12\t500 500  "),
        ("1000(0)/mV", "1000(0)/mv"),
        ("1000(0)/mV", "1(0)/µV"),
        ("1000(0)/mV", "1(0)/UV"),
        ("1000(0)/mV", "1.0e3/mV"),
        ("rec 12 500 500", "# made by hand\n\nrec 12 500/500(0) 500 12:00:00 01/01/2020"),
    ],
)
def test_headers_may_be_spelled_loosely(tmp_path, before, after):
    path = ecg_files.write_wfdb(tmp_path)
    edit_header(str(tmp_path / "rec"), lambda text: text.replace(before, after))
    np.testing.assert_allclose(wfdb_reader.read(path).signal, ecg_files.digital() / 1000, rtol=1e-6)


def test_the_micro_sign_survives_the_library_which_drops_it(tmp_path):
    """Read by the library, `µV` is `V`: a million times too much."""
    values = ecg_files.digital(100, 2)
    wfdb.wrsamp("rec", 500, ["uV"] * 2, ["I", "II"], d_signal=values.astype(int) // 2, fmt=["24"] * 2,
                adc_gain=[1.0] * 2, baseline=[0] * 2, write_dir=str(tmp_path))  # fmt: skip
    edit_header(str(tmp_path / "rec"), lambda text: text.replace("uV", "µV"))
    np.testing.assert_allclose(wfdb_reader.read(tmp_path / "rec").signal, values // 2 / 1000, rtol=1e-6)


@pytest.mark.parametrize("form, largest", [("212", 2000), ("24", 2000), ("32", 2000), ("80", 100), ("516", 2000)])
def test_other_formats_are_the_librarys(tmp_path, form, largest):
    values = np.random.default_rng(0).integers(-largest, largest, (300, 3))
    wfdb.wrsamp("rec", 500, ["mV"] * 3, ["I", "II", "V1"], d_signal=values, fmt=[form] * 3,
                adc_gain=[200.0] * 3, baseline=[0] * 3, write_dir=str(tmp_path))  # fmt: skip
    np.testing.assert_allclose(wfdb_reader.read(tmp_path / "rec").signal, values / 200, atol=1e-6)


def test_big_endian_samples_are_the_librarys(tmp_path):
    path = ecg_files.write_wfdb(tmp_path, form="61")
    (tmp_path / "rec.dat").write_bytes(ecg_files.digital().astype(">i2").tobytes())
    np.testing.assert_allclose(wfdb_reader.read(path).signal, ecg_files.digital() / 1000, rtol=1e-6)


def test_several_signal_files_make_one_recording(tmp_path):
    values = ecg_files.digital()
    path = ecg_files.write_wfdb(tmp_path)
    for name, columns in {"a.dat": [0, 2], "b.xyz": [*range(3, 12), 1]}.items():
        (tmp_path / name).write_bytes(values[:, columns].tobytes())
    lines = path.read_text().splitlines()
    lines[1:] = [line.replace("rec.dat", "a.dat" if i in (0, 2) else "b.xyz") for i, line in enumerate(lines[1:])]
    lines.append(lines.pop(2))  # lead II stands last in its file
    path.write_text("\n".join(lines))
    recording = wfdb_reader.read(path)
    assert recording.leads == ("I", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6", "II")
    order = [LEADS.index(lead) for lead in recording.leads]
    np.testing.assert_allclose(recording.signal, values[:, order] / 1000, rtol=1e-6)
    assert [os.path.basename(lazy.name) for lazy in readers.find(str(tmp_path))] == ["rec"]


def test_segments_of_a_variable_layout_are_joined(tmp_path):
    recording = wfdb_reader.read(ecg_files.write_segments(tmp_path))
    expected = ecg_files.digital().astype(np.float32) / 1000
    valid = np.ones((500, 12), bool)
    valid[200:300] = valid[300:, 6:] = False
    np.testing.assert_array_equal(recording.valid, valid)
    np.testing.assert_allclose(recording.signal, np.where(valid, expected, 0), rtol=1e-6)
    assert_same_as_library(recording, wfdb.rdrecord(str(tmp_path / "rec"), return_res=32))


def test_segments_of_a_fixed_layout_are_joined(tmp_path):
    values = ecg_files.digital()
    ecg_files.write_wfdb(tmp_path, values[:200], "one")
    ecg_files.write_wfdb(tmp_path, values[200:], "two")
    (tmp_path / "rec.hea").write_text("rec/2 12 500 500\none 200\ntwo 300\n")
    recording = wfdb_reader.read(tmp_path / "rec")
    np.testing.assert_allclose(recording.signal, values / 1000, rtol=1e-6)
    assert_same_as_library(recording, wfdb.rdrecord(str(tmp_path / "rec"), return_res=32))


def test_segments_are_not_listed_beside_their_record(tmp_path):
    ecg_files.write_segments(tmp_path)
    for place in (tmp_path, f"{tmp_path}/*"):
        assert [lazy.name for lazy in readers.find(place)] == [str(tmp_path / "rec")]


@pytest.mark.parametrize(
    "text, message",
    [
        ("rec/1 12 500 200\nrec 200\n", "made of segments itself"),
        ("rec/2 12 500 400\none 200\none 200\n", "names a segment twice"),
        ("rec/1 12 500 300\none 300\n", "segment one has 200 samples at 500 Hz; announced are 300"),
        ("rec/1 12 250 200\none 200\n", "announced are 200 at 250 Hz"),
        ("rec/2 12 500 100000000200\n~ 100000000000\none 200\n", "its segments store 2400"),
        ("rec/1 12 500 300\none 200\n", "announces 300 samples, its segments 200"),
        ("rec/1 12 500 200\n../one 200\n", "may only name files of its own folder"),
        ("rec/2 12 500 200\none 200\n", "1 segment lines where the record line announces 2"),
    ],
)
def test_segments_that_do_not_fit_are_refused(tmp_path, text, message):
    ecg_files.write_wfdb(tmp_path, ecg_files.digital(200), "one")
    (tmp_path / "rec.hea").write_text(text)
    with pytest.raises(InputError, match=message):
        wfdb_reader.read(tmp_path / "rec")


@pytest.mark.parametrize(
    "name", ["../rec.dat", "/etc/passwd", "a/../rec.dat", "a//rec.dat", "..\\rec.dat", "C:rec.dat"]
)
def test_a_header_may_not_name_a_file_outside_its_folder(tmp_path, name):
    path = ecg_files.write_wfdb(tmp_path, file=name)
    with pytest.raises(InputError, match="a WFDB header may only name files of its own folder"):
        wfdb_reader.read(path)


def test_a_header_may_name_its_signal_file_in_a_folder_below(tmp_path):
    path = ecg_files.write_wfdb(tmp_path, file="signals/rec.dat")
    (tmp_path / "signals").mkdir()
    (tmp_path / "rec.dat").rename(tmp_path / "signals" / "rec.dat")
    recording = wfdb_reader.read(path)
    np.testing.assert_allclose(recording.signal, ecg_files.digital() / 1000, atol=1e-6)
    assert recording.notes == ()
    assert [lazy.name for lazy in readers.find(tmp_path)] == [str(tmp_path / "rec")]


def test_a_signal_file_beside_its_header_is_read_where_the_named_folder_is_gone(tmp_path):
    recording = wfdb_reader.read(ecg_files.write_wfdb(tmp_path, file="records/rec.dat"))
    np.testing.assert_allclose(recording.signal, ecg_files.digital() / 1000, atol=1e-6)
    assert recording.notes == ("the header names records/rec.dat; rec.dat, which lies beside it, was read",)


def test_a_folder_that_is_a_link_to_elsewhere_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "record").mkdir()
    ecg_files.write_wfdb(tmp_path / "elsewhere")
    path = ecg_files.write_wfdb(tmp_path / "record", file="link/rec.dat")
    (tmp_path / "record" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="a WFDB header may only name files of its own folder"):
        wfdb_reader.read(path)


@pytest.mark.parametrize("step", [0.00488, 1 / 3, 0.003])
def test_a_gain_of_many_decimals_is_read_as_the_library_writes_it(tmp_path, step):
    path = write_wfdb(tmp_path, adc(), gain=[1 / step] * 12, rate=1000 / 3)
    recording = wfdb_reader.read(path)
    assert recording.sampling_rate == 1000 / 3
    np.testing.assert_allclose(recording.signal, adc() * step, rtol=1e-6)


@pytest.mark.parametrize("form", ["16", "212"])
def test_the_librarys_own_choice_of_gain_is_read(tmp_path, form):
    signal = adc() / 1000 * np.linspace(0.01, 20, 12)
    wfdb.wrsamp("rec", 500.0000000000001, ["mV"] * 12, list(LEADS), signal, fmt=[form] * 12, write_dir=str(tmp_path))
    assert_same_as_library(wfdb_reader.read(tmp_path / "rec"), wfdb.rdrecord(str(tmp_path / "rec"), return_res=32))


@pytest.mark.parametrize("gain", ["1e999", "-1e999"])
def test_a_gain_that_is_infinite_is_refused(tmp_path, gain):
    with pytest.raises(InputError, match="expected a finite number"):
        wfdb_reader.read(ecg_files.write_wfdb(tmp_path, gain=f"{gain}/mV"))


@pytest.mark.parametrize("form", ["16", "212", "16x1000000000", "24:900000000", "80"])
def test_a_header_that_announces_too_much_allocates_nothing(tmp_path, form):
    path = ecg_files.write_wfdb(tmp_path, form=form)
    edit_header(str(tmp_path / "rec"), lambda text: text.replace("rec 12 500 500", "rec 12 500 90000000000"))
    with pytest.raises(InputError, match=r"rec\.hea"):
        wfdb_reader.read(path)


def test_a_signal_file_that_is_a_pipe_does_not_block(tmp_path):
    path = ecg_files.write_wfdb(tmp_path)
    (tmp_path / "rec.dat").unlink()
    os.mkfifo(tmp_path / "rec.dat")
    with pytest.raises(InputError, match=r"its signal file rec\.dat is not a file"):
        wfdb_reader.read(path)


def test_changed_samples_are_noted_by_their_checksum(tmp_path):
    path = ecg_files.write_wfdb(tmp_path)
    values = ecg_files.digital()
    values[3, 7] += 1
    (tmp_path / "rec.dat").write_bytes(values.tobytes())
    assert wfdb_reader.read(path).notes == ("checksum of V2 differs from the header's: samples were changed after it",)


def test_samples_beyond_those_announced_are_noted(tmp_path):
    path = ecg_files.write_wfdb(tmp_path, ecg_files.digital()[:400])
    (tmp_path / "rec.dat").write_bytes(ecg_files.digital().tobytes())
    recording = wfdb_reader.read(path)
    assert len(recording.signal) == 400
    assert recording.notes == ("rec.dat holds 500 samples, 100 more than the header announces",)


def test_a_length_that_is_not_stated_is_the_files(tmp_path):
    path = ecg_files.write_wfdb(tmp_path)
    edit_header(str(tmp_path / "rec"), lambda text: text.replace("rec 12 500 500", "rec 12 500"))
    assert wfdb_reader.read(path).signal.shape == (500, 12)


def test_a_rate_or_gain_that_is_not_stated_is_wfdbs_default_and_noted(tmp_path):
    path = ecg_files.write_wfdb(tmp_path, gain="0")
    edit_header(str(tmp_path / "rec"), lambda text: text.replace("rec 12 500 500", "rec 12"))
    recording = wfdb_reader.read(path)
    np.testing.assert_allclose(recording.signal, ecg_files.digital() / 200, rtol=1e-6)
    assert recording.sampling_rate == 250
    assert recording.notes == (
        "no sampling rate stated; 250 Hz, as WFDB defines",
        "no gain stated; 200 per unit, as WFDB defines",
    )


def test_a_negative_gain_turns_the_signal_and_is_noted(tmp_path):
    path = ecg_files.write_wfdb(tmp_path)
    edit_header(str(tmp_path / "rec"), lambda text: text.replace("1000(0)/mV", "-1000(0)/mV", 1))
    recording = wfdb_reader.read(path)
    np.testing.assert_allclose(recording.signal[:, :2] * [-1, 1], ecg_files.digital()[:, :2] / 1000, rtol=1e-6)
    assert recording.notes == ("negative step in I: the file turns the signal upside down",)


@pytest.mark.parametrize("change", [(0, 40), (4, 11), (8, 499)])
def test_a_mat_that_contradicts_its_header_is_refused(tmp_path, change):
    path = ecg_files.write_challenge(tmp_path)
    data = bytearray((tmp_path / "rec.mat").read_bytes())
    data[change[0] : change[0] + 4] = change[1].to_bytes(4, "little")
    (tmp_path / "rec.mat").write_bytes(data)
    with pytest.raises(InputError, match=r"rec\.hea: (announces 12 x 500, but|rec\.mat is not the MATLAB 4)"):
        wfdb_reader.read(path)


def test_a_signal_that_is_no_voltage_and_no_lead_is_left_out(tmp_path):
    path = ecg_files.write_wfdb(tmp_path, ecg_files.digital(leads=3), leads=("I", "II", "RESP"))
    edit_header(str(tmp_path / "rec"), lambda text: text[::-1].replace("Vm/", "MHO/", 1)[::-1])
    recording = wfdb_reader.read(path)
    assert recording.leads == ("I", "II")
    assert recording.notes == ("RESP left out: its unit, OHM, is no voltage",)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_record_of_format_16_is_the_librarys_to_the_bit(tmp_path, data):
    count, samples = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 60))
    values = data.draw(hnp.arrays(np.int16, (samples, count)))
    path = write_wfdb(
        tmp_path,
        values,
        leads=data.draw(st.permutations(LEADS))[:count],
        gain=data.draw(st.lists(st.floats(0.01, 1e5).map(lambda gain: round(gain, 4)), min_size=count, max_size=count)),
        baseline=data.draw(st.lists(st.integers(-40000, 40000), min_size=count, max_size=count)),
        rate=data.draw(st.sampled_from([100, 257, 360.5, 500, 1000])),
    )
    assert_same_as_library(wfdb_reader.read(path), wfdb.rdrecord(path, return_res=32))


def assert_same_as_library(recording, library):
    missing = np.isnan(library.p_signal)
    np.testing.assert_array_equal(recording.valid, ~missing)
    np.testing.assert_array_equal(recording.signal, np.where(missing, np.float32(0), library.p_signal))
    assert recording.sampling_rate == library.fs
    assert recording.leads == tuple(map(canonical_lead, library.sig_name))


# CODE HDF5


def test_code_units_are_halved_to_millivolts(tmp_path):
    tracings = code_tracings()
    recording = code_hdf5.read(write_hdf5(tmp_path / "x.hdf5", tracings), 0)
    np.testing.assert_array_equal(recording.signal, tracings[0] / 2)
    assert recording.sampling_rate == 400.0
    assert recording.leads == LEADS


@pytest.mark.parametrize("row, first, last", [(0, 648, 3447), (1, 581, 3514)])
def test_zeros_on_both_sides_are_padding(tmp_path, row, first, last):
    recording = code_hdf5.read(write_hdf5(tmp_path / "x.hdf5", code_tracings()), row)
    inside = np.zeros(4096, bool)
    inside[first : last + 1] = True
    np.testing.assert_array_equal(recording.valid, np.repeat(inside[:, None], 12, axis=1))
    assert recording.gaps == 0


def test_zeros_within_an_exam_are_signal(tmp_path):
    tracings = code_tracings()
    tracings[0, 1000:1100] = 0  # all leads
    tracings[0, :, 7] = 0  # a lead that was never connected
    recording = code_hdf5.read(write_hdf5(tmp_path / "x.hdf5", tracings), 0)
    assert recording.valid[648:3448].all()
    assert not recording.valid[:648].any()


def test_the_degenerate_exam_has_no_valid_sample(tmp_path):
    recording = code_hdf5.read(write_hdf5(tmp_path / "x.hdf5", code_tracings()), 2)
    assert recording.is_degenerate
    assert not recording.valid.any()


def test_nan_in_an_exam_is_a_gap(tmp_path):
    tracings = code_tracings()
    tracings[0, 2000:2005, 3] = np.nan
    recording = code_hdf5.read(write_hdf5(tmp_path / "x.hdf5", tracings), 0)
    assert recording.gaps == 5
    assert not recording.valid[2000:2005, 3].any()
    assert recording.valid[2000:2005, 2].all()


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_exam_ids_are_read_and_default_to_row_numbers(tmp_path, shape):
    ids = np.array([7, 2754228, 0]).reshape(shape)
    with_ids = write_hdf5(tmp_path / "a.hdf5", code_tracings(), exam_id=ids)
    without = write_hdf5(tmp_path / "b.hdf5", code_tracings())
    np.testing.assert_array_equal(code_hdf5.read_ids(with_ids), [7, 2754228, 0])
    np.testing.assert_array_equal(code_hdf5.read_ids(without), [0, 1, 2])


def test_ids_that_do_not_pair_up_with_tracings_are_refused(tmp_path):
    path = write_hdf5(tmp_path / "x.hdf5", code_tracings(), exam_id=[1, 2])
    with pytest.raises(InputError, match=r"x\.hdf5: 2 exam_id against 3 tracings"):
        code_hdf5.read_ids(path)


def test_ids_that_are_no_numbers_are_refused(tmp_path):
    path = write_hdf5(tmp_path / "x.hdf5", code_tracings(), exam_id=[b"a", b"b", b"c"])
    with pytest.raises(InputError, match=r"x\.hdf5"):
        code_hdf5.read_ids(path)


@pytest.mark.parametrize("row", [3, 100, -1])
def test_a_row_that_does_not_exist_is_refused(tmp_path, row):
    path = write_hdf5(tmp_path / "x.hdf5", code_tracings())
    with pytest.raises(InputError, match=rf"x\.hdf5: row {row} cannot be read"):
        code_hdf5.read(path, row)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_truncated_hdf5_file_is_refused_by_name(tmp_path, part):
    path = write_hdf5(tmp_path / "x.hdf5", code_tracings())
    os.truncate(path, int(part * os.path.getsize(path)))
    with pytest.raises(InputError, match=r"x\.hdf5: not a readable HDF5 file"):
        code_hdf5.read(path, 0)


def test_an_hdf5_file_with_damaged_innards_is_refused_by_name(tmp_path):
    path = write_hdf5(tmp_path / "x.hdf5", np.ones((2, 64, 12), np.float32))
    with open(path, "r+b") as file:
        place = file.read().index(b"HEAP")  # the table of names
        file.seek(place)
        file.write(b"\0" * 4)
    with pytest.raises(InputError, match=r"x\.hdf5"):
        code_hdf5.read(path, 0)


def test_a_damaged_row_is_refused_and_the_others_are_read(tmp_path):
    tracings, path = code_tracings(), tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("tracings", data=tracings, chunks=(1, 4096, 12), compression="gzip")
        place = stored.id.get_chunk_info(1).byte_offset
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(b"\0" * 100)
    with pytest.raises(InputError, match=r"x\.hdf5: row 1 cannot be read"):
        code_hdf5.read(str(path), 1)
    np.testing.assert_array_equal(code_hdf5.read(str(path), 0).signal, tracings[0] / 2)


@pytest.mark.parametrize(
    "contents",
    [
        {"signals": np.zeros((2, 4096, 12))},
        {"tracings": np.zeros((2, 4096))},
        {"tracings": np.zeros((2, 12, 4096))},
        {"tracings": np.zeros((2, 4096, 8))},
        {},
    ],
    ids=["no tracings", "two axes", "leads first", "eight leads", "nothing"],
)
def test_another_layout_is_refused_by_name(tmp_path, contents):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for key, value in contents.items():
            file[key] = value
    with pytest.raises(InputError, match=r"x\.hdf5: expected `tracings` of shape \[N, samples, 12\]"):
        code_hdf5.read(str(tmp_path / "x.hdf5"), 0)


def test_a_missing_hdf5_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"x\.hdf5: no such HDF5 file"):
        code_hdf5.read(str(tmp_path / "x.hdf5"), 0)


@pytest.mark.parametrize("name", ["tracings", "exam_id"])
def test_an_array_in_another_file_is_not_followed(tmp_path, name):
    write_hdf5(tmp_path / "other.hdf5", code_tracings(), exam_id=[7, 5, 0])
    path = write_hdf5(tmp_path / "x.hdf5", code_tracings(), exam_id=[7, 5, 0])
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = h5py.ExternalLink("other.hdf5", name)
    with pytest.raises(InputError, match=rf"x\.hdf5: expected an array `{name}`"):
        code_hdf5.read_ids(path)


def test_a_link_that_leads_to_another_file_by_a_detour_is_not_followed(tmp_path):
    write_hdf5(tmp_path / "other.hdf5", code_tracings())
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["elsewhere"] = h5py.ExternalLink("other.hdf5", "/")
        file["tracings"] = h5py.SoftLink("/elsewhere/tracings")
    with pytest.raises(InputError, match=r"expected an array `tracings`, found a link"):
        code_hdf5.read(str(tmp_path / "x.hdf5"), 0)


def test_a_virtual_array_is_not_followed(tmp_path):
    write_hdf5(tmp_path / "other.hdf5", code_tracings())
    layout = h5py.VirtualLayout((3, 4096, 12), np.float32)
    layout[:] = h5py.VirtualSource(tmp_path / "other.hdf5", "tracings", (3, 4096, 12))
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file.create_virtual_dataset("tracings", layout)
    with pytest.raises(InputError, match="is stored in other files"):
        code_hdf5.read(str(tmp_path / "x.hdf5"), 0)


@pytest.mark.parametrize("shape", [(10**9, 4096, 12), (1, 10**10, 12)])
def test_a_few_bytes_that_announce_terabytes_are_refused(tmp_path, shape):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file.create_dataset("tracings", shape, np.float32, chunks=(1, 4096, 12))
    for read in (code_hdf5.read_ids, lambda path: code_hdf5.read(path, 0)):
        with pytest.raises(InputError, match=r"x\.hdf5: `tracings` announces .* bytes, more than"):
            read(str(tmp_path / "x.hdf5"))


def test_a_file_written_anew_is_read_anew(tmp_path):
    path = write_hdf5(tmp_path / "x.hdf5", code_tracings())
    assert code_hdf5.read(path, 0).valid.any()
    os.remove(path)
    write_hdf5(tmp_path / "x.hdf5", np.zeros((1, 4096, 12), np.float32))
    assert not code_hdf5.read(path, 0).valid.any()


@pytest.mark.parametrize("age", [0, 10])  # seconds; of a file that has just changed no time can be trusted
def test_a_file_rewritten_in_place_gives_the_new_signal_whole(tmp_path, age):
    first, second = code_tracings()[:2], code_tracings()[:2] / 2
    contents = [Path(write_hdf5(tmp_path / f"{i}.hdf5", each)).read_bytes() for i, each in enumerate((first, second))]
    path = tmp_path / "x.hdf5"
    for content, expected in zip((*contents, *contents), (first, second) * 2, strict=True):
        path.write_bytes(content)
        if age:
            now = time.time()
            os.utime(path, (now, now - age))
        np.testing.assert_array_equal(code_hdf5.read(str(path), 1).signal, expected[1] / 2)


def test_the_least_recently_used_of_many_files_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_file, "_MOST_HANDLES", 2)
    paths = [write_hdf5(tmp_path / f"{i}.hdf5", code_tracings()) for i in range(4)]
    for path in (*paths, *paths):
        code_hdf5.read(path, 0)
    assert len(hdf5_file._opened) == 2


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_hdf5_is_read_in_other_processes_whatever_a_thread_was_doing(tmp_path, method):
    path = write_hdf5(tmp_path / "x.hdf5", code_tracings(), exam_id=[7, 5, 0])
    recordings = readers.find(path)
    with hdf5_file._lock, multiprocessing.get_context(method).Pool(2) as pool:
        # A forked child that waited for this lock, or shared its parent's handle, would never answer.
        read = pool.map_async(sum_samples, recordings).get(timeout=60)
    assert read == pytest.approx([float(lazy.read().signal.sum()) for lazy in recordings], rel=1e-5)


def sum_samples(lazy):
    return float(lazy.read().signal.sum())


# find


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_record_is_found_by_any_of_its_names(tmp_path, suffix):
    path = write_wfdb(tmp_path, adc())
    (lazy,) = readers.find(path + suffix)
    assert lazy.name == path
    recording = lazy.read()
    assert recording.id == path
    np.testing.assert_allclose(recording.signal, adc() / 1000, atol=1e-6)


def test_an_hdf5_file_holds_one_source_per_exam(tmp_path):
    tracings = code_tracings()
    path = write_hdf5(tmp_path / "x.h5", tracings, exam_id=[7, 5, 0])
    recordings = readers.find(path)
    assert [lazy.name for lazy in recordings] == [f"{path}:7", f"{path}:5", f"{path}:0"]
    recording = recordings[1].read()
    assert recording.id == f"{path}:5"
    np.testing.assert_array_equal(recording.signal, tracings[1] / 2)


def test_a_folder_is_searched_to_its_depths(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    write_wfdb(tmp_path, adc(), name="one")
    write_wfdb(tmp_path / "a" / "b", adc(), name="two")
    write_hdf5(tmp_path / "a" / "x.hdf5", code_tracings(), exam_id=[7, 5, 0])
    (tmp_path / "a" / "notes.txt").write_text("no ECG")
    names = {os.path.relpath(lazy.name, tmp_path) for lazy in readers.find(str(tmp_path))}
    assert names == {"one", "a/b/two", "a/x.hdf5:7", "a/x.hdf5:5", "a/x.hdf5:0"}


def test_a_broken_file_in_a_folder_is_found_and_says_so_when_read(tmp_path):
    write_wfdb(tmp_path, adc(), name="good")
    os.remove(write_wfdb(tmp_path, adc(), name="halved") + ".dat")
    (tmp_path / "broken.hdf5").write_bytes(b"no HDF5")
    found = {os.path.basename(lazy.name): lazy for lazy in readers.find(str(tmp_path))}
    assert set(found) == {"good", "halved", "broken.hdf5"}
    assert found["good"].read().signal.shape == (50, 12)
    for name in ("halved", "broken.hdf5"):
        with pytest.raises(InputError, match=name):
            found[name].read()


def test_a_folder_with_a_file_of_unreadable_ids_can_still_be_listed(tmp_path):
    write_wfdb(tmp_path, adc(), name="good")
    write_hdf5(tmp_path / "x.hdf5", code_tracings(), exam_id=[b"a", b"b", b"c"])
    assert any(lazy.name.endswith("good") for lazy in readers.find(str(tmp_path)))


def test_a_folder_without_an_ecg_is_refused_by_name(tmp_path):
    (tmp_path / "notes.txt").write_text("no ECG")
    with pytest.raises(InputError, match=rf"{tmp_path.name}: no ECG in this folder; known formats: WFDB"):
        readers.find(str(tmp_path))


def test_a_path_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        readers.find(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["notes.txt", "alone.dat", "alone.mat"])
def test_a_file_of_another_format_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_text("no ECG")
    with pytest.raises(InputError, match=rf"{name}: unknown format; known: WFDB"):
        readers.find(str(tmp_path / name))


@pytest.mark.parametrize("name", ecg_files.WRITERS)
def test_a_format_is_known_by_content_whatever_the_suffix(tmp_path, name):
    path = ecg_files.WRITERS[name](tmp_path)
    expected = [lazy.read() for lazy in readers.find(str(path))]
    # WFDB and Edan go by names, and text with commas is no CSV by itself.
    is_named = name.startswith("wfdb") or name in ("csv", "edan")
    moved = path.rename(path.with_suffix(path.suffix if is_named else ".bin"))
    for lazy, recording in zip(readers.find(str(moved)), expected, strict=True):
        np.testing.assert_array_equal(lazy.read().signal, recording.signal)
    if len(expected) == 1:
        assert readers.read(str(moved), id="x").id == "x"


@pytest.mark.parametrize("name", ecg_files.WRITERS)
def test_no_file_is_of_two_formats(tmp_path, name):
    path = ecg_files.WRITERS[name](tmp_path)
    head = path.read_bytes()[: readers.HEAD_BYTES]
    assert sum(module.matches(str(path), head) for module in readers.FORMATS.values()) == 1


@pytest.mark.parametrize("head", [b"", b"\0" * 4096, b"\xff" * 4096, b"<", b"a,b\n1,x\n", b"GIF89a" + bytes(99)])
def test_no_format_claims_what_is_no_ecg(tmp_path, head):
    path = tmp_path / "file.csv"
    path.write_bytes(head)
    assert not any(module.matches(str(path), head) for module in readers.FORMATS.values())


def test_a_folder_of_every_format_is_listed_once_each(tmp_path):
    for name, write in ecg_files.WRITERS.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    (tmp_path / "README.md").write_text("# ECGs")
    (tmp_path / "labels.csv").write_text("id,AF\n1,0\n")
    (tmp_path / "numbers.csv").write_text("1,2\n3,4\n")
    np.save(tmp_path / "labels.npy", np.zeros((5, 6)))
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    recordings = readers.find(str(tmp_path))
    assert len(recordings) == len(ecg_files.WRITERS) + 1  # the CODE file holds two
    assert len({lazy.name for lazy in recordings}) == len(recordings)
    for lazy in recordings:
        assert lazy.read().id == lazy.name


def test_a_file_of_several_recordings_is_not_one(tmp_path):
    path = ecg_files.write_code_hdf5(tmp_path)
    with pytest.raises(InputError, match=r"code\.hdf5: holds 2 recordings, not one"):
        readers.read(path)


def test_a_folder_is_not_one_recording(tmp_path):
    with pytest.raises(InputError, match="a folder; list its recordings"):
        readers.read(str(tmp_path))


def test_importing_the_readers_loads_no_heavy_library():
    heavy = "wfdb", "pandas", "scipy.io", "edfio", "ecgdatakit", "jax"
    code = f"import sys, ecg_jax.data.readers; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# Real files


def test_a_real_record_agrees_with_its_raw_converter_values(shared):
    path = str(shared / "data" / "ludb" / "data" / "1")
    raw = wfdb.rdrecord(path, physical=False)
    assert len(set(raw.adc_gain)) > 1, "the point of this record is that gains differ"
    expected = (raw.d_signal - np.array(raw.baseline)) / np.array(raw.adc_gain)
    recording = wfdb_reader.read(path)
    np.testing.assert_allclose(recording.signal, expected, atol=1e-4)
    assert recording.leads == LEADS


def test_a_challenge_record_in_mat_format_is_read(shared):
    path = str(shared / "data" / "challenge2021" / "records" / "A0002")
    raw = wfdb.rdrecord(path, physical=False)
    expected = (raw.d_signal - np.array(raw.baseline)) / np.array(raw.adc_gain)
    np.testing.assert_allclose(wfdb_reader.read(path + ".mat").signal, expected, atol=1e-4)


def test_early_challenge_headers_are_read_with_a_note(shared):
    """Their first field is the signal file, not the record, which the library refuses."""
    recordings = readers.find(str(shared / "data" / "challenge2021" / "legacy_header"))
    assert len(recordings) == 16
    for lazy in recordings:
        recording, name = lazy.read(), os.path.basename(lazy.name)
        with open(lazy.name + ".hea") as file:
            gains = [float(line.split()[2].split("/")[0]) for line in file.read().splitlines()[1:13]]
        raw = np.fromfile(lazy.name + ".mat", "<i2", offset=24).reshape(-1, 12)
        np.testing.assert_array_equal(recording.signal, (raw / gains).astype(np.float32))
        assert recording.notes[0] == f"the header names {name}.mat where the record's name should stand"
        assert any("4880" in note for note in recording.notes) == (name == "E00793")
        assert recording.known_factor == (4.88 if name == "E00793" else None)


@pytest.mark.slow
@pytest.mark.parametrize("folder, records", [("ptbxl", 500), ("ludb", 200), ("challenge2021/records", 83)])
def test_every_real_record_is_the_librarys_to_the_bit(shared, folder, records):
    recordings = readers.find(str(shared / "data" / folder))
    assert len(recordings) == records
    for lazy in recordings:
        recording, library = lazy.read(), wfdb.rdrecord(lazy.name, return_res=32)
        assert_same_as_library(recording, library)
        assert recording.notes == ()  # checksums among them


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder, read, refused",
    [
        ("formats", 11, {}),
        ("challenge2021", 99, {}),
        ("ptbxl", 500, {}),
        ("ludb", 200, {}),
        ("code15", 7, {}),
        ("tnmg_unlabelled", 242, {"9190_low_sample_rate": r"9190\.dat cannot be read .*rename it back"}),
    ],
)
def test_every_real_recording_is_read_or_refused_with_the_right_reason(shared, folder, read, refused):
    recordings, count = readers.find(str(shared / "data" / folder)), 0
    assert len(recordings) == read + len(refused)
    for lazy in recordings:
        name = os.path.basename(lazy.name)
        if name in refused:
            with pytest.raises(InputError, match=refused[name]):
                lazy.read()
            continue
        recording = lazy.read()
        count += 1
        assert recording.leads[:12] == LEADS
        assert recording.is_degenerate == (name in ("9190_all_data_is_zero", "exams_part0.hdf5:0"))
    assert count == read


def test_folders_of_tables_and_predictions_hold_no_ecg(shared):
    for folder in ("tables", "ribeiro2020"):
        with pytest.raises(InputError, match="no ECG in this folder"):
            readers.find(str(shared / "data" / folder))


def test_every_exam_of_a_real_code_file_is_read(shared):
    path = str(shared / "data" / "code15" / "exams_part0.hdf5")
    with h5py.File(path) as file:
        tracings, ids = file["tracings"][:], file["exam_id"][:]
    recordings = readers.find(path)
    assert len(recordings) == len(ids) == 7
    for lazy, tracing, exam in zip(recordings, tracings, ids, strict=True):
        recording = lazy.read()
        np.testing.assert_array_equal(recording.signal, tracing / 2)
        assert recording.is_degenerate == (exam == 0)
