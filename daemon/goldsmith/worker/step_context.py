"""A lane's bench: what operations see of the world while a job runs, and the steps themselves, one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from goldsmith.engines import (
    Ability,
    EngineNeed,
    Generator,
    Inpainter,
    Upscaler,
    Wish,
)
from goldsmith.engines.vision import (
    Face,
    Identifier,
    Identity,
    Points,
    Swapper,
    TextLine,
)
from goldsmith.errors import Problem
from goldsmith.files import fold
from goldsmith.jobs import faults
from goldsmith.jobs.job import Input, Job, Read
from goldsmith.library.consents import SHELF, consent_of, today
from goldsmith.library.layers import layer_file, read_layer
from goldsmith.library.library import Library
from goldsmith.operation import LAYER_SUFFIXES, Deliverable, Exported, Finding, Portrait
from goldsmith.picture import region
from goldsmith.picture.picture import Mask, Plate
from goldsmith.picture.room import PER_PIXEL, Room
from goldsmith.worker.detections import Memory, Sight, rgb
from goldsmith.worker.engine_provider import Shop, plain
from goldsmith.worker.inputs import Changed, Loaded, load
from goldsmith.worker.results import Scratch

__all__ = ["LaneBench", "Shop", "plain"]

_OWN = {"looks": "look", "layers": "layer", "refs": "ref"}
"""Which role of a picture's own sidecars stands before which shelf of the library."""
_THINGS = {"subject": "subject", "face": "face", "hands": "hand", "text": "text"}


