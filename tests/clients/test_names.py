"""Names as other systems write them, and entries that are named like pictures but are not pictures."""

from __future__ import annotations

import os
import socket
import unicodedata
from pathlib import Path

import pytest

from clients.watched import Drop, Watched, sequence

WINDOWS = ("HERO.PNG", "Hero (1).png", "hero - Kopie.Png", "CON.png", "C:\\fakepath\\hero.png", "what?.png", "a|b<c>.png", "hero. .png")
WORLD = (
    "Größe.png",
    "주인공 사진.png",
    "英雄.png",
    "héros 🦸‍♀️.png",
    "بطل.png",
    "גיבור\u202egnp.png",
    "İstanbul.png",
    "ﬀ.png",
    "e\u0301\u0302.png",
)
SHELL = (
    "-rf.png",
    "$(reboot).png",
    "`id`.png",
    "two\nlines.png",
    "tab\there.png",
    "'\";&|.png",
    "%s%n.png",
    " .png",
    "*.png",
    "a\x1b[31m.png",
)
UNDECODABLE = (b"hero_\xff\xfe.png", b"\xe9t\xe9.png", b"\xed\xa0\x80.png")


def _expect_each(drop: Drop, names: tuple[str, ...]) -> None:
    for number, name in enumerate(names):
        drop.expect(drop.copy_in(drop.picture("plain.png", side=16, variant=str(number)), name))


@sequence()
def test_names_of_windows(drop: Drop) -> None:
    """The names have capitals, spaces, and characters that only a share accepts."""
    _expect_each(drop, WINDOWS)


@sequence()
def test_names_of_the_world(drop: Drop) -> None:
    """The names have umlauts, Korean, emoji, text from right to left and stacked marks."""
    _expect_each(drop, WORLD)


@sequence()
def test_names_that_mean_something_to_a_shell(drop: Drop) -> None:
    """The names have leading dashes, line breaks, quotes and escapes."""
    _expect_each(drop, SHELL)


@sequence()
def test_names_that_are_not_utf_8(drop: Drop) -> None:
    """Undecodable bytes are a name like any other."""
    _expect_each(drop, tuple(map(os.fsdecode, UNDECODABLE)))


@sequence()
def test_names_as_long_as_they_can_be(drop: Drop) -> None:
    """The names have 255 bytes, also in multi-byte characters, and two of them differ only at the end."""
    longest = ("x" * 251 + ".png", "x" * 250 + "y.png", "字" * 83 + "ab.png", "e\u0301" * 83 + "ab.png")
    assert {len(os.fsencode(name)) for name in longest} == {255}
    _expect_each(drop, longest)


@sequence()
def test_names_that_are_equal_on_a_mac_and_different_on_linux(drop: Drop) -> None:
    """Names that differ in normal form or case are different files and assets, and none overwrites another."""
    composed = unicodedata.normalize("NFC", "Blüte.png")
    _expect_each(drop, (composed, unicodedata.normalize("NFD", composed), composed.upper(), "blüte.png"))


@sequence()
def test_two_pictures_that_differ_only_in_their_format(drop: Drop) -> None:
    """hero.png and hero.tif are two assets."""
    drop.expect(drop.copy_in(drop.picture()))
    drop.expect(drop.copy_in(drop.tiff(side=16)))


@sequence()
def test_links_are_not_followed(drop: Drop) -> None:
    """A link out of the root, to a folder or to nothing stays a link, and its target is left alone."""
    outside = drop.picture("outside.png")
    (drop.outside / "folder").mkdir()
    drop.picture("folder/inside.png")
    (drop.inbox / "folder").symlink_to(drop.outside / "folder")
    drop.expect_untouched(drop.inbox / "folder")
    for name, target in (("out.png", outside), ("nothing.png", Path("/nonexistent")), ("itself.png", Path("itself.png"))):
        (drop.inbox / name).symlink_to(target)
        drop.expect_untouched(drop.inbox / name, has_note=True)
    drop.expect_untouched(outside)
    drop.expect(drop.copy_in(drop.picture()))


@sequence()
def test_pipes_sockets_and_folders_named_like_pictures(drop: Drop) -> None:
    """They do not block the daemon, and a file in such a folder is taken."""
    os.mkfifo(drop.inbox / "pipe.png")
    inbox_fd = os.open(drop.inbox, os.O_RDONLY | os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(f"/proc/self/fd/{inbox_fd}/socket.png")  # the whole path may be too long for a socket
    os.close(inbox_fd)
    for name in ("pipe.png", "socket.png"):
        drop.expect_untouched(drop.inbox / name, has_note=True)
    (drop.inbox / "empty.png").mkdir()
    (drop.inbox / "folder.png").mkdir()
    drop.expect(drop.copy_in(drop.picture(), "folder.png/inside.png"))
    drop.expect(drop.copy_in(drop.picture("after.png")))


@sequence()
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_named_like_a_picture(drop: Drop) -> None:
    """A device is never opened."""
    os.mknod(drop.inbox / "device.png", 0o020644, os.makedev(1, 5))
    drop.expect_untouched(drop.inbox / "device.png", has_note=True)
    drop.expect(drop.copy_in(drop.picture()))


@sequence()
def test_litter(drop: Drop) -> None:
    """Leftovers of systems and programs are never taken, whatever they contain."""
    for name in (".hero.png", "._hero.png", "~$hero.png", "#hero.png#", "Thumbs.db", "hero.png.part", "hero.png~", "hero.png.crdownload"):
        drop.expect_untouched(drop.copy_in(drop.picture("plain.png", side=16, variant=name.strip(".~#")), name)[0])
    for folder in ("@eaDir", "__MACOSX", ".stversions", "#recycle", "lost+found", "System Volume Information"):
        (drop.inbox / folder).mkdir()
        drop.expect_untouched(drop.copy_in(drop.picture("plain.png", side=16, variant="in a folder"), f"{folder}/hero.png")[0])
    drop.expect(drop.copy_in(drop.picture("real.png")))


def test_nothing_else_was_taken(watched: Watched) -> None:
    """After all files have arrived, the record holds each file once and nothing else, and all of them were found by events."""
    watched.verify_all()
