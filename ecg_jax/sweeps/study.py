"""The memory of a sweep: an Optuna study that any number of processes work on, and any of them may be killed.

A trial is claimed, run, and finished. What makes that safe: claiming is one critical section
(a lock of the system for SQLite, of the server for PostgreSQL; both are given back when their
holder dies); every point has a key, the fingerprint of its configuration; the owner of a trial
holds a lock while it lives and records a heartbeat, so that a trial whose owner is dead is given
to another one, which goes on from its last checkpoint. Optuna's states are kept as they are
meant: a trial that was lost stays, as failed, and another one with the same key takes its place.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.errors import InputError
from ecg_jax.runtime import run_folder
from ecg_jax.sweeps.space import Space, encode

DATABASE = "study.db"
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {  # what a sweep can be for
    "loss": "minimize",
    "auroc": "maximize",
    "average_precision": "maximize",
    "parameters": "minimize",
    "seconds": "minimize",
}
SAMPLERS = ("random", "tpe", "cmaes")
PRUNERS = ("none", "median", "hyperband")
HEARTBEATS = 4  # that may be missed
_PATIENCE = (1, 2, 5, 10, 30, *[60] * 10)  # seconds between attempts to reach a database that went away
_POSTGRESQL: dict[str, Any] = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
_DEATHS = 3  # without a new checkpoint between them, after which a point is given up
_DATABASE_ERRORS = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)
_LIVE = (TrialState.RUNNING, TrialState.WAITING)
_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a sweep is run.

    Attributes:
        objectives: Names of `DIRECTIONS`; the first one ranks.
        sampler: Of `SAMPLERS`, for a search.
        pruner: Of `PRUNERS`.
        trials: How many points a search has.
        heartbeat: Seconds between signs of life.
        retries_failed: Whether points that have failed so far are tried again.
    """

    objectives: tuple[str, ...]
    sampler: str = "tpe"
    pruner: str = "none"
    trials: int = 50
    heartbeat: int = 30
    retries_failed: bool = False


@dataclasses.dataclass(frozen=True)
class Claim:
    """A trial that this process owns.

    Attributes:
        trial: Optuna's.
        key: Of its point.
        overrides: Dotted keys that differ from the base; with the seed, in a grid.
        seeds: That it runs one after the other.
    """

    trial: optuna.Trial
    key: str
    overrides: Mapping[str, Any]
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Point:
    """What became of a point.

    Attributes:
        key: Of its configuration.
        overrides: Dotted keys that differ from the base.
        state: `complete`, `pruned`, `failed`, `running` or `waiting`.
        trial: Of its trials the one that tells.
        reason: Why it failed.
    """

    key: str
    overrides: Mapping[str, Any]
    state: str
    trial: FrozenTrial
    reason: str = ""


