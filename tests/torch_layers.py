"""PyTorch's layers in plain NumPy, float64, channels first, and the stages of networks to compare with them."""

import math

import jax
import numpy as np

from ecg_jax import models
from ecg_jax.models import weights as weights_lib

Arrays = dict[str, np.ndarray]


def draw_tensors(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Arrays:
    """Kernels that keep the size of a signal, scales and variances about 1, biases and means about 0.2."""
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) > 1:
            return rng.normal(0, np.sqrt(1.5 / max(1, math.prod(shape[1:]))), shape)
        is_positive = name.endswith(("running_var", "weight"))
        return rng.uniform(0.5, 1.5, shape) if is_positive else rng.normal(0, 0.2, shape)

    return {name: draw(name, shape).astype(np.float32) for name, shape in shapes.items()}


def list_norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": (channels,) for leaf in leaves} | {f"{name}.num_batches_tracked": ()}


def convolve(x: np.ndarray, weights: Arrays, name: str, stride=1, padding=(0, 0), groups=1) -> np.ndarray:
    """`x` `[B, C, T]` with the kernel `[O, C / groups, K]` and zeros on either side."""
    kernel = weights[f"{name}.weight"].astype(np.float64)
    width, inputs, taps = kernel.shape
    padded = np.pad(x, ((0, 0), (0, 0), padding))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=2)[:, :, ::stride]
    parts = []
    for group in range(groups):
        own = kernel[group * width // groups : (group + 1) * width // groups]
        parts.append(np.einsum("bctk,ock->bot", windows[:, group * inputs : (group + 1) * inputs], own))
    bias = weights.get(f"{name}.bias", np.zeros(width))
    return np.concatenate(parts, axis=1) + bias[:, None]


def connect(x: np.ndarray, weights: Arrays, name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T.astype(np.float64) + weights.get(f"{name}.bias", 0)


def normalize(x: np.ndarray, weights: Arrays, name: str, epsilon: float = 1e-5) -> np.ndarray:
    scale, bias, mean, var = (
        weights[f"{name}.{leaf}"].astype(np.float64)[:, None]
        for leaf in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(var + epsilon) * scale + bias


def pool(x: np.ndarray, window: int, stride: int) -> np.ndarray:
    """The largest of each window, without padding."""
    return np.lib.stride_tricks.sliding_window_view(x, window, axis=2)[:, :, ::stride].max(axis=-1)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def capture(network: models.Network, variables: Arrays, signal: np.ndarray) -> Arrays:
    """What every module of a network gives for `signal` `[B, C, T]`, channels first, by path; `logits` is the last."""
    apply = jax.jit(lambda variables, signal: network.apply(variables, signal, capture_intermediates=True))
    logits, state = apply(weights_lib.unflatten(variables), np.swapaxes(signal, 1, 2).astype(np.float32))
    calls = weights_lib.flatten(state["intermediates"])
    first = {path.removesuffix("/__call__"): jax.tree.leaves(call) for path, call in calls.items()}
    # A block of two outputs has the second one at its path with "#1".
    outputs = {f"{path}#{i}" if i else path: x for path, found in first.items() for i, x in enumerate(found)}
    return {path: np.moveaxis(np.asarray(x), -1, 1) for path, x in outputs.items()} | {"logits": np.asarray(logits)}


def compare(found: Arrays, expected: Arrays, tolerance: float = 1e-5) -> None:
    """Every expected stage is found and differs by less, over its largest magnitude; `@k` means every k-th sample."""
    for key, wanted in expected.items():
        name, _, step = key.partition("@")
        array = found[name][..., :: int(step)] if step else found[name]
        assert array.shape == wanted.shape, name
        assert np.abs(array - wanted).max() < tolerance * np.abs(wanted).max(), name


def read_cases(path, prefix: str = "case") -> dict[str, Arrays]:
    """The stages of every case of a fixture's `io.npz`, by case and name."""
    cases: dict[str, Arrays] = {}
    with np.load(path) as file:
        for key in file.files:
            case, _, stage = key.partition("/")
            if case.startswith(prefix):
                cases.setdefault(case, {})[stage] = file[key]
    return cases


def list_full_size(manifest: dict) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published file, without what its wrapping adds to the names."""
    return {tensor["name"].removeprefix("_orig_mod."): tuple(tensor["shape"]) for tensor in manifest["tensors"]}
