"""Files as research groups publish them (SPH, CPSC2018, NumPy, CSV), and EDF and SCP-ECG, byte by byte."""

import datetime
import json
import struct
import zlib

import ecg_files
import edfio
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from ecg_files import LEADS, digital

from ecg_jax.data import readers
from ecg_jax.data.readers import Declared, arrays, cpsc_mat, edf, scp, sph_hdf5
from ecg_jax.errors import InputError

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def assert_reads(recording, expected, *, rtol=1e-6, **attributes):
    np.testing.assert_allclose(recording.signal, expected, rtol=rtol, atol=1e-7)
    for name, value in ({"leads": LEADS, "sampling_rate": 500} | attributes).items():
        assert getattr(recording, name) == value


# SPH HDF5


def test_an_sph_file_is_float16_millivolts_leads_first(tmp_path):
    recording = sph_hdf5.read(ecg_files.write_sph_hdf5(tmp_path))
    assert_reads(recording, digital() / 1000, rtol=1e-3, id="sph.h5", notes=())


def test_attributes_of_an_sph_file_go_before_its_convention(tmp_path):
    with h5py.File(ecg_files.write_sph_hdf5(tmp_path), "a") as file:
        file.attrs.update(fs=250, unit="uV")
    recording = readers.read(tmp_path / "sph.h5")
    assert recording.sampling_rate == 250
    np.testing.assert_allclose(recording.signal, digital() / 1e6, rtol=1e-3, atol=1e-9)


def test_a_sidecar_and_flags_go_before_the_convention_of_sph_too(tmp_path):
    path = ecg_files.write_sph_hdf5(tmp_path)
    assert readers.read(path, declared=Declared((), 250, "")).sampling_rate == 250
    ecg_files.write_sidecar(tmp_path, "sph", leads=None, sampling_rate=1000)
    recording = readers.read(path, declared=Declared((), 250, ""))
    assert recording.sampling_rate == 1000
    assert recording.notes == ("sampling_rate 250 of --file_rate is not used: sph.json states 1000",)


@pytest.mark.parametrize(
    "contents",
    [np.zeros((12,), "f2"), np.zeros((100, 12), "f2"), np.zeros((8, 100), "f2"), np.zeros((12, 9), "i2"), "text"],
    ids=["one axis", "samples first", "eight leads", "integers", "text"],
)
def test_an_sph_file_of_another_layout_is_refused(tmp_path, contents):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["ecg"] = contents
    with pytest.raises(InputError, match=r"x\.h5: `?(expected )?`ecg`"):
        sph_hdf5.read(tmp_path / "x.h5")


def test_an_sph_bomb_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("ecg", (12, 10**11), "f2", chunks=(12, 1000))
    with pytest.raises(InputError, match=r"`ecg` announces .* bytes, more than"):
        sph_hdf5.read(tmp_path / "x.h5")


def test_a_real_sph_file_agrees_with_its_array(shared):
    for name, samples in {"SPH00001.h5": 5000, "SPH00007.h5": 6500}.items():
        path = shared / "data" / "formats" / "sph_hdf5" / name
        with h5py.File(path) as file:
            raw = file["ecg"][:]
        assert raw.shape == (12, samples)
        assert_reads(readers.read(path), raw.T, id=name)


# CPSC2018 MATLAB


@pytest.mark.parametrize("compressed", [True, False])
def test_a_cpsc_file_is_a_struct_of_millivolts_leads_first(tmp_path, compressed):
    path = (ecg_files.write_cpsc_mat if compressed else ecg_files.write_cpsc_mat_plain)(tmp_path)
    assert_reads(cpsc_mat.read(path), digital() / 1000, id="cpsc.mat")


@pytest.mark.parametrize(
    "contents",
    [
        {"ECG": {"sex": "F", "age": 3}},
        {"ECG": {"data": np.zeros((8, 100))}},
        {"ECG": {"data": np.zeros((12, 5, 5))}},
        {"ECG": {"data": "text"}},
        {"ECG": np.zeros((12, 100))},
        {"ECG": {"data": np.zeros((12, 0))}},
    ],
    ids=["no data", "eight leads", "three axes", "text", "no struct", "no samples"],
)
def test_a_cpsc_file_of_another_layout_is_refused(tmp_path, contents):
    scipy.io.savemat(tmp_path / "x.mat", contents)
    with pytest.raises(InputError, match=r"x\.mat: "):
        cpsc_mat.read(tmp_path / "x.mat")


