"""Who trains, validates and tests: patients on one side, labels everywhere, leaks by name."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_jax.data import splits
from ecg_jax.data.datasets import simulated
from ecg_jax.data.datasets.dataset import SPLITS, Dataset
from ecg_jax.data.splits import content, leaks, manifest, stratify
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, create_recording

TENTHS = np.array([0.1, 0.1, 0.8])


def signal(value):
    return create_recording(np.full((4, 12), value, np.float32), leads=LEADS, sampling_rate=400, id=f"s{value}")


def dataset(n=10, labels=None, read=None, **fields):
    labels = np.zeros((n, 1), np.float32) if labels is None else labels
    columns = {f"l{i}": column for i, column in enumerate(labels.T)}
    return Dataset(name="mine", ids=np.array([f"r{i}" for i in range(n)]), columns=columns, read=read, **fields)


def clinic(n=3000, patients=1200, seed=0):
    """Patients of very different numbers of exams, and labels of 30 %, 3 %, 1 % and 0.5 % that repeat with them."""
    rng = np.random.default_rng(seed)
    patient = np.minimum(rng.geometric(1 / 300, n) - 1, patients - 1)
    risk = rng.gamma(0.5, 2, (patients, 4))[patient]
    labels = (rng.random((n, 4)) < np.minimum(risk * [0.3, 0.03, 0.01, 0.005], 1)).astype(np.float32)
    return patient.astype(str), labels


# By whom


def dated(n=10, **fields):
    """Recording i of patient i // 2, in the order of dates 5, 6, ..., 9, 0, 1, ..., 4."""
    dates = 2000.0 + (np.arange(n) - n // 2) % n
    fields = {"patients": (np.arange(n) // 2).astype(str), "attributes": {"date": dates}} | fields
    return dataset(n, **fields)


def test_by_date_the_latest_recordings_test_and_those_before_them_validate():
    split = splits.assign(dated(), seed=0, by="date", validation=0.2, test=0.3)
    by_rank = split.split[np.argsort(split.attributes["date"])]
    assert [*by_rank] == ["train"] * 5 + ["validation"] * 2 + ["test"] * 3
    assert split.split_facts["method"] == "by date"


def test_a_recording_without_a_date_is_left_out_of_a_split_by_date():
    dates = np.array([2001.0, np.nan, 2002.0, 2003.0, 2004.0])
    split = splits.assign(dataset(5, attributes={"date": dates}), seed=0, by="date", validation=0.25, test=0.25)
    assert [*split.split] == ["train", "", "train", "validation", "test"]
    with pytest.raises(InputError, match="its recordings' dates are unknown"):
        splits.assign(dataset(5), seed=0, by="date")


def test_by_recording_patients_are_on_several_sides_and_dropping_leaks_takes_them_out_of_training():
    patients, labels = clinic(1000, 200)
    data = dataset(1000, labels, patients=patients)
    split = splits.assign(data, seed=0, by="recording")
    test, train = set(patients[split.indices("test")]), set(patients[split.indices("train")])
    assert test & train
    assert any("on several sides" in note for note in split.notes)
    dropped = splits.assign(data, seed=0, by="recording", leaks="drop")
    assert not set(patients[dropped.indices("test")]) & set(patients[dropped.indices("train")])


def test_by_patient_a_split_is_drawn_although_there_is_one():
    own = np.array(["train", "validation", "test"] * 10)
    data = dataset(30, split=own)
    assert [*splits.assign(data, seed=0).split] == [*own]
    drawn = splits.assign(data, seed=0, by="patient")
    assert [*drawn.split] != [*own]
    assert drawn.split_facts["method"] == "drawn"


@pytest.mark.parametrize(
    "settings, message", [({"by": "hospital"}, "known: own"), ({"by": "date", "folds": 5}, "folds")]
)
def test_another_way_to_split_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        splits.assign(dated(), seed=0, **settings)


# Drawing


def test_a_patient_is_on_one_side_and_no_side_is_empty():
    patients, labels = clinic()
    split = splits.assign(dataset(len(patients), labels, patients=patients), 3).split
    assert (pd.Series(split).groupby(patients).nunique() == 1).all()
    assert set(split) == set(SPLITS)


@pytest.mark.parametrize("patients, held_out", [(1000, 100), (100, 10), (10, 1), (3, 1)])
def test_a_tenth_of_the_patients_validates_and_a_tenth_tests(patients, held_out):
    split = splits.assign(dataset(patients), 0).split
    assert (split == "validation").sum() == (split == "test").sum() == held_out
    assert (split == "train").sum() == patients - 2 * held_out


def test_two_patients_are_too_few_to_hold_one_out():
    assert set(splits.assign(dataset(3, patients=np.array(["a", "a", "b"])), 0).split) == {"train"}


def test_fractions_are_as_asked():
    split = splits.assign(dataset(200), 0, validation=0.25, test=0.05).split
    assert {name: int((split == name).sum()) for name in SPLITS} == {"train": 140, "validation": 50, "test": 10}


@pytest.mark.parametrize("validation, test", [(0.0, 0.1), (0.1, 0.0), (0.5, 0.5)])
def test_fractions_that_leave_a_side_empty_are_refused(validation, test):
    with pytest.raises(InputError, match=r"split.validation is .* and split.test .*; each above 0, together below 1"):
        splits.assign(dataset(), 0, validation=validation, test=test)


@pytest.mark.parametrize("shares", [TENTHS, np.full(5, 0.2)], ids=["tenths", "fifths"])
@pytest.mark.parametrize("seed", range(5))
def test_every_label_is_as_frequent_in_each_part_as_in_the_whole(shares, seed):
    patients, labels = clinic(seed=seed)
    part = stratify.draw(patients, labels, shares, seed)
    counted = np.column_stack([labels, np.ones(len(labels))])
    largest = pd.DataFrame(counted).groupby(patients).sum().max().to_numpy()  # of one patient, who is not divided
    for number, share in enumerate(shares):
        off = np.abs(counted[part == number].sum(axis=0) - share * counted.sum(axis=0))
        assert (off <= np.maximum(1, largest / 2)).all(), off


def test_ten_positives_among_ten_thousand_are_eight_one_one():
    labels = np.zeros((10_000, 1), np.float32)
    labels[:10] = 1
    part = stratify.draw(np.arange(10_000).astype(str), labels, TENTHS, 0)
    assert [int(labels[part == number].sum()) for number in range(3)] == [1, 1, 8]


def test_a_label_that_some_sources_do_not_annotate_is_known_everywhere():
    labels = np.zeros((1000, 2), np.float32)
    labels[::10, 0] = 1
    labels[:950, 1] = np.nan
    labels[950:960, 1] = 1
    part = stratify.draw(np.arange(1000).astype(str), labels, TENTHS, 0)
    assert [int((~np.isnan(labels[part == number, 1])).sum()) for number in range(3)] == [5, 5, 40]
    assert [int(np.nansum(labels[part == number, 1])) for number in range(3)] == [1, 1, 8]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 60), st.integers(1, 4), st.integers(2, 7))
def test_a_draw_depends_on_seed_and_names_not_on_the_order_of_the_file(seed, n, labels, parts):
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, n, n).astype(str)
    table = rng.choice(np.array([0, 1, np.nan], np.float32), (n, labels))
    order = rng.permutation(n)
    part = stratify.draw(patients, table, np.full(parts, 1 / parts), seed)
    np.testing.assert_array_equal(
        part[order], stratify.draw(patients[order], table[order], np.full(parts, 1 / parts), seed)
    )
    assert (pd.Series(part).groupby(patients).nunique() == 1).all()
    if len(np.unique(patients)) >= parts:
        assert len(np.unique(part)) == parts


