"""Damages files and judges what is made of them, each in a process that may die.

A third of the files have bits, bytes or stretches changed anywhere; the others have one part edited as their format
defines it (see `edits`), and then the ECG in them is known: what is read is it, or differs only in what the edited part
alone states, or something is said.
"""

import collections
import dataclasses
import functools
import importlib
import itertools
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import edits
import numpy as np

if TYPE_CHECKING:
    from ecg_jax.recording import Recording

OUTCOMES = ("ok", "said", "refused", "crash", "hang", "memory", "wrong")
FAILURES = OUTCOMES[3:]
SECONDS = 10.0  # for one file; the slowest whole ones take a tenth of a second
MEMORY = 1 << 30  # bytes for one file of some kilobytes
_MOST = 3  # recordings of a file
_EXTREMES = (b"0", b"-1", b"1e308", b"-1e-308", b"nan", b"inf", b"", b"99999999", b"4294967295", b"9" * 30, b"0x7f")
_PATTERNS = (b"\0", b"\xff", b"\x80", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x01")


@dataclasses.dataclass(frozen=True)
class Sample:
    """A whole recording: its format, the path that is read, and every file it needs."""

    format: str
    path: Path
    files: tuple[Path, ...]


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one damaged file, and how to make it again."""

    sample: Sample
    seed: int
    number: int
    outcome: str
    message: str
    part: str = ""


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Applies one to four random changes, half of them near the beginning."""
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(data) + 1))
        if rng.random() < 0.5:
            place = int(rng.integers(min(len(data), 1500) + 1))
        data = rng.choice(_CHANGES)(data, place, rng)
    return data


def _flip(data: bytes, place: int, rng: np.random.Generator) -> bytes:
    if place >= len(data):
        return data
    return data[:place] + bytes([data[place] ^ (1 << int(rng.integers(8)))]) + data[place + 1 :]


def _replace(data: bytes, place: int, rng: np.random.Generator) -> bytes:
    noise = rng.bytes(int(rng.integers(1, 9)))
    return data[:place] + noise + data[place + len(noise) :]


def _overwrite(data: bytes, place: int, rng: np.random.Generator) -> bytes:
    pattern = rng.choice(np.array(_PATTERNS, object)) * int(rng.choice([1, 2, 4, 8]))
    place -= place % 2
    return data[:place] + pattern + data[place + len(pattern) :]


def _truncate(data: bytes, place: int, rng: np.random.Generator) -> bytes:
    return data[:place]


def _delete(data: bytes, place: int, rng: np.random.Generator) -> bytes:
    return data[:place] + data[place + int(rng.integers(1, 200)) :]


def _duplicate(data: bytes, place: int, rng: np.random.Generator) -> bytes:
    end = place + int(rng.integers(1, 200))
    return data[:end] + data[place:]


def _change_digit(data: bytes, place: int, rng: np.random.Generator) -> bytes:
    found = re.compile(rb"\d").search(data, place)
    return data if found is None else data[: found.start()] + b"%d" % rng.integers(10) + data[found.end() :]


def _change_number(data: bytes, place: int, rng: np.random.Generator) -> bytes:
    found = re.compile(rb"[-+]?\d+\.?\d*").search(data, place)
    extreme = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    return data if found is None else data[: found.start()] + extreme + data[found.end() :]


_CHANGES = np.array(
    [_flip, _replace, _overwrite, _truncate, _delete, _duplicate, _change_digit, _change_number], object
)


# Files that once failed, each made of a whole one of `ecg_files.WRITERS`: its name, the file, what is replaced once, by
# what, and how it failed. They are judged with every run.
FAILED = (
    ("wfdb", "rec.hea", rb"500 3000", b"500 4", "crash: a recording too short to be averaged"),
    ("mfer", "ecg.mwf", rb"\x04\x04\xb8\x0b\x00\x00", b"\x04\x04\x01\0\0\0", "crash: likewise"),
    ("npy", "array.json", rb'"aVR"', b'""', "wrong: a lead without a name"),
    ("muse", "muse.xml", rb"5(?=<[^5]{,90}LeadID>II<)", b"8", "wrong: III was derived from leads of different steps"),
    ("csv", "table.csv", rb"(?<=\n)[-.\d,]+\n(?=.*\n.*\n$)", b"\n", "wrong: a sample was missing"),
)