def mat_element(kind, payload):
    return struct.pack("<II", kind, len(payload)) + payload + b"\0" * (-len(payload) % 8)


def mat_matrix(kind, dimensions, name, *parts):
    flags = mat_element(6, struct.pack("<II", kind, 0))
    head = flags + mat_element(5, struct.pack(f"<{len(dimensions)}i", *dimensions)) + mat_element(1, name)
    return mat_element(14, head + b"".join(parts))


MAT_HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
BOMBS = {
    "of zeros": MAT_HEAD + struct.pack("<II", 15, 0xFFFFFF) + zlib.compress(bytes(1 << 29)),
    "of dimensions": MAT_HEAD
    + mat_matrix(2, (1 << 30, 1), b"ECG", mat_element(5, b"\4\0\0\0"), mat_element(1, b"data")),
    "of cells": MAT_HEAD + mat_matrix(1, (1 << 20, 1 << 10), b"ECG"),
    "of sizes": MAT_HEAD + struct.pack("<II", 14, 0xFFFFFFF0),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=list(BOMBS))
def test_a_matlab_bomb_is_refused(tmp_path, content):
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.mat: not a readable CPSC2018 MATLAB file"):
        cpsc_mat.read(tmp_path / "x.mat")


def test_a_real_cpsc_file_agrees_with_its_array(shared):
    for name in ("A1980.mat", "A1982.mat"):
        path = shared / "data" / "formats" / "cpsc2018_native_mat" / name
        assert_reads(readers.read(path), scipy.io.loadmat(path)["ECG"]["data"][0, 0].T, id=name)


# NumPy


@pytest.mark.parametrize("unit, factor", [("mV", 1), ("uV", 1000), ("µV", 1000), ("V", 1e-3), ("code", 2), ("MV", 1)])
def test_every_declared_unit_becomes_millivolts(tmp_path, unit, factor):
    np.save(tmp_path / "x.npy", digital() / 1000 * factor)
    declared = Declared(LEADS, 500, unit)
    assert_reads(readers.read(tmp_path / "x.npy", declared=declared), digital() / 1000, normalized=False, id="x.npy")


def test_zscored_values_are_kept_and_said_so(tmp_path):
    np.save(tmp_path / "x.npy", digital() / 1000)
    recording = readers.read(tmp_path / "x.npy", declared=Declared(LEADS, 500, "zscore"))
    assert_reads(recording, digital() / 1000, normalized=True)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i2", ">i4", "u1"])
def test_every_real_dtype_is_read(tmp_path, dtype):
    values = (digital() % 100).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    assert_reads(readers.read(tmp_path / "x.npy", declared=Declared(LEADS, 500, "mV")), values.astype("f4"))


def test_the_number_of_leads_tells_the_axes(tmp_path):
    np.save(tmp_path / "x.npy", digital().T / 1000)
    recording = readers.read(tmp_path / "x.npy", declared=Declared(LEADS, 500, "mV"))
    assert_reads(recording, digital() / 1000, notes=("stored as [leads, samples]",))


def test_nan_is_a_gap(tmp_path):
    values = digital() / 1000
    values[7, 3] = np.nan
    np.save(tmp_path / "x.npy", values)
    recording = readers.read(tmp_path / "x.npy", declared=Declared(LEADS, 500, "mV"))
    assert recording.gaps == 1
    np.testing.assert_array_equal(np.argwhere(~recording.valid), [[7, 3]])


def test_a_sidecar_goes_before_what_is_declared(tmp_path):
    path = ecg_files.write_npy(tmp_path)
    ecg_files.write_sidecar(tmp_path, "array", sampling_rate=257)
    assert_reads(readers.read(path, declared=Declared(("I",), 100, "V")), digital() / 1000, sampling_rate=257)


