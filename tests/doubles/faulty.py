"""A catalogue for tests of worker processes: operations that each break a worker process in one way, and a few that seem to work."""

from __future__ import annotations

import hashlib
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
from goldsmith.picture.decoding_time import limited_decoding
from goldsmith.picture.picture import Picture


def decode_endlessly(name: str) -> None:
    """Do what a decoder does with a hostile file: work in C code without an end, within a limit of a moment."""
    with limited_decoding(name) as decoding:
        decoding.max_seconds = 0.05
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)


class Pass(PictureOperation):
    """Returns the same picture object."""

    # A text for the record.
    say: str = ""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        if self.say:
            context.results.record(said=self.say, seed=context.seed, number=float(np.float32(0.5)), nothing=float("nan"))
        return picture


class Invert(PictureOperation):
    """Inverts every pixel."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture.with_pixels(1.0 - picture.pixels)


class Fill(PictureOperation):
    """Fills the mask, where it is above zero, with noise of the step's seed; also inverts the first ``spill`` px of the first row."""

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
    """Puts a black frame of ``px`` around the picture; also inverts the first ``spill`` px of the picture's own first row."""

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
    """Reads a look and records its text."""

    name: str

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        context.results.record(text=context.library.file("looks", self.name, (".cube",)).read_text())
        return picture


class Grab(PictureOperation):
    """Requests an engine and records its name."""

    model: str | None = None

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        context.results.record(name=context.engines.get(EngineNeed(INPAINTER, self.model)).descriptor.name)
        return picture


class Report(PictureOperation):
    """Reports progress ``times`` times, and a note once."""

    times: int = 1000

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        for number in range(self.times):
            context.progress.report(number / self.times)
        context.progress.report(1.0, "nearly there")
        return picture


class Die(PictureOperation):
    """Prints last words to stderr and ends the process by a signal, or with an exit status if the signal is 0."""

    signal: int = 9
    status: int = 3

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        print("these are my last words", file=sys.stderr, flush=True)
        if self.signal:
            os.kill(os.getpid(), self.signal)
        os._exit(self.status)


class Unplug(PictureOperation):
    """Fails as a broken device does while the file ``dead`` is in the root, or ``always``."""

    always: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        root = context.scratch.parents[3]
        if self.always or (root / "dead").exists():
            raise DeviceError("cuda:0 has failed: an illegal memory access was encountered.", "Look at it with nvidia-smi.")
        return picture


class Meet(PictureOperation):
    """Requests a picture of the step's seed from a generator.

    ``fail``: fails before that; ``linger``: waits to be cancelled; ``decode``: decodes a file without an end.
    """

    fail: bool = False
    decode: bool = False
    linger: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        if self.fail:
            raise LookupError("not this one")
        if self.decode:
            decode_endlessly("slow.layer.png")
        while self.linger:
            Event().wait(0.01)
            context.progress.report(0.1)
        result = context.engines.get(EngineNeed(GENERATOR, "null-generate", can=frozenset({"text"}))).generate(
            GenerationRequest(GenerationOptions("a hand"), (context.seed,), picture.width, picture.height), context.progress.report
        )
        context.results.record(batch=result.facts["batch"])  # type: ignore[call-overload]
        return picture.with_pixels(result.pictures[0])


class Draw(PictureOperation):
    """Declares that it needs an engine, and does not use it."""

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed(INPAINTER),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture


class Linger(PictureOperation):
    """Waits until the file ``go`` is in the root; ``exit``: then raises SystemExit, which ``except Exception`` does not catch."""

    exit: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        while not (context.scratch.parents[3] / "go").exists():
            Event().wait(0.01)
            context.progress.report(0.5)
        if self.exit:
            raise SystemExit(5)
        return picture


class Nap(PictureOperation):
    """Takes ``seconds`` and no processor, as a job does whose processor is pretended."""

    seconds: float = 1.0

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        Event().wait(self.seconds)
        return picture


class Segfault(PictureOperation):
    """Reads from address 0."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        import ctypes

        ctypes.string_at(0)
        return picture


class Decode(PictureOperation):
    """Decodes a file without an end."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        decode_endlessly("slow.layer.png")
        return picture


class Hang(PictureOperation):
    """Never ends; creates ``scratch/hanging`` first. ``heeds``: whether it can be cancelled."""

    heeds: bool = True

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        (context.scratch / "hanging").touch()
        while True:
            Event().wait(0.01)
            if self.heeds:
                context.progress.report(0.5)


class Eat(PictureOperation):
    """Allocates memory without end; ``lifts``: removes its own memory limit first."""

    lifts: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        if self.lifts:
            resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        eaten = []
        while True:
            eaten.append(bytearray(16 << 20))
            Event().wait(0.005)


class Raise(PictureOperation):
    """Raises an error that operations do not declare."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        raise LookupError("no such thing\nand a second line")


class Babble(PictureOperation):
    """Prints much text; ``wire``: also writes invalid bytes to every open socket."""

    wire: bool = False

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        print("{garbage}" * 20_000, flush=True)
        for name in os.listdir("/proc/self/fd") if self.wire else []:
            if "socket:" in os.path.realpath(f"/proc/self/fd/{name}"):
                os.write(int(name), b"\xff" * 64)
        return picture


class Unsayable(PictureOperation):
    """Fails with a message that cannot be encoded as UTF-8."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        raise LookupError("a\udcff")


class Portions(PictureOperation):
    """Keeps a part and then waits to be asked to give way; ends at once if it finds the part."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        while context.parts.find("first") is None:
            context.parts.keep("first", picture, {})
            while True:
                Event().wait(0.01)
                context.progress.report(0.5)
                context.parts.give_way()
        return picture


def catalogue() -> Mapping[str, type[Operation]]:
    """Return all operations of this module by their names in lower case."""
    operations = [cls for cls in globals().values() if isinstance(cls, type) and cls.__module__ == __name__]
    return {cls.__name__.lower(): cls for cls in operations}
