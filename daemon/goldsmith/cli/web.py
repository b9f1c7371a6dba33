"""The command ``goldsmith web``: the page on which people look, decide and paint."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, RootOption, find_root
from goldsmith.cli.output import print_text
from goldsmith.errors import UsageError

if TYPE_CHECKING:
    from goldsmith.brief.web_settings import WebSettings

# Connections that wait to be accepted.
_BACKLOG = 128


def web(
    root: RootOption = None,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option("--host", help="The address to listen on (default: that of goldsmith.toml).")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="The port to listen on (default: that of goldsmith.toml).")
    ] = None,
    hash_password: Annotated[
        bool, typer.Option("--hash-password", help="Ask for a password, print its hash for goldsmith.toml, and exit.")
    ] = False,
) -> None:
    """Serve the page on which people look, decide and paint, until Ctrl-C or SIGTERM. The daemon runs beside it, or not.

    Example: goldsmith web --root ~/hotfolders
    """
    _require_extra()
    if hash_password:
        _print_hash()
        return
    from goldsmith.service.setup import load_setup

    setup = load_setup(find_root(root, config), config)
    _become_server(_listen(_with_flags(setup.settings.web, host, port)), setup.root, config)


def _require_extra() -> None:
    """Raise UsageError if the libraries of the extra `web` are not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(f"The page needs {error.name}, which is not installed.", "Install it with: pip install 'goldsmith[web]'") from None


def _print_hash() -> None:
    from goldsmith.web.access import hash_password

    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    print_text(hash_password(password))


def _with_flags(settings: WebSettings, host: str | None, port: int | None) -> WebSettings:
    """Return the settings with the flags of the command line, checked together. Raises UsageError."""
    from pydantic import ValidationError

    flags = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        return type(settings).model_validate({**settings.model_dump(), **flags})
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise UsageError(f"--host {host}: {reason}.", "Set these in the table [web] of goldsmith.toml.") from None


def _listen(settings: WebSettings) -> socket.socket:
    """Return the socket on which the page listens. Raises UsageError if the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"The page cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}.",
            "Name another address with --host, or another port with --port.",
        ) from None
    return listener


def _become_server(listener: socket.socket, root: Path, config: Path | None) -> None:
    """Replace this process by the one that serves: without the libraries of the command line, and with one arena of memory."""
    from goldsmith.jobs.worker_start import IMPORT_FOLDERS

    listener.set_inheritable(True)
    # -P: the current folder may be a share, and no json.py there may be imported.
    arguments = [sys.executable, "-P", "-m", "goldsmith.cli.web_server", str(listener.fileno()), str(root), str(config or "")]
    environment = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ}
    if IMPORT_FOLDERS:
        environment["PYTHONPATH"] = os.pathsep.join(IMPORT_FOLDERS)
    sys.stdout.flush()
    os.execve(sys.executable, arguments, environment)  # noqa: S606 - the same program again, no shell
