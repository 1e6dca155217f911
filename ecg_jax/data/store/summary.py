"""What the quality report of a prepared store says. Reads index columns, no signals."""

import csv
import os
import re
import shlex
from typing import Any

import numpy as np
import pandas as pd

from ecg_jax import spreadsheet
from ecg_jax.contract import InputContract
from ecg_jax.data import quality
from ecg_jax.data.datasets.dataset import SPLITS
from ecg_jax.data.measures.amplitude import estimate_scale
from ecg_jax.data.store import PROBLEMS, Store, messages
from ecg_jax.data.store.settings import EXCLUDED, NO_SIGNAL, REFUSED, UNREADABLE

ALL = "all"
_UNSAFE = re.compile(r"[^\w…/.,:=@%+-]")  # in a shell


def describe_origin(store: Store) -> tuple[str, str, str]:
    """The name of the data set, its source, and the command that prepares such a store.

    Folders are named by their last part, since reports are passed on.
    """
    settings = store.manifest["settings"]
    origin = settings["origin"]
    dataset, source = str(origin.get("dataset", "")), shorten_paths(store, str(origin.get("source", "")))
    default = InputContract()
    contract = InputContract.from_dict(settings["contract"])
    changed = {
        key: value for key, value in settings["contract"].items() if getattr(contract, key) != getattr(default, key)
    }
    flags = {"dataset": dataset, "source": source, "output": f"…/{os.path.basename(os.path.abspath(store.folder))}"}
    flags |= {"checks": settings["checks"], "exclude": ",".join(settings["exclude"])}
    flags |= {"config.data.seed": str(origin.get("seed") or "")}
    flags |= {f"config.contract.{key}": _format(value) for key, value in changed.items()}
    for name, options in sorted(origin.get("options", {}).items()):
        flags |= {f"config.data.{name}.{key}": _shorten(_format(value)) for key, value in sorted(options.items())}
    given = [
        f"--{key}={shlex.quote(value) if _UNSAFE.search(value) else value}" for key, value in flags.items() if value
    ]
    return dataset, source, " ".join(["python -m ecg_jax.prepare", *given])


def describe_contract(store: Store) -> dict[str, str]:
    """The contract that a store was written for, in words."""
    contract = store.manifest["contract"]
    filters = {"highpass": "High-pass filter", "lowpass": "Low-pass filter", "notch": "Notch filter"}
    return {
        "Leads": ", ".join(store.leads),
        "Sampling rate": f"{store.sampling_rate:g} Hz",
        **{title: f"{contract[name]:g} Hz" if contract[name] else "none" for name, title in filters.items()},
        "Stored as": "int16, " + ("1/1000 standard deviation" if store.normalized else "1 microvolt") + " per step",
        "Filtered by": f"version {' and '.join(map(str, store.manifest.get('filters', [1])))} of the code",
        "Length": "each recording's own",
    }


def shorten_paths(store: Store, text: str) -> str:
    """Shortens the source's paths to their last part."""
    origin = store.manifest["settings"]["origin"]
    source = str(origin.get("source", ""))
    paths = [part.partition(":")[2] for part in source.split(",")] if origin.get("dataset") == "combined" else [source]
    for path in sorted((path.strip() for path in paths), key=len, reverse=True):
        text = text.replace(path, _shorten(path)) if os.path.basename(path.rstrip("/")) else text
    return text


def _shorten(path: str) -> str:
    return f"…/{os.path.basename(path.rstrip('/'))}" if os.path.isabs(path) else path


