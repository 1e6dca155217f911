"""Writes one small ECG in every format, by hand or with the format's own library, never with a reader's code."""

import binascii
import functools
import json
import struct

import device_files
import h5py
import numpy as np
import scipy.io

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RATE = 500


def digital(samples=500, leads=12):
    """`[samples, leads]` int16 in microvolts."""
    return np.random.default_rng(0).integers(-2000, 2000, (samples, leads)).astype("<i2")


def choose(values):
    """An ECG of twelve leads in microvolts, or else noise."""
    return digital() if values is None else values


def choose_eight(values):
    """Of an ECG of twelve leads I, II and V1 to V6, or else noise."""
    return digital(leads=8) if values is None else values[:, [0, 1, *range(6, 12)]]


def heartbeats(samples=3000):
    """`[samples, 12]` int16 in microvolts, multiples of 5, at `RATE`: 70 beats a minute that obey Einthoven exactly."""
    rng, time = np.random.default_rng(0), np.arange(samples) / RATE
    peaks = np.cumsum(60 / 70 + rng.normal(0, 0.01, 2 + int(time[-1] * 70 / 60))) - 0.4
    waves = {-0.16: (0.15, 0.025), -0.03: (-0.1, 0.01), 0: (1.0, 0.012), 0.03: (-0.3, 0.012), 0.28: (0.3, 0.05)}
    shapes = [
        sum(size * np.exp(-(((time - peak - at) / width) ** 2) / 2) for peak in peaks)
        for at, (size, width) in waves.items()
    ]
    sizes = {  # of P, Q, R, S and T
        "I": (0.5, 0.6, 0.6, 0.3, 0.7),
        "II": (1, 1, 1, 1, 1),
        "V1": (0.4, 0, 0.3, 3, -0.3),
        "V2": (0.5, 0, 0.5, 4, 1.5),
        "V3": (0.5, 0.2, 0.9, 2.5, 1.6),
        "V4": (0.6, 0.7, 1.4, 1.5, 1.4),
        "V5": (0.6, 1, 1.3, 0.7, 1.1),
        "V6": (0.6, 1, 1.1, 0.3, 0.9),
    }
    steps = np.rint(200 * np.array(shapes).T @ np.array([*sizes.values()]).T + rng.normal(0, 1.2, (samples, 8))).astype(
        int
    )
    one, two = steps[:, 0] // 2 * 2, steps[:, 1] // 2 * 2
    derived = [two - one, -(one + two) // 2, one - two // 2, two - one // 2]
    return (5 * np.column_stack([one, two, *derived, steps[:, 2:]])).astype("<i2")


def wfdb_header(name, values, *, file=None, leads=LEADS, form="16", gain="1000(0)/mV", rate=RATE, first=None):
    lines = [f"{first or name} {len(leads)} {rate} {len(values)}"]
    for column, lead in zip(values.T, leads, strict=True):
        total = int(column.sum(dtype=np.int64)) & 0xFFFF
        lines.append(f"{file or name + '.dat'} {form} {gain} 16 0 {column[0]} {total - (total >> 15 << 16)} 0 {lead}")
    return "\n".join(lines) + "\n"


def write_wfdb(folder, values=None, name="rec", **header):
    values = digital() if values is None else values
    (folder / f"{name}.hea").write_text(wfdb_header(name, values, **header))
    (folder / f"{name}.dat").write_bytes(values.astype("<i2").tobytes())
    return folder / f"{name}.hea"


def write_challenge(folder, values=None, name="rec", **header):
    """WFDB with a MATLAB 4 `.mat`, as in the Challenges."""
    values = digital() if values is None else values
    head = struct.pack("<5i", 30, values.shape[1], len(values), 0, 4) + b"val\0"
    header = {"file": f"{name}.mat", "form": "16+24", "gain": "1000/mV"} | header
    (folder / f"{name}.hea").write_text(wfdb_header(name, values, **header))
    (folder / f"{name}.mat").write_bytes(head + values.astype("<i2").tobytes())
    return folder / f"{name}.hea"


def write_segments(folder, values=None):
    """WFDB of variable layout: two fifths of all leads, a gap of a fifth, two fifths of the first six."""
    values = digital() if values is None else values
    part = len(values) // 5
    lines = [f"~ 0 1000(0)/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    (folder / "layout.hea").write_text("\n".join([f"layout 12 {RATE} 0", *lines]) + "\n")
    write_wfdb(folder, values[: 2 * part], "one")
    write_wfdb(folder, values[3 * part :, :6], "two", leads=LEADS[:6])
    segments = f"layout 0\none {2 * part}\n~ {part}\ntwo {2 * part}\n"
    (folder / "rec.hea").write_text(f"rec/4 12 {RATE} {5 * part}\n{segments}")
    return folder / "rec.hea"


def write_code_hdf5(folder, values=None):
    values, rate = (digital(), 400) if values is None else (values, RATE)
    tracings = np.zeros((2, len(values) + 100, 12), np.float32)
    tracings[:, 50:-50] = values / 500
    with h5py.File(folder / "code.hdf5", "w") as file:
        file["tracings"], file["exam_id"] = tracings, [7, 5]
        file["tracings"].attrs.update(sampling_rate=rate, unit="code")
    return folder / "code.hdf5"


def write_sph_hdf5(folder, values=None):
    with h5py.File(folder / "sph.h5", "w") as file:
        file.create_dataset(
            "ecg", data=(choose(values) / 1000).T.astype(np.float16), compression="gzip", chunks=(12, 250)
        )
    return folder / "sph.h5"


def write_cpsc_mat(folder, values=None):
    content = {"sex": "Female", "age": 50, "data": choose(values).T / 1000}
    scipy.io.savemat(folder / "cpsc.mat", {"ECG": content}, do_compression=True)
    return folder / "cpsc.mat"


def write_cpsc_mat_plain(folder, values=None):
    content = {"sex": "Female", "age": 50, "data": choose(values).T / 1000}
    scipy.io.savemat(folder / "cpsc.mat", {"ECG": content})
    return folder / "cpsc.mat"


def write_sidecar(folder, name, **changes):
    said = {"leads": list(LEADS), "sampling_rate": RATE, "unit": "mV"} | changes
    (folder / f"{name}.json").write_text(json.dumps({key: value for key, value in said.items() if value is not None}))


def write_npy(folder, values=None):
    np.save(folder / "array.npy", choose(values) / 1000)
    write_sidecar(folder, "array")
    return folder / "array.npy"


def write_csv(folder, values=None):
    np.savetxt(folder / "table.csv", choose(values) / 1000, "%.3f", ",", header=",".join(LEADS), comments="")
    write_sidecar(folder, "table", leads=None)
    return folder / "table.csv"


def edf_bytes(values, labels, *, records=2, announced=None, unit="mV", physical=("-32.768", "32.767"), kind=""):
    """Signals of equal rate, each data record a second; 1 uV per step."""
    count, seconds = len(labels), records
    per_record = len(values) // seconds
    announced = records if announced is None else announced
    fields = [
        *[("0", 8), ("X X X X", 80), ("Startdate X X X X", 80), ("01.01.20", 8), ("00.00.00", 8)],
        *[(256 * (1 + count), 8), (kind, 44), (announced, 8), (1, 8), (count, 4)],
        *[(label, 16) for label in labels],
        *[("", 80)] * count,
        *[(unit, 8)] * count,
        *[(physical[0], 8)] * count,
        *[(physical[1], 8)] * count,
        *[(-32768, 8)] * count,
        *[(32767, 8)] * count,
        *[("", 80)] * count,
        *[(per_record, 8)] * count,
        *[("", 32)] * count,
    ]
    head = "".join(str(text).ljust(width) for text, width in fields).encode("latin-1")
    return head + values.reshape(seconds, per_record, count).transpose(0, 2, 1).astype("<i2").tobytes()


def write_edf(folder, values=None):
    records = 2 if values is None else len(values) // RATE
    (folder / "ecg.edf").write_bytes(edf_bytes(choose(values), [f"ECG {lead}" for lead in LEADS], records=records))
    return folder / "ecg.edf"


SCP_CODES = {"I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8}


def huffman(values):
    """SCP-ECG's default table: 0, then ones and a sign for 1 to 8, then 8 or 16 plain bits."""
    bits = []
    for value in map(int, values):
        if abs(value) <= 8:
            bits.append("1" * abs(value) + "0" + ("" if value == 0 else str(int(value < 0))))
        else:
            width = 8 if -128 <= value < 128 else 16
            bits.append(("1111111110" if width == 8 else "1111111111") + format(value & (1 << width) - 1, f"0{width}b"))
    text = "".join(bits)
    text += "0" * (-len(text) % 16)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def scp_section(number, body):
    body += b"\0" * (len(body) % 2)
    rest = struct.pack("<HIBB", number, 16 + len(body), 20, 20) + (b"SCPECG" if number == 0 else b"\0" * 6) + body
    return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest


def scp_bytes(values, *, compressed=False, multiplier=1000, interval=2000, starts=None, places=None):
    """Leads I, II, V1-V6; `multiplier` in nanovolts per step, `interval` in microseconds."""
    starts = starts or [1] * len(SCP_CODES)
    places = places or [(first, first + len(values) - 1) for first in starts]
    if compressed:  # first differences, in the default Huffman table
        leads = [huffman([column[0], *np.diff(column.astype(int))]) for column in values.T]
    else:
        leads = [column.astype("<i2").tobytes() for column in values.T]
    sizes = struct.pack(f"<{len(leads)}H", *map(len, leads))
    codes = SCP_CODES.values()
    definitions = b"".join(struct.pack("<IIB", *place, code) for place, code in zip(places, codes, strict=True))
    sections = {
        1: scp_section(1, struct.pack("<BH", 255, 0)),
        **({2: scp_section(2, struct.pack("<H", 19999))} if compressed else {}),
        3: scp_section(3, bytes([len(leads), 4 | len(leads) << 3]) + definitions),
        6: scp_section(6, struct.pack("<HHBB", multiplier, interval, int(compressed), 0) + sizes + b"".join(leads)),
    }
    place, pointers = 7 + 16 + 10 * 12, struct.pack("<HII", 0, 16 + 10 * 12, 7)
    for number in range(1, 12):
        length = len(sections.get(number, b""))
        pointers += struct.pack("<HII", number, length, place if length else 0)
        place += length
    rest = scp_section(0, pointers) + b"".join(sections.values())
    rest = struct.pack("<I", 6 + len(rest)) + rest
    return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest


def write_scp(folder, values=None):
    (folder / "ecg.scp").write_bytes(scp_bytes(choose_eight(values)))
    return folder / "ecg.scp"


def write_scp_huffman(folder, values=None):
    multiplier = 1000 if values is None else 20_000
    data = scp_bytes(choose_eight(values) // 20, compressed=True, multiplier=multiplier)
    (folder / "ecg.scp").write_bytes(data)
    return folder / "ecg.scp"


def write_clinical(name):
    """Those four are written in `clinical_formats_test`."""

    def write(folder, values=None):
        import clinical_formats_test as clinical

        values = clinical.ecg() if values is None else values.astype(int) // 5
        path = folder / f"{name}.{'dcm' if name == 'dicom' else 'xml'}"
        if name == "dicom":
            clinical.write_dicom(path, clinical.dicom_group(values))
        elif name == "aecg":
            sequences = clinical.aecg_set(clinical.aecg_sequences(values))
            path.write_text(clinical.aecg_text(clinical.aecg_series([sequences])))
        elif name == "muse":
            path.write_text(clinical.muse_eight(values), "latin-1")
        else:
            stated = {"durationperchannel": str(1000 * len(values) // RATE)}
            path.write_text(clinical.philips_text(clinical.philips_content(values), attributes=stated), "utf-16")
        return path

    return write


WRITERS = {
    "wfdb": write_wfdb,
    "wfdb_mat": write_challenge,
    "wfdb_segments": write_segments,
    "code_hdf5": write_code_hdf5,
    "sph_hdf5": write_sph_hdf5,
    "cpsc_mat": write_cpsc_mat,
    "cpsc_mat_plain": write_cpsc_mat_plain,
    "npy": write_npy,
    "csv": write_csv,
    "edf": write_edf,
    "scp": write_scp,
    "scp_huffman": write_scp_huffman,
    **{name: write_clinical(name) for name in ("dicom", "aecg", "philips", "muse")},
    **{name: functools.partial(device_files.write, name=name) for name in device_files.WRITTEN},
}
