"""Predicted numbers: errors along the range, groups of recordings, two models, warnings, and what the page shows."""

import dataclasses

import numpy as np
import pytest

from ecg_jax.errors import InputError
from ecg_jax.evaluation import model_differences, regression_analysis, tenths
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.kinds import NUMBER
from ecg_jax.reporting import regression_figures, regression_report

import matplotlib.pyplot as plt  # isort: skip

NAN = np.nan
FEW = Settings(resamples=100)
NONE = Settings(resamples=0)


@pytest.fixture(autouse=True)
def closed():
    """No figure is left open."""
    yield
    plt.close("all")


def create(truth, predicted, **others):
    truth, predicted = (np.asarray(each, float).reshape(len(each), -1) for each in (truth, predicted))
    names = ("age", "lvef", "potassium", *(f"number {i}" for i in range(3, truth.shape[1])))[: truth.shape[1]]
    return Predictions(np.arange(len(truth)).astype(str), names, truth, predicted, kind=NUMBER, **others)


def draw(size=300, labels=1, noise=6.0, seed=0, **others):
    """Predictions that regress to the mean: slope 0.7 of prediction on truth."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(60, 15, (size, labels))
    return create(truth, 60 + 0.7 * (truth - 60) + rng.normal(0, noise, truth.shape), **others)


def test_tenths_by_hand():
    """Twenty recordings, of two parts; the five of truth 9 are together."""
    truth = [*range(9), *[9] * 5, *range(10, 16)]
    table = tenths.compute(create(truth[::-1], [value + (2 if value < 9 else -1) for value in truth][::-1]), NONE)
    assert list(table) == tenths.COLUMNS
    assert table["n"].tolist() == [9, 11]
    assert table[["from", "to"]].to_numpy().tolist() == [[0, 8], [9, 15]]
    assert table["mean_true"].tolist() == pytest.approx([4, (5 * 9 + 75) / 11])
    assert table["error"].tolist() == pytest.approx([2, -1])
    assert table["mean_predicted"].tolist() == pytest.approx((table["mean_true"] + table["error"]).tolist())


def test_tenths_show_regression_to_the_mean():
    table = tenths.compute(draw(2000), FEW)
    assert len(table) == 10
    assert table["n"].sum() == 2000
    assert (np.diff(table["error"]) < 0).all()
    assert np.polyfit(table["mean_true"], table["error"], 1)[0] == pytest.approx(-0.3, abs=0.02)
    assert table["error_low"].iloc[0] > 0 > table["error_high"].iloc[-1]
    assert ((table["error_low"] < table["error"]) & (table["error"] < table["error_high"])).all()


def test_the_interval_of_a_tenth_is_students():
    """Up to the bootstrap's noise, of errors that are normal."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(10.0), 40)
    error = rng.normal(0, 3, 400)
    table = tenths.compute(create(truth, truth + error), Settings(resamples=2000))
    reach = 2.0227 * np.std(error.reshape(10, 40), axis=1, ddof=1) / 40**0.5  # of 39 degrees of freedom
    np.testing.assert_allclose((table["error_high"] - table["error_low"]) / 2, reach, rtol=0.12)


@pytest.mark.parametrize("truth", [[NAN, NAN], [NAN, 4.0]])
def test_tenths_of_next_to_nothing(truth):
    assert len(tenths.compute(create(truth, [1, 2]), FEW)) == np.isfinite(truth).sum()


def test_groups_have_their_own_scores_and_their_distance_from_the_others():
    sex = np.tile(["F", "M"], 150)
    predictions = draw(attributes={"sex": sex})
    predictions.probabilities[sex == "F"] += 5
    table = regression_analysis.analyse(predictions, FEW).subgroups
    assert "positives" not in table
    found = table.set_index(["group", "metric"])
    assert list(found.loc["F"].index) == ["mae", "bias", "r2"]
    error = (predictions.probabilities - predictions.labels)[:, 0]
    truth = predictions.labels[sex == "F", 0]
    row = found.loc[("F", "bias")]
    assert row["n"] == 150
    assert row["value"] == pytest.approx(error[sex == "F"].mean())
    assert row["others"] == pytest.approx(error[sex == "M"].mean())
    assert row["difference"] == pytest.approx(row["value"] - row["others"])
    assert row["difference_low"] < 5 < row["difference_high"]
    assert row["p_holm"] < 0.05
    # R2 is against the mean of the group.
    assert found.loc[("F", "r2"), "value"] == pytest.approx(
        1 - np.mean(error[sex == "F"] ** 2) / np.mean((truth - truth.mean()) ** 2)
    )


def test_no_gap_is_found_where_there_is_none():
    """Of 200 labels, one in twenty has a gap of MAE with p < 0.05."""
    predictions = draw(80, labels=200, attributes={"sex": np.tile(["F", "M"], 40)})
    table = regression_analysis.analyse(predictions, FEW).subgroups
    p = table["p"][(table["metric"] == "mae") & (table["group"] == "F")]
    assert len(p) == 200
    assert 0.02 <= np.mean(p < 0.05) <= 0.09


