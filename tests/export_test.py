"""A model in one file does what `predict` does."""

import dataclasses
import functools
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from cli_test import assert_one_line, call
from networks import draw

from ecg_jax import models
from ecg_jax.contract import Filter, InputContract, Resample, SubtractMedian
from ecg_jax.data import filters as exact
from ecg_jax.data import preprocess, readers
from ecg_jax.errors import InputError
from ecg_jax.evaluation.calibration import Calibration
from ecg_jax.exporting import filters, metadata, onnx_convert, onnx_file, stablehlo
from ecg_jax.exporting.arrays import Plan
from ecg_jax.inference import predict
from ecg_jax.inference.model import Model, load_model
from ecg_jax.models.imports.published import PUBLISHED
from ecg_jax.models.outputs import Scale
from ecg_jax.recording import LEADS, create_recording

ROOT = Path(__file__).parents[1]
THIN = {"filters": (8, 8), "stem_filters": 4}
MAPS = {
    "a": {"slope": 0.4, "intercept": -1.0},
    "b": {"x": [0.1, 0.3, 0.8], "y": [0.0, 0.6, 1.0]},
    "c": {"slope": 1.0, "intercept": 0.0, "reason": "not asked for"},
}
FILTERED = InputContract(sampling_rate=100.0, samples=256, highpass=0.5, lowpass=30.0)


def create(contract=FILTERED, head="dense", **facts):
    sizes = {"trunk": {**THIN, "filters": (8, 8, 8, 8)}} if head == "transfer" else {"trunk": THIN}
    network = models.create("narrow", head=head, num_labels=3, **sizes)
    variables = draw(network, contract.shape)
    calibration = Calibration("platt", MAPS)
    return Model(network, variables, contract, ("a", "b", "c"), {"a": 0.25}, **{"calibration": calibration} | facts)


def wander(samples=512, seed=0, count=1):
    """Noise around a level that drifts, `[count, samples, 12]` mV."""
    rng = np.random.default_rng(seed)
    level = np.cumsum(rng.normal(0, 0.02, (count, samples, 12)), axis=1) + rng.normal(0, 2, (count, 1, 12))
    return (level + rng.normal(0, 0.1, level.shape)).astype(np.float32)


def with_gaps(samples=512):
    """Five arrays: whole; with scattered gaps; a gap in all leads; without some limb leads; without V2 to V4."""
    signal = wander(samples, count=5)
    rng = np.random.default_rng(1)
    signal[1, rng.integers(0, samples, 60), rng.integers(0, 12, 60)] = np.nan
    signal[1, -20:, 3] = np.inf
    signal[2, :90] = np.nan
    signal[2, 200:230] = np.nan
    signal[3, :, [0, 2, 4]] = np.nan
    signal[4, :, 7:10] = np.nan
    return signal


def wrap(array, rate):
    """The recording that has what is in an array, without the leads that it lacks."""
    kept = [i for i in range(12) if np.isfinite(array[:, i]).any()]
    return create_recording(array[:, kept], leads=[LEADS[i] for i in kept], sampling_rate=rate, id="ecg")


def run_onnx(model, plan, signal, weights="float32"):
    file = io.BytesIO()
    onnx_file.write(file, model, plan, weights)
    session = onnxruntime.InferenceSession(file.getvalue())
    [output] = session.run([metadata.name_output(model)], {"signal": signal})
    return output


def run_stablehlo(model, plan, signal):
    file = io.BytesIO()
    stablehlo.write(file, model, plan)
    with zipfile.ZipFile(file) as archive:
        program = jax.export.deserialize(bytearray(archive.read("model.bin")))
    assert program.platforms == ("cpu", "cuda", "tpu")
    return np.asarray(program.call(signal))


RUNS = pytest.mark.parametrize("run", [run_onnx, run_stablehlo])
FIRST_RUN = pytest.mark.parametrize("run", [run_onnx, pytest.param(run_stablehlo, marks=pytest.mark.slow)])


