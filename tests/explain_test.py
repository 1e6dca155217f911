"""Explanations of recordings: where they land in time and lead, on pages, in JSON, over data sets."""

import dataclasses
import io
import json
import re
from pathlib import Path

import flax.linen as nn
import matplotlib.pyplot as plt
import numpy as np
import pytest
from cli_test import assert_one_line, call, write_wfdb
from measure_test import draw as draw_ecg

from ecg_jax import pretrained
from ecg_jax.cli import create_console
from ecg_jax.contract import InputContract
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.readers import LazyRecording
from ecg_jax.errors import InputError
from ecg_jax.explanation.methods import Attribution
from ecg_jax.explanation.segments import SEGMENTS
from ecg_jax.inference import average_beat, explained, writers
from ecg_jax.inference.model import Model
from ecg_jax.inference.predict import Measured, predict
from ecg_jax.kinds import NUMBER
from ecg_jax.models.network import Network
from ecg_jax.models.outputs import Scale
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.reporting import beat_map, ecg_page, ecg_shade

SAMPLES, RATE = 1024, 400.0  # of the network: 2.56 s
READ, LEAD = 600, "V2"  # the sample and lead that it reads, in a recording that fills its input
WAVES = [{"wave": "QRS", "onset": 1.4, "offset": 1.6, "kind": "usual"}]


class Same(nn.Module):
    """A trunk that does nothing."""

    @nn.compact
    def __call__(self, signal, index, train):
        return signal


class Linear(nn.Module):
    """A head that weighs samples."""

    num_labels: int = 1

    @nn.compact
    def __call__(self, features, index, train):
        return nn.Dense(self.num_labels, name="output")(features.reshape(len(features), -1))


def create(sample, leads=LEADS, labels=("RBBB",), samples=SAMPLES, **contract):
    """A linear model whose logit is 4 times one sample of `LEAD`, less 1, for each label."""
    kernel = np.zeros((samples, len(leads), len(labels)), np.float32)
    kernel[sample, leads.index(LEAD)] = 4.0
    output = {"kernel": kernel.reshape(-1, len(labels)), "bias": np.full(len(labels), -1, np.float32)}
    variables = {"params": {"head": {"output": output}}, "batch_stats": {}}
    contract = InputContract(samples=samples, leads=leads, units_per_millivolt=1.0, **contract)
    return Model(Network(Same(), Linear(len(labels))), variables, contract, tuple(labels), {})


def draw_pulse(at, seconds=2.0, rate=RATE, leads=LEADS):
    """A millivolt for 60 ms about a time in all leads, so that resampling keeps its middle."""
    time = np.arange(round(seconds * rate)) / rate
    pulse = (np.abs(time - at) <= 0.03).astype(float)
    return create_recording(np.stack([pulse] * len(leads), axis=1), leads=leads, sampling_rate=rate, id="pulse")


def look(model, recording, waves=WAVES):
    """A prediction of a recording whose waves are known."""
    (made,) = predict(model, [LazyRecording(recording.id, lambda: recording)], checks="warn", whole=True, keep=True)
    return dataclasses.replace(made, measured=Measured({}, waves, {}))


SHUFFLED = (*LEADS[7:], *LEADS[:7])


