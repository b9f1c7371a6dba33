"""Files that arrive by the tools of the system: copied, moved, linked, overwritten or written slowly."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import pytest

from clients.watched import Drop, Watched, sequence

SHM = Path("/dev/shm")


@sequence("dd")
def test_dd_with_stalls_of_five_seconds(drop: Drop) -> None:
    """A writer pauses twice for 5 s and keeps the file open. The work waits for the end of the writing."""
    source = drop.picture(side=600)
    stalled = "{ head -c 300000 $1; sleep 5; tail -c +300001 $1 | head -c 300000; sleep 5; tail -c +600001 $1; } | dd of=$2 bs=64k"
    drop.shell(stalled, source, drop.inbox / "hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence("dd")
def test_dd_with_stalls_over_an_older_picture(drop: Drop) -> None:
    """Old and new bytes together decode as a picture for 5 s at a time: only the open file shows that it is incomplete."""
    stalled = "{ head -c 300000 $1; sleep 5; tail -c +300001 $1 | head -c 300000; sleep 5; tail -c +600001 $1; }"
    dd = partial(drop.shell, f"{stalled} | dd of=$2 bs=64k conv=notrunc,nocreat")
    drop.save_during_the_work("hero.tif", dd, drop.tiff)


@sequence()
def test_a_program_that_keeps_the_file_open(drop: Drop) -> None:
    """All bytes are written, but the file stays open for 8 s. The work waits until the file is closed."""
    source = drop.picture()
    drop.replay("keep_open", source, drop.inbox / "hero.png", 8)
    drop.expect(drop.inbox / "hero.png", source)


@sequence(soak=True)
def test_a_program_that_keeps_the_file_open_for_a_minute(drop: Drop) -> None:
    """All bytes are written, but the file stays open for a minute."""
    source = drop.picture()
    drop.replay("keep_open", source, drop.inbox / "hero.png", 60)
    drop.expect(drop.inbox / "hero.png", source)


@sequence("cp")
def test_cp_of_200_megabytes(drop: Drop) -> None:
    """A TIFF of 201 MB is taken after its last byte."""
    source = drop.tiff("large.tif", side=8192)
    drop.run("cp", source, drop.inbox)
    drop.expect(drop.inbox / "large.tif", source)


@sequence()
def test_a_mapped_file(drop: Drop) -> None:
    """The file has its full size at once and is filled through a mapping. No event shows the writing, but the refused lease does."""
    source = drop.tiff()
    drop.replay("mmap_writer", source, drop.inbox / "hero.tif")
    drop.expect(drop.inbox / "hero.tif", source)


@sequence()
def test_a_writer_under_another_name_that_gives_no_events(drop: Drop) -> None:
    """Only the creation gives an event, as over NFSv3. The file is written and closed under another name."""
    source = drop.tiff()
    drop.replay("through_another_name", source, drop.inbox / "hero.tif", drop.outside / "elsewhere")
    drop.expect(drop.inbox / "hero.tif", source)


@sequence()
def test_a_file_moved_in_that_still_grows(drop: Drop) -> None:
    """The file is renamed into the folder with half its bytes, while it is still being written."""
    source = drop.tiff()
    drop.replay("still_growing", source, drop.inbox / "hero.tif", drop.outside / "elsewhere")
    drop.expect(drop.inbox / "hero.tif", source)


@sequence("mv")
def test_mv_in_the_same_filesystem(drop: Drop) -> None:
    """The move is one rename with one event."""
    source = drop.picture()
    drop.expect(drop.inbox / "hero.png", source)
    drop.run("mv", source, drop.inbox)


@sequence("mv")
@pytest.mark.skipif(not os.access(SHM, os.W_OK), reason="/dev/shm is not there")
def test_mv_across_filesystems(drop: Drop) -> None:
    """A move from a tmpfs is a copy that gets its old times at the end."""
    away = Path(tempfile.mkdtemp(dir=SHM))
    try:
        assert away.stat().st_dev != drop.inbox.stat().st_dev
        shutil.copyfile(drop.picture(side=1200), away / "hero.png")
        drop.expect(drop.inbox / "hero.png", away / "hero.png")
        drop.run("mv", away / "hero.png", drop.inbox)
    finally:
        shutil.rmtree(away)


@sequence("cp")
def test_cp_that_keeps_the_times(drop: Drop) -> None:
    """A file with old times is as new as any other file."""
    source = drop.picture()
    os.utime(source, (1_000_000_000, 1_000_000_000))
    drop.run("cp", "-p", source, drop.inbox)
    drop.expect(drop.inbox / "hero.png", source)


@sequence("ln")
def test_a_hard_link(drop: Drop) -> None:
    """A second name of a file elsewhere gives a CREATE event, and no close event."""
    source = drop.picture()
    drop.expect(drop.inbox / "hero.png", source)
    drop.run("ln", source, drop.inbox / "hero.png")


@sequence()
def test_a_file_without_a_name_that_is_linked(drop: Drop) -> None:
    """Krita and other programs save through O_TMPFILE."""
    source = drop.picture(side=300)
    drop.replay("krita", source, drop.inbox / "hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence()
def test_an_in_place_rewrite(drop: Drop) -> None:
    """The file is overwritten in bursts after work on the old bytes has started. Only the new bytes count."""
    drop.save_during_the_work("hero.tif", partial(drop.replay, "in_place"), drop.tiff)


@sequence()
def test_truncated_and_rewritten(drop: Drop) -> None:
    """The file is truncated and written again after work on the old bytes has started."""
    drop.save_during_the_work("hero.png", partial(drop.replay, "cut_and_written"))


@sequence()
def test_a_rewrite_that_puts_the_times_back(drop: Drop) -> None:
    """Size and modification time stay the same, so only the status change time shows the change."""
    drop.save_during_the_work("hero.png", partial(drop.replay, "times_put_back"))


@sequence("mv")
def test_a_folder_of_500_files_moved_in(drop: Drop) -> None:
    """One event reports all 500 files."""
    for number in range(500):
        source = drop.picture(f"series/hero{number:03d}.png", side=8)
        drop.expect(drop.inbox / "series" / source.name, source)
    drop.run("mv", drop.outside / "series", drop.inbox)


@sequence("mkdir", "cp")
def test_a_deep_folder_made_and_filled_at_once(drop: Drop) -> None:
    """With `mkdir -p a/b/c && cp x a/b/c/`, the file may exist before its folder is watched."""
    source = drop.picture()
    for number in range(10):
        drop.shell("mkdir -p $2 && cp $1 $2", source, drop.inbox / f"a{number}/b/c")
        drop.expect(drop.inbox / f"a{number}/b/c/hero.png", source)


@sequence("zip", "unzip")
def test_unzip(drop: Drop) -> None:
    """Files from an archive have their old times, in folders of their own."""
    _packed(drop)
    drop.run("zip", "-qr", "series.zip", "series")
    drop.run("unzip", "-q", drop.outside / "series.zip", cwd=drop.inbox)


@sequence("tar")
def test_tar(drop: Drop) -> None:
    """Files from an archive have their old times and modes."""
    _packed(drop)
    drop.run("tar", "-czf", "series.tar.gz", "series")
    drop.run("tar", "-xzpf", drop.outside / "series.tar.gz", cwd=drop.inbox)


@sequence("7z")
def test_7z(drop: Drop) -> None:
    """7z sets times after the last close."""
    _packed(drop)
    drop.run("7z", "a", "-bd", "series.7z", "series")
    drop.run("7z", "x", "-bd", drop.outside / "series.7z", cwd=drop.inbox)


def _packed(drop: Drop) -> None:
    for number in range(12):
        source = drop.picture(f"series/deep/hero{number:02d}.png", side=100)
        os.utime(source, (1_500_000_000 + number, 1_500_000_000 + number))
        drop.expect(drop.inbox / "series/deep" / source.name, source)


def test_nothing_else_was_taken(watched: Watched) -> None:
    """After all files have arrived, the record holds each file once and nothing else, and all of them were found by events."""
    watched.verify_all()
