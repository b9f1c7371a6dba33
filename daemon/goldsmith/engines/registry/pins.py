"""``models.pins.toml``: the commit and the hashes of the files of a model, so that a change of its weights is always noticed.

``goldsmith models pin`` writes it beside the models.toml in use, or in the models folder if the models.toml of the installed program is in
use.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from goldsmith.engines.registry.models import Model, ModelName
from goldsmith.engines.registry.weights_sources import ConfigTable, refusal_reason
from goldsmith.errors import HostError, UsageError, unreadable_config
from goldsmith.files import Filesystem, resource_path, write_atomically

PINS_FILE_NAME = "models.pins.toml"
_HEADING = "# Written by `goldsmith models pin`. A file whose size or sha256 differs from its entry is never opened.\n\n"


class PinnedFile(ConfigTable):
    """One file of a tree."""

    size: Annotated[int, Field(alias="bytes", ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ModelPin(ConfigTable):
    """The state of a model's tree when it was pinned.

    origin:   the source in models.toml at that time, from ``describe_origin``; a pin of another origin is stale.
    revision: the commit of the repository; for a local folder or file, a digest of its content.
    """

    origin: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")]
    files: Annotated[Mapping[str, PinnedFile], Field(min_length=1)]


_PINS_ADAPTER = TypeAdapter(dict[ModelName, ModelPin])


def describe_origin(model: Model) -> str:
    """Return the source of a model's tree or file, in one line; "" for a model without a tree."""
    parts = []
    if model.repository is not None:
        parts.append(f"hub {model.repository.hub} at {model.repository.revision}")
    parts += [str(path) for path in (model.folder, model.file) if path is not None]
    return " with ".join(parts)


def content_digest(hashes: Mapping[str, str]) -> str:
    """Return a digest of all names and their sha256, for a folder without a commit."""
    lines = (f"{name} {sha256}\n" for name, sha256 in sorted(hashes.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pins_path_for(models_file: Path, folder: Path) -> Path:
    """Return the path of the pins of a models.toml; ``folder`` is the models folder."""
    is_packaged = models_file.resolve() == resource_path("config", "models.toml").resolve()
    return (folder if is_packaged else models_file.parent) / PINS_FILE_NAME


def read_pins(path: Path) -> dict[str, ModelPin]:
    """Return the pins in a file; none if the file does not exist. Raises UsageError if it is not a file of `goldsmith models pin`.

    Raises HostError if its disk fails.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        pins = _PINS_ADAPTER.validate_python(tables)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise unreadable_config(path, error) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: this is not TOML: {error}.", "Delete it and run: goldsmith models pin NAME") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise UsageError(f"{path}: {place}: {fault['msg']}.", "Run: goldsmith models pin NAME") from error
    for name, pin in pins.items():
        reason = refusal_reason(pin.files, config_only=True)
        if reason:
            raise UsageError(f"{path}: {name}.files: {reason}.", f"Run: goldsmith models pin {name}")
    return pins


def write_pin(path: Path, name: str, pin: ModelPin) -> None:
    """Write a model's pin into the file, atomically; the other pins stay unchanged. Raises HostError if the file cannot be written."""
    import tomli_w

    pins = {**read_pins(path), name: pin}
    text = _HEADING + tomli_w.dumps(_PINS_ADAPTER.dump_python(dict(sorted(pins.items())), by_alias=True))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Filesystem(), path, text.encode(), replace=True)
    except OSError as error:
        raise HostError(f"{path}: cannot be written: {error.strerror}.", "Run this as a user who may write there.") from error
