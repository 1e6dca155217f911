"""Lists the models that can be loaded: weights that ship, and those that others publish, with what they expect.

  python -m ecg_jax.models
  python -m ecg_jax.models ecgfounder     (all that is known of one)

A model is given to predict, evaluate and embed as --model, and to main as --config.init.weights: the name of weights
that ship, a run folder, a Keras file of the reference network, or the file that the authors of a network publish, as
FILE or NAME:FILE. Nothing is downloaded, and PyTorch is not needed.
"""

import sys

from rich.console import Console
from rich.table import Table

from ecg_jax import pretrained
from ecg_jax.contract import InputContract
from ecg_jax.models.imports.published import PUBLISHED, Published


def main() -> None:
    """Prints the table, or what is known of one network."""
    wanted = sys.argv[1:]
    if {"--help", "-h", "--helpfull", "--helpshort"} & {*wanted}:
        print(__doc__)
        return
    if unknown := [name for name in wanted if name not in PUBLISHED]:
        sys.exit(f"error: no published network {unknown[0]}; known: {', '.join(PUBLISHED)}")
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=140)
    if wanted:
        for name in wanted:
            console.print("\n".join(describe(name, PUBLISHED[name])))
        return
    table = Table("--model", "network", "parameters", "input", "outputs", "licence")
    for name in dict.fromkeys(pretrained.FILES.values()):
        found = pretrained.read(name)
        size = sum(array.size for path, array in found.arrays.items() if path.startswith("params"))
        summary = summarize(InputContract.from_dict(found.contract))
        table.add_row(
            name, f"{found.model['name']}: ships", f"{size:,}", summary, str(len(found.labels)), "as the package"
        )
    for name, facts in PUBLISHED.items():
        outputs = str(len(facts.labels()))
        table.add_row(
            f"{name}:FILE", facts.title, f"{facts.parameters:,}", summarize(facts.contract), outputs, facts.licence
        )
    console.print(table)
    console.print("Other --model: a run folder; a Keras file of the reference network.")
    console.print("More of one: ecg-jax models NAME")


def summarize(contract: InputContract) -> str:
    """The input in a few words."""
    duration = contract.samples / contract.sampling_rate
    return f"{len(contract.leads)} leads, {contract.sampling_rate:g} Hz, {duration:.3g} s"


def describe(name: str, facts: Published) -> list[str]:
    """All that is known of a published network, one line each."""
    different = InputContract().differences(facts.contract)
    settings = [line.replace(": ", " ", 1).split(" against ")[1] for line in different]
    names = [line.partition(":")[0] for line in different]
    labels = facts.labels()
    largest = "all" if facts.largest == labels else ", ".join(facts.largest)
    return [
        f"{name}: {facts.title}",
        f"  weights: {facts.url}",
        f"  SHA-256: {facts.sha256 or 'unknown'}",
        f"  licence: {facts.licence}",
        f"  parameters: {facts.parameters:,}",
        f"  trained on: {facts.training}",
        f"  input: {summarize(facts.contract)}; as in {facts.preprocessing}",
        *(f"    contract.{key}: {value}" for key, value in zip(names, settings, strict=True)),
        f"  outputs ({len(labels)}): {', '.join(labels)}",
        *([f"  largest of all windows, not their mean: {largest}"] if facts.largest else []),
    ]


if __name__ == "__main__":
    main()
