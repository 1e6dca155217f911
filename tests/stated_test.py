"""What a person states about a file, in it, beside it or by a flag: used, or named where it is not; never dropped."""

import json
import os

import numpy as np
import pytest
import scipy.io
from cli_test import call
from ecg_files import LEADS, write_sidecar, write_sph_hdf5, write_wfdb

from ecg_jax import files
from ecg_jax.data import datasets, readers, verify
from ecg_jax.data.readers import Declared, time_column
from ecg_jax.errors import InputError
from ecg_jax.simulation import textbook

DECLARED = Declared((), 500, "mV")
ROWS = np.arange(1000)


def simulate():
    """`[samples, 12]` mV at 400 Hz."""
    return textbook.simulate(np.random.default_rng(0), np.zeros(6, bool), textbook.Conditions())


def write_csv(path, header=LEADS, values=None):
    np.savetxt(path, simulate() if values is None else values, "%.5f", ",", header=",".join(header), comments="")
    return str(path)


def write_times(folder, name, times, unit=""):
    """A CSV of a column of times and lead I, 0 everywhere."""
    rows = [f"{name},I", *([f"{unit},mV"] if unit else []), *(f"{time},0" for time in times)]
    (folder / "x.csv").write_text("\n".join(rows))
    return folder / "x.csv"


def write_rate(folder, rate):
    scipy.io.savemat(folder / "x.mat", {"val": simulate().T, "fs": rate})
    return folder / "x.mat"


def refuse(path, declared=None):
    with pytest.raises(InputError) as error:
        readers.read(path, declared=declared)
    return str(error.value)


