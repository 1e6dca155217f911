"""The prepared store: what goes in comes out, whatever happens in between."""

import dataclasses
import functools
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from input_pipeline_test import open_batches
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from workers_reading import assert_workers_read

from ecg_jax.contract import InputContract
from ecg_jax.data import datasets, filters, quality, sources, store
from ecg_jax.data.datasets import simulated
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.input_pipeline import create_eval_batches
from ecg_jax.data.preprocess import create_input
from ecg_jax.data.store import conversion, summary
from ecg_jax.data.store.shards import read_sealed, write_sealed
from ecg_jax.errors import InputError
from ecg_jax.inference import batches
from ecg_jax.inference.model import Model
from ecg_jax.recording import LEADS, create_recording

CONTRACT = InputContract()
ORIGIN = {"dataset": "test", "source": "", "seed": 0, "options": {}}
NOTHING = 1  # the recording without a signal
BROKEN = 4  # the one that cannot be read
VOLTS = 6  # the one whose unit is wrong


def create_dataset(count=10):
    """Simulated ECGs of several rates and lengths, with the three that go wrong."""
    ecgs = simulated.create(source="", labels=("AF", "abnormal"), seed=0, train=count, validation=0, test=0)

    def read(i):
        recording = ecgs.read(i)
        if i == BROKEN:
            raise InputError(f"r{i}.hea: it is broken\nin two lines")
        samples = 2000 + 400 * i
        signal = np.tile(recording.signal, (3, 1))[:samples] * (i != NOTHING) * (1e-3 if i == VOLTS else 1)
        valid = np.ones(signal.shape, bool)
        if i == 7:
            valid[100:110, 3] = valid[300:320] = False
        return create_recording(signal, leads=LEADS, sampling_rate=400, id=f"r{i}", valid=valid)

    return dataclasses.replace(
        ecgs,
        name="test",
        ids=np.array([f"r{i}" for i in range(count)]),
        read=read,
        split=np.array(["train", "test"] * (count // 2)),
        patients=np.array([f"p{i % 2}{i // 4}" for i in range(count)]),
        attributes={"age": np.arange(count, dtype=np.float32), "sex": np.array(["F", "M"] * (count // 2))},
        notes=("a note",),
        reads_files=True,
    )


def convert(folder, dataset=None, *, contract=CONTRACT, shard_size=3, damaged=(), **options):
    dataset = dataset or create_dataset()
    settings = conversion.Settings(contract, origin=ORIGIN, **options)
    return conversion.convert(str(folder), lambda: dataset, settings, damaged=damaged, shard_size=shard_size)


def open_store(folder, labels="all"):
    return datasets.open_source("store", source=str(folder), labels=labels, seed=0, options={})


def files(folder):
    """Contents of a store, without times."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return folder, convert(folder)


# What is in it


def test_everything_that_can_be_stored_is_and_the_rest_is_listed_with_its_reason(whole):
    folder, outcome = whole
    assert outcome.recordings == outcome.added == 7
    assert outcome.left_out == {"no signal": 1, "unreadable": 1, "refused": 1}
    assert outcome.errors == 2
    lines = (folder / "problems.csv").read_text().splitlines()
    assert lines[0] == "recording,reason,detail"
    assert lines[1].startswith("r1,no signal")
    assert lines[2] == "r4,unreadable,r4.hea: it is broken in two lines"
    assert lines[3].startswith("r6,refused,")
    assert "1000" in lines[3]
    assert len(lines) == 4


def test_the_index_keeps_what_the_data_set_says(whole):
    folder, _ = whole
    original, stored = create_dataset(), open_store(folder)
    rows = [i for i in range(10) if i not in (NOTHING, BROKEN, VOLTS)]
    assert stored.ids.tolist() == [f"r{i}" for i in rows]
    np.testing.assert_array_equal(stored.labels, original.labels[rows])
    assert stored.label_names == ("AF", "abnormal")
    assert stored.split.tolist() == original.split[rows].tolist()
    assert stored.patients.tolist() == original.patients[rows].tolist()
    np.testing.assert_array_equal(stored.attributes["age"], original.attributes["age"][rows])
    assert stored.attributes["sex"].tolist() == original.attributes["sex"][rows].tolist()
    assert stored.notes == ("a note",)
    assert stored.hashes.tolist() == [quality.content_hash(original.read(i)) for i in rows]
    np.testing.assert_array_equal(stored.store.lengths, [2000 + 400 * i for i in rows])


def test_an_unknown_label_stays_unknown(tmp_path):
    dataset = create_dataset()
    column = np.array([np.nan, 0, 1, np.nan, 0, 0, 0, 0, 0, 1], np.float32)
    convert(tmp_path, dataclasses.replace(dataset, columns={"AF": column}))
    np.testing.assert_array_equal(open_store(tmp_path).labels[:, 0], column[[0, 2, 3, 5, 7, 8, 9]])


def test_a_recording_comes_back_within_half_a_microvolt(whole):
    folder, _ = whole
    original, stored = create_dataset(), open_store(folder)
    for row, i in enumerate(original_rows(stored)):
        was, now = original.read(i), stored.read(row)
        np.testing.assert_allclose(now.signal, was.signal, rtol=0, atol=0.5e-3 + 1e-6)
        np.testing.assert_array_equal(now.valid, was.valid)
        assert (now.leads, now.sampling_rate, now.id) == (LEADS, 400.0, was.id)


def original_rows(stored):
    return [int(id.removeprefix("r")) for id in stored.ids]


def test_values_beyond_the_range_are_clipped_and_flagged():
    steps, beyond = store.quantize(
        np.array([[0.0004], [0.0006], [40.0], [-40.0], [np.nan]]), np.array([[1]] * 4 + [[0]], bool)
    )
    assert steps[:, 0].tolist() == [0, 1, 32767, -32767, -32768]
    assert beyond == 2


# From recording to batch


@settings(max_examples=30, deadline=None)
@given(
    samples=st.integers(40, 3000),
    rate=st.sampled_from([100, 250, 257, 400, 500, 1000]),
    length=st.sampled_from([256, 1000, 4096]),
    zscore=st.booleans(),
    leads=st.sampled_from([LEADS, LEADS[::-1], ("II", "V1", "V5")]),
    seed=st.integers(0, 2**31),
)
def test_from_recording_to_store_to_batch_is_preprocessing_within_half_a_quantum(
    tmp_path_factory, samples, rate, length, zscore, leads, seed
):
    rng = np.random.default_rng(seed)
    signal = np.cumsum(rng.normal(0, 0.05, (samples, 12)), axis=0)
    signal -= signal.mean(axis=0)
    signal[rng.integers(samples)] = np.nan
    recording = create_recording(signal, leads=LEADS, sampling_rate=rate, id="r")
    contract = InputContract(leads=leads, samples=length, normalization="zscore" if zscore else "none")
    dataset = Dataset("test", np.array(["r"]), {"AF": np.zeros(1)}, lambda i: recording, split=np.array(["train"]))
    folder = tmp_path_factory.mktemp("one")
    convert(folder, dataset, checks="warn")
    examples = sources.StoreSource(open_store(folder), contract)
    batch = examples.decode(examples.load(np.array([0])))
    expected, valid = create_input(recording, contract)
    np.testing.assert_array_equal(batch["valid"][0], valid.any(axis=1))
    if zscore:  # half a microvolt, in the lead's own standard deviations
        plain, _ = create_input(recording, dataclasses.replace(contract, normalization="none", units_per_millivolt=1.0))
        spread = np.array([plain[valid[:, i], i].std() for i in range(len(leads))])
        tolerance = np.where(spread > 0.01, 1.2e-3 / np.maximum(spread, 0.01), np.inf)
    else:
        tolerance = np.full(len(leads), 2 * 0.5e-3 + 1e-5)
    assert np.all(np.abs(batch["signal"][0] - expected)[valid] <= np.broadcast_to(tolerance, valid.shape)[valid])
    assert not np.any(np.asarray(batch["signal"][0])[~valid])


def test_filters_are_applied_when_a_store_is_written(tmp_path):
    contract = InputContract(highpass=0.5, lowpass=40.0, notch=50.0)
    convert(tmp_path, contract=contract)
    stored = open_store(tmp_path)
    examples = sources.StoreSource(stored, contract)
    batch = examples.decode(examples.load(np.array([2])))
    expected, _ = create_input(create_dataset().read(original_rows(stored)[2]), contract)
    np.testing.assert_allclose(batch["signal"][0], expected, rtol=0, atol=1e-3 + 1e-5)


def test_what_a_store_has_filtered_is_not_filtered_again_when_it_is_predicted(tmp_path):
    contract = InputContract(highpass=0.5, lowpass=40.0, bandpass_order=4, median_baseline=0.2)
    convert(tmp_path, contract=contract)
    stored = open_store(tmp_path)
    model = Model(None, {}, contract, ("AF",), {})
    suited = batches.suit_store(model, stored.store).contract
    found, _ = create_input(stored.read(2), suited)
    expected, _ = create_input(create_dataset().read(original_rows(stored)[2]), contract)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 + 1e-5)
    assert batches.suit_store(model, create_dataset().store) is model
    other = dataclasses.replace(model, contract=InputContract(highpass=1.0))
    assert batches.suit_store(other, stored.store) is other


def test_a_store_is_of_the_data_base_that_it_was_prepared_from(whole):
    assert open_store(whole[0]).find_of(ORIGIN["dataset"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling_rate": 500.0}, "sampling_rate 400.0 there, 500.0 here"),
        ({"highpass": 0.5}, "highpass 0.0 there, 0.5 here"),
        ({"notch": 50.0, "lowpass": 40.0}, "lowpass 0.0 there, 40.0 here; notch"),
    ],
)
def test_a_store_for_another_contract_is_refused_naming_every_difference(whole, change, message):
    with pytest.raises(InputError, match=message):
        sources.StoreSource(open_store(whole[0]), dataclasses.replace(CONTRACT, **change))


def test_a_store_without_a_lead_is_refused_by_its_name(tmp_path):
    convert(tmp_path, contract=InputContract(leads=("I", "II", "V1")))
    with pytest.raises(InputError, match="no lead V2, V3 there"):
        sources.StoreSource(open_store(tmp_path), InputContract(leads=("I", "V2", "V3")))


def test_normalized_recordings_make_a_normalized_store(tmp_path):
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(500, 12))
    dataset = dataclasses.replace(
        create_dataset(2),
        read=lambda i: create_recording(signal, leads=LEADS, sampling_rate=400, id=f"r{i}", normalized=True),
    )
    zscore = InputContract(samples=500, normalization="zscore")
    convert(tmp_path, dataset, contract=zscore)
    with pytest.raises(InputError, match="z-scored there"):
        sources.StoreSource(open_store(tmp_path), InputContract(samples=500))
    examples = sources.StoreSource(open_store(tmp_path), zscore)
    batch = examples.decode(examples.load(np.array([0])))
    np.testing.assert_allclose(batch["signal"][0], signal, atol=0.5e-3 + 1e-6)
    usual = InputContract(samples=400, leads=("V2", "II"), usual_deviations=(0.25, 0.1))
    examples = sources.StoreSource(open_store(tmp_path), usual)
    batch = examples.decode(examples.load(np.array([0])))
    expected, valid = create_input(dataset.read(0), usual)
    np.testing.assert_allclose(batch["signal"][0], expected, atol=2 * 0.25 * 0.5e-3 * 1.1)
    assert valid.all()


# Batches


def compare(first, second):
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


@pytest.mark.parametrize("crop", [False, True], ids=["center", "random"])
@pytest.mark.parametrize("sampling", ["shuffle", "balanced"])
def test_device_mode_gives_the_same_batches(whole, crop, sampling):
    dataset = datasets.create("store", source=str(whole[0]), labels="AF,abnormal", seed=0, options={})
    contract = InputContract(samples=3000)
    on_host, on_device = sources.StoreSource(dataset, contract), sources.DeviceSource(dataset, contract)
    array = on_device.fill(NamedSharding(Mesh(np.array(jax.devices()[:1]), ("devices",)), PartitionSpec()))
    gather = jax.jit(on_device.gather)
    options = {"batch_size": 5, "seed": 1, "sampling": sampling, "random_crop": crop}
    host, device = open_batches(on_host, **options), open_batches(on_device, **options)
    for _ in range(6):
        places = next(device)
        assert "signal" not in places
        compare(next(host), gather(array, places))


def test_workers_read(whole):
    assert_workers_read(datasets.create("store", source=str(whole[0]), labels="AF", seed=0, options={}))


def test_blocks_that_fill_the_device_do_not_overlap(whole, monkeypatch):
    monkeypatch.setattr(sources, "_BLOCK", 700)
    test_device_mode_gives_the_same_batches(whole, False, "shuffle")


def test_the_float_and_the_int16_way_give_the_same_stream(whole):
    stored = open_store(whole[0])
    contract = InputContract(samples=2500)
    examples = sources.StoreSource(stored, contract)
    convert_batch = examples.decode
    one, other = (
        open_batches(source, batch_size=3, seed=2) for source in (examples, sources.FileSource(stored, contract))
    )
    for _ in range(4):
        a, b = convert_batch(next(one)), next(other)
        np.testing.assert_array_equal(a["row"], b["row"])
        np.testing.assert_allclose(a["signal"], b["signal"], atol=1e-6)
        for key in ("valid", "label", "mask", "index"):
            np.testing.assert_array_equal(a[key], b[key])


def test_evaluation_from_a_store_covers_every_row_once(whole):
    examples = sources.StoreSource(open_store(whole[0]), CONTRACT)
    batches = list(create_eval_batches(examples, np.arange(7), batch_size=4))
    assert np.concatenate([batch["index"] for batch in batches]).tolist() == [0, 1, 2, 3, 4, 5, 6, -1]
    assert batches[1]["mask"].tolist() == [True, True, True, False]
    assert np.all(batches[1]["signal"][3] == store.INVALID)
    assert np.isnan(batches[1]["label"][3]).all()


# Interruptions, repetition, growth


def test_the_same_preparation_again_changes_nothing(tmp_path):
    convert(tmp_path)
    before = files(tmp_path)
    outcome = convert(tmp_path)
    assert (outcome.added, outcome.recordings) == (0, 7)
    assert files(tmp_path) == before


@pytest.mark.parametrize("reads", [1, 5, 8])
def test_a_preparation_that_stopped_ends_in_the_same_store(tmp_path, whole, reads):
    dataset, left = create_dataset(), [reads]

    def read(i):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return dataset.read(i)

    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path, dataclasses.replace(dataset, read=read))
    assert not (tmp_path / store.MANIFEST).exists()
    assert not list(tmp_path.rglob("*.partial"))
    convert(tmp_path)
    assert files(tmp_path) == files(whole[0])


def test_what_is_new_in_the_source_is_added_and_nothing_else_is_touched(tmp_path):
    convert(tmp_path, dataclasses.replace(create_dataset(10), **first(create_dataset(10), 8)))
    before = {name: data for name, data in files(tmp_path).items() if name.startswith("shards")}
    outcome = convert(tmp_path)
    assert (outcome.added, outcome.recordings) == (2, 7)
    after = files(tmp_path)
    assert before.items() <= after.items()
    assert open_store(tmp_path).ids.tolist() == ["r0", "r2", "r3", "r5", "r7", "r8", "r9"]


def first(dataset, count):
    return {
        "ids": dataset.ids[:count],
        "columns": {name: column[:count] for name, column in dataset.columns.items()},
        "split": dataset.split[:count],
        "patients": dataset.patients[:count],
        "attributes": {name: column[:count] for name, column in dataset.attributes.items()},
    }


def test_a_recording_that_was_mended_is_added_by_the_next_call(tmp_path):
    convert(tmp_path)
    dataset = create_dataset()
    mended = dataclasses.replace(dataset, read=lambda i: dataset.read(3 if i == BROKEN else i))
    outcome = convert(tmp_path, mended)
    assert (outcome.added, outcome.recordings, outcome.left_out) == (1, 8, {"no signal": 1, "refused": 1})
    assert "r4" in open_store(tmp_path).ids
    duplicates = [quality.unpack_flags(int(bits)) for bits in open_store(tmp_path).store.column("flags")]
    assert sum("duplicate" in flags for flags in duplicates) == 2


def test_labels_that_changed_are_taken_over_without_reading_signals_again(tmp_path):
    convert(tmp_path)
    dataset = create_dataset()

    def read(i):
        assert i in (BROKEN, VOLTS), "only what failed is tried again"
        return dataset.read(i)

    labels = {"other": np.ones(10, np.float32)}
    convert(tmp_path, dataclasses.replace(dataset, columns=labels, read=read))
    assert open_store(tmp_path).label_names == ("other",)


def test_another_configuration_in_the_same_folder_is_refused(tmp_path):
    convert(tmp_path)
    with pytest.raises(InputError, match=r"contract.sampling_rate: 400.0 there, 500.0 here"):
        convert(tmp_path, contract=InputContract(sampling_rate=500.0))
    with pytest.raises(InputError, match="checks: refuse there, warn here"):
        convert(tmp_path, checks="warn")


def test_another_configuration_is_refused_before_the_store_is_finished_too(tmp_path):
    """Else recordings of two configurations would stand side by side."""
    dataset = create_dataset()

    def read(i):
        if i == 5:
            raise KeyboardInterrupt
        return dataset.read(i)

    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path, dataclasses.replace(dataset, read=read))
    for other in (
        conversion.Settings(CONTRACT, origin=ORIGIN | {"source": "elsewhere"}),
        conversion.Settings(InputContract(notch=50.0), origin=ORIGIN),
    ):
        with pytest.raises(InputError, match="was prepared in another way"):
            conversion.convert(str(tmp_path), create_dataset, other)


def test_a_recording_that_fails_in_another_way_is_listed_with_its_last_reason(tmp_path):
    convert(tmp_path)
    dataset = create_dataset()

    def break_as(place):
        mended = dataclasses.replace(dataset, read=lambda i: dataset.read(place if i == BROKEN else i))
        return convert(tmp_path, mended).left_out, (tmp_path / "problems.csv").read_text()

    counts, text = break_as(VOLTS)
    assert counts == {"no signal": 1, "refused": 2}
    assert "r4,refused" in text
    counts, text = break_as(NOTHING)
    assert counts == {"no signal": 2, "refused": 1}
    assert "r4,no signal" in text
    assert convert(tmp_path).left_out == counts  # settled: nothing is tried again


def test_a_failed_recording_that_left_the_source_is_forgotten(tmp_path):
    small = dataclasses.replace(create_dataset(10), **first(create_dataset(10), 4))
    convert(tmp_path, small)
    ten = create_dataset(10)
    convert(tmp_path, dataclasses.replace(ten, **first(ten, 5)))  # adds r4 alone, which cannot be read
    assert "r4" in (tmp_path / "problems.csv").read_text()
    assert convert(tmp_path, small).left_out == {"no signal": 1}
    assert "r4" not in (tmp_path / "problems.csv").read_text()


def test_another_data_set_in_the_same_folder_is_refused(tmp_path):
    convert(tmp_path)
    dataset = create_dataset()
    with pytest.raises(InputError, match=r"recordings of the store are not in the data set, the first r[0-9];"):
        convert(tmp_path, dataclasses.replace(dataset, ids=np.array([f"x{i}" for i in range(10)])))


def test_flags_can_exclude(tmp_path):
    outcome = convert(tmp_path, exclude=("nan_span",))
    assert outcome.left_out["excluded"] == 1
    assert outcome.errors == 2
    assert "r7,excluded,nan_span" in (tmp_path / "problems.csv").read_text()
    with pytest.raises(InputError, match="no quality flag noise; there are: "):
        conversion.Settings(CONTRACT, exclude=("noise",))


def test_repeated_and_saturated_recordings_can_be_excluded(tmp_path):
    dataset = create_dataset()
    loud = dataclasses.replace(
        dataset.read(2), signal=np.where(np.arange(2800)[:, None] == 9, 40, dataset.read(2).signal)
    )
    twice = {5: 3, 2: 2}

    def read(i):
        return loud if i == 2 else dataset.read(twice.get(i, i))

    outcome = convert(
        tmp_path, dataclasses.replace(dataset, read=read), exclude=("duplicate", "saturation"), checks="warn"
    )
    text = (tmp_path / "problems.csv").read_text()
    assert "r2,excluded,saturation" in text
    assert "r5,excluded,the same content as r3" in text
    ids = open_store(tmp_path).ids.tolist()
    assert len(ids) == outcome.recordings
    assert not {"r2", "r5"} & set(ids)
    stored = open_store(tmp_path)
    for row, id in enumerate(ids):
        np.testing.assert_allclose(stored.read(row).signal, dataset.read(int(id[1:])).signal, atol=0.5e-3 + 1e-6)


def test_what_is_repaired_is_noted_once(tmp_path):
    convert(tmp_path, checks="repair")
    stored = open_store(tmp_path).store
    row = open_store(tmp_path).ids.tolist().index(f"r{VOLTS}")
    assert len(stored.notes[row]) == 1
    assert stored.notes[row][0].startswith("repaired: ")


def test_a_foreign_manifest_deletes_nothing(tmp_path):
    (tmp_path / "precious.json").write_text("{}")
    folder = tmp_path / "store"
    convert(folder)
    for key, value in (
        ("shards", [{"name": "../../precious", "samples": 1, "sha256": ""}]),
        ("index", "../elsewhere"),
        ("columns", ["/etc/passwd"]),
        ("checksums", {"..": ""}),
    ):
        manifest = read_sealed(str(folder / "store.json"))
        write_sealed(str(folder / "foreign.json"), manifest | {key: value})
        foreign = shutil.copytree(folder, tmp_path / key)
        (foreign / "foreign.json").rename(foreign / "store.json")
        for use in (conversion.verify_store, store.Store):
            with pytest.raises(InputError, match="a store may name files of its own folder alone"):
                use(str(foreign))


def test_a_damaged_shard_is_not_removed_through_a_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "0123456789abcdef.json").write_text("{}")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "shards").symlink_to(elsewhere)
    convert(tmp_path / "store", damaged=["0123456789abcdef"])
    assert (elsewhere / "0123456789abcdef.json").exists()


def test_what_a_killed_preparation_left_goes_and_nothing_else_does(tmp_path):
    (tmp_path / "shards").mkdir()
    left = [tmp_path / "shards" / "0123456789abcdef.partial", tmp_path / "fedcba9876543210.partial"]
    others = [tmp_path / "film.partial", tmp_path / "shards" / "film.partial"]
    for path in (*left, *others):
        path.touch()
    convert(tmp_path)
    assert [path.exists() for path in (*left, *others)] == [False, False, True, True]


def test_a_full_disk_is_one_line_that_names_the_store(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(InputError, match="No space left on device; what is whole stays"):
            convert(tmp_path)
    assert not list(tmp_path.rglob("*.partial"))
    assert convert(tmp_path).recordings == 7


def test_a_store_of_nothing_is_refused_with_the_first_reason(tmp_path):
    dataset = create_dataset()
    with pytest.raises(InputError, match=r"none of 10 recordings could be stored; the first: .*it is broken"):
        convert(tmp_path, dataclasses.replace(dataset, read=lambda i: dataset.read(BROKEN)))


def test_whatever_a_library_raises_concerns_one_recording(tmp_path):
    dataset = create_dataset()

    def read(i):
        if i == 0:
            raise RecursionError("a strange file")
        return dataset.read(i)

    assert convert(tmp_path, dataclasses.replace(dataset, read=read)).left_out["unreadable"] == 2
    assert "r0,unreadable,RecursionError: a strange file" in (tmp_path / "problems.csv").read_text()


# Damage


def damage_shard(folder, index=1):
    name = json.loads((folder / store.MANIFEST).read_text())["shards"][index]["name"]
    path = folder / store.SHARDS / f"{name}.bin"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    return name


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete", "no description", "another length"])
def test_a_damaged_shard_is_found_named_and_rebuilt_alone(tmp_path, whole, harm):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    assert conversion.verify_store(str(folder)) == ({}, {})
    name = damage_shard(folder)
    path = folder / store.SHARDS / name
    if harm == "truncate":
        os.truncate(f"{path}.bin", 500)
    if harm == "delete":
        os.unlink(f"{path}.bin")
    if harm == "no description":
        os.unlink(f"{path}.json")
    if harm == "another length":
        text = (path.parent / f"{name}.json").read_text()
        (path.parent / f"{name}.json").write_text(text.replace('"length": ', '"length": 1'))
    damaged, others = conversion.verify_store(str(folder))
    assert list(damaged) == [name]
    assert not others
    outcome = convert(folder, damaged=damaged)
    assert outcome.recordings == 7
    assert outcome.added <= 3
    assert files(folder) == files(whole[0])


def test_a_damaged_shard_stays_until_another_one_is_there(tmp_path, whole):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    before = files(folder)
    dataset = create_dataset()

    def read(i):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(folder, dataclasses.replace(dataset, read=read), damaged=[damage_shard(folder)])
    assert files(folder).keys() == before.keys()


@pytest.mark.parametrize("column", ["labels", "ids", "hashes"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "delete"])
def test_a_damaged_index_is_found_named_and_written_again(tmp_path, whole, column, harm):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    path = next(folder.glob(f"index-*/{column}.npy"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink() if harm == "delete" else path.write_bytes(data[:60] if harm == "truncate" else data)
    shards, others = conversion.verify_store(str(folder))
    assert not shards
    assert list(others) == [f"{path.parent.name}/{column}.npy"]
    assert convert(folder).added == 0
    assert files(folder) == files(whole[0])


def test_a_changed_table_of_problems_is_found_and_written_again(tmp_path, whole):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    (folder / "problems.csv").write_text("nothing")
    assert list(conversion.verify_store(str(folder))[1]) == ["problems.csv"]
    convert(folder)
    assert files(folder) == files(whole[0])


@pytest.mark.parametrize("contents", ["{}", "[1]", "", "null", '{"settings": 1, "checksum": 2}'])
def test_a_description_that_is_none_is_damage(tmp_path, whole, contents):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    path = next((folder / store.SHARDS).glob("*.json"))
    path.write_text(contents)
    assert list(conversion.verify_store(str(folder))[0]) == [path.stem]
    convert(folder)
    assert files(folder) == files(whole[0])


def test_a_truncated_shard_is_named_when_it_is_read(tmp_path):
    convert(tmp_path)
    name = damage_shard(tmp_path, 0)
    os.truncate(tmp_path / store.SHARDS / f"{name}.bin", 500)
    with pytest.raises(InputError, match=rf"{name}\.bin: 500 bytes instead of .*--verify"):
        open_store(tmp_path).read(0)


def test_a_store_from_before_the_filters_had_versions_goes_on_and_says_which_made_it(tmp_path):
    convert(tmp_path, create_dataset(4))
    for path in (tmp_path / store.SHARDS).glob("*.json"):
        description = read_sealed(path)
        assert description.pop("filters") == filters.VERSION == 2
        write_sealed(path, description)
    before = open_store(tmp_path).read(0).signal
    assert convert(tmp_path, create_dataset(8)).added == 2  # of four: one cannot be read, one is in volts
    after = open_store(tmp_path)
    assert after.store.manifest["filters"] == [1, 2]
    assert summary.describe_contract(after.store)["Filtered by"] == "version 1 and 2 of the code"
    np.testing.assert_array_equal(after.read(0).signal, before)


def test_a_newer_version_is_refused_in_one_line(tmp_path):
    convert(tmp_path)
    manifest = json.loads((tmp_path / store.MANIFEST).read_text())
    (tmp_path / store.MANIFEST).write_text(json.dumps(manifest | {"version": store.VERSION + 1, "checksum": "new"}))
    with pytest.raises(InputError, match=r"store\.json: version 2, this ecg_jax reads up to 1; update ecg_jax"):
        open_store(tmp_path)


@pytest.mark.parametrize("contents", ["", "[]", "{}", '{"version": "x"}', '{"version": 1}', "null"])
def test_a_damaged_manifest_is_refused_by_name(tmp_path, contents):
    convert(tmp_path)
    (tmp_path / store.MANIFEST).write_text(contents)
    with pytest.raises(InputError, match=r"store\.json: "):
        open_store(tmp_path)


def test_a_folder_that_is_no_store_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match=r"ecg-jax prepare"):
        open_store(tmp_path)


def test_a_damaged_index_is_refused_by_its_file(tmp_path):
    convert(tmp_path)
    path = next(tmp_path.glob("index-*/labels.npy"))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match=r"labels\.npy: the store's index is damaged"):
        open_store(tmp_path)


@pytest.mark.parametrize("column", ["labels", "ids", "start"])
def test_an_index_that_was_replaced_by_another_whole_one_is_refused(tmp_path, whole, column):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    path = next(folder.glob(f"index-*/{column}.npy"))
    np.save(path, np.load(path)[::-1])
    with pytest.raises(InputError, match=rf"{column}\.npy: the store's index is damaged \(its checksum is wrong"):
        open_store(folder).read(0)


def test_a_shard_of_the_right_size_with_other_bytes_is_refused_when_it_is_read(tmp_path, whole):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    name = damage_shard(folder)
    dataset = open_store(folder)
    others = np.flatnonzero(dataset.store.column("shard") != 1)
    for row in others.tolist():
        dataset.read(row)
    (row, *_) = (dataset.store.column("shard") == 1).nonzero()[0].tolist()
    with pytest.raises(
        InputError, match=rf"{name}\.bin: its checksum is wrong; the shard is damaged.*--verify rebuilds"
    ):
        dataset.read(row)


def test_a_file_that_had_its_checksum_is_not_read_for_it_again_unless_it_changes(tmp_path, monkeypatch):
    convert(tmp_path)
    open_store(tmp_path).read(0)
    hashed = []
    monkeypatch.setattr("ecg_jax.data.store.store.hash_file", lambda path: hashed.append(path) or "")
    open_store(tmp_path).read(0)
    assert hashed == []
    os.utime(next(tmp_path.glob("index-*/labels.npy")))
    with pytest.raises(InputError, match="index is damaged"):
        open_store(tmp_path)


def test_a_label_that_is_not_there_is_refused_naming_those_that_are(whole):
    with pytest.raises(InputError, match="no label VT; there are: AF, abnormal"):
        open_store(whole[0], "VT")


# Processes


def test_two_preparations_do_not_meet_in_one_store(tmp_path):
    dataset, met = create_dataset(), []

    def read(i):
        if not met:
            met.append(True)
            with pytest.raises(InputError, match="another preparation is at work"):
                convert(tmp_path)
        return dataset.read(i)

    assert convert(tmp_path, dataclasses.replace(dataset, read=read)).recordings == 7
    assert met


@pytest.mark.slow
def test_workers_write_the_same_store(tmp_path):
    open_dataset = functools.partial(
        datasets.open_source,
        "simulated",
        source="",
        labels="all",
        seed=0,
        options={"simulated": {"train": 20, "validation": 0, "test": 0}},
    )
    for workers in (1, 3):
        conversion.convert(
            str(tmp_path / str(workers)),
            open_dataset,
            conversion.Settings(CONTRACT),
            workers=workers,
            shard_size=4,
        )
    assert files(tmp_path / "1") == files(tmp_path / "3")


def test_what_workers_cannot_open_is_written_by_this_process(tmp_path):
    dataset = create_dataset()
    conversion.convert(str(tmp_path), lambda: dataset, conversion.Settings(CONTRACT), workers=2, shard_size=3)
    assert len(store.Store(str(tmp_path)).column("ids")) == 7


def test_an_index_that_does_not_fit_on_the_disk_leaves_nothing_and_names_its_file(tmp_path, monkeypatch):
    def fail(path, *_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", fail)
        with pytest.raises(InputError, match=r"attribute_\w+\.npy: No space left on device; what is whole stays"):
            convert(tmp_path)
    assert not list(tmp_path.glob("index-*"))
    assert convert(tmp_path).added == 0
