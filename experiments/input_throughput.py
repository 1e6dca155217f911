"""How fast batches come, in how much memory; how fast a store is prepared.

  python experiments/input_throughput.py [--folder=DIR] [--recordings=2000,20000,100000] [--json=FILE]

Writes simulated ECGs to a folder (98 kB each in the store; the large stores repeat the
recordings of the small one; about 15 GB in all by default, removed at the end unless
--folder is given), and measures, each in a process of its own:

- shuffled batches of 256 from a warm store as training takes them (int16, on the host),
  with the conversion to the network's float32 on the device besides, and the reference's
  own loader: h5py, slices in file order, float32. In turns, medians over rounds;
- anonymous memory (RssAnon) above that of the bare process, for each size of store;
- `prepare` from 500 Hz WFDB records, on one worker and on all cores, and its memory;
- device mode: what a batch costs that is gathered in the device's memory.

On 2 CPU cores (jax 0.10.2), with the defaults, in 3 minutes:

    batches of 256 from the store, int16      62,509 ECG/s   5.2 times the reference's loader
    the same, converted on the CPU device      7,815 ECG/s   0.6 times
    the reference's loader                    12,276 ECG/s
    RssAnon above the bare process            99 MB with 2,000 recordings, 115 with 20,000, 130 with 100,000
                                              (the last ones at 64,340, 78,605 and 51,554 ECG/s)
    prepare from 500 Hz WFDB                  475 recordings/s with 1 worker, 655 with 2, of 3,072 (start of the
                                              workers included; RssAnon of all processes at most 159 and 501 MB)
    a batch of 256 on the CPU device          29.5 ms from the host, 23.1 ms gathered there
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH, ROUNDS, STEPS = 256, 5, 40


def write_stores(folder: Path, sizes: list[int]) -> Path:
    """Writes the reference's HDF5 file and one store per size; those that are there are kept."""
    import h5py

    from ecg_jax.contract import InputContract
    from ecg_jax.data import datasets, store
    from ecg_jax.data.preprocess import create_input
    from ecg_jax.data.store import conversion

    contract = InputContract()
    base = folder / f"store-{sizes[0]}"
    origin: dict[str, Any] = {
        "dataset": "simulated",
        "source": "",
        "seed": 0,
        "options": {"simulated": {"train": sizes[0], "validation": 0, "test": 0}},
    }
    dataset = datasets.open_source(**origin, labels="six")
    if not store.is_store(str(base)):
        conversion.convert(str(base), lambda: dataset, conversion.Settings(contract, origin=origin))
    hdf5 = folder / "tracings.hdf5"
    if not hdf5.exists():
        with h5py.File(hdf5, "w") as file:
            tracings = file.create_dataset("tracings", (sizes[0], 4096, 12), "f4")
            for i in range(sizes[0]):
                tracings[i] = create_input(dataset.read(i), contract)[0]
    for size in sizes[1:]:
        target = folder / f"store-{size}"
        if not store.is_store(str(target)):
            repeat_store(base, target, size)
    print(f"stores of {', '.join(map(str, sizes))} recordings in {folder}")
    return hdf5


