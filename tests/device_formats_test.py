"""Formats of devices of which no real file may be had: each sample by hand, and what is refused."""

import os
import struct
import time

import device_files
import numpy as np
import pytest
from device_files import LEADS

from ecg_jax.data import readers
from ecg_jax.data.readers import library_record
from ecg_jax.errors import InputError

VOLTAGES = sorted({*device_files.WRITTEN} - {"edan"})


def digital():
    return np.array([[200, -400], [0, 100], [-1, 3]])


def read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return readers.read(tmp_path / name)


@pytest.mark.parametrize("name", VOLTAGES)
def test_one_ecg_is_the_same_in_every_format(tmp_path, name):
    recording = readers.read(device_files.write(tmp_path, name))
    np.testing.assert_allclose(recording.signal, device_files.digital() * 0.005, atol=1e-6)
    assert recording.leads == LEADS
    assert recording.sampling_rate == 500
    assert recording.valid.all()
    assert recording.notes == ()


@pytest.mark.parametrize("name", device_files.WRITTEN)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_a_truncated_file_is_read_or_refused_in_one_line(tmp_path, name, part):
    path = device_files.write(tmp_path, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    if name in ("ishne", "edan") and part > 0.02:  # samples follow each other to the end
        recording = readers.read(path)
        assert recording.leads == LEADS
        assert recording.notes
        return
    with pytest.raises(InputError) as caught:
        readers.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# CardioSoft


def test_a_cardiosoft_step_is_in_any_unit_of_voltage(tmp_path):
    text = device_files.cardiosoft_text(digital(), ("I", "AVR"), resolution="0.0048", unit="mVperLsb", rate="1000")
    recording = read(tmp_path, "x.xml", text)
    np.testing.assert_allclose(recording.signal, digital() * 0.0048, rtol=1e-6)
    assert (recording.leads, recording.sampling_rate) == (("I", "aVR"), 1000)


def test_a_number_of_leads_that_does_not_fit_in_a_cardiosoft_file_is_noted(tmp_path):
    recording = read(tmp_path, "x.xml", device_files.cardiosoft_text(digital(), ("I", "II"), count=12))
    assert recording.notes == ("NumberOfLeads is 12, 2 leads were found",)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"unit": ""}, "unit of Resolution is ''"),
        ({"resolution": "0"}, "Resolution is 0; expected a positive number"),
        ({"rate": "fast"}, "SampleRate is 'fast'; expected a number"),
        ({"total": 5000}, "lead I has 3 samples, not 5000"),
        ({"leads": ("I", "")}, "lead named ''"),
    ],
)
def test_a_cardiosoft_file_that_does_not_fit_is_refused(tmp_path, changes, message):
    text = device_files.cardiosoft_text(digital(), **{"leads": ("I", "II")} | changes)
    with pytest.raises(InputError, match=rf"x\.xml: {message}"):
        read(tmp_path, "x.xml", text)


def test_a_cardiosoft_file_without_a_strip_is_refused(tmp_path):
    with pytest.raises(InputError, match="0 strips with <WaveformData>; expected one, as of a resting ECG"):
        read(tmp_path, "x.xml", "<CardiologyXML><StripData/><FullDisclosure/></CardiologyXML>")


# Schiller


def test_schillers_averaged_beats_are_not_the_rhythm(tmp_path):
    waves = [device_files.schiller_wave(digital() * 9, ("I", "II"), kind="ECG_AVERAGES")]
    waves += [device_files.schiller_wave(digital(), ("I", "II"))]
    np.testing.assert_allclose(read(tmp_path, "x.xml", device_files.schiller_text(*waves)).signal, digital() * 0.005)


