"""Many processes work on one sweep, and any of them may be killed: every point ends exactly once."""

import collections
import pickle
import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import postgresql
import processes
import pytest
import sqlalchemy
from rich.console import Console
from workers import claimer

from ecg_jax import config as config_lib
from ecg_jax.errors import InputError
from ecg_jax.sweeps import database, launcher, owners, samplers
from ecg_jax.sweeps import space as space_lib
from ecg_jax.sweeps import study as study_lib
from ecg_jax.sweeps.study import Settings, Study

WORKER = Path(__file__).parent / "workers" / "claimer.py"
GRID = "def space():\n    return {'optimizer.learning_rate': [1e-3, 1e-2, 1e-1], 'train.batch_size': [8, 16]}\n"
SEARCH = (
    "from optuna.distributions import FloatDistribution\n"
    "def space():\n    return {'optimizer.learning_rate': FloatDistribution(1e-4, 1e-1, log=True)}\n"
)


def write_space(folder: Path, text: str = GRID) -> Path:
    path = folder / "space.py"
    path.write_text(text)
    return path


def open_study(folder: Path, path: Path, storage: str = "", **settings) -> Study:
    base = config_lib.create_default()
    space = space_lib.read(str(path), base, seeds=2)
    chosen = Settings(**{"objectives": ("loss",), "heartbeat": 5} | settings)
    return Study(str(folder), space, chosen, Console(quiet=True), storage=storage)


def start(folder: Path, storage: str, path: Path, seconds: float, *rest: str) -> processes.Process:
    return processes.start(WORKER, folder, storage, path, seconds, *rest)


def finish(workers: list[processes.Process]) -> list[str]:
    said = ["".join(worker.communicate(timeout=120)) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(workers), said
    return said


def assert_every_point_ended_once(folder: Path, path: Path, storage: str = "") -> None:
    study = open_study(folder, path, storage)
    points = study.points()
    assert {point.key for point in points} == set(study.space.points)
    assert {point.state for point in points} == {"complete"}
    for point in points:
        assert point.trial.value == claimer.value_of(point.overrides)
    trials = study._study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(trials) == len(points)
    ended = collections.Counter((folder / "ended").read_text().split())
    assert set(ended.values()) == {1}


@pytest.fixture(scope="module")
def server():
    if not postgresql.find_programs():
        pytest.skip("PostgreSQL is not installed")
    with postgresql.serve() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request) -> str:
    if request.param == "sqlite":
        return ""
    return database.find_url(request.getfixturevalue("server").address)


@pytest.mark.slow
def test_four_processes_share_one_study_and_no_point_is_run_twice(tmp_path, storage):
    path, folder = write_space(tmp_path), tmp_path / f"four-{bool(storage)}"
    said = finish([start(folder, storage, path, 0.2) for _ in range(4)])
    assert said == [""] * 4  # no lock error, and nothing else, reaches the user
    assert_every_point_ended_once(folder, path, storage)
    assert len((folder / "running").read_text().split()) == 12


@pytest.mark.slow
def test_processes_killed_at_random_points_lose_nothing(tmp_path, storage):
    path, folder = write_space(tmp_path), tmp_path / f"killed-{bool(storage)}"
    chance = random.Random(0)
    workers: list[processes.Process] = []
    killed = 0
    until = time.monotonic() + 120
    while killed < 8 or any(worker.poll() is None for worker in workers):
        assert time.monotonic() < until
        workers = [worker for worker in workers if worker.poll() is None]
        if killed < 8:
            while len(workers) < 3:
                workers.append(start(folder, storage, path, 0.3))
            time.sleep(chance.uniform(0.2, 2.5))
            victim = chance.choice(workers)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            killed += 1
        else:
            if not workers:
                break
            time.sleep(0.1)
    finish([start(folder, storage, path, 0.05)])
    assert_every_point_ended_once(folder, path, storage)


