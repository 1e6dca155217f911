"""A network with everything needed to use it: weights, input contract, label names, calibration, thresholds."""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import scipy.special

from ecg_jax import config as config_lib
from ecg_jax import files, models
from ecg_jax import pretrained as shipped
from ecg_jax.contract import InputContract
from ecg_jax.data import readers
from ecg_jax.data.splits import manifest
from ecg_jax.errors import InputError
from ecg_jax.evaluation.calibration import Calibration
from ecg_jax.evaluation.thresholds import NOT_CHOSEN
from ecg_jax.kinds import FINDING, NUMBER
from ecg_jax.models import features, outputs
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.imports import keras as keras_import
from ecg_jax.models.imports import published
from ecg_jax.models.outputs import Scale
from ecg_jax.recording import Recording
from ecg_jax.runtime import checkpoint, run_folder
from ecg_jax.trained_on import TrainedOn

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": scipy.special.expit,
    "softmax": functools.partial(scipy.special.softmax, axis=-1),
}


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network, ready for recordings."""

    network: models.Network
    variables: dict[str, Any]  # `{"params", "batch_stats"}`
    contract: InputContract  # the input it expects
    label_names: tuple[str, ...]  # of its outputs, in order; empty for a trunk alone
    thresholds: dict[str, float]  # of calibrated probabilities, by label; empty where the model brings none
    notes: tuple[str, ...] = ()  # what was assumed in loading it
    split: manifest.Manifest | None = None  # what it was trained on, where it says so; see `manifest.create`
    calibration: Calibration | None = None  # of the network's probabilities
    notice: str = ""  # what a reader of its probabilities must know
    title: str = ""  # of a published network as its authors name it, else the name of its file or folder
    unchosen: tuple[str, ...] = ()  # labels with the default threshold, for lack of positives or negatives
    threshold_rule: str = ""  # that chose the thresholds; empty where unknown
    largest: tuple[str, ...] = ()  # labels whose probability is the largest of all windows'; others take the mean
    # What it, or what its training started from, has learned from by name of a data set, where no manifest says so.
    trained_on: Mapping[str, TrainedOn] = dataclasses.field(default_factory=dict)
    activation: str = "sigmoid"  # from logits to probabilities, one of `ACTIVATIONS`; those of `softmax` add up to 1
    scale: Scale | None = None  # of the outputs, where they are numbers; "probabilities" then means these

    @property
    def kind(self) -> str:
        """Of the labels, one of `kinds.KINDS`."""
        return FINDING if self.scale is None else NUMBER

    def describe_threshold(self, name: str) -> str:
        """A label's threshold in words; empty where there is none."""
        if name in self.unchosen:
            return NOT_CHOSEN
        return f"{self.thresholds[name]:.3f}" if name in self.thresholds else ""

    @functools.cached_property
    def _on_device(self) -> dict[str, Any]:
        """The variables, brought there once and not with every batch."""
        return jax.device_put(self.variables)

    @functools.cached_property
    def _apply(self) -> Callable[[dict[str, Any], np.ndarray], jax.Array]:
        return jax.jit(self.network.apply)

    def predict(self, signal: np.ndarray | Recording) -> np.ndarray:
        """Probabilities `[B, labels]` float32.

        Args:
            signal: `[B, samples, leads]` in the contract's unit; or a recording, as `ecg_jax.read` returns it, which
                is brought to the contract as by the command `predict`: B is 1 then, and the probabilities of
                a long recording are means over its windows.

        Raises:
            InputError: on another shape; on a recording without a signal, or one that physics contradicts.
        """
        if not isinstance(signal, Recording):
            return self.calibrate(self.predict_raw(signal))
        from ecg_jax.inference import predict  # which predicts with this class

        [made] = predict.predict(self, [readers.LazyRecording(signal.id, lambda: signal)], whole=True)
        if made.error or np.isnan(made.probabilities).all():
            raise InputError(made.error or f"{signal.id}: {made.quality}")
        return made.probabilities[None]

    def predict_raw(self, signal: np.ndarray) -> np.ndarray:
        """The same of an array, before calibration."""
        return self.finish(self.start(signal))

    def start(self, signal: np.ndarray) -> jax.Array:
        """The network's logits `[B, labels]`, which may still be in the making."""
        if not self.label_names:
            raise InputError("the model has no output layer; it can embed, not predict")
        return self._apply(self._on_device, self._check(signal))

    def finish(self, logits: jax.Array | np.ndarray) -> np.ndarray:
        """What they mean: probabilities before calibration, or numbers, `[B, labels]` float32."""
        return compute_outputs(logits, self.activation, self.scale)

    def embed(self, signal: np.ndarray | Recording, layer: str = "", pool: str = "mean") -> np.ndarray:
        """What a layer computes, `[B, D]` float32.

        Args:
            signal: As for `predict`; a long recording has the mean over its windows.
            layer: One of `models.list_modules`; if empty, the whole trunk.
            pool: How time is pooled, see `models.features.compute`.

        Raises:
            InputError: as `predict`; on a layer that the network does not have, or another pool.
        """
        if not isinstance(signal, Recording):
            return np.asarray(self.start_embedding(signal, layer, pool))
        from ecg_jax.inference import embed  # which embeds with this class

        lazy = readers.LazyRecording(signal.id, lambda: signal)
        [made] = embed.embed(self, [lazy], layer=layer, pool=pool, whole=True)
        if np.isnan(made.values).all():
            raise InputError(made.known.get("error") or f"{signal.id}: {made.known['quality']}")
        return made.values[None]

    def start_embedding(self, signal: np.ndarray, layer: str = "", pool: str = "mean") -> jax.Array:
        """The same of an array, which may still be in the making."""
        return self._embed(self._on_device, self._check(signal), layer=layer or features.TRUNK, pool=pool)

    @functools.cached_property
    def _embed(self) -> Callable[..., jax.Array]:
        return jax.jit(functools.partial(features.compute, self.network), static_argnames=("layer", "pool"))

    def _check(self, signal: np.ndarray) -> np.ndarray:
        """Raises `InputError` for a signal that is not the contract's."""
        found, (samples, leads) = np.asarray(signal), self.contract.shape
        if found.dtype.kind not in "fiu" or found.ndim != 3 or found.shape[1:] != (samples, leads):
            raise InputError(
                f"the signal is {found.dtype} {found.shape}; expected numbers [B, {samples}, {leads}]: recordings, "
                f"samples at {self.contract.sampling_rate:g} Hz, leads {', '.join(self.contract.leads)}"
                + ("; signal[None] is one recording" if found.shape == (samples, leads) else "")
            )
        return found

    def select(self, label_names: Sequence[str]) -> "Model":
        """The model with some of its outputs, in another order; `InputError` where they depend on each other."""
        if tuple(label_names) == self.label_names:
            return self
        if self.activation == "softmax":
            raise InputError(f"the outputs {', '.join(self.label_names)} add up to 1; some of them mean nothing alone")
        places = [self.label_names.index(name) for name in label_names]
        weights = weights_lib.flatten(self.variables)
        weights |= {path: weights[path][..., places] for path in outputs.PATHS if path in weights}
        return dataclasses.replace(
            self,
            network=self.network.clone(head=self.network.head.clone(num_labels=len(places))),
            variables={key: {} for key in self.variables} | weights_lib.unflatten(weights),
            label_names=tuple(label_names),
            thresholds={name: self.thresholds[name] for name in label_names if name in self.thresholds},
            unchosen=tuple(name for name in self.unchosen if name in label_names),
            scale=self.scale and self.scale.take(places),
        )

    def combine(self, windows: np.ndarray) -> np.ndarray:
        """Probabilities `[labels]` of a recording, from those of its windows `[windows, labels]`."""
        mean = windows.mean(axis=0)
        return np.where(np.isin(self.label_names, self.largest), windows.max(axis=0), mean) if self.largest else mean

    def calibrate(self, raw: np.ndarray) -> np.ndarray:
        """Probabilities of raw ones, `[B, labels]` both; the same where the model brings no calibration."""
        return self.calibration.apply(raw, self.label_names) if self.calibration else raw


