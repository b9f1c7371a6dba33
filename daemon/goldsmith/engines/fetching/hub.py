"""Access a hub's repositories through huggingface_hub: list the files at a revision, and download a file with resumption.

Every request uses the client's session, so the user's endpoint, token, proxies and HF_HUB_OFFLINE apply. The client itself deletes an
interrupted file; here it is kept and resumed, because these files have many gigabytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.engines.fetching.sources import OnFetchProgress, SourceFault
from goldsmith.engines.registry.weights_sources import HubRepository

# Bytes between two progress reports.
_CHUNK = 1 << 20
_STALL_SECONDS = 60.0
# A download fails after this many attempts in a row that bring no byte.
_MAX_EMPTY_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository. ``sha256`` is "" if the hub does not report it: it keeps small files in git."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class HubListing:
    """A model's files at one commit."""

    commit: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def list_hub_files(repository: HubRepository, *, config_only: bool = False) -> HubListing:
    """Return the model's files in the repository at its revision. Raises SourceFault with one line of text.

    config_only: as for ``refusal_reason``.
    """
    from huggingface_hub import HfApi, constants

    with _hub_errors_as_faults(repository.hub):
        client = HfApi(endpoint=constants.ENDPOINT)
        info = client.model_info(repository.hub, revision=repository.revision, files_metadata=True, timeout=_STALL_SECONDS)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    try:
        paths = repository.select_files(siblings, config_only=config_only)
    except ValueError as error:
        raise SourceFault(str(error)) from error
    if not info.sha:
        raise SourceFault("does not report its commit")
    return HubListing(info.sha, tuple(_hub_file(path, siblings[path]) for path in paths))


def _hub_file(path: str, sibling: Any) -> HubFile:
    return HubFile(path, sibling.size or 0, sibling.lfs.sha256 if sibling.lfs is not None else "")


def download_hub_file(hub: str, commit: str, file: HubFile, part_path: Path, on_progress: OnFetchProgress) -> None:
    """Download one file into ``part_path``, continuing after the bytes that are already there. Raises SourceFault with one line of text.

    A broken connection is retried as long as attempts bring bytes.
    """
    empty_attempts = 0
    while True:
        before = _size(part_path)
        try:
            with _hub_errors_as_faults(hub):
                _download_rest(hub, commit, file, part_path, on_progress)
        except SourceFault as fault:
            empty_attempts = 0 if _size(part_path) > before else empty_attempts + 1
            if isinstance(fault, HubRefused) or empty_attempts >= _MAX_EMPTY_ATTEMPTS:
                raise
            continue
        if _size(part_path) >= file.size:
            return
        empty_attempts = 0 if _size(part_path) > before else empty_attempts + 1
        if empty_attempts >= _MAX_EMPTY_ATTEMPTS:
            raise SourceFault(
                f"{file.path} was interrupted after {_size(part_path)} of {file.size} bytes; the next attempt continues from there"
            )


def _download_rest(hub: str, commit: str, file: HubFile, part_path: Path, progress: OnFetchProgress) -> None:
    """Request the missing bytes once and append them."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

    done = _size(part_path)
    if file.size and done >= file.size:
        return
    headers = {**build_hf_headers(), "Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    url = hf_hub_url(hub, file.path, revision=commit, endpoint=constants.ENDPOINT)
    with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=_STALL_SECONDS) as answer:
        if answer.status_code == 416 and done:
            part_path.unlink()  # the partial file is too long: it belongs to another file
            return
        hf_raise_for_status(answer)
        resumed = answer.status_code == 206
        done = done if resumed else 0
        with part_path.open("ab" if resumed else "wb") as target:
            reported = done
            for chunk in answer.iter_bytes():  # as they arrive: a larger chunk would be lost if the connection breaks
                target.write(chunk)
                done += len(chunk)
                if done - reported >= _CHUNK or done >= file.size:
                    reported = done
                    progress(done, file.size, f"downloading {file.path}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class HubRefused(SourceFault):
    """A failure that a retry cannot change: the hub or the settings of this machine refuse the request."""


@contextmanager
def _hub_errors_as_faults(hub: str) -> Iterator[None]:
    """Turn the client's exceptions into SourceFault with one line of text."""
    from huggingface_hub import constants, errors

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries do not concern the user; the final failure is raised
    page = f"{constants.ENDPOINT}/{hub}"
    login = "log in with `hf auth login` or set HF_TOKEN"
    try:
        yield
    except SourceFault:
        raise
    except errors.GatedRepoError as error:
        raise HubRefused(f"its licence must be accepted first: open {page}, accept the licence there, then {login} here") from error
    except errors.RevisionNotFoundError as error:
        raise HubRefused("has no such revision") from error
    except errors.RepositoryNotFoundError as error:
        raise HubRefused(f"does not exist or is not visible to you: check its spelling; if {page} asks for a login, {login}") from error
    except errors.EntryNotFoundError as error:
        raise HubRefused("has no such file at that revision") from error
    except errors.OfflineModeIsEnabled as error:
        raise HubRefused("this machine is set to stay offline (HF_HUB_OFFLINE)") from error
    except OSError as error:
        if getattr(error, "filename", None):  # an error of this disk, not of the hub
            raise
        raise _to_source_fault(error) from error
    except Exception as error:  # a border - the client's transport raises its own classes
        raise _to_source_fault(error) from error


def _to_source_fault(error: Exception) -> SourceFault:
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    if status in (401, 403):
        return HubRefused(
            f"answered {status}: log in with `hf auth login` or set HF_TOKEN; the token must be allowed to read this repository"
        )
    reason = str(error.__cause__ or error).strip().partition("\n")[0]
    return SourceFault(reason[:300] or type(error).__name__)
