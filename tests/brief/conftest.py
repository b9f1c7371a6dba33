"""A small pipeline with invented operations, so that these tests do not depend on the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from goldsmith.brief.brief import Brief, read_brief
from goldsmith.brief.parsing import BriefError
from goldsmith.brief.pipeline import Pipeline, read_pipeline
from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.operation import Operation, StepNeeds

PIPELINE = b"""
[[stage]]
name = "sort"
folder = "inbox"
next = "selected"
steps = ["look_over"]
default = [{ op = "look_over" }]
[[stage]]
name = "edit"
folder = "selected"
next = "masked"
queue = "gpu"
steps = ["fill", "enlarge"]
with_mask = [{ op = "fill", where = "mask" }]
[[stage]]
name = "grade"
folder = "masked"
next = "graded"
steps = ["tone"]
with_look = [{ op = "tone" }]
[[stage]]
name = "deliver"
folder = "graded"
next = "delivered"
"""


class LookOver(Operation):
    """Looks."""


class Fill(Operation):
    """Fills."""

    where: str = ""
    model: str | None = None

    @field_validator("where")
    @classmethod
    def _known(cls, where: str) -> str:
        if where == "subject":
            raise ValueError("the region “subject” is not available yet in this version")
        return where

    def needs(self) -> StepNeeds:
        masks = frozenset({self.where}) if self.where else frozenset()
        return StepNeeds(masks=masks, engines=(EngineNeed(INPAINTER, self.model),))


class Enlarge(Operation):
    """Enlarges."""

    factor: int = Field(default=2, ge=1, le=4)
    size: tuple[Annotated[int, Field(ge=1, le=100_000)], int] | None = None


class Band(BaseModel):
    """A band of tones."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    temperature: float = 0


class Tone(Operation):
    """Tones."""

    look: str | None = None
    shadows: Band = Band()
    amount: int | tuple[int, int] = 1
    name: str = ""
    gain: Annotated[tuple[float, float], BeforeValidator(lambda value: (value,) * 2 if isinstance(value, int | float) else value)] = (
        1.0,
        1.0,
    )
    quick: bool = False

    def needs(self) -> StepNeeds:
        return StepNeeds(library_files=() if self.look is None else (("looks", self.look, (".cube", ".cdl")),))


class Save(Operation):
    """Saves."""

    format: Literal["jpeg", "png"]
    max_kb: float = 100.0


CATALOGUE: Mapping[str, type[Operation]] = {"look_over": LookOver, "fill": Fill, "enlarge": Enlarge, "tone": Tone, "save": Save}


@pytest.fixture(scope="session")
def catalogue() -> Mapping[str, type[Operation]]:
    return CATALOGUE


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return read_pipeline(PIPELINE, "pipeline.toml", CATALOGUE)


@pytest.fixture
def read(pipeline: Pipeline) -> Callable[..., Brief]:
    """Return a function that reads a brief called hero.toml."""

    def read_text(text: str | bytes, **options: object) -> Brief:
        data = text.encode() if isinstance(text, str) else text
        return read_brief(data, "hero.toml", pipeline, catalogue=CATALOGUE, **options)  # type: ignore[arg-type]

    return read_text


@pytest.fixture
def problems(read: Callable[..., Brief]) -> Callable[..., list[str]]:
    """Return a function that returns the problems of a brief."""

    def problems_of(text: str | bytes, **options: object) -> list[str]:
        with pytest.raises(BriefError) as caught:
            read(text, **options)
        assert all(len(problem.location) <= 60 and len(problem.sentence) < 400 for problem in caught.value.problems)
        return [str(problem) for problem in caught.value.problems]

    return problems_of
