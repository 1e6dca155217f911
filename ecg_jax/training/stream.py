"""The training stream of a run: what `config.data` says of it, checked before anything is written, then opened."""

from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from ecg_jax.data import decode, endless, pipeline, sampling
from ecg_jax.data.examples import Batch, StoredExamples
from ecg_jax.errors import InputError
from ecg_jax.runtime.parallel import Parallel

DATA_MODES = ("host", "device", "endless")
CROPS = ("center", "random")


def check_settings(data: ConfigDict) -> None:
    """Raises `InputError` on settings of `config.data` that do not go together, whatever the data set."""
    if data.mode != "host" and data.workers:
        raise InputError(
            f"data.workers is {data.workers} and data.mode {data.mode!r}, where workers have no file to read; "
            "set data.workers=0, or data.mode=host"
        )
    if data.mode == "endless" and (data.sampling, data.crop) != ("shuffle", "center"):
        raise InputError(
            f"data.sampling is {data.sampling!r} and data.crop {data.crop!r}, but endless data has no recordings to "
            "choose from; use data.sampling=shuffle and data.crop=center"
        )
    if data.dataset == "simulated" and data.simulated.population == "hospital" and data.workers:
        raise InputError(f"data.workers is {data.workers}, but these ECGs are computed, not read; set data.workers=0")


def check_data(config: ConfigDict, examples: pipeline.AnyExamples, parallel: Parallel) -> None:
    """Checks that the training stream can be opened, without filling the device.

    Raises:
        InputError: when `data.mode` is `device` and there is no store or not enough memory, or
            `endless` and the data is finite or the run is not told where to end, when several
            steps are to be one call and it is `host`, or weights are missing or wrong.
    """
    sampling.Order(examples.dataset, config.seed, config.data.sampling)
    steps = config.train.steps_per_call
    if steps > 1 and config.data.mode == "host":
        raise InputError(
            f"train.steps_per_call is {steps}, which needs the data on the device: set data.mode=device, or endless"
        )
    if config.data.mode == "device":
        decode.measure_resident(_require_store(examples), examples.dataset.indices("train"), parallel.replicated)
    if config.data.mode == "endless":
        endless.require_draw(examples.dataset, examples.contract)
        if not config.train.steps or not config.train.eval_every:
            raise InputError(
                f"train.steps is {config.train.steps} and train.eval_every {config.train.eval_every}, but endless data "
                "has no epochs to count by; set both"
            )


def create_decoder(config: ConfigDict, examples: pipeline.AnyExamples) -> Callable[[Batch], Batch]:
    """What makes a training batch, as it is handed out, a contract's arrays, on the device."""
    if config.data.mode == "endless":
        return endless.create_decoder(examples.dataset, examples.contract, config.data.seed)
    return decode.create_decoder(examples)


def create_gather(config: ConfigDict, examples: pipeline.AnyExamples) -> Callable[[jax.Array, Batch], Batch]:
    """What takes a training batch out of the device's memory, where several steps are one call."""
    if config.data.mode == "endless":
        return lambda _, batch: batch
    return decode.create_gather(examples.contract.samples)


def _require_store(examples: pipeline.AnyExamples) -> StoredExamples:
    if not isinstance(examples, StoredExamples):
        raise InputError(
            f"data.mode is 'device', which needs a prepared store, not data set {examples.dataset.name}; "
            "python -m ecg_jax.prepare makes one"
        )
    return examples


def open_batches(config: ConfigDict, examples: pipeline.AnyExamples, parallel: Parallel) -> pipeline.Prefetched:
    """Opens the training stream at step 0; its batches are on the devices when they are handed out.

    Raises:
        InputError: see `check_settings` and `check_data`.
    """
    data, group = config.data, 0
    resident: decode.Resident | None = None
    array: Any = None
    put: Callable[[Any], Any] = parallel.shard
    if data.mode == "device":
        resident = decode.Resident(_require_store(examples), examples.dataset.indices("train"), parallel.replicated)
        array = resident.array
        gather = parallel.compile_gather(decode.create_gather(examples.contract.samples))

        def put(batch: Any) -> Any:
            return gather(array, parallel.shard(batch))

    if config.train.steps_per_call > 1:
        group = config.train.steps_per_call

        def put(batches: Any) -> Any:
            return {"array": array, "places": parallel.shard_stacked(batches)}

    processes = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    if data.mode == "endless":
        return pipeline.Prefetched(
            endless.EndlessBatches(batch_size=config.train.batch_size, **processes), put, group=group
        )
    batches = pipeline.TrainBatches(
        examples,
        batch_size=config.train.batch_size,
        seed=config.seed,
        sampling=data.sampling,
        random_crop=data.crop == "random",
        resident=resident,
        **processes,
        threads=data.threads,
        workers=data.workers,
    )
    return pipeline.Prefetched(batches, put, group=group)
