"""U2-Net runs on the picture and its mirror image; where they disagree, the matte is grey."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from goldsmith.engines.drivers.u2net import U2Net
from goldsmith.engines.protocols import EngineDescriptor
from goldsmith.picture.picture import Mask

_PIXELS = np.zeros((40, 60, 3), np.float32)
_PIXELS[:, :30] = 1


class _Net:
    """A network that returns the result of ``answer`` for its first channel, and counts its calls."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.call_count = 0

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="in")]

    get_outputs = get_inputs

    def run(self, names: list[str], blobs: dict[str, Any]) -> list[Any]:
        self.call_count += 1
        return [self.answer(blobs["in"][:, :1])]


def _matte(answer: Any) -> tuple[Mask, int]:
    net = _Net(answer)
    descriptor = EngineDescriptor(name="u2net", kind="matte", licence="Apache-2.0")
    return U2Net(descriptor, net).matte(_PIXELS), net.call_count


def test_equal_results_give_a_certain_matte() -> None:
    """Check that the bright part is the subject and the dark part is not."""
    matte, call_count = _matte(lambda channel: (channel > 0).astype(np.float32))
    assert call_count == 2
    assert matte.shape == (40, 60)
    assert matte[:, :29].min() == 1
    assert matte[:, 31:].max() == 0


def test_different_results_give_grey() -> None:
    """Check a network that always returns the left part."""
    left = np.zeros((1, 1, 320, 320), np.float32)
    left[:, :, :, :100] = 1
    matte, _ = _matte(lambda channel: left)
    assert matte[20, 5] == matte[20, 55] == pytest.approx(0.5)
    assert matte[20, 30] == 0


def test_a_faint_result_is_no_subject() -> None:
    """Check that a faint result is not stretched to 0..1."""
    matte, _ = _matte(lambda channel: 0.4 * (channel > 0).astype(np.float32))
    assert not matte.any()
