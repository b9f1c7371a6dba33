"""The manual's links, headings, pictures, commands and options all exist."""

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

from goldsmith.cli.app import build_app
from goldsmith.journal.migrations import MIGRATIONS

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))]
# Bytes of a picture; small, because some readers have a slow connection.
LARGEST = 300_000

_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_SHELLS = {"sh", "console", "bash", "shell"}


def _name(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def _prose(page: Path) -> str:
    """Return the page without its code blocks and its inline code."""
    return re.sub(r"`[^`\n]*`", "`code`", _FENCE.sub("", page.read_text()))


def _links(page: Path) -> Iterator[tuple[bool, str, str]]:
    """Yield (whether it is a picture, its text, its target) of every link within the checkout."""
    for link in _LINK.finditer(_prose(page)):
        if not re.match(r"[a-z]+:", link["target"]):
            yield link["picture"] == "!", link["text"], link["target"]


@cache
def _anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub and most other renderers make them."""
    anchors: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", _FENCE.sub("", page.read_text()), re.MULTILINE):
        plain = unicodedata.normalize("NFC", re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        anchors.append(anchor if anchor not in anchors else f"{anchor}-{anchors.count(anchor)}")
    return frozenset(anchors)


def _link_fault(page: Path, target: str) -> str:
    """Return the fault of a link, or "" if its target exists."""
    path, _, anchor = target.partition("#")
    goal = (page.parent / path).resolve() if path else page
    if not goal.is_relative_to(CHECKOUT):
        return f"{target} leads out of the checkout"
    if not goal.exists():
        return f"{target} does not exist"
    return f"{target}: the page has no such heading" if anchor and anchor not in _anchors(goal) else ""


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    """Check every link of the page, with its heading."""
    faults = [_link_fault(page, target) for _, _, target in _links(page)]
    assert [fault for fault in faults if fault] == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=_name)
def test_every_page_can_be_reached_from_the_readme(page: Path) -> None:
    """Follow all links from the README."""
    reachable, waiting = set(), [CHECKOUT / "README.md"]
    while waiting:
        current = waiting.pop()
        if current in reachable or current.suffix != ".md" or not current.is_file():
            continue
        reachable.add(current)
        waiting += [(current.parent / target.partition("#")[0]).resolve() for _, _, target in _links(current)]
    assert page in reachable


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_pictures_are_small_and_have_an_alternative_text(page: Path) -> None:
    """The text is for readers who cannot see the picture."""
    for picture, text, target in _links(page):
        if picture:
            assert text.strip(), f"{target} has no text"
            assert (page.parent / target).stat().st_size < LARGEST, target


def test_every_picture_is_on_a_page_and_has_its_source() -> None:
    """SOURCES.md lists every picture of the manual."""
    pictures_on_pages = {(page.parent / target).resolve() for page in PAGES for picture, _, target in _links(page) if picture}
    files = {path for path in (DOCS / "pictures").iterdir() if path.suffix != ".md"}
    assert files == {path for path in pictures_on_pages if path.is_relative_to(DOCS / "pictures")}
    sources = (DOCS / "pictures" / "SOURCES.md").read_text()
    assert [path.name for path in files if f"`{path.name}`" not in sources] == []


# ---------------------------------------------------------------- commands


def _typed_commands(page: Path) -> Iterator[list[str]]:
    """Yield every call of goldsmith in the page's shell blocks, beginning with the command itself."""
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
            call = next((words[index:] for index, candidate in enumerate(words) if _is_goldsmith(words, index, candidate)), None)
            if call is not None:
                yield call
            words = []
        else:
            words.append(word)


def _is_goldsmith(words: list[str], at: int, word: str) -> bool:
    """Return whether the word is the command itself, also after sudo, env or a variable, and not a user, a service or a path."""
    before = words[:at]
    runs = not before or before[0] in ("sudo", "env", "exec", "nice", "time", "runuser") or "=" in before[0]
    option = bool(before) and before[-1] in ("-u", "-g", "-o", "--user", "--group")
    others = {"systemctl", "useradd", "adduser", "install", "chown", "chgrp", "usermod", "journalctl", "pip", "pipx", "mkdir", "-m"}
    programs = {earlier_word.rpartition("/")[2] for earlier_word in before}
    return word.rpartition("/")[2] == "goldsmith" and runs and not option and not others & programs


def _command_fault(call: list[str]) -> str:
    """Return the fault of a call, or "" if the command and its options exist and no required argument is missing."""
    command: Any = typer.main.get_command(build_app())
    words = call[1:]
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"{shlex.join(call)}: there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return _argument_fault(shlex.join(call), command, words)


def _argument_fault(call: str, command: Any, words: list[str]) -> str:
    options = {name: option for option in command.params if option.param_type_name == "option" for name in option.opts}
    options |= dict.fromkeys(("-h", "--help", "--install-completion", "--show-completion"))
    arguments, argument_count = [parameter for parameter in command.params if parameter.param_type_name == "argument"], 0
    rest = iter(words)
    for word in rest:
        name, _, value = word.partition("=")
        if not word.startswith("-"):
            argument_count += 1
        elif name not in options:
            return f"{call}: there is no option {name}"
        elif options[name] is None:
            return ""
        elif not options[name].is_flag and not value and next(rest, None) is None:
            return f"{call}: {name} wants a value"
    if argument_count > len(arguments) and not any(parameter.nargs == -1 for parameter in arguments):
        return f"{call}: too many words"
    return f"{call}: too few words" if argument_count < sum(parameter.required for parameter in arguments) else ""


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_of_the_manual_exist_with_their_options(page: Path) -> None:
    """Check every call of goldsmith in the shell blocks of the page."""
    faults = [_command_fault(call) for call in _typed_commands(page)]
    assert [fault for fault in faults if fault] == []


def test_make_targets_of_the_manual_exist() -> None:
    """The word after ``make`` in a shell block is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    blocks = [block["text"] for page in PAGES for block in _FENCE.finditer(page.read_text()) if block["kind"] in _SHELLS]
    make_words = {word for block in blocks for word in re.findall(r"(?:^|\$ |&& )make ([a-z-]+)", block, re.MULTILINE)}
    assert make_words
    assert make_words <= targets


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
def test_the_command_checker_finds_faults(line: str, fault: str) -> None:
    """Check calls with and without a fault, so that the tests above can fail."""
    faults = [_command_fault(call) for call in _calls(line)]
    assert faults
    assert all(fault in text if fault else text == "" for text in faults)


def test_calls_of_other_programs_that_name_goldsmith_are_ignored() -> None:
    """A service, a user or a folder named goldsmith is no command."""
    lines = ["sudo systemctl enable --now goldsmith", "sudo useradd --system goldsmith", "journalctl -u goldsmith", "cd /opt/goldsmith"]
    assert [call for line in lines for call in _calls(line)] == []


# ---------------------------------------------------------------- the pages for programmers


def _mentioned_files(page: Path) -> set[str]:
    """Return the files and folders that the prose mentions, such as ``pipeline/intake/watcher.py``, without those of the example."""
    words = re.findall(r"`([\w./-]+(?:\.py|\.toml|/))`", _FENCE.sub("", page.read_text()))
    example = {"soft_focus.py", "daemon/goldsmith/ops/grain.py", "tests/ops/test_grain.py"}
    return {word for word in words if word not in example}


@pytest.mark.parametrize("page", [DOCS / "architecture.md", DOCS / "adding-an-operation.md"], ids=_name)
def test_files_that_the_pages_for_programmers_mention_exist(page: Path) -> None:
    """If a module is renamed, the manual must follow."""
    places = [
        CHECKOUT,
        CHECKOUT / "daemon" / "goldsmith",
        CHECKOUT / "daemon" / "goldsmith" / "ops",
        CHECKOUT / "daemon" / "goldsmith" / "engines",
        CHECKOUT / "tests",
        CHECKOUT / "config",
    ]
    root_folders = ("inbox", "selected", "delivered", "library", "archive", ".goldsmith")
    mentions = {word for word in _mentioned_files(page) if word.partition("/")[0] not in root_folders}
    assert mentions
    assert [word for word in sorted(mentions) if not any((place / word).exists() for place in places)] == []


def test_the_manual_lists_the_tables_of_the_journal() -> None:
    """It has a row for each table that the migrations create, and for the table of the migrations themselves."""
    tables = re.findall(r"CREATE TABLE (\w+)", "".join(statements for _, statements in MIGRATIONS))
    section = (DOCS / "architecture.md").read_text().partition("## The journal\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == {*tables, "migration"}


# ---------------------------------------------------------------- addresses


def test_the_manual_names_no_registry() -> None:
    """Readers install packages through their own clients and mirrors, so no page has the address of a registry."""
    hosts = re.compile(r"pypi\.org|pythonhosted|npmjs|registry\.\w+\.(org|com|io|net|dev)|hf\.co|huggingface\.co/[a-z]", re.IGNORECASE)
    assert [_name(page) for page in PAGES if hosts.search(page.read_text())] == []


def test_there_is_one_recipe_for_the_service() -> None:
    """Two would differ some day. The user of the service is made in one place, and the README leads there."""
    pages = [page for page in (CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")) if "useradd" in page.read_text()]
    assert pages == [CHECKOUT / "docs/running.md"]
    assert "docs/running.md#as-a-service" in (CHECKOUT / "README.md").read_text()
    assert pages[0].read_text().count("useradd") == 1
