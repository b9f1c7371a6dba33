"""Preflight in a worker: the file that will be delivered is read back from disk, and any fault holds the picture."""

from __future__ import annotations

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
LINE = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")
PAGE = MODELS.parents[1] / "docs" / "operations" / "check.md"
PROVIDER = EngineProvider(WorkerConfig(models_file=str(MODELS), weights_folder=str(default_models_folder())), WorkerSpec(queue="cpu"))
EXPORT = ("export", {"name": "web"})


def done(share: Share, *steps: tuple[str, dict[str, Any]], fs: Filesystem | None = None) -> Outcome:
    photograph = resize(data.coffee().astype(np.float32) / np.float32(255), 1200, 1800, "cubic").clip(0, 1)
    share.put("inbox/hero.png", png(photograph))
    job = share.job(*steps, stage="deliver", deliver=True)
    return run_job(job, PROVIDER, lambda progress: None, lambda: False, fs)


def brief() -> list[tuple[str, dict[str, Any]]]:
    """Return the steps of the manual's example."""
    block = PAGE.read_text().split("```toml\n")[1].split("```")[0]
    steps = [step for _, table in read_brief(block.encode(), "check.md", LINE).steps_by_stage.items() for step in table]
    return [(step.op, dict(step.settings)) for step in steps]


def test_the_manuals_example_delivers_a_file_and_its_report(tmp_path: Path) -> None:
    """The headline is read back in the file and in its thumbnail."""
    if not WeightsRegistry(read_models(MODELS), default_models_folder()).is_available("pp-ocr"):
        pytest.skip(f"the weights of pp-ocr are not here; run: {fetch_command('pp-ocr')}")
    outcome = done(Share(tmp_path), *brief())
    assert outcome.fault is None
    assert [output.tail for output in outcome.outputs] == ["_web.jpg", ".report.html"]
    web, report = outcome.outputs
    found = {one["check"]: (one["found"], one["result"]) for one in outcome.steps[-1].findings["files"]["_web.jpg"]}  # type: ignore[index, call-overload]
    assert found["words"] == found["thumbnail"] == ("“GOLD”", "pass")
    assert found["size"] == ("1200 x 800 px", "pass")
    assert found["bytes"] == (f"{web.size / 1000:,.1f} kB", "pass")
    assert found["safe"][1] == "pass"
    assert outcome.steps[-1].engine is not None
    assert outcome.steps[-1].engine["name"] == "pp-ocr"
    assert "its name ends in _web.jpg" in Path(report.path).read_text()
    assert report.facts["result"] == outcome.steps[-1].findings["result"]


def test_a_fault_delivers_no_file(tmp_path: Path) -> None:
    """The note names the place in the brief and every fault."""
    outcome = done(Share(tmp_path), EXPORT, ("check", {"size": [1, 1], "format": "avif"}))
    assert outcome.outputs == ()
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert outcome.fault.sentence == (
        "deliver.2 (check): The exported files do not meet the check: "
        "hero_web.png: size 1800 x 1200 px instead of 1 x 1 px, format png instead of avif."
    )


def test_the_note_has_the_faults_of_every_check_in_a_row(tmp_path: Path) -> None:
    """It has the faults of the checks right behind the first one, but nothing of checks that pass or of an export behind them."""
    good, late = ("check", {"name": "c"}), ("check", {"name": "late", "files": ["late"]})
    checks = [("check", {"size": [1, 1]}), good, ("check", {"name": "b", "format": "avif"})]
    outcome = done(Share(tmp_path), EXPORT, *checks, ("export", {"name": "late"}), late)
    assert outcome.outputs == ()
    assert outcome.fault is not None
    assert outcome.fault.sentence == (
        "deliver.2 (check): The exported files do not meet the check: hero_web.png: size 1800 x 1200 px instead of 1 x 1 px. "
        "deliver.4 (check): The exported files do not meet the check: hero_web.png: format png instead of avif."
    )


