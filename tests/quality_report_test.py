"""The quality report says what the index says, needs nothing but itself, and works in a browser."""

import base64
import html
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from browser import Tables, browse

from ecg_jax import prepare
from ecg_jax.contract import InputContract
from ecg_jax.data import quality
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.store import Store, conversion, excerpts, messages
from ecg_jax.data.store.shards import hash_file
from ecg_jax.data.store.store import write_manifest
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, LIMB_LEADS, create_recording
from ecg_jax.reporting import ecg_strip, quality_report

EVIL = "<script>alert('x')</script>&\"quoted\""
SOURCE = "/private/of/somebody/hospital"


def beats(seed, rate=500, seconds=10):
    """A plain ECG of 75 beats per minute, `[samples, 12]`, whose limb leads obey Einthoven and Goldberger."""
    rng = np.random.default_rng(seed)
    phase = (np.arange(seconds * rate) / rate + rng.uniform(0, 0.8)) % 0.8 - 0.4

    def wave(height, centre, width):
        return height * np.exp(-(((phase - centre) / width) ** 2))

    one = wave(0.7, 0, 0.012) + wave(0.1, -0.16, 0.03) + wave(0.2, 0.2, 0.05)
    two = wave(1.0, 0, 0.012) + wave(0.15, -0.16, 0.03) + wave(0.3, 0.2, 0.05)
    limb = [a * one + b * two for a, b in LIMB_LEADS.values()]
    chest = [wave(k / 4 - 0.4, 0, 0.015) + wave(-0.3, 0.03, 0.012) + wave(0.25, 0.2, 0.05) for k in range(6)]
    return np.stack([*limb, *chest], axis=1) * rng.uniform(0.9, 1.1)


def create_dataset():
    """Twenty recordings: one is unreadable, two hold nothing, one has a gap, one a zeroed lead, two are the same."""
    ids = np.array([EVIL, *(f"r{i}" for i in range(1, 20))])
    signals = [beats(i) for i in range(20)]
    signals[3][1000:1250, :] = np.nan
    signals[4][:, LEADS.index("V3")] = 0
    signals[5] = signals[6] * 0
    signals[7] = signals[8].copy()
    signals[9][:] = 0

    def read(i):
        if i == 2:
            raise InputError(f"{SOURCE}/r2.hea: gain is 0; {EVIL}")
        notes = [f"gain of lead {i} assumed", f"from {SOURCE}/a{i}.hea"] if i in (10, 11, 12) else []
        return create_recording(signals[i], leads=LEADS, sampling_rate=500, id=str(ids[i]), notes=notes)

    age = np.arange(30, 50).astype(np.float32)
    age[12] = np.nan
    abnormal = np.tile(np.array([1, 0, np.nan, 0], np.float32), 5)
    return Dataset(
        name="mine",
        ids=ids,
        columns={"abnormal": abnormal, EVIL: (np.arange(20) < 2).astype(np.float32)},
        read=read,
        split=np.array(["train"] * 8 + ["validation"] * 4 + ["test"] * 8),
        patients=np.array(["p0", "p0", "p1", "p2", "", *(f"p{i}" for i in range(5, 20))]),
        attributes={"age": age, "sex": np.array(["F", "M", "", "F"] * 5)},
        notes=(f"a remark {EVIL}",),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("report") / "store")
    origin = {"dataset": "folder", "source": SOURCE, "seed": 0, "options": {"ptbxl": {"sampling_rate": 500}}}
    conversion.convert(folder, create_dataset, conversion.Settings(InputContract(notch=50.0), origin=origin))
    return Store(folder)


@pytest.fixture(scope="module")
def page(store):
    return Path(prepare._report(store.folder))


@pytest.fixture(scope="module")
def content(page):
    return Tables(page.read_text("utf-8"))


def test_the_flow_adds_up(store, content):
    assert [row[:2] for row in content.tables["flow-table"][1:]] == [
        ["Found", "20"],
        ["Left out: unreadable", "1"],
        ["Left out: no signal", "2"],
        ["Stored", "17"],
    ]
    assert len(store) == 17
    left_out = content.tables["left-out"][1:]
    assert [row[0] for row in left_out] == ["r2", "r5", "r9"]
    assert left_out[0][1:] == ["unreadable", f"…/hospital/r2.hea: gain is 0; {EVIL}"]