def write_failed(samples: Sequence[Sample], folder: Path) -> list[tuple[Path, Sample]]:
    """Writes the files of `FAILED`; returns what to read, and the whole sample of each."""
    written = []
    for number, (name, changed, old, new, _) in enumerate(FAILED):
        sample = next(each for each in samples if each.path.parent.name == name)
        (folder / str(number)).mkdir()
        for file in sample.files:
            data = file.read_bytes()
            data = re.sub(old, lambda _, new=new: new, data, count=1) if file.name == changed else data
            (folder / str(number) / file.name).write_bytes(data)
        written.append((folder / str(number) / sample.path.name, sample))
    return written


def damage(sample: Sample, folder: Path, seed: int, number: int) -> tuple[Path, str]:
    """Writes a copy of a sample with one of its files changed.

    Returns:
        The path to read, and which part was edited; empty where bytes were changed.
    """
    rng = np.random.default_rng([seed, zlib.crc32(sample.format.encode()), number])
    chosen, part = int(rng.integers(len(sample.files))), ""
    for i, file in enumerate(sample.files):
        data = file.read_bytes()
        if i == chosen:
            data, part = _change(data, number, rng)
        copy = folder / file.relative_to(sample.path.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data)
    return folder / sample.path.name, part


def _change(data: bytes, number: int, rng: np.random.Generator) -> tuple[bytes, str]:
    if number % 3 == 0:
        return mutate(data, rng), ""
    try:
        return edits.edit(data, rng)
    except edits.UNKNOWN:
        return mutate(data, rng), ""


def judge(path: str, sample: Sample, part: str = "") -> tuple[str, str]:
    """Reads a file as far as a network's input; returns one of `OUTCOMES` (but not `hang`) and a message.

    Args:
        path: A changed copy of the sample.
        sample: What was changed.
        part: See `damage`; where it is empty, only a recording that cannot be is `wrong`.
    """
    from ecg_jax.data import readers

    if sample.format in LOADERS:
        return _judge_attempt(lambda: LOADERS[sample.format](path), path, (), part)
    whole = read_whole(sample) if part else ()
    found = _judge_attempt(lambda: [source.read() for source in readers.find(path)[:_MOST]], path, whole, part)
    if found[0] != "refused":
        return found
    reader = readers.FORMATS[sample.format]  # which may be less careful with what is not taken for its format
    rows = {"row": 0} if sample.format.startswith("CODE") else {}
    return max(found, _judge_attempt(lambda: [reader.read(path, **rows)], path, whole, part), key=_rank)


def _rank(outcome: tuple[str, str]) -> int:
    return OUTCOMES.index(outcome[0])


def _judge_attempt(read: Callable[[], list], path: str, whole: "Sequence[Whole]", part: str) -> tuple[str, str]:
    from ecg_jax.errors import InputError

    _forget_peak()
    before = _read_peak()
    try:
        outcome = max(
            (_judge_recording(each, of, part) for each, of in itertools.zip_longest(read(), whole) if each),
            key=_rank,
            default=("ok", ""),
        )
    except InputError as error:
        outcome = _judge_refusal(error, path)
    except MemoryError as error:
        outcome = "memory", repr(error)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        outcome = "crash", f"{type(error).__name__}: {error}"
    if _read_peak() - before > MEMORY:
        outcome = "memory", f"{(_read_peak() - before) >> 20} MiB"
    return outcome


