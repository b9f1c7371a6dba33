"""Preflight in a worker: the file to be delivered is read back from disk, and any fault holds the picture."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from doubles.jobs import Share, png
from doubles.press import TITLE, press_profile
from goldsmith.brief.brief import read_brief
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder, fetch_command
from goldsmith.files import Filesystem, resource_path
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.ops.check import operation
from goldsmith.picture.resample import resize
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

MODELS = resource_path("config", "models.toml")
PIPELINE = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")
PAGE = MODELS.parents[1] / "docs" / "operations" / "check.md"
PROVIDER = EngineProvider(WorkerConfig(models_file=str(MODELS), weights_folder=str(default_models_folder())), WorkerSpec(queue="cpu"))
EXPORT = ("export", {"name": "web"})


@cache
def photograph(width: int = 1800, height: int = 1200) -> bytes:
    """Return a photograph of that size in px as a PNG."""
    return png(resize(data.coffee().astype(np.float32) / np.float32(255), height, width, "cubic").clip(0, 1))


def night_sky() -> bytes:
    """Return a photograph of the same size as a PNG, on which white letters are legible."""
    return png(resize(data.rocket().astype(np.float32) / np.float32(255), 1200, 1800, "cubic").clip(0, 1))


def run_steps(share: Share, *steps: tuple[str, dict[str, Any]], fs: Filesystem | None = None, picture: bytes = b"") -> Outcome:
    share.put("inbox/hero.png", picture or photograph())
    job = share.job(*steps, stage="deliver", deliver=True)
    return run_job(job, PROVIDER, lambda progress: None, lambda: False, fs)


def manual_steps() -> list[tuple[str, dict[str, Any]]]:
    """Return the steps of the manual's example."""
    block = PAGE.read_text().split("```toml\n")[1].split("```")[0]
    steps = [step for _, table in read_brief(block.encode(), "check.md", PIPELINE).steps_by_stage.items() for step in table]
    return [(step.op, dict(step.settings)) for step in steps]


def test_the_manuals_example_delivers_a_file_and_its_report(tmp_path: Path) -> None:
    """The check reads the headline in the file and in its thumbnail."""
    if not WeightsRegistry(read_models(MODELS), default_models_folder()).is_available("pp-ocr"):
        pytest.skip(f"the weights of pp-ocr are not here; run: {fetch_command('pp-ocr')}")
    outcome = run_steps(Share(tmp_path), *manual_steps(), picture=night_sky())
    assert outcome.fault is None
    assert [output.tail for output in outcome.outputs] == ["_web.jpg", ".report.html"]
    web, report = outcome.outputs
    checks = {check["check"]: (check["found"], check["result"]) for check in outcome.steps[-1].findings["files"]["_web.jpg"]}  # type: ignore[index, call-overload]
    assert checks["words"] == checks["thumbnail"] == ("“GOLD”", "pass")
    assert checks["size"] == ("1200 x 800 px", "pass")
    assert checks["bytes"] == (f"{web.size / 1000:,.1f} kB", "pass")
    assert checks["safe"][1] == "pass"
    assert outcome.steps[-1].engine is not None
    assert outcome.steps[-1].engine["name"] == "pp-ocr"
    assert "its name ends in _web.jpg" in Path(report.path).read_text()
    assert report.facts["result"] == outcome.steps[-1].findings["result"]


def test_a_fault_delivers_no_file(tmp_path: Path) -> None:
    """The note names the place in the brief and every fault."""
    outcome = run_steps(Share(tmp_path), EXPORT, ("check", {"size": [1, 1], "format": "avif"}))
    assert outcome.outputs == ()
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert outcome.fault.sentence == (
        "deliver.2 (check): The exported files do not meet the check: "
        "hero_web.png: size 1800 x 1200 px instead of 1 x 1 px, format png instead of avif."
    )


def test_the_note_has_the_faults_of_every_check_in_a_row(tmp_path: Path) -> None:
    """The note has the faults of the checks that follow the first check directly. Passing checks and later exports add nothing."""
    passing, late = ("check", {"name": "c"}), ("check", {"name": "late", "files": ["late"]})
    checks = [("check", {"size": [1, 1]}), passing, ("check", {"name": "b", "format": "avif"})]
    outcome = run_steps(Share(tmp_path), EXPORT, *checks, ("export", {"name": "late"}), late)
    assert outcome.outputs == ()
    assert outcome.fault is not None
    assert outcome.fault.sentence == (
        "deliver.2 (check): The exported files do not meet the check: hero_web.png: size 1800 x 1200 px instead of 1 x 1 px. "
        "deliver.4 (check): The exported files do not meet the check: hero_web.png: format png instead of avif."
    )


