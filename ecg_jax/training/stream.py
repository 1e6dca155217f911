"""The training stream of a run: what `config.data` says of it, checked before anything is written, then opened."""

from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from ecg_jax.data import decode, pipeline, sampling
from ecg_jax.data.examples import StoredExamples
from ecg_jax.errors import InputError
from ecg_jax.runtime.parallel import Parallel

DATA_MODES = ("host", "device")
CROPS = ("center", "random")
_CHOICES = {"mode": DATA_MODES, "crop": CROPS, "sampling": sampling.SAMPLINGS}


def check_settings(data: ConfigDict) -> None:
    """Raises `InputError` on what is wrong with `config.data` whatever the data set."""
    for key, known in _CHOICES.items():
        if data[key] not in known:
            raise InputError(f"data.{key} is {data[key]!r}; known: {', '.join(known)}")
    if data.mode == "device" and data.workers:
        raise InputError(
            f"data.workers is {data.workers} and data.mode 'device', where no file is read and the recordings would "
            "be sent to every worker; set data.workers=0, or data.mode=host"
        )


def check_data(config: ConfigDict, examples: pipeline.AnyExamples, parallel: Parallel) -> None:
    """Checks that the training stream can be opened, without filling the device.

    Raises:
        InputError: when `data.mode` is `device` and there is no store or not enough memory, when
            several steps are to be one call and it is not `device`, or weights are missing or wrong.
    """
    sampling.Order(examples.dataset, config.seed, config.data.sampling)
    steps = config.train.steps_per_call
    if steps > 1 and config.data.mode != "device":
        raise InputError(f"train.steps_per_call is {steps}, which needs the data on the device: set data.mode=device")
    if config.data.mode == "device":
        decode.measure_resident(_require_store(examples), examples.dataset.indices("train"), parallel.replicated)


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
    put: Callable[[Any], Any] = parallel.shard
    if data.mode == "device":
        resident = decode.Resident(_require_store(examples), examples.dataset.indices("train"), parallel.replicated)
        array = resident.array
        if config.train.steps_per_call > 1:
            group = config.train.steps_per_call

            def put(batches: Any) -> Any:
                return {"array": array, "places": parallel.shard_stacked(batches)}

        else:
            gather = parallel.compile_gather(decode.create_gather(examples.contract.samples))

            def put(batch: Any) -> Any:
                return gather(array, parallel.shard(batch))

    batches = pipeline.TrainBatches(
        examples,
        batch_size=config.train.batch_size,
        seed=config.seed,
        sampling=data.sampling,
        random_crop=data.crop == "random",
        resident=resident,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        threads=data.threads,
        workers=data.workers,
    )
    return pipeline.Prefetched(batches, put, group=group)
