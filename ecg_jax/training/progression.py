"""What a run remembers besides its state, and what changes when it continues with another length."""

import dataclasses
import math
from typing import Any

from rich.console import Console

from ecg_jax.training import optimizers
from ecg_jax.training import setup as setup_lib
from ecg_jax.training.setup import Setup
from ecg_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a value has not improved: the record behind reduce-on-plateau and early stopping.

    Attributes:
        best: Lowest value so far.
        waited: Evaluations since then.
    """

    best: float = math.inf
    waited: int = 0

    def update(self, value: float, *, patience: int, min_delta: float) -> tuple["Patience", bool]:
        """Steps the record at one evaluation, as Keras' callbacks do.

        Args:
            value: Lower is better; NaN is no improvement.
            patience: Evaluations without improvement until it runs out; 0 for never.
            min_delta: What an improvement must exceed.

        Returns:
            The next record, and True when patience has run out.
        """
        if value < self.best - min_delta:
            return Patience(value, 0), False
        waited = self.waited + 1
        return Patience(self.best, waited), bool(patience) and waited >= patience


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

    def is_best(self, value: float, sign: float) -> bool:
        """Whether a value is the first, or better than all before it; `sign` makes lower better."""
        if self.best_step < 0 or math.isnan(self.best_value):
            return self.best_step < 0 or not math.isnan(value)
        return sign * value < sign * self.best_value


def end_early(progression: Progression, setup: Setup, step: int, console: Console) -> None:
    """Decides whether early stopping has ended the run, with the patience that is configured now."""
    patience, waited = setup.config.early_stopping.patience, progression.stopping.waited
    progression.is_stopped = bool(patience) and waited >= patience
    if progression.is_stopped and step < setup.total_steps:
        console.print(
            f"The run stopped early: no improvement in {waited} evaluations. It makes no more steps, however many "
            f"there may be; config.early_stopping.patience={2 * waited} (or 0, for never) lets it go on"
        )


def report_schedule(setup: Setup, before: int, state: TrainState, step: int, console: Console) -> None:
    """Reports how the learning rate continues where it depends on the run's length, and that has changed.

    Args:
        setup: Of the run as it continues.
        before: The run's length when the state was saved.
        state: The saved one.
        step: Its number.
        console: Where it is printed.
    """
    updates, config = optimizers.count_updates(state.opt_state), setup.config
    rates = [float(setup_lib.create_schedule(config, total)(updates)) for total in (before, setup.total_steps)]
    settings = config.schedule
    if before != setup.total_steps and (settings.name in ("cosine", "one_cycle") or settings.warmup_fraction):
        console.print(
            f"Learning rate: from step {step} on as schedule.name={settings.name} has it for {setup.total_steps} steps "
            f"({rates[1]:.2e} now); the steps made so far followed that for {before} ({rates[0]:.2e} now)"
        )
