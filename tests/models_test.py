"""The networks' sizes, shapes and the table behind them."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import draw

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models import keras_layers
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.layers import Dropout, max_pool

SHAPE, SHORT = (4096, 12), (512, 12)
THIN = {"stem_filters": 4, "filters": (4, 6, 8, 10)}
COUNTS = {  # BatchNorm statistics included
    ("reference", "dense", 6): 6_425_638,
    ("reference", "dense", 1): 6_425_638 - 5 * (5120 + 1),
    ("reference", "transfer", 1): 6_809_281,
    ("narrow", "dense", 6): 407_878,
    ("narrow", "transfer", 1): 661_921,
}
COMPARISON_COUNTS = {  # of 2500 samples (but in LENGTHS), 12 leads and 6 labels, likewise; as built in PyTorch
    "resnet1d_wang": 476_550,
    "xresnet1d50": 968_454,
    "xresnet1d101": 1_899_782,
    "inception1d": 510_598,
    "autoecg_2d": 80_830_558,
    "ecgfounder": 30_605_046,  # without the BatchNorms that it does not apply
    "ecg_age": 6_954_294,
    "chagas_inception": 487_366,  # with the biases of the output, which the published one lacks
    "ecg_fm": 90_386_321 - 128 - 11 * 769,  # published with 17 labels, and with magnitudes of 128 taps
}
LENGTHS = {"ecg_age": 4096}


def draw_signal():
    return jnp.asarray(np.random.default_rng(1).normal(size=(2, *SHORT)), jnp.float32)


@pytest.mark.parametrize("name, head, num_labels", COUNTS)
def test_parameter_counts_are_pinned(name, head, num_labels):
    network = models.create(name, head=head, num_labels=num_labels)
    assert models.count_weights(models.shapes(network, SHAPE)) == COUNTS[name, head, num_labels]


@pytest.mark.parametrize("name", COMPARISON_COUNTS)
def test_parameter_counts_of_comparison_networks_are_pinned(name):
    """From the definitions in helme/ecg_ptbxl_benchmarking (code/models), those of the imports, and autoECG's text."""
    network = models.create(name, head="dense", num_labels=6)
    assert models.count_weights(models.shapes(network, (LENGTHS.get(name, 2500), 12))) == COMPARISON_COUNTS[name]


def test_every_registered_network_and_head_has_a_pinned_count():
    assert {(name, head) for name in models.TRUNKS for head in models.HEADS} == {key[:2] for key in COUNTS}
    assert set(models.COMPARISONS) == set(COMPARISON_COUNTS)


def test_the_reference_has_convolutions_of_the_published_sizes():
    network = models.create("reference", head="dense", num_labels=6)
    leaves = weights_lib.flatten(models.shapes(network, SHAPE))
    kernels = {path: leaf.shape for path, leaf in leaves.items() if path.endswith("kernel")}
    assert kernels["params/trunk/stem/conv/kernel"] == (16, 12, 64)
    assert kernels["params/trunk/unit2/conv1/kernel"] == (16, 128, 196)
    assert kernels["params/trunk/unit4/conv2/kernel"] == (16, 320, 320)
    assert kernels["params/trunk/unit4/shortcut/kernel"] == (1, 256, 320)
    assert kernels["params/head/output/kernel"] == (5120, 6)
    assert not [path for path in leaves if path.endswith("bias") and "conv" in path]


@pytest.mark.parametrize(
    "cut, shape", [(12, (1024, 128)), (23, (256, 196)), (34, (64, 256)), (45, (16, 320)), (48, (16, 320))]
)
def test_the_trunk_is_cut_after_a_keras_layer(cut, shape):
    trunk = models.create("reference", head="transfer", num_labels=1, transfer={"cut": cut}).trunk
    signal, index = jnp.zeros((2, *SHAPE)), jnp.arange(2)
    features, variables = jax.eval_shape(lambda: trunk.init_with_output(jax.random.key(0), signal, index, False))
    assert features.shape == (2, *shape)
    assert ("norm2" in variables["params"]["unit4"] if "unit4" in variables["params"] else False) == (cut == 48)


def test_the_cut_at_45_is_the_sum_before_batchnorm_and_relu():
    whole = models.create("narrow", head="dense", num_labels=2, trunk=THIN)
    cut = models.create("narrow", head="transfer", num_labels=2, trunk=THIN)
    variables, signal = draw(whole, SHORT), draw_signal()
    _, taps = jax.jit(functools.partial(whole.apply, mutable=["keras_layers"]))(variables, signal)
    trunk = {"params": variables["params"]["trunk"], "batch_stats": variables["batch_stats"]["trunk"]}
    features = jax.jit(cut.trunk.apply, static_argnums=3)(trunk, signal, jnp.arange(2), False)
    np.testing.assert_array_equal(features, taps["keras_layers"]["trunk"]["unit4"]["45"][0])
    assert float(features.min()) < 0


