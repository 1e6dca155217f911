"""Damaged files: each is read or refused in one line; nothing crashes, hangs, fills the memory or is silently wrong."""

import subprocess
import sys
from pathlib import Path

import ecg_files
import numpy as np
import pytest

fuzz = pytest.importorskip("fuzz", reason="memory is measured through /proc", exc_type=ImportError)
FUZZ_READERS = Path(__file__).parents[1] / "experiments" / "fuzz_readers.py"


@pytest.mark.slow
def test_damaged_files_of_every_format_are_read_or_refused(tmp_path):
    samples = []
    for name, write in ecg_files.WRITERS.items():
        (tmp_path / name).mkdir()
        samples.append(fuzz.describe(write(tmp_path / name)))
    results = list(fuzz.run(samples, count=300, seed=1, workers=2))
    formats = {sample.format for sample in samples}
    assert len(formats) == 17
    assert len(results) == 300 * len(formats)
    assert [result for result in results if result.outcome in fuzz.FAILURES] == []
    for format in formats:  # both happen, or the damage is not of the right size
        assert {result.outcome for result in results if result.sample.format == format} == {"ok", "refused"}, format


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_damages_the_same_way(tmp_path, seed):
    sample = fuzz.describe(ecg_files.write_edf(tmp_path))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        fuzz.damage(sample, tmp_path / folder, seed, 5)
    assert (tmp_path / "one" / "ecg.edf").read_bytes() == (tmp_path / "two" / "ecg.edf").read_bytes()
    assert (tmp_path / "one" / "ecg.edf").read_bytes() != (tmp_path / "ecg.edf").read_bytes()


FAULTS = {
    "crash": "raise KeyError('x')",
    "crash (died)": "os.kill(os.getpid(), 11)",
    "crash (two lines)": "raise InputError(path + ': a\\nb')",
    "crash (unnamed)": "raise InputError('something is wrong')",
    "hang": "time.sleep(60)",
    "memory": "np.ones(1 << 28)",
    "memory (no more)": "np.ones(1 << 40)",
    "memory (said to be damage)": "refuse_memory(path)",
    "wrong": "return create_recording(np.ones((9, 1)), leads=[''], sampling_rate=500, id='x')",
    "refused": "raise InputError(path + ': is damaged')",
    "ok": "return create_recording(np.ones((9, 1)), leads=['I'], sampling_rate=500, id='x')",
}


@pytest.mark.slow
def test_the_judge_knows_every_fault(tmp_path):
    """Readers that misbehave on purpose, one after the other."""
    path = ecg_files.write_edf(tmp_path)
    for name, body in FAULTS.items():
        script = tmp_path / "fuzz_faulty.py"
        script.write_text(FAULTY.format(body=body))
        folders = [str(tmp_path), str(Path(__file__).parent)]
        code = f"import sys; sys.path[:0] = {folders}; import fuzz_faulty; fuzz_faulty.run({str(path)!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
        assert done.stdout.split()[0] == name.split()[0], (name, done.stdout, done.stderr)


FAULTY = """
import multiprocessing, os, time
import numpy as np
import fuzz
from ecg_jax.data.readers import edf
from ecg_jax.errors import InputError
from ecg_jax.recording import create_recording

def refuse_memory(path):
    try:
        np.ones(1 << 40)
    except MemoryError as error:
        raise InputError(path + ': is damaged') from error

def read(path, id=None):
    {body}

edf.read = read

def run(path):
    fuzz.SECONDS = 3.0
    get_context = multiprocessing.get_context
    fuzz.multiprocessing.get_context = lambda method: get_context('fork')  # so that the fault is inherited
    worker = fuzz.Worker()
    print(*worker.judge(path, 'EDF and BDF'))
    worker.close()
"""


def test_whole_files_are_all_read(tmp_path):
    for name, write in ecg_files.WRITERS.items():
        (tmp_path / name).mkdir()
        path = write(tmp_path / name)
        sample = fuzz.describe(path)
        assert path in sample.files
        outcome, message = fuzz.judge(str(path), sample.format)
        assert (outcome, message) == ("ok", ""), name


def test_mutations_reach_every_part_of_a_file():
    data, rng = bytes(10_000), np.random.default_rng(0)
    changed = [fuzz.mutate(data, rng) for _ in range(300)]
    first = [next((i for i, byte in enumerate(new) if byte), None) for new in changed]
    places = [place for place in first if place is not None]
    assert min(places) < 500
    assert max(places) > 5000
    assert {len(new) < 10_000 for new in changed} == {True, False}
    assert any(len(new) > 10_000 for new in changed)


@pytest.mark.slow
def test_the_command_counts_outcomes_and_ends_with_0(tmp_path):
    ecg_files.write_edf(tmp_path)
    command = [sys.executable, FUZZ_READERS, "--files=20", "--formats=edf", "--workers=1", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 whole files of 1 formats; 20 damaged of each" in done.stdout
    assert "20 files in" in done.stdout
    assert "0 failed" in done.stdout
