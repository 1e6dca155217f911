"""Files as hospital devices export them: DICOM, HL7 aECG, Philips Sierra XML, GE MUSE XML."""

import base64
import os
import re
import struct
import warnings
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    TwelveLeadECGWaveformStorage,
    generate_uid,
)

from ecg_jax import budget
from ecg_jax.data.readers import aecg, dicom, groups, muse, philips, xli, xml_document
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, LIMB_LEADS, create_recording

FORMATS = {"dicom": dicom, "aecg": aecg, "philips": philips, "muse": muse}
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def ecg(samples=500):
    """`[samples, 12]` integers in steps of 5 uV that obey Einthoven and Goldberger exactly (I and II are even)."""
    rng = np.random.default_rng(0)
    walks = rng.integers(-9, 10, (samples, 8)).cumsum(axis=0)
    one, two = 2 * walks[:, 0], 2 * walks[:, 1]
    limb = [round(a) * one + round(b) * two for a, b in LIMB_LEADS.values() if {a, b} <= {0, 1, -1}]
    right, left, foot = -(one + two) // 2, one - two // 2, two - one // 2
    return np.column_stack([*limb, right, left, foot, walks[:, 2:]]).astype(np.int64)


def expected(digital, leads=LEADS, **details):
    return create_recording(
        digital, leads=leads, sampling_rate=500, millivolts_per_unit=0.005, **{"id": "x", **details}
    )


def assert_same(recording, other):
    np.testing.assert_array_equal(recording.signal, other.signal)
    np.testing.assert_array_equal(recording.valid, other.valid)
    assert recording.leads == other.leads
    assert recording.sampling_rate == other.sampling_rate
    assert recording.gaps == other.gaps


# Writers of small files, by hand


def aecg_sequence(code, digits, origin='value="0" unit="uV"', scale='value="5" unit="uV"'):
    return f"""<component><sequence><code code="{code}" codeSystem="2.16.840.1.113883.6.24"/>
      <value xsi:type="SLIST_PQ"><origin {origin}/><scale {scale}/><digits>{digits}</digits></value>
    </sequence></component>"""


def aecg_set(sequences, increment='value="0.002" unit="s"', head="20021122091000.000"):
    return f"""<component><sequenceSet><component><sequence><code code="TIME_ABSOLUTE"/>
      <value xsi:type="GLIST_TS"><head value="{head}"/><increment {increment}/></value></sequence></component>
      {"".join(sequences)}</sequenceSet></component>"""


def aecg_series(sets, code="RHYTHM", period=("20021122091000", "20021122091001")):
    return f"""<component><series><code code="{code}"/><effectiveTime><low value="{period[0]}"/>
      <high value="{period[1]}"/></effectiveTime>{"".join(sets)}</series></component>"""


def aecg_text(*series):
    return f"""<?xml version="1.0" encoding="utf-8"?><!-- an ECG -->
    <AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
    {"".join(series)}</AnnotatedECG>"""


def aecg_sequences(digital, leads=LEADS):
    columns = zip(leads, digital.T, strict=True)
    return [aecg_sequence(f"MDC_ECG_LEAD_{lead.upper()}", " ".join(map(str, column))) for lead, column in columns]


def muse_lead(name, samples, **changes):
    data = np.asarray(samples, "<i2").tobytes()
    fields = {
        "LeadByteCountTotal": len(data),
        "LeadTimeOffset": 0,
        "LeadSampleCountTotal": len(data) // 2,
        "LeadAmplitudeUnitsPerBit": 5,
        "LeadAmplitudeUnits": "MICROVOLTS",
        "LeadID": name,
        "LeadOffsetFirstSample": 0,
        "FirstSampleBaseline": 0,
        "LeadSampleSize": 2,
        "LeadOff": "FALSE",
        "LeadDataCRC32": zlib.crc32(data),
        "WaveFormData": "\n" + base64.encodebytes(data).decode(),
    } | changes
    return "<LeadData>" + "".join(f"<{k}>{v}</{k}>" for k, v in fields.items() if v is not None) + "</LeadData>"


def muse_waveform(leads, kind="Rhythm", **changes):
    fields = {"WaveformType": kind, "WaveformStartTime": 0, "NumberofLeads": len(leads), "SampleBase": 500}
    fields |= {"SampleExponent": 0} | changes
    head = "".join(f"<{k}>{v}</{k}>" for k, v in fields.items() if v is not None)
    return f"<Waveform>{head}{''.join(leads)}</Waveform>"


