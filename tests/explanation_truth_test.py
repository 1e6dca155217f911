"""Explanations against the truth: causes of simulated findings, measures by hand, the experiment as a user runs it."""

import functools
import importlib
import os
import sys
import types

import jax
import networks
import numpy as np
import pandas as pd
import pytest

from ecg_jax import models
from ecg_jax.explanation import faithfulness, simulated_causes
from ecg_jax.explanation.simulated_causes import Waves, fill, mark
from ecg_jax.recording import LEADS
from ecg_jax.simulation import criteria, rhythm

sys.path.append(os.path.join(os.path.dirname(__file__), os.pardir, "experiments"))

RATE = 400


def spans(*bounds):
    """Waves that are the same in all leads."""
    return Waves(*(np.repeat(np.array(side, float)[:, None], 12, axis=1) for side in zip(*bounds, strict=True)))


BEAT = {"P": spans((0.1, 0.2)), "QRS": spans((0.35, 0.45)), "T": spans((0.5, 0.7))}


def find(code, waves=BEAT, clean=None, **truth):
    """Milliseconds that are marked, by lead."""
    clean = np.zeros((RATE, 12)) if clean is None else clean
    marked = mark(code, waves, clean, truth)
    return {lead: np.flatnonzero(marked[:, i]) * 1000 / RATE for i, lead in enumerate(LEADS) if marked[:, i].any()}


def test_first_degree_block_is_from_p_to_qrs_in_all_leads():
    found = find("1AVB")
    assert list(found) == list(LEADS)
    assert (found["II"][0], found["II"][-1]) == (100, 347.5)


def test_a_p_wave_without_a_complex_after_it_is_no_cause():
    assert find("1AVB", BEAT | {"P": spans((0.8, 0.9))}) == {}


def test_right_block_is_what_follows_the_first_60_ms_in_three_leads():
    found = find("CRBBB")
    assert sorted(found) == ["I", "V1", "V6"]
    assert (found["V1"][0], found["V1"][-1]) == (410, 447.5)


def test_left_block_is_the_complex_of_five_leads():
    assert sorted(find("CLBBB")) == ["I", "V1", "V5", "V6", "aVL"]


def test_fibrillation_is_where_a_p_wave_would_be():
    found = find("AFIB", BEAT | {"QRS": spans((0.35, 0.45), (0.9, 1.0))})
    assert (found["V1"][0], found["V1"][-1]) == (700, 897.5)


def test_inferior_infarction_is_the_negative_part_before_r():
    """Lead II: 30 ms down, then up; III: down to the end; aVF: an R wave first."""
    clean = np.zeros((RATE, 12))
    two, three, foot = (clean[140:180, LEADS.index(lead)] for lead in ("II", "III", "aVF"))
    two[1:12], two[12:20] = -0.2, 0.8
    three[1:] = -0.3
    foot[1:8], foot[8:] = 0.5, -0.2
    found = find("IMI", clean=clean)
    assert sorted(found) == ["II", "III"]
    assert (found["II"][0], found["II"][-1]) == (350, 377.5)
    assert (found["III"][0], found["III"][-1]) == (350, 447.5)


@pytest.mark.parametrize(
    ("s_v1", "s_v3", "r_avl", "is_male", "leads"),
    [
        (1.6, 0.5, 0.5, True, ["V1", "V5", "V6"]),
        (1.0, 1.5, 0.6, False, ["V3", "aVL"]),
        (1.0, 1.5, 0.6, True, []),
        (1.6, 2.0, 0.9, True, ["V1", "V3", "V5", "V6", "aVL"]),
    ],
)
def test_hypertrophy_is_where_its_voltages_are(s_v1, s_v3, r_avl, is_male, leads):
    """R of V5 is 2 mV: 3.5 mV with S of V1 (Sokolow-Lyon); 2.8 or 2.0 mV of V3 and aVL (Cornell)."""
    r, s = np.zeros(12), np.zeros(12)
    r[LEADS.index("V5")], r[LEADS.index("aVL")] = 2.0, r_avl
    s[LEADS.index("V1")], s[LEADS.index("V3")] = s_v1, s_v3
    found = find("LVH", measures=types.SimpleNamespace(r=r, s=s), is_male=is_male)
    assert sorted(found) == leads


def test_spans_are_filled_where_they_are_within_the_recording():
    marked = fill(np.full((2, 12), [[-0.1], [0.9]]), np.full((2, 12), [[0.01], [2.0]]), RATE)
    np.testing.assert_array_equal(np.flatnonzero(marked[:, 3]), [*range(4), *range(360, 400)])


