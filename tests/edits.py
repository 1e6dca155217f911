"""Edits one part of an ECG file as its format defines it: a header's field, an element, a tag, a key, an attribute.

Pure functions of bytes. `edit` also names the part, and `find_stated` what a part is the only statement of: a file
whose gain was edited states another amplitude, consistently; one whose checksum was edited contradicts itself.
"""

import binascii
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

import h5py
import numpy as np
import pydicom

EXTREMES = ("0", "-1", "1e308", "-1e-308", "nan", "inf", "", "99999999", "4294967295", "9" * 30, "0x7f")
_ALIKE = 0.3  # of the edits change all parts of a kind, as of all leads
UNITS = ("mV", "uV", "V", "nV", "mmHg", "")
LEADS = ("I", "II", "III", "aVR", "V1", "V9", "")
# Parts that state something of the recording which nothing else in the file does.
STATED = {
    "scale": r"gain|zero|(physical|digital) (min|max)imum|dimension|resolution|multiplier|step|(scale|origin)@value"
    r"|(scale|origin)@unit|LeadAmplitudeUnits(PerBit)?|Resolution(@units)?|yres/units?(perbit)?|CHANNEL@UNITS_PER_MV|(tracings@)?unit"
    r"|ChannelSensitivity|ChannelBaseline|CodeValue",
    "rate": r"rate|interval|duration of a record|count in a record|increment@(value|unit)|Sample(Base|Exponent)"
    r"|samplerate/value|SampleRate|CHANNEL@SAMPLE_FREQ|(tracings@)?sampling_rate|SamplingFrequency|samplingrate",
    "leads": r"lead|leads|label|code@code|LeadID|WaveformData@lead|channel/name|CHANNEL@NAME|parsedwaveforms@leadlabels"
    r"|CodeValue|CodeMeaning|channel|leads",
    "samples": r"start|last|segment|line of segments|differences|frame",
}


# What editing raises on a file, of some real writer, that is not built as those here.
UNKNOWN = (ValueError, LookupError, TypeError, struct.error, zlib.error, ElementTree.ParseError)


class Edited(NamedTuple):
    """A file's bytes, and which part of it is another now."""

    data: bytes
    part: str


class Span(NamedTuple):
    """A part that lies at a place: text, or an integer of a `struct` format."""

    part: str
    start: int
    end: int
    form: str = ""


def find_stated(part: str) -> set[str]:
    """What of a recording may differ where a part was edited: `scale`, `rate`, `leads`, `samples`."""
    return {kind for kind, pattern in STATED.items() if re.fullmatch(rf"(.*/)?({pattern})", part)}


def edit(data: bytes, rng: np.random.Generator) -> Edited:
    """Edits a part of a file whose format its first bytes tell."""
    return next(function for matches, function in _EDITORS if matches(data))(data, rng)


def change_text(text: str, others: Sequence[str], rng: np.random.Generator) -> str:
    """Another number, the text of another part of the kind, a unit, a lead, or nothing."""
    number = re.search(r"[-+]?\d+(?:\.\d+)?", text)
    if number is None or rng.random() < 0.2:
        words = [*others, text.swapcase(), text + "x", text[1:], *UNITS, *LEADS]
        return words[int(rng.integers(len(words)))]
    value = float(number[0])
    values = (10 * value, value / 10, 2 * value, value / 2, value + 1, value - 1, -value, 1000 * value)
    chosen = int(rng.integers(len(values) + len(EXTREMES)))
    changed = EXTREMES[chosen - len(values)] if chosen >= len(values) else f"{values[chosen]:.12g}"
    return text[: number.start()] + changed + text[number.end() :]


