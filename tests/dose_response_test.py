"""Dose and response: one parameter of a simulated ECG is set and all else stays; where curves cross; the command."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from cli_test import assert_one_line, call
from networks import draw as draw_network

from ecg_jax import models
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.explanation.delineation import delineate_many, measure
from ecg_jax.inference import dose_response
from ecg_jax.inference.dose_curves import Response, find_crossings, tabulate_crossings, tabulate_curves
from ecg_jax.inference.model import Model
from ecg_jax.kinds import NUMBER
from ecg_jax.models.outputs import Scale
from ecg_jax.recording import LEADS
from ecg_jax.reporting import dose_figure
from ecg_jax.simulation import criteria, doses
from ecg_jax.simulation.doses import DOSES, Criterion
from ecg_jax.simulation.interventions import Interventions

PATIENTS = 8  # all that a test draws at once, as one compiled program
PR = dataclasses.replace(DOSES["pr"], values=(140.0, 240.0))
NAN = float("nan")


@functools.cache
def draw(name, value=NAN):
    keys = jax.random.split(jax.random.key(0), PATIENTS)
    return jax.device_get(doses.draw(DOSES[name], value, keys))


def reach(values, *names):
    """The second highest of these leads."""
    return np.sort(values[:, [LEADS.index(name) for name in names]], axis=1)[:, -2]


def read_voltage(measures):
    return measures.s[:, LEADS.index("V1")] + np.maximum(*(measures.r[:, LEADS.index(name)] for name in ("V5", "V6")))


READ = {
    "pr": lambda truth: 1e3 * truth["pr"],
    "qrs": lambda truth: 1e3 * truth["qrs"],
    "qrs-right": lambda truth: 1e3 * truth["qrs"],
    "st-inferior": lambda truth: reach(truth["measures"].st, "II", "III", "aVF"),
    "st-anterior": lambda truth: reach(truth["measures"].st, "V1", "V2", "V3", "V4"),
    "voltage": lambda truth: read_voltage(truth["measures"]),
}


@pytest.mark.parametrize("name", READ)
def test_the_truth_has_what_is_set(name):
    dose = DOSES[name]
    for value in (dose.values[0], dose.values[-1]):
        np.testing.assert_allclose(READ[name](draw(name, value).truth), value, rtol=0.01)


def test_rate_is_the_mean_of_a_rhythm_and_qtc_that_at_60_per_minute():
    np.testing.assert_allclose(draw("rate", 100.0).truth["rate"], 100, rtol=0.05)
    slow, fast = (draw("rate", value).truth["qt"] for value in (60.0, 100.0))
    np.testing.assert_allclose(fast / slow, (60 / 100) ** (1 / 3), rtol=0.01)
    long, longer = (draw("qt", value).truth["qt"] for value in (400.0, 500.0))
    np.testing.assert_allclose(longer / long, 1.25, rtol=1e-4)


def test_readers_state_what_is_set():
    def state(name, value, code):
        return draw(name, value).truth["stated"][:, criteria.NAMES.index(code)]

    for name, value, code in (
        ("pr", 240.0, "1AVB"),
        ("rate", 45.0, "SBRAD"),
        ("rate", 120.0, "STACH"),
        ("qrs-right", 150.0, "CRBBB"),
        ("qrs-left", 150.0, "CLBBB"),
        ("qt", 520.0, "LNGQT"),
        ("st-inferior", 0.3, "STE_"),
    ):
        assert state(name, value, code).mean() > 0.9, name
    assert not state("pr", 160.0, "1AVB").any()
    assert not state("qt", 400.0, "LNGQT").any()


def test_all_else_stays():
    usual, moved = draw("pr"), draw("pr", 300.0)
    for name in ("age", "is_male", "rate", "qrs", "qt", "axis", "qrs_onsets", "t_ends"):
        np.testing.assert_array_equal(moved.truth[name], usual.truth[name])
    np.testing.assert_allclose(moved.truth["p_onsets"][:, 2], usual.truth["qrs_onsets"][:, 2] - 0.3, atol=1e-3)
    same = np.isclose(moved.signal, usual.signal, atol=0.005).mean()  # noise included; P waves alone have moved
    assert 0.4 < same < 0.95


def test_what_is_none_or_nan_is_as_drawn():
    drawn = jnp.array([0.15, 0.16])
    assert Interventions().choose("pr", drawn) is drawn
    set_once = Interventions(pr=jnp.array([NAN, 0.3])).choose("pr", drawn)
    np.testing.assert_allclose(set_once, [0.15, 0.3])


@pytest.mark.slow
@pytest.mark.parametrize("name, measured, slope", [("pr", "pr", 0.9), ("qrs-right", "qrs", 0.92), ("qt", "qtc", 0.98)])
def test_the_delineator_measures_the_interval_that_is_set(name, measured, slope):
    values, medians = DOSES[name].values[::3], []
    for value in values:
        recordings = dose_response.create_recordings(draw(name, value))
        found = [measure(*pair) for pair in zip(recordings, delineate_many(recordings), strict=True)]
        medians.append(np.median([getattr(each, measured) for each in found]))
    assert np.polyfit(values, medians, 1)[0] == pytest.approx(slope, abs=0.1)


# Curves and crossings.


def cross(curve, level, rises=True):
    [found] = find_crossings(np.array([10.0, 20.0, 30.0]), np.array(curve)[:, None], level, rises)
    return found


def test_crossings_by_hand():
    assert cross([0.0, 0.4, 0.8], 0.5) == pytest.approx(22.5)
    assert cross([0.0, 0.6, 0.2], 0.3) == pytest.approx(15)  # the first
    assert cross([0.0, 0.4, 0.8], 0.9) == np.inf
    assert cross([0.5, 0.1, 0.9], 0.5) == -np.inf
    assert cross([0.8, 0.4, 0.0], 0.5, rises=False) == pytest.approx(17.5)
    assert cross([0.8, 0.4, 0.0], 0.9, rises=False) == -np.inf
    assert np.isnan(cross([0.1, NAN, 0.9], 0.5))


def respond(probabilities, criterion=None, **thresholds):
    """A response of one label at 140 and 240 ms, `[patients, 2]`; all readers state it at 240."""
    dose = dataclasses.replace(PR, criteria={"x": criterion} if criterion else {})
    each = np.array(probabilities)[..., None]
    return Response(dose, ("x",), thresholds, each, np.broadcast_to([[0.0], [1.0]], each.shape))


def test_a_table_of_curves_by_hand():
    table = tabulate_curves(respond([[0.0, 0.5], [0.2, 0.7], [0.4, 0.9]]))
    assert table["dose"].tolist() == [140, 240]
    np.testing.assert_allclose(table["mean"], [0.2, 0.7])
    np.testing.assert_allclose(table[["tenth", "ninetieth"]], [[0.04, 0.36], [0.54, 0.86]])
    assert table["stated"].tolist() == [0, 1]
    assert (table["mean_low"] < table["mean"]).all()
    assert (table["mean"] < table["mean_high"]).all()


def test_a_table_of_crossings_by_hand():
    """The mean rises from 0.2 to 0.7: it reaches 0.5 after 60 of 100 ms; one patient after 20, the other after 100."""
    table = tabulate_crossings(respond([[0.0, 0.5], [0.4, 0.9]], Criterion((180, 190)), x=0.3)).set_index("level")
    np.testing.assert_allclose(table["crossing"], [160, 200])
    np.testing.assert_allclose(table["difference"], [-20, 10])
    np.testing.assert_allclose(table["readers"], 190)
    np.testing.assert_allclose(table.loc["one half", ["crossing_low", "crossing_high"]].astype(float), [160, 240])


def test_between_two_limits_there_is_no_difference():
    [half] = tabulate_crossings(respond([[0.2, 0.7]], Criterion((150, 210)))).itertuples()
    assert (half.crossing, half.difference) == (pytest.approx(200), 0)


def test_crossings_beyond_the_doses_are_told_so():
    [half] = tabulate_crossings(respond([[0.2, 0.3]])).itertuples()
    assert dose_figure.show_crossing(half) == "above 240"
    [half] = tabulate_crossings(respond([[0.2, 0.3], [0.2, 0.8]])).itertuples()
    assert dose_figure.show_crossing(half) == "226 (190 to above 240)"


# A model.


def create(labels=("1dAVb", "AF"), samples=256, **facts):
    trunk = {"filters": (8, 8), "stem_filters": 4}
    network = models.create("narrow", head="dense", num_labels=len(labels), trunk=trunk)
    contract = InputContract(samples=samples)
    return Model(network, draw_network(network, contract.shape), contract, labels, {labels[0]: 0.3}, **facts)


def test_a_model_is_asked_as_by_predict():
    model = create()
    found = dose_response.respond(model, PR, patients=PATIENTS)
    assert (found.labels, found.probabilities.shape) == (("1dAVb",), (PATIENTS, 2, 1))
    assert found.thresholds == {"1dAVb": 0.3}
    assert found.stated[..., 0].mean(axis=0).tolist() == [0, 1]
    recording = dose_response.create_recordings(draw("pr", 240.0))[3]
    np.testing.assert_allclose(found.probabilities[3, 1], model.predict(recording)[0, :1], atol=1e-5)


def test_labels_are_those_that_the_dose_decides_else_all_of_a_few():
    assert dose_response.choose_labels(create(("AF", "abnormal", "1dAVb")), PR) == ("1dAVb", "abnormal")
    assert dose_response.choose_labels(create(("chagas",)), PR) == ("chagas",)
    many = create(tuple(f"output{i}" for i in range(10)))
    with pytest.raises(InputError, match="none of its 10 labels is 1dAVb, abnormal"):
        dose_response.choose_labels(many, PR)
    with pytest.raises(InputError, match="no label CD; it has 1dAVb, AF"):
        dose_response.respond(create(), PR, labels=("CD",))


@pytest.mark.parametrize("labels", [(), ("age",)])
def test_numbers_are_refused_whether_their_labels_are_named_or_not(labels):
    numbers = create(("age",), scale=Scale.create_plain(1))
    assert numbers.kind == NUMBER
    with pytest.raises(InputError, match=r"\(age\) are numbers"):
        dose_response.respond(numbers, PR, labels=labels)


@pytest.mark.slow
def test_the_command_writes_a_figure_and_its_curves(tmp_path):
    done = call("explain", "--dose=pr", "--model=simulated", f"--patients={PATIENTS}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dose_pr.png").stat().st_size > 10_000
    table = pd.read_csv(tmp_path / "dose_pr.csv").set_index(["label", "dose"])
    assert table.loc[("1dAVb", 140), "mean"] < 0.2 < table.loc[("1dAVb", 240), "mean"]
    assert "1dAVb crosses one half (0.500):" in done.stdout


def test_the_command_refuses_what_is_no_dose(tmp_path):
    assert_one_line(call("explain", "--dose=sodium"), "--dose=sodium", f"<{'|'.join(DOSES)}>")
    assert_one_line(call("explain", "--dose=pr", "a.hea"), "draws its own ECGs")
    assert_one_line(call("explain", "--dose=pr", "--output=a.xlsx"), "a figure is one of .png, .pdf, .svg")
