"""Opens and splits the data set of a run."""

import dataclasses
import os
from collections.abc import Iterable

from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import track

from ecg_jax.data import datasets, splits
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.splits import content, manifest
from ecg_jax.runtime import run_folder


def open_dataset(config: ConfigDict, workdir: str, console: Console) -> Dataset:
    """Opens `config.data`, not yet split.

    With `split.check_content` every recording is read once, unless the run in `workdir` has begun and knows them.
    """
    dataset = open_files(config)
    if not config.split.check_content or dataset.hashes is not None or not dataset.reads_files:
        return dataset
    known = run_folder.read_manifest(workdir, config)
    if known and (hashes := manifest.find_hashes(known, dataset.ids)) is not None:
        return dataclasses.replace(dataset, hashes=hashes)
    return check_content(config, dataset, console)


def open_files(config: ConfigDict, *, partial: bool = False) -> Dataset:
    """Opens `config.data` without reading a recording; `partial` as in `datasets.open_source`."""
    data = config.data
    options = {name: section for name, section in data.items() if name in datasets.DATASETS}
    return datasets.open_source(
        data.dataset,
        source=data.source,
        labels=data.labels,
        seed=data.seed,
        options=options,
        partial=partial,
        kind=data.label_kind,
    )


def check_content(config: ConfigDict, dataset: Dataset, console: Console) -> Dataset:
    """Reads every recording once, unless their content is known; see `content.check`."""
    if dataset.hashes is not None or not dataset.reads_files:
        return dataset

    def progress(items: Iterable[str], total: int) -> Iterable[str]:
        title = f"Checking {total} recordings"
        if not console.is_terminal:
            console.print(f"{title}: can they be used, are some the same")
        return track(items, title, total, console=console, transient=True, disable=not console.is_terminal)

    threads = config.data.threads or 2 * (os.cpu_count() or 2)
    return content.check(dataset, threads=threads, checks=config.data.checks, progress=progress)


def assign(config: ConfigDict, dataset: Dataset) -> Dataset:
    """The data set with the split of `config.split`; see `splits.assign`.

    Where training starts from another run, and the split would be drawn, that run's split is used if the recordings are
    the same; otherwise its training recordings might be in the test split.

    Raises:
        InputError: also when recordings of the test split trained the starting weights.
    """
    path = os.path.join(config.init.weights, run_folder.SPLIT)
    before = run_folder.read_json(path) if config.init.weights and os.path.isfile(path) else None
    is_open = dataset.split is None or bool((dataset.split == splits.UNDECIDED).any())
    if before and is_open and config.split.by == splits.OWN and not config.split.folds:
        split = manifest.find_split(before, dataset.ids)
        note = f"split as in {config.init.weights}, where the starting weights come from"
        if split is not None:
            dataset = dataclasses.replace(dataset, split=split, notes=(*dataset.notes, note))
    settings = {key: value for key, value in config.split.items() if key != "check_content"}
    assigned = splits.assign(dataset, config.data.seed, **settings)
    if before:
        manifest.refuse_trained(before, assigned, config.init.weights)
    return assigned
