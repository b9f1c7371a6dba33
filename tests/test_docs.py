"""The manual is correct: every TOML block in it is valid, every operation has its page, and every setting has its row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from goldsmith.brief.brief import read_brief
from goldsmith.brief.pipeline import Pipeline, read_pipeline
from goldsmith.brief.settings import Settings, read_settings
from goldsmith.engines.registry.models import read_models
from goldsmith.files import resource_path
from goldsmith.library.consent import read_consent
from goldsmith.ops import catalogue

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| *(`[^|]*`) *\|", re.MULTILINE)
_WORD = re.compile(r"`([^`]+)`")


def _blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, block in enumerate(_BLOCK.findall(page.read_text()), 1):
            yield f"{page.relative_to(CHECKOUT)}:{number}", block


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")


@pytest.mark.parametrize(("place", "block"), [pytest.param(place, block, id=place) for place, block in _blocks()])
def test_every_toml_block_of_the_manual_is_read_without_a_fault(place: str, block: str, pipeline: Pipeline, tmp_path: Path) -> None:
    """Read each block with the reader of the file that its first line names; other blocks are briefs."""
    first = block.split("\n", 1)[0]
    if first == "# config/pipeline.toml":
        assert read_pipeline(block.encode(), place).stages
    elif first == "# config/goldsmith.toml":
        assert read_settings(block.encode(), place)
    elif first == "# config/models.toml" or "[models." in block:
        # The example of a model is appended to the shipped models.toml; its "..." stands for a hash.
        file = tmp_path / "models.toml"
        file.write_text(resource_path("config", "models.toml").read_text() + block.replace('"..."', f'"{"0" * 64}"'))
        assert read_models(file)
    elif first.startswith("# library/faces/"):
        assert read_consent(block.encode(), place, date.max)
    else:
        brief = read_brief(block.encode(), place, pipeline)
        assert brief.steps_by_stage or brief.recipe


@pytest.mark.parametrize("op", sorted(catalogue()))
def test_every_operation_has_its_page_with_every_setting(op: str) -> None:
    """The page has a heading with the operation's word, a row for each setting, no other row, and an example that uses the operation."""
    page = (DOCS / "operations" / f"{op}.md").read_text()
    assert page.startswith(f"# {op}\n")
    rows = {word.strip('"') for row in _ROW.findall(page) for word in _WORD.findall(row)}
    names = {row.split(".")[0] for row in rows if not row.startswith("….")}
    assert names == set(catalogue()[op].model_fields)
    assert f'op = "{op}"' in "".join(_BLOCK.findall(page))


@pytest.mark.parametrize("op", sorted(catalogue()))
def test_every_nested_setting_of_an_operation_is_on_its_page(op: str) -> None:
    """The settings in a table of a step have rows of their own, written ``….temperature``."""
    page = (DOCS / "operations" / f"{op}.md").read_text()
    nested = {name for field in catalogue()[op].model_fields.values() for name in getattr(field.annotation, "model_fields", {})}
    assert {word[2:] for word in _WORD.findall(page) if word.startswith("….")} == nested


def test_every_page_of_an_operation_has_its_operation() -> None:
    """If an operation is renamed, its page must be renamed too."""
    assert {page.stem for page in (DOCS / "operations").glob("*.md")} - {"README", "index"} <= set(catalogue())


@pytest.mark.parametrize("brief", sorted(resource_path("samples").rglob("*.toml")), ids=lambda path: path.name)
def test_the_sample_briefs_are_read_without_a_fault(brief: Path, pipeline: Pipeline) -> None:
    """These are the briefs that the demo drops."""
    assert read_brief(brief.read_bytes(), brief.name, pipeline).steps_by_stage


def test_links_between_pages_lead_somewhere() -> None:
    """The target of every relative link in the manual is a file or a folder."""
    broken = [
        f"{page.relative_to(CHECKOUT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_variables_the_manual_names_exist() -> None:
    """Each ``GOLDSMITH_…`` in the manual is a setting, or GOLDSMITH_CONFIG."""
    variables = {f"GOLDSMITH_{name.upper()}" for name in Settings.model_fields} | {"GOLDSMITH_CONFIG"}
    mentioned_variables = {word for page in PAGES for word in re.findall(r"\bGOLDSMITH_[A-Z_]+\b", page.read_text())}
    assert mentioned_variables <= variables
