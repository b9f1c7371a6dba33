from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.pipeline.intake.bundle import Bundle, BundleKey, group_bundles
from goldsmith.pipeline.intake.bundle_index import UNCHECKED, BundleIndex, find_companion

STEMS = st.sampled_from(["a", "A", "a.jpg", "a_mask", "b", "ü", "u\u0308", "\udcff", "a_mask_mask"])
TAILS = st.sampled_from(
    [".png", ".jpg", ".mask.png", "_mask.png", ".toml", ".png.mask.png", ".png.problem.txt", ".toml.problem.txt", ".psd"]
)
NAMES = st.lists(st.builds(str.__add__, STEMS, TAILS), max_size=20)


def by_key(bundles: list[Bundle]) -> list[Bundle]:
    return sorted(bundles, key=lambda bundle: bundle.key)


@given(NAMES, NAMES)
@settings(max_examples=200)
def test_names_that_come_and_go_make_the_bundles_of_those_that_stay(come: list[str], go: list[str]) -> None:
    """Whatever the order of arrival and departure, the index knows what grouping the whole folder would say, and no more."""
    index = BundleIndex()
    place = index.get_or_create("inbox")
    for name in come:
        place.add(name, UNCHECKED)
    for name in go:
        place.remove(name)
    left = set(come) - set(go)
    whole = group_bundles("inbox", "", left)
    assert by_key(list(index.bundles())) == whole
    assert all(index.bundle(bundle.key) == bundle for bundle in whole)
    assert all(index.bundle_containing(path) == bundle for bundle in whole for path in bundle.files)
    for name in left:
        place.remove(name)
    assert (place.names, place.names_by_key) == ({}, {})


def test_a_resting_picture_costs_less_than_three_hundred_bytes() -> None:
    """A hundred thousand of them fit into thirty MiB."""
    index = BundleIndex()
    place = index.get_or_create("inbox/acme/spring")
    tracemalloc.start()
    for number in range(20_000):
        place.add(f"generation_{number:06d}_seed_{number * 7919:09d}.png", UNCHECKED)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(place.names) == 20_000
    assert used / 20_000 < 300


def test_many_masks_of_one_picture_are_added_and_removed_in_passing() -> None:
    """A numbered sequence of masks hangs under one stem and comes off it again."""
    index = BundleIndex()
    place = index.get_or_create("inbox")
    place.add("hero.png", UNCHECKED)
    for number in range(2_000):
        place.add(f"hero_mask{number:05d}.png", UNCHECKED)
    bundle = index.bundle(BundleKey("inbox", "", "hero.png"))
    assert bundle is not None
    assert len(bundle.masks["mask"]) == 2_000
    for number in range(2_000):
        place.remove(f"hero_mask{number:05d}.png")
    assert list(place.names) == ["hero.png"]
    assert len(place.names_by_key) == 1


def test_the_nearest_brief_up_the_folders_counts() -> None:
    """A campaign's own brief goes before the one above it, and taking it away uncovers that one."""
    index = BundleIndex()
    index.get_or_create("inbox").add("brief.toml", UNCHECKED)
    deep = index.get_or_create("inbox/acme/spring")
    assert index.campaign_brief(deep) == "inbox/brief.toml"
    index.folders["inbox/acme"].add("Brief.TOML", UNCHECKED)
    assert index.campaign_brief(deep) == "inbox/acme/Brief.TOML"
    index.folders["inbox/acme"].remove("Brief.TOML")
    assert index.campaign_brief(deep) == "inbox/brief.toml"


def test_closing_a_place_closes_all_below_it_and_nothing_beside_it() -> None:
    """``acme`` goes with its campaigns; ``acme2`` stays."""
    index = BundleIndex()
    for path in ("inbox/acme/spring/deep", "inbox/acme2"):
        index.get_or_create(path)
    assert sorted(place.path for place in index.remove_subtree("inbox/acme")) == [
        "inbox/acme",
        "inbox/acme/spring",
        "inbox/acme/spring/deep",
    ]
    assert sorted(index.folders) == ["inbox", "inbox/acme2"]
    assert index.folders["inbox"].children == {"inbox/acme2"}


@pytest.mark.parametrize(
    ("names", "came"),
    [
        ([], None),
        (["hero.png"], "hero.png"),
        (["HERO.JPG"], "HERO.JPG"),
        (["hero.mask.png"], "hero.mask.png"),
        (["hero.ref.png"], "hero.ref.png"),
        (["hero.psd"], "hero.psd"),
        (["hero.png", "hero.jpg"], "hero.png"),
        (["hero2.png", "heroine.png", "her.png", "hero.doc", ".hero.png", "hero.png.part", "hero.toml.problem.txt"], None),
    ],
)
def test_what_has_come_to_a_brief_that_was_alone(names: list[str], came: str | None) -> None:
    """Its picture or a sidecar, whatever the letters' case; names that only begin alike are none of its business."""
    for lying in (names, ["hero.toml", *names]):
        assert find_companion("inbox/acme/hero.toml", lying) == (came and f"inbox/acme/{came}")


def test_a_mask_of_another_picture_is_no_company() -> None:
    """``hero_mask.png`` would be the picture of ``hero_mask.toml``, were there no ``hero``."""
    assert find_companion("inbox/hero_mask.toml", ["hero_mask.png"]) == "inbox/hero_mask.png"
    assert find_companion("inbox/hero_mask.toml", ["hero_mask.png", "hero.png"]) is None
    assert find_companion("inbox/hero.png.toml", ["hero.jpg"]) is None
