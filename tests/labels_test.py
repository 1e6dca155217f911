"""Three states of a label, and where its values come from."""

import io

import numpy as np
import pandas as pd
import pytest

from ecg_jax import labels
from ecg_jax.errors import InputError

NAN = np.nan


def column(text: str, name: str = "AF") -> pd.Series:
    return pd.read_csv(io.StringIO(text))[name]


def test_six_stands_for_the_papers_diagnoses_in_its_order():
    assert labels.resolve("six") == ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")


def test_names_are_separated_by_commas():
    assert labels.resolve(" AF, NORM ,x,") == ("AF", "NORM", "x")
    assert labels.resolve("abnormal") == ("abnormal",)


def test_groups_may_be_mixed_and_repeat_nothing_that_is_named():
    assert labels.resolve("six,abnormal") == (*labels.SIX, "abnormal")
    assert labels.resolve("AF,six") == ("AF", "1dAVb", "RBBB", "LBBB", "SB", "ST")
    assert labels.resolve("superclasses, NORM,x") == ("NORM", "MI", "STTC", "CD", "HYP", "x")
    assert labels.resolve("abnormal,statements") == ("abnormal", "statements")


@pytest.mark.parametrize("setting", ["six,CRBBB", "AF,AFIB"])
def test_two_names_of_one_label_are_refused(setting):
    with pytest.raises(
        InputError, match=r"data\.labels is .*, but (RBBB and CRBBB|AF and AFIB) are names of one label"
    ):
        labels.resolve(setting)


def test_all_labels_stand_alone():
    with pytest.raises(InputError, match="'all' excludes others"):
        labels.resolve("all,AF")


@pytest.mark.parametrize("setting", ["", " , ", "AF,AF", "six,six"])
def test_a_setting_without_labels_or_with_one_twice_is_refused(setting):
    with pytest.raises(InputError, match=r"data\.labels"):
        labels.resolve(setting)


@pytest.mark.parametrize(
    "values, expected",
    [
        ("1 0 1", [1, 0, 1]),
        ("True False True", [1, 0, 1]),
        ("true FALSE 1", [1, 0, 1]),
        ("1.0 0.0 1", [1, 0, 1]),
        ("1 '' 0", [1, NAN, 0]),
        ("True '' False", [1, NAN, 0]),
        ("'' '' ''", [NAN, NAN, NAN]),
    ],
)
def test_a_label_is_one_zero_or_unknown(values, expected):
    rows = "".join(f"{'' if value == chr(39) * 2 else value},x\n" for value in values.split())
    parsed = labels.parse_column(column("AF,other\n" + rows), "x.csv")
    np.testing.assert_array_equal(parsed, expected)
    assert parsed.dtype == np.float32


@pytest.mark.parametrize("bad", ["2", "-1", "0.5", "yes", "0.124"])
def test_anything_else_is_refused_with_its_line_and_value(bad):
    with pytest.raises(InputError, match=rf"exams\.csv: line 4, column 'AF' holds .*{bad}"):
        labels.parse_column(column(f"AF,other\n1,x\n,x\n{bad},x\n0,x\n"), "exams.csv")


def test_the_message_shows_the_value_as_the_file_does():
    with pytest.raises(InputError, match=r"holds '?2'?;"):
        labels.parse_column(column("AF\n1\n2\n"), "exams.csv")


def test_a_derived_label_goes_before_a_column_of_the_same_name():
    table = pd.DataFrame({"AF": [0, 1], "x": [1, 0]})
    found = labels.select(("x", "AF"), {"AF": np.array([1.0, NAN])}, table, "x.csv")
    assert list(found) == ["x", "AF"]
    np.testing.assert_array_equal(found["x"], [1, 0])
    np.testing.assert_array_equal(found["AF"], [1, NAN])
    assert {column.dtype for column in found.values()} == {np.dtype(np.float32)}


def test_columns_that_were_not_asked_for_may_hold_anything():
    table = pd.DataFrame({"AF": [0, 1], "age": [57, 81]})
    np.testing.assert_array_equal(labels.select(("AF",), {}, table, "x.csv")["AF"], [0, 1])


