"""Files that are renamed, deleted, touched and replaced while they are worked on and afterwards; sidecars in any order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clients import pictures
from clients.watched import ONWARD, Drop, Watched, sequence

THROUGH_THE_MASK = '[[edit]]\nop = "grade"\nwhere = "mask"\nslope = 1.5\n'


@sequence(soak=True)
def test_a_mask_that_comes_a_minute_late(drop: Drop) -> None:
    """A brief that works through a mask waits for it."""
    _mask_after(drop, 60)


@sequence()
def test_a_mask_that_comes_late(drop: Drop) -> None:
    """A brief that works through a mask waits for it, long after picture and brief have settled."""
    _mask_after(drop, 4)


@sequence()
def test_a_picture_that_comes_after_its_mask_and_brief(drop: Drop) -> None:
    """Sidecars wait for their picture."""
    drop.at_edit()
    mask = _mask(drop)
    drop.run("cp", mask, drop.inbox)
    drop.run("cp", drop.brief_away("hero.toml", THROUGH_THE_MASK), drop.inbox)
    drop.shell("sleep 4; cp $1 $2", drop.picture(), drop.inbox)
    _worked_with(drop, mask)


@sequence()
def test_a_mask_repainted_while_it_is_used(drop: Drop) -> None:
    """The work is done again with the mask that lies there in the end."""
    drop.at_edit()
    drop.run("cp", _mask(drop), drop.picture(), drop.brief_away("hero.toml", THROUGH_THE_MASK), drop.inbox)
    drop.hears("started", drop.inbox / "hero.png")
    repainted = drop.away / "repainted.png"
    repainted.write_bytes(pictures.mask(share=4))
    drop.replay("cut_and_written", repainted, drop.inbox / "hero.mask.png")
    _worked_with(drop, repainted)


@sequence()
def test_a_mask_that_follows_its_picture_closely(drop: Drop) -> None:
    """Nobody has asked for a mask, but one that comes within the gathering time travels with its picture."""
    drop.at_edit()
    drop.instruct("edit = []\n")
    mask = _mask(drop)
    drop.run("cp", drop.picture(), drop.inbox)
    drop.shell("sleep 1; cp $1 $2", mask, drop.inbox)
    _worked_with(drop, mask)
    assert (drop.watched.root / "masked" / drop.campaign / "hero.mask.png").exists()


@sequence("mv")
def test_a_file_renamed_while_it_is_worked_on(drop: Drop) -> None:
    """Only under its new name is it taken."""
    source = drop.picture()
    drop.copied(source)
    drop.hears("started", drop.inbox / "hero.png")
    drop.due(drop.inbox / "heroine.png", source)
    drop.run("mv", drop.inbox / "hero.png", drop.inbox / "heroine.png")


@sequence("mv")
def test_a_folder_renamed_while_its_file_is_worked_on(drop: Drop) -> None:
    """The campaign has another name now, and so has everything in it."""
    source = drop.picture()
    (drop.inbox / "spring").mkdir()
    drop.copied(source, "spring/hero.png")
    drop.hears("started", drop.inbox / "spring/hero.png")
    drop.due(drop.inbox / "summer/hero.png", source)
    drop.run("mv", drop.inbox / "spring", drop.inbox / "summer")


@sequence("rm")
def test_a_file_deleted_while_it_is_worked_on(drop: Drop) -> None:
    """What somebody deletes is not taken, and nothing is said of it."""
    drop.copied(drop.picture("gone.png"))
    drop.hears("started", drop.inbox / "gone.png")
    drop.run("rm", drop.inbox / "gone.png")
    drop.due(drop.copied(drop.picture("after.png")))


@sequence("mv")
def test_a_file_taken_back_while_it_is_worked_on(drop: Drop) -> None:
    """Moved out of the folders, it is the person's again; put back, it is taken."""
    source = drop.picture()
    drop.copied(source)
    drop.hears("started", drop.inbox / "hero.png")
    drop.run("mv", drop.inbox / "hero.png", drop.away / "taken-back.png")
    drop.due(drop.copied(drop.picture("meanwhile.png")))
    drop.wait_until_taken()
    drop.due(drop.inbox / "hero.png", drop.away / "hero.png")
    drop.run("mv", drop.away / "taken-back.png", drop.inbox / "hero.png")