@functools.cache
def draw(code):
    return next(simulated_causes.draw(code, jax.random.key(0)))


def measure_runs(marked):
    """Lengths in seconds of the runs of `[T]` bool that neither begin nor end the recording."""
    edges = np.flatnonzero(np.diff(np.pad(marked, 1).astype(int))).reshape(-1, 2)
    return np.diff(edges[1:-1])[:, 0] / RATE


@pytest.mark.slow
def test_a_drawn_cause_is_as_long_as_the_pr_interval_and_what_shows_before():
    """P shows some milliseconds before its nominal onset, as measured: 24 ms longer, standard deviation 17 ms."""
    drawn = draw("1AVB")
    lengths = [np.median(np.concatenate([measure_runs(lead) for lead in cause.T])) for cause in drawn.cause]
    excess = np.array(lengths) - drawn.truth["pr"]
    assert excess.mean() == pytest.approx(0.024, abs=0.01)
    assert excess.std() < 0.025


@pytest.mark.slow
@pytest.mark.parametrize("code", ["1AVB", "IMI"])
def test_what_is_drawn_has_one_finding_and_a_cause(code):
    drawn = draw(code)
    stated = [
        {name for name, is_there in zip(criteria.NAMES, row, strict=True) if is_there} for row in drawn.truth["stated"]
    ]
    assert all(code in row and row <= {code, "NORM", "SR", "SBRAD", "STACH"} for row in stated)
    assert drawn.cause.any(axis=(1, 2)).all()
    assert not drawn.cause[~drawn.valid].any()
    assert (drawn.truth["rhythm"] == rhythm.SINUS).all()


