"""The site: what is written from the code, links between pages, and the whole build with its tutorials."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ecg_jax.data.datasets import DATASETS
from ecg_jax.data.readers import FORMATS
from ecg_jax.models.imports.published import PUBLISHED

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import generated  # noqa: E402 - lies in docs/

FLAG = """<flag><key>yes</key><file>ecg_jax/x.py</file><name>unit</name><default>mV</default>
<meaning>&lt;mV|uV&gt;: Of the file.</meaning><type>string enum</type>
<enum_value>mV</enum_value><enum_value>uV</enum_value></flag>"""


def test_help_becomes_text_and_commands():
    text = "Reads.\n\n  python -m x\n  python -m y   (too)\n\nWrites."
    assert list(generated.quote_help(text)) == [
        *("Reads.", "", "```", "python -m x", "python -m y   (too)", "```", "", "Writes.", "")
    ]


def test_a_flag_has_its_choices_in_a_row():
    row = generated._describe_flag(ElementTree.fromstring(FLAG))
    assert row == r"| `--unit=mV\|uV` | `mV` | Of the file. |"


def test_a_switch_and_a_text_without_a_default():
    switch = "<flag><name>quick</name><default>false</default><meaning>Hurry.</meaning><type>bool</type></flag>"
    assert generated._describe_flag(ElementTree.fromstring(switch)) == "| `--quick` | `false` | Hurry. |"
    text = "<flag><name>to</name><meaning>Where.</meaning><type>string</type></flag>"
    assert generated._describe_flag(ElementTree.fromstring(text)) == "| `--to=TEXT` |  | Where. |"


@pytest.mark.parametrize(
    "page, link, expected",
    [
        ("input", "[f](data.md#splits)", "[f](data.md#splits)"),
        ("input", "[s](../SECURITY.md)", "[s](generated/security.md)"),
        ("input", "[t](../tests/README.md)", "[t](generated/tests.md)"),
        ("input", "[c](../ecg_jax/contract.py)", "c (`ecg_jax/contract.py`)"),
        ("input", "[d](https://doi.org/1)", "[d](https://doi.org/1)"),
        ("generated/contributing", "[w](README.md#where-things-are)", "[w](../index.md)"),
        ("generated/contributing", "[i](docs/input.md)", "[i](../input.md)"),
        ("generated/real", "[l](../../docs/labels.md)", "[l](../labels.md)"),
        ("tutorials/fine_tune", "[k](../configuration.md)", "[k](../configuration.md)"),
        ("generated/formats", "[i](../input.md#formats)", "[i](../input.md#formats)"),
    ],
)
def test_links_of_the_repository_lead_to_pages_of_the_site(page, link, expected):
    content = [f"See {link}."]
    generated.mend_links(None, page, content)
    assert content == [f"See {expected}."]


def test_the_sidebar_has_every_page_that_the_index_lists_and_those_written_from_the_code():
    content = [(ROOT / "docs" / "index.md").read_text()]
    assert "toctree" not in content[0]
    assert "](generated/" not in content[0]  # no clone has these
    generated.mend_links(None, "index", content)
    listed = re.findall(r"^[a-z0-9_/]+$", content[0], re.MULTILINE)
    files = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    own = {name for name in files if not name.startswith("generated/")} - {"index"}
    assert len(listed) == len(set(listed))
    assert set(listed) == own | {*generated.COPIED} | {f"generated/{name}" for name in generated.WRITTEN}


def test_a_tutorial_of_the_site_offers_its_notebook():
    content = ["# A\n\nText.\n\n## 1. One\n\n## 2. Two\n"]
    generated.mend_links(None, "tutorials/a", content)
    assert content[0].count("{nb-download}`a.ipynb`.\n\n## 1. One") == 1
    assert content[0].count("nb-download") == 1


def test_every_format_data_set_and_network_is_described():
    for write, names in (
        (generated.write_formats, FORMATS),
        (generated.write_data_sets, DATASETS),
        (generated.write_networks, PUBLISHED),
    ):
        text = "\n".join(write())
        headings = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
        assert {*names} <= {*headings}


def test_the_page_of_problems_quotes_what_the_code_says():
    quoted = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "problems.md").read_text(), re.MULTILINE)
    said = "".join(path.read_text() for path in ROOT.glob("ecg_jax/**/*.py"))
    assert quoted
    assert [text for text in quoted if text not in said] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ptbxl", "somebody_elses_weights", "explain_and_measure"])
def test_a_tutorial_simulates_the_recordings_that_are_not_there(tmp_path, name):
    """Its first cell; the commands after it read what that leaves, whichever it is."""
    text = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text()
    [cell, *_] = re.findall(r"^```\{code-cell\} ipython3\n:tags: .*?\n\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    environment = os.environ | {"ECG_JAX_SHARED": str(tmp_path / "absent")}
    done = subprocess.run([sys.executable, "-c", cell], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "imulated" in done.stdout


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_its_tutorials_run(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    options = ["-W", "--keep-going", "-q", "-D", f"nb_execution_cache_path={tmp_path / 'cache'}"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-d", tmp_path / "trees", ROOT / "docs", tmp_path / "site"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "--traceback" in (tmp_path / "site" / "generated" / "commands.html").read_text()
    for tutorial in (ROOT / "docs" / "tutorials").glob("*.md"):
        [notebook] = tmp_path.glob(f"jupyter_execute/tutorials/{tutorial.stem}.ipynb")
        cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
        assert cells
        assert all(cell["execution_count"] for cell in cells), tutorial
