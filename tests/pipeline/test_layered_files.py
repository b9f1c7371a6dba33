"""A document with layers goes through the folders like any picture: its mask is inside, its remarks are beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from doubles.commission import GRADE, INPAINT, PIPELINE
from doubles.layered_files import LAYERED_FORMATS, SUFFIXES, Layer, gradient, make_file, make_kra, make_psd, mask_codes, plain
from doubles.likeness_samples import photograph, with_paint
from doubles.studio import Studio, studio_at
from goldsmith.picture.codec import EncodingOptions, decode, encode

BASE, MASK = Layer("base", gradient()), Layer("mask", mask_codes(), is_visible=False)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def test_documents_of_every_kind_are_edited_inside_their_own_masks(studio: Studio) -> None:
    """The result is a PNG; the document goes to the archive."""
    for kind in LAYERED_FORMATS:
        studio.put(f"selected/{kind}{SUFFIXES[kind]}", make_file(kind, [BASE, MASK]))
        studio.put(f"selected/{kind}.toml", INPAINT)
    studio.until(lambda: len(studio.folder("masked")) == 8, "four results and their briefs")
    studio.until_idle()
    inside = mask_codes()[:, :, 0] > 0
    for kind in LAYERED_FORMATS:
        result = decode(studio.read(f"masked/{kind}.png"), "x", 10_000).to_codes()
        assert np.array_equal(result[~inside], BASE.codes[~inside])
    assert {path for path in studio.archived() if not path.endswith(".toml")} >= {
        f"selected/{kind}{SUFFIXES[kind]}" for kind in LAYERED_FORMATS
    }


def test_a_document_that_nothing_changes_goes_on_as_it_is(studio: Studio) -> None:
    """The layers are still in it."""
    data = make_psd([BASE, MASK])
    studio.put("selected/hero.psd", data)
    studio.put("selected/hero.toml", "edit = []\n" + GRADE.replace("0.7", "1").replace("[1.1, 1.0, 0.9]", "[1, 1, 1]"))
    studio.until(lambda: studio.folder("graded"), "the document in graded")
    assert studio.read("graded/hero.psd") == data


def test_what_a_document_hides_is_told_beside_its_result(studio: Studio) -> None:
    """In the status file of the folder in which the result lies."""
    studio.put("selected/hero.psd", make_psd([BASE, MASK, Layer("old", plain(3), is_visible=False)]))
    studio.put("selected/hero.toml", INPAINT)
    studio.until(lambda: studio.folder("masked"), "the result")
    studio.until(lambda: "“old”" in studio.at("masked/_status.txt").read_text(), "the remark")
    text = studio.at("masked/_status.txt").read_text()
    assert "  hero.png\n      It has a hidden layer (“old”), which the picture is without.\n" in text


def test_a_mask_that_is_not_in_the_document_is_one_note(studio: Studio) -> None:
    """It says how to give one. Laid beside the document, the mask is taken."""
    from doubles.layered_files import png_bytes

    studio.put("selected/hero.psd", make_psd([BASE]))
    studio.put("selected/hero.toml", INPAINT)
    studio.until(lambda: studio.note("selected/hero.psd"), "the note")
    assert "needs the mask hero.mask.png, which is missing" in studio.note("selected/hero.psd")
    assert "or as a layer called “mask” in hero.psd" in studio.note("selected/hero.psd")
    studio.put("selected/hero.mask.png", png_bytes(mask_codes()))
    studio.until(lambda: studio.folder("masked"), "the result")
    studio.until_idle()
    assert studio.folder("selected") == []


def test_a_mask_may_be_a_document(studio: Studio) -> None:
    """``hero.mask.psd`` is a mask like ``hero.mask.png``."""
    from doubles.layered_files import png_bytes

    studio.put("selected/hero.png", png_bytes(gradient()))
    studio.put("selected/hero.mask.psd", make_psd([Layer("paint", mask_codes())]))
    studio.put("selected/hero.toml", INPAINT)
    studio.until(lambda: studio.folder("masked"), "the result")
    studio.until_idle()
    result = decode(studio.read("masked/hero.png"), "x", 10_000).to_codes()
    inside = mask_codes()[:, :, 0] > 0
    assert np.array_equal(result[~inside], gradient()[~inside])
    assert "selected/hero.mask.psd" in studio.archived()


def test_a_damaged_document_is_one_note_and_stays(studio: Studio) -> None:
    """Nothing is lost."""
    data = bytearray(make_psd([BASE, MASK]))
    data[14:18] = b"\0\0\0\0"
    studio.put("selected/hero.psd", bytes(data))
    studio.put("selected/hero.toml", INPAINT)
    studio.until(lambda: studio.note("selected/hero.psd"), "the note")
    assert studio.note("selected/hero.psd").startswith("hero.psd is damaged: its header gives a size of 24 x 0 pixels.")
    assert studio.folders() == {"selected": ["hero.psd", "hero.psd.problem.txt", "hero.toml"]}


def returned_document(studio: Studio) -> bytes:
    """Let a picture get to masked/, and return a document that an editor has made of it, with its id."""
    from doubles.layered_files import png_bytes

    studio.put("selected/hero.png", png_bytes(gradient()))
    studio.put("selected/hero.mask.png", png_bytes(mask_codes()))
    studio.put("selected/hero.toml", INPAINT)
    studio.until(lambda: studio.folder("masked") == ["hero.png", "hero.toml"], "the result")
    studio.until_idle()
    result = decode(studio.read("masked/hero.png"), "hero.png", 10_000)
    assert result.metadata.xmp is not None
    repainted = result.to_codes().copy()
    repainted[:4, :4] = 200
    return make_psd([Layer("Original", result.to_codes()), Layer("paint", repainted)], repainted, resources={1060: result.metadata.xmp})


def test_a_picture_that_comes_back_as_a_document_replaces_the_older_file(studio: Studio) -> None:
    """By the id in it. The older file goes to the archive, and the record goes on through the editor."""
    document = returned_document(studio)
    studio.put("masked/hero.psd", document)
    studio.write("masked/hero.toml", GRADE)
    studio.until(lambda: studio.folder("graded") == ["hero.png", "hero.toml"], "the graded picture")
    studio.until_idle()
    assert studio.folder("masked") == []
    assert {"masked/hero.psd", "masked/hero.png"} <= set(studio.archived())
    row = next(row for row in studio.history() if row.path == "masked/hero.psd" and row.record["steps"])
    assert row.parent_job_id
    assert "it is a newer version of hero.png, which went to the archive" in str(row.record["facts"])


@pytest.mark.parametrize("suffix", [".kra", ".tif"])
def test_a_picture_that_comes_back_without_an_id_is_known_by_its_look(studio: Studio, suffix: str) -> None:
    """Krita and converters write no id. The older file goes to the archive, a remark says by what, and the record has the hand's work."""
    studio.put("selected/hero.png", encode(photograph(), EncodingOptions()))
    studio.put("selected/hero.toml", '[[edit]]\nop = "sharpen"\n')
    studio.until(lambda: studio.folder("masked") == ["hero.png", "hero.toml"], "the result")
    studio.until_idle()
    painted_picture = with_paint(decode(studio.read("masked/hero.png"), "hero.png", 10**6))
    codes = np.asarray(np.round(painted_picture.pixels * 255), np.uint8)
    document = make_kra([Layer("paint", codes)], codes, (320, 320))
    studio.put(f"masked/hero{suffix}", document if suffix == ".kra" else encode(painted_picture, EncodingOptions(format="tiff")))
    studio.write("masked/hero.toml", GRADE)
    studio.until(lambda: studio.folder("graded") == ["hero.png", "hero.toml"], "the graded picture")
    studio.until_idle()
    assert studio.folder("masked") == []
    assert {f"masked/hero{suffix}", "masked/hero.png"} <= set(studio.archived())
    row = next(row for row in studio.history() if row.path == f"masked/hero{suffix}" and row.record["steps"])
    assert row.record["retouched"] is True
    assert "it is by its look, because it has lost its id, a newer version of hero.png" in str(row.record["facts"])
    hand = studio.journal.lineage(row.job_id)[-2]
    assert 0.05 < hand.record["by_hand"]["changed_share"] < 0.3  # type: ignore[index,call-overload,operator]


def test_two_files_with_one_brief_stay_two_pictures_if_nothing_joins_them(studio: Studio) -> None:
    """Neither an id nor a look does. The note asks which of them the brief is for, and no file moves."""
    returned_document(studio)
    studio.put("masked/hero.psd", make_psd([Layer("another", plain(90))], plain(90)))
    studio.write("masked/hero.toml", GRADE)
    studio.until(lambda: studio.note("masked/hero.psd"), "the note")
    assert "nothing in hero.psd says that it was made from the other" in studio.note("masked/hero.psd")
    studio.at("masked/hero.toml").rename(studio.at("masked/hero.psd.toml"))
    studio.until(lambda: studio.folder("graded"), "the graded picture")
    studio.until_idle()
    assert "hero.png" in studio.folder("masked")
