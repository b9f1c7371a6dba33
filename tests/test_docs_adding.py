"""docs/adding-an-operation.md is correct: its code, written to the files that it names, does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

import goldsmith.ops
from doubles.jobs import Share, png
from goldsmith.brief.brief import read_brief
from goldsmith.brief.pipeline import Pipeline, read_pipeline
from goldsmith.files import resource_path
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.operation import Operation
from goldsmith.picture.codec import decode
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

CHECKOUT = Path(__file__).parents[1]
PAGE = (CHECKOUT / "docs" / "adding-an-operation.md").read_text()
AS_SHIPPED = tuple(goldsmith.ops.catalogue())
Catalogue = Callable[[], Mapping[str, type[Operation]]]


def _python(place: str) -> str:
    """Return the Python block of a file without its first line, which names the file."""
    match = re.search(rf"^```python\n# {re.escape(place)}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None, f"the page has no block for {place}"
    return match[1]


def _indented(first: str) -> str:
    """Return the indented block that begins with this line."""
    match = re.search(rf"^    {re.escape(first)}\n(?:(?:    .*)?\n)*", PAGE, re.MULTILINE)
    assert match is not None, f"the page has no block that begins with {first}"
    return textwrap.dedent(match[0])


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """Return the catalogue after the page's only instruction: its file is added."""
    ops = tmp_path / "ops"
    ops.mkdir()
    (ops / "grain.py").write_text(_python("daemon/goldsmith/ops/grain.py"))
    read: Catalogue = goldsmith.ops.catalogue.__wrapped__
    monkeypatch.setattr(goldsmith.ops, "__path__", [*goldsmith.ops.__path__, str(ops)])
    monkeypatch.setattr(goldsmith.ops, "catalogue", read)
    yield read
    sys.modules.pop("goldsmith.ops.grain", None)
    vars(goldsmith.ops).pop("grain", None)


@pytest.fixture
def pipeline(catalogue: Catalogue) -> Pipeline:
    """Return the shipped pipeline with the page's row for the deliver stage."""
    row = re.search(r"^```text\n(\[\[stage\]\]\nname = \"deliver\".*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert row is not None
    before, _, _ = resource_path("config", "pipeline.toml").read_text().partition('[[stage]]\nname = "deliver"')
    return read_pipeline((before + row[1]).encode(), "config/pipeline.toml", catalogue())


def test_the_example_is_found_by_its_file_alone(catalogue: Catalogue) -> None:
    """Nothing is registered anywhere."""
    assert set(catalogue()) - set(AS_SHIPPED) == {"grain"}
    assert catalogue()["grain"].__name__ == "Grain"


def test_a_brief_may_use_the_example_and_its_settings_are_checked(catalogue: Catalogue, pipeline: Pipeline) -> None:
    """With the page's row in pipeline.toml, the page's brief is valid; the error for a wrong setting names its place."""
    brief = _indented("[[deliver]]")
    (step,) = read_brief(brief.encode(), "hero.toml", pipeline, catalogue=catalogue()).steps_by_stage["deliver"]
    assert step.operation == catalogue()["grain"](amount=3)  # type: ignore[call-arg]
    with pytest.raises(Exception, match=r"deliver\.1\.amount"):
        read_brief(brief.replace("3", "30").encode(), "hero.toml", pipeline, catalogue=catalogue())


def test_a_worker_runs_the_example(catalogue: Catalogue, tmp_path: Path) -> None:
    """It runs in a worker's own step context: grain in the mask, all other pixels unchanged, and both on record."""
    grey = np.full((40, 60, 3), 128 / 255, np.float32)
    mask = np.zeros((40, 60), np.float32)
    mask[:, :30] = 1
    share = Share(tmp_path)
    share.put("selected/hero.png", png(grey))
    share.put("selected/hero.mask.png", png(mask))
    inputs = [share.job_input("selected/hero.png"), share.job_input("selected/hero.mask.png", "mask", "mask")]
    job = share.job(("grain", {"where": "mask"}), inputs=inputs)
    outcome = run_job(job, EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu")), lambda _: None, lambda: False)
    assert outcome.fault is None
    assert outcome.steps[0].findings == {"outside_pixels": 1200, "outside_changed": 0}
    pixels = decode(Path(outcome.outputs[0].path).read_bytes(), "hero.png", 10_000).pixels
    assert np.array_equal(pixels[:, 30:], grey[:, 30:])
    assert pixels[:, :30].std() == pytest.approx(0.02, rel=0.1)


def test_the_example_s_page_has_a_row_for_each_setting(catalogue: Catalogue) -> None:
    """The manual page in the example would pass the tests of the manual."""
    page = _indented("# grain")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(catalogue()["grain"].model_fields)
    assert 'op = "grain"' in page


def _env(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process with the page's operation among the others; a pytest plugin adds it."""
    plugin = f"import goldsmith.ops\ngoldsmith.ops.__path__.append({str(tmp_path / 'ops')!r})\n"
    (tmp_path / "with_the_example.py").write_text(plugin)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.mark.usefixtures("catalogue")
def test_the_example_passes_its_own_tests_and_the_contract_tests(tmp_path: Path) -> None:
    """The contract tests find the operation by themselves."""
    (tmp_path / "test_grain.py").write_text(_python("tests/ops/test_grain.py"))
    files = [str(tmp_path / "test_grain.py"), "tests/contracts/test_operations.py"]
    command = [sys.executable, "-m", "pytest", "-p", "with_the_example", "-p", "no:cacheprovider", "-q", "-k", "grain", *files]
    result = subprocess.run(
        [*command, f"-c={CHECKOUT / 'pyproject.toml'}"], cwd=CHECKOUT, env=_env(tmp_path), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-3000:]
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed is not None
    assert int(passed[1]) > 20, "the contract tests did not find the operation"


@pytest.mark.parametrize("place", ["daemon/goldsmith/ops/grain.py", "tests/ops/test_grain.py"])
def test_the_example_s_code_passes_the_linters(place: str) -> None:
    """The rule for the order of imports is left out, because it needs the file in its folder."""
    for arguments in (["check", "--extend-ignore=I001"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", place, "-"]
        result = subprocess.run(command, cwd=CHECKOUT, input=_python(place), capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
