"""Every key a run can have, with its default; what checks, compares and names configurations.

A file under `configs/` starts from `create_default()` and changes what it needs. Each
section is the keyword arguments of one function, which documents them.
"""

import copy
import dataclasses
import difflib
import fnmatch
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS
from ecg_jax.weights import FILES as SHIPPED

_AT_LEAST = {
    **dict.fromkeys(
        ("seed", "data.seed", "data.threads", "data.workers", "data.cache_gb", "train.steps", "train.eval_every"), 0
    ),
    **dict.fromkeys(
        ("checkpoint.every", "plateau.patience", "plateau.min_learning_rate", "early_stopping.patience"), 0
    ),
    **dict.fromkeys(("split.folds", "split.fold", "evaluation.resamples"), 0),
    **dict.fromkeys(("runtime.stall_warning", "runtime.peak_tflops"), 0),
    **dict.fromkeys(("train.log_every", "train.batch_size", "train.accumulate", "train.steps_per_call"), 1),
    "schedule.base_batch_size": 1,
}
_BELOW_ONE = (
    "model.dropout_rate",
    "model.transfer.dropout_rate",
    "train.ema_decay",
    "plateau.factor",
    "split.validation",
    "split.test",
)  # and at least 0
# What may change when a run goes on in its folder, and why. Nothing else may: it would change what a step does.
_SAME_RECORDINGS = "another place; the fingerprint in split.json shows that the recordings are the same"
_LENGTH = "only where the run ends; of the schedule, steps still to come"
MAY_CHANGE = {
    "data.source": _SAME_RECORDINGS,
    "data.arrays.labels_csv": _SAME_RECORDINGS,
    "data.challenge2021.ptbxl_csv": _SAME_RECORDINGS,
    "data.code.labels_csv": _SAME_RECORDINGS,
    "data.mimic_iv_ecg.labels_csv": _SAME_RECORDINGS,
    "data.cache_gb": "examples are the same, read again or not",
    "data.threads": "the order of batches does not depend on who reads",
    "data.workers": "the order of batches does not depend on who reads",
    "train.steps": _LENGTH,
    "train.epochs": _LENGTH,
    "early_stopping.patience": _LENGTH,
    "train.log_every": "sums are written more or less often",
    "checkpoint.every": "the state is saved more or less often",
    "evaluation.*": "read when training is over",
    "runtime.*": "what is shown while it runs",
}
_OF_RESULTS = (
    "train.steps",
    "train.epochs",
    "early_stopping.patience",
    "evaluation.*",
)  # what a finished run depends on
_REMOVED = ("pretrain",)  # sections of configurations of before
_CHOICES = {"train.nonfinite": ("stop", "skip")}
_ELEMENTS = {  # of tuples
    **dict.fromkeys(("contract.leads", "init.exclude", "freeze.patterns"), str),
    **dict.fromkeys(("conv_filters", "conv_kernel_sizes", "dense_widths"), int),
    "loss.positive_weight": int | float,
    "contract.usual_deviations": int | float,
}