def _judge_recording(recording: "Recording", whole: "Whole | None", part: str) -> tuple[str, str]:
    if faults := _find_faults(recording):
        return "wrong", faults
    noticed = _use(recording)
    if whole is None:
        return "ok", ""
    if said := noticed - whole.noticed:
        return "said", "; ".join(sorted(said))
    fault = compare(recording, whole.recording, edits.find_stated(part))
    return ("wrong", fault) if fault else ("ok", "")


def _find_faults(recording: "Recording") -> str:
    """What no recording may be, whatever is in the file."""
    from ecg_jax.recording import HIGHEST_RATE, LOWEST_RATE

    signal, valid = recording.signal, recording.valid
    faults = {
        "dtype": signal.dtype != np.float32 or valid.dtype != bool,
        "shape": signal.shape != valid.shape or signal.shape[1:] != (len(recording.leads),) or not signal.size,
        "not finite": not np.isfinite(signal).all(),
        "invalid but not 0": bool(signal[~valid].any()),
        "rate": not LOWEST_RATE <= recording.sampling_rate <= HIGHEST_RATE,
        "leads": len(set(recording.leads)) != len(recording.leads) or not all(recording.leads),
        "gaps": not 0 <= recording.gaps <= np.count_nonzero(~valid),
        "duration": recording.duration is not None and not 0 <= recording.duration < np.inf,
    }
    return ", ".join(fault for fault, found in faults.items() if found)


def _use(recording: "Recording") -> set[str]:
    """Takes it through what `predict` and `prepare` do; returns what they would say of it.

    Raises:
        InputError: where they refuse it.
    """
    from ecg_jax.contract import InputContract
    from ecg_jax.data import preprocess, quality, store, verify

    contract = InputContract(usual_deviations=(0.2,) * 12)
    recording, findings = verify.enforce(recording, "refuse")
    extended, missing = preprocess.mask_missing(recording, contract.leads)
    windows, _ = preprocess.create_windows(extended, contract)
    store.quantize(*preprocess.standardize(extended, contract))
    quality.content_hash(recording)
    assert np.isfinite(windows).all()
    said = {*verify.list_notes(recording, findings, "refuse"), *quality.examine(recording).flags}
    return said | {f"{len(missing)} leads missing"} | {f"{recording.gaps} samples masked"}


def compare(recording: "Recording", whole: "Recording", stated: Collection[str]) -> str:
    """What of a recording is not the whole file's, where both have a sample; empty where it is.

    Args:
        recording: Read from an edited file; it may end earlier, and lack leads.
        whole: Read from the file before.
        stated: In what they may differ; see `edits.find_stated`.
    """
    if recording.sampling_rate != whole.sampling_rate and "rate" not in stated:
        return f"{recording.sampling_rate:g} Hz instead of {whole.sampling_rate:g}"
    if {"leads", "samples"} & {*stated}:
        return ""
    length = min(len(recording.signal), len(whole.signal))
    if recording.valid[length:].any():
        return f"{len(recording.signal)} samples instead of {length}"
    is_free = "scale" in stated or whole.normalized
    common = [lead for lead in recording.leads if lead in whole.leads]
    return next((f"lead {lead} is another" for lead in common if _differs(recording, whole, lead, is_free)), "")


def _differs(recording: "Recording", whole: "Recording", lead: str, is_free: bool) -> bool:
    """Whether a lead differs by a thousandth of its range, in each of its stretches by more than offset and factor."""
    one, other = recording.leads.index(lead), whole.leads.index(lead)
    length = min(len(recording.signal), len(whole.signal))
    known = np.flatnonzero(recording.valid[:length, one] & whole.valid[:length, other])
    for rows in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        found, true = recording.signal[rows, one], whole.signal[rows, other]
        if is_free and len(rows) > 1 and np.ptp(found):
            centred = (found - found.mean()) / np.ptp(found)
            found = np.polyval(np.polyfit(centred, true, 1), centred)
        if len(rows) > 1 and np.abs(found - true).max() > 1e-3 * np.ptp(true):
            return True
    return False


