"""Waiting for a better value: the record behind reduce-on-plateau and early stopping."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a value has not improved.

    Attributes:
        best: Lowest value so far.
        waited: Evaluations since then.
    """

    best: float = math.inf
    waited: int = 0

    def update(self, value: float, *, patience: int, min_delta: float) -> tuple["Patience", bool]:
        """Steps the record at one evaluation, as Keras' callbacks do.

        Args:
            value: Lower is better; NaN is no improvement.
            patience: Evaluations without improvement until it runs out; 0 for never.
            min_delta: What an improvement must exceed.

        Returns:
            The next record, and True when patience has run out.
        """
        if value < self.best - min_delta:
            return Patience(value, 0), False
        waited = self.waited + 1
        return Patience(self.best, waited), bool(patience) and waited >= patience