def test_labels_are_counted_by_split_and_unknown_is_neither(store, content):
    labels, split = store.column("labels")[:, 0], store.column("split")
    header, *rows = content.tables["labels"]
    row = dict(zip(header, next(row for row in rows if row[0] == "abnormal"), strict=True))
    # Of 0 to 19 without 2, 5, 9: known are 13 (those of 3, 7, ... are 0, of 2, 6, ... unknown).
    assert row["Known"] == str((labels >= 0).sum()) == "13"
    assert row["Positive"] == str((labels == 1).sum()) == "5"
    assert row["Prevalence"] == "38.5 %"
    for name in ("train", "validation", "test"):
        inside = labels[split == name]
        assert row[name.capitalize()].startswith(f"{(inside == 1).sum()} (")


def test_patients_age_and_sex_are_counted(store, content):
    rows = {row[0]: row[1] for row in content.tables["cohort"]}
    assert rows["Recordings"] == "17"
    assert rows["Recordings without a named patient"].startswith("1 ")
    assert rows["Patients"] == "15"  # p0 twice, and one recording of an unknown patient
    assert rows["Patients with several recordings"] == "1 (6.7 %)"
    sex = store.column("attribute_sex")
    assert rows["Female"].startswith(f"{(sex == 'F').sum()} (")
    assert rows["Age unknown"] == "1 (5.9 %)"
    known = store.column("attribute_age")
    assert rows["Age in years, median (quartiles)"].startswith(f"{np.nanmedian(known):.3g} (")


def test_flags_are_counted_and_explained(store, content):
    bits = store.column("flags")
    rows = {row[0]: row for row in content.tables["flags"][1:]}
    assert set(rows) == {*quality.FLAGS, "no flag"}
    for flag, meaning in quality.FLAGS.items():
        count = sum(flag in quality.unpack_flags(int(bit)) for bit in bits)
        assert rows[flag][1] == str(count)
        assert rows[flag][3] == meaning
    assert rows["nan_span"][1] == rows["zeroed_lead"][1] == "1"
    assert rows["duplicate"][1] == "2"
    assert rows["no flag"][1] == str((bits == 0).sum())


def test_every_flag_that_occurs_has_strips_and_so_has_the_absence_of_any(store, content):
    titles = [attributes["aria-label"] for tag, attributes in content.tags if attributes.get("class") == "strip"]
    occurring = {flag for bit in store.column("flags") for flag in quality.unpack_flags(int(bit))}
    for flag in occurring | {"no flag"}:
        assert any(flag in title for title in titles)
    assert any(title.startswith("Recording r4: zeroed_lead") and "V3" in title.rpartition(":")[2] for title in titles)


def test_measurements_are_those_of_the_index(store, content):
    header, *rows = content.tables["measurements"]
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)}
    rates = store.column("measured_heart_rate")
    assert found["Heart rate (per minute)"]["Median"] == f"{np.nanmedian(rates):.3g}"
    assert found["Duration (s)"]["Lowest"] == f"{store.column('measured_duration').min():.3g}" == "9.5"
    assert found["Sampling rate of the files (Hz)"]["Highest"] == "500"
    assert found["Age (years)"]["Unknown"] == "1"


def test_notes_that_differ_in_numbers_and_paths_are_one_kind(content):
    assert content.tables["notes"][1:] == [["gain of lead 10 assumed", "3"], ["from …/hospital/a10.hea", "3"]]


def test_repeated_recordings_are_listed_with_their_patients_and_splits(store, content):
    assert content.tables["repeats-table"][1:] == [["r7, r8", "2", "2", "train, validation"]]
    assert "1 signal stands more than once" in content.text
    assert "Under several patients: 1; in several splits: 1." in content.text


def test_the_unit_the_contract_and_the_command_are_told(content):
    contract = {row[0]: row[1] for row in content.tables["contract"]}
    assert contract["Sampling rate"] == "400 Hz"
    assert contract["Notch filter"] == "50 Hz"
    assert contract["Leads"] == ", ".join(LEADS)
    assert "lead II's median range is" in content.text
    assert "This agrees with millivolts" in content.text
    command = " ".join(content.text.split())
    assert "python -m ecg_jax.prepare --dataset=folder --source=…/hospital --output=…/store --checks=refuse" in command
    assert "--config.contract.notch=50 --config.data.ptbxl.sampling_rate=500" in command


