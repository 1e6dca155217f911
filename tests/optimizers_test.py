"""Optimizers, schedules and patience against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ecg_jax import models
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


NAMES = ("stem", "unit1", "unit2", "unit10")
ECG_FM = {"conv_filters": (4, 4), "width": 8, "heads": 2, "hidden": 4, "layers": 2, "position_groups": 2}
ORDER = [f"trunk/{name}" for name in NAMES]


def create_network_tree(value):
    return {"trunk": {name: {"conv": {"kernel": value}} for name in NAMES}, "head": {"output": {"kernel": value}}}


def test_depth_counts_modules_from_the_head_down_in_the_order_of_their_calls():
    depths = transfer.measure_depths(create_network_tree(0), ORDER)
    assert {name: tree["conv"]["kernel"] for name, tree in depths["trunk"].items()} == {
        "unit10": 1, "unit2": 2, "unit1": 3, "stem": 4,
    }  # fmt: skip
    assert depths["head"]["output"]["kernel"] == 0


@pytest.mark.parametrize("name", KEYS["optimizer.name"].choices)
def test_layer_decay_shrinks_the_update_of_deeper_modules(name):
    params = create_network_tree(jnp.ones(2))
    tx = optimizers.create(
        name,
        learning_rate=lambda _: 0.1,
        trainable=jax.tree.map(lambda _: True, params),
        layer_decay=0.5,
        modules=ORDER,
    )
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    whole = updates["head"]["output"]["kernel"][0]
    ratios = {name: float(tree["conv"]["kernel"][0] / whole) for name, tree in updates["trunk"].items()}
    assert ratios == pytest.approx({"unit10": 1 / 2, "unit2": 1 / 4, "unit1": 1 / 8, "stem": 1 / 16})


def test_modules_begin_to_learn_one_after_the_other():
    params = create_network_tree(jnp.ones(1))
    tx = optimizers.create(
        "sgd",
        learning_rate=lambda _: 0.1,
        trainable=jax.tree.map(lambda _: True, params),
        unfreeze_every=2,
        modules=ORDER,
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


@pytest.mark.parametrize("name", ["reference", "narrow"])
def test_the_references_modules_are_its_stem_and_units(name):
    network = models.create(name, head="transfer", num_labels=1)
    params = models.shapes(network, (256, 12))["params"]
    depths = transfer.measure_depths(params, models.list_modules(network, (256, 12)))
    found = {module: set(jax.tree.leaves(tree)) for module, tree in depths["trunk"].items()}
    assert found == {"stem": {5}, "unit1": {4}, "unit2": {3}, "unit3": {2}, "unit4": {1}}
    assert set(jax.tree.leaves(depths["head"])) == {0}


@pytest.mark.parametrize(
    "name, trunk, first, last, deepest",
    [
        ("resnet1d_wang", {"filters": 4}, "first", "block3", 4),
        ("xresnet1d50", {"filters": 4, "stages": (1, 2)}, "stem1", "stage2_block2", 6),
        ("inception1d", {"filters": 4, "depth": 3}, "module1", "shortcut1", 4),
        ("autoecg_2d", {"filters": 4, "blocks": 2}, "block1", "block2", 2),
        ("ecgfounder", {"stem_filters": 16, "filters": (16,), "blocks": (2,)}, "stem", "stage1_block2", 3),
        ("ecg_age", {"filters": (4, 4), "strides": (1, 4)}, "stem", "block2", 3),
        ("chagas_inception", {"filters": 4, "depth": 3}, "down1", "shortcut1", 6),
        ("ecg_fm", ECG_FM, "conv1", "layer2", 6),
    ],
)
def test_every_network_has_an_order_from_its_input_to_its_head(name, trunk, first, last, deepest):
    network, shape = models.create(name, head="dense", num_labels=1, trunk=trunk), (256, 12)
    params = models.shapes(network, shape)["params"]
    depths = transfer.measure_depths(params, models.list_modules(network, shape))
    found = {module: max(jax.tree.leaves(tree)) for module, tree in depths["trunk"].items()}
    assert (found[first], found[last]) == (deepest, 1)
    assert set(found.values()) == set(range(1, deepest + 1))


def test_a_norm_beside_a_convolution_learns_with_it():
    network = models.create("chagas_inception", head="dense", num_labels=1, trunk={"depth": 1})
    depths = transfer.measure_depths(
        models.shapes(network, (256, 12))["params"], models.list_modules(network, (256, 12))
    )["trunk"]
    assert {name: set(jax.tree.leaves(tree)) for name, tree in depths.items()} == {
        "down1": {3}, "down1_norm": {3}, "down2": {2}, "down2_norm": {2}, "block1": {1},
    }  # fmt: skip


def test_modules_whose_order_is_unknown_are_no_silent_guess():
    with pytest.raises(ValueError, match="order of unit10"):
        transfer.measure_depths(create_network_tree(0), ORDER[:3])


@pytest.mark.parametrize(
    "fraction, frozen", [(0, ()), (0.1, ()), (0.25, NAMES[:1]), (0.5, NAMES[:2]), (0.7, NAMES[:3]), (1, NAMES)]
)
def test_a_fraction_of_the_modules_is_frozen_from_the_input_on(fraction, frozen):
    mask = transfer.create_trainable_mask(create_network_tree(0), fraction=fraction, modules=ORDER)
    assert {name for name, tree in mask["trunk"].items() if not tree["conv"]["kernel"]} == set(frozen)
    assert mask["head"]["output"]["kernel"]


def test_a_fraction_adds_to_patterns_and_lies_between_0_and_1():
    mask = transfer.create_trainable_mask(
        create_network_tree(0), fraction=0.25, modules=ORDER, patterns=("trunk/unit10",)
    )
    assert [name for name in NAMES if mask["trunk"][name]["conv"]["kernel"]] == ["unit1", "unit2"]
    with pytest.raises(InputError, match=r"freeze.fraction is 1.5"):
        transfer.create_trainable_mask(create_network_tree(0), fraction=1.5, modules=ORDER)
