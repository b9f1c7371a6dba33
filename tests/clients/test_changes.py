"""Files that are renamed, deleted, touched and replaced during and after the work on them, and sidecars in any order."""

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
    drop.use_edit_stage()
    mask = _mask(drop)
    drop.run("cp", mask, drop.inbox)
    drop.run("cp", drop.write_outside("hero.toml", THROUGH_THE_MASK), drop.inbox)
    drop.shell("sleep 4; cp $1 $2", drop.picture(), drop.inbox)
    _check_worked_with(drop, mask)


@sequence()
def test_a_mask_repainted_while_it_is_used(drop: Drop) -> None:
    """The work is done again with the last mask."""
    drop.use_edit_stage()
    mask, brief = _mask(drop), drop.write_outside("hero.toml", THROUGH_THE_MASK)
    repainted = drop.outside / "repainted.png"
    repainted.write_bytes(pictures.mask(share=4))

    def lay(target: Path) -> None:
        drop.run("cp", mask, target.with_suffix(".mask.png"))
        drop.run("cp", brief, target.with_suffix(".toml"))

    def repaint(target: Path) -> None:
        drop.replay("cut_and_written", repainted, target.with_suffix(".mask.png"))

    arrived = drop.act_during_the_work("hero.png", repaint, lay=lay)
    drop.expect(arrived)
    _check_mask_of(drop, arrived[0], repainted)


@sequence()
def test_a_mask_that_follows_its_picture_closely(drop: Drop) -> None:
    """No step asks for the mask, but a mask that arrives soon after its picture travels with it."""
    drop.use_edit_stage()
    drop.write_brief("edit = []\n")
    mask = _mask(drop)
    drop.run("cp", drop.picture(), drop.inbox)
    drop.shell("sleep 1; cp $1 $2", mask, drop.inbox)
    _check_worked_with(drop, mask)
    assert (drop.watched.root / "masked" / drop.campaign / "hero.mask.png").exists()


@sequence("mv")
def test_a_file_renamed_while_it_is_worked_on(drop: Drop) -> None:
    """The file is taken only under its new name."""
    _, source = drop.act_during_the_work("hero.png", lambda target: drop.run("mv", target, drop.inbox / "heroine.png"))
    drop.expect(drop.inbox / "heroine.png", source)


@sequence("mv")
def test_a_folder_renamed_while_its_file_is_worked_on(drop: Drop) -> None:
    """The campaign and all its files have a new name."""
    rename = "ls $1; mv $2 $3"
    target, source = drop.act_during_the_work(
        "spring/hero.png", lambda target: drop.shell(rename, target, target.parent, drop.inbox / "summer")
    )
    drop.expect(drop.inbox / "summer" / target.name, source)


@sequence("rm")
def test_a_file_deleted_while_it_is_worked_on(drop: Drop) -> None:
    """A deleted file is not taken, and gives no message."""
    drop.act_during_the_work("gone.png", lambda target: drop.run("rm", target))
    drop.expect(drop.copy_in(drop.picture("after.png")))


@sequence("mv")
def test_a_file_taken_back_while_it_is_worked_on(drop: Drop) -> None:
    """A file that a person moves out is not taken. When the person puts it back, it is taken."""
    taken_back = drop.outside / "taken-back.png"
    target, source = drop.act_during_the_work("hero.png", lambda target: drop.run("mv", target, taken_back))
    drop.expect(drop.copy_in(drop.picture("meanwhile.png")))
    drop.wait_until_taken()
    drop.expect(target, source)
    drop.run("mv", taken_back, target)


@sequence("touch", "chmod")
def test_touch_and_chmod_while_it_settles(drop: Drop) -> None:
    """New times and modes are not new bytes, so the file is taken once."""
    script = "chmod 664 $1; touch -c $1; touch -c -d 2001-01-01 $1"
    drop.expect(drop.act_during_the_work("hero.png", lambda target: drop.shell(script, target)))


@sequence("touch", "chmod")
def test_touch_and_chmod_afterwards(drop: Drop) -> None:
    """A finished result is not worked on again because its times or mode change."""
    drop.expect(drop.copy_in(drop.picture()))
    drop.wait_until_taken()
    result = drop.watched.root / "selected" / drop.campaign / "hero.png"
    drop.run("touch", result)
    drop.run("chmod", "640", result)
    drop.expect(drop.copy_in(drop.picture("after.png")))
    drop.wait_until_taken()
    assert drop.watched.events["started", f"selected/{drop.campaign}/"] == 0


@sequence()
def test_new_bytes_at_the_same_path_later(drop: Drop) -> None:
    """Other bytes under the same name are new work, done once, and the result is the next version."""
    for version in ("first", "second", "third"):
        drop.expect(drop.copy_in(drop.picture(variant=version), "hero.png"))
        drop.wait_until_taken()
    results = drop.watched.root / "selected" / drop.campaign
    assert sorted(path.name for path in results.glob("*.png")) == ["hero.png", "hero_v002.png", "hero_v003.png"]


@sequence("setfacl")
def test_a_file_with_an_access_list(drop: Drop) -> None:
    """An access list that is set after the bytes is one more change of status."""
    source, target = drop.picture(), drop.inbox / "hero.png"
    drop.copy_in(source)
    drop.run("setfacl", "-m", "g::r,m::rw", target)
    drop.expect(target, source)


@sequence("chmod")
@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_becomes_readable_later(drop: Drop) -> None:
    """The file arrives without permissions. The only later event is a change of mode."""
    source, target = drop.picture(), drop.inbox / "hero.png"
    drop.shell("umask 777; cat $1 > $2; sleep 4; chmod 644 $2", source, target)
    drop.expect(target, source)


@sequence()
def test_a_brief_that_comes_late(drop: Drop) -> None:
    """Pictures that settled long ago start at once when the brief arrives."""
    drop.without_brief()
    for number in range(20):
        drop.expect(drop.copy_in(drop.picture(f"hero{number}.png", side=16)))
    drop.run("sleep", "3")
    drop.write_brief(ONWARD)


def test_nothing_else_was_taken(watched: Watched) -> None:
    """After all files have arrived, the record holds each file once and nothing else, and all of them were found by events."""
    watched.verify_all()


def _mask(drop: Drop) -> Path:
    path = drop.outside / "hero.mask.png"
    path.write_bytes(pictures.mask())
    return path


def _mask_after(drop: Drop, seconds: int) -> None:
    drop.use_edit_stage()
    mask = _mask(drop)
    drop.run("cp", drop.picture(), drop.write_outside("hero.toml", THROUGH_THE_MASK), drop.inbox)
    drop.shell(f"sleep {seconds}; cp $1 $2", mask, drop.inbox)
    _check_worked_with(drop, mask)


def _check_worked_with(drop: Drop, mask: Path) -> None:
    """Check that the picture hero.png was worked on once, with this mask."""
    drop.expect(drop.inbox / "hero.png", drop.outside / "hero.png")
    _check_mask_of(drop, drop.inbox / "hero.png", mask)


def _check_mask_of(drop: Drop, picture: Path, mask: Path) -> None:
    drop.wait_until_taken()
    (row,) = [row for row in drop.rows() if drop.watched.root / row.path == picture]
    read = {Path(used["path"]).name: used["sha256"] for used in row.record["inputs"]}  # type: ignore[union-attr, index, call-overload]
    assert read[f"{picture.stem}.mask.png"] == pictures.sha256(mask)
