"""The package's docstrings, comments and names follow the rules of plain English that a program can check."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SOURCES = sorted((CHECKOUT / "daemon").rglob("*.py"))
TESTS = sorted((CHECKOUT / "tests").rglob("*.py"))

_spec = importlib.util.spec_from_file_location("prose", Path(__file__).with_name("prose.py"))
assert _spec is not None
assert _spec.loader is not None
prose = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(prose)


@pytest.fixture(scope="module")
def package() -> object:
    return prose.Package.read(SOURCES)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_module_follows_the_rules(path: Path, package: object) -> None:
    """Docstrings are imperative, arrays have shape and range, comments stand above constants, names are clear, old words are gone."""
    assert prose.violations(path, package) == []


def test_the_tests_use_the_same_words(package: object) -> None:
    """No test has an old word or a vague name."""
    assert [f"{path}: {violation}" for path in TESTS for violation in prose.violations(path, package)] == []


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ('def area(box: object) -> int:\n    """The area of the box."""', "begins with “The”"),
        ('def blur(pixels: Pixels) -> Pixels:\n    """Return the pixels, blurred."""', "no shape"),
        ('def blur(pixels: Pixels) -> Pixels:\n    """Return the pixels, (h, w, c), blurred."""', "no range"),
        ('SIDE = 3\n"""The side."""', "a string after a constant"),
        ('class Crop:\n    """A crop. ``top``: its first row."""\n\n    upper: int = 0', "explains “top”"),
        ('class Crop:\n    """A crop.\n\n    top: its first row.\n    """\n\n    upper: int = 0', "explains “top”"),
        ("lane = 1", "“lane”"),
        ("made = 1", "“made” does not say"),
        ("def area(given: int) -> int:\n    return 1", "“given” does not say"),
        ("def _found() -> int:\n    return 1", "“_found” does not say"),
    ],
)
def test_each_rule_finds_a_violation(source: str, rule: str) -> None:
    """Check a source with exactly one violation of each rule."""
    tree = ast.parse(source)
    violations = [
        *prose.not_imperative(tree),
        *prose.without_shape(tree),
        *prose.strings_as_comments(tree, frozenset()),
        *prose.unknown_fields(tree),
        *prose.old_words(source),
        *prose.vague_names(tree),
    ]
    assert len(violations) == 1
    assert rule in violations[0]
