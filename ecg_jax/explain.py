"""Explains what a network calls: which samples, leads and waves speak for a label, on ECG paper, of one ECG or of many.

  python -m ecg_jax.explain my_ecg.hea
  python -m ecg_jax.explain --label=RBBB,CD --method=occlusion FOLDER...
  python -m ecg_jax.explain --label=RBBB --data=ludb:DIR --output=map.png
  python -m ecg_jax.explain --dose=pr --model=runs/finetune --output=pr.png

Recordings and --model are named as for `predict`. Each gets a page per label in the folder --output (default
explanations), NAME_LABEL.png, and pages.csv says whose it is; --figure_format=pdf or svg. The page says whether the
label is called, at or above its threshold. Behind the traces a shade shows what speaks for the label (orange) and
against it (blue, striped), on one scale for all leads, and a table has the share of each lead and wave. Without --label
these are the six diagnoses, superclasses and `abnormal` at or above their thresholds, or else `abnormal`, or the
nearest to its threshold. A long recording is shown from where the window begins in which the label is the most
probable.

--data takes the recordings of a data set, a prepared store or NAME:DIR, for the average map of one --label: the mean
beat of the recordings that have the label and in which the network finds it, beats aligned where QRS begins, with its
spread and the mean attribution in each lead; beside it the mean beat of those that neither have the label nor are
called. --split is test where the data set has one, else all; --recordings is the most that are averaged of either. The
numbers are written beside the figure (--output=map.png, default) as a CSV.

--dose sets one parameter of simulated ECGs to a row of values while all else stays, for dose and response: pr, rate,
qrs (normal pattern), qrs-right and qrs-left (of bundle branch blocks), qt, st-inferior, st-anterior, voltage. The
figure (--output=dose_pr.png, default) has the probability of each label that the dose decides, or of --label: mean over
--patients, the guideline's limit, and where the mean crosses the threshold and one half, which is printed. The curves
are written beside it as a CSV. Any model that `predict` takes will do.

--method is integrated_gradients, integrated_gradients_lowpass, smooth_gradient, grad_cam, occlusion or shapley; see
docs/explain.md. An explanation says what the network computes, not what the patient has; none of it is validated for
clinical use. Exit statuses are those of `predict`.
"""

import os
from collections import Counter
from collections.abc import Sequence

from absl import flags

from ecg_jax import cli, files, recording_flags
from ecg_jax.errors import InputError

FLAGS = flags.FLAGS
_DOSES = ("pr", "rate", "qrs", "qrs-right", "qrs-left", "qt", "st-inferior", "st-anterior", "voltage")
flags.adopt_module_key_flags(recording_flags)
flags.DEFINE_list("label", [], "Labels to explain; default the usual ones at or above their thresholds.")
flags.DEFINE_string("method", None, "How; see docs/explain.md.")
flags.DEFINE_string("output", None, "The folder of pages, or the file of a map or a dose.")
flags.DEFINE_enum("figure_format", "png", ("png", "pdf", "svg"), "Of pages.")
flags.DEFINE_string("data", None, "Instead of recordings: a prepared store, or NAME:DIR of a data set, for a map.")
flags.DEFINE_enum("split", None, ("train", "validation", "test", "all"), "Of --data; default test, or all.")
flags.DEFINE_integer("recordings", 200, "Of --data: as many with the label at most, and without.", lower_bound=1)
flags.DEFINE_enum("dose", None, _DOSES, "Instead of recordings: what is set in simulated ECGs.")
flags.DEFINE_integer("patients", 64, "Of --dose.", lower_bound=2)
_SUFFIXES = (".png", ".pdf", ".svg")


def main(argv: Sequence[str]) -> int:
    """Explains; see the module's docstring."""
    cli.refuse_flags(_list_idle_flags())
    if FLAGS.dose:
        return _draw_dose(argv)
    return _draw_map(argv) if FLAGS.data else _draw_pages(argv)


def _list_idle_flags() -> dict[str, str]:
    """Flags that would do nothing, and what they go with."""
    idle = {} if FLAGS.dose else {"patients": "--dose"}
    if not FLAGS.data:
        idle |= dict.fromkeys(("split", "recordings"), "--data")
    if FLAGS.data or FLAGS.dose:
        idle |= dict.fromkeys(recording_flags.FILE_FLAGS, "files of recordings")
        idle["figure_format"] = "pages of recordings; here the suffix of --output is the format"
    if FLAGS.dose:
        idle |= dict.fromkeys(("method", "checks"), "recordings or --data")
    return idle