def test_a_draw_is_the_same_everywhere():
    labels = np.array([[1, 0], [0, 1], [0, 0], [0, 0]] * 5, np.float32)
    part = stratify.draw(np.array([f"p{i}" for i in range(20)]), labels, np.array([0.2, 0.2, 0.6]), 7)
    assert "".join(map(str, part)) == "22200021122222022121"


def test_another_seed_is_another_split():
    assert (splits.assign(dataset(200), 0).split != splits.assign(dataset(200), 1).split).any()
    patients, labels = clinic()
    drawn = [stratify.draw(patients, labels, TENTHS, seed) for seed in (0, 1)]
    assert (drawn[0] != drawn[1]).mean() > 0.1


@pytest.mark.slow
def test_a_million_exams_are_drawn_as_evenly():
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 700_000, 1_000_000).astype(str)
    labels = (rng.random((1_000_000, 6)) < 0.02).astype(np.float32)
    part = stratify.draw(patients, labels, TENTHS, 0)
    np.testing.assert_allclose(labels[part == 0].mean(axis=0), labels.mean(axis=0), rtol=0.001)


# Content


def test_patients_who_share_a_signal_are_one_group():
    patients, hashes = np.array(["d", "b", "b", "c", "e", "f"]), np.array(["x", "x", "y", "y", "", ""])
    groups = leaks.find_groups(dataset(6, patients=patients, hashes=hashes))
    assert list(groups) == ["b", "b", "b", "b", "e", "f"]


