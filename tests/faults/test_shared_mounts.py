"""The daemon on mounts that answer as NFS 4 and SMB do: every lease is refused, whether somebody writes or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.pictures import mask, png
from doubles.pretended_mounts import PretendedMount, pretend
from doubles.studio import Studio, studio_at
from goldsmith.files import Filesystem, PathAt

ONWARD = "generate = []\n"
UNFINISHED = "generate = ["
# Longer than any test takes.
FOREVER = 3600


@pytest.fixture(params=["nfs4", "cifs"])
def mount(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendedMount:
    (tmp_path / "root").mkdir()
    return pretend(monkeypatch, tmp_path / "root", request.param)


@pytest.fixture
def studio(mount: PretendedMount, tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        yield studio


def test_pictures_masks_and_briefs_are_taken(studio: Studio, mount: PretendedMount) -> None:
    """Nothing was ever taken there while a refused lease counted as a writer. Results are published without one as well."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", ONWARD)
    studio.put("selected/face.png", png(1))
    studio.put("selected/face.mask.png", mask())
    studio.put("selected/face.toml", '[[edit]]\nop = "sharpen"\nwhere = "mask"\n')
    studio.until_idle()
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"], "masked": ["face.png", "face.toml"]}
    assert studio.events_of("fault") == []
    assert mount.lease_questions == 0
    assert studio.runtime is not None
    assert set(studio.runtime.intake.watch_modes().values()) == {"polling"}


def test_half_a_brief_is_neither_obeyed_nor_called_wrong(mount: PretendedMount, tmp_path: Path) -> None:
    """Its program pauses in the middle. The note comes after the weaker rule's time only, and the whole brief is obeyed."""
    with studio_at(tmp_path, weak_quiet=FOREVER) as studio:
        studio.put("inbox/hero.png", png())
        studio.put("inbox/hero.toml", UNFINISHED)
        runtime = studio.start()
        studio.until(lambda: runtime.intake.state("inbox/hero.toml").status == "looks_complete", "the first looks")
        studio.until(lambda: runtime.intake.state("inbox/hero.png").status == "looks_complete", "the first looks")
        for _ in range(5):
            runtime.run_once(0.0)
        assert (studio.note("inbox/hero.png"), studio.events_of("held")) == ("", [])
        studio.put("inbox/hero.toml", ONWARD)
        studio.flags["weak_quiet"] = 0.5
        studio.restart()
        studio.until_idle()
        assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
        assert studio.events_of("held") == []


def test_a_wrong_brief_still_gets_its_note(studio: Studio) -> None:
    """After the weaker rule's time it is not half a brief any more."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", UNFINISHED)
    studio.until(lambda: studio.note("inbox/hero.png"), "a note")


def test_a_file_that_grows_just_before_its_commit_is_not_committed(mount: PretendedMount, tmp_path: Path) -> None:
    """The commit asks the other side once more, since this kernel may remember the file as it was read."""

    class Grows(Filesystem):
        """Another machine writes on when the commit opens the picture at its source for its last look."""

        has_grown = False

        def open(self, at: PathAt) -> int:
            if at.name == "hero.png" and "inbox" in str(at) and not self.has_grown:
                self.has_grown = True
                picture = tmp_path / "root/inbox/hero.png"
                os.utime(picture, (0, 0))
                picture.write_bytes(png(2))
            return super().open(at)

    with studio_at(tmp_path) as studio:
        studio.put("inbox/hero.png", png(1))
        studio.put("inbox/hero.toml", ONWARD)
        fs = Grows()
        studio.start(fs)
        studio.until_idle()
        assert fs.has_grown
        assert studio.read("selected/hero.png") == png(2)
        assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