@pytest.mark.parametrize(
    "yres, step, notes",
    [
        ("<value>1</value><unit>mV</unit>", 1.0, 0),
        ("2.5", 0.0025, 1),
        ("<unitperbit>2500</unitperbit><units>nanovolt</units>", 0.0025, 0),
    ],
)
def test_a_schiller_step_is_what_the_resolution_states(tmp_path, yres, step, notes):
    text = device_files.schiller_text(device_files.schiller_wave(digital(), ("I", "II"), yres=yres))
    recording = read(tmp_path, "x.xml", text)
    np.testing.assert_allclose(recording.signal, digital() * step, rtol=1e-6)
    assert len(recording.notes) == notes


@pytest.mark.parametrize("exponent", ["", "<exponent>1</exponent>", "<exponent>0</exponent>"])
def test_a_schiller_rate_is_in_hertz_whatever_its_exponent(tmp_path, exponent):
    wave = device_files.schiller_wave(digital(), ("I", "II"), rate="250", more=exponent)
    assert read(tmp_path, "x.xml", device_files.schiller_text(wave)).sampling_rate == 250


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "wavedata of type none; expected a rhythm"),
        (device_files.schiller_wave(digital(), ("I", "II"), yres=""), "resolution yres is ''; expected a number"),
        (device_files.schiller_wave(digital(), ("I", "II"), rate="-1"), "sampling rate -1.0 Hz"),
        (
            device_files.schiller_wave(digital(), ("I", "II"), more="<exponent>2</exponent>"),
            "only 0 and 1 are supported",
        ),
        (device_files.schiller_wave(digital(), ("I", "I")), "duplicate lead"),
        (device_files.schiller_wave(digital(), ("I", "II")).replace(">3<", ">4<"), "lead I has 3 samples, not 4"),
        (
            device_files.schiller_wave(digital(), ("I", "II")).replace("COMMA", "HEX"),
            "samples of lead I are HEXSEPARATE",
        ),
    ],
)
def test_a_schiller_file_that_does_not_fit_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, "x.xml", device_files.schiller_text(text))


# Those that a library reads


def test_a_mortara_step_is_one_over_its_units_per_millivolt(tmp_path):
    text = device_files.mortara_text(digital(), ("I", "II"), units_per_mv=400, rate="333.3")
    recording = read(tmp_path, "x.xml", text)
    np.testing.assert_allclose(recording.signal, digital() / 400, rtol=1e-6)
    assert recording.sampling_rate == 333.3


def test_an_ishne_sample_is_in_nanovolts_and_a_fault_is_none(tmp_path):
    values = digital()
    values[1, 0] = -32768
    recording = read(tmp_path, "x.ecg", device_files.ishne_bytes(values, ("I", "V6"), resolution=2500, rate=200))
    np.testing.assert_allclose(recording.signal, [[0.5, -1], [0, 0.25], [-0.0025, 0.0075]], atol=1e-6)
    assert (recording.leads, recording.sampling_rate, recording.gaps) == (("I", "V6"), 200, 1)


def test_a_wrong_checksum_of_ishne_is_noted(tmp_path):
    content = bytearray(device_files.ishne_bytes(digital(), ("I", "II")))
    content[40] ^= 1
    assert "checksum mismatch" in read(tmp_path, "x.ecg", bytes(content)).notes[0]


def test_an_mfer_file_without_a_preamble_is_known_by_its_suffix(tmp_path):
    content = device_files.mfer_bytes(digital(), ("I", "aVL"), preamble=False, interval=(0, 0, 250))
    recording = read(tmp_path, "x.mwf", content)
    np.testing.assert_allclose(recording.signal, digital() * 0.005, rtol=1e-6)
    assert (recording.leads, recording.sampling_rate) == (("I", "aVL"), 250)


def test_an_edan_recording_is_two_files_without_a_voltage(tmp_path):
    head, data = device_files.edan_parts(digital() * [1, 2], ("I", "V5"), rate=250)
    (tmp_path / "ecgraw.dat").write_bytes(data)
    recording = read(tmp_path, "patient.hea", head)
    expected = digital() * [1, 2]
    np.testing.assert_allclose(recording.signal, (expected - expected.mean(axis=0)) / expected.std(axis=0), atol=1e-6)
    assert (recording.leads, recording.sampling_rate) == (("I", "V5"), 250)
    assert recording.normalized
    assert "states no voltage" in recording.notes[-1]
    assert [source.name for source in readers.find(tmp_path)] == [str(tmp_path / "patient")]