def test_who_shares_a_signal_is_drawn_together_and_counted():
    hashes = np.array([f"{i // 2}" for i in range(400)])
    patients = np.arange(400).astype(str)
    assigned = splits.assign(dataset(400, hashes=hashes, patients=patients), 0)
    assert (pd.Series(assigned.split).groupby(hashes).nunique() == 1).all()
    assert assigned.split_facts == {
        "method": "drawn",
        "seed": 0,
        "patients": 400,
        "patients_merged": 200,
        "leaks_dropped": 0,
    }


@pytest.mark.parametrize(
    "patients, facts, words",
    [
        (["a", "a", "b", "c"], {"patients": 3, "patients_merged": 0}, "3 patients"),
        (None, {"patients": None, "patients_merged": 0, "recordings_without_patient": 4}, "patients unknown"),
        (
            ["a", "a", "", ""],
            {"patients": 1, "patients_merged": 0, "recordings_without_patient": 2},
            "1 patient and 2 recordings without one",
        ),
    ],
    ids=["known", "unknown", "some known"],
)
def test_patients_are_counted_only_where_they_are_known(patients, facts, words):
    """A split that could not keep patients together is not mistaken for one that did."""
    whole = dataset(4, patients=patients and np.array(patients), split=np.array(["train"] * 4))
    assigned = splits.assign(whole, 0)
    found = dict(assigned.split_facts)
    warning = found.pop("warning", "")
    assert ("patient_column" in warning and "may be on several sides" in warning) == ("" in (patients or [""]))
    assert {key: found[key] for key in facts} == facts
    assert set(found) - set(facts) == {"method", "seed", "leaks_dropped"}
    assert splits.describe_patients(found) == words
    assert manifest.create(assigned)["summary"].get("warning", "") == warning


def test_every_simulated_recording_is_another_patient():
    drawn = simulated.create(source="", labels=("AF",), seed=0, train=3, validation=1, test=1)
    facts = splits.assign(drawn, 0).split_facts
    assert (facts["patients"], "warning" in facts) == (5, False)


def test_a_recording_without_a_patient_is_a_patient_of_its_own():
    groups = leaks.find_groups(dataset(4, patients=np.array(["", "", "r1", "r1"])))
    assert len(set(groups)) == 3


@pytest.fixture
def quality(monkeypatch):
    """Contents differ in their first sample."""
    monkeypatch.setattr("ecg_jax.data.quality.content_hash", lambda recording: f"{recording.signal[0, 0]:g}")


def test_every_recording_is_read_once_and_silence_has_no_content(quality):
    read = []
    checked = content.check(dataset(100, read=lambda i: (read.append(i), signal(i % 50))[1]), threads=4)
    assert sorted(read) == list(range(100))
    assert list(checked.hashes) == ["", *map(str, range(1, 50))] * 2


