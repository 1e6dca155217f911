"""Anybody's files of predictions and labels: joined rightly, or refused in a line that says what to do."""

import dataclasses
import os
import pickle

import numpy as np
import pytest
import scipy.special

from ecg_jax.data import joins, prediction_files
from ecg_jax.data.prediction_values import LOGITS, PROBABILITIES
from ecg_jax.errors import InputError
from ecg_jax.inference import evaluated, evaluated_files, label_files

NAN = np.nan
NAMES = ("AF", "SB")
VALUES = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
TABLE = "recording,AF,SB\na,0.1,0.2\nb,0.3,0.4\nc,0.5,0.6\n"
LABELS = "recording,AF,SB\na,1,0\nb,0,1\nc,,1\n"
TRUTH = np.array([[1, 0], [0, 1], [NAN, 1]])


@pytest.fixture
def write(tmp_path):
    """Writes a text, or an array, and returns its path."""

    def write(name, content, **options):
        path = tmp_path / name
        if isinstance(content, np.ndarray):
            np.save(path, content, **options)
        else:
            path.write_bytes(
                content if isinstance(content, bytes) else content.encode(options.get("encoding", "utf-8"))
            )
        return str(path)

    return write


@pytest.fixture
def read(write):
    """Reads predictions from a text or an array."""

    def read(content, *, encoding="utf-8", **options):
        is_array = isinstance(content, np.ndarray)
        path = write("p.npy", content) if is_array else write("p.csv", content, encoding=encoding)
        return prediction_files.read_predictions(path, **options)

    return read


@pytest.fixture
def join(read, write):
    """Joins predictions and labels that are given as text."""

    def join(predictions, labels, *, names=(), **rules):
        truth = label_files.read_labels(write("l.csv", labels))
        return label_files.join(read(predictions, names=names), truth, joins.Rules(**rules)).predictions

    return join


def refuse(*parts):
    """Expects an error in one line that says all of this, and nothing that only a programmer understands."""

    @dataclasses.dataclass
    class Refused:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, _):
            assert kind is not None, f"nothing was refused; expected a line with {parts}"
            if not issubclass(kind, InputError):
                return False
            message = str(error)
            assert "\n" not in message
            for part in parts:
                assert part in message, message
            for internal in ("np.", "dtype", "Traceback", "allow_pickle"):
                assert internal not in message, message
            return True

    return Refused()


def test_a_csv_is_read_by_the_names_of_its_columns(read):
    file = read(TABLE)
    assert file.names == NAMES
    np.testing.assert_array_equal(file.values, VALUES)
    assert file.ids.tolist() == ["a", "b", "c"]
    assert (file.raw, file.split, file.labels, file.left_out) == (None, None, None, ())


@pytest.mark.parametrize(
    "content, encoding",
    [
        (TABLE, "utf-8-sig"),
        (TABLE, "utf-16"),
        (TABLE.replace(",", ";"), "utf-8"),
        (TABLE.replace(",", ";"), "utf-8-sig"),
        (TABLE.replace(",", "\t"), "utf-8"),
        (TABLE.replace("\n", "\r\n"), "utf-8"),
        (TABLE.replace("\nb", "\n\nb"), "utf-8"),
        (TABLE.replace(",", ", "), "utf-8"),
        (TABLE.rstrip("\n"), "utf-8"),
    ],
    ids=[
        "bom",
        "utf-16",
        "semicolons",
        "semicolons and bom",
        "tabs",
        "crlf",
        "blank line",
        "spaces",
        "no last newline",
    ],
)
def test_a_csv_may_be_written_in_many_ways(read, content, encoding):
    file = read(content, encoding=encoding)
    assert file.names == NAMES
    np.testing.assert_array_equal(file.values, VALUES)
    assert file.ids.tolist() == ["a", "b", "c"]


