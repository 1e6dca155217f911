"""The networks that the reference is compared with: shapes, padding, training, and what they refuse."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from networks import draw

from configs import finetune
from ecg_jax import config as config_lib
from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.heads import PooledHead
from ecg_jax.models.layers import ConvNorm
from ecg_jax.models.xresnet import average_pool
from ecg_jax.training import setup, transfer

SAMPLES = 96
SMALL = {  # attributes that make a trunk small
    "resnet1d_wang": {"filters": 6, "strides": (1, 2)},
    "xresnet1d50": {"stages": (1, 1), "stem_filters": (4, 6), "filters": 4},
    "inception1d": {"filters": 4, "bottleneck": 4, "depth": 3},
    "autoecg_2d": {"filters": 4, "blocks": 2, "pooled": (1,)},
    "ecgfounder": {"stem_filters": 4, "filters": (4, 6), "blocks": (2, 1), "group_width": 2},
    "ecg_age": {"filters": (4, 6), "strides": (1, 4)},
    "chagas_inception": {"filters": 4, "bottleneck": 4, "depth": 3},
}
WITHOUT_NORM, WITHOUT_DROPOUT = ("ecgfounder",), ("ecgfounder", "chagas_inception")


def create(name, **options):
    return models.create(name, head="dense", num_labels=3, trunk=SMALL[name], **options)


@pytest.fixture(scope="module")
def signal():
    return jnp.asarray(np.random.default_rng(0).normal(size=(4, SAMPLES, 12)), jnp.float32)


@pytest.mark.parametrize(
    "name, shape, features",
    [
        ("resnet1d_wang", (1001, 12), (251, 128)),
        ("xresnet1d50", (1001, 8), (32, 256)),
        ("inception1d", (1001, 2), (1001, 128)),
        ("autoecg_2d", (2500, 12), (30, 640)),
        ("ecgfounder", (5000, 1), (20, 1024)),
        ("ecg_age", (4096, 12), (16, 320)),
        ("chagas_inception", (800, 8), (197, 128)),
    ],
)
def test_features_are_of_the_published_shape(name, shape, features):
    network = models.create(name, head="dense", num_labels=5)
    variables = models.shapes(network, shape)
    trunk = {collection: leaves.get("trunk", {}) for collection, leaves in variables.items()}
    found = jax.eval_shape(lambda v: network.trunk.apply(v, jnp.zeros((2, *shape)), jnp.arange(2), False), trunk)
    assert found.shape == (2, *features)
    assert jax.eval_shape(network.apply, variables, jnp.zeros((2, *shape))).shape == (2, 5)


def test_a_strided_convolution_is_padded_as_pytorch_pads():
    """Two zeros before and after the samples 1..8; TensorFlow's SAME would take one and two."""
    conv = ConvNorm(1, 5, 2)
    drawn = conv.init(jax.random.key(0), jnp.zeros((1, 8, 1)), False)
    kernel = {"params": drawn["params"] | {"conv": {"kernel": jnp.ones((5, 1, 1))}}}
    found = conv.apply(drawn | kernel, jnp.arange(1.0, 9).reshape(1, 8, 1), False)[0, :, 0]
    np.testing.assert_allclose(found, np.array([6, 15, 25, 26]) / np.sqrt(1 + 1e-5), rtol=1e-6)


def test_average_pooling_is_over_what_is_left_at_the_end():
    x = jnp.arange(1.0, 9).reshape(1, 8, 1)
    np.testing.assert_allclose(average_pool(x, 2)[0, :, 0], [1.5, 3.5, 5.5, 7.5])
    np.testing.assert_allclose(average_pool(x[:, :5], 2)[0, :, 0], [1.5, 3.5, 5])


def test_the_pooled_head_sees_the_largest_then_the_mean_value_of_each_channel():
    features = jnp.asarray([[[1.0, -2], [3, -4], [5, -9]]])
    head = PooledHead(num_labels=4, dense_widths=())
    variables = head.init(jax.random.key(0), features, jnp.arange(1), False)
    output = {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}
    logits = head.apply(
        variables | {"params": variables["params"] | {"output": output}}, features, jnp.arange(1), False
    )
    np.testing.assert_allclose(logits[0], np.array([5, -2, 3, -5]) / np.sqrt(1 + 1e-5), rtol=1e-6)


def test_a_block_of_xresnet_starts_as_its_shortcut():
    network = create("xresnet1d50")

    @jax.jit
    def draw_scales():
        params = network.init(jax.random.key(0), jnp.zeros((1, SAMPLES, 12)))["params"]["trunk"]
        assert "shortcut" not in params["stage2_block1"]  # as wide as the stage before
        norms = params["stage2_block1"]["conv3"]["norm"], params["stage1_block1"]["shortcut"]["norm"]
        return [norm["scale"] for norm in norms]

    last, shortcut = draw_scales()
    assert not last.any()
    assert shortcut.all()


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_step_is_finite_moves_all_statistics_and_depends_on_indices_not_places(name, signal):
    network = create(name)
    variables = draw(network, (SAMPLES, 12))

    def objective(params, signal, index):
        options = {"index": index, "train": True, "rngs": {"dropout": jax.random.key(1)}, "mutable": ["batch_stats"]}
        logits, updated = network.apply(variables | {"params": params}, signal, **options)
        return optax.sigmoid_binary_cross_entropy(logits, 1.0).mean(), (logits, updated.get("batch_stats", {}))

    step = jax.jit(jax.grad(objective, has_aux=True))
    grads, (logits, statistics) = step(variables["params"], signal, jnp.arange(4))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((grads, logits)))
    assert all(leaf.any() for leaf in jax.tree.leaves(grads["head"]))
    before, after = weights_lib.flatten(variables.get("batch_stats", {})), weights_lib.flatten(statistics)
    assert before.keys() == after.keys()
    assert not [path for path in before if np.array_equal(before[path], after[path])]
    order = np.array([2, 0, 3, 1])
    _, (moved, _) = step(variables["params"], signal[order], order)
    np.testing.assert_allclose(moved, logits[order], rtol=1e-3, atol=1e-3)
    _, (other, _) = step(variables["params"], signal, jnp.arange(4) + 4)
    assert (float(jnp.abs(other - logits).max()) > 1e-2) == (name not in WITHOUT_DROPOUT)