def test_what_cannot_be_read_is_listed_before_anything_starts(quality):
    def read(i):
        if i % 3:
            raise InputError(f"r{i}.hea: it is torn")
        return signal(i)

    message = (
        r"6 of 10 recordings cannot be used: r1\.hea: it is torn; r2\.hea: .*; r4\.hea: it is torn and 3 more\. Correct"
    )
    with pytest.raises(InputError, match=message) as caught:
        content.check(dataset(10, read=read), threads=3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad, is_refused", [(1, False), (5, False), (6, True)])
def test_recordings_against_physics_are_left_out_and_named_unless_they_are_most(bad, is_refused):
    ecgs = simulated.create(source="", labels=("AF",), seed=0, train=10, validation=0, test=0)

    def read(i):
        ecg = ecgs.read(i)
        return dataclasses.replace(ecg, signal=ecg.signal / 1000) if i < bad else ecg

    mixed = dataclasses.replace(ecgs, read=read, reads_files=True)
    line = rf"{bad} of 10 recordings contradict physics: train-000000: .* mV"
    if is_refused:
        with pytest.raises(InputError, match=line):
            content.check(mixed, threads=2, checks="refuse")
        return
    checked = content.check(mixed, threads=2, checks="refuse")
    assert re.search(line, checked.notes[-1])
    assert len(set(checked.hashes)) == 10
    assert content.check(mixed, threads=2, checks="warn").notes == mixed.notes


# Leaks


def own(split, **fields):
    return dataset(len(split), split=np.array(split), **fields)


def test_a_split_without_leaks_is_kept():
    split = ["train", "validation", "test", "train"]
    kept = splits.assign(own(split, patients=np.array(["a", "b", "c", "a"]), hashes=np.array(list("1231"))), 5)
    assert list(kept.split) == split
    assert kept.split_facts["method"] == "own"


def test_the_undecided_go_where_their_patient_or_signal_is_and_the_rest_is_drawn():
    own = np.array(["train", "test", "validation", "", ""] + [""] * 100)
    patients = np.array(["a", "b", "c", "b", "d", *(f"p{i}" for i in range(100))])
    hashes = np.array(["1", "2", "3", "4", "3", *(f"h{i}" for i in range(100))])
    mixed = dataset(105, split=own, patients=patients, hashes=hashes)
    assigned = splits.assign(mixed, 0, validation=0.2, test=0.1)
    assert list(assigned.split[:5]) == ["train", "test", "validation", "test", "validation"]
    assert [(assigned.split[5:] == side).sum() for side in SPLITS] == [70, 20, 10]
    assert assigned.split_facts["method"] == "own, and drawn for the others"


def test_a_leak_among_the_decided_is_refused_where_others_are_undecided():
    leaky = dataset(4, split=np.array(["train", "test", "", ""]), patients=np.array(["a", "a", "a", "b"]))
    with pytest.raises(InputError, match=r"r0 \(train\) and r1 \(test\) of one patient"):
        splits.assign(leaky, 0)


def test_a_patient_on_two_sides_is_refused_naming_the_recordings():
    leaking = own(["train", "train", "test", "validation"], patients=np.array(["a", "b", "a", "c"]))
    with pytest.raises(
        InputError, match=r"mine: 2 recordings leak between splits: r0 \(train\) and r2 \(test\) of one p"
    ):
        leaks.refuse(leaking, leaks.find_groups(leaking), leaking.split)
    with pytest.raises(InputError, match=r"--config\.split\.leaks=drop"):
        splits.assign(leaking, 0)


def test_a_signal_on_two_sides_is_refused_naming_the_recordings():
    leaking = own(["train", "validation", "test"], hashes=np.array(["x", "y", "y"]))
    with pytest.raises(InputError, match=r"r1 \(validation\) and r2 \(test\) with the same signal"):
        splits.assign(leaking, 0)


def test_of_many_leaks_the_first_are_named_and_all_are_counted():
    leaking = own(["train"] * 50 + ["test"] * 50, patients=np.tile(np.arange(50), 2).astype(str))
    message = r"100 recordings leak .*: r0 \(train\) and r50 \(test\) .*, r1 .*, r2 \(train\) .* and 47 more; "
    with pytest.raises(InputError, match=message):
        splits.assign(leaking, 0)


def test_silent_recordings_are_no_leak():
    silent = own(["train", "test"], hashes=np.array(["", ""]))
    leaks.refuse(silent, leaks.find_groups(silent), silent.split)


def test_leaks_are_dropped_where_they_train_and_the_test_split_stays_whole():
    patients = np.array(["a", "b", "a", "c", "d", "c", "e"])
    split = ["train", "train", "test", "train", "validation", "validation", "train"]
    mended = splits.assign(own(split, patients=patients, hashes=np.array(list("1234561"))), 0, leaks="drop")
    # r0 is of r2's patient; r6 repeats r0's signal, so it is that patient's as well; r3 is of r5's.
    assert list(mended.split) == ["", "train", "test", "", "validation", "validation", ""]
    assert mended.split_facts["leaks_dropped"] == 3
    assert mended.notes == ("leaks: 3 of train left out, whose patient or signal is in another split as well",)
    assert list(mended.indices("train")) == [1]


def test_dropping_everything_is_refused():
    with pytest.raises(InputError, match="no recording to train on among 2"):
        splits.assign(own(["train", "test"], patients=np.array(["a", "a"])), 0, leaks="drop")


def test_another_way_with_leaks_is_refused():
    with pytest.raises(InputError, match=r"split\.leaks is 'ignore'; known: refuse, drop"):
        splits.assign(dataset(), 0, leaks="ignore")


# Folds


def test_folds_are_disjoint_and_cover_everything_and_the_next_one_validates():
    patients, labels = clinic()
    whole = dataset(len(patients), labels, patients=patients)
    assigned = [splits.assign(whole, 1, folds=5, fold=number).split for number in range(1, 6)]
    tested = np.stack([split == "test" for split in assigned])
    assert (tested.sum(axis=0) == 1).all()
    for number, split in enumerate(assigned):
        np.testing.assert_array_equal(split == "validation", tested[(number + 1) % 5])
        assert abs((split == "train").mean() - 0.6) < 0.01
        assert (pd.Series(split).groupby(patients).nunique() == 1).all()


def test_a_data_sets_own_folds_are_used_and_merged():
    folds = np.tile(np.arange(1, 11), 3)
    whole = dataset(30, folds=folds, split=np.where(folds == 10, "test", "train"))
    place, method, _ = splits.assign_folds(whole, 0, 10)
    np.testing.assert_array_equal(place, folds)
    assert method == "own folds"
    np.testing.assert_array_equal(splits.assign_folds(whole, 0, 5)[0], (folds + 1) // 2)
    assert list(np.unique(folds[splits.assign(whole, 0, folds=5, fold=5).split == "validation"])) == [1, 2]


def test_own_folds_that_do_not_divide_are_drawn_and_said_so():
    whole = dataset(30, folds=np.tile(np.arange(10), 3))
    _, method, notes = splits.assign_folds(whole, 0, 3)
    assert (method, notes) == ("drawn folds", ["its own 10 folds do not make 3: folds are drawn"])


def test_a_patient_in_two_of_its_own_folds_is_refused_whichever_fold_tests():
    patients = np.array([f"p{i}" for i in range(30)])
    patients[[2, 3]] = "twice"
    whole = dataset(30, folds=np.tile(np.arange(1, 6), 6), patients=patients)
    with pytest.raises(InputError, match=r"r2 \(fold 3\) and r3 \(fold 4\) of one patient"):
        splits.assign(whole, 0, folds=5, fold=1)
    dropped = splits.assign(whole, 0, folds=5, fold=3, leaks="drop")
    assert list(dropped.split[[2, 3]]) == ["test", ""]


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"folds": 2, "fold": 1}, "split.folds is 2; .* 3 or more"),
        ({"folds": 5, "fold": 6}, "split.fold is 6; of 5 folds"),
        ({"folds": 5}, "split.fold is 0; of 5 folds"),
        ({"fold": 2}, "split.folds is 0"),
        ({"folds": 11, "fold": 1}, "10 patients do not make 11 folds"),
    ],
)
def test_folds_that_cannot_be_are_refused(asked, message):
    with pytest.raises(InputError, match=message):
        splits.assign(dataset(), 0, **asked)


