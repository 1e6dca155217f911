"""What a reader notices reaches the user: predictions, evaluations, stores and training all say it."""

import csv
import io
import json

import ecg_files
import numpy as np
import pytest
from cli_test import call
from rich.console import Console

from ecg_jax import load_model
from ecg_jax.contract import InputContract
from ecg_jax.data import datasets, readers
from ecg_jax.data.sources import FileSource, StoreSource
from ecg_jax.data.store import messages
from ecg_jax.inference import predict, writers
from ecg_jax.simulation import textbook

NOTE = "no gain stated; 200 per unit, as WFDB defines"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two records without a gain and a plain one; a table of their labels."""
    folder = tmp_path_factory.mktemp("records")
    for i, gain in enumerate(("0(0)/mV", "0(0)/mV", "200(0)/mV")):
        signal = textbook.simulate(np.random.default_rng(i), np.zeros(6, bool), textbook.Conditions())
        ecg_files.write_wfdb(folder, np.rint(signal * 200).astype("<i2"), f"r{i}", rate=400, gain=gain)
    names = load_simulated().label_names
    with open(folder / "table.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", *names])
        table.writerows([[f"r{i}.hea", *([i % 2] * len(names))] for i in range(3)])
    return folder


def load_simulated():
    return load_model("simulated")


def open_folder(folder, labels):
    return datasets.open_source("folder", source=str(folder / "table.csv"), labels=labels, seed=0, options={})


def test_predictions_say_it_in_the_csv_the_json_and_on_the_screen(folder):
    model = load_simulated()
    first, _, plain = predict.predict(model, readers.find(str(folder / "r*.hea")), whole=True)
    assert first.notes == (NOTE,)
    assert NOTE in first.quality
    assert plain.notes == ()
    table, screen, text = io.StringIO(), io.StringIO(), io.StringIO()
    writers.CsvTable(table, model).add(first)
    names, row = csv.reader(table.getvalue().splitlines())
    assert NOTE in row[names.index("quality")]
    written = writers.JsonTable(text, model)
    written.add(first)
    written.close()
    assert json.loads(text.getvalue())["recordings"][0]["notes"] == [NOTE]
    writers.print_table(Console(file=screen, width=200), model, first)
    assert NOTE in screen.getvalue()


def test_an_evaluation_counts_it(folder):
    model = load_simulated()
    dataset = open_folder(folder, ",".join(model.label_names))
    _, left_out, lines = predict.predict_dataset(model, dataset, np.arange(3))
    assert not left_out
    assert lines == [f"noticed in 2 recording(s): {NOTE}"]


def test_training_and_a_store_keep_it(folder, tmp_path):
    examples = FileSource(open_folder(folder, "all"), InputContract())
    for _ in range(2):  # epochs
        examples.load(np.arange(3))
    assert examples.notes == {NOTE: 2}
    done = call(
        "prepare", "--dataset=folder", f"--source={folder / 'table.csv'}", f"--output={tmp_path / 's'}", "--workers=1"
    )
    assert done.returncode == 0, done.stderr
    assert f"noticed in 2 recording(s): {NOTE}" in " ".join(done.stdout.split())
    assert NOTE in (tmp_path / "s" / "report.html").read_text()
    stored = datasets.open_source("store", source=str(tmp_path / "s"), labels="all", seed=0, options={})
    assert stored.read(0).notes == (NOTE,)
    contract = InputContract(**stored.store.manifest["contract"])
    assert StoreSource(stored, contract).notes == {NOTE: 2}


def test_kinds_of_notes_are_counted_and_only_the_most_frequent_are_listed():
    kinds = [f"{letter} is odd" for letter in "abcdefghij"]
    lines = messages.describe([*kinds, "j is odd"])
    assert lines[0] == "noticed in 2 recording(s): j is odd"
    assert lines[8:] == ["2 more kinds of notes"]
    assert messages.describe([]) == []
