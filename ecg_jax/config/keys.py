"""The table of all keys; defaults, checks, `--help` and `docs/configuration.md` follow from it."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ecg_jax.config.key import Key, Range
from ecg_jax.contract import (
    HIGHEST_ORDER,
    LONGEST_MEDIAN,
    MOST_SAMPLES,
    MOST_WINDOWS,
    NORMALIZATIONS,
    RESAMPLINGS,
    STATISTICS,
)
from ecg_jax.evaluation.settings import CALIBRATIONS
from ecg_jax.kinds import EVERY_LOSS, EVERY_SCORE, FINDING, KINDS
from ecg_jax.recording import CHECKS, HIGHEST_RATE, LEADS

_NUMBER = int | float
_NOT_NEGATIVE, _POSITIVE, _AT_LEAST_ONE = Range(at_least=0), Range(above=0), Range(at_least=1)
_FRACTION, _SHARE = Range(at_least=0, below=1), Range(at_least=0, at_most=1)
_DATASETS = (
    *("arrays", "challenge2021", "code", "code15", "combined", "folder", "ludb", "mimic_iv_ecg"),
    *("ptbxl", "samitrop", "simulated", "sph", "store", "tfds"),
)
# Why a key may change when a run is continued in its folder. Any other key would change what a step does.
SAME_RECORDINGS = "another place; the fingerprint in split.json shows that the recordings are the same"
_SAME_EXAMPLES = "examples and their order are the same with any reader and cache"
_LENGTH = "only where the run ends; of the schedule, steps still to come"
_LESS_OFTEN = "the same is written more or less often"
_AFTERWARDS = "read when training is over"
_SHOWN = "what is shown while it runs"
DECIDE_RESULT = (_LENGTH, _AFTERWARDS)  # reasons of keys on which the result of a finished run depends

KEYS: Mapping[str, Key] = {
    "seed": Key(0, "seed of initial weights, order of the data, dropout and augmentation", _NOT_NEGATIVE),
    "data.dataset": Key("simulated", "the data set; its folders and files: docs/data.md", choices=_DATASETS),
    "data.source": Key("", "folder or file of the data set", may_change=SAME_RECORDINGS),
    "data.labels": Key(
        "six", "`six`, `abnormal`, `superclasses`, `statements`, or names; with commas; of numbers, their columns"
    ),
    "data.label_kind": Key(
        FINDING, "`finding`: present or absent; `number`: a quantity, such as age in years", choices=KINDS
    ),
    "data.seed": Key(0, "seed of splits that are drawn, and of the simulator", _NOT_NEGATIVE),
    "data.cache_gb": Key(
        2.0, "memory for examples that were read before", _NOT_NEGATIVE, unit="GB", may_change=_SAME_EXAMPLES
    ),
    "data.threads": Key(0, "threads that read ahead; 0 suits the machine", _NOT_NEGATIVE, may_change=_SAME_EXAMPLES),
    "data.workers": Key(0, "processes that read ahead; 0 for threads alone", _NOT_NEGATIVE, may_change=_SAME_EXAMPLES),
    "data.checks": Key("refuse", "what happens when physics contradicts a file", choices=CHECKS),
    "data.sampling": Key("shuffle", "how training examples are drawn", choices=("shuffle", "balanced", "weighted")),
    "data.crop": Key(
        "center", "which part of a longer recording is used; `random` in training only", choices=("center", "random")
    ),
    "data.mode": Key(
        "host",
        "where batches are made: on the host, from recordings in the device's memory, or simulated on the device",
        choices=("host", "device", "endless"),
    ),
    "data.simulated.train": Key(4000, "training recordings", _NOT_NEGATIVE),
    "data.simulated.validation": Key(500, "validation recordings", _NOT_NEGATIVE),
    "data.simulated.test": Key(1000, "test recordings", _NOT_NEGATIVE),
    "data.simulated.population": Key("textbook", "kind of population", choices=("textbook", "hospital")),
    "data.ptbxl.sampling_rate": Key(500, "of the files that are read", unit="Hz", choices=(100, 500)),
    "data.challenge2021.ptbxl_csv": Key(
        "", "PTB-XL's `ptbxl_database.csv`, for its patients and folds", may_change=SAME_RECORDINGS
    ),
    "data.mimic_iv_ecg.labels_csv": Key("", "CSV of labels by `study_id`", may_change=SAME_RECORDINGS),
    "data.code.labels_csv": Key(
        "", "CSV of labels, where it does not lie beside the HDF5 file", may_change=SAME_RECORDINGS
    ),
    "data.code.patient_column": Key("", "column that names the patient"),
    "data.code.validation_fraction": Key(0.02, "part of the file, before its end, that validates", _FRACTION),
    "data.code.test_fraction": Key(0.02, "part of the file, at its end, that tests", _FRACTION),
    "data.folder.patient_column": Key("", "column that names the patient; default `patient_id`, `subject_id`, ..."),
    "data.arrays.labels_csv": Key(
        "", "CSV of labels, where it does not lie beside the array", may_change=SAME_RECORDINGS
    ),
    "data.arrays.leads": Key(",".join(LEADS), "names of the array's leads, in order, with commas"),
    "data.arrays.sampling_rate": Key(0.0, "of the array; it must be stated", _NOT_NEGATIVE, unit="Hz"),
    "data.arrays.unit": Key("", "of the array; it must be stated"),
    "data.arrays.patient_column": Key("", "column that names the patient"),
    "split.by": Key(
        "own",
        "the data set's own split, or one that is drawn: by patient, by recording or by date",
        choices=("own", "patient", "recording", "date"),
    ),
    "split.validation": Key(0.1, "part of a drawn split that validates", _FRACTION),
    "split.test": Key(0.1, "part of a drawn split that tests", _FRACTION),
    "split.folds": Key(0, "number of networks, each tested on another fold; 0 for one network", _NOT_NEGATIVE),
    "split.fold": Key(0, "the only fold to train, from 1; 0 for all", _NOT_NEGATIVE),
    "split.leaks": Key(
        "refuse",
        "what happens when the data set's own split has a patient or signal on two sides",
        choices=("refuse", "drop"),
    ),
    "split.check_content": Key(True, "read every recording once before a run, to find repeated and damaged ones"),
    "contract.leads": Key(LEADS, "lead names, in order"),
    "contract.sampling_rate": Key(400.0, "sampling rate", Range(above=0, at_most=HIGHEST_RATE), unit="Hz"),
    "contract.samples": Key(4096, "length", Range(at_least=1, at_most=MOST_SAMPLES), unit="samples"),
    "contract.highpass": Key(0.0, "cut-off of the high-pass filter; 0 for none", _NOT_NEGATIVE, unit="Hz"),
    "contract.lowpass": Key(0.0, "cut-off of the low-pass filter; 0 for none", _NOT_NEGATIVE, unit="Hz"),
    "contract.notch": Key(0.0, "powerline frequency that is removed; 0 for none", _NOT_NEGATIVE, unit="Hz"),
    "contract.units_per_millivolt": Key(2.0, "what 1 mV becomes", _POSITIVE),
    "contract.normalization": Key(
        "none",
        "`zscore` gives every lead zero mean and unit variance, `zscore_joint` all leads together; `minmax` maps every "
        "lead to 0 to 1",
        choices=NORMALIZATIONS,
    ),
    "contract.usual_deviations": Key(
        (),
        "standard deviation of each lead, given to recordings that were z-scored",
        _POSITIVE,
        unit="mV",
        items=_NUMBER,
    ),
    "contract.trim": Key(False, "cut off both ends of a recording for as long as all leads are equal there"),
    "contract.resampling": Key(
        "polyphase",
        "how the sampling rate is changed: a polyphase filter over straight continuations or zeros, or interpolation",
        choices=RESAMPLINGS,
    ),
    "contract.bandpass_order": Key(
        0,
        "of one Butterworth band-pass filter; 0 for a high-pass and a low-pass filter of order 2",
        Range(at_least=0, at_most=HIGHEST_ORDER),
    ),
    "contract.median_baseline": Key(
        0.0,
        "window of a running median that is subtracted; 0 for none",
        Range(at_least=0, at_most=LONGEST_MEDIAN),
        unit="s",
    ),
    "contract.offset": Key(0.0, "subtracted before `units_per_millivolt`", unit="mV"),
    "contract.unbiased": Key(False, "divide the variance of a z-score by the number of samples less one"),
    "contract.statistics": Key(
        "input", "what a normalization is computed over: the network's input or the whole recording", choices=STATISTICS
    ),
    "contract.window_stride": Key(
        0,
        "between the beginnings of a long recording's windows; 0 to spread them evenly",
        _NOT_NEGATIVE,
        unit="samples",
    ),
    "contract.window_count": Key(
        0, "windows of every recording; 0 for as many as fit", Range(at_least=0, at_most=MOST_WINDOWS)
    ),
    "model.name": Key(
        "reference",
        "the network of Ribeiro et al. 2020, one a quarter as wide, or a published one to compare with",
        choices=(
            *("reference", "narrow", "resnet1d_wang", "xresnet1d50", "xresnet1d101", "inception1d", "autoecg_2d"),
            *("ecgfounder", "ecg_age", "chagas_inception", "ecg_fm"),
        ),
    ),
    "model.head": Key(
        "dense",
        "the network's own, or autoECG's transfer head on `reference` or `narrow`",
        choices=("dense", "transfer"),
    ),
    "model.dropout_rate": Key(
        0.2, "of the trunk of `reference` and `narrow`; others have the published one", _FRACTION
    ),
    "model.dtype": Key("float32", "type of activations", choices=("float32", "bfloat16")),
    "model.checkpoint_activations": Key(False, "compute them again in the backward pass, to save memory"),
    "model.convolution": Key("auto", "how convolutions are computed", choices=("auto", "direct", "fast")),
    "model.variant.kernel_size": Key(16, "taps of the trunk's convolutions", _AT_LEAST_ONE),
    "model.variant.width": Key(1.0, "factor of the trunk's number of channels", _POSITIVE),
    "model.variant.units": Key(4, "residual units of the trunk", Range(at_least=1, at_most=6)),
    "model.variant.preactivation": Key(True, "normalize and activate before the convolutions"),
    "model.transfer.cut": Key(45, "Keras layer of the trunk after which the transfer head begins"),
    "model.transfer.conv_filters": Key((128, 128, 64), "channels of the transfer head's convolutions", items=int),
    "model.transfer.conv_kernel_sizes": Key((5, 3, 3), "taps of the transfer head's convolutions", items=int),
    "model.transfer.dense_widths": Key((128, 32), "units of the transfer head's dense layers", items=int),
    "model.transfer.dropout_rate": Key(0.2, "after each layer of the transfer head but the last", _FRACTION),
    "model.transfer.normalization": Key(
        "batch", "after each layer of the transfer head but the last", choices=("batch", "none")
    ),
    "init.weights": Key(
        "", "weights that ship, a run folder, a Keras file, or a published PyTorch file; empty for random ones"
    ),
    "init.exclude": Key(("head",), "modules that start from random weights nevertheless"),
    "freeze.first_keras_layers": Key(0, "number of Keras layers, from the input on"),
    "freeze.fraction": Key(0.0, "part of the trunk's modules, from the input on", _SHARE),
    "freeze.patterns": Key((), "patterns of parameter names, such as `trunk/unit1/*`"),
    "loss.name": Key(
        "auto",
        "`cross_entropy` of findings; `mse`, `mae` or `huber` of numbers, in standard deviations of the training "
        "recordings; `auto` is `cross_entropy` or `mse`",
        choices=("auto", *EVERY_LOSS),
    ),
    "loss.huber_delta": Key(1.0, "error from which `huber` is linear, in standard deviations", _POSITIVE),
    "loss.positive_weight": Key(
        (), "weight of a positive label: one number, or one for each label", _POSITIVE, items=_NUMBER
    ),
    "loss.focal_gamma": Key(0.0, "focusing parameter of the focal loss; 0 for cross-entropy", _NOT_NEGATIVE),
    "loss.label_smoothing": Key(0.0, "how far labels move towards 1/2", _FRACTION),
    "augment.noise": Key(0.0, "standard deviation of white noise", _NOT_NEGATIVE, unit="the contract's"),
    "augment.coloured_noise": Key(
        0.0, "standard deviation of pink to brown noise", _NOT_NEGATIVE, unit="the contract's"
    ),
    "augment.wander": Key(0.0, "amplitude of baseline wander", _NOT_NEGATIVE, unit="the contract's"),
    "augment.powerline": Key(0.0, "amplitude of 50 or 60 Hz", _NOT_NEGATIVE, unit="the contract's"),
    "augment.scale": Key(0.0, "amplitudes times 1 +- this", _FRACTION),
    "augment.shift": Key(0.0, "shift in time, as a fraction of the window", _FRACTION),
    "augment.crop": Key(0.0, "fraction of the recording that is lost, as if it were shorter", _FRACTION),
    "augment.time_mask": Key(0.0, "fraction of the recording that is zero in all leads", _FRACTION),
    "augment.resample": Key(0.0, "time runs faster by 1 +- this; it changes heart rate: mind SB and ST", _FRACTION),
    "augment.lead_dropout": Key(0.0, "probability that a lead is zero", _FRACTION),
    "augment.lead_sets": Key(
        0.0, "probability that only 6, 4, 3 or 2 leads are kept, those of the Challenge 2021", _SHARE
    ),
    "augment.amplitude_loss": Key(0.0, "probability that every lead has its contract.usual_deviations", _SHARE),
    "augment.mixup": Key(0.0, "alpha of mixup's Beta(alpha, alpha)", _NOT_NEGATIVE),
    "optimizer.name": Key("adam", "algorithm", choices=("adam", "adamw", "sgd", "lion")),
    "optimizer.learning_rate": Key(1e-3, "highest learning rate of the schedule", _POSITIVE),
    "optimizer.weight_decay": Key(0.0, "decoupled; spares biases and BatchNorm; not for `adam`", _NOT_NEGATIVE),
    "optimizer.momentum": Key(0.9, "of `sgd`", _NOT_NEGATIVE),
    "optimizer.b1": Key(0.9, "of the other optimizers: decay of the first moment", _FRACTION),
    "optimizer.b2": Key(0.999, "of the other optimizers: decay of the second moment", _FRACTION),
    "optimizer.clip_norm": Key(0.0, "highest global norm of a gradient; 0 for any", _NOT_NEGATIVE),
    "optimizer.layer_decay": Key(
        1.0, "factor of the learning rate from each module of the trunk to the one below it", Range(at_most=1, above=0)
    ),
    "optimizer.unfreeze_every": Key(
        0, "steps after which the next module of the trunk learns; 0 for all at once", _NOT_NEGATIVE
    ),
    "schedule.name": Key(
        "plateau",
        "its course; `plateau` lowers it when validation no longer improves",
        choices=("constant", "cosine", "one_cycle", "plateau"),
    ),
    "schedule.warmup_fraction": Key(0.0, "part of the run in which it rises", _FRACTION),
    "schedule.final_fraction": Key(0.0, "where `cosine` ends, as a fraction of the peak", _SHARE),
    "schedule.batch_scaling": Key(
        "none", "how it grows with train.batch_size over base_batch_size", choices=("none", "linear", "sqrt")
    ),
    "schedule.base_batch_size": Key(64, "batch size for which the rate was chosen", _AT_LEAST_ONE),
    "plateau.factor": Key(0.1, "factor of the learning rate", _FRACTION),
    "plateau.patience": Key(7, "evaluations without improvement", _NOT_NEGATIVE),
    "plateau.min_delta": Key(1e-4, "smallest improvement that counts"),
    "plateau.min_learning_rate": Key(1e-5, "lowest learning rate", _NOT_NEGATIVE),
    "early_stopping.patience": Key(
        9, "evaluations without improvement; 0 for never", _NOT_NEGATIVE, may_change=_LENGTH
    ),
    "early_stopping.min_delta": Key(1e-5, "smallest improvement that counts"),
    "train.batch_size": Key(64, "recordings per step, over all devices", _AT_LEAST_ONE),
    "train.accumulate": Key(1, "micro-batches in which a batch is computed, to save memory", _AT_LEAST_ONE),
    "train.steps_per_call": Key(
        1, "steps that the device makes in one call; not where data.mode is `host`", _AT_LEAST_ONE
    ),
    "train.epochs": Key(70.0, "length of the run in epochs, where train.steps is 0", _NOT_NEGATIVE, may_change=_LENGTH),
    "train.steps": Key(0, "length of the run in steps; 0 for train.epochs", _NOT_NEGATIVE, may_change=_LENGTH),
    "train.eval_every": Key(0, "steps between evaluations; 0 for once per epoch", _NOT_NEGATIVE),
    "train.log_every": Key(20, "steps between log lines", _AT_LEAST_ONE, may_change=_LESS_OFTEN),
    "train.ema_decay": Key(0.0, "decay of the averaged weights that are evaluated; 0 for none", _FRACTION),
    "train.nonfinite": Key(
        "stop",
        "what happens at a loss or gradient that is not finite: stop, or skip the update",
        choices=("stop", "skip"),
    ),
    "checkpoint.every": Key(
        0, "steps between checkpoints; 0 for every evaluation", _NOT_NEGATIVE, may_change=_LESS_OFTEN
    ),
    "checkpoint.monitor": Key(
        "loss",
        "validation score that chooses the best network; `auroc` and `average_precision` of findings, the others of "
        "numbers",
        choices=EVERY_SCORE,
    ),
    "evaluation.calibration": Key(
        "platt", "of probabilities, fitted on validation", choices=CALIBRATIONS, may_change=_AFTERWARDS
    ),
    "evaluation.threshold_rule": Key(
        "max_f1",
        "`max_f1`, `youden`, `sensitivity=X`, `specificity=X` or `cost=X`, on validation",
        may_change=_AFTERWARDS,
    ),
    "evaluation.resamples": Key(
        1000, "bootstrap resamples of the intervals; 0 for no intervals", _NOT_NEGATIVE, may_change=_AFTERWARDS
    ),
    "evaluation.floor": Key(
        "stored",
        "compare with a regression on intervals and voltages: where a prepared store has them, or measured (about 100 "
        "ECGs a second), or not",
        choices=("stored", "measure", "none"),
        may_change=_AFTERWARDS,
    ),
    "evaluation.report": Key(True, "write report.html, with its figures, beside the tables", may_change=_AFTERWARDS),
    "parallel.mode": Key("auto", "`auto` is jit on one device, pmap on several", choices=("auto", "jit", "pmap")),
    "parallel.sync_batchnorm": Key(True, "average BatchNorm's statistics over devices; False only under pmap"),
    "runtime.stall_warning": Key(
        60.0, "wait for input after which a line says so; 0 for never", _NOT_NEGATIVE, unit="s", may_change=_SHOWN
    ),
    "runtime.peak_tflops": Key(
        0.0, "peak of a device, for `mfu`; 0 for the published one", _NOT_NEGATIVE, unit="TFLOP/s", may_change=_SHOWN
    ),
}
SECTIONS = {  # what their keys are about
    "data": "Which recordings are used, and how they become examples.",
    "split": "Which recordings train, validate and test (`data.splits.assign`).",
    "contract": "The input that the network expects (`contract.InputContract`).",
    "model": "The network (`models.create`).",
    "init": "Weights to start from.",
    "freeze": "Weights that are not trained (`training.transfer.create_trainable_mask`).",
    "loss": "The loss (`training.losses.create`).",
    "augment": "Augmentation (`training.augment.create`): of each example with a strength from 0 to the value.",
    "optimizer": "The optimizer (`training.optimizers.create`).",
    "schedule": "The learning rate over the run (`training.optimizers.create_schedule`).",
    "plateau": "When the schedule `plateau` lowers the learning rate.",
    "early_stopping": "When a run stops early.",
    "train": "Steps of training.",
    "checkpoint": "Which states are saved.",
    "evaluation": "The evaluation after training.",
    "parallel": "Several devices (`runtime.parallel.create`).",
    "runtime": "Reports of a running process.",
}
MAY_CHANGE = {name: key.may_change for name, key in KEYS.items() if key.may_change}


def create_default() -> ConfigDict:
    """Returns the base configuration: the reference network from scratch on simulated ECGs."""
    values: dict[str, Any] = {}
    for name, key in KEYS.items():
        *sections, last = name.split(".")
        section = values
        for each in sections:
            section = section.setdefault(each, {})
        section[last] = key.default
    return ConfigDict(values)