@pytest.mark.parametrize(
    "name, content, message",
    [
        (
            "x.ecg",
            device_files.ishne_bytes(digital(), ("I", "II"), resolution=0),
            "no voltage per step stated for lead I",
        ),
        ("x.mwf", device_files.mfer_bytes(digital(), ("I", "II"), step=None), "no voltage per step stated for lead I"),
        ("x.xml", device_files.mortara_text(digital(), ("I", "II"), units_per_mv=""), "no voltage per step stated"),
        ("x.xml", "<ECG><HEART/></ECG>", "<ECG> has 0 <CHANNEL>; Mortara's XML has 1 to 256"),
        ("x.xml", f"<ECG>{'<CHANNEL/>' * 60_000}</ECG>", "<ECG> has 60000 <CHANNEL>"),
        ("patient.hea", device_files.edan_parts(digital(), ("I", "II"))[0], "not a readable Edan file"),
        ("x.arc", b"patient.hea" * 10000, "patient.hea more than 16 times"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, name, content)


@pytest.mark.parametrize(
    "content",
    [
        device_files.mfer_tag(0x05, struct.pack(">I", 10**6)) + device_files.mfer_tag(0x1E, bytes(1 << 20)),
        b"\x67\x80" * 900 + device_files.mfer_tag(0x16, b"x") * 100_000,
        device_files.mfer_tag(0x05, b"\x80") + device_files.mfer_tag(0x1E, bytes(128)) * 30_000,
    ],
    ids=["channels", "depth", "waveforms"],
)
def test_an_mfer_file_that_would_cost_too_much_is_refused_at_once(tmp_path, content):
    started = time.perf_counter()
    with pytest.raises(InputError, match=r"at most 256, 200000 and 8 are read"):
        read(tmp_path, "x.mwf", content)
    assert time.perf_counter() - started < 2


def test_a_file_beyond_the_size_that_a_library_is_given_is_refused(tmp_path):
    path = device_files.write(tmp_path, "ishne")
    os.truncate(path, library_record.LARGEST_FILE + 1)
    with pytest.raises(InputError, match=r"268435457 bytes; ISHNE is read up to 268435456"):
        readers.read(path)


# XML


@pytest.mark.parametrize(
    "prologue",
    [
        "<!--" + "generated " * 2000 + "-->",
        "<!DOCTYPE RestingECG [<!-- ] > -->" + "<!ELEMENT Waveform ANY>" * 500 + "]>",
        '<?xml version="1.0"?>\n' + "\n" * 9000,
        "\n\n  <?xml version='1.0'?>",
        "<?xml version='1.0' encoding='UTF-8'?><!-- Gerät -->",
    ],
    ids=["comment", "document type", "blank lines", "blank lines before the declaration", "Latin-1 declared as UTF-8"],
)
def test_an_xml_file_is_known_by_its_root_wherever_that_comes(tmp_path, prologue):
    text = device_files.cardiosoft_text(digital(), ("I", "II")).partition("?>")[2]
    path = tmp_path / "x.xml"
    path.write_text(prologue + text, "latin-1")
    assert [source.name for source in readers.find(tmp_path)] == [str(path)]
    np.testing.assert_allclose(readers.read(path).signal, digital() * 0.005)


@pytest.mark.parametrize("content", [b"<!-- " * 10**6, b"<" + b"a" * 5_000_000, b"<?xml" + b"<!DOCTYPE a [" * 10**5])
def test_a_file_that_begins_like_xml_and_has_no_root_is_refused_at_once(tmp_path, content):
    (tmp_path / "x.xml").write_bytes(content)
    started = time.perf_counter()
    (source,) = readers.find(tmp_path)
    with pytest.raises(InputError, match=r"x\.xml: "):
        source.read()
    assert time.perf_counter() - started < 2