@sequence("touch", "chmod")
def test_touch_and_chmod_while_it_settles(drop: Drop) -> None:
    """New times and modes are no new bytes: it is taken once."""
    source, target = drop.picture(), drop.inbox / "hero.png"
    drop.copied(source)
    drop.hears("started", target)
    drop.run("touch", target)
    drop.run("chmod", "664", target)
    drop.run("touch", "-d", "2001-01-01", target)
    drop.due(target, source)


@sequence("touch", "chmod")
def test_touch_and_chmod_afterwards(drop: Drop) -> None:
    """A result that lies there finished is not worked on again because somebody looked at it."""
    drop.due(drop.copied(drop.picture()))
    drop.wait_until_taken()
    result = drop.watched.root / "selected" / drop.campaign / "hero.png"
    drop.run("touch", result)
    drop.run("chmod", "640", result)
    drop.due(drop.copied(drop.picture("after.png")))
    drop.wait_until_taken()
    assert drop.watched.heard["started", f"selected/{drop.campaign}/"] == 0


@sequence()
def test_new_bytes_at_the_same_path_later(drop: Drop) -> None:
    """The same name with other bytes is new work, done once, and comes out as the next version."""
    for version in ("first", "second", "third"):
        drop.due(drop.copied(drop.picture(more=version), "hero.png"))
        drop.wait_until_taken()
    results = drop.watched.root / "selected" / drop.campaign
    assert sorted(path.name for path in results.glob("*.png")) == ["hero.png", "hero_v002.png", "hero_v003.png"]


@sequence("setfacl")
def test_a_file_with_an_access_list(drop: Drop) -> None:
    """An access list that comes after the bytes is one more change of status."""
    source, target = drop.picture(), drop.inbox / "hero.png"
    drop.copied(source)
    drop.run("setfacl", "-m", "g::r,m::rw", target)
    drop.due(target, source)


@sequence("chmod")
@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_becomes_readable_later(drop: Drop) -> None:
    """It arrives closed to everybody; one change of mode is all that tells."""
    source, target = drop.picture(), drop.inbox / "hero.png"
    drop.shell("umask 777; cat $1 > $2; sleep 4; chmod 644 $2", source, target)
    drop.due(target, source)


@sequence()
def test_a_brief_that_comes_late(drop: Drop) -> None:
    """Pictures that have long settled begin at once when somebody says what is to be done."""
    drop.without_brief()
    for number in range(20):
        drop.due(drop.copied(drop.picture(f"hero{number}.png", side=16)))
    drop.run("sleep", "3")
    drop.instruct(ONWARD)


def test_nothing_else_was_ever_taken(watched: Watched) -> None:
    """After everything has come, the record still holds each file once and nothing besides; and all that by events."""
    watched.everything_again()


def _mask(drop: Drop) -> Path:
    path = drop.away / "hero.mask.png"
    path.write_bytes(pictures.mask())
    return path


def _mask_after(drop: Drop, seconds: int) -> None:
    drop.at_edit()
    mask = _mask(drop)
    drop.run("cp", drop.picture(), drop.brief_away("hero.toml", THROUGH_THE_MASK), drop.inbox)
    drop.shell(f"sleep {seconds}; cp $1 $2", mask, drop.inbox)
    _worked_with(drop, mask)


def _worked_with(drop: Drop, mask: Path) -> None:
    """The picture was worked on once, through this very mask."""
    drop.due(drop.inbox / "hero.png", drop.away / "hero.png")
    drop.wait_until_taken()
    (row,) = drop.rows()
    read = {Path(given["path"]).name: given["sha256"] for given in row.record["inputs"]}  # type: ignore[union-attr, index, call-overload]
    assert read["hero.mask.png"] == pictures.sha256(mask)
