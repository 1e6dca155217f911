"""Where a probability becomes a diagnosis, by every rule and on every part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from ecg_jax.errors import InputError
from ecg_jax.evaluation import thresholds

NAN = np.nan


def choose(label, probability, rule="max_f1"):
    return thresholds.choose(np.array(label, float)[:, None], np.array(probability)[:, None], rule)[0]


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
    assert choose([1, 0, 1], [0.3, 0.7, 0.2]) == 0.2


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1], [NAN, NAN, NAN], [0, NAN, 0], [NAN, 1, NAN]])
@pytest.mark.parametrize("rule", ["max_f1", "youden", "sensitivity=0.9", "specificity=0.9", "cost=5"])
def test_without_both_classes_the_threshold_is_one_half(label, rule):
    assert choose(label, [0.1, 0.9, 0.3], rule) == 0.5


def test_unknown_labels_do_not_move_the_threshold():
    known = choose([0, 1, 0, 1], [0.1, 0.6, 0.4, 0.9])
    assert choose([NAN, 0, NAN, 1, 0, 1, NAN], [0.59, 0.1, 0.5, 0.6, 0.4, 0.9, 0.95]) == known


def test_each_label_has_a_threshold_of_its_own():
    labels = np.array([[0, 1], [1, 0], [1, 0]], float)
    probabilities = np.array([[0.2, 0.9], [0.4, 0.1], [0.8, 0.3]])
    assert thresholds.choose(labels, probabilities) == pytest.approx([0.3, 0.6])


# from the highest: hit, false alarm, hit, hit, three false alarms
LABEL = [1, 0, 1, 1, 0, 0, 0]
PROBABILITY = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]


@pytest.mark.parametrize(
    "rule, threshold",
    [
        ("max_f1", 0.55),  # 6 / 7 with four calls; 1/2, 2/5, 2/3, then 3/4 and less
        ("youden", 0.55),  # 1 - 1/4; 1/3, 1/12, 5/12, then 1/2 and less
        ("sensitivity=1", 0.55),  # all three hits need four calls
        ("sensitivity=0.6", 0.65),  # two hits of three: three calls, one false alarm
        ("sensitivity=0.3", 0.85),  # one hit: no false alarm
        ("specificity=1", 0.85),  # no false alarm: one hit
        ("specificity=0.75", 0.55),  # one false alarm: all hits
        ("specificity=0.5", 0.55),  # two do not hit more
        ("cost=1", 0.55),  # 1; 2, 3, 2, then 2 and more
        ("cost=0.1", 0.85),  # 0.2; 1.2, 1.1, 1
        ("cost=100", 0.55),  # 1; the first calls miss
    ],
)
def test_every_rule_on_seven_recordings(rule, threshold):
    assert choose(LABEL, PROBABILITY, rule) == pytest.approx(threshold)


def test_equal_probabilities_are_called_together():
    # with one hit of the tie comes its false alarm: sensitivity 1 costs half of the specificity
    assert choose([1, 0, 1, 0], [0.8, 0.5, 0.5, 0.2], "sensitivity=1") == pytest.approx(0.35)
    assert choose([1, 0, 1, 0], [0.8, 0.5, 0.5, 0.2], "specificity=1") == pytest.approx(0.65)


def test_of_equally_good_thresholds_max_f1_takes_the_lowest_and_others_the_highest():
    # one call: 2 / (1 + 2) = 2/3; four calls: 4 / (4 + 2) = 2/3
    assert choose([1, 0, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.1]) == pytest.approx(0.35)
    # sensitivity + specificity: 1/2 + 1 after one call, 1 + 1/2 after three
    assert choose([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], "youden") == pytest.approx(0.85)
    assert choose([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], "cost=1") == pytest.approx(0.85)


def test_rounding_does_not_decide_between_equals():
    # sensitivity + specificity: 2/3 + 2/3 after three calls, 1 + 1/3 after five
    assert choose([0, 1, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], "youden") == pytest.approx(0.65)


@pytest.mark.parametrize("rule", ["specificity=1", "specificity=0.75", "cost=0.1"])
def test_nothing_is_called_where_any_call_breaks_the_rule(rule):
    # the three highest are false alarms; not to call costs 0.1
    label, probability = [0, 0, 0, 1, 0], [0.9, 0.9, 0.9, 0.5, 0.1]
    assert choose(label, probability, rule) > 0.9


SCORES = st.one_of(
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5 + 2**-24, 1 - 2**-24, 1 - 2**-23, 1.0]), st.floats(0, 1, width=32)
)
PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), SCORES), min_size=1, max_size=12)


def split(pairs):
    return np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs], np.float32)


@settings(max_examples=300, deadline=None)
@given(PAIRS)
def test_no_threshold_has_a_higher_f1(pairs):
    label, probability = split(pairs)
    if not np.any(label == 1) or not np.any(label == 0):
        assert choose(label, probability) == 0.5
        return
    best = max(f1(label, probability, threshold) for threshold in np.unique(probability))
    assert f1(label, probability, choose(label, probability)) == pytest.approx(best)


@settings(max_examples=200, deadline=None)
@given(PAIRS, st.sampled_from([0.2, 0.5, 0.75, 1.0]))
def test_no_threshold_serves_a_rule_better(pairs, value):
    label, probability = split(pairs)
    if not np.any(label == 1) or not np.any(label == 0):
        return

    def rate(threshold):
        return np.mean(probability[label == 1] >= threshold), np.mean(probability[label == 0] < threshold)

    rates = [rate(threshold) for threshold in (*np.unique(probability), 2.0)]
    sensitivity, specificity = rate(choose(label, probability, f"sensitivity={value}"))
    assert sensitivity >= value - 1e-9
    assert specificity == max(b for a, b in rates if a >= value - 1e-9)
    sensitivity, specificity = rate(choose(label, probability, f"specificity={value}"))
    assert specificity >= value - 1e-9
    assert sensitivity == max(a for a, b in rates if b >= value - 1e-9)
    assert sum(rate(choose(label, probability, "youden"))) == pytest.approx(max(map(sum, rates)))


def test_probabilities_that_are_neighbours_in_single_precision_are_told_apart():
    probability = np.array([1 - 2**-23, 1 - 2**-24, 1.0], np.float32)  # a sigmoid near its end
    for label in ([0, 1, 1], [0, 0, 1]):
        assert f1(np.array(label, float), probability, choose(label, probability)) == 1.0


def predict_as_published(label, probability):
    """Calls as in `generate_figures_and_tables.py` of Ribeiro et al. 2020: above the threshold before the best."""
    precision, recall, threshold = precision_recall_curve(label, probability)
    with np.errstate(invalid="ignore"):
        score = np.nan_to_num(2 * precision * recall / (precision + recall))
    best = int(np.argmax(score))
    return probability > (threshold[best - 1] if best else threshold[0] - 1e-10), score


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.sampled_from([3, 10, 10**6]))
def test_calls_are_those_of_the_script_of_ribeiro_et_al(seed, size, levels):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, size).astype(float)
    label[:2] = 0, 1
    probability = np.clip(rng.integers(0, levels, size) / levels + 0.1 * label, 0, 1)
    called, scores = predict_as_published(label, probability)
    ours = probability >= choose(label, probability)
    if np.sum(scores > scores.max() - 1e-9) == 1:
        np.testing.assert_array_equal(ours, called)
    else:  # the script's choice among equals is up to rounding
        assert f1(label, ours, 0.5) == pytest.approx(f1(label, called, 0.5))


@pytest.mark.parametrize(
    "rule, message",
    [
        ("max_f2", "threshold rule 'max_f2' is unknown; known: max_f1"),
        ("max_f1=1", "is unknown"),
        ("sensitivity", "is unknown; known: .*sensitivity=X"),
        ("sensitivity=", "is unknown"),
        ("sensitivity=90%", "'90%' must be a number above 0, at most 1"),
        ("specificity=1.5", "'1.5' must be a number above 0, at most 1"),
        ("specificity=0", "must be a number above 0"),
        ("cost=-1", "'-1' must be a number above 0, at most inf"),
        ("cost=inf", "must be a number"),
        ("cost=nan", "must be a number"),
    ],
)
def test_a_rule_that_is_none_is_refused_with_what_is_known(rule, message):
    with pytest.raises(InputError, match=message):
        choose([0, 1], [0.1, 0.9], rule)


@st.composite
def panels(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(2, 30))
    labels = rng.choice([0.0, 1.0, NAN], (size, 2), p=[0.5, 0.4, 0.1])
    groups = rng.integers(0, draw(st.integers(1, 20)), size)
    return labels, rng.integers(0, 8, (size, 2)) / 8, groups


@settings(max_examples=100, deadline=None)
@given(panels(), st.data())
def test_a_cross_fitted_threshold_has_not_seen_its_recording(panel, data):
    labels, probabilities, groups = panel
    fold = thresholds.assign_folds(labels, groups, 0, 3)
    before = thresholds.cross_fit(labels, probabilities, fold)
    row = data.draw(st.integers(0, len(labels) - 1))
    part = fold == fold[row]
    labels, probabilities = labels.copy(), probabilities.copy()
    labels[part] = data.draw(st.sampled_from([0.0, 1.0, NAN]))
    probabilities[part] = data.draw(st.floats(0, 1))
    after = thresholds.cross_fit(labels, probabilities, fold)
    np.testing.assert_array_equal(after[part], before[part])
    np.testing.assert_array_equal(before[part], np.tile(before[row], (part.sum(), 1)))


def test_a_cross_fit_by_hand():
    # part 0 is called by what parts it has not: midway of 0.2 and 0.6; part 1 midway of 0.4 and 0.8
    labels, probabilities = np.array([[0.0], [1], [0], [1]]), np.array([[0.4], [0.8], [0.2], [0.6]])
    found = thresholds.cross_fit(labels, probabilities, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(found, [[0.4], [0.4], [0.6], [0.6]])


@settings(max_examples=100, deadline=None)
@given(panels(), st.integers(1, 12))
def test_patients_stay_together_and_no_part_is_empty(panel, folds):
    labels, _, groups = panel
    fold = thresholds.assign_folds(labels, groups, 1, folds)
    patients = len(np.unique(groups))
    assert len(set(zip(groups, fold, strict=True))) == patients
    assert sorted(set(fold)) == list(range(min(folds, patients)))
    np.testing.assert_array_equal(fold, thresholds.assign_folds(labels, groups, 1, folds))


def test_a_rare_label_is_in_every_part():
    labels = np.zeros((200, 2))
    labels[:20, 0], labels[::2, 1] = 1, 1
    fold = thresholds.assign_folds(labels, np.arange(200), seed=0)
    assert np.bincount(fold[:20]).tolist() == [2] * thresholds.PARTS
    assert np.bincount(fold).tolist() == [20] * thresholds.PARTS
    assert not np.array_equal(fold, thresholds.assign_folds(labels, np.arange(200), seed=1))


@pytest.mark.parametrize(
    "source, words",
    [
        (thresholds.VALIDATION, "chosen on the validation set (youden)"),
        (thresholds.FOLDS, "each network's own, chosen on its validation part (youden); the table shows their mean"),
        (thresholds.CROSS_FITTED, "on other parts of the test set (youden, cross-fitted); the table shows their mean"),
        (thresholds.GIVEN, "given"),
        (thresholds.TEST, "chosen on the test set itself (youden)"),
    ],
)
def test_only_thresholds_of_the_test_set_itself_carry_a_stamp(source, words):
    found = thresholds.Thresholds(np.array([0.5]), "youden", source)
    assert found.stamps == ((thresholds.STAMP,) if source == thresholds.TEST else ())
    assert found.describe().endswith(words)


def test_labels_without_positives_or_without_negatives_have_a_threshold_that_was_not_chosen():
    labels = np.array([[1, 0, 1, np.nan], [0, 0, 1, np.nan], [0, np.nan, np.nan, 0]])
    assert thresholds.find_unchosen(labels, ("both", "negative", "positive", "unknown")) == (
        "negative",
        "positive",
        "unknown",
    )
    labels = np.array([[1, 1], [1, 1], [0, 0], [0, 0], [0, np.nan]])
    assert thresholds.find_unchosen(labels, ("two of each", "the same"), fewest=2) == ()
    assert thresholds.find_unchosen(labels, ("three", "two"), fewest=3) == ("three", "two")
    found = thresholds.Thresholds(np.full(2, 0.5), "max_f1", thresholds.VALIDATION, ("AF",))
    assert found.describe() == "chosen on the validation set (max_f1); 0.5, not chosen: AF"
    (line,) = found.warnings
    assert line.startswith("threshold 0.5, not chosen, as there were too few positives or negatives to choose by: AF")
    assert not thresholds.Thresholds(np.full(2, 0.5), "max_f1", thresholds.VALIDATION).warnings


def test_thresholds_of_rare_labels_are_given_up_for_the_default():
    found = thresholds.Thresholds(np.array([0.1, 0.2, 0.3]), "max_f1", thresholds.VALIDATION, ("b",))
    found = found.leave(["c"], ("a", "b", "c"))
    assert found.values.tolist() == [0.1, 0.2, 0.5]
    assert found.unchosen == ("b", "c")
