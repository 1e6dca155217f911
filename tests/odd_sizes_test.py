"""Files of published networks with odd sizes: each is loaded, or refused in one line."""

import age_resnet_test
import chagas_inception_test
import ecg_fm_test
import net1d_test
import numpy as np
import pytest
import xresnet1d101_test
from torch_layers import Arrays

from ecg_jax.errors import InputError
from ecg_jax.models.imports import chagas_inception, ecg_age, ecg_fm, ecgfounder, xresnet1d101

CASES = {
    "ecgfounder": (ecgfounder.load, net1d_test.create_tensors),
    "ecg_age": (ecg_age.load, age_resnet_test.create_tensors),
    "chagas_inception": (chagas_inception.load, chagas_inception_test.create_tensors),
    "xresnet1d101": (xresnet1d101.load, xresnet1d101_test.create_tensors),
    "ecg_fm": (ecg_fm.load, ecg_fm_test.create_tensors),
    "ecg_fm pretrained": (ecg_fm.load, lambda: ecg_fm_test.pretrain(ecg_fm_test.create_tensors())),
}
SIZES = (0, 1, 2, 3, 16, 1 << 20)
EDITS = 25


def resize(array: np.ndarray, shape: list[int]) -> np.ndarray:
    """Ones, without memory for them; the array itself where no file could hold as many."""
    return np.broadcast_to(np.float32(1), shape) if np.prod(shape, dtype=float) < 1 << 23 else array


def edit(tensors: Arrays, rng: np.random.Generator) -> Arrays:
    """Changes one dimension of one tensor, one size wherever it is, or the number of dimensions or tensors."""
    name, size = list(tensors)[rng.integers(len(tensors))], SIZES[rng.integers(len(SIZES))]
    shape = list(tensors[name].shape)
    place, kind = rng.integers(max(1, len(shape))), rng.integers(6)
    if kind == 0:
        return {other: array for other, array in tensors.items() if other != name}
    if kind == 1:
        return tensors | {name: resize(tensors[name], [*shape, size])}
    if kind == 2 and shape:
        return tensors | {name: resize(tensors[name], shape[:place] + shape[place + 1 :])}
    if kind == 3 and shape:
        return tensors | {name: resize(tensors[name], [*shape[:place], size, *shape[place + 1 :]])}
    known = sorted({length for array in tensors.values() for length in array.shape})
    old = known[rng.integers(len(known))]
    return {
        other: resize(array, [size if length == old else length for length in array.shape])
        for other, array in tensors.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_every_size_is_loaded_or_refused_in_one_line(name):
    load, create_tensors = CASES[name]
    rng, tensors = np.random.default_rng(0), create_tensors()
    options = {"heads": ecg_fm_test.HEADS} if name.startswith("ecg_fm") else {}
    refusals = []
    for _ in range(EDITS):
        try:
            load(edit(tensors, rng), "x.pth", **options)
        except InputError as error:
            refusals.append(str(error))
    assert 0 < len(refusals) < EDITS
    assert all(line.startswith("x.pth: ") and "\n" not in line for line in refusals)


def test_a_stage_of_one_channel_is_refused():
    tensors = net1d_test.create_tensors(stem=1, widths=(1, 2), blocks=(1, 1))
    with pytest.raises(InputError, match=r"x\.pth: ecgfounder: a stage of 1 channels; squeeze-excitation halves them"):
        ecgfounder.load(tensors, "x.pth")


def test_more_blocks_than_any_signal_has_samples_for_are_refused():
    """Each but the first pools by 4: 4**34 samples would be needed for one at the end."""
    with pytest.raises(InputError, match=r"its tensors have sizes of which no network can be built \(Overfl"):
        ecg_age.load(age_resnet_test.create_tensors(widths=(1,) * 35, steps=1), "x.pth")
