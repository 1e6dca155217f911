"""Untrusted files: nothing hangs, nothing is lost without a message, and a bad file ends nothing else."""

import os
import struct
import time
from xml.etree import ElementTree

import ecg_files
import h5py
import numpy as np
import pandas as pd
import pytest
from cli_test import call

from ecg_jax import budget, cli, files, load_model, spreadsheet
from ecg_jax.contract import InputContract
from ecg_jax.data import readers
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.preprocess import mask_missing, standardize
from ecg_jax.errors import InputError
from ecg_jax.inference import predict
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.reporting import ecg_page
from ecg_jax.reporting.page_names import PageNames


@pytest.fixture(scope="module")
def model():
    return load_model("simulated")


# Folders


def names(found, folder):
    return sorted(os.path.relpath(lazy.name, folder) for lazy in found.recordings)


def test_a_folder_passes_over_nothing_without_counting_it(tmp_path):
    ecg_files.write_wfdb(tmp_path)
    ecg_files.write_npy(tmp_path)
    (tmp_path / "unknown.xml").write_text("<Cardiology/>")
    (tmp_path / "orphan.dat").write_bytes(b"12")
    for name in ("a.txt", "b.txt", "LICENSE", "table.csv"):
        (tmp_path / name).write_text("id,AF\nx,1\n")
    found = readers.search(str(tmp_path))
    assert names(found, tmp_path) == ["array.npy", "orphan.dat", "rec", "unknown.xml"]
    with pytest.raises(InputError, match=r"unknown\.xml: unknown format"):
        next(lazy for lazy in found.recordings if "unknown" in lazy.name).read()
    assert readers.describe_passed_over(found.passed_over) == (
        "passed over: 4 file(s) that are no ECG (.txt 2, no suffix 1, .csv 1); NumPy and CSV files count with a "
        "sidecar .json; predict, embed and explain also take --file_leads, --file_rate, --file_unit"
    )
    assert names(readers.search(str(tmp_path / "*.[xt]*")), tmp_path) == ["unknown.xml"]


def test_a_link_to_nothing_is_named_and_does_not_suggest_itself(tmp_path):
    (tmp_path / "pred.csv").symlink_to("nowhere")
    for path in ("pred.csv", "pred.csv/"):
        assert files.suggest(f"{tmp_path}/{path}") == "; it is a link to nothing"
    assert files.suggest(f"{tmp_path}/pred1.csv") == "; did you mean pred.csv?"
    with pytest.raises(InputError, match=r"pred\.csv: no such file; it is a link to nothing"):
        cli.require_files(str(tmp_path / "pred.csv"))


def test_only_regular_files_are_opened_and_links_to_them(tmp_path):
    ecg_files.write_wfdb(tmp_path)
    os.mkfifo(tmp_path / "pipe.dcm")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero.edf").symlink_to("/dev/zero")
    (tmp_path / "gone.scp").symlink_to(tmp_path / "nothing")
    (tmp_path / "linked.edf").symlink_to(ecg_files.write_edf(tmp_path))
    found = readers.search(str(tmp_path))
    assert names(found, tmp_path) == ["ecg.edf", "gone.scp", "linked.edf", "pipe.dcm", "rec", "zero.edf"]
    assert found.passed_over == {"no suffix": 1}
    wrong = {"gone.scp", "pipe.dcm", "zero.edf"}
    for lazy in found.recordings:
        if os.path.basename(lazy.name) in wrong:
            with pytest.raises(InputError, match="no regular file"):
                lazy.read()
        else:
            assert len(lazy.read().signal) == 500
    for path in ("pipe.dcm", "zero.edf"):
        with pytest.raises(InputError, match="no regular file"):
            readers.read(str(tmp_path / path))


def test_a_link_to_a_folder_elsewhere_is_named_and_one_in_a_circle_is_not(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "other").mkdir()
    ecg_files.write_wfdb(tmp_path / "other")
    ecg_files.write_edf(tmp_path / "data")
    (tmp_path / "data" / "circle").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "more").symlink_to(tmp_path / "other")
    found = readers.search(str(tmp_path / "data"))
    assert names(found, tmp_path / "data") == ["ecg.edf", "more"]
    with pytest.raises(InputError, match="more: a link to a folder, which is not followed; name it"):
        found.recordings[-1].read()
    assert names(readers.search(str(tmp_path / "data" / "more")), tmp_path / "data" / "more") == ["rec"]


def test_exams_of_one_name_are_all_there(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["tracings"], file["exam_id"] = np.ones((3, 100, 12), np.float32), [7, 5, 7]
    assert names(readers.search(str(tmp_path)), tmp_path) == ["x.h5:5", "x.h5:7:0", "x.h5:7:2"]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("of a\nlibrary"), RecursionError(), OSError(5, "I/O")])
