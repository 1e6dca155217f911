"""Freezing, merging, and what a step leaves alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models import weights as weights_lib
from ecg_jax.recording import LEADS
from ecg_jax.training import augment, losses, optimizers, state, steps, transfer

SHAPE = (256, 12)
TRUNK = {"stem_filters": 4, "filters": (6, 8)}


@pytest.fixture(scope="module")
def network():
    return models.create("narrow", head="dense", num_labels=2, trunk=TRUNK)


@pytest.fixture(scope="module")
def variables(network):
    return models.init(network, jax.random.key(0), SHAPE)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "signal": rng.normal(size=(8, *SHAPE)).astype(np.float32),
        "valid": np.ones((8, SHAPE[0]), bool),
        "label": (rng.random((8, 2)) > 0.5).astype(np.float32),
        "mask": np.ones(8, bool),
        "index": np.arange(8, dtype=np.int32),
    }


@functools.cache
def build(network, ema_decay, optimizer, freeze):
    """A compiled step and its optimizer; `freeze` is a tuple of items."""
    shapes = models.shapes(network, SHAPE)["params"]
    trainable = transfer.create_trainable_mask(shapes, **dict(freeze))
    schedule = optimizers.create_schedule("constant", learning_rate=1e-2, steps=10)
    tx = optimizers.create(optimizer, learning_rate=schedule, trainable=trainable, weight_decay=0.1)
    step = steps.create_train_step(
        network,
        steps.Recipe(
            tx=tx,
            trainable=trainable,
            loss_fn=losses.create(num_labels=2),
            augment=augment.create(leads=LEADS, sampling_rate=400.0, scale=0.1),
            ema_decay=ema_decay,
        ),
    )
    return jax.jit(step), tx


def train(network, variables, batch, *, count=3, ema_decay=0.0, optimizer="adamw", **freeze):
    step, tx = build(network, ema_decay, optimizer, tuple(freeze.items()))
    current = state.create(variables, tx=tx, seed=0, ema_decay=ema_decay)
    for _ in range(count):
        current = step(current, batch)
    return current


def leaves(tree):
    return {path: np.asarray(leaf) for path, leaf in weights_lib.flatten(tree).items()}


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("sgd", marks=pytest.mark.slow)])
def test_the_first_five_keras_layers_are_bitwise_unchanged_and_all_others_move(network, variables, batch, optimizer):
    ended = train(network, variables, batch, optimizer=optimizer, first_keras_layers=5)
    after = leaves({"params": ended.params, "batch_stats": ended.batch_stats})
    frozen = {path for path, leaf in leaves(variables).items() if leaf.tobytes() == after[path].tobytes()}
    assert frozen == {
        "params/trunk/stem/conv/kernel",
        "params/trunk/stem/norm/scale",
        "params/trunk/stem/norm/bias",
        "batch_stats/trunk/stem/norm/mean",
        "batch_stats/trunk/stem/norm/var",
        "params/trunk/unit1/conv1/kernel",
    }


def test_a_frozen_trunk_keeps_every_statistic(network, variables, batch):
    ended = train(network, variables, batch, patterns=("trunk",))
    after, before = leaves(ended.batch_stats), leaves(variables["batch_stats"])
    assert after.keys() == before.keys()
    assert all(after[path].tobytes() == before[path].tobytes() for path in before)


def test_a_frozen_batchnorm_runs_on_its_stored_statistics(network, variables, batch):
    shifted = weights_lib.flatten(variables)
    shifted["batch_stats/trunk/stem/norm/mean"] = jnp.full(4, 0.3)
    shifted = weights_lib.unflatten(shifted)
    norms = frozenset({"trunk/stem/norm"})

    def stem(norms):
        with transfer.stored_statistics(norms):
            _, taps = network.apply(
                shifted,
                batch["signal"],
                train=True,
                rngs={"dropout": jax.random.key(0)},
                mutable=["keras_layers", "batch_stats"],
            )
        return taps["keras_layers"]["trunk"]["stem"]

    frozen = stem(norms)
    np.testing.assert_allclose(frozen["3"][0], (frozen["2"][0] - 0.3) / np.sqrt(1 + 1e-3), atol=1e-5)
    assert abs(float(stem(frozenset())["3"][0].mean())) < 1e-4  # on the batch's own statistics


def test_only_the_trainable_subtree_is_differentiated(network, variables, batch):
    """The backward pass of a frozen stem is not computed: fewer convolutions in the compiled step."""

    def count(**freeze):
        trainable = transfer.create_trainable_mask(variables["params"], **freeze)
        schedule = optimizers.create_schedule("constant", learning_rate=1e-2, steps=10)
        tx = optimizers.create("sgd", learning_rate=schedule, trainable=trainable)
        step = steps.create_train_step(
            network,
            steps.Recipe(
                tx=tx,
                trainable=trainable,
                loss_fn=losses.create(num_labels=2),
                augment=augment.create(leads=LEADS, sampling_rate=400.0),
            ),
        )
        initial = state.create(variables, tx=tx, seed=0, ema_decay=0.0)
        return jax.jit(step).lower(initial, batch).as_text().count("stablehlo.convolution")

    forward = 5  # stem, and two in each of two units, whose shortcuts are matrix products
    assert count() == forward + forward + (forward - 1)  # a gradient for each kernel and for each input but the signal
    assert count(patterns=("trunk",)) == forward
    assert count(first_keras_layers=5) == forward + (forward - 2) + (forward - 2)


def test_masks_name_layers_and_patterns(variables):
    mask = weights_lib.flatten(transfer.create_trainable_mask(variables["params"], patterns=("trunk/*/norm?", "head")))
    assert {path for path, keep in mask.items() if not keep} == {
        *(f"trunk/unit{u}/norm{n}/{leaf}" for u in (1, 2) for n in (1, 2) for leaf in ("scale", "bias")),
        "head/output/kernel",
        "head/output/bias",
    }


@pytest.mark.parametrize(
    "freeze, message",
    [
        ({"first_keras_layers": 51}, "51"),
        ({"patterns": ("trunk/unit9",)}, "trunk/unit9 fits nothing"),
        ({"patterns": ("*",)}, "nothing is left to train"),
    ],
)
def test_impossible_freezing_is_refused(variables, freeze, message):
    with pytest.raises(InputError, match=message):
        transfer.create_trainable_mask(variables["params"], **freeze)


def test_averaged_weights_and_statistics_follow_their_recursion(network, variables, batch):
    averaged = train(network, variables, batch, count=2, ema_decay=0.8)
    one, two = (train(network, variables, batch, count=count) for count in (1, 2))
    for path, leaf in leaves(averaged.ema).items():
        collection, rest = path.split("/", 1)
        start = leaves(variables)[path]
        first, second = (leaves(getattr(s, collection))[rest] for s in (one, two))
        expected = (start + 9 * first) / 10 * 2 / 11 + second * 9 / 11  # decays of 1 / 10 and 2 / 11, both below 0.8
        np.testing.assert_allclose(leaf, expected, rtol=1e-4, atol=1e-6, err_msg=path)
    assert averaged.variables is averaged.ema


def test_a_dropped_example_teaches_nothing(network, variables, batch):
    spoiled = batch | {"mask": np.array([True] * 7 + [False])}
    relabelled = spoiled | {"label": batch["label"].copy()}
    relabelled["label"][7] = 1 - relabelled["label"][7]
    ended, other = (leaves(train(network, variables, b, count=1).params) for b in (spoiled, relabelled))
    assert all(ended[path].tobytes() == other[path].tobytes() for path in ended)
    window = train(network, variables, spoiled, count=3).window
    assert (int(window.dropped), float(window.loss_count), int(window.steps)) == (3, 3 * 14, 3)


def test_the_first_non_finite_loss_is_remembered(network, variables, batch):
    assert int(train(network, variables, batch).window.bad_step) == -1
    spoiled = batch | {"signal": batch["signal"] * np.float32(np.inf)}
    assert int(train(network, variables, spoiled).window.bad_step) == 0