@pytest.mark.parametrize("name", SMALL)
def test_keeping_fewer_activations_changes_no_parameter(name, signal):
    network = create(name, checkpoint_activations=True)
    shapes = models.shapes(network, (SAMPLES, 12))
    assert shapes == models.shapes(create(name), (SAMPLES, 12))
    jaxpr = jax.make_jaxpr(network.apply)(shapes, signal)
    assert sum("prevent_cse" in equation.params for equation in jaxpr.eqns) >= 2


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_computes_in_bfloat16_and_gives_float32_logits(name, signal):
    network = create(name, dtype="bfloat16")
    variables = models.shapes(network, (SAMPLES, 12))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    logits = jax.eval_shape(network.apply, variables, signal)
    assert (logits.dtype, logits.shape) == (jnp.float32, (4, 3))
    trunk = {collection: leaves.get("trunk", {}) for collection, leaves in variables.items()}
    features = jax.eval_shape(lambda v: network.trunk.apply(v, signal, jnp.arange(4), False), trunk)
    assert features.dtype == jnp.bfloat16


@pytest.mark.parametrize("name", SMALL)
def test_every_norm_has_pytorchs_settings_and_averages_over_devices(name):
    found = set()

    def collect(call, args, kwargs, context):
        if isinstance(context.module, nn.BatchNorm):
            found.add((context.module.epsilon, context.module.momentum, context.module.axis_name))
        return call(*args, **kwargs)

    with nn.intercept_methods(collect):
        models.shapes(create(name, axis_name="devices"), (SAMPLES, 12))
    assert found == (set() if name in WITHOUT_NORM else {(1e-5, 0.9, "devices")})


def test_a_trunk_frozen_by_a_pattern_keeps_its_statistics(signal):
    network = create("resnet1d_wang")
    variables = draw(network, (SAMPLES, 12))
    trainable = transfer.create_trainable_mask(variables["params"], patterns=("trunk",))
    learned, _ = transfer.partition(variables["params"], trainable)
    assert jax.tree.leaves(learned["trunk"]) == []

    @jax.jit
    def run(variables):
        with transfer.stored_statistics(transfer.frozen_norms(trainable)):
            rngs = {"dropout": jax.random.key(0)}
            return network.apply(variables, signal, train=True, rngs=rngs, mutable=["batch_stats"])[1]

    after = weights_lib.flatten(run(variables))
    for path, leaf in weights_lib.flatten({"batch_stats": variables["batch_stats"]}).items():
        assert np.array_equal(leaf, after[path]) == ("/trunk/" in path), path


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("xresnet1d50", {"head": "transfer"}, "model.head is 'transfer', which cuts .* xresnet1d50 has a head of its"),
        ("xresnet1d50", {"convolution": "fast"}, "model.convolution is 'fast', which xresnet1d50 does not support"),
        ("autoecg_2d", {"convolution": "fast"}, "which autoecg_2d does not support"),
    ],
)
def test_what_a_network_does_not_have_is_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        models.create(name, **{"head": "dense"} | options, num_labels=1)
    models.create("inception1d", head="dense", num_labels=1, convolution="fast")


@pytest.mark.parametrize("shape", [(91, 12), (92, 2)])
def test_an_image_that_nothing_would_be_left_of_is_refused(shape):
    network = models.create("autoecg_2d", head="dense", num_labels=1)
    with pytest.raises(InputError, match=f"at least 92 samples of 3 leads .* has {shape[0]} of {shape[1]}"):
        models.shapes(network, shape)
    assert models.shapes(network, (92, 3))["params"]["head"]["dense1"]["kernel"].shape == (64, 4096)


def test_settings_of_the_transfer_model_are_all_named_at_once():
    config = finetune.get_config()
    config.model.name = "xresnet1d50"
    with pytest.raises(InputError, match=r"set model.head=dense, init.weights= .*, freeze.first_keras_layers=0$"):
        setup.create_network(config, 1)
    with pytest.raises(InputError, match=r"set model.head=dense, init.weights= \(nothing, or a run folder\)$"):
        setup.create_network(
            config_lib.override(config, {"freeze.first_keras_layers": 0, "init.weights": "model.hdf5"}), 1
        )
    remedied = {"model.head": "dense", "init.weights": "", "freeze.first_keras_layers": 0, "freeze.patterns": ("*1",)}
    network = setup.create_network(config_lib.check(config_lib.override(config, remedied)), 1)
    assert network == models.create("xresnet1d50", head="dense", num_labels=1)


@pytest.mark.parametrize("name", ["resnet1d_wang", "xresnet1d50"])
def test_keras_layers_cannot_be_frozen_where_there_are_none(name):
    params = models.shapes(create(name), (SAMPLES, 12))["params"]
    with pytest.raises(InputError, match=r"first_keras_layers is 5; this network has none .* freeze.patterns"):
        transfer.create_trainable_mask(params, first_keras_layers=5)
