"""What `predict` writes is read alike from every format, with the thresholds that it has; what else is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from embed_test import create as create_model
from prediction_files_test import refuse

from ecg_jax import files
from ecg_jax.data import prediction_files, prediction_tables
from ecg_jax.evaluation import scores
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import STATED, UNCHECKED
from ecg_jax.inference import evaluated_files, parquet, writers
from ecg_jax.inference.predict import Measured, Prediction

FORMATS = ("p.csv", "p.json", "p.parquet", "parts")
UNKNOWN = np.full(2, np.nan, np.float32)
TRUTH = pd.DataFrame(
    {
        "path": [f"ecgs/{i}.hea" for i in range(6)],
        "Patient ID": ["p", "p", "q", "r", "s", "t"],
        "a": [1, 0, 1, 0, 1, 0],
        "b": [0, 0, 1, 1, 1, 0],
        "age": [50, 60, 70, 80, 40, 30],
    }
)


@pytest.fixture(scope="module")
def model():
    thin = create_model("narrow")
    return dataclasses.replace(thin, thresholds={"a": 0.25, "b": 0.5}, unchosen=("b",))


def list_made():
    """Six recordings, of which the last has no signal; raw probabilities in another order than the calibrated ones."""
    values = np.random.default_rng(0).random((5, 2, 2)).astype(np.float32)
    made = [Prediction(f"ecgs/{i}", *pair, quality="=odd" if i else "") for i, pair in enumerate(values)]
    known = Measured({"qrs": 90.0, "pr": float("nan")}, [], {})
    return [
        *(dataclasses.replace(each, measured=known) for each in made),
        Prediction("ecgs/5", UNKNOWN, UNKNOWN, "no signal"),
    ]


def write(path, model, made):
    path.parent.mkdir(exist_ok=True)
    with files.Replacement(str(path), **writers.choose_mode(str(path))) as replacement:
        table = writers.create_table(str(path), replacement.file, model, ("qrs", "pr"))
        for each in made:
            table.add(each)
        table.close()
        replacement.commit()
    return str(path)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """The same predictions in every format, and their truth."""
    place, made = tmp_path_factory.mktemp("formats"), list_made()
    for name in FORMATS[:3]:
        write(place / name, model, made)
    for number, part in enumerate((made[:4], made[4:])):
        write(place / "parts" / f"00000{number}.parquet", model, part)
    TRUTH.to_csv(place / "truth.csv", index=False)
    return place


def open_file(folder, name, **how):
    files = evaluated_files.Files(str(folder / name), str(folder / "truth.csv"))
    return evaluated_files.open_file(dataclasses.replace(files, **how))


@pytest.mark.parametrize("name", FORMATS)
def test_what_predict_wrote_is_evaluated_alike_from_every_format(folder, name):
    wanted, found = open_file(folder, "p.csv"), open_file(folder, name)
    one, other = wanted.predictions, found.predictions
    assert other.names == ("a", "b")
    assert other.ids.tolist() == [f"ecgs/{i}" for i in range(5)]
    assert other.patients.tolist() == ["p", "p", "q", "r", "s"]
    np.testing.assert_allclose(other.probabilities, [each.probabilities for each in list_made()[:5]], rtol=1e-5)
    np.testing.assert_allclose(other.raw, one.raw, rtol=1e-5)
    assert other.attributes.keys() == one.attributes.keys()
    assert other.attributes["qrs"].tolist() == [90] * 5
    assert other.attributes["age"].tolist() == [50, 60, 70, 80, 40]
    assert [(each.recording, each.problem) for each in found.left_out] == [("ecgs/5", "no signal")]
    given = wanted.choose_thresholds(Settings(), given=["a=0.25", "b=0.5"]).thresholds
    tables = [scores.compute(each, given, Settings(resamples=0)).table for each in (one, other)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)


@pytest.mark.parametrize("name", FORMATS[1:])
def test_the_models_thresholds_are_those_that_the_file_states(folder, name):
    found = open_file(folder, name)
    stated = found.choose_thresholds(Settings()).thresholds
    assert (stated.values.tolist(), stated.source, stated.unchosen) == ([0.25, 0.5], STATED, ("b",))
    assert stated.warnings[0] == UNCHECKED
    assert found.choose_thresholds(Settings(), rule="youden").thresholds.source == "cross-fitted"
    assert (
        evaluated_files.open_file(
            evaluated_files.Files(str(folder / name), str(folder / "truth.csv")), "none"
        ).thresholds
        is None
    )  # which are those of recalibrated probabilities
    assert open_file(folder, name, names=("b",)).thresholds.values.tolist() == [0.5]


def test_a_csv_states_no_thresholds(folder):
    assert open_file(folder, "p.csv").thresholds is None


def test_another_file_of_any_format_is_compared_and_keeps_its_thresholds(folder):
    first = open_file(folder, "p.json")
    other = evaluated_files.open_other_file(evaluated_files.Files(str(folder / "parts")), first)
    np.testing.assert_allclose(other.predictions.probabilities, first.predictions.probabilities, rtol=1e-5)
    assert other.thresholds.values.tolist() == [0.25, 0.5]


def test_odd_labels_have_the_same_columns_in_every_format(model, tmp_path):
    labels = ("quality", "a_raw", "qrs", "a")
    odd = dataclasses.replace(create_model("narrow", labels), thresholds={})
    values = np.arange(4, dtype=np.float32) / 8
    made = Prediction("ecg", values, values + 0.5, "noise", measured=Measured({"qrs": 90.0}, [], {}))
    wanted, *others = (prediction_tables.read(write(tmp_path / name, odd, [made])).table for name in FORMATS[:3])
    assert wanted.columns[:5].tolist() == ["recording", *labels]
    assert wanted.columns[-1] == "quality_2"
    for found in others:
        assert {*found} <= {*wanted}
        for name in wanted.columns[1:-1]:
            numbers = [pd.to_numeric(table.get(name, pd.Series([np.nan]))) for table in (found, wanted)]
            np.testing.assert_allclose(*numbers, err_msg=name)
        assert found[["recording", "quality_2"]].values.tolist() == [["ecg", "noise"]]


def test_a_parquet_of_anybody_is_read_with_names_that_are_numbers(folder, tmp_path):
    table = pa.table({"ID": [1, 2], "a": [0.25, 0.5], "patient_id": [7.0, None], "site": ["x", ""]})
    pq.write_table(table, tmp_path / "mine.parquet")
    found = prediction_tables.read(str(tmp_path / "mine.parquet"))
    assert found.table["id"].tolist() == ["1", "2"]
    assert found.table["patient_id"].fillna("").tolist() == ["7", ""]
    assert found.table["site"].fillna("").tolist() == ["x", ""]
    assert (found.table["a"].tolist(), found.thresholds) == ([0.25, 0.5], {})


JSON = {"notice": "", "thresholds": {}, "recordings": [{"recording": "a", "quality": "", "probabilities": {"a": 0.5}}]}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["JSONDecodeError"]),
        (json.dumps([1, 2]), ["TypeError"]),
        (json.dumps({"rows": []}), ["'recordings'"]),
        (json.dumps({"recordings": [{"recording": "a", "quality": ""}]}), ["probabilities"]),
        (json.dumps({**JSON, "recordings": []}), ["no recording with probabilities"]),
        (json.dumps({**JSON, "thresholds": {"a": "high"}}), ["thresholds", "high", "0 to 1 by label"]),
        (json.dumps({**JSON, "thresholds": {"a": float("nan")}}), ["thresholds", "nan", "0 to 1"]),
        (json.dumps({**JSON, "thresholds": {"a": 7}}), ["thresholds", "7", "0 to 1"]),
        (json.dumps({**JSON, "thresholds_not_chosen": 4}), ["thresholds_not_chosen are 4", "list of labels"]),
        (json.dumps({**JSON, "thresholds_not_chosen": [4]}), ["thresholds_not_chosen are [4]"]),
        ("[" * 100_000, ["RecursionError"]),
    ],
    ids=[
        "empty",
        "list",
        "other",
        "no values",
        "no recordings",
        "thresholds",
        "nan",
        "seven",
        "not chosen",
        "not named",
        "deep",
    ],
)
def test_json_of_others_is_refused(tmp_path, content, parts):
    (tmp_path / "p.json").write_text(content)
    with refuse("p.json", *parts):
        prediction_tables.read(str(tmp_path / "p.json"))


def test_what_belongs_to_a_label_is_spelled_as_the_label(tmp_path):
    row = {"recording": "x", "quality": "", "probabilities": {"af": 0.5}, "raw": {"af": 0.4}}
    content = {**JSON, "thresholds": {"af": 0.25}, "thresholds_not_chosen": ["af"], "recordings": [row]}
    (tmp_path / "p.json").write_text(json.dumps(content))
    found = prediction_tables.read(str(tmp_path / "p.json"))
    assert [*found.table] == ["recording", "AF", "AF_raw", "quality"]
    assert (found.thresholds, found.unchosen) == ({"AF": 0.25}, ("AF",))
    (tmp_path / "p.csv").write_text("recording,af,af_raw,af_true,x_true\na,0.1,0.2,1,1\n")
    table = prediction_tables.read(str(tmp_path / "p.csv")).table
    assert [*table] == ["recording", "AF", "AF_raw", "AF_true", "x_true"]


def test_rows_of_parquet_are_called_by_their_recordings(tmp_path):
    table = pd.DataFrame({"recording": ["r1", "r2"], "a": ["0.1", "high"]})
    table.to_parquet(tmp_path / "p.parquet")
    with refuse("recording r2, column 'a' holds high"):
        prediction_files.read_predictions(str(tmp_path / "p.parquet"))
    table.assign(recording="r1", a=0.5).to_parquet(tmp_path / "p.parquet")
    with refuse("rows 1 and 2, column 'recording': recording r1 occurs 2 times"):
        prediction_files.read_predictions(str(tmp_path / "p.parquet"))
    table.drop(columns="recording").to_parquet(tmp_path / "p.parquet")
    with refuse("row 2, column 'a' holds high"):
        prediction_files.read_predictions(str(tmp_path / "p.parquet"))


def test_files_that_are_being_written_are_no_parts(folder, tmp_path):
    whole = Path(folder / "p.parquet").read_bytes()
    for name in ("part-0.PARQUET", ".tmp.parquet", "._part-0.parquet", "_metadata.parquet"):
        (tmp_path / name).write_bytes(whole if name[0] == "p" else b"cut")
    assert len(prediction_tables.read(str(tmp_path)).table) == 6


def test_parquet_that_cannot_be_right_is_refused(folder, model, tmp_path):
    whole = Path(folder / "p.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-20])
    with refuse("cut.parquet", "not a readable Parquet file"):
        prediction_tables.read(str(tmp_path / "cut.parquet"))
    with refuse("none.parquet", "no such file"):
        prediction_tables.read(str(tmp_path / "none.parquet"))
    pq.write_table(pa.table({"recording": ["a"], "a": [[0.5]]}), tmp_path / "nested.parquet")
    with refuse("nested.parquet", "column a holds list", "expected numbers or text"):
        prediction_tables.read(str(tmp_path / "nested.parquet"))
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts" / "0.parquet", model, list_made()[:1])
    with open(tmp_path / "parts" / "1.parquet", "wb") as file:
        parquet.ParquetTable(file, dataclasses.replace(model, thresholds={"a": 0.3})).close()
    with refuse("1.parquet", "other columns or thresholds", "0.parquet"):
        prediction_tables.read(str(tmp_path / "parts"))


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (("a_raw", "a"), "called a_raw, as the column of a before calibration in predictions.csv"),
        (("a", "a_true"), "called a_true, as the column of a's truth"),
        (("AF", "split"), "called split, as another column"),
    ],
)
def test_labels_called_as_other_columns_of_a_run_are_refused(names, part):
    prediction_tables.check_labels(("a", "b_raw", "b_rawer"))
    with refuse(part, "rename it in the data"):
        prediction_tables.check_labels(names)
