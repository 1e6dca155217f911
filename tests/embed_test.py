"""Recordings in, embeddings out: layers, pools, windows, files."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from cli_test import assert_one_line, call, write_wfdb
from networks import draw
from predict_test import draw as draw_ecg
from predict_test import wrap

from ecg_jax import models, read
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.inference import embed as embed_lib
from ecg_jax.inference.batches import apply
from ecg_jax.inference.model import Model, load_model
from ecg_jax.models import features

SAMPLES = 256
THIN = {  # attributes of small trunks
    "ecgfounder": {"stem_filters": 16, "filters": (16, 32), "blocks": (1, 1), "kernel_size": 4},
    "xresnet1d50": {"stages": (1, 1), "stem_filters": (4, 6), "filters": 4},
    "narrow": {"filters": (8, 8), "stem_filters": 4},
}


def create(name, labels=("a", "b")):
    network = models.create(name, head="dense", num_labels=len(labels), trunk=THIN[name])
    contract = InputContract(samples=SAMPLES)
    return Model(network, draw(network, contract.shape), contract, labels, {})


@pytest.fixture(scope="module")
def model():
    return create("ecgfounder")


@pytest.fixture(scope="module")
def signal():
    return np.random.default_rng(0).normal(size=(3, SAMPLES, 12)).astype(np.float32)


def test_modules_are_listed_by_path_in_the_order_of_their_calls_with_what_they_give():
    found = models.list_modules(create("xresnet1d50").network, (SAMPLES, 12))
    assert found["trunk"] == (32, 16)
    children = [path for path in found if path.count("/") == 1]
    assert children == ["trunk/stem1", "trunk/stem2", "trunk/stage1_block1", "trunk/stage2_block1"]
    assert [found[path] for path in children] == [(128, 4), (128, 6), (64, 16), (32, 16)]
    assert found["trunk/stage2_block1/conv2/norm"] == (32, 4)
    unit = models.list_modules(create("narrow").network, (SAMPLES, 12))["trunk/unit2"]  # it gives two arrays
    assert unit == (16, 8)


def test_a_mean_and_the_output_layer_are_the_prediction(model, signal):
    """ECGFounder's head is a mean over time and a dense layer."""
    output = model.variables["params"]["head"]["output"]
    logits = model.embed(signal) @ output["kernel"] + output["bias"]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), model.predict(signal), rtol=1e-5)
    np.testing.assert_allclose(model.embed(signal, pool="head"), model.embed(signal), rtol=1e-5)


def test_pools_are_those_of_the_layers_numbers(model, signal):
    layer = "trunk/stage1_block1"
    flat = model.embed(signal, layer, "flatten")
    assert flat.dtype == np.float32
    steps = flat.reshape(3, 64, 16)  # 256 samples, halved by the stem and by the stage
    np.testing.assert_allclose(model.embed(signal, layer), steps.mean(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.embed(signal, layer, "max"), steps.max(axis=1))
    assert model.embed(signal, f"{layer}/squeeze", "max").shape == (3, 8)  # has no axis of time


def test_a_layer_is_the_same_where_training_recomputes_activations(signal):
    plain = create("narrow")
    saving = models.create("narrow", head="dense", num_labels=2, trunk=THIN["narrow"], checkpoint_activations=True)
    found = dataclasses.replace(plain, network=saving).embed(signal, "trunk/unit1/conv1")
    np.testing.assert_array_equal(found, plain.embed(signal, "trunk/unit1/conv1"))


def test_a_layer_is_what_the_network_computes_there(model, signal):
    """The stem is a convolution: of a single one at time 10 in lead I, SAME padding of 4 taps, stride 2."""
    pulse = np.zeros_like(signal[:1])
    pulse[0, 10, 0] = 1
    found = model.embed(pulse, "trunk/stem", "flatten").reshape(128, 16)
    kernel = model.variables["params"]["trunk"]["stem"]["kernel"]  # output 4 sees the samples 7 to 10, output 5 9 to 12
    np.testing.assert_allclose(found[[4, 5]], [kernel[3, 0], kernel[1, 0]], rtol=1e-5)
    assert not np.delete(found, [4, 5], axis=0).any()


def test_the_head_gives_the_input_of_its_output_layer(signal):
    """xresnet1d50's head has a dense layer of 128 in between."""
    model = create("xresnet1d50")
    output = model.variables["params"]["head"]["output"]
    hidden = model.embed(signal, pool="head")
    assert hidden.shape == (3, 128)
    logits = hidden @ output["kernel"] + output["bias"]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), model.predict(signal), rtol=1e-4)


@pytest.mark.parametrize(
    "layer, pool, message",
    [
        ("trunk/unit9", "mean", "layer is 'trunk/unit9'; the network has trunk, trunk/stem, trunk/stage1_block1"),
        ("", "sum", "pool is 'sum' of layer trunk; known: mean, max, flatten, head"),
        ("trunk/stem", "head", "head' of layer trunk/stem; known: .* of the layer trunk alone"),
    ],
)
def test_an_unknown_layer_or_pool_is_refused_with_those_there_are(model, signal, layer, pool, message):
    with pytest.raises(InputError, match=message):
        model.embed(signal, layer, pool)


