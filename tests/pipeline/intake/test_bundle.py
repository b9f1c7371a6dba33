"""Bundles from names: which sidecar belongs to which picture."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.pipeline.intake.bundle import Bundle, BundleKey, bundle_key, group_bundles, join_returned
from goldsmith.pipeline.intake.file_names import group_keys


def only_bundle(names: list[str], campaign_brief: str | None = None) -> Bundle:
    bundles = group_bundles("selected", "acme/spring", names, campaign_brief)
    assert len(bundles) == 1, [bundle.key for bundle in bundles]
    return bundles[0]


def at(name: str) -> str:
    return f"selected/acme/spring/{name}"


def test_all_sidecars_join_the_bundle_of_their_picture() -> None:
    """Masks, keeps, layers, references, looks, brief, prompt and note belong to the picture whose name they carry."""
    names = ["hero.mask.png", "hero_mask001.png", "hero.mask.sky.png", "hero.keep.png", "hero.layer.logo.png", "hero.ref.png"]
    bundle = only_bundle([*names, "hero.cube", "hero.toml", "hero.txt", "hero.png.problem.txt", "hero.png", "brief.toml"], at("brief.toml"))
    assert bundle.key == BundleKey("selected", "acme/spring", "hero.png")
    assert (bundle.picture, bundle.stem) == (at("hero.png"), "hero")
    assert bundle.masks == {"mask": (at("hero.mask.png"), at("hero_mask001.png")), "sky": (at("hero.mask.sky.png"),)}
    assert bundle.keeps == {"mask": (at("hero.keep.png"),)}
    assert bundle.layers == {"logo": (at("hero.layer.logo.png"),)}
    assert (bundle.refs, bundle.looks) == ((at("hero.ref.png"),), (at("hero.cube"),))
    assert (bundle.brief, bundle.prompt, bundle.note) == (at("hero.toml"), at("hero.txt"), at("hero.png.problem.txt"))
    assert bundle.campaign_brief == at("brief.toml")
    assert bundle.files[0] == bundle.picture
    assert len(bundle.files) == 10
    assert bundle.note not in bundle.files
    assert bundle.ambiguity == ""


def test_a_lone_picture_has_no_instruction() -> None:
    """Neither a note nor another picture is an instruction."""
    first, second = group_bundles("inbox", "", ["a.png", "a.png.problem.txt", "b.png"])
    assert not first.has_instructions
    assert not second.has_instructions
    assert (first.picture, first.note) == ("inbox/a.png", "inbox/a.png.problem.txt")


def test_names_match_in_any_normal_form_and_case() -> None:
    """A mask saved by a Mac (NFD) in capitals belongs to the picture saved by Linux (NFC)."""
    bundle = only_bundle(["Gänseblümchen.png", "GÄNSEBLÜMCHEN.mask.PNG"])
    assert bundle.picture == at("Gänseblümchen.png")
    assert bundle.masks == {"mask": (at("GÄNSEBLÜMCHEN.mask.PNG"),)}


def test_two_pictures_of_one_stem_are_two_assets_and_a_mask_of_the_stem_is_refused() -> None:
    """With ``a.jpg`` and ``a.png``, ``a.mask.png`` could belong to either; the sentence gives the clear names."""
    jpg, png = group_bundles("selected", "", ["a.jpg", "a.png", "a.mask.png"])
    assert (jpg.picture, png.picture) == ("selected/a.jpg", "selected/a.png")
    assert jpg.ambiguity == png.ambiguity
    assert "“a.mask.png”" in jpg.ambiguity
    assert "“a.jpg.mask.png” or “a.png.mask.png”" in jpg.ambiguity
    assert not jpg.masks
    assert not png.masks


def test_a_sidecar_with_the_whole_name_belongs_to_that_picture() -> None:
    """``a.jpg.mask.png`` and ``a.png.toml`` belong to the picture that they name."""
    jpg, png = group_bundles("selected", "", ["a.jpg", "a.png", "a.jpg.mask.png", "a.png.toml"])
    assert jpg.masks == {"mask": ("selected/a.jpg.mask.png",)}
    assert png.brief == "selected/a.png.toml"
    assert (jpg.brief, png.masks, jpg.ambiguity, png.ambiguity) == (None, {}, "", "")


def test_names_that_differ_only_in_case_stay_two_assets() -> None:
    """On a case-sensitive filesystem the exact whole name decides, and a sidecar with the stem alone is refused."""
    upper, lower = group_bundles("selected", "", ["Hero.png", "hero.png", "hero.png.mask.png"])
    assert (upper.masks, lower.masks) == ({}, {"mask": ("selected/hero.png.mask.png",)})
    assert all(bundle.ambiguity for bundle in group_bundles("selected", "", ["Hero.png", "hero.png", "hero.mask.png"]))


def test_sidecars_wait_for_their_picture_under_one_key() -> None:
    """A brief and a mask that arrive first make a bundle without a picture."""
    bundle = only_bundle(["hero.toml", "hero.png.mask.png"])
    assert bundle.picture is None
    assert bundle.key.name == "hero/"
    assert bundle.has_instructions


def test_a_brief_without_a_picture_is_an_asset() -> None:
    """Its bundle holds its references, looks and prompt; key and path lead to each other."""
    bundle = only_bundle(["Hero.toml", "hero.ref.png", "hero.ref.chair.png", "hero.txt", "Hero.toml.problem.txt"])
    assert (bundle.asset, bundle.is_lone_brief, bundle.stem) == (at("Hero.toml"), True, "Hero")
    assert bundle.refs == (at("hero.ref.chair.png"), at("hero.ref.png"))
    assert bundle.note == at("Hero.toml.problem.txt")
    assert bundle_key(bundle.asset) == bundle.key
    with_picture = only_bundle(["hero.png", "Hero.toml", "Hero.toml.problem.txt"])
    assert (with_picture.asset, with_picture.is_lone_brief) == (at("hero.png"), False)
    assert bundle_key(with_picture.asset) == with_picture.key


def test_a_prompt_a_mask_or_a_campaign_brief_alone_is_no_asset() -> None:
    """The bundle has no name until a picture or a brief of its own arrives."""
    bundle = only_bundle(["hero.txt", "hero.mask.png", "brief.toml"], at("brief.toml"))
    assert (bundle.asset, bundle.is_lone_brief) == ("", False)


def test_a_picture_named_mask_is_a_picture_if_it_has_a_sidecar() -> None:
    """``face_mask.png`` is the mask of ``face`` if ``face`` exists. With its own brief and without ``face``, it is a picture."""
    assert only_bundle(["face.png", "face_mask.png", "face_mask.toml"][:2]).masks == {"mask": (at("face_mask.png"),)}
    assert only_bundle(["face_mask.png", "face_mask.toml"]).picture == at("face_mask.png")
    assert only_bundle(["face_mask.png"]).picture is None
    both = group_bundles("selected", "", ["face.png", "face_mask.png", "face_mask.toml"])
    assert [bundle.picture for bundle in both] == ["selected/face.png", None]


def test_a_document_is_the_picture_only_if_its_sidecar_has_no_other_picture() -> None:
    """Beside ``hero.png``, ``hero.exr`` is a working file. Beside a brief or a mask alone, ``hero.exr`` is the picture."""
    assert only_bundle(["hero.png", "hero.exr", "hero.toml"]).picture == at("hero.png")
    assert only_bundle(["hero.exr", "hero.toml"]).picture == at("hero.exr")
    assert only_bundle(["hero.exr", "hero.mask.png"]).masks == {"mask": (at("hero.mask.png"),)}
    assert group_bundles("selected", "acme/spring", ["hero.exr"]) == []


def test_a_campaign_s_brief_reaches_a_document_alone() -> None:
    """Then it is the picture of its bundle, so that it gets a note; beside a picture of its name it stays a working file."""
    (alone,) = group_bundles("selected", "spring", ["hero.exr"], "selected/spring/brief.toml")
    assert (alone.picture, alone.has_instructions) == ("selected/spring/hero.exr", True)
    (beside,) = group_bundles("selected", "spring", ["hero.exr", "hero.png"], "selected/spring/brief.toml")
    assert beside.picture == "selected/spring/hero.png"
    assert group_bundles("selected", "spring", ["hero.mask.exr"], "selected/spring/brief.toml") == []


@pytest.mark.parametrize(
    "name", ["hero.mask.tga", "hero_mask.jp2", "hero.keep.exr", "hero.layer.logo.exr", "hero.ref.gif", "hero.png.mask.tga"]
)
def test_a_sidecar_in_a_format_that_is_not_read_is_disputed(name: str) -> None:
    """The sentence gives the name to save it under. With the same sidecar in a format that is read, it is a working file."""
    bundle = only_bundle(["hero.png", name])
    readable = name.rpartition(".")[0] + ".png"
    assert f"“{name}” is a" in bundle.ambiguity
    assert bundle.ambiguity.endswith(f"which Goldsmith does not read: save it as “{readable}”.")
    assert bundle.disputed == (at(name),)
    both = only_bundle(["hero.png", name, readable])
    assert (both.ambiguity, both.disputed) == ("", ())


def test_a_repeated_suffix_does_not_change_what_belongs_together() -> None:
    """Windows makes such names when it hides suffixes."""
    bundle = only_bundle(["hero.png.png", "hero.mask.png.png", "hero.toml.toml", "hero.txt.txt", "hero.png.png.problem.txt"])
    assert (bundle.picture, bundle.stem) == (at("hero.png.png"), "hero")
    assert bundle.masks == {"mask": (at("hero.mask.png.png"),)}
    assert (bundle.brief, bundle.prompt) == (at("hero.toml.toml"), at("hero.txt.txt"))
    assert bundle.note == at("hero.png.png.problem.txt")
    assert only_bundle(["hero.png.png", "hero.png.mask.png", "hero.png.toml"]).brief == at("hero.png.toml")


def test_the_files_that_an_ambiguity_is_about_are_named() -> None:
    """Taking one of them away is a change of the bundle, which is then tried again."""
    jpg, png = group_bundles("selected", "", ["a.jpg", "a.png", "a.mask.png"])
    assert jpg.disputed == png.disputed == ("selected/a.mask.png",)
    assert only_bundle(["hero.png", "Hero.toml", "hero.toml"]).disputed == (at("hero.toml"),)


def test_two_briefs_of_one_picture_give_a_sentence() -> None:
    """``Hero.toml`` and ``hero.toml`` cannot both be the brief; a brief with the whole name wins."""
    assert "claim the same place beside “hero.png”" in only_bundle(["hero.png", "Hero.toml", "hero.toml"]).ambiguity
    assert only_bundle(["hero.png", "hero.toml", "hero.png.toml"]).brief == at("hero.png.toml")


def test_the_note_of_a_very_long_name_is_recognised() -> None:
    """The name of a note is cut to 255 bytes; it still belongs to its picture, even if a character is cut in two."""
    picture = "x" + "ü" * 125 + ".png"
    note = os.fsdecode(os.fsencode(picture)[: 255 - len(".problem.txt")]) + ".problem.txt"
    assert len(os.fsencode(picture)) == 255
    assert only_bundle([picture, note]).note == at(note)
    assert set(group_keys(picture)) & set(group_keys(note))


def test_a_note_on_a_sidecar_belongs_to_the_picture_of_the_sidecar() -> None:
    """``hero.toml.problem.txt`` belongs to ``hero.png``."""
    assert only_bundle(["hero.png", "hero.toml", "hero.toml.problem.txt"]).note == at("hero.toml.problem.txt")


STEMS = st.sampled_from(["a", "A", "a.jpg", "a_mask", "b", "ü", "u\u0308", "a.png", "금", "\udcff", "-rf $(x)", "a\nb"])
PICTORIAL = [
    ".png",
    ".jpg",
    ".mask.png",
    "_mask.png",
    "_mask01.png",
    ".mask.sky.png",
    ".keep.png",
    ".png.mask.png",
    ".layer.x.png",
    ".ref.png",
]
TEXTUAL = [".toml", ".txt", ".cube", ".jpg.toml", ".png.problem.txt", ".toml.problem.txt", ".exr"]
DOUBLED = [".png.png", ".mask.png.png", ".toml.toml", ".mask.bmp", "_mask.gif", ".mask.exr", ".gif"]
TAILS = st.sampled_from([*PICTORIAL, *TEXTUAL, *DOUBLED])
NAMES = st.lists(st.builds(str.__add__, STEMS, TAILS), unique=True, max_size=14)


@given(NAMES, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_grouping_does_not_depend_on_the_order_of_arrival(names: list[str], rng: object) -> None:
    """The same names form the same bundles, and each file is in at most one of them."""
    shuffled = list(names)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    bundles = group_bundles("inbox", "", names)
    assert bundles == group_bundles("inbox", "", shuffled)
    everything = [path for bundle in bundles for path in (*bundle.files, *([bundle.note] if bundle.note else []))]
    assert len(everything) == len(set(everything))
    assert all(first.key < second.key for first, second in pairwise(bundles))


@given(NAMES)
@settings(max_examples=200)
def test_a_bundle_depends_only_on_names_that_share_a_key(names: list[str]) -> None:
    """Grouping connected names only gives the same bundles as grouping the whole folder."""
    expected = group_bundles("inbox", "", names)
    grouped: list[Bundle] = []
    remaining = {name for name in names if group_keys(name)}
    while remaining:
        connected, reach = set(), set(group_keys(next(iter(remaining))))
        while grown := {name for name in remaining if reach & set(group_keys(name))}:
            connected |= grown
            remaining -= grown
            reach |= {key for name in grown for key in group_keys(name)}
        grouped += group_bundles("inbox", "", connected)
    assert sorted(grouped, key=lambda bundle: bundle.key) == expected


def test_metadata_sidecars_belong_to_their_picture_and_are_no_instruction() -> None:
    """``hero.xmp`` comes before ``hero.png.xmp``, which has the last word; a picture with nothing else waits."""
    (bundle,) = group_bundles("inbox", "", ["hero.png", "hero.png.xmp", "hero.xmp"])
    assert bundle.xmps == ("inbox/hero.xmp", "inbox/hero.png.xmp")
    assert bundle.files == ("inbox/hero.png", "inbox/hero.xmp", "inbox/hero.png.xmp")
    assert not bundle.has_instructions


def test_two_metadata_sidecars_of_one_meaning_are_a_question() -> None:
    """On a share that tells capitals apart, both may be there."""
    (bundle,) = group_bundles("inbox", "", ["hero.png", "hero.xmp", "Hero.XMP"])
    assert "claim the same place beside “hero.png”: keep one of them." in bundle.ambiguity
    assert len(bundle.xmps) == len(bundle.disputed) == 1


def test_a_metadata_sidecar_follows_its_picture_by_the_picture_s_name() -> None:
    """A raw file's sidecar beside two pictures of its name must say whose it is."""
    bundles = group_bundles("inbox", "", ["a.jpg", "a.png", "a.jpg.xmp"])
    assert [bundle.xmps for bundle in bundles] == [("inbox/a.jpg.xmp",), ()]
    assert "call it “a.jpg.xmp” or “a.png.xmp”" in group_bundles("inbox", "", ["a.jpg", "a.png", "a.xmp"])[0].ambiguity


