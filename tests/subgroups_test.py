"""Groups of patients, and how far a model is from as good in all of them."""

import dataclasses

import numpy as np
import pytest

from ecg_jax.evaluation import scores, subgroups
from ecg_jax.evaluation.agreement import adjust_holm
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import CROSS_FITTED, GIVEN, Thresholds

NAN = np.nan
HALF = Thresholds(np.array([0.5]), "", GIVEN)
FEW = Settings(resamples=200)


def test_ages_are_cut_where_it_is_usual():
    ages = np.array([0, 17.9, 18, 39, 40, 60, 79, 80, 300, NAN])
    expected = ["below 18"] * 2 + ["18 to below 40"] * 2 + ["40 to below 60"] + ["60 to below 80"] * 2
    expected += ["80 and above"] * 2 + ["unknown"]
    for name in ("age", "Age"):
        assert subgroups.assign(name, ages).tolist() == expected
    assert subgroups.assign("age", np.array([50], np.int64)).tolist() == ["40 to below 60"]


@pytest.mark.parametrize("prefix", ["", "measured_"])
@pytest.mark.parametrize(
    ("name", "values", "groups"),
    [
        (
            "pr",
            [119.9, 120, 180, 219, 220],
            ["below 120", "120 to below 180", *["180 to below 220"] * 2, "220 and above"],
        ),
        ("qrs", [109, 110, 130], ["below 110", "110 to below 130", "130 and above"]),
        ("qtc", [429, 479, 480], ["below 430", "430 to below 480", "480 and above"]),
        ("heart_rate", [49, 59, 100], ["below 50", "50 to below 60", "100 and above"]),
        ("axis", [-91, -31, -30, 180], ["below -90", "-90 to below -30", "-30 to below 90", "90 and above"]),
    ],
)
def test_intervals_are_cut_where_readers_draw_lines(prefix, name, values, groups):
    assert subgroups.assign(prefix + name, np.array([*values, NAN])).tolist() == [*groups, "unknown"]


def test_numbers_are_cut_at_their_quartiles():
    # of 1 to 9: 3, 5 and 7; an edge belongs above
    found = subgroups.assign("bmi", np.array([*range(1, 10), NAN]))
    expected = ["below 3"] * 2 + ["3 to below 5"] * 2 + ["5 to below 7"] * 2 + ["7 and above"] * 3 + ["unknown"]
    assert found.tolist() == expected


def test_quartiles_that_coincide_are_one_edge():
    found = subgroups.assign("leads", np.array([12.0] * 20 + [1, 2, 3, 4, 5, 13]))
    assert sorted(set(found.tolist())) == ["12 and above", "below 12"]


def test_few_numbers_stand_for_themselves():
    assert subgroups.assign("device", np.array([3, 1, 3])).tolist() == ["3", "1", "3"]
    assert subgroups.assign("device", np.array([0.5, NAN, 1])).tolist() == ["0.5", "unknown", "1"]
    assert subgroups.assign("male", np.array([True, False])).tolist() == ["1", "0"]
    assert subgroups.assign("device", np.array([NAN, NAN])).tolist() == ["unknown", "unknown"]


def test_large_numbers_are_told_apart():
    assert len(set(subgroups.assign("serial", np.array([1000001, 1000002])))) == 2
    assert len(set(subgroups.assign("day", np.arange(20240101, 20240121)))) == 4


def test_words_are_groups_and_the_empty_one_is_unknown():
    assert subgroups.assign("sex", np.array(["f", "m", "", "f"])).tolist() == ["f", "m", "unknown", "f"]


def test_the_rarest_of_many_groups_are_put_together():
    values = np.repeat([f"site {i:02d}" for i in range(15)], np.arange(15, 0, -1))
    names, counts = np.unique(subgroups.assign("site", values), return_counts=True)
    assert names.tolist() == ["other", *(f"site {i:02d}" for i in range(11))]
    assert counts[0] == 1 + 2 + 3 + 4
    twelve = np.repeat([f"site {i:02d}" for i in range(12)], 2)
    assert subgroups.assign("site", twelve).tolist() == twelve.tolist()


def draw(size=600, seed=0):
    """A model that is right in women and guesses in men."""
    rng = np.random.default_rng(seed)
    sex = np.where(rng.random(size) < 0.5, "f", "m")
    labels = (rng.random((size, 1)) < 0.4).astype(float)
    noise = np.where(sex == "f", 0.05, 0.5)[:, None]
    probabilities = np.clip(0.3 + 0.4 * labels + noise * rng.normal(size=(size, 1)), 0, 1)
    return Predictions(np.arange(size).astype(str), ("AF",), labels, probabilities, attributes={"sex": sex})


def compare(predictions, attributes=None, settings=FEW, thresholds=HALF):
    attributes = predictions.attributes if attributes is None else attributes
    return subgroups.compare(predictions, thresholds, attributes, settings)