@pytest.mark.parametrize(
    "values, declared, message",
    [
        (digital(), None, r"leads, sampling_rate, unit unknown; write x\.json beside it, as {\"leads\": "),
        (digital(), Declared(LEADS, None, "mV"), "sampling_rate unknown"),
        (digital(), Declared(LEADS, 500, ""), "unit unknown"),
        (digital(), Declared((), 500, "mV"), "leads unknown"),
        (digital(), Declared(LEADS, 500, "mmHg"), "unit 'mmHg'; known: mV, uV, V, code, zscore"),
        (digital(), Declared(LEADS, 0.1, "mV"), "sampling rate 0.1 Hz"),
        (digital(), Declared(LEADS, float("nan"), "mV"), "sampling rate nan Hz"),
        (digital(), Declared(LEADS[:8], 500, "mV"), r"shape \(500, 12\) with 8 leads"),
        (digital(12), Declared(LEADS, 500, "mV"), "is ambiguous"),
        (digital()[None], Declared(LEADS, 500, "mV"), r"shape \(1, 500, 12\)"),
        (digital()[:0], Declared(LEADS, 500, "mV"), "x.npy"),
        (digital().astype(complex), Declared(LEADS, 500, "mV"), "not real numbers"),
        (np.array([{"a": 1}]), Declared(LEADS, 500, "mV"), "not a readable NumPy array"),
        (digital(leads=2), Declared(("I", "DI"), 500, "mV"), r"duplicate lead\(s\) I"),
    ],
)
def test_a_numpy_file_that_does_not_fit_is_refused(tmp_path, values, declared, message):
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        readers.read(tmp_path / "x.npy", declared=declared)


@pytest.mark.parametrize("shape", ["(90000000000, 12)", "(500, 12, 12)", "(-1, 12)", "(((((", "('a',)"])
def test_a_numpy_header_that_announces_too_much_is_refused(tmp_path, shape):
    np.save(tmp_path / "x.npy", digital())
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(
        content.replace(b"(500, 12), }" + b" " * len(shape), f"{shape}, }}".encode().ljust(12 + len(shape)))
    )
    with pytest.raises(InputError, match=r"x\.npy: not a readable NumPy array"):
        readers.read(tmp_path / "x.npy", declared=Declared(LEADS, 500, "mV"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "not a readable JSON sidecar"),
        ('{"rate": 500}', r"key 'rate' is unknown; did you mean sampling_rate\?"),
        ('{"leads": "I,II"}', "leads is I,II; expected a list"),
        ('{"sampling_rate": "500"}', "sampling_rate is '500'; expected a number"),
        ('{"sampling_rate": true}', "sampling_rate is 'True'; expected a number"),
        ('{"sampling_rate": 0}', "sampling_rate is '0'; expected a number"),
        ('{"unit": 3}', "unit is 3"),
        ("[" * 100000, "not a readable JSON sidecar"),
    ],
)
def test_a_sidecar_that_is_wrong_is_refused_by_its_name(tmp_path, text, message):
    path = ecg_files.write_npy(tmp_path)
    (tmp_path / "array.json").write_text(text)
    with pytest.raises(InputError, match=rf"array\.json: {message}"):
        readers.read(path)


# MATLAB files of the Challenges, without their header


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_a_matrix_val_is_read_with_declared_leads(tmp_path, version, dtype):
    scipy.io.savemat(tmp_path / "x.mat", {"val": digital().T.astype(dtype)}, format=version)
    recording = readers.read(tmp_path / "x.mat", declared=Declared(LEADS, 500, "uV"))
    assert_reads(recording, digital() / 1000, sampling_rate=500, notes=("stored as [leads, samples]",))
    with pytest.raises(InputError, match=r"leads, sampling_rate, unit unknown; write x\.json beside it"):
        readers.read(tmp_path / "x.mat")


def test_the_signal_file_of_a_record_is_no_recording_beside_it(tmp_path):
    ecg_files.write_challenge(tmp_path)
    (tmp_path / "alone.mat").write_bytes((tmp_path / "rec.mat").read_bytes())
    (tmp_path / "below").mkdir()
    ecg_files.write_challenge(tmp_path, name="other", file="below/other.mat")
    (tmp_path / "other.mat").rename(tmp_path / "below" / "other.mat")
    names = [source.name for source in readers.find(str(tmp_path), Declared(LEADS, 500, "uV"))]
    assert names == [str(tmp_path / "alone.mat"), str(tmp_path / "other"), str(tmp_path / "rec")]
    undeclared = readers.find(str(tmp_path))
    assert [source.name for source in undeclared] == names
    with pytest.raises(
        InputError, match=r"alone\.mat: leads, sampling_rate, unit unknown; write alone\.json beside it"
    ):
        undeclared[0].read()


@pytest.mark.parametrize(
    "header, message",
    [
        ((30, 12, 10**8), "not a readable matrix val"),
        ((31, 12, 5), "not a readable matrix val"),
        ((30, -1, -1), "not a readable matrix val"),
        ((30, 0, 5), "val is int16"),
    ],
)
def test_a_damaged_matrix_val_is_refused(tmp_path, header, message):
    (tmp_path / "x.mat").write_bytes(struct.pack("<5i", *header, 0, 4) + b"val\0" + bytes(120))
    with pytest.raises(InputError, match=rf"x\.mat: {message}"):
        readers.read(tmp_path / "x.mat", declared=Declared(LEADS, 500, "uV"))


