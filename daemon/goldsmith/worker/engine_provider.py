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
    Device,
    EngineDescriptor,
    EngineNeed,
    GenerationOptions,
    Generator,
    Inpainter,
    Upscaler,
)
from goldsmith.engines.batch import Batch
from goldsmith.engines.generator_inpainter import GeneratorInpainter, OnFacts, ignore_facts
from goldsmith.engines.registry.models import Model
from goldsmith.errors import InputError, UsageError
from goldsmith.jobs.job import StepSpec
from goldsmith.jobs.protocol import ModelsMessage, WorkerConfig, WorkerSpec
from goldsmith.operation import Operation

if TYPE_CHECKING:
    from goldsmith.engines.engine_loader import VisionEngine


class EngineProvider:
    """What a lane process keeps from job to job: the operations, and the engines it has opened."""

    def __init__(
        self, context: WorkerConfig, spec: WorkerSpec, on_models_changed: Callable[[ModelsMessage], None] = lambda models: None
    ) -> None:
        """``tell`` hears what is loaded and what is being loaded, whenever that changes."""
        self._context = context
        self._device = Device(spec.device, spec.threads)
        self._on_models_changed = on_models_changed
        self._weights: Any = None
        self._announced: set[str] = set()
        self._open_lock = Lock()
        self._batch: Batch | None = None

    def for_batch(self, batch: Batch) -> EngineProvider:
        """The same shop as one of several jobs sees it that are worked on together."""
        other = copy.copy(self)
        other._batch = batch
        return other

    def operations(self, stage: str, steps: Sequence[StepSpec]) -> list[Operation]:
        """The steps with their settings, checked once more: the queue is not trusted. Raises InputError with every fault."""
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
            raise InputError("\n".join(wrong))
        return made

    def inpainter(
        self, need: EngineNeed, on_note: Callable[[str], None], wish: GenerationOptions | None = None, on_fill: OnFacts = ignore_facts
    ) -> tuple[Inpainter, dict[str, JsonValue]]:
        """The engine, and what the record says of it; ``note`` is told before a cold start.

        A need for words is dropped where no engine here takes them: a brief's prompt is for all its steps, and whoever must have words
        asks the descriptor. A model that generates has ``wish`` bound to it and tells ``fill_size`` what it did each time.
        """
        from goldsmith.engines.engine_loader import open_inpainter

        suited, model = self._resolve_need(need)
        if model.kind == "generate":
            generator, facts = self.generator(suited, on_note)
            fill = GeneratorInpainter(generator, wish or GenerationOptions(), on_fill)
            return fill, {**facts, **self._engine_facts(fill.descriptor, str(facts["why"]))}
        with self._exclusive():
            self._announce_loading(suited, on_note)
            engine, choice = open_inpainter(self._load_weights(), suited, self._device)
        return engine, self._engine_facts(engine.descriptor, choice.why)

    def _resolve_need(self, need: EngineNeed) -> tuple[EngineNeed, Model]:
        choices = self._load_weights()
        try:
            return need, choices.choose(need).model
        except InputError:
            wordless = replace(need, needs_prompt=False)
            return wordless, choices.choose(wordless).model

    def upscaler(self, need: EngineNeed, on_note: Callable[[str], None]) -> tuple[Upscaler, dict[str, JsonValue]]:
        """As ``inpainter``."""
        from goldsmith.engines.engine_loader import open_upscaler

        with self._exclusive():
            self._announce_loading(need, on_note)
            engine, choice = open_upscaler(self._load_weights(), need, self._device)
        return engine, self._engine_facts(engine.descriptor, choice.why)

    def generator(self, need: EngineNeed, on_note: Callable[[str], None]) -> tuple[Generator, dict[str, JsonValue]]:
        """As ``inpainter``. Among jobs that are worked on together its calls meet."""
        from goldsmith.engines.engine_loader import open_generator

        with self._exclusive():
            name = self._load_weights().choose(need).name
            if name not in self._loaded_models():
                on_note(f"loading {name}")
                self._on_models_changed(ModelsMessage(loaded=self._loaded_models(), loading=name))
            engine, choice = open_generator(self._load_weights(), need, self._device)
        facts = self._engine_facts(engine.descriptor, choice.why)
        if self._batch is None:
            return engine, facts
        return self._batch.wrap(engine.descriptor, lambda: self._reopen_generator(need)), facts

    def vision_engine(self, need: EngineNeed, on_note: Callable[[str], None]) -> tuple[VisionEngine, dict[str, JsonValue]]:
        """An engine that looks at pictures. As ``inpainter``."""
        from goldsmith.engines.engine_loader import open_vision_engine

        with self._exclusive():
            self._announce_loading(need, on_note)
            engine, choice = open_vision_engine(self._load_weights(), need, self._device)
        return engine, self._engine_facts(engine.descriptor, choice.why)

    def _reopen_generator(self, need: EngineNeed) -> Generator:
        from goldsmith.engines.engine_loader import open_generator

        return open_generator(self._load_weights(), need, self._device)[0]

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Engines are opened one at a time, and none while another is at work: it might have to make room. What is there is told after."""
        with self._open_lock, self._batch.engine_idle() if self._batch is not None else nullcontext():
            try:
                yield
            finally:
                self._on_models_changed(ModelsMessage(loaded=self._loaded_models()))

    def _loaded_models(self) -> tuple[str, ...]:
        """The generating models that this process has in memory."""
        from goldsmith.engines.engine_loader import loaded_models

        if self._weights is None:
            return ()
        models = self._weights.models.models
        return tuple(sorted({name for name in loaded_models() if name in models and models[name].kind == "generate"}))

    def _load_weights(self) -> Any:
        from goldsmith.engines.registry.weights_registry import default_models_folder, open_weights_registry

        if self._weights is None:
            if not self._context.models_file:
                raise UsageError("This house has no models.toml, so there is no engine to be had.")
            folder = Path(self._context.weights_folder) if self._context.weights_folder else default_models_folder()
            self._weights = open_weights_registry(Path(self._context.models_file), folder)
        return self._weights

    def _announce_loading(self, need: EngineNeed, on_note: Callable[[str], None]) -> None:
        chosen = self._load_weights().choose(need).name
        if chosen not in self._announced:
            on_note(f"loading {chosen}")
            self._announced.add(chosen)

    def _engine_facts(self, descriptor: EngineDescriptor, reason: str) -> dict[str, JsonValue]:
        said = {name: to_json(value) for name, value in asdict(descriptor).items()}
        return {**said, "why": reason, "threads": self._device.threads}


def to_json(value: object) -> JsonValue:
    """The finding as plain JSON: numpy's numbers become Python's, NaN and infinities become None, what is left its text."""
    if isinstance(value, Mapping):
        return {str(name): to_json(entry) for name, entry in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [to_json(entry) for entry in value]
    if hasattr(value, "tolist"):
        value = value.tolist()
        return to_json(value) if isinstance(value, list) else _number_to_json(value)
    return _number_to_json(value)


def _number_to_json(value: object) -> JsonValue:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int) else str(value)
