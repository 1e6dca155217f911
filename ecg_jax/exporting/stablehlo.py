"""A model as StableHLO: a ZIP file with `metadata.json` and `model.bin`, which `jax.export.deserialize` reads."""

import contextlib
import json
import zipfile
from collections.abc import Iterator
from typing import IO

import jax
import jax.export
import numpy as np

from ecg_jax.exporting import function, metadata
from ecg_jax.exporting.arrays import Plan
from ecg_jax.inference.model import Model
from ecg_jax.recording import LEADS

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM, METADATA = "model.bin", "metadata.json"


def write(file: IO[bytes], model: Model, plan: Plan) -> None:
    """Writes a model for CPU, CUDA and TPU.

    Args:
        file: Open for writing.
        model: See `load_model`.
        plan: Of the arrays that the file will be given, any number of them.

    All products are in float32, also where a device's default is less.
    """
    (batch,) = jax.export.symbolic_shape("B")
    signal = jax.ShapeDtypeStruct((batch, plan.samples, len(LEADS)), np.float32)
    with jax.default_matmul_precision("highest"), _without_folders():
        exported = jax.export.export(jax.jit(function.create(model, plan)), platforms=PLATFORMS)(signal)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(METADATA, json.dumps(metadata.describe(model, plan), indent=1))
        archive.writestr(PROGRAM, exported.serialize())


@contextlib.contextmanager
def _without_folders() -> Iterator[None]:
    """Has JAX name source files, which it writes beside every operation, without their folders."""
    option = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, option)
    jax.config.update(option, r"^.*[/\\]")
    try:
        yield
    finally:
        jax.config.update(option, before)
