"""A prepared store as a data set; see `ecg_jax.data.store`."""

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.store import MANIFEST, Store


def create(*, source: str, labels: tuple[str, ...], seed: int) -> Dataset:
    """Opens a store that `python -m ecg_jax.prepare` wrote.

    Args:
        source: Its folder.
        labels: Any labels of the data set that it was made from.
        seed: Unused: nothing is drawn.

    Raises:
        InputError: when it is not whole, of a newer version, or lacks a label.
    """
    del seed
    store = Store(source)
    names = store.manifest["labels"]
    states = store.column("labels")

    def known(name: str) -> np.ndarray | None:
        return store.column(name) if store.has_column(name) else None

    offered = {
        name: _to_states(states[:, i]) for i, name in enumerate(names) if name in labels or labels == label_lib.ALL
    }
    others = {name: np.empty(0) for name in names if name not in offered}
    ids = store.column("ids")
    return Dataset(
        name="store",
        ids=ids,
        columns=label_lib.select(labels, offered | others, None, f"{source}/{MANIFEST}"),
        read=lambda i: store.read(i, str(ids[i])),
        split=known("split"),
        patients=known("patients"),
        folds=known("folds"),
        attributes={
            name.removeprefix("attribute_"): store.column(name)
            for name in store.manifest["columns"]
            if name.startswith("attribute_")
        },
        hashes=store.column("hashes"),
        store=store,
        notes=tuple(store.manifest["notes"]),
    )


def _to_states(column: np.ndarray) -> np.ndarray:
    return np.where(column < 0, np.float32(np.nan), column.astype(np.float32))