@dataclass(slots=True)
class LaneBench:
    """Implements ``goldsmith.operation.Bench`` for one step of one job."""

    job: Job
    shop: Shop
    paper: Scratch
    library: Library
    reads: Mapping[str, Read]
    say: Callable[[float, str], None]
    seed: int
    findings: dict[str, JsonValue] = field(default_factory=dict)
    engine: dict[str, JsonValue] | None = None
    used: list[str] = field(default_factory=list)
    """Paths of the picture's own sidecars that the step has opened."""

    sight: Memory = field(default_factory=Memory)
    weighs: int = PER_PIXEL
    """What the step says it takes, bytes a pixel."""
    """What was found in this job's plates: one memory for all its steps."""
    looked: list[dict[str, JsonValue]] = field(default_factory=list)
    """The engines that looked at the picture for this step, by their facts."""
    come: float = 0.0
    """How far the step has come, 0..1."""

    @property
    def stem(self) -> str:
        return self.job.stem

    @property
    def prompt(self) -> str:
        return self.job.prompt

    @property
    def scratch(self) -> Path:
        return self.paper.folder

    def inpainter(self, model: str | None, wish: Wish | None = None) -> Inpainter:
        need = EngineNeed("inpaint", model, words=wish is not None, beyond=wish is not None and wish.beyond)
        engine, facts = self.shop.inpainter(need, self._aloud, wish, self._filled)
        self._engaged(facts)
        return engine

    def _filled(self, facts: Mapping[str, object]) -> None:
        """Put on record what a generating model did for one fill; fills that differ only in their seeds are one line."""
        told = {name: plain(value) for name, value in facts.items()}
        seeds = told.pop("seeds", None)
        fills = (self.engine or {}).setdefault("fills", [])
        assert isinstance(fills, list)  # noqa: S101 - made here
        for fill in fills:
            if isinstance(fill, dict) and {name: value for name, value in fill.items() if name != "seeds"} == told:
                known = fill["seeds"]
                fill["seeds"] = [*(known if isinstance(known, list) else []), *(seeds if isinstance(seeds, list) else [])]
                return
        fills.append({**told, "seeds": seeds if isinstance(seeds, list) else []})

    def generator(self, model: str | None, can: frozenset[Ability]) -> Generator:
        need = EngineNeed("generate", model, can=can)
        engine, facts = self.shop.generator(need, self._aloud)
        self._engaged(facts)
        return engine

    def references(self) -> Sequence[Plate]:
        from goldsmith.picture.codec import decoded

        found = []
        for given in self.job.inputs:
            if given.role == "ref":
                loaded = self._as_read(given)
                self.used.append(given.path)
                found.append(decoded(loaded.data, loaded.name, self.job.limits.pixels, self._room)[0])
        return found

    def upscaler(self, model: str | None, factor: int) -> Upscaler:
        engine, facts = self.shop.upscaler(EngineNeed("upscale", model, factor=factor), self._aloud)
        self._engaged(facts)
        return engine

    def region(self, where: str, plate: Plate, removing: bool = False) -> Mask:
        from goldsmith.picture.spots import whole

        asked = region.parse(where)
        sight = self._sight(plate)
        spots = {word: sight.spot(word) for word in region.SEEN if word in asked.recognised()}
        for word, spot in spots.items():
            known = self.findings.get("found")
            self.findings["found"] = {**(known if isinstance(known, dict) else {}), word: spot.facts}
            self.looked += [facts for facts in spot.engines if facts not in self.looked]
        try:
            return asked.evaluate(plate, {word: spot.mask for word, spot in spots.items()}, whole if removing else None)
        except region.Nowhere as nowhere:
            raise self._nowhere(where, nowhere.words) from nowhere

    def matte(self, model: str | None, plate: Plate) -> Mask:
        if model is None:
            return self.region("subject", plate)
        spot = self._sight(plate).matte(model)
        self.findings["found"] = {"subject": spot.facts}
        self.looked += [facts for facts in spot.engines if facts not in self.looked]
        if spot.mask is None:
            raise Problem(f"{model} finds no subject in {faults.name_of(self.job)}.", "Paint a mask, or leave model out.")
        return spot.mask

    def show(self, shown: Plate) -> None:
        from goldsmith.picture.codec import Encoding, encode

        self.paper.show(encode(shown, Encoding(format="jpeg", quality=88)))

    def knows(self, where: str, plate: Plate) -> bool:
        """True where nothing has to be looked for, any more or at all, to tell that region of this plate."""
        return all(self.sight.has(plate, word) for word in region.parse(where).recognised())

    def faces(self, plate: Plate) -> Sequence[Face]:
        found, facts = self._sight(plate).faces()
        self.looked += [facts] if facts and facts not in self.looked else []
        return found

    def mesh(self, face: Face, plate: Plate) -> Points | None:
        points, facts = self._sight(plate).mesh(face)
        self.looked += [facts] if facts and facts not in self.looked else []
        return points

    def identity(self, face: Face, plate: Plate) -> Identity:
        engine, facts = self.shop.seeing(EngineNeed("identity"), lambda note: self.progress(0.0, note))
        self.looked += [facts] if facts not in self.looked else []
        return cast("Identifier", engine).identity(rgb(plate), face)

    def swapper(self, model: str) -> Swapper:
        engine, facts = self.shop.seeing(EngineNeed("swap", model), lambda note: self.progress(0.0, note))
        self._engaged(facts)
        return cast("Swapper", engine)

    def portrait(self, name: str) -> Portrait:
        from goldsmith.picture.codec import decode

        signed = consent_of(self.library, name, today())
        path = self.library.require(SHELF, name, LAYER_SUFFIXES)
        data = read_layer(path, self.job.limits.memory_bytes // 2)
        self._note_reference(f"{SHELF}/{signed.file.name}", signed.sha256)
        self._note_reference(f"{SHELF}/{path.name}", hashlib.sha256(data).hexdigest())
        self.findings["consent"] = plain(signed.record())
        return Portrait(decode(data, path.name, self.job.limits.pixels, self._room), f"library/{SHELF}/{path.name}")

    def read(self, plate: Plate) -> Sequence[TextLine]:
        found, facts = self._sight(plate).lines()
        self.looked += [facts] if facts and facts not in self.looked else []
        return found

    def _sight(self, plate: Plate) -> Sight:
        return Sight(plate, self.sight, lambda need: self.shop.seeing(need, self._aloud))

    def _nowhere(self, where: str, words: Sequence[str]) -> Problem:
        things = " and no ".join(_THINGS[word] for word in words)
        by = ", ".join(str(facts["name"]) for facts in self.looked)
        return Problem(
            f'There is no {things} to be found in {faults.name_of(self.job)} (looked for by {by}), so where = "{where}" is nowhere in it.',
            f'Paint a mask and name it, as in where = "{words[0]} | mask", or take the step out for this picture.',
        )

    def engines(self) -> dict[str, JsonValue] | None:
        """What the record says: the engine that did the work, or the first that looked, and the others under ``also``."""
        every = [*([self.engine] if self.engine is not None else []), *self.looked]
        if not every or not self.looked:
            return self.engine
        first, *others = every
        also = first.get("also")
        return {**first, "also": [*(also if isinstance(also, list) else []), *others]}

    def _engaged(self, facts: dict[str, JsonValue]) -> None:
        """Put an engine on record: the step's first one, and under ``also`` every other; one that is asked for again is there already."""
        if self.engine is None:
            self.engine = facts
            return
        also = self.engine.get("also")
        others = also if isinstance(also, list) else []
        if not any(isinstance(known, dict) and known["name"] == facts["name"] for known in (self.engine, *others)):
            self.engine["also"] = [*others, facts]

    def reference(self, shelf: str, name: str, suffixes: Sequence[str]) -> Path:
        own = self._own(shelf, name, suffixes)
        if own is not None:
            self.used.append(own.path)
            return self._copied(own)
        path = self.library.require(shelf, name, suffixes)
        self._note_reference(f"{shelf}/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest())
        return path

    def layer(self, name: str) -> Plate:
        from goldsmith.picture.codec import decode

        own = self._own("layers", name, LAYER_SUFFIXES)
        if own is not None:
            self.used.append(own.path)
            loaded = self._as_read(own)
            return decode(loaded.data, loaded.name, self.job.limits.pixels, self._room)
        path = layer_file(self.library, name)
        data = read_layer(path, self.job.limits.memory_bytes // 2)
        self._note_reference(f"{path.parent.name}/{path.name}", hashlib.sha256(data).hexdigest())
        return decode(data, path.name, self.job.limits.pixels, self._room)

    def names(self, shelf: str, suffixes: Sequence[str]) -> Sequence[str]:
        return self.library.names(shelf, suffixes)

    def hero(self, name: str) -> Plate:
        from goldsmith.picture.codec import decode

        path = self.library.require("heroes", name, LAYER_SUFFIXES)
        data = read_layer(path, self.job.limits.memory_bytes // 2)
        self._note_reference(f"heroes/{path.name}", hashlib.sha256(data).hexdigest())
        return decode(data, path.name, self.job.limits.pixels, self._room)

    def beside(self, file: Deliverable) -> None:
        tail = file.tail + file.suffix
        for given in self.job.inputs:
            if fold(Path(given.path).name) in (fold(self.job.stem + tail), fold(Path(self.job.picture.path).stem + tail)):
                name = Path(given.path).name
                raise Problem(f"{name} lies beside it already, so no other can be put there.", "Take it away, or ask for none.")
        self.paper.output("deliverable", tail, file.data, {name: plain(value) for name, value in file.facts.items()})

    def aside(self, file: Deliverable) -> None:
        facts = {name: plain(value) for name, value in file.facts.items()}
        taken = {made.tail for made in self.paper.outputs}
        tail = next(name for name in (f"{file.tail}{_again(time)}{file.suffix}" for time in count(1)) if name not in taken)
        self.paper.output("aside", tail, file.data, facts)

    def exported(self) -> Sequence[Exported]:
        return [Exported(made.tail, Path(made.path), made.facts) for made in self.paper.outputs if made.role == "deliverable"]

    def affords(self, width: int, height: int) -> None:
        self._room.check("What this step would make of it", width, height)

    @property
    def _room(self) -> Room:
        return Room(self.job.limits.memory_bytes, self.weighs)

    def progress(self, fraction: float, note: str = "") -> None:
        self.come = min(1.0, max(0.0, fraction))
        self.say(self.come, note)

    def _aloud(self, note: str) -> None:
        """Tell what is being done at the moment; the step is as far as it was."""
        self.progress(self.come, note)

    def record(self, **findings: Finding) -> None:
        self.findings.update({name: plain(value) for name, value in findings.items()})

    def _own(self, shelf: str, name: str, suffixes: Sequence[str]) -> Input | None:
        """The sidecar that goes by that name: its own NAME, or for the one look of a picture the picture's stem."""
        picture = Path(self.job.picture.path).stem
        for given in self.job.inputs:
            path = Path(given.path)
            names = {fold(given.name)} if given.name else {fold(self.job.stem), fold(picture), fold(path.stem)}
            if given.role == _OWN.get(shelf) and path.suffix.lower() in suffixes and fold(name) in names:
                return given
        return None

    def _as_read(self, given: Input) -> Loaded:
        """The very bytes that were hashed when the job began, put on record."""
        loaded = load(self.job, given)
        if loaded.read != self.reads[given.path]:
            raise Changed(f"{loaded.name} was changed while it was being used.", given.path)
        self._note_reference(loaded.name, loaded.read.sha256)
        return loaded

    def _copied(self, given: Input) -> Path:
        """A copy of what was read, where nobody changes it while the step reads."""
        loaded = self._as_read(given)
        kept = self.scratch / f"own-{loaded.read.sha256[:16]}{Path(given.path).suffix.lower()}"
        return kept if kept.exists() else self.paper.put(kept.name, loaded.data)

    def _note_reference(self, name: str, sha256: str) -> None:
        known = self.findings.get("references")
        self.findings["references"] = {**(known if isinstance(known, dict) else {}), name: sha256}


def _again(time: int) -> str:
    """Two steps of a job may each leave candidates: the second ones are numbered on, as names in the archive are."""
    return f"~{time}" if time > 1 else ""
