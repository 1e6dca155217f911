"""Variables of a network without compiling their initialization, which takes seconds."""

import numpy as np

from ecg_jax import models
from ecg_jax.models import weights as weights_lib


def draw(network: models.Network, shape: tuple[int, int], seed: int = 0) -> dict:
    """Kernels after He; every scale and variance 1, every bias and mean 0."""
    rng = np.random.default_rng(seed)

    def fill(path: str, leaf) -> np.ndarray:
        if path.endswith("kernel"):
            return rng.normal(0, np.sqrt(2 * leaf.shape[-1] / leaf.size), leaf.shape).astype(np.float32)
        return np.full(leaf.shape, path.endswith(("scale", "var")), np.float32)

    shapes = weights_lib.flatten(models.shapes(network, shape))
    return weights_lib.unflatten({path: fill(path, leaf) for path, leaf in shapes.items()})