@pytest.mark.parametrize(
    ("before", "after", "method"),
    [(500, 400, "polyphase"), (250, 400, "polyphase"), (257, 100, "polyphase"), (360, 400, "polyphase_zeros"),
     (500, 100, "polyphase_zeros"), (400, 500, "linear"), (500, 400, "linear")],
)  # fmt: skip
def test_resampling_is_that_of_predict(before, after, method):
    signal, step = wander(401), Resample(before, after, method)
    expected, _ = exact.resample(step, signal[0], np.ones(signal.shape[1:], bool))
    found = filters.resample(step, signal.transpose(0, 2, 1))[0].T
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "step",
    [Filter(400, 0.5, 40, 0), Filter(400, 0.5, 40, 50), Filter(500, 0, 40, 60), Filter(500, 0.05, 0, 0),
     Filter(500, 0.67, 40, 50, 4), Filter(500, 0.5, 40, 0, 10)],
)  # fmt: skip
@pytest.mark.parametrize("samples", [300, 1000])  # shorter than what is added at its ends, and longer
def test_a_recursive_filter_in_blocks_is_that_of_predict_up_to_the_ends(step, samples):
    signal = wander(samples)
    expected = exact.apply_filter(step, signal[0], np.ones(signal.shape[1:], bool))
    np.testing.assert_allclose(filters.apply_filter(step, signal.transpose(0, 2, 1))[0].T, expected, atol=3e-5)


def test_a_median_is_that_of_predict():
    signal, step = wander(90), SubtractMedian(21)
    expected = exact.subtract_median(step, signal[0], np.ones(signal.shape[1:], bool))
    np.testing.assert_array_equal(filters.subtract_median(step, signal.transpose(0, 2, 1))[0].T, expected)


@pytest.mark.parametrize(
    "changes",
    [{"samples": 100, "normalization": "zscore"},
     {"normalization": "zscore_joint", "leads": ("V6", "aVF", "I"), "resampling": "linear"},
     *(pytest.param(each, marks=pytest.mark.slow) for each in (
         {}, {"sampling_rate": 300.0}, {"samples": 90, "window_stride": 50}, {"offset": 0.1, "window_count": 2},
         {"normalization": "minmax", "statistics": "recording", "samples": 150}, {"median_baseline": 0.2}))],
)  # fmt: skip
def test_gaps_missing_leads_and_windows_are_shaped_as_by_predict(changes):
    contract = dataclasses.replace(FILTERED, **changes)
    signal = with_gaps()
    windows, moves = jax.jit(Plan(contract, 250.0, signal.shape[1]).create_windows)(signal)
    assert np.asarray(moves).all()
    for found, array in zip(windows, signal, strict=True):
        recording, _ = preprocess.mask_missing(wrap(array, 250.0), contract.leads)
        expected, _ = preprocess.create_windows(recording, contract)
        np.testing.assert_allclose(found, expected, atol=5e-5)


def test_a_lead_that_is_there_without_a_sample_is_zeros_in_predict_and_derived_in_a_file():
    signal = wander(256)
    signal[..., [2, 8]] = np.nan  # III and V3
    contract = InputContract(sampling_rate=250.0, samples=256, units_per_millivolt=1.0)
    recording = create_recording(signal[0], leads=LEADS, sampling_rate=250.0, id="ecg")
    ([predicted], _), (windows, _) = (
        preprocess.create_windows(recording, contract), Plan(contract, 250.0, 256).create_windows(signal)
    )  # fmt: skip
    exported = np.asarray(windows)[0, 0]
    assert not predicted[:, [2, 8]].any()
    np.testing.assert_allclose(exported[:, 2], signal[0, :, 1] - signal[0, :, 0], atol=1e-6)
    rest = np.delete(np.arange(12), 2)
    np.testing.assert_array_equal(exported[:, rest], predicted[:, rest])
    [line] = [line for line in metadata.list_limits(create(contract), Plan(contract, 250.0, 256)) if "missing" in line]
    assert "`predict` takes a lead that is there but has no sample as zeros" in line


