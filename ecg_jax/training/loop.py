"""Trains what a configuration describes, and evaluates it. All the I/O of training is here."""

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import scipy.special
from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecg_jax import config as config_lib
from ecg_jax.data import pipeline
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError
from ecg_jax.evaluation import metrics
from ecg_jax.runtime import checkpoint, preemption, run_folder
from ecg_jax.runtime.metric_writer import MetricWriter
from ecg_jax.training import results, stream
from ecg_jax.training import setup as setup_lib
from ecg_jax.training.patience import Patience
from ecg_jax.training.setup import MONITORS, Setup
from ecg_jax.training.state import TrainState, Window


class Interrupted(Exception):
    """A signal asked the run to stop; its state is saved and the same command continues it."""


@dataclasses.dataclass
class Progression:
    """What a run remembers besides its state; a checkpoint's records.

    Attributes:
        best_value: Of the monitored metric.
        best_step: Where it was reached; -1 before the first evaluation.
        plateau: Record behind the learning rate's reductions.
        stopping: Record behind early stopping.
        is_stopped: Early stopping has ended the run.
    """

    best_value: float = math.nan
    best_step: int = -1
    plateau: Patience = dataclasses.field(default_factory=Patience)
    stopping: Patience = dataclasses.field(default_factory=Patience)
    is_stopped: bool = False

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Progression":
        """The reverse of `dataclasses.asdict`."""
        return cls(**values | {key: Patience(**values[key]) for key in ("plateau", "stopping")})


def train_and_evaluate(
    config: ConfigDict, workdir: str, console: Console, dataset: Dataset | None = None
) -> dict[str, Any]:
    """Trains, or continues, the run in a folder; then evaluates its best checkpoint on the test split.

    Args:
        config: See `config.create_default`.
        workdir: The run folder.
        console: Where progress is shown.
        dataset: Its data, not yet split, where the caller has opened it.

    Returns:
        What `result.json` holds.

    Raises:
        InputError: on bad settings or data, an unwritable checkpoint, a non-finite loss.
        Interrupted: after SIGTERM or Ctrl-C, once the state is saved.
    """
    config_lib.check(config)
    setup, state = setup_lib.create(
        config,
        workdir,
        pretrain=lambda inner, folder: train_and_evaluate(inner, folder, console),
        console=console,
        dataset=dataset,
    )
    folder = os.path.join(workdir, run_folder.CHECKPOINTS)
    with checkpoint.Checkpoints(folder) as checkpoints:
        _train(setup, state, checkpoints, console)
        checkpoints.wait()
    step, variables, _, passed_over = checkpoint.read_best(folder)
    for line in passed_over:
        console.print(f"warning: {line}; the best before it, of step {step}, is evaluated", style="yellow")
    variables = setup.parallel.replicate(variables)
    predicted = {
        name: predict(setup, variables, setup.examples.dataset.indices(name), f"evaluating {name}", console)
        for name in ("validation", "test")
    }
    return results.write(setup, predicted, best_step=step, console=console)


