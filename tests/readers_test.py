"""Files as they are found, whole and broken."""

import os

import h5py
import numpy as np
import pytest
import wfdb

from ecg_jax.data import readers
from ecg_jax.data.readers import code_hdf5
from ecg_jax.data.readers import wfdb as wfdb_reader
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS


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
    units, gains = ("mV", "uV", "V", "mv", "UV"), (100.0, 0.1, 1e5, 100.0, 0.1)  # 3 mV in five ways
    path = write_wfdb(tmp_path, digital, leads=("I", "II", "V1", "V2", "V3"), units=units, gain=gains)
    np.testing.assert_allclose(wfdb_reader.read(path).signal, 3.0, rtol=1e-6)


def test_lower_case_leads_are_known(tmp_path):
    path = write_wfdb(tmp_path, adc(), leads=[lead.lower() for lead in LEADS])
    assert wfdb_reader.read(path).leads == LEADS


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


# find


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_record_is_found_by_any_of_its_names(tmp_path, suffix):
    path = write_wfdb(tmp_path, adc())
    (source,) = readers.find(path + suffix)
    assert source.name == path
    recording = source.read()
    assert recording.id == path
    np.testing.assert_allclose(recording.signal, adc() / 1000, atol=1e-6)


def test_an_hdf5_file_holds_one_source_per_exam(tmp_path):
    tracings = code_tracings()
    path = write_hdf5(tmp_path / "x.h5", tracings, exam_id=[7, 5, 0])
    sources = readers.find(path)
    assert [source.name for source in sources] == [f"{path}:7", f"{path}:5", f"{path}:0"]
    recording = sources[1].read()
    assert recording.id == f"{path}:5"
    np.testing.assert_array_equal(recording.signal, tracings[1] / 2)


def test_a_folder_is_searched_to_its_depths(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    write_wfdb(tmp_path, adc(), name="one")
    write_wfdb(tmp_path / "a" / "b", adc(), name="two")
    write_hdf5(tmp_path / "a" / "x.hdf5", code_tracings(), exam_id=[7, 5, 0])
    (tmp_path / "a" / "notes.txt").write_text("no ECG")
    names = {os.path.relpath(source.name, tmp_path) for source in readers.find(str(tmp_path))}
    assert names == {"one", "a/b/two", "a/x.hdf5:7", "a/x.hdf5:5", "a/x.hdf5:0"}


def test_a_broken_file_in_a_folder_is_found_and_says_so_when_read(tmp_path):
    write_wfdb(tmp_path, adc(), name="good")
    os.remove(write_wfdb(tmp_path, adc(), name="halved") + ".dat")
    (tmp_path / "broken.hdf5").write_bytes(b"no HDF5")
    found = {os.path.basename(source.name): source for source in readers.find(str(tmp_path))}
    assert set(found) == {"good", "halved", "broken.hdf5"}
    assert found["good"].read().signal.shape == (50, 12)
    for name in ("halved", "broken.hdf5"):
        with pytest.raises(InputError, match=name):
            found[name].read()


def test_a_folder_with_a_file_of_unreadable_ids_can_still_be_listed(tmp_path):
    write_wfdb(tmp_path, adc(), name="good")
    write_hdf5(tmp_path / "x.hdf5", code_tracings(), exam_id=[b"a", b"b", b"c"])
    assert any(source.name.endswith("good") for source in readers.find(str(tmp_path)))


def test_a_folder_without_an_ecg_is_refused_by_name(tmp_path):
    (tmp_path / "notes.txt").write_text("no ECG")
    with pytest.raises(InputError, match=rf"{tmp_path.name}: no \.hea, \.hdf5 or \.h5 file"):
        readers.find(str(tmp_path))


def test_a_path_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        readers.find(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["notes.txt", "alone.dat", "alone.mat"])
def test_a_file_of_another_format_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_text("no ECG")
    with pytest.raises(InputError, match=rf"{name}: unknown format; known: WFDB"):
        readers.find(str(tmp_path / name))


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


def test_early_challenge_headers_are_refused_by_name(shared):
    """Their first field is the signal file, not the record."""
    sources = readers.find(str(shared / "data" / "challenge2021" / "legacy_header"))
    assert len(sources) == 16
    for source in sources:
        with pytest.raises(InputError, match=rf"{os.path.basename(source.name)}\.hea: not a readable WFDB record"):
            source.read()


def test_every_exam_of_a_real_code_file_is_read(shared):
    path = str(shared / "data" / "code15" / "exams_part0.hdf5")
    with h5py.File(path) as file:
        tracings, ids = file["tracings"][:], file["exam_id"][:]
    sources = readers.find(path)
    assert len(sources) == len(ids) == 7
    for source, tracing, exam in zip(sources, tracings, ids, strict=True):
        recording = source.read()
        np.testing.assert_array_equal(recording.signal, tracing / 2)
        assert recording.is_degenerate == (exam == 0)
