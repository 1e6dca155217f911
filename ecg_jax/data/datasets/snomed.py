"""SNOMED CT codes of the PhysioNet/CinC Challenge 2021: which label each is, and which source annotates it.

From the Challenge's published mapping of scored and unscored diagnoses
(github.com/physionetchallenges/evaluation-2021), which counts every code in every source. A code that a source never
uses is not annotated there: its absence says nothing.

What each code means is said in PTB-XL's statements (`ecg_jax.statements`). Two abbreviations are spelled out, since
PTB-XL uses the same letters for something else: AcuteMI (AMI there is anterior infarction) and Dysrhythmia (CD there is
conduction disturbance). MI, a code for infarction of any wall, is the superclass of that name.

PTB-XL's own recordings have been translated into these codes by the Challenge. The counts of both data sets show how:
most codes are one statement, by the same number of recordings (797 of 1AVB and IAVB, 157 of SVARR and SVPB); some stand
for several, so that they say which statements are absent, but not which is present (`_PTBXL`). Axis deviation there
comes from another column of PTB-XL, and is no statement.
"""

from ecg_jax import statements

SOURCES = {  # letter in the tables below: the source's folder in the published archive
    "A": "cpsc_2018",
    "Q": "cpsc_2018_extra",
    "I": "st_petersburg_incart",
    "S": "ptb",
    "H": "ptb-xl",
    "E": "georgia",
    "C": "chapman_shaoxing",
    "N": "ningbo",
}

# Code, abbreviation, and the sources that use it.
_SCORED = """
164889003 AF AQISHEC, 164890007 AFL QSHECN, 6374002 BBB ISEN, 426627000 Brady QIEN, 733534002 CLBBB N,
713427006 CRBBB QHEN, 270492004 IAVB AQHECN, 713426002 IRBBB QHEN, 39732003 LAD HECN, 445118002 LAnFB HEN,
164909002 LBBB AQHECN, 251146004 LQRSV HECN, 698252002 NSIVCB QIHECN, 426783006 NSR AQSHECN, 284470004 PAC AQIHECN,
10370003 PR QHN, 365413008 PRWP N, 427172004 PVC QN, 164947007 LPR HCN, 111975006 LQT QHECN, 164917005 QAb QHECN,
47665007 RAD QHECN, 59118001 RBBB AQIECN, 427393009 SA QIHEN, 426177001 SB QHECN, 427084000 STach QISHECN,
63593006 SVPB QIHEN, 164934002 TAb QHECN, 59931005 TInv QIHECN, 17338001 VPB QEC
"""
_UNSCORED = """
233892002 AAR N, 164951009 abQRS H, 251187003 AED N, 61277005 AIVR N, 426664006 AJR EN, 251139008 ALR E,
57054005 AcuteMI IN, 413444003 AMIs QE, 426434006 AnMIs HE, 54329005 AnMI QHN, 251173003 AB IC, 195080001 AFAFL QE,
195126007 AH QE, 251268003 AP E, 106068003 ARH N, 713422000 ATach QECN, 233917008 AVB QECN, 50799005 AVD N,
29320008 AVJR QN, 251166008 AVNRT C, 233897008 AVRT CN, 251170000 BPAC QIN, 418818005 BRU N, 74615001 BTS QI,
426749004 CAF Q, 251199005 CCR C, 61721007 CVCL/CCVCL N, 698247007 Dysrhythmia S, 27885002 CHB QHECN,
204384007 CIAHB S, 53741008 CHD IS, 413844008 CMI Q, 251198002 CR C, 82226007 DIB Q, 428417006 ERe ECN,
13640000 FB ICN, 164942001 FQRS C, 84114007 HF S, 368009 HVD S, 251259000 HTV Q, 251200008 ICA H,
195042002 IIAVB QHECN, 426183003 IIAVBII N, 425419005 IIs HE, 251120003 ILBBB QHEN, 704997005 ISTD Q, 49260003 IR I,
426995002 JE QECN, 251164006 JPC QCN, 426648003 JTach QEN, 253352002 LAA E, 67741000119109 LAE QHEN,
446813000 LAH QN, 425623009 LIs HE, 445211001 LPFB HEN, 164873001 LVH QIHECN, 55827005 LVHV CN, 370365005 LVS Q,
164865005 MI QISHECN, 164861001 MIs QH, 54016002 MoI ICN, 428750005 NSSTTA QHEC, 164867002 OldMI Q, 282825002 PAF IS,
251205003 PPW N, 67198005 PSVT IH, 425856008 PVT IN, 164912004 PWC CN, 253339007 RAAb E, 164921003 RAb QE,
446358003 RAH QHCN, 67751000119106 RAHV CN, 314208002 RAF S, 89792004 RVH QHECN, 17366009 SAAWR C, 65778007 SAB QN,
5609005 SARR N, 60423000 SND I, 49578007 SPRI QEN, 77867006 SQT QN, 55930002 STC QHEN, 429622005 STD AQIHECN,
164931005 STE AQIHEC, 164930006 STIAb QIECN, 251168009 SVB I, 426761007 SVT QIHECN, 266257000 TIA I, 251223006 TPW N,
164937009 UAb QCN, 11157007 VBig QIHEC, 164884008 VEB AIHE, 75532003 VEsB QICN, 81898007 VEsR QEN, 164896001 VF QSEN,
111288001 VFL QN, 266249003 VH QSHE, 195060002 VPEx QEC, 251266004 VPP E, 251182009 VPVC I, 164895002 VTach QIS,
251180001 VTrig QIHEC, 195101003 WAP EC, 74390002 WPW ISHECN
"""

