"""How fast ECGs are simulated on the device, alone and as a contract's arrays.

  python experiments/simulation_speed.py [--batch_size=64] [--rounds=7] [--json=FILE]

`simulate` is 12 leads of 4096 samples in millivolts with labels and truth; `contract` adds what `configs/pretrain.py`
asks for, 0.5 to 40 Hz and z-scores. Each is compiled and run once before it is timed, in turns; medians and ranges.

On 2 CPU cores (jax 0.10.2), ECG/s, ready after 13 to 15 s; the machine's speed varies:

    batch   simulate         contract
       64   404 (283-439)    303 (255-329)
      256   365 (300-409)    264 (249-299)
"""

import argparse
import functools
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ecg_jax.runtime import startup

startup.configure_allocator()

import jax  # noqa: E402
import numpy as np  # noqa: E402

from configs import pretrain  # noqa: E402
from ecg_jax.contract import InputContract  # noqa: E402
from ecg_jax.data.datasets import simulated  # noqa: E402
from ecg_jax.data.sources import SimulatorSource  # noqa: E402
from ecg_jax.labels import SIX  # noqa: E402
from ecg_jax.simulation.simulator import Population, simulate_many  # noqa: E402


def measure(batch_size: int, rounds: int) -> dict[str, dict[str, float | list[float]]]:
    """Compile time and ECG/s of both."""
    contract = InputContract.from_dict(pretrain.get_config().contract)
    dataset = simulated.create(source="", labels=SIX, seed=0, train=1, validation=0, test=0, population="hospital")
    decode = jax.jit(SimulatorSource(dataset, contract, seed=0).decode_train)
    places = np.arange(batch_size, dtype=np.int32)
    keys = jax.random.split(jax.random.key(0), batch_size)
    runs = {
        "simulate": functools.partial(simulate_many, keys, Population()),
        "contract": functools.partial(decode, {"step": np.zeros_like(places), "index": places}),
    }
    found: dict[str, dict[str, float | list[float]]] = {}
    for name, run in runs.items():
        start = time.perf_counter()
        jax.block_until_ready(run())
        found[name] = {"compile_s": time.perf_counter() - start}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            rates[name].append(batch_size / (time.perf_counter() - start))
    for name, values in rates.items():
        found[name] |= {"ecg_per_s": statistics.median(values), "rounds": values}
    return found


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    options = parser.parse_args()
    found = measure(options.batch_size, options.rounds)
    print(f"{jax.devices()[0].device_kind}, batches of {options.batch_size}")
    for name, result in found.items():
        rounds = result["rounds"]
        assert isinstance(rounds, list)
        print(
            f"  {name}: {result['ecg_per_s']:.0f} ECG/s ({min(rounds):.0f}-{max(rounds):.0f}); "
            f"ready after {result['compile_s']:.0f} s"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
