"""Times each convolution of the network, directly and by a fast algorithm, and compares the results.

  python experiments/convolution.py [--model=reference] [--batch_size=16] [--output=convolution.json]

Per layer: median time of the forward pass and of both gradients, direct over fast, measured in turns; and the
largest difference between the two, over the largest magnitude, of the outputs and of both gradients.

On 2 CPU cores (AMD EPYC, AVX2; jax 0.10.2), other work on the machine, batch 16:

    layer             T    C    K  forward ms: direct, fast, ratio   gradients ms: the same
    unit1/conv1    4096   64  128     141.5     74.5  1.90 (5e-07)     306.6    145.9  2.10 (8e-07)
    unit1/conv2    4096  128  128      76.4     62.5  1.22 (3e-06)     200.2    122.6  1.63 (2e-06)
    unit2/conv1    1024  128  196     108.5     42.9  2.53 (5e-07)     217.5     90.7  2.40 (6e-07)
    unit2/conv2    1024  196  196      38.9     32.0  1.22 (2e-06)     144.8     68.8  2.10 (2e-06)
    unit3/conv1     256  196  256      55.8     23.8  2.35 (5e-07)     100.0     37.4  2.68 (6e-07)
    unit3/conv2     256  256  256      15.3     10.9  1.41 (5e-06)      89.7     44.0  2.04 (2e-06)
    unit4/conv1      64  256  320      15.3     10.6  1.45 (7e-07)      31.9     17.7  1.80 (6e-07)
    unit4/conv2      64  320  320       5.6      4.9  1.14 (5e-06)      17.4     11.1  1.57 (2e-06)
    all, forward: 457 ms direct, 262 fast, ratio 1.75; all, gradients: 1108 ms direct, 538 fast, ratio 2.06

With `--model=narrow` the first convolution (16 to 32 channels) is 0.77 and 0.94 times as fast, the others together
0.92 times forward and 1.40 times in the gradients; with `--batch_size=1` the last unit's two are 0.80 and 0.47 times
as fast forward: hence the bounds behind `auto`, 32 channels and 16 blocks.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from absl import app, flags

from ecg_jax.runtime import startup

startup.configure_allocator()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from ecg_jax.models.convolution import convolve  # noqa: E402
from ecg_jax.models.network import TRUNKS  # noqa: E402

_MODEL = flags.DEFINE_enum("model", "reference", list(TRUNKS), "Whose layers.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "ECGs at once.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 7, "Of each measurement; the median counts.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", "convolution.json", "Where the numbers go.")

TAPS, STRIDE, SAMPLES = 16, 4, 4096


def list_layers(name: str) -> list[tuple[str, int, int, int, int]]:
    """`(name, samples, channels, filters, stride)` of every convolution with more than one tap after the stem."""
    layers, samples, channels = [], SAMPLES, TRUNKS[name]["stem_filters"]
    for unit, filters in enumerate(TRUNKS[name]["filters"], start=1):
        layers += [(f"unit{unit}/conv1", samples, channels, filters, 1)]
        layers += [(f"unit{unit}/conv2", samples, filters, filters, STRIDE)]
        samples, channels = samples // STRIDE, filters
    return layers


def measure(samples: int, channels: int, filters: int, stride: int) -> dict[str, Any]:
    """Times one layer and compares its results; see the module's docstring."""
    keys = jax.random.split(jax.random.key(0), 3)
    signal = jax.random.normal(keys[0], (_BATCH_SIZE.value, samples, channels))
    kernel = jax.random.normal(keys[1], (TAPS, channels, filters)) * (TAPS * channels) ** -0.5
    cotangent = jax.random.normal(keys[2], (_BATCH_SIZE.value, samples // stride, filters))

    def create(method: str) -> dict[str, Callable[[], Any]]:
        def forward(signal: jax.Array, kernel: jax.Array) -> jax.Array:
            return convolve(signal, kernel, stride, method)

        gradients = jax.jit(lambda signal, kernel, cotangent: jax.vjp(forward, signal, kernel)[1](cotangent))
        compiled = jax.jit(forward)
        return {
            "forward": lambda: compiled(signal, kernel),
            "gradients": lambda: gradients(signal, kernel, cotangent),
        }

    methods = {method: create(method) for method in ("direct", "fast")}
    found: dict[str, Any] = {}
    for pass_ in ("forward", "gradients"):
        results = {method: jax.tree.leaves(methods[method][pass_]()) for method in methods}
        pairs: Any = zip(results["direct"], results["fast"], strict=True)
        found[f"{pass_}_difference"] = max(float(jnp.abs(a - b).max() / jnp.abs(a).max()) for a, b in pairs)
        seconds: dict[str, list[float]] = {method: [] for method in methods}
        for _ in range(_REPEATS.value):
            for method, passes in methods.items():
                start = time.perf_counter()
                jax.block_until_ready(passes[pass_]())
                seconds[method].append(time.perf_counter() - start)
        found |= {f"{pass_}_{method}_s": statistics.median(values) for method, values in seconds.items()}
    return found


def main(_: object) -> None:
    """Prints and writes the table."""
    rows: list[dict[str, Any]] = []
    print(f"{jax.devices()[0].device_kind}, batch {_BATCH_SIZE.value}, float32, medians of {_REPEATS.value}")
    print(f"{'layer':13} {'T':>5} {'C':>4} {'K':>4}  forward ms: direct, fast, ratio   gradients ms: the same")
    for name, samples, channels, filters, stride in list_layers(_MODEL.value):
        row = measure(samples, channels, filters, stride)
        rows.append({"layer": name, "samples": samples, "channels": channels, "filters": filters} | row)
        cells = ""
        for pass_ in ("forward", "gradients"):
            direct, fast = (1e3 * row[f"{pass_}_{method}_s"] for method in ("direct", "fast"))
            cells += f"  {direct:8.1f} {fast:8.1f} {direct / fast:5.2f} ({row[f'{pass_}_difference']:.0e})"
        print(f"{name:13} {samples:5} {channels:4} {filters:4}{cells}", flush=True)
    for pass_ in ("forward", "gradients"):
        direct, fast = (sum(row[f"{pass_}_{method}_s"] for row in rows) for method in ("direct", "fast"))
        print(f"all, {pass_}: {1e3 * direct:.0f} ms direct, {1e3 * fast:.0f} fast, ratio {direct / fast:.2f}")
    with open(_OUTPUT.value, "w") as file:
        json.dump({"model": _MODEL.value, "batch_size": _BATCH_SIZE.value, "layers": rows}, file, indent=1)
    print(f"Written: {_OUTPUT.value}")


if __name__ == "__main__":
    app.run(main)