@pytest.mark.slow
def test_connections_that_are_cut_and_a_server_that_crashes_lose_nothing(tmp_path, server):
    storage = database.find_url(server.address)
    path, folder = write_space(tmp_path), tmp_path / "cut"
    workers = [start(folder, storage, path, 0.4) for _ in range(3)]
    while not (folder / "ended").exists():
        time.sleep(0.1)
    engine = sqlalchemy.create_engine(storage, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.pool.NullPool)
    for _ in range(4):
        time.sleep(0.25)
        with engine.connect() as connection:
            connection.execute(
                sqlalchemy.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )
    server.stop("immediate")
    time.sleep(1)
    server.start()
    said = finish(workers)
    assert any("does not answer" in text for text in said)
    assert_every_point_ended_once(folder, path, storage)


def test_a_trial_whose_process_is_gone_is_taken_over_at_once(tmp_path):
    path = write_space(tmp_path)
    first = start(tmp_path / "sweep", "", path, 60)
    while not (tmp_path / "sweep" / "running").exists():
        time.sleep(0.05)
    first.kill()
    first.wait()
    key = (tmp_path / "sweep" / "running").read_text().strip()
    study = open_study(tmp_path / "sweep", path)
    taken = [study.claim().key for _ in range(12)]
    assert key in taken
    assert len(set(taken)) == 12
    assert study.claim() is None
    assert not study.is_over


def test_a_point_whose_processes_die_again_and_again_is_given_up(tmp_path):
    path = write_space(tmp_path, "def space():\n    return [{'optimizer.learning_rate': 0.5, 'seed': 0}]\n")
    for _ in range(3):
        (tmp_path / "sweep" / "running").unlink(missing_ok=True)
        worker = start(tmp_path / "sweep", "", path, 60)
        while not (tmp_path / "sweep" / "running").exists():
            time.sleep(0.05)
        worker.kill()
        worker.wait()
    study = open_study(tmp_path / "sweep", path)
    assert study.claim() is None
    assert study.is_over
    [point] = study.points()
    assert point.state == "failed"
    assert "3 processes that ran it died, without a new checkpoint" in point.reason
    again = open_study(tmp_path / "sweep", path, retries_failed=True)
    assert again.claim().key == point.key


def test_where_a_sweep_stands_is_told_although_the_time_of_a_run_is_unknown(tmp_path):
    study = open_study(tmp_path / "sweep", write_space(tmp_path))
    study.complete(study.claim(), {"loss": 0.5}, seconds=float("nan"))
    assert launcher.look(study) == (1, 12, "1 of 12 done, best loss 0.5000")
    study.complete(study.claim(), {"loss": 0.25}, seconds=60.0)
    assert launcher.look(study, workers=2) == (2, 12, "2 of 12 done, best loss 0.2500, about 0:05:00 left")


def test_a_large_grid_is_known_whole_but_has_trials_only_for_what_has_begun(tmp_path):
    """So that the first trial, and each one after it, is claimed as fast as in a small one."""
    rates, sizes = [1e-3 * (k + 1) for k in range(40)], list(range(1, 41))
    text = f"def space():\n    return {{'optimizer.learning_rate': {rates}, 'train.batch_size': {sizes}}}\n"
    study = open_study(tmp_path / "sweep", write_space(tmp_path, text))
    first, second = study.claim(), study.claim()
    study.complete(first, {"loss": 1.0})
    points = study.points()
    assert [point.key for point in points] == list(study.space.points)
    assert [point.state for point in points] == ["complete", "running"] + ["waiting"] * (40 * 40 * 2 - 2)
    assert [point.key for point in points if point.trial.number >= 0] == [first.key, second.key]
    assert launcher.look(study)[:2] == (1, 3200)


