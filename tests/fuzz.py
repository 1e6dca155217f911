"""Damages files and judges what the readers make of them, each in a process that may die."""

import collections
import dataclasses
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
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

OUTCOMES = ("ok", "refused", "crash", "hang", "memory", "wrong")
FAILURES = OUTCOMES[2:]
SECONDS = 20.0  # for one file; the slowest whole ones take a tenth of a second
MEMORY = 512 << 20  # bytes for one file of some kilobytes
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


def damage(sample: Sample, folder: Path, seed: int, number: int) -> Path:
    """Writes a copy of a sample with one of its files mutated; returns the path to read."""
    rng = np.random.default_rng([seed, zlib.crc32(sample.format.encode()), number])
    chosen = int(rng.integers(len(sample.files)))
    for i, file in enumerate(sample.files):
        data = file.read_bytes()
        (folder / file.name).write_bytes(mutate(data, rng) if i == chosen else data)
    return folder / sample.path.name


def judge(path: str, format: str) -> tuple[str, str]:
    """Lists and reads a file; returns one of `OUTCOMES` (but not `hang`) and a message."""
    from ecg_jax.data import readers
    from ecg_jax.errors import InputError

    reader = readers.FORMATS[format]
    read = [lambda: [source.read() for source in readers.find(path)], lambda: [reader.read(path)]]
    if format.startswith("CODE"):
        read[1] = lambda: [reader.read(path, row) for row in range(min(len(reader.read_ids(path)), 3))]
    outcomes = []
    for attempt in read:
        _forget_peak()
        before = _read_peak()
        try:
            outcomes.append(_judge_recordings(attempt()))
        except InputError as error:
            outcomes.append(_judge_refusal(error, path))
        except MemoryError as error:
            outcomes.append(("memory", repr(error)))
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            outcomes.append(("crash", f"{type(error).__name__}: {error}"))
        if _read_peak() - before > MEMORY:
            outcomes.append(("memory", f"{(_read_peak() - before) >> 20} MiB"))
    return max(outcomes, key=lambda outcome: OUTCOMES.index(outcome[0]))


def _judge_recordings(recordings: Sequence) -> tuple[str, str]:
    from ecg_jax.recording import HIGHEST_RATE, LOWEST_RATE

    for recording in recordings:
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
        if any(faults.values()):
            return "wrong", ", ".join(fault for fault, found in faults.items() if found)
    return "ok", ""


def _judge_refusal(error: Exception, path: str) -> tuple[str, str]:
    message, cause = str(error), error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "memory", message
        cause = cause.__cause__
    named = os.path.dirname(path), os.path.splitext(os.path.basename(path))[0]
    if "\n" in message or not message.startswith(named):
        return "crash", f"a refusal must be one line that names the file: {message!r}"
    return "refused", message


def _forget_peak() -> None:
    """Linux keeps the highest memory of a process; this sets it back to the present one."""
    Path("/proc/self/clear_refs").write_text("5")


def _read_peak() -> int:
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10


def _work(pipe: Connection) -> None:
    """A worker: judges what it is sent, under a limit of memory."""
    warnings.simplefilter("ignore")
    from ecg_jax.data import readers  # noqa: F401 - before the limit

    for module in ("wfdb", "pandas", "scipy.io", "edfio", "ecgdatakit.parsing.parsers.scp_ecg"):
        __import__(module)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2 * MEMORY, size + 2 * MEMORY))
    pipe.send(None)
    while (task := pipe.recv()) is not None:
        pipe.send(judge(*task))


class Worker:
    """A process that is started again where it died or had to be stopped."""

    def __init__(self) -> None:
        self._process: multiprocessing.Process | None = None

    def judge(self, path: Path, format: str) -> tuple[str, str]:
        """See `judge`; adds `hang`, and `crash` where the process died."""
        if self._process is None:
            self._start()
        self._pipe.send((str(path), format))
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
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
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
    worker = Worker()
    while tasks:
        try:
            sample, number = tasks.popleft()
        except IndexError:
            break
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            outcome, message = worker.judge(damage(sample, folder, seed, number), sample.format)
            results.append(Result(sample, seed, number, outcome, message))
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
