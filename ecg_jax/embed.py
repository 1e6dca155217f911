"""Embeds ECGs: what a layer of a network computes of each recording, as a table of numbers.

  python -m ecg_jax.embed --output=embeddings.npz FOLDER...
  python -m ecg_jax.embed --model=runs/finetune --data=ptbxl:DIR --output=embeddings.parquet
  python -m ecg_jax.embed --model=12_lead_ECGFounder.pth --layer=list

Recordings and --model are named as for `predict`; a published network without an output layer can embed too. --data
takes the recordings of a data set in their place: a prepared store, or NAME:DIR, as for `evaluate`; of each the centre
is taken, as in training, or the windows of a published network, and --labels are written beside it.

--layer is a module of the network's trunk, by the path that its weights have; by default the whole trunk. --layer=list
lists them with what they give for one example: samples and channels. --pool is mean or max over time, flatten (all
numbers in their order), or head (what the output layer is given). A recording longer than the network's input has the
mean of its windows' embeddings, one without a signal NaN.

A .npz file has the arrays `embeddings` [recordings, D] float32, `recordings`, `quality` (what was noticed), and where
they are known `patients`, `split`, `labels` [recordings, labels] in {1, 0, NaN} and `label_names`. A .parquet file has
a row per recording with columns of the same, and `embedding0`, `embedding1` and so on. What could not be read is listed
at the end, and the exit status is 2; where nothing can be embedded it is 1, and no file is written.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from ecg_jax import cli, files, recording_flags
from ecg_jax.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from ecg_jax.data.datasets.dataset import Dataset
    from ecg_jax.inference.embed import Table
    from ecg_jax.inference.model import Model

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(recording_flags)
flags.DEFINE_string("output", "embeddings.npz", "The file to write: .npz or .parquet.")
flags.DEFINE_string("data", None, "Instead of recordings: a prepared store, or NAME:DIR of a data set.")
flags.DEFINE_string("labels", None, "Labels of --data to write; default all that it has.")
flags.DEFINE_string("layer", "", "A module of the trunk; default the whole of it; `list` lists them.")
flags.DEFINE_enum("pool", "mean", ("mean", "max", "flatten", "head"), "How time is pooled.")
_LIST = "list"
_ALL = "all"


def main(argv: Sequence[str]) -> int:
    """Embeds; see the module's docstring."""
    path, suffix = FLAGS.output, os.path.splitext(FLAGS.output)[1].lower()
    is_listing = FLAGS.layer == _LIST
    if not is_listing:
        _check_flags(argv, suffix)

    import numpy as np
    from rich.progress import track

    from ecg_jax.inference import batches, embed

    console = cli.create_console()
    model = recording_flags.load_model(needs_output=False)
    for note in model.notes:
        console.print(f"Model: {note}")
    if is_listing:
        _list_layers(model, console)
        return 0
    size = embed.measure(model, FLAGS.layer, FLAGS.pool)
    dataset = _open(model, console) if FLAGS.data else None
    if dataset is None:
        recordings, unknown, passed_over = recording_flags.find_recordings(argv[1:], path)
    else:
        recordings = batches.list_recordings(dataset, np.arange(len(dataset.ids)))
        unknown, passed_over = list[str](), ""
    checks = FLAGS.checks if dataset is None or dataset.reads_files else "warn"
    console.print(f"Embedding {len(recordings)} recording(s): {size} numbers each")
    if passed_over:
        console.print(f"  {passed_over}")
    model = model if dataset is None else batches.suit_store(model, dataset.store)
    how = {"batch_size": FLAGS.batch_size, "checks": checks, "whole": dataset is None}
    embedded = embed.embed(model, recordings, layer=FLAGS.layer, pool=FLAGS.pool, **how)
    tracked = track(embedded, "embedding", len(recordings), console=console, disable=not console.is_terminal)
    table = embed.collect(tracked, len(recordings), size)
    table.problems.update(unknown)
    if len(table.rows):
        _write(path, suffix, table, dataset)
    for line in table.noticed.describe():
        console.print(f"  {line}")
    recording_flags.print_problems(console, "not embedded", table.problems)
    if not len(table.rows):
        console.print(f"Nothing is written to {path}: {table.problems.total()} could not be read")
        return 1
    console.print(f"Written: {path}, {len(table.rows)} recording(s); {table.problems.total()} could not be read")
    return 2 if table.problems else 0


def _check_flags(argv: Sequence[str], suffix: str) -> None:
    """Raises `InputError` for flags that contradict each other."""
    if len(argv) < 2 and not FLAGS.data:
        raise InputError("no recordings named; add the path of a file or a folder, or --data=NAME:DIR")
    if len(argv) > 1 and FLAGS.data:
        raise InputError(f"--data={FLAGS.data} and {argv[1]} both name recordings; pass one of both")
    if FLAGS.data:
        cli.refuse_flags(dict.fromkeys(recording_flags.FILE_FLAGS, "files of recordings"))
    if FLAGS.labels and not FLAGS.data:
        raise InputError("--labels goes with --data")
    if suffix not in (".npz", ".parquet"):
        raise InputError(f"--output={FLAGS.output}: known are .npz and .parquet")
    recording_flags.require_output(FLAGS.output)


def _list_layers(model: "Model", console: "Console") -> None:
    from ecg_jax import models

    for layer, shape in models.list_modules(model.network, model.contract.shape).items():
        console.print(f"  {layer:<40}{' x '.join(map(str, shape))}")


def _open(model: "Model", console: "Console") -> "Dataset":
    from ecg_jax.training import elsewhere

    labels = (FLAGS.labels or _ALL).split(",")
    dataset, _ = elsewhere.open_for_model(FLAGS.model, model, FLAGS.data, console, labels=labels)
    for note in dataset.notes:
        console.print(f"  {note}")
    return dataset


def _write(path: str, suffix: str, table: "Table", dataset: "Dataset | None") -> None:
    import numpy as np
    import pandas as pd

    from ecg_jax.inference import embed

    facts: dict[str, np.ndarray] = {}
    labels = pd.DataFrame(index=range(len(table.rows)))
    if dataset is not None:
        known = {"patient": dataset.patients, "split": dataset.split}
        facts = {name: np.asarray(values[table.rows], str) for name, values in known.items() if values is not None}
        labels = pd.DataFrame(dataset.labels[table.rows], columns=list(dataset.label_names))
    with files.replacing(path, "wb") as file:
        embed.write(file, suffix, table, facts, labels)


if __name__ == "__main__":
    cli.run(main)
