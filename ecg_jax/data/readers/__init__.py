"""One file format each: a path becomes a `Recording` in millivolts. `find` lists what a path holds."""

from ecg_jax.data.readers.folders import (
    LazyRecording,
    Search,
    describe_missing,
    describe_passed_over,
    drop_sidecars,
    find,
    list_inputs,
    search,
)
from ecg_jax.data.readers.formats import FORMATS, HEAD_BYTES, read
from ecg_jax.data.readers.sidecars import Declared
from ecg_jax.recording import UNITS

__all__ = [
    "FORMATS",
    "HEAD_BYTES",
    "UNITS",
    "Declared",
    "LazyRecording",
    "Search",
    "describe_missing",
    "describe_passed_over",
    "drop_sidecars",
    "find",
    "list_inputs",
    "read",
    "search",
]
