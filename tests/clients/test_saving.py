"""Files that programs save, safely or in place."""

from __future__ import annotations

import zlib
from functools import partial

from clients import pictures
from clients.watched import ONWARD, Drop, Watched, sequence

GIMP_SAVES = """(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "{source}" "source"))))
  (file-png-save RUN-NONINTERACTIVE image (car (gimp-image-get-active-layer image)) "{target}" "target" 0 0 1 1 1 1 1)
  (gimp-quit 0))"""


@sequence("gimp")
def test_gimp_itself(drop: Drop) -> None:
    """GIMP writes a PNG, closes it, and writes it again with its metadata. The second version is taken."""
    source, target, reference = drop.picture(side=400), drop.inbox / "hero.png", drop.outside / "reference.png"
    gimp = ("env", f"HOME={drop.outside}", "gimp", "-i", "-d", "-f", "-b")
    drop.run(*gimp, GIMP_SAVES.format(source=source, target=reference))
    drop.run(*gimp, GIMP_SAVES.format(source=source, target=target))
    drop.wait_for("committed", target)
    (row,) = drop.rows()
    result = drop.watched.root / "selected" / drop.campaign / "hero.png"
    assert _chunks(result.read_bytes()) == _chunks(reference.read_bytes())
    drop.expect(target, result)
    assert row.sha256 == pictures.sha256(result)


@sequence()
def test_gimp_as_recorded(drop: Drop) -> None:
    """The file is closed incomplete; 50 ms later it is truncated and written again."""
    source = drop.picture(side=300)
    drop.replay("gimp", source, drop.inbox / "hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence("convert")
def test_imagemagick(drop: Drop) -> None:
    """ImageMagick first creates an empty file, and fills it after encoding."""
    source = drop.picture(side=800)
    exact = ("-define", "png:exclude-chunks=date,time", "-set", "date:create", "", "-set", "date:modify", "")
    drop.run("convert", source, *exact, f"PNG24:{drop.outside / 'saved.png'}")
    drop.run("convert", source, *exact, f"PNG24:{drop.inbox / 'hero.png'}")
    drop.expect(drop.inbox / "hero.png", drop.outside / "saved.png")


@sequence()
def test_darktable(drop: Drop) -> None:
    """The file is closed three times, and is complete only the last time."""
    source = drop.picture(side=300)
    drop.replay("darktable", source, drop.inbox / "hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence()
def test_krita(drop: Drop) -> None:
    """The file has no name until it is complete."""
    source = drop.picture(side=300)
    drop.replay("krita", source, drop.inbox / "hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence()
def test_photoshop_on_windows(drop: Drop) -> None:
    """ReplaceFile replaces a picture during the work on it. For a moment no file has the name."""
    drop.save_during_the_work("hero.png", partial(drop.replay, "photoshop_windows"))


@sequence()
def test_photoshop_on_a_mac(drop: Drop) -> None:
    """A safe save deletes the old picture before it renames the new one."""
    drop.save_during_the_work("hero.png", partial(drop.replay, "photoshop_mac"))


@sequence()
def test_a_picture_saved_again_and_again_before_its_brief(drop: Drop) -> None:
    """Only the version that exists when the brief arrives counts."""
    drop.without_brief()
    target, _ = drop.copy_in(drop.picture(variant="first"), "hero.png")
    for turn, program in enumerate(("in_place", "photoshop_windows", "cut_and_written", "photoshop_mac", "gimp")):
        drop.replay(program, drop.picture(variant=str(turn), side=100), target)
    last = drop.picture(side=100)
    drop.replay("in_place", last, target)
    drop.write_brief(ONWARD)
    drop.expect(target, last)


def test_nothing_else_was_taken(watched: Watched) -> None:
    """After all files have arrived, the record holds each file once and nothing else, and all of them were found by events."""
    watched.verify_all()


def _chunks(png: bytes) -> list[tuple[bytes, int | bytes]]:
    """Return the chunks of a PNG and its pixels; texts, times and the date of the profile differ between two saves."""
    chunks: list[tuple[bytes, int | bytes]] = []
    pixels, at = b"", 8
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        if kind == b"IDAT":
            pixels += png[at + 8 : at + 8 + length]
        elif kind not in (b"tIME",):
            chunks.append((kind, length if kind not in (b"iTXt", b"zTXt", b"eXIf", b"tEXt", b"iCCP") else 0))
        at += 12 + length
    return [*chunks, (b"IDAT", zlib.decompress(pixels))]