def _train(setup: Setup, state: TrainState, checkpoints: checkpoint.Checkpoints, console: Console) -> None:
    """Steps until the end; the checkpoints are what it leaves."""
    config = setup.config
    batches = stream.open_batches(setup.config, setup.examples, setup.parallel)
    state, progression, step = _resume(setup, state, checkpoints, batches, console)
    writer = MetricWriter(setup.workdir, step) if jax.process_index() == 0 else None

    def save(state: TrainState) -> None:
        if writer:
            writer.flush()
        records = {
            "iterator": batches.get_state(),
            "progression": dataclasses.asdict(progression),
            "contract": setup.examples.contract.to_dict(),
            "labels": list(setup.examples.dataset.label_names),
        }
        checkpoints.save(checkpoint.LAST, step, setup.parallel.snapshot(state), records)

    try:
        with preemption.catch_signals() as request, _progress(console) as bar:
            task = bar.add_task("training", total=setup.total_steps, completed=step)
            if step < setup.total_steps and not progression.is_stopped:
                console.print("Compiling; the first step takes a while")
            clock, clock_step = None, step
            while step < setup.total_steps and not progression.is_stopped:
                state = setup.train_step(state, next(batches))
                step += 1
                bar.update(task, completed=step)
                if clock is None:  # the first step compiles: time what comes after it
                    jax.block_until_ready(state.step)
                    clock, clock_step = time.monotonic(), step
                evaluates = _is_due(step, setup.eval_every, setup.total_steps)
                saves = _is_due(step, setup.checkpoint_every, setup.total_steps)
                logs = evaluates or _is_due(step, config.train.log_every, setup.total_steps)
                if logs:
                    values = _read_window(setup, state, batches)
                    state = state.replace(window=setup.parallel.replicate(Window.empty()))
                    if step > clock_step:
                        values["ecg_per_s"] = (step - clock_step) * config.train.batch_size / (time.monotonic() - clock)
                    _report(setup, writer, step, values, console)
                if evaluates:
                    state, progression = _evaluate(setup, state, progression, step, checkpoints, writer, console)
                if evaluates or step % config.train.log_every == 0:
                    clock, clock_step = time.monotonic(), step
                stops = request.agree(is_meeting=logs)
                if saves or progression.is_stopped or stops:
                    _check_finite(setup, state, batches)
                    save(state)
                if stops and step < setup.total_steps:
                    checkpoints.wait()
                    raise Interrupted(
                        f"{request.reason or 'a signal to another process'} at step {step}; the state is saved"
                    )
    finally:
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
    return setup.parallel.replicate(restored), Progression.from_dict(records["progression"]), step


def _read_window(setup: Setup, state: TrainState, batches: pipeline.Prefetched) -> dict[str, float]:
    """Fetches the sums since the last log line and turns them into means."""
    window = jax.tree.map(np.asarray, state.window)
    _check_finite(setup, state, batches)
    values = {
        "loss": float(window.loss_sum / max(window.loss_count, 1)),
        "grad_norm": float(window.grad_norm_sum / max(window.steps, 1)),
        "learning_rate": float(setup.schedule(int(state.step) - 1)) * float(state.lr_scale),
    }
    return values | ({"dropped": int(window.dropped)} if window.dropped else {})


def _check_finite(setup: Setup, state: TrainState, batches: pipeline.Prefetched) -> None:
    bad = int(state.window.bad_step)
    if bad < 0:
        return
    ids = batches.ids(bad)
    raise InputError(
        f"the loss or gradient of step {bad} is not finite; its batch: {', '.join(ids[:64])}"
        f"{f' and {len(ids) - 64} more' if len(ids) > 64 else ''}. The last good checkpoint stays in "
        f"{os.path.join(setup.workdir, run_folder.CHECKPOINTS)}; look at these recordings, or lower "
        "config.optimizer.learning_rate or set config.optimizer.clip_norm, in another --workdir"
    )


def _report(setup: Setup, writer: MetricWriter | None, step: int, values: dict[str, float], console: Console) -> None:
    if writer:
        writer.write(step, "train", values)
    line = f"step {step:>6}/{setup.total_steps}  loss {values['loss']:.4f}  learning rate {values['learning_rate']:.2e}"
    if rate := values.get("ecg_per_s"):
        left = int((setup.total_steps - step) * setup.config.train.batch_size / rate)
        line += f"  {rate:6.1f} ECG/s  {left // 60}:{left % 60:02d} left"
    console.print(line)


