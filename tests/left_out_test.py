"""What is not scored is said and listed, and so is what columns and patients are taken for."""

import dataclasses
import io
import types

import numpy as np
import pandas as pd
import pytest
from published_runs_test import create_dataset, create_model
from rich.console import Console
from store_test import convert

from ecg_jax import labels as label_lib
from ecg_jax.data import column_roles
from ecg_jax.data.datasets import prepared
from ecg_jax.errors import InputError
from ecg_jax.evaluation import left_out
from ecg_jax.evaluation.left_out import LeftOut
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.inference import scoring
from ecg_jax.inference.evaluated import Evaluated
from ecg_jax.inference.evaluated_model import predict_model
from ecg_jax.labels import SIX
from ecg_jax.reporting import report

SIZE = 20


def draw(**known):
    rng = np.random.default_rng(0)
    labels = np.arange(SIZE)[:, None] % 2.0
    return Predictions(np.arange(SIZE).astype(str), ("AF",), labels, rng.random((SIZE, 1)), **known)


def score(folder, **known):
    """Evaluates without a report; returns the files and what was printed."""
    predictions = draw(attributes={"sex": np.tile(["F", "M"], SIZE // 2), "smoker": np.arange(SIZE) % 2.0})
    first = Evaluated("p", "all", predictions, **known).choose_thresholds(Settings(), given=["AF=0.5"])
    console = Console(record=True, width=300, file=io.StringIO())
    extras = scoring.Extras(has_report=False)
    written = scoring.evaluate(first, Settings(resamples=0), str(folder), console, command="main", extras=extras)
    return written, console.export_text()


def test_the_first_few_of_each_kind_are_said_with_their_reasons():
    broken = [LeftOut(f"x/{i}", f"/data/x/{i}: cut short", is_broken=True) for i in range(5)]
    lines = left_out.describe([*broken, LeftOut("y", "no signal")], "9 recordings")
    assert lines == [
        "5 of the 9 recordings could not be read or were refused and are left out: x/0 (cut short); x/1 (cut short); "
        "x/2 (cut short); and 2 more",
        "1 of the 9 recordings have no signal or no prediction and are left out: y (no signal)",
    ]
    assert left_out.describe([], "9 recordings") == []
    assert len(left_out.describe([LeftOut("y", "long " * 100)], "9 recordings")[0]) < 300


def test_all_are_listed_in_a_file_which_the_next_evaluation_replaces(tmp_path):
    lost = (LeftOut("a", "=cut short", is_broken=True), LeftOut("b", "no signal"))
    written, said = score(tmp_path, left_out=lost)
    assert str(tmp_path / "not_scored.csv") in written
    assert f"Recordings that are not scored, each with the reason: {tmp_path / 'not_scored.csv'}" in said
    assert (tmp_path / "not_scored.csv").read_text() == "recording,problem\na,'=cut short\nb,no signal\n"
    assert "not_scored" not in "".join(score(tmp_path)[0])
    assert not (tmp_path / "not_scored.csv").exists()


@pytest.mark.parametrize(
    ("quality", "problem", "is_broken"),
    [
        ("no signal", "no signal", False),
        ("no signal; V1 is flat", "no signal; V1 is flat", False),
        ("refused", "refused", True),
        ("", "no finite number", True),
    ],
)
def test_what_a_file_says_of_a_recording_without_prediction(quality, problem, is_broken):
    assert left_out.create("r", quality, "test") == ("r", problem, is_broken, "test")
    assert left_out.create("r", quality, reason="cut short").problem == "cut short"


def test_a_list_is_read_as_it_was_written(tmp_path):
    assert left_out.read_problems(str(tmp_path)) == {}
    left_out.write(str(tmp_path), [LeftOut("007", "=cut short", True, "test"), LeftOut("nan", "", split="validation")])
    assert left_out.read_problems(str(tmp_path)) == {"007": "=cut short", "nan": ""}


@pytest.fixture
def dataset():
    """Six recordings; of the two of each split `r1` cannot be read and `r2` has no signal."""
    whole = create_dataset("folder", 6)

    def read(i):
        if i == 1:
            raise InputError("/data/r1: cut short")
        recording = whole.read(i)
        return dataclasses.replace(recording, signal=0 * recording.signal) if i == 2 else recording

    return dataclasses.replace(whole, read=read)


def test_a_model_leaves_out_what_it_cannot_read_and_says_so(dataset):
    how = {"is_own": False, "needs_validation": True, "checks": "warn", "console": None}
    found = predict_model("model", create_model(SIX), dataset, split="test", **how)
    assert found.predictions.ids.tolist() == ["r5"]
    assert [(each.recording, each.is_broken, each.split) for each in found.left_out] == [
        ("r2", False, "test"),
        ("r1", True, "validation"),
    ]
    assert [line.partition(":")[0] for line in found.warnings] == [
        "1 of the 2 recordings have no signal or no prediction and are left out",
        "1 of the 2 recordings of the validation split could not be read or were refused and are left out",
    ]
    none = dataclasses.replace(dataset, split=np.array(["train", "test", "test", "train", "train", "train"]))
    with pytest.raises(InputError, match=r"no recording could be predicted .*r1 .*cut short"):
        predict_model("model", create_model(SIX), none, split="test", **how)


def test_what_a_store_lacks_is_left_out_of_the_whole_and_said_of_a_split(dataset, tmp_path):
    network = types.SimpleNamespace(apply=lambda _, signal: signal.sum(axis=(1, 2))[:, None] * np.zeros(len(SIX)))
    model = dataclasses.replace(create_model(SIX), network=network)
    convert(tmp_path, dataset, contract=model.contract)
    stored = prepared.create(source=str(tmp_path), labels=SIX)
    assert len(stored.ids) == 4
    how = {"is_own": False, "needs_validation": False, "checks": "warn", "console": None}
    found = predict_model("model", model, stored, split="all", **how)
    assert found.left_out == (LeftOut("r1", "/data/r1: cut short", True), LeftOut("r2", "no signal"))
    assert "1 of the 6 recordings could not be read or were refused and are left out: r1 (cut short)" in found.warnings
    part = predict_model("model", model, stored, split="test", **how)
    assert part.left_out == ()
    line = f"1 of the 6 recordings of all splits ({tmp_path / 'problems.csv'}) could not be read or were refused"
    assert any(each.startswith(line) for each in part.warnings)


# Columns


def read_wide(count=70):
    columns = {"path": [f"r{i}" for i in range(SIZE)], "AF": ["0", "1"] * (SIZE // 2)}
    columns |= {f"statement{i}": ["0", "1"] * (SIZE // 2) for i in range(count)}
    columns |= {
        "Age": ["50", "60"] * (SIZE // 2),
        "site": ["x"] * SIZE,
        "note": [None] * SIZE,
        "ecg_time": ["8:00"] * SIZE,
    }
    columns |= {"remark": [f"text {i}" for i in range(SIZE)]}
    return pd.DataFrame(columns)


def test_what_columns_are_taken_for_is_one_short_sentence():
    attributes = ["age", "site", *(f"statement{i}" for i in range(70))]
    found = column_roles.assign(read_wide(), ["AF"], attributes, recordings="path")
    assert found.describe("gold.csv") == (
        "Columns of gold.csv: 1 label: AF; 1 column that may make subgroups: age; 70 of 0 and 1 that are not scored "
        "(--subgroups=NAME makes subgroups): statement0, statement1, statement2, statement3, statement4 and 65 more; 1 "
        "not used, as they name, place, date, weigh or remark on a recording: ecg_time; 2 not used, as they have one "
        "value at most: site, note; 1 not used, as nearly all of their values differ: remark; recordings are named by "
        "path."
    )
    named = column_roles.assign(read_wide(0), ["AF"], [], recordings="path", patients="ecg_time")
    assert named.describe("gold.csv").endswith("; recordings are named by path; patients are named by ecg_time.")


def test_columns_of_zeros_and_ones_make_subgroups_only_where_they_are_named(tmp_path):
    score(tmp_path, on_request=("smoker",))
    assert {*pd.read_csv(tmp_path / "subgroups.csv")["column"]} == {"sex"}
    first = types.SimpleNamespace(predictions=draw(attributes={"smoker": np.zeros(SIZE)}), on_request=("smoker",))
    assert scoring._check_subgroups(["smoker"], first) == ["smoker"]


def test_a_data_sets_other_columns_of_zeros_and_ones_are_said():
    names = label_lib.Offered(("AF", "RBBB"))
    table = read_wide(2).rename(columns={"statement0": "CRBBB"})
    said = ["RBBB: read from column CRBBB", "1 columns of 0 and 1 are not used: statement1"]
    assert label_lib.describe_choice(names, table) == said
    assert label_lib.describe_choice(names, read_wide(0)) == []


# Patients


@pytest.mark.parametrize(
    ("patients", "resampled", "sentence"),
    [
        (None, "auto", "Patients are unknown: intervals and tests treat all recordings as independent."),
        (["p"] * 12 + ["q"] * 8, "auto", "Intervals and tests count 2 patients."),
        (
            ["p"] * 12 + [""] * 8,
            "patients",
            "Intervals and tests count 1 patients; 8 recordings of unknown patients count as one each.",
        ),
        (
            ["p", "q"] * 10,
            "recordings",
            "2 patients are known; intervals and tests count recordings all the same, as asked.",
        ),
    ],
)
def test_what_intervals_count_is_said(patients, resampled, sentence):
    predictions = draw(patients=None if patients is None else np.array(patients))
    settings = Settings(resampled=resampled)
    without = report.describe_patients(predictions, dataclasses.replace(settings, resamples=0))
    assert without.endswith(" known; without resamples there are no intervals.") == (patients is not None)
    assert report.describe_patients(predictions, settings) == sentence
    assert sentence in report.describe_recordings(predictions, settings)
