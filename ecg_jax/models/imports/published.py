"""Networks that others have published as PyTorch files: where these are, and what they expect and mean.

What a file does not state, input contract and labels, is stated here, from its project's own code and papers. Outputs
that mean what a finding of `ecg_jax.statements` means have its name, so that they are scored against data sets' labels.
"""

import dataclasses
import functools
import importlib
import importlib.resources
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ecg_jax import statements
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.kinds import FINDING, NUMBER
from ecg_jax.models.imports import torch_files
from ecg_jax.models.network import Network
from ecg_jax.recording import LEADS
from ecg_jax.trained_on import TrainedOn


@dataclasses.dataclass(frozen=True)
class Published:
    """A published network."""

    title: str  # architecture and reference
    module: str  # of this package, that knows its files
    parameters: int  # of the published file
    contract: InputContract  # of the published file
    labels: Callable[[], tuple[str, ...]]  # names of its outputs, in order
    preprocessing: str  # where the contract comes from, and in what it differs from others of the same project
    licence: str
    url: str  # where the weights are published
    trained_on: Mapping[str, TrainedOn]  # by name of a data set in `data.datasets`
    training: str  # in words
    sha256: str = ""  # of the published file, where it is known
    largest: tuple[str, ...] = ()  # outputs of which a recording has the largest of its windows', not the mean
    kind: str = FINDING  # of the labels, one of `kinds.KINDS`


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A published network from a file."""

    name: str  # one of `PUBLISHED`
    network: Network
    weights: dict[str, np.ndarray]  # by path; without the output layer for a trunk alone
    contract: InputContract
    labels: tuple[str, ...]  # of its outputs; empty for a trunk alone
    notes: tuple[str, ...]  # what was assumed


# Outputs that mean the same as a finding. Left out: comparisons with an earlier ECG, wordings of several findings or of
# a part of one (ECGFounder has both SINUS RHYTHM and NORMAL SINUS RHYTHM), and second diagnoses ("OR ...").
FINDINGS = {
    "ecgfounder": {
        "ABNORMAL ECG": statements.ABNORMAL,
        "NORMAL ECG": "NORM",
        "SINUS BRADYCARDIA": "SB",
        "SINUS TACHYCARDIA": "ST",
        "ATRIAL FIBRILLATION": "AF",
        "ATRIAL FLUTTER": "AFLT",
        "SUPRAVENTRICULAR TACHYCARDIA": "SVTAC",
        "WITH SINUS ARRHYTHMIA": "SARRH",
        "IN A PATTERN OF BIGEMINY": "BIGU",
        "PREMATURE VENTRICULAR COMPLEXES": "PVC",
        "PREMATURE ATRIAL COMPLEXES": "PAC",
        "WITH 1ST DEGREE AV BLOCK": "1dAVb",
        "WITH COMPLETE HEART BLOCK": "3AVB",
        "RIGHT BUNDLE BRANCH BLOCK": "RBBB",
        "LEFT BUNDLE BRANCH BLOCK": "LBBB",
        "INCOMPLETE RIGHT BUNDLE BRANCH BLOCK": "IRBBB",
        "INCOMPLETE LEFT BUNDLE BRANCH BLOCK": "ILBBB",
        "LEFT ANTERIOR FASCICULAR BLOCK": "LAFB",
        "LEFT POSTERIOR FASCICULAR BLOCK": "LPFB",
        "NONSPECIFIC INTRAVENTRICULAR CONDUCTION DELAY": "IVCD",
        "WOLFF-PARKINSON-WHITE": "WPW",
        "ANTERIOR INFARCT": "AMI",
        "ANTEROSEPTAL INFARCT": "ASMI",
        "ANTEROLATERAL INFARCT": "ALMI",
        "LATERAL INFARCT": "LMI",
        "INFERIOR INFARCT": "IMI",
        "INFERIOR-POSTERIOR INFARCT": "IPMI",
        "POSTERIOR INFARCT": "PMI",
        "LEFT VENTRICULAR HYPERTROPHY": "LVH",
        "VOLTAGE CRITERIA FOR LEFT VENTRICULAR HYPERTROPHY": "VCLVH",
        "RIGHT VENTRICULAR HYPERTROPHY": "RVH",
        "LEFT ATRIAL ENLARGEMENT": "LAO/LAE",
        "RIGHT ATRIAL ENLARGEMENT": "RAO/RAE",
        "LOW VOLTAGE QRS": "LVOLT",
        "NONSPECIFIC ST ABNORMALITY": "NST_",
        "NONSPECIFIC T WAVE ABNORMALITY": "NT_",
        "PROLONGED QT": "LNGQT",
    },
    "ecg_fm": {
        "Sinus rhythm": "SR",
        "Premature ventricular contraction": "PVC",
        "Atrial fibrillation": "AF",
        "Atrial flutter": "AFLT",
        "Accessory pathway conduction": "WPW",
        "1st degree atrioventricular block": "1dAVb",
        "Right bundle branch block": "RBBB",
        "Left bundle branch block": "LBBB",
        "Infarction": "MI",
        "Electronic pacemaker": "PACE",
    },
}
# Of the training set's scaler, all leads together: of the run whose weights and predictions are published, not the one
# that the repository has now.
_PTBXL_MEAN, _PTBXL_DEVIATION = -0.0008197140693385297, 0.23621993960159735  # mV
_FILTERED = InputContract(
    sampling_rate=500.0,
    samples=5000,
    notch=50.0,
    highpass=0.67,
    lowpass=40.0,
    bandpass_order=4,
    median_baseline=0.4,
    normalization="zscore_joint",
)


@functools.cache
def _read_labels() -> dict[str, list[str]]:
    return json.loads((importlib.resources.files(__package__) / "labels.json").read_text())


def _list_labels(name: str) -> tuple[str, ...]:
    """As published, but for those that have the name of a finding."""
    return tuple(FINDINGS[name].get(label, label) for label in _read_labels()[name])


_ECGFOUNDER = Published(
    title="Net1D of ECGFounder (Li et al. 2025, NEJM AI 2(7), arXiv:2410.04133)",
    module="ecgfounder",
    parameters=30_819_014,
    contract=_FILTERED,
    labels=functools.partial(_list_labels, "ecgfounder"),
    preprocessing=(
        "dataset.py of the repository, which its README asks for; with one lead in the file, lead I alone. "
        "Its evaluation on PTB-XL (ptbxl_eval.py) filters nothing: that is ecgfounder_unfiltered"
    ),
    licence="MIT",
    url="https://huggingface.co/PKUDigitalHealth/ECGFounder (12_lead_ECGFounder.pth, 1_lead_ECGFounder.pth)",
    trained_on={},
    training="10.8 million ECGs of the Harvard-Emory ECG Database",
    sha256="ee199f3781f4ae1f732973267f003da0a759ea12bddb0dd28a77faa60aca7997 (12 leads)",
)
PUBLISHED: dict[str, Published] = {
    "ecgfounder": _ECGFOUNDER,
    "ecgfounder_unfiltered": dataclasses.replace(
        _ECGFOUNDER,
        contract=InputContract(sampling_rate=500.0, samples=5000, normalization="zscore_joint"),
        preprocessing="ptbxl_eval.py of the repository, without the filters of dataset.py: see ecgfounder",
    ),
    "ecg_age": Published(
        title="ResNet1d of ecg-age-prediction (Lima, Ribeiro et al. 2021, Nat Commun 12:5117)",
        module="ecg_age",
        parameters=6_924_705,
        contract=InputContract(),
        labels=lambda: ("age",),
        preprocessing="the six diagnoses' network on CODE: no filter, taken to be 2 units per mV",
        licence="MIT",
        url="https://doi.org/10.5281/zenodo.4892365 (model.zip: model/model.pth)",
        trained_on={"code": TrainedOn("all but its test part"), "code15": TrainedOn("all, a part of CODE")},
        training="1.6 million patients of CODE",
        kind=NUMBER,
    ),
    "chagas_inception": Published(
        title="inception network of Ahus-AIM (PhysioNet Challenge 2025)",
        module="chagas_inception",
        parameters=483_904,
        contract=InputContract(
            leads=LEADS[4:],
            samples=800,
            trim=True,
            resampling="polyphase_zeros",
            normalization="zscore",
            unbiased=True,
            window_count=20,
        ),
        labels=lambda: ("chagas",),
        preprocessing="classify_from_record of src/submission_utils.py; leads are found by name",
        licence="MIT",
        url="https://github.com/Ahus-AIM/physionet-challenge-2025 (src/weights, one file for each fold)",
        trained_on=dict.fromkeys(("code15", "samitrop"), TrainedOn("all but one of five parts")),
        training="CODE-15% and SaMi-Trop, each file on all but one of five parts",
        sha256="3134d7f1421316932bbc735ebb5fdd4ad53b4b9e259998d2aaedf942e7273aa4 (fold 0 of 2025-09-14_19-32-45)",
    ),
    "xresnet1d101": Published(
        title="xresnet1d101 of the PTB-XL benchmark (Strodthoff et al. 2021, IEEE JBHI 25:1519)",
        module="xresnet1d101",
        parameters=1_880_775,
        contract=InputContract(
            sampling_rate=100.0,
            samples=250,
            offset=_PTBXL_MEAN,
            units_per_millivolt=1 / _PTBXL_DEVIATION,
            window_stride=125,
        ),
        labels=lambda: tuple(map(statements.column_name, sorted(statements.STATEMENTS))),
        preprocessing="the scaler of the published predictions (2020-05-18), not the one in the repository since 2021",
        licence="GPL-3.0 (the repository, which has the weights)",
        url="https://github.com/helme/ecg_ptbxl_benchmarking (output/exp0/models/fastai_xresnet1d101/models)",
        trained_on={"ptbxl": TrainedOn("folds 1 to 8", tuple(range(1, 9)), chosen=(9,))},
        training="folds 1 to 8 of PTB-XL, chosen on fold 9",
        largest=tuple(map(statements.column_name, sorted(statements.STATEMENTS))),
    ),
    "ecg_fm": Published(
        title="ECG-FM (McKeen et al. 2024, arXiv:2408.05178)",
        module="ecg_fm",
        parameters=90_386_321,
        contract=InputContract(
            sampling_rate=500.0,
            samples=2500,
            resampling="linear",
            normalization="zscore",
            statistics="recording",
            window_stride=2500,
        ),
        labels=functools.partial(_list_labels, "ecg_fm"),
        preprocessing="infer_quickstart of the repository: z-scores over the whole recording, then segments of 5 s",
        licence="MIT",
        url="https://huggingface.co/wanglab/ecg-fm (mimic_iv_ecg_finetuned.pt, mimic_iv_ecg_physionet_pretrained.pt)",
        trained_on={
            "mimic_iv_ecg": TrainedOn("all but its test part"),
            "challenge2021": TrainedOn("all, without labels"),
            "ptbxl": TrainedOn("all, without labels"),
        },
        training="MIMIC-IV-ECG and PhysioNet Challenge 2021 without labels, then labels of MIMIC-IV-ECG",
        largest=(
            "Poor data quality",
            "PVC",
            "Ventricular tachycardia",
            "Supraventricular tachycardia with aberrancy",
            "PACE",
        ),
    ),
}
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")


def split_name(model: str) -> tuple[str, str]:
    """The name of a published network and the file of `NAME:FILE`; an empty name where there is none."""
    name, colon, path = model.partition(":")
    return (name, path) if colon and name in PUBLISHED else ("", model)


def is_published(model: str) -> bool:
    """Whether a model's name, `FILE` or `NAME:FILE`, is that of a published network's file."""
    name, path = split_name(model)
    return bool(name) or (path.endswith(SUFFIXES) and os.path.isfile(path))


def load(path: str, name: str = "") -> Loaded:
    """Loads a file of a published network.

    Args:
        path: A PyTorch or safetensors file.
        name: One of `PUBLISHED`; if empty, told by the names and shapes of the file's tensors.

    Raises:
        InputError: where the file is no such network's.
    """
    saved = torch_files.read(path)
    weights = torch_files.pick_weights(saved, path)
    name = name or _recognize(weights, path)
    facts, module = PUBLISHED[name], _import(PUBLISHED[name].module)
    settings = module.find_settings(saved, path) if hasattr(module, "find_settings") else {}
    network, variables = module.load(weights, path, **settings)
    contract, notes = facts.contract, [] if settings else list(module.NOTES)
    sizes = module.find_sizes({key: array.shape for key, array in weights.items()})
    if sizes.shape[1] != len(contract.leads):
        if sizes.shape[1] != 1 or facts.module != "ecgfounder":
            raise InputError(f"{path}: it takes {sizes.shape[1]} leads, {name} {len(contract.leads)}")
        contract = dataclasses.replace(contract, leads=contract.leads[:1])
    if sizes.shape[0] != contract.samples:
        raise InputError(f"{path}: it takes {sizes.shape[0]} samples, {name} {contract.samples}")
    labels = facts.labels() if sizes.num_labels else ()
    if sizes.num_labels and len(labels) != sizes.num_labels:
        labels = tuple(f"output{i}" for i in range(1, sizes.num_labels + 1))
        notes.append(f"it has {len(labels)} outputs, {name} {len(facts.labels())}: they are numbered")
    return Loaded(name, network, variables, contract, labels, tuple(notes))


def _recognize(weights: Mapping[str, np.ndarray], path: str) -> str:
    """The only network that has tensors of these names and shapes."""
    shapes = {name: array.shape for name, array in weights.items()}
    modules = dict.fromkeys(facts.module for facts in PUBLISHED.values())  # the first of several contracts
    found = [name for name in modules if _import(name).find_sizes(shapes)]
    if len(found) != 1:
        first = ", ".join(list(shapes)[:3])
        raise InputError(
            f"{path}: its tensors ({first}, ...) are those of none of {', '.join(modules)}; ecg-jax models "
            "lists what can be loaded"
        )
    return found[0]


def _import(module: str) -> Any:
    return importlib.import_module(f"{__package__}.{module}")
