"""XML as ECG devices write it, read safely: what the XML formats share.

The traps: Philips writes UTF-16 (and tools re-encode it while leaving the declaration as it
was), GE declares ISO-8859-1 and a document type, HL7 puts everything in a namespace.
"""

import base64
import binascii
import codecs
import itertools
import math
import os
import re
from collections.abc import Callable
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat

import numpy as np
from defusedxml.ElementTree import DefusedXMLParser

from ecg_jax.errors import InputError

LARGEST_FILE = 64 * 2**20  # bytes; twelve leads of half an hour as text are less

LONGEST_FIELD = 80
_LONGEST_NAMESPACE, _MOST_NAMESPACES = 1000, 1000  # characters; declarations

_LONGEST_PROLOGUE = 4 * 2**20  # bytes before the first element: comments, a document type
_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*<[\0]?[?!\w]")
_DECLARATION = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"']([\w.-]+)")


class _RootFound(Exception):
    """Ends parsing; its argument is the name."""


def root_name(head: bytes) -> str | None:
    """Returns the name of the first element, without its namespace; None where there is none in `head`.

    Args:
        head: The first bytes of a file, in UTF-8, UTF-16 or a single-byte encoding.
    """
    if not _BEGINNING.match(head):
        return None
    head = _strip(head)
    parser = expat.ParserCreate(_encoding(head))
    parser.StartElementHandler = _stop
    try:
        parser.Parse(head, False)
    except _RootFound as found:
        return str(found).rpartition(":")[2]
    except (expat.ExpatError, LookupError, ValueError):
        pass
    return None


def read_prologue(file: BinaryIO, head: bytes) -> bytes:
    """Returns the beginning of a file, up to its first element where that comes late in an XML file.

    Args:
        file: Open behind `head`.
        head: Its first bytes.
    """
    while _BEGINNING.match(head) and root_name(head) is None and len(head) < _LONGEST_PROLOGUE:
        more = file.read(len(head))
        if not more:
            break
        head += more
    return head


def _stop(name: str, attributes: dict[str, str]) -> None:
    del attributes
    raise _RootFound(name)


def _strip(text: bytes) -> bytes:
    """Without the blank lines that some programs write before the declaration, which XML does not allow."""
    return text.lstrip(b" \t\r\n") if text[:1].isspace() and text[1:2] != b"\0" else text


def parse(path: str, root: str) -> Element:
    """Reads a document whose first element is `root`; names lose their namespaces.

    Raises:
        InputError: when the file is missing, too large, no well-formed XML, defines entities,
            or has another first element.
    """
    try:
        size = os.path.getsize(path)
        if size > LARGEST_FILE:
            raise InputError(f"{path}: {size} bytes; an XML file of one ECG has at most {LARGEST_FILE}")
        with open(path, "rb") as file:
            text = _strip(file.read())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        parser = DefusedXMLParser(target=TreeBuilder(), encoding=_encoding(text))
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
    """What is called for each namespace: the parser writes it out in the name of every element."""
    left = itertools.count(_MOST_NAMESPACES, -1)

    def check(prefix: str | None, uri: str | None) -> None:
        if len(uri or "") > _LONGEST_NAMESPACE:
            raise ValueError(f"a namespace of {len(uri or '')} characters")
        if next(left) == 0:
            raise ValueError(f"more than {_MOST_NAMESPACES} namespaces")

    return check


def _encoding(head: bytes) -> str | None:
    """What the bytes are encoded in where the declaration is absent, late or wrong; None where it can be trusted."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head[:4].startswith((b"<\0", b"\r\0", b"\n\0", b" \0")):
        return "utf-16le"
    if head[:4].startswith((b"\0<", b"\0\r", b"\0\n", b"\0 ")):
        return "utf-16be"
    declared = _DECLARATION.search(head[:200])
    is_eight_bits = declared and not declared[1].lower().startswith((b"utf", b"ucs"))
    if is_eight_bits:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "iso-8859-1"
    return "utf-8"


def field(element: Element, name: str) -> str:
    """Returns the text of the child `name`, one line of at most `LONGEST_FIELD` characters; empty without one."""
    return " ".join((element.findtext(name) or "").split())[:LONGEST_FIELD]


def required(path: str, element: Element, name: str) -> str:
    """Returns `field`, which must not be empty.

    Raises:
        InputError: when it is.
    """
    text = field(element, name)
    if not text:
        raise InputError(f"{path}: <{element.tag}> has no <{name}>; an ECG cannot be read without it")
    return text


def number(path: str, field: str, text: str | None) -> float:
    """Reads a finite number.

    Raises:
        InputError: naming the file and the field.
    """
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: {field} is {(text or '')[:40]!r}; expected a number")
    return value


def numbers(path: str, field: str, text: str | None) -> np.ndarray:
    """Reads numbers separated by commas or spaces, `[samples]` float64.

    Raises:
        InputError: naming the file and the field, when one is no number, or none is there.
    """
    try:
        values = np.array((text or "").replace(",", " ").split(), np.float64)
    except ValueError as error:
        raise InputError(f"{path}: {field} is not all numbers; the file is damaged") from error
    if not values.size:
        raise InputError(f"{path}: {field} has no samples; export the ECG with its waveforms")
    return values


def decode_base64(path: str, field: str, text: str | None) -> bytes:
    """Decodes base64 broken into lines, with or without `=` at its end.

    A stray character is an error, since skipping it would shift every sample.

    Raises:
        InputError: naming the file and the field.
    """
    try:
        whole = "".join((text or "").split())
        return base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{path}: {field} is not base64 ({error}); the file is damaged, export it again") from error
