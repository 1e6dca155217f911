"""The shapes of normal beats are distributed as `normal_beats.npz` says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecg_jax.simulation import shapes
from ecg_jax.simulation.draws import Draws

PEOPLE = 4000


@jax.jit
def compiled(age, is_male, spread):
    def draw(key):
        return shapes.draw_shape(Draws.create(key, shapes.SIZE + 3), age, is_male, spread)

    return jax.vmap(draw)(jax.random.split(jax.random.key(0), PEOPLE))


def draw_shapes(age, is_male, spread=1.0):
    """Of as many people of one age and sex."""
    return jax.device_get(compiled(float(age), is_male, spread))


def take(found, person):
    return jax.tree.map(lambda leaf: leaf[person], found)


def assert_equal(found, expected, **tolerance):
    for name in shapes.Shape._fields:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), err_msg=name, **tolerance)


def test_a_shape_is_unflattened_in_the_order_of_its_fields():
    shape = shapes.unflatten(jnp.arange(shapes.SIZE, dtype=jnp.float32))
    assert [part.shape for part in shape] == list(shapes.SIZES)
    np.testing.assert_array_equal(jnp.concatenate([jnp.ravel(part) for part in shape]), np.arange(shapes.SIZE))


def test_sizes_that_are_taken_out_and_put_in_again_change_nothing():
    values = jnp.asarray(np.random.default_rng(0).normal(size=shapes.SIZE + 3), jnp.float32)
    np.testing.assert_allclose(shapes.scale(shapes.scale(values, -1.0), 1.0), values, rtol=1e-5)


def test_a_size_is_the_factor_of_its_own_wave_alone():
    values = jnp.concatenate([jnp.log(jnp.array([2.0, 3.0, 5.0])), jnp.ones(shapes.SIZE)])
    found = shapes.unflatten(shapes.scale(values, 1.0)[3:])
    factors = {"qrs_dipole": 2, "qrs_chest": 2, "t_dipole": 3, "t_chest": 3, "p_dipole": 5, "p_chest": 5}
    for name, part in found._asdict().items():
        np.testing.assert_allclose(part, np.full(part.shape, factors.get(name, 1)), rtol=1e-6, err_msg=name)


def test_without_spread_everybody_has_the_mean_shape():
    found = draw_shapes(55, False, spread=0.0)
    for person in (0, PEOPLE - 1):
        assert_equal(take(found, person), shapes.MEAN, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_male", [False, True], ids=["women", "men"])
def test_the_mean_is_that_of_age_and_sex(is_male):
    """Of times and widths; dipoles are multiplied by a size besides, which leaves their median about where it is."""
    found = draw_shapes(70, is_male)
    with np.load(shapes.FILE) as stored:
        expected = stored["mean"] + stored["age"] + is_male * stored["male"]
    mean = jax.device_get(shapes.unflatten(shapes.scale(jnp.asarray(expected), 1.0)[3:]))
    assert_equal(take(draw_shapes(70, is_male, spread=0.0), 0), mean, rtol=1e-4, atol=1e-5)
    for name in ("qrs_time", "qrs_width", "t_fall", "t_rise", "p_time", "p_width"):
        drawn = getattr(found, name)
        error = 5 * drawn.std(axis=0) / np.sqrt(PEOPLE)
        assert np.all(np.abs(drawn.mean(axis=0) - getattr(mean, name)) < error), name
    strongest = np.argmax(np.abs(mean.qrs_dipole[:, 0]))
    assert np.median(found.qrs_dipole[:, strongest, 0]) == pytest.approx(mean.qrs_dipole[strongest, 0], rel=0.15)
