"""Search spaces, and `python -m ecg_jax.sweep` run as a user runs it."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import processes
import pytest
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.errors import InputError
from ecg_jax.sweeps import page, results, summary
from ecg_jax.sweeps import space as space_lib
from ecg_jax.sweeps.results import Configuration
from ecg_jax.sweeps.study import Settings, Study

ROOT = Path(__file__).parents[1]
TINY = [
    f"--config={ROOT / 'configs' / 'smoke.py'}",
    "--config.evaluation.report=false",
    "--config.evaluation.resamples=0",
    "--config.contract.samples=512",
    "--config.model.variant.units=1",
    "--config.train.batch_size=8",
    "--config.train.steps=4",
    "--config.train.eval_every=2",
]
RATES = "def space():\n    return {'optimizer.learning_rate': [1e-3, 1e-2]}\n"


def read(tmp_path: Path, returned: str, seeds: int = 2, head: str = "") -> space_lib.Space:
    path = tmp_path / "space.py"
    path.write_text(f"{head}\ndef space():\n    return {returned}\n")
    return space_lib.read(str(path), config_lib.create_default(), seeds=seeds)


def start(*arguments: object) -> processes.Process:
    return processes.start("-m", "ecg_jax.sweep", *arguments)


def call(*arguments: object) -> subprocess.CompletedProcess:
    return processes.run("-m", "ecg_jax.sweep", *arguments)


def assert_one_line(done: subprocess.CompletedProcess, *parts: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr


def test_a_grid_is_every_combination_with_every_seed(tmp_path):
    space = read(tmp_path, "{'optimizer.learning_rate': [1e-3, 1e-2], 'train.batch_size': [8, 16, 32]}")
    assert space.size == 12
    assert not space.is_search
    points = list(space.points.values())
    assert len(points) == 12
    assert {(p["optimizer.learning_rate"], p["train.batch_size"], p["seed"]) for p in points} == {
        (rate, size, seed) for rate in (1e-3, 1e-2) for size in (8, 16, 32) for seed in (0, 1)
    }
    assert all(config_lib.fingerprint(space.create_config(point)) == key for key, point in space.points.items())


def test_points_that_are_no_product_are_listed(tmp_path):
    listed = "[{'model.name': 'narrow'}, {'model.name': 'reference', 'optimizer.learning_rate': 1e-4}]"
    space = read(tmp_path, listed, seeds=1)
    assert list(space.points.values()) == [
        {"seed": 0, "model.name": "narrow"},
        {"seed": 0, "model.name": "reference", "optimizer.learning_rate": 1e-4},
    ]
    assert space.keys == ("model.name", "optimizer.learning_rate")


def test_seeds_of_the_space_itself_take_the_place_of_the_usual_ones(tmp_path):
    assert [point["seed"] for point in read(tmp_path, "{'seed': [7, 9]}", seeds=5).points.values()] == [7, 9]


def test_the_same_configuration_twice_is_one_point(tmp_path):
    assert len(read(tmp_path, "{'train.batch_size': [8, 8], 'optimizer.learning_rate': [1e-3, 0.001]}").points) == 2


def test_numbers_of_numpy_are_numbers(tmp_path):
    head = "import numpy as np\nfrom optuna.distributions import *"
    grid = "{'optimizer.learning_rate': np.logspace(-4, -3, 2), 'train.batch_size': [np.int64(8), np.int32(16)]}"
    plain = "{'optimizer.learning_rate': [1e-4, 1e-3], 'train.batch_size': [8, 16]}"
    assert read(tmp_path, grid, head=head).points == read(tmp_path, plain).points
    drawn = (
        "{'train.batch_size': IntDistribution(np.int64(8), np.int64(16)), 'optimizer.weight_decay': [np.float32(0.5)],"
        " 'model.dropout_rate': FloatDistribution(np.float32(0.25), np.float64(0.5)),"
        " 'model.transfer.dense_widths': CategoricalDistribution([(np.int64(8), 4), (16,)])}"
    )
    space = read(tmp_path, drawn, head=head)
    assert space.axes["optimizer.weight_decay"] == [0.5]
    assert json.dumps(space.describe())
    assert space.create_config({"train.batch_size": 8, "optimizer.weight_decay": 0.5}).train.batch_size == 8


def test_a_tuple_survives_what_is_stored(tmp_path):
    space = read(tmp_path, "{'model.transfer.dense_widths': [(8, 4), (16,)]}", seeds=1)
    stored = [{key: space_lib.encode(value) for key, value in point.items()} for point in space.points.values()]
    assert [point["model.transfer.dense_widths"] for point in stored] == ["[8, 4]", "[16]"]
    found = [space.create_config(space.decode(point)).model.transfer.dense_widths for point in stored]
    assert found == [(8, 4), (16,)]


@pytest.mark.parametrize(
    "returned, parts",
    [
        ("{'optimizer.rate': [1e-3]}", ["unknown key(s) optimizer.rate", "optimizer.learning_rate"]),
        ("{'optimizer.learning_rate': ['fast']}", ["config.optimizer.learning_rate is 'fast'", "expected float"]),
        ("{'train.batch_size': [8, 0]}", ["config.train.batch_size is 0", "at least 1"]),
        ("{'train.batch_size': []}", ["not empty"]),
        ("{}", ["space() must return"]),
        ("[]", ["space() must return"]),
        ("[{}]", ["space() must return"]),
        ("{'train.batch_size': 8}", ["a list of values"]),
        ("{'train.batch_size': FloatDistribution(8.0, 16.0)}", ["config.train.batch_size is 8.0", "expected int"]),
        ("{'seed': IntDistribution(0, 9)}", ["a seed is not drawn"]),
        ("1 / 0", ["ZeroDivisionError", "must define space()"]),
        ("{'model.name': ['narrow', 'narow']}", ["model.name is 'narow'", "known: ", "did you mean narrow?"]),
        ("{'optimizer.name': CategoricalDistribution(['adamm'])}", ["optimizer.name is 'adamm'", "did you mean adam"]),
        ("[{'schedule.name': 'cosin'}]", ["schedule.name is 'cosin'", "cosine"]),
        ("{'contract.leads': [('I', 'V7')]}", ["contract.leads", "V7"]),
        ("{'evaluation.threshold_rule': ['sensitivity=2']}", ["threshold rule 'sensitivity=2'"]),
    ],
)
def test_a_space_that_cannot_work_is_refused_before_anything_runs(returned, parts, tmp_path):
    with pytest.raises(InputError) as refused:
        read(tmp_path, returned, head="from optuna.distributions import *")
    assert all(part in str(refused.value) for part in ["--space=", *parts]), refused.value


def test_the_interval_of_a_mean_over_three_seeds_is_students(tmp_path):
    # 0.90, 0.92, 0.94: mean 0.92, standard deviation 0.02; t of 2 degrees of freedom is 4.3027.
    row = {
        "state": "complete",
        "parameters": 5,
        "seconds": 1.0,
        "validation loss": 0.5,
        "validation average_precision": 0.5,
    }
    rows = [row | {"seed": seed, "run": f"run{seed}", "validation auroc": 0.9 + 0.02 * seed} for seed in range(3)]

    class Fixed:
        settings = type("Settings", (), {"objectives": ("auroc",)})
        scores = ("loss", "auroc", "average_precision")
        space = read(tmp_path, "{'train.batch_size': [8]}")

    rows.append(rows[0] | {"seed": 3, "state": "failed"})
    found = results._aggregate({"train.batch_size": 8}, rows, Fixed()).row
    assert (found["runs"], found["missing"]) == (3, 1)
    assert found["validation auroc"] == pytest.approx(0.92)
    assert found["validation auroc_sd"] == pytest.approx(0.02)
    half = 4.3027 * 0.02 / np.sqrt(3)
    assert found["validation auroc_low"] == pytest.approx(0.92 - half, abs=1e-5)
    assert found["validation auroc_high"] == pytest.approx(0.92 + half, abs=1e-5)
    # Of 0.90 and 0.92 it is 0.91 +- 12.7062 x 0.0141 / sqrt(2): 0.783 to 1.037, which no AUROC can be.
    two = results._aggregate({"train.batch_size": 8}, rows[:2], Fixed()).row
    assert (two["validation auroc_low"], two["validation auroc_high"]) == (pytest.approx(0.7829, abs=1e-4), 1.0)


def test_a_configuration_that_lacks_a_seed_comes_after_those_that_are_whole(tmp_path):
    rates = (0.00012345678, 0.00012345679)  # which are two, however they are shown
    space = read(tmp_path, f"{{'optimizer.learning_rate': {list(rates)}}}")
    study = Study(str(tmp_path / "sweep"), space, Settings(objectives=("loss",)), Console(quiet=True))
    for claim in iter(study.claim, None):
        rate, seed = claim.overrides["optimizer.learning_rate"], claim.overrides["seed"]
        if rate == rates[1] and seed == 1:
            study.fail(claim, "not finite")
            continue
        [folder] = study.folders(claim.overrides)
        Path(folder).mkdir(parents=True)
        scores = {"loss": 0.3 if rate == rates[0] else 0.1, "auroc": 0.5, "average_precision": 0.5}
        (Path(folder) / "result.json").write_text(json.dumps({"validation": scores, "test": scores}))
        study.complete(claim, scores)
    found = results.collect(study, judges=False)
    assert [each.row["validation loss"] for each in found.ranked] == [pytest.approx(0.3), 0.1]
    assert [each.row["missing"] for each in found.ranked] == [0, 1]
    assert len(found.runs) == 4


def write_run(folder: Path, truth: np.ndarray, chance: np.ndarray) -> str:
    folder.mkdir()
    table = pd.DataFrame({"recording": [f"r{i}" for i in range(len(truth))], "split": "validation"})
    table["AF_true"], table["AF"], table["AF_raw"] = truth, chance, chance
    table.to_csv(folder / "predictions.csv", index=False)
    return str(folder)


@pytest.mark.parametrize("objective, column", [("auroc", "validation auroc"), ("loss", "validation loss")])
def test_the_best_of_many_coins_is_too_good_by_what_it_is_above_a_coin(objective, column, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    made = []
    for k in range(20):  # that know nothing
        chance = rng.uniform(0.3, 0.7, 200)
        folder = write_run(tmp_path / f"{k}", truth, chance)
        ranks = chance.argsort().argsort() + 1
        positives = truth.sum()
        auroc = (ranks[truth == 1].sum() - positives * (positives + 1) / 2) / (positives * (200 - positives))
        loss = -np.where(truth == 1, np.log(chance), np.log(1 - chance)).mean()
        made.append(Configuration({"k": k}, {0: folder}, {"validation auroc": auroc, "validation loss": loss}))
    sign = -1 if objective == "auroc" else 1
    ranked = sorted(made, key=lambda each: sign * each.row[column])
    optimism = results.estimate_optimism(ranked, objective, kind="finding", seed=0)
    values = [each.row[column] for each in ranked]
    excess = abs(values[0] - np.mean(values))  # what choosing has gained, where nothing was to be gained
    assert 0.5 * excess < optimism < 2 * excess
    assert np.isnan(results.estimate_optimism(ranked[:1], objective, kind="finding", seed=0))


def test_a_legend_names_a_configuration_as_long_as_it_can_be_read():
    assert page._name(1, {"learning_rate": 0.00123456, "name": "sgd"}) == "1: learning_rate=0.00123, name=sgd"
    assert page._name(2, {}) == "2: base"
    assert page._name(3, {f"key{k}": "something" for k in range(6)}) == "rank 3"


def test_the_command_of_the_winner_has_the_flags_of_the_sweep_and_its_own():
    winner = Configuration({"optimizer.learning_rate": 0.01, "freeze.patterns": ("a", "b c")}, {0: "x"}, {})
    found = results.Results(pd.DataFrame(), [winner], "auroc", np.nan, {})
    line = summary.describe_command(
        found, ["--space=s.py", "--config", "configs/smoke.py", "--config.seed=3", "--workers=2"]
    )
    assert shlex.split(line) == [
        *("python", "-m", "ecg_jax.main", "--config", "configs/smoke.py", "--config.seed=3"),
        *("--config.optimizer.learning_rate=0.01", "--config.freeze.patterns=('a', 'b c')"),
    ]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """A finished sweep of two learning rates, one of which is none, and two seeds."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "space.py").write_text(RATES.replace("1e-2", "1e-2, 1e30"))
    done = call(*TINY, f"--space={folder / 'space.py'}", f"--workdir={folder / 'rates'}", "--seeds=2")
    (folder / "stdout").write_text(done.stdout)
    assert done.returncode == 2, done.stdout + done.stderr  # a run failed
    return folder


