"""Diagnoses ECG files: probabilities per recording, printed and as a CSV or JSON.

  python -m ecg_jax.predict my_ecg.hea
  python -m ecg_jax.predict --figure --output=results.json 'exams/*.dcm'
  python -m ecg_jax.predict --model=runs/finetune FOLDER...

Without --model, the weights that ship with the package are used: six diagnoses, normal against abnormal, superclasses
and statements, not for clinical use. --model is a name of such weights (real, the default, or simulated, trained on
simulated ECGs only), a run folder, a Keras file of the reference network (.hdf5, .h5, .keras), or the PyTorch file of
a network that others have published, as FILE or NAME:FILE (`python -m ecg_jax.models` lists them). Recordings are given
as a file, a folder, which is searched to its depths (links to folders are named, not followed), or a pattern. Whatever
looks like an ECG in a folder is predicted or listed at the end; the other files are counted.

Formats are recognized by content: WFDB (.hea with .dat or .mat), CODE and SPH HDF5, CPSC2018 MATLAB, DICOM, HL7 aECG,
Philips Sierra, GE MUSE, GE CardioSoft, Schiller and Mortara XML, SCP-ECG, EDF, EDF+ and BDF, ISHNE, MFER, Edan, and
NumPy (.npy), CSV or MATLAB (.mat with `val`) files of one recording with a sidecar NAME.json {"leads": [...],
"sampling_rate": 500, "unit": "mV"}, or else with --file_leads, --file_rate and --file_unit. HDF5 `tracings` are
described in the same way, or by attributes; otherwise CODE's 400 Hz and 2 units per mV are assumed, with a note, if
the file agrees with them.

The CSV has one row per recording: its name, one probability per label, the same before calibration as LABEL_raw (equal
where the model has none), and what was noticed about its quality and while it was read. JSON (--output=NAME.json) has
the thresholds and every window too. --figure draws each recording's twelve leads on ECG paper. A recording longer than
the model's input is predicted in windows, and its probabilities are their means; a lead that is missing and cannot be
derived is replaced by zeros; both are noted under quality. A recording whose lead order, unit or sampling rate
contradicts physics, or that contradicts itself (checksums, values stated twice), is not predicted, unless
--checks=repair (repairs what has one remedy, with a note) or --checks=warn (a note alone). What is not predicted is
listed at the end; the others are predicted all the same, and the exit status is 2. Where nothing can be predicted it
is 1, and no file is written.
"""

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from ecg_jax import cli, files
from ecg_jax.errors import InputError
from ecg_jax.recording import CHECKS, UNITS

if TYPE_CHECKING:
    from ecg_jax.data import readers

FLAGS = flags.FLAGS
flags.DEFINE_string("model", "real", "Weights that ship, a run folder, a Keras file, or a published PyTorch file.")
flags.DEFINE_string("output", "predictions.csv", "The file to write: .json for JSON, else CSV.")
flags.DEFINE_bool("figure", False, "Draw each recording on ECG paper, into a folder beside --output.")
flags.DEFINE_enum("figure_format", "png", ("png", "pdf", "svg"), "Of --figure.")
flags.DEFINE_integer("batch_size", 32, "Windows predicted at once.", lower_bound=1)
flags.DEFINE_list("leads", None, "Lead order of a Keras file; default I,II,III,aVR,aVL,aVF,V1,...,V6.")
flags.DEFINE_float("units_per_millivolt", None, "Unit of a Keras file; default 2, as CODE.", lower_bound=1e-6)
flags.DEFINE_float("sampling_rate", None, "Of a Keras file, in Hz; default 400, as CODE.", lower_bound=1e-6)
flags.DEFINE_list("names", None, "Labels of a Keras file's outputs, in their order.")
flags.DEFINE_enum("checks", "refuse", CHECKS, "When lead order, unit or rate contradict physics.")
flags.DEFINE_list("file_leads", [], "Leads of NumPy, CSV and .mat files without a sidecar, in their order.")
flags.DEFINE_float(
    "file_rate",
    None,
    "Sampling rate in Hz of NumPy, CSV, .mat and HDF5 `tracings` files without a sidecar.",
    lower_bound=0.0,
)
flags.DEFINE_enum(
    "file_unit",
    None,
    UNITS,
    "Unit of NumPy, CSV, .mat and HDF5 `tracings` files without a sidecar.",
    case_sensitive=False,
)
_TABLES = 10  # recordings at most that have a table of their own on the screen


