"""Prediction in parts: each is predicted whole in some process, which leaves a Parquet file, and they become one.

A part can be predicted again, by another process too: its file is there whole or not at all. Its metadata say what it
was made from, so that a prediction that was interrupted goes on, and which recordings could not be read.
"""

import dataclasses
import functools
import hashlib
import itertools
import os
import pickle
import re
import threading
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from ecg_jax import files
from ecg_jax.data import filters, prediction_tables
from ecg_jax.data.readers import LazyRecording
from ecg_jax.data.store import Store
from ecg_jax.errors import InputError
from ecg_jax.explanation import measuring
from ecg_jax.inference import batches, measured, parquet
from ecg_jax.inference.model import Model, load_model
from ecg_jax.inference.predict import predict
from ecg_jax.inference.writers import Tally
from ecg_jax.runtime import run_folder, startup

FINGERPRINT, TALLY, PROBLEMS = "part", "tally", "problems"  # facts in a part's file
_one_at_a_time = threading.Lock()  # a network uses all cores, and two threads would compile it twice


@dataclasses.dataclass(frozen=True)
class Job:
    """What is the same for all parts, and all that a worker needs; paths are absolute."""

    folder: str  # of the parts' files
    model: tuple[tuple[str, Any], ...]  # arguments of `load_model`
    store: str  # that the recordings lie in; empty where they are files
    batch_size: int
    checks: str
    measure: bool  # waves and intervals too

    @property
    def measurements(self) -> tuple[str, ...]:
        """Columns of what is measured."""
        return tuple(measured.UNITS) if self.measure else ()


@dataclasses.dataclass(frozen=True)
class Part:
    """Some of the recordings."""

    path: str  # of its file
    count: int  # recordings
    recordings: bytes  # `LazyRecording`s, pickled and compressed: paths resemble each other
    fingerprint: str  # of the job, the model, the code's version and the recordings' names, not of their content

    @property
    def is_done(self) -> bool:
        """Whether its file is there."""
        return prediction_tables.read_fact(self.path, FINGERPRINT) == self.fingerprint


def cut(groups: Iterable[Sequence[LazyRecording]], size: int, job: Job, model: Model) -> list[Part]:
    """Cuts groups of recordings into parts of at most `size`, as equal as possible: batches have one shape then."""
    digest = _begin_fingerprint(job, model)
    parts: list[Part] = []
    for group in groups:
        places = np.linspace(0, len(group), -(-len(group) // size) + 1).astype(int)
        for begin, end in itertools.pairwise(places.tolist()):
            own = digest.copy()
            recordings = zlib.compress(pickle.dumps(group[begin:end]))
            own.update(recordings)
            path = os.path.join(job.folder, f"{len(parts):06d}{parquet.SUFFIX}")
            parts.append(Part(path, end - begin, recordings, own.hexdigest()))
    return parts


def _begin_fingerprint(job: Job, model: Model) -> "hashlib._Hash":
    """Of all that the numbers depend on, and of how the model calls them; the same in every process."""
    network = re.sub(r" at 0x\w+", "", repr(model.network))  # addresses of functions
    facts = [
        getattr(model, each.name) for each in dataclasses.fields(model) if each.name not in ("network", "variables")
    ]
    versions = run_folder.find_version("ecg_jax"), filters.VERSION, measuring.describe_version()
    digest = hashlib.sha256(pickle.dumps((dataclasses.replace(job, folder=""), network, facts, versions)))
    for leaf in jax.tree.leaves(model.variables):
        digest.update(np.asarray(leaf).tobytes())
    return digest


def predict_part(part: Part, *, job: Job) -> dict[str, int]:
    """Predicts the recordings of a part and writes its file; returns how many were predicted, and not.

    Raises:
        InputError: also when a file or the folder is not there, or cannot be written.
    """
    try:
        with _one_at_a_time:
            return _predict_part(part, job)
    except OSError as error:
        advice = "workers must see the recordings, the model and the folder of --output under the same paths"
        where = f"{error.filename or part.path}: {error.strerror or error}"
        raise InputError(f"on a worker: {where}; {advice}") from error


def _predict_part(part: Part, job: Job) -> dict[str, int]:
    with files.Replacement(part.path, "wb") as replacement:
        model, problems = _load(job), []
        tally, table = Tally(model), parquet.ParquetTable(replacement.file, model, job.measurements)
        recordings = pickle.loads(zlib.decompress(part.recordings))
        how: Any = {"batch_size": job.batch_size, "checks": job.checks, "whole": True, "keep": job.measure}
        predicted = predict(model, recordings, processes=False, **how)
        for made in measured.measure_all(predicted) if job.measure else predicted:
            if made.error:
                problems.append((made.recording, made.error))
            else:
                table.add(made)
                tally.add(made)
        table.close({FINGERPRINT: part.fingerprint, TALLY: tally.to_dict(), PROBLEMS: problems})
        replacement.commit()
    return {"predicted": tally.count, "not_predicted": len(problems)}


@functools.lru_cache(maxsize=1)
def _load(job: Job) -> Model:
    """The model, loaded once in a process."""
    startup.configure_allocator()
    model = load_model(**dict(job.model))
    return batches.suit_store(model, Store(job.store)) if job.store else model
