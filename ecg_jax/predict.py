"""Diagnoses ECG files: probabilities (or numbers, as age) per recording, printed and as a CSV, JSON or Parquet.

  python -m ecg_jax.predict my_ecg.hea
  python -m ecg_jax.predict --figure --output=results.json 'exams/*.dcm'
  python -m ecg_jax.predict --model=runs/finetune FOLDER...
  python -m ecg_jax.predict --beam --output=all.parquet FOLDER... -- --runner=DaskRunner --dask_client_address=HOST:8786

Without --model, the weights that ship with the package are used: six diagnoses, normal against abnormal, superclasses
and statements, not for clinical use. --model is a name of such weights (real, the default, or simulated, trained on
simulated ECGs only), a run folder, a Keras file of the reference network (.hdf5, .h5, .keras), or the PyTorch file of
a network that others have published, as FILE or NAME:FILE (`python -m ecg_jax.models` lists them). Recordings are given
as a file, a folder, which is searched to its depths (links to folders are named, not followed), or a pattern. Whatever
looks like an ECG in a folder is predicted or listed at the end; the other files are counted. The folder of a prepared
store (`python -m ecg_jax.prepare`) is predicted too, alone.

Formats are recognized by content: WFDB (.hea with .dat or .mat), CODE and SPH HDF5, CPSC2018 MATLAB, DICOM, HL7 aECG,
Philips Sierra, GE MUSE, GE CardioSoft, Schiller and Mortara XML, SCP-ECG, EDF, EDF+ and BDF, ISHNE, MFER, Edan, and
NumPy (.npy), CSV or MATLAB (.mat with `val`) files of one recording with a sidecar NAME.json {"leads": [...],
"sampling_rate": 500, "unit": "mV"}, or folder.json for all such files in a folder, or else with --file_leads,
--file_rate and --file_unit. A column of times in a CSV gives the rate too, and a rate that contradicts it is refused; a
flag that contradicts a sidecar is not used, and that is noted. HDF5 `tracings` are described in the same way, or by
attributes; otherwise CODE's 400 Hz and 2 units per mV are assumed, with a note, if the file agrees with them.

The CSV has one row per recording: its name, one probability per label, the same before calibration as LABEL_raw (equal
where the model has none), and what was noticed about its quality and while it was read. JSON (--output=NAME.json) has
the thresholds and every window too; Parquet (--output=NAME.parquet) has the columns of the CSV. --measure adds heart
rate, PR, QRS, QT, QTc and axis, medians over beats (empty or null where unknown), and in JSON the onset and offset of
every P wave, QRS complex and T wave, in all leads together and in each. --figure adds the same and draws each
recording's twelve leads on ECG paper. --explain adds what speaks for a label: on a page as a shade behind the traces (a
page per label), and in JSON the shares of leads and waves; for the usual labels at or above their thresholds, or
--explain_labels, by --explain_method. A recording longer than the model's input is predicted in windows, and its
probabilities are their means (of a published network, what its authors take); a lead that is missing and cannot be
derived is replaced by zeros; both are noted under quality. A recording whose lead order, unit or sampling rate
contradicts physics, or that contradicts itself (checksums, values stated twice), is not predicted, unless
--checks=repair (repairs what has one remedy, with a note) or --checks=warn (a note alone). What is not predicted is
listed at the end; the others are predicted all the same, and the exit status is 2. Where nothing can be predicted it is
1, and no file is written.

--beam predicts millions of recordings on Apache Beam, whose options follow `--`: by --part_size at a time, in processes
of this machine (--direct_running_mode=multi_processing --direct_num_workers=N) or on a cluster, whose workers see the
recordings, the model and the folder of --output under the same paths. The rows are those of one process, in its order;
NAME_problems.csv lists what was not predicted. Interrupted, the same command goes on with the parts that are left.
"""

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from ecg_jax import beam, cli, files, recording_flags
from ecg_jax.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from ecg_jax.inference.model import Model
    from ecg_jax.inference.writers import Pages, Tally

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(recording_flags)
flags.DEFINE_string("output", "predictions.csv", "The file to write: .json for JSON, .parquet for Parquet, else CSV.")
flags.DEFINE_bool("measure", False, "Measure heart rate, PR, QRS, QT, QTc, axis and the times of waves.")
flags.DEFINE_bool("figure", False, "As --measure, and draw each recording on ECG paper, into a folder beside --output.")
flags.DEFINE_bool("explain", False, "As --measure, and say what speaks for labels: on pages (--figure) and in JSON.")
flags.DEFINE_list("explain_labels", [], "Labels for --explain; default the usual ones at or above their thresholds.")
flags.DEFINE_string("explain_method", None, "Of --explain; the names are in docs/explain.md.")
flags.DEFINE_enum("figure_format", "png", ("png", "pdf", "svg"), "Of --figure.")
flags.DEFINE_bool("beam", False, "Predict on Apache Beam, whose options follow `--`, into --output=FILE.parquet.")
flags.DEFINE_integer("part_size", 512, "Recordings that a worker of --beam predicts at a time.", lower_bound=1)
_TABLES = 10  # recordings at most that have a table of their own on the screen
_KINDS = 10  # of problems, at most, that --beam prints


