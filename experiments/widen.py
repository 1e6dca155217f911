r"""Widens weights that ship into a network that computes the same, to be trained further.

  python experiments/widen.py --weights=simulated --width=1.5 --output=runs/wide
  python -m ecg_jax.main --config=configs/pretrain.py --config.model.name=narrow --config.model.variant.width=1.5 \
      --config.init.weights=runs/wide --config.init.exclude='()'

Net2WiderNet (Chen, Goodfellow and Shlens 2016, arXiv:1511.05641) for the residual network: channels of a layer are
repeated at random, and the weights by which the next layers take them are shared out among the copies, unevenly, so
that training tells them apart. Channels that meet in a sum are repeated alike. `--output` becomes a run folder of step
0; the largest difference of a probability on simulated ECGs is printed.
"""

import argparse
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import jax  # noqa: E402
from ship_weights import compare  # noqa: E402

from ecg_jax import config as config_lib  # noqa: E402
from ecg_jax import models  # noqa: E402
from ecg_jax import pretrained as shipped  # noqa: E402
from ecg_jax.inference.model import load_model  # noqa: E402
from ecg_jax.models import weights as weights_lib  # noqa: E402
from ecg_jax.runtime import checkpoint, run_folder  # noqa: E402


class Space:
    """Channels before and after widening: which one each copy repeats, and its share of what they give together."""

    def __init__(self, rng: np.random.Generator, before: int, after: int) -> None:
        self.copied = np.concatenate([np.arange(before), rng.choice(before, after - before)])
        weight = rng.uniform(0.5, 1.5, after)
        self.share = weight / np.bincount(self.copied, weight)[self.copied]

    def give(self, array: np.ndarray) -> np.ndarray:
        """Repeats the last axis."""
        return array[..., self.copied]

    def take(self, kernel: np.ndarray) -> np.ndarray:
        """Shares out the axis before the last."""
        return kernel[..., self.copied, :] * self.share[:, None]


def widen(
    weights: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Weights of the wider network: arrays by path, as `weights`; `shapes` are the wider network's."""

    def create_space(layer: str) -> Space:
        path = f"params/trunk/{layer}/kernel"
        return Space(rng, weights[path].shape[-1], shapes[path][-1])

    wide: dict[str, np.ndarray] = {}

    def convert(layer: str, before: Space | None, after: Space) -> None:
        path = f"params/trunk/{layer}/kernel"
        kernel = before.take(weights[path]) if before else weights[path]
        wide[path] = after.give(kernel)

    def repeat(layer: str, space: Space) -> None:
        wide.update(
            {path: space.give(weights[path]) for path in weights if path.split("/", 1)[1].startswith(f"trunk/{layer}/")}
        )

    before = create_space("stem/conv")
    convert("stem/conv", None, before)
    repeat("stem/norm", before)
    units = sorted({path.split("/")[2] for path in weights if path.startswith("params/trunk/unit")})
    for unit in units:
        inner, after = create_space(f"{unit}/conv1"), create_space(f"{unit}/conv2")
        convert(f"{unit}/conv1", before, inner)
        repeat(f"{unit}/norm1", inner)
        convert(f"{unit}/conv2", inner, after)
        convert(f"{unit}/shortcut", before, after)
        repeat(f"{unit}/norm2", after)
        before = after
    kernel = weights["params/head/output/kernel"]
    by_channel = kernel.reshape(-1, len(np.unique(before.copied)), kernel.shape[-1])
    wide["params/head/output/kernel"] = before.take(by_channel).reshape(-1, kernel.shape[-1])
    wide["params/head/output/bias"] = weights["params/head/output/bias"]
    return wide


def main() -> None:
    """Widens, writes, compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=shipped.SIMULATED, choices=sorted(set(shipped.FILES.values())))
    parser.add_argument("--width", type=float, default=1.5, help="factor of the number of channels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", required=True, help="run folder, new")
    options = parser.parse_args()
    found = shipped.read(options.weights)
    config = config_lib.create_default()
    config.model.update(found.model)
    config.model.variant.width *= options.width
    config.contract.update(found.contract)
    network = models.create(**config.model, num_labels=len(found.labels))
    own = models.shapes(network, (config.contract.samples, len(config.contract.leads)))
    arrays = widen(
        {path: np.asarray(array, np.float32) for path, array in found.arrays.items()},
        {path: leaf.shape for path, leaf in weights_lib.flatten(own).items()},
        np.random.default_rng(options.seed),
    )
    variables = jax.tree.map(jax.numpy.asarray, weights_lib.merge(own, arrays, source=options.weights))
    os.makedirs(options.output)
    run_folder.write_json(os.path.join(options.output, run_folder.CONFIG), config_lib.to_dict(config))
    run_folder.write_json(os.path.join(options.output, run_folder.CONTRACT), found.contract)
    with checkpoint.Checkpoints(os.path.join(options.output, run_folder.CHECKPOINTS)) as checkpoints:
        checkpoints.save(checkpoint.BEST, 0, variables, {"contract": found.contract, "labels": list(found.labels)})
        checkpoints.wait()
    print(f"Written: {options.output}, {models.count_weights(variables):,} numbers")
    difference = compare(load_model(options.weights), load_model(options.output))
    print(f"Largest difference of a probability: {difference:.2g}")


if __name__ == "__main__":
    main()
