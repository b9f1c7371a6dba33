"""Every family of generating models in the pipeline: real worker processes, real models with tiny random weights, no network.

All tests share one root, one daemon and one worker, so that the libraries are imported once. Each asset is its own test.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from doubles.families import ASSETS, KINDS, SIDE, WORDS, drop_all, record
from doubles.jobs import import_first_from
from doubles.pictures import mask
from doubles.studio import Studio, studio_at
from goldsmith.picture.codec import decode

# Worker processes run this as they start. Every use of the network is recorded and refused. Qwen-Image-Edit sees pictures at a sixteenth
# of a megapixel, which saves two thirds of the time of all these tests.
NETWORK_BLOCK = """
    import os, socket

    record = os.open(RECORD_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def refuse(*words, **more):
        os.write(record, f"{os.getpid()} {words!r}\\n".encode())
        raise OSError("This test has no network.")

    class BlockedSocket(socket.socket):
        def connect(self, address):
            return super().connect(address) if self.family == socket.AF_UNIX else refuse(address)
        def connect_ex(self, address):
            return super().connect_ex(address) if self.family == socket.AF_UNIX else refuse(address)
        def sendto(self, *words):
            return super().sendto(*words) if self.family == socket.AF_UNIX else refuse(*words)

    socket.socket = BlockedSocket
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
        setattr(socket, name, refuse)
    open(STARTED_PREFIX + str(os.getpid()), "w").close()

    import sys
    sys.path.append(TESTS)
    from doubles.tiny_engines import keep_small_qwen_inputs
    keep_small_qwen_inputs()
"""


@pytest.fixture(scope="module")
def network_block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder that gets a file for each blocked worker process, and the record of every use of the network."""
    folder = tmp_path_factory.mktemp("network")
    paths = {"RECORD_FILE": folder / "called", "STARTED_PREFIX": folder / "started-", "TESTS": Path(__file__).parents[1]}
    head = "".join(f"{name} = {str(path)!r}\n" for name, path in paths.items())
    (folder / "sitecustomize.py").write_text(head + textwrap.dedent(NETWORK_BLOCK))
    with pytest.MonkeyPatch.context() as patch:
        import_first_from(folder, patch)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        yield folder


@pytest.fixture(scope="module")
def studio(network_block: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Yield a studio with the shipped pipeline and every family, after all assets are processed."""
    with studio_at(tmp_path_factory.mktemp("families")) as studio:
        drop_all(studio)
        studio.until_idle()
        yield studio


def _codes(studio: Studio, path: str) -> np.ndarray:
    return decode(studio.read(path), path, 10**6).to_codes()


@pytest.mark.parametrize(("family", "kind"), [pair for pair in ASSETS if KINDS[pair[1]] != "inpaint"])
def test_a_family_makes_a_picture_with_each_of_its_abilities(studio: Studio, family: str, kind: str) -> None:
    """The abilities are: from a prompt, from a picture, by instruction, with a reference. The record names the model and the ability."""
    step = record(studio, family, kind)
    facts = step["findings"]["made"]
    assert (step["engine"]["name"], facts["family"], facts["ability"]) == (family, family, KINDS[kind])
    assert (facts["memory_fallback"], step["findings"]["prompt"]) == ("as requested", WORDS)
    picture = _codes(studio, f"selected/{family}-{kind}.png")
    assert picture.shape == (SIDE, SIDE, 3)
    assert picture.std() > 1
    if kind in ("image", "edit"):
        (original,) = (path for path in studio.folder("archive") if path.endswith(f"/{family}-{kind}.png"))
        assert not np.array_equal(picture, _codes(studio, f"archive/{original}"))


@pytest.mark.parametrize("family", [family for family, kind in ASSETS if kind == "hole"])
def test_a_family_fills_a_hole_and_changes_nothing_else(studio: Studio, family: str) -> None:
    """The worker counts no changed pixel outside the mask (law 4), and the files agree."""
    step = record(studio, family, "hole")
    findings = step["findings"]
    inside = decode(mask(SIDE, SIDE), "mask", 10**6).to_codes()[:, :, 0] > 0
    assert (step["engine"]["name"], findings["prompt_used"]) == (family, True)
    assert (findings["outside_pixels"], findings["outside_changed"]) == (int((~inside).sum()), 0)
    (original,) = (path for path in studio.folder("archive") if path.endswith(f"/{family}-hole.png"))
    before, after = _codes(studio, f"archive/{original}"), _codes(studio, f"masked/{family}-hole.png")
    assert np.array_equal(before[~inside], after[~inside])
    assert (before[inside] != after[inside]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("family", [family for family, kind in ASSETS if kind == "wide"])
def test_a_family_extends_a_picture(studio: Studio, family: str) -> None:
    """The original pixels are bit for bit the same, at the place that the record gives."""
    step = record(studio, family, "wide")
    findings = step["findings"]
    assert (step["engine"]["name"], findings["old_pixels"], findings["old_changed"]) == (family, SIDE * SIDE, 0)
    (original,) = (path for path in studio.folder("archive") if path.endswith(f"/{family}-wide.png"))
    before, after = _codes(studio, f"archive/{original}"), _codes(studio, f"masked/{family}-wide.png")
    assert after.shape == (SIDE, SIDE * 3 // 2, 3)
    assert np.array_equal(after[:, :SIDE], before)
    assert after[:, SIDE:].std() > 1


def test_every_family_is_tested_and_no_picture_is_held(studio: Studio) -> None:
    """No note is left, and every row of the table of families has an asset, but for a family that only splits pictures into layers."""
    from goldsmith.engines.diffusion.families import FAMILIES

    assert {family for family, _ in ASSETS} == {name for name, family in FAMILIES.items() if set(family.calls) != {"layers"}}
    assert [name for names in studio.folders().values() for name in names if name.endswith(".problem.txt")] == []
    assert len({row.path for row in studio.history() if row.record.get("steps")}) == len(ASSETS)


def test_no_worker_uses_the_network(studio: Studio, network_block: Path) -> None:
    """The block was active in the worker processes, and the record of its refusals does not exist."""
    assert studio.history()
    assert list(network_block.glob("started-*"))
    assert (network_block / "called").read_text() == ""