@pytest.mark.slow
def test_a_sweep_ranks_by_validation_and_shows_the_test_split_for_the_winner_alone(sweep):
    table = pd.read_csv(sweep / "rates" / "results.csv")
    assert [*table["rank"]] == [1, 2]
    assert [*table["runs"]] == [2, 2]
    assert sorted(table["optimizer.learning_rate"]) == [1e-3, 1e-2]
    assert table["validation loss"].is_monotonic_increasing
    assert not [name for name in table if "test" in name]
    runs = pd.read_csv(sweep / "rates" / "runs.csv")
    for rate, group in runs[runs["state"] == "complete"].groupby("optimizer.learning_rate"):
        written = [json.loads((Path(run) / "result.json").read_text())["validation"]["loss"] for run in group["run"]]
        found = table.set_index("optimizer.learning_rate").loc[rate, "validation loss"]
        assert found == pytest.approx(np.mean(written))
    said = (sweep / "stdout").read_text()
    assert said.count("Its test split") == 1
    assert "Test split, best" not in said
    assert "too good by about" in said
    assert "| 1 |" in (sweep / "rates" / "results.md").read_text()


@pytest.mark.slow
def test_a_run_that_fails_is_recorded_with_its_reason_and_stops_nothing(sweep):
    runs = pd.read_csv(sweep / "rates" / "runs.csv")
    failed = runs[runs["state"] == "failed"]
    assert [*failed["optimizer.learning_rate"]] == [1e30, 1e30]
    assert failed["reason"].str.contains("is not finite").all()
    assert (runs["state"] == "complete").sum() == 4
    assert "failed: " in (sweep / "stdout").read_text()


