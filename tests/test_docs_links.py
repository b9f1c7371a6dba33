"""Whoever follows the manual arrives: links, headings, pictures, commands and their options all exist."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from goldsmith.cli.app import app
from goldsmith.journal.migrations import MIGRATIONS

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))]
# Bytes of a picture: the manual is read over slow lines too.
LARGEST = 300_000

_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_SHELLS = {"sh", "console", "bash", "shell"}


def _name(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def _prose(page: Path) -> str:
    """The page without its blocks of code, and without code within a line."""
    return re.sub(r"`[^`\n]*`", "`code`", _FENCE.sub("", page.read_text()))


def _links(page: Path) -> Iterator[tuple[bool, str, str]]:
    """(whether it is a picture, its text, its target) of every link within the checkout."""
    for link in _LINK.finditer(_prose(page)):
        if not re.match(r"[a-z]+:", link["target"]):
            yield link["picture"] == "!", link["text"], link["target"]


@cache
def _anchors(page: Path) -> frozenset[str]:
    """What the headings of a page may be linked by, as GitHub and most other renderers make it."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", _FENCE.sub("", page.read_text()), re.MULTILINE):
        plain = unicodedata.normalize("NFC", re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(anchor if anchor not in found else f"{anchor}-{found.count(anchor)}")
    return frozenset(found)


def _broken(page: Path, target: str) -> str:
    """What is wrong with a link; "" where it leads somewhere."""
    path, _, anchor = target.partition("#")
    goal = (page.parent / path).resolve() if path else page
    if not goal.is_relative_to(CHECKOUT):
        return f"{target} leads out of the checkout"
    if not goal.exists():
        return f"{target} does not exist"
    return f"{target}: the page has no such heading" if anchor and anchor not in _anchors(goal) else ""


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    """No link of the manual is dead."""
    wrong = [_broken(page, target) for _, _, target in _links(page)]
    assert [one for one in wrong if one] == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=_name)
def test_every_page_can_be_reached_from_the_readme(page: Path) -> None:
    """A page that nobody finds is not part of the manual."""
    seen, waiting = set(), [CHECKOUT / "README.md"]
    while waiting:
        here = waiting.pop()
        if here in seen or here.suffix != ".md" or not here.is_file():
            continue
        seen.add(here)
        waiting += [(here.parent / target.partition("#")[0]).resolve() for _, _, target in _links(here)]
    assert page in seen


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_pictures_are_small_and_say_what_they_show(page: Path) -> None:
    """Each has a text for those who do not see it, and loads fast."""
    for picture, text, target in _links(page):
        if picture:
            assert text.strip(), f"{target} has no text"
            assert (page.parent / target).stat().st_size < LARGEST, target


def test_no_picture_lies_unused_or_without_its_source() -> None:
    """Every picture of the manual is shown on a page and listed in SOURCES.md."""
    shown = {(page.parent / target).resolve() for page in PAGES for picture, _, target in _links(page) if picture}
    lying = {path for path in (DOCS / "pictures").iterdir() if path.suffix != ".md"}
    assert lying == {path for path in shown if path.is_relative_to(DOCS / "pictures")}
    sources = (DOCS / "pictures" / "SOURCES.md").read_text()
    assert [path.name for path in lying if f"`{path.name}`" not in sources] == []


# ---------------------------------------------------------------- commands


def _typed(page: Path) -> Iterator[list[str]]:
    """Every call of goldsmith in the page's shell blocks, from its own name on."""
    for block in _FENCE.finditer(page.read_text()):
        if block["kind"] not in _SHELLS:
            continue
        lines = block["text"].replace("\\\n", " ").splitlines()
        if block["kind"] == "console":
            lines = [line.lstrip()[2:] for line in lines if line.lstrip().startswith(("$ ", "# "))]
        for line in lines:
            yield from _calls(line)


