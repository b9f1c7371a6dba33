"""The role of a file follows from its name, for any bytes in the name."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.files import display_name, fold_name, is_conflict_copy, is_ignored_file
from goldsmith.pipeline.intake.bundle import group_bundles
from goldsmith.pipeline.intake.file_names import classify, group_keys

ENDINGS = st.sampled_from([".png", ".mask.png", ".keep.sky.jpg", "_mask2.png", ".toml", ".toml.txt", ".png.problem.txt", ".exr", ""])
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
        ("hero.control.depth.png", "hero", "control", "depth"),
        ("hero.Control.png", "hero", "control", ""),
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
        ("hero_mask.exr", "hero", "foreign", "mask"),
        ("hero.layer.logo.exr", "hero", "foreign", "logo"),
        ("_status.txt", "_status.txt", "litter", ""),
        ("my conflicted copywriting.png", "my conflicted copywriting", "picture", ""),
        ("hero (Anna's conflicted copy 2026-01-02).png", "hero (Anna's conflicted copy 2026-01-02).png", "litter", ""),
        ("#1 hero.png", "#1 hero", "picture", ""),
        ("#hero.mask.png", "#hero", "mask", "mask"),
        ("#hero.png#", "#hero.png#", "litter", ""),
        ("#.png", "#", "picture", ""),
        ("plain.JFIF", "plain", "picture", ""),
        ("hero_mask.jpe", "hero", "mask", "mask"),
        ("brief.toml.txt", "", "campaign", ""),
        ("brief.toml", "", "campaign", ""),
        ("hero.png.problem.txt", "hero.png", "note", ""),
        ("hero.manifest.json", "hero.manifest", "other", ""),
        ("hero.exr", "hero", "foreign", ""),
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


_MANUAL = Path(__file__).parents[3] / "docs" / "briefs.md"


@pytest.mark.parametrize(
    "name",
    [
        "hero (Anna's conflicted copy 2026-01-02).png",
        "hero (Anna\u2019s conflicted copy 2026-01-02).png",
        "hero (Anna (B\xfcro)'s conflicted copy 2026-01-02 (1)).png",
        "hero (Anna's conflicted copy 2026-01-02) (1).png",
        "hero.mask (Anna's conflicted copy 2026-01-02).png",
        "hero (Anna's conflicted copy 2026-01-02).toml",
        "hero (conflicted copy 2026-01-02 101112).png",
        "hero (conflicted copy anna 2026-01-02 101112).png",
        "hero_conflict-20260102-101112.png",
        "hero (In Konflikt stehende Kopie von Anna 2026-01-02).png",
        "hero (Konfliktkopie von Annas-PC 2026-01-02).png",
        "hero (copie en conflit de Anna 2026-01-02).png",
        "hero (Copie en conflit de Anna).png",
        "hero (C\xf3pia em conflito de Anna 2026-01-02).png",
        "hero (Co\u0301pia em conflito de Anna 2026-01-02).png",
        "hero (Anna \u7684\u51b2\u7a81\u526f\u672c 2026-01-02).png",
        "hero.sync-conflict-20260102-101112-ABCDEFG.png",
        "hero.sync-conflict-20260102-101112.png",
        "hero (conflicted copy).png",
        "hero.png (SFConflict anna@example.com 2026-01-02-10-11-12)",
        "hero (SFConflict 2026-01-02-10-11-12).png",
        "hero_Annas-PC_Jan-02-1011-2026_Conflict.png",
        "hero_Annas-PC_Jan-02-1011-2026_CaseConflict_1.png",
    ],
)
def test_a_copy_of_a_conflict_is_no_picture(name: str) -> None:
    """Synchronisation programs name it so, in their languages."""
    assert is_conflict_copy(name)
    assert classify(name).role == "litter"
    assert classify(name.upper()).role == "litter"


@pytest.mark.parametrize(
    "name",
    [
        "my conflicted copywriting.png",
        "conflicted copy.png",
        "hero (conflicted copy 2026-01-02) final.png",
        "hero (conflicted copy 2026-01-02).mask.png",
        "Konfliktkopie.png",
        "der Konflikt stehende Kopie (1).png",
        "in konflikt stehende kopie von anna.png",
        "conflict_poster.png",
        "the_conflict-2026.png",
        "sync-conflict-poster.png",
        "trade_conflict_1.png",
    ],
)
def test_a_name_that_only_speaks_of_a_conflict_is_that_of_a_picture(name: str) -> None:
    """Only the whole pattern, before the suffix, is a program's."""
    assert classify(name).role in ("picture", "mask")


def test_the_manual_lists_the_names_that_are_ignored() -> None:
    """Every complete name in its table is ignored, and what it calls a picture is one."""
    (section,) = re.findall(r"^### Names that are ignored\n(.*?)^## ", _MANUAL.read_text(), re.MULTILINE | re.DOTALL)
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert len(names) > 25  # else the table has another form
    assert [name for name in names if not is_ignored_file(name.replace("\u2026", "hero"))] == []
    words = re.findall(r"`(\([^`]*\))`", section)
    assert len(words) > 10
    assert [word for word in words if not is_conflict_copy(f"hero {word.replace(chr(0x2026), 'Anna')}.png")] == []
    assert [classify(name).role for name in ("#1 hero.png", "my conflicted copywriting.png")] == ["picture", "picture"]


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
