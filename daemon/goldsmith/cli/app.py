"""The Typer application with all commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from goldsmith import __version__
from goldsmith.cli.brief import brief
from goldsmith.cli.check import check
from goldsmith.cli.demo import demo
from goldsmith.cli.doctor import doctor
from goldsmith.cli.environment_file import apply_environment_file
from goldsmith.cli.history import history
from goldsmith.cli.init import init
from goldsmith.cli.models import models
from goldsmith.cli.ops import ops
from goldsmith.cli.prune import prune
from goldsmith.cli.replay import replay
from goldsmith.cli.restore import restore
from goldsmith.cli.retry import retry
from goldsmith.cli.run import run
from goldsmith.cli.status import status
from goldsmith.cli.verify import verify
from goldsmith.cli.web import web
from goldsmith.cli.why import why

# Every error in the arguments; ``show(file)`` prints it. Typer has no public name for it, and its own printing does not clean file names.
COMMAND_LINE_ERROR: Any = typer.BadParameter.__mro__[1]

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


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"goldsmith {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Finish AI-made pictures: drop them into folders, stage by stage.

    Example: goldsmith init ~/hotfolders && goldsmith run --root ~/hotfolders
    """
    if context.invoked_subcommand != "demo":  # it keeps everything in a folder of its own
        apply_environment_file()


# In the order in which a new user needs them.
app.command()(init)
app.command()(run)
app.command()(status)
app.command()(why)
app.command()(check)
app.command()(brief)
app.command()(retry)
app.command()(history)
app.command()(replay)
app.command()(restore)
app.command()(verify)
app.command()(prune)
app.command()(web)
app.command()(ops)
app.add_typer(models)
app.command()(doctor)
app.command()(demo)
