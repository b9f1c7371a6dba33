"""The search of a command for its root and its file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith, WriteState
from goldsmith.cli.location import abbreviate_list, candidate_paths, find_root
from goldsmith.errors import UsageError


@pytest.fixture
def installed_from_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pretend to be installed from a wheel, without the folders of a checkout."""
    monkeypatch.setattr("goldsmith.cli.location.resource_path", lambda *parts: tmp_path / "site" / "shipped" / "samples")


def test_the_named_root_takes_precedence(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is another root."""
    monkeypatch.chdir(root)
    assert find_root(tmp_path / "other") == tmp_path / "other"
    assert find_root(Path("~/hot")) == Path.home() / "hot"


def test_the_working_directory_gives_the_root(root: Path, monkeypatch: pytest.MonkeyPatch, installed_from_wheel: None) -> None:
    """The working directory may be at any depth below the root."""
    (root / "inbox" / "acme").mkdir()
    monkeypatch.chdir(root / "inbox" / "acme")
    assert find_root(None) == root


def test_without_any_root_the_error_names_the_option(installed_from_wheel: None) -> None:
    """The exit code is 2."""
    with pytest.raises(UsageError, match="No root is given"):
        find_root(None)


def test_a_marker_in_a_world_writable_folder_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed_from_wheel: None
) -> None:
    """Otherwise another user could redirect a command in /tmp."""
    (tmp_path / "open" / ".goldsmith").mkdir(parents=True)
    (tmp_path / "open").chmod(0o1777)
    monkeypatch.chdir(tmp_path / "open")
    with pytest.raises(UsageError, match="No root is given"):
        find_root(None)


def test_a_checkout_has_its_own_root(tmp_path: Path) -> None:
    """The root is hotfolders/ beside the code."""
    assert find_root(None) == Path(__file__).parents[2] / "hotfolders"


def test_the_first_candidate_of_a_path_is_an_existing_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In inbox/, ``inbox/a.png`` is the root's file, unless inbox/inbox/a.png exists."""
    (root / "inbox" / "a.png").write_bytes(b"")
    monkeypatch.chdir(root / "inbox")
    assert candidate_paths(root, Path("inbox/a.png"))[0] == "inbox/a.png"
    assert candidate_paths(root, Path("a.png"))[0] == "inbox/a.png"
    assert candidate_paths(root, Path("gone.png")) == ["inbox/gone.png", "gone.png"]


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "inbox/../../x.png"])
def test_a_path_outside_the_root_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """The path may be absolute or contain dots. For a link, its own path counts, not its target."""
    monkeypatch.chdir(root)
    with pytest.raises(UsageError, match="is not in"):
        candidate_paths(root, Path(name))
    os.symlink("/etc/passwd", root / "inbox" / "link.png")
    assert candidate_paths(root, Path("inbox/link.png"))[0] == "inbox/link.png"


def test_a_long_list_of_names_is_cut_off() -> None:
    """An ellipsis follows the first names."""
    assert abbreviate_list(["a", "b", "c"]) == "a, b, c"
    assert abbreviate_list(["a", "b", "c", "d"]) == "a, b, c, …"


def test_another_user_is_not_told_to_start_what_runs(
    goldsmith: Goldsmith, root: Path, write_daemon_state: WriteState, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Somebody whose state folder is another one finds no journal: the message says that Goldsmith runs, and where to look."""
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(tmp_path / "other"))
    result = goldsmith("history", "-r", root)
    assert result.code == 2
    assert "Goldsmith is running here" in result.err
    assert "GOLDSMITH_STATE_DIR" in result.err
    assert "goldsmith run" not in result.err