def compute_outputs(
    logits: jax.Array | np.ndarray, activation: str = "sigmoid", scale: Scale | None = None
) -> np.ndarray:
    """What a network's logits mean, `[B, labels]` float32, computed in float64 and rounded.

    Probabilities, by its `activation`; with a `scale` the numbers under that.
    """
    exact = np.asarray(logits, np.float64)
    return (ACTIVATIONS[activation](exact) if scale is None else scale.restore(exact)).astype(np.float32)


def load_model(
    path: str = shipped.DEFAULT,
    *,
    leads: tuple[str, ...] | None = None,
    units_per_millivolt: float | None = None,
    sampling_rate: float | None = None,
    labels: tuple[str, ...] | None = None,
    needs_output: bool = True,
) -> Model:
    """Loads weights that ship, a run folder's best checkpoint, or a file of a network that others have published.

    Args:
        path: `real` or `simulated` (see `ecg_jax.pretrained`), a run folder, a Keras file of the reference network
            (`.hdf5`, `.h5`, `.keras`), or a PyTorch or safetensors file of one of `published.PUBLISHED`, as `FILE` or
            `NAME:FILE`.
        leads: Lead order of a Keras file, which does not state one; CODE's if None.
        units_per_millivolt: Unit of a Keras file likewise; CODE's, 2, if None.
        sampling_rate: In Hz, of a Keras file likewise; CODE's, 400, if None.
        labels: Of a Keras file's outputs likewise. If None, six sigmoid outputs are the six diagnoses and one is
            `abnormal`, as published; others are numbered.
        needs_output: Refuse a network without an output layer, which can embed, not predict.

    Raises:
        InputError: when there is no such model, or it contradicts itself.
    """
    kinds = (
        f"a run folder, a Keras file ({', '.join(keras_import.SUFFIXES)}), or a PyTorch file, FILE or NAME:FILE with "
        f"NAME one of {', '.join(published.PUBLISHED)}"
    )
    name, file = published.split_name(path)
    stated = {"leads": leads, "units_per_millivolt": units_per_millivolt, "sampling_rate": sampling_rate}
    if path in shipped.FILES or os.path.isdir(path):
        if any(stated.values()) or labels:
            raise InputError(
                f"{path}: it states its own leads, unit, rate and labels; they cannot be set (those of recordings are "
                "--file_leads, --file_rate and --file_unit of predict, embed and explain)"
            )
        if path in shipped.FILES:
            return _load_shipped(path)
        with run_folder.reading(path):
            return _load_run(path)
    if not os.path.exists(file):
        raise InputError(
            f"{file}: no such file or folder; a model is {shipped.DEFAULT!r}, {kinds}{files.suggest(file)}"
        )
    if path.endswith(keras_import.SUFFIXES):
        return _load_keras(path, {key: value for key, value in stated.items() if value}, labels)
    if published.is_published(path):
        if wrong := [key for key, value in stated.items() if value]:
            raise InputError(f"{path}: {', '.join(wrong)} of a published network are known; they cannot be set")
        return _load_published(file, name, labels, needs_output)
    raise InputError(f"{path}: is not {kinds}")


