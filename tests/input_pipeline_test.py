"""Batches: what is in them, in which order, on how many processes."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from ecg_jax.contract import InputContract
from ecg_jax.data.datasets import simulated
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.input_pipeline import TrainIterator, create_eval_batches, read_steps
from ecg_jax.data.sampling import Order
from ecg_jax.data.sources import DeviceSource, FileSource
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, create_recording

CONTRACT = InputContract(leads=("I", "II"), samples=8, units_per_millivolt=1.0)
ZEROS, GAPS = 3, 5  # recordings that are all zeros, and that hold NaN


def create_dataset(train=22, others=5):
    """Recording n is n + 1 millivolts throughout; so an example tells which it is."""
    total = train + others
    reads = []

    def read(i):
        reads.append(i)
        signal = np.full((6, 2), i + 1.0)
        if i == ZEROS:
            signal[:] = 0
        if i == GAPS:
            signal[2, 0] = signal[3] = np.nan
        return create_recording(signal, leads=("I", "II"), sampling_rate=400, id=f"r{i}")

    dataset = Dataset(
        name="test",
        ids=np.array([f"r{i}" for i in range(total)]),
        columns={"AF": np.arange(total, dtype=np.float32) % 2},
        split=np.array(["train"] * train + ["test"] * others),
        read=read,
    )
    return dataset, reads


def examples(**options):
    return FileSource(create_dataset()[0], CONTRACT, **options)


def open_batches(source, *, batch_size, seed, sampling="shuffle", random_crop=False, **options):
    order = Order(source.dataset, seed, sampling, batch_size=batch_size, random_crop=random_crop)
    return read_steps(source, order, **options)


def take(batches, steps):
    return [next(batches) for _ in range(steps)]


def recordings(batch):
    """Which recordings a batch holds; the one of zeros has no other sign."""
    found = batch["signal"].max(axis=(1, 2)).round().astype(int) - 1
    return np.where(found < 0, ZEROS, found)


def merge(parts):
    """One step's parts as one batch, in the order of `index`."""
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    order = np.argsort(whole["index"])
    return {key: value[order] for key, value in whole.items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_an_example_is_a_recording_in_the_contracts_form():
    example = examples().read(7)
    np.testing.assert_array_equal(example["signal"], np.pad(np.full((6, 2), 8.0), ((1, 1), (0, 0))))
    np.testing.assert_array_equal(example["valid"], [False] + [True] * 6 + [False])
    np.testing.assert_array_equal(example["label"], [1])
    assert example["mask"]


def test_a_recording_of_zeros_is_masked_and_listed():
    source = examples()
    assert not source.read(ZEROS)["mask"]
    assert source.read(ZEROS + 1)["mask"]
    assert source.dropped == {"r3"}


def test_nan_is_counted_and_does_not_drop_a_recording():
    source = examples()
    example = source.read(GAPS)
    source.read(GAPS)
    assert example["mask"]
    assert source.gaps == {"r5": 3}
    assert source.dropped == set()
    np.testing.assert_array_equal(example["signal"][3], [0, 6])
    np.testing.assert_array_equal(example["valid"], [False, True, True, True, False, True, True, False])


def test_a_cache_gives_identical_examples_and_reads_once():
    (plain, plain_reads), (cached, cached_reads) = create_dataset(), create_dataset()
    without, within = FileSource(plain, CONTRACT), FileSource(cached, CONTRACT, cache_gb=0.1)
    for row in [0, ZEROS, GAPS, 0, ZEROS, GAPS]:
        assert_same(without.read(row), within.read(row))
    assert len(plain_reads) == 6
    assert cached_reads == [0, ZEROS, GAPS]
    assert (within.dropped, within.gaps) == (without.dropped, without.gaps)


def test_a_cache_keeps_to_its_room():
    dataset, reads = create_dataset()
    source = FileSource(dataset, CONTRACT, cache_gb=3.5 * 8 * (4 * 2 + 1) / 2**30)  # three and a half examples
    for row in [0, 1, 2, 4, 6, 0, 1, 2, 4, 6]:
        source.read(row)
    assert reads == [0, 1, 2, 4, 6, 4, 6]


def test_a_cached_stream_is_the_same_stream():
    plain = open_batches(examples(), batch_size=4, seed=1)
    cached = open_batches(examples(cache_gb=0.1), batch_size=4, seed=1)
    for a, b in zip(take(plain, 15), take(cached, 15), strict=True):
        assert_same(a, b)


def test_a_batch_has_the_documented_arrays():
    batch = next(open_batches(examples(), batch_size=4, seed=0))
    found = {key: (value.shape, value.dtype.name) for key, value in batch.items()}
    assert found == {
        "signal": ((4, 8, 2), "float32"),
        "valid": ((4, 8), "bool"),
        "label": ((4, 1), "float32"),
        "mask": ((4,), "bool"),
        "index": ((4,), "int32"),
        "row": ((4,), "int32"),
    }
    np.testing.assert_array_equal(np.sort(batch["index"]), np.arange(4))


def test_label_and_mask_stay_with_their_signal():
    for batch in take(open_batches(examples(), batch_size=4, seed=0), 11):
        np.testing.assert_array_equal(batch["label"][:, 0], recordings(batch) % 2)
        assert batch["mask"].all()
        assert ZEROS not in recordings(batch)


VISITS = np.where(np.arange(22) == ZEROS + 1, 2, 1) * (np.arange(22) != ZEROS)  # of an epoch: the next stands in


def test_an_epoch_visits_every_training_recording_once_and_the_one_after_zeros_twice():
    batches = open_batches(examples(), batch_size=2, seed=0)
    orders = [np.concatenate([recordings(batch) for batch in take(batches, 11)]) for _ in range(3)]
    for order in orders:
        np.testing.assert_array_equal(np.bincount(order, minlength=22), VISITS)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])
    assert not np.array_equal(orders[0], np.arange(22))


