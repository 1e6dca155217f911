"""The reference network's layers: Keras' numbers and names, and Flax paths.

Keras numbers its layers 1 to 50 in the order of `model.layers`; "the first 5 layers" and "the 45th layer" of the
literature are these numbers. Names have another order: a unit's shortcut convolution was created before its first main
one, so `conv1d_1` is the shortcut (layer 11) and `conv1d_2` the convolution before it (layer 5).
"""

import dataclasses
from collections.abc import Sequence

_NUM_UNITS = 4


@dataclasses.dataclass(frozen=True)
class KerasLayer:
    """One row of the table."""

    number: int  # Keras' number, from 1
    keras_name: str  # its name in a file written by a fresh process; others add an offset
    kind: str  # `input`, `conv`, `norm`, `relu`, `dropout`, `pool`, `add`, `flatten` or `dense`
    flax_path: str | None = None  # path of the Flax module that holds its weights; None if it has none


def _name(stem: str, count: int) -> str:
    return stem if count == 0 else f"{stem}_{count}"


def create_table(num_units: int = _NUM_UNITS) -> tuple[KerasLayer, ...]:
    """Returns the layers of a network with `num_units` residual units, in Keras' order."""
    rows: list[tuple[str, str, str | None]] = [
        ("signal", "input", None),
        ("conv1d", "conv", "trunk/stem/conv"),
        ("batch_normalization", "norm", "trunk/stem/norm"),
        ("activation", "relu", None),
    ]
    for unit in range(num_units):
        path = f"trunk/unit{unit + 1}"
        shortcut, first, second = (_name("conv1d", 3 * unit + i) for i in (1, 2, 3))
        pool = (_name("max_pooling1d", unit), "pool", None)
        rows += [
            (first, "conv", f"{path}/conv1"),
            (_name("batch_normalization", 2 * unit + 1), "norm", f"{path}/norm1"),
            (_name("activation", 2 * unit + 1), "relu", None),
            (_name("dropout", 2 * unit), "dropout", None),
            pool,
            (second, "conv", f"{path}/conv2"),
            (shortcut, "conv", f"{path}/shortcut"),
            (_name("add", unit), "add", None),
            (_name("batch_normalization", 2 * unit + 2), "norm", f"{path}/norm2"),
            (_name("activation", 2 * unit + 2), "relu", None),
            (_name("dropout", 2 * unit + 1), "dropout", None),
        ]
    rows += [("flatten", "flatten", None), ("dense", "dense", "head/output")]
    return tuple(KerasLayer(number, *row) for number, row in enumerate(rows, start=1))


LAYERS = create_table()
TRANSFER_CUT = 45  # of autoECG: the last addition
FULL_CUT = LAYERS[-3].number  # 48, the last layer before the flattening
CUTS = (*(layer.number for layer in LAYERS if layer.kind == "add"), FULL_CUT)  # 12, 23, 34, 45, 48


def first_layers(n: int, layers: Sequence[KerasLayer] = LAYERS) -> tuple[str, ...]:
    """Flax paths of the weights among Keras' layers 1 to `n`."""
    return tuple(layer.flax_path for layer in layers if layer.number <= n and layer.flax_path)
