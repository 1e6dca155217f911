"""Scores against numbers computed by hand."""

import numpy as np
import pytest

from ecg_jax.evaluation import metrics

NAN = np.nan


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    # positives 0.8 and 0.3, negatives 0.6 and 0.1: 0.8 beats both, 0.3 beats one
    auroc, _ = metrics.compute_ranking(np.array([1.0, 1, 0, 0]), np.array([0.8, 0.3, 0.6, 0.1]))
    assert auroc == pytest.approx(3 / 4)


def test_a_tie_counts_half_in_auroc():
    auroc, _ = metrics.compute_ranking(np.array([1.0, 0, 0]), np.array([0.5, 0.5, 0.2]))
    assert auroc == pytest.approx(3 / 4)


def test_average_precision_sums_precision_at_every_hit():
    # in falling order: hit (1/1), miss, hit (2/3), miss
    _, precision = metrics.compute_ranking(np.array([1.0, 1, 0, 0]), np.array([0.8, 0.3, 0.6, 0.1]))
    assert precision == pytest.approx((1 + 2 / 3) / 2)


def test_unknown_labels_are_left_out_of_the_ranking():
    label, probability = np.array([1.0, NAN, 1, 0, NAN, 0]), np.array([0.8, 0.0, 0.3, 0.6, 1.0, 0.1])
    assert metrics.compute_ranking(label, probability) == pytest.approx((3 / 4, (1 + 2 / 3) / 2))


@pytest.mark.parametrize(
    "label, expected", [([0, 0], (NAN, NAN)), ([1, 1], (NAN, 1.0)), ([NAN, NAN], (NAN, NAN)), ([NAN, 0], (NAN, NAN))]
)
def test_a_ranking_of_one_class_is_undefined(label, expected):
    found = metrics.compute_ranking(np.array(label, float), np.array([0.2, 0.7]))
    np.testing.assert_array_equal(found, expected)


def test_decisions_count_hits_misses_and_false_alarms():
    # called: 0.9 (hit), 0.5 (hit, at the threshold), 0.7 (false alarm); missed: 0.4; right: 0.1, 0.2, 0.3
    label = np.array([1.0, 1, 0, 1, 0, 0, 0])
    probability = np.array([0.9, 0.5, 0.7, 0.4, 0.1, 0.2, 0.3])
    expected = {"precision": 2 / 3, "recall": 2 / 3, "specificity": 3 / 4, "f1": 2 / 3}
    assert metrics.compute_decisions(label, probability, 0.5) == pytest.approx(expected)


def test_unknown_labels_are_left_out_of_decisions():
    label, probability = np.array([1.0, NAN, 0, NAN]), np.array([0.9, 0.9, 0.1, 0.1])
    expected = {"precision": 1.0, "recall": 1.0, "specificity": 1.0, "f1": 1.0}
    assert metrics.compute_decisions(label, probability, 0.5) == expected


def test_without_calls_precision_is_undefined_and_f1_is_zero():
    found = metrics.compute_decisions(np.array([1.0, 0]), np.array([0.2, 0.1]), 0.5)
    np.testing.assert_equal(found, {"precision": NAN, "recall": 0.0, "specificity": 1.0, "f1": 0.0})


def test_without_positives_recall_and_f1_are_undefined():
    found = metrics.compute_decisions(np.array([0.0, 0, 0, 0]), np.array([0.9, 0.1, 0.1, 0.1]), 0.5)
    np.testing.assert_equal(found, {"precision": 0.0, "recall": NAN, "specificity": 0.75, "f1": NAN})


def test_without_negatives_specificity_is_undefined():
    found = metrics.compute_decisions(np.array([1.0, 1]), np.array([0.9, 0.1]), 0.5)
    assert found == pytest.approx({"precision": 1.0, "recall": 0.5, "specificity": NAN, "f1": 2 / 3}, nan_ok=True)


