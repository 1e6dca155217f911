"""Several data sets as one: what each knows stays known, and nothing else becomes so."""

import numpy as np
import pytest

from ecg_jax.data import datasets, splits
from ecg_jax.data.datasets import combined
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError
from ecg_jax.labels import ALL, Offered
from ecg_jax.recording import LEADS, create_recording

NAN = np.nan


def create_part(name, ids, columns, value=0.0, **fields):
    """A data set in memory: recording i is `value` + i millivolts throughout."""

    def read(i):
        return create_recording(np.full((4, 12), value + i), leads=LEADS, sampling_rate=500, id=ids[i])

    columns = {label: np.array(states, np.float32) for label, states in columns.items()}
    return Dataset(name=name, ids=np.array(ids), columns=columns, read=read, **fields)


def join(source, labels, **parts):
    """Combines parts that stand behind their paths."""

    def open_part(name, *, source, labels, seed):
        part = parts[source]
        assert part.name == name
        assert labels == ALL or isinstance(labels, Offered)
        return part

    return combined.create(source=source, labels=labels, seed=0, open_part=open_part)


A = create_part("a", ["1", "2"], {"AF": [1, 0], "SB": [0, NAN]}, split=np.array(["train", "test"]))
B = create_part(
    "b",
    ["1", "9", "3"],
    {"AF": [0, 0, 1], "MI": [1, 0, 0]},
    value=10.0,
    split=np.array(["validation", "train", "train"]),
    patients=np.array(["p", "p2", "p2"]),
    attributes={"age": np.array([5, 6, 7], np.float32), "sex": np.array(["F", "M", ""])},
)


def test_a_label_that_a_part_does_not_offer_is_unknown_there():
    dataset = join("a:x,b:y", ("AF", "SB", "MI"), x=A, y=B)
    expected = [[1, 0, NAN], [0, NAN, NAN], [0, NAN, 1], [0, NAN, 0], [1, NAN, 0]]
    np.testing.assert_array_equal(dataset.labels, expected)


def test_all_labels_are_those_of_any_part():
    assert join("a:x,b:y", ALL, x=A, y=B).label_names == ("AF", "SB", "MI")


def test_a_label_of_no_part_is_refused():
    with pytest.raises(InputError, match="no part offers label ST, XY; parts: a, b"):
        join("a:x,b:y", ("AF", "ST", "XY"), x=A, y=B)


def test_ids_and_patients_are_kept_apart_by_their_part():
    dataset = join("a:x,b:y", ("AF",), x=A, y=B)
    assert list(dataset.ids) == ["a/1", "a/2", "b/1", "b/9", "b/3"]
    assert list(dataset.patients) == ["", "", "b/p", "b/p2", "b/p2"]
    assert list(dataset.attributes["source"]) == ["a", "a", "b", "b", "b"]
    np.testing.assert_array_equal(dataset.attributes["age"], [NAN, NAN, 5, 6, 7])
    assert list(dataset.attributes["sex"]) == ["", "", "F", "M", ""]
    assert list(dataset.split) == ["train", "test", "validation", "train", "train"]


def test_unknown_patients_of_a_part_are_not_one():
    part = create_part("c", ["1", "2"], {"AF": [0, 1]}, patients=np.array(["", ""]))
    assert list(join("c:z", ("AF",), z=part).patients) == ["", ""]


def test_every_recording_is_read_from_its_part():
    dataset = join("a:x,b:y", ("AF",), x=A, y=B)
    for row, value in enumerate([0, 1, 10, 11, 12]):
        recording = dataset.read(row)
        assert recording.id == dataset.ids[row]
        assert (recording.signal == value).all()


def test_one_data_set_may_be_a_part_twice():
    dataset = join("a:x, a:z", ("AF",), x=A, z=A)
    assert list(dataset.ids) == ["a/1", "a/2", "a2/1", "a2/2"]


