"""Rules for the code itself: the sizes of functions, the places of modules, names and docstrings."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGE = CHECKOUT / "daemon" / "goldsmith"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((CHECKOUT / "tests").rglob("*.py"))
TOP_LEVEL = {
    "pyproject.toml",
    "README.md",
    "daemon",
    "config",
    "tests",
    "systemd",
    "hotfolders",
    "Makefile",
    "LICENSE",
    "docs",
    "constraints.txt",
    "constraints-dev.txt",
}
REFUSED = re.compile(r"process|handler|manager|helper|utils?|common|core|items?", re.IGNORECASE)


def _functions(path: Path) -> list[tuple[str, int]]:
    tree = ast.parse(path.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return [(f"{path.relative_to(CHECKOUT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1) for node in nodes]


def test_the_files_that_tests_begin_with_exist() -> None:
    """The list in tests/conftest.py names files: one that was renamed would be begun last, and nobody would notice."""
    names = re.findall(r'"([a-z_/]+\.py)"', (CHECKOUT / "tests" / "conftest.py").read_text())
    assert len(names) > 20
    assert [name for name in names if not (CHECKOUT / "tests" / name).exists()] == []


def test_nothing_that_an_editor_or_a_merge_leaves_behind_is_here() -> None:
    """Such as worker.py.orig."""
    leftovers = [path for folder in ("daemon", "tests", "docs", "config", "systemd") for path in (CHECKOUT / folder).rglob("*")]
    assert [path for path in leftovers if path.suffix in (".orig", ".rej", ".bak", ".swp") or path.name.endswith("~")] == []


def test_no_function_is_longer_than_sixty_lines() -> None:
    """Longer functions must be split."""
    long = [(name, lines) for path in SOURCES for name, lines in _functions(path) if lines > 60]
    assert long == []


def test_95_of_100_functions_have_at_most_40_lines() -> None:
    """Few functions may be long."""
    lengths = sorted(lines for path in SOURCES for _, lines in _functions(path))
    assert lengths[int(len(lengths) * 0.95)] <= 40


def test_there_is_at_least_as_much_test_as_code() -> None:
    """Count the lines of tests and of code."""
    lines = [sum(path.read_text().count("\n") for path in paths) for paths in (TESTS, SOURCES)]
    assert lines[0] >= lines[1]


def test_a_public_class_name_is_defined_once() -> None:
    """A class name means one thing in the whole package."""
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


# Modules whose only user is in another package, each with the reason why it cannot be there.
USED_ELSEWHERE = {
    "cluster.bridge": "the daemon's side of it starts it as a program",
    "engines.fetching.pin_model": "only engines/fetching may use the network, and cli/ is above it",
    **{
        f"picture.layered.{name}": "the table of formats names every reader and writer, and those of layers share what is beside them"
        for name in ("kra_read", "ora_read", "ora_write", "psd_read", "psd_write", "xcf_read")
    },
    "pipeline.archive.daily_pruning": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.archive.restoration": "cli/ shows what pipeline/ does",
    "pipeline.archive.verification": "cli/ shows what pipeline/ does",
    "pipeline.commit.recovery": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.monitoring.health": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.monitoring.http_server": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.monitoring.service_metrics": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.notices.outbox": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.notices.present_state": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.replay.replay": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.status.folder_status": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.workers.ray_runner": "service/ builds the parts of pipeline/ and owns none",
    "pipeline.scheduler.scheduler": "service/ builds the parts of pipeline/ and owns none",
    "service.metrics_service": "cli/ starts what service/ builds",
    "web.asking.ask_pages": "web/app.py joins the pages and owns none",
    "web.painting.mask_pages": "web/app.py joins the pages and owns none",
    "web.app": "cli/ starts the page",
    "web.previews.preview_pool": "web.page owns the pool",
    "web.server": "cli/ starts the page",
    "worker.preview_process": "a program of its own, which pipeline/previews starts",
}


def _users() -> dict[str, set[str]]:
    """Return the importers of each module of the package, by dotted names without the package's own."""
    modules = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in SOURCES}
    users: dict[str, set[str]] = {name: set() for name in modules if not name.endswith("__init__")}
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            # A table names a module that is imported late.
            if isinstance(node, ast.Constant) and str(node.value).startswith("goldsmith."):
                users.get(str(node.value).removeprefix("goldsmith."), set()).add(name)
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("goldsmith"):
                continue
            base = (node.module or "").removeprefix("goldsmith").removeprefix(".")
            for alias in node.names:
                for target in (base, f"{base}.{alias.name}".removeprefix(".")):
                    if target in users and target != name:
                        users[target].add(name)
    return users