def test_a_long_recording_has_the_mean_of_its_windows_and_others_keep_their_place(model):
    long = wrap(draw_ecg(), id="long")
    bad, silent = wrap(draw_ecg() * 1000, id="bad"), wrap(np.zeros((4096, 12)), id="silent")
    windows = {name: found for name, found, _ in apply(model.embed, model, [long], whole=True)}["long"]
    assert windows.shape == (16, 32)
    made = list(embed_lib.embed(model, [bad, long, silent], batch_size=5, whole=True))
    assert [each.recording for each in made] == ["bad", "long", "silent"]
    np.testing.assert_allclose(made[1].values, windows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.embed(long.read()), made[1].values[None], rtol=1e-5)
    assert "mV" in made[0].known["error"]
    assert np.isnan(made[2].values).all()
    with pytest.raises(InputError, match="silent: no signal"):
        model.embed(silent.read())
    table = embed_lib.collect(made, 3, embed_lib.measure(model))
    assert (table.rows.tolist(), table.recordings.tolist()) == ([1, 2], ["long", "silent"])
    assert table.quality[1] == "no signal"
    assert table.problems.total() == 1


def test_a_network_without_output_layer_embeds_and_does_not_predict(model, signal):
    params = {"trunk": model.variables["params"]["trunk"]}
    trunk = dataclasses.replace(model, variables={"params": params, "batch_stats": {}}, label_names=())
    for pool in features.POOLS:
        np.testing.assert_array_equal(trunk.embed(signal, pool=pool), model.embed(signal, pool=pool))
    with pytest.raises(InputError, match="no output layer"):
        trunk.predict(signal)


def write_encoder(path):
    """A small pretrained ECG-FM: 64 channels, one layer, no output."""
    width, conv = 64, 4
    shapes = {f"feature_extractor.conv_layers.{i}.0.weight": (conv, conv if i else 12, 2) for i in range(4)}
    shapes |= {"conv_pos.pos_conv.0.weight_g": (1, 1, 6), "conv_pos.pos_conv.0.weight_v": (width, width // 2, 6)}
    shapes |= {"conv_pos.pos_conv.0.bias": (width,)}
    layer = "encoder.layers.0"
    dense = {f"{layer}.self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
    dense |= {f"{layer}.fc1": (8, width), f"{layer}.fc2": (width, 8), "post_extract_proj": (width, conv)}
    norms = {"feature_extractor.conv_layers.0.2": conv, "layer_norm": conv, "encoder.layer_norm": width}
    norms |= {f"{layer}.self_attn_layer_norm": width, f"{layer}.final_layer_norm": width}
    dense |= {name: (size,) for name, size in norms.items()}
    for name, shape in dense.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(write_encoder(tmp_path_factory.mktemp("encoder") / "encoder.safetensors"))


def test_files_become_an_archive_that_joins_by_name_and_a_bad_file_ends_nothing(encoder, tmp_path):
    write_wfdb(tmp_path / "ecgs", "a", draw_ecg())
    write_wfdb(tmp_path / "ecgs", "silent", np.zeros((4096, 12)))
    (tmp_path / "ecgs" / "cut.hea").write_text("cut 12 400 4096\n")
    output = tmp_path / "out.npz"
    done = call("embed", f"--model={encoder}", f"--output={output}", tmp_path / "ecgs")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cut" in done.stdout
    assert "noticed in 1 recording(s): no signal: NaN in place of numbers" in done.stdout
    with np.load(output) as found:
        assert sorted(found) == ["embeddings", "quality", "recordings"]
        assert [name.rsplit("/")[-1] for name in found["recordings"]] == ["a", "silent"]
        assert found["embeddings"].shape == (2, 64)
        model = load_model(encoder, needs_output=False)
        np.testing.assert_allclose(found["embeddings"][:1], model.embed(read(tmp_path / "ecgs" / "a")), rtol=1e-5)
    with pytest.raises(InputError, match="without an output layer; it can embed"):
        load_model(encoder)


def test_a_data_set_becomes_a_table_with_patients_split_and_labels(encoder, tmp_path):
    for name in "ab":
        write_wfdb(tmp_path, name, draw_ecg())
    names = pd.DataFrame(
        {"path": ["a.hea", "b.hea"], "patient_id": [7, 8], "split": ["train", "test"], "mine": [1, None]}
    )
    names.to_csv(tmp_path / "mine.csv", index=False)
    output, data = tmp_path / "out.parquet", f"--data=folder:{tmp_path / 'mine.csv'}"
    done = call("embed", f"--model={encoder}", data, "--labels=mine", "--layer=trunk/conv2", f"--output={output}")
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_parquet(output)
    numbers = [f"embedding{i}" for i in range(4)]
    assert list(table.columns) == ["recording", "quality", "patient", "split", "mine", *numbers]
    assert table["patient"].tolist() == ["7", "8"]
    assert table["split"].tolist() == ["train", "test"]
    assert table["mine"].tolist()[0] == 1
    assert np.isnan(table["mine"][1])
    assert np.isfinite(table["embedding0"]).all()


def test_layers_are_listed_and_contradicting_flags_refused(encoder, tmp_path):
    done = call("embed", f"--model={encoder}", "--layer=list")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines() if "conv2" in line] == [["trunk/conv2", "625", "x", "4"]]
    assert_one_line(call("embed", "--output=out.csv", "a.hea"), "--output=out.csv", ".npz and .parquet")
    assert_one_line(call("embed", "--data=ptbxl:DIR", "a.hea"), "both name recordings")
    assert_one_line(call("embed"), "no recordings named")
