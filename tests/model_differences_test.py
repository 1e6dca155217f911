"""Two models on the same recordings."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ecg_jax.errors import InputError
from ecg_jax.evaluation import agreement, auroc_intervals, closed_intervals, metrics, model_differences, tally
from ecg_jax.evaluation.agreement import adjust_holm
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import GIVEN, Thresholds

NAN = np.nan
HALF = Thresholds(np.array([0.5, 0.5]), "", GIVEN)
FEW = Settings(resamples=200)


def draw(noise, size=400, seed=0):
    """A model of two labels whose probabilities are right up to noise; its recordings depend on the seed only."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((size, 2)) < 0.4).astype(float)
    probabilities = np.clip(0.3 + 0.4 * labels + noise * rng.normal(size=(size, 2)), 0, 1)
    return Predictions(np.arange(size).astype(str), ("AF", "SB"), labels, probabilities)


def compare(first, second, settings=FEW, thresholds=(HALF, HALF)):
    return model_differences.compare(first, second, thresholds, settings).set_index(["label", "metric"])


def test_a_model_does_not_differ_from_itself():
    table = compare(draw(0.3), draw(0.3))
    assert (table["difference"] == 0).all()
    assert (table["p"] == 1).all()
    ends = table[["difference_low", "difference_high"]]
    assert ((ends == 0) | ends.isna()).all(axis=None)
    assert (table["p_holm"].drop("macro") == 1).all()


def test_there_is_a_row_per_label_and_macro_and_metric():
    table = model_differences.compare(draw(0.2), draw(0.3), (HALF, HALF), FEW)
    names = [*metrics.list_metrics(FEW), "accuracy"]
    assert list(table.columns) == model_differences.COLUMNS
    assert table["label"].tolist() == ["AF"] * 12 + ["SB"] * 12 + ["macro"] * 11
    assert table["metric"].tolist() == names * 2 + names[:-1]
    assert set(table["test"]) == {"bootstrap", "DeLong", "McNemar"}


def test_a_planted_difference_is_found():
    table = compare(draw(0.2), draw(0.5))
    better = table.drop("brier", level="metric").drop("accuracy", level="metric")
    assert (better["difference_low"] > 0).all()
    assert (better["difference_low"] < better["difference"]).all()
    assert (better["difference"] < better["difference_high"]).all()
    assert (better["p"] < 0.02).all()
    assert (table.xs("brier", level="metric")["difference_high"] < 0).all()


def test_exchanging_the_models_changes_the_sign():
    one, other = compare(draw(0.2), draw(0.3)), compare(draw(0.3), draw(0.2))
    np.testing.assert_allclose(other["difference"], -one["difference"], atol=1e-12)
    np.testing.assert_allclose(other["difference_low"], -one["difference_high"], atol=1e-12)
    np.testing.assert_allclose(other["p"], one["p"], atol=1e-12)


def test_values_are_those_of_either_model_and_macro_is_their_mean():
    first, second = draw(0.2), draw(0.3)
    table = compare(first, second)
    made = tally.create(first.labels[:, 0], first.probabilities[:, 0], first.probabilities[:, 0] >= 0.5)
    expected = {name: value[0] for name, value in tally.compute_scores(made, np.ones((400, 1)), FEW).items()}
    assert table.loc["AF", "first"].drop("accuracy").to_dict() == pytest.approx(expected)
    for name in metrics.list_metrics(FEW):
        both = (table.loc[("AF", name), "difference"] + table.loc[("SB", name), "difference"]) / 2
        assert table.loc[("macro", name), "difference"] == pytest.approx(both)


def test_aurocs_are_compared_by_delong():
    first, second = draw(0.2), draw(0.25)
    row = compare(first, second).loc[("AF", "auroc")]
    test = auroc_intervals.compare(first.labels[:, 0] == 1, first.probabilities[:, 0], second.probabilities[:, 0])
    assert row["test"] == "DeLong"
    expected = [test.difference, test.low, test.high, test.p]
    np.testing.assert_allclose(row[["difference", "difference_low", "difference_high", "p"]].astype(float), expected)


def test_recordings_that_are_repeated_under_their_patient_change_nothing():
    # but for the bootstrap, which draws patients by their names' order: here that of the recordings
    names = np.array([f"{i:03d}" for i in range(400)])
    once = [dataclasses.replace(each, patients=names) for each in (draw(0.3), draw(0.35))]
    often = [dataclasses.replace(each.take(np.tile(np.arange(400), 5)), ids=np.arange(2000)) for each in once]
    one, five = compare(*once), compare(*often)
    columns = ["first", "second", "difference", "difference_low", "difference_high", "p", "p_holm"]
    np.testing.assert_allclose(five[columns].astype(float), one[columns].astype(float), atol=1e-12)
    alone = compare(*(dataclasses.replace(each, patients=None) for each in once))
    pd.testing.assert_frame_equal(alone, one)
    taken = compare(*often, Settings(resamples=0, resampled="recordings"))
    assert taken.loc[("AF", "accuracy"), "p"] < one.loc[("AF", "accuracy"), "p"] / 2
    assert taken.loc[("AF", "auroc"), "p"] < one.loc[("AF", "auroc"), "p"] / 2


