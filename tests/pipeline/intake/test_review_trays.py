"""A picture in a tray of review/ and what it has left behind are one bundle; names alone decide."""

from __future__ import annotations

from collections.abc import Iterable

from goldsmith.pipeline.intake.bundle import Bundle, split_tray
from goldsmith.pipeline.intake.bundle_index import UNCHECKED, BundleIndex
from goldsmith.pipeline.intake.file_names import classify

HOME = ("hero.toml", "hero.review.jpg", "hero.review.before.png", "hero.review.before.mask.png")


def bundles_of(paths: Iterable[str]) -> dict[str, Bundle]:
    """Return the bundles by the place of their picture or brief."""
    index = BundleIndex()
    for path in paths:
        folder, _, name = path.rpartition("/")
        index.get_or_create(folder).add(name, UNCHECKED)
    return {bundle.asset: bundle for bundle in index.bundles()}


def waiting(folder: str, *, has_picture: bool = False) -> list[str]:
    return [f"{folder}/{name}" for name in (*HOME, *(("hero.png",) if has_picture else ()))]


def test_the_names_of_a_review_are_no_pictures() -> None:
    """They belong to the picture that waits; a name that only looks alike is a picture as before."""
    assert [tuple(classify(name))[:3] for name in ("hero.review.jpg", "Hero.Review.Before.mask.sky.png", "hero.review.png")] == [
        ("hero", "review", ""),
        ("Hero", "review", ".mask.sky.png"),
        ("hero.review", "picture", ""),
    ]


def test_a_lone_picture_in_a_tray_gets_what_it_has_left_behind() -> None:
    """The files come from the campaign's folder, and the campaign is known."""
    bundle = bundles_of([*waiting("review/acme"), "review/approve/hero.png"])["review/approve/hero.png"]
    assert set(bundle.files) == {*waiting("review/acme"), "review/approve/hero.png"}
    assert (bundle.tray, bundle.target_campaign, bundle.ambiguity) == ("approve", "acme", "")


def test_names_are_compared_in_any_case() -> None:
    """A tray or a picture in other letters is the same."""
    bundle = bundles_of([*waiting("review/acme"), "review/Approve/HERO.PNG"])["review/Approve/HERO.PNG"]
    assert (bundle.tray, bundle.target_campaign) == ("approve", "acme")


def test_a_picture_with_its_files_in_a_tray_needs_nothing_more() -> None:
    """The folder in the tray is the campaign."""
    bundle = bundles_of(waiting("review/again/acme", has_picture=True))["review/again/acme/hero.png"]
    assert (bundle.tray, bundle.target_campaign, bundle.brief) == ("again", "acme", "review/again/acme/hero.toml")


def test_a_copy_in_a_tray_takes_its_original_along() -> None:
    """The picture that still waits is one of the bundle's files."""
    paths = [*waiting("review/acme", has_picture=True), "review/approve/hero.png"]
    assert bundles_of(paths)["review/approve/hero.png"].left_behind == ("review/acme/hero.png",)


def test_the_one_that_has_left_its_place_is_meant() -> None:
    """Two campaigns have a hero; only that of beta is gone from its place."""
    paths = [*waiting("review/acme", has_picture=True), *waiting("review/beta"), "review/approve/hero.png"]
    assert bundles_of(paths)["review/approve/hero.png"].target_campaign == "beta"


def test_two_that_have_left_their_places_are_told_apart_by_a_folder() -> None:
    """Without a folder it is a question, with one it is an answer."""
    left = [*waiting("review/acme"), *waiting("review/beta")]
    assert "wait in acme/ and in beta/" in bundles_of([*left, "review/approve/hero.png"])["review/approve/hero.png"].ambiguity
    bundle = bundles_of([*left, "review/approve/beta/hero.png"])["review/approve/beta/hero.png"]
    assert (bundle.target_campaign, bundle.ambiguity) == ("beta", "")


