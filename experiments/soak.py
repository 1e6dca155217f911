"""Does a long run keep its memory? Thousands of steps of a tiny network, and the process's size at each log line.

  python experiments/soak.py [--steps=2000] [--every=50] [--json=FILE]

Trains configs/smoke.py on recordings of 256 samples, evaluated and saved every 250 steps, in a
folder that is removed. The memory is what `metrics.jsonl` has of it: resident, and so with what
the C library keeps of what was freed. As in `ecg_jax.main`, it keeps all of it, in one arena.

On 2 CPU cores (jax 0.10.2): 1094 MB over the first hundred steps, 1118 over the last hundred; 1105 from step 300 to
1100 and 1118 from step 1150 to 2000, with two changes in 1,700 steps and no growth between them. Before this script
had the C library keep what is freed, in one arena, it was 1087 to 1154 MB, and over 5,000 steps with one arena alone
(MALLOC_ARENA_MAX=1) 1032 to 1085 MB, up and down, highest at step 2,500.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ecg_jax.runtime import startup

startup.configure_allocator()

from configs import smoke  # noqa: E402
from ecg_jax.runtime.metric_writer import read_metrics  # noqa: E402
from ecg_jax.training import loop  # noqa: E402


def measure(steps: int, every: int) -> list[dict[str, float]]:
    """Trains; returns `step` and `rss_mb` at every log line."""
    config = smoke.get_config()
    config.contract.samples = 256
    config.train.update(steps=steps, log_every=every, eval_every=5 * every)
    config.early_stopping.patience = 0
    config.evaluation.update(resamples=10, report=False)
    with tempfile.TemporaryDirectory() as folder:
        loop.train_and_evaluate(config, folder, Console(soft_wrap=True))
        lines = read_metrics(str(Path(folder) / "metrics.jsonl"))
    return [{"step": line["step"], "rss_mb": 1e3 * line["host_memory_gb"]} for line in lines if line["kind"] == "train"]


def summarize(lines: list[dict[str, float]]) -> dict[str, float]:
    """Means of the first and last hundred steps, and the slope of the second half in kB per step."""
    steps, sizes = (np.array([line[key] for line in lines]) for key in ("step", "rss_mb"))
    half = steps > steps[-1] / 2
    return {
        "first_hundred_mb": float(sizes[steps <= 100].mean()),
        "last_hundred_mb": float(sizes[steps > steps[-1] - 100].mean()),
        "slope_kb_per_step": float(1e3 * np.polyfit(steps, sizes, 1)[0]),
        "slope_of_second_half_kb_per_step": float(1e3 * np.polyfit(steps[half], sizes[half], 1)[0]),
    }


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--every", type=int, default=50, help="steps between log lines; five of these to an evaluation")
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    options = parser.parse_args()
    lines = measure(options.steps, options.every)
    result = summarize(lines)
    print("\n".join(f"{name:>34} {value:10.2f}" for name, value in result.items()))
    if options.json:
        options.json.write_text(json.dumps(result | {"lines": lines}, indent=1))


if __name__ == "__main__":
    main()
