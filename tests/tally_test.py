"""Scores as sums over recordings, against scikit-learn and by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ecg_jax.evaluation import metrics, tally
from ecg_jax.evaluation.settings import Settings

NAN = np.nan
CAPS = (0.01, 0.1, 0.5, 1.0)


def choose(**changes):
    return Settings(**({"beta": 2.0, "prevalence": 0.03} | changes))


def tally_scores(label, probability, called, weights, choices):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return tally.compute_scores(tally.create(label, probability, called), weights.astype(np.float64), choices)


def score_with_scikit_learn(label, probability, called, choices):
    """All scores, NaN where undefined; predictive values by Bayes' theorem."""
    known = ~np.isnan(label)
    truth, score, called = label[known] == 1, probability[known].astype(float), called[known]
    found = dict.fromkeys(metrics.list_metrics(choices), NAN)
    if truth.size:
        found["brier"] = np.mean((score - truth) ** 2)
    if truth.any():
        found["recall"] = sk.recall_score(truth, called)
    if not truth.all():
        found["specificity"] = sk.recall_score(~truth, ~called)
    if truth.all() or not truth.any():
        return found
    found |= {
        "auroc": sk.roc_auc_score(truth, score),
        "partial_auroc": sk.roc_auc_score(truth, score, max_fpr=choices.max_false_positive_rate),
        "average_precision": sk.average_precision_score(truth, score),
        "precision": sk.precision_score(truth, called, zero_division=0.0),
        "npv": sk.precision_score(~truth, ~called, zero_division=0.0),
        "f1": sk.f1_score(truth, called),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, called),
        "mcc": sk.matthews_corrcoef(truth, called),
    }
    if choices.beta != 1:
        found["f_beta"] = sk.fbeta_score(truth, called, beta=choices.beta)
    if choices.prevalence is not None:
        ill, well = choices.prevalence, 1 - choices.prevalence
        right, wrong = found["recall"] * ill, (1 - found["specificity"]) * well
        found["ppv_at_prevalence"] = right / (right + wrong) if right + wrong else 0.0
        right, wrong = found["specificity"] * well, (1 - found["recall"]) * ill
        found["npv_at_prevalence"] = right / (right + wrong) if right + wrong else 0.0
    return found


def assert_same(label, probability, called, weights, choices):
    """Every column of weights equals scikit-learn on the recordings repeated as often as they weigh."""
    found = tally_scores(label, probability, called, weights, choices)
    assert set(found) == set(metrics.list_metrics(choices))
    for i, weight in enumerate(weights.T.astype(int)):
        repeated = [np.repeat(each, weight) for each in (label, probability, called)]
        expected = score_with_scikit_learn(*repeated, choices)
        ours = [found[name][i] for name in expected]
        np.testing.assert_allclose(ours, [*expected.values()], rtol=0, atol=1e-9, err_msg=f"{expected}")


def make(name):
    rng = np.random.default_rng(0)
    label, probability = (rng.random(1000) < 0.3).astype(float), rng.random(1000)
    if name == "ties":
        probability = np.round(probability, 1)
    if name == "constant":
        probability = np.full(1000, 0.5)
    if name in ("rare", "rare and last", "common"):
        label = (np.arange(1000) == 500).astype(float)
        probability[500] = 0.0 if name == "rare and last" else 0.97
        label = 1 - label if name == "common" else label
    if name == "certain":
        probability = rng.integers(0, 2, 1000).astype(float)
    if name == "denormal":
        probability = rng.integers(0, 9, 1000) * 5e-324
    if name == "neighbours":
        probability = (1 - rng.integers(0, 4, 1000) * 2.0**-24).astype(np.float32)
    if name == "perfect":
        probability = label * 0.5 + probability * 0.4
    if name == "the wrong way round":
        probability = (1 - label) * 0.5 + probability * 0.4
    if name == "unknown":
        label[rng.random(1000) < 0.5] = NAN
        probability[np.isnan(label)] = 1.0
    return label, probability