def test_whatever_a_file_makes_a_library_raise_is_a_line(error, model):
    def read():
        raise error

    good = create_recording(np.random.default_rng(0).normal(0, 0.3, (4096, 12)), leads=LEADS, sampling_rate=400, id="a")
    recordings = [
        readers.LazyRecording("bad", read),
        readers.LazyRecording("good", lambda: good),
        readers.LazyRecording("worse", read),
    ]
    bad, fine, worse = predict.predict(model, recordings)
    assert (bad.recording, worse.recording) == ("bad", "worse")
    assert bad.error.startswith(f"bad: cannot be read ({type(error).__name__}")
    assert "\n" not in bad.error
    assert not fine.error


@pytest.mark.slow
def test_a_bad_file_ends_no_batch(tmp_path):
    ecg_files.write_wfdb(tmp_path, name="r" * 240)
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file["tracings"] = np.full((2, 600, 12), b"1")
        file.attrs.update(sampling_rate=400, unit="code")
    (tmp_path / os.fsdecode(b"latin-\xe9.txt")).write_text("")
    (tmp_path / os.fsdecode(b"latin-\xe9.npy")).write_bytes(b"\x93NUMPY")
    ecg_files.write_sidecar(tmp_path, os.fsdecode(b"latin-\xe9"))
    done = call("predict", "--figure", tmp_path, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "text.h5: `tracings` holds |S1; expected numbers (2 recordings)" in done.stdout
    assert "1 recording(s); 3 could not be read" in done.stdout
    assert "latin-?.npy: not a readable NumPy array" in done.stdout
    assert "passed over: 1 file(s) that are no ECG (.txt 1)" in done.stdout
    assert len(pd.read_csv(tmp_path / "predictions.csv")) == 1
    assert len([*(tmp_path / "predictions_figures").glob("*.png")]) == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_a_page_shows_any_name_as_text(tmp_path):
    recording = create_recording(np.ones((500, 1)), leads=["I"], sampling_rate=500, id="a\x1b]0;b\udcff")
    ecg_page.draw(recording, [], str(tmp_path / "page.svg"), remarks="\x1b[2J")
    ElementTree.parse(tmp_path / "page.svg")  # XML holds no control characters
    assert "<!-- a?]0;b? -->" in (tmp_path / "page.svg").read_text()


def test_a_page_has_a_name_that_a_file_can_have(tmp_path):
    names = PageNames(str(tmp_path), "png")
    found = [names.choose("ä" * 127, label) for label in ("", "x" * 99, "x" * 99)]
    assert [len(os.fsencode(name)) for name in found] == [204, 235, 237]
    odd = os.fsdecode(b"latin-\xe9")
    assert PageNames(str(tmp_path), "png").choose(odd) == PageNames(str(tmp_path), "png").choose(odd)


# What a file may cost


def test_a_recording_has_as_many_leads_values_and_seconds_as_an_ecg():
    with pytest.raises(InputError, match="x: 100000 leads; at most 512 are read"):
        create_recording(np.zeros((2, 100_000)), leads=map(str, range(100_000)), sampling_rate=500, id="x")
    with pytest.raises(InputError, match="x: 2678401 seconds; at most 2678400 are read, cut it into parts"):
        create_recording(np.zeros((2_678_401, 1)), leads=["I"], sampling_rate=1, id="x")
    values = np.broadcast_to(np.float32(0), (72_000_000, 12))
    with pytest.raises(InputError, match=r"x: 864000000 values \(samples times leads\); at most 536870912"):
        create_recording(values, leads=LEADS, sampling_rate=1000, id="x")


def test_resampling_does_not_multiply_a_recording_without_bound():
    recording = create_recording(np.ones((36_000, 1)), leads=["II"], sampling_rate=1, id="x")
    with pytest.raises(InputError, match=r"x: 14400000 samples of 12 leads .* at most 2796202 samples are made"):
        standardize(mask_missing(recording, LEADS)[0], InputContract())
    budget.check_resampled("a day of twelve leads at 125 Hz", 10_800_000 * 12, 34_560_000, 12)


def write_segments_of_nothing(path):
    path.write_text("a/250000 12 500\n" + "~ 1\n" * 250_000)


def write_sequences_of_time(path):
    one = '<component><sequence><code code="TIME_A"/></sequence></component>'
    sets = f"<component><sequenceSet>{one * 40_000}</sequenceSet></component>"
    path.write_text(f'<AnnotatedECG><component><series><code code="RHYTHM"/>{sets}</series></component></AnnotatedECG>')


def write_many_csv_leads(path):
    lines = [",".join(f"L{i}" for i in range(100_000)), *[",".join("0" * 100_000)] * 3]
    path.write_text("\n".join(lines))
    ecg_files.write_sidecar(path.parent, path.stem, leads=None)


def write_matlab_elements(path):
    body = struct.pack("<HH", 1, 4) + b"ECG\0" + struct.pack("<II", 1, 0) * 300_000
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 14, len(body)) + body)


