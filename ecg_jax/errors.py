"""The one exception that means "the input is wrong": its message is one line for a person."""

import difflib
from collections.abc import Iterable

_LONGEST = 300  # characters


class InputError(ValueError):
    """A file, a setting or a label that cannot be used.

    The message names the thing (file, key, record), the value found, the rule it
    breaks and the remedy. Entry points print it as one line and exit with status 1.
    """


def describe(error: Exception, path: str = "") -> str:
    """Any other exception in one line, of bounded length; without a path that the message names already."""
    text = str(error).replace(path, "") if path else str(error)
    return " ".join(f"{type(error).__name__}: {text}".split()).rstrip(":")[:_LONGEST]


def suggest(word: str, known: Iterable[str]) -> str:
    """The end of a message on an unknown word: `; did you mean X?`, or nothing where none is like it."""
    names = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), names, 1)
    return f"; did you mean {names[close[0]]}?" if close else ""
