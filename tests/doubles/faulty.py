"""Operations that each break a lane in one way, and a few that only look like work: a catalogue for tests of lanes."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping, Sequence
from threading import Event

import numpy as np

from goldsmith.engines import EngineNeed, Request, Wish
from goldsmith.errors import DeviceFault
from goldsmith.operation import (
    Bench,
    Deliverable,
    FileOperation,
    Needs,
    Operation,
    PlateOperation,
)
from goldsmith.picture.picture import Plate


class Pass(PlateOperation):
    """Gives back the very plate."""

    say: str = ""
    """Goes on record."""

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        if self.say:
            bench.record(said=self.say, seed=bench.seed, number=float(np.float32(0.5)), nothing=float("nan"))
        return plate


class Invert(PlateOperation):
    """Inverts every pixel."""

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        return plate.with_pixels(1.0 - plate.pixels)


class Fill(PlateOperation):
    """Puts a noise of the step's seed where the mask is above zero; ``spill`` px of the first row go wrong outside it."""

    mask: str = "mask"
    spill: int = 0

    def needs(self) -> Needs:
        return Needs(masks=frozenset({self.mask}))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        pixels = plate.pixels.copy()
        inside = plate.masks[self.mask] > 0
        pixels[inside] = np.random.default_rng(bench.seed).random(pixels.shape, np.float32)[inside]
        pixels[0, : self.spill] = 1.0 - pixels[0, : self.spill]
        return plate.with_pixels(pixels)


class Frame(PlateOperation):
    """Puts a black frame of ``px`` round the picture; ``spill`` px of the picture's own first row go wrong."""

    changes_geometry = True
    px: int = 2
    spill: int = 0

    def stands(self, plate: Plate) -> tuple[int, int]:
        return self.px, self.px

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        if not self.px:
            return plate
        pixels = np.pad(plate.pixels, ((self.px, self.px), (self.px, self.px), (0, 0)))
        pixels[self.px, self.px : self.px + self.spill] = 1.0 - pixels[self.px, self.px : self.px + self.spill]
        return plate.reshaped(pixels, lambda mask: np.pad(mask, self.px))


class Double(PlateOperation):
    """Repeats every pixel."""

    changes_geometry = True

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        return plate.reshaped(plate.pixels.repeat(2, 0).repeat(2, 1), lambda mask: mask.repeat(2, 0).repeat(2, 1))


class Files(FileOperation):
    """Makes a text file under each of the names."""

    names: tuple[str, ...] = ("web",)

    def make(self, plate: Plate, bench: Bench) -> Sequence[Deliverable]:
        return [Deliverable(tail=f"_{name}", suffix=".txt", data=name.encode(), facts={"width": plate.width}) for name in self.names]


class Look(PlateOperation):
    """Reads a look and puts its text on record."""

    name: str

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        bench.record(text=bench.reference("looks", self.name, (".cube",)).read_text())
        return plate


class Grab(PlateOperation):
    """Asks for an engine."""

    model: str | None = None

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        bench.record(name=bench.inpainter(self.model).descriptor.name)
        return plate


class Report(PlateOperation):
    """Reports progress so many times, and once a note."""

    times: int = 1000

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        for number in range(self.times):
            bench.progress(number / self.times)
        bench.progress(1.0, "nearly there")
        return plate


class Die(PlateOperation):
    """Ends the process by a signal, or with ``_exit``; leaves last words."""

    signal: int = 9

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        print("these are my last words", file=sys.stderr, flush=True)
        if self.signal:
            os.kill(os.getpid(), self.signal)
        os._exit(3)


class Unplug(PlateOperation):
    """The device fails, for as long as the file ``dead`` lies in the root; with ``always``, whenever this is worked on."""

    always: bool = False

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        root = bench.scratch.parents[2]
        if self.always or (root / "dead").exists():
            raise DeviceFault("cuda:0 has failed: an illegal memory access was encountered.", "Look at it with nvidia-smi.")
        return plate


class Meet(PlateOperation):
    """Asks a generating engine for a picture of the step's seed; with ``fail`` it fails before, with ``linger`` it waits for a cancel."""

    fail: bool = False
    linger: bool = False

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        if self.fail:
            raise LookupError("not this one")
        while self.linger:
            Event().wait(0.01)
            bench.progress(0.1)
        made = bench.generator("null-generate", frozenset({"text"})).generate(
            Request(Wish("a hand"), (bench.seed,), plate.width, plate.height), bench.progress
        )
        bench.record(batch=made.facts["batch"])  # type: ignore[call-overload]
        return plate.with_pixels(made.pictures[0])


class Draw(PlateOperation):
    """Needs an engine, as far as anybody can see beforehand."""

    def needs(self) -> Needs:
        return Needs(engines=(EngineNeed("inpaint"),))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        return plate


class Linger(PlateOperation):
    """Waits until the file ``go`` lies in the root; with ``exit`` it then ends its thread in a way that no border catches."""

    exit: bool = False

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        while not (bench.scratch.parents[2] / "go").exists():
            Event().wait(0.01)
            bench.progress(0.5)
        if self.exit:
            raise SystemExit(5)
        return plate


class Segfault(PlateOperation):
    """Reads where nothing is."""

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        import ctypes

        ctypes.string_at(0)
        return plate


class Hang(PlateOperation):
    """Never ends; touches ``scratch/hanging`` first. ``heeds`` a cancel or not."""

    heeds: bool = True

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        (bench.scratch / "hanging").touch()
        while True:
            Event().wait(0.01)
            if self.heeds:
                bench.progress(0.5)


class Eat(PlateOperation):
    """Allocates without end; ``lifts`` its own limit first."""

    lifts: bool = False

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        if self.lifts:
            resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        eaten = []
        while True:
            eaten.append(bytearray(16 << 20))
            Event().wait(0.005)


class Raise(PlateOperation):
    """Raises what it never promised."""

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        raise LookupError("no such thing\nand a second line")


class Babble(PlateOperation):
    """Prints, and with ``wire`` writes nonsense into every socket it finds."""

    wire: bool = False

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        print("{garbage}" * 20_000, flush=True)
        for name in os.listdir("/proc/self/fd") if self.wire else []:
            if "socket:" in os.path.realpath(f"/proc/self/fd/{name}"):
                os.write(int(name), b"\xff" * 64)
        return plate


class Unsayable(PlateOperation):
    """Fails with a name in its sentence that is no Unicode."""

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        raise LookupError("a\udcff")


def catalogue() -> Mapping[str, type[Operation]]:
    """Every one of them, by its name in small letters."""
    found = [thing for thing in globals().values() if isinstance(thing, type) and thing.__module__ == __name__]
    return {thing.__name__.lower(): thing for thing in found}