def main(argv: Sequence[str]) -> int:
    """Predicts; see the module's docstring."""
    if len(argv) < 2:
        raise InputError("no recordings named; add the path of a file or a folder")
    path = FLAGS.output
    is_other = os.path.exists(path) and not os.path.isfile(path)
    if not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK) or is_other:
        raise InputError(f"--output={path}: not a file that can be written")

    from rich.progress import track

    from ecg_jax.inference import predict, writers
    from ecg_jax.inference.model import load_model

    console = cli.create_console()
    model = load_model(
        FLAGS.model,
        leads=tuple(FLAGS.leads or ()) or None,
        units_per_millivolt=FLAGS.units_per_millivolt,
        sampling_rate=FLAGS.sampling_rate,
        labels=tuple(FLAGS.names or ()) or None,
    )
    for note in model.notes:
        console.print(f"Model: {note}")
    recordings, unknown, passed_over = _find_recordings(argv[1:])
    problems = Counter(unknown)
    what = model.label_names if len(model.label_names) <= writers.MANY else (f"{len(model.label_names)} labels",)
    console.print(f"Predicting {', '.join(what)} for {len(recordings)} recording(s)")
    if passed_over:
        console.print(f"  {passed_over}")

    predicted = predict.predict(model, recordings, batch_size=FLAGS.batch_size, checks=FLAGS.checks, whole=True)
    tally = writers.Tally(model)
    pages = writers.Pages(f"{os.path.splitext(path)[0]}_figures", FLAGS.figure_format, model, FLAGS.checks)
    with files.Replacement(path, newline="", errors="backslashreplace") as replacement:
        table = writers.create_table(path, replacement.file, model)
        tracked = track(predicted, "predicting", len(recordings), console=console, disable=not console.is_terminal)
        for lazy, made in zip(recordings, tracked, strict=True):
            if made.error:
                problems[made.error] += 1
                continue
            table.add(made)
            tally.add(made)
            if len(recordings) <= _TABLES:
                writers.print_table(console, model, made)
            if FLAGS.figure:
                pages.add(lazy, made)
        table.close()
        if tally.count:
            replacement.commit()
    for problem, count in problems.items():
        console.print(f"  not predicted: {problem}{f' ({count} recordings)' if count > 1 else ''}")
    if not tally.count:
        console.print(f"Nothing is written to {path}: {problems.total()} could not be read")
        return 1
    for line in tally.describe():
        console.print(f"  {line}")
    for problem in pages.undrawn:
        console.print(f"  predicted, but not drawn: {problem}")
    if FLAGS.figure:
        console.print(f"Drawn: {pages.count} page(s) in {pages.folder}")
    console.print(f"Written: {path}, {tally.count} recording(s); {problems.total()} could not be read")
    return 2 if problems or pages.undrawn else 0


def _find_recordings(paths: Sequence[str]) -> "tuple[list[readers.LazyRecording], list[str], str]":
    """Recordings to predict, each once whatever paths name it; problems with paths; a line on files that are no ECG."""
    from ecg_jax.data import readers

    declared = None
    if FLAGS.file_leads or FLAGS.file_rate or FLAGS.file_unit:
        declared = readers.Declared(tuple(FLAGS.file_leads), FLAGS.file_rate, FLAGS.file_unit or "")
    recordings: dict[str, readers.LazyRecording] = {}
    problems = []
    passed_over: Counter[str] = Counter()
    for path in paths:
        try:
            found = readers.search(path, declared)
            passed_over.update(found.passed_over)
            for lazy in found.recordings:  # a record's .hea and .dat are one
                recordings.setdefault(os.path.abspath(lazy.name), lazy)
        except InputError as error:
            problems.append(" ".join(str(error).split()))
    return list(recordings.values()), list(dict.fromkeys(problems)), readers.describe_passed_over(passed_over)


if __name__ == "__main__":
    cli.run(main)
