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
    def arguments(self) -> tuple[Apply, Any, np.ndarray, int]:
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


class Attribution(NamedTuple):
    """What a method finds."""

    values: np.ndarray  # `[B, T, L]` float32, see `explain`
    missing: np.ndarray | None = None  # `[B]`, see `attribution.find_missing`; of integrated gradients
    half_widths: np.ndarray | None = None  # `[B, T, L]` of 95 % intervals, spread as the values; of Shapley values


def _integrate(given: Input, baseline: np.ndarray | None = None) -> Attribution:
    baseline = np.zeros_like(given.signal) if baseline is None else baseline
    values = np.asarray(attribution.integrated_gradients(*given.arguments, baseline, steps=STEPS))
    return Attribution(values, attribution.find_missing(*given.arguments, baseline, values))


def _integrate_from_lowpass(given: Input) -> Attribution:
    return _integrate(given, attribution.create_lowpass_baseline(given.signal, given.sampling_rate))


def _smooth(given: Input) -> Attribution:
    rng = jax.random.key(given.seed)
    return Attribution(np.asarray(attribution.smooth_gradient(*given.arguments, rng, noise=NOISE, samples=SAMPLES)))


def _find_times(given: Input) -> Attribution:
    samples, leads = given.signal.shape[1:]
    layer = _choose_layer(given.network, (samples, leads), LAYER_STEP * given.sampling_rate)
    found = grad_cam_lib.grad_cam(given.network, given.variables, given.signal, given.output, layer)
    return Attribution(np.asarray(found))


def _occlude(given: Input) -> Attribution:
    return Attribution(removal.spread(occlusion.occlude(*given.arguments, given.segments), given.segments))


def _share_out(given: Input) -> Attribution:
    found = shapley.sample(*given.arguments, given.segments, pairs=PAIRS, seed=given.seed)
    values, half_widths = (removal.spread(each, given.segments) for each in (found.value, found.half_width))
    return Attribution(values, half_widths=half_widths)


METHODS: dict[str, Callable[[Input], Attribution]] = {
    "integrated_gradients": _integrate,
    "integrated_gradients_lowpass": _integrate_from_lowpass,
    "smooth_gradient": _smooth,
    "grad_cam": _find_times,
    "occlusion": _occlude,
    "shapley": _share_out,
}
DEFAULT = "integrated_gradients"


def attribute(
    method: str,
    network: Network,
    variables: Any,
    signal: np.ndarray,
    output: int,
    segments: np.ndarray,
    **how: Any,
) -> np.ndarray:
    """The values of `explain` alone, `[B, T, L]` float32."""
    return explain(method, network, variables, signal, output, segments, **how).values


def explain(
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
) -> Attribution:
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
        The values, in units of the logit, positive where the signal speaks for the label; and how exact they are.

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
    return METHODS[method](given)


@functools.lru_cache(maxsize=16)
def _simplify(network: Network, activation: str) -> Network:
    """The same object for equal networks, so that they share compilations: in float32, keeping activations."""

    def compute_precisely(module: nn.Module) -> nn.Module:
        return module.clone(dtype=None) if hasattr(module, "dtype") else module

    network = features.keep_activations(network)
    kind = LogOdds if activation == "softmax" else Network
    return kind(compute_precisely(network.trunk), compute_precisely(network.head))


_choose_layer = functools.lru_cache(maxsize=16)(grad_cam_lib.choose_layer)


def share(values: np.ndarray, segments: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
    """The share of magnitude by lead and segment.

    Args:
        values: `[T, L]` of `attribute`.
        segments: `[T]` int8.
        of: `[T, L]`, whose magnitude is the whole; by default the values.

    Returns:
        `[L, 4]` float32: P, QRS, ST-T, elsewhere; together 1, or all 0 where all values are.
    """
    magnitude = np.abs(values).astype(np.float64)
    parts = [magnitude[segments == number].sum(axis=0) for number in (*range(1, 1 + len(SEGMENTS)), 0)]
    total = np.abs(values if of is None else of).sum(dtype=np.float64)
    return (np.stack(parts, axis=1) / (total if total else 1)).astype(np.float32)