def test_a_planted_gap_is_found():
    table = compare(draw()).set_index(["group", "metric"])
    for name in subgroups.METRICS:
        row = table.loc[("f", name)]
        assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]
        assert row["p"] < 0.02
        assert table.loc[("m", name), "difference"] == pytest.approx(-row["difference"])


def test_no_gap_is_found_where_there_is_none():
    # 20 groupings at random: 5 % of their intervals miss 0, give or take 3 deviations of a proportion
    predictions, rng = draw(200), np.random.default_rng(1)
    table = compare(predictions, {f"side {i}": rng.choice(["a", "b"], 200) for i in range(20)})
    table = table[(table["metric"] == "recall") & (table["group"] == "a")]
    missed = (table["difference_low"] > 0) | (table["difference_high"] < 0)
    assert np.mean(missed) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20)


def test_values_are_those_of_the_group_and_of_the_others_alone():
    predictions = draw()
    table = compare(predictions).set_index(["group", "metric"])
    women = predictions.attributes["sex"] == "f"
    own = scores.compute(predictions.take(women), HALF, FEW).table.iloc[0]
    others = scores.compute(predictions.take(~women), HALF, FEW).table.iloc[0]
    for name in subgroups.METRICS:
        row = table.loc[("f", name)]
        found = row[["n", "positives", "value", "value_low", "value_high", "others"]].tolist()
        expected = own[["n", "positives", name, f"{name}_low", f"{name}_high"]].tolist()
        assert found == pytest.approx([*expected, others[name]])


def test_columns_and_the_order_of_groups():
    age = np.tile([90.0, 10, NAN, 30], 150)
    table = compare(draw(), {"age": age})
    assert tuple(table.columns) == subgroups.COLUMNS
    groups = table["group"].drop_duplicates().tolist()
    assert groups == ["below 18", "18 to below 40", "80 and above", "unknown"]
    assert table["metric"].tolist() == list(subgroups.METRICS) * 4


def test_a_column_of_a_single_group_is_left_out():
    size = 600
    assert compare(draw(), {"site": np.full(size, "here")}).empty
    assert tuple(compare(draw(), {}).columns) == subgroups.COLUMNS
    table = compare(draw(), {"site": np.full(size, "here"), "sex": draw().attributes["sex"]})
    assert table["column"].unique().tolist() == ["sex"]


def test_a_group_without_positives_is_undefined_and_says_so():
    predictions = draw()
    predictions.labels[predictions.attributes["sex"] == "m"] = 0
    table = compare(predictions).set_index(["group", "metric"])
    row = table.loc[("m", "auroc")]
    empty = ["value", "value_low", "value_high", "difference", "difference_low", "difference_high", "p", "p_holm"]
    assert row[empty].isna().all()
    assert row["note"] == "no positives"
    assert np.isfinite(table.loc[("m", "specificity"), ["value", "difference", "p"]].astype(float)).all()
    assert table.loc[("f", "auroc"), ["others", "difference", "p"]].isna().all()
    assert np.isfinite(table.loc[("f", "auroc"), "value"])


def test_p_values_are_adjusted_over_groups_and_labels_of_a_column_and_metric():
    rng = np.random.default_rng(2)
    table = compare(draw(), {"site": rng.choice(["a", "b", "c"], 600), "sex": draw().attributes["sex"]})
    for _, part in table.groupby(["column", "metric"]):
        np.testing.assert_allclose(part["p_holm"].astype(float), adjust_holm(part["p"].to_numpy(float)))


def test_thresholds_of_their_own_go_with_their_recordings():
    predictions = draw()
    values = np.where(predictions.attributes["sex"] == "f", 0.0, 2.0)[:, None]
    table = compare(predictions, thresholds=Thresholds(values, "max_f1", CROSS_FITTED)).set_index(["group", "metric"])
    assert table.loc[("f", "recall"), ["value", "others", "difference"]].tolist() == [1, 0, 1]
    assert table.loc[("m", "recall"), ["value", "others", "difference"]].tolist() == [0, 1, -1]


def test_the_gap_of_patients_with_several_recordings_is_as_uncertain_as_theirs():
    # four copies of each recording tell no more than one: twice as wide as four that are taken for new ones
    once, rows = draw(150), np.repeat(np.arange(150), 4)
    copies = dataclasses.replace(once.take(rows), ids=np.arange(600).astype(str))
    known = dataclasses.replace(copies, patients=rows.astype(str))

    def width(predictions):
        table = compare(predictions, settings=Settings(resamples=1000))
        table = table[table["metric"].isin(["f1", "recall", "specificity"])]
        return (table["difference_high"] - table["difference_low"]).to_numpy(float)

    np.testing.assert_allclose(width(known) / width(copies), 2, rtol=0.2)
    np.testing.assert_allclose(width(known) / width(once), 1, rtol=0.2)


def test_without_resamples_there_are_differences_only():
    table = compare(draw(), settings=Settings(resamples=0))
    assert table[["value", "others", "difference"]].notna().all(axis=None)
    assert table[["value_low", "difference_low", "p", "p_holm"]].isna().all(axis=None)
