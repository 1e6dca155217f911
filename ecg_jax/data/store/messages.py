"""Messages about recordings, counted by kind."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

_MOST_KINDS = 8
_VARYING = re.compile(r"\S*/\S*|(?<![\w.])-?\d+(?:[.,]\d+)*(?!\w)|\w*\d{3}\w*")  # paths, numbers, names with numbers


def describe(messages: Iterable[str] | Mapping[str, int]) -> list[str]:
    """Lines on the most frequent kinds of notes about recordings; see `count_messages`."""
    table = count_messages(messages)
    shown = zip(table.recordings[:_MOST_KINDS], table.message[:_MOST_KINDS], strict=True)
    lines = [f"noticed in {count} recording(s): {message}" for count, message in shown]
    return lines + ([f"{len(table) - _MOST_KINDS} more kinds of notes"] if len(table) > _MOST_KINDS else [])


def count_messages(messages: Iterable[str] | Mapping[str, int]) -> pd.DataFrame:
    """Counts messages by kind; those of one kind differ only in numbers, paths and names with numbers.

    Args:
        messages: One by one, or already counted.

    Returns:
        `message` (the first of its kind) and `recordings`; the most frequent first.
    """
    kinds: dict[str, list[Any]] = {}
    for message, count in Counter(messages).items():
        kinds.setdefault(_VARYING.sub("#", message), [message, 0])[1] += count
    table = pd.DataFrame(list(kinds.values()), columns=["message", "recordings"])
    return table.sort_values("recordings", ascending=False, kind="stable", ignore_index=True)
