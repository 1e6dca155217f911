"""Turns a data set into a prepared store, with a quality report: checked once, then read at full speed.

  python -m ecg_jax.prepare --dataset=ptbxl --source=DIR --output=stores/ptbxl
  python -m ecg_jax.prepare --dataset=folder --source=FOLDER_OF_ECG_FILES --output=stores/mine
  python -m ecg_jax.prepare --output=stores/ptbxl --verify

Then train from it: --config.data.dataset=store --config.data.source=stores/ptbxl.

Every recording is read, compared with physics (lead order, unit, sampling rate),
examined for quality, brought to the leads, sampling rate and filters of the
configuration's input contract (--config.contract.sampling_rate=400 and so on) and
written as int16 microvolts. A data set's own settings are those of the configuration too
(--config.data.ptbxl.sampling_rate=100).

Killed at any moment, the same command goes on from the last whole shard. On a store that
is complete it adds what is new in the source, and tries again what could not be read.
--verify compares every shard with its checksum, and rebuilds those that are damaged.
Exit status: 0; 1 if nothing could be done; 2 if some recordings were unreadable or
refused (problems.csv lists them) and the rest is whole.
"""

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecg_jax import cli
from ecg_jax import config as config_lib

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


def main(argv: Sequence[str]) -> int:
    """Prepares or verifies a store; see the module's docstring."""
    cli.refuse_arguments(argv)
    console = cli.create_console()
    folder = _OUTPUT.value
    origin, settings = _describe(folder)
    if _VERIFY.value and not _mend(folder, console):
        return 0
    return _prepare(folder, origin, settings, console)


def _describe(folder: str) -> tuple[dict[str, Any], Any]:
    """How the data set is opened and how its recordings are stored: as the flags say, or as the store remembers."""
    from ecg_jax.contract import InputContract
    from ecg_jax.data import store
    from ecg_jax.data.store import conversion

    if _VERIFY.value or (_DATASET.value is None and _SOURCE.value is None and store.is_store(folder)):
        manifest = store.read_manifest(folder)
        return manifest["origin"], conversion.Settings.from_dict(manifest["settings"])
    config: ConfigDict = config_lib.check(_CONFIG.value)
    data = config_lib.to_dict(config)["data"]
    dataset = _DATASET.value or data["dataset"]
    source = data["source"] if _SOURCE.value is None else _SOURCE.value
    used = {part.partition(":")[0].strip() for part in source.split(",")} if dataset == "combined" else {dataset}
    origin = {
        "dataset": dataset,
        "source": source if dataset == "combined" or not source else os.path.abspath(source),
        "seed": data["seed"],
        "options": {name: data[name] for name in sorted(used) if isinstance(data.get(name), dict)},
    }
    contract = InputContract.from_dict(config.contract)
    return origin, conversion.Settings(contract, _CHECKS.value or data["checks"], tuple(_EXCLUDE.value))


def _prepare(folder: str, origin: dict[str, Any], settings: Any, console: Console) -> int:
    from ecg_jax import labels
    from ecg_jax.data import datasets, store
    from ecg_jax.data.store import conversion, summary

    kept = settings.to_dict()["contract"]
    console.print(f"Data: {origin['dataset']}{' in ' + origin['source'] if origin['source'] else ''}")
    filters = "".join(f", {name} {kept[name]:g} Hz" for name in ("highpass", "lowpass", "notch") if kept[name])
    console.print(
        f"Store: {folder}, {len(kept['leads'])} leads at {kept['sampling_rate']:g} Hz{filters}, int16 microvolts; "
        f"checks: {settings.checks}" + (f"; left out: {', '.join(settings.exclude)}" if settings.exclude else "")
    )
    open_dataset = functools.partial(datasets.open_source, **origin, labels=labels.ALL[0])
    workers = _WORKERS.value or os.cpu_count() or 1
    began = time.monotonic()
    with _progress(console, "preparing") as progress:
        outcome = conversion.convert(folder, open_dataset, settings, origin=origin, workers=workers, progress=progress)
    seconds = time.monotonic() - began
    rate = f", {outcome.added / seconds:.0f} per second" if outcome.added else ""
    console.print(f"Added {outcome.added} recordings in {seconds:.0f} s{rate}; the store holds {outcome.recordings}")
    report = _report(folder)
    if "does not agree" in (scale := summary.describe_scale(store.Store(folder))):
        console.print(f"[yellow]warning:[/] {scale}")
    for reason, count in outcome.left_out.items():
        console.print(f"  left out, {reason}: {count}")
    if outcome.left_out:
        console.print(f"  every one of them, and why: {os.path.join(folder, store.PROBLEMS)}")
    console.print(f"Written: {folder}, report: {report}")
    console.print(f"Next: python -m ecg_jax.main --config.data.dataset=store --config.data.source={folder}")
    return 2 if outcome.errors else 0


def _report(folder: str) -> str:
    """Writes the store's quality report; returns its path."""
    import datetime

    from ecg_jax.data.store import Store, excerpts, messages, provenance, summary
    from ecg_jax.reporting import quality_report

    kept = Store(folder)
    path = os.path.join(folder, "report.html")
    origin, problems, flags = provenance.describe_origin(kept), messages.read_problems(kept), summary.count_flags(kept)
    report = quality_report.Report(
        dataset=origin.dataset,
        source=origin.source,
        command=origin.command,
        date=datetime.date.today().isoformat(),
        contract=provenance.describe_contract(kept),
        checks=kept.manifest["settings"]["checks"],
        normalized=kept.normalized,
        left_out=problems,
        left_out_kinds=messages.count_reasons(problems),
        cohort=summary.count_cohort(kept),
        labels=summary.count_labels(kept),
        flags=flags,
        examples={flag: [_draw(found) for found in excerpts.find(kept, flag)] for flag in flags.flag},
        measurements=summary.read_measurements(kept),
        scale=summary.describe_scale(kept),
        notes=messages.count_notes(kept),
        remarks=kept.manifest["notes"],
        repeats=summary.find_repeats(kept),
        split_patients=summary.count_split_patients(kept),
    )
    quality_report.write(path, report)
    return path


def _draw(excerpt: Any) -> Any:
    """An excerpt as a strip of the report."""
    from ecg_jax.reporting.ecg_paper import Strip

    piece, start = excerpt.recording, excerpt.start
    title = f"Recording {piece.id}{f', from {start:g} s' if start else ''}: {', '.join(excerpt.flags) or 'no flag'}"
    return Strip(title, piece.signal, piece.valid, piece.leads, piece.sampling_rate, piece.normalized)


def _mend(folder: str, console: Console) -> bool:
    """Looks for damaged shards and removes them; whether there was any."""
    from ecg_jax.data.store import conversion

    with _progress(console, "verifying shards") as progress:
        damage = conversion.verify_store(folder, progress)
    for name, found in damage.items():
        console.print(f"  damaged: shard {name}: {found}")
    if not damage:
        console.print(f"{folder}: every shard is whole")
        return False
    console.print(f"Rebuilding {len(damage)} shard(s)")
    conversion.remove_shards(folder, list(damage))
    return True


@contextmanager
def _progress(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    cli.run(main)
