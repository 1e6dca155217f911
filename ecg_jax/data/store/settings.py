"""What decides how a recording is stored, and why one is left out."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ecg_jax.config import flatten
from ecg_jax.contract import InputContract
from ecg_jax.data import quality
from ecg_jax.data.store.store import kept_contract
from ecg_jax.errors import InputError, suggest
from ecg_jax.recording import CHECKS

UNREADABLE, REFUSED, NO_SIGNAL, EXCLUDED = "unreadable", "refused", "no signal", "excluded"
ERRORS = (UNREADABLE, REFUSED)  # faults of a file; the other reasons are properties of an ECG


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides how a recording is stored.

    Attributes:
        contract: Its leads, sampling rate and filters are used.
        checks: What happens when physics contradicts a file; one of `recording.CHECKS`.
        exclude: Quality flags whose recordings are left out.
        origin: The arguments of `datasets.open_source` but `labels`, JSON-ready.
    """

    contract: InputContract
    checks: str = "refuse"
    exclude: tuple[str, ...] = ()
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.checks not in CHECKS:
            raise InputError(f"checks is {self.checks!r}; known: {', '.join(CHECKS)}")
        unknown = [flag for flag in self.exclude if flag not in quality.FLAGS]
        if unknown:
            raise InputError(
                f"no quality flag {', '.join(unknown)}; there are: {', '.join(quality.FLAGS)}"
                + suggest(unknown[0], quality.FLAGS)
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; of the contract, the part that a store fixes, and its normalization."""
        kept = kept_contract(self.contract) | {"normalization": self.contract.normalization}
        return {
            "contract": kept,
            "checks": self.checks,
            "exclude": sorted(self.exclude),
            "origin": json.loads(json.dumps(dict(self.origin))),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Settings":
        """The reverse of `to_dict`."""
        contract = InputContract.from_dict(values["contract"])
        return cls(contract, values["checks"], tuple(values["exclude"]), values["origin"])

    def differences(self, other: "Settings") -> list[str]:
        """One line per setting in which `other` differs, own value first."""
        mine, theirs = (dict(flatten(settings.to_dict())) for settings in (self, other))
        return [
            f"{key}: {mine.get(key)} there, {theirs.get(key)} here"
            for key in dict.fromkeys([*mine, *theirs])
            if mine.get(key) != theirs.get(key)
        ]

    @property
    def fingerprint(self) -> str:
        """Names the settings."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]
