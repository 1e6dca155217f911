"""A data set is read by workers, not by threads, only if its `read` can be sent to them."""

import pickle

import numpy as np

from ecg_jax.data import workers


def assert_workers_read(dataset):
    packed = workers._pack(dataset.read)
    assert len(packed) < 100_000  # the files stay where they are
    (read,) = pickle.loads(packed)
    there, here = read(len(dataset.ids) - 1), dataset.read(len(dataset.ids) - 1)
    np.testing.assert_array_equal(there.signal, here.signal)
    assert (there.id, there.leads, there.sampling_rate) == (here.id, here.leads, here.sampling_rate)
