"""Where a network starts."""

import io
import json

import jax
import numpy as np
import pytest
from keras_import_test import create_layers, write
from rich.console import Console

from configs import finetune
from ecg_jax import config as config_lib
from ecg_jax import models
from ecg_jax import pretrained as shipped
from ecg_jax.errors import InputError
from ecg_jax.labels import SIX
from ecg_jax.models import outputs
from ecg_jax.models import weights as weights_lib
from ecg_jax.runtime import checkpoint, run_folder
from ecg_jax.training import starting_weights


def draw(config, num_labels, seed):
    """Variables of a configured network, drawn without compiling it."""
    rng = np.random.default_rng(seed)
    network = models.create(**config.model, num_labels=num_labels)
    shapes = models.shapes(network, (config.contract.samples, len(config.contract.leads)))
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), shapes)


def load(**changes):
    config = config_lib.override(finetune.get_config(), changes)
    variables = draw(config, 1, seed=0)
    found, _ = starting_weights.load(config, variables, Console(quiet=True), labels=("abnormal",))
    return weights_lib.flatten(variables), weights_lib.flatten(found)


def test_fine_tuning_starts_from_the_trunk_that_ships_up_to_the_cut_and_from_a_head_of_its_own():
    drawn, found = load()
    arrays = shipped.read(finetune.get_config().init.weights).arrays
    trunk = [path for path in found if "/trunk/" in path]
    assert len(trunk) > 30
    for path in trunk:
        np.testing.assert_array_equal(found[path], arrays[path])
    for path in set(found) - set(trunk):
        np.testing.assert_array_equal(found[path], drawn[path])


def test_another_input_contract_or_width_is_refused():
    with pytest.raises(InputError, match=r"the weights simulated: trained under another input contract .*lowpass"):
        load(**{"contract.lowpass": 100.0})
    with pytest.raises(InputError, match="of another shape"):
        load(**{"model.name": "reference"})


def test_what_is_no_weights_is_named():
    with pytest.raises(InputError, match=r"config\.init\.weights is 'pretrain'; expected nothing, 'real', a run"):
        load(**{"init.weights": "pretrain"})


KERNEL = outputs.PATHS[0]
WITH_HEAD = {"model.head": "dense", "freeze.first_keras_layers": 0, "init.exclude": ()}


def start(labels, **changes):
    """Starts a network with a dense head from `init.weights`; returns arrays before and after, and what is said."""
    config = config_lib.override(finetune.get_config(), WITH_HEAD | changes)
    variables = draw(config, len(labels), seed=0)
    console = Console(record=True, width=500, file=io.StringIO())
    found, _ = starting_weights.load(config, variables, console, labels=labels)
    return weights_lib.flatten(variables), weights_lib.flatten(found), console.export_text()


@pytest.fixture(scope="module", params=["dense", "transfer"])
def run(request, tmp_path_factory):
    """A run folder of a network for SIX, the changes that configure it, and its arrays."""
    folder = tmp_path_factory.mktemp("run")
    changes = WITH_HEAD | {"model.head": request.param, "contract.samples": 1024}
    config = config_lib.override(finetune.get_config(), changes)
    variables = draw(config, len(SIX), seed=1)
    records = {"contract": config_lib.to_dict(config)["contract"], "labels": list(SIX)}
    (folder / run_folder.CONTRACT).write_text(json.dumps(records["contract"]))
    (folder / run_folder.CONFIG).write_text(json.dumps(config_lib.to_dict(config)))
    with checkpoint.Checkpoints(str(folder / run_folder.CHECKPOINTS)) as checkpoints:
        checkpoints.save(checkpoint.BEST, 1, variables, records)
        checkpoints.wait()
    return changes | {"init.weights": str(folder)}, weights_lib.flatten(variables)


def test_labels_in_another_order_take_their_own_outputs(run):
    changes, stored = run
    labels = ("AF", "ST", "1dAVb", "SB", "LBBB", "RBBB")
    _, found, said = start(labels, **changes)
    assert "Head: outputs taken over by name: AF, ST, 1dAVb, SB, LBBB, RBBB\n" in said
    for path in outputs.PATHS:
        for place, name in enumerate(labels):
            np.testing.assert_array_equal(found[path][..., place], stored[path][..., SIX.index(name)])


def test_shared_labels_are_taken_over_and_others_drawn_afresh_and_both_are_said(run):
    changes, stored = run
    drawn, found, said = start(("death", "AF"), **changes)
    assert "taken over by name: AF; drawn afresh: death; not used: 1dAVb, RBBB, LBBB, SB, ST" in said
    np.testing.assert_array_equal(found[KERNEL][:, 0], drawn[KERNEL][:, 0])
    np.testing.assert_array_equal(found[KERNEL][:, 1], stored[KERNEL][:, SIX.index("AF")])


def test_the_other_name_of_a_diagnosis_takes_its_output(run):
    changes, stored = run
    _, found, said = start(("death", "AFIB"), **changes)
    assert "taken over by name: AFIB; drawn afresh: death; not used: 1dAVb, RBBB, LBBB, SB, ST" in said
    np.testing.assert_array_equal(found[KERNEL][:, 1], stored[KERNEL][:, SIX.index("AF")])


