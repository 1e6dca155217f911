"""Trains what a configuration describes, and evaluates it. All the I/O of training is here."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.data import input_pipeline
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.sources import Batch
from ecg_jax.kinds import HIGHER_IS_BETTER, SCORES
from ecg_jax.runtime import checkpoint, hardware, preemption, run_folder
from ecg_jax.runtime.heartbeat import Heartbeat
from ecg_jax.runtime.metric_writer import MetricWriter
from ecg_jax.runtime.profile import CHECKPOINTING, COMPILING, EVALUATING, INPUT, TRAINING, VALIDATING, StepClock, Trace
from ecg_jax.runtime.progress import show_progress
from ecg_jax.training import final_evaluation
from ecg_jax.training import setup as setup_lib
from ecg_jax.training.announcement import announce
from ecg_jax.training.prediction import Stopped, name_recordings, predict
from ecg_jax.training.progression import Progression, end_early, report_schedule
from ecg_jax.training.setup import Setup
from ecg_jax.training.state import TrainState, Window
from ecg_jax.training.step_log import StepLog

_TITLES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
    "pearson": "Pearson",
}
# Receives the number of an evaluation, from 1, and the validation scores; an exception that it raises ends the run.
Report = Callable[[int, Mapping[str, float]], None]


class Interrupted(Exception):
    """A signal asked the run to stop; its state is saved and the same command continues it."""


def train_and_evaluate(
    config: ConfigDict,
    workdir: str,
    console: Console,
    dataset: Dataset | None = None,
    *,
    profile: bool = False,
    report: Report | None = None,
) -> dict[str, Any]:
    """Trains, or continues, the run in a folder; then evaluates its best checkpoint on the test split.

    Args:
        config: See `config.create_default`.
        workdir: The run folder.
        console: Where progress is shown.
        dataset: Its data, not yet split, where the caller has opened it.
        profile: Whether some steps are traced; see `runtime.profile.Trace`.
        report: Called after every evaluation.

    Returns:
        What `result.json` holds.

    Raises:
        InputError: on bad settings or data, an unwritable checkpoint, a non-finite loss, a device
            whose memory is too small, another process in the folder.
        Interrupted: after SIGTERM or Ctrl-C, once the state is saved.
    """
    config_lib.check(config)
    with run_folder.hold(workdir, console):
        setup, state = setup_lib.create(config, workdir, console=console, dataset=dataset)
        announce(setup, state, console)
        clock = StepClock()
        heartbeat = Heartbeat(workdir, clock, stall_warning=config.runtime.stall_warning)
        with _explaining_out_of_memory(config, state), heartbeat:
            with checkpoint.Checkpoints(os.path.join(workdir, run_folder.CHECKPOINTS)) as checkpoints:
                _train(_Run(setup, state, checkpoints, clock, console, report), profile)
                checkpoints.wait()
            return _evaluate_best(setup, clock, console)


@contextlib.contextmanager
def _explaining_out_of_memory(config: ConfigDict, state: TrainState) -> Iterator[None]:
    state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        device = jax.local_devices()[0]
        explained = hardware.explain_out_of_memory(
            error,
            batch_size=config.train.batch_size,
            accumulate=config.train.accumulate,
            state_bytes=state_bytes,
            stats=device.memory_stats(),
            devices=jax.device_count(),
            device_kind=device.device_kind,
        )
        raise explained or error from error


def _evaluate_best(setup: Setup, clock: StepClock, console: Console) -> dict[str, Any]:
    clock.enter(EVALUATING)
    step, variables, _, passed_over = checkpoint.read_best(os.path.join(setup.workdir, run_folder.CHECKPOINTS))
    for line in passed_over:
        console.print(f"warning: {line}; the best before it, of step {step}, is evaluated", style="yellow")
    variables = setup.parallel.replicate(variables)
    predicted = {
        name: predict(
            setup, variables, setup.examples.dataset.indices(name), f"evaluating {name}", console, clock=clock
        )
        for name in ("validation", "test")
    }
    return final_evaluation.write(setup, predicted, best_step=step, console=console)


class _Run:
    """A run while it trains; it continues from its last checkpoint, if there is one."""

    def __init__(
        self,
        setup: Setup,
        state: TrainState,
        checkpoints: checkpoint.Checkpoints,
        clock: StepClock,
        console: Console,
        report: Report | None,
    ) -> None:
        self.setup, self.checkpoints, self.clock, self.console = setup, checkpoints, clock, console
        self._report = report
        data, train = setup.config.data, setup.config.train
        self.batches = input_pipeline.create_train_iterator(
            setup.examples,
            setup.order,
            setup.parallel,
            steps_per_call=train.steps_per_call,
            threads=data.threads,
            workers=data.workers,
        )
        self.state, self.step, self.progression = state, 0, Progression()
        self._restore()
        self._compiled = False
        self.writer = MetricWriter(setup.workdir, self.step) if jax.process_index() == 0 else None
        self.log = StepLog(setup, clock, self.writer, console)
        clock.step = self.step
        clock.enter(TRAINING)

    @property
    def is_finished(self) -> bool:
        return self.step >= self.setup.total_steps or self.progression.is_stopped

    def is_due(self, every: int) -> bool:
        """Whether something that happens every so many steps, and after the last one, happens now."""
        return self.step % every == 0 or self.step == self.setup.total_steps

    def _restore(self) -> None:
        setup, console = self.setup, self.console
        found = self.checkpoints.restore_last(setup.parallel.snapshot(self.state))
        self.checkpoints.delete_after(found[0] if found else -1)
        if not found:
            return
        self.step, restored, records, passed_over = found
        for line in passed_over:
            console.print(f"warning: {line}; the one of step {self.step} is used", style="yellow")
        self.batches.set_state(records["iterator"])
        console.print(f"Continuing from step {self.step} of {setup.total_steps}")
        self.progression = Progression.from_dict(records["progression"])
        end_early(self.progression, setup, self.step, console)
        report_schedule(setup, records.get("total_steps", setup.total_steps), restored, self.step, console)
        self.state = setup.parallel.replicate(restored)

    def make_step(self, trace: Trace) -> None:
        """Makes one call of the training step."""
        batch = self._next_batch()
        with self.clock.during(TRAINING if self._compiled else COMPILING), trace.step(self.step + 1):
            self.state = self.setup.train_step(self.state, batch)
            if not self._compiled:
                jax.block_until_ready(self.state.step)
        self.step += self.setup.config.train.steps_per_call
        self.clock.step = self.step
        trace.finish(self.state.step)
        if not self._compiled:  # time only what comes after it
            self.clock.restart()
            self._compiled = True

    def _next_batch(self) -> Batch:
        """Waits for the next batch; if that takes long, the heartbeat names it."""
        source, examples = self.setup.config.data.source, self.setup.examples
        name = examples.dataset.name

        def describe() -> str:
            step = self.clock.step + self.batches.num_ready
            planned = examples.planned_ids(self.setup.order, step)
            if not planned:
                return f"the batch of step {step} of {name}, which nothing is read for"
            return f"the batch of step {step} of {name}{f' in {source}' if source else ''}: {name_recordings(planned)}"

        pending: Any = self.state.step
        with self.clock.during(INPUT, describe, counts=pending.is_ready):
            return next(self.batches)

    def write_log(self) -> None:
        """Reports the steps since the last log line."""
        self.log.report(self.state, self.step)
        self.state = self.state.replace(window=self.setup.parallel.replicate(Window.empty()))

    def save(self, *, replaces: bool = False) -> None:
        """Saves the run; `replaces` an earlier checkpoint of this step."""
        self.log.check_finite(self.state)
        with self.clock.during(CHECKPOINTING):
            if self.writer:
                self.writer.flush()
            records = self._describe_model() | {
                "iterator": self.batches.get_state(),
                "progression": dataclasses.asdict(self.progression),
                "total_steps": self.setup.total_steps,
            }
            state = self.setup.parallel.snapshot(self.state)
            self.checkpoints.save(checkpoint.LAST, self.step, state, records, replaces=replaces)

    def _describe_model(self) -> dict[str, Any]:
        examples, scale, names = self.setup.examples, self.setup.scale, self.setup.examples.dataset.label_names
        known = {"contract": examples.contract.to_dict(), "labels": list(names)}
        return known | ({} if scale is None else {"scale": scale.to_dict(names)})

    def evaluate(self, request: preemption.StopRequest) -> None:
        """Scores validation, keeps the best network, and lets plateau and early stopping act.

        If a signal comes before all is predicted, nothing changes but `progression.is_evaluation_due`.
        """
        setup = self.setup
        with self.clock.during(VALIDATING):
            begin = time.monotonic()
            try:
                values = self._score_validation(request)
            except Stopped:
                self.progression.is_evaluation_due = True
                return
            self.progression.is_evaluation_due = False
            if self.writer:
                self.writer.write(self.step, "validation", values)
            value, sign = values[setup.monitor], -1.0 if setup.monitor in HIGHER_IS_BETTER else 1.0
            is_best = self.progression.is_best(value, sign)
            shown = "  ".join(f"{_TITLES.get(name, name)} {values[name]:.4f}" for name in SCORES[self.setup.kind])
            self.console.print(
                f"step {self.step:>6}  validation: {shown}  {time.monotonic() - begin:.1f} s"
                f"{'  (best)' if is_best else ''}"
            )
            if is_best:
                self.progression.best_value, self.progression.best_step = value, self.step
                variables = setup.parallel.snapshot(self.state.variables)
                records = self._describe_model() | {"validation": values}
                self.checkpoints.save(checkpoint.BEST, self.step, variables, records)
            if self._report:
                self._report(-(-self.step // setup.eval_every), values)
            # An evaluation of the last step alone has nothing to lower or stop, and a longer run does not have it.
            if self.step % setup.eval_every == 0:
                self._update_plateau(sign * value)
                self._update_stopping(sign * value)

    def _score_validation(self, request: preemption.StopRequest) -> dict[str, float]:
        setup = self.setup
        rows = setup.examples.dataset.indices("validation")
        predicted, mask = predict(
            setup,
            self.state.variables,
            rows,
            "validating",
            self.console,
            clock=self.clock,
            stops=lambda: request.agree(is_meeting=True),
        )
        return setup.summarize(setup.examples.dataset.labels[rows][mask], predicted[mask])

    def _update_plateau(self, value: float) -> None:
        config, progression = self.setup.config, self.progression
        if config.schedule.name != "plateau":
            return
        settings = config.plateau
        progression.plateau, has_run_out = progression.plateau.update(
            value, patience=settings.patience, min_delta=settings.min_delta
        )
        if has_run_out:
            progression.plateau = dataclasses.replace(progression.plateau, waited=0)
            floor = settings.min_learning_rate / setup_lib.scale_learning_rate(config)
            before = self.state.lr_scale
            scale = max(float(before) * settings.factor, min(floor, 1.0))
            lr_scale = self.setup.parallel.replicate(np.asarray(scale, before.dtype))
            self.state = self.state.replace(lr_scale=lr_scale)
            self.console.print(f"No improvement in {settings.patience} evaluations: learning rate times {scale:g}")

    def _update_stopping(self, value: float) -> None:
        settings, progression = self.setup.config.early_stopping, self.progression
        progression.stopping, progression.is_stopped = progression.stopping.update(value, **settings)
        if progression.is_stopped:
            self.console.print(f"No improvement in {settings.patience} evaluations: stopping early")

    def must_stop(self, request: preemption.StopRequest, is_meeting: bool) -> bool:
        return self.progression.is_evaluation_due or request.agree(is_meeting)


def _train(run: _Run, profile: bool) -> None:
    """Steps until the end; the checkpoints are what it leaves."""
    setup, config = run.setup, run.setup.config
    calls = (setup.total_steps - run.step) // config.train.steps_per_call if profile and run.writer else 0
    trace = Trace(os.path.join(setup.workdir, "profile"), calls, run.clock, run.console)
    try:
        with preemption.catch_signals() as request, show_progress(run.console, "training") as update:
            update(run.step, setup.total_steps)
            if not run.is_finished:
                run.console.print("Compiling; the first step takes a while")
            stops = False
            if run.progression.is_evaluation_due:  # a signal came before the evaluation of this step had ended
                run.evaluate(request)
                stops = run.must_stop(request, is_meeting=True)
                run.save(replaces=not run.progression.is_evaluation_due)
            while not run.is_finished and not stops:
                run.make_step(trace)
                update(run.step, setup.total_steps)
                evaluates = run.is_due(setup.eval_every)
                logs = evaluates or run.is_due(config.train.log_every)
                if logs:
                    run.write_log()
                if evaluates:
                    run.evaluate(request)
                stops = run.must_stop(request, is_meeting=logs)
                if stops or run.progression.is_stopped or run.is_due(setup.checkpoint_every):
                    run.save()
            if stops:
                run.checkpoints.wait()
                reason = request.reason or "a signal to another process"
                raise Interrupted(f"{reason} at step {run.step}; the state is saved")
    finally:
        trace.close()
        if run.writer:
            with contextlib.suppress(OSError):  # a full disk: the error that ended the run matters more
                run.writer.close()
