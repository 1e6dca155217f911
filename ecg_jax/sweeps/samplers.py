"""How a search draws its next point."""

import math
from collections.abc import Mapping
from typing import Any

import cmaes
import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

SAMPLERS = ("random", "tpe", "cmaes")


def create(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of a name in `SAMPLERS`."""
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "cmaes":
        return _CmaEs(seed)
    return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed)


class _CmaEs(optuna.samplers.BaseSampler):
    """CMA-ES on the unit cube, from all finished trials again for every draw.

    Optuna's own keeps its state in the study as a pickle, and a study may come from anyone: unpickling would run
    any code that its bytes name.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._independent = optuna.samplers.RandomSampler(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The numbers that all finished trials have; the other keys are drawn at random."""
        common = optuna.search_space.intersection_search_space(study.get_trials(deepcopy=False))
        numbers: dict[str, BaseDistribution] = {
            key: drawn
            for key, drawn in common.items()
            if isinstance(drawn, FloatDistribution | IntDistribution) and not drawn.single()
        }
        return numbers if len(numbers) > 1 else {}  # CMA-ES needs two dimensions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next point."""
        if not search_space:
            return {}
        count = len(search_space)
        optimizer = cmaes.CMA(
            mean=np.full(count, 0.5),
            sigma=1 / 6,
            bounds=np.tile((0.0, 1.0), (count, 1)),
            seed=self._seed + trial.number,
        )
        sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        results = [
            (
                np.array([_to_unit(drawn, each.params[key]) for key, drawn in search_space.items()]),
                sign * each.values[0],
            )
            for each in finished
        ]
        size = optimizer.population_size
        for begin in range(0, len(results) - size + 1, size):
            optimizer.tell(results[begin : begin + size])
        return {
            key: _from_unit(drawn, u) for (key, drawn), u in zip(search_space.items(), optimizer.ask(), strict=True)
        }

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of a key that is not part of the point."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)


def _find_ends(drawn: Any) -> tuple[float, float]:
    """The values of 0 and 1; steps have equal shares of the interval."""
    half = (drawn.step or 0) / 2
    low, high = drawn.low - half, drawn.high + half
    return (math.log(low), math.log(high)) if drawn.log else (low, high)


def _to_unit(drawn: Any, value: float) -> float:
    low, high = _find_ends(drawn)
    return ((math.log(value) if drawn.log else value) - low) / (high - low)


def _from_unit(drawn: Any, unit: float) -> float:
    low, high = _find_ends(drawn)
    value = low + unit * (high - low)
    value = math.exp(value) if drawn.log else value
    if drawn.step:
        value = drawn.low + drawn.step * round((value - drawn.low) / drawn.step)
    value = min(max(value, drawn.low), drawn.high)
    return int(value) if isinstance(drawn, IntDistribution) else float(value)
