"""Exchanged electrodes, missing leads and less time, as `experiments/hard_inputs.py` makes them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecg_jax.recording import LEADS, create_recording

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "experiments"))
import hard_inputs  # noqa: E402 - lies in experiments/

CHEST = np.arange(6) / 10


def record(right, left, leg):
    """Twelve leads of potentials in mV at three limbs, the same for four samples at 1 Hz."""
    limbs = [left - right, leg - right, leg - left]
    limbs += [right - (left + leg) / 2, left - (right + leg) / 2, leg - (right + left) / 2]
    leads = np.concatenate([limbs, CHEST + 1 - (right + left + leg) / 3])
    return create_recording(np.tile(leads, (4, 1)), leads=LEADS, sampling_rate=250, id="1")


@pytest.mark.parametrize(
    "way, places",
    [
        ("as recorded", (0.1, 0.4, 0.9)),
        ("arms exchanged", (0.4, 0.1, 0.9)),
        ("left arm and left leg exchanged", (0.1, 0.9, 0.4)),
        ("right arm and right leg exchanged", (0.9, 0.4, 0.9)),
    ],
)
def test_exchanged_cables_record_what_electrodes_at_the_other_places_would(way, places):
    changed = hard_inputs.WAYS[way](record(0.1, 0.4, 0.9))
    np.testing.assert_allclose(changed.signal, record(*places).signal, atol=1e-6)


def test_leads_are_renamed_left_out_and_cut():
    recording = record(0.1, 0.4, 0.9)
    v1, v2 = LEADS.index("V1"), LEADS.index("V2")
    swapped = hard_inputs.WAYS["V1 and V2 exchanged"](recording)
    assert (swapped.leads[v1], swapped.leads[v2]) == ("V2", "V1")
    assert hard_inputs.WAYS["V1 to V6 in reverse order"](recording).leads[6:] == LEADS[:5:-1]
    alone = hard_inputs.WAYS["lead II alone"](recording)
    assert alone.valid.any(axis=0).tolist() == [name == "II" for name in alone.leads]
    assert len(hard_inputs.cut(recording, 2 / 250).signal) == 2


@pytest.mark.slow
def test_the_page_of_limits_has_what_it_prints(shared):
    command = [sys.executable, ROOT / "experiments" / "hard_inputs.py", f"--data={shared / 'data'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "limits.md").read_text()
    for way in hard_inputs.WAYS:
        printed, shown = (re.search(rf"^\W*{way} +(\W*\d.*)$", text, re.MULTILINE)[1] for text in (done.stdout, page))
        printed, shown = ([float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)] for text in (printed, shown))
        np.testing.assert_allclose(shown[:6], printed[:6], atol=0.01, err_msg=way)
        assert abs(shown[6] - printed[6]) <= 2, way
