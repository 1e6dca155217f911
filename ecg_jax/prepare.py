"""Turns a data set into a prepared store, with a quality report: checked once, then read at full speed.

  python -m ecg_jax.prepare --dataset=ptbxl --source=DIR --output=stores/ptbxl
  python -m ecg_jax.prepare --dataset=folder --source=FOLDER_OF_ECG_FILES --output=stores/mine
  python -m ecg_jax.prepare --output=stores/ptbxl --verify
  python -m ecg_jax.prepare --output=stores/ptbxl --measure

Then train from it, as the last line says: --config.data.dataset=store --config.data.source=stores/ptbxl.

Every recording is read, compared with physics (lead order, unit, sampling rate), examined for
quality, brought to the leads, sampling rate and filters of the configuration's input contract
(--config.contract.sampling_rate=400 and so on) and written as int16 microvolts: prepare with the
--config that you will train with. A data set's own settings are those of the configuration too
(--config.data.ptbxl.sampling_rate=100).

Killed at any moment, the same command goes on from the last whole shard. On a store that
is complete it adds what is new in the source, and tries again what could not be read;
recordings that it holds are not read again, even if their files have changed.
--verify compares every shard with its checksum, and rebuilds those that are damaged.
--measure adds intervals and voltages of what the store holds (after its filters): heart_rate (per
minute), pr, qrs, qt, qtc, p_duration (ms) and axis (degrees), columns of the data set that make
subgroups and may be labels (data.label_kind=number); and R, S and ST of each lead (mV). Where
something cannot be measured nothing is stored. Given a whole store alone, it reads no other file.
What is added to a store that has them is measured too.
Exit status: 0; 1 if nothing could be done; 2 if some recordings were unreadable or
refused (problems.csv lists them) and the rest is whole.
"""

import dataclasses
import functools
import os
import shlex
import time
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from rich.console import Console

from ecg_jax import cli
from ecg_jax import config as config_lib
from ecg_jax.data.workers import count_cores
from ecg_jax.errors import InputError
from ecg_jax.interval_names import INTERVALS
from ecg_jax.runtime import startup
from ecg_jax.runtime.progress import show_progress

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, f"Its `contract` and `data` sections are used; default {cli.DEFAULT_CONFIG}.", lock_config=True
)
_DATASET = flags.DEFINE_string("dataset", None, "Short for --config.data.dataset.")
_SOURCE = flags.DEFINE_string("source", None, "Short for --config.data.source.")
_OUTPUT = flags.DEFINE_string("output", None, "The store's folder.", required=True)
_CHECKS = flags.DEFINE_string(
    "checks", None, "When physics contradicts a file: refuse, repair (and say so) or warn; default the configuration's."
)
_EXCLUDE = flags.DEFINE_list("exclude", [], "Quality flags whose recordings are left out, separated by commas.")
_WORKERS = flags.DEFINE_integer("workers", 0, "Processes; 0 for one per CPU core.", lower_bound=0)
_VERIFY = flags.DEFINE_bool("verify", False, "Compare every shard with its checksum; rebuild what is damaged.")
_MEASURE = flags.DEFINE_bool("measure", False, "Store heart rate, PR, QRS, QT, QTc, axis and voltages as columns.")


def main(argv: Sequence[str]) -> int:
    """Prepares, verifies or measures a store; see the module's docstring."""
    cli.refuse_arguments(argv)
    console = cli.create_console()
    folder = _OUTPUT.value
    if not folder:
        raise InputError("--output= names no folder; expected that of the store")
    from ecg_jax.data import store
    from ecg_jax.data.store import measurements

    measures = _MEASURE.value or measurements.was_begun(folder)
    if measures:
        startup.configure_allocator()
        startup.keep_programs()
    settings = _describe(folder)
    is_named = _DATASET.value is not None or _SOURCE.value is not None
    if _MEASURE.value and not _VERIFY.value and not is_named and store.is_store(folder):
        _measure(folder, console)
        return 0
    damaged = _find_damage(folder, console) if _VERIFY.value else []
    if damaged is None:
        if _MEASURE.value:
            _measure(folder, console)
        return 0
    return _prepare(folder, settings, damaged, measures, console)