@pytest.mark.slow
def test_the_same_command_runs_nothing_twice_and_best_prints_the_winner(sweep):
    arguments = [*TINY, f"--space={sweep / 'space.py'}", f"--workdir={sweep / 'rates'}", "--seeds=2"]
    before = {path: path.stat().st_mtime_ns for path in (sweep / "rates").glob("*/result.json")}
    again = call(*arguments)
    assert again.returncode == 2
    assert before == {path: path.stat().st_mtime_ns for path in (sweep / "rates").glob("*/result.json")}
    assert "Trial " not in again.stdout
    best = call(*arguments, "--best")
    assert best.returncode == 0
    rate = pd.read_csv(sweep / "rates" / "results.csv")["optimizer.learning_rate"][0]
    assert f"--config.optimizer.learning_rate={rate}" in best.stdout
    assert "ecg_jax.main" in best.stdout


@pytest.mark.slow
def test_the_page_of_a_sweep_needs_nothing_else(sweep):
    text = (sweep / "rates" / "report.html").read_text()
    assert not re.search(r"(src|href)=\"https?:", text)
    for words in ("Ranking", "figure_curves", "figure_slices", "figure_parallel", "is not finite", "optimism"):
        assert words in text, words


@pytest.mark.slow
def test_a_sweep_that_is_killed_with_its_workers_ends_as_one_that_was_not(sweep, tmp_path):
    (tmp_path / "space.py").write_text(RATES)
    arguments = [*TINY, "--config.checkpoint.every=1", f"--space={tmp_path / 'space.py'}", "--seeds=1", "--workers=2"]
    arguments.append(f"--workdir={tmp_path / 'killed'}")
    launched = start(*arguments)
    until = time.monotonic() + 200
    while not list((tmp_path / "killed").glob("*/checkpoints/last/1")):
        assert time.monotonic() < until
        assert launched.poll() is None
        time.sleep(0.05)
    children = [int(pid) for pid in Path(f"/proc/{launched.pid}/task/{launched.pid}/children").read_text().split()]
    os.kill(children[0], signal.SIGKILL)
    launched.kill()
    launched.wait()
    until = time.monotonic() + 60
    while Path(f"/proc/{children[1]}").exists():  # an orphan saves its run, and stops
        assert time.monotonic() < until
        time.sleep(0.1)
    done = call(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "killed" / "runs.csv")
    assert sorted(table["optimizer.learning_rate"]) == [1e-3, 1e-2]
    assert set(table["state"]) == {"complete"}
    reference = pd.read_csv(sweep / "rates" / "runs.csv")
    reference = reference[(reference["seed"] == 0) & (reference["state"] == "complete")]
    for name in ("validation loss", "validation auroc"):
        found = table.set_index("optimizer.learning_rate")[name]
        expected = reference.set_index("optimizer.learning_rate")[name]
        np.testing.assert_allclose(found.sort_index(), expected.sort_index(), rtol=1e-5)


