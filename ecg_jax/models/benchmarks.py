"""Published networks to compare the reference with, by name: each has its own trunk and head."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
from jax.typing import DTypeLike

from ecg_jax.errors import InputError
from ecg_jax.models.age_resnet import AgeResNet1d
from ecg_jax.models.autoecg2d import AutoEcg2d, AutoEcg2dHead
from ecg_jax.models.chagas_inception import ChagasInception
from ecg_jax.models.ecg_fm import EcgFm, EcgFmHead
from ecg_jax.models.heads import DenseHead, MeanHead, PooledHead
from ecg_jax.models.inception import Inception1d
from ecg_jax.models.net1d import Net1d
from ecg_jax.models.wang import WangResNet1d
from ecg_jax.models.xresnet import XResNet1d


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A published network."""

    trunk: type[nn.Module]  # signals to features
    head: type[nn.Module] = PooledHead  # features to logits
    # Of the trunk, where they are not its defaults.
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


COMPARISONS = {
    "resnet1d_wang": Benchmark(WangResNet1d),
    "xresnet1d50": Benchmark(XResNet1d),
    "xresnet1d101": Benchmark(XResNet1d, attributes={"stages": (3, 4, 23, 3)}),
    "inception1d": Benchmark(Inception1d),
    "autoecg_2d": Benchmark(AutoEcg2d, AutoEcg2dHead),
    "ecgfounder": Benchmark(Net1d, MeanHead),
    "ecg_age": Benchmark(AgeResNet1d, DenseHead),
    "chagas_inception": Benchmark(ChagasInception, MeanHead),
    "ecg_fm": Benchmark(EcgFm, EcgFmHead),
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
    """Builds trunk and head of one of `COMPARISONS`; see `network.create` for the arguments.

    Raises:
        InputError: on `fast` convolutions for a network without such.
    """
    found = COMPARISONS[name]
    if convolution == "fast" and "convolution" not in found.trunk.__dataclass_fields__:
        raise InputError(f"model.convolution is 'fast', which {name} does not support; set it to 'auto'")
    options = {"dtype": dtype, "convolution": convolution, "axis_name": axis_name}
    return (
        _build(found.trunk, options, **{**found.attributes, **trunk}),
        _build(found.head, options, num_labels=num_labels),
    )


def _build(module: type[nn.Module], options: Mapping[str, Any], **attributes: Any) -> nn.Module:
    """Passes the options that the module has: not every one has convolutions or BatchNorms of its own."""
    return module(**attributes, **{key: value for key, value in options.items() if key in module.__dataclass_fields__})