def _describe(folder: str) -> Any:
    """How recordings are stored, and of which data set: as the flags say, or else as the store remembers."""
    from ecg_jax.contract import InputContract
    from ecg_jax.data.store import conversion

    config: ConfigDict = config_lib.check(_CONFIG.value)
    data = config_lib.to_dict(config)["data"]
    known = conversion.read_settings(folder)
    contract = InputContract.from_dict(config.contract)
    if _DATASET.value is None and _SOURCE.value is None and known:
        chosen = dataclasses.replace(
            known,
            contract=contract if _names_contract() else known.contract,
            checks=_CHECKS.value or known.checks,
            exclude=tuple(_EXCLUDE.value) or known.exclude,
        )
        if different := known.differences(chosen):
            raise InputError(f"{folder} was prepared in another way ({'; '.join(different)}); choose another --output")
        return known
    if _VERIFY.value:
        raise InputError(f"{folder}: no store to verify; --verify takes --output=STORE alone")
    dataset = _DATASET.value or data["dataset"]
    source = config_lib.make_source_absolute(dataset, data["source"] if _SOURCE.value is None else _SOURCE.value)
    if source and os.path.abspath(folder) in (source, os.path.dirname(source)):
        raise InputError(f"--output={folder} is the folder of the source; choose one for the store alone")
    used = {part.partition(":")[0].strip() for part in source.split(",")} if dataset == "combined" else {dataset}
    options = {name: dict(data[name]) for name in sorted(used) if isinstance(data.get(name), dict)}
    for section in options.values():
        section |= {key: os.path.abspath(value) for key, value in section.items() if key.endswith("_csv") and value}
        if not section.get("patient_column", True):  # as in stores from before there was this key
            del section["patient_column"]
    options = {name: section for name, section in options.items() if section}
    origin = {"dataset": dataset, "source": source, "seed": data["seed"], "options": options}
    return conversion.Settings(contract, _CHECKS.value or data["checks"], tuple(_EXCLUDE.value), origin)


def _names_contract() -> bool:
    """Whether the flags say anything of the contract, by a configuration or by its keys."""
    flag = flags.FLAGS["config"]
    is_default = config_flags.get_config_filename(flag) == cli.find_config(cli.DEFAULT_CONFIG)
    return not is_default or any(key.startswith("contract") for key in config_flags.get_override_values(flag))


def _measure(folder: str, console: Console) -> None:
    """Adds measurements to a whole store, where it lacks them."""
    from ecg_jax.data.store import measurements
    from ecg_jax.explanation import measuring

    began = time.monotonic()
    with show_progress(console, "measuring") as progress:
        count, failures = measurements.add(folder, measuring.create_measurer(), progress)
    seconds = time.monotonic() - began
    rate = (
        f" in {seconds:.0f} s, {count / seconds:.0f} per second"
        if count
        else ""
        if failures
        else "; all were measured before"
    )
    console.print(f"Measured {count} recordings{rate}: {', '.join(INTERVALS)}; R, S and ST of each lead")
    if failures:
        console.print(f"  {len(failures)} could not be measured, and will be tried again; {failures[0]}")


def _prepare(folder: str, settings: Any, damaged: list[str], measures: bool, console: Console) -> int:
    from ecg_jax import labels
    from ecg_jax.data import datasets, store
    from ecg_jax.data.store import conversion, messages, summary

    origin, kept = settings.origin, settings.to_dict()["contract"]
    console.print(f"Data: {origin['dataset']}{' in ' + origin['source'] if origin['source'] else ''}")
    filters = "".join(f", {name} {kept[name]:g} Hz" for name in ("highpass", "lowpass", "notch") if kept[name])
    console.print(
        f"Store: {folder}, {len(kept['leads'])} leads at {kept['sampling_rate']:g} Hz{filters}, int16 microvolts; "
        f"checks: {settings.checks}" + (f"; left out: {', '.join(settings.exclude)}" if settings.exclude else "")
    )
    open_dataset = functools.partial(datasets.open_source, **origin, labels=labels.ALL[0])
    workers = _WORKERS.value or count_cores()
    began = time.monotonic()
    with show_progress(console, "preparing") as progress:
        outcome = conversion.convert(
            folder, open_dataset, settings, damaged=damaged, workers=workers, progress=progress
        )
    seconds = time.monotonic() - began
    rate = f", {outcome.added / seconds:.0f} per second" if outcome.added else ""
    console.print(f"Added {outcome.added} recordings in {seconds:.0f} s{rate}; the store holds {outcome.recordings}")
    if measures:
        _measure(folder, console)
    report, made = _report(folder), store.Store(folder)
    for note in made.manifest["notes"]:
        console.print(f"  {note}")
    if "does not agree" in (scale := summary.describe_scale(made)):
        console.print(f"warning: {scale}", style="yellow")
    for line in messages.describe(line for lines in made.notes.values() for line in lines):
        console.print(f"  {line}")
    for reason, count in outcome.left_out.items():
        console.print(f"  left out, {reason}: {count}")
    if outcome.left_out:
        console.print(f"  every one of them, and why: {os.path.join(folder, store.PROBLEMS)}")
    console.print(f"Written: {folder}, report: {report}")
    console.print(f"Next: {_name_next(folder, settings.contract)}")
    return 2 if outcome.errors else 0