def muse_text(*waveforms):
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
    <!DOCTYPE RestingECG SYSTEM "restecg.dtd">
    <RestingECG><PatientDemographics><PatientLastName>Müller</PatientLastName></PatientDemographics>
    {"".join(waveforms)}</RestingECG>"""


def muse_eight(digital, **changes):
    leads = [muse_lead(lead, digital[:, LEADS.index(lead)]) for lead in EIGHT]
    return muse_text(muse_waveform([muse_lead("I", [9, 9])], "Median"), muse_waveform(leads, **changes))


def philips_text(content, *, attributes=None, rate="500", resolution="5", more=""):
    stated = {
        "dataencoding": "Base64",
        "compression": "XLI",
        "numberofleads": "12",
        "leadlabels": " ".join(LEADS),
        "durationperchannel": "1000",
    } | (attributes or {})
    described = " ".join(f'{key}="{value}"' for key, value in stated.items() if value is not None)
    return f"""<?xml version="1.0" encoding="utf-16"?><restingecgdata xmlns="http://www3.medical.philips.com">
    <documentinfo><documenttype>PhilipsECG</documenttype><documentversion>1.04</documentversion></documentinfo>
    <dataacquisition><signalcharacteristics><samplingrate>{rate}</samplingrate><resolution>{resolution}</resolution>
    <acquisitiontype>STD-12</acquisitiontype>{more}</signalcharacteristics></dataacquisition>
    <waveforms><parsedwaveforms {described}>{content}</parsedwaveforms></waveforms></restingecgdata>"""


def pack_codes(codes):
    bits = "".join(f"{code:010b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def lzw(data):
    table, codes, current = {bytes([i]): i for i in range(256)}, [], b""
    for byte in data:
        longer = current + bytes([byte])
        if longer in table:
            current = longer
            continue
        codes.append(table[current])
        if len(table) < 1023:
            table[longer] = len(table)
        current = bytes([byte])
    return pack_codes([*codes, table[current], 1023])


def xli_chunk(samples):
    """One lead: second differences, two byte planes, LZW, and the header."""
    corrections = [64 - (z - 2 * y + x) for x, y, z in zip(samples, samples[1:], samples[2:], strict=False)]
    values = [samples[0], samples[1], *corrections[1:], 64]
    words = struct.pack(f">{len(values)}h", *map(int, values))
    packed = lzw(words[0::2] + words[1::2])
    return struct.pack("<ihh", len(packed), 1, int(corrections[0]) - 64) + packed


def philips_residuals(digital):
    """What a device stores: III, aVR, aVL and aVF as what their prediction leaves."""
    one, two, three, right, left, foot = digital.T[:6]
    stored = digital.copy()
    stored[:, 2] = two - one - three
    stored[:, 3] = -((one + two) // 2) - right
    stored[:, 4] = (one - three) // 2 - left
    stored[:, 5] = (two + three) // 2 - foot
    return stored


def philips_content(digital):
    chunks = b"".join(xli_chunk(column) for column in philips_residuals(digital).T)
    return base64.encodebytes(chunks).decode()


def dicom_channel(meaning, code="", sensitivity="5", unit="uV", **others):
    channel, source, units = Dataset(), Dataset(), Dataset()
    source.CodeValue, source.CodeMeaning = code, meaning
    units.CodeValue = unit
    channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = [source], [units]
    channel.ChannelSensitivity = sensitivity
    for key, value in others.items():
        setattr(channel, key, value)
    return channel


def dicom_group(digital, channels=None, dtype="<i2", **others):
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformSamples, group.NumberOfWaveformChannels = digital.shape
    group.SamplingFrequency = "500"
    group.ChannelDefinitionSequence = channels or [dicom_channel(f"Lead {lead}") for lead in LEADS]
    group.WaveformBitsAllocated = 8 * np.dtype(dtype).itemsize
    group.WaveformSampleInterpretation = {"i1": "SB", "u1": "UB", "i2": "SS", "u2": "US", "i4": "SL"}[dtype[1:]]
    group.WaveformData = np.ascontiguousarray(digital, dtype).tobytes()
    for key, value in others.items():
        setattr(group, key, value)
    return group


def write_dicom(path, *waveforms, syntax=ExplicitVRLittleEndian, whole=True):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = TwelveLeadECGWaveformStorage, generate_uid()
    dataset.PatientName = "Anonymous"
    dataset.WaveformSequence = list(waveforms)
    if whole:
        dataset.preamble = b"\0" * 128
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=whole)
    return str(path)


def write(path, text, encoding="utf-8"):
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return str(path)


@pytest.fixture
def files(tmp_path):
    """The same ECG in the four formats."""
    digital = ecg()
    return {
        "dicom": write_dicom(tmp_path / "ecg.dcm", dicom_group(digital)),
        "aecg": write(tmp_path / "aecg.xml", aecg_text(aecg_series([aecg_set(aecg_sequences(digital))]))),
        "muse": write(tmp_path / "muse.xml", muse_eight(digital), "latin-1"),
        "philips": write(tmp_path / "philips.xml", philips_text(philips_content(digital)), "utf-16"),
    }


# One ECG, four formats


@pytest.mark.parametrize("name", FORMATS)
def test_one_ecg_gives_one_recording_in_every_format(files, name):
    recording = FORMATS[name].read(files[name], id="x")
    assert_same(recording, expected(ecg()))
    assert recording.id == "x"


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_of_one_format_only(files, name):
    with open(files[name], "rb") as file:
        head = file.read(4096)
    assert [other for other, module in FORMATS.items() if module.matches(files[name], head)] == [name]


@pytest.mark.parametrize("name", FORMATS)
def test_other_content_is_of_none_of_these_formats(name):
    heads = b"", b"\0", b"<", b"\x89HDF\r\n\x1a\n" + bytes(200), b"MATLAB 5.0" + bytes(200), bytes(4096), b"rec 12 500"
    for head in (*heads, b"<html><AnnotatedECG/>", b"\xff\xfe<", b"<!--" * 1000, b"<?x?>" * 800, b"<!DOCTYPE " * 400):
        assert not FORMATS[name].matches("x", head)


@pytest.mark.parametrize("name", FORMATS)
def test_the_files_name_is_the_default_id(files, name):
    assert FORMATS[name].read(files[name]).id == files[name].rsplit("/", 1)[1]


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_file_is_refused_by_name(tmp_path, name):
    with pytest.raises(InputError, match="nowhere: cannot be read"):
        FORMATS[name].read(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("part", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_file_is_refused_by_name(files, name, part):
    with open(files[name], "rb") as file:
        data = file.read()
    with open(files[name], "wb") as file:
        file.write(data[: int(part * len(data))])
    with pytest.raises(InputError, match=re.escape(files[name])) as caught:
        FORMATS[name].read(files[name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_anywhere_gives_a_recording_or_one_line(files, name):
    with open(files[name], "rb") as file:
        data = file.read()
    rng = np.random.default_rng(1)
    for _ in range(60):
        with open(files[name], "wb") as file:
            file.write(damage(data, rng))
        assert_read_or_refused(FORMATS[name], files[name])


def damage(data, rng):
    damaged, place, length = bytearray(data), int(rng.integers(len(data))), int(rng.integers(1, 40))
    kind = rng.integers(3)
    if kind == 0:
        damaged[place] = int(rng.integers(256))
    elif kind == 1:
        del damaged[place : place + length]
    else:
        damaged[place:place] = damaged[place : place + length]
    return bytes(damaged)


def assert_read_or_refused(module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about the damage
        try:
            message = None
            signal = module.read(path).signal
        except InputError as error:
            message = str(error)
    if message is None:
        assert np.isfinite(signal).all()
    else:
        assert path in message
        assert "\n" not in message


# XML, whatever its encoding


# UTF-16 declared as UTF-8 without a byte-order mark contradicts itself.
@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        *(
            (encoding, declared)
            for encoding in ("utf-8", "utf-8-sig", "utf-16")
            for declared in ("utf-8", "utf-16", None)
        ),
        *((encoding, declared) for encoding in ("utf-16-le", "utf-16-be") for declared in ("utf-16", None)),
    ],
)
def test_the_bytes_decide_the_encoding_not_the_declaration(tmp_path, encoding, declared):
    text = aecg_text(aecg_series([aecg_set(aecg_sequences(ecg(20)))])).split("?>", 1)[1]
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    path = write(tmp_path / "x.xml", declaration + text, encoding)
    with open(path, "rb") as file:
        assert aecg.matches(path, file.read(4096))
    assert_same(aecg.read(path), expected(ecg(20)))


@pytest.mark.parametrize(
    "entity",
    [
        '<!ENTITY a "1">',
        '<!ENTITY a "1"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        '<!ENTITY % a SYSTEM "http://example.org/x.dtd"> %a;',
    ],
    ids=["one", "many", "a file", "a network address"],
)
def test_entities_are_refused_unread(tmp_path, entity):
    text = f"<!DOCTYPE RestingECG [{entity}]><RestingECG><Waveform>&a;</Waveform></RestingECG>"
    path = write(tmp_path / "x.xml", text)
    assert muse.matches(path, text.encode())
    with pytest.raises(InputError, match=r"x\.xml: not a readable XML file"):
        muse.read(path)


def test_a_huge_xml_file_is_refused_unread(tmp_path):
    path = write(tmp_path / "x.xml", aecg_text())
    os.truncate(path, xml_document.LARGEST_FILE + 1)
    with pytest.raises(InputError, match=r"x\.xml: 67108865 bytes; HL7 aECG is read up to 67108864"):
        aecg.read(path)


def test_one_xml_format_is_not_read_as_another(files):
    with pytest.raises(InputError, match=r"first element <restingecgdata>; this format has <RestingECG>"):
        muse.read(files["philips"])


# HL7 aECG


def read_aecg(tmp_path, *series):
    return aecg.read(write(tmp_path / "x.xml", aecg_text(*series)))


@pytest.mark.parametrize(
    "origin, scale, millivolts",
    [
        ('value="0" unit="uV"', 'value="2.5" unit="uV"', [0.25, -0.005]),
        ('value="0" unit="uV"', 'value="2500" unit="nV"', [0.25, -0.005]),
        ('value="1" unit="mV"', 'value="2.5" unit="uV"', [1.25, 0.995]),
        ('value="-0.001" unit="V"', 'value="0.01" unit="mV"', [0.0, -1.02]),
    ],
)
def test_an_aecg_sample_is_origin_plus_scale_times_digits(tmp_path, origin, scale, millivolts):
    sequence = aecg_sequence("MDC_ECG_LEAD_II", "100 -2", origin, scale)
    recording = read_aecg(tmp_path, aecg_series([aecg_set([sequence])]))
    np.testing.assert_allclose(recording.signal[:, 0], millivolts, atol=1e-6)


@pytest.mark.parametrize(
    "increment, rate",
    [
        ('value="0.002" unit="s"', 500),
        ('value="2" unit="ms"', 500),
        ('value="1000" unit="us"', 1000),
        ('value="3.90625" unit="ms"', 256),
    ],
)
def test_an_aecgs_rate_is_one_over_its_increment(tmp_path, increment, rate):
    series = aecg_series([aecg_set([aecg_sequence("MDC_ECG_LEAD_I", "1 2")], increment)])
    assert read_aecg(tmp_path, series).sampling_rate == rate


@pytest.mark.parametrize(
    "period, seconds",
    [
        (("20021122091000", "20021122091010"), None),
        (("20021231235959.500", "20030101000010.250"), 10.75),
        (("20021122091000.0+0000", "20021122101010.0+0100"), 10),
        (("200211220910", "200211220911"), None),  # minutes and seconds are too coarse
        (("20021122091010", "20021122091000"), None),
        (("20029922091010", "20029922091020"), None),
    ],
)
def test_an_aecgs_period_is_its_duration(tmp_path, period, seconds):
    series = aecg_series([aecg_set([aecg_sequence("MDC_ECG_LEAD_I", "1 2")])], period=period)
    assert read_aecg(tmp_path, series).duration == seconds


def test_an_aecgs_derived_beat_is_not_its_rhythm(tmp_path):
    beat = aecg_series([aecg_set([aecg_sequence("MDC_ECG_LEAD_I", "7 7 7")])], "REPRESENTATIVE_BEAT")
    derived = f"<derivation>{beat.replace('series>', 'derivedSeries>')}</derivation>"
    rhythm = aecg_series([aecg_set([aecg_sequence("MDC_ECG_LEAD_I", "200 400")]), derived])
    np.testing.assert_allclose(read_aecg(tmp_path, beat, rhythm).signal[:, 0], [1, 2])
    with pytest.raises(InputError, match=r"series of type REPRESENTATIVE_BEAT; expected a rhythm"):
        read_aecg(tmp_path, beat)


def test_nan_in_an_aecg_is_a_gap(tmp_path):
    recording = read_aecg(tmp_path, aecg_series([aecg_set([aecg_sequence("MDC_ECG_LEAD_I", "1 NaN 3")])]))
    assert recording.gaps == 1
    np.testing.assert_array_equal(recording.valid[:, 0], [True, False, True])


def test_leads_beyond_the_twelve_follow_them(tmp_path):
    sequences = [aecg_sequence(f"MDC_ECG_LEAD_{lead}", "1 2") for lead in ("X", "V1", "II", "V3R", "I")]
    assert read_aecg(tmp_path, aecg_series([aecg_set(sequences)])).leads == ("I", "II", "V1", "X", "V3R")


LEAD_I = aecg_sequence("MDC_ECG_LEAD_I", "1 2")
BROKEN_AECG = {
    "no series": ([], "series of type none"),
    "no set": ([aecg_series([])], "no sequenceSet"),
    "no lead": ([aecg_series([aecg_set([])])], "1 time sequences and 0 leads"),
    "two rhythms": ([aecg_series([aecg_set([LEAD_I])])] * 2, "2 rhythm series"),
    "lead twice": ([aecg_series([aecg_set([LEAD_I, LEAD_I])])], "duplicate lead(s) I"),
    "no unit": ([aecg_series([aecg_set([LEAD_I.replace(' unit="uV"', "")])])], "unit of origin of lead I is ''"),
    "no voltage": ([aecg_series([aecg_set([LEAD_I.replace("uV", "mmHg")])])], "lead I is 'mmHg'; known: nV, uV"),
    "no scale": ([aecg_series([aecg_set([LEAD_I.replace("scale", "x")])])], "no scale of lead I"),
    "scale 0": ([aecg_series([aecg_set([LEAD_I.replace('"5"', '"0"')])])], "scale of lead I is 0"),
    "scale of words": ([aecg_series([aecg_set([LEAD_I.replace('"5"', '"five"')])])], "scale of lead I is 'five'"),
    "digits of words": ([aecg_series([aecg_set([LEAD_I.replace("1 2", "1 two")])])], "digits of lead I"),
    "no digits": ([aecg_series([aecg_set([LEAD_I.replace("1 2", "")])])], "no samples"),
    "another type": ([aecg_series([aecg_set([LEAD_I.replace("SLIST_PQ", "PQ")])])], "lead I are PQ"),
    "lengths": ([aecg_series([aecg_set([LEAD_I, aecg_sequence("MDC_ECG_LEAD_II", "1")])])], "leads of 1 to 2 samples"),
    "increment 0": (
        [aecg_series([aecg_set([LEAD_I], 'value="0" unit="s"')])],
        "time increment is 0; expected a positive number",
    ),
    "unit of time": ([aecg_series([aecg_set([LEAD_I], 'value="2" unit="h"')])], "time increment is 'h'"),
    "no increment": ([aecg_series([aecg_set([LEAD_I]).replace("increment", "x")])], "without an increment"),
    "rate": ([aecg_series([aecg_set([LEAD_I], 'value="1e-300" unit="s"')])], "sampling rate"),
    "amplitude": ([aecg_series([aecg_set([LEAD_I.replace("1 2", "1 1e300")])])], "beyond"),
}


@pytest.mark.parametrize("series, message", BROKEN_AECG.values(), ids=list(BROKEN_AECG))
def test_an_aecg_that_cannot_be_read_says_why(tmp_path, series, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_aecg(tmp_path, *series)


# Groups of leads


def test_simultaneous_groups_are_joined(tmp_path):
    digital = ecg(20)
    halves = [aecg_set(aecg_sequences(digital[:, part], LEADS[part])) for part in (slice(6, 12), slice(0, 6))]
    recording = read_aecg(tmp_path, aecg_series(halves))
    assert_same(recording, expected(digital))
    assert recording.notes == ("2 simultaneous groups joined",)
    assert recording.duration is None


def test_columns_of_a_paper_ecg_are_refused(tmp_path):
    digital = ecg(20)
    columns = [
        aecg_set(aecg_sequences(digital[:, i : i + 3], LEADS[i : i + 3]), head=f"2002112209100{i}")
        for i in (0, 3, 6, 9)
    ]
    with pytest.raises(
        InputError, match=r"leads in 4 groups of which the file does not say that they are simultaneous"
    ):
        read_aecg(tmp_path, aecg_series(columns))


def test_a_rhythm_strip_beside_twelve_leads_is_left_out(tmp_path):
    digital = ecg(20)
    strip = dicom_group(digital[:, 1:2].repeat(4, axis=0), [dicom_channel("Lead II")])
    recording = dicom.read(write_dicom(tmp_path / "x.dcm", strip, dicom_group(digital)))
    assert_same(recording, expected(digital))
    assert recording.notes == ("the leads with most and longest data were taken of 2 groups",)


def test_groups_without_a_stated_time_are_not_joined(tmp_path):
    digital = ecg(20)
    halves = [
        dicom_group(digital[:, part], [dicom_channel(f"Lead {lead}") for lead in LEADS[part]])
        for part in (slice(0, 6), slice(6, 12))
    ]
    with pytest.raises(InputError, match="simultaneous"):
        dicom.read(write_dicom(tmp_path / "x.dcm", *halves))
    for half in halves:
        half.MultiplexGroupTimeOffset = "0"
    assert_same(dicom.read(write_dicom(tmp_path / "x.dcm", *halves)), expected(digital))


# DICOM


def test_a_dicom_sample_is_scaled_corrected_and_offset(tmp_path):
    channels = [
        dicom_channel("Lead I", sensitivity="2.5", ChannelSensitivityCorrectionFactor="2", ChannelBaseline="100"),
        dicom_channel("Lead II", sensitivity="0.01", unit="mV"),
        dicom_channel("Lead III", sensitivity="-1", unit="uV"),
    ]
    path = write_dicom(tmp_path / "x.dcm", dicom_group(np.array([[100, 100, 100], [-20, 0, 1]]), channels))
    recording = dicom.read(path)
    np.testing.assert_allclose(recording.signal, [[0.6, 1.0, -0.1], [0.0, 0.0, -0.001]], atol=1e-7)
    assert recording.notes == ("negative step in III: the file turns the signal upside down",)


@pytest.mark.parametrize(
    "code, meaning, lead",
    [
        ("5.6.3-9-1", "Lead I (Einthoven)", "I"),
        ("2:62", "aVR, augmented voltage, right", "aVR"),
        ("2:1", "", "I"),
        ("2:8", "anything", "V6"),
        ("5.6.3-9-64", "", "aVF"),
        ("MDC_ECG_LEAD_AVL", "", "aVL"),
        ("", "Lead V3", "V3"),
        ("", "II", "II"),
        ("2:65", "Lead -aVR", "Lead -aVR"),
    ],
)
def test_a_dicom_lead_is_named_by_code_or_meaning(tmp_path, code, meaning, lead):
    group = dicom_group(np.array([[1], [2]]), [dicom_channel(meaning, code)])
    assert dicom.read(write_dicom(tmp_path / "x.dcm", group)).leads == (lead,)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_every_transfer_syntax_gives_the_same_recording(tmp_path, syntax):
    path = write_dicom(tmp_path / "x.dcm", dicom_group(ecg()), syntax=syntax)
    assert_same(dicom.read(path), expected(ecg()))


def test_a_big_endian_file_gives_the_same_recording(tmp_path):
    path = write_dicom(tmp_path / "x.dcm", dicom_group(ecg(), dtype=">i2"), syntax=ExplicitVRBigEndian)
    assert_same(dicom.read(path), expected(ecg()))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_dicom_file_without_preamble_is_known_and_read(tmp_path, syntax):
    path = write_dicom(tmp_path / "x", dicom_group(ecg()), syntax=syntax, whole=False)
    with open(path, "rb") as file:
        head = file.read(4096)
    assert head[128:132] != b"DICM"
    assert dicom.matches(path, head)
    assert_same(dicom.read(path), expected(ecg()))


@pytest.mark.parametrize("dtype", ["<i1", "<u1", "<i2", "<u2", "<i4"])
def test_every_width_of_sample_is_read(tmp_path, dtype):
    digital = np.array([[5, 7, 100], [0, 1, 127], [3, 2, 1]])
    channels = [dicom_channel(f"Lead {lead}") for lead in LEADS[:3]]
    data = digital.astype(dtype).tobytes()
    group = dicom_group(digital, channels, dtype, WaveformData=data + b"\0" * (len(data) % 2))
    assert_same(dicom.read(write_dicom(tmp_path / "x.dcm", group)), expected(digital, LEADS[:3]))


def test_dicoms_padding_value_is_a_gap(tmp_path):
    digital = ecg(20)
    digital[3, 4] = digital[19, 11] = -32768
    recording = dicom.read(write_dicom(tmp_path / "x.dcm", dicom_group(digital, WaveformPaddingValue=b"\0\x80")))
    assert recording.gaps == 2
    np.testing.assert_array_equal(np.argwhere(~recording.valid), [[3, 4], [19, 11]])


def test_a_padding_value_that_is_a_voltage_is_padding_only_at_the_ends(tmp_path):
    digital = ecg(20)
    digital[[3, 9], [4, 4]] = digital[6] = digital[[0, 18, 19]] = 0
    recording = dicom.read(write_dicom(tmp_path / "x.dcm", dicom_group(digital, WaveformPaddingValue=b"\0\0")))
    np.testing.assert_array_equal(np.flatnonzero(~recording.valid.any(axis=1)), [0, 18, 19])
    assert recording.valid[1:18].all()


def test_a_dicom_channel_that_was_disconnected_is_invalid(tmp_path):
    channels = [dicom_channel("Lead I"), dicom_channel("Lead II", ChannelStatus=["DISCONNECTED"])]
    recording = dicom.read(write_dicom(tmp_path / "x.dcm", dicom_group(ecg(20)[:, :2], channels)))
    assert recording.valid[:, 0].all()
    assert not recording.valid[:, 1].any()
    assert recording.notes == ("lead II: state 'DISCONNECTED'",)


def test_what_dicom_says_of_a_channel_is_noted(tmp_path):
    channels = [dicom_channel("Lead I", ChannelDerivationDescription="II - III", ChannelSampleSkew="2")]
    recording = dicom.read(write_dicom(tmp_path / "x.dcm", dicom_group(ecg(20)[:, :1], channels)))
    assert recording.notes == (
        "lead I: derived by whoever made the file",
        "lead I: ChannelSampleSkew is 2, which was not applied",
    )


@pytest.mark.parametrize("mark", [{"WaveformOriginality": "DERIVED"}, {"MultiplexGroupLabel": "MEDIAN BEAT"}])
def test_a_dicom_median_beat_is_not_the_rhythm(tmp_path, mark):
    beat = dicom_group(ecg(900), **mark)
    path = write_dicom(tmp_path / "x.dcm", beat, dicom_group(ecg(20)))
    assert_same(dicom.read(path), expected(ecg(20)))
    with pytest.raises(InputError, match="only derived waveforms"):
        dicom.read(write_dicom(tmp_path / "y.dcm", beat))


def without(item, name):
    delattr(item, name)
    return item


def two_leads(**others):
    return [dicom_channel("Lead I", **others), dicom_channel("Lead II", **others)]


def small_group(channels=None, **others):
    return dicom_group(ecg(20)[:, :2], channels or two_leads(), **others)


BROKEN_DICOM = {
    "no waveform": (lambda: [], "no waveform in it (its kind is '12-lead ECG Waveform Storage')"),
    "no rate": (lambda: [without(small_group(), "SamplingFrequency")], "no SamplingFrequency"),
    "rate 0": (lambda: [small_group(SamplingFrequency="0")], "sampling rate"),
    "no data": (lambda: [without(small_group(), "WaveformData")], "no WaveformData"),
    "too little data": (lambda: [small_group(WaveformData=b"\0\0")], "2 bytes of samples"),
    "far too many samples": (lambda: [small_group(NumberOfWaveformSamples=2**32 - 1)], "x 4294967295 samples"),
    "no samples": (lambda: [small_group(NumberOfWaveformSamples=0)], "x 0 samples"),
    "channels": (lambda: [small_group(NumberOfWaveformChannels=3)], "2 channel definitions for 3 channels"),
    "mu-law": (lambda: [small_group(WaveformSampleInterpretation="MB")], "samples 'MB' of 16 bits"),
    "no sensitivity": (
        lambda: [small_group([without(c, "ChannelSensitivity") for c in two_leads()])],
        "no sensitivity",
    ),
    "sensitivity 0": (lambda: [small_group(two_leads(sensitivity="0"))], "sensitivity of lead I is 0 mV"),
    "no voltage": (lambda: [small_group(two_leads(unit="mm[Hg]"))], "unit of lead I is 'mm[Hg]'"),
    "code and meaning": (lambda: [small_group([dicom_channel("Lead I", "2:2")] * 2)], "they differ"),
    "no name": (lambda: [small_group([dicom_channel("")] * 2)], "lead named ''"),
    "lead twice": (lambda: [small_group([dicom_channel("Lead I")] * 2)], "duplicate lead(s) I"),
}


@pytest.mark.parametrize("waveforms, message", BROKEN_DICOM.values(), ids=list(BROKEN_DICOM))
def test_a_dicom_file_that_cannot_be_read_says_why(tmp_path, waveforms, message):
    path = write_dicom(tmp_path / "x.dcm", *waveforms())
    with pytest.raises(InputError, match=re.escape(message)):
        dicom.read(path)


def test_a_number_of_odd_length_is_refused_in_one_line(tmp_path):
    """pydicom raises an exception of its own for it."""
    path = write_dicom(tmp_path / "x.dcm", small_group(), syntax=ImplicitVRLittleEndian)
    with open(path, "rb") as file:
        data = file.read()
    tag = struct.pack("<HHI", 0x5400, 0x1004, 2)  # bits allocated
    assert data.count(tag) == 1
    with open(path, "wb") as file:
        file.write(data.replace(tag + b"\x10\0", struct.pack("<HHI", 0x5400, 0x1004, 1) + b"\x10"))
    with pytest.raises(InputError, match=r"x\.dcm: not a readable DICOM file"):
        dicom.read(path)


def test_a_deflated_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "limit_unpacked", lambda stored: 10_000)
    path = write_dicom(tmp_path / "x.dcm", dicom_group(ecg()), syntax=DeflatedExplicitVRLittleEndian)
    with pytest.raises(InputError, match="deflated part is cut off or exceeds 10000 bytes"):
        dicom.read(path)


# Philips Sierra XML


def test_xli_by_hand():
    """Values 3, 5, 57, 0 and start 3: 2*5 - 3 - 3 = 4, then 2*4 - 5 - (57 - 64) = 10; the last value is not used."""
    packed = pack_codes([0, 0, 0, 0, 3, 5, 57, 0, 1023])
    data = struct.pack("<ihh", len(packed), 1, 3) + packed
    np.testing.assert_array_equal(xli.decode(data, 1, 4), [[3], [5], [4], [10]])


def test_lzw_by_hand():
    """Codes 7, 256, 257, 1023: 256 is 7 7 while it is being defined, 257 is 7 7 7."""
    packed = pack_codes([7, 256, 257, 1023])
    data = struct.pack("<ihh", len(packed), 1, 0) + packed
    values = 7 * 256 + 7  # three of them: 1799, 1799, then flat
    np.testing.assert_array_equal(xli.decode(data, 1, 3), [[values], [values], [values]])


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "0 leads of 1"),
        (struct.pack("<ihh", 2**31 - 1, 1, 0) + b"x", "announces 2147483647 bytes of 1"),
        (struct.pack("<ihh", -1, 1, 0) + b"x", "announces -1 bytes"),
        (struct.pack("<ihh", 2, 1, 0) + pack_codes([300]), "code 300 before it is defined"),
        (struct.pack("<ihh", 3, 1, 0) + pack_codes([5, 6]), "holds 1 samples of 4"),
        (struct.pack("<ihh", 1250, 1, 0) + pack_codes(range(255, 1255 - 255)) + bytes(319), "holds"),
    ],
)
def test_damaged_xli_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        xli.decode(data, 1, 4)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_philips_is_read_in_either_encoding(tmp_path, encoding):
    path = write(tmp_path / "x.xml", philips_text(philips_content(ecg())), encoding)
    recording = philips.read(path)
    assert_same(recording, expected(ecg()))
    assert recording.duration == 1.0
    assert recording.notes == ("no calibration pulse at the end",)


def test_philips_resolution_is_microvolts_per_step(tmp_path):
    path = write(tmp_path / "x.xml", philips_text(philips_content(ecg()), resolution="2.5"), "utf-16")
    np.testing.assert_allclose(philips.read(path).signal, ecg() * 0.0025, atol=1e-6)


def test_a_philips_calibration_pulse_is_no_ecg(tmp_path):
    digital = ecg()
    digital[400:] = 0
    digital[420:450] = 200  # 1 mV in every lead
    recording = philips.read(write(tmp_path / "x.xml", philips_text(philips_content(digital)), "utf-16"))
    assert recording.valid[:400].all()
    assert not recording.valid[400:].any()
    assert recording.gaps == 0
    assert recording.notes == ("the last 100 samples are a calibration pulse",)


def test_philips_1_03_names_neither_leads_nor_compression_as_later_versions_do(tmp_path):
    changes = {"compression": None, "numberofleads": None, "leadlabels": None}
    changes |= {"compressmethod": "XLI", "compressflag": "True"}
    more = "<numberchannelsallocated>12</numberchannelsallocated>"
    text = philips_text(philips_content(ecg()), attributes=changes, more=more).replace("resolution", "signalresolution")
    assert_same(philips.read(write(tmp_path / "x.xml", text, "utf-8")), expected(ecg()))


def test_philips_without_compression_stores_leads_as_they_are(tmp_path):
    digital = ecg()
    packed = base64.b64encode(digital.T.astype("<i2").tobytes()).decode()
    plain = " ".join(map(str, digital.T.ravel()))
    for content, encoding in ((packed, "Base64"), (plain, "Plain")):
        text = philips_text(content, attributes={"compression": "Uncompressed", "dataencoding": encoding})
        assert_same(philips.read(write(tmp_path / "x.xml", text, "utf-16")), expected(digital))


def test_philips_chunks_beyond_the_labelled_leads_are_ignored(tmp_path):
    content = base64.b64encode(base64.b64decode(philips_content(ecg())) + xli_chunk([0] * 500) * 4).decode()
    assert_same(philips.read(write(tmp_path / "x.xml", philips_text(content), "utf-16")), expected(ecg()))


BROKEN_PHILIPS = {
    "no rate": ({"rate": ""}, "sampling rate is ''"),
    "rate 0": ({"rate": "0"}, "sampling rate is 0; expected a positive number"),
    "no resolution": ({"resolution": ""}, "resolution is ''"),
    "resolution of words": ({"resolution": "five"}, "resolution is 'five'"),
    "another rate": ({"rate": "1000"}, "chunk 1 holds 500 samples of 1000"),
    "endless": ({"attributes": {"durationperchannel": "1e300"}}, "samples"),
    "no duration": ({"attributes": {"durationperchannel": None}}, "durationperchannel is ''"),
    "no labels": ({"attributes": {"leadlabels": "", "numberofleads": "16"}}, "number of leads is '16' with 12 labels"),
    "fewer labels": ({"attributes": {"leadlabels": "I II"}}, "number of leads is '12' with 2 labels"),
    "leads missing": ({"attributes": {"leadlabels": "I II V1", "numberofleads": "3"}}, "no lead III, aVR, aVL, aVF"),
    "leads renamed": ({"attributes": {"leadlabels": "I II V1 V1"}}, "number of leads"),
    "another encoding": ({"attributes": {"dataencoding": "Hex"}}, "waveforms 'Hex', 'XLI'; known"),
    "another compression": ({"attributes": {"compression": "ZIP"}}, "waveforms 'Base64', 'ZIP'; known"),
    "unsigned": ({"more": "<signalsigned>False</signalsigned>"}, "signalsigned is 'False'; only True is supported"),
    "offset": ({"more": "<signaloffset>2048</signaloffset>"}, "signaloffset is '2048'; only 0 is supported"),
    "bits": ({"attributes": {"bitspersample": "12"}}, "bitspersample is '12'; only 16 is supported"),
}


@pytest.mark.parametrize("changes, message", BROKEN_PHILIPS.values(), ids=list(BROKEN_PHILIPS))
def test_a_philips_file_that_cannot_be_read_says_why(tmp_path, changes, message):
    path = write(tmp_path / "x.xml", philips_text(philips_content(ecg()), **changes), "utf-16")
    with pytest.raises(InputError, match=re.escape(message)):
        philips.read(path)


@pytest.mark.parametrize(
    "content, message", [("AA@@", "not base64"), ("", "holds 0 leads of 12"), ("AAAAA", "not base64")]
)
def test_damaged_philips_samples_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        philips.read(write(tmp_path / "x.xml", philips_text(content), "utf-16"))


# GE MUSE XML


def read_muse(tmp_path, *waveforms):
    return muse.read(write(tmp_path / "x.xml", muse_text(*waveforms), "latin-1"))


def test_four_leads_of_a_muse_file_are_derived_by_hand(tmp_path):
    """I = 200 and II = 300 steps of 5 uV: 1.0 and 1.5 mV, little-endian."""
    leads = [muse_lead("I", [200, -200]), muse_lead("II", [300, 0]), muse_lead("V1", [1, 256])]
    recording = read_muse(tmp_path, muse_waveform(leads))
    assert recording.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1")
    np.testing.assert_allclose(recording.signal[0], [1.0, 1.5, 0.5, -1.25, 0.25, 1.0, 0.005], atol=1e-6)
    np.testing.assert_allclose(recording.signal[1], [-1.0, 0.0, 1.0, 0.5, -1.0, 0.5, 1.28], atol=1e-6)
    assert recording.notes == ("derived from I and II: III, aVR, aVL, aVF",)


def test_base64_may_end_without_its_equals_signs(tmp_path):
    data = base64.b64encode(np.array([200, -200], "<i2").tobytes()).decode()
    assert data.endswith("=")
    recording = read_muse(tmp_path, muse_waveform([muse_lead("V1", [200, -200], WaveFormData=data.rstrip("="))]))
    np.testing.assert_allclose(recording.signal[:, 0], [1.0, -1.0], atol=1e-6)


def test_leads_of_different_steps_are_derived_in_millivolts(tmp_path):
    leads = [
        muse_lead("I", [200]),
        muse_lead("II", [300], LeadAmplitudeUnitsPerBit="0.01", LeadAmplitudeUnits="MILLIVOLTS"),
    ]
    recording = read_muse(tmp_path, muse_waveform(leads))
    np.testing.assert_allclose(recording.signal[0], [1.0, 3.0, 2.0, -2.0, -0.5, 2.5], atol=1e-6)
    assert recording.notes[0] == "leads differ in microvolts per step: I 5, II 10"


def test_a_muse_file_with_all_leads_is_taken_as_it_is(tmp_path):
    digital = ecg(20)
    digital[:, 2] += 3  # not what Einthoven says: stored leads are not replaced
    recording = read_muse(tmp_path, muse_waveform([muse_lead(lead, digital[:, i]) for i, lead in enumerate(LEADS)]))
    assert_same(recording, expected(digital))
    assert recording.notes == ()


@pytest.mark.parametrize("base, exponent, rate", [(500, 0, 500), (250, None, 250), (1, 3, 1000), (5000, -1, 500)])
def test_a_muse_rate_is_base_times_a_power_of_ten(tmp_path, base, exponent, rate):
    waveform = muse_waveform([muse_lead("I", [1, 2])], SampleBase=base, SampleExponent=exponent)
    assert read_muse(tmp_path, waveform).sampling_rate == pytest.approx(rate)


def test_a_muse_lead_that_was_off_is_invalid_and_so_is_what_follows_from_it(tmp_path):
    leads = [muse_lead("I", [1, 2]), muse_lead("II", [1, 2], LeadOff="TRUE"), muse_lead("V1", [3, 4])]
    recording = read_muse(tmp_path, muse_waveform(leads))
    valid = dict(zip(recording.leads, recording.valid.all(axis=0), strict=True))
    assert valid == {"I": True, "II": False, "III": False, "aVR": False, "aVL": False, "aVF": False, "V1": True}
    assert "lead II: off, as the device says" in recording.notes


@pytest.mark.parametrize(
    "changes, note",
    [
        ({"LeadDataCRC32": 1}, "checksum of V1 differs from the file's: samples were changed after it"),
        ({"FirstSampleBaseline": 7}, "lead V1: FirstSampleBaseline is 7, which was not applied"),
        ({"LeadDataCRC32": None, "LeadSampleCountTotal": None}, None),
    ],
)
def test_what_does_not_fit_in_a_muse_file_is_noted(tmp_path, changes, note):
    recording = read_muse(tmp_path, muse_waveform([muse_lead("V1", [1, 2], **changes)]))
    np.testing.assert_allclose(recording.signal[:, 0], [0.005, 0.01])
    assert recording.notes == ((note,) if note else ())


def test_what_is_said_of_several_leads_is_one_note():
    found = groups.describe_leads(("I", "II", "V1"), (["off"], ["late", "off"], []))
    assert found == ["leads I, II: off", "lead II: late"]


def test_a_number_of_leads_that_does_not_fit_is_noted(tmp_path):
    recording = read_muse(tmp_path, muse_waveform([muse_lead("V1", [1, 2])], NumberofLeads=8))
    assert recording.notes == ("NumberofLeads is 8, 1 leads were found",)


BROKEN_MUSE = {
    "only a median beat": (
        lambda: [muse_waveform([muse_lead("I", [1])], "Median")],
        "type Median; expected a rhythm",
    ),
    "nothing": (lambda: [], "type none"),
    "no lead": (lambda: [muse_waveform([])], "no <LeadData>"),
    "no rate": (lambda: [muse_waveform([muse_lead("I", [1])], SampleBase=None)], "<Waveform> has no <SampleBase>"),
    "rate 0": (lambda: [muse_waveform([muse_lead("I", [1])], SampleBase=0)], "sampling rate"),
    "exponent": (lambda: [muse_waveform([muse_lead("I", [1])], SampleExponent=400)], "SampleExponent is 400"),
    "lengths": (lambda: [muse_waveform([muse_lead("I", [1]), muse_lead("II", [1, 2])])], "leads of 1 to 2 samples"),
    "lead twice": (lambda: [muse_waveform([muse_lead("V1", [1])] * 2)], "duplicate lead(s) V1"),
}
BROKEN_MUSE |= {
    f"{field} {value}": (
        lambda field=field, value=value: [muse_waveform([muse_lead("I", [1, 2], **{field: value})])],
        text,
    )
    for field, value, text in (
        ("LeadID", None, "<LeadData> has no <LeadID>"),
        ("LeadAmplitudeUnits", None, "<LeadData> has no <LeadAmplitudeUnits>"),
        ("LeadAmplitudeUnits", "BARS", "unit of LeadAmplitudeUnitsPerBit of lead I is 'BARS'"),
        ("LeadAmplitudeUnitsPerBit", None, "no <LeadAmplitudeUnitsPerBit>"),
        ("LeadAmplitudeUnitsPerBit", "0", "LeadAmplitudeUnitsPerBit of lead I is 0"),
        ("LeadAmplitudeUnitsPerBit", "nan", "LeadAmplitudeUnitsPerBit of lead I is 'nan'"),
        ("LeadSampleSize", "4", "LeadSampleSize of lead I is '4'"),
        ("LeadSampleCountTotal", "5000", "lead I has 2 samples, not 5000"),
        ("WaveFormData", None, "lead I has 0 bytes"),
        ("WaveFormData", "AQAC", "lead I has 3 bytes; expected two for each sample"),
        ("WaveFormData", "AQA*CAAA=", "WaveFormData of lead I is not base64"),
    )
}


@pytest.mark.parametrize("waveforms, message", BROKEN_MUSE.values(), ids=list(BROKEN_MUSE))
def test_a_muse_file_that_cannot_be_read_says_why(tmp_path, waveforms, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_muse(tmp_path, *waveforms())


# Units


@pytest.mark.parametrize(
    "unit, factor", [("nV", 1e-6), ("uV", 1e-3), ("µV", 1e-3), ("mV", 1), ("V", 1e3), ("MICROVOLTS", 1e-3)]
)
def test_a_unit_is_so_many_millivolts(unit, factor):
    assert groups.millivolts("x", "lead I", unit) == factor


# Real files

LAW = {name: weights for name, weights in LIMB_LEADS.items() if name not in ("I", "II")}


def assert_plausible(recording, tolerance):
    """Limb leads obey Einthoven and Goldberger, and amplitudes are a resting ECG's."""
    assert recording.leads == LEADS
    inside = recording.valid.all(axis=1)
    signal = recording.signal[inside]
    one, two = signal[:, 0], signal[:, 1]
    for name, (a, b) in LAW.items():
        np.testing.assert_allclose(signal[:, LEADS.index(name)], a * one + b * two, atol=tolerance, err_msg=name)
    ranges = np.percentile(signal, 99.5, axis=0) - np.percentile(signal, 0.5, axis=0)
    assert (ranges > 0.2).all(), ranges
    assert 0.5 < np.median(ranges) < 3, ranges


