"""What a run remembers besides its state, and what becomes of it when the run goes on with another length."""

import dataclasses
import math
from typing import Any

from rich.console import Console

from ecg_jax.training import optimizers
from ecg_jax.training import setup as setup_lib
from ecg_jax.training.patience import Patience
from ecg_jax.training.setup import Setup
from ecg_jax.training.state import TrainState


@dataclasses.dataclass
class Progression:
    """What a run remembers besides its state; a checkpoint's records.

    Attributes:
        best_value: Of the monitored metric.
        best_step: Where it was reached; -1 before the first evaluation.
        plateau: Record behind the learning rate's reductions.
        stopping: Record behind early stopping.
        is_stopped: Early stopping has ended the run.
        is_evaluation_due: A signal came before the evaluation of this step had ended.
    """

    best_value: float = math.nan
    best_step: int = -1
    plateau: Patience = dataclasses.field(default_factory=Patience)
    stopping: Patience = dataclasses.field(default_factory=Patience)
    is_stopped: bool = False
    is_evaluation_due: bool = False

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Progression":
        """The reverse of `dataclasses.asdict`."""
        return cls(**values | {key: Patience(**values[key]) for key in ("plateau", "stopping")})


def end_early(progression: Progression, setup: Setup, step: int, console: Console) -> Progression:
    """Whether early stopping has ended the run, by the patience that it has now."""
    patience, waited = setup.config.early_stopping.patience, progression.stopping.waited
    is_stopped = bool(patience) and waited >= patience
    if is_stopped and step < setup.total_steps:
        console.print(
            f"The run stopped early: no improvement in {waited} evaluations. It makes no more steps, however many "
            f"there may be; config.early_stopping.patience={2 * waited} (or 0, for never) lets it go on"
        )
    return dataclasses.replace(progression, is_stopped=is_stopped)


def tell_schedule(setup: Setup, before: int, state: TrainState, step: int, console: Console) -> None:
    """Says how the learning rate goes on, where its schedule follows from the length of the run, and that has changed.

    Args:
        setup: Of the run as it goes on.
        before: Steps that it was to have when the state was saved.
        state: That was saved.
        step: Its number.
        console: Where it is said.
    """
    updates, config = optimizers.count_updates(state.opt_state), setup.config
    rates = [float(setup_lib.create_schedule(config, total)(updates)) for total in (before, setup.total_steps)]
    settings = config.schedule
    if before != setup.total_steps and (settings.name in ("cosine", "one_cycle") or settings.warmup_fraction):
        console.print(
            f"Learning rate: from step {step} on as schedule.name={settings.name} has it for {setup.total_steps} steps "
            f"({rates[1]:.2e} now); the steps made so far followed that for {before} ({rates[0]:.2e} now)"
        )
