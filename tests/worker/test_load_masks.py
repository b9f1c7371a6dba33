"""Masks that are obviously wrong are refused before any work is done with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.files import FileSignature
from goldsmith.jobs.job import InputRead, Job, JobInput, ResourceLimits
from goldsmith.picture.codec import EncodingOptions, encode
from goldsmith.picture.picture import Metadata, Picture, freeze
from goldsmith.worker.inputs import LoadedInput
from goldsmith.worker.load_masks import MADE_BY_GOLDSMITH, check_mask, load_masks

SIZE = (40, 60)
SIG = FileSignature(1, 2, 3, 4, 5)


def mask_with_boxes(*boxes: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Return a black mask (h, w) with white boxes (top, bottom, left, right)."""
    mask = np.zeros(SIZE, np.float32)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


def test_a_good_mask_is_returned_unchanged() -> None:
    """The result is the same array."""
    mask = mask_with_boxes((5, 20, 10, 30))
    assert check_mask(mask, SIZE, "m.png") is mask


@pytest.mark.parametrize(("value", "message"), [(0.0, "all black"), (1.0, "all white"), (1 / 1024, "all black")])
def test_uniform_masks_are_refused(value: float, message: str) -> None:
    """All black (or less than one code above it) and all white select nothing in particular."""
    with pytest.raises(InputError, match=f"m.png is {message}"):
        check_mask(np.full(SIZE, value, np.float32), SIZE, "m.png")


def test_a_large_mask_that_touches_every_edge_is_probably_inverted() -> None:
    """The mask covers the whole picture except a box."""
    with pytest.raises(InputError, match="covers 94% of the picture and touches all four edges: it is probably inverted"):
        check_mask(1 - mask_with_boxes((10, 20, 10, 25)), SIZE, "m.png")


def test_a_mask_that_only_covers_most_or_only_touches_every_edge_is_accepted() -> None:
    """The examples are a large mask with a margin and a thin frame."""
    assert check_mask(mask_with_boxes((1, 39, 1, 60)), SIZE, "m.png") is not None
    assert check_mask(1 - mask_with_boxes((1, 39, 1, 59)), SIZE, "m.png") is not None


def test_a_keep_file_may_cover_most_of_the_picture() -> None:
    """White means keep, so the file is not taken for an inverted mask. An all-black file is still refused."""
    mask = 1 - mask_with_boxes((10, 20, 10, 25))
    assert check_mask(mask, SIZE, "hero.keep.png", is_keep_mask=True) is mask
    with pytest.raises(InputError, match="all black"):
        check_mask(mask_with_boxes(), SIZE, "hero.keep.png", is_keep_mask=True)


@pytest.mark.parametrize(("size", "has_other_aspect"), [((20, 30), False), ((60, 40), True), ((40, 59), False)])
def test_another_size_is_refused_with_both_sizes(size: tuple[int, int], has_other_aspect: bool) -> None:
    """The sentence also says if the aspect ratio differs. The remedy names the setting."""
    mask = np.zeros(size, np.float32)
    mask[2:5, 2:5] = 1
    with pytest.raises(InputError) as error:
        check_mask(mask, SIZE, "m.png")
    assert f"{size[1]} x {size[0]} px" in error.value.sentence
    assert "60 x 40" in error.value.sentence
    assert ("another aspect ratio" in error.value.sentence) == has_other_aspect
    assert 'mask.fit = "scale"' in error.value.remedy


def test_scale_resizes_smoothly() -> None:
    """A mask of half the size is enlarged to the picture's, with its content in the same place."""
    mask = np.zeros((20, 30), np.float32)
    mask[5:10, 5:10] = 1
    scaled = check_mask(mask, SIZE, "m.png", "scale")
    assert scaled.shape == SIZE
    assert scaled[15, 15] == 1
    assert scaled[30, 40] == 0
    assert 0 <= scaled.min() <= scaled.max() <= 1


# --- files that are called like a mask and are none


