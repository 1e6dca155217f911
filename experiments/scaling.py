"""What more devices cost and bring: bytes all-reduced per step, scaling over fake devices, a model of a pod.

  python experiments/scaling.py [--model=narrow] [--devices=1,2,4,8] [--parallel=pmap]
  python experiments/scaling.py --devices=1 --model=reference --dtype=bfloat16 --per_device=256     (on a GPU)

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

On 2 CPU cores, `--devices=1,2,4 --per_device=4 --repeats=3` (the narrow network; noisy, as the steps are short):

    devices   weak            strong
          1    0.035 (1.00)    0.139 (1.00)
          2    0.062 (0.88)    0.192 (1.39)
          4    0.167 (1.18)    0.168 (1.21)

All-reduced per step: 1.64 MB in 20 all-reduces, of which gradients 1.63 MB. Chips as slow as this, at 50 GB/s and 3 us
per hop, would keep 97.5, 82.3 and 36.6 % of their speed on 8, 64 and 512: all of the loss is the hops of the ring.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from typing import Any

from absl import app, flags

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

_MODEL = flags.DEFINE_enum("model", "narrow", ["narrow", "reference"], "The network's trunk.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of the computation.")
_PARALLEL = flags.DEFINE_enum("parallel", "pmap", ["jit", "pmap"], "See runtime.parallel.create.")
_DEVICES = flags.DEFINE_list("devices", ["1", "2", "4", "8"], "Numbers of fake devices; 1 alone takes what is there.")
_PER_DEVICE = flags.DEFINE_integer("per_device", 4, "ECGs on each device in weak scaling.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Steps timed; the median counts.", lower_bound=1)
_BANDWIDTH = flags.DEFINE_float("bandwidth", 50.0, "GB/s of a chip's link, each way (50: 400 Gbit/s Ethernet or IB).")
_HOP_US = flags.DEFINE_float("hop_us", 3.0, "Microseconds for a hop of a small message.")
_OVERLAP = flags.DEFINE_float("overlap", 0.0, "Part of the gradients' all-reduce hidden behind the backward pass.")
_CHIPS = (8, 64, 512)
_OUTPUT = flags.DEFINE_string("output", "scaling", "Folder for the results.")
_WORKER = flags.DEFINE_integer("worker", 0, "Batch size, for the processes that this one starts.")

_BYTES = {"f64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1}


def measure(batch_size: int) -> dict[str, Any]:
    """Times the step of one batch size on the devices that are there, and reads its all-reduces."""
    import jax
    import numpy as np
    import peers

    from ecg_jax import models
    from ecg_jax.recording import LEADS
    from ecg_jax.runtime import parallel
    from ecg_jax.training import augment, losses, optimizers, state, steps, transfer

    layout = parallel.create(mode=_PARALLEL.value, sync_batchnorm=True, batch_size=batch_size)
    network = models.create(
        _MODEL.value, head="dense", num_labels=peers.LABELS, dtype=_DTYPE.value, axis_name=layout.norm_axis_name
    )
    variables = models.init(network, jax.random.key(0), (peers.SAMPLES, peers.LEADS))
    trainable = transfer.create_trainable_mask(variables["params"])
    schedule = optimizers.create_schedule("constant", learning_rate=1e-3, steps=1)
    tx = optimizers.create("adam", learning_rate=schedule, trainable=trainable)
    step = steps.create_train_step(
        network,
        tx=tx,
        trainable=trainable,
        loss_fn=losses.create(num_labels=peers.LABELS),
        augment=augment.create(leads=LEADS, sampling_rate=400.0),
        axis_name=layout.axis_name,
    )
    signal, label = peers.draw(batch_size)
    batch = layout.shard(
        {
            "signal": signal,
            "valid": np.ones(signal.shape[:2], bool),
            "label": label,
            "mask": np.ones(batch_size, bool),
            "index": np.arange(batch_size, dtype=np.int32),
        }
    )
    current = layout.replicate(state.create(variables, tx=tx, seed=0, ema_decay=0.0))
    jitted: Any = layout.compile_train(step)
    compiled = jitted.lower(current, batch).compile()
    seconds = []
    for _ in range(_REPEATS.value + 1):
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
            counts = [int(_product(shape)) * _BYTES[kind] for kind, shape in arrays if kind in _BYTES]
            sizes.append(sum(counts))
    return sizes


def _product(shape: str) -> int:
    result = 1
    for size in filter(None, shape.split(",")):
        result *= int(size)
    return result


def predict_efficiency(step_s: float, sizes: list[int], gradient_bytes: int, chips: int) -> float:
    """Weak-scaling efficiency by the model in the module's docstring."""
    bandwidth, hop = _BANDWIDTH.value * 1e9, _HOP_US.value * 1e-6
    seconds = 2 * (chips - 1) / chips * sum(sizes) / bandwidth + 2 * (chips - 1) * hop * len(sizes)
    hidden = _OVERLAP.value * 2 * (chips - 1) / chips * gradient_bytes / bandwidth
    return step_s / (step_s + seconds - hidden)


