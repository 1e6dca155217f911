"""What a run prints before it starts: where, on what, with what."""

import jax
import numpy as np
from rich.console import Console

from ecg_jax import models
from ecg_jax.data import splits
from ecg_jax.data.datasets.dataset import SPLITS, Dataset
from ecg_jax.kinds import FINDING
from ecg_jax.reporting import tables
from ecg_jax.training import transfer
from ecg_jax.training.setup import Setup
from ecg_jax.training.state import TrainState

_MAX_COLUMNS = 12  # of a table on the screen
FEWEST_STEPS, FEWEST_RECORDINGS = 100, 300  # with fewer, training more than the output layer makes weights worse


def announce(setup: Setup, initial: TrainState, console: Console) -> None:
    """Describes a run: its folder, devices, data, split, input, network and length."""
    config, devices = setup.config, jax.devices()
    console.print(f"Run folder: {setup.workdir}")
    console.print(
        f"Device: {len(devices)} x {devices[0].device_kind} ({jax.default_backend()}), "
        f"{jax.process_count()} process(es), {setup.parallel.mode}"
    )
    _describe_data(setup, console)
    contract = setup.examples.contract
    console.print(
        f"Input: {contract.samples} samples x {len(contract.leads)} leads at {contract.sampling_rate:g} Hz, "
        + (
            f"{contract.units_per_millivolt:g} units per mV"
            if contract.normalization == "none"
            else f"normalized: {contract.normalization}"
        )
    )
    _describe_labels(setup.examples.dataset, console)
    learned, frozen = transfer.partition(initial.params, setup.trainable)
    norms = transfer.frozen_norms(setup.trainable)
    console.print(
        f"Network: {config.model.name}, head {config.model.head}; parameters: "
        f"{models.count_weights(learned):,} trainable, {models.count_weights(frozen):,} frozen; "
        f"BatchNorm statistics: {models.count_weights(initial.batch_stats):,}"
        + (f", those of {', '.join(sorted(norms))} frozen" if norms else "")
    )
    console.print(
        f"Training: {setup.total_steps} steps of {config.train.batch_size} ECGs, evaluated every {setup.eval_every}"
    )
    if setup.examples.dataset.reads_files and setup.config.data.mode != "endless":
        number = len(setup.examples.dataset.indices("train"))
        others = {**learned, "head": {**learned["head"], "output": None}}
        if warning := describe_few(number, setup.total_steps, models.count_weights(others)):
            console.print(f"warning: {warning}", style="yellow")


def describe_few(recordings: int, steps: int, parameters: int) -> str:
    """A warning of too few steps, or too few training recordings for `parameters` besides an output layer; or empty."""
    if steps >= FEWEST_STEPS and (recordings >= FEWEST_RECORDINGS or not parameters):
        return ""
    learned = f" for {parameters:,} parameters besides the output layer" if parameters else ""
    return (
        f"{recordings} training recordings and {steps} steps are few{learned}; "
        "--config=configs/few.py trains the output layer of weights that ship, for 200 steps"
    )


def _describe_data(setup: Setup, console: Console) -> None:
    data, dataset = setup.config.data, setup.examples.dataset
    console.print(f"Data: {dataset.name}{' in ' + data.source if data.source else ''}")
    for note in dataset.notes:
        console.print(f"  {note}")
    if data.mode == "endless":
        console.print("  training recordings are drawn in every step; the train split counted below is not used")
    facts = dataset.split_facts
    console.print(f"Split: {facts['method']}, {splits.describe_patients(facts)}")
    if "warning" in facts:
        console.print(f"warning: {facts['warning']}", style="yellow")


def _describe_labels(dataset: Dataset, console: Console) -> None:
    rows = []
    for name in SPLITS:
        chosen = dataset.indices(name)
        describe = _describe_positives if dataset.kind == FINDING else _describe_numbers
        rows.append([name, str(len(chosen)), *map(describe, dataset.labels[chosen].T)])
    header = ["split", "n", *dataset.label_names]
    if len(header) > _MAX_COLUMNS:  # a row per label
        header, *rows = [list(column) for column in zip(header, *rows, strict=True)]
    title = "Recordings and positives" if dataset.kind == FINDING else "Recordings, and mean +- sd"
    tables.print_rows(title, header, rows, console)


def _describe_positives(label: np.ndarray) -> str:
    known, positives = int((~np.isnan(label)).sum()), int(np.nansum(label))
    return f"{positives} ({positives / known:.1%})" if known else "unknown"


def _describe_numbers(label: np.ndarray) -> str:
    known = label[~np.isnan(label)].astype(np.float64)
    return f"{known.mean():.4g} +- {known.std():.3g} ({len(known)} known)" if len(known) else "unknown"