def test_zeros_stay_where_ids_have_them(join):
    found = join("id,AF\n007,0.1\n7,0.2\n", "id,AF\n7,1\n007,0\n")
    assert found.ids.tolist() == ["007", "7"]
    assert found.labels[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize("column", ["recording", "id", "exam_id", "ecg_id", "study_id", "record", "Recording", "ID"])
def test_many_names_of_the_column_of_ids_are_known(read, column):
    file = read(TABLE.replace("recording", column))
    assert (file.names, file.ids.tolist()) == (NAMES, ["a", "b", "c"])


@pytest.mark.parametrize("head", ["", "Unnamed: 0"])
def test_a_column_that_pandas_wrote_for_its_index_is_no_label_and_no_attribute(join, head):
    predictions = f"{head},AF,SB\n0,0.1,0.2\n1,0.3,0.4\n2,0.5,0.6\n"
    labels = f"{head},AF,SB,site\n0,1,0,x\n1,0,1,x\n2,,1,y\n"
    found = join(predictions, labels, by_position=True)
    assert found.names == NAMES
    np.testing.assert_array_equal(found.labels, TRUTH)
    assert set(found.attributes) <= {"site"}


def test_rows_are_joined_by_id_whatever_their_order_and_that_of_columns(join):
    labels = "SB,recording,AF\n1,c,\n0,a,1\n1,b,0\n"
    found = join(TABLE, labels)
    assert (found.ids.tolist(), found.names) == (["a", "b", "c"], NAMES)
    np.testing.assert_array_equal(found.probabilities, VALUES)
    np.testing.assert_array_equal(found.labels, TRUTH)


def test_ids_may_have_another_name_in_each_file(join):
    found = join(TABLE, LABELS.replace("recording", "exam_id"))
    np.testing.assert_array_equal(found.labels, TRUTH)


def test_a_column_of_ids_that_both_files_have_joins_them_whatever_else_they_have(join):
    predictions = TABLE.replace("recording", "exam_id")
    labels = "id,exam_id,AF,SB\n1,c,,1\n2,b,0,1\n3,a,1,0\n"
    np.testing.assert_array_equal(join(predictions, labels).labels, TRUTH)


BARE, BARE_LABELS = ("\n".join(line.split(",", 1)[1] for line in text.splitlines()) + "\n" for text in (TABLE, LABELS))


def test_without_ids_they_are_joined_line_by_line_only_where_that_is_asked_for(join):
    found = join(BARE, BARE_LABELS, by_position=True)
    np.testing.assert_array_equal(found.labels, TRUTH)
    assert len(set(found.ids.tolist())) == 3
    with refuse("p.csv has 3", "l.csv 3", "neither names them", "--by_position"):
        join(BARE, BARE_LABELS)


@pytest.mark.parametrize("by_position", [False, True])
@pytest.mark.parametrize("tables, named", [((TABLE, BARE_LABELS), "p.csv"), ((BARE, LABELS), "l.csv")])
def test_a_table_that_names_recordings_is_not_joined_with_one_that_does_not(join, tables, named, by_position):
    with refuse(f"{named} names them (column recording)", "does not", "--recording_column"):
        join(*tables, by_position=by_position)


def test_an_array_cannot_name_recordings_and_is_joined_line_by_line_where_that_is_asked_for(join):
    with refuse("p.npy does not", "l.csv names them", "an array cannot", "--by_position"):
        join(VALUES, LABELS, names=NAMES)
    found = join(VALUES, LABELS, names=NAMES, by_position=True)
    assert found.ids.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(found.labels, TRUTH)


def test_published_tables_of_zeros_and_ones_are_joined_line_by_line(join):
    """As those of Ribeiro et al. 2020: six columns, no ids, an index here and there."""
    head = "1dAVb,RBBB,LBBB,SB,AF,ST\n"
    found = join(f"{head}0,0,0,1,0,0\n0,1,0,0,0,0\n", f"{head}0,0,0,1,0,0\n1,1,0,0,0,0\n", by_position=True)
    assert found.names == ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")
    np.testing.assert_array_equal(found.probabilities[0], [0, 0, 0, 1, 0, 0])
    assert found.labels.sum() == 3


def test_a_label_that_is_not_there_is_refused_naming_those_that_are(join):
    with refuse("l.csv", "no label SB", "p.csv predicts", "recording, AF, LBBB"):
        join(TABLE, LABELS.replace("SB", "LBBB"))


def test_labels_that_are_not_predicted_do_no_harm(join):
    found = join(TABLE, "recording,RBBB,AF,SB,other\na,1,1,0,0\nb,1,0,1,1\nc,0,,1,0\n")
    assert found.names == NAMES
    np.testing.assert_array_equal(found.labels, TRUTH)


def test_other_columns_of_the_labels_become_attributes_ids_and_paths_do_not(join):
    labels = (
        "recording,AF,SB,age,sex,height,path,patient_id,file_name,split,strat_fold\n"
        "c,,1,300,male,,c.dat,p2,c.csv,test,1\na,1,0,40,F,170,a.dat,p1,a.csv,test,2\n"
        "b,0,1,,,180.5,b.dat,p1,b.csv,test,3\n"
    )
    found = join(TABLE, labels)
    assert set(found.attributes) == {"age", "sex", "height"}
    np.testing.assert_array_equal(found.attributes["age"], [40, NAN, NAN])
    assert found.attributes["sex"].tolist() == ["F", "", "M"]
    np.testing.assert_array_equal(found.attributes["height"], [170, 180.5, NAN])
    assert found.patients.tolist() == ["p1", "p1", "p2"]


def test_a_remark_of_every_recording_makes_no_subgroups(join):
    predictions = "id,AF\n" + "".join(f"{i},0.5\n" for i in range(20))
    labels = "id,AF,remark,empty,device\n" + "".join(f"{i},{i % 2},text {i},,{'xy'[i % 2]}\n" for i in range(20))
    assert set(join(predictions, labels).attributes) - {"empty"} == {"device"}


RUN = (
    "recording,split,AF_true,AF,AF_raw,SB_true,SB,SB_raw,quality\n"
    "v,validation,1,0.9,0.8,0,0.1,0.2,\n"
    "t1,test,0,0.3,0.4,,0.5,0.6,\n"
    "t2,test,1.0,0.7,0.6,1.0,0.4,0.3,10 samples masked\n"
    "t3,test,1,,,0,,,no signal\n"
)


def test_what_a_run_wrote_holds_truth_raw_probabilities_and_split(read):
    file = read(RUN)
    assert file.names == NAMES
    np.testing.assert_array_equal(file.values, [[0.9, 0.1], [0.3, 0.5], [0.7, 0.4]])
    np.testing.assert_array_equal(file.raw, [[0.8, 0.2], [0.4, 0.6], [0.6, 0.3]])
    np.testing.assert_array_equal(file.labels, [[1, 0], [0, NAN], [1, 1]])
    assert file.split.tolist() == ["validation", "test", "test"]
    assert file.left_out == (("t3", "no signal", False, "test"),)
    assert file.take_split("validation").left_out == ()
    assert file.default_split == "test"
    found = label_files.use_own_labels(file.take_split("test")).predictions
    assert found.ids.tolist() == ["t1", "t2"]
    np.testing.assert_array_equal(found.raw, [[0.4, 0.6], [0.6, 0.3]])
    assert file.take_split("all") is file
    with refuse("p.csv", "'train'", "test, validation"):
        file.take_split("train")


OWN = (
    "recording,AF_true,AF,AF_raw,subject_id,age,sex,site,heart_rate,date,quality\n"
    "a,1,0.9,0.8,p,40,F,x,60,2001-07-02 12:00,\nb,0,0.3,0.4,unknown,,M,x,70,,\n"
    "c,1,0.7,0.6,p,50,F,y,,1999-04-02 06:00,noise\n"
    "d,1,0.7,0.6,q,50,F,y,,,\ne,1,0.7,0.6,q,50,F,y,,,\nf,1,0.7,0.6,q,50,F,y,,,\n"
)


def test_a_file_with_its_own_truth_has_patients_and_makes_subgroups_of_its_other_columns(read):
    found = label_files.use_own_labels(read(OWN)).predictions
    assert (found.names, found.patients.tolist()) == (("AF",), ["p", "", "p", "q", "q", "q"])
    assert set(found.attributes) == {"age", "sex", "site", "heart_rate", "date"}
    np.testing.assert_array_equal(found.attributes["age"][:3], [40, NAN, 50])
    assert found.attributes["site"].tolist() == [*"xxyyyy"]
    np.testing.assert_array_equal(found.attributes["heart_rate"][:3], [60, 70, NAN])
    np.testing.assert_array_equal(found.attributes["date"][:3], [2001.5, NAN, 1999.25])


def test_patients_are_those_of_the_labels_or_else_of_the_predictions(join):
    predictions = TABLE.replace("recording", "patient_id,recording").replace("\n", "\np,", 3)
    assert join(predictions, LABELS).patients.tolist() == ["p", "p", "p"]
    labels = "recording,AF,SB,Subject\nc,,1,w\na,1,0,u\nb,0,1,v\n"
    assert join(predictions, labels).patients.tolist() == ["u", "v", "w"]


@pytest.mark.parametrize("column", ["path", "file_name", "FileName", "name", "study_id"])
def test_names_are_found_in_any_usual_column_and_compared_without_folder_and_suffix(join, column):
    labels = f"{column},AF,SB\nx/c.hea,,1\nx/b.hea,0,1\nx/a.hea,1,0\n"
    np.testing.assert_array_equal(join(TABLE, labels).labels, TRUTH)


def test_ids_that_would_be_one_without_their_folders_are_named(join):
    with refuse("share no recording", "'x/a' and 'y/a' would be one"):
        join(TABLE, "path,AF,SB\nx/a,1,0\ny/a,0,1\nx/b,1,1\n")


@pytest.fixture
def open_file(write):
    """Opens predictions and labels, as the command does."""

    def open_file(predictions, labels, *, scale=PROBABILITIES, names=(), **rules):
        paths = write("p.csv", predictions), labels and write("l.csv", labels)
        files = evaluated_files.Files(paths[0], labels=paths[1], names=names, scale=scale, rules=joins.Rules(**rules))
        return evaluated_files.open_file(files)

    return open_file


@pytest.mark.parametrize("values", ["60,70,80", "0.1,0.2,0.3", "old,new,old"])
def test_columns_of_predictions_that_are_no_labels_are_not_scored_and_said(open_file, values):
    lines = [f"{line},{value}" for line, value in zip(TABLE.splitlines(), ["snr", *values.split(",")], strict=True)]
    found = open_file("\n".join(lines) + "\n", LABELS)
    assert found.predictions.names == NAMES
    assert any(line.endswith("are not scored: snr.") for line in found.facts)
    assert found.warnings == ()


def test_a_measurement_that_both_files_have_is_no_label(open_file):
    heads = [TABLE.replace("SB\n", "SB,rate\n", 1), LABELS.replace("SB\n", "SB,rate\n", 1)]
    texts = [text.replace("2\n", "2,60\n").replace("4\n", "4,70\n").replace("6\n", "6,80\n") for text in heads]
    texts[1] = "recording,AF,SB,rate\na,1,0,60\nb,0,1,70\nc,,1,80\n"
    found = open_file(*texts)
    assert found.predictions.names == NAMES
    np.testing.assert_array_equal(found.predictions.attributes["rate"], [60, 70, 80])


def test_labels_of_which_none_is_predicted_are_refused(open_file):
    with refuse("l.csv", "no label AF, SB", "p.csv predicts", "recording, RBBB"):
        open_file(TABLE, "recording,RBBB\na,1\nb,0\nc,1\n")


def test_what_is_left_out_is_counted(open_file):
    labels = "recording,AF,SB\na,1,0\nc,,1\nd,1,1\ne,1,0\n"
    found = open_file(TABLE, labels, partial=True)
    assert found.predictions.ids.tolist() == ["a", "c"]
    lines = "\n".join(found.warnings)
    assert "1 of the 3 recordings of " in lines
    assert "2 of the 4 recordings of " in lines


def test_what_validation_lacks_is_said_and_listed(open_file, write):
    head = "recording,split,AF,SB,AF_true,SB_true,quality\n"
    rows = "a,test,0.1,0.2,1,0,\nb,validation,,,0,1,refused\nc,validation,0.5,0.6,1,1,\nd,test,,,0,1,no signal\n"
    found = open_file(head + rows, None)
    assert found.left_out == (("d", "no signal", False, "test"), ("b", "refused", True, "validation"))
    assert [line.partition(" and are left out: ")[2] for line in found.warnings] == ["d (no signal)", "b (refused)"]
    assert "1 of the 2 recordings that choose thresholds could not be read or were refused" in found.warnings[1]
    other = write("v.csv", "recording,AF,SB,quality\nx,0.1,0.2,\ny,,,cut short\n")
    truth = write("lv.csv", "recording,AF,SB\nx,1,0\ny,0,1\n")
    files = evaluated_files.Files(
        write("p.csv", TABLE), write("l.csv", LABELS), validation=other, validation_labels=truth
    )
    assert evaluated_files.open_file(files).left_out == (("y", "cut short", True, "validation"),)


def test_labels_may_lack_recordings_of_the_validation_split_too(open_file):
    table = "recording,split,AF,SB\na,test,0.1,0.2\nb,validation,0.3,0.4\nc,validation,0.5,0.6\nd,test,0.5,0.6\n"
    labels = "recording,AF,SB\na,1,0\nb,0,1\nd,0,1\n"
    assert open_file(table, labels, partial=True).validation.ids.tolist() == ["b"]
    with refuse("--partial"):
        open_file(table, labels)


def test_a_column_of_patients_is_named_or_refused(open_file):
    labels = "recording,AF,SB,who,patient_id\na,1,0,u,1\nb,0,1,u,2\nc,,1,v,3\n"
    found = open_file(TABLE, labels, patient_column="who")
    assert found.predictions.patients.tolist() == ["u", "u", "v"]
    assert any("patients are named by who" in fact for fact in found.facts)
    assert any("No column names patients; --patient_column" in fact for fact in open_file(TABLE, LABELS).facts)
    with refuse("--patient_column=owner", "no such column", "l.csv or", "p.csv"):
        open_file(TABLE, labels, patient_column="owner")
    table = "recording,subject_id,AF,SB\na,1,0.1,0.2\nb,1,0.3,0.4\nc,2,0.5,0.6\n"
    assert any(fact.startswith("Patients are named by subject_id of ") for fact in open_file(table, LABELS).facts)
    with refuse("--patient_column=subject_it", "subject_id"):
        open_file(table, LABELS, patient_column="subject_it")


def test_a_column_of_names_is_named_in_either_file(open_file):
    labels = "nr,AF,SB,recording\nc,,1,1\nb,0,1,2\na,1,0,3\n"
    found = open_file(TABLE, labels, columns=("nr", "recording"))
    np.testing.assert_array_equal(found.predictions.labels, TRUTH)


def test_files_are_compared_by_name_and_what_one_lacks_is_refused_or_said(open_file, write):
    first = open_file(TABLE, LABELS)
    path = write("other.csv", "path,AF,SB\nx/c.hea,0.5,0.5\nx/a.hea,0.6,0.6\n")

    def compare(**rules):
        rules = joins.Rules(**rules)
        other = evaluated_files.open_other_file(evaluated_files.Files(path, rules=rules), first)
        return evaluated.align(first, other, rules)

    with refuse("other.csv", "no prediction of 1 of the 3 recordings", "the first b", "--partial"):
        compare()
    one, other = compare(partial=True)
    assert one.predictions.ids.tolist() == other.predictions.ids.tolist() == ["a", "c"]
    np.testing.assert_array_equal(other.predictions.probabilities[:, 0], [0.6, 0.5])
    assert any("1 of the 3 recordings are left out" in line for line in one.warnings)
    rows = "c,0.5,0.5,\nb,,,cut short\na,0.6,0.6,\nd,,,refused\n"  # of which d is not compared
    path = write("other.csv", "path,AF,SB,quality\n" + rows)
    one, other = compare(partial=True)
    assert other.left_out == (("b", "cut short", True, ""),)
    assert other.warnings[0].endswith("could not be read or were refused and are left out: b (cut short)")
    np.testing.assert_array_equal(other.predictions.probabilities[:, 0], [0.6, 0.5])


def test_readers_are_joined_by_name_in_any_usual_column(open_file, write):
    first = open_file(TABLE, LABELS)
    paths = [write("anna.csv", "file,AF,SB\nc.hea,1,1\na.hea,0,0\nb.hea,0,1\n")]
    found = label_files.read_annotators(paths, first, joins.USUAL)
    np.testing.assert_array_equal(found["anna"], [[0, 0], [0, 1], [1, 1]])
    bare = [write("ben.csv", "AF,SB\n0,0\n0,1\n1,1\n")]
    with refuse("ben.csv does not", "p.csv names them"):
        label_files.read_annotators(bare, first, joins.Rules(by_position=True))


def test_a_file_without_truth_says_how_to_give_it(read):
    with refuse("p.csv", "holds no labels", "LABEL_true", "--labels"):
        label_files.use_own_labels(read(TABLE))


def test_raw_probabilities_are_probabilities(read):
    with refuse("p.csv", "line 2", "AF_raw", "7"):
        read("recording,AF,AF_raw\na,0.5,7\n")


def test_a_split_that_is_none_is_refused(read):
    with refuse("p.csv", "line 2", "'split'", "tset", "train, validation, test"):
        read("recording,split,AF\na,tset,0.5\n")


def test_recordings_without_a_probability_are_left_out_only_where_quality_says_why(read, join):
    text = "recording,AF,SB,quality\na,0.1,0.2,\nb,,,no signal\nc,0.5,0.6,noise\n"
    file = read(text)
    assert (file.ids.tolist(), file.left_out) == (["a", "c"], (("b", "no signal", False, ""),))
    found = join(text, LABELS)  # the labels may have it all the same
    assert found.ids.tolist() == ["a", "c"]
    np.testing.assert_array_equal(found.labels, TRUTH[[0, 2]])
    with refuse("line 3 has no value at all (1 such row(s))", "`quality`"):
        read(text.replace("no signal", ""))
    with refuse("line 3", "'SB'", "is empty"):
        read(text.replace("b,,,", "b,0.1,,"))
    without_ids = text.replace("recording,", "").replace("a,", "").replace("b,", "").replace("c,", "")
    with refuse("p.csv", "1 recordings have no prediction", "ids"):
        join(without_ids, BARE_LABELS, by_position=True)


def test_a_file_in_which_nothing_has_a_probability_is_refused_by_its_name(join):
    with refuse("p.csv", "no recording has a prediction"):
        join("recording,AF,SB,quality\na,,,no signal\nb,,,no signal\n", LABELS)


@pytest.mark.parametrize(
    "cell, part",
    [("", "empty"), ("nan", ""), ("inf", "inf"), ("-inf", "inf"), ("high", "high"), ("30%", "30%"), ("'0,5", "'0,5")],
)
def test_what_is_no_number_is_refused_with_its_place_and_a_remedy(read, cell, part):
    cell = f'"{cell}"' if "," in cell else cell
    with refuse("p.csv", "line 4", "'SB'", part, "expected a probability", "leave such recordings out"):
        read(TABLE.replace("0.6", cell))


def test_lines_are_those_of_the_file_blank_ones_too(read):
    with refuse("line 6", "high"):
        read("id,AF\n\na,0.5\n\n\nb,high\n")
    with refuse("line 5", "1.5"):
        read("id,AF\n\na,0.5\n\nb,1.5\n")


@pytest.mark.parametrize("value", ["1.5", "-0.1"])
def test_what_is_no_probability_is_refused_with_its_place(read, value):
    with refuse("p.csv", "line 4", "SB", value, "between 0 and 1", "1 of 6 values"):
        read(TABLE.replace("0.6", value))


def test_per_cent_are_suspected(read):
    with refuse("p.csv", "line 2", "per cent", "divide", "100"):
        read("id,AF,SB\na,10,20\nb,0.5,100\n")


def test_one_stray_number_among_many_is_not_called_per_cent(read):
    lines = "".join(f"r{i},0.5\n" for i in range(200))
    with pytest.raises(InputError) as error:
        read(f"id,AF\n{lines}last,1.0000001\n")
    assert "per cent" not in str(error.value)


def test_logits_are_suspected_and_converted_when_that_is_said(read):
    values = np.random.default_rng(0).normal(0, 3, (50, 1))
    text = "id,AF\n" + "".join(f"{i},{value!r}\n" for i, value in enumerate(values[:, 0].tolist()))
    with refuse("p.csv", "these look like logits", "--logits"):
        read(text)
    np.testing.assert_allclose(read(text, scale=LOGITS).values, scipy.special.expit(values), rtol=1e-12)
    np.testing.assert_allclose(read(values, scale=LOGITS).values, scipy.special.expit(values), rtol=1e-12)
    with refuse("line 52", "expected a logit"):
        read(text + "50,inf\n", scale=LOGITS)


def test_columns_that_hold_no_probabilities_say_how_to_pass_over_them(read):
    text = "id,AF,SB,device\na,0.1,0.2,old\nb,0.3,0.4,new\n"
    with refuse("p.csv", "'device'", "--names"):
        read(text)
    assert read(text, names=["SB", "AF"]).names == ("SB", "AF")


def test_names_choose_columns_and_their_order(read, join):
    file = read(TABLE, names=["SB"])
    assert (file.names, file.values[:, 0].tolist()) == (("SB",), [0.2, 0.4, 0.6])
    with refuse("p.csv", "no column RBBB", "recording, AF, SB"):
        read(TABLE, names=["RBBB"])
    with refuse("AF"):
        read(TABLE, names=["AF", "AF"])
    assert join(TABLE, LABELS, names=["SB", "AF"]).labels[0].tolist() == [0, 1]


@pytest.mark.parametrize("name", ["macro", "micro", "weighted"])
def test_a_label_that_is_called_as_an_average_is_refused_by_its_name(join, name):
    with refuse(name):
        join(TABLE.replace("AF", name), LABELS.replace("AF", name))


@pytest.mark.parametrize(
    "content, parts",
    [
        ("", ["p.csv"]),
        ("\n\n", ["p.csv"]),
        ("recording,AF\n", ["p.csv", "no rows"]),
        ("recording,age\na,40\n", ["p.csv", "no column of probabilities", "recording, age"]),
        ("recording,AF,AF\na,0.1,0.2\n", ["line 1", "AF", "more than once"]),
        ("recording,AF\na,0.1,0.2\n", ["line 2", "more fields"]),
        ("recording,AF\na,0.1\na,0.2\n", ["lines 2 and 3", "'recording'", "recording a", "unique"]),
        ("recording,AF\na,0.1\n,0.2\n", ["line 3", "'recording'", "empty"]),
        (os.urandom(300), ["p.csv"]),
    ],
    ids=["nothing", "blank", "a head", "no label", "twice", "ragged", "repeated id", "empty id", "bytes"],
)
def test_a_csv_that_cannot_be_right_is_refused(read, content, parts):
    with refuse(*parts):
        read(content)


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path):
    for name in ("none.csv", "none.npy"):
        with refuse(name, "no such file"):
            prediction_files.read_predictions(str(tmp_path / name))
        (tmp_path / f"folder-{name}").mkdir()
        with refuse(f"folder-{name}"):
            prediction_files.read_predictions(str(tmp_path / f"folder-{name}"))


