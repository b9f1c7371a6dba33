"""Briefs and prompts are read safely, whole, and once per change."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from goldsmith.brief.parsing import MAX_FILE_BYTES
from goldsmith.errors import InputError
from goldsmith.pipeline.scheduler import text_files as module
from goldsmith.pipeline.scheduler.text_files import TextFileCache


def test_what_is_read_comes_with_its_hash_and_its_signature(tmp_path: Path) -> None:
    """The three belong together."""
    (tmp_path / "hero.toml").write_bytes(b"seed = 1\n")
    text = TextFileCache(tmp_path).read("hero.toml")
    assert (text.data, text.sha256) == (b"seed = 1\n", hashlib.sha256(b"seed = 1\n").hexdigest())
    assert text.sig.ino == os.stat(tmp_path / "hero.toml").st_ino


def test_an_unchanged_file_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thousand pictures may share a campaign's brief."""
    (tmp_path / "brief.toml").write_bytes(b"seed = 1\n")
    texts = TextFileCache(tmp_path)
    first = texts.read("brief.toml")
    monkeypatch.setattr(module, "open_input", lambda path: pytest.fail("opened again"))
    assert texts.read("brief.toml") is first


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Also where size and name are the same."""
    path = tmp_path / "hero.toml"
    path.write_bytes(b"seed = 1\n")
    texts = TextFileCache(tmp_path)
    assert texts.read_bytes("hero.toml") == b"seed = 1\n"
    path.write_bytes(b"seed = 2\n")
    assert texts.read_bytes("hero.toml") == b"seed = 2\n"


def test_what_is_no_small_file_is_a_problem(tmp_path: Path) -> None:
    """Gone, a link, a pipe, a folder, too large: a sentence each, and never a hang."""
    texts = TextFileCache(tmp_path)
    (tmp_path / "secret").write_bytes(b"seed = 1\n")
    (tmp_path / "link.toml").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "large.toml").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    for name in ("gone.toml", "link.toml", "pipe.toml", "folder.toml", "large.toml"):
        with pytest.raises(InputError, match=name.partition(".")[0]):
            texts.read(name)


def test_only_so_many_texts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes, and is read again when it is asked for."""
    monkeypatch.setattr(module, "_MAX_CACHED", 2)
    texts = TextFileCache(tmp_path)
    for number in range(4):
        (tmp_path / f"{number}.toml").write_bytes(b"%d" % number)
        texts.read(f"{number}.toml")
    assert list(texts._cache) == ["2.toml", "3.toml"]
    assert texts.read_bytes("0.toml") == b"0"