def test_all_labels_are_the_derived_ones_and_the_columns_that_hold_nothing_else():
    table = pd.DataFrame({"AF": ["0", "1"], "age": ["57", "81"], "VT": ["", "true"], "note": [None, None]})
    found = labels.select(labels.resolve("all"), {"abnormal": np.array([1.0, NAN])}, table, "x.csv")
    assert list(found) == ["abnormal", "AF", "VT"]
    np.testing.assert_array_equal(found["VT"], [NAN, 1])


def test_who_and_where_is_no_label_though_it_is_0_or_1():
    table = pd.DataFrame(
        {name: ["0", "1"] for name in ("AF", "Is_Male", "age", "sampling_weight", "patient_id", "fold")}
    )
    assert list(labels.select(labels.ALL, {}, table, "x.csv")) == ["AF"]
    assert list(labels.select(("Is_Male",), {}, table, "x.csv")) == ["Is_Male"]


def test_the_choice_of_all_labels_is_told_and_why_others_are_none():
    table = pd.DataFrame({"id": ["a", "b"], "AF": ["0", "1"], "SB": ["1", "yes"], "VT": [None, " "], "ST": ["", "0"]})
    assert labels.describe_choice(labels.ALL, table) == [
        "columns taken as labels: AF, ST",
        "column SB is no label: line 3 holds 'yes'; a label is 0, 1 or empty",
        "column VT is no label: it is empty",
    ]
    assert labels.describe_choice(("AF",), table) == []
    many = pd.DataFrame({f"c{i}": ["2"] for i in range(8)})
    lines = labels.describe_choice(labels.ALL, many)
    assert lines[0] == "columns taken as labels: none"
    assert lines[1:6] == [f"column c{i} is no label: line 2 holds '2'; a label is 0, 1 or empty" for i in range(5)]
    assert lines[6:] == ["3 more columns are no labels"]


def test_a_label_that_does_not_exist_is_refused_naming_those_that_do():
    with pytest.raises(InputError, match=r"x\.csv: no label VT; there are: SB, AF"):
        labels.select(("AF", "VT"), {"SB": np.zeros(1)}, pd.DataFrame({"AF": [0]}), "x.csv")


def test_offered_labels_are_taken_where_they_are_and_checked():
    table = pd.DataFrame({"AF": ["1", "0"], "SB": ["maybe", "0"]})
    assert list(labels.select(labels.Offered(("ST", "AF")), {}, table, "x.csv")) == ["AF"]
    with pytest.raises(InputError, match=r"x\.csv: line 2, column 'SB' holds maybe"):
        labels.select(labels.Offered(("SB", "ST")), {}, table, "x.csv")


def test_statements_are_those_offered_of_the_vocabulary_under_one_name_each():
    derived = {name: np.zeros(1) for name in ("RBBB", "CRBBB", "LAFB", "abnormal", "MI", "AFL")}
    table = pd.DataFrame({"SR": ["500"], "STACH": ["1"], "x": ["1"]})  # SR is no label here, but a sampling rate
    found = labels.select(labels.resolve("statements"), derived, table, "x.csv")
    assert list(found) == ["RBBB", "LAFB", "ST"]
    assert list(labels.select(labels.resolve("CRBBB,statements"), derived, table, "x.csv")) == ["CRBBB", "LAFB", "ST"]
    assert "abnormal" in labels.select(labels.resolve("abnormal,statements"), derived, None, "x.csv")


def test_either_name_of_one_of_the_six_is_understood():
    values = np.array([1.0])
    assert labels.select(("CRBBB",), {"RBBB": values}, None, "x.csv") == {"CRBBB": values}
    assert labels.select(("RBBB",), {"CRBBB": values}, None, "x.csv") == {"RBBB": values}
    both = {"CRBBB": np.array([0.0]), "RBBB": values}
    assert labels.select(("CRBBB",), both, None, "x.csv") == {"CRBBB": both["CRBBB"]}


def test_statements_where_there_are_none_are_refused():
    with pytest.raises(InputError, match=r"x\.csv: no label of the statements; there are: abnormal"):
        labels.select(labels.resolve("statements"), {"abnormal": np.zeros(1)}, None, "x.csv")
    assert labels.select(labels.Offered(("statements",)), {"abnormal": np.zeros(1)}, None, "x.csv") == {}
