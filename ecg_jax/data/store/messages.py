"""What was said of recordings while they were prepared, counted by kind: why some were left out, what was assumed."""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ecg_jax import spreadsheet
from ecg_jax.data.store import PROBLEMS, Store
from ecg_jax.data.store.provenance import shorten_paths
from ecg_jax.data.store.settings import EXCLUDED, NO_SIGNAL, REFUSED, UNREADABLE

_MOST_KINDS = 8
_VARYING = re.compile(r"\S*/\S*|(?<![\w.])-?\d+(?:[.,]\d+)*(?!\w)|\w*\d{3}\w*")  # paths, numbers, names with numbers


def read_problems(store: Store) -> pd.DataFrame:
    """What was left out: `recording`, `reason`, `detail`."""
    with open(os.path.join(store.folder, PROBLEMS), encoding="utf-8", newline="") as file:
        rows = [{key: spreadsheet.restore(text) for key, text in row.items()} for row in csv.DictReader(file)]
    table = pd.DataFrame(rows, columns=["recording", "reason", "detail"])
    return table.assign(detail=[shorten_paths(store, detail) for detail in table.detail])


def count_reasons(problems: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By reason, what `count_messages` counts of `read_problems`."""
    found = {
        reason: problems.detail[problems.reason == reason] for reason in (UNREADABLE, REFUSED, NO_SIGNAL, EXCLUDED)
    }
    return {reason: count_messages(details) for reason, details in found.items() if len(details)}


def count_notes(store: Store) -> pd.DataFrame:
    """Counts what readers assumed and checks found or mended; see `count_messages`."""
    table = count_messages(line for lines in store.notes().values() for line in lines)
    return table.assign(message=[shorten_paths(store, message) for message in table.message])


def describe(messages: Iterable[str] | Mapping[str, int]) -> list[str]:
    """Lines on the most frequent kinds of what was noticed while recordings were read; see `count_messages`."""
    table = count_messages(messages)
    shown = zip(table.recordings[:_MOST_KINDS], table.message[:_MOST_KINDS], strict=True)
    lines = [f"noticed in {count} recording(s): {message}" for count, message in shown]
    return lines + ([f"{len(table) - _MOST_KINDS} more kinds of notes"] if len(table) > _MOST_KINDS else [])


def count_messages(messages: Iterable[str] | Mapping[str, int]) -> pd.DataFrame:
    """Counts messages of one kind, which differ in numbers, paths and names with numbers only.

    Args:
        messages: One after the other, or counted already.

    Returns:
        `message` (the first of its kind) and `recordings`; the most frequent first.
    """
    kinds: dict[str, list[Any]] = {}
    for message, count in Counter(messages).items():
        kinds.setdefault(_VARYING.sub("#", message), [message, 0])[1] += count
    table = pd.DataFrame(list(kinds.values()), columns=["message", "recordings"])
    return table.sort_values("recordings", ascending=False, kind="stable", ignore_index=True)
