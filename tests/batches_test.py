"""Recordings are read beside the network: in order, whole, by threads or processes, whatever happens to these."""

import functools
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from cli_test import noise, write_wfdb

from ecg_jax.contract import InputContract
from ecg_jax.data import readers, workers
from ecg_jax.data.loading import Loader
from ecg_jax.data.readers import LazyRecording
from ecg_jax.data.shared_memory import Blocks
from ecg_jax.errors import InputError
from ecg_jax.inference import batches, reading
from ecg_jax.recording import LEADS, create_recording

MODEL = SimpleNamespace(contract=InputContract(samples=256, highpass=0.5), split=None)
MANY = 24


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Short ones, a long one, a silent one and one in the wrong unit."""
    folder = tmp_path_factory.mktemp("records")
    for i in range(MANY):
        samples = 4000 if i == 5 else 250 + i
        write_wfdb(folder, f"{i:02d}", noise(i, samples) * (i != 7) * (15 if i == 9 else 1), rate=400)
    return [*readers.find(str(folder)), LazyRecording("gone", functools.partial(readers.read, str(folder / "gone")))]


@pytest.fixture
def processes(monkeypatch):
    monkeypatch.setattr(reading, "_MANY", 2)
    monkeypatch.setattr(workers, "count_cores", lambda: 2)


def measure(windows):
    return windows.std(axis=1)


def apply(recordings, **how):
    return list(batches.apply(measure, MODEL, recordings, **{"whole": True, "batch_size": 8} | how))


def test_processes_give_what_threads_give_in_order(recordings, request, monkeypatch):
    expected = apply(recordings, keep=True)
    request.getfixturevalue("processes")
    with monkeypatch.context() as patched:
        patched.setattr(Loader, "load_some", None)  # here, not in processes
        found = apply(recordings, keep=True)
    assert [name for name, _, _ in found] == [lazy.name for lazy in recordings]
    for (name, values, known), (_, others, same) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, others, name)
        ecg, other_ecg = known.pop("ecg", None), same.pop("ecg", None)
        assert (ecg is None) == (other_ecg is None) == ("error" in known)
        if ecg:
            np.testing.assert_array_equal(ecg.signal, other_ecg.signal)
        assert known.keys() == same.keys()
        assert {key: str(value) for key, value in known.items()} == {key: str(value) for key, value in same.items()}
    by_name = {os.path.basename(name): (values, known) for name, values, known in found}
    assert len(by_name["05"][0]) == 16  # 4000 samples
    assert by_name["07"][1]["quality"].startswith("no signal")
    assert "a beat's range is" in by_name["09"][1]["error"]
    assert "no such file" in by_name["gone"][1]["error"]


def test_what_cannot_be_sent_to_a_process_is_read_in_threads(recordings, processes):
    here = [LazyRecording(lazy.name, lambda lazy=lazy: lazy.read()) for lazy in recordings[:4]]
    for (_, values, _), (_, others, _) in zip(apply(here), apply(recordings[:4]), strict=True):
        np.testing.assert_array_equal(values, others)


def test_nothing_is_remembered_of_the_recordings_that_are_given_or_kept(recordings):
    given = create_recording(noise(samples=300), leads=LEADS, sampling_rate=400, id="mine")
    before = {*vars(given)}
    [(_, _, known)] = apply([LazyRecording("mine", lambda: given)], keep=True)
    assert before == {*vars(given)} == {*vars(known["ecg"])}


def test_without_shared_memory_windows_come_through_the_pipe(recordings, processes, monkeypatch):
    expected = apply(recordings)
    monkeypatch.setattr(Blocks, "take", lambda blocks: None)
    for (_, values, _), (_, others, _) in zip(apply(recordings), expected, strict=True):
        np.testing.assert_array_equal(values, others)


class Late:
    """A batch that the network has not finished."""

    def __init__(self, windows, log):
        self.windows, self.log = windows, log
        log.append("begun")

    def __array__(self, dtype=None, copy=None):
        self.log.append("awaited")
        return measure(self.windows)


def test_the_network_has_one_batch_while_the_next_is_read(recordings):
    log = []
    made = [values for _, values, _ in batches.apply(lambda x: Late(x, log), MODEL, recordings, batch_size=4)]
    for values, (_, expected, _) in zip(made, apply(recordings, batch_size=4, whole=False), strict=True):
        np.testing.assert_array_equal(values, expected)
    assert log[:5] == ["begun", "begun", "awaited", "begun", "awaited"]
    assert log.count("begun") == log.count("awaited") == 6  # the last ones, too


def test_an_error_of_the_network_ends_a_long_recording_at_once():
    begun = []

    def compute(windows):
        begun.append(len(windows))
        raise FloatingPointError("in the network")

    long = create_recording(noise(samples=4000), leads=LEADS, sampling_rate=400, id="long")
    with pytest.raises(FloatingPointError, match="in the network"):
        list(batches.apply(compute, MODEL, [LazyRecording("long", lambda: long)], whole=True, batch_size=4))
    assert begun == [4]


def test_few_recordings_start_no_process(recordings, monkeypatch):
    monkeypatch.setattr(workers, "Pool", None)
    assert len(apply(recordings)) == MANY + 1


def test_a_reader_that_dies_is_one_line_that_says_where(recordings, processes):
    deadly = LazyRecording("deadly", functools.partial(os._exit, 3))
    with pytest.raises(InputError, match=r"a process that reads died .*, at one of \S+ to \S+; name fewer"):
        apply([*recordings[:5], deadly, *recordings[5:]])


def test_long_recordings_are_not_read_far_ahead():
    """Of 16 windows each, with batches of 8: four are read while one is predicted."""
    opened = []
    long = create_recording(noise(samples=4000), leads=LEADS, sampling_rate=400, id="long")

    def read(i):
        opened.append(i)
        return long

    lazy = [LazyRecording(str(i), functools.partial(read, i)) for i in range(30)]
    for number, _ in enumerate(batches.apply(measure, MODEL, lazy, whole=True, batch_size=8)):
        assert len(opened) <= number + 6


def test_ending_early_reads_no_more_than_what_is_ahead(tmp_path, processes):
    """Its readers leave a folder each, and no recording."""
    lazy = [LazyRecording(str(i), functools.partial(os.mkdir, tmp_path / str(i))) for i in range(1000)]
    made = batches.apply(measure, MODEL, lazy, whole=True, batch_size=8)
    assert "cannot be read" in next(made)[2]["error"]
    made.close()
    assert 1 <= len(os.listdir(tmp_path)) < 100


SCRIPT = """
import contextlib
import sys
import threading
from types import SimpleNamespace
print("begun", flush=True)
from ecg_jax.contract import InputContract
from ecg_jax.data import readers
from ecg_jax.data.loading import Loader
from ecg_jax.inference import batches, reading
model = SimpleNamespace(contract=InputContract(samples=256), split=None)
reading._MANY = 2
recordings = readers.find(sys.argv[1]) * int(sys.argv[2])

