"""From a model and recordings to embeddings: what a layer of the network gives, pooled over time and windows."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import jax
import numpy as np
import pandas as pd

from ecg_jax.data.readers import LazyRecording
from ecg_jax.inference import batches
from ecg_jax.inference.model import Model
from ecg_jax.inference.noticed import Noticed
from ecg_jax.models import features


@dataclasses.dataclass(frozen=True)
class Embedding:
    """What became of one recording."""

    recording: str  # its name
    values: np.ndarray  # `[D]` float32, the mean over windows; NaN where there was no signal or an error
    known: Mapping[str, Any]  # what was noticed, see `batches.apply`


@dataclasses.dataclass(frozen=True)
class Table:
    """Embeddings of the recordings that could be read."""

    values: np.ndarray  # `[N, D]` float32, NaN without a signal
    rows: np.ndarray  # `[N]` int, which of the recordings that were named these are
    recordings: np.ndarray  # `[N]` str
    quality: np.ndarray  # `[N]` str, what was noticed, separated by `; `
    noticed: Noticed  # how often what
    problems: Counter[str]  # why others could not be read


def measure(model: Model, layer: str = "", pool: str = "mean") -> int:
    """D, the length of an embedding; computes nothing. For the arguments and errors see `Model.embed`."""
    compute = functools.partial(features.compute, model.network, layer=layer or features.TRUNK, pool=pool)
    signal = jax.ShapeDtypeStruct((1, *model.contract.shape), np.float32)
    return jax.eval_shape(compute, model.variables, signal).shape[1]


def embed(
    model: Model, recordings: Sequence[LazyRecording], *, layer: str = "", pool: str = "mean", **how: Any
) -> Iterator[Embedding]:
    """Embeds recordings in order; one that cannot be read yields its error.

    Args:
        model: See `load_model`.
        recordings: See `readers.find`.
        layer: See `Model.embed`.
        pool: See `Model.embed`.
        **how: `batch_size`, `checks` and `whole`, see `batches.apply`.
    """
    size = measure(model, layer, pool)
    compute = functools.partial(model.start_embedding, layer=layer, pool=pool)
    for name, windows, known in batches.apply(compute, model, recordings, **how):
        values = windows.mean(axis=0) if len(windows) else np.full(size, np.nan, np.float32)
        yield Embedding(name, values, known)


def collect(embedded: Iterable[Embedding], most: int, size: int) -> Table:
    """Gathers embeddings of no more than `most` recordings, `size` numbers each."""
    values = np.empty((most, size), np.float32)
    kept: list[tuple[int, str, str]] = []
    noticed, problems = Noticed(), Counter[str]()
    for number, each in enumerate(embedded):
        if error := each.known.get("error"):
            problems[error] += 1
            continue
        values[len(kept)] = each.values
        kept.append((number, each.recording, each.known["quality"]))
        noticed.add(each.known)
    return Table(
        values[: len(kept)],
        np.array([number for number, _, _ in kept], int),
        np.array([recording for _, recording, _ in kept], str),
        np.array([quality for _, _, quality in kept], str),
        noticed,
        problems,
    )


def write(file: IO[bytes], suffix: str, table: Table, facts: Mapping[str, np.ndarray], labels: pd.DataFrame) -> None:
    """Writes embeddings.

    Args:
        file: Open for writing.
        suffix: `.npz`: the arrays `embeddings`, `recordings`, `quality`, facts in the plural (`patients`, but `split`),
            and `labels` `[N, C]` with `label_names` `[C]`, if any. `.parquet`: a row per recording, with columns
            `recording`, `quality`, facts, labels, and `embedding0`, `embedding1`, ...
        table: What was embedded.
        facts: `patient` and `split`, where they are known, `[N]` str.
        labels: A column of `[N]` float32 per label, {1, 0, NaN = unknown}.
    """
    if suffix == ".npz":
        known: dict[str, Any] = {{"patient": "patients"}.get(name, name): values for name, values in facts.items()}
        if len(labels.columns):
            known |= {"labels": labels.to_numpy(np.float32), "label_names": np.array(labels.columns, str)}
        np.savez(file, embeddings=table.values, recordings=table.recordings, quality=table.quality, **known)
        return
    columns = {"recording": table.recordings, "quality": table.quality, **facts}
    embeddings = pd.DataFrame(table.values, columns=[f"embedding{i}" for i in range(table.values.shape[1])])
    pd.concat([pd.DataFrame(columns), labels.reset_index(drop=True), embeddings], axis=1).to_parquet(file)
