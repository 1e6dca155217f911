"""Convolutions by fast algorithms are the direct ones, but for rounding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models.convolution import METHODS, Conv, convolve, create_fourier, create_toom_cook

ALGORITHMS = {"fourier16": create_fourier(16), "fourier8": create_fourier(8), "toom_cook": create_toom_cook(4, 4)}
REFERENCE_LAYERS = [  # samples, channels, filters, stride
    *((4096, 64, 128, 1), (4096, 128, 128, 4), (1024, 128, 196, 1), (1024, 196, 196, 4)),
    *((256, 196, 256, 1), (256, 256, 256, 4), (64, 256, 320, 1), (64, 320, 320, 4)),
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_computes_a_sliding_product_from_fewer_products(name, rng):
    algorithm = ALGORITHMS[name]
    outputs, taps = len(algorithm.outputs), algorithm.taps.shape[1]
    signal, kernel = rng.normal(size=algorithm.inputs.shape[1]), rng.normal(size=taps)
    found = algorithm.outputs @ ((algorithm.taps @ kernel) * (algorithm.inputs @ signal))
    np.testing.assert_allclose(found, np.correlate(signal[: outputs + taps - 1], kernel, "valid"), atol=1e-12)
    assert len(algorithm.inputs) < outputs * taps / 2


def test_the_numbers_of_products_are_those_documented():
    assert (len(create_fourier(16).inputs), len(create_fourier(16).outputs)) == (47, 16)
    assert (len(create_toom_cook(4, 4).inputs), len(create_toom_cook(4, 4).outputs)) == (7, 4)


@pytest.mark.parametrize("method", ["direct", "fast"])
def test_same_padding_by_hand(method):
    """Sixteen ones over the samples 1..20: 7 zeros before and 8 after, or 6 and 6 at stride 4, as TensorFlow pads."""
    signal = jnp.arange(1.0, 21).reshape(1, 20, 1)
    kernel = jnp.ones((16, 1, 1))
    expected = [sum(range(max(1, t - 7), min(20, t + 8) + 1)) for t in range(1, 21)]
    np.testing.assert_allclose(convolve(signal, kernel, 1, method)[0, :, 0], expected, rtol=1e-5)
    every_fourth = [sum(range(max(1, t - 6), min(20, t + 9) + 1)) for t in range(1, 21, 4)]
    np.testing.assert_allclose(convolve(signal, kernel, 4, method)[0, :, 0], every_fourth, rtol=1e-5)


slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize("samples", [1, slow(15), 16, slow(17), 63, slow(64), slow(100), slow(1000)])
@pytest.mark.parametrize("stride, taps", [(1, 16), (4, 16), slow(1, 9), slow(2, 8)])
def test_any_length_agrees_in_float64(samples, stride, taps, rng):
    with jax.enable_x64(True):
        signal, kernel = jnp.asarray(rng.normal(size=(2, samples, 3))), jnp.asarray(rng.normal(size=(taps, 3, 5)))
        direct = lax.conv_general_dilated(signal, kernel, (stride,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
        fast = convolve(signal, kernel, stride, "fast")
        assert (fast.dtype, fast.shape) == (jnp.float64, direct.shape)
        np.testing.assert_allclose(fast, direct, atol=1e-12)


@pytest.mark.parametrize(
    "samples, channels, filters, stride",
    [*(slow(*layer) for layer in REFERENCE_LAYERS[:-1]), REFERENCE_LAYERS[-1]],
)
def test_every_layer_agrees_within_1e_5_forward_and_in_both_gradients(samples, channels, filters, stride, rng):
    """In float32: largest difference over largest magnitude."""
    signal = jnp.asarray(rng.normal(size=(2, samples, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(16, channels, filters)) / np.sqrt(16 * channels), jnp.float32)
    cotangent = jnp.asarray(rng.normal(size=(2, samples // stride, filters)), jnp.float32)

    def run(method):
        result, pull_back = jax.vjp(lambda x, w: convolve(x, w, stride, method), signal, kernel)
        return result, *pull_back(cotangent)

    for direct, fast in zip(run("direct"), run("fast"), strict=True):
        assert float(jnp.abs(direct - fast).max() / jnp.abs(direct).max()) < 1e-5


@pytest.mark.slow
def test_the_whole_network_agrees_whatever_the_method(rng):
    signal = jnp.asarray(rng.normal(size=(2, 4096, 12)), jnp.float32)
    networks = {name: models.create("reference", head="dense", num_labels=6, convolution=name) for name in METHODS}
    variables = models.init(networks["direct"], jax.random.key(0), (4096, 12))
    logits = {name: np.asarray(jax.jit(network.apply)(variables, signal)) for name, network in networks.items()}
    for name in METHODS:
        np.testing.assert_allclose(logits[name], logits["direct"], atol=1e-5 * np.abs(logits["direct"]).max())


def test_auto_is_fast_on_a_cpu_where_that_pays_and_direct_elsewhere():
    def products(channels, samples, dtype, batch=4):
        signal, kernel = jnp.zeros((batch, samples, channels), dtype), jnp.zeros((16, channels, 64), dtype)
        return str(jax.make_jaxpr(convolve)(signal, kernel)).count("conv_general_dilated[")

    assert products(64, 1024, jnp.float32) == 0
    assert products(12, 1024, jnp.float32) == 1  # the stem: too few channels
    assert products(64, 64, jnp.float32, batch=1) == 1  # one short signal: the kernel's transform costs more
    assert products(64, 1024, jnp.bfloat16) == 1


def test_one_tap_is_a_matrix_product(rng):
    signal, kernel = rng.normal(size=(2, 5, 3)), rng.normal(size=(1, 3, 4))
    expected = np.einsum("btc,ck->btk", signal, kernel[0])
    np.testing.assert_allclose(convolve(jnp.asarray(signal), jnp.asarray(kernel)), expected, rtol=1e-5)


def test_parameters_are_those_of_a_linen_convolution():
    variables = Conv(5, 16).init(jax.random.key(0), jnp.zeros((1, 32, 3)))
    assert jax.tree.map(jnp.shape, variables) == {"params": {"kernel": (16, 3, 5)}}
    assert variables["params"]["kernel"].std() == pytest.approx(np.sqrt(2 / (16 * 3)), rel=0.15)


def test_what_there_is_no_fast_algorithm_for_is_refused():
    with pytest.raises(InputError, match=r"model.convolution is 'fast', which does not support 5 taps at stride 1"):
        convolve(jnp.zeros((1, 32, 3)), jnp.zeros((5, 3, 4)), 1, "fast")
    with pytest.raises(InputError, match=r"model.convolution is 'winograd'; known: auto, direct, fast"):
        models.create("narrow", head="dense", num_labels=1, convolution="winograd")