class Whole(NamedTuple):
    """A recording of an undamaged file, and what is said of it."""

    recording: "Recording"
    noticed: set[str]


@functools.lru_cache(maxsize=256)
def read_whole(sample: Sample) -> tuple[Whole, ...]:
    """Reads a sample's first recordings."""
    from ecg_jax.data import readers

    recordings = [source.read() for source in readers.find(str(sample.path))[:_MOST]]
    return tuple(Whole(recording, _use(recording)) for recording in recordings)


def _judge_refusal(error: Exception, path: str) -> tuple[str, str]:
    message, cause = str(error), error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "memory", message
        cause = cause.__cause__
    stem = os.path.splitext(os.path.basename(path))[0]
    if "\n" in message or not (os.path.dirname(path) in message or message.startswith(stem)):
        return "crash", f"a refusal must be one line that names the file: {message!r}"
    return "refused", message


def _load_model(path: str) -> list:
    from ecg_jax.inference.model import load_model

    load_model(path)
    return []


def _read_built(path: str) -> "list[Recording]":
    from ecg_jax.data import datasets

    dataset = datasets.create("tfds", source=os.path.dirname(path), labels="all", seed=0, options={})
    return [dataset.read(row) for row in range(len(dataset.ids))]


# What is read of a file that is no ECG: nothing, or recordings.
LOADERS: dict[str, Callable[[str], list]] = {
    "Keras": _load_model,
    "run folder": lambda path: _load_model(os.path.dirname(path)),
    "TFDS": _read_built,
}
_LIBRARIES = {  # imported before memory is limited
    "Keras": ("ecg_jax.inference.model",),
    "run folder": ("ecg_jax.inference.model",),
    "TFDS": ("ecg_jax.data.datasets.builders.files",),
}


def write_samples(folder: Path) -> list[Sample]:
    """Writes one small ECG in each format, two where a format has two shapes."""
    import ecg_files

    values, samples = ecg_files.heartbeats(), []
    for name, write in ecg_files.WRITERS.items():
        (folder / name).mkdir()
        samples.append(describe(write(folder / name, values=values)))
    return samples


def write_models(folder: Path) -> list[Sample]:
    """Writes small Keras files and the folder of a run."""
    import keras_import_test as keras
    import run_folder_test

    from ecg_jax.runtime import checkpoint, run_folder

    samples = []
    for kind in ("keras3", "archive", "weights_h5"):
        layers = keras.create_layers(2, filters=(6, 8), steps=8)
        path = Path(keras.write(folder / kind, layers, kind))
        samples.append(Sample("Keras", path, (path,)))
    run = folder / "run"
    run.mkdir()
    with checkpoint.Checkpoints(str(run / run_folder.CHECKPOINTS)) as checkpoints:
        checkpoints.save(checkpoint.BEST, 1, *run_folder_test.write(run))
    return [*samples, Sample("run folder", run / "config.json", _list_files(run))]


def write_built(folder: Path) -> list[Sample]:
    """Builds a data set of TFDS of five recordings."""
    import ecg_files
    import tfds_test

    (folder / "ptbxl").mkdir(parents=True)
    (folder / "ptbxl/ptbxl_database.csv").write_text(tfds_test.PTBXL)
    for number in range(21, 26):
        tfds_test.write_record(folder / f"ptbxl/records500/000{number}_hr", ecg_files.heartbeats(), 500)
    built = tfds_test.build("ptbxl/500hz", folder / "ptbxl", folder / "built")
    return [Sample("TFDS", built / "dataset_info.json", _list_files(built))]


def _list_files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.rglob("*") if path.is_file()))


def _forget_peak() -> None:
    """Linux keeps the highest memory of a process; this sets it back to the present one."""
    Path("/proc/self/clear_refs").write_text("5")


def _read_peak() -> int:
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10