@pytest.mark.parametrize(
    "recording, at, leads, sample",
    [
        (draw_pulse(1.5, seconds=2.56), 1.5, LEADS, 600),
        (draw_pulse(1.5), 1.5, LEADS, 112 + 600),
        (draw_pulse(1.5, rate=500.0), 1.5, LEADS, 112 + 600),
        (draw_pulse(1.5, leads=SHUFFLED), 1.5, LEADS, 112 + 600),
        (draw_pulse(1.5), 1.5, SHUFFLED, 112 + 600),
        (draw_pulse(1.5, leads=tuple(lead for lead in LEADS if lead not in ("III", "V3"))), 1.5, LEADS, 112 + 600),
        (draw_pulse(6.5, seconds=8.0, rate=500.0), 6.5, LEADS, 424),
        (draw_pulse(21.0, seconds=24.0), 21.0, LEADS, 777),
    ],
    ids=["fills it", "padded", "500 Hz", "file's order", "network's order", "leads missing", "4 windows", "long"],
)
def test_what_the_network_reads_lies_at_its_time_and_lead_in_the_recording(recording, at, leads, sample):
    """Windows of 2.56 s of 8 s begin at 0, 1.8133, 3.6267 and 5.44 s; the 9th of 24 s at sample 7623 of 9600."""
    waves = [{"wave": "QRS", "onset": at - 0.1, "offset": at + 0.1, "kind": "usual"}]
    signal = recording.signal.copy()
    signal[-1::-900] += 1e-3  # so that no window is without a signal
    recording = dataclasses.replace(recording, signal=signal)
    [found] = explained.explain(model := create(sample, leads), look(model, recording, waves))
    place, column = np.unravel_index(np.abs(found.values).argmax(), found.values.shape)
    assert (found.label, found.leads[column]) == ("RBBB", LEAD)
    assert found.start + place / found.sampling_rate == pytest.approx(at, abs=1e-6)
    assert found.values.sum() == pytest.approx(found.values[place, column]) == pytest.approx(4.0, rel=0.05)
    assert found.shares[column].tolist() == pytest.approx([0, 1, 0, 0])
    assert found.shares.sum() == pytest.approx(1)
    seconds = len(recording.signal) / recording.sampling_rate
    assert 0 < at - found.start <= 10
    assert found.start + len(found.values) / RATE == pytest.approx(seconds, abs=max(0, 2.56 - seconds))  # to its end


@pytest.mark.parametrize("seconds", [12.0, 15.0])
def test_of_windows_as_long_as_a_page_the_most_probable_is_explained(seconds):
    """Of 12 s they begin at 0 and 1.76 s, and share the fifth second, which the first alone reads."""
    model = create(2000, samples=4096)
    [found] = explained.explain(model, look(model, draw_pulse(5.0, seconds)))
    assert (found.start, len(found.values)) == (0, 4096)
    assert found.values.sum() == pytest.approx(4.0)


def test_a_window_without_a_signal_is_not_explained():
    """Windows begin at 0 and 1.44 s; after the pulse there is nothing."""
    model = create(400)
    made = look(model, draw_pulse(1.0, seconds=4.0))
    assert made.starts.tolist() == [0]
    [found] = explained.explain(model, made)
    assert len(found.values) == SAMPLES


def test_what_was_not_recorded_has_no_share_whatever_the_method(monkeypatch):
    """A method that tells neither leads nor times apart; the recording of 2 s lies in the middle of 2.56 s."""
    ones = Attribution(np.ones((1, SAMPLES, 12), np.float32))
    monkeypatch.setattr(explained.methods, "explain", lambda *_, **__: ones)
    model = create(712, highpass=0.5)
    [found] = explained.explain(model, look(model, draw_pulse(1.5, leads=("V1", LEAD))))
    expected = np.zeros((SAMPLES, 12))
    expected[112:912, [LEADS.index("V1"), LEADS.index(LEAD)]] = 1
    np.testing.assert_array_equal(found.values, expected)
    assert found.shares.sum(axis=1).tolist() == pytest.approx(expected[500] / 2)