def test_text_of_others_is_escaped_everywhere(page, content):
    text = page.read_text("utf-8")
    assert text.count("<script>") == 1  # the page's own
    assert EVIL not in text
    assert EVIL in content.text
    assert any(EVIL in attributes.get("aria-label", "") for _, attributes in content.tags)
    assert [row[0] for row in content.tables["labels"][1:]].count(EVIL) == 1


def test_private_folders_are_not_in_the_page(page, store):
    text = page.read_text("utf-8")
    assert "/private" not in text
    assert os.path.dirname(store.folder) not in text


def test_the_page_refers_to_nothing_outside_itself(page, content):
    for tag, attributes in content.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    style = re.search(r"<style>(.*?)</style>", page.read_text("utf-8"), re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for t, a in content.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_a_strip_has_the_proportions_of_ecg_paper():
    signal = np.zeros((1000, 1), np.float32)
    signal[500] = 1.5
    strip = ecg_strip.Strip("t", signal, np.ones_like(signal, bool), ("II",), 500.0)
    svg = ElementTree.fromstring(ecg_strip.draw_strip(strip))
    left, top, width, _ = map(float, svg.get("viewBox").split())
    assert (left, top, width) == (0, 0, 10 + 2 * 25)  # margin, and 25 mm per second
    path = next(part for part in svg.iter("path") if "scale" in part.get("transform", ""))
    scale = float(re.search(r"scale\((.*?)\)", path.get("transform")).group(1))
    numbers = [int(number) for number in re.findall(r"-?\d+", path.get("d"))]
    x, y = np.cumsum(np.array(numbers).reshape(-1, 2), axis=0).T * scale
    assert x[-1] == pytest.approx(999 / 500 * 25, abs=0.05)
    assert -y.min() == pytest.approx(15.0)  # 10 mm per mV
    assert x[y.argmin()] == pytest.approx(25.0)


def test_a_strip_shades_what_is_invalid_and_says_what_it_clips():
    signal = np.zeros((1000, 2), np.float32)
    signal[300:400, 1] = -31.5
    valid = np.ones_like(signal, bool)
    valid[250:500, 0] = False
    svg = ElementTree.fromstring(ecg_strip.draw_strip(ecg_strip.Strip("t", signal, valid, ("I", "<b>"), 500.0)))
    (gap,) = svg.iter("rect")
    assert float(gap.get("x")) == pytest.approx(10 + 0.5 * 25)
    assert float(gap.get("width")) == pytest.approx(0.5 * 25)
    assert [text.text for text in svg.iter("text")] == ["I", "<b>", "−31.5 to 0 mV, clipped"]
    nothing = ecg_strip.Strip("t", signal, np.zeros_like(valid), ("I", "II"), 500.0)
    assert ecg_strip.draw_strip(nothing).count("nothing valid") == 2


def test_examples_are_spread_over_the_purest():
    flag, other = quality.pack_flags(["high_noise"]), quality.pack_flags(["too_short"])
    bits = np.array([flag | other, flag, 0, flag, flag, other, flag, flag], np.int32)
    assert excerpts.choose_rows(bits, "high_noise", 3) == [1, 4, 7]
    assert excerpts.choose_rows(bits, "", 3) == [2]
    assert excerpts.choose_rows(bits, "flat_lead", 3) == []
    assert excerpts.choose_rows(np.array([flag | other, flag], np.int32), "high_noise", 3) == [1, 0]


def test_of_a_long_recording_the_part_and_the_leads_with_the_defect_are_shown(tmp_path):
    signal = beats(1, seconds=60)
    signal[22 * 500 : 23 * 500, LEADS.index("V4")] = np.nan
    dataset = Dataset(
        name="one",
        ids=np.array(["a"]),
        columns={},
        read=lambda i: create_recording(signal, leads=LEADS, sampling_rate=500, id="a"),
    )
    conversion.convert(str(tmp_path / "s"), lambda: dataset, conversion.Settings(InputContract()))
    (found,) = excerpts.find(Store(str(tmp_path / "s")), "nan_span")
    assert found.start == 20
    assert found.recording.leads == ("I", "II", "V1", "V4")
    assert not found.recording.valid[2 * 400 + 10 : 3 * 400 - 10, 3].any()
    assert Tables(Path(prepare._report(str(tmp_path / "s"))).read_text("utf-8")).tables["flow-table"][1][1] == "1"


def test_a_histogram_tells_what_lies_outside_and_counts_no_unknown():
    values = np.concatenate([np.linspace(0, 1, 998), [1000.0, np.nan, np.inf]])
    found = quality_report.describe_distribution("x", values)
    assert (found.known, found.outside) == (999, 1)
    assert found.quantiles[3] == pytest.approx(np.median(values[:999]))
    assert base64.b64decode(found.figure.partition(",")[2]).startswith(b"<?xml")
    assert quality_report.describe_distribution("x", np.full(3, np.nan)).known == 0


def test_messages_of_one_kind_are_counted_together():
    found = messages.count_messages(["a/b.hea: rate 500 Hz", "c.x/d.hea: rate 250.5 Hz", "V1 is flat", "V2 is flat"])
    assert found.to_dict("list") == {
        "message": ["a/b.hea: rate 500 Hz", "V1 is flat", "V2 is flat"],
        "recordings": [2, 1, 1],
    }


LARGE = 300_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An index of 300,000 recordings, all of which lie in the same place."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    steps = np.rint(beats(0, 400) * 1000 + rng.normal(0, 20, (4000, 12))).astype("<i2")
    (folder / "shards").mkdir()
    (folder / "shards" / "a.bin").write_bytes(steps.tobytes())
    number = np.arange(LARGE)
    columns = {
        "ids": number.astype(str),
        "shard": np.zeros(LARGE, np.int32),
        "start": np.zeros(LARGE, np.int64),
        "length": np.full(LARGE, 4000, np.int32),
        "labels": rng.integers(-1, 2, (LARGE, 80)).astype(np.int8),
        "hashes": np.char.mod("%032x", number // 2 * (number < 2000) + number * (number >= 2000)),
        "flags": rng.integers(0, 1 << (len(quality.FLAGS) - 1), LARGE).astype(np.int32) * (number % 3 == 0)
        | np.where(number < 2000, quality.pack_flags(["duplicate"]), 0).astype(np.int32),
        "notes": np.frombuffer(json.dumps({i: [f"gain assumed {i}"] for i in range(0, LARGE, 5)}).encode(), np.uint8),
        "split": np.array(["train", "validation", "test"])[number % 3],
        "patients": (number // 2).astype(str),
        "attribute_age": rng.uniform(18, 100, LARGE).astype(np.float32),
        "attribute_sex": np.array(["F", "M", ""])[number % 3],
    }
    names = ("duration", "sampling_rate", "amplitude", "lead_II_range", "heart_rate", "noise", "wander")
    columns |= {f"measured_{name}": rng.lognormal(1, 0.4, LARGE).astype(np.float32) for name in names}
    contract = InputContract()
    origin = {"dataset": "code15", "source": "/data/code15", "options": {}}
    settings = conversion.Settings(contract, origin=origin).to_dict()
    manifest = {
        "settings": settings,
        "contract": {key: settings["contract"][key] for key in settings["contract"] if key != "normalization"},
        "normalized": False,
        "labels": [f"label {i}" for i in range(80)],
        "columns": sorted(columns),
        "recordings": LARGE,
        "notes": [],
        "shards": [{"name": "a", "samples": 4000, "sha256": hash_file(folder / "shards" / "a.bin")}],
    }
    write_manifest(str(folder), manifest, columns)
    lines = [f"x{i},unreadable,/data/code15/x{i}.hea: cut off after {i} bytes" for i in range(5000)]
    (folder / "problems.csv").write_text("\n".join(["recording,reason,detail", *lines]) + "\n")
    return str(folder)


@pytest.mark.slow
def test_a_report_of_300_000_recordings_is_small(large):
    path = Path(prepare._report(large))
    assert path.stat().st_size < 5e6
    content = Tables(path.read_text("utf-8"))
    assert content.tables["exclusions"][1][2] == "5,000"
    assert len(content.tables["left-out"]) == 1 + 100
    assert len(content.tables["repeats-table"]) == 1 + 50
    assert content.tables["flow-table"][-1][:2] == ["Stored", "300,000"]


PROBE = """<script>
const column = (table, place) => [...document.querySelectorAll(`#${table} tbody tr`)]
  .filter(row => !row.hidden).map(row => row.cells[place].textContent.trim());
const click = (table, place) => document.querySelectorAll(`#${table} thead button`)[place].click();
window.addEventListener("load", () => {
  const found = { images: [...document.images].map(image => image.complete && image.naturalWidth),
                  strips: [...document.querySelectorAll("svg.strip")].map(strip => strip.getBoundingClientRect().width),
                  requests: performance.getEntriesByType("resource").map(entry => entry.name)
                    .filter(name => !name.startsWith("data:")),
                  wide: document.documentElement.scrollWidth - innerWidth, before: column("flags", 0) };
  click("flags", 1); found.descending = column("flags", 1);
  click("flags", 1); found.ascending = column("flags", 1);
  click("flags", 0); found.names = column("flags", 0);
  found.state = document.querySelector("#flags th").getAttribute("aria-sort");
  const result = document.createElement("pre");
  result.id = "probe"; result.textContent = JSON.stringify(found); document.body.append(result);
});
</script>"""


@pytest.fixture(scope="module")
def probed(page, tmp_path_factory):
    """What a script finds that is appended to a copy of the page, on a screen and on a phone."""
    folder = tmp_path_factory.mktemp("browser")
    copy = folder / "page.html"
    copy.write_text(page.read_text("utf-8").replace("</body>", f"{PROBE}</body>"), "utf-8")
    found = []
    for size in ("1200,900", "500,900"):  # headless Chromium lays out no narrower one
        dom, console = browse(copy, folder, f"--window-size={size}", "--virtual-time-budget=3000", "--dump-dom")
        text = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL).group(1)
        found.append(json.loads(html.unescape(text)) | {"console": console, "dom": dom})
    return found


@pytest.mark.slow
def test_in_a_browser_all_figures_appear_and_nothing_is_requested_or_reported(probed):
    for found in probed:
        assert len(found["images"]) >= 6
        assert all(found["images"])
        assert len(found["strips"]) >= 6
        assert min(found["strips"]) > 400
        assert found["requests"] == []
        assert found["console"] == []
        assert "alert(" not in re.sub(r"&lt;script&gt;alert", "", found["dom"])
    assert probed[1]["wide"] <= 0  # a narrow page scrolls its tables, not itself


@pytest.mark.slow
def test_in_a_browser_a_click_sorts_a_table_and_another_turns_it(probed, store):
    found = probed[0]
    assert found["before"] == [*quality.FLAGS, "no flag"]
    numbers = [int(text) for text in found["descending"]]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] == int((store.column("flags") == 0).sum())
    assert [int(text) for text in found["ascending"]] == sorted(numbers)
    assert found["names"] == sorted(found["names"])
    assert found["state"] == "ascending"


@pytest.mark.slow
def test_in_a_browser_a_long_table_shows_its_beginning_until_asked(large, tmp_path):
    script = """<script>
    const shown = () => [...document.querySelectorAll("#labels tbody tr")].filter(row => !row.hidden);
    const first = shown().length, name = shown()[0].cells[0].textContent;
    document.querySelectorAll("#labels thead button")[2].click();
    document.querySelectorAll("#labels thead button")[2].click();
    const sorted = shown().length, other = shown()[0].cells[0].textContent;
    document.querySelector("#labels").parentElement.nextElementSibling.click();
    document.title = JSON.stringify([first, sorted, shown().length, name === other]);
    </script>"""
    copy = tmp_path / "page.html"
    copy.write_text(Path(prepare._report(large)).read_text("utf-8").replace("</body>", f"{script}</body>"), "utf-8")
    dom, console = browse(copy, tmp_path, "--virtual-time-budget=3000", "--dump-dom")
    assert json.loads(html.unescape(re.search("<title>(.*?)</title>", dom).group(1))) == [40, 40, 80, False]
    assert console == []


@pytest.mark.slow
def test_in_a_browser_the_page_is_painted(page, tmp_path):
    """Strips draw black on a reddish grid; a page that did not render is white."""
    from matplotlib import image

    browse(page, tmp_path, "--window-size=1200,6000", f"--screenshot={tmp_path / 'page.png'}")
    pixels = image.imread(tmp_path / "page.png")[..., :3]
    assert pixels.shape[:2] == (6000, 1200)
    red, green, _ = np.moveaxis(pixels, -1, 0)
    assert 0.02 < (red - green > 0.04).mean() < 0.6
    assert (pixels.max(axis=-1) < 0.3).mean() > 0.002
