"""Damaged files: each is read or refused in one line; nothing crashes, hangs, fills the memory or is silently wrong."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import ecg_files
import edits
import numpy as np
import pytest

from ecg_jax.data.readers import FORMATS

fuzz = pytest.importorskip("fuzz", reason="memory is measured through /proc", exc_type=ImportError)
FUZZ_READERS = Path(__file__).parents[1] / "experiments" / "fuzz_readers.py"


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A whole file in each format; not to be changed."""
    return fuzz.write_samples(tmp_path_factory.mktemp("samples"))


def assert_nothing_fails(samples, count, seed):
    """Damages so many files of each format and returns the outcomes by format."""
    outcomes = {sample.format: set() for sample in samples}
    failed = []
    for result in fuzz.run(samples, count, seed, workers=2):
        outcomes[result.sample.format].add(result.outcome)
        failed += [result] if result.outcome in fuzz.FAILURES else []
    assert failed == []
    return outcomes


def test_a_thousand_damaged_files_give_their_ecg_or_say_something(samples):
    outcomes = assert_nothing_fails(samples, count=59, seed=1)
    assert {*outcomes} == {*FORMATS}
    for format, found in outcomes.items():  # both happen, or the damage is not of the right size
        assert {"ok", "refused"} <= found, format
    assert any("said" in found for found in outcomes.values())


@pytest.mark.slow
@pytest.mark.parametrize("write, count", [("write_samples", 300), ("write_models", 100), ("write_built", 100)])
def test_more_damaged_files(tmp_path, write, count):
    assert_nothing_fails(getattr(fuzz, write)(tmp_path), count, seed=2)


def test_files_that_once_failed_do_not(tmp_path, samples):
    for (path, sample), (*_, reason) in zip(fuzz.write_failed(samples, tmp_path), fuzz.FAILED, strict=True):
        assert any((path.parent / file.name).read_bytes() != file.read_bytes() for file in sample.files), reason
        assert fuzz.judge(str(path), sample, "bytes")[0] in ("said", "refused"), reason


def change(recording, **changes):
    return dataclasses.replace(recording, **changes)


def test_what_is_read_is_compared_with_what_was_written(samples):
    whole = fuzz.read_whole(next(sample for sample in samples if sample.path.name == "rec.hea"))[0].recording
    signal, valid, doubled = whole.signal, whole.valid, 2 * whole.signal
    one_lead = np.where(np.arange(12) == 3, -signal, signal)
    shifted = np.roll(signal, 1, axis=0)
    renamed = ("II", "I", *whole.leads[2:])
    longer = change(whole, signal=np.tile(signal, (2, 1)), valid=np.tile(valid, (2, 1)))
    assert fuzz.compare(whole, whole, ()) == ""
    assert fuzz.compare(change(whole, signal=signal[:900], valid=valid[:900]), whole, ()) == ""
    assert (
        fuzz.compare(change(whole, signal=signal[:, 2:5], valid=valid[:, 2:5], leads=whole.leads[2:5]), whole, ()) == ""
    )
    assert fuzz.compare(change(whole, signal=doubled), whole, ()) == "lead I is another"
    assert fuzz.compare(change(whole, signal=doubled), whole, {"scale"}) == ""
    assert fuzz.compare(change(whole, signal=one_lead), whole, {"rate"}) == "lead aVR is another"
    assert fuzz.compare(change(whole, signal=shifted), whole, {"scale"}) == "lead I is another"
    assert fuzz.compare(change(whole, leads=renamed), whole, ()) == "lead II is another"
    assert fuzz.compare(change(whole, leads=renamed), whole, {"leads"}) == ""
    assert fuzz.compare(change(whole, sampling_rate=250.0), whole, {"scale"}) == "250 Hz instead of 500"
    assert fuzz.compare(change(whole, sampling_rate=250.0), whole, {"rate"}) == ""
    assert fuzz.compare(longer, whole, {"scale"}) == "6000 samples instead of 3000"


