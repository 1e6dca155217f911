"""The model of a pod in `experiments/scaling.py`, by hand."""

import functools
import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "experiments" / "scaling.py"
HLO = """
  %a = f32[16,12,64]{2,1,0} all-reduce(f32[16,12,64]{2,1,0} %x), channel_id=1
  %b = (f32[64]{0}, bf16[128]{0}, s32[]) all-reduce(f32[64]{0} %y, bf16[128]{0} %z, s32[] %n), channel_id=2
  %c = f32[8]{0} all-reduce-start(f32[8]{0} %u), channel_id=3
  %d = f32[8]{0} all-reduce-done(f32[8]{0} %c)
  %e = f32[64]{0} add(f32[64]{0} %y, f32[64]{0} %y)
"""


@pytest.fixture(scope="module")
def scaling():
    spec = importlib.util.spec_from_file_location("scaling", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(PATH.parent))


def test_all_reduces_are_read_from_a_compiled_program(scaling):
    assert scaling.read_all_reduces(HLO) == [16 * 12 * 64 * 4, 64 * 4 + 128 * 2 + 4, 8 * 4]


@pytest.fixture
def predict(scaling):
    return functools.partial(scaling.predict_efficiency, bandwidth=50, hop_us=3)


def test_efficiency_by_hand(predict):
    """Two chips, 50 GB/s: 100 MB move once each way in 2 ms, and two hops of 3 us for each of two all-reduces."""
    seconds = 0.002 + 2 * 2 * 3e-6
    assert predict(0.1, [60_000_000, 40_000_000], 2) == pytest.approx(0.1 / (0.1 + seconds))
    assert predict(0.1, [100], 1) == 1
    hidden = predict(0.1, [60_000_000, 40_000_000], 2, hidden_bytes=50_000_000)
    assert hidden == pytest.approx(0.1 / (0.1 + seconds - 0.001))


def test_more_chips_are_never_more_efficient(predict):
    found = [predict(0.1, [25_000_000] + 36 * [2560], n, hidden_bytes=25_000_000) for n in (1, 8, 64, 512)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 1 > found[1]
