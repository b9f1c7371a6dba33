"""Archives are read member by member; nothing in them decides where a file is written."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from goldsmith.engines.fetching.sources import SourceFault, describe_source, fetch_source, open_member
from goldsmith.engines.registry.weights_sources import HubSource, NpmSource, PipSource, UrlSource


def _read(archive: Path, member: str | None) -> bytes:
    with open_member(archive, member) as inside:
        return inside.read()


def _tar(path: Path, *entries: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as bundle:
        for name, kind, data in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(data)
            entry.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            bundle.addfile(entry, io.BytesIO(data))
    return path


def test_without_a_member_the_file_itself_is_read(tmp_path: Path) -> None:
    """Check that the bytes are those of the file."""
    (tmp_path / "a").write_bytes(b"abc")
    assert _read(tmp_path / "a", None) == b"abc"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_a_regular_member_is_read(tmp_path: Path, kind: bytes) -> None:
    """Check that a link or device in an archive counts as missing."""
    archive = _tar(tmp_path / "a.tgz", ("m", kind, b""))
    with pytest.raises(SourceFault, match=r"a\.tgz contains no m"):
        _read(archive, "m")


def test_a_missing_member_is_reported(tmp_path: Path) -> None:
    """Check a wheel and a tarball."""
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as bundle:
        bundle.writestr("there", b"")
    with pytest.raises(SourceFault, match=r"a\.whl contains no absent"):
        _read(tmp_path / "a.whl", "absent")
    with pytest.raises(SourceFault, match=r"b\.tgz contains no absent"):
        _read(_tar(tmp_path / "b.tgz", ("there", tarfile.REGTYPE, b"x")), "absent")


def test_a_member_name_with_dots_never_becomes_a_path(tmp_path: Path) -> None:
    """Check that the member can be read and that no file is written for it."""
    archive = _tar(tmp_path / "a.tgz", ("../../evil", tarfile.REGTYPE, b"x"))
    assert _read(archive, "../../evil") == b"x"
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(("suffix", "damage"), [("zip", "cut"), ("zip", "flip"), ("zip", "text"), ("tgz", "cut"), ("tgz", "text")])
def test_a_damaged_archive_is_a_fault_of_the_source(tmp_path: Path, suffix: str, damage: str) -> None:
    """Check truncated, damaged and unrelated files: each is a SourceFault, after which the next source is tried."""
    data = bytes(range(256)) * 64
    archive = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.writestr("m", data)
    else:
        _tar(archive, ("m", tarfile.REGTYPE, data))
    intact = archive.read_bytes()
    middle = len(intact) // 3
    damaged = {"cut": intact[:middle], "flip": intact[:middle] + bytes(8) + intact[middle + 8 :], "text": b"<html>not found</html>"}
    archive.write_bytes(damaged[damage])
    with pytest.raises(SourceFault):
        _read(archive, "m")


def test_offline_mode_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the message has the reason."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceFault, match=r"(?i)offline"):
        fetch_source(HubSource(hub="org/repo", file="a.onnx"), tmp_path, tmp_path / ".part", lambda done, total, note: None)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the requests that a failing hub on this machine receives."""
    paths: list[str] = []

    class FailingHub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            paths.append(self.path)
            self.send_error(503)

        def log_message(self, *words: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), FailingHub) as server, ThreadPoolExecutor(1) as executor:
        executor.submit(server.serve_forever, 0.01)
        _use_hub_at_port(monkeypatch, server.server_port)
        yield paths
        server.shutdown()


def _use_hub_at_port(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def _hub_fault(folder: Path) -> str:
    """Return the message of the fault that this hub causes."""
    with pytest.raises(SourceFault) as fault:
        fetch_source(HubSource(hub="org/repo", file="a.onnx"), folder, folder / ".part", lambda done, total, note: None)
    return str(fault.value)


def test_a_failing_hub_gets_one_request_and_nothing_is_printed(
    tmp_path: Path, requests: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Check that the next source is tried at once and that the output of the client is hidden."""
    assert "503" in _hub_fault(tmp_path)
    assert requests == ["/org/repo/resolve/main/a.onnx"]
    assert capfd.readouterr() == ("", "")


def test_an_unreachable_hub_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Check a port without a server."""
    with socket.socket() as unused_port:
        unused_port.bind(("127.0.0.1", 0))
        _use_hub_at_port(monkeypatch, unused_port.getsockname()[1])
        message = _hub_fault(tmp_path)
    assert "refused" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_the_client_prints_nothing_in_a_new_process(tmp_path: Path) -> None:
    """Check this because the client sets its own log level when its first module requests a logger."""
    code = f"""
import logging
from pathlib import Path
from goldsmith.engines.registry.weights_sources import HubSource
from goldsmith.engines.fetching.sources import SourceFault, fetch_source
try:
    folder = Path({str(tmp_path)!r})
    fetch_source(HubSource(hub="org/repo", file="a"), folder, folder / ".part", lambda done, total, note: None)
except SourceFault:
    print(logging.getLogger("huggingface_hub.utils._http").getEffectiveLevel() == logging.ERROR)
"""
    process = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=True
    )
    assert (process.stdout, process.stderr) == ("True\n", "")


def test_sources_are_described_in_a_few_words() -> None:
    """Check the descriptions that the lines of a message use."""
    assert describe_source(PipSource(pip="a==1", member="m")) == "pip a==1"
    assert describe_source(NpmSource(npm="@s/a@1", member="m")) == "npm @s/a@1"
    assert describe_source(HubSource(hub="org/repo", file="a")) == "hub org/repo"
    assert describe_source(UrlSource(url="https://host/a")) == "https://host/a"
