"""Labels that are numbers (age, LVEF): from a table to a run that predicts them, and back."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from cli_test import call
from networks import draw
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax import load_model, models
from ecg_jax.data import datasets, splits
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError
from ecg_jax.models import outputs
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.outputs import Scale
from ecg_jax.runtime import checkpoint, run_folder
from ecg_jax.training import losses, starting_weights

NAN = np.nan
SCALE = Scale(np.array([60.0, 4.0]), np.array([15.0, 0.5]))  # age in years, potassium in mmol/l


def create_dataset(**attributes) -> Dataset:
    size = len(next(iter(attributes.values())))
    ids = np.array([f"r{i}" for i in range(size)])
    return Dataset("clinic", ids, {}, lambda i: None, attributes={k: np.array(v) for k, v in attributes.items()})


def test_an_attribute_becomes_the_label_and_is_an_attribute_no_longer():
    measured = create_dataset(age=[50.0, NAN, 70.0], sex=["F", "M", ""]).measure(("age",))
    assert (measured.kind, measured.label_names, list(measured.attributes)) == ("number", ("age",), ["sex"])
    np.testing.assert_array_equal(measured.labels, np.array([[50], [NAN], [70]], np.float32))


def test_text_is_read_where_all_of_it_is_numbers_and_unknown():
    measured = create_dataset(lvef=["55", "", "30.5"]).measure(("lvef",))
    np.testing.assert_array_equal(measured.labels[:, 0], np.array([55, NAN, 30.5], np.float32))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"lvef": ["55", "<20", "<15"]}, r"lvef of recording r1 is <20; expected a number, .* \(2 such value"),
        ({"lvef": [55.0, np.inf, 1.0]}, r"lvef of recording r1 is inf; expected a number"),
        ({"age": [55.0, 1.0], "sex": ["F", "M"]}, r"data set clinic: no number lvef; there are: age$"),
        ({"sex": ["F", "M"]}, r"no number lvef; there are: none"),
    ],
)
def test_what_is_no_number_is_named(attributes, message):
    with pytest.raises(InputError, match=message):
        create_dataset(**attributes).measure(("lvef",))


@pytest.fixture(scope="module")
def clinic(tmp_path_factory) -> Path:
    """An array of 40 recordings whose amplitude follows the LVEF, and the table beside it."""
    folder = tmp_path_factory.mktemp("clinic")
    rng = np.random.default_rng(0)
    lvef = rng.uniform(20, 70, 40).round(1)
    signal = rng.normal(0, 0.3, (40, 256, 12)) * (lvef / 50)[:, None, None]
    np.save(folder / "ecgs.npy", signal.astype(np.float32))
    table = pd.DataFrame({"id": [f"e{i}" for i in range(40)], "patient_id": np.arange(40) // 2, "lvef": lvef})
    table["age"], table["AF"] = 60.0 + np.arange(40) % 7, np.arange(40) % 2
    table.loc[3, "lvef"] = NAN
    table.to_csv(folder / "ecgs.csv", index=False)
    return folder


ARRAYS = {"unit": "mV", "sampling_rate": 500.0}


def open_clinic(clinic, labels, kind="number", **how):
    options = {"arrays": ARRAYS}
    return datasets.open_source(
        "arrays", source=str(clinic / "ecgs.npy"), labels=labels, seed=0, options=options, kind=kind, **how
    )


def test_a_users_column_is_a_number_and_findings_are_opened_as_before(clinic):
    dataset = open_clinic(clinic, "lvef,age")
    assert (dataset.kind, dataset.label_names) == ("number", ("lvef", "age"))
    assert np.isnan(dataset.labels[3, 0])
    assert dataset.patients[:3].tolist() == ["0", "0", "1"]
    findings = open_clinic(clinic, "AF", kind="finding")
    assert findings.kind == "finding"
    assert {"lvef", "age"} <= {*findings.attributes}


def test_numbers_that_only_some_data_sets_have_are_taken_where_they_are(clinic):
    assert open_clinic(clinic, "lvef,potassium", partial=True).label_names == ("lvef",)
    with pytest.raises(InputError, match="no number lvef, potassium"):
        datasets.open_source(
            "simulated",
            source="",
            labels="lvef,potassium",
            seed=0,
            options={"simulated": {"train": 3, "validation": 1, "test": 1}},
            kind="number",
            partial=True,
        )


def test_parts_of_a_combined_data_set_give_what_they_know(clinic):
    dataset = datasets.open_source(
        "combined",
        source=f"arrays:{clinic / 'ecgs.npy'},simulated:",
        labels="lvef",
        seed=0,
        options={"arrays": ARRAYS, "simulated": {"train": 3, "validation": 1, "test": 1}},
        kind="number",
    )
    known = ~np.isnan(dataset.labels[:, 0])
    assert (len(known), known.sum()) == (45, 39)


def test_a_split_balances_the_fifths_of_a_number():
    values = np.arange(100, dtype=np.float32)
    values[:5] = NAN
    dataset = create_dataset(age=values).measure(("age",))
    assert np.nansum(dataset.strata, axis=0).tolist() == [19] * 5
    assert np.isnan(dataset.strata[:5]).all()
    split = splits.assign(dataset, 0, validation=0.2, test=0.2).split
    for name in ("validation", "test"):
        fifths = np.nansum(dataset.strata[split == name], axis=0)
        assert fifths.min() >= 3  # of 3.8 expected
    assert (
        splits.manifest.create(splits.assign(dataset, 0))["summary"]["fingerprint"]
        != (splits.manifest.create(splits.assign(create_dataset(age=values + 0.25).measure(("age",)), 0)))["summary"][
            "fingerprint"
        ]
    )


def test_a_scale_is_mean_and_deviation_of_what_is_known():
    labels = np.array([[50, 3.5], [70, NAN], [NAN, 4.5]], np.float32)
    scale = Scale.measure(labels, ("age", "potassium"))
    assert scale.to_dict(("age", "potassium")) == {"age": [60.0, 10.0], "potassium": [4.0, 0.5]}
    np.testing.assert_allclose(scale.standardize(labels)[0], [-1, -1])
    np.testing.assert_allclose(scale.restore(np.array([2.0, -1])), [80, 3.5])
    again = Scale.from_dict({"potassium": [4.0, 0.5], "age": [60.0, 10.0]}, ("age", "potassium"))
    np.testing.assert_array_equal(again.restore(np.ones(2)), scale.restore(np.ones(2)))


@pytest.mark.parametrize(("values", "message"), [([40.0, 40.0, NAN], "is always 40"), ([NAN], "is never known")])
def test_there_is_nothing_to_learn_of_one_value(values, message):
    with pytest.raises(InputError, match=f"label age {message} in the training split"):
        Scale.measure(np.array(values)[:, None], ("age",))


@pytest.mark.parametrize(
    ("name", "expected"),
    # Outputs 0 and 1 are 60 years and 4.5 mmol/l; the truth is 75 years and 3.5 mmol/l: errors of -1 and 2 deviations.
    [("auto", 1 + 4), ("mse", 1 + 4), ("mae", 1 + 2), ("huber", 0.5 + (2 - 0.5))],
)
def test_losses_are_of_errors_in_standard_deviations(name, expected):
    loss = losses.create(num_labels=2, scale=SCALE, name=name)
    outputs_, label = jnp.array([[0.0, 1.0], [5.0, 5.0]]), jnp.array([[75.0, 3.5], [NAN, NAN]])
    total, count = loss(outputs_, label)
    assert (float(total), float(count)) == (pytest.approx(expected), 2)
    gradient = jax.grad(lambda logits: loss(logits, label)[0])(outputs_)
    assert (np.sign(gradient) == [[-1, 1], [0, 0]]).all()


def test_from_huber_delta_on_the_loss_is_linear():
    loss = losses.create(num_labels=1, scale=Scale.create_plain(1), name="huber", huber_delta=0.5)
    total, _ = loss(jnp.array([[2.0]]), jnp.array([[0.0]]))
    assert float(total) == pytest.approx(0.5 * (2 - 0.25))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.label_kind": "number", "loss.name": "cross_entropy"}, r"loss\.name 'cross_entropy'; .* auto, mse, mae"),
        ({"data.label_kind": "number", "checkpoint.monitor": "auroc"}, r"monitor 'auroc'; .* loss, mae, rmse"),
        ({"data.label_kind": "number", "loss.focal_gamma": 2.0}, r"focal_gamma 2\.0, which is for findings"),
        ({"data.label_kind": "number", "data.sampling": "balanced"}, r"data\.sampling 'balanced', which is for"),
        ({"loss.name": "mse"}, r"label_kind is 'finding', but config\.loss\.name 'mse'"),
        ({"checkpoint.monitor": "mae"}, r"checkpoint\.monitor 'mae'; set it to one of loss, auroc"),
    ],
)
def test_what_does_not_go_with_the_kind_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config_lib.check(config_lib.override(config_lib.create_default(), changes))


def write_run(folder: Path, config, variables, records) -> None:
    """A run folder with nothing but what a network needs."""
    (folder / run_folder.CONTRACT).write_text(json.dumps(records["contract"]))
    (folder / run_folder.CONFIG).write_text(json.dumps(config_lib.to_dict(config)))
    with checkpoint.Checkpoints(str(folder / run_folder.CHECKPOINTS)) as checkpoints:
        checkpoints.save(checkpoint.BEST, 1, variables, records)
        checkpoints.wait()


SMALL = {"data.label_kind": "number", "model.name": "narrow", "model.variant.units": 1, "contract.samples": 256}


def test_a_head_that_is_taken_over_predicts_the_same_numbers_under_another_scale(tmp_path):
    config = config_lib.override(config_lib.create_default(), SMALL | {"data.labels": "age,potassium"})
    network = models.create(**config.model, num_labels=2)
    stored = draw(network, (256, 12), seed=1)
    names = ("age", "potassium")
    records = {"contract": config_lib.to_dict(config)["contract"], "labels": list(names)}
    write_run(tmp_path, config, stored, records | {"scale": SCALE.to_dict(names)})
    model = load_model(str(tmp_path))
    assert model.kind == "number"
    signal = np.random.default_rng(0).normal(size=(2, 256, 12)).astype(np.float32)
    raw = np.asarray(network.apply(stored, signal))
    np.testing.assert_allclose(model.predict(signal), SCALE.restore(raw), rtol=1e-5)

    changes = {"init.weights": str(tmp_path), "init.exclude": ()}
    own = Scale(np.array([5.0, 40.0, 1.0]), np.array([2.0, 10.0, 1.0]))
    labels = ("potassium", "age", "lvef")
    wide = models.create(**config.model, num_labels=3)
    console = Console(quiet=True)
    found, _ = starting_weights.load(
        config_lib.override(config, changes), draw(wide, (256, 12)), console, labels=labels, scale=own
    )
    numbers = own.restore(np.asarray(wide.apply(found, signal)))
    np.testing.assert_allclose(numbers[:, [1, 0]], model.predict(signal), rtol=1e-5)
    with pytest.raises(InputError, match="its outputs are numbers, the labels to learn findings; add 'head'"):
        starting_weights.load(config_lib.override(config, changes), draw(wide, (256, 12)), console, labels=labels)


def test_some_of_a_models_numbers_are_selected_with_their_scale():
    network = models.create("narrow", head="dense", num_labels=2, variant={"units": 1, **_PUBLISHED})
    variables = draw(network, (256, 12))
    whole = dataclasses.replace(
        load_model("simulated"), network=network, variables=variables, label_names=("age", "potassium"), scale=SCALE
    )
    whole = dataclasses.replace(whole, contract=dataclasses.replace(whole.contract, samples=256), calibration=None)
    signal = np.ones((1, 256, 12), np.float32)
    np.testing.assert_allclose(whole.select(("potassium",)).predict(signal), whole.predict(signal)[:, 1:], rtol=1e-6)


_PUBLISHED = {"kernel_size": 16, "width": 1.0, "preactivation": True}
FLAGS = [
    f"--config={Path(__file__).parents[1] / 'configs' / 'age.py'}",
    "--config.contract.samples=256",
    "--config.contract.sampling_rate=500",
    "--config.contract.highpass=0",
    "--config.contract.lowpass=0",
    "--config.init.weights=",
    "--config.model.variant.units=1",
    "--config.train.batch_size=8",
    "--config.train.steps=4",
    "--config.train.eval_every=2",
    "--config.evaluation.resamples=50",
    "--config.evaluation.report=false",
    "--config.data.dataset=arrays",
    "--config.data.arrays.unit=mV",
    "--config.data.arrays.sampling_rate=500",
    "--config.data.labels=lvef",
    "--config.data.checks=warn",
]


@pytest.fixture(scope="module")
def run(clinic, tmp_path_factory) -> Path:
    """A run folder that `main` has left."""
    workdir = tmp_path_factory.mktemp("numbers") / "run"
    done = call("main", *FLAGS, f"--config.data.source={clinic / 'ecgs.npy'}", f"--workdir={workdir}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Recordings, and mean +- sd" in done.stdout
    assert "MAE" in done.stdout
    return workdir


def test_a_run_writes_numbers_and_their_scores(run):
    table = pd.read_csv(run / "predictions.csv")
    assert {"recording", "split", "patient_id", "lvef_true", "lvef", "quality"} <= {*table}
    assert not {"lvef_raw", "AF_true"} & {*table}
    test = table[(table["split"] == "test") & table["lvef_true"].notna()]
    error = (test["lvef"] - test["lvef_true"]).abs().mean()
    scores = pd.read_csv(run / "evaluation" / "scores.csv").set_index("label")
    assert scores.loc["lvef", "mae"] == pytest.approx(error, rel=1e-5)
    result = json.loads((run / "result.json").read_text())
    assert result["monitor"] == "mae"
    assert result["test"]["mae"] == pytest.approx(error, rel=1e-5)
    assert {*result["test"]} == {"loss", "mae", "rmse", "r2", "pearson"}
    assert not (run / "thresholds.json").exists()


def test_the_best_checkpoint_has_the_smallest_error(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = [(line["mae"], line["step"]) for line in lines if line["kind"] == "validation"]
    assert json.loads((run / "result.json").read_text())["best_step"] == min(found)[1]


def test_the_run_predicts_what_it_wrote(run, clinic):
    model = load_model(str(run))
    assert (model.kind, model.label_names, model.thresholds) == ("number", ("lvef",), {})
    table = pd.read_csv(run / "predictions.csv")
    rows = table["recording"].str[1:].astype(int)
    signal = np.load(clinic / "ecgs.npy")[rows] * model.contract.units_per_millivolt
    np.testing.assert_allclose(model.predict(signal)[:, 0], table["lvef"], rtol=1e-4)


def test_evaluate_scores_the_run_on_its_own_data_and_on_another(run, clinic, tmp_path):
    done = call("evaluate", f"--model={run}", f"--output={tmp_path / 'own'}", "--resamples=20", "--checks=warn")
    assert done.returncode == 0, done.stdout + done.stderr
    own = pd.read_csv(tmp_path / "own" / "scores.csv").set_index("label")
    result = json.loads((run / "result.json").read_text())
    assert own.loc["lvef", "mae"] == pytest.approx(result["test"]["mae"], rel=1e-4)
    refused = call("evaluate", f"--model={run}", "--rule=youden", f"--output={tmp_path / 'other'}")
    assert refused.returncode == 1
    assert "--rule" in refused.stderr


def test_predict_writes_numbers_alone(run, tmp_path):
    from cli_test import noise, write_wfdb

    write_wfdb(tmp_path, "ecg", noise())
    for suffix in ("csv", "json"):
        done = call("predict", f"--model={run}", f"--output={tmp_path / f'out.{suffix}'}", tmp_path / "ecg")
        assert done.returncode == 0, done.stderr
    assert "probability" not in done.stdout
    assert [*pd.read_csv(tmp_path / "out.csv")] == ["recording", "lvef", "quality"]
    [row] = json.loads((tmp_path / "out.json").read_text())["recordings"]
    assert "probabilities" not in row
    assert row["numbers"]["lvef"] == pytest.approx(pd.read_csv(tmp_path / "out.csv")["lvef"][0])


@pytest.mark.slow
def test_folds_are_pooled(clinic, tmp_path):
    flags = [*FLAGS, f"--config.data.source={clinic / 'ecgs.npy'}", f"--workdir={tmp_path / 'run'}"]
    done = call("main", *flags, "--config.split.folds=3")
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert sorted(table["recording"]) == sorted(f"e{i}" for i in range(40))
    error = (table["lvef"] - table["lvef_true"]).abs().mean()
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["test"]["mae"] == pytest.approx(error, rel=1e-5)
    folds = pd.read_csv(tmp_path / "run" / "evaluation" / "folds.csv")
    assert folds["fold"].tolist() == ["1", "2", "3", "mean", "sd"]


@pytest.mark.slow
def test_the_simulator_draws_ages_to_learn(tmp_path):
    options = {"simulated": {"train": 8, "validation": 2, "test": 2, "population": "hospital"}}
    dataset = datasets.open_source("simulated", source="", labels="age", seed=0, options=options, kind="number")
    ages = dataset.labels[:, 0]
    assert ((ages >= 16) & (ages <= 95)).all()
    assert ages.std() > 5
    draw_label = jax.jit(jax.vmap(lambda key: dataset.draw(key, 512, 250.0)[2]))  # compiled without the signal
    label = draw_label(jax.random.split(jax.random.key(0), 40))
    assert label.shape == (40, 1)
    assert 40 < float(label.mean()) < 75


@pytest.mark.slow
def test_a_sweep_ranks_by_the_error(clinic, tmp_path):
    (tmp_path / "space.py").write_text("def space():\n    return {'loss.name': ['mse', 'mae']}\n")
    flags = [f"--space={tmp_path / 'space.py'}", f"--workdir={tmp_path / 'sweep'}", "--seeds=1"]
    source = f"--config.data.source={clinic / 'ecgs.npy'}"
    done = call("sweep", *FLAGS, source, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "sweep" / "results.csv")
    assert table["validation mae"].is_monotonic_increasing
    done = call("sweep", *FLAGS, source, "--objectives=loss", flags[0], f"--workdir={tmp_path / 'loss'}", "--seeds=1")
    assert done.returncode == 0, done.stdout + done.stderr
    refused = call("sweep", *FLAGS, "--objectives=auroc", *flags[:1], f"--workdir={tmp_path / 'other'}")
    assert "--objectives=auroc: known are loss, mae, rmse" in refused.stderr


def test_the_published_age_network_is_scored_on_ages(shared):
    from ecg_jax.inference.evaluated_model import predict_model

    model = load_model(str(shared / "reference" / "torch_fixtures" / "ecg_age" / "weights_zip.pt"))
    assert model.kind == "number"
    opened = datasets.open_source(
        "ptbxl", source=str(shared / "data" / "ptbxl"), labels="age", seed=0, options={}, kind="number"
    )
    rows = np.arange(3)
    opened = dataclasses.replace(
        opened,
        ids=opened.ids[rows],
        columns={"age": opened.columns["age"][rows]},
        attributes={},
        **{name: getattr(opened, name)[rows] for name in ("split", "patients", "folds", "origins")},
    )
    how = {"split": "all", "is_own": False, "needs_validation": False, "checks": "warn", "console": None}
    evaluated = predict_model("FILE", model, opened, **how)
    assert evaluated.predictions.kind == "number"
    assert evaluated.predictions.labels[:, 0].tolist() == opened.columns["age"].tolist()
    assert np.isfinite(evaluated.predictions.probabilities).all()


def test_outputs_are_rescaled_exactly():
    arrays = {outputs.PATHS[0]: np.ones((3, 2), np.float32), outputs.PATHS[1]: np.array([0.0, 1.0], np.float32)}
    found = outputs.rescale(arrays, SCALE, Scale.create_plain(2))
    np.testing.assert_allclose(found[outputs.PATHS[0]], np.ones((3, 2)) * [15, 0.5])
    np.testing.assert_allclose(found[outputs.PATHS[1]], [60, 4.5])
    assert weights_lib.flatten(weights_lib.unflatten(found)).keys() == arrays.keys()


def test_a_store_gives_the_numbers_that_it_was_made_with(clinic, tmp_path):
    from ecg_jax.contract import InputContract
    from ecg_jax.data.store import conversion, settings

    whole = datasets.open_source(
        "arrays", source=str(clinic / "ecgs.npy"), labels="all", seed=0, options={"arrays": ARRAYS}
    )
    how = settings.Settings(
        InputContract(sampling_rate=500.0, samples=256), checks="warn", origin={"dataset": "arrays", "source": ""}
    )
    conversion.convert(str(tmp_path / "store"), lambda: whole, how)
    found = datasets.open_source(
        "store", source=str(tmp_path / "store"), labels="lvef", seed=0, options={}, kind="number"
    )
    assert np.nansum(found.labels) == pytest.approx(np.nansum(open_clinic(clinic, "lvef").labels), rel=1e-6)


def test_a_named_column_is_read_however_odd_its_name_or_values(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 256, 12), np.float32))
    table = pd.DataFrame({"K (mmol/l)": np.linspace(3, 5, 8), "troponin": [0, 1] * 4, "lvef": ["<20", *range(30, 37)]})
    table.to_csv(tmp_path / "a.csv", index=False)

    def open_column(name):
        options = {"arrays": ARRAYS}
        how = {"source": str(tmp_path / "a.npy"), "seed": 0, "options": options, "kind": "number"}
        return datasets.open_source("arrays", labels=name, **how).labels[:, 0]

    np.testing.assert_allclose(open_column("K (mmol/l)")[[0, -1]], [3, 5])
    assert open_column("troponin").tolist() == [0, 1] * 4
    with pytest.raises(InputError, match=r"lvef of recording 0 is <20; expected a number"):
        open_column("lvef")


def test_several_numbers_are_not_chosen_by_the_mean_of_their_errors():
    changes = {"data.label_kind": "number", "data.labels": "age,potassium", "checkpoint.monitor": "mae"}
    with pytest.raises(InputError, match="age,potassium have several units; set it to loss, r2 or pearson"):
        config_lib.check(config_lib.override(config_lib.create_default(), changes))
