"""Predictions in NumPy's files: an array (.npy), or an archive of probabilities, truth and names of classes (.npz)."""

import dataclasses
import zipfile
import zlib

import numpy as np
import pandas as pd

from ecg_jax import columns, files
from ecg_jax.data import prediction_values
from ecg_jax.errors import InputError
from ecg_jax.kinds import FINDING, NUMBER

# Canonical names of an archive's arrays, the clearest first.
_PREDICTIONS = (
    *("probabilities", "probability", "probs", "yprob", "yprobs", "yproba", "ytestprob", "ytestproba"),
    *("predictions", "prediction", "ypred", "ytestpred", "yhat", "yscore", "yscores", "scores", "preds", "pred"),
    *("logits", "outputs", "output"),
)
_TRUTH = ("ytrue", "ytest", "labels", "label", "targets", "target", "truth", "groundtruth", "y")
_CLASSES = ("classes", "classnames", "names", "labelnames", "targetnames", "labels", "columns")
_DAMAGE = (OSError, ValueError, EOFError, MemoryError, SyntaxError, zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass(frozen=True)
class Arrays:
    """What such a file holds of N recordings and C classes."""

    values: np.ndarray  # `[N, C]` float64, as they are
    labels: np.ndarray | None = None  # `[N, C]` float64 in {1, 0, NaN}, or true numbers; None without truth
    names: tuple[str, ...] = ()  # of the classes; empty where it does not name them
    table: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)  # N rows of text: what else is known
    facts: tuple[str, ...] = ()  # a sentence on which arrays of an archive were taken for what


def read(path: str, kind: str = FINDING) -> Arrays:
    """Reads a `.npy` or `.npz` file without executing anything in it; `InputError` when it holds something else.

    `kind` is that of the labels whose truth it may hold.
    """
    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)  # checks the announced size against the file's
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file{files.suggest(path)}") from error
    except _DAMAGE as error:
        raise InputError(f"{path}: not a NumPy array of numbers, or damaged") from error
    if isinstance(content, np.ndarray):
        return Arrays(_require_matrix(content, path))
    if not path.endswith(".npz"):
        raise InputError(
            f"{path}: holds several arrays; save one, [recordings, labels], with numpy.save, or call it .npz"
        )
    with content:
        return _read_archive(content, path, kind)


def _read_archive(archive: np.lib.npyio.NpzFile, path: str, kind: str) -> Arrays:
    keys = {columns.canonical(key): key for key in reversed(archive.files)}

    def load(key: str) -> np.ndarray:
        try:
            return archive[key]
        except _DAMAGE as error:
            raise InputError(
                f"{path}: array {key} holds Python objects, or is damaged; save numbers, or text by .astype(str)"
            ) from error

    def find(wanted: tuple[str, ...], kinds: str) -> str | None:
        return next((keys[name] for name in wanted if name in keys and load(keys[name]).dtype.kind in kinds), None)

    key, truth, classes = find(_PREDICTIONS, "fiub"), find(_TRUTH, "fiub"), find(_CLASSES, "US")
    if key is None:
        raise InputError(
            f"{path}: no array of predictions (y_pred, y_prob, probabilities, ...); it has {', '.join(archive.files)}"
        )
    values = _require_matrix(load(key), f"{path}: array {key}")
    labels = None if truth is None else _parse_truth(load(truth), values, f"{path}: array {truth}", kind)
    names = () if classes is None else tuple(_to_text(load(classes).reshape(-1)).tolist())
    if classes is not None and len(names) != values.shape[1]:
        raise InputError(f"{path}: array {classes}: {len(names)} names for {values.shape[1]} columns of predictions")
    used = {"predictions": key, "truth": truth, "names": classes}
    others = {name: load(name) for name in archive.files if name not in used.values()}
    table = {
        name: pd.Series(_to_text(array), dtype=object).replace({"": None, "nan": None})
        for name, array in others.items()
        if array.shape == (len(values),) and array.dtype.kind in "fiubUS"
    }
    fact = f"{path}: {', '.join(f'{what} from {found}' for what, found in used.items() if found)}."
    if labels is not None and kind == NUMBER and names:
        labels = prediction_values.blank_ages(labels, names)
    return Arrays(values, labels, names, pd.DataFrame(table), (fact,))


def _require_matrix(values: np.ndarray, source: str) -> np.ndarray:
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2) or not values.size:
        raise InputError(f"{source}: {values.dtype} {values.shape}; expected numbers [recordings, labels]")
    values = values.reshape(len(values), -1).astype(np.float64)
    for row, column in np.argwhere(~np.isfinite(values))[:1]:
        raise InputError(f"{source}: row {row}, column {column} holds {values[row, column]}; expected a number")
    return values


def _parse_truth(truth: np.ndarray, values: np.ndarray, source: str, kind: str) -> np.ndarray:
    expected = "a number" if kind == NUMBER else "0, 1"
    if truth.size != values.size or len(truth) != len(values):
        raise InputError(
            f"{source}: {truth.shape} beside predictions {values.shape}; expected {expected} or NaN for each"
        )
    labels = truth.reshape(values.shape).astype(np.float64)
    is_known = np.isfinite(labels) if kind == NUMBER else np.isin(labels, (0, 1))
    for row, column in np.argwhere(~(np.isnan(labels) | is_known))[:1]:
        value = f"{labels[row, column]:.9g}"
        raise InputError(
            f"{source}: row {row}, column {column} holds {value}; a label is {expected} or NaN for unknown"
        )
    return labels


def _to_text(array: np.ndarray) -> np.ndarray:
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array.astype(str)
