"""Runs that start from a published network's file: what they predict, embed and inherit, and which scores leak."""

import dataclasses
import io
import json
import types
from pathlib import Path

import age_resnet_test
import chagas_inception_test
import ecg_fm_test
import net1d_test
import numpy as np
import pytest
import xresnet1d101_test
from networks import draw
from rich.console import Console
from safetensors.numpy import save_file

from configs.published import get_config
from ecg_jax import config as config_lib
from ecg_jax import models
from ecg_jax.data import joins
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.splits import manifest
from ecg_jax.errors import InputError
from ecg_jax.inference import evaluated
from ecg_jax.inference.evaluated_model import describe_leaks, predict_model
from ecg_jax.inference.evaluated_model import share_labels as share_model_labels
from ecg_jax.inference.model import Model, load_model
from ecg_jax.labels import SIX
from ecg_jax.models import benchmarks
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.imports import chagas_inception, ecg_age, ecg_fm, ecgfounder, xresnet1d101
from ecg_jax.models.imports.published import PUBLISHED
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.runtime import checkpoint, run_folder
from ecg_jax.trained_on import Inherited, TrainedOn
from ecg_jax.training import starting_weights

# The module that reads the file, that of the tests that writes a tiny one, and what that has as the published one has.
NETWORKS = {
    "ecgfounder": (ecgfounder, net1d_test, {}),
    "ecg_age": (ecg_age, age_resnet_test, {"LEADS": 12}),
    "chagas_inception": (chagas_inception, chagas_inception_test, {"LEADS": 8}),
    "xresnet1d101": (xresnet1d101, xresnet1d101_test, {"LEADS": 12, "HEAD": 128, "LABELS": 71}),
    "ecg_fm": (ecg_fm, ecg_fm_test, {"LEADS": 12, "WIDTH": 64, "LABELS": 17}),
}
OPTIONS = {"ecgfounder": {"leads": 12, "labels": 150}, "ecg_age": {"steps": 64}}


def create_dataset(name: str, count: int = 3) -> Dataset:
    """Noise of 6 seconds or, where a network's input lasts 10, 11."""
    signals = np.random.default_rng(0).normal(0, 0.3, (count, 5500, 12))
    ids = np.array([f"r{i}" for i in range(count)])

    def read(i: int):
        return create_recording(signals[i], leads=LEADS, sampling_rate=500.0, id=str(ids[i]))

    columns = {label: np.arange(count, dtype=np.float32) % 2 for label in SIX}
    return Dataset(name, ids, columns, read, split=np.array(["train", "validation", "test"] * count)[:count])


def start(file: Path, name: str, **changes) -> types.SimpleNamespace:
    """What a run for SIX starts with."""
    config = config_lib.override(get_config(name), {"init.weights": str(file)} | changes)
    network = models.create(**config.model, num_labels=len(SIX))
    variables = draw(network, (config.contract.samples, len(config.contract.leads)))
    console = Console(record=True, width=500, file=io.StringIO())
    variables, inherited = starting_weights.load(config, variables, console, labels=SIX)
    return types.SimpleNamespace(config=config, variables=variables, inherited=inherited, said=console.export_text())


def write_run(folder: Path, begun: types.SimpleNamespace) -> str:
    """The folder of a run that has made no step."""
    records = {"contract": config_lib.to_dict(begun.config)["contract"], "labels": list(SIX)}
    split = manifest.create(create_dataset("folder"))
    for name, values in (
        (run_folder.CONTRACT, records["contract"]),
        (run_folder.CONFIG, config_lib.to_dict(begun.config)),
        (run_folder.SPLIT, split),
    ):
        (folder / name).write_text(json.dumps(values))
    run_folder.write_inherited(str(folder), begun.inherited)
    with checkpoint.Checkpoints(str(folder / run_folder.CHECKPOINTS)) as checkpoints:
        checkpoints.save(checkpoint.BEST, 1, begun.variables, records)
        checkpoints.wait()
    return str(folder)


# Of the networks, the one that compiles in the shortest time, and the others.
_QUICK = [name if name == "ecg_age" else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]