def test_a_fault_of_another_step_runs_no_check(tmp_path: Path) -> None:
    """If an export fails, its own sentence stands alone."""
    outcome = done(Share(tmp_path), ("export", {"format": "jpeg", "max_kb": 1}), ("check", {"size": [1, 1]}))
    assert outcome.fault is not None
    assert outcome.fault.sentence.startswith("deliver.1 (export)")
    assert "check" not in outcome.fault.sentence


def test_the_file_is_written_and_synced_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same file as in the outcome."""
    told: list[str] = []
    real = operation.read_back

    class Noting(Filesystem):
        def fsync(self, fd: int) -> None:
            told.append("synced")
            super().fsync(fd)

    def reread(path: Path, *rest: Any) -> Any:
        told.append(str(path))
        return real(path, *rest)

    monkeypatch.setattr(operation, "read_back", reread)
    outcome = done(Share(tmp_path), EXPORT, ("check", {}), fs=Noting())
    assert told == ["synced", outcome.outputs[0].path, "synced"]


def test_a_file_that_is_truncated_on_disk_is_noticed(tmp_path: Path) -> None:
    """The check reads the file from disk, not from memory."""

    class Losing(Filesystem):
        def write_all(self, fd: int, data: bytes) -> None:
            super().write_all(fd, data[:-1000])

    outcome = done(Share(tmp_path), EXPORT, ("check", {}), fs=Losing())
    assert outcome.fault is not None
    assert "hero_web.png: file damaged" in outcome.fault.sentence
    assert done(Share(tmp_path / "other"), EXPORT, ("check", {})).fault is None


def test_files_go_on_in_their_order(tmp_path: Path) -> None:
    """A check reads the exports before it and none behind it; a duplicate name is refused with the step that makes the second file."""
    outcome = done(Share(tmp_path), EXPORT, ("check", {}), ("export", {"name": "print"}))
    assert [output.tail for output in outcome.outputs] == ["_web.png", ".report.html", "_print.png"]
    assert list(outcome.steps[1].findings["files"]) == ["_web.png"]  # type: ignore[arg-type]
    twice = done(Share(tmp_path / "twice"), EXPORT, EXPORT)
    assert twice.fault is not None
    assert twice.fault.sentence.startswith("deliver.2 (export): Two results would have the same name")


def test_text_and_inks_pass_their_check(tmp_path: Path) -> None:
    """A headline is exported as a page and a JPEG for print, and check finds both within the ink limit, with bleed and at their ppi."""
    share = Share(tmp_path)
    share.put("library/profiles/press.icc", press_profile())
    sheet = {"cmyk": "press", "trim": [120, 80], "bleed": "3mm", "coverage": 260, "black_point": False}
    steps = [
        ("text", {"string": "GOLD", "fit": True, "box": [0.1, 0.1, 0.4, 0.3], "panel": {}}),
        ("export", {"name": "page", "format": "pdf", "marks": True, "soft_proof": True, **sheet}),
        ("export", {"name": "advert", "format": "jpeg", "quality": 60, "grey": "black", **sheet}),
        ("check", {"coverage": 260, "bleed": 3, "ppi": 300, "profile": TITLE, "depth": 8, "alpha": "none"}),
    ]
    outcome = done(share, *steps)
    assert outcome.fault is None
    assert [output.tail for output in outcome.outputs] == ["_page.pdf", "_page_proof.jpg", "_advert.jpg", ".report.html"]
    judged = outcome.steps[-1].findings["files"]
    assert list(judged) == ["_page.pdf", "_advert.jpg"]  # type: ignore[arg-type]
    assert all(one["result"] == "pass" for checks in judged.values() for one in checks)  # type: ignore[union-attr, index, call-overload]
    strict = done(share, *steps[:-1], ("check", {"coverage": 200}))
    assert strict.fault is not None
    assert "hero_page.pdf: coverage 2" in strict.fault.sentence
    assert "hero_advert.jpg: coverage 2" in strict.fault.sentence
