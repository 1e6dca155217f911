"""How fast the published network trains and predicts, beside Keras, PyTorch and ONNX Runtime.

  python experiments/throughput.py [--batch_size=32] [--dtype=bfloat16] [--peers=keras,torch,onnxruntime]
  python experiments/throughput.py --peers= --parallel=pmap --batch_size=2048 --steps_per_call=10   (ours alone)

Every contender runs in a process of its own, is compiled and warmed up (told apart, not counted), and
then measures in turns with the others: `--rounds` rounds of `--steps` steps. Medians over rounds, and
ratios of each round's numbers, so that what disturbs the machine disturbs all. `train` is a whole step
with Adam and dropout, `predict` the forward pass in batches, `latency` one ECG from and to host memory.
Peers run where they are installed: in this Python, or in that of `--peer_python`
(`pip install absl-py tensorflow-cpu torch onnx onnxruntime`). Writes throughput.json, .pdf and .png.

Ours, in a process that can be looked into: `--worker=ours:train --profile=DIR` writes a trace.

On 2 CPU cores (AMD EPYC, AVX2, about 120 GFLOP/s in float32 products of matrices; jax 0.10.2, Keras 3.15.1 on
TensorFlow 2.21.0, torch 2.13.0, onnxruntime 1.32.0), `--steps=2`, medians and ranges of five rounds in turns:

                    train, ECG/s        ours over it   predict, ECG/s      ours over it   latency p50, p99, ms
    ours            17.9 (15.2-19.7)                   59.6 (50.6-64.4)                   32.2, 54.5
    Keras            6.2 (6.1-6.8)      2.84           24.5 (24.3-33.3)    2.08           121, 172
    PyTorch          6.9 (5.6-7.8)      2.70           30.1 (29.0-30.4)    1.97           35.4, 53.6
    ONNX Runtime                                       36.1 (34.5-36.6)    1.65           32.4, 43.6

Where it comes from, ours alone (three rounds each, one run after the other): 18.4 and 60.9 ECG/s in training and
prediction; with direct convolutions 9.3 and 34.3, which is what matrix products allow; with memory that is given
back after each step 15.6 and 48.1.

The network takes 3.65 GFLOP per ECG and direction when computed directly, so that training at 18 ECG/s is 200 GFLOP/s
of the direct network, more than the cores can multiply. What was tried on this machine, with a step of
32 ECGs, single runs of prototypes:

- Convolutions of stride 1 by the Fourier transform of blocks of 32 samples, of stride 4 by Toom-Cook on the polyphase
  form: step 1.7 times faster (8.0 to 13.8 ECG/s), prediction 1.5 times. Kept.
- Dropout masks from an integer hash instead of threefry: 13.8 to 16.1. Kept. Compiling takes 5 s less, too.
- Max pooling as a maximum over windows, without XLA's search for where it was: -60 ms of 1.9 s in the profile, within
  the noise of whole steps. Kept.
- Freed memory kept by the C library: 1.2 times in training, 1.3 in prediction. Kept.
- Longer blocks, with 2.2 or 1.9 products per output instead of 2.9: of 48 samples 6 % less time over all layers (but
  a third more in unit 3, forward), of 80 samples 4 % more. Left out.
- Complex products as one real product of twice the size instead of three: 0.7 to 1.3 times the time, by layer; no gain
  in all once freed memory is kept. Dropped.
- One or a few ECGs at a time through each convolution, to stay in the cache: up to 1.4 times slower, once freed memory
  is kept. Dropped.
- The gradient written by hand, transforming the transposed kernel again: no faster than what JAX derives. Dropped.
- Toom-Cook with 2 outputs (5 products instead of 8): 1.2 to 1.4 times slower than with 4 in three of four layers.
  Dropped; so fast FIR by halves (3 products instead of 4 per level) was not tried on its own.
- BatchNorm folded into the convolutions for prediction: 0.99 times the speed; XLA had merged it into the pass that
  writes the convolution's result. Dropped.
- Huge pages (GLIBC_TUNABLES=glibc.malloc.hugetlb=1): 0.9 times the speed. Dropped.
- The gradient with respect to the input is not computed in any case; for a frozen stem see `freezing.py`.

What limits it now, in a profile: about 60 % of a step are products of matrices (at 60 to 140 GFLOP/s), the rest
passes over memory (transposing blocks, BatchNorm's statistics, masks). On accelerators nothing was measured yet: the
direct form is used there.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from absl import app, flags

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

MODES = ("train", "predict", "latency")
_MODES = flags.DEFINE_list("modes", list(MODES), "What to measure: train, predict, latency.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "ECGs at once, over all devices.", lower_bound=1)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of the computation.")
_PARALLEL = flags.DEFINE_enum("parallel", "auto", ["auto", "jit", "pmap"], "Ours: runtime.parallel.create.")
_CONVOLUTION = flags.DEFINE_enum("convolution", "auto", ["auto", "direct", "fast"], "Ours: models.convolution.")
_ACCUMULATE = flags.DEFINE_integer("accumulate", 1, "Ours: micro-batches of a training step.", lower_bound=1)
_CHECKPOINT = flags.DEFINE_bool("checkpoint_activations", False, "Ours: models.create.")
_STEPS_PER_CALL = flags.DEFINE_integer("steps_per_call", 1, "Ours: training steps fused by lax.scan.", lower_bound=1)
_KEEP_MEMORY = flags.DEFINE_bool("keep_memory", True, "Ours: runtime.startup.configure_allocator.")
_PEERS = flags.DEFINE_list("peers", ["keras", "torch", "onnxruntime"], "Also torch_compiled; empty for none.")
_PEER_PYTHON = flags.DEFINE_string("peer_python", sys.executable, "Interpreter that has the peers installed.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Of measurements in turns.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 3, "Of each measurement; latency takes 40 times as many.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", "throughput", "Folder for the results.")
_PROFILE = flags.DEFINE_string("profile", "", "With --worker: folder for a trace of one measurement.")
_WORKER = flags.DEFINE_string("worker", "", "CONTENDER:MODE, for the processes that this one starts.")

Run = Callable[[int], Any]


def create_ours(mode: str) -> tuple[Run, dict[str, Any]]:
    """Our step as a run compiles it, on data that lies on the device, and facts about it."""
    if _KEEP_MEMORY.value:
        from ecg_jax.runtime import startup

        startup.configure_allocator()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a peer is on the same device
    import jax
    import numpy as np
    import ours
    import peers

    from ecg_jax import models
    from ecg_jax.runtime import hardware, parallel
    from ecg_jax.training import steps

    batch_size, per_call = _BATCH_SIZE.value, _STEPS_PER_CALL.value if mode == "train" else 1
    layout = parallel.create(
        mode=_PARALLEL.value,
        sync_batchnorm=True,
        batch_size=batch_size if mode != "latency" else len(jax.devices()),
        accumulate=_ACCUMULATE.value if mode == "train" else 1,
        steps_per_call=per_call,
    )
    network = models.create(
        "reference",
        head="dense",
        num_labels=peers.LABELS,
        dtype=_DTYPE.value,
        convolution=_CONVOLUTION.value,
        checkpoint_activations=_CHECKPOINT.value and mode == "train",
        axis_name=layout.norm_axis_name if mode == "train" else None,
    )
    shape = (peers.SAMPLES, peers.LEADS)
    variables = models.init(network, jax.random.key(0), shape)
    facts = {
        "device": jax.devices()[0].device_kind,
        "devices": len(jax.devices()),
        "parallel": layout.mode,
        "jax": jax.__version__,
        "flops_per_ecg": hardware.count_flops(network, variables, shape) * (3 if mode == "train" else 1),
        "peak_flops": hardware.find_peak_flops(jax.devices()[0].device_kind),
    }
    if mode == "latency":
        predict = jax.jit(network.apply)
        signal, _ = peers.draw(1)

        def run_latency(steps: int) -> None:
            for _ in range(steps):
                np.asarray(predict(variables, signal))

        return run_latency, facts
    spread = jax.sharding.NamedSharding(layout.mesh, jax.sharding.PartitionSpec(parallel.AXIS))
    on_device = jax.device_put(layout.shard(ours.create_batch(batch_size)), spread)
    if mode == "predict":
        eval_step = layout.compile_eval(steps.create_eval_step(network, axis_name=layout.axis_name))
        placed = layout.replicate(variables)

        def run_predict(steps: int) -> None:
            for _ in range(steps):
                result = eval_step(placed, on_device)
            jax.block_until_ready(result)

        return run_predict, facts

    step, initial = ours.create_training(network, variables, layout, _ACCUMULATE.value)
    if per_call > 1:
        single = step

        def step(current: Any, batch: Any) -> Any:
            return jax.lax.scan(lambda inner, _: (single(inner, batch), None), current, length=per_call)[0]

    compiled = layout.compile_train(step)
    box = [initial]

    def run_train(steps: int) -> None:
        for _ in range(-(-steps // per_call)):
            box[0] = compiled(box[0], on_device)
        jax.block_until_ready(box[0].step)

    return run_train, facts


def work(contender: str, mode: str) -> None:
    """A contender's process: warms up, then measures each time a line with a number of steps comes in."""
    began = time.perf_counter()
    try:
        if contender == "ours":
            run, facts = create_ours(mode)
        else:
            import peers

            run, facts = peers.PEERS[contender](mode, _BATCH_SIZE.value, _DTYPE.value), {}
        run(1)
    except (ImportError, NotImplementedError) as error:
        print(json.dumps({"missing": " ".join(str(error).split())}), flush=True)
        return
    compiled = time.perf_counter() - began
    run(2)
    print(json.dumps({"start_s": compiled, **facts}), flush=True)
    for line in sys.stdin:
        steps = int(line)
        seconds = []
        for _ in range(steps if mode == "latency" else 1):
            start = time.perf_counter()
            run(1 if mode == "latency" else steps)
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


