"""The command line: one file a command."""

from __future__ import annotations

import sys

from goldsmith.errors import GoldsmithError


def main() -> None:
    """Run a command; an error a person can do something about is two plain sentences and an exit code, never a traceback."""
    from goldsmith.cli.app import app
    from goldsmith.cli.screen import complain

    try:
        app()
    except GoldsmithError as error:
        complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read the output has seen enough (`goldsmith history | head`).
        sys.stderr.close()
        sys.exit(0)
