"""Damaged files: never a crash, a hang, unbounded memory, or another ECG than theirs without a word.

  python experiments/fuzz_readers.py --files=10000 --seed=0 [--formats=wfdb,edf] [PATH...]

Damages --files files, as many of each format, and reads each in a process of its own with a limit of time and
memory, as far as the input of a network and the values of a store: two thirds have a field, an element, a tag, a
length, a key or an attribute edited, the others bits and bytes. Beside ECGs of every format these are Keras files,
the folder of a run and a data set of TFDS. What is damaged are small files written on the spot, and, where PATHs are
given or ECG_JAX_SHARED is set, real ones below them (at most --largest bytes, --samples of each format). --keep=DIR
keeps the files that failed. The exit status is 1 if any did. Linux only.

On 2 cores, with seed 7 and no real files: 10,000 files in 100 s, one failed, an SCP-ECG file whose checksums were made
to fit and in which a lead has a byte less while the section ends in a zero, as if it were padded: nothing in it tells.
"""

import collections
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import fuzz

_FILES = flags.DEFINE_integer("files", 10_000, "Damaged files in all.", lower_bound=1)
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
    logging.set_verbosity(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        written = [
            made for write in (fuzz.write_samples, fuzz.write_models, fuzz.write_built) for made in write(Path(folder))
        ]
        samples = written + find_samples([Path(path) for path in argv[1:]] or default_paths())
        chosen = [
            s for s in samples if not _FORMATS.value or any(f.lower() in s.format.lower() for f in _FORMATS.value)
        ]
        formats = {s.format for s in chosen}
        each = -(-_FILES.value // max(len(formats), 1))
        print(f"{len(chosen)} whole files of {len(formats)} formats; {each} damaged of each")
        counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        start = time.time()
        keep = Path(_KEEP.value) if _KEEP.value else None
        for result in fuzz.run(chosen, each, _SEED.value, _WORKERS.value, keep):
            counts[result.sample.format][result.outcome] += 1
            if result.outcome in fuzz.FAILURES:
                print(
                    f"{result.outcome}: {result.sample.path} number {result.number} ({result.part or 'bytes'}): "
                    f"{result.message[:300]}",
                    flush=True,
                )
    for format, counter in counts.items():
        print(f"{format[:40]:40} " + "  ".join(f"{name} {counter[name]}" for name in fuzz.OUTCOMES))
    failed = sum(counter[name] for counter in counts.values() for name in fuzz.FAILURES)
    print(
        f"{sum(map(sum, (c.values() for c in counts.values())))} files in {time.time() - start:.0f} s; {failed} failed"
    )
    return int(failed > 0)


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
    chosen = [
        each[i * len(each) // n] for each in found.values() for n in [min(len(each), _SAMPLES.value)] for i in range(n)
    ]
    return [sample for sample in chosen if _is_read(sample)]


def _is_read(sample: fuzz.Sample) -> bool:
    """False for one that is refused: there is no ECG to compare with."""
    try:
        fuzz.read_whole(sample)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    app.run(main)
