"""Keys of a configuration whose value is a name, and their choices; a wrong one is refused before data is read."""

import difflib
from collections.abc import Collection, Mapping

from ml_collections import ConfigDict

from ecg_jax import config as config_lib
from ecg_jax import contract, models
from ecg_jax.data import datasets, sampling, sources, splits
from ecg_jax.data.datasets import simulated
from ecg_jax.errors import InputError
from ecg_jax.evaluation import settings, thresholds
from ecg_jax.models import convolution, heads, network
from ecg_jax.recording import CHECKS
from ecg_jax.runtime import parallel
from ecg_jax.training import optimizers

MONITORS = {"loss": 1.0, "auroc": -1.0, "average_precision": -1.0}  # sign that makes lower better
CHOICES: Mapping[str, Collection[str]] = {
    "data.dataset": datasets.DATASETS,
    "data.checks": CHECKS,
    "data.sampling": sampling.SAMPLINGS,
    "data.crop": sampling.CROPS,
    "data.mode": sources.MODES,
    "data.simulated.population": simulated.POPULATIONS,
    "split.by": splits.WAYS,
    "split.leaks": (splits.REFUSE, splits.DROP),
    "contract.normalization": contract.NORMALIZATIONS,
    "model.name": (*models.TRUNKS, *models.COMPARISONS),
    "model.head": models.HEADS,
    "model.dtype": network.DTYPES,
    "model.convolution": convolution.METHODS,
    "model.transfer.normalization": heads.NORMALIZATIONS,
    "optimizer.name": optimizers.OPTIMIZERS,
    "schedule.name": optimizers.SCHEDULES,
    "schedule.batch_scaling": optimizers.BATCH_SCALINGS,
    "checkpoint.monitor": MONITORS,
    "evaluation.calibration": settings.CALIBRATIONS,
    "parallel.mode": parallel.MODES,
}


def check(config: ConfigDict) -> None:
    """Raises `InputError` on a name that there is not, listing those there are."""
    values = dict(config_lib.flatten(config))
    for key, known in CHOICES.items():
        if values[key] not in known:
            close = difflib.get_close_matches(values[key], known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"{key} is {values[key]!r}; known: {', '.join(known)}{hint}")
    contract.InputContract(leads=tuple(config.contract.leads))
    thresholds.parse_rule(config.evaluation.threshold_rule)
