"""What the bootstrap draws, and that its numbers depend on the seed alone."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_jax.evaluation import resampling


def draw_parts(design, resamples, seed=0, **choice):
    return [*itertools.chain(*(block() for block in resampling.draw(design, resamples, seed, **choice)))]


def draw(design, resamples, seed=0, **choice):
    return np.concatenate(draw_parts(design, resamples, seed, **choice), axis=1)


def mean_of(values):
    return lambda weights: (values @ weights / weights.sum(axis=0))[None]


@pytest.mark.parametrize("size, resamples", [(7, 100), (50, 64), (3, 65)])
def test_legacy_draws_are_those_of_the_script_of_ribeiro_et_al(size, resamples):
    found = draw(resampling.create_design(size, legacy=True), resamples, seed=5)
    np.random.seed(123)  # noqa: NPY002
    samples = np.random.randint(size, size=size * resamples).reshape(resamples, size)  # noqa: NPY002
    expected = [[np.sum(sample == i) for sample in samples] for i in range(size)]
    np.testing.assert_array_equal(found, expected)


def test_legacy_draws_leave_the_global_generator_alone():
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw(resampling.create_design(5, legacy=True), 10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("resamples", [1, 63, 64, 65, 130])
@pytest.mark.parametrize("legacy", [False, True])
def test_any_number_of_resamples(resamples, legacy):
    blocks = draw_parts(resampling.create_design(9, legacy=legacy), resamples)
    assert sum(block.shape[1] for block in blocks) == resamples
    assert max(block.shape[1] for block in blocks) <= resampling.BLOCK
    for block in blocks:
        assert block.dtype == np.float64
        np.testing.assert_array_equal(block.sum(axis=0), 9)


def test_further_resamples_do_not_change_the_blocks_before():
    design = resampling.create_design(9)
    np.testing.assert_array_equal(draw(design, 128), draw(design, 300)[:, :128])
    assert not np.array_equal(draw(design, 64), draw(design, 128)[:, 64:])
    assert not np.array_equal(draw(design, 64), draw(design, 64, seed=1))


DESIGNS = {
    "recordings": {},
    "patients": {"patients": np.array(list("abbcccdddd"))},
    "strata": {"strata": np.arange(10) % 3},
    "legacy": {"legacy": True},
}


@pytest.mark.parametrize("kind", DESIGNS)
def test_the_weights_are_the_same_however_many_are_drawn_at_once(kind):
    design = resampling.create_design(10, **DESIGNS[kind])
    for width in (1, 5, 63):
        assert max(part.shape[1] for part in draw_parts(design, 100, width=width)) == width
        np.testing.assert_array_equal(draw(design, 100, width=width), draw(design, 100))


def test_patients_are_drawn_whole():
    patients = np.array(["b", "a", "b", "c", "a", "b"])
    design = resampling.create_design(6, patients=patients)
    assert design.units == 3
    weights = draw(design, 100)
    for name, rows in {"a": [1, 4], "b": [0, 2, 5], "c": [3]}.items():
        assert (weights[rows] == weights[rows[0]]).all(), name
    np.testing.assert_array_equal(weights[[0, 1, 3]].sum(axis=0), 3)


NAMES = st.lists(st.sampled_from(["", "", "a", "b", "0", "1", "2", "3"]), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_recordings_without_a_name_are_patients_of_their_own(names):
    design = resampling.create_design(len(names), patients=np.array(names))
    named = {name for name in names if name}
    assert design.units == len(named) + names.count("")
    for unit in range(design.units):
        members = [names[i] for i in np.flatnonzero(design.unit == unit)]
        assert len(members) == 1 or (len(set(members)) == 1 and members[0])


def test_the_number_of_a_recording_is_no_patients_name():
    # the first, unnamed, is not the patient who is called "0"
    design = resampling.create_design(3, patients=np.array(["", "0", "0"]))
    assert design.units == 2
    assert design.unit[0] != design.unit[1] == design.unit[2]


def test_strata_keep_their_sizes():
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 1], [0, 0], [1, 0], [-1, 0]])
    weights = draw(resampling.create_design(7, strata=labels), 130)
    for rows in ([0, 2, 5], [1, 4], [3], [6]):
        np.testing.assert_array_equal(weights[rows].sum(axis=0), len(rows))
    assert len(np.unique(weights[[0, 2, 5]], axis=1).T) == 10  # all ways of drawing 3 of 3


@pytest.mark.parametrize("choice", [{}, {"patients": np.arange(300) // 2}, {"strata": np.arange(300) % 3}])
def test_every_recording_is_drawn_once_on_average(choice):
    choice = {name: values.astype(str) if name == "patients" else values for name, values in choice.items()}
    weights = draw(resampling.create_design(300, **choice), 2000)
    # a weight varies by about 1: the mean of 2,000 by 0.022, of which 300 stay within 5
    np.testing.assert_allclose(weights.mean(axis=1), 1, atol=5 / np.sqrt(2000))
    assert weights.var(axis=1).mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("legacy", [False, True])
def test_the_numbers_are_the_same_for_any_number_of_threads(monkeypatch, legacy):
    values = np.random.default_rng(0).random(40)
    design = resampling.create_design(40, legacy=legacy)
    expected = mean_of(values)(draw(design, 200))
    for threads in (1, 2, 13, None):
        monkeypatch.setattr(resampling.os, "cpu_count", lambda threads=threads: threads)
        np.testing.assert_array_equal(resampling.resample(mean_of(values), design, 200, 0), expected)


def test_the_numbers_are_the_same_for_any_number_of_weights_at_once(monkeypatch):
    design, seen = resampling.create_design(10), []

    def statistic(weights):
        seen.append(weights.shape)
        return weights[:3]

    whole = resampling.resample(statistic, design, 100, seed=1)
    assert {shape[1] for shape in seen} == {64, 36}
    monkeypatch.setattr(resampling, "LARGEST", 70)
    np.testing.assert_array_equal(resampling.resample(statistic, design, 100, seed=1), whole)
    assert {shape[1] for shape in seen[2:]} == {7, 64 % 7, 36 % 7}


def test_a_jackknife_by_hand():
    # of 1, 2, 6: the mean of the other two
    found = resampling.jackknife(mean_of(np.array([1.0, 2, 6])), resampling.create_design(3))
    np.testing.assert_allclose(found, [[4, 3.5, 1.5]])


def test_a_jackknife_leaves_out_patients():
    design = resampling.create_design(4, patients=np.array(["b", "a", "b", "a"]))
    found = resampling.jackknife(mean_of(np.array([1.0, 2, 3, 6])), design)
    np.testing.assert_allclose(found, [[2, 4]])  # without a, without b


def test_a_jackknife_of_many_leaves_out_a_thousand_groups():
    values = np.random.default_rng(0).random(2500)
    found = resampling.jackknife(mean_of(values), resampling.create_design(2500))
    assert found.shape == (1, 1000)
    left_out = np.arange(2500) % 1000
    np.testing.assert_allclose(found[0, [0, 63, 64, 999]], [values[left_out != i].mean() for i in (0, 63, 64, 999)])
