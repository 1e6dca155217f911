"""Every configuration builds; every key is read by something; nothing else is accepted."""

import ast
import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax import contract, labels, load_model, models
from ecg_jax.config import reference
from ecg_jax.contract import InputContract
from ecg_jax.data import datasets, sources, splits
from ecg_jax.errors import InputError
from ecg_jax.kinds import NUMBER
from ecg_jax.models import convolution, heads, network, weights
from ecg_jax.models.outputs import Scale
from ecg_jax.runtime import run_folder
from ecg_jax.training import announcement, loop, optimizers, run_data, setup, starting_weights, state, steps, transfer

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


def load(path: Path) -> ConfigDict:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def test_the_configurations_are_those_the_documentation_names():
    assert [path.stem for path in CONFIGS] == [
        "age",
        "binary",
        "default",
        "few",
        "finetune",
        "pretrain",
        "published",
        "real",
        "reference",
        "smoke",
    ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_builds_and_steps_under_eval_shape(path):
    config = config_lib.check(load(path))
    contract = InputContract.from_dict(config.contract)
    num_labels = len(labels.resolve(config.data.labels))
    network = setup.create_network(config, num_labels)
    variables = models.shapes(network, contract.shape)
    trainable = transfer.create_trainable_mask(variables["params"], **config.freeze)
    schedule = setup.create_schedule(config, 100)
    tx = optimizers.create(**dict(config.optimizer) | {"learning_rate": schedule}, trainable=trainable)
    scale = Scale.create_plain(num_labels) if config.data.label_kind == NUMBER else None
    step = steps.create_train_step(network, setup.create_recipe(config, tx, trainable, contract, num_labels, scale))
    size = config.train.batch_size
    batch = {
        "signal": jax.ShapeDtypeStruct((size, *contract.shape), jnp.float32),
        "valid": jax.ShapeDtypeStruct((size, contract.samples), bool),
        "label": jax.ShapeDtypeStruct((size, num_labels), jnp.float32),
        "mask": jax.ShapeDtypeStruct((size,), bool),
        "index": jax.ShapeDtypeStruct((size,), jnp.int32),
    }

    def first_step(variables, batch):
        initial = state.create(variables, tx=tx, seed=0, ema_decay=config.train.ema_decay)
        return initial, step(initial, batch)

    before, after = jax.eval_shape(first_step, variables, batch)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), before) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), after
    )


def test_few_recordings_train_nothing_but_the_output_layer_and_others_are_warned_of_it():
    few = load(Path(__file__).parents[1] / "configs" / "few.py")
    network = setup.create_network(few, 1)
    params = models.shapes(network, InputContract.from_dict(few.contract).shape)["params"]
    trainable = transfer.create_trainable_mask(params, **few.freeze)
    assert {path for path, learns in weights.flatten(trainable).items() if learns} == {
        "head/output/kernel",
        "head/output/bias",
    }
    assert not announcement.describe_few(22, few.train.steps, 0)
    assert not announcement.describe_few(300, 100, 648_897)
    for facts in ((299, 1000, 648_897), (22, 4, 0)):
        said = announcement.describe_few(*facts)
        assert said.startswith(f"{facts[0]} training recordings and {facts[1]} steps")
        assert "configs/few.py" in said


class Recorder(Mapping):
    """A section of a configuration that remembers which of its values were read."""

    def __init__(self, section: ConfigDict, prefix: str, read: set[str]) -> None:
        self.__dict__.update(section=section, prefix=prefix, read=read)

    def __getitem__(self, key):
        value = self.section[key]
        if isinstance(value, ConfigDict):
            return Recorder(value, f"{self.prefix}{key}.", self.read)
        self.read.add(self.prefix + key)
        return value

    __getattr__ = __getitem__

    def __iter__(self):
        return iter(self.section)

    def __len__(self):
        return len(self.section)


