"""Makes the pictures of the README from what the commands write: `python docs/pictures.py --ludb=DIR`.

The ECG page is a simulated recording. The report is on the weights `real` and LUDB, 200 real recordings in the folder
DIR. It needs Chromium.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import wfdb
from absl import app, flags
from PIL import Image

from ecg_jax.data.datasets import open_source
from ecg_jax.recording import LEADS
from ecg_jax.simulation import SAMPLING_RATE, criteria
from ecg_jax.simulation.simulator import Population, simulate_many

_LUDB = flags.DEFINE_string("ludb", None, "Folder of LUDB.", required=True)
_STATED = ("AFIB", "CRBBB")  # what is wrong with the simulated patient
_SCORED = ("abnormal", "AF", "SB", "MI", "CD", "HYP")
_PICTURES = Path(__file__).parent / "pictures"


def main(argv: list[str]) -> None:
    """Writes both."""
    del argv
    _PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _save(_draw_ecg(Path(folder)), "ecg.png")
        _save(_draw_report(Path(folder)), "report.png")


def _draw_ecg(folder: Path) -> Image.Image:
    """The page of the first simulated recording of 10 s of which a reader states `_STATED`."""
    ecgs = simulate_many(jax.random.split(jax.random.key(0), 512), Population(noise=0.5, faults=0.0), durations=(10.0,))
    columns = [criteria.NAMES.index(code) for code in _STATED]
    i = int(np.argmax(np.asarray(ecgs.truth["stated"])[:, columns].all(axis=1)))
    signal = np.asarray(ecgs.signal[i], float)[np.asarray(ecgs.valid[i])]
    header = {"fs": SAMPLING_RATE, "units": ["mV"] * 12, "sig_name": list(LEADS), "fmt": ["16"] * 12}
    wfdb.wrsamp("simulated", p_signal=signal, write_dir=str(folder), **header)
    _run(folder, "predict", "--figure", "--output=page.csv", "simulated.hea")
    [page] = folder.glob("page_figures/*.png")
    return Image.open(page)


def _draw_report(folder: Path) -> Image.Image:
    """The upper part of the report on `_SCORED`, as a reader of the page sees it."""
    ludb = open_source("ludb", source=_LUDB.value, labels=",".join(_SCORED), seed=0, options={})
    pd.DataFrame({"recording": ludb.ids, **ludb.columns}).to_csv(folder / "labels.csv", index=False)
    _run(folder, "predict", "--output=real.csv", os.path.abspath(_LUDB.value))
    predictions = pd.read_csv(folder / "real.csv")
    predictions[["recording", *_SCORED, *(f"{name}_raw" for name in _SCORED)]].to_csv(folder / "real.csv", index=False)
    _run(folder, "evaluate", "--predictions=real.csv", "--labels=labels.csv", "--partial", "--output=report")
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1300,1500", "--screenshot=report.png"]
    subprocess.run(["chromium", *options, f"file://{folder}/report/report.html"], check=True, cwd=folder)
    return Image.open(folder / "report.png")


def _run(folder: Path, verb: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "ecg_jax", verb, *arguments], check=True, cwd=folder)


def _save(picture: Image.Image, name: str) -> None:
    """Smaller, and of few colours."""
    width = 1200
    small = picture.convert("RGB").resize((width, picture.height * width // picture.width), Image.Resampling.LANCZOS)
    small.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        _PICTURES / name, optimize=True
    )


if __name__ == "__main__":
    app.run(main)
