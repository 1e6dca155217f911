"""Messages name flags that the running command has, or say which command has them."""

import ast
import re
from pathlib import Path

import processes
import pytest

import ecg_jax

ROOT = Path(ecg_jax.__file__).parent
COMMANDS = ("build_tfds", "embed", "evaluate", "explain", "export", "main", "predict", "prepare", "sweep")
TREES = {
    ".".join(("ecg_jax", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): ast.parse(
        path.read_text()
    )
    for path in ROOT.rglob("*.py")
}
# What all commands share. Data sets say `--config.data...`, which `elsewhere` translates for commands without it.
SHARED = re.compile(r"ecg_jax\.data\.(readers|store|splits|verify|preprocess)")
FLAG = re.compile(r"--([a-z]\w*)")


def list_imports(module):
    """Modules of the package that one imports, anywhere in it."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reach(module):
    reached, waiting = set(), [module]
    while waiting:
        if (each := waiting.pop()) not in reached:
            reached.add(each)
            waiting += [name for name in list_imports(each) if name in TREES]
    return reached


def list_flags(module):
    """Flags that a module defines."""
    calls = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]
    return {call.args[0].value for call in calls if getattr(call.func, "attr", "").startswith("DEFINE_")}


def list_texts(tree):
    """Texts other than docstrings, each f-string as one."""
    texts = {node: ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)}
    inside = {part for text in texts for part in ast.walk(text)} | {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }
    constants = {node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return [*texts.values(), *(node.value for node in constants - inside)]


REACHED = {command: reach(f"ecg_jax.{command}") for command in COMMANDS}
FLAGS = {command: set().union(*map(list_flags, modules)) for command, modules in REACHED.items()}
SAID = [(name, text) for name, tree in TREES.items() if SHARED.match(name) for text in list_texts(tree)]


def find_named(text):
    """Commands that a message names."""
    words = {*re.findall(r"\w+", text)}
    return {
        command for command in COMMANDS if command in words or (command == "main" and {"train", "training"} & words)
    }


def find_faults(module, text):
    """Flags of a message that a command lacks in which it can appear; or of one that it names, if that has none."""
    named, flags = find_named(text), FLAG.findall(text)
    if named:
        return flags if any(FLAGS[command].isdisjoint(flags) for command in named) else []
    commands = [command for command in COMMANDS if module in REACHED[command]]
    return [flag for flag in flags if not all(flag in FLAGS[command] for command in commands)]


def test_messages_of_what_commands_share_name_the_command_whose_flag_they_advise():
    found = [text for module, text in SAID if not FLAG.fullmatch(text) and find_faults(module, text)]
    assert found == []


@pytest.mark.parametrize(
    "text, faults",
    [
        ("write it or pass --file_rate", ["file_rate"]),
        ("write it; predict also takes --file_rate", []),
        ("write it; prepare also takes --file_rate", ["file_rate"]),
        ("predict it with --checks=warn (in training, --config.data.checks)", []),
        ("show it with --traceback", []),
    ],
    ids=["not of all", "of the one named", "not of the one named", "each its own", "of all"],
)
def test_a_flag_that_a_command_lacks_is_found(text, faults):
    assert find_faults("ecg_jax.data.readers.arrays", text) == faults


@pytest.mark.parametrize(
    "flag, meant", [("file_sampling_rate", "file_rate"), ("sampling_rte", "sampling_rate"), ("mesure", "measure")]
)
def test_an_unknown_flag_suggests_one_of_its_family_first(flag, meant):
    done = processes.run("-m", "ecg_jax.predict", f"--{flag}=3", "x.npy")
    assert done.returncode == 1
    assert done.stderr == f"error: --{flag}: no such flag; did you mean --{meant}?\n"
