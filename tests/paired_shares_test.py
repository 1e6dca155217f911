"""Differences of two proportions of the same recordings."""

import numpy as np
import pytest

from ecg_jax.evaluation import paired_shares


def arrange(both, first, second, neither):
    counts = (both, first, second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def wilson(hits, total, z=1.959963984540054):
    middle, share = hits + z**2 / 2, hits / total
    reach = z * np.sqrt(total * share * (1 - share) + z**2 / 4)
    return np.array([middle - reach, middle + reach]) / (total + z**2)


@pytest.mark.parametrize(
    ("counts", "phi"),
    [
        ((36, 12, 2, 0), -24 / np.sqrt(48 * 2 * 38 * 12)),  # 36 * 0 - 12 * 2
        ((20, 9, 4, 7), (140 - 36 - 20) / np.sqrt(29 * 11 * 24 * 16)),  # less half of 40
        ((20, 9, 9, 5), 0),  # 100 - 81 less half of 43 would be below 0
        ((36, 14, 0, 0), 0),
    ],
)
def test_method_10_by_hand(counts, phi):
    both, first, second, _ = counts
    total = sum(counts)
    one, two = (both + first) / total, (both + second) / total
    (low_one, high_one), (low_two, high_two) = wilson(both + first, total), wilson(both + second, total)
    down, up = (one - low_one, high_two - two), (high_one - one, two - low_two)
    expected = [
        one - two - np.sqrt(down[0] ** 2 - 2 * phi * down[0] * down[1] + down[1] ** 2),
        one - two + np.sqrt(up[0] ** 2 - 2 * phi * up[0] * up[1] + up[1] ** 2),
    ]
    np.testing.assert_allclose(paired_shares.find_interval(*arrange(*counts)), expected)


def test_exchanging_the_models_changes_the_sign():
    one, two = arrange(20, 9, 4, 7)
    low, high = paired_shares.find_interval(one, two)
    np.testing.assert_allclose(paired_shares.find_interval(two, one), [-high, -low])


def test_models_that_never_differ_may_yet_differ_elsewhere():
    low, high = paired_shares.find_interval(*arrange(30, 0, 0, 2))
    assert low < 0 < high
    assert np.isnan(paired_shares.find_interval(*arrange(0, 0, 0, 0))).all()


def test_recordings_that_are_repeated_under_their_patient_change_nothing():
    one, two = arrange(20, 9, 4, 7)
    expected = paired_shares.find_interval(one, two)
    unit = np.tile(np.arange(40), 5)
    np.testing.assert_allclose(paired_shares.find_interval(np.tile(one, 5), np.tile(two, 5), unit), expected)
    single = paired_shares.find_interval(np.tile(one, 5), np.tile(two, 5))
    assert single[1] - single[0] < (expected[1] - expected[0]) / 2


def test_the_interval_keeps_its_level_with_few_patients():
    # 12 patients of five recordings; both models are right in 0.8, by a patient's part in common
    rng, unit, inside = np.random.default_rng(0), np.repeat(np.arange(12), 5), {"patients": 0, "recordings": 0}
    for _ in range(200):
        parts = rng.normal(size=(12, 2)) @ np.linalg.cholesky([[1, 0.3], [0.3, 1]]).T
        right = np.sqrt(0.7) * parts[unit] + np.sqrt(0.3) * rng.normal(size=(60, 2)) < 0.8416
        for name, members in (("patients", unit), ("recordings", None)):
            low, high = paired_shares.find_interval(right[:, 0], right[:, 1], members)
            inside[name] += low <= 0 <= high
    assert inside["patients"] / 200 > 0.92
    assert inside["recordings"] / 200 < 0.85