def test_a_configuration_of_before_is_read_without_the_section_that_is_gone():
    values = config_lib.to_dict(config_lib.create_default())
    found = config_lib.from_dict(values | {"pretrain": {"steps": 200}})
    assert config_lib.to_dict(found) == values
    with pytest.raises(InputError, match=r"config\.pretrained is unknown"):
        config_lib.from_dict(values | {"pretrained": {"steps": 200}})


@pytest.mark.slow
def test_every_key_is_read_by_a_run(tmp_path, monkeypatch):
    config = load(Path(__file__).parents[1] / "configs" / "smoke.py")
    config.contract.samples = 256
    config.model.head = "transfer"
    config.model.transfer.cut = 12
    config.init.weights = "demonstration"
    config.train.update(steps=0, epochs=1.0, eval_every=2, log_every=1)
    config.plateau.update(patience=1, min_delta=10.0)
    assert set(dict(config_lib.flatten(config))) == set(dict(config_lib.flatten(config_lib.create_default())))
    monkeypatch.setattr(config_lib, "check", lambda config: config)  # these two read everything, to compare it
    monkeypatch.setattr(run_folder, "claim", lambda workdir, *rest, **more: os.makedirs(workdir, exist_ok=True))
    read: set[str] = set()
    recorder = Recorder(config, "", read)
    monkeypatch.setattr(starting_weights, "_check_contract", lambda *anything: None)  # theirs is longer
    loop.train_and_evaluate(recorder, str(tmp_path), Console(quiet=True))
    for name in datasets.DATASETS:  # each with its own options
        config.data.dataset = name
        if name != "simulated":
            with pytest.raises(InputError):
                run_data.open_dataset(recorder, str(tmp_path), Console(quiet=True))
    assert {key for key, _ in config_lib.flatten(config)} - read == set()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.update(lr=1.0), r"config.lr is unknown; config has: .*optimizer"),
        (
            lambda c: c.loss.update(focal=1.0),
            r"config.loss.focal is unknown; config.loss has: focal_gamma, huber.*; did you mean focal_gamma\?",
        ),
        (lambda c: c.train.__delattr__("epochs"), r"config.train.epochs is missing"),
        (lambda c: c.__setattr__("loss", 3), r"config.loss is 3; expected a section with focal_gamma"),
        (
            lambda c: c.model.__setattr__("variant", 3),
            r"config.model.variant is 3; expected a section with kernel_size",
        ),
    ],
)
def test_an_unknown_or_missing_key_is_refused_naming_the_known_ones(change, message):
    config = config_lib.create_default()
    with config.ignore_type():
        change(config)
    with pytest.raises(InputError, match=message):
        config_lib.check(config)


@pytest.mark.parametrize(
    "key, value", [("seed", 1.5), ("seed", True), ("train.epochs", "3"), ("init.exclude", "head"), ("data.source", 3)]
)
def test_a_wrong_type_is_refused(key, value):
    config = config_lib.override(config_lib.create_default(), {key: value})
    with pytest.raises(InputError, match=f"config.{key} is"):
        config_lib.check(config)


@pytest.mark.parametrize(
    "key, value",
    [
        ("seed", -1),
        ("train.log_every", 0),
        ("train.steps", -1),
        ("data.threads", -1),
        ("model.dropout_rate", 1.0),
        ("train.ema_decay", 1.5),
        ("contract.leads", (1, 2)),
        ("freeze.patterns", (1,)),
        ("loss.positive_weight", ("a",)),
        ("model.transfer.conv_filters", (1.5,)),
        ("augment.noise", float("inf")),
        ("split.validation", float("nan")),
        ("optimizer.learning_rate", 0.0),
        ("loss.positive_weight", (1.0, 0.0)),
        ("model.variant.units", 7),
        ("schedule.final_fraction", 1.5),
    ],
)
def test_a_value_out_of_range_is_refused(key, value):
    config = config_lib.override(config_lib.create_default(), {key: value})
    with pytest.raises(InputError, match=f"config.{key} is"):
        config_lib.check(config)