def _format(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_problems(store: Store) -> pd.DataFrame:
    """Recordings left out: `recording`, `reason`, `detail`."""
    with open(os.path.join(store.folder, PROBLEMS), encoding="utf-8", newline="") as file:
        rows = [{key: spreadsheet.restore(text) for key, text in row.items()} for row in csv.DictReader(file)]
    table = pd.DataFrame(rows, columns=["recording", "reason", "detail"])
    return table.assign(detail=[shorten_paths(store, detail) for detail in table.detail])


def count_reasons(problems: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By reason, what `messages.count_messages` counts of `read_problems`."""
    reasons = (UNREADABLE, REFUSED, NO_SIGNAL, EXCLUDED)
    found = {reason: problems.detail[problems.reason == reason] for reason in reasons}
    return {reason: messages.count_messages(details) for reason, details in found.items() if len(details)}


def count_notes(store: Store) -> pd.DataFrame:
    """Counts what readers assumed and checks found or repaired; see `messages.count_messages`."""
    table = messages.count_messages(line for lines in store.notes.values() for line in lines)
    return table.assign(message=[shorten_paths(store, message) for message in table.message])


def count_cohort(store: Store) -> pd.DataFrame:
    """Counts recordings and patients, over all and by split.

    Returns:
        One row per group: `recordings`; `patients`, `repeated` (patients with several recordings), `most` (recordings
        of one patient), `no_patient`; `female`, `male`, `no_sex`; quartiles of `age`, `heart_rate` and `duration`, e.g.
        `age_25`, `age_50`, `age_75`; `no_age`. NaN where nothing is known.
    """
    patients = _code_patients(store)
    sex = _read(store, "attribute_sex", "").astype(str) if store.has_column("attribute_sex") else None
    values = read_measurements(store)
    return pd.DataFrame(
        {
            group: {"recordings": len(rows)}
            | _count_patients(patients, rows)
            | _count_sexes(sex, rows)
            | {"no_age": float(np.isnan(values["age"][rows]).sum())}
            | {
                f"{name}_{percent}": value
                for name in ("age", "heart_rate", "duration")
                for percent, value in _quartiles(values[name][rows]).items()
            }
            for group, rows in _groups(store).items()
        }
    ).T


def count_labels(store: Store) -> pd.DataFrame:
    """Counts, for every label, the recordings of which it is known and those that have it.

    Returns:
        `label`, and for every group (`all` and the splits) `GROUP_known` and `GROUP_positive`; the most frequent first.
    """
    states = np.asarray(store.column("labels"))
    table: dict[str, Any] = {"label": store.manifest["labels"]}
    for group, rows in _groups(store).items():
        chosen = states[rows]
        table |= {f"{group}_known": (chosen >= 0).sum(axis=0), f"{group}_positive": (chosen == 1).sum(axis=0)}
    return pd.DataFrame(table).sort_values(f"{ALL}_positive", ascending=False, kind="stable", ignore_index=True)


def count_flags(store: Store) -> pd.DataFrame:
    """Counts recordings by quality flag: `flag`, `recordings`, `meaning`; and without any, in a last row, `""`."""
    bits = np.asarray(store.column("flags"))
    counts = [int(np.count_nonzero(bits & quality.pack_flags([flag]))) for flag in quality.FLAGS]
    return pd.DataFrame(
        {
            "flag": [*quality.FLAGS, ""],
            "recordings": [*counts, int(np.count_nonzero(bits == 0))],
            "meaning": [*quality.FLAGS.values(), "none of these"],
        }
    )


def read_measurements(store: Store) -> dict[str, np.ndarray]:
    """Measurements of every recording, and `age`: name to `[N]` float64, NaN for unknown."""
    names = {name: name.removeprefix("measured_") for name in store.manifest["columns"] if name.startswith("measured_")}
    names["attribute_age"] = "age"
    return {short: _read(store, name, np.nan).astype(np.float64) for name, short in names.items()}


def describe_scale(store: Store) -> str:
    """What the amplitude of lead II says about the unit; empty where recordings are z-scored."""
    if store.normalized:
        return ""
    estimate = estimate_scale(read_measurements(store)["lead_II_range"])
    if np.isnan(estimate.factor):
        return estimate.message
    if estimate.low <= 1 <= estimate.high:
        return f"{estimate.message}. This agrees with millivolts"
    return f"{estimate.message}. This does not agree with millivolts: the unit that the files state is doubtful"


def find_repeats(store: Store) -> pd.DataFrame:
    """Lists the groups of recordings whose content is the same.

    Returns:
        `recordings` (a tuple of ids), `patients` (how many), `splits` (a tuple of names), the groups of several splits
        or patients first. Each recording of an unknown patient counts as another patient.
    """
    rows = np.flatnonzero(store.column("flags") & quality.pack_flags(["duplicate"]))
    ids, hashes = np.asarray(store.column("ids"))[rows].astype(str), np.asarray(store.column("hashes"))[rows]
    patients = _code_patients(store)[rows]
    patients = np.where(patients < 0, -1 - np.arange(len(rows)), patients)
    split = _read(store, "split", "")[rows].astype(str)
    found = [
        (tuple(ids[group].tolist()), len(set(patients[group])), tuple(sorted(set(split[group].tolist()) - {""})))
        for group in quality.find_duplicates(hashes)
    ]
    found.sort(key=lambda group: (-len(group[2]), -group[1]))
    return pd.DataFrame(found, columns=["recordings", "patients", "splits"])


def count_split_patients(store: Store) -> int | None:
    """Number of patients who are in several splits; None where there are no splits, or no patient is known."""
    if not (store.has_column("split") and store.has_column("patients")):
        return None
    patients, split = _code_patients(store), np.asarray(store.column("split"))
    known = (patients >= 0) & (split != "")
    if not known.any():
        return None
    pairs = pd.DataFrame({"patient": patients[known], "split": pd.factorize(split[known])[0]}).drop_duplicates()
    return int((np.bincount(pairs.patient) > 1).sum())


def _groups(store: Store) -> dict[str, np.ndarray]:
    """Rows of all recordings, and of each split that has any; `no split` where some have none."""
    groups = {ALL: np.arange(len(store))}
    if not store.has_column("split"):
        return groups
    split = np.asarray(store.column("split"))
    found = {name or "no split": np.flatnonzero(split == name) for name in (*SPLITS, "")}
    return groups | {name: rows for name, rows in found.items() if len(rows)}


def _read(store: Store, name: str, missing: float | str) -> np.ndarray:
    """A column, or `missing` throughout where the store does not have it."""
    return np.asarray(store.column(name)) if store.has_column(name) else np.full(len(store), missing)


def _code_patients(store: Store) -> np.ndarray:
    """A whole number for each patient, -1 where unknown."""
    names = pd.Series(_read(store, "patients", ""), dtype=object)
    return pd.factorize(names.mask(names == ""))[0]


def _count_patients(patients: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    chosen = patients[rows]
    counts = np.bincount(chosen[chosen >= 0])
    if not counts.any():
        return dict.fromkeys(("patients", "repeated", "most"), np.nan) | {"no_patient": len(rows)}
    facts = {"patients": (counts > 0).sum(), "repeated": (counts > 1).sum(), "most": counts.max()}
    return facts | {"no_patient": (chosen < 0).sum()}


def _count_sexes(sex: np.ndarray | None, rows: np.ndarray) -> dict[str, float]:
    if sex is None:
        return {"female": np.nan, "male": np.nan, "no_sex": len(rows)}
    female, male = (int((sex[rows] == letter).sum()) for letter in "FM")
    return {"female": female, "male": male, "no_sex": len(rows) - female - male}


def _quartiles(values: np.ndarray) -> dict[int, float]:
    known = values[np.isfinite(values)]
    return dict(zip((25, 50, 75), np.percentile(known, (25, 50, 75)) if known.size else [np.nan] * 3, strict=True))