@pytest.mark.parametrize(
    ("run", "head"),
    [(run_onnx, "transfer"), (run_stablehlo, "dense"),
     pytest.param(run_onnx, "dense", marks=pytest.mark.slow),
     pytest.param(run_stablehlo, "transfer", marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_file_gives_what_predict_gives_for_any_number_of_arrays(run, head):
    model, signal = create(head=head), with_gaps()
    expected = np.concatenate([model.predict(wrap(array, 250.0)) for array in signal])
    found = run(model, Plan(model.contract, 250.0, 512), signal)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@FIRST_RUN
def test_windows_of_a_long_array_are_combined_and_those_without_a_signal_left_out(run):
    model = create(dataclasses.replace(FILTERED, samples=128), largest=("b",))
    signal = wander(900, count=3)
    signal[1, :400] = 0.5  # begins flat
    signal[2] = np.nan
    plan = Plan(model.contract, 250.0, 900)
    assert plan.begins.tolist() == [0, 116, 232]
    found = run(model, plan, signal)
    expected = np.concatenate([model.predict(wrap(array, 250.0)) for array in signal[:2]])
    np.testing.assert_allclose(found[:2], expected, atol=1e-5)
    assert np.isnan(found[2]).all()
    [line] = [line for line in metadata.list_limits(model, plan) if line.startswith("windows")]
    assert "3 windows" in line


@RUNS
def test_an_array_without_any_lead_of_the_contract_has_no_probability(run):
    """`predict` refuses such a recording; one lead, or two from which one is derived, is enough."""
    model = create(dataclasses.replace(FILTERED, leads=("V6", "aVF", "I")))
    signal = np.full((4, 512, 12), np.nan, np.float32)
    kept = [[LEADS.index(lead) for lead in names] for names in (("II", "V1"), ("V6",), ("I", "V1"), ("II", "III"))]
    for array, columns in zip(signal, kept, strict=True):
        array[:, columns] = wander()[0][:, columns]
    with pytest.raises(InputError, match="has none of the leads V6, aVF, I"):
        model.predict(wrap(signal[0], 250.0))
    found = run(model, Plan(model.contract, 250.0, 512), signal)
    assert np.isnan(found[0]).all()
    expected = np.concatenate([model.predict(wrap(array, 250.0)) for array in signal[1:3]])
    np.testing.assert_allclose(found[1:3], expected, atol=1e-5)
    assert np.isfinite(found[3]).all()


@FIRST_RUN
def test_numbers_are_in_their_unit(run):
    model = create(scale=Scale(np.array([50.0, 0, 1]), np.array([10.0, 1, 2])), calibration=None)
    signal = wander()
    found = run(model, Plan(model.contract, 250.0, 512), signal)
    np.testing.assert_allclose(found, model.predict(wrap(signal[0], 250.0)), rtol=1e-5, atol=1e-4)


def test_a_probability_near_one_is_calibrated_as_by_predict():
    """There float32 has steps of 2**-24, which the logarithm makes large."""
    from ecg_jax.exporting.function import _calibrate

    logits = np.linspace(-20, 20, 401, dtype=np.float32)[:, None].repeat(3, axis=1)
    raw = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    calibration = Calibration("platt", MAPS)
    found = _calibrate(calibration, ("a", "b", "c"), jnp.asarray(logits))
    np.testing.assert_allclose(found, calibration.apply(raw, ("a", "b", "c")), atol=1e-5)


def test_both_files_describe_themselves(tmp_path):
    model, texts = create(notice="For research.\nMore.", title="a", notes=("/folder/a: a",)), {}
    plan = Plan(model.contract, 250.0, 512)
    with open(tmp_path / "model.onnx", "wb") as file:
        onnx_file.write(file, model, plan)
    with open(tmp_path / "model.stablehlo", "wb") as file:
        stablehlo.write(file, model, plan)
    properties = onnxruntime.InferenceSession(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map
    texts = {key: value if key in ("card", "kind", "calibration", "threshold_rule", "weights") else json.loads(value)
             for key, value in properties.items()}  # fmt: skip
    with zipfile.ZipFile(tmp_path / "model.stablehlo") as archive:
        assert json.loads(archive.read("metadata.json")) == texts
        assert str(ROOT).encode() not in archive.read("model.bin")
    assert str(ROOT).encode() not in (tmp_path / "model.onnx").read_bytes()
    assert texts["card"] == "For research."
    assert texts["labels"] == ["a", "b", "c"]
    assert texts["thresholds"] == {"a": 0.25}
    assert InputContract.from_dict(texts["contract"]) == model.contract
    assert texts["input"]["leads"] == list(LEADS)
    assert (texts["input"]["sampling_rate"], texts["input"]["shape"]) == (250.0, ["B", 512, 12])
    assert any("missing leads" in line for line in texts["limits"])
    assert metadata.describe(dataclasses.replace(model, notice=""), plan)["card"] == "a"


@pytest.mark.parametrize(("weights", "share", "limit"), [("float16", 0.6, 2e-3), ("int8", 0.45, 2e-2)])
def test_smaller_weights_are_a_smaller_file_of_nearly_the_same_function(weights, share, limit):
    network = models.create("narrow", head="dense", num_labels=3)
    model = dataclasses.replace(create(), network=network, variables=draw(network, FILTERED.shape))
    plan, sizes = Plan(model.contract, 100.0, 256), {}
    for kind in ("float32", weights):
        file = io.BytesIO()
        onnx_file.write(file, model, plan, kind)
        sizes[kind] = len(file.getvalue())
    assert sizes[weights] < share * sizes["float32"]
    signal = wander(256, count=4)
    small, large = (run_onnx(model, plan, signal, kind) for kind in (weights, "float32"))
    np.testing.assert_allclose(small, large, atol=limit)
    assert (small != large).any()


def test_an_operation_without_an_operator_is_refused_in_favour_of_stablehlo():
    (batch,) = jax.export.symbolic_shape("B")
    traced = jax.jit(functools.partial(jnp.sort, axis=1)).trace(jax.ShapeDtypeStruct((batch, 3), np.float32))
    with pytest.raises(InputError, match="operation sort cannot be written as ONNX; --format=stablehlo can"):
        onnx_convert.convert(traced.jaxpr, batch, ("signal", "probability"))


def test_the_command_writes_both_formats_and_says_what_they_lack(tmp_path):
    done = call("export", f"--output={tmp_path / 'model.onnx'}", "--weights=int8")
    assert done.returncode == 0, done.stderr
    assert "signal [B, 5000, 12] float32 mV at 500 Hz -> probability [B, 76]" in done.stdout
    assert "missing leads: " in done.stdout
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"))
    assert_one_line(
        call("export", f"--output={tmp_path / 'model.stablehlo'}", "--weights=int8"), "is for --format=onnx"
    )
    assert not (tmp_path / "model.stablehlo").exists()


@pytest.mark.parametrize(("kind", "name"), [("stablehlo", "a.onnx"), ("onnx", "a.StableHLO")])
def test_a_suffix_of_the_other_format_is_refused(kind, name, tmp_path):
    done = call("export", f"--format={kind}", f"--output={tmp_path / name}")
    assert_one_line(done, f"contradicts --format={kind}, whose files end in .{kind}; omit one")
    assert not (tmp_path / name).exists()


@pytest.fixture
def example(tmp_path):
    """The documentation's code that reads StableHLO; its files are in the test's folder."""
    text = (ROOT / "docs" / "export.md").read_text()
    model = create()
    with open(tmp_path / "model.stablehlo", "wb") as file:
        stablehlo.write(file, model, Plan(model.contract, 500.0, 5000))
    np.save(tmp_path / "ecg.npy", wander(5000)[0])
    return next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "deserialize" in block)


def test_the_example_of_the_documentation_is_short_and_runs(example, tmp_path, monkeypatch, capsys):
    assert "ecg_jax" not in example
    assert len(example.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert re.search(r"\ba\b.*0\.\d", capsys.readouterr().out)


@pytest.mark.slow
def test_the_example_of_the_documentation_runs_with_jax_alone(example, tmp_path):
    """In a process in which these packages cannot be imported."""
    without = "import sys\nsys.modules |= dict.fromkeys(('ecg_jax', 'flax', 'optax', 'orbax'))\n"
    run = functools.partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True)
    done = run([sys.executable, "-c", without + example])
    assert done.returncode == 0, done.stderr
    assert re.search(r"\ba\b.*0\.\d", done.stdout)
    assert "ModuleNotFoundError" in run([sys.executable, "-c", without + "import ecg_jax"]).stderr


@pytest.mark.slow
@RUNS
def test_200_real_recordings_are_as_predicted(run, shared):
    model = load_model()
    found = readers.find(str(shared / "data" / "ludb"))
    assert len(found) == 200
    signal = np.stack([np.where(r.valid, r.signal, np.nan) for r in (lazy.read() for lazy in found)])
    expected = np.stack([each.probabilities for each in predict.predict(model, found, whole=True, checks="warn")])
    np.testing.assert_allclose(run(model, Plan(model.contract, 500.0, 5000), signal), expected, atol=1e-4)


@pytest.mark.slow
@RUNS
@pytest.mark.parametrize("name", ["full_tfkeras.hdf5", "small_binary_keras3.h5"])
def test_a_keras_file_of_the_reference_network_is_as_predicted(run, name, shared):
    model = load_model(str(shared / "reference" / "keras_fixtures" / name))
    assert metadata.describe(model, Plan(model.contract, 500.0, 5000))["card"] == name
    found = readers.find(str(shared / "data" / "ludb"))[:5]
    signal = np.stack([lazy.read().signal for lazy in found])
    expected = np.stack([each.probabilities for each in predict.predict(model, found, whole=True, checks="warn")])
    np.testing.assert_allclose(run(model, Plan(model.contract, 500.0, 5000), signal), expected, atol=1e-4)


def load_published(shared, name):
    return load_model(str(shared / "reference" / "torch_fixtures" / name / "weights_zip.pt"))


@pytest.mark.parametrize(
    ("name", "atol"),
    [("ecg_age", 1e-3), *(pytest.param(name, 1e-5, marks=pytest.mark.slow) for name in ("chagas_inception", "ecg_fm"))],
)  # years, and probabilities
def test_these_published_networks_are_exported_as_onnx(name, atol, shared):
    model = load_published(shared, name)
    plan, lazy = Plan(model.contract, 500.0, 5000), readers.find(str(shared / "data" / "ludb"))[0]
    [made] = predict.predict(model, [lazy], whole=True)
    [found] = run_onnx(model, plan, lazy.read().signal[None])
    np.testing.assert_allclose(found, made.probabilities, atol=atol)
    card = metadata.describe(model, plan)["card"]
    assert card == PUBLISHED[name].title
    assert str(shared) not in card


@pytest.mark.slow
@pytest.mark.parametrize(("name", "operation"), [("xresnet1d101", "argmax"), ("ecgfounder", "scan")])
def test_these_published_networks_are_refused_as_onnx(name, operation, shared):
    model = load_published(shared, name)
    with pytest.raises(InputError, match=f"operation {operation} cannot be written as ONNX; --format=stablehlo can"):
        onnx_file.write(io.BytesIO(), model, Plan(model.contract, 500.0, 5000))


@pytest.mark.slow
def test_a_published_network_is_exported_with_its_windows(shared):
    model = load_published(shared, "xresnet1d101")
    lazy = readers.find(str(shared / "data" / "ludb"))[0]
    found = run_stablehlo(model, Plan(model.contract, 500.0, 5000), lazy.read().signal[None])
    [made] = predict.predict(model, [lazy], whole=True)
    np.testing.assert_allclose(found[0], made.probabilities, atol=1e-4)
