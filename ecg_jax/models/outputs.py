"""The output layer: the only one whose arrays have an entry per label, so they are transferred by label."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecg_jax.errors import InputError

OUTPUT = "head/output"  # of every network and head
PATHS = (f"params/{OUTPUT}/kernel", f"params/{OUTPUT}/bias")  # [inputs, labels] and [labels]


def rearrange(
    stored: Mapping[str, np.ndarray], stored_labels: Sequence[str], own: Mapping[str, Any], labels: Sequence[str]
) -> dict[str, np.ndarray]:
    """Arranges stored weights for a network with other labels, or with these in another order.

    Args:
        stored: Arrays by path.
        stored_labels: Of their outputs, in order.
        own: The network's arrays by path, freshly drawn; its outputs without a stored label keep theirs.
        labels: Of the network's outputs, in order.

    Returns:
        Arrays like `stored`, those in `PATHS` with an entry per label of `labels`. One whose other dimension differs
        from that of `own` is unchanged. `InputError` if the numbers of outputs and labels differ.
    """
    places = [(i, list(stored_labels).index(name)) for i, name in enumerate(labels) if name in stored_labels]
    to, come_from = map(list, zip(*places, strict=True)) if places else ([], [])
    found = dict(stored)
    for path in PATHS:
        if path not in stored or path not in own or stored[path].shape[:-1] != own[path].shape[:-1]:
            continue
        if stored[path].shape[-1] != len(stored_labels):
            raise InputError(f"{path} has {stored[path].shape[-1]} outputs for the labels {', '.join(stored_labels)}")
        found[path] = np.array(own[path])
        found[path][..., to] = stored[path][..., come_from]
    return found
