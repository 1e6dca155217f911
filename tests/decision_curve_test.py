"""Net benefit by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_jax.evaluation import metrics

NAN = np.nan
LABEL, PROBABILITY = np.array([1.0, 1, 0, 0, 0]), np.array([0.8, 0.4, 0.6, 0.2, 0.1])


def benefit(threshold, label=LABEL, probability=PROBABILITY):
    return metrics.compute_net_benefit(label, probability, np.array([threshold]))[0]


@pytest.mark.parametrize(
    "threshold, expected",
    [
        (0.0, 2 / 5),  # all are hit, and false alarms cost nothing
        (0.25, (2 - 1 / 3) / 5),  # odds 1/3
        (0.4, (2 - 2 / 3) / 5),  # 0.4 is acted on
        (0.5, 0),  # one hit, one false alarm
        (0.7, 1 / 5),
        (0.9, 0),
    ],
)
def test_net_benefit_by_hand(threshold, expected):
    assert benefit(threshold) == pytest.approx(expected)


def test_unknown_labels_do_not_count():
    label, probability = np.array([NAN, *LABEL, NAN]), np.array([1.0, *PROBABILITY, 0.3])
    assert benefit(0.25, label, probability) == pytest.approx((2 - 1 / 3) / 5)
    assert np.isnan(benefit(0.25, np.array([NAN]), np.array([0.5])))


def test_a_probability_in_single_precision_is_compared_as_it_is():
    # float32(0.7) is 0.699999988, float32(0.1) is 0.100000001
    assert benefit(0.7, np.array([1.0]), np.array([0.7], np.float32)) == 0
    assert benefit(0.1, np.array([1.0]), np.array([0.1], np.float32)) == 1


def test_curves_have_a_line_per_label_and_threshold():
    labels, probabilities = np.stack([LABEL, 1 - LABEL], 1), np.stack([PROBABILITY, 1 - PROBABILITY], 1)
    table = metrics.compute_decision_curves(labels, probabilities, ("AF", "SB"), np.array([0.25, 0.5]))
    assert table["label"].tolist() == ["AF", "AF", "SB", "SB"]
    assert table["threshold"].tolist() == [0.25, 0.5, 0.25, 0.5]
    np.testing.assert_allclose(table["model"], [1 / 3, 0, (3 - 1 / 3) / 5, 1 / 5])
    # prevalence less the rest at the odds of the threshold
    np.testing.assert_allclose(table["treat_all"], [2 / 5 - 3 / 15, 2 / 5 - 3 / 5, 3 / 5 - 2 / 15, 1 / 5])


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.floats(0, 1)), min_size=1, max_size=20), st.floats(0, 0.99)
)
def test_net_benefit_is_its_definition(pairs, threshold):
    label, probability = np.array(pairs).T
    acted, known = probability >= threshold, np.sum(~np.isnan(label))
    hits, alarms = np.sum(acted & (label == 1)), np.sum(acted & (label == 0))
    expected = (hits - alarms * threshold / (1 - threshold)) / known if known else NAN
    assert benefit(threshold, label, probability) == pytest.approx(expected, nan_ok=True)