def test_a_head_for_other_labels_is_drawn_whether_or_not_the_stored_one_is_asked_for(run):
    changes, _ = run
    labels = ("a", "b", "c", "d", "e", "f")  # as many as there
    for exclude, words in (((), "Head: drawn afresh: a, b, c, d, e, f; not used: 1dAVb"), (("head",), "Head: starts")):
        drawn, found, said = start(labels, **changes | {"init.exclude": exclude})
        assert words in said
        np.testing.assert_array_equal(found[KERNEL], drawn[KERNEL])


def test_a_run_of_another_kind_of_unit_is_refused(run):
    changes, _ = run
    if changes["model.head"] == "dense":
        with pytest.raises(InputError, match=r"its model\.variant\.preactivation is True; set it here"):
            start(SIX, **changes | {"model.variant.preactivation": False})


def test_outputs_of_weights_that_ship_follow_their_labels():
    shipped_arrays = shipped.read("simulated").arrays
    _, found, said = start(("ST", "AF"), **{"init.weights": "simulated"})
    assert "taken over by name: ST, AF; not used: 1dAVb, RBBB, LBBB, SB" in said
    places = [shipped.read("simulated").labels.index(name) for name in ("ST", "AF")]
    np.testing.assert_array_equal(found[KERNEL], shipped_arrays[KERNEL][:, places])


@pytest.mark.parametrize(
    "labels, changes, words",
    [
        (["NORM", "mine"], {}, "; the starting weights have NORM: --config.init.exclude= keeps it"),
        (["NORM"], {"model.head": "transfer"}, "; the starting weights have NORM: theirs is no head transfer"),
        (["mine"], {}, ""),
    ],
    ids=["kept if wanted", "another head", "no label of theirs"],
)
def test_a_head_that_starts_afresh_says_what_it_leaves_and_how_to_keep_it(labels, changes, words):
    changes = {"init.weights": "real", "init.exclude": ("head",)} | changes
    drawn, found, said = start(labels, **changes)
    assert f"Head: starts afresh{words}" in said
    assert ("starting weights have" in said) == bool(words)
    np.testing.assert_array_equal(found[KERNEL], drawn[KERNEL])
    if "is no head" in words:
        with pytest.raises(InputError, match=r"another kind; set another config\.model\.head, or add 'head'"):
            start(labels, **changes | {"init.exclude": ()})
    elif words:  # what is advised does what it says
        drawn, found, said = start(labels, **changes | {"init.exclude": ()})
        theirs = shipped.read("real")
        np.testing.assert_array_equal(found[KERNEL][:, 0], theirs.arrays[KERNEL][:, theirs.labels.index("NORM")])
        np.testing.assert_array_equal(found[KERNEL][:, 1], drawn[KERNEL][:, 1])


def write_keras(tmp_path, num_labels=6, **dense):
    layers = create_layers(num_labels)
    layers[0]["config"] = {"batch_shape": [None, 512, 12]}
    layers[-1]["config"] = dense
    return layers, lambda: write(tmp_path / "model", layers, "keras3")


def test_a_keras_file_says_which_labels_its_outputs_are_taken_to_be_of(tmp_path, capsys):
    _, save = write_keras(tmp_path)
    config = config_lib.override(finetune.get_config(), WITH_HEAD | {"contract.samples": 512, "init.weights": save()})
    with pytest.raises(InputError, match="of another shape"):  # the file's network is not as wide
        starting_weights.load(config, draw(config, 2, seed=0), Console(width=500), labels=("AF", "SB"))
    said = capsys.readouterr().out
    assert "its outputs are taken to be 1dAVb, RBBB, LBBB, SB, AF, ST" in said
    assert "taken over by name: AF, SB; not used: 1dAVb, RBBB, LBBB, ST" in said


@pytest.mark.parametrize(
    "num_labels, dense, message",
    [
        (2, {"activation": "sigmoid"}, r"the labels of its outputs are unknown; add 'head' to config\.init\.exclude"),
        (6, {"activation": "softmax"}, "its output is softmax, training is of independent outputs; add 'head'"),
    ],
)
def test_a_keras_head_of_unknown_labels_or_another_kind_is_refused_unless_it_is_left_out(
    num_labels, dense, message, tmp_path
):
    _, save = write_keras(tmp_path, num_labels, **dense)
    changes = {"contract.samples": 512, "init.weights": save()}
    with pytest.raises(InputError, match=message):
        start(SIX, **changes)
    with pytest.raises(InputError, match=r"of another shape .*trunk/stem"):  # it comes to the trunk
        start(SIX, **changes | {"init.exclude": ("head",)})


def test_a_keras_file_of_other_strides_or_length_is_refused(tmp_path):
    layers, save = write_keras(tmp_path)
    with pytest.raises(InputError, match=r"its head is for 512 samples; set config\.contract\.samples to it, or"):
        start(SIX, **{"contract.samples": 4096, "init.weights": save()})
    for place, settings in ((8, {"pool_size": [2], "strides": [2]}), (9, {"strides": [2]}), (0, {})):
        layers[place]["config"] = settings
    with pytest.raises(InputError, match="its strides are 2, 4, 4, 4, those of networks trained here 4 everywhere"):
        start(SIX, **{"contract.samples": 512, "init.weights": save(), "init.exclude": ("head",)})