# CSV


def csv_text(delimiter=",", decimal=".", header=LEADS, values=None):
    rows = [
        [f"{value:.3f}".replace(".", decimal) for value in row]
        for row in (digital() / 1000 if values is None else values)
    ]
    return "\n".join(delimiter.join(row) for row in ([list(header)] if header else []) + rows) + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter, decimal", [(",", "."), (";", "."), ("\t", "."), (";", ","), ("\t", ",")])
def test_a_csv_in_any_dialect_is_the_same_recording(tmp_path, delimiter, decimal, end, encoding):
    (tmp_path / "x.csv").write_bytes(csv_text(delimiter, decimal).replace("\n", end).encode(encoding))
    recording = readers.read(tmp_path / "x.csv", declared=Declared((), 500, "mV"))
    assert_reads(recording, digital() / 1000, id="x.csv", notes=())


def test_an_empty_line_between_samples_may_be_one_that_was_lost_and_is_said(tmp_path):
    (tmp_path / "x.csv").write_text("I,II\n\n1,2\n\n3,4\n\n\n5,6\n\n")
    recording = readers.read(tmp_path / "x.csv", declared=Declared((), 500, "mV"))
    notes = ("3 empty line(s) between the samples were skipped",)
    assert_reads(recording, [[1, 2], [3, 4], [5, 6]], leads=("I", "II"), notes=notes)


def test_a_csv_without_names_needs_them_declared(tmp_path):
    (tmp_path / "x.csv").write_text(csv_text(header=None))
    assert_reads(readers.read(tmp_path / "x.csv", declared=Declared(LEADS, 500, "mV")), digital() / 1000)
    with pytest.raises(InputError, match="leads unknown"):
        readers.read(tmp_path / "x.csv", declared=Declared((), 500, "mV"))


def test_a_csv_of_rows_of_leads_is_turned(tmp_path):
    (tmp_path / "x.csv").write_text(csv_text(header=None, values=digital().T / 1000))
    assert_reads(readers.read(tmp_path / "x.csv", declared=Declared(LEADS, 500, "mV")), digital() / 1000)


def test_quoted_names_and_a_time_column_are_understood(tmp_path):
    values = np.column_stack([np.arange(500) / 500, digital() / 1000])
    (tmp_path / "x.csv").write_text(csv_text(header=["time", *[f'"{lead}"' for lead in LEADS]], values=values))
    recording = readers.read(tmp_path / "x.csv", declared=Declared((), 500, "mV"))
    assert_reads(recording, digital() / 1000, notes=("column 'time' is time or a number, not a lead",))


def test_the_name_of_a_column_may_be_long(tmp_path):
    (tmp_path / "x.csv").write_text(f"I,{'I (' * 100_000}\n1,2\n")
    ecg_files.write_sidecar(tmp_path, "x", leads=None)
    recording = readers.read(tmp_path / "x.csv")
    assert len(recording.leads[1]) == 300_000


@pytest.mark.parametrize("missing", ["", "NA", "#N/A", "nan", "NULL", "-"])
def test_a_cell_that_says_that_nothing_is_there_is_a_gap(tmp_path, missing):
    (tmp_path / "x.csv").write_text(f"I,II\n1,2\n{missing},4\n5,{missing}\n")
    recording = readers.read(tmp_path / "x.csv", declared=Declared((), 500, "mV"))
    np.testing.assert_array_equal(recording.valid, [[True, True], [False, True], [True, False]])
    assert recording.gaps == 2


CSV_HEADERS = {  # each before samples in microvolts
    "a row of units": ("I,II", "uV,uV"),
    "units behind the names": ("I (uV),II [µV]",),
    "PhysioNet's two quoted rows": ("'I','II'", "'uV','uV'"),
    "a remark, in Latin-1": ("# Gerät ÄÖ", "I,II", "uV,uV"),
    "lines of other columns": ("Patient:;X", "500", "", "I,II", "uV,uV"),
    "a commented header, as numpy.savetxt writes it": ("# I_uV,II_uV",),
}


@pytest.mark.parametrize("header", CSV_HEADERS.values(), ids=CSV_HEADERS)
def test_a_header_of_several_rows_is_understood(tmp_path, header):
    (tmp_path / "x.csv").write_text("\n".join([*header, "1000,-2000", "500,0"]), "latin-1")
    recording = readers.read(tmp_path / "x.csv", declared=Declared((), 500, ""))
    assert_reads(recording, [[1, -2], [0.5, 0]], leads=("I", "II"))
    assert recording.notes == (("line(s) 1, 2 before the samples were not read",) if header[0] == "Patient:;X" else ())


