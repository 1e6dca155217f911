"""Public data sets as tensorflow-datasets (TFDS): array_record files that any JAX or PyTorch loader reads.

Importing this package registers the builders, so that `tfds.builder("ptbxl")` finds them.
Neither building nor reading needs TensorFlow. A build is whole or it is not there: TFDS
writes into a folder `incomplete.*` and renames it at the end, so a build that was stopped
starts over, and one that is there is left as it is.
"""

import contextlib
import io
import os
from collections.abc import Sequence

import tensorflow_datasets as tfds

from ecg_jax import beam
from ecg_jax.data.datasets.builders.base import EcgBuilder
from ecg_jax.data.datasets.builders.challenge2021 import Challenge2021
from ecg_jax.data.datasets.builders.code15 import Code15
from ecg_jax.data.datasets.builders.ptbxl import Ptbxl
from ecg_jax.errors import InputError

BUILDERS: dict[str, type[EcgBuilder]] = {builder.name: builder for builder in (Challenge2021, Code15, Ptbxl)}


def create(dataset: str, data_dir: str) -> EcgBuilder:
    """Creates a builder of one of `BUILDERS`, also with its configuration, as `ptbxl/100hz`; see `EcgBuilder`."""
    name, _, config = dataset.partition("/")
    if name not in BUILDERS:
        raise InputError(f"data set {name!r} has no builder; there are: {', '.join(BUILDERS)}")
    known = list(BUILDERS[name].builder_configs)
    if config and config not in known:
        raise InputError(f"data set {name} has no configuration {config!r}; it has {', '.join(known) or 'none'}")
    return BUILDERS[name](data_dir=data_dir, config=config or None)


def build(builder: EcgBuilder, source: str, beam_arguments: Sequence[str] = ()) -> None:
    """Builds the data set in the folder `source`, in this process or, with arguments for it, on Apache Beam.

    Raises:
        InputError: when something is wrong with the files; nothing of the build is left then.
    """
    if not os.path.isdir(source):
        raise InputError(f"data set {builder.name}: source {source!r} is not a folder; pass --source=DIR")
    options = beam.create_options(beam_arguments) if beam_arguments else None
    config = tfds.download.DownloadConfig(manual_dir=os.path.abspath(source), beam_options=options)
    with contextlib.redirect_stdout(io.StringIO()):  # it announces a download of unknown size
        builder.download_and_prepare(download_config=config)