def test_an_edit_names_the_one_part_that_it_changes(samples):
    header = next(sample for sample in samples if sample.path.name == "rec.hea").path.read_bytes()
    rng, parts = np.random.default_rng(0), set()
    for _ in range(200):
        edited = edits.edit(header, rng)
        parts.add(edited.part)
        if edited.part == "rate":
            before, after = header.split(b"500", 1)
            assert edited.data != header
            assert edited.data.startswith(before)
            assert edited.data.endswith(after)
    assert parts == {"line", *edits.RECORD, *edits.SIGNAL}
    sidecar = b'{"leads": ["I", "II"], "sampling_rate": 500, "unit": "mV"}'
    for edited in [edits.edit_json(sidecar, rng) for _ in range(50)]:
        if edited.part in ("leads", "sampling_rate", "unit"):
            whole, changed = json.loads(sidecar), json.loads(edited.data)
            assert {key for key in whole if changed.get(key) != whole[key]} <= {edited.part}
    assert edits.find_stated("gain") == {"scale"}
    assert edits.find_stated("sequence/code@code") == {"leads"}
    assert edits.find_stated("checksum") == edits.find_stated("LeadData/LeadSampleCountTotal") == set()


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_damages_the_same_way(tmp_path, seed):
    sample = fuzz.describe(ecg_files.write_edf(tmp_path))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        fuzz.damage(sample, tmp_path / folder, seed, 6)
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
    "wrong (another ECG)": "return dataclasses.replace(whole(path), signal=1.1 * whole(path).signal)",
    "said": "return dataclasses.replace(whole(path), signal=1.1 * whole(path).signal, notes=('larger',))",
    "wrong": "return dataclasses.replace(whole(path), gaps=-1)",
    "refused": "raise InputError(path + ': is damaged')",
    "ok": "return whole(path)",
}


@pytest.mark.slow
def test_the_judge_knows_every_fault(tmp_path):
    """Readers that misbehave on purpose, one after the other."""
    path = ecg_files.write_edf(tmp_path, values=ecg_files.heartbeats())
    for name, body in FAULTS.items():
        script = tmp_path / "fuzz_faulty.py"
        script.write_text(FAULTY.format(body=body))
        folders = [str(tmp_path), str(Path(__file__).parent)]
        code = f"import sys; sys.path[:0] = {folders}; import fuzz_faulty; fuzz_faulty.run({str(path)!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
        assert done.stdout.split()[0] == name.split()[0], (name, done.stdout, done.stderr)


FAULTY = """
import dataclasses, multiprocessing, os, pathlib, shutil, time
import numpy as np
import fuzz
from ecg_jax.data.readers import edf
from ecg_jax.errors import InputError

def refuse_memory(path):
    try:
        np.ones(1 << 40)
    except MemoryError as error:
        raise InputError(path + ': is damaged') from error

def read(path, id=None):
    if 'damaged' not in path:
        return whole(path)
    {body}

whole, edf.read = edf.read, read

def run(path):
    fuzz.SECONDS = 3.0
    get_context = multiprocessing.get_context
    fuzz.multiprocessing.get_context = lambda method: get_context('fork')  # so that the fault is inherited
    worker = fuzz.Worker()
    damaged = pathlib.Path(shutil.copy(path, pathlib.Path(path).with_name('damaged.edf')))
    print(*worker.judge(damaged, fuzz.describe(pathlib.Path(path)), 'version'))
    worker.close()
"""


def test_whole_files_are_all_read_as_the_ecg_that_was_written(samples):
    microvolts = ecg_files.heartbeats()
    for sample in samples:
        assert fuzz.judge(str(sample.path), sample, "nothing") == ("ok", ""), sample.path
        recording = fuzz.read_whole(sample)[0].recording
        for column, lead in zip(microvolts.T, ecg_files.LEADS, strict=True):
            if lead in recording.leads and not recording.normalized:
                known = recording.valid[:, recording.leads.index(lead)]
                found = recording.signal[known, recording.leads.index(lead)]
                places = slice(None) if known.sum() == len(column) else known[: len(column)]
                np.testing.assert_allclose(found, column[places] / 1000, atol=0.021)  # of 20 uV steps, at worst


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
