"""What `predict` does with an array, as one function of JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from ecg_jax.errors import InputError
from ecg_jax.evaluation.calibration import Calibration
from ecg_jax.exporting.arrays import Plan
from ecg_jax.inference.model import Model
from ecg_jax.models import Network
from ecg_jax.models.outputs import Scale

_SINGLE = np.finfo(np.float32)
_LOWEST = float(scipy.special.logit(float(_SINGLE.tiny)))  # of logits: see `calibration`


def create(model: Model, plan: Plan) -> Callable[[jax.Array], jax.Array]:
    """The function from `[B, samples, 12]` float32, see `Plan.create_windows`, to probabilities `[B, labels]`.

    Probabilities are calibrated; numbers, of a model of numbers, are in their unit. Of windows they are means, or the
    largest where the model says so; NaN for a constant signal, or one without any of the contract's leads.

    Raises:
        InputError: when the model has no output layer.
    """
    if not model.label_names:
        raise InputError("the model has no output layer; it can embed, not predict")
    network, variables = _make_plain(model.network), model.variables
    is_largest = np.isin(model.label_names, model.largest)

    def predict(signal: jax.Array) -> jax.Array:
        windows, moves = plan.create_windows(signal)
        count, size, leads = windows.shape[1:]
        flat = windows.reshape(-1, size, leads)
        logits: Any = network.apply(variables, flat, index=jnp.zeros(1, jnp.int32))
        outputs = _finish(model, logits).reshape(-1, count, len(model.label_names))
        moved = moves[..., None]
        if count == 1:
            return jnp.where(moved, outputs, jnp.nan)[:, 0]
        mean = jnp.where(moved, outputs, 0).sum(axis=1) / moved.sum(axis=1)
        if not is_largest.any():
            return mean
        largest = jnp.where(moved, outputs, -jnp.inf).max(axis=1)
        return jnp.where(is_largest & moves.any(axis=1, keepdims=True), largest, mean)

    return predict


def _make_plain(network: Network) -> Network:
    """The network with convolutions that do not depend on the batch or on where it was exported."""
    trunk: Any = network.trunk
    if hasattr(trunk, "convolution"):
        trunk = trunk.clone(convolution="direct")
    return network.clone(trunk=trunk)


def _finish(model: Model, logits: jax.Array) -> jax.Array:
    """Calibrated probabilities, or numbers, of logits `[N, labels]`."""
    if model.scale is not None:
        scale = Scale(model.scale.mean.astype(np.float32), model.scale.deviation.astype(np.float32))
        raw = scale.restore(logits)
    elif model.activation == "softmax":
        raw = jax.nn.softmax(logits, axis=-1)
    else:
        return _calibrate(model.calibration, model.label_names, logits)
    if model.calibration is not None:
        raise InputError("outputs other than sigmoid's cannot be exported with a calibration")
    return raw


def _calibrate(calibration: Calibration | None, names: tuple[str, ...], logits: jax.Array) -> jax.Array:
    """What `Calibration.apply` does with probabilities, from their logits."""
    raw = jax.nn.sigmoid(logits)
    if calibration is None:
        return raw
    maps = [calibration.maps[name] for name in names]
    slope, intercept = (np.array([each.get(key, 0) for each in maps], np.float32) for key in ("slope", "intercept"))
    is_changed = np.array([("x" not in each) and (each["slope"], each["intercept"]) != (1, 0) for each in maps])
    found = jnp.where(is_changed, jax.nn.sigmoid(slope * _round(logits) + intercept), raw)
    is_stepped = np.array(["x" in each for each in maps])
    return jnp.where(is_stepped, _interpolate(maps, raw), found) if is_stepped.any() else found


def _round(logits: jax.Array) -> jax.Array:
    """Logits of probabilities in float32, which `predict` calibrates: near 1 these are 2**-24 apart."""
    unit = float(_SINGLE.epsneg)
    rest = jnp.maximum(jnp.round(jax.nn.sigmoid(-logits) / unit), 1) * unit
    return jnp.where(logits > 0, jnp.log1p(-rest) - jnp.log(rest), jnp.maximum(logits, _LOWEST))


def _interpolate(maps: list[Any], raw: jax.Array) -> jax.Array:
    """Isotonic maps as sums of ramps: those of other labels have none."""
    most = max(len(each.get("x", ())) for each in maps)
    x, y = np.zeros((2, len(maps), most + 1))
    for i, each in enumerate(maps):
        if "x" in each:
            x[i, : len(each["x"])], y[i, : len(each["x"])] = each["x"], each["y"]
            x[i, len(each["x"]) :], y[i, len(each["x"]) :] = each["x"][-1], each["y"][-1]
    rise, run = np.diff(y), np.diff(x)
    inverse = np.where(run > 0, 1 / np.where(run > 0, run, 1), 0).astype(np.float32)
    ramps = jnp.clip((raw[..., None] - x[:, :-1].astype(np.float32)) * inverse, 0, 1) * rise.astype(np.float32)
    return jnp.asarray(y[:, 0], jnp.float32) + ramps.sum(axis=-1)