def test_an_array_is_recordings_by_labels(read):
    file = read(VALUES, names=NAMES)
    assert (file.names, file.ids, file.split) == (NAMES, None, None)
    np.testing.assert_array_equal(file.values, VALUES)
    single = read(VALUES[:, 0].astype(np.float32), names=["AF"])
    assert single.values.shape == (3, 1)
    assert single.values.dtype == np.float64
    for values in (np.array([[1, 0]]), np.array([[True, False]]), VALUES.astype(np.float16)):
        assert read(values, names=NAMES).values.dtype == np.float64


@pytest.mark.parametrize(
    "values, parts",
    [
        (VALUES[..., None], ["(3, 2, 1)", "recordings, labels"]),
        (np.array(0.5), ["()", "recordings, labels"]),
        (np.empty((0, 2)), ["(0, 2)"]),
        (np.array([["0.5"]]), ["(1, 1)", "expected numbers"]),
        (np.array([0.5j]), ["complex", "expected numbers"]),
        (np.array([[0.5, NAN]]), ["row 0", "column 1", "nan"]),
        (np.array([[0.5], [np.inf]]), ["row 1", "column 0", "inf"]),
        (np.array([[0.5], [1.5]]), ["row 1", "column 0", "1.5", "between 0 and 1"]),
        (np.array([[50.0], [99.0]]), ["row 0", "per cent"]),
        (np.array([[-3.0], [2.0]]), ["row 0", "--logits"]),
    ],
    ids=lambda value: str(value)[:20].replace("\n", " "),
)
def test_an_array_that_cannot_be_right_is_refused(read, values, parts):
    with refuse("p.npy", *parts):
        read(values)


