"""Files that programs save, the careful and the careless."""

from __future__ import annotations

import zlib

from clients import pictures
from clients.watched import ONWARD, Drop, Watched, sequence

GIMP_SAVES = """(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "{source}" "source"))))
  (file-png-save RUN-NONINTERACTIVE image (car (gimp-image-get-active-layer image)) "{target}" "target" 0 0 1 1 1 1 1)
  (gimp-quit 0))"""


@sequence("gimp")
def test_gimp_itself(drop: Drop) -> None:
    """GIMP writes a PNG, closes it, and writes it again with its metadata: the second one is taken."""
    source, target = drop.picture(side=400), drop.inbox / "hero.png"
    drop.run("env", f"HOME={drop.away}", "gimp", "-i", "-d", "-f", "-b", GIMP_SAVES.format(source=source, target=drop.away / "beside.png"))
    beside = (drop.away / "beside.png").read_bytes()
    drop.run("env", f"HOME={drop.away}", "gimp", "-i", "-d", "-f", "-b", GIMP_SAVES.format(source=source, target=target))
    drop.hears("committed", target)
    (row,) = drop.rows()
    taken = drop.watched.root / "selected" / drop.campaign / "hero.png"
    assert _chunks(taken.read_bytes()) == _chunks(beside)
    drop.due(target, taken)
    assert row.sha256 == pictures.sha256(taken)


@sequence()
def test_gimp_as_recorded(drop: Drop) -> None:
    """Closed without its end, and 50 ms later cut to nothing and written again."""
    source = drop.picture(side=300)
    drop.replay("gimp", source, drop.inbox / "hero.png")
    drop.due(drop.inbox / "hero.png", source)


@sequence("convert")
def test_imagemagick(drop: Drop) -> None:
    """ImageMagick creates an empty file first, and fills it when it has encoded."""
    source = drop.picture(side=800)
    exact = ("-define", "png:exclude-chunks=date,time", "-set", "date:create", "", "-set", "date:modify", "")
    drop.run("convert", source, *exact, f"PNG24:{drop.away / 'saved.png'}")
    drop.run("convert", source, *exact, f"PNG24:{drop.inbox / 'hero.png'}")
    drop.due(drop.inbox / "hero.png", drop.away / "saved.png")


@sequence()
def test_darktable(drop: Drop) -> None:
    """Three closes, and only the last one is of a whole file."""
    source = drop.picture(side=300)
    drop.replay("darktable", source, drop.inbox / "hero.png")
    drop.due(drop.inbox / "hero.png", source)


@sequence()
def test_krita(drop: Drop) -> None:
    """A file that has no name until it is whole."""
    source = drop.picture(side=300)
    drop.replay("krita", source, drop.inbox / "hero.png")
    drop.due(drop.inbox / "hero.png", source)


@sequence()
def test_photoshop_on_windows(drop: Drop) -> None:
    """A picture under work is replaced by ReplaceFile: for a moment there is none of that name."""
    old, new = drop.picture(more="old", side=300), drop.picture(side=300)
    drop.without_brief()
    drop.copied(old, "hero.png")
    drop.instruct(ONWARD)
    drop.hears("started", drop.inbox / "hero.png")
    drop.replay("photoshop_windows", new, drop.inbox / "hero.png")
    drop.due(drop.inbox / "hero.png", new)


@sequence()
def test_photoshop_on_a_mac(drop: Drop) -> None:
    """A safe save deletes the old picture before it renames the new one."""
    old, new = drop.picture(more="old", side=300), drop.picture(side=300)
    drop.copied(old, "hero.png")
    drop.hears("started", drop.inbox / "hero.png")
    drop.replay("photoshop_mac", new, drop.inbox / "hero.png")
    drop.due(drop.inbox / "hero.png", new)


@sequence()
def test_a_picture_saved_again_and_again_before_its_brief(drop: Drop) -> None:
    """Whatever lies there when the brief comes is meant, not what lay there before."""
    drop.without_brief()
    target = drop.inbox / "hero.png"
    for turn, program in enumerate(("in_place", "photoshop_windows", "cut_and_written", "photoshop_mac", "gimp")):
        drop.replay(program, drop.picture(more=str(turn), side=100), target)
    last = drop.picture(side=100)
    drop.replay("in_place", last, target)
    drop.instruct(ONWARD)
    drop.due(target, last)


def test_nothing_else_was_ever_taken(watched: Watched) -> None:
    """After everything has come, the record still holds each file once and nothing besides; and all that by events."""
    watched.everything_again()


def _chunks(png: bytes) -> list[tuple[bytes, int | bytes]]:
    """What a PNG holds, and the pixels themselves; texts, times and the profile's date differ from one saving to the next."""
    found: list[tuple[bytes, int | bytes]] = []
    pixels, at = b"", 8
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        if kind == b"IDAT":
            pixels += png[at + 8 : at + 8 + length]
        elif kind not in (b"tIME",):
            found.append((kind, length if kind not in (b"iTXt", b"zTXt", b"eXIf", b"tEXt", b"iCCP") else 0))
        at += 12 + length
    return [*found, (b"IDAT", zlib.decompress(pixels))]