def test_the_transfer_head_is_three_convolutions_and_three_dense_layers():
    network = models.create("narrow", head="transfer", num_labels=1, transfer={"normalization": "none"})
    head = models.shapes(network, SHAPE)["params"]["head"]
    assert set(head) == {"conv1", "conv2", "conv3", "dense1", "dense2", "output"}
    assert head["conv1"]["kernel"].shape == (5, 80, 128)
    assert head["output"]["kernel"].shape == (32, 1)


def test_the_table_has_keras_numbers_names_and_flax_paths():
    table = {layer.number: layer for layer in keras_layers.LAYERS}
    assert len(table) == 50
    assert (table[5].keras_name, table[5].flax_path) == ("conv1d_2", "trunk/unit1/conv1")
    assert (table[11].keras_name, table[11].flax_path) == ("conv1d_1", "trunk/unit1/shortcut")
    assert (table[38].keras_name, table[45].kind, table[46].flax_path) == ("conv1d_11", "add", "trunk/unit4/norm2")
    assert keras_layers.CUTS == (12, 23, 34, 45, 48)
    assert keras_layers.first_layers(5) == ("trunk/stem/conv", "trunk/stem/norm", "trunk/unit1/conv1")


def test_every_path_of_the_table_is_a_module_of_the_network():
    leaves = weights_lib.flatten(models.shapes(models.create("narrow", head="dense", num_labels=6), SHAPE)["params"])
    assert {path.rsplit("/", 1)[0] for path in leaves} == set(keras_layers.first_layers(50))


def test_dropout_masks_follow_the_example_not_its_place():
    x = jnp.ones((4, 100))
    drop = Dropout(0.2)
    key = {"dropout": jax.random.key(3)}
    whole = drop.apply({}, x, jnp.arange(4), True, rngs=key)
    part = drop.apply({}, x[:2], jnp.array([3, 1]), True, rngs=key)
    np.testing.assert_array_equal(part, whole[jnp.array([3, 1])])
    assert not np.array_equal(whole[0], whole[1])


def test_dropout_keeps_the_stated_fraction_and_scales_it_up():
    dropped = Dropout(0.2).apply({}, jnp.ones((8, 10_000)), jnp.arange(8), True, rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(dropped)) == {0.0, np.float32(1.25)}
    assert abs(float((dropped > 0).mean()) - 0.8) < 0.006  # four standard deviations


def test_dropout_masks_are_independent_of_neighbours_examples_and_steps():
    """Correlations of masks that are shifted against each other are those of independent draws."""
    x = jnp.ones((64, 4096, 4))
    masks = [
        np.asarray(Dropout(0.5).apply({}, x, jnp.arange(64), True, rngs={"dropout": jax.random.key(seed)})) - 1
        for seed in (0, 1)
    ]
    first = masks[0]
    pairs = [(first[:, :-lag], first[:, lag:]) for lag in (1, 2, 3, 4, 64, 1024)]
    pairs += [(first[..., :-1], first[..., 1:]), (first[:-1], first[1:]), tuple(masks)]
    assert all(abs(np.mean(a * b)) < 4.5 / np.sqrt(a.size) for a, b in pairs)
    assert abs(first.mean()) < 4.5 / np.sqrt(first.size)
    per_place = first.mean(axis=0) * np.sqrt(64)  # of unit variance, were all examples independent
    assert per_place.std() == pytest.approx(1, abs=0.03)


def test_max_pooling_and_its_gradient_are_linens():
    """Also where values are equal: the first of them takes the gradient."""
    x = jnp.asarray(np.random.default_rng(0).integers(0, 3, size=(3, 40, 5)), jnp.float32)
    for window in (4, 5, 3):  # 40 samples are no multiple of 3
        ours, theirs = (
            jax.value_and_grad(lambda x, pool=pool: (pool(x) * jnp.arange(5.0)).sum())(x)
            for pool in (
                lambda x, n=window: max_pool(x, n),
                lambda x, n=window: nn.max_pool(x, (n,), (n,), padding="SAME"),
            )
        )
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("is_checkpointed", [False, True])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16])
def test_a_pooled_window_hands_on_its_whole_gradient_whatever_a_compiler_fuses_with_it(dtype, is_checkpointed):
    """The largest value is found again by comparison, which values computed twice and rounded otherwise would miss."""

    def normalize(x, scale):
        return nn.gelu((x - x.mean((0, 1))) * jax.lax.rsqrt(x.var((0, 1)) + 1e-3) * scale + 0.1) * 1.7 + x

    def pool(added, x, scale):
        return max_pool(normalize(x, scale).astype(dtype) + added, 4)

    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (4, 1024, 12), dtype)
        used = jax.checkpoint(pool) if is_checkpointed else pool
        compiled = jax.jit(jax.grad(lambda *args: used(*args).astype(jnp.float32).sum()))
        gradient = compiled(jnp.zeros_like(x), x, jnp.linspace(0.3, 3, 12, dtype=dtype))
    by_window = np.asarray(gradient, np.float64).reshape(4, 256, 4, 12).sum(axis=2)
    np.testing.assert_array_equal(by_window, 1.0)


