"""Trains what a configuration describes, and evaluates it. All the I/O of training is here."""

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.data import pipeline
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.sampling import Order
from ecg_jax.evaluation import metrics
from ecg_jax.runtime import checkpoint, hardware, preemption, run_folder
from ecg_jax.runtime.heartbeat import Heartbeat
from ecg_jax.runtime.metric_writer import MetricWriter
from ecg_jax.runtime.profile import CHECKPOINTING, COMPILING, EVALUATING, INPUT, TRAINING, VALIDATING, StepClock, Trace
from ecg_jax.runtime.progress import show_progress
from ecg_jax.training import final_evaluation, stream
from ecg_jax.training import setup as setup_lib
from ecg_jax.training.choices import MONITORS
from ecg_jax.training.prediction import Stopped, name_recordings, predict
from ecg_jax.training.progression import Progression, end_early, tell_schedule
from ecg_jax.training.setup import Setup
from ecg_jax.training.state import TrainState, Window
from ecg_jax.training.step_log import StepLog

# Told the number of an evaluation, from 1, and the validation scores; what it raises ends the run there.
Report = Callable[[int, Mapping[str, float]], None]


class Interrupted(Exception):
    """A signal asked the run to stop; its state is saved and the same command continues it."""


@dataclasses.dataclass
class _Run:
    """What the parts of the loop share.

    Attributes:
        setup: What is trained.
        console: Where progress is shown.
        clock: Where its time goes.
        checkpoints: What it leaves.
        batches: Its training stream.
        writer: Of its metrics; None in all processes but the first.
        log: Of its steps.
        report: Who is told of evaluations besides, if anybody.
    """

    setup: Setup
    console: Console
    clock: StepClock
    checkpoints: checkpoint.Checkpoints
    batches: pipeline.Prefetched
    writer: MetricWriter | None
    log: StepLog
    report: Report | None


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
        report: Who is told of every evaluation besides.

    Returns:
        What `result.json` holds.

    Raises:
        InputError: on bad settings or data, an unwritable checkpoint, a non-finite loss, a device
            whose memory is too small, another process in the folder.
        Interrupted: after SIGTERM or Ctrl-C, once the state is saved.
    """
    config_lib.check(config)
    with run_folder.hold(workdir, console):
        return _run_in_folder(config, workdir, console, dataset, profile, report)


def _run_in_folder(
    config: ConfigDict,
    workdir: str,
    console: Console,
    dataset: Dataset | None,
    profile: bool,
    report: Report | None,
) -> dict[str, Any]:
    setup, state = setup_lib.create(config, workdir, console=console, dataset=dataset)
    clock, state_bytes = StepClock(), sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    try:
        with Heartbeat(workdir, clock, stall_warning=config.runtime.stall_warning):
            return _train_and_evaluate(setup, state, console, clock, profile, report)
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


def _train_and_evaluate(
    setup: Setup, state: TrainState, console: Console, clock: StepClock, profile: bool, report: Report | None
) -> dict[str, Any]:
    folder = os.path.join(setup.workdir, run_folder.CHECKPOINTS)
    with checkpoint.Checkpoints(folder) as checkpoints:
        _train(setup, state, checkpoints, console, clock, profile, report)
        checkpoints.wait()
    clock.enter(EVALUATING)
    step, variables, _, passed_over = checkpoint.read_best(folder)
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


def _train(
    setup: Setup,
    state: TrainState,
    checkpoints: checkpoint.Checkpoints,
    console: Console,
    clock: StepClock,
    profile: bool,
    report: Report | None,
) -> None:
    """Steps until the end; the checkpoints are what it leaves."""
    config = setup.config
    batches = stream.open_batches(config, setup.examples, setup.parallel)
    state, progression, step = _resume(setup, state, checkpoints, batches, console)
    writer = MetricWriter(setup.workdir, step) if jax.process_index() == 0 else None
    log = StepLog(setup, batches, clock, writer, console)
    run = _Run(setup, console, clock, checkpoints, batches, writer, log, report)
    calls = (setup.total_steps - step) // config.train.steps_per_call if profile and writer else 0
    trace = Trace(os.path.join(setup.workdir, "profile"), calls, clock, console)
    clock.step = step
    clock.enter(TRAINING)
    is_compiled = False
    try:
        with preemption.catch_signals() as request, show_progress(console, "training") as update:
            update(step, setup.total_steps)
            if step < setup.total_steps and not progression.is_stopped:
                console.print("Compiling; the first step takes a while")
            while (step < setup.total_steps and not progression.is_stopped) or progression.is_evaluation_due:
                logs = saves = False
                evaluates = was_due = progression.is_evaluation_due
                if not was_due:
                    batch = _next_batch(run, state)
                    with clock.during(TRAINING if is_compiled else COMPILING), trace.step(step + 1):
                        state = setup.train_step(state, batch)
                        if not is_compiled:
                            jax.block_until_ready(state.step)
                    step += config.train.steps_per_call
                    clock.step = step
                    update(step, setup.total_steps)
                    trace.finish(state.step)
                    if not is_compiled:  # time what comes after it
                        clock.restart()
                        is_compiled = True
                    evaluates = _is_due(step, setup.eval_every, setup.total_steps)
                    saves = _is_due(step, setup.checkpoint_every, setup.total_steps)
                    logs = evaluates or _is_due(step, config.train.log_every, setup.total_steps)
                if logs:
                    run.log.report(state, step)
                    state = state.replace(window=setup.parallel.replicate(Window.empty()))
                if evaluates:
                    try:
                        with clock.during(VALIDATING):
                            state, progression = _evaluate(run, state, progression, step, request)
                    except Stopped:
                        progression = dataclasses.replace(progression, is_evaluation_due=True)
                stops = progression.is_evaluation_due or request.agree(is_meeting=logs or evaluates)
                if saves or was_due or progression.is_stopped or stops:
                    run.log.check_finite(state)
                    with clock.during(CHECKPOINTING):
                        is_anew = was_due and not progression.is_evaluation_due
                        _save(run, state, progression, step, replaces=is_anew)
                if stops:
                    checkpoints.wait()
                    raise Interrupted(
                        f"{request.reason or 'a signal to another process'} at step {step}; the state is saved"
                    )
    finally:
        trace.close()
        if writer:
            with contextlib.suppress(OSError):  # a full disk: the error that brought us here is the one to tell
                writer.close()


def _is_due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def _resume(
    setup: Setup,
    state: TrainState,
    checkpoints: checkpoint.Checkpoints,
    batches: pipeline.Prefetched,
    console: Console,
) -> tuple[TrainState, Progression, int]:
    found = checkpoints.restore_last(setup.parallel.snapshot(state))
    if found is None:
        checkpoints.delete_after(-1)
        return state, Progression(), 0
    step, restored, records, passed_over = found
    for line in passed_over:
        console.print(f"warning: {line}; the one of step {step} is used", style="yellow")
    checkpoints.delete_after(step)
    batches.set_state(records["iterator"])
    console.print(f"Continuing from step {step} of {setup.total_steps}")
    progression = end_early(Progression.from_dict(records["progression"]), setup, step, console)
    tell_schedule(setup, records.get("total_steps", setup.total_steps), restored, step, console)
    return setup.parallel.replicate(restored), progression, step


def _next_batch(run: _Run, state: TrainState) -> Any:
    """Waits for the next batch; if that takes long, the heartbeat says for which."""
    config, dataset, batches = run.setup.config, run.setup.examples.dataset, run.batches

    def describe() -> str:
        step = run.clock.step + batches.num_ready * config.train.steps_per_call
        if config.data.mode == "endless":
            return f"the batch of step {step} of {dataset.name}, which nothing is read for"
        positions = step * config.train.batch_size + np.arange(config.train.batch_size)
        rows = Order(dataset, config.seed, config.data.sampling).rows_at(positions)
        source = f" in {config.data.source}" if config.data.source else ""
        return f"the batch of step {step} of {dataset.name}{source}: {name_recordings(dataset.ids[rows])}"

    pending: Any = state.step
    with run.clock.during(INPUT, describe, counts=pending.is_ready):
        return next(batches)


def _save(run: _Run, state: TrainState, progression: Progression, step: int, *, replaces: bool) -> None:
    if run.writer:
        run.writer.flush()
    records = {
        "iterator": run.batches.get_state(),
        "progression": dataclasses.asdict(progression),
        "contract": run.setup.examples.contract.to_dict(),
        "labels": list(run.setup.examples.dataset.label_names),
        "total_steps": run.setup.total_steps,
    }
    run.checkpoints.save(checkpoint.LAST, step, run.setup.parallel.snapshot(state), records, replaces=replaces)


def _evaluate(
    run: _Run, state: TrainState, progression: Progression, step: int, request: preemption.StopRequest
) -> tuple[TrainState, Progression]:
    """Scores validation, keeps the best network, and lets plateau and early stopping act.

    Raises:
        Stopped: when a signal came before all was predicted; nothing is changed then.
    """
    setup, console = run.setup, run.console
    config = setup.config
    begin = time.monotonic()
    rows = setup.examples.dataset.indices("validation")
    probabilities, mask = predict(
        setup,
        state.variables,
        rows,
        "validating",
        console,
        clock=run.clock,
        stops=lambda: request.agree(is_meeting=True),
    )
    values = metrics.compute_summary(setup.examples.dataset.labels[rows][mask], probabilities[mask])
    if run.writer:
        run.writer.write(step, "validation", values)
    value = values[setup.monitor]
    sign = MONITORS[setup.monitor]
    is_best = progression.best_step < 0 or sign * value < sign * progression.best_value
    is_best = is_best or (math.isnan(progression.best_value) and not math.isnan(value))
    console.print(
        f"step {step:>6}  validation: loss {values['loss']:.4f}  AUROC {values['auroc']:.4f}  "
        f"average precision {values['average_precision']:.4f}  {time.monotonic() - begin:.1f} s"
        f"{'  (best)' if is_best else ''}"
    )
    if is_best:
        progression = dataclasses.replace(progression, best_value=value, best_step=step)
        records = {"contract": setup.examples.contract.to_dict(), "labels": list(setup.examples.dataset.label_names)}
        run.checkpoints.save(
            checkpoint.BEST, step, setup.parallel.snapshot(state.variables), records | {"validation": values}
        )
    if run.report:
        run.report(-(-step // setup.eval_every), values)
    if (
        step % setup.eval_every
    ):  # the last step, where there is nothing left to lower or stop; a longer run had none here
        return state, dataclasses.replace(progression, is_evaluation_due=False)
    stopping, is_stopped = progression.stopping.update(sign * value, **config.early_stopping)
    plateau = progression.plateau
    if config.schedule.name == "plateau":
        settings = config.plateau
        plateau, has_run_out = plateau.update(sign * value, patience=settings.patience, min_delta=settings.min_delta)
        if has_run_out:
            plateau = dataclasses.replace(plateau, waited=0)
            floor = settings.min_learning_rate / setup_lib.scale_learning_rate(config)
            scale = max(float(state.lr_scale) * settings.factor, min(floor, 1.0))
            state = state.replace(lr_scale=setup.parallel.replicate(np.asarray(scale, state.lr_scale.dtype)))
            console.print(f"No improvement in {settings.patience} evaluations: learning rate times {scale:g}")
    if is_stopped:
        console.print(f"No improvement in {config.early_stopping.patience} evaluations: stopping early")
    return state, dataclasses.replace(
        progression, stopping=stopping, plateau=plateau, is_stopped=is_stopped, is_evaluation_due=False
    )