KINDS = ["random", "ties", "constant", "rare", "rare and last", "common", "certain", "denormal", "neighbours"]
KINDS += ["perfect", "the wrong way round", "unknown"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cap", CAPS)
def test_scores_equal_scikit_learns(kind, cap):
    label, probability = make(kind)
    for threshold in (0.5, 0.0, 2.0):  # some, all, none called
        assert_same(
            label, probability, probability >= threshold, np.ones((1000, 1)), choose(max_false_positive_rate=cap)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_resample_equals_scikit_learn_on_its_recordings(kind):
    label, probability = make(kind)
    rng = np.random.default_rng(1)
    weights = rng.multinomial(1000, np.full(1000, 1e-3), 3).T
    assert_same(label, probability, probability >= 0.7, weights, choose())


@st.composite
def samples(draw):
    size = draw(st.integers(1, 15))
    label = draw(st.lists(st.sampled_from([0.0, 1.0, NAN]), min_size=size, max_size=size))
    values = st.one_of(st.sampled_from([0.0, 5e-324, 0.25, 0.5, 1 - 2**-53, 1.0]), st.floats(0, 1))
    probability = draw(st.lists(values, min_size=size, max_size=size))
    called = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    weights = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    return np.array(label), np.array(probability), np.array(called), np.array(weights)[:, None]


@settings(max_examples=60, deadline=None)
@given(samples(), st.sampled_from(CAPS), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([None, 0.2]))
def test_any_weights_equal_scikit_learn_on_repeated_recordings(sample, cap, beta, prevalence):
    assert_same(*sample, Settings(max_false_positive_rate=cap, beta=beta, prevalence=prevalence))


def test_weights_by_hand():
    # 0.9 hit (twice), 0.7 false alarm (three times), 0.4 missed (once), 0.1 rejected (four times)
    label, probability = np.array([1.0, 0, 1, 0]), np.array([0.9, 0.7, 0.4, 0.1])
    found = tally_scores(label, probability, probability >= 0.5, np.array([[2], [3], [1], [4]]), Settings())
    expected = {
        "auroc": (2 * 7 + 1 * 4) / 21,
        "average_precision": 2 / 3 * 1 + 1 / 3 * 3 / 6,
        "precision": 2 / 5,
        "recall": 2 / 3,
        "specificity": 4 / 7,
        "npv": 4 / 5,
        "f1": 4 / 8,
        "mcc": (2 * 4 - 3 * 1) / np.sqrt(5 * 5 * 3 * 7),
        "brier": (2 * 0.01 + 3 * 0.49 + 0.36 + 4 * 0.01) / 10,
    }
    assert {name: found[name][0] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    "label, defined",
    [([0, 0, NAN], {"specificity", "brier"}), ([1, NAN, 1], {"recall", "brier"}), ([NAN, NAN, NAN], set())],
)
def test_one_class_leaves_its_own_rate_and_brier(label, defined):
    found = tally_scores(np.array(label, float), np.array([0.1, 0.5, 0.9]), np.ones(3, bool), np.ones((3, 2)), choose())
    assert {name for name, values in found.items() if not np.isnan(values).any()} == defined
    assert all(np.isnan(values).all() for name, values in found.items() if name not in defined)


def test_a_resample_without_a_class_is_undefined_beside_one_that_has_it():
    label, probability = np.array([1.0, 0, 0]), np.array([0.9, 0.1, 0.2])
    weights = np.array([[1, 0, 3, 0], [1, 2, 0, 0], [1, 1, 0, 0]])
    found = tally_scores(label, probability, probability >= 0.5, weights, Settings())
    np.testing.assert_array_equal(found["auroc"], [1, NAN, NAN, NAN])
    np.testing.assert_array_equal(found["recall"], [1, NAN, 1, NAN])
    np.testing.assert_array_equal(found["specificity"], [1, 1, NAN, NAN])
    np.testing.assert_allclose(found["brier"], [0.02, 0.02, 0.01, NAN])


def test_pooled_labels_weigh_as_their_recordings_do():
    # two labels of three recordings; the second recording's second label is unknown
    labels = np.array([[1, 0], [0, NAN], [1, 1]])
    probabilities = np.array([[0.9, 0.2], [0.6, 0.1], [0.4, 0.7]])
    called, owner = probabilities >= 0.5, np.repeat(np.arange(3), 2)
    each = tally.create(labels.reshape(-1), probabilities.reshape(-1), called.reshape(-1), owner, 3)
    weights = np.array([[1.0, 2], [1, 0], [1, 1]])
    found = tally.compute_scores(each, weights, choose())
    for i in range(2):
        repeated = weights[owner, i].astype(int)
        expected = score_with_scikit_learn(
            *(np.repeat(values.reshape(-1), repeated) for values in (labels, probabilities, called)), choose()
        )
        np.testing.assert_allclose([found[name][i] for name in expected], [*expected.values()], atol=1e-9)


@pytest.mark.parametrize("kind", ["random", "ties", "unknown"])
def test_many_recordings_have_the_scores_of_few(kind, monkeypatch):
    label, probability = make(kind)
    weights = np.random.default_rng(1).multinomial(1000, np.full(1000, 1e-3), 5).T
    few = tally_scores(label, probability, probability >= 0.7, weights, choose())
    monkeypatch.setattr(tally, "_TILE", 999)  # one resample after the other, without a matrix
    many = tally_scores(label, probability, probability >= 0.7, weights, choose())
    for name, values in few.items():
        np.testing.assert_allclose(many[name], values, rtol=0, atol=1e-14, err_msg=name)


def test_counts_make_the_scores_of_decisions():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = tally.compute_decisions(*np.array([[6.0, 0, 0], [2, 0, 0], [3, 5, 0], [9, 5, 0]]), Settings())
    np.testing.assert_allclose(found["f1"], [12 / 17, 0, NAN])
    np.testing.assert_allclose(found["precision"], [6 / 8, 0, NAN])
    np.testing.assert_allclose(found["mcc"], [(54 - 6) / np.sqrt(8 * 12 * 9 * 11), 0, NAN])


def test_large_counts_do_not_overflow():
    counts = np.array([[1e6], [1e7], [1e6], [1e9]])
    found = tally.compute_decisions(*counts, Settings())
    assert found["mcc"][0] == pytest.approx((1e15 - 1e13) / np.sqrt(1.1e7 * 1.001e9 * 2e6 * 1.01e9))