def _load_shipped(name: str) -> Model:
    found = shipped.read(name)
    contract = InputContract.from_dict(found.contract)
    network = models.create(**found.model, num_labels=len(found.labels))
    return Model(
        network,
        weights_lib.merge(models.shapes(network, contract.shape), found.arrays, source=name),
        contract,
        tuple(found.labels),
        found.thresholds,
        title=name,
        notes=(f"the weights {name}. {shipped.NOTICES[shipped.FILES[name]]}",),
        calibration=Calibration.from_dict(found.calibration),
        unchosen=tuple(found.unchosen),
        threshold_rule="as shipped",
        trained_on=shipped.TRAINED_ON[shipped.FILES[name]],
        notice=shipped.NOTICES[shipped.FILES[name]],
    )


def _load_published(path: str, name: str, labels: tuple[str, ...] | None, needs_output: bool) -> Model:
    found = published.load(path, name)
    facts, names = published.PUBLISHED[found.name], labels or found.labels
    if not found.labels and needs_output:
        raise InputError(f"{path}: {found.name} without an output layer; it can embed or be trained, not predict")
    if len(names) != len(found.labels) or len(set(names)) != len(names):
        raise InputError(f"{path}: the network has {len(found.labels)} outputs; got the labels {', '.join(names)}")
    combined = "largest" if facts.largest == facts.labels() else "mean"
    windows = f"; {combined} of a recording's windows" if found.contract.has_windows else ""
    notes = (
        f"{path}: {found.name}, {facts.title}; trained on {facts.training}; licence {facts.licence}",
        f"input as in {facts.preprocessing}{windows}",
        *found.notes,
    )
    return Model(
        found.network,
        weights_lib.unflatten(found.weights),
        found.contract,
        tuple(names),
        {},
        notes=notes,
        title=facts.title,
        largest=facts.largest,
        scale=Scale.create_plain(len(names)) if facts.kind == NUMBER else None,
        trained_on=facts.trained_on,
    )


