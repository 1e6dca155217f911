"""Attribution methods by name, all of one form: how much each sample of each lead speaks for a label.

    segments = label_samples(delineate(recording).waves, start=0, samples=4096, sampling_rate=400)
    values = attribute("integrated_gradients", model.network, model.variables, signal, output, segments[None])
    share(values[0], segments)  # by lead and segment

What each can say and what not: docs/explain.md.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.explanation import attribution, occlusion, removal, shapley
from ecg_jax.explanation import grad_cam as grad_cam_lib
from ecg_jax.explanation.logits import Apply
from ecg_jax.explanation.segments import SEGMENTS
from ecg_jax.models import features
from ecg_jax.models.network import Network

STEPS = 64  # of integrated gradients
SAMPLES, NOISE = 16, 0.02  # of SmoothGrad
PAIRS = 8  # of orders, of Shapley values
LAYER_STEP = 0.04  # seconds, of Grad-CAM's layer


class Input(NamedTuple):
    """What a method is given."""

    network: Network
    variables: Any
    signal: np.ndarray  # `[B, T, L]` float32
    output: int
    segments: np.ndarray  # `[B, T]` int8
    sampling_rate: float
    seed: int

    @property
    def question(self) -> tuple[Apply, Any, np.ndarray, int]:
        """The first arguments of most methods."""
        return self.network.apply, self.variables, self.signal, self.output


class LogOdds(Network):
    """A network whose labels exclude each other: a logit is then that of the label against all others together.

    The logits of a softmax are none: one that rises less than the others' means that the probability falls.
    """

    def __call__(self, signal: jax.Array, **how: Any) -> jax.Array:
        """As `Network`; the sigmoid of these is the softmax of its logits."""
        logits = super().__call__(signal, **how)
        is_other = ~np.eye(logits.shape[1], dtype=bool)
        return logits - jax.nn.logsumexp(logits[:, None], axis=2, where=is_other)


class Method(NamedTuple):
    """An attribution method."""

    description: str
    explain: Callable[[Input], np.ndarray | jax.Array]  # `[B, T, L]`


def _integrate(given: Input) -> jax.Array:
    baseline = np.zeros_like(given.signal)
    return attribution.integrated_gradients(*given.question, baseline, steps=STEPS)


def _integrate_from_lowpass(given: Input) -> jax.Array:
    baseline = attribution.create_lowpass_baseline(given.signal, given.sampling_rate)
    return attribution.integrated_gradients(*given.question, baseline, steps=STEPS)


def _smooth(given: Input) -> jax.Array:
    rng = jax.random.key(given.seed)
    return attribution.smooth_gradient(*given.question, rng, noise=NOISE, samples=SAMPLES)


def _find_times(given: Input) -> jax.Array:
    samples, leads = given.signal.shape[1:]
    layer = _choose_layer(given.network, (samples, leads), LAYER_STEP * given.sampling_rate)
    return grad_cam_lib.grad_cam(given.network, given.variables, given.signal, given.output, layer)


def _occlude(given: Input) -> np.ndarray:
    return removal.spread(occlusion.occlude(*given.question, given.segments), given.segments)


def _share_out(given: Input) -> np.ndarray:
    values = shapley.sample(*given.question, given.segments, pairs=PAIRS, seed=given.seed)
    return removal.spread(values.value, given.segments)


METHODS = {
    "integrated_gradients": Method("gradients on the way from no signal to the ECG, times the ECG", _integrate),
    "integrated_gradients_lowpass": Method(
        "gradients on the way from the ECG's wander below 0.5 Hz to the ECG, times the difference",
        _integrate_from_lowpass,
    ),
    "smooth_gradient": Method("mean gradient of noisy copies, times the ECG", _smooth),
    "grad_cam": Method("times when a layer's channels speak for the label; the same in all leads", _find_times),
    "occlusion": Method("drop of the logit without one segment (P, QRS, ST-T) of one lead", _occlude),
    "shapley": Method("drop of the logit, shared out among the segments of all leads", _share_out),
}
DEFAULT = "integrated_gradients"


def attribute(
    method: str,
    network: Network,
    variables: Any,
    signal: np.ndarray,
    output: int,
    segments: np.ndarray,
    *,
    sampling_rate: float = InputContract.sampling_rate,
    activation: str = "sigmoid",
    seed: int = 0,
) -> np.ndarray:
    """Attributes a logit to samples and leads.

    The network is used as outside training, in float32. It is compiled once for a method and shape; labels share that.

    Args:
        method: One of `METHODS`.
        network: Any network.
        variables: Of the network.
        signal: `[B, T, L]` in the unit of the network's input contract.
        output: The label's number among the network's outputs.
        segments: `[B, T]` int8, see `segments.label_samples`.
        sampling_rate: Of the signal, Hz.
        activation: See `inference.Model`; with `softmax`, the log-odds are attributed (`LogOdds`).
        seed: Of what is drawn, the same for all signals.

    Returns:
        `[B, T, L]` float32, in units of the logit; positive where the signal speaks for the label.

    Raises:
        InputError: on an unknown method, an output that the network does not have, or other shapes.
    """
    if method not in METHODS:
        raise InputError(f"method is {method!r}; known: {', '.join(METHODS)}")
    signal, segments = np.asarray(signal, np.float32), np.asarray(segments, np.int8)
    if signal.ndim != 3 or segments.shape != signal.shape[:2]:
        raise InputError(f"signal is {signal.shape} and segments {segments.shape}; expected [B, T, L] and [B, T]")
    count = variables["params"]["head"]["output"]["bias"].shape[0]
    if not 0 <= output < count:
        raise InputError(f"output is {output}; the network has {count}, numbered from 0")
    variables = jax.device_put(variables)  # once, not at every call
    given = Input(_simplify(network, activation), variables, signal, output, segments, sampling_rate, seed)
    return np.asarray(METHODS[method].explain(given))


@functools.lru_cache(maxsize=16)
def _simplify(network: Network, activation: str) -> Network:
    """The same object for equal networks, so that they share compilations: in float32, keeping activations."""

    def compute_precisely(module: nn.Module) -> nn.Module:
        return module.clone(dtype=None) if hasattr(module, "dtype") else module

    network = features.keep_activations(network)
    kind = LogOdds if activation == "softmax" else Network
    return kind(compute_precisely(network.trunk), compute_precisely(network.head))


_choose_layer = functools.lru_cache(maxsize=16)(grad_cam_lib.choose_layer)


def share(values: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """The share of magnitude by lead and segment.

    Args:
        values: `[T, L]` of `attribute`.
        segments: `[T]` int8.

    Returns:
        `[L, 4]` float32: P, QRS, ST-T, elsewhere; together 1, or all 0 where all values are.
    """
    magnitude = np.abs(values).astype(np.float64)
    parts = [magnitude[segments == number].sum(axis=0) for number in (*range(1, 1 + len(SEGMENTS)), 0)]
    total = magnitude.sum()
    return (np.stack(parts, axis=1) / (total if total else 1)).astype(np.float32)
