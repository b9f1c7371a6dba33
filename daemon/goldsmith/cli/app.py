"""The Typer application with its commands."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from goldsmith import __version__
from goldsmith.cli.environment_file import apply_environment_file

# Every error in the arguments; ``show(file)`` prints it. Typer has no public name for it, and its own printing does not clean file names.
COMMAND_LINE_ERROR: Any = typer.BadParameter.__mro__[1]

# In the order in which a new user needs them. Each is in the module of its name.
COMMANDS = (
    *("init", "run", "status", "why", "check", "brief", "retry", "history", "inspect", "replay", "report", "restore", "verify", "prune"),
    *("web", "ops", "models", "notify", "metrics", "doctor", "demo"),
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"goldsmith {__version__}")
        raise typer.Exit


def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Finish AI-made pictures: drop them into folders, stage by stage.

    Example: goldsmith init ~/hotfolders && goldsmith run --root ~/hotfolders
    """
    if context.invoked_subcommand != "demo":  # it keeps everything in a folder of its own
        apply_environment_file()


def build_app(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the application with all commands; if the arguments begin with one, with that one alone, so that it starts sooner."""
    app = typer.Typer(
        name="goldsmith",
        help="Finish AI-made pictures: drop them into folders, stage by stage.",
        epilog="Exit codes: 0 done, 1 a bug in Goldsmith, 2 wrong use or configuration, 3 an error in a file or brief, "
        "4 a problem of this computer, 5 already running on this root, 6 a replay that differs.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for name in [name for name in COMMANDS if name in arguments[:1]] or COMMANDS:
        command = getattr(import_module(f"goldsmith.cli.{name}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command)
        else:
            app.command()(command)
    return app
