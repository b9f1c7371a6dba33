"""Faults in a worker process: a device without memory, a device that fails, and a picture that stops midway. The pipelines are real.

``arm`` writes a module that Python runs at the start of each worker process. It wraps the functions of the engine, obeys the files in a
folder, and logs which process loads a model and runs which step.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from doubles.jobs import import_first_from

_MODULE = """
    import os
    from goldsmith.engines.diffusion import diffusion_engine
    from goldsmith.engines.diffusion.loaded_model import LoadedModel

    # The process opens its log before its fence goes up, behind which it cannot.
    log = os.open(os.path.join(HERE, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(word):
        os.write(log, f"{os.getpid()} {word}\\n".encode())

    def is_ordered(fault):
        return os.path.exists(os.path.join(HERE, fault))

    load, pipeline, on_step_end = LoadedModel.__init__, LoadedModel.pipeline, diffusion_engine._ProgressShare.on_step_end

    def noted_load(self, *args, **kwargs):
        note("load")
        load(self, *args, **kwargs)

    def faulty_pipeline(self, *call, use_tiling):
        import torch
        result = pipeline(self, *call, use_tiling=use_tiling)
        real_decode = type(result.vae).decode
        def decode(*args, **kwargs):
            if is_ordered("short") and not use_tiling:
                note("short")
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            if is_ordered("dead"):
                raise RuntimeError("CUDA error: unspecified launch failure")
            return real_decode(result.vae, *args, **kwargs)
        result.vae.decode = decode
        return result

    def noted_step_end(self, running, number, timestep, tensors):
        note(f"step {number}")
        if number == 2 and is_ordered("gate"):
            os.close(os.open(os.path.join(HERE, "gate"), os.O_RDONLY))
        return on_step_end(self, running, number, timestep, tensors)

    LoadedModel.__init__, LoadedModel.pipeline = noted_load, faulty_pipeline
    diffusion_engine._ProgressShare.on_step_end = noted_step_end
"""


class Faults:
    """The faults that worker processes obey, and the log of their work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "log").touch()

    def order(self, fault: str) -> None:
        """Inject a fault. ``short``: a decoder without tiling finds no memory. ``dead``: the device fails during decoding."""
        (self._folder / fault).touch()

    def mend(self, fault: str) -> None:
        """Remove a fault."""
        (self._folder / fault).unlink()

    def shut(self) -> None:
        """Stop the next picture after its third step, until ``open``."""
        os.mkfifo(self._folder / "gate")

    def open(self) -> None:
        """Wait until the picture has stopped, and let it continue."""
        os.close(os.open(self._folder / "gate", os.O_WRONLY))
        self.mend("gate")

    def forget(self) -> None:
        """Clear the log."""
        (self._folder / "log").write_text("")

    def noted(self, word: str) -> list[str]:
        """Return the ids of the processes that logged this event, in order."""
        lines = [line.split(" ", 1) for line in (self._folder / "log").read_text().splitlines()]
        return [pid for pid, done in lines if done == word]


def arm(folder: Path, patch: pytest.MonkeyPatch) -> Faults:
    """Make every worker process that starts from now on obey the returned faults."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"HERE = {str(folder)!r}\n{textwrap.dedent(_MODULE)}")
    import_first_from(folder, patch)
    return Faults(folder)
