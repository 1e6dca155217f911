"""Intervals and p values from bootstrap values, by hand and against SciPy."""

import warnings

import numpy as np
import pytest
import scipy.stats

from ecg_jax.evaluation import bootstrap_intervals, resampling

NAN = np.nan
VALUES = np.random.default_rng(0).normal(size=(3, 501))


def test_percentile_ends_are_quantiles():
    low, high = bootstrap_intervals.compute_percentile(VALUES)
    np.testing.assert_allclose(low, np.quantile(VALUES, 0.025, axis=1), rtol=1e-12)
    np.testing.assert_allclose(high, np.quantile(VALUES, 0.975, axis=1), rtol=1e-12)
    np.testing.assert_allclose(bootstrap_intervals.compute_percentile(np.arange(101.0)[None], 0.9), [[5], [95]])


def test_undefined_resamples_are_left_out():
    values = np.array([[NAN, *np.arange(101.0), NAN], [NAN] * 103])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for low, high in (
            bootstrap_intervals.compute_percentile(values, 0.9),
            bootstrap_intervals.compute_expanded(values, np.array([10**9, 10**9]), 0.9),
            bootstrap_intervals.compute_bca(np.array([50, NAN]), values, np.zeros((2, 5)), 0.9),
        ):
            np.testing.assert_allclose(low, [5, NAN], atol=1e-6)
            np.testing.assert_allclose(high, [95, NAN], atol=1e-6)


def test_expanded_levels_by_hand():
    # Hesterberg 2015: Phi(-sqrt(n / (n - 1)) t): of 10, t(9) = 2.262157 becomes 2.384521, and its tail 0.0085505
    low, high = bootstrap_intervals.compute_expanded(np.linspace(0, 1, 10001)[None], np.array([10]))
    np.testing.assert_allclose([low[0], 1 - high[0]], 0.0085505, atol=1e-6)


def test_expanded_intervals_are_wider_and_in_the_limit_the_same():
    low, high = bootstrap_intervals.compute_percentile(VALUES)
    widths = []
    for size in (2, 5, 30, 1000, 10**8):
        ends = bootstrap_intervals.compute_expanded(VALUES, np.full(3, size))
        assert (ends[0] <= low).all()
        assert (ends[1] >= high).all()
        widths.append(ends[1] - ends[0])
    assert (np.diff(widths, axis=0) < 0).all()
    np.testing.assert_allclose(widths[-1], high - low, rtol=1e-6)


def test_bca_of_fixed_values_by_hand():
    # 30 of 100 values below the estimate 29.5: bias Phi^-1(0.3) = -0.524401. The jackknife's mean is 2,
    # influences 1, 1, -2: squares 6, cubes -6, acceleration -6 / (6 * 6^1.5) = -0.0680414.
    # low end: Phi(-0.524401 - 2.484364 / (1 - 0.0680414 * 2.484364)) = Phi(-3.514151) = 0.00022058
    # high end: Phi(-0.524401 + 1.435563 / (1 + 0.0680414 * 1.435563)) = Phi(0.783418) = 0.783309
    found = bootstrap_intervals.compute_bca(np.array([29.5]), np.arange(100.0)[None], np.array([[1.0, 1, 4]]))
    np.testing.assert_allclose(np.ravel(found), [99 * 0.00022058, 99 * 0.783309], rtol=1e-4)


def test_without_bias_and_skewness_bca_is_the_percentile_interval():
    values = np.arange(-50.0, 51)[None]
    found = bootstrap_intervals.compute_bca(np.zeros(1), values, np.array([[-1.0, 0, 1]]))
    np.testing.assert_allclose(found, bootstrap_intervals.compute_percentile(values), rtol=1e-12)


def test_where_all_resamples_lie_on_one_side_the_end_is_the_extreme_one():
    low, high = bootstrap_intervals.compute_bca(
        np.array([9.0, -9]), np.tile(np.linspace(0, 1, 1000), (2, 1)), np.zeros((2, 3))
    )
    assert high[0] == pytest.approx(1, abs=1e-3)
    assert low[1] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("count, level", [(1000, 0.95), (1000, 0.999), (10_000, 0.99)])
