"""U2-Net runs on the picture and its mirror image; where they disagree, the matte is grey."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from goldsmith.engines.drivers.u2net import U2Net
from goldsmith.engines.protocols import EngineDescriptor
from goldsmith.picture.picture import Mask

_SEEN = np.zeros((40, 60, 3), np.float32)
_SEEN[:, :30] = 1


class _Net:
    """A network that returns the result of ``say`` for its first channel, and counts its calls."""

    def __init__(self, say: Any) -> None:
        self.say = say
        self.asked = 0

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="in")]

    get_outputs = get_inputs

    def run(self, names: list[str], blobs: dict[str, Any]) -> list[Any]:
        self.asked += 1
        return [self.say(blobs["in"][:, :1])]


def _matte(say: Any) -> tuple[Mask, int]:
    net = _Net(say)
    told = EngineDescriptor(name="u2net", kind="matte", licence="Apache-2.0")
    return U2Net(told, net).matte(_SEEN), net.asked


def test_equal_results_give_a_certain_matte() -> None:
    """Check that bright parts are the subject anywhere in the picture."""
    matte, asked = _matte(lambda seen: (seen > 0).astype(np.float32))
    assert asked == 2
    assert matte.shape == (40, 60)
    assert matte[:, :29].min() == 1
    assert matte[:, 31:].max() == 0


def test_different_results_give_grey() -> None:
    """Check a network that always finds something on its left."""
    left = np.zeros((1, 1, 320, 320), np.float32)
    left[:, :, :, :100] = 1
    matte, _ = _matte(lambda seen: left)
    assert matte[20, 5] == matte[20, 55] == pytest.approx(0.5)
    assert matte[20, 30] == 0


def test_a_faint_result_is_no_subject() -> None:
    """Check that it is not stretched to 0..1."""
    matte, _ = _matte(lambda seen: 0.4 * (seen > 0).astype(np.float32))
    assert not matte.any()
