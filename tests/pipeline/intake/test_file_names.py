"""The role of a file follows from its name, for any bytes in the name."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.files import display_name, fold_name
from goldsmith.pipeline.intake.bundle import group_bundles
from goldsmith.pipeline.intake.file_names import classify, group_keys

ENDINGS = st.sampled_from([".png", ".mask.png", ".keep.sky.jpg", "_mask2.png", ".toml", ".toml.txt", ".png.problem.txt", ".psd", ""])
ANY_NAME = (
    st.binary(min_size=1, max_size=255).map(os.fsdecode) | st.text(max_size=80) | st.builds(str.__add__, st.text(max_size=9), ENDINGS)
)


@pytest.mark.parametrize(
    ("name", "stem", "role", "label"),
    [
        ("hero.png", "hero", "picture", ""),
        ("HERO.JPEG", "HERO", "picture", ""),
        ("hero.v2.final.tif", "hero.v2.final", "picture", ""),
        ("hero.heic", "hero", "picture", ""),
        ("hero.mask.png", "hero", "mask", "mask"),
        ("hero_mask.png", "hero", "mask", "mask"),
        ("hero-mask.jpg", "hero", "mask", "mask"),
        ("hero_mask001.png", "hero", "mask", "mask"),
        ("hero_mask_00001_.png", "hero", "mask", "mask"),
        ("hero.mask2.webp", "hero", "mask", "mask"),
        ("Hero.MASK.Sky.PNG", "Hero", "mask", "sky"),
        ("hero.mask.left.hand.png", "hero", "mask", "left.hand"),
        ("hero.keep.png", "hero", "keep", "mask"),
        ("hero.layer.logo.png", "hero", "layer", "logo"),
        ("hero.ref.png", "hero", "ref", ""),
        ("hero.cube", "hero", "look", ""),
        ("hero.cdl", "hero", "look", ""),
        ("hero.toml", "hero", "brief", ""),
        ("hero.png.toml", "hero.png", "brief", ""),
        ("hero.txt", "hero", "prompt", ""),
        ("hero.toml.txt", "hero", "brief", ""),
        ("Hero.TOML.TXT", "Hero", "brief", ""),
        ("hero.png.png", "hero", "picture", ""),
        ("hero.PNG.png", "hero", "picture", ""),
        ("hero.jpg.png", "hero.jpg", "picture", ""),
        ("n18.mask.png.png", "n18", "mask", "mask"),
        ("n18.mask.sky.png.png", "n18", "mask", "sky"),
        ("hero.toml.toml", "hero", "brief", ""),
        ("brief.toml.toml", "", "campaign", ""),
        ("hero.txt.txt", "hero", "prompt", ""),
        ("hero.cube.cube", "hero", "look", ""),
        ("hero.mask.bmp", "hero", "mask", "mask"),
        ("hero_mask.gif", "hero", "mask", "mask"),
        ("hero.keep.GIF", "hero", "keep", "mask"),
        ("hero.mask.sky.bmp", "hero", "mask", "sky"),
        ("hero.gif", "hero", "foreign", ""),
        ("hero.bmp", "hero", "foreign", ""),
        ("hero.layer.logo.gif", "hero", "foreign", "logo"),
        ("hero.mask.tga", "hero", "foreign", "mask"),
        ("hero_mask.psd", "hero", "foreign", "mask"),
        ("hero.layer.logo.psd", "hero", "foreign", "logo"),
        ("_status.txt", "_status.txt", "litter", ""),
        ("my conflicted copywriting.png", "my conflicted copywriting", "picture", ""),
        ("hero (Anna's conflicted copy 2026-01-02).png", "hero (Anna's conflicted copy 2026-01-02).png", "litter", ""),
        ("a (In Konflikt stehende Kopie von Anna).png", "a (In Konflikt stehende Kopie von Anna).png", "litter", ""),
        ("a (copie en conflit de Anna).png", "a (copie en conflit de Anna).png", "litter", ""),
        ("brief.toml.txt", "", "campaign", ""),
        ("brief.toml", "", "campaign", ""),
        ("hero.png.problem.txt", "hero.png", "note", ""),
        ("hero.manifest.json", "hero.manifest", "other", ""),
        ("hero.psd", "hero", "foreign", ""),
        ("hero.docx", "hero", "other", ""),
        ("unmasked.png", "unmasked", "picture", ""),
        ("hero_masked.png", "hero_masked", "picture", ""),
        ("._hero.png", "._hero.png", "litter", ""),
        ("hero.png.part", "hero.png.part", "litter", ""),
        (".png", ".png", "litter", ""),
        ("png", "png", "other", ""),
    ],
)
def test_a_name_gives_the_role_of_its_file(name: str, stem: str, role: str, label: str) -> None:
    """Stem, role and label of each name are those in the table."""
    assert classify(name)[:3] == (stem, role, label)


def test_a_displayed_name_cannot_break_a_sentence() -> None:
    """Control characters, direction marks and undecodable bytes are replaced; umlauts, Korean and emoji are not."""
    assert display_name("a\nb\u202egnp\udcff.png") == "a�b�gnp�.png"
    assert display_name("Grüße 금 👩‍🎨.png") == "Grüße 금 👩‍🎨.png"


@given(ANY_NAME)
@settings(max_examples=400)
def test_any_name_is_accepted(name: str) -> None:
    """A name with any bytes is classified and grouped without an error."""
    parts = classify(name)
    assert (parts.role in ("litter", "other", "campaign")) == (group_keys(name) == ())
    group_bundles("inbox", "", [name])
    assert "\n" not in display_name(name)


def test_folding_keeps_undecodable_bytes_apart() -> None:
    """Two names that differ in one undecodable byte are two assets."""
    assert fold_name("\udcfe.png") != fold_name("\udcff.png")
    assert len(group_bundles("inbox", "", ["\udcfe.png", "\udcff.png"])) == 2