def test_every_column_has_its_own_unit(tmp_path):
    (tmp_path / "x.csv").write_text("time,I,II\ns,uV,mV\n0,1000,2\n0.002,500,3\n")
    assert_reads(
        readers.read(tmp_path / "x.csv", declared=Declared((), 500, "")), [[1, 2], [0.5, 3]], leads=("I", "II")
    )


@pytest.mark.parametrize(
    "name", ["Unnamed: 0", "Time(ms)", "time [s]", "'Elapsed time'", "index", "Sample number", "", "ms"]
)
@pytest.mark.parametrize("place", [0, 2])
def test_times_and_row_numbers_are_no_leads(tmp_path, name, place):
    columns = {name: ("0", ".002" if "s]" in name else "2"), "I": ("1", "2"), "II": ("3", "4")}
    order = ["I", "II"]
    order.insert(place, name)
    rows = [order, *([columns[each][row] for each in order] for row in range(2))]
    (tmp_path / "x.csv").write_text("\n".join(",".join(row) for row in rows))
    recording = readers.read(tmp_path / "x.csv", declared=Declared((), 500, "mV"))
    assert_reads(recording, [[1, 3], [2, 4]], leads=("I", "II"))
    assert "is time or a number, not a lead" in recording.notes[0]


@pytest.mark.parametrize("index", [True, False])
def test_a_row_that_numbers_the_columns_is_no_sample(tmp_path, index):
    pd.DataFrame(digital() / 1000).to_csv(tmp_path / "x.csv", index=index)
    recording = readers.read(tmp_path / "x.csv", declared=Declared(LEADS, 500, "mV"))
    assert_reads(recording, digital() / 1000)
    assert recording.notes[0] == "line(s) 1 before the samples were not read"


@pytest.mark.parametrize(
    "unit, clock",
    [
        ("seconds", "0:00.00"),
        ("hh:mm:ss.mmm", "'0:00.00'"),
        ("", "[10:00:00.000 01/02/2020]"),
        ("", "2020-01-02 10:00:00.00"),
        ("", "2020-01-02T10:00:00.00Z"),
    ],
)
def test_a_clock_in_the_first_column_is_no_lead(tmp_path, unit, clock):
    (tmp_path / "x.csv").write_text(f"'Elapsed time','I'\n'{unit}','mV'\n{clock},1.5\n{clock},-\n")
    recording = readers.read(tmp_path / "x.csv", declared=Declared((), 500, "mV"))
    np.testing.assert_array_equal(recording.signal, [[1.5], [0]])
    assert recording.gaps == 1
    assert readers.find(str(tmp_path), Declared((), 500, "mV"))[0].name == str(tmp_path / "x.csv")


def test_keys_of_a_sidecar_that_are_not_known_are_noted(tmp_path):
    path = ecg_files.write_npy(tmp_path)
    ecg_files.write_sidecar(tmp_path, "array", patient="X", device={})
    recording = readers.read(path)
    assert_reads(recording, digital() / 1000, notes=("array.json: key(s) device, patient not known, so not read",))


