"""Prediction of many recordings as an Apache Beam pipeline: parts of them, whose files become one.

A command that was interrupted goes on with the parts whose files are not there.
"""

import contextlib
import csv
import functools
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console

from ecg_jax import beam, files, spreadsheet
from ecg_jax.data import prediction_tables
from ecg_jax.errors import InputError
from ecg_jax.inference import parquet
from ecg_jax.inference.model import Model
from ecg_jax.inference.parts import PROBLEMS, TALLY, Job, Part, predict_part
from ecg_jax.inference.writers import Tally
from ecg_jax.runtime.progress import show_progress


def run(planned: Sequence[Part], job: Job, options: Any, console: Console) -> None:
    """Predicts the parts that are not there yet, on Beam's workers; see `beam.run`.

    Raises:
        InputError: also when a part was not written.
    """
    os.makedirs(job.folder, exist_ok=True)
    waiting = [part for part in planned if not part.is_done]
    kept = f", {len(planned) - len(waiting)} of them kept from before" if len(waiting) < len(planned) else ""
    console.print(f"  on Apache Beam, in {len(planned)} part(s){kept}")
    if waiting:
        with _watching(planned, console):
            beam.run(functools.partial(predict_part, job=job), waiting, options)
    if missing := [part.path for part in waiting if not part.is_done]:
        raise InputError(f"{missing[0]}: not written; workers must see this folder under the same path")


@contextlib.contextmanager
def _watching(planned: Sequence[Part], console: Console) -> Iterator[None]:
    """Shows how many recordings are in parts that are there, on a terminal; any runner's, as all leave files."""
    ended, total = threading.Event(), sum(part.count for part in planned)

    def watch() -> None:
        left = list(planned)
        while not ended.wait(1):
            left = [part for part in left if not part.is_done]
            update(total - sum(part.count for part in left), total)

    with show_progress(console, "predicting") as update:
        if console.is_terminal:
            threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            ended.set()


def join(
    parts: Sequence[Part], path: str, job: Job, model: Model, unknown: Sequence[str]
) -> tuple[Tally, Counter[str]]:
    """Writes the parts as one file, and beside it as a CSV what could not be predicted.

    Args:
        parts: All of them, in order.
        path: The file, which is written if a recording was predicted.
        job: How they were made.
        model: The job's.
        unknown: Problems with what was named.

    Returns:
        The sum of all, and the problems with how often they occurred.
    """
    tally, problems = Tally(model), Counter(unknown)
    with contextlib.ExitStack() as stack:
        replacement = stack.enter_context(files.Replacement(path, "wb"))
        listed = stack.enter_context(files.Replacement(name_problems(path), newline="", errors="backslashreplace"))
        table, lines = parquet.ParquetTable(replacement.file, model, job.measurements), csv.writer(listed.file)
        lines.writerow(("recording", "problem"))
        lines.writerows(("", spreadsheet.guard(problem)) for problem in unknown)
        for part in parts:
            table.add_table(pq.read_table(part.path))
            tally.update(prediction_tables.read_fact(part.path, TALLY))
            for each in prediction_tables.read_fact(part.path, PROBLEMS):
                lines.writerow(map(spreadsheet.guard, each))
                problems[each[1]] += 1
        table.close()
        if tally.count:
            replacement.commit()
        listed.commit()
    return tally, problems


def remove(folder: str) -> None:
    """Removes the files of parts, those too that a killed worker left unfinished; anything else stays."""
    for name in os.listdir(folder):
        if name.endswith(parquet.SUFFIX) or files.is_partial(name):
            os.unlink(os.path.join(folder, name))
    with contextlib.suppress(OSError):  # it is not empty
        os.rmdir(folder)


def name_problems(path: str) -> str:
    """The path of the list of problems beside a file of predictions."""
    return f"{os.path.splitext(path)[0]}_problems.csv"
