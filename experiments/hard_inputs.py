"""What a network makes of the same ECGs with electrodes exchanged, leads missing, another gain, or little time.

  python experiments/hard_inputs.py --data=DIR [--model=real]

DIR is that of `zero_shot.py`. PTB-XL's fold 10 in millivolts is changed in one way after the other, and predicted with
`--checks=warn`; it chooses nothing. Exchanged cables change the limb leads as electrodes do (the legs count as one
place). Prints, for normal against abnormal, the AUROC with its 95 % interval, sensitivity and specificity at the
threshold of the model, the mean AUROC of the superclasses, and how many recordings have a quality flag that could be
raised, of all.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import zero_shot  # noqa: E402

from ecg_jax import pretrained as shipped  # noqa: E402
from ecg_jax.data import preprocess  # noqa: E402
from ecg_jax.data.datasets.dataset import Dataset  # noqa: E402
from ecg_jax.inference.model import load_model  # noqa: E402
from ecg_jax.recording import LEADS, Recording  # noqa: E402

CHEST, ELECTRODES = LEADS[6:], ("RA", "LA", "LL")  # the right leg, ground, is where the left one is
RAISED = ("swapped_limb_leads", "lead_reversal", "inverted", "zeroed_lead", "implausible_amplitude", "too_short")


def exchange(recording: Recording, cables: dict[str, str]) -> Recording:
    """Each of `ELECTRODES` at the place that it is given, as far as limb leads show it: potentials against the mean."""
    lead = dict(zip(recording.leads, recording.signal.T.astype(np.float64), strict=True))
    places = {"RA": -(lead["I"] + lead["II"]) / 3, "LA": (2 * lead["I"] - lead["II"]) / 3}
    places["LL"] = -(places["RA"] + places["LA"])
    right, left, leg = (places[cables.get(name, name)] for name in ELECTRODES)
    shift = (right + left + leg) / 3  # of the central terminal, which chest leads are measured against
    limbs = [left - right, leg - right, leg - left]
    limbs += [right - (left + leg) / 2, left - (right + leg) / 2, leg - (right + left) / 2]
    changed = lead | dict(zip(LEADS[:6], limbs, strict=True)) | {name: lead[name] - shift for name in CHEST}
    signal = np.stack([changed[name] for name in recording.leads], axis=1).astype(np.float32)
    return dataclasses.replace(recording, signal=signal)


def rename(recording: Recording, names: dict[str, str]) -> Recording:
    """Leads under other names."""
    return dataclasses.replace(recording, leads=tuple(names.get(name, name) for name in recording.leads))


def keep(recording: Recording, leads: tuple[str, ...]) -> Recording:
    """Some leads alone; what cannot be derived from them is masked, as `predict` does."""
    columns = [recording.leads.index(name) for name in leads]
    signal, valid = recording.signal[:, columns], recording.valid[:, columns]
    kept = dataclasses.replace(recording, signal=signal, valid=valid, leads=leads)
    return preprocess.mask_missing(kept, LEADS)[0]


def scale(recording: Recording, factor: float) -> Recording:
    """Another gain."""
    return dataclasses.replace(recording, signal=recording.signal * np.float32(factor))


def cut(recording: Recording, seconds: float) -> Recording:
    """The first seconds."""
    count = round(seconds * recording.sampling_rate)
    signal, valid = recording.signal[:count], recording.valid[:count]
    return dataclasses.replace(recording, signal=signal, valid=valid, duration=None)


REVERSED = dict(zip(CHEST, CHEST[::-1], strict=True))
WAYS: dict[str, Callable[[Recording], Recording]] = {
    "as recorded": lambda recording: recording,
    "arms exchanged": lambda recording: exchange(recording, {"RA": "LA", "LA": "RA"}),
    "left arm and left leg exchanged": lambda recording: exchange(recording, {"LA": "LL", "LL": "LA"}),
    "right arm and right leg exchanged": lambda recording: exchange(recording, {"RA": "LL"}),
    "V1 and V2 exchanged": lambda recording: rename(recording, {"V1": "V2", "V2": "V1"}),
    "V1 to V6 in reverse order": lambda recording: rename(recording, REVERSED),
    "upside down": lambda recording: scale(recording, -1.0),
    "half of the gain": lambda recording: scale(recording, 0.5),
    "twice the gain": lambda recording: scale(recording, 2.0),
    "without V1 to V6": lambda recording: keep(recording, LEADS[:6]),
    "lead II alone": lambda recording: keep(recording, ("II",)),
    "lead I alone": lambda recording: keep(recording, ("I",)),
    "4 s": lambda recording: cut(recording, 4.0),
    "2 s": lambda recording: cut(recording, 2.0),
}


def change(dataset: Dataset, way: Callable[[Recording], Recording]) -> Dataset:
    """A data set whose recordings are changed."""
    return dataclasses.replace(dataset, read=lambda number: way(dataset.read(number)))


def main() -> None:
    """Prints a row per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder of the data sets")
    parser.add_argument("--model", default=shipped.DEFAULT, help="a run folder; by default the weights that ship")
    options = parser.parse_args()
    model = load_model(options.model)
    with tempfile.TemporaryDirectory() as scratch:
        sets = {name: zero_shot.open_set(name, options.data, scratch) for name in zero_shot.PTBXL}
    folds = zero_shot.find_folds(sets)
    rows = {name: zero_shot.choose_rows(name, sets[name], folds, zero_shot.REPORTING) for name in sets}
    print(f"{'':34}{'abnormal':21}{'sens.':>7}{'spec.':>7}{'superclasses':>14}{'flagged':>9}")
    for name, way in WAYS.items():
        parts = [zero_shot.predict(model, change(sets[each], way), rows[each]) for each in sets]
        table = zero_shot.score(zero_shot.join(parts), model.thresholds).set_index("label")
        flags = np.concatenate([part.attributes["quality"] for part in parts])
        flagged = sum(any(flag in found for flag in RAISED) for found in flags.tolist())
        one, mean = table.loc["abnormal"], table.loc["superclasses, mean", "auroc"]
        auroc = f"{one['auroc']:.3f} ({one['auroc_low']:.3f}-{one['auroc_high']:.3f})"
        rates = f"{one['recall']:7.3f}{one['specificity']:7.3f}{mean:14.3f}"
        print(f"{name:34}{auroc:21}{rates}{flagged:5} of {len(flags)}", flush=True)


if __name__ == "__main__":
    main()
