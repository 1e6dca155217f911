"""What a file says about itself: labels, contract, thresholds, and what of `predict` it does not hold."""

from typing import Any

from ecg_jax.exporting.arrays import Plan
from ecg_jax.inference.model import Model
from ecg_jax.kinds import FINDING
from ecg_jax.recording import LEADS

INPUT = "signal"


def name_output(model: Model) -> str:
    """`probability`, or `number` of a model of numbers."""
    return "probability" if model.kind == FINDING else "number"


def describe(model: Model, plan: Plan, weights: str = "float32") -> dict[str, Any]:
    """What is known of an export, JSON-ready."""
    windows = (plan.begins / plan.contract.sampling_rate).tolist()
    return {
        "card": (model.notice or model.title).partition("\n")[0],
        "labels": list(model.label_names),
        "kind": model.kind,
        "input": {
            "name": INPUT,
            "shape": ["B", plan.samples, len(LEADS)],
            "dtype": "float32",
            "unit": "mV",
            "sampling_rate": plan.sampling_rate,
            "leads": list(LEADS),
            "unknown": "NaN",
        },
        "output": {"name": name_output(model), "shape": ["B", len(model.label_names)], "dtype": "float32"},
        "calibration": model.calibration.method if model.calibration else "none",
        "thresholds": dict(model.thresholds),
        "threshold_rule": model.threshold_rule,
        "unchosen": list(model.unchosen),
        "contract": model.contract.to_dict(),
        "windows": {"starts": windows, "seconds": plan.contract.samples / plan.contract.sampling_rate},
        "largest": list(model.largest),
        "weights": weights,
        "limits": list_limits(model, plan, weights),
    }


def list_limits(model: Model, plan: Plan, weights: str = "float32") -> list[str]:
    """How the file differs from `predict`, one line each."""
    contract, count = model.contract, len(plan.begins)
    seconds = plan.samples / plan.sampling_rate
    lines = [
        f"one length: {plan.samples} samples at {plan.sampling_rate:g} Hz, {seconds:g} s; another length or rate needs "
        "an export of its own, and NaN at the ends of a shorter recording is not the same as its own length",
    ]
    if count > 1:
        combined = "means or largest values" if model.largest else "means"
        lines.append(
            f"windows: the output combines {count} windows ({combined}); that of a single window is not reported"
        )
    lines += [
        "missing leads: a lead that is NaN throughout is missing; a limb lead is derived from two others, a chest lead "
        "becomes zeros, and the file does not report it; `predict` takes a lead that is there but has no sample as "
        "zeros",
        "checks: unit, lead order, sampling rate, quality and recordings of the training set are not checked",
        "amplitude: recordings that were z-scored before are not supported",
    ]
    if contract.trim:
        lines.append("ends: stretches at both ends in which all leads are equal are not cut off")
    if weights != "float32":
        lines.append(f"weights: rounded to {weights}, so that probabilities differ from those of `predict`")
    return lines