@pytest.mark.slow
def test_a_search_with_several_objectives_and_one_that_prunes(tmp_path):
    head = "from optuna.distributions import FloatDistribution as F\n"
    (tmp_path / "space.py").write_text(head + RATES.replace("[1e-3, 1e-2]", "F(1e-3, 1e-2, log=True)"))
    common = [*TINY, f"--space={tmp_path / 'space.py'}", "--seeds=1", "--trials=2"]
    several = call(*common, f"--workdir={tmp_path / 'several'}", "--objectives=auroc,parameters")
    assert several.returncode == 0, several.stderr
    table = pd.read_csv(tmp_path / "several" / "results.csv")
    assert len(table) == 2
    assert table["validation auroc"].is_monotonic_decreasing
    assert (table["parameters"] > 10_000).all()


@pytest.mark.slow
def test_a_dry_run_lists_the_runs_and_estimates_the_time(tmp_path):
    (tmp_path / "space.py").write_text(RATES)
    done = call(*TINY, f"--space={tmp_path / 'space.py'}", f"--workdir={tmp_path / 'none'}", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert "6 runs" in done.stdout
    assert re.search(r"All 6 runs, one after the other: about \d+ (s|min)", done.stdout)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_bad_input_is_told_in_a_line_with_the_remedy(sweep, tmp_path):
    def write(text: str) -> str:
        (tmp_path / "space.py").write_text(text)
        return f"--space={tmp_path / 'space.py'}"

    million = "def space():\n    return {'optimizer.learning_rate': [1 / k for k in range(1, 10**6 + 1)]}\n"
    assert_one_line(call(*TINY, write(million), f"--workdir={tmp_path / 'x'}"), "3,000,000 runs", "--yes", "--trials")
    unknown = "def space():\n    return {'optimizer.rate': [1e-3]}\n"
    assert_one_line(call(*TINY, write(unknown), f"--workdir={tmp_path / 'x'}"), "unknown key(s) optimizer.rate")
    other = call(*TINY, write(RATES), f"--workdir={sweep / 'rates'}")
    assert_one_line(other, "is the folder of another sweep", "pass another --workdir")
    away = call(*TINY, write(RATES), f"--workdir={tmp_path / 'x'}", "--storage=postgresql://me@127.0.0.1:1/ecg")
    assert_one_line(away, "does not answer", "start the server")
    none = call(*TINY, write(RATES), f"--workdir={tmp_path / 'y'}", "--best")
    assert_one_line(none, "holds no sweep yet")
