"""Recordings of the same patients, and what they are worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_jax.evaluation import clusters


def test_units_are_counted_and_summed():
    unit = np.array([2, 0, 2, 4])
    assert clusters.count_units(unit) == 3
    assert clusters.count_units(unit, np.array([True, False, True, False])) == 1
    np.testing.assert_array_equal(clusters.sum_units(np.array([1.0, 2, 3, 4]), unit), [2, 0, 4, 0, 4])
    np.testing.assert_array_equal(clusters.sum_units(np.ones((4, 2)), unit), [[1, 1], [0, 0], [2, 2], [0, 0], [1, 1]])


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 10**6))
def test_recordings_that_are_repeated_count_once(size, copies, seed):
    residual = np.random.default_rng(seed).normal(size=size)
    residual -= residual.mean()
    found = clusters.count_effective(np.repeat(residual, copies), np.repeat(np.arange(size), copies))
    assert found == pytest.approx(size)
    assert clusters.compute_excess(np.repeat(residual, copies), np.repeat(np.arange(size), copies)) < 1e-12


def test_effective_numbers_by_hand():
    # two patients of two recordings, whose sums are 2 and -2: effect (4 + 4) / 4 = 2, as without any difference
    # within patients: 4 (2 - 1) / 2 / 2 + 1 = 2
    assert clusters.count_effective(np.array([1.0, 1, -1, -1]), np.array([0, 0, 1, 1])) == pytest.approx(2)
    # sums 0 and 0: patients tell as much as they can, 4 recordings, not more
    assert clusters.count_effective(np.array([1.0, -1, 1, -1]), np.array([0, 0, 1, 1])) == 4
    # four patients of two, sums 2, 0, 0, -2: effect 8 / 8 = 1 and 8 * 3 / 4 + 1 = 7, less by the squared quantiles
    # of Student's t with 7 and 3 degrees of freedom, 2.364624 and 3.182446: 6 * 0.552080 + 1
    residual = np.array([1.0, 1, 1, -1, 1, -1, -1, -1])
    assert clusters.count_effective(residual, np.repeat(np.arange(4), 2)) == pytest.approx(4.312481, abs=1e-5)


def test_without_variance_patients_may_say_nothing_but_the_same():
    # Kish: (3 + 1)^2 / (9 + 1)
    assert clusters.count_effective(np.zeros(4), np.array([0, 0, 0, 1])) == pytest.approx(1.6)
    assert clusters.count_effective(np.zeros(4), np.arange(4)) == 4
    assert clusters.count_effective(np.array([1.0, -1]), np.zeros(2, int)) == 1
    assert clusters.count_effective(np.empty(0), np.empty(0, int)) == 0


def test_the_effective_number_is_that_of_the_variance_of_the_mean():
    # patients of five, correlation 0.4: the variance is (1 + 4 * 0.4) / 1000
    rng, unit = np.random.default_rng(0), np.repeat(np.arange(200), 5)
    made = [np.sqrt(0.4) * rng.normal(size=200)[unit] + np.sqrt(0.6) * rng.normal(size=1000) for _ in range(200)]
    found = [clusters.count_effective(values - values.mean(), unit) for values in made]
    assert np.mean(found) == pytest.approx(1000 / 2.6, rel=0.05)
