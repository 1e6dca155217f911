"""What a network has learned from before: its scores of these recordings say little."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class TrainedOn:
    """The part of a data set that a network has learned from."""

    part: str  # in words
    trained: tuple[int, ...] = ()  # folds of the data set that trained it; empty where words alone are known
    chosen: tuple[int, ...] = ()  # folds that chose it among others

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainedOn":
        """Reads its part of what `Inherited.to_dict` wrote."""
        folds = {name: tuple(map(int, values[name])) for name in ("trained", "chosen")}
        return cls(str(values["part"]), **folds)


@dataclasses.dataclass(frozen=True)
class Inherited:
    """What a run keeps of the network that it started from."""

    trained_on: Mapping[str, TrainedOn] = dataclasses.field(default_factory=dict)  # by name of a data set
    largest: tuple[str, ...] = ()  # labels whose probability is the largest of all windows'

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Inherited":
        """Reads what `to_dict` wrote."""
        seen = {str(name): TrainedOn.from_dict(part) for name, part in values["trained_on"].items()}
        return cls(seen, tuple(map(str, values["largest"])))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)
