"""Prediction in parts, on Apache Beam: the same rows as one process gives, whatever runs, breaks or is interrupted."""

import csv
import dataclasses
import gc
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import processes
import pytest
from cli_test import assert_one_line, call, write_wfdb
from embed_test import create as create_model
from predict_test import draw, wrap
from rich.console import Console
from store_test import convert

from ecg_jax import beam as beam_lib
from ecg_jax import files
from ecg_jax.data import filters, prediction_tables, store
from ecg_jax.data.readers import LazyRecording, find
from ecg_jax.errors import InputError
from ecg_jax.evaluation.calibration import IDENTITY, Calibration
from ecg_jax.inference import batches, parquet, parts, pipeline, writers
from ecg_jax.inference.predict import Prediction, predict

pytest.importorskip("apache_beam", reason="Apache Beam is not installed (extra `beam`)")
PROCESSES = ("--runner=DirectRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.fixture(scope="module")
def model():
    return create_model("narrow")


@pytest.fixture(scope="module")
def ecgs(tmp_path_factory):
    """Five recordings, of which `c` is cut short and `d` is long enough for three windows."""
    folder = tmp_path_factory.mktemp("ecgs")
    for i, name in enumerate("abcde"):
        write_wfdb(folder, name, draw(i)[: 700 if name == "d" else 256])
    os.truncate(folder / "c.dat", 1000)
    return folder


@pytest.fixture
def plan(model, monkeypatch, tmp_path):
    """Cuts recordings into parts of two, which a worker predicts with the thin network."""
    monkeypatch.setattr(parts, "load_model", lambda **_: model)
    parts._load.cache_clear()
    job = parts.Job(str(tmp_path / "parts"), (), "", batch_size=2, checks="warn", measure=False)
    yield lambda recordings: (job, parts.cut([recordings], 2, job, model))
    parts._load.cache_clear()


def run(job, planned):
    text = io.StringIO()
    pipeline.run(planned, job, beam_lib.create_options(()), Console(file=text, width=200))
    return text.getvalue()


def tabulate(model, recordings):
    """The table that one process makes."""
    file = io.BytesIO()
    table = parquet.ParquetTable(file, model)
    for made in predict(model, recordings, whole=True, batch_size=2, checks="warn"):
        if not made.error:
            table.add(made)
    table.close()
    return pd.read_parquet(file)


def assert_rows_are_equal(found, wanted):
    """The same recordings in the same order; numbers to the last digits of float32."""
    pd.testing.assert_frame_equal(found, wanted, check_exact=False, rtol=0, atol=1e-6)


def test_parts_are_as_equal_as_possible_and_end_with_their_shard(plan, model):
    job, planned = plan([LazyRecording(str(i), str) for i in range(5)])
    assert [part.count for part in planned] == [1, 2, 2]
    assert [Path(part.path).name for part in planned] == ["000000.parquet", "000001.parquet", "000002.parquet"]
    shards = [[LazyRecording("x", str)] * count for count in (4, 1, 3)]
    assert [part.count for part in parts.cut(shards, 3, job, model)] == [2, 2, 1, 3]
    assert len({part.fingerprint for part in planned}) == 3


def test_workers_give_the_rows_of_one_process_and_list_what_is_broken(plan, model, ecgs, tmp_path, monkeypatch):
    import apache_beam

    results, begin = [], apache_beam.Pipeline.run
    monkeypatch.setattr(apache_beam.Pipeline, "run", lambda self, *how: results.append(begin(self, *how)) or results[0])
    recordings = find(str(ecgs))
    job, planned = plan(recordings)
    assert "on Apache Beam, in 3 part(s)" in run(job, planned)
    counters = results[0].metrics().query()["counters"]
    assert {each.key.metric.name: each.committed for each in counters} == {"predicted": 4, "not_predicted": 1}
    tally, problems = pipeline.join(planned, str(tmp_path / "all.parquet"), job, model, ["/nowhere: no such file"])
    assert (tally.count, problems.total()) == (4, 2)
    assert_rows_are_equal(pd.read_parquet(tmp_path / "all.parquet"), tabulate(model, recordings))
    lines = list(csv.reader((tmp_path / "all_problems.csv").open()))
    assert lines[:2] == [["recording", "problem"], ["", "/nowhere: no such file"]]
    assert lines[2][0] == str(ecgs / "c")
    assert "c.dat" in lines[2][1]
    assert len(lines) == 3
    pipeline.remove(job.folder)
    assert not Path(job.folder).exists()


def test_what_was_interrupted_goes_on_with_the_parts_that_are_not_there(plan, ecgs, monkeypatch):
    job, planned = plan(find(str(ecgs)))
    run(job, planned)
    kept = [Path(part.path).stat().st_mtime_ns for part in planned]
    os.unlink(planned[1].path)
    Path(planned[2].path).write_bytes(b"half a file")
    assert "3 part(s), 1 of them kept from before" in run(job, planned)
    assert Path(planned[0].path).stat().st_mtime_ns == kept[0]
    assert all(part.is_done for part in planned)
    monkeypatch.setattr(beam_lib, "run", lambda *_: None)  # a worker that sees another disk
    os.unlink(planned[1].path)
    with pytest.raises(InputError, match=r"000001\.parquet: not written; workers must see this folder"):
        run(job, planned)


def test_a_worker_that_does_not_see_the_folder_says_so_in_one_line(plan, ecgs, monkeypatch):
    job, planned = plan(find(str(ecgs)))
    monkeypatch.setattr(os, "makedirs", lambda *_, **__: None)
    line = r"^on a worker: [^\n]*000000\.parquet: No such file or directory; workers must see [^\n]*$"
    with pytest.raises(InputError, match=line):
        run(job, planned[:1])


def test_parts_of_another_model_other_recordings_settings_or_code_are_not_taken(plan, model, ecgs, monkeypatch):
    job, planned = plan(find(str(ecgs)))
    run(job, planned)
    changes = {
        "variables": jax.tree.map(lambda weights: weights + 1, model.variables),
        "network": model.network.clone(trunk=model.network.trunk.clone(dropout_rate=0.5)),
        "contract": dataclasses.replace(model.contract, highpass=0.5),
        "calibration": Calibration("platt", {name: IDENTITY for name in "ab"}),
        "thresholds": {"a": 0.5},
        "label_names": ("a", "c"),
        "largest": ("a",),
        "activation": "softmax",
    }
    again = parts.cut([find(str(ecgs))], 2, job, model)
    assert all(part.is_done for part in again)
    for name, value in changes.items():
        other = parts.cut([find(str(ecgs))], 2, job, dataclasses.replace(model, **{name: value}))
        assert not other[-1].is_done, name
    for changed in (
        parts.cut([find(str(ecgs))[:-1]], 2, job, model),
        parts.cut([find(str(ecgs))], 2, parts.Job(job.folder, (), "", 2, "refuse", False), model),
    ):
        assert not changed[-1].is_done
    monkeypatch.setattr(filters, "VERSION", filters.VERSION + 1)
    assert not parts.cut([find(str(ecgs))], 2, job, model)[-1].is_done


def test_a_stores_recordings_are_cut_by_shard_and_not_filtered_again(model, tmp_path):
    convert(tmp_path)  # of ten recordings in shards of three, three are left out
    opened = store.Store(str(tmp_path))
    groups = batches.list_stored(opened)
    assert [[each.name for each in group] for group in groups] == [["r0", "r2"], ["r3", "r5"], ["r7", "r8"], ["r9"]]
    np.testing.assert_array_equal(groups[1][1].read().signal, opened.read(3, "r5").signal)
    assert_one_line(call("predict", tmp_path, "ecg.hea", cwd=tmp_path), "is a prepared store, which goes alone")
    assert_one_line(call("predict", "--file_rate=500", tmp_path), "--file_rate is for files of recordings; the store")


def test_parquet_has_the_columns_and_numbers_of_the_csv(model, tmp_path):
    recordings = [wrap(draw()[:256], id=b"ecg-\xff".decode(errors="surrogateescape")), wrap(0 * draw(), id="silent")]
    for path in (str(tmp_path / "out.csv"), str(tmp_path / "out.parquet")):
        with files.Replacement(path, **writers.choose_mode(path)) as replacement:
            table = writers.create_table(path, replacement.file, model, ["qrs"])
            for made in predict(model, recordings, whole=True):
                table.add(made)
            table.close()
            replacement.commit()
    found, wanted = pd.read_parquet(tmp_path / "out.parquet"), pd.read_csv(tmp_path / "out.csv")
    assert (
        found.columns.tolist() == wanted.columns.tolist() == ["recording", "a", "b", "a_raw", "b_raw", "qrs", "quality"]
    )
    assert found["recording"].tolist() == ["ecg-\\udcff", "silent"]
    np.testing.assert_allclose(found[["a", "b"]], wanted[["a", "b"]], rtol=1e-5)
    assert found.loc[1, "a":"qrs"].isna().all()
    assert prediction_tables.read_fact(str(tmp_path / "out.parquet"), "thresholds") == {}


def test_labels_keep_their_names_in_every_format_and_other_columns_give_way(model, tmp_path):
    labels = ("quality", "recording", "a", "a_raw", "qrs", "measured_qrs", "start")
    numbers = np.arange(7, dtype=np.float32)
    made = Prediction("ecg", numbers, numbers, "noise", starts=np.array([0.0, 5.0]), windows=np.stack([numbers] * 2))
    other = dataclasses.replace(model, label_names=labels)
    for path in map(str, (tmp_path / "out.csv", tmp_path / "out.json", tmp_path / "out.parquet")):
        with files.replacing(path, **writers.choose_mode(path)) as file:
            table = writers.create_table(path, file, other, ["qrs", "pr"])
            table.add(made)
            table.close()
    found, wanted = pd.read_parquet(tmp_path / "out.parquet"), pd.read_csv(tmp_path / "out.csv")
    raw = ["quality_raw", "recording_raw", "a_raw_2", "a_raw_raw", "qrs_raw", "measured_qrs_raw", "start_raw"]
    columns = ["recording_2", *labels, *raw, "measured_qrs_2", "pr", "quality_2"]
    assert found.columns.tolist() == wanted.columns.tolist() == columns
    assert found.loc[0, ["recording_2", "quality_2"]].tolist() == ["ecg", "noise"]
    in_json = json.loads((tmp_path / "out.json").read_text())["recordings"][0]
    for values in (found.loc[0], wanted.loc[0], in_json["probabilities"], in_json["windows"][1]):
        assert [values[name] for name in labels] == numbers.tolist()
    assert in_json["windows"][1]["start_2"] == 5.0


def test_a_table_that_an_error_interrupts_adds_no_message_to_it(model, tmp_path, monkeypatch):
    ignored = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    with files.Replacement(str(tmp_path / "out.parquet"), "wb") as replacement:
        table = parquet.ParquetTable(replacement.file, model)
        table.add(Prediction("ecg", np.zeros(2), np.zeros(2)))  # the error comes here
    del table
    gc.collect()
    assert not ignored
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--output=x.csv", "f"], "--output=x.csv: --beam writes Parquet; pass --output=FILE.parquet"),
        (["--output=x.parquet", "--figure", "f"], "--figure draws in one process"),
        (["--output=x.parquet", "--", "--runner=DirectRunner"], "no recordings named"),
        (["--output=x.parquet", "f", "--", "--runer=x"], "Apache Beam has no option --runer"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(tmp_path, arguments, message):
    assert_one_line(call("predict", "--beam", *arguments, cwd=tmp_path), message)


def test_dask_is_asked_for_by_its_name_and_takes_a_part_at_a_time(monkeypatch):
    options = beam_lib.create_options(["--runner=DaskRunner"]).get_all_options()
    assert options["runner"].endswith("dask_runner.DaskRunner")
    assert options["partition_size"] == 1
    chosen = beam_lib.create_options(["--runner=DaskRunner", "--dask_npartitions=7"]).get_all_options()
    assert (chosen["npartitions"], chosen["partition_size"]) == (7, None)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"Dask is not installed; pip install 'apache-beam\[dask\]'"):
        beam_lib.create_options(["--runner=DaskRunner"])


# Processes and clusters, as a user runs them


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Twelve recordings, one of which is broken, and the rows that one process gives."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(12):
        write_wfdb(folder / "ecgs", f"{i:02d}", draw(i)[:256])
    os.truncate(folder / "ecgs" / "07.dat", 1000)
    done = call("predict", f"--output={folder / 'one.parquet'}", folder / "ecgs")
    assert done.returncode == 2, done.stderr
    return folder


def name_command(many, output, part_size):
    flags = (f"--output={output}", f"--part_size={part_size}")
    return "-m", "ecg_jax.predict", "--beam", *flags, many / "ecgs", "--"


@pytest.mark.slow
def test_several_processes_give_the_rows_of_one(many, tmp_path):
    done = processes.run(*name_command(many, tmp_path / "all.parquet", 6), *PROCESSES)
    assert done.returncode == 2, done.stderr
    assert "in 2 part(s)" in done.stdout
    assert "Written: " in done.stdout
    assert "11 recording(s); 1 could not be read" in done.stdout
    assert_rows_are_equal(pd.read_parquet(tmp_path / "all.parquet"), pd.read_parquet(many / "one.parquet"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.parquet", "all_problems.csv"]


@pytest.mark.slow
def test_a_cluster_gives_the_rows_of_one_process_though_a_worker_is_killed(many, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        where = ("--runner=DaskRunner", f"--dask_client_address={cluster.scheduler_address}")
        running = processes.start(*name_command(many, tmp_path / "all.parquet", 1), *where)
        while not (there := list(tmp_path.glob("all.parquet.parts/*.parquet"))) and running.poll() is None:
            time.sleep(0.01)
        assert len(there) < 12
        worker = cluster.workers[0]
        worker.close_gracefully()  # it will not be started again: the other does its parts
        os.kill(worker.process.pid, signal.SIGKILL)
        running.wait(300)
    out, error = running.read()
    assert running.returncode == 2, error
    assert "in 12 part(s)" in out
    assert_rows_are_equal(pd.read_parquet(tmp_path / "all.parquet"), pd.read_parquet(many / "one.parquet"))
