"""Intervals of averages from those of the labels."""

import numpy as np
import pytest

from ecg_jax.evaluation import averages

NAN = np.nan
HALF = np.array([0.5, 0.5])


def combine(correlation, weight=HALF, estimate=(0.9, 0.8), low=(0.6, 0.4), high=(0.94, 0.83), **others):
    matrix = np.array([[1.0, correlation], [correlation, 1.0]])
    return averages.combine(*(np.array(each) for each in (estimate, low, high, weight)), matrix, **others)


def test_independent_labels_add_squares():
    # reaches 0.3, 0.4 down and 0.04, 0.03 up: halves of 0.5 and 0.05
    np.testing.assert_allclose(combine(0.0), [0.85 - 0.25, 0.85 + 0.025])


def test_labels_that_always_agree_have_the_mean_of_the_ends():
    np.testing.assert_allclose(combine(1.0), [0.5, 0.885])


def test_a_difference_takes_the_other_end_of_what_is_subtracted():
    # down: 0.3 of the first and 0.03 of the second's upper; with correlation 1 they cancel
    np.testing.assert_allclose(combine(0.0, (1, -1)), [0.1 - np.hypot(0.3, 0.03), 0.1 + np.hypot(0.04, 0.4)])
    np.testing.assert_allclose(combine(1.0, (1, -1)), [0.1 - 0.27, 0.1 + 0.36])


def test_weights_that_are_estimates_widen_within_what_the_labels_allow():
    np.testing.assert_allclose(combine(0.0, extra=0.06), [0.85 - np.sqrt(0.0625 + 0.06), 0.94])
    assert combine(0.0, extra=100.0) == (0.4, 0.94)


def test_the_end_on_its_side_makes_room_for_a_bias():
    np.testing.assert_allclose(combine(0.0, bias=0.1), [0.85 - 0.25 - 0.1, 0.85 + 0.025])
    np.testing.assert_allclose(combine(0.0, bias=-0.01), [0.85 - 0.25, 0.85 + 0.025 + 0.01])
    samples = np.array([[0.95, 0.97, NAN], [0.8, 0.8, 0.8]])  # 0.06 above 0.9, and 0
    assert averages.measure_bias(np.array([0.9, 0.8]), samples, HALF) == pytest.approx(2 * 0.03)


def test_a_single_label_is_its_own_average_and_undefined_ones_do_not_count():
    np.testing.assert_allclose(combine(0.3, (1, 0)), [0.6, 0.94])
    np.testing.assert_allclose(combine(0.3, (1, 1), low=(0.6, NAN)), [0.6, 0.94])
    assert np.isnan(combine(0.3, estimate=(NAN, NAN))).all()


def test_scores_correlate_as_resamples_do_and_where_these_do_not_vary_as_labels():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 4000))
    samples = np.stack([one, 0.6 * one + 0.8 * other, -one, np.ones(4000)])
    label = (np.arange(100) < 20).astype(float)
    alike = averages.correlate_labels(np.stack([1 - label, label, label, label], axis=1))
    found = averages.correlate(samples, alike)
    assert found[0, 1] == pytest.approx(0.6, abs=0.03)
    assert found[0, 2] == 0  # never below
    assert found[3, 1] == pytest.approx(1)  # the same positives
    assert found[3, 0] == 0
    samples[0, ::2] = NAN
    assert averages.correlate(samples, alike)[0, 1] == pytest.approx(0.5, abs=0.12)


def test_weights_by_positives_vary_as_their_numbers_do():
    # scores 1 and 0.5 of 3 and 1 positives: mean 0.875; per recording 0.125 thrice and -0.375, over 4 in all
    present = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 0]], float)
    square = (3 * 0.125**2 + 0.375**2) / 16
    found = averages.measure_weights(np.array([1.0, 0.5]), present, np.arange(5), 0.95)
    assert found == pytest.approx(1.959964**2 * square, rel=1e-6)
    assert averages.measure_weights(np.array([1.0, NAN]), present, np.arange(5), 0.95) == 0
