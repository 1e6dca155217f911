"""The tables of data sets: whatever a spreadsheet program makes of a CSV is read, or refused by line."""

import codecs

import numpy as np
import pandas as pd
import pytest

from ecg_jax.data.datasets import attributes
from ecg_jax.data.datasets.table import format_dates, has_column, parse_ids, parse_integers, parse_text, read_table
from ecg_jax.errors import InputError

ROWS = [["path", "id", "AF"], ["a/b c", "007", "1"], ["d;e", "008", ""]]


def write(path, rows, delimiter=",", encoding="utf-8"):
    lines = [delimiter.join(f'"{cell}"' if ";" in cell else cell for cell in row) for row in rows]
    path.write_bytes("\r\n".join([*lines, ""]).encode(encoding))
    return str(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_and_byte_order_marks_do_not_matter(tmp_path, delimiter, encoding):
    table = read_table(write(tmp_path / "x.csv", ROWS, delimiter, encoding), ("path",))
    assert list(table.columns) == ["path", "id", "AF"]
    assert list(table["path"]) == ["a/b c", "d;e"]
    assert list(table["id"]) == ["007", "008"]
    assert table["AF"].isna().tolist() == [False, True]


def test_a_column_may_be_the_only_one(tmp_path):
    assert list(read_table(write(tmp_path / "x.csv", [["path"], ["a"]]))["path"]) == ["a"]


def test_a_delimiter_inside_quotes_is_none(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('"a;b;c;d",e\n1,2\n')
    assert list(read_table(str(path)).columns) == ["a;b;c;d", "e"]


def test_names_are_found_in_any_case(tmp_path):
    path = write(tmp_path / "x.csv", [["Path", " ECG_ID ", "af", "Other"], ["a", "1", "0", "x"]])
    assert list(read_table(path, ("ecg_id",)).columns) == ["path", "ecg_id", "AF", "Other"]


def test_a_name_in_its_own_spelling_goes_before_others(tmp_path):
    path = write(tmp_path / "x.csv", [["ID", "id"], ["a", "b"]])
    assert list(read_table(path)["id"]) == ["b"]


@pytest.mark.parametrize(
    "header, message",
    [
        (["AF", "x", "AF"], r"x\.csv: line 1 names column AF more than once"),
        (["Path", "PATH", "x"], r"x\.csv: line 1 names both Path and PATH"),
        (["a", "b", "c"], r"x\.csv: no column path; it has a, b, c"),
    ],
)
def test_a_header_that_is_ambiguous_or_short_is_refused(tmp_path, header, message):
    with pytest.raises(InputError, match=message):
        read_table(write(tmp_path / "x.csv", [header, ["1", "2", "3"]]), ("path",))


def test_rows_longer_than_the_header_are_refused(tmp_path):
    """Pandas would take their first field as a name and shift every other one."""
    with pytest.raises(InputError, match=r"x\.csv: line 2 has more fields than line 1, which names 2 columns"):
        read_table(write(tmp_path / "x.csv", [["a", "b"], ["1", "2", "3"], ["4", "5", "6"]]))
    with pytest.raises(InputError, match=r"x\.csv: not a readable CSV .*line 3"):
        read_table(write(tmp_path / "x.csv", [["a", "b"], ["1", "2"], ["4", "5", "6"]]))


@pytest.mark.parametrize("content", [b"", b"\n", b"a,b\n", codecs.BOM_UTF8, b"\xff\xfe", b"\xff\xfea", b"\x00" * 9])
def test_a_file_without_rows_is_refused(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.csv: "):
        read_table(str(tmp_path / "x.csv"))


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes("name,x\nJosé,1\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"x\.csv: not a readable CSV .*utf-8"):
        read_table(str(tmp_path / "x.csv"))


def test_an_id_that_stands_twice_is_refused_with_both_lines(tmp_path):
    path = write(tmp_path / "x.csv", [["id", "n"], ["a", "1"], ["b", "2"], ["", ""], ["a", "3"]])
    with pytest.raises(InputError, match=r"lines 2 and 5, column 'id': recording a occurs 2 times; ids are unique"):
        parse_ids(read_table(path)["id"], path)


def test_cells_of_spaces_are_empty(tmp_path):
    path = write(
        tmp_path / "x.csv", [["id", "patient_id", "AF"], ["a", "p", " "], ["b", '"  "', "1"], [" ", "", "\u00a0"]]
    )
    table = read_table(path)
    assert table.isna().to_numpy().tolist() == [[False, False, True], [False, True, False]]
    assert attributes.read_known_columns(table, path)["patients"].tolist() == ["p", ""]


def test_dates_are_written_as_they_are_read():
    table = pd.DataFrame({"date": ["1984-11-14 13:00", "2000-12-31 23:00", "soon", "2001"]})
    years = attributes.parse(table, "t.csv")["date"]
    assert format_dates(years).tolist() == ["1984-11-14T13:00", "2000-12-31T23:00", "", "2001-01-01T00:00"]
    again = attributes.parse(pd.DataFrame({"date": format_dates(years)}), "t.csv")["date"]
    np.testing.assert_array_equal(again, years)


def test_an_empty_cell_is_refused_with_a_remedy(tmp_path):
    path = write(tmp_path / "x.csv", [["id", "n", "split", "k"], ["a", "1", "test", "k"], ["  ", " ", " ", "k"]])
    table = read_table(path)
    remedy = "is empty; fill it in, or remove the line"
    with pytest.raises(InputError, match=f"line 3, column 'id' {remedy}"):
        parse_text(table["id"], path)
    with pytest.raises(InputError, match=f"line 3, column 'n' {remedy}"):
        parse_integers(table["n"], path)
    with pytest.raises(InputError, match="line 3, column 'split' is empty; expected train, validation, test"):
        attributes.read_known_columns(table, path)


def test_a_missing_column_is_refused_with_a_remedy(tmp_path):
    path = write(tmp_path / "x.csv", [["file", "AF"], ["a", "1"]])
    with pytest.raises(InputError, match="no column path; it has file, AF; rename one, or pass the right CSV"):
        read_table(path, ("path",))
    assert has_column(path, "FILE")
    assert not has_column(path, "path")


def test_lines_are_counted_past_blank_ones(tmp_path):
    path = write(tmp_path / "x.csv", [["id", "n"], ["a", "1"], ["", ""], ["", "x"]])
    table = read_table(path)
    with pytest.raises(InputError, match="line 4, column 'id' is empty"):
        parse_text(table["id"], path)
    with pytest.raises(InputError, match="line 4, column 'n' holds 'x'; expected a whole number"):
        parse_integers(table["n"], path)


def test_ages_and_sexes_are_read_as_data_sets_write_them(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('AGE,Sex\n"51\n",F\n300,male\n-1,\n>89,Unknown\n')
    found = attributes.parse(read_table(str(path)), str(path))
    assert found["age"].tolist()[0] == 51
    assert [age != age for age in found["age"].tolist()] == [False, True, True, True]
    assert found["sex"].tolist() == ["F", "M", "", ""]