def test_what_failed_stays_failed_and_what_was_interrupted_comes_again(tmp_path):
    study = open_study(tmp_path / "sweep", write_space(tmp_path))
    failed, interrupted = study.claim(), study.claim()
    study.fail(failed, "out of memory")
    study.give_back(interrupted)
    keys = []
    while claim := study.claim():
        keys.append(claim.key)
        study.complete(claim, {"loss": 1.0})
    assert interrupted.key in keys
    assert failed.key not in keys
    assert len(keys) == 11
    assert study.is_over
    reasons = {point.key: (point.state, point.reason) for point in study.points()}
    assert reasons[failed.key] == ("failed", "out of memory")


def test_a_process_that_lives_on_this_machine_keeps_its_trial_however_long_it_is_silent(tmp_path, monkeypatch):
    path = write_space(tmp_path)
    worker = start(tmp_path / "sweep", "", path, 60)
    while not (tmp_path / "sweep" / "running").exists():
        time.sleep(0.05)
    key = (tmp_path / "sweep" / "running").read_text().strip()
    study = open_study(tmp_path / "sweep", path)
    now = [0.0]
    monkeypatch.setattr(owners, "time", SimpleNamespace(monotonic=lambda: now[0]))
    keys = [claim.key for claim in iter(study.claim, None)]
    for _ in range(2 * owners.MISSED):
        now[0] += 100
        assert study.claim() is None
    assert len(keys) == 11
    assert key not in keys
    worker.kill()
    worker.wait()
    assert study.claim().key == key


def test_a_silent_process_of_another_machine_is_given_up_after_it_was_looked_at_for_as_long_as_it_may_be_silent(
    tmp_path, monkeypatch
):
    first = open_study(tmp_path / "sweep", write_space(tmp_path))
    claim = first.claim()
    claim.trial.set_user_attr("owner", "elsewhere-1-abc")
    study = open_study(tmp_path / "sweep", tmp_path / "space.py", heartbeat=1)
    now = [0.0]
    monkeypatch.setattr(owners, "time", SimpleNamespace(monotonic=lambda: now[0]))
    keys = [each.key for each in iter(study.claim, None)]
    assert claim.key not in keys
    now[0] += 1000  # the database was away, which counts as one beat
    assert study.claim() is None
    claim.trial.set_user_attr("beat", 1)
    assert study.claim() is None
    for _ in range(owners.MISSED - 1):
        now[0] += 1
        assert study.claim() is None
    now[0] += 1
    assert study.claim().key == claim.key


def test_a_process_beats_and_notices_that_its_trial_was_taken_over(tmp_path):
    study = open_study(tmp_path / "sweep", write_space(tmp_path), heartbeat=1)
    claim = study.claim()
    until = time.monotonic() + 60
    with study.give_signs_of_life(claim, lambda: None) as is_lost:
        while study._study.get_trials()[claim.trial.number].user_attrs.get("beat") != 1:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert not is_lost()
        study._study.tell(claim.trial.number, state=optuna.trial.TrialState.FAIL)
        while not is_lost():
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_search_runs_the_seed_that_its_space_lists(tmp_path):
    text = SEARCH.replace("{'optimizer", "{'seed': [5, 6], 'optimizer")
    study = open_study(tmp_path / "sweep", write_space(tmp_path, text), trials=3)
    for claim in iter(study.claim, None):
        assert claim.seeds == (claim.overrides["seed"],)
        [folder] = study.folders(claim.overrides)
        assert folder.endswith(claim.key)


def test_a_claim_that_was_taken_for_dead_can_no_longer_be_completed(tmp_path):
    study = open_study(tmp_path / "sweep", write_space(tmp_path), pruner="median")
    claim = study.claim()
    study._study.tell(claim.trial.number, state=optuna.trial.TrialState.FAIL)
    with pytest.raises(study_lib.Lost):
        study.report(claim, 0.5, 1)
    study.complete(claim, {"loss": 0.0})  # ignored
    keys = [each.key for each in iter(study.claim, None)]
    assert len(keys) == 12
    assert claim.key in keys


