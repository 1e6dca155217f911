"""What a file states twice and differently, checksums that fail, samples that no ECG has: found, said, refused."""

import re
import struct

import clinical_formats_test as clinical
import ecg_files
import numpy as np
import pytest
import wfdb
from ecg_files import LEADS

from ecg_jax.data import readers, verify
from ecg_jax.data.readers import scp
from ecg_jax.errors import InputError
from ecg_jax.recording import create_recording
from ecg_jax.simulation import textbook


def microvolts(seed=0):
    """A simulated ECG, `[samples, 12]` int16 at 400 Hz."""
    signal = textbook.simulate(np.random.default_rng(seed), np.zeros(6, bool), textbook.Conditions())
    return np.rint(signal * 1000).astype("<i2")


def refuse(path, policy="refuse"):
    with pytest.raises(InputError) as error:
        verify.enforce(readers.read(str(path)), policy)
    return str(error.value)


def write_record(folder, values, changed, **header):
    """A record whose header was written before the last samples of the first `changed` leads were."""
    path = ecg_files.write_wfdb(folder, values, rate=400, **header)
    damaged = values.copy()
    damaged[-1, :changed] += 5
    (folder / "rec.dat").write_bytes(damaged.tobytes())
    return path


def test_a_wfdb_checksum_that_fails_in_some_leads_is_noted(tmp_path):
    recording = readers.read(str(write_record(tmp_path, microvolts(), 6)))
    line = "checksum of I, II, III, aVR, aVL, aVF differs from the header's: samples were changed after it"
    assert recording.notes == (line,)
    assert recording.contradictions == ()
    assert verify.verify(recording) == ()


def test_a_wfdb_checksum_that_fails_in_most_leads_is_refused_unless_warnings_are_asked_for(tmp_path):
    path = write_record(tmp_path, microvolts(), 7)
    assert "rec: checksum of I, II, III, aVR, aVL, aVF, V1 differs" in refuse(path)
    assert "--checks=warn reads it as it is" in refuse(path)
    assert "no single repair fits" in refuse(path, "repair")
    _, findings = verify.enforce(readers.read(str(path)), "warn")
    assert [finding.check for finding in findings] == ["content"]


@pytest.mark.parametrize("form, message", [("212", "checksum of I, II"), ("80", None)])
def test_checksums_of_other_wfdb_formats_are_compared_too(tmp_path, form, message):
    values = microvolts() // (2 if form == "212" else 100)
    common = {"fs": 400, "units": ["mV"] * 12, "sig_name": list(LEADS), "fmt": [form] * 12}
    gains = {"adc_gain": [1000.0] * 12, "baseline": [0] * 12}
    wfdb.wrsamp("rec", d_signal=values.astype(np.int64), write_dir=str(tmp_path), **common, **gains)
    assert readers.read(str(tmp_path / "rec.hea")).notes == ()
    if message:
        data = bytearray((tmp_path / "rec.dat").read_bytes())
        data[3000:3100] = bytes(100)
        (tmp_path / "rec.dat").write_bytes(data)
        assert refuse(tmp_path / "rec.hea").count(message) == 1


def test_initial_values_that_are_not_the_first_samples_are_said(tmp_path):
    values = microvolts()
    path = ecg_files.write_wfdb(tmp_path, values, rate=400)
    lines = path.read_text().splitlines()
    fields = lines[1].split()
    fields[5] = str(values[0, 0] + 9)
    path.write_text("\n".join([lines[0], " ".join(fields), *lines[2:]]) + "\n")
    assert readers.read(str(path)).notes == ("first sample of I differs from the header's initial value",)


def test_zeros_for_checksums_and_initial_values_state_nothing(tmp_path):
    path = ecg_files.write_wfdb(tmp_path, microvolts(), rate=400)
    head, *lines = path.read_text().splitlines()
    blank = [" ".join([*line.split()[:5], "0", "0", *line.split()[7:]]) for line in lines]
    path.write_text("\n".join([head, *blank]) + "\n")
    recording = readers.read(str(path))
    assert recording.notes == recording.contradictions == ()


def test_a_segment_that_contradicts_itself_is_named(tmp_path):
    values = microvolts()[:2000]
    ecg_files.write_wfdb(tmp_path, values[:1000], "one", rate=400)
    write_record(tmp_path, values[1000:], 12)
    (tmp_path / "all.hea").write_text("all/2 12 400 2000\none 1000\nrec 1000\n")
    assert "all: segment rec: checksum of I, II" in refuse(tmp_path / "all.hea")


