"""Where a prepared store comes from, in words that may be passed on: folders are named by their last part."""

import dataclasses
import os
import re
import shlex
from typing import Any

from ecg_jax.contract import InputContract
from ecg_jax.data.store import Store

_UNSAFE = re.compile(r"[^\w…/.,:=@%+-]")  # in a shell


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a store comes from; folders are named by their last part, as a report may be passed on.

    Attributes:
        dataset: Name of the data set.
        source: What it was opened from.
        command: That prepares such a store.
    """

    dataset: str
    source: str
    command: str


def describe_origin(store: Store) -> Origin:
    """Names the data set, its source and the command."""
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
    return Origin(dataset, source, " ".join(["python -m ecg_jax.prepare", *given]))


def describe_contract(store: Store) -> dict[str, str]:
    """The contract that a store was written for, in words."""
    contract = store.manifest["contract"]
    filters = {"highpass": "High-pass filter", "lowpass": "Low-pass filter", "notch": "Notch filter"}
    return {
        "Leads": ", ".join(store.leads),
        "Sampling rate": f"{store.sampling_rate:g} Hz",
        **{title: f"{contract[name]:g} Hz" if contract[name] else "none" for name, title in filters.items()},
        "Stored as": "int16, " + ("1/1000 standard deviation" if store.normalized else "1 microvolt") + " per step",
        "Length": "each recording's own",
    }


def shorten_paths(store: Store, text: str) -> str:
    """Leaves of the source's paths their last part."""
    origin = store.manifest["settings"]["origin"]
    source = str(origin.get("source", ""))
    paths = [part.partition(":")[2] for part in source.split(",")] if origin.get("dataset") == "combined" else [source]
    for path in sorted((path.strip() for path in paths), key=len, reverse=True):
        text = text.replace(path, _shorten(path)) if os.path.basename(path.rstrip("/")) else text
    return text


def _shorten(path: str) -> str:
    return f"…/{os.path.basename(path.rstrip('/'))}" if os.path.isabs(path) else path


def _format(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
