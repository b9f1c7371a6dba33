"""``models.pins.toml``: the commit and the hash of every file of a tree, written down so that a model can never change unseen.

``goldsmith models pin`` writes it. It lies beside the models.toml in use, or, where that one travels with the program and may not be
written to, in the models folder.
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
from goldsmith.errors import HostError, UsageError
from goldsmith.files import Filesystem, resource_path, write_atomically

PINS_FILE_NAME = "models.pins.toml"
_HEADING = "# Written by `goldsmith models pin`: what the models' files are. A file that is not what stands here is not opened.\n\n"


class PinnedFile(ConfigTable):
    """One file of a tree."""

    size: Annotated[int, Field(alias="bytes", ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ModelPin(ConfigTable):
    """What a model's tree was when it was pinned.

    of:       where it comes from, as models.toml said it then; a pin of something else is not believed.
    revision: the repository's commit; for a folder or file of this machine a digest of all that is in it.
    """

    origin: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")]
    files: Annotated[Mapping[str, PinnedFile], Field(min_length=1)]


Pins = Mapping[ModelName, ModelPin]
_PINS_ADAPTER = TypeAdapter(dict[ModelName, ModelPin])


def describe_origin(model: Model) -> str:
    """Where a model's tree or file comes from, in one line; "" for one that has neither."""
    parts = []
    if model.repository is not None:
        parts.append(f"hub {model.repository.hub} at {model.repository.revision}")
    parts += [str(path) for path in (model.folder, model.file) if path is not None]
    return " with ".join(parts)


def content_digest(files: Mapping[str, PinnedFile]) -> str:
    """A digest of all names and hashes, for what has no commit."""
    lines = (f"{name} {file.sha256}\n" for name, file in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pins_path_for(models_file: Path, folder: Path) -> Path:
    """Where the pins of that models.toml lie; ``folder`` is the models folder."""
    travels = models_file.resolve() == resource_path("config", "models.toml").resolve()
    return (folder if travels else models_file.parent) / PINS_FILE_NAME


def read_pins(path: Path) -> dict[str, ModelPin]:
    """The pins in a file; none where there is no file. Raises UsageError where it is not what `models pin` writes."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        pins = _PINS_ADAPTER.validate_python(tables)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}.") from error
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
    """Put a model's pin into the file, whole or not at all; the other pins stay as they are."""
    import tomli_w

    pins = {**read_pins(path), name: pin}
    text = _HEADING + tomli_w.dumps(_PINS_ADAPTER.dump_python(dict(sorted(pins.items())), by_alias=True))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Filesystem(), path, text.encode(), replace=True)
    except OSError as error:
        raise HostError(f"{path}: cannot be written: {error.strerror}.", "Ask as somebody who may write there.") from error
