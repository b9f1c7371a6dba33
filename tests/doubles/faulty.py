"""Operations that each break a lane in one way, and a few that only look like work: a catalogue for tests of lanes."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping, Sequence
from threading import Event

import numpy as np

from goldsmith.engines.kinds import GENERATOR, INPAINTER
from goldsmith.engines.protocols import EngineNeed, GenerationOptions, GenerationRequest
from goldsmith.errors import DeviceError
from goldsmith.operation import (
    Deliverable,
    FileOperation,
    Operation,
    PictureOperation,
    StepContext,
    StepNeeds,
)
from goldsmith.picture.picture import Picture


class Pass(PictureOperation):
    """Gives back the very picture."""

    say: str = ""
    """Goes on record."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        if self.say:
            context.results.record(said=self.say, seed=context.seed, number=float(np.float32(0.5)), nothing=float("nan"))
        return picture


class Invert(PictureOperation):
    """Inverts every pixel."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture.with_pixels(1.0 - picture.pixels)


class Fill(PictureOperation):
    """Puts a noise of the step's seed where the mask is above zero; ``spill`` px of the first row go wrong outside it."""

    mask: str = "mask"
    spill: int = 0

    def needs(self) -> StepNeeds:
        return StepNeeds(masks=frozenset({self.mask}))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        pixels = picture.pixels.copy()
        inside = picture.masks[self.mask] > 0
        pixels[inside] = np.random.default_rng(context.seed).random(pixels.shape, np.float32)[inside]
        pixels[0, : self.spill] = 1.0 - pixels[0, : self.spill]
        return picture.with_pixels(pixels)


class Frame(PictureOperation):
    """Puts a black frame of ``px`` round the picture; ``spill`` px of the picture's own first row go wrong."""

    changes_geometry = True
    px: int = 2
    spill: int = 0

    def origin_in_result(self, picture: Picture) -> tuple[int, int]:
        return self.px, self.px

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        if not self.px:
            return picture
        pixels = np.pad(picture.pixels, ((self.px, self.px), (self.px, self.px), (0, 0)))
        pixels[self.px, self.px : self.px + self.spill] = 1.0 - pixels[self.px, self.px : self.px + self.spill]
        return picture.with_geometry(pixels, lambda mask: np.pad(mask, self.px))


class Double(PictureOperation):
    """Repeats every pixel."""

    changes_geometry = True

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture.with_geometry(picture.pixels.repeat(2, 0).repeat(2, 1), lambda mask: mask.repeat(2, 0).repeat(2, 1))


class Files(FileOperation):
    """Makes a text file under each of the names."""

    names: tuple[str, ...] = ("web",)

    def make_files(self, picture: Picture, context: StepContext) -> Sequence[Deliverable]:
        return [Deliverable(tail=f"_{name}", suffix=".txt", data=name.encode(), facts={"width": picture.width}) for name in self.names]


class Look(PictureOperation):
    """Reads a look and puts its text on record."""

    name: str

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        context.results.record(text=context.library.file("looks", self.name, (".cube",)).read_text())
        return picture


class Grab(PictureOperation):
    """Asks for an engine."""

    model: str | None = None

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        context.results.record(name=context.engines.get(EngineNeed(INPAINTER, self.model)).descriptor.name)
        return picture


class Report(PictureOperation):
    """Reports progress so many times, and once a note."""

    times: int = 1000

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        for number in range(self.times):
            context.progress.report(number / self.times)
        context.progress.report(1.0, "nearly there")
        return picture


class Die(PictureOperation):
    """Ends the process by a signal, or with ``_exit``; leaves last words."""

    signal: int = 9

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        print("these are my last words", file=sys.stderr, flush=True)
        if self.signal:
            os.kill(os.getpid(), self.signal)
        os._exit(3)


class Unplug(PictureOperation):
    """The device fails, for as long as the file ``dead`` lies in the root; with ``always``, whenever this is worked on."""

    always: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        root = context.scratch.parents[2]
        if self.always or (root / "dead").exists():
            raise DeviceError("cuda:0 has failed: an illegal memory access was encountered.", "Look at it with nvidia-smi.")
        return picture


class Meet(PictureOperation):
    """Asks a generating engine for a picture of the step's seed; with ``fail`` it fails before, with ``linger`` it waits for a cancel."""

    fail: bool = False
    linger: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        if self.fail:
            raise LookupError("not this one")
        while self.linger:
            Event().wait(0.01)
            context.progress.report(0.1)
        made = context.engines.get(EngineNeed(GENERATOR, "null-generate", can=frozenset({"text"}))).generate(
            GenerationRequest(GenerationOptions("a hand"), (context.seed,), picture.width, picture.height), context.progress.report
        )
        context.results.record(batch=made.facts["batch"])  # type: ignore[call-overload]
        return picture.with_pixels(made.pictures[0])


class Draw(PictureOperation):
    """Needs an engine, as far as anybody can see beforehand."""

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed(INPAINTER),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture


class Linger(PictureOperation):
    """Waits until the file ``go`` lies in the root; with ``exit`` it then ends its thread in a way that no border catches."""

    exit: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        while not (context.scratch.parents[2] / "go").exists():
            Event().wait(0.01)
            context.progress.report(0.5)
        if self.exit:
            raise SystemExit(5)
        return picture


class Segfault(PictureOperation):
    """Reads where nothing is."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        import ctypes

        ctypes.string_at(0)
        return picture


class Hang(PictureOperation):
    """Never ends; touches ``scratch/hanging`` first. ``heeds`` a cancel or not."""

    heeds: bool = True

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        (context.scratch / "hanging").touch()
        while True:
            Event().wait(0.01)
            if self.heeds:
                context.progress.report(0.5)


class Eat(PictureOperation):
    """Allocates without end; ``lifts`` its own limit first."""

    lifts: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        if self.lifts:
            resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        eaten = []
        while True:
            eaten.append(bytearray(16 << 20))
            Event().wait(0.005)


class Raise(PictureOperation):
    """Raises what it never promised."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        raise LookupError("no such thing\nand a second line")


class Babble(PictureOperation):
    """Prints, and with ``wire`` writes nonsense into every socket it finds."""

    wire: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        print("{garbage}" * 20_000, flush=True)
        for name in os.listdir("/proc/self/fd") if self.wire else []:
            if "socket:" in os.path.realpath(f"/proc/self/fd/{name}"):
                os.write(int(name), b"\xff" * 64)
        return picture


class Unsayable(PictureOperation):
    """Fails with a name in its sentence that is no Unicode."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        raise LookupError("a\udcff")


def catalogue() -> Mapping[str, type[Operation]]:
    """Every one of them, by its name in small letters."""
    found = [thing for thing in globals().values() if isinstance(thing, type) and thing.__module__ == __name__]
    return {thing.__name__.lower(): thing for thing in found}