@pytest.fixture(scope="module", params=_QUICK)
def tiny(request, tmp_path_factory):
    """A network's name and tiny file; networks of that name are as small meanwhile."""
    module, own, constants = NETWORKS[request.param]
    file = tmp_path_factory.mktemp("file") / "weights.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        for key, value in constants.items():
            patch.setattr(own, key, value)
        tensors = own.create_tensors(**OPTIONS.get(request.param, {}))
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items() if array.ndim}, file)
        sizes = module.find_sizes({name: array.shape for name, array in tensors.items()})
        small = dataclasses.replace(benchmarks.COMPARISONS[request.param], attributes=sizes.trunk)
        patch.setitem(benchmarks.COMPARISONS, request.param, small)
        yield request.param, file


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> str:
    name, file = tiny
    return write_run(tmp_path_factory.mktemp("run"), start(file, name))


def test_a_run_predicts_embeds_and_is_evaluated(tiny, run):
    _, file = tiny
    model, dataset = load_model(run), create_dataset("folder")
    recording = dataset.read(2)
    probabilities = model.predict(recording)
    assert probabilities.shape == (1, 6)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    trunk, stored = (weights_lib.flatten(each.variables) for each in (model, load_model(str(file))))
    assert all(np.array_equal(trunk[path], stored[path]) for path in trunk if "/trunk/" in path)
    assert np.isfinite(model.embed(recording)).all()
    how = {"is_own": True, "needs_validation": False, "checks": "warn", "console": None}
    found = predict_model(run, model, dataset, split="test", **how)
    assert found.predictions.names == SIX
    assert found.warnings == ()


def test_a_run_knows_what_its_starting_weights_were_trained_on(tiny, run):
    name, _ = tiny
    model = load_model(run)
    assert model.trained_on == PUBLISHED[name].trained_on
    for data_base in model.trained_on:
        found = describe_leaks(model.trained_on, create_dataset(data_base), np.arange(3))
        assert [line.partition(" (")[0] for line in found] == [f"leak: the network was trained on {data_base}"]
    assert describe_leaks(model.trained_on, create_dataset("ludb"), np.arange(3)) == []


@pytest.mark.parametrize(("tiny", "kept"), [("xresnet1d101", SIX), ("ecg_fm", ())], indirect=["tiny"])
def test_outputs_that_are_kept_combine_windows_as_the_file_does(tiny, kept, tmp_path):
    """Of ECG-FM's labels none of the six has the largest probability of its windows, of xresnet1d101's all."""
    name, file = tiny
    begun = start(file, name, **{"init.exclude": ()})
    assert {*begun.inherited.largest} == {*kept}
    model = load_model(write_run(tmp_path, begun))
    windows = np.random.default_rng(0).uniform(size=(4, 6))
    is_largest = np.isin(SIX, kept)
    np.testing.assert_array_equal(model.combine(windows), np.where(is_largest, windows.max(0), windows.mean(0)))
    assert start(file, name).inherited.largest == ()  # the output layer is drawn afresh


def test_a_run_from_such_a_run_inherits_too(tiny, run):
    name, _ = tiny
    assert start(Path(run), name).inherited.trained_on == PUBLISHED[name].trained_on


@pytest.mark.parametrize("tiny", ["ecg_fm"], indirect=True)
def test_another_number_of_heads_is_refused(tiny, monkeypatch):
    name, file = tiny
    small = benchmarks.COMPARISONS[name]
    changed = dataclasses.replace(small, attributes={**small.attributes, "heads": 4})
    monkeypatch.setitem(benchmarks.COMPARISONS, name, changed)
    with pytest.raises(InputError, match="its attention has 1 heads, that of ecg_fm 4"):
        start(file, name)


def test_nothing_inherited_is_no_file_and_that_of_an_earlier_run_is_removed(tmp_path):
    inherited = Inherited({"ptbxl": TrainedOn("folds 1 to 8", (1, 8), (9,)), "code": TrainedOn("all")}, ("AF",))
    run_folder.write_inherited(str(tmp_path), inherited)
    assert run_folder.read_inherited(str(tmp_path)) == inherited
    run_folder.write_inherited(str(tmp_path), Inherited())
    assert list(tmp_path.iterdir()) == []
    assert run_folder.read_inherited(str(tmp_path)) == Inherited()


