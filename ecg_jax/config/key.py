"""A key of a configuration, and the values that it takes."""

import dataclasses
import math
from types import UnionType
from typing import Any

from ecg_jax.errors import InputError, suggest


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers between bounds, finite in any case."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        bounds = dataclasses.asdict(self).items()
        return " and ".join(f"{name.replace('_', ' ')} {bound:.10g}" for name, bound in bounds if bound is not None)

    def __contains__(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a configuration.

    Attributes:
        default: Default value; other values have its type.
        doc: What it is for.
        range: Of a number, or of the items of a tuple.
        unit: Of its value.
        choices: All its values, if they are few.
        items: Type of the items of a tuple.
        may_change: Why it may change when a run is continued in its folder; empty if it may not.
    """

    default: Any
    doc: str
    range: Range = Range()
    unit: str = ""
    choices: tuple[object, ...] = ()
    items: type | UnionType = str
    may_change: str = ""

    def check(self, name: str, value: object) -> None:
        """Refuses what the key cannot have.

        Raises:
            InputError: on a wrong type, an unknown choice, or a number out of range.
        """
        if not self._has_type(value):
            raise InputError(f"{name} is {value!r}; expected {type(self.default).__name__}, as {self.default!r}")
        if self.choices and value not in self.choices:
            known = [*map(str, self.choices)]
            raise InputError(f"{name} is {value!r}; known: {', '.join(known)}{suggest(str(value), known)}")
        items = value if isinstance(value, tuple | list) else ()
        if not all(isinstance(item, self.items) for item in items):
            raise InputError(
                f"{name} is {tuple(items)}; each item must be {getattr(self.items, '__name__', self.items)}"
            )
        numbers = [number for number in (items or [value]) if isinstance(number, int | float)]
        if not all(number in self.range for number in numbers):
            raise InputError(f"{name} is {value}; it must be {self.range}{', and ' if str(self.range) else ''}finite")

    def _has_type(self, value: object) -> bool:
        if isinstance(self.default, bool) or isinstance(value, bool):
            return isinstance(self.default, bool) and isinstance(value, bool)
        wider = {float: int | float, tuple: tuple | list}
        return isinstance(value, wider.get(type(self.default), type(self.default)))
