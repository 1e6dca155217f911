"""Endless training examples: the contract as for files, and the same examples whoever draws them."""

import dataclasses
import functools
import json
from pathlib import Path

import ecgs
import jax
import jax.numpy as jnp
import numpy as np
import processes
import pytest
from cli_test import assert_one_line, call
from resume_test import read_metrics

from ecg_jax.contract import InputContract
from ecg_jax.data import preprocess, preprocess_on_device
from ecg_jax.data.datasets import simulated
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.input_pipeline import TrainIterator, read_steps
from ecg_jax.data.sampling import Order
from ecg_jax.data.sources import SimulatorSource, create_keys
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.simulation.simulator import Population, simulate_many

ROOT = Path(__file__).parents[1]
CONTRACTS = {
    "as drawn": InputContract(),
    "millivolts, filtered": InputContract(highpass=0.5, lowpass=40.0, units_per_millivolt=1.0),
    "z-scored": InputContract(normalization="zscore"),
    "filtered and z-scored": InputContract(highpass=0.5, lowpass=40.0, normalization="zscore"),
    "notch": InputContract(notch=50.0),
}


@pytest.fixture(scope="module")
def drawn():
    population = Population(noise=0.3, faults=0.0)
    drawn = jax.device_get(simulate_many(jax.random.split(jax.random.key(1), ecgs.ENOUGH), population))
    return jax.tree.map(lambda leaf: leaf[:12], drawn)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_the_contract_is_that_of_files(drawn, contract):
    steps = contract.signal_steps(400.0) + contract.amplitude_steps()
    apply = jax.jit(jax.vmap(functools.partial(preprocess_on_device.run, steps)))
    found = np.asarray(apply(drawn.signal, drawn.valid[..., None]))
    for signal, valid, mine in zip(drawn.signal, drawn.valid, found, strict=True):
        recording = create_recording(signal[valid], leads=LEADS, sampling_rate=400.0, id="x")
        expected, expected_valid = preprocess.create_input(recording, contract)
        np.testing.assert_array_equal(expected_valid[:, 0], valid)
        largest, middle = np.abs(expected).max(), np.flatnonzero(valid)[1000:-1000]
        np.testing.assert_allclose(mine, expected, rtol=0, atol=0.15 * largest)
        np.testing.assert_allclose(mine[middle], expected[middle], rtol=0, atol=0.02 * largest)
        assert np.quantile(np.abs(mine - expected), 0.95) < 0.02 * largest
        assert not mine[~valid].any()


def draw(key, samples, sampling_rate):
    """A signal that tells its key."""
    assert sampling_rate == 400.0
    return jax.random.normal(key, (samples, 12)), jnp.ones(samples, bool), jax.random.uniform(key, (2,))


DATASET = Dataset(
    name="drawn", ids=np.array(["a"]), columns={"x": np.zeros(1)}, read=None, draw=draw, split=np.array(["train"])
)


CONTRACT = InputContract(samples=64, units_per_millivolt=1.0)


def open_batches(batch_size, seed=0, contract=CONTRACT, **options):
    source = SimulatorSource(DATASET, contract, seed=seed)
    stream = read_steps(source, Order(DATASET, seed, batch_size=batch_size), **options)
    return TrainIterator(stream, source.decode_train)


def decode(**options):
    batches = open_batches(8, **options)
    batches.set_state({"step": 5})  # as in checkpoints of earlier versions
    return jax.device_get(next(batches))


def test_examples_depend_on_seed_step_and_place_alone():
    whole = decode()
    for process in range(2):
        part = decode(process_index=process, process_count=2)
        np.testing.assert_array_equal(part["signal"], whole["signal"][process::2])
        np.testing.assert_array_equal(part["label"], whole["label"][process::2])
    assert len(np.unique(whole["label"])) == 16
    assert not np.isin(decode(seed=1)["label"], whole["label"]).any()
    assert whole["mask"].all()


def test_no_example_is_one_of_the_data_sets_recordings():
    """Step 1 draws with other keys than the validation split, and the training step with others than both."""
    drawn = jax.random.key_data(create_keys(0, np.repeat([0, 1, 2], 50), np.tile(np.arange(50), 3)))
    root = jax.random.key(0)
    splits = [jax.random.fold_in(jax.random.fold_in(root, split), i) for split in range(3) for i in range(50)]
    steps = [key for step in range(50) for key in jax.random.split(jax.random.fold_in(root, step), 3)]
    others = np.array([jax.random.key_data(key) for key in (*splits, *steps)])
    assert not {tuple(key) for key in np.asarray(drawn).tolist()} & {tuple(key) for key in others.tolist()}