# The manifest


def test_the_manifest_says_who_was_where_and_how():
    split = ["train", "validation", "test", "train"]
    whole = own(split, patients=np.array(["a", "b", "c", "c"]), hashes=np.array(list("1234")))
    made = manifest.create(splits.assign(whole, 0, leaks="drop"))
    assert made["recordings"] == {"train": ["r0"], "validation": ["r1"], "test": ["r2"], "left_out": ["r3"]}
    assert made["hashes"] == {"train": ["1"], "validation": ["2"], "test": ["3"], "left_out": ["4"]}
    assert made["summary"] | {"fingerprint": ""} == {
        **{"train": 1, "validation": 1, "test": 1, "method": "own", "seed": 0},
        **{"patients": 3, "patients_merged": 0, "leaks_dropped": 1, "fingerprint": ""},
    }
    np.testing.assert_array_equal(manifest.find_hashes(made, whole.ids[::-1]), list("4321"))
    assert manifest.find_hashes(made, whole.ids[:3]) is None


def test_the_split_of_a_run_is_known_again_whatever_labels_are_asked_for():
    first = splits.assign(dataset(40, np.eye(40, 2, dtype=np.float32)), 0)
    made = manifest.create(first)
    np.testing.assert_array_equal(manifest.find_split(made, first.ids[::-1]), first.split[::-1])
    assert manifest.find_split(made, first.ids[1:]) is None