VALUES = np.array([[4.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
CAUSE = np.array([[True, False], [True, False], [False, False], [False, False]])


def test_the_share_inside_is_of_magnitudes():
    assert faithfulness.compute_share(VALUES, CAUSE) == 6 / 8
    assert faithfulness.compute_share(np.maximum(VALUES, 0), CAUSE) == 4 / 6
    assert faithfulness.compute_share(np.zeros((4, 2)), CAUSE) == 0


def test_the_largest_value_may_miss_the_cause_by_the_tolerance_but_not_in_another_lead():
    values = np.zeros((20, 2))
    values[10, 0] = 1.0
    cause = np.zeros((20, 2), bool)
    cause[12:14, 0] = True
    assert not faithfulness.points_at(values, cause, width=1, tolerance=1)
    assert faithfulness.points_at(values, cause, width=1, tolerance=2)
    assert not faithfulness.points_at(values[:, ::-1], cause, width=1, tolerance=2)


def test_smoothing_lets_a_wide_bump_win_over_a_spike():
    values = np.zeros((30, 1))
    values[3], values[20:25] = 1.0, 0.5
    cause = np.zeros((30, 1), bool)
    cause[20:25] = True
    assert not faithfulness.points_at(values, cause, width=1, tolerance=0)
    assert faithfulness.points_at(values, cause, width=5, tolerance=0)


def test_a_negative_value_does_not_point():
    assert not faithfulness.points_at(
        -np.eye(4)[:, :1] + 0.1 * np.eye(4)[:, 3:], np.eye(4, 1, dtype=bool), width=1, tolerance=0
    )


def test_cells_are_removed_and_kept_by_their_sum():
    """Cells of two samples: 2 (lead 1, first), 0, 0, 2 (lead 2, second) become 2, 0, 0, 3."""
    signal = np.arange(1.0, 9.0).reshape(4, 2)
    values = VALUES + np.array([[0, 0], [0, 0], [0, 1.0], [0, 0]])
    [without] = faithfulness.remove_cells(signal, values, 2, [0.25])
    np.testing.assert_array_equal(without, [[1, 2], [3, 4], [5, 0], [7, 0]])
    [alone] = faithfulness.remove_cells(signal, values, 2, [0.5], keep=True)
    np.testing.assert_array_equal(alone, [[1, 0], [3, 0], [0, 6], [0, 8]])


def test_equal_cells_go_in_no_order_of_time_or_leads():
    signal = np.ones((400, 12))
    [without] = faithfulness.remove_cells(signal, np.zeros((400, 12)), 4, [0.5])
    assert without.sum() == 2400
    assert (np.abs(without.mean(axis=0) - 0.5) < 0.2).all()
    assert abs(without[:200].mean() - 0.5) < 0.1


def test_the_area_of_a_curve_that_falls_to_zero_at_once_and_of_a_straight_one():
    fractions = np.array(faithfulness.FRACTIONS)
    assert faithfulness.compute_area(1.0, 1 - fractions, 0.0) == pytest.approx(0.5)
    assert faithfulness.compute_area(1.0, np.zeros(len(fractions)), 0.0) == pytest.approx(fractions[0] / 2)


def test_similarity_is_of_ranks_of_cells():
    values = np.arange(24.0).reshape(12, 2)
    assert faithfulness.compare(values, values**2, 2) == pytest.approx(1.0)
    assert faithfulness.compare(values, -values, 2) == pytest.approx(-1.0)
    assert faithfulness.compare(values, values[::-1, ::-1], 2) == pytest.approx(-1.0)
    assert np.isnan(faithfulness.compare(values, np.ones((12, 2)), 2))


def test_chosen_parts_are_randomized_and_no_others():
    network = models.create("narrow", head="dense", num_labels=2, trunk={"stem_filters": 4, "filters": (4, 4, 4, 4)})
    old, fresh = (networks.draw(network, (256, 12), seed) for seed in (0, 1))
    mixed = faithfulness.randomize(old, fresh, ["head", "trunk/unit4"])
    is_same = jax.tree.map(lambda one, other: bool((one == other).all()), mixed, old)
    assert all(jax.tree.leaves(is_same["params"]["trunk"]["unit1"]))
    assert not is_same["params"]["head"]["output"]["kernel"]
    assert not all(jax.tree.leaves(is_same["params"]["trunk"]["unit4"]))


@pytest.fixture
def experiment():
    return importlib.import_module("explanation_truth")


def test_ranks_are_means_over_measures_and_findings(experiment, monkeypatch):
    """A is first in three of four measures, B in deletion: (1 + 1 + 2 + 1) / 4 and (2 + 2 + 1 + 2) / 4."""
    monkeypatch.setattr(experiment, "METHODS", {"a": None, "b": None})
    row = {"purpose": "choose", "model": "m", "finding": "f", "pointing": 0.5}
    one = row | {"method": "a", "positive share": 0.6, "pointing": 1.0, "deletion": 0.3, "insertion": 0.9}
    two = row | {"method": "b", "positive share": 0.1, "deletion": 0.2, "insertion": 0.8}
    ranks = experiment.rank(pd.DataFrame([one, two, one | {"purpose": "report", "deletion": 0.0}]))
    assert dict(ranks) == {"a": 1.25, "b": 1.75}


def test_what_was_computed_is_not_computed_again(experiment, tmp_path):
    def refuse():
        raise AssertionError

    what = {"purpose": "report", "model": "runs/a", "finding": "IMI", "method": "random"}
    first = experiment.run([(what, lambda: pd.DataFrame([{"share": 0.25}]))], str(tmp_path))
    again = experiment.run([(what, refuse)], str(tmp_path))
    pd.testing.assert_frame_equal(first, again)
    assert experiment.average(pd.Series([0.0, 1.0, np.nan]))[0] == 0.5


def test_the_report_names_the_winner_that_meets_the_conditions(experiment, tmp_path, capsys):
    """Occlusion has the better marks, but its maps are as similar with random weights as with another seed's."""
    marks = {"inside": 0.1, "right": 1.0, "seconds": 0.1, "P": 0.2, "QRS": 0.3, "ST-T": 0.4, "elsewhere": 0.1}
    good = {
        "method": "occlusion",
        "share": 0.9,
        "positive share": 0.9,
        "pointing": 1.0,
        "deletion": 0.1,
        "insertion": 0.9,
    }
    poor = {
        "method": "grad_cam",
        "share": 0.2,
        "positive share": 0.2,
        "pointing": 0.0,
        "deletion": 0.5,
        "insertion": 0.5,
    }
    drawn = [("choose", "IMI"), ("report", "IMI"), ("report", "SBRAD")]
    scored = [
        marks | each | {"purpose": purpose, "model": "m", "finding": finding}
        for each in (good, poor)
        for purpose, finding in drawn
    ]
    compared = [
        {
            "purpose": "compare",
            "finding": "IMI",
            "method": method,
            "with": other,
            "similarity": similarity,
            "signed": 0.0,
        }
        for method, other, similarity in [
            ("occlusion", "another seed", 0.5),
            ("occlusion", "random", 0.5),
            ("grad_cam", "another seed", 0.5),
            ("grad_cam", "random", 0.1),
        ]
    ]
    experiment.report(pd.DataFrame(scored + compared), str(tmp_path))
    printed = capsys.readouterr().out
    assert "Method of choice: grad_cam" in printed
    assert "0.90 (0.90-0.90)" in printed
    assert set(pd.read_csv(tmp_path / "scores.csv")["finding"]) == {"IMI"}
    assert set(pd.read_csv(tmp_path / "segments.csv")["finding"]) == {"SBRAD"}
