"""Safe reading of XML as ECG devices write it, and of the numbers and texts in it.

Traps: Philips writes UTF-16 (and tools re-encode it while leaving the declaration as it was), GE declares ISO-8859-1
and a document type, HL7 puts everything in a namespace.
"""

import base64
import codecs
import itertools
import math
import re
from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat

import numpy as np
from defusedxml.ElementTree import DefusedXMLParser

from ecg_jax.data.readers import groups, reading
from ecg_jax.errors import InputError

LARGEST_FILE = 64 * 2**20  # bytes; twelve leads of half an hour as text are less

_LONGEST_FIELD = 80
_LONGEST_NAMESPACE, _MOST_NAMESPACES = 1000, 1000  # characters; declarations

_LONGEST_PROLOGUE = 4 * 2**20  # bytes before the first element: comments, a document type
_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*<[\0]?[?!\w]")
_DECLARATION = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"']([\w.-]+)")


class _RootFound(Exception):
    """Ends parsing; its argument is the name."""


def match_root(name: str) -> Callable[[str, bytes], bool]:
    """Makes a `matches(path, head)` that recognizes a format by its first element."""
    return lambda path, head: root_name(head) == name


def root_name(head: bytes) -> str | None:
    """The name of the first element, without its namespace; None where the first bytes of a file have none."""
    if not _BEGINNING.match(head):
        return None
    head = _strip(head)
    parser = expat.ParserCreate(_find_encoding(head))
    parser.StartElementHandler = _stop
    try:
        parser.Parse(head, False)
    except _RootFound as found:
        return str(found).rpartition(":")[2]
    except (expat.ExpatError, LookupError, ValueError):
        pass
    return None


def read_head(path: str, size: int) -> bytes:
    """The first bytes of a file: `size`, or as far as the first element where that comes late in an XML file."""
    head = reading.read_bytes(path, size)
    while _BEGINNING.match(head) and root_name(head) is None and size == len(head) < _LONGEST_PROLOGUE:
        size *= 2
        head = reading.read_bytes(path, size)
    return head


def _stop(name: str, attributes: dict[str, str]) -> None:
    del attributes
    raise _RootFound(name)


def _strip(text: bytes) -> bytes:
    """Removes the blank lines that some programs write before the declaration, which XML does not allow."""
    return text.lstrip(b" \t\r\n") if text[:1].isspace() and text[1:2] != b"\0" else text


def parse(path: str, root: str) -> Element:
    """Reads a document whose first element is `root`; names lose their namespaces.

    Raises:
        InputError: when the file is not well-formed XML, defines entities, or has another first element.
    """
    text = _strip(reading.read_bytes(path))
    try:
        parser = DefusedXMLParser(target=TreeBuilder(), encoding=_find_encoding(text))
        parser.parser.StartNamespaceDeclHandler = _limit_namespaces()
        parser.feed(text)
        tree = parser.close()
    except (ParseError, ValueError, LookupError, RecursionError) as error:  # ValueError: an entity, or a bad encoding
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a readable XML file ({reason}); export it again") from error
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    if tree.tag != root:
        raise InputError(f"{path}: first element <{tree.tag[:40]}>; this format has <{root}>")
    return tree


def _limit_namespaces() -> Callable[[str | None, str | None], None]:
    """A handler of namespace declarations: the parser repeats a namespace in the name of every element."""
    left = itertools.count(_MOST_NAMESPACES, -1)

    def check(prefix: str | None, uri: str | None) -> None:
        if len(uri or "") > _LONGEST_NAMESPACE:
            raise ValueError(f"a namespace of {len(uri or '')} characters")
        if next(left) == 0:
            raise ValueError(f"more than {_MOST_NAMESPACES} namespaces")

    return check


def _find_encoding(head: bytes) -> str | None:
    """The encoding where the declaration is absent, late or wrong; None where the declaration can be trusted."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head[:4].startswith((b"<\0", b"\r\0", b"\n\0", b" \0")):
        return "utf-16le"
    if head[:4].startswith((b"\0<", b"\0\r", b"\0\n", b"\0 ")):
        return "utf-16be"
    declared = _DECLARATION.search(head[:200])
    if declared and not declared[1].lower().startswith((b"utf", b"ucs")):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "iso-8859-1"
    return "utf-8"


def field(element: Element, name: str) -> str:
    """The text of the child `name` in one line of at most 80 characters; empty without such a child."""
    return " ".join((element.findtext(name) or "").split())[:_LONGEST_FIELD]


def required(path: str, element: Element, name: str) -> str:
    """As `field`; raises `InputError` when it is empty."""
    text = field(element, name)
    if not text:
        raise InputError(f"{path}: <{element.tag}> has no <{name}>; an ECG cannot be read without it")
    return text


def number(path: str, field: str, text: str | None, positive: bool = False) -> float:
    """Parses a finite number; raises `InputError` naming the file and the field."""
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: {field} is {(text or '')[:40]!r}; expected a number")
    if positive and value <= 0:
        raise InputError(f"{path}: {field} is {value:g}; expected a positive number")
    return value


def step(path: str, field: str, text: str, unit: str) -> float:
    """The voltage of one step in mV; raises `InputError` unless it is positive and its unit a voltage."""
    return number(path, field, text, positive=True) * groups.millivolts(path, field, unit)


def numbers(path: str, field: str, text: str | None) -> np.ndarray:
    """Parses numbers separated by commas or spaces, `[samples]` float64; they may be none.

    Raises:
        InputError: naming the file and the field, when one is not a number.
    """
    try:
        return np.array((text or "").replace(",", " ").split(), np.float64)
    except ValueError as error:
        raise InputError(f"{path}: {field} are not all numbers; the file is damaged") from error


def samples(path: str, lead: str, text: str | None, announced: str = "") -> np.ndarray:
    """As `numbers`, of a lead; raises `InputError` also when there is none, or not as many as announced."""
    values = numbers(path, f"samples of lead {lead}", text)
    if not values.size:
        raise InputError(f"{path}: lead {lead} has no samples; export the ECG with its waveforms")
    check_count(path, lead, len(values), announced)
    return values


def check_count(path: str, lead: str, found: int, announced: str) -> None:
    """Raises `InputError` where a lead's number of samples is stated and differs from what is there."""
    if announced and announced != str(found):
        raise InputError(f"{path}: lead {lead} has {found} samples, not {announced} as stated; the file is damaged")


def describe_count(element: Element, name: str, found: int) -> list[str]:
    """A note where the number of leads that the child `name` states is not that of the leads found."""
    stated = field(element, name)
    return [f"{name} is {stated}, {found} leads were found"] if stated not in ("", str(found)) else []


def choose_rhythms(path: str, what: str, elements: Sequence[Element], types: Sequence[str]) -> list[Element]:
    """The elements whose type says that they are the rhythm, not an averaged beat; raises `InputError` without any."""
    known = ("RHYTHM", "ECG_RHYTHM", "ECG_RHYTHMS")
    rhythms = [element for element, name in zip(elements, types, strict=True) if name.upper() in known]
    if not rhythms:
        raise InputError(f"{path}: {what} of type {', '.join(types)[:80] or 'none'}; expected a rhythm")
    return rhythms


def decode_base64(path: str, field: str, text: str | None) -> bytes:
    """Decodes base64 broken into lines, with or without `=` at its end.

    Raises:
        InputError: on a stray character, too, since skipping it would shift every sample.
    """
    try:
        whole = "".join((text or "").split())
        return base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True)
    except ValueError as error:
        raise InputError(f"{path}: {field} is not base64 ({error}); the file is damaged, export it again") from error
