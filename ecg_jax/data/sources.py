"""Where a run's batches come from: files, a prepared store, a store in the devices' memory, the simulator.

A training batch passes through `read_step` on the host, the transfer, and `gather` and `decode_train` on the devices;
a batch of given recordings through `load`, the transfer and `decode`. A new `data.mode` is one more class in `MODES`.
"""

import collections
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ecg_jax.contract import InputContract
from ecg_jax.data import preprocess_on_device, verify
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.preprocess import create_input, place
from ecg_jax.data.sampling import Order
from ecg_jax.data.store import INVALID, STEPS_PER_MILLIVOLT, check_contract
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS
from ecg_jax.simulation import SAMPLING_RATE

Batch = dict[str, Any]  # of arrays
_BLOCK = 1 << 16  # samples that are copied to the device at a time
_STREAM = 2**31 - 1  # of the simulator's keys: distinct from those of a data set's splits and of the training step


class Source:
    """A data set under an input contract, in batches.

    Attributes:
        dataset: Where recordings come from.
        contract: The input a network expects.
        dropped: Ids of recordings that were all zeros.
        gaps: Id to number of samples that were NaN or infinite.
        refused: Id to reason, of recordings that contradict physics.
        findings: Id to what was found, of recordings that were used nevertheless, or repaired.
    """

    is_on_device: ClassVar[bool] = False  # whether a step needs nothing from the host, so that several can be one call

    def __init__(self, dataset: Dataset, contract: InputContract) -> None:
        """Wraps a data set that has a split."""
        self.dataset, self.contract = dataset, contract
        self.dropped: set[str] = set()
        self.gaps: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.findings: dict[str, str] = {}

    @property
    def notes(self) -> collections.Counter[str]:
        """What readers noticed, and of how many recordings."""
        raise NotImplementedError

    @classmethod
    def check_settings(cls, data: ConfigDict) -> None:
        """Raises `InputError` on settings of `config.data` that do not go together, whatever the data set."""
        if cls.is_on_device and data.workers:
            raise InputError(
                f"data.workers is {data.workers} and data.mode {data.mode!r}, where workers have no file to read; "
                "set data.workers=0, or data.mode=host"
            )
        if data.dataset == "simulated" and data.simulated.population == "hospital" and data.workers:
            raise InputError(
                f"data.workers is {data.workers}, but these ECGs are computed, not read; set data.workers=0"
            )

    def check_data(self, config: ConfigDict, sharding: jax.sharding.Sharding) -> None:
        """Raises `InputError` on settings that do not suit the data set, or the devices of `sharding`."""
        del sharding
        steps = config.train.steps_per_call
        if steps > 1 and not self.is_on_device:
            raise InputError(
                f"train.steps_per_call is {steps}, which needs the data on the device: set data.mode=device, or endless"
            )

    def read(self, row: int) -> Batch:
        """Reads one example: `signal` `[T, leads]` float32, `valid` `[T]` bool, `label` `[C]` float32, `mask` bool."""
        signal, valid = create_input(self.dataset.read(row), self.contract)
        label = self.dataset.labels[row]
        return {"signal": signal, "valid": valid.any(axis=1), "label": label, "mask": np.array(True)}

    def load(self, rows: np.ndarray, crops: np.ndarray | None = None, stand_ins: np.ndarray | None = None) -> Batch:
        """Reads a batch on the host.

        Args:
            rows: `[B]` numbers of recordings; -1 for a blank.
            crops: `[B]` places, from 0 to 1, where longer recordings are cropped; None for their centre.
            stand_ins: Ascending numbers of recordings; the next of these replaces one that is dropped.

        Returns:
            What `decode` takes: `signal`, `label` `[B, C]`, `mask` `[B]`, and `row` `[B]` int32, their numbers.
        """
        raise NotImplementedError

    def decode(self, batch: Batch) -> Batch:
        """Makes a batch of `load` the contract's arrays `signal` and `valid`; jittable."""
        raise NotImplementedError

    def read_step(self, order: Order, step: int, places: np.ndarray) -> Batch:
        """What the host gives to some places `[B]` of the global batch of a step, with `index` `[B]` int32."""
        rows, crops = order.draw(step, places)
        return self.load(rows, crops, order.rows) | {"index": places.astype(np.int32)}

    def ids(self, order: Order, step: int) -> list[str]:
        """Recordings of the global batch of a step."""
        batch = self.read_step(order, step, np.arange(order.batch_size))
        return [str(self.dataset.ids[row]) for row in batch["row"]]

    def planned_ids(self, order: Order, step: int) -> list[str]:
        """The same without reading them, before any stand-in; none where nothing is read."""
        rows, _ = order.draw(step, np.arange(order.batch_size))
        return self.dataset.ids[rows].tolist()

    def fill(self, sharding: jax.sharding.Sharding) -> jax.Array | None:
        """Puts on the devices what `gather` reads there, if anything."""
        del sharding
        return None

    def gather(self, array: Any, batch: Batch) -> Batch:
        """Makes a batch of `read_step`, after its transfer, one that `decode_train` takes; jittable."""
        del array
        return batch

    def decode_train(self, batch: Batch) -> Batch:
        """Like `decode`, of what `gather` returns."""
        return self.decode(batch)


