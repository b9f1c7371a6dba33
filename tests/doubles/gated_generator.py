"""The null generator in a worker process, which logs each call and stops before one of them.

``arm`` writes a module that Python runs at the start of each worker process. A test module with ``pytest_plugins`` gets the fixtures.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.jobs import import_first_from
from doubles.model_entries import generator_entry
from doubles.studio import Studio, studio_at

_MODULE = """
    import os
    from goldsmith.engines.drivers.null import NullGenerator

    # The process opens its log before its fence goes up, behind which it cannot.
    log = os.open(os.path.join(HERE, "log"), os.O_RDWR | os.O_CREAT | os.O_APPEND)
    generate = NullGenerator.generate

    def logged_generate(self, request, *args):
        gate = os.path.join(HERE, f"gate {len(os.pread(log, 1 << 20, 0).splitlines()) + 1}")
        os.write(log, f"{os.getpid()} {self.descriptor.name} {len(request.seeds)} {request.options.prompt}\\n".encode())
        if os.path.exists(gate):
            os.close(os.open(gate, os.O_RDONLY))
        return generate(self, request, *args)

    NullGenerator.generate = logged_generate
"""


class GatedGenerator:
    """The log of all calls in all worker processes, and the gates before them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "log").touch()

    @property
    def calls(self) -> list[tuple[int, str, int, str]]:
        """The process, the model, the number of pictures and the prompt of each call, in order."""
        lines = [line.split(" ", 3) for line in (self._folder / "log").read_text().splitlines()]
        return [(int(pid), model, int(count), prompt) for pid, model, count, prompt in lines]

    def shut(self, number: int) -> None:
        """Stop the call with this number, from 1, until ``open``. A process that is killed before leaves the gate open."""
        os.mkfifo(self._folder / f"gate {number}")

    def open(self, number: int) -> None:
        """Wait until the call has stopped, and let it go on."""
        os.close(os.open(self._folder / f"gate {number}", os.O_WRONLY))
        self.remove(number)

    def remove(self, number: int) -> None:
        """Remove a gate at which nothing waits any more."""
        (self._folder / f"gate {number}").unlink()


def arm(folder: Path, patch: pytest.MonkeyPatch) -> GatedGenerator:
    """Make every worker process that starts from now on log its calls."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"HERE = {str(folder)!r}\n{textwrap.dedent(_MODULE)}")
    import_first_from(folder, patch)
    return GatedGenerator(folder)


def null_models(*names: str) -> str:
    """Return a models.toml with null generators of these names, which draw 64 x 64 px, eight pictures a call."""
    return "".join(generator_entry(name, driver="null", family="null") for name in names)


@pytest.fixture
def generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GatedGenerator:
    return arm(tmp_path / "gates", monkeypatch)


@pytest.fixture
def studio(tmp_path: Path, generator: GatedGenerator) -> Iterator[Studio]:
    """Yield a studio with the models "one" and "two", whose calls the generator logs."""
    with studio_at(tmp_path / "studio") as studio:
        studio.put("config/models.toml", null_models("one", "two"))
        yield studio
