"""Commands in the documentation and in docstrings: their programs, flags, keys and files exist. None is run."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecg_jax.__main__ import VERBS
from ecg_jax.config.keys import KEYS

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/*.md", "docs/tutorials/*.md", "tests/*.md", "ecg_jax/**/*.md")
SOURCES = ("ecg_jax/**/*.py", "experiments/**/*.py", "configs/*.py")
COMMAND = re.compile(
    r"(?:python3? -m ecg_jax\.?|python3? (?=experiments/)|\becg-jax )(?P<program>[a-z][\w./]*)(?P<rest>.*)"
)
FLAG = re.compile(r"(?<![\w-])--([a-z_][\w.]*)(?:=([\w.]+))?")
OF_ABSL = {"help", "helpfull", "helpxml"}


def list_commands() -> Iterator[tuple[str, str, str]]:
    """The file, the program and the rest of each command; a line that ends with a backslash goes on."""
    for pattern in (*PAGES, *SOURCES):
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text()
            if path.suffix == ".py":
                text = ast.get_docstring(ast.parse(text)) or ""
            blocks = "\n".join(re.findall(r"^```.*?^```|^ {2,}\S[^\n]*$", text, re.MULTILINE | re.DOTALL))
            lines = [*re.sub(r"\\\n\s*", " ", blocks).splitlines(), *re.findall(r"`([^`\n]+)`", text)]
            for part in (part for line in lines for part in re.split(r";|&&|`", line)):
                if found := COMMAND.search(part):
                    yield str(path.relative_to(ROOT)), found["program"], re.split(r" -- |\s{3,}\(", found["rest"])[0]


def find_source(program: str) -> Path:
    """The file of `experiments/NAME.py`, of a verb of `ecg-jax`, or of a module of the package."""
    program = "main" if program == "experiments/pods/local.py" else program  # which passes its flags on
    if program.startswith("experiments/"):
        return ROOT / program
    path = ROOT / "ecg_jax" / VERBS.get(program, program).replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def list_flags(source: Path) -> frozenset[str]:
    """Flags that a program defines, or the modules with flags that it imports."""
    text = source.read_text()
    names = set(re.findall(r"(?:DEFINE_\w+|add_argument)\(\s*\"(?:--)?([a-z_]\w*)\"", text))
    names |= OF_ABSL if "flags" in text else {"help"}
    names |= {f"no{name}" for name in re.findall(r"DEFINE_bool\(\s*\"(\w+)\"", text)}
    for module in ("cli", "recording_flags"):
        if source.stem != module and re.search(rf"from ecg_jax import [^\n]*\b{module}\b", text):
            names |= list_flags(ROOT / "ecg_jax" / f"{module}.py")
    return frozenset(names)


COMMANDS = sorted(set(list_commands()))


@pytest.mark.parametrize("page", sorted({page for page, *_ in COMMANDS}))
def test_programs_flags_and_keys_of_commands_exist(page):
    for _, program, rest in (command for command in COMMANDS if command[0] == page):
        source = find_source(program)
        assert source.exists(), program
        for name, value in FLAG.findall(rest):
            if not name.startswith("config."):
                assert name in list_flags(source), f"{program} {rest}: --{name}"
            elif name != "config.KEY":
                key = KEYS[name.removeprefix("config.")]
                known = {str(choice) for choice in key.choices}
                assert not known or not value or value.isupper() or value in known, f"--{name}={value}"


def test_files_that_are_named_exist():
    for pattern in PAGES:
        for page in ROOT.glob(pattern):
            for name in re.findall(r"\b((?:tests|experiments|configs)/[\w/]+\.py)\b", page.read_text()):
                assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_commands_are_found_wherever_they_are_written():
    pages = {page for page, *_ in COMMANDS}
    assert {"README.md", "docs/results.md", "docs/tutorials/folds.md", "ecg_jax/pretrained/real.md"} <= pages
    assert {"ecg_jax/predict.py", "experiments/zero_shot.py", "configs/finetune.py"} <= pages
    assert ("docs/results.md", "experiments/zero_shot.py", " --data=DIR --model=simulated --report") in COMMANDS
    flags = list_flags(find_source("evaluate"))
    assert {"nofloor", "interval", "traceback"} <= flags
    assert "figure" not in flags