def _work(pipe: Connection, libraries: Sequence[str]) -> None:
    """A worker: judges what it is sent, under a limit of memory."""
    warnings.simplefilter("ignore")
    for module in ("ecg_jax.data.readers", "pandas", "scipy.signal", *libraries):
        importlib.import_module(module)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2 * MEMORY, size + 2 * MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libraries log of each file
    pipe.send(None)
    while (task := pipe.recv()) is not None:
        pipe.send(judge(*task))


class Worker:
    """A process that is started again where it died or had to be stopped."""

    def __init__(self, formats: Collection[str] = ()) -> None:
        """Starts none yet.

        Args:
            formats: Of what it will judge.
        """
        readers = {"wfdb", "scipy.io", "edfio", "ecgdatakit.parsing.parsers.scp_ecg"}
        self._libraries = sorted({*readers, *(name for each in formats for name in _LIBRARIES.get(each, ()))})
        self._process: multiprocessing.Process | None = None

    def judge(self, path: Path, sample: Sample, part: str = "") -> tuple[str, str]:
        """See `judge`; adds `hang`, and `crash` where the process died."""
        if self._process is None:
            self._start()
        self._pipe.send((str(path), sample, part))
        try:
            if self._pipe.poll(SECONDS):
                return self._pipe.recv()
        except EOFError:
            code = self._stop()
            return "crash", f"the process died, exit code {code}"
        self._stop()
        return "hang", f"not done in {SECONDS:g} s"

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._stop()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._libraries), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def _stop(self) -> int | None:
        self._process.kill()
        self._process.join()
        code, self._process = self._process.exitcode, None
        return code


def run(samples: Sequence[Sample], count: int, seed: int, workers: int, keep: Path | None = None) -> Iterator[Result]:
    """Damages `count` files of each format, taking its samples in turn, and yields what became of them."""
    tasks = collections.deque(
        (candidates[number % len(candidates)], number)
        for format in dict.fromkeys(sample.format for sample in samples)
        for candidates in [[sample for sample in samples if sample.format == format]]
        for number in range(count)
    )
    results: collections.deque[Result] = collections.deque()
    threads = [threading.Thread(target=_serve, args=(tasks, results, seed, keep), daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or results:
        while results:
            yield results.popleft()
        time.sleep(0.05)


def _serve(tasks: collections.deque, results: collections.deque, seed: int, keep: Path | None) -> None:
    worker = Worker({sample.format for sample, _ in tasks})
    while tasks:
        try:
            sample, number = tasks.popleft()
        except IndexError:
            break
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            path, part = damage(sample, folder, seed, number)
            results.append(Result(sample, seed, number, *worker.judge(path, sample, part), part))
            outcome = results[-1].outcome
            if keep and outcome in FAILURES:
                kept = keep / f"{outcome}-{re.sub(r'[^A-Za-z0-9]+', '-', sample.format)}-{sample.path.stem}-{number}"
                shutil.copytree(folder, kept, dirs_exist_ok=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    worker.close()


def describe(path: Path) -> Sample:
    """A whole file as a sample: its format by content, with the files beside it that share its name or belong to it."""
    from ecg_jax.data import readers
    from ecg_jax.data.readers import wfdb

    head = path.read_bytes()[: readers.HEAD_BYTES]
    format = next((name for name, module in readers.FORMATS.items() if module.matches(str(path), head)), None)
    if format is None:
        raise ValueError(f"{path}: of no known format")
    files = {path}
    if readers.FORMATS[format] is wfdb:
        waiting = [path]
        while waiting:
            for part in sorted(wfdb.list_parts(str(waiting.pop()))):
                if (path.parent / part).is_file() and path.parent / part not in files:
                    files.add(path.parent / part)
                    waiting += [path.parent / part] if part.endswith(".hea") else []
    sidecar = path.with_suffix(".json")
    return Sample(format, path, tuple(sorted(files | ({sidecar} if sidecar.is_file() else set()))))


if sys.platform != "linux":
    raise ImportError("memory is measured through /proc, which only Linux has")