@pytest.mark.parametrize("known", [True, False], ids=["by content", "by name"])
def test_recordings_that_trained_the_starting_weights_do_not_test(known):
    hashes = np.array(list("1234")) if known else None
    before = manifest.create(splits.assign(own(["train", "train", "validation", "test"], hashes=hashes), 0))
    same = own(["train", "train", "validation", "test"], hashes=hashes)
    manifest.refuse_trained(before, same, "runs/before")
    other = own(["train", "test", "validation", "train"], hashes=hashes)
    with pytest.raises(
        InputError, match=r"1 recordings of the test split trained the starting weights, runs/before: r1;"
    ):
        manifest.refuse_trained(before, other, "runs/before")


def test_a_copy_under_another_name_is_known_by_its_content():
    before = manifest.create(splits.assign(own(["train", "validation", "test"], hashes=np.array(list("123"))), 0))
    renamed = dataclasses.replace(
        own(["test", "validation", "train"], hashes=np.array(list("129"))), ids=np.array(["x", "y", "z"])
    )
    with pytest.raises(InputError, match="starting weights, runs/before: x;"):
        manifest.refuse_trained(before, renamed, "runs/before")


def test_the_fingerprint_sees_every_change():
    first = splits.assign(dataset(20, np.eye(20, 2, dtype=np.float32), hashes=np.arange(20).astype(str)), 0)
    changed = [
        first,
        dataclasses.replace(first, split=np.roll(first.split, 1)),
        dataclasses.replace(first, ids=first.ids[::-1]),
        dataclasses.replace(first, columns={"l0": first.columns["l0"], "other": first.columns["l1"]}),
        dataclasses.replace(first, columns=first.columns | {"l1": np.full(20, np.nan, np.float32)}),
        dataclasses.replace(first, hashes=first.hashes[::-1]),
        dataclasses.replace(first, hashes=None),
    ]
    prints = [manifest.create(one)["summary"]["fingerprint"] for one in changed]
    assert len(set(prints)) == len(prints)
    assert manifest.create(dataclasses.replace(first))["summary"]["fingerprint"] == prints[0]


def test_a_recording_of_the_training_set_is_known_by_its_content_wherever_it_lies(quality):
    split = ["train", "validation", "train"]
    made = manifest.create(splits.assign(own(split, hashes=np.array(["7", "8", ""])), 0))
    trained = manifest.Trained(made)
    assert trained.find(signal(7)) == "was in the training set"
    assert trained.find(signal(8)) == ""
    by_name = manifest.Trained({key: value for key, value in made.items() if key != "hashes"})
    assert by_name.find(dataclasses.replace(signal(1), id="r0")) == "was in the training set (by its name)"
    assert by_name.find(dataclasses.replace(signal(1), id="r1")) == ""


@pytest.mark.parametrize(
    "trained, path, is_known",
    [
        ("records/A001", "/data/copy/A001", True),  # a WFDB record
        ("A001", "/data/copy/A001.npy", True),
        ("records/A001.hea", "A001", True),
        ("12", "exams_part0.hdf5:12", True),  # an exam
        ("exams_part0.hdf5:12", "/elsewhere/exams_part7.hdf5:12", True),
        ("records/A001", "/data/A001/A002", False),
        ("A001", "A0011", False),
        ("1.2.840.1", "/data/1.2.840.2", False),  # the end of a DICOM identifier is no suffix
        ("1.2.840.1", "/data/1.2.840.1.dcm", True),
    ],
)
def test_where_contents_are_unknown_the_last_part_of_a_name_tells(trained, path, is_known):
    made = {"recordings": {"train": [trained]}}
    found = manifest.Trained(made).find(dataclasses.replace(signal(1), id=path))
    assert found == ("was in the training set (by its name)" if is_known else "")
    known = manifest.Trained(made | {"hashes": {"train": ["another"]}})
    assert known.find(dataclasses.replace(signal(1), id=path)) == ""
