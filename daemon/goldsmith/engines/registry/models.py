"""``config/models.toml``: the models by name, the sources of their weights, and the defaults.

This module contains only data. It imports no runtime, so that checking briefs and listing models stays cheap.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from goldsmith.engines.kinds import (
    CONTROL_NET,
    ENGINE_KINDS,
    FACE_SWAPPER,
    GENERATOR,
    INPAINTER,
    MATTE_ESTIMATOR,
    REFERENCE_ADAPTER,
    UPSCALER,
)
from goldsmith.engines.protocols import Ability, EngineNeed
from goldsmith.engines.registry.control_settings import ControlSettings
from goldsmith.engines.registry.face_swap_settings import FaceSwapSettings
from goldsmith.engines.registry.family_additions import guided_abilities
from goldsmith.engines.registry.reference_settings import FILE_IN_FOLDER, FOLDER_IN_FOLDER, ReferenceSettings
from goldsmith.engines.registry.scheduler_settings import Schedulers
from goldsmith.engines.registry.weights_sources import WEIGHTS_SUFFIX, AbsolutePath, ConfigTable, HubRepository, WeightsFile
from goldsmith.errors import InputError, UsageError, unreadable_config

_NAME = r"^[a-z0-9][a-z0-9.-]{0,63}$"
_DRIVER = r"^[a-z][a-z0-9_]*$"
_FAMILY = r"^[a-z][a-z0-9-]*$"
_SOURCE_FORMS = "{pip, member}, {npm, member}, {hub, revision, file}, {url}; models.toml explains them"

# What the patterns of settings allow, in words.
_PATTERN_PHRASES: Mapping[str, str] = {
    _NAME: "a name has up to 64 small letters, digits, dots and hyphens, and begins with a letter or digit",
    _DRIVER: "a driver is named with small letters, digits and underscores, such as esrgan_onnx",
    _FAMILY: "a family is named with small letters, digits and hyphens, such as qwen-image",
    r"^[a-z0-9]*$": "a variant has small letters and digits, such as fp16",
    r"^[0-9a-f]{64}$": "a sha256 has 64 digits from 0 to 9 and a to f, as `sha256sum FILE` prints it",
    r"^x[2-8]$": "the factors are x2 to x8",
    FILE_IN_FOLDER: "it is a .safetensors file in the model's folder, such as models/ip-adapter.safetensors",
    FOLDER_IN_FOLDER: "it is a folder in the model's folder, such as models/image_encoder",
}
# The kinds of model whose weights may be a folder: a tree of a hub, or one on this machine.
TREE_KINDS = frozenset({GENERATOR.name, CONTROL_NET.name, REFERENCE_ADAPTER.name})
_OTHER_FORM = "docs/models.md shows an example"

ModelName = Annotated[str, Field(pattern=_NAME)]
# Whether the licence allows paid work: yes, within limits that its text sets, not without another licence, or the entry does not say.
Commercial = Literal["yes", "limited", "no", "not said"]
# Licences that allow paid work (SPDX); an entry with another licence has to say so itself.
FREE_LICENCES = frozenset({"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "ISC", "MIT", "Unlicense", "Zlib"})

# A generating model needs one of these abilities to fill a hole.
FILL_ABILITIES: frozenset[Ability] = frozenset({"inpaint", "image", "edit"})
_ABILITY_PHRASES: Mapping[Ability, str] = {
    "text": "make pictures from words alone",
    "image": "start from a picture",
    "inpaint": "fill a hole",
    "edit": "edit by instruction",
    "references": "use reference pictures",
    "layers": "split a picture into layers",
}


def ability_phrase(abilities: Iterable[Ability]) -> str:
    """Return the abilities in words, as the end of "it can …"."""
    *first, last = [_ABILITY_PHRASES[ability] for ability in abilities] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _check_kind(name: str) -> str:
    if name not in ENGINE_KINDS:
        raise ValueError(f"{name!r} is not a kind of engine; the kinds are: {', '.join(ENGINE_KINDS)}")
    return name


class DiffusionSettings(ConfigTable):
    """``[models.NAME.diffusion]``: the family of a generating model, and how to run it."""

    family: Annotated[str, Field(pattern=_FAMILY)]
    """The family that chooses its pipelines, such as "sdxl" or "flux-fill"."""
    can: Annotated[tuple[Ability, ...], Field(min_length=1)]
    pixels: Annotated[int, Field(ge=4096, le=16_777_216)]
    """Its native number of pixels, such as 1_048_576. Pictures of any aspect ratio with about as many pixels come out best."""
    multiple: Annotated[int, Field(ge=8, le=128)]
    """The sides of its pictures must be multiples of this many px."""
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """The precision on a GPU; the CPU always uses float32."""
    variant: Annotated[str, Field(pattern=r"^[a-z0-9]*$")] = ""
    """The precision to read if a tree has its weights in several, such as "fp16" for ``model.fp16.safetensors``."""
    steps: Annotated[int, Field(ge=1, le=200)]
    guidance: Annotated[float, Field(ge=0, le=30)]
    negative_guidance: Annotated[float, Field(gt=1, le=30)] = 3.0
    """For models whose guidance is built in (FLUX.1): how strongly a negative prompt acts. It doubles the time of such a picture."""
    schedulers: Schedulers = ()
    """Schedulers that a step may name: name = { class, its settings … }."""
    memory_mb: Annotated[int, Field(ge=1)]
    """The memory of all weights in that precision, in MB."""
    picture_mb: Annotated[int, Field(ge=1)]
    """The additional memory for one picture of ``pixels`` while it is generated, in MB."""
    seconds: Annotated[float, Field(ge=1, le=86_400)] = 600.0
    """The time limit of a job for each picture that it generates, in seconds, on a GPU with enough memory."""
    tried: Literal["real weights", "tiny random weights"] = "tiny random weights"
    """The weights with which this entry was tested when it was written."""


class Model(ConfigTable):
    """One name in ``config/models.toml``.

    Its weights are single files with their hashes. A generating model may instead have a repository, a local folder, or one local
    .safetensors file; a tree beside a single file contains its configuration and vocabularies.
    """

    kind: Annotated[str, AfterValidator(_check_kind)]
    driver: Annotated[str, Field(pattern=_DRIVER)]
    licence: Annotated[str, Field(min_length=1)]
    commercial: Commercial = "not said"
    """Whether the licence allows paid work; default: "yes" for the well-known free licences, "not said" for all others."""
    terms: Annotated[str, Field(max_length=200)] = ""
    """The terms of the licence in one sentence, unless it is a well-known free licence."""
    about: str = ""
    scale: Annotated[int, Field(ge=1, le=8)] = 1
    files: tuple[WeightsFile, ...] = ()
    repository: HubRepository | None = None
    folder: AbsolutePath | None = None
    file: AbsolutePath | None = None
    diffusion: DiffusionSettings | None = None
    control: ControlSettings | None = None
    reference: ReferenceSettings | None = None
    swap: FaceSwapSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_commercial(cls, table: Any) -> Any:
        if isinstance(table, Mapping) and "commercial" not in table and table.get("licence") in FREE_LICENCES:
            return {**table, "commercial": "yes"}
        return table

    def can_serve(self, need: EngineNeed[Any]) -> bool:
        """Return whether the kind and the abilities of the model serve the need; an upscaler serves any factor."""
        if need.needs_prompt and self.diffusion is None:
            return False
        if self.kind != need.kind.name and not (need.kind is INPAINTER and self.kind == GENERATOR.name):
            return False
        if self.control is not None:
            return need.control in ("", *self.control.controls) and need.family in ("", self.control.family)
        if self.reference is not None:
            return need.family in ("", self.reference.family)
        if self.diffusion is None:
            return not (need.can | need.controlled | need.referenced)
        able = frozenset(self.diffusion.can)
        if not self.guided_abilities(need) >= need.controlled | need.referenced:
            return False
        if need.can_any and not need.can_any & able:
            return False
        return need.can <= able and (need.kind is GENERATOR or bool(able & FILL_ABILITIES))

    def guided_abilities(self, need: EngineNeed[Any]) -> frozenset[Ability]:
        """Return the abilities of a generating model that follow all that the need asks: a control picture, references by an adapter."""
        assert self.diffusion is not None  # noqa: S101 - only generating models have abilities
        guided = guided_abilities(self.diffusion.family, controlled=bool(need.controlled), referenced=bool(need.referenced))
        return guided & frozenset(self.diffusion.can)

    @model_validator(mode="after")
    def _check_scale(self) -> Self:
        if self.kind == UPSCALER.name and self.scale == 1:
            raise ValueError("an upscaling model needs its scale, for example scale = 2")
        if (self.kind == GENERATOR.name) != (self.diffusion is not None):
            raise ValueError("a model of kind generate, and only such a model, has a [diffusion] table")
        if (self.kind == CONTROL_NET.name) != (self.control is not None):
            raise ValueError("a model of kind control, and only such a model, has a [control] table")
        if (self.kind == REFERENCE_ADAPTER.name) != (self.reference is not None):
            raise ValueError("a model of kind reference, and only such a model, has a [reference] table")
        if self.kind != UPSCALER.name and self.scale != 1:
            raise ValueError("only an upscaling model has a scale")
        return self

    @model_validator(mode="after")
    def _check_swap_table(self) -> Self:
        if (self.kind == FACE_SWAPPER.name) != (self.swap is not None):
            raise ValueError("a model of kind swap, and only such a model, has a [swap] table")
        inconsistency = "" if self.swap is None else self.swap.inconsistency([file.name for file in self.files])
        if inconsistency:
            raise ValueError(inconsistency)
        return self

    @model_validator(mode="after")
    def _check_weights_location(self) -> Self:
        trees, singles = (self.repository, self.folder), (self.file, self.files or None)
        is_tree = self.kind in TREE_KINDS
        if not is_tree and any(each is not None for each in (*trees, self.file)):
            raise ValueError(
                "only a model of kind generate, control or reference has a repository, a folder or a file; others list [[files]] with "
                "their hashes"
            )
        if is_tree and self.kind != GENERATOR.name and (any(singles) or not any(trees)):
            raise ValueError(f"a model of kind {self.kind} is a repository or a folder")
        if all(trees) or all(singles):
            raise ValueError("its weights have one source: a repository or a folder, not both; files or a file, not both")
        single = [self.file.name] if self.file is not None else [file.name for file in self.files]
        if self.kind == GENERATOR.name and single and (len(single) > 1 or not single[0].lower().endswith(WEIGHTS_SUFFIX)):
            raise ValueError(f"{', '.join(single)}: a model of kind generate is one {WEIGHTS_SUFFIX} file or a tree")
        return self


_UpscaleFactor = Annotated[str, Field(pattern=r"^x[2-8]$")]


class DefaultModels(ConfigTable):
    """Lists of models for steps that name none. A step gets the first suitable model whose weights are present.

    Every kind of engine with defaults has a list under its name; the fields are lists for special cases.
    """

    model_config = ConfigDict(extra="allow", defer_build=True)
    __pydantic_extra__: dict[str, tuple[ModelName, ...]]

    inpaint_words: tuple[ModelName, ...] = ()
    """For steps that have a prompt."""
    inpaint_beyond: tuple[ModelName, ...] = ()
    """For canvas beyond the edge of a picture, after the models in ``inpaint_words``."""
    matte_people: tuple[ModelName, ...] = ()
    """For a subject that is known to be people."""
    upscale: Mapping[_UpscaleFactor, tuple[ModelName, ...]] = Field(default_factory=dict)
    """For photographs, by factor. A model with a larger scale serves too: its result is reduced."""
    upscale_drawings: Mapping[_UpscaleFactor, tuple[ModelName, ...]] = Field(default_factory=dict)
    """For drawings, by factor, before the models in ``upscale``; never for photographs."""

    def candidates(self, need: EngineNeed[Any]) -> tuple[str, ...]:
        """Return the names to try, the first choice first."""
        if need.kind is UPSCALER:
            photographs, drawings = (lists.get(f"x{need.factor}", ()) for lists in (self.upscale, self.upscale_drawings))
            if need.is_drawing is None:
                return (*photographs, *drawings)
            return (*drawings, *photographs) if need.is_drawing else photographs
        if need.kind is MATTE_ESTIMATOR and need.has_people and self.matte_people:
            return self.matte_people
        plain = self.__pydantic_extra__.get(need.kind.name, ())
        if need.kind is not INPAINTER:
            return plain
        if need.needs_prompt:
            return self.inpaint_words
        return (*self.inpaint_words, *(self.inpaint_beyond or plain)) if need.extends_canvas else plain

    def all_lists(self) -> list[tuple[str, EngineNeed[Any], tuple[str, ...]]]:
        """Return every list with its place in the file and the need that its models must serve."""
        kinds = [kind for kind in ENGINE_KINDS.values() if kind.has_defaults and kind is not UPSCALER]
        return [
            ("inpaint_words", EngineNeed(INPAINTER, needs_prompt=True), self.inpaint_words),
            ("inpaint_beyond", EngineNeed(INPAINTER, extends_canvas=True), self.inpaint_beyond),
            ("matte_people", EngineNeed(MATTE_ESTIMATOR, has_people=True), self.matte_people),
            *((kind.name, EngineNeed(kind), self.__pydantic_extra__.get(kind.name, ())) for kind in kinds),
            *(
                (f"{place}.{key}", EngineNeed(UPSCALER, factor=int(key[1:])), names)
                for place, lists in (("upscale", self.upscale), ("upscale_drawings", self.upscale_drawings))
                for key, names in lists.items()
            ),
        ]

    def unknown_lists(self) -> list[str]:
        """Return the names of lists that belong to no kind of engine with defaults."""
        return [name for name in self.__pydantic_extra__ if name not in ENGINE_KINDS or not ENGINE_KINDS[name].has_defaults]


class Models(ConfigTable):
    """``config/models.toml`` as a whole."""

    defaults: DefaultModels = Field(default_factory=DefaultModels)
    names: Mapping[ModelName, ModelName] = Field(default_factory=dict)
    """Aliases of models, such as "premium": briefs stay the same when an alias is set to another model."""
    models: Mapping[ModelName, Model]
    only_commercial: bool = False
    """True refuses every model whose licence does not allow paid work without limits, by name and as a default."""

    def is_allowed(self, name: str) -> bool:
        """Return whether the rule about paid work allows the model of that name or alias."""
        return not self.only_commercial or self.get(name).commercial == "yes"

    def resolve_name(self, name: str) -> str:
        """Return the name of the model for a name or an alias. Raises InputError, with the nearest known name, if it is unknown."""
        if name in self.models:
            return name
        if name in self.names:
            return self.names[name]
        known = [*self.models, *self.names]
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"The nearest is {nearest[0]!r}." if nearest else f"The models are: {', '.join(sorted(known))}."
        raise InputError(f"There is no model called {name!r}.", hint)

    def get(self, name: str) -> Model:
        """Return the model for a name or an alias. Raises InputError if it is unknown."""
        return self.models[self.resolve_name(name)]

    def aliases_of(self, name: str) -> tuple[str, ...]:
        """Return the aliases of a model."""
        return tuple(alias for alias, model in self.names.items() if model == name)

    def names_serving(self, need: EngineNeed[Any]) -> list[str]:
        """Return all names and aliases of models that can serve the need; the model that the need names is ignored."""
        able = [name for name, model in self.models.items() if model.can_serve(need) and self.is_allowed(name)]
        return [*able, *(alias for alias, name in self.names.items() if name in able)]

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        faults = [*self._name_faults(), *self._default_faults(), *self._file_faults()]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _unknown_model_fault(self, place: str, name: str) -> str:
        nearest = difflib.get_close_matches(name, self.models, n=1, cutoff=0.4)
        return f"{place}: there is no model {name!r}" + (f"; the nearest is {nearest[0]!r}" if nearest else "")

    def _name_faults(self) -> list[str]:
        faults = []
        for alias, name in self.names.items():
            if alias in self.models:
                faults.append(f"names.{alias}: a model has that name already")
            elif name in self.names and name not in self.models:
                faults.append(f"names.{alias}: {name!r} is itself an alias in [names]; name the model")
            elif name not in self.models:
                faults.append(self._unknown_model_fault(f"names.{alias}", name))
        return faults

    def _default_faults(self) -> list[str]:
        faults = [f"defaults.{name}: there is no such setting" for name in self.defaults.unknown_lists()]
        for place, need, names in self.defaults.all_lists():
            faults += filter(None, (self._default_fault(place, need, name) for name in names))
        return faults

    def _default_fault(self, place: str, need: EngineNeed[Any], name: str) -> str:
        model = self.models.get(name)
        if model is None:
            return self._unknown_model_fault(f"defaults.{place}", name)
        if not model.can_serve(need) or (need.kind is UPSCALER and model.scale < need.factor):
            purpose = f"{model.kind} x{model.scale}" if model.kind == UPSCALER.name else model.kind
            return f"defaults.{place}: {name!r} is a model for {purpose}" + (" and takes no prompt" if need.needs_prompt else "")
        if model.driver == "null":
            reason = "cannot be a default, because the driver null generates nothing"
            return f"defaults.{place}: {name!r} {reason}; remove it from this list (a step may still name it)"
        return ""

    def _file_faults(self) -> list[str]:
        """Return the faults of file names: all files are in one folder, so a name must always have the same content."""
        first_uses: dict[str, tuple[str, str]] = {}
        faults = []
        for name, model in self.models.items():
            for file in model.files:
                other, sha256 = first_uses.setdefault(file.name.casefold(), (name, file.sha256))
                if sha256 != file.sha256:
                    faults.append(f"models.{name}: its file {file.name} has another sha256 than the file of that name in models.{other}")
        return faults


def read_models(path: Path) -> Models:
    """Read ``models.toml``. Raises UsageError with all its faults: place, value, and the allowed values; HostError if its disk fails."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable_config(path, error) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: this is not TOML: {error}.") from error
    try:
        return Models.model_validate(tables)
    except ValidationError as error:
        raise UsageError("\n".join(f"{path}: {fault}" for fault in _describe_faults(error))) from error