def repeat_store(base: Path, target: Path, size: int) -> None:
    """Makes a large store out of real copies of a small one's shards."""
    import numpy as np

    from ecg_jax.data import store
    from ecg_jax.data.store.store import write_manifest

    small = store.Store(str(base))
    manifest = dict(small.manifest)
    copies = -(-size // len(small))
    (target / store.SHARDS).mkdir(parents=True)
    shards, number = [], len(manifest["shards"])
    for copy in range(copies):
        for shard in manifest["shards"]:
            name = f"{copy:04d}-{shard['name']}"
            shutil.copyfile(base / store.SHARDS / f"{shard['name']}.bin", target / store.SHARDS / f"{name}.bin")
            shards.append(shard | {"name": name})
    columns = {name: np.concatenate([small.column(name)] * copies)[:size] for name in manifest["columns"]}
    columns["notes"] = small.column("notes")
    columns["ids"] = np.array([f"copy-{i:07d}" for i in range(size)])
    offset = np.repeat(np.arange(copies, dtype=np.int32) * number, len(small))[:size]
    columns["shard"] = columns["shard"] + offset
    write_manifest(str(target), manifest | {"recordings": size, "shards": shards}, columns)


def read_memory() -> float:
    """RssAnon of this process and its children, in MB."""
    total = 0
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for process in ("self", *children):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                total += int(line.split()[1])
    return total / 1024


def open_batches(folder: str, on_device: bool = False) -> Any:
    """The training stream of a store, as `main` opens it on one process."""
    from ecg_jax.contract import InputContract
    from ecg_jax.data import datasets
    from ecg_jax.data.input_pipeline import read_steps
    from ecg_jax.data.sampling import Order
    from ecg_jax.data.sources import DeviceSource, StoreSource

    dataset = datasets.create("store", source=folder, labels="six", seed=0, options={})
    source = (DeviceSource if on_device else StoreSource)(dataset, InputContract())
    return source, read_steps(source, Order(dataset, 0, batch_size=BATCH))


def time_steps(step: Callable[[], object], steps: int) -> float:
    """ECG/s over some steps."""
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * BATCH / (time.perf_counter() - began)


def measure_rates(store: str, hdf5: str) -> dict[str, float]:
    """Rates of our batches, with and without conversion, and of the reference's loader, in turns."""
    import h5py
    import jax
    import numpy as np

    source, batches = open_batches(store)
    convert = jax.jit(source.decode)
    tracings = h5py.File(hdf5, "r")["tracings"]
    slices = len(tracings) // BATCH
    number = iter(range(10**9))

    def read_slice() -> None:
        i = next(number) % slices
        np.array(tracings[i * BATCH : (i + 1) * BATCH])

    def read_and_convert() -> None:
        batch = next(batches)
        jax.block_until_ready(convert({key: batch[key] for key in ("signal", "label", "mask")}))

    ways: dict[str, Callable[[], object]] = {
        "int16 batches": lambda: next(batches),
        "converted on the device": read_and_convert,
        "reference": read_slice,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for name in ways:
        time_steps(ways[name], slices * 2)  # warms caches, compiles
    for _ in range(ROUNDS):
        for name in ways:
            rates[name].append(time_steps(ways[name], STEPS))
    ratio = statistics.median(a / b for a, b in zip(rates["int16 batches"], rates["reference"], strict=True))
    converted = statistics.median(
        a / b for a, b in zip(rates["converted on the device"], rates["reference"], strict=True)
    )
    return {name: statistics.median(values) for name, values in rates.items()} | {
        "ratio": ratio,
        "ratio, converted": converted,
    }


def measure_memory(store: str) -> dict[str, float]:
    """Anonymous memory above the bare process, while batches come; and their rate."""
    import jax

    import ecg_jax.training.setup  # noqa: F401 - the bare process has imported what training imports

    jax.devices()
    bare = read_memory()
    _, batches = open_batches(store)
    highest = 0.0
    for _ in range(10):
        rate = time_steps(lambda: next(batches), 10)
        highest = max(highest, read_memory() - bare)
    return {"RssAnon above bare, MB": highest, "last 2,560 ECG/s": rate}


def measure_prepare(folder: Path, recordings: int) -> list[dict[str, Any]]:
    """Rate and memory of `prepare` from 500 Hz WFDB records."""
    records = folder / "wfdb"
    if not records.exists():
        write_records(records, recordings)
    results: list[dict[str, Any]] = []
    for workers in sorted({1, os.cpu_count() or 1}):
        output = folder / "prepared"
        shutil.rmtree(output, ignore_errors=True)
        command = [sys.executable, "-m", "ecg_jax.prepare", "--dataset=folder", f"--source={records}/records.csv"]
        process = subprocess.Popen(
            [*command, f"--output={output}", f"--workers={workers}"], stdout=subprocess.PIPE, text=True
        )
        began, highest = time.perf_counter(), 0.0
        while process.poll() is None:
            highest = max(highest, sum_memory(process.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - began
        line = next(line for line in process.stdout or "" if line.startswith("Added"))
        results.append({"workers": workers, "seconds": seconds, "highest RssAnon, MB": highest, "said": line.strip()})
    return results


def sum_memory(process: int) -> float:
    """RssAnon of a process and all its descendants, in MB."""
    total = 0.0
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                total += int(line.split()[1]) / 1024
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(sum_memory(int(child)) for child in (task / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total


def write_records(folder: Path, count: int) -> None:
    """Simulated ECGs of 10 s as 500 Hz WFDB records, and the table of the data set `folder`."""
    import numpy as np
    import scipy.signal
    import wfdb

    from ecg_jax.recording import LEADS
    from ecg_jax.simulation import textbook

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{i:05d}" for i in range(count)]
    for name in names:
        ecg = textbook.simulate(rng, textbook.draw_diagnoses(rng), textbook.Conditions())
        signal = scipy.signal.resample_poly(ecg, 5, 4, axis=0)[:5000]
        wfdb.wrsamp(
            name, 500, ["mV"] * 12, list(LEADS), d_signal=np.rint(signal * 1000).astype(np.int16),
            fmt=["16"] * 12, adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(folder),
        )  # fmt: skip
    (folder / "records.csv").write_text("path,label\n" + "".join(f"{name},{i % 2}\n" for i, name in enumerate(names)))


def measure_device(store: str) -> dict[str, Any]:
    """Milliseconds per batch of 256 on the device: from the host, and gathered there; in turns."""
    import jax
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    (_, batches), (source, places) = open_batches(store), open_batches(store, on_device=True)
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:1]), ("devices",)), PartitionSpec())
    began = time.perf_counter()
    resident = jax.block_until_ready(source.fill(sharding))
    filled = time.perf_counter() - began
    from_host = jax.jit(lambda batch: source.decode(batch)["signal"])
    from_device = jax.jit(lambda array, batch: source.decode(source.gather(array, batch))["signal"])
    ways = {
        "host": lambda: jax.block_until_ready(from_host(jax.device_put(next(batches)))),
        "device": lambda: jax.block_until_ready(from_device(resident, jax.device_put(next(places)))),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for name in ways:
        time_steps(ways[name], 5)
    for _ in range(ROUNDS):
        for name in ways:
            times[name].append(BATCH / time_steps(ways[name], STEPS) * 1e3)
    return {f"{name}, ms per batch": statistics.median(values) for name, values in times.items()} | {
        "seconds to fill": filled,
        "device": jax.devices()[0].device_kind,
    }


def in_a_process(function: Callable[..., Any], *arguments: object) -> Any:
    """Calls a function in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--recordings", default="2000,20000,100000")
    parser.add_argument("--prepared", type=int, default=2000, help="WFDB records `prepare` is timed on; 0 for none")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.recordings.split(",")]
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="input_throughput"))
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"cores": os.cpu_count(), "batch": BATCH}
    try:
        hdf5 = write_stores(folder, sizes)
        small = str(folder / f"store-{sizes[0]}")
        results["ECG/s"] = in_a_process(measure_rates, small, str(hdf5))
        results["device mode"] = in_a_process(measure_device, small)
        results["memory"] = {str(size): in_a_process(measure_memory, str(folder / f"store-{size}")) for size in sizes}
        if arguments.prepared:
            results["prepare"] = measure_prepare(folder, arguments.prepared)
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps(results, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
