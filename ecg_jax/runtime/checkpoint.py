"""Checkpoints through Orbax: the last two states of a run, and the best network so far.

A checkpoint is written in the background under a temporary name and renamed when it is
whole, so a kill at any moment leaves the previous ones as they were.
"""

import contextlib
import functools
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from ecg_jax.errors import InputError

LAST, BEST = "last", "best"
_KEPT = 2
_LARGEST = 4 << 30  # bytes of a network; the published one has 26 million
_WRITE_ERRORS = (OSError, ValueError, RuntimeError)  # what Orbax and TensorStore raise when a write fails


class _Manager(ocp.CheckpointManager):
    """Orbax's, without its own answer to SIGTERM: it would count what `preemption` counts, in steps."""

    def reached_preemption(self, step: int) -> bool:
        """Never."""
        del step
        return False


class Checkpoints:
    """The `checkpoints/` folder of a run."""

    def __init__(self, directory: str) -> None:
        """Opens (and creates) the folder; unfinished writes of a killed run are removed."""
        self._directory = os.path.abspath(directory)
        self._managers = {kind: self._create_manager(kind) for kind in (LAST, BEST)}

    def _create_manager(self, kind: str) -> ocp.CheckpointManager:
        # Orbax names barriers between processes by the step alone, which `last` and `best` share.
        apart = ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=kind)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=_KEPT, cleanup_tmp_directories=True, multiprocessing_options=apart
        )
        return _Manager(os.path.join(self._directory, kind), options=options)

    def steps(self, kind: str) -> list[int]:
        """Steps of the finished checkpoints of a kind, oldest first."""
        return sorted(self._managers[kind].all_steps(read=True))

    def save(self, kind: str, step: int, tree: Any, records: Mapping[str, Any], *, replaces: bool = False) -> None:
        """Starts writing a checkpoint, unless there is one of this step.

        Args:
            kind: `LAST` or `BEST`.
            step: Its number.
            tree: Arrays that are neither donated nor changed from now on (`Parallel.snapshot`).
            records: What is not an array, JSON-ready.
            replaces: Whether an existing checkpoint of this step is replaced.

        Raises:
            InputError: when this or the previous one cannot be written (a full disk, say).
        """
        manager = self._managers[kind]
        self.wait()  # a state names the best network so far, which must be on disk before it
        exists = step in manager.all_steps()
        if exists and not replaces:
            return
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            reason = f"it needs {needed / 1e6:.0f} MB, the disk has {free / 1e6:.0f} MB left"
            raise self._failure(kind, OSError(reason))
        with self._explaining(kind):
            if exists:
                manager.delete(step)
            manager.save(
                step,
                args=ocp.args.Composite(state=ocp.args.StandardSave(tree), records=ocp.args.JsonSave(dict(records))),
            )

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
            InputError: when something could not be written.
        """
        for kind, manager in self._managers.items():
            with self._explaining(kind):
                manager.wait_until_finished()
                manager.check_for_errors()

    @contextlib.contextmanager
    def _explaining(self, kind: str) -> Iterator[None]:
        try:
            yield
        except _WRITE_ERRORS as error:
            raise self._failure(kind, error) from error

    def _failure(self, kind: str, error: Exception) -> InputError:
        kept = self.steps(LAST)
        remains = f"the state of step {kept[-1]} is whole" if kept else "there is none yet"
        return InputError(
            f"{os.path.join(self._directory, kind)}: a checkpoint could not be written ({_shorten(error, 300)}); "
            f"{remains}. Make room and start the same command again"
        )

    def restore_last(self, tree: Any) -> tuple[int, Any, dict[str, Any], list[str]] | None:
        """Reads the newest state that can be read.

        Args:
            tree: A state whose shapes, dtypes and placement the restored one takes.

        Returns:
            Step, state, records, and one line for every newer checkpoint that was
            unreadable and passed over; None where there is no checkpoint at all.

        Raises:
            InputError: when there are checkpoints and none can be read.
        """
        template = jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
        found, passed_over = _restore_newest(self._managers[LAST], self.steps(LAST), lambda _: template, "checkpoint")
        if found:
            return *found, passed_over
        if passed_over:
            raise InputError(
                f"{os.path.join(self._directory, LAST)}: no checkpoint can be read: {'; '.join(passed_over)}. "
                "If another version of ecg_jax wrote them, continue with that version; else pass another --workdir"
            )
        return None

    def delete_after(self, step: int) -> None:
        """Removes checkpoints newer than `step`: what follows them will be computed again."""
        newer = {kind: [s for s in self.steps(kind) if s > step] for kind in self._managers}
        if jax.process_count() > 1:  # all have listed them before the first is gone
            multihost_utils.sync_global_devices("checkpoints listed")
        for kind, manager in self._managers.items():
            for each in newer[kind]:
                manager.delete(each)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Finishes what is being written; an error that ended the block is the only one that is reported."""
        for manager in self._managers.values():
            with contextlib.suppress(*_WRITE_ERRORS if kind else ()):
                manager.close()