def test_a_split_is_drawn_only_for_the_part_without_one():
    undecided = create_part("c", [str(i) for i in range(100)], {"AF": [0, 1] * 50})
    joined = join("a:x,c:z", ("AF",), x=A, z=undecided)
    assert "c: its split is drawn" in joined.notes
    for validation, test in ((0.1, 0.1), (0.2, 0.3)):  # as the run has it
        split = splits.assign(joined, 0, validation=validation, test=test).split
        assert list(split[:2]) == ["train", "test"]
        sizes = [100 * (1 - validation - test), 100 * validation, 100 * test]
        assert [(split[2:] == side).sum() for side in ("train", "validation", "test")] == pytest.approx(sizes)
    assert join("c:z", ("AF",), z=undecided).split is None  # drawn later, over all


def test_copies_of_ptbxl_in_the_challenge_are_left_out():
    ptbxl = create_part("ptbxl", ["21", "22"], {"AF": [0, 0]})
    challenge = create_part(
        "challenge2021",
        ["A0021", "HR00021", "HR00023"],
        {"AF": [1, 1, 0]},
        value=10.0,
        attributes={"source": np.array(["cpsc_2018", "ptb-xl", "ptb-xl"])},
        notes=("a note",),
    )
    dataset = join("ptbxl:x,challenge2021:y", ("AF",), x=ptbxl, y=challenge)
    assert list(dataset.ids) == ["ptbxl/21", "ptbxl/22", "challenge2021/A0021", "challenge2021/HR00023"]
    assert list(dataset.attributes["source"]) == ["ptbxl", "ptbxl", "challenge2021/cpsc_2018", "challenge2021/ptb-xl"]
    assert [dataset.read(row).signal[0, 0] for row in range(4)] == [0, 1, 10, 12]
    assert dataset.notes == (
        "challenge2021: a note",
        "challenge2021: 1 HR records are also in the part ptbxl; left out here",
    )
    assert len(join("challenge2021:y", ("AF",), y=challenge).ids) == 3


@pytest.mark.parametrize("source", ["", ",", "ptbxl", "ptbxl:x,code15", "combined:x"])
def test_a_source_of_another_form_is_refused(source):
    with pytest.raises(InputError, match=r"source '.*'; pass --config\.data\.source=NAME:PATH,NAME:PATH"):
        join(source, ("AF",))


def create(source, labels="six", **options):
    return datasets.create("combined", source=source, labels=labels, seed=0, options=options)


def test_parts_take_their_own_options():
    dataset = create("simulated:", simulated={"train": 5, "validation": 2, "test": 1})
    assert [len(dataset.indices(side)) for side in ("train", "validation", "test")] == [5, 2, 1]
    assert dataset.ids[0] == "simulated/train-000000"


def test_an_unknown_part_is_refused_naming_the_known():
    with pytest.raises(InputError, match=r"'mitbih'; known: arrays, .*store"):
        create("mitbih:x")


def test_a_bad_label_in_a_part_is_refused_with_its_line(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 8, 12), np.float32))
    (tmp_path / "x.csv").write_text("AF,SB\n0,1\nmaybe,1\n")
    arrays = {"unit": "mV", "sampling_rate": 400.0}
    with pytest.raises(InputError, match=r"x\.csv: line 3, column 'AF' holds maybe"):
        create(f"arrays:{tmp_path}/x.npy", "AF,SB,ST", arrays=arrays)


def test_real_sources_join_in_one_label_space(shared):
    data = shared / "data"
    dataset = create(
        f"ptbxl:{data}/ptbxl,code15:{data}/code15,ludb:{data}/ludb,challenge2021:{data}/challenge2021", "six"
    )
    sources = np.array([id.split("/")[0] for id in dataset.ids])
    assert {name: int((sources == name).sum()) for name in ("ptbxl", "code15", "ludb")} == {
        "ptbxl": 250, "code15": 6, "ludb": 200
    }  # fmt: skip
    challenge = dataset.ids[sources == "challenge2021"]
    assert len(challenge) < 99
    assert not {f"HR{int(id.split('/')[1]):05d}" for id in dataset.ids[sources == "ptbxl"]} & {
        id.split("/")[1] for id in challenge
    }
    assert np.isfinite(dataset.labels[sources != "challenge2021"]).all()
    for row in range(0, len(dataset.ids), 60):
        assert dataset.read(row).id == dataset.ids[row]
