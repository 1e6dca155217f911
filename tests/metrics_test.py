"""Scores against numbers computed by hand."""

import warnings

import numpy as np
import pytest

from ecg_jax.errors import InputError
from ecg_jax.evaluation import metrics, tally
from ecg_jax.evaluation.settings import Settings

NAN = np.nan


def score(label, probability, threshold=0.5, **settings):
    label, probability = np.array(label, float), np.array(probability)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = tally.create(label, probability, probability >= threshold)
        found = tally.compute_scores(made, np.ones((len(label), 1)), Settings(**settings))
        return {name: float(value[0]) for name, value in found.items()}


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


ONE_CLASS = [
    ([0, 0], "no positives"),
    ([1, 1], "no negatives"),
    ([NAN, NAN], "no known label"),
    ([NAN, 0], "no positives"),
    ([1, NAN], "no negatives"),
]


@pytest.mark.parametrize("label, reason", ONE_CLASS)
def test_a_ranking_of_one_class_is_undefined_and_says_why(label, reason):
    label = np.array(label, float)
    np.testing.assert_array_equal(metrics.compute_ranking(label, np.array([0.2, 0.7])), (NAN, NAN))
    assert metrics.explain(label) == reason


def test_nothing_is_to_be_explained_where_both_classes_are_known():
    assert metrics.explain(np.array([1, NAN, 0])) == ""


def test_partial_auroc_is_standardized():
    # ROC: (0, 1/2), (1/2, 1/2), (1/2, 1), (1, 1); up to 1/2 its area is 1/4, chance has 1/8, the best 1/2
    found = score([1, 1, 0, 0], [0.8, 0.3, 0.6, 0.1], max_false_positive_rate=0.5)["partial_auroc"]
    assert found == pytest.approx((1 + (1 / 4 - 1 / 8) / (1 / 2 - 1 / 8)) / 2)


def test_the_partial_area_up_to_1_is_the_auroc():
    found = score([1, 1, 0, 0], [0.8, 0.3, 0.6, 0.1], max_false_positive_rate=1.0)
    assert found["partial_auroc"] == pytest.approx(3 / 4)


def test_a_partial_area_may_end_within_a_tie():
    # from (0, 0) straight to (1, 1): up to 0.1 the area is 0.005, as chance has
    assert score([1, 0], [0.5, 0.5], max_false_positive_rate=0.1)["partial_auroc"] == pytest.approx(0.5)