def test_recall_and_specificity_are_compared_by_the_decisions_on_either_class():
    first, second = draw(0.3), draw(0.4)
    table, truth = compare(first, second), first.labels[:, 0] == 1
    right = [(each.probabilities[:, 0] >= 0.5) == truth for each in (first, second)]
    for name, chosen in {"recall": truth, "specificity": ~truth}.items():
        row, (one, two) = table.loc[("AF", name)], (each[chosen] for each in right)
        assert row["difference"] == pytest.approx(one.mean() - two.mean())
        np.testing.assert_allclose(
            row[["difference_low", "difference_high"]].astype(float), closed_intervals.find_difference(one, two)
        )
        assert row["p"] == agreement.compute_mcnemar(np.sum(one & ~two), np.sum(two & ~one))
        assert row["test"] == "McNemar"


def test_ranking_scores_are_compared_before_recalibration():
    first, second = draw(0.3), draw(0.4)
    stepwise = [dataclasses.replace(each, raw=each.probabilities, probabilities=np.round(each.probabilities, 1))
                for each in (first, second)]  # fmt: skip
    one, two = compare(first, second), compare(*stepwise)
    for name in ("auroc", "average_precision", "partial_auroc"):
        expected = one.xs(name, level="metric").drop(columns="test").astype(float)
        np.testing.assert_allclose(two.xs(name, level="metric").drop(columns="test").astype(float), expected, atol=1e-9)
    assert two.loc[("AF", "brier"), "first"] != one.loc[("AF", "brier"), "first"]


def test_accuracy_is_compared_by_mcnemar():
    # of 20 recordings both are right in 6, only the first in 9, only the second in 5; one is unknown
    labels = np.ones((21, 1))
    labels[20] = NAN
    first, second = np.full((21, 1), 0.9), np.full((21, 1), 0.9)
    first[15:20], second[6:15] = 0.1, 0.1
    ids, half = np.arange(21).astype(str), Thresholds(np.array([0.5]), "", GIVEN)
    row = compare(
        Predictions(ids, ("AF",), labels, first), Predictions(ids, ("AF",), labels, second), thresholds=(half, half)
    ).loc[("AF", "accuracy")]
    np.testing.assert_allclose(row[["first", "second", "difference"]].astype(float), [15 / 20, 11 / 20, 4 / 20])
    assert row["p"] == pytest.approx(6946 / 16384)  # twice the lower tail of 5 in 14
    # Newcombe's method 10: Wilson 0.531299-0.888138 and 0.342085-0.741802; phi (6 * 0 - 9 * 5) / 7425^0.5 = -0.522233
    down = np.sqrt((0.75 - 0.531299) ** 2 + 2 * 0.522233 * (0.75 - 0.531299) * 0.191802 + 0.191802**2)
    up = np.sqrt((0.888138 - 0.75) ** 2 + 2 * 0.522233 * 0.138138 * (0.55 - 0.342085) + (0.55 - 0.342085) ** 2)
    np.testing.assert_allclose(
        row[["difference_low", "difference_high"]].astype(float), [0.2 - down, 0.2 + up], atol=2e-6
    )


def test_p_values_are_adjusted_over_the_labels_of_a_metric():
    table = compare(draw(0.2), draw(0.23))
    for name in (*metrics.list_metrics(FEW), "accuracy"):
        p = table["p"].drop("macro").xs(name, level="metric").to_numpy()
        np.testing.assert_allclose(table["p_holm"].drop("macro").xs(name, level="metric"), adjust_holm(p))
    assert table.loc["macro", "p_holm"].isna().all()


def test_a_label_of_one_class_is_undefined_and_not_in_the_average():
    first, second = draw(0.2), draw(0.3)
    first.labels[:, 1] = second.labels[:, 1] = 0
    table = compare(first, second)
    assert table.loc[("SB", "auroc"), ["first", "second", "difference", "p", "p_holm"]].isna().all()
    for column in ("difference", "difference_low", "difference_high", "p"):
        assert table.loc[("macro", "f1"), column] == table.loc[("AF", "f1"), column]


def test_without_resamples_there_are_tests_without_resampling_only():
    table = compare(draw(0.2), draw(0.3), Settings(resamples=0))
    has_p = table["p"].notna()
    assert set(table["test"][has_p]) == {"DeLong", "McNemar"}
    assert table["test"][~has_p].unique().tolist() == ["bootstrap"]
    assert table["difference"].notna().all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"ids": np.arange(400)[::-1].astype(str)}, "the same recordings and labels; these differ"),
        ({"names": ("SB", "AF")}, "the same recordings and labels; these differ"),
        ({"labels": np.zeros((400, 2))}, "the same truth; these labels differ"),
    ],
)
def test_models_of_other_recordings_labels_or_truths_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        compare(draw(0.2), dataclasses.replace(draw(0.2), **change))


def test_unknown_truths_are_the_same_truth():
    first, second = draw(0.2), draw(0.2)
    first.labels[:50, 0] = second.labels[:50, 0] = NAN
    assert compare(first, second)["difference"].eq(0).all()
