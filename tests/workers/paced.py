"""Runs `ecg_jax.main` with some seconds of rest after every training step, so that a signal finds it training.

python paced.py SECONDS [flags of ecg_jax.main]   (of two with one name, the last counts)
"""

import sys
import time

from ecg_jax import cli
from ecg_jax import main as entry
from ecg_jax.runtime import parallel


def main() -> None:
    flags = {flag.partition("=")[0]: flag for flag in sys.argv[2:]}
    seconds, sys.argv = float(sys.argv[1]), [sys.argv[0], *flags.values()]
    compile_train = parallel.Parallel.compile_train

    def compile_paced(self, *args, **kwargs):
        step = compile_train(self, *args, **kwargs)

        def run(*values):
            time.sleep(seconds)
            return step(*values)

        return run

    parallel.Parallel.compile_train = compile_paced
    cli.run(entry.main)


if __name__ == "__main__":
    main()
