"""The table of scores and its intervals."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ecg_jax.evaluation import metrics, resampling, scores
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import INTERVALS, Settings
from ecg_jax.evaluation.thresholds import GIVEN, Thresholds

NAN = np.nan
NO_INTERVAL = Settings(resamples=0)
LABELS = np.array([[1, 0, 0], [1, NAN, 0], [0, 1, 0], [0, 1, 0]], np.float32)
PROBABILITIES = np.array([[0.8, 0.1, 0.9], [0.3, 0.9, 0.1], [0.6, 0.7, 0.1], [0.1, 0.3, 0.1]], np.float32)


def predict(labels, probabilities, **others):
    labels, probabilities = np.array(labels, float), np.array(probabilities)
    ids = np.arange(len(labels)).astype(str)
    return Predictions(ids, ("AF", "SB", "ST")[: labels.shape[1]], labels, probabilities, **others)


def draw(size=300, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((size, classes)) < 0.3).astype(float)
    return labels, np.clip(0.3 + 0.25 * labels + rng.normal(scale=0.2, size=labels.shape), 0, 1)


def at(*values):
    return Thresholds(np.array(values), "", GIVEN)


def compute(labels, probabilities, settings=NO_INTERVAL, thresholds=None, **others):
    predictions = predict(labels, probabilities, **others)
    thresholds = thresholds or at(*[0.5] * len(predictions.names))
    return scores.compute(predictions, thresholds, settings).table.set_index("label")


def widths(table, name):
    return table[f"{name}_high"] - table[f"{name}_low"]


def test_the_table_has_a_row_per_label_and_their_averages():
    table = compute(LABELS, PROBABILITIES, thresholds=at(0.5, 0.6, 0.5))
    assert list(table.index) == ["AF", "SB", "ST", "macro", "micro", "weighted"]
    assert table["n"].tolist() == [4, 3, 4, 4, 11, 4]
    assert table["positives"].tolist() == [2, 2, 0, 4, 4, 4]
    np.testing.assert_allclose(table["threshold"], [0.5, 0.6, 0.5, NAN, NAN, NAN])
    decisions = table[["precision", "recall", "specificity", "f1"]]
    np.testing.assert_allclose(decisions.loc["AF"], [0.5] * 4)
    np.testing.assert_allclose(decisions.loc["SB"], [1, 0.5, 1, 2 / 3])
    np.testing.assert_allclose(decisions.loc["ST"], [NAN, NAN, 0.75, NAN])
    np.testing.assert_allclose(table["auroc"][:4], [0.75, 1.0, NAN, 0.875])


def test_macro_is_the_mean_over_labels_where_defined():
    table = compute(LABELS, PROBABILITIES, thresholds=at(0.5, 0.6, 0.5))
    expected = {
        "auroc": (3 / 4 + 1) / 2,
        "average_precision": (5 / 6 + 1) / 2,
        "f1": (1 / 2 + 2 / 3) / 2,
        "precision": (1 / 2 + 1) / 2,
        "recall": (1 / 2 + 1 / 2) / 2,
        "specificity": (1 / 2 + 1 + 3 / 4) / 3,
    }
    assert table.loc["macro", list(expected)].to_dict() == pytest.approx(expected)


def test_micro_pools_labels_and_recordings():
    # hits AF 1, SB 1; false alarms AF 1, ST 1; misses AF 1, SB 1; right rejections AF 1, SB 1, ST 3
    table = compute(LABELS, PROBABILITIES, thresholds=at(0.5, 0.6, 0.5))
    expected = {"precision": 2 / 4, "recall": 2 / 4, "specificity": 5 / 7, "npv": 5 / 7, "f1": 1 / 2}
    # positives 0.8, 0.7, 0.3, 0.3 against 0.9, 0.6 and five of 0.1: 6 + 6 + 5 + 5 of 28 pairs
    expected["auroc"] = 22 / 28
    assert table.loc["micro", list(expected)].to_dict() == pytest.approx(expected)


def test_weighted_is_the_mean_by_positives():
    # AF: 3 positives, all called; SB: 1, not called
    table = compute([[1, 0], [1, 0], [1, 1], [0, 0]], [[0.9, 0.2], [0.9, 0.3], [0.9, 0.1], [0.1, 0.1]])
    assert table.loc["macro", "recall"] == pytest.approx(1 / 2)
    assert table.loc["weighted", "recall"] == pytest.approx(3 / 4)
    assert table.loc["weighted", "auroc"] == pytest.approx((3 * 1 + 1 * (1 / 2) / 3) / 4)


def test_of_one_label_there_is_one_average():
    table = compute(LABELS[:, :1], PROBABILITIES[:, :1])
    assert list(table.index) == ["AF", "macro"]
    np.testing.assert_allclose(table.loc["macro", "auroc"], table.loc["AF", "auroc"])


def test_columns_stand_in_the_order_of_the_metrics():
    settings = Settings(resamples=20, beta=2.0, prevalence=0.1)
    names = metrics.list_metrics(settings)
    triples = [column for name in names for column in (name, f"{name}_low", f"{name}_high")]
    found = compute(*draw(), settings)
    assert list(found.columns) == ["n", "positives", "threshold", *triples, "note"]
    assert list(compute(*draw()).columns) == ["n", "positives", "threshold", *metrics.list_metrics(Settings()), "note"]


def resample(row):
    """Samples of that row of the table, and the scores of the same recordings repeated as often as they are drawn."""
    predictions, settings = predict(*draw()), Settings(resamples=70, resampled="recordings")
    found = scores.compute(predictions, at(0.5, 0.5), settings)
    names = list(metrics.list_metrics(settings))
    assert found.samples.shape == (5, len(names), 70)
    weights = next(
        resampling.draw(scores.create_design(predictions, settings), 70, settings.seed)[1]()
    )  # from the 64th
    drawn = predictions.take(np.repeat(np.arange(300), weights[:, 2].astype(int)))
    again = scores.compute(drawn, at(0.5, 0.5), NO_INTERVAL)
    assert again.samples.shape == (5, len(names), 0)
    return found.samples[row, :, 66], again.table.loc[row, names].to_numpy(float)


@pytest.mark.parametrize("row", range(5), ids=["AF", "SB", "macro", "micro", "weighted"])
def test_samples_are_the_scores_of_resamples(row):
    found, expected = resample(row)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_notes_say_what_is_undefined_and_what_is_uncertain():
    labels = np.zeros((60, 3))
    labels[:5, 0], labels[5:, 1] = 1, 1
    table = compute(labels, np.full((60, 3), 0.5))
    assert table["note"].tolist() == [
        "only 5 positives",
        "only 5 negatives",
        "no positives",
        "where defined: not ST; few of a class: AF, SB",
        "few of a class: AF, SB",
        "where defined: not ST; few of a class: AF, SB",
    ]
    assert compute(labels[4:, :1], np.full((56, 1), 0.5)).loc["AF", "note"] == "only 1 positive"
    assert compute(labels[:, :2], np.full((60, 2), 0.5), Settings(resamples=0, few=5))["note"].tolist() == [""] * 5


def test_labels_that_nobody_knows_are_all_undefined():
    table = compute(np.full((3, 1), NAN), np.full((3, 1), 0.5), Settings(resamples=20))
    assert table.loc["AF", ["n", "positives"]].tolist() == [0, 0]
    names = metrics.list_metrics(Settings())
    assert table[[f"{name}{end}" for name in names for end in ("", "_low", "_high")]].isna().all(axis=None)
    assert table["note"].tolist() == ["no known label", "where defined: not AF"]


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("resampled", ["auto", "stratified"])
def test_intervals_hold_their_estimate(interval, resampled):
    table = compute(*draw(), Settings(resamples=200, interval=interval, resampled=resampled))
    for name in metrics.list_metrics(Settings()):
        assert (table[f"{name}_low"] < table[name]).all(), name
        assert (table[name] < table[f"{name}_high"]).all(), name


def test_recall_has_wilsons_interval_where_recordings_are_drawn():
    # 81 of 263 positives are called: 0.2553 to 0.3662 (Newcombe 1998); 15 of 148 negatives: 1 - 0.1605 to 1 - 0.0624
    label = np.repeat([1.0, 0.0], [263, 148])
    called = np.concatenate([np.arange(263) < 81, np.arange(148) < 15])
    table = compute(label[:, None], called[:, None] * 0.9, Settings(resamples=20))
    np.testing.assert_allclose(table.loc["AF", ["recall_low", "recall_high"]].tolist(), [0.2553, 0.3662], atol=5e-5)
    ends = table.loc["AF", ["specificity_low", "specificity_high"]].tolist()
    np.testing.assert_allclose(ends, [1 - 0.1605, 1 - 0.0624], atol=5e-5)


def test_the_interval_of_f1_is_wilsons_of_hits_among_all_but_right_rejections():
    # 20 hits of 20 + 5 + 5: share 2/3, F1 4/5; Wilson 0.487801 and 0.807695 become 2 s / (1 + s)
    label = np.repeat([1.0, 0.0], [25, 75])
    called = np.concatenate([np.arange(25) < 20, np.arange(75) < 5])
    row = compute(label[:, None], called[:, None] * 0.9, Settings(resamples=20)).loc["AF"]
    assert row["f1"] == pytest.approx(4 / 5)
    ends = np.array([0.487801, 0.807695])
    np.testing.assert_allclose([row["f1_low"], row["f1_high"]], 2 * ends / (1 + ends), atol=2e-6)


def test_perfect_calls_have_an_interval_of_some_width():
    labels = draw()[0]
    table = compute(labels, labels, Settings(resamples=100))
    for name in ("auroc", "precision", "recall", "specificity", "npv", "f1"):
        assert (table.loc[["AF", "SB"], name] == 1).all()
        assert (widths(table, name)[:2] > 0.005).all(), name


def test_recordings_of_the_same_patients_widen_intervals():
    # four copies of each recording tell no more than one: twice as wide as four that are taken for new ones
    labels, probabilities = (np.repeat(values, 4, axis=0) for values in draw(150))
    settings = Settings(resamples=400)
    once = compute(*draw(150), settings)
    copied = compute(labels, probabilities, settings)
    known = compute(labels, probabilities, settings, patients=np.repeat(np.arange(150), 4).astype(str))
    for name in ("auroc", "average_precision", "f1", "precision", "recall", "specificity", "npv", "brier", "mcc"):
        np.testing.assert_allclose(known[name], once[name], atol=1e-9)
        np.testing.assert_allclose(widths(known, name) / widths(copied, name), 2, rtol=0.25, err_msg=name)
        np.testing.assert_allclose(widths(known, name) / widths(once, name), 1, rtol=0.25, err_msg=name)


def test_patients_are_drawn_unless_recordings_are_asked_for():
    patients = np.repeat(np.arange(150), 2).astype(str)
    predictions = predict(*draw(), patients=patients)
    choices = {"auto": 150, "patients": 150, "recordings": 300, "stratified": 300}
    for resampled, units in choices.items():
        assert scores.create_design(predictions, Settings(resampled=resampled)).units == units
    assert scores.create_design(predictions, Settings(legacy=True)).legacy
    assert len(scores.create_design(predictions, Settings(resampled="stratified")).strata) == 4


@pytest.mark.parametrize("positives", [33, 34])
def test_the_average_of_copies_of_a_label_is_no_more_uncertain_than_it(positives):
    # whatever the positives of all labels together are
    label = (np.arange(100) < positives).astype(float)
    probability = np.random.default_rng(0).random(100) * 0.8 + 0.2 * label
    labels, probabilities = np.tile(label[:, None], 3), np.tile(probability[:, None], 3)
    table = compute(labels, probabilities, Settings(resamples=1000, interval="expanded"))
    for name in ("auroc", "recall", "f1"):
        for row in ("macro", "micro", "weighted"):
            assert widths(table, name)[row] <= widths(table, name)["AF"] + 1e-9, row


@pytest.mark.parametrize("probability", [[0.9, 0.1], [0.5, 0.5]], ids=["perfect", "tied"])
def test_averages_are_no_surer_than_their_labels(probability):
    # 2 positives of 120 each: no resample differs from another
    labels = np.zeros((120, 2))
    labels[:2, 0] = labels[2:4, 1] = 1
    probabilities = np.where(labels > 0, *probability)
    one = compute(labels[:, :1], probabilities[:, :1], Settings(resamples=50))
    for name in ("auroc", "average_precision", "f1", "recall", "precision", "specificity"):
        assert widths(one, name)["macro"] == pytest.approx(widths(one, name)["AF"]), name
        assert widths(one, name)["AF"] > 0, name
    table = compute(labels, probabilities, Settings(resamples=50))
    for name in ("auroc", "average_precision", "f1", "recall"):
        for row in ("macro", "micro", "weighted"):
            assert widths(table, name)[row] > widths(table, name)["AF"] / 2, (name, row)
    if probability[0] == 0.9:
        assert table.loc["macro", "recall_low"] == pytest.approx(1 - (1 - table.loc["AF", "recall_low"]) / 2**0.5)


def test_recordings_of_a_patient_that_are_repeated_change_no_interval_but_by_the_draw():
    names = np.array([f"{i:03d}" for i in range(300)])
    labels, probabilities = draw()
    one = compute(labels, probabilities, Settings(resamples=200), patients=names)
    five = compute(*(np.tile(each, (5, 1)) for each in (labels, probabilities)), Settings(resamples=200),
                   patients=np.tile(names, 5))  # fmt: skip
    columns = [name for name in one if name.endswith(("_low", "_high"))]
    rows = ["AF", "SB", "macro", "weighted"]
    closed = [name for name in columns if not name.startswith("brier")]
    np.testing.assert_allclose(five.loc[rows, closed], one.loc[rows, closed], atol=1e-9)
    np.testing.assert_allclose(
        five.loc["micro", closed].astype(float), one.loc["micro", closed].astype(float), atol=5e-3
    )
    alone = compute(labels, probabilities, Settings(resamples=200))
    np.testing.assert_allclose(one[columns], alone[columns], atol=1e-12)


def test_notes_count_patients():
    labels = np.zeros((200, 1))
    labels[:60] = 1
    patients = np.repeat(np.arange(20), 10).astype(str)
    table = compute(labels, labels, patients=patients)
    assert table.loc["AF", "note"] == "only 60 positives of 6 patients"
    assert compute(labels, labels, patients=np.arange(200).astype(str)).loc["AF", "note"] == ""
    labels[:] = patients[:, None].astype(int) > 0
    assert compute(labels, labels, patients=patients).loc["AF", "note"] == "only 10 negatives of 1 patient"


def test_ranking_scores_are_of_the_raw_probabilities():
    labels, raw = draw()
    stepwise = np.round(raw, 1)
    plain, rounded = compute(labels, raw), compute(labels, stepwise)
    found = compute(labels, stepwise, raw=raw)
    for name in metrics.RANKING:
        np.testing.assert_allclose(found[name][["AF", "SB", "macro"]], plain[name][["AF", "SB", "macro"]], atol=1e-12)
    others = [*metrics.DECISIONS, "brier"]
    np.testing.assert_array_equal(found[others], rounded[others])
    settings = Settings(resamples=50)
    ends = ["auroc_low", "auroc_high", "average_precision_low", "average_precision_high"]
    one, two = compute(labels, raw, settings), compute(labels, stepwise, settings, raw=raw)
    np.testing.assert_allclose(one.loc[["AF", "SB"], ends], two.loc[["AF", "SB"], ends], atol=1e-9)


def test_what_recalibration_keeps_apart_is_ranked_as_before():
    labels, raw = draw()
    steep = raw ** np.array([1.3, 0.4])  # strictly monotone, and other for each label
    pd.testing.assert_frame_equal(compute(labels, steep, raw=raw), compute(labels, steep))
    # where raw probabilities were rounded and recalibrated ones were not, nothing is lost either
    pd.testing.assert_frame_equal(compute(labels, steep, raw=np.round(raw, 2)), compute(labels, steep))


def test_each_recording_may_have_thresholds_of_its_own():
    values = np.array([[0.5, 0.6, 0.95], [0.2, 0.5, 0.5], [0.7, 0.6, 0.05], [0.0, 0.4, 0.5]])
    predictions = predict(LABELS, PROBABILITIES.astype(float))
    thresholds = Thresholds(values, "max_f1", "cross-fitted")
    np.testing.assert_array_equal(scores.decide(predictions, thresholds), [[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    table = scores.compute(predictions, thresholds, NO_INTERVAL).table
    np.testing.assert_allclose(table["threshold"][:3], values.mean(axis=0))
    np.testing.assert_allclose(table["recall"][:2], [1, 1 / 2])


def test_numbers_are_the_same_every_time_and_others_with_another_seed():
    settings = Settings(resamples=70)
    once, again = compute(*draw(), settings), compute(*draw(), settings)
    assert once.equals(again)
    other = compute(*draw(), dataclasses.replace(settings, seed=1))
    assert other["brier"].equals(once["brier"])
    assert not other["brier_low"].equals(once["brier_low"])
