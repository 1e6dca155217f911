"""Damaged files against every reader: never a crash, a hang, unbounded memory or a wrong recording without a flag.

  python experiments/fuzz_readers.py --files=2000 --seed=0 [--formats=wfdb,edf] [PATH...]

Damages --files files of each format (bits, bytes, spans, digits, numbers in headers, ends),
reads each in a process of its own with a limit of time and memory, and counts what happened.
What is damaged are small files written on the spot, and, where PATHs are given or
ECG_JAX_SHARED is set, real ones below them (at most --largest bytes, --samples of each format).
--keep=DIR keeps the files that failed. The exit status is 1 if any did. Linux only.

With seed 0 and real files of seven formats (47 whole files in all): 22,000 damaged files in
65 s on 2 cores, 4,191 read, 17,809 refused, none failed.
"""

import collections
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import ecg_files
import fuzz

_FILES = flags.DEFINE_integer("files", 2000, "Damaged files of each format.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed damages the same way.")
_FORMATS = flags.DEFINE_list("formats", [], "Only formats whose name contains one of these; all if empty.")
_WORKERS = flags.DEFINE_integer("workers", os.cpu_count(), "Processes.", lower_bound=1)
_LARGEST = flags.DEFINE_integer("largest", 2 << 20, "Larger real files are left out, bytes.")
_SAMPLES = flags.DEFINE_integer(
    "samples", 20, "Real files of each format, evenly among those there are.", lower_bound=1
)
_KEEP = flags.DEFINE_string("keep", None, "A folder for the files that failed.")


def main(argv: Sequence[str]) -> int:
    """Runs; see the module's docstring."""
    with tempfile.TemporaryDirectory() as folder:
        samples = write_samples(Path(folder)) + find_samples([Path(path) for path in argv[1:]] or default_paths())
        chosen = [
            s for s in samples if not _FORMATS.value or any(f.lower() in s.format.lower() for f in _FORMATS.value)
        ]
        print(f"{len(chosen)} whole files of {len({s.format for s in chosen})} formats; {_FILES.value} damaged of each")
        counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        start = time.time()
        keep = Path(_KEEP.value) if _KEEP.value else None
        for result in fuzz.run(chosen, _FILES.value, _SEED.value, _WORKERS.value, keep):
            counts[result.sample.format][result.outcome] += 1
            if result.outcome in fuzz.FAILURES:
                print(
                    f"{result.outcome}: {result.sample.path} number {result.number}: {result.message[:300]}", flush=True
                )
    for format, counter in counts.items():
        print(f"{format[:40]:40} " + "  ".join(f"{name} {counter[name]}" for name in fuzz.OUTCOMES))
    failed = sum(counter[name] for counter in counts.values() for name in fuzz.FAILURES)
    print(
        f"{sum(map(sum, (c.values() for c in counts.values())))} files in {time.time() - start:.0f} s; {failed} failed"
    )
    return int(failed > 0)


def write_samples(folder: Path) -> list[fuzz.Sample]:
    """One small file of each format, two where a format has two shapes."""
    samples = []
    for name, write in ecg_files.WRITERS.items():
        (folder / name).mkdir()
        samples.append(fuzz.describe(write(folder / name)))
    return samples


def default_paths() -> list[Path]:
    """Real ECGs, where the environment says they are."""
    return [Path(os.environ["ECG_JAX_SHARED"], "data")] if "ECG_JAX_SHARED" in os.environ else []


def find_samples(paths: list[Path]) -> list[fuzz.Sample]:
    """Real files of every format below some paths."""
    found: dict[str, list[fuzz.Sample]] = collections.defaultdict(list)
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    for file in files:
        if not file.is_file() or file.suffix in (".dat", ".csv", ".npy") or file.stat().st_size > _LARGEST.value:
            continue
        try:
            sample = fuzz.describe(file)
        except ValueError:
            continue
        if sum(part.stat().st_size for part in sample.files) <= _LARGEST.value:
            found[sample.format].append(sample)
    return [
        each[i * len(each) // n] for each in found.values() for n in [min(len(each), _SAMPLES.value)] for i in range(n)
    ]


if __name__ == "__main__":
    app.run(main)
