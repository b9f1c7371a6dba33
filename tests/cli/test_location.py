"""Which root, which file: the ways to name them, and those that are no way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from goldsmith.cli.location import abbreviate_list, candidate_paths, find_root
from goldsmith.errors import UsageError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As from a wheel: there is no checkout whose folders could be meant."""
    monkeypatch.setattr("goldsmith.cli.location.resource_path", lambda *parts: tmp_path / "site" / "shipped" / "samples")


def test_the_root_that_is_named_wins(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the folder one stands in."""
    monkeypatch.chdir(root)
    assert find_root(tmp_path / "other") == tmp_path / "other"
    assert find_root(Path("~/hot")) == Path.home() / "hot"


def test_the_root_one_stands_in_is_meant(root: Path, monkeypatch: pytest.MonkeyPatch, installed: None) -> None:
    """However deep."""
    (root / "inbox" / "acme").mkdir()
    monkeypatch.chdir(root / "inbox" / "acme")
    assert find_root(None) == root


def test_without_any_hint_it_asks(installed: None) -> None:
    """Exit code 2 with the option to give."""
    with pytest.raises(UsageError, match="Which folders"):
        find_root(None)


def test_a_mark_that_everybody_could_have_put_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None) -> None:
    """Nobody is led to folders of somebody else's in /tmp."""
    (tmp_path / "open" / ".goldsmith").mkdir(parents=True)
    (tmp_path / "open").chmod(0o1777)
    monkeypatch.chdir(tmp_path / "open")
    with pytest.raises(UsageError, match="Which folders"):
        find_root(None)


def test_a_checkout_has_its_own(tmp_path: Path) -> None:
    """hotfolders/ beside the code."""
    assert find_root(None) == Path(__file__).parents[2] / "hotfolders"


def test_what_exists_is_meant_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``inbox/a.png`` said in inbox/ means the root's where there is no inbox/inbox/."""
    (root / "inbox" / "a.png").write_bytes(b"")
    monkeypatch.chdir(root / "inbox")
    assert candidate_paths(root, Path("inbox/a.png"))[0] == "inbox/a.png"
    assert candidate_paths(root, Path("a.png"))[0] == "inbox/a.png"
    assert candidate_paths(root, Path("gone.png")) == ["inbox/gone.png", "gone.png"]


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "inbox/../../x.png"])
def test_nothing_outside_is_in_the_root(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """Neither by dots nor whole; a link in the root is judged by where it lies, not by where it leads."""
    monkeypatch.chdir(root)
    with pytest.raises(UsageError, match="is not in"):
        candidate_paths(root, Path(name))
    os.symlink("/etc/passwd", root / "inbox" / "link.png")
    assert candidate_paths(root, Path("inbox/link.png"))[0] == "inbox/link.png"


def test_a_few_of_many_names() -> None:
    """An ellipsis where some are left out."""
    assert abbreviate_list(["a", "b", "c"]) == "a, b, c"
    assert abbreviate_list(["a", "b", "c", "d"]) == "a, b, c, …"
