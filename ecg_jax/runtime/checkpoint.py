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
from collections.abc import Mapping
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
        # Orbax names what processes meet at by the step alone, which `last` and `best` share.
        apart = ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=kind)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=_KEPT, cleanup_tmp_directories=True, multiprocessing_options=apart
        )
        return _Manager(os.path.join(self._directory, kind), options=options)

    def steps(self, kind: str) -> list[int]:
        """Steps of the finished checkpoints of a kind, oldest first."""
        return sorted(self._managers[kind].all_steps(read=True))

    def save(self, kind: str, step: int, tree: Any, records: Mapping[str, Any], *, replaces: bool = False) -> None:
        """Starts writing a checkpoint; a step that is there already is left alone.

        Args:
            kind: `LAST` or `BEST`.
            step: Its number.
            tree: Arrays that nobody donates or changes from now on (`Parallel.snapshot`).
            records: What is not an array, JSON-ready.
            replaces: That a step that is there already gives way.

        Raises:
            InputError: when this or the previous one cannot be written (a full disk, say).
        """
        manager = self._managers[kind]
        self.wait()  # one at a time; and a state speaks of the best network so far, which must be there before it
        if step in manager.all_steps() and not replaces:
            return
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            reason = f"it needs {needed / 1e6:.0f} MB, the disk has {free / 1e6:.0f} MB left"
            raise self._failure(kind, OSError(reason))
        try:
            if step in manager.all_steps():
                manager.delete(step)
            manager.save(
                step,
                args=ocp.args.Composite(state=ocp.args.StandardSave(tree), records=ocp.args.JsonSave(dict(records))),
            )
        except _WRITE_ERRORS as error:
            raise self._failure(kind, error) from error

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
            InputError: when something could not be written.
        """
        for kind in self._managers:
            self._wait(kind)

    def _wait(self, kind: str) -> None:
        try:
            self._managers[kind].wait_until_finished()
            self._managers[kind].check_for_errors()
        except _WRITE_ERRORS as error:
            raise self._failure(kind, error) from error

    def _failure(self, kind: str, error: Exception) -> InputError:
        reason = " ".join(str(error).split())[:300]
        kept = self.steps(LAST)
        remains = f"the state of step {kept[-1]} is whole" if kept else "there is none yet"
        return InputError(
            f"{os.path.join(self._directory, kind)}: a checkpoint could not be written ({reason}); {remains}. "
            "Make room and start the same command again"
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
        manager = self._managers[LAST]
        template = jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
        passed_over = []
        for step in reversed(self.steps(LAST)):
            try:
                restored = manager.restore(
                    step,
                    args=ocp.args.Composite(state=ocp.args.StandardRestore(template), records=ocp.args.JsonRestore()),
                )
            except Exception as error:  # noqa: BLE001 - Orbax raises many kinds for a damaged checkpoint
                passed_over.append(f"checkpoint of step {step} is unreadable ({' '.join(str(error).split())[:160]})")
                _ignore_abandoned_reads()
                continue
            return step, restored["state"], restored["records"], passed_over
        if passed_over:
            raise InputError(
                f"{os.path.join(self._directory, LAST)}: no checkpoint can be read: {'; '.join(passed_over)}. "
                "Remove the folder to start again"
            )
        return None

    def delete_after(self, step: int) -> None:
        """Removes checkpoints newer than `step`: what follows them will be computed again."""
        newer = {kind: [s for s in self.steps(kind) if s > step] for kind in self._managers}
        if jax.process_count() > 1:  # all have listed them, before the first is gone
            multihost_utils.sync_global_devices("checkpoints listed")
        for kind, manager in self._managers.items():
            for each in newer[kind]:
                manager.delete(each)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Finishes what is being written; if an error brought it here, that one is told and no other."""
        for manager in self._managers.values():
            with contextlib.suppress(*_WRITE_ERRORS if kind else ()):
                manager.close()


@functools.cache
def _ignore_abandoned_reads() -> None:
    """Reads that a failed restore abandons report to a closed event loop, and each would print a traceback."""
    previous = sys.unraisablehook

    def report(found: Any) -> None:
        if not (isinstance(found.exc_value, RuntimeError) and str(found.exc_value) == "Event loop is closed"):
            previous(found)

    sys.unraisablehook = report


def _check_size(tree: Any) -> None:
    """What a few bytes of a checkpoint's description announce is allocated before it is read."""
    announced = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))
    if announced > _LARGEST:
        raise ValueError(f"it announces {announced} bytes; at most {_LARGEST} are read")


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
    problems: list[str] = []
    handlers = {"state": ocp.StandardCheckpointHandler(), "records": ocp.JsonCheckpointHandler()}
    options = ocp.CheckpointManagerOptions(read_only=True)
    with ocp.CheckpointManager(folder, options=options, item_handlers=handlers) as manager:
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                metadata = manager.item_metadata(step)["state"]
                _check_size(metadata.tree)
                template = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), metadata.tree)
                restored = manager.restore(
                    step,
                    args=ocp.args.Composite(state=ocp.args.StandardRestore(template), records=ocp.args.JsonRestore()),
                )
                return step, restored["state"], restored["records"], problems
            except Exception as error:  # noqa: BLE001 - Orbax raises many kinds for a damaged checkpoint
                problems.append(f"best checkpoint of step {step} is unreadable ({' '.join(str(error).split())[:160]})")
                _ignore_abandoned_reads()
    raise InputError(f"{folder}: no readable checkpoint ({'; '.join(problems) or 'it is empty'})")
