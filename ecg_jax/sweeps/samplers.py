"""How a search draws its next point: Optuna's samplers.

CMA-ES keeps its state in the study as a pickle, and a study may come from anyone: unpickling would run whatever code
its bytes name. Here they can name the numbers of that state alone.
"""

import io
import pickle
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from ecg_jax.errors import InputError

SAMPLERS = ("random", "tpe", "cmaes")

_NUMBERS = {("cmaes._cma", "CMA"), ("numpy", "dtype"), ("numpy", "ndarray")}
_NUMBERS |= {(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")}


def create(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of a name in `SAMPLERS`."""
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "cmaes":
        return _CmaEs(seed=seed, warn_independent_sampling=False)
    return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed)


class _CmaEs(optuna.samplers.CmaEsSampler):
    """Restores its state as numbers alone."""

    def _restore_optimizer(self, completed_trials: Sequence[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            parts = [key for key in trial.system_attrs if key.startswith(self._attr_key_optimizer)]
            if parts:
                return _load(self._concat_optimizer_attrs({key: trial.system_attrs[key] for key in parts}))
        return None


def _load(text: str) -> Any:
    try:
        return _Unpickler(io.BytesIO(bytes.fromhex(text))).load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle raises anything
        raise InputError(f"the study's state of CMA-ES is damaged ({type(error).__name__}); take tpe") from error


class _Unpickler(pickle.Unpickler):
    """See "Restricting Globals" in the documentation of `pickle`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NUMBERS:
            raise InputError(
                f"the study's state of CMA-ES names {module}.{name}, which is no part of such a state: somebody else "
                "put it there; do not trust this study"
            )
        return super().find_class(module, name)
