"""Text that is shown: names of files and leads must not control a terminal or a page, nor fill it."""

import re
from collections.abc import Iterable

# Control characters but tab and line feed, marks of text direction, and surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def make_printable(text: str) -> str:
    """Text with `?` for what controls a terminal instead of being shown, and for what has no encoding."""
    return _UNPRINTABLE.sub("?", text)


def list_some(names: Iterable[object], most: int = 5) -> str:
    """Names, separated by commas; of many the first, and how many more there are."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return f"{', '.join(texts[:most])}{more}"
