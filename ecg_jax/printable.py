"""Text of unknown origin, shown as text: names of files and leads must not control a terminal or a page."""

import re

# Control characters but tab and line feed, marks of text direction, and surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def make_printable(text: str) -> str:
    """Text with `?` for what controls a terminal instead of being shown, and for what has no encoding."""
    return _UNPRINTABLE.sub("?", text)
