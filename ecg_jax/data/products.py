"""Products of matrices of one recording, on one thread: several wait for each other for longer than they compute."""

import numpy as np

_ALONE = 1 << 18  # multiplications, up to which OpenBLAS takes one thread


def multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The product of `[m, k]` and `[k, n]` of one dtype, a few rows at a time."""
    product = np.empty((len(left), right.shape[1]), left.dtype)
    rows = max(_ALONE // right.size, 1)
    for begin in range(0, len(left), rows):
        np.matmul(left[begin : begin + rows], right, out=product[begin : begin + rows])
    return product