@pytest.mark.parametrize(
    "arguments, names",
    [
        ({"name": "resnet50", "head": "dense"}, ["resnet50", "reference", "narrow"]),
        ({"name": "narrow", "head": "conv"}, ["conv", "dense", "transfer"]),
        ({"name": "narrow", "head": "dense", "dtype": "int8"}, ["int8", "bfloat16"]),
        ({"name": "narrow", "head": "transfer", "transfer": {"cut": 44}}, ["44", "45"]),
        ({"name": "narrow", "head": "transfer", "transfer": {"normalization": "layer"}}, ["layer", "batch"]),
    ],
)
def test_an_unknown_choice_is_refused_with_the_known_ones(arguments, names):
    with pytest.raises(InputError) as caught:
        models.create(**arguments, num_labels=1)
    assert all(name in str(caught.value) for name in names)


def test_bfloat16_computes_in_bfloat16_and_returns_float32_close_to_float32():
    precise = models.create("narrow", head="dense", num_labels=6, trunk=THIN)
    variables, signal = draw(precise, SHORT), draw_signal()
    rough = models.create("narrow", head="dense", num_labels=6, trunk=THIN, dtype="bfloat16")
    logits, taps = jax.jit(functools.partial(rough.apply, mutable=["keras_layers"]))(variables, signal)
    assert logits.dtype == jnp.float32
    assert taps["keras_layers"]["trunk"]["unit4"]["45"][0].dtype == jnp.bfloat16
    exact = jax.jit(precise.apply)(variables, signal)
    assert 0 < float(jnp.abs(logits - exact).max() / jnp.abs(exact).max()) < 0.03  # bfloat16 keeps 8 bits


@pytest.mark.parametrize(
    "variant, count",
    [  # narrow, 6 labels; worked out from 16 taps, channels 16, 32, 48, 64, 80 and time 1024, 256, 64, 16
        ({}, 407_878),
        ({"preactivation": False}, 407_878),
        ({"units": 3}, 407_878 - (16 * 64 * 80 + 16 * 80 * 80 + 64 * 80 + 2 * 4 * 80) + (64 * 64 - 16 * 80) * 6),
        (
            {"kernel_size": 8},
            407_878 - 8 * (12 * 16 + 16 * 32 + 32**2 + 32 * 48 + 48**2 + 48 * 64 + 64**2 + 64 * 80 + 80**2),
        ),
    ],
)
def test_variants_of_the_reference_have_the_parameters_that_their_sizes_make(variant, count):
    network = models.create("narrow", head="dense", num_labels=6, variant=models.AS_PUBLISHED | variant)
    assert models.count_weights(models.shapes(network, SHAPE)) == count


def test_a_trunk_a_quarter_as_wide_is_the_narrow_one_but_for_rounding():
    network = models.create("reference", head="dense", num_labels=6, variant=models.AS_PUBLISHED | {"width": 0.25})
    kernels = models.shapes(network, SHAPE)["params"]["trunk"]
    assert kernels["stem"]["conv"]["kernel"].shape == (16, 12, 16)
    assert kernels["unit2"]["conv1"]["kernel"].shape == (16, 32, 49)


def test_postactivation_carries_no_negative_value_from_unit_to_unit():
    variant = models.AS_PUBLISHED | {"preactivation": False}
    network = models.create("narrow", head="dense", num_labels=1, trunk=THIN, variant=variant)
    variables = draw(network, SHORT)
    trunk = {"params": variables["params"]["trunk"], "batch_stats": variables["batch_stats"]["trunk"]}
    features = jax.jit(network.trunk.apply, static_argnums=3)(trunk, draw_signal(), jnp.arange(2), False)
    assert features.shape == (2, 2, 10)
    assert float(features.min()) >= 0


@pytest.mark.parametrize("name, head", [("narrow", "transfer"), ("resnet1d_wang", "dense")])
def test_a_variant_of_another_network_is_refused(name, head):
    with pytest.raises(InputError, match=r"model\.variant"):
        models.create(name, head=head, num_labels=1, variant=models.AS_PUBLISHED | {"units": 2})