def _describe_faults(error: ValidationError) -> list[str]:
    """Return all faults of a validation, each as one line: place and problem."""
    faults: dict[str, None] = {}
    for fault in error.errors(include_url=False):
        parts = [str(part) for part in fault["loc"] if part not in ("PipSource", "NpmSource", "HubSource", "UrlSource", "[key]")]
        place = ".".join(parts)
        if fault["type"] == "value_error":
            text = str(fault["ctx"]["error"])
            faults |= dict.fromkeys(f"{place}: {line}" if place else line for line in text.splitlines())
        elif "sources" in parts:
            source = ".".join(parts[: parts.index("sources") + 2])
            faults[f"{source}: is none of {_SOURCE_FORMS}"] = None
        elif fault["type"] == "extra_forbidden":
            faults[f"{place}: there is no such setting"] = None
        elif fault["type"] == "string_pattern_mismatch":
            pattern = str(fault["ctx"]["pattern"])
            faults[f"{place}: {fault['input']!r:.80} has a form that is not allowed; {_PATTERN_PHRASES.get(pattern, _OTHER_FORM)}"] = None
        elif fault["type"] == "missing":
            faults[f"{place}: is missing"] = None
        else:
            faults[f"{place}: {fault['input']!r:.80} will not do: {fault['msg']}"] = None
    return list(faults)