def create_model(names: tuple[str, ...], **changes) -> Model:
    """A model that gives every label 0.5."""
    model = Model(None, {}, PUBLISHED["xresnet1d101"].contract, names, **{"thresholds": {}} | changes)
    model.__dict__["_apply"] = lambda variables, signal: np.zeros((len(signal), len(names)))
    return model


FOLDS = np.array([1, 8, 9, 9, 9, 10])
BENCHMARK = PUBLISHED["xresnet1d101"].trained_on


@pytest.mark.parametrize(
    ("scored", "expected"),
    [
        ([5], []),
        ([2, 5], ["leak: of the 2 scored recordings, 1 chose it (fold 9); their scores say little"]),
        (
            range(6),
            [
                "leak: of the 6 scored recordings, 2 trained the network (ptbxl, folds 1 to 8) and 3 chose it (fold "
                "9); their scores say little"
            ],
        ),
    ],
)
def test_recordings_of_known_folds_are_counted(scored, expected):
    dataset = dataclasses.replace(create_dataset("ptbxl", 6), folds=FOLDS)
    assert describe_leaks(BENCHMARK, dataset, np.array(scored)) == expected


def test_recordings_of_unknown_folds_are_named_by_data_set():
    """The Challenge's HR00021 is PTB-XL's `ecg_id` 21."""
    dataset = dataclasses.replace(create_dataset("challenge2021"), origins=np.array(["", "ptbxl/21", ""]))
    line = "leak: the network was trained on ptbxl (folds 1 to 8); scores of recordings there say little"
    assert describe_leaks(BENCHMARK, dataset, np.array([0, 1])) == [line]
    assert describe_leaks(BENCHMARK, dataset, np.array([0, 2])) == []
    parts = dataclasses.replace(create_dataset("combined"), ids=np.array(["ptbxl2/21", "code15/21", "ludb/1"]))
    assert parts.find_of("ptbxl").tolist() == [True, False, False]
    assert describe_leaks(BENCHMARK, parts, np.array([0, 1])) == [line]


def test_the_warnings_are_those_of_the_recordings_that_are_scored(monkeypatch):
    model = create_model(SIX, trained_on=BENCHMARK)
    split = np.array(["train", "train", "validation", "validation", "validation", "test"])
    dataset = dataclasses.replace(create_dataset("ptbxl", 6), folds=FOLDS, split=split)
    how = {"is_own": False, "needs_validation": False, "checks": "warn", "console": None}
    assert predict_model("x.pth", model, dataset, split="test", **how).warnings == ()
    [line] = predict_model("x.pth", model, dataset, split="all", **how).warnings
    assert "2 trained the network" in line


def test_models_of_different_labels_are_compared_on_those_that_both_have():
    """The first gives label i the logit i and has the threshold i / 10 for it."""
    dataset = dataclasses.replace(create_dataset("ludb", 4), split=None)
    how = {"split": "all", "is_own": False, "needs_validation": False, "checks": "warn", "console": None}
    first = create_model(SIX, thresholds={name: i / 10 for i, name in enumerate(SIX)}, unchosen=("LBBB", "AF"))
    first.__dict__["_apply"] = lambda variables, signal: np.tile(np.arange(6.0), (len(signal), 1))
    second, third = create_model(("RBBB", "AF")), create_model(("PVC",))
    own = predict_model("first", first, dataset, **how)
    others = predict_model("second", second, share_model_labels(second, dataset), **how)
    one, other = evaluated.align(*evaluated.share_labels(own, others), joins.Rules())
    assert one.predictions.names == other.predictions.names == ("RBBB", "AF")
    np.testing.assert_allclose(one.predictions.probabilities, 1 / (1 + np.exp([[-1.0, -4.0]] * 4)), rtol=1e-6)
    np.testing.assert_array_equal(one.predictions.labels, dataset.labels[:, [1, 4]])
    assert (one.thresholds.values.tolist(), one.thresholds.unchosen) == ([0.1, 0.4], ("AF",))
    assert one.warnings == ("4 labels left out, which second does not predict: 1dAVb, LBBB, SB, ST",)
    with pytest.raises(InputError, match="third predicts PVC, not 1dAVb"):
        predict_model("third", third, share_model_labels(third, dataset), **how)
