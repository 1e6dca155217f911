"""Writes the pages of the site that are made from the code, and brings the repository's other pages into it.

Commands are described by their own `--helpxml`, formats, data sets and networks by their modules' docstrings.
"""

import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from ecg_jax import __main__ as verbs
from ecg_jax.data.datasets import DATASETS
from ecg_jax.data.readers import FORMATS
from ecg_jax.models import __main__ as models
from ecg_jax.models.benchmarks import COMPARISONS
from ecg_jax.models.imports.published import PUBLISHED

ROOT = Path(__file__).parents[1]
COPIED = {  # page of the site: page of the repository
    "generated/security": "SECURITY.md",
    "generated/contributing": "CONTRIBUTING.md",
    "generated/changelog": "CHANGELOG.md",
    "generated/tests": "tests/README.md",
    **{f"generated/{name}": f"ecg_jax/pretrained/{name}.md" for name in ("real", "simulated", "delineator")},
}
WRITTEN = ("commands", "data_sets", "formats", "networks")  # from the code
_PAGES = {page: name for name, page in COPIED.items()} | {"README.md": "index"}
_VALUES = {"string": "TEXT", "int": "N", "float": "NUMBER", "comma separated list of strings": "TEXT,TEXT"}
_LINK = re.compile(r"\[([^\]]+)\]\(((?!https?:|#|mailto:)[^)\s]+)\)")


def write_all(folder: Path) -> None:
    """Writes every page into `folder`; one that has not changed keeps its time, so that it is not built again."""
    folder.mkdir(exist_ok=True)
    writers = (write_commands, write_data_sets, write_formats, write_networks)
    texts = {name: "\n".join(write()) for name, write in zip(WRITTEN, writers, strict=True)}
    texts |= {Path(name).name: (ROOT / page).read_text() for name, page in COPIED.items()}
    for name, text in texts.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def mend_links(app: object, name: str, content: list[str]) -> None:
    """Links to pages of the repository lead to those of the site; to its other files they become their names."""
    origin = ROOT / COPIED.get(name, f"docs/{name}.md")

    def mend(match: re.Match[str]) -> str:
        text, (path, mark, heading) = match[1], match[2].partition("#")
        target = os.path.relpath(origin.parent / path, ROOT)
        page = _PAGES.get(target, target.removeprefix("docs/").removesuffix(".md") if target[:5] == "docs/" else "")
        if not page:
            return f"{text} (`{target}`)"
        suffix = Path(target).suffix if Path(target).suffix != ".md" else ".md"
        place = os.path.relpath(page, os.path.dirname(name) or ".")
        return f"[{text}]({place}{suffix}{'' if page == 'index' else mark + heading})"

    content[0] = _LINK.sub(mend, content[0])
    if name == "index":
        content[0] += "".join(_write_contents(content[0]))
    if name.startswith("tutorials/"):
        download = f"As a notebook with its output: {{nb-download}}`{Path(name).name}.ipynb`."
        content[0] = content[0].replace("\n## ", f"\n{download}\n\n## ", 1)


def _write_contents(index: str) -> Iterator[str]:
    """The sidebar: the pages that each section of the index lists, after those that it begins with."""
    for section in index.split("\n## "):
        title, _, text = section.partition("\n")
        caption = "Start" if title.startswith("#") else title
        pages = [match[2].removesuffix(".md") for match in _LINK.finditer(text)]
        if caption == "Start":
            pages = ["start", "concepts"]
        if caption == "Reference":
            pages += [f"generated/{page}" for page in WRITTEN]
        yield "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def write_commands() -> Iterator[str]:
    """A section for each verb: its help, and a table of its flags."""
    yield "# Commands\n"
    yield "What `--help` of each command says. `ecg-jax VERB` and `python -m ecg_jax.VERB` are the same.\n"
    for verb, module in verbs.VERBS.items():
        yield f"## {verb}\n"
        if module == "models":  # has no flags
            yield from quote_help(inspect.getdoc(models) or "")
            continue
        found = subprocess.run(
            [sys.executable, "-m", f"ecg_jax.{module}", "--helpxml"], capture_output=True, check=False
        )
        described = ElementTree.fromstring(found.stdout)
        yield from quote_help(described.findtext("usage", ""))
        yield from ("| flag | default | meaning |", "|---|---|---|")
        yield from map(_describe_flag, sorted(_list_own(described), key=lambda flag: flag.findtext("name", "")))
        yield ""


def quote_help(text: str) -> Iterator[str]:
    """A docstring as Markdown: its indented lines are commands."""
    is_command = False
    for line in [*text.strip().splitlines(), ""]:
        if line.startswith("  ") != is_command:
            is_command = not is_command
            yield "```"
        yield line.strip() if is_command else line


def _list_own(described: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """The flags of a command without those of libraries; `config` stands for its keys, which have a page."""
    for flag in described.iter("flag"):
        own = flag.findtext("key") == "yes" or flag.findtext("file", "").startswith("ecg_jax")
        if own and "config." not in flag.findtext("name", ""):
            yield flag


def _describe_flag(flag: ElementTree.Element) -> str:
    name, default, meaning, kind = (flag.findtext(tag, "") for tag in ("name", "default", "meaning", "type"))
    choices = "|".join(value.text or "" for value in flag.iter("enum_value"))
    value = "" if kind == "bool" else f"={choices or _VALUES.get(kind, 'FILE')}"
    cells = f"`--{name}{value}`", default and f"`{default}`", meaning.removeprefix(f"<{choices}>: ")
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def write_formats() -> Iterator[str]:
    """A section for each format: what its reader says of it."""
    yield "# Formats\n"
    yield "What is read, from which description. Which were tried with real files: [input](../input.md#formats).\n"
    yield from _describe_modules(FORMATS)


def write_data_sets() -> Iterator[str]:
    """A section for each data set: what its module says of it, and of opening it."""
    yield "# Data sets\n"
    yield "How each is opened from the command line: [data](../data.md). What labels mean: [labels](../labels.md).\n"
    yield from _describe_modules({name: inspect.getmodule(create) for name, create in DATASETS.items()}, DATASETS)


def write_networks() -> Iterator[str]:
    """Networks that ship, that can be trained, and that others have published."""
    yield "# Networks and weights\n"
    yield "## Weights that ship\n"
    yield from (f"- [{name}]({name}.md)" for name in ("real", "simulated", "delineator"))
    yield "\n## Networks to train\n"
    yield from ("| `model.name` | |", "|---|---|")
    yield "| `reference` | the network of Ribeiro et al. 2020 |"
    yield "| `narrow` | the same, a quarter as wide |"
    for name, network in COMPARISONS.items():
        yield f"| `{name}` | {(inspect.getdoc(inspect.getmodule(network.trunk)) or '').partition(chr(10))[0]} |"
    yield "\n## Weights that others have published\n"
    for name, facts in PUBLISHED.items():
        yield from (
            f"### {name}\n",
            "```",
            *(
                line
                for fact in models.describe(name, facts)
                for line in textwrap.wrap(fact, 110, subsequent_indent="    ")
            ),
            "```",
            "",
        )


def _describe_modules(modules: Mapping[str, object], functions: Mapping[str, object] | None = None) -> Iterator[str]:
    for name, module in modules.items():
        yield from (f"## {name}\n", inspect.getdoc(module) or "", "")
        if functions:
            yield from ((inspect.getdoc(functions[name]) or "").partition("\nArgs:")[0], "")