def test_a_fault_of_an_earlier_step_runs_no_check(tmp_path: Path) -> None:
    """If an export fails, the note has only the export's own sentence."""
    outcome = run_steps(Share(tmp_path), ("export", {"format": "jpeg", "max_kb": 1}), ("check", {"size": [1, 1]}))
    assert outcome.fault is not None
    assert outcome.fault.sentence.startswith("deliver.1 (export)")
    assert "check" not in outcome.fault.sentence


def test_the_file_is_written_and_synced_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check reads the file that the outcome names."""
    calls: list[str] = []
    read_back = operation.read_back

    class RecordingFilesystem(Filesystem):
        def fsync(self, fd: int) -> None:
            calls.append("synced")
            super().fsync(fd)

    def reread(path: Path, *arguments: Any) -> Any:
        calls.append(str(path))
        return read_back(path, *arguments)

    monkeypatch.setattr(operation, "read_back", reread)
    outcome = run_steps(Share(tmp_path), EXPORT, ("check", {}), fs=RecordingFilesystem())
    assert calls == ["synced", outcome.outputs[0].path, "synced"]


def test_a_file_that_is_truncated_on_disk_is_noticed(tmp_path: Path) -> None:
    """The check reads the file from disk, not from memory."""

    class TruncatingFilesystem(Filesystem):
        def write_all(self, fd: int, data: bytes) -> None:
            super().write_all(fd, data[:-1000])

    outcome = run_steps(Share(tmp_path), EXPORT, ("check", {}), fs=TruncatingFilesystem())
    assert outcome.fault is not None
    assert "hero_web.png: file damaged" in outcome.fault.sentence
    assert run_steps(Share(tmp_path / "other"), EXPORT, ("check", {})).fault is None


def test_the_files_of_a_stage_keep_their_order(tmp_path: Path) -> None:
    """A check reads only the exports before it. A duplicate name is refused with the step that makes the second file."""
    outcome = run_steps(Share(tmp_path), EXPORT, ("check", {}), ("export", {"name": "print"}))
    assert [output.tail for output in outcome.outputs] == ["_web.png", ".report.html", "_print.png"]
    assert list(outcome.steps[1].findings["files"]) == ["_web.png"]  # type: ignore[arg-type]
    twice = run_steps(Share(tmp_path / "twice"), EXPORT, EXPORT)
    assert twice.fault is not None
    assert twice.fault.sentence.startswith("deliver.2 (export): Two results would have the same name")


def test_text_and_inks_pass_their_check(tmp_path: Path) -> None:
    """A headline is exported as a page and as a JPEG for print. Both are within the ink limit, with bleed and at their ppi."""
    share = Share(tmp_path)
    share.put("library/profiles/press.icc", press_profile())
    sheet = {"cmyk": "press", "trim": [42, 28], "bleed": "3mm", "coverage": 260, "black_point": False}
    steps = [
        ("text", {"string": "GOLD", "fit": True, "box": [0.1, 0.1, 0.4, 0.3], "panel": {}}),
        ("export", {"name": "page", "format": "pdf", "marks": True, "soft_proof": True, **sheet}),
        ("export", {"name": "advert", "format": "jpeg", "quality": 60, "grey": "black", **sheet}),
        ("check", {"coverage": 260, "bleed": 3, "ppi": 300, "profile": TITLE, "depth": 8, "alpha": "none"}),
    ]
    small = photograph(600, 400)
    outcome = run_steps(share, *steps, picture=small)
    assert outcome.fault is None
    assert [output.tail for output in outcome.outputs] == ["_page.pdf", "_page_proof.jpg", "_advert.jpg", ".report.html"]
    checks_by_file = outcome.steps[-1].findings["files"]
    assert list(checks_by_file) == ["_page.pdf", "_advert.jpg"]  # type: ignore[arg-type]
    assert all(check["result"] == "pass" for checks in checks_by_file.values() for check in checks)  # type: ignore[union-attr, index, call-overload]
    strict = run_steps(share, *steps[:-1], ("check", {"coverage": 200}), picture=small)
    assert strict.fault is not None
    assert "hero_page.pdf: coverage 2" in strict.fault.sentence
    assert "hero_advert.jpg: coverage 2" in strict.fault.sentence