def _draw_pages(argv: Sequence[str]) -> int:
    """The pages of recordings."""
    if len(argv) < 2:
        raise InputError("no recordings named; add the path of a file or a folder, or --data=NAME:DIR for a map")
    folder = FLAGS.output or "explanations"
    if os.path.splitext(folder)[1] in (*_SUFFIXES, ".json", ".csv"):
        raise InputError(f"--output={folder}: pages go to a folder; for JSON: predict --explain --output=NAME.json")
    cli.require_folder(folder)

    from rich.progress import track

    from ecg_jax.inference import batches, explained, measured, predict, writers
    from ecg_jax.inference.noticed import Noticed
    from ecg_jax.reporting import page_names

    console = cli.create_console()
    model = recording_flags.load_model()
    method = FLAGS.method or explained.DEFAULT
    for note in model.notes:
        console.print(f"Model: {note}")
    named = recording_flags.find(argv[1:], os.path.join(folder, page_names.INDEX))
    model, recordings, problems = batches.suit_store(model, named.store), named.recordings, Counter(named.unknown)
    console.print(f"Explaining {', '.join(FLAGS.label) or 'labels'} of {len(recordings)} recording(s) by {method}")
    if named.passed_over:
        console.print(f"  {named.passed_over}")
    predicted = predict.predict(
        model, recordings, batch_size=FLAGS.batch_size, checks=FLAGS.checks, whole=True, keep=True
    )
    made_all = explained.explain_all(model, measured.measure_all(predicted), FLAGS.label, method)
    pages, noticed = writers.Pages(folder, FLAGS.figure_format, model), Noticed()
    for made in track(made_all, "explaining", len(recordings), console=console, disable=not console.is_terminal):
        if made.error:
            problems[made.error] += 1
            continue
        noticed.add(vars(made))
        if not made.explanations:
            problems[f"{made.recording}: {made.quality}"] += 1
            continue
        pages.add(made)
        writers.print_explanations(console, model, made)
    for line in noticed.describe():
        console.print(f"  {line}")
    recording_flags.print_problems(console, "not explained", problems)
    for problem in pages.undrawn:
        console.print(f"  not drawn: {problem}")
    console.print(f"Drawn: {pages.count} page(s) in {folder}; {problems.total()} recording(s) without")
    return 1 if not pages.count else 2 if problems or pages.undrawn else 0


def _draw_map(argv: Sequence[str]) -> int:
    """The average map of a label over a data set."""
    path = FLAGS.output or "map.png"
    if len(argv) > 1 or len(FLAGS.label) != 1:
        raise InputError("--data goes with one --label=LABEL and without files of recordings")
    stem = _find_stem(path)

    from rich.progress import track

    from ecg_jax.inference import average_beat, evaluated_model, explained
    from ecg_jax.reporting import beat_map, ecg_shade
    from ecg_jax.training import elsewhere

    console, [label] = cli.create_console(), FLAGS.label
    model = recording_flags.load_model()
    method = FLAGS.method or explained.DEFAULT
    for note in model.notes:
        console.print(f"Model: {note}")
    dataset, _ = elsewhere.open_for_model(FLAGS.model, model, FLAGS.data, console, labels=[label])
    for note in dataset.notes:
        console.print(f"  {note}")
    split = FLAGS.split or evaluated_model.choose_split(dataset)
    rows = evaluated_model.find_rows(dataset, split)
    found = average_beat.average(
        model,
        dataset,
        rows,
        label,
        method,
        most=FLAGS.recordings,
        follow=lambda made, count: track(made, "explaining", count, console=console, disable=not console.is_terminal),
        batch_size=FLAGS.batch_size,
        checks=FLAGS.checks if dataset.reads_files else "warn",
    )
    for line in evaluated_model.describe_leaks(model.trained_on, dataset, rows):
        console.print(f"  {line}")
    table = beat_map.draw(found, path, f"Split {split}; model {model.title}. {ecg_shade.NOTICE} {model.notice}")
    with files.replacing(f"{stem}.csv", "w") as file:
        table.to_csv(file, index=False, float_format="%.6g")
    console.print(f"{label}: {len(found.beats)} of {found.counts[0]} recordings with it are called, and averaged")
    console.print(f"  beside {len(found.others)} of {found.counts[1]} without it, not called")
    if found.left_out:
        console.print(f"  not averaged, the first of {len(found.left_out)}: {found.left_out[0]}")
    console.print(f"  {ecg_shade.describe_shares(found.shares, found.leads)}")
    console.print(f"Written: {path} and {stem}.csv")
    return 0


def _draw_dose(argv: Sequence[str]) -> int:
    """The curves of a dose."""
    if len(argv) > 1 or FLAGS.data:
        raise InputError("--dose draws its own ECGs; it goes without files of recordings and without --data")
    path = FLAGS.output or f"dose_{FLAGS.dose}.png"
    stem = _find_stem(path)

    from rich.progress import track

    from ecg_jax.inference import dose_response
    from ecg_jax.reporting import dose_figure
    from ecg_jax.simulation.doses import DOSES

    console, dose = cli.create_console(), DOSES[FLAGS.dose]
    model = recording_flags.load_model()
    for note in model.notes:
        console.print(f"Model: {note}")
    console.print(f"{dose.title}, {len(dose.values)} values, {FLAGS.patients} simulated patients at each")
    response = dose_response.respond(
        model,
        dose,
        patients=FLAGS.patients,
        labels=FLAGS.label,
        batch_size=FLAGS.batch_size,
        follow=lambda values: track(values, FLAGS.dose, console=console, disable=not console.is_terminal),
    )
    caption = f"{model.title}, {FLAGS.patients} simulated patients. Not validated for clinical use."
    for row in dose_response.write(response, caption, path).itertuples():
        limits = " to ".join(f"{limit:g}" for limit in row.limits if limit == limit)
        guideline = f"; guideline {limits}" if limits else ""
        console.print(
            f"  {row.label} crosses {row.level} ({row.probability:.3f}): {dose_figure.show_crossing(row)} {dose.unit}"
            f"{guideline}"
        )
    console.print(f"Written: {path} and {stem}.csv")
    return 0


def _find_stem(path: str) -> str:
    """The path of a figure without its suffix; `InputError` where it cannot be written."""
    stem, suffix = os.path.splitext(path)
    if suffix not in _SUFFIXES:
        raise InputError(f"--output={path}: a figure is one of {', '.join(_SUFFIXES)}")
    recording_flags.require_output(path, f"{stem}.csv")
    return stem


if __name__ == "__main__":
    cli.run(main)