def create_default() -> ConfigDict:
    """Returns the base configuration: the reference network from scratch on simulated ECGs."""
    return ConfigDict(
        {
            "seed": 0,  # initial weights, order of the data, dropout, augmentation
            "data": {
                "dataset": "simulated",  # data.datasets.DATASETS
                "source": "",  # folder or file of the data set
                "labels": "six",  # `six`, `abnormal`, `superclasses`, `statements`, names; with commas
                "seed": 0,  # splits that are drawn, and the simulator
                "cache_gb": 2.0,  # memory for examples that were read before
                "threads": 0,  # that read ahead; 0 suits the machine
                "workers": 0,  # processes that read ahead; 0 for threads alone
                "checks": "refuse",  # recording.CHECKS: when physics contradicts a file
                "sampling": "shuffle",  # data.sampling.SAMPLINGS
                "crop": "center",  # of recordings longer than the contract's; or `random`, in training
                "mode": "host",  # where batches are made; or `device`, `endless`: data.sources.MODES
                "simulated": {"train": 4000, "validation": 500, "test": 1000, "population": "textbook"},
                "ptbxl": {"sampling_rate": 500},
                "challenge2021": {"ptbxl_csv": ""},
                "mimic_iv_ecg": {"labels_csv": ""},
                "code": {"labels_csv": "", "patient_column": "", "validation_fraction": 0.02, "test_fraction": 0.02},
                "folder": {"patient_column": ""},  # of the table; none: `patient_id`, `subject_id`, ...
                "arrays": {
                    "labels_csv": "",
                    "leads": ",".join(LEADS),
                    "sampling_rate": 0.0,
                    "unit": "",
                    "patient_column": "",
                },
            },
            "split": {  # data.splits.assign
                "by": "own",  # or `patient`, `recording`, `date`: drawn anew, although there may be one
                "validation": 0.1,
                "test": 0.1,
                "folds": 0,  # as many networks, each tested on another fold
                "fold": 0,  # train this one alone; 0 is all of them
                "leaks": "refuse",  # or `drop`: of a patient or signal on two sides of the data set's own split
                "check_content": True,  # read every recording once before a run, to find repeated and broken ones
            },
            "contract": {  # contract.InputContract
                "leads": LEADS,
                "sampling_rate": 400.0,
                "samples": 4096,
                "highpass": 0.0,
                "lowpass": 0.0,
                "notch": 0.0,
                "units_per_millivolt": 2.0,
                "normalization": "none",
                "usual_deviations": (),  # mV per lead, for recordings that someone has z-scored
            },
            "model": {  # models.create
                "name": "reference",  # or `narrow`, or a network to compare with: models.COMPARISONS
                "head": "dense",  # the network's own; or `transfer`, of `reference` and `narrow`
                "dropout_rate": 0.2,  # of these two's trunks; in other networks it is as published
                "dtype": "float32",
                "checkpoint_activations": False,  # compute them anew in the backward pass, to save memory
                "convolution": "auto",  # or `direct`, `fast`: models.convolution.convolve
                "variant": {"kernel_size": 16, "width": 1.0, "units": 4, "preactivation": True},  # models.network.vary
                "transfer": {
                    "cut": 45,
                    "conv_filters": (128, 128, 64),
                    "conv_kernel_sizes": (5, 3, 3),
                    "dense_widths": (128, 32),
                    "dropout_rate": 0.2,
                    "normalization": "batch",
                },
            },
            "init": {
                "weights": "",  # nothing, a run folder, or of the reference's kind `real`, `simulated` or a Keras file
                "exclude": ("head",),  # what starts afresh all the same
            },
            "freeze": {"first_keras_layers": 0, "patterns": ()},  # training.transfer.create_trainable_mask
            "loss": {"positive_weight": (), "focal_gamma": 0.0, "label_smoothing": 0.0},  # training.losses.create
            "augment": {  # training.augment.create, of each example its own strength in [0, this]; 0 is off
                "noise": 0.0,  # white; standard deviation in the contract's unit, as the next three
                "coloured_noise": 0.0,  # pink to brown; standard deviation
                "wander": 0.0,  # of the baseline; amplitude
                "powerline": 0.0,  # 50 or 60 Hz; amplitude
                "scale": 0.0,  # of amplitudes; a factor within 1 +- this
                "shift": 0.0,  # in time; fraction of the window
                "crop": 0.0,  # as if it had been recorded for less time; fraction of the recording that is lost
                "time_mask": 0.0,  # a stretch of zeros in all leads; fraction of the recording
                "resample": 0.0,  # time runs faster by a factor within 1 +- this; changes heart rate: mind SB and ST
                "lead_dropout": 0.0,  # of each lead; probability
                "lead_sets": 0.0,  # keep the 6, 4, 3 or 2 leads of the Challenge 2021; probability
                "amplitude_loss": 0.0,  # every lead at its contract.usual_deviations; probability
                "mixup": 0.0,  # training.augment.create_mixup: alpha of Beta(alpha, alpha)
            },
            "optimizer": {  # training.optimizers.create
                "name": "adam",
                "learning_rate": 1e-3,
                "weight_decay": 0.0,
                "momentum": 0.9,
                "b1": 0.9,
                "b2": 0.999,
                "clip_norm": 0.0,
                "layer_decay": 1.0,  # of the learning rate, per module of the trunk below the head
                "unfreeze_every": 0,  # steps after which the next module of the trunk learns; 0 is all at once
            },
            "schedule": {
                "name": "plateau",
                "warmup_fraction": 0.0,
                "final_fraction": 0.0,
                "batch_scaling": "none",  # or `linear`, `sqrt`: of the learning rate, by the batch's size over ...
                "base_batch_size": 64,  # ... the one it was chosen for; with warm-up, if it grows
            },
            "plateau": {"factor": 0.1, "patience": 7, "min_delta": 1e-4, "min_learning_rate": 1e-5},
            "early_stopping": {"patience": 9, "min_delta": 1e-5},  # in evaluations; patience 0 is never
            "train": {
                "batch_size": 64,  # global
                "accumulate": 1,  # micro-batches that it is computed in, to save memory
                "steps_per_call": 1,  # that the device makes in one go, where data.mode is not `host`
                "epochs": 70.0,  # used where steps is 0
                "steps": 0,
                "eval_every": 0,  # in steps; 0 is once per epoch
                "log_every": 20,
                "ema_decay": 0.0,  # of averaged weights and statistics, which then evaluate: training.averaging
                "nonfinite": "stop",  # at a step whose loss or gradient is not finite; or `skip` its update
            },
            "checkpoint": {
                "every": 0,  # in steps; 0 is at every evaluation
                "monitor": "loss",  # `loss`, `auroc` or `average_precision`, on validation
            },
            "evaluation": {
                "calibration": "platt",  # fitted on validation: evaluation.settings.CALIBRATIONS
                "threshold_rule": "max_f1",  # on validation: evaluation.thresholds.RULES
                "resamples": 1000,  # of the intervals' bootstrap
                "report": True,  # write report.html, with its figures, beside the tables
            },
            "parallel": {"mode": "auto", "sync_batchnorm": True},  # runtime.parallel.create
            "runtime": {
                "stall_warning": 60.0,  # seconds without input after which a line says so; 0 is never
                "peak_tflops": 0.0,  # of a device, for `mfu`; 0 is the published peak of those that are known
            },
        }
    )