def test_a_search_draws_as_many_points_as_it_was_told_and_goes_on_as_if_it_had_not_stopped(tmp_path):
    def search(folder: Path, stops_at: int) -> list[float]:
        study = open_study(folder, write_space(tmp_path, SEARCH), sampler="random", trials=6)
        for number in range(6):
            if number == stops_at:
                study.give_back(study.claim())
                study = open_study(folder, tmp_path / "space.py", sampler="random", trials=6)
            claim = study.claim()
            assert claim.seeds == (0, 1)
            study.complete(claim, {"loss": claim.overrides["optimizer.learning_rate"]})
        assert study.claim() is None
        return [point.trial.value for point in study.points()]

    whole, stopped = search(tmp_path / "whole", 99), search(tmp_path / "stopped", 3)
    assert whole == stopped
    assert len(set(whole)) == 6
    assert all(1e-4 <= value <= 1e-1 for value in whole)


def test_a_search_that_draws_a_point_again_does_not_run_it_again_and_ends_where_there_are_no_others(tmp_path):
    head = "from optuna.distributions import CategoricalDistribution as C\n"
    text = f"{head}def space():\n    return {{'optimizer.name': C(['adam', 'sgd'])}}\n"
    study = open_study(tmp_path / "sweep", write_space(tmp_path, text), sampler="random", trials=5)
    failed = study.claim()
    study.fail(failed, "not finite")
    claim = study.claim()
    study.complete(claim, {"loss": 1.0})
    assert study.claim() is None
    assert study.is_over
    states = {point.overrides["optimizer.name"]: point.state for point in study.points()}
    assert states == {failed.overrides["optimizer.name"]: "failed", claim.overrides["optimizer.name"]: "complete"}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", study_lib.SAMPLERS)
def test_every_sampler_finds_the_valley_of_a_parabola(sampler, tmp_path):
    text = SEARCH.replace("}", ", 'augment.noise': FloatDistribution(0.0, 1.0)}")
    study = open_study(tmp_path / "sweep", write_space(tmp_path, text), sampler=sampler, trials=30)
    while claim := study.claim():
        rate, noise = claim.overrides["optimizer.learning_rate"], claim.overrides["augment.noise"]
        study.complete(claim, {"loss": (np.log10(rate) + 2) ** 2 + (noise - 0.3) ** 2})
    values = [point.trial.value for point in study.points()]
    assert len(values) == 30
    assert min(values) < 0.2


def test_the_median_pruner_ends_a_trial_that_is_worse_than_most(tmp_path):
    study = open_study(tmp_path / "sweep", write_space(tmp_path), pruner="median")
    for _ in range(6):
        claim = study.claim()
        assert not any(study.report(claim, 1 / step, step) for step in (1, 2, 3))
        study.complete(claim, {"loss": 1 / 3})
    claim = study.claim()
    assert study.report(claim, 5.0, 1)
    study.prune(claim)
    assert [point.state for point in study.points()].count("pruned") == 1


@pytest.mark.parametrize(
    "change, parts",
    [
        ({"objectives": ("auroc",)}, ["another sweep", "another objectives", "--workdir"]),
        ({"base": {"train.batch_size": 7}}, ["another sweep", "train.batch_size: 64 there, 7 here"]),
        ({"space": GRID.replace("16", "32")}, ["another sweep", "another space"]),
    ],
)
def test_the_folder_of_another_sweep_is_refused(change, parts, tmp_path):
    open_study(tmp_path / "sweep", write_space(tmp_path))
    base = config_lib.override(config_lib.create_default(), change.get("base", {}))
    path = write_space(tmp_path, change.get("space", GRID))
    settings = Settings(objectives=change.get("objectives", ("loss",)))
    with pytest.raises(InputError) as refused:
        Study(str(tmp_path / "sweep"), space_lib.read(str(path), base, seeds=2), settings, Console(quiet=True))
    assert all(part in str(refused.value) for part in parts), refused.value