def test_an_integer_serves_as_a_number():
    config_lib.check(config_lib.override(config_lib.create_default(), {"train.epochs": 3}))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_survives_json(path):
    config = load(path)
    again = config_lib.from_dict(config_lib.to_dict(config))
    assert again.to_dict() == config.to_dict()
    assert config_lib.fingerprint(again) == config_lib.fingerprint(config)


def test_fingerprints_and_differences_see_every_change():
    before = config_lib.create_default()
    after = config_lib.override(before, {"optimizer.learning_rate": 0.5})
    assert config_lib.fingerprint(before) != config_lib.fingerprint(after)
    found = config_lib.differences(config_lib.to_dict(before), config_lib.to_dict(after))
    assert found == ["optimizer.learning_rate: 0.001 there, 0.5 here"]
    assert before.optimizer.learning_rate == 1e-3


@pytest.mark.parametrize(
    "key, text, value",
    [
        ("contract.leads", "I,II,V2", ("I", "II", "V2")),
        ("contract.leads", "'I', 'II'", ("I", "II")),
        ("contract.leads", "V1", ("V1",)),
        ("contract.leads", "('I', 'II')", ("I", "II")),
        ("freeze.patterns", "trunk/unit1/*,head", ("trunk/unit1/*", "head")),
        ("init.exclude", "", ()),
        ("loss.positive_weight", "1,2.5", (1, 2.5)),
        ("model.transfer.dense_widths", "8,4", (8, 4)),
    ],
)
def test_items_of_a_tuple_are_separated_by_commas(key, text, value):
    assert ast.literal_eval(config_lib.spell(f"config.{key}", text)) == value


def test_what_is_no_tuple_stays_as_it_was_given():
    for key, text in (("data.arrays.leads", "I,II"), ("seed", "3"), ("data.source", "ptbxl:/a,code15:/b")):
        assert config_lib.spell(f"config.{key}", text) == text


def test_every_key_with_choices_has_a_default_among_them():
    config_lib.check(config_lib.create_default())
    for name, key in config_lib.KEYS.items():
        if key.choices:
            wrong = "nothing" if isinstance(key.default, str) else -1
            with pytest.raises(InputError, match=rf"{name} is {wrong!r}; known: "):
                config_lib.check(config_lib.override(config_lib.create_default(), {name: wrong}))
            assert key.default in key.choices


@pytest.mark.parametrize(
    "key, known",
    [
        ("data.dataset", datasets.DATASETS),
        ("data.mode", sources.MODES),
        ("split.by", (splits.OWN, splits.PATIENT, splits.RECORDING, splits.DATE)),
        ("split.leaks", (splits.REFUSE, splits.DROP)),
        ("contract.normalization", contract.NORMALIZATIONS),
        ("model.name", (*models.TRUNKS, *models.COMPARISONS)),
        ("model.head", models.HEADS),
        ("model.dtype", network.DTYPES),
        ("model.convolution", convolution.METHODS),
        ("model.transfer.normalization", heads.NORMALIZATIONS),
    ],
)
def test_choices_are_the_names_that_there_are(key, known):
    assert config_lib.KEYS[key].choices == tuple(known)


def test_the_reference_page_is_up_to_date():
    assert (Path(__file__).parents[1] / "docs" / "configuration.md").read_text() == reference.create_page()


def test_help_names_every_key_and_full_help_explains_it():
    names, explained = reference.create_help(full=False), reference.create_help(full=True)
    for name, key in config_lib.KEYS.items():
        assert re.search(rf"\b{re.escape(name)}\b", names)
        assert " ".join(key.doc.split()) in " ".join(explained.split())
        assert key.doc


@pytest.mark.parametrize("path", ["runs/typo", "runs/typo.h5", "weights.keras"])
def test_a_mistyped_path_is_no_such_file(path):
    def open_data(path):
        datasets.open_source("folder", source=path, labels="AF", seed=0, options={})

    for opens in (load_model, starting_weights.require, open_data):
        with pytest.raises(InputError, match=f"{path}: no such file or folder"):
            opens(path)