def _name_next(folder: str, contract: Any) -> str:
    """A command that trains from the store, configured as this one; where it has no labels, one that predicts."""
    from ecg_jax import next_command
    from ecg_jax.contract import InputContract
    from ecg_jax.training import starting_weights

    config, flag = _CONFIG.value, flags.FLAGS["config"]
    labels = next_command.choose_labels("store", folder, config.data.labels, config.data.label_kind)
    if not labels:
        return shlex.join(["ecg-jax", "predict", "--output=predictions.csv", folder])
    values: dict[str, Any] = {"data.dataset": "store", "data.source": folder, "data.labels": labels}
    for key, value in config_flags.get_override_values(flag).items():
        if not (key.startswith("data.") and key.count(".") > 1):  # of the data set that was prepared
            values.setdefault(key, value)
    usual = InputContract.from_dict(config.contract).to_dict()
    values |= {f"contract.{key}": value for key, value in contract.to_dict().items() if value != usual[key]}
    if not starting_weights.fit(config.init.weights, contract):
        values |= {"init.weights": ""} | ({"freeze.first_keras_layers": 0} if config.freeze.first_keras_layers else {})
    path = config_flags.get_config_filename(flag)
    named = [] if path == cli.find_config(cli.DEFAULT_CONFIG) else [f"--config={path}"]
    return shlex.join(["ecg-jax", "train", *named, *map(_spell, values, values.values())])


def _spell(key: str, value: object) -> str:
    """A flag that sets a key of the configuration."""
    return f"--config.{key}={','.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def _report(folder: str) -> str:
    """Writes the store's quality report; returns its path."""
    import datetime

    from ecg_jax.data.store import Store, excerpts, summary
    from ecg_jax.reporting import quality_report

    kept = Store(folder)
    path = os.path.join(folder, "report.html")
    problems, flags = summary.read_problems(kept), summary.count_flags(kept)
    dataset, source, command = summary.describe_origin(kept)
    report = quality_report.Report(
        dataset=dataset,
        source=source,
        command=command,
        date=datetime.date.today().isoformat(),
        contract=summary.describe_contract(kept),
        checks=kept.manifest["settings"]["checks"],
        normalized=kept.normalized,
        left_out=problems,
        left_out_kinds=summary.count_reasons(problems),
        cohort=summary.count_cohort(kept),
        labels=summary.count_labels(kept),
        flags=flags,
        examples={flag: [_draw(found) for found in excerpts.find(kept, flag)] for flag in flags.flag},
        measurements=summary.read_measurements(kept),
        scale=summary.describe_scale(kept),
        notes=summary.count_notes(kept),
        remarks=kept.manifest["notes"],
        repeats=summary.find_repeats(kept),
        split_patients=summary.count_split_patients(kept),
    )
    quality_report.write(path, report)
    return path


def _draw(excerpt: Any) -> Any:
    """An excerpt as a strip of the report."""
    from ecg_jax.reporting.ecg_strip import Strip

    piece, start = excerpt.recording, excerpt.start
    title = f"Recording {piece.id}{f', from {start:g} s' if start else ''}: {', '.join(excerpt.flags) or 'no flag'}"
    return Strip(title, piece.signal, piece.valid, piece.leads, piece.sampling_rate, piece.normalized)


def _find_damage(folder: str, console: Console) -> list[str] | None:
    """Names the shards that are to be written again; None where every file is whole."""
    from ecg_jax.data.store import conversion

    with show_progress(console, "verifying shards") as progress:
        shards, others = conversion.verify_store(folder, progress)
    for name, found in shards.items():
        console.print(f"  damaged: shard {name}: {found}")
    for name, found in others.items():
        console.print(f"  damaged: {name}: {found}")
    if not shards and not others:
        console.print(f"{folder}: every file is whole")
        return None
    console.print(f"Rebuilding {len(shards)} shard(s), and the index")
    return list(shards)


if __name__ == "__main__":
    cli.run(main, computes=False)