def check(config: ConfigDict, name: str = "config") -> ConfigDict:
    """Compares a configuration with the default's keys and types.

    Returns:
        The configuration.

    Raises:
        InputError: on an unknown key (naming the known ones), a missing one, a wrong type or
            a number out of range.
    """
    _check_section(config, create_default(), name)
    for key, value in flatten(config):
        if isinstance(value, tuple | list):
            wanted = _element(key)
            if not all(isinstance(item, wanted) for item in value):
                raise InputError(
                    f"{name}.{key} is {tuple(value)}; each item must be {getattr(wanted, '__name__', wanted)}"
                )
        elif key in _AT_LEAST and value < _AT_LEAST[key]:
            raise InputError(f"{name}.{key} is {value}; it must be at least {_AT_LEAST[key]}")
        elif key in _CHOICES and value not in _CHOICES[key]:
            raise InputError(f"{name}.{key} is {value!r}; known: {', '.join(_CHOICES[key])}")
        elif key in _BELOW_ONE and not 0 <= value < 1:
            raise InputError(f"{name}.{key} is {value}; it must be at least 0 and below 1")
    return config


def check_key(dotted: str) -> None:
    """Refuses a key such as `config.optimizer.learning_rte` that no configuration has, naming those there are."""
    name, *keys = dotted.split(".")
    section: Any = create_default()
    for key in keys:
        if not isinstance(section, ConfigDict):
            raise InputError(f"{name} is a value; it has no key {key}")
        _require_known(key, section, name)
        name, section = f"{name}.{key}", section[key]


def spell(dotted: str, text: str) -> str:
    """The value of a flag as `config_flags` wants it: of a tuple, `I,II,V2` becomes `('I', 'II', 'V2')`.

    Args:
        dotted: The key, with the configuration's name in front; one that there is.
        text: The value as it was given.
    """
    section: Any = create_default()
    for key in dotted.split(".")[1:]:
        section = section[key]
    if not isinstance(section, tuple) or text.strip()[:1] in ("(", "["):
        return text
    items = tuple(item.strip().strip("'\"") for item in text.split(",") if item.strip())
    return str(items) if not items or _element(dotted.partition(".")[2]) is str else text


def _element(key: str) -> Any:
    """What the items of a tuple are."""
    return _ELEMENTS.get(key) or _ELEMENTS[key.rsplit(".", 1)[-1]]