def _evaluate(
    setup: Setup,
    state: TrainState,
    progression: Progression,
    step: int,
    checkpoints: checkpoint.Checkpoints,
    writer: MetricWriter | None,
    console: Console,
) -> tuple[TrainState, Progression]:
    """Scores validation, keeps the best network, and lets plateau and early stopping act."""
    config = setup.config
    rows = setup.examples.dataset.indices("validation")
    probabilities, mask = predict(setup, state.variables, rows, "validating", console)
    values = metrics.compute_summary(setup.examples.dataset.labels[rows][mask], probabilities[mask])
    if writer:
        writer.write(step, "validation", values)
    value = values[setup.monitor]
    sign = MONITORS[setup.monitor]
    is_best = progression.best_step < 0 or sign * value < sign * progression.best_value
    is_best = is_best or (math.isnan(progression.best_value) and not math.isnan(value))
    console.print(
        f"step {step:>6}  validation: loss {values['loss']:.4f}  AUROC {values['auroc']:.4f}  "
        f"average precision {values['average_precision']:.4f}{'  (best)' if is_best else ''}"
    )
    if is_best:
        progression = dataclasses.replace(progression, best_value=value, best_step=step)
        records = {"contract": setup.examples.contract.to_dict(), "labels": list(setup.examples.dataset.label_names)}
        checkpoints.save(
            checkpoint.BEST, step, setup.parallel.snapshot(state.variables), records | {"validation": values}
        )
    stopping, is_stopped = progression.stopping.update(sign * value, **config.early_stopping)
    plateau = progression.plateau
    if config.schedule.name == "plateau":
        settings = config.plateau
        plateau, has_run_out = plateau.update(sign * value, patience=settings.patience, min_delta=settings.min_delta)
        if has_run_out:
            plateau = dataclasses.replace(plateau, waited=0)
            floor = settings.min_learning_rate / config.optimizer.learning_rate
            scale = max(float(state.lr_scale) * settings.factor, min(floor, 1.0))
            state = state.replace(lr_scale=setup.parallel.replicate(np.asarray(scale, state.lr_scale.dtype)))
            console.print(f"No improvement in {settings.patience} evaluations: learning rate times {scale:g}")
    if is_stopped:
        console.print(f"No improvement in {config.early_stopping.patience} evaluations: stopping early")
    return state, dataclasses.replace(progression, stopping=stopping, plateau=plateau, is_stopped=is_stopped)


def predict(
    setup: Setup, variables: Any, rows: np.ndarray, title: str, console: Console
) -> tuple[np.ndarray, np.ndarray]:
    """Predicts some recordings of the run's data set.

    Args:
        setup: The run.
        variables: `{"params", "batch_stats"}`, placed on the devices.
        rows: Their numbers, `[n]`.
        title: Shown beside the progress bar.
        console: Where that is.

    Returns:
        Probabilities `[n, C]` float32, and `[n]` bool: False, and NaN there, where a recording held
        no signal or was refused.
    """
    batch_size = setup.config.train.batch_size
    probabilities = np.full((len(rows), len(setup.examples.dataset.label_names)), np.nan, np.float32)
    has_signal = np.zeros(len(rows), bool)
    batches = pipeline.create_eval_batches(
        setup.examples,
        rows,
        batch_size=batch_size,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        threads=setup.config.data.threads,
    )
    with _progress(console) as bar:
        task = bar.add_task(title, total=len(rows))
        for batch in batches:
            logits, index, mask = map(np.asarray, setup.eval_step(variables, setup.parallel.shard(batch)))
            real = index >= 0
            known = real & mask
            probabilities[index[known]] = scipy.special.expit(logits[known].astype(np.float64))
            has_signal[index[known]] = True
            bar.advance(task, int(real.sum()))
    bad = rows[has_signal & ~np.isfinite(probabilities).all(axis=1)]
    if bad.size:
        ids = ", ".join(map(str, setup.examples.dataset.ids[bad[:8]]))
        folder = os.path.join(setup.workdir, run_folder.CHECKPOINTS)
        raise InputError(
            f"{title}: the network's output is not finite for {bad.size} recording(s) ({ids}); the last good "
            f"checkpoint stays in {folder}; lower config.optimizer.learning_rate"
        )
    return probabilities, has_signal


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar
