"""Work spread over processes and machines by Apache Beam: an optional dependency, imported where it is needed.

The pipelines here have one shape: parts of work go in, each is done whole by a call in some worker, and what it leaves
are files. That needs no more of a runner than it is sure to have: Beam's Dask runner (2.77) computes the last branch of
a pipeline alone, drops what `finish_bundle` emits, sets a `DoFn` up again for each partition, and has no metrics.
"""

import importlib
import logging
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ecg_jax.errors import InputError

_PORTABLE = ("flink", "spark", "portable", "prism")  # runners whose job servers know more options than Beam does
_DASK = "apache_beam.runners.dask.dask_runner.DaskRunner"  # Beam knows no short name of it
_DIRECT = "DirectRunner"
_NAMESPACE = "ecg_jax"  # of counters


def create_options(arguments: Sequence[str]) -> Any:
    """Beam's `PipelineOptions` of a command line, as `--runner=DirectRunner`.

    `DaskRunner` gets one part per task, unless the arguments say otherwise, in place of 128.

    Raises:
        InputError: when Beam or Dask is not installed, or Beam has no such option.
    """
    _import_beam()
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(list(arguments))
    runner = str(options.get_all_options()["runner"] or "").lower()
    if runner == "daskrunner":
        _import_dask_runner()
        options = PipelineOptions([*arguments, f"--runner={_DASK}"])
        if not any(options.get_all_options()[name] for name in ("npartitions", "partition_size")):
            options = PipelineOptions([*arguments, f"--runner={_DASK}", "--dask_partition_size=1"])
    known = options.get_all_options()
    unknown = sorted(set(options.get_all_options(retain_unknown_options=True)) - set(known))
    if unknown and not runner.startswith(_PORTABLE):
        raise InputError(f"Apache Beam has no option --{', --'.join(unknown)}; its runners' documentation lists them")
    return options


def run(
    work: Callable[[Any], Mapping[str, int] | None], parts: Sequence[Any], options: Any, runner: Any = None
) -> None:
    """Does parts of work on Beam's workers, each by one call of `work`, which a runner may repeat.

    Args:
        work: Does a part; may return counts, which become Beam's counters of these names.
        parts: They and `work` can be pickled.
        options: See `create_options`; None for Beam's own.
        runner: Beam's runner, or its name; None for that of the options.

    Raises:
        InputError: when Beam is not installed or has no such runner, or a worker raised one.
    """
    beam = _import_beam()
    logging.getLogger("apache_beam").setLevel(logging.ERROR)  # it repeats warnings of every worker that starts

    def count(part: Any) -> None:
        for name, number in (work(part) or {}).items():
            beam.metrics.Metrics.counter(_NAMESPACE, name).inc(number)

    try:
        pipeline = beam.Pipeline(runner=_choose_runner(runner, options), options=options)
    except ValueError as error:
        raise InputError(f"Apache Beam: {' '.join(str(error).split())}") from error
    _ = pipeline | beam.Create(parts) | beam.Reshuffle() | "Work" >> beam.Map(count)
    try:
        pipeline.run().wait_until_finish()
    except RuntimeError as error:  # a worker in another process reports its error as a traceback
        if found := re.findall(r"ecg_jax\.errors\.InputError: (.*)", str(error)):
            raise InputError(found[-1]) from error
        raise


def _choose_runner(runner: Any, options: Any) -> Any:
    """The runner, or in place of `DirectRunner` what carries it out.

    By itself that tries Prism first, a program which it downloads and which starts no processes
    (`--direct_num_workers`, `--direct_running_mode`).
    """
    known = options.get_all_options() if options else {}
    runner = runner or known.get("runner") or _DIRECT
    if runner != _DIRECT:
        return runner
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo, FnApiRunner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    known["default_sdk_harness_log_level"] = known.get("default_sdk_harness_log_level") or "ERROR"
    encoded = JobServiceHandle.encode_pipeline_options(known)  # for the processes that it starts
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return FnApiRunner(provision_info=ExtendedProvisionInfo(provision))


def _import_beam() -> types.ModuleType:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it warns that Google's libraries are missing, which sets up the root logger
    try:
        import apache_beam
    except ImportError as error:
        raise InputError("Apache Beam is not installed; pip install 'ecg_jax[beam]'") from error
    finally:
        logging.disable(before)
    return apache_beam


def _import_dask_runner() -> None:
    try:
        importlib.import_module("distributed")
        importlib.import_module("apache_beam.runners.dask.dask_runner")  # whose options Beam knows from here on
        logging.getLogger("distributed").setLevel(logging.ERROR)  # it tells of each worker that comes and goes
    except ImportError as error:
        raise InputError("Dask is not installed; pip install 'apache-beam[dask]'") from error
