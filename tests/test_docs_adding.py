"""docs/adding-an-operation.md is true: its code is taken out of the page, put where it says, and does what it says."""

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
    """The Python block that says it is that file, as it would be saved: the page's first line names the file and is left out."""
    found = re.search(rf"^```python\n# {re.escape(place)}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the page has no block for {place}"
    return found[1]


def _indented(first: str) -> str:
    """The indented block that begins with that line."""
    found = re.search(rf"^    {re.escape(first)}\n(?:(?:    .*)?\n)*", PAGE, re.MULTILINE)
    assert found is not None, f"the page has no block that begins with {first}"
    return textwrap.dedent(found[0])


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """The catalogue of a house in which somebody has done what the page says; nothing but the file is added."""
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
def line(found: Catalogue) -> Pipeline:
    """The shipped line with its row for deliver exchanged for the page's."""
    row = re.search(r"^```text\n(\[\[stage\]\]\nname = \"deliver\".*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert row is not None
    before, _, _ = resource_path("config", "pipeline.toml").read_text().partition('[[stage]]\nname = "deliver"')
    return read_pipeline((before + row[1]).encode(), "config/pipeline.toml", found())


def test_the_example_is_found_by_its_file_alone(found: Catalogue) -> None:
    """Nothing is registered anywhere."""
    assert set(found()) - set(AS_SHIPPED) == {"grain"}
    assert found()["grain"].__name__ == "Grain"


def test_a_brief_may_use_it_and_its_settings_are_checked(found: Catalogue, line: Pipeline) -> None:
    """With the page's row in pipeline.toml the page's brief is read; a wrong setting is a fault with its place."""
    brief = _indented("[[deliver]]")
    (step,) = read_brief(brief.encode(), "hero.toml", line, catalogue=found()).steps_by_stage["deliver"]
    assert step.operation == found()["grain"](amount=3)  # type: ignore[call-arg]
    with pytest.raises(Exception, match=r"deliver\.1\.amount"):
        read_brief(brief.replace("3", "30").encode(), "hero.toml", line, catalogue=found())


def test_a_worker_runs_it(found: Catalogue, tmp_path: Path) -> None:
    """Through the lane's own bench: grain where the mask is, every other pixel as it was, and both on record."""
    grey = np.full((40, 60, 3), 128 / 255, np.float32)
    mask = np.zeros((40, 60), np.float32)
    mask[:, :30] = 1
    share = Share(tmp_path)
    share.put("selected/hero.png", png(grey))
    share.put("selected/hero.mask.png", png(mask))
    inputs = [share.given("selected/hero.png"), share.given("selected/hero.mask.png", "mask", "mask")]
    job = share.job(("grain", {"where": "mask"}), inputs=inputs)
    outcome = run_job(job, EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu")), lambda _: None, lambda: False)
    assert outcome.fault is None
    assert outcome.steps[0].findings == {"outside_pixels": 1200, "outside_changed": 0}
    made = decode(Path(outcome.outputs[0].path).read_bytes(), "hero.png", 10_000).pixels
    assert np.array_equal(made[:, 30:], grey[:, 30:])
    assert made[:, :30].std() == pytest.approx(0.02, rel=0.1)


def test_its_page_has_a_row_for_each_setting(found: Catalogue) -> None:
    """The page within the page would pass the manual's own tests."""
    page = _indented("# grain")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(found()["grain"].model_fields)
    assert 'op = "grain"' in page


def _env(tmp_path: Path) -> dict[str, str]:
    """A process in which the page's operation lies among the others, by a pytest plugin that does nothing else."""
    plugin = f"import goldsmith.ops\ngoldsmith.ops.__path__.append({str(tmp_path / 'ops')!r})\n"
    (tmp_path / "with_the_example.py").write_text(plugin)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.mark.usefixtures("found")
def test_its_own_tests_and_the_contract_hold(tmp_path: Path) -> None:
    """The page's test file passes, and the contract tests find the operation by themselves and have nothing against it."""
    (tmp_path / "test_grain.py").write_text(_python("tests/ops/test_grain.py"))
    files = [str(tmp_path / "test_grain.py"), "tests/contracts/test_operations.py"]
    command = [sys.executable, "-m", "pytest", "-p", "with_the_example", "-p", "no:cacheprovider", "-q", "-k", "grain", *files]
    ran = subprocess.run([*command, f"-c={CHECKOUT / 'pyproject.toml'}"], cwd=CHECKOUT, env=_env(tmp_path), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) > 20, "the contract tests did not find it"


@pytest.mark.parametrize("place", ["daemon/goldsmith/ops/grain.py", "tests/ops/test_grain.py"])
def test_its_code_passes_the_linters(place: str) -> None:
    """The linter and the formatter have nothing to say to it; the order of imports can be judged only where the file exists."""
    for asked in (["check", "--extend-ignore=I001"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *asked, "--stdin-filename", place, "-"]
        ran = subprocess.run(command, cwd=CHECKOUT, input=_python(place), capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
