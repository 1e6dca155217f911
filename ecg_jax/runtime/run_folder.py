"""The folder a run leaves behind, and the rule that one folder belongs to one configuration."""

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax import files
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError, describe
from ecg_jax.runtime import locks
from ecg_jax.trained_on import Inherited

CONFIG, CONTRACT, SPLIT, ENVIRONMENT, THRESHOLDS, CALIBRATION, RESULT = (
    f"{name}.json" for name in ("config", "contract", "split", "environment", "thresholds", "calibration", "result")
)
INHERITED = "inherited.json"  # what a run keeps of the network that it started from, where there is something
PREDICTIONS, EVALUATION = "predictions.csv", "evaluation"
CHECKPOINTS = "checkpoints"
UNCHOSEN = "thresholds_not_chosen"  # of `result.json`: labels that have the default
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "scipy")


def hold(workdir: str, console: Console) -> contextlib.AbstractContextManager[None]:
    """Keeps a run folder for this process; of the processes of one run, the first holds it.

    Raises:
        locks.InUse: see `locks.hold`.
    """
    return locks.hold(workdir, console) if jax.process_index() == 0 else contextlib.nullcontext()


def claim(workdir: str, config: ConfigDict, manifest: Mapping[str, Any], *, has_begun: bool) -> None:
    """Creates a run folder, or checks that an existing one is this run's.

    Args:
        workdir: The folder.
        config: The run's configuration.
        manifest: Of its data; see `data.manifest.create`.
        has_begun: Whether the folder holds a state of an earlier run.

    Raises:
        InputError: when the folder belongs to another configuration (with the differences),
            when its data has changed, or when it cannot be written.
    """
    values = config_lib.make_absolute(config_lib.to_dict(config))
    if has_begun:
        check_config(workdir, config)
        before = read_json(os.path.join(workdir, SPLIT))["summary"]
        if before["fingerprint"] != manifest["summary"]["fingerprint"]:  # descriptions may have changed
            found = "; ".join(config_lib.differences(before, manifest["summary"]))
            raise InputError(f"{workdir}: the data is not the run's ({found}); pass another --workdir")
    if jax.process_index() == 0:
        try:
            os.makedirs(workdir, exist_ok=True)
            if not _has_result_of(workdir, config):
                _remove_results(workdir)
            write_json(os.path.join(workdir, SPLIT), dict(manifest))
            write_json(os.path.join(workdir, CONTRACT), InputContract.from_dict(config.contract).to_dict())
            write_json(os.path.join(workdir, ENVIRONMENT), describe_environment())
            write_json(os.path.join(workdir, CONFIG), values)
        except OSError as error:
            raise InputError(
                f"{workdir}: the run folder cannot be written ({error.strerror}); pass another --workdir"
            ) from error
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("run folder claimed")


def check_config(workdir: str, config: ConfigDict) -> list[str]:
    """Compares a configuration with the one that a folder belongs to.

    Returns:
        A line for each key of `config.MAY_CHANGE` that has changed.

    Raises:
        InputError: with the differences, when other keys have changed.
    """
    changes = _compare(workdir, config)
    if changes.refused:
        found = "; ".join(changes.refused)
        raise InputError(f"{workdir} belongs to another configuration ({found}); pass another --workdir")
    return list(changes.allowed.values())


def _compare(workdir: str, config: ConfigDict) -> config_lib.Changes:
    return config_lib.compare(read_json(os.path.join(workdir, CONFIG)), config_lib.to_dict(config))


def read_manifest(workdir: str, config: ConfigDict) -> dict[str, Any] | None:
    """The manifest in a folder; None without one of the same configuration and files."""
    if not all(os.path.exists(os.path.join(workdir, name)) for name in (SPLIT, CONFIG)):
        return None
    changes = _compare(workdir, config)
    return None if changes.refused or changes.are_of_place else read_json(os.path.join(workdir, SPLIT))


def is_finished(workdir: str, config: ConfigDict) -> bool:
    """Whether a folder holds the result of this configuration, apart from keys that no result depends on."""
    return os.path.exists(os.path.join(workdir, RESULT)) and _has_result_of(workdir, config)


def _has_result_of(workdir: str, config: ConfigDict) -> bool:
    return os.path.exists(os.path.join(workdir, CONFIG)) and _compare(workdir, config).leave_result


def _remove_results(workdir: str) -> None:
    """Removes results of a run of another length or evaluation."""
    for name in (RESULT, THRESHOLDS, CALIBRATION):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(workdir, name))


def has_state(workdir: str) -> bool:
    """Whether a folder holds a state to continue from."""
    return last_step(workdir) is not None


def last_step(workdir: str) -> int | None:
    """The newest step whose state is saved in a folder; None without any."""
    folder = os.path.join(workdir, CHECKPOINTS, "last")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return max((int(name) for name in names if name.isdigit()), default=None)


def describe_checkpoint(workdir: str) -> str:
    """Describes the state that a failed run can continue from."""
    step = last_step(workdir)
    if step is None:
        return "there is no checkpoint yet"
    return f"the last good checkpoint stays in {os.path.join(workdir, CHECKPOINTS)} (step {step})"


def describe_environment() -> dict[str, Any]:
    """Versions, devices and, inside a git checkout, the commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=os.path.dirname(os.path.abspath(__file__)),
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "ecg_jax": find_version("ecg_jax") or "not installed",
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := find_version(name))},
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "platform": platform.platform(),
        "commit": commit.stdout.strip() or "unknown",
        "command": sys.argv,
    }


def find_version(name: str) -> str | None:
    """The version of an installed package."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


@contextlib.contextmanager
def reading(folder: str) -> Iterator[None]:
    """Turns what a damaged file of a run folder raises into one line.

    Raises:
        InputError: naming the folder.
    """
    try:
        yield
    except InputError as error:
        if folder in str(error):
            raise
        raise InputError(f"{folder}: {error}") from error
    except OSError:
        raise
    except Exception as error:
        reason = describe(error)
        raise InputError(f"{folder}: a file of this run folder is damaged ({reason}); copy the folder again") from error


def read_json(path: str, kind: type | tuple[type, ...] = dict) -> Any:
    """Reads a JSON file of a run folder.

    Args:
        path: Of the file.
        kind: Of its value.

    Raises:
        InputError: when it is missing, not JSON, or of another kind.
    """
    try:
        files.measure(path)
        with open(path) as file:
            values = json.load(file)
        if not isinstance(values, kind):
            raise ValueError(f"it holds {type(values).__name__}, not what this file should")
        return values
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; is {os.path.dirname(path)} a run folder?") from error
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path}: not readable ({error})") from error


def read_inherited(workdir: str) -> Inherited:
    """What the run in a folder keeps of the network that it started from."""
    path = os.path.join(workdir, INHERITED)
    if not os.path.exists(path):
        return Inherited()
    values = read_json(path)
    try:
        return Inherited.from_dict(values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not what a run writes ({type(error).__name__}: {error})") from error


def write_inherited(workdir: str, inherited: Inherited) -> None:
    """Writes what `read_inherited` reads; no file where there is nothing, and none of an earlier run stays."""
    path = os.path.join(workdir, INHERITED)
    if jax.process_index() != 0:
        return
    if inherited != Inherited():
        write_json(path, inherited.to_dict())
    elif os.path.exists(path):
        os.remove(path)


def write_json(path: str, values: object) -> None:
    """Writes a JSON file whole or not at all."""
    with files.replacing(path) as file:
        json.dump(values, file, indent=1)
