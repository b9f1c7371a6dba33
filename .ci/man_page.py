"""Write the manual page goldsmith(1) from the help of the commands: ``make man`` writes ``docs/goldsmith.1``, which the wheel installs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from goldsmith import __version__
from goldsmith.cli.app import build_app
from goldsmith.cli.environment_file import ENVIRONMENT_FILE

PAGE = Path(__file__).parents[1] / "docs" / "goldsmith.1"
_ENVIRONMENT = (
    ("GOLDSMITH_ROOT", "The folder that holds inbox/ and the others, as --root."),
    ("GOLDSMITH_CONFIG", "The folder of goldsmith.toml, pipeline.toml and models.toml, as --config."),
    ("GOLDSMITH_STATE_DIR", "The folder of the journal."),
    ("GOLDSMITH_MODELS_DIR", "The folder of the weights."),
    ("GOLDSMITH_NAME", "Any other setting of goldsmith.toml, with NAME in capital letters."),
)
_FILES = (
    (str(ENVIRONMENT_FILE), "Variables of the service. The commands read them as well; a variable that is set in the shell wins."),
    ("ROOT/config/", "The configuration, if no other is named. The service has its own in /etc/goldsmith."),
    ("ROOT/.goldsmith/", "Work in progress, for the service alone."),
)


def man_page() -> str:
    """Return the page in the format of man(7)."""
    command: Any = typer.main.get_command(build_app())
    context = command.context_class(command, info_name="goldsmith", **command.context_settings)
    lines = [
        '.\\" Made from the help of the commands: run `make man` after a change of it.',
        f'.TH GOLDSMITH 1 "" "Goldsmith {__version__}" "Goldsmith"',
        ".SH NAME",
        _plain("goldsmith - finish AI-made pictures: drop them into folders, stage by stage"),
        ".SH SYNOPSIS",
        *(line for name in command.list_commands(context) for line in _synopsis(command, context, name)),
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
        ".SH OPTIONS",
        *_records(command, context),
        ".SH COMMANDS",
        *(line for name in command.list_commands(context) for line in _command(command, context, name)),
        ".SH EXIT STATUS",
        *_paragraphs((command.epilog or "").removeprefix("Exit codes: ").capitalize()),
        ".SH ENVIRONMENT",
        *_terms(_ENVIRONMENT),
        ".SH FILES",
        *_terms(_FILES),
    ]
    return "\n".join(lines) + "\n"


def _synopsis(group: Any, context: Any, name: str) -> Iterator[str]:
    command = group.commands[name]
    inner = command.context_class(command, info_name=name, parent=context)
    if hasattr(command, "commands"):
        for inner_name in command.list_commands(inner):
            yield from _synopsis(command, inner, inner_name)
        return
    yield f".B {_plain(inner.command_path)}"
    yield _plain(" ".join(command.collect_usage_pieces(inner)))
    yield ".br"


def _command(group: Any, context: Any, name: str) -> Iterator[str]:
    command = group.commands[name]
    inner = command.context_class(command, info_name=name, parent=context)
    yield f".SS {_plain(inner.command_path)}"
    yield from _paragraphs(command.help or "")
    if hasattr(command, "commands"):
        for inner_name in command.list_commands(inner):
            yield from _command(command, inner, inner_name)
    else:
        yield from _records(command, inner)


def _records(command: Any, context: Any) -> Iterator[str]:
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    yield from _terms(record for record in records if record is not None and "completion" not in record[0])


def _terms(terms: Any) -> Iterator[str]:
    for term, text in terms:
        yield ".TP"
        yield f".B {_plain(term)}"
        yield _plain(text)


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.replace("\b", "").split("\n\n")):
        if number:
            yield ".PP"
        yield _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    """Return the text for troff: no letter of it is a command, and a hyphen can be copied into a shell."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def main() -> None:
    """Write the page."""
    PAGE.write_text(man_page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
