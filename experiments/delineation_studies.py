"""What the delineator does with other inputs, kinds of beats and intervals.

  python experiments/delineation_studies.py --data=DIR

Prints: lead II of DIR (LUDB, with waves.csv) with one lead, at 100 Hz and with noise added; which kinds of beats are
called what, of simulated ECGs of ill patients with many paced and ectopic beats, and of DIR's patients; intervals
against those that the simulator drew.
"""

import argparse
import collections
import dataclasses
import glob
import os
import sys
from collections.abc import Callable

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import jax  # noqa: E402
from delineation import read_marks, tabulate  # noqa: E402

from ecg_jax.contract import Resample  # noqa: E402
from ecg_jax.data.filters import resample  # noqa: E402
from ecg_jax.data.readers import wfdb  # noqa: E402
from ecg_jax.explanation import matching  # noqa: E402
from ecg_jax.explanation.delineation import delineate_many, measure  # noqa: E402
from ecg_jax.recording import LEADS, Recording, create_recording  # noqa: E402
from ecg_jax.simulation import SAMPLING_RATE, rhythm  # noqa: E402
from ecg_jax.simulation.patients import Population  # noqa: E402
from ecg_jax.simulation.simulator import Simulated, simulate_many  # noqa: E402

ILL = Population(ill=1.0, rhythms=(0.5, 0.15, 0.05, 0.05, 0.05, 0.15, 0.03, 0.02), ventricular_ectopy=0.4)


def keep_lead(recording: Recording) -> Recording:
    """Lead II alone."""
    kept = [recording.leads.index("II")]
    return dataclasses.replace(
        recording, signal=recording.signal[:, kept], valid=recording.valid[:, kept], leads=("II",)
    )


def slow_down(recording: Recording) -> Recording:
    """At 100 Hz."""
    signal, valid = resample(Resample(recording.sampling_rate, 100.0), recording.signal, recording.valid)
    return dataclasses.replace(recording, signal=signal, valid=valid, sampling_rate=100.0)


def add_noise(recording: Recording) -> Recording:
    """White noise of 30 microvolts, wander of 0.3 mV at 0.3 Hz, mains of 20 microvolts at 50 Hz."""
    rng = np.random.default_rng(0)
    time = np.arange(len(recording.signal))[:, None] / recording.sampling_rate
    slow, mains = np.sin(2 * np.pi * 0.3 * time), np.sin(2 * np.pi * 50 * time)
    noise = rng.normal(0.0, 0.03, recording.signal.shape) + 0.3 * slow + 0.02 * mains
    return dataclasses.replace(recording, signal=(recording.signal + noise).astype(np.float32))


def study_inputs(folder: str) -> None:
    """Prints a table for each change of the recordings."""
    marks = read_marks(folder)
    recordings = [wfdb.read(os.path.join(folder, "data", f"{record}.hea")) for record in marks]
    changes: dict[str, Callable[[Recording], Recording]] = {
        "lead II alone": keep_lead,
        "100 Hz": slow_down,
        "noise": add_noise,
    }
    for name, change in changes.items():
        rows = [
            (
                "II",
                matching.compare(matching.collect(found.waves_by_lead["II"]), marks[record]["II"]),
            )
            for record, found in zip(marks, delineate_many(map(change, recordings)), strict=True)
        ]
        tabulate(rows, name)


def draw(seed: int, count: int, population: Population) -> tuple[Simulated, list[Recording]]:
    """Simulated ECGs."""
    drawn = jax.device_get(simulate_many(jax.random.split(jax.random.key(seed), count), population))
    recordings = [
        create_recording(signal[valid], leads=LEADS, sampling_rate=SAMPLING_RATE, id=str(i))
        for i, (signal, valid) in enumerate(zip(drawn.signal, drawn.valid, strict=True))
    ]
    return drawn, recordings


def study_kinds() -> None:
    """Prints how many complexes of each kind were called what."""
    drawn, recordings = draw(99, 120, ILL)
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for i, found in enumerate(delineate_many(recordings)):
        start, seconds = drawn.valid[i].argmax() / SAMPLING_RATE, drawn.valid[i].sum() / SAMPLING_RATE
        is_paced = drawn.truth["rhythm"][i] == rhythm.PACED
        for onset, is_ectopic in zip(drawn.truth["qrs_onsets"][i] - start, drawn.truth["is_ectopic"][i], strict=True):
            if 0.3 < onset < seconds - 0.5:
                kinds = [
                    wave["kind"] for wave in found.waves if wave["wave"] == "QRS" and abs(wave["onset"] - onset) < 0.08
                ]
                counts["ectopic" if is_ectopic else "paced" if is_paced else "usual", (*kinds, "none")[0]] += 1
    print("\nkind, called: complexes")
    for (kind, called), count in sorted(counts.items()):
        print(f"{kind:10}{called:10}{count:6}")


def study_patients(folder: str) -> None:
    """Prints in how many recordings whose headers state pacing or ventricular extrasystoles such beats are found."""
    groups: dict[str, list[collections.Counter[str]]] = {"paced": [], "ectopic": [], "neither": []}
    paths = sorted(glob.glob(os.path.join(folder, "data", "*.hea")))
    for path, found in zip(paths, delineate_many(map(wfdb.read, paths)), strict=True):
        with open(path) as file:
            text = file.read().lower()
        group = "paced" if " pacing" in text else "ectopic" if "ventricular extrasystole" in text else "neither"
        groups[group].append(collections.Counter(wave["kind"] for wave in found.waves if wave["wave"] == "QRS"))
    print("\nstated: recordings, with a paced beat, with an ectopic beat; beats paced, ectopic, usual")
    for name, each in groups.items():
        some = [sum(count[kind] > 0 for count in each) for kind in ("paced", "ectopic")]
        total = sum(each, collections.Counter())
        print(f"{name:10}{len(each):5}{some[0]:5}{some[1]:5}{total['paced']:7}{total['ectopic']:7}{total['usual']:7}")


def study_intervals() -> None:
    """Prints the median and the standard deviation of measured minus drawn."""
    drawn, recordings = draw(11, 40, Population())
    measured = [measure(one, found) for one, found in zip(recordings, delineate_many(recordings), strict=True)]
    print("\nmeasured minus drawn: median, SD")
    names = {"pr": "pr", "qrs": "qrs", "qt": "qt", "p_duration": "p", "heart_rate": "rate", "axis": "axis"}
    for name, truth in names.items():
        unit = 1.0 if name in ("heart_rate", "axis") else 1e3
        errors = np.array([getattr(each, name) for each in measured]) - unit * drawn.truth[truth]
        print(f"{name:12}{np.nanmedian(errors):8.1f}{np.nanstd(errors):8.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of waves.csv and data/")
    arguments = parser.parse_args()
    study_inputs(arguments.data)
    study_kinds()
    study_patients(arguments.data)
    study_intervals()