def test_a_batch_that_spans_two_epochs_is_full():
    batches = open_batches(examples(), batch_size=8, seed=0)  # 22 recordings: the third batch spans
    visits = np.concatenate([recordings(batch) for batch in take(batches, 11)])
    assert len(visits) == 88
    np.testing.assert_array_equal(np.bincount(visits, minlength=22), 4 * VISITS)


def test_a_training_split_of_nothing_but_zeros_is_refused():
    empty = examples()
    empty.read = lambda row, crop: empty.blank()
    with pytest.raises(InputError, match="every training recording is all zeros"):
        next(open_batches(empty, batch_size=2, seed=0))


def test_every_example_is_read_once_where_nothing_is_kept_in_memory():
    source, read = examples(), []
    original = source.read
    source.read = lambda row, crop: read.append(row) or original(row, crop)
    batches = open_batches(source, batch_size=11, seed=0, threads=1)
    served = np.concatenate([recordings(batch) for batch in take(batches, 2)])
    assert len(served) == 22
    order = [row for row in read if row != ZEROS]
    np.testing.assert_array_equal(order[:22], served)


def test_the_stream_is_a_function_of_the_seed():
    first, again, other = (take(open_batches(examples(), batch_size=4, seed=seed), 6) for seed in (5, 5, 6))
    for a, b in zip(first, again, strict=True):
        assert_same(a, b)
    assert any((recordings(a) != recordings(b)).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_stream_does_not_depend_on_the_number_of_threads(threads):
    one = take(open_batches(examples(), batch_size=4, seed=5), 8)
    for a, b in zip(one, take(open_batches(examples(), batch_size=4, seed=5, threads=threads), 8), strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("processes", [2, 4])
def test_any_number_of_processes_shares_the_same_global_batches(processes):
    alone = open_batches(examples(), batch_size=8, seed=2)
    group = [
        open_batches(examples(), batch_size=8, seed=2, process_index=k, process_count=processes)
        for k in range(processes)
    ]
    for _ in range(9):  # over the ends of three epochs
        parts = [next(batches) for batches in group]
        assert all(len(part["index"]) == 8 // processes for part in parts)
        for k, part in enumerate(parts):
            np.testing.assert_array_equal(part["index"] % processes, k)
        assert_same(merge(parts), merge([next(alone)]))


def test_a_batch_that_processes_do_not_divide_is_refused():
    with pytest.raises(InputError, match="batch_size is 8, which 3 processes do not divide"):
        open_batches(examples(), batch_size=8, seed=0, process_count=3)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("stop", [0, 1, 7])
def test_a_stream_continues_exactly_where_its_state_was_taken(processes, stop):
    def batches():
        return open_batches(examples(), batch_size=4, seed=9, process_index=processes - 1, process_count=processes)

    running, resumed = batches(), batches()
    take(running, stop)
    state = json.loads(json.dumps(running.get_state()))
    take(resumed, 3)
    resumed.set_state(state)
    for a, b in zip(take(running, 8), take(resumed, 8), strict=True):
        assert_same(a, b)


def test_ids_of_a_step_are_the_recordings_it_serves():
    source = examples()
    order = Order(source.dataset, 4, batch_size=8)
    batches = read_steps(source, order)
    for step in range(7):
        assert source.ids(order, step) == [f"r{i}" for i in recordings(merge([next(batches)]))]
        planned = [id for id in source.planned_ids(order, step) if id != f"r{ZEROS}"]
        assert set(planned) <= set(source.ids(order, step))


def test_fewer_recordings_than_a_batch_still_fill_it():
    dataset, _ = create_dataset(train=3, others=0)
    batch = next(open_batches(FileSource(dataset, CONTRACT), batch_size=8, seed=0))
    assert np.bincount(recordings(batch)[:6]).tolist() == [2, 2, 2]
    assert len(batch["index"]) == 8


def collect(**options):
    rows = np.arange(22, 27)[::-1]
    return rows, list(create_eval_batches(examples(), rows, batch_size=4, **options))


def test_evaluation_goes_through_all_rows_once_and_in_order():
    rows, batches = collect()
    assert [len(batch["index"]) for batch in batches] == [4, 4]
    whole = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    np.testing.assert_array_equal(whole["index"], [0, 1, 2, 3, 4, -1, -1, -1])
    np.testing.assert_array_equal(whole["mask"], [True] * 5 + [False] * 3)
    np.testing.assert_array_equal(recordings({"signal": whole["signal"][:5]}), rows)
    np.testing.assert_array_equal(whole["signal"][5:], 0)
    assert not whole["valid"][5:].any()
    assert np.isnan(whole["label"][5:]).all()


@pytest.mark.parametrize("processes", [2, 4])
def test_evaluation_on_several_processes_covers_the_same_rows(processes):
    _, alone = collect()
    parts = [collect(process_index=k, process_count=processes)[1] for k in range(processes)]
    assert {len(part) for part in parts} == {2}
    for step, batch in enumerate(alone):
        merged = merge([part[step] for part in parts])
        assert_same({key: merged[key] for key in batch}, merge([batch]))


def test_evaluation_of_whole_batches_needs_no_blank():
    batches = list(create_eval_batches(examples(), np.arange(8), batch_size=4))
    np.testing.assert_array_equal(np.concatenate([batch["index"] for batch in batches]), np.arange(8))
    np.testing.assert_array_equal(np.concatenate([batch["mask"] for batch in batches]), np.arange(8) != ZEROS)


def test_evaluation_of_nothing_is_no_batch():
    assert list(create_eval_batches(examples(), np.arange(0), batch_size=4)) == []


def test_a_recording_that_cannot_be_read_stops_the_stream_by_name():
    dataset, _ = create_dataset()

    def read(i):
        raise InputError(f"r{i}.hea: no such file")

    broken = FileSource(dataclasses.replace(dataset, read=read), CONTRACT)
    with pytest.raises(InputError, match=r"r\d+\.hea: no such file"):
        next(open_batches(broken, batch_size=4, seed=0))


def test_a_prefetched_stream_is_the_same_stream_and_remembers_only_what_it_handed_out():
    plain = [batch["row"] for batch in take(open_batches(examples(), batch_size=4, seed=0), 9)]
    put = []
    ahead = TrainIterator(
        open_batches(examples(), batch_size=4, seed=0), lambda batch: put.append(0) or batch["row"], depth=3
    )
    first = take(ahead, 4)
    assert len(put) == 6  # the fourth was handed out while two more were under way
    state = json.loads(json.dumps(ahead.get_state()))
    np.testing.assert_array_equal(first + take(ahead, 5), plain)
    again = TrainIterator(open_batches(examples(), batch_size=4, seed=0), lambda batch: batch["row"])
    again.set_state(state)
    np.testing.assert_array_equal(take(again, 5), plain[4:])
    ahead.set_state(state)
    np.testing.assert_array_equal(take(ahead, 5), plain[4:])


def create_long(samples=30):
    """One recording whose every sample is its own number, in millivolts."""
    signal = np.tile(np.arange(1.0, samples + 1)[:, None] / 100, (1, 2))
    return Dataset(
        name="long",
        ids=np.array(["a", "b"]),
        columns={"AF": np.zeros(2, np.float32)},
        split=np.array(["train", "train"]),
        read=lambda i: create_recording(signal, leads=("I", "II"), sampling_rate=400, id="ab"[i]),
    )


def test_a_random_crop_is_another_part_each_time_and_the_same_for_the_same_seed():
    def begins(**options):
        batches = open_batches(FileSource(create_long(), CONTRACT), batch_size=50, seed=3, **options)
        return [np.rint(batch["signal"][:, 0, 0] * 100).astype(int) for batch in take(batches, 4)]

    drawn = np.concatenate(begins(random_crop=True))
    assert set(drawn) == set(range(1, 24))  # 30 samples hold 8 in 23 places
    np.testing.assert_array_equal(begins(random_crop=True), begins(random_crop=True))
    assert set(np.concatenate(begins())) == {12}  # the centre


def test_recordings_that_physics_contradicts_are_refused_listed_and_stood_in_for():
    dataset = simulated.create(source="", labels=("AF",), seed=0, train=6, validation=0, test=0)
    volts = dataclasses.replace(dataset.read(2), signal=dataset.read(2).signal / 1000)
    mixed = dataclasses.replace(dataset, reads_files=True, read=lambda i: volts if i == 2 else dataset.read(i))
    source = FileSource(mixed, InputContract())
    batch = next(open_batches(source, batch_size=6, seed=0))
    assert sorted(batch["row"]) == [0, 1, 3, 3, 4, 5]
    assert list(source.refused) == [volts.id]
    kept = FileSource(mixed, InputContract(), checks="warn")
    assert sorted(next(open_batches(kept, batch_size=6, seed=0))["row"]) == [0, 1, 2, 3, 4, 5]
    assert list(kept.findings) == [volts.id]


@pytest.mark.slow
def test_processes_that_read_ahead_give_the_same_stream():
    dataset = simulated.create(source="", labels=("AF",), seed=0, train=9, validation=0, test=0)

    def rows(**options):
        batches = open_batches(FileSource(dataset, CONTRACT), batch_size=4, seed=0, **options)
        first = [batch["row"] for batch in take(batches, 3)]
        again = open_batches(FileSource(dataset, CONTRACT), batch_size=4, seed=0, **options)
        again.set_state(batches.get_state())
        return [*first, next(again)["row"]]

    np.testing.assert_array_equal(rows(workers=2), rows())


def test_recordings_that_do_not_fit_the_device_are_refused_before_it_is_filled():
    source = SimpleNamespace(
        store=SimpleNamespace(lengths=[4000, 9999, 4000], leads=LEADS),
        contract=InputContract(samples=1000),
        dataset=SimpleNamespace(indices=lambda split: np.array([0, 2])),
    )
    samples = 8000 + 2 * 1000 + 65536  # two recordings, margins, and a block
    needed = samples * 12 * 2

    def measure(bytes_limit):
        device = SimpleNamespace(memory_stats=lambda: {"bytes_limit": bytes_limit})
        return DeviceSource.measure(source, SimpleNamespace(addressable_devices=[device]))

    assert measure(needed / 0.79) == (samples, 12)
    assert measure(None) == (samples, 12)  # a device that does not say
    with pytest.raises(InputError, match=r"data.mode=device: the training recordings take .*; use data.mode=host"):
        measure(needed / 0.81)
