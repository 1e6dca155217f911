"""Recordings to evaluate a trained model on: those of its run, also where these have moved, or others."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Sequence

from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.data import datasets
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.splits import manifest
from ecg_jax.data.store import is_store
from ecg_jax.errors import InputError
from ecg_jax.inference.model import Model
from ecg_jax.kinds import FINDING
from ecg_jax.runtime import run_folder
from ecg_jax.training import run_data


def open_for_model(
    path: str, model: Model, data: str | None, console: Console, *, labels: Sequence[str] = ()
) -> tuple[Dataset, bool]:
    """Opens what `--data` names, or if None the data of the run in `path`, from which the model was loaded.

    With those of `labels` that `data` knows, by default the model's. Returns what `open_data` returns.
    """
    config = config_lib.create_default()
    if os.path.isdir(path):
        config = config_lib.from_dict(run_folder.read_json(os.path.join(path, run_folder.CONFIG)))
    if data:
        config.data.label_kind = model.kind if not labels else FINDING
        return open_data(data, config, model.split, labels or model.label_names, console)
    if not os.path.isdir(path):
        raise InputError(f"{path}: only a run folder brings data; pass --data=STORE or --data=NAME:DIR")
    with _explained(config.data.dataset):
        return run_data.assign(config, run_data.open_dataset(config, path, console)), True


def open_data(
    data: str, config: ConfigDict, known: manifest.Manifest | None, labels: Sequence[str], console: Console
) -> tuple[Dataset, bool]:
    """Opens what `--data` names, with the settings of a model's run where it is of the same kind.

    Args:
        data: `NAME:SOURCE`, or a path alone: a prepared store where it is one, else of the run's kind.
        config: Of the run; for a model without a run, the default one.
        known: The run's `split.json`.
        labels: The model's.
        console: Where progress is shown.

    Returns:
        The data set, with those of the labels that it knows, and whether its recordings are the run's, by content or by
        the run's fingerprint. If so, it has the run's split, else its own, if any.
    """
    name, place = _locate(data, config.data.dataset)
    changes = {"data.dataset": name, "data.source": place, "data.labels": ",".join(labels)}
    if name != config.data.dataset:
        default = config_lib.create_default().data
        changes |= {f"data.{key}": default[key] for key in datasets.DATASETS if key in default}
    else:
        changes |= _find_tables(config, name, place)
    config = config_lib.override(config, changes)
    with _explained(name):
        dataset = run_data.open_files(config, partial=True)
        dataset = dataclasses.replace(dataset, notes=tuple(name_flags(note, name) for note in dataset.notes))
        if known is None or not manifest.names_all(known, dataset.ids):
            return dataset, False
        if "hashes" in known:
            dataset = run_data.check_content(config, dataset, console)
    split = manifest.recognize(known, dataset)
    if split is None:
        note = "recordings have the names of the run's, but are others: its split is not used"
        return dataclasses.replace(dataset, notes=(*dataset.notes, note)), False
    return dataclasses.replace(dataset, split=split, notes=(*dataset.notes, "split as in the run's split.json")), True


def _locate(data: str, own: str) -> tuple[str, str]:
    """Name and source of a data set."""
    name, colon, place = data.partition(":")
    parts = [part.strip().partition(":")[0] for part in data.split(",")]
    if own == "combined" and len(parts) > 1 and all(part in datasets.DATASETS for part in parts):
        return own, data
    if colon and name in datasets.DATASETS:
        return name, place
    return ("store" if is_store(data) or own == "simulated" else own), data


def _find_tables(config: ConfigDict, name: str, place: str) -> dict[str, str]:
    """Tables that the run keeps apart from its source, where they lie beside the source now."""
    folder = place if os.path.isdir(place) else os.path.dirname(place)
    section = config.data.get(name, {})
    found = {key: os.path.join(folder, os.path.basename(path)) for key, path in section.items() if key.endswith("_csv")}
    return {f"data.{name}.{key}": path for key, path in found.items() if section[key] and os.path.isfile(path)}


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Translates an `InputError` about data set `name` with `name_flags`."""
    try:
        yield
    except InputError as error:
        raise InputError(name_flags(str(error), name)) from error


def name_flags(text: str, name: str) -> str:
    """Replaces flags of a configuration in a message by those of `evaluate`."""
    text = text.replace("--config.data.source=", f"--data={name}:")
    if not (flags := re.findall(r"--config\.[\w.]+(?:=\w+)?", text)):
        return text
    return (
        f"{text} (of ecg-jax prepare --dataset={name} --source=PLACE {' '.join(flags)} --output=STORE, "
        "whose STORE --data takes)"
    )
