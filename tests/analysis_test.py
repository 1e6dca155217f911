"""Everything that is asked of predictions, in one place."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ecg_jax.errors import InputError
from ecg_jax.evaluation import agreement, analysis, metrics, thresholds
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.reporting import evaluation_report

NAN = np.nan
FEW = Settings(resamples=50)


def draw(size=200, seed=0, **others):
    rng = np.random.default_rng(seed)
    labels = (rng.random((size, 2)) < 0.4).astype(float)
    probabilities = np.clip(0.3 + 0.3 * labels + 0.2 * rng.normal(size=(size, 2)), 0, 1)
    return Predictions(np.arange(size).astype(str), ("AF", "SB"), labels, probabilities, **others)


def test_thresholds_are_chosen_on_validation_if_there_is_any():
    test, validation = draw(), draw(seed=1)
    found = analysis.choose_thresholds(test, validation, "youden", FEW)
    expected = thresholds.choose(validation.labels, validation.probabilities, "youden")
    np.testing.assert_array_equal(found.values, expected)
    assert (found.rule, found.source, found.stamps) == ("youden", "validation", ())


def test_without_validation_they_are_cross_fitted():
    test = draw()
    found = analysis.choose_thresholds(test, None, "max_f1", FEW)
    assert (found.values.shape, found.source, found.stamps) == ((200, 2), "cross-fitted", ())
    for column in found.values.T:
        assert 1 < len(np.unique(column)) <= thresholds.PARTS
    np.testing.assert_array_equal(found.values, analysis.choose_thresholds(test, None, "max_f1", FEW).values)
    other = analysis.choose_thresholds(test, None, "max_f1", Settings(seed=1))
    assert not np.array_equal(found.values, other.values)


def test_recordings_of_a_patient_share_cross_fitted_thresholds():
    patients = np.random.default_rng(2).permutation(np.repeat([*map(str, range(50))], 4))
    for settings in (FEW, Settings(resampled="recordings"), Settings(legacy=True)):  # whatever the bootstrap draws
        found = analysis.choose_thresholds(draw(patients=patients), None, "max_f1", settings)
        for name in np.unique(patients):
            assert len(np.unique(found.values[patients == name], axis=0)) == 1


def test_thresholds_of_the_test_set_itself_put_a_stamp_on_everything():
    test = draw()
    chosen = analysis.choose_thresholds(test, draw(seed=1), "max_f1", FEW, on_test=True)
    np.testing.assert_array_equal(chosen.values, thresholds.choose(test.labels, test.probabilities))
    assert chosen.source == "test"
    assert analysis.analyse(test, chosen, FEW).stamps == (thresholds.STAMP,)
    assert analysis.analyse(test, dataclasses.replace(chosen, source="given"), FEW).stamps == ()


HALF = thresholds.Thresholds(np.array([0.5, 0.5]), "", thresholds.GIVEN)


def test_confusion_has_the_truth_in_rows():
    test = draw()
    test.labels[:20, 0] = NAN
    found = analysis.analyse(test, HALF, FEW)
    truth, called = test.labels[20:, 0] == 1, test.probabilities[20:, 0] >= 0.5
    expected = [[np.sum(~truth & ~called), np.sum(~truth & called)], [np.sum(truth & ~called), np.sum(truth & called)]]
    np.testing.assert_array_equal(found.confusion["AF"], expected)


def test_calibration_is_told_before_and_after():
    test = draw()
    plain = analysis.analyse(test, HALF, FEW)
    assert plain.calibration["probabilities"].tolist() == ["as predicted"] * 2
    raw = dataclasses.replace(test, raw=test.probabilities**2)
    found = analysis.analyse(raw, HALF, FEW)
    assert found.calibration["probabilities"].tolist() == ["as predicted", "recalibrated"] * 2
    before, after = found.calibration.set_index("probabilities").loc[["as predicted", "recalibrated"], "brier"][::2]
    assert before == pytest.approx(np.mean((test.probabilities[:, 0] ** 2 - test.labels[:, 0]) ** 2))
    assert after == pytest.approx(plain.calibration["brier"][0])
    assert set(found.reliability["AF"]) == {"as predicted", "recalibrated"}
    same = dataclasses.replace(test, raw=test.probabilities)
    assert set(analysis.analyse(same, HALF, FEW).reliability["AF"]) == {"as predicted"}


def test_readers_are_compared_with_the_model_by_its_name():
    test = draw()
    found = analysis.analyse(test, HALF, FEW, annotators={"Dr A": test.labels}, name="network")
    assert found.kappa["readers"].unique().tolist() == ["network vs Dr A"]
    wrong = (test.probabilities >= 0.5) != (test.labels == 1)
    assert found.mcnemar["only_second_right"].tolist() == wrong.sum(axis=0).tolist()
    assert found.mcnemar["only_first_right"].tolist() == [0, 0]
    assert found.panel["readers"].tolist() == [2, 2]


def test_a_reader_with_the_name_of_the_model_is_refused():
    test = draw()
    with pytest.raises(InputError, match="model"):
        analysis.analyse(test, HALF, FEW, annotators={"model": test.labels, "Dr A": test.labels})


def test_what_is_not_asked_for_is_not_there():
    found = analysis.analyse(draw(), HALF, FEW)
    assert (found.kappa, found.panel, found.mcnemar, found.comparison) == (None,) * 4
    assert found.subgroups.empty
    assert found.warnings == ()


def test_attributes_make_subgroups_all_of_them_or_those_named():
    test = draw(attributes={"sex": np.tile(["f", "m"], 100), "site": np.repeat(["a", "b"], 100)})
    assert analysis.analyse(test, HALF, FEW).subgroups["column"].unique().tolist() == ["sex", "site"]
    found = analysis.analyse(test, HALF, FEW, attributes=["site"])
    assert found.subgroups["column"].unique().tolist() == ["site"]
    assert analysis.analyse(test, HALF, FEW, attributes=[]).subgroups.empty


def test_another_model_is_compared():
    test = draw()
    other = dataclasses.replace(test, probabilities=1 - test.probabilities)
    table = analysis.analyse(test, HALF, FEW, other=(other, HALF)).comparison
    row = table[(table["label"] == "AF") & (table["metric"] == "auroc")].iloc[0]
    assert row["first"] + row["second"] == pytest.approx(1)
    assert row["difference"] > 0.5


def test_decision_curves_go_as_far_as_asked():
    table = analysis.analyse(draw(), HALF, FEW, decision_range=(0.05, 0.4)).decision_curves
    assert (table["threshold"].min(), table["threshold"].max()) == (0.05, 0.4)
    assert table["label"].unique().tolist() == ["AF", "SB"]


def test_warnings_name_labels_and_the_old_way_of_drawing():
    test = draw()
    test.labels[:, 0] = 0
    test.labels[:, 1] = np.arange(200) < 7
    found = analysis.analyse(test, HALF, Settings(resamples=20, legacy=True))
    undefined, few, legacy = found.warnings
    assert undefined.startswith("no positives: AF")
    assert few.endswith("SB (7 positives)")
    assert "as the script of Ribeiro et al. 2020 did: recordings, not patients" in legacy
    assert found.scores.table["label"].tolist() == ["AF", "SB", metrics.MACRO, metrics.MICRO, metrics.WEIGHTED]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": np.zeros((200, 3))}, r"labels are \(200, 3\); expected \(200, 2\), recordings x labels"),
        ({"probabilities": np.zeros((199, 2))}, r"probabilities are \(199, 2\); expected"),
        ({"probabilities": np.full((200, 2), NAN)}, "probabilities must be numbers from 0 to 1"),
        ({"probabilities": np.full((200, 2), 1.1)}, "probabilities must be numbers from 0 to 1"),
        ({"ids": np.empty(0, str), "labels": np.empty((0, 2)), "probabilities": np.empty((0, 2))}, "no recording"),
    ],
)
def test_predictions_that_make_no_sense_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(draw(), **change)


def test_some_recordings_are_taken_with_all_that_belongs_to_them():
    test = draw(raw=np.zeros((200, 2)), patients=np.arange(200).astype(str), attributes={"age": np.arange(200)})
    for rows in (np.array([5, 3, 3]), np.isin(np.arange(200), [5, 3])):
        found = test.take(rows)
        np.testing.assert_array_equal(found.ids, test.ids[rows])
        np.testing.assert_array_equal(found.patients, found.attributes["age"].astype(str))
        np.testing.assert_array_equal(found.probabilities, test.probabilities[rows])
        assert found.raw.shape == found.labels.shape == (len(found.ids), 2)


def test_a_threshold_that_was_not_chosen_is_said_in_the_table_the_warnings_and_the_captions():
    def draw(labels):
        labels = np.array(labels, float)
        scores = np.random.default_rng(0).random(labels.shape)
        return Predictions(np.arange(len(labels)).astype(str), ("AF", "SB"), labels, scores)

    validation = draw([[0, 1], [0, 0], [0, 1]])
    test = draw([[1, 1], [0, 0], [1, 0], [0, 1]])
    chosen = analysis.choose_thresholds(test, validation, "max_f1", Settings())
    assert chosen.unchosen == ("AF",)
    assert chosen.values[0] == 0.5
    found = analysis.analyse(test, chosen, Settings(resamples=0))
    notes = found.scores.table.set_index("label")["note"]
    assert notes["AF"].endswith("; threshold 0.5, not chosen")
    assert "not chosen" not in notes["SB"]
    assert found.shown_thresholds[:2] == ["0.5, not chosen", chosen.values[1]]
    assert sum("threshold 0.5, not chosen" in line for line in found.warnings) == 1
    assert "0.5, not chosen: AF" in evaluation_report.create_tables(found, {})["scores"].caption
    # One positive: the part that holds it leaves none to the choice of its own threshold.
    crossed = analysis.choose_thresholds(draw([[1, 0], [0, 1], [0, 0], [0, 1]]), None, "max_f1", Settings())
    assert crossed.unchosen == ("AF",)


def test_what_ranks_after_a_recalibration_is_said():
    test = draw()
    stepwise = dataclasses.replace(test, raw=test.probabilities, probabilities=np.round(test.probabilities, 1))
    assert analysis.analyse(stepwise, HALF, FEW).notes == (analysis.RANKED_RAW,)
    assert analysis.analyse(dataclasses.replace(test, raw=test.probabilities), HALF, FEW).notes == ()
    assert analysis.analyse(test, HALF, FEW).notes == ()


def test_subgroups_rank_before_recalibration():
    test = draw(attributes={"sex": np.tile(["f", "m"], 100)})
    stepwise = dataclasses.replace(test, raw=test.probabilities, probabilities=np.round(test.probabilities, 1))
    one, two = (analysis.analyse(each, HALF, FEW).subgroups for each in (test, stepwise))
    chosen = one["metric"].isin(("auroc", "average_precision"))
    columns = ["value", "others", "difference", "difference_low", "difference_high", "p"]
    np.testing.assert_allclose(one.loc[chosen, columns], two.loc[chosen, columns], atol=1e-9)


def test_agreement_counts_patients_where_they_are_drawn():
    patients = np.repeat(np.arange(40), 5).astype(str)
    test = draw(patients=patients)
    asked = {"annotators": {"Dr A": np.roll(test.labels, 1, axis=0)}}
    found = analysis.analyse(test, HALF, FEW, **asked)
    unit = np.unique(patients, return_inverse=True)[1]
    readings = {"model": (test.probabilities >= 0.5).astype(float), "Dr A": np.roll(test.labels, 1, axis=0)}
    pd.testing.assert_frame_equal(found.kappa, agreement.compare_readers(readings, test.names, unit=unit))
    pd.testing.assert_frame_equal(found.mcnemar, agreement.compare_errors(readings, test.labels, test.names, unit=unit))
    alone = analysis.analyse(test, HALF, Settings(resamples=50, resampled="recordings"), **asked)
    pd.testing.assert_frame_equal(alone.kappa, agreement.compare_readers(readings, test.names))


def test_a_warning_names_kappas_of_few_positives():
    test = draw()
    test.labels[:, 0], test.probabilities[:, 0] = np.arange(200) < 60, np.where(np.arange(200) < 4, 0.9, 0.1)
    reading = test.labels.copy()
    reading[:, 0] = np.arange(200) < 6
    found = analysis.analyse(test, HALF, FEW, annotators={"Dr A": reading})
    assert found.warnings[-1] == (
        "kappas of fewer than 10 positives, which say little: model vs Dr A on AF (6 positives)"
    )
