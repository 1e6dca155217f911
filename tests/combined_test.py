"""Several data sets as one: what each knows stays known, and nothing else becomes so."""

import numpy as np
import pandas as pd
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
    ptbxl = create_part("ptbxl", ["21", "22"], {"AF": [0, 0]}, origins=np.array(["ptbxl/21", "ptbxl/22"]))
    challenge = create_part(
        "challenge2021",
        ["A0021", "HR00021", "HR00023"],
        {"AF": [1, 1, 0]},
        value=10.0,
        attributes={"source": np.array(["cpsc_2018", "ptb-xl", "ptb-xl"])},
        origins=np.array(["", "ptbxl/21", "ptbxl/23"]),
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


def create_database(name, split=None, patients=None, **ids):
    """A part with recordings of PTB-XL: id to `ecg_id`, 0 for a recording of another data base."""
    origins = np.array([f"ptbxl/{number}" if number else "" for number in ids.values()])
    fields = {"split": split and np.array(split), "patients": patients and np.array(patients)}
    return create_part(name, list(ids), {"AF": [0] * len(ids)}, origins=origins, **fields)


def test_recordings_and_patients_of_ptbxl_keep_to_one_side_in_whatever_parts_they_are():
    ptbxl = create_database("ptbxl", ["train", "test"], ["7.0", "8.0"], a=21, b=22)
    arrays = create_database("arrays", ["train", "test"], ["7", "9"], c=21, d=25)
    folder = create_database("folder", None, ["8", "", "10"], e=26, f=25, g=0)
    challenge = create_database("challenge2021", ["", "", ""], ["ptbxl-7.0", "", ""], HR00030=30, HR00031=31, A0001=0)
    parts = {"x": ptbxl, "y": arrays, "z": folder, "w": challenge}
    dataset = join("ptbxl:x,arrays:y,folder:z,challenge2021:w", ("AF",), **parts)
    known = {id: (str(s), str(p)) for id, s, p in zip(dataset.ids, dataset.split, dataset.patients, strict=True)}
    assert known == {
        "ptbxl/a": ("train", "ptbxl/patient 7"),
        "ptbxl/b": ("test", "ptbxl/patient 8"),
        "arrays/c": ("train", "ptbxl/patient 7"),
        "arrays/d": ("test", "ptbxl/patient 9"),
        "folder/e": ("test", "ptbxl/patient 8"),  # the side of its patient
        "folder/f": ("test", "ptbxl/patient 9"),  # that of its copy
        "folder/g": ("", "folder/10"),  # of another data base: drawn
        "challenge2021/HR00030": ("train", "ptbxl/patient 7"),
        "challenge2021/A0001": ("", ""),
    }  # the patient of HR00031 is unknown
    assert "1 recordings of PTB-XL whose fold is unknown are left out" in dataset.notes[-1]
    split = splits.assign(dataset, 0).split
    assert set(split) <= {"train", "validation", "test"}


def test_a_copy_whose_side_is_drawn_stays_with_the_other():
    arrays = create_database("arrays", a=21, b=22, c=23, d=24)
    folder = create_database("folder", e=24, f=23, g=22, h=21)
    dataset = splits.assign(join("arrays:x,folder:y", ("AF",), x=arrays, y=folder), 0, validation=0.25, test=0.25)
    np.testing.assert_array_equal(dataset.split[:4], dataset.split[:3:-1])
    assert set(dataset.split) == {"train", "validation", "test"}


def test_statements_of_any_part_are_taken():
    part = create_part("c", ["1"], {"AF": [1], "LVH": [0], "MI": [0]})
    assert join("a:x,c:y", ("MI", "statements"), x=A, y=part).label_names == ("MI", "LVH", "SB", "AF")


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


def test_no_real_recording_or_patient_of_ptbxl_stands_on_two_sides(shared, tmp_path):
    """Of four sources: two folders of PTB-XL, its normalized part as an array, the Challenge's HR records."""
    data = shared / "data"
    table = pd.read_csv(data / "ptbxl1819_zscored" / "scp_statements_of_records.csv")
    table.drop(columns="split").to_csv(tmp_path / "zscored.csv", index=False)  # the folds alone tell
    np.save(tmp_path / "zscored.npy", np.zeros((len(table), 8, 12), np.float16))
    options = {"arrays": {"unit": "zscore", "sampling_rate": 250.0}, "ptbxl": {"sampling_rate": 100}}
    source = (
        f"ptbxl:{data}/ptbxl,ptbxl:{data}/ptbxl_100hz,arrays:{tmp_path}/zscored.npy,challenge2021:{data}/challenge2021"
    )
    dataset = create(source, "six,abnormal,superclasses,statements", **options)
    known = pd.concat(
        [table] + [pd.read_csv(data / name / "ptbxl_database.csv") for name in ("ptbxl", "ptbxl_100hz")]
    ).drop_duplicates("ecg_id")
    fold, patient = known.set_index("ecg_id")["strat_fold"], known.set_index("ecg_id")["patient_id"]
    ours = dataset.origins != ""
    numbers = [int(origin.removeprefix("ptbxl/")) for origin in dataset.origins[ours]]
    expected = fold[numbers].map({9: "validation", 10: "test"}).fillna("train").to_numpy()
    np.testing.assert_array_equal(dataset.split[ours], expected)
    assert list(dataset.patients[ours]) == [f"ptbxl/patient {int(patient[number])}" for number in numbers]
    assert len(numbers) == 250 + 679 + 1819
    assert pd.Series(dataset.split[ours]).groupby(dataset.patients[ours]).nunique().max() == 1
    assert not any("/HR" in id for id in dataset.ids)  # each stands in another part, or its fold is unknown


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
    is_open = np.isnan(dataset.labels[sources != "challenge2021"])
    assert not is_open[:, 1:].any()
    assert 0 < is_open[:, 0].sum() < 20  # 1dAVb, where PTB-XL states a long PR interval
    for row in range(0, len(dataset.ids), 60):
        assert dataset.read(row).id == dataset.ids[row]