def read():
    made = batches.apply(lambda windows: windows.std(axis=1), model, recordings, whole=True)
    for number, _ in enumerate(made):
        if number == 30:
            print("reading", flush=True)
    print(number + 1)

def read_until_the_end():
    with contextlib.suppress(RuntimeError):  # Python closes its pools while a daemon thread still submits
        read()

if sys.argv[3:] == ["thread"]:
    thread = threading.Thread(target=read_until_the_end, daemon=True)
    thread.start()
    thread.join()
else:
    read()
"""


@pytest.mark.slow
def test_a_program_that_is_not_behind_name_main_runs_once(recordings, tmp_path):
    (tmp_path / "program.py").write_text(SCRIPT)
    folder = os.path.dirname(recordings[0].name)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), folder, "2"], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["begun", "reading", str(2 * MANY)], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_readers_end_with_the_program(recordings, tmp_path, end, where):
    (tmp_path / "program.py").write_text(SCRIPT)
    folder = os.path.dirname(recordings[0].name)
    program = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), folder, "100000", where],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while program.stdout.readline().strip() != "reading":
        assert program.poll() is None
    if end == signal.SIGINT:
        os.killpg(program.pid, end)  # as a terminal does
    else:
        program.send_signal(end)
    _, said = program.communicate(timeout=60)  # returns once no process holds the pipes: all have ended
    assert said.count("Traceback") == (end == signal.SIGINT), said  # the program's own
