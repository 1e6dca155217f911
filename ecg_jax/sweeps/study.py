"""The record of a sweep: an Optuna study that any number of processes work on, and any of them may be killed.

A trial is claimed, run, and finished. Claiming is one critical section (a lock of the system for SQLite, of the
server for PostgreSQL; both are released when their holder dies). Every point has a key, the fingerprint of its
configuration. The owner of a trial holds a lock and counts up a beat while it lives, so that a trial whose owner is
dead can be lost: it stays as failed, and another one with the same key continues from its last checkpoint.
"""

import contextlib
import dataclasses
import glob
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.errors import InputError
from ecg_jax.kinds import EVERY_SCORE, HIGHER_IS_BETTER, SCORES
from ecg_jax.runtime import run_folder
from ecg_jax.sweeps import samplers
from ecg_jax.sweeps.database import FILE, Database
from ecg_jax.sweeps.owners import Owners
from ecg_jax.sweeps.samplers import SAMPLERS
from ecg_jax.sweeps.space import SEED, Space, encode

COSTS = ("parameters", "seconds")  # objectives besides the scores of validation
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    name: "maximize" if name in HIGHER_IS_BETTER else "minimize" for name in (*EVERY_SCORE, *COSTS)
}
PRUNERS: dict[str, type[optuna.pruners.BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
}
FINAL = ("complete", "pruned", "failed")  # of `Point.state`
_DEATHS = 3  # of processes without a new checkpoint between them, after which a point fails
_NAMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_NO_TRIAL = optuna.trial.create_trial(state=TrialState.WAITING)  # of a point that has none yet


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
    """The state of a point.

    Attributes:
        key: Of its configuration.
        overrides: Dotted keys that differ from the base.
        state: One of `FINAL`, `running`, `waiting` or `lost` (it will be run again).
        trial: The one of its trials that decides; its number is -1 if there is none.
        reason: Why it failed.
    """

    key: str
    overrides: Mapping[str, Any]
    state: str
    trial: FrozenTrial
    reason: str = ""


class Lost(Exception):
    """Another process has taken over a trial of this one, which it took for dead."""


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
            space: The points.
            settings: How they are run.
            console: For the message that the database does not answer.
            storage: See `database.find_url`; empty for a file in the folder.
            creates: Whether the study may be new.

        Raises:
            InputError: when the database does not answer, or the study is another sweep's.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self.workdir, self.space, self.settings = workdir, space, settings
        self._console = console
        self._name = os.path.basename(os.path.abspath(workdir))
        self.is_over = False  # whether the last `claim` found neither a trial nor another process that may lose one
        if not creates and not storage and not os.path.exists(os.path.join(workdir, FILE)):
            raise InputError(f"{workdir}: holds no sweep yet; start one without --best")
        try:
            self._owners = Owners(workdir, settings.heartbeat)
        except OSError as error:
            raise InputError(f"{workdir}: cannot be written ({error.strerror}); pass another --workdir") from error
        self._database = Database(workdir, storage, console)
        self._study: optuna.Study
        self._database.persist(lambda: self._open(creates))

    def _open(self, creates: bool) -> None:
        where: dict[str, Any] = {"study_name": self._name, "storage": self._database.storage}
        with self._database.lock():
            if creates:
                directions = [DIRECTIONS[name] for name in self.settings.objectives]
                self._study = optuna.create_study(**where, directions=directions, load_if_exists=True)
            else:
                try:
                    self._study = optuna.load_study(**where)
                except KeyError as error:
                    raise InputError(f"{self.workdir}: the database has no sweep of this name yet") from error
            self._study.pruner = PRUNERS[self.settings.pruner]()
            self._identify(self._study)
            if self.settings.retries_failed:
                self._enqueue("lost", "failed")

    def _identify(self, study: optuna.Study) -> None:
        """A study belongs to one base configuration, space and choice of objectives."""
        wanted = json.loads(json.dumps(self.space.describe() | {"objectives": list(self.settings.objectives)}))
        found = study.user_attrs.get("sweep")
        if found is None:
            if study.get_trials(deepcopy=False):
                raise InputError(f"{self._name}: the database has a study of this name that is no sweep of ecg_jax")
            study.set_user_attr("sweep", wanted)
            return
        if found == wanted:
            return
        differences = config_lib.differences(found["config"], wanted["config"])
        others = [name for name in wanted if name != "config" and found.get(name) != wanted[name]]
        differences += [f"another {' and other '.join(others)}"] if others else []
        reason = "; ".join(differences)[:400]
        raise InputError(f"{self.workdir} is the folder of another sweep ({reason}); pass another --workdir")

    @property
    def sign(self) -> float:
        """Factor of the first objective that makes lower values better."""
        return 1.0 if DIRECTIONS[self.settings.objectives[0]] == "minimize" else -1.0

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores of validation, of which a run has one each."""
        return SCORES[self.kind]

    @property
    def kind(self) -> str:
        """Of the labels, one of `kinds.KINDS`."""
        return self.space.base.data.label_kind

    def claim(self) -> Claim | None:
        """Takes the next trial; None while there is none, see `is_over`.

        Raises:
            Unreachable: when the database does not answer for a long time.
        """
        return self._database.persist(self._claim)

    def _claim(self) -> Claim | None:
        with self._database.lock():
            self._bury()
            while (trial := self._take()) is not None:
                with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                    if claim := self._own(trial):
                        return claim
            self.is_over = not self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            return None

    def _take(self) -> optuna.Trial | None:
        """A waiting trial; in a search with too few points, a new one."""
        self._enqueue("lost")
        trials = self._study.get_trials(deepcopy=False)
        space = self.space.distributions
        waiting = next((trial for trial in trials if trial.state == TrialState.WAITING), None)
        if waiting:
            return self._study.ask({key: drawn for key, drawn in space.items() if key in waiting.user_attrs["params"]})
        keys = {trial.user_attrs["key"] for trial in trials if "key" in trial.user_attrs}
        if not self.space.is_search or len(keys) >= self.settings.trials:
            return None
        repeated = sum(trial.user_attrs.get("ended") == "repeated" for trial in trials)
        if repeated > 20 + self.settings.trials:
            self._console.print(f"The search draws the same {len(keys)} points again and again: it ends with them")
            return None
        # The next point depends on the points so far, not on restarts: a restarted sampler would repeat itself.
        self._study.sampler = samplers.create(self.settings.sampler, self.space.base.seed + len(keys) + repeated)
        return self._study.ask(space)

    def _own(self, trial: optuna.Trial) -> Claim | None:
        """Makes this process the owner of a trial; None if another trial has the same point."""
        params = trial.params
        overrides = self.space.decode(params)
        key = self.space.name(overrides)
        others = [
            each
            for each in self._study.get_trials(deepcopy=False)
            if each.user_attrs.get("key") == key and each.number != trial.number
        ]
        failed = max((each.number for each in others if each.user_attrs.get("ended") == "failed"), default=-1)
        is_drawn = "key" not in trial.user_attrs  # not enqueued
        trial.set_user_attr("params", params)
        trial.set_user_attr("key", key)
        if any(_precedes(each, trial.number) for each in others) or (is_drawn and failed >= 0):
            self._end(trial, TrialState.FAIL, ended="repeated")
            return None
        progress = self.count_progress(overrides)
        lost = [each for each in others if each.state == TrialState.FAIL and "ended" not in each.user_attrs]
        stuck = [each for each in lost if each.number > failed and each.user_attrs.get("progress") == progress]
        if len(stuck) >= _DEATHS:
            reason = f"{len(stuck)} processes that ran it died, without a new checkpoint between them"
            self._end(trial, TrialState.FAIL, reason=reason, ended="failed")
            return None
        trial.set_user_attr("progress", progress)
        self._database.check_lock()
        trial.set_user_attr("owner", self._owners.live())
        return Claim(trial, key, overrides, self.space.list_seeds(overrides))

    def _enqueue(self, *states: str) -> None:
        """Enqueues a trial for each point in these states, or, if none waits, for the next point of a grid."""
        points = self._list_points()
        due = [point for point in points if point.state in states]
        if not due and not any(point.state == "waiting" and point.trial is not _NO_TRIAL for point in points):
            due = [point for point in points if point.trial is _NO_TRIAL][:1]
        for point in due:
            params = {name: encode(value) for name, value in point.overrides.items()}
            self._study.enqueue_trial(params, user_attrs={"key": point.key, "params": params})

    def _bury(self) -> None:
        """Trials whose owner is dead are lost."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._owners.is_gone(trial):
                with contextlib.suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
                    self._study.tell(trial.number, state=TrialState.FAIL)

    def count_progress(self, overrides: Mapping[str, Any]) -> str:
        """Names of the checkpoints that the runs of a point have."""
        above = [(folder, fold) for folder in self.folders(overrides) for fold in ("", "fold*")]
        found = [
            glob.glob(os.path.join(fold, run_folder.CHECKPOINTS, "last", "*"), root_dir=top) for top, fold in above
        ]
        return json.dumps([sorted(names) for names in found])

    def folders(self, overrides: Mapping[str, Any]) -> list[str]:
        """The run folders of a point, one for each seed that it runs."""
        seeds = self.space.list_seeds(overrides)
        folders = [os.path.join(self.workdir, self.space.name({**overrides, SEED: seed})) for seed in seeds]
        folds, fold = (overrides.get(f"split.{name}", self.space.base.split[name]) for name in ("folds", "fold"))
        return [os.path.join(folder, f"fold{fold}") for folder in folders] if folds and fold else folders

    def give_signs_of_life(
        self, claim: Claim, check: Callable[[], None]
    ) -> contextlib.AbstractContextManager[Callable[[], bool]]:
        """See `Owners.beat`."""
        return self._owners.beat(claim.trial, check)

    def report(self, claim: Claim, value: float, step: int) -> bool:
        """Reports a value to the pruner; returns whether the trial should end here.

        Raises:
            Lost: when another process has taken over the trial.
        """

        def tell() -> bool:
            try:
                claim.trial.report(value, step)
            except optuna.exceptions.UpdateFinishedTrialError as error:
                raise Lost from error
            return claim.trial.should_prune()

        return self._database.persist(tell)

    def complete(self, claim: Claim, values: Mapping[str, float], **attributes: object) -> None:
        """Finishes a trial with the values of the objectives, and other values to keep."""
        wanted = [values[name] for name in self.settings.objectives]
        self._database.persist(lambda: self._end(claim.trial, TrialState.COMPLETE, wanted, **attributes))

    def prune(self, claim: Claim) -> None:
        """Finishes a trial that the pruner has ended."""
        self._database.persist(lambda: self._end(claim.trial, TrialState.PRUNED))

    def fail(self, claim: Claim, reason: str) -> None:
        """Finishes a trial whose point cannot be run."""
        self._database.persist(lambda: self._end(claim.trial, TrialState.FAIL, reason=reason[:1000], ended="failed"))

    def give_back(self, claim: Claim) -> None:
        """Ends a trial that was interrupted; its point will be run again."""
        self._database.persist(lambda: self._end(claim.trial, TrialState.FAIL, ended="interrupted"))

    def _end(
        self, trial: optuna.Trial, state: TrialState, values: Sequence[float] | None = None, **attributes: object
    ) -> None:
        with contextlib.suppress(
            optuna.exceptions.UpdateFinishedTrialError, ValueError
        ):  # taken over by another process
            for key, value in attributes.items():
                trial.set_user_attr(key, value)
            self._study.tell(trial, values, state=state)

    def points(self) -> list[Point]:
        """All points, in the order of their first trial; those of a grid that have none yet are waiting."""
        return self._database.persist(self._list_points)

    def _list_points(self) -> list[Point]:
        by_key: dict[str, list[FrozenTrial]] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if "key" in trial.user_attrs:
                by_key.setdefault(trial.user_attrs["key"], []).append(trial)
        begun = [self._judge(key, trials) for key, trials in by_key.items()]
        points = {} if self.space.is_search else self.space.points
        return begun + [Point(key, points[key], "waiting", _NO_TRIAL) for key in points if key not in by_key]

    def _judge(self, key: str, trials: list[FrozenTrial]) -> Point:
        own = [each for each in trials if each.user_attrs.get("ended") != "repeated"] or trials
        chosen = next((each for state in _NAMES for each in own if each.state == state), own[-1])
        state = _NAMES.get(chosen.state) or ("failed" if chosen.user_attrs.get("ended") == "failed" else "lost")
        overrides = self.space.decode(chosen.user_attrs["params"])
        return Point(key, overrides, state, chosen, chosen.user_attrs.get("reason", ""))

    @property
    def size(self) -> int:
        """Number of points when the sweep has ended."""
        return self.settings.trials if self.space.is_search else len(self.space.points)


def check_settings(settings: Settings, space: Space) -> None:
    """Raises `InputError` on settings that cannot be combined, with the reason."""
    for name, value, known in (
        ("--sampler", settings.sampler, SAMPLERS),
        ("--pruner", settings.pruner, tuple(PRUNERS)),
        *(("--objectives", each, (*SCORES[space.base.data.label_kind], *COSTS)) for each in settings.objectives),
    ):
        if value not in known:
            raise InputError(f"{name}={value}: known are {', '.join(known)}")
    if len(settings.objectives) > 1:
        if settings.pruner != "none":
            raise InputError("--pruner: with several objectives no trial is better than another half-way; leave it out")
        if settings.sampler == "cmaes" and space.is_search:
            raise InputError("--sampler=cmaes follows a single objective; take tpe or random for several")
    if settings.pruner != "none":
        if settings.objectives[0] not in EVERY_SCORE:
            raise InputError(f"--pruner: {settings.objectives[0]} is known at the end of a run, not while it trains")
        if space.base.split.folds:
            raise InputError("--pruner: with folds (config.split.folds) a trial is several networks; leave it out")
    if settings.heartbeat < 1 or settings.trials < 1:
        raise InputError("--heartbeat and --trials are at least 1")


def _precedes(other: FrozenTrial, number: int) -> bool:
    """Whether another trial of the same point makes trial `number` unnecessary."""
    if other.state in (TrialState.COMPLETE, TrialState.PRUNED):
        return True
    is_live = other.state in (TrialState.RUNNING, TrialState.WAITING)
    return is_live and (other.number < number or "owner" in other.user_attrs)
