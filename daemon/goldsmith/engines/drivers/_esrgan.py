"""The two networks of Real-ESRGAN (Wang et al. 2021), built from the layers of an ncnn model.

RRDBNet: ESRGAN's generator (Wang et al. 2018), x4. SRVGGNetCompact: a plain chain of convolutions at the small size, then pixel shuffle
added to the nearest-neighbour enlargement. The layers of a file, not its name, decide which one it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from goldsmith.engines.drivers._ncnn import NcnnLayer
from goldsmith.errors import InputError

_KNOWN_LAYERS = frozenset({"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "Convolution", "PReLU", "PixelShuffle"})
_DENSE_CONVOLUTIONS = 5
_BLOCK_CONVOLUTIONS = 3 * _DENSE_CONVOLUTIONS
# Convolutions of an RRDBNet outside its blocks: one first, one after the body, two for enlarging, two at the end.
_OUTER_CONVOLUTIONS = 6


@dataclass(frozen=True, slots=True, eq=False)
class EsrganNet:
    """A network, float32 (1, 3, h, w) -> (1, 3, h * scale, w * scale), and the tiling it needs.

    float32_layers: the layers that must stay in float32; a lower precision would round flat areas to steps. side, pad: px of a tile and of
    its context.
    """

    module: nn.Module
    float32_layers: tuple[nn.Module, ...]
    scale: int
    side: int
    pad: int


def build_net(layers: Sequence[NcnnLayer]) -> EsrganNet:
    """Return the network of these layers. Raises InputError if it is neither RRDBNet nor SRVGGNetCompact."""
    unknown = sorted({layer.kind for layer in layers} - _KNOWN_LAYERS)
    if unknown:
        raise InputError(f"This is not a Real-ESRGAN network: it has {', '.join(unknown)} layers.")
    if any(layer.kind == "PixelShuffle" for layer in layers):
        return _build_compact(layers)
    return _build_rrdb(layers)


def _build_convolution(layer: NcnnLayer) -> nn.Conv2d:
    if (
        layer.weight is None
        or layer.bias is None
        or layer.weight.shape[2:] != (3, 3)
        or layer.int_setting(4) != 1
        or layer.int_setting(3, 1) != 1
    ):
        raise InputError(f"The layer {layer.name} is not a 3 x 3 convolution with a padding of 1.")
    outputs, inputs = layer.weight.shape[:2]
    convolution = nn.Conv2d(inputs, outputs, 3, 1, 1)
    convolution.weight = nn.Parameter(torch.from_numpy(layer.weight), requires_grad=False)
    convolution.bias = nn.Parameter(torch.from_numpy(layer.bias), requires_grad=False)
    return convolution


class _DenseBlock(nn.Module):  # type: ignore[misc]  # torch is untyped here, see pyproject
    """Five convolutions; each takes the outputs of all earlier ones."""

    def __init__(self, parts: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [x]
        for part in self.parts[:-1]:
            outputs.append(functional.leaky_relu(part(torch.cat(outputs, 1)), 0.2))
        last: Tensor = self.parts[-1](torch.cat(outputs, 1))
        return last * 0.2 + x


class _RrdbBlock(nn.Module):  # type: ignore[misc]  # torch is untyped here, see pyproject
    """Three dense blocks with a skip connection."""

    def __init__(self, parts: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        self.dense = nn.Sequential(
            *(_DenseBlock(parts[at : at + _DENSE_CONVOLUTIONS]) for at in range(0, _BLOCK_CONVOLUTIONS, _DENSE_CONVOLUTIONS))
        )

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.dense(x)
        return output * 0.2 + x


class _RrdbNet(nn.Module):  # type: ignore[misc]  # torch is untyped here, see pyproject
    """RRDBNet x4."""

    def __init__(self, parts: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        self.first = parts[0]
        self.body = nn.Sequential(
            *(
                _RrdbBlock(parts[at : at + _BLOCK_CONVOLUTIONS])
                for at in range(1, len(parts) - _OUTER_CONVOLUTIONS + 1, _BLOCK_CONVOLUTIONS)
            )
        )
        self.after, self.up1, self.up2, self.high, self.last = parts[-5:]

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x.to(self.first.weight.dtype))
        x = first + self.after(self.body(first))
        for up in (self.up1, self.up2):
            x = functional.leaky_relu(up(functional.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        output: Tensor = self.last(functional.leaky_relu(self.high(x), 0.2).to(self.last.weight.dtype))
        return output.float()


def _build_rrdb(layers: Sequence[NcnnLayer]) -> EsrganNet:
    parts = [_build_convolution(layer) for layer in layers if layer.kind == "Convolution"]
    blocks, rest = divmod(len(parts) - _OUTER_CONVOLUTIONS, _BLOCK_CONVOLUTIONS)
    interps = [layer for layer in layers if layer.kind == "Interp"]
    if blocks < 1 or rest or [layer.float_setting(1, 0) for layer in interps] != [2.0, 2.0]:
        raise InputError(f"This is not a Real-ESRGAN network: it has {len(parts)} convolutions and {len(interps)} enlargements.")
    _check_dense(parts, blocks)
    # The receptive field grows with the number of layers. With 24 px of context, a tile differs from the whole picture by 0.6 codes of 255
    # on average.
    return EsrganNet(_RrdbNet(parts), float32_layers=(parts[-1],), scale=4, side=192, pad=24)


def _check_dense(parts: Sequence[nn.Conv2d], blocks: int) -> None:
    base_channels, growth = parts[0].out_channels, parts[1].out_channels
    dense = [
        (base_channels + number * growth, growth if number < _DENSE_CONVOLUTIONS - 1 else base_channels)
        for number in range(_DENSE_CONVOLUTIONS)
    ]
    expected = [(3, base_channels), *(dense * 3 * blocks), *((base_channels, base_channels),) * 4, (base_channels, 3)]
    if [(part.in_channels, part.out_channels) for part in parts] != expected:
        raise InputError("This is not a Real-ESRGAN network: its convolutions do not fit each other.")


class _CompactNet(nn.Module):  # type: ignore[misc]  # torch is untyped here, see pyproject
    """SRVGGNetCompact. Its enlargement stays in float32 for every precision of the chain, so that flat areas keep their exact value."""

    def __init__(self, chain: Sequence[nn.Module], shuffle: int, shrink: float) -> None:
        super().__init__()
        self.chain = nn.Sequential(*chain)
        self.shuffle = shuffle
        self.shrink = shrink

    def forward(self, x: Tensor) -> Tensor:
        detail = functional.pixel_shuffle(self.chain(x.to(self.chain[0].weight.dtype)), self.shuffle)
        enlarged = functional.interpolate(x, scale_factor=self.shuffle, mode="nearest") + detail.float()
        if self.shrink == 1:
            return enlarged
        return functional.interpolate(enlarged, scale_factor=self.shrink, mode="bicubic", align_corners=False)


def _build_compact(layers: Sequence[NcnnLayer]) -> EsrganNet:
    chain: list[nn.Module] = []
    for layer in layers:
        if layer.kind == "Convolution":
            chain.append(_build_convolution(layer))
        elif layer.kind == "PReLU":
            chain.append(_build_prelu(layer))
    interps = [layer.float_setting(1, 0) for layer in layers if layer.kind == "Interp"]
    shuffle = next(layer.int_setting(0) for layer in layers if layer.kind == "PixelShuffle")
    shrink = interps[1] if len(interps) == 2 else 1.0
    scale = shuffle * shrink
    convolutions = [part for part in chain if isinstance(part, nn.Conv2d)]
    fits = all(before.out_channels == after.in_channels for before, after in pairwise(convolutions))
    ends = bool(convolutions) and convolutions[0].in_channels == 3 and convolutions[-1].out_channels == 3 * shuffle**2
    if not (fits and ends and interps and interps[0] == shuffle and 0 < shrink <= 1 and scale == int(scale)):
        raise InputError("This is not a Real-ESRGAN network: its layers do not fit each other.")
    # With one px of context for each convolution, no seam can show; the bicubic reduction needs two more.
    return EsrganNet(
        _CompactNet(chain, shuffle, shrink),
        float32_layers=(),
        scale=int(scale),
        side=256,
        pad=len(convolutions) + (2 if shrink != 1 else 0),
    )


def _build_prelu(layer: NcnnLayer) -> nn.PReLU:
    assert layer.weight is not None  # noqa: S101 - read_ncnn reads the slopes of every PReLU
    prelu = nn.PReLU(len(layer.weight))
    prelu.weight = nn.Parameter(torch.from_numpy(layer.weight), requires_grad=False)
    return prelu
