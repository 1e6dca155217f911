"""The studies: their spaces fit the configurations they are run with, and their scripts draw what was found."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_jax import models
from ecg_jax.contract import InputContract
from ecg_jax.sweeps import space as space_lib
from ecg_jax.training import setup, transfer

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
CONFIGS = {
    "learning_rate": "finetune",
    "transfer_depth": "finetune",
    "transfer_head": "finetune",
    "recipe": "reference",
    "ten_seeds": "finetune",
    "splits": "finetune",
    "architecture": "reference",
}


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name: str) -> space_lib.Space:
    base = load(EXPERIMENTS.parent / "configs" / f"{CONFIGS[name]}.py").get_config()
    if name == "recipe":
        base.optimizer.name = "adamw"
    return space_lib.read(str(EXPERIMENTS / f"{name}.py"), base, seeds=1)


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(EXPERIMENTS), *sys.path])
    return lambda name: load(EXPERIMENTS / f"{name}.py")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_space_fits_the_configuration_of_its_command(name):
    assert read(name).distributions


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transfer_depth", "transfer_head"])
def test_every_point_of_a_transfer_study_builds_its_network_and_what_learns(name):
    space = read(name)
    learned = []
    for point in space.points.values():
        config = space.create_config(point)
        shape = InputContract.from_dict(config.contract).shape
        params = models.shapes(setup.create_network(config, 6), shape)["params"]
        mask = transfer.create_trainable_mask(params, **config.freeze)
        learned.append(models.count_weights(transfer.partition(params, mask)[0]))
        setup.create_schedule(config, 100)
    assert len(set(learned)) == {"transfer_depth": 6, "transfer_head": 7}[name]


def make_runs(name: str) -> pd.DataFrame:
    space = read(name)
    rng = np.random.default_rng(0)
    rows = []
    for point in list(space.points.values()) * 2:
        row = {key: space_lib.encode(point.get(key)) for key in space.keys}
        rows.append(row | {"state": "complete", "validation auroc": rng.uniform(0.8, 0.9), "parameters": 1000})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name, groups", [("transfer_depth", 16), ("transfer_head", 14)])
def test_a_study_draws_a_figure_and_a_table_with_intervals_over_seeds(name, groups, study, tmp_path):
    runs = make_runs(name)
    table = study(name).draw(runs, str(tmp_path / name))
    assert len(table) == groups
    assert [*table["runs"]] == [2] * groups
    assert (table["validation auroc_low"] < table["validation auroc"]).all()
    assert table["validation auroc"].mean() == pytest.approx(runs["validation auroc"].mean())
    assert (tmp_path / f"{name}.pdf").stat().st_size > 1000


def test_the_spread_of_seeds_is_taken_from_all_groups(study):
    # Deviations 0.01, 0.01, 0.02 and 0.02: variance 0.001 / 2 of 2 degrees of freedom, whose t is 4.3027.
    runs = pd.DataFrame({"way": ["a", "a", "b", "b"], "validation auroc": [0.90, 0.92, 0.94, 0.98]})
    study("transfer_depth")
    table = sys.modules["studies"].summarize(runs, ["way"])
    half = 4.3027 * np.sqrt(0.0005) / np.sqrt(2)
    assert [*table["validation auroc"]] == pytest.approx([0.91, 0.96])
    assert [*table["validation auroc_low"]] == pytest.approx([0.91 - half, 0.96 - half], abs=1e-5)
    assert [*table["validation auroc_high"]] == pytest.approx([0.91 + half, 1.0], abs=1e-5)


def test_the_recipe_lists_its_points_from_the_best_down(study, tmp_path):
    recipe = study("recipe")
    rng = np.random.default_rng(0)
    rows = [
        {
            "optimizer.learning_rate": 10 ** rng.uniform(-3.5, -2),
            "train.batch_size": rng.choice([16, 32]),
            "optimizer.weight_decay": 10 ** rng.uniform(-5, -1),
            "model.dropout_rate": rng.uniform(0, 0.6),
            "loss.focal_gamma": rng.choice([0.0, 2.0]),
            "loss.positive_weight": json.dumps([]),
            "schedule.name": rng.choice(["cosine", "plateau"]),
            "validation auroc": rng.uniform(0.8, 0.9),
        }
        for _ in range(8)
    ]
    table = recipe.draw(pd.DataFrame(rows), str(tmp_path / "recipe"))
    assert table["validation auroc"].is_monotonic_decreasing
    assert (tmp_path / "recipe.png").stat().st_size > 1000


def test_the_spread_over_seeds_is_that_of_the_runs_own_scores(study, tmp_path, monkeypatch):
    seeds = study("ten_seeds")
    rows = []
    for seed, auroc in enumerate((0.90, 0.92, 0.94)):
        folder = tmp_path / f"run{seed}" / "evaluation"
        folder.mkdir(parents=True)
        scores = pd.DataFrame({"label": ["AF", "macro"], "auroc": [auroc, auroc], "f1": [0.5, 0.5]})
        scores.to_csv(folder / "scores.csv", index=False)
        rows.append({"run": str(tmp_path / f"run{seed}"), "seed": seed})
    called = []
    monkeypatch.setattr(seeds.subprocess, "run", lambda command, check: called.append(command))
    table = seeds.draw(pd.DataFrame(rows), str(tmp_path / "ten_seeds"))
    found = table[(table["label"] == "AF") & (table["metric"] == "auroc")].iloc[0]
    assert (found["count"], found["mean"], found["std"]) == (3, pytest.approx(0.92), pytest.approx(0.02))
    assert (found["min"], found["max"]) == (0.90, 0.94)
    assert f"--model={tmp_path / 'run0'}" in called[0]
    assert any(f"run1/predictions.csv,{tmp_path / 'run2'}" in flag for flag in called[0])