def _require_known(key: str, section: ConfigDict, name: str) -> None:
    if key not in section:
        close = difflib.get_close_matches(key, section, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise InputError(f"{name}.{key} is unknown{hint}; {name} has: {', '.join(section)}")


def _check_section(section: Any, default: ConfigDict, name: str) -> None:
    if not isinstance(section, ConfigDict):
        raise InputError(f"{name} is {section!r}; expected a section with {', '.join(default)}")
    for key in section:
        _require_known(key, default, name)
    for key, standard in default.items():
        if key not in section:
            raise InputError(f"{name}.{key} is missing; start from ecg_jax.config.create_default()")
        value = section[key]
        if isinstance(standard, ConfigDict):
            _check_section(value, standard, f"{name}.{key}")
        elif not _fits(value, standard):
            raise InputError(f"{name}.{key} is {value!r}; expected {type(standard).__name__}, as {standard!r}")


def _fits(value: Any, standard: Any) -> bool:
    if isinstance(standard, bool) or isinstance(value, bool):
        return isinstance(standard, bool) and isinstance(value, bool)
    if isinstance(standard, float):
        return isinstance(value, int | float)
    if isinstance(standard, tuple):
        return isinstance(value, tuple | list)
    return isinstance(value, type(standard))


def to_dict(config: ConfigDict) -> dict[str, Any]:
    """A JSON-ready dict (tuples become lists)."""
    return json.loads(json.dumps(config.to_dict()))


def from_dict(values: Mapping[str, Any]) -> ConfigDict:
    """The reverse of `to_dict`; a key that was added since takes its default, a section that was removed is left out.

    Raises:
        InputError: see `check`.
    """
    config = create_default()
    known = {key for key, _ in flatten(config)}
    values = {key: value for key, value in values.items() if key not in _REMOVED}
    stored = {key: tuple(value) if isinstance(value, list) else value for key, value in flatten(values)}
    if unknown := sorted(set(stored) - known):
        check_key(f"config.{unknown[0]}")
    return check(override(config, stored))


def override(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    """A copy with some values replaced, by dotted key. Keys and types are not checked: see `check`."""
    changed = ConfigDict(config.to_dict())
    for key, value in values.items():
        *sections, last = key.split(".")
        section = changed
        for name in sections:
            section = section[name]
        with section.ignore_type():
            section[last] = value
    return changed


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields `(dotted key, value)` of every leaf."""
    for key, value in values.items():
        if isinstance(value, Mapping | ConfigDict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One line per key whose value differs between two dicts of `to_dict`."""
    old, new = dict(flatten(before)), dict(flatten(after))
    return [
        f"{key}: {old.get(key, '(none)')} there, {new.get(key, '(none)')} here"
        for key in sorted(old | new)
        if old.get(key) != new.get(key)
    ]


@dataclasses.dataclass(frozen=True)
class Changes:
    """How the configuration of a run differs from one that it is to go on with.

    Attributes:
        refused: A line per key that would change what a step does.
        allowed: A line per key of `MAY_CHANGE`, by key.
    """

    refused: tuple[str, ...]
    allowed: Mapping[str, str]

    @property
    def are_of_place(self) -> bool:
        """Whether the files lie elsewhere, so that nothing is known of their content yet."""
        return any(MAY_CHANGE.get(key) == _SAME_RECORDINGS for key in self.allowed)

    @property
    def leave_result(self) -> bool:
        """Whether what a finished run has written is also the result of the other configuration."""
        return not self.refused and not any(_is_among(key, _OF_RESULTS) for key in self.allowed)


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """Compares two dicts of `to_dict`: a key that one lacks has its default, paths start at the current folder."""
    default = dict(flatten(to_dict(create_default())))
    old, new = (default | dict(flatten(make_absolute(values))) for values in (before, after))
    changed = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    lines = dict(zip(changed, differences(old, new), strict=True))
    allowed = {key: line for key, line in lines.items() if _is_among(key, MAY_CHANGE)}
    return Changes(tuple(line for key, line in lines.items() if key not in allowed), allowed)


def _is_among(key: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def make_absolute(values: Mapping[str, Any]) -> dict[str, Any]:
    """A dict of `to_dict` whose paths mean the same from any folder: `data.source`, `*_csv` and `init.weights`."""
    made = copy.deepcopy(dict(values))
    if data := made.get("data"):
        data["source"] = make_source_absolute(data.get("dataset", ""), data.get("source", ""))
        for section in data.values():
            if isinstance(section, dict):
                section |= {key: _make_path_absolute(path) for key, path in section.items() if key.endswith("_csv")}
    if (init := made.get("init")) and init.get("weights") not in SHIPPED:
        init["weights"] = _make_path_absolute(init.get("weights", ""))
    return made


def make_source_absolute(dataset: str, source: str) -> str:
    """`data.source` with absolute paths; each part of a `combined` one."""
    if dataset != "combined":
        return _make_path_absolute(source)
    parts = (part.strip().partition(":") for part in source.split(","))
    return ",".join(f"{name}:{_make_path_absolute(path)}" if path else name for name, _, path in parts)


def _make_path_absolute(path: str) -> str:
    """The same of an address such as `gs://bucket/folder`, and of nothing."""
    return os.path.abspath(path) if path and "://" not in path else path


def fingerprint(config: ConfigDict | Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that name a configuration, or one as a dict."""
    values = to_dict(config) if isinstance(config, ConfigDict) else config
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]
