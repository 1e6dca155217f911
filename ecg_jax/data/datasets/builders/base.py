"""What the builders share: shards are written one at a time, here or by Apache Beam's workers.

TFDS' own ways to write do not serve: its generator-based builders shuffle what exceeds a
gigabyte through TensorFlow's files, and shuffling is the pipeline's task, not that of files
with random access; its shard-based ones keep a shard's recordings in memory, and on Beam
(4.9.10) generate every split again for each split that follows.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder
from tensorflow_datasets.core.utils import py_utils, tqdm_utils

from ecg_jax import beam, spreadsheet
from ecg_jax.data import datasets
from ecg_jax.data.datasets.builders import records
from ecg_jax.data.datasets.dataset import SPLITS, Dataset
from ecg_jax.data.datasets.tfds import FACTS, INDEX
from ecg_jax.errors import InputError

SHARD_SIZE = 512  # recordings; tens of MB


@dataclasses.dataclass(eq=False, kw_only=True)
class EcgConfig(tfds.core.BuilderConfig):
    """A configuration with the options of its data set."""

    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where records come from: what a worker needs to open their data set."""

    dataset: str
    source: str
    options: tuple[tuple[str, Any], ...]
    label_names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file to write."""

    split: str
    rows: np.ndarray
    path: str


class EcgBuilder(FileReaderBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Converts one of the project's data sets, which alone knows its files, labels and splits.

    A subclass names the data set (`name`), its `LABELS` and its facts.
    """

    LABELS: tuple[str, ...] = ()
    DESCRIPTION = ""
    HOMEPAGE = ""
    CITATION = ""
    LICENSE = ""

    def __init__(self, *, file_format: str | None = None, **kwargs: Any) -> None:
        """See `tfds.core.DatasetBuilder`; files are array_record unless said otherwise."""
        super().__init__(file_format=file_format or "array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=records.create_features(self.LABELS),
            metadata=tfds.core.MetadataDict(records.METADATA),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            license=self.LICENSE,
            disable_shuffling=True,
        )

    def _download_and_prepare(
        self, dl_manager: tfds.download.DownloadManager, download_config: tfds.download.DownloadConfig
    ) -> None:
        source = _find_manual_dir(dl_manager)
        origin = Origin(self.name, source, tuple(self._find_options(source).items()), self.LABELS)
        _open.cache_clear()  # the files may have changed since an earlier build
        dataset, facts = _open(origin)
        shards = list(self._plan(facts))
        write = functools.partial(_write, origin=origin, writer=tfds.core.ExampleWriter(self.info.file_format))
        if download_config.beam_runner or download_config.beam_options:
            beam.run(write, shards, download_config.beam_options, download_config.beam_runner)
        else:
            for shard in tqdm_utils.tqdm(shards, desc=self.name, unit=" shards"):
                write(shard)
        self.info.set_splits(tfds.core.SplitDict(list(self._describe_splits(shards))))
        self.info.metadata["notes"] = list(dataset.notes)
        _write_index(facts, self.data_path / INDEX)

    def _find_options(self, source: str) -> dict[str, Any]:
        """The data set's own keyword arguments."""
        del source
        return dict(self.builder_config.options) if self.builder_config else {}

    def _plan(self, facts: pd.DataFrame) -> Iterator[Shard]:
        """Cuts each split into shards, in the data set's order."""
        for split in SPLITS:
            rows = np.flatnonzero(facts["split"] == split)
            template = self._get_filename_template(split_name=split)
            parts = np.array_split(rows, -(-len(rows) // SHARD_SIZE)) if len(rows) else []
            for i, part in enumerate(parts):
                path = template.sharded_filepath(shard_index=i, num_shards=len(parts))
                yield Shard(split, part, str(path))

    def _describe_splits(self, shards: list[Shard]) -> Iterator[tfds.core.SplitInfo]:
        for split in SPLITS:
            own = [shard for shard in shards if shard.split == split]
            if own:
                yield tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[len(shard.rows) for shard in own],
                    num_bytes=sum(epath.Path(shard.path).stat().length for shard in own),
                    filename_template=self._get_filename_template(split_name=split),
                )


def _find_manual_dir(dl_manager: tfds.download.DownloadManager) -> str:
    try:
        return str(dl_manager.manual_dir)
    except AssertionError as error:
        raise InputError(
            f"{' '.join(str(error).split())} (pass download_config=tfds.download.DownloadConfig(manual_dir=DIR))"
        ) from error


@functools.lru_cache(maxsize=1)
def _open(origin: Origin) -> tuple[Dataset, pd.DataFrame]:
    """Opens a data set, once per process, and describes its recordings."""
    dataset = datasets.create(
        origin.dataset, source=origin.source, labels="all", seed=0, options={origin.dataset: dict(origin.options)}
    )
    return dataset, records.describe(dataset, origin.label_names)


def _write(shard: Shard, *, origin: Origin, writer: tfds.core.ExampleWriter) -> None:
    """Writes one shard whole; a second attempt replaces the first."""
    dataset, facts = _open(origin)
    features = records.create_features(origin.label_names)

    def serialize() -> Iterator[tuple[int, bytes]]:
        for row, known in zip(shard.rows, facts.iloc[shard.rows].to_dict("records"), strict=True):
            record = records.encode(dataset.read(int(row)), known, origin.label_names)
            yield int(row), features.serialize_example(record)

    with py_utils.incomplete_file(epath.Path(shard.path)) as partial:
        writer.write(partial, serialize())


def _write_index(facts: pd.DataFrame, path: epath.Path) -> None:
    """Writes what is known of the records in the order of the files, so that they need not be read for it."""
    order = np.concatenate([np.flatnonzero(facts["split"] == split) for split in SPLITS])
    known = facts.iloc[order].replace({records.UNKNOWN: None, "": None})
    unknown = [name for name in FACTS if known[name].isna().all()]
    path.write_text(spreadsheet.to_csv(known.drop(columns=unknown)))
