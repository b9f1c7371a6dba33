"""What a library loads is what was hashed, whatever happens to the paths."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from doubles.weights import change_in_place
from goldsmith.engines.open_weights import make_stamp, require_unchanged
from goldsmith.engines.protocols import ModelFiles
from goldsmith.errors import HostError, InputError

RIGHT, WRONG = b"the right weights", b"the wrong weights"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return the path of a file of weights in a folder of its own."""
    path = tmp_path / "model" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(RIGHT)
    return path


def _exchange_for_a_moment(path: Path, aside: Path) -> None:
    time_before = path.lstat().st_ctime_ns
    while path.lstat().st_ctime_ns == time_before:  # a kernel before 6.13 needs several tries
        path.rename(aside)
        aside.rename(path)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_exchanged_and_put_back_while_it_is_loaded_is_refused(tmp_path: Path, weights: Path, kind: str) -> None:
    """Check other files behind the same path for a moment: the file itself, a folder of its tree, and a link to the file."""
    if kind == "link":
        weights.rename(tmp_path / "blob")
        weights.symlink_to(tmp_path / "blob")
    exchanged = weights.parent if kind == "folder" else weights
    with pytest.raises(InputError, match="changed while it was loaded"), require_unchanged([weights], weights.parent, {}):
        _exchange_for_a_moment(exchanged, tmp_path / "aside")


def test_another_file_beside_the_weights_changes_nothing(weights: Path) -> None:
    """Check a models folder without a tree, into which another model is fetched meanwhile."""
    with require_unchanged([weights], None, {weights: make_stamp(weights.stat())}):
        weights.with_name("other.onnx").write_bytes(WRONG)


def test_a_file_that_is_exchanged_before_it_is_opened_is_refused(weights: Path) -> None:
    """Check the stamp of the file that was hashed against a file with the same size and time."""
    before = weights.stat()
    weights.with_name("other").write_bytes(WRONG)
    os.utime(weights.with_name("other"), ns=(before.st_atime_ns, before.st_mtime_ns))
    weights.with_name("other").replace(weights)
    with (
        pytest.raises(InputError, match=r"net\.onnx: this file of weights changed while it was loaded"),
        require_unchanged([weights], None, {weights: make_stamp(before)}),
    ):
        pytest.fail("opened")


def test_a_file_that_changes_while_it_is_loaded_is_refused(weights: Path) -> None:
    """Check other bytes of the same length and an old time; only the ctime shows the change."""
    with pytest.raises(InputError, match="changed while it was loaded"), require_unchanged([weights], None, {}):
        change_in_place(weights, WRONG)


@pytest.mark.parametrize("kind", ["fifo", "folder", "nothing"])
def test_only_a_regular_file_is_loaded(weights: Path, kind: str) -> None:
    """Check that a FIFO without a writer is refused at once."""
    weights.unlink()
    if kind == "fifo":
        os.mkfifo(weights)
    if kind == "folder":
        weights.mkdir()
    with pytest.raises(HostError, match=r"net\.onnx: cannot be read"), require_unchanged([weights], None, {}):
        pytest.fail("opened")


def test_a_file_that_is_removed_while_it_is_loaded_is_refused(weights: Path) -> None:
    """Check that this is the fault of the file and not of the machine, which would pause everybody."""
    with pytest.raises(InputError, match=r"net\.onnx: cannot be read"), require_unchanged([weights], None, {}):
        weights.unlink()


def test_an_error_of_the_library_stays_what_it_is(weights: Path) -> None:
    """Check an error within the block."""
    with pytest.raises(InputError, match="the network is none"), require_unchanged([weights], None, {}):
        raise InputError("the network is none")


def test_the_files_of_a_model_can_be_loaded_again(weights: Path) -> None:
    """Check an engine that reads its weights a second time: the same file is loaded, and a changed one is refused."""
    files = ModelFiles({"net.onnx": weights}, weights.parent, stamps={weights: make_stamp(weights.stat())})
    with files.unchanged():
        pass
    with files.unchanged():
        pass
    shutil.copy(weights, weights.with_name("copy"))
    weights.with_name("copy").replace(weights)
    with pytest.raises(InputError, match="changed while it was loaded"), files.unchanged():
        pytest.fail("opened")
