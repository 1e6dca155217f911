"""The speed and memory of a device, and how much of them a network uses."""

import os
import re
import resource
import sys
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ecg_jax.errors import InputError

# Dense bfloat16 TFLOP/s of one JAX device, by words of its kind; the first that fits counts.
# NVIDIA's data sheets (nvidia.com/en-us/data-center/NAME; most print the rate with sparsity, twice
# that), Google's pages of each TPU version (cloud.google.com/tpu/docs/NAME; a v3 chip is two devices).
_PEAK_TFLOPS = (
    ("GB200", 2500.0),
    ("B200", 2250.0),
    ("GH200", 989.5),
    ("H200 NVL", 835.5),
    ("H200", 989.5),
    ("H100 NVL", 835.5),
    ("H100 PCIe", 756.5),
    ("H100", 989.5),
    ("A100", 312.0),
    ("A30", 165.0),
    ("A10", 125.0),
    ("L40S", 362.0),
    ("L4", 121.0),
    ("TPU v6 lite", 918.0),
    ("TPU v6e", 918.0),
    ("TPU v5 lite", 197.0),
    ("TPU v5e", 197.0),
    ("TPU v5p", 459.0),
    ("TPU v5", 459.0),
    ("TPU v4", 275.0),
    ("TPU v3", 61.5),
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"([\d.]+)\s*([KMGT]?)(?:iB|B| bytes)?"
_REQUESTED = re.compile(rf"(?:trying to allocate|request for|allocating)\s+{_SIZE}")
_USED_OF = re.compile(rf"Used {_SIZE} of {_SIZE}")
_HEADROOM = 0.9  # of the memory, as not all of it can be used in one piece


def find_peak_flops(device_kind: str) -> float | None:
    """Published dense bfloat16 FLOP/s of a device; None where the table has none, as for CPUs."""
    words = set(re.split(r"[\s-]+", device_kind))
    if "MIG" in words:  # a part of a GPU
        return None
    return next((1e12 * peak for name, peak in _PEAK_TFLOPS if words.issuperset(name.split())), None)


def count_flops(network: nn.Module, variables: Mapping[str, Any], shape: tuple[int, int]) -> int:
    """Floating-point operations of the forward pass of one example.

    Two per multiplication of a direct convolution or dense layer, with any algorithm;
    the rest is small. Training takes three times as many.

    Args:
        network: Called with `[B, samples, leads]`.
        variables: Its variables, or their shapes.
        shape: `(samples, leads)`.
    """

    def apply(variables: Mapping[str, Any], signal: jax.Array) -> Any:
        return network.apply(variables, signal, capture_intermediates=True, mutable=["intermediates"])[1]

    outputs = jax.eval_shape(apply, variables, jax.ShapeDtypeStruct((1, *shape), jnp.float32))["intermediates"]

    def count(params: Mapping[str, Any], outputs: Mapping[str, Any]) -> int:
        total = sum(
            count(params[name], outputs[name])
            for name in params
            if isinstance(params[name], Mapping) and name in outputs
        )
        if "kernel" in params:
            output, kernel = outputs["__call__"][0], params["kernel"]
            total += 2 * output.size // output.shape[-1] * kernel.size
        return total

    return count(variables["params"], outputs)


def read_memory() -> dict[str, float]:
    """Peak of the first device's memory, if known, and resident memory of this process, in GB."""
    stats = jax.local_devices()[0].memory_stats() or {}
    values = {"device_memory_gb": stats["peak_bytes_in_use"] / 1e9} if "peak_bytes_in_use" in stats else {}
    return values | {"host_memory_gb": _read_resident_bytes() / 1e9}


def _read_resident_bytes() -> int:
    """Resident memory of this process; where there is no /proc, its peak."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def explain_out_of_memory(
    error: Exception,
    *,
    batch_size: int,
    accumulate: int = 1,
    state_bytes: int = 0,
    stats: Mapping[str, int] | None = None,
    devices: int = 1,
    device_kind: str = "device",
) -> InputError | None:
    """Explains a device's lack of memory, with a batch size that fits.

    The need is modelled as the state plus a part proportional to the batch (activations), from the error's own
    numbers and the device's counters.

    Args:
        error: What JAX raised.
        batch_size: Global.
        accumulate: Micro-batches of a step.
        state_bytes: Size of the state, which every device holds.
        stats: `Device.memory_stats()`, if any.
        devices: Number of devices; batch sizes are multiples of it.
        device_kind: Name of the device.

    Returns:
        The error to raise; None if memory is not the cause.
    """
    message = str(error)
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    needed, limit = _measure_need(message, stats or {})
    batch = f"a batch of {batch_size}" + (f" in {accumulate} parts" if accumulate > 1 else "")
    size = f", {limit / 1e9:.1f} GB" if limit else ""
    explanation = f"the memory of a device ({device_kind}{size}) is too small for {batch}"
    if needed and limit and needed > limit > state_bytes:
        explanation += f", which needs about {needed / 1e9:.1f} GB"
        fits = int(_HEADROOM * batch_size * (limit - state_bytes) / (needed - state_bytes))
        verb = "fit"
    else:
        fits, verb = batch_size // 2, "be half of it"
    fits = min(fits, batch_size - 1) // devices * devices
    remedies = []
    if fits:
        explanation += f"; {fits} would {verb}"
        parts = [n for n in range(accumulate + 1, batch_size + 1) if batch_size % (n * devices) == 0]
        enough = next((n for n in parts if batch_size / n <= fits / accumulate), None)
        remedies = [f"train.batch_size={fits}"] + ([f"train.accumulate={enough}"] if enough else [])
    else:
        explanation += "; not even one ECG per device would fit"
    remedies += ["model.dtype=bfloat16", "model.checkpoint_activations=true"]
    return InputError(f"{explanation}. Set one or more of {', '.join(remedies)}")


def _measure_need(message: str, stats: Mapping[str, int]) -> tuple[float | None, float | None]:
    """Bytes needed and bytes available, as far as a message and a device's counters tell."""

    def size(number: str, unit: str) -> float:
        return float(number.rstrip(".")) * _UNITS[unit]

    if found := _USED_OF.search(message):  # the TPU's compiler knows before it runs
        return size(*found.groups()[:2]), size(*found.groups()[2:])
    limit = stats.get("bytes_limit")
    if limit is None or not (found := _REQUESTED.search(message)):
        return None, limit
    requested = size(*found.groups())
    held = (stats.get(key, 0) for key in ("bytes_in_use", "peak_bytes_in_use"))
    return next((used + requested for used in held if used + requested > limit), None), limit