def test_a_module_with_one_user_lives_in_its_user_s_package() -> None:
    """A module with a single importer is in the importer's folder, or ``USED_ELSEWHERE`` gives the reason."""
    apart = {
        name for name, users in _users().items() if len(users) == 1 and name.rpartition(".")[0] != next(iter(users)).rpartition(".")[0]
    }
    assert apart == set(USED_ELSEWHERE)


def test_the_daemon_folder_is_no_package() -> None:
    """``daemon/__init__.py`` would shadow another package and make every module importable twice."""
    assert not (CHECKOUT / "daemon" / "__init__.py").exists()
    pattern = re.compile(r"^\s*(import|from) daemon\b", re.MULTILINE)
    assert [path for path in SOURCES + TESTS if pattern.search(path.read_text())] == []


def test_the_top_level_has_only_known_names() -> None:
    """A new file or folder at the top level needs an entry in ``TOP_LEVEL``."""
    tracked = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    names = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


# Names with a refused word that is an established term: operating system processes, and terms of a standard or a library.
OUTSIDE_TERMS = {
    "WorkerProcess",
    "preview_process",
    "ProcessHandle",
    "LocalProcess",
    "SpawnedProcess",
    "RayProcess",
    "ProcessFolder",
    "worker_process",
    "process_folder",
    "PictureProcessor",
    "_IsoItem",
}


def test_no_module_or_class_has_a_vague_name() -> None:
    """No class or module is called process, handler, manager, helper, utils, common, core or item."""
    classes = [node.name for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    names = {*classes, *(path.stem for path in SOURCES)} - OUTSIDE_TERMS
    assert [name for name in sorted(names) if any(REFUSED.fullmatch(word) for word in re.findall(r"[A-Z]?[a-z]+", name))] == []


def test_every_module_and_public_class_has_a_docstring() -> None:
    """Private classes may lack a docstring."""
    silent = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        nodes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))]
        silent += [f"{path.name}:{getattr(node, 'name', 'module')}" for node in nodes if not ast.get_docstring(node)]
    assert silent == []


def test_every_test_has_a_docstring() -> None:
    """The docstring explains the behaviour to a person who breaks the test."""
    silent = []
    for path in TESTS:
        body = ast.parse(path.read_text()).body
        for node in (*body, *(inner for outer in body if isinstance(outer, ast.ClassDef) for inner in outer.body)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node):
                silent.append(f"{path.relative_to(CHECKOUT)}:{node.name}")
    assert silent == []


def test_no_test_sleeps() -> None:
    """Tests wait for events or use a manual clock; a deliberate delay belongs in a separate program."""
    pattern = re.compile(r"\btime\.sleep\(")
    waiting = [path for path in TESTS if path.name.startswith(("test_", "conftest")) or path.parent.name == "doubles"]
    assert [str(path) for path in waiting if pattern.search(path.read_text()) and path != Path(__file__)] == []


def test_broad_excepts_give_their_reason() -> None:
    """``except Exception`` has its reason in a comment on the same line, or raises the exception again."""
    bare = []
    for path in SOURCES:
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler) or not isinstance(node.type, ast.Name):
                continue
            broad = node.type.id in ("Exception", "BaseException")
            reasoned = "#" in lines[node.lineno - 1]
            raises_again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if broad and not (reasoned or raises_again):
                bare.append(f"{path.relative_to(CHECKOUT)}:{node.lineno}")
    assert bare == []


def test_the_daemon_imports_no_picture_or_model_library() -> None:
    """Only worker processes import torch, models and codecs."""
    models = ["torch", "diffusers", "transformers", "onnxruntime"]
    heavy = [*models, "cv2", "imagecodecs", "PyOpenColorIO", "tifffile", "PIL", "scipy", "uharfbuzz"]
    code = f"import sys, goldsmith.service.service; print([name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_worker_process_starts_no_thread_before_its_fence_is_up() -> None:
    """numpy's linear algebra starts threads when it is imported, and they would stay outside the fence."""
    heavy = ["numpy", "cv2", "imagecodecs", "PIL", "scipy", "torch"]
    code = f"import os, sys, goldsmith.worker.main; print([name for name in {heavy!r} if name in sys.modules])"
    code += "; print(len(os.listdir('/proc/self/task')))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["[]", "1"]