def _calls(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            call = next((words[at:] for at, one in enumerate(words) if _is_goldsmith(words, at, one)), None)
            if call is not None:
                yield call
            words = []
        else:
            words.append(word)


def _is_goldsmith(words: list[str], at: int, word: str) -> bool:
    """True where the word is the command itself, be it after sudo, env or a variable; not a user, a service or a path of that name."""
    before = words[:at]
    runs = not before or before[0] in ("sudo", "env", "exec", "nice", "time", "runuser") or "=" in before[0]
    option = bool(before) and before[-1] in ("-u", "-g", "-o", "--user", "--group")
    others = {"systemctl", "useradd", "adduser", "install", "chown", "chgrp", "usermod", "journalctl", "pip", "pipx", "mkdir", "-m"}
    return word.rpartition("/")[2] == "goldsmith" and runs and not option and not others & {one.rpartition("/")[2] for one in before}


def _wrong(call: list[str]) -> str:
    """What is wrong with a call; "" where the command and each of its options exist and nothing it must have is missing."""
    command: Any = typer.main.get_command(app)
    words = call[1:]
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"{shlex.join(call)}: there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return _wrong_words(shlex.join(call), command, words)


def _wrong_words(call: str, command: Any, words: list[str]) -> str:
    options = {name: option for option in command.params if option.param_type_name == "option" for name in option.opts}
    options |= dict.fromkeys(("-h", "--help", "--install-completion", "--show-completion"))
    arguments, free = [one for one in command.params if one.param_type_name == "argument"], 0
    rest = iter(words)
    for word in rest:
        name, _, value = word.partition("=")
        if not word.startswith("-"):
            free += 1
        elif name not in options:
            return f"{call}: there is no option {name}"
        elif options[name] is None:
            return ""
        elif not options[name].is_flag and not value and next(rest, None) is None:
            return f"{call}: {name} wants a value"
    if free > len(arguments) and not any(one.nargs == -1 for one in arguments):
        return f"{call}: too many words"
    return f"{call}: too few words" if free < sum(one.required for one in arguments) else ""


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_of_the_manual_exist_with_their_options(page: Path) -> None:
    """What is typed from a shell block of the manual is understood."""
    wrong = [_wrong(call) for call in _typed(page)]
    assert [one for one in wrong if one] == []


def test_make_targets_of_the_manual_exist() -> None:
    """``make ...`` in a shell block is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    blocks = [block["text"] for page in PAGES for block in _FENCE.finditer(page.read_text()) if block["kind"] in _SHELLS]
    named = {word for block in blocks for word in re.findall(r"(?:^|\$ |&& )make ([a-z]+)", block, re.MULTILINE)}
    assert named
    assert named <= targets


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("goldsmith init ~/x && goldsmith run --root ~/x", ""),
        ("sudo -u goldsmith env A=b /opt/goldsmith/bin/goldsmith models fetch migan realesrgan-x2", ""),
        ("goldsmith history --json | head", ""),
        ("goldsmith paint x", "no command paint"),
        ("goldsmith models paint", "no command paint"),
        ("goldsmith run --rot ~/x", "no option --rot"),
        ("goldsmith status --root", "wants a value"),
        ("goldsmith init", "too few"),
        ("goldsmith init a b", "too many"),
    ],
)
def test_the_reader_of_commands_sees_what_is_wrong(line: str, fault: str) -> None:
    """The tests above can fail."""
    told = [_wrong(call) for call in _calls(line)]
    assert told
    assert all(fault in one if fault else one == "" for one in told)


def test_calls_of_other_programs_that_name_goldsmith_are_left_alone() -> None:
    """A service, a user or a folder of that name is no command."""
    lines = ["sudo systemctl enable --now goldsmith", "sudo useradd --system goldsmith", "journalctl -u goldsmith", "cd /opt/goldsmith"]
    assert [call for line in lines for call in _calls(line)] == []


# ---------------------------------------------------------------- what the pages for programmers name


def _named(page: Path) -> set[str]:
    """Return the files and folders that the prose names: ``pipeline/intake/watcher.py``, without those of the example."""
    words = re.findall(r"`([\w./-]+(?:\.py|\.toml|/))`", _FENCE.sub("", page.read_text()))
    example = {"soft_focus.py", "daemon/goldsmith/ops/grain.py", "tests/ops/test_grain.py"}
    return {word for word in words if word not in example}


@pytest.mark.parametrize("page", [DOCS / "architecture.md", DOCS / "adding-an-operation.md"], ids=_name)
def test_files_that_the_pages_for_programmers_name_exist(page: Path) -> None:
    """A module that was renamed takes the manual along."""
    places = [
        CHECKOUT,
        CHECKOUT / "daemon" / "goldsmith",
        CHECKOUT / "daemon" / "goldsmith" / "ops",
        CHECKOUT / "daemon" / "goldsmith" / "engines",
        CHECKOUT / "tests",
        CHECKOUT / "config",
    ]
    named = {word for word in _named(page) if word.partition("/")[0] not in ("inbox", "selected", "delivered")}
    assert named
    assert [word for word in sorted(named) if not any((place / word).exists() for place in places)] == []


def test_the_journal_s_tables_are_those_of_the_manual() -> None:
    """A row for each table that the migrations make, and for the one that remembers them."""
    tables = re.findall(r"CREATE TABLE (\w+)", "".join(statements for _, statements in MIGRATIONS))
    section = (DOCS / "architecture.md").read_text().partition("## The journal\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == {*tables, "migration"}


# ---------------------------------------------------------------- what must not be said


def test_the_manual_names_no_registry() -> None:
    """Packages come through the reader's own clients, with their mirrors; no address of a registry stands anywhere."""
    hosts = re.compile(r"pypi\.org|pythonhosted|npmjs|registry\.\w+\.(org|com|io|net|dev)|hf\.co|huggingface\.co/[a-z]", re.IGNORECASE)
    assert [_name(page) for page in PAGES if hosts.search(page.read_text())] == []