@pytest.mark.parametrize("unit", ["microvolt", "uVolts", "µV"])
def test_a_declared_unit_may_be_spelled_in_any_usual_way(tmp_path, unit):
    np.save(tmp_path / "x.npy", digital())
    assert_reads(readers.read(tmp_path / "x.npy", declared=Declared(LEADS, 500, unit)), digital() / 1000)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", r"x\.csv: not a CSV of numbers"),
        ("I,II\n", r"x\.csv"),
        ("I,II\n1,2\n3\n", "line 3 has 1 columns, the first 2"),
        ("I,II\n1,2\n3,four\n", "line 3 is not all numbers"),
        ("I;II\n1,5;2.5\n", "both decimal commas and points"),
        ("II,I\n1,2\n3,4\n5,6\n", "its first row names II, I, but I, II are declared"),
        ("I,II\n1,2\n\udcff,4\n", "line 3 is not all numbers"),
        ("," * 100000 + "\n" + "1\n" * 10000, r"shape \(10000, 1\) with 2 leads"),
        ("1\n2,3\n4,5\n", "line 2 has 2 columns, the first 1"),
        ("I,II\nuV,uV\n1,2\n3,4\n", "declared as mV, but its header states units of 0.001 mV"),
        ("I (uV),II (uV)\n1,2\n3,4\n", "declared as mV, but its header states units of 0.001 mV"),
        ("I (uV),II\n1,2\n3,4\n", "declared as mV, but its header states units of 0.001 mV"),
        ("I,II\n1,2\n3,n.n.\n", "line 3 is not all numbers"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused(tmp_path, text, message):
    (tmp_path / "x.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        arrays.read(tmp_path / "x.csv", declared=Declared(("I", "II"), 500, "mV"))


@pytest.mark.slow
def test_half_an_hour_of_rows_of_leads_is_read_in_seconds(tmp_path):
    (tmp_path / "x.csv").write_text("\n".join([",".join(["0.125"] * 900_000)] * 2))
    recording = readers.read(tmp_path / "x.csv", declared=Declared(("I", "II"), 500, "mV"))
    assert recording.signal.shape == (900_000, 2)


# EDF


def write_edf(tmp_path, content):
    (tmp_path / "x.edf").write_bytes(content)
    return tmp_path / "x.edf"


def test_an_edf_sample_is_scaled_by_its_signals_ranges(tmp_path):
    content = ecg_files.edf_bytes(digital(), LEADS, physical=("-32.768", "32.767"))  # 1 uV per step
    recording = edf.read(write_edf(tmp_path, content))
    assert_reads(recording, digital() / 1000, sampling_rate=250, duration=2.0, notes=(), id="x.edf")


@pytest.mark.parametrize(
    "unit, physical",
    [*[(unit, ("-32768", "32767")) for unit in ("uV", "µV", "ÂµV", "uVolts")], ("mV\0\0", ("-32.768", "32.767"))],
)
def test_every_unit_of_edf_becomes_millivolts(tmp_path, unit, physical):
    content = ecg_files.edf_bytes(digital(), LEADS, unit=unit, physical=physical)
    assert_reads(edf.read(write_edf(tmp_path, content)), digital() / 1000, sampling_rate=250)


def test_an_inverted_physical_range_inverts_the_signal(tmp_path):
    content = ecg_files.edf_bytes(digital(), LEADS, physical=("32.767", "-32.768"))
    recording = edf.read(write_edf(tmp_path, content))
    np.testing.assert_allclose(recording.signal, -(digital() + 1) / 1000, atol=1e-6)
    assert recording.notes == (f"negative step in {', '.join(LEADS)}: the file turns the signal upside down",)


def test_electrodes_in_place_of_chest_leads_are_known_beside_limb_leads(tmp_path):
    labels = [f"ECG {lead.replace('V', 'C')}" if lead[0] == "V" else lead for lead in LEADS]
    assert edf.read(write_edf(tmp_path, ecg_files.edf_bytes(digital(), labels))).leads == LEADS
    brain = edf.read(write_edf(tmp_path, ecg_files.edf_bytes(digital(leads=3), ["C3", "C4", "ECG II"])))
    assert brain.leads == ("II",)


def test_bytes_after_the_last_data_record_are_left_out_and_noted(tmp_path):
    recording = edf.read(write_edf(tmp_path, ecg_files.edf_bytes(digital(), LEADS) + b"\1" * 6001))
    assert_reads(recording, digital() / 1000, sampling_rate=250, duration=2.0)
    assert recording.notes == ("6001 bytes after the last data record were not read",)


def test_a_last_data_record_that_is_filled_with_the_lowest_value_is_invalid(tmp_path):
    values = digital()
    values[430:] = -32768
    recording = edf.read(write_edf(tmp_path, ecg_files.edf_bytes(values, LEADS)))
    np.testing.assert_array_equal(recording.valid.all(axis=1), np.arange(500) < 430)
    assert not recording.valid[430:].any()
    np.testing.assert_allclose(recording.signal[:430], digital()[:430] / 1000, atol=1e-6)
    assert recording.notes == ("the last 70 samples are filled with the lowest value in every lead; they are invalid",)


def test_one_lowest_value_or_one_lead_at_it_is_no_filling(tmp_path):
    values = digital()
    values[499], values[400:, 3] = -32768, -32768
    assert edf.read(write_edf(tmp_path, ecg_files.edf_bytes(values, LEADS))).valid.all()


def test_a_bdf_file_has_24_bits(tmp_path):
    form = {"physical_dimension": "uV", "physical_range": (-8e6, 8e6), "digital_range": (-8000000, 8000000)}
    values = digital().astype(np.int32) * 1000
    columns = zip(LEADS, values.T, strict=True)
    edfio.Bdf([edfio.BdfSignal.from_digital(each.copy(), 500, label=lead, **form) for lead, each in columns]).write(
        tmp_path / "x.bdf"
    )
    assert_reads(readers.read(tmp_path / "x.bdf"), values / 1000, duration=1.0, notes=(), sampling_rate=500)


@pytest.mark.parametrize(
    "spelling", ["ECG {}", "EKG {}", "{}", "ECG-{}", "ecg {}", "Lead {}", "EKG Lead {}", "ECG:{}", "{}-REF", "{}\0\0"]
)
def test_edf_leads_go_by_label(tmp_path, spelling):
    content = ecg_files.edf_bytes(digital(), [spelling.format(lead) for lead in LEADS])
    assert edf.read(write_edf(tmp_path, content)).leads == LEADS


def test_signals_that_are_no_leads_are_left_out_and_named(tmp_path):
    content = ecg_files.edf_bytes(digital(leads=4), ["Resp", "ECG II", "SpO2", "ECG V1"])
    recording = edf.read(write_edf(tmp_path, content))
    assert_reads(recording, digital(leads=4)[:, [1, 3]] / 1000, leads=("II", "V1"), sampling_rate=250)
    assert recording.notes == ("signals left out: Resp, SpO2",)


def test_annotations_are_no_signal(tmp_path):
    form = {"physical_dimension": "mV", "physical_range": (-32, 32), "digital_range": (-32000, 32000)}
    columns = zip(LEADS, digital().T, strict=True)
    signals = [edfio.EdfSignal.from_digital(column.copy(), 500, label=lead, **form) for lead, column in columns]
    annotations = [edfio.EdfAnnotation(0.5, None, "QRS")]
    edfio.Edf(signals, annotations=annotations, starttime=datetime.time(1, 2, 3, 500000)).write(tmp_path / "x.edf")
    assert_reads(edf.read(tmp_path / "x.edf"), digital() / 1000, duration=1.0, notes=())


def test_an_unknown_number_of_records_is_counted_and_noted(tmp_path):
    recording = edf.read(write_edf(tmp_path, ecg_files.edf_bytes(digital(), LEADS, announced=-1)))
    assert recording.notes == ("number of data records not stated; 2 are there",)


@pytest.mark.parametrize(
    "content, message",
    [
        (ecg_files.edf_bytes(digital(), LEADS)[:-1], "announces 2 data records, but .* bytes hold 1; copy"),
        (ecg_files.edf_bytes(digital(), LEADS, announced=3), "announces 3 data records"),
        (ecg_files.edf_bytes(digital(), LEADS, unit="mmHg"), "lead I is in 'mmHg'; known: mV, uV, nV, V"),
        (ecg_files.edf_bytes(digital(), LEADS, physical=("1", "1")), "lead I has no calibration: physical 1.0 to 1.0"),
        (ecg_files.edf_bytes(digital(), LEADS, physical=("nan", "1")), "lead I has no calibration"),
        (
            ecg_files.edf_bytes(digital(leads=2), ["EEG Fp1", "ECG"]),
            "no signal is labelled as one of the leads .*EEG Fp1",
        ),
        (ecg_files.edf_bytes(digital(leads=2), ["ECG I", "I"]), "duplicate lead I"),
        (b"0       ", "not a readable EDF file"),
        (b"", "not a readable EDF file"),
    ],
)
def test_an_edf_file_that_does_not_fit_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=rf"x\.edf: .*{message}"):
        edf.read(write_edf(tmp_path, content))


def edf_with_onsets(onsets, kind="EDF+D"):
    """Lead I at 10 Hz and the annotation that says when each data record began."""
    tracks = b"".join(f"+{onset}\x14\x14".encode().ljust(20, b"\0") for onset in onsets)
    values = np.column_stack([np.arange(10 * len(onsets)), np.frombuffer(tracks, "<i2")])
    return ecg_files.edf_bytes(values, ["I", "EDF Annotations"], records=len(onsets), kind=kind)


def test_an_interrupted_edf_file_is_refused_and_a_whole_one_read(tmp_path):
    recording = edf.read(write_edf(tmp_path, edf_with_onsets([0, 1, 2])))
    assert_reads(recording, np.arange(30)[:, None] / 1000, leads=("I",), sampling_rate=10, duration=3.0)
    with pytest.raises(InputError, match="an interrupted recording"):
        edf.read(write_edf(tmp_path, edf_with_onsets([0, 1, 7])))


# SCP-ECG


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "Huffman-coded differences"])
def test_an_scp_sample_is_its_multiplier_in_nanovolts(tmp_path, compressed):
    values = digital(leads=8)
    (tmp_path / "x.scp").write_bytes(ecg_files.scp_bytes(values, multiplier=2500, compressed=compressed))
    assert_reads(scp.read(tmp_path / "x.scp"), values * 0.0025, leads=EIGHT, notes=(), id="x.scp")