def test_one_picture_in_two_trays_is_a_question_for_both() -> None:
    """Neither of the two decisions wins by chance."""
    bundles = bundles_of([*waiting("review"), "review/approve/hero.png", "review/reject/hero.png"])
    sentence = "“hero” lies in review/approve and in review/reject: leave it in one of them."
    assert {bundles[f"review/{tray}/hero.png"].ambiguity for tray in ("approve", "reject")} == {sentence}


def test_a_picture_that_waits_or_has_gone_past_the_trays_knows_its_namesakes() -> None:
    """The brief that is left alone lists the pictures of its name in the stages' folders, of its campaign or of none."""
    paths = [*waiting("review/acme"), "masked/acme/hero.png", "masked/hero.png", "masked/beta/hero.png", "masked/acme/other.png"]
    assert set(bundles_of(paths)["review/acme/hero.toml"].beyond) == {"masked/acme/hero.png", "masked/hero.png"}


def test_folders_of_other_stages_have_no_trays() -> None:
    """Only the first folder in review/ is a tray, and only by its exact name."""
    assert split_tray("selected", "approve/acme") == ("", "approve/acme")
    assert split_tray("review", "approved/acme") == ("", "approved/acme")


def candidates(folder: str, numbers: Iterable[int]) -> list[str]:
    return [f"{folder}/hero_candidate{number:03d}.png" for number in numbers]


def test_a_hundred_candidates_share_one_brief_and_one_sheet() -> None:
    """The one in the tray knows all others, its campaign, and the brief of the set; those that wait do too."""
    left = ["review/acme/hero.toml", "review/acme/hero.candidates.jpg"]
    others = candidates("review/acme", [number for number in range(1, 101) if number != 57])
    bundles = bundles_of([*left, *others, "review/approve/hero_candidate057.png"])
    picked = bundles["review/approve/hero_candidate057.png"]
    assert (picked.brief, picked.reviews, picked.target_campaign) == (left[0], (left[1],), "acme")
    assert sorted(picked.candidates) == others
    assert bundles[others[3]].brief == left[0]
    assert sorted(bundles[left[0]].candidates) == others


def test_candidates_in_one_tray_know_of_each_other() -> None:
    """They are rivals for the rest of the set, and no question."""
    paths = ["review/hero.toml", *candidates("review", [1, 2]), *candidates("review/approve", [3, 4])]
    third = bundles_of(paths)["review/approve/hero_candidate003.png"]
    assert (third.rivals, third.ambiguity) == (("review/approve/hero_candidate004.png",), "")


def test_a_sheet_that_was_dragged_into_a_tray_belongs_to_its_set() -> None:
    """So it goes to the archive with the rest."""
    home = bundles_of(["review/hero.toml", *candidates("review", [1, 2]), "review/reject/hero.candidates.jpg"])["review/hero.toml"]
    assert home.left_behind == ("review/reject/hero.candidates.jpg",)
    assert home.reviews == ()


def test_a_picked_candidate_whose_own_result_waits_is_no_candidate_any_more() -> None:
    """In a tray it belongs to its own brief, and the set that still waits beside it has neither the picture nor its files."""
    picked = [f"review/acme/hero_candidate002.{tail}" for tail in ("toml", "review.jpg")]
    set_files = ["review/acme/hero.toml", "review/acme/hero.candidates.jpg", "review/acme/hero_candidate003.png"]
    bundles = bundles_of([*picked, *set_files, "review/approve/hero_candidate002.png"])
    assert set(bundles["review/approve/hero_candidate002.png"].files) == {*picked, "review/approve/hero_candidate002.png"}
    assert bundles["review/acme/hero.toml"].candidates == ("review/acme/hero_candidate003.png",)
    waiting_again = bundles_of([*picked, *set_files, "review/acme/hero_candidate002.png"])
    assert waiting_again["review/acme/hero.toml"].candidates == ("review/acme/hero_candidate003.png",)
    assert waiting_again["review/acme/hero_candidate002.png"].candidates == ()
