"""A file beside a picture is obeyed as its mask, or held with a sentence; nothing that cannot mean a mask changes a picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue

from doubles.commission import PIPELINE
from doubles.masks import box, disc, gradient
from doubles.studio import Studio, studio_at
from goldsmith.picture.codec import decode

SIZE = (160, 200)
RED = (230, 20, 20)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def photograph(seed: int = 0) -> NDArray[np.uint8]:
    """Return a part of a photograph, (h, w, 3), codes 0..255."""
    from skimage import data

    top, left = 40 + 10 * seed, 150
    return np.ascontiguousarray(data.astronaut()[top : top + SIZE[0], left : left + SIZE[1]])


def saved(codes: NDArray[Any], kind: str = "PNG") -> bytes:
    """Return codes (h, w) or (h, w, c) as a file."""
    out = io.BytesIO()
    Image.fromarray(codes).save(out, kind)
    return out.getvalue()


def on_black(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a box of that colour, (h, w, 3), codes 0..255."""
    return np.where(box(*SIZE)[:, :, None] == 255, colour, 0).astype(np.uint8)


def painted_copy() -> NDArray[np.uint8]:
    """Return the photograph with a red box."""
    return np.where(box(*SIZE)[:, :, None] == 255, RED, photograph()).astype(np.uint8)


