"""The operations and engines of a worker process; they stay open from job to job."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue, ValidationError

from goldsmith.engines.batch import Batch
from goldsmith.engines.generator_inpainter import OnFacts, ignore_facts
from goldsmith.engines.kinds import GENERATOR
from goldsmith.engines.protocols import Device, Engine, EngineDescriptor, EngineNeed, EngineT, GenerationOptions, Generator
from goldsmith.errors import InputError, UsageError
from goldsmith.jobs.job import StepSpec
from goldsmith.jobs.protocol import ModelsMessage, WorkerConfig, WorkerSpec
from goldsmith.operation import Operation

if TYPE_CHECKING:
    from goldsmith.engines.registry.weights_registry import ModelChoice, WeightsRegistry


class EngineProvider:
    """The operations and engines of one worker process."""

    def __init__(
        self, context: WorkerConfig, spec: WorkerSpec, on_models_changed: Callable[[ModelsMessage], None] = lambda models: None
    ) -> None:
        """``on_models_changed`` receives the models that are loaded and being loaded whenever they change."""
        self._context = context
        self._device = Device(spec.device, spec.threads)
        self._on_models_changed = on_models_changed
        self._weights: WeightsRegistry | None = None
        self._announced: set[str] = set()
        self._open_lock = Lock()
        self._batch: Batch | None = None

    def for_batch(self, batch: Batch) -> EngineProvider:
        """Return a copy of this provider that combines its calls with those of the other jobs in the batch."""
        provider = copy.copy(self)
        provider._batch = batch
        return provider

    @property
    def model_folders(self) -> tuple[str, ...]:
        """The absolute paths of the folders in which models lie, once an engine was asked for."""
        return () if self._weights is None else self._weights.folders()

    @property
    def trusted_roots(self) -> str:
        """The roots, as PEM, by which the content credentials of a file are trusted."""
        return self._context.trusted_roots

    def operations(self, stage: str, steps: Sequence[StepSpec]) -> list[Operation]:
        """Return the steps as operations, validated again since the queue is not trusted. Raises InputError with every fault."""
        module, _, name = self._context.catalogue.partition(":")
        catalogue: Mapping[str, type[Operation]] = getattr(import_module(module), name)()
        operations, faults = [], []
        for number, step in enumerate(steps, 1):
            try:
                operations.append(catalogue[step.op].model_validate(step.settings))
            except KeyError:
                faults.append(f"{stage}.{number}: there is no operation called {step.op}.")
            except ValidationError as error:
                faults += [f"{stage}.{'.'.join(map(str, (number, *each['loc'])))} ({step.op}): {each['msg']}." for each in error.errors()]
        if faults:
            raise InputError("\n".join(faults))
        return operations

    def get(
        self,
        need: EngineNeed[EngineT],
        on_note: Callable[[str], None],
        options: GenerationOptions | None = None,
        on_fill: OnFacts = ignore_facts,
    ) -> tuple[EngineT, dict[str, JsonValue]]:
        """Return the engine for ``need`` and its facts for the record; ``on_note`` is called before a cold start.

        ``needs_prompt`` is dropped if no engine here takes words: a brief's prompt is for all its steps, and a step that must have words
        checks the descriptor. A generating model that serves as an inpainter has ``options`` bound to it and reports each fill to
        ``on_fill``. In a batch the calls of generating models are combined. Raises InputError if no engine serves the need.
        """
        from goldsmith.engines.engine_loader import adapt_engine, open_engine

        need, choice = self._choose(need)
        if choice.model.kind != GENERATOR.name:
            with self._exclusive():
                self._announce_loading(choice.name, on_note)
                engine, choice = open_engine(self._load_weights(), need, self._device)
            return engine, self._engine_facts(engine.descriptor, choice.why)
        engine = adapt_engine(need, self._open_generator(choice, on_note), choice, options, on_fill)
        return engine, self._engine_facts(engine.descriptor, choice.why)

    def _choose(self, need: EngineNeed[EngineT]) -> tuple[EngineNeed[EngineT], ModelChoice]:
        weights = self._load_weights()
        try:
            return need, weights.choose(need)
        except InputError:
            without_prompt = replace(need, needs_prompt=False)
            return without_prompt, weights.choose(without_prompt)

    def _announce_loading(self, name: str, on_note: Callable[[str], None]) -> None:
        if name not in self._announced:
            on_note(f"loading {name}")
            self._announced.add(name)

    def _open_generator(self, choice: ModelChoice, on_note: Callable[[str], None]) -> Engine:
        from goldsmith.engines.engine_loader import open_model

        with self._exclusive():
            if choice.name not in self._loaded_models():
                on_note(f"loading {choice.name}")
                self._on_models_changed(ModelsMessage(loaded=self._loaded_models(), loading=choice.name))
            engine = open_model(self._load_weights(), choice, self._device)
        if self._batch is None:
            return engine
        return self._batch.wrap(engine.descriptor, lambda: cast("Generator", open_model(self._load_weights(), choice, self._device)))

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Open engines one at a time, and none while another engine runs, which could be evicted. Afterwards report the loaded models."""
        with self._open_lock, self._batch.engine_idle() if self._batch is not None else nullcontext():
            try:
                yield
            finally:
                self._on_models_changed(ModelsMessage(loaded=self._loaded_models()))

    def _loaded_models(self) -> tuple[str, ...]:
        """Return the generating models that this process has in memory."""
        from goldsmith.engines.engine_loader import loaded_models

        if self._weights is None:
            return ()
        models = self._weights.models.models
        return tuple(sorted({name for name in loaded_models() if name in models and models[name].kind == GENERATOR.name}))

    def _load_weights(self) -> WeightsRegistry:
        from goldsmith.engines.registry.hash_notes import HashNotes
        from goldsmith.engines.registry.weights_registry import default_models_folder, open_weights_registry

        if self._weights is None:
            if not self._context.models_file:
                raise UsageError("There is no models.toml in these settings, so no engine is available.")
            folder = Path(self._context.weights_folder) if self._context.weights_folder else default_models_folder()
            self._weights = open_weights_registry(Path(self._context.models_file), folder, HashNotes(known=self._context.weights_notes))
        return self._weights

    def _engine_facts(self, descriptor: EngineDescriptor, reason: str) -> dict[str, JsonValue]:
        facts = {name: to_json(value) for name, value in asdict(descriptor).items()}
        return {**facts, "why": reason, "threads": self._device.threads}


def to_json(value: object) -> JsonValue:
    """Return the finding as plain JSON: numpy numbers become Python numbers, NaN and infinities None, and anything else its text."""
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
