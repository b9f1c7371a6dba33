"""No root lies in the folders of another one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.attached import make
from goldsmith.cli.init import make_root
from goldsmith.errors import UsageError
from goldsmith.pipeline.commit.nested_roots import require_separate_root

FOLDERS = ("inbox", "selected", "masked", "graded", "delivered")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_root(tmp_path / "hot")
    return tmp_path / "hot"


@pytest.mark.parametrize("inner", ["inbox", "inbox/acme/new", "delivered/acme", "archive/old", "library/acme", ".goldsmith/acme"])
def test_a_root_inside_the_folders_of_another_is_refused(root: Path, inner: str) -> None:
    """The sentence names the folder and the remedy. A folder that does not exist yet is refused as well."""
    with pytest.raises(UsageError, match=rf"{root}/{inner} lies in {root}/{inner.partition('/')[0]}, a folder of another root"):
        require_separate_root(root / inner, FOLDERS)


def test_a_root_beside_the_folders_of_another_is_accepted(root: Path) -> None:
    """The other daemon never looks there. The same root is no other root."""
    for other in (root, root / "notes" / "hot", root.parent / "second"):
        require_separate_root(other, FOLDERS)


def test_a_root_reached_through_a_link_is_found(root: Path, tmp_path: Path) -> None:
    """The link lies outside the other root."""
    (tmp_path / "link").symlink_to(root / "inbox")
    with pytest.raises(UsageError, match="a folder of another root"):
        require_separate_root(tmp_path / "link" / "acme", FOLDERS)


def test_the_folders_of_the_other_root_are_those_of_its_own_pipeline(root: Path) -> None:
    """It has renamed selected/."""
    pipeline = root / "config" / "pipeline.toml"
    pipeline.write_text(pipeline.read_text().replace('"selected"', '"picked"'))
    require_separate_root(root / "selected" / "acme", FOLDERS)
    with pytest.raises(UsageError, match="picked, a folder of another root"):
        require_separate_root(root / "picked" / "acme", FOLDERS)


def test_without_a_usable_configuration_the_shipped_folders_count(root: Path) -> None:
    """The other root's configuration may lie elsewhere, or be broken."""
    (root / "config" / "pipeline.toml").write_text("stage = 1")
    with pytest.raises(UsageError, match="selected, a folder of another root"):
        require_separate_root(root / "selected" / "acme", FOLDERS)


def test_a_root_that_everybody_may_write_to_does_not_count(root: Path) -> None:
    """Somebody has made a folder .goldsmith in /tmp."""
    root.chmod(0o1777)
    require_separate_root(root / "inbox" / "acme", FOLDERS)


@pytest.mark.parametrize("inner", ["inbox", "masked/acme/old"])
def test_a_root_above_another_is_refused(tmp_path: Path, inner: str) -> None:
    """The other root lies in one of its folders."""
    make_root(tmp_path / "hot" / inner)
    with pytest.raises(UsageError, match=rf"{tmp_path}/hot/{inner} is a root of its own, in a folder of {tmp_path}/hot"):
        require_separate_root(tmp_path / "hot", FOLDERS)


def test_a_root_above_the_others_is_accepted_if_no_folder_overlaps(tmp_path: Path) -> None:
    """The other root lies in a folder that is none of the pipeline's."""
    make_root(tmp_path / "hot" / "clients" / "acme")
    require_separate_root(tmp_path / "hot", FOLDERS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_nobody_on_the_share_can_keep_a_daemon_from_starting(tmp_path: Path) -> None:
    """A designer's folder called .goldsmith does not count, unless an administrator runs init."""
    folder = make(tmp_path / "hot" / "inbox" / "acme" / ".goldsmith")
    os.chown(folder, 5002, 5002)
    require_separate_root(tmp_path / "hot", FOLDERS)
    with pytest.raises(UsageError, match="is a root of its own"):
        require_separate_root(tmp_path / "hot", FOLDERS, trust_everybody=True)
