"""Questions about names that are probably meant as something else: each gives the name that Goldsmith would take."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.pipeline.intake.bundle import group_bundles
from goldsmith.pipeline.intake.bundle_index import UNCHECKED, FolderIndex
from goldsmith.pipeline.intake.near_misses import NameQuestion, ask_about_name, ask_about_names, is_mask_folder, is_near_miss


def folder_with(*names: str, path: str = "selected") -> FolderIndex:
    folder = FolderIndex(path)
    for name in names:
        folder.add(name, UNCHECKED)
    return folder


def questions(*names: str) -> list[NameQuestion]:
    folder = folder_with(*names)
    return ask_about_names(folder, folder.near_misses)


@pytest.mark.parametrize(
    ("name", "picture", "new_name"),
    [
        ("n2 mask.png", "n2.png", "n2.mask.png"),
        ("mask n3.png", "n3.png", "n3.mask.png"),
        ("n4_Maske.png", "n4.png", "n4.mask.png"),
        ("n5_masque.png", "n5.jpg", "n5.mask.png"),
        ("n7.mask (1).png", "n7.png", "n7.mask.png"),
        ("n7.mask copy.png", "n7.png", "n7.mask.png"),
        ("n8.masks.png", "n8.png", "n8.mask.png"),
        ("n9_mask_final.png", "n9.png", "n9.mask.png"),
        ("n10-mask-v2.png", "n10.png", "n10.mask.png"),
        ("aa.mask - Copy.png", "aa.png", "aa.mask.png"),
        ("bb_mask (1).jpg", "bb.png", "bb.mask.jpg"),
        ("hh.mask - Kopie (2).png", "hh.png", "hh.mask.png"),
        ("mask_ee.png", "ee.png", "ee.mask.png"),
        ("Maske von pp.png", "PP.png", "PP.mask.png"),
        ("Copy of oo.mask.png", "oo.png", "oo.mask.png"),
        ("qq_inpaint_mask.png", "qq.png", "qq.mask.png"),
        ("ll_máscara.png", "ll.png", "ll.mask.png"),
        ("маска tt.png", "tt.png", "tt.mask.png"),
        ("heromask.png", "hero.png", "hero.mask.png"),
        ("mm mask.gif", "mm.png", "mm.mask.gif"),
        ("mm mask.tga", "mm.png", "mm.mask.png"),
        ("mask.png", "hero.png", "hero.mask.png"),
    ],
)
def test_a_name_like_a_mask_s_is_asked_about_and_never_taken(name: str, picture: str, new_name: str) -> None:
    """The question names both files and the name that would be taken; the picture has no mask, and is told of the question."""
    (question,) = questions(picture, name)
    assert (question.name, question.picture) == (name, picture)
    verb = "Save it as" if name.endswith(".tga") else "Call it"
    assert question.sentence == f"Is “{name}” the mask of “{picture}”? {verb} “{new_name}”."
    bundle = next(bundle for bundle in group_bundles("selected", "", [picture, name]) if bundle.picture == f"selected/{picture}")
    assert not bundle.has_instructions
    (renamed,) = group_bundles("selected", "", [picture, new_name])
    assert renamed.masks == {"mask": (f"selected/{new_name}",)}


@pytest.mark.parametrize(
    "names",
    [
        ("hero.png", "hero.mask.png"),
        ("hero.png", "hero_mask001.png"),
        ("hero.png", "hero_masked.png"),
        ("hero.png", "unmasked.png"),
        ("hero.png", "damask.png"),
        ("hero.png", "face mask product.png"),
        ("hero.png", "hero.mask.png", "hero_mask_final.png"),
        ("hero.png", "hero.exr"),
        ("hero_v2.png", "hero.png", "hero_v2.mask.png"),
    ],
)
def test_ordinary_names_raise_no_question(names: tuple[str, ...]) -> None:
    """A picture that has its mask, a product called mask and a working file are left alone."""
    assert questions(*names) == []


def test_a_mask_that_could_belong_to_two_pictures_gives_both_names() -> None:
    """The new name has the picture's whole name."""
    (question,) = questions("a.jpg", "a.png", "a mask.png")
    assert question.sentence == "Is “a mask.png” the mask of “a.jpg” or “a.png”? Call it “a.jpg.mask.png” or “a.png.mask.png”."
    assert question.picture == ""


def test_a_mask_without_a_picture_s_name_among_several_pictures_asks_for_the_name() -> None:
    """Which picture is meant cannot be known."""
    (question,) = questions("a.png", "b.png", "mask.png")
    assert question.sentence == "Is “mask.png” a mask? Call it after its picture: “NAME.mask.png”."


@pytest.mark.parametrize(("folder", "expected"), [("masks", True), ("Masken", True), ("mask", True), ("spring", False), ("masked", False)])
def test_a_folder_of_masks_beside_the_pictures_is_asked_about(folder: str, expected: bool) -> None:
    """Each file in it that is named like a picture above it is asked about; a stage's folder is no folder of masks."""
    path = f"selected/{folder}"
    assert is_mask_folder(path) == expected
    assert not is_mask_folder("masks")
    parent, own = folder_with("hero.png", "other.png"), folder_with("hero.png", "hero_mask.png", "else.png", path=path)
    found_questions = ask_about_names(own, own.near_misses, parent)
    sentence = (
        f"Is “{folder}/hero.png” the mask of “hero.png”? Call it “hero.mask.png”. A mask lies beside its picture, so move it to selected/."
    )
    assert [question.name for question in found_questions] == (["hero.png", "hero_mask.png"] if expected else [])
    assert not expected or found_questions[0].sentence == sentence


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hero.gif", "“hero.gif” is a GIF, which Goldsmith does not read: save it as “hero.png”."),
        ("hero.jxl", "“hero.jxl” is a JPEG XL picture, which Goldsmith does not read: save it as “hero.png”."),
        ("dotted.png.", "“dotted.png.” ends in a full stop: call it “dotted.png”."),
        ("trail.toml ", "“trail.toml ” ends in a space: call it “trail.toml”."),
    ],
)
def test_a_name_that_is_not_taken_is_told_with_one_that_is(name: str, sentence: str) -> None:
    """The index keeps such names, so that the folder's status file can tell them."""
    folder = folder_with(name)
    assert list(folder.names) == [name]
    assert [question.sentence for question in ask_about_names(folder, folder.near_misses)] == [sentence]
    folder.remove(name)
    assert not folder.names
    assert not folder.near_misses


def test_other_files_raise_no_question() -> None:
    """Texts, documents and temporary files are nobody's near miss."""
    names = [
        "README.txt",
        "notes.docx",
        "hero.manifest.json",
        "hero.png.part",
        ".DS_Store",
        "_status.txt",
        "hero.txt",
        "mask.txt",
        "#hero.png#",
        "#notes",
    ]
    assert [name for name in names if is_near_miss(name)] == []


@given(
    st.lists(st.binary(min_size=1, max_size=60).map(os.fsdecode) | st.text(alphabet="amsk._- ()12ng", min_size=1, max_size=20), max_size=8)
)
@settings(max_examples=200)
def test_any_name_can_be_asked_about(names: list[str]) -> None:
    """No name raises an error, and a question is one line."""
    folder = folder_with(*(name + ".png" for name in names), *names)
    for name in [*names, *folder.names]:
        question = ask_about_name(folder, name)
        assert question is None or "\n" not in question.sentence
