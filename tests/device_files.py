"""Writes an ECG as CardioSoft, Schiller, Mortara, ISHNE, MFER and Edan store it; by hand, from their descriptions."""

import base64
import binascii
import struct

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def cardiosoft_text(values, leads=LEADS, *, resolution="5", unit="uVperLsb", rate="500", count=None, total=None):
    waves = [
        f'<WaveformData lead="{lead}">\n\t{",".join(map(str, column))},</WaveformData>'
        for lead, column in zip(leads, values.T, strict=True)
    ]
    count, total = len(leads) if count is None else count, len(values) if total is None else total
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?><CardiologyXML><ObservationType>RestECG</ObservationType>'
        '<RestingECGMeasurements><MedianSamples><WaveformData lead="I">9,9</WaveformData></MedianSamples>'
        f"</RestingECGMeasurements><StripData><NumberOfLeads>{count}</NumberOfLeads>"
        f'<SampleRate units="Hz">{rate}</SampleRate><ChannelSampleCountTotal>{total}</ChannelSampleCountTotal>'
        f'<Resolution units="{unit}">{resolution}</Resolution>{"".join(waves)}</StripData></CardiologyXML>'
    )


def schiller_wave(values, leads=LEADS, *, kind="ECG_RHYTHMS", rate="500", yres=None, more=""):
    yres = "<unitperbit>5</unitperbit><units>UV</units>" if yres is None else yres
    channels = [
        f"<channel><name>{lead}</name><datastype>COMMASEPARATE</datastype><samplecount>{len(column)}</samplecount>"
        f"<data>{','.join(map(str, column))}</data></channel>"
        for lead, column in zip(leads, values.T, strict=True)
    ]
    return (
        f"<wavedata><type>{kind}</type><resolution><samplerate>{more}<value>{rate}</value></samplerate>"
        f"<yres>{yres}</yres></resolution>{''.join(channels)}</wavedata>"
    )


def schiller_text(*waves):
    name = "com.xiriuz.sema.xml.schillerEDI.SchillerEDI"
    return f'<?xml version="1.0"?><{name}><eventdata><event>{"".join(waves)}</event></eventdata></{name}>'


def mortara_text(values, leads=LEADS, *, units_per_mv=200, rate="500"):
    form = 'OFFSET="0" BITS="16" FORMAT="SIGNED" ENCODING="BASE64"'
    channels = []
    for lead, column in zip(leads, values.T, strict=True):
        data = base64.b64encode(column.astype("<i2").tobytes()).decode()
        stated = f'UNITS_PER_MV="{units_per_mv}" SAMPLE_FREQ="{rate}" DURATION="{len(column)}"'
        channels.append(f'<CHANNEL NAME="{lead}" {stated} {form} DATA="{data}"/>')
    return f'<?xml version="1.0"?><ECG ACQUISITION_TIME="20200101120000"><SUBJECT ID="X"/>{"".join(channels)}</ECG>'


ISHNE_CODES = dict(zip(LEADS, range(5, 17), strict=True))


def ishne_bytes(values, leads=LEADS, *, resolution=5000, rate=500, codes=None):
    """`resolution` in nanovolts per step."""
    head = bytearray(512)
    struct.pack_into("<4ih", head, 0, 0, len(values), 522, 522, 1)
    struct.pack_into("<3h", head, 128, 1, 1, 2020)
    struct.pack_into("<h", head, 146, len(leads))
    struct.pack_into("<12h", head, 148, *(codes or [ISHNE_CODES[lead] for lead in leads]), *[-9] * (12 - len(leads)))
    struct.pack_into("<12h", head, 196, *[resolution] * len(leads), *[-9] * (12 - len(leads)))
    struct.pack_into("<h", head, 262, rate)
    checksum = binascii.crc_hqx(bytes(head), 0xFFFF)
    return b"ISHNE1.0" + struct.pack("<H", checksum) + bytes(head) + values.astype("<i2").tobytes()


MFER_CODES = dict(zip(LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))


def mfer_tag(tag, value, channel=None):
    length = bytes([len(value)]) if len(value) < 0x80 else b"\x84" + struct.pack(">I", len(value))
    return bytes([tag]) + (b"" if channel is None else bytes([channel])) + length + value


def mfer_bytes(values, leads=LEADS, *, step=(0, -9, 5000), interval=(1, -3, 2), preamble=True):
    """Little-endian, 5,000 nanovolts per step, 2 ms between samples; one sequence of all samples."""
    return b"".join(
        [
            mfer_tag(0x40, b"MFR Standard 12 leads ECG".ljust(32)) if preamble else b"",
            mfer_tag(0x01, b"\1"),
            mfer_tag(0x05, bytes([len(leads)])),
            mfer_tag(0x04, struct.pack("<I", len(values))),
            mfer_tag(0x06, b"\1"),
            mfer_tag(0x0B, struct.pack("<BbH", *interval)),
            mfer_tag(0x0C, struct.pack("<BbH", *step)) if step else b"",
            mfer_tag(0x0A, b"\0"),
            *(mfer_tag(0x3F, mfer_tag(0x09, bytes([MFER_CODES[lead]])), i) for i, lead in enumerate(leads)),
            mfer_tag(0x1E, values.T.astype("<i2").tobytes()),
            b"\x80\0",
        ]
    )


def edan_parts(values, leads=LEADS, *, rate=500):
    """`patient.hea` and `ecgraw.dat`."""
    head = bytearray(3672)
    struct.pack_into("<2IB", head, 4, 1_600_000_000, 1_600_000_000 + max(len(values) // rate, 1), len(leads))
    struct.pack_into("<h", head, 32, rate)
    for i, lead in enumerate(leads):
        head[1796 + 8 * i : 1796 + 8 * i + len(lead)] = lead.encode()
    return bytes(head), (values.astype(int) + 16384).astype("<u2").tobytes()


def edan_archive(values, leads=LEADS, **options):
    head, data = edan_parts(values, leads, **options)
    return b"EDAN" + b"patient.hea\0\0" + head + b"ecgraw.dat\0\0" + data


def digital(samples=500):
    """`[samples, 12]` int16 in steps of 5 microvolts."""
    return np.random.default_rng(0).integers(-400, 400, (samples, 12))


WRITTEN = {
    "cardiosoft": ("ecg.xml", lambda values: cardiosoft_text(values).encode("latin-1")),
    "schiller": ("ecg.xml", lambda values: schiller_text(schiller_wave(values)).encode()),
    "mortara": ("ecg.xml", lambda values: mortara_text(values).encode()),
    "ishne": ("ecg.ecg", ishne_bytes),
    "mfer": ("ecg.mwf", mfer_bytes),
    "edan": ("ecg.arc", edan_archive),
}


def write(folder, name, values=None):
    """Writes an ECG in microvolts, multiples of 5, or else noise."""
    file, encode = WRITTEN[name]
    (folder / file).write_bytes(encode(digital() if values is None else values // 5))
    return folder / file
