"""The training step's options: what must not change what is computed does not, and the others do what they say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ecg_jax import config as config_lib
from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models import weights as weights_lib
from ecg_jax.recording import LEADS
from ecg_jax.runtime import parallel
from ecg_jax.training import augment, losses, optimizers, setup, state, steps, transfer

SHAPE, SIZE = (256, 12), 8
TRUNK = {"stem_filters": 4, "filters": (8, 12), "dropout_rate": 0.2}


@functools.cache
def create_network(**options):
    trunk = dict(TRUNK)
    rate = trunk.pop("dropout_rate")
    cut = {"cut": 23, "conv_filters": (8,), "conv_kernel_sizes": (3,), "dense_widths": (8,), "normalization": "none"}
    return models.create(
        "narrow", head="transfer", num_labels=2, dropout_rate=rate, transfer=cut, trunk=trunk, **options
    )


def create_batch(size=SIZE, dtype=np.float64):
    rng = np.random.default_rng(0)
    label = (rng.random((size, 2)) > 0.5).astype(dtype)
    label[rng.random(label.shape) < 0.3] = np.nan
    return {
        "signal": rng.normal(size=(size, *SHAPE)).astype(dtype),
        "valid": np.ones((size, SHAPE[0]), bool),
        "label": label,
        "mask": np.ones(size, bool),
        "index": np.arange(size, dtype=np.int32),
    }


GOOD, BAD = "good", "bad"  # names of batches


def create_named(name):
    batch = create_batch()
    if name == BAD:
        batch["signal"][3, 5, 2] = np.inf
    return batch


@functools.cache
def create_step(network, patterns, mixup, options):
    """A compiled step, its optimizer and the variables it starts from, in float64."""
    variables = jax.tree.map(lambda leaf: leaf.astype(float), models.init(network, jax.random.key(0), SHAPE))
    trainable = transfer.create_trainable_mask(variables["params"], patterns=patterns)
    schedule = optimizers.create_schedule("constant", learning_rate=1e-2, steps=10)
    tx = optimizers.create("adamw", learning_rate=schedule, trainable=trainable)
    step = steps.create_train_step(
        network,
        steps.Recipe(
            tx=tx,
            trainable=trainable,
            loss_fn=losses.create(num_labels=2),
            augment=augment.create(leads=LEADS, sampling_rate=400.0, scale=0.1),
            mixup=augment.create_mixup(mixup),
            ema_decay=0.5,
            **dict(options),
        ),
    )
    return jax.jit(step), tx, variables


def train(*names, network=None, patterns=(), mixup=0.0, **options):
    """Ends some steps from the same start; returns the state."""
    with jax.enable_x64(True):
        step, tx, variables = create_step(network or create_network(), patterns, mixup, tuple(options.items()))
        current = state.create(variables, tx=tx, seed=0, ema_decay=0.5)
        for name in names:
            current = step(current, create_named(name))
        return jax.tree.map(np.asarray, current)


def compare(first, second, atol):
    kept = ("params", "batch_stats", "ema", "window")
    pairs = [weights_lib.flatten({key: vars(each)[key] for key in kept[:3]}) for each in (first, second)]
    for path, leaf in pairs[0].items():
        np.testing.assert_allclose(pairs[1][path], leaf, rtol=0, atol=atol, err_msg=path)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-7), first.window, second.window)


FROZEN_NORMS = ("trunk/stem/norm", "trunk/unit1/norm1", "trunk/unit1/norm2", "trunk/unit2/norm1")


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_accumulation_is_one_large_batch_where_batchnorm_is_frozen(count):
    whole = train(GOOD, GOOD, GOOD, patterns=FROZEN_NORMS)
    compare(whole, train(GOOD, GOOD, GOOD, patterns=FROZEN_NORMS, accumulate=count), atol=1e-9)


@pytest.mark.slow
def test_otherwise_batchnorm_sees_micro_batches_one_after_the_other():
    """Its running mean moves once for each, by the mean over that micro-batch: every second example."""
    network = create_network()
    ended, whole = train(GOOD, accumulate=2), train(GOOD)
    mean, other = (each.batch_stats["trunk"]["stem"]["norm"]["mean"] for each in (ended, whole))
    with jax.enable_x64(True):
        variables = jax.tree.map(lambda leaf: leaf.astype(float), models.init(network, jax.random.key(0), SHAPE))
        rng = jax.random.fold_in(jax.random.key(0), 0)
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.split(rng, 3)[1], i))(jnp.arange(SIZE))
        batch = create_batch()
        scaled = augment.create(leads=LEADS, sampling_rate=400.0, scale=0.1)
        signal = jax.vmap(scaled)(keys, batch["signal"], batch["valid"])
        expected = np.zeros(4)
        for part in (signal[::2], signal[1::2]):
            _, taps = network.apply(variables, part, mutable=["keras_layers"])
            expected = 0.99 * expected + 0.01 * taps["keras_layers"]["trunk"]["stem"]["2"][0].mean(axis=(0, 1))
    np.testing.assert_allclose(mean, expected, atol=1e-12)
    assert np.abs(mean - other).max() > 1e-4


@pytest.mark.slow
def test_checkpointed_activations_change_nothing_but_what_is_kept():
    kept, recomputed = create_network(), create_network(checkpoint_activations=True)
    compare(train(GOOD, GOOD, network=kept), train(GOOD, GOOD, network=recomputed), atol=1e-12)

    def count_saved(network):
        variables = models.init(network, jax.random.key(0), SHAPE)
        apply = functools.partial(network.apply, train=True, rngs={"dropout": jax.random.key(0)}, mutable=True)
        text = jax.make_jaxpr(
            jax.grad(lambda params: apply(variables | {"params": params}, jnp.ones((2, *SHAPE)))[0].sum())
        )
        return str(text(variables["params"])).count("remat")

    assert (count_saved(kept), count_saved(recomputed) > 0) == (0, True)


def test_a_skipped_step_changes_nothing_but_the_count():
    expected, ended = train(GOOD), train(GOOD, BAD, on_nonfinite="skip")
    for name in ("params", "batch_stats", "opt_state", "ema"):
        jax.tree.map(np.testing.assert_array_equal, vars(expected)[name], vars(ended)[name])
    assert (ended.step, ended.window.skipped, ended.window.bad_step, ended.window.steps) == (2, 1, 1, 2)
    assert ended.window.loss_sum == expected.window.loss_sum
    after = train(GOOD, BAD, GOOD, on_nonfinite="skip")
    assert np.isfinite(after.window.loss_sum)
    assert after.window.skipped == 1


def test_without_skipping_the_step_is_marked_and_the_weights_are_lost():
    ended = train(GOOD, BAD, GOOD)
    assert (ended.window.bad_step, ended.window.skipped) == (1, 0)
    assert not np.isfinite(ended.params["head"]["output"]["kernel"]).all()


def test_mixup_trains_on_other_signals_and_labels():
    plain, mixed = train(GOOD), train(GOOD, mixup=0.4)
    assert plain.window.loss_sum != mixed.window.loss_sum
    assert mixed.window.loss_count <= plain.window.loss_count  # unknown stays unknown, also in its partners


@pytest.mark.slow
def test_several_steps_in_one_call_are_these_steps():
    """Data `[places, T, leads]` on the device, batches as places in it."""
    with jax.enable_x64(True):
        network, data = create_network(), create_batch(24)
        variables = jax.tree.map(lambda leaf: leaf.astype(float), models.init(network, jax.random.key(0), SHAPE))
        trainable = transfer.create_trainable_mask(variables["params"])
        schedule = optimizers.create_schedule("constant", learning_rate=1e-2, steps=10)
        tx = optimizers.create("adam", learning_rate=schedule, trainable=trainable)
        step = steps.create_train_step(
            network,
            steps.Recipe(
                tx=tx,
                trainable=trainable,
                loss_fn=losses.create(num_labels=2),
                augment=augment.create(leads=LEADS, sampling_rate=400.0, scale=0.1),
            ),
        )
        facts = {key: data[key].reshape(3, SIZE, *data[key].shape[1:]) for key in ("label", "mask", "valid")}
        places = facts | {
            "place": np.arange(24).reshape(3, SIZE),
            "index": np.tile(np.arange(SIZE, dtype=np.int32), (3, 1)),
        }

        def gather(array, batch):
            return batch | {"signal": array[batch["place"]]}

        first = state.create(variables, tx=tx, seed=0, ema_decay=0.0)
        scanned = jax.jit(steps.create_scanned_step(step, gather))(first, {"array": data["signal"], "places": places})
        current = first
        for i in range(3):
            current = jax.jit(step)(current, gather(data["signal"], jax.tree.map(lambda leaf, i=i: leaf[i], places)))
        compare(current.replace(ema={}), scanned.replace(ema={}), atol=1e-9)
        assert scanned.step == 3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 9, "accumulate": 2}, "train.batch_size is 9, which 1 devices of 2 parts each"),
        ({"batch_size": 8, "mode": "pmap", "steps_per_call": 4}, "train.steps_per_call is 4, which only"),
    ],
)
def test_what_cannot_be_split_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        parallel.create(**{"mode": "jit", "sync_batchnorm": True} | options)


@pytest.mark.parametrize("scaling, expected", [("none", 1e-3), ("linear", 8e-3), ("sqrt", 1e-3 * 8**0.5)])
def test_the_learning_rate_scales_with_the_batch(scaling, expected):
    assert optimizers.scale_learning_rate(1e-3, scaling, batch_size=512, base_batch_size=64) == pytest.approx(expected)


@pytest.mark.parametrize(
    "key, known",
    [
        ("schedule.batch_scaling", "none, linear, sqrt"),
        ("schedule.name", "constant, cosine, one_cycle, plateau"),
        ("optimizer.name", "adam, adamw, sgd, lion"),
        ("data.sampling", "shuffle, balanced, weighted"),
    ],
)
def test_an_unknown_name_is_refused_naming_the_known(key, known):
    with pytest.raises(InputError, match=f"{key} is 'cubic'; known: {known}"):
        config_lib.check(config_lib.override(config_lib.create_default(), {key: "cubic"}))


@pytest.mark.parametrize(
    "create",
    [
        lambda: optimizers.create_schedule("cubic", learning_rate=1.0, steps=1),
        lambda: optimizers.create("cubic", learning_rate=optax.constant_schedule(1.0), trainable={}),
        lambda: optimizers.scale_learning_rate(1.0, "cubic", batch_size=2, base_batch_size=1),
    ],
)
def test_an_unknown_name_is_refused_without_a_configuration_too(create):
    with pytest.raises(InputError, match="is 'cubic'; known: "):
        create()


def test_several_steps_in_one_call_must_add_up():
    config = config_lib.create_default()
    config.train.update(steps_per_call=8, log_every=20)
    with pytest.raises(InputError, match=r"steps_per_call is 8, .* set train.eval_every=56, train.log_every=16"):
        setup._check_calls(config, total_steps=80, eval_every=63, checkpoint_every=8)
