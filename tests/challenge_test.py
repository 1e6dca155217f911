"""The score of the PhysioNet/CinC Challenge 2021, by hand and by its definition."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_jax.evaluation import challenge
from ecg_jax.evaluation.settings import Settings

NAN = np.nan
NO_INTERVAL = Settings(resamples=0)
WEIGHTS = np.array([[1, 0.5, 0], [0.5, 1, 0.25], [0, 0.25, 1]])
LABELS = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]], float)
CALLED = np.array([[1, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]], bool)


def test_credits_by_hand():
    # observed: (1 + 0.5) / 2 named; (0.25 + 1) / 2 named; nothing is true; nothing is called
    # best: 1; (1 + 0.25 + 0.25 + 1) / 2; 0; 1. Inactive, sinus rhythm third: 0 / 2; 1.25 / 2; 0; 1
    expected = [[0.75, 0.625, 0, 0], [1, 1.25, 0, 1], [0, 0.625, 0, 1]]
    np.testing.assert_allclose(challenge.compute_credits(LABELS, CALLED, WEIGHTS, 2), expected)


def test_the_score_is_normalized_by_the_best_and_the_inactive_one():
    score, low, high = challenge.compute_score(LABELS, CALLED, WEIGHTS, 2, NO_INTERVAL)
    assert score == pytest.approx((1.375 - 1.625) / (3.25 - 1.625))
    assert np.isnan([low, high]).all()


def test_credit_goes_from_the_row_of_the_truth_to_the_column_of_the_call():
    weights = np.array([[1, 0.3, 0], [0.9, 1, 0], [0, 0, 1]])
    found = challenge.compute_credits(np.array([[1.0, 0, 0]]), np.array([[False, True, False]]), weights, 2)
    assert found[0, 0] == pytest.approx(0.3 / 2)


def test_recordings_with_an_unknown_label_are_left_out():
    labels, called = np.concatenate([LABELS, [[1, NAN, 0]]]), np.concatenate([CALLED, [[True] * 3]])
    assert challenge.compute_score(labels, called, WEIGHTS, 2, NO_INTERVAL)[0] == pytest.approx(-0.25 / 1.625)


@pytest.mark.parametrize("labels", [[[0, 0, 1.0]] * 3, [[0, 0, 0.0]] * 3, [[NAN, 0, 1]] * 3])
def test_where_nothing_but_sinus_rhythm_occurs_the_score_is_undefined(labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = challenge.compute_score(np.array(labels), np.ones((3, 3), bool), WEIGHTS, 2, Settings(resamples=20))
    assert np.isnan(found).all()


def score_by_definition(labels, called, weights, normal):
    """Modified confusion matrices, entry by entry."""

    def total(calls):
        confusion = np.zeros_like(weights)
        for truth, named in zip(labels, calls, strict=True):
            share = 1 / max(sum(a or b for a, b in zip(truth, named, strict=True)), 1)
            for row in np.flatnonzero(truth):
                for column in np.flatnonzero(named):
                    confusion[row, column] += share
        return np.sum(confusion * weights)

    always = np.arange(labels.shape[1])[None] == np.full((len(labels), 1), normal)
    observed, best, inactive = total(called), total(labels > 0), total(always)
    return (observed - inactive) / (best - inactive) if abs(best - inactive) > 1e-9 else NAN


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 5))
def test_the_score_is_its_definition(seed, size, classes):
    rng = np.random.default_rng(seed)
    labels, called = (rng.random((size, classes)) < 0.4).astype(float), rng.random((size, classes)) < 0.4
    weights, normal = rng.random((classes, classes)), int(rng.integers(classes))
    expected = score_by_definition(labels, called, weights, normal)
    if np.isfinite(expected):
        found = challenge.compute_score(labels, called, weights, normal, NO_INTERVAL)[0]
        assert found == pytest.approx(expected, rel=1e-6)


def test_the_interval_holds_the_score_and_narrows_with_recordings():
    rng = np.random.default_rng(0)
    labels = (rng.random((800, 3)) < 0.3).astype(float)
    called = (labels > 0) ^ (rng.random((800, 3)) < 0.1)
    widths = []
    for size in (200, 800):
        score, low, high = challenge.compute_score(labels[:size], called[:size], WEIGHTS, 2, Settings(resamples=300))
        assert low < score < high
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.35)


def test_the_challenges_own_weights(shared):
    table = pd.read_csv(shared / "data" / "tables" / "challenge2021_weights.csv", index_col=0)
    assert table.index.tolist() == table.columns.tolist()
    weights, normal = table.to_numpy(), table.columns.get_loc("426783006")
    rng = np.random.default_rng(0)
    labels = (rng.random((300, len(weights))) < 0.08).astype(float)
    truth = challenge.compute_score(labels, labels > 0, weights, normal, NO_INTERVAL)[0]
    always = np.tile(np.arange(len(weights)) == normal, (300, 1))
    assert truth == pytest.approx(1)
    assert challenge.compute_score(labels, always, weights, normal, NO_INTERVAL)[0] == pytest.approx(0, abs=1e-12)
    called = rng.random(labels.shape) < 0.1
    expected = score_by_definition(labels, called, weights, normal)
    assert challenge.compute_score(labels, called, weights, normal, NO_INTERVAL)[0] == pytest.approx(expected)