def test_a_real_dicom_file_is_read_as_pydicom_reads_it(shared):
    path = str(shared / "data" / "formats" / "dicom_ecg" / "anonymous_ecg_scrubbed.dcm")
    recording = dicom.read(path)
    assert recording.signal.shape == (10000, 12)
    assert recording.sampling_rate == 1000
    np.testing.assert_allclose(recording.signal, pydicom.dcmread(path).waveform_array(0) / 1000, atol=1e-6)
    assert_plausible(recording, tolerance=0.0013)  # a step is 1.25 uV


def test_hl7s_own_example_is_read(shared):
    path = shared / "data" / "formats" / "hl7_aecg" / "Example_aECG.xml"
    recording = aecg.read(str(path))
    assert recording.signal.shape == (5000, 12)
    assert recording.sampling_rate == 500
    assert recording.duration is None  # its times are whole seconds
    first = re.search(r"<digits>([^<]*)</digits>", path.read_text()).group(1)  # lead I, 2.5 uV a step
    np.testing.assert_allclose(recording.signal[:, 0], np.array(first.split(), float) * 0.0025, atol=1e-6)
    assert_plausible(recording, tolerance=0.0026)


@pytest.mark.parametrize(
    "name, pulse",
    [
        ("1_03_129DYPRG.XML", 236),
        ("1_04_01_2020-5-18_15-48-11.xml", 200),
        ("1_04_3191723_ZZDEMOPTONLY_1-04_orig.xml", 200),
        ("1_04_ad4d3d80-d165_1-04_orig.xml", 200),
    ],
)
def test_real_philips_files_are_read(shared, name, pulse):
    recording = philips.read(str(shared / "data" / "formats" / "philips_sierra_xml" / name))
    assert recording.signal.shape == (5500, 12)
    assert recording.sampling_rate == 500
    assert recording.duration == 11
    np.testing.assert_array_equal(recording.valid, np.repeat(np.arange(5500)[:, None] < 5500 - pulse, 12, axis=1))
    assert_plausible(recording, tolerance=0.0101)  # a step is 5 uV, and the device rounds twice


def test_every_real_file_is_of_one_of_these_formats(shared):
    folders = {"dicom": "dicom_ecg", "aecg": "hl7_aecg", "philips": "philips_sierra_xml"}
    for name, folder in folders.items():
        for path in (shared / "data" / "formats" / folder).iterdir():
            with open(path, "rb") as file:
                head = file.read(4096)
            assert [other for other, module in FORMATS.items() if module.matches(str(path), head)] == [name]
