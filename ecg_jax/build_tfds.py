"""Converts a public data set to array_record files with tensorflow-datasets, here or on Apache Beam.

  python -m ecg_jax.build_tfds --dataset=ptbxl --source=DIR --output=DATA_DIR
  python -m ecg_jax.build_tfds --dataset=code15 --source=DIR --output=DATA_DIR -- --runner=DaskRunner

What stands after `--` goes to Apache Beam, whose runners spread the work over processes or
machines. A build is whole or not there: one that was stopped starts over.
"""

from collections.abc import Sequence

from absl import flags

from ecg_jax import cli

_DATASET = flags.DEFINE_string("dataset", None, "challenge2021, code15, ptbxl or ptbxl/100hz.", required=True)
_SOURCE = flags.DEFINE_string("source", None, "The folder of its files.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Where built data sets lie.", required=True)


def main(argv: Sequence[str]) -> None:
    """Builds one data set; see the module's docstring."""
    beam_arguments = argv[1:]
    if beam_arguments and not beam_arguments[0].startswith("--"):
        cli.refuse_arguments(argv)
    from ecg_jax.data.datasets import builders

    console = cli.create_console()
    builder = builders.create(_DATASET.value, _OUTPUT.value)
    if builder.is_prepared():
        console.print(f"Nothing to do: {builder.data_dir} is there.")
    else:
        place = f"on Apache Beam ({' '.join(beam_arguments)})" if beam_arguments else "in this process"
        console.print(f"{builder.info.full_name} from {_SOURCE.value}, {place}")
        builders.build(builder, _SOURCE.value, beam_arguments)
        for note in builder.info.metadata["notes"]:
            console.print(f"Note: {note}")
        counts = ", ".join(f"{split.num_examples} {name}" for name, split in builder.info.splits.items())
        console.print(f"Written: {builder.data_dir} ({counts})")
    console.print(f"Next: ecg-jax train --config.data.dataset=tfds --config.data.source={builder.data_dir}")


if __name__ == "__main__":
    cli.run(main, computes=False)
