"""The command ``goldsmith web``: the page on which people look, decide and paint."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, RootOption, find_root
from goldsmith.cli.output import print_text
from goldsmith.errors import UsageError

if TYPE_CHECKING:
    from goldsmith.brief.web_settings import WebSettings
    from goldsmith.service.setup import Setup


def web(
    root: RootOption = None,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option("--host", help="The address to listen on (default: that of goldsmith.toml).")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65_535, help="The port to listen on (default: that of goldsmith.toml).")
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
    from goldsmith.cli.output import configure_logging
    from goldsmith.service.setup import load_setup

    setup = load_setup(find_root(root, config), config)
    configure_logging(setup.settings)
    _serve(setup, _with_flags(setup.settings.web, host, port))


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


def _serve(setup: Setup, settings: WebSettings) -> None:
    import socket

    from goldsmith.web.app import create_app
    from goldsmith.web.page import build_page
    from goldsmith.web.server import build_server

    page = build_page(setup, settings, _own_name())
    server = build_server(create_app(page), settings.host, settings.port)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"The page cannot listen on {settings.host}, port {settings.port}: {reason}.", "Name another port with --port."
        ) from None
    listener.listen(128)
    address = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{listener.getsockname()[1]}"
    key = page.access.sign_in_key
    print_text(f"The page of {setup.root}: {address}/{f'sign-in?key={key}' if key else ''}")
    server.run(sockets=[listener])


def _own_name() -> str:
    """Return the name of the user who has started the page: whoever opens the link decides in this name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.geteuid()}"