class Contender:
    """A process that measures on request."""

    def __init__(self, name: str, mode: str) -> None:
        """Starts it and waits until it is warm.

        Attributes:
            facts: What it told of itself.
            seconds: Of each measurement.
        """
        python = sys.executable if name == "ours" else _PEER_PYTHON.value
        own = [argument for argument in sys.argv[1:] if not argument.startswith("--worker")]
        command = [python, os.path.abspath(__file__), *own, f"--worker={name}:{mode}"]
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.facts = self._read()
        self.seconds: list[list[float]] = []

    def _read(self) -> Any:
        assert self._process.stdout
        for line in self._process.stdout:
            try:
                return json.loads(line)
            except json.JSONDecodeError:
                continue  # what a framework prints on its way
        assert self._process.stderr
        last = [line for line in self._process.stderr.read().splitlines() if line.strip()][-1:]
        return {"missing": last[0] if last else f"exit status {self._process.wait()}"}

    def measure(self, steps: int) -> None:
        """Measures once."""
        assert self._process.stdin
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        self.seconds.append(self._read())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def compare(mode: str) -> dict[str, Any]:
    """Measures all contenders in turns; returns what `throughput.json` holds of a mode."""
    contenders = []
    for name in ["ours", *_PEERS.value]:
        contender = Contender(name, mode)
        if "missing" in contender.facts:
            print(f"  {name}: left out ({contender.facts['missing']})", flush=True)
            if name == "ours":
                raise SystemExit(1)
            continue
        contenders.append(contender)
    steps = _STEPS.value * (40 if mode == "latency" else 1)
    per_call = _STEPS_PER_CALL.value if mode == "train" else 1
    steps = -(-steps // per_call) * per_call
    for _ in range(_ROUNDS.value):
        for contender in contenders:
            contender.measure(steps)
    for contender in contenders:
        contender.close()
    results: dict[str, Any] = {}
    for contender in contenders:
        result = dict(contender.facts)
        if mode == "latency":
            every = sorted(second for seconds in contender.seconds for second in seconds)
            result |= {"p50_ms": 1e3 * statistics.median(every), "p99_ms": 1e3 * every[int(0.99 * len(every))]}
            rates = [1 / statistics.median(seconds) for seconds in contender.seconds]
        else:
            rates = [_BATCH_SIZE.value * steps / seconds[0] for seconds in contender.seconds]
            result |= {"ecg_per_s": statistics.median(rates), "rounds": rates}
        results[contender.name] = result | {"rates": rates}
    ours = results["ours"]["rates"]
    for result in results.values():
        pairs = zip(ours, result.pop("rates"), strict=True)
        result["ours_over_this"] = statistics.median(mine / theirs for mine, theirs in pairs)
    return results


def describe(mode: str, name: str, result: dict[str, Any]) -> str:
    """One line about a contender."""
    if mode == "latency":
        line = f"p50 {result['p50_ms']:.2f} ms, p99 {result['p99_ms']:.2f} ms"
    else:
        line = f"{result['ecg_per_s']:.1f} ECG/s ({min(result['rounds']):.1f}-{max(result['rounds']):.1f})"
        if "flops_per_ecg" in result:
            flops = result["ecg_per_s"] * result["flops_per_ecg"] / result["devices"]
            line += f", {flops / 1e9:.0f} GFLOP/s of the direct network per device"
            if result["peak_flops"]:
                line += f", {flops / result['peak_flops']:.1%} of its bf16 peak"
    if name != "ours":
        line += f"; ours is {result['ours_over_this']:.2f} times as fast"
    return f"  {name}: {line}; ready after {result['start_s']:.0f} s"


def plot(results: dict[str, dict[str, Any]], folder: str) -> None:
    """Draws a bar per contender and mode."""
    import matplotlib.pyplot as plt

    from ecg_jax.reporting import style

    @style.styled
    def draw() -> None:
        figure, axes = plt.subplots(1, len(results), figsize=(2.4 * len(results), 1.8), squeeze=False)
        for axis, (mode, found) in zip(axes[0], results.items(), strict=True):
            values = [found[name]["p50_ms" if mode == "latency" else "ecg_per_s"] for name in found]
            bars = axis.barh(list(found), values, color=["C0" if name == "ours" else "0.7" for name in found])
            axis.bar_label(bars, fmt="%.3g", padding=2)
            axis.set(xlabel="ms per ECG (median)" if mode == "latency" else "ECG/s", title=mode.capitalize())
            axis.set_xlim(0, 1.25 * max(values))
            axis.invert_yaxis()
        figure.tight_layout()
        for suffix in ("pdf", "png"):
            figure.savefig(os.path.join(folder, f"throughput.{suffix}"), dpi=200)

    draw()


def main(_: object) -> None:
    """Measures, prints, writes; or works for the process that does."""
    if _WORKER.value:
        contender, mode = _WORKER.value.split(":")
        if _PROFILE.value:
            profile(mode)
            return
        work(contender, mode)
        return
    unknown = set(_MODES.value) - set(MODES)
    if unknown:
        raise SystemExit(f"--modes: {', '.join(sorted(unknown))} unknown; known: {', '.join(MODES)}")
    os.makedirs(_OUTPUT.value, exist_ok=True)
    print(f"Batches of {_BATCH_SIZE.value}, {_DTYPE.value}, {_ROUNDS.value} rounds in turns", flush=True)
    results = {}
    for mode in _MODES.value:
        print(f"{mode}:", flush=True)
        results[mode] = compare(mode)
        for name, result in results[mode].items():
            print(describe(mode, name, result), flush=True)
    path = os.path.join(_OUTPUT.value, "throughput.json")
    settings = {name: flags.FLAGS[name].value for name in ("batch_size", "dtype", "convolution", "accumulate")}
    with open(path, "w") as file:
        json.dump({"settings": settings | {"cpus": os.cpu_count()}, **results}, file, indent=1)
    plot(results, _OUTPUT.value)
    print(f"Written: {path}, throughput.pdf and .png beside it")


def profile(mode: str) -> None:
    """Writes a trace of three warm steps of ours."""
    run, _ = create_ours(mode)
    run(2)
    import jax

    with jax.profiler.trace(_PROFILE.value, create_perfetto_trace=True):
        run(3)
    print(f"Written: {_PROFILE.value}")


if __name__ == "__main__":
    app.run(main)
