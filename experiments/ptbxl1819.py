"""Turns a published, already normalized part of PTB-XL into an array and a CSV that can be trained from.

  python experiments/ptbxl1819.py --source=DIR --output=ptbxl1819

1,819 ECGs of 10 s at 250 Hz, filtered to 0.5-40 Hz and z-scored per lead, so that their
amplitude is gone: unit and lead checks do not apply, and the state is declared. DIR holds
`signals_250hz_delta_int16.npy.xz`, [1819, 12, 2500] first differences along time in steps
of 1/200, and the row-aligned `scp_statements_of_records.csv` (or `labels_6class.csv` alone). Writes
`ptbxl1819.npy`, float32 [1819, 2500, 12], and `ptbxl1819.csv` with `id` (PTB-XL's `ecg_id`), `split`, and
`scp_codes`, patient, fold, age and sex (or six labels), so that every label of PTB-XL is there
(`--config.data.labels=six,abnormal,superclasses,statements`). Train from it:

  python -m ecg_jax.main --config=configs/reference.py --config.data.dataset=arrays \
      --config.data.source=ptbxl1819.npy --config.data.arrays.unit=zscore \
      --config.data.arrays.sampling_rate=250 --config.contract.normalization=zscore

Positives (1dAVb, RBBB, LBBB, SB, AF, ST): 78, 51, 59, 38, 122, 66. Recordings: 1,442 to
train, 183 to validate, 194 to test (PTB-XL's folds 1-8, 9, 10).
"""

import argparse
import lzma
import os

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.table import read_table
from ecg_jax.errors import InputError

SIGNALS, LABELS = "signals_250hz_delta_int16.npy.xz", "labels_6class.csv"
STATEMENTS = "scp_statements_of_records.csv"
STEPS_PER_DEVIATION = 200


def read_signals(path: str) -> np.ndarray:
    """Reads `[N, 12, samples]` differences as `[N, samples, 12]` float32 standard deviations.

    Raises:
        InputError: when the file is missing, damaged or of another shape.
    """
    try:
        with lzma.open(path) as file:
            differences = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{path}: not a readable .npy.xz array ({' '.join(str(error).split())})") from error
    if differences.ndim != 3 or differences.shape[1] != 12 or differences.dtype != np.int16:
        raise InputError(f"{path}: {differences.dtype} {differences.shape}; expected int16 [N, 12, samples]")
    steps = np.cumsum(differences, axis=2, dtype=np.int32).transpose(0, 2, 1)
    return np.ascontiguousarray(steps, np.float32) / np.float32(STEPS_PER_DEVIATION)


def convert(source: str, output: str) -> tuple[str, str]:
    """Writes `output`.npy and `output`.csv and returns their names."""
    csv = os.path.join(source, STATEMENTS)
    columns: tuple[str, ...] = ("ecg_id", "patient_id", "split", "age", "sex", "strat_fold", "scp_codes")
    if not os.path.isfile(csv):
        csv, columns = os.path.join(source, LABELS), ("ecg_id", "split", *label_lib.SIX)
    table = read_table(csv, columns)[[*columns]]
    signals = read_signals(os.path.join(source, SIGNALS))
    if len(signals) != len(table):
        raise InputError(f"{csv}: {len(table)} rows against {len(signals)} recordings; row i must label recording i")
    table.insert(0, "id", table["ecg_id"])
    table.to_csv(f"{output}.csv", index=False)
    np.save(f"{output}.npy", signals)
    return f"{output}.npy", f"{output}.csv"


def main() -> None:
    """Converts and says what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--output", default="ptbxl1819")
    arguments = parser.parse_args()
    print("wrote", *convert(arguments.source, arguments.output))


if __name__ == "__main__":
    main()
