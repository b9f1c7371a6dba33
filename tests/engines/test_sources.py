"""Archives are read member by member; nothing in them decides where anything is written."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from goldsmith.engines.origins import HubSource, NpmSource, PipSource, UrlSource
from goldsmith.engines.sources import SourceFault, bring, describe, opened_member


def _read(archive: Path, member: str | None) -> bytes:
    with opened_member(archive, member) as inside:
        return inside.read()


def _tar(path: Path, *entries: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as bundle:
        for name, kind, data in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(data)
            entry.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            bundle.addfile(entry, io.BytesIO(data))
    return path


def test_a_plain_file_is_its_own_member(tmp_path: Path) -> None:
    """Without a member the bytes are the file's."""
    (tmp_path / "a").write_bytes(b"abc")
    assert _read(tmp_path / "a", None) == b"abc"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_a_plain_member_is_taken(tmp_path: Path, kind: bytes) -> None:
    """A link in an archive leads nowhere: it is as if it were not there."""
    archive = _tar(tmp_path / "a.tgz", ("m", kind, b""))
    with pytest.raises(SourceFault, match=r"a\.tgz holds no m"):
        _read(archive, "m")


def test_a_missing_member_is_told(tmp_path: Path) -> None:
    """In a wheel as in a tarball."""
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as bundle:
        bundle.writestr("there", b"")
    with pytest.raises(SourceFault, match=r"a\.whl holds no absent"):
        _read(tmp_path / "a.whl", "absent")
    with pytest.raises(SourceFault, match=r"b\.tgz holds no absent"):
        _read(_tar(tmp_path / "b.tgz", ("there", tarfile.REGTYPE, b"x")), "absent")


def test_a_name_with_dots_in_an_archive_is_only_a_name(tmp_path: Path) -> None:
    """It can be read, and nothing is written for it."""
    archive = _tar(tmp_path / "a.tgz", ("../../evil", tarfile.REGTYPE, b"x"))
    assert _read(archive, "../../evil") == b"x"
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(("suffix", "spoil"), [("zip", "cut"), ("zip", "flip"), ("zip", "text"), ("tgz", "cut"), ("tgz", "text")])
def test_a_damaged_archive_is_a_fault_of_the_source(tmp_path: Path, suffix: str, spoil: str) -> None:
    """Cut short, damaged inside or something else altogether: one sentence, so that the next source is tried."""
    data = bytes(range(256)) * 64
    archive = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.writestr("m", data)
    else:
        _tar(archive, ("m", tarfile.REGTYPE, data))
    whole = archive.read_bytes()
    middle = len(whole) // 3
    spoilt = {"cut": whole[:middle], "flip": whole[:middle] + bytes(8) + whole[middle + 8 :], "text": b"<html>not found</html>"}
    archive.write_bytes(spoilt[spoil])
    with pytest.raises(SourceFault):
        _read(archive, "m")


def test_staying_offline_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the hub's client told to stay offline, no connection is tried and the fault says why."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceFault, match=r"(?i)offline"):
        bring(HubSource(hub="org/repo", file="a.onnx"), tmp_path, tmp_path / ".part", lambda done, total, note: None)


def test_sources_are_described_in_a_few_words() -> None:
    """As they stand in a fault's lines."""
    assert describe(PipSource(pip="a==1", member="m")) == "pip a==1"
    assert describe(NpmSource(npm="@s/a@1", member="m")) == "npm @s/a@1"
    assert describe(HubSource(hub="org/repo", file="a")) == "hub org/repo"
    assert describe(UrlSource(url="https://host/a")) == "https://host/a"