def clock(seconds, form="{h:02d}:{m:02d}:{s:06.3f}"):
    return form.format(h=int(seconds // 3600) % 24, m=int(seconds % 3600 // 60), s=seconds % 60)


# Times

TIMES = {  # of 1,000 samples at 500 Hz
    "seconds": ("time_s", ROWS / 500),
    "seconds in brackets": ("Time [s]", ROWS / 500),
    "milliseconds": ("time (ms)", ROWS * 2),
    "milliseconds alone": ("ms", ROWS * 2),
    "microseconds": ("t_us", ROWS * 2000),
    "nanoseconds": ("timestamp (ns)", 1577959200 * 10**9 + ROWS * 2_000_000),
    "minutes": ("time (min)", [f"{row / 30000:.9f}" for row in ROWS]),
    "from another start": ("time_s", 12.5 + ROWS / 500),
    "of an epoch": ("epoch_s", [f"{1577959200 + row / 500:.3f}" for row in ROWS]),
    "elapsed": ("Elapsed time", [f"{clock(row / 500, '{m}:{s:06.3f}')}" for row in ROWS]),
    "of day": ("time", [clock(36000 + row / 500) for row in ROWS]),
    "past midnight": ("time", [clock(86399 + row / 500) for row in ROWS]),
    "with a date": ("timestamp", [f"2020-01-02T{clock(36000 + row / 500)}Z" for row in ROWS]),
    "with a date behind": ("time", [f"[{clock(36000 + row / 500)} 01/02/2020]" for row in ROWS]),
}
GUESSED = {
    "seconds": ("time", ROWS / 500, "s"),
    "milliseconds": ("Zeit", ROWS * 2, "ms"),
    "milliseconds of an epoch": ("timestamp", 1577959200002 + ROWS * 2, "ms"),
    "microseconds": ("t", ROWS * 2000, "us"),
    "an index of seconds": ("Unnamed: 0", ROWS / 500, "s"),
    "days of a spreadsheet": ("date", [f"{43831 + row / 43_200_000:.10f}" for row in ROWS], "d"),
}


@pytest.mark.parametrize("name, times", TIMES.values(), ids=TIMES)
def test_times_with_a_unit_give_the_rate_agree_with_it_or_contradict_it(tmp_path, name, times):
    path = write_times(tmp_path, name, times)
    recording = readers.read(path, declared=Declared((), None, "mV"))
    assert recording.sampling_rate == 500
    assert f"sampling rate 500 Hz is that of column '{name}'" in recording.notes
    assert readers.read(path, declared=DECLARED).sampling_rate == 500
    assert "declared as 1000 Hz, but by its column" in refuse(path, Declared((), 1000, "mV"))


@pytest.mark.parametrize("name, times, unit", GUESSED.values(), ids=GUESSED)
def test_times_without_a_unit_have_the_one_that_gives_a_usual_rate(tmp_path, name, times, unit):
    path = write_times(tmp_path, name, times)
    recording = readers.read(path, declared=Declared((), None, "mV"))
    assert recording.sampling_rate == 500
    assert f"sampling rate 500 Hz is that of column '{name}', its times taken for {unit}" in recording.notes
    assert ", 500 Hz; correct one of them, or remove column" in refuse(path, Declared((), 1000, "mV"))


def test_a_row_of_units_has_the_unit_of_times(tmp_path):
    path = write_times(tmp_path, "time", ROWS * 4, "ms")
    assert readers.read(path).sampling_rate == 250
    assert "declared as 500 Hz, but by its column 'time' there is a sample every 4 ms, 250 Hz" in refuse(path, DECLARED)


@pytest.mark.parametrize(
    "name, times",
    [
        *((name, ROWS) for name in ("time", "t", "s", "index", "Sample number", "", "Unnamed: 0")),
        ("sample", 2 * ROWS),  # every other one
        ("index", np.roll(ROWS, 5)),
        ("time", [clock(36000)] * 1000),  # too coarse
        ("date", ["2020-01-02"] * 1000),
        ("time", ["?"] * 1000),
        ("time", 40 * ROWS),  # of an unknown unit: 25 Hz, or 25,000
    ],
)
def test_a_column_that_counts_samples_or_stands_still_says_nothing(tmp_path, name, times):
    path = write_times(tmp_path, name, times)
    for rate in (250, 500):
        recording = readers.read(path, declared=Declared((), rate, "mV"))
        assert (recording.sampling_rate, recording.contradictions) == (rate, ())
    assert "sampling_rate unknown; write x.json beside it" in refuse(path, Declared((), None, "mV"))


@pytest.mark.parametrize("rate", [360, 128, 500])
def test_rounded_times_agree_with_the_rate_and_give_it(tmp_path, rate):
    path = write_times(tmp_path, "time_ms", np.rint(np.arange(10 * rate) * 1000 / rate).astype(int))
    for declared in (rate, None):
        assert readers.read(path, declared=Declared((), declared, "mV")).sampling_rate == rate


def test_a_clock_of_whole_seconds_excludes_rates_and_gives_none(tmp_path):
    path = write_times(tmp_path, "time", [clock(int(row / 500), "{h:02d}:{m:02d}:{s:02.0f}") for row in range(10000)])
    assert readers.read(path, declared=DECLARED).sampling_rate == 500
    assert "declared as 1000 Hz" in refuse(path, Declared((), 1000, "mV"))
    assert "sampling_rate unknown" in refuse(path, Declared((), None, "mV"))


@pytest.mark.parametrize(
    "times, said",
    [
        (
            np.where(ROWS < 300, ROWS, ROWS + 500) / 500,
            "after row 300 of the samples it goes on by 1.002, usually by 0.002",
        ),
        (np.where(ROWS < 300, ROWS, ROWS - 300) / 500, "after row 300 of the samples it goes on by -0.598, usually by"),
    ],
)
def test_times_with_a_gap_contradict_the_file(tmp_path, times, said):
    recording = readers.read(write_times(tmp_path, "time", times), declared=DECLARED)
    assert len(recording.contradictions) == 1
    assert recording.contradictions[0].startswith(f"column 'time' is not even: {said}")
    written = write_csv(tmp_path / "y.csv", ("time", *LEADS), np.column_stack([times, simulate()[:1000]]))
    with pytest.raises(InputError, match="column 'time' is not even"):
        verify.enforce(readers.read(written, declared=DECLARED), "refuse")


@pytest.mark.parametrize(
    "line, rate",
    [
        ("# fs = 250", 250),
        ("Sampling rate: 250 Hz", 250),
        ("Sample Rate,512.4 hertz", 512.4),
        ("% sampling_frequency 1 kHz", 1000),
    ],
)
def test_a_line_above_the_samples_states_a_rate(tmp_path, line, rate):
    (tmp_path / "x.csv").write_text(f"{line}\nI,II\nmV,mV\n1,2\n3,4\n")
    assert readers.read(tmp_path / "x.csv").sampling_rate == rate
    assert "declared as 500 Hz, but by its line 1 there is a sample every" in refuse(tmp_path / "x.csv", DECLARED)


def test_a_line_and_a_column_that_disagree_are_both_named(tmp_path):
    path = write_times(tmp_path, "time_s", ROWS / 500)
    path.write_text("# fs=250\n" + path.read_text())
    assert "x.csv: its column 'time_s' states 500 Hz, but by its line 1 there is a sample every 0.004 s" in refuse(
        path, Declared((), None, "mV")
    )


def test_a_rate_beside_the_matrix_of_a_matlab_file_is_compared_and_other_numbers_are_named(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"val": simulate().T, "fs": 400, "age": 60.0, "who": "P"})
    declared = Declared(LEADS, 400, "mV")
    assert readers.read(tmp_path / "x.mat", declared=declared).notes == (
        "variable(s) age not read",
        "stored as [leads, samples]",
    )
    scipy.io.savemat(tmp_path / "x.mat", {"val": simulate().T, "names": np.array(["a"] * 2000, object)})
    assert readers.read(tmp_path / "x.mat", declared=declared).notes == ("stored as [leads, samples]",)
    assert "its variable 'fs' there is a sample every 0.002 s, 500 Hz" in refuse(write_rate(tmp_path, 500), declared)
    assert readers.read(write_rate(tmp_path, 250), declared=Declared(LEADS, None, "mV")).sampling_rate == 250


@pytest.mark.parametrize("name", ["time", "times", "Zeit_time", "timestamp_ms", "t (s)", "date", "sec", "h:mm:ss", "#"])
def test_columns_of_times_are_known_by_their_names(name):
    assert time_column.is_time(name) == (name not in ("h:mm:ss",))


def test_a_date_and_a_time_may_have_a_column_each(tmp_path):
    rows = [f"2020-01-02,{clock(row / 500)},1" for row in ROWS]
    (tmp_path / "x.csv").write_text("\n".join(["date,time,I", *rows]))
    recording = readers.read(tmp_path / "x.csv", declared=Declared((), None, "mV"))
    assert (recording.leads, recording.sampling_rate) == (("I",), 500)


# Sidecars, flags, headers


def test_a_sidecar_is_completed_by_flags_and_wins_over_them_with_a_note(tmp_path):
    write_csv(tmp_path / "x.csv")
    write_sidecar(tmp_path, "x", leads=None, sampling_rate=400, unit=None)
    recording = readers.read(tmp_path / "x.csv", declared=Declared((), 800.0, "mV"))
    assert recording.sampling_rate == 400
    assert recording.notes == ("sampling_rate 800 of --file_rate is not used: x.json states 400",)
    np.save(tmp_path / "x.npy", simulate())
    write_sidecar(tmp_path, "x", unit="µV")
    declared = Declared(("II", "I", *LEADS[2:]), 500.0, "uV")
    [note] = readers.read(tmp_path / "x.npy", declared=declared).notes
    assert note == (
        "leads II,I,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6 of --file_leads is not used: x.json states "
        "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
    )


def test_a_flag_that_contradicts_a_file_that_states_its_rate_is_named(tmp_path):
    path = write_wfdb(tmp_path)
    lines = ("sampling_rate 250 of --file_rate is not used: the file states 500",)
    assert readers.read(path, declared=Declared((), 250.0, "")).notes == lines
    [found] = readers.find(str(tmp_path), Declared((), 250.0, ""))
    assert found.read().notes == lines
    assert readers.read(path, declared=DECLARED).notes == ()


@pytest.mark.parametrize("key", ["samplingrate", "sampling_rte", "SamplingFrequency", "fs", "Sampling Rate"])
def test_a_misspelled_key_of_a_sidecar_is_refused(tmp_path, key):
    path = write_csv(tmp_path / "x.csv")
    (tmp_path / "x.json").write_text(json.dumps({key: 400, "unit": "mV"}))
    assert f"x.json: key {key!r} is unknown; did you mean sampling_rate?" in refuse(path)
    (tmp_path / "x.json").write_text(json.dumps({key: 400, "unit": "mV", "sampling_rate": 400}))
    assert readers.read(path).notes == (f"x.json: key(s) {key} not known, so not read",)


STATED = ("time_s", *(f"{lead} (mV)" for lead in LEADS))


def write_complete(path):
    return write_csv(path, STATED, np.column_stack([np.arange(len(simulate())) / 400, simulate()]))


@pytest.mark.parametrize("said", [{"patient": 1}, [1], {"notice": "", "recordings": ["x" * (1 << 20)]}])
def test_a_json_that_states_nothing_is_no_sidecar_where_nothing_is_missing(tmp_path, said):
    path = write_complete(tmp_path / "x.csv")
    (tmp_path / "x.json").write_text(json.dumps(said))
    assert "x.json: states none of leads, sampling_rate, unit, so not read" in readers.read(path).notes
    (tmp_path / "labels.csv").write_text("id,AF\n1,0\n")
    (tmp_path / "labels.json").write_text(json.dumps(said))
    assert [lazy.name for lazy in readers.find(str(tmp_path))] == [path]
    np.save(tmp_path / "x.npy", simulate())
    assert 'unknown; write them into x.json, as {"leads"' in refuse(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "said, missing", [({"unit_id": 3, "sampling_date": "2020"}, "unit"), ({"unit": None, "fs": None}, "")]
)
def test_a_key_like_a_field_is_refused_only_where_that_field_remains_unknown(tmp_path, said, missing):
    path = write_complete(tmp_path / "x.csv")
    (tmp_path / "x.json").write_text(json.dumps(said))
    assert readers.read(path).sampling_rate == 400
    np.save(tmp_path / "x.npy", simulate())
    assert readers.read(tmp_path / "x.npy", declared=Declared(LEADS, 400, "mV")).sampling_rate == 400
    message = f"did you mean {missing}?" if missing else "x.npy: unit unknown"
    assert message in refuse(tmp_path / "x.npy", Declared(LEADS, 400, ""))


def test_a_misspelled_key_beside_hdf5_and_an_array_of_a_data_set_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", simulate()[None])
    (tmp_path / "x.csv").write_text("AF\n1\n")
    (tmp_path / "x.json").write_text(json.dumps({"fs": 400}))
    given = {"arrays": {"leads": ",".join(LEADS), "sampling_rate": 0.0, "unit": "mV"}}
    with pytest.raises(InputError, match="key 'fs' is unknown; did you mean sampling_rate"):
        datasets.open_source("arrays", source=str(tmp_path / "x.npy"), labels="AF", seed=0, options=given)
    path = write_sph_hdf5(tmp_path)
    (tmp_path / "sph.json").write_text(json.dumps({"fs": 400}))
    assert "key 'fs' is unknown; did you mean sampling_rate?" in refuse(path)
    assert readers.read(path, declared=Declared((), 400, "")).sampling_rate == 400


@pytest.mark.parametrize(
    "unit, said", [("mV", ()), ("uV", ("unit uV of --file_unit is not used: the file states mV",)), ("µV", 1)]
)
def test_a_flag_that_contradicts_a_file_that_states_its_unit_is_named(tmp_path, unit, said):
    notes = readers.read(write_wfdb(tmp_path), declared=Declared((), None, unit)).notes
    assert len(notes) == said if isinstance(said, int) else notes == said


@pytest.mark.parametrize(
    "name, is_rate",
    [("Fs", True), ("sampling_rate", True), ("SampleFreq", True), ("sfreq", True)]
    + [(name, False) for name in ("rate", "freq", "frequency", "samples", "resampled_rate", "sampling_interval")],
)
def test_a_number_in_a_matlab_file_is_its_rate_only_by_a_name_that_says_so(tmp_path, name, is_rate):
    scipy.io.savemat(tmp_path / "x.mat", {"val": simulate().T, name: 72.0})
    [found] = readers.find(str(tmp_path))
    assert found.missing == (("leads", "unit") if is_rate else ("leads", "sampling_rate", "unit"))
    if is_rate:
        assert "500 Hz" in refuse(tmp_path / "x.mat", Declared(LEADS, 500, "mV"))
    else:
        notes = readers.read(tmp_path / "x.mat", declared=Declared(LEADS, 500, "mV")).notes
        assert f"variable(s) {name} not read" in notes


def test_columns_that_are_no_leads_are_named(tmp_path):
    path = write_csv(tmp_path / "x.csv", (*LEADS, "resp", "aVRR"), np.column_stack([simulate(), simulate()[:, :2]]))
    recording = readers.read(path, declared=DECLARED)
    assert recording.notes == ("none of the twelve leads, so not used unless a network names it: resp, aVRR",)


@pytest.mark.parametrize(
    "stated, fits",
    [
        ("uV", "1 mV per unit (millivolts) fits, not 0.001"),
        ("V", "1 mV per unit (millivolts) fits, not 1000"),
        ("nV", "1 mV per unit (millivolts) fits, not 1e-06"),
    ],
)
def test_a_wrong_unit_is_named_by_the_unit_that_fits_whatever_was_declared(tmp_path, stated, fits):
    path = write_csv(tmp_path / "x.csv")
    recording = readers.read(path, declared=Declared((), 400, stated))
    with pytest.raises(InputError, match="mends it") as error:
        verify.enforce(recording, "refuse")
    assert fits in str(error.value)
    np.testing.assert_allclose(verify.enforce(recording, "repair")[0].signal, simulate(), atol=1e-5)


def test_an_array_of_a_data_set_agrees_with_its_sidecar(tmp_path):
    np.save(tmp_path / "x.npy", simulate()[None, :, :2])
    (tmp_path / "x.csv").write_text("AF\n1\n")
    options = {"leads": "I,II", "sampling_rate": 0.0, "unit": ""}

    def read(**changes):
        given = {"arrays": options | changes}
        return datasets.open_source("arrays", source=str(tmp_path / "x.npy"), labels="AF", seed=0, options=given).read(
            0
        )

    write_sidecar(tmp_path, "x", leads=["I", "II"], sampling_rate=400)
    assert read().sampling_rate == 400
    with pytest.raises(InputError, match=r"x\.json is not used: data\.arrays states 500; correct one of them"):
        read(sampling_rate=500.0)


# Folders


def test_in_a_folder_what_looks_like_an_ecg_is_listed_and_lacks_what_no_one_states(tmp_path):
    write_csv(tmp_path / "plain.csv")
    write_csv(tmp_path / "numbers.csv", header=())
    write_csv(
        tmp_path / "told.csv",
        ("time_s", *(f"{lead} (mV)" for lead in LEADS)),
        np.column_stack([np.arange(len(simulate())) / 400, simulate()]),
    )
    np.save(tmp_path / "array.npy", simulate())
    np.save(tmp_path / "set.npy", np.zeros((3, 4, 5)))
    np.save(tmp_path / "predictions.npy", np.zeros((500, 6)))
    (tmp_path / "labels.csv").write_text("id,AF,SB\n1,0,1\n2,1,0\n")
    (tmp_path / "predictions.csv").write_text("0,1,1\n1,0,1\n1,0,1\n")
    (tmp_path / "broken.csv").write_text("time,I,II\n0,0,1\n1,x,0\n")
    found = readers.search(str(tmp_path))
    assert {os.path.basename(lazy.name): lazy.missing for lazy in found.recordings} == {
        "array.npy": ("leads", "sampling_rate", "unit"),
        "broken.csv": (),
        "numbers.csv": ("leads", "sampling_rate", "unit"),
        "plain.csv": ("sampling_rate", "unit"),
        "told.csv": (),
    }
    assert found.passed_over == {".csv": 2, ".npy": 2}
    for lazy in found.recordings:
        if lazy.missing:
            with pytest.raises(InputError, match=f"{', '.join(lazy.missing)} unknown; write "):
                lazy.read()
    told = found.recordings[-1].read()
    np.testing.assert_allclose(told.signal, simulate(), atol=1e-5)
    assert told.sampling_rate == 400
    with pytest.raises(InputError, match="line 3 is not all numbers"):
        found.recordings[1].read()
    declared = readers.find(str(tmp_path), Declared(LEADS, 400, "mV"))
    assert not any(lazy.missing for lazy in declared)


def test_labels_and_probabilities_are_no_recordings(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "labels.npy", rng.integers(0, 2, (5000, 12)))
    np.save(tmp_path / "probabilities.npy", rng.random((12, 5000)))
    np.save(tmp_path / "short.npy", rng.normal(size=(100, 12)))
    np.savetxt(tmp_path / "labels.csv", rng.integers(0, 2, (500, 12)), "%d", ",")
    np.save(tmp_path / "ecg.npy", simulate()[:120])
    write_csv(tmp_path / "ecg.csv", header=())
    found = readers.search(str(tmp_path))
    assert [os.path.basename(lazy.name) for lazy in found.recordings] == ["ecg.csv", "ecg.npy"]


# Outputs


@pytest.mark.parametrize(
    "output", ["a.npy", "a.json", "b.json", "rec.hea", "rec.dat", "../here/a.json", "part.h5", "part.json"]
)
def test_a_file_of_a_recording_or_its_sidecar_is_no_output(tmp_path, output, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in "ab":
        np.save(f"{name}.npy", simulate())
    write_sidecar(tmp_path / "here", "a")  # b.json would be one
    write_wfdb(tmp_path / "here")
    write_sph_hdf5(tmp_path / "here").rename("part.h5")
    found = readers.find(".")
    with pytest.raises(InputError, match="--output would replace what is read"):
        files.refuse_overwriting([output], readers.list_inputs(found, output))
    for other in ("rec.json", "c.json", "a.csv", "../a.npy", "predictions.csv"):
        files.refuse_overwriting([other], readers.list_inputs(found, other))


@pytest.mark.parametrize(
    "command, flags, output",
    [
        ("predict", ["--model=simulated", "x.csv"], "x.csv"),
        ("predict", ["--model=simulated", "."], "x.json"),
        ("export", ["--model=x.onnx"], "x.onnx"),
        ("explain", ["--data=arrays:x.npy", "--label=AF"], "x.png"),
        ("evaluate", ["--predictions=scores.csv", "--labels=x.csv"], "."),
    ],
)
def test_no_command_writes_to_what_it_reads(tmp_path, command, flags, output):
    for name in ("x.csv", "x.onnx", "x.npy", "scores.csv"):
        write_complete(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = call(command, f"--output={output}", *flags, cwd=tmp_path)
    assert done.returncode == 1
    assert "--output would replace what is read" in done.stderr, done.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def predict(folder):
    done = call("predict", "--model=simulated", f"--output={folder / 'out.csv'}", folder)
    return done.returncode, " ".join(done.stdout.split())


def test_predict_counts_files_without_a_rate_and_says_what_to_write(tmp_path):
    for name in "ab":
        write_csv(tmp_path / f"{name}.csv")
    status, said = predict(tmp_path)
    assert status == 1
    assert (
        f"not predicted: {tmp_path}/a.csv and others: sampling_rate, unit unknown; write a.json beside it, as "
        '{"sampling_rate": 500, "unit": "mV"} (its beats fit this unit), or folder.json, for all files beside it; or '
        "pass --file_rate, --file_unit (of predict, embed and explain) "
        "(2 recordings)"
    ) in said
    assert said.endswith("2 could not be read")


@pytest.mark.slow
def test_predict_of_a_folder_in_part_described_ends_with_the_status_of_files_that_could_not_be_read(tmp_path):
    for name in "abc":
        write_csv(tmp_path / f"{name}.csv")
    write_sidecar(tmp_path, "c", leads=None, sampling_rate=400)
    status, said = predict(tmp_path)
    assert status == 2
    assert said.endswith("out.csv, 1 recording(s); 2 could not be read")


def test_prepare_leaves_them_out_with_the_reason(tmp_path):
    (tmp_path / "ecgs").mkdir()
    for name in "abc":
        write_csv(tmp_path / "ecgs" / f"{name}.csv")
    write_sidecar(tmp_path / "ecgs", "c", leads=None, sampling_rate=400)
    flags = ["--dataset=folder", f"--source={tmp_path / 'ecgs'}", f"--output={tmp_path / 's'}", "--workers=1"]
    done = call("prepare", *flags)
    assert done.returncode == 2, done.stderr
    problems = (tmp_path / "s" / "problems.csv").read_text()
    assert problems.count("sampling_rate, unit unknown; write ") == 2
