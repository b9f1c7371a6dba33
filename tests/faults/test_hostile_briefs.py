"""Hostile and careless briefs in the whole daemon: each gets one note at once, and no job starts."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.pictures import png
from doubles.studio import Studio, studio_at

BRIEFS = {
    "arrays 10,000 deep": (b"x=" + b"[" * 10_000 + b"]" * 10_000, "levels deep"),
    "dotted names 10,000 deep": (b".".join([b"a"] * 10_000) + b"=1", "levels deep"),
    "not a number": (b'[[edit]]\nop="upscale"\nfactor=nan\n', "finite number"),
    "infinity": (b'[[edit]]\nop="upscale"\nfactor=inf\n', "finite number"),
    "a negative size": (b'[[deliver]]\nop="resize"\nsize=[-1,5]\n', "at least 1"),
    "a thousand million pixels": (b'[[deliver]]\nop="resize"\nsize=[1000000,1000]\n', "at most"),
    "an unknown key": (b'[[edit]]\nop="erase"\nwher="mask"\n', "did you mean where"),
    "a path out of the library": (b'[[grade]]\nop="grade"\nlook="../../etc/passwd"\n', "is a path"),
    "an absolute path": (b'recipe="/etc/passwd"\n', "absolute path"),
    "an address": (b'[[edit]]\nop="erase"\nmodel="https://example.org/x"\n', "edit.1.model"),
    "binary data": (bytes(range(256)) * 8, "is not plain text"),
    "100 MB": (b"#" * 100_000_000, "more than 256 KiB is not read"),
    "5,000 steps": (b'[[edit]]\nop="erase"\n' * 5_000, "5000"),
}


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        yield studio


@pytest.mark.parametrize("kind", BRIEFS)
def test_a_hostile_brief_gets_a_note_and_starts_no_job(studio: Studio, kind: str) -> None:
    """The sentence names the error. No job starts, little memory is used, and the files stay unchanged."""
    brief, sentence = BRIEFS[kind]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", brief)
    studio.until(lambda: studio.note("inbox/hero.png"), "a note")
    assert sentence in studio.note("inbox/hero.png")
    studio.until_idle()
    assert studio.events_of("started") == []
    assert len(studio.events_of("held")) == 1
    assert studio.folder("inbox") == ["hero.png", "hero.png.problem.txt", "hero.toml"]
    assert studio.at("inbox/hero.toml").stat().st_size == len(brief)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
