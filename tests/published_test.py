"""Networks that others have published: their names, contracts and labels, and what they predict of real ECGs."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from configs.published import get_config
from ecg_jax import statements
from ecg_jax.contract import InputContract
from ecg_jax.data import readers
from ecg_jax.data.preprocess import create_input, create_windows, standardize
from ecg_jax.errors import InputError
from ecg_jax.inference import writers
from ecg_jax.inference.model import Model, load_model
from ecg_jax.inference.predict import Prediction, predict
from ecg_jax.models import __main__ as models_command
from ecg_jax.models.imports import published
from ecg_jax.models.imports.published import PUBLISHED
from ecg_jax.models.outputs import Scale
from ecg_jax.recording import LEADS, create_recording


@pytest.fixture(scope="module")
def fixtures(shared):
    return shared / "reference" / "torch_fixtures"


def record(stored, prefix, rate, leads=LEADS):
    """A recording `[samples, leads]` from stored ADC counts `[leads, samples]`."""
    baseline = stored[f"{prefix}adc_baseline"][:, None] if f"{prefix}adc_baseline" in stored else 0
    signal = ((stored[f"{prefix}adc"] - baseline) / stored[f"{prefix}adc_gain"][:, None]).T
    return create_recording(signal, leads=leads, sampling_rate=rate, id="stored")


def compare(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", PUBLISHED)
def test_labels_are_distinct_and_those_of_the_vocabulary_mean_it(name):
    labels = PUBLISHED[name].labels()
    assert len(set(labels)) == len(labels)
    assert set(published.FINDINGS.get(name, {}).values()) <= {*statements.LABELS}
    assert set(PUBLISHED[name].largest) <= {*labels}


def test_numbers_of_outputs_are_the_published_ones():
    counts = {name: len(facts.labels()) for name, facts in PUBLISHED.items()}
    expected = {"ecgfounder": 150, "ecg_age": 1, "chagas_inception": 1, "xresnet1d101": 71, "ecg_fm": 17}
    assert counts == expected | {"ecgfounder_unfiltered": 150}


def test_a_name_before_the_file_chooses_among_contracts_of_one_network():
    assert published.split_name("ecgfounder_unfiltered:a/b.pth") == ("ecgfounder_unfiltered", "a/b.pth")
    assert published.split_name("C:model.pth") == ("", "C:model.pth")
    assert PUBLISHED["ecgfounder"].contract != PUBLISHED["ecgfounder_unfiltered"].contract


def test_the_models_that_can_be_loaded_are_listed(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["models"])
    models_command.main()
    listed = capsys.readouterr().out
    assert all(f"{name}:FILE" in listed for name in PUBLISHED)
    assert "simulated" in listed


def test_all_that_is_known_of_a_network_is_printed(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["models", "chagas_inception"])
    models_command.main()
    lines = capsys.readouterr().out.splitlines()
    assert "    contract.window_count: 20" in lines
    assert "  outputs (1): chagas" in lines
    assert "  licence: MIT" in lines


def test_a_network_that_is_not_known_is_one_line(monkeypatch):
    monkeypatch.setattr("sys.argv", ["models", "resnet"])
    with pytest.raises(SystemExit, match=r"error: no published network resnet; known: ecgfounder, "):
        models_command.main()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_configuration_has_the_networks_contract(name):
    config = get_config(name)
    assert InputContract.from_dict(config.contract) == PUBLISHED[name].contract
    assert config.model.name == PUBLISHED[name].module


@pytest.mark.parametrize("folder", ["ecgfounder", "ecgfounder_1lead", "ecg_age", "chagas_inception", "xresnet1d101"])
def test_a_file_is_recognized_by_its_tensors(fixtures, folder):
    found = published.load(str(fixtures / folder / "weights_legacy.pt"))
    assert found.name == folder.removesuffix("_1lead")
    assert len(found.contract.leads) == {"ecgfounder_1lead": 1, "chagas_inception": 8}.get(folder, 12)


def test_another_networks_file_is_refused_naming_what_it_lacks(fixtures):
    path = fixtures / "xresnet1d101" / "weights_zip.pt"
    with pytest.raises(InputError, match=r"not ECGFounder's network: it has no first_conv.conv.weight"):
        load_model(f"ecgfounder:{path}")


def test_what_a_published_network_expects_cannot_be_set(fixtures):
    with pytest.raises(InputError, match="sampling_rate of a published network are known"):
        load_model(str(fixtures / "ecg_age" / "weights_zip.pt"), sampling_rate=500.0)


@pytest.mark.parametrize(("name", "key"), [("ecgfounder", "finetune"), ("ecgfounder_unfiltered", "ptbxl_eval")])
def test_ecgfounders_two_preprocessings_are_their_authors(fixtures, name, key):
    stored = np.load(fixtures / "ecgfounder" / "preprocess.npz")
    signal, _ = create_input(record(stored, "", 500.0, stored["leads"].tolist()), PUBLISHED[name].contract)
    compare(signal.T, stored[f"{key}/model_input"])


def test_one_lead_is_filtered_and_normalized_by_itself(fixtures):
    stored = np.load(fixtures / "ecgfounder" / "preprocess.npz")
    contract = published.load(str(fixtures / "ecgfounder_1lead" / "weights_zip.pt")).contract
    signal, _ = create_input(record(stored, "", 500.0, stored["leads"].tolist()), contract)
    compare(signal.T, stored["finetune/lead_I_model_input"])


def test_ecg_fms_segments_are_their_authors(fixtures):
    stored = np.load(fixtures / "ecg_fm" / "preprocess.npz")
    windows, starts = create_windows(record(stored, "", float(stored["fs"])), PUBLISHED["ecg_fm"].contract)
    compare(windows.transpose(0, 2, 1), stored["segments"])
    assert starts.tolist() == [0, 5]


@pytest.mark.parametrize("name", ["1000010", "100003", "111198", "1111834", "9190_low_sample_rate"])
def test_the_chagas_network_predicts_what_its_authors_code_does(fixtures, name):
    stored = np.load(fixtures / "chagas_inception" / "real_io.npz")
    prefix = f"record/{name}/"
    recording = record(stored, prefix, float(stored[f"{prefix}fs"]), stored[f"{prefix}leads"].tolist())
    contract = PUBLISHED["chagas_inception"].contract
    compare(standardize(recording, contract)[0].T, stored[f"{prefix}signal_400hz"])
    starts = create_windows(recording, contract)[1] * 400
    np.testing.assert_allclose(starts, stored[f"{prefix}crop_starts"])
    model = load_model(str(fixtures / "chagas_inception" / "real_fold0.pt"))
    made = next(predict(model, [readers.LazyRecording(name, lambda: recording)], whole=True))
    np.testing.assert_allclose(made.windows[:, 0], stored[f"{prefix}crop_probabilities"], atol=1e-5)
    np.testing.assert_allclose(made.probabilities[0], stored[f"{prefix}probability"], atol=1e-5)


def create_model(**changes):
    """A mean over 10 samples at 10 Hz, of lead I alone, in 71 outputs or as many as there are labels."""
    contract = InputContract(leads=("I",), sampling_rate=10.0, samples=10, units_per_millivolt=1.0, window_stride=10)
    model = Model(None, {}, dataclasses.replace(contract, **changes.pop("contract", {})), ("a", "b"), {})
    model = dataclasses.replace(model, **changes)
    model.__dict__["_apply"] = lambda variables, signal: np.tile(
        signal.mean(axis=(1, 2))[:, None], len(model.label_names)
    )
    return model


def steps(*levels):
    """A second of each level, in mV, with a sign that alternates within it."""
    ripple = np.tile([1e-3, -1e-3], 5)
    signal = np.concatenate([level + ripple for level in levels])[:, None]
    return create_recording(signal, leads=("I",), sampling_rate=10.0, id="steps")


def predict_steps(model, *levels, whole):
    return next(predict(model, [readers.LazyRecording("r", lambda: steps(*levels))], whole=whole, checks="warn"))


def test_networks_of_others_see_their_windows_and_a_run_the_centre_that_it_was_validated_on():
    model = create_model(scale=Scale.create_plain(2), largest=("b",))
    made = predict_steps(model, 1.0, 2.0, 6.0, whole=False)
    np.testing.assert_allclose(made.probabilities, [3, 6], rtol=1e-6)  # mean and largest
    run = dataclasses.replace(model, split={"recordings": {"train": ["another"]}})
    run.__dict__["_apply"] = model._apply
    assert predict_steps(run, 1.0, 2.0, 6.0, whole=False).windows.shape == (1, 2)
    assert predict_steps(run, 1.0, 2.0, 6.0, whole=True).windows.shape == (3, 2)


def test_a_recording_that_was_trimmed_keeps_its_time():
    model = create_model(scale=Scale.create_plain(2), contract={"leads": ("I", "II"), "trim": True})
    signal = np.zeros((50, 2))
    signal[10:30] = np.random.default_rng(0).normal(size=(20, 2))
    recording = create_recording(signal, leads=("I", "II"), sampling_rate=10.0, id="r")
    made = next(predict(model, [readers.LazyRecording("r", lambda: recording)], whole=True, checks="warn"))
    assert made.starts.tolist() == [1, 2]


def test_without_thresholds_the_most_probable_labels_are_shown():
    names = tuple(f"label{i}" for i in range(20))
    values = np.linspace(0, 0.95, 20, dtype=np.float32)
    console = Console(file=io.StringIO(), width=100)
    writers.print_table(console, create_model(label_names=names), Prediction("r", values, values))
    shown = console.file.getvalue()
    assert "label19" in shown
    assert "label7 " not in shown
    assert "8 more labels, less probable, are in the file" in shown


@pytest.mark.slow
def test_the_benchmarks_crops_give_the_largest_probability_of_each_label(fixtures):
    stored = np.load(fixtures / "xresnet1d101" / "io.npz")
    model = load_model(str(fixtures / "xresnet1d101" / "weights_zip.pt"))
    scale = 1 / model.contract.units_per_millivolt
    signal = stored["record/input"].T * scale + model.contract.offset  # the stored input is scaled already
    windows, starts = create_windows(create_recording(signal, leads=LEADS, sampling_rate=100.0, id="a"), model.contract)
    np.testing.assert_allclose(starts * 100, stored["record/crop_starts"])
    probabilities = model.predict(windows)
    np.testing.assert_allclose(probabilities, stored["record/crop_probabilities"], atol=1e-5)
    np.testing.assert_allclose(model.combine(probabilities), stored["record/probabilities"], atol=1e-5)


@pytest.mark.parametrize("name", ["ecgfounder", "ecg_fm", "xresnet1d101"])
def test_labels_are_in_the_published_order(fixtures, name):
    stored = json.loads((fixtures / name / "labels.json").read_text())
    same = published.FINDINGS.get(name, {}) | {code: statements.column_name(code) for code in statements.STATEMENTS}
    assert [same.get(label, label) for label in stored] == list(PUBLISHED[name].labels())


def test_outputs_can_be_selected_by_name(fixtures):
    model = load_model(str(fixtures / "ecg_age" / "weights_zip.pt"))
    signal = np.random.default_rng(0).normal(size=(2, *model.contract.shape)).astype(np.float32)
    assert model.select(("age",)) is model
    assert model.predict(signal).shape == (2, 1)  # years, not a probability
    assert not ((model.predict(signal) >= 0) & (model.predict(signal) <= 1)).all()
