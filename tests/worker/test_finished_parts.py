"""The finished parts of a step: found again byte for byte, and only for the very same work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles.jobs import FAULTY, Share, picture
from goldsmith.errors import JobYielded
from goldsmith.files import Filesystem
from goldsmith.jobs.job import InputRead, Job, KeptPart, StepResult
from goldsmith.jobs.names import KEPT_FOLDER
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.library.library import Library
from goldsmith.picture.picture import Picture, freeze
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.file_identities import FileIdentities
from goldsmith.worker.finished_parts import PartChannel
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.step_context import EarlierSteps, JobParts, WorkerStepContext


class Attempts:
    """Attempts of one job; the parts of each are moved to the kept parts, as the daemon does it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.share = Share(root)
        self.kept: list[KeptPart] = []
        self.must_give_way = False
        (root / KEPT_FOLDER).mkdir(parents=True)

    def context(self, seed: int = 1, references: object = None, **fields: Any) -> WorkerStepContext:
        """Return the context of the job's second step in a new attempt."""
        steps = fields.pop("steps", (("pass", {}), ("regenerate", {"candidates": 4}), ("select", {})))
        job = self.share.job(*steps, keeps_parts=True, kept=tuple(self.kept), **fields)
        scratch = ScratchFolder(Path(job.scratch), Filesystem())
        reads = {each.path: InputRead(path=each.path, sig=each.sig, sha256="aa") for each in job.inputs}
        channel = PartChannel(self._keep(job), lambda: self.must_give_way)
        provider = EngineProvider(FAULTY, WorkerSpec(queue="cpu"))
        parts = JobParts(job, provider, scratch, Library(self.root), reads, FileIdentities(job, reads), part_channel=channel)
        earlier = EarlierSteps(results=[StepResult(op="pass", settings={}, seed=0, seconds=0.1, findings={}, picture_hash="bb")])
        context = WorkerStepContext(parts, lambda fraction, note: None, seed, earlier_steps=earlier)
        if references is not None:
            context.results.record(references=references)  # type: ignore[arg-type]
        return context

    def _keep(self, job: Job) -> Callable[[KeptPart], None]:
        def keep(part: KeptPart) -> None:
            Path(job.scratch, part.key).rename(self.root / KEPT_FOLDER / part.key)
            self.kept.append(part)

        return keep


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_part_is_found_again_exactly(attempts: Attempts, depth: Any) -> None:
    """Pixels on codes of the depth, and pixels between codes; and the facts."""
    for name, pixels in (("on codes", picture(depth=depth)), ("between", picture() * np.float32(0.7071))):
        attempts.context().parts.keep(name, Picture(freeze(pixels), depth=depth), {"seed": 3, "calls": [{"steps": 4}]})
        part = attempts.context().parts.find(name)
        assert part is not None
        assert np.array_equal(part.pixels, pixels)
        assert part.facts == {"seed": 3, "calls": [{"steps": 4}]}
    assert attempts.kept[0].size < attempts.kept[1].size
    assert attempts.context().parts.find("another") is None


def test_a_part_of_other_work_is_not_found(attempts: Attempts) -> None:
    """Another seed, prompt, setting of this step, or file of the library; a setting of a later step does not matter."""
    attempts.context().parts.keep("1", Picture(freeze(picture())), {})
    steps: Any = (("pass", {}), ("regenerate", {"candidates": 5}), ("select", {}))
    assert attempts.context(seed=2).parts.find("1") is None
    assert attempts.context(prompt="a chair").parts.find("1") is None
    assert attempts.context(steps=steps).parts.find("1") is None
    assert attempts.context(references={"loras/x": "cc"}).parts.find("1") is None
    later: Any = (("pass", {}), ("regenerate", {"candidates": 4}), ("select", {"keep": 2}))
    assert attempts.context(steps=later).parts.find("1") is not None


@pytest.mark.parametrize("damage", ["changed", "longer", "shorter", "link", "missing"])
def test_a_damaged_part_is_not_found(attempts: Attempts, damage: str, tmp_path: Path) -> None:
    """The hash on record decides; a link is not followed, even to the same bytes."""
    attempts.context().parts.keep("1", Picture(freeze(picture())), {})
    file = attempts.root / KEPT_FOLDER / attempts.kept[0].key
    data = file.read_bytes()
    file.unlink()
    if damage == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        file.symlink_to(tmp_path / "elsewhere")
    elif damage != "missing":
        file.write_bytes({"changed": data[:-1] + b"\1", "longer": data + b"\0", "shorter": data[:-1]}[damage])
    assert attempts.context().parts.find("1") is None
    if damage not in ("link", "missing"):
        file.write_bytes(data)
        assert attempts.context().parts.find("1") is not None


def test_a_job_that_keeps_no_parts_writes_none(attempts: Attempts) -> None:
    """A replay makes every picture anew."""
    context = attempts.context()
    context.parts.job = context.parts.job.model_copy(update={"keeps_parts": False})
    context.parts.keep("1", Picture(freeze(picture())), {})
    assert attempts.kept == []


def test_a_step_gives_way_only_when_it_is_asked(attempts: Attempts) -> None:
    """It raises then."""
    context = attempts.context()
    context.parts.give_way()
    attempts.must_give_way = True
    with pytest.raises(JobYielded):
        context.parts.give_way()
