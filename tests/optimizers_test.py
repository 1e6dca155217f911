"""Optimizers, schedules and patience against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ecg_jax.config import KEYS
from ecg_jax.errors import InputError
from ecg_jax.training import optimizers, transfer
from ecg_jax.training.progression import Patience

PARAMS = {"conv": {"kernel": jnp.full(3, 2.0)}, "norm": {"scale": jnp.ones(3), "bias": jnp.zeros(3)}}
ALL = jax.tree.map(lambda _: True, PARAMS)
SOME = {"conv": {"kernel": False}, "norm": {"scale": True, "bias": True}}


def update(name, grads, trainable=ALL, **settings):
    schedule = optimizers.create_schedule("constant", learning_rate=0.1, steps=10)
    tx = optimizers.create(name, learning_rate=schedule, trainable=trainable, **settings)
    state = tx.init(PARAMS)
    return tx.update(grads, state, PARAMS)


@pytest.mark.parametrize("name", KEYS["optimizer.name"].choices)
def test_the_first_step_is_the_textbook_one(name):
    grads = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.5), PARAMS)
    updates, _ = update(name, grads)
    expected = {"sgd": -0.1 * 0.5}.get(name, -0.1)  # Adam's first step and Lion's are the sign
    np.testing.assert_allclose(updates["norm"]["bias"], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["adamw", "lion", "sgd"])
def test_weight_decay_spares_biases_and_batchnorm(name):
    grads = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = update(name, grads, weight_decay=0.01)
    np.testing.assert_allclose(updates["conv"]["kernel"], -0.1 * 0.01 * 2.0, rtol=1e-5)
    assert not np.any(updates["norm"]["scale"])
    assert not np.any(updates["norm"]["bias"])


def test_gradients_are_clipped_to_a_global_norm():
    grads = jax.tree.map(lambda leaf: jnp.full_like(leaf, 2.0), PARAMS)  # norm 6
    updates, _ = update("sgd", grads, clip_norm=3.0)
    np.testing.assert_allclose(updates["norm"]["bias"], -0.1 * 1.0, rtol=1e-6)


def test_momentum_accumulates():
    schedule = optimizers.create_schedule("constant", learning_rate=1.0, steps=10)
    tx = optimizers.create("sgd", learning_rate=schedule, trainable=ALL, momentum=0.5)
    grads = jax.tree.map(jnp.ones_like, PARAMS)
    _, state = tx.update(grads, tx.init(PARAMS), PARAMS)
    updates, _ = tx.update(grads, state, PARAMS)
    np.testing.assert_allclose(updates["norm"]["bias"], -1.5)


@pytest.mark.parametrize("name", KEYS["optimizer.name"].choices)
def test_frozen_leaves_have_no_optimizer_state(name):
    schedule = optimizers.create_schedule("constant", learning_rate=0.1, steps=10)
    frozen = optimizers.create(name, learning_rate=schedule, trainable=SOME).init(PARAMS)
    free = optimizers.create(name, learning_rate=schedule, trainable=ALL).init(PARAMS)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(frozen)]
    assert any("norm" in path for path in paths)
    assert not any("conv" in path for path in paths)
    assert len(jax.tree.leaves(frozen)) < len(jax.tree.leaves(free))


@pytest.mark.parametrize("name", KEYS["optimizer.name"].choices)
@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_updates_are_counted(name, clip_norm):
    schedule = optimizers.create_schedule("constant", learning_rate=0.1, steps=10)
    tx = optimizers.create(name, learning_rate=schedule, trainable=SOME, clip_norm=clip_norm)
    state = tx.init(PARAMS)
    assert optimizers.count_updates(state) == 0
    for _ in range(3):
        _, state = tx.update(PARAMS, state, PARAMS)
    assert optimizers.count_updates(state) == 3


def test_schedules_reach_their_values():
    constant = optimizers.create_schedule("constant", learning_rate=0.4, steps=100, warmup_fraction=0.1)
    assert [float(constant(step)) for step in (0, 5, 10, 99)] == pytest.approx([0, 0.2, 0.4, 0.4])
    cosine = optimizers.create_schedule("cosine", learning_rate=0.4, steps=100, final_fraction=0.1)
    assert [float(cosine(step)) for step in (0, 50, 100)] == pytest.approx([0.4, 0.22, 0.04])
    one_cycle = optimizers.create_schedule("one_cycle", learning_rate=0.4, steps=100, warmup_fraction=0.25)
    assert float(one_cycle(25)) == pytest.approx(0.4)
    assert float(one_cycle(0)) < 0.02
    assert float(one_cycle(100)) < 1e-4
    assert float(optimizers.create_schedule("plateau", learning_rate=0.4, steps=9)(5)) == pytest.approx(0.4)


@pytest.mark.parametrize(
    "arguments, names",
    [
        ({"name": "adam", "weight_decay": 0.1}, ["weight_decay", "adamw"]),
        ({"name": "sgd", "clip_norm": -1.0}, ["clip_norm"]),
    ],
)
def test_a_bad_optimizer_is_refused(arguments, names):
    with pytest.raises(InputError) as caught:
        optimizers.create(**arguments, learning_rate=optax.constant_schedule(1.0), trainable=ALL)
    assert all(name in str(caught.value) for name in names)


def test_a_bad_schedule_is_refused():
    with pytest.raises(InputError, match="learning_rate is 0"):
        optimizers.create_schedule("cosine", learning_rate=0.0, steps=10)


def test_patience_runs_out_as_in_keras():
    record, fired = Patience(), []
    for value in [1.0, 0.9, 0.95, 0.9 - 1e-6, 0.91, 0.5]:
        record, has_run_out = record.update(value, patience=3, min_delta=1e-5)
        fired.append(has_run_out)
    assert fired == [False, False, False, False, True, False]
    assert record == Patience(0.5, 0)


def test_nan_is_no_improvement_and_patience_zero_never_runs_out():
    record = Patience(0.5)
    for _ in range(20):
        record, has_run_out = record.update(float("nan"), patience=0, min_delta=0.0)
        assert not has_run_out
    assert record == Patience(0.5, 20)


def create_network_tree(value):
    names = ("stem", "unit1", "unit2", "unit10")
    return {"trunk": {name: {"conv": {"kernel": value}} for name in names}, "head": {"output": {"kernel": value}}}


def test_depth_counts_modules_from_the_head_down_in_the_order_of_their_numbers():
    depths = transfer.measure_depths(create_network_tree(0))
    assert {name: tree["conv"]["kernel"] for name, tree in depths["trunk"].items()} == {
        "unit10": 1, "unit2": 2, "unit1": 3, "stem": 4,
    }  # fmt: skip
    assert depths["head"]["output"]["kernel"] == 0


@pytest.mark.parametrize("name", KEYS["optimizer.name"].choices)
def test_layer_decay_shrinks_the_update_of_deeper_modules(name):
    params = create_network_tree(jnp.ones(2))
    tx = optimizers.create(
        name, learning_rate=lambda _: 0.1, trainable=jax.tree.map(lambda _: True, params), layer_decay=0.5
    )
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    whole = updates["head"]["output"]["kernel"][0]
    ratios = {name: float(tree["conv"]["kernel"][0] / whole) for name, tree in updates["trunk"].items()}
    assert ratios == pytest.approx({"unit10": 1 / 2, "unit2": 1 / 4, "unit1": 1 / 8, "stem": 1 / 16})


def test_modules_begin_to_learn_one_after_the_other():
    params = create_network_tree(jnp.ones(1))
    tx = optimizers.create(
        "sgd", learning_rate=lambda _: 0.1, trainable=jax.tree.map(lambda _: True, params), unfreeze_every=2
    )
    state, starts = tx.init(params), {}
    for step in range(9):
        updates, state = tx.update(jax.tree.map(jnp.ones_like, params), state, params)
        assert updates["head"]["output"]["kernel"][0]
        for name, tree in updates["trunk"].items():
            if tree["conv"]["kernel"][0]:
                starts.setdefault(name, step)
    assert starts == {"unit10": 2, "unit2": 4, "unit1": 6, "stem": 8}
    assert optimizers.count_updates(state) == 9


@pytest.mark.parametrize("settings", [{"layer_decay": 0.0}, {"layer_decay": 1.5}, {"unfreeze_every": -1}])
def test_decays_and_steps_out_of_range_are_refused(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        update("adam", PARAMS, **settings)


def test_layers_of_another_network_have_no_order_that_is_known():
    params = {"trunk": {"stage1_block1": {"kernel": jnp.ones(1)}}, "head": {"kernel": jnp.ones(1)}}
    with pytest.raises(InputError, match="of the reference's kind"):
        optimizers.create(
            "adam", learning_rate=lambda _: 0.1, trainable=jax.tree.map(lambda _: True, params), layer_decay=0.5
        )
