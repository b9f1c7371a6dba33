"""The opener of everything below a root: no link is followed in any component, with openat2(2) and without it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.nested_folders import nested_folders
from goldsmith import root_folder
from goldsmith.errors import InputError
from goldsmith.root_folder import MAX_FOLDER_DEPTH, RootFolder


@pytest.fixture(params=["openat2", "step by step"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RootFolder:
    """A root with a picture in a campaign, and secrets beside the root."""
    if request.param == "openat2" and not root_folder._has_openat2():
        pytest.skip("this kernel has no openat2, or a filter refuses it")
    monkeypatch.setattr(root_folder, "_has_openat2", lambda: request.param == "openat2")
    (tmp_path / "root" / "inbox" / "acme").mkdir(parents=True)
    (tmp_path / "root" / "inbox" / "acme" / "hero.png").write_bytes(b"picture")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "hero.png").write_bytes(b"secret")
    return RootFolder(tmp_path / "root")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def _read(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


def test_an_ordinary_file_is_opened(root: RootFolder) -> None:
    """Its folders are real folders."""
    assert _read(root.open_file("inbox/acme/hero.png")) == b"picture"
    assert root.read_file("inbox/acme/hero.png", 7) == b"picture"
    assert root.lstat("inbox/acme/hero.png").st_size == 7
    assert root.exists("inbox/acme/hero.png")
    assert not root.exists("inbox/acme/other.png")


def test_the_root_itself_may_be_a_link(root: RootFolder, place: Path) -> None:
    """The administrator names it."""
    (place / "link").symlink_to(place / "root")
    linked = RootFolder(place / "link")
    assert linked.read_file("inbox/acme/hero.png", 100) == b"picture"
    assert linked.list_names("") == ([], ["inbox"])
    assert linked.lstat("").st_ino == (place / "root").stat().st_ino


@pytest.mark.parametrize("where", ["../../../secrets", "{place}/secrets", "/proc/self/cwd", "."])
def test_a_folder_that_is_a_link_is_not_entered(root: RootFolder, place: Path, where: str) -> None:
    """It counts as a folder that is not there, whether the link leads out of the root or stays in it."""
    (place / "root/inbox/link").symlink_to(where.format(place=place))
    for call in (root.open_file, root.lstat, root.open_folder, root.unlink):
        with pytest.raises(NotADirectoryError):
            call("inbox/link/hero.png")
    with pytest.raises(NotADirectoryError):
        root.open_folder("inbox/link")
    with pytest.raises(NotADirectoryError), root.scan("inbox/link"):
        pass
    assert root.list_names("inbox/link") == ([], [])
    assert (place / "secrets/hero.png").exists()


def test_a_link_in_the_place_of_a_file_is_refused(root: RootFolder, place: Path) -> None:
    """Its own status can be asked for, and it can be removed."""
    (place / "root/inbox/hero.png").symlink_to(place / "secrets/hero.png")
    with pytest.raises(InputError, match=r"hero\.png is not an ordinary file, and links are not followed"):
        root.open_file("inbox/hero.png")
    assert root.lstat("inbox/hero.png").st_size == len(str(place / "secrets/hero.png"))
    root.unlink("inbox/hero.png")
    assert (place / "secrets/hero.png").exists()
    assert not root.exists("inbox/hero.png")


def test_a_pipe_a_socket_a_device_and_a_folder_are_refused_at_once(root: RootFolder, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is opened as a file, and no call waits for the other end of a pipe."""
    os.mkfifo(place / "root/inbox/pipe.png")
    monkeypatch.chdir(place / "root/inbox")  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
    for name in ("pipe.png", "socket.png", "acme"):
        with pytest.raises(InputError, match="not an ordinary file"):
            root.open_file(f"inbox/{name}")


def test_a_file_in_the_place_of_a_folder_is_no_folder(root: RootFolder) -> None:
    """The error is the same as for a link there."""
    for call in (root.open_file, root.lstat, root.open_folder):
        with pytest.raises(NotADirectoryError):
            call("inbox/acme/hero.png/x")


