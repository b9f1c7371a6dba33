"""What a lane process keeps from job to job: the operations there are, and the engines it has opened."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, ValidationError

from goldsmith.engines import (
    Descriptor,
    Device,
    EngineNeed,
    Generator,
    Inpainter,
    Upscaler,
    Wish,
)
from goldsmith.engines.batch import Flight
from goldsmith.engines.filling import GeneratedFill, Note, unnoted
from goldsmith.engines.registry.models import Model
from goldsmith.errors import Problem, UsageFault
from goldsmith.jobs.job import StepSpec
from goldsmith.jobs.protocol import LaneContext, LaneSpec, Models
from goldsmith.operation import Operation

if TYPE_CHECKING:
    from goldsmith.engines.opening import Seeing


class Shop:
    """What a lane process keeps from job to job: the operations, and the engines it has opened."""

    def __init__(self, context: LaneContext, spec: LaneSpec, tell: Callable[[Models], None] = lambda models: None) -> None:
        """``tell`` hears what is loaded and what is being loaded, whenever that changes."""
        self._context = context
        self._device = Device(spec.device, spec.threads)
        self._tell = tell
        self._weights: Any = None
        self._opened: set[str] = set()
        self._opening = Lock()
        self._flight: Flight | None = None

    def flying(self, flight: Flight) -> Shop:
        """The same shop as one of several jobs sees it that are worked on together."""
        other = copy.copy(self)
        other._flight = flight
        return other

    def operations(self, stage: str, steps: Sequence[StepSpec]) -> list[Operation]:
        """The steps with their settings, checked once more: the queue is not trusted. Raises Problem with every fault."""
        module, _, name = self._context.catalogue.partition(":")
        catalogue: Mapping[str, type[Operation]] = getattr(import_module(module), name)()
        made, wrong = [], []
        for number, step in enumerate(steps, 1):
            try:
                made.append(catalogue[step.op].model_validate(step.settings))
            except KeyError:
                wrong.append(f"{stage}.{number}: there is no operation called {step.op}.")
            except ValidationError as error:
                wrong += [f"{stage}.{'.'.join(map(str, (number, *at['loc'])))} ({step.op}): {at['msg']}." for at in error.errors()]
        if wrong:
            raise Problem("\n".join(wrong))
        return made

    def inpainter(
        self, need: EngineNeed, note: Callable[[str], None], wish: Wish | None = None, filled: Note = unnoted
    ) -> tuple[Inpainter, dict[str, JsonValue]]:
        """The engine, and what the record says of it; ``note`` is told before a cold start.

        A need for words is dropped where no engine here takes them: a brief's prompt is for all its steps, and whoever must have words
        asks the descriptor. A model that generates has ``wish`` bound to it and tells ``filled`` what it did each time.
        """
        from goldsmith.engines.opening import open_inpainter

        suited, model = self._suited(need)
        if model.kind == "generate":
            generator, facts = self.generator(suited, note)
            fill = GeneratedFill(generator, wish or Wish(), filled)
            return fill, {**facts, **self._facts(fill.descriptor, str(facts["why"]))}
        with self._alone():
            self._announce(suited, note)
            engine, choice = open_inpainter(self._choices(), suited, self._device)
        return engine, self._facts(engine.descriptor, choice.why)

    def _suited(self, need: EngineNeed) -> tuple[EngineNeed, Model]:
        choices = self._choices()
        try:
            return need, choices.choose(need).model
        except Problem:
            wordless = replace(need, words=False)
            return wordless, choices.choose(wordless).model

    def upscaler(self, need: EngineNeed, note: Callable[[str], None]) -> tuple[Upscaler, dict[str, JsonValue]]:
        """As ``inpainter``."""
        from goldsmith.engines.opening import open_upscaler

        with self._alone():
            self._announce(need, note)
            engine, choice = open_upscaler(self._choices(), need, self._device)
        return engine, self._facts(engine.descriptor, choice.why)

    def generator(self, need: EngineNeed, note: Callable[[str], None]) -> tuple[Generator, dict[str, JsonValue]]:
        """As ``inpainter``. Among jobs that are worked on together its calls meet."""
        from goldsmith.engines.opening import open_generator

        with self._alone():
            name = self._choices().choose(need).name
            if name not in self._loaded():
                note(f"loading {name}")
                self._tell(Models(loaded=self._loaded(), loading=name))
            engine, choice = open_generator(self._choices(), need, self._device)
        facts = self._facts(engine.descriptor, choice.why)
        if self._flight is None:
            return engine, facts
        return self._flight.around(engine.descriptor, lambda: self._again(need)), facts

    def seeing(self, need: EngineNeed, note: Callable[[str], None]) -> tuple[Seeing, dict[str, JsonValue]]:
        """An engine that looks at pictures. As ``inpainter``."""
        from goldsmith.engines.opening import open_seeing

        with self._alone():
            self._announce(need, note)
            engine, choice = open_seeing(self._choices(), need, self._device)
        return engine, self._facts(engine.descriptor, choice.why)

    def _again(self, need: EngineNeed) -> Generator:
        from goldsmith.engines.opening import open_generator

        return open_generator(self._choices(), need, self._device)[0]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Engines are opened one at a time, and none while another is at work: it might have to make room. What is there is told after."""
        with self._opening, self._flight.still() if self._flight is not None else nullcontext():
            try:
                yield
            finally:
                self._tell(Models(loaded=self._loaded()))

    def _loaded(self) -> tuple[str, ...]:
        """The generating models that this process has in memory."""
        from goldsmith.engines.opening import loaded

        if self._weights is None:
            return ()
        models = self._weights.models.models
        return tuple(sorted({name for name in loaded() if name in models and models[name].kind == "generate"}))

    def _choices(self) -> Any:
        from goldsmith.engines.registry.weights import default_folder, weights_of

        if self._weights is None:
            if not self._context.models_file:
                raise UsageFault("This house has no models.toml, so there is no engine to be had.")
            folder = Path(self._context.weights) if self._context.weights else default_folder()
            self._weights = weights_of(Path(self._context.models_file), folder)
        return self._weights

    def _announce(self, need: EngineNeed, note: Callable[[str], None]) -> None:
        chosen = self._choices().choose(need).name
        if chosen not in self._opened:
            note(f"loading {chosen}")
            self._opened.add(chosen)

    def _facts(self, descriptor: Descriptor, why: str) -> dict[str, JsonValue]:
        said = {name: plain(value) for name, value in asdict(descriptor).items()}
        return {**said, "why": why, "threads": self._device.threads}


def plain(value: object) -> JsonValue:
    """The finding as plain JSON: numpy's numbers become Python's, NaN and infinities become None, what is left its text."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        value = value.tolist()
        return plain(value) if isinstance(value, list) else _number(value)
    return _number(value)


def _number(value: object) -> JsonValue:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int) else str(value)