def test_leads_are_those_of_the_contract():
    leads = ("V2", "I")
    found = decode(contract=dataclasses.replace(CONTRACT, leads=leads))
    np.testing.assert_array_equal(found["signal"], decode()["signal"][..., [LEADS.index(lead) for lead in leads]])


def test_a_stream_continues_where_it_was():
    first, second = (open_batches(4) for _ in range(2))
    for _ in range(3):
        next(first)
    second.set_state(first.get_state())
    np.testing.assert_array_equal(next(first)["label"], next(second)["label"])
    source, order = SimulatorSource(DATASET, CONTRACT, seed=0), Order(DATASET, 0, batch_size=4)
    assert source.ids(order, 3)[1] == "step 3 place 1"
    assert source.planned_ids(order, 3) == []


def test_processes_must_divide_the_batch():
    with pytest.raises(InputError, match="batch_size is 6, which 4 processes do not divide"):
        open_batches(6, process_count=4)


def test_another_sampling_rate_is_refused():
    with pytest.raises(InputError, match=r"draws at 400 Hz, but contract\.sampling_rate is 250 Hz"):
        SimulatorSource(DATASET, dataclasses.replace(CONTRACT, sampling_rate=250.0), seed=0)


def test_only_a_population_without_end_is_endless():
    textbook = simulated.create(source="", labels=("AF",), seed=0, train=3, validation=1, test=1)
    with pytest.raises(InputError, match=r"data set simulated has 3 training recordings; only simulated ECGs of "):
        SimulatorSource(textbook, CONTRACT, seed=0)


@pytest.mark.slow
def test_a_run_draws_its_recordings_anew_in_every_step_and_goes_on_where_it_was_stopped(tmp_path):
    flags = [
        f"--config={ROOT / 'configs' / 'smoke.py'}",
        "--config.data.mode=endless",
        "--config.data.simulated.population=hospital",
        "--config.data.simulated.train=16",
        "--config.data.simulated.validation=16",
        "--config.data.simulated.test=16",
        "--config.contract.samples=512",
        "--config.evaluation.report=false",
        "--config.model.variant.units=1",
        "--config.train.eval_every=4",
        "--config.train.log_every=2",
        "--config.train.steps_per_call=2",
        f"--workdir={tmp_path / 'run'}",
    ]
    first = call("main", *flags, "--config.train.steps=8")
    assert first.returncode == 0, first.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [2, 4, 6, 8]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert np.isfinite(losses).all()
    assert len(set(losses)) == 4
    flags[-1] = f"--workdir={tmp_path / 'stopped'}"
    stopped = processes.run(ROOT / "tests" / "workers" / "killed.py", "term:2", *flags, "--config.train.steps=8")
    assert stopped.returncode == 130
    continued = call("main", *flags, "--config.train.steps=8")
    assert "Continuing from step" in continued.stdout, continued.stdout + continued.stderr
    assert read_metrics(tmp_path / "stopped") == read_metrics(tmp_path / "run")


@pytest.mark.parametrize(
    "flags, parts",
    [
        (["--config.data.mode=endless"], ["only simulated ECGs of data.simulated.population=hospital never end"]),
        (
            [
                "--config.data.mode=endless",
                "--config.data.simulated.population=hospital",
                "--config.train.eval_every=0",
            ],
            ["train.eval_every 0", "endless data has no epochs to count by; set both"],
        ),
        (
            ["--config.data.mode=endless", "--config.data.crop=random"],
            ["data.crop 'random', but endless data has no recordings to choose from"],
        ),
        (["--config.data.simulated.population=village"], ["population is 'village'; known: textbook, hospital"]),
    ],
)
def test_what_cannot_be_endless_is_refused_in_one_line(tmp_path, flags, parts):
    smoke = f"--config={ROOT / 'configs' / 'smoke.py'}"
    assert_one_line(call("main", smoke, *flags, f"--workdir={tmp_path / 'run'}"), *parts)
