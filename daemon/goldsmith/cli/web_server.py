"""The process that serves the page: ``python -m goldsmith.cli.web_server FD ROOT CONFIG``. ``goldsmith web`` turns into it.

It is a program of its own so that the libraries of the command line, 15 MB, are not in its memory. FD is the listening socket; CONFIG is ""
for the folder that is found by itself.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import sys
from pathlib import Path

from goldsmith.cli.output import configure_logging, print_error, print_text
from goldsmith.errors import GoldsmithError


def main(arguments: list[str]) -> None:
    """Serve until SIGINT or SIGTERM."""
    # structlog would load it for the colours of tracebacks: 11 MB that nobody needs here.
    sys.modules["rich"] = None  # type: ignore[assignment]
    descriptor, root, config = arguments
    try:
        _serve(socket.socket(fileno=int(descriptor)), Path(root), Path(config) if config else None)
    except GoldsmithError as error:
        print_error(error)
        sys.exit(error.exit_code)


def _serve(listener: socket.socket, root: Path, config: Path | None) -> None:
    from goldsmith.service.setup import load_setup
    from goldsmith.web.app import create_app
    from goldsmith.web.page import build_page
    from goldsmith.web.server import build_server

    setup = load_setup(root, config)
    configure_logging(setup.settings)
    page = build_page(setup, setup.settings.web, _own_name())
    host, port = listener.getsockname()[:2]
    key = page.access.sign_in_key
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/{f'sign-in?key={key}' if key else ''}"
    print_text(f"The page of {root}: {address}")
    sys.stdout.flush()
    server = build_server(create_app(page))
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once it has stopped
        server.run(sockets=[listener])


def _own_name() -> str:
    """Return the name of the user who has started the page: whoever opens the link decides in this name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.geteuid()}"


if __name__ == "__main__":
    main(sys.argv[1:])