def main(argv: Sequence[str]) -> int:
    """Predicts; see the module's docstring."""
    paths, beam_arguments = _split(argv[1:]) if FLAGS.beam else (list(argv[1:]), [])
    if not paths:
        raise InputError("no recordings named; add the path of a file or a folder")
    path = FLAGS.output
    recording_flags.require_output(path)
    if _is_explained() and not (FLAGS.figure or path.lower().endswith(".json")):
        raise InputError("--explain goes with --figure, or with --output=NAME.json: no other file has room for it")
    cli.refuse_flags(
        ({} if FLAGS.figure else {"figure_format": "--figure"}) | ({} if FLAGS.beam else {"part_size": "--beam"})
    )
    options = beam.create_options(beam_arguments) if FLAGS.beam else None

    from ecg_jax.inference import writers

    console = cli.create_console()
    model = recording_flags.load_model()
    for note in model.notes:
        console.print(f"Model: {note}")
    named = recording_flags.find(paths, path)
    what = model.label_names if len(model.label_names) <= writers.MANY else (f"{len(model.label_names)} labels",)
    console.print(f"Predicting {', '.join(what)} for {len(named.recordings)} recording(s)")
    if named.passed_over:
        console.print(f"  {named.passed_over}")

    pages = writers.Pages(f"{os.path.splitext(path)[0]}_figures", FLAGS.figure_format, model)
    if FLAGS.beam:
        tally, problems = _predict_on_beam(model, named, options, console)
    else:
        tally, problems = _predict_here(model, named, pages, console)
    for line in tally.describe() if tally.count else ():
        console.print(f"  {line}")
    _print_problems(problems, console)
    if not tally.count:
        console.print(f"Nothing is written to {path}: {problems.total()} could not be read")
        return 1
    for problem in pages.undrawn:
        console.print(f"  predicted, but not drawn: {problem}")
    if FLAGS.figure:
        console.print(f"Drawn: {pages.count} page(s) in {pages.folder}")
    console.print(f"Written: {path}, {tally.count} recording(s); {problems.total()} could not be read")
    return 2 if problems or pages.undrawn else 0


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Recordings, by absolute paths, since a worker may be in another folder; and Beam's options, which follow."""
    if not FLAGS.output.lower().endswith(".parquet"):
        raise InputError(f"--output={FLAGS.output}: --beam writes Parquet; pass --output=FILE.parquet")
    if FLAGS.figure:
        raise InputError("--figure draws in one process; pass --beam without it")
    count = next((i for i, argument in enumerate(arguments) if argument.startswith("--")), len(arguments))
    return [os.path.abspath(path) for path in arguments[:count]], list(arguments[count:])


def _is_explained() -> bool:
    return FLAGS.explain or bool(FLAGS.explain_labels or FLAGS.explain_method)


def _predict_here(
    model: "Model", named: recording_flags.Named, pages: "Pages", console: "Console"
) -> "tuple[Tally, Counter[str]]":
    """Predicts in this process; returns the sum, and how often what problem occurred."""
    from rich.progress import track

    from ecg_jax.inference import batches, measured, predict, writers

    path, problems = FLAGS.output, Counter(named.unknown)
    recordings = named.recordings
    is_explained = _is_explained()
    has_waves = FLAGS.measure or FLAGS.figure or is_explained
    how: Any = {"batch_size": FLAGS.batch_size, "checks": FLAGS.checks, "whole": True, "keep": has_waves}
    model = batches.suit_store(model, named.store)
    predicted = predict.predict(model, recordings, **how)
    if has_waves:
        predicted = measured.measure_all(predicted)
    if is_explained:
        from ecg_jax.inference import explained

        method = FLAGS.explain_method or explained.DEFAULT
        predicted = explained.explain_all(model, predicted, FLAGS.explain_labels, method)
    tally = writers.Tally(model)
    columns = tuple(measured.UNITS) if has_waves else ()
    with files.Replacement(path, **writers.choose_mode(path)) as replacement:
        table = writers.create_table(path, replacement.file, model, columns, is_explained)
        tracked = track(predicted, "predicting", len(recordings), console=console, disable=not console.is_terminal)
        for made in tracked:
            if made.error:
                problems[made.error] += 1
                continue
            table.add(made)
            tally.add(made)
            if len(recordings) <= _TABLES:
                writers.print_table(console, model, made)
            if FLAGS.figure:
                pages.add(made)
        table.close()
        if tally.count:
            replacement.commit()
    return tally, problems


def _predict_on_beam(
    model: "Model", named: recording_flags.Named, options: Any, console: "Console"
) -> "tuple[Tally, Counter[str]]":
    """The same on Beam's workers."""
    from ecg_jax.inference import parts, pipeline

    path = os.path.abspath(FLAGS.output)
    job = parts.Job(
        folder=f"{path}.parts",
        model=recording_flags.describe_model(),
        store=named.store.folder if named.store else "",
        batch_size=FLAGS.batch_size,
        checks=FLAGS.checks,
        measure=FLAGS.measure,
    )
    planned = parts.cut(named.groups, FLAGS.part_size, job, model)
    pipeline.run(planned, job, options, console)
    tally, problems = pipeline.join(planned, path, job, model, named.unknown)
    pipeline.remove(job.folder)
    return tally, problems


def _print_problems(problems: "Counter[str]", console: "Console") -> None:
    """Prints what was not predicted; of --beam, which may meet thousands, kinds, and where all are listed."""
    from ecg_jax.data.store import messages
    from ecg_jax.inference import pipeline

    if not FLAGS.beam:
        recording_flags.print_problems(console, "not predicted", problems)
        return
    kinds = messages.count_messages(problems)
    for problem, count in zip(kinds.message[:_KINDS], kinds.recordings[:_KINDS], strict=True):
        console.print(f"  not predicted: {problem}{f' (and {count - 1} more of this kind)' if count > 1 else ''}")
    if problems:
        console.print(f"  listed: {pipeline.name_problems(FLAGS.output)}")


if __name__ == "__main__":
    cli.run(main)
