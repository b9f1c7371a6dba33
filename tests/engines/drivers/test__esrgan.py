"""Both networks match their papers, and a file with another network is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from doubles import ncnn as files
from goldsmith.engines.drivers._esrgan import EsrganNet, build_net
from goldsmith.engines.drivers._ncnn import read_ncnn
from goldsmith.errors import InputError


def _build(model: Any, folder: Path) -> EsrganNet:
    return build_net(read_ncnn(*model.save(folder)))


def _picture(height: int = 9, width: int = 7) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).random((1, 3, height, width), dtype=np.float32))


def test_a_compact_net_without_weights_only_enlarges(tmp_path: Path) -> None:
    """Check that with weights of zero the result is exactly the nearest-neighbour enlargement."""
    net = _build(files.compact(scale=3, empty=True), tmp_path)
    picture = _picture()
    assert net.scale == 3
    assert torch.equal(net.module(picture), picture.repeat_interleave(3, 2).repeat_interleave(3, 3))


def test_a_compact_net_matches_its_formula(tmp_path: Path) -> None:
    """Check convolution, PReLU, convolution, pixel shuffle, plus the enlargement."""
    writer = files.compact(scale=2)
    picture = _picture()
    (w1, b1), (w2, b2) = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in writer.weights]
    hidden = functional.conv2d(picture, w1, b1, padding=1)
    detail = functional.conv2d(torch.where(hidden > 0, hidden, hidden * 0.25), w2, b2, padding=1)
    expected = functional.pixel_shuffle(detail, 2) + functional.interpolate(picture, scale_factor=2)
    assert torch.allclose(_build(writer, tmp_path).module(picture), expected, atol=1e-6)


def test_a_compact_net_may_shrink_at_its_end(tmp_path: Path) -> None:
    """Check that x2 and x3 reduce the x4 network to exact sides."""
    for shrink, scale in ((0.5, 2), (0.75, 3)):
        net = _build(files.compact(scale=4, shrink=shrink), tmp_path)
        assert net.scale == scale
        assert net.module(_picture(8, 12)).shape == (1, 3, 8 * scale, 12 * scale)


@pytest.mark.parametrize(
    "model", [files.compact(2), files.compact(4, shrink=0.5), files.compact(4, shrink=0.75)], ids=["x2", "x4/2", "x4*3/4"]
)
def test_a_compact_net_needs_no_more_context_than_its_pad(tmp_path: Path, model: Any) -> None:
    """Check that a pixel farther away than ``pad`` cannot change the result."""
    net = _build(model, tmp_path)
    side = 2 * net.pad + 9
    picture = _picture(side, side)
    changed = picture.clone()
    changed[:, :, :, : side // 2 - net.pad] = 0
    middle = slice(side // 2 * net.scale, (side // 2 + 1) * net.scale)
    assert torch.equal(net.module(picture)[..., middle, middle], net.module(changed)[..., middle, middle])


def test_a_residual_net_matches_its_formula(tmp_path: Path) -> None:
    """Check RRDB as in the ESRGAN paper: dense blocks scaled by 0.2, skip connections, two doublings."""
    writer = files.residual(blocks=2)
    net = _build(writer, tmp_path)
    picture = _picture()
    weights = iter([(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in writer.weights])

    def conv(x: torch.Tensor) -> torch.Tensor:
        weight, bias = next(weights)
        return functional.conv2d(x, weight, bias, padding=1)

    def leaky(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, x * 0.2)

    first = conv(picture)
    x = first
    for _ in range(2):
        entry = x
        for _ in range(3):
            channels = x
            for _ in range(4):
                channels = torch.cat([channels, leaky(conv(channels))], 1)
            x = conv(channels) * 0.2 + x
        x = x * 0.2 + entry
    x = first + conv(x)
    for _ in range(2):
        x = leaky(conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    expected = conv(leaky(conv(x)))
    assert net.scale == 4
    assert torch.allclose(net.module(picture), expected, atol=1e-5)


def test_16_bit_weights_give_nearly_the_same_net(tmp_path: Path) -> None:
    """Check that ncnn's 16-bit files lose about three decimals at most."""
    picture = _picture()
    exact = _build(files.compact(), tmp_path).module(picture)
    assert torch.allclose(_build(files.compact(half=True), tmp_path).module(picture), exact, atol=2e-3)


def _add_softmax(writer: Any) -> Any:
    writer.plain("Softmax")
    return writer


def _shuffle_by_three(writer: Any) -> Any:
    writer.lines = [line.replace("0=2", "0=3") if line.startswith("PixelShuffle") else line for line in writer.lines]
    return writer


def _enlarge_three_times(writer: Any) -> Any:
    writer.lines = [line.replace("2.000000e+00", "3.000000e+00") for line in writer.lines]
    return writer


def _drop_padding(writer: Any) -> Any:
    writer.lines = [line.replace("4=1", "4=0") for line in writer.lines]
    return writer


@pytest.mark.parametrize(
    ("change", "create"),
    [
        (_add_softmax, files.compact),
        (_shuffle_by_three, files.compact),
        (_drop_padding, files.compact),
        (_enlarge_three_times, files.residual),
        (_drop_padding, files.residual),
    ],
)
def test_another_net_is_refused(tmp_path: Path, change: Callable[[Any], Any], create: Callable[[], Any]) -> None:
    """Check valid files with another network."""
    with pytest.raises(InputError, match=r"not a Real-ESRGAN network|not a 3 x 3 convolution"):
        _build(change(create()), tmp_path)
