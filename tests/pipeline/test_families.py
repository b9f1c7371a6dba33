"""Every family of generating models through the folders: real lane processes, real pipelines with tiny random weights, no network.

One root, one daemon and one lane for all of them, so that the libraries are imported once; each asset is its own test.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from doubles.families import ASSETS, KINDS, SIDE, WORDS, drop_all, record
from doubles.pictures import mask
from doubles.studio import Studio, studio_at
from goldsmith.picture.codec import decode

# Lane processes read this as they start: whoever asks for the network is refused, and the asking is on record. And Qwen-Image-Edit looks
# at pictures at a sixteenth of a megapixel, which takes off two thirds of the time of all these tests.
WALL = """
    import os, socket

    def refused(*words, **more):
        with open(CALLED, "a") as file:
            file.write(f"{os.getpid()} {words!r}\\n")
        raise OSError("This test has no network.")

    class Walled(socket.socket):
        def connect(self, address):
            return super().connect(address) if self.family == socket.AF_UNIX else refused(address)
        def connect_ex(self, address):
            return super().connect_ex(address) if self.family == socket.AF_UNIX else refused(address)
        def sendto(self, *words):
            return super().sendto(*words) if self.family == socket.AF_UNIX else refused(*words)

    socket.socket = Walled
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
        setattr(socket, name, refused)
    open(STANDS + str(os.getpid()), "w").close()

    import sys
    sys.path.append(TESTS)
    from doubles.tiny_engines import keep_small_eyes
    keep_small_eyes()
"""


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder; what the lane processes ask of the network comes to lie in it."""
    folder = tmp_path_factory.mktemp("wall")
    head = f"CALLED = {str(folder / 'called')!r}\nSTANDS = {str(folder / 'stands-')!r}\nTESTS = {str(Path(__file__).parents[1])!r}\n"
    (folder / "sitecustomize.py").write_text(head + textwrap.dedent(WALL))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        yield folder


@pytest.fixture(scope="module")
def studio(wall: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The shipped line, every family under its own name, all assets dropped, and everything done that will be done."""
    with studio_at(tmp_path_factory.mktemp("families")) as made:
        drop_all(made)
        made.until_idle(240)
        yield made


def _codes(studio: Studio, path: str) -> np.ndarray:
    return decode(studio.read(path), path, 10**6).to_codes()


@pytest.mark.parametrize(("family", "kind"), [pair for pair in ASSETS if KINDS[pair[1]] != "inpaint"])
def test_a_family_makes_pictures_from_what_it_can(studio: Studio, family: str, kind: str) -> None:
    """From words, from a picture, by instruction, with a reference: by that model and in that way, and a picture goes on."""
    done = record(studio, family, kind)
    made = done["findings"]["made"]
    assert (done["engine"]["name"], made["family"], made["ability"]) == (family, family, KINDS[kind])
    assert (made["memory_fallback"], done["findings"]["prompt"]) == ("as asked", WORDS)
    picture = _codes(studio, f"selected/{family}-{kind}.png")
    assert picture.shape == (SIDE, SIDE, 3)
    assert picture.std() > 1
    if kind in ("image", "edit"):
        (original,) = (path for path in studio.folder("archive") if path.endswith(f"/{family}-{kind}.png"))
        assert not np.array_equal(picture, _codes(studio, f"archive/{original}"))


@pytest.mark.parametrize("family", [family for family, kind in ASSETS if kind == "hole"])
def test_a_family_fills_a_hole_and_changes_nothing_else(studio: Studio, family: str) -> None:
    """Law 4, counted by the lane, and counted here once more from the files."""
    done = record(studio, family, "hole")
    told = done["findings"]
    inside = decode(mask(SIDE, SIDE), "mask", 10**6).to_codes()[:, :, 0] > 0
    assert (done["engine"]["name"], told["prompt_used"]) == (family, True)
    assert (told["outside_pixels"], told["outside_changed"]) == (int((~inside).sum()), 0)
    (original,) = (path for path in studio.folder("archive") if path.endswith(f"/{family}-hole.png"))
    before, after = _codes(studio, f"archive/{original}"), _codes(studio, f"masked/{family}-hole.png")
    assert np.array_equal(before[~inside], after[~inside])
    assert (before[inside] != after[inside]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("family", [family for family, kind in ASSETS if kind == "wide"])
def test_a_family_makes_more_picture_beside_the_old_one(studio: Studio, family: str) -> None:
    """The old pixels are bit for bit where the record says that they stand."""
    done = record(studio, family, "wide")
    told = done["findings"]
    assert (done["engine"]["name"], told["old_pixels"], told["old_changed"]) == (family, SIDE * SIDE, 0)
    (original,) = (path for path in studio.folder("archive") if path.endswith(f"/{family}-wide.png"))
    before, after = _codes(studio, f"archive/{original}"), _codes(studio, f"masked/{family}-wide.png")
    assert after.shape == (SIDE, SIDE * 3 // 2, 3)
    assert np.array_equal(after[:, :SIDE], before)
    assert after[:, SIDE:].std() > 1


def test_every_family_is_there_and_no_picture_was_held(studio: Studio) -> None:
    """Nothing is left in front of a stage, and the table of families has no row that was not tried."""
    from goldsmith.engines.diffusion.families import FAMILIES

    assert {family for family, _ in ASSETS} == set(FAMILIES)
    assert [name for names in studio.folders().values() for name in names if name.endswith(".problem.txt")] == []
    assert len({row.path for row in studio.history() if row.record.get("steps")}) == len(ASSETS)


def test_no_lane_asked_for_the_network(studio: Studio, wall: Path) -> None:
    """The wall stood in every lane process, and nobody ran into it."""
    assert studio.history()
    assert list(wall.glob("stands-*"))
    assert not (wall / "called").exists(), (wall / "called").read_text()