class FileSource(Source):
    """Recordings of any data set, kept in memory as far as there is room."""

    def __init__(
        self, dataset: Dataset, contract: InputContract, *, cache_gb: float = 0.0, checks: str = "refuse"
    ) -> None:
        """Wraps a data set; `cache_gb` bounds the memory for examples already read, `checks` is of `verify.enforce`."""
        super().__init__(dataset, contract)
        samples, leads = contract.shape
        self._room = int(cache_gb * 2**30 / (samples * (4 * leads + 1)))
        self._cache: dict[int, Batch] = {}
        self._lock = threading.Lock()
        self._checks = checks
        self._notes: collections.Counter[str] = collections.Counter()
        self._noted = np.zeros(len(dataset.ids), bool)

    def __getstate__(self) -> dict[str, Any]:
        """What another process receives: no lock, and nothing that was read."""
        return self.__dict__ | {"_cache": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state | {"_lock": threading.Lock()}

    @property
    def notes(self) -> collections.Counter[str]:
        """See `Source`; of the recordings that were read."""
        return self._notes

    def read(self, row: int, crop: float | None = None) -> Batch:
        """See `Source`; `mask` is False for a recording of zeros or one that was refused, which are then listed."""
        if row in self._cache:
            return self._cache[row]
        recording = self.dataset.read(row)
        findings: tuple[verify.Finding, ...] = ()
        try:
            if self.dataset.reads_files:  # the unit of a simulated ECG cannot be wrong
                recording, findings = verify.enforce(recording, self._checks)
        except InputError as error:
            with self._lock:
                self.refused[recording.id] = str(error)
            return self.blank() | {"label": self.dataset.labels[row]}
        signal, valid = create_input(recording, self.contract, crop)
        example = {
            "signal": signal,
            "valid": valid.any(axis=1),
            "label": self.dataset.labels[row],
            "mask": np.array(not recording.is_degenerate),
        }
        with self._lock:
            if recording.is_degenerate:
                self.dropped.add(recording.id)
            if recording.gaps:
                self.gaps[recording.id] = recording.gaps
            if findings:
                self.findings[recording.id] = "; ".join(finding.message for finding in findings)
            if recording.notes and not self._noted[row]:
                self._noted[row] = True
                self._notes.update(recording.notes)
            if crop is None and len(self._cache) < self._room:
                self._cache[row] = example
        return example

    def blank(self) -> Batch:
        """A masked example without a recording."""
        return {
            "signal": np.zeros(self.contract.shape, np.float32),
            "valid": np.zeros(self.contract.samples, bool),
            "label": np.full(len(self.dataset.label_names), np.nan, np.float32),
            "mask": np.array(False),
        }

    def load(self, rows: np.ndarray, crops: np.ndarray | None = None, stand_ins: np.ndarray | None = None) -> Batch:
        """See `Source`; what `read` returns, stacked, and `row`."""
        loaded = [
            self._read_or_next(int(row), None if crops is None else float(crops[i]), stand_ins)
            for i, row in enumerate(rows)
        ]
        return {key: np.stack([example[key] for example in loaded]) for key in loaded[0]}

    def _read_or_next(self, row: int, crop: float | None, stand_ins: np.ndarray | None) -> Batch:
        if row < 0:
            return self.blank() | {"row": np.int32(-1)}
        if stand_ins is None:
            return self.read(row, crop) | {"row": np.int32(row)}
        start = int(np.searchsorted(stand_ins, row))
        for offset in range(len(stand_ins)):
            candidate = int(stand_ins[(start + offset) % len(stand_ins)])
            example = self.read(candidate, crop)
            if example["mask"]:
                return example | {"row": np.int32(candidate)}
        reason = f"; the first: {next(iter(self.refused.values()))}" if self.refused else ""
        raise InputError(
            f"data set {self.dataset.name}: every training recording is all zeros or refused ({len(self.dropped)} and "
            f"{len(self.refused)}){reason}"
        )

    def decode(self, batch: Batch) -> Batch:
        """See `Source`; the batch already holds the contract's arrays."""
        return batch


class StoreSource(Source):
    """Recordings of a prepared store, in int16 until they are on the devices; none has to be replaced.

    Decoded, a batch equals `create_input` of its recordings within half a microvolt, times the contract's factor.
    """

    def __init__(self, dataset: Dataset, contract: InputContract) -> None:
        """Wraps the data set of a store; raises `InputError` when it was prepared for another contract."""
        super().__init__(dataset, contract)
        assert dataset.store is not None
        self.store = dataset.store
        self._columns = check_contract(self.store, contract)

    @property
    def notes(self) -> collections.Counter[str]:
        """See `Source`; of all recordings of the store."""
        return collections.Counter(line for lines in self.store.notes.values() for line in lines)

    def load(self, rows: np.ndarray, crops: np.ndarray | None = None, stand_ins: np.ndarray | None = None) -> Batch:
        """See `Source`; `signal` is `[B, T, leads of the store]` int16."""
        del stand_ins
        samples = self.contract.samples
        signal = np.empty((len(rows), samples, len(self.store.leads)), np.int16)
        for i, row in enumerate(rows):
            if row < 0:
                signal[i] = INVALID
                continue
            steps = self.store.read_steps(int(row))
            begin, first, count = place(len(steps), samples, None if crops is None else float(crops[i]))
            signal[i, :first] = INVALID
            signal[i, first : first + count] = steps[begin : begin + count]
            signal[i, first + count :] = INVALID
        return {"signal": signal} | self._load_facts(rows)

    def _load_facts(self, rows: np.ndarray) -> Batch:
        known = rows >= 0
        label = np.where(known[:, None], self.dataset.labels[rows], np.float32(np.nan))
        return {"label": label, "mask": known, "row": np.asarray(rows, np.int32)}

    def decode(self, batch: Batch) -> Batch:
        """See `Source`."""
        steps = batch["signal"]
        if self._columns != tuple(range(len(self.store.leads))):
            steps = steps[..., np.array(self._columns)]
        valid = steps != INVALID
        signal = steps.astype(jnp.float32) * jnp.float32(1 / STEPS_PER_MILLIVOLT)
        signal = preprocess_on_device.run(self.contract.amplitude_steps(self.store.normalized), signal, valid)
        return batch | {"signal": signal, "valid": valid.any(axis=-1)}


class DeviceSource(StoreSource):
    """The training recordings of a store in the memory of every device, from which batches are gathered there.

    No sample crosses the bus per step; the same seed gives the same batches as from the host.
    """

    is_on_device = True

    def __init__(self, dataset: Dataset, contract: InputContract) -> None:
        """Wraps the data set of a store; raises `InputError` when it is none, or was prepared for another contract."""
        if not dataset.store:
            raise InputError(
                f"data.mode is 'device', which needs a prepared store, not data set {dataset.name}; "
                "ecg-jax prepare makes one"
            )
        super().__init__(dataset, contract)
        self._lengths = np.asarray(self.store.lengths, np.int64)
        rows = dataset.indices("train")
        self._starts = np.full(len(self.store), -1, np.int64)
        self._starts[rows] = np.cumsum(self._lengths[rows]) - self._lengths[rows] + contract.samples

    def check_data(self, config: ConfigDict, sharding: jax.sharding.Sharding) -> None:
        """See `Source`."""
        super().check_data(config, sharding)
        self.measure(sharding)

    def measure(self, sharding: jax.sharding.Sharding) -> tuple[int, int]:
        """Returns the shape of what `fill` makes, `(samples, leads)`; raises `InputError` where that does not fit."""
        lengths = np.asarray(self.store.lengths, np.int64)[self.dataset.indices("train")]
        margin = self.contract.samples  # on both sides, so that no slice leaves the array
        shape = (int(lengths.sum()) + 2 * margin + _BLOCK, len(self.store.leads))
        needed = shape[0] * shape[1] * 2
        if shape[0] >= 2**31:
            raise InputError(
                f"data.mode=device: {shape[0]} samples are more than one array addresses; use data.mode=host"
            )
        device: Any
        for device in sharding.addressable_devices:
            room = (device.memory_stats() or {}).get("bytes_limit")
            if room and needed > 0.8 * room:
                raise InputError(
                    f"data.mode=device: the training recordings take {needed / 2**30:.1f} GiB, {device} has "
                    f"{room / 2**30:.1f}; use data.mode=host"
                )
        return shape

    def fill(self, sharding: jax.sharding.Sharding) -> jax.Array:
        """Copies the training recordings to the devices, a block at a time, as int16 `[samples, leads]`."""
        shape = self.measure(sharding)
        array = jax.jit(lambda: jnp.full(shape, INVALID, jnp.int16), out_shardings=sharding)()
        copy = jax.jit(
            lambda array, block, start: jax.lax.dynamic_update_slice(array, block, (start, jnp.zeros_like(start))),
            donate_argnums=0,
            out_shardings=sharding,
        )
        recordings = (self.store.read_steps(int(row)) for row in self.dataset.indices("train"))
        for start, block in _blocks(recordings, shape[1]):
            array = copy(array, block, np.int32(self.contract.samples + start))
        return array

    def read_step(self, order: Order, step: int, places: np.ndarray) -> Batch:
        """See `Source`: `start` in the array, `first` and `count`, `[B]` int32 each, in place of `signal`."""
        rows, crops = order.draw(step, places)
        placed = [
            place(int(self._lengths[row]), self.contract.samples, None if crops is None else crops[i])
            for i, row in enumerate(rows)
        ]
        begin, first, count = np.array(placed, np.int32).reshape(-1, 3).T
        start = (self._starts[rows] + begin - first).astype(np.int32)
        facts = self._load_facts(rows) | {"index": places.astype(np.int32)}
        return {"start": start, "first": first, "count": count} | facts

    def gather(self, array: Any, batch: Batch) -> Batch:
        """See `Source`."""
        samples = self.contract.samples

        def read(start: jax.Array, first: jax.Array, count: jax.Array) -> jax.Array:
            steps = jax.lax.dynamic_slice_in_dim(array, start, samples)
            time = jnp.arange(samples)[:, None]
            return jnp.where((time >= first) & (time < first + count), steps, INVALID)

        batch = dict(batch)
        return {"signal": jax.vmap(read)(batch.pop("start"), batch.pop("first"), batch.pop("count"))} | batch


def _blocks(recordings: Iterator[np.ndarray], leads: int) -> Iterator[tuple[int, np.ndarray]]:
    """Joins recordings into blocks of one size, the last one filled up; yields each with its first sample's number."""
    block = np.full((_BLOCK, leads), INVALID, np.int16)
    start = used = 0
    for steps in recordings:
        while len(steps):
            part = steps[: _BLOCK - used]
            block[used : used + len(part)] = part
            used, steps = used + len(part), steps[len(part) :]
            if used == _BLOCK:
                yield start, block
                block = np.full((_BLOCK, leads), INVALID, np.int16)
                start, used = start + _BLOCK, 0
    if used:
        yield start, block


class SimulatorSource(FileSource):
    """Training examples drawn on the devices inside the step: no file is read, no example repeats.

    The example at a place of the global batch of a step is a pure function of (seed, step, place), whatever the number
    of devices and processes. The data set's own recordings validate and test.
    """

    is_on_device = True

    def __init__(self, dataset: Dataset, contract: InputContract, *, seed: int, **options: Any) -> None:
        """Wraps a data set that can `draw`; raises `InputError` for others, and for another sampling rate.

        Args:
            dataset: The simulated one.
            contract: The input a network expects.
            seed: Of the drawn examples.
            **options: See `FileSource`.
        """
        if contract.sampling_rate != SAMPLING_RATE:
            raise InputError(
                f"data.mode is 'endless', which draws at {SAMPLING_RATE:g} Hz, but contract.sampling_rate is "
                f"{contract.sampling_rate:g} Hz; set it to that, or use data.mode=host"
            )
        if contract.median_baseline:
            raise InputError(
                f"contract.median_baseline is {contract.median_baseline:g} s, a running median that data.mode=endless "
                "does not subtract; use data.mode=host"
            )
        if dataset.draw is None:
            raise InputError(
                f"data.mode is 'endless', but data set {dataset.name} has {len(dataset.indices('train'))} training "
                "recordings; only simulated ECGs of data.simulated.population=hospital never end"
            )
        super().__init__(dataset, contract, **options)
        self._draw, self._seed = dataset.draw, seed

    @classmethod
    def check_settings(cls, data: ConfigDict) -> None:
        """See `Source`."""
        super().check_settings(data)
        if (data.sampling, data.crop) != ("shuffle", "center"):
            raise InputError(
                f"data.sampling is {data.sampling!r} and data.crop {data.crop!r}, but endless data has no recordings "
                "to choose from; use data.sampling=shuffle and data.crop=center"
            )

    def check_data(self, config: ConfigDict, sharding: jax.sharding.Sharding) -> None:
        """See `Source`."""
        super().check_data(config, sharding)
        if not config.train.steps or not config.train.eval_every:
            raise InputError(
                f"train.steps is {config.train.steps} and train.eval_every {config.train.eval_every}, but endless data "
                "has no epochs to count by; set both"
            )

    def read_step(self, order: Order, step: int, places: np.ndarray) -> Batch:
        """See `Source`: `step` and `index`, `[B]` int32."""
        del order
        index = places.astype(np.int32)
        return {"step": np.full_like(index, step), "index": index}

    def ids(self, order: Order, step: int) -> list[str]:
        """See `Source`."""
        return [f"step {step} place {place}" for place in range(order.batch_size)]

    def planned_ids(self, order: Order, step: int) -> list[str]:
        """See `Source`."""
        del order, step
        return []

    def decode_train(self, batch: Batch) -> Batch:
        """Draws the examples."""
        columns = np.array([LEADS.index(lead) for lead in self.contract.leads])
        steps = self.contract.signal_steps(SAMPLING_RATE) + self.contract.amplitude_steps()

        def create(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            signal, valid, label = self._draw(key, self.contract.samples, self.contract.sampling_rate)
            return preprocess_on_device.run(steps, signal[:, columns], valid[:, None]), valid, label

        index = batch["index"]
        signal, valid, label = jax.vmap(create)(create_keys(self._seed, batch["step"], index))
        return {"signal": signal, "valid": valid, "label": label, "mask": jnp.ones(index.shape, bool), "index": index}


def create_keys(seed: int, step: jax.Array, place: jax.Array) -> jax.Array:
    """Keys `[B]` of drawn examples, by step and place, `[B]` each; no recording of a data set has one of them."""
    root = jax.random.fold_in(jax.random.key(seed), _STREAM)
    return jax.vmap(lambda step, place: jax.random.fold_in(jax.random.fold_in(root, step), place))(step, place)


MODES: dict[str, type[Source]] = {"host": FileSource, "device": DeviceSource, "endless": SimulatorSource}


def check_settings(data: ConfigDict) -> None:
    """Raises `InputError` on settings of `config.data` that do not go together, whatever the data set."""
    MODES[data.mode].check_settings(data)


def create(data: ConfigDict, contract: InputContract, dataset: Dataset) -> Source:
    """Opens a data set under an input contract; raises `InputError` when it does not suit that, or `data.mode`."""
    if data.mode == "device":
        return DeviceSource(dataset, contract)
    if data.mode == "endless":
        return SimulatorSource(dataset, contract, seed=data.seed, cache_gb=data.cache_gb, checks=data.checks)
    if dataset.store:
        return StoreSource(dataset, contract)
    return FileSource(dataset, contract, cache_gb=data.cache_gb, checks=data.checks)
