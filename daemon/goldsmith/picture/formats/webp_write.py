"""Write WebP through Pillow: lossy or lossless, 8 bits, RGB; the colours of transparent pixels are kept."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.metadata import with_resolution
from goldsmith.picture.formats.table import WriterOptions
from goldsmith.picture.picture import Picture

_MAX_SIDE = 16383


def write(samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
    """Return ``samples`` (h, w, 3 or 4; uint8 codes) as WebP with the picture's profile and metadata."""
    from PIL import Image

    height, width = samples.shape[:2]
    if max(height, width) > _MAX_SIDE:
        raise InputError(f"A WebP is at most {_MAX_SIDE} pixels wide and high, not {width} x {height}.", "Make it smaller or choose AVIF.")
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(samples)).save(
        out,
        "WEBP",
        quality=options.quality,
        lossless=options.lossless,
        method=round(options.effort * 6 / 10),
        exact=True,
        icc_profile=picture.icc or b"",
        exif=with_resolution(picture.metadata.exif, picture.ppi, creates_exif=True) or b"",
        xmp=picture.metadata.xmp or b"",
    )
    return out.getvalue()