def test_decisions_count_hits_misses_and_false_alarms():
    # called: 0.9 (hit), 0.5 (hit, at the threshold), 0.7 (false alarm); missed: 0.4; right: 0.1, 0.2, 0.3
    found = score([1, 1, 0, 1, 0, 0, 0], [0.9, 0.5, 0.7, 0.4, 0.1, 0.2, 0.3])
    expected = {
        "precision": 2 / 3,
        "recall": 2 / 3,
        "specificity": 3 / 4,
        "npv": 3 / 4,
        "f1": 2 / 3,
        "balanced_accuracy": (2 / 3 + 3 / 4) / 2,
        "mcc": (2 * 3 - 1 * 1) / np.sqrt(3 * 3 * 4 * 4),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_outcomes_are_hits_false_alarms_misses_and_right_rejections():
    label, called = np.array([1, 1, 1, 0, 0, NAN, 0]), np.array([1, 1, 0, 1, 0, 1, 0], bool)
    np.testing.assert_array_equal(metrics.count_outcomes(label, called), [2, 1, 1, 2])


def test_f_beta_weighs_misses_by_the_square_of_beta():
    # 2 hits, 3 false alarms, 1 miss: 5 * 2 / (5 * 2 + 3 + 4 * 1)
    found = score([1, 1, 1, 0, 0, 0, 0], [0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.1], beta=2.0)
    assert found["f_beta"] == pytest.approx(10 / 17)
    assert found["f1"] == pytest.approx(4 / 8)


def test_predictive_values_at_another_prevalence():
    # recall 3/4, specificity 2/3; of 1,000 with 10 ill: 7.5 of 7.5 + 330 calls, 660 of 660 + 2.5 others
    found = score([1, 1, 1, 1, 0, 0, 0], [0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.1], prevalence=0.01)
    assert found["ppv_at_prevalence"] == pytest.approx(7.5 / 337.5)
    assert found["npv_at_prevalence"] == pytest.approx(660 / 662.5)


def test_at_the_prevalence_of_the_sample_they_are_precision_and_npv():
    found = score([1, 1, 0, 0, 0], [0.9, 0.1, 0.8, 0.1, 0.2], prevalence=0.4)
    assert found["ppv_at_prevalence"] == pytest.approx(found["precision"])
    assert found["npv_at_prevalence"] == pytest.approx(found["npv"])


def test_brier_is_the_mean_squared_error():
    assert score([1, 0, NAN], [0.75, 0.5, 0.0])["brier"] == pytest.approx((1 / 16 + 1 / 4) / 2)


def test_scores_are_those_of_the_list():
    found = score([1, 0], [0.9, 0.1], beta=2.0, prevalence=0.1)
    assert set(found) == set(metrics.list_metrics(Settings(beta=2.0, prevalence=0.1)))
    assert {"f_beta", "ppv_at_prevalence", "npv_at_prevalence"}.isdisjoint(metrics.list_metrics(Settings()))


def test_unknown_labels_are_left_out_of_decisions():
    found = score([1, NAN, 0, NAN], [0.9, 0.9, 0.1, 0.1])
    assert [found[name] for name in ("precision", "recall", "specificity", "f1", "mcc")] == [1.0] * 5


def test_without_calls_precision_and_f1_and_mcc_are_zero():
    found = score([1, 0], [0.2, 0.1])
    expected = {"precision": 0, "recall": 0, "specificity": 1, "npv": 0.5, "f1": 0, "balanced_accuracy": 0.5, "mcc": 0}
    assert {name: found[name] for name in expected} == expected


def test_where_all_is_called_npv_and_mcc_are_zero():
    found = score([1, 0], [0.8, 0.9])
    assert [found[name] for name in ("precision", "recall", "specificity", "npv", "mcc")] == [0.5, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "label, defined",
    [([0, 0, 0, 0], {"specificity": 0.75, "brier": 0.21}), ([1, 1, 1, 1], {"recall": 0.25, "brier": 0.61})],
)
def test_one_class_has_its_own_rate_and_brier_only(label, defined):
    found = score(label, [0.9, 0.1, 0.1, 0.1], beta=2.0, prevalence=0.1)
    assert {name for name, value in found.items() if not np.isnan(value)} == set(defined)
    assert {name: found[name] for name in defined} == pytest.approx(defined)


def test_nothing_is_defined_where_no_label_is_known():
    assert np.isnan([*score([NAN, NAN], [0.1, 0.9]).values()]).all()


LABELS = np.array([[1, 0, 0], [1, NAN, 0], [0, 1, 0], [0, 1, 0]], np.float32)
PROBABILITIES = np.array([[0.8, 0.1, 0.9], [0.3, 0.9, 0.1], [0.6, 0.7, 0.1], [0.1, 0.3, 0.1]], np.float32)


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


def test_averages_are_over_what_is_defined():
    values = np.array([[0.5, NAN, NAN], [1.0, 0.25, NAN]])
    np.testing.assert_allclose(metrics.average(values), [0.75, 0.25, NAN])
    np.testing.assert_allclose(metrics.average(values, np.array([[1], [3]])), [0.875, 0.25, NAN])
    np.testing.assert_allclose(metrics.average(values, np.array([[1], [0]])), [0.5, NAN, NAN])


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"interval": "normal"}, "interval is 'normal'; known: auto, percentile, expanded, bca"),
        ({"resampled": "beats"}, "resampled is 'beats'; known: auto, recordings, patients, stratified"),
        ({"beta": 0.0}, "beta is 0; it must lie between 0 and inf"),
        ({"level": 95.0}, "level is 95; it must lie between 0 and 1"),
        ({"prevalence": NAN}, "prevalence is nan; it must lie between 0 and 1"),
        ({"max_false_positive_rate": 0.0}, "max_false_positive_rate is 0"),
        ({"resamples": -1}, "resamples is -1; it must be at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(choice, message):
    with pytest.raises(InputError, match=message):
        Settings(**choice)
