"""Automatic diagnosis of the 12-lead ECG with JAX and Flax.

For a notebook: `ecg_jax.read(path)` gives the `Recording` of a file of any known format, in
millivolts; `ecg_jax.load_model()` the network that ships, `ecg_jax.load_model(path)` one of yours,
with its input contract and labels. `load_model().predict(read(path))` gives its probabilities, `[1, labels]`,
`load_model().embed(read(path))` what its trunk computes, `[1, D]`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecg_jax.data.readers import read
    from ecg_jax.inference.model import load_model

__all__ = ["load_model", "read"]

_HOMES = {"read": "ecg_jax.data.readers", "load_model": "ecg_jax.inference.model"}


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for: importing the package itself stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"ecg_jax has no {name}; it has {', '.join(__all__)}, and its modules")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
