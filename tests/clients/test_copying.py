"""Files that come by the system's own tools: copied, moved, linked, written over, written slowly."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from clients.watched import Drop, Watched, sequence

SHM = Path("/dev/shm")


@sequence("dd")
def test_dd_with_stalls_of_five_seconds(drop: Drop) -> None:
    """A writer that falls silent for 5 s, twice, has still got the file open: it is waited for."""
    source = drop.picture(side=600)
    stalled = "{ head -c 300000 $1; sleep 5; tail -c +300001 $1 | head -c 300000; sleep 5; tail -c +600001 $1; } | dd of=$2 bs=64k"
    drop.shell(stalled, source, drop.inbox / "hero.png")
    drop.due(drop.inbox / "hero.png", source)


@sequence("dd")
def test_dd_with_stalls_over_an_older_picture(drop: Drop) -> None:
    """Old and new bytes side by side are a picture that decodes, for 5 s at a time: only the open file tells that it is none."""
    old, new = drop.tiff(more="old"), drop.tiff()
    drop.copied(old, "hero.tif")
    drop.hears("started", drop.inbox / "hero.tif")
    stalled = "{ head -c 300000 $1; sleep 5; tail -c +300001 $1 | head -c 300000; sleep 5; tail -c +600001 $1; }"
    drop.shell(f"{stalled} | dd of=$2 bs=64k conv=notrunc", new, drop.inbox / "hero.tif")
    drop.due(drop.inbox / "hero.tif", new)


@sequence()
def test_a_program_that_keeps_the_file_open(drop: Drop) -> None:
    """All is written, but nobody has closed it for 8 s: work waits for that."""
    source = drop.picture()
    drop.replay("keep_open", source, drop.inbox / "hero.png", 8)
    drop.due(drop.inbox / "hero.png", source)


@sequence(soak=True)
def test_a_program_that_keeps_the_file_open_for_a_minute(drop: Drop) -> None:
    """All is written, but nobody has closed it for a minute."""
    source = drop.picture()
    drop.replay("keep_open", source, drop.inbox / "hero.png", 60)
    drop.due(drop.inbox / "hero.png", source)


@sequence("cp")
def test_cp_of_200_megabytes(drop: Drop) -> None:
    """A TIFF of 201 MB is taken when the last byte is there."""
    source = drop.tiff("large.tif", side=8192)
    drop.run("cp", source, drop.inbox)
    drop.due(drop.inbox / "large.tif", source)


@sequence()
def test_a_mapped_file(drop: Drop) -> None:
    """A file that has its full size at once and is filled through a mapping: no event tells, the refused lease does."""
    source = drop.tiff()
    drop.replay("mapped", source, drop.inbox / "hero.tif")
    drop.due(drop.inbox / "hero.tif", source)


@sequence()
def test_a_writer_elsewhere_of_whom_nothing_is_heard(drop: Drop) -> None:
    """Only the first moment gives an event, as over NFSv3; writing and closing happen under another name."""
    source = drop.tiff()
    drop.replay("through_another_name", source, drop.inbox / "hero.tif", drop.away / "elsewhere")
    drop.due(drop.inbox / "hero.tif", source)


@sequence()
def test_a_file_moved_in_that_still_grows(drop: Drop) -> None:
    """Renamed in with half its bytes, while its writer goes on."""
    source = drop.tiff()
    drop.replay("still_growing", source, drop.inbox / "hero.tif", drop.away / "elsewhere")
    drop.due(drop.inbox / "hero.tif", source)


@sequence("mv")
def test_mv_in_the_same_filesystem(drop: Drop) -> None:
    """One rename, one event."""
    source = drop.picture()
    drop.due(drop.inbox / "hero.png", source)
    drop.run("mv", source, drop.inbox)


@sequence("mv")
@pytest.mark.skipif(not os.access(SHM, os.W_OK), reason="/dev/shm is not there")
def test_mv_across_filesystems(drop: Drop) -> None:
    """From a tmpfs, a move is a copy that is given its old times at the end."""
    away = Path(tempfile.mkdtemp(dir=SHM))
    try:
        assert away.stat().st_dev != drop.inbox.stat().st_dev
        shutil.copyfile(drop.picture(side=1200), away / "hero.png")
        drop.due(drop.inbox / "hero.png", away / "hero.png")
        drop.run("mv", away / "hero.png", drop.inbox)
    finally:
        shutil.rmtree(away)


@sequence("cp")
def test_cp_that_keeps_the_times(drop: Drop) -> None:
    """A file whose times lie years back is as new as any other."""
    source = drop.picture()
    os.utime(source, (1_000_000_000, 1_000_000_000))
    drop.run("cp", "-p", source, drop.inbox)
    drop.due(drop.inbox / "hero.png", source)


@sequence("ln")
def test_a_hard_link(drop: Drop) -> None:
    """A second name of a file elsewhere: CREATE, and never a close."""
    source = drop.picture()
    drop.due(drop.inbox / "hero.png", source)
    drop.run("ln", source, drop.inbox / "hero.png")


@sequence()
def test_a_file_without_a_name_that_is_linked(drop: Drop) -> None:
    """Krita and whatever else saves by O_TMPFILE."""
    source = drop.picture(side=300)
    drop.replay("krita", source, drop.inbox / "hero.png")
    drop.due(drop.inbox / "hero.png", source)


@sequence()
def test_an_in_place_rewrite(drop: Drop) -> None:
    """Written over in bursts as soon as work on the old bytes has begun: only the new ones count."""
    old, new = drop.tiff(more="old"), drop.tiff()
    drop.copied(old, "hero.tif")
    drop.hears("started", drop.inbox / "hero.tif")
    drop.replay("in_place", new, drop.inbox / "hero.tif")
    drop.due(drop.inbox / "hero.tif", new)


@sequence()
def test_truncated_and_rewritten(drop: Drop) -> None:
    """Cut to nothing and written anew as soon as work on the old bytes has begun."""
    old, new = drop.picture(more="old", side=300), drop.picture(side=300)
    drop.copied(old, "hero.png")
    drop.hears("started", drop.inbox / "hero.png")
    drop.replay("cut_and_written", new, drop.inbox / "hero.png")
    drop.due(drop.inbox / "hero.png", new)


@sequence()
def test_a_rewrite_that_puts_the_times_back(drop: Drop) -> None:
    """As many bytes and the same time as before, so that only the time of change tells."""
    old, new = drop.picture(more="old"), drop.picture()
    drop.copied(old, "hero.png")
    drop.hears("started", drop.inbox / "hero.png")
    drop.replay("times_put_back", new, drop.inbox / "hero.png")
    drop.due(drop.inbox / "hero.png", new)


@sequence("mv")
def test_a_folder_of_500_files_moved_in(drop: Drop) -> None:
    """One event for all of them."""
    for number in range(500):
        source = drop.picture(f"series/hero{number:03d}.png", side=8)
        drop.due(drop.inbox / "series" / source.name, source)
    drop.run("mv", drop.away / "series", drop.inbox)


@sequence("mkdir", "cp")
def test_a_deep_folder_made_and_filled_at_once(drop: Drop) -> None:
    """`mkdir -p a/b/c && cp x a/b/c/`: the file may be there before anybody watches its folder."""
    source = drop.picture()
    for number in range(10):
        drop.shell("mkdir -p $2 && cp $1 $2", source, drop.inbox / f"a{number}/b/c")
        drop.due(drop.inbox / f"a{number}/b/c/hero.png", source)


@sequence("zip", "unzip")
def test_unzip(drop: Drop) -> None:
    """Files from an archive, with their old times, in folders of their own."""
    _packed(drop)
    drop.run("zip", "-qr", "series.zip", "series")
    drop.run("unzip", "-q", drop.away / "series.zip", cwd=drop.inbox)


@sequence("tar")
def test_tar(drop: Drop) -> None:
    """Files from an archive, with their old times and modes."""
    _packed(drop)
    drop.run("tar", "-czf", "series.tar.gz", "series")
    drop.run("tar", "-xzpf", drop.away / "series.tar.gz", cwd=drop.inbox)


@sequence("7z")
def test_7z(drop: Drop) -> None:
    """7z sets times after the last close."""
    _packed(drop)
    drop.run("7z", "a", "-bd", "series.7z", "series")
    drop.run("7z", "x", "-bd", drop.away / "series.7z", cwd=drop.inbox)


def _packed(drop: Drop) -> None:
    for number in range(12):
        source = drop.picture(f"series/deep/hero{number:02d}.png", side=100)
        os.utime(source, (1_500_000_000 + number, 1_500_000_000 + number))
        drop.due(drop.inbox / "series/deep" / source.name, source)


def test_nothing_else_was_ever_taken(watched: Watched) -> None:
    """After everything has come, the record still holds each file once and nothing besides; and all that by events."""
    watched.everything_again()