LABELS = np.array([[1, 0, 0], [1, NAN, 0], [0, 1, 0], [0, 1, 0]], np.float32)
PROBABILITIES = np.array([[0.8, 0.1, 0.9], [0.3, 0.9, 0.1], [0.6, 0.7, 0.1], [0.1, 0.3, 0.1]], np.float32)


def test_the_table_has_a_row_per_label_and_a_macro_row():
    table = metrics.compute_scores(LABELS, PROBABILITIES, ("AF", "SB", "ST"), (0.5, 0.6, 0.5)).set_index("label")
    assert list(table.index) == ["AF", "SB", "ST", "macro"]
    assert table["n"].tolist() == [4, 3, 4, 4]
    assert table["positives"].tolist() == [2, 2, 0, 4]
    np.testing.assert_allclose(table["threshold"], [0.5, 0.6, 0.5, NAN])
    np.testing.assert_allclose(table.loc["AF", ["precision", "recall", "specificity", "f1"]].astype(float), [0.5] * 4)
    np.testing.assert_allclose(
        table.loc["SB", ["precision", "recall", "specificity", "f1"]].astype(float), [1, 0.5, 1, 2 / 3]
    )
    np.testing.assert_allclose(
        table.loc["ST", ["precision", "recall", "specificity", "f1"]].astype(float), [0, NAN, 0.75, NAN]
    )
    np.testing.assert_allclose(table["auroc"], [0.75, 1.0, NAN, 0.875])


def test_macro_is_the_mean_over_labels_where_defined():
    table = metrics.compute_scores(LABELS, PROBABILITIES, ("AF", "SB", "ST"), (0.5, 0.6, 0.5)).set_index("label")
    expected = {
        "auroc": (3 / 4 + 1) / 2,
        "average_precision": (5 / 6 + 1) / 2,
        "f1": (1 / 2 + 2 / 3) / 2,
        "precision": (1 / 2 + 1 + 0) / 3,
        "recall": (1 / 2 + 1 / 2) / 2,
        "specificity": (1 / 2 + 1 + 3 / 4) / 3,
    }
    assert table.loc["macro", list(expected)].to_dict() == pytest.approx(expected)


def test_the_table_survives_labels_that_nobody_knows():
    table = metrics.compute_scores(np.full((3, 1), NAN), np.full((3, 1), 0.5), ("AF",), (0.5,)).set_index("label")
    assert table.loc["AF", ["n", "positives"]].tolist() == [0, 0]
    assert table.loc[["AF", "macro"], list(metrics.MACRO_COLUMNS)].isna().all(axis=None)


def test_the_summary_is_macro_rankings_and_mean_cross_entropy():
    labels = np.array([[1, NAN], [0, 1], [1, 0]], np.float32)
    probabilities = np.array([[0.5, 0.9], [0.25, 0.8], [0.2, 0.4]], np.float32)
    # label 1: 0.5 > 0.25 > 0.2 is hit, miss, hit; label 2: perfect
    entropy = -np.mean(np.log([0.5, 0.75, 0.2, 0.8, 0.6]))
    expected = {"auroc": (1 / 2 + 1) / 2, "average_precision": ((1 + 2 / 3) / 2 + 1) / 2, "loss": entropy}
    assert metrics.compute_summary(labels, probabilities) == pytest.approx(expected, rel=1e-6)


def test_the_summary_leaves_out_labels_without_both_classes():
    summary = metrics.compute_summary(LABELS, PROBABILITIES)
    assert summary["auroc"] == pytest.approx((3 / 4 + 1) / 2)
    assert summary["average_precision"] == pytest.approx((5 / 6 + 1) / 2)


def test_a_summary_of_nothing_known_is_undefined():
    summary = metrics.compute_summary(np.full((3, 2), NAN), np.full((3, 2), 0.5))
    np.testing.assert_equal(summary, {"auroc": NAN, "average_precision": NAN, "loss": NAN})


def test_a_certain_mistake_costs_much_but_not_infinity():
    loss = metrics.compute_summary(np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]))["loss"]
    assert loss == pytest.approx(-np.log(1e-7), rel=1e-6)