def test_an_scp_rate_is_not_rounded(tmp_path):
    (tmp_path / "x.scp").write_bytes(ecg_files.scp_bytes(digital(leads=8), interval=1953))
    assert scp.read(tmp_path / "x.scp").sampling_rate == pytest.approx(512.0328, rel=1e-6)


def test_scp_leads_may_begin_later(tmp_path):
    (tmp_path / "x.scp").write_bytes(ecg_files.scp_bytes(digital(leads=8), starts=[1, 1, 11, 1, 1, 1, 1, 1]))
    recording = scp.read(tmp_path / "x.scp")
    assert recording.signal.shape == (510, 8)
    assert not recording.valid[:10, 2].any()
    assert not recording.valid[500:, [0, 1, 3, 4, 5, 6, 7]].any()
    np.testing.assert_allclose(recording.signal[10:, 2], digital(leads=8)[:, 2] / 1000, rtol=1e-6)
    assert recording.gaps == 10 * 8


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("last", [499, 500])
def test_an_scp_file_that_counts_from_zero_is_read(tmp_path, compressed, last):
    values = digital(leads=8) // 20
    content = ecg_files.scp_bytes(values, compressed=compressed, places=[(0, last)] * 8)
    (tmp_path / "x.scp").write_bytes(content)
    recording = scp.read(tmp_path / "x.scp")
    assert_reads(recording, values / 1000, leads=tuple(ecg_files.SCP_CODES), sampling_rate=500)
    assert recording.notes == ("samples are counted from 0, not from 1 as the standard does",)


