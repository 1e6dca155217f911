"""How files spell the names of leads; one place for all formats."""

import functools
import re
import unicodedata
from collections.abc import Iterable

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

_LIMB = LEADS[:6]
_LONGEST_NAME = 200  # characters
# ISO/IEEE 11073-10101 and SCP-ECG number the leads alike. MDC_ECG_ELEC_POTL_I is 2:257, or 2 * 65536 + 257.
_NUMBERS = dict(zip((1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), LEADS, strict=True))
_CODE = re.compile(r"(?:2:|5\.6\.3-9-)(?P<number>\d{1,3})|(?P<whole>1313\d\d)")
_FIRST_POTENTIAL, _FIRST_WHOLE = 256, 131328
# What may surround a name. Brackets hold a remark on the lead, unless they turn it upside down.
_REMARK = re.compile(r"\s*#.*|\s*[(\[](?!\s*-|\s*inv)[^()\[\]]*[)\]](?=\s*(?:#|$))", re.IGNORECASE)
_BETWEEN = r"(?:[ _:.]+|-| - )?"  # but `Lead -aVR` is upside down
# `Lead` in English, German, French, Spanish, Portuguese, Italian and Dutch, and what stands before it.
_LEAD = r"(?:LEAD|ABLEITUNG|ABL|D[EÉ]RIVATION|DERIVACI[OÓ]N|DERIVA[CÇ][AÃ]O|DERIVAZIONE|AFLEIDING)"
_KIND = r"(?:CHEST|LIMB|BRUSTWAND|EXTREMIT[ÄA]TEN|EINTHOVEN|GOLDBERGER|WILSON)"
_BEFORE = (
    rf"(?:MDC_ECG_(?:LEAD|ELEC_POTL)_)?(?P<ecg>(?:ECG|EKG){_BETWEEN})?(?:{_KIND}{_BETWEEN})?(?:{_LEAD}{_BETWEEN})?"
)
_CORE = r"(?P<limb>D?[ _-]?I{1,3}|D[ _-]?[123]|AV[ _.-]?[RLF])|V[ _.-]?0?(?P<chest>[1-6])|C(?P<electrode>[1-6])"
_AFTER = r"(?:[ _:.-]+(?:LEAD|ECG|EKG|REF)|[ _/][NUµμM]V)?"
_NAME = re.compile(rf"{_BEFORE}(?:{_CORE}){_AFTER}", re.IGNORECASE)
_SPELLINGS = {lead.upper(): lead for lead in LEADS} | {f"D{i}": lead for i, lead in enumerate(LEADS[:3], 1)}
_SPELLINGS |= {f"D{lead}": lead for lead in LEADS[:3]}


def canonical_lead(name: str) -> str:
    """Returns the standard spelling of a lead's name (`avr`, `Lead II`, `DI`, `ECG V1`, `I (uV)`, `MDC_ECG_LEAD_I`).

    A name that is not one of the twelve standard leads is returned stripped, unchanged. So is `C1`, which is an
    electrode of electroencephalograms, too: see `canonical_leads`.
    """
    lead, is_electrode = _parse(name)
    return _strip(name) if is_electrode or not lead else lead


def canonical_leads(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the standard spelling of a recording's leads.

    `C1` to `C6` are the chest leads beside two limb leads or more, where nothing else is called V1 to V6.
    """
    return _parse_all(tuple(names))


@functools.lru_cache(maxsize=1024)
def _parse_all(names: tuple[str, ...]) -> tuple[str, ...]:
    leads = tuple(map(canonical_lead, names))
    if sum(lead in _LIMB for lead in leads) < 2 or set(leads) & set(LEADS[6:]):
        return leads
    return tuple(_parse(name)[0] or lead for name, lead in zip(names, leads, strict=True))


@functools.lru_cache(maxsize=4096)
def _parse(name: str) -> tuple[str | None, bool]:
    """The standard lead of a name, None where it is none; and whether it might be an electrode of the scalp."""
    if len(name) > _LONGEST_NAME:
        return None, False
    text = _REMARK.sub("", _strip(unicodedata.normalize("NFKC", name)))
    if code := _CODE.fullmatch(text):
        number = int(code["number"]) if code["number"] else int(code["whole"]) - _FIRST_WHOLE
        return _NUMBERS.get(number - _FIRST_POTENTIAL if number > _FIRST_POTENTIAL else number), False
    found = _NAME.fullmatch(text)
    if not found:
        return None, False
    if found["limb"]:
        return _SPELLINGS[re.sub(r"[ _.-]", "", found["limb"]).upper()], False
    return f"V{found['chest'] or found['electrode']}", bool(found["electrode"] and not found["ecg"])


def _strip(name: str) -> str:
    return name.strip(" \t\r\n\0'\"")
