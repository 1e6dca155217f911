"""Runs `ecg_jax.evaluate` without drawing: most of the time that it takes, and what is drawn is tested elsewhere.

python undrawn.py [flags of ecg_jax.evaluate]
"""

import runpy

from ecg_jax.reporting import evaluation_figures, regression_figures

if __name__ == "__main__":
    evaluation_figures.plan = regression_figures.plan = lambda *_: {}
    runpy.run_module("ecg_jax.evaluate", run_name="__main__", alter_sys=True)
