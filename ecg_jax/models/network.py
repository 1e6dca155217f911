"""A trunk and a head, and the registry that builds them by name."""

from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ecg_jax.errors import InputError
from ecg_jax.models import benchmarks
from ecg_jax.models.benchmarks import COMPARISONS
from ecg_jax.models.convolution import METHODS
from ecg_jax.models.heads import DenseHead, TransferHead
from ecg_jax.models.keras_layers import CUTS, FULL_CUT, TRANSFER_CUT
from ecg_jax.models.resnet import ResNet1d

# Trunks of the reference's kind by name. `reference` is the published network; `narrow` has a quarter of its
# channels, for a CPU. Only these have Keras' layers, cuts and weights.
TRUNKS: dict[str, dict[str, Any]] = {
    "reference": {"stem_filters": 64, "filters": (128, 196, 256, 320)},
    "narrow": {"stem_filters": 16, "filters": (32, 48, 64, 80)},
}
AS_PUBLISHED: dict[str, Any] = {"kernel_size": 16, "width": 1.0, "units": 4, "preactivation": True}  # of `vary`
HEADS = {"dense": DenseHead, "transfer": TransferHead}
DTYPES: dict[str, DTypeLike | None] = {"float32": None, "bfloat16": jnp.bfloat16}


class Network(nn.Module):
    """Signals to logits."""

    trunk: nn.Module  # signals to features
    head: nn.Module  # features to logits

    def __call__(self, signal: jax.Array, *, index: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to logits `[B, labels]`, float32 at least.

        Args:
            signal: In the unit of the input contract.
            index: `[B]` int, tells examples apart where dropout draws masks; 0..B-1 if None.
            train: Use batch statistics and dropout (needs the rng `dropout`).
        """
        index = jnp.arange(len(signal)) if index is None else index
        logits = self.head(self.trunk(signal, index, train), index, train)
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def create(
    name: str,
    *,
    head: str,
    num_labels: int,
    dropout_rate: float = 0.2,
    transfer: Mapping[str, Any] | None = None,
    dtype: str = "float32",
    convolution: str = "auto",
    checkpoint_activations: bool = False,
    axis_name: str | None = None,
    variant: Mapping[str, Any] | None = None,
    trunk: Mapping[str, Any] | None = None,
) -> Network:
    """Builds a network.

    Args:
        name: One of `TRUNKS` or `COMPARISONS`.
        head: `dense`, the one that the network was published with (for `TRUNKS` after layer 48), or
            `transfer` (after `transfer["cut"]`, 45 in autoECG), for `TRUNKS` alone.
        num_labels: Independent outputs.
        dropout_rate: In the residual units of `TRUNKS`; `COMPARISONS` have published rates, in their heads.
        transfer: `cut` and the attributes of `TransferHead`.
        dtype: Of the computation, `float32` or `bfloat16`; parameters are float32.
        convolution: See `convolution.convolve`.
        checkpoint_activations: See `layers.Trunk`.
        axis_name: See `layers.Trunk`.
        variant: Arguments of `vary`, for `TRUNKS`; with the head `transfer` its `width` alone.
        trunk: Attributes of the trunk that replace those under `name`.

    Raises:
        InputError: on an unknown name, a cut that is none, or what the named network does not have.
    """
    known: dict[str, Collection[str]] = {
        "name": (*TRUNKS, *COMPARISONS),
        "head": HEADS,
        "dtype": DTYPES,
        "convolution": METHODS,
    }
    for key, value in {"name": name, "head": head, "dtype": dtype, "convolution": convolution}.items():
        if value not in known[key]:
            raise InputError(f"model.{key} is {value!r}; known: {', '.join(known[key])}")
    shared: dict[str, Any] = {"dtype": DTYPES[dtype]}
    replaced = dict(trunk or {}) | {"checkpoint_activations": checkpoint_activations}
    is_varied = dict(variant or AS_PUBLISHED) != AS_PUBLISHED
    is_only_wider = {**dict(variant or AS_PUBLISHED), "width": 1.0} == AS_PUBLISHED  # with Keras' layers and cuts
    if is_varied and (name in COMPARISONS or (head != "dense" and not is_only_wider)):
        raise InputError(
            f"model.variant changes the networks {', '.join(TRUNKS)} with model.head=dense, and with transfer their "
            f"width alone, not {name} with {head}; leave it as it is"
        )
    common: dict[str, Any] = {"convolution": convolution, "axis_name": axis_name, **shared}
    if name in COMPARISONS:
        if head != "dense":
            raise InputError(
                f"model.head is {head!r}, which cuts the trunk of {', '.join(TRUNKS)}; {name} has a head of its own: "
                "set it to 'dense'"
            )
        return Network(*benchmarks.create(name, num_labels=num_labels, **common, **replaced))
    options = {"cut": TRANSFER_CUT} | dict(transfer or {}) if head == "transfer" else {"cut": FULL_CUT}
    cut = options.pop("cut")
    if cut not in CUTS:
        raise InputError(f"model.transfer.cut is {cut}; a trunk can be cut after layer {', '.join(map(str, CUTS))}")
    if head == "transfer":
        options |= {"axis_name": axis_name}
    varied = vary(TRUNKS[name], **variant) if is_varied and variant else TRUNKS[name]
    features = ResNet1d(**varied | replaced, dropout_rate=dropout_rate, cut=cut, **common)
    return Network(trunk=features, head=HEADS[head](num_labels=num_labels, **options, **shared))


def vary(
    trunk: Mapping[str, Any], *, kernel_size: int, width: float, units: int, preactivation: bool
) -> dict[str, Any]:
    """Attributes of another trunk of the reference's kind, to measure the effect of its choices.

    `width` is a factor of its channels. Each of `units` (published: 4) shortens time to a quarter; further ones are as
    wide as the last. `InputError` on a number that leaves nothing.
    """
    wide = [round(width * channels) for channels in (trunk["stem_filters"], *trunk["filters"])]
    if kernel_size < 1 or not 1 <= units <= 6 or min(wide) < 1:
        raise InputError(
            f"model.variant: kernel_size {kernel_size} must be at least 1, units {units} 1 to 6, width {width} leave "
            "channels"
        )
    stem, *rest = wide
    filters = tuple([*rest, *[rest[-1]] * units][:units])
    return {"stem_filters": stem, "filters": filters, "kernel_size": kernel_size, "preactivation": preactivation}


def init(network: Network, rng: jax.Array, shape: tuple[int, int]) -> dict[str, Any]:
    """Draws variables `{"params": ..., "batch_stats": ...}`, float32, for examples of `(samples, leads)`."""
    variables = jax.jit(lambda key: network.init(key, jnp.zeros((1, *shape), jnp.float32)))(rng)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


def shapes(network: Network, shape: tuple[int, int]) -> dict[str, Any]:
    """The shapes and dtypes of a network's variables, for examples of `(samples, leads)`; computes nothing."""
    return jax.eval_shape(lambda: init(network, jax.random.key(0), shape))


def count_weights(variables: Any) -> int:
    """Number of scalars in a tree, as Keras counts a model's parameters (statistics included)."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables))
