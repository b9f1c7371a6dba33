"""The command line: one file a command."""

from __future__ import annotations

import sys

from goldsmith.errors import GoldsmithError, HostError


def main() -> None:
    """Run a command; an error a person can do something about is two plain sentences and an exit code, never a traceback."""
    from goldsmith.cli.app import app
    from goldsmith.cli.output import print_error

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a name must not break the output of a terminal that cannot show it
    try:
        app()
    except GoldsmithError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        # What nobody foresaw is mostly a folder that this user may not enter; that needs no traceback either.
        fault = HostError(f"{error.filename or 'The machine'}: {error.strerror or error}.", "Ask as somebody who may, or look at the disk.")
        print_error(fault)
        sys.exit(fault.exit_code)
