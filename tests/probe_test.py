"""The probe: what is tested on, what may choose, and the scores of numbers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ecg_jax.data.datasets.dataset import Dataset

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SIZE = 200


@pytest.fixture(scope="module")
def regressions():
    spec = importlib.util.spec_from_file_location("regressions", EXPERIMENTS / "regressions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).normal(size=(SIZE, 4))


def create(values, **changes):
    """Two labels and an age of 200 recordings; the first label and the age are linear in what is embedded."""
    rng = np.random.default_rng(1)
    side = np.array(["train"] * 90 + ["validation"] * 10 + ["test"] * 60 + [""] * 40)
    columns = {"mine": (values[:, 0] > 0).astype(np.float32), "rare": np.zeros(SIZE, np.float32)}
    columns["rare"][:9] = columns["rare"][100:120] = 1
    age = (50 + 10 * values[:, 1] + rng.normal(0, 0.1, SIZE)).astype(np.float32)
    known = {"columns": columns, "attributes": {"age": age}, "split": side, "patients": np.arange(SIZE).astype(str)}
    parts = np.where(np.arange(SIZE) < 160, "ptbxl", "ludb")
    ids = np.array([f"{part}/{i}" for i, part in enumerate(parts)])
    return Dataset(name="combined", ids=ids, read=None, **known | changes)


def test_the_test_split_is_tested_once_per_recording_and_a_part_without_a_split_as_a_whole(regressions, values):
    origins = np.full(SIZE, "")
    origins[[100, 105, 3]] = "ptbxl/7"  # twice in the test split, and in the training split
    tests = regressions.list_tests(create(values, origins=origins))
    assert {name: rows.tolist() for name, rows in tests.items()} == {
        "test split": [row for row in range(100, 160) if row != 105],
        "ludb": list(range(160, 200)),
    }


def test_what_is_linear_is_found_in_every_test_set_and_a_rare_label_is_not_fitted(regressions, values):
    dataset = create(values)
    labels, numbers = regressions.fit_all(values, dataset, ["age"])
    assert [*labels] == ["mine"]  # the other one has 9 positives to fit
    table = regressions.score_all(dataset, regressions.list_tests(dataset), labels, numbers, 50)
    table = table.set_index(["set", "label"])
    for name, count in {"test split": 60, "ludb": 40}.items():
        assert table.loc[name, "mine"]["n"] == table.loc[name, "age"]["n"] == count
        assert table.loc[name, "mine"]["auroc"] > 0.97
        assert table.loc[name, "age"]["mae"] < 0.5
        assert table.loc[name, "age"]["r2"] > 0.99


def test_nothing_of_a_test_set_reaches_the_regressions(regressions, values):
    before = regressions.fit_all(values, create(values), ["age"])
    others, is_test = values.copy(), np.arange(SIZE) >= 100
    others[is_test] = 1e3
    dataset = create(values)
    dataset.columns["mine"][is_test], dataset.attributes["age"][is_test] = 1, 1e6
    after = regressions.fit_all(others, dataset, ["age"])
    for one, two in zip(before, after, strict=True):
        for name, predicted in one.items():
            np.testing.assert_array_equal(predicted[~is_test], two[name][~is_test])


def test_mean_absolute_error_and_r2_by_hand(regressions):
    """Errors 0, 2, -2, 0 of 1, 3, 5, 7: mean 1; 1 - 8 / 20."""
    truth, predicted = np.array([1.0, 3, 5, 7]), np.array([1.0, 1, 7, 7])
    found = regressions.score_number(truth, predicted, np.arange(4), 200)
    assert (found["mae"], found["r2"]) == pytest.approx((1, 0.6))
    assert found["mae_low"] < 1 < found["mae_high"]


def test_recordings_of_one_patient_are_drawn_together(regressions):
    """Two patients, whose recordings are all off by 1 and by 3: a resample has one of them, or both."""
    truth, error = np.arange(10.0), np.repeat([1.0, 3.0], 5)
    found = regressions.score_number(truth, truth + error, np.repeat([0, 1], 5), 200)
    assert (found["mae_low"], found["mae"], found["mae_high"]) == pytest.approx((1, 2, 3))


def test_the_floor_of_a_number_is_the_median_of_what_fits(regressions, values):
    age = np.full(SIZE, 90.0, np.float32)
    age[:100] = np.arange(100)
    age[99] = np.nan
    floor = regressions.compute_median(create(values, attributes={"age": age}), ["age"])
    assert floor["age"].tolist() == [49.0] * SIZE
