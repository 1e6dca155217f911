"""A prepared store as a data set; see `ecg_jax.data.store`."""

import functools
from collections.abc import Collection

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.dataset import Dataset, read_row
from ecg_jax.data.store import MANIFEST, Store
from ecg_jax.data.store.store import MEASURED


def create(*, source: str, labels: tuple[str, ...]) -> Dataset:
    """Opens a store that `python -m ecg_jax.prepare` wrote in the folder `source`, with any labels of its data set."""
    store = Store(source)
    names = store.manifest["labels"]
    stored = store.column("labels")
    states = np.where(stored < 0, np.float32(np.nan), stored.astype(np.float32))

    def known(name: str) -> np.ndarray | None:
        return store.column(name) if store.has_column(name) else None

    is_number = isinstance(labels, label_lib.Numbers)  # which are among the attributes
    wanted = names if labels == label_lib.ALL else labels
    places = {} if is_number else label_lib.choose(wanted, names, f"{source}/{MANIFEST}")
    attributes = {
        name.removeprefix("attribute_"): store.column(name)
        for name in store.manifest["columns"]
        if name.startswith("attribute_")
    }
    ids = store.column("ids")
    return Dataset(
        name="store",
        ids=ids,
        columns={name: states[:, names.index(place)] for name, place in places.items()},
        read=functools.partial(read_row, store.read, ids),
        split=known("split"),
        patients=known("patients"),
        folds=known("folds"),
        origins=known("origins"),
        attributes=attributes | _choose_measurements(store, {*attributes, *names}, labels if is_number else ()),
        hashes=store.column("hashes"),
        store=store,
        notes=tuple(store.manifest["notes"]),
    )


def _choose_measurements(store: Store, taken: Collection[str], wanted: Collection[str]) -> dict[str, np.ndarray]:
    """Measurements as attributes: intervals, and of the voltages those that are wanted.

    One that the data set has a column or a label of is `measured_NAME`.
    """
    units = store.manifest.get(MEASURED, {}).get("units", {})
    return {
        f"measured_{name}" if name in taken else name: values
        for name, values in store.measurements.items()
        if units[name] != "mV" or name in wanted
    }