def run_worker(devices: int, batch_size: int) -> dict[str, Any]:
    """Measures in a process that has so many fake devices."""
    env = dict(os.environ)
    if devices > 1:
        count = f"--xla_force_host_platform_device_count={devices}"
        env |= {"XLA_FLAGS": f"{env.get('XLA_FLAGS', '')} {count}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], f"--worker={batch_size}"]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(_: object) -> None:
    """Measures, predicts, prints and writes."""
    if _WORKER.value:
        print(json.dumps(measure(_WORKER.value)))
        return
    numbers = sorted(map(int, _DEVICES.value))
    print(f"{_MODEL.value}, {_DTYPE.value}, {_PARALLEL.value}; seconds per step, and over perfect sharing", flush=True)
    print("devices   weak            strong", flush=True)
    rows: list[dict[str, Any]] = []
    total = _PER_DEVICE.value * numbers[-1]
    for devices in numbers:
        weak, strong = run_worker(devices, _PER_DEVICE.value * devices), run_worker(devices, total)
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
    predicted = {n: predict_efficiency(rows[0]["weak_s"], sizes, gradient_bytes, n) for n in _CHIPS}
    for chips, efficiency in predicted.items():
        print(f"Predicted efficiency on {chips} chips of this step time: {efficiency:.1%}")
    os.makedirs(_OUTPUT.value, exist_ok=True)
    path = os.path.join(_OUTPUT.value, "scaling.json")
    names = ("model", "dtype", "parallel", "per_device", "bandwidth", "hop_us", "overlap")
    with open(path, "w") as file:
        settings = {name: flags.FLAGS[name].value for name in names}
        json.dump({"settings": settings, "measured": rows, "predicted": predicted}, file, indent=1)
    plot(rows, sizes, gradient_bytes)
    print(f"Written: {path}, scaling.pdf and .png beside it")


def plot(rows: list[dict[str, Any]], sizes: list[int], gradient_bytes: int) -> None:
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
        left.set_ylim(0)
        left.legend()
        chips = np.unique(np.logspace(0, 10, 60, base=2).astype(int))
        right.plot(chips, [predict_efficiency(weak[0], sizes, gradient_bytes, int(n)) for n in chips])
        right.set(xlabel="Chips", ylabel="Predicted efficiency", xscale="log", ylim=(0, 1.02))
        right.set_title(f"{_BANDWIDTH.value:g} GB/s, {_HOP_US.value:g} µs per hop")
        figure.tight_layout()
        for suffix in ("pdf", "png"):
            figure.savefig(os.path.join(_OUTPUT.value, f"scaling.{suffix}"), dpi=200)

    draw()


if __name__ == "__main__":
    app.run(main)
