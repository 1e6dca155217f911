"""Exports a model as one file that takes millivolts and gives calibrated probabilities: StableHLO or ONNX.

  python -m ecg_jax.export --output=model.onnx
  python -m ecg_jax.export --model=runs/finetune --format=stablehlo --output=model.stablehlo --sampling_rate=500

The file takes `signal` [B, samples, 12], float32 millivolts, leads I, II, III, aVR, aVL, aVF, V1 to V6, at
--sampling_rate, NaN where nothing is known, and gives `probability` [B, labels] (`number` of a model of numbers).
Resampling, filters, units, normalization, padding, windows and calibration are inside. --model is named as for
`predict`, and so are --leads, --units_per_millivolt and --names of a Keras file, whose own sampling rate is
--network_rate here.

StableHLO is a ZIP file with `model.bin`, which `jax.export.deserialize` loads with jax alone, on CPU, CUDA and TPU, and
`metadata.json`. ONNX (needs `pip install 'ecg_jax[export]'`) has the same metadata in its own, as JSON: labels,
contract, thresholds, what the model is (`card`), and the limits of the file, which are also printed.
--weights=float16 or int8 stores the weights of ONNX smaller; it computes in float32 all the same.
"""

import math
import os
from collections.abc import Sequence

from absl import flags

from ecg_jax import cli, files
from ecg_jax.contract import MOST_SAMPLES
from ecg_jax.errors import InputError
from ecg_jax.recording import HIGHEST_RATE, LOWEST_RATE

FLAGS = flags.FLAGS
_FORMATS = {"stablehlo": ".stablehlo", "onnx": ".onnx"}
flags.DEFINE_string(
    "model",
    "real",
    "A run folder, a Keras file of the reference network, a PyTorch file of a published one, or weights that ship.",
)
flags.DEFINE_enum("format", None, list(_FORMATS), "Of the file; default onnx for FILE.onnx, else stablehlo.")
flags.DEFINE_string("output", None, "The file to write; default model.stablehlo or model.onnx.")
flags.DEFINE_float("sampling_rate", 500.0, "Of the arrays, in Hz.")
flags.DEFINE_integer("samples", 5000, "Of the arrays.", lower_bound=2, upper_bound=MOST_SAMPLES)
flags.DEFINE_enum("weights", "float32", ("float32", "float16", "int8"), "How ONNX stores weights.")
flags.DEFINE_list("leads", None, "Lead order of a Keras file; default I,II,III,aVR,aVL,aVF,V1,...,V6.")
flags.DEFINE_float("units_per_millivolt", None, "Unit of a Keras file; default 2, as CODE.", lower_bound=1e-6)
flags.DEFINE_float("network_rate", None, "Of a Keras file, in Hz; default 400, as CODE.", lower_bound=1e-6)
flags.DEFINE_list("names", None, "Labels of a Keras file's outputs, in their order.")


def main(argv: Sequence[str]) -> int:
    """Exports; see the module's docstring."""
    cli.refuse_arguments(argv)
    kind, path = _choose()

    from ecg_jax.exporting import metadata, onnx_file, stablehlo
    from ecg_jax.exporting.arrays import Plan
    from ecg_jax.inference.model import load_model

    console = cli.create_console()
    model = load_model(
        FLAGS.model,
        leads=tuple(FLAGS.leads or ()) or None,
        units_per_millivolt=FLAGS.units_per_millivolt,
        sampling_rate=FLAGS.network_rate,
        labels=tuple(FLAGS.names or ()) or None,
    )
    for note in model.notes:
        console.print(f"Model: {note}")
    plan = Plan(model.contract, FLAGS.sampling_rate, FLAGS.samples)
    count, output = len(model.label_names), metadata.name_output(model)
    arrays = f"{metadata.INPUT} [B, {plan.samples}, 12] float32 mV at {plan.sampling_rate:g} Hz"
    console.print(f"Exporting as {kind}: {arrays} -> {output} [B, {count}]")
    with files.replacing(path, "wb") as file:
        if kind == "onnx":
            onnx_file.write(file, model, plan, FLAGS.weights)
        else:
            stablehlo.write(file, model, plan)
    console.print("Not as in `predict`:")
    for line in metadata.list_limits(model, plan, FLAGS.weights):
        console.print(f"  {line}")
    console.print(f"Written: {path}, {os.path.getsize(path) / 1e6:.1f} MB")
    return 0


def _choose() -> tuple[str, str]:
    """Format and path; `InputError` for flags that contradict each other."""
    suffix = os.path.splitext(FLAGS.output or "")[1].lower()
    kind = FLAGS.format or ("onnx" if suffix == ".onnx" else "stablehlo")
    path = FLAGS.output or f"model{_FORMATS[kind]}"
    if suffix in _FORMATS.values() and suffix != _FORMATS[kind]:
        raise InputError(f"--output={path} contradicts --format={kind}, whose files end in {_FORMATS[kind]}; omit one")
    if FLAGS.weights != "float32" and kind != "onnx":
        raise InputError(f"--weights={FLAGS.weights} is for --format=onnx")
    if not LOWEST_RATE <= FLAGS.sampling_rate <= HIGHEST_RATE or not math.isfinite(FLAGS.sampling_rate):
        raise InputError(f"--sampling_rate={FLAGS.sampling_rate:g}; an ECG has {LOWEST_RATE} to {HIGHEST_RATE} Hz")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.access(folder, os.W_OK) or (os.path.exists(path) and not os.path.isfile(path)):
        raise InputError(f"--output={path}: not a file that can be written")
    files.refuse_overwriting([path], [FLAGS.model.rpartition(":")[2]])
    return kind, path


if __name__ == "__main__":
    cli.run(main)