def test_a_picture_that_comes_back_as_another_kind_takes_the_place_of_the_file_that_was_put_there() -> None:
    """The brief, the mask and the note go with it; whether it is that picture, a worker checks."""
    names = ["hero.png", "hero.psd", "hero.toml", "hero.mask.png", "hero.psd.problem.txt"]
    placed = {at("hero.png")}
    (bundle,) = join_returned(group_bundles("selected", "acme/spring", names), placed.__contains__)
    assert (bundle.picture, bundle.returned_from, bundle.ambiguity) == (at("hero.psd"), at("hero.png"), "")
    assert (bundle.brief, bundle.masks, bundle.note) == (at("hero.toml"), {"mask": (at("hero.mask.png"),)}, at("hero.psd.problem.txt"))
    assert at("hero.png") in bundle.files


@pytest.mark.parametrize("placed", [[], ["hero.png", "hero.psd"]], ids=["neither", "both"])
def test_two_kinds_of_one_name_stay_two_pictures_if_it_is_not_clear_which_is_newer(placed: list[str]) -> None:
    """Goldsmith put neither there, or both."""
    bundles = group_bundles("selected", "acme/spring", ["hero.png", "hero.psd", "hero.toml"])
    assert join_returned(bundles, {at(name) for name in placed}.__contains__) == bundles


def test_bundles_without_such_a_picture_stay_as_they_are() -> None:
    """Several without a picture, three kinds of one name, and two with a brief each."""
    names = ["a.toml", "b.mask.png", "c.png", "c.jpg", "c.psd", "c.toml", "d.png", "d.png.toml", "d.psd", "d.psd.toml"]
    bundles = group_bundles("selected", "acme/spring", names)
    assert join_returned(bundles, lambda path: path.endswith(".png")) == bundles