def test_a_storage_that_does_not_answer_is_said_in_a_line_without_the_password(tmp_path):
    url = database.find_url("postgresql://me:secret@127.0.0.1:1/ecg")
    with pytest.raises(InputError) as refused:
        open_study(tmp_path / "sweep", write_space(tmp_path), url)
    assert "does not answer" in str(refused.value)
    assert "start the server" in str(refused.value)
    assert "secret" not in str(refused.value)
    with pytest.raises(InputError, match="expected postgresql://"):
        database.find_url("mysql://host/database")


@pytest.mark.parametrize(
    "settings, text, reason",
    [
        ({"pruner": "median", "objectives": ("auroc", "parameters")}, SEARCH, "several objectives"),
        ({"sampler": "cmaes", "objectives": ("auroc", "parameters")}, SEARCH, "single objective"),
        ({"pruner": "hyperband", "objectives": ("parameters",)}, SEARCH, "known at the end"),
        ({"sampler": "grid"}, SEARCH, "random, tpe, cmaes"),
        ({"pruner": "percentile"}, GRID, "none, median, hyperband"),
        ({"objectives": ("accuracy",)}, GRID, "loss, auroc"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(settings, text, reason, tmp_path):
    space = space_lib.read(str(write_space(tmp_path, text)), config_lib.create_default(), seeds=1)
    with pytest.raises(InputError, match=reason):
        study_lib.check_settings(Settings(**{"objectives": ("loss",)} | settings), space)


class _Stranger:
    def __reduce__(self):
        return print, ("unpickled",)


def sample(study, trials):
    """Points that a CMA-ES search draws, each trial by a new sampler, as after a restart."""
    drawn = []
    for number in range(trials):
        study.sampler = samplers.create("cmaes", number)
        trial = study.ask()
        drawn.append(trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1))
        study.tell(trial, drawn[-1])
    return drawn


def test_cmaes_draws_another_point_before_a_generation_is_complete():
    study = optuna.create_study(sampler=samplers.create("cmaes", 0))
    drawn = set()
    for number in range(6):
        trial = study.ask(dict.fromkeys("ab", optuna.distributions.FloatDistribution(0, 1)))
        drawn.add((trial.params["a"], trial.params["b"]))
        study.tell(trial, number)
    assert len(drawn) == 6


def test_cmaes_goes_on_from_the_trials_in_the_study():
    study = optuna.create_study()
    drawn = sample(study, 60)
    assert np.mean(drawn[-10:]) < np.mean(drawn[:10])


def test_a_study_of_another_user_runs_no_code(capsys):
    study = optuna.create_study()
    sample(study, 3)
    first, state = study.trials[0], {"cma:optimizer:0": pickle.dumps(_Stranger()).hex()}  # where Optuna keeps its own
    made = optuna.create_trial(params=first.params, distributions=first.distributions, value=1.0, system_attrs=state)
    study.add_trial(made)
    sample(study, 10)
    assert not capsys.readouterr().out


def test_cmaes_draws_every_kind_of_number():
    study = optuna.create_study(direction="maximize")
    for number in range(60):
        study.sampler = samplers.create("cmaes", number)
        trial = study.ask()
        rate, size = trial.suggest_float("rate", 1e-5, 1e-1, log=True), trial.suggest_int("size", 8, 64, step=8)
        depth, name = trial.suggest_int("depth", 1, 100, log=True), trial.suggest_categorical("name", ["a", "b"])
        assert 1e-5 <= rate <= 1e-1
        assert size in range(8, 65, 8)
        assert depth in range(1, 101)
        assert name in "ab"
        study.tell(trial, np.log10(rate) + size / 64 - np.log(depth))
    values = [trial.value for trial in study.trials]
    assert np.mean(values[-20:]) > np.mean(values[:20]) + 1
