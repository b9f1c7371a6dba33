"""New folders get the group and the mode of the folder they are in, and refused permissions are counted and reported once."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from goldsmith.files import Filesystem, PathAt
from goldsmith.pipeline.commit.shared_folders import PermissionRefusals, make_shared_folder


class Refusal:
    """A system call that a filter refuses."""

    def __call__(self, *arguments: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def _make(parent: Path, fs: Filesystem) -> int:
    """Create ``acme`` in a folder and return its mode."""
    fd = os.open(parent, os.O_RDONLY)
    try:
        make_shared_folder(fs, PathAt(fd, "acme"))
    finally:
        os.close(fd)
    return stat.S_IMODE((parent / "acme").stat().st_mode)


@pytest.mark.parametrize("mode", [0o2770, 0o2775, 0o770, 0o750])
def test_a_new_folder_has_the_mode_of_its_parent_even_if_set_group_id_cannot_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """The unit's RestrictSUIDSGID refuses every change to a mode with that bit, so the folder is created with the right mode."""
    tmp_path.chmod(mode)
    monkeypatch.setattr(os, "fchmod", Refusal())
    before = os.umask(0o002)
    try:
        assert _make(tmp_path, Filesystem()) == mode
    finally:
        os.umask(before)


def test_a_stricter_umask_does_not_count(tmp_path: Path) -> None:
    """Without a filter of system calls the mode is changed afterwards."""
    tmp_path.chmod(0o2770)
    before = os.umask(0o077)
    try:
        assert _make(tmp_path, Filesystem()) == 0o2770
    finally:
        os.umask(before)


def test_a_refused_mode_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group may not write to the new folder, so its members cannot take results out of it."""
    tmp_path.chmod(0o2770)
    monkeypatch.setattr(os, "fchmod", Refusal())
    refusals: list[str] = []
    fs = Filesystem()
    fs.on_refused = lambda folder, refused: refusals.append(refused)
    before = os.umask(0o077)
    try:
        _make(tmp_path, fs)
    finally:
        os.umask(before)
    assert refusals == ["mode"]


def test_refusals_are_counted_and_each_stage_s_folder_is_reported_once(tmp_path: Path) -> None:
    """A campaign's folder counts for its stage. The sentence has the number so far."""
    events: list[tuple[str, dict[str, object]]] = []
    refusals = PermissionRefusals(tmp_path, lambda event, **facts: events.append((event, facts)))
    for name in ("delivered/acme", "delivered/spring", "graded"):
        (tmp_path / name).mkdir(parents=True)
        fd = os.open(tmp_path / name, os.O_RDONLY)
        refusals.add(fd, "group")
        os.close(fd)
    assert [(event, facts["folder"]) for event, facts in events] == [
        ("permissions refused", "delivered"),
        ("permissions refused", "graded"),
    ]
    assert all("goldsmith doctor" in str(facts["remedy"]) for _, facts in events)
    assert refusals.sentences == {
        "delivered": "The system refused the group of delivered/ to new files there, 2 so far.",
        "graded": "The system refused the group of graded/ to new files there, 1 so far.",
    }


def test_a_folder_that_is_closed_meanwhile_raises_nothing(tmp_path: Path) -> None:
    """A report must never fail a job."""
    refusals = PermissionRefusals(tmp_path, lambda event, **facts: None)
    refusals.add(-1, "group")
    assert refusals.sentences == {}
