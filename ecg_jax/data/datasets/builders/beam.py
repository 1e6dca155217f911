"""Apache Beam's part in a build: an optional dependency, imported where it is needed."""

import re
import types
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow_datasets as tfds

from ecg_jax.errors import InputError

_PORTABLE = ("flink", "spark", "portable", "prism")  # runners whose job servers know more options than Beam does


def create_options(arguments: Sequence[str]) -> Any:
    """Beam's `PipelineOptions` of a command line, as `--runner=DirectRunner`.

    Raises:
        InputError: when Beam is not installed, or has no such option.
    """
    _import_beam()
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(list(arguments))
    known = options.get_all_options()
    unknown = sorted(set(options.get_all_options(retain_unknown_options=True)) - set(known))
    runner = str(known["runner"] or "").lower()
    if unknown and not runner.startswith(_PORTABLE):
        raise InputError(f"Apache Beam has no option --{', --'.join(unknown)}; its runners' documentation lists them")
    return options


def run(write: Callable[[Any], None], shards: Sequence[Any], config: tfds.download.DownloadConfig) -> None:
    """Writes shards on Beam's workers, each by one call of `write`; function and shards can be pickled.

    Raises:
        InputError: when Beam is not installed or has no such runner, or a worker raised one.
    """
    beam = _import_beam()
    try:
        pipeline = beam.Pipeline(runner=config.beam_runner, options=config.beam_options)
    except ValueError as error:
        raise InputError(f"Apache Beam: {' '.join(str(error).split())}") from error
    _ = pipeline | beam.Create(shards) | beam.Reshuffle() | "Write" >> beam.Map(write)
    try:
        pipeline.run().wait_until_finish()
    except RuntimeError as error:  # a worker in another process reports its error as a traceback
        if found := re.findall(r"ecg_jax\.errors\.InputError: (.*)", str(error)):
            raise InputError(found[-1]) from error
        raise


def _import_beam() -> types.ModuleType:
    try:
        import apache_beam
    except ImportError as error:
        raise InputError("Apache Beam is not installed; pip install 'ecg_jax[beam]'") from error
    return apache_beam
