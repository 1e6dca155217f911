"""What more devices cost and bring: bytes all-reduced per step, scaling over fake devices, a model of a pod.

  python experiments/scaling.py [--model=narrow] [--devices=1,2,4,8] [--parallel=pmap]

1. The compiled training step is read: every all-reduce in it, and its bytes.
2. Weak scaling (`--per_device` ECGs on each device) and strong scaling (as many in all as on the largest number of
   devices) are timed. Fake devices of a CPU share its cores, so more of them compute no faster: with perfect
   sharing, n devices take n times as long per step in weak scaling and as long as one in strong scaling. What
   they take above that is what splitting costs.
3. A model predicts the efficiency of weak scaling on real chips: a step takes its measured time on one device, plus
   the all-reduces that are not hidden. A ring of n devices moves 2 (n - 1) / n bytes per byte reduced, at
   `--bandwidth` GB/s each way, and takes 2 (n - 1) hops of `--hop_us` for each all-reduce (Patarasuk & Yuan 2009,
   "Bandwidth optimal all-reduce algorithms for clusters of workstations"). BatchNorm's all-reduces cannot be
   hidden, as the next layer waits for them; `--overlap` of the gradients' are.

Writes scaling.json, .pdf and .png.

On 2 CPU cores, `--repeats=9` (the narrow network, 4 ECGs per device or 32 in all):

    devices   weak            strong
          1    0.035 (1.00)    0.331 (1.00)
          2    0.063 (0.90)    0.332 (1.00)
          4    0.133 (0.95)    0.274 (0.83)
          8    0.258 (0.92)    0.291 (0.88)

Splitting costs nothing here: smaller parts use the cores and caches a little better. All-reduced per step: 1.64 MB in
20 all-reduces, of which gradients 1.63 MB. Chips as slow as this, at 50 GB/s and 3 us per hop, would keep 97.5, 82.1
and 36.3 % of their speed on 8, 64 and 512: nearly all of the loss is the hops of the ring.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

_CHIPS = (8, 64, 512)
_BYTES = {"f64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1}


def measure(options: argparse.Namespace, batch_size: int) -> dict[str, Any]:
    """Times the step of one batch size on the devices that are there, and reads its all-reduces."""
    import jax
    import ours
    import peers

    from ecg_jax import models
    from ecg_jax.runtime import parallel

    layout = parallel.create(mode=options.parallel, sync_batchnorm=True, batch_size=batch_size)
    network = models.create(
        options.model, head="dense", num_labels=peers.LABELS, dtype=options.dtype, axis_name=layout.norm_axis_name
    )
    variables = models.init(network, jax.random.key(0), (peers.SAMPLES, peers.LEADS))
    step, current = ours.create_training(network, variables, layout)
    batch = layout.shard(ours.create_batch(batch_size))
    jitted: Any = layout.compile_train(step)
    compiled = jitted.lower(current, batch).compile()
    seconds = []
    for _ in range(options.repeats + 1):
        start = time.perf_counter()
        current = jax.block_until_ready(compiled(current, batch))
        seconds.append(time.perf_counter() - start)
    sizes = read_all_reduces(compiled.as_text())
    parameters = models.count_weights(variables["params"])
    return {"step_s": statistics.median(seconds[1:]), "all_reduces": sizes, "parameter_bytes": 4 * parameters}


def read_all_reduces(text: str) -> list[int]:
    """Bytes of each all-reduce of a compiled program, from its text; tuples are one all-reduce."""
    sizes = []
    for line in text.splitlines():
        found = re.search(r"= (.+?) all-reduce(?:-start)?\(", line)
        if found:
            arrays = re.findall(r"(\w+)\[([\d,]*)\]", found[1])
            shapes = [(kind, map(int, filter(None, shape.split(",")))) for kind, shape in arrays if kind in _BYTES]
            sizes.append(sum(math.prod(shape) * _BYTES[kind] for kind, shape in shapes))
    return sizes


def predict_efficiency(
    step_s: float, sizes: list[int], chips: int, *, bandwidth: float, hop_us: float, hidden_bytes: float = 0
) -> float:
    """Weak-scaling efficiency by the model in the module's docstring.

    Args:
        step_s: Seconds of a step on one chip.
        sizes: Bytes of each all-reduce.
        chips: In the ring.
        bandwidth: GB/s of a link, each way.
        hop_us: Microseconds for a hop of a small message.
        hidden_bytes: Those whose movement computing hides.
    """
    moved = 2 * (chips - 1) / chips * (sum(sizes) - hidden_bytes) / (bandwidth * 1e9)
    return step_s / (step_s + moved + 2 * (chips - 1) * hop_us * 1e-6 * len(sizes))


def run_worker(devices: int, batch_size: int) -> dict[str, Any]:
    """Measures in a process that has so many fake devices."""
    env = dict(os.environ)
    if devices > 1:
        count = f"--xla_force_host_platform_device_count={devices}"
        env |= {"XLA_FLAGS": f"{env.get('XLA_FLAGS', '')} {count}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], f"--worker={batch_size}"]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("narrow", "reference"), default="narrow", help="the network's trunk")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the computation")
    parser.add_argument("--parallel", choices=("jit", "pmap"), default="pmap", help="see runtime.parallel.create")
    parser.add_argument("--devices", default="1,2,4,8", help="numbers of fake devices")
    parser.add_argument("--per_device", type=int, default=4, help="ECGs on each device in weak scaling")
    parser.add_argument("--repeats", type=int, default=5, help="steps timed; the median counts")
    parser.add_argument(
        "--bandwidth", type=float, default=50.0, help="GB/s of a chip's link, each way (50: 400 Gbit/s Ethernet or IB)"
    )
    parser.add_argument("--hop_us", type=float, default=3.0, help="microseconds for a hop of a small message")
    parser.add_argument(
        "--overlap", type=float, default=0.0, help="part of the gradients' all-reduce hidden behind the backward pass"
    )
    parser.add_argument("--output", default="scaling", help="folder for the results")
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)  # batch size, of a child process
    return parser.parse_args()


def main() -> None:
    """Measures, predicts, prints and writes."""
    options = parse_options()
    if options.worker:
        print(json.dumps(measure(options, options.worker)))
        return
    numbers = sorted(map(int, options.devices.split(",")))
    print(
        f"{options.model}, {options.dtype}, {options.parallel}; seconds per step, and over perfect sharing", flush=True
    )
    print("devices   weak            strong", flush=True)
    rows: list[dict[str, Any]] = []
    total = options.per_device * numbers[-1]
    for devices in numbers:
        weak, strong = run_worker(devices, options.per_device * devices), run_worker(devices, total)
        rows.append({"devices": devices, "weak_s": weak["step_s"], "strong_s": strong["step_s"]} | weak)
        first = rows[0]
        over = weak["step_s"] / (first["weak_s"] * devices / first["devices"]), strong["step_s"] / first["strong_s"]
        print(
            f"{devices:7}   {weak['step_s']:6.3f} ({over[0]:4.2f})   {strong['step_s']:6.3f} ({over[1]:4.2f})",
            flush=True,
        )
    most = rows[-1]
    sizes, gradient_bytes = most["all_reduces"], most["parameter_bytes"]
    print(
        f"All-reduced per step: {sum(sizes) / 1e6:.2f} MB in {len(sizes)} all-reduces, of which gradients "
        f"{gradient_bytes / 1e6:.2f} MB"
    )

    def predict(chips: int) -> float:
        link = {"bandwidth": options.bandwidth, "hop_us": options.hop_us}
        hidden = options.overlap * gradient_bytes
        return predict_efficiency(rows[0]["weak_s"], sizes, chips, **link, hidden_bytes=hidden)

    predicted = {chips: predict(chips) for chips in _CHIPS} if sizes else {}
    if not sizes:
        print("One device reduces nothing, so nothing can be predicted; add numbers of devices above 1")
    for chips, efficiency in predicted.items():
        print(f"Predicted efficiency on {chips} chips of this step time: {efficiency:.1%}")
    os.makedirs(options.output, exist_ok=True)
    path = os.path.join(options.output, "scaling.json")
    names = ("model", "dtype", "parallel", "per_device", "bandwidth", "hop_us", "overlap")
    with open(path, "w") as file:
        settings = {name: getattr(options, name) for name in names}
        json.dump({"settings": settings, "measured": rows, "predicted": predicted}, file, indent=1)
    plot(rows, predict, f"{options.bandwidth:g} GB/s, {options.hop_us:g} µs per hop", options.output)
    print(f"Written: {path}, scaling.pdf and .png beside it")


def plot(rows: list[dict[str, Any]], predict: Callable[[int], float], title: str, folder: str) -> None:
    """Draws what splitting costs, and the predicted efficiency."""
    import matplotlib.pyplot as plt
    import numpy as np

    from ecg_jax.reporting import style

    @style.styled
    def draw() -> None:
        figure, (left, right) = plt.subplots(1, 2, figsize=(style.DOUBLE, 2.4))
        devices = np.array([row["devices"] for row in rows])
        weak = np.array([row["weak_s"] for row in rows])
        strong = np.array([row["strong_s"] for row in rows])
        left.plot(devices, weak / (weak[0] * devices / devices[0]), "o-", label="weak")
        left.plot(devices, strong / strong[0], "s--", label="strong")
        left.set(xlabel="Fake devices", ylabel="Time over perfect sharing", xscale="log", xticks=devices)
        left.set_xticks(devices, map(str, devices))
        left.minorticks_off()
        left.set_ylim(0, 1.1 * max(left.get_ylim()))
        left.legend()
        chips = np.unique(np.logspace(0, 10, 60, base=2).astype(int))
        right.plot(chips, [predict(int(n)) for n in chips])
        right.set(xlabel="Chips", ylabel="Predicted efficiency", xscale="log", ylim=(0, 1.02))
        right.set_title(title)
        figure.tight_layout()
        for suffix in ("pdf", "png"):
            figure.savefig(os.path.join(folder, f"scaling.{suffix}"), dpi=200)

    draw()


if __name__ == "__main__":
    main()
