"""A small file with layers: an original, a soft edit with opacity, type in a group inside a group, and a hidden layer across the edge."""

from __future__ import annotations

import numpy as np

from goldsmith.picture import profiles
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayeredFile, LayerGroup, LayerMask

WIDTH, HEIGHT = 300, 200
NAMES = ("Inpaint Größe 한글 🙂", "edit Größe 한글 🙂", "Original")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'rdf:about="" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmpMM:DocumentID="gold:12345"/></rdf:RDF></x:xmpmeta>'
)
# Opacity of the edit as Photoshop keeps it, in steps of 1/255.
_OPACITY = 204 / 255


def layered_sample(depth: int, profile: str = "adobe-rgb") -> LayeredFile:
    """Return the file at 8 or 16 bits; its flat picture is that of its layers, rounded half up."""
    dtype, full = (np.uint8, 255) if depth == 8 else (np.uint16, 65535)
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    values = np.stack([across / (WIDTH - 1), down / (HEIGHT - 1), (across + down) / (WIDTH + HEIGHT - 2)], axis=2)
    original = (values * full).astype(dtype)
    edit = (full - original[50:150, 60:200]).astype(dtype)
    mask = np.zeros(edit.shape[:2], dtype)
    mask[10:90, 10:130] = full
    mask[40:60, 40:60] = full // 2
    letters = np.zeros((40, 80, 3), dtype)
    letters[..., 0] = full
    cover = np.zeros((40, 80), dtype)
    cover[10:30, 10:70] = full
    cover[15:25, 20:30] = full // 3
    group = LayerGroup("edit Größe 한글 🙂")
    edit_box = LayerBox(60, 50, 200, 150)
    layers = (
        FileLayer("Original", LayerBox(0, 0, WIDTH, HEIGHT), original),
        FileLayer("Inpaint Größe 한글 🙂", edit_box, edit, opacity=_OPACITY, groups=(group,), mask=LayerMask(edit_box, mask)),
        FileLayer("Text: GOLD", LayerBox(200, 20, 280, 60), letters, cover, groups=(group, LayerGroup("inner"))),
        FileLayer("Hidden", LayerBox(-20, -10, 20, 10), np.full((20, 40, 3), full // 2, dtype), is_visible=False),
    )
    merge = original.astype(np.float64)
    merge[50:150, 60:200] += (edit - merge[50:150, 60:200]) * (mask[..., None] / full) * _OPACITY
    merge[20:60, 200:280] += (letters - merge[20:60, 200:280]) * (cover[..., None] / full)
    icc = profiles.builtin_profile(profile)  # type: ignore[arg-type]
    return LayeredFile(WIDTH, HEIGHT, depth, 3, layers, np.floor(merge + 0.5).astype(dtype), icc=icc, ppi=(300.0, 300.0), xmp=XMP)
