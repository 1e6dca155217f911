"""The networks that the reference is compared with, by name: each is a trunk and a head of its own."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
from jax.typing import DTypeLike

from ecg_jax.errors import InputError
from ecg_jax.models.autoecg2d import AutoEcg2d, AutoEcg2dHead
from ecg_jax.models.heads import PooledHead
from ecg_jax.models.inception import Inception1d
from ecg_jax.models.wang import WangResNet1d
from ecg_jax.models.xresnet import XResNet1d


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A published network.

    Attributes:
        trunk: Signals to features.
        head: Features to logits.
        attributes: Of the trunk, where they are not its defaults.
    """

    trunk: type[nn.Module]
    head: type[nn.Module] = PooledHead
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


COMPARISONS = {
    "resnet1d_wang": Comparison(WangResNet1d),
    "xresnet1d50": Comparison(XResNet1d),
    "xresnet1d101": Comparison(XResNet1d, attributes={"stages": (3, 4, 23, 3)}),
    "inception1d": Comparison(Inception1d),
    "autoecg_2d": Comparison(AutoEcg2d, AutoEcg2dHead),
}


def create(
    name: str,
    *,
    num_labels: int,
    dtype: DTypeLike | None,
    convolution: str,
    axis_name: str | None,
    **trunk: Any,
) -> tuple[nn.Module, nn.Module]:
    """Builds trunk and head of a network.

    Args:
        name: One of `COMPARISONS`.
        num_labels: Independent outputs.
        dtype: Of the computation; None takes that of signal and parameters.
        convolution: One of `convolution.METHODS`.
        axis_name: Mapped axis to average BatchNorm's statistics over; None for none.
        trunk: Attributes of the trunk that replace those under `name`.

    Raises:
        InputError: on `fast` convolutions for a network that has none.
    """
    found = COMPARISONS[name]
    if convolution == "fast" and "convolution" not in found.trunk.__dataclass_fields__:
        raise InputError(f"model.convolution is 'fast', which there is not for {name}; set it to 'auto'")
    options = {"dtype": dtype, "convolution": convolution, "axis_name": axis_name}
    return (
        _build(found.trunk, options, **{**found.attributes, **trunk}),
        _build(found.head, options, num_labels=num_labels),
    )


def _build(module: type[nn.Module], options: Mapping[str, Any], **attributes: Any) -> nn.Module:
    """Passes of the options those that the module has: not each has convolutions or BatchNorms of its own."""
    return module(**attributes, **{key: value for key, value in options.items() if key in module.__dataclass_fields__})
