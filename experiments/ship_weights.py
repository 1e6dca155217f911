r"""Makes a finished run weights of the package: arrays, what they need, and the model card.

  python experiments/ship_weights.py --name=simulated --run=runs/pretrain --scores=zero_shot/report.csv \
      --command='...' --commit=HASH

`--scores` is what `zero_shot.py --report` wrote with this run. Rounds to float16, and says
what that does to the probabilities of 64 simulated ECGs.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE)]

import flax  # noqa: E402
import jax  # noqa: E402

from ecg_jax import config as config_lib  # noqa: E402
from ecg_jax import pretrained as shipped  # noqa: E402
from ecg_jax.data import preprocess_on_device  # noqa: E402
from ecg_jax.inference.model import Model, load_model  # noqa: E402
from ecg_jax.models import weights as weights_lib  # noqa: E402
from ecg_jax.runtime import run_folder  # noqa: E402
from ecg_jax.simulation import SAMPLING_RATE  # noqa: E402
from ecg_jax.simulation.simulator import Population, simulate_many  # noqa: E402

CARD = """# {notice}

`ecg_jax.load_model("{stem}")` and `--model={stem}` of the commands load them; `--config.init.weights={stem}` starts
from them. They are no medical device, and no patient should be judged by them.

## What they are

The `{name}` network of ecg_jax ({parameters:,} parameters, float16), with {outputs} outputs: the six diagnoses 1dAVb,
RBBB, LBBB, SB, AF and ST; `abnormal`; the superclasses NORM, MI, STTC, CD and HYP; and other SCP statements ([all,
with the criteria of the simulated reader](../../docs/labels.md)).
Input: {samples} samples of {leads} leads at {rate:g} Hz, {highpass:g} to {lowpass:g} Hz, {units:g} units per millivolt,
zeros around it. A recording whose leads are already z-scored is given usual amplitudes; {loss:.0%} of the training
examples were, too.

{training}

## How well they did on real ECGs

No recording of these was used to train or to choose anything: PTB-XL's fold 10 in millivolts and z-scored, LUDB, and
the Challenge 2020/21. AUROC with 95 % intervals; labels with 10 positives or more, `mean` over these.

    python experiments/zero_shot.py --data=DIR --model={stem} --report

{table}

Each set is small, and was labelled by other rules than the next. **The thresholds do not carry over.** Sensitivity and
specificity at those that ship:

{decisions}

[What is known not to work](../../docs/limits.md).
"""


TRAINING = {
    shipped.SIMULATED: """
Trained on simulated ECGs (`ecg_jax/simulation/`, population `hospital`), new ones for every step:

    {command}

seed {seed}, best of the evaluations on {validation} simulated recordings at step {step} ({examples:,} examples), commit
{commit}, jax {jax}, flax {flax}, {hardware}. No real ECG is among the examples. The simulator's normal beats have the
mean and the covariance of the parameters of {beats} normal beats of PTB-XL's folds 1 to 8 (Wagner et al. 2020, CC BY
4.0), and the sizes of its diseases were compared with these folds; how long to train was chosen on fold 9.
Calibration (Platt) and thresholds (largest F1) were fitted on the {validation} simulated recordings, in which
diagnoses are more frequent than among patients (those with fewer than 5 positives keep their probabilities and the
threshold 0.5) and `SB` begins at 50, 55 or 60 per minute, as readers differ. Choose
thresholds again on recordings of your own before you count decisions.
""",
    shipped.REAL: """
The weights `simulated` ([their card](simulated.md)), trained further on {simulated:,} simulated ECGs and on recordings
of PTB-XL's folds 1 to 8 (Wagner et al. 2020, Sci Data 7:154, doi 10.13026/kfzx-aw45, CC BY 4.0): {millivolts} in
millivolts at 100 Hz, {zscored} z-scored; labels that are unknown were masked:

    {command}

