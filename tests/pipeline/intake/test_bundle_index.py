"""The index of names, and its cost in memory and time."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.pipeline.intake.bundle import Bundle, BundleKey, group_bundles
from goldsmith.pipeline.intake.bundle_index import UNCHECKED, BundleIndex, find_companion

STEMS = st.sampled_from(["a", "A", "a.jpg", "a_mask", "b", "ü", "u\u0308", "\udcff", "a_mask_mask"])
TAILS = st.sampled_from(
    [".png", ".jpg", ".mask.png", "_mask.png", ".toml", ".png.mask.png", ".png.problem.txt", ".toml.problem.txt", ".exr"]
)
NAMES = st.lists(st.builds(str.__add__, STEMS, TAILS), max_size=20)


def by_key(bundles: list[Bundle]) -> list[Bundle]:
    return sorted(bundles, key=lambda bundle: bundle.key)


@given(NAMES, NAMES)
@settings(max_examples=200)
def test_the_index_groups_the_remaining_names_after_any_changes(added: list[str], removed: list[str]) -> None:
    """In any order of arrivals and departures, the bundles are those of the whole folder, and the index keeps no other name."""
    index = BundleIndex()
    folder = index.get_or_create("inbox")
    for name in added:
        folder.add(name, UNCHECKED)
    for name in removed:
        folder.remove(name)
    remaining = set(added) - set(removed)
    expected = group_bundles("inbox", "", remaining)
    assert by_key(list(index.bundles())) == expected
    assert all(index.bundle(bundle.key) == bundle for bundle in expected)
    assert all(index.bundle_containing(path) == bundle for bundle in expected for path in bundle.files)
    for name in remaining:
        folder.remove(name)
    assert (folder.names, folder.names_by_key) == ({}, {})


def test_a_resting_picture_costs_less_than_three_hundred_bytes() -> None:
    """A hundred thousand resting pictures fit into thirty MiB."""
    index = BundleIndex()
    folder = index.get_or_create("inbox/acme/spring")
    tracemalloc.start()
    for number in range(20_000):
        folder.add(f"generation_{number:06d}_seed_{number * 7919:09d}.png", UNCHECKED)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(folder.names) == 20_000
    assert used / 20_000 < 300


def test_many_masks_of_one_picture_are_added_and_removed_quickly() -> None:
    """A numbered sequence of masks has one group key."""
    index = BundleIndex()
    folder = index.get_or_create("inbox")
    folder.add("hero.png", UNCHECKED)
    for number in range(2_000):
        folder.add(f"hero_mask{number:05d}.png", UNCHECKED)
    bundle = index.bundle(BundleKey("inbox", "", "hero.png"))
    assert bundle is not None
    assert len(bundle.masks["mask"]) == 2_000
    for number in range(2_000):
        folder.remove(f"hero_mask{number:05d}.png")
    assert list(folder.names) == ["hero.png"]
    assert len(folder.names_by_key) == 1


def test_the_campaign_brief_in_the_nearest_folder_above_applies() -> None:
    """A campaign's own brief replaces the brief above it, until it is removed."""
    index = BundleIndex()
    index.get_or_create("inbox").add("brief.toml", UNCHECKED)
    deep = index.get_or_create("inbox/acme/spring")
    assert index.campaign_brief(deep) == "inbox/brief.toml"
    index.folders["inbox/acme"].add("Brief.TOML", UNCHECKED)
    assert index.campaign_brief(deep) == "inbox/acme/Brief.TOML"
    index.folders["inbox/acme"].remove("Brief.TOML")
    assert index.campaign_brief(deep) == "inbox/brief.toml"


def test_removing_a_folder_removes_all_below_it_and_nothing_beside_it() -> None:
    """``acme`` and its campaigns are removed; ``acme2`` stays."""
    index = BundleIndex()
    for path in ("inbox/acme/spring/deep", "inbox/acme2"):
        index.get_or_create(path)
    assert sorted(folder.path for folder in index.remove_subtree("inbox/acme")) == [
        "inbox/acme",
        "inbox/acme/spring",
        "inbox/acme/spring/deep",
    ]
    assert sorted(index.folders) == ["inbox", "inbox/acme2"]
    assert index.folders["inbox"].children == {"inbox/acme2"}


@pytest.mark.parametrize(
    ("names", "companion"),
    [
        ([], None),
        (["hero.png"], "hero.png"),
        (["HERO.JPG"], "HERO.JPG"),
        (["hero.mask.png"], "hero.mask.png"),
        (["hero.ref.png"], "hero.ref.png"),
        (["hero.exr"], "hero.exr"),
        (["hero.png", "hero.jpg"], "hero.png"),
        (["hero2.png", "heroine.png", "her.png", "hero.doc", ".hero.png", "hero.png.part", "hero.toml.problem.txt"], None),
    ],
)
def test_a_companion_of_a_lone_brief_is_found(names: list[str], companion: str | None) -> None:
    """A companion is the picture or a sidecar, in upper or lower case. A name that only begins with the same letters is no companion."""
    for present in (names, ["hero.toml", *names]):
        assert find_companion("inbox/acme/hero.toml", present) == (companion and f"inbox/acme/{companion}")


def test_a_mask_of_another_picture_is_no_companion() -> None:
    """``hero_mask.png`` would be the picture of ``hero_mask.toml`` if there were no ``hero``."""
    assert find_companion("inbox/hero_mask.toml", ["hero_mask.png"]) == "inbox/hero_mask.png"
    assert find_companion("inbox/hero_mask.toml", ["hero_mask.png", "hero.png"]) is None
    assert find_companion("inbox/hero.png.toml", ["hero.jpg"]) is None