def change_integer(value: int, bits: int, rng: np.random.Generator) -> int:
    """Another integer of so many bits, without a sign."""
    values = (0, 1, 2, -1, value + 1, value - 1, 2 * value, value // 2, -value, 10 * value, 1 << bits - 1)
    return int(rng.choice(np.array([*values, value ^ 1 << int(rng.integers(bits))], object))) % (1 << bits)


def _edit_spans(data: bytes, spans: Sequence[Span], rng: np.random.Generator, is_fixed: bool = False) -> Edited:
    """Changes a span, or all of its kind alike; each kind as often as another; fixed ones keep their width."""
    part = _choose(sorted({span.part for span in spans}), rng)
    alike = [span for span in spans if span.part == part]
    span = _choose(alike, rng)
    old = data[span.start : span.end]
    if span.form:
        size = struct.calcsize(span.form)
        value = int.from_bytes(old, "big" if span.form[0] == ">" else "little")
        others = [data[other.start : other.end] for other in alike]
        new = change_integer(value, 8 * size, rng).to_bytes(size, "big" if span.form[0] == ">" else "little")
        new = _choose(others, rng) if len(others) > 1 and rng.random() < 0.2 else new
    else:
        others = [data[other.start : other.end].decode("latin-1").strip() for other in alike]
        new = change_text(old.decode("latin-1").strip() if is_fixed else old.decode("latin-1"), others, rng).encode()
    for each in reversed(alike) if rng.random() < _ALIKE else [span]:
        width = each.end - each.start
        data = data[: each.start] + (new.ljust(width)[:width] if is_fixed and not each.form else new) + data[each.end :]
    return Edited(data, part)


def _choose(items: Sequence[Any], rng: np.random.Generator) -> Any:
    return items[int(rng.integers(len(items)))]


def _edit_lines(data: bytes, rng: np.random.Generator) -> Edited:
    """Deletes, repeats or exchanges lines of a header."""
    lines = data.splitlines(keepends=True)
    i, j = sorted(rng.integers(len(lines), size=2).tolist())
    changed = [
        [*lines[:i], *lines[i + 1 :]],
        [*lines[: i + 1], *lines[i:]],
        [*lines[:i], lines[j], *lines[i + 1 : j], *([lines[i]] if j > i else []), *lines[j + 1 :]],
    ]
    return Edited(b"".join(_choose(changed, rng)), "line of segments" if len(lines[-1].split()) == 2 else "line")


RECORD = ("name", "count of signals", "rate", "samples")
SIGNAL = ("file", "format", "gain", "bits", "zero", "initial value", "checksum", "block", "lead")


def _edit_wfdb(data: bytes, rng: np.random.Generator) -> Edited:
    if rng.random() < 0.15:
        return _edit_lines(data, rng)
    spans = []
    for number, line in enumerate(re.finditer(rb"[^\n]+", data)):
        tokens = [*re.finditer(rb"\S+", line[0])]
        names = RECORD if number == 0 else ("segment", "samples of a segment") if len(tokens) == 2 else SIGNAL
        for name, token in zip(names, tokens, strict=False):
            spans.append(Span(name, line.start() + token.start(), line.start() + token.end()))
    return _edit_spans(data, spans, rng)


def _edit_csv(data: bytes, rng: np.random.Generator) -> Edited:
    head, _, rest = data.partition(b"\n")
    rows = rest.split(b"\n")
    place = int(rng.integers(len(rows) - 1))
    cells = rows[place].split(b",")
    changes = {
        "lead": lambda: (
            _edit_spans(head, [Span("lead", *m.span()) for m in re.finditer(rb"[^,]+", head)], rng).data + b"\n" + rest
        ),
        "delimiter": lambda: data.replace(b",", _choose([b";", b"\t", b" ", b", ", b"|", b",,"], rng)),
        "decimals": lambda: data.replace(b",", b";").replace(b".", b","),
        "header": lambda: _choose([rest, head + b"\n" + data, b"a line\n" + data, data.upper(), b"\xff" + data], rng),
        "ends": lambda: _choose([data.replace(b"\n", b"\r\n"), data[: -len(rows[-2]) // 2], data + b"\n\n"], rng),
        "cell": lambda: b"\n".join([head, *rows[:place], b",".join(cells[1:]), *rows[place + 1 :]]),
        "row": lambda: (
            b"\n".join([head, *rows[:place], _choose([b"", b",", b"x", b",".join([b""] * len(cells))], rng)])
            + b"\n"
            + b"\n".join(rows[place + 1 :])
        ),
    }
    part = _choose([*changes], rng)
    return Edited(changes[part](), part)


_EDF_FIELDS = (
    *(("label", 16), ("transducer", 80), ("dimension", 8), ("physical minimum", 8), ("physical maximum", 8)),
    *(("digital minimum", 8), ("digital maximum", 8), ("filter", 80), ("count in a record", 8), ("reserved", 32)),
)
_EDF_HEAD = (("version", 0, 8), ("size of header", 184, 192), ("reserved", 192, 236), ("records", 236, 244))


def _edit_edf(data: bytes, rng: np.random.Generator) -> Edited:
    count, place = int(data[252:256]), 256
    spans = [Span(*each) for each in (*_EDF_HEAD, ("duration of a record", 244, 252), ("count of signals", 252, 256))]
    for name, width in _EDF_FIELDS:
        spans += [Span(name, place + i * width, place + (i + 1) * width) for i in range(count)]
        place += count * width
    return _edit_spans(data, spans, rng, is_fixed=True)


_ISHNE = (
    *(("size of comment", 10, "<i"), ("samples", 14, "<i"), ("offset of comment", 18, "<i"), ("offset", 22, "<i")),
    *(("version", 26, "<h"), ("count", 156, "<h"), ("rate", 272, "<h")),
    *(("lead", 158 + 2 * i, "<h") for i in range(12)),
    *(("quality", 182 + 2 * i, "<h") for i in range(12)),
    *(("resolution", 206 + 2 * i, "<h") for i in range(12)),
)


def _edit_ishne(data: bytes, rng: np.random.Generator) -> Edited:
    """The header's checksum is made to fit in half the files."""
    edited = _edit_spans(data, _place(_ISHNE), rng)
    if rng.random() < 0.5:
        return edited
    checksum = binascii.crc_hqx(edited.data[10:522], 0xFFFF)
    return edited._replace(data=edited.data[:8] + struct.pack("<H", checksum) + edited.data[10:])


def _place(fields: Sequence[tuple[str, int, str]]) -> list[Span]:
    return [Span(part, start, start + struct.calcsize(form), form) for part, start, form in fields]


def _edit_edan(data: bytes, rng: np.random.Generator) -> Edited:
    head = data.index(b"patient.hea") + 13
    fields = [("start", head + 4, "<I"), ("end", head + 8, "<I"), ("count", head + 12, "<B"), ("rate", head + 32, "<h")]
    names = [Span("lead", head + 1796 + 8 * i, head + 1804 + 8 * i) for i in range(12)]
    return _edit_spans(data, [*_place(fields), *names], rng, is_fixed=True)


_MFER = {0x01: "byte order", 0x04: "length of a block", 0x05: "count", 0x06: "blocks", 0x09: "lead", 0x0A: "type"}
_MFER |= {0x0B: "interval", 0x0C: "step", 0x1E: "frame", 0x3F: "channel", 0x40: "preamble"}


def _edit_mfer(data: bytes, rng: np.random.Generator) -> Edited:
    """Changes a definition's value or length, deletes or repeats it."""
    found, place = [], 0
    while place < len(data) - 2:
        start, tag = place, data[place]
        place += 2 if tag == 0x3F else 1
        width = data[place] & 0x7F if data[place] & 0x80 else 0
        length = int.from_bytes(data[place + 1 : place + 1 + width], "big") if width else data[place]
        found.append((_MFER[tag], start, place, place + 1 + width, place + 1 + width + length))
        place += 1 + width + length
    part = _choose(sorted({each[0] for each in found}), rng)
    _, start, length, value, end = _choose([each for each in found if each[0] == part], rng)
    action = int(rng.integers(4))
    if action == 0:
        return Edited(data[:start] + data[end:], part)
    if action == 1:
        return Edited(data[:end] + data[start:], part)
    fields = [("", value + i, ">B") for i in range(min(end - value, 8))] if part != "frame" else []
    fields = fields if action == 2 and fields else [("", length, ">B")]
    return Edited(_edit_spans(data, _place(fields), rng).data, part if action == 2 else f"size of {part}")


def _edit_scp(data: bytes, rng: np.random.Generator) -> Edited:
    """Checksums are made to fit in half the files."""
    pointers = [struct.unpack_from("<HII", data, 22 + 10 * i) for i in range(12)]
    starts = {number: place - 1 for number, size, place in pointers if size}
    leads, rhythm = starts[3] + 16, starts[6] + 16
    fields = [("size of record", 2, "<I"), ("count of leads", leads, "<B"), ("flags", leads + 1, "<B")]
    for i in range(data[leads]):
        places = (("start", "<I"), ("last", "<I"), ("lead", "<B"))
        fields += [(part, leads + 2 + 9 * i + 4 * j, form) for j, (part, form) in enumerate(places)]
        fields.append(("bytes of samples", rhythm + 6 + 2 * i, "<H"))
    fields += [("multiplier", rhythm, "<H"), ("interval", rhythm + 2, "<H"), ("differences", rhythm + 4, "<B")]
    fields += [("bimodal", rhythm + 5, "<B")]
    fields += [
        (f"{part} of a section", 22 + 10 * i + j, "<I") for i in starts for j, part in ((2, "size"), (6, "place"))
    ]
    fields += [(part, starts[2] + 16, "<H") for part in ["tables"] if 2 in starts]
    edited = _edit_spans(data, _place(fields), rng)
    if rng.random() < 0.5:
        return edited
    fixed = bytearray(edited.data)
    for number, size, place in pointers:
        if size and number in starts:
            struct.pack_into("<H", fixed, place - 1, binascii.crc_hqx(fixed[place + 1 : place - 1 + size], 0xFFFF))
    struct.pack_into("<H", fixed, 0, binascii.crc_hqx(fixed[2:], 0xFFFF))
    return edited._replace(data=bytes(fixed))


def _edit_npy(data: bytes, rng: np.random.Generator) -> Edited:
    end = 10 + int.from_bytes(data[8:10], "little")
    found = re.finditer(rb"(?P<dtype>'[<>|]\w+')|(?P<order>True|False)|(?P<shape>\(.*?\))|(?P<number>\d+)", data[:end])
    span = _choose([Span(match.lastgroup, *match.span()) for match in found], rng)
    rows, columns = re.findall(rb"\d+", data[:end])[-2:]
    others = {
        "dtype": [b"'<f4'", b"'>f8'", b"'<i8'", b"'<u2'", b"'<i2'", b"'|O'", b"'<c8'", b"'<f2'", b"'<U4'"],
        "order": [b"True", b"1", b"None"],
        "shape": [b"(%s, %s)" % (columns, rows), b"(12, %s)" % rows, b"(%s,)" % rows, b"(-1, 12)", b"(2, 1500, 12)"],
    }
    new = _choose(others.get(span.part, [b"0", b"7", b"99999999999"]), rng)
    head = (data[: span.start] + new + data[span.end : end - 1]).rstrip(b" ")
    return Edited(head.ljust(end - 1)[: end - 1] + b"\n" + data[end:], span.part)


def _edit_mat(data: bytes, rng: np.random.Generator) -> Edited:
    """A word of the tags; those of a compressed variable, too."""
    if data[128:132] == struct.pack("<I", 15) and rng.random() < 0.8:
        plain = zlib.decompress(data[136:])
        packed = zlib.compress(_edit_spans(plain, _place([("word", i, "<I") for i in range(0, 264, 4)]), rng).data)
        return Edited(data[:132] + struct.pack("<I", len(packed)) + packed, "word")
    first, end = (0, 20) if data[20:23] == b"val" else (124, 136 if data[128] == 15 else 392)
    return _edit_spans(data, _place([("word", i, "<I") for i in range(first, end, 4)]), rng)


def _edit_samples(data: bytes, rng: np.random.Generator) -> Edited:
    """A file of samples alone: shorter, longer, shifted, of the other byte order."""
    place = int(rng.integers(1, max(len(data) // 2, 2)))
    swapped = np.frombuffer(data[: len(data) // 2 * 2], "<i2").byteswap().tobytes()
    changed = [data[:-place], data[place:], data + data[:place], data[:place] + data[2 * place :], swapped, b""]
    return Edited(_choose(changed, rng), "samples")


def edit_value(value: Any, others: Sequence[str], rng: np.random.Generator) -> Any:
    """Another value of JSON or of an attribute, some of another type."""
    if rng.random() < 0.25:
        return _choose([None, [], {}, "x", True, -1, [value], 1e300, {"a": value}], rng)
    if isinstance(value, list) and value:
        i, j = rng.integers(len(value), size=2)
        repeated = [*value[:i], value[j], *value[i + 1 :]]
        return _choose([value[1:], [*value, value[0]], repeated, value[::-1], [str(each) for each in value]], rng)
    if isinstance(value, str) or value is None:
        return change_text(value or "", others, rng)
    changed = change_text(str(value), [], rng)
    try:
        return json.loads(changed)
    except ValueError:
        return changed


def _walk(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _walk(inner)


def edit_json(data: bytes, rng: np.random.Generator) -> Edited:
    """Deletes or changes a value at any depth, or cuts the text."""
    content = json.loads(data)
    found = [*_walk(content)]
    if not found or rng.random() < 0.05:
        return Edited(data[: int(rng.integers(len(data)))], "end")
    container, key = _choose(found, rng)
    part = key if isinstance(key, str) else next((str(name) for box, name in found if box[name] is container), "list")
    if rng.random() < 0.2:
        del container[key]
    else:
        container[key] = edit_value(
            container[key], [str(container[other]) for box, other in found if other == key], rng
        )
    return Edited(json.dumps(content).encode(), part)


def _edit_xml(data: bytes, rng: np.random.Generator) -> Edited:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = data.decode(encoding if encoding == "utf-16" else "latin-1").strip()
    root = ElementTree.fromstring(re.sub(r"^<\?xml.*?\?>", "", text))
    parents = {child: parent for parent in root.iter() for child in parent}
    found = [
        (f"{_tag(parents.get(element))}/{_tag(element)}{f'@{name}' if name else ''}", element, name)
        for element in root.iter()
        for name in ("", *element.attrib)
    ]
    part = _choose(sorted({part for part, *_ in found}), rng)
    alike = [(element, name) for each, element, name in found if each == part]
    element, name = _choose(alike, rng)
    if name and (rng.random() < 0.2 or len(element.get(name)) > 500):
        part = f"{part} samples" if len(element.get(name)) > 500 else part
        element.set(name, _cut(element.get(name), rng)) if len(element.get(name)) > 500 else element.attrib.pop(name)
    elif name:
        changed = change_text(element.get(name), [each.get(name) for each, _ in alike], rng)
        for each, _ in alike if rng.random() < _ALIKE else [(element, name)]:
            each.set(name, changed)
    elif rng.random() < 0.3 or len(element):
        _edit_element(element, parents.get(element), rng)
    elif len(element.text or "") > 500:
        part, element.text = f"{part} samples", _cut(element.text, rng)
    else:
        changed = change_text(element.text or "", [each.text or "" for each, _ in alike], rng)
        for each, _ in alike if rng.random() < _ALIKE else [(element, name)]:
            each.text = changed
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>'
    return Edited((declaration + ElementTree.tostring(root, "unicode")).encode(encoding), part)


def _tag(element: ElementTree.Element | None) -> str:
    return "" if element is None else element.tag.rpartition("}")[2]


def _edit_element(element: ElementTree.Element, parent: ElementTree.Element | None, rng: np.random.Generator) -> None:
    """Deletes, repeats, moves or renames it."""
    if parent is None or (action := int(rng.integers(4))) == 0:
        element.tag += "x"
        return
    place = [*parent].index(element)
    if action == 1:
        parent.insert(place, element)
        return
    parent.remove(element)
    if action == 2:
        parent.append(element)


def _cut(text: str, rng: np.random.Generator) -> str:
    """Samples as text, some of which are missing or stand twice; base64 by whole groups of four."""
    mark = "," if "," in text else " " if " " in text.strip() else ""
    parts = text.split(mark) if mark else re.findall(r"\S{1,4}", text)
    place = int(rng.integers(1, len(parts) - 1))
    changed = [
        parts[:place],
        parts[place:],
        [*parts[:place], *parts[place + 1 :]],
        [*parts[:place], *parts[place - 1 :]],
    ]
    return mark.join(_choose(changed, rng))


def _edit_hdf5(data: bytes, rng: np.random.Generator) -> Edited:
    """Deletes or changes an attribute or an array."""
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        names = [""]
        file.visit(names.append)
        found = [(name, key) for name in names for key in ("", *(file[name or "/"].attrs))][1:]
        name, key = _choose(found, rng)
        if key:
            _edit_attribute(file[name or "/"].attrs, key, rng)
        else:
            _edit_array(file, name, rng)
    return Edited(stream.getvalue(), f"{name}@{key}" if key else f"array {name}")


def _edit_attribute(attributes: h5py.AttributeManager, key: str, rng: np.random.Generator) -> None:
    value = attributes[key]
    if rng.random() < 0.2:
        del attributes[key]
    elif isinstance(value, str) and value[:1] == "{":
        attributes[key] = edit_json(value.encode(), rng).data.decode()
    else:
        value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        value = [str(each) for each in value] if isinstance(value, list) else value
        changed = edit_value(value, [], rng)
        is_plain = isinstance(changed, str | bool | float) or (isinstance(changed, int) and abs(changed) < 1 << 62)
        attributes[key] = changed if is_plain else json.dumps(changed)


def _edit_array(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    action = int(rng.integers(4))
    node = file[name]
    if action == 0 or not isinstance(node, h5py.Dataset) or not node.shape:
        file.move(name, name + "x") if rng.random() < 0.5 else file.pop(name)
        return
    value = node[()]
    changed = (value.T, value[:-1], value.astype("f8"), value[None], value.astype("S8"), value.astype(">i2"))
    del file[name]
    file[name] = _choose(changed, rng)


def _edit_dicom(data: bytes, rng: np.random.Generator) -> Edited:
    """A value of explicit little-endian elements, or a tag, a type or a length."""
    spans = []
    for keyword, vr, start, value, end in _walk_dicom(data, 132, len(data)):
        form = {"US": "<H", "SS": "<H", "UL": "<I"}.get(vr, "")
        if form or (vr not in ("SQ", "OW", "OB") and end > value):
            spans.append(Span(keyword, value, end, form))
        length = Span(f"size of {keyword}", value - 4, value, "<I") if value - start == 12 else None
        length = length or Span(f"size of {keyword}", start + 6, start + 8, "<H")
        spans += [Span(f"tag of {keyword}", start + 2, start + 4, "<H"), Span(f"VR of {keyword}", start + 4, start + 6)]
        spans.append(length)
    return _edit_spans(data, spans, rng, is_fixed=True)


def _walk_dicom(data: bytes, place: int, end: int) -> Iterator[tuple[str, str, int, int, int]]:
    """Yields keyword, type, and where an element, its value and its end are; all have a stated length."""
    while place + 8 <= end:
        group, element, kind = struct.unpack_from("<HH2s", data, place)
        is_item, vr = group == 0xFFFE, kind.decode("latin-1")
        value = place + (12 if vr in ("OB", "OW", "SQ", "UN", "UT") and not is_item else 8)
        form = "<I" if is_item or value - place == 12 else "<H"
        (length,) = struct.unpack_from(form, data, value - struct.calcsize(form))
        if not is_item:
            yield pydicom.datadict.keyword_for_tag((group, element)), vr, place, value, value + length
        if is_item or vr == "SQ":
            yield from _walk_dicom(data, value, value + length)
        place = value + length


def _edit_archive(data: bytes, rng: np.random.Generator) -> Edited:
    """A member of a ZIP archive, edited as what it is, or missing."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = _choose([*members], rng)
    edited = edit(members.pop(name), rng)
    members |= {name: edited.data} if rng.random() < 0.9 else {}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for key, content in members.items():
            archive.writestr(key, content)
    return Edited(stream.getvalue(), f"{name}: {edited.part}")


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(starts)


_EDITORS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, np.random.Generator], Edited]], ...] = (
    (_begins(b"\x89HDF"), _edit_hdf5),
    (_begins(b"PK\3\4"), _edit_archive),
    (lambda data: data[128:132] == b"DICM", _edit_dicom),
    (_begins(b"\x93NUMPY"), _edit_npy),
    (lambda data: data.startswith(b"MATLAB 5.0") or data[20:24] == b"val\0", _edit_mat),
    (_begins(b"ISHNE1.0"), _edit_ishne),
    (lambda data: data[2:6] == b"MFR ", _edit_mfer),
    (_begins(b"EDAN"), _edit_edan),
    (lambda data: data[16:22] == b"SCPECG", _edit_scp),
    (_begins(b"0       "), _edit_edf),
    (_begins(b"{"), edit_json),
    (lambda data: data.lstrip().startswith((b"<", b"\xff\xfe<\0")), _edit_xml),
    (lambda data: re.match(rb"[^\n]*\n(?:[^\n,]*\n)+$", data) is not None and b"\0" not in data, _edit_wfdb),
    (lambda data: re.match(rb"[\x09-\x7e]+$", data[:200]) is not None and b"," in data, _edit_csv),
    (lambda data: True, _edit_samples),
)