def test_muse_checksums_that_fail_in_most_leads_are_refused(tmp_path):
    digital = microvolts()[:, [0, 1, 6]] // 5
    stated = [{}, {"LeadDataCRC32": 1}, {"LeadDataCRC32": 1}]
    leads = [
        clinical.muse_lead(name, column, **changes)
        for name, column, changes in zip(("I", "II", "V1"), digital.T, stated, strict=True)
    ]
    path = clinical.write(tmp_path / "x.xml", clinical.muse_text(clinical.muse_waveform(leads)), "latin-1")
    assert "x.xml: checksum of II, V1 differs from the file's" in refuse(path)
    leads[1] = clinical.muse_lead("II", digital[:, 1], LeadDataCRC32=0)  # of a writer that computes none
    clinical.write(tmp_path / "x.xml", clinical.muse_text(clinical.muse_waveform(leads)), "latin-1")
    assert readers.read(path).contradictions == ()


def test_leads_that_are_derived_from_other_times_are_refused(tmp_path):
    digital = microvolts() // 5
    leads = [clinical.muse_lead("I", digital[:, 0]), clinical.muse_lead("II", digital[:, 1], LeadTimeOffset=2500)]
    path = clinical.write(tmp_path / "x.xml", clinical.muse_text(clinical.muse_waveform(leads)), "latin-1")
    assert "leads I and II begin at 0 and 2500: what is derived from both is no lead" in refuse(path)


def test_scp_bytes_that_changed_in_the_signal_are_refused_and_others_noted(tmp_path):
    content = ecg_files.scp_bytes(microvolts()[:, :8])
    path = tmp_path / "x.scp"
    for place, expected in ((-3, ("checksum of section 6 differs: its bytes were changed or lost",)), (0, ())):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        recording = readers.read(str(path))
        assert recording.contradictions == expected
        assert recording.notes == ("checksums do not fit: bytes were changed or lost",)


@pytest.mark.parametrize("change, there", [(0, 0), (-1, 1), (-2, 2)])
def test_scp_leads_fill_their_section(change, there):
    content = bytearray(ecg_files.scp_bytes(microvolts()[:, :8], compressed=True))
    place = scp.File(content).places[6] + 6  # of the first lead's size
    (size,) = struct.unpack_from("<H", content, place)
    struct.pack_into("<H", content, place, size + change)
    content[-1] = 1  # no padding
    said = scp.File(content).describe_lengths()
    numbers = [int(number) for line in said for number in re.findall(r"\d+", line)]
    assert numbers == ([] if change == 0 else [numbers[1] - there, numbers[1]])


@pytest.mark.parametrize(
    "attributes, line",
    [
        ({"resolution": "10"}, "the file states 10 and 5 for its resolution"),
        (
            {"samplespersecond": "250", "durationperchannel": "2000"},
            "the file states 250 and 500 for its sampling rate",
        ),
        ({"resolution": "5.0", "samplespersecond": "500"}, None),
    ],
)
def test_what_a_philips_file_states_in_two_places_is_compared(tmp_path, attributes, line):
    text = clinical.philips_text(clinical.philips_content(clinical.ecg()), attributes=attributes)
    recording = readers.read(clinical.write(tmp_path / "x.xml", text, "utf-16"))
    assert recording.contradictions == ((line,) if line else ())


def test_a_numpy_file_that_holds_more_than_its_header_announces_is_refused(tmp_path):
    path = ecg_files.write_npy(tmp_path)
    path.write_bytes(path.read_bytes() + bytes(8))
    with pytest.raises(InputError, match=r"its header announces \(500, 12\) of float64, 8 bytes more are there"):
        readers.read(str(path))


# Samples that no ECG has


def record(signal, **options):
    return create_recording(signal, leads=LEADS, sampling_rate=400, id="rec7", **options)


@pytest.mark.parametrize("value", [1e30, -2e3])
def test_a_sample_beyond_any_voltage_is_refused_and_a_repair_leaves_it_out(value):
    signal = microvolts() / 1000
    signal[100, 8] = value
    (finding,) = verify.verify(record(signal))
    assert finding.check == "samples"
    assert finding.message == f"1 sample(s) of V3 reach {abs(value):.3g} mV, beyond 1000 there is no ECG"
    with pytest.raises(InputError, match="rec7: 1 sample"):
        verify.enforce(record(signal), "refuse")
    mended, _ = verify.enforce(record(signal), "repair")
    assert mended.gaps == 1
    assert not mended.valid[100, 8]
    assert mended.signal[100, 8] == 0
    assert mended.notes == (f"repaired: {finding.message}",)


def test_samples_of_another_unit_are_a_matter_of_the_unit():
    signal = microvolts()
    assert np.abs(signal).max() > 1000
    assert [finding.check for finding in verify.verify(record(signal))] == ["unit"]


def test_many_such_samples_have_no_repair():
    signal = microvolts() / 1000
    signal[::20] = 1e30
    with pytest.raises(InputError, match="no single repair fits"):
        verify.enforce(record(signal), "repair")


def test_z_scores_have_a_limit_of_their_own():
    signal = microvolts() / 10
    assert verify.verify(record(signal, normalized=True)) == ()
    signal = signal.astype(np.float64)
    signal[3, 0] = 1e30
    (finding,) = verify.verify(record(signal, normalized=True))
    assert "standard deviations" in finding.message
