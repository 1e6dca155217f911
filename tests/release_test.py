"""What is released: versions that agree, the image's steps, templates and metadata that can be read."""

import configparser
import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import numpy as np
import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def steps(stage):
    """`(instruction, rest)` of each line of a stage, up to the next."""
    lines = DOCKERFILE.replace("\\\n", " ").partition(f" AS {stage}\n")[2].partition("\nFROM ")[0].splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def test_the_change_log_begins_with_the_version_of_setup_cfg():
    found = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert found
    assert found[1] == SETUP["metadata"]["version"]


def test_the_citation_and_the_package_name_the_same_author_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["authors"] == [{"name": SETUP["metadata"]["author"]}]
    assert citation["license"] == SETUP["metadata"]["license"]
    assert {"cff-version", "message", "title"} < {*citation}


def test_the_workflow_runs_what_every_machine_runs():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["run"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    oldest = SETUP["options"]["python_requires"].removeprefix(">=")
    assert oldest in job["strategy"]["matrix"]["python"]


def is_valid(path, kind):
    """Whether a file follows a schema that check-jsonschema carries."""
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", f"vendor.{kind}", str(path)])
    assert done.exit_code == 0 or "Schema validation errors" in done.output, done.output
    return done.exit_code == 0


@pytest.mark.parametrize(
    "name, kind, key, mistyped",
    [
        (".github/workflows/ci.yml", "github-workflows", "runs-on", "runs_on"),
        (".github/ISSUE_TEMPLATE/config.yml", "github-issue-config", "blank_issues_enabled", "blank_issues"),
        (".github/ISSUE_TEMPLATE/file_read_wrongly.yml", "github-issue-forms", "label:", "lable:"),
        (".github/ISSUE_TEMPLATE/wrong_result.yml", "github-issue-forms", "label:", "lable:"),
        ("CITATION.cff", "citation-file-format", "authors", "author"),
    ],
)
def test_a_forge_can_read_what_is_for_it(name, kind, key, mistyped, tmp_path):
    assert is_valid(ROOT / name, kind)
    text = (ROOT / name).read_text()
    assert key in text
    other = tmp_path / Path(name).name
    other.write_text(text.replace(key, mistyped))
    assert not is_valid(other, kind)


def test_every_hook_before_a_commit_runs_a_program_of_the_set_up():
    [local] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    programs = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert programs == {f".venv/bin/{name}" for name in ("ruff", "mypy", "lint-imports")}
    assert all(hook["language"] == "system" for hook in local["hooks"])


@pytest.mark.parametrize("form", ["file_read_wrongly", "wrong_result"])
def test_the_forms_for_issues_ask_for_the_command_with_its_traceback(form):
    body = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{form}.yml").read_text())["body"]
    fields = {field["id"]: field for field in body if "id" in field}
    assert "--traceback" in fields["output"]["attributes"]["description"]
    assert fields["output"]["validations"]["required"]
    assert "contract" in fields or "format" in fields


def test_the_image_copies_what_is_there_and_what_the_package_is_made_of():
    copied = {name for verb, rest in steps("installed") if verb == "COPY" for name in rest.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    packages = SETUP["options"]["package_dir"].split()[2::3]
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", *packages} == copied
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied


def test_the_image_of_beam_has_a_version_that_the_package_takes():
    version = re.search(r"^ARG BEAM=(.+)$", DOCKERFILE, re.MULTILINE)[1]
    assert Requirement(SETUP["options.extras_require"]["beam"].strip()).specifier.contains(version)
    assert {"cuda", "tpu"} < {*SETUP["options.extras_require"]}  # that EXTRA may name


def test_no_image_runs_as_root():
    for stage in re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)[3:]:
        assert "\nUSER ecg\n" in stage


@pytest.mark.slow
def test_the_steps_of_the_image_give_the_command(tmp_path):
    """Copies into an empty folder, and the installation as written, of the package alone: the rest is here already."""
    place = tmp_path / "opt"
    place.mkdir()
    for verb, rest in steps("installed"):
        for name in rest.split()[:-1] if verb == "COPY" else ():
            source, target = ROOT / name, place / name
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    venv.create(tmp_path / "environment", with_pip=True)
    folder = tmp_path / "environment" / "bin"
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PIP_NO_DEPS": "1", "PIP_QUIET": "2"}
    [install] = [rest for verb, rest in steps("installed") if verb == "RUN" and "pip install" in rest]
    subprocess.run(["sh", "-c", install], cwd=place, env=environment, check=True)
    [site] = (tmp_path / "environment" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    shutil.rmtree(place)
    found = subprocess.run(["ecg-jax", "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "predict" in found.stdout, found.stderr
    assert str(folder) in shutil.which("ecg-jax", path=environment["PATH"])