@pytest.mark.parametrize("path", ["/etc/passwd", "../secrets/hero.png", "inbox/../../secrets/hero.png", "inbox//acme", "./inbox", "a\0b"])
def test_a_path_that_may_lead_out_is_not_tried(root: RootFolder, path: str) -> None:
    """It counts as a path at which there is nothing."""
    for call in (root.open_file, root.lstat, root.open_folder):
        with pytest.raises(FileNotFoundError):
            call(path)


def test_a_file_that_is_too_large_is_not_read(root: RootFolder, place: Path) -> None:
    """A sparse file of one terabyte costs one question for its size."""
    os.truncate(place / "root/inbox/acme/hero.png", 10**12)
    with pytest.raises(InputError, match=r"hero\.png has 953,674 MiB; a file of this kind has at most 262,144 bytes"):
        root.read_file("inbox/acme/hero.png", 2**18)


def test_a_file_that_grows_is_not_read_beyond_its_first_size(root: RootFolder, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that is faster than the reader does not hold it up."""
    path, read = place / "root/inbox/acme/hero.png", os.read

    def read_and_grow(fd: int, size: int) -> bytes:
        with path.open("ab") as file:
            file.write(b"more")
        return read(fd, min(size, 3))

    monkeypatch.setattr(os, "read", read_and_grow)
    assert root.read_file("inbox/acme/hero.png", 100) == b"picture"


def test_an_undecodable_name_is_opened(root: RootFolder, place: Path) -> None:
    """Names are bytes on Linux."""
    name = os.fsdecode(b"h\xe9ro.png")
    (place / "root/inbox" / name).write_bytes(b"latin")
    assert root.read_file(f"inbox/{name}", 9) == b"latin"


def test_no_descriptor_is_left_open(root: RootFolder, place: Path) -> None:
    """Neither by a success nor by a refusal."""
    (place / "root/inbox/link").symlink_to(place)
    before = os.listdir("/proc/self/fd")
    for path in ("inbox/acme/hero.png", "inbox/link/root", "inbox/link", "inbox", "gone"):
        for call in (root.lstat, lambda each: os.close(root.open_file(each)), lambda each: os.close(root.open_folder(each))):
            try:
                call(path)
            except (OSError, InputError):
                continue
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def _deep(root: RootFolder, place: Path) -> Iterator[None]:
    """Put 1,000 folders inside each other into the campaign."""
    with nested_folders(place / "root/inbox/acme", 1000):
        yield


@pytest.mark.usefixtures("_deep")
def test_a_walk_ends_at_the_greatest_depth(root: RootFolder) -> None:
    """The folders below that are left out, and no error is raised."""
    walked = list(root.walk("inbox"))
    assert walked[1] == ("inbox/acme", ["hero.png"])
    assert len(walked) == 1 + MAX_FOLDER_DEPTH
    assert walked[-1][0].count("/") == MAX_FOLDER_DEPTH


def test_a_path_is_taken_relative_to_the_root_as_it_is_written(root: RootFolder, place: Path) -> None:
    """A path that leaves the root, or that may leave it, has no relative form."""
    assert root.relative_path(place / "root/inbox/hero.png") == "inbox/hero.png"
    assert root.relative_path(place / "root/inbox/../../secrets") is None
    assert root.relative_path(place / "secrets/hero.png") is None


def test_a_walk_enters_neither_links_nor_ignored_folders(root: RootFolder, place: Path) -> None:
    """A folder that cannot be read counts as empty."""
    for name in (".git", "@eaDir"):
        (place / "root/inbox" / name).mkdir()
    (place / "root/inbox/link").symlink_to(place / "secrets")
    assert list(root.walk("inbox")) == [("inbox", ["link"]), ("inbox/acme", ["hero.png"])]
    assert list(root.walk("nowhere")) == [("nowhere", [])]


def test_a_file_that_a_person_names_may_lie_outside(root: RootFolder, place: Path) -> None:
    """Below the root, no link is followed."""
    assert _read(root.open_named_file(place / "secrets/hero.png")) == b"secret"
    (place / "root/inbox/link").symlink_to(place / "secrets")
    with pytest.raises(NotADirectoryError):
        root.open_named_file(place / "root/inbox/link/hero.png")
    with pytest.raises(InputError, match="at most 1 bytes"):
        root.open_named_file(place / "secrets/hero.png", 1)