def with_hole(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return codes (h, w, 4) with a transparent disc."""
    return np.dstack([codes, 255 - disc(*SIZE, 0)])


def recorded_notes(studio: Studio, asset: str) -> JsonValue:
    """Return the notes in the record of an asset's first stage."""
    facts = next(row for row in studio.history() if row.path == asset).record["facts"]
    assert isinstance(facts, dict)
    return facts["notes"]


# Name -> the file laid down as its mask, and the first line of the note.
HELD: dict[str, tuple[NDArray[Any], str]] = {
    "copy": (painted_copy(), "copy.mask.png is a picture, not a mask: it shows what copy.png shows."),
    "file": (photograph(), "file.mask.png is a picture, not a mask: it shows what file.png shows."),
    "label": (box(*SIZE, 1), "label.mask.png is nearly black, its brightest value is 1 of 255: a label map?"),
    "deep": (
        box(*SIZE).astype(np.uint16),
        "deep.mask.png is nearly black, its brightest value is 255 of 65535: 8-bit values in a 16-bit file?",
    ),
    "red": (on_black(RED), "red.mask.png is painted in colour (25% of it): a label map, or a layer that was saved with its ground?"),
    "grey": (np.full(SIZE, 128, np.uint8), "grey.mask.png is one grey all over (128 of 255), so it selects no part of the picture."),
    "other": (
        with_hole(photograph()[:, ::-1]),
        "other.mask.png is a picture with transparent parts, and the rest of it is not other.png: it does not say which part is to change.",
    ),
}

# Name -> the file laid down as its mask, and the share of the picture that it selects.
OBEYED: dict[str, tuple[NDArray[Any], float]] = {
    "hole": (with_hole(photograph()), 0.28),
    "paint": (np.dstack([np.full((*SIZE, 3), RED, np.uint8), box(*SIZE)]), 0.25),
    "ground": (box(*SIZE, 255, ground=16), 0.25),
    "soft": (disc(*SIZE, 0.5), 0.5),
    "fade": (gradient(*SIZE), 0.94),
}


def test_files_that_cannot_mean_a_mask_are_held_and_change_nothing(studio: Studio) -> None:
    """Each note says what the file is and what to do, and all files stay where they lie. A mask that is mended releases its picture."""
    for name, (codes, _) in HELD.items():
        studio.put(f"selected/{name}.png", saved(photograph()))
        studio.put(f"selected/{name}.mask.png", saved(codes))
    studio.until(lambda: all(studio.note(f"selected/{name}.png") for name in HELD), "the notes")
    for name, (codes, sentence) in HELD.items():
        first, remedy = studio.note(f"selected/{name}.png").splitlines()[:2]
        assert first == sentence
        assert remedy.startswith(("Paint white", "Make the part", "Save it with 8 bits"))
        assert studio.read(f"selected/{name}.mask.png") == saved(codes)
    assert studio.folder("masked") == []
    studio.put("selected/label.mask.png", saved(box(*SIZE)))
    studio.until(lambda: studio.folder("masked"), "the result")
    studio.until_idle()
    assert studio.folder("masked") == ["label.png"]
    assert not studio.note("selected/label.png")


def test_files_that_mean_a_mask_change_what_they_select_and_nothing_else(studio: Studio) -> None:
    """The ground counts as outside, and outside nothing changes. The record says that a hole was taken as the mask.

    A keep file is judged too, and its remedy is turned round.
    """
    original = photograph()
    for name, (codes, _) in OBEYED.items():
        studio.put(f"selected/{name}.png", saved(original))
        studio.put(f"selected/{name}.mask.png", saved(codes))
    for kind in ("gif", "bmp"):
        studio.put(f"selected/{kind}.png", saved(original))
        studio.put(f"selected/{kind}_mask.{kind}", saved(box(*SIZE), kind.upper()))
    studio.put("selected/kept.png", saved(original))
    studio.put("selected/kept.mask.png", saved(box(*SIZE)))
    studio.put("selected/kept.keep.png", saved(painted_copy()))
    studio.until(lambda: len(studio.folder("masked")) == len(OBEYED) + 2 and studio.note("selected/kept.png"), "the results and the note")
    for name, share in (*((name, share) for name, (_, share) in OBEYED.items()), ("gif", 0.25), ("bmp", 0.25)):
        findings = studio.first_step(f"selected/{name}.png")["findings"]
        assert findings["outside_changed"] == 0
        assert 1 - findings["outside_pixels"] / original[:, :, 0].size == pytest.approx(share, abs=0.02), name
        result = decode(studio.read(f"masked/{name}.png"), "a.png", 1_000_000).to_codes()
        assert 0 < (result != original).any(axis=2).sum() <= original[:, :, 0].size - findings["outside_pixels"]
    assert recorded_notes(studio, "selected/hole.png") == ["hole.mask.png is hole.png with a transparent part: that part is the mask"]
    assert recorded_notes(studio, "selected/soft.png") == []
    assert studio.note("selected/kept.png").splitlines()[:2] == [
        "kept.keep.png is a picture, not a mask: it shows what kept.png shows.",
        "Paint white where the picture is to stay and black where it is to change, and save only what you painted.",
    ]


# The mask is obeyed, but the step changes nothing: the picture under it is as flat as the fill.
ERASE = '[[edit]]\nop = "erase"\nmodel = "null-inpaint"\n'
DELIVER = '[[deliver]]\nop = "export"\nname = "web"\n[[deliver]]\nop = "check"\n'


def test_an_erase_that_changed_nothing_is_not_passed_by_the_check(studio: Studio) -> None:
    """The erase ran two stages before: the check knows of it by the history, and holds the delivery. With warn it is a remark."""
    flat = np.full((*SIZE, 3), (64, 128, 188), np.uint8)
    for name, codes, tail in (("flat", flat, ""), ("warned", flat, 'warn = ["erase"]\n'), ("real", photograph(), "")):
        studio.put(f"selected/{name}.png", saved(codes))
        studio.put(f"selected/{name}.mask.png", saved(box(*SIZE)))
        studio.put(f"selected/{name}.toml", "grade = []\n" + ERASE + DELIVER + tail)
    studio.until(lambda: studio.note("graded/flat.png") and len(studio.folder("delivered")) == 6, "the deliveries and the note")
    assert studio.note("graded/flat.png").splitlines()[:2] == [
        "deliver.2 (check): The exported files do not meet the check: steps before the export: erase 0.00 % instead of at least 1 % of the "
        "masked pixels changed by step 1 of edit.",
        "Change the step that makes the file, or the limits of the check step; to get only a remark, name the check in warn.",
    ]
    assert studio.first_step("selected/flat.png")["findings"]["masked_changed"] == 0
    manifests = {name: studio.manifest(f"delivered/{name}.manifest.json")["stages"] for name in ("warned", "real")}
    results = {name: stages[-1]["steps"][1]["findings"] for name, stages in manifests.items()}
    assert (results["warned"]["result"], results["real"]["result"]) == ("warn", "pass")
    assert manifests["real"][0]["steps"][0]["findings"]["masked_changed"] > 0.9