def test_changed_bytes_of_scp_are_noted(tmp_path):
    content = bytearray(ecg_files.scp_bytes(digital(leads=8)))
    content[-3] ^= 1
    (tmp_path / "x.scp").write_bytes(content)
    assert scp.read(tmp_path / "x.scp").notes == ("checksums do not fit: bytes were changed or lost",)


@pytest.mark.parametrize(
    "content, message",
    [
        (ecg_files.scp_bytes(digital(leads=8), multiplier=0), "the amplitude multiplier is 0"),
        (ecg_files.scp_bytes(digital(leads=8))[:-10], "not a readable SCP-ECG file"),
        (ecg_files.scp_bytes(digital(leads=8), interval=0), "not a readable SCP-ECG file"),
        (ecg_files.scp_bytes(digital(leads=8), starts=[1] * 7 + [1 << 30]), "most of which no lead has"),
        (b"", "not a readable SCP-ECG file"),
    ],
)
def test_an_scp_file_that_does_not_fit_is_refused(tmp_path, content, message):
    (tmp_path / "x.scp").write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.scp: .*{message}"):
        scp.read(tmp_path / "x.scp")


def test_an_scp_file_that_announces_too_many_samples_is_refused(tmp_path):
    content = ecg_files.scp_bytes(digital(leads=8), compressed=True)
    (tmp_path / "x.scp").write_bytes(content.replace(struct.pack("<II", 1, 500), struct.pack("<II", 1, 1 << 30)))
    with pytest.raises(InputError, match=r"announces 8\d* samples, of which"):
        scp.read(tmp_path / "x.scp")


# One recording, several formats


def test_one_ecg_in_many_formats_is_one_recording(tmp_path):
    """Where a format keeps microvolts, all give the same float32."""
    ecg_files.write_wfdb(tmp_path)
    (tmp_path / "mat").mkdir()
    ecg_files.write_challenge(tmp_path / "mat")
    np.save(tmp_path / "x.npy", digital())
    (tmp_path / "x.json").write_text(json.dumps({"leads": LEADS, "sampling_rate": 500, "unit": "uV"}))
    (tmp_path / "y.csv").write_text(csv_text())
    write_edf(tmp_path, ecg_files.edf_bytes(digital(), LEADS, records=1))
    first, *others = readers.find(str(tmp_path), Declared((), 500, "mV"))
    assert len(others) == 4
    for other in others:
        assert_reads(other.read(), first.read().signal)