def test_filters_and_trimmed_ends_do_not_move_it():
    """The recording has half a second of nothing before it, which the contract cuts off."""
    pulse = draw_pulse(1.5)
    varied = pulse.signal + 0.01 * np.arange(12)
    varied[:200] = 0
    recording = dataclasses.replace(pulse, signal=varied.astype(np.float32))
    model = create((SAMPLES - 600) // 2 + 400, trim=True, highpass=0.5)
    [found] = explained.explain(model, look(model, recording))
    place = np.abs(found.values).max(axis=1).argmax()
    assert found.start + place / RATE == pytest.approx(1.5)


def test_a_missing_lead_says_nothing():
    recording = draw_pulse(1.5, leads=tuple(lead for lead in LEADS if lead != LEAD))
    model = create(712)
    [found] = explained.explain(model, look(model, recording))
    assert not found.values.any()
    assert not found.shares.any()


@pytest.fixture
def made():
    return look(create(600), draw_pulse(1.5))


def choose(made, **probabilities):
    labels = (*probabilities, "NORM")
    model = dataclasses.replace(create(600), label_names=labels, thresholds=dict.fromkeys(labels, 0.5) | {"AF": 0.1})
    values = np.array([*probabilities.values(), 0.9], np.float32)
    return explained.choose_labels(model, dataclasses.replace(made, probabilities=values))


def test_labels_at_their_thresholds_are_explained_the_most_specific_first(made):
    assert choose(made, abnormal=0.9, CD=0.6, AF=0.1, RBBB=0.7, MI=0.4) == ["RBBB", "AF", "CD", "abnormal"]


def test_a_models_own_labels_are_explained_unless_it_has_many(made):
    assert choose(made, AF=0.02, wide_qrs=0.93) == ["wide_qrs"]
    assert choose(made, AF=0.02, wide_qrs=0.3) == ["wide_qrs"]  # the nearest to its threshold
    many = {f"x{number}": 0.93 for number in range(12)}
    assert choose(made, AF=0.02, **many) == ["AF"]


def test_without_one_at_its_threshold_abnormal_is_or_else_the_nearest(made):
    assert choose(made, abnormal=0.4, AF=0.09, RBBB=0.3) == ["abnormal"]
    assert choose(made, AF=0.09, RBBB=0.3) == ["AF"]


@pytest.mark.parametrize(
    "labels, expected",
    [
        (("RBBB", "LBBB", "SB", "CD", "MI", "HYP", "STTC", "abnormal"), ["abnormal", "SB", "LBBB", "RBBB"]),
        ((), ["x15", "x14", "x13", "x12", "x11", "x10", "x9"]),
    ],
    ids=["some of the six", "none that is usual"],
)
def test_a_page_has_the_labels_that_the_model_has(made, labels, expected):
    """None is at its threshold; the probability of each is higher than that of the one before."""
    labels = (*labels, *(f"x{number}" for number in range(16)))
    model = dataclasses.replace(create(600), label_names=labels, thresholds=dict.fromkeys(labels, 0.9))
    made = dataclasses.replace(made, probabilities=np.linspace(0.1, 0.8, len(labels), dtype=np.float32))
    assert writers._choose_for_page(model, made) == expected


def test_labels_in_documented_commands_are_labels():
    folder = Path(__file__).parents[1]
    text = "".join(path.read_text() for path in (*folder.glob("docs/*.md"), *folder.glob("ecg_jax/*.py")))
    named = {label for found in re.findall(r"--(?:label|explain_labels)=([\w,]+)", text) for label in found.split(",")}
    assert "RBBB" in named
    assert named - {*pretrained.read().labels, "chagas", "LABEL", ""} == set()


def test_labels_and_methods_that_are_none_are_named(made):
    model = create(600, labels=("RBBB", "AF"))
    for labels, method, parts in (
        (["CD"], "occlusion", "no label CD; it has RBBB, AF$"),
        (["rbb"], "occlusion", r"no label rbb; it has RBBB, AF; did you mean RBBB\?$"),
        ([], "magic", "'magic'; known"),
        ([], "shaply", r"did you mean shapley\?$"),
    ):
        with pytest.raises(InputError, match=parts):
            next(explained.explain_all(model, [made], labels, method))


def test_one_that_cannot_be_explained_ends_nothing(made, monkeypatch):
    def fail(*_, **__):
        raise ValueError("of a\nlibrary")

    model = create(600)
    silent = look(model, draw_pulse(99.0))
    found = list(explained.explain_all(model, [made, silent]))
    assert [len(each.explanations) for each in found] == [1, 0]
    monkeypatch.setattr(explained, "explain", fail)
    (odd,) = explained.explain_all(model, [made])
    assert odd.quality.endswith("not explained: ValueError: of a library")


@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_where_there_is_nothing_to_attribute_all_outputs_say_so(method, tmp_path):
    """Methods that remove waves find nothing where there are no waves."""
    model = create(712)
    (made,) = explained.explain_all(model, [look(model, draw_pulse(1.5), waves=[])], method=method)
    assert made.quality.endswith("nothing to attribute (no waves were found): RBBB")
    made, printed = dataclasses.replace(made, measured=None), io.StringIO()
    console = create_console(printed)
    writers.print_explanations(console, model, made)
    writers.print_table(console, model, made)
    assert printed.getvalue().count(": nothing to attribute\n") == 2
    assert "leads" not in printed.getvalue()
    writers.draw_page(model, made, str(tmp_path / "page.svg"), *made.explanations)
    text = (tmp_path / "page.svg").read_text()
    assert f"by {method}; nothing to attribute" in text
    assert "darkest" not in text


def test_json_has_shares_by_lead_and_part_that_add_up_to_one():
    model = create(712)
    (made,) = explained.explain_all(model, [look(model, draw_pulse(1.5))])
    file = io.StringIO()
    table = writers.JsonTable(file, model, has_explanations=True)
    table.add(made)
    table.close()
    [found] = json.loads(file.getvalue())["recordings"][0]["explanations"]
    assert (found["label"], found["method"], found["start"], found["end"]) == ("RBBB", explained.DEFAULT, 0.0, 2.0)
    assert [*found["shares"]] == [*LEADS]
    assert found["shares"][LEAD] == {"P": 0.0, "QRS": 1.0, "ST-T": 0.0, "elsewhere": 0.0}
    assert sum(sum(parts.values()) for parts in found["shares"].values()) == pytest.approx(1)
    assert (*SEGMENTS, "elsewhere") == ecg_shade.PARTS
    assert found["missing"] == pytest.approx(0, abs=1e-4)  # of a linear model
    assert "half_widths" not in found


def test_json_has_half_widths_of_shapley_values_beside_their_shares(monkeypatch):
    """All of the value is in one cell, so that this share is 1 in every order: half of it would be 0.5."""
    model = create(712)
    half = lambda found: np.full(found.value.shape, 0.5) * found.value  # noqa: E731
    monkeypatch.setattr(explained.methods.shapley.Estimate, "half_width", property(half))
    (made,) = explained.explain_all(model, [look(model, draw_pulse(1.5))], method="shapley")
    file = io.StringIO()
    writers.JsonTable(file, model, has_explanations=True).add(made)
    [found] = json.loads(file.getvalue() + "]}")["recordings"][0]["explanations"]
    assert found["half_widths"][LEAD] == pytest.approx({"P": 0, "QRS": 0.5, "ST-T": 0, "elsewhere": 0}, abs=1e-3)
    assert "missing" not in found


def test_what_is_missing_is_said_where_it_is_more_than_2_per_cent(made):
    (made,) = explained.explain_all(create(712), [made])
    for missing, words in ((None, ""), (0.02, ""), (0.034, "; 3% not attributed")):
        [each] = made.explanations
        text = ecg_shade.describe(dataclasses.replace(each, missing=missing))
        assert text == ecg_shade.describe_shares(each.shares, each.leads) + words


def find_shade(path, sign):
    """Rows and columns, in mm, of pixels of a page's paper that speak for a label (1) or against it (-1)."""
    pixels = plt.imread(path)[:, :, :3]
    rows, columns = (25.4 / 200 * places for places in (sign * (pixels[..., 0] - pixels[..., 2]) > 0.45).nonzero())
    on_paper = (rows > 63) & (rows < 198)
    return rows[on_paper], columns[on_paper]


def test_a_page_is_shaded_where_and_when_it_is_and_against_is_striped(tmp_path):
    """V2 is the second row, from 5 to 7.5 s of the page, which begins at 3 s: 9 s is 150 mm from the first sample."""
    values = np.zeros((4000, 12), np.float32)
    values[2400, LEADS.index("V2")] = 1.0  # the input begins at 3 s
    values[3200, LEADS.index("V6")] = -1.0
    shares = np.full((12, 4), 1 / 48, np.float32)
    shown = ecg_shade.Explanation("RBBB", "occlusion", values, shares, LEADS, 400.0, 3.0)
    recording = create_recording(np.zeros((8000, 12)), leads=LEADS, sampling_rate=500.0, id="flat")
    path = tmp_path / "page.png"
    ecg_page.draw(recording, [], str(path), start=3.0, explanation=shown)
    for sign, row, seconds in ((1, 1, 6), (-1, 2, 8)):
        rows, columns = find_shade(path, sign)
        assert np.median(columns) == pytest.approx(20 + 10 + 25 * seconds, abs=0.3)
        top = 63 + 33.75 * row
        assert top - 0.5 < rows.min() < top + 2 < top + 31 < rows.max() < top + 34.25
        has_stripes = (np.diff(np.unique(rows)) > 0.3).sum() > 10
        assert has_stripes == (sign < 0)


@pytest.mark.parametrize(
    "method, scale, words, others",
    [
        ("occlusion", None, ("What speaks for RBBB", "speaks against it", " logits in 10 ms"), ("raises",)),
        (
            "occlusion",
            Scale(np.zeros(1), np.full(1, 20.0)),
            ("What raises RBBB", "lowers it", "of its unit"),
            ("logit",),
        ),
        ("grad_cam", None, ("What speaks for RBBB", "in whichever lead"), ("against it", "logits in")),
    ],
    ids=["finding", "number", "times"],
)
def test_a_page_names_what_its_colours_mean(tmp_path, method, scale, words, others):
    model = dataclasses.replace(create(712), scale=scale)
    (made,) = explained.explain_all(model, [look(model, draw_pulse(1.5))], method=method)
    writers.draw_page(model, made, str(tmp_path / "page.svg"), made.explanations[0])
    text = (tmp_path / "page.svg").read_text()
    assert [part for part in words if part not in text] == []
    assert [part for part in others if part in text] == []


BLACK, ORANGE = ecg_page.style.BLACK, ecg_page.style.ORANGE


@pytest.mark.parametrize(
    "label, threshold, unchosen, words, colour",
    [
        ("RBBB", 0.5, (), ["not called: 0.250 is below its threshold 0.500", "below 0.50"], BLACK),
        ("RBBB", 0.2, (), ["called: 0.250 is at or above its threshold 0.200", "at or above 0.20"], ORANGE),
        ("RBBB", 0.5, ("RBBB",), ["below its threshold 0.500, not chosen", "below 0.50, not chosen"], BLACK),
        ("NORM", 0.2, (), ["called: 0.250 is at or above its threshold 0.200"], BLACK),
    ],
    ids=["below", "at or above", "not chosen", "normal"],
)
def test_a_page_says_whether_its_label_is_called_and_only_findings_look_like_one(
    tmp_path, label, threshold, unchosen, words, colour
):
    model = dataclasses.replace(create(712, labels=(label,)), thresholds={label: threshold}, unchosen=unchosen)
    (made,) = explained.explain_all(model, [look(model, draw_pulse(1.5))])
    made = dataclasses.replace(made, probabilities=np.array([0.25], np.float32))
    writers.draw_page(model, made, str(tmp_path / "page.svg"), made.explanations[0])
    text = (tmp_path / "page.svg").read_text()
    assert [part for part in words if f"<!-- {part}" not in text and f"{part} -->" not in text] == []
    assert ("<!-- not called" in text) == (threshold > 0.25)
    written = re.search(rf"<!-- {label} 0.25 -->\s*<g(.*?)>", text)[1].lower()
    assert (ORANGE.lower() in written) == (colour == ORANGE)
    printed = io.StringIO()
    writers.print_explanations(create_console(printed), model, made)
    assert ("0.250 (below its threshold" in printed.getvalue()) == (threshold > 0.25)


def test_a_number_is_explained_in_its_unit():
    """Of an output of 4 for the pulse, with 20 years to one."""
    model = dataclasses.replace(create(712, labels=("age",)), scale=Scale(np.full(1, 50.0), np.full(1, 20.0)))
    [found] = explained.explain(model, look(model, draw_pulse(1.5)), method="integrated_gradients")
    assert (found.label, found.kind) == ("age", NUMBER)
    assert found.values.sum() == pytest.approx(80, rel=0.05)


def test_pages_are_named_after_the_recording_and_the_label(tmp_path):
    model = create(712, labels=("RBBB", "AFIB/AFL"))
    (made,) = explained.explain_all(model, [look(model, draw_pulse(1.5))], ("RBBB", "AFIB/AFL"))
    pages = writers.Pages(str(tmp_path / "pages"), "svg", model)
    pages.add(made)
    pages.add(made)
    names = sorted(path.name for path in (tmp_path / "pages").glob("*.svg"))
    assert names == ["pulse_AFIB-AFL-2.svg", "pulse_AFIB-AFL.svg", "pulse_RBBB-2.svg", "pulse_RBBB.svg"]
    assert (pages.count, pages.undrawn) == (4, [])
    text = (tmp_path / "pages" / "pulse_AFIB-AFL.svg").read_text()
    for words in ("What speaks for AFIB/AFL", "speaks against it", "not validated for clinical use", "<!-- ST-T -->"):
        assert words in text


def test_beats_are_averaged_at_their_times():
    """Values are their times."""
    values = 0.2 + np.arange(2000)[:, None] / 500 + np.array([0, 10])
    found = average_beat.align(values, 500.0, 0.2, [1.0, 1.501])
    expected = average_beat.TIME[:, None] + np.array([0, 10])
    np.testing.assert_allclose(found, [1.0 + expected, 1.501 + expected])


def set_waves(monkeypatch, waves):
    """Every recording has these."""

    def measure(predictions):
        return (dataclasses.replace(made, measured=Measured({}, waves, {})) for made in predictions)

    monkeypatch.setattr(average_beat.measured, "measure_all", measure)


def test_the_map_of_a_label_is_of_recordings_that_have_it_and_are_called(monkeypatch, tmp_path):
    """The network reads what comes 0.1 s after the onset of the only whole beat; the third recording is not called."""
    recordings = [draw_pulse(1.5, seconds=2.56) for _ in range(4)]
    signals = [each.signal * scale for each, scale in zip(recordings, (1, 2, 0.1, -0.5), strict=True)]
    recordings = [dataclasses.replace(r, signal=s.astype(np.float32)) for r, s in zip(recordings, signals, strict=True)]
    ids, labels = np.array(["a", "b", "c", "d"]), np.array([1, 1, 1, 0], np.float32)
    dataset = Dataset("four", ids, {"RBBB": labels}, recordings.__getitem__)
    set_waves(monkeypatch, WAVES)
    found = average_beat.average(create(READ), dataset, np.arange(4), "RBBB", checks="warn")
    assert (found.counts, found.beats.shape[0], found.others.shape[0]) == ((3, 1), 2, 1)
    place, column = np.unravel_index(found.values.argmax(), found.values.shape)
    assert (found.leads[column], found.time[place]) == (LEAD, pytest.approx(0.1))
    at = np.isclose(found.time, 0.1)
    assert found.beats[:, at, column].ravel().tolist() == pytest.approx([1, 2])
    assert found.values.sum() / 250 == pytest.approx((4 + 8) / 2, rel=0.01)  # its integral over time
    table = beat_map.summarize(found).set_index(["lead", "seconds"]).loc[LEAD]
    row = table.iloc[np.abs(table.index - 0.1).argmin()]
    expected = {"mean": 1.5, "p10": 1.1, "p90": 1.9, "mean_without": -0.5, "attribution": found.values.max()}
    assert row[[*expected]].to_dict() == pytest.approx(expected)
    assert row[["recordings", "recordings_without", "unit"]].tolist() == [2, 1, "mV"]
    beat_map.draw(found, str(tmp_path / "map.svg"), "notice")
    text = (tmp_path / "map.svg").read_text()
    assert "four: 2 of 3 recordings with it" in text
    assert "dashed: 1 of 1 without it" in text
    with pytest.raises(InputError, match="of 1 recordings with RBBB the model calls none"):
        average_beat.average(create(READ), dataset, np.array([2]), "RBBB", checks="warn")


def average(monkeypatch, recordings, onsets):
    """The map of recordings with the label, whose QRS complexes begin at some times."""
    waves = [{"wave": "QRS", "onset": onset, "offset": onset + 0.1, "kind": "usual"} for onset in onsets]
    set_waves(monkeypatch, waves)
    labels = {"RBBB": np.ones(len(recordings), np.float32)}
    dataset = Dataset("some", np.array([each.id for each in recordings]), labels, recordings.__getitem__)
    return average_beat.average(create(READ), dataset, np.arange(len(recordings)), "RBBB", checks="warn")


def mask(recording, at, lead):
    """A recording without one sample of a lead."""
    valid = recording.valid.copy()
    valid[round(at * RATE), LEADS.index(lead)] = False
    return dataclasses.replace(recording, valid=valid, signal=np.where(valid, recording.signal, np.float32(0)))


def test_a_gap_costs_a_mean_beat_no_more_than_it_hides(monkeypatch):
    """Of beats at 0.5 and 1.4 s, V1 has a gap before the first, V3 before both, V4 in the first after its onset."""
    recording = draw_pulse(1.5, seconds=2.56)
    for at, lead in ((0.49, "V1"), (0.49, "V3"), (1.39, "V3"), (0.7, "V4")):
        recording = mask(recording, at, lead)
    found = average(monkeypatch, [recording], [0.5, 1.4])
    beats = dict(zip(LEADS, found.beats[0].T, strict=True))
    peak = np.isclose(found.time, 0.1)  # of the second beat alone
    assert [beats[lead][peak].item() for lead in ("V1", "V2", "V4")] == pytest.approx([1, 0.5, 0.5])
    assert np.isnan(beats["V3"]).all()
    assert all(np.isfinite(beats[lead]).all() for lead in ("V1", "V2", "V4"))
    rows = beat_map.summarize(found).groupby("lead").recordings.agg(["min", "max"])
    assert rows.loc[["V1", "V3"]].to_numpy().tolist() == [[1, 1], [0, 0]]


def test_recordings_that_cannot_be_averaged_are_named(monkeypatch):
    """They are called all the same."""
    recordings = [dataclasses.replace(draw_pulse(1.5, seconds=2.56), id=name) for name in "ab"]
    with pytest.raises(InputError, match="calls 2, of which none can be averaged, the first: a: no beat is whole"):
        average(monkeypatch, recordings, [2.4])
    explain = explained.methods.explain
    calls = iter((True, False))

    def fail_once(*args, **options):
        if next(calls):
            raise ValueError("of a library")
        return explain(*args, **options)

    monkeypatch.setattr(explained.methods, "explain", fail_once)
    found = average(monkeypatch, recordings, [1.4])
    assert (len(found.beats), found.counts) == (1, (2, 0))
    assert len(found.left_out) == 1
    assert re.fullmatch("a: .*not explained: ValueError: of a library", found.left_out[0])


def test_a_lead_that_is_nowhere_is_drawn_without_a_warning(monkeypatch, tmp_path, recwarn):
    found = average(monkeypatch, [draw_pulse(1.5, seconds=2.56, leads=LEADS[:11])], [1.4])
    table = beat_map.draw(found, str(tmp_path / "map.svg"))
    assert table[table.lead == "V6"]["mean"].isna().all()
    assert [str(each.message) for each in recwarn if issubclass(each.category, RuntimeWarning)] == []


def test_units_are_not_averaged_with_each_other(monkeypatch):
    one = draw_pulse(1.5, seconds=2.56)
    other = dataclasses.replace(one, id="z", normalized=True)
    model = create(READ, usual_deviations=(0.1,) * 12)
    monkeypatch.setattr(f"{__name__}.create", lambda _: model)
    with pytest.raises(InputError, match="some in standard deviations"):
        average(monkeypatch, [one, dataclasses.replace(other, signal=20 * other.signal)], [1.4])


@pytest.mark.parametrize(
    "verb, flags, parts",
    [
        ("predict", ["--explain"], ["--explain", "--figure", ".json"]),
        ("predict", ["--figure_format=svg"], ["--figure_format goes with --figure"]),
        ("explain", [], ["no recordings named"]),
        ("explain", ["--dose=pr", "--method=occlusion"], ["--method goes with recordings or --data"]),
        ("explain", ["--data=ludb:x", "--label=AF", "--figure_format=svg"], ["--figure_format", "suffix of --output"]),
        ("explain", ["--split=all", "ecg.hea"], ["--split goes with --data"]),
        ("explain", ["--data=ludb:x"], ["one --label"]),
        ("explain", ["--data=ludb:x", "--label=AF", "--output=map.txt"], ["map.txt", ".png"]),
        ("explain", ["--output=x.json", "ecg.hea"], ["x.json", "a folder", "predict --explain"]),
        ("explain", ["--label=QRS", "ecg.hea"], ["no label QRS", "RBBB"]),
        ("explain", ["--method=magic", "ecg.hea"], ["'magic'", "grad_cam"]),
    ],
    ids=[
        "no place",
        "no figure",
        "no files",
        "dose",
        "map",
        "pages",
        "no label",
        "suffix",
        "folder",
        "label",
        "method",
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, verb, flags, parts):
    path = ["ecg.hea"] if verb == "predict" else []
    assert_one_line(call(verb, *flags, *path, cwd=tmp_path), *parts)


def test_help_names_every_method():
    text = call("explain", "--help").stdout
    assert "not what the patient has" in " ".join(text.split())
    assert [name for name in explained.methods.METHODS if name not in text] == []


@pytest.mark.slow
def test_as_a_user_runs_them(tmp_path):
    write_wfdb(tmp_path, "a", draw_ecg(), rate=500.0)
    write_wfdb(tmp_path, "silent", np.zeros((5000, 12)), rate=500.0)
    done = call("predict", "--explain", "--figure", "--output=out.json", "*.hea", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    first, silent = json.loads((tmp_path / "out.json").read_text())["recordings"]
    labels = [each["label"] for each in first["explanations"]]
    assert silent["explanations"] == []
    names = {"pages.csv", "silent.png", *(f"a_{label}.png" for label in labels)}
    assert {path.name for path in (tmp_path / "out_figures").iterdir()} == names
    assert f"{labels[0]} explained: P " in done.stdout
    done = call("explain", "--label=LBBB", "--method=grad_cam", "--figure_format=svg", "*.hea", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Drawn: 1 page(s) in explanations; 1 recording(s) without" in done.stdout
    assert "What speaks for LBBB" in (tmp_path / "explanations" / "a_LBBB.svg").read_text()
