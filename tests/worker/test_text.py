"""Text in a worker: shipped fonts are found, the record has the text, and the fault for a missing letter names fonts that have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from doubles.jobs import Share, picture, png
from goldsmith.files import resource_path
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.picture.codec import decode
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job


def set_text(share: Share, **settings: object) -> Outcome:
    share.put("inbox/hero.png", png(picture(60, 90)))
    return run_job(
        share.job(("text", {"string": "GOLD", "fit": True, **settings})), _provider(), lambda progress: None, lambda: False, None
    )


def _provider() -> EngineProvider:
    return EngineProvider(WorkerConfig(catalogue="goldsmith.ops:catalogue"), WorkerSpec(queue="cpu"))


def test_a_headline_is_set_and_recorded(tmp_path: Path) -> None:
    """The font's hash is among the references, size and contrast are among the findings, and the pixels have changed."""
    outcome = set_text(Share(tmp_path), colour="#ff0000", min_contrast=1)
    assert outcome.fault is None
    (step,) = outcome.steps
    (font,) = step.findings["fonts"]  # type: ignore[misc, union-attr]
    assert step.findings["references"] == {"fonts/Manrope-Bold.ttf": font["sha256"]}  # type: ignore[index, call-overload]
    assert step.findings["lines"] == ["GOLD"]
    assert isinstance(step.findings["contrast"], float)
    assert isinstance(step.findings["size_px"], float)
    (output,) = (output for output in outcome.outputs if output.role == "picture")
    codes = decode(Path(output.path).read_bytes(), "hero.png", 10**6).to_codes()
    assert (codes == [255, 0, 0]).all(axis=2).any()
    assert np.array_equal(codes[:2], np.round(picture(60, 90)[:2] * 255))


def test_a_missing_letter_is_refused_with_a_font_that_has_it(tmp_path: Path) -> None:
    """The job ends with a fault whose remedy is the setting ``also``."""
    share = Share(tmp_path)
    share.put("library/fonts/Acme.otf", resource_path("samples", "library", "fonts", "SourceSansPro-Regular.otf").read_bytes())
    outcome = set_text(share, string="GOLDʷ")
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert "“ʷ” (U+02B7)" in outcome.fault.sentence
    assert outcome.fault.remedy == 'Acme, SourceSansPro-Regular, SourceSansPro-Semibold have the missing letters: set also = ["Acme"].'