def load(name: str, data: bytes) -> dict[str, NDArray[np.float32]]:
    """Load one mask of a picture called clay with the size of ``SIZE``."""
    source = JobInput(role="mask", name="mask", path=f"selected/{name}", sig=SIG)
    job = Job(
        id="j",
        root="/",
        stage="edit",
        queue="cpu",
        stem="clay",
        inputs=(source,),
        steps=(),
        limits=ResourceLimits(timeout_seconds=1, max_memory_bytes=2**30, max_pixels=10**6),
    )
    picture = Picture(freeze(np.zeros((*SIZE, 3), np.float32)), None, 8, None, None, Metadata())
    loaded = LoadedInput(source, data, InputRead(path=source.path, sig=SIG, sha256="00"))
    return dict(load_masks(job, [loaded], picture, lambda each: None, [].append))


def product(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a shaded product on white ground: (h, w, 3), codes 0..255."""
    picture = np.full((*SIZE, 3), 255, np.uint8)
    shade = np.linspace(0.4, 1.0, 40)[None, :, None]
    picture[5:35, 10:50] = (np.array(colour) * shade).astype(np.uint8)
    return picture


@pytest.mark.parametrize("name", ["clay-mask.png", "clay_mask.png", "Clay_MASK001.png"])
@pytest.mark.parametrize("colour", [(200, 120, 60), (180, 180, 180)])
def test_a_product_that_is_called_mask_is_asked_about(saved: Callable[..., bytes], name: str, colour: tuple[int, int, int]) -> None:
    """A face mask made of clay is no mask. The note says what to do in either case."""
    with pytest.raises(InputError) as error:
        load(name, saved(product(colour), "PNG"))
    assert error.value.sentence.startswith(f"{name} is named like the mask of clay, but ")
    assert error.value.sentence.endswith("of it is neither black nor white: is it a picture of its own?")
    expected = "If it is, give it a name that does not end in “mask”. If it is the mask, call it clay.mask.png."
    assert error.value.remedy == expected


def test_a_soft_or_an_unmistakable_mask_is_not_questioned(saved: Callable[..., bytes]) -> None:
    """Feathered edges, paint on transparent ground, and any greys called .mask. are taken."""
    soft = np.zeros(SIZE, np.uint8)
    soft[10:30, 10:40], soft[10:30, 8:10], soft[10:30, 40:42] = 255, 120, 120
    assert load("clay_mask.png", saved(soft, "PNG"))["mask"].max() == 1
    paint = np.zeros((*SIZE, 4), np.uint8)
    paint[10:30, 10:40] = (255, 0, 0, 255)
    assert load("clay-mask.png", saved(paint, "PNG"))["mask"][20, 20] > 0
    greys = np.tile(np.linspace(0, 255, SIZE[1]).astype(np.uint8), (SIZE[0], 1))
    with pytest.raises(InputError, match="is it a picture of its own"):
        load("clay_mask.png", saved(greys, "PNG"))
    assert load("clay.mask.png", saved(greys, "PNG"))["mask"].shape == SIZE


def test_a_file_that_cannot_mean_a_mask_is_refused(saved: Callable[..., bytes]) -> None:
    """The pixels are judged before the size, whatever the name is."""
    with pytest.raises(InputError, match=r"clay.mask.png is painted in colour \(50% of it\)"):
        load("clay.mask.png", saved(product((200, 120, 60)), "PNG"))
    with pytest.raises(InputError, match="its brightest value is 1 of 255: a label map"):
        load("clay.mask.png", saved(np.eye(20, dtype=np.uint8), "PNG"))


def test_a_mask_that_a_job_has_written_is_not_judged(saved: Callable[..., bytes]) -> None:
    """A thin line is faint in the mask of a reduced picture: it was judged when a person laid it down."""
    line = np.zeros((*SIZE, 1), np.float32)
    line[10, 5:30] = 0.1
    text = Metadata(text_chunks=(MADE_BY_GOLDSMITH,))
    for metadata, is_judged in ((text, False), (Metadata(), True)):
        data = encode(Picture(freeze(line), depth=16, metadata=metadata), EncodingOptions(depth=16))
        if is_judged:
            with pytest.raises(InputError, match="its brightest value"):
                load("clay.mask.png", data)
        else:
            assert load("clay.mask.png", data)["mask"].max() == pytest.approx(0.1, abs=1e-4)
