"""What the command that trains next needs to know of a data set that was prepared or built."""

import contextlib

from ecg_jax.data import datasets
from ecg_jax.errors import InputError
from ecg_jax.kinds import FINDING

_FEW = 8  # labels that a command names


def choose_labels(dataset: str, source: str, wanted: str, kind: str = FINDING) -> str:
    """A value of `data.labels` that a data set has: `wanted`, or else its own; empty where it has none."""
    for labels in (wanted, "all"):
        with contextlib.suppress(InputError):
            found = datasets.open_source(dataset, source=source, labels=labels, seed=0, options={}, kind=kind)
            if found.label_names:
                is_short = labels == "all" and len(found.label_names) <= _FEW
                return ",".join(found.label_names) if is_short else labels
    return ""