def test_nothing_in_a_file_is_ever_executed(write, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    contents = {
        "objects.npy": lambda path: np.save(path, np.array([Evil()], object), allow_pickle=True),
        "pickle.npy": lambda path: path.write_bytes(pickle.dumps(Evil())),
    }
    for name, make in contents.items():
        make(tmp_path / name)
        with refuse(name):
            prediction_files.read_predictions(str(tmp_path / name))
    assert not (tmp_path / "executed").exists()


def test_files_that_only_look_like_an_array_are_refused(write, tmp_path):
    np.savez(tmp_path / "several.npz", VALUES)
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    whole = (tmp_path / write("whole.npy", VALUES)).read_bytes()
    write("cut.npy", whole[:-8])
    write("empty.npy", b"")
    write("text.npy", TABLE)
    for name in ("cut.npy", "empty.npy", "text.npy", "several.npy"):
        with refuse(name):
            prediction_files.read_predictions(str(tmp_path / name))


def test_columns_of_an_array_are_named_by_the_user_or_beyond_doubt(join, read, write):
    with refuse("p.npy", "3 columns", "2 label names", "AF, SB"):
        read(np.ones((3, 3)), names=NAMES)
    with refuse("p.npy", "2 columns", "--names=AF,SB"):
        join(VALUES, LABELS)
    found = join(VALUES, "SB,AF\n0,1\n1,0\n1,\n", names=NAMES, by_position=True)
    np.testing.assert_array_equal(found.labels, TRUTH)
    only = join(VALUES[:, 0], "patient_id,age,my_label\n1,40,1\n2,50,0\n3,60,\n", by_position=True)
    assert (only.names, only.attributes["age"].tolist()) == (("my_label",), [40, 50, 60])
    six = join(np.full((1, 6), 0.5), "ST,AF,SB,LBBB,RBBB,1dAVb,age\n1,0,0,0,0,1,50\n", by_position=True)
    assert six.names == ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")
    assert six.labels.tolist() == [[1, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize("value", ["2", "-1", "0.5", "yes", "inf"])
def test_a_label_is_0_1_or_empty(join, value):
    with refuse("l.csv", "line 3", "'SB'", value, "0, 1 or empty"):
        join(TABLE, LABELS.replace("b,0,1", f"b,0,{value}"))


def test_labels_may_be_spelled_in_some_ways(join):
    found = join(TABLE, "recording,AF,SB\na,True,0.0\nb,FALSE,1.0\nc, ,true\n")
    np.testing.assert_array_equal(found.labels, TRUTH)


def test_other_numbers_of_rows_without_ids_are_refused(join):
    with refuse("p.csv has 3", "l.csv 2", "line by line", "ids"):
        join(BARE, "AF,SB\n1,0\n0,1\n", by_position=True)
    with refuse("p.npy has 3", "l.csv 2"):
        join(VALUES, "AF,SB\n1,0\n0,1\n", names=NAMES, by_position=True)


def test_an_id_that_repeats_among_the_labels_is_refused(join):
    with refuse("l.csv", "lines 2 and 5", "recording a", "unique"):
        join(TABLE, LABELS + "a,0,0\n")


def test_recordings_that_do_not_match_are_refused_or_left_out_as_asked(join):
    fewer, more = "recording,AF,SB\nc,,1\na,1,0\n", LABELS + "d,1,1\n"
    with refuse("l.csv", "1 of the 3 recordings of", "p.csv", "the first b", "--partial"):
        join(TABLE, fewer)
    with refuse("p.csv", "1 of the 4 recordings of", "l.csv", "the first d", "--partial"):
        join(TABLE, more)
    found = join(TABLE, fewer, partial=True)
    assert found.ids.tolist() == ["a", "c"]
    np.testing.assert_array_equal(found.labels, TRUTH[[0, 2]])
    np.testing.assert_array_equal(found.probabilities, VALUES[[0, 2]])
    assert join(TABLE, more, partial=True).ids.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("partial", [False, True])
def test_ids_that_do_not_match_at_all_are_refused_showing_one_of_each(join, partial):
    with refuse("p.csv", "l.csv", "share no recording", "'a'", "'x1'", "spelled alike"):
        join(TABLE, "recording,AF,SB\nx1,1,0\nx2,0,1\nx3,1,1\n", partial=partial)


def test_a_recording_that_could_not_be_predicted_is_no_reason_to_refuse_the_labels_of_others(join):
    text = "recording,AF,SB,quality\na,0.1,0.2,\nb,,,no signal\nc,0.5,0.6,\n"
    with refuse("p.csv", "the first d"):
        join(text, LABELS + "d,1,1\n")


def test_the_split_of_a_file_may_be_scored_with_the_labels_of_all(read, write):
    """The others do stand in both files."""
    file = read(RUN).take_split("test")
    labels = label_files.read_labels(write("l.csv", "recording,AF,SB\nv,1,0\nt1,0,1\nt2,1,0\nt3,1,0\n"))
    found = label_files.join(file, labels).predictions
    assert found.ids.tolist() == ["t1", "t2"]
    assert found.labels.tolist() == [[0, 1], [1, 0]]


def test_a_name_for_titles_is_that_of_the_file():
    assert prediction_files.describe("/data/my.run/model b.csv") == "model b"