# Scored as one diagnosis by the Challenge.
_EQUIVALENT = {"CRBBB": "RBBB", "CLBBB": "LBBB", "SVPB": "PAC", "VPB": "PVC"}


def _parse(table: str) -> list[tuple[str, str, frozenset[str]]]:
    rows = (entry.split() for entry in table.replace("\n", "").split(","))
    return [(code, name, frozenset(SOURCES[letter] for letter in used)) for code, name, used in rows]


_ROWS = _parse(_SCORED) + _parse(_UNSCORED)
ABBREVIATIONS: dict[str, str] = {code: name for code, name, _ in _ROWS}
"""Code to its own abbreviation."""
LABELS: dict[str, str] = {code: _EQUIVALENT.get(name, name) for code, name, _ in _ROWS}
"""Code to label, equivalent codes to the same one."""
ANNOTATED: dict[str, frozenset[str]] = {
    label: frozenset().union(*(used for code, _, used in _ROWS if LABELS[code] == label)) for label in LABELS.values()
}
"""Label to the sources that annotate it."""

# Abbreviations by the statement that they mean. Forms of a diagnosis, and its more special kinds, are that diagnosis.
_MEANING = """
AFIB AF CAF RAF, AFLT AFL, SVTAC SVT ATach AVNRT AVRT, PSVT PSVT, PACE PR AP VPP, BIGU VBig AB SVB, TRIGU VTrig,
SR NSR, SBRAD SB, STACH STach, SARRH SA, 1AVB IAVB, 2AVB IIAVB IIAVBII MoI, 3AVB CHB, CRBBB CRBBB RBBB,
CLBBB CLBBB LBBB, IRBBB IRBBB, ILBBB ILBBB, LAFB LAnFB, LPFB LPFB, IVCD NSIVCB DIB, WPW WPW VPEx, LVH LVH, RVH RVH,
LAO/LAE LAE LAH LAA, RAO/RAE RAH RAAb, AMI AnMI, NST_ STC, ISCAN AnMIs, ISCIN IIs, ISCLA LIs, LNGQT LQT, ABQRS abQRS,
INVT TInv, LPR LPR, LVOLT LQRSV, PAC PAC SVPB BPAC, PVC PVC VPB VEB VPVC, QWAVE QAb, STD_ STD, STE_ STE, TAB_ TAb,
VCLVH LVHV
"""
STATEMENTS: dict[str, str] = {
    name: code for code, *names in (entry.split() for entry in _MEANING.replace("\n", "").split(",")) for name in names
}
"""Abbreviation to the statement it means."""
_ISCHAEMIA = ("ISC_", "ISCAL", "ISCAN", "ISCAS", "ISCIL", "ISCIN", "ISCLA")
GENERAL: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("MI", "AcuteMI", "OldMI"), statements.MEMBERS["MI"]),
    **dict.fromkeys(("MIs", "AMIs", "CMI"), _ISCHAEMIA),
    "NSSTTA": ("NST_", "NDT"),
    "STIAb": ("NST_", "STD_", "STE_"),
    "BBB": ("CRBBB", "CLBBB", "IRBBB", "ILBBB"),
    "AVB": ("1AVB", "2AVB", "3AVB"),
    "CIAHB": ("1AVB", "2AVB"),
    "AH": ("LAO/LAE", "RAO/RAE"),
    "VH": ("LVH", "RVH", "SEHYP"),
    "Brady": ("SBRAD", ""),
    "AFAFL": ("AFIB", "AFLT"),
    "PAF": ("AFIB", ""),  # may be absent on this ECG
}
"""Abbreviation to the statements of which it means one (an empty one is something else). Without it, all of them may
still be present."""
# What some mean in one source, where they are absent only if all their statements are.
_IN_SOURCE: dict[str, dict[str, tuple[str, ...]]] = {
    SOURCES["H"]: {
        "NSR": ("SR", "NORM"),
        "SVPB": ("SVARR",),
        "VEB": ("PVC", "PRC(S)"),
        "TAb": ("NDT", "NT_", "TAB_", "LOWT"),
        "NSSTTA": ("DIG", "EL", "ANEUR"),
        "MIs": ("ISC_", "ISCAL", "ISCIL", "ISCAS"),
        "MI": ("IMI", "ASMI", "ILMI", "ALMI", "LMI", "IPLMI", "IPMI", "PMI"),
        "LVH": ("LVH", "VCLVH"),
        "VH": ("SEHYP",),
    },
    SOURCES["N"]: {"AFL": ("AFLT", "AFIB")},  # it has 7,615 AFL, and no AF
}
# Where a statement may be present without its code: the counts leave it open, or show it.
_OPEN = {(SOURCES["H"], "VCLVH"), (SOURCES["H"], "LOWT"), (SOURCES["N"], "AFIB")}
# Other rhythms, and findings without a statement, that a normal ECG does not have. Ectopic beats, forms of a wave, the
# axis and the heart's position decide nothing, as in PTB-XL; a disease of the patient (HF) is no finding.
OTHERS = frozenset(
    {"AAR", "AIVR", "AJR", "ARH", "AVD", "AVJR", "IR", "JE", "JTach", "PVT", "SAAWR", "SAB", "SARR", "SND", "BTS"}
    | {"VEsR", "VF", "VFL", "VTach", "WAP", "BRU", "LVS", "SQT", "Dysrhythmia"}
)
"""Abbreviations that say an ECG is not normal, and mean no statement."""


def is_used(source: str, name: str) -> bool:
    """Whether a source uses an abbreviation."""
    return any(name == own and source in used for _, own, used in _ROWS)


def find_meaning(source: str, name: str) -> tuple[str, ...]:
    """The statements of which an abbreviation in a record of a source means one; none where it means no statement."""
    single = (STATEMENTS[name],) if name in STATEMENTS else ()
    return _IN_SOURCE.get(source, {}).get(name) or single or GENERAL.get(name, ())


def _find_annotated() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for _, name, used in _ROWS:
        for source in used:
            if name in STATEMENTS or name in _IN_SOURCE.get(source, {}):
                for code in find_meaning(source, name):
                    found.setdefault(code, set()).update({source} if (source, code) not in _OPEN else ())
    return {code: frozenset(found[code]) for code in statements.STATEMENTS if found.get(code)}


KNOWN: dict[str, frozenset[str]] = _find_annotated()
"""Statement to the sources that annotate it: there it is absent where it is not stated."""
