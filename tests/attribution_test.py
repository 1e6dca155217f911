"""Attribution: hand-computed values of linear networks and small games, completeness, layers, every network."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison_networks_test import SMALL
from networks import draw

from ecg_jax import load_model, models, read
from ecg_jax.data.preprocess import create_input
from ecg_jax.errors import InputError
from ecg_jax.explanation import attribution, grad_cam, methods, occlusion, removal, shapley
from ecg_jax.explanation.segments import label_samples
from ecg_jax.models.heads import DenseHead, MeanHead

SAMPLES = 256


class Identity(nn.Module):
    """A trunk that gives the signal."""

    def __call__(self, signal, index, train):
        return signal


# One output, the sum of weights [4 samples, 2 leads] times the signal, plus 5.
WEIGHTS = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]], np.float32)
LINEAR = models.Network(Identity(), DenseHead(1))
LINEAR_VARIABLES = {"params": {"head": {"output": {"kernel": WEIGHTS.reshape(8, 1), "bias": np.float32([5.0])}}}}
ECG = np.array([[[0.0, 1.0], [1.0, 1.0], [5.0, 0.0], [2.0, 3.0]]], np.float32)
QRS = np.array([[0, 2, 2, 2]], np.int8)  # from sample 1 to 3


def explain(method, segments=QRS, signal=ECG, **how):
    return methods.attribute(method, LINEAR, LINEAR_VARIABLES, signal, 0, segments, **how)


def test_samples_belong_to_the_wave_they_lie_in_and_st_begins_where_qrs_ends():
    waves = [
        {"wave": "T", "onset": 0.0, "offset": 0.02},  # without a complex before it
        {"wave": "P", "onset": 0.05, "offset": 0.10},
        {"wave": "QRS", "onset": 0.08, "offset": 0.14},
        {"wave": "T", "onset": 0.18, "offset": 0.22},
        {"wave": "P", "onset": 0.20, "offset": 0.25},
    ]
    labels = label_samples(waves, 0.0, 26, 100)
    assert "".join(map(str, labels)) == "33" + "000" + "111" + "222222" + "33333333" + "111" + "0"
    assert labels.dtype == np.int8
    np.testing.assert_array_equal(label_samples(waves, -0.03, 10, 100), [0, 0, 0, *labels[:7]])
    np.testing.assert_array_equal(label_samples(waves, 0.2, 10, 100), [*labels[20:26], 0, 0, 0, 0])
    assert not label_samples([], 0.0, 5, 100).any()


def test_a_t_wave_after_a_missed_complex_begins_at_its_own_onset():
    waves = [{"wave": "QRS", "onset": 0.0, "offset": 0.1}, {"wave": "T", "onset": 1.0, "offset": 1.1}]
    assert label_samples(waves, 0.0, 12, 10).tolist() == [2] + [0] * 9 + [3, 0]


def test_gradients_of_a_linear_network_are_its_weights():
    np.testing.assert_allclose(explain("integrated_gradients"), WEIGHTS * ECG, rtol=1e-6)
    np.testing.assert_allclose(explain("smooth_gradient"), WEIGHTS * ECG, rtol=1e-6)
    level = np.ones_like(ECG)
    question = (LINEAR.apply, LINEAR_VARIABLES, ECG, 0)
    found = attribution.integrated_gradients(*question, level, steps=3)
    np.testing.assert_allclose(found, WEIGHTS * (ECG - 1), rtol=1e-6)


def test_the_lowpass_baseline_keeps_what_lies_below_the_beats():
    """Of a level and of 0.1 Hz nearly all, of 1.2 Hz (72 per minute) a thirtieth: 1 / (1 + 2.4 ** 4) = 0.03."""
    time = np.arange(8000) / 400
    signal = np.stack([1 + np.sin(0.2 * np.pi * time), np.sin(2.4 * np.pi * time)], axis=1)[None]
    found = attribution.create_lowpass_baseline(signal, 400)[0, 2000:6000]
    np.testing.assert_allclose(found[:, 0], signal[0, 2000:6000, 0], atol=0.01)
    assert np.abs(found[:, 1]).max() == pytest.approx(0.03, abs=0.003)


def test_a_removed_segment_is_a_line_between_its_ends_and_a_removed_lead_zeros():
    """Lead one: 1, 5, 2 become 1, 1.5, 2, which lowers the sum by 3 * 3.5; lead two: 1, 0, 3 become 1, 2, 3."""
    question = (LINEAR.apply, LINEAR_VARIABLES, ECG, 0, QRS)
    parts = occlusion.occlude(*question)
    np.testing.assert_allclose(parts, [[0, 10.5, 0, 0, -60, 0]], atol=1e-5)
    np.testing.assert_allclose(occlusion.occlude(*question, "segments"), [[0, -49.5, 0]], atol=1e-5)
    np.testing.assert_allclose(occlusion.occlude(*question, "leads"), [[25, 150]], rtol=1e-6)
    with pytest.raises(InputError, match=r"players is 'waves'; known: parts, segments, leads"):
        occlusion.occlude(*question, "waves")


def test_neighbouring_segments_are_lines_of_their_own():
    signal = np.array([0.0, 4.0, 2.0, 3.0, 9.0, 5.0, 1.0])[:, None]
    lines = removal.draw_lines(jnp.asarray(signal), jnp.array([0, 2, 2, 2, 3, 3, 3]))
    np.testing.assert_allclose(lines[:, 0], [0, 4, 3.5, 3, 9, 5, 1])


def test_values_of_parts_are_spread_over_their_samples():
    found = explain("occlusion")
    np.testing.assert_allclose(found[0], [[0, 0], [3.5, -20], [3.5, -20], [3.5, -20]], atol=1e-5)
    np.testing.assert_allclose(explain("shapley"), found, atol=1e-4)


def test_shapley_values_of_a_linear_network_are_the_drops():
    question = (LINEAR.apply, LINEAR_VARIABLES, ECG, 0, QRS)
    for players in ("segments", "leads"):
        np.testing.assert_allclose(
            shapley.compute_exact(*question, players), occlusion.occlude(*question, players), atol=1e-4
        )
    found = shapley.sample(*question, pairs=2)
    np.testing.assert_allclose(found.value, occlusion.occlude(*question), atol=1e-4)
    np.testing.assert_allclose(found.error, 0, atol=1e-4)  # every order agrees


def value_exactly(game, count):
    scores = np.array([game(*each) for each in shapley.list_coalitions(count)], float)
    return shapley.weigh_coalitions(count) @ scores


def value_by(game, ranks):
    scores = np.array([game(*each) for each in shapley.list_steps(ranks)], float)
    value, error = shapley.estimate(scores[None], ranks)
    return value[0], error[0]


def test_shapley_values_of_a_product_by_hand():
    """(1 + a)(1 + 2b) with a third player who does nothing: of 6 orders a adds 1 or 3 and b 2 or 4, equally often."""

    def game(a, b, _):
        return (1 + a) * (1 + 2 * b)

    np.testing.assert_allclose(value_exactly(game, 3), [2, 3, 0])
    ranks = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0), (2, 0, 1), (1, 2, 0)])  # each with its reverse
    value, _ = value_by(game, ranks)
    np.testing.assert_allclose(value, [2, 3, 0])


def test_exact_values_are_efficient_symmetric_and_ignore_dummies():
    table = np.random.default_rng(0).normal(size=(2, 3, 2))

    def game(a, b, c, d, _):  # b and c are alike, the fifth adds nothing
        return table[int(a), int(b) + int(c), int(d)]

    found = value_exactly(game, 5)
    assert found.sum() == pytest.approx(table[1, 2, 1] - table[0, 0, 0])
    assert found[1] == pytest.approx(found[2])
    assert found[4] == pytest.approx(0)


def test_sampled_values_agree_with_exact_ones_within_their_intervals():
    """Of 95 % intervals of 6 players in 40 random games (240), 92 to 98 % hold the exact value; sums are exact."""
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(40):
        table = rng.normal(size=(2,) * 6)

        def game(*present, table=table):
            return table[tuple(map(int, present))]

        value, error = value_by(game, shapley.draw_orders(rng, 6, 12))
        assert value.sum() == pytest.approx(table[(1,) * 6] - table[(0,) * 6])
        low, high = shapley.Estimate(value, error, 12).interval()
        exact = value_exactly(game, 6)
        covered += list((low <= exact) & (exact <= high))
    assert 0.92 < np.mean(covered) < 0.98


@pytest.mark.parametrize("method", methods.METHODS)
def test_of_labels_that_exclude_each_other_the_log_odds_are_attributed(method):
    """Logits 2x and 4x: x = 1 lowers the first probability from 0.5 to 1 / (1 + e^2) = 0.12, its log-odds by 2."""
    network = models.Network(Identity(), DenseHead(2))
    variables = {"params": {"head": {"output": {"kernel": np.float32([[0, 0], [2, 4], [0, 0]]), "bias": np.zeros(2)}}}}
    signal, segments = np.float32([[[0], [1], [0]]]), np.int8([[2, 2, 2]])
    found = [
        methods.attribute(method, network, variables, signal, output, segments, activation="softmax").sum()
        for output in range(2)
    ]
    np.testing.assert_allclose(found, [0, 2 / 3] if method == "grad_cam" else [-2, 2], rtol=0.1)
    [[first, second]] = methods.LogOdds(network.trunk, network.head).apply(variables, signal)
    assert (first, second) == (-2, 2)


def test_too_many_players_and_too_few_orders_are_refused():
    signal = np.zeros((1, 4, 5), np.float32)
    with pytest.raises(InputError, match=r"of 15 players need 32768 evaluations"):
        shapley.compute_exact(LINEAR.apply, {}, signal, 0, QRS, "parts")
    with pytest.raises(InputError, match=r"pairs is 1; an interval needs at least 2"):
        shapley.sample(LINEAR.apply, {}, signal, 0, QRS, pairs=1)


def test_shares_by_lead_and_segment_add_up_to_one():
    values = np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 4.0], [1.0, 0.0]])
    found = methods.share(values, np.array([1, 2, 3, 0]))
    np.testing.assert_allclose(found, np.array([[1, 2, 0, 1], [0, 0, 4, 0]]) / 8)
    assert not methods.share(np.zeros((4, 2)), np.zeros(4, int)).any()


THIN = {"narrow": {"filters": (8, 8), "stem_filters": 4}}


def create(name, trunk, head="dense", **how):
    network = models.create(name, head=head, num_labels=3, trunk=trunk, **how)
    return network, draw(network, (SAMPLES, 12))


@pytest.fixture(scope="module")
def thin():
    return create("narrow", THIN["narrow"])


@pytest.fixture(scope="module")
def ecgs():
    """Two signals, and segments of two beats."""
    signal = np.random.default_rng(0).normal(size=(2, SAMPLES, 12)).astype(np.float32)
    labels = np.tile(np.repeat([0, 1, 0, 2, 3, 0], [20, 20, 10, 20, 40, 18]), 2).astype(np.int8)
    return signal, np.stack([labels, np.roll(labels, 7)])


@pytest.mark.parametrize("method", methods.METHODS)
def test_an_ecg_has_the_same_attribution_in_any_batch(method, thin, ecgs):
    both = methods.attribute(method, *thin, ecgs[0], 1, ecgs[1])
    alone = methods.attribute(method, *thin, ecgs[0][1:], 1, ecgs[1][1:])
    assert (both.shape, both.dtype) == ((2, SAMPLES, 12), np.float32)
    np.testing.assert_allclose(both[1:], alone, atol=1e-6 * np.abs(both).max(), rtol=1e-4)
    np.testing.assert_array_equal(both, methods.attribute(method, *thin, ecgs[0], 1, ecgs[1]))
    other = methods.attribute(method, *thin, ecgs[0], 2, ecgs[1])
    assert np.abs(both - other).max() > 0.1 * np.abs(both).max()  # another label, another answer


def measure_gap(network, variables, signal, output, baseline, steps):
    """What is missing from the difference of logits, as a share of it: `[B]`."""
    question = (network.apply, variables, signal, output, baseline)
    return attribution.find_missing(*question, np.asarray(attribution.integrated_gradients(*question, steps=steps)))


def test_what_is_missing_is_a_share_of_the_difference_of_logits():
    """Of a linear network weights times the ECG add up to it; of four fifths of them a fifth is missing."""
    question = (LINEAR.apply, LINEAR_VARIABLES, ECG, 0, np.zeros_like(ECG))
    np.testing.assert_allclose(attribution.find_missing(*question, WEIGHTS * ECG * 0.8), [0.2], rtol=1e-5)
    silent = (*question[:2], 0 * ECG, *question[3:])
    np.testing.assert_array_equal(attribution.find_missing(*silent, 0 * ECG), [0])


def test_methods_say_how_exact_they_are():
    """Of a linear network nothing is missing, and every order of its parts agrees."""
    found = {name: methods.explain(name, LINEAR, LINEAR_VARIABLES, ECG, 0, QRS) for name in methods.METHODS}
    assert {name for name, each in found.items() if each.missing is not None} == {
        "integrated_gradients",
        "integrated_gradients_lowpass",
    }
    assert found["integrated_gradients"].missing == pytest.approx(0, abs=1e-5)
    assert [name for name, each in found.items() if each.half_widths is not None] == ["shapley"]
    np.testing.assert_allclose(found["shapley"].half_widths, np.zeros_like(ECG), atol=1e-4)


def test_integrated_gradients_add_up_to_the_difference_of_logits(thin, ecgs):
    baseline = 0.1 * ecgs[0][::-1]
    assert measure_gap(*thin, ecgs[0], 0, baseline, 512).max() < 1e-3
    assert measure_gap(*thin, ecgs[0], 0, baseline, 8).max() > 1e-3


@pytest.mark.slow
def test_on_a_real_ecg_the_weights_that_ship_need_2048_steps(shared):
    """ReLU changes the gradient in hundreds of thousands of places along the line."""
    model = load_model("real")
    signal, _ = create_input(read(str(shared / "data" / "ludb" / "data" / "23.hea")), model.contract)
    question = (
        model.network,
        model.variables,
        signal[None],
        model.label_names.index("AF"),
        np.zeros_like(signal[None]),
    )
    assert measure_gap(*question, 2048) < 1e-3
    assert measure_gap(*question, methods.STEPS) < 0.02


class Halved(nn.Module):
    """A trunk that gives the mean of every two samples."""

    def __call__(self, signal, index, train):
        return signal.reshape(len(signal), -1, 2, signal.shape[2]).mean(axis=2)


def test_grad_cam_by_hand():
    """Means over time: a gradient of 2 / 2 and -1 / 2 at each of 2 steps, whose means are these too.

    Channels are (1, 3) and (4, 2): 1 - 1.5 < 0 is cut off, 4 - 1 = 3. Of four samples the values are 0, 0.75, 2.25 and
    3, halved since there are twice as many, and halved again for two leads.
    """
    network = models.Network(Halved(), MeanHead(1))
    variables = {"params": {"head": {"output": {"kernel": np.float32([[2], [-1]]), "bias": np.float32([7])}}}}
    signal = np.float32([[[0, 3], [2, 3], [4, 0], [4, 4]]])
    found = grad_cam.grad_cam(network, variables, signal, 0, "trunk")
    np.testing.assert_allclose(found, np.repeat([[[0.0], [0.75], [2.25], [3.0]]], 2, axis=2) / 4, rtol=1e-6)


def find_layers(network):
    shapes = models.list_modules(network, (SAMPLES, 12))
    return [layer for layer, shape in shapes.items() if len(shape) > 1]


@pytest.mark.parametrize(
    "name, head",
    [
        ("narrow", "dense"),
        pytest.param("narrow", "transfer", marks=pytest.mark.slow),
        pytest.param("xresnet1d50", "dense", marks=pytest.mark.slow),
    ],
)
def test_grad_cam_takes_every_layer_with_time(name, head, ecgs):
    network, variables = create(name, (SMALL | THIN)[name], head=head)
    layers = find_layers(network)
    assert len(layers) > 15
    for layer in layers:
        found = jax.eval_shape(functools.partial(grad_cam.grad_cam, network, output=0, layer=layer), variables, ecgs[0])
        assert (found.shape, found.dtype) == (ecgs[0].shape, np.float32)


def test_a_layer_without_time_is_refused():
    network, variables = create("ecgfounder", SMALL["ecgfounder"])
    signal = np.zeros((1, SAMPLES, 12), np.float32)
    with pytest.raises(InputError, match=r"layer is 'trunk/stage1_block1/squeeze', which has no axis of time; .*trunk"):
        grad_cam.grad_cam(network, variables, signal, 0, "trunk/stage1_block1/squeeze")
    with pytest.raises(InputError, match=r"layer is 'trunk/unit9', which is not there; known: trunk, trunk/stem,"):
        grad_cam.grad_cam(network, variables, signal, 0, "trunk/unit9")


def test_grad_cam_takes_the_last_layer_whose_steps_tell_waves_apart():
    """The reference shortens time by 4 at every unit: steps of 16 samples after the second."""
    network = models.create("narrow", head="dense", num_labels=1)
    assert grad_cam.choose_layer(network, (4096, 12), 16) == "trunk/unit2"
    assert grad_cam.choose_layer(network, (4096, 12), 255) == "trunk/unit3"
    assert grad_cam.choose_layer(network, (4096, 12), 256) == "trunk"  # all of it, up to the fourth
    assert grad_cam.choose_layer(network, (4096, 12), 0.5) == "trunk/stem"


def test_low_precision_and_recomputation_of_a_network_do_not_matter(thin, ecgs):
    how = {"head": "dense", "num_labels": 3, "trunk": THIN["narrow"], "checkpoint_activations": True}
    rough, recomputed = (models.create("narrow", dtype=dtype, **how) for dtype in ("bfloat16", "float32"))
    found, expected = (
        methods.attribute("integrated_gradients", network, thin[1], ecgs[0], 0, ecgs[1]) for network in (rough, thin[0])
    )
    np.testing.assert_array_equal(found, expected)
    found, expected = (
        grad_cam.grad_cam(network, thin[1], ecgs[0], 0, "trunk/unit1/conv1") for network in (recomputed, thin[0])
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_cannot_be_attributed_is_refused(thin, ecgs):
    with pytest.raises(InputError, match=r"method is 'lime'; known: integrated_gradients, .*, shapley"):
        methods.attribute("lime", *thin, ecgs[0], 0, ecgs[1])
    for output in (3, -1):
        with pytest.raises(InputError, match=rf"output is {output}; the network has 3, numbered from 0"):
            methods.attribute("occlusion", *thin, ecgs[0], output, ecgs[1])
    with pytest.raises(InputError, match=r"signal is \(256, 12\) and segments \(256,\); expected \[B, T, L\]"):
        methods.attribute("occlusion", *thin, ecgs[0][0], 0, ecgs[1][0])


TRANSFORMER = {
    "conv_filters": (8, 8),
    "width": 8,
    "layers": 2,
    "heads": 2,
    "hidden": 8,
    "position_taps": 4,
    "position_groups": 2,
}


@pytest.mark.parametrize("method", methods.METHODS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "ecg_fm" else pytest.mark.slow) for name in models.COMPARISONS]
)
def test_every_network_can_be_explained(name, method, ecgs, monkeypatch):
    monkeypatch.setattr(methods, "STEPS", 8)
    monkeypatch.setattr(methods, "PAIRS", 2)
    trunk = TRANSFORMER if name == "ecg_fm" else SMALL[name.replace("d101", "d50")]
    network, variables = create(name, trunk)
    found = methods.attribute(method, network, variables, ecgs[0][:1], 2, ecgs[1][:1])
    assert found.shape == (1, SAMPLES, 12)
    assert np.isfinite(found).all()
    assert found.any()
