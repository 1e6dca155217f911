"""The flags that `predict`, `embed` and `explain` share: which model, which recordings, and how these are read."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags

from ecg_jax import files
from ecg_jax.errors import InputError
from ecg_jax.recording import CHECKS, UNITS

if TYPE_CHECKING:
    from rich.console import Console

    from ecg_jax.data import readers
    from ecg_jax.data.store import Store
    from ecg_jax.inference.model import Model

FILE_FLAGS = ("file_leads", "file_rate", "file_unit")
FLAGS = flags.FLAGS
flags.DEFINE_string(
    "model",
    "real",
    "A run folder, a Keras file of the reference network, a PyTorch file of a published one, or weights that ship.",
)
flags.DEFINE_integer("batch_size", 32, "Windows computed at once.", lower_bound=1)
flags.DEFINE_list("leads", None, "Lead order of a Keras file; default I,II,III,aVR,aVL,aVF,V1,...,V6.")
flags.DEFINE_float("units_per_millivolt", None, "Unit of a Keras file; default 2, as CODE.", lower_bound=1e-6)
flags.DEFINE_float("sampling_rate", None, "Of a Keras file, in Hz; default 400, as CODE.", lower_bound=1e-6)
flags.DEFINE_list("names", None, "Labels of a Keras file's outputs, in their order.")
flags.DEFINE_enum("checks", "refuse", CHECKS, "When lead order, unit or rate contradict physics.")
flags.DEFINE_list("file_leads", [], "Leads of NumPy, CSV and .mat files without a sidecar, in their order.")
flags.DEFINE_float(
    "file_rate",
    None,
    "Sampling rate in Hz of NumPy, CSV, .mat and HDF5 files that state none and have no sidecar.",
    lower_bound=1e-6,
)
flags.DEFINE_enum(
    "file_unit",
    None,
    UNITS,
    "Unit of NumPy, CSV, .mat and HDF5 files that state none and have no sidecar.",
    case_sensitive=False,
)


def load_model(**options: Any) -> "Model":
    """The model that the flags name; for the options see `ecg_jax.inference.model.load_model`."""
    from ecg_jax.inference import model

    return model.load_model(**_name_model(), **options)


def describe_model(**options: Any) -> tuple[tuple[str, Any], ...]:
    """Arguments with which `load_model` loads the same model from another folder."""
    from ecg_jax import pretrained
    from ecg_jax.models.imports import published

    known = _name_model() | options
    if known["path"] not in pretrained.FILES:
        name, file = published.split_name(known["path"])
        known["path"] = f"{name}:{os.path.abspath(file)}" if name else os.path.abspath(file)
    return tuple(known.items())


def _name_model() -> dict[str, Any]:
    return {
        "path": FLAGS.model,
        "leads": tuple(FLAGS.leads or ()) or None,
        "units_per_millivolt": FLAGS.units_per_millivolt,
        "sampling_rate": FLAGS.sampling_rate,
        "labels": tuple(FLAGS.names or ()) or None,
    }


def require_output(path: str, *others: str) -> None:
    """Raises `InputError` where `--output` is no file that can be written, or is one of the model or of `--data`.

    Args:
        path: What `--output` is.
        *others: Files that are written beside it.
    """
    is_other = os.path.exists(path) and not os.path.isfile(path)
    if not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK) or is_other:
        raise InputError(f"--output={path}: not a file that can be written")
    sources = [FLAGS.model.rpartition(":")[2]]
    if data := ("data" in FLAGS and FLAGS.data) or "":
        sources += [place := data.rpartition(":")[2], f"{os.path.splitext(place)[0]}.csv"]  # labels beside an array
    files.refuse_overwriting([path, *others], sources)


class Named(NamedTuple):
    """What arguments name."""

    groups: "list[list[readers.LazyRecording]]"  # recordings, of a prepared store by shard
    unknown: list[str]  # problems with what was named
    passed_over: str = ""  # a line on files that are no ECG
    store: "Store | None" = None  # in which the recordings lie

    @property
    def recordings(self) -> "list[readers.LazyRecording]":
        """All of them."""
        return [each for group in self.groups for each in group]


def find(paths: Sequence[str], output: str) -> Named:
    """Finds the recordings of files, folders and patterns, or of one prepared store; see `find_recordings`."""
    from ecg_jax.data import store
    from ecg_jax.inference import batches

    stores = [path for path in paths if store.is_store(path)]
    if stores and len(paths) > 1:
        raise InputError(f"{stores[0]} is a prepared store, which goes alone; name nothing else")
    if stores and (passed := [f"--{name}" for name in FILE_FLAGS if FLAGS[name].present]):
        raise InputError(f"{', '.join(passed)} is for files of recordings; the store {stores[0]} states these itself")
    if stores:
        opened = store.Store(stores[0])
        return Named(batches.list_stored(opened), [], store=opened)
    recordings, unknown, passed_over = find_recordings(paths, output)
    return Named([recordings] if recordings else [], unknown, passed_over)


def find_recordings(paths: Sequence[str], output: str) -> "tuple[list[readers.LazyRecording], list[str], str]":
    """Recordings to read, each once whatever paths name it; problems with paths; a line on files that are no ECG.

    Raises:
        InputError: where `output`, the file to write, is one of theirs, or the sidecar of one.
    """
    from ecg_jax.data import readers

    declared = None
    if FLAGS.file_leads or FLAGS.file_rate or FLAGS.file_unit:
        declared = readers.Declared(tuple(FLAGS.file_leads), FLAGS.file_rate, FLAGS.file_unit or "")
    recordings: dict[str, readers.LazyRecording] = {}
    problems = []
    passed_over: Counter[str] = Counter()
    for path in readers.drop_sidecars(paths):
        try:
            found = readers.search(path, declared)
            passed_over.update(found.passed_over)
            for lazy in found.recordings:  # a record's .hea and .dat are one
                recordings.setdefault(os.path.abspath(lazy.name), lazy)
        except InputError as error:
            problems.append(" ".join(str(error).split()))
    files.refuse_overwriting([output], [*paths, *readers.list_inputs(recordings.values(), output)])
    problems = list(dict.fromkeys(problems))
    if lacking := [lazy for lazy in recordings.values() if lazy.missing]:
        problems += [readers.describe_missing(lacking)] * len(lacking)
    named = [lazy for lazy in recordings.values() if not lazy.missing]
    return named, problems, readers.describe_passed_over(passed_over)


def print_problems(console: "Console", what: str, problems: Mapping[str, int]) -> None:
    """Prints a line per problem, with how many recordings have it."""
    for problem, count in problems.items():
        console.print(f"  {what}: {problem}{f' ({count} recordings)' if count > 1 else ''}")