def _load_run(path: str) -> Model:
    config = config_lib.from_dict(run_folder.read_json(os.path.join(path, run_folder.CONFIG)))
    if config.split.folds and not config.split.fold:
        raise InputError(
            f"{path}: a run of {config.split.folds} folds, each a model; pass {os.path.join(path, 'fold1')}"
        )
    step, variables, records, passed_over = checkpoint.read_best(os.path.join(path, run_folder.CHECKPOINTS))
    contract = InputContract.from_dict(records["contract"])
    labels = tuple(records["labels"])
    network = models.create(**config.model, num_labels=len(labels))
    thresholds = _read_thresholds(os.path.join(path, run_folder.THRESHOLDS), labels)
    notes = [f"{path}: best checkpoint, step {step}"]
    notes += [f"warning: {line}; an older one is used" for line in passed_over]
    if not thresholds and config.data.label_kind == FINDING:
        notes.append("the run has not chosen thresholds yet: it is unfinished")
    split = _read_if_there(os.path.join(path, run_folder.SPLIT))
    if split is not None:
        manifest.Trained(split)  # refused here if it is damaged, not when recordings are predicted
    result = _read_if_there(os.path.join(path, run_folder.RESULT)) or {}
    inherited = run_folder.read_inherited(path)
    return Model(
        network,
        weights_lib.merge(models.shapes(network, contract.shape), weights_lib.flatten(variables), source=path),
        contract,
        labels,
        thresholds,
        notes=tuple(notes),
        title=os.path.basename(os.path.abspath(path)),
        split=split,
        calibration=_read_calibration(os.path.join(path, run_folder.CALIBRATION), labels),
        unchosen=tuple(result.get(run_folder.UNCHOSEN, ())),
        threshold_rule=config.evaluation.threshold_rule,
        largest=inherited.largest,
        trained_on=inherited.trained_on,
        scale=Scale.from_dict(records["scale"], labels) if config.data.label_kind == NUMBER else None,
    )


def _read_if_there(path: str) -> dict[str, Any] | None:
    return run_folder.read_json(path) if os.path.exists(path) else None


def _read_thresholds(path: str, labels: tuple[str, ...]) -> dict[str, float]:
    thresholds = _read_if_there(path) or {}
    for name, value in thresholds.items():
        if name not in labels or isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise InputError(f"{path}: {name} has {value!r}; expected numbers")
    return thresholds


def _read_calibration(path: str, labels: tuple[str, ...]) -> Calibration | None:
    stored = _read_if_there(path)
    if stored is None:
        return None
    calibration = Calibration.from_dict(stored)
    if not np.isfinite(calibration.apply(np.full((2, len(labels)), 0.5), labels)).all():
        raise InputError(f"{path}: gives no probabilities; it is damaged")
    return calibration


def _load_keras(path: str, stated: dict[str, Any], labels: tuple[str, ...] | None) -> Model:
    """Loads a Keras file; `stated` holds fields of the input contract."""
    network, variables, found = keras_import.load(path)
    contract = InputContract(**{"samples": found.samples} | stated)
    if found.leads != len(contract.leads):
        raise InputError(f"{path}: the network takes {found.leads} leads, the contract names {len(contract.leads)}")
    names = labels or found.assumed_labels or tuple(f"output{i}" for i in range(1, found.num_labels + 1))
    listed = ", ".join(names)
    if len(names) != found.num_labels or len(set(names)) != len(names):
        raise InputError(f"{path}: the network has {found.num_labels} outputs; got the labels {listed}")
    known = f"labels {'set' if labels else 'taken'} to be {listed}"
    if not labels and not found.assumed_labels:
        known = f"labels unknown, numbered {listed}; name them (labels=, or predict --names=)"
    adds_up = ", whose probabilities add up to 1" if found.activation == "softmax" else ""
    notes = (
        f"{path}: a Keras file states no input contract; "
        f"{'taken as set, the rest as in CODE' if stated else 'CODE assumed'}: leads {', '.join(contract.leads)}, "
        f"{contract.units_per_millivolt:g} units per mV, {contract.sampling_rate:g} Hz, {contract.samples} samples",
        f"{known}; output: {found.activation}{adds_up}",
        *found.notes,
    )
    title = os.path.basename(path)
    return Model(network, variables, contract, names, {}, notes=notes, title=title, activation=found.activation)