def read_best(directory: str) -> tuple[int, dict[str, Any], dict[str, Any], list[str]]:
    """Reads the newest readable best network of a run as host arrays.

    Args:
        directory: The run's `checkpoints/` folder.

    Returns:
        Step, `{"params", "batch_stats"}` of NumPy arrays, the records, and one line for
        every newer checkpoint that was unreadable and passed over.

    Raises:
        InputError: when there is none that can be read.
    """
    folder = os.path.abspath(os.path.join(directory, BEST))
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder; has the run made its first evaluation?")
    handlers = {"state": ocp.StandardCheckpointHandler(), "records": ocp.JsonCheckpointHandler()}
    options = ocp.CheckpointManagerOptions(read_only=True)
    with ocp.CheckpointManager(folder, options=options, item_handlers=handlers) as manager:

        def create_template(step: int) -> Any:
            tree = manager.item_metadata(step)["state"].tree
            _check_size(tree)
            return jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)

        found, problems = _restore_newest(manager, sorted(manager.all_steps()), create_template, "best checkpoint")
    if not found:
        raise InputError(f"{folder}: no readable checkpoint ({'; '.join(problems) or 'it is empty'})")
    return *found, problems


def _restore_newest(
    manager: ocp.CheckpointManager, steps: list[int], create_template: Callable[[int], Any], name: str
) -> tuple[tuple[int, Any, dict[str, Any]] | None, list[str]]:
    """Step, state and records of the newest checkpoint that can be read, and a line for each newer one."""
    problems = []
    for step in reversed(steps):
        try:
            args = ocp.args.Composite(
                state=ocp.args.StandardRestore(create_template(step)), records=ocp.args.JsonRestore()
            )
            restored = manager.restore(step, args=args)
        except Exception as error:  # noqa: BLE001 - Orbax raises many kinds for a damaged checkpoint
            problems.append(f"{name} of step {step} is unreadable ({_shorten(error, 160)})")
            _ignore_abandoned_reads()
        else:
            return (step, restored["state"], restored["records"]), problems
    return None, problems


def _shorten(error: Exception, length: int) -> str:
    return " ".join(str(error).split())[:length]


@functools.cache
def _ignore_abandoned_reads() -> None:
    """Reads that a failed restore abandons report to a closed event loop, and each would print a traceback."""
    previous = sys.unraisablehook

    def report(found: "sys.UnraisableHookArgs") -> None:
        if not (isinstance(found.exc_value, RuntimeError) and str(found.exc_value) == "Event loop is closed"):
            previous(found)

    sys.unraisablehook = report


def _check_size(tree: object) -> None:
    """What a few bytes of a checkpoint's description announce is allocated before it is read."""
    announced = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))
    if announced > _LARGEST:
        raise ValueError(f"it announces {announced} bytes; at most {_LARGEST} are read")
