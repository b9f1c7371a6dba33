"""What a note says if the names or permissions of a picture's own folders prevent its commit."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest

from doubles.share import Share
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.commit_refusals import explain_refusal
from goldsmith.pipeline.commit.plan_executor import FileRefused
from goldsmith.root_folder import RootFolder


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def _explain(share: Share, plan: Plan, number: int) -> tuple[str, str]:
    return explain_refusal(RootFolder(share.root), plan, OSError(number, os.strerror(number)))


def test_a_file_in_the_place_of_a_campaign_folder_is_named(share: Share) -> None:
    """The note names the file, and not the system's "Not a directory"."""
    plan = share.worked("a", campaign="blk/")
    (share.root / "masked" / "blk").write_bytes(b"x")
    with closing(share.journal()) as journal:
        result = share.deliver(journal).commit([plan])[0]
    assert isinstance(result, FileRefused)
    assert result.sentence == "selected/blk/hero.png cannot be moved on: masked/blk is a file, and a folder of that name is needed."
    assert result.remedy == "Move or rename masked/blk; Goldsmith makes the folder itself."


def test_a_link_in_the_place_of_a_campaign_folder_is_named(share: Share, tmp_path: Path) -> None:
    """No link is followed."""
    plan = share.worked("a", campaign="blk/")
    (share.root / "masked" / "blk").symlink_to(tmp_path)
    assert "masked/blk is a link, and a folder of that name is needed." in _explain(share, plan, errno.ELOOP)[0]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENAMETOOLONG, "the name hero.mask.png has 13 bytes; that disk takes at most 255, or fewer."),
        (errno.EILSEQ, "that disk does not take a name such as hero.mask.png."),
        (errno.EACCES, "Goldsmith may not move its files."),
        (errno.EFBIG, "File too large."),
    ],
)
def test_each_reason_has_its_own_sentence_and_remedy(share: Share, number: int, expected: str) -> None:
    """The sentence begins with the picture."""
    sentence, remedy = _explain(share, share.worked("a"), number)
    assert sentence == f"selected/hero.png cannot be moved on: {expected}"
    assert remedy


def test_the_folder_that_may_not_be_written_to_is_named(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is about permissions."""
    plan = share.worked("a", campaign="acme/")
    (share.root / "masked" / "acme").mkdir()
    monkeypatch.setattr(RootFolder, "can_write", lambda root, path: path != "masked/acme")
    sentence, remedy = _explain(share, plan, errno.EACCES)
    assert sentence.endswith("cannot be moved on: Goldsmith may not write to masked/acme/.")
    assert "chmod g+w" in remedy