class Study:
    """A sweep's study, as one process sees it."""

    def __init__(
        self,
        workdir: str,
        space: Space,
        settings: Settings,
        console: Console,
        *,
        storage: str = "",
        creates: bool = True,
    ) -> None:
        """Opens it, or creates it.

        Args:
            workdir: The sweep's folder; its name is the study's.
            space: What is tried.
            settings: How.
            console: Where it is said that the database does not answer.
            storage: `postgresql://...`; nothing for a file in the folder.
            creates: Whether it may be new.

        Raises:
            InputError: when the database does not answer, or the study is another sweep's.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage", UserWarning)  # it is recorded all the same
        self.workdir, self.space, self.settings = workdir, space, settings
        self._console = console
        self._name = os.path.basename(os.path.abspath(workdir))
        path = os.path.join(os.path.abspath(workdir), DATABASE)
        if not creates and not storage and not os.path.exists(path):
            raise InputError(f"{workdir}: holds no sweep yet; start one without --best")
        try:
            os.makedirs(os.path.join(workdir, "owners"), exist_ok=True)
        except OSError as error:
            raise InputError(f"{workdir}: cannot be written ({error.strerror}); pass another --workdir") from error
        self._url = storage or f"sqlite:///{path}"
        self._is_local = not storage
        self._owner: Any = None
        self._owner_name = ""
        self._owner_lock = threading.Lock()
        directions = [DIRECTIONS[name] for name in settings.objectives]
        try:
            self._server = None if self._is_local else sqlalchemy.create_engine(self._url, **_POSTGRESQL)
            with self._lock():
                self._storage = _open_storage(self._url, settings.heartbeat)
                self._study = optuna.create_study(
                    study_name=self._name, storage=self._storage, directions=directions, load_if_exists=True
                )
                self._identify()
                if settings.retries_failed:
                    self._enqueue("lost", "failed")
        except (*_DATABASE_ERRORS, ImportError) as error:
            raise _explain(self._url, error) from error
        self._study.pruner = _create_pruner(settings.pruner)

    def _identify(self) -> None:
        """A study belongs to one base configuration, space and purpose."""
        wanted = self.space.describe() | {"objectives": list(self.settings.objectives)}
        found = self._study.user_attrs.get("sweep")
        if found is None:
            if self._study.get_trials(deepcopy=False):
                raise InputError(f"{self._name}: the database has a study of this name that is no sweep of ours")
            self._study.set_user_attr("sweep", wanted)
            return
        if found == json.loads(json.dumps(wanted)):
            return
        told = "; ".join(config_lib.differences(found["config"], wanted["config"]))
        others = [
            name for name in wanted if name != "config" and found.get(name) != json.loads(json.dumps(wanted[name]))
        ]
        told = "; ".join(filter(None, [told, f"another {' and other '.join(others)}" if others else ""]))
        raise InputError(f"{self.workdir} is the folder of another sweep ({told[:400]}); pass another --workdir")

    @property
    def sign(self) -> float:
        """Times the first objective: lower is better."""
        return 1.0 if DIRECTIONS[self.settings.objectives[0]] == "minimize" else -1.0

    # What follows may be called while others work on the same study.

    def claim(self) -> Claim | None:
        """Takes the next trial that is to be run; None while there is none, see `is_over`.

        Raises:
            InputError: when the database does not answer for a long time.
        """
        return self._persist(self._claim)

    def _claim(self) -> Claim | None:
        with self._lock():
            self._bury()
            self._enqueue("lost")
            while True:
                trial = self._take()
                if trial is None:
                    return None
                if claim := self._own(trial):
                    return claim

    def _take(self) -> optuna.Trial | None:
        """A trial that waits; in a search, as long as there are too few, a new one."""
        trials = self._study.get_trials(deepcopy=False)
        if any(trial.state == TrialState.WAITING for trial in trials):
            return self._study.ask()
        keys = {trial.user_attrs["key"] for trial in trials if "key" in trial.user_attrs}
        if not self.space.is_search or len(keys) >= self.settings.trials:
            return None
        repeated = sum(trial.user_attrs.get("ended") == "repeated" for trial in trials)
        if repeated > 20 + self.settings.trials:
            return None  # a small space has been drawn out
        # Whatever was killed on the way, the same point comes next; one sampler would repeat itself when started again.
        self._study.sampler = _create_sampler(self.settings.sampler, self.space.base.seed + len(keys) + repeated)
        return self._study.ask()

    def _own(self, trial: optuna.Trial) -> Claim | None:
        """Puts this process' name on a trial; None if another one has the same point."""
        params = {
            key: trial._suggest(key, distribution)  # noqa: SLF001 - the public ones want each kind by its name
            for key, distribution in self.space.distributions.items()
            if self.space.is_search or key in trial.user_attrs["params"]
        }
        overrides = self.space.decode(params)
        key = config_lib.fingerprint(self.space.create_config(overrides))
        others = [each for each in self._study.get_trials(deepcopy=False) if each.user_attrs.get("key") == key]
        others = [each for each in others if each.number != trial.number]
        taken = (*_LIVE, TrialState.COMPLETE, TrialState.PRUNED)
        failed = max((each.number for each in others if each.user_attrs.get("ended") == "failed"), default=-1)
        is_drawn = "key" not in trial.user_attrs  # not put there on purpose
        trial.set_user_attr("key", key)
        trial.set_user_attr("params", params)
        if any(each.state in taken for each in others) or (is_drawn and failed >= 0):
            self._end(trial, TrialState.FAIL, ended="repeated")
            return None
        progress = self.count_progress(overrides)
        lost = [each for each in others if each.state == TrialState.FAIL and "ended" not in each.user_attrs]
        stuck = [each for each in lost if each.number > failed and each.user_attrs.get("progress") == progress]
        if len(stuck) >= _DEATHS:
            reason = f"{len(stuck)} processes that ran it died, without a new checkpoint between them"
            self._end(trial, TrialState.FAIL, ended="failed", reason=reason)
            return None
        self._storage.record_heartbeat(trial._trial_id)  # noqa: SLF001 - its only name
        trial.set_user_attr("progress", progress)
        trial.set_user_attr("owner", self._live())
        return Claim(trial, key, overrides, self.space.seeds if self.space.is_search else (overrides["seed"],))

    def _enqueue(self, *states: str) -> None:
        """Sees to it that every point has a trial, and those in these states another one."""
        points = {point.key: point for point in self._points()}
        wanted: Mapping[str, Mapping[str, Any]] = (
            {key: point.overrides for key, point in points.items()} if self.space.is_search else self.space.points
        )
        for key, overrides in wanted.items():
            point = points.get(key)
            if point is None or point.state in states:
                params = {name: encode(value) for name, value in overrides.items()}
                self._study.enqueue_trial(params, user_attrs={"key": key, "params": params})

    def _bury(self) -> None:
        """Trials whose owner is dead are lost: it gave back its lock, or gives no sign of life."""
        optuna.storages.fail_stale_trials(self._study)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get("owner")
            if owner is None or self._is_dead(owner):
                with contextlib.suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
                    self._study.tell(trial.number, state=TrialState.FAIL)

    def _live(self) -> str:
        """Holds a lock as long as this process lives."""
        with self._owner_lock:
            if self._owner is None:
                self._owner_name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
                self._owner = open(os.path.join(self.workdir, "owners", self._owner_name), "w")  # noqa: SIM115
                fcntl.flock(self._owner, fcntl.LOCK_EX)
            return self._owner_name

    def _is_dead(self, owner: str) -> bool:
        """Of the owners on this machine, whose locks can be tried."""
        if owner == self._owner_name or not owner.startswith(f"{socket.gethostname()}-"):
            return False
        try:
            with open(os.path.join(self.workdir, "owners", owner)) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        except BlockingIOError:
            return False
        except FileNotFoundError:
            return False  # of another folder with the same database

    def count_progress(self, overrides: Mapping[str, Any]) -> str:
        """Which checkpoints the runs of a point have: it changes when one gets further."""
        steps = []
        for folder in self.folders(overrides):
            place = os.path.join(folder, run_folder.CHECKPOINTS, "last")
            steps.append(sorted(os.listdir(place)) if os.path.isdir(place) else [])
        return json.dumps(steps)

    def folders(self, overrides: Mapping[str, Any]) -> list[str]:
        """The run folders of a point, one for each seed that it runs."""
        seeds = [overrides["seed"]] if "seed" in overrides else list(self.space.seeds)
        configs = [self.space.create_config({**overrides, "seed": seed}) for seed in seeds]
        return [os.path.join(self.workdir, config_lib.fingerprint(config)) for config in configs]

    @contextlib.contextmanager
    def give_signs_of_life(self, claim: Claim, check: Callable[[], None]) -> Iterator[None]:
        """Records heartbeats of a claimed trial, and calls `check` every second, until the end of the block."""
        over = threading.Event()

        def beat() -> None:
            last = time.monotonic()
            while not over.wait(1.0):
                check()
                if time.monotonic() - last < self.settings.heartbeat:
                    continue
                last = time.monotonic()
                with contextlib.suppress(*_DATABASE_ERRORS):  # the next one may get through
                    self._storage.record_heartbeat(claim.trial._trial_id)  # noqa: SLF001

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def report(self, claim: Claim, value: float, step: int) -> bool:
        """Tells the pruner a value; returns whether the trial should end here.

        Raises:
            Lost: when the trial was given to another process meanwhile.
        """

        def tell() -> bool:
            try:
                claim.trial.report(value, step)
            except optuna.exceptions.UpdateFinishedTrialError as error:
                raise Lost from error
            return self.settings.pruner != "none" and claim.trial.should_prune()

        return self._persist(tell)

    def complete(self, claim: Claim, values: Mapping[str, float], **told: Any) -> None:
        """Finishes a trial with the values of the objectives and what else is to be remembered."""
        wanted = [values[name] for name in self.settings.objectives]
        self._persist(lambda: self._end(claim.trial, TrialState.COMPLETE, wanted, **told))

    def prune(self, claim: Claim) -> None:
        """Finishes a trial that is not worth going on with."""
        self._persist(lambda: self._end(claim.trial, TrialState.PRUNED))

    def fail(self, claim: Claim, reason: str) -> None:
        """Finishes a trial that cannot be run, for good."""
        self._persist(lambda: self._end(claim.trial, TrialState.FAIL, ended="failed", reason=reason[:1000]))

    def give_back(self, claim: Claim) -> None:
        """Ends a trial that was interrupted; its point will be taken up again."""
        self._persist(lambda: self._end(claim.trial, TrialState.FAIL, ended="interrupted"))

    def _end(self, trial: optuna.Trial, state: TrialState, values: Sequence[float] | None = None, **told: Any) -> None:
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):  # taken for dead meanwhile
            for key, value in told.items():
                trial.set_user_attr(key, value)
            self._study.tell(trial, values, state=state)

    def points(self) -> list[Point]:
        """All points that have a trial, in the order of their first one."""
        return self._persist(self._points)

    def _points(self) -> list[Point]:
        by_key: dict[str, list[FrozenTrial]] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if "key" in trial.user_attrs:
                by_key.setdefault(trial.user_attrs["key"], []).append(trial)
        return [self._judge(key, trials) for key, trials in by_key.items()]

    def _judge(self, key: str, trials: list[FrozenTrial]) -> Point:
        names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"} | {
            TrialState.RUNNING: "running",
            TrialState.WAITING: "waiting",
        }
        last = [each for each in trials if each.user_attrs.get("ended") != "repeated"][-1]
        chosen = next((each for state in names for each in trials if each.state == state), last)
        state = names.get(chosen.state) or ("failed" if chosen.user_attrs.get("ended") == "failed" else "lost")
        return Point(
            key, self.space.decode(chosen.user_attrs["params"]), state, chosen, chosen.user_attrs.get("reason", "")
        )

    def is_over(self) -> bool:
        """Whether no trial runs or waits, that could still be lost to us."""
        trials = self._persist(lambda: self._study.get_trials(deepcopy=False))
        return not any(trial.state in _LIVE for trial in trials)

    def _persist(self, action: Callable[[], _T]) -> _T:
        """A database that goes away for a while comes back."""
        for wait in _PATIENCE:
            try:
                return action()
            except _DATABASE_ERRORS as error:
                reason = " ".join(str(getattr(error, "orig", None) or error.__cause__ or error).split())[:160]
                self._console.print(f"The database does not answer ({reason}); next attempt in {wait} s")
                self._storage.remove_session()
                time.sleep(wait)
        try:
            return action()
        except _DATABASE_ERRORS as error:
            raise _explain(self._url, error) from error

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time, of all that work on the study."""
        if self._server is None:
            with open(os.path.join(self.workdir, "lock"), "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
            return
        number = int.from_bytes(self._name.encode()[-7:], "big")
        with self._server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:number)"), {"number": number})
            try:
                yield
            finally:
                with contextlib.suppress(*_DATABASE_ERRORS):  # a dead connection holds no lock
                    connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:number)"), {"number": number})


class Lost(Exception):
    """A trial that this process runs was taken for dead and given to another one."""


def check_settings(settings: Settings, space: Space) -> None:
    """Refuses what does not go together.

    Raises:
        InputError: with the reason.
    """
    for name, value, known in (
        ("--sampler", settings.sampler, SAMPLERS),
        ("--pruner", settings.pruner, PRUNERS),
        *(("--objectives", each, tuple(DIRECTIONS)) for each in settings.objectives),
    ):
        if value not in known:
            raise InputError(f"{name}={value}: known are {', '.join(known)}")
    if len(settings.objectives) > 1:
        if settings.pruner != "none":
            raise InputError("--pruner: with several objectives no trial is better than another half-way; leave it out")
        if settings.sampler == "cmaes" and space.is_search:
            raise InputError("--sampler=cmaes follows a single objective; take tpe or random for several")
    if settings.pruner != "none":
        if settings.objectives[0] not in ("loss", "auroc", "average_precision"):
            raise InputError(f"--pruner: {settings.objectives[0]} is known at the end of a run, not while it trains")
        if space.base.split.folds:
            raise InputError("--pruner: with folds (config.split.folds) a trial is several networks; leave it out")
    if settings.heartbeat < 1 or settings.trials < 1:
        raise InputError("--heartbeat and --trials are at least 1")


def _open_storage(url: str, heartbeat: int) -> optuna.storages.RDBStorage:
    if url.startswith("sqlite"):
        # Whoever writes waits for its turn from the beginning of a transaction, not in the midst of it.
        options: dict[str, Any] = {"connect_args": {"timeout": 120, "isolation_level": "IMMEDIATE"}}
    else:
        options = dict(_POSTGRESQL)
    return optuna.storages.RDBStorage(
        url, engine_kwargs=options, heartbeat_interval=heartbeat, grace_period=HEARTBEATS * heartbeat
    )


def find_url(storage: str) -> str:
    """Completes the address of a database by the driver that is installed here.

    Raises:
        InputError: when it is no PostgreSQL address.
    """
    scheme, _, rest = storage.partition("://")
    if not storage:
        return ""
    if scheme in ("postgresql", "postgres"):
        return f"postgresql+psycopg://{rest}"
    if scheme.startswith("postgresql+"):
        return storage
    raise InputError(
        f"--storage={storage}: expected postgresql://USER:PASSWORD@HOST/DATABASE; without it, --workdir holds the study"
    )


def _explain(url: str, error: Exception) -> InputError:
    if isinstance(error, ImportError):
        return InputError("--storage: the driver of PostgreSQL is missing; pip install 'ecg_jax[postgresql]'")
    reason = " ".join(str(getattr(error, "orig", None) or error.__cause__ or error).split())[:200]
    shown = sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    return InputError(
        f"--storage={shown} does not answer ({reason}); start the server, or correct the address; what ran is kept"
    )


def _create_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed)


def _create_pruner(name: str) -> optuna.pruners.BasePruner:
    return {
        "none": optuna.pruners.NopPruner,
        "median": optuna.pruners.MedianPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
    }[name]()