seed {seed}, best of the evaluations on fold 9 ({validation} recordings) at step {step}, commit {commit}, jax {jax},
flax {flax}, {hardware}. Calibration (Platt) and thresholds (largest F1) were fitted on fold 9 as well, where sinus
bradycardia is written below 50 per minute; findings with fewer than 5 positives there keep their probabilities and the
threshold 0.5. Where findings are rarer or readers have other habits, choose them again.
""",
}


def show_auroc(row: pd.Series) -> str:
    """With its interval, and how many recordings there are."""
    counted = "" if row["label"].endswith("mean") else f", {row['positives']} of {row['n']}"
    return f"{row['auroc']:.3f} ({row['auroc_low']:.3f}-{row['auroc_high']:.3f}){counted}"


def show_decisions(row: pd.Series) -> str:
    """Sensitivity and specificity."""
    return f"{row['recall']:.2f}, {row['specificity']:.2f}"


def write_table(scores: pd.DataFrame, show: Callable[[pd.Series], str]) -> str:
    """Markdown: a row per label, a column per data set."""
    cells = scores.assign(cell=scores.apply(show, axis=1))
    wide = cells.pivot(index="label", columns="set", values="cell").fillna("")
    wide = wide.loc[scores["label"].drop_duplicates(), scores["set"].drop_duplicates()]
    lines = [
        ["", *wide.columns],
        ["---"] * (1 + wide.shape[1]),
        *([str(label), *row] for label, *row in wide.itertuples()),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def compare(model: Model, other: Model) -> float:
    """The largest difference between the probabilities of two models, before calibration, on simulated ECGs."""
    drawn = simulate_many(jax.random.split(jax.random.key(0), 64), Population())
    steps = model.contract.signal_steps(SAMPLING_RATE) + model.contract.amplitude_steps()
    apply = functools.partial(preprocess_on_device.run, steps)
    signal = np.asarray(jax.jit(jax.vmap(apply))(drawn.signal, drawn.valid[..., None]))
    return float(np.abs(model.predict_raw(signal) - other.predict_raw(signal)).max())


def main() -> None:
    """Writes and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, choices=sorted(set(shipped.FILES.values())))
    parser.add_argument("--run", required=True, help="run folder")
    parser.add_argument("--scores", required=True, help="CSV of zero_shot.py --report")
    parser.add_argument("--command", required=True, help="that trained it")
    parser.add_argument("--commit", required=True, help="at which it was trained")
    parser.add_argument("--examples", type=int, default=0, help="of all runs, where one went on from another")
    parser.add_argument("--millivolts", type=int, default=0, help="real recordings trained on, for the card of `real`")
    parser.add_argument("--zscored", type=int, default=0, help="the same, z-scored")
    parser.add_argument("--validation", type=int, default=0, help="recordings that chose; default the simulated ones")
    parser.add_argument("--beats", type=int, default=364, help="that fit_beats.py described")
    parser.add_argument("--hardware", default="2 CPU cores")
    options = parser.parse_args()
    config = config_lib.from_dict(run_folder.read_json(os.path.join(options.run, run_folder.CONFIG)))
    model = load_model(options.run)
    scores = pd.read_csv(options.scores).round(6)
    provenance = {
        "command": options.command,
        "commit": options.commit,
        "hardware": options.hardware,
        "seed": config.seed,
        "step": int(run_folder.read_json(os.path.join(options.run, run_folder.RESULT))["best_step"]),
        "jax": jax.__version__,
        "flax": flax.__version__,
    }
    arrays = {path: np.asarray(each) for path, each in weights_lib.flatten(model.variables).items()}
    assert model.calibration is not None
    shipped.write(
        arrays,
        {
            "model": config_lib.to_dict(config)["model"],
            "contract": model.contract.to_dict(),
            "labels": list(model.label_names),
            "calibration": model.calibration.to_dict(),
            "thresholds": model.thresholds,
            "unchosen": list(model.unchosen),
            "provenance": provenance,
            "results": scores.to_dict("records"),
        },
        options.name,
    )
    contract = model.contract
    facts = {
        "beats": options.beats,
        "examples": options.examples or provenance["step"] * config.train.batch_size,
        "millivolts": options.millivolts,
        "zscored": options.zscored,
        "simulated": config.data.simulated.train,
        "validation": options.validation or config.data.simulated.validation,
    } | provenance
    card = CARD.format(
        stem=options.name,
        training=TRAINING[options.name].strip().format(**facts),
        notice=shipped.NOTICES[options.name],
        name=config.model.name,
        parameters=sum(each.size for path, each in arrays.items() if path.startswith("params")),
        outputs=len(model.label_names),
        samples=contract.samples,
        leads=len(contract.leads),
        rate=contract.sampling_rate,
        highpass=contract.highpass,
        lowpass=contract.lowpass,
        units=contract.units_per_millivolt,
        loss=config.augment.amplitude_loss,
        table=write_table(scores, show_auroc),
        decisions=write_table(scores, show_decisions),
    )
    with open(os.path.join(shipped.FOLDER, f"{options.name}.md"), "w") as file:
        file.write(card)
    size = os.path.getsize(os.path.join(shipped.FOLDER, f"{options.name}.npz"))
    print(f"Written: {shipped.FOLDER}, {size / 1e6:.2f} MB")
    print(f"Largest difference of a probability by rounding to float16: {compare(model, load_model(options.name)):.2g}")


if __name__ == "__main__":
    main()
