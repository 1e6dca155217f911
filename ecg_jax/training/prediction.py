"""Predicting recordings of a run's data set with its network, over all devices and processes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ecg_jax.data import input_pipeline
from ecg_jax.errors import InputError
from ecg_jax.inference.model import compute_outputs
from ecg_jax.runtime import run_folder
from ecg_jax.runtime.profile import INPUT, StepClock
from ecg_jax.runtime.progress import show_progress
from ecg_jax.training.setup import Setup

_NAMED = 64


class Stopped(Exception):
    """Predicting was stopped between two batches."""


def predict(
    setup: Setup,
    variables: Any,
    rows: np.ndarray,
    title: str,
    console: Console,
    *,
    clock: StepClock,
    stops: Callable[[], bool] = lambda: False,
) -> tuple[np.ndarray, np.ndarray]:
    """Predicts some recordings of the run's data set.

    Args:
        setup: The run.
        variables: `{"params", "batch_stats"}`, placed on the devices.
        rows: Numbers `[n]` of the recordings.
        title: Of the progress bar.
        console: Where it is shown.
        clock: Measures waits for input.
        stops: Whether to stop; asked before every batch, in every process.

    Returns:
        Probabilities, or numbers, `[n, C]` float32, and `[n]` bool: False, and NaN there, where a recording held
        no signal or was refused.

    Raises:
        InputError: when the network's output is not finite.
        Stopped: when `stops` says so.
    """
    dataset, batch_size = setup.examples.dataset, setup.config.train.batch_size
    predicted = np.full((len(rows), len(dataset.label_names)), np.nan, np.float32)
    has_signal = np.zeros(len(rows), bool)
    batches = input_pipeline.create_eval_batches(
        setup.examples,
        rows,
        batch_size=batch_size,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        threads=setup.config.data.threads,
    )
    with show_progress(console, title) as update:
        for begin in range(0, len(rows), batch_size):
            if stops():
                raise Stopped
            wanted = rows[begin : begin + batch_size]
            describe = functools.partial(name_recordings, dataset.ids[wanted], f"a batch of {dataset.name}, {title}: ")
            with clock.during(INPUT, describe):
                batch = next(batches)
            logits, index, mask = map(np.asarray, setup.eval_step(variables, setup.parallel.shard(batch)))
            known = (index >= 0) & mask
            predicted[index[known]] = compute_outputs(logits[known], scale=setup.scale)
            has_signal[index[known]] = True
            update(begin + len(wanted), len(rows))
    bad = dataset.ids[rows[has_signal & ~np.isfinite(predicted).all(axis=1)]]
    if bad.size:
        raise InputError(
            f"{title}: the network's output is not finite for {bad.size} recording(s) "
            f"({', '.join(map(str, bad[:8]))}); {run_folder.describe_checkpoint(setup.workdir)}; "
            "lower config.optimizer.learning_rate"
        )
    return predicted, has_signal


def name_recordings(ids: Sequence[str] | np.ndarray, prefix: str = "") -> str:
    """Names recordings in a sentence, the first 64 of them."""
    names = prefix + ", ".join(map(str, ids[:_NAMED]))
    return f"{names} and {len(ids) - _NAMED} more" if len(ids) > _NAMED else names
