"""XML as ECG devices write it, read safely: what the three XML formats share.

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
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.ElementTree import DefusedXMLParser

from ecg_jax.errors import InputError

LARGEST_FILE = 64 * 2**20  # bytes; twelve leads of half an hour as text are less

LONGEST_FIELD = 80
_LONGEST_NAMESPACE, _MOST_NAMESPACES = 1000, 1000  # characters; declarations

# Quantifiers are possessive and groups atomic: a hostile head must not make the search backtrack.
_ROOT = re.compile(
    r"(?:\s++|(?><\?.*?\?>)|(?><!--.*?-->)|(?><!DOCTYPE[^\[>]*+(?:\[[^\]]*+\]\s*+)?>))*+<(?:[\w.-]++:)?([\w.-]++)[\s/>]",
    re.DOTALL,
)
_WIDE_DECLARATION = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"'](utf-?16|ucs-?2)", re.IGNORECASE)


def root_name(head: bytes) -> str | None:
    """Returns the name of the first element, without its namespace; None where there is none in `head`.

    Args:
        head: The first bytes of a file, in UTF-8, UTF-16 or a single-byte encoding.
    """
    found = _ROOT.match(head.decode(_encoding(head) or "latin-1", errors="replace").lstrip("\ufeffï»¿"))
    return found.group(1) if found else None


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
            text = file.read()
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
    return "utf-8" if _WIDE_DECLARATION.search(head[:200]) else None


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


def decode_base64(path: str, field: str, text: str | None) -> bytes:
    """Decodes base64 broken into lines; a stray character is an error, since skipping it would shift every sample.

    Raises:
        InputError: naming the file and the field.
    """
    try:
        return base64.b64decode("".join((text or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{path}: {field} is not base64 ({error}); the file is damaged, export it again") from error