def write_chunk(path):
    options = {"chunks": (12, 1_000_000), "maxshape": (12, None), "compression": 1}
    with h5py.File(path, "w") as file:
        file.create_dataset("ecg", (12, 4096), np.float32, **options)[:] = 0


def write_many_exams(path):
    with h5py.File(path, "w") as file:
        file["tracings"] = np.zeros((5000, 2, 12), np.int8)


def write_namespaces(path):
    uri = "u" * 1_000_000
    path.write_text(f'<AnnotatedECG xmlns:a="{uri}">' + "".join(f"<a:b{i}/>" for i in range(5000)) + "</AnnotatedECG>")


@pytest.mark.parametrize(
    "name, write, said",
    [
        ("a.hea", write_segments_of_nothing, "announces 250000 x 0 samples"),
        ("a.xml", write_sequences_of_time, "40000 time sequences"),
        ("a.csv", write_many_csv_leads, "100000 leads; at most 512"),
        ("a.mat", write_matlab_elements, "more than 1000 elements"),
        ("a.h5", write_chunk, "a part of `ecg` announces 48000000 bytes"),
        ("a.h5", write_many_exams, "announces 5000 exams; a file of its size holds at most [1-9]"),
        ("a.xml", write_namespaces, "a namespace of 1000000 characters"),
    ],
)
def test_a_small_file_that_asks_for_much_is_refused_at_once(tmp_path, name, write, said):
    write(tmp_path / name)
    begin = time.process_time()
    with pytest.raises(InputError, match=said):
        readers.find(str(tmp_path / name))[0].read()
    assert time.process_time() - begin < 5  # half of what SECURITY.md promises; threads of other tests count, too


def test_what_unpacks_may_be_sixteen_megabytes_or_four_times_the_file():
    assert budget.limit_unpacked(100_000) == 16 * 2**20
    assert budget.limit_unpacked(10 * 2**20) == 40 * 2**20


# What is written


def test_a_file_is_replaced_whole_or_stays_what_it_was(tmp_path):
    path = tmp_path / "x.csv"
    files.write_text(str(path), "old")
    with pytest.raises(UnicodeEncodeError), files.replacing(str(path)) as file:
        file.write("half \ud800")
    with files.replacing(str(path)) as one, files.replacing(str(path)) as two:  # as of two processes
        one.write("one")
        two.write("two")
        assert len(os.listdir(tmp_path)) == 3
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        files.write_text(str(tmp_path / "pipe"), "")
    assert os.listdir(tmp_path) == ["pipe"]
    assert not os.path.isfile(tmp_path / "pipe")


def test_a_full_disk_names_the_file_that_was_to_be(tmp_path):
    with pytest.raises(OSError) as failed, files.replacing(str(tmp_path / "x.csv")):
        raise OSError(28, "No space left on device")
    assert failed.value.filename == str(tmp_path / "x.csv")
    with pytest.raises(OSError) as failed:
        files.write_text(str(tmp_path / "no" / "x.csv"), "")
    assert failed.value.filename == str(tmp_path / "no" / "x.csv")
    assert os.listdir(tmp_path) == []


# What is shown


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b]0;OWNED\x07\x1b[2J", "?]0;OWNED??[2J"),
        ("a\x9b31m\r\x7f\x08", "a?31m???"),
        ("V1\u202e6V", "V1?6V"),
        ("\udce9", "?"),
        ("é 心 [red] :heart:\tx\n", "é 心 [red] :heart:\tx\n"),
    ],
)
def test_no_text_steers_the_terminal(text, shown, capsys):
    assert cli.make_printable(text) == shown
    cli.create_console().print(text, end="")
    out = capsys.readouterr().out
    assert cli.make_printable(out) == out
    assert out.startswith(shown[0])


@pytest.mark.parametrize(
    "text, written",
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("@SUM(1)", "'@SUM(1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-a", "'-a"),
        ("'=a", "''=a"),
        ("-12.5", "-12.5"),
        ("+1e-3", "+1e-3"),
        ("a=b", "a=b"),
        ("'quoted'", "'quoted'"),
        ("", ""),
    ],
)
def test_a_spreadsheet_shows_text_and_reading_gives_it_back(text, written, tmp_path):
    assert spreadsheet.guard(text) == written
    assert spreadsheet.restore(written) == text
    table = pd.DataFrame({"id": [text or "x"], "=label": [0.5], "quality": [""]})
    (tmp_path / "x.csv").write_text(spreadsheet.to_csv(table))
    read = table_lib.read_table(str(tmp_path / "x.csv"))
    assert read.columns.tolist() == ["id", "=label", "quality"]
    assert read["id"].tolist() == table["id"].tolist()
    assert read["quality"].isna().all()
