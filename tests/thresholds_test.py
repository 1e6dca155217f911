"""The threshold that maximizes F1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_jax.evaluation.metrics import compute_decisions
from ecg_jax.evaluation.thresholds import choose_max_f1

NAN = np.nan


def choose(label, probability):
    return choose_max_f1(np.array(label, float)[:, None], np.array(probability)[:, None])[0]


def f1(label, probability, threshold):
    """2 TP / (2 TP + FP + FN), positive at or above the threshold."""
    called = probability >= threshold
    hits = np.sum(called & (label == 1))
    return 2 * hits / (2 * hits + np.sum(called & (label == 0)) + np.sum(~called & (label == 1)))


def test_the_threshold_is_midway_in_the_gap():
    # called down to 0.6: F1 1; the highest that is not called is 0.4
    assert choose([0, 1, 0, 1], [0.1, 0.6, 0.4, 0.9]) == pytest.approx(0.5)


def test_a_late_hit_is_given_up_where_it_costs_too_many_false_alarms():
    # down to 0.8: 2 / (1 + 2) = 2/3; down to 0.1: 4 / (6 + 2) = 1/2
    assert choose([1, 0, 0, 0, 0, 1], [0.8, 0.5, 0.4, 0.3, 0.2, 0.1]) == pytest.approx(0.65)


def test_where_calling_all_is_best_the_threshold_is_the_lowest_probability():
    assert choose([1, 1, 1], [0.3, 0.2, 0.7]) == pytest.approx(0.2)


@pytest.mark.parametrize("label", [[0, 0, 0], [NAN, NAN, NAN], [0, NAN, 0]])
def test_without_a_positive_the_threshold_is_one_half(label):
    assert choose(label, [0.1, 0.9, 0.3]) == 0.5


def test_unknown_labels_do_not_move_the_threshold():
    known = choose([0, 1, 0, 1], [0.1, 0.6, 0.4, 0.9])
    assert choose([NAN, 0, NAN, 1, 0, 1, NAN], [0.59, 0.1, 0.5, 0.6, 0.4, 0.9, 0.95]) == known


def test_each_label_has_a_threshold_of_its_own():
    labels = np.array([[0, 1], [1, 0], [1, 0]], float)
    probabilities = np.array([[0.2, 0.9], [0.4, 0.1], [0.8, 0.3]])
    assert choose_max_f1(labels, probabilities) == pytest.approx([0.3, 0.6])


SCORES = st.one_of(
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5 + 2**-24, 1 - 2**-24, 1 - 2**-23, 1.0]), st.floats(0, 1, width=32)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), SCORES), min_size=1, max_size=12))
def test_no_threshold_has_a_higher_f1(pairs):
    label, probability = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs], np.float32)
    if not np.any(label == 1):
        assert choose(label, probability) == 0.5
        return
    best = max(f1(label, probability, threshold) for threshold in np.unique(probability))
    found = compute_decisions(label, probability, choose(label, probability))["f1"]
    assert found == pytest.approx(best)


def test_probabilities_that_are_neighbours_in_single_precision_are_told_apart():
    probability = np.array([1 - 2**-23, 1 - 2**-24, 1.0], np.float32)  # a sigmoid near its end
    for label in ([0, 1, 1], [0, 0, 1]):
        threshold = choose(label, probability)
        assert compute_decisions(np.array(label, float), probability, threshold)["f1"] == 1.0