def test_the_ends_do_not_cross_however_skewed_the_jackknife_is(count, level):
    # of one outlier among 1,000 the acceleration is near 1/6, and bias and reach together exceed 6
    left_out, values = np.append(np.zeros(999), -30.0)[None], np.linspace(0, 1, count)[None]
    low, high = bootstrap_intervals.compute_bca(np.array([9.0]), values, left_out, level)
    assert 0.99 < low[0] <= high[0] <= 1


def test_a_constant_statistic_has_an_interval_of_no_width():
    found = bootstrap_intervals.compute_bca(np.ones(1), np.ones((1, 100)), np.ones((1, 10)))
    np.testing.assert_array_equal(np.ravel(found), [1, 1])


def test_undefined_jackknife_values_have_no_influence():
    complete = bootstrap_intervals.compute_bca(np.array([29.5]), np.arange(100.0)[None], np.array([[1.0, 1, 4]]))
    found = bootstrap_intervals.compute_bca(np.array([29.5]), np.arange(100.0)[None], np.array([[1.0, 1, NAN, 4]]))
    np.testing.assert_allclose(found, complete)


def test_bca_of_a_mean_is_scipys_up_to_monte_carlo_error():
    # The density of bootstrap means near the ends is about 0.05 to 0.1 of their spread s, so that a quantile of
    # R = 20,000 has an error of sqrt(p (1 - p) / R) / f = 0.0011 / 0.06 s = 0.02 s; two such, at four deviations
    sample = np.random.default_rng(3).exponential(size=30)
    statistic = lambda weights: (sample @ weights / weights.sum(axis=0))[None]  # noqa: E731
    design = resampling.create_design(30)
    values = resampling.resample(statistic, design, 20_000, 0)
    found = bootstrap_intervals.compute_bca(sample.mean()[None], values, resampling.jackknife(statistic, design))
    expected = scipy.stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, vectorized=True, method="BCa", rng=np.random.default_rng(4)
    )
    spread = expected.standard_error
    np.testing.assert_allclose(np.ravel(found), expected.confidence_interval, atol=0.12 * spread)
    percentile = np.ravel(bootstrap_intervals.compute_percentile(values))
    assert (np.ravel(found) - percentile > 0.15 * spread).all()  # which is not what a percentile interval gives


def test_bca_is_scipys_on_the_same_resamples():
    sample = np.random.default_rng(5).exponential(size=20)
    expected = scipy.stats.bootstrap(
        (sample,), np.mean, n_resamples=500, method="BCa", rng=np.random.default_rng(6), confidence_level=0.9
    )
    left_out = np.array([np.delete(sample, i).mean() for i in range(20)])
    found = bootstrap_intervals.compute_bca(
        sample.mean()[None], expected.bootstrap_distribution[None], left_out[None], level=0.9
    )
    np.testing.assert_allclose(np.ravel(found), expected.confidence_interval, rtol=1e-9)


@pytest.mark.parametrize(
    "differences, p",
    [
        ([1, 1, 1, 1, 1, 1, 1, 1, 1], 2 / 10),  # none of nine at or below 0, one added
        ([-1, 1, 1, 1, 1, 1, 1, 1, 1], 4 / 10),
        ([0, 1, 1, 1, 1, 1, 1, 1, 1], 4 / 10),
        ([-1, -1, -1, 1, 1, 1], 1),
        ([0, 0, 0], 1),
        ([NAN, -2, -2, -2, NAN], 2 / 4),
        ([NAN, NAN], NAN),
    ],
)
def test_p_is_twice_the_smaller_side(differences, p):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_intervals.compute_p(np.array([differences], float))
    np.testing.assert_allclose(found, [p])


def test_p_is_never_zero_and_as_likely_below_any_level_without_a_difference():
    assert bootstrap_intervals.compute_p(np.ones((1, 999)))[0] == 2 / 1000
    rng = np.random.default_rng(0)
    found = bootstrap_intervals.compute_p(rng.normal(size=(2000, 1)) + rng.normal(size=(2000, 999)))
    assert np.mean(found < 0.05) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 2000))
