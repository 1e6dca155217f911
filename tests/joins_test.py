"""Recordings of two files are found by their names, whatever column and spelling, or not at all."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_jax.data import joins
from ecg_jax.errors import InputError


def name(names):
    """Names by column; a text stands for one column `recording`."""
    names = {"recording": names} if isinstance(names, str) else names
    return {column: np.array(values.split()) for column, values in names.items()}


def match(first, second):
    return joins.match(name(first), name(second), ("p.csv", "l.csv"))


@pytest.mark.parametrize(
    "first, second, rows, way",
    [
        ("a b c", "c a b", [1, 2, 0], joins.EXACT),
        ("007 7", "7 007", [1, 0], joins.EXACT),
        ("f/1.hea f/2.hea", "f/2 f/1", [1, 0], joins.SUFFIX),
        ("f/1.hea f/2.hea", "f/2.dat f/1.dat", [1, 0], joins.SUFFIX),
        (r"f\1.hea f\2.hea", "./f/2 f//1", [1, 0], joins.SUFFIX),
        ("'=1 =2", "'=2 =1", [1, 0], joins.SUFFIX),
        ("1.2.840.1 1.2.840.2", "1.2.840.2.dcm 1.2.840.1.dcm", [1, 0], joins.SUFFIX),
        ("0001 0002 1000", "1000 2 1", [2, 1, 0], joins.ZEROS),
        ("1.0 2.0", "2 1", [1, 0], joins.ZEROS),
        ("f/1 f/10", "10.hea 1.hea", [1, 0], joins.FOLDER),
        ("/data/f/1 /data/f/2", "f/2 f/1", [1, 0], joins.FOLDER),
        ("/d/a/1 /d/b/1 /d/a/2", "a/1 a/2 b/1", [0, 2, 1], joins.FOLDER),
        ("part0.hdf5:12 part0.hdf5:13", "13 12", [1, 0], joins.FOLDER),
        ("f/00001.hea f/00002.hea", "2 1", [1, 0], joins.ALL),
    ],
)
def test_names_may_differ_in_folder_suffix_and_leading_zeros(first, second, rows, way):
    found = match(first, second)
    assert (found.rows.tolist(), found.way, found.doubt) == (rows, way, ())
    back = match(second, first)
    assert back.rows[found.rows].tolist() == [*range(len(rows))]


@pytest.mark.parametrize(
    "first, second, clash",
    [
        ("1 2", "a/1 b/1 a/2", ("a/1", "b/1")),
        ("007 7", "07 8", ("007", "7")),
        ("1.hea 1.dat", "1 2", ("1.hea", "1.dat")),
    ],
)
def test_names_of_which_two_would_become_one_are_compared_as_they_are_spelled(first, second, clash):
    found = match(first, second)
    assert (found.count, found.clash) == (0, clash)


def test_a_name_is_never_taken_for_another_where_some_are_spelled_alike():
    """`b/2` and `c/2` are two recordings, as `a/1` shows that folders count."""
    assert match("a/1 b/2", "a/1 c/2").rows.tolist() == [0, -1]


def test_folders_of_other_names_are_said():
    """Moved data looks like this, and so do two splits."""
    found = match("old/1 old/2", "new/2 new/1")
    assert found.rows.tolist() == [1, 0]
    assert "'old/1' and 'new/1'" in found.doubt[0]
    assert match("1", "new/1").doubt == ()


def test_the_column_that_the_other_file_names_is_taken():
    labels = {"id": "2 1 3", "path": "f/1.hea f/2.hea f/3.hea"}
    found = match("f/2 f/1 f/3", labels)
    assert (found.rows.tolist(), found.columns) == ([1, 0, 2], ("recording", "path"))


def test_columns_that_are_called_alike_go_before_others():
    found = match({"exam_id": "3 1 2"}, {"id": "1 2 3", "exam_id": "3 2 1"})
    assert (found.rows.tolist(), found.columns) == ([0, 2, 1], ("exam_id", "exam_id"))


def test_numbers_of_rows_do_not_go_before_names():
    found = match({"id": "0 1 2", "recording": "c b a"}, {"id": "0 1 2", "path": "a b c"})
    assert (found.rows.tolist(), found.columns) == ([2, 1, 0], ("recording", "path"))


def test_columns_that_contradict_each_other_are_refused_with_a_remedy():
    with pytest.raises(InputError, match=r"p\.csv and l\.csv: columns .* name other recordings.*--recording_column="):
        match("0001 0002 0003", {"id": "2 1 3", "path": "x/0001.hea x/0002.hea x/0003.hea"})


@given(st.permutations(range(12)), st.sampled_from(["{}", "f/{}", "f/{}.hea", "{:05d}", "/d/f/{:05d}.dat"]))
@settings(max_examples=50, deadline=None)
def test_any_order_and_spelling_gives_every_recording_its_own_row(order, template):
    first = {"recording": np.array([f"f/{i}" for i in range(12)])}
    second = {"path": np.array([template.format(i) for i in order])}
    found = joins.match(first, second, ("p", "l"))
    assert [order[row] for row in found.rows] == [*range(12)]


# Which columns name recordings


@pytest.mark.parametrize(
    "column",
    [
        *("recording", "path", "file", "file_name", "filename", "filename_hr", "filename_lr", "name", "id", "exam_id"),
        *("study_id", "record", "ecg_id", "ECG_ID", "Exam ID", "FileName", "record_name"),
    ],
)
def test_many_columns_name_recordings(column):
    table = pd.DataFrame({"AF": ["1", "0"], column: ["a", "b"]})
    assert {key: values.tolist() for key, values in joins.find_names(table, "l.csv").items()} == {column: ["a", "b"]}


def test_a_column_in_which_names_repeat_names_nothing_beside_one_in_which_they_do_not():
    table = pd.DataFrame({"file": ["f", "f"], "exam_id": ["1", "2"]})
    assert list(joins.find_names(table, "l.csv")) == ["exam_id"]
    with pytest.raises(InputError, match=r"lines 2 and 3, column 'file': recording f occurs 2 times"):
        joins.find_names(table[["file"]], "l.csv")


def test_another_column_is_named_by_the_user():
    table = pd.DataFrame({"id": ["1", "2"], "nummer": ["a", "b"]})
    assert list(joins.find_names(table, "l.csv", ("number", "nummer"))) == ["nummer"]
    with pytest.raises(InputError, match=r"l\.csv: no column exam to name recordings; it has id, nummer"):
        joins.find_names(table, "l.csv", ("exam",))


# By position


def side(source, names=None, size=3):
    return joins.Side(source, size, name(names) if names else {})


def test_position_joins_only_what_names_nothing_and_only_when_asked_for():
    asked = joins.Rules(by_position=True)
    found = joins.join(side("p.csv"), side("l.csv"), asked)
    assert (found.rows.tolist(), found.way) == ([0, 1, 2], joins.POSITION)
    assert joins.join(side("p.npy"), side("l.csv", "a b c"), asked).rows.tolist() == [0, 1, 2]
    assert joins.join(side("p.csv", "a b c"), side("l.csv", "c b a"), asked).rows.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    "first, second, asked, parts",
    [
        (side("p.csv"), side("l.csv"), False, ["neither names them", "--by_position"]),
        (side("p.npy"), side("l.csv", "a b c"), False, ["p.npy does not", "--by_position"]),
        (side("p.csv"), side("l.csv", "a b c"), True, ["p.csv does not", "add a column", "--recording_column"]),
        (side("p.csv", "a b c"), side("l.csv"), True, ["l.csv does not", "add a column", "--recording_column"]),
        (side("p.csv", size=2), side("l.csv"), True, ["p.csv has 2", "l.csv 3", "line by line"]),
    ],
)
def test_position_is_refused_with_a_remedy(first, second, asked, parts):
    with pytest.raises(InputError) as error:
        joins.join(first, second, joins.Rules(by_position=asked))
    for part in parts:
        assert part in str(error.value)