def test_a_model_does_not_differ_from_itself():
    predictions = draw(labels=2)
    table = model_differences.compare_numbers(predictions, predictions, FEW)
    assert list(table) == model_differences.COLUMNS
    assert table["metric"].tolist() == ["mae", "rmse", "r2"] * 2
    assert (table[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    assert (table["p"] == 1).all()


def test_the_difference_of_two_models_by_hand_and_paired():
    truth = np.linspace(20, 90, 200)
    error = np.random.default_rng(0).normal(0, 5, 200)
    first, second = create(truth, truth + error), create(truth, truth + 1.2 * error)
    table = model_differences.compare_numbers(first, second, Settings(resamples=300)).set_index("metric")
    assert table.loc["mae", "difference"] == pytest.approx(-0.2 * np.abs(error).mean())
    assert table.loc["rmse", "difference"] == pytest.approx(-0.2 * np.mean(error**2) ** 0.5)
    assert table.loc["r2", "difference"] == pytest.approx(0.44 * np.mean(error**2) / truth.var())
    # The errors are the same but for a factor: the difference of MAE is a fifth as uncertain as the MAE.
    width = table.loc["mae", "difference_high"] - table.loc["mae", "difference_low"]
    assert width == pytest.approx(0.2 * 2 * 1.96 * np.abs(error).std() / 200**0.5, rel=0.15)
    assert (table["p"] < 0.01).all()
    assert (table["test"] == "bootstrap").all()


def test_models_of_other_recordings_or_truth_are_not_compared():
    predictions = draw(20)
    with pytest.raises(InputError, match="same recordings"):
        model_differences.compare_numbers(predictions, predictions.take(np.arange(19)), NONE)
    other = dataclasses.replace(predictions, labels=predictions.labels + 1)
    with pytest.raises(InputError, match="same truth"):
        model_differences.compare_numbers(predictions, other, NONE)


def test_warnings():
    truth = np.stack([np.arange(40.0), np.full(40, 5.0), np.r_[np.arange(10.0), np.full(30, NAN)]], axis=1)
    predicted = np.stack([np.full(40, 99.0), np.arange(40.0), truth[:10, 2].repeat(4)], axis=1)
    warnings = regression_analysis.analyse(create(truth, predicted), NONE).warnings
    assert warnings[0].startswith("constant predictions: age;")
    assert warnings[1].startswith("constant truth: lvef;")
    assert "fewer than 30 recordings" in warnings[2]
    assert "potassium (10 recordings)" in warnings[2]
    assert "age: the mean absolute error, 79.5, is not below that of always predicting the median" in warnings[3]
    assert "10" in warnings[3]
    assert regression_analysis.analyse(draw(), NONE).warnings == ()


def test_the_page_has_tables_and_figures_that_can_be_drawn():
    predictions = draw(60, labels=2, attributes={"sex": np.tile(["F", "M"], 30)})
    predictions.labels[:, 1] = NAN  # a panel without points
    found = regression_analysis.analyse(predictions, FEW, other=predictions)
    content = regression_report.describe(found, ("a", "b"))
    assert list(content.tables) == ["scores", "tenths", "subgroups", "comparison"]
    assert list(content.figures) == ["predicted", "agreement", "tenths"]  # no forest of two units
    assert content.key[0] == ("60", "recordings")
    assert content.key[1][1] == "MAE of age"
    named = {name for section in content.sections for name in (*section.tables, *section.figures)}
    assert {*content.tables, *content.figures} <= named
    for caption, plot in content.figures.values():
        figure = plot()
        assert caption.endswith(".")
        assert "no known number" in [text.get_text() for text in figure.axes[1].texts]


def test_a_point_is_drawn_where_its_numbers_are():
    truth, predicted = np.array([40.0, 50, 60, 70, 80]), np.array([44.0, 49, 62, 66, 84])
    found = regression_analysis.analyse(create(truth, predicted), FEW)
    figures = {name: plot() for name, (_, plot) in regression_figures.plan(found).items()}
    points = figures["predicted"].axes[0].lines[0]
    np.testing.assert_array_equal(points.get_xydata(), np.stack([truth, predicted], axis=1))
    points, zero, bias, low, high = figures["agreement"].axes[0].lines
    np.testing.assert_array_equal(points.get_xydata(), np.stack([(truth + predicted) / 2, predicted - truth], axis=1))
    reach = 1.96 * 12**0.5
    assert [line.get_ydata()[0] for line in (zero, bias, low, high)] == pytest.approx([0, 1, 1 - reach, 1 + reach])


def test_many_points_are_counted_in_hexagons():
    found = regression_analysis.analyse(draw(3000), NONE)
    axes = regression_figures.plan(found)["predicted"][1]().axes[0]
    assert axes.collections[0].get_array().sum() == 3000
