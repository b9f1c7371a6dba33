"""Briefs and prompts are read safely, completely, and once per change."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from goldsmith.brief.parsing import MAX_FILE_BYTES
from goldsmith.errors import InputError, UnreadableFileError
from goldsmith.pipeline.scheduler import text_files
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.root_folder import RootFolder


def test_a_file_is_read_with_its_hash_and_signature(tmp_path: Path) -> None:
    """All three describe the same bytes."""
    (tmp_path / "hero.toml").write_bytes(b"seed = 1\n")
    text = TextFileCache(tmp_path).read("hero.toml")
    assert (text.data, text.sha256) == (b"seed = 1\n", hashlib.sha256(b"seed = 1\n").hexdigest())
    assert text.sig.ino == os.stat(tmp_path / "hero.toml").st_ino


def test_an_unchanged_file_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of pictures may share a campaign's brief, so it is read once."""
    (tmp_path / "brief.toml").write_bytes(b"seed = 1\n")
    cache = TextFileCache(tmp_path)
    first = cache.read("brief.toml")
    monkeypatch.setattr(RootFolder, "open_file", lambda root, path: pytest.fail("opened again"))
    assert cache.read("brief.toml") is first


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """The change is noticed even if name and size stay the same."""
    path = tmp_path / "hero.toml"
    path.write_bytes(b"seed = 1\n")
    cache = TextFileCache(tmp_path)
    assert cache.read_bytes("hero.toml") == b"seed = 1\n"
    path.write_bytes(b"seed = 2\n")
    assert cache.read_bytes("hero.toml") == b"seed = 2\n"


def test_anything_but_a_small_regular_file_is_refused(tmp_path: Path) -> None:
    """Raise InputError for a missing file, a link, a pipe, a folder and a large file, and never hang."""
    cache = TextFileCache(tmp_path)
    (tmp_path / "secret").write_bytes(b"seed = 1\n")
    (tmp_path / "link.toml").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "large.toml").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    for name in ("gone.toml", "link.toml", "pipe.toml", "folder.toml", "large.toml"):
        with pytest.raises(InputError, match=name.partition(".")[0]):
            cache.read(name)


def test_the_cache_has_a_maximum_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest file leaves the cache and is read again on demand."""
    monkeypatch.setattr(text_files, "_MAX_CACHED", 2)
    cache = TextFileCache(tmp_path)
    for number in range(4):
        (tmp_path / f"{number}.toml").write_bytes(b"%d" % number)
        cache.read(f"{number}.toml")
    assert list(cache._cache) == ["2.toml", "3.toml"]
    assert cache.read_bytes("0.toml") == b"0"


def test_the_cache_has_a_maximum_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of long prompts fit no memory: the oldest ones leave, and a text that changes counts once."""
    monkeypatch.setattr(text_files, "_MAX_CACHED_BYTES", 1000)
    cache = TextFileCache(tmp_path)
    for size in (100, 350):
        (tmp_path / "a.txt").write_bytes(b"a" * size)
        assert len(cache.read_bytes("a.txt")) == size
    for name in ("b", "c", "d"):
        (tmp_path / f"{name}.txt").write_bytes(name.encode() * 300)
        cache.read(f"{name}.txt")
        assert sum(len(text.data) for text in cache._cache.values()) <= 1000
    assert list(cache._cache) == ["b.txt", "c.txt", "d.txt"]
    assert cache._cached_bytes == 900
    (tmp_path / "large.txt").write_bytes(b"x" * 1001)
    assert len(cache.read_bytes("large.txt")) == 1001
    assert (list(cache._cache), cache._cached_bytes) == ([], 0)


def test_a_text_is_not_read_through_a_campaign_that_became_a_link(tmp_path: Path) -> None:
    """It counts as gone, also if it was read before: the unchanged file behind the link is not the one that was named."""
    (tmp_path / "root/inbox/acme").mkdir(parents=True)
    (tmp_path / "root/inbox/acme/hero.txt").write_bytes(b"a lake")
    cache = TextFileCache(tmp_path / "root")
    assert cache.read_bytes("inbox/acme/hero.txt") == b"a lake"
    (tmp_path / "root/inbox/acme").rename(tmp_path / "acme")
    (tmp_path / "root/inbox/acme").symlink_to(tmp_path / "acme")
    with pytest.raises(InputError, match=r"inbox/acme/hero\.txt is gone"):
        cache.read("inbox/acme/hero.txt")


def test_a_file_that_the_system_refuses_is_a_wait_of_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a failing disk nor a denied permission is a fault of the host: all other bundles go on. Both are tried again."""
    for number in (errno.EIO, errno.ESTALE, errno.EACCES):
        error = OSError(number, os.strerror(number))
        monkeypatch.setattr(RootFolder, "lstat", lambda root, path, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(UnreadableFileError, match=r"hero\.toml cannot be read.*It is tried again by itself"):
            TextFileCache(tmp_path).read("hero.toml")


def test_a_large_picture_that_is_called_a_brief_is_named_from_its_first_bytes(tmp_path: Path) -> None:
    """It is not read, and the remedy is not to correct it."""
    (tmp_path / "hero.toml").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(457 * 1024))
    with pytest.raises(InputError, match=r"hero\.toml is a PNG picture, not plain text") as caught:
        TextFileCache(tmp_path).read("hero.toml")
    assert caught.value.remedy.startswith("If it is the picture, rename it to hero.png")


def test_a_machine_without_descriptors_is_no_wait_of_one_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error reaches the main loop, which pauses all work."""
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    monkeypatch.setattr(RootFolder, "lstat", lambda root, path: (_ for _ in ()).throw(error))
    with pytest.raises(OSError, match="Too many open files"):
        TextFileCache(tmp_path).read("hero.toml")
